/* hfcache_settings.h: a cluster's hf_cache settings, checked, as texts for the module's templates.
 */
#ifndef GEN_HFCACHE_SETTINGS_H
#define GEN_HFCACHE_SETTINGS_H

#include <stdbool.h>

#include "cluster.h"
#include "template.h"

/* Placeholders of templates/hf-cache, in the order of hfcache_names. */
enum hfcache_value {
    HV_CLUSTER_ID,
    HV_CLUSTER_NAME,
    HV_REGION,
    HV_BUCKET,
    HV_NAMESPACE,
    HV_MOUNT_IMAGE,
    HV_REFRESH_IMAGE,
    HV_CACHE_SIZE,
    HV_MEMORY,
    HV_KEEPER_MEMORY,
    HV_READ_TIMEOUT,
    HV_REFRESH_INTERVAL,
    HV_REFRESH_SCHEDULE,
    HV_MOUNT_ROLE_ANNOTATION,
    HV_REFRESH_ROLE_ANNOTATION,
    HV_MODELS_TXT,
    HFCACHE_VALUES
};

extern const char *const hfcache_names[HFCACHE_VALUES + 1]; /* ended by NULL */

/* Fills all values but HV_MODELS_TXT; they live in ws->scratch. False if a setting is unusable
 * (reported). Keys that have lost their meaning are warned of. */
bool hfcache_settings(struct workspace *ws, const struct cluster *c, struct text *values);

#endif
