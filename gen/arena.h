/* arena.h: memory that lives as long as a phase of the program and is given back at once.
 *
 * hfcache-gen loads its inputs into one arena for the run and each cluster's work into another that
 * is reset in between, so memory does not grow with the number of clusters. Running out of memory
 * ends the program (message on stderr, exit 1): nothing has been written by then, because output is
 * swapped in last.
 *
 * Threads: an arena belongs to one thread.
 */
#ifndef GEN_ARENA_H
#define GEN_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is fine */

/* Forgets everything allocated so far, keeps a block for what comes next. */
void arena_reset(struct arena *a);

/* Zeroed, aligned for any type, never NULL. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));

/* A copy of n bytes with a NUL after them. */
char *arena_strndup(struct arena *a, const char *text, size_t n) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *text) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((returns_nonnull, format(printf, 2, 3)));

#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array_of(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (n)))

#endif
