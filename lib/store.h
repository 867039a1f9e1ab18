/* store.h: an object store: a bucket of S3, or a directory that behaves like one.
 *
 *   s3://BUCKET[/PREFIX]   through AWS's API (store_s3*.c)
 *   file:///DIR            each object a file DIR/KEY (store_file*.c): no account needed
 *
 * Keys are UTF-8, 1 to 1,024 bytes with the prefix; the prefix is put in front and taken off again
 * here. Every call starts an operation and ends with one call of its done(), from the loop, never
 * from within the call that started it. Failures that pass are tried again in here; what reaches
 * done() is final. errnum of its error says what kind it is:
 *
 *   ENOENT    no such object, upload or bucket   EACCES    refused, or no usable credentials
 *   EEXIST    IF_ABSENT, and there is one        ESTALE    the ETag is another one by now
 *   EALREADY  not modified (if_none_match)       EBADMSG   bytes arrived or were stored wrong
 *   EAGAIN    throttled or 5xx to the last try   ENOTCONN  not reachable
 *   EINVAL    not possible with store or key     ECANCELED hfc_store_cancel()
 *   or what the file system says: ENOSPC, EROFS, EIO ...
 *
 * Threads: as the loop's.
 */
#ifndef HFC_STORE_H
#define HFC_STORE_H

#include <stdint.h>

#include "call.h"
#include "object.h"

struct hfc_store;
struct hfc_store_op;

/* An event worth a log line; `line` has no newline and no secret. */
typedef void hfc_store_log(void *ctx, const char *line);

struct hfc_store_config {
    struct hfc_http_config http; /* caps, timeouts; ca_bundle NULL: AWS_CA_BUNDLE */
    struct hfc_retry_policy retry;
    const char *region; /* NULL: from the environment, else found out */
    hfc_store_log *log; /* NULL: nobody listens */
    void *log_ctx;
};

/* Asks nothing of the network yet. NULL: a wrong URL or directory, or broken AWS settings. */
struct hfc_store *hfc_store_open(struct hfc_loop *loop, const char *url,
                                 const struct hfc_store_config *config, struct hfc_error *err);

/* Drops operations under way without a word. Not from within data(), item() or read(). */
void hfc_store_close(struct hfc_store *s);

const char *hfc_store_url(const struct hfc_store *s);

/* What done() gets; members that an operation has no use for are zero. Valid until it returns. */
struct hfc_store_reply {
    struct hfc_object object;
    const char *upload_id;
};
typedef void hfc_store_done(void *ctx, const struct hfc_store_reply *reply,
                            const struct hfc_error *err); /* err NULL: success */

/* All keys that begin with `prefix` (may be ""), in byte order, page by page. */
typedef void hfc_store_item(void *ctx, const char *key, const struct hfc_object *object);
struct hfc_store_op *hfc_store_list(struct hfc_store *s, const char *prefix, hfc_store_item *item,
                                    hfc_store_done *done, void *ctx);

struct hfc_store_op *hfc_store_head(struct hfc_store *s, const char *key, hfc_store_done *done,
                                    void *ctx);

/* Bytes from `offset`, `length` of them (0: to the end). data() gets them in order, each once, also
 * across retries, which go on where the last one broke off, from the same version (If-Match).
 * HFC_FLOW_PAUSE: goes on after hfc_store_resume(). An object shorter than asked for is EBADMSG. */
typedef enum hfc_flow hfc_store_data(void *ctx, const void *bytes, size_t n);
struct hfc_get {
    const char *key;
    uint64_t offset, length;
    const char *if_match;      /* an ETag, or NULL; another version: ESTALE */
    const char *if_none_match; /* an ETag, or NULL; still that version: EALREADY */
};
struct hfc_store_op *hfc_store_get(struct hfc_store *s, const struct hfc_get *get,
                                   hfc_store_data *data, hfc_store_done *done, void *ctx);

enum hfc_condition { HFC_ALWAYS, HFC_IF_ABSENT, HFC_IF_MATCH };

struct hfc_put {
    const char *key;
    struct hfc_body body;
    struct hfc_meta meta;
    enum hfc_condition condition;
    const char *if_match;
    const char *content_type; /* NULL: application/octet-stream */
};
struct hfc_store_op *hfc_store_put(struct hfc_store *s, const struct hfc_put *put,
                                   hfc_store_done *done, void *ctx);

/* A copy inside the store, of the version `etag`; larger than 5 GiB in parts. */
struct hfc_copy {
    const char *from, *etag, *to;
    uint64_t size;
    struct hfc_meta meta;
};
struct hfc_store_op *hfc_store_copy(struct hfc_store *s, const struct hfc_copy *copy,
                                    hfc_store_done *done, void *ctx);

/* Also succeeds if there is none. */
struct hfc_store_op *hfc_store_delete(struct hfc_store *s, const char *key, hfc_store_done *done,
                                      void *ctx);

/* Goes on after HFC_FLOW_PAUSE or HFC_READ_PAUSE. */
void hfc_store_resume(struct hfc_store_op *op);

/* Ends it, or all, as hfc_loop_stop() does: done() is called with ECANCELED, from the loop. The
 * handle is dead. */
void hfc_store_cancel(struct hfc_store_op *op);
void hfc_store_cancel_all(struct hfc_store *s);

struct hfc_store_stats {
    struct hfc_http_stats http;
    uint64_t requests, retries, throttled, bytes_in, bytes_out;
};
void hfc_store_stats(const struct hfc_store *s, struct hfc_store_stats *stats);

#endif
