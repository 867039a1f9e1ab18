/* test_hub_fetch.c: bytes of the Hub's files: redirects, signed URLs, ranges, and all that may go
 * wrong with them (refresh/hub_source.c, hub_fetch.c). */
#include "hub_check.h"
#include "hub_internal.h"

#define SIGNED "/blob?Signature=secret"
#define CONTENT "0123456789"
enum { CONTENT_SIZE = 10 };

static struct hub_source *source;
static struct hub_file file;

/* What came, and what the reader does: at `pause_at` bytes it pauses once, at `stop_at` stops, at
 * `cancel_at` cancels. */
static struct reader {
    struct hfc_buf got;
    struct hub_op *op;
    size_t pause_at, stop_at, cancel_at;
    struct hfc_timer timer;
    bool done;
    struct hfc_error err;
} readers[3];

static void open_source(bool lfs, uint64_t size)
{
    hub_source_free(source);
    file = (struct hub_file){.path = "d \xC3\xA4/f%?#", .size = size, .lfs = lfs};
    assert_true(hfc_unhex(SHA256_TEXT, file.sha256, HFC_SHA256_SIZE));
    assert_true(hfc_unhex(SHA1_TEXT, file.git_sha1, HFC_SHA1_SIZE));
    source = hub_source_new(hub, REPO_MODEL, "org/name", COMMIT, &file);
}

static int setup_fetch(void **state)
{
    source = NULL;
    memset(readers, 0, sizeof(readers));
    for (int i = 0; i < 3; i++)
        hfc_buf_init(&readers[i].got, 16 << 20);
    return setup(state);
}

static int teardown_fetch(void **state)
{
    hub_source_free(source);
    for (int i = 0; i < 3; i++) {
        hfc_timer_stop(&readers[i].timer);
        hfc_buf_free(&readers[i].got);
    }
    return teardown(state);
}

static void resume(void *ctx)
{
    hub_resume(((struct reader *)ctx)->op);
}

static enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    struct reader *r = ctx;

    assert_true(n > 0);
    if (r->pause_at > 0 && r->got.len + n >= r->pause_at) {
        r->pause_at = 0;
        hfc_timer_start(loop, &r->timer, 1, resume, r);
        return HFC_FLOW_PAUSE;
    }
    if (r->stop_at > 0 && r->got.len + n >= r->stop_at)
        return HFC_FLOW_STOP;
    if (r->cancel_at > 0 && r->got.len + n >= r->cancel_at)
        hub_cancel(r->op);
    hfc_buf_add(&r->got, bytes, n);
    return HFC_FLOW_ON;
}

static void on_fetched(void *ctx, const struct hfc_error *err)
{
    struct reader *r = ctx;

    assert_false(r->done);
    r->done = true;
    if (err != NULL)
        r->err = *err;
    done = false;
    set_result(err);
}

static void fetch(int i, uint64_t offset, uint64_t length)
{
    readers[i].op = hub_fetch(source, offset, length, on_data, on_fetched, &readers[i]);
}

static void run_all(int n)
{
    for (int i = 0; i < n; i++)
        while (!readers[i].done)
            run();
}

static void expect_bytes(const char *expected)
{
    assert_int_equal(readers[0].got.len, strlen(expected));
    assert_string_equal(readers[0].got.data, expected);
}

/* The redirect of a large file to its signed URL. */
static void redirect_headers(const char *headers, const char *path)
{
    char text[1024];

    snprintf(text, sizeof(text), "%sLocation: %s%s\r\nLink: <x>; rel=\"xet-auth\"\r\n", headers,
             cdn.base, path);
    peer_reply(&front, 302, text, "Found. Redirecting");
}

static void redirect(void)
{
    redirect_headers("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT "\"\r\n"
                     "X-Linked-Size: 10\r\nX-Xet-Hash: abc\r\n",
                     SIGNED);
}

/* Lets the redirect that waits go on once so many requests have reached the CDN. */
static void *release_redirect(void *requests)
{
    (void)peer_request(&cdn, *(unsigned *)requests - 1);
    peer_release(&front);
    return NULL;
}

/* A redirect that comes when `requests` requests are at the CDN: then they all got the answers that
 * were meant for them. Join the thread. */
static pthread_t redirect_after(unsigned *requests)
{
    static char text[1024];
    pthread_t thread;

    snprintf(text, sizeof(text),
             "HTTP/1.1 302 Found\r\nX-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT
             "\"\r\nX-Linked-Size: 10\r\nLocation: %s%s\r\nContent-Length: 0\r\n\r\n",
             cdn.base, SIGNED);
    peer_script(&front, (struct peer_answer){.bytes = text, .wait = true});
    assert_int_equal(pthread_create(&thread, NULL, release_redirect, requests), 0);
    return thread;
}

static void reply_range(struct peer *p, unsigned first, unsigned last, const char *bytes)
{
    char text[200];

    snprintf(text, sizeof(text), "Content-Range: bytes %u-%u/%d\r\nETag: \"other\"\r\n", first,
             last, CONTENT_SIZE);
    peer_reply(p, 206, text, bytes);
}

#define RESOLVE_TARGET "/org/name/resolve/" COMMIT "/d%20%C3%A4/f%25%3F%23"
#define PLAIN_HEADERS "X-Repo-Commit: " COMMIT "\r\nETag: \"" SHA1_TEXT "\"\r\n"

static void a_large_file_is_read_by_range_from_its_signed_url(void **state)
{
    struct hub_stats stats;

    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    reply_range(&cdn, 2, 5, "2345");
    fetch(0, 2, 4);
    expect_success();
    expect_bytes("2345");
    expect_target(&front, 0, RESOLVE_TARGET);
    expect_header(&front, 0, "Authorization", "Bearer " TOKEN);
    expect_target(&cdn, 0, SIGNED);
    expect_header(&cdn, 0, "Range", "bytes=2-5");
    expect_header(&cdn, 0, "Accept-Encoding", "identity");
    hub_stats(hub, &stats);
    assert_int_equal(stats.resolvers, 1);
    assert_int_equal(stats.cdn, 1);
    assert_int_equal(stats.api, 0);
}

static void ranges_of_a_file_share_one_signed_url(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    for (int i = 0; i < 3; i++) {
        fetch(i, 0, 10);
        reply_range(&cdn, 0, 9, CONTENT);
    }
    run_all(3);
    assert_int_equal(count_requests(&front), 1);
    assert_int_equal(count_requests(&cdn), 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(readers[i].got.data, CONTENT);
    /* And later ones. */
    reply_range(&cdn, 9, 9, "9");
    readers[0].done = false;
    hfc_buf_reset(&readers[0].got);
    fetch(0, 9, 1);
    expect_success();
    expect_bytes("9");
    assert_int_equal(count_requests(&front), 1);
}

static void a_small_file_is_read_with_one_question(void **state)
{
    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_reply(&front, 307, "Location: /api/resolve-cache/models/org/name/" COMMIT "/f?x=1\r\n",
               "Temporary Redirect");
    peer_reply(&front, 200, PLAIN_HEADERS, CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    expect_target(&front, 0, RESOLVE_TARGET);
    expect_target(&front, 1, "/api/resolve-cache/models/org/name/" COMMIT "/f?x=1");
    for (unsigned i = 0; i < 2; i++) {
        expect_header(&front, i, "Range", NULL);
        expect_header(&front, i, "Authorization", "Bearer " TOKEN);
    }
}

static void datasets_have_their_own_address(void **state)
{
    (void)state;
    file = (struct hub_file){.path = "f", .size = 1};
    assert_true(hfc_unhex(SHA1_TEXT, file.git_sha1, HFC_SHA1_SIZE));
    source = hub_source_new(hub, REPO_DATASET, "org/name", COMMIT, &file);
    peer_reply(&front, 200, PLAIN_HEADERS, "x");
    fetch(0, 0, 1);
    expect_success();
    expect_target(&front, 0, "/datasets/org/name/resolve/" COMMIT "/f");
}

static void part_of_a_small_file_is_asked_for_by_range(void **state)
{
    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_reply(&front, 206, PLAIN_HEADERS "Content-Range: bytes 3-4/10\r\n", "34");
    fetch(0, 3, 2);
    expect_success();
    expect_bytes("34");
    expect_header(&front, 0, "Range", "bytes=3-4");
}

static void nothing_takes_no_question(void **state)
{
    (void)state;
    open_source(true, 0);
    fetch(0, 0, 0);
    assert_false(readers[0].done);
    expect_success();
    assert_int_equal(count_requests(&front), 0);
    readers[0].done = false;
    fetch(0, 0, 0);
    hub_cancel(readers[0].op);
    expect_failure(ECANCELED, "cancelled");
}

static void a_small_file_on_another_server_gets_no_token(void **state)
{
    char header[300];

    (void)state;
    open_source(false, CONTENT_SIZE);
    snprintf(header, sizeof(header), "X-Repo-Commit: " COMMIT "\r\nLocation: %s/f\r\n", cdn.base);
    peer_reply(&front, 302, header, "");
    peer_reply(&cdn, 200, "", CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
}

static void a_small_file_that_is_refused_elsewhere_is_asked_for_again(void **state)
{
    char header[300];

    (void)state;
    open_source(false, CONTENT_SIZE);
    snprintf(header, sizeof(header), "X-Repo-Commit: " COMMIT "\r\nLocation: %s/f\r\n", cdn.base);
    peer_reply(&front, 302, header, "");
    peer_reply(&cdn, 403, "", "");
    peer_reply(&front, 302, header, "");
    peer_reply(&cdn, 200, "", CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
}

static void a_rename_is_followed_to_the_signed_url(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    peer_reply(&front, 307, "Location: /new/name/resolve/" COMMIT "/f\r\n", "");
    redirect();
    reply_range(&cdn, 0, 9, CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    expect_target(&front, 1, "/new/name/resolve/" COMMIT "/f");
    /* Any of the Hub's answers may name the commit. */
    open_source(true, CONTENT_SIZE);
    readers[0].done = false;
    hfc_buf_reset(&readers[0].got);
    peer_reply(&front, 307, "Location: /new\r\nX-Repo-Commit: " COMMIT "\r\n", "");
    redirect_headers("X-Linked-ETag: \"" SHA256_TEXT "\"\r\n", SIGNED);
    reply_range(&cdn, 0, 9, CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
}

static void a_cdn_may_redirect_once_more(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    peer_reply(&cdn, 302, "Location: /other?Signature=secret\r\n", "");
    reply_range(&cdn, 0, 9, CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    expect_target(&cdn, 1, "/other?Signature=secret");
    expect_header(&cdn, 1, "Range", "bytes=0-9");
}

/* A Hub without CDN, such as a mirror or a private one. */
static void a_hub_may_send_a_large_file_itself(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    peer_reply(&front, 200, "X-Repo-Commit: " COMMIT "\r\nETag: \"" SHA256_TEXT "\"\r\n", CONTENT);
    reply_range(&front, 4, 5, "45");
    fetch(0, 4, 2);
    expect_success();
    expect_bytes("45");
    expect_header(&front, 0, "Range", "bytes=0-0");
    expect_target(&front, 1, RESOLVE_TARGET);
    expect_header(&front, 1, "Authorization", "Bearer " TOKEN);
    open_source(true, CONTENT_SIZE);
    readers[0].done = false;
    hfc_buf_reset(&readers[0].got);
    peer_reply(&front, 206, "X-Repo-Commit: " COMMIT "\r\nContent-Range: bytes 0-0/10\r\n", "0");
    reply_range(&front, 4, 5, "45");
    fetch(0, 4, 2);
    expect_success();
    expect_bytes("45");
}

static void check_refused_redirect(const char *headers, int errnum, const char *message)
{
    unsigned before = count_requests(&cdn);

    open_source(true, CONTENT_SIZE);
    redirect_headers(headers, SIGNED);
    readers[0].done = false;
    fetch(0, 0, 10);
    expect_failure(errnum, message);
    assert_int_equal(count_requests(&cdn), before);
}

static void a_redirect_that_contradicts_the_listing_is_an_error(void **state)
{
    (void)state;
    check_refused_redirect("X-Repo-Commit: " OTHER_COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT
                           "\"\r\nX-Linked-Size: 10\r\n",
                           EBADMSG, "another commit");
    check_refused_redirect("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA1_TEXT
                           "\"\r\nX-Linked-Size: 10\r\n",
                           EBADMSG, "disagree on the hash");
    check_refused_redirect("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"\"\r\n", EBADMSG,
                           "disagree on the hash");
    check_refused_redirect("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT
                           "\"\r\nX-Linked-Size: 11\r\n",
                           EBADMSG, "disagree on the size");
    check_refused_redirect("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT
                           "\"\r\nX-Linked-Size: x\r\n",
                           EBADMSG, "disagree on the size");
    check_refused_redirect("X-Linked-ETag: \"" SHA256_TEXT "\"\r\n", EPROTO, "names no commit");
}

static void what_is_not_the_hub_gives_no_bytes(void **state)
{
    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_reply(&front, 200, "Content-Type: text/html\r\n", "<html>____");
    fetch(0, 0, 10);
    expect_failure(EPROTO, "names no commit");
    assert_int_equal(readers[0].got.len, 0);
    readers[0].done = false;
    open_source(true, CONTENT_SIZE);
    peer_reply(&front, 200, "", "<html>");
    fetch(0, 0, 10);
    expect_failure(EPROTO, "names no commit");
    readers[0].done = false;
    peer_reply(&front, 204, "", "");
    fetch(0, 0, 10);
    expect_failure(EPROTO, "status 204 without content");
    readers[0].done = false;
    peer_reply(&front, 200, "X-Repo-Commit: " OTHER_COMMIT "\r\n", "x");
    fetch(0, 0, 10);
    expect_failure(EBADMSG, "another commit");
    assert_int_equal(count_requests(&cdn), 0);
}

static void a_small_file_that_contradicts_the_listing_is_an_error(void **state)
{
    static const struct {
        const char *headers, *message;
    } wrong[] = {
        {"X-Repo-Commit: " OTHER_COMMIT "\r\n", "another commit"},
        {"X-Repo-Commit: " COMMIT "\r\nETag: \"ffffffffffffffffffffffffffffffffffffffff\"\r\n",
         "disagree on the hash"},
        {"X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"x\"\r\n", "disagree on the hash"},
        {"X-Repo-Commit: " COMMIT "\r\nX-Linked-Size: 11\r\n", "disagree on the size"},
    };

    (void)state;
    open_source(false, CONTENT_SIZE);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        peer_reply(&front, 200, wrong[i].headers, CONTENT);
        readers[0].done = false;
        fetch(0, 0, 10);
        expect_failure(EBADMSG, wrong[i].message);
        assert_int_equal(readers[0].got.len, 0);
    }
    peer_reply(&front, 307, "Location: /x\r\nX-Repo-Commit: " OTHER_COMMIT "\r\n", CONTENT);
    readers[0].done = false;
    fetch(0, 0, 10);
    expect_failure(EBADMSG, "another commit");
    /* A proxy's ETag is no digest. */
    peer_reply(&front, 200, "X-Repo-Commit: " COMMIT "\r\nETag: W/\"proxy\"\r\n", CONTENT);
    readers[0].done = false;
    fetch(0, 0, 10);
    expect_success();
}

static void refusals_of_the_hub_reach_all_who_wait(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    peer_reply(&front, 403, "X-Error-Code: GatedRepo\r\n", "");
    for (int i = 0; i < 3; i++)
        fetch(i, (uint64_t)i, 1);
    run_all(3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(readers[i].err.errnum, EACCES);
    assert_int_equal(count_requests(&front), 1);
    readers[0].done = false;
    open_source(false, CONTENT_SIZE);
    peer_reply(&front, 404, "X-Error-Code: EntryNotFound\r\nX-Repo-Commit: " COMMIT "\r\n", "");
    fetch(0, 0, 10);
    expect_failure(ENOENT, "no such file");
}

static void those_who_wait_may_be_cancelled(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    reply_range(&cdn, 2, 2, "2");
    for (int i = 0; i < 3; i++)
        fetch(i, (uint64_t)i, 1);
    hub_resume(readers[0].op);
    hub_cancel(readers[0].op);
    hub_cancel(readers[1].op);
    run_all(3);
    assert_int_equal(readers[0].err.errnum, ECANCELED);
    assert_int_equal(readers[1].err.errnum, ECANCELED);
    assert_int_equal(readers[2].err.errnum, 0);
    assert_string_equal(readers[2].got.data, "2");
}

static void a_source_may_be_freed_after_its_fetches_were_cancelled(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    fetch(0, 0, 1);
    hub_cancel(readers[0].op);
    hub_source_free(source);
    source = NULL;
    hub_source_free(source);
    expect_failure(ECANCELED, "cancelled");
}

/* The user frees the source in the last done(). */
static void free_source(void *ctx, const struct hfc_error *err)
{
    (void)ctx;
    hub_source_free(source);
    source = NULL;
    set_result(err);
}

static void a_source_may_be_freed_by_its_last_fetch(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    peer_reply(&front, 404, "X-Error-Code: EntryNotFound\r\n", "");
    hub_fetch(source, 0, 1, on_data, free_source, &readers[0]);
    expect_failure(ENOENT, "no such file");
    assert_null(source);
}

static void an_expired_url_is_replaced_and_the_fetch_goes_on(void **state)
{
    static const int statuses[] = {403, 400, 401, 404, 410};
    struct hub_stats stats;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        open_source(true, CONTENT_SIZE);
        redirect();
        peer_say(&cdn,
                 "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n0123",
                 PEER_FIN);
        peer_reply(&cdn, statuses[i], "", "<Error><Code>AccessDenied</Code></Error>");
        redirect_headers("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: W/\"" SHA256_TEXT "\"\r\n",
                         "/fresh?Signature=secret");
        reply_range(&cdn, 4, 9, "456789");
        readers[0].done = false;
        hfc_buf_reset(&readers[0].got);
        fetch(0, 0, 10);
        expect_success();
        expect_bytes(CONTENT);
        expect_target(&cdn, 3 * i + 2, "/fresh?Signature=secret");
        expect_header(&cdn, 3 * i + 2, "Range", "bytes=4-9");
    }
    hub_stats(hub, &stats);
    assert_int_equal(stats.expired, 5);
    assert_non_null(strstr(log_text, "127.0.0.1 refuses the address that the Hub gave (403)"));
}

/* Two ranges find out at the same time; one question is enough. */
static void an_expired_url_is_replaced_once_for_all(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    for (int i = 0; i < 3; i++)
        peer_script(&cdn,
                    (struct peer_answer){.bytes = "HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n"});
    for (int i = 0; i < 3; i++)
        fetch(i, 0, 10);
    unsigned requests = 3;
    pthread_t thread = redirect_after(&requests);
    for (int i = 0; i < 3; i++)
        reply_range(&cdn, 0, 9, CONTENT);
    /* Should the second redirect be asked for twice, its second answer is no redirect. */
    peer_reply(&front, 500, "", "");
    run_all(3);
    (void)pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++)
        assert_string_equal(readers[i].got.data, CONTENT);
    assert_int_equal(count_requests(&front), 2);
}

/* Who hears late that the old address has expired takes the new one, which is there already. */
static void a_late_refusal_does_not_spoil_the_new_url(void **state)
{
    static const char refusal[] = "HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n";

    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    unsigned requests = 2;
    pthread_t thread = redirect_after(&requests);
    peer_script(&cdn, (struct peer_answer){.bytes = refusal});
    peer_script(&cdn, (struct peer_answer){.bytes = refusal, .wait = true});
    reply_range(&cdn, 0, 9, CONTENT);
    reply_range(&cdn, 0, 9, CONTENT);
    fetch(0, 0, 10);
    fetch(1, 0, 10);
    expect_success();
    peer_release(&cdn);
    run_all(2);
    (void)pthread_join(thread, NULL);
    assert_string_equal(readers[0].got.data, CONTENT);
    assert_string_equal(readers[1].got.data, CONTENT);
    assert_int_equal(count_requests(&front), 2);
    assert_int_equal(count_requests(&cdn), 4);
}

static void addresses_that_brought_bytes_do_not_count(void **state)
{
    char answer[200];

    (void)state;
    open_source(true, CONTENT_SIZE);
    for (int i = 0; i < 9; i++) {
        redirect();
        snprintf(answer, sizeof(answer),
                 "HTTP/1.1 206 P\r\nContent-Range: bytes %d-9/10\r\nContent-Length: %d\r\n\r\n%d",
                 i, 10 - i, i);
        peer_say(&cdn, answer, PEER_FIN);
        peer_reply(&cdn, 403, "", "");
    }
    redirect();
    reply_range(&cdn, 9, 9, "9");
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
}

static void an_address_that_never_works_is_given_up(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    for (int i = 0; i < 6; i++) {
        redirect();
        peer_reply(&cdn, 403, "", "");
    }
    fetch(0, 0, 10);
    expect_failure(EACCES, "refuses the address that the Hub gave (403)");
    assert_int_equal(count_requests(&front), 5);
}

/* Every way in which a first attempt may fail; the second gets the rest, from `rest` on. */
static void check_retry(const char *answer, enum peer_then then, unsigned rest)
{
    unsigned before = count_requests(&cdn);
    char range[32];

    redirect();
    open_source(true, CONTENT_SIZE);
    peer_say(&cdn, answer, then);
    reply_range(&cdn, rest, 9, CONTENT + rest);
    hfc_buf_reset(&readers[0].got);
    readers[0].done = false;
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    snprintf(range, sizeof(range), "bytes=%u-9", rest);
    expect_header(&cdn, before + 1, "Range", range);
}

#define PARTIAL "HTTP/1.1 206 P\r\nContent-Length: 10\r\nContent-Range: "

static void a_fetch_goes_on_where_it_broke_off(void **state)
{
    (void)state;
    check_retry(PARTIAL "bytes 0-9/10\r\n\r\n", PEER_FIN, 0);
    check_retry(PARTIAL "bytes 0-9/10\r\n\r\n0", PEER_RST, 1);
    check_retry(PARTIAL "bytes 0-9/10\r\n\r\n01234", PEER_FIN, 5);
    check_retry(PARTIAL "bytes 0-9/10\r\n\r\n012345678", PEER_FIN, 9);
    check_retry("HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/*\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\n012\r\n0\r\n\r\n",
                PEER_KEEP, 3);
}

static void an_answer_that_does_not_fit_is_asked_for_again(void **state)
{
    (void)state;
    check_retry(PARTIAL "bytes 1-9/10\r\n\r\n0123456789", PEER_FIN, 0);
    check_retry(PARTIAL "bytes 0-8/10\r\n\r\n0123456789", PEER_FIN, 0);
    check_retry(PARTIAL "bytes 0-9/11\r\n\r\n0123456789", PEER_FIN, 0);
    check_retry(PARTIAL "nonsense\r\n\r\n0123456789", PEER_FIN, 0);
    check_retry("HTTP/1.1 206 P\r\nContent-Length: 10\r\n\r\n0123456789", PEER_FIN, 0);
    check_retry("HTTP/1.1 206 P\r\nContent-Length: 9\r\nContent-Range: bytes 0-9/10\r\n\r\n"
                "012345678",
                PEER_FIN, 0);
    check_retry("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", PEER_FIN, 0);
    check_retry("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n"
                "0123456789",
                PEER_FIN, 0);
    check_retry("HTTP/1.1 416 R\r\nContent-Length: 0\r\nContent-Range: bytes */10\r\n\r\n",
                PEER_KEEP, 0);
    check_retry("HTTP/1.1 503 S\r\nContent-Length: 0\r\n\r\n", PEER_KEEP, 0);
    check_retry("HTTP/1.1 429 T\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n", PEER_KEEP, 0);
}

static void a_200_for_a_range_is_used_from_where_it_fits(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    peer_reply(&cdn, 200, "Content-Encoding: identity\r\n", CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    readers[0].done = false;
    hfc_buf_reset(&readers[0].got);
    peer_reply(&cdn, 200, "", CONTENT);
    readers[0].pause_at = 1;
    fetch(0, 3, 4);
    expect_success();
    expect_bytes("3456");
}

static void a_server_that_ignores_far_ranges_fails(void **state)
{
    (void)state;
    open_source(true, 20 << 20);
    redirect_headers("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT "\"\r\n", SIGNED);
    for (int i = 0; i < 3; i++)
        peer_say(&cdn, "HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\nxx", PEER_FIN);
    fetch(0, 10 << 20, 10);
    expect_failure(EPROTO, "ignores Range");
    assert_int_equal(readers[0].got.len, 0);
}

static void more_bytes_than_a_file_has_are_an_error(void **state)
{
    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_say(&front, "HTTP/1.1 200 OK\r\n" PLAIN_HEADERS "\r\n0123456789x", PEER_FIN);
    fetch(0, 0, 10);
    expect_failure(EBADMSG, "more bytes than the file has");
    assert_int_equal(readers[0].got.len, 10);
}

static void a_small_file_goes_on_where_it_broke_off(void **state)
{
    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_say(&front, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" PLAIN_HEADERS "\r\n0123",
             PEER_RST);
    peer_reply(&front, 206, PLAIN_HEADERS "Content-Range: bytes 4-9/10\r\n", "456789");
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    expect_header(&front, 1, "Range", "bytes=4-9");
    /* Or from its start, if the Hub does not care for ranges. */
    readers[0].done = false;
    hfc_buf_reset(&readers[0].got);
    peer_say(&front, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" PLAIN_HEADERS "\r\n0123",
             PEER_FIN);
    peer_reply(&front, 200, PLAIN_HEADERS, CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
}

static void a_part_that_nobody_asked_for_is_not_taken(void **state)
{
    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_reply(&front, 206, PLAIN_HEADERS "Content-Range: bytes 0-9/10\r\n", CONTENT);
    peer_reply(&front, 200, PLAIN_HEADERS, CONTENT);
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
}

static void other_answers_of_a_cdn_are_errors(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    peer_reply(&cdn, 204, "", "");
    fetch(0, 0, 10);
    expect_failure(EPROTO, "127.0.0.1 answers with status 204 to a download");
    readers[0].done = false;
    peer_reply(&cdn, 451, "X-Error-Code: RepoNotFound\r\n", "");
    fetch(0, 0, 10);
    expect_failure(EPROTO, "127.0.0.1 answers with status 451");
    readers[0].done = false;
    for (int i = 0; i < 3; i++)
        peer_reply(&cdn, 500, "", "");
    fetch(0, 0, 10);
    expect_failure(EAGAIN, "127.0.0.1 answers with status 500");
    readers[0].done = false;
    for (int i = 0; i < 3; i++)
        peer_say(&cdn, PARTIAL "bytes 0-9/10\r\n\r\n", PEER_RST);
    fetch(0, 0, 10);
    expect_failure(ENOTCONN, "127.0.0.1");
}

/* A Hub that serves its files itself may lose one. */
static void a_refusal_with_the_hubs_code_is_not_an_expired_url(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    peer_reply(&front, 206, "X-Repo-Commit: " COMMIT "\r\nContent-Range: bytes 0-0/10\r\n", "0");
    peer_reply(&front, 404, "X-Error-Code: EntryNotFound\r\n", "");
    fetch(0, 0, 10);
    expect_failure(ENOENT, "no such file");
    readers[0].done = false;
    peer_reply(&front, 206, "X-Repo-Commit: " OTHER_COMMIT "\r\nContent-Range: bytes 0-9/10\r\n",
               CONTENT);
    fetch(0, 0, 10);
    expect_failure(EBADMSG, "another commit");
}

/* Seven cuts are more than there are tries; but each came a good way. */
static void tries_count_anew_after_progress(void **state)
{
    enum { STEP = 100000, STEPS = 8 };
    hfc_autobuf struct hfc_buf text = HFC_BUF(1 << 20);
    struct hub_stats stats;

    (void)state;
    open_source(true, (uint64_t)STEP * STEPS);
    redirect_headers("X-Repo-Commit: " COMMIT "\r\nX-Linked-ETag: \"" SHA256_TEXT "\"\r\n", SIGNED);
    for (int i = 0; i < STEPS; i++) {
        hfc_buf_reset(&text);
        hfc_buf_printf(&text,
                       "HTTP/1.1 206 P\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n"
                       "\r\n%0*d",
                       i * STEP, STEP * STEPS - 1, STEP * STEPS, STEP * (STEPS - i), STEP, i);
        peer_say(&cdn, text.data, PEER_FIN);
    }
    fetch(0, 0, (uint64_t)STEP * STEPS);
    expect_success();
    assert_int_equal(readers[0].got.len, STEP * STEPS);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(readers[0].got.data[(i + 1) * STEP - 1], '0' + i);
    hub_stats(hub, &stats);
    assert_int_equal(stats.retries, STEPS - 1);
    assert_int_equal(stats.resolvers, 1);
}

/* A byte every now and then, so that it never stalls. */
static unsigned drips;

static void drip(void *ctx)
{
    peer_release(&cdn);
    if (--drips > 0)
        hfc_timer_start(loop, ctx, 100, drip, ctx);
}

/* lib/http.c gives it up; the fetch goes on behind what has come. */
static void a_trickle_is_given_up(void **state)
{
    static const char drops[] =
        "HTTP/1.1 206 P\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/10\r\n\r\n01";
    struct hfc_timer t = {0};

    (void)state;
    config.http.stall_timeout = 900;
    open_hub();
    open_source(true, CONTENT_SIZE);
    redirect();
    peer_script(&cdn,
                (struct peer_answer){.bytes = drops, .piece = 10, .step = true, .then = PEER_HANG});
    reply_range(&cdn, 2, 9, "23456789");
    drips = (sizeof(drops) - 1 + 9) / 10;
    hfc_timer_start(loop, &t, 100, drip, &t);
    fetch(0, 0, 10);
    expect_success();
    hfc_timer_stop(&t);
    expect_bytes(CONTENT);
    assert_non_null(strstr(log_text, "too slow"));
}

static void a_paused_fetch_goes_on(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    reply_range(&cdn, 0, 9, CONTENT);
    readers[0].pause_at = 1;
    fetch(0, 0, 10);
    expect_success();
    expect_bytes(CONTENT);
    assert_int_equal(count_requests(&cdn), 1);
}

static void a_reader_may_stop_or_cancel(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    redirect();
    reply_range(&cdn, 0, 9, CONTENT);
    readers[0].stop_at = 1;
    fetch(0, 0, 10);
    expect_failure(ECANCELED, "stopped");
    readers[0].stop_at = 0;
    readers[0].done = false;
    readers[0].cancel_at = 1;
    reply_range(&cdn, 0, 9, CONTENT);
    fetch(0, 0, 10);
    expect_failure(ECANCELED, "cancelled");
    assert_int_equal(count_requests(&cdn), 2);
}

/* As if the question had been asked by https. */
static void pretend_https(void *ctx)
{
    struct request *q = readers[0].op->class->request(readers[0].op);

    hfc_watch_stop(ctx);
    free(q->url);
    q->url = strdup("https://127.0.0.1/x");
    peer_release(&front);
}

static void a_redirect_from_https_to_http_is_refused(void **state)
{
    struct hfc_watch watch = {0};

    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_script(&front,
                (struct peer_answer){.bytes = "HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\n"
                                              "Content-Length: 0\r\n\r\n",
                                     .wait = true});
    fetch(0, 0, 10);
    hfc_watch_start(loop, &watch, front.events, pretend_https, &watch);
    expect_failure(EPROTO, "refused to follow a redirect from https to http");
}

static void a_client_may_be_freed_with_fetches_cancelled(void **state)
{
    (void)state;
    open_source(true, CONTENT_SIZE);
    fetch(0, 0, 10);
    fetch(1, 0, 10);
    hub_cancel(readers[0].op);
    hub_cancel(readers[1].op);
    hub_source_free(source);
    source = NULL;
    hub_free(hub);
    hub = NULL;
    assert_false(readers[0].done || readers[1].done);
}

static void the_resolvers_limit_holds_downloads_back(void **state)
{
    struct hub_stats stats;

    (void)state;
    open_source(false, CONTENT_SIZE);
    peer_reply(&front, 429, "RateLimit: \"resolvers\";r=0;t=0\r\n", "");
    peer_reply(&front, 200, PLAIN_HEADERS, CONTENT);
    peer_reply(&front, 200, PLAIN_HEADERS, CONTENT);
    fetch(0, 0, 10);
    fetch(1, 0, 10);
    run_all(2);
    hub_stats(hub, &stats);
    assert_true(stats.limited >= 1);
    assert_int_equal(stats.retries, 0);
    assert_string_equal(readers[1].got.data, CONTENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_fetch, teardown_fetch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_file_is_read_by_range_from_its_signed_url),
        TEST(ranges_of_a_file_share_one_signed_url),
        TEST(a_small_file_is_read_with_one_question),
        TEST(datasets_have_their_own_address),
        TEST(part_of_a_small_file_is_asked_for_by_range),
        TEST(nothing_takes_no_question),
        TEST(a_small_file_on_another_server_gets_no_token),
        TEST(a_small_file_that_is_refused_elsewhere_is_asked_for_again),
        TEST(a_rename_is_followed_to_the_signed_url),
        TEST(a_cdn_may_redirect_once_more),
        TEST(a_hub_may_send_a_large_file_itself),
        TEST(a_redirect_that_contradicts_the_listing_is_an_error),
        TEST(what_is_not_the_hub_gives_no_bytes),
        TEST(a_small_file_that_contradicts_the_listing_is_an_error),
        TEST(refusals_of_the_hub_reach_all_who_wait),
        TEST(those_who_wait_may_be_cancelled),
        TEST(a_source_may_be_freed_after_its_fetches_were_cancelled),
        TEST(a_source_may_be_freed_by_its_last_fetch),
        TEST(an_expired_url_is_replaced_and_the_fetch_goes_on),
        TEST(an_expired_url_is_replaced_once_for_all),
        TEST(a_late_refusal_does_not_spoil_the_new_url),
        TEST(addresses_that_brought_bytes_do_not_count),
        TEST(an_address_that_never_works_is_given_up),
        TEST(a_fetch_goes_on_where_it_broke_off),
        TEST(an_answer_that_does_not_fit_is_asked_for_again),
        TEST(a_200_for_a_range_is_used_from_where_it_fits),
        TEST(a_server_that_ignores_far_ranges_fails),
        TEST(more_bytes_than_a_file_has_are_an_error),
        TEST(a_small_file_goes_on_where_it_broke_off),
        TEST(a_part_that_nobody_asked_for_is_not_taken),
        TEST(other_answers_of_a_cdn_are_errors),
        TEST(a_refusal_with_the_hubs_code_is_not_an_expired_url),
        TEST(tries_count_anew_after_progress),
        TEST(a_trickle_is_given_up),
        TEST(a_paused_fetch_goes_on),
        TEST(a_reader_may_stop_or_cancel),
        TEST(a_redirect_from_https_to_http_is_refused),
        TEST(a_client_may_be_freed_with_fetches_cancelled),
        TEST(the_resolvers_limit_holds_downloads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
