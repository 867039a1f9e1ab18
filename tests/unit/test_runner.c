/* test_runner.c: how a definition is resolved for a cluster: one test a rule, through the values
 * that reach the template. */
#include "tree.h"

#include "placeholder.h"
#include "render.h"

#define BLOCK(more)                                                                                \
    "clusters:\n"                                                                                  \
    "  k1:\n"                                                                                      \
    "    region: xx-1\n"                                                                           \
    "    arc-runners:\n"                                                                           \
    "      github_config_url: https://github.com/org\n"                                            \
    "      runner_name_prefix: p-\n" more "    modules: [nodepools, sched, arc-runners]\n"

#define DEF(more)                                                                                  \
    "runner:\n"                                                                                    \
    "  name: r.one_x\n"                                                                            \
    "  instance_type: q7a.2xlarge\n"                                                               \
    "  vcpu: 6\n"                                                                                  \
    "  memory: 3Gi\n" more

static struct tree t;
static struct text values[PLACEHOLDERS];
static struct runner runner;

/* Resolves a definition on clusters.yaml; true if it is usable. */
static bool resolve(const char *clusters, const char *definition)
{
    struct cluster c;
    struct runner_settings settings;
    struct runner_context ctx;
    struct fleets zeroed;

    tree_write(&t, "clusters.yaml", clusters);
    tree_write(&t, "modules/arc-runners/defs/r.yaml", definition);
    assert_true(tree_open(&t));
    assert_true(cluster_resolve(&t.ws, "k1", &c));
    assert_true(cluster_runner_settings(&t.ws, &c, &settings));
    const struct render_job job = {
        .cluster = &c,
        .settings = &settings,
        .module = "arc-runners",
        .nodepools = arena_printf(t.ws.arena, "%s/modules/nodepools/defs", t.root),
        .image = "img",
        .image_rule = "test"};
    assert_true(render_context(&t.ws, &job, &zeroed, &ctx));
    const struct input_dir *defs =
        inputs_dir(t.ws.inputs, arena_printf(t.ws.arena, "%s/modules/arc-runners/defs", t.root));
    assert_int_equal(defs->n, 1);
    if (!runner_resolve(&ctx, defs->files[0], &runner))
        return false;
    placeholder_values(ctx.arena, &runner, values);
    return true;
}

static void is(const char *name, const char *expected)
{
    size_t i = 0;

    while (strcmp(placeholder_names[i], name) != 0)
        i++;
    assert_int_equal(values[i].n, strlen(expected));
    assert_memory_equal(values[i].p, expected, values[i].n);
}

static void refused(const char *more, enum diag_code code)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), DEF("%s\n"), more);
    assert_false(resolve(BLOCK(""), text));
    assert_int_equal(tree_found(&t, code, 6), 1);
}

static void accepted(const char *more, const char *name, const char *expected)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), DEF("%s\n"), more);
    assert_true(resolve(BLOCK(""), text));
    is(name, expected);
}

static void defaults(void **state)
{
    (void)state;
    assert_true(resolve(BLOCK(""), DEF("")));
    is("RUNNER_NAME", "r.one_x");
    is("RUNNER_NAME_NORMALIZED", "r-one-x");
    is("NODE_FLEET", "q7a");
    is("MEMORY_BYTES", "3221225472");
    is("DISK_SIZE", "100Gi");
    is("GPU_COUNT", "0");
    is("GPU_REQUEST", "");
    is("IMEX_ENV", "");
    is("MAX_RUNNERS_LINE", "");
    is("RUNNER_GROUP", "default");
    is("RUNNER_CLASS", "");
    is("PROACTIVE_CAPACITY", "0");
    is("MAX_BURST_CAPACITY", "0");
    is("HUD_FAILURE_BASE_CAPACITY", "0");
    is("SCHEDULER_NAME", "");
    is("SCHEDULER_NAME_LINE", "");
    is("CAPACITY_AWARE_CLUSTER_INDEX", "0");
    is("CAPACITY_AWARE_CLUSTER_COUNT", "1");
    is("CAPACITY_AWARE_AGE_THRESHOLD_SECONDS", "900");
    is("CAPACITY_AWARE_FRESH_MULTIPLIER", "1.0");
    is("HF_CACHE_BUCKET", "pytorch-hf-model-cache-k1");
    is("HF_CACHE_REGION", "xx-1");
    is("HF_HUB_OFFLINE", "1");
    assert_int_equal(diags_count(t.ws.diags), 0);
}

static void snippets(void **state)
{
    (void)state;
    accepted("  gpu: 2", "GPU_LIMIT", "\n              nvidia.com/gpu: \"2\"");
    is("GPU_JOB_TOLERATIONS", "\n        - key: nvidia.com/gpu\n          operator: Equal"
                              "\n          value: \"true\"\n          effect: NoSchedule");
    is("GPU_NODE_SELECTOR_AFFINITY",
       "\n                  - key: nvidia.com/gpu\n                    operator: In"
       "\n                    values:\n                      - \"true\"");
    accepted("  gpu: -1", "GPU_REQUEST", "");
    accepted("  gpu: 0.5", "GPU_REQUEST", "\n              nvidia.com/gpu: \"0.5\"");
    accepted("  imex_channels: 0", "IMEX_ENV",
             "\n            - name: NVIDIA_IMEX_CHANNELS\n              value: \"0\"");
    accepted("  imex_channels: [0, 1]", "IMEX_ENV",
             "\n            - name: NVIDIA_IMEX_CHANNELS\n              value: \"[0, 1]\"");
    accepted("  imex_channels:", "IMEX_ENV", "");
    accepted("  runner_class: slow", "RUNNER_CLASS_JOB_AFFINITY",
             "          requiredDuringSchedulingIgnoredDuringExecution:\n"
             "            nodeSelectorTerms:\n"
             "              - matchExpressions:\n"
             "                  - key: osdc.io/runner-class\n"
             "                    operator: In\n"
             "                    values:\n"
             "                      - \"slow\"\n");
    accepted("", "RUNNER_CLASS_JOB_AFFINITY",
             "          requiredDuringSchedulingIgnoredDuringExecution:\n"
             "            nodeSelectorTerms:\n"
             "              - matchExpressions:\n"
             "                  - key: osdc.io/runner-class\n"
             "                    operator: DoesNotExist\n");
}

static void fleet_override(void **state)
{
    (void)state;
    accepted("  node_fleet: a-1", "NODE_FLEET", "a-1");
    accepted("  node_fleet: null", "NODE_FLEET", "q7a");
    refused("  node_fleet: ''", D_FLEET_NAME);
    refused("  node_fleet: -a", D_FLEET_NAME);
    refused("  node_fleet: a-", D_FLEET_NAME);
    refused("  node_fleet: a.b", D_FLEET_NAME);
    refused("  node_fleet: 7", D_FLEET_NAME);
    refused("  node_fleet: c7i-runner", D_FLEET_NAME);
    refused("  node_fleet: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            D_FLEET_NAME);
}

static void max_runners(void **state)
{
    (void)state;
    accepted("  max_runners: 5", "MAX_RUNNERS_LINE", "maxRunners: 5");
    accepted("  max_runners: null", "MAX_RUNNERS_LINE", "");
    accepted("  max_runners: {default: 3, k2: 4}", "MAX_RUNNERS_LINE", "maxRunners: 3");
    accepted("  max_runners: {default: 3, k1: 4}", "MAX_RUNNERS_LINE", "maxRunners: 4");
    refused("  max_runners: 0", D_MAX_RUNNERS);
    refused("  max_runners: -1", D_MAX_RUNNERS);
    refused("  max_runners: yes", D_MAX_RUNNERS);
    refused("  max_runners: '5'", D_MAX_RUNNERS);
    refused("  max_runners: 1.5", D_MAX_RUNNERS);
    refused("  max_runners: {k1: 4}", D_MAX_RUNNERS);
    refused("  max_runners: {default: 3, k2: 0}", D_MAX_RUNNERS); /* also another cluster's */
}

static void pausing_leaves_the_warm_baseline(void **state)
{
    (void)state;
    assert_true(resolve(BLOCK("    pause_runners: true\n"),
                        DEF("  max_runners: 4\n  proactive_capacity: 2\n"
                            "  hud_failure_base_capacity: 3\n  max_burst_capacity: 9\n")));
    is("MAX_RUNNERS_LINE", "maxRunners: 0");
    is("HUD_FAILURE_BASE_CAPACITY", "0");
    is("PROACTIVE_CAPACITY", "2");
    is("MAX_BURST_CAPACITY", "9");
    assert_int_equal(tree_found(&t, W_PAUSED_CAPACITY, 7), 1);
}

static void a_paused_cluster_still_checks_the_maximum(void **state)
{
    (void)state;
    assert_false(resolve(BLOCK("    pause_runners: true\n"), DEF("  max_runners: 0\n")));
    assert_int_equal(tree_found(&t, D_MAX_RUNNERS, 6), 1);
}

static void excluded_types_offer_nothing(void **state)
{
    (void)state;
    tree_write(
        &t, "modules/nodepools/defs/q.yaml",
        "fleets:\n  - {name: q7a, exclude_regions: [xx-1], instances: [{type: q7a.2xlarge}]}\n");
    assert_true(resolve(BLOCK(""), DEF("  max_runners: 4\n  proactive_capacity: 2\n"
                                       "  hud_failure_base_capacity: 3\n"
                                       "  max_burst_capacity: 9\n")));
    is("MAX_RUNNERS_LINE", "maxRunners: 0");
    is("PROACTIVE_CAPACITY", "0");
    is("HUD_FAILURE_BASE_CAPACITY", "0");
    is("MAX_BURST_CAPACITY", "9");
    assert_int_equal(tree_found(&t, W_REGION_EXCLUDED, 3), 1);
    tree_write(&t, "modules/nodepools/defs/q.yaml", "nodepool: {instance_type: q7a.2xlarge}\n");
}

static void the_cap_comes_before_the_checks(void **state)
{
    static const char def[] = DEF("  proactive_capacity: 5\n  max_burst_capacity: 3\n");

    (void)state;
    assert_false(resolve(BLOCK(""), def));
    assert_int_equal(tree_found(&t, D_BURST, 7), 1);
    assert_true(resolve(BLOCK("    proactive_capacity_max: 2\n"), def));
    is("PROACTIVE_CAPACITY", "2");
    assert_true(resolve(BLOCK("    proactive_capacity_max: null\n"), DEF("")));
}

static void burst_against_the_base(void **state)
{
    (void)state;
    assert_false(
        resolve(BLOCK(""), DEF("  hud_failure_base_capacity: 5\n  max_burst_capacity: 3\n")));
    assert_int_equal(tree_found(&t, D_BURST, 7), 1);
    assert_true(
        resolve(BLOCK(""), DEF("  hud_failure_base_capacity: 5\n  max_burst_capacity: 5\n")));
    refused("  max_burst_capacity: -1", D_BURST);
    refused("  max_burst_capacity: 1.0", D_BURST);
    refused("  max_burst_capacity: true", D_BURST);
}

static void nulls_are_refused(void **state)
{
    static const char *const keys[] = {"disk_size",
                                       "gpu",
                                       "runner_group",
                                       "runner_class",
                                       "proactive_capacity",
                                       "max_burst_capacity",
                                       "hud_failure_base_capacity"};
    char line[64];

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        (void)snprintf(line, sizeof(line), "  %s: null", keys[i]);
        refused(line, D_NULL);
    }
}

static void odd_values_print_with_a_warning(void **state)
{
    (void)state;
    accepted("  disk_size: [1, a]", "DISK_SIZE", "[1, 'a']Gi");
    assert_int_equal(tree_found(&t, W_ODD_VALUE, 6), 1);
    assert_true(resolve(BLOCK(""), "runner: {name: r, instance_type: q7a.x, memory: 1}\n"));
    is("VCPU", "None");
    is("MEMORY", "1");
    assert_int_equal(tree_found(&t, W_ODD_VALUE, 1), 1);
}

static void groups(void **state)
{
    static const struct {
        const char *block, *def, *group;
    } cases[] = {
        {"", "", "default"},
        {"", "  runner_group: own\n", "own"},
        {"      runner_group: g\n", "  runner_group: own\n", "g"},
        {"      runner_group: g\n", "  runner_class: release\n", "g-release-runners"},
        {"", "  runner_group: own\n  runner_class: release\n", "default"},
        {"      runner_group: g\n", "  runner_class: Release\n", "g"},
    };
    char clusters[1024], def[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(clusters, sizeof(clusters), BLOCK("%s"), cases[i].block);
        (void)snprintf(def, sizeof(def), DEF("%s"), cases[i].def);
        assert_true(resolve(clusters, def));
        is("RUNNER_GROUP", cases[i].group);
    }
}

static void urls_decide_on_groups(void **state)
{
    static const struct {
        const char *url, *group;
    } cases[] = {
        {"https://github.com/org", "g"},
        {"https://github.com/org///", "g"},
        {"https://github.com/org/repo", "default"},
        {"https://github.com/enterprises/x", "default"},
        {"https://ghe.example.com/org/repo", "g"},
        {"https://github.com/", "default"}, /* nothing is left behind the host: not an org */
        {"github.com/org", "g"},
    };
    char clusters[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(clusters, sizeof(clusters),
                       "clusters:\n  k1:\n    arc-runners:\n      github_config_url: %s\n"
                       "      runner_group: g\n    modules: [nodepools, arc-runners]\n",
                       cases[i].url);
        assert_true(resolve(clusters, DEF("")));
        is("RUNNER_GROUP", cases[i].group);
        is("HF_CACHE_REGION", "");
    }
}

static void schedulers(void **state)
{
    (void)state;
    assert_true(resolve(BLOCK("      scheduler_name: sched\n"), DEF("")));
    is("SCHEDULER_NAME_LINE", "      schedulerName: sched");
    assert_true(resolve(BLOCK("      scheduler_name: sched\n"), DEF("  scheduler_name: none\n")));
    is("SCHEDULER_NAME", ""); /* dropped, without falling back to the cluster's */
    assert_int_equal(tree_found(&t, W_SCHEDULER, 6), 1);
    assert_true(resolve(BLOCK("      scheduler_name: sched\n"), DEF("  scheduler_name: ''\n")));
    is("SCHEDULER_NAME", "sched");
    refused("  scheduler_name: 5", D_TYPE);
}

static void multipliers(void **state)
{
    (void)state;
    accepted("  fresh_multiplier: 2", "CAPACITY_AWARE_FRESH_MULTIPLIER", "2.0");
    accepted("  fresh_multiplier: 0.00001", "CAPACITY_AWARE_FRESH_MULTIPLIER", "1e-05");
    accepted("  fresh_multiplier: '1e400'", "CAPACITY_AWARE_FRESH_MULTIPLIER", "inf");
    accepted("  fresh_multiplier: true", "CAPACITY_AWARE_FRESH_MULTIPLIER", "1.0");
    assert_int_equal(tree_found(&t, W_ODD_VALUE, 6), 1);
    refused("  fresh_multiplier: fast", D_MULTIPLIER);
    assert_true(resolve(BLOCK("      capacity_aware_fresh_multiplier: 0.8\n"), DEF("")));
    is("CAPACITY_AWARE_FRESH_MULTIPLIER", "0.8");
    assert_false(resolve(BLOCK("      capacity_aware_fresh_multiplier: null\n"), DEF("")));
    assert_int_equal(tree_found(&t, D_MULTIPLIER, 7), 1);
}

static void peers_share_a_queue(void **state)
{
#define PEER(id, prefix, module)                                                                   \
    "  " id ": {arc-runners: {github_config_url: u, runner_name_prefix: " prefix                   \
    "}, modules: [nodepools, " module "]}\n"
    (void)state;
    assert_true(resolve("clusters:\n" PEER("k2", "x", "arc-runners")
                            PEER("k1", "x", "arc-runners-opt") PEER("k0", "y", "arc-runners")
                                PEER("a", "x", "arc-runners"),
                        DEF("")));
    is("CAPACITY_AWARE_CLUSTER_INDEX", "1");
    is("CAPACITY_AWARE_CLUSTER_COUNT", "3");
    assert_true(resolve(
        "clusters:\n" PEER("k1", "x", "arc-runners-h100") PEER("k2", "x", "arc-runners"), DEF("")));
    is("CAPACITY_AWARE_CLUSTER_COUNT", "1"); /* not its own peer: does not have the module */
}

static void defaults_block_is_used_as_a_whole(void **state)
{
    (void)state;
    assert_true(resolve("defaults:\n  arc-runners: {github_config_url: https://github.com/d, "
                        "runner_name_prefix: d-, runner_group: dg}\n"
                        "clusters:\n  k1: {modules: [nodepools, arc-runners]}\n"
                        "  k2: {arc-runners: {runner_name_prefix: d-}, modules: [arc-runners]}\n",
                        DEF("")));
    is("RUNNER_NAME_PREFIX", "d-");
    is("RUNNER_GROUP", "dg");
    is("CAPACITY_AWARE_CLUSTER_COUNT", "1"); /* prefixes of defaults make no peers */
    assert_true(resolve("defaults:\n  arc-runners: {github_config_url: https://github.com/d, "
                        "runner_group: dg}\n"
                        "clusters:\n  k1: {arc-runners: {github_config_url: https://github.com/o}, "
                        "modules: [nodepools, arc-runners]}\n",
                        DEF("")));
    is("RUNNER_GROUP", "default");
}

static int set_up(void **state)
{
    (void)state;
    t = tree_new("{}");
    tree_write(&t, "modules/nodepools/defs/q.yaml", "nodepool: {instance_type: q7a.2xlarge}\n");
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
        cmocka_unit_test(defaults),
        cmocka_unit_test(snippets),
        cmocka_unit_test(fleet_override),
        cmocka_unit_test(max_runners),
        cmocka_unit_test(pausing_leaves_the_warm_baseline),
        cmocka_unit_test(a_paused_cluster_still_checks_the_maximum),
        cmocka_unit_test(excluded_types_offer_nothing),
        cmocka_unit_test(the_cap_comes_before_the_checks),
        cmocka_unit_test(burst_against_the_base),
        cmocka_unit_test(nulls_are_refused),
        cmocka_unit_test(odd_values_print_with_a_warning),
        cmocka_unit_test(groups),
        cmocka_unit_test(urls_decide_on_groups),
        cmocka_unit_test(schedulers),
        cmocka_unit_test(multipliers),
        cmocka_unit_test(peers_share_a_queue),
        cmocka_unit_test(defaults_block_is_used_as_a_whole),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
