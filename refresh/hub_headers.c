/* hub_headers.c: values of HTTP headers; see hub_headers.h. */
#include "hub_headers.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "need.h"

enum { LARGE = 1000000000 }; /* counts and seconds beyond this are not believed */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* Digits at *p -> *value; false if there are none, or too many. */
static bool take_number(const char **p, uint64_t *value)
{
    const char *start = *p;

    *value = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(**p - '0'), value))
            return false;
    return *p > start;
}

/* The end of the item or parameter at p: the next of `ends` that is in no quoted string. */
static const char *find_end(const char *p, const char *ends)
{
    bool quoted = false;

    for (; *p != '\0'; p++) {
        if (quoted && *p == '\\' && p[1] != '\0')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && strchr(ends, *p) != NULL)
            break;
    }
    return p;
}

/* A count that a parameter gives. */
static bool take_count(const char *p, const char *end, int64_t *value)
{
    uint64_t number;

    if (!take_number(&p, &number) || number > LARGE || skip_blanks(p) < end)
        return false;
    *value = (int64_t)number;
    return true;
}

static void copy_name(const char *p, const char *end, char name[32])
{
    size_t n = 0;

    for (; p < end && n < 31; p++)
        if (*p != '"' && *p != ' ' && *p != '\t')
            name[n++] = *p;
    name[n] = '\0';
}

/* The item from p to `end`: a name, then parameters. */
static bool read_limit(const char *p, const char *end, struct rate_limit *limit)
{
    const char *semicolon = find_end(p, ";,");

    *limit = (struct rate_limit){.remaining = -1, .reset = -1};
    copy_name(p, semicolon < end ? semicolon : end, limit->name);
    while (semicolon < end) {
        p = skip_blanks(semicolon + 1);
        semicolon = find_end(p, ";,");
        if (p[0] != '\0' && p[1] == '=' && (p[0] == 'r' || p[0] == 't') &&
            !take_count(p + 2, semicolon, p[0] == 'r' ? &limit->remaining : &limit->reset))
            return false;
    }
    return limit->remaining >= 0 && limit->reset >= 0;
}

bool header_rate_limit(const char **value, struct rate_limit *limit)
{
    const char *p = *value;
    bool found = false;

    while (!found && *p != '\0') {
        const char *end = find_end(p, ",");
        assert(end > p || *end == ',' || *end == '\0');
        found = read_limit(skip_blanks(p), end, limit);
        p = *end == ',' ? end + 1 : end;
    }
    *value = p;
    return found;
}

/* Whether the parameters at p, up to `end`, have rel=next, among other relations or alone. */
static bool is_next(const char *p, const char *end)
{
    while (p < end && *p == ';') {
        p = skip_blanks(p + 1);
        const char *stop = find_end(p, ";,");
        if (strncasecmp(p, "rel=", 4) == 0) {
            p += 4 + (p[4] == '"');
            while (p < stop) {
                size_t n = strcspn(p, " \t\";,");
                if (n == 4 && strncasecmp(p, "next", 4) == 0)
                    return true;
                p += n + 1;
            }
        }
        p = stop;
    }
    return false;
}

char *header_link_next(const char *value)
{
    const char *p = skip_blanks(value);

    while (*p == '<') {
        const char *close = strchr(p, '>');
        if (close == NULL)
            return NULL;
        const char *params = skip_blanks(close + 1), *end = find_end(params, ",");
        if (is_next(params, end) && close > p + 1)
            return need_copy(p + 1, (size_t)(close - p - 1));
        p = *end == ',' ? skip_blanks(end + 1) : end;
    }
    return NULL;
}

bool header_content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total)
{
    if (strncasecmp(value, "bytes ", 6) != 0)
        return false;
    const char *p = skip_blanks(value + 6);
    if (!take_number(&p, first) || *p++ != '-' || !take_number(&p, last) || *p++ != '/')
        return false;
    *total = UINT64_MAX;
    if (*p == '*')
        p++;
    else if (!take_number(&p, total))
        return false;
    return *skip_blanks(p) == '\0' && *first <= *last && *last < *total;
}

bool header_etag(const char *value, char *text, size_t size)
{
    assert(size > 0);
    if (strncmp(value, "W/", 2) == 0)
        value += 2;
    size_t n = strlen(value);
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value++;
        n -= 2;
    }
    if (n == 0 || n >= size)
        return false;
    memcpy(text, value, n);
    text[n] = '\0';
    return true;
}

bool header_size(const char *value, uint64_t *size)
{
    const char *p = skip_blanks(value);

    return take_number(&p, size) && *skip_blanks(p) == '\0';
}
