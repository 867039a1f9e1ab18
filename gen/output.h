/* output.h: a folder of generated files that changes all at once or not at all.
 *
 * Files are written to a hidden staging folder beside the target (`.NAME.hfcache-gen`, which is
 * also the lock against a second run) and swapped in by one rename. A kill at any moment leaves the
 * old or the new state; what it leaves in the staging folder the next run removes, or, where the
 * file system cannot exchange two folders in one step, puts back. A file whose bytes did not change
 * is linked, not written: its mtime stays. Folders named to output_keep() are carried over whole.
 *
 *   output_begin(); output_file() for each file; output_commit() or output_abort();
 *
 * Nothing else may write into the target meanwhile. Not thread-safe.
 */
#ifndef GEN_OUTPUT_H
#define GEN_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct output;

struct output_counts {
    unsigned long written; /* new or changed */
    unsigned long unchanged;
    unsigned long removed; /* were there before, are not any more */
};

/* `dir`'s parent must exist; `dir` itself may not be a symlink or a file. */
int output_begin(const char *dir, struct output **out, struct hfc_error *err);

/* `name` is a relative path of at most two folders; missing folders are made. A name given twice is
 * EEXIST. */
int output_file(struct output *o, const char *name, const char *bytes, size_t n,
                struct hfc_error *err);

/* Carries over what the old target holds under this top-level name; nothing if it holds none. */
int output_keep(struct output *o, const char *name, struct hfc_error *err);

/* Makes a folder even if it stays empty. */
int output_folder(struct output *o, const char *name, struct hfc_error *err);

/* Swaps the new state in and frees `o`, also on failure (the old state stays then). When nothing
 * changed the target is not touched. `counts` may be NULL. */
int output_commit(struct output *o, struct output_counts *counts, struct hfc_error *err);

/* Leaves the target as it was and frees `o`. NULL is fine. */
void output_abort(struct output *o);

#endif
