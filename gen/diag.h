/* diag.h: everything the program has to say about its inputs, collected, sorted out and printed.
 *
 * Checks report what they find and go on; whoever runs them asks diags_errors() at the end. The
 * same finding (code, place, text) is kept once, however many clusters lead to it. Each code has a
 * paragraph in docs/errors.md.
 *
 * Not thread-safe.
 */
#ifndef GEN_DIAG_H
#define GEN_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "arena.h"
#include "source.h"
#include "ynode.h"

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

/* Identifies a kind of finding: "HFG022". The list is diag_codes.def. */
enum diag_code {
#define DIAG(name, number, severity, title) name,
#include "diag_codes.def"
#undef DIAG
    DIAG_CODES
};

struct diag {
    enum diag_code code;
    struct srcpos at;
    const char *message;  /* what is wrong, no final full stop */
    const char *found;    /* what stands there, or NULL */
    const char *expected; /* what should, or NULL */
    const char *hint;     /* what to do, or NULL */
};

struct diags;

struct diags *diags_new(void);
void diags_free(struct diags *d); /* NULL is fine */

/* Memory for the texts of a finding: lives as long as the collection. */
struct arena *diags_arena(struct diags *d);

/* Adds a copy of *item; the strings must live as long as the collection (literals, inputs, or
 * diags_arena()). */
void diags_add(struct diags *d, const struct diag *item);

/* The usual way: code, place, message. */
void diags_addf(struct diags *d, enum diag_code code, struct srcpos at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

size_t diags_errors(const struct diags *d);
size_t diags_warnings(const struct diags *d);
size_t diags_count(const struct diags *d);

/* Forgets the warnings; how many there were. Nothing can be added afterwards. */
size_t diags_drop_warnings(struct diags *d);

/* In the order of report; i < diags_count(). */
const struct diag *diags_get(const struct diags *d, size_t i);

/* "HFG022", DIAG_ERROR, "runner name is not usable". */
const char *diag_code_id(enum diag_code code);
enum diag_severity diag_code_severity(enum diag_code code);
const char *diag_code_title(enum diag_code code);

enum diag_format { DIAG_TEXT, DIAG_JSON, DIAG_SARIF, DIAG_GITHUB };

/* Prints all findings, sorted by file, line and column. DIAG_TEXT: message, source line, found and
 * expected, hint (`color` for a terminal); DIAG_JSON: one object a line; DIAG_SARIF: one SARIF
 * 2.1.0 log; DIAG_GITHUB: workflow commands. */
void diags_print(const struct diags *d, enum diag_format format, bool color, FILE *to);

/* "text", "json", "sarif", "github" -> *format; false for anything else. */
bool diag_format_parse(const char *name, enum diag_format *format);

#endif
