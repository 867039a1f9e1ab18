/* placeholder.h: the placeholders of the runner template and how each is made of a runner's fields.
 *
 * The order of the table is part of the interface: a value may hold placeholders that come later.
 */
#ifndef GEN_PLACEHOLDER_H
#define GEN_PLACEHOLDER_H

#include "runner.h"

enum { PLACEHOLDERS = 35, PLACEHOLDER_NAME_NORMALIZED = 4 };

/* Names without braces, ended by NULL, for template_compile(). */
extern const char *const placeholder_names[PLACEHOLDERS + 1];

/* The texts to put in, in the order of the names; they live in `a` or in the runner. */
void placeholder_values(struct arena *a, const struct runner *r, struct text *values);

/* The field that decides a placeholder; what `explain` shows. */
enum field placeholder_field(size_t i);

#endif
