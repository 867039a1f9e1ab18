/* test_mount_cache_map.c: CRC-32C, headers and records of maps (mount/crc32c.c, blob_map.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "blob_map.h"
#include "crc32c.h"

static const enum crc32c_way ways[] = {CRC32C_TABLE, CRC32C_SSE42, CRC32C_ARMV8};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void the_checksum_is_castagnolis(void **state)
{
    uint8_t bytes[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa); /* RFC 3720, B.4 */
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
}

static void all_ways_give_the_same(void **state)
{
    uint8_t bytes[300];
    unsigned compared = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 167 + (i >> 3));
    assert_true(crc32c_can(CRC32C_TABLE));
    for (unsigned w = 0; w < WAYS; w++) {
        if (!crc32c_can(ways[w]))
            continue;
        compared++;
        for (unsigned from = 0; from < 9; from++)
            for (unsigned n = 0; n + from <= sizeof(bytes); n++)
                assert_int_equal(crc32c_by(ways[w], n, bytes + from, n),
                                 crc32c_by(CRC32C_TABLE, n, bytes + from, n));
    }
    print_message("%u ways on this processor\n", compared);
}

static void a_checksum_goes_on_where_it_stopped(void **state)
{
    uint8_t bytes[100];

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31);
    uint32_t whole = crc32c(0, bytes, sizeof(bytes));
    for (unsigned w = 0; w < WAYS; w++)
        for (unsigned cut = 0; crc32c_can(ways[w]) && cut <= sizeof(bytes); cut++)
            assert_int_equal(crc32c_by(ways[w], crc32c_by(ways[w], 0, bytes, cut), bytes + cut,
                                       sizeof(bytes) - cut),
                             whole);
}

static void nothing_but_a_way_is_a_way(void **state)
{
    (void)state;
    assert_false(crc32c_can((enum crc32c_way)(CRC32C_ARMV8 + 1)));
#if defined(__x86_64__)
    assert_false(crc32c_can(CRC32C_ARMV8));
#endif
}

static const struct blob_info full = {
    .id = 0x8123456789abcdeeULL,
    .size = 5000000000,
    .key = "hub/models--a--b/snapshots/c/model.safetensors",
    .etag = "d41d8cd98f00b204e9800998ecf8427e-596",
    .meta = {.has_sha256 = true, .has_git_sha1 = true, .sha256 = {1, 2, 3}, .git_sha1 = {4, 5, 6}},
};

static void a_header_says_again_what_it_was_made_of(void **state)
{
    uint8_t page[MAP_HEADER];
    struct blob_header h;

    (void)state;
    for (int verified = 0; verified < 2; verified++) {
        map_header_make(&full, verified != 0, page);
        assert_true(map_header_read(page, &h));
        assert_int_equal(h.info.id, full.id);
        assert_int_equal(h.info.size, full.size);
        assert_string_equal(h.info.key, full.key);
        assert_string_equal(h.info.etag, full.etag);
        assert_memory_equal(&h.info.meta, &full.meta, sizeof(full.meta));
        assert_int_equal(h.verified, verified);
    }
}

static void digests_that_are_not_known_are_not_kept(void **state)
{
    uint8_t page[MAP_HEADER];
    struct blob_info info = full;
    struct blob_header h;

    (void)state;
    info.meta.has_sha256 = info.meta.has_git_sha1 = false;
    map_header_make(&info, true, page);
    assert_true(map_header_read(page, &h));
    assert_false(h.info.meta.has_sha256);
    assert_false(h.info.meta.has_git_sha1);
    assert_int_equal(h.info.meta.sha256[0], 0);
}

static void the_longest_texts_fit(void **state)
{
    char key[HFC_KEY_MAX + 2], etag[HFC_ETAG_MAX + 1];
    struct blob_info info = {.id = 2, .size = BLOB_SIZE_MAX, .key = key, .etag = etag};
    uint8_t page[MAP_HEADER];
    struct blob_header h;

    (void)state;
    memset(key, 'k', sizeof(key));
    memset(etag, 'e', sizeof(etag));
    key[HFC_KEY_MAX] = etag[HFC_ETAG_MAX - 1] = '\0';
    assert_true(map_can_hold(&info));
    map_header_make(&info, false, page);
    assert_true(map_header_read(page, &h));
    assert_string_equal(h.key, key);
    assert_string_equal(h.etag, etag);
}

static void what_does_not_fit_is_said_before(void **state)
{
    char key[HFC_KEY_MAX + 2], etag[HFC_ETAG_MAX + 1];
    struct blob_info info = full;

    (void)state;
    memset(key, 'k', sizeof(key));
    memset(etag, 'e', sizeof(etag));
    key[HFC_KEY_MAX + 1] = etag[HFC_ETAG_MAX] = '\0';
    info.key = key;
    assert_false(map_can_hold(&info));
    info.key = "";
    assert_false(map_can_hold(&info));
    info.key = full.key;
    info.etag = etag;
    assert_false(map_can_hold(&info));
    info.etag = full.etag;
    info.size = BLOB_SIZE_MAX + 1;
    assert_false(map_can_hold(&info));
    info.size = BLOB_SIZE_MAX;
    assert_true(map_can_hold(&info));
    assert_int_equal(blocks_of(BLOB_SIZE_MAX), UINT32_MAX - 1);
}

/* Each bit: of checksum, fields, texts, and of what is unused. */
static void a_header_with_any_bit_flipped_is_none(void **state)
{
    uint8_t page[MAP_HEADER];
    struct blob_header h;

    (void)state;
    map_header_make(&full, true, page);
    for (unsigned bit = 0; bit < MAP_HEADER * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (map_header_read(page, &h))
            fail_msg("bit %u", bit);
        page[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(map_header_read(page, &h));
}

/* With a right checksum, as another program might have made it. */
static bool read_with_checksum(uint8_t page[MAP_HEADER])
{
    struct blob_header h;
    uint32_t crc = crc32c(0, page + 12, MAP_HEADER - 12);

    memcpy(page + 8, &crc, sizeof(crc));
    return map_header_read(page, &h);
}

static void what_a_right_checksum_cannot_make_a_header(void **state)
{
    static const struct {
        unsigned at;
        uint8_t to;
    } changes[] = {{7, '2'},   {12, 0xff}, {13, 1},  {15, 1}, {31, 0xff}, {34, 8},
                   {37, 0xff}, {36, 0},    {38, 80}, {92, 1}, {96, 0},    {MAP_HEADER - 1, 1}};

    (void)state;
    for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint8_t page[MAP_HEADER];
        map_header_make(&full, false, page);
        assert_true(read_with_checksum(page));
        page[changes[i].at] = changes[i].to;
        if (read_with_checksum(page))
            fail_msg("byte %u", changes[i].at);
    }
}

static void a_page_of_zeros_is_no_header(void **state)
{
    uint8_t page[MAP_HEADER] = {0};
    struct blob_header h;

    (void)state;
    assert_false(map_header_read(page, &h));
}

static void a_record_holds_the_checksum_of_its_block(void **state)
{
    static const uint32_t crcs[] = {0, 1, 0xffffffff, 0xdeadbeef};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        for (uint32_t block = 0; block < 300; block += 17) {
            uint32_t crc = ~crcs[i];
            uint64_t record = map_record_make(full.id, block, crcs[i]);
            assert_true(map_record_read(full.id, block, record, &crc));
            assert_int_equal(crc, crcs[i]);
        }
}

static void a_record_with_any_two_bits_flipped_is_none(void **state)
{
    uint64_t record = map_record_make(full.id, 7, 0xdeadbeef);
    uint32_t crc;

    (void)state;
    for (unsigned a = 0; a < 64; a++)
        for (unsigned b = 0; b < 64; b++) {
            uint64_t other = record ^ (1ULL << a | 1ULL << b);
            if (map_record_read(full.id, 7, other, &crc))
                fail_msg("bits %u and %u", a, b);
        }
}

static void a_record_elsewhere_is_none(void **state)
{
    uint64_t record = map_record_make(full.id, 7, 0xdeadbeef);
    uint32_t crc;

    (void)state;
    assert_false(map_record_read(full.id, 8, record, &crc));
    assert_false(map_record_read(full.id + 2, 7, record, &crc));
}

static void zeros_are_no_record_of_any_block(void **state)
{
    uint32_t crc;

    (void)state;
    /* Of this one the check would be 0, by chance. */
    assert_false(map_record_read(0x8123456789abcdeeULL, 0x71cd7191U, 0, &crc));
    for (uint32_t block = 0; block < 1000000; block++)
        if (map_record_read(block * 0x9e3779b97f4a7c15ULL, block, 0, &crc))
            fail_msg("block %u", block);
}

static void sizes_of_files_follow_from_that_of_the_blob(void **state)
{
    (void)state;
    assert_int_equal(blocks_of(0), 0);
    assert_int_equal(blocks_of(1), 1);
    assert_int_equal(blocks_of(BLOCK_SIZE), 1);
    assert_int_equal(blocks_of(BLOCK_SIZE + 1), 2);
    assert_int_equal(data_file_size(1), 4096);
    assert_int_equal(data_file_size(4096), 4096);
    assert_int_equal(data_file_size(BLOCK_SIZE + 1), BLOCK_SIZE + 4096);
    assert_int_equal(map_file_size(1), MAP_HEADER + 8);
    assert_int_equal(map_file_size(107374182400), MAP_HEADER + 409600 * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_castagnolis),
        cmocka_unit_test(all_ways_give_the_same),
        cmocka_unit_test(a_checksum_goes_on_where_it_stopped),
        cmocka_unit_test(nothing_but_a_way_is_a_way),
        cmocka_unit_test(a_header_says_again_what_it_was_made_of),
        cmocka_unit_test(digests_that_are_not_known_are_not_kept),
        cmocka_unit_test(the_longest_texts_fit),
        cmocka_unit_test(what_does_not_fit_is_said_before),
        cmocka_unit_test(a_header_with_any_bit_flipped_is_none),
        cmocka_unit_test(what_a_right_checksum_cannot_make_a_header),
        cmocka_unit_test(a_page_of_zeros_is_no_header),
        cmocka_unit_test(a_record_holds_the_checksum_of_its_block),
        cmocka_unit_test(a_record_with_any_two_bits_flipped_is_none),
        cmocka_unit_test(a_record_elsewhere_is_none),
        cmocka_unit_test(zeros_are_no_record_of_any_block),
        cmocka_unit_test(sizes_of_files_follow_from_that_of_the_blob),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
