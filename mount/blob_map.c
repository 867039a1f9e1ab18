/* blob_map.c: headers and records of map files; see blob_map.h. Owns nothing. */
#include "blob_map.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "crc32c.h"

/* Where what stands in the header; see docs/cache-format.md. */
enum {
    AT_MAGIC = 0,
    AT_CRC = 8, /* of all bytes behind it */
    AT_FLAGS = 12,
    AT_ID = 16,
    AT_SIZE = 24,
    AT_BLOCK_SIZE = 32,
    AT_KEY_LEN = 36,
    AT_ETAG_LEN = 38,
    AT_SHA256 = 40,
    AT_SHA1 = AT_SHA256 + HFC_SHA256_SIZE,
    AT_TEXT = 96, /* key, then ETag; then zeros */
};
_Static_assert(AT_SHA1 + HFC_SHA1_SIZE <= AT_TEXT, "digests end before the texts");
_Static_assert(AT_TEXT + HFC_KEY_MAX + HFC_ETAG_MAX <= MAP_HEADER, "the header holds all texts");

enum { FLAG_VERIFIED = 1, FLAG_SHA256 = 2, FLAG_SHA1 = 4 };

static const uint8_t MAGIC[8] = {'h', 'f', 'c', 'm', 'a', 'p', '1', '\n'}; /* 1: the version */

uint32_t blocks_of(uint64_t size)
{
    return (uint32_t)((size + BLOCK_SIZE - 1) / BLOCK_SIZE);
}

uint64_t map_file_size(uint64_t size)
{
    return MAP_HEADER + (uint64_t)blocks_of(size) * MAP_RECORD;
}

uint64_t data_file_size(uint64_t size)
{
    return (size + DATA_UNIT - 1) / DATA_UNIT * DATA_UNIT;
}

bool map_can_hold(const struct blob_info *info)
{
    size_t key = strnlen(info->key, HFC_KEY_MAX + 1);

    return info->size <= BLOB_SIZE_MAX && key > 0 && key <= HFC_KEY_MAX &&
           strnlen(info->etag, HFC_ETAG_MAX) < HFC_ETAG_MAX;
}

static void put16(uint8_t *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof(value));
}

static void put32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}

static uint16_t get16(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return le16toh(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

void map_header_make(const struct blob_info *info, bool verified, uint8_t page[MAP_HEADER])
{
    size_t key = strlen(info->key), etag = strlen(info->etag);

    assert(map_can_hold(info));
    memset(page, 0, MAP_HEADER);
    memcpy(page + AT_MAGIC, MAGIC, sizeof(MAGIC));
    put32(page + AT_FLAGS, (verified ? FLAG_VERIFIED : 0U) |
                               (info->meta.has_sha256 ? FLAG_SHA256 : 0U) |
                               (info->meta.has_git_sha1 ? FLAG_SHA1 : 0U));
    put64(page + AT_ID, info->id);
    put64(page + AT_SIZE, info->size);
    put32(page + AT_BLOCK_SIZE, BLOCK_SIZE);
    put16(page + AT_KEY_LEN, (uint16_t)key);
    put16(page + AT_ETAG_LEN, (uint16_t)etag);
    if (info->meta.has_sha256)
        memcpy(page + AT_SHA256, info->meta.sha256, HFC_SHA256_SIZE);
    if (info->meta.has_git_sha1)
        memcpy(page + AT_SHA1, info->meta.git_sha1, HFC_SHA1_SIZE);
    memcpy(page + AT_TEXT, info->key, key);
    memcpy(page + AT_TEXT + key, info->etag, etag);
    put32(page + AT_CRC, crc32c(0, page + AT_FLAGS, MAP_HEADER - AT_FLAGS));
}

/* Every header has one form only. So it is enough to take from it what could be right, to make the
 * header of that, and to compare: checksum, magic and unused bytes are checked by that as well. */
bool map_header_read(const uint8_t page[MAP_HEADER], struct blob_header *header)
{
    uint8_t again[MAP_HEADER];
    size_t key = get16(page + AT_KEY_LEN), etag = get16(page + AT_ETAG_LEN);
    unsigned flags = get16(page + AT_FLAGS);

    if (key > HFC_KEY_MAX || etag >= HFC_ETAG_MAX)
        return false;
    *header = (struct blob_header){.verified = (flags & FLAG_VERIFIED) != 0};
    header->info = (struct blob_info){.id = get64(page + AT_ID),
                                      .size = get64(page + AT_SIZE),
                                      .key = header->key,
                                      .etag = header->etag,
                                      .meta = {.has_sha256 = (flags & FLAG_SHA256) != 0,
                                               .has_git_sha1 = (flags & FLAG_SHA1) != 0}};
    memcpy(header->info.meta.sha256, page + AT_SHA256, HFC_SHA256_SIZE);
    memcpy(header->info.meta.git_sha1, page + AT_SHA1, HFC_SHA1_SIZE);
    memcpy(header->key, page + AT_TEXT, key);
    memcpy(header->etag, page + AT_TEXT + key, etag);
    if (!map_can_hold(&header->info))
        return false;
    map_header_make(&header->info, header->verified, again);
    return memcmp(page, again, MAP_HEADER) == 0;
}

/* Depends on where the record stands too: one that was copied elsewhere is wrong there. */
static uint32_t check_of(uint64_t id, uint32_t block, uint32_t crc)
{
    uint8_t bytes[16];

    put64(bytes, id);
    put32(bytes + 8, block);
    put32(bytes + 12, crc);
    uint32_t check = crc32c(0, bytes, sizeof(bytes));
    return check != 0 ? check : 1;
}

uint64_t map_record_make(uint64_t id, uint32_t block, uint32_t crc)
{
    return htole64((uint64_t)check_of(id, block, crc) << 32 | crc);
}

bool map_record_read(uint64_t id, uint32_t block, uint64_t record, uint32_t *crc)
{
    uint64_t value = le64toh(record);

    *crc = (uint32_t)value;
    return value >> 32 == check_of(id, block, *crc);
}
