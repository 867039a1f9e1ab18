/* budget.c: the division of memory; see budget.h. */
#include "budget.h"

#include <assert.h>
#include <errno.h>

#include "command.h"

enum {
    KIBIBYTE = 1024,
    BASE = 14 * MEBIBYTE,
    TABLES_SHARE = 8,           /* one part in so many */
    SMALL_SHARE = 8,            /* of what is left for bodies */
    BLOCK_SMALL = 5 * MEBIBYTE, /* S3 takes no smaller part */
    BLOCK_LARGE = 8 * MEBIBYTE,
    BLOCKS_MIN = 2,
    BLOCKS_ENOUGH = 8,               /* with so many, larger ones are better: fewer requests */
    CONNECTION_SHARE = 6 * MEBIBYTE, /* one connection for so much of the total */
    CONNECTIONS_MIN = 4,
    CONNECTIONS_MAX = 64,
    TARGET_CONNECTIONS_MIN = 2,
};

static unsigned clamp(size_t n, unsigned low, unsigned high)
{
    return n < low ? low : n > high ? high : (unsigned)n;
}

/* The Hub sends and the buckets receive, so each gets large buffers on the side that counts. */
static size_t divide_connections(struct budget *b, unsigned targets)
{
    unsigned n = clamp(b->total / CONNECTION_SHARE, CONNECTIONS_MIN, CONNECTIONS_MAX);

    b->hub = (struct hfc_http_config){.connections = n,
                                      .receive_buffer = 256 * KIBIBYTE,
                                      .send_buffer = 16 * KIBIBYTE,
                                      .transfer_buffer = 64 * KIBIBYTE};
    b->store = (struct hfc_http_config){
        .connections = clamp(n / targets, TARGET_CONNECTIONS_MIN, CONNECTIONS_MAX),
        .receive_buffer = 64 * KIBIBYTE,
        .send_buffer = 256 * KIBIBYTE,
        .transfer_buffer = 64 * KIBIBYTE};
    return n * hfc_http_connection_memory(&b->hub) +
           targets * b->store.connections * hfc_http_connection_memory(&b->store);
}

/* What is left for bodies after the rest; 0 if there is nothing. */
static size_t divide_rest(struct budget *b, unsigned targets)
{
    b->base = BASE;
    b->tables = b->total / TABLES_SHARE;
    b->connections = divide_connections(b, targets);
    size_t taken = b->base + b->tables + b->connections;
    return taken < b->total ? b->total - taken : 0;
}

static void divide_bodies(struct budget *b, size_t bodies)
{
    b->small = bodies / SMALL_SHARE < SMALL_FILE_MAX ? SMALL_FILE_MAX : bodies / SMALL_SHARE;
    size_t blocks = bodies > b->small ? bodies - b->small : 0;
    b->block_size = blocks >= BLOCKS_ENOUGH * (size_t)BLOCK_LARGE ? BLOCK_LARGE : BLOCK_SMALL;
    b->block_count = (unsigned)(blocks / b->block_size);
    b->blocks = b->block_count * b->block_size;
}

/* The least total that works: found by trying, as the parts depend on the total. */
static size_t least(unsigned targets)
{
    struct budget b = {.total = 0};

    do {
        b.total += MEBIBYTE;
        divide_bodies(&b, divide_rest(&b, targets));
    } while (b.block_count < BLOCKS_MIN);
    return b.total;
}

int budget_divide(struct budget *b, size_t total, unsigned targets, unsigned jobs,
                  struct hfc_error *err)
{
    assert(targets >= 1 && targets <= TARGETS_MAX);
    *b = (struct budget){.total = total};
    divide_bodies(b, divide_rest(b, targets));
    if (b->block_count < BLOCKS_MIN)
        return hfc_error_set(err, EINVAL,
                             "%zu MiB of memory are not enough for %u bucket%s: use --memory %zuMi "
                             "or more",
                             total / MEBIBYTE, targets, targets == 1 ? "" : "s",
                             least(targets) / MEBIBYTE);
    b->files = jobs > 0 ? jobs : 2 * b->hub.connections;
    assert(b->base + b->tables + b->connections + b->small + b->blocks <= b->total);
    return 0;
}

void budget_cut(struct budget *b, size_t block_size)
{
    assert(block_size > 0 && block_size <= b->block_size);
    b->block_size = block_size;
    b->blocks = b->block_count * block_size;
}

int budget_parse(const char *text, size_t *bytes, struct hfc_error *err)
{
    uint64_t n;

    if (!command_bytes(text, &n) || n > SIZE_MAX)
        return hfc_error_set(
            err, 0, "'%s' is no amount of memory: expected something like 64Mi or 1G", text);
    *bytes = (size_t)n;
    return 0;
}
