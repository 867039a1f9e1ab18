/* test_quantity.c: memory quantities and numbers written as text. */
#include "tree.h"

#include <math.h>

#include "quantity.h"

static struct arena *a;

static int set_up(void **state)
{
    (void)state;
    a = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static void memory_is(const char *text, const char *expected)
{
    const char *bytes = memory_bytes(a, text, strlen(text));

    if (expected == NULL)
        assert_null(bytes);
    else
        assert_string_equal(bytes != NULL ? bytes : "none", expected);
}

static void suffixes_multiply(void **state)
{
    (void)state;
    memory_is("0", "0");
    memory_is("1024", "1024");
    memory_is("1Ki", "1024");
    memory_is("512Mi", "536870912");
    memory_is("170Gi", "182536110080");
    memory_is("1Ti", "1099511627776");
    memory_is("1K", "1000");
    memory_is("2M", "2000000");
    memory_is("3G", "3000000000");
    memory_is("4T", "4000000000000");
}

static void numbers_may_be_of_any_size(void **state)
{
    (void)state;
    memory_is("99999999999999999999Ti", "109951162777599999998900488372224");
    memory_is("-5Gi", "-5368709120");
    memory_is("+7", "7");
    memory_is("007Ki", "7168");
    memory_is("-0", "0");
}

static void underscores_and_white_space_are_allowed_in_places(void **state)
{
    (void)state;
    memory_is(" 3Gi", "3221225472");
    memory_is("3 Gi", "3221225472");
    memory_is("\xc2\xa0"
              "4Gi",
              "4294967296");
    memory_is("1_000", "1000");
    memory_is("1__0", NULL);
    memory_is("_1", NULL);
    memory_is("1_", NULL);
    memory_is("3Gi ", NULL); /* then the suffix is not at the end */
}

static void anything_else_is_refused(void **state)
{
    static const char *const bad[] = {"",   "Gi", "K",   "1.5Gi", "1e3", "0x10", "1Pi", "1Ei",
                                      "1k", "1m", "1gi", "None",  "- 1", "+-1",  "1 0", "--1"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        memory_is(bad[i], NULL);
    assert_null(memory_bytes(a, "5\0Gi", 4));
}

static void digit_strings_are_bounded(void **state)
{
    char digits[4400];

    (void)state;
    memset(digits, '1', sizeof(digits));
    assert_non_null(memory_bytes(a, digits, 4300));
    assert_null(memory_bytes(a, digits, 4301));
}

static void number_is(const char *yaml, double expected)
{
    double value = 0;

    assert_int_equal(number_of(tree_value(a, yaml), &value), 0);
    if (isnan(expected))
        assert_true(isnan(value));
    else
        assert_true(value == expected);
}

static void no_number(const char *yaml)
{
    double value;

    assert_int_equal(number_of(tree_value(a, yaml), &value), -1);
}

static void numbers_of_every_type(void **state)
{
    (void)state;
    number_is("2", 2.0);
    number_is("0.5", 0.5);
    number_is("true", 1.0);
    number_is("false", 0.0);
    number_is("'2.5'", 2.5);
    number_is("' 1_0.5e-1 '", 1.05);
    number_is("'.5'", 0.5);
    number_is("'5'", 5.0);
    number_is("'+1.5'", 1.5);
    number_is("'-1.5E+1'", -15.0);
    number_is("'5.'", 5.0);
    number_is("'1e400'", HUGE_VAL);
    number_is("'-Infinity'", -HUGE_VAL);
    number_is("'+inf'", HUGE_VAL);
    number_is("'NaN'", NAN);
}

static void what_is_no_number(void **state)
{
    static const char *const bad[] = {"fast", "''",         "'0x10'",   "'1e'",    "'e1'",
                                      "'.'",  "null",       "[1]",      "{a: 1}",  "'1__0'",
                                      "'_1'", "2026-01-02", "'nan(1)'", "'infin'", "'1 2'"};
    char huge[420];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        no_number(bad[i]);
    memset(huge, '9', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    no_number(huge); /* an integer too large for a double */
}

static int compare(const char *x, const char *y)
{
    return number_cmp(tree_value(a, x), tree_value(a, y));
}

static void numbers_compare_across_types(void **state)
{
    (void)state;
    assert_true(compare("1", "2") < 0);
    assert_true(compare("10", "9") > 0);
    assert_true(compare("-10", "-9") < 0);
    assert_true(compare("99999999999999999999", "99999999999999999998") > 0);
    assert_int_equal(compare("2", "2.0"), 0);
    assert_true(compare("1.5", "2") < 0);
    assert_true(compare("3", "2.5") > 0);
    assert_int_equal(compare(".nan", "1"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suffixes_multiply),
        cmocka_unit_test(numbers_may_be_of_any_size),
        cmocka_unit_test(underscores_and_white_space_are_allowed_in_places),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(digit_strings_are_bounded),
        cmocka_unit_test(numbers_of_every_type),
        cmocka_unit_test(what_is_no_number),
        cmocka_unit_test(numbers_compare_across_types),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
