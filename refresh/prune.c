/* prune.c: deletes snapshots that no ref names; see prune.h.
 *
 * The order is that of docs/index-format.md, backwards from publishing: the index, the tree, the
 * files. If it is broken off, what is left is not named by anything, and found again by the next
 * listing.
 */
#include "prune.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "commands.h"
#include "inventory.h"
#include "need.h"
#include "pool.h"
#include "report_parts.h"

enum { DELETES_AT_ONCE = 8 };

struct prune_plan {
    struct prune_snapshot *list;
    size_t n;
};

/* Finding. */

static void add(struct prune_plan *p, const char *folder, const struct inventory_snapshot *s,
                const char *kept)
{
    if ((p->n & (p->n - 1)) == 0)
        p->list = need(reallocarray(p->list, p->n > 0 ? 2 * p->n : 1, sizeof(*p->list)));
    assert(s->nrefs == 0);
    p->list[p->n++] = (struct prune_snapshot){.folder = need_copy(folder, strlen(folder)),
                                              .commit = need_copy(s->commit, strlen(s->commit)),
                                              .objects = s->files + s->has_tree,
                                              .bytes = s->bytes + s->tree_bytes,
                                              .has_tree = s->has_tree,
                                              .kept = kept};
}

static bool is_folder(void *ctx, const char *folder, size_t n)
{
    const char *wanted = ctx;

    return wanted == NULL || (strlen(wanted) == n && memcmp(wanted, folder, n) == 0);
}

int prune_find(const struct target *t, const char *folder, bool unreferenced,
               struct prune_plan **out)
{
    struct prune_plan *p = need(calloc(1, sizeof(*p)));
    hfc_autofree char *wanted = folder != NULL ? need_copy(folder, strlen(folder)) : NULL;
    struct inventory inv;

    inventory_take(t->index, is_folder, wanted, &inv);
    for (size_t i = 0; i < inv.nrepos; i++) {
        const struct inventory_repo *r = &inv.repos[i];
        const char *kept = r->broken_ref != NULL            ? "a ref is not the name of a commit"
                           : r->nrefs == 0 && !unreferenced ? "no refs"
                                                            : NULL;
        for (size_t s = 0; s < r->nsnapshots; s++)
            if (r->snapshots[s].nrefs == 0)
                add(p, r->folder, &r->snapshots[s], kept);
    }
    inventory_free(&inv);
    *out = p;
    return 0;
}

size_t prune_snapshots(const struct prune_plan *p)
{
    return p->n;
}

const struct prune_snapshot *prune_snapshot_at(const struct prune_plan *p, size_t i)
{
    assert(i < p->n);
    return &p->list[i];
}

void prune_keep(struct prune_plan *p, const char *folder, const char *commit, const char *why)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->list[i].kept == NULL && strcmp(p->list[i].folder, folder) == 0 &&
            strcasecmp(p->list[i].commit, commit) == 0)
            p->list[i].kept = why;
}

uint64_t prune_count(const struct prune_plan *p)
{
    uint64_t count = 0;

    for (size_t i = 0; i < p->n; i++)
        count += p->list[i].kept == NULL ? p->list[i].objects : 0;
    return count;
}

uint64_t prune_bytes(const struct prune_plan *p)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < p->n; i++)
        bytes += p->list[i].kept == NULL ? p->list[i].bytes : 0;
    return bytes;
}

void prune_free(struct prune_plan *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++) {
        free(p->list[i].folder);
        free(p->list[i].commit);
    }
    free(p->list);
    free(p);
}

/* Running. */

struct pruning {
    struct target *target;
    struct pool pool;
    struct gather gather;
    struct hfc_buf trees, files; /* keys, each with its NUL */
    struct hfc_error error;      /* the first one */
    uint64_t deleted, failed;
    bool indexed;
};

/* One message stands for all; the number tells how many there were. */
static void note_error(struct pruning *w, const struct hfc_error *err)
{
    if (w->failed++ == 0)
        w->error = *err;
}

/* The keys of all files below the prefix. */
static void collect(struct pruning *w, const char *prefix, struct hfc_buf *keys)
{
    const struct hfc_index *x = w->target->index;
    size_t n = strlen(prefix);

    for (size_t i = hfc_index_seek(x, prefix); i < hfc_index_count(x); i++) {
        const char *key = hfc_index_at(x, i)->key;
        if (strncmp(key, prefix, n) != 0)
            break;
        hfc_buf_add(keys, key, strlen(key) + 1);
    }
}

/* Beforehand, while it can still be stopped. */
static void tell(const struct prune_snapshot *s, prune_say *say, void *ctx)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(HFC_ERROR_MAX);

    if (say == NULL)
        return;
    hfc_buf_str(&text, "deleting ");
    repo_name(s->folder, strlen(s->folder), &text);
    hfc_buf_printf(&text, " %s, which no ref names: %llu object%s, ", s->commit,
                   (unsigned long long)s->objects, s->objects == 1 ? "" : "s");
    report_add_size(&text, s->bytes);
    say(ctx, text.data);
}

/* The keys are kept apart before the index forgets them. */
static void forget(struct pruning *w, const struct prune_plan *p)
{
    const struct hfc_buf *lists[] = {&w->trees, &w->files};

    for (size_t i = 0; i < p->n; i++) {
        const struct prune_snapshot *s = &p->list[i];
        if (s->kept != NULL)
            continue;
        size_t nfolder = strlen(s->folder), ncommit = strlen(s->commit);
        hfc_autofree char *files = key_of_files(s->folder, nfolder, s->commit, ncommit);
        hfc_autofree char *tree = key_of_tree(s->folder, nfolder, s->commit, ncommit);
        if (hfc_index_find(w->target->index, tree) != NULL)
            hfc_buf_add(&w->trees, tree, strlen(tree) + 1);
        collect(w, files, &w->files);
        (void)hfc_index_remove_snapshot(w->target->index, s->folder, s->commit);
    }
    assert(!hfc_buf_failed(&w->trees) && !hfc_buf_failed(&w->files));
    for (size_t l = 0; l < HFC_ARRAY_LEN(lists); l++)
        for (const char *key = lists[l]->data; key < lists[l]->data + lists[l]->len;
             key += strlen(key) + 1)
            target_removed(w->target, key);
}

static void index_looked_for(void *ctx, const struct hfc_store_reply *reply,
                             const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct pruning *w = slot->user;

    (void)reply;
    w->indexed = err == NULL;
    if (err != NULL && err->errnum != ENOENT)
        note_error(w, err);
    pool_give(slot);
}

static void index_published(void *ctx, const struct hfc_store_reply *reply,
                            const struct hfc_error *err)
{
    struct pruning *w = ctx;

    (void)reply;
    if (err != NULL)
        note_error(w, err);
    gather_end(&w->gather);
}

/* A bucket that has no index gets none: readers would take it for all there is, while whoever fills
 * the bucket knows nothing of it. */
static int publish(struct pruning *w, struct hfc_error *err)
{
    struct pool_slot *slot = pool_take(&w->pool, err);

    if (slot != NULL) {
        slot->user = w;
        (void)hfc_store_head(w->target->store, HFC_INDEX_KEY, index_looked_for, slot);
    }
    if (pool_drain(&w->pool, err) < 0)
        return -1;
    if (w->indexed) {
        gather_begin(&w->gather);
        target_publish_index(w->target, index_published, w);
        if (gather_wait(w->target->loop, &w->gather, err) < 0)
            return -1;
    }
    if (w->failed == 0)
        return 0;
    *err = w->error;
    return hfc_error_prefix(err, "nothing was deleted, as the index could not be published");
}

static void deleted(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct pruning *w = slot->user;

    (void)reply;
    if (err != NULL) {
        note_error(w, err);
    } else {
        w->deleted++;
        w->target->pruned++;
    }
    pool_give(slot);
}

/* One that can't be deleted does not hold up the others. Without the lock nothing may go. */
static int delete_all(struct pruning *w, const struct hfc_buf *keys, struct hfc_error *err)
{
    struct pool_slot *slot = NULL;
    const char *end = keys->data + keys->len;

    for (const char *key = keys->data; key < end; key += strlen(key) + 1) {
        if (w->target->failed || (slot = pool_take(&w->pool, err)) == NULL)
            break;
        slot->user = w;
        (void)hfc_store_delete(w->target->store, key, deleted, slot);
    }
    if (pool_drain(&w->pool, err) < 0)
        return -1;
    if (!w->target->failed)
        return 0;
    *err = w->target->error;
    return -1;
}

int prune_run(struct target *t, struct prune_plan *p, prune_say *say, void *ctx,
              struct hfc_error *err)
{
    struct pruning w = {.target = t, .gather = GATHER};

    assert(t->lock != NULL);
    pool_init(&w.pool, t->loop, DELETES_AT_ONCE);
    hfc_buf_init(&w.trees, hfc_index_memory(t->index));
    hfc_buf_init(&w.files, hfc_index_memory(t->index));
    for (size_t i = 0; i < p->n; i++)
        if (p->list[i].kept == NULL)
            tell(&p->list[i], say, ctx);
    forget(&w, p);
    int rc = publish(&w, err);
    if (rc == 0)
        rc = delete_all(&w, &w.trees, err);
    if (rc == 0)
        rc = delete_all(&w, &w.files, err);
    if (rc == 0 && w.failed > 0) {
        unsigned long long failed = w.failed, all = w.failed + w.deleted;
        *err = w.error;
        rc = hfc_error_prefix(err, "%llu of %llu objects could not be deleted", failed, all);
    }
    hfc_buf_free(&w.trees);
    hfc_buf_free(&w.files);
    return rc;
}
