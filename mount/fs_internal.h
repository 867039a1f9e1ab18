/* fs_internal.h: what fs*.c share; see fs.h.
 *
 * fs.c the operations on files; fs_item.c which node an id or a name is; fs_dir.c directories;
 * fs_xattr.c extended attributes.
 */
#ifndef MOUNT_FS_INTERNAL_H
#define MOUNT_FS_INTERNAL_H

#include <stdatomic.h>

#include "fs.h"

/* Ids that nametree.h gives to nobody. */
enum { HIDDEN_ID = 2, ALIVE_ID = 4, ALIVE_SIZE = 64, NAME_MAX_BYTES = 255, FRAGMENT = 4096 };

struct fs {
    struct fs_config config;
    _Atomic(struct session *) session;
};

/* Where a node was found: in the tree, among those that the tree has lost, in the cache alone, or
 * it is one of our own. */
enum origin { IN_TREE, RETIRED, IN_CACHE, OWN };

/* A node with what it needs to stay valid. */
struct item {
    enum origin origin;
    struct nametree *tree; /* IN_TREE, and the root if there is one */
    struct blob *blob;     /* IN_CACHE */
    struct node node;
};

/* 0, or an errno. Of an id: ESTALE, or EIO as long as there is no tree. */
int item_of(struct fs *fs, fuse_ino_t id, struct item *item);
int item_named(const struct item *dir, const char *name, struct item *item);
void item_drop(struct item *item); /* zeroed is fine */
#define autoitem __attribute__((cleanup(item_drop)))

/* A use of the blob of a file that is no ref and not our own. NULL: too many are in use. */
struct blob *item_blob(struct fs *fs, const struct item *item);

void node_stat(const struct node *n, struct stat *st);
void node_entry(const struct fs *fs, const struct node *n, struct fuse_entry_param *e);
double node_timeout(const struct fs *fs, const struct node *n); /* of its attributes */
bool node_own(const struct node *n);                            /* of .hfcache */

/* fs_dir.c, fs_xattr.c */
void fs_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                struct fuse_file_info *fi);
void fs_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *fi);
void fs_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size);
void fs_listxattr(fuse_req_t req, fuse_ino_t id, size_t size);

static inline struct fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

#endif
