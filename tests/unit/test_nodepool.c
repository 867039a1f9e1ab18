/* test_nodepool.c: fleets and excluded instance types from node pool definitions. */
#include "tree.h"

#include "nodepool.h"

static struct tree t;
static struct fleets fleets;

#define CLUSTERS                                                                                   \
    "defaults: {region: dd-1}\n"                                                                   \
    "clusters:\n"                                                                                  \
    "  k1: {region: xx-1, modules: [nodepools, nodepools-b, other]}\n"                             \
    "  k2: {modules: [nodepools]}\n"                                                               \
    "  k3: {modules: []}\n"

static bool collect(const char *cluster)
{
    struct cluster c;

    assert_true(tree_open(&t));
    assert_true(cluster_resolve(&t.ws, cluster, &c));
    return nodepool_fleets(&t.ws, t.ws.arena, &c, &fleets);
}

static void one(const char *text)
{
    tree_write(&t, "modules/nodepools/defs/a.yaml", text);
}

static void all_three_shapes(void **state)
{
    (void)state;
    one("fleet: {name: f1, instances: [{type: f1.a}]}\n"
        "fleets: [{name: f2}, {name: f3}]\n"
        "nodepool: {name: ignored, instance_type: f4.metal}\n");
    assert_true(collect("k1"));
    assert_int_equal(fleets.n, 4);
    assert_true(fleets_have(&fleets, "f1") && fleets_have(&fleets, "f2"));
    assert_true(fleets_have(&fleets, "f3") && fleets_have(&fleets, "f4"));
    assert_false(fleets_have(&fleets, "ignored"));
    assert_string_equal(fleets.list[0].origin, "nodepools/a.yaml");
}

static void other_modules_have_no_fleets(void **state)
{
    (void)state;
    one("fleet: {name: f1}\n");
    tree_write(&t, "modules/other/defs/a.yaml", "fleet: {name: f2}\n");
    assert_true(collect("k1"));
    assert_int_equal(fleets.n, 1);
    assert_true(collect("k3"));
    assert_int_equal(fleets.n, 0);
}

static void excluded_regions(void **state)
{
    (void)state;
    one("fleets:\n"
        "  - {name: f1, exclude_regions: [xx-1, yy-1], instances: [{type: f1.a}, {type: f1.b}]}\n"
        "  - {name: f2, exclude_regions: [yy-1], instances: [{type: f2.a}]}\n"
        "  - {name: f3, exclude_regions: null, instances: [{type: f1.b}]}\n"
        "nodepool: {instance_type: f4.metal, exclude_regions: [xx-1]}\n");
    assert_true(collect("k1"));
    assert_false(fleets_have(&fleets, "f1"));
    assert_true(fleets_have(&fleets, "f2") && fleets_have(&fleets, "f3"));
    assert_false(fleets_have(&fleets, "f4"));
    assert_true(fleets_exclude(&fleets, "f1.a") && fleets_exclude(&fleets, "f4.metal"));
    assert_true(fleets_exclude(&fleets, "f1.b")); /* although another fleet has it too */
    assert_false(fleets_exclude(&fleets, "f2.a"));
}

static void odd_pieces_are_somebody_else_s(void **state)
{
    (void)state;
    one("nodepool: {instance_type: [a, b, c]}\n");
    assert_true(collect("k1"));
    assert_int_equal(fleets.n, 0);
    one("fleet: text\nfleets: [1, {name: 7}, {name: ''}, {name: ok, instances: text}]\n"
        "nodepool: [a]\nother: {arch: x}\n");
    assert_true(collect("k1"));
    assert_int_equal(fleets.n, 1);
    one("fleet: {name: f, exclude_regions: [xx-1], instances: [1, {type: [a]}, {type: ''}]}\n");
    assert_true(collect("k1"));
    assert_int_equal(fleets.nexcluded, 0);
    one("- a list\n");
    assert_true(collect("k1"));
    one("");
    assert_true(collect("k1"));
    assert_int_equal(fleets.n, 0);
}

static void regions_must_be_a_list(void **state)
{
    (void)state;
    one("fleet: {name: f1, exclude_regions: xx-1}\n");
    assert_false(collect("k1"));
    assert_int_equal(tree_found(&t, D_TYPE, 1), 1);
    one("fleet: {name: f1, exclude_regions: [xx-1], instances: 5}\n");
    assert_false(collect("k1"));
    assert_int_equal(tree_found(&t, D_TYPE, 1), 1);
}

static void a_fleet_has_one_file(void **state)
{
    (void)state;
    one("fleets: [{name: f1}, {name: f1}]\n");
    assert_true(collect("k1")); /* twice in one file is fine */
    tree_write(&t, "modules/nodepools-b/defs/b.yaml", "fleet: {name: f1}\n");
    assert_false(collect("k1"));
    assert_int_equal(tree_found(&t, D_FLEET_TWICE, 1), 1);
    assert_true(collect("k2")); /* does not have the other module */
    tree_write(&t, "modules/nodepools-b/defs/b.yaml", "{}\n");
}

static void the_runner_pods_fleet_is_not_for_jobs(void **state)
{
    (void)state;
    one("fleet: {name: c7i-runner}\n");
    assert_true(collect("k1"));
    assert_false(fleets_have(&fleets, FLEET_RESERVED));
}

static void default_region_decides_on_fleets(void **state)
{
    (void)state;
    one("fleet: {name: f1, exclude_regions: [dd-1]}\n");
    assert_true(collect("k2"));
    assert_false(fleets_have(&fleets, "f1"));
    assert_int_equal(tree_found(&t, W_REGION_DEFAULT, 0), 1);
    assert_true(collect("k1"));
    assert_true(fleets_have(&fleets, "f1"));
}

static void broken_files(void **state)
{
    (void)state;
    one("fleet: [\n");
    assert_false(collect("k1"));
    assert_int_equal(tree_found(&t, D_SYNTAX, 0), 1);
    /* The capacity rule skips it with a warning. */
    assert_true(tree_open(&t));
    const char *dir = arena_printf(t.ws.arena, "%s/modules/nodepools/defs", t.root);
    assert_true(nodepool_excluded(&t.ws, t.ws.arena, dir, "xx-1", &fleets));
    assert_int_equal(tree_found(&t, W_NODEPOOL_SKIPPED, 0), 1);
    assert_int_equal(diags_errors(t.ws.diags), 0);
}

static void misspelt_keys_are_reported_once(void **state)
{
    static const struct {
        const char *text;
        uint32_t col;
    } cases[] = {
        {"fleeet: {}\n", 1},
        {"fleet: {nmae: f1}\n", 9},
        {"fleet: {name: f1, instances: [{typ: x}]}\n", 32},
        {"fleets: [{name: f1}, {name: f2, exclude_region: []}]\n", 33},
        {"nodepool: {instance_typ: x}\n", 12},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        one(cases[i].text);
        assert_true(collect("k1"));
        tree_only(&t, D_NEAR_KEY, 1, cases[i].col, cases[i].text);
    }
    one("fleet: {name: f1, instances: [{type: x, node_disk_size: 5}], disk: 1}\nother: 1\n");
    assert_true(collect("k1"));
    tree_only(&t, DIAG_CODES, 0, 0, "keys for another program");
}

static void a_folder_that_cannot_be_read(void **state)
{
    (void)state;
    one("{}\n");
    tree_write(&t, "clusters.yaml", "clusters: {k1: {modules: [nodepools-x]}}\n");
    tree_write(&t, "modules/nodepools-x/defs", "a file");
    assert_false(collect("k1"));
    tree_only(&t, D_UNREADABLE, 0, 0, "a file for a folder");
    tree_write(&t, "clusters.yaml", CLUSTERS);
}

static void no_region_excludes_nothing(void **state)
{
    (void)state;
    one("fleet: {name: f1, exclude_regions: [''], instances: [{type: f1.a}]}\n");
    assert_true(tree_open(&t));
    const char *dir = arena_printf(t.ws.arena, "%s/modules/nodepools/defs", t.root);
    assert_true(nodepool_excluded(&t.ws, t.ws.arena, dir, "", &fleets));
    assert_int_equal(fleets.nexcluded, 0);
    assert_true(nodepool_excluded(&t.ws, t.ws.arena, "/no/such/folder", "xx-1", &fleets));
    assert_int_equal(fleets.nexcluded, 0);
}

static void many_fleets(void **state)
{
    char text[8192] = "fleets:\n";

    (void)state;
    for (int i = 0; i < 100; i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof(text) - n,
                       "- {name: f%d}\n- {name: g%d, exclude_regions: [xx-1], instances: "
                       "[{type: g%d.x}]}\n",
                       i, i, i);
    }
    one(text);
    assert_true(collect("k1"));
    assert_int_equal(fleets.n, 100);
    assert_int_equal(fleets.nexcluded, 100);
    assert_true(fleets_have(&fleets, "f99") && fleets_exclude(&fleets, "g99.x"));
}

static void families(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_string_equal(instance_family(a, "q7a.4xlarge"), "q7a");
    assert_string_equal(instance_family(a, "metal"), "metal");
    assert_string_equal(instance_family(a, ".x"), "");
    assert_string_equal(instance_family(a, "a.b.c"), "a");
    arena_free(a);
}

static int set_up(void **state)
{
    (void)state;
    t = tree_new(CLUSTERS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_free(&t);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_shapes),
        cmocka_unit_test(other_modules_have_no_fleets),
        cmocka_unit_test(excluded_regions),
        cmocka_unit_test(odd_pieces_are_somebody_else_s),
        cmocka_unit_test(regions_must_be_a_list),
        cmocka_unit_test(a_fleet_has_one_file),
        cmocka_unit_test(the_runner_pods_fleet_is_not_for_jobs),
        cmocka_unit_test(default_region_decides_on_fleets),
        cmocka_unit_test(broken_files),
        cmocka_unit_test(misspelt_keys_are_reported_once),
        cmocka_unit_test(a_folder_that_cannot_be_read),
        cmocka_unit_test(no_region_excludes_nothing),
        cmocka_unit_test(many_fleets),
        cmocka_unit_test(families),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
