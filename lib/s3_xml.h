/* s3_xml.h: the XML documents of S3's answers, read as they arrive.
 *
 * A document is one of the kinds below, or an <Error>. Namespaces and unknown elements are passed
 * over; a DOCTYPE is refused, so there are no entities but XML's own five. White space in front of
 * the document is fine: S3 sends it to keep a connection alive while it works.
 *
 * Threads: a reader belongs to one thread at a time.
 */
#ifndef HFC_S3_XML_H
#define HFC_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum hfc_s3_doc {
    HFC_S3_ERROR, /* nothing but an <Error> */
    HFC_S3_LIST,
    HFC_S3_PARTS,
    HFC_S3_UPLOADS,
    HFC_S3_CREATED,
    HFC_S3_COMPLETED,
    HFC_S3_COPIED,
    HFC_S3_PART_COPIED,
};

enum hfc_s3_field {
    HFC_S3_BUCKET_REGION, /* <Region>, <Endpoint>, <Code> ... of an <Error> */
    HFC_S3_ENDPOINT,
    HFC_S3_CODE,
    HFC_S3_MESSAGE,
    HFC_S3_REQUEST_ID,
    HFC_S3_ETAG,
    HFC_S3_CHECKSUM, /* <ChecksumSHA256> */
    HFC_S3_CHECKSUM_TYPE,
    HFC_S3_KEY,
    HFC_S3_SIZE,
    HFC_S3_MODIFIED,
    HFC_S3_NUMBER, /* <PartNumber> */
    HFC_S3_UPLOAD_ID,
    HFC_S3_INITIATED,
    HFC_S3_TRUNCATED,
    HFC_S3_ENCODING,
    HFC_S3_NEXT_TOKEN,
    HFC_S3_NEXT_NUMBER,
    HFC_S3_NEXT_KEY,
    HFC_S3_NEXT_UPLOAD_ID,
    HFC_S3_FIELDS,
};

enum {
    HFC_S3_TEXT_MAX = 4096,             /* a field; longer is an error (a message is cut) */
    HFC_S3_PAGE_MAX = 16 * 1024 * 1024, /* a document */
};

struct hfc_s3_xml;

/* Called at the end of each <Contents>, <Part> or <Upload>. False: stop, hfc_s3_xml_feed() fails
 * with ENOMEM. */
typedef bool hfc_s3_item(void *ctx, const struct hfc_s3_xml *x);

/* Ends the process if memory is out: some KiB are needed. */
struct hfc_s3_xml *hfc_s3_xml_new(enum hfc_s3_doc doc, hfc_s3_item *item, void *ctx);
void hfc_s3_xml_free(struct hfc_s3_xml *x);

/* Takes the next bytes, in any pieces; finish() checks that the document was whole. Errors say
 * "line N: what is wrong" (errnum EBADMSG). After an error only free() is allowed. */
int hfc_s3_xml_feed(struct hfc_s3_xml *x, const void *bytes, size_t n, struct hfc_error *err);
int hfc_s3_xml_finish(struct hfc_s3_xml *x, struct hfc_error *err);

/* The document turned out to be an <Error>. */
bool hfc_s3_xml_is_error(const struct hfc_s3_xml *x);

/* Text of a field of the document, or of the item that has just ended; "" if it was not there.
 * Valid until the next call. */
const char *hfc_s3_xml_text(const struct hfc_s3_xml *x, enum hfc_s3_field field);
const char *hfc_s3_xml_item(const struct hfc_s3_xml *x, enum hfc_s3_field field);

/* "2006-02-03T16:45:09.000Z" as seconds since 1970; 0: unreadable. */
int64_t hfc_s3_time(const char *text);

/* A decimal number and nothing else. */
bool hfc_s3_number(const char *text, uint64_t *value);

#define hfc_autos3xml __attribute__((cleanup(hfc_cleanup_s3_xml)))

static inline void hfc_cleanup_s3_xml(struct hfc_s3_xml **x)
{
    hfc_s3_xml_free(*x);
}

#endif
