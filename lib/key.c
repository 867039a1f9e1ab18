/* key.c: keys as paths; see key.h. */
#include "key.h"

#include <stdint.h>
#include <string.h>

#include "object.h"

/* The length of the UTF-8 sequence at `s`, 0 if there is none; stops at a NUL. */
static size_t utf8_sequence(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    uint32_t code = n == 0 ? 0 : s[0] & (0xffU >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    if (n > 1 && (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
        return 0;
    return n;
}

bool hfc_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s != '\0') {
        size_t n = utf8_sequence(s);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

bool hfc_is_dots(const char *segment, size_t n)
{
    return n <= 2 && memcmp(segment, "..", n) == 0;
}

const char *hfc_key_fault(const char *key)
{
    size_t len = strnlen(key, HFC_KEY_MAX + 1);

    if (len == 0 || len > HFC_KEY_MAX)
        return "the key has not 1 to 1024 bytes";
    if (!hfc_is_utf8(key))
        return "the key is not UTF-8";
    for (const char *s = key;; s++) {
        size_t n = strcspn(s, "/");
        if (n == 0)
            return "the key has an empty segment";
        if (hfc_is_dots(s, n))
            return "the key has a segment '.' or '..'";
        s += n;
        if (*s == '\0')
            return NULL;
    }
}
