/* test_http.c: requests as they are sent, answers as they are read, and how exchanges end
 * (lib/http.c, lib/http_curl.c). Places, pauses and cancelling: test_http_flow.c. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http_probe.h"

#include "cleanup.h"
#include "wiped.h"

/* ---- requests ---- */

static const char *header_of(unsigned request, const char *name)
{
    static char value[512];
    const char *found = peer_header(peer_request(&peer, request), name, value, sizeof(value));

    return found != NULL ? found : "(none)";
}

static void a_get_sends_what_it_should_and_no_more(void **state)
{
    struct probe p = {0};

    (void)state;
    probe_run(&p, "GET", "/a/../b%20c?x=1&y=%2F");
    const struct peer_request *r = peer_request(&peer, 0);
    assert_string_equal(r->method, "GET");
    assert_string_equal(r->target, "/a/../b%20c?x=1&y=%2F");
    assert_non_null(strstr(r->head, "HTTP/1.1"));
    assert_string_equal(header_of(0, "User-Agent"), "probe/1");
    assert_string_equal(header_of(0, "Host"), peer.base + strlen("http://"));
    assert_string_equal(header_of(0, "Content-Length"), "(none)");
    assert_string_equal(header_of(0, "Expect"), "(none)");
    assert_string_equal(header_of(0, "Accept-Encoding"), "(none)");
    assert_string_equal(header_of(0, "Authorization"), "(none)");
}

static void without_an_agent_none_is_sent(void **state)
{
    struct probe p = {0};

    (void)state;
    new_client(&(struct hfc_http_config){.connections = 1});
    probe_run(&p, "GET", "/");
    assert_string_equal(header_of(0, "User-Agent"), "(none)");
}

static void methods_without_a_body_say_so_where_they_have_to(void **state)
{
    static const char *const expected[][2] = {
        {"PUT", "0"}, {"POST", "0"}, {"DELETE", "(none)"}, {"HEAD", "(none)"}, {"GET", "(none)"}};

    (void)state;
    for (unsigned i = 0; i < HFC_ARRAY_LEN(expected); i++) {
        struct probe p = {0};
        probe_run(&p, expected[i][0], "/");
        assert_int_equal(p.end, HTTP_OK);
        assert_string_equal(peer_request(&peer, i)->method, expected[i][0]);
        assert_string_equal(header_of(i, "Content-Length"), expected[i][1]);
        assert_string_equal(header_of(i, "Transfer-Encoding"), "(none)");
        assert_string_equal(header_of(i, "Content-Type"), "(none)");
    }
}

static void headers_are_sent_as_given(void **state)
{
    struct probe p = {0};
    char url[64];

    (void)state;
    (void)snprintf(url, sizeof(url), "%s/", peer.base);
    probe_start_request(
        &p,
        (struct hfc_http_request){.headers = "Authorization: Bearer abc\n\nX-Empty:\nX-Blank: \n"
                                             "Content-Type: a/b; c=d:e\nX-Last: no newline"},
        "GET", url);
    url[0] = 'x'; /* the strings were copied */
    run_until(&p.over);
    assert_string_equal(header_of(0, "Authorization"), "Bearer abc");
    assert_string_equal(header_of(0, "X-Empty"), "");
    assert_string_equal(header_of(0, "X-Blank"), "");
    assert_string_equal(header_of(0, "Content-Type"), "a/b; c=d:e");
    assert_string_equal(header_of(0, "X-Last"), "no newline");
}

static void malformed_headers_are_not_sent(void **state)
{
    static const char *const bad[] = {"no colon\n", ": no name\n", "A: b\r\nX: injected\n"};

    (void)state;
    for (unsigned i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        struct probe p = {0};
        probe_start_request(&p, (struct hfc_http_request){.headers = bad[i]}, "GET", peer.base);
        run_until(&p.over);
        assert_int_equal(p.end, HTTP_NOT_SENT);
        assert_non_null(strstr(p.msg, "header of the request"));
        assert_int_equal(p.heads, 0);
    }
    assert_int_equal(peer_count(&peer, &peer.n_connections), 0);
}

static void only_http_urls_without_a_password_are_taken(void **state)
{
    char password[64];
    const char *const bad[] = {"ftp://127.0.0.1/", "file:///etc/passwd", "nonsense:", "", password};

    (void)state;
    (void)snprintf(password, sizeof(password), "http://me:secret@127.0.0.1:%d/", peer.port);
    for (unsigned i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        struct probe p = {0};
        probe_start_request(&p, (struct hfc_http_request){0}, "GET", bad[i]);
        run_until(&p.over);
        assert_int_equal(p.end, HTTP_NOT_SENT);
        assert_int_equal(p.status, 0);
        assert_null(strstr(p.msg, "secret"));
    }
    assert_int_equal(peer_count(&peer, &peer.n_connections), 0);
}

/* ---- answers ---- */

static void an_answer_is_collected(void **state)
{
    struct probe p = {.want_header = "etag"};

    (void)state;
    peer_reply(&peer, 404, "ETag: \t \"x y\" \t\r\n", "hello");
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.status, 404);
    assert_string_equal(p.header, "\"x y\"");
    assert_string_equal(p.body, "hello");
    assert_int_equal(p.bytes, 5);
    assert_int_equal(p.heads, 1);
    assert_int_equal(p.datas, 0);
}

static void a_body_goes_to_data_if_head_says_so(void **state)
{
    struct probe p = {.to_data = true};

    (void)state;
    peer_script(&peer, (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
                                                     "0123456789",
                                            .piece = 3});
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "0123456789");
    assert_int_equal(p.bytes, 10);
    assert_true(p.datas >= 1);
}

static void head_is_called_without_a_body_too(void **state)
{
    struct probe p = {.to_data = true};

    (void)state;
    probe_run(&p, "GET", "/");
    assert_int_equal(p.heads, 1);
    assert_int_equal(p.datas, 0);
    assert_int_equal(p.end, HTTP_OK);
}

static void done_only(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                      const struct hfc_error *e)
{
    (void)e;
    assert_int_equal(end, HTTP_OK);
    assert_string_equal(hfc_response_body(r)->data, "hello");
    *(bool *)ctx = true;
}

static void without_head_the_body_is_collected(void **state)
{
    bool over = false;

    (void)state;
    peer_reply(&peer, 200, "", "hello");
    struct hfc_http_request r = {
        .method = "GET", .url = peer.base, .done = done_only, .ctx = &over};
    assert_non_null(hfc_http_start(http, &r));
    run_until(&over);
}

static void expect_header(const char *head, const char *name, const char *value)
{
    struct probe p = {.want_header = name};
    char text[512];

    (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n", head);
    peer_say(&peer, text, PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.header, value);
}

static void header_values_are_found_trimmed(void **state)
{
    (void)state;
    expect_header("X-AmZ-Meta-A:b\r\n", "x-amz-meta-a", "b");
    expect_header("A: 1\r\nB: 2\r\na:   3  \r\n", "a", "3");
    expect_header("A:\r\n", "a", "");
    expect_header("A: b\r\n", "b", "(none)");
    expect_header("A: b\r\n", "", "(none)");
    expect_header("A: b: c:d\r\n", "a", "b: c:d");
    expect_header("A : b\r\n", "a", "b");
    expect_header("A: first\r\n  \t second \r\nB: c\r\n", "a", "first second");
    expect_header("A: first\r\n second\r\nB: c\r\n", "b", "c");
}

static void heads_before_the_answer_are_skipped(void **state)
{
    struct probe p = {.want_header = "link"};

    (void)state;
    peer_say(&peer,
             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
             "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
             PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.status, 201);
    assert_int_equal(p.heads, 1);
    assert_string_equal(p.header, "(none)");
    assert_string_equal(p.body, "ok");
}

static char *repeated(const char *first, const char *line, size_t size, const char *last)
{
    size_t n = strlen(line), count = size / n;
    char *text = malloc(strlen(first) + n * count + strlen(last) + 1), *at = text;

    assert_non_null(text);
    at = stpcpy(at, first);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, line);
    (void)stpcpy(at, last);
    return text;
}

static void expect_too_long(char *answer)
{
    struct probe p = {0};

    peer_say(&peer, answer, PEER_HANG);
    free(answer);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_non_null(strstr(p.msg, "longer than 32 KiB"));
}

static void heads_have_a_limit(void **state)
{
    (void)state;
    hfc_autofree char *value = repeated("", "v", 33000, "");
    expect_too_long(repeated("HTTP/1.1 200 OK\r\n", "A: b\r\n", 33000, "\r\n"));
    expect_too_long(repeated("HTTP/1.1 200 OK\r\nA: ", value, 33000, "\r\n\r\n"));
    expect_too_long(repeated("", "HTTP/1.1 103 Hints\r\n\r\n", 33000, ""));
}

static void a_long_head_below_the_limit_is_read(void **state)
{
    struct probe p = {.want_header = "z"};

    (void)state;
    hfc_autofree char *answer =
        repeated("HTTP/1.1 200 OK\r\n", "A:\r\n", 32000, "Z: last\r\nContent-Length: 0\r\n\r\n");
    peer_say(&peer, answer, PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.header, "last");
}

static void collected_bodies_have_a_limit(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct probe p = {0};
        hfc_autofree char *body = repeated(more ? "+" : "", "x", HFC_HTTP_COLLECT_MAX, "");
        peer_reply(&peer, 200, "", body);
        probe_run(&p, "GET", "/");
        assert_int_equal(p.end, more ? HTTP_BROKEN : HTTP_OK);
        if (more)
            assert_non_null(strstr(p.msg, "too long"));
        else
            assert_string_equal(p.body, body);
    }
}

static void chunks_are_joined_and_trailers_are_no_headers(void **state)
{
    struct probe p = {.want_header = "x-trailer"};

    (void)state;
    peer_say(&peer,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n",
             PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "abcde");
    assert_string_equal(p.header, "(none)");
}

static void nothing_is_decoded(void **state)
{
    struct probe p = {.want_header = "content-encoding"};

    (void)state;
    peer_reply(&peer, 200, "Content-Encoding: gzip\r\n", "not gzip at all");
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "not gzip at all");
    assert_string_equal(p.header, "gzip");
}

static void no_redirect_is_followed(void **state)
{
    struct probe p = {.want_header = "location"};

    (void)state;
    peer_reply(&peer, 302, "Location: /elsewhere\r\n", "");
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.status, 302);
    assert_string_equal(p.header, "/elsewhere");
    assert_int_equal(peer_count(&peer, &peer.n_requests), 1);
}

/* The connection stays usable, which shows that the end was found. */
static void answers_without_a_body_end_with_their_head(void **state)
{
    static const struct {
        const char *method, *answer;
    } cases[] = {
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"},
        {"HEAD", "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"GET", "HTTP/1.1 204 None\r\n\r\n"},
        {"DELETE", "HTTP/1.1 204 None\r\n\r\n"},
        {"GET", "HTTP/1.1 304 Same\r\nContent-Length: 1234\r\n\r\n"},
    };

    (void)state;
    for (unsigned i = 0; i < HFC_ARRAY_LEN(cases); i++) {
        struct probe p = {0};
        peer_say(&peer, cases[i].answer, PEER_KEEP);
        probe_run(&p, cases[i].method, "/");
        assert_int_equal(p.end, HTTP_OK);
        assert_int_equal(p.heads, 1);
        assert_int_equal(p.bytes, 0);
    }
    assert_int_equal(peer_count(&peer, &peer.n_connections), 1);
}

static void the_length_of_a_head_answer_is_told(void **state)
{
    struct probe p = {.want_header = "content-length"};

    (void)state;
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 123456789012\r\n\r\n", PEER_KEEP);
    probe_run(&p, "HEAD", "/");
    assert_string_equal(p.header, "123456789012");
}

static void a_body_may_end_with_the_connection(void **state)
{
    struct probe p = {0};

    (void)state;
    peer_say(&peer, "HTTP/1.1 200 OK\r\n\r\nall there is", PEER_FIN);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "all there is");
}

/* ---- ends ---- */

static void expect_broken(const char *answer, enum peer_then then, int status, uint64_t bytes)
{
    struct probe p = {0};
    char origin[64];

    peer_script(&peer, (struct peer_answer){.bytes = answer, .then = then});
    probe_run(&p, "GET", "/secret/path?signature=secret");
    if (p.end != HTTP_BROKEN)
        fail_msg("end %d for \"%s\" (%s)", p.end, answer, p.msg);
    assert_int_equal(p.status, status);
    assert_int_equal(p.bytes, bytes);
    assert_int_equal(p.heads, status != 0);
    (void)snprintf(origin, sizeof(origin), "127.0.0.1:%d: ", peer.port);
    assert_memory_equal(p.msg, origin, strlen(origin));
    assert_true(strlen(p.msg) > strlen(origin));
    assert_null(strstr(p.msg, "secret"));
}

static void an_answer_that_is_cut_is_broken(void **state)
{
    static const char length[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
                      chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    char text[256];

    (void)state;
    expect_broken("", PEER_FIN, 0, 0);
    expect_broken("", PEER_RST, 0, 0);
    expect_broken("HTT", PEER_FIN, 0, 0);
    expect_broken(length, PEER_FIN, 200, 0);
    expect_broken(chunked, PEER_FIN, 200, 0);
    (void)snprintf(text, sizeof(text), "%s12345", length);
    expect_broken(text, PEER_FIN, 200, 5);
    (void)snprintf(text, sizeof(text), "%s3\r\nabc\r\n4\r\nde", chunked);
    expect_broken(text, PEER_FIN, 200, 5);
}

/* What had come before a reset may be lost or not: only that it is no success counts. */
static void a_reset_in_the_body_is_broken(void **state)
{
    struct probe p = {.to_data = true};

    (void)state;
    peer_script(&peer, (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
                                                     "12345",
                                            .pause_at = 44,
                                            .then = PEER_RST});
    probe_start(&p, "GET", "/");
    run_until_peer(&peer.waiting, 1);
    peer_release(&peer);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_true(p.bytes <= 5);
}

static void what_is_no_http_is_broken(void **state)
{
    (void)state;
    expect_broken("SSH-2.0-OpenSSH_9.2\r\n", PEER_FIN, 0, 0);
    expect_broken("<html>hello</html>\r\n\r\n", PEER_FIN, 0, 0);
    expect_broken("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", PEER_FIN, 0, 0);
    expect_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", PEER_FIN, 200, 0);
}

static void a_change_of_protocol_is_broken(void **state)
{
    (void)state;
    for (int body = 0; body < 2; body++) {
        struct probe p = {0};
        peer_say(&peer,
                 body ? "HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\nbytes"
                      : "HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n",
                 PEER_FIN);
        probe_run(&p, "GET", "/");
        assert_int_equal(p.end, HTTP_BROKEN);
        assert_int_equal(p.heads, 0);
        assert_non_null(strstr(p.msg, "changes the protocol"));
    }
}

static void messages_have_no_control_characters(void **state)
{
    struct probe p = {0};

    (void)state;
    peer_say(&peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[31mred\r\n",
             PEER_FIN);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_null(strchr(p.msg, '\x1b'));
    assert_null(strchr(p.msg, '\n'));
}

static int closed_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    hfc_autoclose int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    return ntohs(a.sin_port);
}

static void a_refused_connection_means_not_sent(void **state)
{
    struct probe p = {0};
    char url[64];

    (void)state;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/?key=secret", closed_port());
    probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_NOT_SENT);
    assert_int_equal(p.status, 0);
    assert_int_equal(p.heads, 0);
    assert_int_equal(p.errnum, ECONNREFUSED);
    assert_null(strstr(p.msg, "secret"));
}

/* A listener whose queue is full does not answer at all. */
static void a_connection_that_does_not_come_is_given_up(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    hfc_autoclose int listener = socket(AF_INET, SOCK_STREAM, 0);
    int fill[8];
    struct probe p = {0};
    char url[64];

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    for (unsigned i = 0; i < HFC_ARRAY_LEN(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&a, n);
    }
    new_client(
        &(struct hfc_http_config){.connections = 1, .connect_timeout = 200, .stall_timeout = 50});
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(a.sin_port));
    probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_NOT_SENT);
    assert_int_equal(p.errnum, ETIMEDOUT);
    assert_null(strstr(p.msg, "no byte"));
    for (unsigned i = 0; i < HFC_ARRAY_LEN(fill); i++)
        (void)close(fill[i]);
}

/* ---- proxies ---- */

static void use_proxy(const char *variable, int port)
{
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", port);
    assert_int_equal(setenv(variable, url, 1), 0);
}

static void the_environment_names_a_proxy(void **state)
{
    struct probe p = {0};

    (void)state;
    use_proxy("http_proxy", peer.port);
    probe_start_request(&p, (struct hfc_http_request){0}, "GET", "http://elsewhere.test/a?b");
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(peer_request(&peer, 0)->target, "http://elsewhere.test/a?b");
}

static void a_client_may_ignore_the_proxy(void **state)
{
    struct probe p = {0};

    (void)state;
    use_proxy("http_proxy", closed_port());
    use_proxy("all_proxy", closed_port());
    new_client(&(struct hfc_http_config){.connections = 1, .no_proxy = true});
    probe_run(&p, "GET", "/direct");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(peer_request(&peer, 0)->target, "/direct");
}

static void a_dead_proxy_means_not_sent(void **state)
{
    struct probe p = {0};

    (void)state;
    use_proxy("http_proxy", closed_port());
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_NOT_SENT);
    assert_int_equal(peer_count(&peer, &peer.n_connections), 0);
}

static void a_proxy_that_refuses_a_tunnel_means_not_sent(void **state)
{
    struct probe p = {0};

    (void)state;
    use_proxy("https_proxy", peer.port);
    peer_reply(&peer, 403, "X-Proxy: says\r\n", "no");
    probe_start_request(&p, (struct hfc_http_request){0}, "GET",
                        "https://elsewhere.test/?a=secret");
    run_until(&p.over);
    assert_string_equal(peer_request(&peer, 0)->method, "CONNECT");
    assert_int_equal(p.end, HTTP_NOT_SENT);
    assert_int_equal(p.status, 0);
    assert_int_equal(p.heads, 0);
    assert_null(strstr(p.msg, "secret"));
}

/* ---- TLS ---- */

static char tls_dir[64];
static pid_t tls_server;
static int tls_port;

/* `names` is what the certificate is for. */
static void make_certificate(const char *name, const char *names)
{
    char command[512];

    (void)snprintf(command, sizeof(command),
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                   "-subj /CN=test -addext subjectAltName=%s -keyout %s/%s.key -out %s/%s.pem "
                   "2>/dev/null",
                   names, tls_dir, name, tls_dir, name);
    if (system(command) != 0) /* NOLINT(cert-env33-c) */
        fail_msg("openssl can't make a certificate");
}

/* The server says where it listens on a line of its own. */
static void start_tls_server(const char *name)
{
    char certificate[128], key[128], line[256];
    int out[2];

    (void)snprintf(certificate, sizeof(certificate), "%s/%s.pem", tls_dir, name);
    (void)snprintf(key, sizeof(key), "%s/%s.key", tls_dir, name);
    assert_int_equal(pipe(out), 0);
    tls_server = fork();
    if (tls_server == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        execlp("openssl", "openssl", "s_server", "-www", "-accept", "127.0.0.1:0", "-cert",
               certificate, "-key", key, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    FILE *f = fdopen(out[0], "r");
    tls_port = 0;
    while (tls_port == 0 && fgets(line, sizeof(line), f) != NULL)
        (void)sscanf(line, "ACCEPT 127.0.0.1:%d", &tls_port); /* NOLINT(cert-err34-c) */
    (void)fclose(f);
    assert_int_not_equal(tls_port, 0);
}

static int tls_setup(void **state)
{
    (void)snprintf(tls_dir, sizeof(tls_dir), "/tmp/hfc-test-http-XXXXXX");
    tls_server = 0;
    return mkdtemp(tls_dir) != NULL ? probe_setup(state) : -1;
}

static int tls_teardown(void **state)
{
    static const char *const files[] = {"good.pem", "good.key", "other.pem", "other.key", "none"};

    if (tls_server > 0) {
        (void)kill(tls_server, SIGKILL);
        (void)waitpid(tls_server, NULL, 0);
    }
    for (unsigned i = 0; i < HFC_ARRAY_LEN(files); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", tls_dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(tls_dir);
    return probe_teardown(state);
}

static void run_tls(struct probe *p, const char *bundle)
{
    char url[64], path[128];

    if (bundle != NULL)
        (void)snprintf(path, sizeof(path), "%s/%s.pem", tls_dir, bundle);
    new_client(&(struct hfc_http_config){.connections = 1, .ca_bundle = bundle ? path : NULL});
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", tls_port);
    probe_start_request(p, (struct hfc_http_request){0}, "GET", url);
    run_until(&p->over);
}

static void an_unknown_certificate_is_refused(void **state)
{
    struct probe p = {0};

    (void)state;
    make_certificate("good", "IP:127.0.0.1");
    start_tls_server("good");
    run_tls(&p, NULL);
    assert_int_equal(p.end, HTTP_TLS);
    assert_non_null(strstr(p.msg, "certificate"));
    assert_int_equal(p.heads, 0);
}

static void a_certificate_of_the_bundle_is_accepted(void **state)
{
    struct probe p = {0}, q = {0};

    (void)state;
    make_certificate("good", "IP:127.0.0.1");
    make_certificate("other", "IP:127.0.0.1");
    start_tls_server("good");
    run_tls(&p, "good");
    assert_string_equal(p.msg, "");
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.status, 200);
    run_tls(&q, "other");
    assert_int_equal(q.end, HTTP_TLS);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    struct probe p = {0};

    (void)state;
    make_certificate("other", "DNS:other.test");
    start_tls_server("other");
    run_tls(&p, "other");
    assert_int_equal(p.end, HTTP_TLS);
}

static void a_server_without_tls_is_refused(void **state)
{
    struct probe p = {0};

    (void)state;
    /* The peer would take a ClientHello for the beginning of a request's head, and wait for more.
     */
    hfc_autoclose int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    char url[64];
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", ntohs(a.sin_port));
    pid_t child = fork();
    if (child == 0) {
        static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
        int fd = accept(listener, NULL, NULL);
        (void)!write(fd, text, sizeof(text) - 1);
        char c;
        while (read(fd, &c, 1) > 0)
            ;
        _exit(0);
    }
    probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_TLS);
    (void)waitpid(child, NULL, 0);
}

/* A handshake that is cut is no refusal: to try again helps. */
static void a_cut_handshake_means_not_sent(void **state)
{
    static const enum peer_then ways[] = {PEER_FIN, PEER_RST};

    (void)state;
    for (unsigned i = 0; i < HFC_ARRAY_LEN(ways); i++) {
        static struct peer cutter;
        struct probe p = {0};
        char url[64];
        memset(&cutter, 0, sizeof(cutter));
        cutter.refuse = true;
        cutter.refuse_then = ways[i];
        peer_start(&cutter);
        (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", cutter.port);
        probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
        run_until(&p.over);
        assert_int_equal(p.end, HTTP_NOT_SENT);
        peer_stop(&cutter);
    }
}

/* An alert that the server has sent instead of its hello. */
static enum hfc_http_end end_after_alert(unsigned char alert)
{
    hfc_autoclose int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    struct probe p = {0};
    char url[64];

    assert_int_equal(bind(listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", ntohs(a.sin_port));
    pid_t child = fork();
    if (child == 0) {
        const unsigned char record[] = {0x15, 3, 3, 0, 2, 2, alert};
        char c;
        int fd = accept(listener, NULL, NULL);
        (void)!write(fd, record, sizeof(record));
        while (read(fd, &c, 1) > 0)
            ;
        _exit(0);
    }
    probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
    run_until(&p.over);
    (void)waitpid(child, NULL, 0);
    return p.end;
}

static void alerts_that_pass_are_no_refusal(void **state)
{
    enum { HANDSHAKE_FAILURE = 40, PROTOCOL_VERSION = 70, INTERNAL_ERROR = 80, USER_CANCELED = 90 };

    (void)state;
    assert_int_equal(end_after_alert(INTERNAL_ERROR), HTTP_NOT_SENT);
    assert_int_equal(end_after_alert(USER_CANCELED), HTTP_NOT_SENT);
    assert_int_equal(end_after_alert(HANDSHAKE_FAILURE), HTTP_TLS);
    assert_int_equal(end_after_alert(PROTOCOL_VERSION), HTTP_TLS);
}

static void a_bundle_that_cannot_be_read_is_an_error_at_once(void **state)
{
    (void)state;
    struct hfc_http *none = hfc_http_new(
        loop, &(struct hfc_http_config){.connections = 1, .ca_bundle = "/no/such/bundle"}, &err);
    assert_null(none);
    assert_int_equal(err.errnum, ENOENT);
    assert_non_null(strstr(err.msg, "/no/such/bundle"));
}

static void a_bundle_that_vanished_is_a_refusal(void **state)
{
    struct probe p = {0};
    char path[128], url[64];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/none", tls_dir);
    int fd = creat(path, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    new_client(&(struct hfc_http_config){.connections = 1, .ca_bundle = path});
    assert_int_equal(unlink(path), 0);
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", peer.port);
    probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_TLS);
}

/* ---- memory ---- */

/* The client's side of connections to the peer, found from outside. */
static void see_connections(void (*see)(int fd, void *ctx), void *ctx)
{
    hfc_autoclosedir DIR *d = opendir("/proc/self/fd");
    struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        struct sockaddr_in a;
        socklen_t n = sizeof(a);
        int fd = (int)strtol(e->d_name, NULL, 10);
        if (getpeername(fd, (struct sockaddr *)&a, &n) == 0 && a.sin_family == AF_INET &&
            ntohs(a.sin_port) == peer.port)
            see(fd, ctx);
    }
}

static void see_buffers(int fd, void *ctx)
{
    int *sizes = ctx;
    socklen_t n = sizeof(int);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &sizes[0], &n), 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sizes[1], &n), 0);
}

static void socket_buffers_are_as_configured(void **state)
{
    struct probe p = {0};
    int sizes[2] = {0};

    (void)state;
    new_client(
        &(struct hfc_http_config){.connections = 1, .receive_buffer = 30000, .send_buffer = 20000});
    probe_run(&p, "GET", "/");
    see_connections(see_buffers, sizes);
    assert_int_equal(sizes[0], 60000);
    assert_int_equal(sizes[1], 40000);
}

static void a_connections_memory_follows_its_configuration(void **state)
{
    const size_t fixed = 96 * 1024;

    (void)state;
    assert_int_equal(hfc_http_connection_memory(&(struct hfc_http_config){
                         .receive_buffer = 1000, .send_buffer = 100, .transfer_buffer = 10}),
                     2 * 1000 + 2 * 100 + 2 * 10 + fixed);
    assert_int_equal(hfc_http_connection_memory(&(struct hfc_http_config){0}),
                     (6 << 20) + (4 << 20) + 2 * 65536 + fixed);
}

#ifndef HFC_SANITIZED /* their shadow memory needs address space as well */
static void a_client_without_memory_is_none(void **state)
{
    struct rlimit limit, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    low = (struct rlimit){.rlim_cur = 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    struct hfc_http *none =
        hfc_http_new(loop, &(struct hfc_http_config){.connections = UINT_MAX}, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_null(none);
    assert_int_equal(err.errnum, ENOMEM);
}
#endif

static void credentials_are_wiped(void **state)
{
    struct probe p = {0}, waits = {0};

    (void)state;
    wiped_text = "Bearer very-secret";
    wiped = 0;
    new_client(&(struct hfc_http_config){.connections = 1});
    struct hfc_http_request r = {.headers = "Authorization: Bearer very-secret\n"};
    probe_start_request(&p, r, "GET", peer.base);
    probe_start_request(&waits, r, "GET", peer.base);
    hfc_http_cancel(waits.x);
    assert_int_equal(wiped, 1);
    run_until(&p.over);
    assert_string_equal(header_of(0, "Authorization"), "Bearer very-secret");
    assert_int_equal(wiped, 2);
}

/* curl's memory, of which each piece in turn can't be had. */
static long fail_at, allocations;

static bool has_memory(void)
{
    return ++allocations != fail_at;
}

static void *count_malloc(size_t n)
{
    return has_memory() ? malloc(n) : NULL;
}

static void *count_realloc(void *p, size_t n)
{
    return has_memory() ? realloc(p, n) : NULL;
}

static void *count_calloc(size_t n, size_t size)
{
    return has_memory() ? calloc(n, size) : NULL;
}

static char *count_strdup(const char *s)
{
    return has_memory() ? strdup(s) : NULL;
}

static void exchange_without_memory(long n)
{
    struct probe p = {.upload = "body"};

    allocations = 0;
    fail_at = n;
    hfc_http_free(http);
    http = hfc_http_new(
        loop, &(struct hfc_http_config){.connections = 1, .user_agent = "a", .no_proxy = true},
        &err);
    assert_non_null(http);
    probe_start(&p, "PUT", "/");
    int rc = hfc_loop_run(loop, &p.over, &err);
    fail_at = 0;
    if (rc != 0) {
        assert_int_equal(err.errnum, ENOMEM);
        hfc_http_cancel(p.x);
    } else if (p.end != HTTP_OK) {
        assert_string_not_equal(p.msg, "");
    }
}

static void memory_that_curl_lacks_is_told_by_done(void **state)
{
    (void)state;
    for (long n = 1; n == 1 || allocations >= n - 1; n++) {
        exchange_without_memory(n);
        assert_true(n < 5000);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, probe_setup, probe_teardown)
#define TLS(name) cmocka_unit_test_setup_teardown(name, tls_setup, tls_teardown)
    const struct CMUnitTest tests[] = {
        T(a_get_sends_what_it_should_and_no_more),
        T(without_an_agent_none_is_sent),
        T(methods_without_a_body_say_so_where_they_have_to),
        T(headers_are_sent_as_given),
        T(malformed_headers_are_not_sent),
        T(only_http_urls_without_a_password_are_taken),
        T(an_answer_is_collected),
        T(a_body_goes_to_data_if_head_says_so),
        T(head_is_called_without_a_body_too),
        T(without_head_the_body_is_collected),
        T(header_values_are_found_trimmed),
        T(heads_before_the_answer_are_skipped),
        T(heads_have_a_limit),
        T(a_long_head_below_the_limit_is_read),
        T(collected_bodies_have_a_limit),
        T(chunks_are_joined_and_trailers_are_no_headers),
        T(nothing_is_decoded),
        T(no_redirect_is_followed),
        T(answers_without_a_body_end_with_their_head),
        T(the_length_of_a_head_answer_is_told),
        T(a_body_may_end_with_the_connection),
        T(an_answer_that_is_cut_is_broken),
        T(a_reset_in_the_body_is_broken),
        T(what_is_no_http_is_broken),
        T(a_change_of_protocol_is_broken),
        T(messages_have_no_control_characters),
        T(a_refused_connection_means_not_sent),
        T(a_connection_that_does_not_come_is_given_up),
        T(the_environment_names_a_proxy),
        T(a_client_may_ignore_the_proxy),
        T(a_dead_proxy_means_not_sent),
        T(a_proxy_that_refuses_a_tunnel_means_not_sent),
        TLS(an_unknown_certificate_is_refused),
        TLS(a_certificate_of_the_bundle_is_accepted),
        TLS(a_certificate_for_another_name_is_refused),
        TLS(a_server_without_tls_is_refused),
        TLS(a_cut_handshake_means_not_sent),
        T(alerts_that_pass_are_no_refusal),
        T(a_bundle_that_cannot_be_read_is_an_error_at_once),
        TLS(a_bundle_that_vanished_is_a_refusal),
        T(socket_buffers_are_as_configured),
        T(a_connections_memory_follows_its_configuration),
#ifndef HFC_SANITIZED
        T(a_client_without_memory_is_none),
#endif
        T(credentials_are_wiped),
        T(memory_that_curl_lacks_is_told_by_done),
    };

    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, count_malloc, free, count_realloc, count_strdup,
                             count_calloc) != CURLE_OK)
        return 1;
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
