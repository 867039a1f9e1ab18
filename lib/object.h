/* object.h: what a store keeps, and the bytes that are sent to it.
 *
 * Threads: plain data; no state.
 */
#ifndef HFC_OBJECT_H
#define HFC_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hash.h"

enum {
    HFC_KEY_MAX = 1024, /* bytes, with the store's prefix */
    HFC_ETAG_MAX = 80,  /* with a NUL, without quotes */
};

/* What is kept with each object beside its bytes (x-amz-meta-hfcache-sha256, -git-sha1). */
struct hfc_meta {
    bool has_sha256, has_git_sha1;
    uint8_t sha256[HFC_SHA256_SIZE];
    uint8_t git_sha1[HFC_SHA1_SIZE]; /* of "blob SIZE\0" + content */
};

struct hfc_object {
    uint64_t size;
    char etag[HFC_ETAG_MAX]; /* without quotes */
    int64_t modified;        /* seconds since 1970; 0: not told */
    struct hfc_meta meta;    /* not told by list */
};

/* Bytes to store. read() as in http.h; a retry asks from offset 0 again, and a source that can't
 * returns HFC_READ_STOP: then the operation fails with its last error. */
struct hfc_body {
    ssize_t (*read)(void *ctx, uint64_t offset, void *to, size_t n);
    void *ctx;
    uint64_t size;
    /* SHA-256 of all of it: signed, and checked by the server. NULL: not known before the end;
     * it is then sent behind the bytes (and `sha256_out`, if not NULL, gets it). */
    const uint8_t *sha256;
    uint8_t *sha256_out;
};

/* A body in memory, which must stay there. */
struct hfc_memory_body {
    const void *bytes;
    size_t n;
};
struct hfc_body hfc_body_of(struct hfc_memory_body *memory, const uint8_t *sha256);

#endif
