/* fs_dir.c: reading directories; see fs_internal.h.
 *
 * An offset is the number of an entry: 0 is ".", 1 "..", then the names in byte order. It stays
 * valid as long as the tree; if another one comes between two calls, names may be missed or told
 * twice, as POSIX allows of what changes meanwhile. .hfcache is not told.
 */
#include <errno.h>
#include <string.h>

#include "fs_internal.h"

/* On the stack; a larger wish is answered in part, as the kernel is used to. */
enum { ANSWER_MAX = 16 * 1024 };

struct listing {
    fuse_req_t req;
    const struct fs *fs;
    const struct item *dir;
    bool plus;
    size_t max, used;
    char bytes[ANSWER_MAX];
};

static void parent_of(const struct item *dir, struct node *n)
{
    if (dir->tree == NULL || !nametree_parent(dir->tree, &dir->node, n))
        *n = (struct node){.id = NAMETREE_ROOT, .is_directory = true, .links = 2};
}

/* The i-th entry. `name` has room for one. */
static bool entry_at(const struct item *dir, uint64_t i, struct node *n, char *name)
{
    if (i < 2) {
        if (i == 0)
            *n = dir->node;
        else
            parent_of(dir, n);
        memcpy(name, "..", 3);
        name[i + 1] = '\0';
        return true;
    }
    if (dir->node.id == HIDDEN_ID) {
        *n = (struct node){.id = ALIVE_ID, .size = ALIVE_SIZE, .links = 1};
        memcpy(name, FS_ALIVE, sizeof(FS_ALIVE));
        return i == 2;
    }
    if (dir->tree == NULL || i - 2 > UINT32_MAX ||
        !nametree_child(dir->tree, &dir->node, (uint32_t)(i - 2), n) ||
        n->name_len > NAME_MAX_BYTES)
        return false;
    memcpy(name, n->name, n->name_len);
    name[n->name_len] = '\0';
    return true;
}

/* "." and ".." are no lookups: their node id is left out. */
static size_t put(struct listing *l, const struct node *n, const char *name, uint64_t i)
{
    char *to = l->bytes + l->used;
    size_t room = l->max - l->used;
    struct fuse_entry_param e;

    node_entry(l->fs, n, &e);
    if (!l->plus)
        return fuse_add_direntry(l->req, to, room, name, &e.attr, (off_t)(i + 1));
    if (i < 2)
        e.ino = 0;
    return fuse_add_direntry_plus(l->req, to, room, name, &e, (off_t)(i + 1));
}

static void list(struct listing *l, uint64_t offset)
{
    char name[NAME_MAX_BYTES + 1];
    struct node n;

    for (uint64_t i = offset; entry_at(l->dir, i, &n, name); i++) {
        size_t need = put(l, &n, name, i);
        if (need > l->max - l->used)
            break;
        l->used += need;
    }
    (void)fuse_reply_buf(l->req, l->bytes, l->used);
}

static void read_directory(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, bool plus)
{
    autoitem struct item dir;
    struct listing l;
    int errnum = item_of(fs_of(req), id, &dir);

    if (errnum == 0 && !dir.node.is_directory)
        errnum = ENOTDIR;
    if (errnum != 0) {
        (void)fuse_reply_err(req, errnum);
        return;
    }
    l.req = req;
    l.fs = fs_of(req);
    l.dir = &dir;
    l.plus = plus;
    l.max = size < ANSWER_MAX ? size : ANSWER_MAX;
    l.used = 0;
    list(&l, (uint64_t)offset);
}

void fs_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *fi)
{
    (void)fi;
    read_directory(req, id, size, offset, false);
}

void fs_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    (void)fi;
    read_directory(req, id, size, offset, true);
}
