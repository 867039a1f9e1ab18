/* bucket_tree.c: reading trees/COMMIT.json; see bucket_tree.h.
 *
 * The whole text is parsed at once, which costs some times its size; hence the cap. It may have
 * been written by this program or by huggingface_hub, or be anything.
 */
#include "bucket_tree.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "budget.h"
#include "cleanup.h"
#include "inventory.h"
#include "pool.h"

/* The object. */

struct loading {
    struct hfc_buf text;
    struct hfc_error error;
};

/* Ends the transfer where the cap is reached. */
static enum hfc_flow tree_bytes(void *ctx, const void *bytes, size_t n)
{
    struct loading *l = ((struct pool_slot *)ctx)->user;

    hfc_buf_add(&l->text, bytes, n);
    return hfc_buf_failed(&l->text) ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

static void tree_end(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct loading *l = slot->user;

    (void)reply;
    if (err != NULL)
        l->error = *err;
    pool_give(slot);
}

/* The object's text, with the reason why there is none. */
static int load(struct inspection *in, const char *key, struct loading *l, struct hfc_error *err)
{
    const struct hfc_get get = {.key = key};
    struct pool pool;

    assert(in->tree_max > 0);
    pool_init(&pool, in->loop, 1);
    struct pool_slot *slot = pool_take(&pool, err);
    if (slot == NULL)
        return -1;
    slot->user = l;
    (void)hfc_store_get(in->target->store, &get, tree_bytes, tree_end, slot);
    if (pool_drain(&pool, err) < 0)
        return -1;
    if (hfc_buf_failed(&l->text)) {
        (void)hfc_error_set(err, 0, "has more than %zu MiB: use a larger --memory to look at it",
                            in->tree_max / MEBIBYTE);
        err->errnum = EFBIG;
        return -1;
    }
    if (l->error.msg[0] == '\0')
        return 0;
    *err = l->error;
    return -1;
}

/* Its content. */

static int broken(struct hfc_error *err, const char *what, const char *path)
{
    (void)hfc_error_set(err, 0, "is no list of files: %s%s%s", what, path != NULL ? " of " : "",
                        path != NULL ? path : "");
    err->errnum = EBADMSG;
    return -1;
}

static bool is_size(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* A digest that is not there is fine, one that is none is not. */
static bool take_digest(const json_t *file, const char *name, uint8_t *digest, size_t n, bool *has)
{
    const json_t *value = json_object_get(file, name);

    *has = value != NULL && !json_is_null(value);
    return !*has || (json_is_string(value) && hfc_unhex(json_string_value(value), digest, n));
}

/* The name that git has for an LFS file is that of its pointer and says nothing of the content. */
static const char *take_file(const json_t *file, struct content_id *id, bool *has_hash)
{
    const json_t *size = json_object_get(file, "size");
    const json_t *lfs_size = json_object_get(file, "lfs_size");
    bool has_git;

    *id = (struct content_id){0};
    if (!is_size(size))
        return "the size";
    id->size = (uint64_t)json_integer_value(size);
    if (lfs_size != NULL && !json_is_null(lfs_size) &&
        (!is_size(lfs_size) || (uint64_t)json_integer_value(lfs_size) != id->size))
        return "lfs_size";
    if (!take_digest(file, "lfs_sha256", id->sha256, sizeof(id->sha256), &id->lfs))
        return "lfs_sha256";
    if (!take_digest(file, "blob_id", id->git_sha1, sizeof(id->git_sha1), &has_git))
        return "blob_id";
    *has_hash = id->lfs || has_git;
    return NULL;
}

/* All of it at once, so that whoever uses it later meets no surprise. */
static int check(const struct bucket_tree *tree, struct hfc_error *err)
{
    void *at = NULL;
    const char *path;

    while ((path = bucket_tree_next(tree, &at)) != NULL) {
        struct content_id id;
        bool has_hash;
        const char *wrong = take_file(json_object_get(tree->files, path), &id, &has_hash);
        if (wrong != NULL)
            return broken(err, wrong, path);
    }
    return 0;
}

static int parse(struct bucket_tree *tree, const struct hfc_buf *text, struct hfc_error *err)
{
    json_error_t fault;
    json_t *root = json_loadb(text->data, text->len, JSON_REJECT_DUPLICATES, &fault);

    if (root == NULL)
        return broken(err, fault.text, NULL);
    json_t *files = json_object_get(root, "files");
    if (json_integer_value(json_object_get(root, "format_version")) == 1 && json_is_object(files))
        tree->files = json_incref(files);
    json_decref(root);
    return tree->files != NULL ? check(tree, err) : broken(err, "not of format 1", NULL);
}

int bucket_tree_read(struct inspection *in, const char *key, struct bucket_tree *tree,
                     struct hfc_error *err)
{
    struct loading l = {0};
    int rc = -1;

    *tree = (struct bucket_tree){0};
    hfc_buf_init(&l.text, in->tree_max);
    if (load(in, key, &l, err) == 0) {
        tree->size = l.text.len;
        hfc_hash_of(HFC_SHA256, l.text.data, l.text.len, tree->sha256);
        rc = parse(tree, &l.text, err);
    }
    hfc_buf_free(&l.text);
    if (rc < 0)
        bucket_tree_free(tree);
    return rc;
}

void bucket_tree_free(struct bucket_tree *tree)
{
    json_decref(tree->files);
    tree->files = NULL;
}

bool bucket_tree_find(const struct bucket_tree *tree, const char *path, struct content_id *id,
                      bool *has_hash)
{
    const json_t *file = json_object_get(tree->files, path);

    assert(tree->files != NULL);
    if (file == NULL)
        return false;
    const char *wrong = take_file(file, id, has_hash);
    assert(wrong == NULL);
    return wrong == NULL;
}

const char *bucket_tree_next(const struct bucket_tree *tree, void **at)
{
    *at = *at == NULL ? json_object_iter(tree->files) : json_object_iter_next(tree->files, *at);
    return *at != NULL ? json_object_iter_key(*at) : NULL;
}

size_t bucket_tree_missing(const struct bucket_tree *tree, const struct hfc_index *x,
                           const char *prefix)
{
    void *at = NULL;
    const char *path;
    size_t missing = 0;

    while ((path = bucket_tree_next(tree, &at)) != NULL) {
        hfc_autofree char *key = key_join(prefix, path);
        struct content_id id;
        bool has_hash;
        const struct hfc_entry *e = hfc_index_find(x, key);
        missing += e == NULL || !bucket_tree_find(tree, path, &id, &has_hash) || e->size != id.size;
    }
    return missing;
}
