/* transfer.c: the life of one file, from the queue to the buckets; see transfer.h.
 *
 * Every event ends with transfer_check(), which looks at what has come of it: bytes that complete
 * the hash, parts that complete an upload, requests that were the last. So the callbacks need not
 * know what comes next.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "transfer_internal.h"

struct target *sink_target(const struct sink *s)
{
    return s->transfer->all->run->targets[s->i];
}

bool transfer_is_small(const struct transfer *tr)
{
    return tr->wanted->id.size <= SMALL_FILE_MAX;
}

/* A file that fits into a block is one PUT; otherwise blocks are parts, and if those were too many,
 * several blocks are one. */
static void cut_up(struct transfer *tr)
{
    uint64_t size = tr->wanted->id.size, block = tr->all->run->budget.block_size;

    tr->nblocks = (unsigned)((size + block - 1) / block);
    tr->blocks_per_part = (tr->nblocks + HFC_PARTS_MAX - 1) / HFC_PARTS_MAX;
    if (tr->nblocks > 1)
        tr->nparts = (tr->nblocks + tr->blocks_per_part - 1) / tr->blocks_per_part;
}

struct transfer *transfer_new(struct transfers *t, struct snapshot *s, struct wanted *w)
{
    struct transfer *tr = need(calloc(1, sizeof(*tr)));
    hfc_autobuf struct hfc_buf key = HFC_BUF(2 * HFC_KEY_MAX);

    *tr = (struct transfer){.all = t, .snapshot = s, .wanted = w};
    snapshot_key(s, w->path, &key);
    tr->key = need_copy(key.data, key.len);
    tr->sinks = need(calloc(t->run->ntargets, sizeof(*tr->sinks)));
    for (size_t i = 0; i < t->run->ntargets; i++)
        tr->sinks[i] = (struct sink){.transfer = tr, .i = i};
    cut_up(tr);
    return tr;
}

void transfer_free(struct transfer *tr)
{
    assert(tr->blocks == NULL && tr->ops == 0);
    hfc_hash_free(tr->sha256);
    hfc_hash_free(tr->git);
    hfc_hash_free(tr->part_hash);
    if (tr->progress != NULL)
        report_end(tr->progress);
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        sink_free(&tr->sinks[i]);
    hub_source_free(tr->source);
    free(tr->sinks);
    free(tr->key);
    free(tr);
}

static void start_hashes(struct transfer *tr)
{
    if (tr->sha256 == NULL)
        tr->sha256 = hfc_hash_new(HFC_SHA256);
    hfc_hash_reset(tr->sha256);
    if (tr->part_hash != NULL)
        hfc_hash_reset(tr->part_hash);
    if (tr->wanted->id.lfs)
        return;
    if (tr->git == NULL)
        tr->git = hfc_hash_new(HFC_SHA1);
    hfc_hash_reset(tr->git);
    hfc_hash_git_header(tr->git, tr->wanted->id.size);
}

static void begin_sinks(struct transfer *tr)
{
    tr->ops++; /* keeps it alive while the sinks begin */
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        if ((tr->wanted->missing & (1U << i)) != 0 && tr->sinks[i].state != SINK_FAILED)
            sink_begin(&tr->sinks[i]);
    tr->ops--;
    transfer_check(tr);
}

void transfer_begin(struct transfer *tr)
{
    const struct wanted *w = tr->wanted;
    struct hub_file file = {.path = w->path, .size = w->id.size, .lfs = w->id.lfs};

    memcpy(file.sha256, w->id.sha256, sizeof(file.sha256));
    memcpy(file.git_sha1, w->id.git_sha1, sizeof(file.git_sha1));
    tr->source = hub_source_new(tr->all->run->hub, tr->snapshot->model->kind, tr->snapshot->id,
                                tr->snapshot->commit, &file);
    tr->tries = 1;
    start_hashes(tr);
    begin_sinks(tr);
}

bool transfer_has_sinks(const struct transfer *tr, enum sink_state state)
{
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        if (tr->sinks[i].state == state)
            return true;
    return false;
}

bool transfer_can_fetch(const struct transfer *tr)
{
    return !tr->failing && tr->next_block < tr->nblocks &&
           !transfer_has_sinks(tr, SINK_PREPARING) && transfer_has_sinks(tr, SINK_READY);
}

void transfer_fail(struct transfer *tr, const struct hfc_error *why)
{
    if (tr->failing)
        return;
    tr->failing = true;
    tr->error = *why;
    blocks_cancel(tr);
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        stream_cancel(&tr->sinks[i]);
}

/* The one check that everything here is about. */
static void verify(struct transfer *tr)
{
    const struct content_id *id = &tr->wanted->id;
    uint8_t git[HFC_SHA1_SIZE];
    char is[HFC_HEX_MAX], should[HFC_HEX_MAX];
    struct hfc_error err;

    tr->verified = true;
    hfc_hash_finish(tr->sha256, tr->digest);
    if (!id->lfs)
        hfc_hash_finish(tr->git, git);
    const uint8_t *digest = id->lfs ? tr->digest : git;
    const uint8_t *expected = id->lfs ? id->sha256 : id->git_sha1;
    size_t n = id->lfs ? HFC_SHA256_SIZE : HFC_SHA1_SIZE;
    if (memcmp(digest, expected, n) == 0)
        return;
    hfc_hex(digest, n, is);
    hfc_hex(expected, n, should);
    (void)hfc_error_set(&err, EBADMSG, "wrong bytes from the Hub: %s is %s, expected %s",
                        id->lfs ? "SHA-256" : "git's SHA-1", is, should);
    transfer_fail(tr, &err);
}

/* A bucket that was given up, for another file or because its lock is lost, gets nothing more. */
static void drop_failed(struct transfer *tr)
{
    for (size_t i = 0; i < tr->all->run->ntargets; i++) {
        struct sink *s = &tr->sinks[i];
        if (s->state == SINK_READY && sink_target(s)->failed) {
            sink_give_up(s);
            stream_cancel(s);
        }
    }
}

/* What has become possible. */
static void advance(struct transfer *tr)
{
    drop_failed(tr);
    if (transfer_has_sinks(tr, SINK_PREPARING))
        return;
    if (!transfer_has_sinks(tr, SINK_READY)) {
        blocks_cancel(tr);
        return;
    }
    if (transfer_can_fetch(tr))
        transfers_wake(tr->all);
    if (transfer_streams(tr))
        stream_advance(tr);
    if (tr->hashed == tr->wanted->id.size && !tr->verified)
        verify(tr);
    for (size_t i = 0; i < tr->all->run->ntargets && tr->verified && !tr->failing; i++)
        if (tr->sinks[i].state == SINK_READY && tr->sinks[i].parts_done == tr->nparts)
            sink_finish(&tr->sinks[i]);
}

static bool is_over(const struct transfer *tr)
{
    if (tr->ops > 0)
        return false;
    return tr->failing ||
           !(transfer_has_sinks(tr, SINK_PREPARING) || transfer_has_sinks(tr, SINK_READY) ||
             transfer_has_sinks(tr, SINK_FINISHING));
}

/* Wrong bytes may have been changed on the way; a part that was cut can't be sent again from
 * memory. Both are fetched once more. */
static bool try_again(struct transfer *tr)
{
    bool again = tr->failing && tr->error.errnum == EBADMSG;

    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        again |= tr->sinks[i].state == SINK_FAILED && tr->sinks[i].again &&
                 !sink_target(&tr->sinks[i])->failed;
    return again && tr->tries < TRANSFER_TRIES_MAX && !tr->all->stopping;
}

/* A pass that got parts into a bucket was not in vain, however often that happens. */
static bool got_further(struct transfer *tr)
{
    unsigned parts = 0;

    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        parts += tr->sinks[i].parts_done;
    if (parts <= tr->parts_before)
        return false;
    tr->parts_before = parts;
    return true;
}

static void restart(struct transfer *tr)
{
    tr->tries = got_further(tr) ? 1 : tr->tries + 1;
    if (tr->failing)
        report_line(tr->all->run->report, REPORT_WARNING, "%s %s: %s; once more",
                    tr->snapshot->name, tr->wanted->path, tr->error.msg);
    tr->failing = tr->verified = tr->aborted = false;
    tr->next_block = 0;
    tr->received = tr->hashed = 0;
    start_hashes(tr);
    for (size_t i = 0; i < tr->all->run->ntargets; i++) {
        struct sink *s = &tr->sinks[i];
        if (s->state == SINK_READY || (s->state == SINK_FAILED && s->again))
            s->state = SINK_UNUSED;
    }
    begin_sinks(tr);
}

/* Not those that go on with the parts that they have. */
static void abort_uploads(struct transfer *tr)
{
    bool resume = !tr->failing && try_again(tr);

    tr->aborted = true;
    for (size_t i = 0; i < tr->all->run->ntargets; i++)
        if (tr->sinks[i].state != SINK_DONE &&
            !(resume && tr->sinks[i].again && !tr->sinks[i].distrusted))
            sink_abort(&tr->sinks[i]);
}

static void end(struct transfer *tr)
{
    for (size_t i = 0; i < tr->all->run->ntargets; i++) {
        struct sink *s = &tr->sinks[i];
        if (s->state == SINK_UNUSED || s->state == SINK_DONE)
            continue;
        snapshot_file_ended(tr->snapshot, tr->wanted, i, FILE_FAILED,
                            s->state == SINK_FAILED && !tr->failing ? &s->error : &tr->error);
    }
    transfers_ended(tr);
}

void transfer_check(struct transfer *tr)
{
    if (!tr->failing)
        advance(tr);
    if (!is_over(tr))
        return;
    assert(tr->blocks == NULL);
    if (!tr->aborted)
        abort_uploads(tr);
    if (tr->ops > 0)
        return;
    if (try_again(tr))
        restart(tr);
    else
        end(tr);
}
