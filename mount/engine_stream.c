/* engine_stream.c: streams: their pool and table by id, their readers, and what other threads tell
 * of them; see engine_stream.h.
 */
#include "engine_stream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "engine_internal.h"
#include "logging.h"
#include "metrics.h"
#include "strikes.h"

enum { MS_PER_S = 1000 };

/* ---- The pool. ---- */

static struct stream **bucket(const struct engine *e, uint64_t id)
{
    return &e->buckets[(id * 0x9e3779b97f4a7c15U) >> 32 & (e->n_buckets - 1)];
}

struct stream *stream_find(struct engine *e, uint64_t id)
{
    struct stream *s = *bucket(e, id);

    while (s != NULL && s->id != id)
        s = s->same;
    return s;
}

static void forget_id(struct engine *e, struct stream *s)
{
    struct stream **at = bucket(e, s->id);

    while (*at != NULL && *at != s)
        at = &(*at)->same;
    if (*at == s)
        *at = s->same;
}

/* Lock. A stream that rests gets to work, with a use of the blob. */
static void get_up(struct engine *e, struct stream *s, struct blob *blob)
{
    if (s->blob != NULL)
        return;
    TAILQ_REMOVE(&e->resting, s, rest);
    s->blob = blob_again(blob);
}

static void start_over(struct stream *s, uint64_t id)
{
    s->id = id;
    memset(s->cursors, 0, sizeof(s->cursors));
    s->whole = s->full = s->wrote = false;
    s->tries = s->wrong = 0;
    s->wrong_until = s->given_up_until = 0;
}

/* Lock. NULL: all are at work. */
struct stream *stream_get(struct engine *e, struct blob *blob)
{
    uint64_t id = blob_info(blob)->id;
    struct stream *s = stream_find(e, id);

    if (s == NULL) {
        s = TAILQ_FIRST(&e->resting);
        if (s == NULL)
            return NULL;
        assert(s->waiting.n == 0 && s->news == 0 && !s->checking && s->writing == 0);
        forget_id(e, s);
        start_over(s, id);
        e->causes[s - e->streams][0] = '\0';
        s->same = *bucket(e, id);
        *bucket(e, id) = s;
    }
    get_up(e, s, blob);
    return s;
}

bool stream_has_place(const struct stream *s)
{
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++)
        if (s->fetches[i] == NULL)
            return true;
    return false;
}

bool stream_fetches(const struct stream *s)
{
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++)
        if (s->fetches[i] != NULL)
            return true;
    return false;
}

/* ---- Readers. ---- */

/* The kernel's read-ahead comes in several requests at once, on several threads. */
struct cursor *stream_cursor(struct stream *s, const struct read *r)
{
    for (unsigned i = 0; i < CURSORS; i++) {
        struct cursor *c = &s->cursors[i];
        if (c->used != 0 && r->offset <= c->next + READ_MAX && r->offset + READ_MAX >= c->next)
            return c;
    }
    return NULL;
}

bool cursor_wants_ahead(const struct stream *s, const struct cursor *c)
{
    uint32_t next = (uint32_t)(c->next / BLOCK_SIZE);
    uint32_t ahead = c->ahead > next ? c->ahead : next;

    return c->used != 0 && c->runs && !s->full && !s->whole && ahead - next < c->window / 2;
}

static struct cursor *new_cursor(struct stream *s)
{
    struct cursor *oldest = &s->cursors[0];

    for (unsigned i = 1; i < CURSORS; i++)
        if (s->cursors[i].used < oldest->used)
            oldest = &s->cursors[i];
    *oldest = (struct cursor){.window = WINDOW_MIN};
    return oldest;
}

/* Takes note of where a reader is; `s` may be NULL. */
void stream_note(struct engine *e, struct stream *s, const struct read *r)
{
    if (s == NULL)
        return;
    struct cursor *c = stream_cursor(s, r);
    uint64_t end = r->offset + r->size;
    if (c == NULL)
        c = new_cursor(s);
    else if (end > c->next)
        c->runs = true;
    if (end > c->next)
        c->next = end;
    c->used = r->began;
    if (end < blob_info(r->blob)->size && cursor_wants_ahead(s, c) && stream_has_place(s)) {
        get_up(e, s, r->blob);
        stream_tell(e, s, TOLD_AHEAD);
    }
}

/* ---- News from other threads. ---- */

void stream_tell(struct engine *e, struct stream *s, unsigned news)
{
    assert(s->blob != NULL);
    if (s->news == 0)
        TAILQ_INSERT_TAIL(&e->told, s, told);
    s->news |= news;
    engine_wake(e);
}

/* The chunks of a fetch past the cache have the right digest: now they are as good as any. */
static void publish_own(struct engine *e, struct stream *s, struct fetch *f)
{
    engine_lock(e);
    for (unsigned i = 0; i < f->own.n; i++) {
        struct chunk *k = f->own.chunks[i];
        if (k->ready)
            continue;
        chunk_publish(e->chunks, k, s->id, f->own.base + i,
                      blob_block_size(s->blob, f->own.base + i));
        chunk_pin(e->chunks, k);
        engine_write(e, s, f->own.base + i, k, false);
    }
    engine_unlock(e);
}

static void own_verified(struct engine *e, struct stream *s, struct fetch *f, bool right)
{
    struct read *r = f->reader;

    if (right)
        publish_own(e, s, f);
    if (r != NULL && right) {
        stream_ready(e, s, r);
    } else if (r != NULL) {
        r->own = NULL;
        f->reader = NULL;
    }
    engine_lock(e);
    f->checking = false;
    fetch_settle(f);
    engine_unlock(e);
}

static void was_wrong(struct engine *e, struct stream *s)
{
    const char *key = blob_info(s->blob)->key;

    if (++s->wrong < 2) {
        log_line(LOG_VERIFY, LEVEL_WARNING,
                 "%s: the content has another digest than it should; fetched again", key);
        return;
    }
    log_line(LOG_VERIFY, LEVEL_ERROR,
             "%s: the content had a wrong digest twice; reads fail with EIO for %d s", key,
             WRONG_MS / MS_PER_S);
    s->wrong = 0;
    s->wrong_until = clock_ns() + (uint64_t)WRONG_MS * NS_PER_MS;
    stream_fail(e, s, EIO);
}

/* 0, nothing could be said (blocks were dropped meanwhile), is a miss. */
static void hear_verdict(struct engine *e, struct stream *s)
{
    engine_lock(e);
    struct fetch *f = s->check;
    int verdict = s->verdict;
    s->checking = false;
    s->check = NULL;
    engine_unlock(e);
    if (verdict > 0)
        s->wrong = 0;
    for (struct read *r = s->waiting.first; r != NULL && verdict == 0 && s->whole; r = r->next)
        if (r->misses < UINT8_MAX)
            r->misses++;
    if (f != NULL)
        own_verified(e, s, f, verdict > 0);
    if (verdict < 0)
        was_wrong(e, s);
}

static void hear(struct engine *e, struct stream *s, unsigned news)
{
    strikes_blob(s->id);
    if ((news & TOLD_VERDICT) != 0)
        hear_verdict(e, s);
    stream_set_whole(e, s);
    if ((news & (TOLD_VERDICT | TOLD_FULL)) != 0 || s->whole)
        stream_assess_all(e, s);
    if ((news & TOLD_AHEAD) != 0)
        line_leap(e, s);
    stream_judge(e, s);
    stream_touch(e, s);
    strikes_blob(0);
}

void streams_news(struct engine *e)
{
    struct stream *s;

    engine_lock(e);
    while ((s = TAILQ_FIRST(&e->told)) != NULL) {
        unsigned news = s->news;
        TAILQ_REMOVE(&e->told, s, told);
        s->news = 0;
        engine_unlock(e);
        hear(e, s, news);
        engine_lock(e);
    }
    engine_unlock(e);
}

/* All that was stored is on disk, and nothing more is under way: if that is all there is, it is
 * verified in the background. */
static void verify_when_complete(struct engine *e, struct stream *s)
{
    engine_lock(e);
    bool look = s->wrote && s->writing == 0 && !s->checking && !s->whole && !stream_fetches(s);
    if (look)
        s->wrote = false;
    engine_unlock(e);
    if (look && !blob_verified(s->blob) && blob_can_verify(s->blob) && blob_complete(s->blob))
        stream_check(e, s, NULL);
}

/* Takes or leaves its place in the line; rests when there is nothing to do. */
void stream_touch(struct engine *e, struct stream *s)
{
    struct blob *blob = NULL;

    engine_lock(e);
    bool rests = s->blob == NULL;
    engine_unlock(e);
    if (rests)
        return;
    verify_when_complete(e, s);
    line_update(e, s);
    engine_lock(e);
    if (s->waiting.n == 0 && s->news == 0 && !s->checking && s->writing == 0 && !s->leaps &&
        !stream_fetches(s)) {
        line_leave(e, s);
        blob = s->blob;
        s->blob = NULL;
        TAILQ_INSERT_TAIL(&e->resting, s, rest);
    }
    engine_unlock(e);
    blob_done(blob);
}
