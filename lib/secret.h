/* secret.h: memory for passwords, keys and tokens.
 *
 * Its pages are left out of core dumps and wiped before they go back. What a secret passes on its
 * way (a file's buffer, a request's body) is ordinary memory: wipe it with the functions below.
 *
 * Threads: no state.
 */
#ifndef HFC_SECRET_H
#define HFC_SECRET_H

#include <stddef.h>

#include "buf.h"

/* n bytes, zeroed, on pages of their own; NULL: out of memory. */
void *hfc_secret_new(size_t n);

/* Wipes and releases. NULL is fine. */
void hfc_secret_free(void *p);

/* Takes all memory that the buffer may ever need, so that growing leaves no copy behind. For small
 * caps. */
void hfc_secret_buf_reserve(struct hfc_buf *b);

/* Wipes the buffer's memory, then frees it. */
void hfc_secret_buf_free(struct hfc_buf *b);

#define hfc_autosecretbuf __attribute__((cleanup(hfc_secret_buf_free)))

#endif
