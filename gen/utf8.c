/* utf8.c: checks and trims UTF-8; see utf8.h. The decoder is in lib/glyph.h. */
#include "utf8.h"

#include "glyph.h"

size_t utf8_next(const char *p, size_t n, uint32_t *c)
{
    return hfc_utf8_next(p, n, c);
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
