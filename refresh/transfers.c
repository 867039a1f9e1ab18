/* transfers.c: the queue of files, the buffers, and who may go on; see transfers.h.
 *
 * One function, pump(), hands out everything that is scarce: it runs from a timer whenever
 * something has been freed or added, never from within somebody else's callback.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "need.h"
#include "transfer_internal.h"

/* How far behind the queue's head to look for a file that may begin. */
enum { LOOK_AHEAD = 64 };

static void stop(void *ctx);
static void stop_soon(void *ctx);

struct transfers *transfers_new(struct run *run, struct hfc_error *err)
{
    const struct budget *b = &run->budget;
    void *arena = mmap(NULL, b->blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (arena == MAP_FAILED) {
        (void)hfc_error_set(err, errno, "no memory for %u blocks", b->block_count);
        return NULL;
    }
    struct transfers *t = need(calloc(1, sizeof(*t)));
    t->run = run;
    for (int q = 0; q < QUEUES; q++)
        t->queues[q].end = &t->queues[q].first;
    t->arena = arena;
    t->free_blocks = need(calloc(b->block_count, sizeof(*t->free_blocks)));
    for (unsigned i = 0; i < b->block_count; i++)
        t->free_blocks[t->nfree++] = t->arena + i * b->block_size;
    t->small_left = b->small;
    t->idle = true;
    hfc_stop_hook_add(run->loop, &t->hook, stop_soon, t);
    return t;
}

void transfers_free(struct transfers *t)
{
    if (t == NULL)
        return;
    assert(t->idle && t->active == NULL);
    hfc_stop_hook_remove(&t->hook);
    hfc_timer_stop(&t->pump);
    hfc_timer_stop(&t->stop);
    (void)munmap(t->arena, t->run->budget.blocks);
    free(t->free_blocks);
    free(t);
}

const bool *transfers_idle(const struct transfers *t)
{
    return &t->idle;
}

bool *transfers_news(struct transfers *t)
{
    return &t->news;
}

/* A small file always fits into the empty allowance, so nothing waits for ever. */
uint8_t *transfers_take(struct transfers *t, size_t size, bool small)
{
    assert(size <= (small ? SMALL_FILE_MAX : t->run->budget.block_size));
    if (!small)
        return t->nfree > 0 ? t->free_blocks[--t->nfree] : NULL;
    if (size > t->small_left)
        return NULL;
    t->small_left -= size;
    return need(malloc(size > 0 ? size : 1));
}

void transfers_give(struct transfers *t, uint8_t *bytes, size_t size, bool small)
{
    if (small) {
        t->small_left += size;
        free(bytes);
    } else {
        t->free_blocks[t->nfree++] = bytes;
    }
    transfers_wake(t);
}

/* Beginning. */

static bool is_large(const struct transfers *t, const struct wanted *w)
{
    return w->id.size > t->run->budget.block_size;
}

static bool streams(const struct transfers *t, const struct wanted *w)
{
    return w->id.size > (uint64_t)HFC_PARTS_MAX * t->run->budget.block_size;
}

/* The same content is on its way already: once it is there, a copy will do. */
static bool is_twin(const struct transfers *t, const struct content_id *id)
{
    size_t n = id->lfs ? sizeof(id->sha256) : sizeof(id->git_sha1);

    for (const struct transfer *a = t->active; a != NULL; a = a->next) {
        const struct content_id *other = &a->wanted->id;
        if (other->lfs == id->lfs && other->size == id->size &&
            memcmp(id->lfs ? id->sha256 : id->git_sha1, id->lfs ? other->sha256 : other->git_sha1,
                   n) == 0)
            return true;
    }
    return false;
}

/* Large files take turns, so that few uploads are open at once; with two, one can use the network
 * while the other waits for its last answer. A part of several blocks holds its connection while it
 * waits for memory: were all connections held so, whoever has the memory could not send it. */
static bool may_begin(const struct transfers *t, const struct wanted *w)
{
    unsigned large = t->run->budget.block_count / 2, connections = t->run->budget.store.connections;

    if (is_large(t, w) && t->nlarge >= (large > 2 ? large : 2))
        return false;
    if (streams(t, w) && t->nstreams >= (connections > 2 ? connections - 1 : 1))
        return false;
    return !is_twin(t, &w->id);
}

static void push(struct queue *q, struct snapshot *s, struct wanted *w)
{
    *q->end = need(malloc(sizeof(**q->end)));
    **q->end = (struct queued){.snapshot = s, .wanted = w};
    q->end = &(*q->end)->next;
}

/* Takes it out; `at` points to it. */
static void pop(struct queue *q, struct queued **at)
{
    struct queued *gone = *at;

    *at = gone->next;
    if (*at == NULL)
        q->end = at;
    free(gone);
}

static void begin(struct transfers *t, struct snapshot *s, struct wanted *w)
{
    struct transfer *tr = transfer_new(t, s, w);

    tr->next = t->active;
    t->active = tr;
    t->nactive++;
    t->nlarge += is_large(t, w);
    t->nstreams += streams(t, w);
    transfer_begin(tr);
}

/* The first of the queue that may begin. */
static bool begin_one(struct transfers *t, struct queue *q)
{
    struct queued **at = &q->first;

    for (int i = 0; *at != NULL && i < LOOK_AHEAD; i++, at = &(*at)->next) {
        struct snapshot *s = (*at)->snapshot;
        struct wanted *w = (*at)->wanted;
        if (!may_begin(t, w))
            continue;
        pop(q, at);
        begin(t, s, w);
        return true;
    }
    return false;
}

/* By turns, so that neither kind waits for the other. */
static void begin_queued(struct transfers *t)
{
    bool begun = true;

    while (begun) {
        begun = false;
        for (int q = 0; q < QUEUES; q++)
            if (!t->stopping && t->nactive < t->run->budget.files)
                begun |= begin_one(t, &t->queues[q]);
    }
}

/* Memory goes to the file that has the least of it. */
static unsigned blocks_of(const struct transfer *tr)
{
    unsigned n = 0;

    for (const struct block *b = tr->blocks; b != NULL; b = b->next)
        n++;
    return n;
}

static struct transfer *neediest(struct transfers *t, bool small)
{
    struct transfer *best = NULL;
    unsigned fewest = 0;

    for (struct transfer *tr = t->active; tr != NULL; tr = tr->next) {
        if (!transfer_can_fetch(tr) || transfer_is_small(tr) != small)
            continue;
        unsigned n = blocks_of(tr);
        if (best == NULL || n < fewest) {
            best = tr;
            fewest = n;
        }
    }
    return best;
}

static void pump(void *ctx)
{
    struct transfers *t = ctx;
    struct transfer *tr;

    begin_queued(t);
    for (int small = 0; small <= 1; small++)
        while ((tr = neediest(t, small)) != NULL && block_start(tr))
            ;
}

void transfers_wake(struct transfers *t)
{
    hfc_timer_start(t->run->loop, &t->pump, 0, pump, t);
}

void transfers_add(struct transfers *t, struct snapshot *s, struct wanted *w)
{
    push(&t->queues[is_large(t, w) ? QUEUE_LARGE : QUEUE_WHOLE], s, w);
    s->under_way++;
    t->idle = false;
    transfers_wake(t);
}

/* Ending. */

static void unlink_active(struct transfers *t, struct transfer *tr)
{
    struct transfer **at = &t->active;

    while (*at != tr)
        at = &(*at)->next;
    *at = tr->next;
    t->nactive--;
    t->nlarge -= is_large(t, tr->wanted);
    t->nstreams -= streams(t, tr->wanted);
}

/* A file less that a snapshot waits for. */
static void forget(struct transfers *t, struct snapshot *s)
{
    s->under_way--;
    t->news = true;
    t->idle = t->active == NULL;
    for (int q = 0; q < QUEUES; q++)
        t->idle &= t->queues[q].first == NULL;
}

void transfers_ended(struct transfer *tr)
{
    struct transfers *t = tr->all;

    unlink_active(t, tr);
    forget(t, tr->snapshot);
    transfer_free(tr);
    transfers_wake(t);
}

void transfers_stop(struct transfers *t)
{
    struct hfc_error stopped;

    t->stopping = t->news = true;
    (void)hfc_error_set(&stopped, ECANCELED, "stopped");
    for (int q = 0; q < QUEUES; q++)
        while (t->queues[q].first != NULL) {
            struct snapshot *s = t->queues[q].first->snapshot;
            pop(&t->queues[q], &t->queues[q].first);
            forget(t, s);
        }
    for (struct transfer *tr = t->active, *next; tr != NULL; tr = next) {
        next = tr->next;
        transfer_fail(tr, &stopped);
        transfer_check(tr);
    }
}

static void stop(void *ctx)
{
    transfers_stop(ctx);
}

/* Not at once: the aborts that follow must not be among the operations that the stop cancels. */
static void stop_soon(void *ctx)
{
    struct transfers *t = ctx;

    t->stopping = true;
    hfc_timer_start(t->run->loop, &t->stop, 0, stop, t);
}
