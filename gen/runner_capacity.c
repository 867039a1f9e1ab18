/* runner_capacity.c: how many runners are offered: the maximum, the warm baseline, the burst limit,
 * the base when demand is unknown, and the share of fresh jobs. Pausing a cluster and excluding an
 * instance type from its region override what the definition says. */
#include <assert.h>
#include <string.h>

#include "check.h"
#include "quantity.h"
#include "runner_internal.h"

static const struct ynode zero = {.type = Y_INT, .text = "0", .n = 1};

/* A capacity while the rules are applied to it, one after the other. */
struct capacity {
    const struct ynode *value; /* NULL: no maximum */
    const struct ynode *from;
    const char *rule;
};

static bool bad_max(const struct runner_context *ctx, const struct ynode *n, const char *problem)
{
    struct diag item = {.code = D_MAX_RUNNERS,
                        .at = ynode_pos(n),
                        .message = problem,
                        .found = repr_of(ctx->ws->diags, n),
                        .expected = "an integer of 1 or more, or a mapping with a key 'default' "
                                    "and cluster ids, all with such integers"};

    diags_add(ctx->ws->diags, &item);
    return false;
}

/* A misspelt cluster would get the default without a word. */
static void warn_of_strangers(const struct runner_context *ctx, const struct ynode *map)
{
    for (uint32_t i = 0; i < map->n; i++) {
        const struct ynode *key = map->entries[i].key;
        bool known = ynode_is_text(key, "default") ||
                     (key->type == Y_STR && ynode_get(ctx->ws->clusters, key->text) != NULL);
        if (!known)
            diags_addf(ctx->ws->diags, W_ODD_VALUE, ynode_pos(key),
                       "max_runners names a cluster that does not exist");
    }
}

/* All values are checked, those of other clusters too: a mistake should not wait for the day when
 * that cluster is deployed. */
static bool max_of_mapping(const struct runner_context *ctx, const struct ynode *map,
                           struct capacity *max)
{
    const struct ynode *fallback = ynode_get(map, "default");
    const struct ynode *own = ynode_get(map, ctx->cluster->id);
    bool ok = true;

    for (uint32_t i = 0; i < map->n; i++)
        ok &= check_int(ctx->ws->diags, D_MAX_RUNNERS, map->entries[i].value,
                        "each value of max_runners", 1);
    if (fallback == NULL)
        return bad_max(ctx, map, "max_runners as a mapping needs a key 'default'");
    max->value = max->from = own != NULL ? own : fallback;
    max->rule = own != NULL ? "max_runners of this cluster" : "max_runners.default";
    if (ok)
        warn_of_strangers(ctx, map);
    return ok;
}

/* A definition cannot ask for 0: pausing and excluding are the ways to get none, and they say why.
 */
static bool read_max(const struct runner_context *ctx, const struct ynode *node,
                     struct capacity *max)
{
    const struct ynode *n = ynode_get(node, "max_runners");

    *max = (struct capacity){.rule = "not set: no maximum"};
    if (ynode_is_null(n))
        return true;
    if (n->type == Y_MAP)
        return max_of_mapping(ctx, n, max);
    if (n->type != Y_INT || n->text[0] == '-' || strcmp(n->text, "0") == 0)
        return bad_max(ctx, n, "max_runners is not usable");
    *max = (struct capacity){n, n, "the definition's max_runners"};
    return true;
}

/* A number with default 0. Negative ones are kept, with a warning. */
static bool read_number(const struct runner_context *ctx, const struct ynode *node, const char *key,
                        struct capacity *out)
{
    const struct ynode *n = ynode_get(node, key);

    *out = (struct capacity){&zero, NULL, "the default"};
    if (n == NULL)
        return true;
    if (!check_number(ctx->ws->diags, n, key))
        return false;
    if (n->type == Y_FLOAT || number_cmp(n, &zero) < 0)
        runner_odd(ctx, n, key, "an integer of 0 or more");
    *out = (struct capacity){n, n, arena_printf(ctx->arena, "the definition's %s", key)};
    return true;
}

/* Stricter than the other numbers, because it is compared with them. */
static bool read_burst(const struct runner_context *ctx, const struct ynode *node,
                       struct capacity *out)
{
    const struct ynode *n = ynode_get(node, "max_burst_capacity");

    *out = (struct capacity){&zero, NULL, "the default"};
    if (n == NULL)
        return true;
    if (!check_int(ctx->ws->diags, D_BURST, n, "max_burst_capacity", 0))
        return false;
    *out = (struct capacity){n, n, "the definition's max_burst_capacity"};
    return true;
}

/* Lowers only: a definition that asks for less than the cap gets what it asks for. */
static void apply_cap(const struct runner_context *ctx, struct capacity *proactive)
{
    const struct ynode *cap = ctx->cluster->capacity_max;

    if (cap == NULL || number_cmp(cap, proactive->value) >= 0)
        return;
    *proactive = (struct capacity){cap, cap, "capped by the cluster's proactive_capacity_max"};
}

/* Pausing leaves the warm baseline alone, as it always has, so nodes may still be started for a
 * cluster that takes no jobs: hence the warning. */
static void apply_pause(const struct runner_context *ctx, const struct capacity *proactive,
                        struct capacity *max, struct capacity *hud)
{
    static const char rule[] = "0: the cluster is paused (pause_runners)";
    const struct ynode *from = ctx->cluster->paused_node;

    if (!ctx->cluster->paused)
        return;
    *max = *hud = (struct capacity){&zero, from, rule};
    if (number_cmp(proactive->value, &zero) <= 0)
        return;
    assert(proactive->from != NULL); /* the default is 0 */
    diags_addf(ctx->ws->diags, W_PAUSED_CAPACITY, ynode_pos(proactive->from),
               "paused, but proactive capacity is still provisioned ahead");
}

/* No node of such a type can come up, so a job that is taken would be pending for ever. The burst
 * limit stays: it asks for nothing. */
static void apply_exclusion(const struct runner_context *ctx, struct runner *r,
                            struct capacity *max, struct capacity *proactive, struct capacity *hud)
{
    static const char rule[] = "0: this region excludes the instance type's nodes";
    const struct ynode *type = r->f[F_INSTANCE_TYPE].from;

    if (type == NULL || !fleets_exclude(ctx->zeroed, type->text))
        return;
    *max = *proactive = *hud = (struct capacity){&zero, type, rule};
    diags_addf(ctx->ws->diags, W_REGION_EXCLUDED, ynode_pos(type),
               "%s: %s is excluded in %s: no runners are offered",
               r->name != NULL ? r->name->text : "?", type->text, ctx->cluster->region);
}

/* A limit below a baseline would keep the listener from ever reaching it. */
static bool check_burst(const struct runner_context *ctx, const struct capacity *burst,
                        const struct capacity *base, const char *what)
{
    if (number_cmp(burst->value, &zero) <= 0 || number_cmp(base->value, &zero) <= 0 ||
        number_cmp(burst->value, base->value) >= 0)
        return true;
    struct diags *d = ctx->ws->diags;
    struct diag item = {
        .code = D_BURST,
        .at = ynode_pos(burst->from),
        .message = arena_printf(diags_arena(d), "max_burst_capacity is below %s", what),
        .found = arena_printf(diags_arena(d), "%s < %s", repr_of(d, burst->value),
                              repr_of(d, base->value)),
        .hint = arena_printf(diags_arena(d), "raise max_burst_capacity or lower %s", what)};
    diags_add(d, &item);
    return false;
}

/* `from` is what decided: for a 0 that a rule has put there, it is not where the number stands. */
static void set_capacity(const struct runner_context *ctx, struct runner *r, enum field f,
                         const struct capacity *c)
{
    if (c->value == NULL) {
        runner_set(r, f, "", NULL, c->rule);
        return;
    }
    runner_set_node(ctx, r, f, c->value, c->rule);
    r->f[f].from = c->from;
}

bool runner_capacity(const struct runner_context *ctx, struct runner *r)
{
    struct capacity max, proactive, burst, hud;
    bool ok = read_max(ctx, r->node, &max);

    ok &= read_number(ctx, r->node, "proactive_capacity", &proactive);
    ok &= read_burst(ctx, r->node, &burst);
    ok &= read_number(ctx, r->node, "hud_failure_base_capacity", &hud);
    if (!ok)
        return false;
    /* The definition's own values have been checked by now, so a broken one is found on a paused
     * cluster too. The limits are compared below with what these rules leave: a baseline that is
     * not offered cannot be above its limit. */
    apply_cap(ctx, &proactive);
    apply_pause(ctx, &proactive, &max, &hud);
    apply_exclusion(ctx, r, &max, &proactive, &hud);
    ok &= check_burst(ctx, &burst, &proactive, "proactive_capacity");
    ok &= check_burst(ctx, &burst, &hud, "hud_failure_base_capacity");
    set_capacity(ctx, r, F_MAX, &max);
    set_capacity(ctx, r, F_PROACTIVE, &proactive);
    set_capacity(ctx, r, F_BURST, &burst);
    set_capacity(ctx, r, F_HUD, &hud);
    return ok;
}

/* Text and booleans are converted, because the predecessor did; they get a warning. What is printed
 * is always a float: 2 becomes 2.0. */
bool runner_multiplier(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *n = ynode_get(r->node, "fresh_multiplier");
    const char *rule = "the definition's fresh_multiplier";
    double value = 1.0;

    if (ynode_is_null(n)) {
        n = ctx->multiplier;
        rule = n != NULL ? "capacity_aware_fresh_multiplier of the cluster's block for the module"
                         : "the default";
    }
    if (n != NULL && number_of(n, &value) < 0) {
        struct diag item = {.code = D_MULTIPLIER,
                            .at = ynode_pos(n),
                            .message = "the fresh multiplier is not a number",
                            .found = repr_of(ctx->ws->diags, n)};
        diags_add(ctx->ws->diags, &item);
        return false;
    }
    if (n != NULL && n->type != Y_INT && n->type != Y_FLOAT)
        runner_odd(ctx, n, "the fresh multiplier", "a number");
    hfc_autobuf struct hfc_buf text = HFC_BUF(64);
    yaml_float_repr(value, &text);
    runner_set(r, F_MULTIPLIER, arena_strdup(ctx->arena, text.data), n, rule);
    assert(r->f[F_MULTIPLIER].present);
    return true;
}
