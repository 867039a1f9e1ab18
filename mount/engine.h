/* engine.h: reads of blobs: from the arena, the disk, or the store.
 *
 * A read is answered at once, on the thread that brings it, if its blocks are in the arena or on
 * disk. Otherwise it waits, at the cost of its struct alone: its missing blocks are fetched by
 * ranged GETs on the loop's thread (engine_fetch.c), one filler a block however many wait; blocks
 * go to the disk by the I/O threads (engine_io.c); the read is answered as soon as every byte it
 * asks for is in the arena or on disk, also from a block that is still arriving.
 *
 * Who gets a connection: blobs that readers wait for, one after the other; each fetch goes on to
 * the end of its window (WINDOW_MIN blocks, doubled as long as a reader goes on in sequence, to
 * WINDOW_MAX). What nobody waits for is fetched ahead only while connections are idle.
 *
 * Without room in the cache, a read streams past it: it gets its chunks (all or none, in turn),
 * then its own fetch. Files up to VERIFY_FIRST_MAX are answered only once their digest was right.
 *
 * Failures: what passes is tried again, with jittered waits up to RETRY_CAP_MS, until the read has
 * waited for the read timeout (EIO). EACCES and a changed object (ESTALE) end its readers at once.
 * A blob whose complete content is wrong twice is EIO.
 *
 * Lock: the engine's lock guards reads, streams, chunks. Never held during I/O or callbacks.
 */
#ifndef MOUNT_ENGINE_H
#define MOUNT_ENGINE_H

#include <sys/uio.h>

#include "cache.h"
#include "memory_plan.h"
#include "store.h"

enum { RETRY_CAP_MS = 5000 };

struct engine;
struct read;

/* Answers a read: `pieces` lie in the arena, and are the engine's again when it returns. errnum 0:
 * success; the pieces may be shorter than asked for only at the blob's end. Any thread; exactly
 * once. May start other reads. */
typedef void read_done(struct read *r, const struct iovec *pieces, unsigned n, int errnum);

enum read_source { READ_MEMORY, READ_DISK, READ_STORE };

/* The caller's memory (session.c has one for each parked slot) until `done` is called. */
struct read {
    struct blob *blob; /* a use that the engine does not end */
    uint64_t offset;   /* below the blob's size */
    uint32_t size;     /* 1 to READ_MAX; cut at the blob's end by the caller */
    read_done *done;
    void *ctx;
    enum read_source source; /* set by the engine before `done`: where the slowest byte came from */
    /* The engine's: */
    struct read *next, *prev;
    struct fetch *own;        /* past the cache: the fetch that holds its chunks */
    uint64_t began, deadline; /* clock_ns() */
    bool waits, past_cache;
    uint8_t misses;  /* how often its blocks were gone again */
    uint8_t missing; /* bit i: block i of those it needs is nowhere yet */
};

struct engine_config {
    struct hfc_loop *loop;
    struct cache *cache;
    const struct memory_plan *plan;
    void *arena;           /* plan->chunks * BLOCK_SIZE */
    unsigned read_timeout; /* s */
    /* Called on the loop's thread when an object turned out to be replaced or gone, or credentials
     * were refused (`errnum`): for catalog.h and readiness. NULL: nobody cares. */
    void (*trouble)(void *ctx, int errnum);
    void *ctx;
};

/* Starts the I/O threads. */
struct engine *engine_new(const struct engine_config *config, struct hfc_error *err);
/* Ends the threads. No read may be waiting: see engine_abandon(). Loop's thread, which must not run
 * the loop again before the store is closed: operations that were cancelled would call back. */
void engine_free(struct engine *e);

/* The store to fetch from; the caller's, who has to take it away (NULL) before closing it. Loop's
 * thread. Fetches under way are begun anew on the other one. */
void engine_use_store(struct engine *e, struct hfc_store *store);

/* Any thread but in a read's done(). True: answered already. False: it waits; done() will be
 * called. With `wait` false it is not made to wait: false then means that nothing has happened, and
 * the caller parks the request before he asks again. */
bool engine_read(struct engine *e, struct read *r, bool wait);

/* Forgets all waiting reads without a word: their requests are the successor's. Loop's thread;
 * those that are just being answered are waited for. */
void engine_abandon(struct engine *e);

/* Forgets what the arena has of a blob: it was dropped from the cache, or is to get into it again,
 * which a read that is answered from memory does not see to. Any thread. */
void engine_forget(struct engine *e, uint64_t blob);

struct engine_stats {
    unsigned waiting, fetching, queued; /* reads, ranges, blobs that stand in line */
    unsigned chunks, chunks_used;
    uint64_t oldest_ms; /* how long the oldest read has waited */
    uint64_t beat_ms;   /* since the loop's thread last came round (its timer is a second) */
};
void engine_stats(struct engine *e, struct engine_stats *stats);

#endif
