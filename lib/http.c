/* http.c: clients and the life of exchanges; see http.h. Owns the places of a client, its line, and
 * every exchange; http_curl.c speaks with curl.
 *
 * An exchange waits, is active on a place, ends. It leaves its list and place before done() is
 * called, so that done() may start the next one. curl must not be called by functions that it has
 * called: what is started, resumed, cancelled or freed there is only noted, and the client's `work`
 * timer does it as soon as curl has returned. So all functions of http.h may be called from all of
 * an exchange's functions, for itself as well.
 *
 * What may be a credential (URL, headers) is in one block of memory, wiped before it is freed.
 * curl's own copies are out of reach.
 */
#include "http.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "http_internal.h"

enum {
    /* What Linux lets a socket's buffers grow to by default (tcp_rmem, tcp_wmem). */
    KERNEL_RECEIVE_MAX = 6 * 1024 * 1024,
    KERNEL_SEND_MAX = 4 * 1024 * 1024,
    /* OpenSSL's state and records, curl's handle and connection: 76 KiB measured, and some more. */
    CONNECTION_OVERHEAD = 96 * 1024,
};

static void run_work(void *ctx);
static void fill_places(struct hfc_http *http);

size_t hfc_http_connection_memory(const struct hfc_http_config *config)
{
    size_t receive = config->receive_buffer > 0 ? 2 * config->receive_buffer : KERNEL_RECEIVE_MAX;
    size_t send = config->send_buffer > 0 ? 2 * config->send_buffer : KERNEL_SEND_MAX;
    size_t buffer = config->transfer_buffer > 0 ? config->transfer_buffer : HTTP_TRANSFER_BUFFER;

    return receive + send + 2 * buffer + CONNECTION_OVERHEAD;
}

static void fill_defaults(struct hfc_http *http)
{
    struct hfc_http_config *c = &http->config;

    if (c->transfer_buffer == 0)
        c->transfer_buffer = HTTP_TRANSFER_BUFFER;
    if (c->connect_timeout == 0)
        c->connect_timeout = HTTP_CONNECT_TIMEOUT_MS;
    if (c->stall_timeout == 0)
        c->stall_timeout = HTTP_STALL_TIMEOUT_MS;
    (void)snprintf(http->stall_text, sizeof(http->stall_text), "no byte came or went for %g s",
                   (double)c->stall_timeout / 1000);
    (void)snprintf(http->slow_text, sizeof(http->slow_text), "too slow: less than 1 kB/s for %g s",
                   (double)c->stall_timeout / 1000);
}

/* Releases what hfc_http_new() got; nothing is on it any more. */
static void destroy(struct hfc_http *http)
{
    for (unsigned i = 0; i < http->n_idle; i++)
        curl_easy_cleanup(http->idle[i]);
    hfc_timer_stop(&http->work);
    free(http->idle);
    free(http->user_agent);
    free(http->ca_bundle);
    free(http);
}

static bool copy_text(char **to, const char *text)
{
    *to = text != NULL ? strdup(text) : NULL;
    return text == NULL || *to != NULL;
}

struct hfc_http *hfc_http_new(struct hfc_loop *loop, const struct hfc_http_config *config,
                              struct hfc_error *err)
{
    assert(config->connections >= 1);
    if (config->ca_bundle != NULL && access(config->ca_bundle, R_OK) != 0) {
        (void)hfc_error_set(err, errno, "CA bundle %s", config->ca_bundle);
        return NULL;
    }
    struct hfc_http *http = calloc(1, sizeof(*http));
    if (http != NULL)
        http->idle = calloc(config->connections, sizeof(*http->idle));
    if (http == NULL || http->idle == NULL || !copy_text(&http->user_agent, config->user_agent) ||
        !copy_text(&http->ca_bundle, config->ca_bundle)) {
        if (http != NULL)
            destroy(http);
        (void)hfc_error_set(err, ENOMEM, "HTTP client");
        return NULL;
    }
    http->loop = loop;
    http->config = *config;
    http->config.user_agent = http->user_agent;
    http->config.ca_bundle = http->ca_bundle;
    fill_defaults(http);
    TAILQ_INIT(&http->waiting);
    TAILQ_INIT(&http->active);
    hfc_loop_connections(loop, config->connections, 0);
    return http;
}

struct hfc_loop *hfc_http_loop(const struct hfc_http *http)
{
    return http->loop;
}

static void put_off(struct hfc_http *http)
{
    if (http->work.loop == NULL)
        hfc_timer_start(http->loop, &http->work, 0, run_work, http);
}

static void free_exchange(struct hfc_exchange *x)
{
    assert(!x->active && x->transfer.easy == NULL);
    explicit_bzero(x->strings, x->strings_size);
    free(x->strings);
    hfc_buf_free(&x->r.head);
    hfc_buf_free(&x->r.body);
    free(x);
}

/* Gives back the place. The handle keeps nothing of the exchange. */
static void leave_place(struct hfc_exchange *x)
{
    struct hfc_http *http = x->http;
    CURL *easy = x->transfer.easy;
    long connects = 0;

    assert(x->active);
    hfc_timer_stop(&x->stall);
    TAILQ_REMOVE(&http->active, x, link);
    http->stats.active--;
    x->active = false;
    if (easy == NULL)
        return;
    (void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    http->stats.connects += (uint64_t)connects;
    hfc_loop_remove(http->loop, &x->transfer);
    curl_easy_reset(easy);
    assert(http->n_idle < http->config.connections);
    http->idle[http->n_idle++] = easy;
    x->transfer.easy = NULL;
}

static void leave_line(struct hfc_exchange *x)
{
    TAILQ_REMOVE(&x->http->waiting, x, link);
    x->http->stats.waiting--;
}

/* Ends it without a word. */
static void drop(struct hfc_exchange *x)
{
    if (x->active)
        leave_place(x);
    else
        leave_line(x);
    free_exchange(x);
}

/* The exchange is neither in the line nor on a place while done() runs: whatever that does to the
 * client does not concern it. */
static void finish(struct hfc_exchange *x, CURLcode rc)
{
    struct hfc_error err = {0};

    if (x->cancelled) {
        drop(x);
        return;
    }
    enum hfc_http_end end = http_curl_end(x, rc, &err);
    leave_place(x);
    x->ending = true;
    x->req.done(x->req.ctx, &x->r, end, end == HTTP_OK ? NULL : &err);
    free_exchange(x);
}

/* Of a freed client, when nobody needs it any more. */
static void drop_all(struct hfc_http *http)
{
    struct hfc_exchange *x;

    while ((x = TAILQ_FIRST(&http->active)) != NULL)
        drop(x);
    destroy(http);
}

/* `busy` is over; the client may be gone afterwards. */
static void let_go(struct hfc_http *http)
{
    assert(http->busy > 0);
    http->busy--;
    if (http->busy == 0 && http->dying)
        drop_all(http);
}

static void finish_and_go_on(struct hfc_exchange *x, CURLcode rc)
{
    struct hfc_http *http = x->http;

    http->busy++;
    finish(x, rc);
    fill_places(http);
    let_go(http);
}

static CURL *take_handle(struct hfc_http *http)
{
    return http->n_idle > 0 ? http->idle[--http->n_idle] : curl_easy_init();
}

/* A full send buffer drains without curl noticing: before an upload is given up the kernel is
 * asked, so that may take twice as long. */
static bool wire_has_moved(struct hfc_exchange *x)
{
    struct http_wire wire;

    if (x->req.read == NULL || !http_curl_wire(x, &wire))
        return false;
    uint64_t before = x->wire_bytes;
    x->wire_bytes = wire.acked + wire.received;
    return x->wire_bytes != before;
}

/* The bytes moved so far that the test for slowness counts. False: none are to be expected. Of an
 * answer's first bytes nobody knows how long they took to make, so it counts from there. */
static bool count_moved(const struct hfc_exchange *x, uint64_t *moved)
{
    struct http_wire wire;

    if (x->head_bytes > 0) {
        *moved = x->head_bytes + x->r.bytes;
        return true;
    }
    if (x->req.read == NULL || !http_curl_wire(x, &wire) || !wire.sending)
        return false;
    *moved = wire.acked;
    return true;
}

/* How many slow windows end the exchange. */
static unsigned patience(const struct hfc_exchange *x)
{
    bool plain = strcmp(x->req.method, "GET") == 0 || strcmp(x->req.method, "HEAD") == 0;

    return x->head_bytes > 0 && !plain ? HTTP_PATIENCE : 1;
}

/* A trickle never stalls, and would keep a place for days. */
static bool is_too_slow(struct hfc_exchange *x, int64_t now)
{
    int64_t elapsed = now - x->window.from;
    uint64_t moved = 0;

    if (elapsed < x->http->config.stall_timeout)
        return false;
    bool counts = count_moved(x, &moved);
    bool slow = counts && x->window.known && moved - x->window.bytes < (uint64_t)elapsed;
    x->window.slow = slow ? x->window.slow + 1 : 0;
    x->window.from = now;
    x->window.bytes = moved;
    x->window.known = counts;
    return x->window.slow >= patience(x) && slow;
}

/* Time counts while the exchange is under way: not before the connection is there, which has a
 * timeout of its own, nor while its caller has paused it. */
static void on_stall(void *ctx)
{
    struct hfc_exchange *x = ctx;
    struct hfc_http *http = x->http;
    int64_t now = hfc_now_ms(), timeout = http->config.stall_timeout, left = timeout;

    if (x->sent && !x->paused) {
        left = x->progress + timeout - now;
        if (left <= 0 && wire_has_moved(x)) {
            x->progress = now;
            left = timeout;
        }
        if (left <= 0)
            x->why = http->stall_text;
        else if (is_too_slow(x, now))
            x->why = http->slow_text;
        else if (x->window.from + timeout - now < left)
            left = x->window.from + timeout - now;
    }
    if (x->why != NULL)
        finish_and_go_on(x, CURLE_OPERATION_TIMEDOUT);
    else
        hfc_timer_start(http->loop, &x->stall, left, on_stall, x);
}

static void on_transfer_done(struct hfc_transfer *t, CURLcode rc)
{
    struct hfc_exchange *x =
        (struct hfc_exchange *)(void *)((char *)t - offsetof(struct hfc_exchange, transfer));

    finish_and_go_on(x, rc);
}

/* Puts the first in line on a free place. What fails here is told later. */
static void begin(struct hfc_http *http, struct hfc_exchange *x)
{
    leave_line(x);
    TAILQ_INSERT_TAIL(&http->active, x, link);
    http->stats.active++;
    x->active = true;
    x->progress = hfc_now_ms();
    x->transfer.done = on_transfer_done;
    x->transfer.easy = take_handle(http);
    x->refused = x->transfer.easy != NULL ? http_curl_setup(x) : CURLE_OUT_OF_MEMORY;
    if (x->refused == CURLE_OK && hfc_loop_add(http->loop, &x->transfer) != CURLM_OK)
        x->refused = CURLE_OUT_OF_MEMORY;
    if (x->refused != CURLE_OK)
        put_off(http);
    else
        hfc_timer_start(http->loop, &x->stall, http->config.stall_timeout, on_stall, x);
}

static void fill_places(struct hfc_http *http)
{
    if (hfc_loop_in_curl(http->loop)) {
        put_off(http);
        return;
    }
    while (http->stats.active < http->config.connections && !TAILQ_EMPTY(&http->waiting))
        begin(http, TAILQ_FIRST(&http->waiting));
}

static void resume_now(struct hfc_exchange *x)
{
    x->resume = false;
    if (!x->paused)
        return;
    x->paused = false;
    x->progress = hfc_now_ms();
    x->window.from += x->progress - x->paused_at;
    CURLcode rc = hfc_loop_unpause(x->http->loop, &x->transfer);
    if (rc != CURLE_OK)
        finish(x, rc);
}

/* Each at most once a round: one that pauses and resumes for ever shall not keep the others from
 * their turn. */
static struct hfc_exchange *next_with_work(struct hfc_http *http)
{
    struct hfc_exchange *x;

    for (x = TAILQ_FIRST(&http->active); x != NULL; x = TAILQ_NEXT(x, link))
        if (x->round != http->round && (x->cancelled || x->resume || x->refused != CURLE_OK))
            return x;
    return NULL;
}

static void run_work(void *ctx)
{
    struct hfc_http *http = ctx;
    struct hfc_exchange *x;

    http->round++;
    http->busy++;
    while ((x = next_with_work(http)) != NULL) {
        x->round = http->round;
        if (x->cancelled)
            drop(x);
        else if (x->refused != CURLE_OK)
            finish(x, x->refused);
        else
            resume_now(x);
    }
    fill_places(http);
    let_go(http);
}

void hfc_http_free(struct hfc_http *http)
{
    struct hfc_exchange *x;

    if (http == NULL)
        return;
    assert(!http->dying);
    http->dying = true;
    hfc_loop_connections(http->loop, 0, http->config.connections);
    while ((x = TAILQ_FIRST(&http->waiting)) != NULL)
        drop(x);
    for (x = TAILQ_FIRST(&http->active); x != NULL; x = TAILQ_NEXT(x, link))
        x->cancelled = true;
    if (hfc_loop_in_curl(http->loop))
        put_off(http);
    else if (http->busy == 0)
        drop_all(http);
}

/* One block: the request's strings and curl's list of headers, in front as it has pointers. */
static void copy_strings(struct hfc_exchange *x, const struct hfc_http_request *req)
{
    const char *headers = req->headers != NULL ? req->headers : "";
    size_t list = http_curl_headers_size(headers);
    size_t method = strlen(req->method) + 1, url = strlen(req->url) + 1;

    x->strings_size = list + method + url;
    x->strings = calloc(1, x->strings_size);
    if (x->strings == NULL)
        abort();
    x->req = *req;
    x->req.headers = NULL;
    x->req.method = memcpy(x->strings + list, req->method, method);
    x->req.url = memcpy(x->strings + list + method, req->url, url);
    http_curl_headers(x, headers);
}

struct hfc_exchange *hfc_http_start(struct hfc_http *http, const struct hfc_http_request *request)
{
    struct hfc_exchange *x = calloc(1, sizeof(*x));

    assert(!http->dying && request->done != NULL);
    if (x == NULL)
        abort();
    x->http = http;
    hfc_buf_init(&x->r.head, HTTP_HEAD_MAX * 2);
    hfc_buf_init(&x->r.body, HFC_HTTP_COLLECT_MAX);
    copy_strings(x, request);
    TAILQ_INSERT_TAIL(&http->waiting, x, link);
    http->stats.waiting++;
    http->stats.exchanges++;
    fill_places(http);
    return x;
}

void hfc_http_resume(struct hfc_exchange *x)
{
    if (!x->active)
        return;
    x->resume = true;
    put_off(x->http);
}

void hfc_http_cancel(struct hfc_exchange *x)
{
    struct hfc_http *http = x->http;

    if (x->ending)
        return;
    if (x->active && hfc_loop_in_curl(http->loop)) {
        x->cancelled = true;
        put_off(http);
        return;
    }
    drop(x);
    fill_places(http);
}

void hfc_http_stats(const struct hfc_http *http, struct hfc_http_stats *stats)
{
    *stats = http->stats;
}

int hfc_response_status(const struct hfc_response *r)
{
    return r->status;
}

/* The buffer is a list of pairs of strings, each with its NUL. */
const char *hfc_response_header(const struct hfc_response *r, const char *name)
{
    const char *found = NULL, *end = r->head.data + r->head.len;

    for (const char *at = r->head.data; at < end;) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            found = value;
        at = value + strlen(value) + 1;
    }
    return found;
}

const struct hfc_buf *hfc_response_body(const struct hfc_response *r)
{
    return &r->body;
}

uint64_t hfc_response_bytes(const struct hfc_response *r)
{
    return r->bytes;
}

bool hfc_response_resent(const struct hfc_response *r)
{
    return r->resent;
}
