/* store_s3_region.c: where S3's requests go: endpoint, style of address, region.
 *
 * AWS's own endpoint is https://BUCKET.s3.REGION.amazonaws.com. A bucket whose name is no DNS label
 * (dots break TLS) stands in the path instead; so it does with an endpoint of the environment's,
 * as most servers of others know no other way. HFCACHE_S3_ADDRESSING=path or =virtual overrides
 * both.
 *
 * A server that names another region for the bucket is believed, as far as the signature goes; the
 * host is always made here, never taken from an answer: so keys go nowhere else. Used by
 * store_s3*.c only.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_s3_steps.h"

enum { CORRECTIONS_MAX = 3 };

/* TLS certificates of AWS cover one label in front of s3.REGION, so a dot is no good either. */
static bool is_dns_label(const char *name)
{
    size_t n = strlen(name);

    return n >= 3 && n <= 63 && name[0] != '-' && name[n - 1] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* It becomes part of a host's name. */
bool hfc_s3_region_is_valid(const char *region)
{
    size_t n = strlen(region);

    return n >= 1 && n < HFC_S3_REGION_MAX && region[0] != '-' &&
           strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* A path is kept: some servers live below one. The slash at its end would come twice. */
static int parse_endpoint(struct hfc_s3 *s, const char *url, struct hfc_error *err)
{
    if (hfc_url_parse(url, &s->endpoint, err) < 0)
        return hfc_error_prefix(err, "the endpoint of S3");
    if (strcmp(s->endpoint.scheme, "file") == 0 || s->endpoint.query != NULL) {
        (void)hfc_error_set(err, 0, "the endpoint of S3: not an http or https URL without a query");
        if (err != NULL)
            err->errnum = EINVAL;
        return -1;
    }
    size_t n = strlen(s->endpoint.path);
    while (n > 0 && s->endpoint.path[n - 1] == '/')
        s->endpoint.path[--n] = '\0';
    return 0;
}

/* Decides once, at opening; only the region may change later. */
int hfc_s3_set_endpoint(struct hfc_s3 *s, struct hfc_error *err)
{
    const char *url = hfc_aws_config_endpoint(s->config, "s3");
    const char *style = getenv("HFCACHE_S3_ADDRESSING");

    if (url != NULL && parse_endpoint(s, url, err) < 0)
        return -1;
    s->path_style = url != NULL || !is_dns_label(s->bucket);
    if (style == NULL || *style == '\0')
        return 0;
    s->path_style = strcmp(style, "path") == 0;
    if (s->path_style || strcmp(style, "virtual") == 0)
        return 0;
    (void)hfc_error_set(err, 0, "HFCACHE_S3_ADDRESSING is neither \"path\" nor \"virtual\"");
    if (err != NULL)
        err->errnum = EINVAL;
    return -1;
}

/* The Host header that is signed has to be the one that the client sends, which leaves it out. */
static bool is_default_port(const struct hfc_url *u)
{
    return strcmp(u->port, strcmp(u->scheme, "https") == 0 ? "443" : "80") == 0;
}

/* `key` NULL: the bucket itself. The path is encoded, the origin has no path. */
void hfc_s3_address(const struct hfc_s3 *s, const char *key, struct hfc_buf *origin,
                    struct hfc_buf *host, struct hfc_buf *path)
{
    const struct hfc_url *u = &s->endpoint;

    assert(hfc_s3_region_is_valid(s->region));
    if (!s->path_style)
        hfc_buf_printf(host, "%s.", s->bucket);
    if (u->host == NULL)
        hfc_buf_printf(host, "s3.%s.amazonaws.com%s", s->region,
                       strncmp(s->region, "cn-", 3) == 0 ? ".cn" : "");
    else if (is_default_port(u))
        hfc_buf_str(host, u->host);
    else
        hfc_buf_printf(host, "%s:%s", u->host, u->port);
    hfc_buf_printf(origin, "%s://%s", u->host != NULL ? u->scheme : "https", host->data);
    if (u->host != NULL)
        hfc_buf_str(path, u->path);
    if (s->path_style)
        hfc_buf_printf(path, "/%s", s->bucket);
    if (key != NULL || !s->path_style)
        hfc_buf_char(path, '/');
    if (key != NULL)
        hfc_uri_encode(path, key, strlen(key), "/");
}

/* The region in a host of AWS's: ...s3.REGION.amazonaws.com or ...s3-REGION.amazonaws.com. */
bool hfc_s3_region_of_host(const char *text, char region[HFC_S3_REGION_MAX])
{
    const char *host = strstr(text, "://");

    host = host != NULL ? host + 3 : text;
    size_t n = strcspn(host, "/:?#");
    const char *end = memmem(host, n, ".amazonaws.com", 14);
    if (end == NULL)
        return false;
    for (const char *at = end; at > host; at--) {
        bool starts = at - host >= 3 && strncmp(at - 3, "s3", 2) == 0 &&
                      (at[-1] == '.' || at[-1] == '-') && (at - host == 3 || at[-4] == '.');
        if (starts && end - at < HFC_S3_REGION_MAX) {
            memcpy(region, at, (size_t)(end - at));
            region[end - at] = '\0';
            return hfc_s3_region_is_valid(region);
        }
    }
    return false;
}

/* What AWS says outright comes first; a host's name is looked at only if AWS is who answers. */
static bool named_region(const struct hfc_s3 *s, const struct hfc_response *r,
                         const struct hfc_s3_fault *f, char region[HFC_S3_REGION_MAX])
{
    const char *header = hfc_response_header(r, "x-amz-bucket-region");
    const char *location = hfc_response_header(r, "location");
    const char *named = header != NULL ? header : f->region;

    if (hfc_s3_region_is_valid(named)) {
        (void)memcpy(region, named, strlen(named) + 1);
        return true;
    }
    if (s->endpoint.host != NULL)
        return false;
    return hfc_s3_region_of_host(f->endpoint, region) ||
           (location != NULL && hfc_s3_region_of_host(location, region));
}

/* True: the request is worth another try at once, with another region. Another operation may have
 * learnt it meanwhile. */
bool hfc_s3_learn_region(struct hfc_s3_op *op, const struct hfc_response *r,
                         const struct hfc_s3_fault *f)
{
    struct hfc_s3 *s = hfc_s3_of(op);
    char region[HFC_S3_REGION_MAX];

    if (f->status != 301 && f->status != 307 && f->status != 308 && f->status != 400 &&
        f->status != 403)
        return false;
    if (!named_region(s, r, f, region) || strcmp(region, op->region) == 0 ||
        op->corrections >= CORRECTIONS_MAX)
        return false;
    op->corrections++;
    if (strcmp(region, s->region) != 0) {
        hfc_store_say(&s->base, "bucket %s is in region %s, not %s", s->bucket, region, s->region);
        (void)memcpy(s->region, region, sizeof(region));
    }
    return true;
}
