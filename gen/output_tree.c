/* output_tree.c: walks of folders for output.c: clear, count, carry over; see output_internal.h.
 *
 * The old target may hold anything a user has put there, so nothing here follows a symlink, and a
 * tree of any depth needs neither a long path nor a deep stack.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "file.h"
#include "output_internal.h"

enum {
    DEPTH_MAX = 64, /* of folders that are carried over or counted; each level holds descriptors */
    COPY_MAX = 1 << 30,
};

int tree_open(int dirfd, const char *name)
{
    return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A stream of the folder's entries; `dirfd` stays the caller's. */
static DIR *list(int dirfd)
{
    int fd = tree_open(dirfd, ".");

    return fd < 0 ? NULL : fdopendir(fd);
}

static const struct dirent *next_entry(DIR *dir)
{
    const struct dirent *e;

    do {
        e = readdir(dir);
    } while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
    return e;
}

/* Removes a name; -1 with ENOTEMPTY for a folder that holds something. */
static int remove_name(int dirfd, const char *name)
{
    if (unlinkat(dirfd, name, 0) == 0)
        return 0;
    return errno == EISDIR ? unlinkat(dirfd, name, AT_REMOVEDIR) : -1;
}

/* Lets the owner into a folder; if that is refused, what needs it fails and says so. */
static void open_up(int dirfd, const char *name)
{
    if (fchmodat(dirfd, name, 0700, 0) < 0)
        return;
}

/* Moves a folder up to `top`. Needs the right to write to it, which its owner can grant. */
static int lift(int top, int dirfd, const char *name, unsigned *lifted)
{
    char up[32];
    int rc;

    open_up(dirfd, name);
    do {
        (void)snprintf(up, sizeof(up), "lifted-%u", (*lifted)++);
        rc = renameat(dirfd, name, top, up);
    } while (rc < 0 && (errno == ENOTEMPTY || errno == EEXIST));
    return rc;
}

/* Removes a folder of `top`; folders in it that hold something move up to have their turn there,
 * so that depth costs nothing. */
static int remove_folder(int top, const char *name, unsigned *lifted)
{
    const struct dirent *e;

    open_up(top, name);
    hfc_autoclose int fd = tree_open(top, name);
    if (fd < 0)
        return -1;
    hfc_autoclosedir DIR *dir = list(fd);
    if (dir == NULL)
        return -1;
    while ((e = next_entry(dir)) != NULL) {
        if (remove_name(fd, e->d_name) < 0 &&
            (errno != ENOTEMPTY || lift(top, fd, e->d_name, lifted) < 0))
            return -1;
    }
    return unlinkat(top, name, AT_REMOVEDIR);
}

int tree_clear(int dirfd, const char *shown, struct hfc_error *err)
{
    unsigned lifted = 0;

    for (bool again = true; again;) {
        const struct dirent *e;
        hfc_autoclosedir DIR *dir = list(dirfd);
        if (dir == NULL)
            return hfc_error_set(err, errno, "%s", shown);
        again = false;
        while ((e = next_entry(dir)) != NULL) {
            if (remove_name(dirfd, e->d_name) == 0)
                continue;
            if (errno != ENOTEMPTY || remove_folder(dirfd, e->d_name, &lifted) < 0)
                return hfc_error_set(err, errno, "cannot remove %s/%s", shown, e->d_name);
            again = true;
        }
    }
    return 0;
}

static mode_t kind_of(int dirfd, const struct dirent *e)
{
    struct stat st;
    mode_t told = (mode_t)DTTOIF(e->d_type); /* 0 on some file systems */
    bool final = told != 0 || fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0;

    return final ? told : st.st_mode & S_IFMT;
}

struct summing {
    bool (*skip)(const void *ctx, const char *name);
    const void *ctx;
    const char *shown;
    struct tree_sum *sum;
};

static int sum_folder(int dirfd, const struct summing *s, unsigned depth, struct hfc_error *err)
{
    const struct dirent *e;
    hfc_autoclosedir DIR *dir = list(dirfd);

    if (dir == NULL)
        return hfc_error_set(err, errno, "%s", s->shown);
    while ((e = next_entry(dir)) != NULL) {
        mode_t kind = kind_of(dirfd, e);
        assert(depth <= DEPTH_MAX);
        if (depth == 0 && s->skip(s->ctx, e->d_name))
            continue;
        s->sum->files += kind == S_IFREG;
        s->sum->folders += kind == S_IFDIR;
        s->sum->others += kind != S_IFREG && kind != S_IFDIR;
        if (kind != S_IFDIR || depth == DEPTH_MAX)
            continue;
        hfc_autoclose int sub = tree_open(dirfd, e->d_name);
        if (sub < 0)
            return hfc_error_set(err, errno, "%s: %s", s->shown, e->d_name);
        if (sum_folder(sub, s, depth + 1, err) < 0)
            return -1;
    }
    return 0;
}

int tree_sum(int dirfd, bool (*skip)(const void *ctx, const char *name), const void *ctx,
             const char *shown, struct tree_sum *sum, struct hfc_error *err)
{
    struct summing s = {.skip = skip, .ctx = ctx, .shown = shown, .sum = sum};

    *sum = (struct tree_sum){0};
    return sum_folder(dirfd, &s, 0, err);
}

/* Copies what `st` says about times and, but for a symlink, which has none, about the mode. */
static int set_attributes(int dirfd, const char *name, const struct stat *st)
{
    struct timespec times[2] = {st->st_atim, st->st_mtim};

    if (!S_ISLNK(st->st_mode) && fchmodat(dirfd, name, st->st_mode & 07777, 0) < 0)
        return -1;
    return utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_symlink(int from, int to, const char *name)
{
    char target[PATH_MAX] = "";
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

    return n < 0 ? -1 : symlinkat(target, to, name);
}

/* Copies a file that could not be linked. */
static int copy_file(int from, int to, const char *name, const struct hfc_buf *bytes,
                     struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf own;

    hfc_buf_init(&own, COPY_MAX);
    if (bytes == NULL && hfc_file_read(from, name, &own, err) < 0)
        return -1;
    const struct hfc_buf *b = bytes != NULL ? bytes : &own;
    return hfc_file_create(to, name, b->data, b->len, 0666, err);
}

int tree_link(int from, int to, const char *name, const struct hfc_buf *bytes, const char *shown,
              struct hfc_error *err)
{
    struct stat st;

    if (output_calls.link(from, name, to, name) == 0)
        return 0;
    int why = errno;
    bool impossible = why == EPERM || why == EXDEV || why == EMLINK || why == EOPNOTSUPP;
    if (!impossible || fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return hfc_error_set(err, why, "%s/%s", shown, name);
    if (S_ISREG(st.st_mode)) {
        if (copy_file(from, to, name, bytes, err) < 0)
            return hfc_error_prefix(err, "%s", shown);
    } else if (!S_ISLNK(st.st_mode) || copy_symlink(from, to, name) < 0) {
        return hfc_error_set(err, why, "%s/%s", shown, name);
    }
    return set_attributes(to, name, &st) < 0 ? hfc_error_set(err, errno, "%s/%s", shown, name) : 0;
}

static int carry(int from, int to, const char *name, unsigned depth, const char *shown,
                 struct hfc_error *err);

/* Fills the copy of a folder; `from` and `to` are the folder and its copy. */
static int carry_content(int from, int to, unsigned depth, const char *shown, struct hfc_error *err)
{
    const struct dirent *e;
    hfc_autoclosedir DIR *dir = list(from);

    if (dir == NULL)
        return hfc_error_set(err, errno, "%s", shown);
    while ((e = next_entry(dir)) != NULL) {
        if (carry(from, to, e->d_name, depth, shown, err) < 0)
            return -1;
    }
    return 0;
}

static int carry(int from, int to, const char *name, unsigned depth, const char *shown,
                 struct hfc_error *err)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : hfc_error_set(err, errno, "%s/%s", shown, name);
    if (!S_ISDIR(st.st_mode))
        return tree_link(from, to, name, NULL, shown, err);
    if (depth == DEPTH_MAX)
        return hfc_error_set(err, ELOOP, "%s/%s: nested too deeply", shown, name);
    hfc_autoclose int sub = tree_open(from, name);
    hfc_autoclose int copy = mkdirat(to, name, 0700) < 0 ? -1 : tree_open(to, name);
    if (sub < 0 || copy < 0)
        return hfc_error_set(err, errno, "%s/%s", shown, name);
    if (carry_content(sub, copy, depth + 1, shown, err) < 0)
        return -1;
    /* Last: the mode may forbid writing, and writing changes the mtime. */
    int rc = set_attributes(to, name, &st);
    return rc < 0 ? hfc_error_set(err, errno, "%s/%s", shown, name) : 0;
}

int tree_carry(int from, int to, const char *name, const char *shown, struct hfc_error *err)
{
    return carry(from, to, name, 0, shown, err);
}
