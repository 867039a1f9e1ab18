/* pool.c: a few requests at a time; see pool.h. */
#include "pool.h"

#include <assert.h>
#include <errno.h>

void pool_init(struct pool *p, struct hfc_loop *loop, unsigned size)
{
    assert(size >= 1 && size <= POOL_MAX);
    *p = (struct pool){.loop = loop, .size = size};
}

static int wait_until(struct pool *p, unsigned active, struct hfc_error *err)
{
    while (p->active > active) {
        p->room = false;
        if (hfc_loop_run(p->loop, &p->room, err) < 0)
            return -1;
    }
    return hfc_loop_stopped(p->loop) ? hfc_error_set(err, ECANCELED, "stopped") : 0;
}

struct pool_slot *pool_take(struct pool *p, struct hfc_error *err)
{
    struct pool_slot *slot = p->slots;

    if (wait_until(p, p->size - 1, err) < 0)
        return NULL;
    while (slot->busy)
        slot++;
    assert(slot < p->slots + p->size);
    *slot = (struct pool_slot){.pool = p, .busy = true};
    p->active++;
    return slot;
}

void pool_give(struct pool_slot *slot)
{
    assert(slot->busy && slot->pool->active > 0);
    slot->busy = false;
    slot->pool->active--;
    slot->pool->room = true;
}

int pool_drain(struct pool *p, struct hfc_error *err)
{
    return wait_until(p, 0, err);
}
