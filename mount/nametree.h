/* nametree.h: the names that the mount shows, in one compact, unchanging table.
 *
 * Built once from the bucket's entries in the order of their keys, then only read; a new tree takes
 * its place when the bucket changes (catalog.h). Costs about NAMETREE_NAME bytes a name beside the
 * name itself, its ETag and its digest, counted against a cap.
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

enum { NAMETREE_ROOT = 1, NAMETREE_NAME = 80 };

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
 * listing). A key that is also a folder of another is left out, as are names over 255 bytes and
 * keys below .hfcache/. -1: the cap is reached (ENOMEM; the message says how much is needed, as far
 * as known, and which option helps), or the order is wrong. */
struct nametree_builder;
struct nametree_builder *nametree_builder_new(size_t max_bytes);
int nametree_add(struct nametree_builder *b, const struct hfc_entry *e, struct hfc_error *err);
/* Ends the builder. `version` is kept: the ETag of the index, say. */
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

bool nametree_root(const struct nametree *t, struct node *n);
bool nametree_by_id(const struct nametree *t, uint64_t id, struct node *n);
bool nametree_lookup(const struct nametree *t, const struct node *dir, const char *name,
                     struct node *n);
bool nametree_parent(const struct nametree *t, const struct node *of, struct node *n);
/* The i-th name of a directory, in byte order; false beyond the last. */
bool nametree_child(const struct nametree *t, const struct node *dir, uint32_t i, struct node *n);
/* By path relative to the root, "" the root itself. */
bool nametree_path(const struct nametree *t, const char *path, struct node *n);

/* Of a file: its key, ETag, digests. Strings are written to `key` (HFC_KEY_MAX + 1) and point into
 * the tree. `info` is what cache.h wants. */
struct blob_info;
void nametree_info(const struct nametree *t, const struct node *n, char *key,
                   struct blob_info *info);

#endif
