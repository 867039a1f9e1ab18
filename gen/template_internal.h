/* template_internal.h: what a compiled template consists of; template.c builds it,
 * template_render.c reads it.
 *
 * The text between two markers is a span: it is kept or dropped as a whole. Which spans are kept
 * depends on the caller's keep[] alone, so the answer for every combination ("mask": bit i is
 * keep[i]) is worked out once, as a set of masks. Within a span, text and placeholders alternate.
 */
#ifndef GEN_TEMPLATE_INTERNAL_H
#define GEN_TEMPLATE_INTERNAL_H

#include "template.h"

enum {
    TEMPLATE_MASKS = 1 << TEMPLATE_TAGS_MAX,
    TEMPLATE_NO_NAME = UINT32_MAX,
};

/* Literal text, then the value of a name, if there is one. Newlines in the text are LFs, never
 * three in a row: collapsing them early cannot change what collapsing does at the end. */
struct piece {
    const char *lit;
    uint32_t len;
    uint32_t name; /* index in names, or TEMPLATE_NO_NAME */
};

struct span {
    uint32_t first, count;              /* its pieces */
    uint32_t start, end;                /* its bytes in the source, without the last line break */
    uint64_t kept[TEMPLATE_MASKS / 64]; /* a set of masks */
};

struct template
{
    const struct source *src;
    const char *const *names;
    const bool *used; /* per name: stands in the template */
    size_t ntags, nnames;
    struct piece *pieces;
    struct span *spans;
    uint32_t npieces, nspans;
    bool forming; /* text and values without braces may together form a new placeholder */
};

/* The place of a byte of the source. */
struct srcpos template_place(const struct source *src, size_t offset);

#endif
