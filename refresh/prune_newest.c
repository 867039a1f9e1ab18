/* prune_newest.c: which of the snapshots that nobody names are the newest; see prune.h.
 *
 * The index knows no times, the objects do. One object of each snapshot is asked.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "inventory.h"
#include "need.h"
#include "pool.h"
#include "prune.h"

enum { AT_ONCE = 8 };

struct asking;

struct age {
    struct asking *all;
    const struct prune_snapshot *snapshot;
    int64_t modified; /* seconds since 1970 */
};

struct asking {
    struct target *target;
    struct age *ages;
    size_t n;
    struct hfc_error error; /* the first one */
};

static void told(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct age *a = slot->user;

    if (err == NULL)
        a->modified = reply->object.modified;
    else if (a->all->error.msg[0] == '\0')
        a->all->error = *err;
    pool_give(slot);
}

/* The tree, which is put last; not everybody has one. */
static char *one_key(const struct asking *a, const struct prune_snapshot *s)
{
    const struct hfc_index *x = a->target->index;
    size_t nfolder = strlen(s->folder), ncommit = strlen(s->commit);

    hfc_autofree char *tree = key_of_tree(s->folder, nfolder, s->commit, ncommit);
    if (hfc_index_find(x, tree) != NULL)
        return hfc_steal_ptr(&tree);
    hfc_autofree char *prefix = key_of_files(s->folder, nfolder, s->commit, ncommit);
    assert(key_any(x, prefix)); /* or it would not be in the plan */
    const char *key = hfc_index_at(x, hfc_index_seek(x, prefix))->key;
    return need_copy(key, strlen(key));
}

/* Without all of the answers nobody can say which are the newest: any failure is one of all. */
static int ask(struct asking *a, const struct prune_plan *p, struct hfc_error *err)
{
    struct pool_slot *slot;
    struct pool pool;

    pool_init(&pool, a->target->loop, AT_ONCE);
    for (size_t i = 0; i < prune_snapshots(p); i++) {
        const struct prune_snapshot *s = prune_snapshot_at(p, i);
        if (s->kept != NULL)
            continue;
        if ((slot = pool_take(&pool, err)) == NULL)
            break;
        hfc_autofree char *key = one_key(a, s);
        a->ages[a->n] = (struct age){.all = a, .snapshot = s};
        slot->user = &a->ages[a->n++];
        (void)hfc_store_head(a->target->store, key, told, slot);
    }
    if (pool_drain(&pool, err) < 0)
        return -1;
    if (a->error.msg[0] == '\0')
        return 0;
    *err = a->error;
    return -1;
}

/* By repository, the newest first; equals in an order that is the same each time. */
static int by_age(const void *a, const void *b)
{
    const struct age *x = a, *y = b;
    int folder = strcmp(x->snapshot->folder, y->snapshot->folder);

    if (folder != 0)
        return folder;
    if (x->modified != y->modified)
        return x->modified > y->modified ? -1 : 1;
    return strcmp(x->snapshot->commit, y->snapshot->commit);
}

int prune_keep_newest(struct target *t, struct prune_plan *p, unsigned long n,
                      struct hfc_error *err)
{
    struct asking a = {.target = t};
    unsigned long rank = 0;

    a.ages = need(calloc(prune_snapshots(p) + 1, sizeof(*a.ages)));
    int rc = ask(&a, p, err);
    if (rc == 0)
        qsort(a.ages, a.n, sizeof(*a.ages), by_age);
    for (size_t i = 0; rc == 0 && i < a.n; i++) {
        const struct prune_snapshot *s = a.ages[i].snapshot;
        rank = i > 0 && strcmp(a.ages[i - 1].snapshot->folder, s->folder) == 0 ? rank + 1 : 1;
        if (rank <= n)
            prune_keep(p, s->folder, s->commit, "one of the newest");
    }
    free(a.ages);
    return rc;
}
