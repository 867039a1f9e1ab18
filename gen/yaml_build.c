/* yaml_build.c: constructs the values of a composed document as PyYAML's safe loader does: tags
 * against kinds of nodes, merges, keys that are equal in Python. Called by yaml_load.c.
 *
 * Each node is constructed once; aliases share it. A merge copies the entries of the other
 * mapping after its own merges, each key once, so that nested merges cannot multiply; the sum of
 * all copies is bounded by YAML_MERGED_MAX.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "yaml_internal.h"

/* The document being constructed. */
struct builder {
    struct yload *ld;
    struct ydup *dups;
    size_t ndups, dups_room;
    size_t merged; /* entries copied by merges so far */
    unsigned depth;
};

/* What a key is to a Python dict: equal keys have equal kinds and bytes. */
struct canon {
    char kind;
    const char *bytes;
    size_t n;
};

/* Entries of a map being collected, found by key in an open-addressing table. */
struct collect {
    struct raw_map map;
    struct canon *canons;
    uint32_t *hashes;
    uint32_t *table; /* entry number + 1, 0: free */
    uint32_t slots, room;
    uint32_t merged; /* entries before this one came by merges */
};

static struct ynode *build(struct builder *b, struct raw *raw);
static const struct raw_map *merge_map(struct builder *b, struct raw *raw);

struct ynode *yaml_node_at(struct yload *ld, const struct raw *at, enum ytype type)
{
    struct ynode *node = arena_new_of(ld->out, struct ynode);

    node->src = ld->src;
    node->line = at->line;
    node->col = at->col;
    node->type = (uint8_t)type;
    node->flow = at->flow;
    node->quoted = at->quoted;
    node->aliased = at->aliased;
    return node;
}

static struct canon canon_text(struct builder *b, char kind, const char *fmt, double number)
{
    char text[400];
    int n = snprintf(text, sizeof(text), fmt, number);

    assert(n > 0 && (size_t)n < sizeof(text));
    return (struct canon){kind, arena_strndup(b->ld->scratch, text, (size_t)n), (size_t)n};
}

/* Numbers are equal across int, float and bool. A NaN equals itself here, which is true in Python
 * of the one object that ".nan" always gives. */
static struct canon canon_float(struct builder *b, double value)
{
    if (isfinite(value) && value == floor(value))
        return canon_text(b, 'n', "%.0f", value == 0 ? 0.0 : value);
    return canon_text(b, 'f', isnan(value) ? "nan" : "%a", value);
}

/* Times that have a zone are equal if they are the same moment. */
static struct canon canon_datetime(struct builder *b, const struct ynode *key)
{
    struct ytime t;
    bool ok = yaml_time_parse(key->text, key->n, &t);

    assert(ok);
    (void)ok;
    if (!t.has_zone)
        return (struct canon){'t', key->text, key->n};
    struct tm tm = {.tm_year = t.year - 1900,
                    .tm_mon = t.month - 1,
                    .tm_mday = t.day,
                    .tm_hour = t.hour,
                    .tm_min = t.minute,
                    .tm_sec = t.second};
    char *text = arena_printf(b->ld->scratch, "%lld.%d", (long long)timegm(&tm) - t.zone, t.micro);
    return (struct canon){'z', text, strlen(text)};
}

static struct canon canon_of(struct builder *b, const struct ynode *key)
{
    switch ((enum ytype)key->type) {
    case Y_NULL:
        return (struct canon){'0', "", 0};
    case Y_BOOL:
        return (struct canon){'n', key->boolean ? "1" : "0", 1};
    case Y_INT:
        return (struct canon){'n', key->text, key->n};
    case Y_FLOAT:
        return canon_float(b, key->number);
    case Y_DATE:
        return (struct canon){'d', key->text, key->n};
    case Y_DATETIME:
        return canon_datetime(b, key);
    case Y_BYTES:
        return (struct canon){'b', key->text, key->n};
    default:
        assert(key->type == Y_STR);
        return (struct canon){'s', key->text, key->n};
    }
}

/* `room` bounds the entries, so the table never fills up and a search always ends. */
static struct collect collect_new(struct builder *b, uint32_t room)
{
    struct arena *a = b->ld->scratch;
    struct collect c = {.room = room, .slots = yaml_slots(room)};

    c.map.entries = arena_array_of(a, struct yentry, room);
    c.canons = arena_array_of(a, struct canon, room);
    c.hashes = arena_array_of(a, uint32_t, room);
    c.table = arena_array_of(a, uint32_t, c.slots);
    c.map.hashes = c.hashes;
    return c;
}

/* Makes room for n more entries. */
static void collect_reserve(struct builder *b, struct collect *c, uint32_t n)
{
    if (c->room - c->map.n >= n)
        return;
    struct collect bigger = collect_new(b, (c->map.n + n) * 2);
    for (uint32_t i = 0; i < c->map.n; i++) {
        uint32_t slot = c->hashes[i] & (bigger.slots - 1);
        while (bigger.table[slot] != 0)
            slot = (slot + 1) & (bigger.slots - 1);
        bigger.table[slot] = i + 1;
        bigger.map.entries[i] = c->map.entries[i];
        bigger.canons[i] = c->canons[i];
        bigger.hashes[i] = c->hashes[i];
    }
    bigger.map.n = c->map.n;
    bigger.merged = c->merged;
    *c = bigger;
}

/* As dict[key] = value: the first key and its position stay, the last value counts. Returns the
 * entry's number; *known: there was one. */
static uint32_t collect_add(struct builder *b, struct collect *c, const struct yentry *entry,
                            bool *known)
{
    struct canon key = canon_of(b, entry->key);
    uint32_t hash = yaml_hash(key.bytes, key.n);
    uint32_t slot = hash & (c->slots - 1);

    assert(c->map.n < c->room);
    for (; c->table[slot] != 0; slot = (slot + 1) & (c->slots - 1)) {
        uint32_t i = c->table[slot] - 1;
        const struct canon *other = &c->canons[i];
        if (c->hashes[i] == hash && other->kind == key.kind && other->n == key.n &&
            memcmp(other->bytes, key.bytes, key.n) == 0) {
            *known = true;
            c->map.entries[i].value = entry->value;
            return i;
        }
    }
    uint32_t i = c->map.n++;
    c->table[slot] = i + 1;
    c->canons[i] = key;
    c->hashes[i] = hash;
    c->map.entries[i] = *entry;
    *known = false;
    return i;
}

/* For callers that have no more to say than one sentence. */
static int refuse(struct builder *b, const struct raw *raw, const char *problem)
{
    return yaml_fail(b->ld, raw->line, raw->col, "%s", problem);
}

/* The entries of one mapping, in its own order. `outer` is where the merge is written. */
static int add_merged(struct builder *b, struct collect *c, struct raw *from,
                      const struct raw *outer)
{
    bool known;

    if (from->kind != RAW_MAP) {
        (void)refuse(b, from, "<<: needs a mapping or a list of mappings");
        return yaml_fail_in(b->ld, outer, "while merging into the mapping");
    }
    const struct raw_map *map = merge_map(b, from);
    if (map == NULL)
        return -1;
    b->merged += map->n;
    if (b->merged > YAML_MERGED_MAX)
        return refuse(b, outer, "the merges (<<) of this file copy too many entries");
    collect_reserve(b, c, map->n);
    for (uint32_t i = 0; i < map->n; i++) {
        /* Only this parse has seen the nodes so far. */
        struct ynode *key = (struct ynode *)(uintptr_t)map->entries[i].key;
        struct ynode *value = (struct ynode *)(uintptr_t)map->entries[i].value;
        key->aliased = value->aliased = true;
        (void)collect_add(b, c, &map->entries[i], &known);
    }
    return 0;
}

/* One "<<:". Of a list the later members come first, so that the earlier ones overwrite them. */
static int add_merge(struct builder *b, struct collect *c, struct raw *value,
                     const struct raw *outer)
{
    if (value->kind != RAW_SEQ)
        return add_merged(b, c, value, outer);
    for (uint32_t i = value->n; i-- > 0;)
        if (add_merged(b, c, value->items[i], outer) < 0)
            return -1;
    return 0;
}

/* The list grows in the document's arena; what it outgrows stays there unused. */
static void note_dup(struct builder *b, const struct ynode *first, const struct ynode *again)
{
    if (b->ndups == b->dups_room) {
        b->dups_room = b->dups_room == 0 ? 16 : b->dups_room * 2;
        struct ydup *dups = arena_array_of(b->ld->out, struct ydup, b->dups_room);
        if (b->ndups > 0)
            memcpy(dups, b->dups, b->ndups * sizeof(*dups));
        b->dups = dups;
    }
    b->dups[b->ndups++] = (struct ydup){first, again};
}

/* Python can hash the scalars only. */
static bool can_be_key(const struct ynode *key)
{
    return key->type != Y_SEQ && key->type != Y_MAP && key->type != Y_SET && key->type != Y_PAIRS;
}

/* `outer` is the mapping, for the message: it tells a "{{X}}" without quotes from a slip. */
static struct ynode *build_key(struct builder *b, struct raw *raw, const struct raw *outer)
{
    struct ynode *key;

    if (raw->tag == TAG_VALUE && raw->kind == RAW_SCALAR) /* a plain = is a string as a key */
        key = yaml_scalar(b->ld, raw, TAG_STR, raw->text, raw->n);
    else
        key = build(b, raw);
    if (key == NULL || can_be_key(key))
        return key;
    (void)refuse(b, raw,
                 "a list or mapping cannot be a key (put a value that starts with { or [ "
                 "in quotes)");
    (void)yaml_fail_in(b->ld, outer, "while reading the mapping");
    return NULL;
}

/* One pair as it is written. PyYAML constructs the value even if a later one replaces it, so an
 * error in it counts. */
static int add_own(struct builder *b, struct collect *c, struct raw *outer, uint32_t pair,
                   const struct ynode **own)
{
    struct yentry entry;
    bool known;

    entry.key = build_key(b, outer->items[pair], outer);
    if (entry.key == NULL)
        return -1;
    entry.value = build(b, outer->items[pair + 1]);
    if (entry.value == NULL)
        return -1;
    uint32_t i = collect_add(b, c, &entry, &known);
    if (known && own[i] != NULL)
        note_dup(b, own[i], entry.key);
    else
        own[i] = entry.key;
    return 0;
}

/* Merged entries come first whatever the order in the text: PyYAML puts them in front. */
static int collect_pairs(struct builder *b, struct collect *c, struct raw *raw)
{
    for (uint32_t i = 0; i < raw->n; i += 2)
        if (raw->items[i]->tag == TAG_MERGE && add_merge(b, c, raw->items[i + 1], raw) < 0)
            return -1;
    collect_reserve(b, c, raw->n / 2);
    /* The key that this mapping itself writes, of each entry. */
    const struct ynode **own = arena_array_of(b->ld->scratch, const struct ynode *, c->room);
    for (uint32_t i = 0; i < raw->n; i += 2)
        if (raw->items[i]->tag != TAG_MERGE && add_own(b, c, raw, i, own) < 0)
            return -1;
    return 0;
}

/* A mapping's entries after all merges; NULL: refused. */
static const struct raw_map *merge_map(struct builder *b, struct raw *raw)
{
    assert(raw->kind == RAW_MAP);
    if (raw->merged != NULL)
        return raw->merged;
    if (b->depth >= 4 * YAML_DEPTH_MAX) {
        (void)refuse(b, raw, "nested too deep through merges");
        return NULL;
    }
    b->depth++;
    struct collect c = collect_new(b, raw->n / 2 + 1);
    if (collect_pairs(b, &c, raw) < 0)
        return NULL;
    b->depth--;
    struct raw_map *map = arena_new_of(b->ld->scratch, struct raw_map);
    *map = c.map;
    raw->merged = map;
    return map;
}

/* Entries, and behind them the table that ynode_entry() uses if there are many. */
static const struct yentry *with_index(struct builder *b, const struct raw_map *map)
{
    uint32_t slots = map->n >= YAML_INDEXED_FROM ? yaml_slots(map->n) : 0;
    size_t bytes = map->n * sizeof(struct yentry);
    struct yentry *entries = arena_alloc(b->ld->out, bytes + slots * sizeof(uint32_t));
    uint32_t *table = (uint32_t *)(entries + map->n);

    if (map->n > 0)
        memcpy(entries, map->entries, bytes);
    for (uint32_t i = 0; slots > 0 && i < map->n; i++) {
        uint32_t slot = map->hashes[i] & (slots - 1);
        while (table[slot] != 0)
            slot = (slot + 1) & (slots - 1);
        table[slot] = i + 1;
    }
    return entries;
}

/* A set is a mapping whose values Python drops; they must still be right. */
static struct ynode *build_map(struct builder *b, struct raw *raw, enum ytype type)
{
    if (raw->kind != RAW_MAP) {
        (void)refuse(b, raw, type == Y_SET ? "!!set needs a mapping" : "!!map needs a mapping");
        return NULL;
    }
    const struct raw_map *map = merge_map(b, raw);
    if (map == NULL)
        return NULL;
    struct ynode *node = yaml_node_at(b->ld, raw, type);
    struct raw_map set = *map;
    if (type == Y_SET) {
        /* A copy: others may merge the map itself, with its values. */
        set.entries = arena_array_of(b->ld->out, struct yentry, map->n);
        for (uint32_t i = 0; i < map->n; i++)
            set.entries[i] = (struct yentry){map->entries[i].key, yaml_node_at(b->ld, raw, Y_NULL)};
    }
    node->entries = with_index(b, &set);
    node->n = map->n;
    return node;
}

/* Items that are aliases share their nodes; nothing is copied. */
static struct ynode *build_seq(struct builder *b, struct raw *raw)
{
    struct ynode *node = yaml_node_at(b->ld, raw, Y_SEQ);

    if (raw->kind != RAW_SEQ) {
        (void)refuse(b, raw, "!!seq needs a list");
        return NULL;
    }
    node->items = arena_array_of(b->ld->out, const struct ynode *, raw->n);
    node->n = raw->n;
    for (uint32_t i = 0; i < raw->n; i++) {
        node->items[i] = build(b, raw->items[i]);
        if (node->items[i] == NULL)
            return NULL;
    }
    return node;
}

/* !!omap and !!pairs: a list of mappings of one entry each. */
static struct ynode *build_pairs(struct builder *b, struct raw *raw)
{
    struct ynode *node = yaml_node_at(b->ld, raw, Y_PAIRS);

    if (raw->kind != RAW_SEQ) {
        (void)refuse(b, raw, "!!omap and !!pairs need a list");
        return NULL;
    }
    struct yentry *entries = arena_array_of(b->ld->out, struct yentry, raw->n);
    node->entries = entries;
    node->n = raw->n;
    for (uint32_t i = 0; i < raw->n; i++) {
        struct raw *item = raw->items[i];
        if (item->kind != RAW_MAP || item->n != 2) {
            (void)refuse(b, item, "!!omap and !!pairs need mappings of one entry each");
            return NULL;
        }
        entries[i].key = build(b, item->items[0]);
        entries[i].value = entries[i].key == NULL ? NULL : build(b, item->items[1]);
        if (entries[i].value == NULL)
            return NULL;
    }
    return node;
}

/* A scalar tag on a mapping takes the value of its "=" key, whatever else is in there. */
static const struct raw *scalar_under(const struct raw *raw)
{
    const struct raw *next = raw;

    while (next != NULL && next->kind == RAW_MAP) {
        const struct raw *map = next;
        next = NULL;
        for (uint32_t i = 0; i < map->n && next == NULL; i += 2)
            if (map->items[i]->tag == TAG_VALUE)
                next = map->items[i + 1];
    }
    return next != NULL && next->kind == RAW_SCALAR ? next : NULL;
}

/* The timestamp constructor alone looks at the node itself, and breaks on a mapping. */
static struct ynode *build_scalar(struct builder *b, struct raw *raw)
{
    const struct raw *from =
        raw->tag == TAG_TIMESTAMP && raw->kind != RAW_SCALAR ? NULL : scalar_under(raw);

    if (from == NULL) {
        (void)refuse(b, raw, "a list or mapping cannot have the tag of a scalar");
        return NULL;
    }
    return yaml_scalar(b->ld, raw, (enum ytag)raw->tag, from->text, from->n);
}

/* Tags without a constructor: two of PyYAML's own that only mean something as keys, and others. */
static struct ynode *refuse_tag(struct builder *b, const struct raw *raw)
{
    if (raw->tag == TAG_MERGE)
        (void)refuse(b, raw, "<< can only be a key (put the text in quotes)");
    else if (raw->tag == TAG_VALUE)
        (void)refuse(b, raw, "= cannot stand alone as a value (put it in quotes)");
    else
        (void)yaml_fail(b->ld, raw->line, raw->col, "unknown tag \"%.200s\"", raw->tag_name);
    return NULL;
}

static struct ynode *build_tagged(struct builder *b, struct raw *raw)
{
    switch ((enum ytag)raw->tag) {
    case TAG_SEQ:
        return build_seq(b, raw);
    case TAG_MAP:
        return build_map(b, raw, Y_MAP);
    case TAG_SET:
        return build_map(b, raw, Y_SET);
    case TAG_OMAP:
    case TAG_PAIRS:
        return build_pairs(b, raw);
    case TAG_MERGE:
    case TAG_VALUE:
    case TAG_UNKNOWN:
        return refuse_tag(b, raw);
    default:
        return build_scalar(b, raw);
    }
}

/* Composing bounds the depth of what is written; here aliases into nodes that were never
 * constructed could add to it. */
static struct ynode *build(struct builder *b, struct raw *raw)
{
    if (raw->built != NULL)
        return raw->built;
    if (b->depth >= 4 * YAML_DEPTH_MAX) {
        (void)refuse(b, raw, "nested too deep through aliases");
        return NULL;
    }
    b->depth++;
    raw->built = build_tagged(b, raw);
    b->depth--;
    return raw->built;
}

struct ynode *yaml_build(struct yload *ld, struct raw *root, struct ydoc *doc)
{
    struct builder b = {.ld = ld};
    struct ynode *node = build(&b, root);

    doc->dups = b.dups;
    doc->ndups = b.ndups;
    return node;
}
