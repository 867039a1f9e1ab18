/* test_runner_rules.c: what is refused or warned of in a definition, and where; and which input
 * each value of a runner comes from. The values themselves are test_runner.c's. */
#include "tree.h"

#include "placeholder.h"
#include "render.h"

/* Cluster k1, whose settings begin at line 3; keys of its arc-runners block stand at line 5. */
#define CLUSTERS(more, block)                                                                      \
    "clusters:\n"                                                                                  \
    "  k1:\n"                                                                                      \
    "    modules: [nodepools, sched, arc-runners]\n"                                               \
    "    arc-runners: {github_config_url: https://github.com/org,\n"                               \
    "      runner_name_prefix: p-" block "}\n" more
#define PLAIN CLUSTERS("    region: xx-1\n", "")

/* What a test adds stands at line 6. */
#define DEF                                                                                        \
    "runner:\n"                                                                                    \
    "  name: r\n"                                                                                  \
    "  instance_type: q7a.x\n"                                                                     \
    "  vcpu: 6\n"                                                                                  \
    "  memory: 3Gi\n"

static struct tree t;
static struct runner runner;

static int set_up(void **state)
{
    (void)state;
    t = tree_new(PLAIN);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_free(&t);
    return 0;
}

static bool resolve(const char *clusters, const char *definition)
{
    static struct cluster c;
    static struct runner_settings settings;
    struct runner_context ctx;
    struct fleets zeroed;

    tree_write(&t, "clusters.yaml", clusters);
    tree_write(&t, "r.yaml", definition);
    assert_true(tree_open(&t));
    assert_true(cluster_resolve(&t.ws, "k1", &c));
    assert_true(cluster_runner_settings(&t.ws, &c, &settings));
    const struct render_job job = {.cluster = &c,
                                   .settings = &settings,
                                   .module = "arc-runners",
                                   .nodepools = arena_printf(t.ws.arena, "%s/pools", t.root),
                                   .image = "img",
                                   .image_rule = "where the image is from"};
    assert_true(render_context(&t.ws, &job, &zeroed, &ctx));
    const char *path = arena_printf(t.ws.arena, "%s/r.yaml", t.root);
    return runner_resolve(&ctx, inputs_file(t.ws.inputs, path), &runner);
}

/* A definition, whether it can be used, and the only finding in it (DIAG_CODES: none). */
struct outcome {
    const char *text;
    bool ok;
    enum diag_code code;
    uint32_t line, col;
};

#define NONE DIAG_CODES, 0, 0

static void check_outcomes(const char *clusters, const struct outcome *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool ok = resolve(clusters, list[i].text);
        tree_only(&t, list[i].code, list[i].line, list[i].col, list[i].text);
        if (ok != list[i].ok)
            fail_msg("%s\nis %s", list[i].text, ok ? "accepted" : "refused");
    }
}

#define CHECK_OUTCOMES(clusters, list)                                                             \
    check_outcomes((clusters), (list), sizeof(list) / sizeof(*(list)))

static void whole_definitions(void **state)
{
    static const struct outcome list[] = {
        {DEF, true, NONE},
        {"", false, D_MISSING, 1, 1},
        {"# nothing\n", false, D_MISSING, 1, 1},
        {"- a\n", false, D_TYPE, 1, 1},
        {"text\n", false, D_TYPE, 1, 1},
        {"{}\n", false, D_MISSING, 1, 1},
        {"runner: ~\n", false, D_NULL, 1, 9},
        {"runner: [a]\n", false, D_TYPE, 1, 9},
        {"runner: {\n", false, D_SYNTAX, 2, 1},
        {DEF "  vcpu: 7\n", true, D_DUPLICATE_KEY, 6, 3},
        {DEF "other: 1\n", true, NONE},
        {DEF "runners: 1\n", true, D_NEAR_KEY, 6, 1},
        {DEF "  anything: 1\n", true, NONE},
        {DEF "  max_runner: 1\n", true, D_NEAR_KEY, 6, 3},
        {DEF "  schedulername: s\n", true, D_NEAR_KEY, 6, 3},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

#define NAMED(name) "runner: {instance_type: q7a.x, vcpu: 1, memory: 1, name: " name "}\n"
#define X49 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X245 X49 X49 X49 X49 X49

static void names(void **state)
{
    static const struct outcome list[] = {
        {NAMED("l-x86.4_8"), true, NONE},
        {NAMED("'1'"), true, NONE},
        {NAMED(X49), true, NONE},
        {NAMED(X49 "x"), true, W_NAME_STYLE, 1, 58}, /* too long for Helm */
        {NAMED(X245 "xxxxx"), true, W_NAME_STYLE, 1, 58},
        {NAMED(X245 "xxxxxx"), false, D_NAME, 1, 58}, /* and for a file */
        {NAMED("Upper"), true, W_NAME_STYLE, 1, 58},
        {NAMED("a-"), true, W_NAME_STYLE, 1, 58},
        {NAMED("a."), true, W_NAME_STYLE, 1, 58},
        {NAMED("-a"), false, D_NAME, 1, 58},
        {NAMED(".a"), false, D_NAME, 1, 58},
        {NAMED("_a"), false, D_NAME, 1, 58},
        {NAMED("a/b"), false, D_NAME, 1, 58},
        {NAMED("../a"), false, D_NAME, 1, 58},
        {NAMED("/a"), false, D_NAME, 1, 58},
        {NAMED("'a b'"), false, D_NAME, 1, 58},
        {NAMED("'a\"'"), false, D_NAME, 1, 58},
        {NAMED("\"a\\n\""), false, D_NAME, 1, 58},
        {NAMED("\"a\\0b\""), false, D_TYPE, 1, 58},
        {NAMED("\"\\xe4\""), false, D_NAME, 1, 58},
        {NAMED("a\xc3\xa4"), false, D_NAME, 1, 58},
        {NAMED("5"), false, D_TYPE, 1, 58},
        {NAMED("''"), false, D_MISSING, 1, 58},
        {NAMED("~"), false, D_MISSING, 1, 58},
        {NAMED("0"), false, D_MISSING, 1, 58},
        {"runner: {instance_type: q7a.x, vcpu: 1, memory: 1}\n", false, D_MISSING, 1, 9},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

static void instance_types(void **state)
{
    static const struct outcome list[] = {
        {"runner: {name: r, vcpu: 1, memory: 1, instance_type: metal}\n", true, NONE},
        {"runner: {name: r, vcpu: 1, memory: 1, instance_type: ''}\n", false, D_MISSING, 1, 54},
        {"runner: {name: r, vcpu: 1, memory: 1, instance_type: ~}\n", false, D_MISSING, 1, 54},
        {"runner: {name: r, vcpu: 1, memory: 1, instance_type: 7}\n", false, D_TYPE, 1, 54},
        {"runner: {name: r, vcpu: 1, memory: 1}\n", false, D_MISSING, 1, 9},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

#define SIZED(more) "runner: {name: r, instance_type: q7a.x, " more "}\n"

static void sizes(void **state)
{
    static const struct outcome list[] = {
        {SIZED("vcpu: 1, memory: 1"), true, NONE},
        {SIZED("vcpu: 1, memory: '1024'"), true, NONE},
        {SIZED("vcpu: 1, memory: 170Gi"), true, NONE},
        {SIZED("vcpu: 1"), false, D_MISSING, 1, 9},
        {SIZED("vcpu: 1, memory: ~"), false, D_NULL, 1, 58},
        {SIZED("vcpu: 1, memory: 1.5Gi"), false, D_MEMORY, 1, 58},
        {SIZED("vcpu: 1, memory: 1.0"), false, D_MEMORY, 1, 58},
        {SIZED("vcpu: 1, memory: true"), false, D_MEMORY, 1, 58},
        {SIZED("vcpu: 1, memory: [1]"), false, D_MEMORY, 1, 58},
        {SIZED("vcpu: 1, memory: ''"), false, D_MEMORY, 1, 58},
        {SIZED("vcpu: 1, memory: 0"), true, W_ODD_VALUE, 1, 58},
        {SIZED("vcpu: 1, memory: -1Gi"), true, W_ODD_VALUE, 1, 58},
        {SIZED("vcpu: 1, memory: 1 Gi"), true, W_ODD_VALUE, 1, 58},
        {SIZED("vcpu: 1, memory: 1_0Gi"), true, W_ODD_VALUE, 1, 58},
        {SIZED("vcpu: 1, memory: +1Gi"), true, W_ODD_VALUE, 1, 58},
        {SIZED("memory: 1"), true, W_ODD_VALUE, 1, 9}, /* no vcpu */
        {SIZED("memory: 1, vcpu: ~"), false, D_NULL, 1, 58},
        {SIZED("memory: 1, vcpu: text"), true, W_ODD_VALUE, 1, 58},
        {SIZED("memory: 1, vcpu: '8'"), true, NONE},
        {SIZED("memory: 1, vcpu: -8"), true, W_ODD_VALUE, 1, 58},
        {SIZED("memory: 1, vcpu: 0"), true, W_ODD_VALUE, 1, 58},
        {SIZED("memory: 1, vcpu: 1.5"), true, W_ODD_VALUE, 1, 58},
        {SIZED("memory: 1, vcpu: true"), true, W_ODD_VALUE, 1, 58},
        {DEF "  disk_size: 5\n", true, NONE},
        {DEF "  disk_size: '5'\n", true, NONE},
        {DEF "  disk_size: 5.5\n", true, W_ODD_VALUE, 6, 14},
        {DEF "  disk_size: ~\n", false, D_NULL, 6, 14},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

static void gpus(void **state)
{
    static const struct outcome list[] = {
        {DEF "  gpu: 0\n", true, NONE},
        {DEF "  gpu: 8\n", true, NONE},
        {DEF "  gpu: 0.5\n", true, W_ODD_VALUE, 6, 8},
        {DEF "  gpu: -1\n", true, W_ODD_VALUE, 6, 8},
        {DEF "  gpu: '1'\n", false, D_TYPE, 6, 8},
        {DEF "  gpu: yes\n", false, D_TYPE, 6, 8},
        {DEF "  gpu: ~\n", false, D_NULL, 6, 8},
        {DEF "  imex_channels: ~\n", true, NONE},
        {DEF "  imex_channels: text\n", true, NONE},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

static void maxima(void **state)
{
    static const struct outcome list[] = {
        {DEF "  max_runners: 1\n", true, NONE},
        {DEF "  max_runners: ~\n", true, NONE},
        {DEF "  max_runners: {default: 1, k1: 2, far: 3}\n", true, W_ODD_VALUE, 6, 36},
        {DEF "  max_runners: 0\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: -5\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: true\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: 2.0\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: '2'\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: [1]\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: {}\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: {k1: 2}\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  max_runners: {default: 0}\n", false, D_MAX_RUNNERS, 6, 26},
        {DEF "  max_runners: {default: 1, k1: yes}\n", false, D_MAX_RUNNERS, 6, 33},
        {DEF "  max_runners: {default: 1, k1: -1}\n", false, D_MAX_RUNNERS, 6, 33},
        {DEF "  max_runners: {default: 1, k1: ~}\n", false, D_NULL, 6, 33},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

static void capacities(void **state)
{
    static const struct outcome list[] = {
        {DEF "  proactive_capacity: 3\n", true, NONE},
        {DEF "  proactive_capacity: -1\n", true, W_ODD_VALUE, 6, 23},
        {DEF "  proactive_capacity: 1.5\n", true, W_ODD_VALUE, 6, 23},
        {DEF "  proactive_capacity: '1'\n", false, D_TYPE, 6, 23},
        {DEF "  proactive_capacity: true\n", false, D_TYPE, 6, 23},
        {DEF "  proactive_capacity: ~\n", false, D_NULL, 6, 23},
        {DEF "  hud_failure_base_capacity: 0\n", true, NONE},
        {DEF "  hud_failure_base_capacity: -1\n", true, W_ODD_VALUE, 6, 30},
        {DEF "  hud_failure_base_capacity: x\n", false, D_TYPE, 6, 30},
        {DEF "  hud_failure_base_capacity: ~\n", false, D_NULL, 6, 30},
        {DEF "  max_burst_capacity: 0\n", true, NONE},
        {DEF "  max_burst_capacity: -1\n", false, D_BURST, 6, 23},
        {DEF "  max_burst_capacity: 1.0\n", false, D_BURST, 6, 23},
        {DEF "  max_burst_capacity: no\n", false, D_BURST, 6, 23},
        {DEF "  max_burst_capacity: ~\n", false, D_NULL, 6, 23},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
}

#define BURST(burst, base, value) DEF "  max_burst_capacity: " burst "\n  " base ": " value "\n"
#define PROACTIVE "proactive_capacity"
#define HUD "hud_failure_base_capacity"

static void the_burst_limit_is_no_lower_than_the_baselines(void **state)
{
    static const struct outcome list[] = {
        {BURST("3", PROACTIVE, "3"), true, NONE},
        {BURST("3", PROACTIVE, "2"), true, NONE},
        {BURST("0", PROACTIVE, "9"), true, NONE}, /* no limit */
        {BURST("3", PROACTIVE, "4"), false, D_BURST, 6, 23},
        {BURST("3", HUD, "3"), true, NONE},
        {BURST("0", HUD, "9"), true, NONE},
        {BURST("3", HUD, "4"), false, D_BURST, 6, 23},
        {BURST("10", HUD, "9"), true, NONE}, /* as numbers, not as text */
    };
    static const struct outcome capped[] = {
        {BURST("3", PROACTIVE, "4"), true, NONE},
        {BURST("2", PROACTIVE, "4"), false, D_BURST, 6, 23},
        {BURST("2", HUD, "4"), false, D_BURST, 6, 23},
    };
    static const struct outcome paused[] = {
        {BURST("2", HUD, "4"), true, NONE}, /* pausing has set it to 0 */
        {DEF "  max_runners: 0\n", false, D_MAX_RUNNERS, 6, 16},
        {DEF "  proactive_capacity: 2\n", true, W_PAUSED_CAPACITY, 6, 23},
        {DEF "  proactive_capacity: 0\n", true, NONE},
        {DEF "  max_runners: 3\n", true, NONE},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
    assert_false(resolve(PLAIN, BURST("3", HUD, "4")));
    assert_string_equal(tree_diag(&t, D_BURST)->found, "3 < 4");
    CHECK_OUTCOMES(CLUSTERS("    proactive_capacity_max: 3\n", ""), capped);
    CHECK_OUTCOMES(CLUSTERS("    pause_runners: true\n", ""), paused);
}

static void multipliers(void **state)
{
    static const struct outcome list[] = {
        {DEF "  fresh_multiplier: 2\n", true, NONE},
        {DEF "  fresh_multiplier: .inf\n", true, NONE},
        {DEF "  fresh_multiplier: ~\n", true, NONE},
        {DEF "  fresh_multiplier: ' 0.5 '\n", true, W_ODD_VALUE, 6, 21},
        {DEF "  fresh_multiplier: yes\n", true, W_ODD_VALUE, 6, 21},
        {DEF "  fresh_multiplier: 0x1p3\n", false, D_MULTIPLIER, 6, 21},
        {DEF "  fresh_multiplier: [1]\n", false, D_MULTIPLIER, 6, 21},
        {DEF "  fresh_multiplier: ''\n", false, D_MULTIPLIER, 6, 21},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
    const char *null = CLUSTERS("", ", capacity_aware_fresh_multiplier: ~");
    assert_false(resolve(null, DEF));
    tree_only(&t, D_MULTIPLIER, 5, 64, null);
    assert_true(resolve(null, DEF "  fresh_multiplier: 2\n")); /* not looked at */
}

static void routing(void **state)
{
    static const struct outcome list[] = {
        {DEF "  runner_group: g\n", true, NONE},
        {DEF "  runner_group: 5\n", false, D_TYPE, 6, 17},
        {DEF "  runner_group: ~\n", false, D_NULL, 6, 17},
        {DEF "  runner_class: ''\n", true, NONE},
        {DEF "  runner_class: 5\n", false, D_TYPE, 6, 17},
        {DEF "  runner_class: ~\n", false, D_NULL, 6, 17},
        {DEF "  scheduler_name: sched\n", true, NONE},
        {DEF "  scheduler_name: ~\n", true, NONE},
        {DEF "  scheduler_name: other\n", true, W_SCHEDULER, 6, 19},
        {DEF "  scheduler_name: [a]\n", false, D_TYPE, 6, 19},
        {DEF "  node_fleet: a0-z9\n", true, NONE},
        {DEF "  node_fleet: a.b\n", false, D_FLEET_NAME, 6, 15},
        {DEF "  node_fleet: 5\n", false, D_FLEET_NAME, 6, 15},
        {DEF "  node_fleet: c7i-runner\n", false, D_FLEET_NAME, 6, 15},
        {DEF "  node_fleet: \"a\\n\"\n", false, D_FLEET_NAME, 6, 15},
        {DEF "  node_fleet: " X49 "xxxxxxxxxxxxxx\n", true, NONE}, /* 63 */
        {DEF "  node_fleet: " X49 "xxxxxxxxxxxxxxx\n", false, D_FLEET_NAME, 6, 15},
    };

    (void)state;
    CHECK_OUTCOMES(PLAIN, list);
    assert_true(resolve(CLUSTERS("", ", runner_group: g"), DEF "  runner_group: 5\n"));
    assert_false(resolve(CLUSTERS("", ", runner_group: g"), DEF "  runner_group: ~\n"));
    assert_true(resolve(CLUSTERS("", ", scheduler_name: other"), DEF));
    tree_only(&t, W_SCHEDULER, 5, 47, "the cluster's scheduler");
}

static void repository_urls(void **state)
{
#define URL(url, group)                                                                            \
    "clusters:\n  k1:\n    modules: []\n    arc-runners: {runner_group: " group                    \
    ",\n      github_config_url: '" url "'}\n"
    static const struct {
        const char *clusters, *group;
        bool warned;
    } cases[] = {
        {URL("https://github.com/o/r", "g"), "default", true},
        {URL("https://github.com/o/r", "default"), "default", false}, /* nothing is overridden */
        {URL("https://github.com/o//", "g"), "g", false},
        {URL("https://github.com/o//r", "g"), "default", true},
        {URL("https://github.company/o/r", "g"), "g", false},
        {URL("https://my-github.com/o/r", "g"), "default", true},
        {URL("https://x/github.com/github.com/r", "g"), "default", true}, /* the first one counts */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(resolve(cases[i].clusters, DEF));
        assert_string_equal(runner.f[F_GROUP].text.p, cases[i].group);
        if (cases[i].warned)
            tree_only(&t, W_REPO_URL, 5, 26, cases[i].clusters);
        else
            tree_only(&t, NONE, cases[i].clusters);
        assert_int_equal(runner.f[F_GROUP].from->line, cases[i].warned ? 5 : 4);
    }
}

/* That a field has this text, decided at this line of a file; line 0: by no input. */
static void comes_from(enum field f, const char *text, const char *file, uint32_t line)
{
    const struct field_value *v = &runner.f[f];

    assert_string_equal(v->text.p, text);
    assert_int_equal(v->text.n, strlen(text));
    assert_true(v->rule != NULL && v->rule[0] != '\0');
    if (line == 0) {
        assert_null(v->from);
        return;
    }
    assert_non_null(v->from);
    assert_int_equal(v->from->line, line);
    assert_string_equal(strrchr(v->from->src->path, '/') + 1, file);
}

#define C "clusters.yaml"
#define R "r.yaml"

static void defaults_come_from_nowhere(void **state)
{
    static const struct {
        enum field f;
        const char *text;
    } list[] = {
        {F_DISK, "100"},  {F_GPU, "0"},          {F_IMEX, ""},
        {F_CLASS, ""},    {F_MAX, ""},           {F_PROACTIVE, "0"},
        {F_BURST, "0"},   {F_HUD, "0"},          {F_SCHEDULER, ""},
        {F_AGE, "900"},   {F_MULTIPLIER, "1.0"}, {F_GROUP, "default"},
        {F_SECRET, ""},   {F_OFFLINE, "1"},      {F_MODULE, "arc-runners"},
        {F_IMAGE, "img"},
    };

    (void)state;
    assert_true(resolve(PLAIN, DEF));
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        comes_from(list[i].f, list[i].text, NULL, 0);
    assert_string_equal(runner.f[F_IMAGE].rule, "where the image is from");
    assert_string_equal(runner.f[F_GROUP].rule, "the default");
    comes_from(F_URL, "https://github.com/org", C, 4);
    comes_from(F_PREFIX, "p-", C, 5);
    comes_from(F_REGION, "xx-1", C, 6);
    comes_from(F_BUCKET, "pytorch-hf-model-cache-k1", C, 2);
    comes_from(F_SHARD_INDEX, "0", C, 2);
    comes_from(F_SHARD_COUNT, "1", C, 2);
    comes_from(F_NAME, "r", R, 2);
    comes_from(F_INSTANCE_TYPE, "q7a.x", R, 3);
    comes_from(F_FLEET, "q7a", R, 3);
    comes_from(F_VCPU, "6", R, 4);
    comes_from(F_MEMORY, "3Gi", R, 5);
    comes_from(F_MEMORY_BYTES, "3221225472", R, 5);
}

static void the_definition_decides(void **state)
{
    (void)state;
    assert_true(resolve(PLAIN, DEF "  disk_size: 7\n  gpu: 2\n  imex_channels: 0\n"
                                   "  runner_class: c\n  max_runners: {default: 4}\n"
                                   "  proactive_capacity: 1\n  max_burst_capacity: 9\n"
                                   "  hud_failure_base_capacity: 2\n  scheduler_name: sched\n"
                                   "  fresh_multiplier: 3\n  runner_group: g\n  node_fleet: f\n"));
    comes_from(F_DISK, "7", R, 6);
    comes_from(F_GPU, "2", R, 7);
    comes_from(F_IMEX, "0", R, 8);
    comes_from(F_CLASS, "c", R, 9);
    comes_from(F_MAX, "4", R, 10);
    comes_from(F_PROACTIVE, "1", R, 11);
    comes_from(F_BURST, "9", R, 12);
    comes_from(F_HUD, "2", R, 13);
    comes_from(F_SCHEDULER, "sched", R, 14);
    comes_from(F_MULTIPLIER, "3.0", R, 15);
    comes_from(F_GROUP, "g", R, 16);
    assert_non_null(strstr(runner.f[F_GROUP].rule, "definition"));
    comes_from(F_FLEET, "f", R, 17);
}

static void the_cluster_decides(void **state)
{
    static const char clusters[] =
        CLUSTERS("    capacity_aware_age_threshold_seconds: 60\n"
                 "    proactive_capacity_max: 2\n    hf_cache: {offline: false}\n",
                 ", runner_group: cg, scheduler_name: sched, github_secret_name: s, "
                 "capacity_aware_fresh_multiplier: 0.25");

    (void)state;
    assert_true(resolve(clusters, DEF "  proactive_capacity: 5\n  runner_group: g\n"));
    comes_from(F_GROUP, "cg", C, 5);
    comes_from(F_SCHEDULER, "sched", C, 5);
    comes_from(F_SECRET, "s", C, 5);
    comes_from(F_MULTIPLIER, "0.25", C, 5);
    comes_from(F_AGE, "60", C, 6);
    comes_from(F_PROACTIVE, "2", C, 7);
    comes_from(F_OFFLINE, "0", C, 8);
    comes_from(F_REGION, "", NULL, 0);
    assert_true(resolve(clusters, DEF "  proactive_capacity: 2\n")); /* no cap is needed */
    comes_from(F_PROACTIVE, "2", R, 6);
    assert_true(resolve(CLUSTERS("    pause_runners: true\n", ""), DEF "  max_runners: 5\n"));
    comes_from(F_MAX, "0", C, 6);
    comes_from(F_HUD, "0", C, 6);
}

static void jobs_are_offline_unless_told_otherwise(void **state)
{
    (void)state;
    assert_true(resolve(CLUSTERS("    hf_cache: {offline: true}\n", ""), DEF));
    comes_from(F_OFFLINE, "1", C, 6);
    assert_string_equal(runner.f[F_OFFLINE].rule, "hf_cache.offline");
    assert_true(resolve(CLUSTERS("    hf_cache: {offline: no}\n", ""), DEF));
    comes_from(F_OFFLINE, "0", C, 6);
    assert_true(resolve(CLUSTERS("", "") "defaults: {hf_cache: {offline: off}}\n", DEF));
    comes_from(F_OFFLINE, "0", C, 6);
}

static void what_is_present(void **state)
{
    (void)state;
    assert_true(resolve(PLAIN, DEF));
    assert_false(runner.f[F_GPU].present || runner.f[F_IMEX].present || runner.f[F_CLASS].present);
    assert_false(runner.f[F_MAX].present || runner.f[F_SCHEDULER].present);
    assert_true(resolve(PLAIN, DEF "  gpu: 1\n  imex_channels: ''\n  runner_class: c\n"
                                   "  max_runners: 1\n  scheduler_name: sched\n"));
    assert_true(runner.f[F_GPU].present && runner.f[F_IMEX].present && runner.f[F_CLASS].present);
    assert_true(runner.f[F_MAX].present && runner.f[F_SCHEDULER].present);
    assert_true(resolve(PLAIN, DEF "  gpu: 0.0\n  runner_class: ''\n"));
    assert_false(runner.f[F_GPU].present || runner.f[F_CLASS].present);
}

static void every_placeholder_has_a_field(void **state)
{
    struct text values[PLACEHOLDERS];

    (void)state;
    assert_true(resolve(PLAIN, DEF "  imex_channels: \"a\\0b\"\n"));
    placeholder_values(t.ws.arena, &runner, values);
    for (size_t i = 0; i < PLACEHOLDERS; i++) {
        assert_true(placeholder_field(i) < FIELDS);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(placeholder_names[k], placeholder_names[i]);
        if (strcmp(placeholder_names[i], "IMEX_ENV") == 0) /* NULs pass through */
            assert_memory_equal(values[i].p + values[i].n - 5, "\"a\0b\"", 5);
    }
    assert_null(placeholder_names[PLACEHOLDERS]);
    assert_string_equal(placeholder_names[0], "GITHUB_CONFIG_URL");
    assert_string_equal(placeholder_names[PLACEHOLDER_NAME_NORMALIZED], "RUNNER_NAME_NORMALIZED");
    assert_string_equal(placeholder_names[33], "CAPACITY_AWARE_FRESH_MULTIPLIER");
}

#define RULE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE_TEST(whole_definitions),
        RULE_TEST(names),
        RULE_TEST(instance_types),
        RULE_TEST(sizes),
        RULE_TEST(gpus),
        RULE_TEST(maxima),
        RULE_TEST(capacities),
        RULE_TEST(the_burst_limit_is_no_lower_than_the_baselines),
        RULE_TEST(multipliers),
        RULE_TEST(routing),
        RULE_TEST(repository_urls),
        RULE_TEST(defaults_come_from_nowhere),
        RULE_TEST(the_definition_decides),
        RULE_TEST(the_cluster_decides),
        RULE_TEST(jobs_are_offline_unless_told_otherwise),
        RULE_TEST(what_is_present),
        RULE_TEST(every_placeholder_has_a_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
