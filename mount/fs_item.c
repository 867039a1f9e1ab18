/* fs_item.c: which node an id or a name is, and what the kernel is told of it; see fs_internal.h.
 *
 * Ids are computed, so one of an older tree, or one that only a predecessor had shown, still makes
 * sense: the tree is asked first, then the refs it has lost, then the cache.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs_internal.h"
#include "logging.h"

enum {
    DAY_S = 24 * 60 * 60,
    REF_TIMEOUT_S = 1,
    SECTOR = 512,
    TIME_FIRST = 1577836800, /* 2020-01-01 */
    TIME_SPAN = 94608000,    /* three years */
};

/* Bit 0 tells how a blob is opened, not which. */
static uint64_t plain_id(uint64_t id)
{
    return id == NAMETREE_ROOT ? id : id & ~1ULL;
}

bool node_own(const struct node *n)
{
    return n->id == HIDDEN_ID || n->id == ALIVE_ID;
}

static int own(uint64_t id, struct item *item)
{
    item->origin = OWN;
    item->node = id == ALIVE_ID ? (struct node){.id = id, .size = ALIVE_SIZE, .links = 1}
                                : (struct node){.id = id, .is_directory = true, .links = 2};
    return 0;
}

static bool in_tree(struct fs *fs, uint64_t id, struct item *item)
{
    item->origin = IN_TREE;
    item->tree = catalog_tree(fs->config.catalog);
    return item->tree != NULL && nametree_by_id(item->tree, id, &item->node);
}

static bool beside_tree(struct fs *fs, uint64_t id, struct item *item)
{
    if (catalog_retired(fs->config.catalog, id, &item->node)) {
        item->origin = RETIRED;
        return true;
    }
    item->blob = blob_use_cached(fs->config.cache, id);
    if (item->blob == NULL)
        return false;
    item->origin = IN_CACHE;
    item->node = (struct node){.id = id, .size = blob_info(item->blob)->size, .links = 1};
    return true;
}

static int no_tree(void)
{
    log_line(LOG_TREE, LEVEL_ERROR, "a request fails with EIO: no tree is known yet");
    return EIO;
}

/* The root is always there, and empty before there is a tree. */
int item_of(struct fs *fs, fuse_ino_t ino, struct item *item)
{
    uint64_t id = plain_id(ino);

    *item = (struct item){0};
    if (id == HIDDEN_ID || id == ALIVE_ID)
        return own(id, item);
    if (in_tree(fs, id, item))
        return 0;
    if (id == NAMETREE_ROOT)
        return own(id, item);
    if (beside_tree(fs, id, item))
        return 0;
    return item->tree != NULL ? ESTALE : no_tree();
}

int item_named(const struct item *dir, const char *name, struct item *item)
{
    *item = (struct item){0};
    if (strlen(name) > NAME_MAX_BYTES)
        return ENAMETOOLONG;
    if (!dir->node.is_directory)
        return ENOTDIR;
    if (dir->node.id == NAMETREE_ROOT && strcmp(name, FS_HIDDEN) == 0)
        return own(HIDDEN_ID, item);
    if (dir->node.id == HIDDEN_ID)
        return strcmp(name, FS_ALIVE) == 0 ? own(ALIVE_ID, item) : ENOENT;
    if (dir->tree == NULL)
        return no_tree();
    item->origin = IN_TREE;
    item->tree = nametree_ref(dir->tree);
    return nametree_lookup(item->tree, &dir->node, name, &item->node) ? 0 : ENOENT;
}

void item_drop(struct item *item)
{
    nametree_unref(item->tree);
    blob_done(item->blob);
    *item = (struct item){0};
}

struct blob *item_blob(struct fs *fs, const struct item *item)
{
    struct nametree_strings strings;
    struct blob_info info;

    assert(!item->node.is_directory && !item->node.is_ref);
    if (item->origin == IN_CACHE)
        return blob_again(item->blob);
    assert(item->origin == IN_TREE);
    nametree_info(item->tree, &item->node, &strings, &info);
    return blob_use(fs->config.cache, &info);
}

/* A time from the id: another version of a file has another one, as rsync and make want it, and
 * all workers agree on it. Directories keep theirs. */
static time_t time_of(const struct node *n)
{
    return TIME_FIRST + (n->is_directory ? 0 : (time_t)((n->id >> 1) % TIME_SPAN));
}

void node_stat(const struct node *n, struct stat *st)
{
    *st = (struct stat){
        .st_ino = n->id,
        .st_mode = n->is_directory ? S_IFDIR | 0555 : S_IFREG | 0444,
        .st_nlink = n->is_directory ? n->links : 1,
        .st_size = (off_t)n->size,
        .st_blocks = (blkcnt_t)((n->size + SECTOR - 1) / SECTOR),
        .st_blksize = FRAGMENT,
        .st_atime = time_of(n),
        .st_mtime = time_of(n),
        .st_ctime = time_of(n),
    };
}

/* What a file is never changes under its id; a directory's links may. */
double node_timeout(const struct fs *fs, const struct node *n)
{
    if (node_own(n))
        return 0;
    return n->is_directory ? (double)fs->config.name_timeout : DAY_S;
}

static double name_timeout(const struct fs *fs, const struct node *n)
{
    if (node_own(n))
        return 0;
    return n->is_ref ? REF_TIMEOUT_S : (double)fs->config.name_timeout;
}

void node_entry(const struct fs *fs, const struct node *n, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .ino = n->id,
        .attr_timeout = node_timeout(fs, n),
        .entry_timeout = name_timeout(fs, n),
    };
    node_stat(n, &e->attr);
}
