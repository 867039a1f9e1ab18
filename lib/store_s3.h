/* store_s3.h: what the files of the S3 backend share. For store_s3*.c only.
 *
 * An operation is one or more steps; a step is one request, tried again where that helps. What all
 * requests have in common (address, signature, credentials, errors, retries) is in
 * store_s3_request.c and store_s3_fault.c; a struct hfc_s3_step says what one kind does otherwise.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_STORE_S3_H
#define HFC_STORE_S3_H

#include "aws_chunked.h"
#include "aws_config.h"
#include "aws_creds.h"
#include "s3_xml.h"
#include "store_internal.h"
#include "uri.h"

enum { HFC_S3_REGION_MAX = 64 };

struct hfc_s3 {
    struct hfc_store base;
    struct hfc_aws_config *config;
    struct hfc_aws_creds *creds;
    struct hfc_http *http;
    struct hfc_retry_policy retry;
    struct hfc_retry_budget budget;
    char *bucket;
    struct hfc_url endpoint; /* host NULL: AWS's own, which depends on the region */
    bool path_style;
    char region[HFC_S3_REGION_MAX];
    int64_t clock_offset; /* the server's clock less ours, in seconds */
};

/* What a server says is wrong. Texts are cut to fit. */
struct hfc_s3_fault {
    int status;
    char code[64], message[300], region[HFC_S3_REGION_MAX], endpoint[160], request_id[80];
};

struct hfc_s3_op;

enum hfc_s3_payload { HFC_S3_EMPTY, HFC_S3_BODY, HFC_S3_DOCUMENT };

struct hfc_s3_step {
    const char *name; /* in messages */
    const char *method;
    enum hfc_s3_payload payload; /* what is sent: nothing, op.body, or `document` */
    bool of_bucket;              /* addresses the bucket, not the key */
    /* Adds header lines and "name=value" pairs with '&' behind them. May be NULL. */
    void (*build)(struct hfc_s3_op *op, struct hfc_buf *headers, struct hfc_buf *query);
    /* Of the answer with a status of 2xx: sets op->reply, or finds an error in it. */
    enum hfc_verdict (*answer)(struct hfc_s3_op *op, const struct hfc_response *r,
                               struct hfc_error *err);
    /* May take a fault out of the hands of the general rules: true, with a verdict. */
    bool (*refused)(struct hfc_s3_op *op, const struct hfc_s3_fault *f, enum hfc_verdict *verdict,
                    struct hfc_error *err);
    /* Where the answer's body is not collected: see http.h. */
    bool (*head)(void *ctx, const struct hfc_response *r);
    enum hfc_flow (*data)(void *ctx, const void *bytes, size_t n);
    /* How an exchange is judged that was cut, or stopped by data(). NULL: by the general rules. */
    bool (*cut)(struct hfc_s3_op *op, enum hfc_http_end end, enum hfc_verdict *verdict,
                struct hfc_error *err);
    /* The end of the step: `err` NULL is success. NULL: the operation ends. */
    void (*done)(struct hfc_s3_op *op, const struct hfc_error *err);
};

struct hfc_s3_op {
    struct hfc_store_op op;
    const struct hfc_s3_step *step;
    struct hfc_call *call;
    struct hfc_aws_creds_wait keys;
    struct hfc_store_reply reply;   /* what the operation ends with */
    struct hfc_error last;          /* why the last attempt failed */
    struct hfc_error first;         /* how a step ended that others follow */
    char reason[200];               /* the same, short */
    char region[HFC_S3_REGION_MAX]; /* what the attempt was signed with */
    int64_t clock_offset;
    unsigned generation; /* of the keys it was signed with */
    bool ambiguous;      /* an attempt failed that may have done its work */
    bool restart;        /* the call ends only to get keys, or to have all its tries again */
    bool refreshed;      /* keys were fetched anew once */
    bool has_digest;     /* op.sha256 is that of the body */
    bool spoiled;        /* the answer says that other bytes were stored than were meant */
    unsigned restarts, corrections, spoils;
    int64_t started; /* by our clock: an object older than that is not this operation's */
    void (*discarded)(struct hfc_s3_op *op, bool gone);
    struct hfc_aws_chunked chunked;
    struct hfc_buf document; /* to send, or a page of a list */
    struct hfc_s3_xml *xml;  /* of that page */

    struct {
        uint64_t got, want, from; /* bytes: given to the caller; in all; before the attempt */
        bool known, ranged;       /* `want` is; the answer is a 206 */
        enum hfc_verdict verdict; /* of the answer's head; unless HFC_SUCCEEDED, err says why */
        bool stopped;             /* by the caller */
        bool weak;                /* the object's ETag: it is no condition */
        struct hfc_error err;
    } get;
    struct {
        bool more;
        char *after, *after_id; /* where the next page begins; NULL: at the start */
        char *last_key;
        unsigned last_number, idle_pages;
    } list;
    struct hfc_part *copied; /* a copy in parts; op.upload_id names its upload */
};

#endif
