/* engine_internal.h: what the engine's files share.
 *
 *   engine.c         reads as they come; the loop's look-around; start and end
 *   engine_serve.c   who gets chunks; answers from memory and disk
 *   engine_stream.c  blobs that are read: the pool, their readers, news of them
 *   engine_wait.c    reads that wait: for what, and what becomes of them
 *   engine_line.c    who gets a connection, and for which range
 *   engine_fetch.c   a GET from its start to its end
 *   engine_io.c      the I/O threads: answers, blocks to disk, digests
 *
 * Whose is what: "lock" is guarded by the engine's lock; "loop" belongs to the loop's thread alone,
 * which also does all that moves a waiting read but for the queues. What is marked with neither
 * is set once.
 */
#ifndef MOUNT_ENGINE_INTERNAL_H
#define MOUNT_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "chunks.h"
#include "engine.h"
#include "engine_fetch.h"
#include "engine_stream.h"
#include "loop.h"

enum {
    MISSES_MAX = 2,       /* a read whose blocks were gone more often goes past the cache */
    WRONG_MS = 60 * 1000, /* how long a blob that was wrong twice is not asked for again */
    GIVEN_UP_MS = 2000,   /* how long reads of a blob fail at once after one has waited in vain */
    TICK_MS = 1000,
    NS_PER_MS = 1000000,
};

/* Who wants chunks; see engine_serve.c. */
enum taker { TAKE_FILL, TAKE_DISK, TAKE_PAST, TAKERS };

/* A full block on its way to the disk; the chunk is pinned for it. */
struct write {
    STAILQ_ENTRY(write) link;
    struct stream *stream; /* NULL: free */
    struct chunk *chunk;
    uint32_t block;
    bool counted; /* as filling */
};

TAILQ_HEAD(streams, stream);
TAILQ_HEAD(fetches, fetch);

struct engine {
    struct engine_config config;
    pthread_mutex_t lock;
    pthread_cond_t work, verify_work, quiet;
    pthread_t threads[IO_THREADS + 1];
    unsigned n_threads;
    int wake_fd;
    /* Lock: */
    struct chunks *chunks;
    unsigned filling, filling_max, serving; /* chunks held by fetches and writers; by answers */
    bool hungry[TAKERS];
    enum taker turn;
    struct reads fresh, answers, from_disk; /* for the loop; for the I/O threads */
    STAILQ_HEAD(writes, write) writes;
    struct write *jobs; /* one a chunk */
    struct streams checks, verifies, told;
    unsigned in_hand;       /* reads that a thread is answering */
    unsigned waiting, idle; /* reads registered and not answered; I/O threads without work */
    bool stopping, woken;
    struct stream *streams, **buckets;
    unsigned n_streams, n_buckets;
    struct streams resting; /* streams without work, the one longest so first */
    struct fetch *fetches;  /* one a connection */
    unsigned active;        /* of them */
    /* Loop: */
    struct hfc_watch watch;
    struct hfc_timer tick, retry, reap;
    struct hfc_store *store;
    unsigned epoch; /* of the store */
    struct fetches paused;
    struct streams line, retries, ahead;
    struct reads homeless; /* no stream is to be had */
    char (*causes)[CAUSE_MAX];
    /* For engine_stats(), set by the loop: */
    _Atomic unsigned queued;
    _Atomic uint64_t beat, oldest; /* clock_ns() */
};

static inline void engine_lock(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
}

static inline void engine_unlock(struct engine *e)
{
    (void)pthread_mutex_unlock(&e->lock);
}

/* ---- engine.c ---- */
void engine_wake(struct engine *e); /* lock: the loop looks around soon */
void engine_look(struct engine *e); /* loop */

/* ---- engine_serve.c ---- */
bool engine_grant(struct engine *e, enum taker who, struct chunk **to, unsigned n); /* lock */
void engine_feed(struct engine *e); /* lock: chunks became free */
bool engine_answer_at_once(struct engine *e, struct read *r, bool *on_disk);
bool engine_in_done(void);
void engine_serve(struct engine *e, struct read *r);     /* after in_hand++ */
bool engine_serve_from_disk(struct engine *e);           /* lock; false: nothing can be done */
void engine_give_own(struct engine *e, struct own *own); /* lock */
void engine_finish(struct engine *e, struct read *r, const struct iovec *pieces, unsigned n,
                   int errnum);

/* ---- engine_io.c ---- */
int engine_io_start(struct engine *e, struct hfc_error *err);
void engine_io_stop(struct engine *e);
void engine_write(struct engine *e, struct stream *s, uint32_t block, struct chunk *k,
                  bool counted); /* lock */

#endif
