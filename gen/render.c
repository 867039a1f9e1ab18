/* render.c: renders the definitions of a runner module; see render.h. */
#include "render.h"

#include <assert.h>
#include <string.h>

#include <uthash.h>

#include "blocks.h"
#include "check.h"
#include "shape.h"

/* A runner's file has 25 KB; this only bounds what values that hold each other's placeholders do.
 */
enum { RENDERED_MAX = 64 * 1024 * 1024 };

/* A name in use, normalised: as Kubernetes will see it. */
struct taken_name {
    const char *normalized;
    const struct ynode *at;
    UT_hash_handle hh;
};

struct renderer {
    struct workspace *ws;
    const struct template *template;
    struct hfc_buf out;
    struct taken_name *names;
};

/* One buffer serves all files: it keeps its size from one to the next. */
struct renderer *renderer_new(struct workspace *ws, const char *template_path)
{
    const struct template *t = blocks_compile(ws, template_path, RUNNER_TAGS, placeholder_names);

    if (t == NULL)
        return NULL;
    struct renderer *r = arena_new_of(ws->arena, struct renderer);
    r->ws = ws;
    r->template = t;
    hfc_buf_init(&r->out, RENDERED_MAX);
    return r;
}

void renderer_forget_names(struct renderer *r)
{
    HASH_CLEAR(hh, r->names);
}

void renderer_free(struct renderer *r)
{
    if (r == NULL)
        return;
    renderer_forget_names(r);
    hfc_buf_free(&r->out);
}

/* Two runners whose objects would have one name replace each other in the cluster. False if the
 * name is taken (reported). */
static bool claim_name(struct renderer *r, const struct runner *runner, struct text normalized)
{
    struct taken_name *taken;

    HASH_FIND(hh, r->names, normalized.p, normalized.n, taken);
    if (taken == NULL) {
        taken = arena_new_of(r->ws->scratch, struct taken_name);
        *taken = (struct taken_name){.normalized = normalized.p, .at = runner->name};
        HASH_ADD_KEYPTR(hh, r->names, taken->normalized, normalized.n, taken);
        return true;
    }
    bool equal = ynode_is_text(taken->at, runner->name->text);
    diags_addf(r->ws->diags, D_NAME_TWICE, ynode_pos(runner->name), "runner '%s' %s%s%s%s (%s:%u)",
               runner->name->text, equal ? "is defined twice" : "and '",
               equal ? "" : taken->at->text,
               equal ? "" : "' have one name in Kubernetes: ", equal ? "" : normalized.p,
               taken->at->src->path, taken->at->line);
    return false;
}

static void render(struct renderer *r, const struct runner *runner, const bool *keep,
                   struct hfc_buf *out)
{
    struct text values[PLACEHOLDERS];

    placeholder_values(r->ws->scratch, runner, values);
    template_render(r->template, values, keep, out);
}

/* What explains where a field's value stands: its node, or else the definition. */
static struct srcpos field_pos(const struct runner *runner, enum field f)
{
    const struct ynode *from = runner->f[f].from;

    return ynode_pos(from != NULL ? from : runner->node);
}

/* Shows the text that goes into the template, which is not always what stands in the file. */
static void report_breaking(struct renderer *r, const struct runner *runner, enum field f)
{
    struct diags *d = r->ws->diags;
    struct ynode shown = {.type = Y_STR, .text = runner->f[f].text.p};
    shown.n = (uint32_t)runner->f[f].text.n;
    struct diag item = {.code = D_BREAKS_YAML,
                        .at = field_pos(runner, f),
                        .message = arena_printf(diags_arena(d),
                                                "the value (%s) breaks the YAML it is put into",
                                                runner->f[f].rule),
                        .found = repr_of(d, &shown),
                        .expected = "text without quotes, backslashes, line breaks, ': ' and ' #'"};
    diags_add(d, &item);
}

/* Renders with stand-ins for all suspicious fields, then with one of them real at a time. */
static void check_values(struct renderer *r, const struct runner *runner, const bool *keep)
{
    hfc_autobuf struct hfc_buf model = HFC_BUF(RENDERED_MAX);
    hfc_autobuf struct hfc_buf actual = HFC_BUF(RENDERED_MAX);
    struct runner safe = *runner;
    bool suspicious[FIELDS], any = false;

    for (size_t f = 0; f < FIELDS; f++) {
        suspicious[f] = !shape_is_harmless(runner->f[f].text);
        any |= suspicious[f];
        if (suspicious[f])
            safe.f[f].text = shape_stand_in(r->ws->scratch, runner->f[f].text);
    }
    /* Nearly all runners end here, and are spared being rendered and parsed again. */
    if (!any)
        return;
    render(r, &safe, keep, &model);
    for (size_t f = 0; f < FIELDS; f++) {
        if (!suspicious[f])
            continue;
        struct text value = runner->f[f].text;
        /* One at a time, so that the finding names the value that did it. */
        struct runner one = safe;
        one.f[f] = runner->f[f];
        hfc_buf_reset(&actual);
        render(r, &one, keep, &actual);
        /* A value that holds placeholders has another length once they are replaced. */
        bool lengths = memmem(value.p, value.n, "{{", 2) == NULL;
        if (shape_breaks_line(value) ||
            !shape_same((struct text){model.data, model.len},
                        (struct text){actual.data, actual.len}, lengths))
            report_breaking(r, runner, (enum field)f);
    }
}

/* The name has been checked: it cannot lead out of the folder. */
static int put(struct renderer *r, const struct render_job *job, const struct runner *runner,
               const struct sink *sink, struct hfc_error *err)
{
    const char *name = arena_printf(r->ws->scratch, "%s%s.yaml", job->folder, runner->name->text);

    if (hfc_buf_failed(&r->out))
        return hfc_error_set(err, 0, "%s: more than %d bytes", name, RENDERED_MAX);
    return sink->put(sink->ctx, name, r->out.data, r->out.len, err);
}

/* What the block of the module itself is read for; that of arc-runners holds more. */
static const char *const block_keys[] = {"capacity_aware_fresh_multiplier", NULL};

/* Capacities are zeroed by the cluster's own region, not by the default one. The multiplier comes
 * from the cluster's block named like the module, and from nowhere else: arc-runners-h100 does not
 * look into the block of arc-runners. */
bool render_context(struct workspace *ws, const struct render_job *job, struct fleets *zeroed,
                    struct runner_context *out)
{
    const struct cluster *c = job->cluster;
    const struct ynode *prefix = job->settings->prefix;
    const struct ynode *block = ynode_get(c->node, job->module);

    *out = (struct runner_context){.ws = ws,
                                   .arena = ws->scratch,
                                   .cluster = c,
                                   .settings = job->settings,
                                   .module = job->module,
                                   .image = job->image,
                                   .image_rule = job->image_rule,
                                   .zeroed = zeroed};
    bool ok = nodepool_excluded(ws, ws->scratch, job->nodepools, c->region, zeroed);
    out->shard = shards_find(ws, c->id, job->module, prefix != NULL ? prefix->text : "");
    if (!ynode_truthy(block))
        return ok;
    if (!check_type(ws->diags, block, job->module, Y_MAP))
        return false;
    check_keys(ws->diags, block, block_keys, NULL);
    out->multiplier = ynode_get(block, "capacity_aware_fresh_multiplier");
    return ok;
}

/* Settings that deserve a word whenever runners are generated with them. */
static void warn_of_settings(struct workspace *ws, const struct cluster *c,
                             const struct runner_settings *settings)
{
    if (c->paused)
        diags_addf(ws->diags, W_PAUSED, ynode_pos(c->paused_node),
                   "cluster %s is paused: all its runners get a maximum of 0", c->id);
    if (c->capacity_max != NULL)
        diags_addf(ws->diags, W_CAPPED, ynode_pos(c->capacity_max),
                   "proactive capacity of cluster %s is capped at %s", c->id,
                   repr_of(ws->diags, c->capacity_max));
    const struct ynode *own = ynode_get(c->node, "arc-runners");
    if (ynode_is_null(own) && ynode_truthy(settings->prefix))
        diags_addf(ws->diags, W_SHARD_PREFIX, ynode_pos(settings->prefix),
                   "cluster %s takes its runner name prefix from defaults, which is not looked at "
                   "when peers are counted: it shares its queue with nobody",
                   c->id);
}

/* A definition, resolved and checked; true if it was rendered into r->out. */
static bool render_definition(struct renderer *r, const struct runner_context *ctx,
                              const struct input *def, const bool *keep, struct runner *runner)
{
    struct text values[PLACEHOLDERS];

    if (!runner_resolve(ctx, def, runner))
        return false;
    placeholder_values(ctx->arena, runner, values);
    /* Only now: a definition that is refused must not make a good one look like its double. */
    if (!claim_name(r, runner, values[PLACEHOLDER_NAME_NORMALIZED]))
        return false;
    hfc_buf_reset(&r->out);
    template_render(r->template, values, keep, &r->out);
    check_values(r, runner, keep);
    blocks_check_leftover(ctx->ws, r->template, keep, &r->out, ynode_pos(runner->node));
    return true;
}

/* A definition that is refused does not end the run, so that all are reported. Its finding keeps
 * the output from being used: with a file missing, deployment would uninstall the live runner. */
long render_module(struct renderer *r, const struct render_job *job, const struct sink *sink,
                   struct hfc_error *err)
{
    const struct input_dir *defs = inputs_dir(r->ws->inputs, job->defs);
    struct runner_context ctx;
    struct fleets zeroed;
    bool keep[BLOCK_TAGS];
    long files = 0;

    assert(job->settings->url != NULL);
    warn_of_settings(r->ws, job->cluster, job->settings);
    bool usable = render_context(r->ws, job, &zeroed, &ctx);
    if (inputs_dir_report(defs, r->ws->diags) && defs->n == 0)
        diags_addf(r->ws->diags, D_NO_DEFS,
                   job->listed != NULL ? ynode_pos(job->listed) : (struct srcpos){0},
                   "no runner definitions (*.yaml) in %s",
                   arena_strdup(diags_arena(r->ws->diags), job->defs));
    blocks_keep(job->cluster, keep);
    for (size_t i = 0; usable && i < defs->n; i++) {
        struct runner runner;
        if (!render_definition(r, &ctx, defs->files[i], keep, &runner))
            continue;
        if (put(r, job, &runner, sink, err) < 0)
            return -1;
        files++;
    }
    return files;
}
