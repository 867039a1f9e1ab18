/* fuzz_blob_map.c: maps of blobs, damaged in any way.
 *
 * Input: the bytes of a map. They are read as a header, as they are and with the checksum that they
 * ought to have, which no fuzzer would find; then, XORed with a right map, they take its place
 * below a blob in a cache. Checked: no crash; a header that is accepted has one form only; a block
 * that is read has the right bytes, or is not there; and the cache takes blocks again afterwards.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blob_map.h"
#include "crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = BLOCK_SIZE + 1000, BLOCKS = 2, MAP_SIZE = MAP_HEADER + BLOCKS * MAP_RECORD };

static const struct blob_info info = {
    .id = 0x10, .size = SIZE, .key = "hub/models--a--b/snapshots/c/file", .etag = "0123-2"};

static char directory[64], map_path[100];
static struct cache *cache;
static uint8_t *block;

static void check_header(const uint8_t page[MAP_HEADER])
{
    struct blob_header h;
    uint8_t again[MAP_HEADER];

    if (!map_header_read(page, &h))
        return;
    assert(map_can_hold(&h.info) && strlen(h.key) > 0 && strlen(h.etag) < HFC_ETAG_MAX);
    map_header_make(&h.info, h.verified, again);
    assert(memcmp(page, again, MAP_HEADER) == 0);
}

static void open_cache(void)
{
    struct cache_config config = {
        .directory = directory, .limit = 16 << 20, .blobs_max = 16, .files_max = 1};
    struct hfc_error err;

    cache = cache_open(&config, 0, &err);
    assert(cache != NULL);
}

static void clean_up(void)
{
    char command[100];

    (void)snprintf(command, sizeof(command), "rm -rf %s", directory);
    (void)!system(command);
}

/* In memory, where that can be had: a start for each input is dear enough. */
static void set_up(void)
{
    (void)snprintf(directory, sizeof(directory), "%s/hfcache-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert(mkdtemp(directory) != NULL);
    (void)atexit(clean_up);
    (void)snprintf(map_path, sizeof(map_path), "%s/blobs/%016llx.map", directory,
                   (unsigned long long)info.id);
    block = aligned_alloc(DATA_UNIT, BLOCK_SIZE);
    assert(block != NULL);
    open_cache();
}

static void fill_block(uint32_t i)
{
    memset(block, (int)i + 1, BLOCK_SIZE);
}

static void fill_missing(void)
{
    struct blob *b = blob_use(cache, &info);

    for (uint32_t i = 0; i < BLOCKS; i++) {
        fill_block(i);
        if (blob_present(b, i, 1) == 0)
            assert(blob_write(b, i, block) == BLOB_OK);
    }
    assert(blob_complete(b));
    blob_done(b);
}

static void damage_map(const uint8_t *data, size_t size)
{
    uint8_t map[MAP_SIZE];
    int fd = open(map_path, O_RDWR);

    assert(fd >= 0 && pread(fd, map, sizeof(map), 0) == MAP_SIZE);
    for (size_t i = 0; i < sizeof(map) && i < size; i++)
        map[i] ^= data[i];
    assert(pwrite(fd, map, sizeof(map), 0) == MAP_SIZE);
    (void)close(fd);
}

static void check_blob(struct blob *b)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        memset(block, 0xee, BLOCK_SIZE);
        if (blob_read(b, i, block) != BLOB_OK)
            continue;
        uint32_t n = blob_block_size(b, i);
        assert(block[0] == i + 1 && memcmp(block, block + 1, n - 1) == 0);
    }
    (void)blob_verified(b);
}

static void check_open_files(const uint8_t *data, size_t size)
{
    fill_missing();
    damage_map(data, size);
    struct blob *b = blob_use(cache, &info);
    check_blob(b);
    blob_done(b);
}

/* As what a start finds. */
static void check_start(const uint8_t *data, size_t size)
{
    fill_missing();
    cache_close(cache);
    damage_map(data, size);
    open_cache();
    struct blob *b = blob_use_cached(cache, info.id);
    if (b != NULL && blob_info(b)->size == SIZE)
        check_blob(b);
    blob_done(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t page[MAP_HEADER] = {0};

    if (cache == NULL)
        set_up();
    memcpy(page, data, size < MAP_HEADER ? size : MAP_HEADER);
    check_header(page);
    uint32_t crc = crc32c(0, page + 12, MAP_HEADER - 12);
    memcpy(page + 8, &crc, sizeof(crc));
    check_header(page);
    check_open_files(data, size);
    check_start(data, size);
    return 0;
}
