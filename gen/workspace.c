/* workspace.c: opens a run's inputs; see workspace.h. */
#include "workspace.h"

#include <assert.h>

#include "check.h"
#include "suggest.h"

static const char *const top_keys[] = {"clusters", "defaults", NULL};

/* What is read of the defaults; the rest is other programs'. */
static const char *const default_keys[] = {"region",         "arc", "arc-runners", "hf_cache",
                                           "aws_account_id", NULL};

/* A top-level mapping that may be missing; anything but a mapping is reported. */
static const struct ynode *top_mapping(struct workspace *ws, const char *key)
{
    const struct ynode *n = ynode_get(ws->clusters_file->doc.root, key);

    if (n == NULL || !check_type(ws->diags, n, key, Y_MAP))
        return NULL;
    return n;
}

static bool read_clusters(struct workspace *ws)
{
    const struct ynode *root = ws->clusters_file->doc.root;

    if (!input_report(ws->clusters_file, D_SYNTAX, ws->diags) ||
        !check_type(ws->diags, root, "clusters.yaml", Y_MAP))
        return false;
    check_keys(ws->diags, root, top_keys, NULL);
    ws->clusters = top_mapping(ws, "clusters");
    /* A `defaults:` with nothing under it is as good as none; an empty `clusters:` is not. */
    if (!ynode_is_null(ynode_get(root, "defaults")))
        ws->defaults = top_mapping(ws, "defaults");
    if (ws->defaults != NULL)
        check_keys(ws->diags, ws->defaults, default_keys, NULL);
    return true;
}

/* The memory comes first, so that whatever fails leaves something workspace_close() can free. */
bool workspace_open(struct workspace *ws, const struct workspace_paths *paths,
                    struct hfc_error *err)
{
    *ws = (struct workspace){.arena = arena_new(), .scratch = arena_new(), .diags = diags_new()};
    ws->inputs = inputs_new(ws->arena);
    if (layout_find(ws->arena, paths->root, paths->clusters_yaml, paths->hint, &ws->layout, err) <
        0)
        return false;
    ws->clusters_file = inputs_file(ws->inputs, ws->layout.clusters_yaml);
    return read_clusters(ws);
}

/* The slots of the tables of inputs are in the arena: the tables go before it does. */
void workspace_close(struct workspace *ws)
{
    inputs_free(ws->inputs);
    diags_free(ws->diags);
    arena_free(ws->scratch);
    arena_free(ws->arena);
    *ws = (struct workspace){0};
}

struct srcpos workspace_pos(const struct workspace *ws, const struct ynode *n)
{
    return n != NULL ? ynode_pos(n) : srcpos_file(ws->clusters_file->doc.src);
}

/* One longer than needed and zeroed, the array of names is ended by NULL. */
void workspace_unknown_cluster(struct workspace *ws, const char *id)
{
    size_t n = ws->clusters != NULL ? ws->clusters->n : 0, k = 0;
    const char **known = arena_array_of(ws->arena, const char *, n + 1);

    for (size_t i = 0; i < n; i++)
        if (ws->clusters->entries[i].key->type == Y_STR)
            known[k++] = ws->clusters->entries[i].key->text;
    assert(known[k] == NULL);
    const struct ynode *null = ynode_get(ws->clusters, id);
    const char *near = null == NULL ? suggest(id, known) : NULL;
    struct diag item = {
        .code = D_CLUSTER,
        .at = null != NULL ? ynode_pos(null) : srcpos_file(ws->clusters_file->doc.src),
        .message =
            arena_printf(diags_arena(ws->diags),
                         null != NULL ? "cluster '%s' is null" : "there is no cluster '%s'", id)};
    if (near != NULL)
        item.hint = arena_printf(diags_arena(ws->diags), "did you mean '%s'?", near);
    diags_add(ws->diags, &item);
}
