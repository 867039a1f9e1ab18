/* test_mount_worker_health.c: what a worker says of itself (mount/worker_health.c,
 * mount/worker_store.c), without one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics.h"
#include "worker_internal.h"

static struct hfc_buf why = HFC_BUF(1024);

static const struct health good = {.serving = true, .has_tree = true, .probed = true};

static void assert_live(struct health h, bool live, const char *text)
{
    hfc_buf_reset(&why);
    assert_int_equal(health_live(&h, &why), live);
    assert_string_equal(why.data, text);
}

static void assert_ready(struct health h, const char *text)
{
    hfc_buf_reset(&why);
    assert_int_equal(health_ready(&h, &why), strcmp(text, "ready") == 0);
    assert_non_null(strstr(why.data, text));
}

static void a_loop_that_does_not_come_round_is_dead(void **state)
{
    struct health h = good;

    (void)state;
    assert_live(h, true, "alive");
    h.beat_ms = BEAT_MAX_MS - 1;
    assert_live(h, true, "alive");
    h.beat_ms = BEAT_MAX_MS + 5000;
    assert_live(h, false, "the loop has not come round for 35 s");
}

static void threads_that_answer_nobody_are_dead(void **state)
{
    struct health h = good;

    (void)state;
    h.probe_ms = BEAT_MAX_MS - 1;
    assert_live(h, true, "alive");
    h.probe_ms = BEAT_MAX_MS + 1000;
    assert_live(h, false, "no request through the mount was answered for 31 s");
}

static void threads_that_wait_for_room_or_are_gone_on_purpose_are_not(void **state)
{
    struct health h = good;

    (void)state;
    h.probe_ms = BEAT_MAX_MS;
    h.full = true;
    assert_live(h, true, "alive");
    h.full = false;
    h.draining = true;
    assert_live(h, true, "alive");
    h.draining = h.serving = false;
    assert_live(h, true, "alive");
}

static void readiness_says_what_is_missing(void **state)
{
    struct health h = good;

    (void)state;
    assert_ready(h, "ready");
    h.probed = false;
    assert_ready(h, "a read through the mount was not answered in time");
    h.refused = true;
    assert_ready(h, "the store refuses the credentials");
    h.has_tree = false;
    assert_ready(h, "the names are not known yet");
    h.serving = false;
    assert_ready(h, "no requests are taken yet");
    h.draining = true;
    assert_ready(h, "draining");
}

static void refused_credentials_count_until_the_store_accepts_them(void **state)
{
    struct serving w = {.generation = 2};
    const struct hfc_error refused = {EACCES, "403"}, away = {ENOTCONN, "not reachable"};

    (void)state;
    worker_trouble(&w, EACCES);
    assert_true(w.refused_fetch);
    worker_looked(&w, false, &away);
    assert_true(w.refused_fetch);
    assert_false(w.refused_look);
    worker_looked(&w, false, &refused);
    assert_true(w.refused_look);
    worker_looked(&w, true, NULL);
    assert_false(w.refused_look || w.refused_fetch);
}

static void the_last_failures_are_kept(void **state)
{
    struct serving w = {0};
    char text[2 * FAILURE_TEXT];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < FAILURES_MAX + 1; i++)
        worker_failure(&w, i == FAILURES_MAX ? "last" : text);
    assert_int_equal(w.next_failure, 1);
    assert_string_equal(w.failures[0].text, "last");
    assert_int_equal(strlen(w.failures[1].text), FAILURE_TEXT - 1);
}

static void tls_is_what_s3_is_spoken_to_with(void **state)
{
    struct hfc_error err;
    bool tls = true;

    (void)state;
    assert_int_equal(worker_uses_tls("file:///x", &tls, &err), 0);
    assert_false(tls);
    (void)setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    (void)unsetenv("AWS_ENDPOINT_URL");
    (void)unsetenv("AWS_ENDPOINT_URL_S3");
    (void)unsetenv("AWS_PROFILE");
    assert_int_equal(worker_uses_tls("s3://bucket", &tls, &err), 0);
    assert_true(tls);
    (void)setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000", 1);
    assert_int_equal(worker_uses_tls("s3://bucket", &tls, &err), 0);
    assert_false(tls);
    (void)setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:9000", 1);
    assert_int_equal(worker_uses_tls("s3://bucket", &tls, &err), 0);
    assert_true(tls);
    (void)setenv("AWS_PROFILE", "none-of-this-name", 1);
    if (worker_uses_tls("s3://bucket", &tls, &err) < 0)
        assert_true(strlen(err.msg) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_does_not_come_round_is_dead),
        cmocka_unit_test(threads_that_answer_nobody_are_dead),
        cmocka_unit_test(threads_that_wait_for_room_or_are_gone_on_purpose_are_not),
        cmocka_unit_test(readiness_says_what_is_missing),
        cmocka_unit_test(refused_credentials_count_until_the_store_accepts_them),
        cmocka_unit_test(the_last_failures_are_kept),
        cmocka_unit_test(tls_is_what_s3_is_spoken_to_with),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    hfc_buf_free(&why);
    return rc;
}
