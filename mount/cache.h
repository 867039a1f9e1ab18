/* cache.h: blobs on the node's disk, within a hard bound.
 *
 * A blob is the content of one version of an object. Its name everywhere is a 64-bit id, computed
 * from key and version (nametree.h). In the cache directory:
 *
 *   lock                flock(2): one worker at a time
 *   blobs/ID.data       sparse, of the blob's size
 *   blobs/ID.map        a header (key, ETag, size, digests, verified), then a record of each block
 *   index, index.etag   the tree as it was last known (catalog.h)
 *
 * docs/cache-format.md is the specification. A block is there if its record is valid; its CRC32C is
 * checked each time it comes from the disk. So whatever a crash, a power cut or a bad disk leaves
 * behind, a block is right or it is not there. Nothing is synced.
 *
 * The bound: `used` follows what is allocated (st_blocks) of all files here, the directory and maps
 * included. Space is reserved before a block is written; room is made by dropping the blobs that
 * have not been read for longest, and of large ones in use the parts that nobody waits for, by
 * punching holes, or where the file system can't, the whole blob. What can't be stored is not
 * stored: BLOB_FULL, and the caller goes on without.
 *
 * A disk that fails (EIO, EROFS, ENOSPC, ENOMEM of inodes ...) makes the cache degraded: nothing is
 * written for DEGRADED_RETRY_S, reads of blocks that are there go on being tried.
 *
 * Threads: any; one lock inside ("the cache's lock"), never held during I/O of a block. No function
 * calls back. Lock order: engine's before cache's.
 */
#ifndef MOUNT_CACHE_H
#define MOUNT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "object.h"

enum { DEGRADED_RETRY_S = 10 };

struct cache_config {
    const char *directory;
    uint64_t limit; /* bytes; 0: `percent` of the file system's size */
    unsigned percent;
    unsigned blobs_max; /* entries of the table; more blobs are dropped like without room */
    unsigned files_max; /* blobs with open files */
};
struct cache;

/* Takes the lock (waiting up to `lock_wait_ms`: a predecessor may be on its way out), removes what
 * it can't use, and finds out what is there (the table; no blob's data is read). Messages say what
 * to do about it. */
struct cache *cache_open(const struct cache_config *config, int lock_wait_ms,
                         struct hfc_error *err);
void cache_close(struct cache *c);          /* NULL is fine */
int cache_directory(const struct cache *c); /* its descriptor, for catalog.h */

/* What identifies and checks a blob; strings are the caller's. */
struct blob_info {
    uint64_t id, size;
    const char *key, *etag;
    struct hfc_meta meta;
};
struct blob; /* a blob in use; the pointer is shared by all its users */

/* Takes a use. Never touches the disk. NULL: too many blobs are in use (ENFILE). */
struct blob *blob_use(struct cache *c, const struct blob_info *info);
/* The same for an id that no tree knows any more, from its map's header. NULL: nothing is there. */
struct blob *blob_use_cached(struct cache *c, uint64_t id);
struct blob *blob_again(struct blob *b); /* one more use */
void blob_done(struct blob *b);          /* ends a use; NULL is fine */

const struct blob_info *blob_info(const struct blob *b); /* valid as long as the use */
uint32_t blob_blocks(const struct blob *b);
uint32_t blob_block_size(const struct blob *b, uint32_t block); /* the last one is shorter */

/* Of n <= 64 blocks from `first`, which are there: bit i for block first + i. Marks the blob as
 * used now. */
uint64_t blob_present(struct blob *b, uint32_t first, uint32_t n);
/* The next block from `from` on that is not there; blob_blocks() if none. Looks at no more than
 * `limit` blocks (then from + limit is the answer). */
uint32_t blob_missing(struct blob *b, uint32_t from, uint32_t limit);

enum blob_result {
    BLOB_OK,
    BLOB_ABSENT, /* not there (any more); or its CRC was wrong: counted, and it is gone now */
    BLOB_FULL,   /* no room, or degraded: not stored */
};
/* A whole block, checked, to `to`: BLOCK_SIZE bytes aligned to pages. Disk errors are BLOB_ABSENT
 * (logged, counted). */
enum blob_result blob_read(struct blob *b, uint32_t block, void *to);
/* `from` likewise; the bytes beyond the block's end are zeroed by this function. */
enum blob_result blob_write(struct blob *b, uint32_t block, void *from);

/* Keeps blocks from being punched while readers wait for them: [first, first + n) gets one hold
 * more or less. Holds are few: at most as many as parked reads and fetches. */
void blob_hold(struct blob *b, uint32_t first, uint32_t n);
void blob_release(struct blob *b, uint32_t first, uint32_t n);

bool blob_complete(struct blob *b);         /* every block is there */
bool blob_verified(const struct blob *b);   /* complete once, and its digest was right */
bool blob_can_verify(const struct blob *b); /* a SHA-256, a git SHA-1, or an ETag that is an MD5 */
/* Reads all of it and compares the digest, through `buffer` (BLOCK_SIZE, aligned), pausing as
 * `rate` (bytes a second; 0: none) asks and giving up when *stop is true. 1: right, and marked so;
 * 0: incomplete, stopped, or nothing to compare with; -1: wrong: counted, and dropped. */
int blob_verify(struct blob *b, void *buffer, uint64_t rate, const bool *stop);

/* Forgets all its blocks; space is freed at once. */
void blob_drop(struct blob *b);
/* The same by id, also of one that nobody uses. False: there was none. */
bool cache_drop(struct cache *c, uint64_t id);
bool cache_has(struct cache *c, uint64_t id, uint64_t *bytes); /* allocated */
/* The ids in the cache, for a walk: up to n of those above `after`, ascending. */
unsigned cache_ids(struct cache *c, uint64_t after, uint64_t *ids, unsigned n);

bool cache_degraded(const struct cache *c);
struct cache_stats {
    uint64_t used, limit, blobs, evictions;
    bool degraded, punches_holes, direct; /* what the file system can */
};
void cache_stats(struct cache *c, struct cache_stats *stats);

#endif
