/* worker.h: the unprivileged half, put together: `serve`.
 *
 * Registers with the keeper and stands by: nothing is loaded yet, so that a standby costs little.
 * Activated, it opens cache and tree, starts engine and session, and only then talks to the store.
 * Everything that waits for network or timers runs on one loop, on the main thread.
 *
 * Owners: the loop's thread owns store, catalog, control, the link to the keeper. The session owns
 * its threads, the engine its I/O threads, the listener its thread. Locks and their order:
 * engine's, cache's, catalog's (the pointer); logging's last.
 */
#ifndef MOUNT_WORKER_H
#define MOUNT_WORKER_H

#include "settings.h"

/* The exit status of one that served and could not go on. */
enum { WORKER_BROKE = 3 };

/* Until the mount is gone, the keeper asks it to drain, or SIGTERM. Returns an exit status: 0,
 * WORKER_BROKE, or WORKER_CANT_SERVE (keeper.h), by which a mount's first worker ends `run`. */
int worker_run(const struct settings *settings);

#endif
