/* cache_table.c: entries and blobs in use; see cache_internal.h. Owns their memory, which is
 * allocated once; pages that were never needed stay untouched. All under the cache's lock.
 */
#include "cache_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BLOB_BITS = 11 };
_Static_assert(1 << BLOB_BITS == BLOBS_IN_USE_MAX, "a bucket for each blob");

/* Ids are hashes, but bit 0 means something, and a tester's may be small numbers. */
static size_t bucket_of(uint64_t id, unsigned bits)
{
    return (size_t)(id * 0x9e3779b97f4a7c15U >> (64 - bits));
}

bool table_make(struct cache *c)
{
    TAILQ_INIT(&c->order);
    TAILQ_INIT(&c->free_entries);
    TAILQ_INIT(&c->linger);
    TAILQ_INIT(&c->free_blobs);
    TAILQ_INIT(&c->open_files);
    TAILQ_INIT(&c->free_files);
    c->bits = 1;
    while (c->bits < 31 && 1U << c->bits < c->blobs_max)
        c->bits++;
    c->entries = calloc(c->blobs_max, sizeof(*c->entries));
    c->entry_buckets = calloc((size_t)1 << c->bits, sizeof(*c->entry_buckets));
    c->pool = calloc(BLOBS_IN_USE_MAX, sizeof(*c->pool));
    c->blob_buckets = calloc((size_t)1 << BLOB_BITS, sizeof(*c->blob_buckets));
    c->files = calloc(c->files_max, sizeof(*c->files));
    c->holds = calloc(HOLDS_MAX, sizeof(*c->holds));
    if (c->entries == NULL || c->entry_buckets == NULL || c->pool == NULL ||
        c->blob_buckets == NULL || c->files == NULL || c->holds == NULL)
        return false;
    for (unsigned i = 0; i < c->files_max; i++)
        TAILQ_INSERT_TAIL(&c->free_files, &c->files[i], order);
    return true;
}

void table_free(struct cache *c)
{
    free(c->entries);
    free(c->entry_buckets);
    free(c->pool);
    free(c->blob_buckets);
    free(c->files);
    free(c->holds);
}

struct entry *entry_find(struct cache *c, uint64_t id)
{
    struct entry *e = LIST_FIRST(&c->entry_buckets[bucket_of(id, c->bits)]);

    while (e != NULL && e->id != id)
        e = LIST_NEXT(e, bucket);
    return e;
}

bool entry_to_be_had(const struct cache *c)
{
    return c->entry_count < c->blobs_max;
}

struct entry *entry_new(struct cache *c, uint64_t id)
{
    struct entry *e = TAILQ_FIRST(&c->free_entries);

    assert(entry_to_be_had(c) && entry_find(c, id) == NULL);
    if (e != NULL)
        TAILQ_REMOVE(&c->free_entries, e, order);
    else
        e = &c->entries[c->entries_fresh++];
    *e = (struct entry){.id = id};
    LIST_INSERT_HEAD(&c->entry_buckets[bucket_of(id, c->bits)], e, bucket);
    TAILQ_INSERT_TAIL(&c->order, e, order);
    c->entry_count++;
    return e;
}

void entry_free(struct cache *c, struct entry *e)
{
    assert(e->blob == NULL && c->entry_count > 0);
    LIST_REMOVE(e, bucket);
    TAILQ_REMOVE(&c->order, e, order);
    TAILQ_INSERT_HEAD(&c->free_entries, e, order);
    c->entry_count--;
}

void entry_used(struct cache *c, struct entry *e)
{
    TAILQ_REMOVE(&c->order, e, order);
    TAILQ_INSERT_TAIL(&c->order, e, order);
}

struct blob *blob_find(struct cache *c, uint64_t id)
{
    struct blob *b = LIST_FIRST(&c->blob_buckets[bucket_of(id, BLOB_BITS)]);

    while (b != NULL && b->info.id != id)
        b = LIST_NEXT(b, bucket);
    return b;
}

/* Ends the lingering of a blob: its struct is free. */
static void retire(struct blob *b)
{
    struct cache *c = b->cache;

    assert(b->uses == 0 && b->holds == NULL && !b->opening && c->lingering > 0);
    if (b->files != NULL)
        files_close(c, b->files);
    if (b->entry != NULL)
        b->entry->blob = NULL;
    LIST_REMOVE(b, bucket);
    TAILQ_REMOVE(&c->linger, b, order);
    TAILQ_INSERT_HEAD(&c->free_blobs, b, order);
    c->lingering--;
}

static struct blob *take_blob(struct cache *c)
{
    if (TAILQ_EMPTY(&c->free_blobs) && c->pool_fresh < BLOBS_IN_USE_MAX)
        return &c->pool[c->pool_fresh++];
    if (TAILQ_EMPTY(&c->free_blobs) && !TAILQ_EMPTY(&c->linger))
        retire(TAILQ_FIRST(&c->linger));
    struct blob *b = TAILQ_FIRST(&c->free_blobs);
    if (b != NULL)
        TAILQ_REMOVE(&c->free_blobs, b, order);
    return b;
}

struct blob *blob_new(struct cache *c, const struct blob_info *info)
{
    struct blob *b = take_blob(c);

    if (b == NULL)
        return NULL;
    *b = (struct blob){.cache = c, .uses = 1, .info = *info, .blocks = blocks_of(info->size)};
    memcpy(b->key, info->key, strlen(info->key) + 1);
    memcpy(b->etag, info->etag, strlen(info->etag) + 1);
    b->info.key = b->key;
    b->info.etag = b->etag;
    LIST_INSERT_HEAD(&c->blob_buckets[bucket_of(info->id, BLOB_BITS)], b, bucket);
    b->entry = entry_find(c, info->id);
    if (b->entry != NULL)
        b->entry->blob = b;
    return b;
}

void blob_linger(struct blob *b)
{
    struct cache *c = b->cache;

    assert(b->uses == 0);
    TAILQ_INSERT_TAIL(&c->linger, b, order);
    if (++c->lingering > c->files_max)
        retire(TAILQ_FIRST(&c->linger));
}

/* Ids above `after`, kept in order while the table is walked: there are few at a time, and nobody
 * waits for them. */
unsigned cache_ids(struct cache *c, uint64_t after, uint64_t *ids, unsigned n)
{
    const struct entry *e;
    unsigned found = 0;

    cache_lock(c);
    for (e = TAILQ_FIRST(&c->order); e != NULL; e = TAILQ_NEXT(e, order)) {
        if (e->id <= after || !entry_usable(e) || n == 0 || (found == n && e->id > ids[n - 1]))
            continue;
        unsigned at = found < n ? found++ : n - 1;
        for (; at > 0 && ids[at - 1] > e->id; at--)
            ids[at] = ids[at - 1];
        ids[at] = e->id;
    }
    cache_unlock(c);
    return found;
}

bool cache_has(struct cache *c, uint64_t id, uint64_t *bytes)
{
    cache_lock(c);
    const struct entry *e = entry_find(c, id);
    bool has = entry_usable(e);
    *bytes = has ? e->allocated : 0;
    cache_unlock(c);
    return has;
}
