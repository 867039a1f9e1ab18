/* suggest.c: nearest words by the optimal string alignment distance; see suggest.h. */
#include "suggest.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

enum { WORD_MAX = 64, SHORT_WORD = 6 }; /* longer words than WORD_MAX have no near ones */

/* What is left of a word when `-`, `_` and case do not count. Returns its length, 0 for a word that
 * is too long. */
static size_t fold(const char *word, char folded[WORD_MAX])
{
    size_t n = 0;

    for (const char *p = word; *p != '\0'; p++) {
        if (*p == '-' || *p == '_')
            continue;
        if (n == WORD_MAX)
            return 0;
        folded[n++] = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    }
    return n;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap neighbours) that make b of a. */
static unsigned distance(const char *a, size_t an, const char *b, size_t bn)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    assert(an <= WORD_MAX && bn <= WORD_MAX);
    for (size_t j = 0; j <= bn; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned change = a[i - 1] != b[j - 1];
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1, row[j]);
        }
        unsigned *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[bn];
}

const char *suggest(const char *word, const char *const *known)
{
    char folded[WORD_MAX], other[WORD_MAX];
    size_t n = fold(word, folded);
    unsigned limit = strlen(word) <= SHORT_WORD ? 1 : 2;
    unsigned best = limit + 1;
    const char *nearest = NULL;

    for (const char *const *k = known; *k != NULL; k++) {
        if (strcmp(*k, word) == 0)
            return NULL;
        size_t m = fold(*k, other);
        if (n == 0 || m == 0)
            continue;
        unsigned d = distance(folded, n, other, m);
        /* As many edits as there are letters make any word of any other. */
        if (d < best && d < n && d < m) {
            best = d;
            nearest = *k;
        }
    }
    return nearest;
}
