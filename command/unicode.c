/* unicode.c: texts from outside; see unicode.h. */
#include "unicode.h"

#include "glyph.h"

enum { SHOWN_BYTES = 200 };

bool unicode_valid(const char *text, size_t n)
{
    uint32_t c = 0;

    for (size_t i = 0; i < n && c != HFC_UTF8_BAD;)
        i += hfc_utf8_next(text + i, n - i, &c);
    return c != HFC_UTF8_BAD;
}

bool unicode_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

/* Cut between characters. */
void unicode_show(struct hfc_buf *out, const char *text, size_t n)
{
    size_t shown = 0;
    uint32_t c;

    while (shown < n) {
        size_t len = hfc_utf8_next(text + shown, n - shown, &c);
        if (shown + len > SHOWN_BYTES)
            break;
        shown += len;
    }
    hfc_glyph_add(out, text, shown);
    if (shown < n)
        hfc_buf_str(out, "...");
}
