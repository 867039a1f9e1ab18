/* keeper_internal.h: what the four files of the keeper share; see keeper.h.
 *
 * Tables are of fixed size and live in one struct. A worker is a process that has registered: it is
 * known by its pidfd, whose becoming readable, and nothing else, is its end. A peer is a
 * connection; a worker may be without one for a while (`peer` NULL).
 *
 * Threads: one.
 */
#ifndef MOUNT_KEEPER_INTERNAL_H
#define MOUNT_KEEPER_INTERNAL_H

#include "keeper.h"
#include "link.h"
#include "shared.h"

enum {
    PEERS_MAX = 16,
    STANDBYS_MAX = 4,
    WORKERS_MAX = STANDBYS_MAX + 2, /* and the serving one, and one that is to replace it */
    TICK_MS = 1000,
    ADOPT_MS = 3000,
    ANSWER_MS = 5000,   /* of the other keeper at a succession */
    HANDING_MS = 10000, /* longer: the old keeper must not give up before the new one has */
    DRAIN_MS = 10000,
    STOP_MS = 5000,
    YOUNG_MS = 10000, /* a worker that ends sooner is started again with a growing delay */
    DELAY_MIN_MS = 10,
    DELAY_MAX_MS = 5000,
};

enum worker_state { WORKER_NONE, WORKER_STANDBY, WORKER_TAKING, WORKER_SERVING };

struct peer {
    int fd; /* -1: free */
    pid_t pid;
    uid_t uid;
    uint64_t since;
    struct worker *worker; /* NULL: a client, a keeper, or not known yet */
};

struct worker {
    enum worker_state state;
    int pidfd;
    pid_t pid;
    struct peer *peer;
    uint64_t arena;      /* bytes that it wants */
    uint64_t since;      /* registered, ms */
    uint64_t order;      /* the next to serve is the one with the lowest */
    bool replaces;       /* the serving one is to be drained for it */
    uint64_t drained_at; /* it was asked to, ms; 0: not */
    bool late;           /* and that it takes long has been said */
};

struct keeper {
    const struct keeper_config *config;
    int listener, wake, mounts, dev, memfd, root, arena; /* -1: none */
    struct shared *shared;
    uint64_t device; /* st_dev of the mount */
    size_t arena_size;
    void *arena_locked; /* mapped only to be locked */
    struct peer peers[PEERS_MAX];
    struct worker workers[WORKERS_MAX];
    uint64_t registered, deaths;
    struct peer *successor; /* it has been given everything, and has not confirmed yet */
    uint64_t handed_at, adopt_until;
    enum keeper_state state;
    uint64_t state_since;
    uint64_t without_since; /* no worker has been seen to serve since */
    bool orphaned;
    bool spawning; /* one was started and has neither registered nor died */
    pid_t spawned;
    pid_t first; /* the worker that was the first of the mount */
    uint64_t spawn_at, spawn_delay;
    bool confined; /* the list of system calls is in force */
    bool stopping, unmount;
    uint64_t stop_until;
    bool done;
    int status;
};

uint64_t keeper_now(void); /* ms */

/* keeper.c */
void keeper_hang_up(struct keeper *k, struct peer *p);
void keeper_stop(struct keeper *k, bool unmount);
void keeper_end(struct keeper *k, int status);
void keeper_describe(struct keeper *k, struct link_state *s);

/* keeper_mount.c */
/* st_dev of what a descriptor lies on, without a request to whoever serves it; 0: unknown. */
uint64_t mount_device(int fd);
/* A number from /proc/self/fdinfo: of a pidfd "Pid:"; -1: it isn't there. */
long mount_fdinfo(int fd, const char *key);
bool mount_broken(int dev);        /* unmounted and out of use, or aborted */
bool mount_there(uint64_t device); /* still mounted anywhere, be it below others */
/* Answers the kernel's INIT, and keeps both. */
int mount_handshake(int dev, const struct keeper_config *config, struct shared *shared,
                    struct hfc_error *err);

/* keeper_handover.c: actions on frames answer whether the peer may stay. Descriptors that an action
 * keeps become -1 in `fds`. */
typedef bool link_action(struct keeper *k, struct peer *p, struct link_frame *f, int *fds);
link_action keeper_hello, keeper_adopt, keeper_serving, keeper_backing, keeper_unback,
    keeper_succeed, keeper_confirmed;
struct worker *keeper_active(struct keeper *k); /* the one that has been activated; NULL */
unsigned keeper_standbys(const struct keeper *k);
void keeper_worker_ended(struct keeper *k, struct worker *w);
void keeper_child_ended(struct keeper *k, pid_t pid);
void keeper_wait_longer(struct keeper *k, bool young);
void keeper_forget(struct keeper *k, struct worker *w);
void keeper_choose(struct keeper *k); /* who serves: called after each event */
int keeper_shared_make(struct keeper *k, struct hfc_error *err);
/* Takes over from the keeper at the other end of `fd`. */
int keeper_take_over(struct keeper *k, int fd, struct hfc_error *err);

/* keeper_orphan.c */
void keeper_orphan_begin(struct keeper *k);
void keeper_orphan_answer(struct keeper *k);

#endif
