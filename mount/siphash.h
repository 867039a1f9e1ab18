/* siphash.h: SipHash-2-4, 64 bits: what node ids and tables of strings are made with.
 *
 * Fast, and it spreads well. With a key that is known, as here, it is no defence against somebody
 * who wants two texts of the same hash: its users have to live with such a pair.
 *
 * Threads: no state.
 */
#ifndef MOUNT_SIPHASH_H
#define MOUNT_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash24(const uint8_t key[16], const void *bytes, size_t n);

#endif
