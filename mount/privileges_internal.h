/* privileges_internal.h: how a list of system calls comes into force; privileges.c offers it. */
#ifndef MOUNT_PRIVILEGES_INTERNAL_H
#define MOUNT_PRIVILEGES_INTERNAL_H

#include <stdint.h>

#include <seccomp.h>

#include "error.h"

/* A call that is allowed if (argument `arg` & `mask`) == `value`. */
struct allowed_if {
    int call;
    unsigned arg;
    uint64_t mask, value;
};

/* Everything else fails with ENOSYS, in all threads, for good. */
int privileges_load(const int *calls, unsigned n, const struct allowed_if *ifs, unsigned n_ifs,
                    struct hfc_error *err);

#endif
