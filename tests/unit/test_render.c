/* test_render.c: from a tree of inputs to files in a sink: blocks, names, values that break YAML,
 * fleets, images and the hf-cache module. */
#include "tree.h"

#include <errno.h>

#include "blocks.h"
#include "generate.h"
#include "hfcache.h"

#define CLUSTERS(more, modules)                                                                    \
    "clusters:\n"                                                                                  \
    "  k1:\n"                                                                                      \
    "    region: xx-1\n"                                                                           \
    "    cluster_name: one\n"                                                                      \
    "    aws_account_id: '123456789012'\n"                                                         \
    "    arc: {runner_image_tag: '2'}\n"                                                           \
    "    arc-runners: {github_config_url: u, runner_name_prefix: p-}\n"                            \
    "    modules: [" modules "]\n" more
#define PLAIN CLUSTERS("", "nodepools, arc-runners")

#define DEF(name, more)                                                                            \
    "runner: {name: " name ", instance_type: q7a.x, vcpu: 2, memory: 1Gi" more "}\n"

#define TEMPLATE                                                                                   \
    "name: {{RUNNER_NAME_PREFIX}}{{RUNNER_NAME}}\n"                                                \
    "cpu: {{VCPU}}\n"                                                                              \
    "group: \"{{RUNNER_GROUP}}\"\n"

#define DEFS "modules/arc-runners/defs/"
#define TEMPLATE_FILE "modules/arc-runners/templates/runner.yaml.tpl"

static struct tree t;
static struct hfc_error err;
static struct generator generator;

/* What a run put into the sink: names and contents, one after the other. */
static struct hfc_buf put;
static long fail_at; /* the file at which the sink fails; -1: none */

static int sink_put(void *ctx, const char *name, const char *bytes, size_t n, struct hfc_error *e)
{
    (void)ctx;
    if (fail_at-- == 0)
        return hfc_error_set(e, ENOSPC, "%s", name);
    hfc_buf_printf(&put, "[%s]\n", name);
    hfc_buf_add(&put, bytes, n);
    return 0;
}

static const struct sink sink = {sink_put, NULL};

static int set_up(void **state)
{
    (void)state;
    t = tree_new(PLAIN);
    tree_write(&t, TEMPLATE_FILE, TEMPLATE);
    tree_write(&t, DEFS "a.yaml", DEF("r", ""));
    tree_write(&t, "modules/nodepools/defs/q.yaml", "nodepool: {instance_type: q7a.x}\n");
    hfc_buf_init(&put, 1 << 20);
    fail_at = -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hfc_buf_free(&put);
    tree_free(&t);
    return 0;
}

static long generate_with(const char *image)
{
    hfc_buf_reset(&put);
    err = (struct hfc_error){0};
    assert_true(tree_open(&t));
    generator_open(&generator, &t.ws, image);
    long n = generate_cluster(&generator, "k1", &sink, &err);
    generator_close(&generator);
    return n;
}

/* Generates cluster k1 and checks what came of it; no other finding than `code` there. */
static void gives(const char *files, enum diag_code code, uint32_t line, uint32_t col)
{
    assert_true(generate_with(NULL) >= 0);
    assert_string_equal(put.data, files);
    tree_only(&t, code, line, col, put.data);
}

#define NONE DIAG_CODES, 0, 0
#define ONE_FILE "[k1/arc-runners/r.yaml]\nname: p-r\ncpu: 2\ngroup: \"default\"\n"

static void a_file_for_each_definition_in_order(void **state)
{
    (void)state;
    gives(ONE_FILE, NONE);
    tree_write(&t, DEFS "a-b.yaml", DEF("x.y", ", runner_group: g"));
    gives("[k1/arc-runners/x.y.yaml]\nname: p-x.y\ncpu: 2\ngroup: \"g\"\n" ONE_FILE, NONE);
    assert_int_equal(generate_with(NULL), 2);
}

static void modules_are_generated_once_in_list_order(void **state)
{
    (void)state;
    tree_write(&t, "clusters.yaml",
               CLUSTERS("", "nodepools, arc-runners-b, other, arc-runners, arc-runners-b"));
    tree_write(&t, "modules/arc-runners-b/defs/a.yaml", DEF("b", ""));
    gives("[k1/arc-runners-b/b.yaml]\nname: p-b\ncpu: 2\ngroup: \"default\"\n" ONE_FILE, NONE);
    tree_write(&t, "clusters.yaml", CLUSTERS("", "nodepools, other"));
    gives("", NONE);
    tree_write(&t, "clusters.yaml", "clusters: {k1: {}}\n");
    gives("", NONE);
}

static void blocks_follow_the_modules(void **state)
{
    static const struct {
        const char *modules, *body;
    } cases[] = {
        {"", "a\n"},
        {", pypi-cache", "p\na\n"},
        {", mine, hf-cache-extra-x", "a\n"},
        {", monitoring", "a\n"},
    };
    char text[512], expected[128];

    (void)state;
    tree_write(&t, TEMPLATE_FILE,
               "# BEGIN_PYPI_CACHE\np\n# END_PYPI_CACHE\na\n# BEGIN_HF_CACHE\nh\n# END_HF_CACHE\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(text, sizeof(text), CLUSTERS("", "nodepools, arc-runners%s"),
                       cases[i].modules);
        tree_write(&t, "clusters.yaml", text);
        (void)snprintf(expected, sizeof(expected), "[k1/arc-runners/r.yaml]\n%s", cases[i].body);
        gives(expected, NONE);
    }
    tree_write(&t, "modules/hf-cache/templates/x.yaml.tpl", "m\n");
    tree_write(&t, "modules/hf-cache/models.txt", "");
    tree_write(&t, "clusters.yaml", CLUSTERS("", "hf-cache, nodepools, arc-runners"));
    gives("[k1/arc-runners/r.yaml]\na\nh\n[k1/hf-cache/x.yaml]\nm\n", NONE);
    assert_string_equal(blocks_tag(0), "PYPI_CACHE");
    assert_string_equal(blocks_tag(1), "HF_CACHE");
}

static void templates_are_checked(void **state)
{
    static const struct {
        const char *template;
        enum diag_code code;
        uint32_t line;
    } cases[] = {
        {"a\n# BEGIN_HF_CACHE\nb\n", D_BLOCK, 2},
        {"a\n# END_HF_CACHE\n", D_BLOCK, 2},
        {"# BEGIN_HF_CACHE\n# BEGIN_HF_CACHE\n# END_HF_CACHE\n", D_BLOCK, 2},
        {"a\n# BEGIN_HF_CACHE_GPU\n", W_TEMPLATE, 2},
        {"a\n#BEGIN_HF_CACHE\n", W_TEMPLATE, 2},
        {"# BEGIN_HF_CACHE\n# BEGIN_PYPI_CACHE\n# END_HF_CACHE\n# END_PYPI_CACHE\n", W_TEMPLATE, 4},
        {"a: {{ VCPU }}\n", W_TEMPLATE, 1},
        {"a\nb: '{{NO_SUCH_THING}}'\n", D_LEFTOVER, 2},
        {"a\n\xff\n", D_TEMPLATE, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tree_write(&t, TEMPLATE_FILE, cases[i].template);
        (void)generate_with(NULL);
        assert_true(tree_found(&t, cases[i].code, cases[i].line) >= 1);
    }
    assert_string_equal(put.data, "");
    assert_int_equal(unlink(arena_printf(t.ws.arena, "%s/" TEMPLATE_FILE, t.root)), 0);
    gives("", D_TEMPLATE, 0, 0);
}

static void a_stripped_block_needs_no_values(void **state)
{
    (void)state;
    tree_write(&t, TEMPLATE_FILE, "a\n# BEGIN_HF_CACHE\n{{NO_SUCH_THING}}\n# END_HF_CACHE\n");
    gives("[k1/arc-runners/r.yaml]\na\n", NONE);
}

static void placeholders_from_values_are_the_value_s_fault(void **state)
{
    (void)state;
    tree_write(&t, DEFS "a.yaml", DEF("r", ",\n  runner_group: '{{NOPE}}'"));
    (void)generate_with(NULL);
    assert_int_equal(tree_found_at(&t, D_LEFTOVER, 1, 9), 1);
    assert_non_null(strstr(tree_diag(&t, D_LEFTOVER)->hint, "value that is put in"));
    tree_write(&t, DEFS "a.yaml", DEF("r", ",\n  runner_group: '{{RUNNER_CLASS}}x'"));
    gives("[k1/arc-runners/r.yaml]\nname: p-r\ncpu: 2\ngroup: \"x\"\n", NONE); /* a later one */
}

static void names_must_differ(void **state)
{
    (void)state;
    tree_write(&t, DEFS "b.yaml", "# two\n" DEF("r", ""));
    gives(ONE_FILE, D_NAME_TWICE, 2, 16);
    assert_non_null(strstr(tree_diag(&t, D_NAME_TWICE)->message, "is defined twice"));
    tree_write(&t, DEFS "a.yaml", DEF("r-1", ""));
    tree_write(&t, DEFS "b.yaml", "# two\n" DEF("r_1", ""));
    (void)generate_with(NULL);
    tree_only(&t, D_NAME_TWICE, 2, 16, "names that differ by - and _");
    assert_non_null(strstr(tree_diag(&t, D_NAME_TWICE)->message, "r-1"));
    tree_write(&t, DEFS "b.yaml", DEF("r-2", ""));
    tree_write(&t, "modules/arc-runners-b/defs/a.yaml", DEF("r.1", ""));
    tree_write(&t, "clusters.yaml", CLUSTERS("", "nodepools, arc-runners, arc-runners-b"));
    (void)generate_with(NULL);
    tree_only(&t, D_NAME_TWICE, 1, 16, "names of two modules");
}

static void names_are_forgotten_between_clusters(void **state)
{
    (void)state;
    tree_write(&t, "clusters.yaml",
               CLUSTERS("  k2: {region: xx-1, arc: {runner_image_tag: x}, arc-runners: "
                        "{github_config_url: u, runner_name_prefix: q-}, modules: "
                        "[nodepools, arc-runners]}\n",
                        "nodepools, arc-runners"));
    assert_true(tree_open(&t));
    generator_open(&generator, &t.ws, NULL);
    assert_int_equal(generate_cluster(&generator, "k1", &sink, &err), 1);
    assert_int_equal(generate_cluster(&generator, "k2", &sink, &err), 1);
    assert_int_equal(generate_cluster(&generator, "k3", &sink, &err), 0);
    generator_close(&generator);
    tree_only(&t, D_CLUSTER, 0, 0, "k3");
}

static void values_that_break_yaml(void **state)
{
    static const char *const bad[] = {
        "'a\"b'", "'a\\'", "\"a\\nb\"", "\"a\\x85b\"", "\"a\\u2028b\"",
    };
    static const char *const good[] = {"'a b'", "\"it's\"", "'a: b'", "'# a'", "'[a, b]'"};
    char def[256];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(def, sizeof(def), DEF("r", ",\n  runner_group: %s"), bad[i]);
        tree_write(&t, DEFS "a.yaml", def);
        (void)generate_with(NULL);
        tree_only(&t, D_BREAKS_YAML, 2, 17, bad[i]);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        (void)snprintf(def, sizeof(def), DEF("r", ",\n  runner_group: %s"), good[i]);
        tree_write(&t, DEFS "a.yaml", def);
        (void)generate_with(NULL);
        tree_only(&t, NONE, good[i]); /* the template has them in quotes */
    }
    tree_write(&t, TEMPLATE_FILE, "a: {{RUNNER_GROUP}}\n");
    (void)snprintf(def, sizeof(def), DEF("r", ",\n  runner_group: %s"), "'a: b'");
    tree_write(&t, DEFS "a.yaml", def);
    (void)generate_with(NULL);
    tree_only(&t, D_BREAKS_YAML, 2, 17, "not in quotes here");
}

static void an_image_that_breaks_yaml_has_no_place(void **state)
{
    (void)state;
    tree_write(&t, TEMPLATE_FILE, "a: \"{{RUNNER_IMAGE}}\"\n");
    assert_int_equal(generate_with("x\"y"), 1);
    tree_only(&t, D_BREAKS_YAML, 1, 9, "an image"); /* the definition stands for it */
}

static void no_definitions(void **state)
{
    (void)state;
    assert_true(tree_open(&t));
    assert_int_equal(unlink(arena_printf(t.ws.arena, "%s/" DEFS "a.yaml", t.root)), 0);
    gives("", D_NO_DEFS, 8, 26);
    tree_write(&t, DEFS "a.yml", DEF("r", ""));
    (void)generate_with(NULL); /* not a definition, and probably meant as one */
    assert_int_equal(tree_found(&t, D_NO_DEFS, 8), 1);
    assert_int_equal(tree_found(&t, W_IGNORED_FILE, 0), 1);
}

static void a_bad_definition_does_not_hide_others(void **state)
{
    (void)state;
    tree_write(&t, DEFS "0.yaml", "runner: {name: z}\n");
    tree_write(&t, DEFS "1.yaml", "runner: [\n");
    tree_write(&t, DEFS "2.yaml", "");
    tree_write(&t, DEFS "3.yaml", "runner:\n");
    tree_write(&t, DEFS "4.yaml", "- a\n");
    tree_write(&t, DEFS "5.yaml", "a: 1\n");
    assert_int_equal(generate_with(NULL), 1);
    assert_string_equal(put.data, ONE_FILE);
    assert_int_equal(tree_found_at(&t, D_MISSING, 1, 9), 2); /* instance type and memory */
    assert_int_equal(tree_found(&t, D_SYNTAX, 0), 1);
    assert_int_equal(tree_found(&t, D_NULL, 0), 1);
    assert_int_equal(tree_found(&t, D_TYPE, 0), 1);
    assert_int_equal(tree_found_at(&t, D_MISSING, 1, 1), 2); /* empty; no key `runner` */
}

static void a_sink_that_fails_ends_the_run(void **state)
{
    (void)state;
    fail_at = 0;
    assert_int_equal(generate_with(NULL), -1);
    assert_string_equal(err.msg, "k1/arc-runners/r.yaml: No space left on device");
    tree_write(&t, "modules/hf-cache/templates/x.yaml.tpl", "m\n");
    tree_write(&t, "modules/hf-cache/models.txt", "");
    tree_write(&t, "clusters.yaml", CLUSTERS("", "hf-cache, nodepools, arc-runners"));
    fail_at = 1;
    assert_int_equal(generate_with(NULL), -1);
    assert_string_equal(err.msg, "k1/hf-cache/x.yaml: No space left on device");
}

static void images(void **state)
{
    (void)state;
    tree_write(&t, TEMPLATE_FILE, "a: {{RUNNER_IMAGE}}\n");
    gives("[k1/arc-runners/r.yaml]\na: ghcr.io/actions/actions-runner:2\n", NONE);
    assert_int_equal(generate_with("given:1"), 1);
    assert_string_equal(put.data, "[k1/arc-runners/r.yaml]\na: given:1\n");
    assert_int_equal(generate_with(""), 1); /* empty is given, too */
    assert_string_equal(put.data, "[k1/arc-runners/r.yaml]\na: \n");
    tree_write(&t, "clusters.yaml",
               "clusters:\n  k1: {region: r, arc-runners: {github_config_url: u}, "
               "modules: [nodepools, arc-runners]}\n");
    gives("", D_IMAGE, 2, 3);
    tree_write(&t, "clusters.yaml",
               "defaults: {arc: {runner_image_tag: 2.3}}\n"
               "clusters:\n  k1: {region: r, arc-runners: {github_config_url: u}, "
               "modules: [nodepools, arc-runners]}\n");
    gives("", D_TYPE, 1, 36);
}

static void settings_deserve_a_warning(void **state)
{
    (void)state;
    tree_write(&t, "clusters.yaml",
               CLUSTERS("    pause_runners: true\n    proactive_capacity_max: 3\n",
                        "nodepools, arc-runners"));
    (void)generate_with(NULL);
    assert_int_equal(tree_found_at(&t, W_PAUSED, 9, 20), 1);
    assert_int_equal(tree_found_at(&t, W_CAPPED, 10, 29), 1);
    assert_int_equal(diags_count(t.ws.diags), 2);
    tree_write(&t, "clusters.yaml",
               "defaults: {arc-runners: {github_config_url: u, runner_name_prefix: p-}}\n"
               "clusters:\n  k1: {region: r, arc: {runner_image_tag: x}, "
               "modules: [nodepools, arc-runners]}\n");
    gives(ONE_FILE, W_SHARD_PREFIX, 1, 68);
}

static void a_module_block_must_be_a_mapping(void **state)
{
    (void)state;
    tree_write(&t, "modules/arc-runners-b/defs/a.yaml", DEF("b", ""));
    tree_write(&t, "clusters.yaml",
               CLUSTERS("    arc-runners-b: text\n", "nodepools, arc-runners, arc-runners-b"));
    gives(ONE_FILE, D_TYPE, 9, 20);
    tree_write(&t, "clusters.yaml",
               CLUSTERS("    arc-runners-b: {capacity_aware_fresh_multiplyer: 3}\n",
                        "nodepools, arc-runners, arc-runners-b"));
    assert_int_equal(generate_with(NULL), 2);
    tree_only(&t, D_NEAR_KEY, 9, 21, "a misspelt key");
    tree_write(&t, "clusters.yaml",
               CLUSTERS("    arc-runners-b: {capacity_aware_fresh_multiplier: 3}\n",
                        "nodepools, arc-runners, arc-runners-b"));
    tree_write(&t, TEMPLATE_FILE, "a: {{CAPACITY_AWARE_FRESH_MULTIPLIER}}\n");
    gives("[k1/arc-runners/r.yaml]\na: 1.0\n[k1/arc-runners-b/b.yaml]\na: 3.0\n", NONE);
}

static void every_runner_has_a_fleet(void **state)
{
    (void)state;
    tree_write(&t, DEFS "a.yaml", DEF("r", ", node_fleet: other"));
    gives("[k1/arc-runners/r.yaml]\nname: p-r\ncpu: 2\ngroup: \"default\"\n", D_FLEET_MISSING, 1,
          75);
    const struct diag *d = tree_diag(&t, D_FLEET_MISSING);
    assert_string_equal(d->message, "no node pool of cluster k1 defines fleet 'other'");
    assert_string_equal(d->expected, "one of: q7a");
    tree_write(&t, DEFS "a.yaml", DEF("r", ""));
    tree_write(&t, "modules/nodepools/defs/q.yaml",
               "fleets: [{name: z}, {name: c7i-runner}, {name: b}]\n");
    gives(ONE_FILE, D_FLEET_MISSING, 1, 34);
    assert_string_equal(tree_diag(&t, D_FLEET_MISSING)->expected, "one of: b, z");
    tree_write(&t, "modules/nodepools/defs/q.yaml",
               "fleet: {name: q7a, exclude_regions: [xx-1], instances: [{type: q7a.x}]}\n");
    (void)generate_with(NULL); /* the region excludes its nodes: nothing is to be scheduled */
    assert_int_equal(tree_found(&t, D_FLEET_MISSING, 0), 0);
    assert_string_equal(tree_diag(&t, W_REGION_EXCLUDED)->message,
                        "r: q7a.x is excluded in xx-1: no runners are offered");
}

static void all_modules_are_checked_for_fleets(void **state)
{
    (void)state;
    tree_write(&t, "modules/arc-runners-b/defs/a.yaml", DEF("b", ", node_fleet: nb"));
    tree_write(&t, "clusters.yaml",
               CLUSTERS("", "nodepools, nodepools-b, arc-runners-b, arc-runners"));
    (void)generate_with(NULL);
    tree_only(&t, D_FLEET_MISSING, 1, 75, "no nodepools-b");
    tree_write(&t, "modules/nodepools-b/defs/a.yaml", "fleet: {name: nb}\n");
    (void)generate_with(NULL);
    tree_only(&t, NONE, "nodepools-b");
    tree_write(&t, "clusters.yaml", CLUSTERS("", "arc-runners-b, arc-runners"));
    (void)generate_with(NULL);
    tree_only(&t, D_NO_NODEPOOLS, 8, 14, "no nodepools at all");
}

static void manifests_of_the_cache(void **state)
{
    (void)state;
    tree_write(&t, "clusters.yaml", CLUSTERS("", "hf-cache, nodepools"));
    tree_write(&t, "modules/hf-cache/models.txt", "# models\norg/a@main\n\norg/b\n\n");
    tree_write(&t, "modules/hf-cache/templates/b.yaml.tpl", "b: |\n{{MODELS_TXT}}\n");
    tree_write(&t, "modules/hf-cache/templates/a.yaml.tpl", "a: {{BUCKET}}\n");
    tree_write(&t, "modules/hf-cache/templates/c.yaml.tpl",
               "# BEGIN_MONITORING\nc: 1\n# END_MONITORING\n");
    tree_write(&t, "modules/hf-cache/templates/README.md", "no template\n");
    tree_write(&t, "modules/hf-cache/templates/.yaml.tpl", "no name\n");
    gives("[k1/hf-cache/a.yaml]\na: pytorch-hf-model-cache-k1\n"
          "[k1/hf-cache/b.yaml]\nb: |\n    # models\n    org/a@main\n\n    org/b\n",
          NONE);
    tree_write(&t, "clusters.yaml", CLUSTERS("", "hf-cache, nodepools, monitoring"));
    (void)generate_with(NULL);
    assert_non_null(strstr(put.data, "[k1/hf-cache/c.yaml]\nc: 1\n"));
    tree_write(&t, "modules/hf-cache/templates/a.yaml.tpl", "a: {{NOPE}}\n");
    (void)generate_with(NULL);
    tree_only(&t, D_LEFTOVER, 1, 4, "a leftover");
    assert_non_null(strstr(tree_diag(&t, D_LEFTOVER)->hint, "docs/templates.md"));
}

static void unusable_manifests(void **state)
{
    (void)state;
    tree_write(&t, "clusters.yaml", CLUSTERS("", "hf-cache"));
    tree_write(&t, "modules/hf-cache/templates/a.txt", "");
    tree_write(&t, "modules/hf-cache/models.txt", "a\n");
    gives("", D_TEMPLATE, 0, 0); /* no templates */
    tree_write(&t, "modules/hf-cache/templates/a.yaml.tpl", "\xff");
    tree_write(&t, "modules/hf-cache/templates/b.yaml.tpl", "b\n");
    gives("", D_TEMPLATE, 1, 1); /* one of them is bad: none at all */
    tree_write(&t, "modules/hf-cache/templates/a.yaml.tpl", "a\n");
    tree_write(&t, "modules/hf-cache/models.txt", "a\nb\x01\n");
    gives("", D_MODELS, 2, 1);
    for (const char *const *c = (const char *const[]){"\x7f", "\xc2\x9f", "\xef\xbb\xbf", "\r\x1b",
                                                      "\xef\xbf\xbe", "\xf0\x9f\xbf\xbf", NULL};
         *c != NULL; c++) {
        tree_write(&t, "modules/hf-cache/models.txt", *c);
        (void)generate_with(NULL);
        assert_int_equal(tree_found(&t, D_MODELS, 0), 1);
    }
    tree_write(&t, "modules/hf-cache/models.txt", "a\n\xff\n");
    gives("", D_MODELS, 0, 0);
    tree_write(&t, "modules/hf-cache/models.txt", "a\tb \xc2\xa0\xef\xbf\xbd\xf0\x90\x80\x80~\n");
    gives("[k1/hf-cache/a.yaml]\na\n[k1/hf-cache/b.yaml]\nb\n", NONE);
    tree_write(&t, "modules/hf-cache/templates/a.yaml.tpl", "{{MODELS_TXT}}\n");
    tree_write(&t, "modules/hf-cache/models.txt", "x\ny"); /* no line break at the end */
    gives("[k1/hf-cache/a.yaml]\n    x\n    y\n[k1/hf-cache/b.yaml]\nb\n", NONE);
    tree_write(&t, "modules/hf-cache/templates/a.yaml.tpl", "a\n");
    assert_int_equal(unlink(arena_printf(t.ws.arena, "%s/modules/hf-cache/models.txt", t.root)), 0);
    gives("[k1/hf-cache/a.yaml]\na\n[k1/hf-cache/b.yaml]\nb\n", W_MODELS, 0, 0);
    tree_write(&t, "modules/hf-cache/models.txt/x", "a folder");
    gives("", D_UNREADABLE, 0, 0);
}

static void ids_to_work_on(void **state)
{
    const char *const *ids;
    char *args[] = {strdup("b"), strdup("x"), strdup("a")};

    (void)state;
    tree_write(&t, "clusters.yaml", "clusters: {b: {}, a: {}, c: {}}\n");
    assert_true(tree_open(&t));
    assert_int_equal(generate_ids(&t.ws, 0, NULL, &ids), 3);
    assert_string_equal(ids[0], "b");
    assert_string_equal(ids[2], "c");
    assert_int_equal(generate_ids(&t.ws, 3, args, &ids), 2);
    assert_string_equal(ids[0], "b");
    assert_string_equal(ids[1], "a");
    tree_only(&t, D_CLUSTER, 0, 0, "x");
    tree_write(&t, "clusters.yaml", "clusters: {5: {}, a: {}}\n");
    assert_true(tree_open(&t));
    assert_int_equal(generate_ids(&t.ws, 0, NULL, &ids), 1);
    tree_only(&t, D_TYPE, 1, 12, "an id that is no text");
    for (size_t i = 0; i < 3; i++)
        free(args[i]);
}

#define RENDER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RENDER_TEST(a_file_for_each_definition_in_order),
        RENDER_TEST(modules_are_generated_once_in_list_order),
        RENDER_TEST(blocks_follow_the_modules),
        RENDER_TEST(templates_are_checked),
        RENDER_TEST(a_stripped_block_needs_no_values),
        RENDER_TEST(placeholders_from_values_are_the_value_s_fault),
        RENDER_TEST(names_must_differ),
        RENDER_TEST(names_are_forgotten_between_clusters),
        RENDER_TEST(values_that_break_yaml),
        RENDER_TEST(an_image_that_breaks_yaml_has_no_place),
        RENDER_TEST(no_definitions),
        RENDER_TEST(a_bad_definition_does_not_hide_others),
        RENDER_TEST(a_sink_that_fails_ends_the_run),
        RENDER_TEST(images),
        RENDER_TEST(settings_deserve_a_warning),
        RENDER_TEST(a_module_block_must_be_a_mapping),
        RENDER_TEST(every_runner_has_a_fleet),
        RENDER_TEST(all_modules_are_checked_for_fleets),
        RENDER_TEST(manifests_of_the_cache),
        RENDER_TEST(unusable_manifests),
        RENDER_TEST(ids_to_work_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
