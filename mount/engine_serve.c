/* engine_serve.c: who gets chunks, and how reads are answered; see engine_internal.h.
 *
 * Chunks are given to three kinds of takers:
 *
 *   fill   a fetch takes one for the block that arrives, until a writer has brought it to disk
 *   disk   a read takes those for blocks that come from disk, until it is answered
 *   past   a read past the cache takes all of its own, together with a connection to fill them
 *
 * Why nobody waits for ever, with N >= READ_BLOCKS_MAX + 2 chunks. Whoever holds chunks waits for
 * nothing but the network (a fetch, past or fill, has its connection before it has chunks), the
 * disk or the processor, never for more chunks; so all are given back. Fills hold at most
 * N - READ_BLOCKS_MAX - 1. So once the others hold none, one read gets all it may need, and while a
 * fill goes hungry the others hold at most READ_BLOCKS_MAX: then a chunk comes free for it, too.
 * Disk and past take turns when both are hungry. A background check needs one chunk and takes it
 * only when nobody is hungry.
 *
 * Any thread; the engine's lock where the functions say so.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "engine_internal.h"
#include "metrics.h"
#include "strikes.h"

/* The chunks from which a read is answered. */
struct plate {
    struct chunk *chunks[READ_BLOCKS_MAX]; /* pinned, or NULL */
    uint32_t first;
    unsigned n, taken; /* blocks; chunks of those that count as serving */
};

/* Set while this thread is in a read's done(): what it starts there is answered by others, or a
 * chain of reads could fill the stack. */
static _Thread_local bool in_done;

bool engine_in_done(void)
{
    return in_done;
}

void reads_push(struct reads *list, struct read *r)
{
    r->next = NULL;
    r->prev = list->last;
    if (list->last != NULL)
        list->last->next = r;
    else
        list->first = r;
    list->last = r;
    list->n++;
}

void reads_remove(struct reads *list, struct read *r)
{
    assert(list->n > 0);
    *(r->prev != NULL ? &r->prev->next : &list->first) = r->next;
    *(r->next != NULL ? &r->next->prev : &list->last) = r->prev;
    r->next = r->prev = NULL;
    list->n--;
}

/* Chunks came free, or somebody else had his turn: whoever was refused tries again. */
void engine_feed(struct engine *e)
{
    if (e->hungry[TAKE_FILL] || e->hungry[TAKE_PAST])
        engine_wake(e);
    if (e->hungry[TAKE_DISK])
        (void)pthread_cond_signal(&e->work);
    (void)pthread_cond_signal(&e->verify_work);
}

static bool may_take(const struct engine *e, enum taker who, unsigned n)
{
    enum taker other = who == TAKE_DISK ? TAKE_PAST : TAKE_DISK;

    if (who == TAKE_FILL)
        return e->filling + n <= e->filling_max;
    if (e->hungry[TAKE_FILL] && e->serving + n > READ_BLOCKS_MAX)
        return false;
    return !e->hungry[other] || e->turn == who;
}

/* n chunks, all or none. Who is refused is hungry, and is told by engine_feed(). */
bool engine_grant(struct engine *e, enum taker who, struct chunk **to, unsigned n)
{
    bool was_hungry = e->hungry[who];
    bool got = may_take(e, who, n) && chunks_take(e->chunks, to, n);

    e->hungry[who] = !got;
    if (!got)
        return false;
    if (who == TAKE_FILL) {
        e->filling += n;
    } else {
        e->serving += n;
        e->turn = who == TAKE_DISK ? TAKE_PAST : TAKE_DISK;
    }
    if (was_hungry)
        engine_feed(e);
    return true;
}

static bool grant_if_nobody_waits(struct engine *e, struct chunk **to, unsigned n)
{
    if (e->from_disk.n > 0 || e->hungry[TAKE_DISK] || e->hungry[TAKE_PAST])
        return false;
    bool got = engine_grant(e, TAKE_DISK, to, n);
    e->hungry[TAKE_DISK] = false;
    return got;
}

/* ---- Plates. ---- */

static unsigned bits(unsigned n)
{
    assert(n >= 1 && n <= READ_BLOCKS_MAX);
    return (1U << n) - 1;
}

/* Lock. */
static void plate_drop(struct engine *e, struct plate *p)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->chunks[i] != NULL)
            chunk_unpin(e->chunks, p->chunks[i]);
    assert(e->serving >= p->taken);
    e->serving -= p->taken;
    *p = (struct plate){0};
    engine_feed(e);
}

/* Bytes of the block up to the read's end: so many have to be there. */
static uint32_t bytes_needed(const struct read *r, uint32_t block)
{
    uint64_t end = r->offset + r->size, start = (uint64_t)block * BLOCK_SIZE;

    assert(end > start);
    return end - start < BLOCK_SIZE ? (uint32_t)(end - start) : BLOCK_SIZE;
}

/* A chunk that is still being filled, but far enough. Lock. */
static struct chunk *find_arriving(struct engine *e, const struct stream *s, const struct read *r,
                                   uint32_t block)
{
    if (s == NULL || s->whole)
        return NULL;
    for (unsigned i = 0; i < FETCHES_OF_ONE_BLOB; i++) {
        const struct fetch *f = s->fetches[i];
        if (f == NULL || f->block != block || f->chunk == NULL ||
            f->chunk->filled < bytes_needed(r, block))
            continue;
        chunk_pin(e->chunks, f->chunk);
        return f->chunk;
    }
    return NULL;
}

/* Pins what is in memory. Returns which blocks are not. Lock. */
static unsigned plate_gather(struct engine *e, const struct read *r, struct plate *p)
{
    uint64_t id = blob_info(r->blob)->id;
    const struct stream *s = stream_find(e, id);
    unsigned missing = 0;

    *p = (struct plate){.first = (uint32_t)(r->offset / BLOCK_SIZE)};
    p->n = (unsigned)((r->offset + r->size - 1) / BLOCK_SIZE - p->first) + 1;
    for (unsigned i = 0; i < p->n; i++) {
        p->chunks[i] = chunk_find(e->chunks, id, p->first + i);
        if (p->chunks[i] == NULL)
            p->chunks[i] = find_arriving(e, s, r, p->first + i);
        if (p->chunks[i] == NULL)
            missing |= 1U << i;
    }
    return missing;
}

/* Puts empty chunks where blocks are missing. Lock. */
static bool plate_take(struct engine *e, struct plate *p, unsigned missing, bool in_turn)
{
    struct chunk *got[READ_BLOCKS_MAX];
    unsigned n = (unsigned)__builtin_popcount(missing), used = 0;

    if (!(in_turn ? engine_grant(e, TAKE_DISK, got, n) : grant_if_nobody_waits(e, got, n)))
        return false;
    for (unsigned i = 0; i < p->n; i++)
        if ((missing >> i & 1) != 0)
            p->chunks[i] = got[used++];
    assert(used == n);
    p->taken = n;
    return true;
}

/* Fills them from disk. False: a block is not there (any more), or its bytes were wrong. */
static bool plate_load(struct engine *e, const struct read *r, struct plate *p, unsigned missing)
{
    uint64_t id = blob_info(r->blob)->id;
    unsigned good = 0;

    for (unsigned i = 0; i < p->n; i++)
        if ((missing >> i & 1) != 0 &&
            blob_read(r->blob, p->first + i, p->chunks[i]->bytes) == BLOB_OK)
            good |= 1U << i;
    engine_lock(e);
    for (unsigned i = 0; i < p->n; i++)
        if ((good >> i & 1) != 0)
            chunk_publish(e->chunks, p->chunks[i], id, p->first + i,
                          blob_block_size(r->blob, p->first + i));
    engine_unlock(e);
    return good == missing;
}

/* ---- Answers. ---- */

static void count_answer(const struct read *r, int errnum)
{
    static const enum metric reads[] = {M_READS_MEMORY, M_READS_DISK, M_READS_STORE};
    static const enum metric bytes[] = {M_READ_BYTES_MEMORY, M_READ_BYTES_DISK, M_READ_BYTES_STORE};

    metric_time(M_READ_SECONDS, clock_ns() - r->began);
    if (errnum == 0) {
        metric_add(reads[r->source], 1);
        metric_add(bytes[r->source], r->size);
    } else if (errnum == EACCES) {
        metric_add(M_READ_ERROR_EACCES, 1);
    } else {
        metric_add(errnum == ESTALE ? M_READ_ERROR_ESTALE : M_READ_ERROR_EIO, 1);
    }
}

/* The read is not to be touched any more. */
void engine_finish(struct engine *e, struct read *r, const struct iovec *pieces, unsigned n,
                   int errnum)
{
    bool outer = in_done;

    if (r->waits) {
        uint32_t first = (uint32_t)(r->offset / BLOCK_SIZE);
        if (!r->past_cache)
            blob_release(r->blob, first,
                         (uint32_t)((r->offset + r->size - 1) / BLOCK_SIZE) - first + 1);
        engine_lock(e);
        assert(e->waiting > 0);
        metric_set(M_REQUESTS_IN_FLIGHT, --e->waiting);
        engine_unlock(e);
    }
    count_answer(r, errnum);
    in_done = true;
    r->done(r, pieces, n, errnum);
    in_done = outer;
}

static void plate_serve(struct engine *e, struct read *r, const struct plate *p)
{
    struct iovec pieces[READ_BLOCKS_MAX];
    uint64_t at = r->offset, end = r->offset + r->size;

    for (unsigned i = 0; i < p->n; i++) {
        uint32_t skip = (uint32_t)(at % BLOCK_SIZE);
        uint64_t some = end - at < BLOCK_SIZE - skip ? end - at : BLOCK_SIZE - skip;
        assert(p->chunks[i] != NULL && some > 0);
        pieces[i] = (struct iovec){p->chunks[i]->bytes + skip, (size_t)some};
        at += some;
    }
    assert(at == end);
    engine_finish(e, r, pieces, p->n, 0);
}

static void serve_and_drop(struct engine *e, struct read *r, struct plate *p)
{
    plate_serve(e, r, p);
    engine_lock(e);
    plate_drop(e, p);
    engine_unlock(e);
}

/* On the thread that brings the read, which does not wait. *on_disk: all would be there, but there
 * are no chunks, or others are first. */
bool engine_answer_at_once(struct engine *e, struct read *r, bool *on_disk)
{
    struct plate p;

    engine_lock(e);
    unsigned missing = plate_gather(e, r, &p);
    if (missing == 0)
        stream_note(e, stream_find(e, blob_info(r->blob)->id), r);
    engine_unlock(e);
    if (missing == 0) {
        serve_and_drop(e, r, &p);
        return true;
    }
    *on_disk = !blob_waits_for_digest(r->blob) &&
               (missing & ~(unsigned)blob_present(r->blob, p.first, p.n)) == 0;
    engine_lock(e);
    bool go = *on_disk && plate_take(e, &p, missing, false);
    if (go)
        stream_note(e, stream_find(e, blob_info(r->blob)->id), r);
    else
        plate_drop(e, &p);
    engine_unlock(e);
    if (!go)
        return false;
    r->source = READ_DISK;
    if (plate_load(e, r, &p, missing)) {
        serve_and_drop(e, r, &p);
        return true;
    }
    *on_disk = false;
    engine_lock(e);
    plate_drop(e, &p);
    engine_unlock(e);
    return false;
}

/* Lock. */
void engine_give_own(struct engine *e, struct own *own)
{
    for (unsigned i = 0; i < own->n; i++)
        chunk_unpin(e->chunks, own->chunks[i]);
    assert(e->serving >= own->taken);
    e->serving -= own->taken;
    own->n = own->taken = 0;
    engine_feed(e);
}

/* Lock. */
static void out_of_hand(struct engine *e)
{
    assert(e->in_hand > 0);
    if (--e->in_hand == 0)
        (void)pthread_cond_broadcast(&e->quiet);
}

static void serve_own(struct engine *e, struct read *r)
{
    struct fetch *f = r->own;
    struct plate p = {.first = (uint32_t)(r->offset / BLOCK_SIZE)};

    p.n = (unsigned)((r->offset + r->size - 1) / BLOCK_SIZE - p.first) + 1;
    assert(p.first >= f->own.base && p.first - f->own.base + p.n <= f->own.n);
    memcpy(p.chunks, f->own.chunks + (p.first - f->own.base), p.n * sizeof(p.chunks[0]));
    plate_serve(e, r, &p);
    engine_lock(e);
    f->reader = NULL;
    f->answering = false;
    fetch_settle(f);
    out_of_hand(e);
    engine_unlock(e);
}

/* What was there is gone: the loop looks again. */
static void missed(struct engine *e, struct read *r, struct plate *p)
{
    engine_lock(e);
    plate_drop(e, p);
    if (r->misses < UINT8_MAX)
        r->misses++;
    reads_push(&e->fresh, r);
    engine_wake(e);
    out_of_hand(e);
    engine_unlock(e);
}

static void serve_gathered(struct engine *e, struct read *r, struct plate *p)
{
    plate_serve(e, r, p);
    engine_lock(e);
    plate_drop(e, p);
    out_of_hand(e);
    engine_unlock(e);
}

/* A read that the loop thinks is here; r is on no list. Blocks that are on disk, or were dropped
 * meanwhile, are another queue's matter: so nobody stands in the way of those who need no chunk. */
void engine_serve(struct engine *e, struct read *r)
{
    struct plate p;

    strikes_blob(blob_info(r->blob)->id);
    if (r->own != NULL) {
        serve_own(e, r);
        strikes_blob(0);
        return;
    }
    engine_lock(e);
    bool here = plate_gather(e, r, &p) == 0;
    if (!here) {
        plate_drop(e, &p);
        reads_push(&e->from_disk, r);
        (void)pthread_cond_signal(&e->work);
        out_of_hand(e);
    }
    engine_unlock(e);
    if (here)
        serve_gathered(e, r, &p);
    strikes_blob(0);
}

/* The first of those that wait for chunks to be filled from disk. Lock; not held meanwhile. */
bool engine_serve_from_disk(struct engine *e)
{
    struct read *r = e->from_disk.first;
    struct plate p;

    if (r == NULL)
        return false;
    unsigned missing = plate_gather(e, r, &p);
    if (missing != 0 && !plate_take(e, &p, missing, true)) {
        for (unsigned i = 0; i < p.n; i++)
            if (p.chunks[i] != NULL)
                chunk_unpin(e->chunks, p.chunks[i]);
        return false;
    }
    reads_remove(&e->from_disk, r);
    e->in_hand++;
    if (missing == 0 && e->hungry[TAKE_DISK]) {
        e->hungry[TAKE_DISK] = false;
        engine_feed(e);
    }
    engine_unlock(e);
    strikes_blob(blob_info(r->blob)->id);
    assert((missing & ~bits(p.n)) == 0);
    if (missing != 0 && r->source == READ_MEMORY)
        r->source = READ_DISK;
    if (missing == 0 || (!blob_waits_for_digest(r->blob) && plate_load(e, r, &p, missing)))
        serve_gathered(e, r, &p);
    else
        missed(e, r, &p);
    strikes_blob(0);
    engine_lock(e);
    return true;
}
