/* test_shape.c: what a value may do to the YAML it is put into; and UTF-8 white space. */
#include "tree.h"

#include "shape.h"
#include "utf8.h"

static bool same(const char *model, const char *actual, bool lengths)
{
    return shape_same(text_of(model), text_of(actual), lengths);
}

static void plain_words_are_harmless(void **state)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "l-x86.4_8",
                                       "https://github.com/org",
                                       "img:1",
                                       "a/b:c",
                                       "170Gi",
                                       "img@sha256:0af",
                                       "-1",
                                       "1.0",
                                       "a+b",
                                       "10.0.0.0/16",
                                       "abcdefghijklmnopqrstuvwxyz",
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                       "0123456789",
                                       "arn:aws:iam::1:role/x"};
    static const char *const bad[] = {"a b", "a\"", "a'", "a\\", "a: b", "a:",       ":a",
                                      "@a",  "a@",  "a#", "{a}", "[a]",  "a,b",      "*a",
                                      "&a",  "!a",  "%a", "-",   "a\n",  "\xc3\xa4", "a|b",
                                      ">",   "`",   "?a", "a\t"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(shape_is_harmless(text_of(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(shape_is_harmless(text_of(bad[i])));
}

static void a_stand_in_is_harmless_and_as_long(void **state)
{
    static const char *const texts[] = {"a\"b", "x: y", "-", "a\nb", "\xc3\xa4", "trailing:"};
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct text stand_in = shape_stand_in(a, text_of(texts[i]));
        assert_int_equal(stand_in.n, strlen(texts[i]));
        assert_true(shape_is_harmless(stand_in));
    }
    arena_free(a);
}

static void line_breaks_are_yaml_s(void **state)
{
    (void)state;
    assert_true(shape_breaks_line(text_of("a\nb")));
    assert_true(shape_breaks_line(text_of("a\r")));
    assert_true(shape_breaks_line(text_of("\xc2\x85")));
    assert_true(shape_breaks_line(text_of("\xe2\x80\xa8")));
    assert_true(shape_breaks_line(text_of("\xe2\x80\xa9")));
    assert_false(shape_breaks_line(text_of("a b\t\xc3\xa4")));
}

static void structure_is_compared(void **state)
{
    (void)state;
    assert_true(same("a: \"xx\"\n", "a: \"y'\"\n", true));
    assert_false(same("a: \"xx\"\n", "a: \"\"b\"\n", true)); /* no longer YAML */
    assert_false(same("a: x\n", "a: x\nb: y\n", true));      /* one more key */
    assert_false(same("a: xx\n", "a: [y]\n", true));
    assert_false(same("a: xx # c\n", "a: y # c\n", true)); /* a shorter value */
    assert_true(same("a: xx\n", "a: y\n", false));
    assert_false(same("a: xx\n", "a: 'y'\n", false)); /* another style */
    assert_false(same("a: x\n---\nb: y\n", "a: x\n", true));
}

static void embedded_documents_are_compared_too(void **state)
{
    (void)state;
    assert_true(same("d: |\n  a: \"xx\"\n", "d: |\n  a: \"yy\"\n", true));
    assert_false(same("d: |\n  a: \"x\"\n", "d: |\n  a: \"\"\"\n", true));
    assert_false(same("d: |\n  a: xxxx\n", "d: |\n  a: b: c\n", true));
    assert_true(same("d: |\n  f(\"{[\n", "d: |\n  f('{[\n", true)); /* no YAML: a script */
}

static void nothing_to_break_in_what_is_no_yaml(void **state)
{
    (void)state;
    assert_true(same("a: \"x\nb", "whatever: [", true));
}

static void trimmed(const char *text, const char *expected)
{
    const char *p = text;
    size_t n = strlen(text);

    utf8_trim(&p, &n);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(p, expected, n);
}

static void white_space_is_unicode_s(void **state)
{
    (void)state;
    trimmed("  a b\t\n", "a b");
    trimmed("\xc2\xa0\xe2\x80\x83x\xe3\x80\x80", "x");
    trimmed("\x1c\x1f\x0b", "");
    trimmed("\xe2\x80\x8bx", "\xe2\x80\x8bx"); /* zero width space is none */
    trimmed("\xef\xbb\xbfx", "\xef\xbb\xbfx");
    trimmed("\xff ", "\xff");
    assert_int_equal(utf8_check("ab\xc3\xa4", 4), 4);
    assert_int_equal(utf8_check("ab\xc3", 3), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_words_are_harmless),
        cmocka_unit_test(a_stand_in_is_harmless_and_as_long),
        cmocka_unit_test(line_breaks_are_yaml_s),
        cmocka_unit_test(structure_is_compared),
        cmocka_unit_test(embedded_documents_are_compared_too),
        cmocka_unit_test(nothing_to_break_in_what_is_no_yaml),
        cmocka_unit_test(white_space_is_unicode_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
