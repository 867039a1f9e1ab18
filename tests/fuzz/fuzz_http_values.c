/* fuzz_http_values.c: values of headers, as any server may send them: waits, locations, URLs and
 * encoded names are read or refused, and what is read means the same when it is read again.
 *
 * The first line of the input is the URL that a location is found at. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "call.h"
#include "hash.h"
#include "uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_retry_after(const char *value)
{
    int64_t ms = hfc_retry_after_ms(value, 1700000000);

    assert(ms >= -1 && ms <= 3600 * 1000);
}

static void check_printable(const char *text)
{
    for (; *text != '\0'; text++)
        assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

/* What is shown parses to the same origin, unless it could not be parsed at all. */
static void check_url(const char *text)
{
    struct hfc_url url;
    struct hfc_error err = {0};
    struct hfc_buf shown;

    hfc_buf_init(&shown, 8192);
    hfc_url_show(&shown, text);
    check_printable(shown.data);
    if (hfc_url_parse(text, &url, &err) < 0) {
        check_printable(err.msg);
        assert(strcmp(shown.data, "(unreadable URL)") == 0);
        assert(!hfc_url_same_origin(text, text));
    } else {
        assert(url.path[0] == '/');
        assert(hfc_url_same_origin(text, text));
        assert(hfc_buf_failed(&shown) || hfc_url_same_origin(text, shown.data));
        hfc_url_free(&url);
    }
    hfc_buf_free(&shown);
}

static void check_location(const char *base, const char *location)
{
    struct hfc_url url;
    char *to = hfc_url_resolve(base, location);

    if (to == NULL)
        return;
    assert(hfc_url_parse(to, &url, NULL) == 0);
    assert(strcmp(url.scheme, "http") == 0 || strcmp(url.scheme, "https") == 0);
    hfc_url_free(&url);
    check_printable(to);
    /* An absolute URL is found again from itself. */
    char *again = hfc_url_resolve(to, to);
    assert(again != NULL && hfc_url_same_origin(again, to));
    free(again);
    free(to);
}

static void check_encoding(const char *text, size_t n)
{
    struct hfc_buf once, back;

    hfc_buf_init(&once, 4 * n + 1);
    hfc_buf_init(&back, 4 * n + 1);
    hfc_uri_encode(&once, text, n, "/");
    assert(!hfc_buf_failed(&once));
    assert(hfc_uri_decode(&back, once.data, once.len));
    assert(back.len == n && memcmp(back.data, text, n) == 0);
    hfc_buf_reset(&back);
    if (hfc_uri_decode(&back, text, n))
        assert(back.len <= n && memchr(back.data, '\0', back.len) == NULL);
    hfc_buf_free(&once);
    hfc_buf_free(&back);
}

/* What is read as a digest is written the same way. */
static void check_digest(const char *text)
{
    uint8_t bytes[HFC_SHA256_SIZE];
    char again[HFC_HEX_MAX];

    if (hfc_unbase64(text, bytes, sizeof(bytes))) {
        hfc_base64(bytes, sizeof(bytes), again);
        assert(strcmp(again, text) == 0);
    }
    if (hfc_unhex(text, bytes, sizeof(bytes))) {
        hfc_hex(bytes, sizeof(bytes), again);
        assert(strcasecmp(again, text) == 0);
    }
}

/* Headers hold no NUL, so the text ends at the first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *base = strndup((const char *)data, size);

    if (base == NULL)
        return 0;
    char *end = strchr(base, '\n');
    char *location = end != NULL ? end + 1 : base;
    if (end != NULL)
        *end = '\0';
    check_retry_after(location);
    check_url(location);
    check_url(base);
    check_location(base, location);
    check_encoding(location, strlen(location));
    check_digest(location);
    free(base);
    return 0;
}
