/* gather.h: start several operations, wait until all have ended.
 *
 * The run's main flow is straight: it starts what can go on side by side and waits, and while it
 * waits the loop also moves transfers that were started before. Only the main flow waits; what is
 * called back from the loop never does.
 */
#ifndef REFRESH_GATHER_H
#define REFRESH_GATHER_H

#include <assert.h>
#include <errno.h>

#include "loop.h"

struct target;

struct gather {
    unsigned pending;
    bool idle;
};

#define GATHER                                                                                     \
    (struct gather)                                                                                \
    {                                                                                              \
        .idle = true                                                                               \
    }

static inline void gather_begin(struct gather *g)
{
    g->pending++;
    g->idle = false;
}

static inline void gather_end(struct gather *g)
{
    assert(g->pending > 0);
    g->idle = --g->pending == 0;
}

/* An operation of several, and the bucket that it is for. */
struct gather_target {
    struct gather *gather;
    struct target *target;
};

/* -1: the loop broke, or was told to stop (ECANCELED). Then, too, all of them have ended: stopping
 * cancels what is under way. */
static inline int gather_wait(struct hfc_loop *loop, struct gather *g, struct hfc_error *err)
{
    if (hfc_loop_run(loop, &g->idle, err) < 0)
        return -1;
    return hfc_loop_stopped(loop) ? hfc_error_set(err, ECANCELED, "stopped") : 0;
}

#endif
