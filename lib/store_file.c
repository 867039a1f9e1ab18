/* store_file.c: a directory as a store: opening, operations, and the short ones of them; see
 * store.h. The other operations are in files of their own; store_file.h tells what is where.
 *
 * What is on disk while an operation runs is a temporary file. It becomes the object by a rename,
 * so that a reader, or a kill, sees the old object or the new one.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "key.h"
#include "uri.h"

enum { URL_PATH_MAX = 4096, SEGMENT_MAX = 255 };

/* ---- Operations. ---- */

void *hfc_dir_alloc(size_t n)
{
    void *p = calloc(1, n);

    if (p == NULL)
        abort();
    return p;
}

static void turn(void *ctx)
{
    struct hfc_dir_op *o = ctx;

    if (!o->op.ended)
        o->step(o);
}

void hfc_dir_next(struct hfc_dir_op *o, void (*step)(struct hfc_dir_op *o))
{
    assert(step != NULL);
    o->step = step;
    hfc_timer_start(o->op.store->loop, &o->timer, 0, turn, o);
}

void hfc_dir_refuse(struct hfc_dir_op *o, int errnum, const char *text)
{
    struct hfc_error err;

    (void)hfc_error_set(&err, 0, "%.600s: %s", o->op.key, text);
    err.errnum = errnum;
    hfc_store_op_end(&o->op, NULL, &err);
}

void hfc_dir_fail(struct hfc_dir_op *o, int errnum, const char *doing)
{
    struct hfc_error err;

    (void)hfc_error_set(&err, errnum, "%.600s: %s", o->op.key, doing);
    hfc_store_op_end(&o->op, NULL, &err);
}

void hfc_dir_succeed(struct hfc_dir_op *o, const struct hfc_object *object)
{
    struct hfc_store_reply reply = {0};

    if (object != NULL)
        reply.object = *object;
    hfc_store_op_end(&o->op, &reply, NULL);
}

/* Why a key can't be a file of this store, or NULL. */
static const char *unusable(const char *key)
{
    size_t own = strlen(HFC_DIR_UPLOADS);
    const char *fault = hfc_key_fault(key);

    if (fault != NULL)
        return fault;
    if (strncmp(key, HFC_DIR_UPLOADS, own) == 0 && (key[own] == '\0' || key[own] == '/'))
        return "the name is the store's own";
    for (const char *s = key; *s != '\0'; s += *s == '/') {
        size_t n = strcspn(s, "/");
        if (n > SEGMENT_MAX)
            return "a name in the key has more than 255 bytes";
        s += n;
    }
    return NULL;
}

static void begin(struct hfc_store_op *op, void (*step)(struct hfc_dir_op *o))
{
    struct hfc_dir_op *o = (struct hfc_dir_op *)op;
    bool is_list = op->kind == HFC_OP_LIST || op->kind == HFC_OP_LIST_UPLOADS;
    const char *fault = is_list ? NULL : unusable(op->key);

    o->fd = o->from = -1;
    op->store->stats.requests++;
    hfc_dir_next(o, step);
    if (fault == NULL && op->from != NULL)
        fault = unusable(op->from);
    if (fault != NULL)
        hfc_dir_refuse(o, EINVAL, fault);
}

static void release(struct hfc_store_op *op)
{
    struct hfc_dir_op *o = (struct hfc_dir_op *)op;

    if (o->step == NULL)
        return;
    hfc_timer_stop(&o->timer);
    if (o->fd >= 0)
        (void)close(o->fd);
    if (o->from >= 0)
        (void)close(o->from);
    if (o->temp[0] != '\0')
        hfc_dir_remove_temp((struct hfc_dir *)op->store, o->temp);
    free(o->buffer);
    hfc_dir_names_free(o->names);
    hfc_hash_free(o->hash);
    hfc_dir_walk_free(o->walk);
}

static void resume(struct hfc_store_op *op)
{
    struct hfc_dir_op *o = (struct hfc_dir_op *)op;

    if (o->step != NULL)
        hfc_dir_next(o, o->step);
}

/* ---- HEAD and DELETE. ---- */

static void head(struct hfc_dir_op *o)
{
    struct hfc_object object;
    struct stat st;
    hfc_autoclose int fd = hfc_dir_open_object((struct hfc_dir *)o->op.store, o->op.key, &st);

    if (fd < 0) {
        hfc_dir_fail(o, errno, "head");
        return;
    }
    hfc_dir_object(fd, &st, &object);
    hfc_dir_succeed(o, &object);
}

/* A folder is no object: there is nothing to remove then. Returns an errno value. */
static int remove_object(struct hfc_dir *d, const char *key)
{
    const char *name;
    struct stat st;

    if (hfc_dir_root(d, false) < 0)
        return errno;
    hfc_autoclose int lock = hfc_dir_lock(d);
    if (lock < 0)
        return errno;
    hfc_autoclose int parent = hfc_dir_parent(d, key, false, &name);
    if (parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return 0;
    if (unlinkat(parent, name, 0) < 0 || fsync(parent) < 0)
        return errno;
    hfc_dir_prune(d, key);
    return 0;
}

static void delete_object(struct hfc_dir_op *o)
{
    int rc = remove_object((struct hfc_dir *)o->op.store, o->op.key);

    if (rc == 0 || rc == ENOENT || rc == ENOTDIR)
        hfc_dir_succeed(o, NULL);
    else
        hfc_dir_fail(o, rc, "delete");
}

/* ---- The table. ---- */

#define START(name, step)                                                                          \
    static void start_##name(struct hfc_store_op *op)                                              \
    {                                                                                              \
        begin(op, step);                                                                           \
    }

START(list, hfc_dir_list)
START(head, head)
START(get, hfc_dir_get)
START(put, hfc_dir_put)
START(copy, hfc_dir_copy)
START(delete, delete_object)
START(create, hfc_dir_create)
START(put_part, hfc_dir_put_part)
START(list_parts, hfc_dir_list_parts)
START(complete, hfc_dir_complete)
START(abort, hfc_dir_abort)
START(list_uploads, hfc_dir_list_uploads)

static void close_dir(struct hfc_store *s)
{
    struct hfc_dir *d = (struct hfc_dir *)s;

    if (d->root >= 0)
        (void)close(d->root);
    if (d->parent >= 0)
        (void)close(d->parent);
    free(d->name);
    free(d);
}

static const struct hfc_store_backend backend = {
    .op_size = sizeof(struct hfc_dir_op),
    .start =
        {
            [HFC_OP_LIST] = start_list,
            [HFC_OP_HEAD] = start_head,
            [HFC_OP_GET] = start_get,
            [HFC_OP_PUT] = start_put,
            [HFC_OP_COPY] = start_copy,
            [HFC_OP_DELETE] = start_delete,
            [HFC_OP_CREATE] = start_create,
            [HFC_OP_PUT_PART] = start_put_part,
            [HFC_OP_LIST_PARTS] = start_list_parts,
            [HFC_OP_COMPLETE] = start_complete,
            [HFC_OP_ABORT] = start_abort,
            [HFC_OP_LIST_UPLOADS] = start_list_uploads,
        },
    .resume = resume,
    .release = release,
    .close = close_dir,
};

/* ---- Opening. ---- */

/* The path of file:///DIR without slashes at its end (but for "/" itself). -1: it has none. */
static int path_of(const char *url, const char *rest, struct hfc_buf *path, struct hfc_error *err)
{
    if (rest[0] == '/' && hfc_uri_decode(path, rest, strlen(rest)) && !hfc_buf_failed(path)) {
        while (path->len > 1 && path->data[path->len - 1] == '/')
            path->data[--path->len] = '\0';
        return 0;
    }
    (void)hfc_error_set(err, 0, "%.200s: a directory is given as file:///DIR", url);
    if (err != NULL)
        err->errnum = EINVAL;
    return -1;
}

/* DIR itself may come later, the folder it is in may not. */
static int open_folders(struct hfc_dir *d, const char *path, struct hfc_error *err)
{
    const char *slash = strrchr(path, '/');
    hfc_autofree char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));

    d->name = strdup(slash + 1);
    if (parent == NULL || d->name == NULL)
        return hfc_error_set(err, ENOMEM, "%s", path);
    d->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->root >= 0)
        return 0;
    if (errno != ENOENT)
        return hfc_error_set(err, errno, "%s", path);
    d->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d->parent >= 0 ? 0 : hfc_error_set(err, errno, "%s", parent);
}

struct hfc_store *hfc_store_file_open(struct hfc_loop *loop, const char *url, const char *rest,
                                      const struct hfc_store_config *config, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf path = HFC_BUF(URL_PATH_MAX);

    if (path_of(url, rest, &path, err) < 0)
        return NULL;
    struct hfc_dir *d = hfc_dir_alloc(sizeof(*d));
    hfc_store_init(&d->base, &backend, loop, url, "", config);
    d->root = d->parent = -1;
    if (open_folders(d, path.data, err) < 0) {
        hfc_store_close(&d->base);
        return NULL;
    }
    return &d->base;
}
