/* store_s3_steps.h: what the files of the S3 backend call of each other. For store_s3*.c only.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_STORE_S3_STEPS_H
#define HFC_STORE_S3_STEPS_H

#include "store_s3.h"

/* store_s3_request.c. Begins a step; ends the operation with op->reply, or with `err`. */
void hfc_s3_begin(struct hfc_s3_op *op, const struct hfc_s3_step *step);
void hfc_s3_end(struct hfc_s3_op *op, const struct hfc_error *err);
struct hfc_s3 *hfc_s3_of(const struct hfc_s3_op *op);

/* Sets `err` to "STEP s3://BUCKET/KEY: text", without the errno's text, and op->reason. -1. */
int hfc_s3_fail(struct hfc_s3_op *op, struct hfc_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* store_s3_fault.c. What an answer that is no success means. */
enum hfc_verdict hfc_s3_judge(struct hfc_s3_op *op, const struct hfc_response *r,
                              struct hfc_error *err);
/* The same for an <Error> in a 200. `x` is a whole document. */
enum hfc_verdict hfc_s3_judge_document(struct hfc_s3_op *op, const struct hfc_response *r,
                                       const struct hfc_s3_xml *x, struct hfc_error *err);
/* Parses the collected body of a 200. NULL: *verdict says what is to be done, `err` is set. */
struct hfc_s3_xml *hfc_s3_document(struct hfc_s3_op *op, const struct hfc_response *r,
                                   enum hfc_s3_doc doc, enum hfc_verdict *verdict,
                                   struct hfc_error *err);

/* store_s3_region.c. Where requests go. */
int hfc_s3_set_endpoint(struct hfc_s3 *s, struct hfc_error *err);
void hfc_s3_address(const struct hfc_s3 *s, const char *key, struct hfc_buf *origin,
                    struct hfc_buf *host, struct hfc_buf *path);
bool hfc_s3_region_is_valid(const char *region);
bool hfc_s3_region_of_host(const char *text, char region[HFC_S3_REGION_MAX]);
bool hfc_s3_learn_region(struct hfc_s3_op *op, const struct hfc_response *r,
                         const struct hfc_s3_fault *f);

/* store_s3_object.c, store_s3_put.c. */
int hfc_s3_etag(const char *text, char etag[HFC_ETAG_MAX]);
int hfc_s3_read_head(struct hfc_s3_op *op, const struct hfc_response *r, struct hfc_object *o,
                     struct hfc_error *err);
void hfc_s3_meta_headers(const struct hfc_meta *meta, struct hfc_buf *headers);
void hfc_s3_start_head(struct hfc_store_op *op);
void hfc_s3_start_get(struct hfc_store_op *op);
/* Deletes the object that has just been written and is not what it should be, then calls `then`
 * with whether that went well; NULL: ends with `err`. */
void hfc_s3_discard(struct hfc_s3_op *op, const struct hfc_error *err,
                    void (*then)(struct hfc_s3_op *op, bool gone));
void hfc_s3_start_delete(struct hfc_store_op *op);
void hfc_s3_start_put(struct hfc_store_op *op);
void hfc_s3_start_put_part(struct hfc_store_op *op);

/* store_s3_upload.c, store_s3_copy.c, store_s3_list.c. */
void hfc_s3_start_create(struct hfc_store_op *op);
void hfc_s3_start_complete(struct hfc_store_op *op);
void hfc_s3_start_abort(struct hfc_store_op *op);
void hfc_s3_create_headers(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query);
enum hfc_verdict hfc_s3_created(struct hfc_s3_op *op, const struct hfc_response *r,
                                struct hfc_error *err);
void hfc_s3_upload_query(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query);
enum hfc_verdict hfc_s3_aborted(struct hfc_s3_op *op, const struct hfc_response *r,
                                struct hfc_error *err);
void hfc_s3_abort_copy(struct hfc_s3_op *op, const struct hfc_error *err);
void hfc_s3_start_copy(struct hfc_store_op *op);
void hfc_s3_start_list(struct hfc_store_op *op);
void hfc_s3_start_list_parts(struct hfc_store_op *op);
void hfc_s3_start_list_uploads(struct hfc_store_op *op);

#endif
