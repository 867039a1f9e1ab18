/* test_mount_cache_evict.c: the bound, and what goes to keep it (mount/cache_evict.c,
 * cache_space.c). */
#include "cache_check.h"

#include <signal.h>

static struct check t;

static int begin(void **state)
{
    (void)state;
    t = check_begin(4 * MIB);
    return 0;
}

static int end(void **state)
{
    (void)state;
    check_end(&t);
    return 0;
}

static void assert_within_bound(void)
{
    uint64_t seen = du(&t);

    if (seen > t.config.limit)
        fail_msg("%llu bytes, %llu are allowed", (unsigned long long)seen,
                 (unsigned long long)t.config.limit);
    assert_used_is_true(&t);
}

static void the_bound_holds_after_each_write(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        fill(&t, i, 3 * BLOCK / 2 + i);
        assert_within_bound();
        assert_true(has(&t, i));
    }
    struct cache_stats s = stats_of(&t);
    assert_int_equal(s.limit, 4 * MIB);
    assert_true(s.evictions > 0);
    assert_true(s.used > 3 * MIB); /* and no more is thrown away than must be */
    assert_int_equal(metric_get(M_CACHE_BYTES), s.used);
    assert_int_equal(metric_get(M_CACHE_BLOBS), s.blobs);
}

static void what_was_not_used_for_longest_goes_first(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++)
        fill(&t, i, 2 * BLOCK);
    struct blob *b = use(&t, 0, 2 * BLOCK);
    assert_int_equal(blob_present(b, 0, 1), 1);
    blob_done(b);
    b = use(&t, 2, 2 * BLOCK);
    assert_int_equal(get(&t, b, 1), BLOB_OK);
    blob_done(b);
    for (unsigned i = 6; i < 9; i++)
        fill(&t, i, 2 * BLOCK);
    assert_false(has(&t, 1));
    assert_false(has(&t, 3));
    assert_true(has(&t, 0));
    assert_true(has(&t, 2));
}

static void what_is_not_in_use_goes_before_what_is(void **state)
{
    (void)state;
    struct blob *b = use(&t, 0, 2 * BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    for (unsigned i = 1; i < 30; i++)
        fill(&t, i, 2 * BLOCK);
    assert_int_equal(blob_present(b, 0, 2), 3);
    blob_done(b);
}

/* The case of a model that is larger than the cache. */
static void of_a_large_blob_in_use_the_begin_goes_first(void **state)
{
    enum { N = 100 };

    (void)state;
    struct blob *b = use(&t, 0, N * BLOCK);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(put(&t, b, i), BLOB_OK);
        assert_within_bound();
        assert_int_equal(get(&t, b, i), BLOB_OK);
    }
    assert_int_equal(blob_present(b, 0, 64), 0);
    uint32_t first = N - 1;
    while (first > 0 && blob_present(b, first - 1, 1) == 1)
        first--;
    assert_in_range(N - first, 10, 15);
    assert_int_equal(blob_missing(b, first, N), N);
    assert_true(stats_of(&t).used > 3 * MIB);
    blob_done(b);
}

/* Where nothing was left is not looked at again, unless something has come there. */
static void blocks_written_before_the_others_are_found(void **state)
{
    enum { N = 1200, MIDDLE = 600 };

    (void)state;
    struct blob *b = use(&t, 0, N * BLOCK);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(put(&t, b, MIDDLE + i), BLOB_OK);
    blob_hold(b, MIDDLE, N - MIDDLE);
    assert_int_equal(put(&t, b, 0), BLOB_FULL);
    blob_release(b, MIDDLE, N - MIDDLE);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    blob_hold(b, MIDDLE, N - MIDDLE);
    for (uint32_t i = 2; i < 20; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 1), 0);
    assert_int_equal(blob_present(b, 19, 1), 1);
    blob_release(b, MIDDLE, N - MIDDLE);
    blob_done(b);
}

static void held_blocks_are_never_punched(void **state)
{
    enum { N = 100 };

    (void)state;
    struct blob *b = use(&t, 0, N * BLOCK);
    blob_hold(b, 2, 3);
    blob_hold(b, 4, 2);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 10), 0x3c);
    for (uint32_t i = 2; i < 6; i++)
        assert_int_equal(get(&t, b, i), BLOB_OK);
    assert_within_bound();
    blob_release(b, 2, 3); /* 4 and 5 stay held */
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(put(&t, b, 20 + i), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 10), 0x30);
    blob_release(b, 4, 2);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(put(&t, b, 20 + i), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 10), 0);
    blob_done(b);
}

static void without_anything_to_evict_nothing_is_stored(void **state)
{
    enum { N = 40 };
    uint32_t n = 0;

    (void)state;
    struct blob *b = use(&t, 0, N * BLOCK);
    blob_hold(b, 0, N);
    uint64_t bypassed = metric_get(M_CACHE_BYPASSED);
    while (n < N && put(&t, b, n) == BLOB_OK)
        n++;
    assert_in_range(n, 13, 15);
    assert_int_equal(metric_get(M_CACHE_BYPASSED) - bypassed, 1);
    assert_within_bound();
    assert_false(cache_degraded(t.cache));
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(get(&t, b, i), BLOB_OK);
    assert_int_equal(get(&t, b, n), BLOB_ABSENT);
    blob_release(b, 0, N);
    assert_int_equal(put(&t, b, n), BLOB_OK);
    blob_done(b);
}

static void more_holds_than_there_are_structs_hold_all_the_same(void **state)
{
    enum { N = 40, HOLDS = 10000 };

    (void)state;
    struct blob *b = use(&t, 0, N * BLOCK);
    for (uint32_t i = 0; i < HOLDS; i++)
        blob_hold(b, i % 2, 1);
    for (uint32_t i = 0; i < N; i++)
        (void)put(&t, b, i);
    assert_int_equal(blob_present(b, 0, 3), 7); /* all of it */
    for (uint32_t i = 0; i < HOLDS; i++)
        blob_release(b, i % 2, 1);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    assert_int_equal(blob_present(b, 0, 3), 0);
    blob_done(b);
}

static void a_bound_smaller_than_a_block_stores_nothing(void **state)
{
    (void)state;
    fill(&t, 0, 10);
    check_close(&t);
    t.config.limit = 100 * KIB;
    check_open(&t);
    assert_true(has(&t, 0)); /* fits, and nothing is thrown away for what can never fit */
    struct blob *b = use(&t, 1, BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_FULL);
    assert_true(has(&t, 0));
    assert_false(has(&t, 1));
    assert_within_bound();
    blob_done(b);
}

static void a_bound_of_nothing_empties_the_cache(void **state)
{
    (void)state;
    fill(&t, 0, BLOCK);
    check_close(&t);
    t.config.limit = 1;
    check_open(&t);
    assert_int_equal(stats_of(&t).blobs, 0);
}

static void writing_a_block_again_takes_no_more_space(void **state)
{
    (void)state;
    struct blob *b = use(&t, 0, 8 * BLOCK);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(put(&t, b, i % 8), BLOB_OK);
    assert_int_equal(blob_missing(b, 0, 8), 8);
    assert_int_equal(stats_of(&t).evictions, 0);
    assert_used_is_true(&t);
    blob_done(b);
}

static void the_index_counts_and_so_does_its_next_copy(void **state)
{
    static uint8_t bytes[MIB];

    (void)state;
    for (unsigned i = 0; i < 14; i++)
        fill(&t, i, BLOCK);
    int fd = openat(cache_directory(t.cache), "index", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(fsync(fd), 0);
    (void)close(fd);
    assert_used_is_true(&t); /* by stats_of(), which makes room */
    assert_true(du(&t) <= 3 * MIB);
    assert_true(has(&t, 13));
}

static void many_small_blobs_make_room_for_a_large_one(void **state)
{
    enum { N = 3000 };

    (void)state;
    t.config.limit = 26 * MIB;
    check_reopen(&t);
    for (unsigned i = 0; i < N; i++)
        fill(&t, i, 100);
    assert_int_equal(stats_of(&t).blobs, N);
    fill(&t, N, 20 * MIB);
    assert_within_bound();
    assert_true(has(&t, N));
    assert_true(has(&t, N - 1));
    assert_false(has(&t, 0));
}

static void bytes_of_evictions_are_counted(void **state)
{
    (void)state;
    uint64_t n = metric_get(M_CACHE_EVICTIONS), bytes = metric_get(M_CACHE_EVICTED_BYTES);
    for (unsigned i = 0; i < 30; i++)
        fill(&t, i, BLOCK);
    uint64_t dropped = 30 - stats_of(&t).blobs;
    assert_int_equal(metric_get(M_CACHE_EVICTIONS) - n, dropped);
    assert_in_range(metric_get(M_CACHE_EVICTED_BYTES) - bytes, dropped * BLOCK,
                    dropped * (BLOCK + 64 * KIB));
}

/* ---- Without hole punching. ---- */

static int no_punching(enum fault_point point)
{
    return point == FAULT_EVICT ? EOPNOTSUPP : 0;
}

static void without_punching_a_blob_in_use_goes_whole(void **state)
{
    enum { N = 100 };

    (void)state;
    fault_hook = no_punching;
    struct blob *b = use(&t, 0, N * BLOCK);
    assert_true(stats_of(&t).punches_holes);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(put(&t, b, i), BLOB_OK);
        assert_within_bound();
        assert_int_equal(get(&t, b, i), BLOB_OK);
    }
    assert_false(stats_of(&t).punches_holes);
    assert_false(cache_degraded(t.cache));
    assert_int_equal(blob_present(b, N - 1, 1), 1);
    blob_done(b);
}

static void without_punching_a_held_block_keeps_its_blob(void **state)
{
    enum { N = 40 };
    uint32_t n = 0;

    (void)state;
    fault_hook = no_punching;
    struct blob *b = use(&t, 0, N * BLOCK);
    blob_hold(b, 3, 1);
    while (n < N && put(&t, b, n) == BLOB_OK)
        n++;
    assert_in_range(n, 13, 20);
    assert_int_equal(get(&t, b, 3), BLOB_OK);
    assert_within_bound();
    blob_release(b, 3, 1);
    assert_int_equal(put(&t, b, n), BLOB_OK);
    assert_int_equal(get(&t, b, 3), BLOB_ABSENT);
    blob_done(b);
}

static void on_ramfs(struct check *r)
{
    enum { N = 60 };

    check_open(r);
    struct cache_stats s = stats_of(r);
    assert_false(s.punches_holes);
    assert_false(s.direct);
    struct blob *b = use(r, 0, N * BLOCK);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(put(r, b, i), BLOB_OK);
        assert_true(du(r) <= r->config.limit);
        assert_used_is_true(r);
        assert_int_equal(get(r, b, i), BLOB_OK);
    }
    blob_done(b);
    for (unsigned i = 1; i < 40; i++) {
        fill(r, i, BLOCK + 77);
        assert_true(du(r) <= r->config.limit);
    }
    check_reopen(r);
    b = use(r, 39, BLOCK + 77);
    assert_int_equal(get(r, b, 1), BLOB_OK);
    blob_done(b);
    check_close(r);
}

static void a_file_system_without_punching_and_direct_io_will_do(void **state)
{
    (void)state;
    check_end(&t);
    t = check_new(4 * MIB);
    with_mount(&t, "ramfs", "mode=0700", on_ramfs);
}

/* ---- Kills. ---- */

static enum fault_point kill_at;
static unsigned kill_after;

static int kill_sometime(enum fault_point point)
{
    if (point == kill_at && kill_after-- == 0)
        (void)kill(getpid(), SIGKILL);
    return 0;
}

/* Fills and reads without end. */
static void churn(void)
{
    struct blob *large = use(&t, 1000, 30 * BLOCK);

    fault_hook = kill_sometime;
    for (unsigned i = 0; i < 1000; i++) {
        (void)put(&t, large, i % 30);
        (void)get(&t, large, (i * 7) % 30);
        if (i % 3 == 0)
            fill(&t, i % 11, BLOCK + i % 5);
    }
    _exit(1);
}

static void check_survivor(void)
{
    check_open(&t);
    assert_within_bound();
    struct blob *b = use(&t, 1000, 30 * BLOCK);
    for (uint32_t i = 0; i < 30; i++)
        (void)get(&t, b, i);
    for (uint32_t i = 0; i < 30; i++) {
        assert_int_equal(put(&t, b, i), BLOB_OK);
        assert_within_bound();
    }
    blob_done(b);
    check_close(&t);
}

static void the_bound_and_the_bytes_survive_kills(void **state)
{
    static const enum fault_point points[] = {FAULT_BLOCK, FAULT_EVICT, FAULT_DISK_WRITE,
                                              FAULT_DISK_READ};

    (void)state;
    check_close(&t);
    uint64_t wrong = metric_get(M_VERIFY_BLOCK_FAILURES);
    for (unsigned i = 0; i < 40; i++) {
        int status;
        (void)fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            kill_at = points[i % 4];
            kill_after = i * 3;
            check_open(&t);
            churn();
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_survivor();
    }
    assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES), wrong);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_bound_holds_after_each_write),
        TEST(what_was_not_used_for_longest_goes_first),
        TEST(what_is_not_in_use_goes_before_what_is),
        TEST(of_a_large_blob_in_use_the_begin_goes_first),
        TEST(blocks_written_before_the_others_are_found),
        TEST(held_blocks_are_never_punched),
        TEST(without_anything_to_evict_nothing_is_stored),
        TEST(more_holds_than_there_are_structs_hold_all_the_same),
        TEST(a_bound_smaller_than_a_block_stores_nothing),
        TEST(a_bound_of_nothing_empties_the_cache),
        TEST(writing_a_block_again_takes_no_more_space),
        TEST(the_index_counts_and_so_does_its_next_copy),
        TEST(many_small_blobs_make_room_for_a_large_one),
        TEST(bytes_of_evictions_are_counted),
        TEST(without_punching_a_blob_in_use_goes_whole),
        TEST(without_punching_a_held_block_keeps_its_blob),
        TEST(a_file_system_without_punching_and_direct_io_will_do),
        TEST(the_bound_and_the_bytes_survive_kills),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
