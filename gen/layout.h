/* layout.h: where the inputs lie.
 *
 * Two trees are known. This repository's: clusters/clusters.yaml, clusters/runners/ for the module
 * arc-runners, clusters/runners-X/ for arc-runners-X, clusters/nodepools*, templates/. And that of
 * the fleet repository which the programs are dropped into: clusters.yaml at the root and
 * modules/MODULE/{defs,templates}. All paths returned live in the arena.
 */
#ifndef GEN_LAYOUT_H
#define GEN_LAYOUT_H

#include <stdbool.h>

#include "arena.h"
#include "error.h"

struct layout {
    const char *root;
    const char *clusters_yaml;
    bool modules; /* the tree with modules/ */
};

/* `root` and `clusters_yaml` may be NULL: then the tree is looked for from the current folder
 * upwards, and from `hint` (a path inside it, or NULL). */
int layout_find(struct arena *a, const char *root, const char *clusters_yaml, const char *hint,
                struct layout *out, struct hfc_error *err);

const char *layout_defs(struct arena *a, const struct layout *l, const char *module);
const char *layout_runner_template(struct arena *a, const struct layout *l);
const char *layout_runner_output(struct arena *a, const struct layout *l);
const char *layout_generated(struct arena *a, const struct layout *l);
/* The tree's own, or else those that are shipped with the program. */
const char *layout_hf_templates(struct arena *a, const struct layout *l);
const char *layout_models(struct arena *a, const struct layout *l);

/* "arc-runners", "arc-runners-h100"; "nodepools", "nodepools-h100". */
bool module_is_runners(const char *module);
bool module_is_nodepools(const char *module);

#endif
