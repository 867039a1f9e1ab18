/* session_redo.c: requests that a dead predecessor left in slots; see session.h.
 *
 * Suspects come first, alone, on the thread that starts the session, before there are others: if
 * the worker dies now, it died of this one. The others are shared out among the threads before they
 * take new requests: each looks after the intake slots whose number leaves its own index when
 * divided by the number of threads, and all take parked ones in turn.
 */
#include <assert.h>
#include <errno.h>

#include "fault.h"
#include "logging.h"
#include "metrics.h"
#include "session_internal.h"
#include "strikes.h"

static bool suspect(const struct slot_state *state)
{
    return (atomic_load(&state->flags) & SLOT_SUSPECT) != 0;
}

static void count(_Atomic uint64_t *counter, enum metric m)
{
    metric_set(m, atomic_fetch_add(counter, 1) + 1);
}

/* Of which STRIKES_MAX workers have died. */
static void poisonous(struct session *s, const struct request *q)
{
    log_line(LOG_REQUEST, LEVEL_ERROR,
             "a request (opcode %u, node %llx) has ended %u workers: it is answered EIO",
             q->in->opcode, (unsigned long long)q->in->nodeid, (unsigned)STRIKES_MAX);
    count(&s->config.shared->poisoned, M_POISONED);
    answer_plain(s, q->in->unique, EIO);
}

/* False: deferred. */
static bool again(struct session *s, struct request *q)
{
    if (strikes_out(q->state)) {
        poisonous(s, q);
        return true;
    }
    if (!request_execute(s, q))
        return false;
    count(&s->config.shared->redone, M_REDONE);
    return true;
}

/* What a length in a slot says, if it can be believed: a worker may have written anything anywhere
 * before it crashed. 0: nothing is there. */
static uint32_t left_in(struct fuse_in_header *in, uint32_t least, uint32_t most)
{
    uint32_t len = slot_len(in);

    if (len == 0 || (len >= least && len <= most))
        return len;
    log_line(LOG_REQUEST, LEVEL_ERROR, "a slot with a length of %u is cleared", len);
    slot_set(in, 0);
    return 0;
}

/* True: nothing is left in the slot. */
static bool redo_intake(struct session *s, unsigned i)
{
    struct fuse_in_header *in = intake_header(s, i);
    struct request q = {
        .in = in,
        .size = left_in(in, sizeof(*in), INTAKE_SIZE),
        .state = &s->config.shared->intake_state[i],
    };

    if (q.size != 0 && !again(s, &q))
        return false;
    strikes_clear(q.state);
    slot_set(in, 0);
    return true;
}

static void redo_parked(struct session *s, unsigned i)
{
    struct waiter *w = &s->waiters[i];
    struct parked *slot = w->slot;
    const uint32_t size = sizeof(slot->in) + sizeof(slot->read);
    struct request q = {.in = &slot->in, .state = &slot->state, .waiter = w};

    (void)pthread_mutex_lock(&s->lock);
    bool left = w->state == WAITER_HELD && w->pins == 0;
    if (left)
        w->pins = 1;
    (void)pthread_mutex_unlock(&s->lock);
    if (!left)
        return;
    q.size = left_in(q.in, size, size);
    if (q.size != 0)
        (void)again(s, &q); /* it has its slot: never deferred */
    waiter_unpin(w);
}

void redo_suspects(struct session *s)
{
    struct shared *shared = s->config.shared;
    unsigned n = strikes_judge(shared);

    metric_set(M_REDONE, atomic_load(&shared->redone));
    metric_set(M_POISONED, atomic_load(&shared->poisoned));
    metric_set(M_TAKEOVER_SECONDS, atomic_load(&shared->takeover_ns));
    if (n > 0)
        log_line(LOG_START, LEVEL_WARNING,
                 "%u requests that the last worker may have died of are executed one by one", n);
    (void)fault_at(FAULT_TAKEOVER);
    for (unsigned i = 0; i < INTAKE_SLOTS; i++)
        if (suspect(&shared->intake_state[i]))
            (void)redo_intake(s, i);
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        if (suspect(&shared->parked[i].state))
            redo_parked(s, i);
}

/* Parked ones before waiting for room: they may be what takes it. */
void redo_rest(struct taker *t)
{
    struct session *s = t->session;
    unsigned threads = s->config.threads, i;

    assert(t->index < threads);
    for (i = t->index; i < INTAKE_SLOTS; i += threads)
        (void)redo_intake(s, i);
    while ((i = atomic_fetch_add(&s->redo, 1)) < PARKED_SLOTS)
        redo_parked(s, i);
    for (i = t->index; i < INTAKE_SLOTS; i += threads)
        while (!redo_intake(s, i))
            if (!waiters_room(s))
                return;
}
