/* store_s3_object.c: HEAD, GET and DELETE of S3; see store_s3.h.
 *
 * A GET delivers each byte once. When it is cut, the next try asks for the rest of the same version
 * (Range, If-Match); the head of each answer is checked before any byte is given on. A weak ETag
 * matches no If-Match, so it is only compared.
 */
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_s3_steps.h"

/* A transfer that came this far before it was cut has all its tries again. */
enum { GOOD_WAY = 1024 * 1024 };

/* Quotes, and the mark of a weak one, are taken off. What can't be sent back is refused. */
int hfc_s3_etag(const char *text, char etag[HFC_ETAG_MAX])
{
    size_t n;

    if (strncmp(text, "W/", 2) == 0)
        text += 2;
    n = strlen(text);
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') {
        text++;
        n -= 2;
    }
    if (n == 0 || n >= HFC_ETAG_MAX)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e || text[i] == '"')
            return -1;
    }
    memcpy(etag, text, n);
    etag[n] = '\0';
    return 0;
}

/* Digests that somebody has garbled count as none: they are a cache of what can be computed. */
static void read_meta(const struct hfc_response *r, struct hfc_meta *meta)
{
    const char *sha256 = hfc_response_header(r, "x-amz-meta-hfcache-sha256");
    const char *sha1 = hfc_response_header(r, "x-amz-meta-hfcache-git-sha1");

    meta->has_sha256 = sha256 != NULL && hfc_unhex(sha256, meta->sha256, HFC_SHA256_SIZE);
    meta->has_git_sha1 = sha1 != NULL && hfc_unhex(sha1, meta->git_sha1, HFC_SHA1_SIZE);
}

void hfc_s3_meta_headers(const struct hfc_meta *meta, struct hfc_buf *headers)
{
    char hex[HFC_HEX_MAX];

    if (meta->has_sha256) {
        hfc_hex(meta->sha256, HFC_SHA256_SIZE, hex);
        hfc_buf_printf(headers, "x-amz-meta-hfcache-sha256: %s\n", hex);
    }
    if (meta->has_git_sha1) {
        hfc_hex(meta->git_sha1, HFC_SHA1_SIZE, hex);
        hfc_buf_printf(headers, "x-amz-meta-hfcache-git-sha1: %s\n", hex);
    }
}

/* All but the size. */
static int read_headers(struct hfc_s3_op *op, const struct hfc_response *r, struct hfc_object *o,
                        struct hfc_error *err)
{
    const char *etag = hfc_response_header(r, "etag");
    const char *modified = hfc_response_header(r, "last-modified");
    time_t t = modified != NULL ? curl_getdate(modified, NULL) : -1;

    if (etag == NULL || hfc_s3_etag(etag, o->etag) < 0)
        return hfc_s3_fail(op, err, EBADMSG, "the answer has no usable ETag");
    o->modified = t > 0 ? t : 0;
    read_meta(r, &o->meta);
    return 0;
}

/* False: there is no such header, or it is no number. */
static bool header_number(const struct hfc_response *r, const char *name, uint64_t *value)
{
    const char *text = hfc_response_header(r, name);

    return text != NULL && hfc_s3_number(text, value);
}

/* Without a size or an ETag an object can't be read safely, so both have to be there. */
int hfc_s3_read_head(struct hfc_s3_op *op, const struct hfc_response *r, struct hfc_object *o,
                     struct hfc_error *err)
{
    *o = (struct hfc_object){0};
    if (!header_number(r, "content-length", &o->size))
        return hfc_s3_fail(op, err, EBADMSG, "the answer has no Content-Length");
    return read_headers(op, r, o, err);
}

static enum hfc_verdict head_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                    struct hfc_error *err)
{
    return hfc_s3_read_head(op, r, &op->reply.object, err) == 0 ? HFC_SUCCEEDED : HFC_RETRY;
}

static const struct hfc_s3_step head_step = {
    .name = "HEAD", .method = "HEAD", .answer = head_answer};

void hfc_s3_start_head(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &head_step);
}

/* Bytes are asked for by number, unless it is the whole object from its start. */
static bool wants_range(const struct hfc_s3_op *op)
{
    return op->op.offset + op->get.got > 0 || op->op.length > 0;
}

static void get_build(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query)
{
    const char *etag =
        op->reply.object.etag[0] != '\0' && !op->get.weak ? op->reply.object.etag : op->op.if_match;

    (void)query;
    assert(op->op.length == 0 || op->get.got < op->op.length);
    op->get.from = op->get.got;
    op->get.verdict = HFC_SUCCEEDED;
    if (wants_range(op)) {
        hfc_buf_printf(headers, "Range: bytes=%" PRIu64 "-", op->op.offset + op->get.got);
        if (op->op.length > 0)
            hfc_buf_printf(headers, "%" PRIu64, op->op.offset + op->op.length - 1);
        hfc_buf_char(headers, '\n');
    }
    if (etag != NULL)
        hfc_buf_printf(headers, "If-Match: \"%s\"\n", etag);
    if (op->op.if_none_match != NULL && op->get.got == 0)
        hfc_buf_printf(headers, "If-None-Match: \"%s\"\n", op->op.if_none_match);
}

/* The answer's head is wrong; another try may get a right one. */
static enum hfc_verdict bad(struct hfc_s3_op *op, const char *what)
{
    (void)hfc_s3_fail(op, &op->get.err, EBADMSG, "%s", what);
    return HFC_RETRY;
}

/* Final: the server has answered well, and the object is what it is. */
static enum hfc_verdict too_short(struct hfc_s3_op *op, uint64_t total)
{
    (void)hfc_s3_fail(op, &op->get.err, EBADMSG,
                      "the object has %" PRIu64 " bytes, %" PRIu64 " from %" PRIu64
                      " were asked for",
                      total, op->op.length, op->op.offset);
    return HFC_FAILED;
}

/* "bytes FIRST-LAST/TOTAL". */
static bool content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total)
{
    char copy[80];
    char *save = NULL;

    if (text == NULL || strncmp(text, "bytes ", 6) != 0 || strlen(text) >= sizeof(copy))
        return false;
    (void)snprintf(copy, sizeof(copy), "%s", text + 6);
    char *a = strtok_r(copy, "-", &save);
    char *b = a != NULL ? strtok_r(NULL, "/", &save) : NULL;
    char *c = b != NULL ? strtok_r(NULL, "", &save) : NULL;
    return c != NULL && hfc_s3_number(a, first) && hfc_s3_number(b, last) &&
           hfc_s3_number(c, total) && *first <= *last && *last < *total;
}

/* The range has to be the one that was asked for, to the byte. */
static enum hfc_verdict check_partial(struct hfc_s3_op *op, const struct hfc_response *r,
                                      struct hfc_object *o)
{
    uint64_t first, last, length;
    uint64_t from = op->op.offset + op->get.got;
    uint64_t end = op->op.offset + op->op.length;

    if (!wants_range(op))
        return bad(op, "206 for the whole object");
    if (!content_range(hfc_response_header(r, "content-range"), &first, &last, &o->size))
        return bad(op, "206 without a readable Content-Range");
    if (op->op.length == 0)
        end = o->size;
    else if (o->size < end)
        return too_short(op, o->size);
    if (first != from || last != end - 1)
        return bad(op, "206 with another Content-Range than was asked for");
    if (header_number(r, "content-length", &length) && length != last - first + 1)
        return bad(op, "Content-Length and Content-Range contradict each other");
    op->get.ranged = op->get.known = true;
    op->get.want = end - op->op.offset;
    return HFC_SUCCEEDED;
}

/* A server that ignores ranges: fine as long as the bytes wanted come first. */
static enum hfc_verdict check_whole(struct hfc_s3_op *op, const struct hfc_response *r,
                                    struct hfc_object *o)
{
    bool has_size = header_number(r, "content-length", &o->size);

    if (op->op.offset + op->get.got > 0)
        return bad(op, "200 for a range");
    if (has_size && o->size < op->op.length)
        return too_short(op, o->size);
    op->get.ranged = false;
    op->get.known = has_size || op->op.length > 0;
    op->get.want = op->op.length > 0 ? op->op.length : o->size;
    return HFC_SUCCEEDED;
}

/* Nothing of an answer counts before its head has passed: op->reply stays as it was. */
static enum hfc_verdict check_head(struct hfc_s3_op *op, const struct hfc_response *r)
{
    struct hfc_object o = {0};
    const char *etag = op->reply.object.etag[0] != '\0' ? op->reply.object.etag : op->op.if_match;

    if (read_headers(op, r, &o, &op->get.err) < 0)
        return HFC_RETRY;
    if (etag != NULL && strcmp(etag, o.etag) != 0) {
        (void)hfc_s3_fail(op, &op->get.err, ESTALE, "the object has changed");
        return HFC_FAILED;
    }
    enum hfc_verdict verdict =
        hfc_response_status(r) == 206 ? check_partial(op, r, &o) : check_whole(op, r, &o);
    if (verdict == HFC_SUCCEEDED) {
        op->reply.object = o;
        op->get.weak = strncmp(hfc_response_header(r, "etag"), "W/", 2) == 0;
    }
    return verdict;
}

/* Errors are collected, for their text; bytes of an object never are. */
static bool get_head(void *ctx, const struct hfc_response *r)
{
    struct hfc_s3_op *op = ctx;
    int status = hfc_response_status(r);

    if (status != 200 && status != 206)
        return false;
    op->get.verdict = check_head(op, r);
    return true;
}

/* Gives on what is wanted and no more. A caller that pauses gets the same bytes again. */
static enum hfc_flow get_data(void *ctx, const void *bytes, size_t n)
{
    struct hfc_s3_op *op = ctx;
    uint64_t room = op->get.known ? op->get.want - op->get.got : UINT64_MAX;

    assert(!op->get.known || op->get.got <= op->get.want);
    if (op->op.ended || op->get.verdict != HFC_SUCCEEDED)
        return HFC_FLOW_STOP;
    if (n > room && op->get.ranged) {
        op->get.verdict = bad(op, "more bytes than Content-Range says");
        return HFC_FLOW_STOP;
    }
    size_t some = n < room ? n : (size_t)room;
    enum hfc_flow flow = some > 0 ? op->op.call.data(op->op.ctx, bytes, some) : HFC_FLOW_ON;
    if (flow == HFC_FLOW_PAUSE)
        return HFC_FLOW_PAUSE;
    op->get.stopped = flow == HFC_FLOW_STOP;
    if (flow == HFC_FLOW_ON)
        op->get.got += some;
    return op->op.ended || op->get.stopped || some < n ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

/* The end of an answer that came to its end. */
static enum hfc_verdict get_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                   struct hfc_error *err)
{
    int status = hfc_response_status(r);

    if (status != 200 && status != 206) {
        (void)hfc_s3_fail(op, err, EBADMSG, "unexpected status %d", status);
        return HFC_RETRY;
    }
    if (op->get.verdict != HFC_SUCCEEDED) {
        *err = op->get.err;
        return op->get.verdict;
    }
    if (op->get.known && op->get.got < op->get.want) {
        (void)hfc_s3_fail(op, err, EBADMSG, "the body ended after %" PRIu64 " of %" PRIu64 " bytes",
                          op->get.got, op->get.want);
        return HFC_RETRY;
    }
    if (!op->get.known)
        op->reply.object.size = op->get.got;
    return HFC_SUCCEEDED;
}

/* The end of one that did not. */
static bool get_cut(struct hfc_s3_op *op, enum hfc_http_end end, enum hfc_verdict *verdict,
                    struct hfc_error *err)
{
    *verdict = HFC_FAILED;
    if (op->get.stopped) {
        (void)hfc_s3_fail(op, err, ECANCELED, "stopped");
        return true;
    }
    if (op->get.verdict != HFC_SUCCEEDED) {
        *err = op->get.err;
        *verdict = op->get.verdict;
        return true;
    }
    if (op->get.known && op->get.got == op->get.want) {
        *verdict = HFC_SUCCEEDED;
        return true;
    }
    if (end == HTTP_BROKEN && op->get.got - op->get.from >= GOOD_WAY) {
        op->restart = true;
        return hfc_s3_fail(op, err, ENOTCONN, "cut") < 0;
    }
    return false;
}

/* The range begins behind the object's end. */
static bool get_refused(struct hfc_s3_op *op, const struct hfc_s3_fault *f,
                        enum hfc_verdict *verdict, struct hfc_error *err)
{
    if (f->status != 416)
        return false;
    (void)hfc_s3_fail(op, err, EBADMSG, "the object is shorter than %" PRIu64 " bytes",
                      op->op.offset + (op->op.length > 0 ? op->op.length : 1));
    *verdict = HFC_FAILED;
    return true;
}

static const struct hfc_s3_step get_step = {
    .name = "GET",
    .method = "GET",
    .build = get_build,
    .answer = get_answer,
    .refused = get_refused,
    .head = get_head,
    .data = get_data,
    .cut = get_cut,
};

void hfc_s3_start_get(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &get_step);
}

static enum hfc_verdict delete_answer(struct hfc_s3_op *op, const struct hfc_response *r,
                                      struct hfc_error *err)
{
    (void)op;
    (void)r;
    (void)err;
    return HFC_SUCCEEDED;
}

/* There is nothing to delete: that is what was wanted. A bucket that is not there is not. */
static bool delete_refused(struct hfc_s3_op *op, const struct hfc_s3_fault *f,
                           enum hfc_verdict *verdict, struct hfc_error *err)
{
    (void)op;
    (void)err;
    if (strcmp(f->code, "NoSuchKey") != 0)
        return false;
    *verdict = HFC_SUCCEEDED;
    return true;
}

static const struct hfc_s3_step delete_step = {
    .name = "DELETE", .method = "DELETE", .answer = delete_answer, .refused = delete_refused};

/* What is told is why the object had to go. */
static void discard_done(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (err != NULL)
        hfc_store_say(&hfc_s3_of(op)->base, "a wrong object stays: %s", err->msg);
    if (op->discarded != NULL)
        op->discarded(op, err == NULL);
    else
        hfc_s3_end(op, &op->first);
}

static const struct hfc_s3_step discard_step = {.name = "DELETE",
                                                .method = "DELETE",
                                                .answer = delete_answer,
                                                .refused = delete_refused,
                                                .done = discard_done};

/* Its metadata are good and its bytes are not: the next run would believe it. */
void hfc_s3_discard(struct hfc_s3_op *op, const struct hfc_error *err,
                    void (*then)(struct hfc_s3_op *op, bool gone))
{
    assert(op->spoiled && err != NULL);
    op->spoiled = false;
    op->first = *err;
    op->discarded = then;
    hfc_s3_begin(op, &discard_step);
}

void hfc_s3_start_delete(struct hfc_store_op *op)
{
    hfc_s3_begin((struct hfc_s3_op *)op, &delete_step);
}
