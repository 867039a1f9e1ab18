/* store_s3_fault.c: what the answers of S3 mean that are no success.
 *
 * Owns the table of S3's error codes, the corrections that need no wait (region, clock, keys), and
 * the words in which a refusal is told. Used by store_s3*.c only.
 */
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "store_s3_steps.h"

enum {
    SKEW_MAX = 300,      /* seconds; S3 itself takes 900 */
    CORRECTIONS_MAX = 3, /* of the clock and the region, a step */
};

struct rule {
    const char *code;
    int errnum;
    enum hfc_verdict verdict;
};

static const struct rule by_code[] = {
    {"NoSuchKey", ENOENT, HFC_FAILED},
    {"NoSuchUpload", ENOENT, HFC_FAILED},
    {"NoSuchVersion", ENOENT, HFC_FAILED},
    {"NoSuchBucket", ENOENT, HFC_FAILED},
    {"ConditionalRequestConflict", EAGAIN, HFC_RETRY},
    {"OperationAborted", EAGAIN, HFC_RETRY},
    {"SlowDown", EAGAIN, HFC_RETRY},
    {"InternalError", EAGAIN, HFC_RETRY},
    {"ServiceUnavailable", EAGAIN, HFC_RETRY},
    {"RequestTimeout", EAGAIN, HFC_RETRY},
    {"IncompleteBody", EBADMSG, HFC_RETRY},
    {"BadDigest", EBADMSG, HFC_RETRY},
    {"InvalidDigest", EBADMSG, HFC_RETRY},
    {"XAmzContentSHA256Mismatch", EBADMSG, HFC_RETRY},
    {"XAmzContentChecksumMismatch", EBADMSG, HFC_RETRY},
    {"ExpiredToken", EACCES, HFC_FAILED},
    {"InvalidToken", EACCES, HFC_FAILED},
    {"RequestTimeTooSkewed", EACCES, HFC_FAILED},
    {"AuthorizationHeaderMalformed", EACCES, HFC_FAILED},
    {"QuotaExceeded", ENOSPC, HFC_FAILED},
    {"XMinioStorageFull", ENOSPC, HFC_FAILED},
};

/* Codes that say that keys have run out; of a HEAD only the status is known. */
static const char *const expired[] = {"ExpiredToken", "ExpiredTokenException", "InvalidToken",
                                      "TokenRefreshRequired", "RequestExpired"};

/* Proxies and other servers have codes of their own, or none: then HTTP's status is what counts. */
static struct rule by_status(int status)
{
    if (hfc_status_is_transient(status))
        return (struct rule){.errnum = EAGAIN, .verdict = HFC_RETRY};
    switch (status) {
    case 304:
        return (struct rule){.errnum = EALREADY, .verdict = HFC_FAILED};
    case 401:
    case 403:
    case 407:
        return (struct rule){.errnum = EACCES, .verdict = HFC_FAILED};
    case 404:
        return (struct rule){.errnum = ENOENT, .verdict = HFC_FAILED};
    case 412:
        return (struct rule){.errnum = ESTALE, .verdict = HFC_FAILED};
    case 507:
        return (struct rule){.errnum = ENOSPC, .verdict = HFC_FAILED};
    default:
        break;
    }
    if (status > 500 && status != 501)
        return (struct rule){.errnum = EAGAIN, .verdict = HFC_FAILED};
    return (struct rule){.errnum = EINVAL, .verdict = HFC_FAILED};
}

/* The code first: a RequestTimeout comes with a 400, a full disk with many things. */
static struct rule find_rule(const struct hfc_s3_fault *f)
{
    for (size_t i = 0; i < HFC_ARRAY_LEN(by_code); i++) {
        if (strcmp(f->code, by_code[i].code) == 0)
            return by_code[i];
    }
    return by_status(f->status);
}

/* Where there is no document, as in the answer to a HEAD. */
static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {
        {301, "moved permanently"}, {304, "not modified"},        {307, "redirected"},
        {400, "bad request"},       {401, "not authorized"},      {403, "forbidden"},
        {404, "not found"},         {412, "precondition failed"}, {416, "range not satisfiable"},
        {429, "too many requests"}, {500, "internal error"},      {502, "bad gateway"},
        {503, "unavailable"},       {504, "gateway timeout"},
    };

    for (size_t i = 0; i < HFC_ARRAY_LEN(known); i++) {
        if (known[i].status == status)
            return known[i].text;
    }
    return "unexpected status";
}

/* Cut to fit: all of it is for people or for comparison with short words. */
static void take_text(char *to, size_t size, const struct hfc_s3_xml *x, enum hfc_s3_field field)
{
    (void)snprintf(to, size, "%s", hfc_s3_xml_text(x, field));
}

static void take_document(struct hfc_s3_fault *f, const struct hfc_s3_xml *x)
{
    take_text(f->code, sizeof(f->code), x, HFC_S3_CODE);
    take_text(f->message, sizeof(f->message), x, HFC_S3_MESSAGE);
    take_text(f->region, sizeof(f->region), x, HFC_S3_BUCKET_REGION);
    take_text(f->endpoint, sizeof(f->endpoint), x, HFC_S3_ENDPOINT);
    take_text(f->request_id, sizeof(f->request_id), x, HFC_S3_REQUEST_ID);
}

/* A body that is no <Error> (a proxy's page) says nothing. */
static void read_fault(const struct hfc_response *r, struct hfc_s3_fault *f)
{
    const struct hfc_buf *body = hfc_response_body(r);
    const char *id = hfc_response_header(r, "x-amz-request-id");
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_xml_new(HFC_S3_ERROR, NULL, NULL);

    *f = (struct hfc_s3_fault){.status = hfc_response_status(r)};
    if (body != NULL && body->len > 0 && hfc_s3_xml_feed(x, body->data, body->len, NULL) == 0 &&
        hfc_s3_xml_finish(x, NULL) == 0)
        take_document(f, x);
    if (f->request_id[0] == '\0' && id != NULL)
        (void)snprintf(f->request_id, sizeof(f->request_id), "%s", id);
}

/* True: our clock was the trouble, or may have been, and is now corrected by the server's. */
static bool learn_clock(struct hfc_s3_op *op, const struct hfc_response *r,
                        const struct hfc_s3_fault *f)
{
    const char *date = hfc_response_header(r, "date");
    time_t theirs = date != NULL ? curl_getdate(date, NULL) : -1;

    if (theirs <= 0 || op->corrections >= CORRECTIONS_MAX)
        return false;
    int64_t offset = theirs - time(NULL);
    int64_t change = llabs((long long)(offset - op->clock_offset));
    bool told = strcmp(f->code, "RequestTimeTooSkewed") == 0;
    if (!(f->status == 403 && change > SKEW_MAX) && !(told && change > 1))
        return false;
    op->corrections++;
    hfc_store_say(&hfc_s3_of(op)->base, "the server's clock is %lld s ahead of this machine's",
                  (long long)offset);
    hfc_s3_of(op)->clock_offset = offset;
    return true;
}

/* True: the keys are given back once; the step begins anew with fresh ones. Keys that can't be
 * renewed go on being used: the refusal may concern this one request. */
static bool keys_are_expired(struct hfc_s3_op *op, const struct hfc_s3_fault *f)
{
    bool told = false;
    bool silent = f->status == 400 && f->code[0] == '\0' && strcmp(op->step->method, "HEAD") == 0;

    for (size_t i = 0; i < HFC_ARRAY_LEN(expired); i++)
        told = told || strcmp(f->code, expired[i]) == 0;
    if ((!told && !silent) || op->refreshed ||
        !hfc_aws_creds_refused(hfc_s3_of(op)->creds, op->generation, told))
        return false;
    op->refreshed = op->restart = true;
    return true;
}

/* Who reads it wants to know which object, what S3 calls the trouble, and with EACCES whose keys
 * were refused. The request's id is what AWS's support asks for. */
static void tell(struct hfc_s3_op *op, const struct hfc_s3_fault *f, const struct rule *rule,
                 struct hfc_error *err)
{
    const char *code = f->code[0] != '\0' ? f->code : phrase(f->status);
    char more[200] = "";
    char id[100] = "";

    if (rule->errnum == EACCES)
        (void)snprintf(more, sizeof(more), "; credentials: %s",
                       hfc_aws_creds_source(hfc_s3_of(op)->creds));
    if (strcmp(f->code, "NoSuchBucket") == 0)
        (void)snprintf(more, sizeof(more), "; the bucket doesn't exist");
    if (f->request_id[0] != '\0')
        (void)snprintf(id, sizeof(id), " (request %s)", f->request_id);
    (void)hfc_s3_fail(op, err, rule->errnum, "%d %s%s%s%s%s", f->status, code,
                      f->message[0] != '\0' ? ": " : "", f->message, id, more);
    (void)snprintf(op->reason, sizeof(op->reason), "%d %s", f->status, code);
}

/* Corrections come before rules: what they put right is not the caller's business. A step's own
 * rule comes last but one, so that it sees only what is really refused. */
static enum hfc_verdict judge_fault(struct hfc_s3_op *op, const struct hfc_response *r,
                                    const struct hfc_s3_fault *f, struct hfc_error *err)
{
    struct rule rule = find_rule(f);
    enum hfc_verdict verdict;

    tell(op, f, &rule, err);
    if (hfc_s3_learn_region(op, r, f) || learn_clock(op, r, f))
        return HFC_AT_ONCE;
    if (keys_are_expired(op, f))
        return HFC_FAILED;
    if (f->status >= 500 || strcmp(f->code, "InternalError") == 0)
        op->ambiguous = true;
    if (f->status == 503 || f->status == 429 || strcmp(f->code, "SlowDown") == 0)
        op->op.store->stats.throttled++;
    if (op->step->refused != NULL && op->step->refused(op, f, &verdict, err))
        return verdict;
    return rule.verdict;
}

/* For answers whose status is no 2xx. */
enum hfc_verdict hfc_s3_judge(struct hfc_s3_op *op, const struct hfc_response *r,
                              struct hfc_error *err)
{
    struct hfc_s3_fault fault;

    read_fault(r, &fault);
    return judge_fault(op, r, &fault, err);
}

enum hfc_verdict hfc_s3_judge_document(struct hfc_s3_op *op, const struct hfc_response *r,
                                       const struct hfc_s3_xml *x, struct hfc_error *err)
{
    struct hfc_s3_fault fault = {.status = hfc_response_status(r)};

    assert(hfc_s3_xml_is_error(x));
    take_document(&fault, x);
    return judge_fault(op, r, &fault, err);
}

/* An answer that was cut or garbled may belong to work that was done. */
struct hfc_s3_xml *hfc_s3_document(struct hfc_s3_op *op, const struct hfc_response *r,
                                   enum hfc_s3_doc doc, enum hfc_verdict *verdict,
                                   struct hfc_error *err)
{
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_xml_new(doc, NULL, NULL);
    const struct hfc_buf *body = hfc_response_body(r);
    struct hfc_error why;

    if (hfc_s3_xml_feed(x, body->data, body->len, &why) < 0 || hfc_s3_xml_finish(x, &why) < 0) {
        op->ambiguous = true;
        (void)hfc_s3_fail(op, err, EBADMSG, "the answer can't be read: %s", why.msg);
        *verdict = HFC_RETRY;
        return NULL;
    }
    if (hfc_s3_xml_is_error(x)) {
        *verdict = hfc_s3_judge_document(op, r, x, err);
        return NULL;
    }
    return hfc_steal_ptr(&x);
}
