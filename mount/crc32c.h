/* crc32c.h: the checksum of blocks, by the processor's instruction where it has one.
 *
 * CRC-32C (Castagnoli), as in iSCSI: 0xe3069283 for "123456789".
 *
 * Threads: any.
 */
#ifndef MOUNT_CRC32C_H
#define MOUNT_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of bytes that follow others whose checksum is `crc`; 0 to begin with. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);

/* The ways to compute it, for tests: all give the same. */
enum crc32c_way { CRC32C_TABLE, CRC32C_SSE42, CRC32C_ARMV8 };
bool crc32c_can(enum crc32c_way way);
/* The way must be one that this processor can go. */
uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *bytes, size_t n);

#endif
