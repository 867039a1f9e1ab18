/* bucket_tree.h: trees/COMMIT.json as it lies in a bucket: which files its snapshot has.
 *
 * The writer's side is tree_body.h.
 */
#ifndef REFRESH_BUCKET_TREE_H
#define REFRESH_BUCKET_TREE_H

#include <jansson.h>

#include "inspect.h"

struct bucket_tree {
    json_t *files; /* NULL: nothing was read */
    uint64_t size; /* of the object */
    uint8_t sha256[HFC_SHA256_SIZE];
};

/* Reads the object whole, at most in->tree_max bytes of it, and checks it. -1: EFBIG, EBADMSG: its
 * content is none (size and sha256 are set for EBADMSG); ECANCELED: told to stop; or the store's
 * error. */
int bucket_tree_read(struct inspection *in, const char *key, struct bucket_tree *tree,
                     struct hfc_error *err);
void bucket_tree_free(struct bucket_tree *tree);

/* What it says of one file. False: it does not name it. */
bool bucket_tree_find(const struct bucket_tree *tree, const char *path, struct content_id *id,
                      bool *has_hash);

/* Steps through the paths: *at is NULL at first. NULL: the end. */
const char *bucket_tree_next(const struct bucket_tree *tree, void **at);

/* How many files it names that the index has not, or not with this size. `prefix` is
 * "hub/FOLDER/snapshots/COMMIT/". */
size_t bucket_tree_missing(const struct bucket_tree *tree, const struct hfc_index *x,
                           const char *prefix);

#endif
