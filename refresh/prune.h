/* prune.h: deletes snapshots that no ref of their repository names.
 *
 *   prune_find()    what could go, and what is kept all the same, and why
 *   prune_keep()    takes something out of it
 *   prune_run()     the index without them, then trees, then files
 *
 * What a ref names is never part of a plan. A repository without refs is kept as a whole, as it may
 * be an upload of another tool under way; so is one with a ref that is no commit, as nobody knows
 * what that names.
 */
#ifndef REFRESH_PRUNE_H
#define REFRESH_PRUNE_H

#include "target.h"

struct prune_plan;

struct prune_snapshot {
    char *folder, *commit;
    uint64_t objects, bytes; /* the tree's among them */
    bool has_tree;
    const char *kept; /* why it is not deleted; NULL: it is */
};

/* Looks at one repository, or, with `folder` NULL, at all. `unreferenced`: repositories without
 * refs, too. Always succeeds. */
int prune_find(const struct target *t, const char *folder, bool unreferenced,
               struct prune_plan **out);

/* Every snapshot that no ref names, by folder and commit. */
size_t prune_snapshots(const struct prune_plan *p);
const struct prune_snapshot *prune_snapshot_at(const struct prune_plan *p, size_t i);

/* `why` is a literal. Of a snapshot that is not in the plan nothing needs to be done. */
void prune_keep(struct prune_plan *p, const char *folder, const char *commit, const char *why);

/* Keeps the n newest of each repository; part of the main flow, which asks the store for times. -1:
 * told to stop, or the store could not tell. prune_newest.c. */
int prune_keep_newest(struct target *t, struct prune_plan *p, unsigned long n,
                      struct hfc_error *err);

/* Objects to delete, and their bytes. */
uint64_t prune_count(const struct prune_plan *p);
uint64_t prune_bytes(const struct prune_plan *p);

/* Deletes them; part of the main flow, which waits. `say` hears of each snapshot beforehand; NULL:
 * nobody does. -1: told to stop, the index could not be published (then nothing is deleted), or
 * some objects could not be. */
typedef void prune_say(void *ctx, const char *text);
int prune_run(struct target *t, struct prune_plan *p, prune_say *say, void *ctx,
              struct hfc_error *err);

void prune_free(struct prune_plan *p); /* NULL is fine */

#endif
