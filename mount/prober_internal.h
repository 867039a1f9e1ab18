/* prober_internal.h: the inside of the prober's process, for prober.c and its test. */
#ifndef MOUNT_PROBER_INTERNAL_H
#define MOUNT_PROBER_INTERNAL_H

#include <stdatomic.h>
#include <stdint.h>

#include "error.h"

/* Shared by the process and the worker. */
struct prober_board {
    _Atomic uint64_t worked; /* clock_ns() of the last read that worked; 0: none yet */
};

/* Takes the root from the socket `from`, then reads through it until the socket ends. */
void prober_serve(struct prober_board *board, int from);
int prober_send_root(int to, int root, struct hfc_error *err);

#endif
