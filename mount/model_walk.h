/* model_walk.h: the files of a model, one after the other, without holding a tree.
 *
 * Between two steps of a walk the tree may be replaced: only the path of the last file is kept, and
 * the walk goes on at the first one behind it. So a walk of hours costs a path.
 *
 * Threads: no state.
 */
#ifndef MOUNT_MODEL_WALK_H
#define MOUNT_MODEL_WALK_H

#include "nametree.h"

enum { MODEL_FOLDER_MAX = 512 };

/* "org/name" lies in "hub/models--org--name", "datasets/org/name" in "hub/datasets--org--name". -1:
 * it is no name of a repository. */
int walk_folder(const char *model, char to[MODEL_FOLDER_MAX], struct hfc_error *err);

/* The first file of the folder whose path, relative to the folder, comes after `path` ("": the
 * first of all); `path` becomes its own. Files without content in the store (refs) are passed over.
 * False: there is none, and `path` stays. */
bool model_next(const struct nametree *t, const char *folder, char path[HFC_KEY_MAX + 1],
                struct node *n);

#endif
