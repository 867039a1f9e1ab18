/* uri.h: percent-encoding and URLs, as far as HTTP clients need them.
 *
 * Threads: no state.
 */
#ifndef HFC_URI_H
#define HFC_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "error.h"

/* Appends `text` with every byte but RFC 3986's unreserved ones, and those in `keep`, as %XX with
 * upper-case digits: what SigV4 wants. `keep` is "" or "/". */
void hfc_uri_encode(struct hfc_buf *out, const char *text, size_t n, const char *keep);

/* Appends `text` decoded once ('+' stays '+'). False: a '%' without two hex digits; what was
 * appended until then stays. A decoded NUL is refused as well. */
bool hfc_uri_decode(struct hfc_buf *out, const char *text, size_t n);

/* A URL's parts, each its own string or NULL. Free with hfc_url_free(). */
struct hfc_url {
    char *scheme; /* lower case */
    char *host;   /* lower case; an IPv6 address in brackets */
    char *port;   /* decimal, also where it is the scheme's default */
    char *path;   /* as it stands, at least "/" */
    char *query;  /* without '?'; NULL if there is none */
};

/* Only http, https and file are taken. User names and passwords are refused: they would end in
 * logs. The message quotes no more than scheme and host. */
int hfc_url_parse(const char *text, struct hfc_url *url, struct hfc_error *err);
void hfc_url_free(struct hfc_url *url);

/* Whether both have the same scheme, host and port. False if either is no URL. */
bool hfc_url_same_origin(const char *a, const char *b);

/* The absolute URL of `location` found in an answer from `base`; free(3) it. NULL: it is none, or
 * its scheme is neither http nor https. */
char *hfc_url_resolve(const char *base, const char *location);

/* Appends scheme, host and port (if not the default) and path: what may be shown of a URL whose
 * query may be a credential. */
void hfc_url_show(struct hfc_buf *out, const char *url);

#endif
