/* visible.c: escaping of text for people; see visible.h. */
#include "visible.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

struct range {
    uint32_t first, last;
};

/* Controls, direction marks, line and paragraph separators, other characters without a shape. */
static const struct range unseen[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},        {0x61c, 0x61c},   {0x180e, 0x180e},
    {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},    {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    {0xe000, 0xf8ff}, {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff},
};

/* Combining marks and variation selectors; the blocks that matter, not all of Unicode. */
static const struct range narrow[] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x1ab0, 0x1aff},
    {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
};

/* East Asian wide and full-width characters, emoji. */
static const struct range wide[] = {
    {0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
};

static bool within(uint32_t c, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

#define WITHIN(c, ranges) within((c), (ranges), sizeof(ranges) / sizeof((ranges)[0]))

static int escape(uint32_t c, char *to, size_t room)
{
    switch (c) {
    case '\t':
        return snprintf(to, room, "\\t");
    case '\n':
        return snprintf(to, room, "\\n");
    case '\r':
        return snprintf(to, room, "\\r");
    default:
        if (c < 0x80)
            return snprintf(to, room, "\\x%02x", c);
        return snprintf(to, room, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    }
}

struct glyph visible_glyph(const char *p, size_t n)
{
    struct glyph g;
    uint32_t c;

    g.taken = (uint8_t)utf8_next(p, n, &c);
    if (c != UTF8_BAD && !WITHIN(c, unseen)) {
        memcpy(g.text, p, g.taken);
        g.len = g.taken;
        g.cells = WITHIN(c, narrow) ? 0 : WITHIN(c, wide) ? 2 : 1;
        return g;
    }
    int len = c == UTF8_BAD ? snprintf(g.text, sizeof(g.text), "\\x%02x", (unsigned char)*p)
                            : escape(c, g.text, sizeof(g.text));
    assert(len > 0 && (size_t)len < sizeof(g.text));
    g.len = g.cells = (uint8_t)len;
    return g;
}

void visible_print(const char *text, size_t n, FILE *to)
{
    for (size_t i = 0; i < n;) {
        struct glyph g = visible_glyph(text + i, n - i);
        (void)fwrite(g.text, 1, g.len, to);
        i += g.taken;
    }
}
