/* hfcache.h: the manifests of the hf-cache module: templates/hf-cache/NAME.yaml.tpl becomes
 * NAME.yaml, with the cluster's hf_cache settings put in. */
#ifndef GEN_HFCACHE_H
#define GEN_HFCACHE_H

#include "render.h"

struct hfcache;

/* Compiles the module's templates and reads models.txt; what is wrong with them is reported. */
struct hfcache *hfcache_new(struct workspace *ws);
void hfcache_free(struct hfcache *h); /* NULL is fine */

/* Renders all manifests of a cluster that has the module, as "CLUSTER/hf-cache/NAME.yaml". Returns
 * their number, or -1 if the sink failed. */
long hfcache_render(struct hfcache *h, const struct cluster *c, const struct sink *sink,
                    struct hfc_error *err);

#endif
