/* aws_sign.h: AWS Signature Version 4 in the Authorization header.
 *
 * Source: AWS General Reference, "Create a signed AWS API request". S3's rules apply where they
 * differ: the path is encoded once and not normalised.
 *
 * Threads: no state.
 */
#ifndef HFC_AWS_SIGN_H
#define HFC_AWS_SIGN_H

#include <time.h>

#include "buf.h"

struct hfc_aws_keys {
    const char *access_key;
    const char *secret_key;
    const char *session_token; /* NULL: none */
};

struct hfc_aws_request {
    const char *method;
    const char *host;         /* as in the Host header: with the port unless it is the default */
    const char *path;         /* encoded (hfc_uri_encode() keeping '/'), at least "/" */
    const char *query;        /* encoded, "a=1&b="; any order; NULL: none */
    const char *headers;      /* "Name: value\n" lines; all are signed; NULL: none */
    const char *payload_hash; /* lower-case hex SHA-256, or UNSIGNED-PAYLOAD and the like */
    const char *region, *service;
    time_t now;
};

/* Appends "Name: value\n" lines to `out`: the request's own headers, x-amz-date,
 * x-amz-content-sha256 (for s3), x-amz-security-token if there is one, and Authorization. `out`
 * turns failed if something did not fit. */
void hfc_aws_sign(const struct hfc_aws_request *r, const struct hfc_aws_keys *keys,
                  struct hfc_buf *out);

/* The same for signatures that a test compares piece by piece. */
void hfc_aws_canonical_request(const struct hfc_aws_request *r, struct hfc_buf *out);
void hfc_aws_string_to_sign(const struct hfc_aws_request *r, struct hfc_buf *out);

#endif
