/* store_s3_copy.c: copies inside the bucket; see store_s3.h.
 *
 * Up to 512 MiB a copy is one CopyObject. Beyond that it is an upload whose parts are copied, 512
 * MiB each, one after the other; it is aborted if it comes to no good end. Every request names the
 * source's ETag, so the copy is of one version. Used by store_s3.c only.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store_s3_steps.h"

/* S3 takes 5 GiB at once. But the server may be silent while it copies, and a minute's silence is
 * taken for a dead connection: 512 MiB need 9 MB/s. */
#define COPY_PART (UINT64_C(512) << 20)
#define COPY_PART_MAX (UINT64_C(5) << 30)

/* The path of a source is encoded like any other, but stands in a header. */
static void source_headers(struct hfc_s3_op *op, struct hfc_buf *headers)
{
    hfc_buf_printf(headers, "x-amz-copy-source: /%s/", hfc_s3_of(op)->bucket);
    hfc_uri_encode(headers, op->op.from, strlen(op->op.from), "/");
    hfc_buf_char(headers, '\n');
    if (op->op.if_match != NULL)
        hfc_buf_printf(headers, "x-amz-copy-source-if-match: \"%s\"\n", op->op.if_match);
}

/* REPLACE: the digests are those that the caller knows, not what the source happens to carry. */
static void copy_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)query;
    source_headers(op, headers);
    hfc_buf_str(headers, "Content-Type: application/octet-stream\n"
                         "x-amz-metadata-directive: REPLACE\n"
                         "x-amz-checksum-algorithm: SHA256\n");
    hfc_s3_meta_headers(&op->op.meta, headers);
}

/* The only condition is the one on the source. */
static bool copy_refused(struct hfc_s3_op *op, const struct hfc_s3_fault *f,
                         enum hfc_verdict *verdict, struct hfc_error *err)
{
    if (f->status != 412)
        return false;
    (void)hfc_s3_fail(op, err, ESTALE, "the source has changed");
    *verdict = HFC_FAILED;
    return true;
}

/* Of a whole object the checksum is its SHA-256, unless it was made of parts. */
static enum hfc_verdict copy_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                    struct hfc_error *err)
{
    enum hfc_verdict verdict = HFC_RETRY;
    struct hfc_object *o = &op->reply.object;
    uint8_t theirs[HFC_SHA256_SIZE];
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_document(op, r, HFC_S3_COPIED, &verdict, err);

    if (x == NULL)
        return verdict;
    if (hfc_s3_etag(hfc_s3_xml_text(x, HFC_S3_ETAG), o->etag) < 0) {
        (void)hfc_s3_fail(op, err, EBADMSG, "the answer has no usable ETag");
        return HFC_RETRY;
    }
    if (op->op.meta.has_sha256 &&
        hfc_unbase64(hfc_s3_xml_text(x, HFC_S3_CHECKSUM), theirs, sizeof(theirs)) &&
        memcmp(theirs, op->op.meta.sha256, sizeof(theirs)) != 0) {
        op->spoiled = true;
        (void)hfc_s3_fail(op, err, EBADMSG, "the source has other bytes than its digest says");
        return HFC_FAILED;
    }
    o->size = op->op.length;
    o->modified = hfc_s3_time(hfc_s3_xml_text(x, HFC_S3_MODIFIED));
    o->meta = op->op.meta;
    return HFC_SUCCEEDED;
}

static void copy_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (op->spoiled)
        hfc_s3_discard(op, err, NULL);
    else
        hfc_s3_end(op, err);
}

static const struct hfc_s3_step copy_step = {.name = "COPY",
                                             .method = "PUT",
                                             .build = copy_build,
                                             .answer = copy_answer,
                                             .refused = copy_refused,
                                             .done = copy_done};

/* Larger for what would have too many. */
static uint64_t full_part(uint64_t length)
{
    uint64_t size = COPY_PART;

    while (length / size >= HFC_PARTS_MAX && size < COPY_PART_MAX)
        size *= 2;
    return size;
}

/* All of the same size but the last. */
static uint64_t part_size(const struct hfc_s3_op *op, unsigned number)
{
    uint64_t full = full_part(op->op.length), from = (number - 1) * full;

    assert(from < op->op.length);
    return op->op.length - from < full ? op->op.length - from : full;
}

static void part_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    uint64_t from = (op->op.number - 1) * full_part(op->op.length);

    source_headers(op, headers);
    hfc_buf_printf(headers, "x-amz-copy-source-range: bytes=%" PRIu64 "-%" PRIu64 "\n", from,
                   from + part_size(op, op->op.number) - 1);
    hfc_buf_printf(query, "partNumber=%u&", op->op.number);
    hfc_s3_upload_query(op, headers, query);
}

/* A checksum is kept for the completion, if the server tells one. */
static enum hfc_verdict part_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                    struct hfc_error *err)
{
    enum hfc_verdict verdict = HFC_RETRY;
    struct hfc_part *part = &op->copied[op->op.number - 1];
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_document(op, r, HFC_S3_PART_COPIED, &verdict, err);

    if (x == NULL)
        return verdict;
    if (hfc_s3_etag(hfc_s3_xml_text(x, HFC_S3_ETAG), part->etag) < 0) {
        (void)hfc_s3_fail(op, err, EBADMSG, "the answer has no usable ETag");
        return HFC_RETRY;
    }
    part->size = part_size(op, op->op.number);
    part->has_sha256 =
        hfc_unbase64(hfc_s3_xml_text(x, HFC_S3_CHECKSUM), part->sha256, HFC_SHA256_SIZE);
    return HFC_SUCCEEDED;
}

static void part_done(struct hfc_s3_op *op, const struct hfc_error *err);

static const struct hfc_s3_step part_step = {
    .name = "COPY",
    .method = "PUT",
    .build = part_build,
    .answer = part_answer,
    .refused = copy_refused,
    .done = part_done,
};

static void part_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (err != NULL) {
        hfc_s3_end(op, err);
    } else if (op->op.number < op->op.n_parts) {
        op->op.number++;
        hfc_s3_begin(op, &part_step);
    } else {
        hfc_s3_start_complete(&op->op);
    }
}

/* The upload is this operation's own: its id is not for the caller. */
static void created_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (err != NULL) {
        hfc_s3_end(op, err);
        return;
    }
    op->reply.upload_id = NULL;
    op->op.number = 1;
    hfc_s3_begin(op, &part_step);
}

static const struct hfc_s3_step create_step = {.name = "COPY",
                                               .method = "POST",
                                               .build = hfc_s3_create_headers,
                                               .answer = hfc_s3_created,
                                               .done = created_done};

void hfc_s3_start_copy(struct hfc_store_op *base)
{
    struct hfc_s3_op *op = (struct hfc_s3_op *)base;
    uint64_t full = full_part(base->length);
    uint64_t parts = base->length / full + (base->length % full != 0);

    if (base->length <= COPY_PART) {
        hfc_s3_begin(op, &copy_step);
        return;
    }
    op->step = &create_step;
    if (full > COPY_PART_MAX || parts > HFC_PARTS_MAX) {
        struct hfc_error err;
        (void)hfc_s3_fail(op, &err, EINVAL, "no object can be that large");
        hfc_s3_end(op, &err);
        return;
    }
    op->copied = calloc(parts, sizeof(*op->copied));
    if (op->copied == NULL)
        abort();
    assert(parts > 1);
    op->started = (int64_t)time(NULL);
    base->parts = op->copied;
    base->n_parts = (unsigned)parts;
    hfc_s3_begin(op, &create_step);
}

/* Whether the upload is gone or not: what is told is why the copy failed. */
static void aborted_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    (void)err;
    hfc_store_op_end(&op->op, NULL, &op->first);
}

static const struct hfc_s3_step abort_step = {.name = "COPY",
                                              .method = "DELETE",
                                              .build = hfc_s3_upload_query,
                                              .answer = hfc_s3_aborted,
                                              .done = aborted_done};

/* The upload of a copy that has failed: the error stays what it was. */
void hfc_s3_abort_copy(struct hfc_s3_op *op, const struct hfc_error *err)
{
    op->first = *err;
    hfc_s3_begin(op, &abort_step);
}
