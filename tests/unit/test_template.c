/* test_template.c: proves the rules of template.h, one by one and against a naive implementation
 * on random input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "template.h"

enum { ISSUES_MAX = 16 };

struct issues {
    unsigned n;
    struct {
        enum template_issue issue;
        struct srcpos at;
        char tag[32];
    } list[ISSUES_MAX];
};

static const char *const TAGS[] = {"X", "X_GPU", "Y", NULL};
static const char *const NAMES[] = {"A", "B", "C", "VCPU", NULL};
static struct arena *arena;
static struct issues issues;

static void collect(void *ctx, enum template_issue issue, struct srcpos at, const char *tag,
                    size_t tag_len)
{
    struct issues *all = ctx;

    assert_true(all->n < ISSUES_MAX && tag_len < sizeof(all->list[0].tag));
    all->list[all->n].issue = issue;
    all->list[all->n].at = at;
    memcpy(all->list[all->n].tag, tag, tag_len);
    all->list[all->n].tag[tag_len] = '\0';
    all->n++;
}

static void ignore(void *ctx, enum template_issue issue, struct srcpos at, const char *tag,
                   size_t tag_len)
{
    (void)ctx, (void)issue, (void)at, (void)tag, (void)tag_len;
}

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    memset(&issues, 0, sizeof(issues));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static const struct template *compile_n(const char *text, size_t len)
{
    const struct source *src = source_from_text(arena, "t.tpl", text, len);

    return template_compile(arena, src, TAGS, NAMES, collect, &issues);
}

static const struct template *compile(const char *text)
{
    return compile_n(text, strlen(text));
}

#define VALUE(s)                                                                                   \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

static const struct text VALUES[] = {VALUE("a"), VALUE("b"), VALUE("c"), VALUE("8")};

/* keep: the letters x, g, y for the tags that are kept. */
static void expect_with(const char *text, const char *keep, const struct text *values,
                        const char *want)
{
    issues.n = 0;
    const struct template *t = compile(text);
    bool kept[] = {strchr(keep, 'x') != NULL, strchr(keep, 'g') != NULL, strchr(keep, 'y') != NULL};
    hfc_autobuf struct hfc_buf out;

    hfc_buf_init(&out, 1 << 20);
    template_render(t, values, kept, &out);
    assert_false(hfc_buf_failed(&out));
    assert_string_equal(out.data, want);
    assert_int_equal(out.len, strlen(want));
}

static void expect(const char *text, const char *keep, const char *want)
{
    expect_with(text, keep, VALUES, want);
}

static void expect_issue(unsigned i, enum template_issue issue, unsigned line, unsigned col,
                         const char *tag)
{
    assert_true(i < issues.n);
    assert_int_equal(issues.list[i].issue, issue);
    assert_int_equal(issues.list[i].at.line, line);
    assert_int_equal(issues.list[i].at.col, col);
    assert_string_equal(issues.list[i].tag, tag);
}

static void test_newlines_are_universal(void **state)
{
    (void)state;
    expect("a\r\nb\rc\r\r\nd", "", "a\nb\nc\n\nd");
    expect("a\r\n\r\n\r\nb\r", "", "a\n\nb\n");
    expect("# BEGIN_X\rin\r# END_X\rout", "", "out");
}

static void test_bom_and_nul_pass(void **state)
{
    (void)state;
    const char text[] = "\xef\xbb\xbf"
                        "a\0\x01{{A}}";
    struct hfc_buf out;
    bool keep[3] = {false};

    hfc_buf_init(&out, 100);
    template_render(compile_n(text, sizeof(text) - 1), VALUES, keep, &out);
    assert_int_equal(out.len, 7);
    assert_memory_equal(out.data,
                        "\xef\xbb\xbf"
                        "a\0\x01"
                        "a",
                        7);
    hfc_buf_free(&out);
}

static void test_bad_utf8_is_reported_where_it_is(void **state)
{
    static const char *const bad[] = {"ab\n\xc3\xa4\xff",         "ab\n\xc3\xa4\xc0\xaf",
                                      "ab\n\xc3\xa4\xe0\x80\x80", "ab\n\xc3\xa4\xed\xa0\x80",
                                      "ab\n\xc3\xa4\xc3",         "ab\n\xc3\xa4\xf4\x90\x80\x80",
                                      "ab\n\xc3\xa4\xe2\x82",     "ab\n\xc3\xa4\x80",
                                      "ab\n\xc3\xa4\xe2\x82(",    "ab\n\xc3\xa4\xf5\x80\x80\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        issues.n = 0;
        assert_null(compile(bad[i]));
        assert_int_equal(issues.n, 1);
        expect_issue(0, TEMPLATE_BAD_UTF8, 2, 2, "");
    }
    assert_non_null(compile("\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf\xf0\x90\x80\x80"));
}

static void test_marker_lines_vanish_and_blocks_obey_keep(void **state)
{
    (void)state;
    const char *text = "x\n    # BEGIN_X \t\n    inner\n    # END_X\ny\n";
    expect(text, "x", "x\n    inner\ny\n");
    expect(text, "", "x\ny\n");
}

static void test_markers_are_exact(void **state)
{
    (void)state;
    expect("#BEGIN_X\na", "", "#BEGIN_X\na");
    expect("#  BEGIN_X\na", "", "#  BEGIN_X\na");
    expect("# BEGIN_X # note\na", "", "# BEGIN_X # note\na");
    expect("y: 1 # BEGIN_X\na", "", "y: 1 # BEGIN_X\na");
    expect("# BEGIN_x\na", "", "# BEGIN_x\na");
    expect("# BEGIN_X_GPU\na", "g", "a");
    expect("# BEGIN_\n# END_\n# BEGIN_FOO\na", "", "# BEGIN_\n# END_\n# BEGIN_FOO\na");
}

static void test_trimming_takes_every_unicode_space_and_no_more(void **state)
{
    static const char *const spaces[] = {" ",
                                         "\t",
                                         "\v",
                                         "\f",
                                         "\x1c",
                                         "\x1d",
                                         "\x1e",
                                         "\x1f",
                                         "\xc2\x85",
                                         "\xc2\xa0",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\x80",
                                         "\xe2\x80\x8a",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xa9",
                                         "\xe2\x80\xaf",
                                         "\xe2\x81\x9f",
                                         "\xe3\x80\x80"};
    static const char *const others[] = {"\xe2\x80\x8b", "\xef\xbb\xbf", "\x1b",
                                         "\xc2\xa1",     "\xe2\x80\xaa", "\xc3\xa0"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
        snprintf(text, sizeof(text), "%s%s# BEGIN_X%s%s\nin", spaces[i], spaces[i], spaces[i],
                 spaces[i]);
        expect(text, "", "");
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        snprintf(text, sizeof(text), "# BEGIN_X%s\nin", others[i]);
        expect(text, "", text);
        snprintf(text, sizeof(text), "%s# BEGIN_X\nin", others[i]);
        expect(text, "", text);
    }
}

static void test_blocks_of_one_tag_do_not_nest(void **state)
{
    (void)state;
    expect("# BEGIN_X\n# BEGIN_X\nx\n# END_X\ny\n# END_X\nz", "", "y\nz");
}

static void test_overlapping_blocks_are_independent(void **state)
{
    (void)state;
    const char *text = "# BEGIN_X\n1\n# BEGIN_Y\n2\n# END_X\n3\n# END_Y\n4";
    expect(text, "xy", "1\n2\n3\n4");
    expect(text, "y", "3\n4"); /* BEGIN_Y was stripped with X */
    expect(text, "x", "1\n4");
    expect(text, "", "3\n4");
    /* The pass for X comes first: it sees the markers inside Y's block and strips END_Y. */
    text = "# BEGIN_Y\n1\n# BEGIN_X\n2\n# END_Y\n3\n# END_X\n4";
    expect(text, "x", "3\n4");
    expect(text, "y", "1\n4");
    expect(text, "", "");
}

static void test_unclosed_block_takes_the_final_newline(void **state)
{
    (void)state;
    expect("a\n# BEGIN_X\nb\n", "", "a");
    expect("a\n# BEGIN_X\nb\n", "x", "a\nb\n");
    expect("a\n# END_X", "", "a");
    expect("a\n# END_X\n", "", "a\n");
    expect("# BEGIN_X", "", "");
    expect("", "", "");
    expect("# BEGIN_X\n# END_X\n", "", "");
    expect("\n# BEGIN_X\n# END_X\n", "", "\n");
}

static void test_placeholders_are_exact(void **state)
{
    (void)state;
    expect("{{VCPU}}{{A}}", "", "8a");
    expect("{{{VCPU}}}", "", "{8}");
    expect("{{{{VCPU}}}}", "", "{{8}}");
    expect("{{ VCPU }}{{vcpu}}{{NOPE}}{VCPU}", "", "{{ VCPU }}{{vcpu}}{{NOPE}}{VCPU}");
    expect("{{VC\nPU}}{{VCPU}", "", "{{VC\nPU}}{{VCPU}");
    expect("{{VCPU{{VCPU}}", "", "{{VCPU8");
    expect("{{", "", "{{");
    expect("{{}}", "", "{{}}");
}

static void test_values_expand_later_names_only(void **state)
{
    const struct text values[] = {VALUE("{{B}}{{A}}"), VALUE("<{{A}}{{C}}>"), VALUE("c"),
                                  VALUE("8")};

    (void)state;
    expect_with("{{A}}", "", values, "<{{A}}c>{{A}}");
    expect_with("{{C}}", "", values, "c");
}

static void test_text_and_values_form_later_names(void **state)
{
    const struct text values[] = {VALUE("C"), VALUE(""), VALUE("c"), VALUE("B")};

    (void)state;
    expect_with("{{{{A}}}}", "", values, "c");
    expect_with("{{{B}}{C}}", "", values, "c");
    expect_with("{{C}{{B}}}", "", values, "c");
    expect_with("{{{{VCPU}}}}", "", values, "{{B}}");
    expect_with("{{VC{{B}}PU}}", "", values, "B");
}

static void test_a_value_cannot_be_a_marker(void **state)
{
    const struct text values[] = {VALUE("# BEGIN_X"), VALUE("# END_X"), VALUE("c"), VALUE("8")};

    (void)state;
    expect_with("{{A}}\nin\n{{B}}", "", values, "# BEGIN_X\nin\n# END_X");
}

static void test_newline_runs_collapse_across_everything(void **state)
{
    const struct text values[] = {
        VALUE("\n\n\n\nx\n\n\ny\n\n\n"), VALUE("\n"), {NULL, 0}, VALUE("{\n")};

    (void)state;
    expect_with("\n\n\n\n\n", "", values, "\n\n");
    expect_with("a\n\n{{C}}\n\nb", "", values, "a\n\nb");
    expect_with("a\n{{B}}{{B}}{{B}}b", "", values, "a\n\nb");
    expect_with("a\n{{A}}\nb", "", values, "a\n\nx\n\ny\n\nb");
    expect_with("a\n\n# BEGIN_X\nx\n# END_X\n\nb", "", values, "a\n\nb");
    expect_with("a\n\n \n\nb", "", values, "a\n\n \n\nb");
    expect_with("a{{VCPU}}\n\n\n{{VCPU}}", "", values, "a{\n\n{\n");
}

static void test_render_appends_and_runs_do_not_join_what_was_there(void **state)
{
    struct hfc_buf out;
    bool keep[3] = {false};

    (void)state;
    hfc_buf_init(&out, 100);
    hfc_buf_str(&out, "\n\n");
    template_render(compile("\n\na"), VALUES, keep, &out);
    assert_string_equal(out.data, "\n\n\n\na");
    hfc_buf_free(&out);
}

static void test_full_buffer_fails_on_both_paths(void **state)
{
    const struct text twice[] = {VALUE("{{B}}{{B}}{{B}}"), VALUE("{{C}}{{C}}{{C}}"), VALUE("cccc"),
                                 VALUE("8")};
    struct hfc_buf out;
    bool keep[3] = {false};

    (void)state;
    hfc_buf_init(&out, 20);
    template_render(compile("{{A}}"), twice, keep, &out);
    assert_true(hfc_buf_failed(&out));
    hfc_buf_reset(&out);
    template_render(compile("{{A}}12345678901234567890"), VALUES, keep, &out);
    assert_true(hfc_buf_failed(&out));
    hfc_buf_free(&out);
}

static void test_balance_issues(void **state)
{
    (void)state;
    compile("# END_X\n# BEGIN_X\n\t# BEGIN_X\n# END_X\n\xc3\xa4\n \xc2\xa0# BEGIN_Y");
    assert_int_equal(issues.n, 3);
    expect_issue(0, TEMPLATE_UNOPENED, 1, 1, "X");
    expect_issue(1, TEMPLATE_NESTED, 3, 2, "X");
    expect_issue(2, TEMPLATE_UNCLOSED, 6, 3, "Y");
}

static void test_overlap_is_reported_and_nesting_is_not(void **state)
{
    (void)state;
    compile("# BEGIN_X\n# BEGIN_Y\n# END_Y\n# END_X\n");
    assert_int_equal(issues.n, 0);
    compile("# BEGIN_Y\n# BEGIN_X\n# END_Y\n# END_X\n");
    assert_int_equal(issues.n, 1);
    expect_issue(0, TEMPLATE_OVERLAP, 4, 1, "X");
    issues.n = 0;
    compile("# BEGIN_Y\n# BEGIN_X\n# END_Y\n");
    assert_int_equal(issues.n, 1);
    expect_issue(0, TEMPLATE_UNCLOSED, 2, 1, "X");
}

static void test_marker_spelling_issues(void **state)
{
    (void)state;
    compile("# BEGIN_X_CPU\n#BEGIN_X\n  #  END_X_GPU\n# BEGIN_Y now\n# begin_y\n# BEGIN_y\n# END_Y:"
            "\n# BEGIN_X_CPU here\n# just BEGIN_X\n#\n# BEGIN\n# BEGIN_foo\nBEGIN_X\n# END_Z\n");
    assert_int_equal(issues.n, 8);
    expect_issue(0, TEMPLATE_UNKNOWN_TAG, 1, 1, "X_CPU");
    expect_issue(1, TEMPLATE_NEAR_MARKER, 2, 1, "X");
    expect_issue(2, TEMPLATE_NEAR_MARKER, 3, 3, "X_GPU");
    expect_issue(3, TEMPLATE_NEAR_MARKER, 4, 1, "Y");
    expect_issue(4, TEMPLATE_NEAR_MARKER, 5, 1, "Y");
    expect_issue(5, TEMPLATE_NEAR_MARKER, 6, 1, "Y");
    expect_issue(6, TEMPLATE_NEAR_MARKER, 7, 1, "Y");
    expect_issue(7, TEMPLATE_UNKNOWN_TAG, 14, 1, "Z");
}

static void test_name_spelling_issues(void **state)
{
    (void)state;
    compile("{{ VCPU }}\n\xc3\xa4 {{vcpu}} {{VCPU\t}} {{VCPU}} {{NOPE}} {VCPU} {{ .Values }} {{ "
            "VCPU }\n{{a");
    assert_int_equal(issues.n, 3);
    expect_issue(0, TEMPLATE_NEAR_NAME, 1, 1, "VCPU");
    expect_issue(1, TEMPLATE_NEAR_NAME, 2, 3, "VCPU");
    expect_issue(2, TEMPLATE_NEAR_NAME, 2, 12, "VCPU");
}

static void test_leftover_finds_the_first_name(void **state)
{
    static const char text[] = "{{ A }} {{}} {{1A}} {{_A}} {{aB}} {{A} {{{X_1}}} {{B}}";
    size_t n = 0;

    (void)state;
    const char *at = template_leftover(text, sizeof(text) - 1, &n);
    assert_ptr_equal(at, strstr(text, "{{X_1}}"));
    assert_int_equal(n, 7);
    assert_null(template_leftover("{{AB}}", 5, &n));
    assert_null(template_leftover("{{AB}}", 4, &n));
    assert_null(template_leftover("{{", 2, &n));
    assert_null(template_leftover("", 0, &n));
}

static void test_find_skips_stripped_blocks(void **state)
{
    const struct template *t =
        compile("# BEGIN_X\n{{Q}}\n# END_X\r\n\xc3\xa4\xe2\x80\xa8 {{Q}}\n{{Q}}");
    bool keep[3] = {true};

    (void)state;
    struct srcpos at = template_find(t, keep, "{{Q}}", 5);
    assert_int_equal(at.line, 2);
    assert_int_equal(at.col, 1);
    keep[0] = false;
    at = template_find(t, keep, "{{Q}}", 5);
    assert_int_equal(at.line, 5); /* U+2028 counts as a line break in a source */
    assert_int_equal(at.col, 2);
    at = template_find(t, keep, "{{R}}", 5);
    assert_int_equal(at.line, 0);
    assert_non_null(at.src);
}

/* The rules of template.h again, as simple as can be: the reference for random input. */

static bool trimmed_is(const char *line, size_t n, const char *word)
{
    while (n > 0 && strchr(" \t\v", *line) != NULL && *line != '\0') {
        line++;
        n--;
    }
    while (n > 0 && strchr(" \t\v", line[n - 1]) != NULL && line[n - 1] != '\0')
        n--;
    return n == strlen(word) && memcmp(line, word, n) == 0;
}

static char *naive_pass(const char *text, const char *tag, bool keep)
{
    char begin[40], end[40];
    char *out = calloc(1, strlen(text) + 1);
    size_t len = 0;
    bool inside = false, first = true;

    snprintf(begin, sizeof(begin), "# BEGIN_%s", tag);
    snprintf(end, sizeof(end), "# END_%s", tag);
    for (const char *p = text;;) {
        size_t n = strcspn(p, "\n");
        if (trimmed_is(p, n, begin)) {
            inside = true;
        } else if (trimmed_is(p, n, end)) {
            inside = false;
        } else if (!inside || keep) {
            if (!first)
                out[len++] = '\n';
            first = false;
            memcpy(out + len, p, n);
            len += n;
        }
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    return out;
}

static char *naive_replace(const char *text, const char *what, const char *with)
{
    size_t cap = strlen(text) * (strlen(with) + 1) + 1;
    char *out = calloc(1, cap), *o = out;

    while (*text != '\0') {
        if (strncmp(text, what, strlen(what)) == 0) {
            o = stpcpy(o, with);
            text += strlen(what);
        } else {
            *o++ = *text++;
        }
    }
    return out;
}

static char *step(char *old, char *new)
{
    free(old);
    return new;
}

static char *naive_render(const char *text, const char *const *values, const bool *keep)
{
    char what[32];
    char *t = naive_replace(text, "\r\n", "\n");

    t = step(t, naive_replace(t, "\r", "\n"));
    for (size_t i = 0; TAGS[i] != NULL; i++)
        t = step(t, naive_pass(t, TAGS[i], keep[i]));
    for (size_t i = 0; NAMES[i] != NULL; i++) {
        snprintf(what, sizeof(what), "{{%s}}", NAMES[i]);
        t = step(t, naive_replace(t, what, values[i]));
    }
    while (strstr(t, "\n\n\n") != NULL)
        t = step(t, naive_replace(t, "\n\n\n", "\n\n"));
    return t;
}

static void random_text(unsigned *seed, unsigned parts_max, const char *const *parts, size_t n,
                        char *out)
{
    unsigned count = (unsigned)rand_r(seed) % parts_max;

    *out = '\0';
    while (count-- > 0)
        out = stpcpy(out, parts[(size_t)rand_r(seed) % n]);
}

static void check_random_case(unsigned *seed)
{
    static const char *const parts[] = {"\n# BEGIN_X\n",
                                        "\n# END_X\n",
                                        "\n\t# BEGIN_Y \n",
                                        "\n# END_Y\v\n",
                                        "\n# BEGIN_X_GPU\r\n",
                                        "# END_X_GPU",
                                        "\n",
                                        "\r",
                                        "\r\n",
                                        "\n\n",
                                        "a",
                                        " ",
                                        "{{A}}",
                                        "{{B}}",
                                        "{{C}}",
                                        "{{VCPU}}",
                                        "{",
                                        "}",
                                        "{{",
                                        "}}",
                                        "A",
                                        "B",
                                        "VC",
                                        "\xc3\xa4",
                                        "\n# BEGIN_Y\r",
                                        "\nb\n"};
    static const char *const bits[] = {"", "x", "\n", "\n\n\n", "B", "C", "A", "PU", "yy", "\n\n"};
    static const char *const braced[] = {"{{B}}", "{", "}", "{{C}}", "{{A}}", "x", "\n", "VCPU"};
    char text[1000], raw[4][100];
    const char *plain[4];
    struct text values[4];
    bool with_braces = rand_r(seed) % 3 == 0;
    struct hfc_buf out;

    random_text(seed, 40, parts, sizeof(parts) / sizeof(*parts), text);
    for (unsigned i = 0; i < 4; i++) {
        if (with_braces)
            random_text(seed, 5, braced, sizeof(braced) / sizeof(*braced), raw[i]);
        else
            random_text(seed, 4, bits, sizeof(bits) / sizeof(*bits), raw[i]);
        plain[i] = raw[i];
        values[i] = (struct text){raw[i], strlen(raw[i])};
    }
    const struct source *src = source_from_text(arena, "t", text, strlen(text));
    const struct template *t = template_compile(arena, src, TAGS, NAMES, ignore, NULL);
    hfc_buf_init(&out, 1 << 20);
    for (unsigned mask = 0; mask < 8; mask++) {
        bool keep[] = {mask & 1, mask & 2, mask & 4};
        char *want = naive_render(text, plain, keep);
        hfc_buf_reset(&out);
        template_render(t, values, keep, &out);
        assert_string_equal(out.data, want);
        free(want);
    }
    hfc_buf_free(&out);
    arena_reset(arena);
}

static void test_random_templates_render_like_the_naive_way(void **state)
{
    const char *given = getenv("TEST_SEED");
    unsigned start = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();

    (void)state;
    print_message("TEST_SEED=%u\n", start);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned seed = start + i;
        check_random_case(&seed);
    }
}

static void test_the_same_template_renders_the_same_again(void **state)
{
    const struct template *t = compile("{{A}}\n# BEGIN_X\n{{{{A}}}}\n# END_X\n");
    bool keep[3] = {true};
    struct hfc_buf one, two;

    (void)state;
    hfc_buf_init(&one, 1000);
    hfc_buf_init(&two, 1000);
    template_render(t, VALUES, keep, &one);
    template_render(t, VALUES, keep, &two);
    assert_string_equal(one.data, "a\n{{a}}\n");
    assert_string_equal(one.data, two.data);
    hfc_buf_free(&one);
    hfc_buf_free(&two);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_newlines_are_universal),
        TEST(test_bom_and_nul_pass),
        TEST(test_bad_utf8_is_reported_where_it_is),
        TEST(test_marker_lines_vanish_and_blocks_obey_keep),
        TEST(test_markers_are_exact),
        TEST(test_trimming_takes_every_unicode_space_and_no_more),
        TEST(test_blocks_of_one_tag_do_not_nest),
        TEST(test_overlapping_blocks_are_independent),
        TEST(test_unclosed_block_takes_the_final_newline),
        TEST(test_placeholders_are_exact),
        TEST(test_values_expand_later_names_only),
        TEST(test_text_and_values_form_later_names),
        TEST(test_a_value_cannot_be_a_marker),
        TEST(test_newline_runs_collapse_across_everything),
        TEST(test_render_appends_and_runs_do_not_join_what_was_there),
        TEST(test_full_buffer_fails_on_both_paths),
        TEST(test_balance_issues),
        TEST(test_overlap_is_reported_and_nesting_is_not),
        TEST(test_marker_spelling_issues),
        TEST(test_name_spelling_issues),
        TEST(test_leftover_finds_the_first_name),
        TEST(test_find_skips_stripped_blocks),
        TEST(test_random_templates_render_like_the_naive_way),
        TEST(test_the_same_template_renders_the_same_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
