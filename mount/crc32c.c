/* crc32c.c: CRC-32C; see crc32c.h. Owns the tables of the portable way, made once, and the choice
 * of the way; both are constant afterwards.
 */
#include "crc32c.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

enum { WORD = 8, BYTE_VALUES = 256 };

static const uint32_t POLYNOMIAL = 0x82f63b78; /* reflected */

/* tables[k][b]: what the byte b does to the checksum when k more bytes follow it. */
static uint32_t tables[WORD][BYTE_VALUES];
static enum crc32c_way best;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return le64toh(word);
}

/* The checksum's state is inverted outside of these functions. */
static uint32_t add_by_table(uint32_t state, const uint8_t *bytes, size_t n)
{
    for (; n >= WORD; n -= WORD, bytes += WORD) {
        uint64_t word = load_word(bytes) ^ state;
        state = 0;
        for (unsigned i = 0; i < WORD; i++)
            state ^= tables[WORD - 1 - i][word >> (8 * i) & 0xff];
    }
    for (; n > 0; n--, bytes++)
        state = state >> 8 ^ tables[0][(state ^ *bytes) & 0xff];
    return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t add_by_sse42(uint32_t state, const uint8_t *bytes,
                                                               size_t n)
{
    uint64_t wide = state;

    for (; n >= WORD; n -= WORD, bytes += WORD)
        wide = __builtin_ia32_crc32di(wide, load_word(bytes));
    state = (uint32_t)wide;
    for (; n > 0; n--, bytes++)
        state = __builtin_ia32_crc32qi(state, *bytes);
    return state;
}
#endif

#if defined(__aarch64__)
/* Compilers don't agree on the name of the builtin, nor on how to allow it for one function. */
static uint32_t add_by_armv8(uint32_t state, const uint8_t *bytes, size_t n)
{
    for (; n >= WORD; n -= WORD, bytes += WORD)
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1"
                : "+r"(state)
                : "r"(load_word(bytes)));
    for (; n > 0; n--, bytes++)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1"
                : "+r"(state)
                : "r"((uint32_t)*bytes));
    return state;
}
#endif

static void prepare(void)
{
    for (unsigned byte = 0; byte < BYTE_VALUES; byte++) {
        uint32_t state = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            state = state >> 1 ^ ((state & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][byte] = state;
    }
    for (unsigned k = 1; k < WORD; k++)
        for (unsigned byte = 0; byte < BYTE_VALUES; byte++)
            tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
    best = crc32c_can(CRC32C_SSE42)   ? CRC32C_SSE42
           : crc32c_can(CRC32C_ARMV8) ? CRC32C_ARMV8
                                      : CRC32C_TABLE;
}

bool crc32c_can(enum crc32c_way way)
{
#if defined(__x86_64__)
    if (way == CRC32C_SSE42)
        return __builtin_cpu_supports("sse4.2") != 0;
#elif defined(__aarch64__)
    if (way == CRC32C_ARMV8)
        return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
    return way == CRC32C_TABLE;
}

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *bytes, size_t n)
{
    assert(crc32c_can(way));
    (void)pthread_once(&prepared, prepare);
#if defined(__x86_64__)
    if (way == CRC32C_SSE42)
        return ~add_by_sse42(~crc, bytes, n);
#elif defined(__aarch64__)
    if (way == CRC32C_ARMV8)
        return ~add_by_armv8(~crc, bytes, n);
#endif
    return ~add_by_table(~crc, bytes, n);
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
    (void)pthread_once(&prepared, prepare);
    return crc32c_by(best, crc, bytes, n);
}
