/* verify.c: which objects there should be, and what they should be; see verify.h.
 *
 * Two walks. Over what is there: each object is looked at with what the index and the tree of its
 * snapshot say of it. Over what the index says there is: what is missing shows.
 */
#include "verify.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bucket_tree.h"
#include "cleanup.h"
#include "inventory.h"
#include "need.h"

/* The snapshot that the walk is in: its files follow each other. */
struct group {
    char *prefix; /* "hub/FOLDER/snapshots/COMMIT/"; NULL: none yet */
    char *tree_key;
    struct bucket_tree tree;
};

/* What is still being read has its own copy of what it needs. */
static void leave_group(struct group *g)
{
    free(g->prefix);
    free(g->tree_key);
    bucket_tree_free(&g->tree);
    *g = (struct group){0};
}

/* What belongs to no model is looked at only if everything is. */
static bool is_chosen(struct verify *v, const struct key_parts *k)
{
    if (k->kind == KEY_FOREIGN)
        return v->models->n == 0;
    return selection_has(v->models, k->folder, k->nfolder);
}

/* What the index promises of an object. Of refs it promises the content, see check_ref(). */
static struct expected by_index(const struct verify *v, const char *key)
{
    const struct hfc_entry *e = hfc_index_find(v->published, key);

    if (e == NULL || e->commit[0] != '\0')
        return (struct expected){.by = "the index"};
    return (struct expected){.has_size = true, .size = e->size, .meta = e->meta, .by = "the index"};
}

/* Trees. */

/* What the tree names and is not there. Of what the index names as well, the other walk tells. */
static void check_tree_files(struct verify *v, const struct group *g)
{
    void *at = NULL;
    const char *path;

    while ((path = bucket_tree_next(&g->tree, &at)) != NULL) {
        hfc_autofree char *key = key_join(g->prefix, path);
        if (hfc_index_find(v->in->target->index, key) == NULL &&
            hfc_index_find(v->published, key) == NULL)
            verify_found(v, VERIFY_BAD, key, "is missing, though %s names it", g->tree_key);
    }
}

/* It was read whole already; so it is not read again like other objects. */
static void check_tree_hash(struct verify *v, const struct group *g)
{
    const struct expected e = by_index(v, g->tree_key);
    char is[HFC_HEX_MAX], should[HFC_HEX_MAX];

    v->counts.read += g->tree.size;
    if (!e.meta.has_sha256) {
        v->counts.unknown++;
    } else if (memcmp(e.meta.sha256, g->tree.sha256, HFC_SHA256_SIZE) == 0) {
        v->counts.verified++;
    } else {
        hfc_hex(g->tree.sha256, HFC_SHA256_SIZE, is);
        hfc_hex(e.meta.sha256, HFC_SHA256_SIZE, should);
        verify_found(v, VERIFY_BAD, g->tree_key, "SHA-256 is %s, expected %s (by the index)", is,
                     should);
    }
}

/* Reads the tree of the snapshot, if there is one. */
static int enter_group(struct verify *v, struct group *g, const struct key_parts *k,
                       struct hfc_error *err)
{
    struct hfc_error why = {0};

    leave_group(g);
    g->prefix = key_of_files(k->folder, k->nfolder, k->commit, k->ncommit);
    g->tree_key = key_of_tree(k->folder, k->nfolder, k->commit, k->ncommit);
    if (hfc_index_find(v->in->target->index, g->tree_key) == NULL)
        return 0;
    if (bucket_tree_read(v->in, g->tree_key, &g->tree, &why) == 0) {
        check_tree_hash(v, g);
        check_tree_files(v, g);
        return 0;
    }
    if (hfc_loop_stopped(v->in->loop)) {
        *err = why;
        return -1;
    }
    verify_found(v, why.errnum == EBADMSG ? VERIFY_BAD : VERIFY_FAIL, g->tree_key, "%s", why.msg);
    return 0;
}

static bool is_entered(const struct group *g, const char *key)
{
    return g->prefix != NULL && strncmp(g->prefix, key, strlen(g->prefix)) == 0;
}

/* A tree was read together with the files of its snapshot. If there are none, it is now. */
static int check_tree(struct verify *v, struct group *g, const struct key_parts *k,
                      struct hfc_error *err)
{
    hfc_autofree char *prefix = key_of_files(k->folder, k->nfolder, k->commit, k->ncommit);

    return key_any(v->in->target->index, prefix) ? 0 : enter_group(v, g, k, err);
}

/* Files. */

/* Whether nothing speaks against both being of the same content. */
static bool same_digests(const struct hfc_meta *a, const struct content_id *b)
{
    if (b->lfs)
        return !a->has_sha256 || memcmp(a->sha256, b->sha256, HFC_SHA256_SIZE) == 0;
    return !a->has_git_sha1 || memcmp(a->git_sha1, b->git_sha1, HFC_SHA1_SIZE) == 0;
}

/* Adds what the tree says. False: the two contradict each other, which is told. */
static bool add_tree(struct verify *v, const struct group *g, const char *key, const char *path,
                     struct expected *e)
{
    struct content_id id;
    bool has_hash;

    if (g->tree.files == NULL || !bucket_tree_find(&g->tree, path, &id, &has_hash))
        return true;
    if ((e->has_size && e->size != id.size) || (has_hash && !same_digests(&e->meta, &id))) {
        verify_found(v, VERIFY_BAD, key, "the index and %s say different things of it",
                     g->tree_key);
        return false;
    }
    if (!e->has_size)
        *e = (struct expected){
            .has_size = true, .size = id.size, .meta = e->meta, .by = "the snapshot's tree"};
    if (has_hash && id.lfs) {
        e->meta.has_sha256 = true;
        memcpy(e->meta.sha256, id.sha256, sizeof(id.sha256));
    } else if (has_hash) {
        e->meta.has_git_sha1 = true;
        memcpy(e->meta.git_sha1, id.git_sha1, sizeof(id.git_sha1));
    }
    return true;
}

/* The first file of a snapshot brings its tree with it. */
static int check_file(struct verify *v, struct group *g, const struct hfc_entry *e,
                      const struct key_parts *k, struct hfc_error *err)
{
    if (!is_entered(g, e->key) && enter_group(v, g, k, err) < 0)
        return -1;
    struct expected expected = by_index(v, e->key);
    if (!add_tree(v, g, e->key, k->rest, &expected))
        return 0;
    return verify_object(v, e, &expected, err);
}

/* Refs. */

/* A ref to nothing makes clients call the whole repository broken. */
static void check_named(struct verify *v, const char *key, const struct key_parts *k,
                        const char *commit)
{
    hfc_autofree char *prefix = key_of_files(k->folder, k->nfolder, commit, strlen(commit));

    if (!key_any(v->in->target->index, prefix))
        verify_found(v, VERIFY_BAD, key, "names %s, of which there are no files", commit);
}

/* Its content is known from opening the bucket, or from the index if the ETag fits; it is read
 * again like everything else. */
static int check_ref(struct verify *v, const struct hfc_entry *e, const struct key_parts *k,
                     struct hfc_error *err)
{
    const struct hfc_entry *promised = hfc_index_find(v->published, e->key);
    struct expected expected = {.by = "the ref's commit"};

    if (e->commit[0] == '\0') {
        verify_found(v, VERIFY_BAD, e->key,
                     "is not the name of a commit: %llu bytes, expected 40 lower-case hex digits "
                     "and nothing "
                     "else",
                     (unsigned long long)e->size);
        return 0;
    }
    check_named(v, e->key, k, e->commit);
    if (promised != NULL && strcmp(promised->commit, e->commit) != 0)
        verify_found(v, VERIFY_NOTE, e->key,
                     "names %s, the index says %s: the next sync settles it", e->commit,
                     promised->commit[0] != '\0' ? promised->commit : "something else");
    expected.meta.has_sha256 = true;
    hfc_hash_of(HFC_SHA256, e->commit, strlen(e->commit), expected.meta.sha256);
    return verify_object(v, e, &expected, err);
}

/* The walks. */

static int check_entry(struct verify *v, struct group *g, const struct hfc_entry *e,
                       const struct key_parts *k, struct hfc_error *err)
{
    const struct expected expected = by_index(v, e->key);

    switch (k->kind) {
    case KEY_FILE:
        return check_file(v, g, e, k, err);
    case KEY_TREE:
        return check_tree(v, g, k, err);
    case KEY_REF:
        return check_ref(v, e, k, err);
    default:
        return verify_object(v, e, &expected, err);
    }
}

/* In the order of their keys, so that the files of a snapshot follow each other. */
static int walk_objects(struct verify *v, struct hfc_error *err)
{
    const struct hfc_index *x = v->in->target->index;
    struct group g = {0};
    int rc = 0;

    for (size_t i = 0; i < hfc_index_count(x) && rc == 0; i++) {
        const struct hfc_entry *e = hfc_index_at(x, i);
        const struct key_parts k = key_split(e->key);
        if (!is_chosen(v, &k))
            continue;
        v->counts.objects++;
        v->counts.bytes += e->size;
        rc = check_entry(v, &g, e, &k, err);
    }
    leave_group(&g);
    return rc;
}

/* The ref objects are put after the index. */
static void walk_published(struct verify *v)
{
    for (size_t i = 0; i < hfc_index_count(v->published); i++) {
        const struct hfc_entry *e = hfc_index_at(v->published, i);
        const struct key_parts k = key_split(e->key);
        if (!is_chosen(v, &k))
            continue;
        const struct hfc_entry *now = hfc_index_find(v->in->target->index, e->key);
        if (e->commit[0] != '\0' && (now == NULL || strcmp(now->commit, e->commit) != 0))
            check_named(v, e->key, &k, e->commit);
        if (now != NULL)
            continue;
        if (e->commit[0] != '\0')
            verify_found(v, VERIFY_NOTE, e->key, "is in the index only: the next sync puts it");
        else
            verify_found(v, VERIFY_BAD, e->key, "is missing, though the index names it");
    }
}

/* A line says that the snapshot is complete. */
static void walk_snapshots(struct verify *v)
{
    for (size_t i = 0; i < hfc_index_snapshots(v->published); i++) {
        const struct hfc_snapshot *s = hfc_index_snapshot_at(v->published, i);
        size_t nrepo = strlen(s->repo), ncommit = strlen(s->commit);
        hfc_autofree char *prefix = key_of_files(s->repo, nrepo, s->commit, ncommit);
        hfc_autofree char *tree = key_of_tree(s->repo, nrepo, s->commit, ncommit);
        if (!selection_has(v->models, s->repo, nrepo))
            continue;
        if (!key_any(v->in->target->index, prefix) && !key_any(v->published, prefix))
            verify_found(v, VERIFY_BAD, prefix, "is complete by the index, but there are no files");
        if (hfc_index_find(v->in->target->index, tree) == NULL &&
            hfc_index_find(v->published, tree) == NULL)
            verify_found(v, VERIFY_BAD, tree,
                         "is missing, though the index calls its snapshot "
                         "complete");
    }
}

/* For the progress. */
static void sum_up(struct verify *v)
{
    const struct hfc_index *x = v->in->target->index;

    for (size_t i = 0; i < hfc_index_count(x); i++) {
        const struct hfc_entry *e = hfc_index_at(x, i);
        const struct key_parts k = key_split(e->key);
        v->total += is_chosen(v, &k) ? e->size : 0;
    }
}

int verify_run(struct verify *v, unsigned jobs, struct hfc_error *err)
{
    assert(jobs >= 1 && jobs <= INSPECTION_JOBS_MAX && v->say != NULL);
    pool_init(&v->pool, v->in->loop, jobs);
    if (inspection_published(v->in, &v->published, err) < 0)
        return -1;
    sum_up(v);
    int rc = walk_objects(v, err);
    if (pool_drain(&v->pool, rc == 0 ? err : NULL) < 0 || rc < 0)
        return -1;
    walk_published(v);
    walk_snapshots(v);
    return 0;
}
