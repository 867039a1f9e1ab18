/* inputs.h: the files a run reads, each of them once.
 *
 * A thousand clusters share a few dozen definition files, so documents and folder listings are
 * cached by path for the whole run. Loading reports nothing by itself, since the same broken file
 * is an error in one role and a warning in another; input_report() does when asked.
 */
#ifndef GEN_INPUTS_H
#define GEN_INPUTS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "diag.h"
#include "ynode.h"

struct inputs;

enum input_state { INPUT_OK, INPUT_UNREADABLE, INPUT_SYNTAX };

struct input {
    const char *path;
    const char *name; /* the last component of path */
    enum input_state state;
    struct ydoc doc;    /* INPUT_OK */
    struct yerror yerr; /* INPUT_SYNTAX */
    const char *why;    /* INPUT_UNREADABLE: text of the system's error */
};

/* The definition files of a folder: *.yaml, hidden ones included, sorted by the bytes of the name.
 * A folder that is not there is an empty one. */
struct input_dir {
    const char *path;
    const struct input *const *files;
    size_t n;
    const char *const *ignored; /* names of *.yml, *.YAML and the like */
    size_t nignored;
    const char *why; /* NULL, or why the folder cannot be read */
};

/* For scandir(3): the order of files in every folder, whatever the locale. */
int inputs_by_bytes(const struct dirent **a, const struct dirent **b);

struct inputs *inputs_new(struct arena *a);
void inputs_free(struct inputs *in); /* NULL is fine; the documents belong to the arena */

const struct input *inputs_file(struct inputs *in, const char *path);
const struct input_dir *inputs_dir(struct inputs *in, const char *path);

/* Reports a folder that is there but cannot be read, and files in it that look like definitions but
 * end otherwise; true if the folder is usable. */
bool inputs_dir_report(const struct input_dir *dir, struct diags *d);

/* True the first time it is asked of a file: for checks that need not be made for every cluster. */
bool inputs_first_look(struct inputs *in, const struct input *file);

/* Says what keeps the file from being used, under `syntax` for a syntax error (D_SYNTAX or a
 * warning); for a usable one, the keys that stand twice in it. True if the file is usable. */
bool input_report(const struct input *file, enum diag_code syntax, struct diags *d);

#endif
