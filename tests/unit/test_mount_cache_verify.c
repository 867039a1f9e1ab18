/* test_mount_cache_verify.c: digests of whole blobs (mount/cache_verify.c). */
#include "cache_check.h"

#include "hash.h"

enum { SIZE = 2 * BLOCK_SIZE + 777 };

static struct check t;
static uint8_t *bytes; /* of the blob */
static char md5_text[HFC_HEX_MAX];
static struct hfc_meta right;
static struct blob_info info;

static int begin(void **state)
{
    uint8_t md5[HFC_MD5_SIZE];

    (void)state;
    t = check_begin(16 * MIB);
    bytes = malloc(SIZE + BLOCK_SIZE);
    for (uint32_t i = 0; i < 3; i++)
        content(id_of(1), i, bytes + (size_t)i * BLOCK_SIZE, BLOCK_SIZE);
    hfc_hash_of(HFC_MD5, bytes, SIZE, md5);
    hfc_hex(md5, sizeof(md5), md5_text);
    right = (struct hfc_meta){.has_sha256 = true, .has_git_sha1 = true};
    hfc_hash_of(HFC_SHA256, bytes, SIZE, right.sha256);
    struct hfc_hash *h = hfc_hash_new(HFC_SHA1);
    hfc_hash_git_header(h, SIZE);
    hfc_hash_add(h, bytes, SIZE);
    hfc_hash_finish(h, right.git_sha1);
    hfc_hash_free(h);
    info = (struct blob_info){
        .id = id_of(1), .size = SIZE, .key = "hub/file", .etag = md5_text, .meta = right};
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(bytes);
    check_end(&t);
    return 0;
}

static struct blob *filled(void)
{
    struct blob *b = blob_use(t.cache, &info);

    assert_non_null(b);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    return b;
}

static void assert_right(void)
{
    uint64_t counted = metric_get(M_VERIFIED_FILES);
    struct blob *b = filled();

    assert_true(blob_can_verify(b));
    assert_false(blob_verified(b));
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 1);
    assert_true(blob_verified(b));
    assert_int_equal(metric_get(M_VERIFIED_FILES) - counted, 1);
    blob_done(b);
    check_reopen(&t);
    b = blob_use(t.cache, &info);
    assert_true(blob_verified(b));
    assert_true(blob_complete(b));
    blob_done(b);
}

static void assert_wrong(void)
{
    uint64_t counted = metric_get(M_VERIFY_FILE_FAILURES);
    struct blob *b = filled();

    assert_true(blob_can_verify(b));
    assert_int_equal(blob_verify(b, t.block, 0, NULL), -1);
    assert_false(blob_verified(b));
    assert_int_equal(metric_get(M_VERIFY_FILE_FAILURES) - counted, 1);
    assert_int_equal(blob_present(b, 0, 3), 0);
    assert_false(has(&t, 1));
    assert_used_is_true(&t);
    blob_done(b);
}

static void a_right_sha256_is_marked_for_good(void **state)
{
    (void)state;
    info.meta.git_sha1[0] ^= 1; /* the better one counts */
    info.etag = "00000000000000000000000000000000";
    assert_right();
}

static void a_right_git_sha1_is_marked_for_good(void **state)
{
    (void)state;
    info.meta.has_sha256 = false;
    info.etag = "00000000000000000000000000000000";
    assert_right();
}

static void a_right_etag_is_marked_for_good(void **state)
{
    (void)state;
    info.meta = (struct hfc_meta){0};
    assert_right();
}

static void a_wrong_sha256_drops_all_of_it(void **state)
{
    (void)state;
    info.meta.sha256[31] ^= 1;
    assert_wrong();
}

static void a_wrong_git_sha1_drops_all_of_it(void **state)
{
    (void)state;
    info.meta.has_sha256 = false;
    info.meta.git_sha1[19] ^= 1;
    assert_wrong();
}

static void a_wrong_etag_drops_all_of_it(void **state)
{
    (void)state;
    info.meta = (struct hfc_meta){0};
    md5_text[0] = md5_text[0] == '0' ? '1' : '0';
    assert_wrong();
}

static void other_etags_say_nothing(void **state)
{
    static const char *const etags[] = {"0123456789abcdef0123456789abcdef-2", "",
                                        "0123456789abcdef", "0123456789abcdef0123456789abcdeg",
                                        "0123456789abcdef0123456789abcdef0"};

    (void)state;
    info.meta = (struct hfc_meta){0};
    for (unsigned i = 0; i < 5; i++) {
        info.etag = etags[i];
        info.id = id_of(100 + i);
        struct blob *b = filled();
        assert_false(blob_can_verify(b));
        assert_int_equal(blob_verify(b, t.block, 0, NULL), 0);
        assert_false(blob_verified(b));
        assert_true(blob_complete(b));
        blob_done(b);
    }
}

static void an_incomplete_blob_is_not_judged(void **state)
{
    (void)state;
    struct blob *b = blob_use(t.cache, &info);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 0);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(put(&t, b, 2), BLOB_OK);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 0);
    assert_int_equal(blob_present(b, 0, 3), 5);
    blob_done(b);
}

static void a_damaged_block_makes_it_incomplete_only(void **state)
{
    (void)state;
    struct blob *b = filled();
    damage(file_of(&t, 1, ".data"), (off_t)BLOCK + 1, 1);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 0);
    assert_int_equal(blob_present(b, 0, 3), 5);
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 1);
    blob_done(b);
}

static void an_empty_blob_has_a_digest_too(void **state)
{
    (void)state;
    info.size = 0;
    info.meta = (struct hfc_meta){0};
    info.etag = "d41d8cd98f00b204e9800998ecf8427e";
    struct blob *b = blob_use(t.cache, &info);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 1);
    assert_true(blob_verified(b));
    blob_done(b);
    info.id = id_of(2);
    info.etag = "d41d8cd98f00b204e9800998ecf8427f";
    b = blob_use(t.cache, &info);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), -1);
    blob_done(b);
}

static bool stop;
static unsigned reads;

static int stop_at_second(enum fault_point point)
{
    if (point == FAULT_DISK_READ && ++reads == 2)
        stop = true;
    return 0;
}

static void it_stops_when_told(void **state)
{
    (void)state;
    struct blob *b = filled();
    stop = true;
    reads = 0;
    fault_hook = stop_at_second;
    assert_int_equal(blob_verify(b, t.block, 0, &stop), 0);
    assert_int_equal(reads, 0);
    stop = false;
    assert_int_equal(blob_verify(b, t.block, 0, &stop), 0);
    assert_int_equal(reads, 2);
    stop = false;
    assert_int_equal(blob_verify(b, t.block, 0, &stop), 1);
    blob_done(b);
}

static void it_reads_no_faster_than_asked(void **state)
{
    (void)state;
    struct blob *b = filled();
    uint64_t began = clock_ns();
    assert_int_equal(blob_verify(b, t.block, 4 * MIB, NULL), 1);
    /* Two blocks are due before the third is read: an eighth of a second. */
    assert_true(clock_ns() - began >= 125000000);
    blob_done(b);
}

static struct blob *victim;

/* All its blocks have been read when it is dropped, and filled again. */
static int dropped_at_the_end(enum fault_point point)
{
    if (point == FAULT_DISK_READ && ++reads == 3) {
        uint8_t *buffer = aligned_alloc(4096, BLOCK_SIZE);
        fault_hook = NULL;
        blob_drop(victim);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(put_from(victim, i, buffer), BLOB_OK);
        free(buffer);
    }
    return 0;
}

static void what_was_dropped_meanwhile_is_not_marked(void **state)
{
    (void)state;
    victim = filled();
    reads = 0;
    fault_hook = dropped_at_the_end;
    assert_int_equal(blob_verify(victim, t.block, 0, NULL), 0);
    assert_false(blob_verified(victim));
    assert_true(blob_complete(victim));
    blob_done(victim);
    check_reopen(&t);
    victim = blob_use(t.cache, &info);
    assert_false(blob_verified(victim));
    blob_done(victim);
}

static void another_digest_asks_for_verification_again(void **state)
{
    (void)state;
    info.meta = (struct hfc_meta){0};
    assert_right();
    info.meta = right;
    struct blob *b = blob_use(t.cache, &info);
    assert_false(blob_verified(b));
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 1);
    blob_done(b);
}

static void dropping_takes_the_mark_away(void **state)
{
    (void)state;
    struct blob *b = filled();
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 1);
    blob_drop(b);
    assert_false(blob_verified(b));
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_false(blob_verified(b));
    blob_done(b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_right_sha256_is_marked_for_good),
        TEST(a_right_git_sha1_is_marked_for_good),
        TEST(a_right_etag_is_marked_for_good),
        TEST(a_wrong_sha256_drops_all_of_it),
        TEST(a_wrong_git_sha1_drops_all_of_it),
        TEST(a_wrong_etag_drops_all_of_it),
        TEST(other_etags_say_nothing),
        TEST(an_incomplete_blob_is_not_judged),
        TEST(a_damaged_block_makes_it_incomplete_only),
        TEST(an_empty_blob_has_a_digest_too),
        TEST(it_stops_when_told),
        TEST(it_reads_no_faster_than_asked),
        TEST(what_was_dropped_meanwhile_is_not_marked),
        TEST(another_digest_asks_for_verification_again),
        TEST(dropping_takes_the_mark_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
