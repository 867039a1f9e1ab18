/* hash.c: digests, HMAC, hex and base64; see hash.h.
 *
 * OpenSSL looks a digest up by name each time somebody asks for EVP_sha256(), which costs more than
 * hashing a short text. So the digests are fetched once, for the process, and never given back.
 */
#include "hash.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { KINDS = HFC_MD5 + 1, HMAC_BLOCK = 64 };

struct hfc_hash {
    EVP_MD_CTX *ctx;
    enum hfc_hash_kind kind;
};

static EVP_MD *digests[KINDS];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch_digests(void)
{
    static const char *const names[KINDS] = {"SHA256", "SHA1", "MD5"};

    for (int i = 0; i < KINDS; i++)
        digests[i] = EVP_MD_fetch(NULL, names[i], NULL);
}

/* One that is missing (MD5 in FIPS mode) matters only once somebody wants it. */
static const EVP_MD *digest_of(enum hfc_hash_kind kind)
{
    assert((int)kind < KINDS);
    (void)pthread_once(&fetched, fetch_digests);
    if (digests[kind] == NULL)
        abort();
    return digests[kind];
}

/* OpenSSL's answer to a call that fails only when memory is out. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

struct hfc_hash *hfc_hash_new(enum hfc_hash_kind kind)
{
    struct hfc_hash *h = malloc(sizeof(*h));

    if (h == NULL)
        abort();
    *h = (struct hfc_hash){.ctx = EVP_MD_CTX_new(), .kind = kind};
    must(h->ctx != NULL);
    hfc_hash_reset(h);
    return h;
}

void hfc_hash_free(struct hfc_hash *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void hfc_hash_add(struct hfc_hash *h, const void *bytes, size_t n)
{
    must(EVP_DigestUpdate(h->ctx, bytes, n));
}

void hfc_hash_finish(struct hfc_hash *h, uint8_t *digest)
{
    must(EVP_DigestFinal_ex(h->ctx, digest, NULL));
    hfc_hash_reset(h);
}

void hfc_hash_reset(struct hfc_hash *h)
{
    must(EVP_DigestInit_ex2(h->ctx, digest_of(h->kind), NULL));
}

void hfc_hash_of(enum hfc_hash_kind kind, const void *bytes, size_t n, uint8_t *digest)
{
    must(EVP_Digest(bytes, n, digest, NULL, digest_of(kind), NULL));
}

void hfc_hash_git_header(struct hfc_hash *sha1, uint64_t size)
{
    char header[32];
    int n = snprintf(header, sizeof(header), "blob %llu", (unsigned long long)size);

    assert(sha1->kind == HFC_SHA1);
    hfc_hash_add(sha1, header, (size_t)n + 1);
}

/* By hand, RFC 2104: OpenSSL 3 looks its MAC up by name with each HMAC(), and a signature takes
 * five. */
void hfc_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t n,
                     uint8_t digest[HFC_SHA256_SIZE])
{
    uint8_t pad[HMAC_BLOCK] = {0};
    struct hfc_hash *h = hfc_hash_new(HFC_SHA256);

    if (key_len > sizeof(pad))
        hfc_hash_of(HFC_SHA256, key, key_len, pad);
    else if (key_len > 0)
        memcpy(pad, key, key_len);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36;
    hfc_hash_add(h, pad, sizeof(pad));
    hfc_hash_add(h, bytes, n);
    hfc_hash_finish(h, digest);
    for (size_t i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36 ^ 0x5c;
    hfc_hash_add(h, pad, sizeof(pad));
    hfc_hash_add(h, digest, HFC_SHA256_SIZE);
    hfc_hash_finish(h, digest);
    explicit_bzero(pad, sizeof(pad));
    hfc_hash_free(h);
}

void hfc_hex(const uint8_t *bytes, size_t n, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hfc_unhex(const char *text, uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++, text += 2) {
        int high = hex_value(text[0]);
        /* A NUL is no digit, so that nothing behind the end is read. */
        int low = high < 0 ? -1 : hex_value(text[1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return *text == '\0';
}

void hfc_base64(const uint8_t *bytes, size_t n, char *text)
{
    assert(n <= INT_MAX / 2);
    (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Reads the four characters of up to three bytes. Bits that belong to no byte must be 0: a text has
 * one reading and bytes have one text. */
static bool unbase64_group(const char *text, uint8_t *bytes, size_t n)
{
    unsigned bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i <= n ? base64_value(text[i]) : text[i] == '=' ? 0 : -1;
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
    }
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(bits >> (16 - 8 * i));
    return (bits & ((1U << (24 - 8 * n)) - 1)) == 0;
}

bool hfc_unbase64(const char *text, uint8_t *bytes, size_t n)
{
    for (; n > 0; text += 4) {
        size_t group = n < 3 ? n : 3;
        if (!unbase64_group(text, bytes, group))
            return false;
        bytes += group;
        n -= group;
    }
    return *text == '\0';
}
