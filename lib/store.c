/* store.c: stores of either kind; see store.h and upload.h.
 *
 * Owns what both backends have in common: opening by URL, the check of arguments, the list of
 * operations, and the rule that done() is called from the loop only.
 */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "glyph.h"
#include "key.h"
#include "store_internal.h"

enum { LOG_LINE_MAX = 2048, UPLOAD_ID_MAX = 4096, CONTENT_TYPE_MAX = 200, CREATIONS_MS = 5000 };

/* Memory for a few strings: who can't have it can't go on either. */
static char *copy_text(const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;

    if (text != NULL && copy == NULL)
        abort();
    return copy;
}

/* Keys and servers' texts come from outside; a log line and a message are one line. What gets too
 * long by it is cut. */
static void make_printable(char *text, size_t size)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(size - 1);
    size_t n = strlen(text);

    for (const char *at = text; n > 0 && !hfc_buf_failed(&out);) {
        struct hfc_glyph glyph = hfc_glyph_next(at, n);
        hfc_buf_add(&out, glyph.text, glyph.len);
        at += glyph.taken;
        n -= glyph.taken;
    }
    memcpy(text, out.data, out.len + 1);
}

struct hfc_store *hfc_store_open(struct hfc_loop *loop, const char *url,
                                 const struct hfc_store_config *config, struct hfc_error *err)
{
    if (strncmp(url, "s3://", 5) == 0)
        return hfc_store_s3_open(loop, url, url + 5, config, err);
    if (strncmp(url, "file://", 7) == 0)
        return hfc_store_file_open(loop, url, url + 7, config, err);
    (void)hfc_error_set(err, 0, "%.200s: a store is s3://BUCKET[/PREFIX] or file:///DIR", url);
    if (err != NULL) {
        err->errnum = EINVAL;
        make_printable(err->msg, sizeof(err->msg));
    }
    return NULL;
}

static void cancel_some(struct hfc_store *s, bool creations)
{
    for (struct hfc_store_op *op = s->ops; op != NULL; op = op->next)
        if (!op->ended && (op->kind == HFC_OP_CREATE) == creations)
            hfc_store_cancel(op);
}

static void give_up_creations(void *ctx)
{
    cancel_some(ctx, true);
}

/* An upload whose creation is cancelled may begin all the same, and nobody would know of it: so for
 * a while its answer is waited for. */
static void stop(void *ctx)
{
    struct hfc_store *s = ctx;

    cancel_some(s, false);
    hfc_timer_start(s->loop, &s->creations, CREATIONS_MS, give_up_creations, s);
}

void hfc_store_init(struct hfc_store *s, const struct hfc_store_backend *backend,
                    struct hfc_loop *loop, const char *url, const char *prefix,
                    const struct hfc_store_config *config)
{
    size_t n = strlen(prefix);
    char *with_slash = NULL;

    *s = (struct hfc_store){
        .backend = backend, .loop = loop, .log = config->log, .log_ctx = config->log_ctx};
    s->url = copy_text(url);
    if (asprintf(&with_slash, "%s%s", prefix, n > 0 && prefix[n - 1] != '/' ? "/" : "") < 0)
        abort();
    s->prefix = with_slash;
    hfc_stop_hook_add(loop, &s->hook, stop, s);
}

void hfc_store_say(const struct hfc_store *s, const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    va_list ap;

    if (s->log == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    make_printable(line, sizeof(line));
    s->log(s->log_ctx, line);
}

const char *hfc_store_url(const struct hfc_store *s)
{
    return s->url;
}

const char *hfc_store_short_key(const struct hfc_store *s, const char *key)
{
    size_t n = strlen(s->prefix);

    assert(strncmp(key, s->prefix, n) == 0);
    return key + n;
}

void hfc_store_stats(const struct hfc_store *s, struct hfc_store_stats *stats)
{
    *stats = s->stats;
    if (s->backend->stats != NULL)
        s->backend->stats(s, stats);
}

/* The strings are the operation's own, so a caller's may go as soon as the call returns. */
static void free_op(struct hfc_store_op *op)
{
    free(op->key);
    free(op->from);
    free(op->upload_id);
    free(op->if_match);
    free(op->if_none_match);
    free(op->content_type);
    free(op->reply_id);
    free(op);
}

/* Takes it off the store's list, and off the loop. */
static void detach(struct hfc_store_op *op)
{
    hfc_timer_stop(&op->ending);
    op->store->backend->release(op);
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
}

void hfc_store_close(struct hfc_store *s)
{
    if (s == NULL)
        return;
    while (s->ops != NULL) {
        struct hfc_store_op *op = s->ops;
        detach(op);
        free_op(op);
    }
    hfc_stop_hook_remove(&s->hook);
    hfc_timer_stop(&s->creations);
    free(s->url);
    free(s->prefix);
    s->backend->close(s);
}

/* From the loop. done() may close the store. */
static void finish(void *ctx)
{
    struct hfc_store_op *op = ctx;
    struct hfc_store_reply reply = {.object = op->object, .upload_id = op->reply_id};

    assert(op->ended);
    detach(op);
    make_printable(op->err.msg, sizeof(op->err.msg));
    op->done(op->ctx, &reply, op->failed ? &op->err : NULL);
    free_op(op);
}

void hfc_store_op_end(struct hfc_store_op *op, const struct hfc_store_reply *reply,
                      const struct hfc_error *err)
{
    if (op->ended)
        return;
    op->ended = true;
    if (reply != NULL) {
        op->object = reply->object;
        op->reply_id = copy_text(reply->upload_id);
    }
    if (err != NULL) {
        op->failed = true;
        op->err = *err;
    }
    hfc_timer_start(op->store->loop, &op->ending, 0, finish, op);
}

/* What runs is stopped when the loop comes round: the caller may be in one of its callbacks. */
void hfc_store_cancel(struct hfc_store_op *op)
{
    op->ended = op->failed = true;
    op->object = (struct hfc_object){0};
    free(hfc_steal_ptr(&op->reply_id));
    (void)hfc_error_set(&op->err, ECANCELED, "%s", op->key != NULL ? op->key : "");
    hfc_timer_start(op->store->loop, &op->ending, 0, finish, op);
}

/* What has ended already keeps its end. */
void hfc_store_cancel_all(struct hfc_store *s)
{
    for (struct hfc_store_op *op = s->ops; op != NULL; op = op->next)
        if (!op->ended)
            hfc_store_cancel(op);
}

void hfc_store_resume(struct hfc_store_op *op)
{
    if (!op->ended)
        op->store->backend->resume(op);
}

/* Always made, even for arguments that are refused: there is one way for an operation to end. */
static struct hfc_store_op *new_op(struct hfc_store *s, enum hfc_op_kind kind, hfc_store_done *done,
                                   void *ctx)
{
    assert(s->backend->op_size >= sizeof(struct hfc_store_op) && done != NULL);
    struct hfc_store_op *op = calloc(1, s->backend->op_size);
    if (op == NULL)
        abort();
    op->store = s;
    op->kind = kind;
    op->done = done;
    op->ctx = ctx;
    op->next = s->ops;
    op->link = &s->ops;
    if (s->ops != NULL)
        s->ops->link = &op->next;
    s->ops = op;
    return op;
}

/* The first problem that a check finds is how the operation ends. */
static bool refuse(struct hfc_store_op *op, const char *what, const char *text)
{
    struct hfc_error err;

    (void)hfc_error_set(&err, 0, "%.300s: %s", text, what);
    err.errnum = EINVAL;
    hfc_store_op_end(op, NULL, &err);
    return false;
}

/* "." and ".." between slashes: clients and proxies resolve them, each in its own way. */
static bool has_dot_segment(const char *key)
{
    for (;;) {
        size_t n = strcspn(key, "/");
        if (n > 0 && hfc_is_dots(key, n))
            return true;
        if (key[n] == '\0')
            return false;
        key += n + 1;
    }
}

/* Puts the store's prefix in front. */
static bool take_key(struct hfc_store_op *op, const char *key, char **to)
{
    if (asprintf(to, "%s%s", op->store->prefix, key) < 0)
        abort();
    if (*key == '\0')
        return refuse(op, "an empty key", op->store->url);
    if (strlen(*to) > HFC_KEY_MAX)
        return refuse(op, "the key has more than 1024 bytes", key);
    if (!hfc_is_utf8(*to))
        return refuse(op, "the key is not UTF-8", key);
    if (has_dot_segment(*to))
        return refuse(op, "the key has a segment \".\" or \"..\"", key);
    return true;
}

/* Unlike a key it may be empty, or end in the middle of a name. */
static bool take_prefix(struct hfc_store_op *op, const char *prefix)
{
    if (asprintf(&op->key, "%s%s", op->store->prefix, prefix) < 0)
        abort();
    if (strlen(op->key) > HFC_KEY_MAX)
        return refuse(op, "the prefix has more than 1024 bytes", prefix);
    if (!hfc_is_utf8(op->key))
        return refuse(op, "the prefix is not UTF-8", prefix);
    return true;
}

/* Becomes part of a header line. */
static bool take_header(struct hfc_store_op *op, const char *text, size_t max, const char *what,
                        char **to)
{
    *to = copy_text(text);
    if (text == NULL)
        return true;
    if (*text == '\0' || strlen(text) >= max)
        return refuse(op, "empty or too long", what);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7e || *c == '"')
            return refuse(op, "has characters that can't be sent", what);
    }
    return true;
}

static bool take_etag(struct hfc_store_op *op, const char *etag, char **to)
{
    return take_header(op, etag, HFC_ETAG_MAX, "the ETag", to);
}

static bool take_upload(struct hfc_store_op *op, const char *key, const char *upload_id)
{
    return take_key(op, key, &op->key) &&
           take_header(op, upload_id, UPLOAD_ID_MAX, "the upload's id", &op->upload_id);
}

/* The digest is copied: a caller may keep it on its stack. */
static void take_body(struct hfc_store_op *op, const struct hfc_body *body)
{
    assert(body->read != NULL || body->size == 0);
    op->body = *body;
    if (body->sha256 != NULL) {
        memcpy(op->sha256, body->sha256, HFC_SHA256_SIZE);
        op->body.sha256 = op->sha256;
    }
}

static struct hfc_store_op *start(struct hfc_store_op *op)
{
    op->store->backend->start[op->kind](op);
    return op;
}

struct hfc_store_op *hfc_store_list(struct hfc_store *s, const char *prefix, hfc_store_item *item,
                                    hfc_store_done *done, void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_LIST, done, ctx);

    op->call.item = item;
    return take_prefix(op, prefix) ? start(op) : op;
}

struct hfc_store_op *hfc_store_head(struct hfc_store *s, const char *key, hfc_store_done *done,
                                    void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_HEAD, done, ctx);

    return take_key(op, key, &op->key) ? start(op) : op;
}

struct hfc_store_op *hfc_store_get(struct hfc_store *s, const struct hfc_get *get,
                                   hfc_store_data *data, hfc_store_done *done, void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_GET, done, ctx);

    op->call.data = data;
    op->offset = get->offset;
    op->length = get->length;
    if (!take_key(op, get->key, &op->key) || !take_etag(op, get->if_match, &op->if_match) ||
        !take_etag(op, get->if_none_match, &op->if_none_match))
        return op;
    if (get->length > INT64_MAX - (get->offset < INT64_MAX ? get->offset : INT64_MAX)) {
        (void)refuse(op, "the range is beyond all objects", get->key);
        return op;
    }
    return start(op);
}

struct hfc_store_op *hfc_store_put(struct hfc_store *s, const struct hfc_put *put,
                                   hfc_store_done *done, void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_PUT, done, ctx);
    const char *type = put->content_type != NULL ? put->content_type : "application/octet-stream";

    assert(put->condition != HFC_IF_MATCH || put->if_match != NULL);
    take_body(op, &put->body);
    op->meta = put->meta;
    op->condition = put->condition;
    if (take_key(op, put->key, &op->key) && take_etag(op, put->if_match, &op->if_match) &&
        take_header(op, type, CONTENT_TYPE_MAX, "the content type", &op->content_type))
        return start(op);
    return op;
}

struct hfc_store_op *hfc_store_copy(struct hfc_store *s, const struct hfc_copy *copy,
                                    hfc_store_done *done, void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_COPY, done, ctx);

    op->length = copy->size;
    op->meta = copy->meta;
    if (take_key(op, copy->to, &op->key) && take_key(op, copy->from, &op->from) &&
        take_etag(op, copy->etag, &op->if_match))
        return start(op);
    return op;
}

struct hfc_store_op *hfc_store_delete(struct hfc_store *s, const char *key, hfc_store_done *done,
                                      void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_DELETE, done, ctx);

    return take_key(op, key, &op->key) ? start(op) : op;
}

struct hfc_store_op *hfc_store_create_upload(struct hfc_store *s, const char *key,
                                             const struct hfc_meta *meta, hfc_store_done *done,
                                             void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_CREATE, done, ctx);

    op->meta = *meta;
    return take_key(op, key, &op->key) ? start(op) : op;
}

struct hfc_store_op *hfc_store_put_part(struct hfc_store *s, const char *key, const char *upload_id,
                                        unsigned number, uint64_t offset,
                                        const struct hfc_body *body, hfc_store_done *done,
                                        void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_PUT_PART, done, ctx);

    take_body(op, body);
    op->number = number;
    op->offset = offset;
    if (!take_upload(op, key, upload_id))
        return op;
    if (number < 1 || number > HFC_PARTS_MAX) {
        (void)refuse(op, "a part's number is from 1 to 10000", key);
        return op;
    }
    return start(op);
}

struct hfc_store_op *hfc_store_list_parts(struct hfc_store *s, const char *key,
                                          const char *upload_id, hfc_store_part *part,
                                          hfc_store_done *done, void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_LIST_PARTS, done, ctx);

    op->call.part = part;
    return take_upload(op, key, upload_id) ? start(op) : op;
}

struct hfc_store_op *hfc_store_complete(struct hfc_store *s, const char *key, const char *upload_id,
                                        const struct hfc_part *parts, unsigned n,
                                        const struct hfc_meta *meta, hfc_store_done *done,
                                        void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_COMPLETE, done, ctx);

    op->parts = parts;
    op->n_parts = n;
    op->meta = *meta;
    if (!take_upload(op, key, upload_id))
        return op;
    if (n < 1 || n > HFC_PARTS_MAX) {
        (void)refuse(op, "an upload has 1 to 10000 parts", key);
        return op;
    }
    return start(op);
}

struct hfc_store_op *hfc_store_abort(struct hfc_store *s, const char *key, const char *upload_id,
                                     hfc_store_done *done, void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_ABORT, done, ctx);

    return take_upload(op, key, upload_id) ? start(op) : op;
}

struct hfc_store_op *hfc_store_list_uploads(struct hfc_store *s, const char *prefix,
                                            hfc_store_upload *upload, hfc_store_done *done,
                                            void *ctx)
{
    struct hfc_store_op *op = new_op(s, HFC_OP_LIST_UPLOADS, done, ctx);

    op->call.upload = upload;
    return take_prefix(op, prefix) ? start(op) : op;
}

/* Never asked for anything at the end: who reads knows the size. */
static ssize_t read_memory(void *ctx, uint64_t offset, void *to, size_t n)
{
    const struct hfc_memory_body *m = ctx;

    assert(offset < m->n);
    size_t some = m->n - (size_t)offset < n ? m->n - (size_t)offset : n;
    memcpy(to, (const char *)m->bytes + offset, some);
    return (ssize_t)some;
}

struct hfc_body hfc_body_of(struct hfc_memory_body *memory, const uint8_t *sha256)
{
    return (struct hfc_body){
        .read = read_memory, .ctx = memory, .size = memory->n, .sha256 = sha256};
}
