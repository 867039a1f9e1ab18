/* test_s3_xml.c: S3's XML documents (lib/s3_xml.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "s3_xml.h"

#define NS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static struct hfc_error err;
static struct hfc_buf seen; /* "key|etag|size;" of each item */
static bool full;

static bool see(void *ctx, const struct hfc_s3_xml *x)
{
    (void)ctx;
    hfc_buf_printf(&seen, "%s%s|%s|%s|%s;", hfc_s3_xml_item(x, HFC_S3_KEY),
                   hfc_s3_xml_item(x, HFC_S3_NUMBER), hfc_s3_xml_item(x, HFC_S3_ETAG),
                   hfc_s3_xml_item(x, HFC_S3_SIZE), hfc_s3_xml_item(x, HFC_S3_UPLOAD_ID));
    return !full;
}

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    full = false;
    hfc_buf_init(&seen, 65536);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hfc_buf_free(&seen);
    return 0;
}

/* Fed `step` bytes at a time. NULL: refused, `err` says why. */
static struct hfc_s3_xml *parse_by(enum hfc_s3_doc doc, const char *text, size_t step)
{
    struct hfc_s3_xml *x = hfc_s3_xml_new(doc, see, NULL);
    int rc = 0;

    for (size_t n = strlen(text), at = 0; rc == 0 && at < n; at += step)
        rc = hfc_s3_xml_feed(x, text + at, n - at < step ? n - at : step, &err);
    if (rc == 0 && hfc_s3_xml_finish(x, &err) == 0)
        return x;
    hfc_s3_xml_free(x);
    return NULL;
}

static struct hfc_s3_xml *parse(enum hfc_s3_doc doc, const char *text)
{
    return parse_by(doc, text, SIZE_MAX / 2);
}

static void refused(enum hfc_s3_doc doc, const char *text, const char *why)
{
    assert_null(parse(doc, text));
    assert_int_equal(err.errnum, EBADMSG);
    assert_non_null(strstr(err.msg, why));
}

static const char page[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult " NS ">"
    "<Name>b</Name><Prefix>p/</Prefix><EncodingType>url</EncodingType>"
    "<IsTruncated>true</IsTruncated><NextContinuationToken>to&amp;ken</NextContinuationToken>"
    "<Contents><Key>p/a&lt;b</Key><LastModified>2024-05-06T07:08:09.000Z</LastModified>"
    "<ETag>&quot;e1&quot;</ETag><Size>12</Size><Owner><ID>x</ID><Key>no</Key></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
    "<Contents><Key>p/c</Key><Size>0</Size></Contents>"
    "<CommonPrefixes><Prefix>q/</Prefix><Key>no</Key></CommonPrefixes></ListBucketResult>";

static void a_page_of_a_list_is_read_in_any_pieces(void **state)
{
    (void)state;
    for (size_t step = 1; step < sizeof(page); step = step * 2 + 1) {
        hfc_buf_reset(&seen);
        hfc_autos3xml struct hfc_s3_xml *x = parse_by(HFC_S3_LIST, page, step);
        assert_non_null(x);
        assert_string_equal(seen.data, "p/a<b|\"e1\"|12|;p/c||0|;");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_TRUNCATED), "true");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_NEXT_TOKEN), "to&ken");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_ENCODING), "url");
        assert_false(hfc_s3_xml_is_error(x));
    }
}

static void parts_and_uploads_are_items_too(void **state)
{
    (void)state;
    hfc_autos3xml struct hfc_s3_xml *x =
        parse(HFC_S3_PARTS, "<ListPartsResult><UploadId>U</UploadId>"
                            "<NextPartNumberMarker>7</NextPartNumberMarker>"
                            "<Part><PartNumber>7</PartNumber><ETag>e</ETag><Size>5</Size></Part>"
                            "</ListPartsResult>");
    assert_non_null(x);
    assert_string_equal(seen.data, "7|e|5|;");
    assert_string_equal(hfc_s3_xml_text(x, HFC_S3_NEXT_NUMBER), "7");
    hfc_buf_reset(&seen);
    hfc_autos3xml struct hfc_s3_xml *y =
        parse(HFC_S3_UPLOADS, "<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker>"
                              "<NextUploadIdMarker>i</NextUploadIdMarker>"
                              "<Upload><Key>k</Key><UploadId>i</UploadId></Upload>"
                              "</ListMultipartUploadsResult>");
    assert_non_null(y);
    assert_string_equal(seen.data, "k|||i;");
    assert_string_equal(hfc_s3_xml_text(y, HFC_S3_NEXT_KEY), "k");
    assert_string_equal(hfc_s3_xml_text(y, HFC_S3_NEXT_UPLOAD_ID), "i");
}

static void an_error_is_recognised_in_place_of_any_document(void **state)
{
    (void)state;
    for (int doc = HFC_S3_ERROR; doc <= HFC_S3_PART_COPIED; doc++) {
        hfc_autos3xml struct hfc_s3_xml *x =
            parse((enum hfc_s3_doc)doc, "<Error><Code>NoSuchKey</Code><Message>m</Message>"
                                        "<Region>eu-west-1</Region><RequestId>r</RequestId>"
                                        "<Endpoint>h</Endpoint></Error>");
        assert_non_null(x);
        assert_true(hfc_s3_xml_is_error(x));
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_CODE), "NoSuchKey");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_BUCKET_REGION), "eu-west-1");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_REQUEST_ID), "r");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_ENDPOINT), "h");
    }
}

static void prefixes_of_names_and_white_space_in_front_do_not_matter(void **state)
{
    (void)state;
    hfc_autos3xml struct hfc_s3_xml *x =
        parse_by(HFC_S3_CREATED,
                 " \r\n\t  <?xml version='1.0'?><s3:InitiateMultipartUploadResult xmlns:s3='u'>"
                 "<s3:UploadId>id</s3:UploadId></s3:InitiateMultipartUploadResult>\n",
                 2);
    assert_non_null(x);
    assert_string_equal(hfc_s3_xml_text(x, HFC_S3_UPLOAD_ID), "id");
}

static void documents_that_carry_results(void **state)
{
    (void)state;
    static const struct {
        enum hfc_s3_doc doc;
        const char *root;
    } all[] = {{HFC_S3_COMPLETED, "CompleteMultipartUploadResult"},
               {HFC_S3_COPIED, "CopyObjectResult"},
               {HFC_S3_PART_COPIED, "CopyPartResult"}};
    for (size_t i = 0; i < 3; i++) {
        char text[400];
        (void)snprintf(text, sizeof(text),
                       "<%s " NS "><ETag>\"e\"</ETag><ChecksumSHA256>c</ChecksumSHA256>"
                       "<ChecksumType>COMPOSITE</ChecksumType></%s>",
                       all[i].root, all[i].root);
        hfc_autos3xml struct hfc_s3_xml *x = parse(all[i].doc, text);
        assert_non_null(x);
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_ETAG), "\"e\"");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_CHECKSUM), "c");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_CHECKSUM_TYPE), "COMPOSITE");
        assert_string_equal(hfc_s3_xml_text(x, HFC_S3_KEY), "");
    }
}

static void what_is_no_document_of_the_kind_is_refused(void **state)
{
    (void)state;
    refused(HFC_S3_LIST, "<html><body>Bad gateway</body></html>", "unexpected document: html");
    refused(HFC_S3_LIST, "<CopyObjectResult/>", "unexpected document");
    refused(HFC_S3_LIST, "", "line 1: no element found");
    refused(HFC_S3_LIST, "{}", "line 1");
    refused(HFC_S3_LIST, "<ListBucketResult><Contents></ListBucketResult>", "mismatched tag");
    refused(HFC_S3_LIST, "<ListBucketResult>", "no element found");
    refused(HFC_S3_LIST, "<ListBucketResult/><x/>", "junk after document");
}

static void a_doctype_is_refused(void **state)
{
    (void)state;
    refused(HFC_S3_ERROR, "<!DOCTYPE Error [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>",
            "DOCTYPE");
    refused(HFC_S3_ERROR, "<Error><Code>&undefined;</Code></Error>", "undefined entity");
}

static void texts_have_a_cap_and_a_message_is_cut(void **state)
{
    static char text[2 * HFC_S3_TEXT_MAX + 200];

    (void)state;
    (void)snprintf(text, sizeof(text), "<Error><Code>%0*d</Code></Error>", HFC_S3_TEXT_MAX + 1, 0);
    refused(HFC_S3_ERROR, text, "too long: Code");
    (void)snprintf(text, sizeof(text), "<Error><Code>%0*d</Code></Error>", HFC_S3_TEXT_MAX, 0);
    hfc_autos3xml struct hfc_s3_xml *x = parse(HFC_S3_ERROR, text);
    assert_non_null(x);
    (void)snprintf(text, sizeof(text), "<Error><Message>%0*d&lt;</Message><Code>C</Code></Error>",
                   HFC_S3_TEXT_MAX, 0);
    hfc_autos3xml struct hfc_s3_xml *y = parse(HFC_S3_ERROR, text);
    assert_non_null(y);
    assert_string_equal(hfc_s3_xml_text(y, HFC_S3_CODE), "C");
    assert_int_equal(strlen(hfc_s3_xml_text(y, HFC_S3_MESSAGE)), HFC_S3_TEXT_MAX);
}

static void depth_and_size_have_a_cap(void **state)
{
    static char block[65536];
    struct hfc_buf deep;

    (void)state;
    hfc_buf_init(&deep, 4096);
    hfc_buf_str(&deep, "<Error>");
    for (int i = 0; i < 16; i++)
        hfc_buf_str(&deep, "<a>");
    refused(HFC_S3_ERROR, deep.data, "nested too deep");
    hfc_buf_free(&deep);
    memset(block, ' ', sizeof(block));
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_xml_new(HFC_S3_ERROR, NULL, NULL);
    assert_int_equal(hfc_s3_xml_feed(x, "<Error>", 7, &err), 0);
    for (int i = 0; i < HFC_S3_PAGE_MAX / 65536 - 1; i++)
        assert_int_equal(hfc_s3_xml_feed(x, block, sizeof(block), &err), 0);
    assert_int_equal(hfc_s3_xml_feed(x, block, sizeof(block), &err), -1);
    assert_non_null(strstr(err.msg, "too long"));
}

static void who_takes_the_items_may_stop(void **state)
{
    (void)state;
    full = true;
    assert_null(parse(HFC_S3_LIST, page));
    assert_int_equal(err.errnum, ENOMEM);
    assert_string_equal(seen.data, "p/a<b|\"e1\"|12|;");
}

static void errors_need_not_be_asked_for(void **state)
{
    (void)state;
    hfc_autos3xml struct hfc_s3_xml *x = hfc_s3_xml_new(HFC_S3_ERROR, NULL, NULL);
    assert_int_equal(hfc_s3_xml_feed(x, "<x>", 3, NULL), -1);
    hfc_s3_xml_free(NULL);
}

static void times_are_read(void **state)
{
    (void)state;
    assert_int_equal(hfc_s3_time("1970-01-01T00:00:01Z"), 1);
    assert_int_equal(hfc_s3_time("2006-02-03T16:45:09.000Z"), 1138985109);
    assert_int_equal(hfc_s3_time("2006-02-03T16:45:09.123456Z"), 1138985109);
    static const char *const bad[] = {"",
                                      "2006",
                                      "2006-02-03",
                                      "2006-02-03T16:45:09",
                                      "2006-02-03T16:45:09+01:00",
                                      "2006-02-03 16:45:09Z",
                                      "x006-02-03T16:45:09Z",
                                      "0001-02-03T16:45:09Z",
                                      "2006-02-03T16:45:09.000Zx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hfc_s3_time(bad[i]), 0);
}

static void numbers_are_read(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_true(hfc_s3_number("0", &n));
    assert_int_equal(n, 0);
    assert_true(hfc_s3_number("18446744073709551615", &n));
    assert_true(n == UINT64_MAX);
    assert_false(hfc_s3_number("18446744073709551616", &n));
    assert_false(hfc_s3_number("99999999999999999999", &n));
    assert_false(hfc_s3_number("", &n));
    assert_false(hfc_s3_number("-1", &n));
    assert_false(hfc_s3_number("1x", &n));
    assert_false(hfc_s3_number(" 1", &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_page_of_a_list_is_read_in_any_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_and_uploads_are_items_too, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_is_recognised_in_place_of_any_document, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(prefixes_of_names_and_white_space_in_front_do_not_matter,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(documents_that_carry_results, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_document_of_the_kind_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_doctype_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_have_a_cap_and_a_message_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_and_size_have_a_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(who_takes_the_items_may_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_need_not_be_asked_for, setup, teardown),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(numbers_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
