/* cmd_edit.c: `enable` and `disable`: a module in the clusters' lists of clusters.yaml. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"
#include "edit.h"
#include "file.h"
#include "suggest.h"
#include "udiff.h"

static const char help_text[] =
    "Edits the `modules` lists of the clusters in clusters.yaml; comments, order, quoting and "
    "line\n"
    "endings stay. hf-cache is put before the nodepools modules. A line that enabling would not "
    "write\n"
    "just so is kept as a comment when it is disabled, and comes back as it was. All clusters are\n"
    "edited, or none.\n\n"
    "  --dry-run        show the change as a unified diff, write nothing\n"
    "  --root DIR       OSDC_ROOT   the tree; default: found from the current folder up\n"
    "  --clusters FILE              clusters.yaml; default: the tree's\n";

typedef enum edit_result edit_fn(const struct ydoc *doc, const char *cluster, const char *module,
                                 struct hfc_buf *out, struct srcpos *at, struct hfc_error *err);

struct flags {
    struct workspace_paths paths;
    bool dry_run;
    const char *module;
    int argc; /* the clusters */
    char **argv;
};

static int parse(const struct command *self, int argc, char **argv, struct flags *f)
{
    const struct cli_option options[] = {
        {"dry-run", NULL, &f->dry_run}, CLI_TREE_OPTIONS(&f->paths), {0}};
    int words, rc = cli_parse(self, argc, argv, options, false, &words);

    cli_env_paths(&f->paths);
    if (rc != EXIT_OK)
        return rc;
    if (words < 2)
        return cli_usage(self, "give a module and at least one cluster");
    f->module = argv[0];
    f->argv = argv + 1;
    f->argc = words - 1;
    return EXIT_OK;
}

/* A name that nobody knows is most likely misspelt, and no deployment would complain about it. */
static bool known_module(struct workspace *ws, const char *module)
{
    /* It becomes part of a path below. */
    if (*module == '\0' || strchr(module, '/') != NULL || *module == '.')
        return false;
    for (uint32_t i = 0; ws->clusters != NULL && i < ws->clusters->n; i++)
        if (list_has(ynode_get(ws->clusters->entries[i].value, "modules"), module))
            return true;
    /* The ones this program knows, even where no cluster has them yet. */
    return strcmp(module, "hf-cache") == 0 || strcmp(module, "pypi-cache") == 0 ||
           access(layout_defs(ws->arena, &ws->layout, module), F_OK) == 0;
}

static bool check_module(struct workspace *ws, const char *module)
{
    static const char *const own[] = {"hf-cache", "pypi-cache", NULL};

    if (known_module(ws, module))
        return true;
    const char *near = suggest(module, own);
    struct diag item = {.code = D_MODULE,
                        .at = srcpos_file(ws->clusters_file->doc.src),
                        .message = arena_printf(
                            diags_arena(ws->diags),
                            "no cluster lists a module '%s', and it has no definitions", module)};
    if (near != NULL)
        item.hint = arena_printf(diags_arena(ws->diags), "did you mean '%s'?", near);
    diags_add(ws->diags, &item);
    return false;
}

/* Edits one cluster in `text`. Its tree lives in the scratch memory, so that a list of many
 * clusters takes no more memory than a list of one. */
static void edit_one(struct workspace *ws, const char *cluster, const char *module, edit_fn *edit,
                     struct hfc_buf *text)
{
    const char *path = ws->clusters_file->path;
    hfc_autobuf struct hfc_buf edited = HFC_BUF(SOURCE_MAX);
    struct hfc_error err = {0};
    struct yerror yerr;
    struct srcpos at = {0};
    struct ydoc doc;

    arena_reset(ws->scratch);
    const struct source *src = source_from_text(ws->scratch, path, text->data, text->len);
    if (yaml_parse(ws->scratch, src, &doc, &yerr) < 0)
        abort(); /* it has been parsed before, by the workspace or by the edit */
    if (edit(&doc, cluster, module, &edited, &at, &err) == EDIT_FAILED) {
        /* The finding outlives the scratch memory. */
        at.src = source_from_text(ws->arena, path, text->data, text->len);
        diags_addf(ws->diags, D_VALUE, at, "%s", arena_strdup(ws->arena, err.msg));
        return;
    }
    hfc_buf_reset(text);
    hfc_buf_add(text, edited.data, edited.len);
}

/* One cluster after the other, each on the text that the one before it left. False after an error.
 */
static bool edit_all(struct workspace *ws, const struct flags *f, edit_fn *edit,
                     struct hfc_buf *text)
{
    const struct source *src = ws->clusters_file->doc.src;

    hfc_buf_add(text, src->text, src->len);
    for (int i = 0; i < f->argc; i++) {
        if (ynode_get(ws->clusters, f->argv[i]) == NULL)
            workspace_unknown_cluster(ws, f->argv[i]);
        else
            edit_one(ws, f->argv[i], f->module, edit, text);
    }
    return diags_errors(ws->diags) == 0;
}

static void show(const struct source *old, const struct source *new)
{
    hfc_autobuf struct hfc_buf diff = HFC_BUF((size_t)SOURCE_MAX * 4);
    const struct udiff_text from = {old->path, old->text, old->len};
    const struct udiff_text to = {new->path, new->text, new->len};

    udiff(&from, &to, cli_color(STDOUT_FILENO), &diff);
    (void)fwrite(diff.data, 1, diff.len, stdout);
}

/* The diff is shown even when it is applied: it is the record of what was done. */
static void apply(struct workspace *ws, const struct flags *f, const struct source *new)
{
    const struct source *old = ws->clusters_file->doc.src;
    struct hfc_error err = {0};

    if (old->len == new->len && memcmp(old->text, new->text, new->len) == 0) {
        printf("%s: nothing to do\n", old->path);
        return;
    }
    show(old, new);
    if (!f->dry_run && hfc_file_replace(old->path, new->text, new->len, &err) < 0)
        diags_addf(ws->diags, D_OUTPUT, (struct srcpos){0}, "%s", arena_strdup(ws->arena, err.msg));
}

static int run_edit(const struct command *self, int argc, char **argv, edit_fn *edit)
{
    struct flags f = {0};
    struct workspace ws;
    int rc = parse(self, argc, argv, &f);

    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : rc;
    if (cli_open(&ws, &f.paths) && check_module(&ws, f.module)) {
        hfc_autobuf struct hfc_buf text = HFC_BUF(SOURCE_MAX);
        if (edit_all(&ws, &f, edit, &text))
            apply(&ws, &f, source_from_text(ws.arena, ws.clusters_file->path, text.data, text.len));
    }
    return cli_close(&ws);
}

static int run_enable(const struct command *self, int argc, char **argv)
{
    return run_edit(self, argc, argv, edit_enable);
}

static int run_disable(const struct command *self, int argc, char **argv)
{
    return run_edit(self, argc, argv, edit_disable);
}

#define SYNOPSIS "MODULE CLUSTER... [--dry-run] [--root DIR] [--clusters FILE]"

const struct command cmd_enable = {"enable", run_enable, "Add a module to clusters", SYNOPSIS,
                                   help_text};
const struct command cmd_disable = {"disable", run_disable, "Take a module from clusters", SYNOPSIS,
                                    help_text};
