/* uri.c: percent-encoding and URLs; see uri.h.
 *
 * URLs are taken apart by libcurl's own parser: what is compared and shown here is then what the
 * transfer connects to. Two parsers that disagree are how a token gets to the wrong host.
 */
#include "uri.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "cleanup.h"

enum { HOST_URL_MAX = 1024 };

static void free_curlu(CURLU **u)
{
    curl_url_cleanup(*u);
}

static void free_curl_text(char **text)
{
    curl_free(*text);
}

#define autocurlu __attribute__((cleanup(free_curlu)))
#define autocurl __attribute__((cleanup(free_curl_text)))

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void add_encoded(struct hfc_buf *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char code[3] = {'%', digits[c >> 4], digits[c & 15]};

    hfc_buf_add(out, code, sizeof(code));
}

void hfc_uri_encode(struct hfc_buf *out, const char *text, size_t n, const char *keep)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_unreserved(c) || (c != '\0' && strchr(keep, c) != NULL))
            hfc_buf_char(out, (char)c);
        else
            add_encoded(out, c);
    }
}

static int hex_value(unsigned char c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

bool hfc_uri_decode(struct hfc_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            if (n - i < 3)
                return false;
            int high = hex_value((unsigned char)text[i + 1]);
            int low = hex_value((unsigned char)text[i + 2]);
            if (high < 0 || low < 0)
                return false;
            c = high << 4 | low;
            i += 2;
        }
        if (c == '\0')
            return false;
        hfc_buf_char(out, (char)c);
    }
    return true;
}

/* A part as a string of our own; NULL if there is none, or, with *failed, no memory. */
static char *part(CURLU *u, CURLUPart what, unsigned flags, bool *failed)
{
    autocurl char *value = NULL;

    if (curl_url_get(u, what, &value, flags) != CURLUE_OK || value == NULL)
        return NULL;
    char *copy = strdup(value);
    *failed |= copy == NULL;
    return copy;
}

static void lower(char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

static bool is_http(const char *scheme)
{
    return strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
}

/* Names in another script have to come in their ASCII form: nothing else looks the same to curl, to
 * a comparison and on a terminal. */
static bool is_host(const char *text)
{
    static const char others[] = ".-_:[]";

    for (; *text != '\0'; text++)
        if (!(*text >= 'a' && *text <= 'z') && !(*text >= '0' && *text <= '9') &&
            strchr(others, *text) == NULL)
            return false;
    return true;
}

/* Whether a second reading finds the same host. curl decodes a host after it has looked for numbers
 * in it, so "%33" becomes "3", which is another way to write 0.0.0.3: one URL, two hosts. */
static bool is_settled(const char *host)
{
    autocurlu CURLU *u = curl_url();
    autocurl char *again = NULL;
    hfc_autobuf struct hfc_buf text = HFC_BUF(HOST_URL_MAX);

    hfc_buf_printf(&text, "http://%s/", host);
    return u != NULL && !hfc_buf_failed(&text) &&
           curl_url_set(u, CURLUPART_URL, text.data, 0) == CURLUE_OK &&
           curl_url_get(u, CURLUPART_HOST, &again, 0) == CURLUE_OK && strcasecmp(again, host) == 0;
}

/* "/c:" is Windows' to curl, which refuses it, but not where a query follows. */
static bool has_drive(const char *path)
{
    return path[0] == '/' && isalpha((unsigned char)path[1]) &&
           (path[2] == ':' || path[2] == '|') && strchr("/\\", path[3]) != NULL;
}

/* What is wrong with a URL that was parsed, or NULL. A zone is not part of curl's host, so two
 * hosts would look like one. */
static const char *objection(CURLU *u, const struct hfc_url *url)
{
    autocurl char *zone = NULL;

    if (!is_http(url->scheme) && strcmp(url->scheme, "file") != 0)
        return "only http, https and file are possible";
    if (url->host != NULL && !is_host(url->host))
        return "its host has characters that no host's name has";
    if (url->host != NULL && !is_settled(url->host))
        return "its host can be read in two ways";
    if (url->path[0] != '/')
        return "its path has to begin with '/'";
    if (strcmp(url->scheme, "file") == 0 && has_drive(url->path))
        return "its path can be read as a drive";
    if (curl_url_get(u, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK && zone != NULL)
        return "an IPv6 zone is not possible";
    return NULL;
}

static int take_parts(CURLU *u, struct hfc_url *url, struct hfc_error *err)
{
    bool failed = false;

    url->scheme = part(u, CURLUPART_SCHEME, 0, &failed);
    url->host = part(u, CURLUPART_HOST, 0, &failed);
    if (url->host != NULL)
        url->port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &failed);
    url->path = part(u, CURLUPART_PATH, 0, &failed);
    url->query = part(u, CURLUPART_QUERY, 0, &failed);
    if (failed || url->scheme == NULL || url->path == NULL)
        return hfc_error_set(err, ENOMEM, "URL");
    lower(url->scheme);
    lower(url->host);
    const char *wrong = objection(u, url);
    if (wrong != NULL)
        return hfc_error_set(err, 0, "URL %s://%s: %s", url->scheme,
                             url->host == NULL    ? ""
                             : is_host(url->host) ? url->host
                                                  : "...",
                             wrong);
    assert(strcmp(url->scheme, "file") == 0 || (url->host != NULL && url->port != NULL));
    return 0;
}

/* Names the usual mistakes; curl's own words for the rest. */
static const char *curl_says(CURLUcode rc)
{
    switch (rc) {
    case CURLUE_BAD_SCHEME:
    case CURLUE_UNSUPPORTED_SCHEME:
        return "it has to begin with http://, https:// or file://";
    case CURLUE_USER_NOT_ALLOWED:
        return "it must not contain a user name or password";
    default:
        return curl_url_strerror(rc);
    }
}

int hfc_url_parse(const char *text, struct hfc_url *url, struct hfc_error *err)
{
    autocurlu CURLU *u = curl_url();

    *url = (struct hfc_url){0};
    if (u == NULL)
        return hfc_error_set(err, ENOMEM, "URL");
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS);
    if (rc != CURLUE_OK)
        return hfc_error_set(err, rc == CURLUE_OUT_OF_MEMORY ? ENOMEM : 0, "URL: %s",
                             curl_says(rc));
    if (take_parts(u, url, err) == 0)
        return 0;
    hfc_url_free(url);
    return -1;
}

void hfc_url_free(struct hfc_url *url)
{
    free(url->scheme);
    free(url->host);
    free(url->port);
    free(url->path);
    free(url->query);
    *url = (struct hfc_url){0};
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool hfc_url_same_origin(const char *a, const char *b)
{
    struct hfc_url x, y = {0};
    bool equal = hfc_url_parse(a, &x, NULL) == 0 && hfc_url_parse(b, &y, NULL) == 0 &&
                 same(x.scheme, y.scheme) && same(x.host, y.host) && same(x.port, y.port);

    hfc_url_free(&x);
    hfc_url_free(&y);
    return equal;
}

/* Spaces and bytes beyond ASCII are encoded, as browsers and curl do with a Location; what is
 * encoded already stays as it is, or a signed URL would break. */
char *hfc_url_resolve(const char *base, const char *location)
{
    autocurlu CURLU *u = curl_url();
    autocurl char *text = NULL;
    struct hfc_url url;

    if (u == NULL || *location == '\0')
        return NULL;
    if (curl_url_set(u, CURLUPART_URL, base, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_set(u, CURLUPART_URL, location,
                     CURLU_DISALLOW_USER | CURLU_URLENCODE | CURLU_ALLOW_SPACE) != CURLUE_OK ||
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK)
        return NULL;
    /* Once more, as whoever connects will read it. */
    if (hfc_url_parse(text, &url, NULL) < 0)
        return NULL;
    bool good = is_http(url.scheme);
    hfc_url_free(&url);
    return good ? strdup(text) : NULL;
}

static bool is_default_port(const struct hfc_url *url)
{
    return strcmp(url->port, strcmp(url->scheme, "https") == 0 ? "443" : "80") == 0;
}

/* Bytes beyond ASCII could steer a terminal, so they are shown encoded. */
void hfc_url_show(struct hfc_buf *out, const char *url)
{
    struct hfc_url parts;

    if (hfc_url_parse(url, &parts, NULL) < 0) {
        hfc_buf_str(out, "(unreadable URL)");
        return;
    }
    hfc_buf_printf(out, "%s://%s", parts.scheme, parts.host != NULL ? parts.host : "");
    if (parts.port != NULL && !is_default_port(&parts))
        hfc_buf_printf(out, ":%s", parts.port);
    for (const char *p = parts.path; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c > 0x20 && c < 0x7f)
            hfc_buf_char(out, *p);
        else
            add_encoded(out, c);
    }
    hfc_url_free(&parts);
}
