/* store_file_get.c: GET of a file, slice by slice; see store.h.
 *
 * An object is replaced by a rename, which the open descriptor does not see: it goes on with the
 * version it began with. Somebody else may write into the file itself; so the version is compared
 * after each slice, and bytes that may be of another one are not handed on.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char WRITTEN_TO[] = "the file was written to while it was read";

static void finish(struct hfc_dir_op *o)
{
    struct hfc_object object;
    struct stat st;

    if (fstat(o->fd, &st) < 0) {
        hfc_dir_fail(o, errno, "get");
        return;
    }
    hfc_dir_object(o->fd, &st, &object);
    if (strcmp(object.etag, o->etag) == 0)
        hfc_dir_succeed(o, &object);
    else
        hfc_dir_refuse(o, ESTALE, WRITTEN_TO);
}

/* Fills the buffer from o->at. False: the operation has ended. */
static bool fill(struct hfc_dir_op *o)
{
    uint64_t left = o->end - o->at;
    char etag[HFC_ETAG_MAX];
    struct stat st;
    ssize_t n;

    do
        n = pread(o->fd, o->buffer, left < HFC_DIR_BUFFER ? left : HFC_DIR_BUFFER, (off_t)o->at);
    while (n < 0 && errno == EINTR);
    if (n < 0 || fstat(o->fd, &st) < 0) {
        hfc_dir_fail(o, errno, "get");
        return false;
    }
    hfc_dir_etag(&st, etag);
    if (n == 0 || strcmp(etag, o->etag) != 0) {
        hfc_dir_refuse(o, ESTALE, WRITTEN_TO);
        return false;
    }
    o->filled = (size_t)n;
    return true;
}

/* Bytes that the caller did not take stay in the buffer, and come again after resume. */
static void send_slices(struct hfc_dir_op *o)
{
    size_t moved = 0;

    while (o->at < o->end && moved < HFC_DIR_TURN) {
        if (o->filled == 0 && !fill(o))
            return;
        enum hfc_flow flow = o->op.call.data(o->op.ctx, o->buffer, o->filled);
        if (o->op.ended || flow == HFC_FLOW_PAUSE)
            return;
        if (flow == HFC_FLOW_STOP) {
            hfc_dir_refuse(o, ECANCELED, "the receiver of the bytes has stopped");
            return;
        }
        o->op.store->stats.bytes_in += o->filled;
        o->at += o->filled;
        moved += o->filled;
        o->filled = 0;
    }
    if (o->at == o->end)
        finish(o);
    else
        hfc_dir_next(o, send_slices);
}

/* Whether the version is the wanted one; ends the operation if not. */
static bool conditions_hold(struct hfc_dir_op *o)
{
    const struct hfc_store_op *op = &o->op;

    if (op->if_match != NULL && strcmp(op->if_match, o->etag) != 0) {
        hfc_dir_refuse(o, ESTALE, "another version than the one demanded");
        return false;
    }
    if (op->if_none_match != NULL && strcmp(op->if_none_match, o->etag) == 0) {
        hfc_dir_refuse(o, EALREADY, "not modified");
        return false;
    }
    return true;
}

void hfc_dir_get(struct hfc_dir_op *o)
{
    struct stat st;

    o->fd = hfc_dir_open_object((struct hfc_dir *)o->op.store, o->op.key, &st);
    if (o->fd < 0) {
        hfc_dir_fail(o, errno, "get");
        return;
    }
    hfc_dir_etag(&st, o->etag);
    if (!conditions_hold(o))
        return;
    uint64_t size = (uint64_t)st.st_size;
    if (o->op.offset > size || o->op.length > size - o->op.offset) {
        hfc_dir_refuse(o, EBADMSG, "the object is shorter than what was asked for");
        return;
    }
    o->at = o->op.offset;
    o->end = o->op.length > 0 ? o->at + o->op.length : size;
    (void)posix_fadvise(o->fd, (off_t)o->at, (off_t)(o->end - o->at), POSIX_FADV_SEQUENTIAL);
    o->buffer = hfc_dir_alloc(HFC_DIR_BUFFER);
    assert(o->at <= o->end);
    hfc_dir_next(o, send_slices);
}
