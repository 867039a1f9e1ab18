/* transfer_block.c: blocks of a file: memory, fetching, hashing; see transfer.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "transfer_internal.h"

static bool is_part(const struct transfer *tr)
{
    return tr->nparts > 0 && !transfer_streams(tr);
}

static void block_free(struct block *b)
{
    struct transfer *tr = b->transfer;
    struct block **at = &tr->blocks;

    assert(b->fetch == NULL && b->users == 0);
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    transfers_give(tr->all, b->bytes, b->size, transfer_is_small(tr));
    hfc_hash_free(b->hash);
    free(b);
}

/* A whole file waits for its verification and its PUTs, a part for its requests; of a transfer that
 * fails nothing is needed. */
void block_release(struct block *b)
{
    const struct transfer *tr = b->transfer;

    if (b->fetch != NULL || b->users > 0)
        return;
    if (tr->failing || !transfer_has_sinks(tr, SINK_READY)) {
        if (!transfer_has_sinks(tr, SINK_FINISHING) || tr->nparts > 0)
            block_free(b);
        return;
    }
    bool waits = tr->nparts == 0 || !b->hashed || (is_part(tr) && !b->sent) || stream_needs(tr, b);
    if (!waits)
        block_free(b);
}

void blocks_release(struct transfer *tr)
{
    struct block *next;

    for (struct block *b = tr->blocks; b != NULL; b = next) {
        next = b->next;
        block_release(b);
    }
}

void blocks_cancel(struct transfer *tr)
{
    for (struct block *b = tr->blocks; b != NULL; b = b->next) {
        if (b->fetch != NULL && !b->cancelled)
            hub_cancel(b->fetch);
        b->cancelled = true;
    }
    blocks_release(tr);
}

/* Hashes of the file what is next in order and has come. Bytes are hashed while they are still in
 * the processor's cache, if blocks come in order. */
static void hash_in_order(struct transfer *tr)
{
    for (struct block *b = tr->blocks; b != NULL; b = b->next) {
        if (tr->hashed < b->offset)
            return;
        if (b->hashed)
            continue;
        size_t from = (size_t)(tr->hashed - b->offset);
        hfc_hash_add(tr->sha256, b->bytes + from, b->received - from);
        if (!tr->wanted->id.lfs)
            hfc_hash_add(tr->git, b->bytes + from, b->received - from);
        if (transfer_streams(tr))
            stream_hash(tr, b, b->bytes + from, b->received - from);
        tr->hashed += b->received - from;
        if (b->received < b->size)
            return;
        b->hashed = true;
    }
}

static enum hfc_flow block_bytes(void *ctx, const void *bytes, size_t n)
{
    struct block *b = ctx;
    struct transfer *tr = b->transfer;

    assert(n <= b->size - b->received);
    memcpy(b->bytes + b->received, bytes, n);
    b->received += n;
    if (b->hash != NULL)
        hfc_hash_add(b->hash, bytes, n);
    tr->received += n;
    hash_in_order(tr);
    report_moved(tr->progress, tr->received);
    if (transfer_streams(tr))
        stream_advance(tr);
    return HFC_FLOW_ON;
}

static void send_part(struct block *b)
{
    struct transfer *tr = b->transfer;

    hfc_hash_finish(b->hash, b->sha256);
    b->sent = true;
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        if (tr->sinks[i].state == SINK_READY)
            sink_send(&tr->sinks[i], b);
}

static void block_fetched(void *ctx, const struct hfc_error *err)
{
    struct block *b = ctx;
    struct transfer *tr = b->transfer;

    b->fetch = NULL;
    tr->ops--;
    if (err != NULL && !tr->failing && transfer_has_sinks(tr, SINK_READY))
        transfer_fail(tr, err);
    else if (err == NULL && is_part(tr) && !tr->failing)
        send_part(b);
    blocks_release(tr);
    transfer_check(tr);
}

static void link_block(struct transfer *tr, struct block *b)
{
    struct block **at = &tr->blocks;

    while (*at != NULL)
        at = &(*at)->next;
    *at = b;
}

bool block_start(struct transfer *tr)
{
    uint64_t step = tr->all->run->budget.block_size, offset = tr->next_block * step;
    uint64_t left = tr->wanted->id.size - offset;
    size_t size = (size_t)(left < step ? left : step);
    uint8_t *bytes = transfers_take(tr->all, size, transfer_is_small(tr));

    if (bytes == NULL)
        return false;
    struct block *b = need(calloc(1, sizeof(*b)));
    *b = (struct block){.transfer = tr, .number = tr->next_block++, .offset = offset};
    b->size = size;
    b->bytes = bytes;
    b->body = (struct hfc_memory_body){bytes, size};
    b->hash = is_part(tr) ? hfc_hash_new(HFC_SHA256) : NULL;
    link_block(tr, b);
    if (tr->progress == NULL) {
        hfc_autobuf struct hfc_buf name = HFC_BUF(4 * HFC_KEY_MAX);
        hfc_buf_printf(&name, "%s %s", tr->snapshot->name, tr->wanted->path);
        tr->progress = report_begin(tr->all->run->report, name.data, tr->wanted->id.size);
    }
    tr->ops++;
    b->fetch = hub_fetch(tr->source, offset, size, block_bytes, block_fetched, b);
    return true;
}
