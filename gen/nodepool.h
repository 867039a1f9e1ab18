/* nodepool.h: which fleets of nodes a cluster has, from its node pool definitions. */
#ifndef GEN_NODEPOOL_H
#define GEN_NODEPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "cluster.h"

struct fleet {
    const char *name;
    const char *origin; /* "module/file" that defines it */
};

struct fleets {
    const struct fleet *list; /* available in the cluster's region, in the order of definition */
    size_t n;
    const char *const *excluded; /* instance types whose nodes this region excludes */
    size_t nexcluded;
};

/* Workflow pods must not land on the fleet of the runner pods. */
#define FLEET_RESERVED "c7i-runner"

/* The fleets of all node pool modules that the cluster enables. Reports broken definitions and
 * fleets that two files define. Results live in `a`. */
bool nodepool_fleets(struct workspace *ws, struct arena *a, const struct cluster *c,
                     struct fleets *out);

/* Only the excluded instance types, of one folder and region: what zeroes a runner's capacity.
 * A definition that does not parse is skipped with a warning. */
bool nodepool_excluded(struct workspace *ws, struct arena *a, const char *dir, const char *region,
                       struct fleets *out);

bool fleets_have(const struct fleets *f, const char *name);
bool fleets_exclude(const struct fleets *f, const char *instance_type);

/* The part of an instance type before its first dot; lives in `a`. */
const char *instance_family(struct arena *a, const char *instance_type);

#endif
