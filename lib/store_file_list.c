/* store_file_list.c: all keys that begin with a prefix, in byte order; see store.h.
 *
 * A walk through the folders, depth first. In memory are the names of the folders on the way down,
 * open is the one at the end of the way. Names that can't be keys, and what is neither a regular
 * file nor a link to one inside the store, are passed over. So is what vanishes meanwhile.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "key.h"

static const int FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/* A folder on the way. */
struct level {
    struct level *above;
    struct hfc_dir_names *names;
    size_t next;     /* of names */
    size_t path_len; /* of its path with a slash at the end; the root's is 0 */
};

struct hfc_dir_walk {
    struct hfc_dir *dir;
    char path[HFC_KEY_MAX + 1]; /* of the lowest level, or of what is looked at in it */
    const char *filter;         /* what names in the topmost level begin with */
    struct level *level;
};

/* ---- Levels. ---- */

static void push(struct hfc_dir_walk *w, int fd, size_t path_len)
{
    struct level *l = hfc_dir_alloc(sizeof(*l));

    *l = (struct level){w->level, hfc_dir_names_new(fd), 0, path_len};
    w->level = l;
}

static void pop(struct hfc_dir_walk *w)
{
    struct level *l = w->level;

    w->level = l->above;
    hfc_dir_names_free(l->names);
    free(l);
}

void hfc_dir_walk_free(struct hfc_dir_walk *w)
{
    while (w != NULL && w->level != NULL)
        pop(w);
    free(w);
}

/* The path of a name in the lowest level, in w->path. False: too long for a key. */
static bool set_path(struct hfc_dir_walk *w, const char *name)
{
    size_t n = strlen(name);

    if (w->level->path_len + n > HFC_KEY_MAX)
        return false;
    memcpy(w->path + w->level->path_len, name, n + 1);
    return true;
}

/* Errors that mean that there is nothing (any more), or nothing of ours. */
static bool is_nothing(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == EXDEV || errnum == ELOOP ||
           errnum == ENAMETOOLONG;
}

/* ---- Names. ---- */

/* The target of a link, which has to lie in the store. */
static bool follow(struct hfc_dir_walk *w, const char *name, struct stat *st)
{
    hfc_autoclose int fd =
        set_path(w, name) ? hfc_dir_open(w->dir, w->path, O_PATH | O_CLOEXEC) : -1;

    return fd >= 0 && fstat(fd, st) == 0;
}

static bool look_at(struct hfc_dir_walk *w, int fd, const char *name, struct stat *st)
{
    if (fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    return !S_ISLNK(st->st_mode) || (follow(w, name, st) && S_ISREG(st->st_mode));
}

static enum hfc_dir_take kind_of(struct hfc_dir_walk *w, int fd, const struct dirent *e)
{
    struct stat st;

    if (e->d_type == DT_REG)
        return HFC_DIR_FILE;
    if (e->d_type == DT_DIR)
        return HFC_DIR_FOLDER;
    if ((e->d_type != DT_UNKNOWN && e->d_type != DT_LNK) || !look_at(w, fd, e->d_name, &st))
        return HFC_DIR_SKIP;
    return S_ISREG(st.st_mode) ? HFC_DIR_FILE : S_ISDIR(st.st_mode) ? HFC_DIR_FOLDER : HFC_DIR_SKIP;
}

/* A filter "a" lets the folder "a" through, one "a/" is never asked about here. */
static enum hfc_dir_take take_name(void *ctx, int fd, const struct dirent *e)
{
    struct hfc_dir_walk *w = ctx;
    const char *name = e->d_name;

    if (hfc_is_dots(name, strlen(name)) || !hfc_is_utf8(name))
        return HFC_DIR_SKIP;
    if (w->level->path_len == 0 && strcmp(name, HFC_DIR_UPLOADS) == 0)
        return HFC_DIR_SKIP;
    if (w->level->above == NULL && strncmp(name, w->filter, strlen(w->filter)) != 0)
        return HFC_DIR_SKIP;
    return kind_of(w, fd, e);
}

/* ---- The walk. ---- */

static void fail(struct hfc_dir_op *o, int errnum)
{
    struct hfc_error err;
    const struct hfc_dir_walk *w = o->walk;

    (void)hfc_error_set(&err, errnum, "%s/%s: list", hfc_store_url(&w->dir->base), w->path);
    hfc_store_op_end(&o->op, NULL, &err);
}

/* Opens the folder in w->path and goes down into it. */
static bool go_down(struct hfc_dir_op *o)
{
    struct hfc_dir_walk *w = o->walk;
    size_t n = strlen(w->path);

    w->path[n - 1] = '\0';
    int fd = hfc_dir_open(w->dir, w->path, FOLDER);
    if (fd < 0 && !is_nothing(errno)) {
        fail(o, errno);
        return false;
    }
    w->path[n - 1] = '/';
    if (fd >= 0) {
        hfc_dir_names_close(w->level->names);
        push(w, fd, n);
    }
    return true;
}

/* Gives the file in w->path to the caller. */
static void give(struct hfc_dir_op *o, const char *name)
{
    struct hfc_dir_walk *w = o->walk;
    struct hfc_object object;
    struct stat st;

    if (!look_at(w, dirfd(w->level->names->dir), name, &st) || !S_ISREG(st.st_mode))
        return;
    hfc_dir_object(-1, &st, &object);
    o->op.call.item(o->op.ctx, hfc_store_short_key(o->op.store, w->path), &object);
}

/* Opens the lowest level again, after levels below it were done. */
static bool reopen(struct hfc_dir_op *o)
{
    struct hfc_dir_walk *w = o->walk;
    struct level *l = w->level;

    if (l->names->dir != NULL)
        return true;
    if (l->path_len > 0)
        w->path[l->path_len - 1] = '\0';
    int fd = hfc_dir_open(w->dir, l->path_len > 0 ? w->path : ".", FOLDER);
    int rc = errno;
    if (l->path_len > 0)
        w->path[l->path_len - 1] = '/';
    if (fd >= 0) {
        hfc_dir_names_reopen(l->names, fd);
        return true;
    }
    w->path[l->path_len] = '\0';
    if (!is_nothing(rc)) {
        fail(o, rc);
        return false;
    }
    l->next = l->names->n;
    return true;
}

/* One name of the lowest level, or up if there is none. False: the operation has ended. */
static bool visit_next(struct hfc_dir_op *o)
{
    struct hfc_dir_walk *w = o->walk;
    struct level *l = w->level;

    if (l->next == l->names->n) {
        pop(w);
        return true;
    }
    const char *name = l->names->at[l->next];
    bool is_folder = name[strlen(name) - 1] == '/';
    if (!is_folder && !reopen(o))
        return false;
    if (l->next == l->names->n) /* the folder has vanished */
        return true;
    l->next++;
    if (!set_path(w, name))
        return true;
    if (is_folder)
        return go_down(o);
    give(o, name);
    return !o->op.ended;
}

static void walk(struct hfc_dir_op *o)
{
    struct hfc_dir_walk *w = o->walk;

    for (unsigned i = 0; w->level != NULL && i < HFC_DIR_TURN_ITEMS; i++) {
        if (w->level->names->at != NULL) {
            if (!visit_next(o))
                return;
            continue;
        }
        int rc = hfc_dir_names_read(w->level->names, take_name, w);
        if (rc < 0) {
            fail(o, errno);
            return;
        }
        i += HFC_DIR_TURN_ITEMS / 2;
    }
    if (w->level == NULL)
        hfc_dir_succeed(o, NULL);
    else
        hfc_dir_next(o, walk);
}

/* Whether there can be keys below a folder (without a slash at its end). */
static bool can_be_folder(const char *path)
{
    size_t own = strlen(HFC_DIR_UPLOADS);

    if (strncmp(path, HFC_DIR_UPLOADS, own) == 0 && (path[own] == '\0' || path[own] == '/'))
        return false;
    return hfc_key_fault(path) == NULL;
}

/* The prefix is a folder, and what names in it begin with. */
void hfc_dir_list(struct hfc_dir_op *o)
{
    struct hfc_dir *d = (struct hfc_dir *)o->op.store;
    char *slash = strrchr(o->op.key, '/');
    size_t n = slash != NULL ? (size_t)(slash - o->op.key) : 0;

    assert(o->walk == NULL);
    o->walk = hfc_dir_alloc(sizeof(*o->walk));
    o->walk->dir = d;
    o->walk->filter = slash != NULL ? slash + 1 : o->op.key;
    memcpy(o->walk->path, o->op.key, n);
    if (slash != NULL && !can_be_folder(o->walk->path)) {
        hfc_dir_succeed(o, NULL);
        return;
    }
    int fd = hfc_dir_open(d, slash != NULL ? o->walk->path : ".", FOLDER);
    if (fd < 0 && is_nothing(errno)) {
        hfc_dir_succeed(o, NULL);
    } else if (fd < 0) {
        fail(o, errno);
    } else {
        if (slash != NULL)
            o->walk->path[n++] = '/';
        push(o->walk, fd, n);
        hfc_dir_next(o, walk);
    }
}
