/* output_internal.h: the tree helpers of output.c (in output_tree.c) and the two system calls that
 * a file system may not offer.
 */
#ifndef GEN_OUTPUT_INTERNAL_H
#define GEN_OUTPUT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "buf.h"
#include "error.h"

/* Variables, so that a test can play the part of a file system that lacks them. */
struct output_calls {
    int (*exchange)(int dirfd, const char *a, int dirfd2, const char *b);
    int (*link)(int dirfd, const char *old, int newdirfd, const char *new);
    int (*rename)(int dirfd, const char *old, int newdirfd, const char *new);
};
extern struct output_calls output_calls;

/* Opens a folder, never through a symlink. -1: errno says why. */
int tree_open(int dirfd, const char *name);

/* Removes everything in the folder. Symlinks are removed, not followed; any depth is fine. */
int tree_clear(int dirfd, const char *shown, struct hfc_error *err);

/* What a folder holds, below it too, but for the top-level names for which skip() says so. */
struct tree_sum {
    unsigned long files, folders, others;
};
int tree_sum(int dirfd, bool (*skip)(const void *ctx, const char *name), const void *ctx,
             const char *shown, struct tree_sum *sum, struct hfc_error *err);

/* Carries a name of one folder over to another: a folder is made again, what is in it is linked or,
 * where that is impossible, copied. */
int tree_carry(int from, int to, const char *name, const char *shown, struct hfc_error *err);

/* Links a file, or makes a copy with the same mode and mtime; `bytes` is its content, NULL: it is
 * read when needed. */
int tree_link(int from, int to, const char *name, const struct hfc_buf *bytes, const char *shown,
              struct hfc_error *err);

#endif
