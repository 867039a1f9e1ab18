/* test_diag.c: the collection of findings (gen/diag.c) and its table of codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "diag.h"

static struct arena *arena;
static struct diags *diags;
static const struct source *src;

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    diags = diags_new();
    src = source_from_text(arena, "a.yaml", "a: 1\nb: 2\n", 10);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    diags_free(diags);
    arena_free(arena);
    return 0;
}

static void codes_have_an_id_a_severity_and_a_title(void **state)
{
    (void)state;
    assert_string_equal(diag_code_id(D_NAME_TWICE), "HFG022");
    assert_string_equal(diag_code_id(W_PAUSED), "HFG101");
    assert_int_equal(diag_code_severity(D_NAME_TWICE), DIAG_ERROR);
    assert_int_equal(diag_code_severity(W_PAUSED), DIAG_WARNING);
    assert_string_equal(diag_code_title(D_NAME_TWICE), "two runners with one name");
}

static void no_two_codes_share_an_id(void **state)
{
    (void)state;
    for (int i = 0; i < DIAG_CODES; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(diag_code_id((enum diag_code)i),
                                    diag_code_id((enum diag_code)j));
}

static void a_new_collection_is_empty(void **state)
{
    (void)state;
    assert_int_equal(diags_count(diags), 0);
    assert_int_equal(diags_errors(diags), 0);
    assert_int_equal(diags_warnings(diags), 0);
}

static void errors_and_warnings_are_counted_apart(void **state)
{
    (void)state;
    diags_addf(diags, D_TYPE, (struct srcpos){src, 1, 1}, "one");
    diags_addf(diags, D_TYPE, (struct srcpos){src, 1, 2}, "two");
    diags_addf(diags, W_PAUSED, (struct srcpos){src, 1, 3}, "three");
    assert_int_equal(diags_count(diags), 3);
    assert_int_equal(diags_errors(diags), 2);
    assert_int_equal(diags_warnings(diags), 1);
}

static void findings_keep_the_order_of_report(void **state)
{
    (void)state;
    diags_addf(diags, D_TYPE, (struct srcpos){src, 2, 1}, "%s %d", "late", 7);
    diags_addf(diags, D_MISSING, (struct srcpos){0}, "early");
    assert_string_equal(diags_get(diags, 0)->message, "late 7");
    assert_int_equal(diags_get(diags, 0)->at.line, 2);
    assert_string_equal(diags_get(diags, 1)->message, "early");
    assert_null(diags_get(diags, 1)->at.src);
}

static void the_same_finding_is_kept_once(void **state)
{
    const struct source *again = source_from_text(arena, "a.yaml", "other", 5);
    struct diag item = {.code = D_TYPE, .at = {src, 1, 4}, .message = "m", .hint = "first"};

    (void)state;
    diags_add(diags, &item);
    item.hint = "second";
    diags_add(diags, &item);
    diags_addf(diags, D_TYPE, (struct srcpos){again, 1, 4}, "m");
    assert_int_equal(diags_count(diags), 1);
    assert_int_equal(diags_errors(diags), 1);
    assert_string_equal(diags_get(diags, 0)->hint, "first");
}

static void another_code_place_or_text_is_another_finding(void **state)
{
    const struct source *other = source_from_text(arena, "b.yaml", "", 0);

    (void)state;
    diags_addf(diags, D_TYPE, (struct srcpos){src, 1, 4}, "m");
    diags_addf(diags, D_VALUE, (struct srcpos){src, 1, 4}, "m");
    diags_addf(diags, D_TYPE, (struct srcpos){other, 1, 4}, "m");
    diags_addf(diags, D_TYPE, (struct srcpos){src, 2, 4}, "m");
    diags_addf(diags, D_TYPE, (struct srcpos){src, 1, 5}, "m");
    diags_addf(diags, D_TYPE, (struct srcpos){src, 1, 4}, "n");
    diags_addf(diags, D_TYPE, (struct srcpos){0}, "m");
    assert_int_equal(diags_count(diags), 7);
}

/* With a search through all of them this takes minutes. */
static void many_findings_stay_cheap(void **state)
{
    enum { MANY = 50000 };
    clock_t start = clock();

    (void)state;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < MANY; i++)
            diags_addf(diags, D_TYPE, (struct srcpos){src, 1, 1 + i % 100}, "number %u", i);
    assert_int_equal(diags_count(diags), MANY);
    assert_string_equal(diags_get(diags, MANY - 1)->message, "number 49999");
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
}

static void texts_made_in_its_arena_live_as_long_as_the_collection(void **state)
{
    const char *text = arena_printf(diags_arena(diags), "made %d", 1);

    (void)state;
    diags_add(diags, &(struct diag){.code = D_VALUE, .message = text, .found = text});
    assert_ptr_equal(diags_get(diags, 0)->found, text);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    diags_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_an_id_a_severity_and_a_title),
        cmocka_unit_test(no_two_codes_share_an_id),
        cmocka_unit_test_setup_teardown(a_new_collection_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_and_warnings_are_counted_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(findings_keep_the_order_of_report, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_finding_is_kept_once, setup, teardown),
        cmocka_unit_test_setup_teardown(another_code_place_or_text_is_another_finding, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_findings_stay_cheap, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_made_in_its_arena_live_as_long_as_the_collection,
                                        setup, teardown),
        cmocka_unit_test(freeing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
