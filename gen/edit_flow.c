/* edit_flow.c: proposals for lists written as [a, b]; used by edit.c.
 *
 * Nothing is ever commented out in here: what follows on the line would be lost with it.
 */
#include <assert.h>
#include <string.h>

#include "edit_internal.h"

const struct source *edit_flow_insert(struct arena *a, const struct edit_list *list,
                                      const char *module)
{
    uint32_t place = edit_list_place(list, module);
    const struct edit_item *items = list->items;

    if (place < list->n)
        return edit_splice(a, list->src, items[place].start, items[place].start,
                           arena_printf(a, "%s, ", module));
    if (list->n > 0)
        return edit_splice(a, list->src, items[list->n - 1].end, items[list->n - 1].end,
                           arena_printf(a, ", %s", module));
    size_t open = source_offset(list->src, list->node->line, list->node->col);
    assert(list->src->text[open] == '[');
    return edit_splice(a, list->src, open + 1, open + 1, module);
}

/* With the comma after it, with the comma before it, or alone. */
const struct source *edit_flow_remove(struct arena *a, const struct edit_list *list,
                                      const char *module, int way)
{
    const struct edit_item *items = list->items;
    uint32_t i = 0;

    assert(edit_list_count(list, module) > 0);
    assert(way >= 0 && way < EDIT_WAYS);
    while (!ynode_is_text(items[i].node, module))
        i++;
    if (way == 0 && i + 1 < list->n)
        return edit_splice(a, list->src, items[i].start, items[i + 1].start, "");
    if (way == 1 && i > 0)
        return edit_splice(a, list->src, items[i - 1].end, items[i].end, "");
    if (way == 2 && list->n == 1)
        return edit_splice(a, list->src, items[i].start, items[i].end, "");
    return NULL;
}
