/* test_mount_listener.c: metrics and health over HTTP (mount/listener.c, lib/address.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "address.h"
#include "cleanup.h"
#include "http.h"
#include "listener.h"

enum { SLOW_MS = 60000 };

static struct hfc_loop *loop;
static struct hfc_error err;
static struct listener *listener;
static _Atomic bool live, ready;
static _Atomic size_t metrics_size;

static void give_metrics(void *ctx, struct hfc_buf *to)
{
    assert_ptr_equal(ctx, &live);
    hfc_buf_str(to, "a_metric 1\n");
    for (size_t i = 0; i < metrics_size; i++)
        hfc_buf_char(to, 'x');
}

static bool give_live(void *ctx, struct hfc_buf *why)
{
    (void)ctx;
    hfc_buf_str(why, live ? "alive" : "the loop has not come round for 40 s");
    return live;
}

static bool give_ready(void *ctx, struct hfc_buf *why)
{
    (void)ctx;
    hfc_buf_str(why, ready ? "ready" : "no tree");
    return ready;
}

static struct listener *start(const char *address)
{
    const struct listener_config config = {.address = address,
                                           .metrics = give_metrics,
                                           .live = give_live,
                                           .ready = give_ready,
                                           .ctx = &live};

    return listener_start(&config, &err);
}

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    live = ready = true;
    metrics_size = 0;
    loop = hfc_loop_new(&err);
    listener = start("127.0.0.1:0");
    return loop != NULL && listener != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    listener_stop(listener);
    hfc_loop_free(loop);
    return 0;
}

struct answer {
    bool there;
    int status;
    enum hfc_http_end end;
    char type[100], allow[100], body[1000];
};

static void answered(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                     const struct hfc_error *e)
{
    struct answer *a = ctx;
    const char *type = hfc_response_header(r, "content-type");
    const char *allow = hfc_response_header(r, "allow");

    (void)e;
    a->there = true;
    a->end = end;
    a->status = hfc_response_status(r);
    (void)snprintf(a->type, sizeof(a->type), "%s", type != NULL ? type : "");
    (void)snprintf(a->allow, sizeof(a->allow), "%s", allow != NULL ? allow : "");
    (void)snprintf(a->body, sizeof(a->body), "%s", hfc_response_body(r)->data);
}

static ssize_t read_x(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset;
    memset(to, 'x', n);
    return (ssize_t)n;
}

static struct answer ask(const char *method, const char *host, const char *path)
{
    const struct hfc_http_config config = {.connections = 1, .no_proxy = true};
    struct hfc_http *http = hfc_http_new(loop, &config, &err);
    struct answer a = {0};
    char url[200];

    (void)snprintf(url, sizeof(url), "http://%s:%u%s", host, listener_port(listener), path);
    struct hfc_http_request request = {
        .method = method, .url = url, .done = answered, .ctx = &a, .total_timeout = SLOW_MS};
    if (strcmp(method, "POST") == 0) {
        request.read = read_x;
        request.body_size = 100000;
    }
    (void)hfc_http_start(http, &request);
    assert_int_equal(hfc_loop_run(loop, &a.there, &err), 0);
    hfc_http_free(http);
    return a;
}

static void metrics_are_answered_with_their_type(void **state)
{
    (void)state;
    struct answer a = ask("GET", "127.0.0.1", "/metrics");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "a_metric 1\n");
    assert_string_equal(a.type, "text/plain; version=0.0.4; charset=utf-8");
    a = ask("HEAD", "127.0.0.1", "/metrics");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "");
}

static void health_is_a_status_and_a_line_that_says_why(void **state)
{
    (void)state;
    struct answer a = ask("GET", "127.0.0.1", "/livez");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "alive\n");
    a = ask("GET", "127.0.0.1", "/readyz");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "ready\n");
    live = ready = false;
    a = ask("GET", "127.0.0.1", "/livez");
    assert_int_equal(a.status, 503);
    assert_string_equal(a.body, "the loop has not come round for 40 s\n");
    a = ask("GET", "127.0.0.1", "/readyz");
    assert_int_equal(a.status, 503);
    assert_string_equal(a.body, "no tree\n");
    assert_string_equal(a.type, "text/plain; charset=utf-8");
}

static void nothing_else_is_answered(void **state)
{
    static const char *const paths[] = {"/", "/metrics/", "/metricsx", "/../metrics", "/livez/x"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(ask("GET", "127.0.0.1", paths[i]).status, 404);
    struct answer a = ask("DELETE", "127.0.0.1", "/metrics");
    assert_int_equal(a.status, 405);
    assert_string_equal(a.allow, "GET, HEAD");
    a = ask("POST", "127.0.0.1", "/metrics");
    assert_true(a.status == 405 || a.end != HTTP_OK);
    assert_int_equal(ask("GET", "127.0.0.1", "/metrics").status, 200);
}

static void a_text_that_is_too_long_is_hung_up_on(void **state)
{
    (void)state;
    metrics_size = 1024 * 1024;
    assert_int_not_equal(ask("GET", "127.0.0.1", "/metrics").end, HTTP_OK);
    metrics_size = 0;
    assert_int_equal(ask("GET", "127.0.0.1", "/metrics").status, 200);
}

/* More than are let in: they are hung up on, or time out; then there is room again. */
static void silent_connections_hold_nothing_up_for_ever(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)listener_port(listener))};
    int fds[8];

    (void)state;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 8; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof(to)), 0);
    }
    while (ask("GET", "127.0.0.1", "/livez").status != 200)
        ;
    for (int i = 0; i < 8; i++)
        (void)close(fds[i]);
}

static void a_port_that_is_taken_is_said_to_be(void **state)
{
    char address[64], text[200];

    (void)state;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(listener));
    (void)snprintf(text, sizeof(text), "--listen %s: another program has the port", address);
    assert_null(start(address));
    assert_int_equal(err.errnum, EADDRINUSE);
    assert_non_null(strstr(err.msg, text));
    assert_null(listener_start(&(struct listener_config){.address = address}, NULL));
}

static void a_port_is_free_again_once_it_has_stopped(void **state)
{
    char address[64];

    (void)state;
    (void)ask("GET", "127.0.0.1", "/livez");
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(listener));
    listener_stop(listener);
    listener = start(address);
    assert_non_null(listener);
    assert_int_equal(ask("GET", "127.0.0.1", "/livez").status, 200);
}

static void a_wrong_address_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *address, *message;
    } cases[] = {
        {"nonsense", "--listen nonsense: expected ADDRESS:PORT"},
        {"127.0.0.1:", "expected ADDRESS:PORT"},
        {"127.0.0.1:x", "expected ADDRESS:PORT"},
        {"127.0.0.1:70000", "expected ADDRESS:PORT"},
        {"127.0.0.1:123456", "expected ADDRESS:PORT"},
        {"::1:80", "an IPv6 address has to stand in brackets"},
        {"203.0.113.1:0", "can't listen"},
        {"no-such-host.invalid:0", "--listen no-such-host.invalid:0: "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(start(cases[i].address));
        if (strstr(err.msg, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].address, err.msg);
    }
}

static void all_addresses_of_both_families_are_possible(void **state)
{
    (void)state;
    listener_stop(listener);
    listener = start(":0");
    assert_non_null(listener);
    assert_true(listener_port(listener) > 0);
    assert_int_equal(ask("GET", "127.0.0.1", "/livez").status, 200);
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return;
    (void)close(probe);
    listener_stop(listener);
    listener = start("[::1]:0");
    assert_non_null(listener);
    assert_int_equal(ask("GET", "[::1]", "/livez").status, 200);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(metrics_are_answered_with_their_type),
        T(health_is_a_status_and_a_line_that_says_why),
        T(nothing_else_is_answered),
        T(a_text_that_is_too_long_is_hung_up_on),
        T(silent_connections_hold_nothing_up_for_ever),
        T(a_port_that_is_taken_is_said_to_be),
        T(a_port_is_free_again_once_it_has_stopped),
        T(a_wrong_address_is_refused_with_its_reason),
        T(all_addresses_of_both_families_are_possible),
    };

    listener_stop(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
