/* cache_verify.c: complete blobs against the digest that is known of them; see cache.h. Owns
 * nothing. The best digest counts: SHA-256, git's SHA-1, an ETag that is a plain MD5.
 */
#include "cache_internal.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "logging.h"
#include "metrics.h"

#define NS_PER_S 1000000000ULL

enum { PAUSE_NS = 50 * 1000 * 1000 }; /* then `stop` is looked at again */

struct wanted {
    enum hfc_hash_kind kind;
    const char *name;
    size_t size;
    uint8_t digest[HFC_DIGEST_MAX];
};

static bool wanted_digest(const struct blob_info *info, struct wanted *w)
{
    if (info->meta.has_sha256) {
        *w = (struct wanted){HFC_SHA256, "SHA-256", HFC_SHA256_SIZE, {0}};
        memcpy(w->digest, info->meta.sha256, w->size);
        return true;
    }
    if (info->meta.has_git_sha1) {
        *w = (struct wanted){HFC_SHA1, "git SHA-1", HFC_SHA1_SIZE, {0}};
        memcpy(w->digest, info->meta.git_sha1, w->size);
        return true;
    }
    *w = (struct wanted){HFC_MD5, "ETag (MD5)", HFC_MD5_SIZE, {0}};
    return hfc_unhex(info->etag, w->digest, HFC_MD5_SIZE);
}

bool blob_can_verify(const struct blob *b)
{
    struct wanted w;

    return wanted_digest(&b->info, &w);
}

static bool stopped(const bool *stop)
{
    return stop != NULL && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

/* Until `bytes` may have been read. False: stopped. */
static bool keep_pace(uint64_t began, uint64_t bytes, uint64_t rate, const bool *stop)
{
    while (!stopped(stop)) {
        double due = rate > 0 ? (double)bytes / (double)rate * (double)NS_PER_S : 0;
        uint64_t passed = clock_ns() - began;
        if ((double)passed >= due)
            return true;
        double left = due - (double)passed;
        struct timespec pause = {.tv_nsec = left < PAUSE_NS ? (long)left : PAUSE_NS};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* False: incomplete, or stopped. */
static bool hash_all(struct blob *b, struct hfc_hash *h, void *buffer, uint64_t rate,
                     const bool *stop)
{
    uint64_t began = clock_ns();

    for (uint32_t block = 0; block < b->blocks; block++) {
        if (!keep_pace(began, (uint64_t)block * BLOCK_SIZE, rate, stop) ||
            blob_read(b, block, buffer) != BLOB_OK)
            return false;
        hfc_hash_add(h, buffer, blob_block_size(b, block));
    }
    return true;
}

/* Only if it is still what has been read. */
static int mark(struct blob *b, uint64_t losses)
{
    struct cache *c = b->cache;
    int errnum = 0;
    struct blob_files *f = files_get(b, false, &errnum, NULL);

    cache_lock(c);
    bool same = b->losses == losses;
    cache_unlock(c);
    if (same && f != NULL && !f->read_only)
        errnum = header_write(f, &b->info, true);
    cache_lock(c);
    same = b->losses == losses;
    if (same)
        b->verified = b->loaded = true;
    cache_unlock(c);
    if (f != NULL)
        files_put(b, f);
    if (errnum != 0)
        disk_failed(c, "note that it was verified in", &b->info, errnum);
    if (same)
        metric_add(M_VERIFIED_FILES, 1);
    return same ? 1 : 0;
}

static int refuse(struct blob *b, const struct wanted *w)
{
    metric_add(M_VERIFY_FILE_FAILURES, 1);
    log_line(LOG_VERIFY, LEVEL_ERROR,
             "%s: its content is not that of its %s: dropped, to be fetched again", b->key,
             w->name);
    blob_drop(b);
    return -1;
}

int blob_verify(struct blob *b, void *buffer, uint64_t rate, const bool *stop)
{
    uint8_t digest[HFC_DIGEST_MAX];
    struct wanted w;

    if (!wanted_digest(&b->info, &w))
        return 0;
    cache_lock(b->cache);
    uint64_t losses = b->losses;
    cache_unlock(b->cache);
    hfc_autohash struct hfc_hash *h = hfc_hash_new(w.kind);
    if (w.kind == HFC_SHA1)
        hfc_hash_git_header(h, b->info.size);
    if (!hash_all(b, h, buffer, rate, stop))
        return 0;
    hfc_hash_finish(h, digest);
    return memcmp(digest, w.digest, w.size) == 0 ? mark(b, losses) : refuse(b, &w);
}
