/* report_check.h: a report in a folder of its own, events to give it, and what its texts are
 * compared with: for test_report*.c.
 */
#ifndef TESTS_REPORT_CHECK_H
#define TESTS_REPORT_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "report_parts.h"

#define MODEL_TIME "hfcache_refresh_model_last_success_timestamp_seconds"
#define RUN_TIME "hfcache_refresh_last_success_timestamp_seconds"
#define A "s3://a"
#define B "file:///b"

static char dir[64], home[4096];
static struct hfc_loop *loop;
static struct report *report;
static struct hfc_error err;
static struct report_options options;

static inline int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    options = (struct report_options){0};
    report = NULL;
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-report-XXXXXX");
    loop = hfc_loop_new(&err);
    return loop != NULL && mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline int teardown(void **state)
{
    (void)state;
    report_free(report);
    hfc_loop_free(loop);
    return chdir(home) == 0 ? nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

static inline void make_report(void)
{
    report = report_new(loop, &options, &err);
    if (report == NULL)
        fail_msg("%s", err.msg);
}

/* A timer's function that ends a run of the loop. */
static inline void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

/* Streams of the process, caught in files. */

static int saved_fd = -1, caught_fd = -1;

static inline void begin_catch(int fd, const char *name)
{
    int to = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(to >= 0 && saved_fd < 0);
    (void)fflush(NULL);
    saved_fd = dup(fd);
    caught_fd = fd;
    assert_int_equal(dup2(to, fd), fd);
    (void)close(to);
}

static inline void end_catch(void)
{
    (void)fflush(NULL);
    (void)dup2(saved_fd, caught_fd);
    (void)close(saved_fd);
    saved_fd = -1;
}

static inline void contents(const char *name, struct hfc_buf *out)
{
    hfc_buf_reset(out);
    if (hfc_file_read(AT_FDCWD, name, out, &err) < 0)
        fail_msg("%s", err.msg);
}

static inline void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("not found: %s\nin: %s", part, text);
}

static inline void assert_has_not(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("found: %s\nin: %s", part, text);
}

static inline unsigned times(const char *text, const char *part)
{
    unsigned n = 0;

    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

/* Events. */

static const struct hfc_error why = {EIO, "the disk\x1b[2J burns\nall over"};

static inline void file_ended(const char *model, const char *path, const char *target,
                              uint64_t size, enum file_outcome outcome)
{
    report_file(report, &(struct file_report){.model = model,
                                              .path = path,
                                              .target = target,
                                              .size = size,
                                              .outcome = outcome,
                                              .error = outcome == FILE_FAILED ? &why : NULL});
}

static inline void model_ended_at(const char *model, const char *revision, const char *target,
                                  enum model_outcome outcome)
{
    struct model_report m = {.model = model,
                             .revision = revision,
                             .commit =
                                 target != NULL ? "0123456789abcdef0123456789abcdef01234567" : "",
                             .target = target,
                             .outcome = outcome,
                             .milliseconds = 41000,
                             .error = outcome == MODEL_FAILED ? &why : NULL};

    if (outcome == MODEL_PUBLISHED || outcome == MODEL_PLANNED) {
        m.files[FILE_PRESENT] = 3;
        m.bytes[FILE_PRESENT] = 30;
        m.files[FILE_STORED] = 2;
        m.bytes[FILE_STORED] = 3 * 1024 * 1024;
        m.files[FILE_COPIED] = 1;
        m.bytes[FILE_COPIED] = 100;
    }
    report_model(report, &m);
}

static inline void model_ended(const char *model, const char *target, enum model_outcome outcome)
{
    model_ended_at(model, "main", target, outcome);
}

static inline void bucket_ended(const char *url, const struct hfc_error *error, uint64_t pruned)
{
    const struct hfc_store_stats stats = {
        .requests = 52, .retries = 3, .throttled = 1, .bytes_in = 1000, .bytes_out = 2000};

    report_target(report, &(struct target_report){.url = url,
                                                  .stats = &stats,
                                                  .error = error,
                                                  .objects = 17,
                                                  .bytes = 5 * 1024 * 1024,
                                                  .pruned = pruned});
}

static inline void hub_ended(void)
{
    const struct hub_stats stats = {
        .http.bytes_in = 77, .api = 4, .resolvers = 5, .cdn = 6, .retries = 2, .held_ms = 1500};

    report_hub(report, &stats);
}

/* A run of everything: one model well in A and failed in B, one unchanged, one failed for all. */
static inline void all_events(void)
{
    struct report_progress *p = report_begin(report, "org/one big.bin", 3 * 1024 * 1024);

    report_planned(report, 3, 3 * 1024 * 1024 + 200);
    report_moved(p, 1000);
    file_ended("org/one", "big.bin", A, 3 * 1024 * 1024, FILE_STORED);
    file_ended("org/one", "big.bin", B, 3 * 1024 * 1024, FILE_FAILED);
    report_end(p);
    file_ended("org/one", "small.json", A, 100, FILE_COPIED);
    file_ended("org/one", "there.json", A, 30, FILE_PRESENT);
    model_ended("org/one", A, MODEL_PUBLISHED);
    model_ended("org/one", B, MODEL_FAILED);
    model_ended_at("org/two", "v1.0", A, MODEL_UNCHANGED);
    model_ended_at("org/two", "v1.0", B, MODEL_UNCHANGED);
    model_ended("org/three", NULL, MODEL_FAILED);
    hub_ended();
    bucket_ended(A, NULL, 5);
    bucket_ended(B, NULL, 0);
}

static inline void good_events(void)
{
    file_ended("org/one", "big.bin", A, 3 * 1024 * 1024, FILE_STORED);
    model_ended("org/one", A, MODEL_PUBLISHED);
    bucket_ended(A, NULL, 0);
}

/* Ends the run with stderr in the file "err". */
static inline int finish(bool interrupted)
{
    begin_catch(STDERR_FILENO, "err");
    int rc = report_finish(report, interrupted);
    end_catch();
    return rc;
}

/* The value of a series, or -1. */
static inline double sample(const char *text, const char *series)
{
    hfc_autobuf struct hfc_buf key = HFC_BUF(1000);

    hfc_buf_printf(&key, "\n%s ", series);
    const char *at = strstr(text, key.data);
    return at != NULL ? strtod(at + key.len, NULL) : -1;
}

static inline bool in_set(char c, const char *more)
{
    return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(more, c) != NULL);
}

/* Reads `name{label="value",...} number` by the format's rules; returns the end of the line. */
static inline const char *parse_series(const char *at, char *name, size_t size)
{
    size_t n = 0;

    while (in_set(at[n], ":"))
        n++;
    (void)snprintf(name, size, "%.*s", (int)n, at);
    at += n;
    if (*at == '{') {
        do {
            at++;
            assert_true(in_set(*at, ""));
            while (in_set(*at, ""))
                at++;
            assert_memory_equal(at, "=\"", 2);
            for (at += 2; *at != '"'; at++) {
                assert_true(*at != '\n' && *at != '\0');
                if (*at == '\\')
                    assert_non_null(strchr("\\\"n", *++at));
            }
            at++;
        } while (*at == ',');
        assert_int_equal(*at++, '}');
    }
    assert_int_equal(*at++, ' ');
    char *end;
    (void)strtod(at, &end);
    assert_true(end > at && *end == '\n');
    return end;
}

/* Each metric has its HELP and TYPE right before its series, once. */
static inline void assert_well_formed(const char *text)
{
    char current[200] = "", name[200], key[220];
    const char *at = text;

    while (*at != '\0') {
        if (*at == '#') {
            assert_int_equal(sscanf(at, "# HELP %199s", current), 1);
            (void)snprintf(key, sizeof(key), "# HELP %s ", current);
            assert_int_equal(times(text, key), 1);
            at = strchr(at, '\n') + 1;
            (void)snprintf(key, sizeof(key), "# TYPE %s ", current);
            assert_memory_equal(at, key, strlen(key));
            assert_true(strncmp(at + strlen(key), "gauge\n", 6) == 0 ||
                        strncmp(at + strlen(key), "counter\n", 8) == 0);
            at = strchr(at, '\n');
        } else {
            at = parse_series(at, name, sizeof(name));
            assert_string_equal(name, current);
        }
        assert_int_equal(*at++, '\n');
    }
}

/* For the whole group. */
static inline int remember_home(void **state)
{
    (void)state;
    (void)unsetenv("http_proxy");
    return getcwd(home, sizeof(home)) != NULL ? 0 : -1;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
