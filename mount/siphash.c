/* siphash.c: SipHash-2-4 as its authors define it (Aumasson and Bernstein, 2012); see siphash.h.
 * Keeps no state: any thread may call it.
 */
#include "siphash.h"

#include <endian.h>
#include <string.h>

enum { WORD = 8, ROUNDS_EACH = 2, ROUNDS_LAST = 4 };

struct state {
    uint64_t v[4];
};

static uint64_t rotated(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(struct state *s, unsigned rounds)
{
    uint64_t *v = s->v;

    for (unsigned i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotated(v[1], 13) ^ v[0];
        v[3] = rotated(v[3], 16) ^ v[2];
        v[0] = rotated(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotated(v[1], 17) ^ v[2];
        v[3] = rotated(v[3], 21) ^ v[0];
        v[2] = rotated(v[2], 32);
    }
}

static uint64_t word(const uint8_t *bytes)
{
    uint64_t x;

    memcpy(&x, bytes, sizeof(x));
    return le64toh(x);
}

static void take(struct state *s, uint64_t x)
{
    s->v[3] ^= x;
    mix(s, ROUNDS_EACH);
    s->v[0] ^= x;
}

uint64_t siphash24(const uint8_t key[16], const void *bytes, size_t n)
{
    const uint64_t k0 = word(key), k1 = word(key + WORD);
    struct state s = {{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                       k1 ^ 0x7465646279746573}};
    uint8_t last[WORD] = {0};
    const uint8_t *at = bytes;
    size_t whole = n / WORD * WORD;

    for (const uint8_t *end = at + whole; at < end; at += WORD)
        take(&s, word(at));
    if (n > whole)
        memcpy(last, at, n - whole);
    last[WORD - 1] = (uint8_t)n;
    take(&s, word(last));
    s.v[2] ^= 0xff;
    mix(&s, ROUNDS_LAST);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
