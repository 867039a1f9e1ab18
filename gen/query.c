/* query.c: the queries; see query.h. Values of unexpected shapes are answered as Python would have
 * answered, because that is what the scripts were written against. */
#include "query.h"

#include <assert.h>
#include <string.h>

#include "utf8.h"

/* Ends a query without an answer. `fmt` holds one %s; passed on like this, the compiler cannot see
 * that it is a literal. */
static enum query_result no(struct hfc_error *err, const char *fmt, const char *what)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)hfc_error_set(err, 0, fmt, what);
#pragma GCC diagnostic pop
    return QUERY_NO;
}

bool query_each(const struct ynode *n, void (*fn)(void *ctx, const struct ynode *item), void *ctx)
{
    switch (n->type) {
    case Y_SEQ:
        for (uint32_t i = 0; i < n->n; i++)
            fn(ctx, n->items[i]);
        return true;
    case Y_MAP:
    case Y_SET:
        for (uint32_t i = 0; i < n->n; i++)
            fn(ctx, n->entries[i].key);
        return true;
    case Y_STR:
        for (uint32_t i = 0; i < n->n;) {
            /* A node for one character, on the stack: `fn` must not keep it. */
            char one[5] = {0};
            uint32_t c;
            size_t len = utf8_next(n->text + i, n->n - i, &c);
            assert(c != UTF8_BAD);
            memcpy(one, n->text + i, len);
            const struct ynode item = {.type = Y_STR, .text = one, .n = (uint32_t)len};
            fn(ctx, &item);
            i += (uint32_t)len;
        }
        return true;
    default:
        return false;
    }
}

static void print_line(void *ctx, const struct ynode *item)
{
    ynode_str(item, ctx);
    hfc_buf_char(ctx, '\n');
}

/* A missing key counts as an empty mapping. A null or a list is left to the caller, for whom it may
 * still be something that can be looped over. */
static const struct ynode *clusters_of(const struct ynode *root, struct hfc_error *err)
{
    static const struct ynode none = {.type = Y_MAP};

    if (root->type != Y_MAP) {
        (void)no(err, "%s", "clusters.yaml is not a mapping");
        return NULL;
    }
    const struct ynode *clusters = ynode_get(root, "clusters");
    return clusters != NULL ? clusters : &none;
}

/* In the order of the file, which is the order in which scripts then work through the clusters. */
enum query_result query_list(const struct ynode *root, struct hfc_buf *out, struct hfc_error *err)
{
    const struct ynode *clusters = clusters_of(root, err);

    if (clusters == NULL)
        return QUERY_NO;
    if (!query_each(clusters, print_line, out))
        return no(err, "%s", "'clusters' is not a mapping");
    return QUERY_OK;
}

/* One step of a path; the part is not terminated. */
static const struct ynode *step(const struct ynode *n, const char *part, size_t len)
{
    if (n == NULL || n->type != Y_MAP)
        return NULL;
    for (uint32_t i = 0; i < n->n; i++) {
        const struct ynode *key = n->entries[i].key;
        if (key->type == Y_STR && key->n == len && memcmp(key->text, part, len) == 0)
            return n->entries[i].value;
    }
    return NULL;
}

/* Walks both sides at once and chooses at the end. So a null anywhere on the cluster's side means
 * the default, while a mapping is answered as it is and never merged with the default one. */
const struct ynode *query_path(const struct ynode *cluster, const struct ynode *defaults,
                               const char *path)
{
    for (;;) {
        size_t n = strcspn(path, ".");
        cluster = step(cluster, path, n);
        defaults = step(defaults, path, n);
        if (path[n] == '\0')
            return ynode_is_null(cluster) ? defaults : cluster;
        path += n + 1;
    }
}

struct joiner {
    struct hfc_buf *out;
    const char *separator;
    bool first, text_only, ok;
};

static void join_item(void *ctx, const struct ynode *item)
{
    struct joiner *j = ctx;

    if (j->text_only && item->type != Y_STR)
        j->ok = false;
    if (!j->first)
        hfc_buf_str(j->out, j->separator);
    j->first = false;
    ynode_str(item, j->out);
}

/* Python's "SEP".join(value): only of text. Nothing is printed when it fails. */
static bool join(const struct ynode *n, const char *separator, bool text_only, struct hfc_buf *out)
{
    struct joiner j = {out, separator, true, text_only, true};
    size_t before = out->len;

    if (!query_each(n, join_item, &j) || !j.ok) {
        if (out->len > before)
            out->data[out->len = before] = '\0';
        return false;
    }
    return true;
}

/* A list of tuples prints each of them as Python does. */
static void join_pairs(const struct ynode *n, struct hfc_buf *out)
{
    for (uint32_t i = 0; i < n->n; i++) {
        hfc_buf_str(out, i > 0 ? ",(" : "(");
        ynode_repr(n->entries[i].key, out);
        hfc_buf_str(out, ", ");
        ynode_repr(n->entries[i].value, out);
        hfc_buf_char(out, ')');
    }
}

/* A boolean is printed for shell and Terraform; those inside a list stay True and False, as Python
 * prints them, since that is what scripts have been getting. */
static enum query_result answer_value(const struct ynode *n, struct hfc_buf *out)
{
    if (n->type == Y_BOOL)
        hfc_buf_str(out, n->boolean ? "true" : "false");
    else if (n->type == Y_SEQ)
        (void)join(n, ",", false, out);
    else if (n->type == Y_PAIRS)
        join_pairs(n, out);
    else
        ynode_str(n, out);
    hfc_buf_char(out, '\n');
    return QUERY_OK;
}

/* Only null is no answer: 0, false and empty collections beat the default argument. That may be
 * empty too and gives an empty line, by which scripts ask without failing. */
static enum query_result answer_path(const struct ynode *cluster, const struct ynode *defaults,
                                     const struct query *q, struct hfc_buf *out,
                                     struct hfc_error *err)
{
    const struct ynode *n = query_path(cluster, defaults, q->what);

    if (!ynode_is_null(n))
        return answer_value(n, out);
    if (q->extra == NULL)
        return no(err, "field '%s' not found", q->what);
    hfc_buf_str(out, q->extra);
    hfc_buf_char(out, '\n');
    return QUERY_OK;
}

/* A key that the cluster itself must have. */
static enum query_result answer_own(const struct ynode *cluster, const char *key,
                                    struct hfc_buf *out, struct hfc_error *err)
{
    const struct ynode *n = ynode_get(cluster, key);

    if (n == NULL)
        return no(err, "the cluster has no key '%s'", key);
    print_line(out, n);
    return QUERY_OK;
}

struct finder {
    const char *text;
    bool found;
};

static void find_item(void *ctx, const struct ynode *item)
{
    struct finder *f = ctx;

    f->found |= ynode_is_text(item, f->text);
}

/* Asked in a shell's `if`, so a plain no comes without a message. A text is searched as Python's
 * `in` does; `lint` refuses such a file. */
static enum query_result has_module(const struct ynode *cluster, const char *module,
                                    struct hfc_error *err)
{
    const struct ynode *modules = ynode_get(cluster, "modules");
    struct finder f = {module != NULL ? module : "", false};

    if (modules == NULL)
        return QUERY_NO;
    if (modules->type == Y_STR)
        return strstr(modules->text, f.text) != NULL ? QUERY_OK : QUERY_NO;
    if (!query_each(modules, find_item, &f))
        return no(err, "%s", "'modules' is not a list");
    return f.found ? QUERY_OK : QUERY_NO;
}

/* Prints nothing at all for no modules: an empty line would be one module with an empty name to
 * whoever reads line by line. */
static enum query_result list_modules(const struct ynode *cluster, struct hfc_buf *out,
                                      struct hfc_error *err)
{
    const struct ynode *modules = ynode_get(cluster, "modules");

    if (modules != NULL && !query_each(modules, print_line, out))
        return no(err, "%s", "'modules' is not a list");
    return QUERY_OK;
}

/* Always one line, be it empty: scripts put it into an environment variable for the node pool
 * generator. */
static enum query_result enabled_modules(const struct ynode *cluster, struct hfc_buf *out,
                                         struct hfc_error *err)
{
    const struct ynode *modules = ynode_get(cluster, "modules");

    if (ynode_truthy(modules) && !join(modules, " ", true, out))
        return no(err, "%s", "'modules' is not a list of text");
    hfc_buf_char(out, '\n');
    return QUERY_OK;
}

/* Only a missing key has the fallback; an explicit null is printed. */
static enum query_result state_bucket(const struct ynode *cluster, const char *id,
                                      struct hfc_buf *out)
{
    const struct ynode *n = ynode_get(cluster, "state_bucket");

    if (n != NULL)
        print_line(out, n);
    else
        hfc_buf_printf(out, "ciforge-tfstate-%s\n", id);
    return QUERY_OK;
}

/* A command hides a key of the same name. A path may be asked even of a cluster that is not a
 * mapping, because the defaults can answer it; a command may not. */
static enum query_result answer(const struct ynode *cluster, const struct ynode *defaults,
                                const struct query *q, struct hfc_buf *out, struct hfc_error *err)
{
    static const char *const commands[] = {"tfvars", "has-module",   "enabled-modules", "modules",
                                           "region", "cluster_name", "state_bucket",    NULL};
    size_t which = 0;

    assert(q->what != NULL);
    while (commands[which] != NULL && strcmp(commands[which], q->what) != 0)
        which++;
    if (commands[which] == NULL)
        return answer_path(cluster, defaults, q, out, err);
    if (cluster->type != Y_MAP)
        return no(err, "cluster '%s' is not a mapping", q->cluster);
    switch (which) {
    case 0:
        return query_tfvars(cluster, defaults, out, err);
    case 1:
        return has_module(cluster, q->extra, err);
    case 2:
        return enabled_modules(cluster, out, err);
    case 3:
        return list_modules(cluster, out, err);
    case 6:
        return state_bucket(cluster, q->cluster, out);
    default:
        return answer_own(cluster, q->what, out, err);
    }
}

/* The list of known ids is cut where the message would be. */
static enum query_result unknown(const struct ynode *clusters, const char *id,
                                 struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf known = HFC_BUF(HFC_ERROR_MAX);

    (void)join(clusters, ", ", false, &known);
    (void)hfc_error_set(err, 0, "unknown cluster '%s'; known: %s", id, known.data);
    return QUERY_NO;
}

enum query_result query_answer(const struct ynode *root, const struct query *q, struct hfc_buf *out,
                               struct hfc_error *err)
{
    const struct ynode *clusters = clusters_of(root, err);
    struct query full = *q;

    if (clusters == NULL)
        return QUERY_NO;
    const struct ynode *cluster = ynode_get(clusters, q->cluster);
    if (cluster == NULL)
        return unknown(clusters, q->cluster, err);
    if (full.what == NULL)
        full.what = "cluster_name";
    return answer(cluster, ynode_get(root, "defaults"), &full, out, err);
}
