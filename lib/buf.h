/* buf.h: a byte buffer that grows up to a cap given when it is made.
 *
 * Appending never fails visibly: once the cap would be passed, or memory is short, the buffer turns
 * `failed`, keeps what it has and ignores what follows. Check hfc_buf_failed() once, where the
 * content is used. The content is always followed by a NUL that is not counted.
 *
 * Threads: a buffer belongs to one thread at a time.
 */
#ifndef HFC_BUF_H
#define HFC_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct hfc_buf {
    char *data; /* never NULL after hfc_buf_init(), even when empty */
    size_t len;
    size_t cap; /* bytes allocated; 0: `data` is a shared empty string */
    size_t max; /* content never grows beyond this */
    bool failed;
};

/* What an empty buffer points to. */
extern char hfc_buf_empty[1];

/* Initialises a declaration: `hfc_autobuf struct hfc_buf b = HFC_BUF(4096);` */
#define HFC_BUF(limit)                                                                             \
    {                                                                                              \
        .data = hfc_buf_empty, .max = (limit)                                                      \
    }

void hfc_buf_init(struct hfc_buf *b, size_t max);
void hfc_buf_free(struct hfc_buf *b);

/* Forgets the content and the failure, keeps the memory. */
void hfc_buf_reset(struct hfc_buf *b);

void hfc_buf_add(struct hfc_buf *b, const void *bytes, size_t n);
void hfc_buf_str(struct hfc_buf *b, const char *text);
void hfc_buf_char(struct hfc_buf *b, char c);
void hfc_buf_printf(struct hfc_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for n more bytes at data + len, which the caller fills and counts. NULL: failed. */
char *hfc_buf_reserve(struct hfc_buf *b, size_t n);

static inline bool hfc_buf_failed(const struct hfc_buf *b)
{
    return b->failed;
}

#define hfc_autobuf __attribute__((cleanup(hfc_buf_free)))

#endif
