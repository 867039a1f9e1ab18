/* lock.c: the life of a lock: renewed, lost, given back; see lock.h.
 *
 *   FREE -> ACQUIRING -> HELD -> RELEASING -> FREE
 *               |          `--> LOST
 *               `--> FREE (failed)
 *
 * How long the lock is ours is measured by this machine's monotonic clock, from the start of the
 * put that went well. At most one operation is under way. Acquiring is in lock_acquire.c.
 */
#include "lock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "index.h"
#include "lock_internal.h"
#include "need.h"

enum { SETTLE_MS = 500, GRACE_MS = 10000 };

static void renew(void *ctx);
static void expired(void *ctx);

static int64_t wall_clock(void)
{
    return (int64_t)time(NULL);
}

struct lock *lock_new_with(struct hfc_loop *loop, struct hfc_store *store,
                           const struct lock_times *times)
{
    struct lock *l = need(calloc(1, sizeof(*l)));

    *l = (struct lock){.loop = loop, .store = store, .times = *times};
    hfc_buf_init(&l->in, LOCK_BYTES_MAX);
    hfc_buf_init(&l->out, LOCK_BYTES_MAX);
    lock_holder_self(&l->self);
    hfc_stop_hook_add(loop, &l->hook, lock_stop_waiting, l);
    return l;
}

struct lock *lock_new(struct hfc_loop *loop, struct hfc_store *store)
{
    return lock_new_with(loop, store,
                         &(struct lock_times){.expires = (int64_t)LOCK_EXPIRES_S * 1000,
                                              .renew = LOCK_RENEW_MS,
                                              .poll = LOCK_POLL_MS,
                                              .settle = SETTLE_MS,
                                              .grace = GRACE_MS,
                                              .now = wall_clock});
}

void lock_free(struct lock *l)
{
    if (l == NULL)
        return;
    hfc_stop_hook_remove(&l->hook);
    hfc_timer_stop(&l->timer);
    hfc_timer_stop(&l->expiry);
    hfc_buf_free(&l->in);
    hfc_buf_free(&l->out);
    free(l);
}

bool lock_held(const struct lock *l)
{
    return l->state == LOCK_HELD;
}

bool lock_may_be_there(const struct lock *l)
{
    return l->state == LOCK_HELD || (l->state == LOCK_FREE && l->put_open);
}

/* Requests. */

void lock_start_put(struct lock *l, enum hfc_condition condition, hfc_store_done *done)
{
    uint8_t digest[HFC_SHA256_SIZE];
    int64_t now = l->times.now();

    assert(l->op == NULL);
    /* Whoever waits is told since when: renewals keep it. */
    if (l->self.since == 0)
        l->self.since = now;
    l->self.expires = now + l->times.expires / 1000;
    hfc_buf_reset(&l->out);
    lock_holder_write(&l->self, &l->out);
    l->body = (struct hfc_memory_body){l->out.data, l->out.len};
    hfc_hash_of(HFC_SHA256, l->out.data, l->out.len, digest);
    const struct hfc_put put = {.key = HFC_LOCK_KEY,
                                .body = hfc_body_of(&l->body, digest),
                                .condition = l->plain ? HFC_ALWAYS : condition,
                                .if_match = condition == HFC_IF_MATCH ? l->etag : NULL,
                                .content_type = "application/json"};
    l->put_open = l->state == LOCK_ACQUIRING;
    l->put_at = hfc_now_ms();
    l->op = hfc_store_put(l->store, &put, done, l);
}

/* The buffer has a cap; a lock is never longer, and what is will not be readable. */
static enum hfc_flow take(void *ctx, const void *bytes, size_t n)
{
    struct lock *l = ctx;

    hfc_buf_add(&l->in, bytes, n);
    return HFC_FLOW_ON;
}

void lock_start_get(struct lock *l, hfc_store_done *done)
{
    const struct hfc_get get = {.key = HFC_LOCK_KEY};

    assert(l->op == NULL);
    hfc_buf_reset(&l->in);
    l->op = hfc_store_get(l->store, &get, take, done, l);
}

void lock_note_found(struct lock *l, const struct hfc_store_reply *reply)
{
    memcpy(l->etag, reply->object.etag, sizeof(l->etag));
    l->modified = reply->object.modified;
    l->readable = !hfc_buf_failed(&l->in) && lock_holder_read(l->in.data, l->in.len, &l->found);
}

bool lock_is_ours(const struct lock *l)
{
    return l->readable && strcmp(l->found.token, l->self.token) == 0;
}

/* The rest of the time that the last put of ours gives us. */
int64_t lock_time_left(const struct lock *l)
{
    return l->put_at + l->times.expires - hfc_now_ms();
}

void lock_set_timers(struct lock *l)
{
    int64_t left = lock_time_left(l);

    l->valid_until = l->put_at + l->times.expires;
    hfc_timer_start(l->loop, &l->expiry, left > 0 ? left : 0, expired, l);
    hfc_timer_start(l->loop, &l->timer, l->times.renew, renew, l);
}

/* Renewal. */

/* The holder is told once, and must stop writing. */
static void lose(struct lock *l, const struct hfc_error *why)
{
    struct hfc_error err = *why;

    assert(l->state == LOCK_HELD);
    (void)hfc_error_prefix(&err, "lock of %s", hfc_store_url(l->store));
    err.errnum = ESTALE;
    l->state = LOCK_LOST;
    hfc_timer_stop(&l->timer);
    hfc_timer_stop(&l->expiry);
    if (l->op != NULL)
        hfc_store_cancel(l->op); /* still ends with its function */
    l->lost(l->ctx, &err);
}

static void expired(void *ctx)
{
    struct lock *l = ctx;
    struct hfc_error err;

    (void)hfc_error_set(&err, 0, "it could not be renewed in time%s%s",
                        l->cause.msg[0] != '\0' ? ": " : "", l->cause.msg);
    lose(l, &err);
}

static void renewed(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err);

/* The lock goes on until it expires; maybe the next one gets through. */
static void renew_later(struct lock *l, const struct hfc_error *why)
{
    l->cause = *why;
    hfc_timer_start(l->loop, &l->timer, l->times.renew, renew, l);
}

/* The object is ours: as our last put has made it, or an earlier one. */
static void confirmed(struct lock *l)
{
    if (l->plain) {
        lock_start_put(l, HFC_ALWAYS, renewed);
        return;
    }
    if (l->found.expires == l->self.expires)
        lock_set_timers(l);
    else
        hfc_timer_start(l->loop, &l->timer, l->times.renew, renew, l);
}

/* How a look at the held lock ended. */
static void checked(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct lock *l = ctx;
    struct hfc_error why;

    l->op = NULL;
    if (l->state == LOCK_LOST)
        return;
    if (l->state == LOCK_RELEASING) {
        lock_release_look(l);
    } else if (err != NULL && err->errnum == ENOENT) {
        (void)hfc_error_set(&why, 0, "somebody deleted it");
        lose(l, &why);
    } else if (err != NULL) {
        renew_later(l, err);
    } else {
        lock_note_found(l, reply);
        if (lock_is_ours(l)) {
            confirmed(l);
            return;
        }
        (void)hfc_error_set(&why, 0, "it was taken by %s",
                            l->readable ? l->found.owner : "somebody unknown");
        lose(l, &why);
    }
}

static void renewed(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct lock *l = ctx;

    l->op = NULL;
    if (l->state == LOCK_LOST)
        return;
    if (l->state == LOCK_RELEASING) {
        lock_release_look(l);
    } else if (err == NULL) {
        memcpy(l->etag, reply->object.etag, sizeof(l->etag));
        l->cause.msg[0] = '\0';
        lock_set_timers(l);
    } else if (err->errnum == ESTALE || err->errnum == ENOENT || err->errnum == EINVAL) {
        /* Taken, or renewed by a try whose answer was lost. */
        l->plain |= err->errnum == EINVAL;
        lock_start_get(l, checked);
    } else {
        renew_later(l, err);
    }
}

/* The timer is set again when this has ended. */
static void renew(void *ctx)
{
    struct lock *l = ctx;

    assert(l->state == LOCK_HELD && l->op == NULL);
    if (l->plain)
        lock_start_get(l, checked);
    else
        lock_start_put(l, HFC_IF_MATCH, renewed);
}

/* Release. */

static void finish_release(struct lock *l, const struct hfc_error *err)
{
    l->state = LOCK_FREE;
    l->put_open = false;
    l->self.since = 0;
    l->released(l->released_ctx, err);
}

static void released_nothing(void *ctx)
{
    finish_release(ctx, NULL);
}

static void deleted(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct lock *l = ctx;

    (void)reply;
    l->op = NULL;
    finish_release(l, err);
}

static void start_delete(struct lock *l)
{
    assert(l->op == NULL);
    l->op = hfc_store_delete(l->store, HFC_LOCK_KEY, deleted, l);
}

/* There is no deletion on condition: one that has expired may be another's at any moment. */
static void release_looked(void *ctx, const struct hfc_store_reply *reply,
                           const struct hfc_error *err)
{
    struct lock *l = ctx;

    l->op = NULL;
    if (err != NULL) {
        finish_release(l, err->errnum == ENOENT ? NULL : err);
        return;
    }
    lock_note_found(l, reply);
    if (lock_is_ours(l) && lock_time_left(l) > 0)
        start_delete(l);
    else
        finish_release(l, NULL);
}

/* What was under way has ended, and what it did is not clear: deletes the object only if it is
 * ours. An acquisition that was broken off by this hears of it first. */
void lock_release_look(struct lock *l)
{
    lock_done *acquiring = l->done;

    l->done = NULL;
    if (acquiring != NULL) {
        struct hfc_error err;
        (void)hfc_error_set(&err, ECANCELED, "lock of %s", hfc_store_url(l->store));
        acquiring(l->ctx, &err);
    }
    lock_start_get(l, release_looked);
}

static void release_waiting(void *ctx)
{
    lock_release_look(ctx);
}

/* A renewal under way is waited for: cancelled, it could still arrive after the deletion. */
void lock_release(struct lock *l, lock_done *done, void *ctx)
{
    enum lock_state state = l->state;

    assert(state != LOCK_RELEASING);
    l->state = LOCK_RELEASING;
    l->released = done;
    l->released_ctx = ctx;
    hfc_timer_stop(&l->timer);
    hfc_timer_stop(&l->expiry);
    if (state != LOCK_ACQUIRING)
        l->done = NULL;
    if (state == LOCK_FREE && l->put_open)
        lock_release_look(l);
    else if (state == LOCK_HELD && l->op == NULL && hfc_now_ms() < l->valid_until)
        start_delete(l);
    else if (state == LOCK_ACQUIRING && l->op != NULL)
        hfc_store_cancel(l->op);
    else if (state == LOCK_ACQUIRING)
        hfc_timer_start(l->loop, &l->timer, 0, release_waiting, l);
    else if (l->op == NULL)
        hfc_timer_start(l->loop, &l->timer, 0, released_nothing, l);
}
