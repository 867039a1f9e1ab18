/* key.h: which keys can be paths of files.
 *
 * A store takes any UTF-8; what is to be shown as a tree, or kept in one, has to be more.
 *
 * Threads: no state.
 */
#ifndef HFC_KEY_H
#define HFC_KEY_H

#include <stdbool.h>
#include <stddef.h>

/* Strict: no over-long forms, no surrogates, nothing beyond U+10FFFF. */
bool hfc_is_utf8(const char *text);

/* Whether the n bytes are "." or "..". */
bool hfc_is_dots(const char *segment, size_t n);

/* Why the key is no relative path of a file ("the key has ..."), or NULL if it is one: 1 to 1,024
 * bytes of UTF-8, without empty segments, "." or "..". */
const char *hfc_key_fault(const char *key);

#endif
