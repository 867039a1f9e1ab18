/* glyph.h: text from outside as it may be shown to people.
 *
 * Inputs, names and servers' messages may hold anything; what is printed of them must not move a
 * terminal's cursor, turn the text around or end a log line. Control characters, invisible ones and
 * bytes that are no UTF-8 come out as escapes: "\t", "\x1b", "\u202e".
 *
 * Threads: no state.
 */
#ifndef HFC_GLYPH_H
#define HFC_GLYPH_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define HFC_UTF8_BAD UINT32_MAX

/* The character at p (n > 0 bytes are left) -> *c; returns its bytes. *c is HFC_UTF8_BAD, and one
 * byte is taken, where no well-formed one starts: truncated, overlong, a surrogate, too large. */
size_t hfc_utf8_next(const char *p, size_t n, uint32_t *c);

struct hfc_glyph {
    char text[16];
    uint8_t len;   /* bytes of text */
    uint8_t cells; /* columns of a terminal */
    uint8_t taken; /* bytes of the input it stands for */
};

/* How to show the character at p (n > 0 bytes are left). */
struct hfc_glyph hfc_glyph_next(const char *p, size_t n);

/* Appends n bytes so. */
void hfc_glyph_add(struct hfc_buf *out, const char *text, size_t n);

#endif
