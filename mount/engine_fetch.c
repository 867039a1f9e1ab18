/* engine_fetch.c: a GET from its start to its end; see engine_stream.h. Owns the fetches, one a
 * connection, and the store.
 *
 * Bytes are copied straight into the chunk of the block under way. The lock is taken where a block
 * ends, and where somebody waits for the bytes that are now there. Without a chunk the GET pauses;
 * what was taken of the bytes that come again then is skipped.
 *
 * Loop's thread, but fetch_settle().
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"
#include "fault.h"
#include "logging.h"
#include "metrics.h"
#include "strikes.h"

/* ---- Places. ---- */

bool fetch_room(struct engine *e)
{
    engine_lock(e);
    bool room = e->active < e->config.plan->connections;
    engine_unlock(e);
    return room;
}

/* There has to be room. `to` is the block behind the last one. */
struct fetch *fetch_new(struct engine *e, struct stream *s, uint32_t from, uint32_t to)
{
    struct fetch *f = e->fetches;

    assert(from < to && to <= blob_blocks(s->blob));
    engine_lock(e);
    while (f->busy)
        f++;
    assert(f < e->fetches + e->config.plan->connections);
    *f = (struct fetch){.e = e, .stream = s, .epoch = e->epoch, .busy = true};
    f->first = f->block = from;
    f->end = f->asked = to;
    metric_set(M_FETCH_ACTIVE, ++e->active);
    unsigned i = 0;
    while (s->fetches[i] != NULL)
        i++;
    assert(i < FETCHES_OF_ONE_BLOB);
    s->fetches[i] = f;
    engine_unlock(e);
    return f;
}

/* Any thread. */
void fetch_settle(struct fetch *f)
{
    struct engine *e = f->e;

    if (!f->busy || !f->over || f->reader != NULL || f->checking)
        return;
    engine_give_own(e, &f->own);
    f->busy = false;
    metric_set(M_FETCH_ACTIVE, --e->active);
    engine_wake(e);
}

/* The stream has nothing to do with it any more. Lock. */
static void detach(struct fetch *f)
{
    struct engine *e = f->e;
    struct stream *s = f->stream;

    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++)
        if (s->fetches[i] == f)
            s->fetches[i] = NULL;
    f->stream = NULL;
    if (f->chunk != NULL && !f->past) {
        chunk_unpin(e->chunks, f->chunk);
        e->filling--;
        engine_feed(e);
    }
    f->chunk = NULL;
    if (f->paused)
        TAILQ_REMOVE(&e->paused, f, pause);
    f->paused = false;
    if (TAILQ_EMPTY(&e->paused) && e->hungry[TAKE_FILL]) {
        e->hungry[TAKE_FILL] = false;
        engine_feed(e);
    }
    if (f->reader != NULL && !f->answering && !f->checking) {
        f->reader->own = NULL;
        f->reader = NULL;
    }
}

/* Ends it, whether or not it has begun. The place is free when its done() has been called. */
void fetch_cancel(struct fetch *f)
{
    struct engine *e = f->e;

    assert(f->stream != NULL && !f->cancelled);
    engine_lock(e);
    if (f->reader != NULL && !f->answering) {
        f->reader->own = NULL;
        f->reader = NULL;
    }
    detach(f);
    f->cancelled = true;
    f->over = f->op == NULL;
    fetch_settle(f);
    engine_unlock(e);
    if (f->op != NULL)
        hfc_store_cancel(f->op);
    f->op = NULL;
}

/* ---- Bytes. ---- */

/* A chunk for the block under way, if there is one to be had. Lock. */
static bool take_chunk(struct fetch *f)
{
    unsigned i = f->block - f->own.base;

    if (f->block == f->end)
        return false;
    if (f->past) {
        assert(i < f->own.n);
        f->chunk = f->own.chunks[i];
        f->discard = (f->own.have >> i & 1) != 0;
    } else if (!engine_grant(f->e, TAKE_FILL, &f->chunk, 1)) {
        f->chunk = NULL;
        return false;
    }
    f->filled = 0;
    f->size = f->wake_at = blob_block_size(f->stream->blob, f->block);
    return true;
}

static void no_longer_missing(struct stream *s, uint32_t block)
{
    for (struct read *r = s->waiting.first; r != NULL; r = r->next) {
        uint32_t first = (uint32_t)(r->offset / BLOCK_SIZE);
        if (block >= first && block - first < READ_BLOCKS_MAX)
            r->missing &= (uint8_t) ~(1U << (block - first));
    }
}

/* The block under way is full: known to all, and on its way to the disk. Where nothing is answered
 * before the digest was right it is not known yet. Lock. */
static void end_block(struct fetch *f)
{
    struct engine *e = f->e;
    struct stream *s = f->stream;
    struct chunk *k = f->chunk;

    if (!f->discard) {
        k->filled = f->size;
        if (!s->whole) {
            chunk_publish(e->chunks, k, s->id, f->block, f->size);
            no_longer_missing(s, f->block);
        }
        if (f->past && !s->whole)
            chunk_pin(e->chunks, k);
        if (!f->past || !s->whole)
            engine_write(e, s, f->block, k, !f->past);
    }
    f->chunk = NULL;
    f->block++;
    f->size = 0;
    f->discard = false;
}

/* Somebody waits for what is now there, or the block is full. */
static void reached(struct fetch *f)
{
    struct engine *e = f->e;

    metric_add(M_FETCH_BYTES, f->bytes);
    f->bytes = 0;
    if (f->filled == f->size) {
        engine_lock(e);
        end_block(f);
        (void)take_chunk(f);
        engine_unlock(e);
    }
    stream_judge(e, f->stream);
}

/* True: no chunk is to be had. */
static bool goes_hungry(struct fetch *f)
{
    struct engine *e = f->e;

    engine_lock(e);
    bool got = take_chunk(f);
    if (!got && !f->paused) {
        f->paused = true;
        TAILQ_INSERT_TAIL(&e->paused, f, pause);
    }
    engine_unlock(e);
    if (got)
        stream_judge(e, f->stream);
    return !got;
}

/* Takes all n bytes, or pauses with some of them taken. */
static enum hfc_flow take_bytes(struct fetch *f, const uint8_t *bytes, size_t n)
{
    size_t at = f->skip < n ? f->skip : n;

    f->skip -= at;
    while (at < n && f->block < f->end) {
        if (f->chunk == NULL && goes_hungry(f)) {
            f->skip = at;
            return HFC_FLOW_PAUSE;
        }
        size_t some = n - at < f->size - f->filled ? n - at : f->size - f->filled;
        if (!f->discard)
            memcpy(f->chunk->bytes + f->filled, bytes + at, some);
        f->filled += (uint32_t)some;
        f->bytes += some;
        at += some;
        if (f->filled >= f->wake_at)
            reached(f);
    }
    f->stopped = f->block == f->end && f->end < f->asked;
    return f->stopped ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

static enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    struct fetch *f = ctx;

    if (f->cancelled)
        return HFC_FLOW_STOP;
    strikes_blob(f->stream->id);
    enum hfc_flow flow = fault_at(FAULT_FILL) == 0 ? take_bytes(f, bytes, n) : HFC_FLOW_STOP;
    strikes_blob(0);
    return flow;
}

/* ---- The end. ---- */

static void count_failure(int errnum)
{
    enum metric m = M_FETCH_ERROR_OTHER;

    if (errnum == ENOTCONN)
        m = M_FETCH_ERROR_UNREACHABLE;
    else if (errnum == EAGAIN)
        m = M_FETCH_ERROR_SERVER;
    else if (errnum == EACCES)
        m = M_FETCH_ERROR_REFUSED;
    else if (errnum == ESTALE || errnum == ENOENT)
        m = M_FETCH_ERROR_CHANGED;
    else if (errnum == EBADMSG)
        m = M_FETCH_ERROR_CORRUPT;
    metric_add(m, 1);
}

/* The store's messages name the object. */
static void failed(struct engine *e, struct stream *s, const struct hfc_error *err)
{
    const char *msg = err != NULL ? err->msg : "the store sent fewer bytes than were asked for";
    int errnum = err != NULL ? err->errnum : EBADMSG;

    count_failure(errnum);
    (void)snprintf(e->causes[s - e->streams], CAUSE_MAX, "%.*s", CAUSE_MAX - 1, msg);
    if (errnum == ENOENT)
        errnum = ESTALE;
    if (errnum != EACCES && errnum != ESTALE) {
        unsigned waiting = s->waiting.n;
        uint64_t ms = line_retry(e, s);
        log_line(LOG_FETCH, LEVEL_WARNING,
                 "%s; %u reads wait, tried again for them in %" PRIu64 " ms", msg, waiting, ms);
        return;
    }
    log_line(LOG_FETCH, LEVEL_ERROR, "%s; %u reads fail with %s", msg, s->waiting.n,
             errnum == EACCES ? "EACCES" : "ESTALE");
    stream_fail(e, s, errnum);
    if (e->config.trouble != NULL)
        e->config.trouble(e->config.ctx, errnum);
}

static void count_success(struct engine *e, const struct stream *s, const struct fetch *f)
{
    metric_time(M_FETCH_SECONDS, clock_ns() - f->began);
    e->causes[s - e->streams][0] = '\0';
}

static void ended(struct fetch *f, const struct hfc_error *err)
{
    struct engine *e = f->e;
    struct stream *s = f->stream;
    bool came = f->block == f->end && (err == NULL || f->stopped);

    metric_add(M_FETCH_BYTES, f->bytes);
    if (came)
        count_success(e, s, f);
    if (came || f->block > f->first) {
        s->tries = 0;
        s->given_up_until = 0;
    }
    /* While another check runs its reader waits for that, and then again. */
    bool check = came && f->past && s->whole && f->reader != NULL && !s->checking;
    engine_lock(e);
    f->checking = check;
    detach(f);
    f->over = true;
    fetch_settle(f);
    engine_unlock(e);
    if (check)
        stream_check(e, s, f);
    if (!came)
        failed(e, s, err);
    stream_judge(e, s);
    line_leap(e, s);
    stream_touch(e, s);
}

static void on_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct fetch *f = ctx;
    struct engine *e = f->e;

    (void)reply;
    f->op = NULL;
    if (f->cancelled) {
        engine_lock(e);
        f->over = true;
        fetch_settle(f);
        engine_unlock(e);
    } else {
        strikes_blob(f->stream->id);
        ended(f, err);
        strikes_blob(0);
    }
    line_schedule(e);
}

void fetch_start(struct fetch *f)
{
    const struct stream *s = f->stream;
    const struct blob_info *info = blob_info(s->blob);
    uint64_t offset = (uint64_t)f->block * BLOCK_SIZE, end = (uint64_t)f->end * BLOCK_SIZE;
    struct hfc_get get = {.key = info->key, .offset = offset, .if_match = info->etag};

    get.length = (end < info->size ? end : info->size) - offset;
    f->began = clock_ns();
    metric_add(M_FETCHES, 1);
    if (s->tries > 0)
        metric_add(M_FETCH_RETRIES, 1);
    f->op = hfc_store_get(f->e->store, &get, on_data, on_done, f);
}

/* Chunks came free: those that paused first go on. */
void fetches_resume(struct engine *e)
{
    struct fetch *f;

    while ((f = TAILQ_FIRST(&e->paused)) != NULL) {
        engine_lock(e);
        bool got = take_chunk(f);
        if (got) {
            TAILQ_REMOVE(&e->paused, f, pause);
            f->paused = false;
        }
        engine_unlock(e);
        if (!got)
            return;
        stream_judge(e, f->stream);
        hfc_store_resume(f->op);
    }
    engine_lock(e);
    e->hungry[TAKE_FILL] = false; /* who was refused, and has not come for it, asks again */
    if (e->hungry[TAKE_DISK])
        (void)pthread_cond_signal(&e->work);
    (void)pthread_cond_signal(&e->verify_work);
    engine_unlock(e);
}

/* ---- The store. ---- */

/* Operations of a store that was closed ended without a word; those of one that was not have told
 * their end before this: their timers were started earlier. */
static void reap_places(void *ctx)
{
    struct engine *e = ctx;

    for (unsigned i = 0; i < e->config.plan->connections; i++) {
        struct fetch *f = &e->fetches[i];
        engine_lock(e);
        if (f->busy && f->cancelled && f->epoch != e->epoch) {
            f->over = true;
            fetch_settle(f);
        }
        engine_unlock(e);
    }
    engine_look(e);
}

static void cancel_all(struct engine *e)
{
    for (unsigned i = 0; i < e->config.plan->connections; i++) {
        struct fetch *f = &e->fetches[i];
        engine_lock(e);
        struct stream *s = f->busy ? f->stream : NULL;
        engine_unlock(e);
        if (s == NULL)
            continue;
        fetch_cancel(f);
        stream_judge(e, s); /* a read past the cache may find the rest of its blocks elsewhere */
        stream_touch(e, s);
    }
}

void engine_use_store(struct engine *e, struct hfc_store *store)
{
    e->store = NULL;
    cancel_all(e);
    e->store = store;
    e->epoch++;
    for (unsigned i = 0; i < e->n_streams; i++) {
        struct stream *s = &e->streams[i];
        if (s->place == RETRYING)
            line_leave(e, s);
        s->tries = 0;
        s->retry_at = s->given_up_until = 0;
        stream_touch(e, s);
    }
    hfc_timer_start(e->config.loop, &e->reap, 0, reap_places, e);
    line_schedule(e);
}
