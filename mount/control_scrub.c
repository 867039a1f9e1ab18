/* control_scrub.c: verifies all that is cached, in a thread of its own; see control.h.
 *
 * Complete objects whose digest is known are compared with it; of others, each block that is there
 * with its CRC. What is wrong is dropped by the cache, and fetched again when it is asked for.
 *
 * Threads: the scrub's thread owns the buffer and counts in atomics; the loop's starts it, tells
 * clients, and joins it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#include "control_internal.h"
#include "logging.h"
#include "metrics.h"

enum { IDS_AT_ONCE = 32, NS_PER_S = 1000 * 1000 * 1000, NAP_MS_MAX = 100, LOOK = 64 };

static bool is_stopped(const struct scrub *s)
{
    return __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE);
}

/* Waits until `bytes` since `began` are no more than the rate allows. */
static void pace(const struct scrub *s, uint64_t began, uint64_t bytes)
{
    while (s->rate > 0 && !is_stopped(s)) {
        double due = (double)bytes / (double)s->rate;
        double left = due - (double)(clock_ns() - began) / NS_PER_S;
        if (left <= 0)
            return;
        long ms = left * 1000 < NAP_MS_MAX ? (long)(left * 1000) + 1 : NAP_MS_MAX;
        (void)nanosleep(&(struct timespec){0, ms * 1000 * 1000}, NULL);
    }
}

/* How many of its blocks were there, and are not since their CRC was looked at. */
static unsigned verify_blocks(struct scrub *s, struct blob *b)
{
    uint32_t blocks = blob_blocks(b);
    uint64_t began = clock_ns(), bytes = 0;
    unsigned wrong = 0;

    for (uint32_t first = 0; first < blocks && !is_stopped(s); first += LOOK) {
        uint32_t n = blocks - first < LOOK ? blocks - first : LOOK;
        uint64_t present = blob_present(b, first, n);
        for (uint32_t i = 0; i < n && !is_stopped(s); i++) {
            if ((present >> i & 1) == 0)
                continue;
            wrong += blob_read(b, first + i, s->buffer) != BLOB_OK;
            bytes += blob_block_size(b, first + i);
            s->bytes += blob_block_size(b, first + i);
            pace(s, began, bytes);
        }
    }
    return wrong;
}

static void verify(struct scrub *s, struct blob *b)
{
    if (!blob_complete(b) || !blob_can_verify(b)) {
        s->wrong += verify_blocks(s, b) > 0;
        return;
    }
    switch (blob_verify(b, s->buffer, s->rate, &s->stop)) {
    case 1:
        s->verified++;
        s->bytes += blob_info(b)->size;
        break;
    case -1: /* dropped from the disk; nor is it served from memory */
        engine_forget(s->engine, blob_info(b)->id);
        s->wrong++;
        s->bytes += blob_info(b)->size;
        break;
    default: /* stopped, or no longer complete */
        break;
    }
}

static void *run(void *ctx)
{
    struct scrub *s = ctx;
    uint64_t ids[IDS_AT_ONCE], after = 0;
    unsigned n;

    while (!is_stopped(s) && (n = cache_ids(s->cache, after, ids, IDS_AT_ONCE)) > 0)
        for (unsigned i = 0; i < n && !is_stopped(s); i++) {
            struct blob *b = blob_use_cached(s->cache, ids[i]);
            if (b != NULL)
                verify(s, b);
            blob_done(b);
            s->done++;
            after = ids[i];
        }
    s->ended = true;
    (void)eventfd_write(s->wake, 1);
    return NULL;
}

/* Unmaps the buffer if there is no thread. */
static int start_thread(struct scrub *s, struct hfc_error *err)
{
    s->buffer = mmap(NULL, BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->buffer == MAP_FAILED)
        return hfc_error_set(err, errno, "scrub");
    int rc = pthread_create(&s->thread, NULL, run, s);
    if (rc == 0)
        return 0;
    (void)munmap(s->buffer, BLOCK_SIZE);
    return hfc_error_set(err, rc, "scrub");
}

int scrub_start(struct control *c, struct hfc_error *err)
{
    struct scrub *s = &c->scrub;
    struct cache_stats stats;

    if (s->running)
        return 0;
    cache_stats(c->config.cache, &stats);
    s->objects = stats.blobs;
    s->done = s->bytes = s->verified = s->wrong = 0;
    s->ended = false;
    s->stop = false;
    s->rate = c->config.scrub_rate;
    s->cache = c->config.cache;
    s->engine = c->config.engine;
    s->wake = c->wake;
    if (start_thread(s, err) < 0)
        return -1;
    s->running = true;
    log_line(LOG_CONTROL, LEVEL_INFO, "scrub: %llu objects are verified",
             (unsigned long long)s->objects);
    return 0;
}

static void join(struct scrub *s)
{
    assert(s->running);
    (void)pthread_join(s->thread, NULL);
    (void)munmap(s->buffer, BLOCK_SIZE);
    s->running = false;
}

static json_t *describe(const struct scrub *s)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I}", "objects", (json_int_t)s->objects, "objects_done",
                     (json_int_t)s->done, "bytes", (json_int_t)s->bytes, "verified",
                     (json_int_t)s->verified, "wrong", (json_int_t)s->wrong);
}

static void ended(struct control *c)
{
    struct scrub *s = &c->scrub;

    join(s);
    metric_add(M_SCRUB_RUNS, 1);
    log_line(LOG_CONTROL, s->wrong > 0 ? LEVEL_WARNING : LEVEL_INFO,
             "scrub: %llu objects, %llu with a digest that is right, %llu wrong and dropped",
             (unsigned long long)s->done, (unsigned long long)s->verified,
             (unsigned long long)s->wrong);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].scrubs)
            control_end(c, &c->clients[i], describe(s),
                        s->wrong > 0 ? "wrong bytes were found; they are dropped, and fetched "
                                       "again when they are asked for"
                                     : NULL);
}

void scrub_turn(struct control *c)
{
    struct scrub *s = &c->scrub;

    if (!s->running)
        return;
    if (s->ended) {
        ended(c);
        return;
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].scrubs && control_progress(&c->clients[i]))
            control_say(c, &c->clients[i], json_pack("{s:o}", "progress", describe(s)));
}

void scrub_stop(struct control *c)
{
    struct scrub *s = &c->scrub;

    if (!s->running)
        return;
    __atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
    join(s);
}
