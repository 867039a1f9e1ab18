/* nametree.c: a finished tree: who holds it, and finding names in it; see nametree.h.
 *
 * Nothing in a finished tree changes but the count of its references, which is atomic; so any
 * thread that holds one looks up without a lock.
 */
#include "nametree.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "nametree_internal.h"

/* ---- References. ---- */

struct nametree *nametree_ref(struct nametree *t)
{
    unsigned before = atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return t;
}

void nametree_unref(struct nametree *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    pages_free(&t->nodes);
    pages_free(&t->order);
    pages_free(&t->slots);
    pages_free(&t->pool);
    free(t->version);
    free(t);
}

size_t nametree_names(const struct nametree *t)
{
    return t->names;
}

size_t nametree_memory(const struct nametree *t)
{
    return t->memory;
}

size_t nametree_left_out(const struct nametree *t)
{
    return t->left_out;
}

const char *nametree_version(const struct nametree *t)
{
    return t->version;
}

uint64_t nametree_bytes(const struct nametree *t)
{
    return t->bytes;
}

/* ---- Nodes. ---- */

/* Writes the commit of a ref, in hex with a NUL. */
static void unpack_commit(const struct nametree *t, const struct tree_node *n,
                          char to[HFC_COMMIT_SIZE])
{
    size_t len;
    const uint8_t *record = tree_record(t, n->record, &len);

    assert(n->kind == NODE_REF && len == COMMIT_BYTES);
    hfc_hex(record, COMMIT_BYTES, to);
}

/* Describes the node; true, so that it can end a search. */
static bool give(const struct nametree *t, uint32_t at, struct node *to)
{
    const struct tree_node *n = tree_node_at(t, at);

    *to = (struct node){.id = n->id,
                        .at = at,
                        .is_directory = n->kind == NODE_DIRECTORY,
                        .is_ref = n->kind == NODE_REF};
    to->name = (const char *)tree_record(t, n->name, &to->name_len);
    if (to->is_directory) {
        to->links = 2 + n->folders;
        return true;
    }
    to->size = n->size;
    to->links = 1;
    if (to->is_ref)
        unpack_commit(t, n, to->commit);
    return true;
}

/* The caller's node in this tree, or NULL: it came from another one. */
static const struct tree_node *node_of(const struct nametree *t, const struct node *n)
{
    const struct tree_node *found = n->at < t->n_nodes ? tree_node_at(t, n->at) : NULL;

    return found != NULL && found->id == n->id ? found : NULL;
}

bool nametree_root(const struct nametree *t, struct node *n)
{
    return give(t, 0, n);
}

uint32_t tree_find_id(const struct nametree *t, uint64_t id, uint32_t *slot)
{
    const uint32_t *slots = t->slots.at;
    uint32_t at = tree_slot(t, id);

    while (slots[at] != EMPTY_SLOT && tree_node_at(t, slots[at])->id != id)
        at = at + 1 < t->n_slots ? at + 1 : 0;
    if (slot != NULL)
        *slot = at;
    return slots[at];
}

bool nametree_by_id(const struct nametree *t, uint64_t id, struct node *n)
{
    uint32_t at = id == NAMETREE_ROOT ? 0 : tree_find_id(t, id, NULL);

    return (at != EMPTY_SLOT || id == NAMETREE_ROOT) && give(t, at, n);
}

bool nametree_parent(const struct nametree *t, const struct node *of, struct node *n)
{
    const struct tree_node *node = node_of(t, of);

    return node != NULL && of->at != 0 && give(t, node->parent, n);
}

bool nametree_child(const struct nametree *t, const struct node *dir, uint32_t i, struct node *n)
{
    const struct tree_node *folder = node_of(t, dir);

    if (folder == NULL || folder->kind != NODE_DIRECTORY || i >= folder->count)
        return false;
    return give(t, ((const uint32_t *)t->order.at)[folder->first + i], n);
}

bool nametree_next_ref(const struct nametree *t, uint32_t *at, struct node *n)
{
    for (; *at < t->n_nodes; (*at)++) {
        const struct tree_node *node = tree_node_at(t, *at);
        if (node->kind == NODE_REF && !node->left_out)
            return give(t, (*at)++, n);
    }
    return false;
}

/* ---- Names. ---- */

int tree_compare_names(const void *a, size_t na, const void *b, size_t nb)
{
    int c = memcmp(a, b, na < nb ? na : nb);

    return c != 0 ? c : (na > nb) - (na < nb);
}

/* The place of a name in a folder; EMPTY_SLOT if there is none. */
static uint32_t find_name(const struct nametree *t, const struct tree_node *folder,
                          const char *name, size_t len)
{
    const uint32_t *names = (const uint32_t *)t->order.at + folder->first;
    uint32_t low = 0, high = folder->kind == NODE_DIRECTORY ? folder->count : 0;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        size_t n;
        const uint8_t *text = tree_record(t, tree_node_at(t, names[middle])->name, &n);
        int c = tree_compare_names(text, n, name, len);
        if (c == 0)
            return names[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return EMPTY_SLOT;
}

bool nametree_lookup(const struct nametree *t, const struct node *dir, const char *name,
                     struct node *n)
{
    const struct tree_node *folder = node_of(t, dir);
    uint32_t at = folder != NULL ? find_name(t, folder, name, strlen(name)) : EMPTY_SLOT;

    return at != EMPTY_SLOT && give(t, at, n);
}

bool nametree_path(const struct nametree *t, const char *path, struct node *n)
{
    uint32_t at = 0;

    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        at = find_name(t, tree_node_at(t, at), path, len);
        if (at == EMPTY_SLOT)
            return false;
        path += len;
        if (*path == '/' && *++path == '\0')
            return false;
    }
    return give(t, at, n);
}

/* ---- What is known of a file. ---- */

/* The path from the root, written from its end. */
static void make_key(const struct nametree *t, uint32_t at, char to[HFC_KEY_MAX + 1])
{
    char *begin = to + HFC_KEY_MAX;

    *begin = '\0';
    while (at != 0) {
        const struct tree_node *n = tree_node_at(t, at);
        size_t len;
        const uint8_t *name = tree_record(t, n->name, &len);
        if (*begin != '\0')
            *--begin = '/';
        assert(begin - to >= (ptrdiff_t)len);
        begin -= len;
        memcpy(begin, name, len);
        at = n->parent;
    }
    memmove(to, begin, strlen(begin) + 1);
}

/* Returns how many bytes of the record it stands in. `left` are those it has at most. */
static size_t unpack_etag(const uint8_t *from, size_t left, unsigned flags, char to[HFC_ETAG_MAX])
{
    uint32_t parts;

    if ((flags & FILE_MD5) == 0) {
        assert(left < HFC_ETAG_MAX);
        memcpy(to, from, left);
        to[left] = '\0';
        return left;
    }
    hfc_hex(from, HFC_MD5_SIZE, to);
    if ((flags & FILE_PARTS) == 0)
        return HFC_MD5_SIZE;
    memcpy(&parts, from + HFC_MD5_SIZE, PARTS_BYTES);
    (void)snprintf(to + strlen(to), HFC_ETAG_MAX - strlen(to), "-%" PRIu32, le32toh(parts));
    return HFC_MD5_SIZE + PARTS_BYTES;
}

static void unpack_file(const struct nametree *t, const struct tree_node *n,
                        char etag[HFC_ETAG_MAX], struct hfc_meta *meta)
{
    size_t len;
    const uint8_t *record = tree_record(t, n->record, &len);
    unsigned flags = *record++;

    meta->has_sha256 = (flags & FILE_SHA256) != 0;
    meta->has_git_sha1 = (flags & FILE_GIT_SHA1) != 0;
    size_t digest = meta->has_sha256 ? HFC_SHA256_SIZE : meta->has_git_sha1 ? HFC_SHA1_SIZE : 0;
    record += unpack_etag(record, len - 1 - digest, flags, etag);
    memcpy(meta->has_sha256 ? meta->sha256 : meta->git_sha1, record, digest);
}

void nametree_info(const struct nametree *t, const struct node *n, struct nametree_strings *strings,
                   struct blob_info *info)
{
    const struct tree_node *node = node_of(t, n);

    assert(node != NULL);
    *info = (struct blob_info){
        .id = n->id, .size = n->size, .key = strings->key, .etag = strings->etag};
    strings->etag[0] = '\0';
    make_key(t, n->at, strings->key);
    if (node->kind == NODE_FILE)
        unpack_file(t, node, strings->etag, &info->meta);
    else if (node->kind == NODE_REF)
        unpack_commit(t, node, strings->etag);
}
