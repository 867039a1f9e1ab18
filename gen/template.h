/* template.h: templates with {{PLACEHOLDERS}} and conditional blocks, compiled once, rendered
 * often.
 *
 * A line that, trimmed, is "# BEGIN_TAG" opens the block of a tag, "# END_TAG" closes it; the
 * marker lines never appear in the output, the lines between only if the block is kept. Blocks are
 * decided first; then every {{NAME}} is replaced, names in the order of the table the caller gives,
 * so that a value may itself hold placeholders that come later in the table; last, runs of three or
 * more newlines become two. Tags and names that the caller's tables do not list are ordinary text.
 *
 * A compiled template is immutable and may be shared; a render uses only its own buffer.
 */
#ifndef GEN_TEMPLATE_H
#define GEN_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "source.h"

enum { TEMPLATE_TAGS_MAX = 8 };

struct template;

/* Something wrong or odd in the template's text, told to the caller of template_compile(). */
enum template_issue {
    TEMPLATE_BAD_UTF8,    /* not UTF-8: nothing can be rendered */
    TEMPLATE_UNCLOSED,    /* BEGIN without END; `tag` says which block */
    TEMPLATE_UNOPENED,    /* END without BEGIN */
    TEMPLATE_NESTED,      /* BEGIN inside a block of the same tag */
    TEMPLATE_OVERLAP,     /* blocks of two tags that overlap without one holding the other */
    TEMPLATE_UNKNOWN_TAG, /* a marker of a tag that is not in the table: stays as text */
    TEMPLATE_NEAR_MARKER, /* looks like a marker of a known tag but is none: "#BEGIN_X", ... */
    TEMPLATE_NEAR_NAME,   /* a known name written so that it is not replaced: "{{ VCPU }}" */
};

typedef void template_report(void *ctx, enum template_issue issue, struct srcpos at,
                             const char *tag, size_t tag_len);

/* Compiles for a table of tags ("HF_CACHE") and one of names ("VCPU", without braces), both ended
 * by NULL and kept by reference; at most TEMPLATE_TAGS_MAX tags. Returns NULL only after reporting
 * TEMPLATE_BAD_UTF8; any other issue is reported and compiles in the way described above. */
const struct template *template_compile(struct arena *a, const struct source *src,
                                        const char *const *tags, const char *const *names,
                                        template_report *report, void *ctx);

/* values[i] belongs to names[i]; keep[i] to tags[i]. Appends the result. */
struct text {
    const char *p;
    size_t n;
};

static inline struct text text_of(const char *p)
{
    return (struct text){p, strlen(p)};
}

void template_render(const struct template *t, const struct text *values, const bool *keep,
                     struct hfc_buf *out);

/* The first {{NAME}} (capitals, digits, underscores) in a rendered text, with its length; NULL if
 * there is none. */
const char *template_leftover(const char *text, size_t len, size_t *name_len);

/* Where {{NAME}} first stands in the template's source outside stripped blocks, for a diagnostic;
 * line 0 if nowhere (it came from a value). */
struct srcpos template_find(const struct template *t, const bool *keep, const char *text,
                            size_t len);

#endif
