/* index_internal.h: what the index's table, parser and writer share. For lib/index*.c only. */
#ifndef HFC_INDEX_INTERNAL_H
#define HFC_INDEX_INTERNAL_H

#include <errno.h>

#include "index.h"

#define HFC_INDEX_MAGIC "hfcache-index "

enum {
    HFC_INDEX_VERSION = 1,
    HFC_INDEX_LINE_MAX = 4096, /* bytes with the newline; the longest known line is shorter */
    HFC_INDEX_REPO_MAX = 255,  /* it is the name of a folder */
};

/* Sets `text` as the whole message: the errno's own words would only disturb. Returns -1. */
static inline int hfc_index_fault(struct hfc_error *err, int errnum, const char *text)
{
    (void)hfc_error_set(err, 0, "%s", text);
    if (err != NULL)
        err->errnum = errnum;
    return -1;
}

/* Why it can't stand in an index, or NULL. */
const char *hfc_index_snapshot_fault(const struct hfc_snapshot *s);

/* hfc_index_put() and hfc_index_put_snapshot() of what was checked already. */
int hfc_index_put_checked(struct hfc_index *x, const struct hfc_entry *e, struct hfc_error *err);
int hfc_index_put_snapshot_checked(struct hfc_index *x, const struct hfc_snapshot *s,
                                   struct hfc_error *err);

/* The bytes that stand as %XX in a field: those that would end it, and the escape itself. */
static inline bool hfc_index_escaped(unsigned char c)
{
    return c < 0x21 || c == 0x7f || c == '%';
}

#endif
