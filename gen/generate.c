/* generate.c: walks a cluster's modules and renders each; see generate.h. */
#include "generate.h"

#include <assert.h>
#include <string.h>

#include "check.h"
#include "hfcache.h"

void generator_open(struct generator *g, struct workspace *ws, const char *image)
{
    *g = (struct generator){.ws = ws, .image = image};
}

void generator_close(struct generator *g)
{
    renderer_free(g->renderer);
    hfcache_free(g->hfcache);
}

/* An image given for the run beats the clusters' own, even an empty one: that is for deploy scripts
 * which know what they pass. */
const char *generate_image(struct generator *g, const struct cluster *c, const char **rule)
{
    const struct ynode *tag = cluster_lookup(g->ws, c->node, "arc.runner_image_tag");

    *rule = "--image or RUNNER_IMAGE";
    if (g->image != NULL)
        return g->image;
    *rule = "arc.runner_image_tag";
    if (ynode_truthy(tag)) {
        if (!check_type(g->ws->diags, tag, "arc.runner_image_tag", Y_STR))
            return NULL;
        return arena_printf(g->ws->scratch, "ghcr.io/actions/actions-runner:%s", tag->text);
    }
    if (g->image_optional) {
        *rule = "not set; needed when files are written";
        return "";
    }
    struct diag item = {
        .code = D_IMAGE,
        .at = ynode_pos(c->key),
        .message = arena_printf(diags_arena(g->ws->diags), "no runner image for cluster %s", c->id),
        .hint = "set arc.runner_image_tag, or give --image or RUNNER_IMAGE"};
    diags_add(g->ws->diags, &item);
    return NULL;
}

/* True if the module stands earlier in the list too: it is generated once. */
static bool seen_before(const struct ynode *modules, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (ynode_is_text(modules->items[k], modules->items[i]->text))
            return true;
    return false;
}

/* Capacities are zeroed by the definitions of the module `nodepools` only, not of its variants:
 * runners have been deployed by that rule. */
static long generate_runners(struct generator *g, struct render_job *job,
                             const struct ynode *listed, const struct sink *sink,
                             struct hfc_error *err)
{
    const char *module = listed->text;
    struct workspace *ws = g->ws;

    if (g->renderer == NULL)
        g->renderer = renderer_new(ws, layout_runner_template(ws->arena, &ws->layout));
    if (g->renderer == NULL)
        return 0;
    job->module = module;
    job->listed = listed;
    job->defs = layout_defs(ws->scratch, &ws->layout, module);
    job->nodepools = layout_defs(ws->scratch, &ws->layout, "nodepools");
    job->folder = arena_printf(ws->scratch, "%s/%s/", job->cluster->id, module);
    return render_module(g->renderer, job, sink, err);
}

/* All runner modules of the cluster. */
static long all_runners(struct generator *g, const struct cluster *c, const struct sink *sink,
                        struct hfc_error *err)
{
    struct runner_settings settings;
    struct render_job job = {.cluster = c, .settings = &settings};
    long files = 0;

    /* Over all modules at once and before any is rendered: a fleet may be missing for a runner of a
     * module that comes later. What is found does not stop the rendering, which finds more. */
    check_fleets(g->ws, c);
    if (!cluster_runner_settings(g->ws, c, &settings))
        return 0;
    job.image = generate_image(g, c, &job.image_rule);
    for (uint32_t i = 0; job.image != NULL && i < c->modules->n; i++) {
        const char *module = c->modules->items[i]->text;
        if (!module_is_runners(module) || seen_before(c->modules, i))
            continue;
        long n = generate_runners(g, &job, c->modules->items[i], sink, err);
        if (n < 0)
            return -1;
        files += n;
    }
    return files;
}

/* A cluster without runner modules needs neither a URL nor an image nor fleets. */
static bool has_runners(const struct cluster *c)
{
    for (uint32_t i = 0; c->modules != NULL && i < c->modules->n; i++)
        if (module_is_runners(c->modules->items[i]->text))
            return true;
    return false;
}

/* Templates are read when the first cluster needs them, so a tree that does not use the module need
 * not have any. */
static long generate_hfcache(struct generator *g, const struct cluster *c, const struct sink *sink,
                             struct hfc_error *err)
{
    if (!cluster_has(c, "hf-cache"))
        return 0;
    if (g->hfcache == NULL)
        g->hfcache = hfcache_new(g->ws);
    return hfcache_render(g->hfcache, c, sink, err);
}

long generate_cluster(struct generator *g, const char *id, const struct sink *sink,
                      struct hfc_error *err)
{
    struct cluster c;
    long runners = 0;

    /* The table of names lives in the scratch memory: it has to go before that is reset. */
    if (g->renderer != NULL)
        renderer_forget_names(g->renderer);
    arena_reset(g->ws->scratch);
    if (!cluster_resolve(g->ws, id, &c))
        return 0;
    if (has_runners(&c))
        runners = all_runners(g, &c, sink, err);
    if (runners < 0)
        return -1;
    long manifests = generate_hfcache(g, &c, sink, err);
    return manifests < 0 ? -1 : runners + manifests;
}

/* A linear search: clusters are given by hand. */
bool generate_is_listed(const char *const *list, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], id) == 0)
            return true;
    return false;
}

/* An id that YAML reads as a boolean or a number (`no:`, `1:`) is refused: it could be neither
 * given as an argument nor name a folder. An unknown one is reported before anything is rendered.
 */
size_t generate_ids(struct workspace *ws, int argc, char **argv, const char *const **ids)
{
    size_t all = ws->clusters != NULL ? ws->clusters->n : 0, n = 0;
    const char **list = arena_array_of(ws->arena, const char *, all + (size_t)argc);

    assert(argc >= 0);
    for (int i = 0; i < argc; i++) {
        if (ynode_get(ws->clusters, argv[i]) == NULL)
            workspace_unknown_cluster(ws, argv[i]);
        else if (!generate_is_listed(list, n, argv[i]))
            list[n++] = argv[i];
    }
    for (size_t i = 0; argc == 0 && i < all; i++)
        if (check_type(ws->diags, ws->clusters->entries[i].key, "a cluster's id", Y_STR))
            list[n++] = ws->clusters->entries[i].key->text;
    *ids = list;
    return n;
}
