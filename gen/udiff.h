/* udiff.h: unified diffs of two texts, as diff -u prints them.
 *
 * Shortest edit script by Myers' algorithm with a bound on the work; past the bound the diff is
 * still right, only not the shortest. Appends nothing when the texts are equal.
 */
#ifndef GEN_UDIFF_H
#define GEN_UDIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

struct udiff_text {
    const char *name; /* shown after "--- " or "+++ "; "/dev/null" for a file that is not there */
    const char *p;
    size_t n;
};

/* `color`: SGR colours for a terminal. */
void udiff(const struct udiff_text *from, const struct udiff_text *to, bool color,
           struct hfc_buf *out);

#endif
