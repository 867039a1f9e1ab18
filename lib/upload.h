/* upload.h: what is sent to a store: bodies, and uploads in parts.
 *
 * Errors and threads as in store.h.
 */
#ifndef HFC_UPLOAD_H
#define HFC_UPLOAD_H

#include "store.h"

enum {
    HFC_PARTS_MAX = 10000,
    HFC_PART_MIN = 5 * 1024 * 1024, /* but for the last one */
};

/* Uploads in parts. Nothing is visible under the key before hfc_store_complete(). reply->upload_id
 * of create names the upload from then on. */
struct hfc_store_op *hfc_store_create_upload(struct hfc_store *s, const char *key,
                                             const struct hfc_meta *meta, hfc_store_done *done,
                                             void *ctx);

struct hfc_part {
    uint64_t size;
    char etag[HFC_ETAG_MAX];
    bool has_sha256; /* not every server keeps it */
    uint8_t sha256[HFC_SHA256_SIZE];
};

/* Part `number` (from 1) whose first byte has `offset` in the object. reply->object has its ETag.
 */
struct hfc_store_op *hfc_store_put_part(struct hfc_store *s, const char *key, const char *upload_id,
                                        unsigned number, uint64_t offset,
                                        const struct hfc_body *body, hfc_store_done *done,
                                        void *ctx);

typedef void hfc_store_part(void *ctx, unsigned number, const struct hfc_part *part);
struct hfc_store_op *hfc_store_list_parts(struct hfc_store *s, const char *key,
                                          const char *upload_id, hfc_store_part *part,
                                          hfc_store_done *done, void *ctx);

/* parts[i] is part i + 1; they must stay until done(). An answer lost on the way is found out about
 * with a HEAD: success then means that the object is there with this meta. */
struct hfc_store_op *hfc_store_complete(struct hfc_store *s, const char *key, const char *upload_id,
                                        const struct hfc_part *parts, unsigned n,
                                        const struct hfc_meta *meta, hfc_store_done *done,
                                        void *ctx);

/* Also succeeds if there is none. */
struct hfc_store_op *hfc_store_abort(struct hfc_store *s, const char *key, const char *upload_id,
                                     hfc_store_done *done, void *ctx);

/* Uploads under way whose key begins with `prefix`. `initiated`: seconds since 1970. */
typedef void hfc_store_upload(void *ctx, const char *key, const char *upload_id, int64_t initiated);
struct hfc_store_op *hfc_store_list_uploads(struct hfc_store *s, const char *prefix,
                                            hfc_store_upload *upload, hfc_store_done *done,
                                            void *ctx);

#endif
