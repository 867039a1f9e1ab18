/* strikes.c: which request a worker died of; see strikes.h.
 *
 * Owns what each thread is at work on (thread-local, so the handler of a crash can read it: the
 * handler runs on the thread that crashed) and the marks in the slots' states. All marks are single
 * atomic operations on shared memory: they hold whatever happens to the process next.
 */
#include "strikes.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>

#include "cleanup.h"

/* A thread may answer a waiting read while it is at work on its own request, which a third one may
 * have made ready: no deeper. */
enum { DEPTH_MAX = 4, STACK_BYTES = 64 * 1024 };

static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static struct shared *area;
static _Thread_local struct slot_state *at_work[DEPTH_MAX];
static _Thread_local unsigned depth;
static _Thread_local uint64_t at_work_for; /* a blob */

static uint32_t length_of(const struct fuse_in_header *in)
{
    return __atomic_load_n(&in->len, __ATOMIC_ACQUIRE);
}

static void mark(struct slot_state *slot, uint32_t flags)
{
    (void)atomic_fetch_or(&slot->flags, flags);
}

static void unmark(struct slot_state *slot, uint32_t flags)
{
    (void)atomic_fetch_and(&slot->flags, ~flags);
}

void strikes_enter(struct slot_state *slot)
{
    assert(depth < DEPTH_MAX);
    mark(slot, SLOT_EXECUTING);
    at_work[depth++] = slot;
}

/* Having come through, it is suspect no longer. */
void strikes_leave(struct slot_state *slot)
{
    assert(depth > 0 && at_work[depth - 1] == slot);
    depth--;
    unmark(slot, SLOT_EXECUTING | SLOT_SUSPECT);
}

void strikes_blob(uint64_t node_id)
{
    at_work_for = node_id;
}

bool strikes_out(const struct slot_state *slot)
{
    return atomic_load(&slot->strikes) >= STRIKES_MAX;
}

void strikes_clear(struct slot_state *slot)
{
    atomic_store(&slot->flags, 0);
    atomic_store(&slot->strikes, 0);
}

/* Returns whether it is a suspect. A suspect that nobody came to execute stays one, without a
 * strike more: the worker died of another. The mark first: a death right here may cost a strike,
 * but never gives two for one. */
static bool judge(struct slot_state *slot, const struct fuse_in_header *in)
{
    if (length_of(in) < sizeof(*in)) {
        strikes_clear(slot);
        return false;
    }
    uint32_t was = atomic_load(&slot->flags);
    bool guilty = (was & (SLOT_EXECUTING | SLOT_BLAMED)) != 0;
    bool suspect = guilty || (was & SLOT_SUSPECT) != 0;
    atomic_store(&slot->flags, suspect ? SLOT_SUSPECT : 0);
    if (guilty)
        (void)atomic_fetch_add(&slot->strikes, 1);
    return suspect;
}

unsigned strikes_judge(struct shared *shared)
{
    unsigned suspects = 0;

    for (unsigned i = 0; i < INTAKE_SLOTS; i++) {
        const void *bytes = shared->intake[i].bytes;
        suspects += judge(&shared->intake_state[i], bytes);
    }
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        suspects += judge(&shared->parked[i].state, &shared->parked[i].in);
    return suspects;
}

static void blame_readers(uint64_t blob)
{
    for (unsigned i = 0; i < PARKED_SLOTS; i++) {
        struct parked *p = &area->parked[i];
        if (length_of(&p->in) >= sizeof(p->in) && (p->in.nodeid & ~1ULL) == (blob & ~1ULL))
            mark(&p->state, SLOT_BLAMED);
    }
}

/* Async-signal-safe. By SA_RESETHAND the second time is the end. */
static void crashed(int signal_number)
{
    if (depth > 0)
        mark(at_work[depth - 1], SLOT_BLAMED);
    else if (at_work_for != 0)
        blame_readers(at_work_for);
    (void)raise(signal_number);
}

/* The stack is for the calling thread; another thread that has used up its own dies without blaming
 * anybody, and what it was at work on is EXECUTING still. */
void strikes_setup(struct shared *shared)
{
    static char stack[STACK_BYTES];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = crashed,
                               .sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER};

    area = shared;
#ifdef HFC_SANITIZED
    (void)alternate;
    (void)action;
    (void)crashes;
#else
    (void)sigaltstack(&alternate, NULL);
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < HFC_ARRAY_LEN(crashes); i++)
        (void)sigaction(crashes[i], &action, NULL);
#endif
}
