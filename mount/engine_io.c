/* engine_io.c: the I/O threads: answers, blocks to disk, digests; see engine_internal.h.
 *
 * IO_THREADS of them do what comes first of: answering reads whose bytes are in memory, reading
 * blocks for those whose bytes are on disk, checking digests that readers wait for, writing blocks.
 * One more, of low priority, verifies large blobs that have become complete, one after the other.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine_internal.h"
#include "metrics.h"
#include "strikes.h"

enum { STACK_SIZE = 256 * 1024, LOW_PRIORITY = 10 };

/* ---- Writing. ---- */

/* The pin of the chunk is the writer's from here on. Lock. */
void engine_write(struct engine *e, struct stream *s, uint32_t block, struct chunk *k, bool counted)
{
    size_t i = (size_t)(k->bytes - (uint8_t *)e->config.arena) / BLOCK_SIZE;
    struct write *w = &e->jobs[i];

    assert(i < e->config.plan->chunks && w->stream == NULL);
    *w = (struct write){.stream = s, .chunk = k, .block = block, .counted = counted};
    s->writing++;
    STAILQ_INSERT_TAIL(&e->writes, w, link);
    (void)pthread_cond_signal(&e->work);
}

/* Lock. */
static void written(struct engine *e, struct write *w, enum blob_result result)
{
    struct stream *s = w->stream;

    chunk_unpin(e->chunks, w->chunk);
    if (w->counted)
        e->filling--;
    *w = (struct write){0};
    assert(s->writing > 0);
    s->writing--;
    s->full = result != BLOB_OK;
    s->wrote = s->wrote || result == BLOB_OK;
    if (result != BLOB_OK)
        stream_tell(e, s, TOLD_FULL);
    else if (s->whole || (s->writing == 0 && !stream_fetches(s)))
        stream_tell(e, s, TOLD_WRITTEN);
    engine_feed(e);
}

/* Lock; not held meanwhile. */
static bool write_block(struct engine *e)
{
    struct write *w = STAILQ_FIRST(&e->writes);

    if (w == NULL)
        return false;
    STAILQ_REMOVE_HEAD(&e->writes, link);
    struct blob *blob = w->stream->blob;
    engine_unlock(e);
    strikes_blob(blob_info(blob)->id);
    enum blob_result result = blob_write(blob, w->block, w->chunk->bytes);
    strikes_blob(0);
    engine_lock(e);
    written(e, w, result);
    return true;
}

/* ---- Digests. ---- */

static bool digest_of(enum hfc_hash_kind kind, const struct blob_info *info, const struct own *own,
                      const uint8_t *want, size_t size)
{
    hfc_autohash struct hfc_hash *h = hfc_hash_new(kind);
    uint8_t digest[HFC_DIGEST_MAX];
    uint64_t left = info->size;

    if (kind == HFC_SHA1)
        hfc_hash_git_header(h, info->size);
    for (unsigned i = 0; i < own->n; i++) {
        size_t some = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
        hfc_hash_add(h, own->chunks[i]->bytes, some);
        left -= some;
    }
    assert(left == 0);
    hfc_hash_finish(h, digest);
    return memcmp(digest, want, size) == 0;
}

/* Of a whole file in chunks; blob_can_verify() was true. */
static bool own_is_right(const struct blob_info *info, const struct own *own)
{
    uint8_t md5[HFC_MD5_SIZE];

    if (info->meta.has_sha256)
        return digest_of(HFC_SHA256, info, own, info->meta.sha256, HFC_SHA256_SIZE);
    if (info->meta.has_git_sha1)
        return digest_of(HFC_SHA1, info, own, info->meta.git_sha1, HFC_SHA1_SIZE);
    return hfc_unhex(info->etag, md5, sizeof(md5)) &&
           digest_of(HFC_MD5, info, own, md5, sizeof(md5));
}

static int verify_own(const struct stream *s)
{
    if (own_is_right(blob_info(s->blob), &s->check->own))
        return 1;
    metric_add(M_VERIFY_FILE_FAILURES, 1);
    return -1;
}

/* Lock; not held meanwhile. `buffer` NULL: of a fetch past the cache. */
static void verify(struct engine *e, struct stream *s, struct chunk *buffer)
{
    engine_unlock(e);
    strikes_blob(s->id);
    int verdict =
        buffer == NULL ? verify_own(s) : blob_verify(s->blob, buffer->bytes, 0, &e->stopping);
    strikes_blob(0);
    engine_lock(e);
    if (verdict < 0)
        chunks_drop(e->chunks, s->id);
    s->verdict = verdict;
    stream_tell(e, s, TOLD_VERDICT);
}

/* Of a file that is answered only when it is right. Lock; not held meanwhile. */
static bool check_digest(struct engine *e)
{
    struct stream *s = TAILQ_FIRST(&e->checks);
    struct chunk *buffer = NULL;

    if (s == NULL || (s->check == NULL && !engine_grant(e, TAKE_DISK, &buffer, 1)))
        return false;
    TAILQ_REMOVE(&e->checks, s, job);
    verify(e, s, buffer);
    if (buffer != NULL) {
        chunk_unpin(e->chunks, buffer);
        e->serving--;
        engine_feed(e);
    }
    return true;
}

/* Lock; not held meanwhile. */
static bool verify_in_background(struct engine *e)
{
    struct stream *s = TAILQ_FIRST(&e->verifies);
    struct chunk *buffer;

    if (s == NULL || e->hungry[TAKE_FILL] || e->hungry[TAKE_DISK] || e->hungry[TAKE_PAST] ||
        !chunks_take(e->chunks, &buffer, 1))
        return false;
    TAILQ_REMOVE(&e->verifies, s, job);
    verify(e, s, buffer);
    chunk_unpin(e->chunks, buffer);
    engine_feed(e);
    return true;
}

/* ---- Threads. ---- */

/* Lock; not held meanwhile. */
static bool answer(struct engine *e)
{
    struct read *r = e->answers.first;

    if (r == NULL)
        return false;
    reads_remove(&e->answers, r);
    e->in_hand++;
    engine_unlock(e);
    engine_serve(e, r);
    engine_lock(e);
    return true;
}

static void *io_thread(void *arg)
{
    struct engine *e = arg;

    engine_lock(e);
    while (!e->stopping)
        if (!answer(e) && !engine_serve_from_disk(e) && !check_digest(e) && !write_block(e)) {
            e->idle++;
            (void)pthread_cond_wait(&e->work, &e->lock);
            e->idle--;
        }
    engine_unlock(e);
    return NULL;
}

static void *verify_thread(void *arg)
{
    struct engine *e = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOW_PRIORITY); /* or goes on as it is */
    engine_lock(e);
    while (!e->stopping)
        if (!verify_in_background(e))
            (void)pthread_cond_wait(&e->verify_work, &e->lock);
    engine_unlock(e);
    return NULL;
}

static int start_thread(struct engine *e, void *(*fn)(void *arg))
{
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) != 0)
        return ENOMEM;
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    int rc = pthread_create(&e->threads[e->n_threads], &attr, fn, e);
    (void)pthread_attr_destroy(&attr);
    if (rc == 0)
        e->n_threads++;
    return rc;
}

/* Signals are other threads' matter, but for those that tell of a crash right here. */
int engine_io_start(struct engine *e, struct hfc_error *err)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    sigset_t all, before;
    int rc = 0;

    (void)sigfillset(&all);
    for (unsigned i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        (void)sigdelset(&all, crashes[i]);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < IO_THREADS && rc == 0; i++)
        rc = start_thread(e, io_thread);
    if (rc == 0)
        rc = start_thread(e, verify_thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : hfc_error_set(err, rc, "threads for the disk");
}

void engine_io_stop(struct engine *e)
{
    engine_lock(e);
    __atomic_store_n(&e->stopping, true, __ATOMIC_RELAXED); /* blob_verify() looks without a lock */
    (void)pthread_cond_broadcast(&e->work);
    (void)pthread_cond_broadcast(&e->verify_work);
    engine_unlock(e);
    for (unsigned i = 0; i < e->n_threads; i++)
        (void)pthread_join(e->threads[i], NULL);
    e->n_threads = 0;
}
