/* fs.c: the file system's operations on names and files; see fs.h.
 *
 * Each takes a request and answers it once, from what its ids mean now: nothing is remembered
 * between two requests. The session has turned away whatever would write.
 */
#include "fs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fault.h"
#include "fs_internal.h"
#include "logging.h"
#include "metrics.h"

struct fs *fs_new(const struct fs_config *config)
{
    struct fs *fs = calloc(1, sizeof(*fs));

    assert(config->catalog != NULL && config->url != NULL);
    if (fs != NULL)
        fs->config = *config;
    return fs;
}

void fs_free(struct fs *fs)
{
    free(fs);
}

void fs_set_session(struct fs *fs, struct session *s)
{
    atomic_store(&fs->session, s);
}

struct session *fs_session(struct fs *fs)
{
    return atomic_load_explicit(&fs->session, memory_order_acquire);
}

static int look_up(struct fs *fs, fuse_ino_t parent, const char *name, struct item *item)
{
    autoitem struct item dir;
    int errnum = item_of(fs, parent, &dir);

    if (errnum == 0 && fault_named(name))
        errnum = fault_at(FAULT_LOOKUP_POISON);
    return errnum != 0 ? errnum : item_named(&dir, name, item);
}

/* A name that is not there is not remembered by the kernel: it may come with the next tree. */
static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    autoitem struct item item = {0};
    struct fuse_entry_param e;
    int errnum = look_up(fs_of(req), parent, name, &item);

    if (errnum != 0) {
        (void)fuse_reply_err(req, errnum);
        return;
    }
    node_entry(fs_of(req), &item.node, &e);
    (void)fuse_reply_entry(req, &e);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    autoitem struct item item;
    struct stat st;
    int errnum = item_of(fs_of(req), id, &item);

    (void)fi;
    if (errnum != 0) {
        (void)fuse_reply_err(req, errnum);
        return;
    }
    node_stat(&item.node, &st);
    (void)fuse_reply_attr(req, &st, node_timeout(fs_of(req), &item.node));
}

static void fs_access(fuse_req_t req, fuse_ino_t id, int mask)
{
    autoitem struct item item;
    int errnum = item_of(fs_of(req), id, &item);

    if (errnum == 0 && (mask & W_OK) != 0)
        errnum = EROFS;
    if (errnum == 0 && (mask & X_OK) != 0 && !item.node.is_directory)
        errnum = EACCES;
    (void)fuse_reply_err(req, errnum);
}

/* What the kernel has of a file's content stays right across opens; "alive" has to be asked for. */
static void fs_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    autoitem struct item item;
    int errnum = item_of(fs_of(req), id, &item);

    if (errnum == 0 && item.node.is_directory)
        errnum = EISDIR;
    if (errnum == 0 && ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0))
        errnum = EROFS;
    if (errnum != 0) {
        (void)fuse_reply_err(req, errnum);
        return;
    }
    fi->keep_cache = !node_own(&item.node);
    fi->direct_io = node_own(&item.node);
    (void)fuse_reply_open(req, fi);
}

/* How much of n bytes a read gets. */
static size_t part_of(uint64_t n, uint64_t offset, size_t size)
{
    uint64_t left = offset < n ? n - offset : 0;

    return size < left ? size : (size_t)left;
}

/* Of bytes that are in memory. */
static void reply_part(fuse_req_t req, const char *bytes, size_t n, uint64_t offset, size_t size)
{
    size_t part = part_of(n, offset, size);

    (void)fuse_reply_buf(req, part > 0 ? bytes + offset : NULL, part);
}

static void read_alive(fuse_req_t req, uint64_t offset, size_t size)
{
    char text[ALIVE_SIZE + 1];
    int n = snprintf(text, sizeof(text), "alive %" PRIu64 "\n",
                     session_generation(fs_session(fs_of(req))));

    assert(n > 0 && n < ALIVE_SIZE);
    memset(text + n, '\n', (size_t)(ALIVE_SIZE - n));
    reply_part(req, text, ALIVE_SIZE, offset, size);
}

/* The engine, which counts reads, never hears of these. */
static void read_ref(fuse_req_t req, const struct node *n, uint64_t offset, size_t size)
{
    size_t bytes = strlen(n->commit);

    metric_add(M_READS_INDEX, 1);
    metric_add(M_READ_BYTES_INDEX, part_of(bytes, offset, size));
    metric_time(M_READ_SECONDS, 0);
    reply_part(req, n->commit, bytes, offset, size);
}

static void read_blob(fuse_req_t req, const struct item *item, uint64_t offset, size_t size)
{
    struct blob *blob = item_blob(fs_of(req), item);

    if (blob == NULL) {
        log_line(LOG_REQUEST, LEVEL_ERROR,
                 "a read of node %" PRIx64 " fails with ENFILE: too many objects are in use",
                 item->node.id);
        (void)fuse_reply_err(req, ENFILE);
        return;
    }
    size = part_of(blob_info(blob)->size, offset, size);
    if (size == 0) {
        blob_done(blob);
        (void)fuse_reply_buf(req, NULL, 0);
        return;
    }
    session_read(fs_session(fs_of(req)), req, blob, offset, (uint32_t)size);
}

static void read_stale(fuse_req_t req, fuse_ino_t id)
{
    log_line(LOG_REQUEST, LEVEL_ERROR,
             "a read of node %" PRIx64 " fails with ESTALE: this version is gone from the bucket, "
             "and nothing of it is cached",
             (uint64_t)id);
    metric_add(M_READ_ERROR_ESTALE, 1);
    (void)fuse_reply_err(req, ESTALE);
}

static void fs_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    autoitem struct item item;
    int errnum = item_of(fs_of(req), id, &item);

    (void)fi;
    if (errnum == ESTALE)
        read_stale(req, id);
    else if (errnum != 0 || item.node.is_directory)
        (void)fuse_reply_err(req, errnum != 0 ? errnum : EISDIR);
    else if (offset < 0 || size > READ_MAX)
        (void)fuse_reply_err(req, EINVAL);
    else if (item.origin == OWN)
        read_alive(req, (uint64_t)offset, size);
    else if (item.node.is_ref)
        read_ref(req, &item.node, (uint64_t)offset, size);
    else
        read_blob(req, &item, (uint64_t)offset, size);
}

/* No holes. */
static void fs_lseek(fuse_req_t req, fuse_ino_t id, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    autoitem struct item item;
    int errnum = item_of(fs_of(req), id, &item);

    (void)fi;
    if (errnum == 0 && whence != SEEK_DATA && whence != SEEK_HOLE)
        errnum = EINVAL;
    if (errnum == 0 && (offset < 0 || (uint64_t)offset >= item.node.size))
        errnum = ENXIO;
    if (errnum != 0)
        (void)fuse_reply_err(req, errnum);
    else
        (void)fuse_reply_lseek(req, whence == SEEK_DATA ? offset : (off_t)item.node.size);
}

/* All space is used: it is as large as what is in it. */
static void fs_statfs(fuse_req_t req, fuse_ino_t id)
{
    struct nametree *tree = catalog_tree(fs_of(req)->config.catalog);
    uint64_t bytes = tree != NULL ? nametree_bytes(tree) : 0;
    const struct statvfs st = {
        .f_bsize = FRAGMENT,
        .f_frsize = FRAGMENT,
        .f_blocks = (bytes + FRAGMENT - 1) / FRAGMENT,
        .f_files = tree != NULL ? nametree_names(tree) : 0,
        .f_namemax = NAME_MAX_BYTES,
    };

    (void)id;
    nametree_unref(tree);
    (void)fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops fs_operations = {
    .lookup = fs_lookup,
    .getattr = fs_getattr,
    .access = fs_access,
    .open = fs_open,
    .read = fs_read,
    .lseek = fs_lseek,
    .statfs = fs_statfs,
    .readdir = fs_readdir,
    .readdirplus = fs_readdirplus,
    .getxattr = fs_getxattr,
    .listxattr = fs_listxattr,
};
