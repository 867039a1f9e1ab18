/* prober.h: reads a file through the mount, from a process of its own.
 *
 * Not from a thread: a thread of the worker that waits for an answer of the worker can't be reaped
 * when the worker is killed, and its successor is only let in when all its threads are gone. The
 * process is forked before there are threads, reads FS_HIDDEN/FS_ALIVE below the mount's root (a
 * descriptor, so it works in any mount namespace) each PROBE_INTERVAL_MS, notes when that last
 * worked in memory shared with the worker, and ends with the worker.
 */
#ifndef MOUNT_PROBER_H
#define MOUNT_PROBER_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

enum { PROBE_INTERVAL_MS = 1000, PROBE_DEADLINE_MS = 5000 };

struct prober;
/* Forked at once, idle until prober_begin() sends it the mount's root, of which it keeps a copy. */
struct prober *prober_start(struct hfc_error *err);
int prober_begin(struct prober *p, int root, struct hfc_error *err);
/* Whether a read through the mount has worked within PROBE_DEADLINE_MS; any thread. */
bool prober_ready(const struct prober *p);
/* Milliseconds since the last one that worked; -1: none yet. */
int64_t prober_age_ms(const struct prober *p);
/* To be called now and then, by the thread that has started it: if the process was killed, another
 * one takes its place. */
void prober_tend(struct prober *p);
void prober_stop(struct prober *p); /* NULL is fine */

#endif
