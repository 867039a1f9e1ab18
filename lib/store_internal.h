/* store_internal.h: what the two backends share: the base of their structs, the table of their
 * functions, the handle of an operation and how it ends. For store*.c only.
 * store.c checks the arguments, fills a struct hfc_store_op with copies of them and calls the
 * backend's start function of that kind. A backend ends an operation with hfc_store_op_end(), from
 * anywhere; done() is then called from the loop.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_STORE_INTERNAL_H
#define HFC_STORE_INTERNAL_H

#include "store.h"
#include "upload.h"

enum hfc_op_kind {
    HFC_OP_LIST,
    HFC_OP_HEAD,
    HFC_OP_GET,
    HFC_OP_PUT,
    HFC_OP_COPY,
    HFC_OP_DELETE,
    HFC_OP_CREATE,
    HFC_OP_PUT_PART,
    HFC_OP_LIST_PARTS,
    HFC_OP_COMPLETE,
    HFC_OP_ABORT,
    HFC_OP_LIST_UPLOADS,
    HFC_OP_KINDS,
};

struct hfc_store_backend {
    size_t op_size; /* of the backend's struct, which begins with a struct hfc_store_op; zeroed */
    void (*start[HFC_OP_KINDS])(struct hfc_store_op *op);
    void (*resume)(struct hfc_store_op *op);
    /* Stops what still runs for `op` and frees what the backend holds in it, not `op` itself.
     * Called once for every operation, started or not, never from within its callbacks. */
    void (*release)(struct hfc_store_op *op);
    /* Adds to s->stats what is counted elsewhere (the client's counts). May be NULL. */
    void (*stats)(const struct hfc_store *s, struct hfc_store_stats *stats);
    /* Frees the backend's struct and what it holds; operations are gone by then. */
    void (*close)(struct hfc_store *s);
};

/* First member of a backend's struct. */
struct hfc_store {
    const struct hfc_store_backend *backend;
    struct hfc_loop *loop;
    char *url;
    char *prefix; /* "", or ends with '/' */
    hfc_store_log *log;
    void *log_ctx;
    struct hfc_store_stats stats; /* but for `http`; the backend counts */
    struct hfc_store_op *ops;     /* all that live */
    struct hfc_stop_hook hook;
    struct hfc_timer creations; /* after a stop: until uploads may begin */
};

/* First member of a backend's struct of an operation. Strings are the operation's own, or NULL. */
struct hfc_store_op {
    struct hfc_store *store;
    struct hfc_store_op *next, **link; /* in store->ops */
    enum hfc_op_kind kind;

    char *key;  /* with the prefix; lists: what keys begin with, may be "" */
    char *from; /* copy: the source, with the prefix */
    char *upload_id;
    char *if_match;      /* also copy's `etag` */
    char *if_none_match; /* get */
    char *content_type;  /* put; never NULL there */
    enum hfc_condition condition;
    uint64_t offset, length; /* get; put_part: offset; copy: length is its size */
    unsigned number;         /* put_part: from 1 */
    const struct hfc_part *parts;
    unsigned n_parts;
    struct hfc_meta meta;
    struct hfc_body body;
    uint8_t sha256[HFC_SHA256_SIZE]; /* what body.sha256 points to, if it does */
    union {
        hfc_store_item *item;
        hfc_store_data *data;
        hfc_store_part *part;
        hfc_store_upload *upload;
    } call;
    hfc_store_done *done;
    void *ctx;

    /* Set by hfc_store_op_end() or hfc_store_cancel(): callbacks of the caller must not be called
     * any more. Look at it after each of them: a caller may cancel from within. */
    bool ended;
    bool failed;
    struct hfc_timer ending;
    struct hfc_error err;
    struct hfc_object object;
    char *reply_id;
};

/* Ends the operation with copies of `reply` (NULL: zeroed) and `err` (NULL: success). Only the
 * first end counts. The operation lives on until the loop comes round; then release(), done(). */
void hfc_store_op_end(struct hfc_store_op *op, const struct hfc_store_reply *reply,
                      const struct hfc_error *err);

/* Fills the base; copies the strings. `prefix` without a slash at the end gets one. */
void hfc_store_init(struct hfc_store *s, const struct hfc_store_backend *backend,
                    struct hfc_loop *loop, const char *url, const char *prefix,
                    const struct hfc_store_config *config);

/* A line for the log, if somebody listens. */
void hfc_store_say(const struct hfc_store *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Of a full key, what the caller knows it by. The key begins with the prefix. */
const char *hfc_store_short_key(const struct hfc_store *s, const char *key);

/* `rest` is what follows "s3://" or "file://". */
struct hfc_store *hfc_store_s3_open(struct hfc_loop *loop, const char *url, const char *rest,
                                    const struct hfc_store_config *config, struct hfc_error *err);
struct hfc_store *hfc_store_file_open(struct hfc_loop *loop, const char *url, const char *rest,
                                      const struct hfc_store_config *config, struct hfc_error *err);

#endif
