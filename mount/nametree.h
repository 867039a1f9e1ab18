/* nametree.h: the names that the mount shows, in one compact, unchanging table.
 *
 * Built once from the bucket's entries in the order of their keys, then only read; a new tree takes
 * its place when the bucket changes (catalog.h). Costs NAMETREE_NAME bytes a name beside the name
 * itself (equal ones mostly stand once), its ETag (17 bytes if it is an MD5) and its digest (32 or
 * 20 bytes), counted against a cap. Building takes no more than that: memory grows by remapping.
 *
 * Node ids are computed from path and version (64 bits of SipHash with a fixed key), so that they
 * mean the same to the next worker and in the next tree: a directory's from its path, a file's from
 * path and ETag, a ref's from path and commit. The root is 1. Bit 0 is clear in all others: an id
 * with bit 0 set is the same blob opened in passthrough ("warm"). Two names with the same id: the
 * second is left out and counted.
 *
 * Threads: a finished tree is read by many; nametree_ref() and nametree_unref() are atomic.
 */
#ifndef MOUNT_NAMETREE_H
#define MOUNT_NAMETREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "index.h"

enum { NAMETREE_ROOT = 1, NAMETREE_NAME = 44 };

struct nametree;

struct node {
    uint64_t id;
    uint64_t size; /* a ref's: 40 */
    bool is_directory;
    bool is_ref; /* content: `commit` */
    char commit[HFC_COMMIT_SIZE];
    const char *name; /* not terminated */
    size_t name_len;
    uint32_t links; /* directories: 2 and one for each in it */
    uint32_t at;    /* of the tree: for the functions below */
};

/* A tree under construction; takes entries in the order of their keys (hfc_entry of an index or a
 * listing). A key that is also a folder of another is left out, as are names over 255 bytes, keys
 * that are no paths, .hfcache and what is below it. -1: the cap is reached (ENOMEM; the message
 * says which option helps), or the order is wrong (EBADMSG). Whoever goes on after ENOMEM learns
 * from finish() how much is needed. */
struct nametree_builder;
struct nametree_builder *nametree_builder_new(size_t max_bytes);
int nametree_add(struct nametree_builder *b, const struct hfc_entry *e, struct hfc_error *err);
/* Ends the builder and frees it, also if it fails. `version` is kept: the ETag of the index, say.
 */
struct nametree *nametree_finish(struct nametree_builder *b, const char *version,
                                 struct hfc_error *err);
void nametree_builder_free(struct nametree_builder *b);

struct nametree *nametree_ref(struct nametree *t);
void nametree_unref(struct nametree *t); /* NULL is fine */

size_t nametree_names(const struct nametree *t); /* files and directories */
size_t nametree_memory(const struct nametree *t);
size_t nametree_left_out(const struct nametree *t);
const char *nametree_version(const struct nametree *t);
uint64_t nametree_bytes(const struct nametree *t); /* sum of all sizes */

/* Of these functions a node has to come from the same tree. False: there is none. */
bool nametree_root(const struct nametree *t, struct node *n);
bool nametree_by_id(const struct nametree *t, uint64_t id, struct node *n);
bool nametree_lookup(const struct nametree *t, const struct node *dir, const char *name,
                     struct node *n);
bool nametree_parent(const struct nametree *t, const struct node *of, struct node *n);
/* The i-th name of a directory, in byte order; false beyond the last. */
bool nametree_child(const struct nametree *t, const struct node *dir, uint32_t i, struct node *n);
/* By path relative to the root, "" the root itself. */
bool nametree_path(const struct nametree *t, const char *path, struct node *n);

/* The first ref at or behind position *at (0: from the begin), which is moved behind it. */
bool nametree_next_ref(const struct nametree *t, uint32_t *at, struct node *n);

/* Of a file: id, size, key, ETag, and one digest: SHA-256 if it is known, else git's SHA-1. `info`,
 * which is what cache.h wants, points into `strings`. Of a ref the ETag is its commit. */
struct nametree_strings {
    char key[HFC_KEY_MAX + 1], etag[HFC_ETAG_MAX];
};
struct blob_info;
void nametree_info(const struct nametree *t, const struct node *n, struct nametree_strings *strings,
                   struct blob_info *info);

#endif
