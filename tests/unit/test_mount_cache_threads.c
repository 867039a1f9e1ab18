/* test_mount_cache_threads.c: many threads at everything at once, within the bound
 * (mount/cache*.c).
 *
 * What is checked meanwhile: no wrong byte is read, what is held and was found stays, and, where a
 * file system of its own tells what is allocated at one moment, the cache is never more than a
 * block beyond its bound.
 */
#include "cache_check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/statvfs.h>

#ifdef HFC_SANITIZED
enum { ROUNDS = 60 };
#else
enum { ROUNDS = 200 };
#endif
enum { THREADS = 8, BLOBS = 24 };

static struct check t;
static atomic_uint running;
static atomic_ullong kept, lost;

static uint64_t size_of(unsigned n)
{
    return n % 4 == 0 ? 30 * BLOCK + n : (n % 3 + 1) * BLOCK / 2 + n;
}

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 8;
}

/* What a reader does: holds, looks, fetches what is missing, reads. */
static void read_some(struct blob *b, unsigned r, uint8_t *buffer)
{
    uint32_t n = blob_blocks(b), first = r % n;
    uint32_t count = n - first < 4 ? n - first : 4;

    blob_hold(b, first, count);
    for (uint32_t i = first; i < first + count; i++)
        if (blob_present(b, i, 1) == 0)
            (void)put_from(b, i, buffer);
    uint64_t there = blob_present(b, first, count);
    for (uint32_t i = 0; i < count; i++) {
        enum blob_result got = blob_read(b, first + i, buffer);
        if (got == BLOB_OK)
            assert_true(is_right(b, first + i, buffer));
        if (there >> i & 1)
            atomic_fetch_add(got == BLOB_OK ? &kept : &lost, 1);
    }
    blob_release(b, first, count);
}

static void look_around(unsigned r)
{
    uint64_t ids[8], bytes;
    struct cache_stats s;

    for (unsigned n = cache_ids(t.cache, 0, ids, 8); n > 0;)
        (void)cache_has(t.cache, ids[--n], &bytes);
    cache_stats(t.cache, &s);
    assert_true(s.used <= s.limit + BLOCK);
    struct blob *b = blob_use_cached(t.cache, id_of(r % BLOBS));
    if (b != NULL) {
        (void)blob_verified(b);
        (void)blob_missing(b, 0, 10);
        blob_done(blob_again(b));
        blob_done(b);
    }
}

/* Each thread drops a blob that no other one reads, so that `lost` stays 0. */
static void drop_one(unsigned me, uint8_t *buffer)
{
    struct blob *b = use(&t, 100 + me, BLOCK);

    (void)put_from(b, 0, buffer);
    if (me % 2 == 0)
        blob_drop(b);
    else
        (void)cache_drop(t.cache, id_of(100 + me));
    blob_done(b);
}

static void *work(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg, seed = me * 7919 + 1;
    uint8_t *buffer = aligned_alloc(4096, BLOCK_SIZE);

    assert_non_null(buffer);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned r = next(&seed), n = next(&seed) % BLOBS;
        struct blob *b = use(&t, n, size_of(n));
        if (r % 16 == 0)
            look_around(next(&seed));
        else if (r % 16 == 1)
            drop_one(me, buffer);
        else if (r % 16 == 2)
            (void)blob_verify(b, buffer, 0, NULL);
        else if (r % 16 == 3)
            (void)blob_complete(b);
        else
            read_some(b, next(&seed), buffer);
        blob_done(b);
    }
    free(buffer);
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* All of the file system, files without a name included. */
static uint64_t taken(void)
{
    struct statvfs fs;

    assert_int_equal(statvfs(t.path, &fs), 0);
    return (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

static void run(bool alone)
{
    pthread_t threads[THREADS];
    uint64_t most = 0, wrong = metric_get(M_VERIFY_BLOCK_FAILURES);

    atomic_store(&running, THREADS);
    atomic_store(&kept, 0);
    atomic_store(&lost, 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i), 0);
    while (atomic_load(&running) > 0) {
        uint64_t seen = alone ? taken() : 0;
        most = seen > most ? seen : most;
        (void)usleep(100);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    print_message("%llu blocks kept while held\n", (unsigned long long)atomic_load(&kept));
    if (alone)
        print_message("%llu of %llu KiB at most\n", (unsigned long long)(most >> 10),
                      (unsigned long long)(t.config.limit >> 10));
    assert_true(atomic_load(&kept) > 0);
    assert_int_equal(atomic_load(&lost), 0);
    assert_true(most <= t.config.limit + BLOCK);
    assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES), wrong);
    assert_used_is_true(&t);
    assert_true(du(&t) <= t.config.limit);
    check_reopen(&t);
    assert_used_is_true(&t);
}

static int no_punching(enum fault_point point)
{
    return point == FAULT_EVICT ? EOPNOTSUPP : 0;
}

static int begin(void **state)
{
    (void)state;
    t = check_new(12 * MIB);
    return 0;
}

static int end(void **state)
{
    (void)state;
    check_end(&t);
    return 0;
}

static void with_room_for_what_is_held(void **state)
{
    (void)state;
    check_open(&t);
    run(false);
}

static void alone(struct check *r)
{
    t = *r;
    check_open(&t);
    run(true);
    check_close(&t);
}

static void seen_from_outside(void **state)
{
    (void)state;
    with_mount(&t, "tmpfs", "size=64m,mode=0700", alone);
}

static void alone_without_punching(struct check *r)
{
    fault_hook = no_punching;
    alone(r);
}

static void seen_from_outside_without_hole_punching(void **state)
{
    (void)state;
    with_mount(&t, "tmpfs", "size=64m,mode=0700", alone_without_punching);
}

static void with_few_open_files(void **state)
{
    (void)state;
    t.config.files_max = 2;
    check_open(&t);
    run(false);
}

static void with_a_small_table(void **state)
{
    (void)state;
    t.config.blobs_max = 6;
    check_open(&t);
    run(false);
}

static void without_hole_punching(void **state)
{
    (void)state;
    check_open(&t);
    fault_hook = no_punching;
    run(false);
}

static void with_room_for_everything(void **state)
{
    (void)state;
    t.config.limit = 200 * MIB;
    check_open(&t);
    run(false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(with_room_for_what_is_held),
        TEST(seen_from_outside),
        TEST(seen_from_outside_without_hole_punching),
        TEST(with_few_open_files),
        TEST(with_a_small_table),
        TEST(without_hole_punching),
        TEST(with_room_for_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
