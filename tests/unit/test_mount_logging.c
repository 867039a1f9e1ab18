/* test_mount_logging.c: log lines (mount/logging.c). The clock and the count of lines left out are
 * the tests' own: they stand in for mount/metrics.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "file.h"
#include "logging.h"
#include "metrics.h"

static uint64_t seconds = 1000, suppressed;

uint64_t clock_ns(void)
{
    return seconds * 1000000000;
}

void metric_add(enum metric m, uint64_t n)
{
    assert_int_equal(m, M_LOG_SUPPRESSED);
    suppressed += n;
}

/* stderr goes to a file. */
static struct hfc_buf out = HFC_BUF(1024 * 1024);
static char path[64];
static int real_stderr = -1;

static void catch_stderr(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/hfc-test-logging-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    real_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
}

/* What was written since. */
static const char *caught(void)
{
    struct hfc_error err;

    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    hfc_buf_reset(&out);
    int rc = hfc_file_read(AT_FDCWD, path, &out, &err);
    (void)unlink(path);
    assert_int_equal(rc, 0);
    return out.data;
}

static int setup(void **state)
{
    (void)state;
    seconds += 10 * (uint64_t)LOG_PERIOD_S; /* nothing of an earlier test counts */
    suppressed = 0;
    log_setup(FORMAT_TEXT, "worker");
    return 0;
}

static void a_text_line_says_who_and_how_bad(void **state)
{
    (void)state;
    catch_stderr();
    log_line(LOG_START, LEVEL_INFO, "serving %s", "/mnt");
    log_line(LOG_FETCH, LEVEL_WARNING, "a");
    log_line(LOG_CACHE, LEVEL_ERROR, "b");
    log_setup(FORMAT_TEXT, "");
    log_line(LOG_START, LEVEL_INFO, "c");
    assert_string_equal(caught(), "hfcache-mount worker: serving /mnt\n"
                                  "hfcache-mount worker: warning: a\n"
                                  "hfcache-mount worker: error: b\n"
                                  "hfcache-mount: c\n");
}

static const char *member(json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    assert_non_null(text);
    return text;
}

static void a_json_line_has_time_level_who_kind_and_message(void **state)
{
    unsigned y, mo, d, h, mi, s, ms;
    char end;

    (void)state;
    log_setup(FORMAT_JSON, "keeper");
    catch_stderr();
    log_line(LOG_VERIFY, LEVEL_WARNING, "\"C:\\x\"\x1b[2J\n\xff\xe2\x80\xae end");
    json_t *line = json_loads(caught(), 0, NULL);
    assert_non_null(line);
    assert_int_equal(json_object_size(line), 5);
    assert_string_equal(member(line, "level"), "warning");
    assert_string_equal(member(line, "who"), "keeper");
    assert_string_equal(member(line, "kind"), "verify");
    assert_string_equal(member(line, "message"), "\"C:\\x\"\\x1b[2J\\n\\xff\\u202e end");
    assert_int_equal(sscanf(member(line, "time"), "%4u-%2u-%2uT%2u:%2u:%2u.%3u%c", &y, &mo, &d, &h,
                            &mi, &s, &ms, &end),
                     8);
    assert_true(y > 2000 && mo <= 12 && d <= 31 && h < 24 && mi < 60 && s <= 60);
    assert_int_equal(end, 'Z');
    json_decref(line);
}

static void control_characters_are_visible_in_text_as_well(void **state)
{
    (void)state;
    catch_stderr();
    log_line(LOG_REQUEST, LEVEL_INFO, "a\x1b[2Jb\nc");
    assert_string_equal(caught(), "hfcache-mount worker: a\\x1b[2Jb\\nc\n");
}

static unsigned lines(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void no_more_than_a_burst_of_a_kind_is_written_in_a_period(void **state)
{
    (void)state;
    catch_stderr();
    for (int i = 0; i < LOG_BURST + 5; i++)
        log_line(LOG_FETCH, LEVEL_WARNING, "n%d", i);
    log_line(LOG_CACHE, LEVEL_WARNING, "another kind");
    seconds += LOG_PERIOD_S - 1;
    log_line(LOG_FETCH, LEVEL_WARNING, "too early");
    assert_int_equal(lines(caught()), LOG_BURST + 1);
    assert_non_null(strstr(out.data, "n19\n"));
    assert_null(strstr(out.data, "n20"));
    assert_null(strstr(out.data, "early"));
    assert_int_equal(suppressed, 6);
}

static void the_next_line_tells_how_many_were_left_out(void **state)
{
    (void)state;
    catch_stderr();
    for (int i = 0; i < LOG_BURST + 5; i++)
        log_line(LOG_TREE, LEVEL_WARNING, "n%d", i);
    seconds += LOG_PERIOD_S;
    log_line(LOG_TREE, LEVEL_WARNING, "later");
    log_line(LOG_TREE, LEVEL_WARNING, "last");
    assert_non_null(strstr(caught(), "later (5 more lines of this kind were left out before)\n"));
    assert_non_null(strstr(out.data, "warning: last\n"));
}

/* Not twice as many around the end of a period. */
static void any_period_is_one(void **state)
{
    (void)state;
    catch_stderr();
    log_line(LOG_CONTROL, LEVEL_INFO, "first");
    seconds += LOG_PERIOD_S - 1;
    for (int i = 0; i < LOG_BURST - 1; i++)
        log_line(LOG_CONTROL, LEVEL_INFO, "n");
    seconds += 1;
    for (int i = 0; i < LOG_BURST; i++)
        log_line(LOG_CONTROL, LEVEL_INFO, "n");
    assert_int_equal(lines(caught()), LOG_BURST + 1);
}

static void lines_about_start_and_stop_are_never_left_out(void **state)
{
    (void)state;
    catch_stderr();
    for (int i = 0; i < 3 * LOG_BURST; i++)
        log_line(LOG_START, LEVEL_INFO, "n");
    assert_int_equal(lines(caught()), 3 * LOG_BURST);
    assert_int_equal(suppressed, 0);
}

static void a_long_message_is_cut_whatever_it_is_made_of(void **state)
{
    char message[5000];

    (void)state;
    memset(message, '\x01', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    for (int i = 0; i < 2; i++) {
        log_setup(i == 0 ? FORMAT_TEXT : FORMAT_JSON, "a-name-of-thirty-one-characters");
        catch_stderr();
        log_line(LOG_START, LEVEL_ERROR, "%s", message);
        assert_int_equal(lines(caught()), 1);
        assert_true(out.len > 8000 && out.len < 11000);
    }
    json_t *line = json_loads(out.data, 0, NULL);
    assert_non_null(line);
    json_decref(line);
}

static void errno_stays_and_a_stderr_that_takes_nothing_is_no_failure(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int saved = dup(STDERR_FILENO);
    assert_true(full >= 0 && dup2(full, STDERR_FILENO) == STDERR_FILENO);
    errno = EXDEV;
    log_line(LOG_START, LEVEL_INFO, "lost");
    int kept = errno;
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(full);
    assert_int_equal(kept, EXDEV);
}

static void *say(void *ctx)
{
    for (int i = 0; i < 100; i++)
        log_line(LOG_START, LEVEL_INFO, "%s", (const char *)ctx);
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
    static char a[] = "aaaaaaaaaaaaaaaaaaaaaaaa", b[] = "bbbbbbbbbbbbbbbbbbbbbbbb";
    pthread_t first, second;

    (void)state;
    catch_stderr();
    int rc = pthread_create(&first, NULL, say, a) | pthread_create(&second, NULL, say, b);
    (void)pthread_join(first, NULL);
    (void)pthread_join(second, NULL);
    assert_int_equal(lines(caught()), 200);
    assert_int_equal(rc, 0);
    for (char *line = strtok(out.data, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strcmp(line, "hfcache-mount worker: aaaaaaaaaaaaaaaaaaaaaaaa") == 0 ||
                    strcmp(line, "hfcache-mount worker: bbbbbbbbbbbbbbbbbbbbbbbb") == 0);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_text_line_says_who_and_how_bad),
        T(a_json_line_has_time_level_who_kind_and_message),
        T(control_characters_are_visible_in_text_as_well),
        T(no_more_than_a_burst_of_a_kind_is_written_in_a_period),
        T(the_next_line_tells_how_many_were_left_out),
        T(any_period_is_one),
        T(lines_about_start_and_stop_are_never_left_out),
        T(a_long_message_is_cut_whatever_it_is_made_of),
        T(errno_stays_and_a_stderr_that_takes_nothing_is_no_failure),
        T(threads_do_not_mix_their_lines),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    hfc_buf_free(&out);
    return rc;
}
