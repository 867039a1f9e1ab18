/* store_s3_request.c: one step of an operation on S3: keys, signature, tries; see store_s3.h.
 *
 * A step waits for keys if there are none, then runs as one call (call.h). The call ends early,
 * and the step begins anew, when keys have run out in between, or when a long transfer was cut
 * after it had come a good way. Used by store_s3*.c only.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "store_s3_steps.h"

enum {
    HEAD_MAX = 32 * 1024, /* of all header lines; session tokens take some KiB */
    KEYS_RESTARTS_MAX = 4,
    KEY_SHOWN = 300, /* bytes of a key in a message */
};

#define STREAMING "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define SHA256_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct hfc_s3 *hfc_s3_of(const struct hfc_s3_op *op)
{
    return (struct hfc_s3 *)op->op.store;
}

int hfc_s3_fail(struct hfc_s3_op *op, struct hfc_error *err, int errnum, const char *fmt, ...)
{
    char text[HFC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)snprintf(op->reason, sizeof(op->reason), "%.*s", (int)sizeof(op->reason) - 1, text);
    (void)hfc_error_set(err, 0, "%s s3://%s/%.*s: %s", op->step->name, hfc_s3_of(op)->bucket,
                        KEY_SHOWN, op->op.key, text);
    err->errnum = errnum;
    return -1;
}

/* A copy in parts leaves no upload behind. */
void hfc_s3_end(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (err != NULL && op->op.kind == HFC_OP_COPY && op->op.upload_id != NULL)
        hfc_s3_abort_copy(op, err);
    else
        hfc_store_op_end(&op->op, err == NULL ? &op->reply : NULL, err);
}

/* The headers that say what the payload is, and what its signature covers. */
static void payload_headers(struct hfc_s3_op *op, struct hfc_buf *headers,
                            char payload[HFC_HEX_MAX])
{
    char base64[HFC_BASE64_MAX];
    uint8_t digest[HFC_SHA256_SIZE];
    const uint8_t *sha256 = op->op.body.sha256;

    assert(sizeof(STREAMING) <= HFC_HEX_MAX && sizeof(SHA256_OF_NOTHING) == HFC_HEX_MAX);
    if (op->step->payload == HFC_S3_EMPTY) {
        memcpy(payload, SHA256_OF_NOTHING, sizeof(SHA256_OF_NOTHING));
    } else if (op->step->payload == HFC_S3_DOCUMENT) {
        hfc_hash_of(HFC_SHA256, op->document.data, op->document.len, digest);
        hfc_hex(digest, sizeof(digest), payload);
    } else if (sha256 != NULL) {
        hfc_hex(sha256, HFC_SHA256_SIZE, payload);
        hfc_base64(sha256, HFC_SHA256_SIZE, base64);
        hfc_buf_printf(headers, "x-amz-checksum-sha256: %s\n", base64);
    } else {
        memcpy(payload, STREAMING, sizeof(STREAMING));
        hfc_buf_printf(headers,
                       "Content-Encoding: aws-chunked\nx-amz-decoded-content-length: %" PRIu64
                       "\nx-amz-trailer: x-amz-checksum-sha256\n",
                       op->op.body.size);
    }
}

static ssize_t read_document(void *ctx, uint64_t offset, void *to, size_t n)
{
    const struct hfc_s3_op *op = ctx;

    assert(offset < op->document.len);
    size_t left = op->document.len - (size_t)offset;
    size_t some = left < n ? left : n;
    memcpy(to, op->document.data + offset, some);
    return (ssize_t)some;
}

/* The caller's function is not to be called any more once it has cancelled. */
static ssize_t read_source(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct hfc_s3_op *op = ctx;

    if (op->op.ended)
        return HFC_READ_STOP;
    ssize_t some = op->op.body.read(op->op.body.ctx, offset, to, n);
    return some == 0 ? HFC_READ_STOP : some;
}

static ssize_t read_chunked(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct hfc_s3_op *op = ctx;

    return hfc_aws_chunked_read(&op->chunked, offset, to, n);
}

/* The framing begins anew with each attempt, and so does its hash. */
static void set_body(struct hfc_s3_op *op, struct hfc_http_request *request)
{
    const struct hfc_body *body = &op->op.body;

    if (op->step->payload == HFC_S3_DOCUMENT) {
        request->read = read_document;
        request->body_size = op->document.len;
    } else if (op->step->payload == HFC_S3_BODY && body->sha256 == NULL) {
        struct hfc_body guarded = *body;
        guarded.read = read_source;
        guarded.ctx = op;
        hfc_aws_chunked_init(&op->chunked, &guarded);
        request->read = read_chunked;
        request->body_size = hfc_aws_chunked_size(body->size);
    } else if (op->step->payload == HFC_S3_BODY && body->size > 0) {
        request->read = read_source;
        request->body_size = body->size;
    }
}

/* The address goes before the header lines in `scratch`, with a NUL between them. */
static int sign(struct hfc_s3_op *op, const struct hfc_aws_keys *keys,
                struct hfc_http_request *request, struct hfc_buf *scratch)
{
    struct hfc_s3 *s = hfc_s3_of(op);
    char payload[HFC_HEX_MAX];
    hfc_autobuf struct hfc_buf headers = HFC_BUF(HEAD_MAX), query = HFC_BUF(HEAD_MAX),
                               origin = HFC_BUF(HEAD_MAX), host = HFC_BUF(HEAD_MAX),
                               path = HFC_BUF(HEAD_MAX);

    hfc_s3_address(s, op->step->of_bucket ? NULL : op->op.key, &origin, &host, &path);
    payload_headers(op, &headers, payload);
    if (op->step->build != NULL)
        op->step->build(op, &headers, &query);
    if (query.len > 0)
        query.data[--query.len] = '\0'; /* the last '&' */
    struct hfc_aws_request r = {.method = op->step->method,
                                .host = host.data,
                                .path = path.data,
                                .query = query.len > 0 ? query.data : NULL,
                                .headers = headers.len > 0 ? headers.data : NULL,
                                .payload_hash = payload,
                                .region = op->region,
                                .service = "s3",
                                .now = time(NULL) + op->clock_offset};
    hfc_buf_printf(scratch, "%s%s%s%s", origin.data, path.data, query.len > 0 ? "?" : "",
                   query.data);
    hfc_buf_char(scratch, '\0');
    size_t at = scratch->len;
    hfc_aws_sign(&r, keys, scratch);
    request->method = op->step->method;
    request->url = scratch->data;
    request->headers = scratch->data + at;
    return hfc_buf_failed(&headers) || hfc_buf_failed(&query) || hfc_buf_failed(&origin) ||
                   hfc_buf_failed(&host) || hfc_buf_failed(&path) || hfc_buf_failed(scratch)
               ? -1
               : 0;
}

/* Called for each attempt, so that it goes out with the keys, the clock and the region known now.
 */
static int build(void *ctx, struct hfc_http_request *request, struct hfc_buf *scratch,
                 struct hfc_error *err)
{
    struct hfc_s3_op *op = ctx;
    struct hfc_s3 *s = hfc_s3_of(op);
    const struct hfc_aws_keys *keys = hfc_aws_creds_now(s->creds);

    if (keys == NULL) {
        op->restart = op->restarts++ < KEYS_RESTARTS_MAX;
        return hfc_s3_fail(op, err, EACCES, "no usable credentials");
    }
    (void)memcpy(op->region, s->region, sizeof(op->region));
    op->clock_offset = s->clock_offset;
    op->generation = hfc_aws_creds_generation(s->creds);
    if (sign(op, keys, request, scratch) < 0)
        return hfc_s3_fail(op, err, EINVAL, "the request's head is too long");
    set_body(op, request);
    request->head = op->step->head;
    request->data = op->step->data;
    s->base.stats.requests++;
    s->base.stats.bytes_out += request->body_size;
    return 0;
}

/* A source that can't go back to the start ends the operation with what went wrong before. */
static enum hfc_verdict judge_stop(struct hfc_s3_op *op, struct hfc_error *err)
{
    if (op->last.errnum != 0)
        *err = op->last;
    else
        (void)hfc_s3_fail(op, err, ECANCELED, "the source of the bytes has stopped");
    return HFC_FAILED;
}

/* No whole answer. A certificate that was refused will be refused again. */
static enum hfc_verdict judge_end(struct hfc_s3_op *op, enum hfc_http_end end,
                                  const struct hfc_error *why, struct hfc_error *err)
{
    enum hfc_verdict verdict;

    if (op->step->cut != NULL && op->step->cut(op, end, &verdict, err))
        return verdict;
    if (end == HTTP_STOPPED)
        return judge_stop(op, err);
    (void)hfc_s3_fail(op, err, ENOTCONN, "%s", why->msg);
    if (end == HTTP_BROKEN)
        op->ambiguous = true;
    return end == HTTP_TLS ? HFC_FAILED : HFC_RETRY;
}

/* Where all answers and failures pass: counts, then who knows best decides. */
static enum hfc_verdict judge(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                              const struct hfc_error *http_err, int64_t *wait_ms,
                              struct hfc_error *err)
{
    struct hfc_s3_op *op = ctx;
    enum hfc_verdict verdict;

    op->op.store->stats.bytes_in += r != NULL ? hfc_response_bytes(r) : 0;
    op->ambiguous = op->ambiguous || (r != NULL && hfc_response_resent(r));
    if (op->chunked.hash != NULL && op->chunked.ended) {
        op->has_digest = true;
        memcpy(op->op.sha256, op->chunked.digest, HFC_SHA256_SIZE);
    }
    if (op->op.ended || end != HTTP_OK)
        verdict = op->op.ended ? judge_stop(op, err) : judge_end(op, end, http_err, err);
    else if (hfc_response_status(r) / 100 == 2)
        verdict = op->step->answer(op, r, err);
    else
        verdict = hfc_s3_judge(op, r, err);
    if (verdict == HFC_RETRY) {
        op->last = *err;
        const char *after = end == HTTP_OK ? hfc_response_header(r, "retry-after") : NULL;
        if (after != NULL)
            *wait_ms = hfc_retry_after_ms(after, time(NULL));
    }
    return verdict;
}

/* The line is for operators: short, with what S3 calls the trouble. */
static void retrying(void *ctx, int64_t wait_ms, const struct hfc_error *why)
{
    struct hfc_s3_op *op = ctx;
    struct hfc_s3 *s = hfc_s3_of(op);

    (void)why;
    s->base.stats.retries++;
    hfc_store_say(&s->base, "%s %.*s: %s, again in %" PRId64 ".%" PRId64 " s (%u of %u)",
                  op->step->name, KEY_SHOWN, hfc_store_short_key(&s->base, op->op.key), op->reason,
                  wait_ms / 1000, wait_ms % 1000 / 100, hfc_call_tries(op->call) + 1,
                  s->retry.tries);
}

static void wait_for_keys(struct hfc_s3_op *op);

/* An operation that was cancelled is ended by store.c. */
static void call_done(void *ctx, const struct hfc_response *r, const struct hfc_error *err)
{
    struct hfc_s3_op *op = ctx;

    (void)r;
    op->call = NULL;
    hfc_aws_chunked_free(&op->chunked);
    if (op->op.ended)
        return;
    if (op->restart) {
        op->restart = false;
        op->op.store->stats.retries++;
        wait_for_keys(op);
    } else if (op->step->done != NULL) {
        op->step->done(op, err);
    } else {
        hfc_s3_end(op, err);
    }
}

static const struct hfc_call_ops call_ops = {
    .build = build, .judge = judge, .done = call_done, .retrying = retrying};

static void fail_step(struct hfc_s3_op *op, const struct hfc_error *err)
{
    if (op->step->done != NULL)
        op->step->done(op, err);
    else
        hfc_s3_end(op, err);
}

/* May be called before wait_for_keys() returns. */
static void have_keys(void *ctx, const struct hfc_aws_keys *keys, const struct hfc_error *why)
{
    struct hfc_s3_op *op = ctx;
    struct hfc_s3 *s = hfc_s3_of(op);
    struct hfc_error err;

    if (op->op.ended)
        return;
    if (keys == NULL) {
        (void)hfc_s3_fail(op, &err, EACCES, "no usable credentials: %s", why->msg);
        fail_step(op, &err);
        return;
    }
    assert(op->call == NULL);
    op->call = hfc_call_start(s->http, &s->retry, &s->budget, &call_ops, op);
}

static void wait_for_keys(struct hfc_s3_op *op)
{
    hfc_aws_creds_get(hfc_s3_of(op)->creds, &op->keys, have_keys, op);
}

void hfc_s3_begin(struct hfc_s3_op *op, const struct hfc_s3_step *step)
{
    assert(op->call == NULL);
    op->step = step;
    op->ambiguous = op->restart = op->refreshed = false;
    op->corrections = op->restarts = 0;
    op->last = (struct hfc_error){0};
    op->has_digest = op->has_digest || op->op.body.sha256 != NULL;
    wait_for_keys(op);
}
