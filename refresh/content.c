/* content.c: entries by their hashes; see content.h. One node for each hash of an entry. */
#include "content.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "need.h"

struct content_node {
    uint8_t digest[HFC_SHA256_SIZE]; /* git's name has zeros behind it */
    const struct hfc_entry *entry;
    UT_hash_handle hh;
};

static struct content_node *find(const struct content *c, const uint8_t *digest)
{
    struct content_node *node;

    HASH_FIND(hh, c->nodes, digest, HFC_SHA256_SIZE, node);
    return node;
}

static void add(struct content *c, const uint8_t *digest, size_t n, const struct hfc_entry *e)
{
    struct content_node *node = need(calloc(1, sizeof(*node)));

    memcpy(node->digest, digest, n);
    node->entry = e;
    if (find(c, node->digest) != NULL)
        free(node);
    else
        HASH_ADD(hh, c->nodes, digest, HFC_SHA256_SIZE, node);
}

void content_add(struct content *c, const struct hfc_entry *e)
{
    if (e->meta.has_sha256)
        add(c, e->meta.sha256, HFC_SHA256_SIZE, e);
    if (e->meta.has_git_sha1)
        add(c, e->meta.git_sha1, HFC_SHA1_SIZE, e);
}

static void drop(struct content *c, const uint8_t *digest, size_t n, const struct hfc_entry *e)
{
    uint8_t key[HFC_SHA256_SIZE] = {0};

    memcpy(key, digest, n);
    struct content_node *node = find(c, key);
    if (node == NULL || node->entry != e)
        return;
    HASH_DEL(c->nodes, node);
    free(node);
}

void content_remove(struct content *c, const struct hfc_entry *e)
{
    if (e->meta.has_sha256)
        drop(c, e->meta.sha256, HFC_SHA256_SIZE, e);
    if (e->meta.has_git_sha1)
        drop(c, e->meta.git_sha1, HFC_SHA1_SIZE, e);
}

void content_free(struct content *c)
{
    struct content_node *node, *next;

    HASH_ITER(hh, c->nodes, node, next)
    {
        HASH_DEL(c->nodes, node);
        free(node);
    }
}

/* The size is compared as well: a file's size is part of what the Hub says of it. */
const struct hfc_entry *content_find(const struct content *c, const struct content_id *id)
{
    uint8_t key[HFC_SHA256_SIZE] = {0};

    memcpy(key, id->lfs ? id->sha256 : id->git_sha1, id->lfs ? HFC_SHA256_SIZE : HFC_SHA1_SIZE);
    const struct content_node *node = find(c, key);
    return node != NULL && node->entry->size == id->size ? node->entry : NULL;
}

bool content_matches(const struct content_id *id, uint64_t size, const struct hfc_meta *meta)
{
    if (size != id->size)
        return false;
    if (id->lfs)
        return meta->has_sha256 && memcmp(meta->sha256, id->sha256, HFC_SHA256_SIZE) == 0;
    return meta->has_git_sha1 && memcmp(meta->git_sha1, id->git_sha1, HFC_SHA1_SIZE) == 0;
}
