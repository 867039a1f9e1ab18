/* cluster.h: what clusters.yaml says of one cluster, with defaults applied and checked. */
#ifndef GEN_CLUSTER_H
#define GEN_CLUSTER_H

#include <stdbool.h>

#include "workspace.h"

struct cluster {
    const char *id;
    const struct ynode *key;     /* the id as it stands in clusters.yaml */
    const struct ynode *node;    /* its mapping */
    const struct ynode *modules; /* a list of text, or NULL for none */
    const char *region;          /* "" where the cluster has none of its own */
    const struct ynode *region_node;
    const char *fleet_region; /* the same, but with defaults.region as fallback: what decides
                                 which fleets exist */
    bool paused;
    const struct ynode *paused_node;
    const struct ynode *capacity_max;  /* an integer >= 0, or NULL for no cap */
    const struct ynode *age_threshold; /* NULL: the default */
};

/* The arc-runners block that applies to a cluster: its own, or else the defaults'. */
struct runner_settings {
    const struct ynode *block;
    const struct ynode *url;       /* non-empty text */
    const struct ynode *secret;    /* text, or NULL for "" */
    const struct ynode *prefix;    /* the same */
    const struct ynode *group;     /* non-empty text, or NULL for none */
    const struct ynode *scheduler; /* the same */
};

/* False if the cluster does not exist or is malformed; all that is wrong is in ws->diags. */
bool cluster_resolve(struct workspace *ws, const char *id, struct cluster *out);

/* For a cluster whose runners are to be generated. */
bool cluster_runner_settings(struct workspace *ws, const struct cluster *c,
                             struct runner_settings *out);

bool cluster_has(const struct cluster *c, const char *module);

/* cluster.PATH if not null, else defaults.PATH (may be NULL): a dotted path, as queries have it. */
const struct ynode *cluster_lookup(const struct workspace *ws, const struct ynode *cluster,
                                   const char *path);

#endif
