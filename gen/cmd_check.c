/* cmd_check.c: `check`: would `generate` change anything? Shows it as a unified diff. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cli.h"
#include "file.h"
#include "generate.h"
#include "generated.h"
#include "udiff.h"

static const char help_text[] =
    "Renders like `generate`, compares with what is in DIR, and prints a unified diff from DIR to\n"
    "what would be written. Exit status 1 if anything differs or is wrong. Nothing is written.\n\n"
    "  --out DIR        default: generated, beside the inputs\n"
    "  --image IMAGE    RUNNER_IMAGE   runner image; default: each cluster's arc.runner_image_tag\n"
    "  --root DIR       OSDC_ROOT      the tree; default: found from the current folder up\n"
    "  --clusters FILE                 clusters.yaml; default: the tree's\n"
    "  --quiet                         no diff, only the exit status\n";

enum { FILE_MAX = 64 * 1024 * 1024 };

struct name {
    const char *text;
    struct name *next;
};

struct checker {
    struct workspace *ws;
    const char *dir;
    bool quiet, color;
    struct name *names; /* of the cluster at hand, in its scratch memory */
    unsigned long drifted;
};

/* A side whose name is NULL is a file that is not there. */
static void show(struct checker *k, const char *name, const struct hfc_buf *old, const char *bytes,
                 size_t n)
{
    hfc_autobuf struct hfc_buf diff = HFC_BUF((size_t)FILE_MAX * 4);
    const char *path = arena_printf(k->ws->scratch, "%s/%s", k->dir, name);
    const struct udiff_text from = {old != NULL ? path : "/dev/null", old != NULL ? old->data : "",
                                    old != NULL ? old->len : 0};
    const struct udiff_text to = {bytes != NULL ? path : "/dev/null", bytes != NULL ? bytes : "",
                                  n};

    k->drifted++;
    if (k->quiet)
        return;
    udiff(&from, &to, k->color, &diff);
    (void)fwrite(diff.data, 1, diff.len, stdout);
}

/* The sink: compares a rendered file with what is there. */
static int compare(void *ctx, const char *name, const char *bytes, size_t n, struct hfc_error *err)
{
    struct checker *k = ctx;
    hfc_autobuf struct hfc_buf old = HFC_BUF(FILE_MAX);
    struct hfc_error why;
    struct name *seen = arena_new_of(k->ws->scratch, struct name);

    *seen = (struct name){arena_strdup(k->ws->scratch, name), k->names};
    k->names = seen;
    const char *path = arena_printf(k->ws->scratch, "%s/%s", k->dir, name);
    if (hfc_file_read(AT_FDCWD, path, &old, &why) < 0) {
        if (why.errnum != ENOENT && why.errnum != ENOTDIR)
            return hfc_error_set(err, why.errnum, "%s", path);
        show(k, name, NULL, bytes, n);
    } else if (old.len != n || memcmp(old.data, bytes, n) != 0) {
        show(k, name, &old, bytes, n);
    }
    return 0;
}

/* A cluster has a few dozen files, so a list does. */
static bool is_rendered(const struct checker *k, const char *name)
{
    for (const struct name *n = k->names; n != NULL; n = n->next)
        if (strcmp(n->text, name) == 0)
            return true;
    return false;
}

/* Files below a folder of DIR that would go. */
static void check_surplus(struct checker *k, const char *folder)
{
    char *path = arena_printf(k->ws->scratch, "%s/%s", k->dir, folder);
    char *const roots[] = {path, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *e;

    while (tree != NULL && (e = fts_read(tree)) != NULL) {
        const char *name = e->fts_path + strlen(k->dir) + 1;
        if (e->fts_info == FTS_D || e->fts_info == FTS_DP || e->fts_info == FTS_NS ||
            is_rendered(k, name))
            continue;
        hfc_autobuf struct hfc_buf old = HFC_BUF(FILE_MAX);
        if (e->fts_info == FTS_F)
            (void)hfc_file_read(AT_FDCWD, e->fts_path, &old, NULL);
        show(k, name, &old, NULL, 0);
    }
    if (tree != NULL)
        (void)fts_close(tree);
}

/* Folders of DIR that belong to no cluster. */
static void check_strangers(struct checker *k)
{
    hfc_autoclosedir DIR *d = opendir(k->dir);
    const struct dirent *e;

    k->names = NULL;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            strcmp(e->d_name, GENERATED_MARK) == 0)
            continue;
        if (ynode_get(k->ws->clusters, e->d_name) == NULL)
            check_surplus(k, e->d_name);
    }
}

/* The names are in the scratch memory, which each cluster resets: so they are forgotten before.
 * With clusters given, others are not looked at, because generate would leave them alone. */
static int check(struct generator *g, struct checker *k, const struct generated_flags *f,
                 struct hfc_error *err)
{
    const struct sink sink = {compare, k};
    const char *const *ids;
    size_t n = generate_ids(g->ws, f->argc, f->argv, &ids);

    if (generated_guard(k->dir, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        k->names = NULL;
        size_t errors = diags_errors(g->ws->diags);
        if (generate_cluster(g, ids[i], &sink, err) < 0)
            return -1;
        /* What an error kept from being rendered would not go. */
        if (diags_errors(g->ws->diags) == errors)
            check_surplus(k, ids[i]);
    }
    if (f->argc == 0)
        check_strangers(k);
    return 0;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct generated_flags f;
    struct workspace ws;
    struct hfc_error err = {0};
    struct checker k = {.ws = &ws};
    int rc = generated_parse(self, argc, argv, &f);

    if (rc != EXIT_OK)
        return rc == CLI_HELP ? EXIT_OK : rc;
    if (cli_open(&ws, &f.paths)) {
        struct generator g;
        generator_open(&g, &ws, f.image);
        k.dir = f.out != NULL ? f.out : layout_generated(ws.arena, &ws.layout);
        k.quiet = f.quiet;
        k.color = cli_color(STDOUT_FILENO);
        if (check(&g, &k, &f, &err) < 0)
            diags_addf(ws.diags, D_OUTPUT, (struct srcpos){0}, "%s",
                       arena_strdup(ws.arena, err.msg));
        if (k.drifted > 0 && !f.quiet)
            fprintf(stderr, "hfcache-gen: %lu file%s in %s would change\n", k.drifted,
                    k.drifted == 1 ? "" : "s", k.dir);
        generator_close(&g);
    }
    rc = cli_close_briefly(&ws, f.quiet);
    return k.drifted > 0 ? EXIT_FINDINGS : rc;
}

const struct command cmd_check = {"check", run, "Show what generate would change",
                                  "[CLUSTER...] [--out DIR] [--image IMAGE]\n"
                                  "                   [--root DIR] [--clusters FILE] [--quiet]",
                                  help_text};
