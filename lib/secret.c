/* secret.c: memory for secrets; see secret.h. */
#include "secret.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* In front of the bytes: how long the mapping is. */
struct mapping {
    alignas(max_align_t) size_t size;
};

/* A kernel without MADV_DONTDUMP still gives the memory: it is a second line of defence. */
void *hfc_secret_new(size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    size_t size = sizeof(struct mapping) + n;
    struct mapping *m =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    (void)madvise(m, size, MADV_DONTDUMP);
    m->size = size;
    return m + 1;
}

void hfc_secret_free(void *p)
{
    if (p == NULL)
        return;
    struct mapping *m = (struct mapping *)p - 1;
    size_t size = m->size;
    assert(size >= sizeof(*m));
    explicit_bzero(m, size);
    (void)munmap(m, size);
}

void hfc_secret_buf_reserve(struct hfc_buf *b)
{
    assert(b->len == 0);
    (void)hfc_buf_reserve(b, b->max);
}

void hfc_secret_buf_free(struct hfc_buf *b)
{
    if (b->cap > 0)
        explicit_bzero(b->data, b->cap);
    hfc_buf_free(b);
}
