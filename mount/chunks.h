/* chunks.h: the arena, cut into chunks of one block; a small cache of blocks in memory.
 *
 * The arena is shared memory that the keeper made (resident, and not taken by the OOM reaper):
 * replies are written from here only, and O_DIRECT reads and writes the cache's files here. A chunk
 * is free, held by one owner who fills it, or ready: it holds a block of a blob, may be pinned by
 * many, and is reused, least recently used first, when nobody pins it.
 *
 * Lock: all functions are called with the engine's lock held (engine.h); the bytes of a chunk that
 * one holds or pins may be used without it.
 */
#ifndef MOUNT_CHUNKS_H
#define MOUNT_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "memory_plan.h"

struct chunks;

struct chunk {
    uint8_t *bytes; /* BLOCK_SIZE, aligned to pages */
    uint64_t blob;  /* id; 0: none */
    uint32_t block;
    uint32_t filled; /* bytes that are right, from the begin; a ready chunk: all of the block */
    uint32_t pins;
    bool ready;
    struct chunk *next, *prev; /* in the list of those that nobody pins, oldest first */
};

/* `arena` is `count` * BLOCK_SIZE bytes. */
struct chunks *chunks_new(void *arena, unsigned count);
void chunks_free(struct chunks *c);

/* n chunks, pinned once, empty; all or none: false if so many are not to be had now. */
bool chunks_take(struct chunks *c, struct chunk **to, unsigned n);

/* Makes a held chunk known as this block, of `size` bytes. If there is one already (two may have
 * loaded the same block), that one stays the known one and this one is free once unpinned. */
void chunk_publish(struct chunks *c, struct chunk *k, uint64_t blob, uint32_t block, uint32_t size);

/* The ready chunk of a block, pinned; NULL. */
struct chunk *chunk_find(struct chunks *c, uint64_t blob, uint32_t block);

void chunk_pin(struct chunks *c, struct chunk *k);
/* The last pin of a chunk that is not ready frees it. */
void chunk_unpin(struct chunks *c, struct chunk *k);

/* Forgets all ready chunks of a blob; pinned ones when they are unpinned. */
void chunks_drop(struct chunks *c, uint64_t blob);

unsigned chunks_in_use(const struct chunks *c); /* pinned */

#endif
