/* target.c: a bucket's state in this run, but for opening it (target_open.c); see target.h. */
#include "target.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "need.h"
#include "upload.h"

enum { CLOSE_MS = 8000, CLOSE_LATE_MS = 2000, LEFTOVERS_MAX = 10000 };

/* An object that was stored while the index was being sent. */
struct late {
    struct late *next;
    char *key;
    struct hfc_object object;
};

struct target_publishing {
    struct hfc_index_writer *writer;
    struct late *first, **last;
    bool plain; /* the server knows no conditions */
    hfc_store_done *done;
    void *ctx;
};

struct target *target_new(struct hfc_loop *loop, const char *url,
                          const struct hfc_store_config *config, struct hfc_error *err)
{
    struct hfc_store *store = hfc_store_open(loop, url, config, err);

    if (store == NULL)
        return NULL;
    struct target *t = need(calloc(1, sizeof(*t)));
    t->loop = loop;
    t->store = store;
    return t;
}

const char *target_url(const struct target *t)
{
    return hfc_store_url(t->store);
}

/* That a stop has cancelled something is no fault of the bucket: it still has to be left tidy. */
void target_fail(struct target *t, const struct hfc_error *why)
{
    if (why->errnum == ECANCELED && hfc_loop_stopped(t->loop))
        return;
    if (!t->failed)
        t->error = *why;
    t->failed = true;
}

/* The entry that is replaced goes first, as the table of contents points to it. */
static int note(struct target *t, const char *key, const struct hfc_object *object,
                const char *commit, struct hfc_error *err)
{
    struct hfc_entry e = {
        .key = key, .etag = object->etag, .size = object->size, .meta = object->meta};

    if (commit != NULL)
        memcpy(e.commit, commit, sizeof(e.commit));
    target_removed(t, key);
    if (hfc_index_put(t->index, &e, err) < 0)
        return hfc_error_prefix(err, "%s holds too many objects for its share of --memory",
                                target_url(t));
    content_add(&t->content, hfc_index_find(t->index, key));
    t->dirty = true;
    return 0;
}

int target_stored(struct target *t, const char *key, const struct hfc_object *object,
                  const char *commit, struct hfc_error *err)
{
    if (t->publishing == NULL)
        return note(t, key, object, commit, err);
    assert(commit == NULL); /* refs are written by the main flow, which waits for the index */
    struct late *late = need(calloc(1, sizeof(*late)));
    late->key = need_copy(key, strlen(key));
    late->object = *object;
    *t->publishing->last = late;
    t->publishing->last = &late->next;
    return 0;
}

void target_removed(struct target *t, const char *key)
{
    const struct hfc_entry *e = hfc_index_find(t->index, key);

    assert(t->publishing == NULL);
    if (e == NULL)
        return;
    content_remove(&t->content, e);
    (void)hfc_index_remove(t->index, key);
    t->dirty = true;
}

void target_leftover(struct target *t, const char *key, const char *upload_id)
{
    size_t n = t->nleftovers;

    if (n == LEFTOVERS_MAX || (t->ours != NULL && !t->ours(t->ours_ctx, key)))
        return;
    if ((n & (n - 1)) == 0)
        t->leftovers = need(reallocarray(t->leftovers, n > 0 ? 2 * n : 1, sizeof(*t->leftovers)));
    t->leftovers[t->nleftovers++] = (struct leftover){
        .key = need_copy(key, strlen(key)), .upload_id = need_copy(upload_id, strlen(upload_id))};
}

static void forget_leftovers(struct target *t)
{
    for (size_t i = 0; i < t->nleftovers; i++) {
        free(t->leftovers[i].key);
        free(t->leftovers[i].upload_id);
    }
    free(t->leftovers);
    t->leftovers = NULL;
    t->nleftovers = 0;
}

static void note_late(struct target *t, struct late *late)
{
    struct hfc_error err = {0};

    while (late != NULL) {
        struct late *next = late->next;
        if (note(t, late->key, &late->object, NULL, &err) < 0)
            target_fail(t, &err);
        free(late->key);
        free(late);
        late = next;
    }
}

static void published(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err);

/* The condition stops a writer that has lost its lock without noticing. */
static void put_index(struct target *t)
{
    struct target_publishing *p = t->publishing;
    struct hfc_put put = {.key = HFC_INDEX_KEY,
                          .body = hfc_index_body(p->writer),
                          .content_type = "text/plain; charset=utf-8"};

    put.meta.has_sha256 = true;
    memcpy(put.meta.sha256, put.body.sha256, sizeof(put.meta.sha256));
    if (t->index_state == INDEX_ABSENT && !p->plain)
        put.condition = HFC_IF_ABSENT;
    if (t->index_state == INDEX_SEEN && !p->plain) {
        put.condition = HFC_IF_MATCH;
        put.if_match = t->index_etag;
    }
    (void)hfc_store_put(t->store, &put, published, t);
}

static void published(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct target *t = ctx;
    struct target_publishing *p = t->publishing;

    if (err != NULL && err->errnum == EINVAL && !p->plain) {
        p->plain = true;
        put_index(t);
        return;
    }
    t->publishing = NULL;
    hfc_index_writer_free(p->writer);
    if (err == NULL) {
        t->dirty = false;
        t->index_state = INDEX_SEEN;
        memcpy(t->index_etag, reply->object.etag, sizeof(t->index_etag));
    }
    note_late(t, p->first);
    p->done(p->ctx, reply, err);
    free(p);
}

void target_publish_index(struct target *t, hfc_store_done *done, void *ctx)
{
    assert(t->publishing == NULL && t->lock != NULL);
    struct target_publishing *p = need(calloc(1, sizeof(*p)));
    p->writer = hfc_index_writer_new(t->index);
    p->last = &p->first;
    p->done = done;
    p->ctx = ctx;
    t->publishing = p;
    put_index(t);
}

/* Closing. Failures are of no interest: the next run finds what is left. */

struct closing {
    struct gather gather;
    struct hfc_timer deadline;
    struct target *const *targets;
    size_t n;
    bool late;
};

/* Once for each step that is still to come: the lock is tried even then. */
static void too_late(void *ctx)
{
    struct closing *c = ctx;

    c->late = true;
    hfc_timer_start(c->targets[0]->loop, &c->deadline, CLOSE_LATE_MS, too_late, c);
    for (size_t i = 0; i < c->n; i++)
        hfc_store_cancel_all(c->targets[i]->store);
}

static bool may_clean(const struct target *t)
{
    return !t->failed && t->lock != NULL && lock_held(t->lock);
}

static void stray(void *ctx, const char *key, const char *upload_id, int64_t initiated)
{
    const struct gather_target *g = ctx;

    (void)initiated;
    target_leftover(g->target, key, upload_id);
}

static void strays_listed(void *ctx, const struct hfc_store_reply *reply,
                          const struct hfc_error *err)
{
    struct gather_target *g = ctx;

    (void)reply, (void)err;
    gather_end(g->gather);
    free(g);
}

/* An upload may have begun though its answer was lost (a client's library tries again by itself, so
 * counts don't tell), or an abort may have failed. By now all uploads that are there are strays. */
static void find_strays(struct target *t, struct gather *g)
{
    if (!may_clean(t) || !t->uploads)
        return;
    forget_leftovers(t);
    struct gather_target *each = need(malloc(sizeof(*each)));
    *each = (struct gather_target){g, t};
    gather_begin(g);
    (void)hfc_store_list_uploads(t->store, "", stray, strays_listed, each);
}

static void aborted(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    (void)reply, (void)err;
    gather_end(ctx);
}

static void released(void *ctx, const struct hfc_error *err)
{
    (void)err;
    gather_end(ctx);
}

static void abort_leftovers(struct target *t, struct gather *g)
{
    for (size_t i = 0; i < t->nleftovers; i++) {
        const struct leftover *l = &t->leftovers[i];
        if (l->taken || !may_clean(t))
            continue;
        gather_begin(g);
        (void)hfc_store_abort(t->store, l->key, l->upload_id, aborted, g);
    }
}

/* The lock goes last: until then nobody else may touch the uploads. */
static void give_back(struct target *t, struct gather *g)
{
    if (t->lock == NULL || !lock_may_be_there(t->lock))
        return;
    gather_begin(g);
    lock_release(t->lock, released, g);
}

static void target_free(struct target *t)
{
    assert(t->opening == NULL && t->publishing == NULL);
    forget_leftovers(t);
    content_free(&t->content);
    hfc_index_free(t->index);
    lock_free(t->lock);
    hfc_store_close(t->store);
    free(t);
}

void targets_close(struct target *const *targets, size_t n)
{
    struct closing c = {.gather = GATHER, .targets = targets, .n = n};
    void (*const steps[])(struct target *, struct gather *) = {find_strays, abort_leftovers,
                                                               give_back};

    if (n > 0)
        hfc_timer_start(targets[0]->loop, &c.deadline, CLOSE_MS, too_late, &c);
    for (size_t s = 0; s < HFC_ARRAY_LEN(steps) && n > 0; s++) {
        for (size_t i = 0; i < n && (!c.late || steps[s] == give_back); i++)
            steps[s](targets[i], &c.gather);
        (void)gather_wait(targets[0]->loop, &c.gather, NULL);
    }
    hfc_timer_stop(&c.deadline);
    for (size_t i = 0; i < n; i++)
        target_free(targets[i]);
}
