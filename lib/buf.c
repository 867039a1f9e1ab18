/* buf.c: capped byte buffers; see buf.h. */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So that `data` is always a string. Never written. */
char hfc_buf_empty[1];

void hfc_buf_init(struct hfc_buf *b, size_t max)
{
    assert(max > 0);
    *b = (struct hfc_buf){.data = hfc_buf_empty, .max = max};
}

/* What is left is an empty buffer of the same cap, so freeing twice, or by scope after all, is
 * fine. */
void hfc_buf_free(struct hfc_buf *b)
{
    if (b->cap > 0)
        free(b->data);
    *b = (struct hfc_buf){.data = hfc_buf_empty, .max = b->max};
}

void hfc_buf_reset(struct hfc_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->cap > 0)
        b->data[0] = '\0';
}

/* `n > max - len` cannot overflow, where `len + n > max` could. The NUL is not counted in the cap.
 * Doubling keeps many small appends cheap; memory may pass the cap by it, content never. */
char *hfc_buf_reserve(struct hfc_buf *b, size_t n)
{
    assert(b->len <= b->max);
    if (b->failed || n > b->max - b->len) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->len + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need)
            cap *= 2;
        char *data = realloc(b->cap > 0 ? b->data : NULL, cap);
        if (data == NULL) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->data[b->len] = '\0'; /* whoever reserves may add nothing */
        b->cap = cap;
    }
    return b->data + b->len;
}

/* All or nothing. `bytes` may be NULL when n is 0, which memcpy() must not see. */
void hfc_buf_add(struct hfc_buf *b, const void *bytes, size_t n)
{
    char *room = hfc_buf_reserve(b, n);

    if (room == NULL)
        return;
    if (n > 0)
        memcpy(room, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void hfc_buf_str(struct hfc_buf *b, const char *text)
{
    hfc_buf_add(b, text, strlen(text));
}

void hfc_buf_char(struct hfc_buf *b, char c)
{
    hfc_buf_add(b, &c, 1);
}

/* Formats twice: the length has to be known before room is asked for. */
void hfc_buf_printf(struct hfc_buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *room = n < 0 ? NULL : hfc_buf_reserve(b, (size_t)n);
    if (room == NULL) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(room, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}
