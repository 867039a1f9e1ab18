/* visible.c: prints text for people; see visible.h. */
#include "visible.h"

#include "glyph.h"

void visible_print(const char *text, size_t n, FILE *to)
{
    for (size_t i = 0; i < n;) {
        struct hfc_glyph g = hfc_glyph_next(text + i, n - i);
        (void)fwrite(g.text, 1, g.len, to);
        i += g.taken;
    }
}
