/* hub_request.c: a question to the Hub or a CDN, until there is an answer.
 *
 * A request waits for its bucket's turn, then makes a call (lib/call.h), which tries again what may
 * pass. Redirects are followed here, so that each hop can be looked at and the token stays at
 * home. Two things begin a new call: a rate limit, whose waits are far longer than those between
 * tries, and an attempt that failed after it had come a good way.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cleanup.h"
#include "hub_internal.h"
#include "hub_json.h"
#include "need.h"
#include "unicode.h"
#include "uri.h"

static void set_url(struct request *q, const char *url)
{
    char *copy = need_copy(url, strlen(url));

    if (q->url != NULL)
        explicit_bzero(q->url, strlen(q->url));
    free(q->url);
    q->url = copy;
    q->home = hfc_url_same_origin(url, q->hub->endpoint);
}

static void begin_anew(struct request *q)
{
    if (strcmp(q->url, q->first_url) != 0)
        set_url(q, q->first_url);
    q->hops = 0;
    q->visited[0] = hub_hash(q->url, strlen(q->url));
}

void request_host(const struct request *q, char *host, size_t size)
{
    struct hfc_url url = {.host = NULL};

    assert(size > 0);
    host[0] = '\0';
    if (q->url == NULL || hfc_url_parse(q->url, &url, NULL) < 0)
        return;
    (void)snprintf(host, size, "%s", url.host);
    hfc_url_free(&url);
}

static void count(struct request *q)
{
    struct hub_stats *stats = &q->hub->stats;

    if (!q->home)
        stats->cdn++;
    else if (q->bucket == HUB_API)
        stats->api++;
    else
        stats->resolvers++;
}

static bool on_head(void *ctx, const struct hfc_response *r)
{
    struct request *q = ctx;

    return q->class->head(q->owner, r);
}

static enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    struct request *q = ctx;

    return q->class->data(q->owner, bytes, n);
}

static int build(void *ctx, struct hfc_http_request *request, struct hfc_buf *scratch,
                 struct hfc_error *err)
{
    struct request *q = ctx;

    (void)err;
    hfc_buf_str(scratch, "Accept-Encoding: identity\n");
    if (q->home && q->hub->token != NULL)
        hfc_buf_printf(scratch, "Authorization: Bearer %s\n", q->hub->token);
    if (q->class->headers != NULL)
        q->class->headers(q->owner, scratch);
    *request = (struct hfc_http_request){
        .method = "GET",
        .url = q->url,
        .headers = scratch->data,
        .head = q->class->head != NULL ? on_head : NULL,
        .data = q->class->data != NULL ? on_data : NULL,
    };
    count(q);
    return 0;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_https(const char *url)
{
    return strncasecmp(url, "https:", 6) == 0;
}

/* Notes another hop; false if it leads where the chain has been. */
static bool is_new_place(struct request *q, const char *url)
{
    uint64_t place = hub_hash(url, strlen(url));

    for (unsigned i = 0; i <= q->hops; i++)
        if (q->visited[i] == place)
            return false;
    q->visited[++q->hops] = place;
    return true;
}

static enum hfc_verdict follow(struct request *q, const struct hfc_response *r,
                               struct hfc_error *err)
{
    const char *location = hfc_response_header(r, "location");
    hfc_autofree char *target = location != NULL ? hfc_url_resolve(q->url, location) : NULL;
    enum hfc_verdict verdict = HFC_FAILED;

    if (target == NULL)
        (void)hub_fail(err, EPROTO, "a redirect (%d) that leads nowhere", hfc_response_status(r));
    else if (is_https(q->url) && !is_https(target))
        (void)hub_fail(err, EPROTO, "refused to follow a redirect from https to http");
    else
        verdict =
            q->class->redirect == NULL ? HFC_AT_ONCE : q->class->redirect(q->owner, r, target, err);
    if (verdict != HFC_AT_ONCE)
        return verdict;
    if (q->hops == HUB_HOPS_MAX) {
        (void)hub_fail(err, ELOOP, "more than %d redirects", HUB_HOPS_MAX);
        return HFC_FAILED;
    }
    if (!is_new_place(q, target)) {
        (void)hub_fail(err, ELOOP, "the redirects go round in circles");
        return HFC_FAILED;
    }
    set_url(q, target);
    return HFC_AT_ONCE;
}

/* The whole time that rate limits may cost is bounded; a wait that would pass it is not begun. */
static enum hfc_verdict limited(struct request *q, const struct hfc_response *r,
                                struct hfc_error *err)
{
    int64_t now = hfc_now_ms(), wait = quota_limited(q, r);

    if (q->limited_since == 0)
        q->limited_since = now;
    int64_t total = now - q->limited_since + wait;
    q->again = total <= q->hub->rate_limit_ms;
    (void)hub_fail(err, EAGAIN,
                   "rate limit (429): waiting %lld s more is too long; a token has a higher "
                   "limit",
                   (long long)(wait / 1000));
    if (q->again)
        hub_say(q->hub, "rate limit of the Hub: waiting %lld s", (long long)(wait / 1000));
    return HFC_FAILED;
}

static enum hfc_verdict broken(const struct request *q, enum hfc_http_end end,
                               const struct hfc_error *http_err, struct hfc_error *err)
{
    char host[256];

    request_host(q, host, sizeof(host));
    (void)hub_fail(err, end == HTTP_STOPPED ? ECANCELED : ENOTCONN, "%s: %s", host, http_err->msg);
    return end == HTTP_NOT_SENT || end == HTTP_BROKEN ? HFC_RETRY : HFC_FAILED;
}

/* By the status alone. */
static enum hfc_verdict judge_status(struct request *q, const struct hfc_response *r,
                                     int64_t *wait_ms, struct hfc_error *err)
{
    int status = hfc_response_status(r);
    char host[256];

    if (is_redirect(status))
        return follow(q, r, err);
    if (status >= 200 && status < 300)
        return HFC_SUCCEEDED;
    if (status == 429 && q->home)
        return limited(q, r, err);
    if (!hfc_status_is_transient(status))
        return (void)hub_refused(q, r, err), HFC_FAILED;
    request_host(q, host, sizeof(host));
    *wait_ms = hfc_retry_after_ms(hfc_response_header(r, "retry-after"), time(NULL));
    (void)hub_fail(err, EAGAIN, "%s answers with status %d", host, status);
    return HFC_RETRY;
}

/* A 429 does not say anything about the next try; all else breaks the row. */
static void note_answer(struct request *q, const struct hfc_response *r)
{
    if (!q->home || hfc_response_status(r) == 0)
        return;
    quota_note(q, r);
    if (hfc_response_status(r) == 429)
        return;
    q->hub->quotas[q->bucket].strikes = 0;
    q->limited_since = 0;
}

static enum hfc_verdict judge(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                              const struct hfc_error *http_err, int64_t *wait_ms,
                              struct hfc_error *err)
{
    struct request *q = ctx;
    enum hfc_verdict verdict;

    note_answer(q, r);
    if (q->class->judge == NULL || !q->class->judge(q->owner, r, end, &verdict, err))
        verdict = end == HTTP_OK ? judge_status(q, r, wait_ms, err) : broken(q, end, http_err, err);
    if (verdict != HFC_RETRY)
        return verdict;
    begin_anew(q);
    if (q->class->progress == NULL || !q->class->progress(q->owner))
        return HFC_RETRY;
    q->again = true;
    hub_say(q->hub, "going on: %s", err->msg);
    q->hub->stats.retries++;
    return HFC_FAILED;
}

static void retrying(void *ctx, int64_t wait_ms, const struct hfc_error *why)
{
    struct request *q = ctx;

    q->hub->stats.retries++;
    hub_say(q->hub, "trying again in %.1f s: %s", (double)wait_ms / 1000, why->msg);
}

/* The quota is left first, so that whoever waits there gets its turn whatever done() does. */
static void finish(void *ctx, const struct hfc_response *r, const struct hfc_error *err)
{
    struct request *q = ctx;

    q->call = NULL;
    quota_leave(q);
    if (!q->again) {
        q->class->done(q->owner, r, err);
        return;
    }
    q->again = false;
    begin_anew(q);
    quota_enter(q);
}

void request_begin(struct request *q)
{
    static const struct hfc_call_ops ops = {build, judge, finish, retrying};

    assert(q->call == NULL && !q->held);
    q->call = hfc_call_start(q->hub->http, &q->hub->retry, &q->hub->budget, &ops, q);
}

/* `url` may be the request's own. */
void request_start(struct request *q, const char *url)
{
    assert(q->call == NULL && !q->held && !q->active);
    char *copy = need_copy(url, strlen(url));
    if (q->first_url != NULL)
        explicit_bzero(q->first_url, strlen(q->first_url));
    free(q->first_url);
    q->first_url = copy;
    set_url(q, copy);
    begin_anew(q);
    q->limited_since = 0;
    q->again = false;
    quota_enter(q);
}

void request_stop(struct request *q)
{
    if (q->call != NULL)
        hfc_call_cancel(q->call);
    q->call = NULL;
    quota_leave(q);
    if (q->url != NULL)
        explicit_bzero(q->url, strlen(q->url));
    if (q->first_url != NULL)
        explicit_bzero(q->first_url, strlen(q->first_url));
    free(q->url);
    free(q->first_url);
    q->url = q->first_url = NULL;
}
