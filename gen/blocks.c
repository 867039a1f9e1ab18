/* blocks.c: templates as this program uses them; see blocks.h. */
#include "blocks.h"

#include <assert.h>
#include <string.h>

/* The only place that ties a block to a module. */
static const struct {
    const char *tag, *module;
} bindings[BLOCK_TAGS] = {
    {"PYPI_CACHE", "pypi-cache"},
    {"HF_CACHE", "hf-cache"},
    {"MONITORING", "monitoring"},
};

/* The list of modules decides, not what is deployed already. */
void blocks_keep(const struct cluster *c, bool *keep)
{
    for (size_t i = 0; i < BLOCK_TAGS; i++)
        keep[i] = cluster_has(c, bindings[i].module);
}

const char *blocks_tag(size_t i)
{
    assert(i < BLOCK_TAGS);
    return bindings[i].tag;
}

/* Unbalanced markers are errors: a block that is never closed would take the rest of the file with
 * it, and what is left may still be valid YAML. Each text has one %.*s, for the tag. */
static void report(void *ctx, enum template_issue issue, struct srcpos at, const char *tag,
                   size_t tag_len)
{
    static const struct {
        enum diag_code code;
        const char *text;
    } sayings[] = {
        [TEMPLATE_BAD_UTF8] = {D_TEMPLATE, "the template is not UTF-8 text%.*s"},
        [TEMPLATE_UNCLOSED] = {D_BLOCK, "block %.*s is never closed"},
        [TEMPLATE_UNOPENED] = {D_BLOCK, "block %.*s is closed but not open"},
        [TEMPLATE_NESTED] = {D_BLOCK, "block %.*s is opened inside itself"},
        [TEMPLATE_OVERLAP] = {W_TEMPLATE, "block %.*s overlaps with one of another tag"},
        [TEMPLATE_UNKNOWN_TAG] = {W_TEMPLATE,
                                  "no module is bound to block %.*s: its marker stays as text"},
        [TEMPLATE_NEAR_MARKER] = {W_TEMPLATE, "this looks like a marker of block %.*s but is none"},
        [TEMPLATE_NEAR_NAME] = {W_TEMPLATE, "this looks like placeholder %.*s but is not replaced"},
    };
    struct workspace *ws = ctx;
    struct arena *a = diags_arena(ws->diags);

    assert((size_t)issue < sizeof(sayings) / sizeof(sayings[0]));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    struct diag item = {.code = sayings[issue].code,
                        .at = at,
                        .message = arena_printf(a, sayings[issue].text, (int)tag_len, tag)};
#pragma GCC diagnostic pop
    diags_add(ws->diags, &item);
}

/* The array of tags is in zeroed memory and one longer, so it is ended by NULL. */
const struct template *blocks_compile(struct workspace *ws, const char *path, size_t ntags,
                                      const char *const *names)
{
    const char **tags = arena_array_of(ws->arena, const char *, ntags + 1);
    const struct source *src;
    struct hfc_error err;

    if (source_load(ws->arena, path, &src, &err) < 0) {
        diags_addf(ws->diags, D_TEMPLATE, (struct srcpos){0}, "cannot read the template: %s",
                   arena_strdup(ws->arena, err.msg));
        return NULL;
    }
    assert(ntags <= BLOCK_TAGS);
    for (size_t i = 0; i < ntags; i++)
        tags[i] = bindings[i].tag;
    return template_compile(ws->arena, src, tags, names, report, ws);
}

/* Inside quotes the braces are valid YAML, so nobody else would notice before the job runs with
 * them. A placeholder in a stripped block does not count: template_find() looks at kept lines. */
void blocks_check_leftover(struct workspace *ws, const struct template *t, const bool *keep,
                           const struct hfc_buf *rendered, struct srcpos origin)
{
    size_t n;
    const char *name = template_leftover(rendered->data, rendered->len, &n);

    if (name == NULL)
        return;
    struct srcpos at = template_find(t, keep, name, n);
    struct diag item = {.code = D_LEFTOVER,
                        .at = at.line != 0 ? at : origin,
                        .message =
                            arena_printf(diags_arena(ws->diags),
                                         "nothing is known to put in for %.*s", (int)n, name),
                        .hint = at.line != 0 ? "docs/templates.md lists all placeholders"
                                             : "a value that is put in holds the placeholder"};
    diags_add(ws->diags, &item);
}
