/* cache_evict.c: making room; see cache_internal.h. One thread at a time evicts, others wait for it
 * and look again. Files are removed and holes punched without the lock.
 *
 * What goes first: blobs that nobody uses, least recently used first, whole. Then, of blobs in use,
 * blocks that nobody holds, from the beginning on, a few of each in turn; without hole punching the
 * whole blob, if nobody holds any of it.
 */
#include "cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "fault.h"
#include "metrics.h"

enum {
    VICTIMS_MAX = 64, /* whole blobs a scan */
    PUNCH_MAX = 16,   /* blocks at once, with a large cache */
    PUNCH_SHARE = 64, /* of a small one, this part */
};

static uint64_t bound(const struct cache *c, uint64_t need)
{
    /* A bound that others' files have narrowed counts only when something is to be written. */
    return need > 0 ? c->limit_now : c->limit;
}

/* How many bytes are too many. */
static uint64_t excess(const struct cache *c, uint64_t need)
{
    uint64_t wanted = c->used + c->reserved + c->spare + need;

    return wanted > bound(c, need) ? wanted - bound(c, need) : 0;
}

static void count_eviction(struct cache *c, uint64_t bytes)
{
    c->evictions++;
    metric_add(M_CACHE_EVICTIONS, 1);
    metric_add(M_CACHE_EVICTED_BYTES, bytes);
}

static bool in_use(const struct entry *e)
{
    return e->blob != NULL && e->blob->uses > 0;
}

/* Marks the victims as such. Blobs in use that are met on the way go to the end, so that the next
 * scan doesn't meet them again. */
static unsigned choose_victims(struct cache *c, uint64_t bytes, bool entry,
                               struct entry *victims[VICTIMS_MAX])
{
    struct entry *e = TAILQ_FIRST(&c->order), *next;
    uint64_t sum = 0;
    unsigned n = 0;

    for (unsigned left = c->entry_count; left > 0 && n < VICTIMS_MAX; left--, e = next) {
        if (sum >= bytes && !(entry && n == 0))
            break;
        next = TAILQ_NEXT(e, order);
        if (in_use(e)) {
            entry_used(c, e);
        } else if (!e->dropping) {
            e->dropping = true;
            sum += e->allocated;
            victims[n++] = e;
        }
    }
    return n;
}

static void degrade(struct cache *c, int errnum)
{
    cache_unlock(c);
    disk_degrade(c, errnum);
    cache_lock(c);
}

static bool evict_unused(struct cache *c, uint64_t bytes, bool entry)
{
    struct entry *victims[VICTIMS_MAX];
    unsigned n = choose_victims(c, bytes, entry, victims);
    bool freed = false;

    for (unsigned i = 0; i < n; i++) {
        uint64_t allocated = victims[i]->allocated;
        if (!entry_drop(c, victims[i], false))
            continue;
        freed = true;
        count_eviction(c, allocated);
    }
    if (n > 0 && !freed)
        degrade(c, EIO);
    return freed;
}

static unsigned punch_at_once(const struct cache *c)
{
    uint64_t share = c->limit / PUNCH_SHARE / BLOCK_SIZE;

    return share < 1 ? 1 : share < PUNCH_MAX ? (unsigned)share : PUNCH_MAX;
}

/* The first blocks of the piece that are there and not held, with what lies before and between them
 * and may be left over from a write that was cut off. Empty: there are none. */
static struct span choose_span(const struct blob *b, const struct piece *p)
{
    struct span s = {p->first, p->first};
    unsigned found = 0, most = punch_at_once(b->cache);

    for (uint32_t block = p->first; block < p->first + p->n && found < most; block++) {
        if (!blob_held(b, block)) {
            found += piece_has(p, block);
            s.end = block + 1;
        } else if (found > 0) {
            break;
        } else {
            s.first = s.end = block + 1;
        }
    }
    return found > 0 ? s : (struct span){0};
}

/* Without the lock. Records go first: what a kill leaves is space without use, never a record
 * without its bytes. An errno value. */
static int punch_files(struct blob *b, struct blob_files *f, struct span s)
{
    int rc = records_clear(b, f, s);

    if (rc != 0)
        return rc;
    if (fault_at(FAULT_EVICT) != 0)
        return EOPNOTSUPP;
    return fallocate(f->data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)s.first * BLOCK_SIZE, (off_t)(s.end - s.first) * BLOCK_SIZE) == 0
               ? 0
               : errno;
}

/* Frees the span. Whoever wants to write there waits; whoever reads finds nothing. */
static bool punch(struct cache *c, struct blob *b, struct span s)
{
    int rc = ENOENT;

    c->punched = b;
    c->punching = s;
    cache_unlock(c);
    struct blob_files *f = files_get(b, false, &rc, NULL);
    if (f != NULL)
        rc = punch_files(b, f, s);
    cache_lock(c);
    if (f != NULL && f->blob != NULL) {
        uint64_t before = b->entry->allocated;
        space_settle(c, f);
        if (b->entry->allocated < before)
            count_eviction(c, before - b->entry->allocated);
    }
    if (rc == EOPNOTSUPP || rc == ENOSYS)
        c->punches = false;
    bool failed = rc != 0 && rc != ENOENT && c->punches;
    c->punched = NULL;
    (void)pthread_cond_broadcast(&c->changed);
    cache_unlock(c);
    if (f != NULL)
        files_put(b, f);
    if (failed) {
        disk_failed(c, "free its blocks in", &b->info, rc);
        disk_degrade(c, rc);
    }
    cache_lock(c);
    return rc == 0;
}

/* A piece in which nothing is left is not looked at again, unless something was written. */
static void skip_piece(struct blob *b, const struct piece *p, uint64_t stores)
{
    bool empty = true;

    for (unsigned i = 0; i < PIECE_BLOCKS / 64; i++)
        empty = empty && p->there[i] == 0;
    if (empty && b->stores == stores && b->punch_from == p->first)
        b->punch_from = p->first + p->n;
}

/* Blocks of a blob in use. */
static bool punch_some(struct cache *c, struct blob *b)
{
    struct piece p;

    for (uint32_t at = b->punch_from; at < b->blocks && b->entry != NULL; at = p.first + p.n) {
        uint64_t stores = b->stores;
        cache_unlock(c);
        bool readable = piece_read(b, at, PIECE_BLOCKS, false, &p);
        cache_lock(c);
        if (!readable)
            return false;
        struct span s = choose_span(b, &p);
        if (s.first < s.end)
            return punch(c, b, s);
        skip_piece(b, &p, stores);
    }
    return false;
}

static bool drop_whole(struct cache *c, struct blob *b)
{
    struct entry *e = b->entry;

    if (e == NULL || e->dropping || b->opening || blob_is_held(b))
        return false;
    uint64_t allocated = e->allocated;
    e->dropping = true;
    if (!entry_drop(c, e, false))
        return false;
    count_eviction(c, allocated);
    return true;
}

static bool evict_in_use(struct cache *c)
{
    bool freed = false;

    for (unsigned left = c->entry_count; left > 0 && !freed; left--) {
        struct entry *e = TAILQ_FIRST(&c->order);
        if (e == NULL)
            break;
        entry_used(c, e);
        if (!in_use(e) || e->dropping || e->broken)
            continue;
        struct blob *b = e->blob;
        b->uses++;
        freed = c->punches && punch_some(c, b);
        if (!freed && !c->punches)
            freed = drop_whole(c, b);
        blob_done_locked(b);
    }
    return freed;
}

bool evict_until_fits(struct cache *c, uint64_t need, bool entry)
{
    while (excess(c, need) > 0 || (entry && !entry_to_be_had(c))) {
        if (need > 0 && c->others + c->spare + need > c->limit_now)
            return false; /* never, so that nothing is sacrificed for it */
        if (c->evicting) {
            (void)pthread_cond_wait(&c->changed, &c->lock);
            continue;
        }
        c->evicting = true;
        bool freed =
            evict_unused(c, excess(c, need), entry) || (excess(c, need) > 0 && evict_in_use(c));
        c->evicting = false;
        (void)pthread_cond_broadcast(&c->changed);
        if (!freed && c->left == 0)
            return false;
        if (!freed) /* what was dropped is freed when nobody is at work on it any more */
            (void)pthread_cond_wait(&c->changed, &c->lock);
    }
    return true;
}
