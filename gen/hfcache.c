/* hfcache.c: renders the hf-cache module's manifests; see hfcache.h. */
#include "hfcache.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "blocks.h"
#include "cleanup.h"
#include "hfcache_settings.h"
#include "utf8.h"

enum { RENDERED_MAX = 4 * 1024 * 1024 };

struct manifest {
    const char *name; /* "namespace.yaml" */
    const struct template *template;
};

struct hfcache {
    struct workspace *ws;
    struct manifest *manifests;
    size_t n;
    struct text models; /* models.txt as the body of a YAML block scalar */
    bool usable;
    struct hfc_buf out;
};

static int is_template(const struct dirent *e)
{
    size_t n = strlen(e->d_name);

    return n > 9 && strcmp(e->d_name + n - 9, ".yaml.tpl") == 0;
}

/* Compiles on after a template that is no good, to report them all; then none is rendered, since
 * half of the module's manifests would be worse than yesterday's. */
static void compile(struct hfcache *h, const char *dir)
{
    struct arena *a = h->ws->arena;
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, is_template, inputs_by_bytes);

    if (n <= 0)
        diags_addf(h->ws->diags, D_TEMPLATE, (struct srcpos){0},
                   "no templates (*.yaml.tpl) of the hf-cache module in %s", dir);
    h->usable = n > 0;
    h->manifests = arena_array_of(a, struct manifest, n > 0 ? (size_t)n : 0);
    for (int i = 0; i < n; i++) {
        const char *file = entries[i]->d_name;
        const struct template *t =
            blocks_compile(h->ws, arena_printf(a, "%s/%s", dir, file), BLOCK_TAGS, hfcache_names);
        if (t != NULL)
            h->manifests[h->n++] =
                (struct manifest){arena_strndup(a, file, strlen(file) - strlen(".tpl")), t};
        h->usable &= t != NULL;
        free(entries[i]);
    }
    free(entries);
}

/* A block scalar cannot hold what YAML does not count as printable. */
static bool is_printable(uint32_t c)
{
    return c == '\t' || (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c < 0xfffe && c != 0xfeff) ||
           (c >= 0x10000 && (c & 0xfffe) != 0xfffe);
}

static bool has_unprintable(const char *line, size_t n)
{
    uint32_t c;

    for (size_t i = 0; i < n;) {
        i += utf8_next(line + i, n - i, &c);
        if (c != UTF8_BAD && !is_printable(c))
            return true;
    }
    return false;
}

static void read_models(struct hfcache *h, const char *path)
{
    struct workspace *ws = h->ws;
    hfc_autobuf struct hfc_buf body = HFC_BUF(RENDERED_MAX);
    const struct source *src;
    struct hfc_error err;

    h->models = (struct text){"", 0};
    if (source_load(ws->arena, path, &src, &err) < 0) {
        bool missing = err.errnum == ENOENT;
        diags_addf(ws->diags, missing ? W_MODELS : D_UNREADABLE, (struct srcpos){0},
                   "cannot read the list of models: %s", arena_strdup(ws->arena, err.msg));
        h->usable &= missing;
        return;
    }
    if (utf8_check(src->text, src->len) != src->len) {
        diags_addf(ws->diags, D_MODELS, srcpos_file(src), "the list of models is not UTF-8 text");
        h->usable = false;
    }
    for (uint32_t i = 1; i <= source_lines(src); i++) {
        size_t n;
        const char *line = source_line(src, i, &n);
        if (has_unprintable(line, n)) {
            diags_addf(ws->diags, D_MODELS, (struct srcpos){src, i, 1},
                       "the line holds a control character");
            h->usable = false;
        }
        hfc_buf_str(&body, i > 1 ? "\n" : "");
        hfc_buf_str(&body, n > 0 ? "    " : "");
        hfc_buf_add(&body, line, n);
    }
    if (hfc_buf_failed(&body)) {
        diags_addf(ws->diags, D_MODELS, srcpos_file(src), "the list is longer than %d bytes",
                   RENDERED_MAX);
        h->usable = false;
    }
    /* The template's own line break follows. */
    while (body.len > 0 && body.data[body.len - 1] == '\n')
        body.len--;
    h->models = (struct text){arena_strndup(ws->arena, body.data, body.len), body.len};
}

struct hfcache *hfcache_new(struct workspace *ws)
{
    struct hfcache *h = arena_new_of(ws->arena, struct hfcache);

    h->ws = ws;
    hfc_buf_init(&h->out, RENDERED_MAX);
    compile(h, layout_hf_templates(ws->arena, &ws->layout));
    read_models(h, layout_models(ws->arena, &ws->layout));
    return h;
}

void hfcache_free(struct hfcache *h)
{
    if (h != NULL)
        hfc_buf_free(&h->out);
}

/* A manifest whose block was stripped has nothing to say to the cluster. */
static bool is_blank(const struct hfc_buf *b)
{
    return strspn(b->data, " \n") == b->len;
}

/* Settings are checked even when the templates are unusable, so that both are reported at once. */
long hfcache_render(struct hfcache *h, const struct cluster *c, const struct sink *sink,
                    struct hfc_error *err)
{
    struct workspace *ws = h->ws;
    struct text values[HFCACHE_VALUES];
    bool keep[BLOCK_TAGS];
    long files = 0;

    if (!hfcache_settings(ws, c, values) || !h->usable)
        return 0;
    values[HV_MODELS_TXT] = h->models;
    blocks_keep(c, keep);
    for (size_t i = 0; i < h->n; i++) {
        const struct manifest *m = &h->manifests[i];
        hfc_buf_reset(&h->out);
        template_render(m->template, values, keep, &h->out);
        blocks_check_leftover(ws, m->template, keep, &h->out, ynode_pos(c->key));
        const char *name = arena_printf(ws->scratch, "%s/hf-cache/%s", c->id, m->name);
        if (hfc_buf_failed(&h->out))
            return hfc_error_set(err, 0, "%s: more than %d bytes", name, RENDERED_MAX);
        if (is_blank(&h->out))
            continue;
        if (sink->put(sink->ctx, name, h->out.data, h->out.len, err) < 0)
            return -1;
        files++;
    }
    return files;
}
