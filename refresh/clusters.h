/* clusters.h: the buckets of clusters, by asking hfcache-gen, which alone reads clusters.yaml.
 *
 * hfcache-gen is $HFCACHE_GEN, or lies beside this program, or is found on PATH. It is called
 * without a shell, and without the Hub's token in its environment. Where clusters.yaml is, it knows
 * itself (CLUSTERS_YAML, OSDC_ROOT, the current folder).
 */
#ifndef REFRESH_CLUSTERS_H
#define REFRESH_CLUSTERS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct cluster_bucket {
    char *id, *region;
    char *url; /* of the bucket */
};

/* Something is odd, but no reason to stop; one line. */
typedef void clusters_warn(void *ctx, const char *text);

/* The clusters that are named, each once, in this order; with `all`, those that list the module
 * hf-cache. One that does not is warned about if it is named. -1: an unknown cluster, none at all,
 * or hfcache-gen can't be asked; then *out is NULL. Waits for hfcache-gen, which takes some
 * milliseconds. */
int clusters_resolve(char *const *ids, size_t n, bool all, struct cluster_bucket **out,
                     size_t *nout, clusters_warn *warn, void *ctx, struct hfc_error *err);
void clusters_free(struct cluster_bucket *list, size_t n);

#endif
