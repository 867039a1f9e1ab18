/* fuzz_nametree.c: makes a tree out of arbitrary lines of an index, and looks everything up.
 *
 * Input: lines, which get the header and the end line that they ought to have. What is accepted is
 * kept in a plain table too. Checked: table and tree have the same files, with all that is known of
 * them; each node is found by path, by id, by its folder and among its folder's names, which are
 * sorted; nothing else is there; and the cap on memory holds.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cache.h"
#include "nametree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 1 << 22, SMALL = 60000 };

static void make_text(struct hfc_buf *text, const uint8_t *data, size_t size)
{
    uint8_t digest[HFC_SHA256_SIZE];
    char hex[HFC_HEX_MAX];
    size_t lines = 0;

    hfc_buf_init(text, size + 300);
    hfc_buf_str(text, "hfcache-index 1\n");
    hfc_buf_add(text, data, size);
    if (size > 0 && data[size - 1] != '\n')
        hfc_buf_char(text, '\n');
    for (size_t i = 0; i < text->len; i++)
        lines += text->data[i] == '\n';
    hfc_hash_of(HFC_SHA256, text->data, text->len, digest);
    hfc_hex(digest, sizeof(digest), hex);
    hfc_buf_printf(text, "end %zu %s\n", lines, hex);
}

static bool parse(struct hfc_index_parser *p, const struct hfc_buf *text, size_t step)
{
    bool well = true;

    for (size_t at = 0; well && at < text->len; at += step)
        well = hfc_index_parse(p, text->data + at, text->len - at < step ? text->len - at : step,
                               NULL) == 0;
    well = well && hfc_index_parser_finish(p, NULL) == 0;
    hfc_index_parser_free(p);
    return well;
}

static int take(void *ctx, const struct hfc_entry *e, struct hfc_error *err)
{
    return nametree_add(ctx, e, err);
}

static const struct hfc_index_sink sink = {.entry = take};

/* ---- What has to be there, by the table. ---- */

static bool is_usable(const char *key)
{
    for (const char *at = key;; at++) {
        size_t n = strcspn(at, "/");
        if (n > 255)
            return false;
        at += n;
        if (*at == '\0')
            return strcmp(key, ".hfcache") != 0;
    }
}

/* Whether a name in the tree is a folder with this path. */
static bool is_folder(const struct hfc_index *x, const char *path)
{
    char begin[HFC_KEY_MAX + 2];
    size_t n = strlen(path);

    memcpy(begin, path, n);
    memcpy(begin + n, "/", 2);
    for (size_t i = hfc_index_seek(x, begin); i < hfc_index_count(x); i++) {
        const char *key = hfc_index_at(x, i)->key;
        if (strncmp(key, begin, n + 1) != 0)
            return false;
        if (is_usable(key))
            return true;
    }
    return false;
}

static void same_file(const struct nametree *t, const struct node *n, const struct hfc_entry *e)
{
    struct nametree_strings strings;
    struct blob_info info;

    nametree_info(t, n, &strings, &info);
    assert(strcmp(info.key, e->key) == 0 && info.id == n->id && info.size == e->size);
    assert(!n->is_directory && n->size == e->size && n->links == 1);
    assert(n->is_ref == (e->commit[0] != '\0') && strcmp(n->commit, e->commit) == 0);
    assert(strcmp(info.etag, n->is_ref ? e->commit : e->etag) == 0);
    assert(info.meta.has_sha256 == e->meta.has_sha256);
    assert(info.meta.has_git_sha1 == (!e->meta.has_sha256 && e->meta.has_git_sha1));
    assert(!info.meta.has_sha256 || memcmp(info.meta.sha256, e->meta.sha256, HFC_SHA256_SIZE) == 0);
    assert(!info.meta.has_git_sha1 ||
           memcmp(info.meta.git_sha1, e->meta.git_sha1, HFC_SHA1_SIZE) == 0);
}

/* Returns how many files there are. */
static size_t check_entries(const struct nametree *t, const struct hfc_index *x)
{
    size_t files = 0;
    struct node n;

    for (size_t i = 0; i < hfc_index_count(x); i++) {
        const struct hfc_entry *e = hfc_index_at(x, i);
        bool folder = is_folder(x, e->key), found = nametree_path(t, e->key, &n);
        assert(found == (folder || is_usable(e->key)));
        if (folder)
            assert(n.is_directory);
        else if (found)
            same_file(t, &n, e);
        files += found && !folder;
    }
    assert(nametree_left_out(t) == hfc_index_count(x) - files);
    return files;
}

/* ---- What is there. ---- */

struct count {
    size_t files, names;
};

static void same_node(const struct node *a, const struct node *b)
{
    assert(a->at == b->at && a->id == b->id && a->is_directory == b->is_directory);
    assert(a->name == b->name && a->name_len == b->name_len);
}

static void check_child(const struct nametree *t, const struct node *dir, const struct node *child,
                        const char *path, const char *name)
{
    struct node same;

    assert((child->id & 1) == 0 && child->id >= 16);
    assert(nametree_by_id(t, child->id, &same));
    same_node(&same, child);
    assert(nametree_lookup(t, dir, name, &same));
    same_node(&same, child);
    assert(nametree_path(t, path, &same));
    same_node(&same, child);
    assert(nametree_parent(t, child, &same));
    same_node(&same, dir);
}

/* NOLINTNEXTLINE(misc-no-recursion): keys are short */
static void walk(const struct nametree *t, const struct hfc_index *x, const struct node *dir,
                 const char *path, struct count *count)
{
    char at[HFC_KEY_MAX + 2], last[HFC_KEY_MAX + 2] = "";
    uint32_t folders = 0, i = 0;
    struct node n;

    for (; nametree_child(t, dir, i, &n); i++) {
        size_t len = strlen(path);
        memcpy(at, path, len);
        if (len > 0)
            at[len++] = '/';
        memcpy(at + len, n.name, n.name_len);
        at[len + n.name_len] = '\0';
        assert(n.name_len > 0 && n.name_len <= 255 && strlen(at) == len + n.name_len);
        assert(strcmp(last, at + len) < 0);
        memcpy(last, at + len, n.name_len + 1);
        check_child(t, dir, &n, at, last);
        assert(n.is_directory == is_folder(x, at));
        assert(n.is_directory || hfc_index_find(x, at) != NULL);
        count->names++;
        count->files += !n.is_directory;
        folders += n.is_directory;
        if (n.is_directory)
            walk(t, x, &n, at, count);
    }
    assert(dir->links == 2 + folders);
    assert(dir->id == NAMETREE_ROOT || i > 0);
}

static void check_tree(const struct nametree *t, const struct hfc_index *x)
{
    struct count count = {0};
    struct node root;

    assert(nametree_root(t, &root));
    walk(t, x, &root, "", &count);
    assert(count.files == check_entries(t, x));
    assert(count.names == nametree_names(t));
}

/* ---- One input. ---- */

static void check_small(const struct hfc_index *x)
{
    struct nametree_builder *b = nametree_builder_new(SMALL);
    bool full = false;

    for (size_t i = 0; i < hfc_index_count(x); i++)
        full = nametree_add(b, hfc_index_at(x, i), NULL) < 0 || full;
    struct nametree *t = nametree_finish(b, "", NULL);
    assert((t == NULL) == full);
    assert(t == NULL || nametree_memory(t) <= SMALL);
    nametree_unref(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hfc_index *x = hfc_index_new(ROOM);
    struct nametree_builder *b = nametree_builder_new(ROOM);
    struct hfc_buf text;

    make_text(&text, data, size);
    bool table = parse(hfc_index_parser_new(x), &text, text.len);
    bool tree = parse(hfc_index_parser_new_sink(&sink, b), &text, 1 + size % 7);
    assert(table == tree);
    if (tree) {
        struct nametree *t = nametree_finish(b, "", NULL);
        assert(t != NULL && nametree_memory(t) <= ROOM);
        check_tree(t, x);
        check_small(x);
        nametree_unref(t);
    } else {
        nametree_builder_free(b);
    }
    hfc_index_free(x);
    hfc_buf_free(&text);
    return 0;
}
