/* cmd_explain.c: `explain`: where the values come from: file, line, rule. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blocks.h"
#include "check.h"
#include "cleanup.h"
#include "cli.h"
#include "generate.h"
#include "suggest.h"
#include "visible.h"

static const char help_text[] =
    "With CLUSTER: its settings, modules and template blocks. With RUNNER (a runner's name): the "
    "value\n"
    "of every placeholder, the rule that decided it, and the line that it comes from. With NAME: "
    "of\n"
    "this placeholder only.\n\n"
    "  --image IMAGE    RUNNER_IMAGE   runner image; default: the cluster's arc.runner_image_tag\n"
    "  --root DIR       OSDC_ROOT      the tree; default: found from the current folder up\n"
    "  --clusters FILE                 clusters.yaml; default: the tree's\n";

struct flags {
    struct workspace_paths paths;
    const char *image;
    const char *words[3]; /* cluster, runner, placeholder */
};

static int parse(const struct command *self, int argc, char **argv, struct flags *f)
{
    const struct cli_option options[] = {
        {"image", &f->image, NULL}, CLI_TREE_OPTIONS(&f->paths), {0}};
    int words;

    f->image = getenv("RUNNER_IMAGE");
    int rc = cli_parse(self, argc, argv, options, false, &words);
    cli_env_paths(&f->paths);
    if (rc != EXIT_OK)
        return rc;
    if (words == 0 || words > (int)HFC_ARRAY_LEN(f->words))
        return cli_usage(self, words == 0 ? "which cluster?" : "too many arguments");
    for (int i = 0; i < words; i++)
        f->words[i] = argv[i];
    return EXIT_OK;
}

/* "    file:line: the line": where a value stands. */
static void print_origin(const struct ynode *from)
{
    size_t len;

    if (from == NULL || from->src == NULL)
        return;
    const char *line = source_line(from->src, from->line, &len);
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    printf("    %s:%u:%u: ", from->src->path, from->line, from->col);
    visible_print(line, len, stdout);
    putchar('\n');
}

/* In Python notation, so that line breaks and blanks at the ends of a snippet can be seen. */
static void print_value(const char *name, struct text value, const char *rule,
                        const struct ynode *from)
{
    struct ynode shown = {.type = Y_STR, .text = value.p, .n = (uint32_t)value.n};
    hfc_autobuf struct hfc_buf text = HFC_BUF(SOURCE_MAX);

    ynode_repr(&shown, &text);
    printf("%s = %s\n    %s\n", name, text.data, rule);
    print_origin(from);
}

static void print_setting(const char *name, const struct ynode *n, const char *missing)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(SOURCE_MAX);

    if (n == NULL) {
        printf("%s: %s\n", name, missing);
        return;
    }
    ynode_str(n, &text);
    printf("%s: ", name);
    visible_print(text.data, text.len, stdout);
    putchar('\n');
    print_origin(n);
}

static void explain_runner_settings(struct workspace *ws, const struct cluster *c)
{
    struct runner_settings s;
    bool own = !ynode_is_null(ynode_get(c->node, "arc-runners"));

    if (!cluster_runner_settings(ws, c, &s))
        return;
    printf("runner settings: from the %s arc-runners block, which is used as a whole\n",
           own ? "cluster's own" : "defaults'");
    print_setting("  github_config_url", s.url, "");
    print_setting("  github_secret_name", s.secret, "none");
    print_setting("  runner_name_prefix", s.prefix, "none");
    print_setting("  runner_group", s.group, "none: each definition's own");
    print_setting("  scheduler_name", s.scheduler, "none: each definition's own");
}

/* Each value with the place it comes from, which for runner settings may be the defaults' block. */
static void explain_cluster(struct workspace *ws, const struct cluster *c)
{
    bool keep[BLOCK_TAGS];

    printf("cluster: %s\n", c->id);
    print_origin(c->key);
    print_setting("region", c->region_node, "none");
    print_setting("proactive_capacity_max", c->capacity_max, "none: definitions are not capped");
    print_setting("pause_runners", c->paused_node, "no");
    printf("modules:\n");
    for (uint32_t i = 0; c->modules != NULL && i < c->modules->n; i++)
        printf("  %-26s %s:%u\n", c->modules->items[i]->text, c->modules->src->path,
               c->modules->items[i]->line);
    blocks_keep(c, keep);
    for (size_t i = 0; i < BLOCK_TAGS; i++)
        printf("block %s: %s\n", blocks_tag(i),
               keep[i] ? "kept, its module is listed" : "stripped, its module is not listed");
    explain_runner_settings(ws, c);
}

/* PLACEHOLDERS if there is none of that name, which also stands for all of them. */
static size_t find_placeholder(const char *name)
{
    size_t i = 0;

    while (i < PLACEHOLDERS && strcmp(placeholder_names[i], name) != 0)
        i++;
    return i;
}

static void explain_runner(const struct runner *r, struct arena *a, size_t only)
{
    struct text values[PLACEHOLDERS];

    placeholder_values(a, r, values);
    for (size_t i = 0; i < PLACEHOLDERS; i++) {
        const struct field_value *f = &r->f[placeholder_field(i)];
        if (only == PLACEHOLDERS || only == i)
            print_value(placeholder_names[i], values[i], f->rule, f->from);
    }
}

/* The definition of that name among the module's; NULL if there is none. */
static const struct input *find_definition(struct workspace *ws, const char *module,
                                           const char *name)
{
    const char *dir = layout_defs(ws->scratch, &ws->layout, module);
    const struct input_dir *defs = inputs_dir(ws->inputs, dir);

    /* A file that does not parse may be the one that is asked for: so it is named. */
    for (size_t i = 0; i < defs->n; i++)
        if (input_report(defs->files[i], D_SYNTAX, ws->diags) &&
            ynode_is_text(ynode_get(runner_node(defs->files[i]), "name"), name))
            return defs->files[i];
    return NULL;
}

/* Resolves and prints the runner if the module has it. False if it has not. */
static bool explain_in_module(struct generator *g, const struct cluster *c, const char *module,
                              const struct flags *f, size_t only)
{
    struct workspace *ws = g->ws;
    const struct input *def = find_definition(ws, module, f->words[1]);
    struct runner_settings settings;
    struct runner_context ctx;
    struct fleets zeroed;
    struct runner r;

    if (def == NULL)
        return false;
    if (!cluster_runner_settings(ws, c, &settings))
        return true;
    struct render_job job = {.cluster = c, .settings = &settings, .module = module};
    job.nodepools = layout_defs(ws->scratch, &ws->layout, "nodepools");
    job.image = generate_image(g, c, &job.image_rule);
    if (job.image != NULL && render_context(ws, &job, &zeroed, &ctx) &&
        runner_resolve(&ctx, def, &r))
        explain_runner(&r, ws->scratch, only);
    return true;
}

static void explain_named(struct generator *g, const struct cluster *c, const struct flags *f,
                          size_t only)
{
    for (uint32_t i = 0; c->modules != NULL && i < c->modules->n; i++) {
        const char *module = c->modules->items[i]->text;
        if (module_is_runners(module) && explain_in_module(g, c, module, f, only))
            return;
    }
    diags_addf(g->ws->diags, D_MISSING, ynode_pos(c->key),
               "cluster %s has no runner '%s' in its runner modules", c->id, f->words[1]);
}

static void explain(struct workspace *ws, const struct flags *f, size_t only)
{
    struct generator g;
    struct cluster c;

    if (!cluster_resolve(ws, f->words[0], &c))
        return;
    generator_open(&g, ws, f->image);
    /* Everything else can be explained without an image. */
    g.image_optional = true;
    if (f->words[1] == NULL)
        explain_cluster(ws, &c);
    else
        explain_named(&g, &c, f, only);
    generator_close(&g);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct flags f = {0};
    struct workspace ws;
    int rc = parse(self, argc, argv, &f);

    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : rc;
    size_t only = f.words[2] != NULL ? find_placeholder(f.words[2]) : PLACEHOLDERS;
    if (f.words[2] != NULL && only == PLACEHOLDERS) {
        const char *near = suggest(f.words[2], placeholder_names);
        return cli_usage(self, "there is no placeholder '%s'%s%s%s", f.words[2],
                         near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                         near != NULL ? "'?" : "");
    }
    if (cli_open(&ws, &f.paths))
        explain(&ws, &f, only);
    return cli_close(&ws);
}

const struct command cmd_explain = {
    "explain", run, "Tell where values come from: file, line and rule",
    "CLUSTER [RUNNER [NAME]] [--image IMAGE] [--root DIR] [--clusters FILE]", help_text};
