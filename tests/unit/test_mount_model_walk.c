/* test_mount_model_walk.c: the files of a model in their order (mount/model_walk.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "model_walk.h"

enum { ROOM = 16 * 1024 * 1024, MANY = 1000 };

static struct hfc_error err;
static struct nametree_builder *builder;
static struct nametree *tree;
static char path[HFC_KEY_MAX + 1];
static struct node node;

static int setup(void **state)
{
    (void)state;
    builder = nametree_builder_new(ROOM);
    tree = NULL;
    path[0] = '\0';
    return builder != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    nametree_builder_free(builder);
    nametree_unref(tree);
    return 0;
}

static void add(const char *key, const char *commit)
{
    struct hfc_entry e = {.key = key, .etag = "e", .size = 1};

    if (commit != NULL)
        (void)snprintf(e.commit, sizeof(e.commit), "%s", commit);
    if (nametree_add(builder, &e, &err) < 0)
        fail_msg("%s: %s", key, err.msg);
}

static void finish(void)
{
    tree = nametree_finish(hfc_steal_ptr(&builder), "v", &err);
    assert_non_null(tree);
}

static void assert_next(const char *expected)
{
    char before[sizeof(path)];

    memcpy(before, path, sizeof(before));
    bool found = model_next(tree, "hub/models--o--m", path, &node);

    if (expected == NULL) {
        assert_false(found);
        assert_string_equal(path, before);
    } else if (!found)
        fail_msg("%s does not come", expected);
    else
        assert_string_equal(path, expected);
}

static void names_become_folders(void **state)
{
    char folder[MODEL_FOLDER_MAX];

    (void)state;
    assert_int_equal(walk_folder("org/name", folder, &err), 0);
    assert_string_equal(folder, "hub/models--org--name");
    assert_int_equal(walk_folder("datasets/org/name", folder, &err), 0);
    assert_string_equal(folder, "hub/datasets--org--name");
    assert_int_equal(walk_folder("gpt2", folder, &err), 0);
    assert_string_equal(folder, "hub/models--gpt2");
}

static void what_is_no_name_is_refused(void **state)
{
    static const char *const bad[] = {"",     "/",       "a/",  "/a",        "a/b/c",      "../b",
                                      "a/..", ".hidden", "a//", "datasets/", "datasets//a"};
    char folder[MODEL_FOLDER_MAX], name[MODEL_FOLDER_MAX + 1];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        if (walk_folder(bad[i], folder, &err) == 0)
            fail_msg("'%s' is taken for %s", bad[i], folder);
        assert_non_null(strstr(err.msg, "expected ORG/NAME"));
    }
    assert_int_equal(walk_folder("a/b@main", folder, &err), -1);
    assert_non_null(strstr(err.msg, "leave out the revision"));
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(walk_folder(name, folder, &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
}

static void all_files_come_once_and_refs_do_not(void **state)
{
    static const char commit[] = "0123456789012345678901234567890123456789";

    (void)state;
    add("hub/models--o--l/snapshots/a/x", NULL);
    add("hub/models--o--m/a", NULL);
    add("hub/models--o--m/refs/main", commit);
    add("hub/models--o--m/snapshots/a/b/c", NULL);
    add("hub/models--o--m/snapshots/a/d", NULL);
    add("hub/models--o--m/snapshots/b", NULL);
    add("hub/models--o--n/snapshots/a/x", NULL);
    finish();
    assert_next("a");
    assert_next("snapshots/a/b/c");
    assert_int_equal(node.size, 1);
    assert_next("snapshots/a/d");
    assert_next("snapshots/b");
    assert_next(NULL);
}

/* Bytes order "a-b" before "a/b"; folders are gone through by their names: "a" before "a-b". */
static void folders_are_gone_through_by_their_names(void **state)
{
    (void)state;
    add("hub/models--o--m/a-b", NULL);
    add("hub/models--o--m/a/b", NULL);
    add("hub/models--o--m/a/c", NULL);
    finish();
    assert_next("a/b");
    assert_next("a/c");
    assert_next("a-b");
    assert_next(NULL);
}

static void a_walk_goes_on_in_another_tree(void **state)
{
    (void)state;
    add("hub/models--o--m/a/b", NULL);
    add("hub/models--o--m/a/d", NULL);
    add("hub/models--o--m/c", NULL);
    finish();
    /* The file it was at, and its folder, are gone. */
    (void)snprintf(path, sizeof(path), "a/c/x");
    assert_next("a/d");
    (void)snprintf(path, sizeof(path), "b/z/y");
    assert_next("c");
    /* A folder where a file was, and the other way round. */
    (void)snprintf(path, sizeof(path), "a");
    assert_next("c");
    (void)snprintf(path, sizeof(path), "c/x");
    assert_next(NULL);
}

static void a_large_folder_is_gone_through(void **state)
{
    char key[64];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof(key), "hub/models--o--m/f%04u", i);
        add(key, NULL);
    }
    finish();
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof(key), "f%04u", i);
        assert_next(key);
    }
    assert_next(NULL);
    for (unsigned i = 0; i + 1 < MANY; i++) {
        (void)snprintf(path, sizeof(path), "f%04u-", i); /* between two of them */
        (void)snprintf(key, sizeof(key), "f%04u", i + 1);
        assert_next(key);
    }
}

static void where_there_is_nothing_nothing_comes(void **state)
{
    (void)state;
    assert_false(model_next(NULL, "hub/models--o--m", path, &node));
    add("hub/models--o--m", NULL); /* a file */
    finish();
    assert_next(NULL);
    assert_false(model_next(tree, "hub/models--o--x", path, &node));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_become_folders),
        T(what_is_no_name_is_refused),
        T(all_files_come_once_and_refs_do_not),
        T(folders_are_gone_through_by_their_names),
        T(a_walk_goes_on_in_another_tree),
        T(a_large_folder_is_gone_through),
        T(where_there_is_nothing_nothing_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
