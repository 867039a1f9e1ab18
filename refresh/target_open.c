/* target_open.c: opening a bucket: lock, index, listing, and the join of both; see target.h.
 *
 * The steps follow each other, one request at a time for a bucket, all buckets side by side:
 *
 *   lock -> index -> listing -> refs whose commit is not known -> uploads left behind
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "need.h"
#include "target.h"
#include "upload.h"

enum { REF_READ_MAX = 64 };

struct opening {
    struct target *target;
    const struct target_open_options *options;
    struct gather *gather;
    struct hfc_index *published; /* as the index object says; NULL: there is none */
    struct hfc_index_parser *parser;
    struct hfc_error parse_error;
    size_t share; /* bytes for each of the two indexes */
    size_t ref;   /* where in the listing the next unknown ref may be */
    char text[REF_READ_MAX];
    size_t text_len;
    bool full; /* the tables' share is used up */
};

static void open_end(struct opening *o, const struct hfc_error *why)
{
    if (why != NULL)
        target_fail(o->target, why);
    hfc_index_parser_free(o->parser);
    hfc_index_free(o->published);
    o->target->opening = NULL;
    gather_end(o->gather);
    free(o);
}

static void say(const struct opening *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct opening *o, const char *fmt, ...)
{
    char text[HFC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (o->options->say != NULL)
        o->options->say(o->options->ctx, text);
}

/* Uploads left behind. */

static void open_upload(void *ctx, const char *key, const char *upload_id, int64_t initiated)
{
    const struct opening *o = ctx;

    (void)initiated; /* under the lock nobody else writes, so all are left over, however young */
    target_leftover(o->target, key, upload_id);
}

static void open_uploads_listed(void *ctx, const struct hfc_store_reply *reply,
                                const struct hfc_error *err)
{
    (void)reply;
    open_end(ctx, err);
}

/* Refs. Their content is what counts, and the listing doesn't show it. */

static void open_refs(struct opening *o);

static enum hfc_flow open_ref_bytes(void *ctx, const void *bytes, size_t n)
{
    struct opening *o = ctx;
    size_t room = sizeof(o->text) - o->text_len;

    n = n < room ? n : room;
    memcpy(o->text + o->text_len, bytes, n);
    o->text_len += n;
    return HFC_FLOW_ON;
}

static bool is_commit(const char *text, size_t n)
{
    uint8_t bytes[HFC_SHA1_SIZE];
    char copy[HFC_COMMIT_SIZE];

    if (n != HFC_COMMIT_SIZE - 1)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return hfc_unhex(copy, bytes, sizeof(bytes));
}

/* What is no commit, such as one with a newline behind it, stays an object like any other; a run
 * that wants the ref writes it anew. */
static void open_ref_read(void *ctx, const struct hfc_store_reply *reply,
                          const struct hfc_error *err)
{
    struct opening *o = ctx;
    const struct hfc_entry *e = hfc_index_at(o->target->index, o->ref);
    struct hfc_error full = {0};

    (void)reply;
    if (err != NULL && err->errnum != ENOENT) {
        open_end(o, err);
        return;
    }
    if (err == NULL && is_commit(o->text, o->text_len)) {
        struct hfc_entry known = *e;
        memcpy(known.commit, o->text, HFC_COMMIT_SIZE - 1);
        (void)hfc_index_put(o->target->index, &known, &full);
    }
    o->ref++;
    open_refs(o);
}

static bool is_ref_key(const char *key)
{
    const char *folder = strncmp(key, "hub/", 4) == 0 ? strchr(key + 4, '/') : NULL;

    return folder != NULL && strncmp(folder, "/refs/", 6) == 0;
}

/* S3's ETag of so small an object is its MD5, unless the bucket is encrypted with a key of its own:
 * then, and in a directory, it has to be read. */
static bool etag_says(const struct hfc_entry *e, const char *commit)
{
    uint8_t md5[HFC_MD5_SIZE];
    char hex[HFC_HEX_MAX];

    hfc_hash_of(HFC_MD5, commit, HFC_COMMIT_SIZE - 1, md5);
    hfc_hex(md5, sizeof(md5), hex);
    return strcmp(hex, e->etag) == 0;
}

/* True: what the published index says of the ref is right. */
static bool known_ref(struct opening *o, const struct hfc_entry *e)
{
    const struct hfc_entry *old =
        o->published != NULL ? hfc_index_find(o->published, e->key) : NULL;
    struct hfc_error full = {0};

    if (old == NULL || old->commit[0] == '\0' || !etag_says(e, old->commit))
        return false;
    struct hfc_entry known = *e;
    memcpy(known.commit, old->commit, sizeof(known.commit));
    (void)hfc_index_put(o->target->index, &known, &full); /* no longer than it was: cannot fail */
    return true;
}

/* Joining. */

static bool same_entry(const struct hfc_entry *a, const struct hfc_entry *b)
{
    return strcmp(a->key, b->key) == 0 && strcmp(a->commit, b->commit) == 0 &&
           (a->commit[0] != '\0' || (a->size == b->size && strcmp(a->etag, b->etag) == 0));
}

static bool same_index(const struct hfc_index *a, const struct hfc_index *b)
{
    if (hfc_index_count(a) != hfc_index_count(b) ||
        hfc_index_snapshots(a) != hfc_index_snapshots(b))
        return false;
    for (size_t i = 0; i < hfc_index_count(a); i++)
        if (!same_entry(hfc_index_at(a, i), hfc_index_at(b, i)))
            return false;
    return true;
}

/* Whether every object that the index had below `prefix` is still the same. */
static bool survived(const struct opening *o, const char *prefix)
{
    size_t n = strlen(prefix), i = hfc_index_seek(o->published, prefix);

    for (; i < hfc_index_count(o->published); i++) {
        const struct hfc_entry *old = hfc_index_at(o->published, i);
        if (strncmp(old->key, prefix, n) != 0)
            return true;
        const struct hfc_entry *now = hfc_index_find(o->target->index, old->key);
        if (now == NULL || !same_entry(old, now))
            return false;
    }
    return true;
}

/* A snapshot line says "complete, by this filter"; it stays only if nothing of it has changed. */
static void join_snapshots(struct opening *o)
{
    for (size_t i = 0; o->published != NULL && i < hfc_index_snapshots(o->published); i++) {
        const struct hfc_snapshot *s = hfc_index_snapshot_at(o->published, i);
        hfc_autobuf struct hfc_buf prefix = HFC_BUF(2 * HFC_KEY_MAX);
        struct hfc_error full = {0};

        hfc_buf_printf(&prefix, "hub/%s/snapshots/%s/", s->repo, s->commit);
        bool whole = survived(o, prefix.data);
        hfc_buf_reset(&prefix);
        hfc_buf_printf(&prefix, "hub/%s/trees/%s.json", s->repo, s->commit);
        if (whole && survived(o, prefix.data) &&
            hfc_index_put_snapshot(o->target->index, s, &full) < 0)
            o->full = true;
    }
}

static void open_joined(struct opening *o)
{
    struct target *t = o->target;

    join_snapshots(o);
    t->dirty =
        o->published == NULL ? hfc_index_count(t->index) > 0 : !same_index(o->published, t->index);
    for (size_t i = 0; i < hfc_index_count(t->index); i++)
        content_add(&t->content, hfc_index_at(t->index, i));
    if (o->options->use == TARGET_WRITE)
        (void)hfc_store_list_uploads(t->store, "", open_upload, open_uploads_listed, o);
    else
        open_end(o, NULL);
}

/* Reads the next ref that is not known; without one, goes on. */
static void open_refs(struct opening *o)
{
    const struct hfc_index *x = o->target->index;

    for (; o->ref < hfc_index_count(x); o->ref++) {
        const struct hfc_entry *e = hfc_index_at(x, o->ref);
        if (!is_ref_key(e->key) || e->size != HFC_COMMIT_SIZE - 1 || known_ref(o, e))
            continue;
        o->text_len = 0;
        const struct hfc_get get = {.key = e->key};
        (void)hfc_store_get(o->target->store, &get, open_ref_bytes, open_ref_read, o);
        return;
    }
    open_joined(o);
}

/* The listing. */

static void open_item(void *ctx, const char *key, const struct hfc_object *object)
{
    struct opening *o = ctx;
    const struct hfc_entry *old = o->published != NULL ? hfc_index_find(o->published, key) : NULL;
    struct hfc_entry e = {.key = key, .etag = object->etag, .size = object->size};
    struct hfc_error err = {0};

    if (strncmp(key, HFC_OWN_PREFIX, strlen(HFC_OWN_PREFIX)) == 0 || o->full)
        return;
    if (old != NULL && old->commit[0] == '\0' && old->size == object->size &&
        strcmp(old->etag, object->etag) == 0)
        e.meta = old->meta;
    if (hfc_index_put(o->target->index, &e, &err) < 0) {
        if (err.errnum == ENOMEM)
            o->full = true;
        else
            say(o, "%s: '%s' is left out: %s", target_url(o->target), key, err.msg);
    }
}

static void open_listed(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct opening *o = ctx;
    struct hfc_error full;

    (void)reply;
    if (o->full) {
        (void)hfc_error_set(&full, ENOMEM,
                            "%s: more objects than %zu KiB of tables can describe; use a larger "
                            "--memory",
                            target_url(o->target), o->share >> 10);
        err = &full;
    }
    if (err != NULL)
        open_end(o, err);
    else
        open_refs(o);
}

/* The index. */

static enum hfc_flow open_index_bytes(void *ctx, const void *bytes, size_t n)
{
    struct opening *o = ctx;

    return hfc_index_parse(o->parser, bytes, n, &o->parse_error) < 0 ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

/* A broken index costs hashes, which the objects have as well; so it is told and made anew. */
static void open_index_read(void *ctx, const struct hfc_store_reply *reply,
                            const struct hfc_error *err)
{
    struct opening *o = ctx;
    struct target *t = o->target;

    bool none = err != NULL && err->errnum == ENOENT;
    if (none) {
        t->index_state = INDEX_ABSENT;
    } else if (err == NULL) {
        t->index_state = INDEX_SEEN;
        memcpy(t->index_etag, reply->object.etag, sizeof(t->index_etag));
    }
    if (err != NULL && !none && o->parse_error.msg[0] == '\0') {
        open_end(o, err);
        return;
    }
    if (!none && o->parse_error.msg[0] == '\0')
        (void)hfc_index_parser_finish(o->parser, &o->parse_error);
    if (o->parse_error.msg[0] != '\0')
        say(o, "%s: the index is made anew, the one that is there can't be read: %s", target_url(t),
            o->parse_error.msg);
    hfc_index_parser_free(o->parser);
    o->parser = NULL;
    if (none || o->parse_error.msg[0] != '\0') {
        hfc_index_free(o->published);
        o->published = NULL;
    }
    (void)hfc_store_list(t->store, "", open_item, open_listed, o);
}

static void open_index(struct opening *o)
{
    const struct hfc_get get = {.key = HFC_INDEX_KEY};

    o->published = hfc_index_new(o->share);
    o->target->index = hfc_index_new(o->share);
    o->parser = hfc_index_parser_new(o->published);
    (void)hfc_store_get(o->target->store, &get, open_index_bytes, open_index_read, o);
}

/* The lock. */

static void open_locked(void *ctx, const struct hfc_error *err)
{
    struct target *t = ctx;

    if (err != NULL)
        open_end(t->opening, err);
    else
        open_index(t->opening);
}

static void open_waiting(void *ctx, const char *text)
{
    const struct target *t = ctx;

    say(t->opening, "%s", text);
}

static void open_lost(void *ctx, const struct hfc_error *err)
{
    target_fail(ctx, err);
}

int targets_open(struct target *const *targets, size_t n, const struct target_open_options *options,
                 struct hfc_error *err)
{
    struct gather g = GATHER;

    for (size_t i = 0; i < n; i++) {
        struct opening *o = need(calloc(1, sizeof(*o)));
        *o = (struct opening){.target = targets[i], .options = options, .gather = &g};
        o->share = options->tables / n / 2;
        targets[i]->opening = o;
        targets[i]->ours = options->ours;
        targets[i]->ours_ctx = options->ctx;
        gather_begin(&g);
        if (options->use == TARGET_READ) {
            open_index(o);
            continue;
        }
        targets[i]->lock = lock_new(targets[i]->loop, targets[i]->store);
        lock_acquire(targets[i]->lock, options->lock_wait_ms, open_waiting, open_locked, open_lost,
                     targets[i]);
    }
    return gather_wait(targets[0]->loop, &g, err);
}
