/* tree_body.h: the text of trees/COMMIT.json, made while it is sent.
 *
 * It lists the files of the commit that the bucket has, as huggingface_hub reads it: with it, a
 * client that is offline can tell a complete snapshot from a partial one.
 */
#ifndef REFRESH_TREE_BODY_H
#define REFRESH_TREE_BODY_H

#include "snapshot.h"

struct tree_body;

/* Looks at the target's index now: what is stored later is not in it. */
struct tree_body *tree_body_new(const struct snapshot *s, const struct target *t);
struct hfc_body tree_body_source(struct tree_body *b); /* sha256 is set */
/* Whether the bucket has every file that is wanted. */
bool tree_body_is_whole(const struct tree_body *b);
void tree_body_free(struct tree_body *b);

#endif
