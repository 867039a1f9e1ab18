/* chunks.c: the arena's chunks; see chunks.h. Owns their structs and how they are found: by blob
 * and block in a table, and those that nobody pins in a list, free ones first, then ready ones,
 * least recently used first. Guarded by the engine's lock.
 */
#include "chunks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct chunks {
    unsigned count, pinned;
    struct chunk *all;
    struct chunk *first, *last; /* that nobody pins */
    /* Buckets of ready chunks, and for each chunk the next one of its bucket. */
    struct chunk **buckets, **chain;
    unsigned bits;
};

static struct chunk **bucket_of(const struct chunks *c, uint64_t blob, uint32_t block)
{
    uint64_t mixed = (blob ^ block * 0xff51afd7ed558ccdULL) * 0x9e3779b97f4a7c15ULL;

    return &c->buckets[mixed >> (64 - c->bits)];
}

/* ---- The list. ---- */

static void list_remove(struct chunks *c, struct chunk *k)
{
    *(k->prev != NULL ? &k->prev->next : &c->first) = k->next;
    *(k->next != NULL ? &k->next->prev : &c->last) = k->prev;
    k->next = k->prev = NULL;
}

static void list_append(struct chunks *c, struct chunk *k)
{
    k->prev = c->last;
    k->next = NULL;
    *(c->last != NULL ? &c->last->next : &c->first) = k;
    c->last = k;
}

static void list_prepend(struct chunks *c, struct chunk *k)
{
    k->prev = NULL;
    k->next = c->first;
    *(c->first != NULL ? &c->first->prev : &c->last) = k;
    c->first = k;
}

/* ---- The table. ---- */

static struct chunk **chain_of(const struct chunks *c, const struct chunk *k)
{
    return &c->chain[k - c->all];
}

static struct chunk *lookup(const struct chunks *c, uint64_t blob, uint32_t block)
{
    struct chunk *k = *bucket_of(c, blob, block);

    while (k != NULL && (k->blob != blob || k->block != block))
        k = *chain_of(c, k);
    return k;
}

/* The chunk is known as no block any more. */
static void unpublish(struct chunks *c, struct chunk *k)
{
    struct chunk **at = bucket_of(c, k->blob, k->block);

    assert(k->ready);
    while (*at != k)
        at = chain_of(c, *at);
    *at = *chain_of(c, k);
    k->ready = false;
    k->blob = 0;
}

struct chunks *chunks_new(void *arena, unsigned count)
{
    struct chunks *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->count = count;
    for (c->bits = 1; 1U << c->bits < 2 * count;)
        c->bits++;
    c->all = calloc(count, sizeof(*c->all));
    c->buckets = calloc((size_t)1 << c->bits, sizeof(struct chunk *));
    c->chain = calloc(count, sizeof(struct chunk *));
    if (c->all == NULL || c->buckets == NULL || c->chain == NULL) {
        chunks_free(c);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        c->all[i].bytes = (uint8_t *)arena + (size_t)i * BLOCK_SIZE;
        list_append(c, &c->all[i]);
    }
    return c;
}

void chunks_free(struct chunks *c)
{
    if (c == NULL)
        return;
    free(c->all);
    free(c->buckets);
    free(c->chain);
    free(c);
}

bool chunks_take(struct chunks *c, struct chunk **to, unsigned n)
{
    if (n > c->count - c->pinned)
        return false;
    for (unsigned i = 0; i < n; i++) {
        struct chunk *k = c->first;
        assert(k != NULL && k->pins == 0);
        if (k->ready)
            unpublish(c, k);
        k->filled = 0;
        chunk_pin(c, k);
        to[i] = k;
    }
    return true;
}

void chunk_publish(struct chunks *c, struct chunk *k, uint64_t blob, uint32_t block, uint32_t size)
{
    struct chunk **bucket = bucket_of(c, blob, block);

    assert(k->pins > 0 && !k->ready && blob != 0 && size <= BLOCK_SIZE);
    k->filled = size;
    if (lookup(c, blob, block) != NULL)
        return;
    k->blob = blob;
    k->block = block;
    k->ready = true;
    *chain_of(c, k) = *bucket;
    *bucket = k;
}

struct chunk *chunk_find(struct chunks *c, uint64_t blob, uint32_t block)
{
    struct chunk *k = lookup(c, blob, block);

    if (k != NULL)
        chunk_pin(c, k);
    return k;
}

void chunk_pin(struct chunks *c, struct chunk *k)
{
    if (k->pins++ > 0)
        return;
    list_remove(c, k);
    c->pinned++;
}

void chunk_unpin(struct chunks *c, struct chunk *k)
{
    assert(k->pins > 0 && c->pinned > 0);
    if (--k->pins > 0)
        return;
    c->pinned--;
    if (k->ready)
        list_append(c, k);
    else
        list_prepend(c, k);
}

void chunks_drop(struct chunks *c, uint64_t blob)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct chunk *k = &c->all[i];
        if (!k->ready || k->blob != blob)
            continue;
        unpublish(c, k);
        if (k->pins > 0)
            continue;
        list_remove(c, k);
        list_prepend(c, k);
    }
}

unsigned chunks_in_use(const struct chunks *c)
{
    return c->pinned;
}
