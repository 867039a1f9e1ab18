/* test_budget.c: the division of memory (refresh/budget.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "budget.h"

static struct hfc_error err;

static size_t sum(const struct budget *b)
{
    return b->base + b->tables + b->connections + b->small + b->blocks;
}

static void parts_never_exceed_the_whole(void **state)
{
    (void)state;
    for (unsigned targets = 1; targets <= TARGETS_MAX; targets += 5)
        for (size_t mib = 1; mib <= 4096; mib += 7) {
            struct budget b;
            if (budget_divide(&b, mib * MEBIBYTE, targets, 0, &err) < 0)
                continue;
            assert_true(sum(&b) <= b.total);
            assert_true(b.block_count >= 2);
            assert_true(b.small >= SMALL_FILE_MAX);
            assert_true(b.hub.connections >= 1 && b.store.connections >= 1);
            assert_int_equal(b.blocks, b.block_count * b.block_size);
        }
}

static void the_default_serves_one_bucket_and_more(void **state)
{
    struct budget b;

    (void)state;
    assert_int_equal(budget_divide(&b, BUDGET_DEFAULT, 1, 0, &err), 0);
    assert_true(b.block_count >= 4);
    assert_int_equal(budget_divide(&b, BUDGET_DEFAULT, 4, 0, &err), 0);
}

static void more_memory_never_means_less_of_anything(void **state)
{
    struct budget small, large;

    (void)state;
    assert_int_equal(budget_divide(&small, 64UL * MEBIBYTE, 1, 0, &err), 0);
    assert_int_equal(budget_divide(&large, 256UL * MEBIBYTE, 1, 0, &err), 0);
    assert_true(large.blocks > small.blocks && large.tables > small.tables);
    assert_true(large.hub.connections > small.hub.connections);
    assert_true(large.block_size >= small.block_size);
}

/* The figure in the message is the least that works. */
static void too_little_is_refused_with_the_figure_that_would_do(void **state)
{
    struct budget b;

    (void)state;
    for (unsigned targets = 1; targets <= TARGETS_MAX; targets *= 2) {
        assert_int_equal(budget_divide(&b, MEBIBYTE, targets, 0, &err), -1);
        const char *figure = strstr(err.msg, "--memory ");
        assert_non_null(figure);
        size_t mib = strtoul(figure + strlen("--memory "), NULL, 10);
        assert_true(mib > 1);
        assert_int_equal(budget_divide(&b, mib * MEBIBYTE, targets, 0, &err), 0);
        assert_int_equal(budget_divide(&b, (mib - 1) * MEBIBYTE, targets, 0, &err), -1);
    }
}

static void jobs_are_what_was_asked_for(void **state)
{
    struct budget b;

    (void)state;
    assert_int_equal(budget_divide(&b, BUDGET_DEFAULT, 1, 3, &err), 0);
    assert_int_equal(b.files, 3);
    assert_int_equal(budget_divide(&b, BUDGET_DEFAULT, 1, 0, &err), 0);
    assert_true(b.files >= b.hub.connections);
}

static void blocks_can_be_cut_smaller(void **state)
{
    struct budget b;

    (void)state;
    assert_int_equal(budget_divide(&b, BUDGET_DEFAULT, 1, 0, &err), 0);
    unsigned count = b.block_count;
    budget_cut(&b, 4096);
    assert_int_equal(b.block_size, 4096);
    assert_int_equal(b.blocks, 4096 * count);
}

static void amounts_have_units(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {{"0", 0},      {"123", 123},         {"1k", 1000},
                {"2K", 2000},  {"3M", 3000000},      {"1G", 1000000000},
                {"5Ki", 5120}, {"64Mi", 64UL << 20}, {"2Gi", 2UL << 30}};
    static const char *const bad[] = {"",
                                      "Mi",
                                      "-1",
                                      " 1",
                                      "1 Mi",
                                      "1mi",
                                      "1MiB",
                                      "0x1",
                                      "1P",
                                      "+1",
                                      "99999999999999999999",
                                      "18446744073709551615Gi"};
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(budget_parse(good[i].text, &bytes, &err), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(budget_parse(bad[i], &bytes, &err), -1);
        assert_non_null(strstr(err.msg, "64Mi"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_never_exceed_the_whole),
        cmocka_unit_test(the_default_serves_one_bucket_and_more),
        cmocka_unit_test(more_memory_never_means_less_of_anything),
        cmocka_unit_test(too_little_is_refused_with_the_figure_that_would_do),
        cmocka_unit_test(jobs_are_what_was_asked_for),
        cmocka_unit_test(blocks_can_be_cut_smaller),
        cmocka_unit_test(amounts_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
