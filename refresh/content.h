/* content.h: which entry of an index has a given content.
 *
 * A table over the entries' hashes: SHA-256, and git's name where it is known.
 */
#ifndef REFRESH_CONTENT_H
#define REFRESH_CONTENT_H

#include "index.h"

/* What a file of the Hub is known by. */
struct content_id {
    bool lfs; /* then sha256 counts, else git_sha1 */
    uint8_t sha256[HFC_SHA256_SIZE];
    uint8_t git_sha1[HFC_SHA1_SIZE];
    uint64_t size;
};

struct content_node; /* an entry under one of its hashes */

struct content {
    struct content_node *nodes; /* NULL: empty */
};

void content_free(struct content *c);

/* Where several entries have the same content, one of them stands for all. Remove an entry before
 * it is replaced or removed in its index. */
void content_add(struct content *c, const struct hfc_entry *e);
void content_remove(struct content *c, const struct hfc_entry *e);

/* NULL: there is none. */
const struct hfc_entry *content_find(const struct content *c, const struct content_id *id);

/* Whether an object of this size and meta has this content, as far as hashes can tell. */
bool content_matches(const struct content_id *id, uint64_t size, const struct hfc_meta *meta);

#endif
