/* preflight.c: looks before the leap; see preflight.h. */
#include "preflight.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "link.h"
#include "memory_plan.h"
#include "need.h"
#include "store.h"
#include "uri.h"
#include "worker_internal.h"

/* Whether `path` is `folder` or lies below it. Both are absolute. */
static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Other keepers. */

#define SOURCE "hfcache:"

char *preflight_source(const struct settings *s)
{
    char here[PATH_MAX] = "";
    char *source = NULL;

    if (s->socket[0] != '/' && getcwd(here, sizeof(here)) == NULL)
        here[0] = '\0';
    if (asprintf(&source, SOURCE "%s%s%s", here, here[0] != '\0' ? "/" : "", s->socket) < 0)
        abort();
    return source;
}

/* A field of the list, in place: "\040" is a blank. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *p = text; *p != '\0'; to++) {
        bool escaped = p[0] == '\\' && strspn(p + 1, "01234567") >= 3;
        *to = *p;
        if (escaped)
            *to = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
        p += escaped ? 4 : 1;
    }
    *to = '\0';
}

/* The socket of the keeper whose mount the line is about, if it lies at `mountpoint`; NULL. */
static char *socket_in(char *line, const char *mountpoint)
{
    char *rest = strstr(line, " - "), *saved = NULL, *point = line;

    if (rest == NULL)
        return NULL;
    *rest = '\0';
    for (int i = 0; i < 4 && point != NULL; i++) {
        point = strchr(point, ' ');
        point += point != NULL;
    }
    const char *type = strtok_r(rest + 3, " \n", &saved);
    char *source = strtok_r(NULL, " \n", &saved);
    if (point == NULL || type == NULL || source == NULL || strncmp(type, "fuse", 4) != 0 ||
        strncmp(source, SOURCE, strlen(SOURCE)) != 0)
        return NULL;
    point[strcspn(point, " ")] = '\0';
    unescape(point);
    unescape(source);
    return strcmp(point, mountpoint) == 0 ? source + strlen(SOURCE) : NULL;
}

int preflight_others(const struct settings *s, const char *list, struct hfc_error *err)
{
    hfc_autofree char *own = preflight_source(s);
    hfc_autofree char *line = NULL;
    FILE *f = fopen(list, "re");
    size_t size = 0;
    int rc = 0;

    if (f == NULL)
        return hfc_error_set(err, errno, "%s", list);
    while (rc == 0 && getline(&line, &size, f) > 0) {
        const char *other = socket_in(line, s->mountpoint);
        if (other == NULL || strcmp(other, own + strlen(SOURCE)) == 0)
            continue;
        hfc_autoclose int fd = link_connect(other, NULL);
        if (fd >= 0)
            rc = hfc_error_set(err, 0,
                               "%s is mounted already, by the keeper at %s: end that one, or take "
                               "over from it with --socket %s",
                               s->mountpoint, other, other);
    }
    (void)fclose(f);
    return rc;
}

/* Cache: the directory. */

/* Whether there is anything in it; *ours: the lock of a cache. */
static int look_into(int fd, bool *empty, bool *ours, struct hfc_error *err)
{
    hfc_autoclosedir DIR *dir = NULL;
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct dirent *e;

    if (copy >= 0)
        dir = fdopendir(copy);
    if (dir == NULL)
        return hfc_error_set(err, errno, "reading it");
    *empty = true;
    *ours = false;
    while ((e = readdir(dir)) != NULL) {
        *empty &= is_dots(e->d_name);
        *ours |= strcmp(e->d_name, "lock") == 0;
    }
    return 0;
}

/* Gives away what is in a directory, and the directory last: what another user has owned before
 * could have put things in it. Symlinks are not followed, folders not gone into. */
static int give_content(int fd, uid_t uid, gid_t gid, struct hfc_error *err)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    hfc_autoclosedir DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *e;

    if (dir == NULL)
        return hfc_error_set(err, errno, "reading it");
    while ((e = readdir(dir)) != NULL)
        if (!is_dots(e->d_name) && fchownat(fd, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
            return hfc_error_set(err, errno, "giving %s to uid %u", e->d_name, uid);
    return fchown(fd, uid, gid) < 0 ? hfc_error_set(err, errno, "giving it to uid %u", uid) : 0;
}

static int give(int fd, const struct settings *s, struct hfc_error *err)
{
    hfc_autoclose int blobs = openat(fd, "blobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (blobs >= 0 && give_content(blobs, s->uid, s->gid, err) < 0)
        return hfc_error_prefix(err, "blobs");
    return give_content(fd, s->uid, s->gid, err);
}

/* Only what root owns is given away: in a directory of another user, who could have put a link to
 * somebody else's file into it, that would be a gift to him. */
static int settle_owner(int fd, const struct settings *s, struct hfc_error *err)
{
    struct stat st;
    bool empty = false, ours = false;

    if (fstat(fd, &st) < 0)
        return hfc_error_set(err, errno, "looking at it");
    if (look_into(fd, &empty, &ours, err) < 0)
        return -1;
    if (!empty && !ours)
        return hfc_error_set(err, 0,
                             "it has something else in it: give a folder that is empty, or "
                             "has been a cache before");
    if (st.st_uid == s->uid || geteuid() != 0)
        return 0;
    if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return hfc_error_set(err, 0,
                             "it is not only root's, and not the worker's: `chown -R %u:%u' it, or "
                             "choose its owner with --user",
                             s->uid, s->gid);
    return give(fd, s, err);
}

static int open_cache(const char *path, struct hfc_error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return errno == ENOENT
                   ? hfc_error_set(err, 0, "the folder that it is to be in is not there")
                   : hfc_error_set(err, errno, "making it");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : hfc_error_set(err, errno, "opening it");
}

int preflight_cache(struct settings *s, struct hfc_error *err)
{
    char absolute[PATH_MAX];
    hfc_autoclose int fd = -1;

    /* A path below a dead mount would fail, or hang, in open(2). */
    if (is_below(s->cache, s->mountpoint))
        return hfc_error_set(err, 0, "the cache %s is below the mount point: choose another folder",
                             s->cache);
    fd = open_cache(s->cache, err);
    if (fd < 0 || settle_owner(fd, s, err) < 0)
        return hfc_error_prefix(err, "the cache %s", s->cache);
    if (realpath(s->cache, absolute) == NULL)
        return hfc_error_set(err, errno, "the cache %s", s->cache);
    if (is_below(absolute, s->mountpoint))
        return hfc_error_set(err, 0, "the cache %s is below the mount point: choose another folder",
                             absolute);
    free(s->cache);
    s->cache = need_copy(absolute, strlen(absolute));
    return 0;
}

/* The rest, in the other process. */

static int check_store(const struct settings *s, const struct memory_plan *plan,
                       struct hfc_error *err)
{
    struct hfc_loop *loop = hfc_loop_new(err);
    const struct hfc_store_config config = {.http = plan->http, .retry = HFC_RETRY_DEFAULT};

    if (loop == NULL)
        return -1;
    struct hfc_store *store = hfc_store_open(loop, s->store, &config, err);
    hfc_store_close(store);
    hfc_loop_free(loop);
    return store != NULL ? 0 : hfc_error_prefix(err, "--store");
}

/* A directory as a store that is the mount itself would wait for itself. A URL that is wrong is
 * left to the store. */
static int check_directory(const struct settings *s, struct hfc_error *err)
{
    const char *rest = s->store + strlen("file://");
    hfc_autobuf struct hfc_buf path = HFC_BUF(PATH_MAX);
    char absolute[PATH_MAX];

    if (strncmp(s->store, "file:///", 8) != 0 || !hfc_uri_decode(&path, rest, strlen(rest)) ||
        hfc_buf_failed(&path))
        return 0;
    if (is_below(path.data, s->mountpoint) ||
        (realpath(path.data, absolute) != NULL && is_below(absolute, s->mountpoint)))
        return hfc_error_set(err, 0, "--store: %s is below the mount point", path.data);
    if (access(path.data, R_OK | X_OK) < 0)
        return hfc_error_set(err, errno, "--store: reading %s as uid %u", path.data, geteuid());
    return 0;
}

/* A file of the home that would have been read. */
static void warn_of(const char *home, const char *name, const char *variable)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/.aws/%s", home, name);
    if (getenv(variable) == NULL && access(path, F_OK) == 0)
        command_warning("%s is not read, as the worker may not go there: name a file that it may "
                        "read with %s",
                        path, variable);
}

void preflight_home(const struct settings *s)
{
    const char *home = getenv("HOME");
    struct stat st;

    if (geteuid() != 0 || home == NULL || stat(home, &st) < 0 || st.st_uid == s->uid ||
        (st.st_mode & S_IXOTH) != 0)
        return;
    warn_of(home, "config", "AWS_CONFIG_FILE");
    warn_of(home, "credentials", "AWS_SHARED_CREDENTIALS_FILE");
    (void)unsetenv("HOME");
}

static int become(const struct settings *s, struct hfc_error *err)
{
    if (geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setgid(s->gid) < 0 || setuid(s->uid) < 0)
        return hfc_error_set(err, errno, "becoming user %u:%u", s->uid, s->gid);
    return 0;
}

int preflight_look(const struct settings *s, struct hfc_error *err)
{
    struct memory_plan plan;
    bool tls = false;

    if (become(s, err) < 0 || worker_uses_tls(s->store, &tls, err) < 0)
        return -1;
    if (memory_plan_make(settings_memory(s), tls, &plan, err) < 0)
        return hfc_error_prefix(err, "--memory");
    if (access(s->cache, R_OK | W_OK | X_OK) < 0)
        return hfc_error_set(err, errno,
                             "the cache %s, as uid %u: see to it that this user may go there and "
                             "write",
                             s->cache, geteuid());
    return check_directory(s, err) < 0 ? -1 : check_store(s, &plan, err);
}

/* The child's message comes through a pipe; an empty one means that all is well. */
static int hear(pid_t child, int fd, struct hfc_error *err)
{
    char text[HFC_ERROR_MAX] = "";
    size_t n = 0;
    ssize_t got;
    int status = 0;

    while (n < sizeof(text) - 1 && (got = read(fd, text + n, sizeof(text) - 1 - n)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return hfc_error_set(err, 0, "%s", n > 0 ? text : "the process that looks at it has crashed");
}

int preflight_worker(const struct settings *s, struct hfc_error *err)
{
    struct hfc_error why;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return hfc_error_set(err, errno, "a pipe");
    pid_t child = fork();
    if (child == 0) {
        int rc = preflight_look(s, &why);
        if (rc < 0)
            (void)!write(ends[1], why.msg, strlen(why.msg));
        _exit(rc < 0 ? 1 : 0);
    }
    int saved = errno;
    (void)close(ends[1]);
    int rc =
        child < 0 ? hfc_error_set(err, saved, "starting a process") : hear(child, ends[0], err);
    (void)close(ends[0]);
    return rc;
}
