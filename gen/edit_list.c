/* edit_list.c: a cluster's `modules` list in the text of clusters.yaml, and the comparison of two
 * documents; used by edit.c and the two styles.
 *
 * The tree of ynode.h tells where a value starts, not where it ends. Ends come from a second pass
 * of libyaml's parser over the same text, which stops at the end of the list.
 */
#include <assert.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#include "edit_internal.h"

/* Modules that have to be deployed before others, so they stand before them in a list. `before`
 * also means names that start with it and a dash. */
static const struct {
    const char *module, *before;
} must_precede[] = {
    {"hf-cache", "nodepools"},
};

/* NULL if the text would be larger than any input may be. */
const struct source *edit_splice(struct arena *a, const struct source *src, size_t from, size_t to,
                                 const char *text)
{
    size_t n = strlen(text), len = src->len - (to - from) + n;

    assert(from <= to && to <= src->len);
    if (len > SOURCE_MAX)
        return NULL;
    hfc_autobuf struct hfc_buf all = HFC_BUF(SOURCE_MAX);
    hfc_buf_add(&all, src->text, from);
    hfc_buf_str(&all, text);
    hfc_buf_add(&all, src->text + to, src->len - to);
    return source_from_text(a, src->path, all.data, all.len);
}

uint32_t edit_line_of(const struct source *src, size_t offset)
{
    uint32_t low = 1, high = source_lines(src);

    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        if (source_line_start(src, middle) <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

uint32_t edit_list_count(const struct edit_list *list, const char *module)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < list->n; i++)
        count += ynode_is_text(list->items[i].node, module);
    return count;
}

/* `nodepools` and `nodepools-h100`, but not `nodepoolsx`. */
static bool belongs_to(const struct ynode *item, const char *base)
{
    size_t n = strlen(base);

    return item->type == Y_STR && item->n >= n && memcmp(item->text, base, n) == 0 &&
           (item->n == n || item->text[n] == '-');
}

uint32_t edit_list_place(const struct edit_list *list, const char *module)
{
    for (size_t r = 0; r < sizeof(must_precede) / sizeof(must_precede[0]); r++) {
        if (strcmp(must_precede[r].module, module) != 0)
            continue;
        for (uint32_t i = 0; i < list->n; i++)
            if (belongs_to(list->items[i].node, must_precede[r].before))
                return i;
    }
    return list->n;
}

/* The pass over the text: `depth` counts collections open below a list, -1 outside of lists. */
struct scan {
    struct edit_list *list;
    int depth;
    uint32_t items;
};

/* libyaml does not count a byte order mark as a column. */
static struct srcpos mark_pos(const struct source *src, yaml_mark_t mark)
{
    bool bom = mark.line == 0 && src->len >= 3 && memcmp(src->text, "\xef\xbb\xbf", 3) == 0;

    return (struct srcpos){src, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1 + bom};
}

/* By line and column, not by the mark's index, which counts characters. */
static size_t mark_offset(const struct source *src, yaml_mark_t mark)
{
    struct srcpos pos = mark_pos(src, mark);

    return source_offset(src, pos.line, pos.col);
}

/* By how much an event changes the depth. */
static int nesting(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return 1;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return -1;
    default:
        return 0;
    }
}

/* Whether the event starts before the list does or with it. A list's event starts with its anchor
 * or tag, the node behind them. */
static bool not_after_list(const struct edit_list *list, const yaml_event_t *event)
{
    struct srcpos pos = mark_pos(list->src, event->start_mark);

    return pos.line < list->node->line ||
           (pos.line == list->node->line && pos.col <= list->node->col);
}

/* Takes one event; false when the list is complete. Ours is the last list that starts where it may;
 * until that is seen, every one is taken for ours. */
static bool scan_event(struct scan *s, const yaml_event_t *event)
{
    struct edit_list *list = s->list;
    bool early = not_after_list(list, event);
    int step = nesting(event);

    if (early && event->type == YAML_SEQUENCE_START_EVENT) {
        s->depth = 0;
        s->items = 0;
        return true;
    }
    if (s->depth < 0)
        return true;
    if (s->depth == 0 && step < 0) {
        s->depth = -1;
        return early;
    }
    if (s->depth == 0 && s->items < list->n)
        list->items[s->items].start = mark_offset(list->src, event->start_mark);
    s->depth += step;
    if (s->depth == 0 && s->items < list->n)
        list->items[s->items++].end = mark_offset(list->src, event->end_mark);
    return true;
}

/* The document has been parsed before, so neither an error nor its end can come before the list
 * is complete. */
static void scan_items(struct edit_list *list)
{
    struct scan s = {.list = list, .depth = -1};
    yaml_parser_t parser;
    yaml_event_t event;
    bool more = true;

    int rc = yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)list->src->text, list->src->len);
    while (rc == 1 && more) {
        rc = yaml_parser_parse(&parser, &event);
        assert(rc == 1 && event.type != YAML_STREAM_END_EVENT);
        more = scan_event(&s, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    assert(s.items == list->n);
}

static int refuse(struct srcpos *at, struct srcpos place, struct hfc_error *err,
                  const char *cluster, const char *why)
{
    *at = place;
    return hfc_error_set(err, 0, "cluster '%s': %s", cluster, why);
}

/* The map entry of the list, or NULL with the reason told. */
static const struct yentry *find_entry(const struct ydoc *doc, const char *cluster,
                                       struct srcpos *at, struct hfc_error *err)
{
    const struct ynode *clusters = ynode_get(doc->root, "clusters");
    const struct ynode *map = ynode_get(clusters, cluster);

    if (map == NULL || map->type != Y_MAP) {
        struct srcpos place = clusters != NULL ? ynode_pos(clusters) : srcpos_file(doc->src);
        (void)refuse(at, map != NULL ? ynode_pos(map) : place, err, cluster,
                     map != NULL ? "is not a mapping" : "is not in the file");
        return NULL;
    }
    const struct yentry *entry = ynode_entry(map, "modules");
    if (entry == NULL)
        (void)refuse(at, ynode_pos(map), err, cluster,
                     "has no `modules` list; add one by hand first");
    /* An edit would change every cluster that shares the list. */
    else if (entry->key->aliased || entry->value->aliased)
        (void)refuse(at, ynode_pos(entry->value), err, cluster,
                     "its `modules` list is shared through an anchor or `<<`; give the cluster a "
                     "list of its own or edit the shared one by hand");
    else if (entry->value->type != Y_SEQ)
        (void)refuse(at, ynode_pos(entry->value), err, cluster,
                     "`modules` is not a list; make it one by hand first");
    else
        return entry;
    return NULL;
}

int edit_list_find(struct arena *a, const struct ydoc *doc, const char *cluster,
                   struct edit_list *list, struct srcpos *at, struct hfc_error *err)
{
    const struct yentry *entry = find_entry(doc, cluster, at, err);

    if (entry == NULL)
        return -1;
    /* Set on success too: what goes wrong later is about this list. */
    *at = ynode_pos(entry->value);
    *list = (struct edit_list){.src = doc->src, .node = entry->value, .n = entry->value->n};
    list->key_line = entry->key->line;
    list->items = arena_array_of(a, struct edit_item, list->n);
    for (uint32_t i = 0; i < list->n; i++)
        list->items[i].node = list->node->items[i];
    scan_items(list);
    return 0;
}

/* A comparison of two trees. Aliases share nodes, so a small text can stand for a huge or an
 * endless tree: both the steps and the depth are bounded. */
struct comparison {
    const struct ynode *list; /* the list that may differ, in the first tree */
    const char *module;       /* in this item */
    size_t steps;
    int list_seen;
};

enum { COMPARE_DEPTH_MAX = 1000, COMPARE_STEPS_PER_BYTE = 16, COMPARE_STEPS_MIN = 1000 };

static bool same_node(struct comparison *c, const struct ynode *x, const struct ynode *y,
                      int depth);

static bool same_items(struct comparison *c, const struct ynode *x, const struct ynode *y,
                       int depth)
{
    if (x->n != y->n)
        return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (!same_node(c, x->items[i], y->items[i], depth + 1))
            return false;
    return true;
}

/* The list itself: the same items in the same order once the module is left out. */
static bool same_list(struct comparison *c, const struct ynode *x, const struct ynode *y, int depth)
{
    uint32_t i = 0, j = 0;

    for (;;) {
        while (i < x->n && ynode_is_text(x->items[i], c->module))
            i++;
        while (j < y->n && ynode_is_text(y->items[j], c->module))
            j++;
        if (i == x->n || j == y->n)
            return i == x->n && j == y->n;
        if (!same_node(c, x->items[i++], y->items[j++], depth + 1))
            return false;
    }
}

static bool same_entries(struct comparison *c, const struct ynode *x, const struct ynode *y,
                         int depth)
{
    if (x->n != y->n)
        return false;
    for (uint32_t i = 0; i < x->n; i++)
        if (!same_node(c, x->entries[i].key, y->entries[i].key, depth + 1) ||
            !same_node(c, x->entries[i].value, y->entries[i].value, depth + 1))
            return false;
    return true;
}

/* NaN equals NaN here, or a file that holds one could never be edited. Numbers and dates compare by
 * their text, which the reader has made uniform. */
static bool same_value(struct comparison *c, const struct ynode *x, const struct ynode *y,
                       int depth)
{
    switch ((enum ytype)x->type) {
    case Y_NULL:
        return true;
    case Y_BOOL:
        return x->boolean == y->boolean;
    case Y_FLOAT:
        return x->number == y->number || (isnan(x->number) && isnan(y->number));
    case Y_SEQ:
        return same_items(c, x, y, depth);
    case Y_MAP:
    case Y_SET:
    case Y_PAIRS:
        return same_entries(c, x, y, depth);
    default:
        return x->n == y->n && memcmp(x->text, y->text, x->n) == 0;
    }
}

static bool same_node(struct comparison *c, const struct ynode *x, const struct ynode *y, int depth)
{
    if (c->steps == 0 || depth > COMPARE_DEPTH_MAX || x->type != y->type)
        return false;
    c->steps--;
    if (x != c->list)
        return same_value(c, x, y, depth);
    /* Reached again, it is another cluster's list too. */
    c->list_seen++;
    return c->list_seen == 1 && same_list(c, x, y, depth);
}

/* The steps allowed grow with the file: plenty for a tree as large as its text, too few for a bomb,
 * and then the edit is refused. */
bool edit_same_otherwise(const struct ydoc *before, const struct ydoc *after, const char *cluster,
                         const char *module)
{
    const struct ynode *map = ynode_get(ynode_get(before->root, "clusters"), cluster);
    struct comparison c = {.list = ynode_get(map, "modules"), .module = module};

    c.steps = COMPARE_STEPS_MIN + COMPARE_STEPS_PER_BYTE * before->src->len;
    assert(c.list != NULL);
    return same_node(&c, before->root, after->root, 0);
}
