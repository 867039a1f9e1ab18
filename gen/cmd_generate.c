/* cmd_generate.c: `generate`: every manifest of the given clusters, or of all. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "generate.h"
#include "generated.h"
#include "output.h"

static const char help_text[] =
    "Writes DIR/CLUSTER/MODULE/NAME.yaml for every runner, and DIR/CLUSTER/hf-cache/*.yaml for\n"
    "clusters that enable the module. DIR changes all at once, or not at all if anything is "
    "wrong;\n"
    "unchanged files keep their time stamps. Without CLUSTER all clusters are written, and what\n"
    "belongs to none of them goes; with CLUSTER the others stay as they are.\n\n"
    "  --out DIR        default: generated, beside the inputs\n"
    "  --image IMAGE    RUNNER_IMAGE   runner image; default: each cluster's arc.runner_image_tag\n"
    "  --root DIR       OSDC_ROOT      the tree; default: found from the current folder up\n"
    "  --clusters FILE                 clusters.yaml; default: the tree's\n"
    "  --quiet                         say nothing when all is well\n";

static int put_file(void *ctx, const char *name, const char *bytes, size_t n, struct hfc_error *err)
{
    return output_file(ctx, name, bytes, n, err);
}

/* Carries over the folders of clusters that are not being generated. */
static int keep_others(struct output *output, const char *dir, const char *const *ids, size_t n,
                       struct hfc_error *err)
{
    hfc_autoclosedir DIR *d = opendir(dir);
    const struct dirent *e;

    if (d == NULL)
        return errno == ENOENT ? 0 : hfc_error_set(err, errno, "%s", dir);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.' || generate_is_listed(ids, n, e->d_name))
            continue;
        if (output_keep(output, e->d_name, err) < 0)
            return -1;
    }
    return 0;
}

/* The files of all clusters into the staging folder. */
static long write_clusters(struct generator *g, struct output *output, const char *const *ids,
                           size_t n, struct hfc_error *err)
{
    const struct sink sink = {put_file, output};
    long files = 0;

    if (output_file(output, GENERATED_MARK, GENERATED_MARK_TEXT, strlen(GENERATED_MARK_TEXT), err) <
        0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        long k =
            output_folder(output, ids[i], err) < 0 ? -1 : generate_cluster(g, ids[i], &sink, err);
        if (k < 0)
            return -1;
        files += k;
    }
    return files;
}

/* A cluster that does not exist ends it before anything is staged. The staging folder becomes the
 * output only after the last file, and only without any error: the last good output survives. */
static int generate(struct generator *g, const struct generated_flags *f, struct hfc_error *err)
{
    const char *const *ids;
    struct output *output;
    struct output_counts counts;
    size_t n = generate_ids(g->ws, f->argc, f->argv, &ids);

    if (diags_errors(g->ws->diags) > 0)
        return 0;
    if (generated_guard(f->out, err) < 0 || output_begin(f->out, &output, err) < 0)
        return -1;
    long files = write_clusters(g, output, ids, n, err);
    if (files >= 0 && f->argc > 0 && keep_others(output, f->out, ids, n, err) < 0)
        files = -1;
    if (files < 0 || diags_errors(g->ws->diags) > 0) {
        output_abort(output);
        return files < 0 ? -1 : 0;
    }
    if (output_commit(output, &counts, err) < 0)
        return -1;
    if (!f->quiet)
        printf("%zu cluster%s in %s: %lu files written, %lu unchanged, %lu removed\n", n,
               n == 1 ? "" : "s", f->out, counts.written, counts.unchanged, counts.removed);
    return 0;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct generated_flags f;
    struct workspace ws;
    struct hfc_error err = {0};
    int rc = generated_parse(self, argc, argv, &f);

    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : rc;
    if (cli_open(&ws, &f.paths)) {
        struct generator g;
        generator_open(&g, &ws, f.image);
        if (f.out == NULL)
            f.out = layout_generated(ws.arena, &ws.layout);
        if (generate(&g, &f, &err) < 0)
            diags_addf(ws.diags, D_OUTPUT, (struct srcpos){0}, "%s",
                       arena_strdup(ws.arena, err.msg));
        generator_close(&g);
    }
    return cli_close_briefly(&ws, f.quiet);
}

const struct command cmd_generate = {"generate", run, "Write every manifest of the clusters",
                                     "[CLUSTER...] [--out DIR] [--image IMAGE]\n"
                                     "                   [--root DIR] [--clusters FILE] [--quiet]",
                                     help_text};
