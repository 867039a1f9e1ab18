/* nodepool.c: reads node pool definitions; see nodepool.h.
 *
 * The files hold much that is meant for the node pool generator; only names, instance types and
 * excluded regions are read here, and pieces of an unexpected shape are its business.
 */
#include "nodepool.h"

#include <assert.h>
#include <string.h>

#include "check.h"

static const char *const root_keys[] = {"fleet", "fleets", "nodepool", NULL};
static const char *const fleet_keys[] = {"name", "exclude_regions", "instances", NULL};
static const char *const instance_keys[] = {"type", NULL};
static const char *const pool_keys[] = {"name", "exclude_regions", "instance_type", NULL};

/* Grows while definitions are read; `region` decides what goes where. */
struct collector {
    struct workspace *ws;
    struct arena *arena;
    const char *region;
    const char *origin; /* NULL: only excluded types are wanted */
    struct fleet *fleets;
    size_t nfleets, fleet_room;
    const char **excluded;
    size_t nexcluded, excluded_room;
    bool ok;
};

/* An array of twice the room with the old content. */
static void *grown(struct arena *a, const void *old, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return NULL;
    *room = *room == 0 ? 32 : *room * 2;
    char *bigger = arena_alloc(a, *room * size);
    if (n > 0)
        memcpy(bigger, old, n * size);
    return bigger;
}

/* A type may come twice; the list is only ever searched. */
static void exclude_type(struct collector *c, const struct ynode *type)
{
    if (type == NULL || type->type != Y_STR || type->n == 0)
        return;
    void *bigger =
        grown(c->arena, c->excluded, c->nexcluded, &c->excluded_room, sizeof(c->excluded[0]));
    if (bigger != NULL)
        c->excluded = bigger;
    c->excluded[c->nexcluded++] = type->text;
}

static const struct fleet *find_fleet(const struct fleet *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* A job chooses its fleet by a node label, so two files with one name would mix their nodes. Within
 * a file it is meant: the first definition counts. */
static void add_fleet(struct collector *c, const char *name, const struct ynode *at)
{
    const struct fleet *prior = find_fleet(c->fleets, c->nfleets, name);

    if (prior != NULL && strcmp(prior->origin, c->origin) != 0) {
        diags_addf(c->ws->diags, D_FLEET_TWICE, ynode_pos(at),
                   "fleet '%s' is defined by both '%s' and '%s'", name, prior->origin, c->origin);
        c->ok = false;
    }
    if (prior != NULL)
        return;
    void *bigger = grown(c->arena, c->fleets, c->nfleets, &c->fleet_room, sizeof(c->fleets[0]));
    if (bigger != NULL)
        c->fleets = bigger;
    c->fleets[c->nfleets++] = (struct fleet){name, c->origin};
}

/* A text in place of the list is refused: searched for a substring, a region would be excluded by
 * every longer one that contains it. */
static bool excludes_region(struct collector *c, const struct ynode *def)
{
    const struct ynode *regions = ynode_get(def, "exclude_regions");

    if (!check_list_or_null(c->ws->diags, regions, "exclude_regions")) {
        c->ok = false;
        return false;
    }
    return c->region[0] != '\0' && list_has(regions, c->region);
}

/* An available fleet gives its name, an excluded one its instance types. A type counts as excluded
 * even if another fleet offers it: which nodes come up cannot be told from here. */
static void read_fleet(struct collector *c, const struct ynode *fleet)
{
    if (fleet == NULL || fleet->type != Y_MAP)
        return;
    const struct ynode *name = ynode_get(fleet, "name");
    const struct ynode *instances = ynode_get(fleet, "instances");
    if (!excludes_region(c, fleet)) {
        if (c->origin != NULL && name != NULL && name->type == Y_STR && name->n > 0)
            add_fleet(c, name->text, name);
        return;
    }
    if (instances == NULL || instances->type != Y_SEQ) {
        if (ynode_truthy(instances) && instances->type != Y_STR && instances->type != Y_MAP)
            c->ok &= check_list_or_null(c->ws->diags, instances, "instances");
        return;
    }
    for (uint32_t i = 0; i < instances->n; i++)
        exclude_type(c, ynode_get(instances->items[i], "type"));
}

/* The older shape: one instance type, whose family is the fleet. */
static void read_pool(struct collector *c, const struct ynode *pool)
{
    const struct ynode *type = ynode_get(pool, "instance_type");

    if (pool == NULL || pool->type != Y_MAP)
        return;
    if (excludes_region(c, pool))
        exclude_type(c, type);
    else if (c->origin != NULL && type != NULL && type->type == Y_STR && type->n > 0)
        add_fleet(c, instance_family(c->arena, type->text), type);
}

static void read_definition(struct collector *c, const struct ynode *root)
{
    const struct ynode *fleets = ynode_get(root, "fleets");

    read_fleet(c, ynode_get(root, "fleet"));
    for (uint32_t i = 0; fleets != NULL && fleets->type == Y_SEQ && i < fleets->n; i++)
        read_fleet(c, fleets->items[i]);
    read_pool(c, ynode_get(root, "nodepool"));
}

static void check_map_keys(struct diags *d, const struct ynode *map, const char *const *known)
{
    if (map != NULL && map->type == Y_MAP)
        check_keys(d, map, known, NULL);
}

static void check_fleet_keys(struct diags *d, const struct ynode *fleet)
{
    const struct ynode *instances = ynode_get(fleet, "instances");

    check_map_keys(d, fleet, fleet_keys);
    for (uint32_t i = 0; instances != NULL && instances->type == Y_SEQ && i < instances->n; i++)
        check_map_keys(d, instances->items[i], instance_keys);
}

/* Misspelt keys, once a file however many clusters read it. */
static void check_definition_keys(struct workspace *ws, const struct input *file)
{
    const struct ynode *root = file->doc.root;
    const struct ynode *fleets = ynode_get(root, "fleets");

    if (!inputs_first_look(ws->inputs, file))
        return;
    check_map_keys(ws->diags, root, root_keys);
    check_fleet_keys(ws->diags, ynode_get(root, "fleet"));
    for (uint32_t i = 0; fleets != NULL && fleets->type == Y_SEQ && i < fleets->n; i++)
        check_fleet_keys(ws->diags, fleets->items[i]);
    check_map_keys(ws->diags, ynode_get(root, "nodepool"), pool_keys);
}

/* A syntax error is forgiven where it is only a warning; a file that cannot be read never is,
 * because what it excludes is unknown. */
static void read_file(struct collector *c, const struct input *file, enum diag_code syntax)
{
    if (!input_report(file, syntax, c->ws->diags)) {
        c->ok &= diag_code_severity(syntax) == DIAG_WARNING && file->state == INPUT_SYNTAX;
        return;
    }
    check_definition_keys(c->ws, file);
    read_definition(c, file->doc.root);
}

/* Without a region nothing is excluded, and the files are not even read. */
bool nodepool_excluded(struct workspace *ws, struct arena *a, const char *dir, const char *region,
                       struct fleets *out)
{
    struct collector c = {.ws = ws, .arena = a, .region = region, .ok = true};

    *out = (struct fleets){0};
    if (region[0] == '\0')
        return true;
    const struct input_dir *files = inputs_dir(ws->inputs, dir);
    c.ok = inputs_dir_report(files, ws->diags);
    for (size_t i = 0; i < files->n; i++)
        read_file(&c, files->files[i], W_NODEPOOL_SKIPPED);
    out->excluded = c.excluded;
    out->nexcluded = c.nexcluded;
    return c.ok;
}

/* In the order of the cluster's list, then by file name: whoever comes first owns a fleet's name.
 * Unlike the zeroing of capacities this goes by the region with its default. */
bool nodepool_fleets(struct workspace *ws, struct arena *a, const struct cluster *c,
                     struct fleets *out)
{
    struct collector col = {.ws = ws, .arena = a, .region = c->fleet_region, .ok = true};

    for (uint32_t i = 0; c->modules != NULL && i < c->modules->n; i++) {
        const char *module = c->modules->items[i]->text;
        if (!module_is_nodepools(module))
            continue;
        const struct input_dir *files = inputs_dir(ws->inputs, layout_defs(a, &ws->layout, module));
        col.ok &= inputs_dir_report(files, ws->diags);
        for (size_t k = 0; k < files->n; k++) {
            col.origin = arena_printf(a, "%s/%s", module, files->files[k]->name);
            read_file(&col, files->files[k], D_SYNTAX);
        }
    }
    *out = (struct fleets){col.fleets, col.nfleets, col.excluded, col.nexcluded};
    return col.ok;
}

bool fleets_have(const struct fleets *f, const char *name)
{
    return strcmp(name, FLEET_RESERVED) != 0 && find_fleet(f->list, f->n, name) != NULL;
}

bool fleets_exclude(const struct fleets *f, const char *instance_type)
{
    for (size_t i = 0; i < f->nexcluded; i++)
        if (strcmp(f->excluded[i], instance_type) == 0)
            return true;
    return false;
}

const char *instance_family(struct arena *a, const char *instance_type)
{
    assert(instance_type != NULL);
    return arena_strndup(a, instance_type, strcspn(instance_type, "."));
}
