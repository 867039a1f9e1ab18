/* transfer_internal.h: what the files of the transfer engine ask of each other; see transfer.h. */
#ifndef REFRESH_TRANSFER_INTERNAL_H
#define REFRESH_TRANSFER_INTERNAL_H

#include "transfer.h"

/* A file that has not begun: no more than where it is described. */
struct queued {
    struct queued *next;
    struct snapshot *snapshot;
    struct wanted *wanted;
};

struct queue {
    struct queued *first, **end;
};

enum { QUEUE_WHOLE, QUEUE_LARGE, QUEUES }; /* files of one PUT, files in parts */

struct transfers {
    struct run *run;
    struct queue queues[QUEUES];
    struct transfer *active;
    unsigned nactive, nlarge, nstreams;
    uint8_t *arena; /* the blocks' memory */
    uint8_t **free_blocks;
    unsigned nfree;
    size_t small_left;
    struct hfc_timer pump, stop;
    struct hfc_stop_hook hook;
    bool idle, news, stopping;
};

/* transfers.c */
void transfers_wake(struct transfers *t); /* look for something to do, soon */
uint8_t *transfers_take(struct transfers *t, size_t size, bool small); /* NULL: later */
void transfers_give(struct transfers *t, uint8_t *bytes, size_t size, bool small);
void transfers_ended(struct transfer *tr); /* frees it */

/* transfer.c */
void transfer_free(struct transfer *tr);
struct transfer *transfer_new(struct transfers *t, struct snapshot *s, struct wanted *w);
void transfer_begin(struct transfer *tr);
bool transfer_is_small(const struct transfer *tr); /* it has memory of its own kind */
bool transfer_can_fetch(const struct transfer *tr);
void transfer_check(struct transfer *tr); /* after each event: is anything over? `tr` may be gone */
void transfer_fail(struct transfer *tr, const struct hfc_error *why);
struct target *sink_target(const struct sink *s);
bool transfer_has_sinks(const struct transfer *tr, enum sink_state state);

/* transfer_block.c */
bool block_start(struct transfer *tr); /* false: no memory for it now */
void block_release(struct block *b);   /* frees it if nobody needs it */
void blocks_release(struct transfer *tr);
void blocks_cancel(struct transfer *tr);

/* transfer_sink.c */
void sink_begin(struct sink *s);
void sink_send(struct sink *s, struct block *b); /* a block that is a part */
void sink_finish(struct sink *s);
void sink_abort(struct sink *s);
void sink_give_up(struct sink *s); /* as its bucket was */
void sink_fail(struct sink *s, const struct hfc_error *why);
void sink_free(struct sink *s);

/* transfer_stream.c */
bool transfer_streams(const struct transfer *tr); /* parts of several blocks */
void stream_advance(struct transfer *tr);         /* bytes have come, or a part has ended */
void stream_hash(struct transfer *tr, const struct block *b, const uint8_t *bytes, size_t n);
bool stream_needs(const struct transfer *tr, const struct block *b);
void stream_cancel(struct sink *s);

#endif
