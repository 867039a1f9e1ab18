/* hash.h: digests, HMAC, and their texts.
 *
 * SHA-256 is what the Hub calls a large file by and what S3 checks; SHA-1 is git's name of a small
 * file; MD5 is the ETag of a plain PUT. All on OpenSSL.
 *
 * Threads: a hash belongs to one thread at a time; the other functions keep no state.
 */
#ifndef HFC_HASH_H
#define HFC_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hfc_hash_kind { HFC_SHA256, HFC_SHA1, HFC_MD5 };

enum {
    HFC_SHA256_SIZE = 32,
    HFC_SHA1_SIZE = 20,
    HFC_MD5_SIZE = 16,
    HFC_DIGEST_MAX = HFC_SHA256_SIZE,
    /* Texts with their NUL. */
    HFC_HEX_MAX = 2 * HFC_DIGEST_MAX + 1,
    HFC_BASE64_MAX = 45,
};

struct hfc_hash;

/* Ready for bytes. Ends the process if memory is out or OpenSSL lacks the digest: neither can be
 * answered by a caller. Free with hfc_hash_free(), which takes NULL. */
struct hfc_hash *hfc_hash_new(enum hfc_hash_kind kind);
void hfc_hash_free(struct hfc_hash *h);

void hfc_hash_add(struct hfc_hash *h, const void *bytes, size_t n);

/* Writes the digest (its kind's size) and starts anew. */
void hfc_hash_finish(struct hfc_hash *h, uint8_t *digest);

/* Starts anew. */
void hfc_hash_reset(struct hfc_hash *h);

/* The digest of n bytes at once. */
void hfc_hash_of(enum hfc_hash_kind kind, const void *bytes, size_t n, uint8_t *digest);

/* Feeds a SHA-1 with the header that git puts before a file: "blob SIZE" and a NUL. */
void hfc_hash_git_header(struct hfc_hash *sha1, uint64_t size);

void hfc_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t n,
                     uint8_t digest[HFC_SHA256_SIZE]);

/* Lower-case hex with a NUL: 2 n + 1 bytes. */
void hfc_hex(const uint8_t *bytes, size_t n, char *text);

/* Exactly 2 n hex digits of either case, then the end of the text. */
bool hfc_unhex(const char *text, uint8_t *bytes, size_t n);

/* Standard base64 with padding and a NUL: 4 * ceil(n / 3) + 1 bytes. */
void hfc_base64(const uint8_t *bytes, size_t n, char *text);

/* The base64 text of exactly n bytes. */
bool hfc_unbase64(const char *text, uint8_t *bytes, size_t n);

#define hfc_autohash __attribute__((cleanup(hfc_cleanup_hash)))

static inline void hfc_cleanup_hash(struct hfc_hash **h)
{
    hfc_hash_free(*h);
}

#endif
