/* runner.h: one runner definition resolved for one cluster: every value its files are made of.
 *
 * A field keeps its text, the node that decided it and the rule by which it did, so that the same
 * resolution serves rendering, diagnostics and `explain`.
 */
#ifndef GEN_RUNNER_H
#define GEN_RUNNER_H

#include <stdbool.h>

#include "cluster.h"
#include "nodepool.h"
#include "shards.h"
#include "template.h"

enum field {
    F_URL,
    F_SECRET,
    F_PREFIX,
    F_NAME,
    F_INSTANCE_TYPE,
    F_FLEET,
    F_VCPU,
    F_MEMORY,
    F_MEMORY_BYTES,
    F_DISK,
    F_GPU,  /* `present`: there is a GPU */
    F_IMEX, /* `present`: set at all */
    F_MODULE,
    F_IMAGE,
    F_BUCKET,
    F_REGION,
    F_GROUP,
    F_CLASS, /* `present`: not empty */
    F_MAX,   /* `present`: there is a maximum */
    F_PROACTIVE,
    F_BURST,
    F_HUD,
    F_SCHEDULER, /* `present`: not empty */
    F_SHARD_INDEX,
    F_SHARD_COUNT,
    F_AGE,
    F_MULTIPLIER,
    F_OFFLINE,
    FIELDS
};

struct field_value {
    struct text text;
    bool present;
    const struct ynode *from; /* what decided it; NULL: a default, the environment, computed */
    const char *rule;         /* why, for `explain` */
};

struct runner {
    const struct input *def;
    const struct ynode *node; /* the `runner` mapping */
    const struct ynode *name; /* its name: non-empty text that is usable as a file name */
    struct field_value f[FIELDS];
};

/* What all runners of one cluster and module have in common. */
struct runner_context {
    struct workspace *ws;
    struct arena *arena; /* where a runner's values live */
    const struct cluster *cluster;
    const struct runner_settings *settings;
    const char *module;
    const char *image;              /* may be empty */
    const char *image_rule;         /* where it comes from */
    const struct fleets *zeroed;    /* excluded instance types, for the capacity rule */
    const struct ynode *multiplier; /* of the cluster's block named like the module, or NULL */
    struct shard shard;
};

/* Resolves and checks a definition. False if it cannot be used; everything wrong with it has been
 * reported. */
bool runner_resolve(const struct runner_context *ctx, const struct input *def, struct runner *out);

/* Just the checks of `node_fleet` and the fleet that follows from it; NULL if unusable (reported)
 * or if name or instance type are missing (not reported). */
const char *runner_fleet(struct workspace *ws, struct arena *a, const struct ynode *node);

/* The `runner` mapping of a definition, NULL if there is none. */
const struct ynode *runner_node(const struct input *def);

#endif
