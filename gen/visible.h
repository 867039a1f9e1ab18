/* visible.h: text from input files as it may be shown to people.
 *
 * Inputs may hold anything; what is printed of them must not move a terminal's cursor, turn the
 * text around or end a log line. Control characters, invisible ones and bytes that are no UTF-8
 * come out as escapes: "\t", "\x1b", "\u202e".
 */
#ifndef GEN_VISIBLE_H
#define GEN_VISIBLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct glyph {
    char text[16];
    uint8_t len;   /* bytes of text */
    uint8_t cells; /* columns of a terminal */
    uint8_t taken; /* bytes of the input it stands for */
};

/* Prints n bytes so. */
void visible_print(const char *text, size_t n, FILE *to);

/* How to show the character at p (n > 0 bytes are left). */
struct glyph visible_glyph(const char *p, size_t n);

#endif
