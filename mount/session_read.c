/* session_read.c: reads, and those that are parked; see session_internal.h.
 *
 * A read that is answered at once needs nothing but its thread's stack. One that has to wait gets a
 * waiter and its parked slot, by which it is found again, by the engine's threads when its bytes
 * are there, or by a successor. A slot is cleared by whoever is last of the thread that parked the
 * read and the one that answered it: only then may another read have it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fault.h"
#include "session_internal.h"
#include "strikes.h"

enum { NS_PER_MS = 1000000, MS_PER_S = 1000 };

/* On the stack of the thread that brings the read. */
struct instant {
    struct read read;
    fuse_req_t req;
};

static void reply(fuse_req_t req, const struct iovec *pieces, unsigned n, int errnum)
{
    if (errnum != 0)
        (void)fuse_reply_err(req, errnum);
    else
        (void)fuse_reply_iov(req, pieces, (int)n);
}

static void instant_done(struct read *r, const struct iovec *pieces, unsigned n, int errnum)
{
    const struct instant *now = r->ctx;

    reply(now->req, pieces, n, errnum);
}

void waiters_open(struct session *s)
{
    struct shared *shared = s->config.shared;

    for (unsigned i = PARKED_SLOTS; i-- > 0;) {
        struct waiter *w = &s->waiters[i];
        *w = (struct waiter){.session = s, .slot = &shared->parked[i], .state = WAITER_HELD};
        if (slot_len(&w->slot->in) != 0)
            continue;
        w->state = WAITER_FREE;
        s->free[s->n_free++] = w;
    }
}

static struct waiter *waiter_take(struct session *s)
{
    struct waiter *w = NULL;

    (void)pthread_mutex_lock(&s->lock);
    if (s->n_free > 0) {
        w = s->free[--s->n_free];
        assert(w->state == WAITER_FREE && w->pins == 0);
        w->state = WAITER_HELD;
        w->pins = 1;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return w;
}

void waiter_unpin(struct waiter *w)
{
    struct session *s = w->session;

    (void)pthread_mutex_lock(&s->lock);
    assert(w->pins > 0);
    if (--w->pins == 0) {
        strikes_clear(&w->slot->state);
        slot_set(&w->slot->in, 0);
        w->state = WAITER_FREE;
        s->free[s->n_free++] = w;
        (void)pthread_cond_broadcast(&s->changed);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* An abandoned read has no request any more: then the engine was about to call, but came late. */
static bool begin_answer(struct waiter *w)
{
    (void)pthread_mutex_lock(&w->session->lock);
    bool waiting = w->state == WAITER_WAITING;
    if (waiting)
        w->state = WAITER_ANSWERING;
    (void)pthread_mutex_unlock(&w->session->lock);
    return waiting;
}

static void parked_done(struct read *r, const struct iovec *pieces, unsigned n, int errnum)
{
    struct waiter *w = r->ctx;
    struct blob *blob = r->blob;

    if (!begin_answer(w))
        return;
    strikes_enter(&w->slot->state);
    reply(w->req, pieces, n, errnum);
    strikes_leave(&w->slot->state);
    waiter_unpin(w);
    blob_done(blob);
}

/* From now on it stands in the parked slot, strikes and all, and no more in the intake slot. */
static void move(struct request *q, struct waiter *w)
{
    struct parked *slot = w->slot;
    struct fuse_in_header in = *q->in;

    slot->read = *(const struct fuse_read_in *)(q->in + 1);
    atomic_store(&slot->state.strikes, atomic_load(&q->state->strikes));
    in.len = 0;
    slot->in = in;
    slot_set(&slot->in, sizeof(slot->in) + sizeof(slot->read));
    (void)fault_at(FAULT_PARKED);
    slot_set(q->in, 0);
    strikes_clear(q->state);
}

/* Ends the caller's part in a waiter that it has pinned. */
static void wait_for_bytes(struct session *s, struct waiter *w)
{
    (void)pthread_mutex_lock(&s->lock);
    w->state = WAITER_WAITING;
    w->pins++;
    (void)pthread_mutex_unlock(&s->lock);
    (void)engine_read(s->config.engine, &w->read, true);
}

static void defer(struct request *q, struct fuse_req *req, struct blob *blob)
{
    q->deferred = true;
    fuse_reply_none(req); /* only frees it */
    blob_done(blob);
}

/* `like` tells what is wanted. */
static void park(struct session *s, const struct instant *like)
{
    struct request *q = request_current();
    struct waiter *w = q->waiter != NULL ? q->waiter : waiter_take(s);

    if (w == NULL) {
        defer(q, like->req, like->read.blob);
        return;
    }
    w->req = like->req;
    w->read = like->read;
    w->read.done = parked_done;
    w->read.ctx = w;
    if (q->waiter != NULL) {
        wait_for_bytes(s, w);
        return;
    }
    move(q, w);
    strikes_enter(&w->slot->state);
    wait_for_bytes(s, w);
    strikes_leave(&w->slot->state);
    waiter_unpin(w);
}

void session_read(struct session *s, struct fuse_req *req, struct blob *blob, uint64_t offset,
                  uint32_t size)
{
    struct instant now = {
        .read = {.blob = blob, .offset = offset, .size = size, .done = instant_done},
        .req = req,
    };

    assert(size >= 1 && size <= READ_MAX && request_current() != NULL);
    now.read.ctx = &now;
    if (engine_read(s->config.engine, &now.read, false))
        blob_done(blob);
    else
        park(s, &now);
}

bool waiters_room(struct session *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->n_free == 0 && !atomic_load(&s->stopping))
        (void)pthread_cond_wait(&s->changed, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    return !atomic_load(&s->stopping);
}

unsigned session_parked(struct session *s)
{
    (void)pthread_mutex_lock(&s->lock);
    unsigned n = PARKED_SLOTS - s->n_free;
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

static bool any(const struct session *s, enum waiter_state state)
{
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        if (s->waiters[i].state == state)
            return true;
    return false;
}

static struct timespec deadline_in(int ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / MS_PER_S;
    t.tv_nsec += (long)(ms % MS_PER_S) * NS_PER_MS;
    if (t.tv_nsec >= (long)MS_PER_S * NS_PER_MS) {
        t.tv_sec++;
        t.tv_nsec -= (long)MS_PER_S * NS_PER_MS;
    }
    return t;
}

static bool unanswered(const struct session *s)
{
    return any(s, WAITER_WAITING) || any(s, WAITER_ANSWERING);
}

/* Whether all were answered. */
static bool wait_for_answers(struct session *s, int ms)
{
    const struct timespec until = deadline_in(ms);
    int rc = 0;

    (void)pthread_mutex_lock(&s->lock);
    while (rc == 0 && unanswered(s))
        rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    bool all = !unanswered(s);
    (void)pthread_mutex_unlock(&s->lock);
    return all;
}

/* What is being answered right now comes to its end; of the rest the memory is given back, and the
 * slots are the successor's. */
static void forget_the_rest(struct session *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (any(s, WAITER_ANSWERING))
        (void)pthread_cond_wait(&s->changed, &s->lock);
    for (unsigned i = 0; i < PARKED_SLOTS; i++) {
        struct waiter *w = &s->waiters[i];
        if (w->state != WAITER_WAITING)
            continue;
        w->state = WAITER_ABANDONED;
        fuse_reply_none(w->req);
        blob_done(w->read.blob);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void waiters_drain(struct session *s, int ms)
{
    if (wait_for_answers(s, ms))
        return;
    engine_abandon(s->config.engine);
    forget_the_rest(s);
}
