/* shape.h: whether a value put into YAML text stays a value.
 *
 * Values are put into templates without quoting, as they always have been. Most cannot do harm
 * wherever they stand; of the others it is tested what they do: the text is rendered once with each
 * such value replaced by harmless characters of the same length, and once with the value, and both
 * must have the same structure and scalars of the same length. A line break is never harmless: in
 * quotes it would silently become a space.
 */
#ifndef GEN_SHAPE_H
#define GEN_SHAPE_H

#include <stdbool.h>

#include "template.h"

/* True if the text is harmless in any place: plain, single- or double-quoted, block. */
bool shape_is_harmless(struct text t);

/* True if the text holds a line break, as YAML knows them. */
bool shape_breaks_line(struct text t);

/* The same length, with 'x' for everything that could do harm; lives in `a`. */
struct text shape_stand_in(struct arena *a, struct text t);

/* True if `actual` has the structure of `model`, documents embedded in literal block scalars
 * included, and scalars of the same length if `lengths` is set. Also true if `model` itself is not
 * YAML: then there is nothing to break. */
bool shape_same(struct text model, struct text actual, bool lengths);

#endif
