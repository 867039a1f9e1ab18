/* aws_chunked.h: a body framed as aws-chunked, with its SHA-256 behind it.
 *
 * For bodies whose hash is known only once they have been read: the payload is signed as
 * STREAMING-UNSIGNED-PAYLOAD-TRAILER and the server checks the trailer. Nothing is buffered: the
 * size is known, so each chunk's length is, and the bytes go from the source into the client's
 * buffer.
 *
 * Threads: belongs to one thread at a time.
 */
#ifndef HFC_AWS_CHUNKED_H
#define HFC_AWS_CHUNKED_H

#include "object.h"

enum {
    HFC_AWS_CHUNK = 256 * 1024, /* S3 takes 8 KiB and more; a frame costs 9 bytes */
    HFC_AWS_FRAME_MAX = 96,
};

/* Zeroed is unused. */
struct hfc_aws_chunked {
    struct hfc_body body;
    struct hfc_hash *hash;
    uint64_t taken;    /* bytes of the body so far */
    uint64_t wire;     /* bytes given so far, frames included */
    size_t chunk_left; /* bytes of the body before the next frame */
    bool ended;        /* the frame is the trailer */
    char frame[HFC_AWS_FRAME_MAX];
    size_t frame_len, frame_at;
    uint8_t digest[HFC_SHA256_SIZE]; /* valid when `ended` */
};

void hfc_aws_chunked_init(struct hfc_aws_chunked *c, const struct hfc_body *body);
void hfc_aws_chunked_free(struct hfc_aws_chunked *c);

/* The Content-Length of a framed body. */
uint64_t hfc_aws_chunked_size(uint64_t body_size);

/* As `read` of http.h, with a struct hfc_aws_chunked as ctx. Offset 0 begins anew. At the end
 * body.sha256_out is filled. */
ssize_t hfc_aws_chunked_read(void *ctx, uint64_t offset, void *to, size_t n);

#endif
