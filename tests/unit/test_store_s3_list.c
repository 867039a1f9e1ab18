/* test_store_s3_list.c: lists of objects, parts and uploads on S3 (lib/store_s3_list.c). */
#include "s3_probe.h"

static void list(const char *prefix)
{
    fresh();
    seen.op = hfc_store_list(store, prefix, on_item, on_done, NULL);
}

static void answer_list(const char *more, const char *items)
{
    char text[8192];

    (void)snprintf(text, sizeof(text), "<ListBucketResult>%s%s</ListBucketResult>", more, items);
    peer_reply(&peer, 200, "", text);
}

#define ITEM(key, etag, size)                                                                      \
    "<Contents><Key>" key                                                                          \
    "</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>\"" etag                     \
    "\"</ETag><Size>" size "</Size></Contents>"
#define MORE(token)                                                                                \
    "<IsTruncated>true</IsTruncated><NextContinuationToken>" token "</NextContinuationToken>"
#define ENCODED "<EncodingType>url</EncodingType>"

static void assert_items(const char *text)
{
    assert_string_equal(seen.items.data, text);
}

static void a_list_goes_from_page_to_page(void **state)
{
    (void)state;
    answer_list(MORE("t/1+"), ITEM("pre/a/1", "e1", "1") ITEM("pre/a/2", "e2", "2"));
    answer_list(MORE("t2"), "");
    answer_list("<IsTruncated>false</IsTruncated>", ITEM("pre/a/3", "e3", "3"));
    list("a/");
    succeeds();
    assert_items("a/1|e1|1|1704164645;a/2|e2|2|1704164645;a/3|e3|3|1704164645;");
    assert_request(0, "GET", "/bkt?list-type=2&encoding-type=url&prefix=pre%2Fa%2F");
    assert_request(
        1, "GET",
        "/bkt?list-type=2&encoding-type=url&continuation-token=t%2F1%2B&prefix=pre%2Fa%2F");
    assert_request(2, "GET",
                   "/bkt?list-type=2&encoding-type=url&continuation-token=t2&prefix=pre%2Fa%2F");
}

static void an_empty_bucket_has_no_items(void **state)
{
    (void)state;
    reopen("s3://bkt");
    answer_list("", "");
    list("");
    succeeds();
    assert_items("");
    assert_request(0, "GET", "/bkt?list-type=2&encoding-type=url&prefix=");
}

static void keys_are_decoded_where_the_server_encodes(void **state)
{
    (void)state;
    answer_list(ENCODED, ITEM("pre/a+b%2Bc%25", "e", "1") ITEM("pre/%C3%BC%0A", "e", "1"));
    list("");
    succeeds();
    assert_items("a b+c%|e|1|1704164645;\xc3\xbc\n|e|1|1704164645;");
    answer_list("", ITEM("pre/a+b%2B", "e", "1") ITEM("pre/c&amp;", "e", "1") ENCODED);
    answer_list("", ITEM("pre/a+b%2B", "e", "1") ITEM("pre/c&amp;", "e", "1"));
    list("");
    succeeds();
    assert_items("a b+|e|1|1704164645;c&|e|1|1704164645;");
    list("");
    succeeds();
    assert_items("a+b%2B|e|1|1704164645;c&|e|1|1704164645;");
}

static void a_page_that_is_asked_for_twice_is_given_once(void **state)
{
    (void)state;
    answer_list(MORE("t"), ITEM("pre/a", "e", "1"));
    peer_say(&peer,
             "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
             "<ListBucketResult>" ITEM("pre/b", "e", "1"),
             PEER_FIN);
    peer_reply(&peer, 200, "", "<ListBucketResult>" ITEM("pre/b", "e", "1"));
    peer_reply(&peer, 204, "", "");
    answer_list("", ITEM("pre/b", "e", "1") ITEM("pre/c", "e", "1"));
    list("");
    succeeds();
    assert_items("a|e|1|1704164645;b|e|1|1704164645;c|e|1|1704164645;");
    assert_logged("the list can't be read: line 1: no element found");
    assert_logged("unexpected status 204");
}

/* All four tries get this page, and nothing of it reaches the caller. */
static void bad_page(const char *more, const char *items, const char *why)
{
    for (int i = 0; i < 4; i++)
        answer_list(more, items);
    list("");
    fails(EBADMSG, why);
    assert_items("");
}

static void an_object_without_an_etag_is_passed_over(void **state)
{
    (void)state;
    answer_list("",
                ITEM("pre/a", "e", "1") "<Contents><Key>pre/b</Key><Size>1</Size></Contents>" ITEM(
                    "pre/c", "", "1") ITEM("pre/d", "e", "1"));
    list("");
    succeeds();
    assert_items("a|e|1|1704164645;d|e|1|1704164645;");
    assert_logged("LIST b: passed over, it has no usable ETag");
    assert_logged("LIST c: passed over, it has no usable ETag");
}

static void pages_that_make_no_sense_are_refused(void **state)
{
    static char large[8000];

    (void)state;
    bad_page("", ITEM("pre/b", "e", "1") ITEM("pre/a", "e", "1"), "out of order");
    bad_page("", ITEM("pre/b", "e", "1") ITEM("pre/b", "e", "1"), "out of order");
    bad_page("", ITEM("pre/b", "e", "1") ITEM("other/a", "e", "1"), "without the prefix");
    bad_page("", ITEM("pre/b", "e", "x"), "unreadable entry");
    bad_page("", ITEM("", "e", "1"), "unreadable entry");
    bad_page(ENCODED, ITEM("pre/%zz", "e", "1"), "unreadable entry");
    bad_page("<IsTruncated>true</IsTruncated>", ITEM("pre/b", "e", "1"), "without saying where");
    bad_page("<html>", "", "the list can't be read");
    int n = snprintf(large, sizeof(large), "<Contents><Key>pre/%01100d", 0);
    (void)snprintf(large + n, sizeof(large) - (size_t)n,
                   "</Key><ETag>e</ETag><Size>1</Size></Contents>");
    bad_page("", large, "unreadable entry");
    n = snprintf(large, sizeof(large), "<Contents><Key>pre/%05000d", 0);
    (void)snprintf(large + n, sizeof(large) - (size_t)n, "</Key></Contents>");
    bad_page("", large, "too long: Key");
}

static void a_list_that_gets_no_further_is_ended(void **state)
{
    (void)state;
    answer_list(MORE("t"), ITEM("pre/a", "e", "1"));
    for (int i = 0; i < 4; i++)
        answer_list(MORE("t"), ITEM("pre/b", "e", "1"));
    list("");
    fails(EBADMSG, "the list's pages get no further");
    assert_items("a|e|1|1704164645;");
    answer_list(MORE("t"), ITEM("pre/b", "e", "1"));
    for (int i = 0; i < 4; i++)
        answer_list("", ITEM("pre/a", "e", "1"));
    list("");
    fails(EBADMSG, "out of order");
}

/* Pages without items and with two tokens in turn. */
static void answer_empty(void *ctx, const struct peer_request *r, struct peer_answer *answer)
{
    bool first = strstr(r->target, "=t1&") == NULL;

    (void)ctx;
    answer->bytes = peer_format(200, "",
                                first ? "<ListBucketResult>" MORE("t1") "</ListBucketResult>"
                                      : "<ListBucketResult>" MORE("t2") "</ListBucketResult>");
    answer->owned = true;
}

static void empty_pages_come_to_an_end(void **state)
{
    (void)state;
    peer.handler = answer_empty;
    list("");
    fails(EBADMSG, "the list's pages get no further");
    assert_int_equal(requests(), 1004);
}

static void an_error_in_a_200_is_an_error(void **state)
{
    (void)state;
    answer_error(200, "InternalError");
    answer_list("", ITEM("pre/a", "e", "1"));
    list("");
    succeeds();
    answer_error(404, "NoSuchBucket");
    list("");
    fails(ENOENT, "LIST s3://bkt/pre/: 404 NoSuchBucket");
}

static void a_list_can_be_cancelled_from_within(void **state)
{
    (void)state;
    answer_list(MORE("t"), ITEM("pre/a", "e", "1") ITEM("pre/b", "e", "1"));
    list("");
    seen.cancel = true;
    fails(ECANCELED, "");
    assert_items("a|e|1|1704164645;");
    assert_int_equal(requests(), 1);
}

/* A page that comes in two pieces, with a cancel between them. */
static void a_cancel_in_the_middle_of_a_page_ends_it(void **state)
{
    (void)state;
    peer_script(&peer,
                (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
                                              "<ListBucketResult>" ITEM("pre/a", "e", "1"),
                                     .pause_at = 60,
                                     .then = PEER_HANG});
    list("");
    wait_for_requests(1);
    peer_release(&peer);
    hfc_store_cancel(seen.op);
    fails(ECANCELED, "");
    assert_items("");
}

static void a_page_of_a_thousand_long_keys_fits(void **state)
{
    enum { KEYS = 1000 };
    char *text = malloc(KEYS * 3300 + 1000);
    size_t n = 0;

    (void)state;
    assert_non_null(text);
    reopen("s3://bkt");
    n += (size_t)sprintf(text, "<ListBucketResult>" ENCODED);
    for (int i = 0; i < KEYS; i++) {
        n += (size_t)sprintf(text + n, "<Contents><Key>%04d", i);
        for (int c = 0; c < 1020; c++)
            n += (size_t)sprintf(text + n, "%%25");
        n += (size_t)sprintf(text + n, "</Key><ETag>\"0123456789abcdef0123456789abcdef-10000\""
                                       "</ETag><Size>10000000000</Size><LastModified>"
                                       "2024-01-02T03:04:05.000Z</LastModified></Contents>");
    }
    (void)sprintf(text + n, "</ListBucketResult>");
    peer_reply(&peer, 200, "", text);
    free(text);
    hfc_buf_free(&seen.items);
    hfc_buf_init(&seen.items, 4 << 20);
    list("");
    succeeds();
    assert_int_equal(seen.items.len, KEYS * (1024 + 1 + 38 + 1 + 11 + 1 + 10 + 1));
}

static void parts_are_listed_page_by_page(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "",
               "<ListPartsResult><IsTruncated>true</IsTruncated>"
               "<NextPartNumberMarker>2</NextPartNumberMarker>"
               "<Part><PartNumber>1</PartNumber><ETag>\"p1\"</ETag><Size>5</Size>"
               "<ChecksumSHA256>" HELLO_BASE64 "</ChecksumSHA256></Part>"
               "<Part><PartNumber>2</PartNumber><ETag>\"p2\"</ETag><Size>6</Size></Part>"
               "</ListPartsResult>");
    peer_reply(&peer, 200, "",
               "<ListPartsResult><Part><PartNumber>3</PartNumber><ETag>\"p3\"</ETag>"
               "<Size>7</Size></Part></ListPartsResult>");
    fresh();
    hfc_store_list_parts(store, "k", "u/p", on_part, on_done, NULL);
    succeeds();
    assert_items("1|p1|5|1;2|p2|6|0;3|p3|7|0;");
    assert_request(0, "GET", "/bkt/pre/k?uploadId=u%2Fp");
    assert_request(1, "GET", "/bkt/pre/k?part-number-marker=2&uploadId=u%2Fp");
    answer_error(404, "NoSuchUpload");
    fresh();
    hfc_store_list_parts(store, "k", "u/p", on_part, on_done, NULL);
    fails(ENOENT, "LIST PARTS s3://bkt/pre/k: 404 NoSuchUpload");
}

static void parts_that_make_no_sense_are_refused(void **state)
{
    static const char *const wrong[] = {
        "<PartNumber>0</PartNumber><ETag>e</ETag><Size>1</Size>",
        "<PartNumber>10001</PartNumber><ETag>e</ETag><Size>1</Size>",
        "<PartNumber>x</PartNumber><ETag>e</ETag><Size>1</Size>",
        "<PartNumber>1</PartNumber><ETag></ETag><Size>1</Size>",
        "<PartNumber>1</PartNumber><ETag>e</ETag>",
        "<PartNumber>2</PartNumber><ETag>e</ETag><Size>1</Size></Part>"
        "<Part><PartNumber>2</PartNumber><ETag>e</ETag><Size>1</Size>"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[400];
        (void)snprintf(text, sizeof(text), "<ListPartsResult><Part>%s</Part></ListPartsResult>",
                       wrong[i]);
        for (int n = 0; n < 4; n++)
            peer_reply(&peer, 200, "", text);
        fresh();
        hfc_store_list_parts(store, "k", "u", on_part, on_done, NULL);
        fails(EBADMSG, i < 5 ? "unreadable entry" : "parts are out of order");
        assert_items("");
    }
}

static void uploads(void)
{
    fresh();
    hfc_store_list_uploads(store, "a", on_upload, on_done, NULL);
}

#define UPLOAD(key, id)                                                                            \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId>"                                        \
    "<Initiated>2024-01-02T03:04:05.000Z</Initiated></Upload>"

static void uploads_are_listed_page_by_page(void **state)
{
    (void)state;
    peer_reply(
        &peer, 200, "",
        "<ListMultipartUploadsResult>" ENCODED "<IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>pre/a+1</NextKeyMarker><NextUploadIdMarker>i/2</NextUploadIdMarker>" UPLOAD(
            "pre/a+1", "i1") UPLOAD("pre/a+1", "i/2") "</ListMultipartUploadsResult>");
    peer_reply(&peer, 200, "",
               "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
               "<NextKeyMarker>pre/a2</NextKeyMarker>" UPLOAD(
                   "pre/a2", "i3") "</ListMultipartUploadsResult>");
    peer_reply(&peer, 200, "", "<ListMultipartUploadsResult/>");
    uploads();
    succeeds();
    assert_items("a 1|i1|1704164645;a 1|i/2|1704164645;a2|i3|1704164645;");
    assert_request(0, "GET", "/bkt?uploads=&encoding-type=url&prefix=pre%2Fa");
    assert_request(1, "GET",
                   "/bkt?uploads=&encoding-type=url&key-marker=pre%2Fa%201&"
                   "upload-id-marker=i%2F2&prefix=pre%2Fa");
    assert_request(2, "GET", "/bkt?uploads=&encoding-type=url&key-marker=pre%2Fa2&prefix=pre%2Fa");
}

static void uploads_that_make_no_sense_are_refused(void **state)
{
    static const char *const wrong[][2] = {
        {UPLOAD("pre/a", ""), "unreadable entry"},
        {UPLOAD("", "i"), "unreadable entry"},
        {UPLOAD("pre/b", "i"), "without the prefix"},
        {UPLOAD("pre/ab", "i") UPLOAD("pre/aa", "i"), "out of order"},
        {"<IsTruncated>true</IsTruncated>" UPLOAD("pre/a", "i"), "without saying where"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[800];
        (void)snprintf(text, sizeof(text),
                       "<ListMultipartUploadsResult>%s</ListMultipartUploadsResult>", wrong[i][0]);
        for (int n = 0; n < 4; n++)
            peer_reply(&peer, 200, "", text);
        uploads();
        fails(EBADMSG, wrong[i][1]);
        assert_items("");
    }
    for (int i = 0; i < 5; i++)
        peer_reply(
            &peer, 200, "",
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
            "<NextKeyMarker>pre/a</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker>" UPLOAD(
                "pre/a", "i") "</ListMultipartUploadsResult>");
    uploads();
    fails(EBADMSG, "the list's pages get no further");
}

/* Uploads of one key, whose ids come in a circle; `key` also goes back once. */
static const char *circle_keys[2];

static void answer_circle(void *ctx, const struct peer_request *r, struct peer_answer *answer)
{
    static unsigned n;
    char text[600];

    (void)ctx;
    (void)r;
    n++;
    (void)snprintf(text, sizeof(text),
                   "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
                   "<NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>%u</NextUploadIdMarker>"
                   "<Upload><Key>pre/a</Key><UploadId>%u</UploadId></Upload>"
                   "</ListMultipartUploadsResult>",
                   circle_keys[n % 2], n % 2, n % 2);
    answer->bytes = peer_format(200, "", text);
    answer->owned = true;
}

static void uploads_that_go_in_a_circle_come_to_an_end(void **state)
{
    (void)state;
    peer.handler = answer_circle;
    circle_keys[0] = circle_keys[1] = "pre/a";
    uploads();
    fails(EBADMSG, "the list's pages get no further");
    assert_in_range(requests(), 1000, 1010);
    unsigned before = requests();
    circle_keys[1] = "pre/b";
    uploads();
    fails(EBADMSG, "the list's pages get no further");
    assert_in_range(requests() - before, 2, 10);
}

static void a_page_of_a_thousand_uploads_with_long_keys_fits(void **state)
{
    enum { KEYS = 1000 };
    char *text = malloc(KEYS * 3300 + 1000);
    size_t n = 0;

    (void)state;
    assert_non_null(text);
    reopen("s3://bkt");
    n += (size_t)sprintf(text, "<ListMultipartUploadsResult>" ENCODED);
    for (int i = 0; i < KEYS; i++) {
        n += (size_t)sprintf(text + n, "<Upload><Key>a%03d", i);
        for (int c = 0; c < 1020; c++)
            n += (size_t)sprintf(text + n, "%%25");
        n += (size_t)sprintf(text + n, "</Key><UploadId>u</UploadId></Upload>");
    }
    (void)sprintf(text + n, "</ListMultipartUploadsResult>");
    peer_reply(&peer, 200, "", text);
    free(text);
    hfc_buf_free(&seen.items);
    hfc_buf_init(&seen.items, 4 << 20);
    uploads();
    succeeds();
    assert_int_equal(seen.items.len, KEYS * (1024 + 5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_goes_from_page_to_page),
        TEST(an_empty_bucket_has_no_items),
        TEST(keys_are_decoded_where_the_server_encodes),
        TEST(a_page_that_is_asked_for_twice_is_given_once),
        TEST(pages_that_make_no_sense_are_refused),
        TEST(a_list_that_gets_no_further_is_ended),
        TEST(empty_pages_come_to_an_end),
        TEST(an_error_in_a_200_is_an_error),
        TEST(a_list_can_be_cancelled_from_within),
        TEST(a_cancel_in_the_middle_of_a_page_ends_it),
        TEST(a_page_of_a_thousand_long_keys_fits),
        TEST(parts_are_listed_page_by_page),
        TEST(parts_that_make_no_sense_are_refused),
        TEST(uploads_are_listed_page_by_page),
        TEST(uploads_that_make_no_sense_are_refused),
        TEST(an_object_without_an_etag_is_passed_over),
        TEST(uploads_that_go_in_a_circle_come_to_an_end),
        TEST(a_page_of_a_thousand_uploads_with_long_keys_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
