/* check.h: the small checks that every reader of inputs makes, each reporting what it finds. */
#ifndef GEN_CHECK_H
#define GEN_CHECK_H

#include <stdbool.h>

#include "diag.h"
#include "ynode.h"

/* `what` names the value in messages: "region", "max_runners". */

/* True if n is of the type; else D_NULL or D_TYPE. */
bool check_type(struct diags *d, const struct ynode *n, const char *what, enum ytype type);

/* A number: Y_INT or Y_FLOAT, not a boolean. */
bool check_number(struct diags *d, const struct ynode *n, const char *what);

/* An integer of at least `min`, which is 0 or 1. `code` is what a wrong one is reported as. */
bool check_int(struct diags *d, enum diag_code code, const struct ynode *n, const char *what,
               int min);

/* Null or a list. */
bool check_list_or_null(struct diags *d, const struct ynode *n, const char *what);

/* Reports keys of `map` that are not in `known` but look like one that is; keys that stand in
 * `others` (a list of text, or NULL) are somebody else's and pass. */
void check_keys(struct diags *d, const struct ynode *map, const char *const *known,
                const struct ynode *others);

/* "an integer", "text", "null": for messages. */
const char *type_noun(const struct ynode *n);

/* The value in Python notation, cut to a length that fits a message; lives as long as `d`. */
const char *repr_of(struct diags *d, const struct ynode *n);

/* 1 to 63 lower-case letters, digits and '-', the last not at either end, and
 * no line break behind it: what Kubernetes takes for the name of a fleet, a namespace or a cluster.
 */
bool is_dns_label(const char *text, size_t n);

/* True if the list has a Y_STR item equal to text; false for NULL and anything but a list. */
bool list_has(const struct ynode *list, const char *text);

#endif
