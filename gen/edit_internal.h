/* edit_internal.h: what the files of the editor share; nobody else includes it.
 *
 * edit_list.c finds a cluster's `modules` list and its items in the text and compares documents;
 * edit_block.c and edit_flow.c propose changed texts for the two styles; edit.c decides which of
 * them is right, by trying the way back and by reading the result again. A proposal may therefore
 * be wrong, never unsafe.
 */
#ifndef GEN_EDIT_INTERNAL_H
#define GEN_EDIT_INTERNAL_H

#include <stdbool.h>

#include "arena.h"
#include "error.h"
#include "source.h"
#include "ynode.h"

struct edit_item {
    size_t start, end;        /* bytes of the source; tag and anchor included, comment not */
    const struct ynode *node; /* the value */
};

struct edit_list {
    const struct source *src;
    const struct ynode *node;
    struct edit_item *items;
    uint32_t n;
    uint32_t key_line; /* of `modules:` */
};

/* Fails where there is no list of this cluster's own; `at` says where. */
int edit_list_find(struct arena *a, const struct ydoc *doc, const char *cluster,
                   struct edit_list *list, struct srcpos *at, struct hfc_error *err);

/* How often the module is in the list. */
uint32_t edit_list_count(const struct edit_list *list, const char *module);

/* The item a new one must stand before; list->n: it goes to the end. */
uint32_t edit_list_place(const struct edit_list *list, const char *module);

/* Whether the documents hold the same values in the same order, apart from this module in this
 * cluster's list. Also false when aliases make the comparison too long. */
bool edit_same_otherwise(const struct ydoc *before, const struct ydoc *after, const char *cluster,
                         const char *module);

/* The text with bytes [from, to) replaced. */
const struct source *edit_splice(struct arena *a, const struct source *src, size_t from, size_t to,
                                 const char *text);

/* The line that holds the byte. */
uint32_t edit_line_of(const struct source *src, size_t offset);

/* Each of these returns a changed text, or NULL if the list does not allow the change in this
 * way. `way` counts the proposals from 0; EDIT_WAYS is more than either style has. */
enum { EDIT_WAYS = 3 };

const struct source *edit_block_insert(struct arena *a, const struct edit_list *list,
                                       const char *module);
const struct source *edit_block_remove(struct arena *a, const struct edit_list *list,
                                       const char *module, int way);

/* Makes items again of the comments that edit_block_remove() made; NULL if there are none. */
const struct source *edit_block_restore(struct arena *a, const struct edit_list *list,
                                        const char *module);

const struct source *edit_flow_insert(struct arena *a, const struct edit_list *list,
                                      const char *module);
const struct source *edit_flow_remove(struct arena *a, const struct edit_list *list,
                                      const char *module, int way);

#endif
