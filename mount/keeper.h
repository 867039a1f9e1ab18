/* keeper.h: the privileged half: owns the mount and the descriptor, and outlives workers.
 *
 * One thread, one poll(2) loop, frames of fixed size (link.h), no network, no parsing. Read it in
 * an hour: keeper.c (the loop and who is who), keeper_mount.c (mount, INIT, dead mounts),
 * keeper_handover.c (workers' deaths, keepers' succession), keeper_orphan.c (EIO when nobody
 * serves).
 */
#ifndef MOUNT_KEEPER_H
#define MOUNT_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct keeper_config {
    const char *mountpoint; /* absolute */
    const char *socket;     /* path to listen at */
    const char *source;     /* the mount's source name; must not begin with "hf-mount" */
    uid_t uid;              /* of workers: nobody else may register, but for root */
    gid_t gid;
    unsigned orphan_timeout; /* s without a worker until requests are answered EIO; 0: never */
    uint32_t read_ahead;     /* bytes */
    uint64_t mask;           /* FUSE_* flags never to ask for (tests, old kernels) */
    bool unmount; /* at SIGTERM: unmount; else the mount is left to worker or successor */
    /* `run` only: called when no worker serves or stands by; starts one (keeper does the waiting).
     * Its pid (0: unknown), or -1. The child has handlers of the keeper's (SIGTERM, SIGINT, SIGHUP,
     * SIGCHLD; SIGPIPE is ignored) and its capabilities. NULL: workers come by themselves. */
    int (*spawn)(void *ctx, bool standby, struct hfc_error *err);
    void *ctx;
};

/* The exit status by which the first worker that `run` starts ends it all: it can't serve. */
enum { WORKER_CANT_SERVE = 1 };

/* Gives up its privileges itself (both steps of privileges.h; the second not with `spawn`, as
 * children would inherit it). Mounts, or takes over a mount that is there (from a keeper that
 * listens at `socket`, or from a worker that has lost its keeper and comes within 3 s), clears a
 * dead one, and serves until SIGTERM, LINK_UNMOUNT, a successor, or an unmount from outside
 * (`umount -l`: a plain one finds it busy, keeper and worker hold the root). Returns an exit
 * status; prints through logging.h. */
int keeper_run(const struct keeper_config *config);

/* keeper_mount.c */
/* What lies at the mount point: nothing (or a folder bound there, a place made ready), a live or
 * dead mount of ours (found in /proc/self/mountinfo, never by touching it), or something else. */
enum mount_found { MOUNT_NONE, MOUNT_OURS, MOUNT_FOREIGN };
int mount_look(const char *mountpoint, enum mount_found *found, uint64_t *device,
               struct hfc_error *err);
/* Aborts the connection of a dead mount (/sys/fs/fuse/connections) and detaches it, and all that
 * lie on top of each other there. Never blocks on it. */
int mount_clear(const char *mountpoint, struct hfc_error *err);
/* A fresh mount: the descriptor of /dev/fuse, the mount's root (O_PATH) and a filled `shared`. */
struct shared;
int mount_make(const struct keeper_config *config, struct shared *shared, int *dev, int *root,
               struct hfc_error *err);
int mount_remove(const char *mountpoint, struct hfc_error *err);

#endif
