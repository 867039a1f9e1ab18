/* fs.h: the read-only file system: libfuse's low-level operations on tree, cache and engine.
 *
 * Files 0444, directories 0555, all owned by root; a version's time is computed from its id, so
 * that another version has another one. Everything that would write is EROFS. Extended attributes
 * of files: user.hfcache.etag, .sha256 (if known), .source (the object's URL), .cached (bytes that
 * are on disk). Below the hidden directory .hfcache there is one file, "alive", which is never
 * cached by the kernel: what prober.h reads.
 *
 * Attributes belong to an id, so they are cached by the kernel for long; names for at most the
 * refresh interval, refs for a second.
 *
 * Threads: the session's, all at once; but for the session nothing in it changes after fs_new().
 */
#ifndef MOUNT_FS_H
#define MOUNT_FS_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "cache.h"
#include "catalog.h"
#include "session.h"

#define FS_HIDDEN ".hfcache"
#define FS_ALIVE "alive"

struct fs;

struct fs_config {
    struct catalog *catalog;
    struct cache *cache;
    const char *url;       /* of the store, for .source and statfs */
    unsigned name_timeout; /* s */
};
struct fs *fs_new(const struct fs_config *config);
void fs_free(struct fs *fs);
/* session_start() sets it, before the first request. */
void fs_set_session(struct fs *fs, struct session *s);
struct session *fs_session(struct fs *fs);

/* The table for fuse_session_new(); its userdata is the struct fs. */
extern const struct fuse_lowlevel_ops fs_operations;

#endif
