/* test_uri.c: percent-encoding and URLs (lib/uri.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "uri.h"

static struct hfc_error err;

static void encodes(const char *text, const char *keep, const char *want)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(4096);

    hfc_uri_encode(&out, text, strlen(text), keep);
    assert_string_equal(out.data, want);
}

static void all_but_unreserved_bytes_are_encoded(void **state)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(16);

    (void)state;
    encodes("AZaz09-._~", "", "AZaz09-._~");
    encodes("a b+c%d#e?f=g&h", "", "a%20b%2Bc%25d%23e%3Ff%3Dg%26h");
    encodes("a/b", "", "a%2Fb");
    encodes("a/b*", "/", "a/b%2A");
    encodes("\xc3\xa4\xff\x01", "/", "%C3%A4%FF%01");
    hfc_uri_encode(&out, "\0", 1, "/");
    assert_string_equal(out.data, "%00");
}

static void decoding_is_the_way_back(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1024), back = HFC_BUF(1024);
    char all[255];

    (void)state;
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    hfc_uri_encode(&text, all, sizeof(all), "/");
    assert_true(hfc_uri_decode(&back, text.data, text.len));
    assert_int_equal(back.len, sizeof(all));
    assert_memory_equal(back.data, all, sizeof(all));
    hfc_buf_reset(&back);
    assert_true(hfc_uri_decode(&back, "a+b%2b%2B%252f", 14));
    assert_string_equal(back.data, "a+b++%2f");
}

static void what_is_no_encoding_is_refused(void **state)
{
    static const char *const wrong[] = {"%", "a%2", "a%zz", "a%2g", "a%g2", "a%00", "a%+1"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(wrong); i++) {
        hfc_autobuf struct hfc_buf out = HFC_BUF(64);
        if (hfc_uri_decode(&out, wrong[i], strlen(wrong[i])))
            fail_msg("decoded: %s", wrong[i]);
    }
    hfc_autobuf struct hfc_buf out = HFC_BUF(64);
    assert_false(hfc_uri_decode(&out, "ab\0c", 4));
    assert_string_equal(out.data, "ab");
    /* Only the digits inside the given length count. */
    assert_false(hfc_uri_decode(&out, "%20", 2));
}

static void parses(const char *text, struct hfc_url want)
{
    struct hfc_url url;

    if (hfc_url_parse(text, &url, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    const char *got_parts[] = {url.scheme, url.host, url.port, url.path, url.query};
    const char *want_parts[] = {want.scheme, want.host, want.port, want.path, want.query};
    for (size_t i = 0; i < HFC_ARRAY_LEN(got_parts); i++) {
        if (want_parts[i] == NULL)
            assert_null(got_parts[i]);
        else
            assert_string_equal(got_parts[i], want_parts[i]);
    }
    hfc_url_free(&url);
    hfc_url_free(&url);
}

/* The parts as string literals, which the struct of the library takes as its own. */
#define URL(s, h, p, path_, q)                                                                     \
    (struct hfc_url)                                                                               \
    {                                                                                              \
        (char[]){s}, h, p, (char[]){path_}, q                                                      \
    }

static void a_url_is_taken_apart(void **state)
{
    char host[] = "example.com", https[] = "443", http[] = "80", own[] = "8080",
         query[] = "a=1&b=%2f";
    char v6[] = "[::1]", v4[] = "10.0.0.1";

    (void)state;
    parses("https://example.com", URL("https", host, https, "/", NULL));
    parses("HTTP://Example.COM/A/../%2f//b", URL("http", host, http, "/A/../%2f//b", NULL));
    parses("https://example.com:8080/x?a=1&b=%2f#part", URL("https", host, own, "/x", query));
    parses("http://[::1]:8080", URL("http", v6, own, "/", NULL));
    parses("http://10.0.0.1/", URL("http", v4, http, "/", NULL));
    parses("file:///a/b%20c", URL("file", NULL, NULL, "/a/b%20c", NULL));
}

static void refuses(const char *text, const char *why)
{
    struct hfc_url url;

    if (hfc_url_parse(text, &url, &err) == 0)
        fail_msg("taken: %s", text);
    if (strstr(err.msg, why) == NULL)
        fail_msg("%s: %s", text, err.msg);
    if (strstr(err.msg, "secret") != NULL)
        fail_msg("told: %s", err.msg);
    assert_null(url.scheme);
    assert_null(url.path);
}

static void what_is_no_url_of_ours_is_refused_without_quoting_it(void **state)
{
    (void)state;
    refuses("", "URL");
    refuses("secret", "it has to begin with http://, https:// or file://");
    refuses("/secret", "it has to begin with");
    refuses("s3://secret/x", "it has to begin with");
    refuses("http://h\xc3\xa4/secret", "URL http://...: its host has characters that no host's");
    refuses("http://a%25b/secret", "URL http://...: its host has characters");
    refuses("file:/s:?x", "its path can be read as a drive");
    refuses("file:/s|?x", "its path can be read as a drive");
    refuses("http://%33/secret", "its host can be read in two ways"); /* 3, which is 0.0.0.3 */
    refuses("file:secret", "URL file://: its path has to begin with '/'");
    refuses("ftp://host/secret", "URL ftp://host: only http, https and file are possible");
    refuses("https://user:secret@host/", "it must not contain a user name or password");
    refuses("https://secret@host/", "it must not contain a user name or password");
    refuses("https://host:99999/secret", "URL: Port number");
    refuses("https://host:1x/secret", "URL: ");
    refuses("https:///", "URL: ");
    refuses("https://ho st/secret", "URL: ");
    refuses("https://host/sec\nret", "URL: ");
    refuses("http://[fe80::1%25eth0]/secret", "URL http://[fe80::1]: an IPv6 zone is not possible");
}

static void an_origin_is_scheme_host_and_port(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"https://h/a?x", "https://H:443/b", true}, {"http://h", "http://h:80/", true},
        {"http://h:8080/", "http://h:8080", true},  {"https://h/", "http://h/", false},
        {"https://h/", "http://h:443/", false},     {"https://h/", "https://h:444/", false},
        {"https://h/", "https://h.evil/", false},   {"https://h/", "https://sub.h/", false},
        {"https://h/", "https://h@evil/", false},   {"https://h/", "https://h:443@evil/", false},
        {"https://h/", "nonsense", false},          {"nonsense", "nonsense", false},
        {"https://h/", "https://evil\\@h/", false}, {"http://127.0.0.1", "http://0x7f.1/", true},
        {"file:///a", "file:///b", true},           {"file:///a", "http://a", false},
    };

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(cases); i++)
        if (hfc_url_same_origin(cases[i].a, cases[i].b) != cases[i].same)
            fail_msg("%s and %s", cases[i].a, cases[i].b);
}

static void a_location_is_resolved_against_where_it_was_found(void **state)
{
    static const struct {
        const char *base, *location, *want;
    } cases[] = {
        {"https://h/a/b?q", "https://cdn.x/y?sig=a%2Fb+c%2f&e=1",
         "https://cdn.x/y?sig=a%2Fb+c%2f&e=1"},
        {"https://h/a/b?q", "/c?d", "https://h/c?d"},
        {"https://h/a/b?q", "c", "https://h/a/c"},
        {"https://h/a/b/?q", "../c", "https://h/a/c"},
        {"https://h/a/b?q", "?z=1", "https://h/a/b?z=1"},
        {"https://h/a/b?q", "//other/x", "https://other/x"},
        {"http://h:8080/a", "/x#part", "http://h:8080/x"},
        {"https://h/a", "http://h/a", "http://h/a"},
        {"https://h/a", "/x y", "https://h/x%20y"},
        {"https://h/a", "/\xc3\xa4", "https://h/%c3%a4"},
        {"https://h/a", "https://x/y z\xc3\xa4?q=\xc3\xa4", "https://x/y%20z%c3%a4?q=%c3%a4"},
        {"https://h/a", "", NULL},
        {"https://h/a", "file:///etc/passwd", NULL},
        {"https://h/a", "ftp://h/x", NULL},
        {"https://h/a", "javascript:x", NULL},
        {"https://h/a", "https://user@h/", NULL},
        {"https://h/a", "https://", NULL},
        {"https://h/a", "/a\rb", NULL},
        {"nonsense", "/x", NULL},
        {"file:///a/b", "c", NULL},
    };

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(cases); i++) {
        hfc_autofree char *got = hfc_url_resolve(cases[i].base, cases[i].location);
        const char *want = cases[i].want;
        if ((got == NULL) != (want == NULL) || (got != NULL && strcmp(got, want) != 0))
            fail_msg("%s from %s: %s", cases[i].location, cases[i].base, got ? got : "none");
    }
}

static void shows(const char *url, const char *want)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(256);

    hfc_url_show(&out, url);
    assert_string_equal(out.data, want);
}

static void the_query_is_not_shown(void **state)
{
    (void)state;
    shows("https://H:443/a/b?sig=secret#x", "https://h/a/b");
    shows("http://h:80/", "http://h/");
    shows("http://h:443/", "http://h:443/");
    shows("https://h:80", "https://h:80/");
    shows("file:///a", "file:///a");
    shows("http://h/\xc2\x9b", "http://h/%C2%9B");
    shows("https://me:secret@h/", "(unreadable URL)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_but_unreserved_bytes_are_encoded),
        cmocka_unit_test(decoding_is_the_way_back),
        cmocka_unit_test(what_is_no_encoding_is_refused),
        cmocka_unit_test(a_url_is_taken_apart),
        cmocka_unit_test(what_is_no_url_of_ours_is_refused_without_quoting_it),
        cmocka_unit_test(an_origin_is_scheme_host_and_port),
        cmocka_unit_test(a_location_is_resolved_against_where_it_was_found),
        cmocka_unit_test(the_query_is_not_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
