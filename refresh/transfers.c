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
    t->queue_end = &t->queue;
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
    assert(t->queue == NULL && t->active == NULL);
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

bool transfers_is_small(const struct transfers *t, uint64_t size)
{
    (void)t;
    return size <= SMALL_FILE_MAX;
}

/* Every size up to SMALL_FILE_MAX fits into the empty allowance, so nothing waits for ever. */
uint8_t *transfers_take(struct transfers *t, size_t size)
{
    static_assert(SMALL_FILE_MAX <= MEBIBYTE, "budget_divide() gives at least so much");

    if (!transfers_is_small(t, size))
        return t->nfree > 0 ? t->free_blocks[--t->nfree] : NULL;
    if (size > t->small_left)
        return NULL;
    t->small_left -= size;
    return need(malloc(size > 0 ? size : 1));
}

void transfers_give(struct transfers *t, uint8_t *bytes, size_t size)
{
    if (transfers_is_small(t, size)) {
        t->small_left += size;
        free(bytes);
    } else {
        t->free_blocks[t->nfree++] = bytes;
    }
    transfers_wake(t);
}

/* Beginning. */

static bool is_large(const struct transfer *tr)
{
    return tr->nparts > 0;
}

/* The same content is on its way already: once it is there, a copy will do. */
static bool is_twin(const struct transfers *t, const struct transfer *tr)
{
    const struct content_id *id = &tr->wanted->id;
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
 * while the other waits for its last answer. */
static bool may_begin(const struct transfers *t, const struct transfer *tr)
{
    unsigned large = t->run->budget.block_count / 2;

    if (is_large(tr) && t->nlarge >= (large > 2 ? large : 2))
        return false;
    return !is_twin(t, tr);
}

/* Takes the first of the queue that may begin; NULL: none. */
static struct transfer *next_queued(struct transfers *t)
{
    struct transfer **at = &t->queue;

    for (int i = 0; *at != NULL && i < LOOK_AHEAD; i++, at = &(*at)->next) {
        struct transfer *tr = *at;
        if (!may_begin(t, tr))
            continue;
        *at = tr->next;
        if (*at == NULL)
            t->queue_end = at;
        return tr;
    }
    return NULL;
}

static void begin_queued(struct transfers *t)
{
    struct transfer *tr;

    while (!t->stopping && t->nactive < t->run->budget.files && (tr = next_queued(t)) != NULL) {
        tr->next = t->active;
        t->active = tr;
        t->nactive++;
        t->nlarge += is_large(tr);
        transfer_begin(tr);
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
        if (!transfer_can_fetch(tr) || transfers_is_small(t, tr->wanted->id.size) != small)
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
    struct transfer *tr = transfer_new(t, s, w);

    s->under_way++;
    *t->queue_end = tr;
    t->queue_end = &tr->next;
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
    t->nlarge -= is_large(tr);
}

static void forget(struct transfer *tr)
{
    struct transfers *t = tr->all;

    tr->snapshot->under_way--;
    for (size_t i = 0; i < t->run->ntargets; i++)
        sink_free(&tr->sinks[i]);
    hub_source_free(tr->source);
    free(tr->sinks);
    free(tr->key);
    free(tr);
    t->news = true;
    t->idle = t->queue == NULL && t->active == NULL;
}

void transfers_ended(struct transfer *tr)
{
    struct transfers *t = tr->all;

    assert(tr->blocks == NULL && tr->ops == 0);
    hfc_hash_free(tr->sha256);
    hfc_hash_free(tr->git);
    hfc_hash_free(tr->part_hash);
    if (tr->progress != NULL)
        report_end(tr->progress);
    unlink_active(t, tr);
    forget(tr);
    transfers_wake(t);
}

void transfers_stop(struct transfers *t)
{
    struct hfc_error stopped;

    t->stopping = t->news = true;
    (void)hfc_error_set(&stopped, ECANCELED, "stopped");
    while (t->queue != NULL) {
        struct transfer *tr = t->queue;
        t->queue = tr->next;
        forget(tr);
    }
    t->queue_end = &t->queue;
    t->idle = t->active == NULL;
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
