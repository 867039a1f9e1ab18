/* inventory.h: what an index holds, repository by repository, snapshot by snapshot. */
#ifndef REFRESH_INVENTORY_H
#define REFRESH_INVENTORY_H

#include "index.h"

/* Something of a repository under one commit: files, a tree, a ref that names it. */
struct inventory_snapshot {
    char *commit;
    uint64_t files, bytes;
    bool has_tree;
    uint64_t tree_bytes;
    char **refs; /* the names of those that name it */
    size_t nrefs;
};

struct inventory_repo {
    char *folder;
    struct inventory_snapshot *snapshots; /* by commit */
    size_t nsnapshots;
    size_t nrefs;
    char *broken_ref; /* the name of one that is no commit, or NULL */
};

struct inventory {
    struct inventory_repo *repos; /* by folder */
    size_t nrepos;
    uint64_t other_objects, other_bytes; /* that belong to no repository */
};

/* Whether a repository is wanted; NULL in place of it: all are. */
typedef bool inventory_wants(void *ctx, const char *folder, size_t n);

void inventory_take(const struct hfc_index *x, inventory_wants *wants, void *ctx,
                    struct inventory *out);
void inventory_free(struct inventory *inv);

/* The parts of "hub/FOLDER/snapshots/COMMIT/...", "hub/FOLDER/trees/COMMIT.json",
 * "hub/FOLDER/refs/NAME". */
enum key_kind { KEY_FOREIGN, KEY_OTHER, KEY_FILE, KEY_TREE, KEY_REF };
struct key_parts {
    enum key_kind kind; /* KEY_FOREIGN: of no repository; KEY_OTHER: of one, but none of these */
    const char *folder, *commit, *rest; /* rest: the path, or the name of the ref */
    size_t nfolder, ncommit;
};
struct key_parts key_split(const char *key);

/* "hub/FOLDER/snapshots/COMMIT/", "hub/FOLDER/trees/COMMIT.json", and both arguments together;
 * free(3) them. */
char *key_of_files(const char *folder, size_t nfolder, const char *commit, size_t ncommit);
char *key_of_tree(const char *folder, size_t nfolder, const char *commit, size_t ncommit);
char *key_join(const char *prefix, const char *path);

/* Whether there is an entry whose key begins so. */
bool key_any(const struct hfc_index *x, const char *prefix);

#endif
