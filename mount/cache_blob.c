/* cache_blob.c: uses of blobs, holds, and what is there; see cache_internal.h. Owns the structs of
 * holds. Whether a block is there is always read from the map, without the lock.
 */
#include "cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logging.h"
#include "metrics.h"

#define NS_PER_S 1000000000ULL

enum { TOUCH_S = 60 }; /* how often at most the time of a map is set */

/* ---- Uses. ---- */

/* A blob that nobody uses can learn what is known of it by now. Its strings are the same. */
static void refresh(struct blob *b, const struct blob_info *info)
{
    if (memcmp(&b->info.meta, &info->meta, sizeof(info->meta)) == 0)
        return;
    b->info.meta = info->meta;
    if (b->files != NULL && b->files->busy == 0)
        files_close(b->cache, b->files);
    b->loaded = b->verified = false;
}

static struct blob *use_known(struct blob *b, const struct blob_info *info)
{
    struct cache *c = b->cache;

    if (b->info.size != info->size || strcmp(b->key, info->key) != 0 ||
        strcmp(b->etag, info->etag) != 0)
        return NULL;
    if (b->uses == 0) {
        TAILQ_REMOVE(&c->linger, b, order);
        c->lingering--;
        refresh(b, info);
    }
    b->uses++;
    return b;
}

struct blob *blob_use(struct cache *c, const struct blob_info *info)
{
    if (!map_can_hold(info))
        return NULL;
    cache_lock(c);
    struct blob *known = blob_find(c, info->id);
    struct blob *b = known != NULL ? use_known(known, info) : blob_new(c, info);
    cache_unlock(c);
    if (b == NULL && known != NULL)
        log_line(LOG_CACHE, LEVEL_ERROR,
                 "%s: another version of it with the same id is in use: not read", info->key);
    return b;
}

struct blob *blob_use_cached(struct cache *c, uint64_t id)
{
    struct blob_header h;

    cache_lock(c);
    struct entry *e = entry_find(c, id);
    bool usable = entry_usable(e);
    struct blob *b = usable ? e->blob : NULL;
    if (b != NULL)
        b = use_known(b, &b->info);
    cache_unlock(c);
    if (b != NULL || !usable)
        return b;
    int rc = header_load(c, id, &h);
    if (rc == 0)
        return blob_use(c, &h.info);
    if (rc == EBADMSG)
        (void)cache_drop(c, id);
    return NULL;
}

struct blob *blob_again(struct blob *b)
{
    cache_lock(b->cache);
    assert(b->uses > 0);
    b->uses++;
    cache_unlock(b->cache);
    return b;
}

void blob_done_locked(struct blob *b)
{
    assert(b->uses > 0);
    if (--b->uses > 0)
        return;
    assert(b->holds == NULL && b->held_whole == 0);
    blob_linger(b);
}

void blob_done(struct blob *b)
{
    if (b == NULL)
        return;
    struct cache *c = b->cache;
    cache_lock(c);
    blob_done_locked(b);
    cache_unlock(c);
}

const struct blob_info *blob_info(const struct blob *b)
{
    return &b->info;
}

uint32_t blob_blocks(const struct blob *b)
{
    return b->blocks;
}

uint32_t blob_block_size(const struct blob *b, uint32_t block)
{
    uint64_t left = b->info.size - (uint64_t)block * BLOCK_SIZE;

    assert(block < b->blocks);
    return left < BLOCK_SIZE ? (uint32_t)left : BLOCK_SIZE;
}

/* Makes the blob the one that was used last, also for a successor, which has only the map's time
 * to go by. */
void blob_used(struct blob *b, struct blob_files *f)
{
    struct cache *c = b->cache;
    uint64_t now = clock_ns();
    bool touch = false;

    cache_lock(c);
    if (f->blob == b) {
        entry_used(c, b->entry);
        touch = b->entry->touched == 0 || now - b->entry->touched >= TOUCH_S * NS_PER_S;
        if (touch)
            b->entry->touched = now;
    }
    cache_unlock(c);
    if (touch)
        (void)futimens(f->map, NULL);
}

/* ---- Holds. ---- */

static bool equal(struct span a, struct span b)
{
    return a.first == b.first && a.end == b.end;
}

void blob_hold_locked(struct blob *b, struct span s)
{
    struct cache *c = b->cache;
    struct hold *h = c->free_holds;

    if (h != NULL)
        c->free_holds = h->next;
    else if (c->holds_fresh < HOLDS_MAX)
        h = &c->holds[c->holds_fresh++];
    if (h == NULL) {
        b->held_whole++;
        return;
    }
    *h = (struct hold){.span = s, .next = b->holds};
    b->holds = h;
}

void blob_release_locked(struct blob *b, struct span s)
{
    struct hold **at = &b->holds;

    while (*at != NULL && !equal((*at)->span, s))
        at = &(*at)->next;
    struct hold *h = *at;
    if (h == NULL) {
        assert(b->held_whole > 0);
        b->held_whole--;
        return;
    }
    *at = h->next;
    h->next = b->cache->free_holds;
    b->cache->free_holds = h;
}

void blob_hold(struct blob *b, uint32_t first, uint32_t n)
{
    cache_lock(b->cache);
    blob_hold_locked(b, (struct span){first, first + n});
    cache_unlock(b->cache);
}

void blob_release(struct blob *b, uint32_t first, uint32_t n)
{
    cache_lock(b->cache);
    blob_release_locked(b, (struct span){first, first + n});
    cache_unlock(b->cache);
}

bool blob_held(const struct blob *b, uint32_t block)
{
    const struct hold *h = b->holds;

    if (b->held_whole > 0)
        return true;
    while (h != NULL && (block < h->span.first || block >= h->span.end))
        h = h->next;
    return h != NULL;
}

bool blob_is_held(const struct blob *b)
{
    return b->held_whole > 0 || b->holds != NULL;
}

/* ---- What is there. ---- */

static void read_records(struct blob *b, struct blob_files *f, struct span punching,
                         struct piece *p)
{
    uint64_t records[PIECE_BLOCKS] = {0};
    uint32_t crc;

    /* What can't be read is not there. */
    if (pread(f->map, records, p->n * sizeof(records[0]),
              MAP_HEADER + (off_t)p->first * MAP_RECORD) < 0)
        return;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t block = p->first + i;
        if ((block < punching.first || block >= punching.end) &&
            map_record_read(b->info.id, block, records[i], &crc))
            p->there[i / 64] |= 1ULL << i % 64;
    }
}

bool piece_read(struct blob *b, uint32_t first, uint32_t n, bool use, struct piece *p)
{
    struct span punching;
    uint32_t left = first < b->blocks ? b->blocks - first : 0;
    int errnum;

    n = n < left ? n : left;
    *p = (struct piece){.first = first, .n = n < PIECE_BLOCKS ? n : PIECE_BLOCKS};
    struct blob_files *f = p->n > 0 ? files_get(b, false, &errnum, &punching) : NULL;
    if (f == NULL)
        return false;
    read_records(b, f, punching, p);
    if (use)
        blob_used(b, f);
    files_put(b, f);
    return true;
}

uint64_t blob_present(struct blob *b, uint32_t first, uint32_t n)
{
    struct piece p;

    assert(n <= 64);
    (void)piece_read(b, first, n, true, &p);
    return p.there[0];
}

static uint32_t first_missing(const struct piece *p)
{
    uint32_t block = p->first;

    while (block < p->first + p->n && piece_has(p, block))
        block++;
    return block;
}

uint32_t blob_missing(struct blob *b, uint32_t from, uint32_t limit)
{
    uint32_t end = from < b->blocks && limit < b->blocks - from ? from + limit : b->blocks;
    struct piece p;

    for (; from < end; from += p.n) {
        (void)piece_read(b, from, end - from, false, &p);
        uint32_t missing = first_missing(&p);
        if (missing < from + p.n)
            return missing;
    }
    return end;
}

/* The answer is kept, as far as it goes, as long as nothing is lost: who asks after each block that
 * has come would otherwise read the whole map each time. */
bool blob_complete(struct blob *b)
{
    struct cache *c = b->cache;

    cache_lock(c);
    uint64_t losses = b->losses;
    uint32_t from = b->whole_below;
    bool none = b->blocks > 0 && !entry_usable(b->entry);
    cache_unlock(c);
    if (none)
        return false;
    uint32_t missing = blob_missing(b, from, b->blocks - from);
    cache_lock(c);
    if (b->losses == losses && missing > b->whole_below)
        b->whole_below = missing;
    cache_unlock(c);
    return missing == b->blocks;
}

/* It stands in the header, which is read when the files are opened. */
bool blob_verified(const struct blob *b)
{
    struct cache *c = b->cache;
    int errnum;

    cache_lock(c);
    struct blob *it = blob_find(c, b->info.id);
    bool unknown = !b->loaded && b->entry != NULL;
    cache_unlock(c);
    assert(it == b);
    struct blob_files *f = unknown ? files_get(it, false, &errnum, NULL) : NULL;
    if (f != NULL)
        files_put(it, f);
    cache_lock(c);
    bool verified = b->verified;
    cache_unlock(c);
    return verified;
}
