/* fault.h: named points at which tests let the worker die or the disk fail.
 *
 * HFCACHE_FAULT="POINT:ACTION:N[,...]": at the N-th passing of POINT, counted over all workers of
 * the mount in shared memory, ACTION is done: kill (SIGKILL), segv, or an error's name (EIO,
 * ENOSPC, EROFS) for points that can fail. N is a number, "N+" (from then on) or "*". Without the
 * variable fault_at() is one load. A thread that works for the tests alone would be worse: these
 * are the very places that break.
 */
#ifndef MOUNT_FAULT_H
#define MOUNT_FAULT_H

#include <stdbool.h>

enum fault_point {
    FAULT_TAKEN,         /* request-taken: read from the kernel, nothing done */
    FAULT_PARKED,        /* request-parked: in both slots */
    FAULT_REPLY,         /* before-reply */
    FAULT_REPLIED,       /* after-reply: answered, its slot not cleared */
    FAULT_FILL,          /* mid-fill: bytes of a block have arrived */
    FAULT_BLOCK,         /* mid-write: data written, record not */
    FAULT_EVICT,         /* mid-evict: record cleared, space not freed */
    FAULT_TAKEOVER,      /* take-over: slots judged, none executed */
    FAULT_DISK_WRITE,    /* disk-write */
    FAULT_DISK_READ,     /* disk-read */
    FAULT_LOOKUP_POISON, /* poison: looking up the name HFCACHE_FAULT_NAME */
    FAULT_POINTS,
};

struct shared;
/* Reads the variable. Without `shared` it counts on its own. */
void fault_setup(struct shared *shared);
/* 0, or the errno to fail with. May not return. */
int fault_at(enum fault_point point);
/* Whether it is the name HFCACHE_FAULT_NAME. */
bool fault_named(const char *name);

#endif
