/* aws_creds_imds.c: keys of the role of an EC2 instance, from its metadata service, version 2; see
 * aws_creds_internal.h. Three requests: a token, the role's name, the role's keys.
 */
#include <string.h>

#include "aws_creds_internal.h"
#include "secret.h"
#include "uri.h"

#define ROLES "/latest/meta-data/iam/security-credentials/"

enum { ROLE_MAX = 128, METADATA_TOKEN_MAX = 1024 };

static void on_keys(struct hfc_aws_creds *c, int status, const struct hfc_buf *body)
{
    struct hfc_error err;

    if (status != 200)
        hfc_creds_failed(c, "it answered with status %d when asked for the role's keys", status);
    else if (hfc_creds_read_json(c, body, true, &err) < 0)
        hfc_creds_failed(c, "%s", err.msg);
    else
        hfc_creds_got(c);
}

/* The first line is the role; an instance has one. */
static void on_role(struct hfc_aws_creds *c, int status, const struct hfc_buf *body)
{
    struct hfc_creds_request *r = &c->request;
    size_t n = strcspn(body->data, "\r\n");

    if (status == 404 || (status == 200 && n == 0)) {
        hfc_creds_failed(c, "no role is attached to this instance");
        return;
    }
    if (status != 200 || n > ROLE_MAX) {
        hfc_creds_failed(c, "it answered with status %d when asked for the role", status);
        return;
    }
    r->answer = on_keys;
    hfc_uri_encode(&r->url, body->data, n, "");
    hfc_creds_request_send(c);
}

/* Both requests that follow bear the token. */
static void on_token(struct hfc_aws_creds *c, int status, const struct hfc_buf *body)
{
    struct hfc_creds_request *r = &c->request;

    if (status != 200) {
        hfc_creds_failed(c, "it answered with status %d when asked for a token", status);
        return;
    }
    hfc_creds_request_begin(c);
    if (body->len <= METADATA_TOKEN_MAX && hfc_creds_is_plain(body->data))
        hfc_buf_printf(&r->headers, "x-aws-ec2-metadata-token: %s\n", body->data);
    explicit_bzero(body->data, body->len);
    if (r->headers.len == 0) {
        hfc_creds_failed(c, "what it gave is no token");
        return;
    }
    r->method = "GET";
    r->answer = on_role;
    hfc_buf_printf(&r->url, "%s" ROLES, c->url);
    hfc_creds_request_send(c);
}

static void fetch(struct hfc_aws_creds *c)
{
    struct hfc_creds_request *r = &c->request;

    hfc_creds_request_begin(c);
    r->method = "PUT";
    r->answer = on_token;
    hfc_buf_printf(&r->url, "%s/latest/api/token", c->url);
    hfc_buf_str(&r->headers, "x-aws-ec2-metadata-token-ttl-seconds: 21600\n");
    hfc_creds_request_send(c);
}

/* Where there is no such service nobody answers, so little patience is right. */
const struct hfc_creds_source hfc_creds_imds = {
    .name = "instance metadata",
    .fetch = fetch,
    .policy = {.tries = 2, .base_ms = 100, .cap_ms = 1000, .deadline_ms = 5000},
    .connect_timeout = 1000,
    .total_timeout = 5000,
    .no_proxy = true,
};
