/* test_http_flow.c: exchanges over time (lib/http.c, lib/http_curl.c): places and connections,
 * pauses, uploads, timeouts, cancelling. Requests and answers as such: test_http.c. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "http_probe.h"

#include "cleanup.h"

enum { MANY = 10, BIG = 1 << 20, BYTES_ACKED = 120 /* in Linux's struct tcp_info */ };

static char *big_text(void)
{
    static char text[BIG + 1];

    for (size_t i = 0; i < BIG; i++)
        text[i] = (char)('a' + i * 7 % 26);
    return text;
}

static struct hfc_http_stats stats(void)
{
    struct hfc_http_stats s;

    hfc_http_stats(http, &s);
    return s;
}

static void client_of(unsigned connections)
{
    new_client(&(struct hfc_http_config){.connections = connections});
}

/* The client's connections to the peer, seen from outside: how many have more than `input` bytes
 * waiting; -1: all that are open. */
static unsigned count_connections(int input)
{
    hfc_autoclosedir DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        struct sockaddr_storage a;
        socklen_t size = sizeof(a);
        int fd = (int)strtol(e->d_name, NULL, 10), ready = 0;
        if (getpeername(fd, (struct sockaddr *)&a, &size) == 0 && a.ss_family == AF_INET &&
            ntohs(((struct sockaddr_in *)&a)->sin_port) == peer.port &&
            ioctl(fd, FIONREAD, &ready) == 0 && ready > input)
            n++;
    }
    return n;
}

static unsigned open_connections(void)
{
    return count_connections(-1);
}

/* ---- places and connections ---- */

static void a_connection_is_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct probe p = {0};
        peer_reply(&peer, 200, "", "hello");
        probe_run(&p, "GET", "/");
        assert_int_equal(p.end, HTTP_OK);
    }
    assert_int_equal(peer_count(&peer, &peer.n_connections), 1);
    assert_int_equal(stats().exchanges, 5);
    assert_int_equal(stats().connects, 1);
    assert_int_equal(stats().bytes_in, 25);
}

static void no_more_exchanges_run_than_there_are_places(void **state)
{
    struct probe p[MANY] = {0};

    (void)state;
    client_of(3);
    for (int i = 0; i < MANY; i++) {
        peer_script(&peer,
                    (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                                         .wait = true});
        probe_start(&p[i], "GET", "/");
    }
    assert_int_equal(stats().active, 3);
    assert_int_equal(stats().waiting, MANY - 3);
    run_until_peer(&peer.waiting, 3);
    run_turns(5);
    assert_int_equal(peer_count(&peer, &peer.n_requests), 3);
    assert_int_equal(open_connections(), 3);
    for (int i = 0; i < MANY; i++)
        peer_release(&peer);
    for (int i = 0; i < MANY; i++)
        run_until(&p[i].over);
    assert_int_equal(stats().active, 0);
    assert_int_equal(stats().waiting, 0);
    assert_int_equal(peer_count(&peer, &peer.n_connections), 3);
    assert_int_equal(peer_count(&peer, &peer.most_open), 3);
    assert_int_equal(stats().connects, 3);
}

static void requests_wait_in_line_in_order(void **state)
{
    struct probe p[MANY] = {0};
    char path[16];

    (void)state;
    client_of(1);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        probe_start(&p[i], "GET", path);
    }
    run_until(&p[MANY - 1].over);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i);
        assert_string_equal(peer_request(&peer, (unsigned)i)->target, path);
        assert_int_equal(p[i].order, i + 1);
    }
}

/* Two hosts by name, one by address: idle connections to one make room for the other. */
static void idle_connections_stay_within_the_limit(void **state)
{
    char url[64];

    (void)state;
    client_of(1);
    for (int i = 0; i < 6; i++) {
        struct probe p = {0};
        (void)snprintf(url, sizeof(url), "http://%s:%d/", i % 2 ? "localhost" : "127.0.0.1",
                       peer.port);
        probe_start_request(&p, (struct hfc_http_request){0}, "GET", url);
        run_until(&p.over);
        assert_int_equal(p.end, HTTP_OK);
        assert_int_equal(open_connections(), 1);
    }
    assert_int_equal(stats().connects, 6);
}

static void clients_of_a_loop_may_have_as_many_connections_as_all_together(void **state)
{
    struct probe p[4] = {0};
    struct hfc_http *first, *second;

    (void)state;
    client_of(2);
    first = http;
    http = NULL;
    client_of(2);
    second = http;
    for (int i = 0; i < 4; i++) {
        peer_script(&peer,
                    (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                                         .wait = true});
        http = i < 2 ? first : second;
        probe_start(&p[i], "GET", "/");
    }
    run_until_peer(&peer.waiting, 4);
    for (int i = 0; i < 4; i++)
        peer_release(&peer);
    for (int i = 0; i < 4; i++)
        run_until(&p[i].over);
    assert_int_equal(open_connections(), 4);
    hfc_http_free(first);
}

/* ---- pauses of the answer ---- */

static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

static void a_paused_body_comes_again_after_resume(void **state)
{
    struct probe p = {.to_data = true, .pauses = 3};

    (void)state;
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    for (int i = 1; i <= 3; i++) {
        p.paused = false;
        if (i > 1)
            hfc_http_resume(p.x);
        run_until(&p.paused);
        run_turns(3);
        assert_int_equal(p.datas, i);
        assert_false(p.over);
        assert_int_equal(stats().bytes_in, 0);
    }
    hfc_http_resume(p.x);
    assert_int_equal(p.datas, 3); /* not from within */
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "hello");
    assert_int_equal(p.bytes, 5);
}

/* More than all buffers between the peer and here hold. */
static void a_big_body_survives_many_pauses(void **state)
{
    struct probe p = {.to_data = true};
    int rounds = 0;

    (void)state;
    new_client(&(struct hfc_http_config){.connections = 1, .receive_buffer = 8192});
    peer_reply(&peer, 200, "", big_text());
    p.pauses = 1;
    probe_start(&p, "GET", "/");
    while (!p.over) {
        run_turns(1);
        if (!p.paused)
            continue;
        p.paused = false;
        hfc_http_resume(p.x);
        run_turns(2);
        p.pauses = 1;
        rounds++;
    }
    assert_true(rounds > 1);
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.body_size, BIG);
    assert_string_equal(p.body, big_text());
}

static void a_chunked_body_can_be_paused(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1};

    (void)state;
    peer_say(&peer,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
             PEER_FIN);
    probe_start(&p, "GET", "/");
    run_until(&p.paused);
    run_turns(3);
    assert_int_equal(p.datas, 1);
    hfc_http_resume(p.x);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "abcde");
}

static void resume_self(struct probe *p)
{
    hfc_http_resume(p->x);
}

static void an_exchange_may_resume_itself_before_it_pauses(void **state)
{
    struct probe p = {.to_data = true, .pauses = 4, .in_data = resume_self};

    (void)state;
    peer_say(&peer, hello, PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_string_equal(p.body, "hello");
    assert_int_equal(p.datas, 5);
}

static struct probe *other;

static void resume_other(struct probe *p)
{
    (void)p;
    hfc_http_resume(other->x);
}

static void an_exchange_may_resume_another_one(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1}, q = {.to_data = true, .in_data = resume_other};

    (void)state;
    other = &p;
    peer_say(&peer, hello, PEER_KEEP);
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    run_until(&p.paused);
    probe_start(&q, "GET", "/");
    run_until(&p.over);
    run_until(&q.over);
    assert_string_equal(p.body, "hello");
    assert_string_equal(q.body, "hello");
}

static void to_resume_what_does_not_pause_is_nothing(void **state)
{
    struct probe p = {.to_data = true}, q = {0};

    (void)state;
    client_of(1);
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    probe_start(&q, "GET", "/");
    hfc_http_resume(p.x);
    hfc_http_resume(p.x);
    hfc_http_resume(q.x);
    run_until(&q.over);
    assert_string_equal(p.body, "hello");
    assert_int_equal(q.end, HTTP_OK);
}

static void a_stop_ends_the_exchange(void **state)
{
    struct probe p = {.to_data = true, .pieces = 1, .then = HFC_FLOW_STOP};

    (void)state;
    peer_say(&peer, hello, PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_STOPPED);
    assert_int_equal(p.errnum, ECANCELED);
    assert_int_equal(p.status, 200);
    assert_int_equal(p.bytes, 0);
}

static void a_stop_after_a_pause_ends_the_exchange(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1, .pieces = 1, .then = HFC_FLOW_STOP};

    (void)state;
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    run_until(&p.paused);
    hfc_http_resume(p.x);
    run_until(&p.over);
    assert_int_equal(p.dones, 1);
    assert_int_equal(p.end, HTTP_STOPPED);
}

/* ---- uploads ---- */

static void expect_arrived(unsigned request, const char *text)
{
    const struct peer_request *r = peer_request(&peer, request);
    char value[32];

    assert_true(r->complete);
    assert_int_equal(r->body_size, strlen(text));
    assert_memory_equal(r->body, text, r->body_size);
    assert_int_equal(strtoull(peer_header(r, "Content-Length", value, sizeof(value)), NULL, 10),
                     r->body_size);
    assert_null(peer_header(r, "Expect", value, sizeof(value)));
    assert_null(peer_header(r, "Transfer-Encoding", value, sizeof(value)));
}

static void a_body_arrives_with_its_length(void **state)
{
    static const char *const methods[] = {"PUT", "POST", "PATCH"};

    (void)state;
    for (unsigned i = 0; i < HFC_ARRAY_LEN(methods); i++) {
        struct probe p = {.upload = "some bytes", .read_max = 4};
        peer_reply(&peer, 200, "", "hello");
        probe_run(&p, methods[i], "/");
        assert_int_equal(p.end, HTTP_OK);
        assert_int_equal(p.reads, 3);
        assert_string_equal(p.body, "hello");
        assert_string_equal(peer_request(&peer, i)->method, methods[i]);
        expect_arrived(i, "some bytes");
    }
    assert_int_equal(stats().bytes_out, 30);
    assert_int_equal(peer_count(&peer, &peer.n_connections), 1);
}

static void an_empty_body_is_a_body(void **state)
{
    struct probe p = {.upload = ""};

    (void)state;
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.reads, 0);
    expect_arrived(0, "");
}

static void a_big_body_arrives(void **state)
{
    struct probe p = {.upload = big_text()};

    (void)state;
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_OK);
    expect_arrived(0, big_text());
}

static void an_upload_can_be_paused(void **state)
{
    struct probe p = {.upload = "0123456789", .pauses = 2, .read_max = 3};

    (void)state;
    probe_start(&p, "PUT", "/");
    for (int i = 1; i <= 2; i++) {
        p.paused = false;
        if (i > 1)
            hfc_http_resume(p.x);
        run_until(&p.paused);
        run_turns(3);
        assert_int_equal(p.reads, i);
    }
    hfc_http_resume(p.x);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_OK);
    expect_arrived(0, "0123456789");
}

static void an_upload_may_resume_itself_before_it_pauses(void **state)
{
    struct probe p = {.upload = "0123456789", .pauses = 4, .in_data = resume_self};

    (void)state;
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.reads, 5);
    expect_arrived(0, "0123456789");
}

static void an_upload_stopped_by_its_caller_does_not_arrive(void **state)
{
    struct probe p = {
        .upload = "0123456789", .read_max = 5, .read_ends = HFC_READ_STOP, .read_end_at = 5};

    (void)state;
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_STOPPED);
    hfc_http_free(http);
    http = NULL;
    assert_false(peer_request(&peer, 0)->complete);
}

/* The peer takes the second request, body and all, and closes: for the client the connection might
 * have been dead all the time, so it sends everything again. */
static void a_body_is_sent_again_if_an_idle_connection_was_dead(void **state)
{
    struct probe p = {0}, q = {.upload = "0123456789"};

    (void)state;
    peer_reply(&peer, 200, "", "");
    peer_say(&peer, "", PEER_FIN);
    peer_reply(&peer, 201, "", "");
    probe_run(&p, "GET", "/");
    probe_run(&q, "PUT", "/");
    assert_int_equal(q.end, HTTP_OK);
    assert_int_equal(q.status, 201);
    assert_int_equal(q.rewinds, 1);
    assert_true(q.resent);
    assert_int_equal(peer_request(&peer, 1)->connection, 0);
    assert_int_equal(peer_request(&peer, 2)->connection, 1);
    expect_arrived(2, "0123456789");
    assert_int_equal(stats().connects, 2);
}

static void a_request_without_a_body_is_resent_as_well(void **state)
{
    struct probe p = {0}, q = {0};

    (void)state;
    peer_reply(&peer, 200, "", "");
    peer_say(&peer, "", PEER_FIN);
    peer_reply(&peer, 204, "", "");
    probe_run(&p, "GET", "/");
    assert_false(p.resent);
    probe_run(&q, "DELETE", "/");
    assert_int_equal(q.status, 204);
    assert_true(q.resent);
}

/* On a connection of its own there is no excuse. */
static void a_new_connection_that_dies_is_broken(void **state)
{
    struct probe p = {.upload = "0123456789"};

    (void)state;
    peer_say(&peer, "", PEER_FIN);
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_int_equal(p.rewinds, 0);
    assert_int_equal(peer_count(&peer, &peer.n_requests), 1);
}

static void a_connection_closed_while_idle_is_not_used(void **state)
{
    struct probe p = {0}, q = {.upload = "body"};

    (void)state;
    peer_say(&peer, hello, PEER_FIN);
    probe_run(&p, "GET", "/");
    run_until_peer(&peer.n_connections, 1);
    while (peer_count(&peer, &peer.open) > 0)
        run_turns(1);
    probe_run(&q, "PUT", "/");
    assert_int_equal(q.end, HTTP_OK);
    assert_int_equal(q.rewinds, 0);
    assert_false(q.resent);
    assert_int_equal(peer_count(&peer, &peer.n_requests), 2);
}

static void refuse_early(bool pause)
{
    struct probe p = {.upload = big_text(), .read_max = 1000, .read_end_at = 10000};

    p.read_ends = pause ? HFC_READ_PAUSE : 0;
    peer_script(&peer,
                (struct peer_answer){.bytes = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
                                     .early = true,
                                     .take = 10000,
                                     .wait = pause,
                                     .then = PEER_HANG});
    probe_start(&p, "PUT", "/");
    if (pause) {
        run_until(&p.paused);
        run_until_peer(&peer.waiting, 1);
        peer_release(&peer);
    }
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(p.status, 403);
    assert_string_equal(p.body, "no");
}

static void an_early_refusal_ends_an_upload(void **state)
{
    (void)state;
    refuse_early(false);
}

/* curl by itself would wait for ever. */
static void an_early_refusal_ends_an_upload_that_pauses(void **state)
{
    (void)state;
    refuse_early(true);
}

static void an_upload_whose_connection_is_reset_is_broken(void **state)
{
    struct probe p = {.upload = big_text()};

    (void)state;
    peer_script(&peer, (struct peer_answer){.early = true, .take = 1000, .then = PEER_RST});
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_int_equal(p.status, 0);
}

/* ---- timeouts ---- */

static void impatient_client(void)
{
    new_client(&(struct hfc_http_config){.connections = 1, .stall_timeout = 1500});
}

static void a_silent_server_is_given_up(void **state)
{
    static const char *const answers[] = {"", "HTTP/1.1 200 OK\r\nContent-Le",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"};

    (void)state;
    impatient_client();
    for (unsigned i = 0; i < HFC_ARRAY_LEN(answers); i++) {
        struct probe p = {.to_data = true};
        peer_say(&peer, answers[i], PEER_HANG);
        probe_run(&p, "GET", "/");
        assert_int_equal(p.end, HTTP_BROKEN);
        assert_int_equal(p.errnum, ETIMEDOUT);
        assert_non_null(strstr(p.msg, "no byte came or went for 1.5 s"));
        assert_int_equal(p.bytes, i == 2 ? 3 : 0);
    }
    assert_int_equal(open_connections(), 0);
}

static void an_upload_that_nobody_takes_is_given_up(void **state)
{
    struct probe p = {.upload = big_text()};

    (void)state;
    peer_stop(&peer);
    memset(&peer, 0, sizeof(peer));
    peer.receive_buffer = 4096;
    peer_start(&peer);
    new_client(
        &(struct hfc_http_config){.connections = 1, .stall_timeout = 80, .send_buffer = 16384});
    peer_script(&peer, (struct peer_answer){.early = true, .take = 10, .then = PEER_HANG});
    probe_run(&p, "PUT", "/");
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_non_null(strstr(p.msg, "no byte came or went"));
}

static int64_t release_ms = 100;

static void release_some(void *ctx)
{
    struct hfc_timer *t = ctx;

    peer_release(&peer);
    hfc_timer_start(loop, t, release_ms, release_some, t);
}

/* Longer than the timeout in all, but never without a byte for so long. */
static void a_slow_answer_is_no_stall(void **state)
{
    struct probe p = {0};
    struct hfc_timer t = {0};
    hfc_autofree char *answer = peer_format(200, "", big_text() + BIG - 4000);

    (void)state;
    new_client(&(struct hfc_http_config){.connections = 1, .stall_timeout = 400});
    peer_script(&peer, (struct peer_answer){.bytes = answer, .piece = 400, .step = true});
    hfc_timer_start(loop, &t, 100, release_some, &t);
    probe_run(&p, "GET", "/");
    hfc_timer_stop(&t);
    assert_string_equal(p.msg, "");
    assert_int_equal(p.end, HTTP_OK);
}

/* curl has handed over everything at once; only the kernel knows that it goes on. */
static void a_slow_upload_is_no_stall(void **state)
{
    struct probe p = {.upload = big_text() + BIG - 60000};
    struct hfc_timer t = {0};

    (void)state;
    peer_stop(&peer);
    memset(&peer, 0, sizeof(peer));
    peer.receive_buffer = 4096;
    peer.body_step = 4096;
    peer_start(&peer);
    new_client(
        &(struct hfc_http_config){.connections = 1, .stall_timeout = 400, .send_buffer = 1 << 20});
    hfc_timer_start(loop, &t, 100, release_some, &t);
    probe_run(&p, "PUT", "/");
    hfc_timer_stop(&t);
    assert_string_equal(p.msg, "");
    assert_int_equal(p.end, HTTP_OK);
}

static const char lines[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    "A: 000000000000000\r\nA: 000000000000001\r\nA: 000000000000002\r\nA: 000000000000003\r\n"
    "A: 000000000000004\r\nA: 000000000000005\r\nA: 000000000000006\r\nA: 000000000000007\r\n"
    "A: 000000000000008\r\nA: 000000000000009\r\nA: 000000000000010\r\nA: 000000000000011\r\n"
    "\r\nhello";

/* The first piece is the whole head, or one line; 20 bytes each then. */
static void trickle(struct probe *p, const char *method, const char *answer, int64_t ms)
{
    struct hfc_timer t = {0};

    new_client(&(struct hfc_http_config){.connections = 1, .stall_timeout = 3 * ms});
    peer_script(&peer, (struct peer_answer){.bytes = answer, .piece = 20, .step = true});
    release_ms = ms;
    hfc_timer_start(loop, &t, ms, release_some, &t);
    probe_run(p, method, "/");
    hfc_timer_stop(&t);
    release_ms = 100;
}

static void an_answer_that_trickles_is_given_up(void **state)
{
    struct probe p = {.to_data = true}, q = {0};
    hfc_autofree char *answer = peer_format(200, "", big_text() + BIG - 600);

    (void)state;
    trickle(&p, "GET", answer, 100);
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_int_equal(p.errnum, ETIMEDOUT);
    assert_non_null(strstr(p.msg, "too slow: less than 1 kB/s for 0.3 s"));
    assert_true(p.datas > 0);
    trickle(&q, "GET", lines, 100);
    assert_int_equal(q.end, HTTP_BROKEN);
    assert_non_null(strstr(q.msg, "too slow"));
    assert_int_equal(q.heads, 0);
}

/* Blanks while a store puts an object together; but not for ever. */
static void an_answer_to_a_change_may_trickle(void **state)
{
    struct probe p = {0}, q = {0};
    hfc_autofree char *answer = peer_format(200, "", big_text() + BIG - 300);
    hfc_autofree char *endless = peer_format(200, "", big_text() + BIG - 4000);

    (void)state;
    trickle(&p, "POST", answer, 40);
    assert_string_equal(p.msg, "");
    assert_int_equal(p.end, HTTP_OK);
    trickle(&q, "POST", endless, 30);
    assert_int_equal(q.end, HTTP_BROKEN);
    assert_non_null(strstr(q.msg, "too slow"));
}

/* In place of the C library's: says how many bytes the other side has acknowledged. */
static bool acks;
static uint64_t acked;

int getsockopt(int fd, int level, int option, void *to, socklen_t *n)
{
    int rc = (int)syscall(SYS_getsockopt, fd, level, option, to, n);

    if (acks && level == IPPROTO_TCP && option == TCP_INFO) {
        acked += 100;
        memcpy((char *)to + BYTES_ACKED, &acked, sizeof(acked));
    }
    return rc;
}

/* Some bytes in each look, so that it never stalls. */
static void an_upload_that_trickles_is_given_up(void **state)
{
    struct probe p = {.upload = big_text()};

    (void)state;
    acks = true;
    acked = 0;
    new_client(
        &(struct hfc_http_config){.connections = 1, .stall_timeout = 300, .send_buffer = 16384});
    peer_script(&peer, (struct peer_answer){.early = true, .take = 10, .then = PEER_HANG});
    probe_run(&p, "PUT", "/");
    acks = false;
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_non_null(strstr(p.msg, "too slow"));
}

/* Silence before the answer is not slowness: the body has arrived. */
static void an_upload_may_wait_for_its_answer(void **state)
{
    struct probe p = {.upload = "body", .pauses = 1};
    struct hfc_timer t = {0};
    bool waited = false;

    (void)state;
    new_client(&(struct hfc_http_config){.connections = 1, .stall_timeout = 400});
    peer_script(&peer, (struct peer_answer){.bytes = hello, .wait = true});
    probe_start(&p, "PUT", "/");
    run_until(&p.paused);
    hfc_timer_start(loop, &t, 300, set_true, &waited);
    run_until(&waited);
    hfc_http_resume(p.x);
    release_ms = 300;
    hfc_timer_start(loop, &t, 300, release_some, &t);
    run_until(&p.over);
    hfc_timer_stop(&t);
    release_ms = 100;
    assert_string_equal(p.msg, "");
}

/* The rest comes late, but within the timeout after the pause. */
static void a_pause_is_not_slow(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1};
    struct hfc_timer t = {0};
    bool waited = false;

    (void)state;
    new_client(&(struct hfc_http_config){.connections = 1, .stall_timeout = 400});
    peer_script(&peer, (struct peer_answer){.bytes = hello, .pause_at = 41});
    probe_start(&p, "GET", "/");
    run_until(&p.paused);
    hfc_timer_start(loop, &t, 1100, set_true, &waited);
    run_until(&waited);
    hfc_http_resume(p.x);
    hfc_timer_start(loop, &t, 200, release_some, &t);
    run_until(&p.over);
    hfc_timer_stop(&t);
    assert_string_equal(p.msg, "");
    assert_int_equal(p.end, HTTP_OK);
}

static void a_pause_is_no_stall(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1}, q = {.upload = "body", .pauses = 1};
    struct hfc_timer t = {0};
    bool waited = false;

    (void)state;
    new_client(&(struct hfc_http_config){.connections = 2, .stall_timeout = 300});
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    run_until(&p.paused);
    probe_start(&q, "PUT", "/");
    run_until(&q.paused);
    hfc_timer_start(loop, &t, 800, set_true, &waited);
    run_until(&waited);
    assert_false(p.over);
    assert_false(q.over);
    hfc_http_resume(p.x);
    hfc_http_resume(q.x);
    run_until(&p.over);
    run_until(&q.over);
    assert_int_equal(p.end, HTTP_OK);
    assert_int_equal(q.end, HTTP_OK);
}

static void the_whole_exchange_may_have_a_timeout(void **state)
{
    struct probe p = {.to_data = true};

    (void)state;
    peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", PEER_HANG);
    probe_start_request(&p, (struct hfc_http_request){.total_timeout = 300}, "GET", peer.base);
    run_until(&p.over);
    assert_int_equal(p.end, HTTP_BROKEN);
    assert_int_equal(p.errnum, ETIMEDOUT);
}

/* ---- cancelling and freeing ---- */

static void what_waits_in_line_can_be_cancelled(void **state)
{
    struct probe p = {0}, q = {0}, r = {0};

    (void)state;
    client_of(1);
    probe_start(&p, "GET", "/p");
    probe_start(&q, "GET", "/q");
    probe_start(&r, "GET", "/r");
    hfc_http_cancel(q.x);
    assert_int_equal(stats().waiting, 1);
    run_until(&r.over);
    assert_int_equal(q.dones, 0);
    assert_string_equal(peer_request(&peer, 1)->target, "/r");
}

static void a_cancelled_exchange_makes_room_and_closes_its_connection(void **state)
{
    struct probe p = {0}, q = {0};

    (void)state;
    client_of(1);
    peer_say(&peer, "", PEER_HANG);
    probe_start(&p, "GET", "/p");
    probe_start(&q, "GET", "/q");
    run_until_peer(&peer.waiting, 1);
    hfc_http_cancel(p.x);
    run_until(&q.over);
    assert_int_equal(q.end, HTTP_OK);
    assert_int_equal(p.dones, 0);
    assert_int_equal(open_connections(), 1);
    assert_int_equal(peer_request(&peer, 1)->connection, 1);
}

static void cancel_self(struct probe *p)
{
    hfc_http_cancel(p->x);
    p->over = true;
}

static void cancel_other(struct probe *p)
{
    (void)p;
    hfc_http_cancel(other->x);
}

/* In head(), data() and read(); the second is one that pauses at the same time. */
static void an_exchange_may_cancel_itself(void **state)
{
    struct probe cases[] = {
        {.to_data = true, .in_data = cancel_self},
        {.to_data = true, .in_data = cancel_self, .pauses = 1},
        {.upload = "body", .in_data = cancel_self},
    };

    (void)state;
    client_of(1);
    for (unsigned i = 0; i < HFC_ARRAY_LEN(cases); i++) {
        struct probe after = {0};
        peer_reply(&peer, 200, "", i == 2 ? "" : "hello");
        probe_start(&cases[i], i == 2 ? "PUT" : "GET", "/");
        run_until(&cases[i].over);
        probe_run(&after, "GET", "/after");
        assert_int_equal(after.end, HTTP_OK);
        assert_int_equal(cases[i].dones, 0);
        assert_int_equal(cases[i].heads + cases[i].datas + cases[i].reads, 1);
    }
}

static void cancel_in_second_call(struct probe *p)
{
    if (p->datas == 1)
        cancel_self(p);
}

static void an_exchange_may_cancel_itself_in_its_data(void **state)
{
    struct probe p = {.to_data = true, .in_data = cancel_in_second_call}, after = {0};

    (void)state;
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    run_until(&p.over);
    probe_run(&after, "GET", "/");
    assert_int_equal(p.datas, 1);
    assert_int_equal(p.dones, 0);
}

/* curl calls data() when the exchange resumes, from another place than usual. */
static void cancel_after_pause(struct probe *p)
{
    if (p->datas == 2)
        cancel_self(p);
}

static void an_exchange_may_cancel_itself_when_it_goes_on(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1, .in_data = cancel_after_pause}, after = {0};

    (void)state;
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&p, "GET", "/");
    run_until(&p.paused);
    hfc_http_resume(p.x);
    run_until(&p.over);
    probe_run(&after, "GET", "/");
    assert_int_equal(p.datas, 2);
    assert_int_equal(p.dones, 0);
}

static void an_exchange_may_cancel_another_one(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1}, q = {.to_data = true, .in_data = cancel_other},
                 r = {.in_done = cancel_other}, s = {0};

    (void)state;
    other = &p;
    for (int i = 0; i < 2; i++) {
        peer_say(&peer, hello, PEER_KEEP);
        memset(&p, 0, sizeof(p));
        p.to_data = true;
        p.pauses = 1;
        probe_start(&p, "GET", "/");
        run_until(&p.paused);
        if (i == 0) {
            q.in_data = cancel_other;
            peer_reply(&peer, 200, "", "");
            probe_run(&q, "GET", "/"); /* cancels in head() */
        } else {
            probe_run(&r, "GET", "/"); /* cancels in done() */
        }
        run_turns(2);
        assert_int_equal(p.dones, 0);
        assert_int_equal(stats().active, 0);
    }
    probe_run(&s, "GET", "/");
    assert_int_equal(s.end, HTTP_OK);
}

static struct probe pair[2];

/* The other one's bytes have come as well, and may be handed over in the same breath. */
static void cancel_the_other(struct probe *p)
{
    struct probe *q = p == &pair[0] ? &pair[1] : &pair[0];

    if (p->over || (pair[0].to_data && p->datas == 0))
        return;
    q->over = true;
    hfc_http_cancel(q->x);
}

static void a_cancelled_exchange_hears_nothing_more(void **state)
{
    (void)state;
    for (int in_data = 0; in_data < 2; in_data++) {
        for (int i = 0; i < 2; i++) {
            pair[i] = (struct probe){.to_data = in_data, .in_data = cancel_the_other};
            peer_script(&peer, (struct peer_answer){.bytes = hello, .pause_at = in_data ? 38 : 1});
            probe_start(&pair[i], "GET", "/");
        }
        run_until_peer(&peer.waiting, 2);
        if (in_data)
            while (pair[0].heads + pair[1].heads < 2)
                run_turns(1);
        peer_release(&peer);
        peer_release(&peer);
        while (count_connections(1) < 2)
            (void)sched_yield();
        while (pair[0].dones + pair[1].dones == 0)
            run_turns(1);
        assert_int_equal(pair[0].dones + pair[1].dones, 1);
        assert_int_equal(pair[0].datas + pair[1].datas, in_data);
        assert_int_equal(stats().active, 0);
    }
}

static void to_cancel_in_done_is_too_late(void **state)
{
    struct probe p = {.in_done = cancel_self};

    (void)state;
    probe_run(&p, "GET", "/");
    assert_int_equal(p.end, HTTP_OK);
}

static struct probe next;

static void start_next(struct probe *p)
{
    (void)p;
    probe_start(&next, "GET", "/next");
}

static void the_end_of_one_may_start_the_next(void **state)
{
    struct probe p = {.in_done = start_next}, q = {.to_data = true, .in_data = start_next};

    (void)state;
    client_of(1);
    memset(&next, 0, sizeof(next));
    probe_run(&p, "GET", "/");
    run_until(&next.over);
    assert_int_equal(next.end, HTTP_OK);
    memset(&next, 0, sizeof(next));
    probe_run(&q, "GET", "/"); /* in head() */
    run_until(&next.over);
    assert_int_equal(next.end, HTTP_OK);
    assert_int_equal(peer_count(&peer, &peer.n_connections), 1);
}

static struct hfc_http *second;

static void make_second_client(struct probe *p)
{
    (void)p;
    if (second == NULL)
        second = hfc_http_new(loop, &(struct hfc_http_config){.connections = 2}, &err);
}

/* curl itself refuses to hear of it while it calls. */
static void a_client_made_by_data_has_all_its_places(void **state)
{
    struct probe p = {.to_data = true, .in_data = make_second_client}, q[3] = {0};

    (void)state;
    client_of(1);
    second = NULL;
    peer_say(&peer, hello, PEER_KEEP);
    probe_run(&p, "GET", "/");
    assert_non_null(second);
    struct hfc_http *first = http;
    for (int i = 0; i < 3; i++) {
        peer_script(&peer, (struct peer_answer){.bytes = hello, .wait = true});
        http = i == 0 ? first : second;
        probe_start(&q[i], "GET", "/");
    }
    http = first;
    run_until_peer(&peer.waiting, 3);
    for (int i = 0; i < 3; i++)
        peer_release(&peer);
    for (int i = 0; i < 3; i++)
        run_until(&q[i].over);
    hfc_http_free(second);
}

static void a_client_can_be_freed_with_requests_under_way(void **state)
{
    struct probe p[3] = {0};

    (void)state;
    client_of(2);
    peer_say(&peer, "", PEER_HANG);
    peer_say(&peer, "", PEER_HANG);
    for (int i = 0; i < 3; i++)
        probe_start(&p[i], "GET", "/");
    run_until_peer(&peer.waiting, 2);
    hfc_http_free(http);
    http = NULL;
    assert_int_equal(open_connections(), 0);
    run_turns(3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(p[i].dones, 0);
}

static void free_client(struct probe *p)
{
    hfc_http_free(http);
    http = NULL;
    p->over = true;
}

static void free_client_in_second_data(struct probe *p)
{
    if (p->datas == 2)
        free_client(p);
}

/* As soon as the loop returns nothing is left: the teardown frees it at once. */
static void free_client_from(struct probe *p, const char *method)
{
    struct probe waits = {0}, hangs = {.to_data = true, .pauses = 1};

    client_of(2);
    peer_say(&peer, hello, PEER_KEEP);
    peer_say(&peer, hello, PEER_KEEP);
    probe_start(&hangs, "GET", "/");
    run_until(&hangs.paused);
    probe_start(p, method, "/");
    probe_start(&waits, "GET", "/");
    if (p->pauses > 0) {
        run_until(&p->paused);
        hfc_http_resume(p->x);
    }
    run_until(&p->over);
    hfc_loop_free(loop);
    loop = hfc_loop_new(&err);
    assert_non_null(loop);
    assert_int_equal(waits.dones + hangs.dones, 0);
}

static void a_client_may_be_freed_by_head(void **state)
{
    struct probe p = {.to_data = true, .in_data = free_client};

    (void)state;
    free_client_from(&p, "GET");
    assert_int_equal(p.dones, 0);
}

static void a_client_may_be_freed_by_read(void **state)
{
    struct probe p = {.upload = "body", .in_data = free_client};

    (void)state;
    free_client_from(&p, "PUT");
    assert_int_equal(p.dones, 0);
}

static void a_client_may_be_freed_by_data_that_goes_on(void **state)
{
    struct probe p = {.to_data = true, .pauses = 1, .in_data = free_client_in_second_data};

    (void)state;
    free_client_from(&p, "GET");
    assert_int_equal(p.datas, 2);
    assert_int_equal(p.dones, 0);
}

static void a_client_may_be_freed_by_done(void **state)
{
    struct probe p = {.in_done = free_client};

    (void)state;
    free_client_from(&p, "GET");
    assert_int_equal(p.dones, 1);
}

static void a_client_may_be_freed_by_done_after_a_stall(void **state)
{
    struct probe p = {.in_done = free_client};

    (void)state;
    impatient_client();
    peer_say(&peer, "", PEER_HANG);
    probe_start(&p, "GET", "/");
    run_until(&p.over);
    hfc_loop_free(loop);
    loop = hfc_loop_new(&err);
    assert_int_equal(p.end, HTTP_BROKEN);
}

static void a_client_may_be_freed_by_done_of_a_bad_request(void **state)
{
    struct probe p = {.in_done = free_client};

    (void)state;
    probe_start_request(&p, (struct hfc_http_request){.headers = "bad"}, "GET", peer.base);
    run_until(&p.over);
    hfc_loop_free(loop);
    loop = hfc_loop_new(&err);
    assert_int_equal(p.end, HTTP_NOT_SENT);
}

static void freeing_no_client_is_fine(void **state)
{
    (void)state;
    hfc_http_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, probe_setup, probe_teardown)
    const struct CMUnitTest tests[] = {
        T(a_connection_is_used_again),
        T(no_more_exchanges_run_than_there_are_places),
        T(requests_wait_in_line_in_order),
        T(idle_connections_stay_within_the_limit),
        T(clients_of_a_loop_may_have_as_many_connections_as_all_together),
        T(a_paused_body_comes_again_after_resume),
        T(a_big_body_survives_many_pauses),
        T(a_chunked_body_can_be_paused),
        T(an_exchange_may_resume_itself_before_it_pauses),
        T(an_exchange_may_resume_another_one),
        T(to_resume_what_does_not_pause_is_nothing),
        T(a_stop_ends_the_exchange),
        T(a_stop_after_a_pause_ends_the_exchange),
        T(a_body_arrives_with_its_length),
        T(an_empty_body_is_a_body),
        T(a_big_body_arrives),
        T(an_upload_can_be_paused),
        T(an_upload_may_resume_itself_before_it_pauses),
        T(an_upload_stopped_by_its_caller_does_not_arrive),
        T(a_body_is_sent_again_if_an_idle_connection_was_dead),
        T(a_request_without_a_body_is_resent_as_well),
        T(a_new_connection_that_dies_is_broken),
        T(a_connection_closed_while_idle_is_not_used),
        T(an_early_refusal_ends_an_upload),
        T(an_early_refusal_ends_an_upload_that_pauses),
        T(an_upload_whose_connection_is_reset_is_broken),
        T(a_silent_server_is_given_up),
        T(an_upload_that_nobody_takes_is_given_up),
        T(a_slow_answer_is_no_stall),
        T(a_slow_upload_is_no_stall),
        T(an_answer_that_trickles_is_given_up),
        T(an_answer_to_a_change_may_trickle),
        T(an_upload_that_trickles_is_given_up),
        T(an_upload_may_wait_for_its_answer),
        T(a_pause_is_not_slow),
        T(a_pause_is_no_stall),
        T(the_whole_exchange_may_have_a_timeout),
        T(what_waits_in_line_can_be_cancelled),
        T(a_cancelled_exchange_makes_room_and_closes_its_connection),
        T(an_exchange_may_cancel_itself),
        T(an_exchange_may_cancel_itself_in_its_data),
        T(an_exchange_may_cancel_itself_when_it_goes_on),
        T(an_exchange_may_cancel_another_one),
        T(a_cancelled_exchange_hears_nothing_more),
        T(to_cancel_in_done_is_too_late),
        T(the_end_of_one_may_start_the_next),
        T(a_client_made_by_data_has_all_its_places),
        T(a_client_can_be_freed_with_requests_under_way),
        T(a_client_may_be_freed_by_head),
        T(a_client_may_be_freed_by_read),
        T(a_client_may_be_freed_by_data_that_goes_on),
        T(a_client_may_be_freed_by_done),
        T(a_client_may_be_freed_by_done_after_a_stall),
        T(a_client_may_be_freed_by_done_of_a_bad_request),
        T(freeing_no_client_is_fine),
    };

    return cmocka_run_group_tests_name("http_flow", tests, NULL, NULL);
}
