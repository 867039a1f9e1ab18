/* store_file_put.c: PUT of a file, and how the bytes of a body come to the disk; see store.h.
 *
 * Runs of zeros are not written: the place stays a hole, which reads as zeros and takes no space.
 * So a sparse terabyte costs what is in it.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

/* The disk begins with what is written in steps of this size. */
enum { SYNC_STEP = 8 * 1024 * 1024 };

static bool is_zero(const char *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

/* Returns an errno value. */
static int write_at(int fd, const char *bytes, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t w = pwrite(fd, bytes, n, (off_t)at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return errno;
        bytes += w;
        at += (uint64_t)w;
        n -= (size_t)w;
    }
    return 0;
}

void hfc_dir_begin_sync(struct hfc_dir_op *o, uint64_t at)
{
    if (at < o->synced + SYNC_STEP)
        return;
    (void)sync_file_range(o->fd, (off_t)o->synced, (off_t)(at - o->synced), SYNC_FILE_RANGE_WRITE);
    o->synced = at;
}

/* All bytes are there: whether they are the right ones. Ends the operation if not. */
static bool check_digest(struct hfc_dir_op *o)
{
    const struct hfc_body *body = &o->op.body;

    if (o->hash == NULL)
        return true;
    hfc_hash_finish(o->hash, o->sha256);
    if (body->sha256 != NULL && memcmp(body->sha256, o->sha256, HFC_SHA256_SIZE) != 0) {
        hfc_dir_refuse(o, EBADMSG, "the bytes have not the SHA-256 that was announced");
        return false;
    }
    if (body->sha256_out != NULL)
        memcpy(body->sha256_out, o->sha256, HFC_SHA256_SIZE);
    return true;
}

/* Reads some of the body. 0: the operation pauses or has ended. */
static size_t read_body(struct hfc_dir_op *o)
{
    const struct hfc_body *body = &o->op.body;
    uint64_t left = body->size - o->at;
    size_t want = left < HFC_DIR_BUFFER ? (size_t)left : HFC_DIR_BUFFER;
    ssize_t n = body->read(body->ctx, o->at, o->buffer, want);

    if (o->op.ended || n == HFC_READ_PAUSE)
        return 0;
    if (n <= 0) {
        hfc_dir_refuse(o, ECANCELED, "the source of the bytes has stopped");
        return 0;
    }
    assert((size_t)n <= want);
    return (size_t)n;
}

bool hfc_dir_take_body(struct hfc_dir_op *o, uint64_t base)
{
    for (size_t moved = 0; o->at < o->op.body.size && moved < HFC_DIR_TURN;) {
        size_t n = read_body(o);
        if (n == 0)
            return false;
        if (o->hash != NULL)
            hfc_hash_add(o->hash, o->buffer, n);
        bool hole = !o->dense && is_zero(o->buffer, n);
        int rc = hole ? 0 : write_at(o->fd, o->buffer, n, base + o->at);
        if (rc != 0) {
            hfc_dir_fail(o, rc, "put");
            return false;
        }
        o->op.store->stats.bytes_out += n;
        o->at += n;
        moved += n;
        hfc_dir_begin_sync(o, base + o->at);
    }
    if (o->at < o->op.body.size) {
        hfc_dir_next(o, o->step);
        return false;
    }
    return check_digest(o);
}

static void take_body(struct hfc_dir_op *o)
{
    if (!hfc_dir_take_body(o, 0))
        return;
    hfc_autoclose int uploads = hfc_dir_uploads((struct hfc_dir *)o->op.store, false);
    if (uploads < 0)
        hfc_dir_fail(o, errno, "put");
    else
        (void)hfc_dir_publish(o, uploads, o->temp, o->op.body.size);
}

void hfc_dir_put(struct hfc_dir_op *o)
{
    const struct hfc_body *body = &o->op.body;

    if (!hfc_dir_condition_holds(o))
        return;
    o->fd = hfc_dir_make_temp(o, false);
    if (o->fd < 0) {
        hfc_dir_fail(o, errno, "put");
        return;
    }
    o->buffer = hfc_dir_alloc(HFC_DIR_BUFFER);
    if (body->sha256 != NULL || body->sha256_out != NULL)
        o->hash = hfc_hash_new(HFC_SHA256);
    hfc_dir_next(o, take_body);
}
