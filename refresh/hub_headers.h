/* hub_headers.h: values of HTTP headers that the Hub and its CDNs send.
 *
 * Threads: no state.
 */
#ifndef REFRESH_HUB_HEADERS_H
#define REFRESH_HUB_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An item of RateLimit: `"api";r=12;t=34`. */
struct rate_limit {
    char name[32];     /* of the bucket */
    int64_t remaining; /* requests left in this window */
    int64_t reset;     /* seconds until the next one begins */
};

/* Takes the first readable item of *value, and moves *value behind it. False: there is none. */
bool header_rate_limit(const char **value, struct rate_limit *limit);

/* The target of rel="next" in a Link header, as it stands there; free(3) it. NULL: there is none.
 */
char *header_link_next(const char *value);

/* `bytes FIRST-LAST/TOTAL` of a 206; *total is UINT64_MAX for '*'. */
bool header_content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total);

/* The text of an ETag without W/ and quotes -> text; false if it does not fit or is empty. */
bool header_etag(const char *value, char *text, size_t size);

/* A number of bytes, digits only. */
bool header_size(const char *value, uint64_t *size);

#endif
