/* test_edit.c: enabling and disabling modules in the text of clusters.yaml (gen/edit*.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "buf.h"
#include "edit.h"

enum { TEXT_MAX = 1 << 20 };

/* What the last edit gave. */
static struct hfc_buf out;
static struct hfc_error error;
static struct srcpos place;
static uint32_t place_line;

static int setup(void **state)
{
    (void)state;
    hfc_buf_init(&out, TEXT_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hfc_buf_free(&out);
    return 0;
}

typedef enum edit_result edit_function(const struct ydoc *, const char *, const char *,
                                       struct hfc_buf *, struct srcpos *, struct hfc_error *);

static enum edit_result edit_len(edit_function *f, const char *text, size_t len, const char *module)
{
    struct arena *a = arena_new();
    struct ydoc doc;
    struct yerror yerr = {0};

    hfc_buf_reset(&out);
    error = (struct hfc_error){0};
    if (yaml_parse(a, source_from_text(a, "clusters.yaml", text, len), &doc, &yerr) < 0)
        fail_msg("%u:%u: %s in:\n%s", yerr.line, yerr.col, yerr.problem, text);
    enum edit_result result = f(&doc, "a", module, &out, &place, &error);
    place_line = place.line;
    if (result != EDIT_FAILED)
        assert_string_equal(error.msg, "");
    else
        assert_string_not_equal(error.msg, "");
    arena_free(a);
    return result;
}

static enum edit_result edit(edit_function *f, const char *text, const char *module)
{
    return edit_len(f, text, strlen(text), module);
}

static void changes(edit_function *f, const char *module, const char *from, const char *to)
{
    assert_int_equal(edit(f, from, module), EDIT_DONE);
    assert_string_equal(out.data, to);
}

/* Enabling makes `with` of `without`, disabling the other way round; doing it again does nothing.
 */
static void both_ways(const char *module, const char *without, const char *with)
{
    changes(edit_enable, module, without, with);
    changes(edit_disable, module, with, without);
    assert_int_equal(edit(edit_enable, with, module), EDIT_NOTHING_TO_DO);
    assert_string_equal(out.data, with);
    assert_int_equal(edit(edit_disable, without, module), EDIT_NOTHING_TO_DO);
    assert_string_equal(out.data, without);
}

static void refused(edit_function *f, const char *text, const char *module, const char *why,
                    uint32_t line)
{
    assert_int_equal(edit(f, text, module), EDIT_FAILED);
    assert_non_null(strstr(error.msg, why));
    assert_int_equal(place_line, line);
    assert_int_equal(out.len, 0);
}

#define IN_CLUSTER "clusters:\n  a:\n    modules:"

static void hf_cache_goes_before_the_first_nodepools(void **state)
{
    (void)state;
    both_ways("hf-cache", IN_CLUSTER "\n      - arc\n      - nodepools\n      - nodepools-b\n",
              IN_CLUSTER
              "\n      - arc\n      - hf-cache\n      - nodepools\n      - nodepools-b\n");
    both_ways("hf-cache", IN_CLUSTER "\n      - nodepools-x\n      - nodepools\n",
              IN_CLUSTER "\n      - hf-cache\n      - nodepools-x\n      - nodepools\n");
    both_ways("hf-cache", IN_CLUSTER "\n      - nodepoolsx\n",
              IN_CLUSTER "\n      - nodepoolsx\n      - hf-cache\n");
}

static void other_modules_go_to_the_end(void **state)
{
    (void)state;
    both_ways("keda", IN_CLUSTER "\n      - nodepools\n      - arc # last\n  b: 1\n",
              IN_CLUSTER "\n      - nodepools\n      - arc # last\n      - keda\n  b: 1\n");
    both_ways("hf-cache", IN_CLUSTER "\n      - arc\n\n# end\n",
              IN_CLUSTER "\n      - arc\n      - hf-cache\n\n# end\n");
}

static void comments_above_nodepools_stay_with_it(void **state)
{
    (void)state;
    both_ways("hf-cache", IN_CLUSTER "\n    - arc\n    # one\n      # two\n    - nodepools\n",
              IN_CLUSTER "\n    - arc\n    - hf-cache\n    # one\n      # two\n    - nodepools\n");
    both_ways("hf-cache", IN_CLUSTER "\n    # first\n    - nodepools\n",
              IN_CLUSTER "\n    - hf-cache\n    # first\n    - nodepools\n");
}

static void comments_farther_off_stay_where_they_are(void **state)
{
    (void)state;
    both_ways("hf-cache", IN_CLUSTER "\n    # far\n\n    - nodepools\n",
              IN_CLUSTER "\n    # far\n\n    - hf-cache\n    - nodepools\n");
    both_ways("hf-cache", IN_CLUSTER "\n    - arc\n  # outer\n    - nodepools\n",
              IN_CLUSTER "\n    - arc\n  # outer\n    - hf-cache\n    - nodepools\n");
}

static void style_is_copied_from_a_neighbour(void **state)
{
    (void)state;
    both_ways("hf-cache", IN_CLUSTER "\r\n    -   arc\r\n    -   nodepools\r\n",
              IN_CLUSTER "\r\n    -   arc\r\n    -   hf-cache\r\n    -   nodepools\r\n");
    both_ways("x", "clusters:\r a:\r  modules:\r  - arc\r",
              "clusters:\r a:\r  modules:\r  - arc\r  - x\r");
    both_ways("x", "clusters: {}\nclusters:\n a:\n  modules:\n    - arc\n",
              "clusters: {}\nclusters:\n a:\n  modules:\n    - arc\n    - x\n");
}

static void a_file_without_final_newline_stays_one(void **state)
{
    (void)state;
    both_ways("x", IN_CLUSTER "\n    - arc", IN_CLUSTER "\n    - arc\n    - x");
    both_ways("hf-cache", IN_CLUSTER "\n    - nodepools",
              IN_CLUSTER "\n    - hf-cache\n    - nodepools");
    both_ways("x", IN_CLUSTER " [b]", IN_CLUSTER " [b, x]");
}

static void flow_lists_are_edited_in_place(void **state)
{
    (void)state;
    both_ways("x", IN_CLUSTER " []\n", IN_CLUSTER " [x]\n");
    both_ways("x", IN_CLUSTER " [ ] # none\n", IN_CLUSTER " [x ] # none\n");
    both_ways("x", IN_CLUSTER " !!seq &m []\n", IN_CLUSTER " !!seq &m [x]\n");
    both_ways("x", IN_CLUSTER " [b,c]\n", IN_CLUSTER " [b,c, x]\n");
    both_ways("x", IN_CLUSTER " [b, c,]\n", IN_CLUSTER " [b, c, x,]\n");
    both_ways("hf-cache", IN_CLUSTER " [b, nodepools, c]\n",
              IN_CLUSTER " [b, hf-cache, nodepools, c]\n");
    both_ways("hf-cache", IN_CLUSTER " [\n  b, # 1\n  \"nodepools\" # 2\n ]\n",
              IN_CLUSTER " [\n  b, # 1\n  hf-cache, \"nodepools\" # 2\n ]\n");
    both_ways("x", IN_CLUSTER " [\n  b # 1\n ]\n", IN_CLUSTER " [\n  b, x # 1\n ]\n");
    both_ways("x", "\xef\xbb\xbf{clusters: {a: {modules: [\xc3\xa9]}}}",
              "\xef\xbb\xbf{clusters: {a: {modules: [\xc3\xa9, x]}}}");
    both_ways("x", IN_CLUSTER " [[b], {c: d}, e: f]\n", IN_CLUSTER " [[b], {c: d}, e: f, x]\n");
}

static void an_item_with_more_to_it_becomes_a_comment(void **state)
{
    (void)state;
    both_ways("hf-cache",
              IN_CLUSTER "\n    # hfcache-gen: disabled - hf-cache # why\n    - nodepools\n",
              IN_CLUSTER "\n    - hf-cache # why\n    - nodepools\n");
    both_ways("hf-cache",
              IN_CLUSTER "\n    - nodepools\n    # hfcache-gen: disabled -  'hf-cache'\n  b: 1\n",
              IN_CLUSTER "\n    - nodepools\n    -  'hf-cache'\n  b: 1\n");
    both_ways("x", IN_CLUSTER "\n    - b\n    # hfcache-gen: disabled - x\n    # c\n\n    - d\n",
              IN_CLUSTER "\n    - b\n    - x\n    # c\n\n    - d\n");
    both_ways("x", IN_CLUSTER "\n    - b\n    # c\n    # hfcache-gen: disabled - x",
              IN_CLUSTER "\n    - b\n    # c\n    - x");
}

static void items_that_stand_twice_are_all_commented_out(void **state)
{
    (void)state;
    both_ways("x",
              IN_CLUSTER
              "\n    # hfcache-gen: disabled - x\n    - b\n    # hfcache-gen: disabled - x # 2\n",
              IN_CLUSTER "\n    - x\n    - b\n    - x # 2\n");
}

static void comments_of_other_modules_are_left_alone(void **state)
{
    (void)state;
    both_ways("x", IN_CLUSTER "\n    # hfcache-gen: disabled - y # 2\n    - b\n",
              IN_CLUSTER "\n    # hfcache-gen: disabled - y # 2\n    - b\n    - x\n");
    both_ways(
        "x",
        IN_CLUSTER "\n    # hfcache-gen: disabled ?x: [\n    # hfcache-gen: disabled x\n    - b\n",
        IN_CLUSTER
        "\n    # hfcache-gen: disabled ?x: [\n    # hfcache-gen: disabled x\n    - b\n    - x\n");
}

static void items_of_several_lines_stay_whole(void **state)
{
    (void)state;
    both_ways("x", IN_CLUSTER "\n    - b\n      c\n    - |\n      d\n",
              IN_CLUSTER "\n    - b\n      c\n    - |\n      d\n    - x\n");
    both_ways("hf-cache", IN_CLUSTER "\n    - b\n      c\n    - nodepools\n",
              IN_CLUSTER "\n    - b\n      c\n    - hf-cache\n    - nodepools\n");
    both_ways("hf-cache", "v: &v nodepools\n" IN_CLUSTER "\n    - !!str b\n    - *v\n",
              "v: &v nodepools\n" IN_CLUSTER "\n    - !!str b\n    - hf-cache\n    - *v\n");
}

static void only_the_cluster_named_is_edited(void **state)
{
    (void)state;
    both_ways("x", "clusters:\n b:\n  modules: [c]\n a:\n  modules: [c]\n d:\n  modules: [x]\n",
              "clusters:\n b:\n  modules: [c]\n a:\n  modules: [c, x]\n d:\n  modules: [x]\n");
    /* An anchor that nobody uses elsewhere shares nothing; one on a value outside is not touched.
     */
    both_ways("x",
              "d: &d {f: .nan, g: 1.5, h: ~, i: 2001-01-01, j: true}\n"
              "clusters:\n a:\n  <<: *d\n  modules: &m [c]\n",
              "d: &d {f: .nan, g: 1.5, h: ~, i: 2001-01-01, j: true}\n"
              "clusters:\n a:\n  <<: *d\n  modules: &m [c, x]\n");
}

static void a_missing_or_odd_list_is_refused(void **state)
{
    (void)state;
    refused(edit_enable, "", "x", "not in the file", 0);
    refused(edit_enable, "clusters:\n b: 1\n", "x", "not in the file", 2);
    refused(edit_disable, "clusters:\n a: 1\n", "x", "not a mapping", 2);
    refused(edit_enable, "clusters:\n a: {b: 1}\n", "x", "has no `modules` list", 2);
    refused(edit_enable, IN_CLUSTER "\n", "x", "not a list", 3);
    refused(edit_disable, IN_CLUSTER " x\n", "x", "not a list", 3);
}

static void a_shared_list_is_refused(void **state)
{
    (void)state;
    assert_int_equal(edit(edit_enable, "m: &m [b]\n" IN_CLUSTER " *m\n", "x"), EDIT_FAILED);
    assert_non_null(strstr(error.msg, "shared"));
    assert_int_equal(edit(edit_enable, "d: &d {modules: [b]}\nclusters: {a: {<<: *d}}\n", "x"),
                     EDIT_FAILED);
    assert_non_null(strstr(error.msg, "shared"));
    assert_int_equal(edit(edit_enable, "d: &d {modules: [b]}\nclusters: {a: *d}\n", "x"),
                     EDIT_FAILED);
    assert_int_equal(edit(edit_enable, IN_CLUSTER " &m [b]\n  b: {modules: *m}\n", "x"),
                     EDIT_FAILED);
    assert_int_equal(
        edit(edit_enable, "clusters:\n  a: &a\n    modules: [b]\n  b:\n    <<: *a\n", "x"),
        EDIT_FAILED);
}

static void what_cannot_be_undone_is_refused(void **state)
{
    (void)state;
    refused(edit_disable, IN_CLUSTER " [\"x\", b]\n", "x", "by hand", 3);
    refused(edit_disable, IN_CLUSTER " [x, b]\n", "x", "by hand", 3);
    refused(edit_disable, IN_CLUSTER " [b, x, x]\n", "x", "by hand", 3);
    refused(edit_disable, IN_CLUSTER "\n    - x\n", "x", "by hand", 4);
    refused(edit_disable, IN_CLUSTER "\n    - b\n    -\n      x\n    - c\n", "x", "by hand", 4);
    refused(edit_disable, IN_CLUSTER "\n    - \"\\\n      x\"\n    - c\n", "x", "by hand", 4);
    refused(edit_disable, IN_CLUSTER "\n    - &v x\n    - c\n  b: *v\n", "x", "by hand", 4);
    refused(edit_disable, IN_CLUSTER "\n    # hfcache-gen: disabled - x # old\n    - x\n    - c\n",
            "x", "by hand", 5);
}

static void what_cannot_be_added_safely_is_refused(void **state)
{
    (void)state;
    /* Disabling would remove this item, not make a comment of it. */
    refused(edit_enable, IN_CLUSTER "\n    - b\n    # hfcache-gen: disabled - x\n", "x", "by hand",
            4);
    refused(edit_enable, IN_CLUSTER "\n    -\n      nodepools\n", "hf-cache", "by hand", 4);
    refused(edit_enable, IN_CLUSTER "\n    -\n      b\n", "x", "by hand", 4);
    refused(edit_enable, IN_CLUSTER "\n    - b\n", "x: y", "by hand", 4);
    refused(edit_enable, IN_CLUSTER "\n    - b\n", "12", "by hand", 4);
    refused(edit_enable, IN_CLUSTER "\n    - b\n", "[", "by hand", 4);
    /* What looks like comments is text of the item above. */
    refused(edit_enable, IN_CLUSTER "\n    - |\n      b\n      # c\n    - nodepools\n", "hf-cache",
            "by hand", 4);
}

/* Ten levels of ten aliases each: nothing may walk through all of what they stand for. */
static void an_alias_bomb_is_refused_soon(void **state)
{
    hfc_autobuf struct hfc_buf bomb;

    (void)state;
    hfc_buf_init(&bomb, TEXT_MAX);
    hfc_buf_str(&bomb, "b0: &b0 [1]\n");
    for (int i = 1; i <= 10; i++) {
        hfc_buf_printf(&bomb, "b%d: &b%d [", i, i);
        for (int j = 0; j < 10; j++)
            hfc_buf_printf(&bomb, "*b%d,", i - 1);
        hfc_buf_str(&bomb, "]\n");
    }
    hfc_buf_str(&bomb, IN_CLUSTER " [b]\n");
    clock_t start = clock();
    assert_int_equal(edit(edit_enable, bomb.data, "x"), EDIT_FAILED);
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
}

/* A generator of texts like clusters.yaml; the same seeds on every run. */
struct random {
    uint64_t state;
};

static unsigned below(struct random *r, unsigned n)
{
    r->state = r->state * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(r->state >> 33) % n;
}

static const char *const names[] = {"arc", "keda", "nodepools",     "nodepools-b",  "hf-cache",
                                    "x",   "'y'",  "\"nodepools\"", "\"hf-cache\"", "logging"};
static const char *const breaks[] = {"\n", "\r\n", "\r"};

static void put_comments(struct random *r, const char *eol, unsigned indent, struct hfc_buf *to)
{
    while (below(r, 4) == 0) {
        if (below(r, 3) == 0)
            hfc_buf_printf(to, "%s", eol);
        else
            hfc_buf_printf(to, "%*s# note%s", (int)(indent + below(r, 3) * 2), "", eol);
    }
}

static void put_block_list(struct random *r, const char *eol, unsigned indent, struct hfc_buf *to)
{
    unsigned dash = indent + below(r, 2) * 2, gap = 1 + below(r, 2), n = 1 + below(r, 5);

    hfc_buf_str(to, eol);
    for (unsigned i = 0; i < n; i++) {
        put_comments(r, eol, dash, to);
        hfc_buf_printf(to, "%*s-%*s%s%s%s", (int)dash, "", (int)gap, "", names[below(r, 10)],
                       below(r, 4) == 0 ? "  # why" : "", eol);
    }
    put_comments(r, eol, indent, to);
}

static void put_flow_list(struct random *r, const char *eol, struct hfc_buf *to)
{
    unsigned n = below(r, 5);
    bool lines = below(r, 3) == 0;

    hfc_buf_str(to, " [");
    for (unsigned i = 0; i < n; i++)
        hfc_buf_printf(to, "%s%s%s%s", lines ? eol : "", lines ? "      " : "", names[below(r, 10)],
                       i + 1 == n ? ""
                       : lines    ? ","
                                  : ", ");
    hfc_buf_printf(to, "%s%s]%s%s", lines ? eol : "", lines ? "    " : "",
                   below(r, 4) == 0 ? " # flow" : "", eol);
}

static void make_text(struct random *r, struct hfc_buf *to)
{
    const char *eol = breaks[below(r, 3)];

    hfc_buf_printf(to, "# clusters%sdefaults: {region: r}%sclusters:%s", eol, eol, eol);
    for (unsigned c = 0, n = 1 + below(r, 3); c < n; c++) {
        put_comments(r, eol, 2, to);
        hfc_buf_printf(to, "  %s:%s    region: 'q'%s    modules:",
                       c == n - 1 ? "a"
                       : c        ? "b"
                                  : "c",
                       eol, eol);
        if (below(r, 3) == 0)
            put_flow_list(r, eol, to);
        else
            put_block_list(r, eol, 4, to);
        if (below(r, 2) == 0)
            hfc_buf_printf(to, "    after: 1%s", eol);
    }
    if (below(r, 3) == 0)
        to->len -= strlen(eol);
    to->data[to->len] = '\0';
}

/* If `there` changes the text, `back` gives the same bytes again, and neither repeats itself. */
static bool check_inverse(edit_function *there, edit_function *back, const struct hfc_buf *text,
                          const char *module)
{
    hfc_autobuf struct hfc_buf changed;

    hfc_buf_init(&changed, TEXT_MAX);
    if (edit_len(there, text->data, text->len, module) != EDIT_DONE)
        return false;
    hfc_buf_add(&changed, out.data, out.len);
    assert_true(changed.len != text->len || memcmp(changed.data, text->data, text->len) != 0);
    assert_int_equal(edit_len(there, changed.data, changed.len, module), EDIT_NOTHING_TO_DO);
    assert_int_equal(edit_len(back, changed.data, changed.len, module), EDIT_DONE);
    assert_int_equal(out.len, text->len);
    assert_memory_equal(out.data, text->data, text->len);
    return true;
}

static void enable_and_disable_are_inverse_on_random_files(void **state)
{
    enum { FILES = 1500 };
    static const char *const modules[] = {"hf-cache", "x", "keda"};
    unsigned changed = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= FILES; seed++) {
        hfc_autobuf struct hfc_buf text;
        struct random r = {seed * 0x9e3779b97f4a7c15U};
        hfc_buf_init(&text, TEXT_MAX);
        make_text(&r, &text);
        const char *module = modules[seed % 3];
        changed += check_inverse(edit_enable, edit_disable, &text, module);
        changed += check_inverse(edit_disable, edit_enable, &text, module);
    }
    /* Refusing everything would be inverse too. */
    assert_true(changed > FILES * 8 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hf_cache_goes_before_the_first_nodepools),
        cmocka_unit_test(other_modules_go_to_the_end),
        cmocka_unit_test(comments_above_nodepools_stay_with_it),
        cmocka_unit_test(comments_farther_off_stay_where_they_are),
        cmocka_unit_test(style_is_copied_from_a_neighbour),
        cmocka_unit_test(a_file_without_final_newline_stays_one),
        cmocka_unit_test(flow_lists_are_edited_in_place),
        cmocka_unit_test(an_item_with_more_to_it_becomes_a_comment),
        cmocka_unit_test(items_that_stand_twice_are_all_commented_out),
        cmocka_unit_test(comments_of_other_modules_are_left_alone),
        cmocka_unit_test(items_of_several_lines_stay_whole),
        cmocka_unit_test(only_the_cluster_named_is_edited),
        cmocka_unit_test(a_missing_or_odd_list_is_refused),
        cmocka_unit_test(a_shared_list_is_refused),
        cmocka_unit_test(what_cannot_be_undone_is_refused),
        cmocka_unit_test(what_cannot_be_added_safely_is_refused),
        cmocka_unit_test(an_alias_bomb_is_refused_soon),
        cmocka_unit_test(enable_and_disable_are_inverse_on_random_files),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
