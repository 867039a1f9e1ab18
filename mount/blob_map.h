/* blob_map.h: the bytes of a map file: its header, and a record for each block.
 *
 * docs/cache-format.md is the specification. Everything is little-endian. Nothing here touches a
 * disk; what is read may be damaged in any way, and is then invalid.
 *
 * Threads: no state.
 */
#ifndef MOUNT_BLOB_MAP_H
#define MOUNT_BLOB_MAP_H

#include "cache.h"
#include "memory_plan.h"

enum {
    MAP_HEADER = 2048, /* so that a small blob's map takes one page */
    MAP_RECORD = 8,
    DATA_UNIT = 4096, /* what O_DIRECT writes at least: data files are multiples of it */
};

/* Blocks have numbers of 32 bits, of which the last one means none. */
#define BLOB_SIZE_MAX ((uint64_t)(UINT32_MAX - 1) * BLOCK_SIZE)

struct blob_header {
    struct blob_info info; /* its strings are those below */
    bool verified;
    char key[HFC_KEY_MAX + 1], etag[HFC_ETAG_MAX];
};

/* Of a blob, in bytes. */
uint64_t map_file_size(uint64_t size);
uint64_t data_file_size(uint64_t size);
uint32_t blocks_of(uint64_t size);

/* Whether a header can hold it: sizes and lengths are within their limits. */
bool map_can_hold(const struct blob_info *info);
void map_header_make(const struct blob_info *info, bool verified, uint8_t page[MAP_HEADER]);
/* False: it is damaged, of another version, or no header. */
bool map_header_read(const uint8_t page[MAP_HEADER], struct blob_header *header);

/* As it stands in the file. Never 0. */
uint64_t map_record_make(uint64_t id, uint32_t block, uint32_t crc);
bool map_record_read(uint64_t id, uint32_t block, uint64_t record, uint32_t *crc);

#endif
