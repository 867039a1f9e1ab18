/* aws_creds_request.c: what the sources of credentials share: an HTTP request with its tries,
 * tokens in files, keys in JSON; see aws_creds_internal.h.
 *
 * No text that a server or a file gave goes into a message, but for what a refusal says.
 */
#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aws_creds_internal.h"
#include "file.h"
#include "secret.h"

enum { SHOWN_WORD_MAX = 100 };

static int build(void *ctx, struct hfc_http_request *request, struct hfc_buf *scratch,
                 struct hfc_error *err);
static enum hfc_verdict judge(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                              const struct hfc_error *http_err, int64_t *wait_ms,
                              struct hfc_error *err);
static void done(void *ctx, const struct hfc_response *r, const struct hfc_error *err);

static const struct hfc_call_ops ops = {.build = build, .judge = judge, .done = done};

void hfc_creds_request_begin(struct hfc_aws_creds *c)
{
    struct hfc_creds_request *r = &c->request;

    hfc_buf_free(&r->url);
    hfc_secret_buf_free(&r->headers);
    hfc_secret_buf_free(&r->body);
    hfc_secret_buf_reserve(&r->headers);
    hfc_secret_buf_reserve(&r->body);
    r->passing = NULL;
}

void hfc_creds_request_send(struct hfc_aws_creds *c)
{
    const struct hfc_creds_request *r = &c->request;

    assert(c->call == NULL && c->fetching);
    if (hfc_buf_failed(&r->url) || hfc_buf_failed(&r->headers) || hfc_buf_failed(&r->body))
        hfc_creds_failed(c, "the request gets too long");
    else
        c->call = hfc_call_start(c->http, &c->source->policy, NULL, &ops, c);
}

static ssize_t read_body(void *ctx, uint64_t offset, void *to, size_t n)
{
    const struct hfc_buf *body = &((const struct hfc_aws_creds *)ctx)->request.body;
    size_t left = body->len - (size_t)offset;

    if (n > left)
        n = left;
    memcpy(to, body->data + offset, n);
    return (ssize_t)n;
}

static int build(void *ctx, struct hfc_http_request *request, struct hfc_buf *scratch,
                 struct hfc_error *err)
{
    struct hfc_aws_creds *c = ctx;

    (void)scratch, (void)err;
    request->method = c->request.method;
    request->url = c->request.url.data;
    request->headers = c->request.headers.data;
    request->total_timeout = c->source->total_timeout;
    if (c->request.body.len > 0) {
        request->read = read_body;
        request->body_size = c->request.body.len;
    }
    return 0;
}

static enum hfc_verdict judge(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                              const struct hfc_error *http_err, int64_t *wait_ms,
                              struct hfc_error *err)
{
    const struct hfc_aws_creds *c = ctx;

    if (end == HTTP_OK) {
        int status = hfc_response_status(r);
        bool again =
            hfc_status_is_transient(status) ||
            (c->request.passing != NULL && c->request.passing(status, hfc_response_body(r)));
        if (!again)
            return HFC_SUCCEEDED;
        *wait_ms = hfc_retry_after_ms(hfc_response_header(r, "retry-after"), (int64_t)time(NULL));
        (void)hfc_error_set(err, 0, "it answered with status %d", status);
        return HFC_RETRY;
    }
    (void)hfc_error_set(err, 0, "no answer from %s", http_err->msg);
    return end == HTTP_TLS ? HFC_FAILED : HFC_RETRY;
}

/* The service's clock less ours; 0 if it doesn't tell. */
static int64_t read_offset_of_clock(const struct hfc_response *r)
{
    const char *date = hfc_response_header(r, "date");
    time_t theirs = date != NULL ? curl_getdate(date, NULL) : -1;

    return theirs > 0 ? (int64_t)theirs - (int64_t)time(NULL) : 0;
}

static void done(void *ctx, const struct hfc_response *r, const struct hfc_error *err)
{
    struct hfc_aws_creds *c = ctx;

    c->call = NULL;
    c->clock_offset = err == NULL ? read_offset_of_clock(r) : 0;
    if (err != NULL)
        hfc_creds_failed(c, "%s", err->msg);
    else
        c->request.answer(c, hfc_response_status(r), hfc_response_body(r));
}

bool hfc_creds_is_plain(const char *text)
{
    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text >= 0x7f)
            return false;
    return true;
}

int hfc_creds_read_token(const char *path, struct hfc_buf *out, struct hfc_error *err)
{
    hfc_autosecretbuf struct hfc_buf text = HFC_BUF(CREDS_TOKEN_MAX);

    hfc_secret_buf_reserve(&text);
    if (hfc_file_read(AT_FDCWD, path, &text, err) < 0)
        return -1;
    while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    if (text.len == 0)
        return hfc_error_set(err, 0, "%s: it is empty", path);
    if (strlen(text.data) != text.len || !hfc_creds_is_plain(text.data))
        return hfc_error_set(err, 0, "%s: there is a blank or control character in the token",
                             path);
    hfc_buf_add(out, text.data, text.len);
    return 0;
}

void hfc_creds_copy(char *to, size_t size, const char *text, size_t n)
{
    if (n >= size || memchr(text, '\0', n) != NULL)
        n = 0;
    memcpy(to, text, n);
    to[n] = '\0';
}

void hfc_creds_show(struct hfc_buf *out, const char *text, size_t n)
{
    size_t shown = 0;

    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    for (size_t i = 0; i < n && shown < CREDS_SHOWN_MAX; i++, shown++) {
        size_t word = 0;
        while (i + word < n && text[i + word] > ' ')
            word++;
        if (word > SHOWN_WORD_MAX) {
            hfc_buf_char(out, '*');
            i += word - 1;
        } else {
            hfc_buf_char(out, text[i] >= ' ' && text[i] < 0x7f  ? text[i]
                              : isspace((unsigned char)text[i]) ? ' '
                                                                : '?');
        }
    }
}

/* "+01:30" in seconds; false: it is none. */
static bool read_offset(const char *text, int64_t *seconds)
{
    static const char form[] = "+00:00";

    if (strlen(text) != strlen(form) || strchr("+-", text[0]) == NULL || text[3] != ':')
        return false;
    for (size_t i = 1; i < strlen(form); i++)
        if (form[i] == '0' && !isdigit((unsigned char)text[i]))
            return false;
    int64_t hours = (text[1] - '0') * 10 + (text[2] - '0');
    int64_t minutes = (text[4] - '0') * 10 + (text[5] - '0');
    *seconds = (hours * 60 + minutes) * (text[0] == '+' ? 60 : -60);
    return true;
}

int64_t hfc_creds_time(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t offset = 0;

    if (rest == NULL)
        return -1;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (strcmp(rest, "Z") != 0 && !read_offset(rest, &offset))
        return -1;
    return (int64_t)timegm(&tm) - offset;
}

/* jansson's copies are in ordinary memory, and go back to it. */
static void wipe(json_t *value)
{
    if (json_is_string(value))
        explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
}

/* False: there is none, or no text. */
static bool take_text(json_t *object, const char *name, char *to, size_t size)
{
    json_t *value = json_object_get(object, name);

    if (!json_is_string(value))
        return false;
    hfc_creds_copy(to, size, json_string_value(value), json_string_length(value));
    wipe(value);
    return true;
}

static int take_expiration(json_t *object, bool needed, int64_t *expires, struct hfc_error *err)
{
    char text[64];

    *expires = 0;
    if (!take_text(object, "Expiration", text, sizeof(text)))
        return needed ? hfc_error_set(err, 0, "its answer has no Expiration") : 0;
    *expires = hfc_creds_time(text);
    return *expires > 0 ? 0 : hfc_error_set(err, 0, "the Expiration in its answer is no time");
}

static int take_keys(json_t *object, struct hfc_creds_set *set, bool code_needed,
                     struct hfc_error *err)
{
    char code[64] = "";

    if (code_needed && take_text(object, "Code", code, sizeof(code)) &&
        strcmp(code, "Success") != 0)
        return hfc_error_set(err, 0, "its answer's Code is %s",
                             hfc_creds_is_plain(code) ? code : "unreadable");
    if (code_needed && code[0] == '\0')
        return hfc_error_set(err, 0, "its answer has no Code");
    if (!take_text(object, "AccessKeyId", set->access_key, sizeof(set->access_key)))
        return hfc_error_set(err, 0, "its answer has no AccessKeyId");
    if (!take_text(object, "SecretAccessKey", set->secret_key, sizeof(set->secret_key)))
        return hfc_error_set(err, 0, "its answer has no SecretAccessKey");
    if (!take_text(object, "Token", set->session_token, sizeof(set->session_token)) ||
        set->session_token[0] == '\0')
        return hfc_error_set(err, 0, "its answer has no Token");
    return take_expiration(object, code_needed, &set->expires, err);
}

bool hfc_creds_new_set(struct hfc_aws_creds *c)
{
    hfc_secret_free(c->next);
    c->next = hfc_secret_new(sizeof(*c->next));
    return c->next != NULL;
}

int hfc_creds_read_json(struct hfc_aws_creds *c, const struct hfc_buf *body, bool code_needed,
                        struct hfc_error *err)
{
    json_error_t where;
    json_t *object = json_loadb(body->data, body->len, 0, &where);

    explicit_bzero(body->data, body->len);
    /* jansson's own message quotes what it stumbled over. */
    if (object == NULL)
        return hfc_error_set(err, 0, "line %d of its answer is no JSON", where.line);
    int rc = hfc_creds_new_set(c) ? take_keys(object, c->next, code_needed, err)
                                  : hfc_error_set(err, 0, "out of memory");
    wipe(json_object_get(object, "SecretAccessKey"));
    wipe(json_object_get(object, "Token"));
    json_decref(object);
    return rc;
}
