/* edit.h: adds a module to, or takes it from, the `modules` list of clusters in clusters.yaml,
 * as an edit of the text: comments, order, quoting and line endings stay as they are.
 *
 * enable and disable are each other's inverse to the byte. Disabling removes an item that looks
 * just as enabling would have written it; an item with anything more to it (a comment, quotes,
 * another place) is turned into a comment line that enabling finds and restores.
 */
#ifndef GEN_EDIT_H
#define GEN_EDIT_H

#include <stdbool.h>

#include "buf.h"
#include "error.h"
#include "ynode.h"

enum edit_result { EDIT_DONE, EDIT_NOTHING_TO_DO, EDIT_FAILED };

/* One cluster's edit, on the text that `doc` was parsed from; the new text is appended to `out`
 * (also when there is nothing to do). On EDIT_FAILED `err` says why, and `at` where (line 0: no
 * place): no modules list, a list shared by an anchor, a list in a style that cannot be edited
 * safely. The result has been parsed again and differs in this one list only. */
enum edit_result edit_enable(const struct ydoc *doc, const char *cluster, const char *module,
                             struct hfc_buf *out, struct srcpos *at, struct hfc_error *err);
enum edit_result edit_disable(const struct ydoc *doc, const char *cluster, const char *module,
                              struct hfc_buf *out, struct srcpos *at, struct hfc_error *err);

#endif
