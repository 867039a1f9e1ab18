/* aws_creds_container.c: keys from the agent beside a container (ECS, EKS Pod Identity); see
 * aws_creds_internal.h. Its URL was checked when the source was chosen.
 */
#include <string.h>

#include "aws_creds_internal.h"

static void on_answer(struct hfc_aws_creds *c, int status, const struct hfc_buf *body)
{
    hfc_autobuf struct hfc_buf shown = HFC_BUF(CREDS_SHOWN_MAX + 1);
    struct hfc_error err;

    if (status != 200) {
        hfc_creds_show(&shown, body->data, body->len);
        hfc_creds_failed(c, "it answered with status %d: %s", status, shown.data);
        return;
    }
    if (hfc_creds_read_json(c, body, false, &err) < 0)
        hfc_creds_failed(c, "%s", err.msg);
    else
        hfc_creds_got(c);
}

/* The file is written anew while we run, so it is read each time; it counts more than the variable.
 */
static int add_authorization(const struct hfc_aws_config *config, struct hfc_buf *headers,
                             struct hfc_error *err)
{
    const char *file = hfc_aws_config_env(config, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = hfc_aws_config_env(config, "AWS_CONTAINER_AUTHORIZATION_TOKEN");

    if (file == NULL && token == NULL)
        return 0;
    hfc_buf_str(headers, "Authorization: ");
    if (file != NULL) {
        if (hfc_creds_read_token(file, headers, err) < 0)
            return hfc_error_prefix(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    } else {
        /* "Basic ..." has a blank in it. */
        for (const char *p = token; *p != '\0'; p++)
            if (*p < ' ' || *p >= 0x7f)
                return hfc_error_set(err, 0,
                                     "there is an end of line or another control character in "
                                     "AWS_CONTAINER_AUTHORIZATION_TOKEN");
        hfc_buf_str(headers, token);
    }
    hfc_buf_char(headers, '\n');
    return 0;
}

static void fetch(struct hfc_aws_creds *c)
{
    struct hfc_creds_request *r = &c->request;
    struct hfc_error err;

    hfc_creds_request_begin(c);
    r->method = "GET";
    r->answer = on_answer;
    hfc_buf_str(&r->url, c->url);
    hfc_buf_str(&r->headers, "Accept: application/json\n");
    if (add_authorization(c->config, &r->headers, &err) < 0)
        hfc_creds_failed(c, "%s", err.msg);
    else
        hfc_creds_request_send(c);
}

const struct hfc_creds_source hfc_creds_container = {
    .name = "container",
    .fetch = fetch,
    .policy = {.tries = 3, .base_ms = 100, .cap_ms = 2000, .deadline_ms = 10000},
    .connect_timeout = 1000,
    .total_timeout = 5000,
    .no_proxy = true,
};
