/* cache_internal.h: what the files of the cache share; see cache.h.
 *
 *   cache_table.c   entries (blobs that have files) and blobs in use: found by id, in order of use
 *   cache_space.c   what is allocated, the bound, trouble with the disk
 *   cache_evict.c   making room              cache_open.c   begin and end
 *   cache_file.c    a blob's two files: open, make, drop, and which are kept open
 *   cache_blob.c    uses, holds, what is there
 *   cache_io.c      blocks                   cache_verify.c digests
 *
 * Everything in these structs is guarded by the cache's lock, but for what is said to be constant.
 * "Locked" below: called with the lock held; "lets go": it is given up in between.
 */
#ifndef MOUNT_CACHE_INTERNAL_H
#define MOUNT_CACHE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "blob_map.h"

enum { BLOBS_IN_USE_MAX = 2048, HOLDS_MAX = 4096, BLOB_NAME_SIZE = 24 };

/* A blob that has files, or is about to have some. */
struct entry {
    uint64_t id, allocated;   /* bytes of both files */
    uint64_t touched;         /* clock_ns() when the map's time was set; at start: that time */
    struct blob *blob;        /* in use, or lingering; NULL */
    uint32_t in_data, in_map; /* at start: blocks by the files' sizes */
    bool dropping;            /* somebody removes its files */
    bool broken;              /* it can be neither used nor removed: the disk fails */
    LIST_ENTRY(entry) bucket;
    TAILQ_ENTRY(entry) order; /* of use, or among the free ones */
};

/* The files of a blob, open. */
struct blob_files {
    int data, map;
    unsigned busy;     /* threads at work on them */
    bool read_only;    /* the file system is */
    struct blob *blob; /* NULL: dropped, closed by the last one who is at work */
    uint64_t left;     /* bytes that are reserved until then, as they are not free yet */
    TAILQ_ENTRY(blob_files) order;
};
TAILQ_HEAD(files_list, blob_files);

struct span {
    uint32_t first, end;
};

struct hold {
    struct span span;
    struct hold *next;
};

struct blob {
    struct cache *cache;
    unsigned uses;         /* 0: lingers */
    struct blob_info info; /* constant while in use, like its strings */
    uint32_t blocks;
    struct entry *entry;      /* NULL: it has no files */
    struct blob_files *files; /* NULL: not open */
    struct hold *holds;
    unsigned held_whole;     /* holds for which there was no struct left */
    uint32_t whole_below;    /* all blocks below were there at the last look */
    uint32_t punch_from;     /* no block below is there, but for held ones */
    uint64_t losses, stores; /* how often blocks went and came */
    uint64_t drops;
    bool opening;          /* somebody opens or makes its files */
    bool loaded, verified; /* `loaded`: the header has been read */
    LIST_ENTRY(blob) bucket;
    TAILQ_ENTRY(blob) order; /* among those that linger, or are free */
    char key[HFC_KEY_MAX + 1], etag[HFC_ETAG_MAX];
};

LIST_HEAD(entry_bucket, entry);
LIST_HEAD(blob_bucket, blob);
TAILQ_HEAD(entry_list, entry);
TAILQ_HEAD(blob_list, blob);

struct cache {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* any of what others may wait for */
    /* Constant: */
    int directory, blobs, lock_file;
    char *path;
    unsigned blobs_max, files_max, bits; /* 2^bits buckets of entries */
    bool direct;
    uint64_t limit;

    struct entry *entries; /* those below `entries_fresh` have been used */
    unsigned entries_fresh, entry_count;
    struct entry_bucket *entry_buckets;
    struct entry_list order, free_entries;

    struct blob *pool;
    unsigned pool_fresh, lingering;
    struct blob_bucket *blob_buckets;
    struct blob_list linger, free_blobs;

    struct blob_files *files;
    struct files_list open_files, free_files;
    struct hold *holds, *free_holds;
    unsigned holds_fresh;

    uint64_t used, others; /* bytes; `others`: all but blobs, part of `used` */
    uint64_t spare;        /* for the next copy of the index */
    uint64_t reserved, left, limit_now, looked_at, evictions; /* `left`: part of `reserved` */
    bool punches, evicting, failing;
    struct blob *punched; /* whose blocks of this span are just being freed */
    struct span punching;
    _Atomic uint64_t retry_at; /* degraded until then */
};

#include "cache_parts.h"

#endif
