/* pool.h: many requests to a bucket, a few at a time, for the straight flow of a command.
 *
 *   while (there is something) {
 *       slot = pool_take(&pool, &err);    waits until fewer than `size` are under way
 *       hfc_store_...(..., done, slot);   done() ends with pool_give(slot)
 *   }
 *   pool_drain(&pool, &err);              in any case, before the pool goes
 */
#ifndef REFRESH_POOL_H
#define REFRESH_POOL_H

#include "store.h"

enum { POOL_MAX = 64 };

struct pool;

struct pool_slot {
    struct pool *pool;
    void *user; /* the user's */
    bool busy;
};

struct pool {
    struct hfc_loop *loop;
    unsigned size, active;
    bool room; /* a slot was given back since the main flow looked */
    struct pool_slot slots[POOL_MAX];
};

void pool_init(struct pool *p, struct hfc_loop *loop, unsigned size);

/* NULL: told to stop, or the loop is broken. */
struct pool_slot *pool_take(struct pool *p, struct hfc_error *err);
void pool_give(struct pool_slot *slot);

/* Waits for all of them. -1: the same; then, too, they have ended, unless the loop is broken. */
int pool_drain(struct pool *p, struct hfc_error *err);

#endif
