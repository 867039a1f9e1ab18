/* test_mount_cache_blob.c: uses, blocks, what is there, damage (mount/cache_blob.c, cache_io.c,
 * cache_file.c). */
#include "cache_check.h"

static struct check t;

static int begin(void **state)
{
    (void)state;
    t = check_begin(64 * MIB);
    return 0;
}

static int end(void **state)
{
    (void)state;
    check_end(&t);
    return 0;
}

/* ---- Uses. ---- */

static void all_users_of_an_id_share_one_blob(void **state)
{
    (void)state;
    struct blob *a = use(&t, 1, 10), *b = use(&t, 1, 10), *c = use(&t, 2, 10);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_equal(blob_again(a), a);
    blob_done(a);
    blob_done(a);
    assert_int_equal(blob_info(b)->id, id_of(1));
    blob_done(b);
    blob_done(c);
    blob_done(NULL);
}

static void a_use_keeps_its_own_strings(void **state)
{
    char key[] = "hub/some/file", etag[] = "etag";
    struct blob_info info = {.id = 2, .size = 10, .key = key, .etag = etag};

    (void)state;
    struct blob *b = blob_use(t.cache, &info);
    memset(key, 'x', sizeof(key) - 1);
    memset(etag, 'x', sizeof(etag) - 1);
    assert_string_equal(blob_info(b)->key, "hub/some/file");
    assert_string_equal(blob_info(b)->etag, "etag");
    assert_int_equal(blob_info(b)->size, 10);
    blob_done(b);
}

static void using_a_blob_does_not_touch_the_disk(void **state)
{
    (void)state;
    uint64_t before = du(&t);
    struct blob *b = use(&t, 1, 10);
    assert_int_equal(du(&t), before);
    assert_false(has(&t, 1));
    assert_int_equal(blob_present(b, 0, 1), 0);
    assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    assert_false(blob_complete(b));
    assert_false(blob_verified(b));
    blob_drop(b);
    blob_done(b);
}

static void what_no_header_can_hold_is_not_used(void **state)
{
    struct blob_info info = {.id = 2, .size = UINT64_MAX, .key = "k", .etag = "e"};

    (void)state;
    assert_null(blob_use(t.cache, &info));
}

static void another_version_with_the_same_id_is_not_mixed_in(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 10);
    struct blob_info other = *blob_info(b);
    other.size = 11;
    assert_null(blob_use(t.cache, &other));
    other = *blob_info(b);
    other.etag = "another";
    assert_null(blob_use(t.cache, &other));
    other = *blob_info(b);
    other.key = "another";
    assert_null(blob_use(t.cache, &other));
    blob_done(b);
}

static void files_of_another_version_with_the_same_id_are_dropped(void **state)
{
    (void)state;
    fill(&t, 1, BLOCK);
    check_reopen(&t);
    struct blob_info other = {
        .id = id_of(1), .size = BLOCK, .key = "hub/models--a--b/snapshots/c/file-1", .etag = "x"};
    struct blob *b = blob_use(t.cache, &other);
    assert_int_equal(blob_present(b, 0, 1), 0);
    assert_false(has(&t, 1));
    assert_used_is_true(&t);
    blob_done(b);
    fill(&t, 2, 10);
    check_reopen(&t);
    b = use(&t, 2, 11);
    assert_int_equal(blob_present(b, 0, 1), 0);
    assert_false(has(&t, 2));
    blob_done(b);
}

static void only_so_many_blobs_are_in_use(void **state)
{
    enum { MANY = 5000 };
    static struct blob *b[MANY];
    unsigned n = 0;

    (void)state;
    for (; n < MANY; n++) {
        char key[20];
        struct blob_info info = {.id = id_of(n), .size = 1, .key = key, .etag = ""};
        (void)snprintf(key, sizeof(key), "%u", n);
        b[n] = blob_use(t.cache, &info);
        if (b[n] == NULL)
            break;
    }
    assert_true(n >= 1024 && n < MANY);
    blob_done(b[0]);
    b[0] = use(&t, MANY, 1);
    for (unsigned i = 0; i < n; i++)
        blob_done(b[i]);
    for (unsigned i = 0; i < MANY; i++)
        blob_done(use(&t, MANY + i, 1));
}

static void a_cached_blob_can_be_used_by_its_id_alone(void **state)
{
    (void)state;
    fill(&t, 1, 2 * BLOCK);
    check_reopen(&t);
    assert_null(blob_use_cached(t.cache, id_of(2)));
    struct blob *b = blob_use_cached(t.cache, id_of(1));
    assert_non_null(b);
    assert_string_equal(blob_info(b)->key, "hub/models--a--b/snapshots/c/file-1");
    assert_string_equal(blob_info(b)->etag, "0123456789abcdef-2");
    assert_int_equal(blob_info(b)->size, 2 * BLOCK);
    assert_int_equal(get(&t, b, 1), BLOB_OK);
    assert_ptr_equal(blob_use_cached(t.cache, id_of(1)), b);
    blob_done(b);
    blob_drop(b);
    blob_done(b);
    assert_null(blob_use_cached(t.cache, id_of(1)));
}

static void a_blob_without_a_readable_header_is_dropped(void **state)
{
    (void)state;
    fill(&t, 1, BLOCK);
    check_reopen(&t);
    damage(file_of(&t, 1, ".map"), 100, 1);
    assert_null(blob_use_cached(t.cache, id_of(1)));
    assert_false(has(&t, 1));
    assert_used_is_true(&t);
}

static void digests_learnt_later_are_kept(void **state)
{
    (void)state;
    fill(&t, 1, BLOCK);
    struct blob *b = use(&t, 1, BLOCK);
    struct blob_info info = *blob_info(b);
    char key[100], etag[100];
    (void)snprintf(key, sizeof(key), "%s", info.key);
    (void)snprintf(etag, sizeof(etag), "%s", info.etag);
    info.key = key;
    info.etag = etag;
    info.meta = (struct hfc_meta){.has_sha256 = true, .sha256 = {7}};
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
    b = blob_use(t.cache, &info);
    assert_true(blob_info(b)->meta.has_sha256);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
    check_reopen(&t);
    b = blob_use_cached(t.cache, id_of(1));
    assert_true(blob_info(b)->meta.has_sha256);
    assert_int_equal(blob_info(b)->meta.sha256[0], 7);
    blob_done(b);
    /* Who knows less takes nothing away. */
    check_reopen(&t);
    b = use(&t, 1, BLOCK);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
    check_reopen(&t);
    info.meta = (struct hfc_meta){.has_git_sha1 = true, .git_sha1 = {9}};
    b = blob_use(t.cache, &info);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
    check_reopen(&t);
    b = blob_use_cached(t.cache, id_of(1));
    assert_true(blob_info(b)->meta.has_git_sha1);
    blob_done(b);
}

/* ---- Blocks. ---- */

static void blocks_come_back_as_they_were_written(void **state)
{
    static const uint64_t sizes[] = {1,         4095,  4096,      4097,
                                     BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17};

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct blob *b = use(&t, i, sizes[i]);
        uint32_t n = blob_blocks(b);
        uint64_t sum = 0;
        for (uint32_t k = n; k-- > 0;) {
            assert_int_equal(put(&t, b, k), BLOB_OK);
            sum += blob_block_size(b, k);
        }
        assert_int_equal(sum, sizes[i]);
        for (uint32_t k = 0; k < n; k++)
            assert_int_equal(get(&t, b, k), BLOB_OK);
        assert_true(blob_complete(b));
        blob_done(b);
    }
    assert_used_is_true(&t);
}

static void bytes_beyond_the_end_are_zeroed(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 10);
    memset(t.block, 0xff, BLOCK_SIZE);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    for (unsigned i = 10; i < BLOCK_SIZE; i++)
        assert_int_equal(t.block[i], 0);
    blob_done(b);
}

static void an_empty_blob_is_complete(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 0);
    assert_int_equal(blob_blocks(b), 0);
    assert_true(blob_complete(b));
    assert_int_equal(blob_present(b, 0, 64), 0);
    assert_int_equal(blob_missing(b, 0, 10), 0);
    blob_done(b);
}

static void what_is_there_is_told_by_bits(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 100 * BLOCK);
    for (uint32_t i = 0; i < 100; i += 3)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 64), 0x9249249249249249ULL);
    assert_int_equal(blob_present(b, 1, 6), 0x24);
    assert_int_equal(blob_present(b, 96, 64), 0x9);
    assert_int_equal(blob_present(b, 99, 64), 0x1);
    assert_int_equal(blob_present(b, 100, 64), 0);
    assert_int_equal(blob_present(b, 5, 0), 0);
    blob_done(b);
}

static void the_next_missing_block_is_found(void **state)
{
    enum { N = 1200 };

    (void)state;
    t.config.limit = 600 * MIB;
    check_reopen(&t);
    struct blob *b = use(&t, 1, N * BLOCK);
    assert_int_equal(blob_missing(b, 7, N), 7);
    for (uint32_t i = 0; i < N; i++)
        if (i != 1100)
            assert_int_equal(put(&t, b, i), BLOB_OK);
    assert_int_equal(blob_missing(b, 0, N), 1100);
    assert_int_equal(blob_missing(b, 0, 5), 5);
    assert_int_equal(blob_missing(b, 1095, 5), 1100);
    assert_int_equal(blob_missing(b, 1101, UINT32_MAX), N);
    assert_int_equal(blob_missing(b, N, 5), N);
    assert_false(blob_complete(b));
    assert_int_equal(put(&t, b, 1100), BLOB_OK);
    assert_true(blob_complete(b));
    assert_int_equal(blob_missing(b, 0, N), N);
    blob_done(b);
}

static void complete_is_over_when_a_block_is_lost(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 3 * BLOCK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(blob_complete(b));
        assert_int_equal(put(&t, b, i), BLOB_OK);
    }
    assert_true(blob_complete(b));
    damage(file_of(&t, 1, ".data"), (off_t)BLOCK + 9, 4);
    assert_int_equal(get(&t, b, 1), BLOB_ABSENT);
    assert_false(blob_complete(b));
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    assert_true(blob_complete(b));
    blob_drop(b);
    assert_false(blob_complete(b));
    assert_int_equal(put(&t, b, 2), BLOB_OK);
    assert_false(blob_complete(b));
    blob_done(b);
}

static void few_files_are_open_however_many_blobs_are_in_use(void **state)
{
    enum { N = 40 };
    struct blob *b[N];
    unsigned open_now = 0;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        b[i] = use(&t, i, 2 * BLOCK);
        assert_int_equal(put(&t, b[i], 0), BLOB_OK);
    }
    for (int fd = 0; fd < 1024; fd++) {
        char path[64], to[256];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, to, sizeof(to) - 1);
        to[n > 0 ? n : 0] = '\0';
        open_now += strstr(to, "/cache/blobs/") != NULL;
    }
    assert_int_equal(open_now, 2 * CHECK_FILES);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(get(&t, b[i], 0), BLOB_OK);
        assert_int_equal(put(&t, b[i], 1), BLOB_OK);
        blob_done(b[i]);
    }
    assert_used_is_true(&t);
}

static void a_dropped_blob_can_be_filled_again(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 2 * BLOCK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(put(&t, b, 0), BLOB_OK);
        blob_drop(b);
        assert_false(has(&t, 1));
        assert_int_equal(blob_present(b, 0, 2), 0);
        assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    }
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 2), 2);
    assert_int_equal(get(&t, b, 1), BLOB_OK);
    assert_used_is_true(&t);
    blob_done(b);
}

/* ---- Damage. ---- */

/* One bit of each of many bytes of data, header and records: never a wrong byte. */
static void a_flipped_bit_anywhere_is_noticed(void **state)
{
    static const struct {
        const char *suffix;
        off_t at;
    } places[] = {{".data", 0},
                  {".data", 5000},
                  {".data", (off_t)BLOCK - 1},
                  {".map", MAP_HEADER},
                  {".map", MAP_HEADER + 3},
                  {".map", MAP_HEADER + 4},
                  {".map", MAP_HEADER + 7},
                  {".data", (off_t)BLOCK},
                  {".data", (off_t)BLOCK + 99}};

    (void)state;
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct blob *b = use(&t, i, BLOCK + 100);
        assert_int_equal(put(&t, b, 0), BLOB_OK);
        assert_int_equal(put(&t, b, 1), BLOB_OK);
        uint64_t counted = metric_get(M_VERIFY_BLOCK_FAILURES);
        bool data = strcmp(places[i].suffix, ".data") == 0;
        bool second = data && places[i].at >= (off_t)BLOCK;
        damage(file_of(&t, i, places[i].suffix), places[i].at, (uint8_t)(1U << i % 8));
        assert_int_equal(get(&t, b, second ? 1 : 0), BLOB_ABSENT);
        assert_int_equal(get(&t, b, second ? 0 : 1), BLOB_OK);
        assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES) - counted, data ? 1 : 0);
        assert_int_equal(blob_present(b, 0, 2), second ? 1 : 2);
        assert_int_equal(put(&t, b, 0), BLOB_OK);
        assert_int_equal(put(&t, b, 1), BLOB_OK);
        assert_int_equal(get(&t, b, 0), BLOB_OK);
        assert_int_equal(get(&t, b, 1), BLOB_OK);
        blob_done(b);
    }
}

static void damage_to_the_unused_end_of_the_last_block_does_not_matter(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 100);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    damage(file_of(&t, 1, ".data"), 100, 1);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
}

static void a_damaged_header_costs_the_blob(void **state)
{
    (void)state;
    fill(&t, 1, BLOCK);
    check_reopen(&t);
    uint64_t counted = metric_get(M_VERIFY_BLOCK_FAILURES);
    damage(file_of(&t, 1, ".map"), 20, 1);
    struct blob *b = use(&t, 1, BLOCK);
    assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES) - counted, 1);
    assert_false(has(&t, 1));
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
}

/* Power was cut: data that were never synced are zeros, or gone, while their record is there. */
static void lost_writes_are_noticed(void **state)
{
    (void)state;
    fill(&t, 1, 3 * BLOCK);
    check_close(&t);
    int fd = open(file_of(&t, 1, ".data"), O_RDWR);
    assert_int_equal(ftruncate(fd, (off_t)BLOCK), 0);
    assert_int_equal(ftruncate(fd, 3 * (off_t)BLOCK), 0);
    (void)close(fd);
    check_open(&t);
    assert_used_is_true(&t);
    struct blob *b = use(&t, 1, 3 * BLOCK);
    assert_int_equal(blob_present(b, 0, 3), 7);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 1), BLOB_ABSENT);
    assert_int_equal(get(&t, b, 2), BLOB_ABSENT);
    blob_done(b);
}

static void lost_records_are_blocks_that_are_not_there(void **state)
{
    (void)state;
    fill(&t, 1, 3 * BLOCK);
    check_close(&t);
    int fd = open(file_of(&t, 1, ".map"), O_RDWR);
    assert_int_equal(ftruncate(fd, MAP_HEADER + 8), 0);
    assert_int_equal(ftruncate(fd, MAP_HEADER + 24), 0);
    (void)close(fd);
    check_open(&t);
    struct blob *b = use(&t, 1, 3 * BLOCK);
    assert_int_equal(blob_present(b, 0, 3), 1);
    assert_int_equal(get(&t, b, 2), BLOB_ABSENT);
    blob_done(b);
}

static void a_file_cut_short_is_noticed(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 3 * BLOCK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    assert_int_equal(truncate(file_of(&t, 1, ".data"), (off_t)BLOCK + 5000), 0);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 1), BLOB_ABSENT);
    assert_int_equal(get(&t, b, 2), BLOB_ABSENT);
    assert_int_equal(truncate(file_of(&t, 1, ".map"), 100), 0);
    assert_int_equal(blob_present(b, 0, 3), 0);
    assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    blob_done(b);
}

/* While they are not open: a start would have removed them. */
static void files_of_another_size_are_dropped(void **state)
{
    static const struct {
        const char *suffix;
        off_t size;
    } sizes[] = {{".data", 2 * BLOCK_SIZE}, {".map", MAP_HEADER + 16}};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        fill(&t, i, BLOCK);
        for (unsigned k = 0; k < CHECK_FILES + 1; k++)
            fill(&t, 100 + k, 10);
        assert_int_equal(truncate(file_of(&t, i, sizes[i].suffix), sizes[i].size), 0);
        struct blob *b = use(&t, i, BLOCK);
        assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
        assert_false(has(&t, i));
        blob_done(b);
    }
}

/* In all orders, with files open or not. */
static void files_deleted_by_others_are_made_again(void **state)
{
    static const char *const gone[][2] = {
        {".data", NULL}, {".map", NULL}, {".data", ".map"}, {".map", ".data"}};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct blob *b = use(&t, i, 2 * BLOCK);
        assert_int_equal(put(&t, b, 0), BLOB_OK);
        for (unsigned k = 0; k < 2 && gone[i / 2][k] != NULL; k++)
            assert_int_equal(unlink(file_of(&t, i, gone[i / 2][k])), 0);
        if (i % 2 == 0) {
            blob_done(b);
            for (unsigned k = 0; k < CHECK_FILES + 1; k++) /* closes its files */
                fill(&t, 100 + k, 10);
            b = use(&t, i, 2 * BLOCK);
            assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
        }
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(put(&t, b, 1), BLOB_OK);
            assert_int_equal(put(&t, b, 0), BLOB_OK);
        }
        assert_int_equal(get(&t, b, 0), BLOB_OK);
        assert_int_equal(get(&t, b, 1), BLOB_OK);
        assert_int_equal(access(file_of(&t, i, ".map"), F_OK), 0);
        assert_int_equal(access(file_of(&t, i, ".data"), F_OK), 0);
        assert_used_is_true(&t);
        blob_done(b);
    }
}

static void files_swapped_for_links_are_not_followed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const char *suffix = i == 0 ? ".data" : ".map";
        char victim[100];
        fill(&t, i, BLOCK);
        check_reopen(&t);
        (void)snprintf(victim, sizeof(victim), "%s/victim", t.root);
        int fd = open(victim, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(ftruncate(fd, (off_t)BLOCK), 0);
        (void)close(fd);
        assert_int_equal(unlink(file_of(&t, i, suffix)), 0);
        assert_int_equal(symlink(victim, file_of(&t, i, suffix)), 0);
        struct blob *b = use(&t, i, BLOCK);
        assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
        assert_int_equal(put(&t, b, 0), BLOB_OK);
        assert_int_equal(get(&t, b, 0), BLOB_OK);
        blob_done(b);
        struct stat st;
        assert_int_equal(stat(victim, &st), 0);
        assert_int_equal(st.st_blocks, 0);
        assert_int_equal(unlink(victim), 0);
    }
}

static void files_that_are_in_the_way_are_replaced(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, BLOCK);
    int fd = open(file_of(&t, 1, ".data"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "old", 3), 3);
    (void)close(fd);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_drop(b);
    assert_int_equal(symlink("/etc/passwd", file_of(&t, 1, ".map")), 0);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
    assert_used_is_true(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_users_of_an_id_share_one_blob),
        TEST(a_use_keeps_its_own_strings),
        TEST(using_a_blob_does_not_touch_the_disk),
        TEST(what_no_header_can_hold_is_not_used),
        TEST(another_version_with_the_same_id_is_not_mixed_in),
        TEST(files_of_another_version_with_the_same_id_are_dropped),
        TEST(only_so_many_blobs_are_in_use),
        TEST(a_cached_blob_can_be_used_by_its_id_alone),
        TEST(a_blob_without_a_readable_header_is_dropped),
        TEST(digests_learnt_later_are_kept),
        TEST(blocks_come_back_as_they_were_written),
        TEST(bytes_beyond_the_end_are_zeroed),
        TEST(an_empty_blob_is_complete),
        TEST(what_is_there_is_told_by_bits),
        TEST(the_next_missing_block_is_found),
        TEST(complete_is_over_when_a_block_is_lost),
        TEST(few_files_are_open_however_many_blobs_are_in_use),
        TEST(a_dropped_blob_can_be_filled_again),
        TEST(a_flipped_bit_anywhere_is_noticed),
        TEST(damage_to_the_unused_end_of_the_last_block_does_not_matter),
        TEST(a_damaged_header_costs_the_blob),
        TEST(lost_writes_are_noticed),
        TEST(lost_records_are_blocks_that_are_not_there),
        TEST(a_file_cut_short_is_noticed),
        TEST(files_of_another_size_are_dropped),
        TEST(files_deleted_by_others_are_made_again),
        TEST(files_swapped_for_links_are_not_followed),
        TEST(files_that_are_in_the_way_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
