/* edit_block.c: proposals for lists with one `- item` a line; used by edit.c.
 *
 * A new line copies indentation, the gap after the dash and the line break of a neighbour. An item
 * that cannot simply be taken out (see edit.h) becomes a comment by text put before its dash; the
 * line is unchanged after that text, so taking the text away gives the same bytes again.
 */
#include <assert.h>
#include <string.h>

#include "edit_internal.h"

#define DISABLED "# hfcache-gen: disabled "

static size_t line_begin(const struct source *src, uint32_t line)
{
    return source_line_start(src, line);
}

/* Before the line break. */
static size_t line_end(const struct source *src, uint32_t line)
{
    size_t n;
    const char *text = source_line(src, line, &n);

    return (size_t)(text - src->text) + n;
}

/* After the line break. */
static size_t line_next(const struct source *src, uint32_t line)
{
    return line < source_lines(src) ? source_line_start(src, line + 1) : src->len;
}

/* The line's break; a last line without one is given its neighbour's. */
static const char *line_break(struct arena *a, const struct source *src, uint32_t line)
{
    assert(line > 1);
    if (line_end(src, line) == line_next(src, line))
        line--;
    size_t end = line_end(src, line);
    return arena_strndup(a, src->text + end, line_next(src, line) - end);
}

static size_t count_spaces(const struct source *src, size_t from)
{
    return strspn(src->text + from, " ");
}

/* Where the item's dash stands, if it is the first thing in the item's own line. */
static bool find_dash(const struct source *src, const struct edit_item *item, size_t *dash)
{
    size_t begin = line_begin(src, edit_line_of(src, item->start));

    *dash = begin + count_spaces(src, begin);
    if (*dash >= item->start || src->text[*dash] != '-')
        return false;
    size_t gap = strspn(src->text + *dash + 1, " \t");
    return *dash + 1 + gap == item->start;
}

/* The line where the item ends; a block scalar's end is the start of the line below. */
static uint32_t last_line(const struct source *src, const struct edit_item *item)
{
    uint32_t line = edit_line_of(src, item->end);

    return item->end > item->start && item->end == line_begin(src, line) ? line - 1 : line;
}

/* "<indent>-<gap>MODULE", as the item has it. */
static const char *new_item(struct arena *a, const struct source *src, const struct edit_item *like,
                            const char *module)
{
    size_t begin = line_begin(src, edit_line_of(src, like->start));

    return arena_printf(a, "%.*s%s", (int)(like->start - begin), src->text + begin, module);
}

/* A comment line that is indented like the item below it, or deeper. */
static bool is_comment_of(const struct source *src, uint32_t line, size_t indent)
{
    size_t begin = line_begin(src, line);
    size_t spaces = count_spaces(src, begin);

    return spaces >= indent && src->text[begin + spaces] == '#';
}

static const struct source *insert_before(struct arena *a, const struct edit_list *list,
                                          const struct edit_item *item, const char *module)
{
    const struct source *src = list->src;
    uint32_t line = edit_line_of(src, item->start), first = line;
    size_t dash;

    if (!find_dash(src, item, &dash))
        return NULL;
    /* Ends at the line of `modules:` at the latest. */
    while (is_comment_of(src, first - 1, dash - line_begin(src, line)))
        first--;
    assert(first > list->key_line);
    const char *text =
        arena_printf(a, "%s%s", new_item(a, src, item, module), line_break(a, src, line));
    return edit_splice(a, src, line_begin(src, first), line_begin(src, first), text);
}

static const struct source *insert_after(struct arena *a, const struct edit_list *list,
                                         const struct edit_item *item, const char *module)
{
    const struct source *src = list->src;
    uint32_t line = last_line(src, item);
    size_t dash;

    if (!find_dash(src, item, &dash))
        return NULL;
    const char *text =
        arena_printf(a, "%s%s", line_break(a, src, line), new_item(a, src, item, module));
    return edit_splice(a, src, line_end(src, line), line_end(src, line), text);
}

const struct source *edit_block_insert(struct arena *a, const struct edit_list *list,
                                       const char *module)
{
    uint32_t place = edit_list_place(list, module);

    assert(list->n > 0); /* a block list cannot be empty */
    if (place < list->n)
        return insert_before(a, list, &list->items[place], module);
    return insert_after(a, list, &list->items[list->n - 1], module);
}

/* Puts the comment mark before every such item; from the last to the first, so that the offsets of
 * the others stay right. */
static const struct source *comment_out(struct arena *a, const struct edit_list *list,
                                        const char *module)
{
    const struct source *src = list->src;

    for (uint32_t i = list->n; src != NULL && i-- > 0;) {
        const struct edit_item *item = &list->items[i];
        size_t dash;
        if (!ynode_is_text(item->node, module))
            continue;
        if (!find_dash(list->src, item, &dash) ||
            last_line(list->src, item) != edit_line_of(list->src, item->start))
            return NULL;
        src = edit_splice(a, src, dash, dash, DISABLED);
    }
    return src;
}

static const struct edit_item *find_item(const struct edit_list *list, const char *module)
{
    uint32_t i = 0;

    assert(edit_list_count(list, module) > 0);
    while (!ynode_is_text(list->items[i].node, module))
        i++;
    return &list->items[i];
}

/* The line with its break, or with the break before it, as the item was put in; else a comment. */
const struct source *edit_block_remove(struct arena *a, const struct edit_list *list,
                                       const char *module, int way)
{
    const struct source *src = list->src;
    const struct edit_item *item = find_item(list, module);
    uint32_t line = edit_line_of(src, item->start);

    assert(way >= 0 && way < EDIT_WAYS);
    if (way == 2)
        return comment_out(a, list, module);
    if (line == 1)
        return NULL;
    if (way == 0)
        return edit_splice(a, src, line_begin(src, line), line_next(src, line), "");
    return edit_splice(a, src, line_end(src, line - 1), line_end(src, line), "");
}

/* Whether the line is a comment that edit_block_remove() made of this module; *mark is where what
 * it put there begins. */
static bool is_disabled(struct arena *a, const struct source *src, uint32_t line,
                        const char *module, size_t *mark)
{
    size_t begin = line_begin(src, line), end = line_end(src, line);
    struct ydoc doc;
    struct yerror err;

    *mark = begin + count_spaces(src, begin);
    size_t item = *mark + strlen(DISABLED);
    if (item >= end || memcmp(src->text + *mark, DISABLED, strlen(DISABLED)) != 0)
        return false;
    const struct source *text = source_from_text(a, src->path, src->text + item, end - item);
    return yaml_parse(a, text, &doc, &err) == 0 && doc.root->type == Y_SEQ && doc.root->n == 1 &&
           ynode_is_text(doc.root->items[0], module);
}

/* The last of the blank and comment lines that follow the list. */
static uint32_t last_comment_line(const struct edit_list *list)
{
    const struct source *src = list->src;
    uint32_t line = last_line(src, &list->items[list->n - 1]);

    while (line < source_lines(src)) {
        size_t at = line_begin(src, line + 1) + count_spaces(src, line_begin(src, line + 1));
        if (at < line_end(src, line + 1) && src->text[at] != '#')
            break;
        line++;
    }
    return line;
}

const struct source *edit_block_restore(struct arena *a, const struct edit_list *list,
                                        const char *module)
{
    const struct source *src = list->src, *changed = NULL;

    for (uint32_t line = last_comment_line(list); line > list->key_line; line--) {
        size_t mark;
        if (!is_disabled(a, src, line, module, &mark))
            continue;
        changed =
            edit_splice(a, changed != NULL ? changed : src, mark, mark + strlen(DISABLED), "");
    }
    return changed;
}
