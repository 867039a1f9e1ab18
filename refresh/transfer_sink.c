/* transfer_sink.c: a bucket's side of a transfer: copies, uploads, parts; see transfer.h.
 *
 * What a bucket has already is used: the same content under another key is copied, and the finished
 * parts of an upload that an earlier run left behind are kept if their SHA-256 is that of the bytes
 * that now come from the Hub.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "transfer_internal.h"

static void op_began(struct sink *s)
{
    s->transfer->ops++;
}

/* Last in each callback. */
static void op_ended(struct sink *s)
{
    s->transfer->ops--;
    transfer_check(s->transfer);
}

/* Wrong bytes, a file that is too large: the matter of one file. All else is the bucket's, but for
 * parts of several blocks, which can be cut by a source that is slow. */
static bool concerns_the_file_only(int errnum)
{
    return errnum == EBADMSG || errnum == EINVAL || errnum == ESTALE || errnum == ECANCELED ||
           errnum == EFBIG;
}

void sink_fail(struct sink *s, const struct hfc_error *why)
{
    if (s->state == SINK_FAILED || s->state == SINK_DONE)
        return;
    s->state = SINK_FAILED;
    s->error = *why;
    if (!s->again && !transfer_streams(s->transfer) && !concerns_the_file_only(why->errnum))
        target_fail(sink_target(s), why);
}

/* Whoever comes too late for its target ends here. */
static void sink_done(struct sink *s, const struct hfc_object *stored, enum file_outcome outcome)
{
    struct transfer *tr = s->transfer;
    struct hfc_object object = *stored;
    struct hfc_error err = {0};

    object.size = tr->wanted->id.size;
    if (target_stored(sink_target(s), tr->key, &object, NULL, &err) < 0) {
        sink_fail(s, &err);
        return;
    }
    s->state = SINK_DONE;
    snapshot_file_ended(tr->snapshot, tr->wanted, s->i, outcome, NULL);
}

/* The reason was told where it happened, and may name another file. */
void sink_give_up(struct sink *s)
{
    struct hfc_error err = sink_target(s)->error;

    (void)hfc_error_prefix(&err, "the bucket was given up");
    sink_fail(s, &err);
}

/* An upload that is gone, by a lifecycle rule or another hand, is begun anew. */
static void sink_lost_upload(struct sink *s, const struct hfc_error *why)
{
    struct hfc_error err = *why;

    if (why->errnum == ENOENT && s->upload_id != NULL) {
        free(s->upload_id);
        s->upload_id = NULL;
        s->again = true;
        err.errnum = ESTALE;
    }
    sink_fail(s, &err);
}

/* Preparing. */

static void sink_created(void *ctx, const struct hfc_store_reply *reply,
                         const struct hfc_error *err)
{
    struct sink *s = ctx;

    if (err != NULL) {
        sink_fail(s, err);
    } else {
        s->upload_id = need_copy(reply->upload_id, strlen(reply->upload_id));
        s->state = SINK_READY;
    }
    op_ended(s);
}

static void create_upload(struct sink *s)
{
    const struct hfc_meta meta = wanted_meta(s->transfer->wanted, NULL);

    op_began(s);
    sink_target(s)->uploads = true;
    (void)hfc_store_create_upload(sink_target(s)->store, s->transfer->key, &meta, sink_created, s);
}

static uint64_t part_size(const struct transfer *tr, unsigned part)
{
    uint64_t step = tr->blocks_per_part * tr->all->run->budget.block_size;
    uint64_t left = tr->wanted->id.size - part * step;

    return left < step ? left : step;
}

static void sink_found_part(void *ctx, unsigned number, const struct hfc_part *part)
{
    struct sink *s = ctx;
    struct transfer *tr = s->transfer;

    if (number < 1 || number > tr->nparts || !part->has_sha256 ||
        part->size != part_size(tr, number - 1))
        return;
    s->parts[number - 1] = *part;
    s->found[number - 1] = true;
    tr->compares = true;
}

static void sink_parts_listed(void *ctx, const struct hfc_store_reply *reply,
                              const struct hfc_error *err)
{
    struct sink *s = ctx;

    (void)reply;
    if (err != NULL && err->errnum == ENOENT) {
        free(s->upload_id);
        s->upload_id = NULL;
        memset(s->found, 0, s->transfer->nparts * sizeof(*s->found));
        create_upload(s);
    } else if (err != NULL) {
        sink_fail(s, err);
    } else {
        s->state = SINK_READY;
    }
    op_ended(s);
}

static struct leftover *find_leftover(struct sink *s)
{
    struct target *t = sink_target(s);

    for (size_t i = 0; i < t->nleftovers; i++)
        if (!t->leftovers[i].taken && strcmp(t->leftovers[i].key, s->transfer->key) == 0)
            return &t->leftovers[i];
    return NULL;
}

static void prepare_upload(struct sink *s)
{
    const struct transfer *tr = s->transfer;

    if (tr->nparts == 0) {
        s->state = SINK_READY;
        return;
    }
    struct leftover *left = s->upload_id == NULL ? find_leftover(s) : NULL;
    free(s->parts);
    free(s->found);
    s->parts = need(calloc(tr->nparts, sizeof(*s->parts)));
    s->found = need(calloc(tr->nparts, sizeof(*s->found)));
    if (left != NULL) {
        left->taken = true;
        s->upload_id = need_copy(left->upload_id, strlen(left->upload_id));
    }
    if (s->upload_id == NULL) {
        create_upload(s);
        return;
    }
    op_began(s);
    (void)hfc_store_list_parts(sink_target(s)->store, tr->key, s->upload_id, sink_found_part,
                               sink_parts_listed, s);
}

/* Copying. */

/* What can't be copied is fetched: it is gone, another one by now, archived, or not what its hash
 * says; nothing is copied from there again. */
static bool copy_fell_through(const struct hfc_error *err)
{
    return err->errnum == ENOENT || err->errnum == ESTALE || err->errnum == EINVAL ||
           err->errnum == EBADMSG || err->errnum == EACCES;
}

static void sink_copied(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct sink *s = ctx;
    struct hfc_object object = reply->object;
    struct content *content = &sink_target(s)->content;

    object.meta = s->copied;
    if (err != NULL && copy_fell_through(err)) {
        const struct hfc_entry *e = content_find(content, &s->transfer->wanted->id);
        if (e != NULL)
            content_remove(content, e);
        prepare_upload(s);
    } else if (err != NULL) {
        sink_fail(s, err);
    } else {
        sink_done(s, &object, FILE_COPIED);
    }
    op_ended(s);
}

static void copy_from(struct sink *s, const struct hfc_entry *e)
{
    const struct wanted *w = s->transfer->wanted;

    s->copied = e->meta;
    if (!w->id.lfs)
        s->copied = wanted_meta(w, e->meta.has_sha256 ? e->meta.sha256 : NULL);
    const struct hfc_copy copy = {.from = e->key,
                                  .etag = e->etag,
                                  .to = s->transfer->key,
                                  .size = e->size,
                                  .meta = s->copied};
    if (e->size > s->transfer->all->run->budget.block_size)
        sink_target(s)->uploads = true; /* a large copy is made of parts */
    op_began(s);
    (void)hfc_store_copy(sink_target(s)->store, &copy, sink_copied, s);
}

void sink_begin(struct sink *s)
{
    struct target *t = sink_target(s);
    struct transfer *tr = s->transfer;
    const struct hfc_entry *there = hfc_index_find(t->index, tr->key);

    s->state = SINK_PREPARING;
    s->again = s->cancelled = s->distrusted = false;
    s->parts_done = s->part = 0;
    s->sent = 0;
    if (t->failed) {
        sink_give_up(s);
        return;
    }
    /* Another revision of the same commit may have brought it meanwhile. */
    if (there != NULL && content_matches(&tr->wanted->id, there->size, &there->meta)) {
        s->state = SINK_DONE;
        snapshot_file_ended(tr->snapshot, tr->wanted, s->i, FILE_PRESENT, NULL);
        return;
    }
    const struct hfc_entry *same = content_find(&t->content, &tr->wanted->id);
    if (same != NULL)
        copy_from(s, same);
    else
        prepare_upload(s);
}

/* Sending. */

static void part_sent(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct block_put *put = ctx;
    struct sink *s = put->sink;
    struct block *b = put->block;

    free(put);
    if (err != NULL) {
        sink_lost_upload(s, err);
    } else {
        struct hfc_part *part = &s->parts[b->number];
        *part = (struct hfc_part){.size = b->size, .has_sha256 = true};
        memcpy(part->etag, reply->object.etag, sizeof(part->etag));
        memcpy(part->sha256, b->sha256, sizeof(part->sha256));
        s->parts_done++;
    }
    b->users--;
    block_release(b);
    op_ended(s);
}

void sink_send(struct sink *s, struct block *b)
{
    const struct transfer *tr = s->transfer;

    if (s->found[b->number] &&
        memcmp(s->parts[b->number].sha256, b->sha256, sizeof(b->sha256)) == 0) {
        s->parts_done++;
        return;
    }
    struct block_put *put = need(malloc(sizeof(*put)));
    *put = (struct block_put){s, b};
    const struct hfc_body body = hfc_body_of(&b->body, b->sha256);
    b->users++;
    op_began(s);
    (void)hfc_store_put_part(sink_target(s)->store, tr->key, s->upload_id, b->number + 1, b->offset,
                             &body, part_sent, put);
}

static void sink_finished(void *ctx, const struct hfc_store_reply *reply,
                          const struct hfc_error *err)
{
    struct sink *s = ctx;
    struct transfer *tr = s->transfer;
    struct hfc_object object = reply->object;
    struct block *b = tr->nparts == 0 ? tr->blocks : NULL;

    object.meta = wanted_meta(tr->wanted, tr->digest);
    if (err == NULL)
        sink_done(s, &object, FILE_STORED);
    else
        sink_lost_upload(s, err);
    if (b != NULL) {
        b->users--;
        block_release(b);
    }
    op_ended(s);
}

static void put_whole(struct sink *s)
{
    struct transfer *tr = s->transfer;
    struct block *b = tr->blocks; /* none if the file is empty */

    tr->whole = b != NULL ? b->body : (struct hfc_memory_body){"", 0};
    const struct hfc_put put = {.key = tr->key,
                                .body = hfc_body_of(&tr->whole, tr->digest),
                                .meta = wanted_meta(tr->wanted, tr->digest)};
    if (b != NULL)
        b->users++;
    (void)hfc_store_put(sink_target(s)->store, &put, sink_finished, s);
}

void sink_finish(struct sink *s)
{
    struct transfer *tr = s->transfer;

    s->state = SINK_FINISHING;
    op_began(s);
    if (tr->nparts == 0) {
        put_whole(s);
        return;
    }
    s->meta = wanted_meta(tr->wanted, tr->digest);
    (void)hfc_store_complete(sink_target(s)->store, tr->key, s->upload_id, s->parts, tr->nparts,
                             &s->meta, sink_finished, s);
}

/* Ending without success. */

static void sink_aborted(void *ctx, const struct hfc_store_reply *reply,
                         const struct hfc_error *err)
{
    struct sink *s = ctx;

    (void)reply, (void)err; /* what stays is found by the next run */
    free(s->upload_id);
    s->upload_id = NULL;
    op_ended(s);
}

/* A bucket that can't be reached is not asked again. */
void sink_abort(struct sink *s)
{
    if (s->upload_id == NULL || sink_target(s)->failed)
        return;
    op_began(s);
    (void)hfc_store_abort(sink_target(s)->store, s->transfer->key, s->upload_id, sink_aborted, s);
}

void sink_free(struct sink *s)
{
    free(s->upload_id);
    free(s->parts);
    free(s->found);
}
