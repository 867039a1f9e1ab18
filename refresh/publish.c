/* publish.c: makes a snapshot visible; see snapshot_publish() in snapshot.h.
 *
 *   trees/COMMIT.json   what the snapshot has
 *   the index           moves readers of the index, all at once: it holds the refs' contents
 *   refs/NAME           moves readers without an index
 *
 * Each step ends in all buckets before the next begins; a bucket that fails takes no further part.
 * Whatever dies in between, a ref names a complete snapshot: the old one or the new one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "need.h"
#include "snapshot.h"
#include "tree_body.h"

struct publishing {
    struct gather *gather;
    struct snapshot *s;
    size_t i;
    struct target *target;
    struct hfc_buf key;
    struct tree_body *tree;
    struct hfc_memory_body ref;
    uint8_t ref_sha256[HFC_SHA256_SIZE];
    bool ref_is_there; /* the object names this commit already */
    bool changed;      /* something was put */
    bool at_the_end;   /* the last step was begun */
    bool failed;
};

typedef void publish_step(struct publishing *p);

static void publish_fail(struct publishing *p, const struct hfc_error *why)
{
    p->failed = true;
    target_fail(p->target, why);
    snapshot_fail(p->s, p->i, why);
}

static void step_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct publishing *p = ctx;

    (void)reply;
    if (err != NULL)
        publish_fail(p, err);
    gather_end(p->gather);
}

/* The tree. */

static void tree_put(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct publishing *p = ctx;
    struct hfc_object object = reply->object;
    struct hfc_body body = tree_body_source(p->tree);
    struct hfc_error full = {0};

    object.size = body.size;
    object.meta = (struct hfc_meta){.has_sha256 = true};
    memcpy(object.meta.sha256, body.sha256, sizeof(object.meta.sha256));
    if (err != NULL)
        publish_fail(p, err);
    else if (target_stored(p->target, p->key.data, &object, NULL, &full) < 0)
        publish_fail(p, &full);
    gather_end(p->gather);
}

static const struct hfc_entry *current_tree(struct publishing *p)
{
    hfc_buf_reset(&p->key);
    snapshot_tree_key(p->s, &p->key);
    return hfc_index_find(p->target->index, p->key.data);
}

static bool tree_is_there(struct publishing *p)
{
    const struct hfc_entry *e = current_tree(p);
    struct hfc_body body = tree_body_source(p->tree);

    return e != NULL && e->meta.has_sha256 && e->size == body.size &&
           memcmp(e->meta.sha256, body.sha256, sizeof(e->meta.sha256)) == 0;
}

/* A tree that says something else is replaced: the published index must not show it meanwhile. */
static void withdraw_tree(struct publishing *p)
{
    if (tree_is_there(p) || current_tree(p) == NULL)
        return;
    target_removed(p->target, p->key.data);
    gather_begin(p->gather);
    target_publish_index(p->target, step_done, p);
}

static void put_tree(struct publishing *p)
{
    if (tree_is_there(p))
        return;
    p->changed = true;
    struct hfc_put put = {
        .key = p->key.data, .body = tree_body_source(p->tree), .content_type = "application/json"};
    put.meta.has_sha256 = true;
    memcpy(put.meta.sha256, put.body.sha256, sizeof(put.meta.sha256));
    gather_begin(p->gather);
    (void)hfc_store_put(p->target->store, &put, tree_put, p);
}

/* The index. */

static bool brought_something(const struct publishing *p)
{
    const struct snapshot_target *in = &p->s->in[p->i];

    return in->files[FILE_STORED] + in->files[FILE_COPIED] > 0;
}

static bool note_snapshot(struct publishing *p, struct hfc_error *err)
{
    struct hfc_snapshot line = {.repo = p->s->folder, .has_filter = true};
    const struct hfc_snapshot *old =
        hfc_index_snapshot(p->target->index, p->s->folder, p->s->commit);

    memcpy(line.commit, p->s->commit, sizeof(line.commit));
    memcpy(line.filter, p->s->filter, sizeof(line.filter));
    if (old != NULL && old->has_filter &&
        memcmp(old->filter, line.filter, sizeof(line.filter)) == 0)
        return true;
    /* Another filter for the same commit, and it needs nothing more: two lines of models.txt would
     * replace each other's in turn. */
    if (old != NULL && old->has_filter && !brought_something(p))
        return true;
    p->target->dirty = p->changed = true;
    return hfc_index_put_snapshot(p->target->index, &line, err) == 0;
}

static bool note_ref(struct publishing *p, struct hfc_error *err)
{
    struct hfc_object object = {.size = HFC_COMMIT_SIZE - 1};

    hfc_buf_reset(&p->key);
    snapshot_ref_key(p->s, &p->key);
    const struct hfc_entry *old = hfc_index_find(p->target->index, p->key.data);
    p->ref_is_there = old != NULL && strcmp(old->commit, p->s->commit) == 0;
    return p->ref_is_there ||
           target_stored(p->target, p->key.data, &object, p->s->commit, err) == 0;
}

static void put_index(struct publishing *p)
{
    struct hfc_error full = {0};

    if (!note_snapshot(p, &full) || !note_ref(p, &full)) {
        publish_fail(p, &full);
        return;
    }
    if (!p->target->dirty)
        return;
    gather_begin(p->gather);
    target_publish_index(p->target, step_done, p);
}

/* The ref: 40 bytes, no newline. */
static void put_ref(struct publishing *p)
{
    p->at_the_end = true;
    if (p->ref_is_there)
        return;
    p->changed = true;
    p->ref = (struct hfc_memory_body){p->s->commit, HFC_COMMIT_SIZE - 1};
    hfc_hash_of(HFC_SHA256, p->ref.bytes, p->ref.n, p->ref_sha256);
    struct hfc_put put = {.key = p->key.data,
                          .body = hfc_body_of(&p->ref, p->ref_sha256),
                          .content_type = "text/plain"};
    put.meta.has_sha256 = true;
    memcpy(put.meta.sha256, p->ref_sha256, sizeof(put.meta.sha256));
    gather_begin(p->gather);
    (void)hfc_store_put(p->target->store, &put, step_done, p);
}

/* Everything was there or was brought; but somebody may have a hand in the bucket. */
static void check_whole(struct publishing *p)
{
    struct hfc_error err;

    if (tree_body_is_whole(p->tree))
        return;
    (void)hfc_error_set(&err, ESTALE, "a file that was there is gone; the next run brings it");
    p->failed = true;
    snapshot_fail(p->s, p->i, &err);
}

/* All targets that have everything take part. */
static size_t enter(struct snapshot *s, struct gather *g, struct publishing *all)
{
    size_t n = 0;

    for (size_t i = 0; i < s->run->ntargets; i++) {
        struct target *t = s->run->targets[i];
        if (s->in[i].standing == STANDING_BEHIND && t->failed)
            snapshot_fail(s, i, &t->error);
        if (s->in[i].standing != STANDING_BEHIND)
            continue;
        all[n] = (struct publishing){.gather = g, .s = s, .i = i, .target = t};
        hfc_buf_init(&all[n].key, 2 * HFC_KEY_MAX);
        all[n].tree = tree_body_new(s, t);
        check_whole(&all[n]);
        n++;
    }
    return n;
}

static void settle_standing(struct publishing *p)
{
    struct snapshot_target *in = &p->s->in[p->i];

    if (!p->at_the_end)
        snapshot_fail(p->s, p->i, &p->target->error);
    else
        in->standing = p->changed || brought_something(p) ? STANDING_PUBLISHED : STANDING_UNCHANGED;
}

static void leave(struct publishing *all, size_t n, bool stopped)
{
    for (size_t p = 0; p < n; p++) {
        if (!all[p].failed && !stopped)
            settle_standing(&all[p]);
        tree_body_free(all[p].tree);
        hfc_buf_free(&all[p].key);
    }
}

int snapshot_publish(struct snapshot *s, struct hfc_error *err)
{
    static publish_step *const steps[] = {withdraw_tree, put_tree, put_index, put_ref};
    struct gather g = GATHER;
    struct publishing all[TARGETS_MAX];
    int rc = 0;

    if (s->error.msg[0] != '\0')
        return 0;
    size_t n = enter(s, &g, all);
    for (size_t step = 0; step < HFC_ARRAY_LEN(steps) && rc == 0; step++) {
        for (size_t p = 0; p < n; p++)
            if (!all[p].failed && !all[p].target->failed)
                steps[step](&all[p]);
        rc = gather_wait(s->run->loop, &g, err);
    }
    leave(all, n, rc < 0);
    return rc;
}
