/* pattern.h: which files of a repository are wanted.
 *
 * The globs are those of huggingface_hub's allow_patterns and ignore_patterns, that is, of Python's
 * fnmatch.fnmatchcase(): '*' is any text, '/' included, '?' one character, [abc], [a-z] and [!a]
 * one of a set; nothing escapes. A pattern that ends with '/' means all that lies below.
 *
 * Threads: no state.
 */
#ifndef REFRESH_PATTERN_H
#define REFRESH_PATTERN_H

#include <stdbool.h>

#include "models.h"

/* Whether the whole of `name` matches; both are UTF-8. Takes time in the order of the product of
 * both lengths at most, and no memory. */
bool pattern_match(const char *pattern, const char *name);

/* Whether the file is to be published. config-only (*.json *.txt *.model *.jinja) restricts what
 * allow= and ignore= leave. */
bool model_wants(const struct model *model, const char *path);

#endif
