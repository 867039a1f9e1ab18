/* visible.h: prints text from input files for people, with what lib/glyph.h does to it. */
#ifndef GEN_VISIBLE_H
#define GEN_VISIBLE_H

#include <stddef.h>
#include <stdio.h>

void visible_print(const char *text, size_t n, FILE *to);

#endif
