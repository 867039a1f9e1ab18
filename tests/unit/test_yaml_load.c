/* test_yaml_load.c: proves what is read and what is refused, where values and refusals stand, how
 * merges, duplicates and aliases come out, and that bad bytes and bombs are turned away. Expected
 * values are what PyYAML 6.0.3 gives.
 */
#include "yaml_check.h"

static const struct ynode *at_key(struct ydoc doc, const char *key)
{
    const struct ynode *n = ynode_get(doc.root, key);

    assert_non_null(n);
    return n;
}

static void check_pos(const struct ynode *n, uint32_t line, uint32_t col)
{
    assert_int_equal(n->line, line);
    assert_int_equal(n->col, col);
}

static void documents_read_as_pyyaml_reads_them(void **state)
{
    static const struct reading list[] = {
        {"", "None"},
        {"# only a comment\n", "None"},
        {"---\n...\n", "None"},
        {"%YAML 1.1\n--- a\n", "'a'"},
        {"a: 1\nb:\n- x\n- y: z\nc: [1, {d: e}]\n",
         "{'a': 1, 'b': ['x', {'y': 'z'}], 'c': [1, {'d': 'e'}]}"},
        {"? a\n: b\n", "{'a': 'b'}"},
        {"{a, b: , 'c':d, ? e : f}", "{'a': None, 'b': None, 'c': 'd', 'e': 'f'}"},
        {"[a: b, ? c, 1: 2]", "[{'a': 'b'}, {'c': None}, {1: 2}]"},
        {"a: one\n  two\n\n  three\n", "{'a': 'one two\\nthree'}"},
        {"=: 1\n'<<': 2\n", "{'=': 1, '<<': 2}"},
        {"x: !!str {=: y}", "{'x': 'y'}"},
        {"!!omap\n- a: 1\n- [k]: 2\n", "[('a', 1), (['k'], 2)]"},
        {"!!set\n? a\n? b\n", "{'a', 'b'}"},
        {"!!set {a: 1}", "{'a'}"},
        {"!!seq [!!map {a: b}]", "[{'a': 'b'}]"},
        {"a: # c\tomment\n  'b\tc'\n", "{'a': 'b\\tc'}"},
        {"a: |\n  b\tc\n", "{'a': 'b\\tc\\n'}"},
        {"%TAG !t! tag:yaml.org,2002: # c\n--- !t!int '1'", "1"},
        {"a: 'x!y#z'\nb: |- # c\n  !\n", "{'a': 'x!y#z', 'b': '!'}"},
    };

    (void)state;
    CHECK_READINGS(list);
}

static void all_yaml_line_breaks_count(void **state)
{
    static const struct reading list[] = {
        {"a: 1\r\nb: 2\rc: 3\xc2\x85"
         "d: 4\xe2\x80\xa8"
         "e: 5\xe2\x80\xa9",
         "{'a': 1, 'b': 2, 'c': 3, 'd': 4, 'e': 5}"},
        {"- 'a\r\n  b'\n- 'a\r  b'\n- 'a\xc2\x85  b'\n- 'a\xe2\x80\xa8  b'\n",
         "['a b', 'a b', 'a b', 'a\\u2028b']"},
        {"|\n a\r\n b\r c\xc2\x85 d\n", "'a\\nb\\nc\\nd\\n'"},
    };

    (void)state;
    CHECK_READINGS(list);
    check_pos(at_key(parse("a: 1\r\nb: 2\rc: 3\xc2\x85"
                           "d: 4\xe2\x80\xa8"
                           "e: 5"),
                     "e"),
              5, 4);
}

static void a_leading_byte_order_mark_is_dropped(void **state)
{
    struct ydoc doc = parse("\xef\xbb\xbf"
                            "a: 1\nb: 2");

    (void)state;
    assert_string_equal(repr(doc.root), "{'a': 1, 'b': 2}");
    check_pos(at_key(doc, "a"), 1, 5); /* places count all characters of the file */
    check_pos(at_key(doc, "b"), 2, 4);
    assert_string_equal(repr(parse("'\xef\xbb\xbf'").root), "'\\ufeff'");
}

static void values_know_where_they_start(void **state)
{
    struct ydoc doc = parse("top:\n  \xc3\xa9: x\nseq:\n- 1\nflow: &f [a]\nnone:\n"
                            "tagged: !!str &t\n  # note\n  text\nanchored: &m\n  k: v\n"
                            "empty: &e\nodd: &n\n  &p q: r\nlast:");

    (void)state;
    check_pos(doc.root, 1, 1);
    check_pos(at_key(doc, "top"), 2, 3);
    check_pos(ynode_get(at_key(doc, "top"), "\xc3\xa9"), 2, 6);
    check_pos(at_key(doc, "seq"), 4, 1);
    check_pos(at_key(doc, "flow"), 5, 10);
    assert_true(at_key(doc, "flow")->flow && !at_key(doc, "seq")->flow);
    check_pos(at_key(doc, "none"), 6, 6);
    check_pos(at_key(doc, "tagged"), 9, 3);
    check_pos(at_key(doc, "anchored"), 11, 3);
    check_pos(at_key(doc, "empty"), 12, 8);
    check_pos(at_key(doc, "odd"), 14, 3);
    check_pos(at_key(doc, "last"), 15, 6);
    assert_int_equal(ynode_entry(doc.root, "last")->key->col, 1);
    check_pos(parse("---").root, 1, 4);
    check_pos(parse("&a\n&b : x").root, 2, 1);
    check_pos(parse("&a\n&b:\n").root, 2, 1);
    check_pos(parse("").root, 1, 1);
}

static void keys_are_equal_as_in_a_python_dict(void **state)
{
    static const struct reading list[] = {
        {"{a: 1, b: 2, a: 3}", "{'a': 3, 'b': 2}"},
        {"{1: a, 1.0: b, true: c}", "{1: 'c'}"},
        {"{1: a, '1': b, 0x1: c}", "{1: 'c', '1': 'b'}"},
        {"{0: a, -0.0: b, no: c, ~: d, '': e}", "{0: 'c', None: 'd', '': 'e'}"},
        {"{100000000000000000000: a, 1.0e+20: b, 1.5: c, 1.50: d, .inf: e, .inf: f}",
         "{100000000000000000000: 'b', 1.5: 'd', inf: 'f'}"},
        {"{.nan: a, .nan: b}", "{nan: 'b'}"},
        {"{2001-01-01: a, '2001-01-01': b, 2001-01-01 00:00:00: c}",
         "{datetime.date(2001, 1, 1): 'a', '2001-01-01': 'b', "
         "datetime.datetime(2001, 1, 1, 0, 0): 'c'}"},
        {"{2001-01-01 01:00:00+1: a, 2001-01-01 00:00:00Z: b, 2001-01-01 00:00:00: c}",
         "{datetime.datetime(2001, 1, 1, 1, 0, "
         "tzinfo=datetime.timezone(datetime.timedelta(seconds=3600))): 'b', "
         "datetime.datetime(2001, 1, 1, 0, 0): 'c'}"},
        {"{!!binary aGk= : a, hi: b, !!binary aGk== : c}", "{b'hi': 'c', 'hi': 'b'}"},
    };

    (void)state;
    CHECK_READINGS(list);
}

static void duplicates_are_listed_with_both_places(void **state)
{
    struct ydoc doc = parse("a: 1\nb:\n  x: 1\n  x: 2\na: 3\na: 4\n");

    (void)state;
    assert_int_equal(doc.ndups, 3);
    check_pos(doc.dups[0].first, 3, 3);
    check_pos(doc.dups[0].again, 4, 3);
    check_pos(doc.dups[1].first, 1, 1);
    check_pos(doc.dups[1].again, 5, 1);
    check_pos(doc.dups[2].first, 1, 1);
    check_pos(doc.dups[2].again, 6, 1);
    assert_int_equal(parse("x: &x {a: 1}\ny: {<<: *x, a: 2}\n").ndups, 0);
    assert_int_equal(parse("x: &x {a: 1}\ny: {<<: *x, a: 2, a: 3}\n").ndups, 1);
    struct hfc_buf many;
    hfc_buf_init(&many, 1 << 16);
    for (int i = 0; i < 101; i++)
        hfc_buf_str(&many, "k: v\n");
    assert_int_equal(parse_bytes(many.data, many.len).ndups, 100);
    hfc_buf_free(&many);
}

static void merges_have_pyyamls_order_and_precedence(void **state)
{
    static const struct reading list[] = {
        {"[&x {a: 1, b: 2}, {c: 3, <<: *x, a: 4}]", "[{'a': 1, 'b': 2}, {'a': 4, 'b': 2, 'c': 3}]"},
        {"[&x {a: 1, b: 1}, &y {b: 2, c: 2}, {<<: [*x, *y]}]",
         "[{'a': 1, 'b': 1}, {'b': 2, 'c': 2}, {'b': 1, 'c': 2, 'a': 1}]"},
        {"{<<: {a: 1}, <<: {a: 2, b: 2}}", "{'a': 2, 'b': 2}"},
        {"[&x {a: 1}, &y {<<: *x, b: 2}, {<<: *y}]",
         "[{'a': 1}, {'a': 1, 'b': 2}, {'a': 1, 'b': 2}]"},
        {"{<<: !anything {a: 1}, <<: []}", "{'a': 1}"},
        {"!!set {<<: {a: 1}, b}", "{'a', 'b'}"},
        {"{!!merge x: {a: 1}}", "{'a': 1}"},
    };
    static const struct refused bad[] = {
        {"a: <<", 1, 4, "<< can only be a key"},
        {"<<: 1", 1, 5, "a mapping or a list of mappings"},
        {"<<: [{a: 1}, 2]", 1, 14, "a mapping or a list of mappings"},
        {"<<: {a: !x y}", 1, 12, "unknown tag"},
        {"<<: {[a]: b}", 1, 6, "cannot be a key"},
    };

    (void)state;
    CHECK_READINGS(list);
    CHECK_REFUSED(bad);
    struct ydoc doc = parse("x: &x {a: 1, c: 2}\ny:\n  <<: *x\n  b: 3\nz: *x\n");
    assert_true(at_key(doc, "x")->aliased);
    assert_true(ynode_get(at_key(doc, "y"), "a")->aliased);
    assert_false(ynode_get(at_key(doc, "y"), "b")->aliased);
    assert_ptr_equal(at_key(doc, "x"), at_key(doc, "z"));
}

/* `head`, then n lines made of `line`, in which %u is the number. */
static struct hfc_buf lines(const char *head, const char *line, unsigned n)
{
    struct hfc_buf text;

    hfc_buf_init(&text, 1 << 24);
    hfc_buf_str(&text, head);
    for (unsigned i = 1; i <= n; i++)
        hfc_buf_printf(&text, line, i, i, i - 1, i - 1, i);
    return text;
}

static void merge_bombs_are_bounded(void **state)
{
    struct hfc_buf small =
        lines("m0: &m0 {a: 1, b: 2}\n", "m%u: &m%u {<<: [*m%u, *m%u], k%u: 1}\n", 200);
    struct hfc_buf large =
        lines("m0: &m0 {a: 1, b: 2}\n", "m%u: &m%u {<<: [*m%u, *m%u], k%u: 1}\n", 3000);

    (void)state;
    assert_int_equal(at_key(parse_bytes(small.data, small.len), "m200")->n, 202);
    struct yerror err = refusal_bytes(large.data, large.len);
    assert_non_null(strstr(err.problem, "copy too many"));
    hfc_buf_free(&small);
    hfc_buf_free(&large);
}

static void merges_of_many_keys_keep_them_all(void **state)
{
    struct hfc_buf text = lines("x: &x\n", " k%u_%u_%u%u: %u\n", 300);
    unsigned i = 0;

    (void)state;
    hfc_buf_str(&text, "y: &y {a: 1, b: 2, c: 3}\nz: {<<: [*y, *x, *y], d: 4}\n");
    const struct ynode *z = at_key(parse_bytes(text.data, text.len), "z");
    hfc_buf_free(&text);
    assert_int_equal(z->n, 304);
    for (; i < z->n; i++)
        assert_ptr_equal(ynode_get(z, z->entries[i].key->text), z->entries[i].value);
}

static void nesting_has_a_limit(void **state)
{
    char text[1024];

    (void)state;
    memset(text, '[', 512);
    memset(text + 256, ']', 256);
    assert_int_equal(parse_bytes(text, 512).root->n, 1);
    memset(text, '[', 257);
    memset(text + 257, ']', 257);
    struct yerror err = refusal_bytes(text, 514);
    assert_int_equal(err.col, 257);
    assert_non_null(strstr(err.problem, "deeper than 256"));
}

/* PyYAML constructs nothing under a scalar tag but "=": there aliases can nest without end. */
static void nesting_of_skipped_nodes_has_a_limit(void **state)
{
    struct hfc_buf lists =
        lines("m0: !!str {=: x, a: &m0 []}\n", "m%u: !!str {=: x, a: &m%u [*m%u]} #%u%u\n", 1100);
    struct hfc_buf maps = lines("m0: !!str {=: x, a: &m0 {}}\n",
                                "m%u: !!str {=: x, a: &m%u {<<: *m%u}} #%u%u\n", 1100);

    (void)state;
    hfc_buf_str(&lists, "x: *m1100\n");
    hfc_buf_str(&maps, "x: *m1100\n");
    assert_non_null(strstr(refusal_bytes(lists.data, lists.len).problem, "nested too deep"));
    assert_non_null(strstr(refusal_bytes(maps.data, maps.len).problem, "nested too deep"));
    hfc_buf_free(&lists);
    hfc_buf_free(&maps);
}

static void hundred_thousand_keys_are_no_problem(void **state)
{
    struct hfc_buf text = lines("", "%u_%u%u%u: %u\n", 100000);
    struct ydoc doc = parse_bytes(text.data, text.len);

    (void)state;
    hfc_buf_free(&text);
    assert_true(doc.root->n + doc.ndups == 100000);
}

static void aliases_share_and_must_be_known(void **state)
{
    static const struct refused bad[] = {
        {"a: *x", 1, 4, "no anchor"},
        {"a: &x 1\nb: *y", 2, 4, "no anchor"},
        {"&x [*x]", 1, 5, "inside what it refers to"},
        {"a: &x 1\nb: &x 2", 2, 7, "second time"},
        {"a: &x [1]\nb: &x [2]", 2, 7, "second time"},
    };

    (void)state;
    CHECK_REFUSED(bad);
    assert_string_equal(refusal_bytes("a: &x 1\nb: &x 2", 15).context, "the first time is here");
    struct ydoc doc = parse("a: &x [1]\nb: *x\n");
    assert_ptr_equal(at_key(doc, "a"), at_key(doc, "b"));
    assert_string_equal(repr(parse("a: &k x\n*k : 1").root), "{'a': 'x', 'x': 1}");
}

static void what_pyyaml_refuses_is_refused(void **state)
{
    static const struct refused bad[] = {
        {"a: 1\n---\nb: 2\n", 2, 1, "second document"},
        {"[a]: 1", 1, 1, "cannot be a key"},
        {"{{X}}: 1", 1, 2, "cannot be a key"},
        {"a: {{X}}", 1, 5, "cannot be a key"},
        {"? !!set {a}\n: 1", 1, 9, "cannot be a key"},
        {"a: =", 1, 4, "= cannot stand alone"},
        {"a: @x", 1, 4, "cannot start a value"},
        {"a: b: c", 1, 5, "second \":\""},
        {"a: 1\n b: 2", 2, 3, "second \":\""},
        {"a: [1, 2", 1, 9, "expected"},
        {"a: 'x", 1, 6, "end of stream"},
        {"a: !!set [x]", 1, 10, "!!set needs"},
        {"a: !!map x", 1, 10, "!!map needs"},
        {"a: !!seq x", 1, 10, "!!seq needs"},
        {"a: !!omap x", 1, 11, "need a list"},
        {"a: !!omap [x]", 1, 12, "one entry each"},
        {"a: !!pairs [{x: 1, y: 2}]", 1, 13, "one entry each"},
        {"a: !!omap [!x y: 1]", 1, 15, "unknown tag"},
        {"a: !!omap [y: !x 1]", 1, 18, "unknown tag"},
        {"a: !!str [x]", 1, 10, "tag of a scalar"},
        {"a: !!int {x: 1}", 1, 10, "tag of a scalar"},
        {"a: !!timestamp {=: 2001-01-01}", 1, 16, "tag of a scalar"},
        {"[a?b]", 1, 2, "\"?\""},
        {"{a: b?}", 1, 5, "\"?\""},
        {"[x:]", 1, 3, "without a space"},
        {"%FOO\n---\na", 1, 5, "unknown directive"},
    };

    (void)state;
    CHECK_REFUSED(bad);
}

static void tabs_are_refused_where_pyyaml_refuses_them(void **state)
{
    static const struct refused bad[] = {
        {"a:\tb", 1, 3, "found a tab"},
        {"\ta: b", 1, 1, "found a tab"},
        {"a: b\tc", 1, 5, "found a tab"},
        {"a: b\t# c", 1, 5, "found a tab"},
        {"\xc3\xa9: [1,\t2]", 1, 7, "found a tab"},
        {"a: |\t\n  b", 1, 5, "indicator"},
        {"a: | \t\n  b", 1, 6, "found a tab"},
        {"a:\n\tb: 1", 2, 1, "found a tab"},
        {"%YAML\t1.1\n--- a", 1, 6, "found a tab"},
        {"a: |\n \tb", 2, 2, "found a tab"},
        {"a: 1\r\nb:\t2", 2, 3, "found a tab"},
        {"a: 1\xe2\x80\xa8\xc2\x85"
         "b:\t2",
         3, 3, "found a tab"},
    };

    (void)state;
    CHECK_REFUSED(bad);
}

static void glued_tags_headers_and_marks_are_refused(void **state)
{
    static const struct refused bad[] = {
        {"[!!str, a]", 1, 7, "a tag must be followed"},
        {"a: |#c\n  b", 1, 5, "indicator"},
        {"a: >1-#c\n  b", 1, 7, "indicator"},
        {"%YAML 1.1#c\n--- a", 1, 10, "a directive must be followed"},
        {"!!str%00x a", 1, 6, "NUL in a tag"},
        {"a: 1\n\xef\xbb\xbf"
         "b: 2",
         2, 1, "byte order mark"},
    };

    (void)state;
    CHECK_REFUSED(bad);
}

static void bad_bytes_are_refused_with_their_place(void **state)
{
    static const struct refused bad[] = {
        {"a: 1\nb: \xff", 2, 4, "not UTF-8"},
        {"a: \xff\nb: 2\nc: 3", 1, 4, "not UTF-8"},
        {"a: \xc3(", 1, 4, "not UTF-8"},
        {"a: \xc0\x80", 1, 4, "not UTF-8"},
        {"a: \xed\xa0\x80", 1, 4, "not UTF-8"},
        {"a: \xf5\x80\x80\x80", 1, 4, "not UTF-8"},
        {"a: \xe2\x82", 1, 4, "not UTF-8"},
        {"\xc3\xa9\n\xc3\xa9: \x01", 2, 4, "U+0001"},
        {"a: \x7f", 1, 4, "U+007F"},
        {"a: \xc2\x80", 1, 4, "U+0080"},
        {"a: \xef\xbf\xbf", 1, 4, "U+FFFF"},
        {"\xff\xfe"
         "a",
         1, 1, "UTF-16"},
        {"\xfe\xff"
         "a",
         1, 1, "UTF-16"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct yerror err = refusal_bytes(bad[i].text, strlen(bad[i].text));
        assert_non_null(strstr(err.problem, bad[i].words));
        assert_int_equal(err.line, bad[i].line);
        assert_in_range(err.col, bad[i].col, bad[i].col + 1); /* libyaml names the second byte */
    }
    assert_non_null(strstr(refusal_bytes("a: \0b", 5).problem, "U+0000"));
}

static void a_refusal_says_what_was_being_read(void **state)
{
    struct yerror err = refusal_bytes("a:\n  - [1, 2\nb: 3\n", 18);

    (void)state;
    assert_string_equal(err.context, "while parsing a flow sequence");
    assert_int_equal(err.context_line, 2);
    assert_int_equal(err.context_col, 5);
    assert_int_equal(refusal_bytes("a: *x", 5).context_line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        YAML_TEST(documents_read_as_pyyaml_reads_them),
        YAML_TEST(all_yaml_line_breaks_count),
        YAML_TEST(a_leading_byte_order_mark_is_dropped),
        YAML_TEST(values_know_where_they_start),
        YAML_TEST(keys_are_equal_as_in_a_python_dict),
        YAML_TEST(duplicates_are_listed_with_both_places),
        YAML_TEST(merges_have_pyyamls_order_and_precedence),
        YAML_TEST(merge_bombs_are_bounded),
        YAML_TEST(merges_of_many_keys_keep_them_all),
        YAML_TEST(nesting_has_a_limit),
        YAML_TEST(nesting_of_skipped_nodes_has_a_limit),
        YAML_TEST(hundred_thousand_keys_are_no_problem),
        YAML_TEST(aliases_share_and_must_be_known),
        YAML_TEST(what_pyyaml_refuses_is_refused),
        YAML_TEST(tabs_are_refused_where_pyyaml_refuses_them),
        YAML_TEST(glued_tags_headers_and_marks_are_refused),
        YAML_TEST(bad_bytes_are_refused_with_their_place),
        YAML_TEST(a_refusal_says_what_was_being_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
