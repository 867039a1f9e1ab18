/* link.h: messages of fixed size between keeper, workers, other keepers and `status`.
 *
 * A unix socket of type SEQPACKET: a frame is one packet, with descriptors beside it. The keeper
 * listens at a path; who connects says first what he is. Everything is checked on arrival: magic,
 * version, size, the number of descriptors that the kind asks for; a peer that sends anything else
 * is hung up on.
 *
 *   from    kind            descriptors
 *   worker  LINK_HELLO      pidfd       who it is; flags; `bytes`: the arena it wants, whole pages
 *   keeper  LINK_ACTIVATE   dev memfd arena root   serve now; `number`: generation
 *   worker  LINK_SERVING    -           requests are being taken; the arena is populated
 *   keeper  LINK_DRAIN      -           stop taking requests, answer what you can, exit
 *   worker  LINK_BACKING    file        register for passthrough; `number`: the caller's tag
 *   keeper  LINK_BACKED     -           `number` the same; `value`: id, or -errno
 *   worker  LINK_UNBACK     -           `number`: an id to forget
 *   worker  LINK_ADOPT      pidfd dev memfd arena root   "I serve, this is it": after a lost link
 *   keeper  LINK_ADOPTED    -           go on; also the answer to LINK_UNMOUNT
 *   new     LINK_SUCCEED    -           "hand everything over"
 *   old     LINK_HANDED     dev memfd root [arena [pidfd]]   `state`; `bytes`: ms without a worker
 *   new     LINK_ADOPTED    -           "I have it all": until then the old one is the keeper
 *   old     LINK_ADOPTED    -           from here on the new one is; the old one ends
 *   client  LINK_STATUS     -           answered by LINK_STATE
 *   keeper  LINK_STATE      -           `state`
 *   client  LINK_CONTROL    -           "connect me with the worker"
 *   keeper  LINK_CONNECTED  [stream]    to client and worker, one end each, blocking; control.h.
 *                                       No descriptor: no worker, `value` is -errno
 *   client  LINK_UNMOUNT    -           unmount and end, with all workers
 *
 * LINK_SUCCEED and LINK_UNMOUNT are for root or the keeper's user only. A frame that is refused
 * (too many standbys, a pidfd that is not the peer's ...) is answered by hanging up.
 *
 * Threads: a link belongs to one thread.
 */
#ifndef MOUNT_LINK_H
#define MOUNT_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

enum { LINK_FDS_MAX = 5, LINK_TEXT_MAX = 64 };

enum link_kind {
    LINK_HELLO = 1,
    LINK_ACTIVATE,
    LINK_SERVING,
    LINK_DRAIN,
    LINK_BACKING,
    LINK_BACKED,
    LINK_UNBACK,
    LINK_ADOPT,
    LINK_ADOPTED,
    LINK_SUCCEED,
    LINK_HANDED,
    LINK_STATUS,
    LINK_STATE,
    LINK_CONTROL,
    LINK_CONNECTED,
    LINK_UNMOUNT,
    LINK_KINDS,
};

enum { LINK_STANDBY = 1 /* HELLO: wait for the serving worker's end; else it is asked to drain */ };

enum keeper_state { KEEPER_SERVING, KEEPER_WAITING, KEEPER_TAKEOVER, KEEPER_ORPHANED };

struct link_state {                 /* LINK_STATE */
    int32_t keeper_pid, worker_pid; /* worker 0: none serves */
    uint32_t state;                 /* enum keeper_state */
    uint32_t standbys;
    uint64_t generation, since_ms; /* since_ms: how long it has been in this state */
    uint64_t redone, poisoned, orphaned, deaths;
    char version[LINK_TEXT_MAX]; /* the keeper's */
    char mountpoint[256];        /* cut if longer */
};

struct link_frame {
    uint32_t magic;
    uint16_t version, kind;
    uint32_t flags;
    int32_t pid;
    uint64_t number, bytes;
    int64_t value;
    char text[LINK_TEXT_MAX]; /* HELLO: the worker's version */
    struct link_state state;
};

/* A listening socket at `path`, mode 0600 (0660 with the group `gid`, unless that is -1), put there
 * by rename, so that a path that another keeper listens on is taken over at once. */
int link_listen(const char *path, gid_t gid, struct hfc_error *err);

/* ENOENT, ECONNREFUSED: nobody is there. */
int link_connect(const char *path, struct hfc_error *err);

/* Who is at the other end (SO_PEERCRED). */
int link_peer(int fd, pid_t *pid, uid_t *uid, struct hfc_error *err);

/* Fills magic, version and kind, and sends. Never raises SIGPIPE. EAGAIN if the peer does not read
 * (descriptors are non-blocking). */
int link_send(int fd, enum link_kind kind, struct link_frame *frame, const int *fds, unsigned n_fds,
              struct hfc_error *err);

/* One frame. Returns 1; 0 at the peer's end; -1 with errnum EAGAIN (nothing there yet), EPROTO (it
 * is no frame of ours, or has the wrong number of descriptors) or another. `fds` has room for
 * LINK_FDS_MAX, the rest becomes -1; they are the caller's, close-on-exec. */
int link_receive(int fd, struct link_frame *frame, int *fds, struct hfc_error *err);

/* The same, waiting for at most `ms`. ETIMEDOUT. */
int link_wait(int fd, struct link_frame *frame, int *fds, int ms, struct hfc_error *err);

/* The only keeper's socket below the run-time folder (/run/hfcache/, or HFCACHE_RUNTIME_DIR), for
 * `status` and the like. The message tells the choices if there is none, or more than one. */
int link_find(char *path, size_t size, struct hfc_error *err);

/* Where a keeper of this mount point listens unless it is told. -1: ENAMETOOLONG. */
int link_default_path(const char *mountpoint, char *path, size_t size, struct hfc_error *err);

#endif
