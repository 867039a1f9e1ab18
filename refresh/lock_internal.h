/* lock_internal.h: what the files of the lock share. For lock*.c and their tests only.
 *
 *   lock.c           life, requests, renewal, release
 *   lock_acquire.c   getting it, from whoever had it before
 *   lock_holder.c    what stands in the object
 */
#ifndef REFRESH_LOCK_INTERNAL_H
#define REFRESH_LOCK_INTERNAL_H

#include "buf.h"
#include "lock.h"

enum { LOCK_BYTES_MAX = 4096, LOCK_TOKEN_SIZE = 33, LOCK_PROCESS_SIZE = 160 };

/* Times, in milliseconds; lock_new() takes those of lock.h. */
struct lock_times {
    int64_t expires, renew, poll;
    int64_t settle;       /* between a put without condition and the look who was last */
    int64_t grace;        /* how far clocks may differ */
    int64_t (*now)(void); /* seconds since 1970 */
};

struct lock *lock_new_with(struct hfc_loop *loop, struct hfc_store *store,
                           const struct lock_times *times);

/* lock_holder.c: what stands in the object. */
struct lock_holder {
    char owner[128];                 /* "HOST pid N": for people */
    char process[LOCK_PROCESS_SIZE]; /* "BOOT/PID NAMESPACE/PID/START TIME" */
    char token[LOCK_TOKEN_SIZE];     /* of this lock alone */
    int64_t since, expires;          /* seconds since 1970 */
};

/* This process, with a fresh token. */
void lock_holder_self(struct lock_holder *h);
void lock_holder_write(const struct lock_holder *h, struct hfc_buf *out);
/* False: that is no lock. */
bool lock_holder_read(const char *text, size_t n, struct lock_holder *h);

/* Whether the process was started on this boot of this machine, in this PID namespace, and is gone.
 * Of all others nothing is known. */
bool lock_process_gone(const char *process);

enum lock_state { LOCK_FREE, LOCK_ACQUIRING, LOCK_HELD, LOCK_RELEASING, LOCK_LOST };

struct lock {
    struct hfc_loop *loop;
    struct hfc_store *store;
    struct lock_times times;
    enum lock_state state;
    bool plain; /* the server knows no conditions */

    struct lock_holder self, found;
    bool readable;               /* `found` is a lock */
    int64_t modified;            /* of the object that was looked at, by the server's clock */
    char etag[HFC_ETAG_MAX];     /* of the object as last seen */
    int64_t put_at, valid_until; /* hfc_now_ms() */

    int64_t deadline; /* of acquiring */
    unsigned quick;   /* tries without a wait */
    bool said;
    bool unsure;            /* a put failed, and may have been done all the same: by `cause` */
    bool put_open;          /* how the latest put of an acquisition ended is not known */
    struct hfc_error cause; /* of the latest failure that may pass */

    struct hfc_store_op *op;
    struct hfc_stop_hook hook;
    struct hfc_timer timer;  /* the next step */
    struct hfc_timer expiry; /* the lock is no longer ours */
    struct hfc_buf in, out;
    struct hfc_memory_body body;

    lock_say *say;
    lock_done *done, *lost, *released;
    void *ctx, *released_ctx;
};

/* Requests. The put is without condition on a server that knows none. */
void lock_start_put(struct lock *l, enum hfc_condition condition, hfc_store_done *done);
void lock_start_get(struct lock *l, hfc_store_done *done);
void lock_note_found(struct lock *l, const struct hfc_store_reply *reply);
bool lock_is_ours(const struct lock *l);
/* The rest of the time that the last put of ours gives us. */
int64_t lock_time_left(const struct lock *l);

/* For the next renewal and the end of the lock. */
void lock_set_timers(struct lock *l);

/* An acquisition that waits ends: hook of the loop. */
void lock_stop_waiting(void *ctx);
/* Goes on with a release that had to wait for the operation under way. */
void lock_release_look(struct lock *l);

#endif
