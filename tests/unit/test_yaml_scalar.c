/* test_yaml_scalar.c: proves how text becomes a typed value: PyYAML's implicit resolvers and the
 * constructors behind explicit tags. Expected values are what PyYAML 6.0.3 gives.
 */
#include <math.h>

#include "yaml_check.h"

static void nulls_and_booleans_are_exactly_pyyamls_words(void **state)
{
    static const struct reading list[] = {
        {"[~, null, Null, NULL]", "[None, None, None, None]"},
        {"", "None"},
        {"[yes, Yes, YES, true, True, TRUE, on, On, ON]",
         "[True, True, True, True, True, True, True, True, True]"},
        {"[no, No, NO, false, False, FALSE, off, Off, OFF]",
         "[False, False, False, False, False, False, False, False, False]"},
        {"[y, n, Y, N, nULL, yES, tRUE, oN, None]",
         "['y', 'n', 'Y', 'N', 'nULL', 'yES', 'tRUE', 'oN', 'None']"},
    };

    (void)state;
    CHECK_READINGS(list);
}

static void integers_have_four_bases_and_base_60(void **state)
{
    static const struct reading list[] = {
        {"[0, -0, 12, +12, -12, 1_000, 1__]", "[0, 0, 12, 12, -12, 1000, 1]"},
        {"[0x1F, -0xff, 0x_f, 010, -010, 0_, 00, 0b101, 0b1_0]",
         "[31, -255, 15, 8, -8, 0, 0, 5, 2]"},
        {"[1:30, 190:20:30, -1:30, 1_0:0]", "[90, 685230, -90, 600]"},
        {"[08, 09, 0o17, 1:60, 01:30, 0b2, 0xg, 1a, +, '12']",
         "['08', '09', '0o17', '1:60', '01:30', '0b2', '0xg', '1a', '+', '12']"},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"-0xffffffffffffffffffffffff", "-79228162514264337593543950335"},
    };

    (void)state;
    CHECK_READINGS(list);
}

static void explicit_int_is_pythons_int(void **state)
{
    static const struct reading list[] = {
        {"[!!int '3', !!int ' 12 ', !!int '--5', !!int '+ 7']", "[3, 12, 5, 7]"},
        {"[!!int 0o17, !!int '0x0x1f', !!int '0b0b1', !!int '0x-5']", "[15, 31, 1, -5]"},
        {"[!!int '7:-1', !!int ' 0:0']", "[419, 0]"},
    };
    static const struct refused bad[] = {
        {"!!int ''", 1, 7, "not an integer"},    {"!!int '-'", 1, 7, "not an integer"},
        {"!!int '1.5'", 1, 7, "not an integer"}, {"!!int 0:30", 1, 7, "not an integer"},
        {"!!int 1:a", 1, 7, "not an integer"},   {"a: 0x_", 1, 4, "not an integer"},
        {"a: 0b_", 1, 4, "not an integer"},      {"!!int \"1\\0\"", 1, 7, "not an integer"},
    };

    (void)state;
    CHECK_READINGS(list);
    CHECK_REFUSED(bad);
}

/* A document of `prefix` and n times `digit`. */
static const char *long_number(const char *prefix, const char *digit, size_t n)
{
    struct hfc_buf out;

    hfc_buf_init(&out, 1 << 20);
    hfc_buf_str(&out, prefix);
    for (size_t i = 0; i < n; i++)
        hfc_buf_str(&out, digit);
    const char *text = arena_strndup(arena, out.data, out.len);
    hfc_buf_free(&out);
    return text;
}

static void integers_end_at_4300_digits(void **state)
{
    (void)state;
    assert_int_equal(parse(long_number("", "9", 4300)).root->n, 4300);
    assert_int_equal(parse(long_number("-", "9", 4300)).root->n, 4301);
    assert_int_equal(parse(long_number("0x", "f", 3570)).root->n, 4299);
    static const struct {
        const char *prefix, *digit;
        size_t n;
    } bad[] = {{"", "9", 4301}, {"0x", "f", 3572}, {"0b", "1", 100000}, {"1", ":59", 5000}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *text = long_number(bad[i].prefix, bad[i].digit, bad[i].n);
        struct yerror err = refusal_bytes(text, strlen(text));
        assert_non_null(strstr(err.problem, "4300 digits"));
        assert_non_null(strstr(err.problem, "..."));
    }
}

static void floats_need_a_dot_and_a_signed_exponent(void **state)
{
    static const struct reading list[] = {
        {"[1.5, -1.5, +1.5, .5, 5., 1_0.2_5, 1.0e+3, 1.5E-7, .5e+1]",
         "[1.5, -1.5, 1.5, 0.5, 5.0, 10.25, 1000.0, 1.5e-07, 5.0]"},
        {"[1e3, 1.0e3, -.5, 1.2.3, .e+1, 1.0e+, ., 1.5x]",
         "['1e3', '1.0e3', '-.5', '1.2.3', '.e+1', '1.0e+', '.', '1.5x']"},
        {"[.inf, -.Inf, +.INF, .nan, .NaN, .NAN, -.nan, .iNF]",
         "[inf, -inf, inf, nan, nan, nan, '-.nan', '.iNF']"},
        {"[190:20:30.15, 1:30., -1:30.5, 1:x.5, 1:5.0e+1]",
         "[685230.15, 90.0, -90.5, '1:x.5', '1:5.0e+1']"},
        {"[1.0e+999, -0.0]", "[inf, -0.0]"},
    };

    (void)state;
    CHECK_READINGS(list);
}

static void explicit_float_is_pythons_float(void **state)
{
    static const struct reading list[] = {
        {"[!!float 1, !!float '1E3', !!float ' 2. ', !!float -.5, !!float 'Infinity']",
         "[1.0, 1000.0, 2.0, -0.5, inf]"},
        {"[!!float '-inf', !!float nan, !!float '-.nan', !!float '1:1e1']",
         "[-inf, nan, nan, 70.0]"},
    };
    static const struct refused bad[] = {
        {"!!float ''", 1, 9, "not a number"},   {"!!float x", 1, 9, "not a number"},
        {"!!float 1e", 1, 9, "not a number"},   {"!!float 0x1", 1, 9, "not a number"},
        {"!!float '1:'", 1, 9, "not a number"}, {"!!float 1e+1.5", 1, 9, "not a number"},
    };

    (void)state;
    CHECK_READINGS(list);
    CHECK_REFUSED(bad);
}

static void base_60_floats_round_and_overflow_as_in_python(void **state)
{
    (void)state;
    assert_string_equal(repr(parse(long_number("1", ":0", 20)).root),
                        "365615844006297600000000000000000000");
    assert_string_equal(repr(parse(long_number("!!float 1", ":0", 20)).root),
                        "3.656158440062976e+35");
    const char *text = long_number("!!float 1", ":0", 174);
    struct yerror err = refusal_bytes(text, strlen(text));
    assert_non_null(strstr(err.problem, "not a number"));
}

static void timestamps_become_dates_and_times(void **state)
{
    static const struct reading list[] = {
        {"2026-08-21", "datetime.date(2026, 8, 21)"},
        {"2024-02-29", "datetime.date(2024, 2, 29)"},
        {"2001-12-14t21:59:43.10-05:00",
         "datetime.datetime(2001, 12, 14, 21, 59, 43, 100000, "
         "tzinfo=datetime.timezone(datetime.timedelta(days=-1, seconds=68400)))"},
        {"2001-01-02 10:11:00", "datetime.datetime(2001, 1, 2, 10, 11)"},
        {"2001-1-2T1:02:03.1234567890+1",
         "datetime.datetime(2001, 1, 2, 1, 2, 3, 123456, "
         "tzinfo=datetime.timezone(datetime.timedelta(seconds=3600)))"},
        {"2001-01-02 00:00:00.5 -00:00",
         "datetime.datetime(2001, 1, 2, 0, 0, 0, 500000, tzinfo=datetime.timezone.utc)"},
        {"[2001-1-2, 2001-01-2x, 2001-01-02T10, 2001-01-02 1:2:3, 2001-01-02T10:11:12 x]",
         "['2001-1-2', '2001-01-2x', '2001-01-02T10', '2001-01-02 1:2:3', "
         "'2001-01-02T10:11:12 x']"},
        {"['2001-01-02', 2001-01-02T10:11:12+, 2001-01-02T10:11:12+1:2]",
         "['2001-01-02', '2001-01-02T10:11:12+', '2001-01-02T10:11:12+1:2']"},
        {"!!timestamp 2001-1-2", "datetime.date(2001, 1, 2)"},
    };

    (void)state;
    CHECK_READINGS(list);
    assert_string_equal(str(parse("2026-08-21").root), "2026-08-21");
    assert_string_equal(str(parse("2026-08-21 10:11:12").root), "2026-08-21 10:11:12");
    assert_string_equal(str(parse("2026-08-21T10:11:12.5Z").root),
                        "2026-08-21 10:11:12.500000+00:00");
    assert_string_equal(str(parse("2026-08-21T10:11:12 -1:30").root), "2026-08-21 10:11:12-01:30");
}

static void days_and_times_that_do_not_exist_are_refused(void **state)
{
    static const struct refused bad[] = {
        {"a: 2001-13-01", 1, 4, "date or time"},
        {"a: 2001-00-01", 1, 4, "date or time"},
        {"a: 2001-01-32", 1, 4, "date or time"},
        {"a: 2001-01-00", 1, 4, "date or time"},
        {"a: 1900-02-29", 1, 4, "date or time"},
        {"a: 0000-01-01", 1, 4, "date or time"},
        {"a: 2001-01-01 24:00:00", 1, 4, "date or time"},
        {"a: 2001-01-01 00:60:00", 1, 4, "date or time"},
        {"a: 2001-01-01 00:00:60", 1, 4, "date or time"},
        {"a: 2001-01-01 00:00:00+24", 1, 4, "date or time"},
        {"a: 2001-01-01 00:00:00-24:00", 1, 4, "date or time"},
        {"!!timestamp x", 1, 13, "date or time"},
    };

    (void)state;
    CHECK_REFUSED(bad);
}

static void binary_is_lenient_base64(void **state)
{
    static const struct reading list[] = {
        {"[!!binary aGVsbG8=, !!binary 'aG VsbG8=', !!binary aGk=ignored, !!binary '']",
         "[b'hello', b'hello', b'hi', b'']"},
        {"[!!binary a=GVs, !!binary aA==, !!binary '====', !!binary /+8A]",
         "[b'hel', b'h', b'', b'\\xff\\xef\\x00']"},
    };
    static const struct refused bad[] = {
        {"!!binary a", 1, 10, "missing"},
        {"!!binary aGk", 1, 10, "missing"},
        {"!!binary a\xc3\xa9", 1, 10, "ASCII"},
    };

    (void)state;
    CHECK_READINGS(list);
    CHECK_REFUSED(bad);
}

static void explicit_tags_override_the_form(void **state)
{
    static const struct reading list[] = {
        {"[!!str 12, !!str , !!null x, !!bool 'oN', !!bool OFF]", "['12', '', None, True, False]"},
        {"[! '12', ! 12, ! 'x', ! '']", "[12, 12, 'x', None]"},
        {"[!<tag:yaml.org,2002:int> '7', !!s%74r 8]", "[7, '8']"},
        {"%TAG !e! tag:yaml.org,2002:\n---\n!e!str 1", "'1'"},
        {"! |\n 12\n", "12"},
        {"! |\n ~\n", "None"},
    };
    static const struct refused bad[] = {
        {"!!bool 'maybe'", 1, 8, "not a boolean"},
        {"!!bool ''", 1, 8, "not a boolean"},
        {"a: !foo x", 1, 9, "unknown tag \"!foo\""},
        {"!!strx y", 1, 8, "unknown tag \"tag:yaml.org,2002:strx\""},
        {"!x!y z", 1, 1, "tag handle"},
        {"! |\n yes\n", 1, 3, "not a boolean"},
    };

    (void)state;
    CHECK_READINGS(list);
    CHECK_REFUSED(bad);
}

static void quoted_and_block_scalars_are_strings(void **state)
{
    static const struct reading list[] = {
        {"['12', \"true\", '', \"~\"]", "['12', 'true', '', '~']"},
        {"a: |\n  12\nb: >-\n  true\n  no\n", "{'a': '12\\n', 'b': 'true no'}"},
        {"\"a\\tb\\x41\\u00e9\\U0001F600\\0\"", "'a\\tbA\xc3\xa9\xf0\x9f\x98\x80\\x00'"},
    };

    (void)state;
    CHECK_READINGS(list);
    assert_true(parse("'x'").root->quoted);
    assert_false(parse("x").root->quoted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        YAML_TEST(nulls_and_booleans_are_exactly_pyyamls_words),
        YAML_TEST(integers_have_four_bases_and_base_60),
        YAML_TEST(explicit_int_is_pythons_int),
        YAML_TEST(integers_end_at_4300_digits),
        YAML_TEST(floats_need_a_dot_and_a_signed_exponent),
        YAML_TEST(explicit_float_is_pythons_float),
        YAML_TEST(base_60_floats_round_and_overflow_as_in_python),
        YAML_TEST(timestamps_become_dates_and_times),
        YAML_TEST(days_and_times_that_do_not_exist_are_refused),
        YAML_TEST(binary_is_lenient_base64),
        YAML_TEST(explicit_tags_override_the_form),
        YAML_TEST(quoted_and_block_scalars_are_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
