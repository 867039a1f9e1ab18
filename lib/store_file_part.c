/* store_file_part.c: the parts of an upload, and how they become the object; see upload.h.
 *
 * A part's record is written when its bytes are on the disk, and removed before they are written
 * anew. So a record always tells the truth, whenever the process is killed or the power fails.
 */
#include "store_file_path.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"

enum { RECORD_TEXT_MAX = 200 };

struct record {
    uint64_t size, offset;
    uint8_t sha256[HFC_SHA256_SIZE];
};

/* ---- Records. ---- */

static void record_name(unsigned number, char name[HFC_DIR_RECORD])
{
    assert(number >= 1 && number <= HFC_PARTS_MAX);
    (void)snprintf(name, HFC_DIR_RECORD, "part-%05u", number);
}

static void part_etag(const uint8_t sha256[HFC_SHA256_SIZE], char etag[HFC_ETAG_MAX])
{
    hfc_hex(sha256, 16, etag);
}

/* A decimal number and the space behind it. */
static bool take_number(const char **at, uint64_t *value)
{
    char *after;

    errno = 0;
    *value = strtoull(*at, &after, 10);
    if (**at < '0' || **at > '9' || errno != 0 || *after != ' ')
        return false;
    *at = after + 1;
    return true;
}

/* "SIZE OFFSET SHA256\n" and nothing else. */
static bool parse_record(const char *text, size_t n, struct record *r)
{
    char hex[HFC_HEX_MAX];
    size_t len = HFC_HEX_MAX - 1;
    const char *at = text;

    if (!take_number(&at, &r->size) || !take_number(&at, &r->offset) ||
        n - (size_t)(at - text) != len + 1 || at[len] != '\n')
        return false;
    memcpy(hex, at, len);
    hex[len] = '\0';
    return hfc_unhex(hex, r->sha256, HFC_SHA256_SIZE);
}

/* False: there is none, or one that a crash has damaged. */
static bool read_record(int folder, const char *name, struct record *r)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(RECORD_TEXT_MAX);

    return hfc_file_read(folder, name, &text, NULL) == 0 && parse_record(text.data, text.len, r);
}

/* Under another name first: a record is whole or not there. */
static int write_record(struct hfc_dir_op *o, const struct record *r, struct hfc_error *err)
{
    char name[HFC_DIR_RECORD], making[HFC_DIR_NAME], hex[HFC_HEX_MAX];
    hfc_autobuf struct hfc_buf text = HFC_BUF(RECORD_TEXT_MAX);

    record_name(o->op.number, name);
    (void)snprintf(making, sizeof(making), "new-%s", name);
    hfc_hex(r->sha256, HFC_SHA256_SIZE, hex);
    hfc_buf_printf(&text, "%" PRIu64 " %" PRIu64 " %s\n", r->size, r->offset, hex);
    (void)unlinkat(o->from, making, 0);
    if (hfc_file_create(o->from, making, text.data, text.len, 0666, err) < 0)
        return -1;
    hfc_autoclose int fd = openat(o->from, making, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0 || renameat(o->from, making, o->from, name) < 0 ||
        fsync(o->from) < 0)
        return hfc_error_set(err, errno, "%s", name);
    return 0;
}

/* ---- A part. ---- */

/* Two at once would mix their bytes. */
static bool is_being_written(const struct hfc_dir_op *o)
{
    for (const struct hfc_store_op *other = o->op.store->ops; other != NULL; other = other->next)
        if (other != &o->op && other->kind == HFC_OP_PUT_PART && !other->ended &&
            ((const struct hfc_dir_op *)other)->fd >= 0 && other->number == o->op.number &&
            strcmp(other->upload_id, o->op.upload_id) == 0)
            return true;
    return false;
}

static void part_is_there(struct hfc_dir_op *o)
{
    struct record r = {.size = o->op.body.size, .offset = o->op.offset};
    struct hfc_object object = {.size = r.size};
    struct hfc_error err;

    memcpy(r.sha256, o->sha256, sizeof(r.sha256));
    if (fdatasync(o->fd) < 0) {
        hfc_dir_fail(o, errno, "part");
        return;
    }
    if (write_record(o, &r, &err) < 0) {
        hfc_dir_fail(o, err.errnum, "part");
        return;
    }
    part_etag(r.sha256, object.etag);
    hfc_dir_succeed(o, &object);
}

static void take_part(struct hfc_dir_op *o)
{
    if (hfc_dir_take_body(o, o->op.offset))
        part_is_there(o);
}

/* Zeros are not written, so what an earlier try has left at the part's place has to go. */
static int make_hole(struct hfc_dir_op *o)
{
    struct stat st;
    off_t offset = (off_t)o->op.offset, size = (off_t)o->op.body.size;

    if (fstat(o->fd, &st) < 0)
        return -1;
    if (size == 0 || st.st_size <= offset)
        return 0;
    if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size) == 0)
        return 0;
    o->dense = errno == EOPNOTSUPP || errno == ENOSYS;
    return o->dense ? 0 : -1;
}

/* On the disk, too: a record that comes back after a power loss would vouch for other bytes. */
static int forget_record(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) < 0)
        return errno == ENOENT ? 0 : -1;
    return fsync(folder);
}

void hfc_dir_put_part(struct hfc_dir_op *o)
{
    char name[HFC_DIR_RECORD];

    if (!hfc_dir_open_upload(o))
        return;
    if (is_being_written(o)) {
        hfc_dir_refuse(o, EBUSY, "the part is being written already");
        return;
    }
    if (o->op.offset > INT64_MAX || o->op.body.size > INT64_MAX - o->op.offset) {
        hfc_dir_refuse(o, EINVAL, "the part ends beyond all files");
        return;
    }
    record_name(o->op.number, name);
    o->fd = openat(o->from, "data", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (o->fd < 0 || forget_record(o->from, name) < 0 || make_hole(o) < 0) {
        hfc_dir_fail(o, errno, "part");
        return;
    }
    o->buffer = hfc_dir_alloc(HFC_DIR_BUFFER);
    o->hash = hfc_hash_new(HFC_SHA256);
    o->synced = o->op.offset;
    hfc_dir_next(o, take_part);
}

/* ---- Lists. ---- */

static enum hfc_dir_take take_record(void *ctx, int fd, const struct dirent *e)
{
    (void)ctx, (void)fd;
    return strncmp(e->d_name, "part-", 5) == 0 && strlen(e->d_name) == strlen("part-12345")
               ? HFC_DIR_FILE
               : HFC_DIR_SKIP;
}

static void give_part(struct hfc_dir_op *o, const char *name)
{
    struct hfc_part part = {.has_sha256 = true};
    struct record r;

    if (!read_record(o->from, name, &r))
        return;
    part.size = r.size;
    memcpy(part.sha256, r.sha256, sizeof(part.sha256));
    part_etag(r.sha256, part.etag);
    o->op.call.part(o->op.ctx, (unsigned)strtoul(name + 5, NULL, 10), &part);
}

static void give_parts(struct hfc_dir_op *o)
{
    if (o->names->at == NULL) {
        int rc = hfc_dir_names_read(o->names, take_record, NULL);
        if (rc < 0)
            hfc_dir_fail(o, errno, "list");
        else
            hfc_dir_next(o, give_parts);
        return;
    }
    for (unsigned i = 0; i < HFC_DIR_TURN_ITEMS && o->next < o->names->n; i++) {
        give_part(o, o->names->at[o->next++]);
        if (o->op.ended)
            return;
    }
    if (o->next == o->names->n)
        hfc_dir_succeed(o, NULL);
    else
        hfc_dir_next(o, give_parts);
}

void hfc_dir_list_parts(struct hfc_dir_op *o)
{
    if (!hfc_dir_open_upload(o))
        return;
    int fd = openat(o->from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        hfc_dir_fail(o, errno, "list");
        return;
    }
    o->names = hfc_dir_names_new(fd);
    hfc_dir_next(o, give_parts);
}

/* ---- Completing. ---- */

/* The next part is the one that was uploaded, and begins where the last one ended. */
static const char *part_fault(const struct hfc_dir_op *o, const struct hfc_part *part)
{
    char name[HFC_DIR_RECORD], etag[HFC_ETAG_MAX];
    struct record r;

    record_name((unsigned)o->next + 1, name);
    if (!read_record(o->from, name, &r))
        return "was not uploaded";
    part_etag(r.sha256, etag);
    if (r.size != part->size || strcmp(etag, part->etag) != 0 ||
        (part->has_sha256 && memcmp(r.sha256, part->sha256, HFC_SHA256_SIZE) != 0))
        return "is another one than was uploaded";
    return r.offset == o->at ? NULL : "does not begin where the one before it ends";
}

static void check_parts(struct hfc_dir_op *o)
{
    char text[100];

    for (unsigned i = 0; i < HFC_DIR_TURN_ITEMS && o->next < o->op.n_parts; i++) {
        const struct hfc_part *part = &o->op.parts[o->next];
        const char *fault = part_fault(o, part);
        if (fault != NULL) {
            (void)snprintf(text, sizeof(text), "part %zu %s", o->next + 1, fault);
            hfc_dir_refuse(o, EBADMSG, text);
            return;
        }
        o->next++;
        o->at += part->size;
    }
    if (o->next < o->op.n_parts)
        hfc_dir_next(o, check_parts);
    else if (hfc_dir_publish(o, o->from, "data", o->at))
        hfc_dir_remove_temp((struct hfc_dir *)o->op.store, o->op.upload_id);
}

void hfc_dir_complete(struct hfc_dir_op *o)
{
    if (!hfc_dir_open_upload(o))
        return;
    o->fd = openat(o->from, "data", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (o->fd < 0)
        hfc_dir_fail(o, errno, "complete");
    else
        hfc_dir_next(o, check_parts);
}
