/* generate.h: all files of a cluster: its runner modules and, if enabled, the hf-cache module. */
#ifndef GEN_GENERATE_H
#define GEN_GENERATE_H

#include <stdbool.h>

#include "render.h"

struct hfcache;

/* What all clusters of a run share. */
struct generator {
    struct workspace *ws;
    struct renderer *renderer; /* NULL until a cluster needs the runner template */
    struct hfcache *hfcache;   /* NULL until a cluster needs the module's templates */
    const char *image;         /* for all clusters, or NULL: each cluster's arc.runner_image_tag */
    bool image_optional;       /* a missing image is no error: nothing will be deployed */
};

/* `image` from the flag or the environment, or NULL. */
void generator_open(struct generator *g, struct workspace *ws, const char *image);
void generator_close(struct generator *g);

/* Puts the cluster's files into the sink as "CLUSTER/MODULE/NAME.yaml". Returns their number, or -1
 * if the sink failed. Findings go to the workspace. Resets ws->scratch. */
long generate_cluster(struct generator *g, const char *id, const struct sink *sink,
                      struct hfc_error *err);

/* The ids to work on: those given, or all. Reports unknown ones. Ids and array live in ws->arena.
 */
size_t generate_ids(struct workspace *ws, int argc, char **argv, const char *const **ids);

/* Whether an id is one of them. */
bool generate_is_listed(const char *const *ids, size_t n, const char *id);

/* The image for a cluster and where it comes from; NULL (reported, unless optional) if there is
 * none. */
const char *generate_image(struct generator *g, const struct cluster *c, const char **rule);

#endif
