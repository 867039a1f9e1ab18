/* cmd_config.c: `config`: one query of clusters.yaml, for scripts. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "query.h"

enum { ANSWER_MAX = 64 * 1024 * 1024 };

static const char help_text[] =
    "Without PATH: the cluster's name. A PATH is dotted; the cluster's value is printed, or else "
    "the\n"
    "one of `defaults`, or else DEFAULT; without any of them the exit status is 1. Lists print "
    "with\n"
    "commas, booleans as true and false.\n\n"
    "  config --list                      ids of all clusters\n"
    "  config CLUSTER modules             the cluster's modules, one a line\n"
    "  config CLUSTER enabled-modules     the same on one line\n"
    "  config CLUSTER has-module MODULE   exit status 0 if it has it, 1 if not\n"
    "  config CLUSTER tfvars              -var arguments for its base infrastructure\n"
    "  config CLUSTER state_bucket        where its Terraform state lies\n\n"
    "  --clusters FILE  CLUSTERS_YAML  clusters.yaml; default: the tree's\n"
    "  --root DIR       OSDC_ROOT      the tree; default: found from the current folder up\n\n"
    "Options stand before CLUSTER; everything behind it is taken as it is.\n";

/* Loads the file leniently: duplicate keys and the like do not concern a query. */
static const struct ynode *load(struct workspace *ws, const struct workspace_paths *paths,
                                struct hfc_error *err)
{
    if (layout_find(ws->arena, paths->root, paths->clusters_yaml, NULL, &ws->layout, err) < 0)
        return NULL;
    ws->clusters_file = inputs_file(ws->inputs, ws->layout.clusters_yaml);
    if (ws->clusters_file->state != INPUT_OK) {
        (void)input_report(ws->clusters_file, D_SYNTAX, ws->diags);
        return NULL;
    }
    return ws->clusters_file->doc.root;
}

/* What stands behind the last word that has a meaning is ignored, as scripts may pass more. */
static enum query_result ask(const struct ynode *root, int argc, char **argv, struct hfc_buf *out,
                             struct hfc_error *err)
{
    if (argc > 0 && strcmp(argv[0], "--list") == 0)
        return query_list(root, out, err);
    const struct query q = {argv[0], argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL};
    return query_answer(root, &q, out, err);
}

/* Not by way of cli_open(), which checks more than a query needs. The file is read before the
 * arguments are looked at, so a broken one fails whatever is asked. A write that failed must not
 * look like an empty answer. */
static int answer(const struct command *self, const struct workspace_paths *paths, int argc,
                  char **argv)
{
    struct workspace ws = {.arena = arena_new(), .scratch = arena_new(), .diags = diags_new()};
    struct hfc_error err = {0};
    hfc_autobuf struct hfc_buf out = HFC_BUF(ANSWER_MAX);
    int rc = EXIT_FINDINGS;

    ws.inputs = inputs_new(ws.arena);
    const struct ynode *root = load(&ws, paths, &err);
    if (root != NULL && argc == 0)
        (void)cli_usage(self, "which cluster?");
    else if (root != NULL && ask(root, argc, argv, &out, &err) == QUERY_OK)
        rc = EXIT_OK;
    if (hfc_buf_failed(&out)) {
        (void)hfc_error_set(&err, 0, "the answer is longer than %d bytes", ANSWER_MAX);
        rc = EXIT_FINDINGS;
    } else if (fwrite(out.data, 1, out.len, stdout) != out.len) {
        rc = EXIT_FINDINGS;
    }
    if (rc != EXIT_OK && err.msg[0] != '\0')
        cli_error("%s", err.msg);
    (void)cli_close(&ws);
    return rc;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct workspace_paths paths = {.clusters_yaml = cli_env_path("CLUSTERS_YAML")};
    bool list = false;
    const struct cli_option options[] = {{"list", NULL, &list}, CLI_TREE_OPTIONS(&paths), {0}};
    static char list_query[] = "--list";
    char *query[] = {list_query};
    int words, rc = cli_parse(self, argc, argv, options, true, &words);

    /* 1 for bad usage too: scripts test for it. */
    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : EXIT_FINDINGS;
    cli_env_paths(&paths);
    return list ? answer(self, &paths, 1, query) : answer(self, &paths, words, argv);
}

const struct command cmd_config = {
    "config", run, "Answer a question about clusters.yaml (for scripts)",
    "[--clusters FILE] [--root DIR] CLUSTER [PATH [DEFAULT]]\n"
    "       hfcache-gen config [--clusters FILE] [--root DIR] --list",
    help_text};
