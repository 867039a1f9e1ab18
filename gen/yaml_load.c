/* yaml_load.c: composes one document from libyaml's events, with anchors, tags and places, and
 * says in plain words why a text is refused; see ynode.h and yaml_internal.h. Called by whoever
 * reads an input file.
 *
 * Differences from PyYAML that remain, all of them refusals of what PyYAML reads, and none in
 * documents people write by hand: unknown % directives and YAML versions other than 1.1 and 1.2;
 * `a:[` or `a:,` without a space, or a lone `?`, in a flow collection; a block scalar whose
 * indentation starts with a tab; surrogates as escapes ("\ud800"); a collection that contains
 * itself; nesting below YAML_DEPTH_MAX; a byte order mark at the start of a later line; integers of
 * more than 4300 digits in any base.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "yaml_internal.h"

/* libyaml's document being composed. */
struct composer {
    struct yload *ld;
    yaml_parser_t parser;
    struct raw **stack; /* children of the open collections, innermost last */
    size_t top, room;
    struct anchor *anchors; /* open addressing by name */
    uint32_t anchor_slots, nanchors;
    unsigned depth, flow_depth;
};

struct anchor {
    const char *name; /* NULL: free */
    struct raw *node;
};

/* A place past the end of the source (libyaml ends the last line itself) becomes its end. */
static void clamp(const struct yload *ld, uint32_t *line, uint32_t *col)
{
    const struct source *src = ld->src;

    /* The first test settles nearly all of them and needs no index of lines. */
    if (*line <= ld->newlines + 1 || *line <= source_lines(src))
        return;
    size_t len;
    const char *text = source_line(src, source_lines(src), &len);
    *line = source_lines(src);
    *col = 1;
    for (size_t i = 0; i < len; i++)
        *col += (text[i] & 0xc0) != 0x80;
}

int yaml_fail(struct yload *ld, uint32_t line, uint32_t col, const char *fmt, ...)
{
    va_list ap;

    *ld->err = (struct yerror){.line = line, .col = col};
    clamp(ld, &ld->err->line, &ld->err->col);
    va_start(ap, fmt);
    (void)vsnprintf(ld->err->problem, sizeof(ld->err->problem), fmt, ap);
    va_end(ap);
    return -1;
}

int yaml_fail_in(struct yload *ld, const struct raw *outer, const char *context)
{
    ld->err->context_line = outer->line;
    ld->err->context_col = outer->col;
    (void)snprintf(ld->err->context, sizeof(ld->err->context), "%s", context);
    return -1;
}

static uint32_t mark_line(const yaml_mark_t *mark)
{
    return (uint32_t)mark->line + 1;
}

/* libyaml has not seen the byte order mark; the source's columns count it. */
static uint32_t mark_col(const struct yload *ld, const yaml_mark_t *mark)
{
    return (uint32_t)mark->column + 1 + (mark->line == 0 ? ld->bom : 0);
}

/* libyaml's words where they are not plain, and ours. */
static const char *plain_words(const struct yload *ld, const yaml_parser_t *parser)
{
    static const char *const words[][2] = {
        {"found character that cannot start any token",
         "found a character that cannot start a value (put the text in quotes)"},
        {"mapping values are not allowed in this context",
         "found a second \":\" where no key can stand (put the text in quotes, or indent it)"},
        {"block sequence entries are not allowed in this context",
         "found a \"- \" where no list item can stand"},
        {"did not find expected key", "expected a key at this indentation"},
        {"did not find expected '-' indicator", "expected a \"- \" at this indentation"},
        {"did not find expected ',' or ']'", "expected \",\" or \"]\""},
        {"did not find expected ',' or '}'", "expected \",\" or \"}\""},
        {"did not find expected node content", "expected a value"},
        {"did not find expected <document start>", "expected \"---\": one document a file"},
        {"could not find expected ':'", "expected a \":\" behind the key"},
        {"found unexpected ':'", "found a \":\" without a space behind it (or put it in quotes)"},
        {"found a tab character where an indentation space is expected",
         "found a tab where indentation is expected: only spaces may indent"},
    };
    size_t at = source_offset(ld->src,
                              mark_line(&parser->problem_mark) <= source_lines(ld->src)
                                  ? mark_line(&parser->problem_mark)
                                  : source_lines(ld->src),
                              mark_col(ld, &parser->problem_mark));

    if (strcmp(parser->problem, words[0][0]) == 0 && at < ld->src->len && ld->src->text[at] == '\t')
        return "found a tab where indentation is expected: only spaces may indent";
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(parser->problem, words[i][0]) == 0)
            return words[i][1];
    return parser->problem;
}

/* A byte that cannot be read, by its offset. */
static int fail_reading(struct yload *ld, const yaml_parser_t *parser)
{
    size_t byte = parser->problem_offset + (size_t)(ld->text - ld->src->text);
    uint32_t line = source_lines(ld->src), col = 1;

    assert(byte <= ld->src->len);
    while (source_line_start(ld->src, line) > byte)
        line--;
    for (size_t i = source_line_start(ld->src, line); i < byte; i++)
        col += (ld->src->text[i] & 0xc0) != 0x80;
    const char *bytes = ld->src->text;
    if (ld->src->len >= 2 &&
        (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
        return yaml_fail(ld, 1, 1, "the file is UTF-16; it must be UTF-8");
    if (strstr(parser->problem, "control characters") != NULL)
        return yaml_fail(ld, line, col, "found a character that YAML does not allow (U+%04X)",
                         (unsigned)parser->problem_value);
    return yaml_fail(ld, line, col, "the text is not UTF-8: %s", parser->problem);
}

/* A parser's or scanner's complaint, with what it was reading. */
static int fail_parsing(struct yload *ld, const yaml_parser_t *parser)
{
    if (parser->error == YAML_READER_ERROR)
        return fail_reading(ld, parser);
    if (parser->problem == NULL)
        return yaml_fail(ld, 1, 1, "not enough memory to read the document");
    (void)yaml_fail(ld, mark_line(&parser->problem_mark), mark_col(ld, &parser->problem_mark), "%s",
                    plain_words(ld, parser));
    if (parser->context == NULL)
        return -1;
    struct raw at = {.line = mark_line(&parser->context_mark),
                     .col = mark_col(ld, &parser->context_mark)};
    clamp(ld, &at.line, &at.col);
    return yaml_fail_in(ld, &at, parser->context);
}

/* The caller deletes the event. */
static int next_event(struct composer *c, yaml_event_t *event)
{
    return yaml_parser_parse(&c->parser, event) ? 0 : fail_parsing(c->ld, &c->parser);
}

/* Grows by doubling; the scratch arena keeps the old copies until the end. */
static void push(struct composer *c, struct raw *node)
{
    if (c->top == c->room) {
        c->room = c->room == 0 ? 256 : c->room * 2;
        struct raw **stack = arena_array_of(c->ld->scratch, struct raw *, c->room);
        if (c->top > 0)
            memcpy(stack, c->stack, c->top * sizeof(*stack));
        c->stack = stack;
    }
    c->stack[c->top++] = node;
}

/* The slot of a name, free if there is none of it. */
static struct anchor *find_anchor(struct anchor *table, uint32_t slots, const char *name)
{
    uint32_t i = yaml_hash(name, strlen(name)) & (slots - 1);

    while (table[i].name != NULL && strcmp(table[i].name, name) != 0)
        i = (i + 1) & (slots - 1);
    return &table[i];
}

/* Half of the slots stay free: find_anchor() needs one to stop at. */
static void grow_anchors(struct composer *c)
{
    uint32_t slots = yaml_slots(c->nanchors * 2 + 8);
    struct anchor *table = arena_array_of(c->ld->scratch, struct anchor, slots);

    for (uint32_t i = 0; i < c->anchor_slots; i++)
        if (c->anchors[i].name != NULL)
            *find_anchor(table, slots, c->anchors[i].name) = c->anchors[i];
    c->anchors = table;
    c->anchor_slots = slots;
}

/* Registered before its children are read, so that they can be told not to refer to it. */
static int add_anchor(struct composer *c, const yaml_char_t *anchor, struct raw *node)
{
    const char *name = (const char *)anchor;

    if (name == NULL)
        return 0;
    if (c->nanchors * 2 >= c->anchor_slots)
        grow_anchors(c);
    struct anchor *slot = find_anchor(c->anchors, c->anchor_slots, name);
    if (slot->name != NULL) {
        (void)yaml_fail(c->ld, node->line, node->col, "anchor &%.100s is defined a second time",
                        name);
        return yaml_fail_in(c->ld, slot->node, "the first time is here");
    }
    *slot = (struct anchor){arena_strdup(c->ld->scratch, name), node};
    c->nanchors++;
    return 0;
}

/* Only an alias into its own collection could make a cycle; refusing it keeps the tree finite. */
static struct raw *alias_target(struct composer *c, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    uint32_t line = mark_line(&event->start_mark);
    uint32_t col = mark_col(c->ld, &event->start_mark);
    struct anchor *slot = c->nanchors == 0 ? NULL : find_anchor(c->anchors, c->anchor_slots, name);

    if (slot == NULL || slot->name == NULL) {
        (void)yaml_fail(c->ld, line, col, "*%.100s has no anchor &%.100s before it", name, name);
        return NULL;
    }
    if (slot->node->open) {
        (void)yaml_fail(c->ld, line, col, "*%.100s stands inside what it refers to", name);
        return NULL;
    }
    slot->node->aliased = true;
    return slot->node;
}

/* A tag's full name, as libyaml resolves handles to it. */
static enum ytag tag_of(const char *name)
{
    static const struct {
        const char *name;
        enum ytag tag;
    } tags[] = {
        {"null", TAG_NULL},     {"bool", TAG_BOOL},   {"int", TAG_INT},
        {"float", TAG_FLOAT},   {"str", TAG_STR},     {"timestamp", TAG_TIMESTAMP},
        {"binary", TAG_BINARY}, {"seq", TAG_SEQ},     {"map", TAG_MAP},
        {"set", TAG_SET},       {"omap", TAG_OMAP},   {"pairs", TAG_PAIRS},
        {"merge", TAG_MERGE},   {"value", TAG_VALUE},
    };
    static const char prefix[] = "tag:yaml.org,2002:";

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return TAG_UNKNOWN;
    for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++)
        if (strcmp(name + sizeof(prefix) - 1, tags[i].name) == 0)
            return tags[i].tag;
    return TAG_UNKNOWN;
}

/* "!" alone means: as if there were no tag. */
static void set_tag(struct composer *c, struct raw *node, const yaml_char_t *tag,
                    enum ytag untagged)
{
    const char *name = (const char *)tag;

    node->tag = (uint8_t)untagged;
    if (name == NULL || strcmp(name, "!") == 0)
        return;
    node->tag = (uint8_t)tag_of(name);
    if (node->tag == TAG_UNKNOWN)
        node->tag_name = arena_strdup(c->ld->scratch, name);
}

/* Goes over spaces and at most one anchor and one tag (`left` says which); more of them belong to
 * what comes next. */
static size_t skip_in_line(const char *text, size_t len, size_t i, char left[3])
{
    for (; i < len; i++) {
        if (text[i] == ' ')
            continue;
        char *kind = text[i] == '\0' ? NULL : strchr(left, text[i]);
        if (kind == NULL)
            break;
        *kind = ' ';
        const char *ends = text[i] == '&' ? " :,]}" : " ";
        while (i + 1 < len && strchr(ends, text[i + 1]) == NULL)
            i++;
    }
    return i;
}

/* From an anchor or tag on to the value behind it, over white space and comments. */
static void skip_properties(const struct yload *ld, struct raw *node)
{
    const struct source *src = ld->src;
    size_t i = source_offset(src, node->line, node->col) - source_line_start(src, node->line);
    char left[] = "&!";

    for (uint32_t line = node->line; line <= source_lines(src); line++, i = 0) {
        size_t len;
        const char *text = source_line(src, line, &len);
        i = skip_in_line(text, len, i, left);
        if (i == len || text[i] == '#')
            continue;
        node->line = line;
        node->col = 1;
        for (size_t k = 0; k < i; k++)
            node->col += (text[k] & 0xc0) != 0x80;
        return;
    }
}

static struct raw *new_raw(struct composer *c, enum raw_kind kind, const yaml_event_t *event)
{
    struct raw *node = arena_new_of(c->ld->scratch, struct raw);

    node->kind = (uint8_t)kind;
    node->line = mark_line(&event->start_mark);
    node->col = mark_col(c->ld, &event->start_mark);
    clamp(c->ld, &node->line, &node->col);
    return node;
}

/* The text goes into the document's arena at once: most scalars are strings and stay. */
static struct raw *compose_scalar(struct composer *c, const yaml_event_t *event)
{
    struct raw *node = new_raw(c, RAW_SCALAR, event);
    size_t n = event->data.scalar.length;
    const char *tag = (const char *)event->data.scalar.tag;

    node->text = arena_strndup(c->ld->out, (const char *)event->data.scalar.value, n);
    node->n = (uint32_t)n;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if ((tag != NULL || event->data.scalar.anchor != NULL) && (n > 0 || node->quoted))
        skip_properties(c->ld, node);
    /* PyYAML ends a plain scalar here and then finds no use for the "?". */
    if (c->flow_depth > 0 && !node->quoted && memchr(node->text, '?', n) != NULL) {
        (void)yaml_fail(c->ld, node->line, node->col,
                        "found a \"?\" in text without quotes inside [...] or {...}");
        return NULL;
    }
    bool resolve = tag != NULL ? strcmp(tag, "!") == 0 : !node->quoted;
    set_tag(c, node, event->data.scalar.tag, resolve ? yaml_resolve(node->text, n) : TAG_STR);
    return add_anchor(c, event->data.scalar.anchor, node) < 0 ? NULL : node;
}

static struct raw *compose_collection(struct composer *c, const yaml_event_t *event);

/* The node that an event starts; NULL: refused. */
static struct raw *compose_node(struct composer *c, const yaml_event_t *event)
{
    if (event->type == YAML_ALIAS_EVENT)
        return alias_target(c, event);
    if (event->type == YAML_SCALAR_EVENT)
        return compose_scalar(c, event);
    return compose_collection(c, event);
}

/* Children go to the stack until the collection's end. */
static int compose_children(struct composer *c)
{
    for (;;) {
        yaml_event_t event;
        if (next_event(c, &event) < 0)
            return -1;
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        struct raw *child = compose_node(c, &event);
        yaml_event_delete(&event);
        if (child == NULL)
            return -1;
        push(c, child);
    }
}

/* The node without its children. */
static struct raw *start_collection(struct composer *c, const yaml_event_t *event)
{
    bool is_seq = event->type == YAML_SEQUENCE_START_EVENT;
    struct raw *node = new_raw(c, is_seq ? RAW_SEQ : RAW_MAP, event);
    const yaml_char_t *tag =
        is_seq ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    const yaml_char_t *anchor =
        is_seq ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;

    node->open = true;
    node->flow = is_seq ? event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                        : event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
    if (tag != NULL || anchor != NULL)
        skip_properties(c->ld, node);
    set_tag(c, node, tag, is_seq ? TAG_SEQ : TAG_MAP);
    return add_anchor(c, anchor, node) < 0 ? NULL : node;
}

static struct raw *compose_collection(struct composer *c, const yaml_event_t *event)
{
    size_t base = c->top;
    struct raw *node = start_collection(c, event);

    if (node == NULL)
        return NULL;
    if (c->depth == YAML_DEPTH_MAX) {
        (void)yaml_fail(c->ld, node->line, node->col, "nested deeper than %d levels",
                        YAML_DEPTH_MAX);
        return NULL;
    }
    c->depth++;
    c->flow_depth += node->flow;
    if (compose_children(c) < 0)
        return NULL;
    c->depth--;
    c->flow_depth -= node->flow;
    node->open = false;
    node->n = (uint32_t)(c->top - base);
    assert(node->kind != RAW_MAP || node->n % 2 == 0);
    node->items = arena_array_of(c->ld->scratch, struct raw *, node->n);
    if (node->n > 0)
        memcpy(node->items, c->stack + base, node->n * sizeof(struct raw *));
    c->top = base;
    return node;
}

/* The next event's type, its node composed if it starts one. */
static int take_event(struct composer *c, yaml_event_type_t *type, struct raw **root)
{
    yaml_event_t event;

    if (next_event(c, &event) < 0)
        return -1;
    *type = event.type;
    int rc = 0;
    if (event.type == YAML_DOCUMENT_START_EVENT && *root != NULL) {
        rc = yaml_fail(c->ld, mark_line(&event.start_mark), mark_col(c->ld, &event.start_mark),
                       "found a second document: a file holds one");
    } else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_ALIAS_EVENT ||
               event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT) {
        *root = compose_node(c, &event);
        rc = *root == NULL ? -1 : 0;
    }
    yaml_event_delete(&event);
    return rc;
}

/* The document's root; NULL for an empty stream. */
static int compose(struct composer *c, struct raw **root)
{
    yaml_event_type_t type;

    *root = NULL;
    do {
        if (take_event(c, &type, root) < 0)
            return -1;
    } while (type != YAML_STREAM_END_EVENT);
    return 0;
}

/* The encoding is set, so libyaml does not guess UTF-16 from the first bytes. */
static int compose_text(struct yload *ld, struct raw **root)
{
    struct composer c = {.ld = ld};
    int ok = yaml_parser_initialize(&c.parser);

    assert(ok);
    (void)ok;
    yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)ld->text, ld->len);
    int rc = compose(&c, root);
    yaml_parser_delete(&c.parser);
    return rc;
}

/* Strict checks first: their messages are better than what libyaml finds later. */
static int load(struct yload *ld, struct ydoc *doc)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct raw *root;

    if (ld->len >= 3 && memcmp(ld->text, bom, 3) == 0) {
        ld->text += 3;
        ld->len -= 3;
        ld->bom = 1;
    }
    if (yaml_check_strict(ld) < 0 || compose_text(ld, &root) < 0)
        return -1;
    if (root == NULL) {
        struct raw at = {.line = 1, .col = 1};
        doc->root = yaml_node_at(ld, &at, Y_NULL);
        return 0;
    }
    doc->root = yaml_build(ld, root, doc);
    return doc->root == NULL ? -1 : 0;
}

int yaml_parse(struct arena *a, const struct source *src, struct ydoc *doc, struct yerror *err)
{
    assert(src->len <= SOURCE_MAX);
    struct yload ld = {.out = a,
                       .scratch = arena_new(),
                       .src = src,
                       .text = src->text,
                       .len = src->len,
                       .err = err};

    *doc = (struct ydoc){.src = src};
    for (const char *p = src->text; (p = memchr(p, '\n', src->text + src->len - p)) != NULL; p++)
        ld.newlines++;
    int rc = load(&ld, doc);
    arena_free(ld.scratch);
    return rc;
}
