/* test_check.c: the small checks of single values and what they say. */
#include "tree.h"

#include "check.h"

static struct arena *a;
static struct diags *diags;

static int set_up(void **state)
{
    (void)state;
    a = arena_new();
    diags = diags_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    diags_free(diags);
    arena_free(a);
    return 0;
}

static const struct ynode *value(const char *yaml)
{
    return tree_value(a, yaml);
}

/* The finding that has been added last. */
static const struct diag *last(void)
{
    assert_true(diags_count(diags) > 0);
    return diags_get(diags, diags_count(diags) - 1);
}

static void every_type_has_a_noun(void **state)
{
    static const struct {
        const char *yaml, *noun;
        enum ytype type;
    } cases[] = {
        {"~", "null", Y_NULL},
        {"yes", "a boolean", Y_BOOL},
        {"0x10", "an integer", Y_INT},
        {"1.5", "a float", Y_FLOAT},
        {"x", "text", Y_STR},
        {"2026-01-02", "a date", Y_DATE},
        {"2026-01-02 03:04:05", "a date", Y_DATETIME},
        {"!!binary aGk=", "binary", Y_BYTES},
        {"[1]", "a list", Y_SEQ},
        {"{a: 1}", "a mapping", Y_MAP},
        {"!!set {a}", "a set", Y_SET},
        {"!!pairs [a: 1]", "a list of pairs", Y_PAIRS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct ynode *n = value(cases[i].yaml);
        assert_string_equal(type_noun(n), cases[i].noun);
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
            assert_int_equal(check_type(diags, n, "x", cases[k].type), i == k);
    }
}

static void a_wrong_type_says_what_was_found(void **state)
{
    (void)state;
    assert_false(check_type(diags, value("- 1\n- 7"), "region", Y_STR));
    assert_int_equal(last()->code, D_TYPE);
    assert_string_equal(last()->message, "region must be text");
    assert_string_equal(last()->found, "a list: [1, 7]");
    assert_string_equal(last()->expected, "text");
    assert_null(last()->hint);
    assert_int_equal(last()->at.line, 1);
    assert_int_equal(last()->at.col, 1);
}

static void null_has_its_own_code(void **state)
{
    (void)state;
    assert_false(check_type(diags, value("\n  ~"), "region", Y_STR));
    assert_int_equal(last()->code, D_NULL);
    assert_string_equal(last()->message, "region is null");
    assert_non_null(last()->hint);
    assert_int_equal(last()->at.line, 2);
    assert_int_equal(last()->at.col, 3);
    assert_false(check_int(diags, D_BURST, value("null"), "x", 0));
    assert_int_equal(last()->code, D_NULL);
    assert_false(check_number(diags, value("null"), "x"));
    assert_int_equal(last()->code, D_NULL);
}

static void numbers_are_no_booleans(void **state)
{
    (void)state;
    assert_true(check_number(diags, value("1"), "x"));
    assert_true(check_number(diags, value("-1.5"), "x"));
    assert_int_equal(diags_count(diags), 0);
    assert_false(check_number(diags, value("true"), "x"));
    assert_int_equal(last()->code, D_TYPE);
    assert_string_equal(last()->expected, "a number");
    assert_false(check_number(diags, value("'1'"), "x"));
}

static void integers_have_a_least_value(void **state)
{
    static const struct {
        const char *yaml;
        bool from_0, from_1;
    } cases[] = {
        {"0", true, false},    {"-0", true, false},    {"1", true, true},
        {"-1", false, false},  {"10", true, true},     {"99999999999999999999", true, true},
        {"1.0", false, false}, {"true", false, false}, {"'1'", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(check_int(diags, D_BURST, value(cases[i].yaml), "x", 0), cases[i].from_0);
        assert_int_equal(check_int(diags, D_BURST, value(cases[i].yaml), "x", 1), cases[i].from_1);
    }
    assert_int_equal(last()->code, D_BURST);
    assert_false(check_int(diags, D_VALUE, value("-1"), "x", 0));
    assert_string_equal(last()->message, "x must be an integer of 0 or more");
    assert_false(check_int(diags, D_VALUE, value("0"), "x", 1));
    assert_string_equal(last()->message, "x must be an integer of 1 or more");
}

static void lists_may_be_null(void **state)
{
    (void)state;
    assert_true(check_list_or_null(diags, NULL, "x"));
    assert_true(check_list_or_null(diags, value("~"), "x"));
    assert_true(check_list_or_null(diags, value("[]"), "x"));
    assert_int_equal(diags_count(diags), 0);
    assert_false(check_list_or_null(diags, value("text"), "x"));
    assert_string_equal(last()->message, "x must be a list");
    assert_false(check_list_or_null(diags, value("{a: 1}"), "x"));
}

static void long_values_are_cut(void **state)
{
    char yaml[200];

    (void)state;
    memset(yaml, 'x', sizeof(yaml));
    yaml[118] = '\0';
    assert_int_equal(strlen(repr_of(diags, value(yaml))), 120); /* with its quotes */
    yaml[118] = 'x';
    yaml[119] = '\0';
    const char *cut = repr_of(diags, value(yaml));
    assert_int_equal(strlen(cut), 123);
    assert_string_equal(cut + 117, "xxx...");
    assert_string_equal(repr_of(diags, value("\"a\\tb\"")), "'a\\tb'");
}

static void only_near_misses_of_keys_are_reported(void **state)
{
    static const char *const known[] = {"region", "modules", NULL};

    (void)state;
    check_keys(diags, value("{region: 1, modules: 2, other: 3, 5: 6, true: 7}"), known, NULL);
    assert_int_equal(diags_count(diags), 0);
    check_keys(diags, value("{a: 1, regoin: 2}"), known, NULL);
    assert_int_equal(diags_count(diags), 1);
    assert_int_equal(last()->code, D_NEAR_KEY);
    assert_string_equal(last()->message, "unknown key 'regoin'");
    assert_string_equal(last()->hint, "did you mean 'region'?");
    assert_int_equal(last()->at.col, 8);
    check_keys(diags, value("{regions: 2}"), known, value("[x, regions]"));
    assert_int_equal(diags_count(diags), 1); /* somebody else's key */
}

static void lists_hold_text(void **state)
{
    (void)state;
    assert_true(list_has(value("[a, b]"), "b"));
    assert_false(list_has(value("[a, bc]"), "b"));
    assert_false(list_has(value("[1]"), "1"));
    assert_false(list_has(value("abc"), "b"));
    assert_false(list_has(value("{b: 1}"), "b"));
    assert_false(list_has(NULL, "b"));
}

#define CHECK_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK_TEST(every_type_has_a_noun),
        CHECK_TEST(a_wrong_type_says_what_was_found),
        CHECK_TEST(null_has_its_own_code),
        CHECK_TEST(numbers_are_no_booleans),
        CHECK_TEST(integers_have_a_least_value),
        CHECK_TEST(lists_may_be_null),
        CHECK_TEST(long_values_are_cut),
        CHECK_TEST(only_near_misses_of_keys_are_reported),
        CHECK_TEST(lists_hold_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
