/* suggest.h: "did you mean": the known word a mistyped one was meant to be. */
#ifndef GEN_SUGGEST_H
#define GEN_SUGGEST_H

/* The nearest of `known` (ended by NULL), or NULL if none is near: `-`, `_`, and case apart, one
 * edit for words up to 6 characters, two for longer ones; a swap of neighbours is one edit. A word
 * that is itself in the list gives NULL. */
const char *suggest(const char *word, const char *const *known);

#endif
