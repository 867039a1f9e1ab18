/* catalog.h: keeps the tree current: the bucket's index, or a listing of it, and the copy on disk.
 *
 * At start the copy in the cache directory is served at once; then, each refresh interval (jittered
 * by a tenth), the index is asked for with If-None-Match, or, where there is none, the bucket is
 * listed. A new tree is built while the bytes arrive, and they go to a file beside the copy; what
 * has come in full, and right, replaces the copy (rename), then becomes the tree. An index that is
 * gone, broken, or too large for the memory changes nothing: the tree and its copy stay, a log line
 * and a metric say so. A bucket that has never had an index is listed; refs are then objects like
 * others. A file: store is treated the same. After a failure the next look comes after a quarter of
 * the interval.
 *
 * The copy is an index (docs/index-format.md), also if it was made from a listing. "index.etag"
 * holds the ETag it had and the SHA-256 of the whole copy, as one line; without it, or if it is of
 * another copy, the index is loaded anew. Files "*.new" beside them are what a crash has left.
 *
 * Threads: catalog_tree(), catalog_retired() and catalog_age_ms() any; the rest the loop's. One
 * lock inside, for the pointer and the retired refs.
 */
#ifndef MOUNT_CATALOG_H
#define MOUNT_CATALOG_H

#include "nametree.h"
#include "store.h"

struct catalog;

struct catalog_config {
    struct hfc_loop *loop;
    int directory;     /* the cache's; -1: no copy on disk */
    size_t tree_max;   /* bytes of a tree */
    unsigned interval; /* s */
    /* After each look at the bucket, on the loop's thread; `err` NULL: it worked. May be NULL. */
    void (*looked)(void *ctx, bool changed, const struct hfc_error *err);
    void *ctx;
};

/* Reads the copy on disk; starts nothing. */
struct catalog *catalog_new(const struct catalog_config *config);
/* Its store has to be taken away and closed before. NULL is fine. */
void catalog_free(struct catalog *c);

/* The bucket to look at, from now on; the first look is at once. NULL: stop looking. */
void catalog_use_store(struct catalog *c, struct hfc_store *store);

/* The tree, with a reference of the caller's; NULL: none is known yet. */
struct nametree *catalog_tree(struct catalog *c);

/* Nodes of refs that the last trees had and this one has not: open files go on reading what they
 * had. At most RETIRED_MAX are kept. Such a node has no name and no place in a tree. */
enum { RETIRED_MAX = 1024 };
bool catalog_retired(struct catalog *c, uint64_t id, struct node *n);

/* Looks now (SIGHUP, an object that changed), but not more often than once in two seconds: soon
 * then. If a look is under way, there is another one after it. */
void catalog_look(struct catalog *c);

/* Milliseconds since the tree was last known to be current; -1: never yet. */
int64_t catalog_age_ms(const struct catalog *c);

#endif
