/* source.h: the text of one input file, and places in it.
 *
 * Everything the program says about its inputs points into a source: diagnostics show the line,
 * `explain` names it, `enable` edits it. A source keeps the bytes as they are in the file.
 */
#ifndef GEN_SOURCE_H
#define GEN_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"

enum { SOURCE_MAX = 64 * 1024 * 1024 }; /* bytes; a larger input is refused */

struct source {
    const char *path; /* as it is shown to the user */
    const char *text; /* NUL-terminated, may hold NULs too */
    size_t len;
    struct source_lines *index; /* source.c's; made when a line is first asked for */
};

/* A place; line and column count from 1, columns in characters. line 0: the file as a whole;
 * src NULL: no file at all (the command line, the environment). */
struct srcpos {
    const struct source *src;
    uint32_t line, col;
};

/* Reads a file; source and text live in the arena. */
int source_load(struct arena *a, const char *path, const struct source **out,
                struct hfc_error *err);

/* The same from memory; `text` is copied. */
const struct source *source_from_text(struct arena *a, const char *path, const char *text,
                                      size_t len);

/* How many lines there are, at least 1. Line breaks are YAML's: LF, CR, CRLF, NEL, LS, PS. */
uint32_t source_lines(const struct source *src);

/* Byte offset at which a line begins; line counts from 1 and must exist. */
size_t source_line_start(const struct source *src, uint32_t line);

/* The bytes of a line without its line break; line counts from 1 and must exist. */
const char *source_line(const struct source *src, uint32_t line, size_t *len);

/* Byte offset of a place that has a line; a column past the end gives the end of the line. */
size_t source_offset(const struct source *src, uint32_t line, uint32_t col);

static inline struct srcpos srcpos_file(const struct source *src)
{
    return (struct srcpos){.src = src};
}

#endif
