/* test_cluster.c: opening clusters.yaml, and what one cluster's settings are. */
#include "tree.h"

#include "cluster.h"

static struct tree t;
static struct cluster c;
static struct runner_settings settings;

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

/* Opens clusters.yaml with this text and resolves cluster k1. */
static bool resolve(const char *text)
{
    tree_write(&t, "clusters.yaml", text);
    assert_true(tree_open(&t));
    return cluster_resolve(&t.ws, "k1", &c);
}

/* A text, whether it can be used, and the only finding in it (DIAG_CODES: none). */
struct outcome {
    const char *text;
    bool ok;
    enum diag_code code;
    uint32_t line, col;
};

#define NONE DIAG_CODES, 0, 0

static void whole_files(void **state)
{
    static const struct outcome cases[] = {
        {"clusters: {}\n", true, NONE},
        {"{}\n", true, NONE}, /* no clusters at all */
        {"clusters: {}\ndefaults:\n", true, NONE},
        {"clusters: {}\nanchors: [1]\n", true, NONE},
        {"", false, D_NULL, 1, 1},
        {"- a\n", false, D_TYPE, 1, 1},
        {"clusters:\n", true, D_NULL, 1, 10},
        {"clusters: [k1]\n", true, D_TYPE, 1, 11},
        {"clusters: {}\ndefaults: []\n", true, D_TYPE, 2, 11},
        {"cluster: {}\n", true, D_NEAR_KEY, 1, 1},
        {"clusters: {k1: {}, k1: {}}\n", true, D_DUPLICATE_KEY, 1, 20},
        {"clusters: {\n", false, D_SYNTAX, 2, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tree_write(&t, "clusters.yaml", cases[i].text);
        assert_int_equal(tree_open(&t), cases[i].ok);
        tree_only(&t, cases[i].code, cases[i].line, cases[i].col, cases[i].text);
        assert_true(t.ws.clusters == NULL || t.ws.clusters->type == Y_MAP);
        assert_true(t.ws.defaults == NULL || t.ws.defaults->type == Y_MAP);
    }
}

static void a_missing_file(void **state)
{
    struct hfc_error err = {0};
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/none.yaml", t.root);
    const struct workspace_paths paths = {.root = t.root, .clusters_yaml = path};
    t.open = true;
    assert_false(workspace_open(&t.ws, &paths, &err));
    assert_string_equal(err.msg, "");
    tree_only(&t, D_UNREADABLE, 0, 0, path);
    assert_non_null(strstr(tree_diag(&t, D_UNREADABLE)->message, "No such file"));
    assert_int_equal(workspace_pos(&t.ws, NULL).line, 0);
    assert_string_equal(workspace_pos(&t.ws, NULL).src->path, path);
}

static void clusters_must_be_there(void **state)
{
    (void)state;
    assert_false(resolve("clusters: {k2: {}, other: {}}\n"));
    tree_only(&t, D_CLUSTER, 0, 0, "unknown");
    assert_string_equal(tree_diag(&t, D_CLUSTER)->hint, "did you mean 'k2'?");
    assert_false(resolve("clusters: {1: {}, far-away: {}}\n"));
    assert_null(tree_diag(&t, D_CLUSTER)->hint);
    assert_false(resolve("clusters: {k1: null}\n"));
    tree_only(&t, D_CLUSTER, 1, 16, "null");
    assert_false(resolve("{}\n"));
    tree_only(&t, D_CLUSTER, 0, 0, "no clusters");
    assert_false(resolve("clusters: {k1: [a]}\n"));
    tree_only(&t, D_TYPE, 1, 16, "a list");
}

/* Each is line 2 of clusters.yaml, from column 7 on. */
static void single_settings(void **state)
{
    static const struct outcome cases[] = {
        {"region: xx-1", true, NONE},
        {"region: ''", true, NONE},
        {"region: 5", false, D_TYPE, 2, 15},
        {"region: no", false, D_TYPE, 2, 15}, /* YAML's boolean, not Norway */
        {"region: null", false, D_NULL, 2, 15},
        {"modules:", true, NONE},
        {"modules: [a, b]", true, NONE},
        {"modules: [hf_cache]", true, W_MODULE, 2, 17},
        {"modules: [arc-runners-x, nodepools-y]", true, NONE},
        {"modules: hf-cache", false, D_TYPE, 2, 16},
        {"modules: {a: b}", false, D_TYPE, 2, 16},
        {"modules: [a, 7]", false, D_TYPE, 2, 20},
        {"modules: [a, null]", false, D_NULL, 2, 20},
        {"modules: [a, hf-cahce]", true, W_MODULE, 2, 20},
        {"modules: [nodepool]", true, W_MODULE, 2, 17},
        {"modules: [nodepools-b, arc-runners-opt, other]", true, NONE},
        {"modules: [hg-cache-]", true, W_MODULE, 2, 17},
        {"modules: [hf-cache, nodepools]", true, NONE},
        {"modules: [a, nodepools-x, hf-cache]", true, D_MODULE_ORDER, 2, 33},
        {"modules: [nodepools, hf-cache, hf-cache]", true, D_MODULE_ORDER, 2, 28},
        {"proactive_capacity_max: 0", true, NONE},
        {"proactive_capacity_max:", true, NONE},
        {"proactive_capacity_max: 99999999999999999999", true, NONE},
        {"proactive_capacity_max: -1", false, D_VALUE, 2, 31},
        {"proactive_capacity_max: 1.0", false, D_VALUE, 2, 31},
        {"proactive_capacity_max: true", false, D_VALUE, 2, 31},
        {"proactive_capacity_max: '1'", false, D_VALUE, 2, 31},
        {"pause_runners: true", true, NONE},
        {"pause_runners: off", true, NONE},
        {"pause_runners:", true, NONE},
        {"pause_runners: 'false'", false, D_TYPE, 2, 22},
        {"pause_runners: 1", false, D_TYPE, 2, 22},
        {"capacity_aware_age_threshold_seconds: 5", true, NONE},
        {"capacity_aware_age_threshold_seconds: 5m", true, NONE},
        {"capacity_aware_age_threshold_seconds: ~", false, D_NULL, 2, 45},
        {"pause_runner: true", true, D_NEAR_KEY, 2, 7},
        {"anything_else: 1", true, NONE},
        {"modules: [arc-runners-x], arc-runners-x: 1", true, NONE}, /* a module's own block */
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(text, sizeof(text), "clusters:\n k1: {%s }\n", cases[i].text);
        assert_int_equal(resolve(text), cases[i].ok);
        tree_only(&t, cases[i].code, cases[i].line, cases[i].col, text);
    }
}

/* Keys that others read pass; those that look like ours do not. */
static void misspelt_keys(void **state)
{
    static const struct outcome cases[] = {
        {"defaults: {regions: x}\nclusters: {k1: {}}\n", true, D_NEAR_KEY, 1, 12},
        {"defaults: {base: 1, vpc_cidr: x}\nclusters: {k1: {}}\n", true, NONE},
        {"defaults: {arc: {runner_image_tags: 1}}\nclusters: {k1: {}}\n", true, D_NEAR_KEY, 1, 18},
        {"clusters: {k1: {arc: {runner_image_tags: 1}}}\n", true, D_NEAR_KEY, 1, 23},
        {"clusters: {k1: {arc: {other: 1}}}\n", true, NONE},
        {"clusters: {k1: {modules: [hf-cache], hf-cache: {}}}\n", true, D_NEAR_KEY, 1, 38},
        {"clusters: {k1: {modules: [hf-cache], hf_cache: {}}}\n", true, NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(resolve(cases[i].text), cases[i].ok);
        tree_only(&t, cases[i].code, cases[i].line, cases[i].col, cases[i].text);
    }
}

static void settings_are_taken_over(void **state)
{
    (void)state;
    assert_true(resolve("clusters:\n  k1:\n    region: xx-1\n    pause_runners: yes\n"
                        "    proactive_capacity_max: 4\n    modules: [a, hf-cache]\n"
                        "    capacity_aware_age_threshold_seconds: 60\n"));
    assert_string_equal(c.id, "k1");
    assert_int_equal(c.key->line, 2);
    assert_string_equal(c.region, "xx-1");
    assert_string_equal(c.fleet_region, "xx-1");
    assert_int_equal(c.region_node->line, 3);
    assert_true(c.paused && c.paused_node->line == 4);
    assert_string_equal(c.capacity_max->text, "4");
    assert_string_equal(c.age_threshold->text, "60");
    assert_true(cluster_has(&c, "hf-cache"));
    assert_false(cluster_has(&c, "hf"));
    assert_true(resolve("clusters: {k1: {pause_runners: no}}\n"));
    assert_false(c.paused || cluster_has(&c, "a"));
    assert_true(c.capacity_max == NULL && c.age_threshold == NULL && c.modules == NULL);
    assert_string_equal(c.region, "");
    assert_null(c.region_node);
}

static void default_region_does_not_reach_runners(void **state)
{
    static const char own[] = "defaults: {region: dd-1}\nclusters: {k1: {region: xx-1}}\n";
    static const char none[] = "defaults: {region: dd-1}\nclusters: {k1: {}}\n";
    static const char odd[] = "defaults: {region: 5}\nclusters: {k1: {}}\n";

    (void)state;
    assert_true(resolve(own));
    assert_string_equal(c.fleet_region, "xx-1");
    tree_only(&t, NONE, own);
    assert_true(resolve(none));
    assert_string_equal(c.region, "");
    assert_string_equal(c.fleet_region, "dd-1");
    tree_only(&t, W_REGION_DEFAULT, 2, 12, none);
    assert_false(resolve(odd));
    tree_only(&t, D_TYPE, 1, 20, odd);
    assert_true(resolve("defaults: {region: ''}\nclusters: {k1: {}}\n"));
    tree_only(&t, NONE, "an empty default");
}

#define OWN(block) "clusters:\n k1: {arc-runners: {" block "}}\n"

static void runner_blocks(void **state)
{
    static const struct outcome cases[] = {
        {OWN("github_config_url: u"), true, NONE},
        {OWN("github_config_url: u, runner_group: null"), true, NONE},
        {OWN("github_config_url: u, scheduler_name: ''"), true, NONE},
        {OWN("github_config_url: u, capacity_aware_fresh_multiplier: 2"), true, NONE},
        {OWN("github_config_url: u, runner_image: x, region: 5"), true, NONE},
        {OWN("github_config_url: 5"), false, D_TYPE, 2, 40},
        {OWN("github_config_url: ''"), false, D_URL, 2, 40},
        {OWN("github_config_url: 0"), false, D_URL, 2, 40},
        {OWN("github_config_url: no"), false, D_URL, 2, 40},
        {OWN("github_config_url: ~"), false, D_URL, 2, 40},
        {OWN("runner_group: a"), false, D_URL, 2, 20},
        {OWN(""), false, D_URL, 2, 20},
        {"clusters:\n k1: {}\n", false, D_URL, 2, 2},
        {"clusters:\n k1: {arc-runners: null}\n", false, D_URL, 2, 2},
        {"clusters:\n k1: {arc-runners: text}\n", false, D_TYPE, 2, 20},
        {OWN("github_config_url: u, github_secret_name: null"), false, D_NULL, 2, 63},
        {OWN("github_config_url: u, runner_name_prefix: null"), false, D_NULL, 2, 63},
        {OWN("github_config_url: u, scheduler_name: null"), false, D_NULL, 2, 59},
        {OWN("github_config_url: u, runner_name_prefix: 5"), false, D_TYPE, 2, 63},
        {OWN("github_config_url: u, runner_group: 5"), false, D_TYPE, 2, 57},
        {OWN("github_config_url: u, runner_grp: g"), true, D_NEAR_KEY, 2, 43},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(resolve(cases[i].text));
        assert_int_equal(cluster_runner_settings(&t.ws, &c, &settings), cases[i].ok);
        tree_only(&t, cases[i].code, cases[i].line, cases[i].col, cases[i].text);
    }
}

static void blocks_are_not_merged(void **state)
{
#define DEFAULTS "defaults: {arc-runners: {github_config_url: d, runner_group: dg}}\n"
    (void)state;
    assert_true(resolve(DEFAULTS OWN("github_config_url: o, runner_name_prefix: p-")));
    assert_true(cluster_runner_settings(&t.ws, &c, &settings));
    assert_string_equal(settings.url->text, "o");
    assert_string_equal(settings.prefix->text, "p-");
    assert_true(settings.group == NULL && settings.secret == NULL && settings.scheduler == NULL);
    assert_true(resolve(DEFAULTS "clusters: {k1: {arc-runners: null}}\n"));
    assert_true(cluster_runner_settings(&t.ws, &c, &settings));
    assert_string_equal(settings.url->text, "d");
    assert_string_equal(settings.group->text, "dg");
    assert_true(resolve(DEFAULTS OWN("")));
    assert_false(cluster_runner_settings(&t.ws, &c, &settings)); /* an empty block wins, too */
    assert_true(resolve(OWN("github_config_url: o, runner_group: '', scheduler_name: ''")));
    assert_true(cluster_runner_settings(&t.ws, &c, &settings));
    assert_true(settings.group == NULL && settings.scheduler == NULL);
}

static void paths_fall_back_to_defaults(void **state)
{
    (void)state;
    assert_true(resolve("defaults: {a: {b: 1, c: 2}}\nclusters: {k1: {a: {b: 5, c: null}}}\n"));
    assert_string_equal(cluster_lookup(&t.ws, c.node, "a.b")->text, "5");
    assert_string_equal(cluster_lookup(&t.ws, c.node, "a.c")->text, "2");
    assert_null(cluster_lookup(&t.ws, c.node, "a.d"));
}

#define CLUSTER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(whole_files),
        CLUSTER_TEST(a_missing_file),
        CLUSTER_TEST(clusters_must_be_there),
        CLUSTER_TEST(single_settings),
        CLUSTER_TEST(misspelt_keys),
        CLUSTER_TEST(settings_are_taken_over),
        CLUSTER_TEST(default_region_does_not_reach_runners),
        CLUSTER_TEST(runner_blocks),
        CLUSTER_TEST(blocks_are_not_merged),
        CLUSTER_TEST(paths_fall_back_to_defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
