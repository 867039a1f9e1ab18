/* fake_parts.h: engine, cache and catalog as control*.c see them, without disk and store.
 *
 * Blobs are those of the tree, with one byte a block that says whether it is there. Reads end at
 * once, or in a thread of their own; what is read is kept or not, as a test wants it.
 */
#ifndef TESTS_FAKE_PARTS_H
#define TESTS_FAKE_PARTS_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "catalog.h"
#include "cleanup.h"
#include "engine.h"

enum { FAKE_BLOBS = 128, FAKE_BLOCKS = 600, FAKE_READS = 4096 };

struct blob {
    struct blob_info info;
    struct nametree_strings strings;
    bool there[FAKE_BLOCKS], wrong[FAKE_BLOCKS];
    bool known; /* in the cache's table */
    bool can_verify, wrong_digest;
    unsigned uses;
};

static struct fake {
    pthread_mutex_t lock;
    struct blob blobs[FAKE_BLOBS];
    struct nametree *tree;
    bool threads;        /* reads end in threads */
    bool held;           /* reads do not end until fake_release() */
    bool forgetful;      /* what is read is not kept */
    bool slow_writes;    /* it is kept when fake_settle() is called */
    bool full;           /* no blob can be used */
    int errnum;          /* reads fail */
    const char *failing; /* only of keys with this in them; NULL: all */
    unsigned reads, forgotten, under_way, most_under_way;
    uint64_t read_bytes;
    struct read *waiting[FAKE_READS];
    unsigned n_waiting;
    pthread_t started[FAKE_READS];
    unsigned n_started;
    struct {
        struct blob *blob;
        uint32_t first, n;
    } late[FAKE_READS];
    unsigned n_late;
    unsigned endless; /* cache_ids() never ends: so many ids were given */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void fake_locked(void)
{
    (void)pthread_mutex_lock(&fake.lock);
}

static inline void fake_unlocked(void)
{
    (void)pthread_mutex_unlock(&fake.lock);
}

/* ---- the engine ---- */

static inline void fake_keep(struct blob *b, uint32_t first, uint32_t n)
{
    if (fake.forgetful)
        return;
    if (fake.slow_writes) {
        fake.late[fake.n_late].blob = b;
        fake.late[fake.n_late].first = first;
        fake.late[fake.n_late++].n = n;
        return;
    }
    b->known = true;
    for (uint32_t i = 0; i < n; i++)
        b->there[first + i] = true;
}

static inline void fake_settle(void)
{
    fake_locked();
    fake.slow_writes = false;
    for (unsigned i = 0; i < fake.n_late; i++)
        fake_keep(fake.late[i].blob, fake.late[i].first, fake.late[i].n);
    fake.n_late = 0;
    fake_unlocked();
}

static inline void fake_answer(struct read *r)
{
    fake_locked();
    int errnum =
        fake.failing == NULL || strstr(r->blob->info.key, fake.failing) != NULL ? fake.errnum : 0;
    if (errnum == 0)
        fake_keep(r->blob, (uint32_t)(r->offset / BLOCK_SIZE),
                  (r->size + BLOCK_SIZE - 1) / BLOCK_SIZE);
    fake.under_way--;
    fake_unlocked();
    r->done(r, NULL, 0, errnum);
}

static inline void *fake_thread(void *read)
{
    fake_answer(read);
    return NULL;
}

bool engine_read(struct engine *e, struct read *r, bool wait)
{
    (void)e;
    assert(wait && r->size <= READ_MAX && r->offset + r->size <= r->blob->info.size);
    fake_locked();
    fake.reads++;
    fake.read_bytes += r->size;
    if (++fake.under_way > fake.most_under_way)
        fake.most_under_way = fake.under_way;
    bool held = fake.held, threads = fake.threads;
    if (held)
        fake.waiting[fake.n_waiting++] = r;
    fake_unlocked();
    if (held)
        return false;
    if (threads) {
        int rc = pthread_create(&fake.started[fake.n_started++], NULL, fake_thread, r);
        assert(rc == 0);
        (void)rc;
        return false;
    }
    fake_answer(r);
    return true;
}

static inline void fake_release(void)
{
    fake.held = false;
    for (unsigned i = 0; i < fake.n_waiting; i++)
        fake_answer(fake.waiting[i]);
    fake.n_waiting = 0;
}

void engine_forget(struct engine *e, uint64_t blob)
{
    (void)e;
    (void)blob;
    fake.forgotten++;
}

void engine_stats(struct engine *e, struct engine_stats *stats)
{
    (void)e;
    *stats = (struct engine_stats){.waiting = 3, .fetching = 2, .queued = 1, .oldest_ms = 1500};
}

/* ---- the cache ---- */

struct blob *blob_use(struct cache *c, const struct blob_info *info)
{
    struct blob *b = NULL;

    (void)c;
    fake_locked();
    for (unsigned i = 0; i < FAKE_BLOBS && b == NULL; i++)
        if (fake.blobs[i].info.id == info->id)
            b = &fake.blobs[i];
    for (unsigned i = 0; i < FAKE_BLOBS && b == NULL; i++)
        if (fake.blobs[i].info.id == 0) {
            b = &fake.blobs[i];
            b->info = *info;
            (void)snprintf(b->strings.key, sizeof(b->strings.key), "%s", info->key);
            b->info.key = b->strings.key;
        }
    if (fake.full)
        b = NULL;
    if (b != NULL)
        b->uses++;
    fake_unlocked();
    return b;
}

struct blob *blob_use_cached(struct cache *c, uint64_t id)
{
    struct blob *b = NULL;

    (void)c;
    fake_locked();
    for (unsigned i = 0; i < FAKE_BLOBS; i++)
        if (fake.blobs[i].info.id == id && fake.blobs[i].known)
            b = &fake.blobs[i];
    if (b != NULL)
        b->uses++;
    fake_unlocked();
    return b;
}

struct blob *blob_again(struct blob *b)
{
    fake_locked();
    b->uses++;
    fake_unlocked();
    return b;
}

void blob_done(struct blob *b)
{
    if (b == NULL)
        return;
    fake_locked();
    assert(b->uses > 0);
    b->uses--;
    fake_unlocked();
}

const struct blob_info *blob_info(const struct blob *b)
{
    return &b->info;
}

uint32_t blob_blocks(const struct blob *b)
{
    return (uint32_t)((b->info.size + BLOCK_SIZE - 1) / BLOCK_SIZE);
}

uint32_t blob_block_size(const struct blob *b, uint32_t block)
{
    uint64_t left = b->info.size - (uint64_t)block * BLOCK_SIZE;

    return left < BLOCK_SIZE ? (uint32_t)left : BLOCK_SIZE;
}

uint64_t blob_present(struct blob *b, uint32_t first, uint32_t n)
{
    uint64_t bits = 0;

    assert(n <= 64);
    fake_locked();
    for (uint32_t i = 0; i < n; i++)
        bits |= (uint64_t)b->there[first + i] << i;
    fake_unlocked();
    return bits;
}

uint32_t blob_missing(struct blob *b, uint32_t from, uint32_t limit)
{
    uint32_t i = from, blocks = blob_blocks(b);

    fake_locked();
    while (i < blocks && i - from < limit && b->there[i])
        i++;
    fake_unlocked();
    return i;
}

bool blob_complete(struct blob *b)
{
    return blob_missing(b, 0, UINT32_MAX) == blob_blocks(b);
}

enum blob_result blob_read(struct blob *b, uint32_t block, void *to)
{
    memset(to, 0, BLOCK_SIZE);
    fake_locked();
    bool right = b->there[block] && !b->wrong[block];
    fake_unlocked();
    return right ? BLOB_OK : BLOB_ABSENT;
}

bool blob_can_verify(const struct blob *b)
{
    return b->can_verify;
}

int blob_verify(struct blob *b, void *buffer, uint64_t rate, const bool *stop)
{
    (void)rate;
    memset(buffer, 0, BLOCK_SIZE);
    if (__atomic_load_n(stop, __ATOMIC_ACQUIRE))
        return 0;
    return b->wrong_digest ? -1 : 1;
}

void blob_drop(struct blob *b)
{
    fake_locked();
    memset(b->there, 0, sizeof(b->there));
    b->known = false;
    fake_unlocked();
}

bool cache_has(struct cache *c, uint64_t id, uint64_t *bytes)
{
    bool has = false;

    (void)c;
    fake_locked();
    for (unsigned i = 0; i < FAKE_BLOBS; i++)
        if (fake.blobs[i].info.id == id && fake.blobs[i].known) {
            has = true;
            *bytes = fake.blobs[i].info.size;
        }
    fake_unlocked();
    return has;
}

static inline int fake_by_id(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

unsigned cache_ids(struct cache *c, uint64_t after, uint64_t *ids, unsigned n)
{
    uint64_t all[FAKE_BLOBS];
    unsigned found = 0;

    (void)c;
    fake_locked();
    if (fake.endless > 0) {
        ids[0] = fake.endless++;
        fake_unlocked();
        return 1;
    }
    for (unsigned i = 0; i < FAKE_BLOBS; i++)
        if (fake.blobs[i].known && fake.blobs[i].info.id > after)
            all[found++] = fake.blobs[i].info.id;
    fake_unlocked();
    qsort(all, found, sizeof(*all), fake_by_id);
    found = found < n ? found : n;
    memcpy(ids, all, found * sizeof(*ids));
    return found;
}

void cache_stats(struct cache *c, struct cache_stats *stats)
{
    (void)c;
    *stats = (struct cache_stats){
        .used = 1000, .limit = 4000, .blobs = 7, .evictions = 2, .punches_holes = true};
    fake_locked();
    for (unsigned i = 0; i < FAKE_BLOBS; i++)
        stats->blobs += fake.blobs[i].known;
    fake_unlocked();
}

/* ---- the catalog ---- */

struct nametree *catalog_tree(struct catalog *c)
{
    (void)c;
    return fake.tree != NULL ? nametree_ref(fake.tree) : NULL;
}

int64_t catalog_age_ms(const struct catalog *c)
{
    (void)c;
    return fake.tree != NULL ? 2500 : -1;
}

/* ---- for tests ---- */

static inline void fake_tree(const struct hfc_entry *entries, size_t n)
{
    struct nametree_builder *b = nametree_builder_new(64 * 1024 * 1024);
    struct hfc_error err;

    for (size_t i = 0; i < n; i++)
        if (nametree_add(b, &entries[i], &err) < 0)
            abort();
    nametree_unref(fake.tree);
    fake.tree = nametree_finish(b, "v", &err);
    if (fake.tree == NULL)
        abort();
}

/* Something of which the cache has everything, or as many blocks as told. */
static inline struct blob *fake_cached(uint64_t id, const char *key, uint64_t size, uint32_t blocks)
{
    struct blob *b = blob_use(NULL, &(struct blob_info){.id = id, .key = key, .size = size});

    b->known = true;
    for (uint32_t i = 0; i < blocks && i < blob_blocks(b); i++)
        b->there[i] = true;
    blob_done(b);
    return b;
}

static inline unsigned fake_uses(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_BLOBS; i++)
        n += fake.blobs[i].uses;
    return n;
}

static inline void fake_join(void)
{
    for (unsigned i = 0; i < fake.n_started; i++)
        (void)pthread_join(fake.started[i], NULL);
    fake.n_started = 0;
}

static inline void fake_reset(void)
{
    fake_join();
    nametree_unref(fake.tree);
    fake = (struct fake){.lock = PTHREAD_MUTEX_INITIALIZER};
}

#endif
