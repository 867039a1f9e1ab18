/* catalog.c: the tree that is shown, the refs that it has lost, start and end; see catalog.h.
 *
 * Owns the pointer to the tree and the ring of retired refs, both guarded by the catalog's lock,
 * which is held for a few loads and stores. Only the loop's thread changes them, so it reads them
 * without the lock.
 */
#include "catalog.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog_internal.h"
#include "cleanup.h"
#include "logging.h"
#include "metrics.h"

/* ---- The tree. ---- */

struct nametree *catalog_tree(struct catalog *c)
{
    (void)pthread_mutex_lock(&c->lock);
    struct nametree *t = c->tree != NULL ? nametree_ref(c->tree) : NULL;
    (void)pthread_mutex_unlock(&c->lock);
    return t;
}

static const struct retired *find_retired(const struct catalog *c, uint64_t id)
{
    for (unsigned i = 0; i < c->n_retired; i++)
        if (c->retired[i].id == id)
            return &c->retired[i];
    return NULL;
}

bool catalog_retired(struct catalog *c, uint64_t id, struct node *n)
{
    (void)pthread_mutex_lock(&c->lock);
    const struct retired *r = find_retired(c, id);
    if (r != NULL) {
        *n = (struct node){.id = id,
                           .size = HFC_COMMIT_SIZE - 1,
                           .is_ref = true,
                           .name = "",
                           .links = 1,
                           .at = UINT32_MAX};
        memcpy(n->commit, r->commit, sizeof(n->commit));
    }
    (void)pthread_mutex_unlock(&c->lock);
    return r != NULL;
}

static void retire(struct catalog *c, const struct node *n)
{
    if (find_retired(c, n->id) != NULL)
        return;
    struct retired *r = &c->retired[c->next_retired];
    (void)pthread_mutex_lock(&c->lock);
    r->id = n->id;
    memcpy(r->commit, n->commit, sizeof(r->commit));
    c->next_retired = (c->next_retired + 1) % RETIRED_MAX;
    c->n_retired += c->n_retired < RETIRED_MAX;
    (void)pthread_mutex_unlock(&c->lock);
}

/* Before the new tree is shown: no reader must find a ref in neither. */
static void retire_refs(struct catalog *c, const struct nametree *old, const struct nametree *tree)
{
    struct node n, same;
    uint32_t at = 0;

    while (nametree_next_ref(old, &at, &n))
        if (!nametree_by_id(tree, n.id, &same))
            retire(c, &n);
}

void catalog_install(struct catalog *c, struct nametree *tree, const uint8_t *sha256)
{
    struct nametree *old = c->tree;

    assert(tree != NULL && tree != old);
    if (old != NULL)
        retire_refs(c, old, tree);
    (void)pthread_mutex_lock(&c->lock);
    c->tree = tree;
    (void)pthread_mutex_unlock(&c->lock);
    nametree_unref(old);
    memcpy(c->sha256, sha256, sizeof(c->sha256));
    metric_set(M_TREE_NAMES, nametree_names(tree));
    metric_set(M_MEMORY_TREE_USED, nametree_memory(tree));
}

int64_t catalog_age_ms(const struct catalog *c)
{
    int64_t current = atomic_load(&c->current);

    return current < 0 ? -1 : hfc_now_ms() - current;
}

/* ---- The copy at start. ---- */

/* Feeds the draft. -1: the file can't be read; what the draft refuses shows at its end. */
static int read_copy(int fd, struct draft *d, struct hfc_error *err)
{
    hfc_autofree char *piece = malloc(COPY_PIECE);
    ssize_t n;

    if (piece == NULL)
        abort();
    do {
        n = read(fd, piece, COPY_PIECE);
        if (n < 0 && errno != EINTR)
            return hfc_error_set(err, errno, "read");
    } while (n != 0 && (n < 0 || catalog_draft_text(d, piece, (size_t)n)));
    return 0;
}

/* The ETag counts for this very copy only; but it tells that the bucket had an index. */
static void take_etag(struct catalog *c)
{
    uint8_t sha256[HFC_SHA256_SIZE];
    char etag[HFC_ETAG_MAX];

    if (!catalog_copy_etag(c->config.directory, etag, sha256))
        return;
    c->had_index = true;
    if (c->tree != NULL && memcmp(sha256, c->sha256, sizeof(sha256)) == 0)
        memcpy(c->etag, etag, sizeof(etag));
}

static void load_copy(struct catalog *c)
{
    hfc_autoclose int fd = catalog_copy_open(c->config.directory);
    struct hfc_error err = {0};
    struct nametree *tree = NULL;

    if (fd < 0)
        return;
    struct draft *d = catalog_draft_new(c->config.tree_max, -1, false);
    if (read_copy(fd, d, &err) == 0)
        tree = catalog_draft_finish(d, "", &err);
    if (tree != NULL)
        catalog_install(c, tree, d->copy.sha256);
    catalog_draft_free(d);
    if (tree != NULL)
        log_line(LOG_TREE, LEVEL_INFO, "the %zu names that were known last are served",
                 nametree_names(tree));
    else
        log_line(LOG_TREE, LEVEL_WARNING,
                 "the copy of the tree in the cache directory is of no use: index: %s; the names "
                 "come from the bucket",
                 err.msg);
}

/* ---- Start and end. ---- */

struct catalog *catalog_new(const struct catalog_config *config)
{
    struct catalog *c = calloc(1, sizeof(*c));

    if (c == NULL)
        abort();
    assert(config->loop != NULL);
    c->config = *config;
    (void)pthread_mutex_init(&c->lock, NULL);
    atomic_init(&c->current, -1);
    c->began = INT64_MIN / 2; /* long ago */
    load_copy(c);
    take_etag(c);
    return c;
}

void catalog_free(struct catalog *c)
{
    if (c == NULL)
        return;
    catalog_use_store(c, NULL);
    catalog_forget_looks(c);
    nametree_unref(c->tree);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}
