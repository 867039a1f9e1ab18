/* test_call.c: requests that are tried again (lib/call.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "call.h"
#include "cleanup.h"
#include "http_peer.h"
#include "wiped.h"

enum { WAITS = 400 };

/* What the callbacks are to do, and what they have seen. */
struct task {
    struct hfc_call *call;
    const char *base, *headers, *upload;
    bool forward; /* head, data and read are set */
    size_t scratch_use;
    int build_fails; /* at this attempt */
    int64_t wait;    /* what judge() asks for; -1: nothing */
    bool keep_error; /* judge() sets none */
    int cancel_in;   /* one of the numbers below */

    int builds, judges, dones, retries, heads, datas, reads, order;
    bool over, success, answered, clean_scratch, exchange_known;
    unsigned tries;
    int status, errnum;
    enum hfc_http_end end;
    char msg[HFC_ERROR_MAX], http_msg[HFC_ERROR_MAX], body[64];
    int64_t waits[WAITS];
};

enum { IN_BUILD = 1, IN_JUDGE, IN_RETRYING, IN_DONE, IN_DATA };

static struct peer peer;
static struct hfc_loop *loop;
static struct hfc_http *http;
static struct hfc_error err;
static struct hfc_retry_policy policy;

static int setup(void **state)
{
    (void)state;
    (void)alarm(120);
    (void)unsetenv("http_proxy");
    (void)unsetenv("all_proxy");
    memset(&peer, 0, sizeof(peer));
    peer_start(&peer);
    loop = hfc_loop_new(&err);
    if (loop == NULL)
        return -1;
    http = hfc_http_new(loop, &(struct hfc_http_config){.connections = 2}, &err);
    policy = (struct hfc_retry_policy){.tries = 4, .base_ms = 1, .cap_ms = 4};
    return http != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hfc_http_free(http);
    hfc_loop_free(loop);
    peer_stop(&peer);
    return 0;
}

static void maybe_cancel(struct task *t, int place)
{
    if (t->cancel_in != place)
        return;
    hfc_call_cancel(t->call);
    hfc_call_cancel(t->call);
    t->over = true;
}

static ssize_t on_read(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct task *t = ctx;

    t->reads++;
    memcpy(to, t->upload + offset, n);
    return (ssize_t)n;
}

static bool on_head(void *ctx, const struct hfc_response *r)
{
    struct task *t = ctx;

    t->heads++;
    return hfc_response_status(r) == 200;
}

static enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    struct task *t = ctx;

    t->datas++;
    assert_true(n < sizeof(t->body));
    memcpy(t->body, bytes, n);
    t->body[n] = '\0';
    if (t->cancel_in == IN_DATA) {
        hfc_call_cancel(t->call);
        t->over = true;
    }
    return HFC_FLOW_ON;
}

static int build(void *ctx, struct hfc_http_request *req, struct hfc_buf *scratch,
                 struct hfc_error *e)
{
    struct task *t = ctx;

    t->builds++;
    t->clean_scratch = scratch->len == 0 && scratch->data[0] == '\0';
    if (t->build_fails == t->builds)
        return hfc_error_set(e, EACCES, "no credentials");
    hfc_buf_printf(scratch, "%s/%d", t->base, t->builds);
    req->url = scratch->data;
    req->method = t->upload != NULL ? "PUT" : "GET";
    req->headers = t->headers;
    for (size_t i = 0; i < t->scratch_use; i++)
        hfc_buf_char(scratch, 'x');
    if (t->forward) {
        req->head = on_head;
        req->data = on_data;
    }
    if (t->upload != NULL) {
        req->read = on_read;
        req->body_size = strlen(t->upload);
    }
    maybe_cancel(t, IN_BUILD);
    return 0;
}

static enum hfc_verdict judge(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                              const struct hfc_error *http_err, int64_t *wait, struct hfc_error *e)
{
    struct task *t = ctx;
    int status = hfc_response_status(r);

    t->judges++;
    t->end = end;
    assert_int_equal(http_err == NULL, end == HTTP_OK);
    assert_int_equal(*wait, -1);
    assert_int_equal(e->msg[0], '\0');
    (void)snprintf(t->http_msg, sizeof(t->http_msg), "%s", http_err ? http_err->msg : "");
    *wait = t->wait;
    if (!t->keep_error)
        (void)hfc_error_set(e, 0, "status %d", status);
    if (t->cancel_in == IN_JUDGE)
        maybe_cancel(t, IN_JUDGE);
    if (status == 200)
        return HFC_SUCCEEDED;
    if (status >= 300 && status < 400)
        return HFC_AT_ONCE;
    return status == 0 || hfc_status_is_transient(status) ? HFC_RETRY : HFC_FAILED;
}

static void done(void *ctx, const struct hfc_response *r, const struct hfc_error *e)
{
    struct task *t = ctx;

    t->dones++;
    t->over = true;
    t->success = e == NULL;
    t->answered = r != NULL;
    t->status = r != NULL ? hfc_response_status(r) : 0;
    t->tries = hfc_call_tries(t->call);
    (void)snprintf(t->msg, sizeof(t->msg), "%s", e ? e->msg : "");
    t->errnum = e ? e->errnum : 0;
    if (t->cancel_in == IN_DONE)
        hfc_call_cancel(t->call);
}

static void retrying(void *ctx, int64_t wait, const struct hfc_error *why)
{
    struct task *t = ctx;

    assert_non_null(strstr(why->msg, "status"));
    t->exchange_known = hfc_call_exchange(t->call) != NULL;
    if (t->retries < WAITS)
        t->waits[t->retries] = wait;
    t->retries++;
    maybe_cancel(t, IN_RETRYING);
}

static const struct hfc_call_ops ops = {
    .build = build, .judge = judge, .done = done, .retrying = retrying};

static void start(struct task *t, struct hfc_retry_budget *budget)
{
    if (t->base == NULL)
        t->base = peer.base;
    t->call = hfc_call_start(http, &policy, budget, &ops, t);
    assert_int_equal(t->builds + t->dones, 0);
}

static void run_until(const bool *until)
{
    if (hfc_loop_run(loop, until, &err) != 0)
        fail_msg("loop: %s", err.msg);
}

static void run(struct task *t, struct hfc_retry_budget *budget)
{
    start(t, budget);
    run_until(&t->over);
    assert_int_equal(t->dones, 1);
}

static void answer(int status)
{
    peer_reply(&peer, status, "", "");
}

static void a_call_that_succeeds_is_done_once(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    run(&t, NULL);
    assert_true(t.success);
    assert_int_equal(t.status, 200);
    assert_int_equal(t.tries, 1);
    assert_int_equal(t.retries, 0);
}

static void passing_trouble_is_tried_again(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    peer_reply(&peer, 503, "Connection: close\r\n", "");
    peer_say(&peer, "", PEER_FIN);
    run(&t, NULL);
    assert_true(t.success);
    assert_int_equal(t.status, 200);
    assert_int_equal(t.tries, 3);
    assert_int_equal(t.builds, 3);
    assert_int_equal(t.judges, 3);
    assert_int_equal(t.retries, 2);
    assert_false(t.exchange_known);
    assert_true(t.clean_scratch);
    assert_string_equal(peer_request(&peer, 2)->target, "/3");
}

static void lasting_trouble_ends_with_the_last_answer(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    for (int i = 0; i < 4; i++)
        answer(500 + i % 2 * 3);
    run(&t, NULL);
    assert_false(t.success);
    assert_true(t.answered);
    assert_int_equal(t.status, 503);
    assert_int_equal(t.tries, 4);
    assert_string_equal(t.msg, "tried 4 times: status 503");
}

static void a_policy_of_one_try_has_no_other(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    policy.tries = 1;
    answer(503);
    run(&t, NULL);
    assert_string_equal(t.msg, "status 503");
    assert_int_equal(t.retries, 0);
}

static void failure_is_not_tried_again(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    answer(404);
    run(&t, NULL);
    assert_string_equal(t.msg, "status 404");
    assert_int_equal(t.status, 404);
    assert_int_equal(t.tries, 1);
}

static void without_an_answer_there_is_none_at_the_end(void **state)
{
    struct task t = {.wait = -1, .base = "ftp://127.0.0.1"};

    (void)state;
    run(&t, NULL);
    assert_false(t.success);
    assert_false(t.answered);
    assert_int_equal(t.end, HTTP_NOT_SENT);
    assert_string_not_equal(t.http_msg, "");
    assert_int_equal(t.tries, 4);
}

static void redirects_cost_neither_tries_nor_budget(void **state)
{
    struct task t = {.wait = -1};
    struct hfc_retry_budget budget = {.left = 3, .full = 10};

    (void)state;
    policy.tries = 1;
    for (int i = 0; i < HFC_AT_ONCE_MAX; i++)
        answer(307);
    run(&t, &budget);
    assert_true(t.success);
    assert_int_equal(t.tries, HFC_AT_ONCE_MAX + 1);
    assert_int_equal(t.retries, 0);
    assert_int_equal(budget.left, 4);
}

static void redirects_without_end_are_ended(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    for (int i = 0; i < HFC_AT_ONCE_MAX + 5; i++)
        answer(307);
    run(&t, NULL);
    assert_false(t.success);
    assert_int_equal(t.errnum, ELOOP);
    assert_int_equal(t.status, 307);
    assert_int_equal(t.tries, HFC_AT_ONCE_MAX + 1);
}

static void waits_are_spread_below_a_doubling_bound(void **state)
{
    struct task t = {.wait = -1};
    int64_t highest[4] = {0}, lowest[4] = {1000, 1000, 1000, 1000};

    (void)state;
    policy = (struct hfc_retry_policy){.tries = 5, .base_ms = 3, .cap_ms = 8};
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 4; i++)
            answer(503);
        answer(200);
        t = (struct task){.wait = -1};
        run(&t, NULL);
        assert_int_equal(t.retries, 4);
        for (int i = 0; i < 4; i++) {
            highest[i] = t.waits[i] > highest[i] ? t.waits[i] : highest[i];
            lowest[i] = t.waits[i] < lowest[i] ? t.waits[i] : lowest[i];
        }
    }
    for (int i = 0; i < 4; i++) {
        int64_t bound = i == 0 ? 3 : i == 1 ? 6 : 8;
        assert_true(highest[i] <= bound && lowest[i] >= 0);
        assert_true(highest[i] > bound / 2 && lowest[i] < bound / 2 + 1);
    }
}

static void a_policy_without_waits_does_not_wait(void **state)
{
    struct task t = {.wait = -1};

    (void)state;
    policy = (struct hfc_retry_policy){.tries = 2};
    answer(503);
    run(&t, NULL);
    assert_true(t.success);
    assert_int_equal(t.waits[0], 0);
}

static void a_wait_that_the_server_asks_for_is_obeyed(void **state)
{
    struct task t = {.wait = 7};

    (void)state;
    answer(503);
    run(&t, NULL);
    assert_true(t.success);
    assert_int_equal(t.waits[0], 7);
}

static void no_wait_is_longer_than_an_hour(void **state)
{
    struct task t = {.wait = INT64_MAX, .cancel_in = IN_RETRYING};

    (void)state;
    answer(503);
    start(&t, NULL);
    run_until(&t.over);
    assert_int_equal(t.waits[0], 3600 * 1000);
}

static void no_try_begins_after_the_deadline(void **state)
{
    struct task t = {.wait = 10000};

    (void)state;
    policy.deadline_ms = 5000;
    answer(503);
    run(&t, NULL);
    assert_false(t.success);
    assert_int_equal(t.status, 503);
    assert_string_equal(t.msg, "no time left to try again: status 503");
    t = (struct task){.wait = 0};
    answer(503);
    run(&t, NULL);
    assert_true(t.success);
}

static void retries_are_paid_from_the_budget(void **state)
{
    struct task t = {.wait = -1};
    struct hfc_retry_budget budget = {.left = 12, .full = 13};

    (void)state;
    for (int i = 0; i < 3; i++)
        answer(503);
    run(&t, &budget);
    assert_false(t.success);
    assert_int_equal(t.tries, 3);
    assert_int_equal(budget.left, 12 - 2 * HFC_RETRY_COST);
    assert_non_null(strstr(t.msg, "too many requests fail"));
    assert_non_null(strstr(t.msg, "status 503"));
}

static void success_at_once_gives_back_up_to_the_full(void **state)
{
    struct hfc_retry_budget budget = {.left = 11, .full = 13};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct task t = {.wait = -1};
        run(&t, &budget);
    }
    assert_int_equal(budget.left, 13);
    struct task t = {.wait = -1};
    for (int i = 0; i < 5; i++)
        answer(i == 4 ? 503 : 200);
    run(&t, &budget);
    assert_true(t.success);
    assert_int_equal(budget.left, 13 - HFC_RETRY_COST);
}

static void a_request_that_cannot_be_built_ends_the_call(void **state)
{
    (void)state;
    for (int i = 1; i <= 2; i++) {
        struct task t = {.wait = -1, .build_fails = i};
        answer(503);
        run(&t, NULL);
        assert_false(t.success);
        assert_false(t.answered);
        assert_int_equal(t.errnum, EACCES);
        assert_int_equal(t.tries, i - 1);
    }
}

static void a_request_that_is_too_long_ends_the_call(void **state)
{
    struct task t = {.wait = -1, .scratch_use = 65536};

    (void)state;
    run(&t, NULL);
    assert_false(t.success);
    assert_int_equal(t.errnum, E2BIG);
    assert_int_equal(peer_count(&peer, &peer.n_connections), 0);
}

/* The client's copy of the URL is one, the scratch buffer the other. */
static void signatures_are_wiped_after_each_attempt(void **state)
{
    char base[128];
    struct task t = {.wait = -1, .base = base};

    (void)state;
    (void)snprintf(base, sizeof(base), "%s/?signature=secret", peer.base);
    answer(503);
    wiped_text = "?signature=secret";
    wiped = 0;
    run(&t, NULL);
    assert_true(t.success);
    assert_int_equal(wiped, 4);
}

static void functions_of_the_request_get_the_callers_ctx(void **state)
{
    struct task t = {.wait = -1, .forward = true, .upload = "some body"};

    (void)state;
    peer_reply(&peer, 503, "", "busy");
    peer_reply(&peer, 200, "", "hello");
    run(&t, NULL);
    assert_true(t.success);
    assert_string_equal(t.body, "hello");
    assert_int_equal(t.heads, 2);
    assert_int_equal(t.datas, 1);
    assert_int_equal(t.reads, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_string_equal(peer_request(&peer, i)->body, "some body");
}

static void retrying_need_not_be_told(void **state)
{
    struct hfc_call_ops quiet = ops;
    struct task t = {.wait = -1, .base = peer.base};

    (void)state;
    quiet.retrying = NULL;
    answer(503);
    t.call = hfc_call_start(http, &policy, NULL, &quiet, &t);
    run_until(&t.over);
    assert_true(t.success);
    assert_int_equal(t.retries, 0);
}

/* ---- cancelling ---- */

static void set_true(void *flag)
{
    *(bool *)flag = true;
}

static void run_for(int64_t ms)
{
    struct hfc_timer t = {0};
    bool over = false;

    hfc_timer_start(loop, &t, ms, set_true, &over);
    run_until(&over);
}

static void a_call_can_be_cancelled_by_its_functions(void **state)
{
    (void)state;
    for (int place = IN_BUILD; place <= IN_DATA; place++) {
        struct task t = {.wait = 0, .cancel_in = place, .forward = place == IN_DATA};
        if (place != IN_BUILD)
            peer_reply(&peer, place == IN_DATA || place == IN_DONE ? 200 : 503, "", "hello");
        start(&t, NULL);
        run_until(&t.over);
        run_for(10);
        assert_int_equal(t.dones, place == IN_DONE);
        assert_int_equal(t.builds, 1);
    }
}

static void a_call_can_be_cancelled_before_it_begins(void **state)
{
    struct task t = {.wait = 0};

    (void)state;
    start(&t, NULL);
    assert_null(hfc_call_exchange(t.call));
    assert_int_equal(hfc_call_tries(t.call), 0);
    hfc_call_cancel(t.call);
    run_for(5);
    assert_int_equal(t.builds + t.dones, 0);
}

static bool waits_at_peer;

static void on_peer_event(void *ctx)
{
    uint64_t n;

    (void)ctx;
    (void)!read(peer.events, &n, sizeof(n));
    waits_at_peer = peer_count(&peer, &peer.waiting) > 0;
}

static void a_call_can_be_cancelled_in_an_attempt(void **state)
{
    struct task t = {.wait = 0};
    struct hfc_watch w = {0};
    struct hfc_http_stats stats;

    (void)state;
    waits_at_peer = false;
    peer_say(&peer, "", PEER_HANG);
    start(&t, NULL);
    hfc_watch_start(loop, &w, peer.events, on_peer_event, NULL);
    run_until(&waits_at_peer);
    hfc_watch_stop(&w);
    assert_non_null(hfc_call_exchange(t.call));
    hfc_call_cancel(t.call);
    run_for(5);
    hfc_http_stats(http, &stats);
    assert_int_equal(stats.active, 0);
    assert_int_equal(t.dones + t.judges, 0);
}

static void a_call_can_be_cancelled_while_it_waits(void **state)
{
    struct task t = {.wait = 20};

    (void)state;
    answer(503);
    start(&t, NULL);
    while (t.retries == 0)
        run_for(0);
    hfc_call_cancel(t.call);
    run_for(40);
    assert_int_equal(t.dones, 0);
    assert_int_equal(t.builds, 1);
}

/* ---- Retry-After ---- */

static void seconds_are_read(void **state)
{
    (void)state;
    assert_int_equal(hfc_retry_after_ms("0", 0), 0);
    assert_int_equal(hfc_retry_after_ms("7", 0), 7000);
    assert_int_equal(hfc_retry_after_ms("0007", 0), 7000);
    assert_int_equal(hfc_retry_after_ms("3600", 0), 3600000);
    assert_int_equal(hfc_retry_after_ms("3601", 0), 3600000);
    assert_int_equal(hfc_retry_after_ms("99999999999999999999999999", 0), 3600000);
}

static void dates_are_read_against_now(void **state)
{
    static const char date[] = "Wed, 21 Oct 2015 07:28:00 GMT"; /* 1445412480 */

    (void)state;
    assert_int_equal(hfc_retry_after_ms(date, 1445412480 - 90), 90000);
    assert_int_equal(hfc_retry_after_ms(date, 1445412480), 0);
    assert_int_equal(hfc_retry_after_ms(date, 1445412480 + 90), 0);
    assert_int_equal(hfc_retry_after_ms(date, 0), 3600000);
}

static void what_is_neither_is_ignored(void **state)
{
    static const char *const bad[] = {"", "soon", "-5", "1.5", "7 s", " "};

    (void)state;
    assert_int_equal(hfc_retry_after_ms(NULL, 0), -1);
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++)
        assert_int_equal(hfc_retry_after_ms(bad[i], 0), -1);
}

static void passing_statuses_are_known(void **state)
{
    static const int passing[] = {408, 425, 429, 500, 502, 503, 504};
    size_t found = 0;

    (void)state;
    for (int status = 0; status < 1000; status++)
        found += hfc_status_is_transient(status);
    assert_int_equal(found, HFC_ARRAY_LEN(passing));
    for (size_t i = 0; i < HFC_ARRAY_LEN(passing); i++)
        assert_true(hfc_status_is_transient(passing[i]));
}

static void the_default_policy_is_sound(void **state)
{
    struct hfc_retry_policy p = HFC_RETRY_DEFAULT;

    (void)state;
    assert_true(p.tries > 1 && p.base_ms > 0 && p.cap_ms > p.base_ms && p.deadline_ms > p.cap_ms);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_call_that_succeeds_is_done_once),
        T(passing_trouble_is_tried_again),
        T(lasting_trouble_ends_with_the_last_answer),
        T(a_policy_of_one_try_has_no_other),
        T(failure_is_not_tried_again),
        T(without_an_answer_there_is_none_at_the_end),
        T(redirects_cost_neither_tries_nor_budget),
        T(redirects_without_end_are_ended),
        T(waits_are_spread_below_a_doubling_bound),
        T(a_policy_without_waits_does_not_wait),
        T(a_wait_that_the_server_asks_for_is_obeyed),
        T(no_wait_is_longer_than_an_hour),
        T(no_try_begins_after_the_deadline),
        T(retries_are_paid_from_the_budget),
        T(success_at_once_gives_back_up_to_the_full),
        T(a_request_that_cannot_be_built_ends_the_call),
        T(a_request_that_is_too_long_ends_the_call),
        T(signatures_are_wiped_after_each_attempt),
        T(functions_of_the_request_get_the_callers_ctx),
        T(retrying_need_not_be_told),
        T(a_call_can_be_cancelled_by_its_functions),
        T(a_call_can_be_cancelled_before_it_begins),
        T(a_call_can_be_cancelled_in_an_attempt),
        T(a_call_can_be_cancelled_while_it_waits),
        T(seconds_are_read),
        T(dates_are_read_against_now),
        T(what_is_neither_is_ignored),
        T(passing_statuses_are_known),
        T(the_default_policy_is_sound),
    };

    return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
