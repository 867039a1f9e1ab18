/* fuzz_hub_headers.c: values of headers: RateLimit, Link, Content-Range, ETag, sizes. Each is read
 * as every kind.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hub_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rate_limit(const char *value)
{
    const char *end = value + strlen(value);
    struct rate_limit limit;

    for (const char *before = value; header_rate_limit(&value, &limit); before = value) {
        assert(value > before && value <= end);
        assert(limit.remaining >= 0 && limit.reset >= 0);
        assert(memchr(limit.name, '\0', sizeof(limit.name)) != NULL);
    }
    assert(value == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *value = strndup(size > 0 ? (const char *)data : "", size);
    uint64_t first, last, total;
    char tag[65];

    if (value == NULL)
        return 0;
    check_rate_limit(value);
    char *next = header_link_next(value);
    assert(next == NULL || (next[0] != '\0' && strstr(value, next) != NULL));
    free(next);
    if (header_content_range(value, &first, &last, &total))
        assert(first <= last && last < total);
    if (header_etag(value, tag, sizeof(tag)))
        assert(tag[0] != '\0' && strlen(tag) < sizeof(tag));
    if (header_size(value, &total))
        assert(strpbrk(value, "0123456789") != NULL);
    free(value);
    return 0;
}
