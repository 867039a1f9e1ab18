/* edit.c: enabling and disabling a module; called by the subcommands of that name.
 *
 * The two are defined by each other: disabling is the first proposal from which enabling leads back
 * to the same bytes, and enabling is refused where disabling would not lead back. Nothing else has
 * to be remembered about how an item came into a list.
 */
#include "edit.h"

#include <assert.h>
#include <string.h>

#include "edit_internal.h"

/* One call of edit_enable() or edit_disable(). */
struct job {
    struct arena *arena;
    const char *cluster, *module;
};

/* A text on its way: read, with the list found. */
struct state {
    struct ydoc doc;
    struct edit_list list;
};

static int find_list(const struct job *job, struct state *s, struct srcpos *at,
                     struct hfc_error *err)
{
    return edit_list_find(job->arena, &s->doc, job->cluster, &s->list, at, err);
}

/* False if the proposal is none, is no YAML, or has lost the list. */
static bool read_proposal(const struct job *job, const struct source *src, struct state *s)
{
    struct yerror yerr;
    struct srcpos at;

    return src != NULL && yaml_parse(job->arena, src, &s->doc, &yerr) == 0 &&
           find_list(job, s, &at, NULL) == 0;
}

static const struct source *insert(const struct job *job, const struct state *s)
{
    if (s->list.node->flow)
        return edit_flow_insert(job->arena, &s->list, job->module);
    const struct source *restored = edit_block_restore(job->arena, &s->list, job->module);
    return restored != NULL ? restored : edit_block_insert(job->arena, &s->list, job->module);
}

static bool same_text(const struct source *x, const struct source *y)
{
    return x->len == y->len && memcmp(x->text, y->text, x->len) == 0;
}

/* Whether enabling on this text gives `src` back. */
static bool leads_back(const struct job *job, const struct state *s, const struct source *src)
{
    const struct source *again = insert(job, s);

    return again != NULL && same_text(again, src);
}

/* The text without the module, or NULL. */
static const struct source *remove_module(const struct job *job, const struct state *s)
{
    for (int way = 0; way < EDIT_WAYS; way++) {
        const struct source *changed =
            s->list.node->flow ? edit_flow_remove(job->arena, &s->list, job->module, way)
                               : edit_block_remove(job->arena, &s->list, job->module, way);
        struct state without;
        if (read_proposal(job, changed, &without) &&
            edit_list_count(&without.list, job->module) == 0 &&
            edit_same_otherwise(&s->doc, &without.doc, job->cluster, job->module) &&
            leads_back(job, &without, s->doc.src))
            return changed;
    }
    return NULL;
}

static int refuse_enable(const struct job *job, struct hfc_error *err)
{
    return hfc_error_set(err, 0,
                         "cluster '%s': '%s' cannot be added to this `modules` list without "
                         "touching more than that; add it by hand",
                         job->cluster, job->module);
}

static int refuse_disable(const struct job *job, struct hfc_error *err)
{
    return hfc_error_set(err, 0,
                         "cluster '%s': '%s' cannot be taken from this `modules` list in a way "
                         "that can be undone; remove the item by hand",
                         job->cluster, job->module);
}

/* The text with the module, or NULL. */
static const struct source *add_module(const struct job *job, const struct state *s)
{
    const struct source *changed = insert(job, s);
    struct state with;

    if (!read_proposal(job, changed, &with) || edit_list_count(&with.list, job->module) == 0 ||
        !edit_same_otherwise(&s->doc, &with.doc, job->cluster, job->module))
        return NULL;
    const struct source *back = remove_module(job, &with);
    return back != NULL && same_text(back, s->doc.src) ? changed : NULL;
}

static enum edit_result run(const struct job *job, const struct ydoc *doc, bool enable,
                            struct hfc_buf *out, struct srcpos *at, struct hfc_error *err)
{
    struct state s = {.doc = *doc};

    if (find_list(job, &s, at, err) < 0)
        return EDIT_FAILED;
    bool listed = edit_list_count(&s.list, job->module) > 0;
    if (listed == enable) {
        hfc_buf_add(out, doc->src->text, doc->src->len);
        return EDIT_NOTHING_TO_DO;
    }
    const struct source *changed = enable ? add_module(job, &s) : remove_module(job, &s);
    if (changed == NULL) {
        (void)(enable ? refuse_enable : refuse_disable)(job, err);
        return EDIT_FAILED;
    }
    hfc_buf_add(out, changed->text, changed->len);
    return EDIT_DONE;
}

static enum edit_result edit(const struct ydoc *doc, const char *cluster, const char *module,
                             bool enable, struct hfc_buf *out, struct srcpos *at,
                             struct hfc_error *err)
{
    struct job job = {.arena = arena_new(), .cluster = cluster, .module = module};

    *at = srcpos_file(doc->src);
    enum edit_result result = run(&job, doc, enable, out, at, err);
    assert(at->src == doc->src); /* not one of the proposals, which go away here */
    arena_free(job.arena);
    return result;
}

enum edit_result edit_enable(const struct ydoc *doc, const char *cluster, const char *module,
                             struct hfc_buf *out, struct srcpos *at, struct hfc_error *err)
{
    return edit(doc, cluster, module, true, out, at, err);
}

enum edit_result edit_disable(const struct ydoc *doc, const char *cluster, const char *module,
                              struct hfc_buf *out, struct srcpos *at, struct hfc_error *err)
{
    return edit(doc, cluster, module, false, out, at, err);
}
