/* store_s3_upload.c: uploads in parts: create, complete, abort; see store_s3.h.
 *
 * A CompleteMultipartUpload may do its work and still look like a failure: a 200 with an <Error> in
 * it, a cut answer, a 500, or NoSuchUpload because an earlier try has succeeded. If anything of the
 * kind happened, a HEAD decides: an object of the right size with this upload's metadata is
 * success if its checksum says so, or, where there is none, if it is not older than the operation.
 * (Some servers date an object from when its upload was created. Then the caller is told of a
 * failure and begins again, which is safe.) Also used by store_s3_copy.c.
 */
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "store_s3_steps.h"

/* 10,000 parts with ETag and checksum are 2 MB. */
enum { DOCUMENT_MAX = 4 * 1024 * 1024, GRACE = 60 /* seconds */ };

/* The checksum's kind has to be said at the start, or parts are refused theirs. */
void hfc_s3_create_headers(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    hfc_buf_str(query, "uploads=&");
    hfc_buf_str(headers, "Content-Type: application/octet-stream\n"
                         "x-amz-checksum-algorithm: SHA256\n");
    hfc_s3_meta_headers(&op->op.meta, headers);
}

/* If the answer was lost, the next try makes a second upload; the first is left to `gc`. */
enum hfc_verdict hfc_s3_created(struct hfc_s3_op *op, const struct hfc_response *r,
                                struct hfc_error *err)
{
    enum hfc_verdict verdict = HFC_RETRY;
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_document(op, r, HFC_S3_CREATED, &verdict, err);

    if (x == NULL)
        return verdict;
    const char *id = hfc_s3_xml_text(x, HFC_S3_UPLOAD_ID);
    if (*id == '\0') {
        (void)hfc_s3_fail(op, err, EBADMSG, "the answer has no UploadId");
        return HFC_RETRY;
    }
    free(op->op.upload_id);
    op->op.upload_id = strdup(id);
    if (op->op.upload_id == NULL)
        abort();
    assert(op->reply.upload_id == NULL);
    op->reply.upload_id = op->op.upload_id;
    return HFC_SUCCEEDED;
}

static const struct hfc_s3_step create_step = {.name = "CREATE UPLOAD",
                                               .method = "POST",
                                               .build = hfc_s3_create_headers,
                                               .answer = hfc_s3_created};

void hfc_s3_start_create(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &create_step);
}

/* An id is the server's text and may need encoding. */
void hfc_s3_upload_query(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)headers;
    hfc_buf_str(query, "uploadId=");
    hfc_uri_encode(query, op->op.upload_id, strlen(op->op.upload_id), "");
    hfc_buf_char(query, '&');
}

static void complete_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    hfc_buf_str(headers, "Content-Type: application/xml\n");
    hfc_s3_upload_query(op, headers, query);
}

/* An ETag is the server's text. */
static void add_escaped(struct hfc_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            hfc_buf_str(out, "&amp;");
            break;
        case '<':
            hfc_buf_str(out, "&lt;");
            break;
        case '>':
            hfc_buf_str(out, "&gt;");
            break;
        default:
            hfc_buf_char(out, *text);
        }
    }
}

/* The elements in the order of S3's schema. */
static void add_part(struct hfc_buf *out, unsigned number, const struct hfc_part *part)
{
    char base64[HFC_BASE64_MAX];

    hfc_buf_str(out, "<Part>");
    if (part->has_sha256) {
        hfc_base64(part->sha256, HFC_SHA256_SIZE, base64);
        hfc_buf_printf(out, "<ChecksumSHA256>%s</ChecksumSHA256>", base64);
    }
    hfc_buf_str(out, "<ETag>\"");
    add_escaped(out, part->etag);
    hfc_buf_printf(out, "\"</ETag><PartNumber>%u</PartNumber></Part>", number);
}

/* In memory, not made on the way: its hash is needed before its first byte is sent. */
static void write_document(struct hfc_s3_op *op)
{
    struct hfc_buf *out = &op->document;

    hfc_buf_init(out, DOCUMENT_MAX);
    hfc_buf_str(out, "<CompleteMultipartUpload "
                     "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 0; i < op->op.n_parts; i++)
        add_part(out, i + 1, &op->op.parts[i]);
    hfc_buf_str(out, "</CompleteMultipartUpload>");
}

static uint64_t sum_of_parts(const struct hfc_s3_op *op)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < op->op.n_parts; i++)
        sum += op->op.parts[i].size;
    return sum;
}

enum match { UNKNOWN, OURS, OTHER };

/* S3's checksum of checksums, "BASE64-N": that of the parts' digests, one behind the other. Only
 * told apart by the "-N": some servers answer with the digest of the whole. */
static enum match match_composite(const struct hfc_s3_op *op, const char *theirs)
{
    const char *dash = strchr(theirs, '-');
    uint8_t ours[HFC_SHA256_SIZE];
    char text[HFC_BASE64_MAX];

    if (dash == NULL)
        return UNKNOWN;
    hfc_autohash struct hfc_hash *h = hfc_hash_new(HFC_SHA256);
    for (unsigned i = 0; i < op->op.n_parts; i++) {
        if (!op->op.parts[i].has_sha256)
            return UNKNOWN;
        hfc_hash_add(h, op->op.parts[i].sha256, HFC_SHA256_SIZE);
    }
    hfc_hash_finish(h, ours);
    hfc_base64(ours, sizeof(ours), text);
    bool same = (size_t)(dash - theirs) == strlen(text) && memcmp(theirs, text, strlen(text)) == 0;
    return same ? OURS : OTHER;
}

/* White space, then a document that may still be an error: see hfc_s3_document(). */
static enum hfc_verdict complete_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                        struct hfc_error *err)
{
    enum hfc_verdict verdict = HFC_RETRY;
    struct hfc_object *o = &op->reply.object;
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_document(op, r, HFC_S3_COMPLETED, &verdict, err);

    if (x == NULL)
        return verdict;
    if (hfc_s3_etag(hfc_s3_xml_text(x, HFC_S3_ETAG), o->etag) < 0) {
        op->ambiguous = true;
        (void)hfc_s3_fail(op, err, EBADMSG, "the answer has no usable ETag");
        return HFC_RETRY;
    }
    if (match_composite(op, hfc_s3_xml_text(x, HFC_S3_CHECKSUM)) == OTHER) {
        op->spoiled = true;
        (void)hfc_s3_fail(op, err, EBADMSG, "the server has put other parts together");
        return HFC_FAILED;
    }
    o->size = sum_of_parts(op);
    o->meta = op->op.meta;
    return HFC_SUCCEEDED;
}

/* Having none is the same as having none. */
static bool same_digest(bool has_a, const uint8_t *a, bool has_b, const uint8_t *b, size_t n)
{
    return has_a == has_b && (!has_a || memcmp(a, b, n) == 0);
}

/* A server without checksums: nothing that was there before the operation can be its work. Both
 * times are the server's. */
static bool is_new(const struct hfc_s3_op *op, const struct hfc_response *r,
                   const struct hfc_object *o)
{
    const char *date = hfc_response_header(r, "date");
    time_t theirs = date != NULL ? curl_getdate(date, NULL) : -1;
    int64_t offset = theirs > 0 ? (int64_t)theirs - (int64_t)time(NULL) : op->clock_offset;

    return o->modified >= op->started + offset - GRACE;
}

static bool is_ours(const struct hfc_s3_op *op, const struct hfc_response *r,
                    const struct hfc_object *o)
{
    const char *checksum = hfc_response_header(r, "x-amz-checksum-sha256");
    enum match match = checksum != NULL ? match_composite(op, checksum) : UNKNOWN;

    return match == OURS || (match == UNKNOWN && is_new(op, r, o));
}

static void check_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    (void)op;
    (void)query;
    hfc_buf_str(headers, "x-amz-checksum-mode: ENABLED\n");
}

/* Size and all digests, as this upload was given them: another writer's object has others. */
static enum hfc_verdict check_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                     struct hfc_error *err)
{
    const struct hfc_meta *ours = &op->op.meta;
    struct hfc_object o;

    if (hfc_s3_read_head(op, r, &o, err) < 0)
        return HFC_RETRY;
    if (o.size != sum_of_parts(op) ||
        !same_digest(ours->has_sha256, ours->sha256, o.meta.has_sha256, o.meta.sha256,
                     HFC_SHA256_SIZE) ||
        !same_digest(ours->has_git_sha1, ours->git_sha1, o.meta.has_git_sha1, o.meta.git_sha1,
                     HFC_SHA1_SIZE) ||
        !is_ours(op, r, &o)) {
        (void)hfc_s3_fail(op, err, ENOENT, "another object");
        return HFC_FAILED;
    }
    op->reply.object = o;
    return HFC_SUCCEEDED;
}

/* The first step's error is what counts, unless the object turns out to be there. */
static void check_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    hfc_s3_end(op, err != NULL ? &op->first : NULL);
}

static const struct hfc_s3_step check_step = {.name = "HEAD",
                                              .method = "HEAD",
                                              .build = check_build,
                                              .answer = check_answer,
                                              .done = check_done};

/* The document may be megabytes; it goes as soon as it can. */
static void complete_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    hfc_buf_free(&op->document);
    if (op->spoiled) {
        hfc_s3_discard(op, err, NULL);
        return;
    }
    if (err == NULL || !op->ambiguous) {
        hfc_s3_end(op, err);
        return;
    }
    op->first = *err;
    hfc_s3_begin(op, &check_step);
}

static const struct hfc_s3_step complete_step = {
    .name = "COMPLETE UPLOAD",
    .method = "POST",
    .payload = HFC_S3_DOCUMENT,
    .build = complete_build,
    .answer = complete_answer,
    .done = complete_done,
};

void hfc_s3_start_complete(struct hfc_store_op *base)
{
    struct hfc_s3_op *op = (struct hfc_s3_op *)base;

    assert(base->n_parts >= 1 && base->n_parts <= HFC_PARTS_MAX);
    if (op->started == 0)
        op->started = (int64_t)time(NULL);
    write_document(op);
    if (hfc_buf_failed(&op->document)) {
        struct hfc_error err;
        op->step = &complete_step;
        (void)hfc_s3_fail(op, &err, EINVAL, "the list of parts is too long");
        hfc_s3_end(op, &err);
        return;
    }
    hfc_s3_begin(op, &complete_step);
}

/* S3 has nothing to say about what is gone. */
enum hfc_verdict hfc_s3_aborted(struct hfc_s3_op *op, const struct hfc_response *r,
                                struct hfc_error *err)
{
    (void)op;
    (void)r;
    (void)err;
    return HFC_SUCCEEDED;
}

/* It is gone already. */
static bool abort_refused(struct hfc_s3_op *op, const struct hfc_s3_fault *f,
                          enum hfc_verdict *verdict, struct hfc_error *err)
{
    (void)op;
    (void)err;
    if (strcmp(f->code, "NoSuchUpload") != 0)
        return false;
    *verdict = HFC_SUCCEEDED;
    return true;
}

static const struct hfc_s3_step abort_step = {.name = "ABORT UPLOAD",
                                              .method = "DELETE",
                                              .build = hfc_s3_upload_query,
                                              .answer = hfc_s3_aborted,
                                              .refused = abort_refused};

void hfc_s3_start_abort(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &abort_step);
}
