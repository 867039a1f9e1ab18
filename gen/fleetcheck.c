/* fleetcheck.c: every runner of a cluster must name a fleet that one of its node pools defines; a
 * pod for any other fleet would be pending for ever. Looks at all runner modules of the cluster,
 * whichever one is being generated. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "render.h"

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The cluster's runner modules, sorted, each once. */
static size_t runner_modules(const struct cluster *c, const char **out)
{
    size_t n = 0, kept = 0;

    for (uint32_t i = 0; c->modules != NULL && i < c->modules->n; i++)
        if (module_is_runners(c->modules->items[i]->text))
            out[n++] = c->modules->items[i]->text;
    if (n > 0)
        qsort(out, n, sizeof(out[0]), by_bytes);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(out[kept - 1], out[i]) != 0)
            out[kept++] = out[i];
    return kept;
}

static bool has_nodepools(const struct cluster *c)
{
    for (uint32_t i = 0; c->modules != NULL && i < c->modules->n; i++)
        if (module_is_nodepools(c->modules->items[i]->text))
            return true;
    return false;
}

/* "a, b, c", sorted: what the runner could have meant. */
static const char *available(struct workspace *ws, const struct fleets *fleets)
{
    struct arena *a = diags_arena(ws->diags);
    const char **names = arena_array_of(a, const char *, fleets->n);
    hfc_autobuf struct hfc_buf list = HFC_BUF(4096);
    size_t n = 0;

    for (size_t i = 0; i < fleets->n; i++)
        if (fleets_have(fleets, fleets->list[i].name))
            names[n++] = fleets->list[i].name;
    if (n > 0)
        qsort(names, n, sizeof(names[0]), by_bytes);
    for (size_t i = 0; i < n; i++) {
        hfc_buf_str(&list, i > 0 ? ", " : "");
        hfc_buf_str(&list, names[i]);
    }
    return arena_strdup(a, list.data);
}

static void report_missing(struct workspace *ws, const struct cluster *c,
                           const struct fleets *fleets, const struct ynode *runner,
                           const char *fleet)
{
    const struct ynode *override = ynode_get(runner, "node_fleet");
    bool overridden = !ynode_is_null(override);
    struct arena *a = diags_arena(ws->diags);
    struct diag item = {
        .code = D_FLEET_MISSING,
        .at = ynode_pos(overridden ? override : ynode_get(runner, "instance_type")),
        .message = arena_printf(a, "no node pool of cluster %s defines fleet '%s'", c->id, fleet),
        .expected = arena_printf(a, "one of: %s", available(ws, fleets)),
        .hint = overridden ? "check node_fleet, and the cluster's nodepools modules"
                           : "the fleet is the instance type's family: check the spelling of "
                             "instance_type, or set node_fleet"};
    diags_add(ws->diags, &item);
}

static void check_definition(struct workspace *ws, const struct cluster *c,
                             const struct fleets *fleets, const struct input *def)
{
    if (!input_report(def, D_SYNTAX, ws->diags))
        return;
    const struct ynode *root = def->doc.root;
    if (ynode_truthy(root) && !check_type(ws->diags, root, "a runner definition", Y_MAP))
        return;
    const struct ynode *node = runner_node(def);
    const struct ynode *type = ynode_get(node, "instance_type");
    if (type != NULL && type->type == Y_STR && fleets_exclude(fleets, type->text))
        return;
    const char *fleet = runner_fleet(ws, ws->scratch, node);
    if (fleet != NULL && !fleets_have(fleets, fleet))
        report_missing(ws, c, fleets, node, fleet);
}

void check_fleets(struct workspace *ws, const struct cluster *c)
{
    size_t listed = c->modules != NULL ? c->modules->n : 0;
    const char **modules = arena_array_of(ws->scratch, const char *, listed);
    size_t n = runner_modules(c, modules);
    struct fleets fleets;

    assert(n <= listed);
    if (n == 0)
        return;
    if (!has_nodepools(c)) {
        diags_addf(ws->diags, D_NO_NODEPOOLS, ynode_pos(c->modules),
                   "cluster %s has runner modules (%s, ...) but no nodepools module: its jobs "
                   "could not be scheduled",
                   c->id, modules[0]);
        return;
    }
    /* Go on with what could be read: a broken file should not hide other findings. */
    (void)nodepool_fleets(ws, ws->scratch, c, &fleets);
    for (size_t m = 0; m < n; m++) {
        const char *dir = layout_defs(ws->scratch, &ws->layout, modules[m]);
        const struct input_dir *defs = inputs_dir(ws->inputs, dir);
        for (size_t i = 0; i < defs->n; i++)
            check_definition(ws, c, &fleets, defs->files[i]);
    }
}
