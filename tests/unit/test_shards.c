/* test_shards.c: which clusters split a queue, and in which order. */
#include "tree.h"

#include "shards.h"

static struct tree t;

static int set_up(void **state)
{
    (void)state;
    t = tree_new("{}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_free(&t);
    return 0;
}

static void open_on(const char *clusters)
{
    tree_write(&t, "clusters.yaml", clusters);
    assert_true(tree_open(&t));
}

static void is(const char *cluster, const char *module, const char *prefix, size_t index,
               size_t count)
{
    struct shard s = shards_find(&t.ws, cluster, module, prefix);

    assert_int_equal(s.index, index);
    assert_int_equal(s.count, count);
}

static void peers_are_sorted_by_id(void **state)
{
    (void)state;
    open_on("clusters:\n"
            "  b: {modules: [m], arc-runners: {runner_name_prefix: x-}}\n"
            "  a: {modules: [m], arc-runners: {runner_name_prefix: x-}}\n"
            "  a-b: {modules: [other, m], arc-runners: {runner_name_prefix: x-}}\n"
            "  B: {modules: [m, m], arc-runners: {runner_name_prefix: x-}}\n");
    is("B", "m", "x-", 0, 4);
    is("a", "m", "x-", 1, 4);
    is("a-b", "m", "x-", 2, 4);
    is("b", "m", "x-", 3, 4);
    assert_int_equal(diags_count(t.ws.diags), 0);
}

static void module_and_prefix_must_agree(void **state)
{
    (void)state;
    open_on("clusters:\n"
            "  a: {modules: [m], arc-runners: {runner_name_prefix: w}}\n"
            "  b: {modules: [m], arc-runners: {runner_name_prefix: x}}\n"
            "  c: {modules: [m2, m], arc-runners: {runner_name_prefix: x}}\n"
            "  d: {modules: [m2], arc-runners: {runner_name_prefix: x}}\n"
            "  e: {arc-runners: {runner_name_prefix: x}}\n"
            "  f: {modules: [m], arc-runners: {runner_name_prefix: xx}}\n");
    is("a", "m", "w", 0, 1);
    is("b", "m", "x", 0, 2);
    is("c", "m", "x", 1, 2);
    is("c", "m2", "x", 0, 2);
    is("d", "m2", "x", 1, 2);
    is("f", "m", "xx", 0, 1);
    is("d", "m", "x", 0, 1); /* not among the peers */
    is("e", "m", "x", 0, 1);
    is("b", "none", "x", 0, 1);
    is("gone", "m", "x", 0, 1);
}

static void opt_variants_are_one_module(void **state)
{
    (void)state;
    open_on("clusters:\n"
            "  a: {modules: [m-opt]}\n"
            "  b: {modules: [m]}\n"
            "  c: {modules: [m-opt-opt]}\n"
            "  d: {modules: [m-opt2]}\n"
            "  e: {modules: [-opt]}\n");
    is("a", "m", "", 0, 2);
    is("b", "m-opt", "", 1, 2);
    is("c", "m-opt-opt", "", 0, 1); /* just one is taken off */
    is("d", "m", "", 0, 1);
    is("e", "-opt", "", 0, 1);
}

static void no_prefix_is_an_empty_one(void **state)
{
    (void)state;
    open_on("defaults: {arc-runners: {runner_name_prefix: d-}}\n"
            "clusters:\n"
            "  a: {modules: [m]}\n"
            "  b: {modules: [m], arc-runners: null}\n"
            "  c: {modules: [m], arc-runners: {}}\n"
            "  d: {modules: [m], arc-runners: {runner_name_prefix: null}}\n"
            "  e: {modules: [m], arc-runners: {runner_name_prefix: ''}}\n"
            "  f: {modules: [m], arc-runners: {runner_name_prefix: 5}}\n");
    is("a", "m", "", 0, 5);
    is("e", "m", "", 4, 5);
    is("a", "m", "d-", 0, 1); /* defaults do not make a cluster a peer */
    is("f", "m", "5", 0, 1);
    assert_int_equal(diags_count(t.ws.diags), 0);
}

static void malformed_clusters_are_reported_once(void **state)
{
    (void)state;
    open_on("clusters:\n"
            "  a: {modules: [m]}\n"
            "  7: {modules: [m]}\n"
            "  b: [m]\n"
            "  c: {modules: m}\n"
            "  d: {modules: [m], arc-runners: text}\n"
            "  e: {modules: [5, m]}\n"
            "  f: {modules: null}\n");
    is("a", "m", "", 0, 2);
    is("e", "m", "", 1, 2);
    is("a", "other", "", 0, 1);
    assert_int_equal(tree_found_at(&t, D_TYPE, 3, 3), 1);
    assert_int_equal(tree_found_at(&t, D_TYPE, 4, 6), 1);
    assert_int_equal(tree_found_at(&t, D_TYPE, 5, 16), 1);
    assert_int_equal(tree_found_at(&t, D_TYPE, 6, 34), 1);
    assert_int_equal(tree_found_at(&t, D_TYPE, 7, 17), 1);
    assert_int_equal(diags_count(t.ws.diags), 5);
}

static void no_clusters_no_peers(void **state)
{
    (void)state;
    open_on("clusters: {}\n");
    is("a", "m", "", 0, 1);
}

#define SHARD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARD_TEST(peers_are_sorted_by_id),
        SHARD_TEST(module_and_prefix_must_agree),
        SHARD_TEST(opt_variants_are_one_module),
        SHARD_TEST(no_prefix_is_an_empty_one),
        SHARD_TEST(malformed_clusters_are_reported_once),
        SHARD_TEST(no_clusters_no_peers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
