/* fake_store.h: a store in memory for tests of what works on one: it keeps a log of what was asked,
 * and fails, or never answers, where it is told to.
 *
 *   struct fake f;  fake_open(&f, loop);  fake_set(&f, "key", "content", meta or NULL);
 *   f.fail = "DELETE hub/x"; f.errnum = EACCES;     every request whose log line begins so
 *   f.hold = "GET";                                 these never end (but by a cancel)
 *   f.log.data                                      "HEAD key\nPUT key\n" ...
 *   hfc_store_close(&f.base); fake_free(&f);
 */
#ifndef TESTS_FAKE_STORE_H
#define TESTS_FAKE_STORE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "store_internal.h"

struct fake_object {
    char *key;
    struct hfc_buf content;
    struct hfc_meta meta;
    int64_t modified;
};

struct fake {
    struct hfc_store base;
    struct fake_object objects[64];
    size_t n;
    const char *uploads[16];
    size_t nuploads;
    struct hfc_buf log;
    const char *fail, *hold;
    int errnum;
    void (*asked)(void *ctx); /* of each request */
    void *ctx;
};

static inline struct fake_object *fake_find(struct fake *f, const char *key)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->objects[i].key, key) == 0)
            return &f->objects[i];
    return NULL;
}

/* The bytes are those of the text. */
static inline struct fake_object *fake_set(struct fake *f, const char *key, const char *text,
                                           const struct hfc_meta *meta)
{
    struct fake_object *o = fake_find(f, key);

    if (o == NULL) {
        assert_true(f->n < sizeof(f->objects) / sizeof(f->objects[0]));
        o = &f->objects[f->n++];
        *o = (struct fake_object){.key = strdup(key)};
        hfc_buf_init(&o->content, 1 << 20);
    }
    hfc_buf_reset(&o->content);
    hfc_buf_str(&o->content, text);
    o->meta = meta != NULL ? *meta : (struct hfc_meta){0};
    return o;
}

static inline void fake_drop(struct fake *f, const char *key)
{
    struct fake_object *o = fake_find(f, key);

    if (o == NULL)
        return;
    free(o->key);
    hfc_buf_free(&o->content);
    *o = f->objects[--f->n];
}

/* A version is its length: enough for tests. */
static inline struct hfc_object fake_object(const struct fake_object *o)
{
    struct hfc_object object = {.size = o->content.len, .meta = o->meta, .modified = o->modified};

    (void)snprintf(object.etag, sizeof(object.etag), "e%zu", o->content.len);
    return object;
}

static inline void fake_end(struct hfc_store_op *op, const struct fake_object *o, int errnum)
{
    struct hfc_store_reply reply = {0};
    struct hfc_error err;

    if (o != NULL)
        reply.object = fake_object(o);
    if (errnum != 0)
        (void)hfc_error_set(&err, errnum, "%s", op->key);
    hfc_store_op_end(op, &reply, errnum != 0 ? &err : NULL);
}

/* True: the request has got its answer already, or gets none. */
static inline bool fake_asked(struct hfc_store_op *op, const char *method)
{
    struct fake *f = (struct fake *)op->store;
    char line[2048];

    (void)snprintf(line, sizeof(line), "%s %s", method, op->key);
    hfc_buf_printf(&f->log, "%s\n", line);
    if (f->asked != NULL)
        f->asked(f->ctx);
    if (f->hold != NULL && strncmp(line, f->hold, strlen(f->hold)) == 0)
        return true;
    if (f->fail == NULL || strncmp(line, f->fail, strlen(f->fail)) != 0)
        return op->ended;
    fake_end(op, NULL, f->errnum);
    return true;
}

static inline void fake_head(struct hfc_store_op *op)
{
    if (fake_asked(op, "HEAD"))
        return;
    const struct fake_object *o = fake_find((struct fake *)op->store, op->key);
    fake_end(op, o, o == NULL ? ENOENT : 0);
}

static inline void fake_get(struct hfc_store_op *op)
{
    if (fake_asked(op, "GET"))
        return;
    const struct fake_object *o = fake_find((struct fake *)op->store, op->key);
    int errnum = o == NULL ? ENOENT : 0;
    if (o != NULL && op->if_match != NULL && strcmp(op->if_match, fake_object(o).etag) != 0)
        errnum = ESTALE;
    if (errnum == 0 && o->content.len > 0 &&
        op->call.data(op->ctx, o->content.data, o->content.len) == HFC_FLOW_STOP)
        errnum = ECANCELED;
    fake_end(op, o, errnum);
}

static inline void fake_put(struct hfc_store_op *op)
{
    struct fake *f = (struct fake *)op->store;
    hfc_autobuf struct hfc_buf text = HFC_BUF(1 << 20);

    if (fake_asked(op, "PUT"))
        return;
    while (text.len < op->body.size) {
        char bytes[100];
        ssize_t n = op->body.read(op->body.ctx, text.len, bytes, sizeof(bytes));
        assert_true(n > 0);
        hfc_buf_add(&text, bytes, (size_t)n);
    }
    fake_end(op, fake_set(f, op->key, text.data, &op->meta), 0);
}

static inline void fake_delete(struct hfc_store_op *op)
{
    if (fake_asked(op, "DELETE"))
        return;
    fake_drop((struct fake *)op->store, op->key);
    fake_end(op, NULL, 0);
}

/* Uploads: "KEY=ID" each; every one has two parts of 5 bytes. */
static inline void fake_list_uploads(struct hfc_store_op *op)
{
    struct fake *f = (struct fake *)op->store;

    if (fake_asked(op, "UPLOADS"))
        return;
    for (size_t i = 0; i < f->nuploads; i++) {
        char key[100];
        size_t n = strcspn(f->uploads[i], "=");
        (void)snprintf(key, sizeof(key), "%.*s", (int)n, f->uploads[i]);
        op->call.upload(op->ctx, key, f->uploads[i] + n + 1, 1);
    }
    fake_end(op, NULL, 0);
}

static inline void fake_list_parts(struct hfc_store_op *op)
{
    const struct hfc_part part = {.size = 5};

    if (fake_asked(op, "PARTS"))
        return;
    op->call.part(op->ctx, 1, &part);
    op->call.part(op->ctx, 2, &part);
    fake_end(op, NULL, 0);
}

static inline void fake_abort(struct hfc_store_op *op)
{
    if (!fake_asked(op, "ABORT"))
        fake_end(op, NULL, 0);
}

static inline void fake_ignore(struct hfc_store_op *op)
{
    (void)op;
}

static inline void fake_closed(struct hfc_store *s)
{
    (void)s;
}

static inline void fake_open(struct fake *f, struct hfc_loop *loop)
{
    static const struct hfc_store_backend backend = {
        .op_size = sizeof(struct hfc_store_op),
        .start = {[HFC_OP_HEAD] = fake_head,
                  [HFC_OP_GET] = fake_get,
                  [HFC_OP_PUT] = fake_put,
                  [HFC_OP_LIST_UPLOADS] = fake_list_uploads,
                  [HFC_OP_LIST_PARTS] = fake_list_parts,
                  [HFC_OP_ABORT] = fake_abort,
                  [HFC_OP_DELETE] = fake_delete},
        .resume = fake_ignore,
        .release = fake_ignore,
        .close = fake_closed};
    const struct hfc_store_config config = {0};

    *f = (struct fake){.errnum = EACCES};
    hfc_buf_init(&f->log, 1 << 16);
    hfc_store_init(&f->base, &backend, loop, "fake://bucket", "", &config);
}

/* The store has to be closed before. */
static inline void fake_free(struct fake *f)
{
    while (f->n > 0)
        fake_drop(f, f->objects[0].key);
    hfc_buf_free(&f->log);
}

#endif
