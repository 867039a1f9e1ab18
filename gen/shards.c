/* shards.c: peers of a cluster, computed once for each module; see shards.h. */
#include "shards.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

struct peer {
    const char *prefix, *cluster;
};

/* All clusters that deploy one module, sorted by prefix, then id. */
struct module_peers {
    struct module_peers *next;
    const char *module; /* "-opt" does not matter: same_base() */
    struct peer *peers;
    size_t n;
};

struct shards {
    struct module_peers *modules;
};

/* Length of a module's name without one "-opt" at its end. */
static size_t base_len(const char *module)
{
    size_t n = strlen(module);

    return n >= 4 && strcmp(module + n - 4, "-opt") == 0 ? n - 4 : n;
}

static bool same_base(const char *a, const char *b)
{
    size_t n = base_len(a);

    return n == base_len(b) && memcmp(a, b, n) == 0;
}

/* A list that is malformed is reported even of a cluster nobody generates: whether it is a peer
 * changes the share of all the others. */
static bool deploys(struct workspace *ws, const struct ynode *cluster, const char *module)
{
    const struct ynode *modules = ynode_get(cluster, "modules");
    bool found = false;

    if (!check_list_or_null(ws->diags, modules, "modules") || ynode_is_null(modules))
        return false;
    for (uint32_t i = 0; i < modules->n && !found; i++)
        if (check_type(ws->diags, modules->items[i], "a module's name", Y_STR))
            found = same_base(modules->items[i]->text, module);
    return found;
}

/* The prefix of the cluster's own block; NULL if it has one that no other can equal. */
static const char *own_prefix(struct workspace *ws, const struct ynode *cluster)
{
    const struct ynode *block = ynode_get(cluster, "arc-runners");

    if (!ynode_truthy(block))
        return "";
    if (!check_type(ws->diags, block, "arc-runners", Y_MAP))
        return NULL;
    const struct ynode *prefix = ynode_get(block, "runner_name_prefix");
    if (!ynode_truthy(prefix))
        return "";
    return prefix->type == Y_STR ? prefix->text : NULL;
}

/* By bytes: every cluster is rendered on its own, maybe on another machine, and they must agree on
 * who is first. */
static int by_prefix_and_id(const void *a, const void *b)
{
    const struct peer *x = a, *y = b;
    int order = strcmp(x->prefix, y->prefix);

    return order != 0 ? order : strcmp(x->cluster, y->cluster);
}

/* All clusters of the file, not those of this run: an index must not depend on what else is
 * generated, or two clusters would take the same share of the queue. */
static struct module_peers *collect(struct workspace *ws, const char *module)
{
    struct module_peers *m = arena_new_of(ws->arena, struct module_peers);

    m->module = arena_strdup(ws->arena, module);
    m->peers = arena_array_of(ws->arena, struct peer, ws->clusters->n);
    for (uint32_t i = 0; i < ws->clusters->n; i++) {
        const struct yentry *e = &ws->clusters->entries[i];
        if (!check_type(ws->diags, e->key, "a cluster's id", Y_STR) ||
            !check_type(ws->diags, e->value, e->key->text, Y_MAP))
            continue;
        const char *prefix = deploys(ws, e->value, module) ? own_prefix(ws, e->value) : NULL;
        if (prefix != NULL)
            m->peers[m->n++] = (struct peer){prefix, e->key->text};
    }
    qsort(m->peers, m->n, sizeof(m->peers[0]), by_prefix_and_id);
    return m;
}

/* Collected once for each module, as looking at every cluster for every cluster would be quadratic.
 */
static const struct module_peers *peers_of(struct workspace *ws, const char *module)
{
    if (ws->shards == NULL)
        ws->shards = arena_new_of(ws->arena, struct shards);
    struct module_peers *m = ws->shards->modules;
    while (m != NULL && !same_base(m->module, module))
        m = m->next;
    if (m == NULL) {
        m = collect(ws, module);
        m->next = ws->shards->modules;
        ws->shards->modules = m;
    }
    return m;
}

struct shard shards_find(struct workspace *ws, const char *cluster, const char *module,
                         const char *prefix)
{
    assert(ws->clusters != NULL);
    const struct module_peers *m = peers_of(ws, module);
    /* The prefix may come from the defaults, those of the peers never do: such a cluster does not
     * find itself and stays alone. */
    const struct peer self = {prefix, cluster};
    const struct peer *found =
        m->n > 0 ? bsearch(&self, m->peers, m->n, sizeof(self), by_prefix_and_id) : NULL;

    if (found == NULL)
        return (struct shard){0, 1};
    const struct peer *first = found, *end = found + 1;
    while (first > m->peers && strcmp(first[-1].prefix, prefix) == 0)
        first--;
    while (end < m->peers + m->n && strcmp(end->prefix, prefix) == 0)
        end++;
    return (struct shard){(size_t)(found - first), (size_t)(end - first)};
}
