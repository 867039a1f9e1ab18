/* diag_format.h: what the printers of diag_format.c and diag_json.c share; see diag.h for what
 * others may use.
 */
#ifndef GEN_DIAG_FORMAT_H
#define GEN_DIAG_FORMAT_H

#include "diag.h"

/* The findings in the order of printing. */
struct diag_list {
    const struct diag *const *items;
    size_t n;
};

/* "error" or "warning". */
const char *diag_severity_name(const struct diag *item);

/* One object a line. */
void diag_print_json(const struct diag_list *list, FILE *to);

/* One SARIF 2.1.0 log. */
void diag_print_sarif(const struct diag_list *list, FILE *to);

#endif
