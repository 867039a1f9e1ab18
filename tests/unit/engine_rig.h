/* engine_rig.h: an engine on a cache in a temporary directory and a store whose objects are
 * computed: it says what was asked, holds bytes back, fails, and lies, as it is told. All happens
 * on the loop's thread but for the engine's own threads; rig_until() turns the loop.
 */
#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "engine.h"
#include "loop.h"
#include "metrics.h"
#include "store_internal.h"

enum { KIB = 1024, RIG_OBJECTS = 64, RIG_DATA = 96 * KIB, RIG_WAIT_S = 120 };

struct rig_object {
    char key[32], etag[40];
    uint64_t size;
    unsigned wrong; /* GETs that bring a flipped byte */
    unsigned gets;
};

struct rig_op {
    struct hfc_store_op op;
    struct hfc_timer timer;
    uint64_t at, left;
    bool paused, flip;
};

struct rig {
    struct hfc_store base;
    struct hfc_loop *loop;
    struct cache *cache;
    struct memory_plan plan;
    struct engine *engine;
    void *arena;
    char dir[64];
    struct rig_object objects[RIG_OBJECTS];
    unsigned n_objects;
    bool own_store; /* the base is open */
    /* What the store does: */
    uint64_t hold_at;    /* no byte of an object from here on is sent */
    int errnum;          /* GETs fail with it ... */
    unsigned failures;   /* ... so many of them ... */
    uint64_t fail_after; /* ... after so many bytes */
    /* What it has seen: */
    struct hfc_buf asked; /* "KEY FIRST-LAST\n", in blocks */
    unsigned gets, running, most_running, cancelled;
    int trouble;
    unsigned troubles;
    struct hfc_timer poll;
    bool until, gave_up;
    bool (*condition)(void *ctx);
    void *condition_ctx;
    uint64_t give_up;
};

static struct rig rig;

/* ---- Content. ---- */

static inline uint64_t rig_word(uint64_t seed, uint64_t i)
{
    uint64_t x = seed + (i + 1) * 0x9e3779b97f4a7c15U;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

static inline uint64_t rig_seed(const char *key)
{
    uint64_t seed = 5381;

    for (; *key != '\0'; key++)
        seed = seed * 33 + (uint8_t)*key;
    return seed;
}

static inline void rig_content(const char *key, uint64_t offset, void *to, size_t n)
{
    uint64_t seed = rig_seed(key);
    uint8_t *bytes = to;

    for (size_t done = 0; done < n;) {
        uint64_t at = offset + done, word = rig_word(seed, at / 8);
        size_t skip = at % 8, some = n - done < 8 - skip ? n - done : 8 - skip;
        memcpy(bytes + done, (const uint8_t *)&word + skip, some);
        done += some;
    }
}

static inline bool rig_is_right(const char *key, uint64_t offset, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint8_t want[4096];

    for (size_t done = 0; done < n;) {
        size_t some = n - done < sizeof(want) ? n - done : sizeof(want);
        rig_content(key, offset + done, want, some);
        if (memcmp(at + done, want, some) != 0)
            return false;
        done += some;
    }
    return true;
}

static inline struct rig_object *rig_object(const char *key)
{
    for (unsigned i = 0; i < rig.n_objects; i++)
        if (strcmp(rig.objects[i].key, key) == 0)
            return &rig.objects[i];
    return NULL;
}

static inline struct rig_object *rig_add(const char *key, uint64_t size)
{
    struct rig_object *o = &rig.objects[rig.n_objects++];

    assert_true(rig.n_objects <= RIG_OBJECTS);
    *o = (struct rig_object){.size = size};
    (void)snprintf(o->key, sizeof(o->key), "%s", key);
    (void)snprintf(o->etag, sizeof(o->etag), "v1-of-%s", key);
    return o;
}

static inline void rig_digest(const char *key, uint64_t size, enum hfc_hash_kind kind,
                              uint8_t *digest)
{
    hfc_autohash struct hfc_hash *h = hfc_hash_new(kind);
    uint8_t some[4096];

    if (kind == HFC_SHA1)
        hfc_hash_git_header(h, size);
    for (uint64_t at = 0; at < size; at += sizeof(some)) {
        size_t n = size - at < sizeof(some) ? (size_t)(size - at) : sizeof(some);
        rig_content(key, at, some, n);
        hfc_hash_add(h, some, n);
    }
    hfc_hash_finish(h, digest);
}

/* ---- The store. ---- */

static inline void rig_end(struct rig_op *o, int errnum)
{
    struct hfc_store_reply reply = {0};
    struct hfc_error err;

    if (errnum != 0)
        (void)hfc_error_set(&err, errnum, "%s", o->op.key);
    hfc_store_op_end(&o->op, &reply, errnum != 0 ? &err : NULL);
}

static inline void rig_turn(void *ctx);

/* Sends a piece; false when there is nothing to do for now. */
static inline bool rig_send(struct rig_op *o)
{
    static uint8_t bytes[RIG_DATA];
    uint64_t n = o->left < sizeof(bytes) ? o->left : sizeof(bytes);

    if (rig.failures > 0 && o->at - o->op.offset >= rig.fail_after) {
        rig.failures--;
        rig_end(o, rig.errnum);
        return false;
    }
    if (o->at + n > rig.hold_at)
        n = o->at < rig.hold_at ? rig.hold_at - o->at : 0;
    if (n == 0)
        return false;
    rig_content(o->op.key, o->at, bytes, (size_t)n);
    if (o->flip)
        bytes[0] ^= 1;
    enum hfc_flow flow = o->op.call.data(o->op.ctx, bytes, (size_t)n);
    if (o->op.ended)
        return false;
    if (flow == HFC_FLOW_STOP) {
        rig_end(o, ECANCELED);
        return false;
    }
    o->paused = flow == HFC_FLOW_PAUSE;
    if (o->paused)
        return false;
    o->flip = false;
    o->at += n;
    o->left -= n;
    if (o->left == 0)
        rig_end(o, 0);
    return o->left > 0;
}

static inline void rig_turn(void *ctx)
{
    struct rig_op *o = ctx;

    if (!o->op.ended && rig_send(o))
        hfc_timer_start(rig.loop, &o->timer, 0, rig_turn, o);
}

static inline void rig_get(struct hfc_store_op *op)
{
    struct rig_op *o = (struct rig_op *)op;
    struct rig_object *object = rig_object(op->key);

    rig.gets++;
    if (++rig.running > rig.most_running)
        rig.most_running = rig.running;
    hfc_buf_printf(&rig.asked, "%s %llu-%llu\n", op->key,
                   (unsigned long long)(op->offset / BLOCK_SIZE),
                   (unsigned long long)((op->offset + op->length - 1) / BLOCK_SIZE));
    if (object == NULL) {
        rig_end(o, ENOENT);
        return;
    }
    object->gets++;
    if (strcmp(op->if_match, object->etag) != 0) {
        rig_end(o, ESTALE);
        return;
    }
    assert_true(op->length > 0 && op->offset + op->length <= object->size);
    o->at = op->offset;
    o->left = op->length;
    if (object->wrong > 0) {
        object->wrong--;
        o->flip = true;
    }
    hfc_timer_start(rig.loop, &o->timer, 0, rig_turn, o);
}

static inline void rig_resume(struct hfc_store_op *op)
{
    struct rig_op *o = (struct rig_op *)op;

    assert_true(o->paused);
    hfc_timer_start(rig.loop, &o->timer, 0, rig_turn, o);
}

static inline void rig_release(struct hfc_store_op *op)
{
    struct rig_op *o = (struct rig_op *)op;

    hfc_timer_stop(&o->timer);
    rig.running--;
    rig.cancelled += op->failed && op->err.errnum == ECANCELED;
}

static inline void rig_closed(struct hfc_store *s)
{
    (void)s;
}

static inline void rig_open_store(void)
{
    static const struct hfc_store_backend backend = {.op_size = sizeof(struct rig_op),
                                                     .start = {[HFC_OP_GET] = rig_get},
                                                     .resume = rig_resume,
                                                     .release = rig_release,
                                                     .close = rig_closed};
    const struct hfc_store_config config = {0};

    hfc_store_init(&rig.base, &backend, rig.loop, "rig://", "", &config);
    rig.own_store = true;
}

static inline void rig_close_store(void)
{
    hfc_store_close(&rig.base);
    rig.own_store = false;
}

/* Held bytes flow again. */
static inline void rig_let_go(void)
{
    rig.hold_at = UINT64_MAX;
    for (struct hfc_store_op *op = rig.base.ops; op != NULL; op = op->next) {
        struct rig_op *o = (struct rig_op *)op;
        if (!op->ended && !o->paused)
            hfc_timer_start(rig.loop, &o->timer, 0, rig_turn, o);
    }
}

/* ---- The loop. ---- */

static inline void rig_poll(void *ctx)
{
    (void)ctx;
    rig.until = rig.condition(rig.condition_ctx);
    rig.gave_up = !rig.until && clock_ns() > rig.give_up;
    rig.until = rig.until || rig.gave_up;
    hfc_timer_start(rig.loop, &rig.poll, 1, rig_poll, NULL);
}

static inline void rig_until(bool (*condition)(void *ctx), void *ctx)
{
    struct hfc_error err;

    rig.condition = condition;
    rig.condition_ctx = ctx;
    rig.until = false;
    rig.give_up = clock_ns() + (uint64_t)RIG_WAIT_S * 1000000000;
    hfc_timer_start(rig.loop, &rig.poll, 0, rig_poll, NULL);
    assert_int_equal(hfc_loop_run(rig.loop, &rig.until, &err), 0);
    hfc_timer_stop(&rig.poll);
    if (rig.gave_up)
        fail_msg("what was waited for did not come");
}

static inline bool rig_turns_over(void *ctx)
{
    unsigned *left = ctx;

    return --*left == 0;
}

/* A few turns of the loop, for what must not happen. */
static inline void rig_turns(unsigned n)
{
    rig_until(rig_turns_over, &n);
}

/* ---- Reads. ---- */

struct rig_read {
    struct read read;
    atomic_bool done;
    bool right;
    unsigned pieces;
    uint64_t bytes;
    int errnum;
    const char *key;
};

static inline void rig_done(struct read *r, const struct iovec *pieces, unsigned n, int errnum)
{
    struct rig_read *x = r->ctx;
    uint64_t at = r->offset;

    x->errnum = errnum;
    x->pieces = n;
    x->right = errnum == 0;
    for (unsigned i = 0; i < n; i++) {
        if (!rig_is_right(x->key, at, pieces[i].iov_base, pieces[i].iov_len))
            x->right = false;
        at += pieces[i].iov_len;
    }
    x->bytes = at - r->offset;
    atomic_store(&x->done, true);
}

static inline bool rig_is_done(void *ctx)
{
    struct rig_read *x = ctx;

    return atomic_load(&x->done);
}

/* True: it was answered at once. */
static inline bool rig_start(struct rig_read *x, struct blob *b, uint64_t offset, uint32_t size)
{
    uint64_t left = blob_info(b)->size - offset;

    *x = (struct rig_read){.key = blob_info(b)->key};
    x->read = (struct read){.blob = b,
                            .offset = offset,
                            .size = left < size ? (uint32_t)left : size,
                            .done = rig_done,
                            .ctx = x};
    return engine_read(rig.engine, &x->read, true);
}

static inline void rig_expect(struct rig_read *x, int errnum)
{
    rig_until(rig_is_done, x);
    assert_int_equal(x->errnum, errnum);
    if (errnum == 0) {
        assert_true(x->right);
        assert_int_equal(x->bytes, x->read.size);
    }
}

/* From start to end; what comes back is where the bytes came from. */
static inline enum read_source rig_read(struct blob *b, uint64_t offset, uint32_t size)
{
    struct rig_read x;

    (void)rig_start(&x, b, offset, size);
    rig_expect(&x, 0);
    return x.read.source;
}

/* A use of the object's blob. */
static inline struct blob *rig_use(const struct rig_object *o, const struct hfc_meta *meta)
{
    struct blob_info info = {
        .id = rig_seed(o->key) << 1, .size = o->size, .key = o->key, .etag = o->etag};

    if (meta != NULL)
        info.meta = *meta;
    struct blob *b = blob_use(rig.cache, &info);
    assert_non_null(b);
    return b;
}

static inline struct blob *rig_blob(const char *key, uint64_t size)
{
    return rig_use(rig_add(key, size), NULL);
}

static inline bool rig_nothing_runs(void *ctx)
{
    struct engine_stats stats;

    (void)ctx;
    engine_stats(rig.engine, &stats);
    return stats.fetching == 0 && stats.waiting == 0 && stats.queued == 0 && stats.chunks_used == 0;
}

/* ---- Start and end. ---- */

static inline void rig_trouble(void *ctx, int errnum)
{
    (void)ctx;
    rig.trouble = errnum;
    rig.troubles++;
}

static inline void rig_open_engine(unsigned read_timeout)
{
    struct hfc_error err;
    struct engine_config config = {.loop = rig.loop,
                                   .cache = rig.cache,
                                   .plan = &rig.plan,
                                   .arena = rig.arena,
                                   .read_timeout = read_timeout,
                                   .trouble = rig_trouble};

    rig.engine = engine_new(&config, &err);
    if (rig.engine == NULL)
        fail_msg("%s", err.msg);
    engine_use_store(rig.engine, &rig.base);
}

static inline void rig_open(uint64_t cache_limit, unsigned chunks, unsigned connections,
                            unsigned read_timeout)
{
    struct hfc_error err;

    rig = (struct rig){.hold_at = UINT64_MAX};
    hfc_buf_init(&rig.asked, 1 << 20);
    (void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/hfc-test-engine-XXXXXX");
    assert_non_null(mkdtemp(rig.dir));
    rig.loop = hfc_loop_new(&err);
    assert_non_null(rig.loop);
    struct cache_config config = {
        .directory = rig.dir, .limit = cache_limit, .blobs_max = 1000, .files_max = 64};
    rig.cache = cache_open(&config, 1000, &err);
    if (rig.cache == NULL)
        fail_msg("%s", err.msg);
    rig.plan = (struct memory_plan){.chunks = chunks, .connections = connections};
    rig.arena = aligned_alloc(4096, (size_t)chunks * BLOCK_SIZE);
    rig_open_store();
    rig_open_engine(read_timeout);
}

static inline int rig_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* Reads wait on only in a test that has failed. */
static inline void rig_close(void)
{
    engine_abandon(rig.engine);
    engine_use_store(rig.engine, NULL);
    if (rig.own_store)
        rig_close_store();
    engine_free(rig.engine);
    cache_close(rig.cache);
    hfc_loop_free(rig.loop);
    hfc_buf_free(&rig.asked);
    free(rig.arena);
    assert_int_equal(nftw(rig.dir, rig_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
