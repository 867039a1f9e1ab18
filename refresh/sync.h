/* sync.h: brings buckets up to date with a list of models. */
#ifndef REFRESH_SYNC_H
#define REFRESH_SYNC_H

#include "snapshot.h"

struct sync_options {
    const struct models *models;
    int64_t lock_wait_ms;
};

/* Opens the run's targets, brings and publishes each model, reports everything, closes the targets.
 * run->transfers is made here. False: interrupted, or nothing could be done, and the report has
 * been told why. */
bool sync_run(struct run *run, const struct sync_options *options);

#endif
