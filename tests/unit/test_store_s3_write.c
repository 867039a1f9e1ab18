/* test_store_s3_write.c: PUT, uploads in parts and copies on S3 (lib/store_s3_put.c, _upload,
 * _copy). */
#include "s3_probe.h"

static struct hfc_put hello_put(bool with_hash)
{
    return (struct hfc_put){.key = "k", .body = hello(with_hash)};
}

static void put(const struct hfc_put *p)
{
    fresh();
    seen.op = hfc_store_put(store, p, on_done, NULL);
}

static void assert_body(unsigned request, const char *text)
{
    const struct peer_request *r = peer_request(&peer, request);

    assert_string_equal(r->body, text);
}

static const struct hfc_meta *some_meta(void)
{
    static struct hfc_meta meta = {.has_sha256 = true, .has_git_sha1 = true};

    (void)hfc_unhex(HELLO_HEX, meta.sha256, HFC_SHA256_SIZE);
    (void)hfc_unhex("0123456789abcdef0123456789abcdef01234567", meta.git_sha1, HFC_SHA1_SIZE);
    return &meta;
}

#define META                                                                                       \
    "x-amz-meta-hfcache-sha256: " HELLO_HEX "\r\n"                                                 \
    "x-amz-meta-hfcache-git-sha1: 0123456789abcdef0123456789abcdef01234567\r\n"

/* What a HEAD finds out about an object. */
static void answer_found(const char *length, const char *more)
{
    char text[600];

    (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n%s%s\r\n", length,
                   HEADERS, more);
    peer_say(&peer, text, PEER_KEEP);
}

/* ---- PUT ---- */

static void a_body_with_a_known_hash_is_signed_with_it(void **state)
{
    struct hfc_put p = hello_put(true);

    (void)state;
    p.meta = *some_meta();
    p.content_type = "text/plain";
    peer_reply(&peer, 200, "ETag: \"e1\"\r\nx-amz-checksum-sha256: " HELLO_BASE64 "\r\n", "");
    put(&p);
    succeeds();
    assert_request(0, "PUT", "/bkt/pre/k");
    assert_header(0, "x-amz-content-sha256", HELLO_HEX);
    assert_header(0, "x-amz-checksum-sha256", HELLO_BASE64);
    assert_header(0, "x-amz-meta-hfcache-sha256", HELLO_HEX);
    assert_header(0, "x-amz-meta-hfcache-git-sha1", "0123456789abcdef0123456789abcdef01234567");
    assert_header(0, "Content-Type", "text/plain");
    assert_header(0, "Content-Length", "5");
    assert_header(0, "If-None-Match", NULL);
    assert_body(0, "hello");
    assert_int_equal(seen.object.size, 5);
    assert_string_equal(seen.object.etag, "e1");
    assert_true(seen.object.meta.has_sha256);
}

static void a_body_without_a_hash_has_it_behind(void **state)
{
    struct hfc_put p = hello_put(false);
    uint8_t sha256[HFC_SHA256_SIZE], expected[HFC_SHA256_SIZE];

    (void)state;
    p.body.sha256_out = sha256;
    put(&p);
    peer_reply(&peer, 200, HEADERS, "");
    succeeds();
    assert_header(0, "x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_header(0, "Content-Encoding", "aws-chunked");
    assert_header(0, "x-amz-decoded-content-length", "5");
    assert_header(0, "x-amz-trailer", "x-amz-checksum-sha256");
    assert_header(0, "Content-Type", "application/octet-stream");
    assert_header(0, "Content-Length", "83");
    assert_body(0, "5\r\nhello\r\n0\r\nx-amz-checksum-sha256:" HELLO_BASE64 "\r\n\r\n");
    hfc_hash_of(HFC_SHA256, "hello", 5, expected);
    assert_memory_equal(sha256, expected, sizeof(expected));
}

static void an_empty_object_is_put(void **state)
{
    struct hfc_memory_body none = {"", 0};
    uint8_t sha256[HFC_SHA256_SIZE];
    struct hfc_put p = {.key = "k"};

    (void)state;
    hfc_hash_of(HFC_SHA256, "", 0, sha256);
    p.body = hfc_body_of(&none, sha256);
    peer_reply(&peer, 200, HEADERS, "");
    put(&p);
    succeeds();
    assert_header(0, "Content-Length", "0");
    assert_header(0, "x-amz-content-sha256",
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_header(0, "x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    p.body = hfc_body_of(&none, NULL);
    peer_reply(&peer, 200, HEADERS, "");
    put(&p);
    succeeds();
    assert_header(1, "x-amz-decoded-content-length", "0");
}

static void a_put_is_sent_whole_again(void **state)
{
    (void)state;
    for (int hash = 0; hash < 2; hash++) {
        struct hfc_put p = hello_put(hash == 1);
        answer_error(503, "SlowDown");
        peer_say(&peer, "", PEER_RST);
        answer_error(400, "RequestTimeout");
        peer_reply(&peer, 200, HEADERS, "");
        put(&p);
        succeeds();
    }
    assert_int_equal(requests(), 8);
    assert_body(7, "hello");
}

static void bytes_that_arrived_wrong_are_sent_again_and_then_told(void **state)
{
    static const char *const codes[] = {"BadDigest", "XAmzContentSHA256Mismatch",
                                        "XAmzContentChecksumMismatch", "InvalidDigest"};
    struct hfc_put p = hello_put(true);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned n = 0; n < 4; n++)
            answer_error(400, codes[i]);
        put(&p);
        fails(EBADMSG, codes[i]);
        assert_int_equal(requests(), 4 * i + 4);
    }
    for (unsigned n = 0; n < 4; n++)
        peer_reply(&peer, 200, "", "");
    put(&p);
    fails(EBADMSG, "no usable ETag");
    /* A checksum of another kind is none of ours. */
    peer_reply(&peer, 200, HEADERS "x-amz-checksum-sha256: abc-2\r\n", "");
    put(&p);
    succeeds();
}

/* A source that gives `give` bytes and then what `ends` says; it can't go back if `once`. */
static struct {
    uint64_t give;
    ssize_t ends;
    bool once, used;
    unsigned reads;
} source;

static ssize_t read_source(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx;
    source.reads++;
    if (offset == 0 && source.once && source.used)
        return HFC_READ_STOP;
    source.used = true;
    if (seen.cancel) {
        seen.cancel = false;
        hfc_store_cancel(seen.op);
    }
    if (offset >= source.give) {
        ssize_t ends = source.ends;
        if (ends == HFC_READ_PAUSE) {
            source.give = UINT64_MAX;
            hfc_timer_start(loop, &resuming, 0, resume_op, NULL);
        }
        return ends;
    }
    n = n < 1000 ? n : 1000;
    if (n > source.give - offset)
        n = (size_t)(source.give - offset);
    memset(to, 'x', n);
    return (ssize_t)n;
}

static struct hfc_put from_source(uint64_t give, ssize_t ends, bool with_hash)
{
    static uint8_t any[HFC_SHA256_SIZE];

    memset(&source, 0, sizeof(source));
    source.give = give;
    source.ends = ends;
    return (struct hfc_put){
        .key = "k", .body = {.read = read_source, .size = 5000, .sha256 = with_hash ? any : NULL}};
}

#define SPOILED HEADERS "x-amz-checksum-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n"

static void an_object_with_wrong_bytes_is_deleted_and_put_again(void **state)
{
    struct hfc_put p = hello_put(true);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        peer_reply(&peer, 200, SPOILED, "");
        peer_reply(&peer, 204, "", "");
    }
    put(&p);
    fails(EBADMSG, "PUT s3://bkt/pre/k: the server has stored other bytes");
    assert_int_equal(requests(), 6);
    assert_request(5, "DELETE", "/bkt/pre/k");
    p.condition = HFC_IF_ABSENT;
    peer_reply(&peer, 200, SPOILED, "");
    answer_error(404, "NoSuchKey");
    peer_reply(&peer, 200, HEADERS, "");
    put(&p);
    succeeds();
    assert_request(7, "DELETE", "/bkt/pre/k");
    assert_header(7, "Content-Length", NULL);
    assert_header(8, "If-None-Match", "*");
    assert_body(8, "hello");
}

static void a_wrong_object_that_stays_is_not_mistaken_for_somebodys(void **state)
{
    struct hfc_put p = hello_put(true);

    (void)state;
    p.condition = HFC_IF_ABSENT;
    peer_reply(&peer, 200, SPOILED, "");
    answer_error(403, "AccessDenied");
    put(&p);
    fails(EBADMSG, "the server has stored other bytes");
    assert_int_equal(requests(), 2);
    assert_logged("a wrong object stays: DELETE s3://bkt/pre/k: 403 AccessDenied");
    p.condition = HFC_IF_MATCH;
    p.if_match = "e0";
    peer_reply(&peer, 200, SPOILED, "");
    peer_reply(&peer, 204, "", "");
    put(&p);
    fails(EBADMSG, "the server has stored other bytes");
    assert_int_equal(requests(), 4);
    struct hfc_put once = from_source(5000, 0, true);
    source.once = true;
    peer_reply(&peer, 200, SPOILED, "");
    peer_reply(&peer, 204, "", "");
    put(&once);
    fails(EBADMSG, "the server has stored other bytes");
}

static void a_part_with_wrong_bytes_is_put_again(void **state)
{
    struct hfc_body body = hello(true);

    (void)state;
    peer_reply(&peer, 200, SPOILED, "");
    peer_reply(&peer, 200, HEADERS, "");
    fresh();
    seen.op = hfc_store_put_part(store, "k", "u", 1, 0, &body, on_done, NULL);
    succeeds();
    assert_request(1, "PUT", "/bkt/pre/k?partNumber=1&uploadId=u");
}

static void conditions_of_a_put(void **state)
{
    struct hfc_put p = hello_put(true);

    (void)state;
    p.condition = HFC_IF_ABSENT;
    answer_error(412, "PreconditionFailed");
    put(&p);
    fails(EEXIST, "there is an object already");
    assert_header(0, "If-None-Match", "*");
    p.condition = HFC_IF_MATCH;
    p.if_match = "e0";
    answer_error(412, "PreconditionFailed");
    put(&p);
    fails(ESTALE, "the object has changed");
    assert_header(1, "If-Match", "\"e0\"");
    answer_error(404, "NoSuchKey");
    put(&p);
    fails(ENOENT, "404 NoSuchKey");
    answer_error(409, "ConditionalRequestConflict");
    peer_reply(&peer, 200, HEADERS, "");
    put(&p);
    succeeds();
    assert_int_equal(requests(), 5);
}

/* The first try's answer is lost, the second meets an object. */
static void lose_an_answer(bool by_500)
{
    if (by_500)
        answer_error(500, "InternalError");
    else
        peer_say(&peer, "", PEER_RST);
    answer_error(412, "PreconditionFailed");
}

static void an_object_that_a_lost_put_has_made_is_success(void **state)
{
    static const char *const proofs[] = {"x-amz-checksum-sha256: " HELLO_BASE64 "\r\n", META};

    (void)state;
    for (int i = 0; i < 8; i++) {
        struct hfc_put p = hello_put(i & 1);
        p.condition = i & 2 ? HFC_IF_ABSENT : HFC_IF_MATCH;
        p.if_match = i & 2 ? NULL : "e0";
        lose_an_answer(i == 0);
        answer_found("5", proofs[i >> 2]);
        put(&p);
        succeeds();
        assert_string_equal(seen.object.etag, "e1");
        assert_int_equal(seen.object.size, 5);
        unsigned last = requests() - 1;
        assert_request(last, "HEAD", "/bkt/pre/k");
        assert_header(last, "x-amz-checksum-mode", "ENABLED");
    }
}

static void an_object_of_somebody_else_is_not(void **state)
{
    struct hfc_put p = hello_put(true);

    (void)state;
    p.condition = HFC_IF_ABSENT;
    lose_an_answer(true);
    answer_found("5", "x-amz-checksum-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n");
    put(&p);
    fails(EEXIST, "PUT s3://bkt/pre/k: there is an object already");
    lose_an_answer(true);
    answer_found("6", META);
    put(&p);
    fails(EEXIST, "there is an object already");
    lose_an_answer(true);
    answer_found("5", "");
    put(&p);
    fails(EEXIST, "there is an object already");
    lose_an_answer(true);
    answer_error(404, "");
    put(&p);
    fails(EEXIST, "there is an object already");
    lose_an_answer(true);
    for (int i = 0; i < 4; i++)
        peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", PEER_KEEP);
    put(&p);
    fails(EEXIST, "there is an object already");
}

/* The second try is refused as soon as its head is there: the body's digest is not known then, nor
 * was it sent to its end before. The metadata tell. */
static void without_a_digest_the_metadata_tell(void **state)
{
    enum { SIZE = 8 << 20 };
    static char bytes[SIZE];

    (void)state;
    for (int same = 0; same < 2; same++) {
        struct hfc_memory_body large = {bytes, SIZE};
        struct hfc_put p = {.key = "k", .body = hfc_body_of(&large, NULL), .meta = *some_meta()};
        p.condition = HFC_IF_ABSENT;
        p.meta.sha256[0] ^= same ? 0 : 1;
        peer_script(&peer, (struct peer_answer){
                               .bytes = "", .early = true, .take = 100000, .then = PEER_RST});
        peer_script(&peer, (struct peer_answer){.bytes = "HTTP/1.1 412 No\r\nContent-Length: 0\r\n"
                                                         "Connection: close\r\n\r\n",
                                                .early = true,
                                                .then = PEER_HANG});
        answer_found("8388608", META);
        put(&p);
        if (same)
            succeeds();
        else
            fails(EEXIST, "there is an object already");
    }
}

static void an_answer_before_the_end_of_the_body_is_none(void **state)
{
    enum { SIZE = 8 << 20 };
    static char bytes[SIZE];
    struct hfc_memory_body large = {bytes, SIZE};
    struct hfc_put p = {.key = "k", .body = hfc_body_of(&large, NULL)};

    (void)state;
    peer_script(&peer,
                (struct peer_answer){.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" HEADERS
                                              "Connection: close\r\n\r\n",
                                     .early = true,
                                     .then = PEER_HANG});
    peer_reply(&peer, 200, HEADERS, "");
    put(&p);
    succeeds();
    assert_int_equal(requests(), 2);
}

static void what_can_not_be_put_is_refused_without_a_request(void **state)
{
    struct hfc_put p = hello_put(true);
    struct hfc_copy c = {.from = "a", .etag = "\"", .to = "b", .size = 1};

    (void)state;
    p.key = "..";
    put(&p);
    fails(EINVAL, "segment");
    p.key = "k";
    p.content_type = "text\nx";
    put(&p);
    fails(EINVAL, "the content type");
    fresh();
    hfc_store_copy(store, &c, on_done, NULL);
    fails(EINVAL, "the ETag");
    fresh();
    hfc_store_put_part(store, "", "u", 1, 0, &p.body, on_done, NULL);
    fails(EINVAL, "an empty key");
    fresh();
    hfc_store_complete(store, "", "u", NULL, 1, some_meta(), on_done, NULL);
    fails(EINVAL, "an empty key");
    assert_int_equal(requests(), 0);
}

static void a_source_may_pause(void **state)
{
    (void)state;
    for (unsigned hash = 0; hash < 2; hash++) {
        struct hfc_put p = from_source(2500, HFC_READ_PAUSE, hash == 1);
        peer_reply(&peer, 200, HEADERS, "");
        put(&p);
        succeeds();
    }
    assert_int_equal(peer_request(&peer, 1)->body_size, 5000);
}

static void a_source_that_stops_ends_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct hfc_put p = from_source(2500, i & 1 ? HFC_READ_STOP : 0, i > 1);
        put(&p);
        fails(ECANCELED, "the source of the bytes has stopped");
    }
}

static void be_busy(void *ctx, const struct peer_request *r, struct peer_answer *answer)
{
    (void)ctx;
    (void)r;
    answer->bytes = peer_format(503, "", "<Error><Code>SlowDown</Code></Error>");
    answer->owned = true;
}

static void a_source_that_can_not_go_back_fails_with_the_error_before(void **state)
{
    (void)state;
    peer.handler = be_busy;
    for (unsigned hash = 0; hash < 2; hash++) {
        struct hfc_put p = from_source(5000, 0, hash == 1);
        source.once = true;
        put(&p);
        fails(EAGAIN, "503 SlowDown");
    }
}

static void a_source_is_not_asked_after_a_cancel(void **state)
{
    (void)state;
    for (unsigned hash = 0; hash < 2; hash++) {
        struct hfc_put p = from_source(5000, 0, hash == 1);
        p.body.size = 100 << 20;
        source.give = 100 << 20;
        put(&p);
        seen.cancel = true;
        fails(ECANCELED, "k");
        assert_int_equal(source.reads, 1);
    }
}

/* ---- uploads ---- */

static void create(void)
{
    fresh();
    seen.op = hfc_store_create_upload(store, "k", some_meta(), on_done, NULL);
}

static void an_upload_is_created(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "",
               "<InitiateMultipartUploadResult><UploadId>a/b+c=</UploadId>"
               "</InitiateMultipartUploadResult>");
    create();
    succeeds();
    assert_string_equal(seen.upload_id, "a/b+c=");
    assert_request(0, "POST", "/bkt/pre/k?uploads=");
    assert_header(0, "x-amz-checksum-algorithm", "SHA256");
    assert_header(0, "x-amz-meta-hfcache-sha256", HELLO_HEX);
    assert_header(0, "Content-Length", "0");
    for (int i = 0; i < 3; i++)
        peer_reply(&peer, 200, "", "<InitiateMultipartUploadResult/>");
    peer_reply(&peer, 200, "", "garbage");
    create();
    fails(EBADMSG, "the answer can't be read: line 1: ");
    assert_logged("the answer has no UploadId");
    answer_error(403, "AccessDenied");
    create();
    fails(EACCES, "CREATE UPLOAD s3://bkt/pre/k: 403 AccessDenied");
}

static void put_part(unsigned number, bool with_hash)
{
    struct hfc_body body = hello(with_hash);

    fresh();
    seen.op = hfc_store_put_part(store, "k", "a/b+c=", number, 0, &body, on_done, NULL);
}

static void a_part_is_put_with_its_checksum(void **state)
{
    (void)state;
    peer_reply(&peer, 200, HEADERS, "");
    put_part(7, true);
    succeeds();
    assert_request(0, "PUT", "/bkt/pre/k?partNumber=7&uploadId=a%2Fb%2Bc%3D");
    assert_header(0, "x-amz-checksum-sha256", HELLO_BASE64);
    assert_body(0, "hello");
    assert_string_equal(seen.object.etag, "e1");
    assert_int_equal(seen.object.size, 5);
    peer_reply(&peer, 200, HEADERS, "");
    put_part(10000, false);
    succeeds();
    assert_header(1, "x-amz-trailer", "x-amz-checksum-sha256");
    answer_error(404, "NoSuchUpload");
    put_part(1, true);
    fails(ENOENT, "PUT PART s3://bkt/pre/k: 404 NoSuchUpload");
    put_part(0, true);
    fails(EINVAL, "from 1 to 10000");
    put_part(10001, true);
    fails(EINVAL, "from 1 to 10000");
}

static struct hfc_part parts[3];

static void complete(void)
{
    for (unsigned i = 0; i < 3; i++) {
        parts[i] = (struct hfc_part){.size = 10 + i, .has_sha256 = true};
        (void)snprintf(parts[i].etag, sizeof(parts[i].etag), "e<%u>&", i);
        memset(parts[i].sha256, (int)i, HFC_SHA256_SIZE);
    }
    fresh();
    seen.op = hfc_store_complete(store, "k", "up", parts, 3, some_meta(), on_done, NULL);
}

/* SHA-256 of the three digests above, as base64. */
static const char *composite(void)
{
    static char text[HFC_BASE64_MAX];
    uint8_t all[3 * HFC_SHA256_SIZE], digest[HFC_SHA256_SIZE];

    for (unsigned i = 0; i < 3; i++)
        memset(all + i * HFC_SHA256_SIZE, (int)i, HFC_SHA256_SIZE);
    hfc_hash_of(HFC_SHA256, all, sizeof(all), digest);
    hfc_base64(digest, sizeof(digest), text);
    return text;
}

static void answer_completed(const char *checksum)
{
    char text[500];

    (void)snprintf(text, sizeof(text),
                   "   \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult>"
                   "<ETag>&quot;m-3&quot;</ETag><ChecksumSHA256>%s</ChecksumSHA256>"
                   "</CompleteMultipartUploadResult>",
                   checksum);
    /* As S3: white space first, to keep the connection alive, and only then the document. */
    const char *start = strstr(text, "<?xml");
    peer_reply(&peer, 200, "", start);
}

static void an_upload_is_completed_with_all_it_knows(void **state)
{
    char checksum[100];

    (void)state;
    (void)snprintf(checksum, sizeof(checksum), "%s-3", composite());
    answer_completed(checksum);
    complete();
    succeeds();
    assert_request(0, "POST", "/bkt/pre/k?uploadId=up");
    assert_body(
        0, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
           "<Part><ChecksumSHA256>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</ChecksumSHA256>"
           "<ETag>\"e&lt;0&gt;&amp;\"</ETag><PartNumber>1</PartNumber></Part>"
           "<Part><ChecksumSHA256>AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=</ChecksumSHA256>"
           "<ETag>\"e&lt;1&gt;&amp;\"</ETag><PartNumber>2</PartNumber></Part>"
           "<Part><ChecksumSHA256>AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=</ChecksumSHA256>"
           "<ETag>\"e&lt;2&gt;&amp;\"</ETag><PartNumber>3</PartNumber></Part>"
           "</CompleteMultipartUpload>");
    assert_string_equal(seen.object.etag, "m-3");
    assert_int_equal(seen.object.size, 33);
    assert_true(seen.object.meta.has_sha256);
}

static void ten_thousand_parts_fit(void **state)
{
    static struct hfc_part many[HFC_PARTS_MAX];

    (void)state;
    for (unsigned i = 0; i < HFC_PARTS_MAX; i++) {
        many[i] = (struct hfc_part){.has_sha256 = true};
        memset(many[i].etag, '&', HFC_ETAG_MAX - 1);
    }
    fresh();
    hfc_store_complete(store, "k", "up", many, HFC_PARTS_MAX, some_meta(), on_done, NULL);
    /* Only ETags at the very limit would not; S3's have 32 bytes. */
    fails(EINVAL, "too long");
    for (unsigned i = 0; i < HFC_PARTS_MAX; i++)
        memcpy(many[i].etag, "0123456789abcdef0123456789abcdef", 33);
    answer_completed("");
    fresh();
    hfc_store_complete(store, "k", "up", many, HFC_PARTS_MAX, some_meta(), on_done, NULL);
    succeeds();
    assert_true(peer_request(&peer, 0)->body_size > 1400000);
    fresh();
    hfc_store_complete(store, "k", "up", many, 0, some_meta(), on_done, NULL);
    fails(EINVAL, "1 to 10000 parts");
    fresh();
    hfc_store_complete(store, "k", "", many, 1, some_meta(), on_done, NULL);
    fails(EINVAL, "the upload's id");
}

static void an_object_of_other_parts_is_deleted_and_told(void **state)
{
    (void)state;
    answer_completed("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-3");
    peer_reply(&peer, 204, "", "");
    complete();
    fails(EBADMSG, "COMPLETE UPLOAD s3://bkt/pre/k: the server has put other parts together");
    assert_request(1, "DELETE", "/bkt/pre/k");
    answer_completed("x-3");
    answer_error(403, "AccessDenied");
    complete();
    fails(EBADMSG, "other parts together");
    answer_completed("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    complete();
    succeeds();
    answer_completed("x-3");
    complete();
    parts[1].has_sha256 = false;
    succeeds();
}

static void a_200_may_carry_an_error(void **state)
{
    char checksum[100];

    (void)state;
    (void)snprintf(checksum, sizeof(checksum), "%s-3", composite());
    answer_error(200, "InternalError");
    answer_error(200, "SlowDown");
    answer_completed(checksum);
    complete();
    succeeds();
    assert_int_equal(requests(), 3);
    assert_logged("COMPLETE UPLOAD k: 200 InternalError, again in");
    answer_error(200, "InvalidPart");
    complete();
    fails(EINVAL, "200 InvalidPart");
}

/* What a HEAD finds out about what has been put together. */
static void answer_completed_object(const char *length, const char *checksum)
{
    char more[600];

    (void)snprintf(more, sizeof(more), META "x-amz-checksum-sha256: %s-3\r\n", checksum);
    answer_found(length, more);
}

/* A server without checksums; its clock says 03:05:45 while the object is from 03:04:05. */
static void answer_dated(const char *date)
{
    char more[600];

    (void)snprintf(more, sizeof(more), META "Date: Tue, 02 Jan 2024 %s GMT\r\n", date);
    answer_found("33", more);
}

static void without_a_checksum_an_old_object_is_not_the_uploads(void **state)
{
    static const struct {
        const char *date;
        bool good;
    } cases[] = {{"03:04:05", true}, {"03:05:00", true}, {"03:06:00", false}, {"03:00:00", true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        answer_error(500, "InternalError");
        answer_error(404, "NoSuchUpload");
        answer_dated(cases[i].date);
        complete();
        if (cases[i].good)
            succeeds();
        else
            fails(ENOENT, "404 NoSuchUpload");
    }
    /* Without a Date our own clock has to do. */
    answer_error(500, "InternalError");
    answer_error(404, "NoSuchUpload");
    answer_found("33", META);
    complete();
    fails(ENOENT, "404 NoSuchUpload");
}

static void an_object_of_other_parts_is_not_the_uploads(void **state)
{
    (void)state;
    answer_error(500, "InternalError");
    answer_error(404, "NoSuchUpload");
    answer_found("33", META "Date: Tue, 02 Jan 2024 03:04:05 GMT\r\n"
                            "x-amz-checksum-sha256: "
                            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-3\r\n");
    complete();
    fails(ENOENT, "404 NoSuchUpload");
    assert_header(2, "x-amz-checksum-mode", "ENABLED");
}

static void a_complete_that_was_done_though_it_looked_otherwise_is_success(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        if (i == 0)
            answer_error(500, "InternalError");
        if (i == 1)
            peer_say(&peer, "", PEER_RST);
        if (i == 2)
            peer_reply(&peer, 200, "", "<CompleteMultipartUploadResult><ETag>");
        if (i == 3)
            answer_error(200, "InternalError");
        if (i == 4)
            peer_reply(&peer, 200, "", "<CompleteMultipartUploadResult/>");
        answer_error(404, "NoSuchUpload");
        answer_completed_object("33", composite());
        complete();
        succeeds();
        assert_string_equal(seen.object.etag, "e1");
        assert_int_equal(seen.object.size, 33);
        assert_request(requests() - 1, "HEAD", "/bkt/pre/k");
    }
}

static void a_complete_whose_answers_were_all_lost_is_looked_for(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        answer_error(500, "InternalError");
    answer_completed_object("33", composite());
    complete();
    succeeds();
    for (int i = 0; i < 4; i++)
        answer_error(500, "InternalError");
    answer_error(404, "");
    complete();
    fails(EAGAIN, "COMPLETE UPLOAD s3://bkt/pre/k: 500 InternalError");
}

static void an_object_that_is_not_the_uploads_is_no_success(void **state)
{
    static const char *const others[] = {"", "x-amz-meta-hfcache-sha256: " HELLO_HEX "\r\n",
                                         "x-amz-meta-hfcache-git-sha1: "
                                         "0123456789abcdef0123456789abcdef01234567\r\n",
                                         META};

    (void)state;
    for (int i = 0; i < 4; i++) {
        answer_error(500, "InternalError");
        answer_error(404, "NoSuchUpload");
        answer_found(i < 3 ? "33" : "34", others[i]);
        complete();
        fails(ENOENT, "404 NoSuchUpload");
    }
    answer_error(500, "InternalError");
    answer_error(404, "NoSuchUpload");
    for (int i = 0; i < 4; i++)
        peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", PEER_KEEP);
    complete();
    fails(ENOENT, "404 NoSuchUpload");
}

static void an_upload_that_never_was_is_told_at_once(void **state)
{
    (void)state;
    answer_error(404, "NoSuchUpload");
    complete();
    fails(ENOENT, "404 NoSuchUpload");
    assert_int_equal(requests(), 1);
}

static void an_abort_of_nothing_succeeds(void **state)
{
    (void)state;
    peer_reply(&peer, 204, "", "");
    answer_error(404, "NoSuchUpload");
    answer_error(404, "NoSuchBucket");
    for (int i = 0; i < 3; i++) {
        fresh();
        hfc_store_abort(store, "k", "u p", on_done, NULL);
        if (i < 2)
            succeeds();
        else
            fails(ENOENT, "NoSuchBucket");
    }
    assert_request(0, "DELETE", "/bkt/pre/k?uploadId=u%20p");
}

/* ---- copies ---- */

static void copy(uint64_t size)
{
    struct hfc_copy c = {
        .from = "a b/\xc3\xbc+", .etag = "e0", .to = "k", .size = size, .meta = *some_meta()};

    fresh();
    seen.op = hfc_store_copy(store, &c, on_done, NULL);
}

#define COPIED(more) "<CopyObjectResult><ETag>\"c1\"</ETag>" more "</CopyObjectResult>"

static void an_object_is_copied_with_new_metadata(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "",
               COPIED("<LastModified>2024-01-02T03:04:05.000Z</LastModified>"
                      "<ChecksumSHA256>" HELLO_BASE64 "</ChecksumSHA256>"));
    copy(5);
    succeeds();
    assert_request(0, "PUT", "/bkt/pre/k");
    assert_header(0, "x-amz-copy-source", "/bkt/pre/a%20b/%C3%BC%2B");
    assert_header(0, "x-amz-copy-source-if-match", "\"e0\"");
    assert_header(0, "x-amz-metadata-directive", "REPLACE");
    assert_header(0, "x-amz-checksum-algorithm", "SHA256");
    assert_header(0, "x-amz-meta-hfcache-sha256", HELLO_HEX);
    assert_header(0, "Content-Type", "application/octet-stream");
    assert_string_equal(seen.object.etag, "c1");
    assert_int_equal(seen.object.size, 5);
    assert_int_equal(seen.object.modified, MODIFIED);
}

static void a_copy_of_other_bytes_or_another_version_is_told(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "",
               COPIED("<ChecksumSHA256>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
                      "</ChecksumSHA256>"));
    peer_reply(&peer, 204, "", "");
    copy(5);
    fails(EBADMSG, "COPY s3://bkt/pre/k: the source has other bytes than its digest says");
    assert_request(1, "DELETE", "/bkt/pre/k");
    answer_error(412, "PreconditionFailed");
    copy(5);
    fails(ESTALE, "the source has changed");
    answer_error(404, "NoSuchKey");
    copy(5);
    fails(ENOENT, "COPY s3://bkt/pre/k: 404 NoSuchKey");
}

static void a_copy_is_tried_again(void **state)
{
    (void)state;
    answer_error(200, "InternalError");
    peer_reply(&peer, 200, "", "<CopyObjectResult/>");
    peer_reply(&peer, 200, "", "<html>");
    peer_reply(&peer, 200, "", COPIED(""));
    copy(5);
    succeeds();
    assert_int_equal(requests(), 4);
    assert_logged("COPY k: 200 InternalError, again in");
    assert_logged("no usable ETag");
}

#define CREATED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
#define PART_COPIED                                                                                \
    "<CopyPartResult><ETag>\"p\"</ETag><ChecksumSHA256>" HELLO_BASE64                              \
    "</ChecksumSHA256></CopyPartResult>"
#define GIB (UINT64_C(1) << 30)

static void more_than_512_mib_are_copied_in_parts(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "", COPIED(""));
    copy(GIB / 2);
    succeeds();
    assert_int_equal(requests(), 1);
    peer_reply(&peer, 200, "", CREATED);
    for (int i = 0; i < 6; i++)
        peer_reply(&peer, 200, "", PART_COPIED);
    answer_completed("");
    copy(5 * GIB / 2 + 1);
    succeeds();
    assert_request(1, "POST", "/bkt/pre/k?uploads=");
    assert_header(1, "x-amz-meta-hfcache-sha256", HELLO_HEX);
    assert_request(2, "PUT", "/bkt/pre/k?partNumber=1&uploadId=U");
    assert_header(2, "x-amz-copy-source", "/bkt/pre/a%20b/%C3%BC%2B");
    assert_header(2, "x-amz-copy-source-if-match", "\"e0\"");
    assert_header(2, "x-amz-copy-source-range", "bytes=0-536870911");
    assert_header(3, "x-amz-copy-source-range", "bytes=536870912-1073741823");
    assert_request(7, "PUT", "/bkt/pre/k?partNumber=6&uploadId=U");
    assert_header(7, "x-amz-copy-source-range", "bytes=2684354560-2684354560");
    assert_request(8, "POST", "/bkt/pre/k?uploadId=U");
    assert_non_null(strstr(peer_request(&peer, 8)->body, "<PartNumber>6</PartNumber>"));
    assert_non_null(strstr(peer_request(&peer, 8)->body, HELLO_BASE64));
    assert_int_equal(requests(), 9);
    assert_true(seen.object.size == 5 * GIB / 2 + 1);
    assert_string_equal(seen.object.etag, "m-3");
    assert_string_equal(seen.upload_id, "");
}

static void a_copy_in_parts_that_fails_is_aborted(void **state)
{
    (void)state;
    answer_error(403, "AccessDenied");
    copy(3 * GIB);
    fails(EACCES, "COPY s3://bkt/pre/k: 403");
    assert_int_equal(requests(), 1);
    peer_reply(&peer, 200, "", CREATED);
    for (int i = 0; i < 3; i++)
        peer_reply(&peer, 200, "", "<CopyPartResult/>");
    peer_reply(&peer, 200, "", PART_COPIED);
    answer_error(412, "PreconditionFailed");
    peer_reply(&peer, 204, "", "");
    copy(3 * GIB);
    fails(ESTALE, "the source has changed");
    assert_request(requests() - 1, "DELETE", "/bkt/pre/k?uploadId=U");
    peer_reply(&peer, 200, "", CREATED);
    for (int i = 0; i < 6; i++)
        peer_reply(&peer, 200, "", PART_COPIED);
    answer_error(400, "InvalidPart");
    answer_error(404, "NoSuchUpload");
    copy(3 * GIB);
    fails(EINVAL, "400 InvalidPart");
    assert_request(requests() - 1, "DELETE", "/bkt/pre/k?uploadId=U");
    peer_reply(&peer, 200, "", CREATED);
    answer_error(200, "AccessDenied");
    peer_reply(&peer, 204, "", "");
    copy(3 * GIB);
    fails(EINVAL, "200 AccessDenied");
    assert_request(requests() - 1, "DELETE", "/bkt/pre/k?uploadId=U");
}

static void a_copy_in_parts_that_is_cancelled_is_aborted_too(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "", CREATED);
    peer_script(&peer, (struct peer_answer){.bytes = "", .wait = true, .then = PEER_FIN});
    peer_reply(&peer, 204, "", "");
    copy(3 * GIB);
    wait_for_requests(2);
    hfc_store_cancel(seen.op);
    fails(ECANCELED, "k");
    wait_for_requests(3);
    assert_request(2, "DELETE", "/bkt/pre/k?uploadId=U");
    answer_found("1", "");
    head("k");
    succeeds();
}

static void no_object_is_that_large(void **state)
{
    (void)state;
    copy(GIB * 40001);
    fails(EINVAL, "no object can be that large");
    copy(UINT64_MAX);
    fails(EINVAL, "no object can be that large");
    assert_int_equal(requests(), 0);
}

/* Ten thousand of 512 MiB would not do. */
static void a_huge_object_is_copied_in_larger_parts(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "", CREATED);
    answer_error(403, "AccessDenied");
    peer_reply(&peer, 204, "", "");
    copy(GIB * 5000 + 1);
    fails(EACCES, "COPY s3://bkt/pre/k: 403");
    assert_header(1, "x-amz-copy-source-range", "bytes=0-1073741823");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_body_with_a_known_hash_is_signed_with_it),
        TEST(a_body_without_a_hash_has_it_behind),
        TEST(an_empty_object_is_put),
        TEST(a_put_is_sent_whole_again),
        TEST(bytes_that_arrived_wrong_are_sent_again_and_then_told),
        TEST(conditions_of_a_put),
        TEST(an_object_that_a_lost_put_has_made_is_success),
        TEST(an_object_of_somebody_else_is_not),
        TEST(without_a_digest_the_metadata_tell),
        TEST(an_answer_before_the_end_of_the_body_is_none),
        TEST(what_can_not_be_put_is_refused_without_a_request),
        TEST(a_source_may_pause),
        TEST(a_source_that_stops_ends_it),
        TEST(a_source_that_can_not_go_back_fails_with_the_error_before),
        TEST(a_source_is_not_asked_after_a_cancel),
        TEST(an_upload_is_created),
        TEST(a_part_is_put_with_its_checksum),
        TEST(an_upload_is_completed_with_all_it_knows),
        TEST(ten_thousand_parts_fit),
        TEST(an_object_of_other_parts_is_deleted_and_told),
        TEST(a_200_may_carry_an_error),
        TEST(a_complete_that_was_done_though_it_looked_otherwise_is_success),
        TEST(a_complete_whose_answers_were_all_lost_is_looked_for),
        TEST(an_object_that_is_not_the_uploads_is_no_success),
        TEST(an_upload_that_never_was_is_told_at_once),
        TEST(an_abort_of_nothing_succeeds),
        TEST(an_object_is_copied_with_new_metadata),
        TEST(a_copy_of_other_bytes_or_another_version_is_told),
        TEST(a_copy_is_tried_again),
        TEST(more_than_512_mib_are_copied_in_parts),
        TEST(a_copy_in_parts_that_fails_is_aborted),
        TEST(a_copy_in_parts_that_is_cancelled_is_aborted_too),
        TEST(no_object_is_that_large),
        TEST(an_object_with_wrong_bytes_is_deleted_and_put_again),
        TEST(a_wrong_object_that_stays_is_not_mistaken_for_somebodys),
        TEST(a_part_with_wrong_bytes_is_put_again),
        TEST(without_a_checksum_an_old_object_is_not_the_uploads),
        TEST(an_object_of_other_parts_is_not_the_uploads),
        TEST(a_huge_object_is_copied_in_larger_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
