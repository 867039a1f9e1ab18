/* catalog_internal.h: what the catalog is made of. For mount/catalog*.c only.
 *
 *   catalog.c        the tree's pointer, what was retired, start and end
 *   catalog_look.c   when the bucket is looked at, and how a look goes
 *   catalog_draft.c  a tree in the making, out of a text or a listing
 *   catalog_copy.c   the copy on disk
 */
#ifndef MOUNT_CATALOG_INTERNAL_H
#define MOUNT_CATALOG_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "catalog.h"

enum { COPY_PIECE = 64 * 1024 };

/* ---- The copy. Failures to write it are logged and then passed over: the tree is what counts. */

struct copy {
    int directory; /* -1: only the digest is made */
    int fd;        /* of the new file; -1: none */
    struct hfc_hash *hash;
    uint8_t sha256[HFC_SHA256_SIZE]; /* of all bytes; after catalog_copy_end() */
};
void catalog_copy_begin(struct copy *c, int directory);
void catalog_copy_add(struct copy *c, const void *bytes, size_t n);
void catalog_copy_end(struct copy *c);
/* Makes it the copy. `etag` "": it was made from a listing. */
void catalog_copy_keep(struct copy *c, const char *etag);
void catalog_copy_drop(struct copy *c); /* also after it was kept */

int catalog_copy_open(int directory); /* for reading; -1: there is none */
/* What index.etag says. False: nothing. */
bool catalog_copy_etag(int directory, char etag[HFC_ETAG_MAX], uint8_t sha256[HFC_SHA256_SIZE]);

/* Whether a store takes it in a condition. */
bool catalog_is_etag(const char *etag);

/* ---- A draft. */

struct draft {
    struct nametree_builder *builder;
    struct hfc_index_parser *parser; /* of a text */
    struct hfc_index_lines *lines;   /* of a listing */
    struct hfc_buf text;             /* of those lines: what is not in the copy yet */
    struct copy copy;
    size_t left_out; /* keys of a listing that no index has */
    bool failed;
    struct hfc_error why;
};
struct draft *catalog_draft_new(size_t tree_max, int directory, bool listing);
/* Failures are kept for catalog_draft_finish(). False: it has failed, and takes no more. */
bool catalog_draft_text(struct draft *d, const void *bytes, size_t n);
void catalog_draft_object(struct draft *d, const char *key, const struct hfc_object *object);
/* The tree; d->copy.sha256 is known then. NULL: `err` says why. */
struct nametree *catalog_draft_finish(struct draft *d, const char *version, struct hfc_error *err);
void catalog_draft_free(struct draft *d); /* NULL is fine */

/* ---- The catalog. */

struct look;

struct retired {
    uint64_t id;
    char commit[HFC_COMMIT_SIZE];
};

struct catalog {
    struct catalog_config config;

    pthread_mutex_t lock; /* guards what follows */
    struct nametree *tree;
    struct retired retired[RETIRED_MAX];
    unsigned n_retired, next_retired; /* it is a ring */

    /* The loop's thread's. */
    uint8_t sha256[HFC_SHA256_SIZE]; /* of the tree's text */
    char etag[HFC_ETAG_MAX];         /* the index's whose tree this is; "": none, or of a listing */
    bool had_index;                  /* the bucket has, or had, one */
    char refused[HFC_ETAG_MAX];      /* of an index that is too large; "": none */
    struct hfc_error refusal;
    bool failing; /* the last look failed */

    struct hfc_store *store;
    struct hfc_timer timer; /* the next look */
    int64_t began;          /* the last look; hfc_now_ms() */
    bool again;             /* asked for while a look was under way */
    struct look *look;      /* under way */
    struct look *cancelled; /* whose ends have not come yet */
    struct hfc_store_op *op;
    struct draft *draft;

    _Atomic int64_t current; /* hfc_now_ms() when the tree was last known to be; -1: never */
};

/* Puts a new tree in the place of the old one. */
void catalog_install(struct catalog *c, struct nametree *tree, const uint8_t *sha256);

/* Frees what is left of looks that were cancelled a turn of the loop ago. */
void catalog_forget_looks(struct catalog *c);

#endif
