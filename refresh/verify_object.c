/* verify_object.c: reads one object and compares its hash; see verify.h.
 *
 *   size -> (HEAD, if no hash is known) -> GET -> digest
 *
 * What is read is the version that was listed: if_match. So an object that is replaced meanwhile is
 * not called bad.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "verify.h"

/* One of them, while it is under way; in its slot's `user`. */
struct check {
    struct verify *verify;
    char *key;
    char etag[HFC_ETAG_MAX];
    uint64_t size, got;
    struct expected expected;
    struct hfc_hash *sha256, *git;
};

void verify_found(struct verify *v, enum verify_finding finding, const char *key, const char *fmt,
                  ...)
{
    char text[HFC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    v->counts.bad += finding == VERIFY_BAD;
    v->counts.failed += finding == VERIFY_FAIL;
    v->say(v->ctx, finding, key, text);
}

/* `c` is gone afterwards. */
static void check_end(struct pool_slot *slot)
{
    struct check *c = slot->user;

    assert(slot->busy && c != NULL);
    hfc_hash_free(c->sha256);
    hfc_hash_free(c->git);
    free(c->key);
    free(c);
    pool_give(slot);
}

/* An object that was replaced or removed while it was read is no longer the one that was listed. */
static void check_failed(struct check *c, const struct hfc_error *err)
{
    if (err->errnum == ECANCELED)
        return;
    if (err->errnum == ESTALE || err->errnum == ENOENT)
        verify_found(c->verify, VERIFY_FAIL, c->key,
                     "was changed or removed meanwhile: verify again");
    else
        verify_found(c->verify, err->errnum == EBADMSG ? VERIFY_BAD : VERIFY_FAIL, c->key,
                     "can't be read: %s", err->msg);
}

/* Whether the digest is the expected one; reports it if not. */
static bool compare(struct check *c, const char *what, struct hfc_hash *hash, const uint8_t *want,
                    size_t n)
{
    uint8_t digest[HFC_DIGEST_MAX];
    char is[HFC_HEX_MAX], should[HFC_HEX_MAX];

    if (hash == NULL)
        return true;
    hfc_hash_finish(hash, digest);
    if (memcmp(digest, want, n) == 0)
        return true;
    hfc_hex(digest, n, is);
    hfc_hex(want, n, should);
    verify_found(c->verify, VERIFY_BAD, c->key, "%s is %s, expected %s (by %s)", what, is, should,
                 c->expected.by);
    return false;
}

/* The store hands each byte out once, also if it had to try again. */
static enum hfc_flow check_bytes(void *ctx, const void *bytes, size_t n)
{
    struct check *c = ((struct pool_slot *)ctx)->user;

    c->got += n;
    c->verify->counts.read += n;
    assert(c->sha256 != NULL || c->git != NULL);
    if (c->sha256 != NULL)
        hfc_hash_add(c->sha256, bytes, n);
    if (c->git != NULL)
        hfc_hash_add(c->git, bytes, n);
    return HFC_FLOW_ON;
}

static void check_read(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct check *c = slot->user;
    const struct hfc_meta *meta = &c->expected.meta;

    (void)reply;
    if (err != NULL)
        check_failed(c, err);
    else if (c->got != c->size)
        verify_found(c->verify, VERIFY_BAD, c->key, "has %llu bytes, %llu were listed",
                     (unsigned long long)c->got, (unsigned long long)c->size);
    else if (compare(c, "SHA-256", c->sha256, meta->sha256, HFC_SHA256_SIZE) &&
             compare(c, "git's hash", c->git, meta->git_sha1, HFC_SHA1_SIZE))
        c->verify->counts.verified++;
    check_end(slot);
}

/* Both hashes if both are known: each proves what the other one can't. */
static void start_reading(struct pool_slot *slot)
{
    struct check *c = slot->user;
    const struct hfc_get get = {.key = c->key, .if_match = c->etag[0] != '\0' ? c->etag : NULL};

    assert(c->expected.meta.has_sha256 || c->expected.meta.has_git_sha1);
    if (c->expected.meta.has_sha256)
        c->sha256 = hfc_hash_new(HFC_SHA256);
    if (c->expected.meta.has_git_sha1) {
        c->git = hfc_hash_new(HFC_SHA1);
        hfc_hash_git_header(c->git, c->size);
    }
    (void)hfc_store_get(c->verify->in->target->store, &get, check_bytes, check_read, slot);
}

/* Neither index nor tree know the content: the object's own metadata may. */
static void check_head(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct check *c = slot->user;

    if (err == NULL && (reply->object.meta.has_sha256 || reply->object.meta.has_git_sha1)) {
        c->expected.meta = reply->object.meta;
        c->expected.by = "its metadata";
        (void)snprintf(c->etag, sizeof(c->etag), "%s", reply->object.etag);
        c->size = reply->object.size;
        start_reading(slot);
        return;
    }
    if (err != NULL)
        check_failed(c, err);
    else
        c->verify->counts.unknown++;
    check_end(slot);
}

int verify_object(struct verify *v, const struct hfc_entry *e, const struct expected *expected,
                  struct hfc_error *err)
{
    if (expected->has_size && expected->size != e->size) {
        verify_found(v, VERIFY_BAD, e->key, "has %llu bytes, expected %llu (by %s)",
                     (unsigned long long)e->size, (unsigned long long)expected->size, expected->by);
        return 0;
    }
    struct pool_slot *slot = pool_take(&v->pool, err);
    if (slot == NULL)
        return -1;
    struct check *c = need(calloc(1, sizeof(*c)));
    *c = (struct check){.verify = v, .size = e->size, .expected = *expected};
    c->key = need_copy(e->key, strlen(e->key));
    (void)snprintf(c->etag, sizeof(c->etag), "%s", e->etag);
    slot->user = c;
    if (expected->meta.has_sha256 || expected->meta.has_git_sha1)
        start_reading(slot);
    else
        (void)hfc_store_head(v->in->target->store, c->key, check_head, slot);
    return 0;
}
