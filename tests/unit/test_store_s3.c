/* test_store_s3.c: requests to S3 in general, HEAD, GET, DELETE (lib/store_s3.c, _request, _region,
 * _fault, _object). PUT and the rest: test_store_s3_write.c, test_store_s3_list.c.
 */
#include "s3_probe.h"

#include "http_internal.h"

/* ---- addresses and signatures ---- */

static void a_request_is_addressed_signed_and_answered(void **state)
{
    (void)state;
    peer_say(&peer,
             "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n" HEADERS
             "x-amz-meta-hfcache-sha256: " HELLO_HEX "\r\n"
             "x-amz-meta-hfcache-git-sha1: 0123456789abcdef0123456789abcdef01234567\r\n\r\n",
             PEER_KEEP);
    head("a b/%+#?&=\xc3\xbc");
    succeeds();
    assert_request(0, "HEAD", "/bkt/pre/a%20b/%25%2B%23%3F%26%3D%C3%BC");
    assert_header(0, "x-amz-content-sha256",
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    const char *authorization = header(0, "Authorization");
    assert_non_null(strstr(authorization, "AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_non_null(strstr(authorization, "/us-east-1/s3/aws4_request"));
    assert_header(0, "Host", peer.base + 7);
    assert_header(0, "x-amz-security-token", NULL);
    assert_int_equal(seen.object.size, 12);
    assert_string_equal(seen.object.etag, "e1");
    assert_int_equal(seen.object.modified, MODIFIED);
    char hex[HFC_HEX_MAX];
    assert_true(seen.object.meta.has_sha256 && seen.object.meta.has_git_sha1);
    hfc_hex(seen.object.meta.sha256, HFC_SHA256_SIZE, hex);
    assert_string_equal(hex, HELLO_HEX);
    hfc_hex(seen.object.meta.git_sha1, HFC_SHA1_SIZE, hex);
    assert_string_equal(hex, "0123456789abcdef0123456789abcdef01234567");
}

static void address(const char *url, const char *key, const char *host, const char *path)
{
    hfc_autobuf struct hfc_buf o = HFC_BUF(4096), h = HFC_BUF(4096), p = HFC_BUF(4096);

    reopen(url);
    hfc_s3_address((struct hfc_s3 *)store, key, &o, &h, &p);
    assert_string_equal(h.data, host);
    assert_string_equal(p.data, path);
    assert_non_null(strstr(o.data, h.data));
}

static void addresses_of_aws_have_the_bucket_in_the_host(void **state)
{
    (void)state;
    (void)unsetenv("AWS_ENDPOINT_URL");
    address("s3://my-bucket", "k", "my-bucket.s3.us-east-1.amazonaws.com", "/k");
    address("s3://my-bucket", NULL, "my-bucket.s3.us-east-1.amazonaws.com", "/");
    address("s3://my.bucket", "k", "s3.us-east-1.amazonaws.com", "/my.bucket/k");
    address("s3://My_Bucket", NULL, "s3.us-east-1.amazonaws.com", "/My_Bucket");
    (void)setenv("AWS_REGION", "cn-north-1", 1);
    address("s3://my-bucket", "k", "my-bucket.s3.cn-north-1.amazonaws.com.cn", "/k");
    (void)setenv("HFCACHE_S3_ADDRESSING", "path", 1);
    address("s3://my-bucket", "k", "s3.cn-north-1.amazonaws.com.cn", "/my-bucket/k");
    (void)unsetenv("AWS_REGION");
    (void)unsetenv("HFCACHE_S3_ADDRESSING");
    address("s3://my-bucket", "k", "my-bucket.s3.us-east-1.amazonaws.com", "/k");
    config.region = "eu-west-1";
    address("s3://my-bucket", "k", "my-bucket.s3.eu-west-1.amazonaws.com", "/k");
}

static void addresses_of_an_endpoint_have_the_bucket_in_the_path(void **state)
{
    (void)state;
    (void)setenv("AWS_ENDPOINT_URL", "https://s3.example.org:443/base//", 1);
    address("s3://my-bucket", "a/b", "s3.example.org", "/base/my-bucket/a/b");
    (void)setenv("AWS_ENDPOINT_URL", "http://[::1]:9000", 1);
    address("s3://my-bucket", "a/b", "[::1]:9000", "/my-bucket/a/b");
    (void)setenv("AWS_ENDPOINT_URL", "http://s3.example.org:80", 1);
    (void)setenv("HFCACHE_S3_ADDRESSING", "virtual", 1);
    address("s3://my-bucket", "a", "my-bucket.s3.example.org", "/a");
    address("s3://my-bucket", NULL, "my-bucket.s3.example.org", "/");
}

static void not_opened(const char *url, const char *why)
{
    struct hfc_store *s = hfc_store_open(loop, url, &config, &err);

    assert_null(s);
    if (strstr(err.msg, why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
}

static void what_can_not_be_a_store_is_not_opened(void **state)
{
    char url[700];

    (void)state;
    not_opened("http://bkt", "a store is s3://BUCKET");
    not_opened("bkt\n", "\\n: a store is");
    not_opened("s3://", "not the name of a bucket");
    not_opened("s3://ab", "not the name of a bucket");
    not_opened("s3://-abc", "not the name of a bucket");
    not_opened("s3://..a/x", "not the name of a bucket");
    not_opened("s3://evil@host/x", "not the name of a bucket");
    (void)snprintf(url, sizeof(url), "s3://bkt/%0600d", 0);
    not_opened(url, "more than 512 bytes");
    (void)setenv("HFCACHE_S3_ADDRESSING", "both", 1);
    not_opened("s3://bkt", "HFCACHE_S3_ADDRESSING");
    (void)unsetenv("HFCACHE_S3_ADDRESSING");
    (void)setenv("AWS_ENDPOINT_URL", "ftp://x", 1);
    not_opened("s3://bkt", "the endpoint of S3");
    (void)setenv("AWS_ENDPOINT_URL", "http://x/?a=b", 1);
    not_opened("s3://bkt", "the endpoint of S3");
    config.region = "evil.example.com/";
    not_opened("s3://bkt", "the region is no name of one");
    config.region = NULL;
    (void)setenv("AWS_PROFILE", "nobody", 1);
    not_opened("s3://bkt", "nobody");
    assert_null(hfc_store_open(loop, "s3://ab", &config, NULL));
    assert_null(hfc_store_open(loop, "x", &config, NULL));
}

static void a_prefix_has_one_slash_behind_it(void **state)
{
    (void)state;
    reopen("s3://bkt///some/where/");
    assert_string_equal(hfc_store_url(store), "s3://bkt///some/where/");
    answer_head("1");
    head("k");
    succeeds();
    assert_request(0, "HEAD", "/bkt/some/where/k");
}

static void keys_that_can_not_be_are_refused_without_a_request(void **state)
{
    static char key[1100];

    (void)state;
    memset(key, 'k', 1021);
    head(key);
    fails(EINVAL, "more than 1024 bytes");
    head("");
    fails(EINVAL, "an empty key");
    head("a\xff");
    fails(EINVAL, "not UTF-8");
    head("a/../b");
    fails(EINVAL, "segment");
    head(".");
    fails(EINVAL, "segment");
    fresh();
    hfc_store_list(store, key, on_item, on_done, NULL);
    fails(EINVAL, "more than 1024 bytes");
    fresh();
    hfc_store_list(store, "\xff", on_item, on_done, NULL);
    fails(EINVAL, "not UTF-8");
    fresh();
    hfc_store_get(store, &(struct hfc_get){.key = "k", .if_match = "a\"b"}, on_data, on_done, NULL);
    fails(EINVAL, "ETag");
    fresh();
    hfc_store_get(store, &(struct hfc_get){.key = "k", .if_none_match = ""}, on_data, on_done,
                  NULL);
    fails(EINVAL, "ETag");
    get(1, UINT64_MAX);
    fails(EINVAL, "beyond all objects");
    get(UINT64_MAX, 1);
    fails(EINVAL, "beyond all objects");
    reopen("s3://bkt/a/../b");
    head("k");
    fails(EINVAL, "segment");
    assert_int_equal(requests(), 0);
    reopen("s3://bkt");
    answer_head("1");
    head("a//b/");
    succeeds();
    assert_request(0, "HEAD", "/bkt/a//b/");
}

/* ---- errors ---- */

static void an_error_says_what_where_and_why(void **state)
{
    (void)state;
    answer_error(403, "AccessDenied");
    get(0, 0);
    fails(EACCES, "GET s3://bkt/pre/k: 403 AccessDenied: what is wrong (request R1); credentials: "
                  "environment");
    answer_error(404, "NoSuchBucket");
    get(0, 0);
    fails(ENOENT, "404 NoSuchBucket: what is wrong (request R1); the bucket doesn't exist");
    peer_reply(&peer, 404, "x-amz-request-id: R2\r\n", "<html>no</html>");
    get(0, 0);
    fails(ENOENT, "404 not found (request R2)");
    peer_reply(&peer, 404, "", "");
    head("k");
    fails(ENOENT, "HEAD s3://bkt/pre/k: 404 not found");
}

static void control_characters_of_a_server_do_not_reach_a_terminal(void **state)
{
    (void)state;
    peer_reply(&peer, 403, "",
               "<Error><Code>A\nB</Code><Message>\xe2\x80\xae&#13;x</Message></Error>");
    get(0, 0);
    fails(EACCES, "403 A\\nB: ");
    assert_null(strchr(seen.err.msg, '\n'));
    assert_null(strchr(seen.err.msg, '\r'));
    assert_null(strstr(seen.err.msg, "\xe2\x80\xae"));
}

static void each_kind_of_error_has_its_errno(void **state)
{
    static const struct {
        int status;
        const char *code;
        int errnum;
    } all[] = {
        {404, "NoSuchKey", ENOENT},
        {404, "NoSuchUpload", ENOENT},
        {401, "Unknown", EACCES},
        {403, "InvalidAccessKeyId", EACCES},
        {403, "SignatureDoesNotMatch", EACCES},
        {407, "", EACCES},
        {412, "PreconditionFailed", ESTALE},
        {400, "InvalidArgument", EINVAL},
        {405, "MethodNotAllowed", EINVAL},
        {501, "NotImplemented", EINVAL},
        {505, "", EAGAIN},
        {507, "XMinioStorageFull", ENOSPC},
        {507, "Other", ENOSPC},
        {403, "QuotaExceeded", ENOSPC},
        {301, "PermanentRedirect", EINVAL},
        {418, "", EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        answer_error(all[i].status, all[i].code);
        get(0, 0);
        fails(all[i].errnum, all[i].code);
        assert_int_equal(requests(), i + 1);
    }
}

static void passing_troubles_are_tried_again_and_logged(void **state)
{
    static const struct {
        int status;
        const char *code;
    } all[] = {{503, "SlowDown"},          {500, "InternalError"},    {429, ""},
               {400, "RequestTimeout"},    {409, "OperationAborted"}, {502, ""},
               {503, "ServiceUnavailable"}};
    struct hfc_store_stats stats;

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char line[200];
        answer_error(all[i].status, all[i].code);
        peer_reply(&peer, 200, HEADERS, "x");
        get(0, 0);
        succeeds();
        assert_int_equal(requests(), 2 * i + 2);
        (void)snprintf(line, sizeof(line), "GET k: %d %s", all[i].status, all[i].code);
        assert_logged(line);
    }
    assert_logged("GET k: 503 SlowDown, again in 0.0 s (2 of 4)\n");
    hfc_store_stats(store, &stats);
    assert_int_equal(stats.requests, 14);
    assert_int_equal(stats.retries, 7);
    assert_int_equal(stats.throttled, 3);
    assert_true(stats.bytes_in > 7);
    assert_int_equal(stats.http.exchanges, 14);
}

static void the_last_try_says_what_was_wrong(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        answer_error(503, "SlowDown");
    get(0, 0);
    fails(EAGAIN, "503 SlowDown");
    assert_int_equal(requests(), 4);
}

static void retry_after_is_obeyed(void **state)
{
    (void)state;
    peer_reply(&peer, 503, "Retry-After: 1\r\n", "");
    peer_reply(&peer, 200, HEADERS, "x");
    get(0, 0);
    succeeds();
    assert_logged("GET k: 503 unavailable, again in 1.0 s (2 of 4)");
}

static void a_reset_connection_is_tried_again(void **state)
{
    (void)state;
    peer_say(&peer, "", PEER_RST);
    peer_say(&peer, "", PEER_FIN);
    peer_reply(&peer, 200, HEADERS, "x");
    get(0, 0);
    succeeds();
    assert_int_equal(requests(), 3);
    /* One more than tries: the client itself repeats what it sent on an idle connection. */
    for (int i = 0; i < 5; i++)
        peer_say(&peer, "", PEER_RST);
    get(0, 0);
    fails(ENOTCONN, "GET s3://bkt/pre/k: ");
}

static void nobody_there_is_told(void **state)
{
    (void)state;
    (void)setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    reopen("s3://bkt");
    head("k");
    fails(ENOTCONN, "HEAD s3://bkt/k: ");
    assert_logged("(4 of 4)");
}

static void a_server_that_does_not_speak_tls_is_final(void **state)
{
    char url[64];

    (void)state;
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d", peer.port);
    (void)setenv("AWS_ENDPOINT_URL", url, 1);
    peer.refuse = true;
    peer.refuse_then = PEER_FIN;
    reopen("s3://bkt");
    head("k");
    wait_for_end();
    assert_true(seen.failed);
    assert_int_equal(seen.err.errnum, ENOTCONN);
}

/* ---- region, clock, keys ---- */

static void the_region_is_corrected_and_remembered(void **state)
{
    (void)state;
    peer_reply(&peer, 301, "x-amz-bucket-region: eu-west-1\r\n", "");
    answer_head("1");
    answer_head("1");
    head("k");
    succeeds();
    head("k");
    succeeds();
    assert_int_equal(requests(), 3);
    assert_non_null(strstr(header(0, "Authorization"), "/us-east-1/s3/"));
    assert_non_null(strstr(header(1, "Authorization"), "/eu-west-1/s3/"));
    assert_non_null(strstr(header(2, "Authorization"), "/eu-west-1/s3/"));
    assert_logged("bucket bkt is in region eu-west-1, not us-east-1");
    assert_null(strstr(seen.log.data, "again in"));
}

static void the_region_may_stand_in_the_error(void **state)
{
    (void)state;
    peer_reply(
        &peer, 400, "",
        "<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>");
    peer_reply(&peer, 200, HEADERS, "x");
    get(0, 0);
    succeeds();
    assert_non_null(strstr(header(1, "Authorization"), "/ap-south-1/s3/"));
}

static void a_region_that_is_none_or_keeps_changing_is_not_followed(void **state)
{
    (void)state;
    peer_reply(&peer, 301, "x-amz-bucket-region: evil.example.com/\r\n", "");
    head("k");
    fails(EINVAL, "301 moved permanently");
    peer_reply(&peer, 301, "x-amz-bucket-region: us-east-1\r\n", "");
    head("k");
    fails(EINVAL, "301 moved permanently");
    for (int i = 0; i < 2; i++) {
        peer_reply(&peer, 301, "x-amz-bucket-region: r-1\r\n", "");
        peer_reply(&peer, 301, "x-amz-bucket-region: r-2\r\n", "");
    }
    head("k");
    fails(EINVAL, "301 moved permanently");
    assert_int_equal(requests(), 6);
}

static void a_redirect_to_another_host_is_not_followed(void **state)
{
    static struct peer other;
    char location[100];

    (void)state;
    peer_start(&other);
    (void)snprintf(location, sizeof(location), "Location: %s/bkt/k\r\n", other.base);
    peer_reply(&peer, 307, location, "");
    head("k");
    fails(EINVAL, "307 redirected");
    assert_int_equal(peer_count(&other, &other.n_requests), 0);
    assert_int_equal(requests(), 1);
    peer_stop(&other);
}

static void hosts_of_aws_name_their_region(void **state)
{
    static const struct {
        const char *text, *region;
    } all[] = {
        {"https://bkt.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
        {"bkt.s3-us-west-2.amazonaws.com", "us-west-2"},
        {"https://s3.cn-north-1.amazonaws.com.cn/bkt", "cn-north-1"},
        {"http://s3-eu-central-1.amazonaws.com:80", "eu-central-1"},
        {"s3.amazonaws.com", NULL},
        {"bkt.s3.amazonaws.com", NULL},
        {"https://example.com/s3.eu-west-1.amazonaws.com", NULL},
        {"https://xs3.eu-west-1.amazonaws.com/", NULL},
        {"https://s3.a.b.amazonaws.com/", NULL},
        {"", NULL},
    };
    char region[HFC_S3_REGION_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool found = hfc_s3_region_of_host(all[i].text, region);
        assert_int_equal(found, all[i].region != NULL);
        if (found)
            assert_string_equal(region, all[i].region);
    }
}

/* As AWS answers where it doesn't send a header: the region is in another host's name. */
static void redirected_to(const char *location, const char *endpoint, const char *region)
{
    struct hfc_response r = {.status = 307};
    struct hfc_s3_op op = {.op.store = store, .region = "us-east-1"};
    struct hfc_s3_fault f = {.status = 307};

    hfc_buf_init(&r.head, 1000);
    if (location != NULL)
        hfc_buf_printf(&r.head, "location%c%s%c", 0, location, 0);
    (void)snprintf(f.endpoint, sizeof(f.endpoint), "%s", endpoint);
    assert_int_equal(hfc_s3_learn_region(&op, &r, &f), region != NULL);
    if (region != NULL)
        assert_string_equal(((struct hfc_s3 *)store)->region, region);
    hfc_buf_free(&r.head);
}

static void a_redirect_of_aws_names_the_region(void **state)
{
    (void)state;
    redirected_to("https://bkt.s3.eu-west-1.amazonaws.com/k", "", NULL);
    (void)unsetenv("AWS_ENDPOINT_URL");
    reopen("s3://bkt");
    redirected_to("https://bkt.s3.eu-west-1.amazonaws.com/k", "", "eu-west-1");
    redirected_to(NULL, "bkt.s3-eu-west-2.amazonaws.com", "eu-west-2");
    redirected_to("https://bkt.s3.eu-west-1.example.com/k", "", NULL);
    redirected_to(NULL, "", NULL);
}

static void date_in(char *to, size_t size, int64_t seconds)
{
    time_t t = time(NULL) + seconds;
    struct tm tm;

    (void)gmtime_r(&t, &tm);
    (void)strftime(to, size, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
}

/* Seconds that the request's x-amz-date is off. */
static int64_t skew_of(unsigned request)
{
    struct tm tm = {0};

    assert_non_null(strptime(header(request, "x-amz-date"), "%Y%m%dT%H%M%SZ", &tm));
    return timegm(&tm) - time(NULL);
}

static void assert_about(int64_t value, int64_t expected)
{
    if (llabs((long long)(value - expected)) > 30)
        fail_msg("%lld is not about %lld", (long long)value, (long long)expected);
}

static void a_wrong_clock_is_corrected_and_remembered(void **state)
{
    char date[100];

    (void)state;
    date_in(date, sizeof(date), 7200);
    peer_reply(&peer, 403, date, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    peer_reply(&peer, 200, HEADERS, "x");
    answer_head("1");
    get(0, 0);
    succeeds();
    head("k");
    succeeds();
    assert_about(skew_of(0), 0);
    assert_about(skew_of(1), 7200);
    assert_about(skew_of(2), 7200);
    assert_logged("the server's clock is ");
    assert_null(strstr(seen.log.data, "again in"));
}

static void a_refusal_by_a_clock_far_away_is_the_clocks(void **state)
{
    char date[100];

    (void)state;
    date_in(date, sizeof(date), -3600);
    peer_reply(&peer, 403, date, "");
    peer_reply(&peer, 403, date, "");
    head("k");
    fails(EACCES, "403 forbidden");
    assert_int_equal(requests(), 2);
    assert_about(skew_of(1), -3600);
    date_in(date, sizeof(date), -3500);
    peer_reply(&peer, 403, date, "");
    head("k");
    fails(EACCES, "403 forbidden");
    assert_int_equal(requests(), 3);
}

static void a_clock_that_keeps_jumping_is_given_up(void **state)
{
    char date[100];

    (void)state;
    for (int i = 1; i <= 4; i++) {
        date_in(date, sizeof(date), i * 10000);
        peer_reply(&peer, 403, date, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    }
    get(0, 0);
    fails(EACCES, "403 RequestTimeTooSkewed");
    assert_int_equal(requests(), 4);
}

/* Keys that come from a service of the container, under a name that counts. */
static struct peer keeper;
static unsigned issued;

static void issue_keys(void *ctx, const struct peer_request *r, struct peer_answer *answer)
{
    char body[400];

    (void)ctx;
    (void)r;
    issued++;
    (void)snprintf(body, sizeof(body),
                   "{\"AccessKeyId\":\"AK%u\",\"SecretAccessKey\":\"hush\",\"Token\":\"T%u\","
                   "\"Expiration\":\"2099-01-01T00:00:00Z\"}",
                   issued, issued);
    answer->bytes = peer_format(200, "Content-Type: application/json\r\n", body);
    answer->owned = true;
}

static void with_a_keeper(void)
{
    char url[100];

    issued = 0;
    memset(&keeper, 0, sizeof(keeper));
    keeper.handler = issue_keys;
    peer_start(&keeper);
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    (void)snprintf(url, sizeof(url), "%s/keys", keeper.base);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    reopen("s3://bkt");
}

static void keys_are_waited_for_and_fetched_once(void **state)
{
    (void)state;
    with_a_keeper();
    answer_head("1");
    answer_head("1");
    head("k");
    succeeds();
    head("k");
    succeeds();
    assert_non_null(strstr(header(0, "Authorization"), "Credential=AK1/"));
    assert_header(0, "x-amz-security-token", "T1");
    assert_header(1, "x-amz-security-token", "T1");
    assert_int_equal(issued, 1);
    hfc_store_close(store);
    store = NULL;
    peer_stop(&keeper);
}

static void expired_keys_are_renewed_once(void **state)
{
    (void)state;
    with_a_keeper();
    answer_error(400, "ExpiredToken");
    peer_reply(&peer, 200, HEADERS, "x");
    get(0, 0);
    succeeds();
    assert_header(0, "x-amz-security-token", "T1");
    assert_header(1, "x-amz-security-token", "T2");
    answer_error(403, "InvalidToken");
    answer_error(403, "InvalidToken");
    get(0, 0);
    fails(EACCES, "403 InvalidToken");
    assert_int_equal(requests(), 4);
    assert_int_equal(issued, 3);
    hfc_store_close(store);
    store = NULL;
    peer_stop(&keeper);
}

static void a_head_refused_without_a_word_may_be_expired_keys(void **state)
{
    (void)state;
    with_a_keeper();
    peer_reply(&peer, 400, "", "");
    answer_head("1");
    head("k");
    succeeds();
    assert_header(1, "x-amz-security-token", "T2");
    hfc_store_close(store);
    store = NULL;
    peer_stop(&keeper);
}

static void a_refusal_does_not_end_the_use_of_fixed_keys(void **state)
{
    (void)state;
    peer_reply(&peer, 400, "", "");
    head("k");
    fails(EINVAL, "HEAD s3://bkt/pre/k: 400 bad request");
    answer_error(400, "ExpiredToken");
    get(0, 0);
    fails(EACCES, "400 ExpiredToken");
    assert_int_equal(requests(), 2);
    answer_head("1");
    head("k");
    succeeds();
}

static void refuse_on_log(void *ctx, const char *line)
{
    on_log(ctx, line);
    struct hfc_aws_creds *creds = ((struct hfc_s3 *)store)->creds;
    assert_true(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), true));
}

static void keys_that_run_out_between_two_tries_are_waited_for(void **state)
{
    (void)state;
    config.log = refuse_on_log;
    with_a_keeper();
    answer_error(503, "SlowDown");
    answer_head("1");
    head("k");
    succeeds();
    assert_header(0, "x-amz-security-token", "T1");
    assert_header(1, "x-amz-security-token", "T2");
    assert_int_equal(requests(), 2);
    hfc_store_close(store);
    store = NULL;
    peer_stop(&keeper);
}

static void no_keys_at_all_is_told(void **state)
{
    (void)state;
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    reopen("s3://bkt");
    head("k");
    fails(EACCES, "HEAD s3://bkt/k: no usable credentials: ");
    fresh();
    hfc_store_list(store, "", on_item, on_done, NULL);
    fails(EACCES, "LIST s3://bkt/: no usable credentials: ");
    assert_int_equal(requests(), 0);
}

static void keys_that_can_not_be_fetched_are_told(void **state)
{
    (void)state;
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", peer.base, 1);
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    peer.handler = NULL;
    reopen("s3://bkt");
    for (int i = 0; i < 20; i++)
        peer_reply(&peer, 403, "", "no");
    head("k");
    fails(EACCES, "no usable credentials: ");
}

/* ---- HEAD and DELETE ---- */

static void a_head_without_etag_or_length_is_no_answer(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", PEER_KEEP);
    head("k");
    fails(EBADMSG, "no usable ETag");
    for (int i = 0; i < 4; i++)
        peer_say(&peer, "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n", PEER_FIN);
    head("k");
    fails(EBADMSG, "no Content-Length");
}

static void etags_are_freed_of_their_quotes(void **state)
{
    static const struct {
        const char *text, *etag;
    } all[] = {
        {"\"a\"", "a"}, {"a", "a"},    {"W/\"a-2\"", "a-2"}, {"\"\"", NULL},  {"", NULL},
        {"\"", NULL},   {"a b", NULL}, {"a\"b", NULL},       {"a\x01", NULL}, {"\xc3\xbc", NULL},
    };
    char etag[HFC_ETAG_MAX], text[200];

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int rc = hfc_s3_etag(all[i].text, etag);
        assert_int_equal(rc, all[i].etag != NULL ? 0 : -1);
        if (rc == 0)
            assert_string_equal(etag, all[i].etag);
    }
    (void)snprintf(text, sizeof(text), "%0*d", HFC_ETAG_MAX - 1, 0);
    assert_int_equal(hfc_s3_etag(text, etag), 0);
    (void)snprintf(text, sizeof(text), "%0*d", HFC_ETAG_MAX, 0);
    assert_int_equal(hfc_s3_etag(text, etag), -1);
}

static void a_delete_of_nothing_succeeds(void **state)
{
    (void)state;
    peer_reply(&peer, 204, "", "");
    answer_error(404, "NoSuchKey");
    answer_error(404, "NoSuchBucket");
    for (int i = 0; i < 3; i++) {
        fresh();
        hfc_store_delete(store, "k", on_done, NULL);
        if (i < 2)
            succeeds();
        else
            fails(ENOENT, "NoSuchBucket");
    }
    assert_request(0, "DELETE", "/bkt/pre/k");
}

/* ---- GET ---- */

static void assert_data(const char *text)
{
    assert_string_equal(seen.data.data, text);
}

static void answer_range(const char *range, const char *body)
{
    char headers[300];

    (void)snprintf(headers, sizeof(headers), HEADERS "Content-Range: bytes %s\r\n", range);
    peer_reply(&peer, 206, headers, body);
}

static void a_whole_object_is_asked_for_without_a_range(void **state)
{
    (void)state;
    peer_reply(&peer, 200, HEADERS, "hello");
    peer_reply(&peer, 200, HEADERS, "");
    get(0, 0);
    succeeds();
    assert_data("hello");
    assert_request(0, "GET", "/bkt/pre/k");
    assert_header(0, "Range", NULL);
    assert_header(0, "If-Match", NULL);
    assert_int_equal(seen.object.size, 5);
    assert_int_equal(seen.object.modified, MODIFIED);
    get(0, 0);
    succeeds();
    assert_data("");
    assert_int_equal(seen.object.size, 0);
    assert_int_equal(seen.calls, 1);
}

static void a_range_is_asked_for_and_checked(void **state)
{
    (void)state;
    answer_range("2-4/10", "llo");
    answer_range("7-9/10", "xyz");
    get(2, 3);
    succeeds();
    assert_data("llo");
    assert_header(0, "Range", "bytes=2-4");
    assert_int_equal(seen.object.size, 10);
    get(7, 0);
    succeeds();
    assert_data("xyz");
    assert_header(1, "Range", "bytes=7-");
}

static void a_wrong_content_range_is_tried_again(void **state)
{
    static const char *const wrong[] = {
        "1-3/10",
        "2-3/10",
        "2-5/10",
        "3-4/10",
        "x-4/10",
        "2-4/*",
        "4-2/10",
        "2-4/4",
        "2-4",
        "",
        "2-4/10x",
        "2-/10",
        "-4/10",
        "2-4/0000000000000000000000000000000000000000000000000000000000000000000000000000000010"};

    (void)state;
    config.retry.tries = 40;
    reopen("s3://bkt/pre");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        answer_range(wrong[i], "bad");
    peer_reply(&peer, 206, HEADERS, "bad");
    answer_range("2-4/10", "ba");
    answer_range("2-5/10", "long");
    answer_range("2-3/10", "no");
    answer_range("2-4/10", "");
    answer_range("2-4/10", "llo");
    get(2, 3);
    succeeds();
    assert_data("llo");
    assert_int_equal(requests(), sizeof(wrong) / sizeof(wrong[0]) + 6);
    assert_logged("206 with another Content-Range than was asked for");
    assert_logged("206 without a readable Content-Range");
    assert_logged("Content-Length and Content-Range contradict each other");
}

static void a_200_for_a_range_is_taken_from_its_start_only(void **state)
{
    (void)state;
    peer_reply(&peer, 200, HEADERS, "hello world");
    get(0, 5);
    succeeds();
    assert_data("hello");
    assert_int_equal(seen.object.size, 11);
    peer_reply(&peer, 200, HEADERS, "hello");
    get(0, 5);
    succeeds();
    assert_data("hello");
    for (int i = 0; i < 4; i++)
        peer_reply(&peer, 200, HEADERS, "hello world");
    get(6, 5);
    fails(EBADMSG, "200 for a range");
    assert_data("");
    peer_reply(&peer, 206, HEADERS, "hello");
    peer_reply(&peer, 200, HEADERS, "hello");
    get(0, 0);
    succeeds();
    assert_logged("206 for the whole object");
}

static void an_object_that_is_too_short_is_told(void **state)
{
    (void)state;
    answer_range("2-4/5", "llo");
    get(2, 10);
    fails(EBADMSG, "the object has 5 bytes, 10 from 2 were asked for");
    peer_reply(&peer, 200, HEADERS, "hello");
    get(0, 10);
    fails(EBADMSG, "the object has 5 bytes, 10 from 0 were asked for");
    answer_error(416, "InvalidRange");
    get(20, 10);
    fails(EBADMSG, "shorter than 30 bytes");
    answer_error(416, "InvalidRange");
    get(20, 0);
    fails(EBADMSG, "shorter than 21 bytes");
    assert_data("");
    assert_int_equal(requests(), 4);
}

static void a_cut_body_goes_on_where_it_broke_off(void **state)
{
    static const enum peer_then then[] = {PEER_RST, PEER_FIN};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        peer_script(&peer,
                    (struct peer_answer){
                        .bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" HEADERS "\r\n0123",
                        .then = PEER_FIN});
        peer_say(
            &peer,
            "HTTP/1.1 206 Partial\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\n" HEADERS
            "\r\n",
            then[i]);
        answer_range("4-9/10", "456789");
        get(0, 0);
        succeeds();
        assert_data("0123456789");
        assert_int_equal(seen.object.size, 10);
        for (unsigned n = 1; n < 3; n++) {
            assert_header(3 * i + n, "Range", "bytes=4-");
            assert_header(3 * i + n, "If-Match", "\"e1\"");
        }
    }
}

static void a_cut_range_goes_on_within_it(void **state)
{
    (void)state;
    peer_say(&peer,
             "HTTP/1.1 206 Partial\r\nContent-Length: 6\r\nContent-Range: bytes 2-7/10\r\n" HEADERS
             "\r\n234",
             PEER_FIN);
    answer_range("5-7/10", "567");
    get(2, 6);
    succeeds();
    assert_data("234567");
    assert_header(1, "Range", "bytes=5-7");
}

static void an_object_that_changes_meanwhile_is_stale(void **state)
{
    static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" HEADERS "\r\n0123";

    (void)state;
    peer_say(&peer, cut, PEER_FIN);
    answer_error(412, "PreconditionFailed");
    get(0, 0);
    fails(ESTALE, "412 PreconditionFailed");
    peer_say(&peer, cut, PEER_FIN);
    peer_reply(&peer, 206, "ETag: \"e2\"\r\nContent-Range: bytes 4-9/10\r\n", "456789");
    get(0, 0);
    fails(ESTALE, "the object has changed");
    assert_data("0123");
}

static void conditions_of_a_get(void **state)
{
    struct hfc_get g = {.key = "k", .if_match = "e0", .if_none_match = "e9"};

    (void)state;
    peer_say(&peer, "HTTP/1.1 304 Not Modified\r\nETag: \"e9\"\r\n\r\n", PEER_KEEP);
    fresh();
    hfc_store_get(store, &g, on_data, on_done, NULL);
    fails(EALREADY, "304 not modified");
    assert_header(0, "If-Match", "\"e0\"");
    assert_header(0, "If-None-Match", "\"e9\"");
    peer_reply(&peer, 200, HEADERS, "hello");
    fresh();
    hfc_store_get(store, &g, on_data, on_done, NULL);
    fails(ESTALE, "the object has changed");
    assert_data("");
}

static void a_body_without_a_length_is_taken_to_its_end(void **state)
{
    (void)state;
    peer_say(&peer,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" HEADERS
             "\r\n5\r\nhello\r\n0\r\n\r\n",
             PEER_KEEP);
    get(0, 0);
    succeeds();
    assert_data("hello");
    assert_int_equal(seen.object.size, 5);
    peer_say(&peer,
             "HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\n" HEADERS
             "Content-Range: bytes 1-3/10\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
             PEER_KEEP);
    peer_say(&peer,
             "HTTP/1.1 206 OK\r\nTransfer-Encoding: chunked\r\n" HEADERS
             "Content-Range: bytes 1-3/10\r\n\r\n2\r\nel\r\n0\r\n\r\n",
             PEER_KEEP);
    answer_range("3-3/10", "l");
    get(1, 3);
    succeeds();
    assert_data("ell");
    assert_logged("more bytes than Content-Range says");
    assert_logged("the body ended after 2 of 3 bytes");
}

static void all_bytes_of_a_cut_answer_are_enough(void **state)
{
    (void)state;
    peer_say(&peer,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" HEADERS "\r\n5\r\nhello\r\n",
             PEER_FIN);
    get(0, 5);
    succeeds();
    assert_data("hello");
    assert_int_equal(requests(), 1);
}

static void an_answer_without_etag_is_tried_again(void **state)
{
    (void)state;
    peer_reply(&peer, 200, "", "hello");
    peer_reply(&peer, 204, HEADERS, "");
    peer_reply(&peer, 200, HEADERS, "hello");
    get(0, 0);
    succeeds();
    assert_data("hello");
    assert_logged("no usable ETag");
    assert_logged("unexpected status 204");
}

static void a_reader_may_pause_and_stop(void **state)
{
    (void)state;
    peer_reply(&peer, 200, HEADERS, "hello");
    get(0, 0);
    seen.pauses = 3;
    succeeds();
    assert_data("hello");
    assert_int_equal(seen.calls, 4);
    peer_reply(&peer, 200, HEADERS, "hello");
    get(0, 0);
    seen.stop_after = 1;
    fails(ECANCELED, "stopped");
    seen.stop_after = 0;
}

/* Larger than the buffers, so that the exchange is still under way. */
static void answer_much(size_t n, size_t of)
{
    char head_text[300];
    int len = snprintf(head_text, sizeof(head_text),
                       "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n" HEADERS "\r\n", of);
    char *text = malloc((size_t)len + n);

    assert_non_null(text);
    memcpy(text, head_text, (size_t)len);
    memset(text + len, 'x', n);
    peer_script(&peer,
                (struct peer_answer){.bytes = text, .size = (size_t)len + n, .then = PEER_FIN});
    free(text);
}

static void a_transfer_that_came_a_good_way_has_all_its_tries_again(void **state)
{
    enum { PIECE = 2 << 20, TIMES = 6 };
    char range[100];

    (void)state;
    answer_much(PIECE, TIMES * PIECE);
    for (int i = 1; i < TIMES; i++) {
        char head_text[400];
        int len = snprintf(head_text, sizeof(head_text),
                           "HTTP/1.1 206 Partial\r\nContent-Length: %d\r\nContent-Range: bytes "
                           "%d-%d/%d\r\n" HEADERS "\r\n",
                           (TIMES - i) * PIECE, i * PIECE, TIMES * PIECE - 1, TIMES * PIECE);
        char *text = calloc(1, (size_t)len + PIECE);
        assert_non_null(text);
        memcpy(text, head_text, (size_t)len);
        memset(text + len, 'x', PIECE);
        peer_script(&peer, (struct peer_answer){
                               .bytes = text, .size = (size_t)len + PIECE, .then = PEER_FIN});
        free(text);
    }
    get(0, 0);
    succeeds();
    assert_int_equal(requests(), TIMES);
    assert_int_equal(seen.data.len, TIMES * PIECE);
    (void)snprintf(range, sizeof(range), "bytes=%d-", (TIMES - 1) * PIECE);
    assert_header(TIMES - 1, "Range", range);
}

/* ---- the end of operations ---- */

static void an_operation_can_be_cancelled_at_any_time(void **state)
{
    (void)state;
    peer_script(&peer, (struct peer_answer){.bytes = "", .wait = true, .then = PEER_FIN});
    head("k");
    wait_for_requests(1);
    hfc_store_cancel(seen.op);
    fails(ECANCELED, "k");
    answer_much(4 << 20, 4 << 20);
    get(0, 0);
    seen.cancel = true;
    fails(ECANCELED, "k");
    assert_int_equal(seen.dones, 1);
    head("");
    hfc_store_cancel(seen.op);
    fails(ECANCELED, "");
}

static void cancel_on_log(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
    hfc_store_cancel(seen.op);
}

static void a_cancel_between_two_tries_ends_it(void **state)
{
    (void)state;
    config.log = cancel_on_log;
    reopen("s3://bkt");
    peer_reply(&peer, 503, "Retry-After: 3000\r\n", "");
    head("k");
    fails(ECANCELED, "k");
}

static unsigned ended;

static void count_end(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *e)
{
    (void)ctx;
    (void)reply;
    assert_int_equal(e->errnum, ECANCELED);
    seen.over = ++ended == 3;
}

static void stopping_the_loop_cancels_all(void **state)
{
    (void)state;
    ended = 0;
    for (int i = 0; i < 3; i++) {
        peer_script(&peer, (struct peer_answer){.bytes = "", .wait = true, .then = PEER_FIN});
        seen.op = hfc_store_head(store, "k", count_end, NULL);
    }
    wait_for_requests(3);
    hfc_store_cancel(seen.op);
    hfc_loop_stop(loop);
    wait_for_end();
    answer_head("1");
    head("k");
    succeeds();
}

static void closing_drops_what_is_under_way(void **state)
{
    (void)state;
    peer_script(&peer, (struct peer_answer){.bytes = "", .wait = true, .then = PEER_FIN});
    head("k");
    head("l");
    wait_for_requests(2);
    hfc_store_close(store);
    store = NULL;
    assert_int_equal(seen.dones, 0);
    hfc_store_close(NULL);
}

static void close_store(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *e)
{
    on_done(ctx, reply, e);
    hfc_store_close(store);
    store = NULL;
}

static void the_end_of_an_operation_may_close_the_store(void **state)
{
    (void)state;
    answer_head("3");
    fresh();
    hfc_store_head(store, "k", close_store, NULL);
    wait_for_end();
    assert_false(seen.failed);
    assert_int_equal(seen.object.size, 3);
}

static void a_resume_without_need_does_no_harm(void **state)
{
    (void)state;
    answer_head("3");
    head("k");
    hfc_store_resume(seen.op);
    succeeds();
    head("");
    hfc_store_resume(seen.op);
    fails(EINVAL, "empty");
}

static void nobody_has_to_listen_to_the_log(void **state)
{
    (void)state;
    config.log = NULL;
    reopen("s3://bkt");
    answer_error(503, "SlowDown");
    peer_reply(&peer, 200, HEADERS, "x");
    get(0, 0);
    succeeds();
    assert_int_equal(seen.log.len, 0);
}

/* Cut after two of four bytes: the rest is asked for. */
static void a_weak_etag_is_no_condition_but_is_compared(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        peer_say(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: W/\"e1\"\r\n\r\nab",
                 PEER_FIN);
        peer_say(&peer,
                 i == 0 ? "HTTP/1.1 206 OK\r\nContent-Length: 2\r\nETag: W/\"e1\"\r\n"
                          "Content-Range: bytes 2-3/4\r\n\r\ncd"
                        : "HTTP/1.1 206 OK\r\nContent-Length: 2\r\nETag: W/\"e2\"\r\n"
                          "Content-Range: bytes 2-3/4\r\n\r\ncd",
                 PEER_KEEP);
        get(0, 0);
        if (i == 0)
            succeeds();
        else
            fails(ESTALE, "the object has changed");
        assert_header(2 * (unsigned)i + 1, "Range", "bytes=2-");
        assert_header(2 * (unsigned)i + 1, "If-Match", NULL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_addressed_signed_and_answered),
        TEST(addresses_of_aws_have_the_bucket_in_the_host),
        TEST(addresses_of_an_endpoint_have_the_bucket_in_the_path),
        TEST(what_can_not_be_a_store_is_not_opened),
        TEST(a_prefix_has_one_slash_behind_it),
        TEST(keys_that_can_not_be_are_refused_without_a_request),
        TEST(an_error_says_what_where_and_why),
        TEST(control_characters_of_a_server_do_not_reach_a_terminal),
        TEST(each_kind_of_error_has_its_errno),
        TEST(passing_troubles_are_tried_again_and_logged),
        TEST(the_last_try_says_what_was_wrong),
        TEST(retry_after_is_obeyed),
        TEST(a_reset_connection_is_tried_again),
        TEST(nobody_there_is_told),
        TEST(a_server_that_does_not_speak_tls_is_final),
        TEST(the_region_is_corrected_and_remembered),
        TEST(the_region_may_stand_in_the_error),
        TEST(a_region_that_is_none_or_keeps_changing_is_not_followed),
        TEST(a_redirect_to_another_host_is_not_followed),
        cmocka_unit_test(hosts_of_aws_name_their_region),
        TEST(a_redirect_of_aws_names_the_region),
        TEST(a_wrong_clock_is_corrected_and_remembered),
        TEST(a_refusal_by_a_clock_far_away_is_the_clocks),
        TEST(a_clock_that_keeps_jumping_is_given_up),
        TEST(keys_are_waited_for_and_fetched_once),
        TEST(expired_keys_are_renewed_once),
        TEST(a_head_refused_without_a_word_may_be_expired_keys),
        TEST(a_refusal_does_not_end_the_use_of_fixed_keys),
        TEST(keys_that_run_out_between_two_tries_are_waited_for),
        TEST(no_keys_at_all_is_told),
        TEST(keys_that_can_not_be_fetched_are_told),
        TEST(a_head_without_etag_or_length_is_no_answer),
        cmocka_unit_test(etags_are_freed_of_their_quotes),
        TEST(a_delete_of_nothing_succeeds),
        TEST(a_whole_object_is_asked_for_without_a_range),
        TEST(a_range_is_asked_for_and_checked),
        TEST(a_wrong_content_range_is_tried_again),
        TEST(a_200_for_a_range_is_taken_from_its_start_only),
        TEST(an_object_that_is_too_short_is_told),
        TEST(a_cut_body_goes_on_where_it_broke_off),
        TEST(a_cut_range_goes_on_within_it),
        TEST(an_object_that_changes_meanwhile_is_stale),
        TEST(conditions_of_a_get),
        TEST(a_body_without_a_length_is_taken_to_its_end),
        TEST(all_bytes_of_a_cut_answer_are_enough),
        TEST(an_answer_without_etag_is_tried_again),
        TEST(a_reader_may_pause_and_stop),
        TEST(a_transfer_that_came_a_good_way_has_all_its_tries_again),
        TEST(an_operation_can_be_cancelled_at_any_time),
        TEST(a_cancel_between_two_tries_ends_it),
        TEST(stopping_the_loop_cancels_all),
        TEST(closing_drops_what_is_under_way),
        TEST(the_end_of_an_operation_may_close_the_store),
        TEST(a_resume_without_need_does_no_harm),
        TEST(nobody_has_to_listen_to_the_log),
        TEST(a_weak_etag_is_no_condition_but_is_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
