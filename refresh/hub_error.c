/* hub_error.c: what a refusal of the Hub means, in words that say what to do.
 *
 * By status and the headers X-Error-Code and X-Error-Message; bodies differ too much. The messages
 * do not name the repository: who asked knows it.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "hub_internal.h"
#include "unicode.h"

int hub_fail(struct hfc_error *err, int errnum, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return -1;
    va_start(ap, fmt);
    (void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    err->errnum = errnum;
    return -1;
}

static int no_repository(bool token, struct hfc_error *err)
{
    if (token)
        return hub_fail(
            err, ENOENT,
            "no such repository on the Hub, or it is private and the token has no right "
            "to it");
    return hub_fail(err, ENOENT,
                    "no such repository on the Hub, or it is private: then set HF_TOKEN");
}

static int gated(bool token, struct hfc_error *err)
{
    if (token)
        return hub_fail(
            err, EACCES,
            "the repository is gated and the token's owner has no access: ask for it on "
            "the repository's page");
    return hub_fail(err, EACCES,
                    "the repository is gated: accept its terms on its page and set HF_TOKEN");
}

/* What X-Error-Code says, if it is a code that is known; 1: it is none. */
static int by_code(const char *code, bool token, struct hfc_error *err)
{
    if (strcmp(code, "RepoNotFound") == 0)
        return no_repository(token, err);
    if (strcmp(code, "GatedRepo") == 0)
        return gated(token, err);
    if (strcmp(code, "RevisionNotFound") == 0)
        return hub_fail(err, ENOENT, "the repository has no such revision");
    if (strcmp(code, "EntryNotFound") == 0)
        return hub_fail(err, ENOENT, "the commit has no such file");
    return 1;
}

static bool is_html(const struct hfc_response *r)
{
    const char *type = hfc_response_header(r, "content-type");

    return type != NULL && strncmp(type, "text/html", 9) == 0;
}

static int by_message(int status, const char *message, bool token, struct hfc_error *err)
{
    if (status == 401 && token && strstr(message, "Invalid credentials") != NULL)
        return hub_fail(err, EACCES,
                        "the Hub refuses the token: HF_TOKEN is wrong, or no longer valid");
    if (status == 401)
        return no_repository(token, err);
    if (status == 403 && strstr(message, "disabled") != NULL)
        return hub_fail(err, EPERM, "the Hub has disabled the repository");
    return 1;
}

/* Servers that are no Hub, and the rest. */
static int by_status(int status, const char *host, const char *message, struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf shown = HFC_BUF(HFC_ERROR_MAX);

    if (message[0] != '\0') {
        hfc_buf_str(&shown, ": ");
        unicode_show(&shown, message, strlen(message));
    }
    int errnum = status == 403 ? EACCES : status == 404 || status == 410 ? ENOENT : EPROTO;
    return hub_fail(err, errnum, "%s answers with status %d%s", host, status, shown.data);
}

int hub_refused(const struct request *q, const struct hfc_response *r, struct hfc_error *err)
{
    const char *code = hfc_response_header(r, "x-error-code");
    const char *message = hfc_response_header(r, "x-error-message");
    int status = hfc_response_status(r);
    bool token = q->hub->token != NULL;
    char host[256];

    request_host(q, host, sizeof(host));
    if (message == NULL)
        message = "";
    if (!q->home)
        return by_status(status, host, "", err);
    int rc = code != NULL ? by_code(code, token, err) : 1;
    if (rc == 1 && code == NULL && message[0] == '\0' && is_html(r))
        return hub_fail(err, EPROTO, "%s answers with status %d and HTML: is it the Hub?", host,
                        status);
    if (rc == 1)
        rc = by_message(status, message, token, err);
    if (rc == 1)
        rc = by_status(status, host, message, err);
    assert(rc == -1);
    return rc;
}
