/* index.h: the bucket's index: what the mount shows, as one object outside hub/.
 *
 * docs/index-format.md is the specification. In short, lines in UTF-8:
 *
 *   hfcache-index 1
 *   snapshot REPO COMMIT FILTER            REPO is models--org--name; FILTER a SHA-256, or "-"
 *   object SIZE ETAG SHA256 GITSHA1 KEY    "-" for a digest that is not known
 *   ref COMMIT KEY                         a file of 40 bytes whose content is the commit
 *   end LINES SHA256                       of everything before this line
 *
 * Keys stand percent-encoded where a byte is below 0x21, 0x7f or '%', and are sorted by their
 * bytes, each once, over `object` and `ref` lines together; snapshot lines come first, sorted too.
 * A ref's content stands in here, so that one object, replaced at once, moves a reader from one
 * complete snapshot to the next.
 *
 * Unknown line words are passed over by readers of version 1; another version is refused.
 *
 * Threads: an index belongs to one thread at a time; a finished one may be read by many.
 */
#ifndef HFC_INDEX_H
#define HFC_INDEX_H

#include "store.h"

#define HFC_INDEX_KEY ".hfcache/index"
#define HFC_LOCK_KEY ".hfcache/lock"
#define HFC_OWN_PREFIX ".hfcache/" /* nothing below it is a name of the cache */

enum { HFC_COMMIT_SIZE = 41 }; /* 40 hex digits and a NUL */

struct hfc_entry {
    const char *key; /* the index's, like etag */
    const char *etag;
    uint64_t size;
    struct hfc_meta meta;
    char commit[HFC_COMMIT_SIZE]; /* "" unless it is a ref */
};

struct hfc_snapshot {
    const char *repo;
    char commit[HFC_COMMIT_SIZE];
    bool has_filter;
    uint8_t filter[HFC_SHA256_SIZE];
};

/* Why an entry can't stand in an index, or NULL. */
const char *hfc_index_entry_fault(const struct hfc_entry *e);

struct hfc_index;

/* Empty; never takes more than `max_bytes` of memory. */
struct hfc_index *hfc_index_new(size_t max_bytes);
void hfc_index_free(struct hfc_index *x);
size_t hfc_index_memory(const struct hfc_index *x); /* bytes in use */

/* Entries in the order of their keys. Adding keeps the order (cheap at the end, and in blocks); an
 * entry with a known key replaces the old one. -1: the cap is reached (ENOMEM). Strings are copied.
 */
size_t hfc_index_count(const struct hfc_index *x);
const struct hfc_entry *hfc_index_at(const struct hfc_index *x, size_t i);
const struct hfc_entry *hfc_index_find(const struct hfc_index *x, const char *key);
/* The first entry whose key is not below `key`: where a walk over a prefix begins. */
size_t hfc_index_seek(const struct hfc_index *x, const char *key);
int hfc_index_put(struct hfc_index *x, const struct hfc_entry *e, struct hfc_error *err);
bool hfc_index_remove(struct hfc_index *x, const char *key);

size_t hfc_index_snapshots(const struct hfc_index *x);
const struct hfc_snapshot *hfc_index_snapshot_at(const struct hfc_index *x, size_t i);
const struct hfc_snapshot *hfc_index_snapshot(const struct hfc_index *x, const char *repo,
                                              const char *commit);
int hfc_index_put_snapshot(struct hfc_index *x, const struct hfc_snapshot *s,
                           struct hfc_error *err);
bool hfc_index_remove_snapshot(struct hfc_index *x, const char *repo, const char *commit);

/* Reads the object as its bytes arrive, in any pieces. finish() checks that it was whole. Errors
 * say "line N: what is wrong" (errnum EBADMSG), or ENOMEM. */
struct hfc_index_parser;
struct hfc_index_parser *hfc_index_parser_new(struct hfc_index *into);
/* The same without a table: what stands in the lines is given on as it comes, checked and in order.
 * Strings are valid during the call. -1 with an error ends the reading. snapshot() may be NULL. The
 * sink has to live as long as the parser. */
struct hfc_index_sink {
    int (*snapshot)(void *ctx, const struct hfc_snapshot *s, struct hfc_error *err);
    int (*entry)(void *ctx, const struct hfc_entry *e, struct hfc_error *err);
};
struct hfc_index_parser *hfc_index_parser_new_sink(const struct hfc_index_sink *sink, void *ctx);
int hfc_index_parse(struct hfc_index_parser *p, const void *bytes, size_t n, struct hfc_error *err);
int hfc_index_parser_finish(struct hfc_index_parser *p, struct hfc_error *err);
void hfc_index_parser_free(struct hfc_index_parser *p);

/* The text as a body to put, made while it is read: no second copy of the index in memory. The
 * index must not change until the body's reader is freed. */
struct hfc_index_writer;
struct hfc_index_writer *hfc_index_writer_new(const struct hfc_index *x);
struct hfc_body hfc_index_body(struct hfc_index_writer *w);
void hfc_index_writer_free(struct hfc_index_writer *w);

/* The text line by line, of entries that come in the order of their keys and stand in no table.
 * Lines are added to `to`, which the caller may empty at any time. -1: the entry can't stand in an
 * index (EINVAL), or is not above the one before it (EBADMSG); nothing was added. */
struct hfc_index_lines;
struct hfc_index_lines *hfc_index_lines_new(struct hfc_buf *to); /* adds the header */
int hfc_index_lines_add(struct hfc_index_lines *l, const struct hfc_entry *e,
                        struct hfc_error *err);
void hfc_index_lines_end(struct hfc_index_lines *l); /* adds the end line: nothing may follow */
void hfc_index_lines_free(struct hfc_index_lines *l);

#endif
