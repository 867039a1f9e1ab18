/* hub_check.h: a client of the Hub between two scripted servers, for the tests of refresh/hub*.c.
 *
 * `front` plays the Hub, `cdn` the servers that signed URLs lead to. Whatever a test does, its
 * end checks that the token never came to the CDN and never got into a log line or a message.
 */
#ifndef HUB_CHECK_H
#define HUB_CHECK_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buf.h"
#include "http_peer.h"
#include "hub.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER_COMMIT "ffffffffffffffffffffffffffffffffffffffff"
#define TOKEN "hf_secret"
#define SHA1_TEXT "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define SHA256_TEXT "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct peer front, cdn;
static struct hfc_loop *loop;
static struct hub *hub;
static struct hub_config config;
static char log_text[65536];

/* How the last operation ended. */
static bool done;
static struct hfc_error result; /* msg "" for success */

static void keep_log(void *ctx, const char *line)
{
    size_t n = strlen(log_text);

    (void)ctx;
    snprintf(log_text + n, sizeof(log_text) - n, "%s\n", line);
}

static void set_result(const struct hfc_error *err)
{
    assert_false(done);
    done = true;
    result = (struct hfc_error){0};
    if (err == NULL)
        return;
    result = *err;
    assert_true(result.msg[0] != '\0' && result.errnum != 0);
    assert_null(strstr(result.msg, TOKEN));
    assert_null(strstr(result.msg, "Signature"));
}

/* Runs until the operation has ended. */
static void run(void)
{
    struct hfc_error err = {0};

    if (hfc_loop_run(loop, &done, &err) < 0)
        fail_msg("%s", err.msg);
    done = false;
}

static void expect_success(void)
{
    run();
    if (result.msg[0] != '\0')
        fail_msg("%s", result.msg);
}

static void expect_failure(int errnum, const char *text)
{
    run();
    if (result.errnum != errnum || strstr(result.msg, text) == NULL)
        fail_msg("%d: %s", result.errnum, result.msg);
}

/* A new client, by `config`. */
static void open_hub(void)
{
    struct hfc_error err = {0};

    hub_free(hub);
    config.endpoint = front.base;
    hub = hub_new(loop, &config, &err);
    if (hub == NULL)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    static const char *const names[] = {
        "http_proxy", "https_proxy", "all_proxy",     "HTTP_PROXY", "HTTPS_PROXY",
        "ALL_PROXY",  "HF_TOKEN",    "HF_TOKEN_PATH", "HF_HOME",    "HUGGING_FACE_HUB_TOKEN",
        "HF_ENDPOINT"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    memset(&front, 0, sizeof(front));
    memset(&cdn, 0, sizeof(cdn));
    peer_start(&front);
    peer_start(&cdn);
    log_text[0] = '\0';
    done = false;
    loop = hfc_loop_new(NULL);
    hub = NULL;
    config = (struct hub_config){
        .token = TOKEN,
        .http = {.connections = 4},
        .retry = {.tries = 3, .base_ms = 1, .cap_ms = 5},
        .log = keep_log,
    };
    open_hub();
    return 0;
}

static unsigned count_requests(struct peer *p)
{
    return peer_count(p, &p->n_requests);
}

static int teardown(void **state)
{
    char value[256];

    (void)state;
    hub_free(hub);
    hfc_loop_free(loop);
    for (unsigned i = 0; i < count_requests(&cdn); i++)
        assert_null(peer_header(peer_request(&cdn, i), "Authorization", value, sizeof(value)));
    assert_null(strstr(log_text, TOKEN));
    assert_null(strstr(log_text, "Signature"));
    peer_stop(&front);
    peer_stop(&cdn);
    return 0;
}

/* The n-th request of the peer was for this target. */
static void expect_target(struct peer *p, unsigned n, const char *target)
{
    assert_true(n < count_requests(p));
    assert_string_equal(peer_request(p, n)->target, target);
    assert_string_equal(peer_request(p, n)->method, "GET");
}

/* The n-th request has this header; NULL: it has none. */
static void expect_header(struct peer *p, unsigned n, const char *name, const char *expected)
{
    char value[1024];
    const char *found = peer_header(peer_request(p, n), name, value, sizeof(value));

    if (expected == NULL)
        assert_null(found);
    else
        assert_string_equal(found != NULL ? found : "(none)", expected);
}

#endif
