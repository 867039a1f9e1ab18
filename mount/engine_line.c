/* engine_line.c: who gets a connection, and for which range; see engine_internal.h. Owns the line
 * of streams with unmet demand, those that wait to try again, and those to be fetched ahead.
 *
 * The stream at the head of the line gets one GET and goes to the end. It begins with the block
 * that its oldest read misses and that no GET under way will bring soon, and goes on for a window:
 * WINDOW_MIN blocks, doubled with each GET for a reader that goes on in sequence. Only when nobody
 * stands in line is fetched ahead of readers. A GET that nobody waits for, far from any reader,
 * makes room for those who wait.
 *
 * Loop's thread.
 */
#include <assert.h>
#include <sys/random.h>

#include "engine_internal.h"
#include "metrics.h"

enum {
    SOON = 2 * WINDOW_MIN,        /* blocks: nearer to a GET than this is not worth another one */
    RETRY_FIRST_MS = 100,         /* bound of the first wait */
    READER_GONE_MS = 2 * TICK_MS, /* a reader that was not seen for so long needs no GET */
};
_Static_assert(WINDOW_MAX <= 64, "blob_present() tells of 64 blocks at most");

/* ---- What a stream wants. ---- */

static bool covered(const struct stream *s, const struct read *r, uint32_t block)
{
    if (r->misses > MISSES_MAX)
        return false;
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++) {
        const struct fetch *f = s->fetches[i];
        if (f != NULL && block >= f->block && block < f->end &&
            (f->past || block - f->block <= SOON))
            return true;
    }
    return false;
}

/* The oldest read that misses a block which is not on its way. */
static struct read *demand(const struct stream *s, uint32_t *block)
{
    for (struct read *r = s->waiting.first; r != NULL; r = r->next) {
        uint32_t first;
        unsigned n;
        if (r->own != NULL)
            continue;
        stream_span(s, r, &first, &n);
        for (unsigned i = 0; i < n; i++)
            if ((r->missing >> i & 1) != 0 && !covered(s, r, first + i)) {
                *block = first + i;
                return r;
            }
    }
    return NULL;
}

/* Where nothing is answered before the digest was right, what has come is known only when it was
 * written, and all reads wait for a check together. */
static bool is_settling(struct engine *e, const struct stream *s)
{
    engine_lock(e);
    bool settling = s->whole && (s->checking || s->writing > 0 || s->news != 0);
    engine_unlock(e);
    return settling;
}

static bool wants_connection(struct engine *e, const struct stream *s)
{
    uint32_t block;

    return e->store != NULL && s->waiting.n > 0 && stream_has_place(s) &&
           demand(s, &block) != NULL && !is_settling(e, s);
}

void line_leave(struct engine *e, struct stream *s)
{
    if (s->place == IN_LINE) {
        TAILQ_REMOVE(&e->line, s, line);
        atomic_fetch_sub(&e->queued, 1);
    } else if (s->place == RETRYING) {
        TAILQ_REMOVE(&e->retries, s, line);
    }
    s->place = NOWHERE;
}

void line_update(struct engine *e, struct stream *s)
{
    if (s->place == RETRYING && s->waiting.n > 0)
        return;
    bool wants = wants_connection(e, s);
    if (!wants) {
        line_leave(e, s);
    } else if (s->place == NOWHERE) {
        s->place = IN_LINE;
        TAILQ_INSERT_TAIL(&e->line, s, line);
        atomic_fetch_add(&e->queued, 1);
    }
}

/* ---- Trying again. ---- */

static uint64_t random_below(uint64_t bound)
{
    uint64_t random = 0;

    (void)!getrandom(&random, sizeof(random), 0);
    return random % bound;
}

static void retry_due(void *ctx)
{
    struct engine *e = ctx;
    uint64_t now = clock_ns(), next = UINT64_MAX;

    for (struct stream *s = TAILQ_FIRST(&e->retries), *after; s != NULL; s = after) {
        after = TAILQ_NEXT(s, line);
        if (s->retry_at > now) {
            next = s->retry_at < next ? s->retry_at : next;
            continue;
        }
        line_leave(e, s);
        line_update(e, s);
    }
    if (next != UINT64_MAX)
        hfc_timer_start(e->config.loop, &e->retry, (int64_t)((next - now) / NS_PER_MS) + 1,
                        retry_due, e);
    line_schedule(e);
}

/* Full jitter: up to a bound that doubles with each failure. How long it is. */
uint64_t line_retry(struct engine *e, struct stream *s)
{
    uint64_t bound = RETRY_CAP_MS;

    line_leave(e, s);
    if (s->tries < 16 && (uint64_t)RETRY_FIRST_MS << s->tries < bound)
        bound = (uint64_t)RETRY_FIRST_MS << s->tries;
    s->tries++;
    uint64_t ms = 1 + random_below(bound);
    s->retry_at = clock_ns() + ms * NS_PER_MS;
    if (s->waiting.n == 0)
        return ms;
    s->place = RETRYING;
    TAILQ_INSERT_TAIL(&e->retries, s, line);
    if (e->retry.loop == NULL || e->retry.due > hfc_now_ms() + (int64_t)ms)
        hfc_timer_start(e->config.loop, &e->retry, (int64_t)ms, retry_due, e);
    return ms;
}

/* ---- Ranges. ---- */

/* The end of a GET from `from`: at most `want` blocks, to the next block that is there already or
 * that another GET begins with. A GET that would come to `from` much later ends before it. */
static uint32_t range_end(const struct stream *s, uint32_t from, uint32_t want)
{
    uint32_t left = blob_blocks(s->blob) - from;

    assert(from < blob_blocks(s->blob) && want > 0);
    want = want < left ? want : left;
    want = want < WINDOW_MAX ? want : WINDOW_MAX;
    uint64_t there = blob_present(s->blob, from, want) & ~(uint64_t)1;
    uint32_t end = from + want;
    if (there != 0 && from + (uint32_t)__builtin_ctzll(there) < end)
        end = from + (uint32_t)__builtin_ctzll(there);
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++) {
        struct fetch *f = s->fetches[i];
        if (f == NULL || f->past)
            continue;
        if (f->block > from && f->block < end)
            end = f->block;
        if (f->block < from && f->end > from)
            f->end = from;
    }
    return end;
}

/* The window of the reader behind `r`; it grows with each GET. */
static uint32_t take_window(struct engine *e, struct stream *s, const struct read *r)
{
    uint32_t window = WINDOW_MIN;

    engine_lock(e);
    struct cursor *c = stream_cursor(s, r);
    if (c != NULL && c->runs && c->window < WINDOW_MAX)
        c->window *= 2;
    if (c != NULL)
        window = c->window;
    engine_unlock(e);
    return window;
}

static void note_ahead(struct engine *e, struct stream *s, const struct read *r, uint32_t end)
{
    engine_lock(e);
    struct cursor *c = stream_cursor(s, r);
    if (c != NULL && c->ahead < end)
        c->ahead = end;
    engine_unlock(e);
}

static void start_into_cache(struct engine *e, struct stream *s, const struct read *r,
                             uint32_t block)
{
    uint32_t first, window = take_window(e, s, r);
    unsigned n;

    stream_span(s, r, &first, &n);
    uint32_t needed = first + n - block;
    uint32_t end = range_end(s, block, window > needed ? window : needed);
    note_ahead(e, s, r, end);
    fetch_start(fetch_new(e, s, block, end));
}

/* ---- Past the cache. ---- */

/* What is in memory is pinned, for the rest there have to be chunks. Lock. False: there are none.
 */
static bool take_own(struct engine *e, struct own *own, uint64_t id)
{
    struct chunk *got[READ_BLOCKS_MAX];
    unsigned used = 0;

    for (unsigned i = 0; i < own->n; i++) {
        own->chunks[i] = chunk_find(e->chunks, id, own->base + i);
        own->taken += own->chunks[i] == NULL;
    }
    bool all = own->taken == 0 || engine_grant(e, TAKE_PAST, got, own->taken);
    for (unsigned i = 0; i < own->n; i++) {
        if (own->chunks[i] != NULL && all)
            own->have |= 1U << i;
        else if (own->chunks[i] != NULL)
            chunk_unpin(e->chunks, own->chunks[i]);
        else if (all)
            own->chunks[i] = got[used++];
    }
    assert(used == own->taken || !all);
    return all;
}

/* The read's own GET, for the span of what is not in memory. False: no chunks now. */
static bool start_past_cache(struct engine *e, struct stream *s, struct read *r)
{
    struct own own = {0};

    stream_span(s, r, &own.base, &own.n);
    engine_lock(e);
    bool got = take_own(e, &own, s->id);
    if (got && own.taken == 0)
        engine_give_own(e, &own);
    engine_unlock(e);
    if (!got)
        return false;
    if (own.n == 0) {
        stream_ready(e, s, r);
        return true;
    }
    unsigned lacking = ((1U << own.n) - 1) & ~own.have;
    struct fetch *f = fetch_new(e, s, own.base + (uint32_t)__builtin_ctz(lacking),
                                own.base + 32 - (uint32_t)__builtin_clz(lacking));
    f->past = true;
    f->own = own;
    f->reader = r;
    r->own = f;
    fetch_start(f);
    return true;
}

/* ---- Ahead of readers. ---- */

/* The reader seen last that wants it. Lock. */
static struct cursor *leaper(struct stream *s)
{
    struct cursor *best = NULL;

    for (unsigned i = 0; i < CURSORS; i++)
        if (cursor_wants_ahead(s, &s->cursors[i]) &&
            (best == NULL || s->cursors[i].used > best->used))
            best = &s->cursors[i];
    return best;
}

static uint32_t after_fetches(const struct stream *s, uint32_t block)
{
    for (unsigned round = 0; round < FETCHES_OF_ONE_BLOB; round++)
        for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++)
            if (s->fetches[i] != NULL && block >= s->fetches[i]->block &&
                block < s->fetches[i]->end)
                block = s->fetches[i]->end;
    return block;
}

/* Where to go on for a reader that has come to `next`; UINT32_MAX: all is there or on its way. */
static uint32_t leap_from(const struct stream *s, uint32_t next, uint32_t horizon)
{
    uint32_t from = next;

    for (unsigned round = 0; round <= FETCHES_OF_ONE_BLOB && from < horizon; round++) {
        uint32_t missing = blob_missing(s->blob, from, horizon - from);
        from = after_fetches(s, missing);
        if (from == missing)
            break;
    }
    return from < horizon ? from : UINT32_MAX;
}

static void start_ahead(struct engine *e, struct stream *s)
{
    uint32_t blocks = blob_blocks(s->blob), next = 0, window = 0;

    engine_lock(e);
    struct cursor *c = stream_has_place(s) ? leaper(s) : NULL;
    uint64_t was = c != NULL ? c->next : 0;
    if (c != NULL) {
        next = (uint32_t)(was / BLOCK_SIZE);
        next = next > c->ahead ? next : c->ahead;
        window = c->window;
    }
    engine_unlock(e);
    if (window == 0 || next >= blocks)
        return;
    uint32_t horizon = blocks - next < window ? blocks : next + window;
    uint32_t from = leap_from(s, next, horizon), end = horizon;
    if (from != UINT32_MAX)
        end = range_end(s, from, window < WINDOW_MAX ? 2 * window : window);
    engine_lock(e);
    if (c->next >= was && c->next - was <= 4 * READ_MAX) { /* else it is another reader by now */
        c->ahead = end;
        if (from != UINT32_MAX && c->window < WINDOW_MAX)
            c->window *= 2;
    }
    engine_unlock(e);
    if (from != UINT32_MAX)
        fetch_start(fetch_new(e, s, from, end));
}

void line_leap(struct engine *e, struct stream *s)
{
    engine_lock(e);
    bool wanted = leaper(s) != NULL;
    engine_unlock(e);
    if (s->leaps || !wanted)
        return;
    s->leaps = true;
    TAILQ_INSERT_TAIL(&e->ahead, s, leap);
}

/* Streams are short: nothing is fetched ahead. False: there was none. */
bool line_no_leaps(struct engine *e)
{
    struct stream *s;
    bool any = false;

    while ((s = TAILQ_FIRST(&e->ahead)) != NULL) {
        TAILQ_REMOVE(&e->ahead, s, leap);
        s->leaps = false;
        stream_touch(e, s);
        any = true;
    }
    return any;
}

static void fetch_ahead(struct engine *e)
{
    struct stream *s;

    while (TAILQ_EMPTY(&e->line) && (s = TAILQ_FIRST(&e->ahead)) != NULL &&
           (e->store == NULL || fetch_room(e))) {
        TAILQ_REMOVE(&e->ahead, s, leap);
        s->leaps = false;
        if (e->store != NULL && clock_ns() >= s->retry_at)
            start_ahead(e, s);
        stream_touch(e, s);
    }
}

/* ---- The line moves. ---- */

static bool reader_is_near(const struct fetch *f, const struct cursor *c, uint64_t now)
{
    uint32_t next = (uint32_t)(c->next / BLOCK_SIZE);

    return c->used != 0 && now - c->used < (uint64_t)READER_GONE_MS * NS_PER_MS &&
           next + WINDOW_MAX >= f->block && next <= f->end + WINDOW_MIN;
}

static bool is_useless(const struct fetch *f, uint64_t now)
{
    const struct stream *s = f->stream;

    if (s == NULL || f->past || f->block == f->end) /* or it is about to end */
        return false;
    for (const struct read *r = s->waiting.first; r != NULL; r = r->next) {
        uint32_t first;
        unsigned n;
        stream_span(s, r, &first, &n);
        for (unsigned i = 0; i < n; i++)
            if ((r->missing >> i & 1) != 0 && first + i >= f->block && first + i < f->end)
                return false;
    }
    for (unsigned i = 0; i < CURSORS; i++)
        if (reader_is_near(f, &s->cursors[i], now))
            return false;
    return true;
}

static void cancel_useless(struct engine *e)
{
    uint64_t now = clock_ns();

    for (unsigned i = 0; i < e->config.plan->connections; i++) {
        struct fetch *f = &e->fetches[i];
        engine_lock(e);
        bool useless = is_useless(f, now);
        engine_unlock(e);
        if (!useless)
            continue;
        struct stream *s = f->stream;
        fetch_cancel(f);
        stream_touch(e, s);
    }
}

/* False: it has to wait for chunks, and all behind it for the connection. */
static bool serve_first(struct engine *e, struct stream *s)
{
    uint32_t block = 0;
    struct read *r = wants_connection(e, s) ? demand(s, &block) : NULL;

    if (r != NULL) {
        if (!r->past_cache)
            start_into_cache(e, s, r, block);
        else if (!start_past_cache(e, s, r))
            return false;
    }
    line_leave(e, s);
    stream_judge(e, s);
    stream_touch(e, s);
    return true;
}

/* Whoever was hungry for a read past the cache may have got what he wanted in another way. */
static void nobody_is_hungry(struct engine *e)
{
    engine_lock(e);
    if (e->hungry[TAKE_PAST]) {
        e->hungry[TAKE_PAST] = false;
        if (e->hungry[TAKE_DISK])
            (void)pthread_cond_signal(&e->work);
        (void)pthread_cond_signal(&e->verify_work);
    }
    engine_unlock(e);
}

void line_schedule(struct engine *e)
{
    struct stream *s;

    while (e->store != NULL && (s = TAILQ_FIRST(&e->line)) != NULL && fetch_room(e))
        if (!serve_first(e, s))
            return;
    nobody_is_hungry(e);
    if (e->store != NULL && !TAILQ_EMPTY(&e->line))
        cancel_useless(e);
    fetch_ahead(e);
}
