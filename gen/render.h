/* render.h: from definitions and template to the files of one runner module of one cluster.
 *
 * Everything is checked before and while rendering; findings go to the workspace. Files go to a
 * sink as they come, so that no more than one is in memory; whoever owns the sink keeps them only
 * if there was no error in the end.
 */
#ifndef GEN_RENDER_H
#define GEN_RENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "placeholder.h"
#include "runner.h"

struct sink {
    /* Takes a file; 0 or -1 with `err`. */
    int (*put)(void *ctx, const char *name, const char *bytes, size_t n, struct hfc_error *err);
    void *ctx;
};

/* The compiled template and what else is shared by all clusters of a run. */
struct renderer;

/* Compiles the runner template; NULL if it cannot be used (reported). Lives in the workspace. */
struct renderer *renderer_new(struct workspace *ws, const char *template_path);
void renderer_free(struct renderer *r); /* NULL is fine */

/* One module of one cluster. */
struct render_job {
    const struct cluster *cluster;
    const struct runner_settings *settings;
    const char *module;
    const char *defs;      /* folder of its definitions */
    const char *nodepools; /* folder whose exclude_regions zero capacities */
    const char *image, *image_rule;
    const struct ynode *listed; /* the module in the cluster's list, or NULL */
    const char *folder;         /* put in front of the files' names: "" or "name/" */
};

/* Renders all definitions into the sink. Returns the number of files, -1 if the sink failed
 * (`err`). Names must not collide with each other nor with those of other modules rendered for the
 * cluster since renderer_forget_names(). */
long render_module(struct renderer *r, const struct render_job *job, const struct sink *sink,
                   struct hfc_error *err);

/* To be called when another cluster begins. */
void renderer_forget_names(struct renderer *r);

/* Checks that every runner of every module of the cluster has a fleet to run on. */
void check_fleets(struct workspace *ws, const struct cluster *c);

/* What render_module() resolves each definition with; for `explain`. The fleets live in
 * ws->scratch. False if the job as a whole is unusable (reported). */
bool render_context(struct workspace *ws, const struct render_job *job, struct fleets *zeroed,
                    struct runner_context *out);

#endif
