/* memory_plan.h: one number, divided once at start.
 *
 * --memory covers keeper, standby, prober and the serving worker, with their sockets. Everything
 * that is not fixed gets its share here; nobody allocates beyond it later. All tunable sizes of
 * blocks, windows and connections stand in this header and in memory_plan.c, nowhere else.
 *
 * Threads: plain data.
 */
#ifndef MOUNT_MEMORY_PLAN_H
#define MOUNT_MEMORY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "http.h"

enum {
    BLOCK_SIZE = 256 * 1024, /* what is fetched, stored, checked and evicted as one */
    READ_MAX = 1024 * 1024,  /* the largest read request that the kernel is offered */
    READ_BLOCKS_MAX = READ_MAX / BLOCK_SIZE + 1, /* blocks that one read touches at most */
    VERIFY_FIRST_MAX =
        1024 * 1024,         /* files up to this are verified before the first byte is served */
    WINDOW_MIN = 4,          /* blocks of a fetch that nobody has asked to go on */
    WINDOW_MAX = 64,         /* blocks: how far a fetch of a sequential reader goes */
    FETCHES_OF_ONE_BLOB = 2, /* at once */
    OPEN_FILES_MAX = 256,    /* cached blobs whose files are kept open */
    FUSE_THREADS = 4,
    IO_THREADS = 2,
};

struct memory_plan {
    size_t total;
    size_t fixed; /* programs, libraries, stacks, tables of fixed size, shared.h */
    unsigned connections;
    size_t connection;           /* each: socket buffers, TLS, libcurl's buffers */
    unsigned chunks;             /* of BLOCK_SIZE in the arena */
    size_t tree;                 /* bytes of one tree; two exist while one is replaced */
    unsigned blobs;              /* entries of the cache's table */
    size_t blob;                 /* bytes each */
    struct hfc_http_config http; /* caps for the store's client */
};

/* `tls`: the store is spoken to with TLS. -1: too small; the message says what would do. */
int memory_plan_make(size_t total, bool tls, struct memory_plan *plan, struct hfc_error *err);
size_t memory_plan_smallest(bool tls);

/* The limit of this process's cgroup (v2, then v1), 0 if it has none. `root` is "/" outside tests.
 */
size_t memory_limit_of_cgroup(const char *root);

#endif
