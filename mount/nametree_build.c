/* nametree_build.c: makes a tree out of entries in the order of their keys; see nametree.h.
 *
 * Each entry opens the folders that the one before it was not in, and becomes a node. The tables by
 * which names are found are made at the end, when their sizes are known; their room is counted from
 * the begin. So the tree is never larger than what is counted, and nothing of it is copied. A
 * builder belongs to one thread.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "nametree_internal.h"
#include "siphash.h"

enum {
    DEPTH_MAX = HFC_KEY_MAX / 2 + 1, /* folders of a key, with the root */
    KNOWN = 8192,                    /* records that are remembered, to be used again */
    NODE_COST = sizeof(struct tree_node) + ORDER_BYTES + SLOTS_BYTES,
    ROUNDING = 4 * 4096, /* each table takes whole pages */
    FIRST_ID = 16,       /* ids below are the kernel's and of hidden files */
};

/* It makes ids, which are kept on disk and by the kernel: it must never change. */
static const uint8_t ID_KEY[16] = "hf-cache node id";

/* A folder of the last entry. */
struct open_folder {
    uint32_t at;  /* its node */
    uint32_t end; /* of its path in the entry's key; the root's is 0 */
};

struct nametree_builder {
    struct nametree *tree;
    size_t max, used; /* bytes; beyond `max` they are only counted */
    size_t pool_len;
    bool full;
    size_t entries;             /* taken or counted */
    char last[HFC_KEY_MAX + 1]; /* the last key, but for those that were left out at once */
    struct open_folder open[DEPTH_MAX];
    uint32_t depth;        /* of `open`; at least 1: the root */
    uint32_t known[KNOWN]; /* places in the pool, by hash; 0: none (there stands the root's name) */
};

static struct tree_node *node_at(const struct nametree_builder *b, uint32_t at)
{
    return tree_node_at(b->tree, at);
}

struct nametree_builder *nametree_builder_new(size_t max_bytes)
{
    struct nametree_builder *b = calloc(1, sizeof(*b));
    struct nametree *t = calloc(1, sizeof(*t));

    if (b == NULL || t == NULL || !pages_grow(&t->pool, 1) ||
        !pages_grow(&t->nodes, sizeof(struct tree_node)))
        abort();
    atomic_init(&t->refs, 1);
    b->tree = t;
    b->max = max_bytes;
    b->used = sizeof(*b) + sizeof(*t) + ROUNDING;
    b->pool_len = 1; /* an empty name: the root's */
    *tree_node_at(t, 0) = (struct tree_node){.id = NAMETREE_ROOT, .kind = NODE_DIRECTORY};
    t->n_nodes = 1;
    b->depth = 1;
    return b;
}

void nametree_builder_free(struct nametree_builder *b)
{
    if (b == NULL)
        return;
    nametree_unref(b->tree);
    free(b);
}

/* ---- Records. ---- */

/* An ETag of S3: the MD5, or of an upload in parts "MD5-N". */
static size_t pack_etag(const char *etag, size_t len, uint8_t *to, uint8_t *flags)
{
    const size_t hex = 2 * HFC_MD5_SIZE;
    char md5[2 * HFC_MD5_SIZE + 1], text[HFC_ETAG_MAX];

    assert(len < HFC_ETAG_MAX);
    memcpy(to, etag, len);
    if (len < hex || strspn(etag, "0123456789abcdef") != hex)
        return len;
    unsigned long parts = len > hex ? strtoul(etag + hex + 1, NULL, 10) : 0;
    (void)snprintf(md5, sizeof(md5), "%s", etag);
    (void)snprintf(text, sizeof(text), len > hex ? "%s-%lu" : "%s", md5, parts);
    if (strcmp(text, etag) != 0 || parts > UINT32_MAX || !hfc_unhex(md5, to, HFC_MD5_SIZE))
        return len;
    *flags |= FILE_MD5;
    if (len == hex)
        return HFC_MD5_SIZE;
    const uint32_t n = htole32((uint32_t)parts);
    memcpy(to + HFC_MD5_SIZE, &n, PARTS_BYTES);
    *flags |= FILE_PARTS;
    return HFC_MD5_SIZE + PARTS_BYTES;
}

static size_t pack_file(const struct hfc_entry *e, uint8_t to[RECORD_MAX])
{
    uint8_t *flags = to;

    *flags = 0;
    size_t n = 1 + pack_etag(e->etag, strlen(e->etag), to + 1, flags);
    if (e->meta.has_sha256) {
        *flags |= FILE_SHA256;
        memcpy(to + n, e->meta.sha256, HFC_SHA256_SIZE);
        n += HFC_SHA256_SIZE;
    } else if (e->meta.has_git_sha1) {
        *flags |= FILE_GIT_SHA1;
        memcpy(to + n, e->meta.git_sha1, HFC_SHA1_SIZE);
        n += HFC_SHA1_SIZE;
    }
    assert(n <= RECORD_MAX);
    return n;
}

static size_t pack(const struct hfc_entry *e, uint8_t to[RECORD_MAX])
{
    if (e->commit[0] == '\0')
        return pack_file(e, to);
    bool hex = hfc_unhex(e->commit, to, COMMIT_BYTES);
    assert(hex);
    return COMMIT_BYTES;
}

/* The place of the record in the pool, where there is room. */
static uint32_t add_record(struct nametree_builder *b, const void *bytes, size_t n)
{
    uint32_t *known = &b->known[siphash24(ID_KEY, bytes, n) % KNOWN];
    uint8_t *pool = b->tree->pool.at;
    size_t len;

    assert(n > 0 && n <= UINT8_MAX && b->pool_len + 1 + n <= b->tree->pool.size);
    const uint8_t *record = tree_record(b->tree, *known, &len);
    if (len == n && memcmp(record, bytes, n) == 0)
        return *known;
    *known = (uint32_t)b->pool_len;
    pool[b->pool_len] = (uint8_t)n;
    memcpy(pool + b->pool_len + 1, bytes, n);
    b->pool_len += 1 + n;
    b->used += 1 + n;
    return *known;
}

/* ---- Nodes. ---- */

/* Of a path and what tells its versions apart. */
static uint64_t id_of(const char *path, size_t len, const char *version)
{
    uint8_t text[HFC_KEY_MAX + 1 + HFC_ETAG_MAX];
    size_t n = strlen(version);

    assert(len <= HFC_KEY_MAX && n < HFC_ETAG_MAX);
    memcpy(text, path, len);
    text[len] = '\0';
    memcpy(text + len + 1, version, n);
    uint64_t id = siphash24(ID_KEY, text, len + 1 + n) & ~UINT64_C(1);
    return id < FIRST_ID ? id + FIRST_ID : id;
}

/* Adds a node to the lowest open folder; there is room for it. `len` is its path's. */
static struct tree_node *add_node(struct nametree_builder *b, const char *path, size_t len,
                                  enum node_kind kind, const char *version)
{
    const struct open_folder *in = &b->open[b->depth - 1];
    size_t begin = in->end > 0 ? in->end + 1 : 0;
    struct tree_node *n = node_at(b, b->tree->n_nodes++);

    assert(begin < len && len - begin <= NAME_LEN_MAX);
    *n = (struct tree_node){
        .id = id_of(path, len, version), .parent = in->at, .kind = (uint8_t)kind};
    n->name = add_record(b, path + begin, len - begin);
    b->used += NODE_COST;
    return n;
}

/* Closes the folders that the key is not in. */
static void close_folders(struct nametree_builder *b, const char *key)
{
    while (b->depth > 1) {
        size_t end = b->open[b->depth - 1].end;
        if (strncmp(b->last, key, end) == 0 && key[end] == '/')
            return;
        b->depth--;
    }
}

static void open_folder(struct nametree_builder *b, uint32_t at, size_t end)
{
    assert(b->depth < DEPTH_MAX);
    b->open[b->depth++] = (struct open_folder){at, (uint32_t)end};
}

/* Opens what is missing on the way to the key. When the tree is full they are only counted. */
static void open_folders(struct nametree_builder *b, const char *key)
{
    size_t end = b->open[b->depth - 1].end;

    for (const char *slash = strchr(key + end + (b->depth > 1), '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        end = (size_t)(slash - key);
        if (!b->full)
            (void)add_node(b, key, end, NODE_DIRECTORY, "");
        open_folder(b, b->tree->n_nodes - 1, end);
    }
}

static void add_file(struct nametree_builder *b, const struct hfc_entry *e, const uint8_t *record,
                     size_t n)
{
    bool is_ref = e->commit[0] != '\0';
    struct tree_node *node = add_node(b, e->key, strlen(e->key), is_ref ? NODE_REF : NODE_FILE,
                                      is_ref ? e->commit : e->etag);

    node->size = is_ref ? HFC_COMMIT_SIZE - 1 : e->size;
    node->record = add_record(b, record, n);
}

/* ---- Entries. ---- */

/* Names that no file system takes, or that the mount has itself. */
static bool is_unusable(const struct hfc_entry *e)
{
    if (hfc_index_entry_fault(e) != NULL || strcmp(e->key, ".hfcache") == 0)
        return true;
    for (const char *at = e->key;; at++) {
        size_t n = strcspn(at, "/");
        if (n > NAME_LEN_MAX)
            return true;
        at += n;
        if (*at == '\0')
            return false;
    }
}

/* What the entry takes at most: less if its names are known already. The open folders are those
 * that it shares with the one before. */
static size_t cost_of(const struct nametree_builder *b, const char *key, size_t record)
{
    size_t end = b->open[b->depth - 1].end;
    const char *at = key + end + (b->depth > 1);
    size_t cost = NODE_COST + 1 + strlen(at) + 1 + record;

    for (at = strchr(at, '/'); at != NULL; at = strchr(at + 1, '/'))
        cost += NODE_COST;
    return cost;
}

/* Makes room in the tables. False: there is none. */
static bool reserve(struct nametree_builder *b, size_t cost)
{
    struct nametree *t = b->tree;
    size_t nodes = t->n_nodes + cost / NODE_COST;

    return b->used + cost <= b->max && b->pool_len + cost < UINT32_MAX && nodes < UINT32_MAX / 2 &&
           pages_grow(&t->pool, b->pool_len + cost) &&
           pages_grow(&t->nodes, nodes * sizeof(struct tree_node));
}

static int no_room(struct nametree_builder *b, size_t cost, struct hfc_error *err)
{
    b->full = true;
    b->used += cost;
    (void)hfc_error_set(err, 0,
                        "the names of the bucket take more than %zu bytes of memory; give more "
                        "with --memory",
                        b->max);
    if (err != NULL)
        err->errnum = ENOMEM;
    return -1;
}

int nametree_add(struct nametree_builder *b, const struct hfc_entry *e, struct hfc_error *err)
{
    uint8_t record[RECORD_MAX];

    if (is_unusable(e)) {
        b->tree->left_out++;
        return 0;
    }
    if (strcmp(b->last, e->key) >= 0) {
        (void)hfc_error_set(err, 0, "the keys are not in the order of their bytes");
        if (err != NULL)
            err->errnum = EBADMSG;
        return -1;
    }
    b->entries++;
    close_folders(b, e->key);
    size_t n = pack(e, record), cost = cost_of(b, e->key, n);
    if (!b->full)
        b->full = !reserve(b, cost);
    open_folders(b, e->key);
    memcpy(b->last, e->key, strlen(e->key) + 1);
    if (b->full)
        return no_room(b, cost, err);
    add_file(b, e, record, n);
    return 0;
}

/* ---- The tables. ---- */

static int compare_nodes(const struct nametree *t, uint32_t a, uint32_t b)
{
    const struct tree_node *x = tree_node_at(t, a), *y = tree_node_at(t, b);
    size_t nx, ny;

    if (x->name == y->name)
        return 0;
    const uint8_t *name_x = tree_record(t, x->name, &nx), *name_y = tree_record(t, y->name, &ny);
    return tree_compare_names(name_x, nx, name_y, ny);
}

/* Puts each node behind the others of its folder, in the order in which they came. */
static void fill_order(struct nametree *t)
{
    uint32_t *order = t->order.at, next = 0;

    for (uint32_t i = 1; i < t->n_nodes; i++)
        tree_node_at(t, tree_node_at(t, i)->parent)->count++;
    for (uint32_t i = 0; i < t->n_nodes; i++) {
        struct tree_node *n = tree_node_at(t, i);
        if (n->kind != NODE_DIRECTORY)
            continue;
        n->first = next;
        next += n->count;
        n->count = 0;
    }
    assert(next == t->n_nodes - 1);
    for (uint32_t i = 1; i < t->n_nodes; i++) {
        struct tree_node *in = tree_node_at(t, tree_node_at(t, i)->parent);
        order[in->first + in->count++] = i;
    }
}

/* Keys are sorted with the slash behind a folder's name: "a-b" stands before "a/c", though the name
 * "a" comes before "a-b". So a name moves only past those that begin with it, and no name has more
 * than 254 such begins: sorting by insertion is cheap. A file of the same name as a folder came
 * first, and is left out. */
static void sort_folder(struct nametree *t, const struct tree_node *folder)
{
    uint32_t *names = (uint32_t *)t->order.at + folder->first;

    for (uint32_t i = 1; i < folder->count; i++) {
        uint32_t n = names[i], at = i;
        int c = 1;
        while (at > 0 && (c = compare_nodes(t, names[at - 1], n)) > 0) {
            names[at] = names[at - 1];
            at--;
        }
        names[at] = n;
        if (at == 0 || c != 0)
            continue;
        assert(tree_node_at(t, n)->kind == NODE_DIRECTORY);
        tree_node_at(t, names[at - 1])->left_out = true;
    }
}

static void sort_names(struct nametree *t)
{
    for (uint32_t i = 0; i < t->n_nodes; i++)
        if (tree_node_at(t, i)->kind == NODE_DIRECTORY)
            sort_folder(t, tree_node_at(t, i));
}

static void add_bytes(struct nametree *t, uint64_t size)
{
    t->bytes = size < UINT64_MAX - t->bytes ? t->bytes + size : UINT64_MAX;
}

/* Folders come before what is in them, so what is in a folder that is left out is so, too. */
static void fill_slots(struct nametree *t)
{
    uint32_t slot = 0;

    for (uint32_t i = 1; i < t->n_nodes; i++) {
        struct tree_node *n = tree_node_at(t, i);
        n->left_out = n->left_out || tree_node_at(t, n->parent)->left_out ||
                      tree_find_id(t, n->id, &slot) != EMPTY_SLOT;
        if (n->left_out) {
            t->left_out++;
            continue;
        }
        ((uint32_t *)t->slots.at)[slot] = i;
        t->names++;
        if (n->kind != NODE_DIRECTORY)
            add_bytes(t, n->size);
    }
}

/* Takes those that are left out from the order, and counts the folders. */
static void close_gaps(struct nametree *t)
{
    uint32_t *order = t->order.at;

    for (uint32_t i = 0; i < t->n_nodes; i++) {
        struct tree_node *n = tree_node_at(t, i);
        if (n->kind != NODE_DIRECTORY)
            continue;
        uint32_t kept = 0;
        for (uint32_t k = 0; k < n->count; k++) {
            const struct tree_node *child = tree_node_at(t, order[n->first + k]);
            if (child->left_out)
                continue;
            n->folders += child->kind == NODE_DIRECTORY;
            order[n->first + kept++] = order[n->first + k];
        }
        n->count = kept;
    }
}

/* ---- The end. ---- */

static int make_tables(struct nametree_builder *b)
{
    struct nametree *t = b->tree;
    size_t order = (size_t)t->n_nodes * ORDER_BYTES;

    t->n_slots = t->n_nodes + t->n_nodes / 2;
    size_t slots = (size_t)t->n_slots * sizeof(uint32_t);
    pages_trim(&t->nodes, (size_t)t->n_nodes * sizeof(struct tree_node));
    pages_trim(&t->pool, b->pool_len);
    if (!pages_grow(&t->order, order) || !pages_grow(&t->slots, slots))
        return -1;
    fill_order(t);
    sort_names(t);
    fill_slots(t);
    close_gaps(t);
    return 0;
}

static int too_large(const struct nametree_builder *b, struct hfc_error *err)
{
    (void)hfc_error_set(err, 0,
                        "the names of %zu objects take about %zu bytes of memory, and there are "
                        "%zu for them; give at least %zu MiB more with --memory",
                        b->entries, b->used, b->max, 2 * ((b->used - b->max) >> 20) + 2);
    if (err != NULL)
        err->errnum = ENOMEM;
    return -1;
}

static int finish(struct nametree_builder *b, const char *version, struct hfc_error *err)
{
    struct nametree *t = b->tree;

    if (b->full)
        return too_large(b, err);
    t->version = strdup(version);
    if (t->version == NULL || make_tables(b) < 0)
        return hfc_error_set(err, ENOMEM, "the tables of the tree");
    t->memory = sizeof(*t) + strlen(version) + 1 + t->nodes.size + t->pool.size + t->order.size +
                t->slots.size;
    return 0;
}

struct nametree *nametree_finish(struct nametree_builder *b, const char *version,
                                 struct hfc_error *err)
{
    struct nametree *t = NULL;

    if (finish(b, version, err) == 0)
        t = hfc_steal_ptr(&b->tree);
    nametree_builder_free(b);
    return t;
}
