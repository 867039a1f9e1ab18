/* store_s3_put.c: PUT of objects and of parts, and how a lost answer is found out about.
 *
 * The server checks the SHA-256 that comes with the bytes; what it says it has stored is checked
 * here. A conditional PUT whose answer was lost may have done its work, and its next try then meets
 * its own object: a HEAD tells. The same bytes count as success; what was to be in the object is.
 * Used by store_s3*.c only.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store_s3_steps.h"

/* Tries of an object whose bytes arrive wrong. */
enum { SPOILS_MAX = 3 };

/* The digest of what was sent, if it was sent to its end. */
static const uint8_t *sent_digest(const struct hfc_s3_op *op)
{
    if (op->op.body.sha256 != NULL)
        return op->op.body.sha256;
    return op->chunked.ended ? op->chunked.digest : NULL;
}

/* A server that says it has stored other bytes than were sent is asked again: a part is replaced by
 * that. */
static enum hfc_verdict stored_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                      struct hfc_error *err)
{
    struct hfc_object *o = &op->reply.object;
    const char *etag = hfc_response_header(r, "etag");
    const char *checksum = hfc_response_header(r, "x-amz-checksum-sha256");
    const uint8_t *ours = sent_digest(op);
    uint8_t theirs[HFC_SHA256_SIZE];

    if (ours == NULL) {
        (void)hfc_s3_fail(op, err, EBADMSG, "answered before all bytes were sent");
        return HFC_RETRY;
    }
    if (etag == NULL || hfc_s3_etag(etag, o->etag) < 0) {
        op->ambiguous = true;
        (void)hfc_s3_fail(op, err, EBADMSG, "the answer has no usable ETag");
        return HFC_RETRY;
    }
    if (checksum != NULL && hfc_unbase64(checksum, theirs, sizeof(theirs)) &&
        memcmp(theirs, ours, sizeof(theirs)) != 0) {
        op->spoiled = true;
        (void)hfc_s3_fail(op, err, EBADMSG, "the server has stored other bytes");
        return HFC_RETRY;
    }
    o->size = op->op.body.size;
    o->meta = op->op.meta;
    return HFC_SUCCEEDED;
}

/* An object with wrong bytes has to go before another try, or IF_ABSENT would meet it. */
static enum hfc_verdict put_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                   struct hfc_error *err)
{
    enum hfc_verdict verdict = stored_answer(op, r, err);

    return op->spoiled ? HFC_FAILED : verdict;
}

/* The digests go with the object: they are what makes the next run cheap. */
static void put_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)query;
    hfc_buf_printf(headers, "Content-Type: %s\n", op->op.content_type);
    if (op->op.condition == HFC_IF_ABSENT)
        hfc_buf_str(headers, "If-None-Match: *\n");
    else if (op->op.condition == HFC_IF_MATCH)
        hfc_buf_printf(headers, "If-Match: \"%s\"\n", op->op.if_match);
    hfc_s3_meta_headers(&op->op.meta, headers);
}

/* 412 is the condition, whatever code stands with it. */
static bool put_refused(struct hfc_s3_op *op, const struct hfc_s3_fault *f,
                        enum hfc_verdict *verdict, struct hfc_error *err)
{
    if (f->status != 412)
        return false;
    *verdict = HFC_FAILED;
    if (op->op.condition == HFC_IF_ABSENT)
        (void)hfc_s3_fail(op, err, EEXIST, "there is an object already");
    else
        (void)hfc_s3_fail(op, err, ESTALE, "the object has changed");
    return true;
}

/* Asks for the checksum too: the caller need not have given a digest as metadata. */
static void check_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)op;
    (void)query;
    hfc_buf_str(headers, "x-amz-checksum-mode: ENABLED\n");
}

/* The server's own checksum tells best; else what the object's maker has written beside it. */
static bool is_ours(const struct hfc_s3_op *op, const struct hfc_response *r,
                    const struct hfc_object *o)
{
    const char *checksum = hfc_response_header(r, "x-amz-checksum-sha256");
    uint8_t theirs[HFC_SHA256_SIZE];
    const struct hfc_meta *meta = &op->op.meta;

    if (op->has_digest && checksum != NULL && hfc_unbase64(checksum, theirs, sizeof(theirs)))
        return memcmp(theirs, op->op.sha256, sizeof(theirs)) == 0;
    if (op->has_digest && o->meta.has_sha256)
        return memcmp(o->meta.sha256, op->op.sha256, HFC_SHA256_SIZE) == 0;
    return meta->has_sha256 && o->meta.has_sha256 &&
           memcmp(o->meta.sha256, meta->sha256, HFC_SHA256_SIZE) == 0;
}

/* The right size alone proves nothing. */
static enum hfc_verdict check_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                     struct hfc_error *err)
{
    struct hfc_object o;

    if (hfc_s3_read_head(op, r, &o, err) < 0)
        return HFC_RETRY;
    if (o.size != op->op.body.size || !is_ours(op, r, &o)) {
        (void)hfc_s3_fail(op, err, EEXIST, "another object");
        return HFC_FAILED;
    }
    op->reply.object = o;
    return HFC_SUCCEEDED;
}

/* What the PUT was told is what counts, unless the object turns out to be ours. */
static void check_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    hfc_s3_end(op, err != NULL ? &op->first : NULL);
}

static const struct hfc_s3_step check_step = {.name = "HEAD",
                                              .method = "HEAD",
                                              .build = check_build,
                                              .answer = check_answer,
                                              .done = check_done};

static void put_again(struct hfc_s3_op *op, bool gone);

/* Without an attempt that may have worked, the object met can't be ours. */
static void put_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (op->spoiled) {
        op->spoils++;
        hfc_s3_discard(op, err, put_again);
        return;
    }
    bool met = err != NULL && (err->errnum == EEXIST || err->errnum == ESTALE);

    if (!met || !op->ambiguous) {
        hfc_s3_end(op, err);
        return;
    }
    op->first = *err;
    hfc_s3_begin(op, &check_step);
}

static const struct hfc_s3_step put_step = {
    .name = "PUT",
    .method = "PUT",
    .payload = HFC_S3_BODY,
    .build = put_build,
    .answer = put_answer,
    .refused = put_refused,
    .done = put_done,
};

/* Once the wrong object is gone, what IF_MATCH meant is gone as well. */
static void put_again(struct hfc_s3_op *op, bool gone)
{
    bool may = op->op.condition == HFC_IF_ABSENT ? gone : op->op.condition != HFC_IF_MATCH;

    if (!may || op->spoils >= SPOILS_MAX) {
        hfc_s3_end(op, &op->first);
        return;
    }
    op->op.store->stats.retries++;
    hfc_s3_begin(op, &put_step);
    op->last = op->first; /* a source that can't go back ends with it */
}

void hfc_s3_start_put(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &put_step);
}

/* A part has no metadata; those came with the upload. */
static void part_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)headers;
    hfc_buf_printf(query, "partNumber=%u&uploadId=", op->op.number);
    hfc_uri_encode(query, op->op.upload_id, strlen(op->op.upload_id), "");
    hfc_buf_char(query, '&');
}

static const struct hfc_s3_step part_step = {
    .name = "PUT PART",
    .method = "PUT",
    .payload = HFC_S3_BODY,
    .build = part_build,
    .answer = stored_answer,
};

void hfc_s3_start_put_part(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &part_step);
}
