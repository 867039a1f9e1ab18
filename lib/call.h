/* call.h: an HTTP request that is tried again where that helps.
 *
 * The caller says how to build an attempt and how to judge its end; this file owns waiting, the
 * number of tries, the deadline and the budget. Waits follow "full jitter": a random time up to a
 * bound that doubles with each try. A server that names a time (Retry-After) is obeyed.
 *
 * The budget is shared by all calls of a client: each retry takes from it, each success gives a
 * little back. So a server in trouble sees one request a try, not five, when everything fails.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_CALL_H
#define HFC_CALL_H

#include "http.h"

struct hfc_retry_policy {
    unsigned tries;      /* in all; at least 1 */
    int64_t base_ms;     /* bound of the first wait */
    int64_t cap_ms;      /* bound of any wait that the server did not ask for */
    int64_t deadline_ms; /* no further try begins later than this after the first; 0: none */
};

#define HFC_RETRY_DEFAULT                                                                          \
    (struct hfc_retry_policy)                                                                      \
    {                                                                                              \
        .tries = 6, .base_ms = 100, .cap_ms = 20000, .deadline_ms = 300000                         \
    }

struct hfc_retry_budget {
    unsigned left, full; /* a retry costs RETRY_COST, a call that succeeds at once returns 1 */
};
enum { HFC_RETRY_COST = 5, HFC_RETRY_BUDGET = 500 };

enum hfc_verdict {
    HFC_SUCCEEDED, /* the end; done() gets no error */
    HFC_FAILED,    /* the end; done() gets the error that judge() has set */
    HFC_RETRY,     /* again after a jittered wait, or *wait_ms if that was set >= 0 */
    HFC_AT_ONCE, /* again without a wait, free of charge: a redirect, fresh credentials, a corrected
                    clock */
};
enum { HFC_AT_ONCE_MAX = 25 };

struct hfc_call;

struct hfc_call_ops {
    /* Fills the request of the next attempt; `read`, `head`, `data` as in http.h get `ctx` of the
     * call; done and ctx are set here. Strings have to live until it returns only: use `scratch`.
     * -1 ends the call with `err`. */
    int (*build)(void *ctx, struct hfc_http_request *request, struct hfc_buf *scratch,
                 struct hfc_error *err);
    /* Looks at how an attempt ended. `http_err` is the client's message if `end` is not HTTP_OK.
     * For HFC_RETRY, too, `err` is to be set: it is what the caller is told if no try is left. */
    enum hfc_verdict (*judge)(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                              const struct hfc_error *http_err, int64_t *wait_ms,
                              struct hfc_error *err);
    /* Called exactly once, last, never from within hfc_call_start(). `r` is the last attempt's
     * answer, or NULL if there was none. `err` is NULL after HFC_SUCCEEDED. */
    void (*done)(void *ctx, const struct hfc_response *r, const struct hfc_error *err);
    /* A retry is about to wait: for logs and counts. May be NULL. */
    void (*retrying)(void *ctx, int64_t wait_ms, const struct hfc_error *why);
};

/* `policy`, `budget` (may be NULL) and `ops` must outlive the call. */
struct hfc_call *hfc_call_start(struct hfc_http *http, const struct hfc_retry_policy *policy,
                                struct hfc_retry_budget *budget, const struct hfc_call_ops *ops,
                                void *ctx);

/* The attempt that runs, for hfc_http_resume(); NULL between attempts. */
struct hfc_exchange *hfc_call_exchange(struct hfc_call *call);

/* How many attempts have been made so far. */
unsigned hfc_call_tries(const struct hfc_call *call);

/* Ends it without calling done(). */
void hfc_call_cancel(struct hfc_call *call);

/* The wait that a Retry-After header asks for: seconds or an HTTP date (against `now`). -1: none or
 * unreadable; at most an hour. */
int64_t hfc_retry_after_ms(const char *value, int64_t now);

/* Whether a status is a passing trouble by HTTP's rules: 408, 425, 429, 500, 502, 503, 504. */
bool hfc_status_is_transient(int status);

#endif
