/* tree.h: a temporary tree of inputs and a workspace on it, for tests of the generator's rules.
 *
 *   struct tree t = tree_new("clusters: ...");      modules/ layout
 *   tree_write(&t, "modules/x/defs/a.yaml", "..."); more files
 *   tree_open(&t);                                  opens t.ws
 *   tree_free(&t);
 */
#ifndef TESTS_TREE_H
#define TESTS_TREE_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "diag.h"
#include "file.h"
#include "workspace.h"

struct tree {
    char root[64];
    struct workspace ws;
    bool open;
};

static inline void tree_write(struct tree *t, const char *name, const char *text)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", t->root, name);
    for (char *p = path + strlen(t->root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(path, 0777);
        *p = '/';
    }
    (void)unlink(path);
    assert_int_equal(hfc_file_create(-1, path, text, strlen(text), 0666, NULL), 0);
}

static inline struct tree tree_new(const char *clusters_yaml)
{
    struct tree t = {.root = "/tmp/hfcache-test-XXXXXX"};

    assert_non_null(mkdtemp(t.root));
    tree_write(&t, "clusters.yaml", clusters_yaml);
    return t;
}

/* Opens the workspace, anew if it was open. */
static inline bool tree_open(struct tree *t)
{
    const struct workspace_paths paths = {.root = t->root};
    struct hfc_error err;

    if (t->open)
        workspace_close(&t->ws);
    t->open = true;
    return workspace_open(&t->ws, &paths, &err);
}

static inline int tree_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline void tree_free(struct tree *t)
{
    if (t->open)
        workspace_close(&t->ws);
    assert_int_equal(nftw(t->root, tree_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* How often a code has been reported at this line (0: wherever). */
static inline int tree_found(const struct tree *t, enum diag_code code, uint32_t line)
{
    int n = 0;

    for (size_t i = 0; i < diags_count(t->ws.diags); i++) {
        const struct diag *d = diags_get(t->ws.diags, i);
        n += d->code == code && (line == 0 || d->at.line == line);
    }
    return n;
}

/* The same at one place. */
static inline int tree_found_at(const struct tree *t, enum diag_code code, uint32_t line,
                                uint32_t col)
{
    int n = 0;

    for (size_t i = 0; i < diags_count(t->ws.diags); i++) {
        const struct diag *d = diags_get(t->ws.diags, i);
        n += d->code == code && d->at.line == line && d->at.col == col;
    }
    return n;
}

/* The first finding with the code; there must be one. */
static inline const struct diag *tree_diag(const struct tree *t, enum diag_code code)
{
    for (size_t i = 0; i < diags_count(t->ws.diags); i++)
        if (diags_get(t->ws.diags, i)->code == code)
            return diags_get(t->ws.diags, i);
    fail_msg("not reported: %s", diag_code_id(code));
    return NULL;
}

/* Fails unless the only finding is this code, there. DIAG_CODES: unless there is none. `input` is
 * what to show. */
static inline void tree_only(const struct tree *t, enum diag_code code, uint32_t line, uint32_t col,
                             const char *input)
{
    size_t n = diags_count(t->ws.diags);

    if (code == DIAG_CODES ? n == 0 : n == 1 && tree_found_at(t, code, line, col) == 1)
        return;
    diags_print(t->ws.diags, DIAG_TEXT, false, stderr);
    if (code == DIAG_CODES)
        fail_msg("%s\nshould give no finding", input);
    else
        fail_msg("%s\nshould give just %s at %u:%u", input, diag_code_id(code), line, col);
}

/* A single value, parsed; lives in the arena. */
static inline const struct ynode *tree_value(struct arena *a, const char *yaml)
{
    struct ydoc doc;
    struct yerror err;
    const struct source *src = source_from_text(a, "value.yaml", yaml, strlen(yaml));

    assert_int_equal(yaml_parse(a, src, &doc, &err), 0);
    return doc.root;
}

#endif
