/* aws_chunked.c: aws-chunked bodies with a trailing checksum; see aws_chunked.h. */
#include "aws_chunked.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http.h"

#define TRAILER "0\r\nx-amz-checksum-sha256:"

/* Base64 of a SHA-256, without the NUL. */
enum { DIGEST_CHARS = HFC_BASE64_MAX - 1 };

void hfc_aws_chunked_init(struct hfc_aws_chunked *c, const struct hfc_body *body)
{
    hfc_aws_chunked_free(c);
    *c = (struct hfc_aws_chunked){.body = *body, .hash = hfc_hash_new(HFC_SHA256)};
}

void hfc_aws_chunked_free(struct hfc_aws_chunked *c)
{
    hfc_hash_free(c->hash);
    c->hash = NULL;
}

static uint64_t hex_digits(uint64_t n)
{
    uint64_t digits = 1;

    while (n >>= 4)
        digits++;
    return digits;
}

/* The length in hex, CR LF, the bytes, CR LF. */
static uint64_t chunk_size(uint64_t n)
{
    return n == 0 ? 0 : hex_digits(n) + 2 + n + 2;
}

uint64_t hfc_aws_chunked_size(uint64_t body_size)
{
    return body_size / HFC_AWS_CHUNK * chunk_size(HFC_AWS_CHUNK) +
           chunk_size(body_size % HFC_AWS_CHUNK) + strlen(TRAILER) + DIGEST_CHARS + 4;
}

/* The last chunk has no bytes; the hash stands behind it like a header. */
static void trailer(struct hfc_aws_chunked *c, const char *before)
{
    char text[HFC_BASE64_MAX];

    hfc_hash_finish(c->hash, c->digest);
    if (c->body.sha256_out != NULL)
        memcpy(c->body.sha256_out, c->digest, HFC_SHA256_SIZE);
    hfc_base64(c->digest, HFC_SHA256_SIZE, text);
    c->frame_len =
        (size_t)snprintf(c->frame, sizeof(c->frame), "%s" TRAILER "%s\r\n\r\n", before, text);
    c->ended = true;
}

/* What stands between two chunks, before the first or behind the last. */
static void next_frame(struct hfc_aws_chunked *c)
{
    const char *before = c->taken > 0 ? "\r\n" : "";
    uint64_t left = c->body.size - c->taken;

    assert(c->chunk_left == 0 && !c->ended);
    c->frame_at = 0;
    if (left == 0) {
        trailer(c, before);
        return;
    }
    c->chunk_left = left < HFC_AWS_CHUNK ? (size_t)left : HFC_AWS_CHUNK;
    c->frame_len = (size_t)snprintf(c->frame, sizeof(c->frame), "%s%zx\r\n", before, c->chunk_left);
}

/* A retry, or a connection that had died: the source goes back to its start as well. */
static void restart(struct hfc_aws_chunked *c)
{
    hfc_hash_reset(c->hash);
    c->taken = c->wire = 0;
    c->chunk_left = c->frame_len = c->frame_at = 0;
    c->ended = false;
}

/* A buffer may end in the middle of a frame. */
static ssize_t take_frame(struct hfc_aws_chunked *c, void *to, size_t n)
{
    size_t left = c->frame_len - c->frame_at;
    size_t some = left < n ? left : n;

    memcpy(to, c->frame + c->frame_at, some);
    c->frame_at += some;
    return (ssize_t)some;
}

/* A source that gives nothing would be asked for ever: that stops. */
static ssize_t take_body(struct hfc_aws_chunked *c, void *to, size_t n)
{
    ssize_t some = c->body.read(c->body.ctx, c->taken, to, n < c->chunk_left ? n : c->chunk_left);

    if (some <= 0)
        return some == 0 ? HFC_READ_STOP : some;
    assert((size_t)some <= c->chunk_left);
    hfc_hash_add(c->hash, to, (size_t)some);
    c->taken += (uint64_t)some;
    c->chunk_left -= (size_t)some;
    return some;
}

/* Fills `to` as far as it goes: the client's buffer costs a system call each time. A pause in the
 * middle gives what is there; the source is asked again next time. */
ssize_t hfc_aws_chunked_read(void *ctx, uint64_t offset, void *to, size_t n)
{
    struct hfc_aws_chunked *c = ctx;
    size_t done = 0;

    if (offset == 0)
        restart(c);
    assert(offset == c->wire);
    while (done < n) {
        ssize_t some;
        if (c->frame_at < c->frame_len)
            some = take_frame(c, (char *)to + done, n - done);
        else if (c->chunk_left > 0)
            some = take_body(c, (char *)to + done, n - done);
        else if (!c->ended) {
            next_frame(c);
            continue;
        } else
            break;
        if (some <= 0)
            return done > 0 && some == HFC_READ_PAUSE ? (ssize_t)done : some;
        done += (size_t)some;
        c->wire += (uint64_t)some;
    }
    return (ssize_t)done;
}
