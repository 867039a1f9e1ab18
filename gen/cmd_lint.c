/* cmd_lint.c: `lint`: everything that `generate` checks, for people and for other programs. */
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "generate.h"

static const char help_text[] =
    "Reads and renders everything, writes nothing, and reports all findings. Exit status 1 if "
    "there\n"
    "is an error (with --strict: or a warning). Text goes to stderr, the other formats to "
    "stdout.\n\n"
    "  --format FORMAT  text (default), json (one object a line), sarif (2.1.0), github "
    "(annotations)\n"
    "  --strict         warnings fail too\n"
    "  --root DIR       OSDC_ROOT   the tree; default: found from the current folder up\n"
    "  --clusters FILE              clusters.yaml; default: the tree's\n";

struct flags {
    struct workspace_paths paths;
    enum diag_format format;
    bool strict;
    int argc;
    char **argv;
};

static int parse(const struct command *self, int argc, char **argv, struct flags *f)
{
    const char *format = NULL;
    const struct cli_option options[] = {
        {"format", &format, NULL}, {"strict", NULL, &f->strict}, CLI_TREE_OPTIONS(&f->paths), {0}};
    int rc = cli_parse(self, argc, argv, options, false, &f->argc);

    f->argv = argv;
    cli_env_paths(&f->paths);
    if (rc == EXIT_OK && format != NULL && !diag_format_parse(format, &f->format))
        return cli_usage(self, "unknown format '%s'", format);
    return rc;
}

/* The sink: what is rendered is not kept. */
static int discard(void *ctx, const char *name, const char *bytes, size_t n, struct hfc_error *err)
{
    (void)ctx, (void)name, (void)bytes, (void)n, (void)err;
    return 0;
}

static void lint(struct workspace *ws, const struct flags *f)
{
    const struct sink sink = {discard, NULL};
    const char *const *ids;
    struct generator g;
    struct hfc_error err = {0};
    size_t n = generate_ids(ws, f->argc, f->argv, &ids);

    generator_open(&g, ws, getenv("RUNNER_IMAGE"));
    /* Lint runs where nothing is deployed and no image is resolved, such as on a pull request. */
    g.image_optional = true;
    for (size_t i = 0; i < n; i++)
        if (generate_cluster(&g, ids[i], &sink, &err) < 0)
            diags_addf(ws->diags, D_OUTPUT, (struct srcpos){0}, "%s",
                       arena_strdup(ws->arena, err.msg));
    generator_close(&g);
}

/* The formats for programs go to stdout, so that they can be piped. Warnings are counted before the
 * findings are freed. */
static int run(const struct command *self, int argc, char **argv)
{
    struct flags f = {0};
    struct workspace ws;
    int rc = parse(self, argc, argv, &f);

    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : rc;
    if (cli_open(&ws, &f.paths))
        lint(&ws, &f);
    bool warned = diags_warnings(ws.diags) > 0;
    if (f.format == DIAG_TEXT)
        rc = cli_close(&ws);
    else {
        bool nothing = ws.clusters_file == NULL; /* there was no tree to look at */
        rc = nothing || diags_errors(ws.diags) > 0 ? EXIT_FINDINGS : EXIT_OK;
        diags_print(ws.diags, f.format, false, stdout);
        workspace_close(&ws);
    }
    return f.strict && warned ? EXIT_FINDINGS : rc;
}

const struct command cmd_lint = {"lint", run, "Check all inputs and report every finding",
                                 "[CLUSTER...] [--format text|json|sarif|github] [--strict]\n"
                                 "                   [--root DIR] [--clusters FILE]",
                                 help_text};
