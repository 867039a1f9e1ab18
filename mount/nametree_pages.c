/* nametree_pages.c: memory for a tree's tables; see nametree_internal.h.
 *
 * Mappings of their own, outside malloc(3), so that a tree that goes gives all of its memory back
 * to the system, and one that grows is not copied: for a moment that would be twice the memory.
 * Huge pages are refused, since they would fill what was only reserved. Belongs to whoever owns the
 * struct. In sanitized builds it is malloc(3) all the same: it sees who reads beyond the end.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nametree_internal.h"

enum { PAGE = 4096 };

static size_t whole_pages(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE;
}

#ifdef HFC_SANITIZED

static bool resize(struct pages *p, size_t size)
{
    char *at = realloc(p->at, size > 0 ? size : 1);

    if (at == NULL)
        return false;
    if (size > p->size)
        memset(at + p->size, 0, size - p->size);
    *p = (struct pages){at, size};
    return true;
}

void pages_free(struct pages *p)
{
    free(p->at);
    *p = (struct pages){NULL, 0};
}

#else

static bool resize(struct pages *p, size_t size)
{
    void *at = p->at == NULL ? mmap(NULL, size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                             : mremap(p->at, p->size, size, MREMAP_MAYMOVE);

    if (at == MAP_FAILED)
        return false;
    (void)madvise(at, size, MADV_NOHUGEPAGE);
    *p = (struct pages){at, size};
    return true;
}

void pages_free(struct pages *p)
{
    if (p->at != NULL)
        (void)munmap(p->at, p->size);
    *p = (struct pages){NULL, 0};
}

#endif

/* What is reserved beyond the need is not touched, and so costs nothing but addresses. */
bool pages_grow(struct pages *p, size_t need)
{
    assert(need > 0);
    if (need <= p->size)
        return true;
    size_t size = whole_pages(need), more = whole_pages(p->size + p->size / 2);
    return resize(p, size > more ? size : more);
}

void pages_trim(struct pages *p, size_t need)
{
#ifndef HFC_SANITIZED
    need = whole_pages(need);
#endif
    assert(need <= p->size);
    if (need < p->size && need > 0)
        (void)resize(p, need);
}
