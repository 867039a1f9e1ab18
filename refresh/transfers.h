/* transfers.h: brings files from the Hub into the buckets, many at once, within the budget.
 *
 * A file is fetched once, whatever number of buckets needs it, and goes from the answer of the Hub
 * into the requests to the buckets: no disk, and no more memory than the budget's blocks. Its bytes
 * are hashed on the way. Small files travel whole; larger ones in blocks, which become the parts of
 * an upload; of files with more blocks than an upload may have parts, several blocks make one part.
 *
 *   queue -> prepare (copy | create upload | find finished parts) -> fetch and send -> verify ->
 * complete
 *
 * Nothing is visible in a bucket before the hash of the whole file was compared. Everything happens
 * in callbacks of the loop; results go into the snapshot (snapshot_file_ended()).
 */
#ifndef REFRESH_TRANSFERS_H
#define REFRESH_TRANSFERS_H

#include "snapshot.h"

struct transfers *transfers_new(struct run *run, struct hfc_error *err);
/* Nothing may be under way. */
void transfers_free(struct transfers *t);

/* Brings the file to each target in wanted->missing. Both must stay until the file has ended. */
void transfers_add(struct transfers *t, struct snapshot *s, struct wanted *w);

/* Forgets what has not begun, cancels what has; everything still ends by itself. A stop of the loop
 * has the same effect. */
void transfers_stop(struct transfers *t);

/* True while nothing is under way; for hfc_loop_run(). */
const bool *transfers_idle(const struct transfers *t);

/* Becomes true when a file ends; the main flow sets it to false before it waits. */
bool *transfers_news(struct transfers *t);

#endif
