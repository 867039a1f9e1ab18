/* engine_fetch.h: fetches, the GETs under way, and the line for them, for the engine's files only;
 * see engine_internal.h.
 *
 * Threads: the loop's, where nothing else is said.
 */
#ifndef MOUNT_ENGINE_FETCH_H
#define MOUNT_ENGINE_FETCH_H

#include <sys/queue.h>

#include "chunks.h"
#include "engine.h"

struct stream;

/* Chunks of a read past the cache, from block `base`; bit i of `have`: was there before. */
struct own {
    struct chunk *chunks[READ_BLOCKS_MAX];
    uint32_t base;
    unsigned n, taken, have;
};

struct fetch {
    struct engine *e;
    struct stream *stream; /* NULL: cancelled, or ended */
    struct hfc_store_op *op;
    TAILQ_ENTRY(fetch) pause;
    uint64_t began, bytes; /* bytes: not yet counted */
    unsigned epoch;
    uint32_t first, block, end; /* the range; `block` is under way */
    uint32_t asked;             /* the end that was asked for; another GET may have come between */
    uint32_t filled, size;      /* bytes of it */
    uint32_t wake_at;           /* `filled` for which somebody waits */
    size_t skip;                /* bytes that were taken and come again after a pause */
    struct chunk *chunk;        /* of the block under way; NULL: none yet */
    bool cancelled, paused, stopped, past, discard;
    /* Lock: */
    bool busy, over, checking, answering; /* over: its done() was called */
    struct own own;
    struct read *reader; /* past the cache: whose it is, until he has his answer */
};

struct fetch *fetch_new(struct engine *e, struct stream *s, uint32_t from, uint32_t to);
void fetch_start(struct fetch *f);
void fetch_cancel(struct fetch *f);
void fetch_settle(struct fetch *f); /* lock: frees it when all is done with it */
void fetches_resume(struct engine *e);
bool fetch_room(struct engine *e);

void line_update(struct engine *e, struct stream *s);
uint64_t line_retry(struct engine *e, struct stream *s);
void line_leave(struct engine *e, struct stream *s);
void line_leap(struct engine *e, struct stream *s);
bool line_no_leaps(struct engine *e);
void line_schedule(struct engine *e);

#endif
