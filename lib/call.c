/* call.c: requests that are tried again; see call.h. Owns a call from its start to done().
 *
 * A call is either between attempts (its timer runs), in an attempt (the exchange runs), or calling
 * its owner. While it does the last it is `busy`: a cancel from there is noted, and carried out
 * when the owner's function returns.
 */
#include "call.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "http_internal.h"

enum {
    SCRATCH_MAX = 64 * 1024 - 1,
    WAIT_MAX_MS = 3600 * 1000, /* the longest that a server may ask for */
};

struct hfc_call {
    struct hfc_loop *loop;
    struct hfc_http *http;
    const struct hfc_retry_policy *policy;
    struct hfc_retry_budget *budget;
    const struct hfc_call_ops *ops;
    void *ctx;
    struct hfc_timer timer;
    struct hfc_exchange *exchange;
    struct hfc_http_request req; /* of the attempt: its functions are forwarded to */
    int64_t started;
    unsigned tries;   /* attempts of all kinds */
    unsigned retries; /* of these, after HFC_RETRY */
    unsigned at_once; /* of these, after HFC_AT_ONCE */
    bool busy, cancelled, ending;
    struct hfc_error err;
};

static void attempt(void *ctx);

static void free_call(struct hfc_call *call)
{
    assert(call->exchange == NULL && call->timer.loop == NULL);
    free(call);
}

static void end(struct hfc_call *call, const struct hfc_response *r, const struct hfc_error *err)
{
    assert(!call->cancelled);
    call->ending = true;
    call->ops->done(call->ctx, r != NULL && hfc_response_status(r) != 0 ? r : NULL, err);
    free_call(call);
}

/* Evenly spread over 0 to the bound, so that clients that failed together come back apart. */
static int64_t jitter(const struct hfc_retry_policy *policy, unsigned retries)
{
    uint64_t random = 0;
    int64_t bound = policy->base_ms;

    for (unsigned i = 0; i < retries && bound < policy->cap_ms; i++)
        bound *= 2;
    if (bound > policy->cap_ms)
        bound = policy->cap_ms;
    (void)!getrandom(&random, sizeof(random), 0);
    return bound > 0 ? (int64_t)(random % ((uint64_t)bound + 1)) : 0;
}

static bool take_from_budget(struct hfc_retry_budget *budget)
{
    if (budget == NULL)
        return true;
    if (budget->left < HFC_RETRY_COST)
        return false;
    budget->left -= HFC_RETRY_COST;
    return true;
}

/* The judge's error becomes the call's if there is no other try. */
static void retry(struct hfc_call *call, const struct hfc_response *r, int64_t wait)
{
    const struct hfc_retry_policy *p = call->policy;

    if (call->retries + 1 >= p->tries) {
        if (p->tries > 1)
            (void)hfc_error_prefix(&call->err, "tried %u times", call->retries + 1);
        end(call, r, &call->err);
        return;
    }
    if (wait < 0)
        wait = jitter(p, call->retries);
    if (wait > WAIT_MAX_MS)
        wait = WAIT_MAX_MS;
    if (p->deadline_ms > 0 && hfc_now_ms() + wait - call->started > p->deadline_ms) {
        (void)hfc_error_prefix(&call->err, "no time left to try again");
        end(call, r, &call->err);
        return;
    }
    if (!take_from_budget(call->budget)) {
        (void)hfc_error_prefix(&call->err, "too many requests fail to try again");
        end(call, r, &call->err);
        return;
    }
    call->retries++;
    hfc_timer_start(call->loop, &call->timer, wait, attempt, call);
    if (call->ops->retrying == NULL)
        return;
    call->busy = true;
    call->ops->retrying(call->ctx, wait, &call->err);
    call->busy = false;
    if (call->cancelled)
        free_call(call);
}

static void again_at_once(struct hfc_call *call, const struct hfc_response *r)
{
    if (call->at_once < HFC_AT_ONCE_MAX) {
        call->at_once++;
        attempt(call);
        return;
    }
    (void)hfc_error_set(&call->err, ELOOP, "gave up after %d redirects or new beginnings",
                        HFC_AT_ONCE_MAX);
    end(call, r, &call->err);
}

static void succeed(struct hfc_call *call, const struct hfc_response *r)
{
    if (call->budget != NULL && call->retries == 0 && call->budget->left < call->budget->full)
        call->budget->left++;
    end(call, r, NULL);
}

static void on_done(void *ctx, const struct hfc_response *r, enum hfc_http_end how,
                    const struct hfc_error *http_err)
{
    struct hfc_call *call = ctx;
    int64_t wait = -1;

    call->exchange = NULL;
    call->err = (struct hfc_error){0};
    call->busy = true;
    enum hfc_verdict verdict = call->ops->judge(call->ctx, r, how, http_err, &wait, &call->err);
    call->busy = false;
    if (call->cancelled)
        free_call(call);
    else if (verdict == HFC_SUCCEEDED)
        succeed(call, r);
    else if (verdict == HFC_RETRY)
        retry(call, r, wait);
    else if (verdict == HFC_AT_ONCE)
        again_at_once(call, r);
    else
        end(call, r, &call->err);
}

/* An exchange has one ctx for all its functions, and done() needs the call. */
static ssize_t on_read(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct hfc_call *call = ctx;

    return call->req.read(call->ctx, offset, to, n);
}

static bool on_head(void *ctx, const struct hfc_response *r)
{
    struct hfc_call *call = ctx;

    return call->req.head(call->ctx, r);
}

static enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    struct hfc_call *call = ctx;

    return call->req.data(call->ctx, bytes, n);
}

static void start_exchange(struct hfc_call *call)
{
    struct hfc_http_request req = call->req;

    req.read = call->req.read != NULL ? on_read : NULL;
    req.head = call->req.head != NULL ? on_head : NULL;
    req.data = call->req.data != NULL ? on_data : NULL;
    req.done = on_done;
    req.ctx = call;
    call->tries++;
    call->exchange = hfc_http_start(call->http, &req);
    call->req.url = call->req.headers = call->req.method = NULL;
}

/* The scratch buffer gets its full size before it is filled: growing would leave copies behind that
 * nobody wipes. */
static void attempt(void *ctx)
{
    struct hfc_call *call = ctx;
    struct hfc_buf scratch = HFC_BUF(SCRATCH_MAX);

    if (hfc_buf_reserve(&scratch, SCRATCH_MAX) == NULL)
        abort();
    scratch.data[0] = '\0';
    call->req = (struct hfc_http_request){0};
    call->err = (struct hfc_error){0};
    call->busy = true;
    int rc = call->ops->build(call->ctx, &call->req, &scratch, &call->err);
    call->busy = false;
    if (rc == 0 && hfc_buf_failed(&scratch))
        rc = hfc_error_set(&call->err, E2BIG, "a request with too long URL or headers");
    if (rc == 0 && !call->cancelled)
        start_exchange(call);
    explicit_bzero(scratch.data, scratch.cap);
    hfc_buf_free(&scratch);
    if (call->cancelled)
        free_call(call);
    else if (rc != 0)
        end(call, NULL, &call->err);
}

struct hfc_call *hfc_call_start(struct hfc_http *http, const struct hfc_retry_policy *policy,
                                struct hfc_retry_budget *budget, const struct hfc_call_ops *ops,
                                void *ctx)
{
    struct hfc_call *call = calloc(1, sizeof(*call));

    assert(policy->tries >= 1);
    if (call == NULL)
        abort();
    call->loop = hfc_http_loop(http);
    call->http = http;
    call->policy = policy;
    call->budget = budget;
    call->ops = ops;
    call->ctx = ctx;
    call->started = hfc_now_ms();
    hfc_timer_start(call->loop, &call->timer, 0, attempt, call);
    return call;
}

struct hfc_exchange *hfc_call_exchange(struct hfc_call *call)
{
    return call->exchange;
}

unsigned hfc_call_tries(const struct hfc_call *call)
{
    return call->tries;
}

void hfc_call_cancel(struct hfc_call *call)
{
    if (call->ending || call->cancelled)
        return;
    call->cancelled = true;
    hfc_timer_stop(&call->timer);
    if (call->exchange != NULL)
        hfc_http_cancel(call->exchange);
    call->exchange = NULL;
    if (!call->busy)
        free_call(call);
}

/* Seconds, or a date of which `now` is taken off. */
int64_t hfc_retry_after_ms(const char *value, int64_t now)
{
    int64_t seconds = 0;

    if (value == NULL || value[0] == '\0')
        return -1;
    size_t digits = strspn(value, "0123456789");
    if (value[digits] == '\0') {
        for (size_t i = 0; i < digits && seconds < WAIT_MAX_MS; i++)
            seconds = seconds * 10 + (value[i] - '0');
    } else {
        time_t date = curl_getdate(value, NULL);
        if (date == -1)
            return -1;
        seconds = date > now ? (int64_t)date - now : 0;
    }
    return seconds < WAIT_MAX_MS / 1000 ? seconds * 1000 : WAIT_MAX_MS;
}

bool hfc_status_is_transient(int status)
{
    static const int transient[] = {408, 425, 429, 500, 502, 503, 504};

    for (size_t i = 0; i < sizeof(transient) / sizeof(transient[0]); i++)
        if (transient[i] == status)
            return true;
    return false;
}
