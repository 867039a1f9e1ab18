/* lock_acquire.c: gets the lock; see lock.h and lock_internal.h.
 *
 * Puts the object if there is none, looks at the one that is there, and takes over one that is
 * dead, on condition that it is still the same. What counts is whose token is in the object: so an
 * answer that was lost on the way is no riddle, and servers which know no conditions can be served
 * by a put and a look afterwards.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lock_internal.h"

enum { QUICK_TRIES = 3 };

static void look(void *ctx);
static void tried(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err);

/* Words. */

static void tell(struct lock *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct lock *l, const char *fmt, ...)
{
    char text[HFC_ERROR_MAX];
    va_list ap;

    if (l->say == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    l->say(l->ctx, text);
}

/* "HOST pid 7 on s3://b, since 2024-05-01T12:00:00Z, expires in 85 s" */
static const char *describe(const struct lock *l, char *text, size_t size)
{
    const struct lock_holder *h = &l->found;
    char since[40] = "?";
    struct tm tm;
    time_t t = (time_t)h->since;

    if (!l->readable) {
        (void)snprintf(text, size, "somebody unknown on %s", hfc_store_url(l->store));
        return text;
    }
    if (gmtime_r(&t, &tm) != NULL)
        (void)strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)snprintf(text, size, "%s on %s, since %s, expires in %lld s", h->owner,
                   hfc_store_url(l->store), since, (long long)(h->expires - l->times.now()));
    return text;
}

/* The last thing that happens to an acquisition which failed: done() may free the lock. */
static void fail(struct lock *l, const struct hfc_error *why)
{
    struct hfc_error err = *why;

    assert(l->state == LOCK_ACQUIRING && l->op == NULL);
    (void)hfc_error_prefix(&err, "lock of %s", hfc_store_url(l->store));
    l->put_open &= why->errnum == ECANCELED;
    l->state = LOCK_FREE;
    l->done(l->ctx, &err);
}

/* `found` may be older than it looks, but says who it was. */
static void fail_busy(struct lock *l)
{
    char text[400];
    struct hfc_error err;

    (void)hfc_error_set(&err, 0, "held by %s", describe(l, text, sizeof(text)));
    err.errnum = EBUSY;
    fail(l, &err);
}

/* A put that took longer than the lock lives is as good as none. */
static void acquired(struct lock *l)
{
    struct hfc_error err;

    l->unsure = l->put_open = false;
    if (lock_time_left(l) <= 0) {
        (void)hfc_error_set(&err, EAGAIN, "it took longer to get than it lives");
        fail(l, &err);
        return;
    }
    l->state = LOCK_HELD;
    lock_set_timers(l);
    l->done(l->ctx, NULL);
}

/* Nobody waits on when the loop is told to stop; an operation under way ends by itself. */
void lock_stop_waiting(void *ctx)
{
    struct lock *l = ctx;
    struct hfc_error err;

    if (l->state != LOCK_ACQUIRING || l->op != NULL)
        return;
    hfc_timer_stop(&l->timer);
    (void)hfc_error_set(&err, ECANCELED, "stopped");
    fail(l, &err);
}

/* Says so once, however long it takes. The next step is a look: a put would cost two requests. */
static void try_later(struct lock *l)
{
    int64_t left = l->deadline - hfc_now_ms();
    char text[400];

    if (hfc_loop_stopped(l->loop)) {
        lock_stop_waiting(l);
        return;
    }

    if (left <= 0) {
        fail_busy(l);
        return;
    }
    if (!l->said)
        tell(l, "waiting for the lock of %s", describe(l, text, sizeof(text)));
    l->said = true;
    l->quick = 0;
    hfc_timer_start(l->loop, &l->timer, left < l->times.poll ? left : l->times.poll, look, l);
}

/* Clocks differ: neither side counts on a second more or less. Of what is no lock only its age is
 * known. */
static bool is_dead(const struct lock *l)
{
    int64_t now = l->times.now(), grace = l->times.grace / 1000;

    if (!l->readable)
        return l->modified > 0 && now >= l->modified + l->times.expires / 1000 + grace;
    return now >= l->found.expires + grace || lock_process_gone(l->found.process);
}

/* Several may see the same dead lock: the condition lets one of them through. */
static void take_over(struct lock *l)
{
    char text[400];

    if (l->quick++ >= QUICK_TRIES) {
        try_later(l);
        return;
    }
    tell(l, "taking over the lock of %s: %s", describe(l, text, sizeof(text)),
         l->readable && lock_process_gone(l->found.process) ? "its process is gone"
                                                            : "it has expired");
    lock_start_put(l, HFC_IF_MATCH, tried);
}

/* There is no lock object. */
static void looked_at_nothing(struct lock *l)
{
    if (l->unsure)
        fail(l, &l->cause);
    else if (l->quick++ < QUICK_TRIES)
        lock_start_put(l, HFC_IF_ABSENT, tried);
    else
        try_later(l);
}

/* How a look at the object ended. */
static void looked(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct lock *l = ctx;

    l->op = NULL;
    if (l->state == LOCK_RELEASING) {
        lock_release_look(l);
    } else if (err != NULL && err->errnum == ENOENT) {
        l->readable = false;
        looked_at_nothing(l);
    } else if (err != NULL) {
        fail(l, l->unsure ? &l->cause : err);
    } else {
        lock_note_found(l, reply);
        if (lock_is_ours(l)) {
            acquired(l);
            return;
        }
        l->unsure = l->put_open = false;
        if (is_dead(l))
            take_over(l);
        else
            try_later(l);
    }
}

static void look(void *ctx)
{
    lock_start_get(ctx, looked);
}

/* An error that may have come after the deed is looked into. */
static void put_failed(struct lock *l, const struct hfc_error *err)
{
    bool there_was_one = l->etag[0] != '\0';

    l->put_open = err->errnum == ECANCELED;
    switch (err->errnum) {
    case EEXIST:
    case ESTALE:
        look(l);
        return;
    case EINVAL:
        if (l->plain)
            break;
        l->plain = true;
        look(l);
        return;
    case ENOENT: /* the bucket, or the dead lock that was to be replaced */
        if (!there_was_one)
            break;
        look(l);
        return;
    case EACCES:
    case ECANCELED:
        break;
    default:
        l->unsure = l->put_open = true;
        l->cause = *err;
        look(l);
        return;
    }
    fail(l, err);
}

/* How a put of an acquisition ended. Without conditions the last of several writers has the lock,
 * so the others get time to write before it is looked who that was. */
static void tried(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct lock *l = ctx;

    l->op = NULL;
    if (l->state == LOCK_RELEASING) {
        lock_release_look(l);
    } else if (err != NULL) {
        put_failed(l, err);
    } else if (l->plain) {
        hfc_timer_start(l->loop, &l->timer, l->times.settle, look, l);
    } else {
        memcpy(l->etag, reply->object.etag, sizeof(l->etag));
        acquired(l);
    }
}

void lock_acquire(struct lock *l, int64_t wait_ms, lock_say *say, lock_done *done, lock_done *lost,
                  void *ctx)
{
    assert(l->state == LOCK_FREE && wait_ms >= 0);
    l->state = LOCK_ACQUIRING;
    l->deadline = hfc_now_ms() + wait_ms;
    l->say = say;
    l->done = done;
    l->lost = lost;
    l->ctx = ctx;
    lock_start_put(l, HFC_IF_ABSENT, tried);
}
