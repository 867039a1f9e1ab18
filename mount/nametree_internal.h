/* nametree_internal.h: how a tree lies in memory. For mount/nametree*.c only.
 *
 * Nodes stand in the order in which their paths were met, each folder before what is in it; a node
 * is named by its place there. `order` holds the places of each folder's names, sorted, one folder
 * behind the other; `slots` is a hash table from ids to places. Names, and what is known of a file
 * beside its size, are records of `pool`: a byte with their length, then so many bytes. Equal
 * records stand once, as far as the builder remembers them.
 *
 * A record of a file: a byte of FILE_ flags, the ETag, the digest. Of a ref: its commit, in binary.
 */
#ifndef MOUNT_NAMETREE_INTERNAL_H
#define MOUNT_NAMETREE_INTERNAL_H

#include <stdatomic.h>

#include "nametree.h"

enum {
    NAME_LEN_MAX = 255,
    COMMIT_BYTES = (HFC_COMMIT_SIZE - 1) / 2,
    PARTS_BYTES = 4, /* of the number behind an ETag's "-" */
    RECORD_MAX = 1 + HFC_ETAG_MAX + HFC_SHA256_SIZE,
    FILE_MD5 = 1,    /* the ETag is 32 hex digits: 16 bytes */
    FILE_PARTS = 2,  /* and "-N": PARTS_BYTES more, little-endian */
    FILE_SHA256 = 4, /* the digest: this one, or */
    FILE_GIT_SHA1 = 8,
};

/* Memory that grows in place, or by being mapped elsewhere: never twice there. What was not
 * written to costs nothing. */
struct pages {
    void *at;
    size_t size; /* bytes, whole pages */
};
/* At least `need` bytes. False: the system has no more. */
bool pages_grow(struct pages *p, size_t need);
void pages_trim(struct pages *p, size_t need); /* gives back what is beyond */
void pages_free(struct pages *p);

enum node_kind { NODE_DIRECTORY, NODE_FILE, NODE_REF };

struct tree_node {
    uint64_t id;
    union {
        uint64_t size;
        struct {
            uint32_t first, count; /* of `order` */
        };
    };
    uint32_t parent;
    uint32_t name; /* in the pool */
    union {
        uint32_t record;  /* in the pool */
        uint32_t folders; /* of a directory: how many are in it */
    };
    uint8_t kind;
    bool left_out; /* stands in neither table: nobody finds it */
};
_Static_assert(sizeof(struct tree_node) == 32, "the cost of a name is documented");

enum {
    ORDER_BYTES = sizeof(uint32_t),
    SLOTS_BYTES = 6, /* a name: the table is two thirds full */
    EMPTY_SLOT = 0,  /* the root, which is in no table */
};

struct nametree {
    atomic_uint refs;
    struct pages nodes, order, slots, pool;
    uint32_t n_nodes;
    uint32_t n_slots;
    uint32_t names; /* without the root and what was left out */
    size_t left_out, memory;
    uint64_t bytes;
    char *version;
};

static inline struct tree_node *tree_node_at(const struct nametree *t, uint32_t at)
{
    return (struct tree_node *)t->nodes.at + at;
}

static inline const uint8_t *tree_record(const struct nametree *t, uint32_t at, size_t *len)
{
    const uint8_t *record = (const uint8_t *)t->pool.at + at;

    *len = *record;
    return record + 1;
}

/* The first slot to look at. */
static inline uint32_t tree_slot(const struct nametree *t, uint64_t id)
{
    return (uint32_t)((id >> 32) * t->n_slots >> 32);
}

/* Compares as memcmp() does, the shorter one first. */
int tree_compare_names(const void *a, size_t na, const void *b, size_t nb);

/* The node of an id, or EMPTY_SLOT and the slot where it would go. */
uint32_t tree_find_id(const struct nametree *t, uint64_t id, uint32_t *slot);

#endif
