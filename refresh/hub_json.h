/* hub_json.h: the Hub's answers in JSON, and the names in them.
 *
 * Threads: no state.
 */
#ifndef REFRESH_HUB_JSON_H
#define REFRESH_HUB_JSON_H

#include "hub.h"

/* Lets through the top level of a JSON object, with `null` in place of every object and array in
 * it. So an answer with a hundred thousand names in it takes no memory. Zeroed is ready. */
struct json_skim {
    unsigned depth;
    bool in_string, escaped;
};
void json_skim(struct json_skim *s, const char *bytes, size_t n, struct hfc_buf *out);

/* What is taken from the answer about a revision. */
struct json_info {
    char commit[HUB_COMMIT + 1];
    char *id; /* NULL: the answer has none; free(3) it */
    bool private, gated, disabled;
};
int json_info_parse(const char *text, size_t n, struct json_info *info, struct hfc_error *err);

/* An entry of a listing. */
struct json_entry {
    bool directory;
    struct hub_file file; /* of a directory only the path */
};

/* Calls entry() for each; false from it ends the parsing, with 0. */
typedef bool json_entry_fn(void *ctx, const struct json_entry *entry);
int json_tree_parse(const char *text, size_t n, json_entry_fn *entry, void *ctx,
                    struct hfc_error *err);

/* NULL, or why a file of this name can't be published, such as "contains a NUL". */
const char *hub_path_fault(const char *path, size_t n);

/* Paths that were seen, to find one that comes twice, or is a file here and a folder there. Only
 * their 63-bit hashes are kept: 16 bytes a path. */
struct hub_paths {
    uint64_t *slots; /* 0: free; the lowest bit says folder */
    size_t size, used;
};
void hub_paths_free(struct hub_paths *p);
/* NULL, or what is wrong. */
const char *hub_paths_add(struct hub_paths *p, const char *path, bool directory);

/* The same for texts of any kind, such as addresses. */
const char *hub_paths_add_text(struct hub_paths *p, const char *text);

/* A fault of a file of the listing: names it, with what is unprintable made visible. Returns -1. */
int hub_path_error(struct hfc_error *err, int errnum, const char *path, size_t n, const char *what);

/* A hash for tables; not against an enemy: two of his own paths may collide, no others. */
uint64_t hub_hash(const void *bytes, size_t n);

#endif
