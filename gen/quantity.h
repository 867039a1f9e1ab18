/* quantity.h: numbers written as text in runner definitions. */
#ifndef GEN_QUANTITY_H
#define GEN_QUANTITY_H

#include <stddef.h>

#include "arena.h"
#include "ynode.h"

/* A memory quantity ("170Gi", "512M", "1024") in bytes, as decimal text of any length; NULL if it
 * is none. Suffixes: Ki Mi Gi Ti (1024), K M G T (1000), none. The number is a whole one, signed or
 * not, with single underscores between digits and white space around it allowed. */
const char *memory_bytes(struct arena *a, const char *text, size_t n);

/* What Python's float() makes of a value: a number, a boolean, or text such as "0.5", "1e3", "inf".
 * 0, or -1 if it makes nothing of it. */
int number_of(const struct ynode *n, double *value);

/* <0, 0, >0 for two values of Y_INT or Y_FLOAT; anything compared with NaN is "equal". */
int number_cmp(const struct ynode *a, const struct ynode *b);

#endif
