/* test_hub.c: the client of the Hub: what a revision is, which files it has, redirects, refusals,
 * rate limits, the token (refresh/hub.c, hub_request.c, hub_repo.c, hub_error.c, hub_ratelimit.c,
 * hub_token.c). */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "hub_check.h"

#define INFO                                                                                       \
    "{\"sha\":\"" COMMIT                                                                           \
    "\",\"id\":\"org/name\",\"private\":false,\"siblings\":[{\"rfilename\":\"a\"}]}"
#define HUB_HTML "Content-Type: text/html; charset=utf-8\r\n"

static void on_done(void *ctx, const struct hfc_error *err)
{
    (void)ctx;
    set_result(err);
}

static struct hub_info info;
static char info_id[100];

static void on_info(void *ctx, const struct hub_info *i, const struct hfc_error *err)
{
    (void)ctx;
    assert_true((i == NULL) == (err != NULL));
    if (i != NULL) {
        info = *i;
        snprintf(info_id, sizeof(info_id), "%s", i->id);
    }
    set_result(err);
}

static char repo[] = "org/name", revision[200] = "main";
static struct model model = {.repo = repo, .revision = revision};

static struct hub_op *start_info(void)
{
    return hub_info(hub, &model, on_info, NULL);
}

static void ask_info(void)
{
    (void)start_info();
    expect_success();
    assert_string_equal(info.commit, COMMIT);
}

static void info_resolves_the_revision_once(void **state)
{
    (void)state;
    peer_reply(&front, 200, "", INFO);
    ask_info();
    assert_string_equal(info_id, "org/name");
    assert_int_equal(count_requests(&front), 1);
    expect_target(&front, 0, "/api/models/org/name/revision/main");
    expect_header(&front, 0, "Authorization", "Bearer " TOKEN);
    expect_header(&front, 0, "Accept-Encoding", "identity");
    char agent[200];
    peer_header(peer_request(&front, 0), "User-Agent", agent, sizeof(agent));
    assert_non_null(strstr(agent, "hfcache-refresh/" HFC_VERSION "; libcurl/"));
}

static void revisions_and_datasets_have_their_own_addresses(void **state)
{
    (void)state;
    strcpy(revision, "refs/pr/1 \xC3\xA4%");
    model.kind = REPO_DATASET;
    peer_reply(&front, 200, "", INFO);
    ask_info();
    strcpy(revision, "main");
    model.kind = REPO_MODEL;
    expect_target(&front, 0, "/api/datasets/org/name/revision/refs%2Fpr%2F1%20%C3%A4%25");
}

static void without_a_token_none_is_sent(void **state)
{
    (void)state;
    config.token = NULL;
    open_hub();
    peer_reply(&front, 200, "", INFO);
    ask_info();
    expect_header(&front, 0, "Authorization", NULL);
}

static void a_renamed_repository_is_followed_and_named(void **state)
{
    (void)state;
    peer_reply(&front, 307, "Location: /api/models/new/name/revision/main\r\n", "Redirecting");
    peer_reply(&front, 200, "", "{\"sha\":\"" COMMIT "\",\"id\":\"new/name\",\"gated\":\"auto\"}");
    ask_info();
    assert_string_equal(info_id, "new/name");
    assert_true(info.gated);
    expect_target(&front, 1, "/api/models/new/name/revision/main");
    expect_header(&front, 1, "Authorization", "Bearer " TOKEN);
}

static void an_answer_without_id_keeps_the_one_asked_for(void **state)
{
    (void)state;
    peer_reply(&front, 200, "", "{\"sha\":\"" COMMIT "\"}");
    ask_info();
    assert_string_equal(info_id, "org/name");
}

static void a_description_of_a_hundred_thousand_files_takes_no_memory(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(16 << 20);

    (void)state;
    hfc_buf_str(&text, "{\"siblings\":[{}");
    for (int i = 0; i < 100000; i++)
        hfc_buf_printf(&text, ",{\"rfilename\":\"data/train-%05d-of-100000.parquet\"}", i);
    hfc_buf_str(&text, "],\"sha\":\"" COMMIT "\"}");
    peer_reply(&front, 200, "", text.data);
    ask_info();
}

static void a_description_that_never_ends_is_refused(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1 << 20);

    (void)state;
    hfc_buf_printf(&text, "{\"x\":\"%0300000d\"}", 0);
    peer_reply(&front, 200, "", text.data);
    start_info();
    expect_failure(EFBIG, "too large");
}

static void what_is_not_the_hub_is_recognised(void **state)
{
    (void)state;
    peer_reply(&front, 200, HUB_HTML, "<html>Sign in to this network</html>");
    start_info();
    expect_failure(EPROTO, "is HTML");
    peer_reply(&front, 200, "", "{}");
    start_info();
    expect_failure(EPROTO, "names no commit");
    peer_reply(&front, 204, "", "");
    start_info();
    expect_failure(EPROTO, "status 204 without a description");
    peer_reply(&front, 404, HUB_HTML, "<html>nginx</html>");
    start_info();
    expect_failure(EPROTO, "127.0.0.1 answers with status 404 and HTML: is it the Hub?");
    assert_int_equal(count_requests(&front), 4);
}

static void each_refusal_says_what_to_do(void **state)
{
    static const struct {
        bool token;
        int status;
        const char *headers;
        int errnum;
        const char *message;
    } refusals[] = {
        {false, 401, "X-Error-Code: RepoNotFound\r\n", ENOENT, "it is private: then set HF_TOKEN"},
        {false, 401, "X-Error-Message: Invalid username or password.\r\n", ENOENT,
         "no such repository on the Hub, or it is private: then set HF_TOKEN"},
        {false, 401, "", ENOENT, "set HF_TOKEN"},
        {true, 401, "X-Error-Message: Invalid credentials in Authorization header\r\n", EACCES,
         "the Hub refuses the token: HF_TOKEN is wrong, or no longer valid"},
        {true, 401, "", ENOENT, "the token has no right to it"},
        {true, 404, "X-Error-Code: RepoNotFound\r\n", ENOENT, "the token has no right to it"},
        {false, 401, "X-Error-Code: GatedRepo\r\n", EACCES, "accept its terms on its page"},
        {true, 403, "X-Error-Code: GatedRepo\r\n", EACCES, "the token's owner has no access"},
        {true, 404, "X-Error-Code: RevisionNotFound\r\n", ENOENT, "no such revision"},
        {true, 404, "X-Error-Code: EntryNotFound\r\n", ENOENT, "no such file"},
        {true, 403, "X-Error-Message: Access to this resource is disabled.\r\n", EPERM,
         "has disabled the repository"},
        {true, 403, "X-Error-Message: No\x1b[2J entry\r\n", EACCES,
         "127.0.0.1 answers with status 403: No\\x1b[2J entry"},
        {true, 404, "X-Error-Code: New\r\n", ENOENT, "127.0.0.1 answers with status 404"},
        {true, 410, "", ENOENT, "status 410"},
        {true, 400, "", EPROTO, "status 400"},
        {true, 501, "", EPROTO, "status 501"},
        {true, 304, "", EPROTO, "status 304"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        config.token = refusals[i].token ? TOKEN : NULL;
        open_hub();
        peer_reply(&front, refusals[i].status, refusals[i].headers, "");
        start_info();
        expect_failure(refusals[i].errnum, refusals[i].message);
        assert_int_equal(count_requests(&front), i + 1);
    }
}

static void passing_troubles_are_tried_again(void **state)
{
    struct hub_stats stats;

    (void)state;
    peer_reply(&front, 503, "", "");
    peer_say(&front, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", PEER_RST);
    peer_reply(&front, 200, "", INFO);
    ask_info();
    hub_stats(hub, &stats);
    assert_int_equal(stats.api, 3);
    assert_int_equal(stats.retries, 2);
    assert_int_equal(stats.resolvers + stats.cdn, 0);
    assert_int_equal(stats.http.exchanges, 3);
    assert_non_null(strstr(log_text, "trying again in"));
    assert_non_null(strstr(log_text, "127.0.0.1 answers with status 503"));
}

static void lasting_troubles_are_told(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        peer_reply(&front, 500 + i * 2, "", "");
    start_info();
    expect_failure(EAGAIN, "127.0.0.1 answers with status 504");
    for (int i = 0; i < 3; i++)
        peer_say(&front, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", PEER_FIN);
    start_info();
    expect_failure(ENOTCONN, "127.0.0.1");
    assert_int_equal(count_requests(&front), 6);
}

static void a_retry_begins_at_the_first_address(void **state)
{
    (void)state;
    peer_reply(&front, 307, "Location: /api/models/new/name/revision/main\r\n", "");
    peer_reply(&front, 503, "", "");
    peer_reply(&front, 307, "Location: /api/models/new/name/revision/main\r\n", "");
    peer_reply(&front, 200, "", INFO);
    ask_info();
    expect_target(&front, 2, "/api/models/org/name/revision/main");
}

static void redirect_to_cdn(int status, const char *path)
{
    char header[300];

    snprintf(header, sizeof(header), "Location: %s%s\r\n", cdn.base, path);
    peer_reply(&front, status, header, "");
}

static void the_token_stays_at_its_origin(void **state)
{
    char header[300];

    (void)state;
    redirect_to_cdn(302, "/x");
    snprintf(header, sizeof(header), "Location: %s/back\r\n", front.base);
    peer_reply(&cdn, 308, header, "");
    peer_reply(&front, 200, "", INFO);
    ask_info();
    expect_header(&cdn, 0, "Authorization", NULL);
    expect_target(&front, 1, "/back");
}

static void redirects_that_lead_nowhere_are_errors(void **state)
{
    char location[64];

    (void)state;
    peer_reply(&front, 302, "", "");
    start_info();
    expect_failure(EPROTO, "a redirect (302) that leads nowhere");
    peer_reply(&front, 302, "Location: file:///etc/passwd\r\n", "");
    start_info();
    expect_failure(EPROTO, "leads nowhere");
    peer_reply(&front, 302, "Location: /a\r\n", "");
    peer_reply(&front, 302, "Location: /b\r\n", "");
    peer_reply(&front, 302, "Location: /a\r\n", "");
    start_info();
    expect_failure(ELOOP, "round in circles");
    peer_reply(&front, 302, "Location: main\r\n", "");
    start_info();
    expect_failure(ELOOP, "round in circles");
    unsigned before = count_requests(&front);
    for (int i = 0; i < 21; i++) {
        snprintf(location, sizeof(location), "Location: /%d\r\n", i);
        peer_reply(&front, 301, location, "");
    }
    start_info();
    expect_failure(ELOOP, "more than 20 redirects");
    assert_int_equal(count_requests(&front), before + 21);
}

static void twenty_redirects_are_followed(void **state)
{
    char location[64];

    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(location, sizeof(location), "Location: /%d\r\n", i);
        peer_reply(&front, 303, location, "");
    }
    peer_reply(&front, 200, "", INFO);
    ask_info();
}

/* Files of a listing as lines. */
static char listed[4096];
static struct hub_op *op;
static bool cancel_at_entry;

static void on_entry(void *ctx, const struct hub_file *f)
{
    size_t n = strlen(listed);

    (void)ctx;
    snprintf(listed + n, sizeof(listed) - n, "%s %llu%s\n", f->path, (unsigned long long)f->size,
             f->lfs ? " lfs" : "");
    if (cancel_at_entry)
        hub_cancel(op);
}

static void start_tree(void)
{
    listed[0] = '\0';
    op = hub_tree(hub, REPO_MODEL, "org/name", COMMIT, on_entry, on_done, NULL);
}

#define FILE_ENTRY(path, size)                                                                     \
    "{\"type\":\"file\",\"path\":\"" path "\",\"oid\":\"" SHA1_TEXT "\",\"size\":" size "}"
#define LFS_ENTRY(path, size)                                                                      \
    "{\"type\":\"file\",\"path\":\"" path "\",\"oid\":\"" SHA1_TEXT "\",\"size\":" size            \
    ",\"lfs\":{\"oid\":\"" SHA256_TEXT "\",\"size\":" size "}}"

static void link_next(const char *base, const char *path, const char *body)
{
    char header[300];

    snprintf(header, sizeof(header), "Link: <%s%s>; rel=\"next\"\r\n", base, path);
    peer_reply(&front, 200, header, body);
}

static void a_listing_is_read_page_by_page(void **state)
{
    (void)state;
    link_next(front.base, "/p?cursor=2%3D", "[" FILE_ENTRY("a", "1") "]");
    link_next(front.base, "/p?cursor=3",
              "[{\"type\":\"directory\",\"path\":\"d\",\"oid\":\"x\",\"size\":0}]");
    peer_reply(&front, 200, "Link: <x>; rel=\"other\"\r\n", "[" LFS_ENTRY("d/b", "2") "]");
    start_tree();
    expect_success();
    assert_string_equal(listed, "a 1\nd/b 2 lfs\n");
    expect_target(&front, 0, "/api/models/org/name/tree/" COMMIT "?recursive=true&expand=false");
    expect_target(&front, 1, "/p?cursor=2%3D");
    expect_target(&front, 2, "/p?cursor=3");
    expect_header(&front, 2, "Authorization", "Bearer " TOKEN);
}

static void a_page_that_breaks_off_is_asked_for_again(void **state)
{
    (void)state;
    peer_say(&front, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[" FILE_ENTRY("a", "1") ",",
             PEER_RST);
    peer_reply(&front, 200, "", "[" FILE_ENTRY("a", "1") "]");
    start_tree();
    expect_success();
    assert_string_equal(listed, "a 1\n");
}

static void the_next_page_has_to_be_the_hubs(void **state)
{
    (void)state;
    link_next(cdn.base, "/p", "[" FILE_ENTRY("a", "1") "]");
    start_tree();
    expect_failure(EPROTO, "on another server: refused");
    assert_int_equal(count_requests(&cdn), 0);
    link_next("ftp://x", "/p", "[" FILE_ENTRY("a", "1") "]");
    start_tree();
    expect_failure(EPROTO, "refused");
}

static void pages_that_go_round_are_found(void **state)
{
    (void)state;
    link_next(front.base, "/p", "[" FILE_ENTRY("a", "1") "]");
    link_next(front.base, "/p", "[" FILE_ENTRY("b", "1") "]");
    start_tree();
    expect_failure(ELOOP, "round in circles");
    link_next("", "?recursive=true&expand=false", "[" FILE_ENTRY("a", "1") "]");
    start_tree();
    expect_failure(ELOOP, "round in circles");
    link_next(front.base, "/p", "[]");
    start_tree();
    expect_failure(ELOOP, "is empty but names another one");
    link_next(front.base, "/p", "[" FILE_ENTRY("a", "1") "]");
    peer_reply(&front, 200, "", "[" FILE_ENTRY("a", "1") "]");
    start_tree();
    expect_failure(EBADMSG, "file \"a\" of the listing comes twice");
}

static void a_listing_that_contradicts_itself_fails(void **state)
{
    (void)state;
    peer_reply(&front, 200, "", "[" FILE_ENTRY("a", "1") "," FILE_ENTRY("a/b", "1") "]");
    start_tree();
    expect_failure(EBADMSG, "file \"a/b\" of the listing is a file and a directory");
    assert_string_equal(listed, "a 1\n");
    peer_reply(&front, 200, "", "[" FILE_ENTRY("../a", "1") "]");
    start_tree();
    expect_failure(EINVAL, "file \"../a\" of the listing has the part \"..\"");
    peer_reply(&front, 200, HUB_HTML, "<html>");
    start_tree();
    expect_failure(EPROTO, "is HTML");
    peer_reply(&front, 202, "", "[]");
    start_tree();
    expect_failure(EPROTO, "status 202 without a listing");
    peer_reply(&front, 404, "X-Error-Code: RevisionNotFound\r\n", "");
    start_tree();
    expect_failure(ENOENT, "no such revision");
}

static void a_page_has_a_limit(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(HUB_PAGE_MAX + 100);

    (void)state;
    hfc_buf_printf(&text, "[%*s]", HUB_PAGE_MAX, "");
    peer_reply(&front, 200, "", text.data);
    start_tree();
    expect_failure(EFBIG, "more than 8 MiB");
}

static void a_listing_has_a_limit(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(HUB_PAGE_MAX);
    char header[200];

    (void)state;
    /* Directories are enough: they are not handed out. */
    for (int page = 0, i = 0; i <= HUB_ENTRIES_MAX; page++) {
        hfc_buf_reset(&text);
        for (int k = 0; k < 125001; k++, i++)
            hfc_buf_printf(&text, "%c{\"type\":\"directory\",\"path\":\"%d\"}", k == 0 ? '[' : ',',
                           i);
        hfc_buf_str(&text, "]");
        snprintf(header, sizeof(header), "Link: <%s/%d>; rel=next\r\n", front.base, page);
        peer_reply(&front, 200, header, text.data);
    }
    start_tree();
    expect_failure(EFBIG, "is one of more than a million");
}

static struct hfc_watch watch;

static void cancel_op(void *ctx)
{
    (void)ctx;
    hfc_watch_stop(&watch);
    hub_cancel(op);
    assert_false(done);
}

static void a_cancelled_operation_ends_from_the_loop(void **state)
{
    (void)state;
    /* Before it has begun. */
    hub_cancel(start_info());
    assert_false(done);
    expect_failure(ECANCELED, "cancelled");
    assert_int_equal(count_requests(&front), 0);
    /* Under way: the request has come. */
    peer_script(&front, (struct peer_answer){.then = PEER_HANG, .wait = true});
    op = start_info();
    hfc_watch_start(loop, &watch, front.events, cancel_op, NULL);
    expect_failure(ECANCELED, "cancelled");
}

static void a_listing_may_be_cancelled_by_its_reader(void **state)
{
    (void)state;
    link_next(front.base, "/p", "[" FILE_ENTRY("a", "1") "," FILE_ENTRY("b", "1") "]");
    cancel_at_entry = true;
    start_tree();
    expect_failure(ECANCELED, "cancelled");
    cancel_at_entry = false;
    assert_string_equal(listed, "a 1\n");
    assert_int_equal(count_requests(&front), 1);
}

static void cancel_in_done(void *ctx, const struct hfc_error *err)
{
    (void)ctx;
    hub_cancel(op);
    hub_resume(op);
    set_result(err);
}

static void a_cancel_in_done_changes_nothing(void **state)
{
    (void)state;
    peer_reply(&front, 200, "", "[]");
    op = hub_tree(hub, REPO_DATASET, "org/name", COMMIT, on_entry, cancel_in_done, NULL);
    hub_resume(op);
    expect_success();
    expect_target(&front, 0, "/api/datasets/org/name/tree/" COMMIT "?recursive=true&expand=false");
}

static void a_client_may_be_freed_with_operations_under_way(void **state)
{
    (void)state;
    start_info();
    start_tree();
    struct hub_op *cancelled = start_info();
    hub_cancel(cancelled);
    hub_free(hub);
    hub = NULL;
    assert_false(done);
}

static void a_loop_that_is_stopped_cancels_what_is_under_way(void **state)
{
    (void)state;
    start_info();
    hfc_loop_stop(loop);
    expect_failure(ECANCELED, "cancelled");
    assert_int_equal(count_requests(&front), 0);
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    config.log = NULL;
    open_hub();
    peer_reply(&front, 503, "", "");
    peer_reply(&front, 200, "", INFO);
    ask_info();
    assert_string_equal(log_text, "");
}

/* The Hub's windows are told in whole seconds, so these tests take one each. */
static void a_429_waits_as_long_as_the_hub_says(void **state)
{
    struct hub_stats stats;

    (void)state;
    peer_reply(&front, 429, "RateLimit: \"api\";r=0;t=0\r\nRetry-After: 3000\r\n", "");
    peer_reply(&front, 200, "", INFO);
    int64_t before = hfc_now_ms();
    ask_info();
    assert_true(hfc_now_ms() - before >= 1000);
    hub_stats(hub, &stats);
    assert_int_equal(stats.limited, 1);
    assert_int_equal(stats.held, 1);
    assert_true(stats.held_ms >= 1000);
    assert_int_equal(stats.retries, 0);
    assert_non_null(strstr(log_text, "rate limit of the Hub: waiting 1 s"));
}

static void a_429_with_retry_after_waits_as_well(void **state)
{
    char header[200];
    time_t now = time(NULL) + 2;

    (void)state;
    strftime(header, sizeof(header), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime(&now));
    peer_reply(&front, 429,
               "Retry-After: 1\r\nRateLimit: \"pages\";r=0;t=500, \"api\";r=9;t=500\r\n", "");
    peer_reply(&front, 429, header, "");
    peer_reply(&front, 200, "", INFO);
    int64_t before = hfc_now_ms();
    ask_info();
    assert_true(hfc_now_ms() - before >= 1000);
    assert_int_equal(count_requests(&front), 3);
}

/* Rate limits cost no tries: there are only three. */
static void a_429_without_a_time_backs_off(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        peer_reply(&front, 429, "", "");
    peer_reply(&front, 200, "", INFO);
    ask_info();
    assert_int_equal(count_requests(&front), 6);
}

static void a_rate_limit_does_not_last_for_ever(void **state)
{
    (void)state;
    config.rate_limit_ms = 5000;
    open_hub();
    peer_reply(&front, 429, "Retry-After: 60\r\n", "");
    start_info();
    expect_failure(EAGAIN, "rate limit (429): waiting 60 s more is too long");
    assert_int_equal(count_requests(&front), 1);
}

static unsigned ended;

static void on_many(void *ctx, const struct hub_info *i, const struct hfc_error *err)
{
    (void)i;
    assert_null(err);
    done = ++ended == *(unsigned *)ctx;
}

/* All but the first are told to wait by its answer, not by a refusal. */
static void requests_are_held_back_before_the_limit_is_reached(void **state)
{
    unsigned all = 4;
    struct hub_stats stats;

    (void)state;
    peer_reply(&front, 200, "RateLimit: \"api\";r=2;t=0\r\n", INFO);
    ask_info();
    for (int i = 0; i < 4; i++)
        peer_reply(&front, 200, "", INFO);
    ended = 0;
    for (unsigned i = 0; i < all; i++)
        hub_info(hub, &model, on_many, &all);
    int64_t before = hfc_now_ms();
    run();
    assert_true(hfc_now_ms() - before >= 900);
    hub_stats(hub, &stats);
    assert_int_equal(stats.held, 4);
    assert_int_equal(stats.limited, 0);
    assert_int_equal(stats.api, 5);
    assert_non_null(strstr(log_text, "holding requests back"));
}

/* With five left and four under way no fifth begins; when one has come back, it does. */
static void what_is_left_is_kept_for_requests_under_way(void **state)
{
    unsigned all = 6;
    struct hub_stats stats;

    (void)state;
    peer_reply(&front, 200, "RateLimit: \"api\";r=5;t=900\r\n", INFO);
    ask_info();
    for (int i = 0; i < 6; i++)
        peer_reply(&front, 200, "RateLimit: \"api\";r=5;t=900\r\n", INFO);
    ended = 0;
    for (unsigned i = 0; i < all; i++)
        hub_info(hub, &model, on_many, &all);
    run();
    hub_stats(hub, &stats);
    assert_int_equal(stats.held, 1);
}

/* Other buckets are other people's; a window too far away is not believed. */
static void only_the_own_bucket_counts(void **state)
{
    (void)state;
    peer_reply(&front, 200, "RateLimit: \"resolvers\";r=0;t=800\r\n", INFO);
    peer_reply(&front, 200, "RateLimit: \"pages\";r=0;t=800\r\n", INFO);
    peer_reply(&front, 200, "RateLimit: \"api\";r=0;t=5000\r\n", INFO);
    peer_reply(&front, 200, "", INFO);
    for (int i = 0; i < 4; i++)
        ask_info();
}

/* Late answers of a window, with more left than newer ones, change nothing. */
static void within_a_window_the_least_counts(void **state)
{
    unsigned two = 2;
    struct hub_stats stats;
    struct hub_op *held[4];

    (void)state;
    peer_reply(&front, 200, "RateLimit: \"api\";r=2;t=300\r\n", INFO);
    peer_reply(&front, 200, "RateLimit: \"api\";r=9;t=300\r\n", INFO);
    ended = 0;
    hub_info(hub, &model, on_many, &two);
    hub_info(hub, &model, on_many, &two);
    run();
    for (int i = 0; i < 3; i++)
        held[i] = start_info();
    hub_stats(hub, &stats);
    assert_int_equal(stats.held, 3);
    /* Out of the middle, the end, behind a new end, the beginning. */
    static const int order[] = {1, 2, 3, 0};
    for (int i = 0; i < 4; i++) {
        hub_cancel(held[order[i]]);
        expect_failure(ECANCELED, "cancelled");
        if (order[i] == 2)
            held[3] = start_info();
    }
    assert_int_equal(count_requests(&front), 2);
}

static void a_client_may_be_freed_while_it_holds_requests_back(void **state)
{
    (void)state;
    peer_reply(&front, 200, "RateLimit: \"unnamed\";r=0;t=300\r\n", INFO);
    ask_info();
    start_info();
    start_info();
    hub_free(hub);
    hub = NULL;
}

static void check_endpoint(const char *endpoint, const char *expected)
{
    struct hub_config c = {
        .endpoint = endpoint, .http = {.connections = 1}, .retry = HFC_RETRY_DEFAULT};
    struct hfc_error err = {0};
    struct hub *h = hub_new(loop, &c, &err);

    if (expected == NULL) {
        assert_null(h);
        assert_non_null(strstr(err.msg, "endpoint of the Hub"));
    } else {
        assert_string_equal(h != NULL ? hub_endpoint(h) : err.msg, expected);
    }
    hub_free(h);
}

static void the_endpoint_is_checked(void **state)
{
    (void)state;
    check_endpoint(NULL, "https://huggingface.co");
    setenv("HF_ENDPOINT", "", 1);
    check_endpoint(NULL, "https://huggingface.co");
    setenv("HF_ENDPOINT", "http://localhost:8080/hub//", 1);
    check_endpoint(NULL, "http://localhost:8080/hub");
    check_endpoint("https://x", "https://x");
    check_endpoint("https://x?y", NULL);
    check_endpoint("https://x/#y", NULL);
    check_endpoint("file:///x", NULL);
    check_endpoint("https://u:p@x", NULL);
    check_endpoint("nonsense", NULL);
}

static void a_client_that_cannot_be_made_says_why(void **state)
{
    struct hub_config c = {.endpoint = "http://x",
                           .token = "two words",
                           .http = {.connections = 1, .ca_bundle = "/nonexistent"},
                           .retry = HFC_RETRY_DEFAULT};
    struct hfc_error err = {0};

    (void)state;
    assert_null(hub_new(loop, &c, &err));
    assert_string_equal(err.msg, "token: a token has visible ASCII characters only");
    c.token = NULL;
    assert_null(hub_new(loop, &c, &err));
    assert_non_null(strstr(err.msg, "/nonexistent"));
}

static void check_token(const char *expected)
{
    struct hfc_error err = {0};
    char *token;

    if (hub_find_token(&token, &err) < 0)
        fail_msg("%s", err.msg);
    if (expected == NULL)
        assert_null(token);
    else
        assert_string_equal(token != NULL ? token : "(none)", expected);
    hub_token_free(token);
}

static void check_no_token(const char *message)
{
    struct hfc_error err = {0};
    char *token;

    assert_int_equal(hub_find_token(&token, &err), -1);
    assert_null(token);
    if (strstr(err.msg, message) == NULL)
        fail_msg("%s", err.msg);
}

static void put(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, n), n);
    close(fd);
}

static char dir[64];

static int setup_token(void **state)
{
    strcpy(dir, "/tmp/hfc-test-hub-XXXXXX");
    if (mkdtemp(dir) == NULL || chdir(dir) < 0 || mkdir(".cache", 0700) < 0 ||
        mkdir(".cache/huggingface", 0700) < 0)
        return -1;
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", dir, 1);
    return setup(state);
}

static int teardown_token(void **state)
{
    static const char *const names[] = {".cache/huggingface/token", "token", "own"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(names[i]);
    rmdir(".cache/huggingface");
    rmdir(".cache");
    if (chdir("/") < 0 || rmdir(dir) < 0)
        return -1;
    return teardown(state);
}

static void a_token_is_found_where_the_hubs_clients_look(void **state)
{
    (void)state;
    check_token(NULL);
    put(".cache/huggingface/token", " hf_home\n", 9);
    check_token("hf_home");
    setenv("XDG_CACHE_HOME", "/nonexistent", 1);
    check_token(NULL);
    put("token", "hf_file", 7);
    setenv("HF_HOME", dir, 1);
    check_token("hf_file");
    put("own", "\t\n", 2);
    setenv("HF_TOKEN_PATH", "own", 1);
    check_token(NULL);
    put("own", "hf_own", 6);
    check_token("hf_own");
    setenv("HUGGING_FACE_HUB_TOKEN", "hf_old", 1);
    check_token("hf_old");
    setenv("HF_TOKEN", " \n", 1);
    check_token("hf_old");
    setenv("HF_TOKEN", " hf_new\n", 1);
    check_token("hf_new");
}

static void a_token_that_is_none_is_refused_and_not_shown(void **state)
{
    hfc_autobuf struct hfc_buf large = HFC_BUF(8192);

    (void)state;
    setenv("HF_TOKEN", "hf_x\r\nEvil: 1", 1);
    check_no_token("HF_TOKEN: a token has visible ASCII characters only");
    unsetenv("HF_TOKEN");
    setenv("HF_TOKEN_PATH", "own", 1);
    put("own", "a\0b", 3);
    check_no_token("token file own: Invalid argument");
    hfc_buf_printf(&large, "%05000d", 0);
    put("own", large.data, large.len);
    check_no_token("token file own: File too large");
    put("own", "\xFF", 1);
    check_no_token("own: a token has");
    setenv("HF_TOKEN_PATH", dir, 1);
    check_no_token(": Is a directory");
    setenv("HF_TOKEN", large.data, 1);
    check_no_token("HF_TOKEN: too long");
    unsetenv("HF_TOKEN");
    unsetenv("HF_TOKEN_PATH");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    check_token(NULL);
    setenv("HOME", dir, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TOKEN_TEST(f) cmocka_unit_test_setup_teardown(f, setup_token, teardown_token)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(info_resolves_the_revision_once),
        TEST(revisions_and_datasets_have_their_own_addresses),
        TEST(without_a_token_none_is_sent),
        TEST(a_renamed_repository_is_followed_and_named),
        TEST(an_answer_without_id_keeps_the_one_asked_for),
        TEST(a_description_of_a_hundred_thousand_files_takes_no_memory),
        TEST(a_description_that_never_ends_is_refused),
        TEST(what_is_not_the_hub_is_recognised),
        TEST(each_refusal_says_what_to_do),
        TEST(passing_troubles_are_tried_again),
        TEST(lasting_troubles_are_told),
        TEST(a_retry_begins_at_the_first_address),
        TEST(the_token_stays_at_its_origin),
        TEST(redirects_that_lead_nowhere_are_errors),
        TEST(twenty_redirects_are_followed),
        TEST(a_listing_is_read_page_by_page),
        TEST(a_page_that_breaks_off_is_asked_for_again),
        TEST(the_next_page_has_to_be_the_hubs),
        TEST(pages_that_go_round_are_found),
        TEST(a_listing_that_contradicts_itself_fails),
        TEST(a_page_has_a_limit),
        TEST(a_listing_has_a_limit),
        TEST(a_cancelled_operation_ends_from_the_loop),
        TEST(a_listing_may_be_cancelled_by_its_reader),
        TEST(a_cancel_in_done_changes_nothing),
        TEST(a_client_may_be_freed_with_operations_under_way),
        TEST(a_loop_that_is_stopped_cancels_what_is_under_way),
        TEST(nobody_has_to_listen),
        TEST(a_429_waits_as_long_as_the_hub_says),
        TEST(a_429_with_retry_after_waits_as_well),
        TEST(a_429_without_a_time_backs_off),
        TEST(a_rate_limit_does_not_last_for_ever),
        TEST(requests_are_held_back_before_the_limit_is_reached),
        TEST(what_is_left_is_kept_for_requests_under_way),
        TEST(only_the_own_bucket_counts),
        TEST(within_a_window_the_least_counts),
        TEST(a_client_may_be_freed_while_it_holds_requests_back),
        TEST(the_endpoint_is_checked),
        TEST(a_client_that_cannot_be_made_says_why),
        TOKEN_TEST(a_token_is_found_where_the_hubs_clients_look),
        TOKEN_TEST(a_token_that_is_none_is_refused_and_not_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
