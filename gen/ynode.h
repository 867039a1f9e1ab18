/* ynode.h: one YAML document as a tree of typed values that know where they stand.
 *
 * Reads YAML 1.1 exactly as PyYAML's safe loader does (that is what the other readers of these
 * files use), on libyaml's event parser: the same implicit types, merge keys, last-wins duplicate
 * keys, one document a file, the same things refused. Values print as Python prints them.
 *
 * Bounds: SOURCE_MAX bytes of input, YAML_DEPTH_MAX levels; aliases share their node, so an alias
 * bomb costs nothing until somebody prints it, and printing is capped by the buffer.
 *
 * All nodes live in the arena given to yaml_parse() and are never changed afterwards.
 */
#ifndef GEN_YNODE_H
#define GEN_YNODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "source.h"

enum { YAML_DEPTH_MAX = 256 };

enum ytype {
    Y_NULL,
    Y_BOOL,
    Y_INT, /* unbounded; `text` is its canonical decimal form: "0", "-12", "685230" */
    Y_FLOAT,
    Y_STR,      /* `text`, UTF-8, may hold NULs */
    Y_DATE,     /* `text` is what Python's str() prints, `repr` its repr() */
    Y_DATETIME, /* the same */
    Y_BYTES,    /* from !!binary: `text` holds the bytes */
    Y_SEQ,
    Y_MAP,
    Y_SET,   /* from !!set: a map whose values are null */
    Y_PAIRS, /* from !!omap and !!pairs: a list of two-element tuples, kept as entries */
};

struct ynode;

struct yentry {
    const struct ynode *key, *value;
};

struct ynode {
    const struct source *src;
    uint32_t line, col; /* where the value starts, from 1; columns in characters */
    uint8_t type;       /* enum ytype */
    bool flow;          /* Y_SEQ, Y_MAP: written as [..] or {..} */
    bool aliased;       /* reached through at least one alias, or merged in by `<<` */
    bool quoted;        /* a scalar that was not plain */
    uint32_t n;         /* bytes of text, items, or entries */
    union {
        bool boolean;
        double number;
        const char *text;             /* NUL-terminated */
        const struct ynode **items;   /* Y_SEQ */
        const struct yentry *entries; /* Y_MAP, Y_SET, Y_PAIRS; merged entries included, in
                                         PyYAML's order */
    };
    const char *repr; /* Y_DATE, Y_DATETIME */
};

/* A key that stands twice in one mapping (both as written, not through a merge). */
struct ydup {
    const struct ynode *first, *again;
};

struct ydoc {
    const struct source *src;
    const struct ynode *root; /* Y_NULL for an empty document, never NULL */
    const struct ydup *dups;
    size_t ndups;
};

/* Why a document was refused. `context` says what was being read and where that began; its line
 * is 0 where there is none. */
struct yerror {
    uint32_t line, col;
    char problem[256];
    uint32_t context_line, context_col;
    char context[128];
};

/* 0, or -1 with `err` filled. */
int yaml_parse(struct arena *a, const struct source *src, struct ydoc *doc, struct yerror *err);

/* The value of a string key; NULL if `map` is NULL, no Y_MAP, or has no such key. */
const struct ynode *ynode_get(const struct ynode *map, const char *key);
const struct yentry *ynode_entry(const struct ynode *map, const char *key);

bool ynode_is_null(const struct ynode *n);                   /* also true for NULL */
bool ynode_truthy(const struct ynode *n);                    /* Python's bool(); false for NULL */
bool ynode_is_text(const struct ynode *n, const char *text); /* a Y_STR equal to text */

/* Python's str() and repr(), appended; a list or a map of any depth prints as repr() does. */
void ynode_str(const struct ynode *n, struct hfc_buf *out);
void ynode_repr(const struct ynode *n, struct hfc_buf *out);

/* Appends a Python float's repr(): "2.0", "1e-05", "inf". */
void yaml_float_repr(double value, struct hfc_buf *out);

/* <0, 0, >0 for two Y_INT of any size. */
int ynode_int_cmp(const struct ynode *a, const struct ynode *b);

/* What Python calls the type: "str", "int", "NoneType", "list", ... */
const char *ynode_type_name(const struct ynode *n);

/* A Y_STR made by the program, with the position of `at` (may be NULL). */
const struct ynode *ynode_new_str(struct arena *a, const char *text, const struct ynode *at);

static inline struct srcpos ynode_pos(const struct ynode *n)
{
    return (struct srcpos){n->src, n->line, n->col};
}

#endif
