/* engine.c: reads as they come, the loop's look-around, start and end; see engine.h and
 * engine_internal.h. Owns the struct, its lock, and the descriptor that wakes the loop.
 */
#include "engine.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine_internal.h"
#include "metrics.h"
#include "shared.h"

enum {
    NS_PER_S = 1000000000,
    /* Beside parked slots: warming, the prober, reads whose thread waits. */
    MORE_READS = 64,
};

/* ---- Reads. ---- */

static uint32_t first_block(const struct read *r)
{
    return (uint32_t)(r->offset / BLOCK_SIZE);
}

static uint32_t blocks_of(const struct read *r)
{
    return (uint32_t)((r->offset + r->size - 1) / BLOCK_SIZE) - first_block(r) + 1;
}

/* A read on disk is for the I/O threads; where something is missing the loop looks. */
static void wait_for_bytes(struct engine *e, struct read *r, bool on_disk)
{
    blob_hold(r->blob, first_block(r), blocks_of(r));
    r->waits = true;
    engine_lock(e);
    if (e->waiting++ == 0)
        atomic_store(&e->oldest, r->began);
    metric_set(M_REQUESTS_IN_FLIGHT, e->waiting);
    if (on_disk) {
        reads_push(&e->from_disk, r);
        (void)pthread_cond_signal(&e->work);
    } else {
        reads_push(&e->fresh, r);
        engine_wake(e);
    }
    engine_unlock(e);
}

bool engine_read(struct engine *e, struct read *r, bool wait)
{
    bool on_disk = false;

    assert(r->size > 0 && r->size <= READ_MAX && r->done != NULL);
    assert(r->offset + r->size <= blob_info(r->blob)->size);
    r->source = READ_MEMORY;
    r->next = r->prev = NULL;
    r->own = NULL;
    r->began = clock_ns();
    r->deadline = r->began + (uint64_t)e->config.read_timeout * NS_PER_S;
    r->waits = r->past_cache = false;
    r->misses = r->missing = 0;
    if (!engine_in_done() && engine_answer_at_once(e, r, &on_disk))
        return true;
    if (wait)
        wait_for_bytes(e, r, on_disk);
    return false;
}

/* ---- The loop's thread. ---- */

void engine_wake(struct engine *e)
{
    const uint64_t one = 1;

    if (e->woken)
        return;
    e->woken = true;
    (void)!write(e->wake_fd, &one, sizeof(one));
}

/* Streams fall short only when more reads wait than there are slots for. */
static void attach(struct engine *e, struct reads *list)
{
    struct reads reads = *list;
    struct read *r;

    *list = (struct reads){0};
    while ((r = reads.first) != NULL) {
        reads_remove(&reads, r);
        if (!stream_attach(e, r) && !(line_no_leaps(e) && stream_attach(e, r)))
            reads_push(&e->homeless, r);
    }
}

static void attach_fresh(struct engine *e)
{
    engine_lock(e);
    struct reads fresh = e->fresh;
    e->fresh = (struct reads){0};
    engine_unlock(e);
    if (e->homeless.n > 0)
        attach(e, &e->homeless);
    attach(e, &fresh);
}

/* All that the loop does for reads, in answer to whatever has changed. */
void engine_look(struct engine *e)
{
    engine_lock(e);
    e->woken = false;
    engine_unlock(e);
    streams_news(e);
    attach_fresh(e);
    fetches_resume(e);
    line_schedule(e);
}

static void on_wake(void *ctx)
{
    struct engine *e = ctx;
    uint64_t n;

    (void)!read(e->wake_fd, &n, sizeof(n));
    engine_look(e);
}

static void on_tick(void *ctx)
{
    struct engine *e = ctx;
    uint64_t now = clock_ns();

    atomic_store(&e->beat, now);
    hfc_timer_start(e->config.loop, &e->tick, TICK_MS, on_tick, e);
    streams_expire(e, now);
    engine_look(e);
}

/* ---- The end of waiting. ---- */

static void forget(struct engine *e, struct reads *list)
{
    struct read *r;

    while ((r = list->first) != NULL) {
        reads_remove(list, r);
        if (r->own != NULL) {
            r->own->reader = NULL;
            r->own->answering = false;
            fetch_settle(r->own);
        }
        if (!r->past_cache)
            blob_release(r->blob, first_block(r), blocks_of(r));
        e->waiting--;
    }
}

void engine_abandon(struct engine *e)
{
    engine_lock(e);
    for (unsigned i = 0; i < e->n_streams; i++)
        forget(e, &e->streams[i].waiting);
    do {
        while (e->in_hand > 0)
            (void)pthread_cond_wait(&e->quiet, &e->lock);
        forget(e, &e->homeless);
        forget(e, &e->fresh);
        forget(e, &e->answers);
        forget(e, &e->from_disk);
    } while (e->in_hand > 0);
    assert(e->waiting == 0);
    e->hungry[TAKE_DISK] = false;
    metric_set(M_REQUESTS_IN_FLIGHT, 0);
    engine_feed(e);
    engine_unlock(e);
    for (unsigned i = 0; i < e->n_streams; i++)
        stream_touch(e, &e->streams[i]);
}

void engine_forget(struct engine *e, uint64_t blob)
{
    engine_lock(e);
    chunks_drop(e->chunks, blob);
    engine_unlock(e);
}

void engine_stats(struct engine *e, struct engine_stats *stats)
{
    uint64_t now = clock_ns(), beat = atomic_load(&e->beat), oldest = atomic_load(&e->oldest);

    engine_lock(e);
    *stats = (struct engine_stats){.waiting = e->waiting,
                                   .fetching = e->active,
                                   .queued = atomic_load(&e->queued),
                                   .chunks = e->config.plan->chunks,
                                   .chunks_used = chunks_in_use(e->chunks)};
    engine_unlock(e);
    stats->beat_ms = now > beat ? (now - beat) / NS_PER_MS : 0;
    if (stats->waiting > 0 && oldest != 0 && now > oldest)
        stats->oldest_ms = (now - oldest) / NS_PER_MS;
}

/* ---- Start and end. ---- */

static bool allocate(struct engine *e)
{
    const struct memory_plan *plan = e->config.plan;

    e->n_streams = PARKED_SLOTS + MORE_READS + plan->connections + plan->chunks;
    for (e->n_buckets = 1; e->n_buckets < e->n_streams;)
        e->n_buckets *= 2;
    e->chunks = chunks_new(e->config.arena, plan->chunks);
    e->jobs = calloc(plan->chunks, sizeof(*e->jobs));
    e->streams = calloc(e->n_streams, sizeof(*e->streams));
    e->buckets = calloc(e->n_buckets, sizeof(struct stream *));
    e->causes = calloc(e->n_streams, sizeof(*e->causes));
    e->fetches = calloc(plan->connections, sizeof(*e->fetches));
    return e->chunks != NULL && e->jobs != NULL && e->streams != NULL && e->buckets != NULL &&
           e->causes != NULL && e->fetches != NULL;
}

static void set_up(struct engine *e)
{
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_cond_init(&e->work, NULL);
    (void)pthread_cond_init(&e->verify_work, NULL);
    (void)pthread_cond_init(&e->quiet, NULL);
    STAILQ_INIT(&e->writes);
    TAILQ_INIT(&e->checks);
    TAILQ_INIT(&e->verifies);
    TAILQ_INIT(&e->told);
    TAILQ_INIT(&e->resting);
    TAILQ_INIT(&e->paused);
    TAILQ_INIT(&e->line);
    TAILQ_INIT(&e->retries);
    TAILQ_INIT(&e->ahead);
    e->wake_fd = -1;
    e->filling_max = e->config.plan->chunks - READ_BLOCKS_MAX - 1;
    atomic_store(&e->beat, clock_ns());
}

struct engine *engine_new(const struct engine_config *config, struct hfc_error *err)
{
    struct engine *e;

    if (config->plan->chunks < READ_BLOCKS_MAX + 2 || config->plan->connections < 1) {
        (void)hfc_error_set(err, EINVAL, "%u blocks of memory and %u connections are too few",
                            config->plan->chunks, config->plan->connections);
        return NULL;
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        (void)hfc_error_set(err, ENOMEM, "engine");
        return NULL;
    }
    e->config = *config;
    set_up(e);
    if (!allocate(e))
        (void)hfc_error_set(err, ENOMEM, "engine");
    else if ((e->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
        (void)hfc_error_set(err, errno, "engine: eventfd");
    else if (engine_io_start(e, err) == 0) {
        for (unsigned i = 0; i < e->n_streams; i++)
            TAILQ_INSERT_TAIL(&e->resting, &e->streams[i], rest);
        hfc_watch_start(config->loop, &e->watch, e->wake_fd, on_wake, e);
        hfc_timer_start(config->loop, &e->tick, TICK_MS, on_tick, e);
        return e;
    }
    engine_free(e);
    return NULL;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    engine_io_stop(e);
    assert(e->waiting == 0);
    if (e->store != NULL)
        engine_use_store(e, NULL);
    hfc_watch_stop(&e->watch);
    hfc_timer_stop(&e->tick);
    hfc_timer_stop(&e->retry);
    hfc_timer_stop(&e->reap);
    for (unsigned i = 0; e->streams != NULL && i < e->n_streams; i++)
        blob_done(e->streams[i].blob);
    if (e->wake_fd >= 0)
        (void)close(e->wake_fd);
    chunks_free(e->chunks);
    free(e->jobs);
    free(e->streams);
    free(e->buckets);
    free(e->causes);
    free(e->fetches);
    (void)pthread_cond_destroy(&e->quiet);
    (void)pthread_cond_destroy(&e->verify_work);
    (void)pthread_cond_destroy(&e->work);
    (void)pthread_mutex_destroy(&e->lock);
    free(e);
}
