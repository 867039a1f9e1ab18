/* store_file_copy.c: a copy inside the store, by the file system where it can; see store.h.
 *
 * A file system with shared blocks copies any size at once. Others are told which ranges to copy,
 * and holes stay holes.
 */
#include "store_file_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"

enum { COPY_TURN = 4 * HFC_DIR_TURN };

static void publish(struct hfc_dir_op *o)
{
    char etag[HFC_ETAG_MAX];
    struct stat st;
    hfc_autoclose int uploads = hfc_dir_uploads((struct hfc_dir *)o->op.store, false);

    if (uploads < 0 || fstat(o->from, &st) < 0) {
        hfc_dir_fail(o, errno, "copy");
        return;
    }
    hfc_dir_etag(&st, etag);
    if (strcmp(etag, o->etag) != 0)
        hfc_dir_refuse(o, ESTALE, "the source was written to while it was copied");
    else
        (void)hfc_dir_publish(o, uploads, o->temp, o->end);
}

/* The run of data at or behind o->at: moves o->at to it and returns its length; 0: there is none.
 * A file system that does not know its holes says that all is data. */
static uint64_t find_run(struct hfc_dir_op *o)
{
    off_t data = lseek(o->from, (off_t)o->at, SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? 0 : o->end - o->at;
    off_t hole = lseek(o->from, data, SEEK_HOLE);
    o->at = (uint64_t)data;
    if (o->at >= o->end)
        return 0;
    return (hole > data && (uint64_t)hole < o->end ? (uint64_t)hole : o->end) - o->at;
}

static ssize_t copy_by_buffer(struct hfc_dir_op *o, size_t n)
{
    if (o->buffer == NULL)
        o->buffer = hfc_dir_alloc(HFC_DIR_BUFFER);
    ssize_t got = pread(o->from, o->buffer, n < HFC_DIR_BUFFER ? n : HFC_DIR_BUFFER, (off_t)o->at);
    return got <= 0 ? got : pwrite(o->fd, o->buffer, (size_t)got, (off_t)o->at);
}

static ssize_t copy_some(struct hfc_dir_op *o, size_t n)
{
    off_t in = (off_t)o->at, out = in;

    if (o->no_offload)
        return copy_by_buffer(o, n);
    ssize_t done = copy_file_range(o->from, &in, o->fd, &out, n, 0);
    if (done < 0 && (errno == EXDEV || errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL)) {
        o->no_offload = true;
        return copy_by_buffer(o, n);
    }
    return done;
}

static void copy_slices(struct hfc_dir_op *o)
{
    for (size_t moved = 0; moved < COPY_TURN;) {
        uint64_t run = o->at < o->end ? find_run(o) : 0;
        if (run == 0) {
            publish(o);
            return;
        }
        ssize_t n = copy_some(o, run < COPY_TURN - moved ? (size_t)run : COPY_TURN - moved);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            hfc_dir_fail(o, errno, "copy");
            return;
        }
        if (n == 0) {
            hfc_dir_refuse(o, ESTALE, "the source was written to while it was copied");
            return;
        }
        o->at += (uint64_t)n;
        moved += (size_t)n;
        hfc_dir_begin_sync(o, o->at);
    }
    hfc_dir_next(o, copy_slices);
}

void hfc_dir_copy(struct hfc_dir_op *o)
{
    struct stat st;

    o->from = hfc_dir_open_object((struct hfc_dir *)o->op.store, o->op.from, &st);
    if (o->from < 0) {
        hfc_dir_fail(o, errno, "copy");
        return;
    }
    hfc_dir_etag(&st, o->etag);
    o->end = (uint64_t)st.st_size;
    if (o->end != o->op.length ||
        (o->op.if_match != NULL && strcmp(o->etag, o->op.if_match) != 0)) {
        hfc_dir_refuse(o, ESTALE, "the source is another version than the one demanded");
        return;
    }
    o->fd = hfc_dir_make_temp(o, false);
    if (o->fd < 0)
        hfc_dir_fail(o, errno, "copy");
    else if (ioctl(o->fd, FICLONE, o->from) == 0)
        publish(o);
    else
        hfc_dir_next(o, copy_slices);
}
