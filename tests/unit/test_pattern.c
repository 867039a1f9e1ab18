/* test_pattern.c: globs, and which files of a repository are wanted (refresh/pattern.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models.h"
#include "pattern.h"

/* What fnmatch.fnmatchcase() of Python 3.11 says. */
static const struct {
    const char *pattern, *name;
    bool matches;
} table[] = {
    {"*.json", "a.json", true},
    {"*.json", "a/b.json", true},
    {"*.json", ".json", true},
    {"*.json", "a.jsonx", false},
    {"*.json", "a.json\n", false},
    {"a\?c", "abc", true},
    {"a\?c", "a/c", true},
    {"a\?c", "ac", false},
    {"a\?c", "a\303\244c", true},
    {"a\?c", "a\360\237\230\200c", true},
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "a/b/c", true},
    {"**", "x", true},
    {"a**b", "aXb", true},
    {"\?*", "a", true},
    {"\?*", "", false},
    {"[abc]", "b", true},
    {"[abc]", "d", false},
    {"[a-c]x", "bx", true},
    {"[a-c]", "d", false},
    {"[!a-c]", "d", true},
    {"[!a-c]", "b", false},
    {"[!a]", "/", true},
    {"[]]", "]", true},
    {"[]a]", "a", true},
    {"[]a]", "]", true},
    {"[!]]", "]", false},
    {"[!]]", "a", true},
    {"[!]", "!", false},
    {"[!]", "[!]", true},
    {"[]", "[]", true},
    {"[]", "]", false},
    {"[", "[", true},
    {"a[", "a[", true},
    {"[a", "[a", true},
    {"[a", "a", false},
    {"[!", "[!", true},
    {"x[y", "x[y", true},
    {"[a-]", "-", true},
    {"[a-]", "a", true},
    {"[a-]", "b", false},
    {"[-a]", "-", true},
    {"[-a]", "a", true},
    {"[-a]", "b", false},
    {"[!-a]", "-", false},
    {"[!-a]", "b", true},
    {"[--a]", "A", true},
    {"[--a]", "b", false},
    {"[b-a]", "a", false},
    {"[b-a]", "b", false},
    {"[b-a]", "", false},
    {"[!b-a]", "a", true},
    {"[!b-a]", "", false},
    {"[ab-AB]", "a", true},
    {"[ab-AB]", "b", false},
    {"[ab-AB]", "B", true},
    {"[a-c-e]", "b", true},
    {"[a-c-e]", "-", true},
    {"[a-c-e]", "d", false},
    {"[a-c-e]", "e", true},
    {"[z-a--b]", "A", true},
    {"[z-a--b]", "z", false},
    {"[c-a-b]", "-", true},
    {"[c-a-b]", "b", true},
    {"[c-a-b]", "a", false},
    {"[^a]", "^", true},
    {"[^a]", "a", true},
    {"[^a]", "b", false},
    {"[[]", "[", true},
    {"[[a]", "a", true},
    {"[[:alpha:]]", "a]", true},
    {"[[:alpha:]]", "p", false},
    {"[[:alpha:]]", ":]", true},
    {"[\\]", "\\", true},
    {"[a\\]", "\\", true},
    {"\\*", "\\x", true},
    {"\\*", "*", false},
    {"[&&]", "&", true},
    {"[a||b]", "|", true},
    {"[~~]", "~", true},
    {"[a&&b]", "a", true},
    {"[\303\240-\303\277]", "\303\251", true},
    {"[\303\240-\303\277]", "e", false},
    {"\303\251", "e\314\201", false},
    {"[!\303\251]", "\303\251", false},
    {"[\360\237\230\200-\360\237\231\217]", "\360\237\230\220", true},
    {"onnx/*", "onnx/a/b", true},
    {"onnx/*", "onnx/", true},
    {"onnx/*", "onnx", false},
    {"onnx/*", "x/onnx/a", false},
    {"*/onnx/*", "x/onnx/a", true},
    {"A*", "a", false},
    {"a.b", "axb", false},
    {"a+b", "a+b", true},
    {"a+b", "aab", false},
    {"(a)", "(a)", true},
    {"a{1}", "a{1}", true},
    {"a|b", "a", false},
    {"a$", "a$", true},
    {"^a", "a", false},
    {".*", "ab", false},
    {"*a*b*c*", "xxaxxbxxcxx", true},
    {"*a*b*c*", "xxaxxcxxbxx", false},
    {"*ab", "aab", true},
    {"*aab", "aaab", true},
    {"*.safetensors", "model-00001-of-00002.safetensors", true},
    {"model-*-of-*.safetensors", "model-00001-of-00002.safetensors", true},
    {"model-\?\?\?\?\?-of-\?\?\?\?\?.*", "model-00001-of-00002.safetensors", true},
    {"[!.]*", "a", true},
    {"[!.]*", ".a", false},
    {"a[/]b", "a/b", true},
    {"*[0-9]", "x7", true},
    {"*[!0-9]", "x7", false},
    {"\n", "\n", true},
    {"\?", "\n", true},
    {"[", "]", false},
    {"*]", "a]", true},
    {"[]-a]", "_", true},
    {"[]-a]", "b", false},
    {"[!]-a]", "_", false},
    {"[!]-a]", "b", true},
    {"[a]]", "a]", true},
    {"[a]]", "a", false},
};

static void globs_match_as_in_python(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (pattern_match(table[i].pattern, table[i].name) != table[i].matches)
            fail_msg("\"%s\" and \"%s\"", table[i].pattern, table[i].name);
}

static void a_byte_that_is_no_utf8_is_a_character(void **state)
{
    (void)state;
    assert_true(pattern_match("a?b", "a\xFF"
                                     "b"));
    assert_true(pattern_match("a\xFF"
                              "b",
                              "a\xFF"
                              "b"));
    assert_false(pattern_match("a\xFE"
                               "b",
                               "a\xFF"
                               "b"));
    assert_false(pattern_match("\xFF", "\xC3\xBF"));
}

/* Exponential time would not end within anybody's life. */
static void many_stars_take_no_exponential_time(void **state)
{
    char pattern[1025] = "", name[968] = "";

    (void)state;
    for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
        memcpy(pattern + i, "*a", 3);
    memset(name, 'a', sizeof(name) - 2);
    name[sizeof(name) - 2] = 'b';
    assert_false(pattern_match(pattern, name));
    memset(pattern, '[', sizeof(pattern) - 1);
    assert_false(pattern_match(pattern, name));
}

static bool wants(const char *line, const char *path)
{
    struct models m;

    assert_int_equal(models_parse(line, strlen(line), &m, NULL, NULL), 0);
    bool wanted = model_wants(&m.list[0], path);
    models_free(&m);
    return wanted;
}

static void without_globs_everything_is_wanted(void **state)
{
    (void)state;
    assert_true(wants("a/b", "x/y.bin"));
    assert_true(wants("a/b", ".gitattributes"));
}

static void allow_takes_what_matches_any(void **state)
{
    (void)state;
    assert_true(wants("a/b allow=*.json allow=*.txt", "x.txt"));
    assert_true(wants("a/b allow=*.json allow=*.txt", "d/x.json"));
    assert_false(wants("a/b allow=*.json allow=*.txt", "x.bin"));
}

static void ignore_drops_from_what_allow_left(void **state)
{
    (void)state;
    assert_false(wants("a/b allow=*.json ignore=x*", "x.json"));
    assert_true(wants("a/b allow=*.json ignore=x*", "y.json"));
    assert_false(wants("a/b ignore=*.bin ignore=*.h5", "m.h5"));
    assert_true(wants("a/b ignore=*.bin ignore=*.h5", "m.x"));
}

static void a_slash_at_the_end_means_all_below(void **state)
{
    (void)state;
    assert_true(wants("a/b allow=onnx/", "onnx/x/y"));
    assert_false(wants("a/b allow=onnx/", "onnx"));
    assert_false(wants("a/b ignore=onnx/", "onnx/x"));
    assert_true(wants("a/b ignore=onnx/", "x/onnx/y"));
    char line[1100] = "a/b allow=";
    memset(line + 10, 'x', 1024);
    line[10 + 1023] = '/';
    assert_false(wants(line, "x"));
}

static void config_only_takes_no_weights(void **state)
{
    static const char *const yes[] = {"config.json", "vocab.txt", "tokenizer.model",
                                      "chat_template.jinja", "d/x.json"};
    static const char *const no[] = {"model.safetensors", "README.md", "x.py", "json"};

    (void)state;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(wants("a/b config-only", yes[i]));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(wants("a/b config-only", no[i]));
    assert_false(wants("a/b config-only allow=*.safetensors", "m.safetensors"));
    assert_false(wants("a/b config-only allow=c*", "vocab.txt"));
    assert_false(wants("a/b config-only ignore=c*", "config.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs_match_as_in_python),
        cmocka_unit_test(a_byte_that_is_no_utf8_is_a_character),
        cmocka_unit_test(many_stars_take_no_exponential_time),
        cmocka_unit_test(without_globs_everything_is_wanted),
        cmocka_unit_test(allow_takes_what_matches_any),
        cmocka_unit_test(ignore_drops_from_what_allow_left),
        cmocka_unit_test(a_slash_at_the_end_means_all_below),
        cmocka_unit_test(config_only_takes_no_weights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
