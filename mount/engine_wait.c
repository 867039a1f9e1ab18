/* engine_wait.c: reads that wait: for which blocks, and what becomes of them; see engine_stream.h.
 *
 * A waiting read knows which of its blocks are nowhere. The loop alone brings blocks into memory,
 * so what is nowhere stays so until a fetch brings it: no change is missed. When none is missing
 * the read goes to the I/O threads; if something was dropped in between it comes back.
 *
 * Loop's thread.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "engine_internal.h"
#include "logging.h"
#include "metrics.h"
#include "strikes.h"

enum { MS_PER_S = 1000 };

bool blob_waits_for_digest(const struct blob *b)
{
    return blob_info(b)->size <= VERIFY_FIRST_MAX && !blob_verified(b) && blob_can_verify(b);
}

void stream_span(const struct stream *s, const struct read *r, uint32_t *first, unsigned *n)
{
    *first = s->whole ? 0 : (uint32_t)(r->offset / BLOCK_SIZE);
    *n = s->whole ? blob_blocks(s->blob)
                  : (unsigned)((r->offset + r->size - 1) / BLOCK_SIZE) - *first + 1;
    assert(*n >= 1 && *n <= READ_BLOCKS_MAX);
}

/* *full: the disk takes no more. */
static unsigned in_memory(struct engine *e, const struct stream *s, uint32_t first, unsigned n,
                          bool *full)
{
    unsigned found = 0;

    engine_lock(e);
    *full = s->full;
    for (unsigned i = 0; i < n; i++) {
        struct chunk *k = chunk_find(e->chunks, s->id, first + i);
        if (k == NULL)
            continue;
        found |= 1U << i;
        chunk_unpin(e->chunks, k);
    }
    engine_unlock(e);
    return found;
}

/* It needs nothing of the disk from now on. */
static void go_past_cache(struct read *r)
{
    uint32_t first = (uint32_t)(r->offset / BLOCK_SIZE);

    if (r->past_cache)
        return;
    r->past_cache = true;
    blob_release(r->blob, first, (uint32_t)((r->offset + r->size - 1) / BLOCK_SIZE) - first + 1);
}

/* Gives a read to the I/O threads, or, if all of them are at work, answers it here. */
void stream_ready(struct engine *e, struct stream *s, struct read *r)
{
    reads_remove(&s->waiting, r);
    engine_lock(e);
    if (r->own != NULL)
        r->own->answering = true;
    bool here = e->idle <= e->answers.n;
    if (here) {
        e->in_hand++;
    } else {
        reads_push(&e->answers, r);
        (void)pthread_cond_signal(&e->work);
    }
    engine_unlock(e);
    if (here) {
        engine_serve(e, r);
        strikes_blob(s->id); /* the caller is still at work for it */
    }
}

void stream_check(struct engine *e, struct stream *s, struct fetch *f)
{
    engine_lock(e);
    assert(!s->checking);
    s->checking = true;
    s->check = f;
    if (f != NULL)
        f->checking = true;
    if (s->whole) {
        TAILQ_INSERT_TAIL(&e->checks, s, job);
        (void)pthread_cond_signal(&e->work);
    } else {
        TAILQ_INSERT_TAIL(&e->verifies, s, job);
        (void)pthread_cond_signal(&e->verify_work);
    }
    engine_unlock(e);
}

/* Looks where the blocks of a waiting read are. */
static void assess(struct engine *e, struct stream *s, struct read *r)
{
    uint32_t first;
    unsigned n;
    bool full;

    if (r->own != NULL)
        return;
    stream_span(s, r, &first, &n);
    unsigned all = (1U << n) - 1, memory = in_memory(e, s, first, n, &full), there = memory;
    if (memory != all && r->misses <= MISSES_MAX) /* else the disk promises what it can't keep */
        there |= (unsigned)blob_present(s->blob, first, n);
    r->missing = (uint8_t)(all & ~there);
    if (r->missing != 0) {
        r->source = READ_STORE;
        if (full || r->misses > MISSES_MAX)
            go_past_cache(r);
    } else if (memory == all || !s->whole) {
        stream_ready(e, s, r);
    } else if (!s->checking) {
        stream_check(e, s, NULL);
    }
}

void stream_assess_all(struct engine *e, struct stream *s)
{
    for (struct read *r = s->waiting.first, *next; r != NULL; r = next) {
        next = r->next;
        assess(e, s, r);
    }
}

/* Whether the blob is to be verified first may change: dropped, or verified. */
void stream_set_whole(struct engine *e, struct stream *s)
{
    bool whole = blob_waits_for_digest(s->blob);

    if (whole == s->whole || s->checking)
        return;
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++)
        if (s->fetches[i] != NULL)
            fetch_cancel(s->fetches[i]);
    engine_lock(e);
    s->whole = whole;
    engine_unlock(e);
    stream_assess_all(e, s);
}

bool stream_attach(struct engine *e, struct read *r)
{
    engine_lock(e);
    struct stream *s = stream_get(e, r->blob);
    if (s != NULL)
        stream_note(e, s, r);
    engine_unlock(e);
    if (s == NULL)
        return false;
    strikes_blob(s->id);
    stream_set_whole(e, s);
    reads_push(&s->waiting, r);
    if (s->wrong_until > clock_ns() || s->given_up_until > clock_ns()) {
        stream_fail_read(e, s, r, EIO);
    } else {
        assess(e, s, r);
        stream_judge(e, s);
    }
    stream_touch(e, s);
    strikes_blob(0);
    return true;
}

/* ---- What fetches bring. ---- */

static uint32_t needed_of(const struct read *r, uint32_t block)
{
    uint64_t end = r->offset + r->size, start = (uint64_t)block * BLOCK_SIZE;

    if (end <= start)
        return 0;
    return end - start < BLOCK_SIZE ? (uint32_t)(end - start) : BLOCK_SIZE;
}

/* A read past the cache is here when its own fetch has come to its end, or to the end of the range:
 * what lies behind that was there before. */
static bool own_is_here(const struct fetch *f, const struct read *r)
{
    uint32_t last = (uint32_t)((r->offset + r->size - 1) / BLOCK_SIZE);

    last = last < f->end ? last : f->end - 1;
    return f->block > last || (f->block == last && f->filled >= needed_of(r, last));
}

/* The bit of the block that `f` is at, if `r` misses it. */
static unsigned bit_of(const struct read *r, const struct fetch *f)
{
    uint32_t first = (uint32_t)(r->offset / BLOCK_SIZE);

    if (f->block < first || f->block - first >= READ_BLOCKS_MAX || f->block >= f->end)
        return 0;
    return r->missing & 1U << (f->block - first);
}

static bool is_here(const struct stream *s, const struct read *r)
{
    unsigned missing = r->missing;

    if (r->own != NULL)
        return own_is_here(r->own, r);
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++) {
        const struct fetch *f = s->fetches[i];
        if (f != NULL && bit_of(r, f) != 0 && f->chunk != NULL &&
            f->filled >= needed_of(r, f->block))
            missing &= ~bit_of(r, f);
    }
    return missing == 0;
}

/* How far the block under way has to be filled before somebody can be answered. */
static uint32_t next_wake(const struct stream *s, const struct fetch *f)
{
    uint32_t at = f->size;

    for (const struct read *r = s->waiting.first; r != NULL; r = r->next) {
        bool only = r->own == f || (bit_of(r, f) != 0 && bit_of(r, f) == r->missing);
        uint32_t needed = needed_of(r, f->block);
        if (only && needed > f->filled && needed < at)
            at = needed;
    }
    return at;
}

/* A block that is under way is known to other threads as far as somebody waited for it. */
static void show_filled(struct engine *e, struct stream *s)
{
    if (s->waiting.n == 0)
        return;
    engine_lock(e);
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++) {
        const struct fetch *f = s->fetches[i];
        if (f != NULL && f->chunk != NULL && !f->discard)
            f->chunk->filled = f->filled;
    }
    engine_unlock(e);
}

void stream_judge(struct engine *e, struct stream *s)
{
    if (s->whole)
        return;
    show_filled(e, s);
    for (struct read *r = s->waiting.first, *next; r != NULL; r = next) {
        next = r->next;
        if (is_here(s, r))
            stream_ready(e, s, r);
    }
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++)
        if (s->fetches[i] != NULL)
            s->fetches[i]->wake_at = next_wake(s, s->fetches[i]);
}

/* ---- Failures. ---- */

void stream_fail_read(struct engine *e, struct stream *s, struct read *r, int errnum)
{
    struct fetch *f = r->own;

    reads_remove(&s->waiting, r);
    if (f != NULL) {
        r->own = NULL;
        if (f->stream != NULL)
            fetch_cancel(f);
        engine_lock(e);
        f->reader = NULL;
        fetch_settle(f);
        engine_unlock(e);
    }
    engine_finish(e, r, NULL, 0, errnum);
}

void stream_fail(struct engine *e, struct stream *s, int errnum)
{
    while (s->waiting.first != NULL)
        stream_fail_read(e, s, s->waiting.first, errnum);
}

static void expire(struct engine *e, struct stream *s, struct read *r, uint64_t now)
{
    const struct blob_info *info = blob_info(r->blob);
    const char *cause = s != NULL ? e->causes[s - e->streams] : "";

    if (cause[0] == '\0')
        cause = e->store == NULL ? "there is no store to ask" : "the store has not answered yet";
    log_line(LOG_REQUEST, LEVEL_ERROR,
             "%s: a read of %" PRIu32 " bytes from %" PRIu64 " fails with EIO after %" PRIu64
             " s: %s",
             info->key, r->size, r->offset, (now - r->began) / NS_PER_MS / MS_PER_S, cause);
    if (s != NULL) {
        /* The kernel's readers of one page come one after the other: each would wait as long. */
        if (s->tries > 0)
            s->given_up_until = now + (uint64_t)GIVEN_UP_MS * NS_PER_MS;
        stream_fail_read(e, s, r, EIO);
        return;
    }
    reads_remove(&e->homeless, r);
    engine_finish(e, r, NULL, 0, EIO);
}

static uint64_t expire_list(struct engine *e, struct stream *s, struct reads *list, uint64_t now)
{
    uint64_t oldest = UINT64_MAX;

    for (struct read *r = list->first, *next; r != NULL; r = next) {
        next = r->next;
        if (now >= r->deadline)
            expire(e, s, r, now);
        else if (r->began < oldest)
            oldest = r->began;
    }
    return oldest;
}

/* Ends reads that have waited for too long. */
void streams_expire(struct engine *e, uint64_t now)
{
    uint64_t oldest = expire_list(e, NULL, &e->homeless, now);

    for (unsigned i = 0; i < e->n_streams; i++) {
        struct stream *s = &e->streams[i];
        if (s->waiting.n == 0)
            continue;
        uint64_t began = expire_list(e, s, &s->waiting, now);
        oldest = began < oldest ? began : oldest;
        stream_touch(e, s);
    }
    atomic_store(&e->oldest, oldest != UINT64_MAX ? oldest : 0);
}
