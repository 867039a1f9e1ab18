/* test_hub_json.c: what the Hub says, taken apart: JSON, names, headers (refresh/hub_json.c,
 * hub_paths.c, hub_headers.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub_headers.h"
#include "hub_internal.h"
#include "hub_json.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define SHA1_TEXT "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define SHA256_TEXT "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct hfc_error err;

static void a_skimmed_object_keeps_its_top_level(void **state)
{
    static const char text[] =
        "{\"a\": \"x{[\\\"\", \"b\": [1, {\"c\": \"]}\"}], \"d\": {\"e\": []},"
        " \"f\": true}";
    hfc_autobuf struct hfc_buf out = HFC_BUF(1000);

    (void)state;
    /* However it is cut. */
    for (size_t cut = 1; cut < sizeof(text); cut++) {
        struct json_skim s = {0};
        hfc_buf_reset(&out);
        for (size_t i = 0; i < sizeof(text) - 1; i += cut)
            json_skim(&s, text + i, cut < sizeof(text) - 1 - i ? cut : sizeof(text) - 1 - i, &out);
        assert_string_equal(out.data,
                            "{\"a\": \"x{[\\\"\", \"b\": null, \"d\": null, \"f\": true}");
    }
}

static void text_that_is_no_json_is_skimmed_as_well(void **state)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(1000);
    struct json_skim s = {0};

    (void)state;
    json_skim(&s, "}]<p>{{x}}", 10, &out);
    assert_string_equal(out.data, "}]<p>{null}");
}

static int parse_info(const char *text, struct json_info *info)
{
    err = (struct hfc_error){0};
    return json_info_parse(text, strlen(text), info, &err);
}

static void a_description_tells_the_commit(void **state)
{
    struct json_info info;

    (void)state;
    assert_int_equal(parse_info("{\"sha\": \"" COMMIT
                                "\", \"id\": \"new/name\", \"private\": true, "
                                "\"gated\": \"manual\", \"disabled\": true}",
                                &info),
                     0);
    assert_string_equal(info.commit, COMMIT);
    assert_string_equal(info.id, "new/name");
    assert_true(info.private && info.gated && info.disabled);
    free(info.id);
    assert_int_equal(parse_info("{\"sha\": \"" COMMIT "\", \"gated\": false}", &info), 0);
    assert_null(info.id);
    assert_false(info.private || info.gated || info.disabled);
}

static void check_bad_info(const char *text, const char *message)
{
    struct json_info info;

    assert_int_equal(parse_info(text, &info), -1);
    assert_int_equal(err.errnum, EPROTO);
    if (strstr(err.msg, message) == NULL)
        fail_msg("%s", err.msg);
}

static void other_descriptions_are_refused(void **state)
{
    (void)state;
    check_bad_info("", "not the Hub's JSON");
    check_bad_info(" \n<!DOCTYPE html>", "is HTML");
    check_bad_info("[]", "names no commit");
    check_bad_info("{}", "names no commit");
    check_bad_info("{\"sha\": 1}", "names no commit");
    check_bad_info("{\"sha\": \"0123\"}", "names no commit");
    check_bad_info("{\"sha\": \"0123456789ABCDEF0123456789abcdef01234567\"}", "names no commit");
    check_bad_info("{\"sha\": \"" COMMIT "\", \"id\": \"../..\"}", "by a name that");
    check_bad_info("{\"sha\": \"" COMMIT "\", \"sha\": \"" COMMIT "\"}", "duplicate");
    check_bad_info("{\"sha\": \"" COMMIT "\"} x", "not the Hub's JSON");
    check_bad_info("{\"sha\": \"\x1b\"}", "not the Hub's JSON");
    assert_null(strchr(err.msg, '\x1b'));
}

/* Entries as lines. */
static char listed[8192];
static unsigned entries, stop_at;

static bool list(void *ctx, const struct json_entry *e)
{
    size_t n = strlen(listed);
    char hex[HFC_HEX_MAX];

    (void)ctx;
    hfc_hex(e->file.git_sha1, HFC_SHA1_SIZE, hex);
    if (e->directory)
        snprintf(listed + n, sizeof(listed) - n, "%s/\n", e->file.path);
    else
        snprintf(listed + n, sizeof(listed) - n, "%s %llu %.4s%s\n", e->file.path,
                 (unsigned long long)e->file.size, hex, e->file.lfs ? " lfs" : "");
    return ++entries != stop_at;
}

static int parse_tree_n(const char *text, size_t n)
{
    err = (struct hfc_error){0};
    listed[0] = '\0';
    entries = 0;
    return json_tree_parse(text, n, list, NULL, &err);
}

static int parse_tree(const char *text)
{
    return parse_tree_n(text, strlen(text));
}

#define FILE_ENTRY(path)                                                                           \
    "{\"type\":\"file\",\"path\":\"" path "\",\"oid\":\"" SHA1_TEXT "\",\"size\":7"
#define LFS                                                                                        \
    ",\"lfs\":{\"oid\":\"" SHA256_TEXT "\",\"size\":7,\"pointerSize\":130},\"xetHash\":\"x\""

static void a_listing_has_files_and_directories(void **state)
{
    (void)state;
    assert_int_equal(
        parse_tree(" [" FILE_ENTRY("a b") "} , " FILE_ENTRY("c/d") LFS
                   "},\n{\"type\":\"directory\",\"path\":\"c\",\"oid\":\"x\",\"size\":0}"
                   ", " FILE_ENTRY("e") ",\"lfs\":null}\r\n] \n"),
        0);
    assert_string_equal(listed, "a b 7 da39\nc/d 7 da39 lfs\nc/\ne 7 da39\n");
    assert_int_equal(parse_tree("[]"), 0);
    assert_int_equal(parse_tree(" [ ] "), 0);
    assert_int_equal(entries, 0);
}

static void the_reader_of_a_listing_may_end_it(void **state)
{
    (void)state;
    stop_at = 1;
    assert_int_equal(parse_tree("[" FILE_ENTRY("a") "},broken"), 0);
    stop_at = 0;
    assert_int_equal(entries, 1);
}

static void check_bad_tree(const char *text, int errnum, const char *message)
{
    assert_int_equal(parse_tree(text), -1);
    if (err.errnum != errnum || strstr(err.msg, message) == NULL)
        fail_msg("%d: %s", err.errnum, err.msg);
}

static void other_listings_are_refused(void **state)
{
    (void)state;
    check_bad_tree("", EPROTO, "not the Hub's JSON (not a list)");
    check_bad_tree("{}", EPROTO, "not a list");
    check_bad_tree("<html>", EPROTO, "is HTML");
    check_bad_tree("[", EPROTO, "not the Hub's JSON");
    check_bad_tree("[1]", EPROTO, "not the Hub's JSON");
    check_bad_tree("[] x", EPROTO, "text behind its end");
    check_bad_tree("[" FILE_ENTRY("a") "}", EPROTO, "neither , nor ]");
    check_bad_tree("[" FILE_ENTRY("a") "};", EPROTO, "neither , nor ]");
    check_bad_tree("[" FILE_ENTRY("a") "},]", EPROTO, "not the Hub's JSON");
    check_bad_tree("[" FILE_ENTRY("a") "}]]", EPROTO, "text behind its end");
    check_bad_tree("[" FILE_ENTRY("a") ",\"size\":8}]", EPROTO, "duplicate");
    check_bad_tree("[{}]", EPROTO, "has no path");
    check_bad_tree("[[]]", EPROTO, "has no path");
    check_bad_tree("[{\"path\":\"a\"}]", EPROTO, "\"a\" of the listing is neither");
    check_bad_tree("[{\"path\":\"a\",\"type\":\"symlink\"}]", EPROTO, "neither file nor directory");
    check_bad_tree("[{\"path\":\"a\",\"type\":\"file\"}]", EBADMSG, "has no size");
    check_bad_tree("[{\"path\":\"a\",\"type\":\"file\",\"size\":-1}]", EBADMSG, "has no size");
    check_bad_tree("[{\"path\":\"a\",\"type\":\"file\",\"size\":1.5}]", EBADMSG, "has no size");
    check_bad_tree("[{\"path\":\"a\",\"type\":\"file\",\"size\":1,\"oid\":\"x\"}]", EBADMSG,
                   "has no git id");
    check_bad_tree("[" FILE_ENTRY("a") ",\"lfs\":1}]", EPROTO, "that is no object");
    check_bad_tree("[" FILE_ENTRY("a") ",\"lfs\":{}}]", EBADMSG, "has no SHA-256");
    check_bad_tree("[" FILE_ENTRY("a") ",\"lfs\":{\"oid\":\"" SHA256_TEXT "\",\"size\":8}}]",
                   EBADMSG, "two different sizes");
}

static void hostile_names_are_refused_and_shown(void **state)
{
    char text[4096];

    (void)state;
    check_bad_tree("[" FILE_ENTRY("../x") "}]", EINVAL,
                   "file \"../x\" of the listing has the part "
                   "\"..\"");
    check_bad_tree("[" FILE_ENTRY("a\\u0000b") "}]", EINVAL, "has a NUL in its name");
    check_bad_tree("[" FILE_ENTRY("\\u001b/..") "}]", EINVAL, "file \"\\x1b/..\"");
    check_bad_tree("[{\"type\":\"directory\",\"path\":\"/\"}]", EINVAL, "has an absolute name");
    check_bad_tree("[" FILE_ENTRY("\xFF") "}]", EPROTO, "not the Hub's JSON");
    snprintf(text, sizeof(text), "[" FILE_ENTRY("%01000d") "}]", 0);
    check_bad_tree(text, EINVAL, "0000...\" of the listing has a name that is too long");
}

static void a_path_stays_below_its_folder_or_is_refused(void **state)
{
    static const char *const good[] = {
        "a",    "a/b",  ".gitattributes",     "...",    "a..b", "..a/b..", " ", "%2e%2e/x",
        "a\\b", "a\nb", "\xC3\xA4/e\xCC\x81", "#?&+\"'"};
    static const char *const bad[] = {"",   "/",    "/a",  "a/",    "a//b", ".",     "./a",
                                      "..", "../a", "a/.", "a/./b", "a/..", "a/../b"};
    char longest[HUB_PATH_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(hub_path_fault(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (hub_path_fault(bad[i], strlen(bad[i])) == NULL)
            fail_msg("%s", bad[i]);
    assert_non_null(hub_path_fault("a\0b", 3));
    assert_non_null(hub_path_fault("\xC0\x80", 2));
    memset(longest, 'x', sizeof(longest));
    assert_null(hub_path_fault(longest, HUB_PATH_MAX));
    assert_non_null(hub_path_fault(longest, HUB_PATH_MAX + 1));
}

static void a_path_that_comes_twice_is_found(void **state)
{
    struct hub_paths p = {0};
    char path[32];

    (void)state;
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof(path), "d%d/f%d", i % 100, i);
        assert_null(hub_paths_add(&p, path, false));
    }
    assert_null(hub_paths_add(&p, "d7", true));
    assert_null(hub_paths_add(&p, "d7", true));
    assert_string_equal(hub_paths_add(&p, "d7/f7", false), "comes twice");
    assert_string_equal(hub_paths_add(&p, "d7", false), "is a file and a directory");
    assert_string_equal(hub_paths_add(&p, "d7/f7/x", false), "is a file and a directory");
    assert_string_equal(hub_paths_add(&p, "d7/f7", true), "is a file and a directory");
    /* Deep paths have many folders: these have a limit, too. */
    size_t used = p.used;
    p.used = 2 * (size_t)HUB_ENTRIES_MAX;
    assert_string_equal(hub_paths_add(&p, "new/x/y", false), "is one of too many");
    p.used = used;
    hub_paths_free(&p);
}

static void an_error_that_nobody_wants_is_only_returned(void **state)
{
    (void)state;
    assert_int_equal(hub_fail(NULL, EPROTO, "x"), -1);
}

static void a_rate_limit_is_read(void **state)
{
    const char *value = "\"api\";r=12;t=34, \"resolvers\" ; t=5; r=0;x=\"a;,b\\\"\"";
    struct rate_limit limit;

    (void)state;
    assert_true(header_rate_limit(&value, &limit));
    assert_string_equal(limit.name, "api");
    assert_int_equal(limit.remaining, 12);
    assert_int_equal(limit.reset, 34);
    assert_true(header_rate_limit(&value, &limit));
    assert_string_equal(limit.name, "resolvers");
    assert_int_equal(limit.remaining, 0);
    assert_int_equal(limit.reset, 5);
    assert_false(header_rate_limit(&value, &limit));
}

static void unreadable_rate_limits_are_passed_over(void **state)
{
    static const char *const bad[] = {"",
                                      ",,",
                                      "\"api\"",
                                      "\"api\";r=1",
                                      "\"api\";t=1",
                                      "\"api\";r=;t=1",
                                      "\"api\";r=-1;t=1",
                                      "\"api\";r=1x;t=1",
                                      "\"api\";r=1;t=99999999999",
                                      "\"api\";r=99999999999999999999999;t=1",
                                      ";;;",
                                      "\"",
                                      "\"\\"};
    struct rate_limit limit;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *value = bad[i];
        if (header_rate_limit(&value, &limit))
            fail_msg("%s", bad[i]);
    }
    const char *value = "\"x\";r=no,\"a-name-that-is-longer-than-31-characters\";r=1;t=2";
    assert_true(header_rate_limit(&value, &limit));
    assert_string_equal(limit.name, "a-name-that-is-longer-than-31-c");
}

static void check_next(const char *value, const char *expected)
{
    char *next = header_link_next(value);

    if (expected == NULL)
        assert_null(next);
    else
        assert_string_equal(next != NULL ? next : "(none)", expected);
    free(next);
}

static void a_link_to_the_next_page_is_found(void **state)
{
    (void)state;
    check_next("<https://h/x?a=1,2;3>; rel=\"next\"", "https://h/x?a=1,2;3");
    check_next("<a>;rel=next", "a");
    check_next("<a>; rel=\"prev\", <b>; title=\"x, y\"; REL=\"first Next\"", "b");
    check_next("<a>; rel=\"xet-auth\"", NULL);
    check_next("<a>; rel=\"nextish\"", NULL);
    check_next("<a>", NULL);
    check_next("<a>,", NULL);
    check_next("<a", NULL);
    check_next("a; rel=next", NULL);
    check_next("<>; rel=next", NULL);
    check_next("<a> rel=next", NULL);
    check_next("", NULL);
}

static void a_content_range_is_read(void **state)
{
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes 1",
                                      "bytes 1-",
                                      "bytes 1-2",
                                      "bytes 1-2/",
                                      "bytes 2-1/9",
                                      "bytes */9",
                                      "bytes 1-9/9",
                                      "bytes 1-2/9x",
                                      "items 1-2/9",
                                      "bytes -2/9",
                                      "bytes 0-99999999999999999999/9",
                                      "bytes 1-2/**"};
    uint64_t first, last, total;

    (void)state;
    assert_true(header_content_range("bytes 1-2/3", &first, &last, &total));
    assert_int_equal(first, 1);
    assert_int_equal(last, 2);
    assert_int_equal(total, 3);
    assert_true(header_content_range("Bytes  0-0/* ", &first, &last, &total));
    assert_true(total == UINT64_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (header_content_range(bad[i], &first, &last, &total))
            fail_msg("%s", bad[i]);
}

static void an_etag_is_taken_out_of_its_quotes(void **state)
{
    char text[5];
    uint64_t size;

    (void)state;
    assert_true(header_etag("\"abcd\"", text, sizeof(text)));
    assert_string_equal(text, "abcd");
    assert_true(header_etag("W/\"ab\"", text, sizeof(text)));
    assert_string_equal(text, "ab");
    assert_true(header_etag("ab", text, sizeof(text)));
    assert_string_equal(text, "ab");
    assert_true(header_etag("\"", text, sizeof(text)));
    assert_false(header_etag("abcde", text, sizeof(text)));
    assert_false(header_etag("\"\"", text, sizeof(text)));
    assert_false(header_etag("", text, sizeof(text)));
    assert_true(header_size(" 18446744073709551615 ", &size));
    assert_true(size == UINT64_MAX);
    assert_false(header_size("18446744073709551616", &size));
    assert_false(header_size("-1", &size));
    assert_false(header_size("1 2", &size));
    assert_false(header_size("", &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_skimmed_object_keeps_its_top_level),
        cmocka_unit_test(text_that_is_no_json_is_skimmed_as_well),
        cmocka_unit_test(a_description_tells_the_commit),
        cmocka_unit_test(other_descriptions_are_refused),
        cmocka_unit_test(a_listing_has_files_and_directories),
        cmocka_unit_test(the_reader_of_a_listing_may_end_it),
        cmocka_unit_test(other_listings_are_refused),
        cmocka_unit_test(hostile_names_are_refused_and_shown),
        cmocka_unit_test(a_path_stays_below_its_folder_or_is_refused),
        cmocka_unit_test(a_path_that_comes_twice_is_found),
        cmocka_unit_test(an_error_that_nobody_wants_is_only_returned),
        cmocka_unit_test(a_rate_limit_is_read),
        cmocka_unit_test(unreadable_rate_limits_are_passed_over),
        cmocka_unit_test(a_link_to_the_next_page_is_found),
        cmocka_unit_test(a_content_range_is_read),
        cmocka_unit_test(an_etag_is_taken_out_of_its_quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
