/* utf8.h: the little that is needed to know of UTF-8. */
#ifndef GEN_UTF8_H
#define GEN_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_BAD UINT32_MAX

/* The character at p (n > 0 bytes are left) -> *c; returns its bytes. *c is UTF8_BAD, and one byte
 * is taken, where no well-formed character starts: truncated, overlong, a surrogate, too large. */
size_t utf8_next(const char *p, size_t n, uint32_t *c);

/* Offset of the first byte that is not UTF-8, n if there is none. */
size_t utf8_check(const char *p, size_t n);

/* White space as Python's str.strip() takes it off: ASCII's, and what Unicode calls so. */
bool utf8_is_space(uint32_t c);

/* Takes such white space off both ends of the *n bytes at *p. */
void utf8_trim(const char **p, size_t *n);

#endif
