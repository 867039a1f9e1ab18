/* target.h: a bucket of this run: its store, and what is in it.
 *
 * Opening takes the lock (unless it is only looked at), reads the index and lists the bucket, and
 * joins both: an object of the index counts with its hashes if the listing shows it with the same
 * size and ETag, otherwise it is an object of unknown content. What is in `index` from then on is
 * what is really there, and the run keeps it so; `dirty` says that the published index is behind.
 *
 * A target that fails is left alone for the rest of the run; the others go on.
 */
#ifndef REFRESH_TARGET_H
#define REFRESH_TARGET_H

#include "content.h"
#include "gather.h"
#include "index.h"
#include "lock.h"
#include "store.h"

/* An upload in parts that an earlier run has left behind. */
struct leftover {
    char *key, *upload_id;
    bool taken; /* goes on in this run */
};

/* Whether an unfinished upload of this key can be one of this program's. */
typedef bool target_ours(void *ctx, const char *key);

struct target {
    struct hfc_loop *loop;
    struct hfc_store *store;
    struct hfc_index *index;
    struct content content; /* the index's entries by their hashes */
    struct lock *lock;      /* NULL: only looked at */
    struct leftover *leftovers;
    size_t nleftovers;
    bool uploads; /* this run has begun some */
    bool dirty;   /* the published index says something else */
    bool failed;  /* by `error` */
    struct hfc_error error;
    uint64_t pruned; /* objects deleted by this run */
    target_ours *ours;
    void *ours_ctx;
    enum { INDEX_UNSEEN, INDEX_ABSENT, INDEX_SEEN } index_state;
    char index_etag[HFC_ETAG_MAX];        /* INDEX_SEEN: of the published index */
    struct opening *opening;              /* target_open.c's, until it is open */
    struct target_publishing *publishing; /* the index is on its way */
};

struct target *target_new(struct hfc_loop *loop, const char *url,
                          const struct hfc_store_config *config, struct hfc_error *err);
const char *target_url(const struct target *t);

enum target_use { TARGET_READ, TARGET_WRITE };

struct target_open_options {
    enum target_use use;
    size_t tables;        /* bytes for the indexes of all of them */
    int64_t lock_wait_ms; /* patience with another writer */
    lock_say *say;        /* hears of waits, broken indexes and the like */
    target_ours *ours;    /* which uploads left behind are looked at; NULL: all */
    void *ctx;
};

/* Opens all of them side by side; those that fail are marked. -1: told to stop. */
int targets_open(struct target *const *targets, size_t n, const struct target_open_options *options,
                 struct hfc_error *err);

/* Notes an upload that is there and that nobody goes on with so far. */
void target_leftover(struct target *t, const char *key, const char *upload_id);

/* Aborts leftovers that were not taken, gives the locks back, closes and frees; also after a
 * failure or a stop. What can't be done within ten seconds is left to the next run. */
void targets_close(struct target *const *targets, size_t n);

/* Leaves it alone from now on. The first failure counts. */
void target_fail(struct target *t, const struct hfc_error *why);

/* Notes that the object is there, with this content if its meta says so; a ref with its commit,
 * else NULL. -1: the tables are full. */
int target_stored(struct target *t, const char *key, const struct hfc_object *object,
                  const char *commit, struct hfc_error *err);

/* Notes that it is not there, or not to be shown, any more. */
void target_removed(struct target *t, const char *key);

/* Puts the index where it is read, on condition that it is still the one that was read or put last,
 * and clears `dirty`. One at a time; the main flow's business.
 * What is stored meanwhile is noted when it has ended. */
void target_publish_index(struct target *t, hfc_store_done *done, void *ctx);

#endif
