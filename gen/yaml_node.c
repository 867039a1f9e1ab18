/* yaml_node.c: questions to YAML nodes: lookups by key, types, truth, order of integers; see
 * ynode.h. Called by all of the generator.
 */
#include <assert.h>
#include <string.h>

#include "yaml_internal.h"

uint32_t yaml_hash(const char *bytes, size_t n)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619u;
    return hash ^ hash >> 15;
}

uint32_t yaml_slots(uint32_t n)
{
    uint32_t slots = 16;

    while (slots / 2 < n)
        slots *= 2;
    return slots;
}

/* Texts may hold NULs, so lengths are compared, not ends. */
static bool is_text(const struct ynode *n, const char *text, size_t len)
{
    return n->type == Y_STR && n->n == len && memcmp(n->text, text, len) == 0;
}

/* The table lies behind the entries; see yaml_build.c. */
static const struct yentry *indexed_entry(const struct ynode *map, const char *key, size_t len)
{
    const uint32_t *table = (const uint32_t *)(map->entries + map->n);
    uint32_t mask = yaml_slots(map->n) - 1;

    for (uint32_t slot = yaml_hash(key, len) & mask; table[slot] != 0; slot = (slot + 1) & mask)
        if (is_text(map->entries[table[slot] - 1].key, key, len))
            return &map->entries[table[slot] - 1];
    return NULL;
}

const struct yentry *ynode_entry(const struct ynode *map, const char *key)
{
    size_t len = strlen(key);

    if (map == NULL || map->type != Y_MAP)
        return NULL;
    if (map->n >= YAML_INDEXED_FROM)
        return indexed_entry(map, key, len);
    for (uint32_t i = 0; i < map->n; i++)
        if (is_text(map->entries[i].key, key, len))
            return &map->entries[i];
    return NULL;
}

const struct ynode *ynode_get(const struct ynode *map, const char *key)
{
    const struct yentry *entry = ynode_entry(map, key);

    return entry == NULL ? NULL : entry->value;
}

bool ynode_is_null(const struct ynode *n)
{
    return n == NULL || n->type == Y_NULL;
}

bool ynode_truthy(const struct ynode *n)
{
    if (n == NULL)
        return false;
    switch ((enum ytype)n->type) {
    case Y_NULL:
        return false;
    case Y_BOOL:
        return n->boolean;
    case Y_INT:
        return strcmp(n->text, "0") != 0;
    case Y_FLOAT:
        return n->number != 0; /* true for a NaN */
    case Y_DATE:
    case Y_DATETIME:
        return true;
    default:
        return n->n > 0;
    }
}

bool ynode_is_text(const struct ynode *n, const char *text)
{
    return n != NULL && is_text(n, text, strlen(text));
}

/* Canonical texts: the longer one is the larger number, signs apart. */
int ynode_int_cmp(const struct ynode *a, const struct ynode *b)
{
    assert(a->type == Y_INT && b->type == Y_INT);
    bool minus = *a->text == '-';
    if (minus != (*b->text == '-'))
        return minus ? -1 : 1;
    int order = a->n != b->n ? (a->n < b->n ? -1 : 1) : memcmp(a->text, b->text, a->n);
    return minus ? -order : order;
}

const char *ynode_type_name(const struct ynode *n)
{
    static const char *const names[] = {
        [Y_NULL] = "NoneType", [Y_BOOL] = "bool", [Y_INT] = "int",           [Y_FLOAT] = "float",
        [Y_STR] = "str",       [Y_DATE] = "date", [Y_DATETIME] = "datetime", [Y_BYTES] = "bytes",
        [Y_SEQ] = "list",      [Y_MAP] = "dict",  [Y_SET] = "set",           [Y_PAIRS] = "list",
    };

    return n == NULL ? names[Y_NULL] : names[n->type];
}

const struct ynode *ynode_new_str(struct arena *a, const char *text, const struct ynode *at)
{
    struct ynode *node = arena_new_of(a, struct ynode);

    if (at != NULL) {
        node->src = at->src;
        node->line = at->line;
        node->col = at->col;
    }
    node->type = Y_STR;
    node->text = arena_strdup(a, text);
    node->n = (uint32_t)strlen(text);
    return node;
}
