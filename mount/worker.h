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

/* Until the mount is gone, the keeper asks it to drain, or SIGTERM. Returns an exit status. */
int worker_run(const struct settings *settings);

#endif
