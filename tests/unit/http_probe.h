/* http_probe.h: a loop, a client, a peer, and exchanges that note what happens to them: for tests
 * of HTTP. A test program includes it once.
 */
#ifndef HTTP_PROBE_H
#define HTTP_PROBE_H

#include <setjmp.h>

#include <cmocka.h>

#include "http.h"
#include "http_peer.h"

struct probe {
    struct hfc_exchange *x;
    bool to_data; /* what head() returns */
    int pauses;   /* so many calls of data() or read() pause first */
    int pieces;   /* after so many pieces of the body `then` happens; 0: never */
    enum hfc_flow then;
    size_t read_max;   /* bytes a call of read(), if not 0 */
    ssize_t read_ends; /* what read() returns at `read_end_at` */
    uint64_t read_end_at;
    const char *upload;
    void (*in_data)(struct probe *p); /* called by data(), read() or head(), before all else */
    void (*in_done)(struct probe *p);
    /* What has happened. */
    int heads, datas, reads, rewinds, dones, order;
    bool paused, over, resent;
    enum hfc_http_end end;
    int status;
    char header[256], msg[HFC_ERROR_MAX];
    int errnum;
    uint64_t bytes, next_offset;
    size_t body_size;
    char *body, **slot;
    const char *want_header; /* which one `header` gets */
};

static struct peer peer;
static struct hfc_loop *loop;
static struct hfc_http *http;
static struct hfc_error err;
static int probe_order;
static char *probe_bodies[8192]; /* freed after the test */
static size_t probe_n_bodies;

static char *probe_resize(struct probe *p, size_t n)
{
    if (p->slot == NULL) {
        assert_true(probe_n_bodies < sizeof(probe_bodies) / sizeof(probe_bodies[0]));
        p->slot = &probe_bodies[probe_n_bodies++];
    }
    *p->slot = realloc(*p->slot, n);
    assert_non_null(*p->slot);
    return *p->slot;
}

static bool probe_head(void *ctx, const struct hfc_response *r)
{
    struct probe *p = ctx;

    p->heads++;
    p->status = hfc_response_status(r);
    assert_int_equal(p->datas + p->dones, 0);
    if (p->in_data != NULL)
        p->in_data(p);
    return p->to_data;
}

static enum hfc_flow probe_data(void *ctx, const void *bytes, size_t n)
{
    struct probe *p = ctx;

    p->datas++;
    assert_int_equal(p->heads, 1);
    assert_int_equal(p->dones, 0);
    if (p->in_data != NULL)
        p->in_data(p);
    if (p->pauses > 0) {
        p->pauses--;
        p->paused = true;
        return HFC_FLOW_PAUSE;
    }
    if (p->pieces > 0 && --p->pieces == 0 && p->then != HFC_FLOW_ON) {
        p->paused = true;
        return p->then;
    }
    p->body = probe_resize(p, p->body_size + n + 1);
    memcpy(p->body + p->body_size, bytes, n);
    p->body_size += n;
    p->body[p->body_size] = '\0';
    return HFC_FLOW_ON;
}

static ssize_t probe_read(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct probe *p = ctx;

    p->reads++;
    p->rewinds += offset < p->next_offset;
    if (p->in_data != NULL)
        p->in_data(p);
    if (p->pauses > 0) {
        p->pauses--;
        p->paused = true;
        return HFC_READ_PAUSE;
    }
    if (p->read_ends != 0 && offset >= p->read_end_at) {
        p->paused = true;
        return p->read_ends;
    }
    if (p->read_max > 0 && n > p->read_max)
        n = p->read_max;
    memcpy(to, p->upload + offset, n);
    p->next_offset = offset + n;
    return (ssize_t)n;
}

static void probe_done(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                       const struct hfc_error *error)
{
    struct probe *p = ctx;

    p->dones++;
    p->order = ++probe_order;
    p->end = end;
    p->status = hfc_response_status(r);
    p->bytes = hfc_response_bytes(r);
    p->resent = hfc_response_resent(r);
    const char *value = p->want_header ? hfc_response_header(r, p->want_header) : NULL;
    (void)snprintf(p->header, sizeof(p->header), "%s", value ? value : "(none)");
    assert_int_equal(error == NULL, end == HTTP_OK);
    (void)snprintf(p->msg, sizeof(p->msg), "%s", error ? error->msg : "");
    p->errnum = error ? error->errnum : 0;
    const struct hfc_buf *body = hfc_response_body(r);
    assert_int_equal(body->data[body->len], '\0');
    if (!p->to_data) {
        p->body = probe_resize(p, body->len + 1);
        memcpy(p->body, body->data, body->len + 1);
        p->body_size = body->len;
    }
    if (p->in_done != NULL)
        p->in_done(p);
    p->over = true;
}

static void probe_start_request(struct probe *p, struct hfc_http_request r, const char *method,
                                const char *url)
{
    r.method = method;
    r.url = url;
    r.head = probe_head;
    r.data = probe_data;
    r.done = probe_done;
    r.ctx = p;
    if (p->upload != NULL) {
        r.read = probe_read;
        r.body_size = strlen(p->upload);
    }
    p->x = hfc_http_start(http, &r);
    assert_int_equal(p->dones, 0);
}

static void probe_start(struct probe *p, const char *method, const char *path)
{
    char url[512];

    (void)snprintf(url, sizeof(url), "%s%s", peer.base, path);
    probe_start_request(p, (struct hfc_http_request){0}, method, url);
}

static void run_until(const bool *until)
{
    if (hfc_loop_run(loop, until, &err) != 0)
        fail_msg("loop: %s", err.msg);
}

static inline void probe_run(struct probe *p, const char *method, const char *path)
{
    probe_start(p, method, path);
    run_until(&p->over);
    assert_int_equal(p->dones, 1);
}

/* Lets the loop turn until the peer's counter has that value. */
static struct {
    const unsigned *counter;
    unsigned value;
    bool reached;
} awaited;

static void on_peer_event(void *ctx)
{
    uint64_t n;

    (void)ctx;
    (void)!read(peer.events, &n, sizeof(n));
    awaited.reached = peer_count(&peer, awaited.counter) >= awaited.value;
}

static inline void run_until_peer(const unsigned *counter, unsigned value)
{
    struct hfc_watch watch = {0};

    awaited.counter = counter;
    awaited.value = value;
    awaited.reached = peer_count(&peer, counter) >= value;
    hfc_watch_start(loop, &watch, peer.events, on_peer_event, NULL);
    run_until(&awaited.reached);
    hfc_watch_stop(&watch);
}

/* Lets the loop turn some more: whatever is possible without the peer happens. */
static void set_true(void *flag)
{
    *(bool *)flag = true;
}

static inline void run_turns(int n)
{
    for (int i = 0; i < n; i++) {
        struct hfc_timer t = {0};
        bool over = false;
        hfc_timer_start(loop, &t, 0, set_true, &over);
        run_until(&over);
    }
}

static void new_client(const struct hfc_http_config *config)
{
    hfc_http_free(http);
    http = hfc_http_new(loop, config, &err);
    if (http == NULL)
        fail_msg("client: %s", err.msg);
}

static int probe_setup(void **state)
{
    (void)state;
    (void)alarm(120); /* a test that hangs has failed */
    static const char *const variables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                            "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        (void)unsetenv(variables[i]);
    memset(&peer, 0, sizeof(peer));
    peer_start(&peer);
    probe_order = 0;
    err = (struct hfc_error){0};
    loop = hfc_loop_new(&err);
    http = NULL;
    if (loop == NULL)
        return -1;
    new_client(&(struct hfc_http_config){.connections = 4, .user_agent = "probe/1"});
    return 0;
}

static int probe_teardown(void **state)
{
    (void)state;
    hfc_http_free(http);
    hfc_loop_free(loop);
    peer_stop(&peer);
    while (probe_n_bodies > 0) {
        free(probe_bodies[--probe_n_bodies]);
        probe_bodies[probe_n_bodies] = NULL;
    }
    return 0;
}

#endif
