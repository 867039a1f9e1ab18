/* fs_xattr.c: extended attributes: what a file is in the bucket and in the cache; see fs.h.
 *
 * A row of the table makes a value as text, or tells that this file has none. Directories and our
 * own files have no attributes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs_internal.h"

#define PREFIX "user.hfcache."

enum { VALUE_MAX = 4096, PRESENT_MAX = 64 /* blocks that blob_present() looks at */ };

/* What values are made of. */
struct facts {
    struct fs *fs;
    const struct node *node;
    const struct blob_info *info;
};

/* Writes to `to` (VALUE_MAX). The length; 0: it has none; VALUE_MAX or more: too long. */
typedef size_t value_of(const struct facts *f, char *to);

static size_t etag(const struct facts *f, char *to)
{
    const char *text = f->info->etag != NULL ? f->info->etag : "";

    return (size_t)snprintf(to, VALUE_MAX, "%s", text);
}

static size_t sha256(const struct facts *f, char *to)
{
    if (!f->info->meta.has_sha256)
        return 0;
    hfc_hex(f->info->meta.sha256, HFC_SHA256_SIZE, to);
    return strlen(to);
}

static size_t source(const struct facts *f, char *to)
{
    const char *url = f->fs->config.url;
    size_t n = strlen(url);

    return (size_t)snprintf(to, VALUE_MAX, "%s%s%s", url, n > 0 && url[n - 1] == '/' ? "" : "/",
                            f->info->key);
}

/* The file's own bytes, not what they take on the disk: all of them means all of the file. */
static size_t cached(const struct facts *f, char *to)
{
    struct blob *b = blob_use(f->fs->config.cache, f->info);
    uint32_t blocks = b != NULL ? blob_blocks(b) : 0;
    uint64_t bytes = 0;

    for (uint32_t first = 0; first < blocks; first += PRESENT_MAX) {
        uint32_t n = blocks - first < PRESENT_MAX ? blocks - first : PRESENT_MAX;
        uint64_t there = blob_present(b, first, n);
        for (uint32_t i = 0; i < n; i++)
            if ((there >> i & 1) != 0)
                bytes += blob_block_size(b, first + i);
    }
    blob_done(b);
    return (size_t)snprintf(to, VALUE_MAX, "%" PRIu64, bytes);
}

static const struct attribute {
    const char *name;
    value_of *value;
} attributes[] = {
    {PREFIX "etag", etag},
    {PREFIX "sha256", sha256},
    {PREFIX "source", source},
    {PREFIX "cached", cached},
};

enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]) };

/* What is known of a file, with `item` and `strings` behind it. False: it is none, or
 * nothing is known. */
static bool facts_of(const struct item *item, struct nametree_strings *strings,
                     struct blob_info *info)
{
    if (item->node.is_directory || item->origin == OWN || item->origin == RETIRED)
        return false;
    if (item->origin == IN_CACHE)
        *info = *blob_info(item->blob);
    else
        nametree_info(item->tree, &item->node, strings, info);
    return true;
}

static const struct attribute *named(const char *name)
{
    for (unsigned i = 0; i < ATTRIBUTES; i++)
        if (strcmp(attributes[i].name, name) == 0)
            return &attributes[i];
    return NULL;
}

/* As getxattr(2) wants it: size 0 asks for the length. */
static void answer(fuse_req_t req, const char *bytes, size_t n, size_t size)
{
    if (size == 0)
        (void)fuse_reply_xattr(req, n);
    else if (n > size)
        (void)fuse_reply_err(req, ERANGE);
    else
        (void)fuse_reply_buf(req, bytes, n);
}

void fs_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
    const struct attribute *a = named(name);
    autoitem struct item item = {0};
    struct nametree_strings strings;
    char value[VALUE_MAX];
    struct blob_info info;
    int errnum = item_of(fs_of(req), id, &item);
    size_t n = 0;

    if (errnum == 0 && a != NULL && facts_of(&item, &strings, &info))
        n = a->value(&(struct facts){fs_of(req), &item.node, &info}, value);
    if (errnum == 0 && n == 0)
        errnum = ENODATA;
    if (n >= VALUE_MAX)
        errnum = E2BIG;
    if (errnum != 0)
        (void)fuse_reply_err(req, errnum);
    else
        answer(req, value, n, size);
}

void fs_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
    autoitem struct item item = {0};
    struct nametree_strings strings;
    char value[VALUE_MAX], names[256];
    struct blob_info info;
    int errnum = item_of(fs_of(req), id, &item);
    size_t n = 0;

    if (errnum != 0) {
        (void)fuse_reply_err(req, errnum);
        return;
    }
    bool some = facts_of(&item, &strings, &info);
    for (unsigned i = 0; some && i < ATTRIBUTES; i++) {
        const struct attribute *a = &attributes[i];
        if (a->value(&(struct facts){fs_of(req), &item.node, &info}, value) == 0)
            continue;
        memcpy(names + n, a->name, strlen(a->name) + 1);
        n += strlen(a->name) + 1;
    }
    answer(req, names, n, size);
}
