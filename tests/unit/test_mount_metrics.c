/* test_mount_metrics.c: counts and their text (mount/metrics.c, metrics_table.h). */
#include <ctype.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics.h"

enum { TEXT_MAX = 64 * 1024, NAME_MAX_SIZE = 100 };

static struct hfc_buf text = HFC_BUF(TEXT_MAX);

static const char *printed(void)
{
    hfc_buf_reset(&text);
    metrics_print(&text);
    assert_false(hfc_buf_failed(&text));
    return text.data;
}

static void assert_line(const char *line)
{
    const char *found = strstr(printed(), line);

    if (found == NULL || found[strlen(line)] != '\n')
        fail_msg("not found: %s\nin: %s", line, text.data);
}

static void counters_add_up_and_gauges_are_set(void **state)
{
    (void)state;
    metric_add(M_FETCH_BYTES, 40);
    metric_add(M_FETCH_BYTES, 2);
    metric_set(M_CACHE_BYTES, 7);
    metric_set(M_CACHE_BYTES, 5);
    assert_int_equal(metric_get(M_FETCH_BYTES), 42);
    assert_int_equal(metric_get(M_CACHE_BYTES), 5);
    assert_line("hfcache_fetch_bytes_total 42");
    assert_line("hfcache_cache_bytes 5");
}

static void a_value_of_64_bits_is_printed_exactly(void **state)
{
    (void)state;
    metric_set(M_CACHE_LIMIT, UINT64_MAX);
    assert_line("hfcache_cache_limit_bytes 18446744073709551615");
}

static void a_duration_is_a_sum_in_seconds_and_a_count(void **state)
{
    (void)state;
    metric_time(M_READ_SECONDS, 1500000000);
    metric_time(M_READ_SECONDS, 7);
    assert_int_equal(metric_get(M_READ_COUNT), 2);
    assert_line("hfcache_read_seconds_sum 1.500000007");
    assert_line("hfcache_read_seconds_count 2");
}

static void every_sum_of_seconds_has_its_count_behind_it(void **state)
{
    static const char *const names[] = {
#define METRIC(id, name, labels, kind, help) name,
#include "metrics_table.h"
#undef METRIC
    };

    (void)state;
    const enum metric sums[] = {M_READ_SECONDS, M_FETCH_SECONDS};
    for (unsigned i = 0; i < 2; i++) {
        const char *end = strstr(names[sums[i]], "_sum");
        assert_non_null(end);
        size_t n = (size_t)(end - names[sums[i]]);
        assert_memory_equal(names[sums[i]], names[sums[i] + 1], n);
        assert_string_equal(names[sums[i] + 1] + n, "_count");
    }
}

static void the_version_is_told(void **state)
{
    (void)state;
    assert_line("hfcache_mount_info{version=\"" HFC_VERSION "\"} 1");
}

/* The exposition format, as a scraper reads it. */

static size_t name_length(const char *p)
{
    size_t n = 0;

    assert_true(isalpha((unsigned char)p[0]) || p[0] == '_');
    while (isalnum((unsigned char)p[n]) || p[n] == '_')
        n++;
    assert_true(n < NAME_MAX_SIZE);
    return n;
}

/* {name="value",...} */
static const char *skip_labels(const char *p)
{
    if (*p != '{')
        return p;
    do {
        p++;
        p += name_length(p);
        assert_memory_equal(p, "=\"", 2);
        p += 2 + strcspn(p + 2, "\"\\\n");
        assert_int_equal(*p++, '"');
    } while (*p == ',');
    assert_int_equal(*p, '}');
    return p + 1;
}

static void check_comment(const char *line, const char *name, const char *word)
{
    size_t n = strlen(word);

    assert_memory_equal(line, word, n);
    assert_memory_equal(line + n, name, strlen(name));
    assert_int_equal(line[n + strlen(name)], ' ');
}

static void check_sample(const char *line, const char *name)
{
    char *end;

    assert_int_equal(name_length(line), strlen(name));
    assert_memory_equal(line, name, strlen(name));
    const char *p = skip_labels(line + strlen(name));
    assert_int_equal(*p, ' ');
    (void)strtod(p + 1, &end);
    assert_true(end > p + 1 && *end == '\n');
}

static const char *next_line(const char *p)
{
    const char *end = strchr(p, '\n');

    assert_non_null(end);
    return end + 1;
}

static void the_text_is_valid_and_each_name_is_one_group(void **state)
{
    char seen[METRICS_COUNT + 1][NAME_MAX_SIZE];
    size_t groups = 0;

    (void)state;
    for (const char *p = printed(); *p != '\0';) {
        const char *name = p + strlen("# HELP ");
        size_t n = name_length(name);
        assert_memory_equal(name, "hfcache_", strlen("hfcache_"));
        memcpy(seen[groups], name, n);
        seen[groups][n] = '\0';
        check_comment(p, seen[groups], "# HELP ");
        assert_true(isupper((unsigned char)name[n + 1]) || isdigit((unsigned char)name[n + 1]));
        p = next_line(p);
        check_comment(p, seen[groups], "# TYPE ");
        const char *type = strchr(p + strlen("# TYPE "), ' ') + 1;
        assert_true(strncmp(type, "counter\n", 8) == 0 || strncmp(type, "gauge\n", 6) == 0);
        p = next_line(p);
        assert_int_not_equal(*p, '#');
        for (; *p != '\0' && *p != '#'; p = next_line(p))
            check_sample(p, seen[groups]);
        for (size_t i = 0; i < groups; i++)
            assert_string_not_equal(seen[i], seen[groups]);
        groups++;
    }
    assert_true(groups > 30);
}

static void no_two_rows_are_the_same_series(void **state)
{
    static const char *const rows[] = {
#define METRIC(id, name, labels, kind, help) name "{" labels "}",
#include "metrics_table.h"
#undef METRIC
    };

    (void)state;
    for (unsigned i = 0; i < METRICS_COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(rows[i], rows[k]);
}

static void *add_many(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 10000; i++)
        metric_time(M_FETCH_SECONDS, 3);
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(metric_get(M_FETCH_COUNT), 40000);
    assert_int_equal(metric_get(M_FETCH_SECONDS), 120000);
}

static void the_clock_does_not_go_back(void **state)
{
    (void)state;
    uint64_t first = clock_ns();
    assert_true(first > 0 && clock_ns() >= first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_add_up_and_gauges_are_set),
        cmocka_unit_test(a_value_of_64_bits_is_printed_exactly),
        cmocka_unit_test(a_duration_is_a_sum_in_seconds_and_a_count),
        cmocka_unit_test(every_sum_of_seconds_has_its_count_behind_it),
        cmocka_unit_test(the_version_is_told),
        cmocka_unit_test(the_text_is_valid_and_each_name_is_one_group),
        cmocka_unit_test(no_two_rows_are_the_same_series),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(the_clock_does_not_go_back),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    hfc_buf_free(&text);
    return rc;
}
