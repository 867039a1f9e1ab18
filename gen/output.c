/* output.c: generated files that change all at once; see output.h.
 *
 * The staging folder `.NAME.hfcache-gen` beside the target holds
 *   new     the state being built; after the exchange, the old state
 *   old     the old state, where the file system cannot exchange: the target is renamed to this,
 *           then `new` to the target. A kill in between leaves no target; the next run finds `old`
 *           and puts it back.
 * A flock on the staging folder keeps a second run out. The folder is removed by its owner while
 * locked, so whoever gets the lock later must check that the folder is still the one in place.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "arena.h"
#include "cleanup.h"
#include "file.h"
#include "output.h"
#include "output_internal.h"

enum {
    FOLDERS_MAX = 2,
    LOCK_TRIES = 100, /* each failure means that another run came and went meanwhile */
    COMPARE_MAX = 1 << 30,
};

struct kept {
    const struct kept *next;
    char name[];
};

struct output {
    struct arena *a;
    const char *dir;                 /* as the user gave it */
    const char *base, *staging_name; /* in the parent */
    int parent, staging, new;
    int old;       /* the target as it was, -1: there was none */
    bool stranded; /* a failed swap left the old state in the staging folder */
    const struct kept *kept;
    struct output_counts counts;
    unsigned long replaced; /* of counts.written: the old target had a file there */
    unsigned long new_folders, same_folders;
    /* The folder that was used last: names come sorted, mostly. */
    char *folder; /* its path; NULL: none, the descriptors are -1 */
    int folder_new, folder_old;
    struct hfc_buf content;
};

static int call_exchange(int dirfd, const char *a, int dirfd2, const char *b)
{
    return renameat2(dirfd, a, dirfd2, b, RENAME_EXCHANGE);
}

static int call_link(int dirfd, const char *old, int newdirfd, const char *new)
{
    return linkat(dirfd, old, newdirfd, new, 0);
}

struct output_calls output_calls = {
    .exchange = call_exchange, .link = call_link, .rename = renameat};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(hfc_steal_fd(fd));
}

static void forget_folder(struct output *o)
{
    close_fd(&o->folder_new);
    close_fd(&o->folder_old);
    hfc_cleanup_free(&o->folder);
    o->folder = NULL;
}

/* Gives back the memory and the lock; the staging folder stays. */
static void output_free(struct output *o)
{
    forget_folder(o);
    close_fd(&o->new);
    close_fd(&o->old);
    close_fd(&o->staging);
    close_fd(&o->parent);
    hfc_buf_free(&o->content);
    arena_free(o->a);
}

/* Removes the staging folder and what is in it. */
static int drop_staging(struct output *o, struct hfc_error *err)
{
    if (tree_clear(o->staging, o->staging_name, err) < 0)
        return -1;
    int rc = unlinkat(o->parent, o->staging_name, AT_REMOVEDIR);
    return rc < 0 ? hfc_error_set(err, errno, "cannot remove %s", o->staging_name) : 0;
}

/* Splits `dir` into the parent, which is opened, and the name in it. */
static int open_parent(struct output *o, struct hfc_error *err)
{
    char *path = arena_strdup(o->a, o->dir);
    size_t n = strlen(path);

    /* "DIR/" and "DIR/." mean DIR. */
    while (n > 0 && (path[n - 1] == '/' || (n > 1 && path[n - 1] == '.' && path[n - 2] == '/')))
        path[--n] = '\0';
    char *slash = strrchr(path, '/');
    const char *parent = slash == NULL ? "." : slash == path ? "/" : path;
    o->base = slash == NULL ? path : slash + 1;
    if (*o->base == '\0' || strcmp(o->base, ".") == 0 || strcmp(o->base, "..") == 0)
        return hfc_error_set(err, EINVAL, "%s cannot be replaced as a whole", o->dir);
    if (slash != NULL)
        *slash = '\0';
    o->staging_name = arena_printf(o->a, ".%s.hfcache-gen", o->base);
    o->parent = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return o->parent < 0 ? hfc_error_set(err, errno, "%s", parent) : 0;
}

/* Whether the open folder is (still) the one with this name. */
static bool is_in_place(int dirfd, const char *name, int fd)
{
    struct stat a, b;

    return fstatat(dirfd, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int set_busy(const struct output *o, struct hfc_error *err)
{
    (void)hfc_error_set(err, 0, "another hfcache-gen is writing %s", o->dir);
    if (err != NULL)
        err->errnum = EBUSY;
    return -1;
}

/* Makes the staging folder, or takes over one that a killed run has left. */
static int lock_staging(struct output *o, struct hfc_error *err)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (mkdirat(o->parent, o->staging_name, 0700) < 0 && errno != EEXIST)
            return hfc_error_set(err, errno, "cannot make %s beside %s", o->staging_name, o->dir);
        hfc_autoclose int fd = tree_open(o->parent, o->staging_name);
        if (fd < 0 && errno != ENOENT)
            return hfc_error_set(err, errno, "%s beside %s", o->staging_name, o->dir);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
            return errno == EWOULDBLOCK ? set_busy(o, err)
                                        : hfc_error_set(err, errno, "%s", o->staging_name);
        if (fd >= 0 && is_in_place(o->parent, o->staging_name, fd)) {
            o->staging = hfc_steal_fd(&fd);
            return 0;
        }
    }
    return set_busy(o, err);
}

/* Opens the target if there is one. */
static int open_target(struct output *o, struct hfc_error *err)
{
    struct stat st;

    if (fstatat(o->parent, o->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : hfc_error_set(err, errno, "%s", o->dir);
    if (!S_ISDIR(st.st_mode))
        return hfc_error_set(err, ENOTDIR, "%s is %s", o->dir,
                             S_ISLNK(st.st_mode) ? "a symbolic link" : "no folder");
    o->old = tree_open(o->parent, o->base);
    return o->old < 0 ? hfc_error_set(err, errno, "%s", o->dir) : 0;
}

static bool is_there(int dirfd, const char *name)
{
    return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Undoes what a killed run has left: puts the old state back if there is no target, removes the
 * rest. */
static int recover(struct output *o, struct hfc_error *err)
{
    bool target = is_there(o->parent, o->base), old = is_there(o->staging, "old");

    /* With "new" gone the swap was complete; with it there, the target is somebody else's. */
    if (old && target && is_there(o->staging, "new"))
        return hfc_error_set(err, EEXIST, "%s is in the way of its old state in %s/old: move one",
                             o->dir, o->staging_name);
    if (old && !target && renameat(o->staging, "old", o->parent, o->base) < 0)
        return hfc_error_set(err, errno, "cannot put %s back", o->dir);
    return tree_clear(o->staging, o->staging_name, err);
}

static int begin(struct output *o, struct hfc_error *err)
{
    assert(o->staging < 0 && o->old < 0);
    if (open_parent(o, err) < 0 || lock_staging(o, err) < 0)
        return -1;
    if (recover(o, err) < 0)
        return -1;
    if (open_target(o, err) == 0) {
        if (mkdirat(o->staging, "new", 0777) == 0 && (o->new = tree_open(o->staging, "new")) >= 0)
            return 0;
        (void)hfc_error_set(err, errno, "%s/new", o->staging_name);
    }
    (void)drop_staging(o, NULL);
    return -1;
}

int output_begin(const char *dir, struct output **out, struct hfc_error *err)
{
    struct arena *a = arena_new();
    struct output *o = arena_new_of(a, struct output);

    *o = (struct output){.a = a, .dir = arena_strdup(a, dir)};
    o->parent = o->staging = o->new = o->old = o->folder_new = o->folder_old = -1;
    hfc_buf_init(&o->content, COMPARE_MAX);
    if (begin(o, err) < 0) {
        output_free(o);
        return -1;
    }
    *out = o;
    return 0;
}

/* Whether the first component of a path is kept. */
static bool is_kept(const void *ctx, const char *path)
{
    const struct output *o = ctx;
    size_t n = strcspn(path, "/");

    for (const struct kept *k = o->kept; k != NULL; k = k->next) {
        if (strlen(k->name) == n && memcmp(k->name, path, n) == 0)
            return true;
    }
    return false;
}

/* Refuses paths that could leave the target or are too deep, and what is under a kept name. */
static int check_name(const struct output *o, const char *name, unsigned folders_max,
                      struct hfc_error *err)
{
    unsigned folders = 0;

    for (const char *p = name;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n <= 2 && memcmp(p, "..", n) == 0))
            return hfc_error_set(err, EINVAL, "'%s' is no name for an output file", name);
        p += n;
        if (*p == '\0')
            break;
        folders++;
    }
    if (folders > folders_max)
        return hfc_error_set(err, EINVAL, "'%s' is too many folders deep", name);
    return is_kept(o, name) ? hfc_error_set(err, EEXIST, "%s/%s", o->dir, name) : 0;
}

/* Opens `name` in the new state, where it is made if missing, and in the old one. Both descriptors
 * are replaced by those of the folder. */
static int step_into(struct output *o, const char *name, struct hfc_error *err)
{
    bool made = mkdirat(o->folder_new, name, 0777) == 0;

    if (!made && errno != EEXIST)
        return hfc_error_set(err, errno, "%s/%s", o->dir, name);
    int new = tree_open(o->folder_new, name);
    if (new < 0)
        return hfc_error_set(err, errno, "%s/%s", o->dir, name);
    close_fd(&o->folder_new);
    o->folder_new = new;
    int old = o->folder_old < 0 ? -1 : tree_open(o->folder_old, name);
    close_fd(&o->folder_old);
    o->folder_old = old;
    o->new_folders += made && old < 0;
    o->same_folders += made && old >= 0;
    return 0;
}

/* Makes the n bytes of `path`, folders with slashes between or nothing, the current folder. */
static int enter_folder(struct output *o, const char *path, size_t n, struct hfc_error *err)
{
    if (o->folder != NULL && strlen(o->folder) == n && memcmp(o->folder, path, n) == 0)
        return 0;
    forget_folder(o);
    hfc_autofree char *copy = strndup(path, n);
    hfc_autofree char *rest = strndup(path, n);
    o->folder_new = tree_open(o->new, ".");
    o->folder_old = o->old < 0 ? -1 : tree_open(o->old, ".");
    if (copy == NULL || rest == NULL || o->folder_new < 0)
        return hfc_error_set(err, errno, "%s", o->dir);
    char *save = NULL;
    for (char *p = strtok_r(rest, "/", &save); p != NULL; p = strtok_r(NULL, "/", &save)) {
        if (step_into(o, p, err) < 0)
            return -1;
    }
    o->folder = hfc_steal_ptr(&copy);
    return 0;
}

/* Whether the old state has a file of this name in the current folder; *same: with these bytes. */
static bool find_old(struct output *o, const char *name, const char *bytes, size_t n, bool *same)
{
    struct stat st;

    *same = false;
    if (o->folder_old < 0 || fstatat(o->folder_old, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode))
        return false;
    if ((size_t)st.st_size != n)
        return true;
    hfc_buf_reset(&o->content);
    *same = hfc_file_read(o->folder_old, name, &o->content, NULL) == 0 && o->content.len == n &&
            (n == 0 || memcmp(o->content.data, bytes, n) == 0);
    return true;
}

int output_file(struct output *o, const char *name, const char *bytes, size_t n,
                struct hfc_error *err)
{
    bool same;

    assert(o->new >= 0);
    if (check_name(o, name, FOLDERS_MAX, err) < 0)
        return -1;
    const char *slash = strrchr(name, '/');
    const char *last = slash == NULL ? name : slash + 1;
    if (enter_folder(o, name, slash == NULL ? 0 : (size_t)(slash - name), err) < 0)
        return -1;
    bool existed = find_old(o, last, bytes, n, &same);
    if (same) {
        if (tree_link(o->folder_old, o->folder_new, last, &o->content, o->dir, err) < 0)
            return -1;
        o->counts.unchanged++;
        return 0;
    }
    struct hfc_error why;
    if (hfc_file_create(o->folder_new, last, bytes, n, 0666, &why) < 0)
        return hfc_error_set(err, why.errnum, "%s/%s", o->dir, name);
    o->counts.written++;
    o->replaced += existed;
    return 0;
}

int output_folder(struct output *o, const char *name, struct hfc_error *err)
{
    if (check_name(o, name, FOLDERS_MAX - 1, err) < 0)
        return -1;
    return enter_folder(o, name, strlen(name), err);
}

int output_keep(struct output *o, const char *name, struct hfc_error *err)
{
    size_t n = strlen(name);

    if (check_name(o, name, 0, err) < 0)
        return -1;
    if (faccessat(o->new, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return hfc_error_set(err, EEXIST, "%s/%s", o->dir, name);
    if (o->old >= 0 && tree_carry(o->old, o->new, name, o->dir, err) < 0)
        return -1;
    struct kept *k = arena_alloc(o->a, sizeof(*k) + n + 1);
    memcpy(k->name, name, n);
    k->next = o->kept;
    o->kept = k;
    return 0;
}

/* Completes the counts; *changed: the new state differs from the old one. Files of the old state
 * that were neither linked nor replaced are gone, and so are folders that were not made again. */
static int compare(struct output *o, bool *changed, struct hfc_error *err)
{
    struct tree_sum sum;

    *changed = true;
    if (o->old < 0)
        return 0;
    if (tree_sum(o->old, is_kept, o, o->dir, &sum, err) < 0)
        return -1;
    unsigned long still_there = o->counts.unchanged + o->replaced;
    o->counts.removed = sum.files > still_there ? sum.files - still_there : 0;
    *changed = o->counts.written > 0 || o->counts.removed > 0 || sum.others > 0 ||
               o->new_folders > 0 || sum.folders != o->same_folders;
    return 0;
}

/* For file systems that cannot exchange. A kill between the renames is put right by recover(). */
static int swap_in_two_steps(struct output *o)
{
    if (output_calls.rename(o->parent, o->base, o->staging, "old") < 0)
        return -1;
    if (output_calls.rename(o->staging, "new", o->parent, o->base) == 0) {
        /* From here on it is rubbish, never to be put back. */
        (void)renameat(o->staging, "old", o->staging, "rubbish");
        return 0;
    }
    int why = errno;
    /* Somebody may have put something into the target's place: then "old" is the only copy. */
    o->stranded = output_calls.rename(o->staging, "old", o->parent, o->base) < 0;
    errno = why;
    return -1;
}

static int swap(struct output *o, struct hfc_error *err)
{
    struct stat st;
    int rc;

    assert(o->staging >= 0 && o->new >= 0);
    if (o->old < 0) {
        rc = output_calls.rename(o->staging, "new", o->parent, o->base);
    } else {
        if (fstat(o->old, &st) == 0)
            (void)fchmod(o->new, st.st_mode & 07777); /* what the user had set stays */
        rc = output_calls.exchange(o->staging, "new", o->parent, o->base);
        if (rc < 0 && (errno == EINVAL || errno == ENOSYS))
            rc = swap_in_two_steps(o);
    }
    return rc < 0 ? hfc_error_set(err, errno, "cannot replace %s", o->dir) : 0;
}

int output_commit(struct output *o, struct output_counts *counts, struct hfc_error *err)
{
    bool changed;
    int rc = compare(o, &changed, err);

    if (rc == 0 && changed)
        rc = swap(o, err);
    if (rc == 0 && counts != NULL)
        *counts = o->counts;
    if (o->stranded) {
        (void)hfc_error_prefix(err, "the old state is in %s/old", o->staging_name);
        output_free(o);
        return -1;
    }
    /* The new state is in place; what cannot be removed now, the next run will name. */
    output_abort(o);
    return rc;
}

void output_abort(struct output *o)
{
    if (o == NULL)
        return;
    (void)drop_staging(o, NULL);
    output_free(o);
}
