/* unicode.h: texts from outside, as far as names of repositories and files need it.
 *
 * Threads: no state.
 */
#ifndef COMMAND_UNICODE_H
#define COMMAND_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

bool unicode_valid(const char *text, size_t n);

/* C0 and C1 controls and DEL. */
bool unicode_is_control(uint32_t c);

/* Appends the text as a message may show it: escaped as lib/glyph.h does, and what is longer than
 * 200 bytes cut off with "...". */
void unicode_show(struct hfc_buf *out, const char *text, size_t n);

#endif
