/* test_suggest.c: which mistyped words gen/suggest.c recognises, and which it leaves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "suggest.h"

static const char *const keys[] = {"runner_group", "max_runners", "vcpu", "gpu", "memory", NULL};

static void expect(const char *word, const char *nearest)
{
    const char *got = suggest(word, keys);

    if (nearest == NULL)
        assert_null(got);
    else {
        assert_non_null(got);
        assert_string_equal(got, nearest);
    }
}

static void a_known_word_needs_no_suggestion(void **state)
{
    (void)state;
    expect("runner_group", NULL);
    expect("gpu", NULL);
}

static void dash_underscore_and_case_do_not_count(void **state)
{
    (void)state;
    expect("runner-group", "runner_group");
    expect("runnerGroup", "runner_group");
    expect("Max-Runners", "max_runners");
    expect("VCPU", "vcpu");
}

static void every_kind_of_edit_is_one(void **state)
{
    (void)state;
    expect("memry", "memory");
    expect("mmory", "memory");
    expect("vcpux", "vcpu");
    expect("vcpq", "vcpu");
    expect("vpcu", "vcpu");
}

static void short_words_may_be_one_edit_away(void **state)
{
    (void)state;
    expect("mem0y", NULL);
    expect("vxpx", NULL);
    expect("memorx", "memory");
}

static void long_words_may_be_two_edits_away(void **state)
{
    (void)state;
    expect("runner_goup", "runner_group");
    expect("runer_goup", "runner_group");
    expect("rner_goup", NULL);
    expect("amx_urnners", "max_runners");
}

static void the_nearest_wins_then_the_first(void **state)
{
    static const char *const words[] = {"abcdefgx", "abcdefgh", "abcdefgy", NULL};

    (void)state;
    assert_string_equal(suggest("abcdefghi", words), "abcdefgh");
    assert_string_equal(suggest("abcdefgz", words), "abcdefgx");
}

static void nothing_in_common_is_not_near(void **state)
{
    static const char *const words[] = {"x", "-", NULL};

    (void)state;
    assert_null(suggest("y", words));
    assert_null(suggest("", words));
    assert_null(suggest("_", words));
    assert_null(suggest("anything", (const char *const[]){NULL}));
}

static void very_long_words_are_left_alone(void **state)
{
    char word[200];
    const char *const words[] = {word, NULL};

    (void)state;
    memset(word, 'a', sizeof(word));
    word[65] = '\0';
    char near[66];
    memcpy(near, word, sizeof(near));
    near[64] = 'b';
    assert_null(suggest(near, words));
    word[64] = near[64] = '\0';
    near[63] = 'b';
    assert_ptr_equal(suggest(near, words), word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_word_needs_no_suggestion),
        cmocka_unit_test(dash_underscore_and_case_do_not_count),
        cmocka_unit_test(every_kind_of_edit_is_one),
        cmocka_unit_test(short_words_may_be_one_edit_away),
        cmocka_unit_test(long_words_may_be_two_edits_away),
        cmocka_unit_test(the_nearest_wins_then_the_first),
        cmocka_unit_test(nothing_in_common_is_not_near),
        cmocka_unit_test(very_long_words_are_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
