/* arena.c: a list of blocks, filled from the front; see arena.h. */
#include "arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An allocation that is larger gets a block of its own size. */
enum { BLOCK_SIZE = 64 * 1024 };

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *blocks; /* the first one is being filled */
};

/* Callers have no error path for memory. A finding could not be made now either, so this is a bare
 * line. */
static void die_of_memory(void)
{
    fputs("hfcache-gen: error: out of memory\n", stderr);
    exit(1);
}

/* The bytes are not cleared here: arena_alloc() does it, as blocks are used again after a reset. */
static struct block *block_new(size_t size, struct block *next)
{
    struct block *b = malloc(sizeof(*b) + size);

    if (b == NULL)
        die_of_memory();
    b->next = next;
    b->used = 0;
    b->size = size;
    return b;
}

struct arena *arena_new(void)
{
    struct arena *a = malloc(sizeof(*a));

    if (a == NULL)
        die_of_memory();
    a->blocks = block_new(BLOCK_SIZE, NULL);
    return a;
}

static void free_blocks(struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    free_blocks(a->blocks);
    free(a);
}

/* The newest block stays, whatever its size: the next cluster is likely to need as much as the
 * last. */
void arena_reset(struct arena *a)
{
    free_blocks(a->blocks->next);
    a->blocks->next = NULL;
    a->blocks->used = 0;
}

/* What is left of the block at hand is lost when a new one begins, as only the first is ever looked
 * at. That keeps an allocation at a few instructions. */
void *arena_alloc(struct arena *a, size_t n)
{
    struct block *b = a->blocks;
    size_t aligned = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

    assert(aligned >= n);
    if (aligned > b->size - b->used) {
        b = block_new(aligned > BLOCK_SIZE ? aligned : BLOCK_SIZE, b);
        a->blocks = b;
    }
    void *p = b->bytes + b->used;
    b->used += aligned;
    return memset(p, 0, aligned);
}

/* `text` may be NULL when n is 0, which memcpy() must not see. The NUL comes with the zeroed
 * memory. */
char *arena_strndup(struct arena *a, const char *text, size_t n)
{
    char *copy = arena_alloc(a, n + 1);

    if (n > 0)
        memcpy(copy, text, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_strndup(a, text, strlen(text));
}

/* Formats twice, first to learn the length; a va_list that was used must be started again. */
char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    char *text = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return text;
}
