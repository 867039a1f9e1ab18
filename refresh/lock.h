/* lock.h: one writer a bucket: a lock object that expires.
 *
 * The object at HFC_LOCK_KEY is JSON: who, since when, until when (seconds since 1970). It is made
 * with "if absent", renewed while the run goes on, and deleted at its end. One that has expired is
 * taken over; so is one whose process was on this machine and is gone. A holder that finds its lock
 * taken stops writing.
 */
#ifndef REFRESH_LOCK_H
#define REFRESH_LOCK_H

#include "store.h"

enum {
    LOCK_EXPIRES_S = 120,
    LOCK_RENEW_MS = 30000,
    LOCK_POLL_MS = 2000,
    LOCK_WAIT_MS = 150000, /* default patience: longer than a dead holder's lock lives */
};

struct lock;
typedef void lock_say(void *ctx, const char *text);             /* "waiting for ..." once */
typedef void lock_done(void *ctx, const struct hfc_error *err); /* EBUSY: somebody has it */

struct lock *lock_new(struct hfc_loop *loop, struct hfc_store *store);

/* Waits up to `wait_ms` for it. done() is called once, lost() at most once after that, both from
 * the loop. */
void lock_acquire(struct lock *l, int64_t wait_ms, lock_say *say, lock_done *done, lock_done *lost,
                  void *ctx);

/* Gives it back if it is held; done() always comes, with an error if the object could not be
 * deleted. An acquisition under way ends with ECANCELED before. */
void lock_release(struct lock *l, lock_done *done, void *ctx);

bool lock_held(const struct lock *l);

/* Held, or its acquisition was broken off when the object may have been made: to be given back. */
bool lock_may_be_there(const struct lock *l);

/* Leaves the object where it is. What is still under way for it is dropped when its store is
 * closed, which has to be before the loop runs again. NULL is fine. */
void lock_free(struct lock *l);

#endif
