/* engine_stream.h: streams, the blobs that are read, for the engine's files only; see
 * engine_internal.h.
 *
 * A stream gathers all that concerns one blob: who waits, what is being fetched, how its readers
 * move. It has a use of its blob while there is work; without, it rests, so that readers are known
 * again, and is taken for another blob when it has rested longest.
 */
#ifndef MOUNT_ENGINE_STREAM_H
#define MOUNT_ENGINE_STREAM_H

#include <sys/queue.h>

#include "chunks.h"
#include "engine.h"

enum { CURSORS = 3, CAUSE_MAX = 200 };

/* What other threads tell the loop about a stream. */
enum { TOLD_FULL = 1, TOLD_WRITTEN = 2, TOLD_VERDICT = 4, TOLD_AHEAD = 8 };

struct reads {
    struct read *first, *last;
    unsigned n;
};
void reads_push(struct reads *list, struct read *r);
void reads_remove(struct reads *list, struct read *r);

/* A reader, as it shows in the reads. Lock. */
struct cursor {
    uint64_t next, used; /* where it will go on; when it was seen, 0: never */
    uint32_t ahead;      /* blocks up to this one are there, or have been asked for */
    uint32_t window;     /* blocks */
    bool runs;           /* goes on in sequence */
};

struct stream {
    /* Lock: */
    uint64_t id;
    struct stream *same; /* the next one of its bucket */
    struct blob *blob;   /* NULL: it rests */
    TAILQ_ENTRY(stream) rest, told, job;
    struct cursor cursors[CURSORS];
    struct fetch *fetches[FETCHES_OF_ONE_BLOB]; /* that are not cancelled and have not ended */
    unsigned writing, news;                     /* blocks on their way to the disk; TOLD_* */
    int verdict;                                /* as of blob_verify() */
    struct fetch *check;  /* whose chunks are being verified; NULL: the disk's */
    bool checking, whole; /* whole: nothing is answered before the digest was right */
    bool full, wrote; /* the last block found no room; blocks were stored since the last check */
    /* Loop: */
    struct reads waiting;
    TAILQ_ENTRY(stream) line, leap; /* line: or retries */
    enum { NOWHERE, IN_LINE, RETRYING } place;
    bool leaps; /* stands in line for fetching ahead */
    unsigned tries, wrong;
    uint64_t retry_at, wrong_until, given_up_until; /* clock_ns() */
};

/* Of a read: the blocks that `missing` is about. */
void stream_span(const struct stream *s, const struct read *r, uint32_t *first, unsigned *n);
struct stream *stream_get(struct engine *e, struct blob *blob); /* lock; NULL: all are at work */
struct stream *stream_find(struct engine *e, uint64_t id);      /* lock */
void stream_note(struct engine *e, struct stream *s, const struct read *r); /* lock */
struct cursor *stream_cursor(struct stream *s, const struct read *r);       /* lock; or NULL */
bool cursor_wants_ahead(const struct stream *s, const struct cursor *c);    /* lock */
void stream_tell(struct engine *e, struct stream *s, unsigned news);        /* lock */
bool stream_fetches(const struct stream *s);                                /* lock, or loop */
bool stream_has_place(const struct stream *s);                              /* lock, or loop */
bool blob_waits_for_digest(const struct blob *b);
/* The rest: loop. */
bool stream_attach(struct engine *e, struct read *r);       /* false: no stream is to be had */
void stream_assess_all(struct engine *e, struct stream *s); /* looks where blocks are */
void stream_set_whole(struct engine *e, struct stream *s);
void stream_judge(struct engine *e, struct stream *s); /* answers reads whose bytes are here */
void stream_ready(struct engine *e, struct stream *s, struct read *r);
void stream_check(struct engine *e, struct stream *s, struct fetch *f);
void stream_fail(struct engine *e, struct stream *s, int errnum);
void stream_fail_read(struct engine *e, struct stream *s, struct read *r, int errnum);
void stream_touch(struct engine *e, struct stream *s); /* after any change */
void streams_news(struct engine *e);
void streams_expire(struct engine *e, uint64_t now);

#endif
