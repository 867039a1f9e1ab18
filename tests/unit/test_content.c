/* test_content.c: entries by their hashes (refresh/content.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "content.h"

static struct hfc_index *x;
static struct content table;
static struct hfc_error err;

static int setup(void **state)
{
    (void)state;
    x = hfc_index_new(1 << 20);
    table = (struct content){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    content_free(&table);
    hfc_index_free(x);
    return 0;
}

/* An entry whose hashes are made of one byte each; 0: it has none. */
static const struct hfc_entry *put(const char *key, uint64_t size, uint8_t sha256, uint8_t sha1)
{
    struct hfc_entry e = {.key = key, .etag = "e", .size = size};

    e.meta.has_sha256 = sha256 != 0;
    e.meta.has_git_sha1 = sha1 != 0;
    memset(e.meta.sha256, sha256, sizeof(e.meta.sha256));
    memset(e.meta.git_sha1, sha1, sizeof(e.meta.git_sha1));
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    content_add(&table, hfc_index_find(x, key));
    return hfc_index_find(x, key);
}

static struct content_id id_of(bool lfs, uint8_t byte, uint64_t size)
{
    struct content_id id = {.lfs = lfs, .size = size};

    memset(id.sha256, lfs ? byte : 0, sizeof(id.sha256));
    memset(id.git_sha1, lfs ? 0 : byte, sizeof(id.git_sha1));
    return id;
}

static void content_is_found_by_either_hash(void **state)
{
    (void)state;
    const struct hfc_entry *a = put("a", 5, 1, 2);
    const struct hfc_entry *b = put("b", 6, 3, 0);
    const struct content_id sha256 = id_of(true, 1, 5), sha1 = id_of(false, 2, 5);
    const struct content_id other = id_of(true, 3, 6), none = id_of(true, 9, 5);
    const struct content_id kinds = id_of(false, 1, 5);

    assert_ptr_equal(content_find(&table, &sha256), a);
    assert_ptr_equal(content_find(&table, &sha1), a);
    assert_ptr_equal(content_find(&table, &other), b);
    assert_null(content_find(&table, &none));
    assert_null(content_find(&table, &kinds));
}

static void the_size_has_to_agree(void **state)
{
    (void)state;
    const struct content_id wrong = id_of(true, 1, 4);

    (void)put("a", 5, 1, 0);
    assert_null(content_find(&table, &wrong));
}

static void a_twin_does_not_replace_the_first(void **state)
{
    (void)state;
    const struct hfc_entry *first = put("a", 5, 1, 0);
    const struct hfc_entry *second = put("b", 5, 1, 0);
    const struct content_id id = id_of(true, 1, 5);

    assert_ptr_equal(content_find(&table, &id), first);
    content_remove(&table, second);
    assert_ptr_equal(content_find(&table, &id), first);
    content_remove(&table, first);
    assert_null(content_find(&table, &id));
    content_remove(&table, first);
}

static void many_come_and_go(void **state)
{
    char key[16];

    (void)state;
    for (int i = 1; i < 250; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        (void)put(key, (uint64_t)i, (uint8_t)i, (uint8_t)(i + 1));
    }
    for (int i = 1; i < 250; i += 2) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        content_remove(&table, hfc_index_find(x, key));
    }
    for (int i = 1; i < 250; i++) {
        const struct content_id id = id_of(true, (uint8_t)i, (uint64_t)i);
        assert_int_equal(content_find(&table, &id) != NULL, i % 2 == 0);
    }
}

static void matching_needs_size_and_the_right_hash(void **state)
{
    const struct content_id lfs = id_of(true, 1, 5), plain = id_of(false, 2, 5);
    struct hfc_meta meta = {.has_sha256 = true, .has_git_sha1 = true};

    (void)state;
    memset(meta.sha256, 1, sizeof(meta.sha256));
    memset(meta.git_sha1, 2, sizeof(meta.git_sha1));
    assert_true(content_matches(&lfs, 5, &meta));
    assert_true(content_matches(&plain, 5, &meta));
    assert_false(content_matches(&lfs, 4, &meta));
    meta.sha256[0] = meta.git_sha1[0] = 7;
    assert_false(content_matches(&lfs, 5, &meta));
    assert_false(content_matches(&plain, 5, &meta));
    memset(&meta, 1, sizeof(meta));
    meta.has_sha256 = meta.has_git_sha1 = false;
    assert_false(content_matches(&lfs, 5, &meta));
    assert_false(content_matches(&plain, 5, &meta));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(content_is_found_by_either_hash, setup, teardown),
        cmocka_unit_test_setup_teardown(the_size_has_to_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(a_twin_does_not_replace_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(many_come_and_go, setup, teardown),
        cmocka_unit_test(matching_needs_size_and_the_right_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
