/* inventory.c: an index by repositories and snapshots; see inventory.h.
 *
 * Keys come from anybody who can write to the bucket. What does not look like a part of a snapshot
 * is left out of it, and so never deleted with it.
 */
#include "inventory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "need.h"

enum { TREE_SUFFIX = sizeof(".json") - 1 };

static bool starts(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* "COMMIT/PATH". A file that lies beside the commits is none of theirs. */
static void split_file(struct key_parts *k, const char *at)
{
    size_t n = strcspn(at, "/");

    if (n == 0 || at[n] == '\0')
        return;
    k->kind = KEY_FILE;
    k->commit = at;
    k->ncommit = n;
    k->rest = at + n + 1;
}

/* "COMMIT.json", and no folder. */
static void split_tree(struct key_parts *k, const char *at)
{
    size_t n = strlen(at);

    if (n <= TREE_SUFFIX || strcmp(at + n - TREE_SUFFIX, ".json") != 0 || strchr(at, '/') != NULL)
        return;
    k->kind = KEY_TREE;
    k->commit = at;
    k->ncommit = n - TREE_SUFFIX;
}

struct key_parts key_split(const char *key)
{
    struct key_parts k = {.kind = KEY_FOREIGN};

    k.nfolder = repo_folder(key, &k.folder);
    if (k.nfolder == 0)
        return k;
    const char *at = k.folder + k.nfolder + 1;
    k.kind = KEY_OTHER;
    if (starts(at, "snapshots/")) {
        split_file(&k, at + strlen("snapshots/"));
    } else if (starts(at, "trees/")) {
        split_tree(&k, at + strlen("trees/"));
    } else if (starts(at, "refs/") && at[strlen("refs/")] != '\0') {
        k.kind = KEY_REF;
        k.rest = at + strlen("refs/");
    }
    return k;
}

__attribute__((format(printf, 1, 2))) static char *format(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n >= 0 ? text : need(NULL);
}

char *key_of_files(const char *folder, size_t nfolder, const char *commit, size_t ncommit)
{
    assert(nfolder > 0 && ncommit > 0);
    return format("hub/%.*s/snapshots/%.*s/", (int)nfolder, folder, (int)ncommit, commit);
}

char *key_of_tree(const char *folder, size_t nfolder, const char *commit, size_t ncommit)
{
    assert(nfolder > 0 && ncommit > 0);
    return format("hub/%.*s/trees/%.*s.json", (int)nfolder, folder, (int)ncommit, commit);
}

char *key_join(const char *prefix, const char *path)
{
    return format("%s%s", prefix, path);
}

bool key_any(const struct hfc_index *x, const char *prefix)
{
    size_t i = hfc_index_seek(x, prefix);

    return i < hfc_index_count(x) && strncmp(hfc_index_at(x, i)->key, prefix, strlen(prefix)) == 0;
}

/* Makes room for one more item in an array whose length doubles. */
static void *grown(void *list, size_t n, size_t size)
{
    return (n & (n - 1)) == 0 ? need(reallocarray(list, n > 0 ? 2 * n : 1, size)) : list;
}

/* Hex is compared without regard to case: of two names for a commit neither must hide the other. */
static struct inventory_snapshot *snapshot_at(struct inventory_repo *r, const char *commit,
                                              size_t n)
{
    for (size_t i = r->nsnapshots; i-- > 0;)
        if (strlen(r->snapshots[i].commit) == n &&
            strncasecmp(r->snapshots[i].commit, commit, n) == 0)
            return &r->snapshots[i];
    r->snapshots = grown(r->snapshots, r->nsnapshots, sizeof(*r->snapshots));
    struct inventory_snapshot *s = &r->snapshots[r->nsnapshots++];
    *s = (struct inventory_snapshot){.commit = need_copy(commit, n)};
    return s;
}

/* A ref whose content could not be understood may name anything. */
static void add_ref(struct inventory_repo *r, const struct hfc_entry *e, const char *name)
{
    r->nrefs++;
    if (e->commit[0] == '\0') {
        free(r->broken_ref);
        r->broken_ref = need_copy(name, strlen(name));
        return;
    }
    struct inventory_snapshot *s = snapshot_at(r, e->commit, strlen(e->commit));
    s->refs = grown(s->refs, s->nrefs, sizeof(*s->refs));
    s->refs[s->nrefs++] = need_copy(name, strlen(name));
}

/* Blobs and the like count for nothing. */
static void add_entry(struct inventory_repo *r, const struct hfc_entry *e,
                      const struct key_parts *k)
{
    struct inventory_snapshot *s;

    switch (k->kind) {
    case KEY_FILE:
        s = snapshot_at(r, k->commit, k->ncommit);
        s->files++;
        s->bytes += e->size;
        break;
    case KEY_TREE:
        s = snapshot_at(r, k->commit, k->ncommit);
        s->has_tree = true;
        s->tree_bytes = e->size;
        break;
    case KEY_REF:
        add_ref(r, e, k->rest);
        break;
    default:
        break;
    }
}

/* The last one, or a new one: see inventory_take(). */
static struct inventory_repo *repo_at(struct inventory *inv, const struct key_parts *k)
{
    if (inv->nrepos > 0) {
        struct inventory_repo *last = &inv->repos[inv->nrepos - 1];
        if (strlen(last->folder) == k->nfolder && memcmp(last->folder, k->folder, k->nfolder) == 0)
            return last;
    }
    inv->repos = grown(inv->repos, inv->nrepos, sizeof(*inv->repos));
    struct inventory_repo *r = &inv->repos[inv->nrepos++];
    *r = (struct inventory_repo){.folder = need_copy(k->folder, k->nfolder)};
    return r;
}

static int by_commit(const void *a, const void *b)
{
    return strcmp(((const struct inventory_snapshot *)a)->commit,
                  ((const struct inventory_snapshot *)b)->commit);
}

/* The keys of an index are sorted, so those of a repository stand together, and its snapshots'. */
void inventory_take(const struct hfc_index *x, inventory_wants *wants, void *ctx,
                    struct inventory *out)
{
    *out = (struct inventory){0};
    for (size_t i = 0; i < hfc_index_count(x); i++) {
        const struct hfc_entry *e = hfc_index_at(x, i);
        struct key_parts k = key_split(e->key);
        if (k.kind == KEY_FOREIGN) {
            out->other_objects++;
            out->other_bytes += e->size;
        } else if (wants == NULL || wants(ctx, k.folder, k.nfolder)) {
            assert(k.nfolder > 0);
            add_entry(repo_at(out, &k), e, &k);
        }
    }
    for (size_t i = 0; i < out->nrepos; i++)
        if (out->repos[i].nsnapshots > 0)
            qsort(out->repos[i].snapshots, out->repos[i].nsnapshots,
                  sizeof(*out->repos[i].snapshots), by_commit);
}

static void free_snapshot(struct inventory_snapshot *s)
{
    for (size_t i = 0; i < s->nrefs; i++)
        free(s->refs[i]);
    free(s->refs);
    free(s->commit);
}

void inventory_free(struct inventory *inv)
{
    for (size_t i = 0; i < inv->nrepos; i++) {
        struct inventory_repo *r = &inv->repos[i];
        for (size_t s = 0; s < r->nsnapshots; s++)
            free_snapshot(&r->snapshots[s]);
        free(r->snapshots);
        free(r->broken_ref);
        free(r->folder);
    }
    free(inv->repos);
    *inv = (struct inventory){0};
}
