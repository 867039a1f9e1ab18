/* preflight.h: what `run` looks at before it mounts: everything that would stop the worker anyway,
 * found out while there is still somebody at the terminal to read it.
 *
 * Threads: before there are any.
 */
#ifndef MOUNT_PREFLIGHT_H
#define MOUNT_PREFLIGHT_H

#include "settings.h"

/* Makes the cache's directory if need be and gives it to the worker's user; makes its path
 * absolute. Refused: one that has something else in it, or is below the mount point. */
int preflight_cache(struct settings *s, struct hfc_error *err);

/* As the worker's user, in a process of its own, so that nothing of the network's libraries gets
 * into the keeper: the store's URL, AWS's settings, a directory as a store, the cache, memory. */
int preflight_worker(const struct settings *s, struct hfc_error *err);
/* What that process does; it becomes the worker's user. For tests. */
int preflight_look(const struct settings *s, struct hfc_error *err);

/* What a mount is called in the list of mounts: "hfcache:" and the socket of its keeper. Free it.
 */
char *preflight_source(const struct settings *s);
/* Refused: somebody else's keeper, at another socket, has a mount there. To take over from it, or
 * to clear what it left, nothing stands in the way. Reads `list`, /proc/self/mountinfo outside
 * tests; the mount is not touched. */
int preflight_others(const struct settings *s, const char *list, struct hfc_error *err);

/* A root's home that its worker can't enter is not asked for AWS's settings, or every start from
 * root's shell would fail; says so if there are any. Before either of the two processes is made. */
void preflight_home(const struct settings *s);

#endif
