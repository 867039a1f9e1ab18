/* cluster.c: reads one cluster's settings; see cluster.h. */
#include "cluster.h"

#include <assert.h>
#include <string.h>

#include "check.h"
#include "query.h"
#include "suggest.h"

/* What misspelt keys are compared with. Keys of other programs need no entry, because only near
 * misses are reported. */
static const char *const cluster_keys[] = {
    "region",
    "cluster_name",
    "modules",
    "arc",
    "arc-runners",
    "proactive_capacity_max",
    "pause_runners",
    "capacity_aware_age_threshold_seconds",
    "hf_cache",
    "state_bucket",
    "access_config",
    "aws_account_id",
    NULL,
};

static const char *const runner_block_keys[] = {
    "github_config_url",
    "github_secret_name",
    "runner_name_prefix",
    "runner_group",
    "scheduler_name",
    "capacity_aware_fresh_multiplier",
    NULL,
};

/* hf-cache must be up before nodes carry its startup taint, and modules deploy in list order. */
static void check_module_order(struct workspace *ws, const struct ynode *modules)
{
    const struct ynode *nodepools = NULL;

    for (uint32_t i = 0; i < modules->n; i++) {
        const struct ynode *m = modules->items[i];
        if (m->type != Y_STR)
            continue;
        if (nodepools == NULL && module_is_nodepools(m->text))
            nodepools = m;
        if (nodepools == NULL || strcmp(m->text, "hf-cache") != 0)
            continue;
        struct diag item = {
            .code = D_MODULE_ORDER,
            .at = ynode_pos(m),
            .message = arena_printf(diags_arena(ws->diags), "hf-cache is listed after %s (line %u)",
                                    nodepools->text, nodepools->line),
            .expected = "hf-cache before every nodepools module",
            .hint = "modules deploy in list order, and the cache must be there before nodes carry "
                    "its startup taint"};
        diags_add(ws->diags, &item);
        return;
    }
}

/* A misspelt module would silently not be there. It is only warned of: names are compared exactly,
 * and others than these are not known here. */
static void warn_of_module_name(struct workspace *ws, const struct ynode *m)
{
    static const char *const known[] = {"hf-cache",    "pypi-cache", "nodepools",
                                        "arc-runners", "monitoring", NULL};
    const char *near = suggest(m->text, known);
    size_t n = near != NULL ? strlen(near) : 0;

    /* "nodepools-x" is a variant of its own, however short its ending. */
    if (near == NULL || (strncmp(m->text, near, n) == 0 && m->text[n] == '-'))
        return;
    struct diag item = {
        .code = W_MODULE,
        .at = ynode_pos(m),
        .message = arena_printf(diags_arena(ws->diags), "module '%s' is not known", m->text),
        .hint = arena_printf(diags_arena(ws->diags), "did you mean '%s'?", near)};
    diags_add(ws->diags, &item);
}

/* Every entry must be text: modules are found by name, and what YAML makes of `on` or `1.0` would
 * quietly equal no name. Null is an empty list. */
static bool read_modules(struct workspace *ws, struct cluster *c)
{
    const struct ynode *list = ynode_get(c->node, "modules");
    bool ok = check_list_or_null(ws->diags, list, "modules");

    if (!ok || ynode_is_null(list))
        return ok;
    for (uint32_t i = 0; i < list->n; i++)
        if (check_type(ws->diags, list->items[i], "a module's name", Y_STR))
            warn_of_module_name(ws, list->items[i]);
        else
            ok = false;
    check_module_order(ws, list);
    c->modules = list;
    return ok;
}

/* defaults.region decides which fleets exist, but does not reach the runners: keep both apart. */
static bool read_region(struct workspace *ws, struct cluster *c)
{
    const struct ynode *region = ynode_get(c->node, "region");
    const struct ynode *fallback = ynode_get(ws->defaults, "region");

    c->region = "";
    if (region != NULL) {
        if (!check_type(ws->diags, region, "region", Y_STR))
            return false;
        c->region = region->text;
        c->region_node = region;
    }
    c->fleet_region = c->region;
    if (c->region[0] != '\0' || !ynode_truthy(fallback))
        return true;
    if (!check_type(ws->diags, fallback, "defaults.region", Y_STR))
        return false;
    c->fleet_region = fallback->text;
    diags_addf(ws->diags, W_REGION_DEFAULT, ynode_pos(c->key),
               "cluster %s has no region of its own: defaults.region decides which fleets exist, "
               "but runners are rendered with an empty region",
               c->id);
    return true;
}

/* A null cap is no cap. A null age is refused, because it would be printed as the word None where
 * the listener expects seconds; its default is had by leaving the key out. */
static bool read_capacity(struct workspace *ws, struct cluster *c)
{
    const struct ynode *cap = ynode_get(c->node, "proactive_capacity_max");
    const struct ynode *age = ynode_get(c->node, "capacity_aware_age_threshold_seconds");
    bool ok = true;

    if (!ynode_is_null(cap)) {
        ok &= check_int(ws->diags, D_VALUE, cap, "proactive_capacity_max", 0);
        c->capacity_max = cap;
    }
    if (age != NULL && age->type == Y_NULL)
        ok &= check_type(ws->diags, age, "capacity_aware_age_threshold_seconds", Y_INT);
    c->age_threshold = age;
    return ok;
}

/* Only a boolean will do: by truth value the text "false" would pause the cluster. */
static bool read_pause(struct workspace *ws, struct cluster *c)
{
    const struct ynode *pause = ynode_get(c->node, "pause_runners");

    if (ynode_is_null(pause))
        return true;
    c->paused_node = pause;
    if (!check_type(ws->diags, pause, "pause_runners", Y_BOOL))
        return false;
    c->paused = pause->boolean;
    return true;
}

/* A misspelt image tag would be that of the defaults. */
static void check_arc_keys(struct workspace *ws, const struct ynode *owner)
{
    static const char *const known[] = {"runner_image_tag", NULL};
    const struct ynode *arc = ynode_get(owner, "arc");

    if (arc != NULL && arc->type == Y_MAP)
        check_keys(ws->diags, arc, known, NULL);
}

/* Keys named like a module of the list pass, but this module's settings have another name. */
static void check_hf_cache_key(struct workspace *ws, const struct ynode *owner)
{
    const struct yentry *e = ynode_entry(owner, "hf-cache");

    if (e == NULL)
        return;
    struct diag item = {.code = D_NEAR_KEY,
                        .at = ynode_pos(e->key),
                        .message = "unknown key 'hf-cache'",
                        .hint = "did you mean 'hf_cache'?"};
    diags_add(ws->diags, &item);
}

/* Goes on after a part that is wrong, so that one run reports all of them. The modules come first:
 * a key named like one of them is that module's block and no misspelling. */
bool cluster_resolve(struct workspace *ws, const char *id, struct cluster *out)
{
    const struct yentry *e = ynode_entry(ws->clusters, id);

    *out = (struct cluster){.id = id};
    if (e == NULL || e->value->type == Y_NULL) {
        workspace_unknown_cluster(ws, id);
        return false;
    }
    out->key = e->key;
    out->node = e->value;
    if (!check_type(ws->diags, e->value, arena_printf(ws->arena, "cluster %s", id), Y_MAP))
        return false;
    bool ok = read_modules(ws, out);
    check_keys(ws->diags, out->node, cluster_keys, out->modules);
    check_hf_cache_key(ws, out->node);
    check_arc_keys(ws, out->node);
    check_arc_keys(ws, ws->defaults);
    ok &= read_region(ws, out);
    ok &= read_capacity(ws, out);
    ok &= read_pause(ws, out);
    return ok;
}

/* Points at the empty URL or at the block without one; at the cluster if there is no block. */
static bool report_no_url(struct workspace *ws, const struct cluster *c, const struct ynode *at)
{
    diags_addf(ws->diags, D_URL, at != NULL ? ynode_pos(at) : ynode_pos(c->key),
               "cluster '%s' has no arc-runners.github_config_url", c->id);
    return false;
}

/* Text that may be missing (then *out stays NULL), but not null. */
static bool read_text(struct workspace *ws, const struct ynode *block, const char *key,
                      const struct ynode **out)
{
    const struct ynode *n = ynode_get(block, key);

    if (n != NULL && !check_type(ws->diags, n, key, Y_STR))
        return false;
    *out = n;
    return true;
}

/* Empty text is as good as none. */
static const struct ynode *unless_empty(const struct ynode *text)
{
    return ynode_truthy(text) ? text : NULL;
}

/* The block is taken as a whole. A cluster with one of its own, be it empty, gets nothing from the
 * defaults': URL, secret and prefix belong together, and a mixture could register runners with
 * credentials that are meant for somebody else. Only runner_group may be null, for none; a null in
 * place of the others would be printed. */
bool cluster_runner_settings(struct workspace *ws, const struct cluster *c,
                             struct runner_settings *out)
{
    const struct ynode *block = ynode_get(c->node, "arc-runners");

    *out = (struct runner_settings){0};
    if (ynode_is_null(block))
        block = ynode_get(ws->defaults, "arc-runners");
    if (!ynode_truthy(block))
        return report_no_url(ws, c, block);
    if (!check_type(ws->diags, block, "arc-runners", Y_MAP))
        return false;
    out->block = block;
    check_keys(ws->diags, block, runner_block_keys, NULL);
    bool ok = read_text(ws, block, "github_secret_name", &out->secret);
    ok &= read_text(ws, block, "runner_name_prefix", &out->prefix);
    ok &= read_text(ws, block, "scheduler_name", &out->scheduler);
    if (!ynode_is_null(ynode_get(block, "runner_group")))
        ok &= read_text(ws, block, "runner_group", &out->group);
    out->scheduler = unless_empty(out->scheduler);
    out->group = unless_empty(out->group);
    const struct ynode *url = ynode_get(block, "github_config_url");
    if (!ynode_truthy(url))
        return report_no_url(ws, c, url != NULL ? url : block);
    ok &= check_type(ws->diags, url, "github_config_url", Y_STR);
    out->url = url;
    return ok;
}

bool cluster_has(const struct cluster *c, const char *module)
{
    return list_has(c->modules, module);
}

const struct ynode *cluster_lookup(const struct workspace *ws, const struct ynode *cluster,
                                   const char *path)
{
    assert(path[0] != '\0');
    return query_path(cluster, ws->defaults, path);
}
