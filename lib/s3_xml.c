/* s3_xml.c: S3's XML by expat; see s3_xml.h.
 *
 * All documents have the same simple form: fields below the root, and items below the root with
 * fields of their own. So one reader does: it keeps the text of known elements by name and depth.
 */
#include "s3_xml.h"

#include <assert.h>
#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "cleanup.h"

enum { DEPTH_MAX = 16, ROOT = 1, FIELD = 2, ITEM_FIELD = 3 };

struct hfc_s3_xml {
    XML_Parser parser;
    enum hfc_s3_doc doc;
    hfc_s3_item *on_item;
    void *ctx;
    size_t fed; /* bytes, without white space in front */
    unsigned depth;
    bool is_error;
    bool in_item;
    enum hfc_s3_field field; /* being read; HFC_S3_FIELDS: none */
    struct hfc_buf doc_fields[HFC_S3_FIELDS], item_fields[HFC_S3_FIELDS];
    int errnum; /* set with `problem` when a handler stops the parser */
    char problem[160];
};

static const char *const roots[] = {
    [HFC_S3_ERROR] = "Error",
    [HFC_S3_LIST] = "ListBucketResult",
    [HFC_S3_PARTS] = "ListPartsResult",
    [HFC_S3_UPLOADS] = "ListMultipartUploadsResult",
    [HFC_S3_CREATED] = "InitiateMultipartUploadResult",
    [HFC_S3_COMPLETED] = "CompleteMultipartUploadResult",
    [HFC_S3_COPIED] = "CopyObjectResult",
    [HFC_S3_PART_COPIED] = "CopyPartResult",
};

static const char *const items[HFC_ARRAY_LEN(roots)] = {
    [HFC_S3_LIST] = "Contents",
    [HFC_S3_PARTS] = "Part",
    [HFC_S3_UPLOADS] = "Upload",
};

static const char *const fields[HFC_S3_FIELDS] = {
    [HFC_S3_BUCKET_REGION] = "Region",
    [HFC_S3_ENDPOINT] = "Endpoint",
    [HFC_S3_CODE] = "Code",
    [HFC_S3_MESSAGE] = "Message",
    [HFC_S3_REQUEST_ID] = "RequestId",
    [HFC_S3_ETAG] = "ETag",
    [HFC_S3_CHECKSUM] = "ChecksumSHA256",
    [HFC_S3_CHECKSUM_TYPE] = "ChecksumType",
    [HFC_S3_KEY] = "Key",
    [HFC_S3_SIZE] = "Size",
    [HFC_S3_MODIFIED] = "LastModified",
    [HFC_S3_NUMBER] = "PartNumber",
    [HFC_S3_UPLOAD_ID] = "UploadId",
    [HFC_S3_INITIATED] = "Initiated",
    [HFC_S3_TRUNCATED] = "IsTruncated",
    [HFC_S3_ENCODING] = "EncodingType",
    [HFC_S3_NEXT_TOKEN] = "NextContinuationToken",
    [HFC_S3_NEXT_NUMBER] = "NextPartNumberMarker",
    [HFC_S3_NEXT_KEY] = "NextKeyMarker",
    [HFC_S3_NEXT_UPLOAD_ID] = "NextUploadIdMarker",
};

/* The first problem counts: handlers may still be called once or twice after a stop. */
static void refuse(struct hfc_s3_xml *x, int errnum, const char *what, const char *name)
{
    if (x->errnum != 0)
        return;
    x->errnum = errnum;
    (void)snprintf(x->problem, sizeof(x->problem), "%s%.80s", what, name);
    (void)XML_StopParser(x->parser, XML_FALSE);
}

/* Names are compared without their prefix. */
static const char *local(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon != NULL ? colon + 1 : name;
}

static void forget(struct hfc_buf *texts)
{
    for (int f = 0; f < HFC_S3_FIELDS; f++)
        hfc_buf_reset(&texts[f]);
}

/* The root decides: a proxy's page of HTML ends here, before it is taken for an empty list. */
static void start_root(struct hfc_s3_xml *x, const char *name)
{
    x->is_error = strcmp(name, roots[HFC_S3_ERROR]) == 0;
    if (!x->is_error && strcmp(name, roots[x->doc]) != 0)
        refuse(x, EBADMSG, "unexpected document: ", name);
}

/* Twenty names: a table is quick enough, and a field that comes twice counts once. */
static void start_field(struct hfc_s3_xml *x, const char *name)
{
    for (int f = 0; f < HFC_S3_FIELDS; f++) {
        if (strcmp(name, fields[f]) == 0) {
            x->field = (enum hfc_s3_field)f;
            hfc_buf_reset(x->in_item ? &x->item_fields[f] : &x->doc_fields[f]);
            return;
        }
    }
}

/* Fields count only at their depth: an <Owner> has an <ID>, and may have more. */
static void XMLCALL on_start(void *ctx, const XML_Char *qualified, const XML_Char **attributes)
{
    struct hfc_s3_xml *x = ctx;
    const char *name = local(qualified);

    (void)attributes;
    x->field = HFC_S3_FIELDS;
    if (++x->depth > DEPTH_MAX) {
        refuse(x, EBADMSG, "nested too deep", "");
    } else if (x->depth == ROOT) {
        start_root(x, name);
    } else if (x->depth == FIELD && !x->is_error && items[x->doc] != NULL &&
               strcmp(name, items[x->doc]) == 0) {
        x->in_item = true;
        forget(x->item_fields);
    } else if (x->depth == (x->in_item ? ITEM_FIELD : FIELD)) {
        start_field(x, name);
    }
}

/* The item's fields stay for the caller until the next item begins. */
static void XMLCALL on_end(void *ctx, const XML_Char *qualified)
{
    struct hfc_s3_xml *x = ctx;

    (void)qualified;
    assert(x->depth > 0);
    x->field = HFC_S3_FIELDS;
    if (x->depth == FIELD && x->in_item) {
        x->in_item = false;
        if (x->errnum == 0 && !x->on_item(x->ctx, x))
            refuse(x, ENOMEM, "the list is too long", "");
    }
    x->depth--;
}

/* A message is for people: what does not fit is cut. Anything else is a value. */
static void XMLCALL on_text(void *ctx, const XML_Char *text, int n)
{
    struct hfc_s3_xml *x = ctx;

    if (x->field == HFC_S3_FIELDS)
        return;
    struct hfc_buf *b = x->in_item ? &x->item_fields[x->field] : &x->doc_fields[x->field];
    hfc_buf_add(b, text, (size_t)n);
    if (hfc_buf_failed(b) && x->field != HFC_S3_MESSAGE)
        refuse(x, EBADMSG, "too long: ", fields[x->field]);
}

/* Entities are how a small document becomes a large one. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    refuse(ctx, EBADMSG, "a DOCTYPE is not taken", "");
}

struct hfc_s3_xml *hfc_s3_xml_new(enum hfc_s3_doc doc, hfc_s3_item *item, void *ctx)
{
    struct hfc_s3_xml *x = calloc(1, sizeof(*x));

    assert((size_t)doc < HFC_ARRAY_LEN(roots));
    assert(item != NULL || items[doc] == NULL);
    XML_Parser parser = x != NULL ? XML_ParserCreate(NULL) : NULL;
    if (parser == NULL)
        abort();
    *x = (struct hfc_s3_xml){
        .parser = parser, .doc = doc, .on_item = item, .ctx = ctx, .field = HFC_S3_FIELDS};
    for (int f = 0; f < HFC_S3_FIELDS; f++) {
        hfc_buf_init(&x->doc_fields[f], HFC_S3_TEXT_MAX);
        hfc_buf_init(&x->item_fields[f], HFC_S3_TEXT_MAX);
    }
    XML_SetUserData(parser, x);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    return x;
}

void hfc_s3_xml_free(struct hfc_s3_xml *x)
{
    if (x == NULL)
        return;
    XML_ParserFree(x->parser);
    for (int f = 0; f < HFC_S3_FIELDS; f++) {
        hfc_buf_free(&x->doc_fields[f]);
        hfc_buf_free(&x->item_fields[f]);
    }
    free(x);
}

/* Without the errno's text behind it: the message says it all. */
static int fail(const struct hfc_s3_xml *x, int errnum, const char *what, struct hfc_error *err)
{
    (void)hfc_error_set(err, 0, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(x->parser),
                        what);
    if (err != NULL)
        err->errnum = errnum;
    return -1;
}

/* A problem of our own has the better words; expat only knows that it was stopped. */
static int parse(struct hfc_s3_xml *x, const char *bytes, size_t n, bool last,
                 struct hfc_error *err)
{
    if (XML_Parse(x->parser, bytes, (int)n, last) == XML_STATUS_OK)
        return 0;
    if (x->errnum != 0)
        return fail(x, x->errnum, x->problem, err);
    enum XML_Error code = XML_GetErrorCode(x->parser);
    return fail(x, code == XML_ERROR_NO_MEMORY ? ENOMEM : EBADMSG, XML_ErrorString(code), err);
}

/* expat takes no white space before "<?xml", S3 sends it. */
int hfc_s3_xml_feed(struct hfc_s3_xml *x, const void *bytes, size_t n, struct hfc_error *err)
{
    const char *from = bytes;

    while (x->fed == 0 && n > 0 && strchr(" \t\r\n", *from) != NULL && *from != '\0') {
        from++;
        n--;
    }
    if (n > HFC_S3_PAGE_MAX - x->fed)
        return fail(x, EBADMSG, "the document is too long", err);
    x->fed += n;
    return n == 0 ? 0 : parse(x, from, n, false, err);
}

int hfc_s3_xml_finish(struct hfc_s3_xml *x, struct hfc_error *err)
{
    return parse(x, "", 0, true, err);
}

bool hfc_s3_xml_is_error(const struct hfc_s3_xml *x)
{
    return x->is_error;
}

const char *hfc_s3_xml_text(const struct hfc_s3_xml *x, enum hfc_s3_field field)
{
    assert(field < HFC_S3_FIELDS);
    return x->doc_fields[field].data;
}

const char *hfc_s3_xml_item(const struct hfc_s3_xml *x, enum hfc_s3_field field)
{
    assert(field < HFC_S3_FIELDS);
    return x->item_fields[field].data;
}

/* Exactly n digits. */
static bool digits(const char **text, int n, int *value)
{
    *value = 0;
    for (int i = 0; i < n; i++) {
        char c = *(*text)++;
        if (c < '0' || c > '9')
            return false;
        *value = *value * 10 + (c - '0');
    }
    return true;
}

static bool expect(const char **text, char c)
{
    return *(*text)++ == c;
}

/* Fractions of a second are passed over; S3 has no zone but Z. */
int64_t hfc_s3_time(const char *text)
{
    struct tm tm = {0};
    const char *at = text;

    if (!(digits(&at, 4, &tm.tm_year) && expect(&at, '-') && digits(&at, 2, &tm.tm_mon) &&
          expect(&at, '-') && digits(&at, 2, &tm.tm_mday) && expect(&at, 'T') &&
          digits(&at, 2, &tm.tm_hour) && expect(&at, ':') && digits(&at, 2, &tm.tm_min) &&
          expect(&at, ':') && digits(&at, 2, &tm.tm_sec)))
        return 0;
    if (*at == '.')
        at += 1 + strspn(at + 1, "0123456789");
    if (strcmp(at, "Z") != 0 || tm.tm_year < 1970)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return timegm(&tm);
}

bool hfc_s3_number(const char *text, uint64_t *value)
{
    uint64_t n = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (*text < '0' || *text > '9' || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *value = n;
    return true;
}
