/* workspace.h: one run: its inputs, what was found wrong in them, and clusters.yaml.
 *
 * Everything else in this folder takes a workspace. It owns the cached inputs and the findings;
 * `arena` lives as long as the run, `scratch` is reset by whoever works through clusters one by
 * one.
 */
#ifndef GEN_WORKSPACE_H
#define GEN_WORKSPACE_H

#include <stdbool.h>

#include "arena.h"
#include "diag.h"
#include "inputs.h"
#include "layout.h"
#include "ynode.h"

struct shards;

struct workspace {
    struct arena *arena, *scratch;
    struct diags *diags;
    struct inputs *inputs;
    struct layout layout;
    const struct input *clusters_file;
    const struct ynode *clusters; /* Y_MAP, or NULL */
    const struct ynode *defaults; /* Y_MAP, or NULL */
    struct shards *shards;        /* shards.c's cache */
};

/* The tree and clusters.yaml, as given by flags and environment; NULL where not given. */
struct workspace_paths {
    const char *root, *clusters_yaml, *hint;
};

/* Returns false when there is nothing to work on; the reason is in ws->diags (or `err` when no tree
 * was found). Call workspace_close() in any case. */
bool workspace_open(struct workspace *ws, const struct workspace_paths *paths,
                    struct hfc_error *err);
void workspace_close(struct workspace *ws);

/* The position of a node, or clusters.yaml as a whole for NULL. */
struct srcpos workspace_pos(const struct workspace *ws, const struct ynode *n);

/* Reports an unknown cluster with the nearest known one. */
void workspace_unknown_cluster(struct workspace *ws, const char *id);

#endif
