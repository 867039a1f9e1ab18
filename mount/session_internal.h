/* session_internal.h: what session*.c share; see session.h.
 *
 * session.c threads and the end; session_request.c one request, from its check to its answer;
 * session_libfuse.c libfuse's side: INIT, and how answers leave; session_read.c reads, and those
 * that are parked; session_redo.c what a predecessor left.
 *
 * A request is executed from the slot it lies in. It ends answered, parked, or deferred: a read
 * that has to wait while no parked slot is free stays in its intake slot, and is executed again
 * from the begin when there is room. Who waits for room holds nothing but his intake slot, so a
 * stop or a death at that moment loses nothing, and nobody is suspected for it.
 *
 * All threads may wait for room at once, and then nobody takes requests of any kind. That is
 * bearable: the kernel hands them out in order, so what comes after the PARKED_SLOTS + 1st waiting
 * read would soon wait behind another one, were a thread kept free for it. And it ends: the
 * engine's threads and the loop never wait here, and each read that they answer, at the latest when
 * its time is up, lets one thread go on.
 *
 * Locks: `lock` guards the waiters and the free list. It is not held while anything is executed,
 * answered, or asked of the engine.
 */
#ifndef MOUNT_SESSION_INTERNAL_H
#define MOUNT_SESSION_INTERNAL_H

#include <pthread.h>

#include "fs.h"
#include "session.h"

enum waiter_state {
    WAITER_FREE,
    WAITER_HELD,      /* taken, or left by the predecessor: the engine does not know it */
    WAITER_WAITING,   /* the engine will call parked_done() */
    WAITER_ANSWERING, /* it does so */
    WAITER_ABANDONED, /* it will not any more; the slot is the successor's */
};

/* Of a parked slot, the part that need not outlive the process. */
struct waiter {
    struct read read;
    fuse_req_t req;
    struct session *session;
    struct parked *slot;
    enum waiter_state state;
    unsigned pins; /* the thread that executes it, the engine: the last one frees the slot */
};

/* A request that a thread is at work on. */
struct request {
    struct fuse_in_header *in; /* in its slot */
    size_t size;               /* bytes there */
    struct slot_state *state;
    struct waiter *waiter; /* it lies in this parked slot; NULL: in an intake slot */
    bool deferred;
};

struct taker {
    struct session *session;
    unsigned index;
    pthread_t thread;
};

struct session {
    struct session_config config;
    struct fuse_session *libfuse;
    struct fuse_init_out init; /* what libfuse would have answered */
    int init_error;            /* or with which error */
    int stop;                  /* eventfd: readable once and for all */
    struct taker takers[INTAKE_SLOTS];
    unsigned started;
    _Atomic bool stopping, ended;
    _Atomic uint64_t died_at; /* until the first answer */
    _Atomic unsigned redo;    /* parked slots that some thread has looked at */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* a slot is free, or stopping */
    struct waiter *waiters; /* PARKED_SLOTS */
    struct waiter *free[PARKED_SLOTS];
    unsigned n_free;
};

static inline void slot_set(struct fuse_in_header *in, uint32_t len)
{
    __atomic_store_n(&in->len, len, __ATOMIC_RELEASE);
}

static inline uint32_t slot_len(const struct fuse_in_header *in)
{
    return __atomic_load_n(&in->len, __ATOMIC_ACQUIRE);
}

static inline struct fuse_in_header *intake_header(struct session *s, unsigned i)
{
    void *bytes = s->config.shared->intake[i].bytes;
    return bytes;
}

/* session_request.c */
/* False: deferred; it is still in its slot. Else its slot is to be cleared, unless it is parked. */
bool request_execute(struct session *s, struct request *q);
struct request *request_current(void); /* the calling thread's; NULL */

/* session_libfuse.c */
int libfuse_open(struct session *s, struct hfc_error *err);
/* An answer without content; errnum 0: success. */
void answer_plain(struct session *s, uint64_t unique, int errnum);

/* session_read.c */
void waiters_open(struct session *s);
void waiter_unpin(struct waiter *w); /* the last one clears the slot */
/* Until a parked slot is free. False: no, the session is stopping. */
bool waiters_room(struct session *s);
void waiters_drain(struct session *s, int ms);

/* session_redo.c */
void redo_suspects(struct session *s);
/* On each thread: its own intake slots, and its share of the parked ones. */
void redo_rest(struct taker *t);

#endif
