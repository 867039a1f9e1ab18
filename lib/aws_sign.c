/* aws_sign.c: AWS Signature Version 4; see aws_sign.h.
 *
 * A request's own headers and those that signing adds are put into one list of names and values,
 * which point into the caller's text. Sorted, it makes the canonical request.
 */
#include "aws_sign.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

enum {
    LINES_MAX = 64,
    PARAMETERS_MAX = 64,
    CANONICAL_MAX = 256 * 1024,
    DATE_SIZE = 17, /* 20150830T123600Z */
    DAY_LEN = 8,
};

struct text {
    const char *at;
    size_t n;
};

/* A header or a parameter of the query. */
struct pair {
    struct text name, value;
    unsigned order;
};

struct headers {
    struct pair list[LINES_MAX];
    unsigned n;
    bool too_many;
    char date[DATE_SIZE];
};

static void add_text(struct hfc_buf *out, struct text t)
{
    hfc_buf_add(out, t.at, t.n);
}

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct text trimmed(struct text t)
{
    for (; t.n > 0 && is_blank(t.at[0]); t.n--)
        t.at++;
    while (t.n > 0 && is_blank(t.at[t.n - 1]))
        t.n--;
    return t;
}

/* Where `c` is in the text, or its end. */
static size_t find(struct text t, char c)
{
    const char *at = memchr(t.at, c, t.n);

    return at != NULL ? (size_t)(at - t.at) : t.n;
}

/* Splits at `c`; all is name if there is none. */
static struct pair split(struct text t, char c)
{
    size_t at = find(t, c);
    size_t rest = at < t.n ? at + 1 : t.n;

    return (struct pair){.name = {t.at, at}, .value = {t.at + rest, t.n - rest}};
}

static void add_header(struct headers *h, struct text name, struct text value)
{
    if (h->n == LINES_MAX) {
        h->too_many = true;
        return;
    }
    h->list[h->n] = (struct pair){trimmed(name), trimmed(value), h->n};
    h->n++;
}

static int compare_bytes(struct text a, struct text b)
{
    int rc = memcmp(a.at, b.at, a.n < b.n ? a.n : b.n);

    return rc != 0 ? rc : (a.n > b.n) - (a.n < b.n);
}

/* Two names that differ in case only are the same header; their values keep their order. */
static int compare_headers(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int rc = strncasecmp(x->name.at, y->name.at, n);

    if (rc == 0)
        rc = (x->name.n > y->name.n) - (x->name.n < y->name.n);
    return rc != 0 ? rc : (int)x->order - (int)y->order;
}

static int compare_parameters(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int rc = compare_bytes(x->name, y->name);

    return rc != 0 ? rc : compare_bytes(x->value, y->value);
}

static void add_lower(struct hfc_buf *out, struct text t)
{
    for (size_t i = 0; i < t.n; i++)
        hfc_buf_char(out, (char)tolower((unsigned char)t.at[i]));
}

/* With each run of spaces as a single one. */
static void add_folded(struct hfc_buf *out, struct text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.at[i] != ' ' || t.at[i - 1] != ' ')
            hfc_buf_char(out, t.at[i]);
}

static void write_date(time_t now, char date[DATE_SIZE])
{
    struct tm tm;

    if (gmtime_r(&now, &tm) == NULL || strftime(date, DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
        memcpy(date, "19700101T000000Z", DATE_SIZE);
}

/* All headers that are signed, in the order of the canonical request. */
static void collect(const struct hfc_aws_request *r, const char *token, struct headers *h)
{
    struct text rest = text_of(r->headers != NULL ? r->headers : "");

    h->n = 0;
    h->too_many = false;
    write_date(r->now, h->date);
    while (rest.n > 0) {
        struct pair line = split(rest, '\n');
        struct pair header = split(line.name, ':');
        add_header(h, header.name, header.value);
        rest = line.value;
    }
    add_header(h, text_of("host"), text_of(r->host));
    add_header(h, text_of("x-amz-date"), text_of(h->date));
    if (strcmp(r->service, "s3") == 0)
        add_header(h, text_of("x-amz-content-sha256"), text_of(r->payload_hash));
    if (token != NULL)
        add_header(h, text_of("x-amz-security-token"), text_of(token));
    qsort(h->list, h->n, sizeof(h->list[0]), compare_headers);
}

static bool same_name(const struct pair *a, const struct pair *b)
{
    return a->name.n == b->name.n && strncasecmp(a->name.at, b->name.at, a->name.n) == 0;
}

static void add_signed_names(struct hfc_buf *out, const struct headers *h)
{
    for (unsigned i = 0; i < h->n; i++) {
        if (i > 0 && same_name(&h->list[i - 1], &h->list[i]))
            continue;
        if (i > 0)
            hfc_buf_char(out, ';');
        add_lower(out, h->list[i].name);
    }
}

/* A header that is given twice counts as one with both values. */
static void add_canonical_headers(struct hfc_buf *out, const struct headers *h)
{
    for (unsigned i = 0; i < h->n; i++) {
        if (i > 0 && same_name(&h->list[i - 1], &h->list[i])) {
            hfc_buf_char(out, ',');
        } else {
            if (i > 0)
                hfc_buf_char(out, '\n');
            add_lower(out, h->list[i].name);
            hfc_buf_char(out, ':');
        }
        add_folded(out, h->list[i].value);
    }
    hfc_buf_char(out, '\n');
}

static void add_canonical_query(struct hfc_buf *out, const char *query)
{
    struct pair list[PARAMETERS_MAX];
    unsigned n = 0;
    struct text rest = text_of(query != NULL ? query : "");

    while (rest.n > 0) {
        struct pair parameter = split(rest, '&');
        rest = parameter.value;
        if (parameter.name.n == 0)
            continue;
        if (n == PARAMETERS_MAX) {
            out->failed = true;
            return;
        }
        list[n++] = split(parameter.name, '=');
    }
    if (n > 0)
        qsort(list, n, sizeof(list[0]), compare_parameters);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            hfc_buf_char(out, '&');
        add_text(out, list[i].name);
        hfc_buf_char(out, '=');
        add_text(out, list[i].value);
    }
}

static void add_canonical(const struct hfc_aws_request *r, const struct headers *h,
                          struct hfc_buf *out)
{
    assert(r->path[0] == '/');
    hfc_buf_printf(out, "%s\n%s\n", r->method, r->path);
    add_canonical_query(out, r->query);
    hfc_buf_char(out, '\n');
    add_canonical_headers(out, h);
    hfc_buf_char(out, '\n');
    add_signed_names(out, h);
    hfc_buf_printf(out, "\n%s", r->payload_hash);
    out->failed |= h->too_many;
}

static void add_scope(const struct hfc_aws_request *r, const struct headers *h, struct hfc_buf *out)
{
    hfc_buf_printf(out, "%.*s/%s/%s/aws4_request", DAY_LEN, h->date, r->region, r->service);
}

static void add_string_to_sign(const struct hfc_aws_request *r, const struct headers *h,
                               struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf canonical = HFC_BUF(CANONICAL_MAX);
    uint8_t digest[HFC_SHA256_SIZE];
    char hex[HFC_HEX_MAX];

    add_canonical(r, h, &canonical);
    out->failed |= hfc_buf_failed(&canonical);
    hfc_hash_of(HFC_SHA256, canonical.data, canonical.len, digest);
    hfc_hex(digest, sizeof(digest), hex);
    hfc_buf_printf(out, "AWS4-HMAC-SHA256\n%s\n", h->date);
    add_scope(r, h, out);
    hfc_buf_printf(out, "\n%s", hex);
}

void hfc_aws_canonical_request(const struct hfc_aws_request *r, struct hfc_buf *out)
{
    struct headers h;

    collect(r, NULL, &h);
    add_canonical(r, &h, out);
}

void hfc_aws_string_to_sign(const struct hfc_aws_request *r, struct hfc_buf *out)
{
    struct headers h;

    collect(r, NULL, &h);
    add_string_to_sign(r, &h, out);
}

static void chain(uint8_t key[HFC_SHA256_SIZE], const char *text, size_t n)
{
    uint8_t next[HFC_SHA256_SIZE];

    hfc_hmac_sha256(key, HFC_SHA256_SIZE, text, n, next);
    memcpy(key, next, sizeof(next));
    explicit_bzero(next, sizeof(next));
}

/* The key of the day, region and service. False: out of memory. */
static bool derive_key(const struct hfc_aws_request *r, const struct headers *h, const char *secret,
                       uint8_t key[HFC_SHA256_SIZE])
{
    size_t n = 4 + strlen(secret);
    char *first = malloc(n + 1);

    if (first == NULL)
        return false;
    (void)snprintf(first, n + 1, "AWS4%s", secret);
    hfc_hmac_sha256(first, n, h->date, DAY_LEN, key);
    explicit_bzero(first, n);
    free(first);
    chain(key, r->region, strlen(r->region));
    chain(key, r->service, strlen(r->service));
    chain(key, "aws4_request", strlen("aws4_request"));
    return true;
}

static void add_signature(const struct hfc_aws_request *r, const struct headers *h,
                          const char *secret, struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(4096);
    uint8_t key[HFC_SHA256_SIZE];
    char hex[HFC_HEX_MAX];

    add_string_to_sign(r, h, &text);
    if (hfc_buf_failed(&text) || !derive_key(r, h, secret, key)) {
        out->failed = true;
        return;
    }
    chain(key, text.data, text.len);
    hfc_hex(key, sizeof(key), hex);
    hfc_buf_str(out, hex);
    explicit_bzero(key, sizeof(key));
}

/* The request's own lines as they are; the last one may lack its end. */
static void add_own_lines(struct hfc_buf *out, const char *lines)
{
    size_t n = lines != NULL ? strlen(lines) : 0;

    if (n == 0)
        return;
    hfc_buf_add(out, lines, n);
    if (lines[n - 1] != '\n')
        hfc_buf_char(out, '\n');
}

void hfc_aws_sign(const struct hfc_aws_request *r, const struct hfc_aws_keys *keys,
                  struct hfc_buf *out)
{
    struct headers h;

    collect(r, keys->session_token, &h);
    add_own_lines(out, r->headers);
    hfc_buf_printf(out, "x-amz-date: %s\n", h.date);
    if (strcmp(r->service, "s3") == 0)
        hfc_buf_printf(out, "x-amz-content-sha256: %s\n", r->payload_hash);
    if (keys->session_token != NULL)
        hfc_buf_printf(out, "x-amz-security-token: %s\n", keys->session_token);
    hfc_buf_printf(out, "Authorization: AWS4-HMAC-SHA256 Credential=%s/", keys->access_key);
    add_scope(r, &h, out);
    hfc_buf_str(out, ", SignedHeaders=");
    add_signed_names(out, &h);
    hfc_buf_str(out, ", Signature=");
    add_signature(r, &h, keys->secret_key, out);
    hfc_buf_char(out, '\n');
}
