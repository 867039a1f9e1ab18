/* runner.c: resolves a definition: identity, sizes, and what comes from the context; the capacity
 * and routing rules are in their own files. See runner.h. */
#include "runner.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "check.h"
#include "names.h"
#include "quantity.h"
#include "runner_internal.h"

static const char *const runner_keys[] = {
    "name",
    "instance_type",
    "vcpu",
    "memory",
    "gpu",
    "disk_size",
    "runner_group",
    "runner_class",
    "max_runners",
    "node_fleet",
    "proactive_capacity",
    "max_burst_capacity",
    "imex_channels",
    "fresh_multiplier",
    "hud_failure_base_capacity",
    "scheduler_name",
    NULL,
};

static const char *const root_keys[] = {"runner", NULL};

/* Helm names a release "arc-NAME" and allows 53 characters; file systems allow 255 with ".yaml". */
enum { NAME_HELM_MAX = 49, NAME_MAX_BYTES = 250 };

/* Keeps the text by reference: it is a literal, part of a document, or in the context's arena. */
void runner_set(struct runner *r, enum field f, const char *text, const struct ynode *from,
                const char *rule)
{
    assert(text != NULL && rule != NULL);
    r->f[f] = (struct field_value){{text, strlen(text)}, text[0] != '\0', from, rule};
}

void runner_set_node(const struct runner_context *ctx, struct runner *r, enum field f,
                     const struct ynode *n, const char *rule)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(SOURCE_MAX);

    ynode_str(n, &text);
    char *copy = arena_strndup(ctx->arena, text.data, text.len);
    r->f[f] = (struct field_value){{copy, text.len}, text.len > 0, n, rule};
}

/* For values that have always been let through: existing definitions must go on rendering. */
void runner_odd(const struct runner_context *ctx, const struct ynode *n, const char *what,
                const char *expected)
{
    struct diags *d = ctx->ws->diags;
    struct diag item = {.code = W_ODD_VALUE,
                        .at = ynode_pos(n),
                        .message = arena_printf(diags_arena(d), "%s is printed as it is", what),
                        .found =
                            arena_printf(diags_arena(d), "%s: %s", type_noun(n), repr_of(d, n)),
                        .expected = expected};

    diags_add(d, &item);
}

/* A name becomes a file name and, normalised, part of the names of Kubernetes objects. */
static bool usable_name(struct workspace *ws, const struct ynode *name)
{
    const char *p = name->text;
    bool ok = name->n <= NAME_MAX_BYTES && isalnum((unsigned char)*p);
    bool upper = false;

    for (uint32_t i = 0; i < name->n; i++) {
        unsigned char c = (unsigned char)p[i];
        ok &= (c < 0x80 && isalnum(c)) || c == '-' || c == '.' || c == '_';
        upper |= c < 0x80 && isupper(c);
    }
    if (!ok) {
        struct diag item = {.code = D_NAME,
                            .at = ynode_pos(name),
                            .message = "runner name cannot be used as a file and object name",
                            .found = repr_of(ws->diags, name),
                            .expected = "letters, digits, '-', '.', '_'; a letter or digit first; "
                                        "at most 250 characters"};
        diags_add(ws->diags, &item);
    } else if (upper || name->n > NAME_HELM_MAX || !isalnum((unsigned char)p[name->n - 1])) {
        diags_addf(ws->diags, W_NAME_STYLE, ynode_pos(name),
                   "'%s' gives object names that Kubernetes or Helm refuse (lower case, at most %d "
                   "characters, a letter or digit last)",
                   p, NAME_HELM_MAX);
    }
    return ok;
}

static bool report_missing(const struct runner_context *ctx, const struct ynode *at,
                           const char *what)
{
    diags_addf(ctx->ws->diags, D_MISSING, ynode_pos(at), "the runner has no %s", what);
    return false;
}

/* Name and type are looked at even if the other one is missing, and the later steps run without a
 * usable name as well, so that one run reports everything. */
static bool identity(const struct runner_context *ctx, struct runner *r)
{
    struct diags *d = ctx->ws->diags;
    const struct ynode *name = ynode_get(r->node, "name");
    const struct ynode *type = ynode_get(r->node, "instance_type");
    bool ok = true;

    if (!ynode_truthy(name))
        ok = report_missing(ctx, name != NULL ? name : r->node, "name");
    else
        ok = check_type(d, name, "name", Y_STR) && usable_name(ctx->ws, name);
    if (ok) {
        r->name = name;
        runner_set(r, F_NAME, name->text, name, "the definition's name");
    }
    if (!ynode_truthy(type))
        return report_missing(ctx, type != NULL ? type : r->node, "instance_type");
    if (!check_type(d, type, "instance_type", Y_STR))
        return false;
    runner_set_node(ctx, r, F_INSTANCE_TYPE, type, "the definition's instance_type");
    return ok;
}

/* Why a node_fleet cannot be used; NULL if it can. */
static const char *fleet_problem(const struct ynode *fleet)
{
    if (fleet->type != Y_STR)
        return "node_fleet must be text";
    if (!is_dns_label(fleet->text, fleet->n))
        return "node_fleet is no DNS label";
    if (strcmp(fleet->text, FLEET_RESERVED) == 0)
        return "node_fleet names the fleet that is reserved for runner pods";
    return NULL;
}

/* The fleet of the runner pods is refused although it exists: a job on it could starve the very
 * pods that start jobs. */
static bool usable_fleet(struct workspace *ws, const struct ynode *fleet)
{
    const char *problem = fleet_problem(fleet);

    if (problem == NULL)
        return true;
    struct diag item = {
        .code = D_FLEET_NAME,
        .at = ynode_pos(fleet),
        .message = problem,
        .found = repr_of(ws->diags, fleet),
        .expected = "1 to 63 lower-case letters, digits and '-', a letter or digit first and last"};
    diags_add(ws->diags, &item);
    return false;
}

const char *runner_fleet(struct workspace *ws, struct arena *a, const struct ynode *node)
{
    const struct ynode *type = ynode_get(node, "instance_type");
    const struct ynode *fleet = ynode_get(node, "node_fleet");

    if (!ynode_truthy(ynode_get(node, "name")) || !ynode_truthy(type))
        return NULL;
    if (!check_type(ws->diags, type, "instance_type", Y_STR))
        return NULL;
    if (!ynode_is_null(fleet))
        return usable_fleet(ws, fleet) ? fleet->text : NULL;
    return instance_family(a, type->text);
}

static bool fleet(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *override = ynode_get(r->node, "node_fleet");
    const struct ynode *type = r->f[F_INSTANCE_TYPE].from;

    if (!ynode_is_null(override)) {
        runner_set_node(ctx, r, F_FLEET, override, "the definition's node_fleet");
        return usable_fleet(ctx->ws, override);
    }
    if (type != NULL)
        runner_set(r, F_FLEET, instance_family(ctx->arena, type->text), type,
                   "the family of the instance type: what stands before its first dot");
    return type != NULL;
}

/* A value that is printed whatever it is; only null is refused, and something odd mentioned. */
static bool printed(const struct runner_context *ctx, struct runner *r, enum field f,
                    const char *key, const char *fallback)
{
    const struct ynode *n = ynode_get(r->node, key);

    if (n == NULL) {
        runner_set(r, f, fallback, NULL, "the default");
        return true;
    }
    if (n->type == Y_NULL)
        return check_type(ctx->ws->diags, n, key, Y_INT);
    if ((n->type != Y_INT && n->type != Y_STR) || strspn(n->text, "0123456789") != n->n ||
        n->n == 0 || n->text[0] == '0')
        runner_odd(ctx, n, key, "a whole number above 0");
    runner_set_node(ctx, r, f, n, arena_printf(ctx->arena, "the definition's %s", key));
    return true;
}

/* Sizes are printed as they are written, never converted. The default of vcpu is
 * what Python prints for a missing value; that has been the output, so it stays with a warning. */
static bool sizes(const struct runner_context *ctx, struct runner *r)
{
    bool ok = printed(ctx, r, F_VCPU, "vcpu", "None");

    if (ynode_get(r->node, "vcpu") == NULL)
        diags_addf(ctx->ws->diags, W_ODD_VALUE, ynode_pos(r->node),
                   "the runner has no vcpu: its pods will ask for a CPU count of \"None\"");
    return printed(ctx, r, F_DISK, "disk_size", "100") && ok;
}

/* The value is used twice: as it is, for Kubernetes, and in bytes, for the job's environment. What
 * the conversion takes and Kubernetes does not (a sign, underscores, blanks) gets a warning. */
static bool memory(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *n = ynode_get(r->node, "memory");

    if (n == NULL)
        return report_missing(ctx, r->node, "memory");
    if (n->type == Y_NULL)
        return check_type(ctx->ws->diags, n, "memory", Y_STR);
    runner_set_node(ctx, r, F_MEMORY, n, "the definition's memory");
    struct text text = r->f[F_MEMORY].text;
    const char *bytes = memory_bytes(ctx->arena, text.p, text.n);
    if (bytes == NULL) {
        struct diag item = {.code = D_MEMORY,
                            .at = ynode_pos(n),
                            .message = "memory is not a quantity",
                            .found = repr_of(ctx->ws->diags, n),
                            .expected = "a whole number with Ki, Mi, Gi, Ti, K, M, G, T or nothing "
                                        "behind it"};
        diags_add(ctx->ws->diags, &item);
        return false;
    }
    runner_set(r, F_MEMORY_BYTES, bytes, n, "memory in bytes");
    if (bytes[0] == '-' || bytes[0] == '0' || strpbrk(text.p, " \t\n_+") != NULL)
        runner_odd(ctx, n, "memory", "a positive quantity that Kubernetes reads, such as 170Gi");
    return true;
}

/* Present only above 0, which is what switches the GPU snippets on; the count is printed anyway. */
static bool gpu(const struct runner_context *ctx, struct runner *r)
{
    static const struct ynode none = {.type = Y_INT, .text = "0", .n = 1};
    const struct ynode *n = ynode_get(r->node, "gpu");

    if (n == NULL) {
        runner_set(r, F_GPU, "0", NULL, "the default");
        r->f[F_GPU].present = false;
        return true;
    }
    if (!check_number(ctx->ws->diags, n, "gpu"))
        return false;
    runner_set_node(ctx, r, F_GPU, n, "the definition's gpu");
    r->f[F_GPU].present = number_cmp(n, &none) > 0;
    if (n->type != Y_INT || number_cmp(n, &none) < 0)
        runner_odd(ctx, n, "gpu", "a whole number");
    return true;
}

/* Present as soon as it is not null: channel 0 is a channel, and empty text is a value too. */
static bool imex(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *n = ynode_get(r->node, "imex_channels");

    if (ynode_is_null(n)) {
        runner_set(r, F_IMEX, "", NULL, "not set");
        return true;
    }
    runner_set_node(ctx, r, F_IMEX, n, "the definition's imex_channels");
    r->f[F_IMEX].present = true;
    return true;
}

/* Text of the arc-runners block, "" where it has none. */
static void from_block(struct runner *r, enum field f, const struct ynode *n, const char *rule)
{
    runner_set(r, f, n != NULL ? n->text : "", n, n != NULL ? rule : "not set");
    /* The node knows the length; a NUL inside would hide the rest from strlen(). */
    if (n != NULL)
        r->f[f].text.n = n->n;
}

/* What does not come from the definition. The cache's bucket and region are filled in for every
 * cluster; whether they appear is up to the template's blocks. An `offline` that is not a boolean
 * is reported by hfcache_settings(), which every cluster that uses it goes through. */
static bool surroundings(const struct runner_context *ctx, struct runner *r)
{
    const struct cluster *c = ctx->cluster;
    const struct ynode *offline = cluster_lookup(ctx->ws, c->node, "hf_cache.offline");

    from_block(r, F_URL, ctx->settings->url, "the cluster's arc-runners block");
    from_block(r, F_SECRET, ctx->settings->secret, "the cluster's arc-runners block");
    from_block(r, F_PREFIX, ctx->settings->prefix, "the cluster's arc-runners block");
    runner_set(r, F_MODULE, ctx->module, NULL, "the runner module being generated");
    runner_set(r, F_IMAGE, ctx->image, NULL, ctx->image_rule);
    runner_set(r, F_BUCKET, arena_printf(ctx->arena, HFC_BUCKET_PREFIX "%s", c->id), c->key,
               HFC_BUCKET_PREFIX " and the cluster's id");
    from_block(r, F_REGION, c->region_node, "the cluster's region");
    runner_set(r, F_SHARD_INDEX, arena_printf(ctx->arena, "%zu", ctx->shard.index), c->key,
               "place of the cluster among its peers: same module, same runner name prefix");
    runner_set(r, F_SHARD_COUNT, arena_printf(ctx->arena, "%zu", ctx->shard.count), c->key,
               "number of clusters with the same module and runner name prefix");
    if (c->age_threshold == NULL)
        runner_set(r, F_AGE, "900", NULL, "the default");
    else
        runner_set_node(ctx, r, F_AGE, c->age_threshold,
                        "the cluster's capacity_aware_age_threshold_seconds");
    bool on = offline == NULL || offline->type != Y_BOOL || offline->boolean;
    runner_set(r, F_OFFLINE, on ? "1" : "0", offline,
               offline != NULL ? "hf_cache.offline" : "the default");
    return true;
}

const struct ynode *runner_node(const struct input *def)
{
    const struct ynode *node = ynode_get(def->doc.root, "runner");

    return node != NULL && node->type == Y_MAP ? node : NULL;
}

/* The mapping that holds the runner; reports a file that has none. */
static const struct ynode *find_node(const struct runner_context *ctx, const struct input *def)
{
    const struct ynode *root = def->doc.root;
    struct diags *d = ctx->ws->diags;

    if (root->type == Y_NULL) {
        diags_addf(d, D_MISSING, (struct srcpos){def->doc.src, 1, 1},
                   "the definition file is empty");
        return NULL;
    }
    if (!check_type(d, root, "a runner definition", Y_MAP))
        return NULL;
    /* Many clusters share a definition; its misspelt keys are told once. */
    bool first = inputs_first_look(ctx->ws->inputs, def);
    if (first)
        check_keys(d, root, root_keys, NULL);
    const struct ynode *node = ynode_get(root, "runner");
    if (node == NULL)
        diags_addf(d, D_MISSING, ynode_pos(root), "the definition has no key 'runner'");
    if (node == NULL || !check_type(d, node, "runner", Y_MAP))
        return NULL;
    if (first)
        check_keys(d, node, runner_keys, NULL);
    return node;
}

bool runner_resolve(const struct runner_context *ctx, const struct input *def, struct runner *out)
{
    /* The identity comes first, because fleet and capacity depend on the instance type. A step that
     * fails does not keep the others from reporting. */
    static runner_step *const steps[] = {
        identity,
        fleet,
        sizes,
        memory,
        gpu,
        imex,
        surroundings,
        runner_capacity,
        runner_multiplier,
        runner_group,
        runner_class,
        runner_scheduler,
    };
    bool ok = true;

    *out = (struct runner){.def = def};
    if (!input_report(def, D_SYNTAX, ctx->ws->diags))
        return false;
    out->node = find_node(ctx, def);
    if (out->node == NULL)
        return false;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        ok &= steps[i](ctx, out);
    return ok;
}
