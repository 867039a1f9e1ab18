/* glyph.c: escaping of text for people, and the UTF-8 it takes; see glyph.h. */
#include "glyph.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

size_t hfc_utf8_next(const char *p, size_t n, uint32_t *c)
{
    unsigned char first = (unsigned char)*p;
    uint32_t value = 0, least = 0;

    assert(n > 0);
    *c = first;
    if (first < 0x80)
        return 1;
    *c = HFC_UTF8_BAD;
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

struct hfc_glyph hfc_glyph_next(const char *p, size_t n)
{
    struct hfc_glyph g;
    uint32_t c;

    g.taken = (uint8_t)hfc_utf8_next(p, n, &c);
    if (c != HFC_UTF8_BAD && !WITHIN(c, unseen)) {
        memcpy(g.text, p, g.taken);
        g.len = g.taken;
        g.cells = WITHIN(c, narrow) ? 0 : WITHIN(c, wide) ? 2 : 1;
        return g;
    }
    int len = c == HFC_UTF8_BAD ? snprintf(g.text, sizeof(g.text), "\\x%02x", (unsigned char)*p)
                                : escape(c, g.text, sizeof(g.text));
    assert(len > 0 && (size_t)len < sizeof(g.text));
    g.len = g.cells = (uint8_t)len;
    return g;
}

void hfc_glyph_add(struct hfc_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        struct hfc_glyph g = hfc_glyph_next(text + i, n - i);
        hfc_buf_add(out, g.text, g.len);
        i += g.taken;
    }
}
