/* cmd_runners.c: `runners`: the files of one runner module of one cluster, with the environment
 * variables that the fleet repository's deploy scripts set. */
#include <stdlib.h>

#include "cli.h"
#include "output.h"
#include "render.h"

static const char help_text[] =
    "Renders every definition of one runner module into a folder, which is replaced as a whole, "
    "or\n"
    "not at all if anything is wrong. Each flag can also be given as an environment variable.\n\n"
    "  --root DIR       OSDC_ROOT                the tree; default: found from the current folder "
    "up\n"
    "  --clusters FILE                           clusters.yaml; default: the tree's\n"
    "  --defs DIR       ARC_RUNNERS_DEFS_DIR     the definitions; default: those of arc-runners\n"
    "  --out DIR        ARC_RUNNERS_OUTPUT_DIR   what is written; its parent must exist\n"
    "  --template FILE  ARC_RUNNERS_TEMPLATE     default: the tree's runner.yaml.tpl\n"
    "  --module NAME    ARC_RUNNERS_MODULE_NAME  default: arc-runners\n"
    "  --nodepools DIR  NODEPOOLS_DEFS_DIR       whose exclude_regions zero capacities;\n"
    "                                            default: those of nodepools\n"
    "  --image IMAGE    RUNNER_IMAGE             required, may be empty\n";

struct flags {
    struct workspace_paths paths;
    const char *defs, *out, *template, *module, *nodepools, *image, *cluster;
};

/* First the environment, then the flags over it. Paths that are set but empty mean the current
 * folder; an image may be empty, but must be set. */
static void flags_from_env(struct flags *f)
{
    f->defs = cli_env_path("ARC_RUNNERS_DEFS_DIR");
    f->out = cli_env_path("ARC_RUNNERS_OUTPUT_DIR");
    f->template = cli_env_path("ARC_RUNNERS_TEMPLATE");
    f->nodepools = cli_env_path("NODEPOOLS_DEFS_DIR");
    f->module = getenv("ARC_RUNNERS_MODULE_NAME");
    f->image = getenv("RUNNER_IMAGE");
}

static int parse(const struct command *self, int argc, char **argv, struct flags *f)
{
    const struct cli_option options[] = {
        {"defs", &f->defs, NULL},           {"out", &f->out, NULL},
        {"template", &f->template, NULL},   {"module", &f->module, NULL},
        {"nodepools", &f->nodepools, NULL}, {"image", &f->image, NULL},
        CLI_TREE_OPTIONS(&f->paths),        {0}};
    int words, rc = cli_parse(self, argc, argv, options, false, &words);

    if (rc != EXIT_OK)
        return rc;
    f->cluster = words > 0 ? argv[0] : NULL;
    for (int i = 1; i < words; i++)
        fprintf(stderr, "hfcache-gen runners: warning: argument '%s' is ignored\n", argv[i]);
    cli_env_paths(&f->paths);
    f->paths.hint = f->defs;
    return EXIT_OK;
}

static int put_file(void *ctx, const char *name, const char *bytes, size_t n, struct hfc_error *err)
{
    return output_file(ctx, name, bytes, n, err);
}

/* Another module changes neither folder: the scripts of variants set definitions, output and module
 * together, and share the template. */
static void fill_defaults(struct workspace *ws, struct flags *f)
{
    if (f->defs == NULL)
        f->defs = layout_defs(ws->arena, &ws->layout, "arc-runners");
    if (f->template == NULL)
        f->template = layout_runner_template(ws->arena, &ws->layout);
    if (f->out == NULL)
        f->out = layout_runner_output(ws->arena, &ws->layout);
    if (f->module == NULL)
        f->module = "arc-runners";
    if (f->nodepools == NULL)
        f->nodepools = layout_defs(ws->arena, &ws->layout, "nodepools");
}

/* The cluster and its settings, and whatever else must be right before rendering. */
static bool prepare(struct workspace *ws, const struct flags *f, struct cluster *c,
                    struct runner_settings *settings)
{
    if (f->image == NULL)
        diags_addf(ws->diags, D_IMAGE, (struct srcpos){0},
                   "no runner image: set RUNNER_IMAGE or use --image");
    if (!cluster_resolve(ws, f->cluster, c) || !cluster_runner_settings(ws, c, settings))
        return false;
    check_fleets(ws, c);
    return f->image != NULL;
}

/* Renders into the staging folder; it becomes the output only without any error. */
static int write_output(struct workspace *ws, const struct render_job *job, const struct flags *f,
                        struct renderer *r)
{
    struct output *output;
    struct output_counts counts;
    struct hfc_error err = {0};

    if (output_begin(f->out, &output, &err) < 0)
        goto failed;
    const struct sink sink = {put_file, output};
    long files = render_module(r, job, &sink, &err);
    if (files < 0 || diags_errors(ws->diags) > 0) {
        output_abort(output);
        if (files < 0)
            goto failed;
        return -1;
    }
    if (output_commit(output, &counts, &err) < 0)
        goto failed;
    printf("%s, %s: %ld runners in %s (%lu written, %lu unchanged, %lu removed)\n",
           job->cluster->id, job->module, files, f->out, counts.written, counts.unchanged,
           counts.removed);
    return 0;
failed:
    diags_addf(ws->diags, D_OUTPUT, (struct srcpos){0}, "%s", arena_strdup(ws->arena, err.msg));
    return -1;
}

/* The template is compiled even when the cluster is unusable, and the other way round: findings of
 * both are reported in one run. */
static void generate(struct workspace *ws, struct flags *f)
{
    struct cluster c;
    struct runner_settings settings;

    fill_defaults(ws, f);
    struct renderer *r = renderer_new(ws, f->template);
    if (prepare(ws, f, &c, &settings) && r != NULL) {
        const struct render_job job = {.cluster = &c,
                                       .settings = &settings,
                                       .module = f->module,
                                       .defs = f->defs,
                                       .nodepools = f->nodepools,
                                       .image = f->image,
                                       .image_rule = "--image or RUNNER_IMAGE",
                                       .folder = ""};
        (void)write_output(ws, &job, f, r);
    }
    renderer_free(r);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct flags f = {0};
    struct workspace ws;

    flags_from_env(&f);
    int rc = parse(self, argc, argv, &f);
    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : rc;
    if (f.cluster == NULL) {
        /* 1, not 2: what the scripts that call this know from its predecessor. */
        (void)cli_usage(self, "which cluster?");
        return EXIT_FINDINGS;
    }
    if (cli_open(&ws, &f.paths))
        generate(&ws, &f);
    return cli_close(&ws);
}

const struct command cmd_runners = {
    "runners", run, "Write one runner module of one cluster (for deploy scripts)",
    "CLUSTER [--root DIR] [--defs DIR] [--out DIR] [--template FILE]\n"
    "                   [--module NAME] [--nodepools DIR] [--image IMAGE] [--clusters FILE]",
    help_text};
