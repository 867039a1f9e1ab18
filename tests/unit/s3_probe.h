/* s3_probe.h: a store on a scripted server, and what its operations come to: for tests of the S3
 * backend. A test program includes it once.
 *
 * The store is s3://bkt/pre; the server is the endpoint, so addresses are in path style.
 */
#ifndef S3_PROBE_H
#define S3_PROBE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_peer.h"
#include "store_s3_steps.h"

static struct peer peer;
static struct hfc_loop *loop;
static struct hfc_store *store;
static struct hfc_error err;
static struct hfc_store_config config;

/* What the last operation came to. */
static struct {
    bool over;
    unsigned dones;
    bool failed;
    struct hfc_error err;
    struct hfc_object object;
    char upload_id[100];
    struct hfc_buf data, items, log;
    struct hfc_store_op *op;
    unsigned pauses;   /* so many calls of data() pause first */
    size_t stop_after; /* data() stops once there are so many bytes; 0: never */
    bool cancel;       /* the next callback cancels `op` */
    unsigned calls;    /* of data() */
} seen;

static inline void on_done(void *ctx, const struct hfc_store_reply *reply,
                           const struct hfc_error *e)
{
    (void)ctx;
    seen.over = true;
    seen.dones++;
    seen.failed = e != NULL;
    seen.object = reply->object;
    seen.err = e != NULL ? *e : (struct hfc_error){0};
    (void)snprintf(seen.upload_id, sizeof(seen.upload_id), "%s",
                   reply->upload_id != NULL ? reply->upload_id : "");
}

static void maybe_cancel(void)
{
    if (seen.cancel) {
        seen.cancel = false;
        hfc_store_cancel(seen.op);
    }
}

static struct hfc_timer resuming;

static void resume_op(void *ctx)
{
    (void)ctx;
    hfc_store_resume(seen.op);
}

static inline enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    (void)ctx;
    seen.calls++;
    if (seen.pauses > 0) {
        seen.pauses--;
        hfc_timer_start(loop, &resuming, 0, resume_op, NULL);
        return HFC_FLOW_PAUSE;
    }
    hfc_buf_add(&seen.data, bytes, n);
    maybe_cancel();
    return seen.stop_after > 0 && seen.data.len >= seen.stop_after ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

static inline void on_item(void *ctx, const char *key, const struct hfc_object *o)
{
    (void)ctx;
    hfc_buf_printf(&seen.items, "%s|%s|%llu|%lld;", key, o->etag, (unsigned long long)o->size,
                   (long long)o->modified);
    maybe_cancel();
}

static inline void on_part(void *ctx, unsigned number, const struct hfc_part *part)
{
    (void)ctx;
    hfc_buf_printf(&seen.items, "%u|%s|%llu|%d;", number, part->etag,
                   (unsigned long long)part->size, part->has_sha256);
}

static inline void on_upload(void *ctx, const char *key, const char *id, int64_t initiated)
{
    (void)ctx;
    hfc_buf_printf(&seen.items, "%s|%s|%lld;", key, id, (long long)initiated);
}

static inline void on_log(void *ctx, const char *line)
{
    (void)ctx;
    hfc_buf_printf(&seen.log, "%s\n", line);
}

/* Until done() has been called. */
static void wait_for_end(void)
{
    if (hfc_loop_run(loop, &seen.over, &err) < 0)
        fail_msg("%s", err.msg);
}

static void fresh(void)
{
    hfc_buf_reset(&seen.data);
    hfc_buf_reset(&seen.items);
    seen.over = false;
    seen.dones = 0;
}

static inline void succeeds(void)
{
    wait_for_end();
    if (seen.failed)
        fail_msg("%s", seen.err.msg);
    assert_int_equal(seen.dones, 1);
}

/* Each test begins with this environment. */
static void set_environment(void)
{
    static const char *const unset[] = {"AWS_PROFILE",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_CA_BUNDLE",
                                        "AWS_ROLE_ARN",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                        "HFCACHE_S3_ADDRESSING",
                                        "http_proxy",
                                        "https_proxy",
                                        "HTTPS_PROXY",
                                        "all_proxy",
                                        "ALL_PROXY",
                                        "no_proxy",
                                        "NO_PROXY"};

    for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
        (void)unsetenv(unset[i]);
    (void)setenv("AWS_ENDPOINT_URL", peer.base, 1);
    (void)setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "hush-hush", 1);
    (void)setenv("AWS_REGION", "us-east-1", 1);
    (void)setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static void reopen(const char *url)
{
    hfc_store_close(store);
    store = hfc_store_open(loop, url, &config, &err);
    if (store == NULL)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    hfc_buf_init(&seen.data, 64 << 20);
    hfc_buf_init(&seen.items, 1 << 20);
    hfc_buf_init(&seen.log, 1 << 20);
    memset(&peer, 0, sizeof(peer));
    peer_start(&peer);
    set_environment();
    config = (struct hfc_store_config){
        .http = {.connections = 4},
        .retry = {.tries = 4, .base_ms = 1, .cap_ms = 2},
        .log = on_log,
    };
    loop = hfc_loop_new(&err);
    store = NULL;
    reopen("s3://bkt/pre");
    return loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hfc_store_close(store);
    hfc_loop_free(loop);
    peer_stop(&peer);
    hfc_buf_free(&seen.data);
    hfc_buf_free(&seen.items);
    hfc_buf_free(&seen.log);
    return 0;
}

#define HEADERS "ETag: \"e1\"\r\nLast-Modified: Tue, 02 Jan 2024 03:04:05 GMT\r\n"
enum { MODIFIED = 1704164645 };

/* An <Error> as S3 answers it. */
static inline void answer_error(int status, const char *code)
{
    char body[400];

    (void)snprintf(body, sizeof(body),
                   "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>what is wrong</Message>"
                   "<RequestId>R1</RequestId></Error>",
                   code);
    peer_reply(&peer, status, "Content-Type: application/xml\r\n", body);
}

static inline void answer_head(const char *length)
{
    char text[300];

    (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n" HEADERS "\r\n",
                   length);
    peer_say(&peer, text, PEER_KEEP);
}

/* It failed so, with a message that contains `text`. */
static inline void fails(int errnum, const char *text)
{
    wait_for_end();
    if (!seen.failed)
        fail_msg("success, but \"%s\" was expected", text);
    assert_int_equal(seen.dones, 1);
    if (strstr(seen.err.msg, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, seen.err.msg);
    assert_null(strstr(seen.err.msg, "hush"));
    assert_int_equal(seen.err.errnum, errnum);
}

static inline unsigned requests(void)
{
    return peer_count(&peer, &peer.n_requests);
}

static inline const char *header(unsigned request, const char *name)
{
    static char values[8][4096];
    static unsigned next;

    next = (next + 1) % 8;
    return peer_header(peer_request(&peer, request), name, values[next], sizeof(values[next]));
}

static inline void assert_header(unsigned request, const char *name, const char *value)
{
    const char *found = header(request, name);

    if (value == NULL) {
        assert_null(found);
        return;
    }
    if (found == NULL)
        fail_msg("no header %s", name);
    assert_string_equal(found, value);
}

static inline void assert_request(unsigned n, const char *method, const char *target)
{
    const struct peer_request *r = peer_request(&peer, n);

    assert_string_equal(r->method, method);
    assert_string_equal(r->target, target);
}

static inline void assert_logged(const char *text)
{
    if (strstr(seen.log.data, text) == NULL)
        fail_msg("\"%s\" is not in the log:\n%s", text, seen.log.data);
}

static struct hfc_watch watch;
static unsigned awaited;
static bool arrived;

static void look(void *ctx)
{
    uint64_t count;

    (void)ctx;
    if (read(peer.events, &count, sizeof(count)) < 0)
        fail_msg("eventfd");
    arrived = requests() >= awaited;
}

/* Runs the loop until the server has seen so many requests. */
static inline void wait_for_requests(unsigned n)
{
    awaited = n;
    arrived = requests() >= n;
    hfc_watch_start(loop, &watch, peer.events, look, NULL);
    assert_int_equal(hfc_loop_run(loop, &arrived, &err), 0);
    hfc_watch_stop(&watch);
}

static inline void head(const char *key)
{
    fresh();
    seen.op = hfc_store_head(store, key, on_done, NULL);
}

static inline void get(uint64_t offset, uint64_t length)
{
    struct hfc_get g = {.key = "k", .offset = offset, .length = length};

    fresh();
    seen.op = hfc_store_get(store, &g, on_data, on_done, NULL);
}

static struct hfc_memory_body memory;
static uint8_t hello_sha256[HFC_SHA256_SIZE];
#define HELLO_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO_BASE64 "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="

static inline struct hfc_body hello(bool with_hash)
{
    memory = (struct hfc_memory_body){"hello", 5};
    hfc_hash_of(HFC_SHA256, "hello", 5, hello_sha256);
    return hfc_body_of(&memory, with_hash ? hello_sha256 : NULL);
}

#endif
