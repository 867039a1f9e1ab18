/* yaml_internal.h: what the files of the YAML reader share; nobody else includes it.
 *
 * yaml_load.c composes libyaml's events into a tree of `struct raw`, in scratch memory: what is
 * written, with its tag. yaml_build.c constructs the values of ynode.h from it. The two steps are
 * kept apart because PyYAML never constructs some nodes (a mapping that is only merged into
 * another may have any tag), and because a merge looks at a mapping before its values exist.
 * yaml_strict.c refuses what libyaml accepts and PyYAML does not. yaml_scalar.c and yaml_time.c
 * turn text into scalars.
 */
#ifndef GEN_YAML_INTERNAL_H
#define GEN_YAML_INTERNAL_H

#include "ynode.h"

enum {
    YAML_INDEXED_FROM = 17,      /* maps with this many entries have a hash table */
    YAML_INT_DIGITS_MAX = 4300,  /* Python's limit on reading and printing integers */
    YAML_MERGED_MAX = 1 << 22,   /* entries that all merges of a document may copy */
    YAML_PRINT_DEPTH_MAX = 1000, /* nesting through aliases; Python gives up about here too */
};

enum ytag {
    TAG_NULL,
    TAG_BOOL,
    TAG_INT,
    TAG_FLOAT,
    TAG_STR,
    TAG_TIMESTAMP,
    TAG_BINARY,
    TAG_SEQ,
    TAG_MAP,
    TAG_SET,
    TAG_OMAP,
    TAG_PAIRS,
    TAG_MERGE, /* has a meaning as a key only */
    TAG_VALUE, /* the same: a plain `=` */
    TAG_UNKNOWN,
};

enum raw_kind { RAW_SCALAR, RAW_SEQ, RAW_MAP };

struct raw {
    uint8_t kind; /* enum raw_kind */
    uint8_t tag;  /* enum ytag */
    bool flow, quoted, aliased;
    bool open;  /* its end has not been read yet */
    uint32_t n; /* bytes of text, items, or keys plus values */
    uint32_t line, col;
    union {
        const char *text;   /* in the document's arena */
        struct raw **items; /* of a map: key, value, key, value, ... */
    };
    const char *tag_name;         /* TAG_UNKNOWN */
    struct ynode *built;          /* NULL until constructed */
    const struct raw_map *merged; /* the map's entries with all merges done; NULL until then */
};

/* A map with merges done and each key once, in Python's order. `hashes` are those of the keys. */
struct raw_map {
    struct yentry *entries;
    const uint32_t *hashes;
    uint32_t n;
};

/* One document being read. */
struct yload {
    struct arena *out;     /* nodes and texts */
    struct arena *scratch; /* everything else; freed when yaml_parse() returns */
    const struct source *src;
    const char *text; /* the source without a byte order mark */
    size_t len;
    uint32_t bom;      /* characters before `text` in line 1: 0 or 1 */
    uint32_t newlines; /* there are more lines than these */
    struct yerror *err;
};

/* Puts the message into ld->err, line and col counting from 1; returns -1. */
int yaml_fail(struct yload *ld, uint32_t line, uint32_t col, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* What was being read when it failed, and where that began. Returns -1. */
int yaml_fail_in(struct yload *ld, const struct raw *outer, const char *context);

/* 0, or -1: the text has something that PyYAML refuses where libyaml does not. */
int yaml_check_strict(struct yload *ld);

/* The value of a composed tree; NULL: refused. */
struct ynode *yaml_build(struct yload *ld, struct raw *root, struct ydoc *doc);

/* A new node of the raw one's place and style. */
struct ynode *yaml_node_at(struct yload *ld, const struct raw *at, enum ytype type);

/* The type of an untagged plain scalar. */
enum ytag yaml_resolve(const char *text, size_t n);

/* The scalar `text` read as `tag`; `at` is the node that has the tag. NULL: refused. */
struct ynode *yaml_scalar(struct yload *ld, const struct raw *at, enum ytag tag, const char *text,
                          size_t n);

/* YAML 1.1 timestamps. `fields` NULL: only say whether the form matches. */
struct ytime {
    int year, month, day;
    int hour, minute, second, micro;
    bool has_time, has_zone;
    bool short_date; /* a date alone, with a one-digit month or day */
    int zone;        /* seconds east of UTC */
};
bool yaml_time_parse(const char *text, size_t n, struct ytime *t);
/* Fills a Y_DATE or Y_DATETIME; false: no such day or time. */
bool yaml_time_node(struct yload *ld, const struct ytime *t, struct ynode *node);

/* FNV-1a. */
uint32_t yaml_hash(const char *bytes, size_t n);
/* Slots of the hash table for n keys: a power of two, at least twice n. */
uint32_t yaml_slots(uint32_t n);

#endif
