/* test_utf8.c: decoding UTF-8 strictly, and which characters count as white space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "utf8.h"

static void decodes(const char *bytes, size_t n, size_t len, uint32_t code)
{
    uint32_t c = 0;

    assert_int_equal(utf8_next(bytes, n, &c), len);
    assert_int_equal(c, code);
}

static void characters_of_every_length(void **state)
{
    (void)state;
    decodes("a", 1, 1, 'a');
    decodes("", 1, 1, 0); /* NUL is a character */
    decodes("\x7f", 1, 1, 0x7f);
    decodes("\xc2\x80", 2, 2, 0x80);
    decodes("\xdf\xbf", 2, 2, 0x7ff);
    decodes("\xe0\xa0\x80", 3, 3, 0x800);
    decodes("\xed\x9f\xbf", 3, 3, 0xd7ff);
    decodes("\xee\x80\x80", 3, 3, 0xe000);
    decodes("\xef\xbf\xbf", 3, 3, 0xffff);
    decodes("\xf0\x90\x80\x80", 4, 4, 0x10000);
    decodes("\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff);
    decodes("\xc3\xa4\xc3\xa4", 4, 2, 0xe4); /* just the first */
}

static void ill_formed_bytes_are_taken_one_by_one(void **state)
{
    static const char *const bad[] = {
        "\x80zzz",       /* a continuation first */
        "\xbfzzz",       /* the same */
        "\xc3zzz",       /* no continuation */
        "\xc3\xc3zz",    /* another start instead */
        "\xe2\x82zz",    /* the third byte is missing */
        "\xc0\x80zz",    /* overlong */
        "\xc1\xbfzz",    /* overlong */
        "\xe0\x9f\xbfz", /* overlong */
        "\xf0\x8f\xbf\xbf" /* overlong */,
        "\xed\xa0\x80z", /* a surrogate */
        "\xed\xbf\xbfz", /* the last one */
        "\xf4\x90\x80\x80" /* above the last character */,
        "\xf8\x88\x80\x80", /* five bytes */
        "\xffzzz",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        decodes(bad[i], 4, 1, UTF8_BAD);
    decodes("\xe2\x82\xac", 2, 1, UTF8_BAD); /* cut off by the end of the text */
    decodes("\xc3\xa4", 1, 1, UTF8_BAD);
}

static void the_first_bad_byte_is_found(void **state)
{
    (void)state;
    assert_int_equal(utf8_check("", 0), 0);
    assert_int_equal(utf8_check("\x80", 1), 0);
    assert_int_equal(utf8_check("ab\0\xc3\xa4", 5), 5);
    assert_int_equal(utf8_check("ab\xff"
                                "cd",
                                5),
                     2);
    assert_int_equal(utf8_check("\xc3\xa4\xed\xa0\x80", 5), 2);
}

static void white_space_is_what_python_strips(void **state)
{
    static const uint32_t first_and_last[][2] = {
        {0x09, 0x0d},     {0x1c, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
    };
    size_t r = 0;

    (void)state;
    for (uint32_t c = 0; c < 0x11000; c++) {
        while (r < sizeof(first_and_last) / sizeof(first_and_last[0]) && c > first_and_last[r][1])
            r++;
        bool space =
            r < sizeof(first_and_last) / sizeof(first_and_last[0]) && c >= first_and_last[r][0];
        assert_int_equal(utf8_is_space(c), space);
    }
    assert_false(utf8_is_space(UTF8_BAD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_of_every_length),
        cmocka_unit_test(ill_formed_bytes_are_taken_one_by_one),
        cmocka_unit_test(the_first_bad_byte_is_found),
        cmocka_unit_test(white_space_is_what_python_strips),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
