/* test_udiff.c: fixed examples as diff -u prints them, and random texts whose diff, applied by a
 * small patch program, must give the other text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "udiff.h"

static struct hfc_buf out;

static int set_up(void **state)
{
    (void)state;
    hfc_buf_init(&out, 1 << 26);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hfc_buf_free(&out);
    return 0;
}

static void run(const char *from, const char *to, bool color)
{
    const struct udiff_text a = {"a", from, strlen(from)}, b = {"b", to, strlen(to)};

    hfc_buf_reset(&out);
    udiff(&a, &b, color, &out);
    assert_false(hfc_buf_failed(&out));
}

static void expect(const char *from, const char *to, const char *want)
{
    run(from, to, false);
    assert_string_equal(out.data, want);
}

static void test_equal_texts_give_nothing(void **state)
{
    (void)state;
    expect("", "", "");
    expect("a\nb", "a\nb", "");
}

static void test_a_change_has_three_lines_of_context(void **state)
{
    (void)state;
    expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n",
           "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n");
}

static void test_six_lines_between_join_hunks_and_seven_do_not(void **state)
{
    (void)state;
    expect("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
           "--- a\n+++ b\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
    expect("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
           "--- a\n+++ b\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n"
           "@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

static void test_ranges_of_none_and_one(void **state)
{
    (void)state;
    expect("", "x\n", "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
    expect("x\ny\n", "", "--- a\n+++ b\n@@ -1,2 +0,0 @@\n-x\n-y\n");
    expect("x\n", "y\n", "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n");
}

static void test_missing_final_newline_is_said(void **state)
{
    (void)state;
    expect("a\nb", "a\nb\n",
           "--- a\n+++ b\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
    expect("x\nb", "y\nb",
           "--- a\n+++ b\n@@ -1,2 +1,2 @@\n-x\n+y\n b\n\\ No newline at end of file\n");
}

static void test_of_a_repeated_block_the_last_is_the_new_one(void **state)
{
    (void)state;
    expect("a\nb\n", "a\nb\na\nb\n", "--- a\n+++ b\n@@ -1,2 +1,4 @@\n a\n b\n+a\n+b\n");
    expect("x\nx\nx\ny\n", "x\ny\n", "--- a\n+++ b\n@@ -1,4 +1,2 @@\n x\n-x\n-x\n y\n");
}

static void test_colors(void **state)
{
    (void)state;
    run("a\nc\n", "b\nc\n", true);
    assert_string_equal(out.data, "\033[1m--- a\033[0m\n\033[1m+++ b\033[0m\n"
                                  "\033[36m@@ -1,2 +1,2 @@\033[0m\n\033[31m-a\033[0m\n"
                                  "\033[32m+b\033[0m\n c\n");
}

/* Applies a diff to `from` and checks context and ranges on the way. Returns the result; *edits:
 * how many lines go or come. */
static char *patch(const char *from, const char *diff, unsigned *edits)
{
    char *to = calloc(1, strlen(from) + strlen(diff) + 1), *o = to;
    const char *p = strstr(diff, "@@ ");
    long line = 1;

    *edits = 0;
    while (p != NULL && *p != '\0') {
        long start, count = 1;
        if (sscanf(p, "@@ -%ld,%ld", &start, &count) < 1)
            fail_msg("no hunk: %s", p);
        for (; line < start + (count == 0); line++) {
            size_t n = strcspn(from, "\n") + 1;
            o = mempcpy(o, from, n);
            from += n;
        }
        p = strchr(p, '\n') + 1;
        while (*p == ' ' || *p == '-' || *p == '+') {
            size_t n = strcspn(p, "\n") + 1;
            bool cut = p[n] == '\\';
            if (*p != '+') {
                assert_memory_equal(from, p + 1, n - 1 - cut);
                from += n - 1 - cut;
                line++;
            }
            if (*p != '-')
                o = mempcpy(o, p + 1, n - 1 - cut);
            *edits += *p != ' ';
            p += n;
            if (cut)
                p = strchr(p, '\n') + 1;
        }
    }
    strcpy(o, from);
    return to;
}

static void random_text(unsigned *seed, char *text)
{
    unsigned lines = (unsigned)rand_r(seed) % 40, letters = 1 + (unsigned)rand_r(seed) % 6;

    while (lines-- > 0) {
        *text++ = (char)('a' + (unsigned)rand_r(seed) % letters);
        *text++ = '\n';
    }
    *text = '\0';
}

/* Length of a shortest script, by the textbook table. */
static unsigned distance(const char *a, const char *b)
{
    static unsigned t[64][64];
    size_t n = (strlen(a) + 1) / 2, m = (strlen(b) + 1) / 2;

    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0)
                t[i][j] = (unsigned)(i + j);
            else if (strncmp(a + 2 * i - 2, b + 2 * j - 2, 2) == 0)
                t[i][j] = t[i - 1][j - 1];
            else
                t[i][j] = 1 + (t[i - 1][j] < t[i][j - 1] ? t[i - 1][j] : t[i][j - 1]);
        }
    }
    return t[n][m];
}

static void test_random_diffs_apply_and_are_shortest(void **state)
{
    const char *given = getenv("TEST_SEED");
    unsigned start = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    char from[100], to[100];

    (void)state;
    print_message("TEST_SEED=%u\n", start);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned seed = start + i, edits;
        random_text(&seed, from);
        random_text(&seed, to);
        if (*from != '\0' && rand_r(&seed) % 4 == 0)
            from[strlen(from) - 1] = '\0';
        if (*to != '\0' && rand_r(&seed) % 4 == 0)
            to[strlen(to) - 1] = '\0';
        run(from, to, false);
        char *got = patch(from, out.data, &edits);
        assert_string_equal(got, to);
        assert_int_equal(edits, distance(from, to));
        free(got);
    }
}

static void test_past_the_bound_the_diff_is_right_though_not_shortest(void **state)
{
    enum { LINES = 12000 };
    struct hfc_buf a, b;
    unsigned edits;

    (void)state;
    hfc_buf_init(&a, 1 << 22);
    hfc_buf_init(&b, 1 << 22);
    for (int i = 0; i < LINES; i++) {
        hfc_buf_printf(&a, "a%d\n", i);
        hfc_buf_printf(&b, i % 5 == 1 ? "a%d\n" : "b%d\n", i);
    }
    run(a.data, b.data, false);
    char *got = patch(a.data, out.data, &edits);
    assert_string_equal(got, b.data);
    assert_true(edits >= 2 * LINES - 2 * LINES / 5);
    free(got);
    hfc_buf_free(&a);
    hfc_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equal_texts_give_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_has_three_lines_of_context, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_six_lines_between_join_hunks_and_seven_do_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_ranges_of_none_and_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_final_newline_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_a_repeated_block_the_last_is_the_new_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_colors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_diffs_apply_and_are_shortest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_past_the_bound_the_diff_is_right_though_not_shortest,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
