/* hub_ratelimit.c: the Hub's rate limits: whose turn it is.
 *
 * Each bucket of the Hub allows so many requests in a window of time. Every answer tells what is
 * left. While there is plenty, requests pass; when the rest is needed for those under way, the
 * others are held back until the next window, in order. So a 429 is rare; after one the bucket is
 * closed for all.
 */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "hub_headers.h"
#include "hub_internal.h"

enum {
    RESERVE = 2,             /* so many are left to others, who may share the address */
    SECOND_MS = 1000,        /* what is told is rounded to seconds */
    WINDOW_MAX_S = 3600,     /* a reset further away is not believed */
    BACKOFF_MAX_MS = 60000,  /* after a 429 that names no time */
    BACKOFF_FIRST_TRIES = 10 /* in units of the retry policy's first wait */
};

/* How long nobody may start: 0: go. */
static int64_t closed_for(struct quota *quota, int64_t now)
{
    if (now < quota->blocked)
        return quota->blocked - now;
    if (quota->remaining < 0)
        return 0;
    if (now >= quota->reset) {
        quota->remaining = -1;
        return 0;
    }
    bool scarce = quota->remaining <= RESERVE || quota->remaining <= (int64_t)quota->active;
    return scarce ? quota->reset - now : 0;
}

static void begin(struct quota *quota, struct request *q)
{
    assert(!q->active);
    quota->active++;
    q->active = true;
    request_begin(q);
}

static struct request *take_first(struct quota *quota)
{
    struct request *q = quota->first;

    quota->first = q->next;
    if (quota->first == NULL)
        quota->last = NULL;
    q->next = NULL;
    q->held = false;
    return q;
}

/* Lets go who may. A call never calls back while it is started, so the line is ours meanwhile. */
static void run(struct hub *hub, struct quota *quota);

static void on_timer(void *ctx)
{
    struct request *first = ctx;

    run(first->hub, &first->hub->quotas[first->bucket]);
}

static void run(struct hub *hub, struct quota *quota)
{
    int64_t now = hfc_now_ms(), wait = 0;

    while (quota->first != NULL && (wait = closed_for(quota, now)) == 0) {
        struct request *q = take_first(quota);
        hub->stats.held_ms += (uint64_t)(now - q->held_since);
        begin(quota, q);
    }
    if (quota->first != NULL)
        hfc_timer_start(hub->loop, &quota->timer, wait, on_timer, quota->first);
    else
        hfc_timer_stop(&quota->timer);
}

/* A request for a CDN has no bucket. */
void quota_enter(struct request *q)
{
    struct hub *hub = q->hub;
    struct quota *quota = &hub->quotas[q->bucket];

    assert(!q->held && !q->active);
    if (!q->home) {
        request_begin(q);
        return;
    }
    if (quota->first == NULL && closed_for(quota, hfc_now_ms()) == 0) {
        begin(quota, q);
        return;
    }
    if (quota->first == NULL)
        hub_say(hub, "the rate limit of the Hub is nearly used up: holding requests back");
    q->held = true;
    q->held_since = hfc_now_ms();
    q->next = NULL;
    if (quota->last != NULL)
        quota->last->next = q;
    else
        quota->first = q;
    quota->last = q;
    hub->stats.held++;
    run(hub, quota);
}

static void leave_line(struct quota *quota, struct request *q)
{
    struct request **at = &quota->first, *before = NULL;

    while (*at != q) {
        assert(*at != NULL);
        before = *at;
        at = &before->next;
    }
    *at = q->next;
    if (quota->last == q)
        quota->last = before;
    q->next = NULL;
    q->held = false;
}

void quota_leave(struct request *q)
{
    struct quota *quota = &q->hub->quotas[q->bucket];

    if (!q->held && !q->active)
        return;
    if (q->held)
        leave_line(quota, q);
    if (q->active) {
        assert(quota->active > 0);
        quota->active--;
    }
    q->active = false;
    run(q->hub, quota);
}

static struct quota *find(struct request *q, const char *name)
{
    if (strcmp(name, "api") == 0)
        return &q->hub->quotas[HUB_API];
    if (strcmp(name, "resolvers") == 0)
        return &q->hub->quotas[HUB_RESOLVERS];
    return strcmp(name, "pages") == 0 ? NULL : &q->hub->quotas[q->bucket];
}

/* Answers may overtake each other: within a window the least number is the newest. */
static void note(struct quota *quota, const struct rate_limit *limit, int64_t longest)
{
    int64_t now = hfc_now_ms(), left = limit->reset * SECOND_MS + SECOND_MS;
    int64_t reset = now + (left < longest ? left : longest);

    bool same = quota->remaining >= 0 && now < quota->reset && reset < quota->reset + 2 * SECOND_MS;
    if (!same || limit->remaining < quota->remaining)
        quota->remaining = limit->remaining;
    if (!same)
        quota->reset = reset;
}

void quota_note(struct request *q, const struct hfc_response *r)
{
    const char *value = hfc_response_header(r, "ratelimit");
    struct rate_limit limit;

    while (value != NULL && header_rate_limit(&value, &limit)) {
        struct quota *quota = find(q, limit.name);
        if (quota != NULL && limit.reset <= WINDOW_MAX_S)
            note(quota, &limit, q->hub->rate_limit_ms);
    }
}

/* What the answer says about this bucket: the time until its window ends, or -1. */
static int64_t told_by_ratelimit(struct request *q, const struct hfc_response *r)
{
    const char *value = hfc_response_header(r, "ratelimit");
    struct rate_limit limit;

    while (value != NULL && header_rate_limit(&value, &limit))
        if (limit.remaining == 0 && find(q, limit.name) == &q->hub->quotas[q->bucket])
            return limit.reset * SECOND_MS + SECOND_MS;
    return -1;
}

static int64_t backoff(struct request *q, struct quota *quota)
{
    int64_t wait = q->hub->retry.base_ms * BACKOFF_FIRST_TRIES;

    for (unsigned i = 0; i < quota->strikes && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    quota->strikes++;
    return wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
}

int64_t quota_limited(struct request *q, const struct hfc_response *r)
{
    struct quota *quota = &q->hub->quotas[q->bucket];
    int64_t wait = told_by_ratelimit(q, r);

    q->hub->stats.limited++;
    if (wait < 0)
        wait = hfc_retry_after_ms(hfc_response_header(r, "retry-after"), time(NULL));
    if (wait < 0)
        wait = backoff(q, quota);
    int64_t until = hfc_now_ms() + wait;
    if (until > quota->blocked)
        quota->blocked = until;
    return wait;
}
