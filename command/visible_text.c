/* visible_text.c: text from outside on its way to a person; see command.h. */
#include <string.h>

#include "command.h"
#include "glyph.h"

void print_visible(FILE *to, const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n;) {
        struct hfc_glyph g = hfc_glyph_next(text + i, n - i);
        (void)fwrite(g.text, 1, g.len, to);
        i += g.taken;
    }
}
