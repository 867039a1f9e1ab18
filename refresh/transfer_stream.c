/* transfer_stream.c: parts that are larger than a block; see transfer.h.
 *
 * Only files with more blocks than an upload may have parts come here. Each bucket has one part
 * under way, whose body is read from the blocks as they come, and whose SHA-256 follows behind it.
 * A block is freed when all buckets have taken it, so a part that fails can't be sent again from
 * memory: the bucket drops out, and is served by another pass over the file, in which the parts
 * that it has are compared and not sent.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "transfer_internal.h"

bool transfer_streams(const struct transfer *tr)
{
    return tr->blocks_per_part > 1;
}

static uint64_t part_step(const struct transfer *tr)
{
    return tr->blocks_per_part * (uint64_t)tr->all->run->budget.block_size;
}

static uint64_t part_end(const struct transfer *tr, unsigned part)
{
    uint64_t end = (part + 1) * part_step(tr);

    return end < tr->wanted->id.size ? end : tr->wanted->id.size;
}

/* NULL: not begun yet, or freed. */
static struct block *block_at(const struct transfer *tr, uint64_t at)
{
    for (struct block *b = tr->blocks; b != NULL; b = b->next)
        if (at >= b->offset && at < b->offset + b->size)
            return b;
    return NULL;
}

bool stream_needs(const struct transfer *tr, const struct block *b)
{
    if (!transfer_streams(tr))
        return false;
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        if (tr->sinks[i].state == SINK_READY && tr->sinks[i].sent < b->offset + b->size)
            return true;
    return false;
}

/* The store asks for a part's bytes in order, or anew from its beginning. */
static ssize_t stream_read(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct sink *s = ctx;
    const struct transfer *tr = s->transfer;
    uint64_t at = s->part * part_step(tr) + offset;
    struct block *b = block_at(tr, at);

    if (b == NULL && at < tr->next_block * (uint64_t)tr->all->run->budget.block_size)
        return HFC_READ_STOP;
    if (b == NULL || b->offset + b->received == at) {
        s->waiting = true;
        return HFC_READ_PAUSE;
    }
    uint64_t there = b->offset + b->received - at, end = part_end(tr, s->part) - at;
    if (n > there)
        n = (size_t)there;
    if (n > end)
        n = (size_t)end;
    memcpy(to, b->bytes + (at - b->offset), n);
    if (s->sent < at + n)
        s->sent = at + n;
    block_release(b);
    return (ssize_t)n;
}

static void stream_sent(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct sink *s = ctx;
    struct transfer *tr = s->transfer;

    s->stream = NULL;
    s->waiting = false;
    tr->ops--;
    if (err != NULL) {
        s->again = !tr->failing && tr->tries < TRANSFER_TRIES_MAX && err->errnum != EACCES &&
                   err->errnum != ENOENT;
        sink_fail(s, err);
    } else if (s->state == SINK_READY) {
        struct hfc_part *part = &s->parts[s->part];
        *part = (struct hfc_part){.has_sha256 = true};
        part->size = part_end(tr, s->part) - s->part * part_step(tr);
        memcpy(part->etag, reply->object.etag, sizeof(part->etag));
        memcpy(part->sha256, s->part_sha256, sizeof(part->sha256));
        s->parts_done++;
        s->part++;
    }
    blocks_release(tr);
    transfer_check(tr);
}

static void send_part(struct sink *s)
{
    const struct transfer *tr = s->transfer;
    uint64_t offset = s->part * part_step(tr);
    const struct hfc_body body = {.read = stream_read,
                                  .ctx = s,
                                  .size = part_end(tr, s->part) - offset,
                                  .sha256_out = s->part_sha256};

    s->transfer->ops++;
    s->stream = hfc_store_put_part(sink_target(s)->store, tr->key, s->upload_id, s->part + 1,
                                   offset, &body, stream_sent, s);
}

/* Parts that are there already are passed over; stream_hash() compares them. */
static void advance_sink(struct sink *s)
{
    const struct transfer *tr = s->transfer;

    if (s->stream != NULL) {
        if (s->waiting) {
            s->waiting = false;
            hfc_store_resume(s->stream);
        }
        return;
    }
    while (s->part < tr->nparts && s->found[s->part]) {
        s->sent = part_end(tr, s->part);
        s->part++;
    }
    if (s->part < tr->nparts && block_at(tr, s->part * part_step(tr)) != NULL)
        send_part(s);
}

void stream_advance(struct transfer *tr)
{
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        if (tr->sinks[i].state == SINK_READY)
            advance_sink(&tr->sinks[i]);
}

void stream_cancel(struct sink *s)
{
    if (s->stream != NULL && !s->cancelled)
        hfc_store_cancel(s->stream);
    s->cancelled = s->stream != NULL;
}

/* A part that was found is the Hub's if the hashes are equal. If not, all of that upload is
 * distrusted. */
static void compare_part(struct transfer *tr, unsigned part, const uint8_t *sha256)
{
    struct hfc_error err;

    for (size_t i = 0; i < tr->all->run->ntargets; i++) {
        struct sink *s = &tr->sinks[i];
        if (s->state != SINK_READY || !s->found[part])
            continue;
        if (memcmp(s->parts[part].sha256, sha256, HFC_SHA256_SIZE) == 0) {
            s->parts_done++;
            continue;
        }
        (void)hfc_error_set(&err, EBADMSG, "part %u of an earlier upload has other bytes",
                            part + 1);
        s->again = s->distrusted = true;
        sink_fail(s, &err);
        stream_cancel(s);
    }
}

/* Bytes are the next ones in order, of one block; a part ends where a block ends. */
void stream_hash(struct transfer *tr, const struct block *b, const uint8_t *bytes, size_t n)
{
    unsigned part = b->number / tr->blocks_per_part;
    uint8_t sha256[HFC_SHA256_SIZE];

    if (!tr->compares)
        return;
    if (tr->part_hash == NULL)
        tr->part_hash = hfc_hash_new(HFC_SHA256);
    hfc_hash_add(tr->part_hash, bytes, n);
    if (b->offset + b->received < part_end(tr, part))
        return;
    hfc_hash_finish(tr->part_hash, sha256);
    compare_part(tr, part, sha256);
}
