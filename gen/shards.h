/* shards.h: which of several clusters that advertise the same runners a cluster is.
 *
 * Clusters that deploy the same runner module under the same runner name prefix split one queue. A
 * cluster's index is its place among these peers in the order of their ids. A module and its "-opt"
 * variant count as one. Peers are found by the prefix in the cluster's own arc-runners block.
 */
#ifndef GEN_SHARDS_H
#define GEN_SHARDS_H

#include <stddef.h>

#include "workspace.h"

struct shard {
    size_t index, count; /* 0 of 1 for a cluster that is not among the peers */
};

/* Reports what makes the peers uncertain in other clusters (a module list that is none, ...). */
struct shard shards_find(struct workspace *ws, const char *cluster, const char *module,
                         const char *prefix);

#endif
