/* test_report_http.c: metrics that are scraped (refresh/report_serve.c) and pushed
 * (refresh/report_push.c).
 */
#include "http_peer.h"
#include "report_check.h"

/* GET /metrics. */

struct answer {
    bool there;
    int status;
    enum hfc_http_end end;
    char type[100], allow[100];
    char *body;
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
    a->body = strdup(hfc_response_body(r)->data);
}

static ssize_t read_x(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset;
    memset(to, 'x', n);
    return (ssize_t)n;
}

static struct answer ask(const char *method, const char *base, const char *path)
{
    const struct hfc_http_config config = {.connections = 1, .no_proxy = true};
    struct hfc_http *http = hfc_http_new(loop, &config, &err);
    struct answer a = {0};
    char url[200];

    (void)snprintf(url, sizeof(url), "%s:%u%s", base, report_server_port(report->server), path);
    struct hfc_http_request request = {
        .method = method, .url = url, .done = answered, .ctx = &a, .total_timeout = 10000};
    if (strcmp(method, "POST") == 0) {
        request.read = read_x;
        request.body_size = 100000;
    }
    (void)hfc_http_start(http, &request);
    assert_int_equal(hfc_loop_run(loop, &a.there, &err), 0);
    hfc_http_free(http);
    return a;
}

static void metrics_can_be_scraped_while_it_runs(void **state)
{
    (void)state;
    options.listen = "127.0.0.1:0";
    options.quiet = true;
    make_report();
    good_events();
    struct answer a = ask("GET", "http://127.0.0.1", "/metrics");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_well_formed(a.body);
    assert_true(sample(a.body, "hfcache_refresh_running") == 1);
    assert_true(sample(a.body, MODEL_TIME "{model=\"org/one\",target=\"" A "\"}") > 1.7e9);
    assert_has_not(a.body, RUN_TIME);
    free(a.body);
    a = ask("HEAD", "http://127.0.0.1", "/metrics");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "");
    free(a.body);
    a = ask("GET", "http://127.0.0.1", "/other");
    assert_int_equal(a.status, 404);
    free(a.body);
    a = ask("DELETE", "http://127.0.0.1", "/metrics");
    assert_int_equal(a.status, 405);
    assert_string_equal(a.allow, "GET, HEAD");
    free(a.body);
    a = ask("POST", "http://127.0.0.1", "/metrics");
    assert_true(a.status == 405 || a.end == HTTP_BROKEN); /* the body is not waited for */
    free(a.body);
}

static int connect_to(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void silent_connections_do_not_hold_anything_up_for_ever(void **state)
{
    int fds[6];

    (void)state;
    options.listen = "127.0.0.1:0";
    options.quiet = true;
    make_report();
    for (int i = 0; i < 3; i++)
        fds[i] = connect_to(report_server_port(report->server));
    struct answer a = ask("GET", "http://127.0.0.1", "/metrics"); /* the fourth */
    assert_int_equal(a.status, 200);
    free(a.body);
    for (int i = 3; i < 6; i++)
        fds[i] = connect_to(report_server_port(report->server));
    for (int i = 0; i < 6; i++)
        (void)close(fds[i]);
    a = ask("GET", "http://127.0.0.1", "/metrics");
    assert_int_equal(a.status, 200);
    free(a.body);
}

static void it_listens_on_all_addresses_and_on_ipv6(void **state)
{
    (void)state;
    options.listen = ":0";
    options.quiet = true;
    make_report();
    struct answer a = ask("GET", "http://127.0.0.1", "/metrics");
    assert_int_equal(a.status, 200);
    free(a.body);
    report_free(report);
    options.listen = "[::1]:0";
    report = report_new(loop, &options, &err);
    if (report == NULL) {
        assert_has(err.msg, "--listen [::1]:0: ");
        skip(); /* no IPv6 here */
    }
    a = ask("GET", "http://[::1]", "/metrics");
    assert_int_equal(a.status, 200);
    free(a.body);
}

static void a_wrong_or_taken_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "", "9464", "127.0.0.1", "127.0.0.1:", "h:port", "h:1234567", "127.0.0.1:-1", "h:12 "};
    char taken[40], long_host[400];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        options.listen = wrong[i];
        assert_null(report_new(loop, &options, &err));
        assert_has(err.msg, "expected ADDRESS:PORT");
    }
    memset(long_host, 'h', sizeof(long_host));
    (void)snprintf(long_host + 300, 10, ":1");
    options.listen = long_host;
    assert_null(report_new(loop, &options, &err));
    assert_has(err.msg, "expected ADDRESS:PORT");
    options.listen = "::1:9464";
    assert_null(report_new(loop, &options, &err));
    assert_has(err.msg, "in brackets");
    options.listen = "127.0.0.1:65536";
    assert_null(report_new(loop, &options, &err));
    assert_has(err.msg, "expected ADDRESS:PORT");
    options.listen = "127.0.0.1:0";
    make_report();
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", report_server_port(report->server));
    options.listen = taken;
    assert_null(report_new(loop, &options, &err));
    assert_has(err.msg, "can't listen: Address already in use");
}

/* PUT to a Pushgateway. */

static void run_a_little(void)
{
    bool over = false;
    struct hfc_timer t = {0};

    hfc_timer_start(loop, &t, 5, set_true, &over);
    assert_int_equal(hfc_loop_run(loop, &over, &err), 0);
}

static void run_until_request(struct peer *p, unsigned n)
{
    while (peer_count(p, &p->n_requests) < n)
        run_a_little();
}

static void metrics_are_pushed_at_once_and_at_the_end(void **state)
{
    struct peer p = {0};

    (void)state;
    peer_start(&p);
    options.push = p.base;
    options.quiet = true;
    make_report();
    run_until_request(&p, 1);
    const struct peer_request *r = peer_request(&p, 0);
    assert_string_equal(r->method, "PUT");
    assert_string_equal(r->target, "/metrics/job/hfcache_refresh");
    assert_has(r->head, "Content-Type: text/plain; version=0.0.4");
    assert_has(r->head, "User-Agent: hfcache-refresh/");
    assert_well_formed(r->body);
    assert_true(sample(r->body, "hfcache_refresh_running") == 1);
    good_events();
    assert_int_equal(finish(false), 0);
    r = peer_request(&p, 1);
    assert_true(sample(r->body, "hfcache_refresh_running") == 0);
    assert_true(sample(r->body, RUN_TIME) > 1.7e9);
    report_free(report);
    report = NULL;
    peer_stop(&p);
}

static void the_last_push_is_made_after_a_stop_as_well(void **state)
{
    struct peer p = {0};

    (void)state;
    peer_start(&p);
    options.push = p.base;
    options.quiet = true;
    make_report();
    hfc_loop_stop(loop);
    assert_int_equal(finish(true), 1);
    assert_true(sample(peer_request(&p, 0)->body, "hfcache_refresh_running") == 0);
    report_free(report);
    report = NULL;
    peer_stop(&p);
}

static void a_push_under_way_makes_room_for_the_last(void **state)
{
    struct peer p = {0};

    (void)state;
    peer_start(&p);
    peer_script(&p, (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\n\r\n", .wait = true});
    options.push = p.base;
    options.quiet = true;
    make_report();
    run_until_request(&p, 1);
    report->tick = (struct hfc_timer){0};
    assert_int_equal(finish(false), 0);
    assert_true(sample(peer_request(&p, 1)->body, "hfcache_refresh_running") == 0);
    report_free(report);
    report = NULL;
    peer_stop(&p);
}

static void pushes_that_fail_are_one_warning(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    struct peer p = {0};

    (void)state;
    peer_start(&p);
    peer_reply(&p, 400, "", "no such thing\x1b[2J");
    peer_reply(&p, 503, "", "later");
    options.push = p.base;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    run_until_request(&p, 1);
    (void)peer_request(&p, 0);
    while (strcmp(text.data, "") == 0) {
        run_a_little();
        contents("err", &text);
    }
    end_catch();
    assert_has(text.data, "warning: metrics were not pushed to http://127.0.0.1:");
    assert_has(text.data, "/metrics/job/hfcache_refresh: HTTP 400: no such thing\\x1b[2J\n");
    assert_int_equal(finish(false), 1);
    contents("err", &text);
    assert_has(text.data, "HTTP 503: later");
    report_free(report);
    report = NULL;
    peer_stop(&p);
}

static void a_gateway_that_is_not_there_fails_the_run_at_its_end(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    char url[100];

    (void)state;
    options.listen = "127.0.0.1:0"; /* a port that is free again right after */
    make_report();
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/x?token=secret",
                   report_server_port(report->server));
    report_free(report);
    options.listen = NULL;
    options.push = url;
    make_report();
    assert_int_equal(finish(false), 1);
    contents("err", &text);
    assert_has(text.data, "warning: metrics were not pushed to http://127.0.0.1:");
    assert_has_not(text.data, "secret");
}

static void the_group_of_a_url_is_kept(void **state)
{
    static const struct {
        const char *path, *target;
    } cases[] = {
        {"/", "/metrics/job/hfcache_refresh"},
        {"/gate//", "/gate/metrics/job/hfcache_refresh"},
        {"/metrics/job/mine/instance/x", "/metrics/job/mine/instance/x"},
        {"/p?a=b", "/p/metrics/job/hfcache_refresh?a=b"},
    };
    char url[200];

    (void)state;
    options.quiet = true;
    options.push = url;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct peer p = {0};
        peer_start(&p);
        (void)snprintf(url, sizeof(url), "%s%s", p.base, cases[i].path);
        make_report();
        assert_int_equal(finish(false), 0);
        assert_string_equal(peer_request(&p, 0)->target, cases[i].target);
        report_free(report);
        report = NULL;
        peer_stop(&p);
    }
}

static void a_url_that_is_no_gateway_is_refused(void **state)
{
    static char long_url[6000];

    (void)state;
    options.push = "file:///tmp/x";
    assert_null(report_new(loop, &options, &err));
    assert_has(err.msg, "--push: expected the http:// or https:// address");
    options.push = "nonsense";
    assert_null(report_new(loop, &options, &err));
    options.push = "http://user:pw@host/";
    assert_null(report_new(loop, &options, &err));
    assert_has_not(err.msg, "pw");
    memset(long_url, 'x', sizeof(long_url) - 1);
    memcpy(long_url, "http://h/", 9);
    options.push = long_url;
    assert_null(report_new(loop, &options, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(metrics_can_be_scraped_while_it_runs),
        T(silent_connections_do_not_hold_anything_up_for_ever),
        T(it_listens_on_all_addresses_and_on_ipv6),
        T(a_wrong_or_taken_address_is_refused),
        T(metrics_are_pushed_at_once_and_at_the_end),
        T(the_last_push_is_made_after_a_stop_as_well),
        T(a_push_under_way_makes_room_for_the_last),
        T(pushes_that_fail_are_one_warning),
        T(a_gateway_that_is_not_there_fails_the_run_at_its_end),
        T(the_group_of_a_url_is_kept),
        T(a_url_that_is_no_gateway_is_refused),
    };

    return cmocka_run_group_tests(tests, remember_home, NULL);
}
