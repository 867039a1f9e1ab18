/* need.h: memory that the program can't go on without.
 *
 * Small objects whose number is bounded: when there is no room for one, no caller has an answer.
 */
#ifndef COMMAND_NEED_H
#define COMMAND_NEED_H

#include <stdlib.h>
#include <string.h>

/* The pointer, which is not NULL. */
static inline void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static inline char *need_copy(const char *text, size_t n)
{
    return need(strndup(text, n));
}

#endif
