/* budget.h: one number of memory, divided once at the start; nothing else grows.
 *
 *   base        the process, its libraries, CA certificates (measured, docs/performance.md)
 *   tables      indexes, listings, the files of models
 *   connections what sockets, TLS and libcurl hold, for the Hub and for each bucket
 *   small       bodies of files that need no block
 *   blocks      buffers of block_size, the unit in which large files travel
 */
#ifndef REFRESH_BUDGET_H
#define REFRESH_BUDGET_H

#include "error.h"
#include "http.h"

enum {
    MEBIBYTE = 1024 * 1024,
    BUDGET_DEFAULT = 64 * MEBIBYTE,
    SMALL_FILE_MAX = MEBIBYTE, /* larger ones take a block */
    TARGETS_MAX = 32,
};

struct budget {
    size_t total, base, tables, connections, small, blocks;
    size_t block_size;
    unsigned block_count;
    unsigned files;               /* under way at once */
    struct hfc_http_config hub;   /* caps of the Hub's client */
    struct hfc_http_config store; /* and of each bucket's */
};

/* Divides `total` bytes for `targets` buckets. `jobs`: files at once, or 0. -1: too little; the
 * message names the figure that would do. */
int budget_divide(struct budget *b, size_t total, unsigned targets, unsigned jobs,
                  struct hfc_error *err);

/* Cuts the blocks' memory into blocks of this size; S3 takes no parts below 5 MiB, a directory
 * does. For tests: so that a small file has more blocks than an upload may have parts. */
void budget_cut(struct budget *b, size_t block_size);

/* "64Mi", "1G", "500000": bytes. -1 with what was expected. */
int budget_parse(const char *text, size_t *bytes, struct hfc_error *err);

#endif
