/* store_file_temp.c: files in the making, how they become objects, and what becomes of those whose
 * maker was killed; see store_file_path.h.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "process.h"

enum { TEMP_TRIES = 10000, STALE_AFTER = 24 * 60 * 60 };

/* ---- Removing. ---- */

/* Folders of ours have files only. Errors don't matter: the next clean-up tries again. */
static bool remove_folder(int uploads, const char *name)
{
    int fd = openat(uploads, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    hfc_autoclosedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL)
        (void)unlinkat(fd, e->d_name, 0);
    return unlinkat(uploads, name, AT_REMOVEDIR) == 0;
}

static bool remove_name(int uploads, const char *name)
{
    if (unlinkat(uploads, name, 0) == 0)
        return true;
    return (errno == EISDIR || errno == EPERM) && remove_folder(uploads, name);
}

void hfc_dir_remove_temp(struct hfc_dir *d, const char *temp)
{
    hfc_autoclose int uploads = hfc_dir_uploads(d, false);

    if (uploads >= 0)
        (void)remove_name(uploads, temp);
}

static void swap(char *text, char from, char to)
{
    for (char *c = text; *c != '\0'; c++)
        *c = *c == from ? to : *c;
}

static bool is_old(int uploads, const char *name)
{
    struct stat st;

    return fstatat(uploads, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_mtim.tv_sec < time(NULL) - STALE_AFTER;
}

/* "tmp-N-PROCESS": the process is gone, or nobody knows and nothing has happened for long. */
static bool is_leftover(int uploads, const char *name)
{
    const char *maker = strchr(name + strlen("tmp-"), '-');
    char process[HFC_DIR_NAME] = "";

    if (maker != NULL)
        (void)snprintf(process, sizeof(process), "%s", maker + 1);
    swap(process, ':', '/');
    return hfc_process_gone(process) || is_old(uploads, name);
}

/* An upload without its key or its data was cut down half-way. */
static bool is_ruin(int uploads, const char *name)
{
    hfc_autoclose int fd = openat(uploads, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 && is_old(uploads, name) &&
           (faccessat(fd, "key", F_OK, 0) < 0 || faccessat(fd, "data", F_OK, 0) < 0);
}

static void clean(struct hfc_dir *d)
{
    int uploads = hfc_dir_uploads(d, false);
    hfc_autoclosedir DIR *dir = uploads >= 0 ? fdopendir(uploads) : NULL;
    const struct dirent *e;

    d->cleaned = true;
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        bool temp = strncmp(e->d_name, "tmp-", 4) == 0 && is_leftover(uploads, e->d_name);
        if (!temp && (strncmp(e->d_name, "up-", 3) != 0 || !is_ruin(uploads, e->d_name)))
            continue;
        if (remove_name(uploads, e->d_name))
            hfc_store_say(&d->base, "removed %s/%s, left by a process that is gone",
                          HFC_DIR_UPLOADS, e->d_name);
    }
}

/* ---- Making. ---- */

int hfc_dir_make_temp(struct hfc_dir_op *o, bool folder)
{
    struct hfc_dir *d = (struct hfc_dir *)o->op.store;
    hfc_autoclose int uploads = hfc_dir_uploads(d, true);
    char maker[HFC_PROCESS_SIZE];

    assert(o->temp[0] == '\0');
    if (uploads >= 0 && !d->cleaned)
        clean(d);
    hfc_process_self(maker);
    swap(maker, '/', ':');
    for (unsigned i = 0; uploads >= 0 && i < TEMP_TRIES; i++) {
        char name[HFC_DIR_NAME];
        int len = snprintf(name, sizeof(name), "tmp-%u-%s", d->temp++, maker);
        int fd = -1;
        assert(len > 0 && (size_t)len < sizeof(name));
        if (!folder)
            fd = openat(uploads, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        else if (mkdirat(uploads, name, 0777) == 0)
            fd = openat(uploads, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        else if (errno != EEXIST)
            return -1;
        if (fd >= 0)
            memcpy(o->temp, name, sizeof(name));
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* ---- Publishing. ---- */

/* The time is ours and exact: the kernel's own is that of the last tick, and two objects in one
 * tick could be alike in inode (used again), size and time. Returns an errno value. */
static int seal(int fd, uint64_t size, const struct hfc_meta *meta, struct stat *st)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

    (void)clock_gettime(CLOCK_REALTIME, &times[1]);
    if (ftruncate(fd, (off_t)size) < 0 || futimens(fd, times) < 0 || fstat(fd, st) < 0 ||
        hfc_dir_keep_meta(fd, st, meta) < 0 || fsync(fd) < 0)
        return errno;
    return 0;
}

/* Returns an errno value: 0 if the key's object is as the operation demands. */
static int check_condition(struct hfc_dir_op *o)
{
    char etag[HFC_ETAG_MAX];
    struct stat st;

    if (o->op.condition == HFC_ALWAYS)
        return 0;
    hfc_autoclose int fd = hfc_dir_open_object((struct hfc_dir *)o->op.store, o->op.key, &st);
    if (o->op.condition == HFC_IF_ABSENT)
        return fd >= 0 ? EEXIST : errno == ENOENT ? 0 : errno;
    if (fd < 0)
        return errno;
    hfc_dir_etag(&st, etag);
    return strcmp(etag, o->op.if_match) == 0 ? 0 : ESTALE;
}

/* The lock holds off our own processes only; for IF_ABSENT the kernel can hold off all. */
static int move(int from_dir, const char *from, int to_dir, const char *to, bool absent)
{
    if (!absent)
        return renameat(from_dir, from, to_dir, to);
    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (linkat(from_dir, from, to_dir, to, 0) < 0)
        return -1;
    return unlinkat(from_dir, from, 0);
}

/* An empty folder is nothing in a store, so it does not stand in the way. */
static int replace(int from_dir, const char *from, int to_dir, const char *to, bool absent)
{
    if (move(from_dir, from, to_dir, to, absent) == 0)
        return 0;
    if ((errno != EISDIR && errno != EEXIST) || unlinkat(to_dir, to, AT_REMOVEDIR) < 0)
        return errno == ENOTDIR ? EEXIST : errno == ENOTEMPTY ? EISDIR : errno;
    return move(from_dir, from, to_dir, to, absent) == 0 ? 0 : errno;
}

/* Returns an errno value. */
static int put_in_place(struct hfc_dir_op *o, int dir, const char *name)
{
    struct hfc_dir *d = (struct hfc_dir *)o->op.store;
    const char *last;
    hfc_autoclose int lock = hfc_dir_lock(d);

    int rc = lock < 0 ? errno : check_condition(o);
    if (rc != 0)
        return rc;
    hfc_autoclose int parent = hfc_dir_parent(d, o->op.key, true, &last);
    if (parent < 0)
        return errno;
    rc = replace(dir, name, parent, last, o->op.condition == HFC_IF_ABSENT);
    if (rc != 0)
        return rc;
    /* What was put there has no temporary name any more. */
    o->temp[0] = '\0';
    return fsync(parent) < 0 ? errno : 0;
}

static const char *condition_text(int rc)
{
    return rc == EEXIST ? "there is an object already" : "another version than the one demanded";
}

/* Whether the operation's condition holds; ends it if not. Cheap, and saves sending the bytes. */
bool hfc_dir_condition_holds(struct hfc_dir_op *o)
{
    int rc = check_condition(o);

    if (rc == EEXIST || rc == ESTALE)
        hfc_dir_refuse(o, rc, condition_text(rc));
    else if (rc != 0)
        hfc_dir_fail(o, rc, "put");
    return rc == 0;
}

bool hfc_dir_publish(struct hfc_dir_op *o, int dir, const char *name, uint64_t size)
{
    struct hfc_object object;
    struct stat st;

    int rc = seal(o->fd, size, &o->op.meta, &st);
    if (rc == 0)
        rc = put_in_place(o, dir, name);
    if (rc == 0) {
        hfc_dir_object(o->fd, &st, &object);
        hfc_dir_succeed(o, &object);
    } else if ((rc == EEXIST || rc == ESTALE) && o->op.condition != HFC_ALWAYS) {
        hfc_dir_refuse(o, rc, condition_text(rc));
    } else {
        hfc_dir_fail(o, rc, "put");
    }
    return rc == 0;
}
