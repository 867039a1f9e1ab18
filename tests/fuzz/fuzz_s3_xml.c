/* fuzz_s3_xml.c: any bytes are read or refused with a message, whole or in pieces alike; what is
 * read stays within its caps. The first byte chooses the kind of document.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "s3_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool note(void *ctx, const struct hfc_s3_xml *x)
{
    struct hfc_buf *out = ctx;
    uint64_t number;

    for (int f = 0; f < HFC_S3_FIELDS; f++) {
        const char *text = hfc_s3_xml_item(x, (enum hfc_s3_field)f);
        assert(strlen(text) <= HFC_S3_TEXT_MAX);
        (void)hfc_s3_time(text);
        (void)hfc_s3_number(text, &number);
        hfc_buf_str(out, text);
        hfc_buf_char(out, '|');
    }
    return !hfc_buf_failed(out);
}

/* All that is to be seen of the document, or why it is none. */
static void read_by(enum hfc_s3_doc doc, const uint8_t *data, size_t size, size_t step,
                    struct hfc_buf *out)
{
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_xml_new(doc, note, out);
    struct hfc_error err = {0};
    int rc = 0;

    for (size_t at = 0; rc == 0 && at < size; at += step)
        rc = hfc_s3_xml_feed(x, data + at, size - at < step ? size - at : step, &err);
    if (rc < 0 || hfc_s3_xml_finish(x, &err) < 0) {
        assert(err.errnum != 0 && strncmp(err.msg, "line ", 5) == 0);
        hfc_buf_reset(out);
        return;
    }
    hfc_buf_char(out, hfc_s3_xml_is_error(x) ? '!' : '.');
    for (int f = 0; f < HFC_S3_FIELDS; f++)
        hfc_buf_str(out, hfc_s3_xml_text(x, (enum hfc_s3_field)f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hfc_autobuf struct hfc_buf whole = HFC_BUF(1 << 20), pieces = HFC_BUF(1 << 20);

    if (size == 0)
        return 0;
    enum hfc_s3_doc doc = (enum hfc_s3_doc)(data[0] % (HFC_S3_PART_COPIED + 1));
    read_by(doc, data + 1, size - 1, size, &whole);
    read_by(doc, data + 1, size - 1, 7, &pieces);
    assert(whole.len == pieces.len && memcmp(whole.data, pieces.data, whole.len) == 0);
    return 0;
}
