/* utf8.c: decodes UTF-8, strictly; see utf8.h. */
#include "utf8.h"

#include <assert.h>

/* What the first byte says: how long the character is and from where that form may be used (a
 * shorter form exists below, and must have been taken). */
static size_t form(unsigned char first, uint32_t *bits, uint32_t *least)
{
    if (first < 0xc0 || first >= 0xf8)
        return 0;
    if (first < 0xe0) {
        *bits = first & 0x1f;
        *least = 0x80;
        return 2;
    }
    if (first < 0xf0) {
        *bits = first & 0x0f;
        *least = 0x800;
        return 3;
    }
    *bits = first & 0x07;
    *least = 0x10000;
    return 4;
}

size_t utf8_next(const char *p, size_t n, uint32_t *c)
{
    unsigned char first = (unsigned char)*p;
    uint32_t value = 0, least = 0;

    assert(n > 0);
    *c = first;
    if (first < 0x80)
        return 1;
    *c = UTF8_BAD;
    size_t len = form(first, &value, &least);
    if (len == 0 || len > n)
        return 1;
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 1;
        value = value << 6 | ((unsigned char)p[i] & 0x3f);
    }
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 1;
    *c = value;
    return len;
}

size_t utf8_check(const char *p, size_t n)
{
    size_t i = 0;
    uint32_t c;

    while (i < n) {
        if ((unsigned char)p[i] < 0x80) {
            i++;
            continue;
        }
        size_t len = utf8_next(p + i, n - i, &c);
        if (c == UTF8_BAD)
            break;
        i += len;
    }
    return i;
}

bool utf8_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Bytes of the last of n > 0 bytes' characters. */
static size_t last_char(const char *p, size_t n, uint32_t *c)
{
    size_t at = n - 1;

    while (at > 0 && ((unsigned char)p[at] & 0xc0) == 0x80)
        at--;
    (void)utf8_next(p + at, n - at, c);
    return n - at;
}

void utf8_trim(const char **p, size_t *n)
{
    uint32_t c;
    size_t len;

    while (*n > 0 && (len = utf8_next(*p, *n, &c), utf8_is_space(c))) {
        *p += len;
        *n -= len;
    }
    while (*n > 0 && (len = last_char(*p, *n, &c), utf8_is_space(c)))
        *n -= len;
}
