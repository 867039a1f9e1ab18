/* aws_creds_sts.c: keys of a role for a web identity token, from STS (IRSA); see
 * aws_creds_internal.h. The token itself is the proof: the request is not signed.
 *
 * Of the XML only elements with texts are read, by their names: they occur once each. A DOCTYPE is
 * refused, so no entity can be declared.
 */
#include <expat.h>
#include <string.h>

#include "aws_creds_internal.h"
#include "cleanup.h"
#include "secret.h"
#include "uri.h"

enum { DEPTH_MAX = 16 };

/* What an answer may hold. Keys are written straight into secret memory. */
struct answer {
    XML_Parser parser;
    struct hfc_creds_set *set;
    char expiration[64];
    char code[128];
    char message[1024];
    unsigned depth;
    bool doctype, too_long;
    /* Where the text of the element goes that is open. */
    char *to;
    size_t size, used;
};

static void open_field(struct answer *a, char *to, size_t size)
{
    a->to = to;
    a->size = size;
    a->used = 0;
    to[0] = '\0';
}

static void on_start(void *ctx, const char *name, const char **attributes)
{
    struct answer *a = ctx;
    const struct {
        const char *name;
        char *to;
        size_t size;
    } fields[] = {
        {"AccessKeyId", a->set->access_key, sizeof(a->set->access_key)},
        {"SecretAccessKey", a->set->secret_key, sizeof(a->set->secret_key)},
        {"SessionToken", a->set->session_token, sizeof(a->set->session_token)},
        {"Expiration", a->expiration, sizeof(a->expiration)},
        {"Code", a->code, sizeof(a->code)},
        {"Message", a->message, sizeof(a->message)},
    };

    (void)attributes;
    a->to = NULL;
    a->too_long |= ++a->depth > DEPTH_MAX;
    for (size_t i = 0; i < HFC_ARRAY_LEN(fields); i++)
        if (strcmp(name, fields[i].name) == 0)
            open_field(a, fields[i].to, fields[i].size);
}

static void on_end(void *ctx, const char *name)
{
    struct answer *a = ctx;

    (void)name;
    a->to = NULL;
    a->depth--;
}

static void on_text(void *ctx, const char *text, int n)
{
    struct answer *a = ctx;

    if (a->to == NULL)
        return;
    if ((size_t)n >= a->size - a->used) {
        a->too_long = true;
        return;
    }
    memcpy(a->to + a->used, text, (size_t)n);
    a->used += (size_t)n;
    a->to[a->used] = '\0';
}

static void on_doctype(void *ctx, const char *name, const char *system, const char *public_id,
                       int internal)
{
    struct answer *a = ctx;

    (void)name, (void)system, (void)public_id, (void)internal;
    a->doctype = true;
    (void)XML_StopParser(a->parser, XML_FALSE);
}

static int parse(struct answer *a, const struct hfc_buf *body, struct hfc_error *err)
{
    XML_Parser parser = XML_ParserCreate(NULL);

    if (parser == NULL)
        return hfc_error_set(err, 0, "out of memory");
    a->parser = parser;
    XML_SetUserData(parser, a);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    enum XML_Status status = XML_Parse(parser, body->data, (int)body->len, XML_TRUE);
    unsigned long line = XML_GetCurrentLineNumber(parser);
    XML_ParserFree(parser);
    if (a->doctype)
        return hfc_error_set(err, 0, "its answer has a DOCTYPE");
    if (status != XML_STATUS_OK)
        return hfc_error_set(err, 0, "line %lu of its answer is no XML", line);
    if (a->too_long)
        return hfc_error_set(err, 0, "a text in its answer is too long");
    return 0;
}

static int check_keys(struct answer *a, struct hfc_error *err)
{
    if (a->set->access_key[0] == '\0' || a->set->secret_key[0] == '\0' ||
        a->set->session_token[0] == '\0')
        return hfc_error_set(err, 0, "its answer has no keys");
    a->set->expires = hfc_creds_time(a->expiration);
    if (a->set->expires <= 0)
        return hfc_error_set(err, 0, "the Expiration in its answer is no time");
    return 0;
}

/* "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity" */
static int refusal(const struct answer *a, int status, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(2L * CREDS_SHOWN_MAX + 3);

    hfc_creds_show(&text, a->code, strlen(a->code));
    if (a->code[0] != '\0' && a->message[0] != '\0')
        hfc_buf_str(&text, ": ");
    hfc_creds_show(&text, a->message, strlen(a->message));
    if (text.len == 0)
        return hfc_error_set(err, 0, "STS answered with status %d", status);
    return hfc_error_set(err, 0, "STS refused: %s", text.data);
}

static int read_answer(struct hfc_creds_set *set, int status, const struct hfc_buf *body,
                       struct hfc_error *err)
{
    struct answer a = {.set = set};

    if (parse(&a, body, err) < 0) {
        /* A proxy's page, most likely. */
        return status == 200 ? -1 : hfc_error_set(err, 0, "STS answered with status %d", status);
    }
    return status == 200 ? check_keys(&a, err) : refusal(&a, status, err);
}

static void on_answer(struct hfc_aws_creds *c, int status, const struct hfc_buf *body)
{
    struct hfc_error err;

    int rc = hfc_creds_new_set(c) ? read_answer(c->next, status, body, &err)
                                  : hfc_error_set(&err, 0, "out of memory");
    explicit_bzero(body->data, body->len);
    if (rc < 0)
        hfc_creds_failed(c, "%s", err.msg);
    else
        hfc_creds_got(c);
}

/* STS says so with status 400; the identity provider is asked by STS and may be slow. */
static bool is_passing(int status, const struct hfc_buf *body)
{
    static const char *const codes[] = {"<Code>Throttling", "<Code>IDPCommunicationError",
                                        "<Code>RequestLimitExceeded"};

    for (size_t i = 0; status >= 400 && i < HFC_ARRAY_LEN(codes); i++)
        if (strstr(body->data, codes[i]) != NULL)
            return true;
    return false;
}

static void add_parameter(struct hfc_buf *body, const char *name, const char *value)
{
    hfc_buf_printf(body, "&%s=", name);
    hfc_uri_encode(body, value, strlen(value), "");
}

/* The token is renewed in its file while we run, so it is read each time. */
static void fetch(struct hfc_aws_creds *c)
{
    struct hfc_creds_request *r = &c->request;
    hfc_autosecretbuf struct hfc_buf token = HFC_BUF(CREDS_TOKEN_MAX);
    struct hfc_error err;

    hfc_secret_buf_reserve(&token);
    if (hfc_creds_read_token(c->token_file, &token, &err) < 0) {
        hfc_creds_failed(c, "%s", err.msg);
        return;
    }
    hfc_creds_request_begin(c);
    r->method = "POST";
    r->answer = on_answer;
    r->passing = is_passing;
    hfc_buf_printf(&r->url, "%s/", c->url);
    hfc_buf_str(&r->headers, "Content-Type: application/x-www-form-urlencoded\n");
    hfc_buf_str(&r->body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
    add_parameter(&r->body, "RoleArn", c->role_arn);
    add_parameter(&r->body, "RoleSessionName", c->session_name);
    add_parameter(&r->body, "WebIdentityToken", token.data);
    hfc_creds_request_send(c);
}

const struct hfc_creds_source hfc_creds_sts = {
    .name = "web identity",
    .fetch = fetch,
    .policy = {.tries = 4, .base_ms = 200, .cap_ms = 5000, .deadline_ms = 60000},
    .connect_timeout = 5000,
    .total_timeout = 30000,
};
