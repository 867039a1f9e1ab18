/* store_file_path.h: names below a store's directory, temporary files, and how they become objects.
 * For store_file*.c only. Functions that return a descriptor return -1 and set errno.
 *
 * Threads: as the loop's.
 */
#ifndef HFC_STORE_FILE_PATH_H
#define HFC_STORE_FILE_PATH_H

#include <dirent.h>

#include "store_file.h"

/* ---- store_file_path.c: names below DIR. ---- */

/* Looks for DIR; `make`: makes it if there is none. */
int hfc_dir_root(struct hfc_dir *d, bool make);

/* Opens a path below DIR. No symlink leads out: then errno is EXDEV (ELOOP on old kernels, where
 * none is followed at all). */
int hfc_dir_open(struct hfc_dir *d, const char *path, int flags);

/* Opens a key's file for reading and looks at it. What is no regular file is ENOENT, and so is what
 * can't be reached by the rules. */
int hfc_dir_open_object(struct hfc_dir *d, const char *key, struct stat *st);

/* Opens the folder that the key's file is in; `*name` is the file's own name. */
int hfc_dir_parent(struct hfc_dir *d, const char *key, bool make, const char **name);

/* Removes the folders above the key that have become empty. */
void hfc_dir_prune(struct hfc_dir *d, const char *key);

/* Opens DIR/.hfcache-uploads. */
int hfc_dir_uploads(struct hfc_dir *d, bool make);

/* Takes the lock on names; closing gives it back. */
int hfc_dir_lock(struct hfc_dir *d);

/* ---- store_file_temp.c: temporary files, and how they become objects. ---- */

/* Makes a file or folder with a name of its own in DIR/.hfcache-uploads: o->temp. Returns an open
 * descriptor. The first call removes what processes that are gone have left. */
int hfc_dir_make_temp(struct hfc_dir_op *o, bool folder);

/* Removes what o->temp names; also folders of uploads. */
void hfc_dir_remove_temp(struct hfc_dir *d, const char *temp);

/* Whether the operation's condition holds so far; ends the operation if not. */
bool hfc_dir_condition_holds(struct hfc_dir_op *o);

/* Gives the file o->fd its size, time and metadata and syncs it, puts it at the key under the
 * operation's condition, and ends the operation. `name`, relative to the folder `dir`, is where it
 * is now. True: it was put there. */
bool hfc_dir_publish(struct hfc_dir_op *o, int dir, const char *name, uint64_t size);

/* ---- store_file_names.c: what is in a folder, sorted. ---- */

enum hfc_dir_take { HFC_DIR_SKIP, HFC_DIR_FILE, HFC_DIR_FOLDER };
typedef enum hfc_dir_take hfc_dir_filter(void *ctx, int fd, const struct dirent *e);

struct hfc_dir_names {
    DIR *dir;            /* NULL: closed meanwhile */
    struct hfc_buf text; /* the names, each with a NUL */
    char **at;           /* sorted; NULL: not all are read yet */
    size_t n;
};

/* Takes the folder's descriptor. Never NULL. */
struct hfc_dir_names *hfc_dir_names_new(int fd);
void hfc_dir_names_free(struct hfc_dir_names *names);

/* Reads on for a turn. 1: there is more; 0: all are there and sorted, a folder's name with a slash
 * behind it, so that keys below it come in their order; -1: errno says why not. */
int hfc_dir_names_read(struct hfc_dir_names *names, hfc_dir_filter *filter, void *ctx);

/* Closes the folder and keeps the names, so that few folders are open; opens it again. */
void hfc_dir_names_close(struct hfc_dir_names *names);
void hfc_dir_names_reopen(struct hfc_dir_names *names, int fd);

#endif
