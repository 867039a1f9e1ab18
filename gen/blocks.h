/* blocks.h: how this program's templates use the template engine: which tag belongs to which
 * module, and what is said about a template's text. */
#ifndef GEN_BLOCKS_H
#define GEN_BLOCKS_H

#include <stdbool.h>

#include "buf.h"
#include "cluster.h"
#include "template.h"

/* Tags of conditional blocks, in the order in which they are processed. Runner templates know only
 * the first ones; a marker of any other tag is ordinary text there. */
enum { RUNNER_TAGS = 2, BLOCK_TAGS = 3 };

/* keep[i], of BLOCK_TAGS: whether the cluster keeps the blocks of tag i, that is, has its module.
 */
void blocks_keep(const struct cluster *c, bool *keep);

/* The name of tag i. */
const char *blocks_tag(size_t i);

/* Reads and compiles a template for the first `ntags` tags and the given names; NULL if it cannot
 * be read or rendered. Everything odd in it is reported. The names are kept by reference. */
const struct template *blocks_compile(struct workspace *ws, const char *path, size_t ntags,
                                      const char *const *names);

/* Reports a placeholder that is still there after rendering: at its place in the template, or at
 * `origin` if a value brought it in. */
void blocks_check_leftover(struct workspace *ws, const struct template *t, const bool *keep,
                           const struct hfc_buf *rendered, struct srcpos origin);

#endif
