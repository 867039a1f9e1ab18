/* file.h: whole files, read with a cap and written atomically.
 *
 * Threads: no state; safe from any thread on different paths.
 */
#ifndef HFC_FILE_H
#define HFC_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "buf.h"
#include "error.h"

/* Appends the file's bytes to `out`; fails with EFBIG when they pass out->max. `dirfd` as in
 * openat(2). The message names the path. */
int hfc_file_read(int dirfd, const char *path, struct hfc_buf *out, struct hfc_error *err);

/* Writes n bytes to a new file (O_EXCL) with this mode less the umask. */
int hfc_file_create(int dirfd, const char *path, const void *bytes, size_t n, mode_t mode,
                    struct hfc_error *err);

/* Replaces the file by temporary file, fsync and rename in its folder: a reader, or a kill, sees
 * the old or the new content. Keeps the mode of a file that exists; a symlink is followed. */
int hfc_file_replace(const char *path, const void *bytes, size_t n, struct hfc_error *err);

#endif
