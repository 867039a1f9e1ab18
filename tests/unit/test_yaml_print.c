/* test_yaml_print.c: proves that values print as Python's str() and repr() print them, and that
 * printing ends, whatever the value; also the questions to nodes of ynode.h.
 */
#include <math.h>

#include "yaml_check.h"

static const char *float_repr(double value)
{
    struct hfc_buf out;

    hfc_buf_init(&out, 64);
    yaml_float_repr(value, &out);
    const char *text = arena_strdup(arena, out.data);
    hfc_buf_free(&out);
    return text;
}

static void floats_print_shortest_with_pythons_thresholds(void **state)
{
    static const struct {
        double value;
        const char *text;
    } list[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {2.0, "2.0"},
        {0.1, "0.1"},
        {100.0, "100.0"},
        {1.0 / 3, "0.3333333333333333"},
        {0.0001, "0.0001"},
        {0.00012, "0.00012"},
        {0.00001, "1e-05"},
        {1.5e-7, "1.5e-07"},
        {1e15, "1000000000000000.0"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {9999999999999998.0, "9999999999999998.0"},
        {1e16, "1e+16"},
        {1e100, "1e+100"},
        {1e23, "1e+23"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {-12.25, "-12.25"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
        {-NAN, "nan"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
        assert_string_equal(float_repr(list[i].value), list[i].text);
}

static void strings_are_quoted_as_in_python(void **state)
{
    static const struct reading list[] = {
        {"it's", "\"it's\""},
        {"a'b\"c", "'a\\'b\"c'"},
        {"'a\"b'", "'a\"b'"},
        {"a\\b", "'a\\\\b'"},
        {"\"\\n\\r\\t\\0\\x1f\\x7f\"", "'\\n\\r\\t\\x00\\x1f\\x7f'"},
        {"\"\\u00e9\\u20ac\\U0001F600\"", "'\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'"},
        {"\"\\u00a0\\u00ad\\u2028\\ufeff\\U000E0001\"", "'\\xa0\\xad\\u2028\\ufeff\\U000e0001'"},
        {"\"\\u0378\\U0010FFFF\\U000E0100\"", "'\\u0378\\U0010ffff\xf3\xa0\x84\x80'"},
        {"''", "''"},
    };

    (void)state;
    CHECK_READINGS(list);
    assert_string_equal(str(parse("\"it's\\t\"").root), "it's\t");
}

static void bytes_print_as_literals(void **state)
{
    static const struct reading list[] = {
        {"!!binary J2E=", "b\"'a\""},
        {"!!binary JyI=", "b'\\'\"'"},
        {"!!binary CgkNXH8A", "b'\\n\\t\\r\\\\\\x7f\\x00'"},
    };

    (void)state;
    CHECK_READINGS(list);
    assert_string_equal(str(parse("!!binary aGk=").root), "b'hi'");
}

static void collections_print_as_literals(void **state)
{
    static const struct reading list[] = {
        {"[1, a, null, true, 1.0]", "[1, 'a', None, True, 1.0]"},
        {"{k: v, n: 1, l: [], m: {}}", "{'k': 'v', 'n': 1, 'l': [], 'm': {}}"},
        {"!!omap [a: 1, b: [x]]", "[('a', 1), ('b', ['x'])]"},
        {"!!pairs []", "[]"},
        {"!!set {a, 1}", "{'a', 1}"},
        {"!!set {}", "set()"},
        {"[2026-08-21]", "[datetime.date(2026, 8, 21)]"},
    };

    (void)state;
    CHECK_READINGS(list);
    assert_string_equal(str(parse("[a, 2026-08-21]").root), "['a', datetime.date(2026, 8, 21)]");
    assert_string_equal(str(parse("true").root), "True");
    assert_string_equal(str(parse("~").root), "None");
    assert_string_equal(str(parse("1.0").root), "1.0");
    assert_string_equal(str(parse("0x10").root), "16");
}

static void truth_is_pythons(void **state)
{
    static const char *const no[] = {"",         "~",         "false",      "0",  "-0",
                                     "0.0",      "-0.0",      "''",         "[]", "{}",
                                     "!!set {}", "!!omap []", "!!binary ''"};
    static const char *const yes[] = {"true",
                                      "1",
                                      "-1",
                                      ".nan",
                                      "0.1",
                                      "'0'",
                                      "'false'",
                                      "[~]",
                                      "{a: }",
                                      "2026-08-21",
                                      "2026-08-21 00:00:00",
                                      "!!set {a}"};

    (void)state;
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
        assert_false(ynode_truthy(parse(no[i]).root));
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
        assert_true(ynode_truthy(parse(yes[i]).root));
    assert_false(ynode_truthy(NULL));
}

/* A list of two of the level below, `levels` times. */
static struct ydoc alias_bomb(unsigned levels, const char *item)
{
    struct hfc_buf text;

    hfc_buf_init(&text, 1 << 20);
    hfc_buf_str(&text, "l0: &l0 [x]\n");
    for (unsigned i = 1; i <= levels; i++)
        hfc_buf_printf(&text, item, i, i, i - 1, i - 1);
    struct ydoc doc = parse_bytes(text.data, text.len);
    hfc_buf_free(&text);
    return doc;
}

static void an_alias_bomb_prints_up_to_the_cap(void **state)
{
    struct hfc_buf out;
    struct ydoc lists = alias_bomb(60, "l%u: &l%u [*l%u, *l%u]\n");
    struct ydoc maps = alias_bomb(60, "l%u: &l%u {a: *l%u, b: *l%u}\n");

    (void)state;
    hfc_buf_init(&out, 5000);
    ynode_repr(lists.root, &out);
    assert_true(hfc_buf_failed(&out) && out.len <= 5000);
    hfc_buf_reset(&out);
    ynode_str(maps.root, &out);
    assert_true(hfc_buf_failed(&out) && out.len <= 5000);
    hfc_buf_free(&out);
}

static void nesting_through_aliases_prints_up_to_a_depth(void **state)
{
    struct hfc_buf out;

    (void)state;
    hfc_buf_init(&out, 1 << 24);
    struct ydoc doc = alias_bomb(900, "l%u: &l%u [*l%u] #%u\n");
    ynode_repr(ynode_get(doc.root, "l900"), &out);
    assert_false(hfc_buf_failed(&out));
    hfc_buf_reset(&out);
    doc = alias_bomb(5000, "l%u: &l%u [*l%u] #%u\n");
    ynode_repr(ynode_get(doc.root, "l5000"), &out);
    assert_true(hfc_buf_failed(&out));
    hfc_buf_free(&out);
}

static void lookups_find_string_keys_in_small_and_large_maps(void **state)
{
    struct hfc_buf text;

    (void)state;
    for (unsigned n = 1; n <= 4096; n *= 4) {
        hfc_buf_init(&text, 1 << 20);
        for (unsigned i = 0; i < n; i++)
            hfc_buf_printf(&text, "key%u: %u\n%u: x\n", i, i, i);
        struct ydoc doc = parse_bytes(text.data, text.len);
        hfc_buf_free(&text);
        assert_int_equal(doc.root->n, 2 * n);
        for (unsigned i = 0; i < n; i++) {
            const char *key = arena_printf(arena, "key%u", i);
            const char *value = arena_printf(arena, "%u", i);
            assert_string_equal(ynode_get(doc.root, key)->text, value);
            assert_string_equal(ynode_entry(doc.root, key)->key->text, key);
            assert_null(ynode_get(doc.root, value));
        }
        assert_null(ynode_get(doc.root, "key"));
    }
    assert_null(ynode_get(NULL, "a"));
    assert_null(ynode_get(parse("[a]").root, "a"));
    assert_null(ynode_get(parse("!!set {a}").root, "a"));
}

static void integers_compare_at_any_size(void **state)
{
    static const char *const rising[] = {
        "-100000000000000000000", "-99", "-12", "-11", "-2", "0", "1", "2", "10", "11", "99",
        "100000000000000000000"};
    const unsigned n = sizeof(rising) / sizeof(*rising);

    (void)state;
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < n; k++) {
            int order = ynode_int_cmp(parse(rising[i]).root, parse(rising[k]).root);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
}

static void types_have_pythons_names(void **state)
{
    static const struct {
        const char *text, *name;
    } list[] = {
        {"~", "NoneType"},   {"no", "bool"},        {"1", "int"},
        {"1.", "float"},     {"a", "str"},          {"2026-08-21", "date"},
        {"[]", "list"},      {"{}", "dict"},        {"2026-08-21 1:00:00", "datetime"},
        {"!!set {}", "set"}, {"!!omap []", "list"}, {"!!binary ''", "bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
        assert_string_equal(ynode_type_name(parse(list[i].text).root), list[i].name);
    assert_string_equal(ynode_type_name(NULL), "NoneType");
}

static void questions_take_null_and_other_types(void **state)
{
    const struct ynode *at = parse("\n  a").root;

    (void)state;
    assert_true(ynode_is_null(NULL) && ynode_is_null(parse("").root) && !ynode_is_null(at));
    assert_true(ynode_is_text(at, "a") && !ynode_is_text(at, "ab") && !ynode_is_text(NULL, "a"));
    assert_false(ynode_is_text(parse("1").root, "1"));
    const struct ynode *made = ynode_new_str(arena, "made", at);
    assert_true(ynode_is_text(made, "made") && made->line == 2 && made->col == 3);
    assert_ptr_equal(ynode_pos(made).src, at->src);
    assert_int_equal(ynode_new_str(arena, "", NULL)->line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        YAML_TEST(floats_print_shortest_with_pythons_thresholds),
        YAML_TEST(strings_are_quoted_as_in_python),
        YAML_TEST(bytes_print_as_literals),
        YAML_TEST(collections_print_as_literals),
        YAML_TEST(truth_is_pythons),
        YAML_TEST(an_alias_bomb_prints_up_to_the_cap),
        YAML_TEST(nesting_through_aliases_prints_up_to_a_depth),
        YAML_TEST(lookups_find_string_keys_in_small_and_large_maps),
        YAML_TEST(integers_compare_at_any_size),
        YAML_TEST(types_have_pythons_names),
        YAML_TEST(questions_take_null_and_other_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
