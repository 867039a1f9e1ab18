/* privileges.h: what keeper and worker may do, given up in two steps.
 *
 * First, before anything from outside is touched: capabilities (libcap-ng) and no_new_privs. Then,
 * when everything is open: the list of system calls (libseccomp). The worker ends up without any
 * capability; the keeper keeps CAP_SYS_ADMIN, CAP_IPC_LOCK (memory that is not swapped), CAP_SETGID
 * (the socket's group), and CAP_SETUID, CAP_KILL for `run`, as far as it has them.
 * A call that is not on the list fails with ENOSYS, so that a C library which tries a newer one
 * first goes on with the older. Sanitized builds keep all system calls.
 */
#ifndef MOUNT_PRIVILEGES_H
#define MOUNT_PRIVILEGES_H

#include <sys/types.h>

#include "error.h"

int privileges_keeper(struct hfc_error *err);        /* first step; keeper_run() does it */
int privileges_keeper_filter(struct hfc_error *err); /* second, likewise */
/* Becomes uid:gid if it is root; a worker started as another user stays that one. Before there are
 * threads: capabilities are a thread's, not a process's. */
int privileges_worker(uid_t uid, gid_t gid, struct hfc_error *err);
int privileges_worker_filter(struct hfc_error *err);

#endif
