/* test_mount_cache_faults.c: disks that fail: errors, full, read-only, out of inodes; and looks
 * that come between two steps (mount/cache_io.c, cache_space.c, cache_file.c). */
#include "cache_check.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "cache_internal.h"

static struct check t;

static int begin(void **state)
{
    (void)state;
    t = check_begin(16 * MIB);
    return 0;
}

static int end(void **state)
{
    (void)state;
    check_end(&t);
    return 0;
}

static enum fault_point fault_point;
static int fault_error;
static unsigned fault_passes, fault_left; /* before the first one, and how many fail */

static int fail_at(enum fault_point point)
{
    if (point != fault_point || (fault_passes > 0 && fault_passes-- > 0) || fault_left == 0)
        return 0;
    fault_left--;
    return fault_error;
}

static void set_fault(enum fault_point point, int error, unsigned n)
{
    fault_point = point;
    fault_error = error;
    fault_passes = 0;
    fault_left = n;
    fault_hook = fail_at;
}

/* As if DEGRADED_RETRY_S had passed. */
static void time_passes(const struct check *c)
{
    c->cache->retry_at = 0;
}

/* ---- Errors. ---- */

static void a_disk_that_fails_to_write_is_left_alone_for_a_while(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS, EDQUOT, ENOMEM};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct blob *b = use(&t, i, 4 * BLOCK);
        assert_int_equal(put(&t, b, 0), BLOB_OK);
        uint64_t counted = metric_get(M_DISK_ERRORS);
        set_fault(FAULT_DISK_WRITE, errors[i], 1);
        assert_int_equal(put(&t, b, 1), BLOB_FULL);
        assert_int_equal(metric_get(M_DISK_ERRORS) - counted, 1);
        assert_true(cache_degraded(t.cache));
        assert_true(stats_of(&t).degraded);
        assert_int_equal(metric_get(M_CACHE_DEGRADED), 1);
        assert_int_equal(put(&t, b, 1), BLOB_FULL); /* the disk is not asked */
        assert_int_equal(metric_get(M_DISK_ERRORS) - counted, 1);
        assert_int_equal(get(&t, b, 0), BLOB_OK); /* but for what is there */
        time_passes(&t);
        assert_int_equal(put(&t, b, 1), BLOB_OK);
        assert_false(cache_degraded(t.cache));
        assert_int_equal(metric_get(M_CACHE_DEGRADED), 0);
        assert_int_equal(blob_present(b, 0, 4), 3);
        assert_used_is_true(&t);
        blob_done(b);
    }
}

static void a_write_that_failed_leaves_no_space_behind(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 4 * BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    uint64_t before = du(&t);
    set_fault(FAULT_BLOCK, EIO, 1); /* when the data are written */
    assert_int_equal(put(&t, b, 1), BLOB_FULL);
    assert_int_equal(du(&t), before);
    assert_used_is_true(&t);
    time_passes(&t);
    /* A block that was there stays there. */
    set_fault(FAULT_BLOCK, EIO, 1);
    assert_int_equal(put(&t, b, 0), BLOB_FULL);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
}

static void a_block_that_cannot_be_read_is_not_there(void **state)
{
    (void)state;
    struct blob *b = use(&t, 1, 2 * BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    uint64_t counted = metric_get(M_DISK_ERRORS), wrong = metric_get(M_VERIFY_BLOCK_FAILURES);
    set_fault(FAULT_DISK_READ, EIO, 1);
    assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    assert_int_equal(metric_get(M_DISK_ERRORS) - counted, 1);
    assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES), wrong);
    assert_int_equal(blob_present(b, 0, 2), 2);
    assert_int_equal(get(&t, b, 1), BLOB_OK);
    assert_false(cache_degraded(t.cache));
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
}

static void a_punch_that_fails_costs_nothing_but_the_blocks(void **state)
{
    (void)state;
    t.config.limit = 2 * MIB;
    check_reopen(&t);
    struct blob *b = use(&t, 0, 40 * BLOCK);
    uint32_t n = 0;
    for (; n < 6; n++)
        assert_int_equal(put(&t, b, n), BLOB_OK);
    /* Read-only files: what they hold can't be cleared. */
    int was = b->files->map;
    b->files->map = open(file_of(&t, 0, ".map"), O_RDONLY);
    enum blob_result r = BLOB_OK;
    for (; n < 40 && r == BLOB_OK; n++)
        r = put(&t, b, n);
    assert_int_equal(r, BLOB_FULL);
    assert_true(cache_degraded(t.cache));
    (void)close(b->files->map);
    b->files->map = was;
    assert_int_equal(blob_present(b, 0, 6), 0x3f);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(get(&t, b, i), BLOB_OK);
    time_passes(&t);
    assert_int_equal(put(&t, b, n), BLOB_OK);
    assert_used_is_true(&t);
    blob_done(b);
}

/* The record of a wrong block can't be taken back: then nothing of the blob counts. */
static void a_wrong_block_that_cannot_be_cleared_costs_the_blob(void **state)
{
    (void)state;
    struct blob *b = use(&t, 0, 2 * BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(put(&t, b, 1), BLOB_OK);
    assert_true(blob_complete(b));
    damage(file_of(&t, 0, ".data"), 5, 1);
    int was = b->files->map;
    b->files->map = open(file_of(&t, 0, ".map"), O_RDONLY);
    assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    (void)close(b->files->map);
    b->files->map = was;
    assert_int_equal(blob_present(b, 0, 2), 0);
    assert_int_equal(get(&t, b, 1), BLOB_ABSENT);
    assert_false(blob_complete(b));
    assert_false(has(&t, 0));
    assert_null(blob_use_cached(t.cache, id_of(0)));
    assert_int_equal(put(&t, b, 0), BLOB_OK); /* starts anew */
    assert_int_equal(blob_present(b, 0, 2), 1);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    assert_used_is_true(&t);
    blob_done(b);
}

static void being_out_of_descriptors_loses_nothing(void **state)
{
    struct rlimit was, few;

    (void)state;
    fill(&t, 0, BLOCK);
    check_reopen(&t);
    struct blob *b = use(&t, 0, BLOCK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few = (struct rlimit){.rlim_cur = 3, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    enum blob_result read = get(&t, b, 0), written = put(&t, b, 0);
    uint64_t present = blob_present(b, 0, 1);
    assert_null(blob_use_cached(t.cache, id_of(1)));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(read, BLOB_ABSENT);
    assert_int_equal(written, BLOB_FULL);
    assert_int_equal(present, 0);
    assert_true(has(&t, 0));
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    blob_done(b);
}

static void a_blob_for_which_no_file_can_be_made_leaves_none(void **state)
{
    struct rlimit was, small;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    struct blob *b = use(&t, 0, 10 * BLOCK);
    uint64_t before = du(&t);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){.rlim_cur = 100000, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum blob_result written = put(&t, b, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(written, BLOB_FULL);
    assert_true(cache_degraded(t.cache));
    assert_false(has(&t, 0));
    assert_int_equal(access(file_of(&t, 0, ".data"), F_OK), -1);
    assert_int_equal(du(&t), before);
    assert_used_is_true(&t);
    blob_done(b);
}

static void a_mark_that_cannot_be_written_counts_all_the_same(void **state)
{
    struct blob_info info = {
        .id = 2, .size = 3, .key = "k", .etag = "900150983cd24fb0d6963f7d28e17f72"};

    (void)state;
    struct blob *b = blob_use(t.cache, &info);
    memcpy(t.block, "abc", 3);
    assert_int_equal(blob_write(b, 0, t.block), BLOB_OK);
    int was = b->files->map;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", was);
    b->files->map = open(path, O_RDONLY);
    assert_int_equal(blob_verify(b, t.block, 0, NULL), 1);
    assert_true(blob_verified(b));
    (void)close(b->files->map);
    b->files->map = was;
    blob_done(b);
}

/* ---- Between two steps. ---- */

static struct blob *other;
static unsigned times;

/* Between looking at the record and reading the data, the block is evicted. */
static int evicted_meanwhile(enum fault_point point)
{
    if (point != FAULT_DISK_READ || times-- == 0)
        return 0;
    uint64_t none = 0;
    int map = open(file_of(&t, 0, ".map"), O_RDWR), data = open(file_of(&t, 0, ".data"), O_RDWR);
    assert_int_equal(pwrite(map, &none, 8, MAP_HEADER), 8);
    assert_int_equal(fallocate(data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK_SIZE), 0);
    (void)close(map);
    (void)close(data);
    return 0;
}

static void a_block_evicted_while_it_is_read_is_no_damage(void **state)
{
    (void)state;
    struct blob *b = use(&t, 0, 2 * BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    uint64_t counted = metric_get(M_VERIFY_BLOCK_FAILURES);
    times = 1;
    fault_hook = evicted_meanwhile;
    assert_int_equal(get(&t, b, 0), BLOB_ABSENT);
    assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES), counted);
    blob_done(b);
}

static uint8_t *spare;

/* The first look finds wrong bytes, at the second they are right again. */
static int comes_again(enum fault_point point)
{
    if (point == FAULT_DISK_READ && times > 0) {
        times--;
        damage(file_of(&t, 0, ".data"), 100, 1);
    }
    return 0;
}

static void a_block_that_came_again_while_it_was_read_is_read(void **state)
{
    (void)state;
    struct blob *b = use(&t, 0, 2 * BLOCK);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    uint64_t counted = metric_get(M_VERIFY_BLOCK_FAILURES);
    times = 2;
    fault_hook = comes_again;
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    assert_int_equal(metric_get(M_VERIFY_BLOCK_FAILURES), counted);
    blob_done(b);
}

/* Its files stay open for who is at work on them. */
static int dropped_meanwhile(enum fault_point point)
{
    if (point == fault_point && times > 0) {
        times--;
        blob_drop(other);
    }
    return 0;
}

static void a_blob_dropped_while_it_is_read_is_read(void **state)
{
    (void)state;
    other = use(&t, 0, 2 * BLOCK);
    assert_int_equal(put(&t, other, 0), BLOB_OK);
    times = 1;
    fault_point = FAULT_DISK_READ;
    fault_hook = dropped_meanwhile;
    assert_int_equal(get(&t, other, 0), BLOB_OK);
    assert_false(has(&t, 0));
    assert_int_equal(get(&t, other, 0), BLOB_ABSENT);
    assert_used_is_true(&t);
    blob_done(other);
}

static void a_blob_dropped_while_it_is_written_is_gone(void **state)
{
    static const enum fault_point points[] = {FAULT_DISK_WRITE, FAULT_BLOCK};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        other = use(&t, 0, 2 * BLOCK);
        times = 1;
        fault_point = points[i];
        fault_hook = dropped_meanwhile;
        assert_int_equal(put(&t, other, 0), BLOB_OK);
        assert_int_equal(get(&t, other, 0), BLOB_ABSENT);
        assert_false(has(&t, 0));
        assert_used_is_true(&t);
        assert_int_equal(put(&t, other, 0), BLOB_OK);
        assert_int_equal(get(&t, other, 0), BLOB_OK);
        blob_drop(other);
        blob_done(other);
    }
}

/* While it is punched, a block is not there for anybody, and a hold makes no difference. */
static uint64_t seen_present;
static uint32_t seen_missing;

static int look_while_punched(enum fault_point point)
{
    if (point == FAULT_EVICT && times > 0) {
        times--;
        blob_hold(other, 0, 2);
        seen_present = blob_present(other, 0, 1);
        seen_missing = blob_missing(other, 0, 40);
        assert_int_equal(blob_read(other, 0, spare), BLOB_ABSENT);
        blob_release(other, 0, 2);
    }
    return 0;
}

static void a_block_being_punched_is_not_there(void **state)
{
    (void)state;
    t.config.limit = 2 * MIB;
    check_reopen(&t);
    spare = aligned_alloc(4096, BLOCK_SIZE);
    other = use(&t, 0, 40 * BLOCK);
    seen_present = 1;
    seen_missing = 1;
    times = 1;
    fault_hook = look_while_punched;
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(put(&t, other, i), BLOB_OK);
    assert_int_equal(times, 0);
    assert_int_equal(seen_present, 0);
    assert_int_equal(seen_missing, 0);
    blob_done(other);
    free(spare);
}

/* Before its record is cleared as well: what is held from then on is not there. */
static void a_block_about_to_be_punched_is_not_there(void **state)
{
    (void)state;
    struct blob *b = use(&t, 0, 6 * BLOCK);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    t.cache->punched = b;
    t.cache->punching = (struct span){1, 3};
    assert_int_equal(blob_present(b, 0, 6), 0x39);
    assert_int_equal(blob_missing(b, 0, 6), 1);
    assert_false(blob_complete(b));
    t.cache->punched = NULL;
    assert_int_equal(blob_present(b, 0, 6), 0x3f);
    assert_true(blob_complete(b));
    blob_done(b);
}

/* A reader is at work on a blob that is dropped: its space is not free before he is done, and who
 * needs it waits for him. */
static sem_t reading, may_end;

static int read_slowly(enum fault_point point)
{
    if (point == FAULT_DISK_READ) {
        (void)sem_post(&reading);
        (void)sem_wait(&may_end);
    }
    return 0;
}

static void *reader(void *arg)
{
    uint8_t *buffer = aligned_alloc(4096, BLOCK_SIZE);
    bool right = blob_read(arg, 0, buffer) == BLOB_OK && is_right(arg, 0, buffer);

    free(buffer);
    return right ? arg : NULL;
}

static void *writer(void *arg)
{
    uint8_t *buffer = aligned_alloc(4096, BLOCK_SIZE);
    bool stored = put_from(arg, 0, buffer) == BLOB_OK;

    free(buffer);
    return stored ? arg : NULL;
}

static void space_of_what_is_being_read_is_not_free_yet(void **state)
{
    pthread_t threads[2];
    void *ok;

    (void)state;
    t.config.limit = 2 * MIB;
    check_reopen(&t);
    struct blob *b = use(&t, 0, 6 * BLOCK), *next = use(&t, 1, 4 * BLOCK);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(put(&t, b, i), BLOB_OK);
    blob_hold(next, 0, 4);
    assert_int_equal(put(&t, next, 1), BLOB_OK);
    (void)sem_init(&reading, 0, 0);
    (void)sem_init(&may_end, 0, 0);
    fault_hook = read_slowly;
    assert_int_equal(pthread_create(&threads[0], NULL, reader, b), 0);
    (void)sem_wait(&reading);
    blob_drop(b);
    assert_true(t.cache->reserved >= 6 * BLOCK);
    assert_used_is_true(&t);
    assert_int_equal(pthread_create(&threads[1], NULL, writer, next), 0);
    (void)sem_post(&may_end);
    assert_int_equal(pthread_join(threads[1], &ok), 0);
    assert_non_null(ok);
    assert_int_equal(pthread_join(threads[0], &ok), 0);
    assert_non_null(ok);
    assert_int_equal(t.cache->reserved, 0);
    blob_release(next, 0, 4);
    blob_done(next);
    blob_done(b);
}

/* Whoever writes a block that is just being punched waits until that is over. */
static pthread_t writing;

static int write_while_punched(enum fault_point point)
{
    if (point != FAULT_EVICT || times == 0)
        return 0;
    times--;
    assert_int_equal(pthread_create(&writing, NULL, writer, other), 0);
    for (bool waits = false; !waits; (void)sched_yield()) {
        cache_lock(t.cache);
        waits = t.cache->reserved > 0;
        cache_unlock(t.cache);
    }
    return 0;
}

static void a_block_being_punched_is_written_afterwards(void **state)
{
    void *ok;

    (void)state;
    t.config.limit = 2 * MIB;
    check_reopen(&t);
    other = use(&t, 0, 10);
    assert_int_equal(put(&t, other, 0), BLOB_OK);
    struct blob *b = use(&t, 1, 20 * BLOCK);
    times = 1;
    fault_hook = write_while_punched;
    blob_hold(b, 0, 20);
    for (uint32_t i = 0; i < 8; i++)
        (void)put(&t, b, i);
    assert_int_equal(times, 0);
    assert_int_equal(pthread_join(writing, &ok), 0);
    assert_non_null(ok);
    assert_int_equal(get(&t, other, 0), BLOB_OK);
    assert_used_is_true(&t);
    blob_release(b, 0, 20);
    blob_done(b);
    blob_done(other);
}

/* ---- File systems of their own. ---- */

static void on_a_full_disk(struct check *r)
{
    enum { N = 60 };
    struct statvfs fs;

    check_open(r); /* may grow to 16 MiB; there are 6 */
    assert_true(stats_of(r).limit < 6 * MIB);
    struct blob *b = use(r, 0, N * BLOCK);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(put(r, b, i), BLOB_OK);
        assert_int_equal(get(r, b, i), BLOB_OK);
        assert_used_is_true(r);
    }
    blob_drop(b);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(put(r, b, i), BLOB_OK);
    /* Others take what is left. */
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/lost+found", r->path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/lost+found/other", r->path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, r->block, 4096) == 4096)
        ;
    assert_int_equal(statvfs(r->path, &fs), 0);
    assert_int_equal(fs.f_bavail, 0);
    r->cache->limit_now = r->config.limit; /* it has not noticed yet */
    r->cache->looked_at = clock_ns();
    assert_int_equal(put(r, b, 12), BLOB_FULL);
    assert_true(cache_degraded(r->cache));
    assert_int_equal(get(r, b, 0), BLOB_OK);
    time_passes(r);
    for (uint32_t i = 12; i < N; i++) { /* now it makes do with less */
        assert_int_equal(put(r, b, i), BLOB_OK);
        assert_int_equal(get(r, b, i), BLOB_OK);
    }
    (void)close(fd);
    assert_int_equal(unlink(path), 0);
    assert_true(stats_of(r).limit > 4 * MIB); /* and takes what there is again */
    blob_done(b);
    check_close(r);
}

static void a_full_disk_narrows_the_bound(void **state)
{
    (void)state;
    check_end(&t);
    t = check_new(16 * MIB);
    with_mount(&t, "tmpfs", "size=6m,mode=0700", on_a_full_disk);
}

static void without_inodes(struct check *r)
{
    unsigned stored = 0;

    check_open(r);
    for (unsigned i = 0; i < 30; i++) {
        struct blob *b = use(r, i, 10);
        stored += put(r, b, 0) == BLOB_OK;
        time_passes(r);
        blob_done(b);
    }
    assert_in_range(stored, 5, 29);
    assert_used_is_true(r);
    struct blob *b = use(r, 0, 10);
    assert_int_equal(get(r, b, 0), BLOB_OK);
    assert_int_equal(put(r, b, 0), BLOB_OK);
    blob_done(b);
    for (unsigned i = 0; i < 5; i++)
        assert_true(cache_drop(r->cache, id_of(i)));
    fill(r, 29, 10);
    check_close(r);
}

static void a_disk_without_inodes_streams(void **state)
{
    (void)state;
    check_end(&t);
    t = check_new(16 * MIB);
    with_mount(&t, "tmpfs", "size=32m,nr_inodes=20,mode=0700", without_inodes);
}

static void remount(const struct check *r, unsigned long flags)
{
    assert_int_equal(mount("none", r->path, "tmpfs", MS_REMOUNT | flags, NULL), 0);
}

/* Descriptors open for writing forbid it, so all files are closed before. */
static void make_read_only(const struct check *r)
{
    struct cache *c = r->cache;

    cache_lock(c);
    while (!TAILQ_EMPTY(&c->open_files))
        files_close(c, TAILQ_FIRST(&c->open_files));
    (void)close(c->lock_file);
    c->lock_file = -1;
    cache_unlock(c);
    remount(r, MS_RDONLY);
}

static void on_a_disk_that_turns_read_only(struct check *r)
{
    r->config.limit = 2 * MIB;
    check_open(r);
    for (unsigned i = 0; i < 7; i++)
        fill(r, i, BLOCK);
    make_read_only(r);
    struct blob *b = use(r, 3, BLOCK), *fresh = use(r, 20, 4 * BLOCK);
    assert_int_equal(get(r, b, 0), BLOB_OK);
    assert_true(blob_complete(b));
    assert_int_equal(put(r, fresh, 0), BLOB_FULL);
    assert_true(cache_degraded(r->cache));
    time_passes(r);
    for (unsigned i = 0; i < 10; i++) /* tries to make room, and to write what is open */
        assert_int_equal(put(r, i % 2 == 0 ? fresh : b, 0), BLOB_FULL);
    time_passes(r);
    assert_int_equal(put(r, b, 0), BLOB_FULL);
    for (unsigned i = 0; i < 7; i++) {
        struct blob *k = use(r, i, BLOCK);
        assert_int_equal(get(r, k, 0), BLOB_OK);
        blob_done(k);
    }
    /* What is wrong is not used, though it can't be removed. */
    blob_drop(b);
    assert_int_equal(get(r, b, 0), BLOB_ABSENT);
    assert_false(has(r, 3));
    remount(r, 0);
    time_passes(r);
    assert_int_equal(put(r, b, 0), BLOB_OK);
    assert_int_equal(get(r, b, 0), BLOB_OK);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(put(r, fresh, i), BLOB_OK);
    assert_false(cache_degraded(r->cache));
    assert_used_is_true(r);
    blob_done(b);
    blob_done(fresh);
    check_close(r);
    remount(r, MS_RDONLY);
    r->cache = cache_open(&r->config, 0, &r->err);
    assert_null(r->cache);
    assert_non_null(strstr(r->err.msg, "lies on a read-only file system; give a directory"));
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/cache", r->path);
    r->config.directory = path;
    assert_null(cache_open(&r->config, 0, &r->err));
    assert_non_null(strstr(r->err.msg, "cannot be made on a read-only file system"));
}

static void a_disk_that_turns_read_only_goes_on_being_read(void **state)
{
    (void)state;
    check_end(&t);
    t = check_new(16 * MIB);
    with_mount(&t, "tmpfs", "size=32m,mode=0700", on_a_disk_that_turns_read_only);
}

static void percent_of_nothing(struct check *r)
{
    r->config =
        (struct cache_config){.directory = r->path, .percent = 80, .blobs_max = 10, .files_max = 2};
    assert_null(cache_open(&r->config, 0, &r->err));
    assert_non_null(strstr(r->err.msg, "give bytes with --cache-size"));
}

static void a_part_of_a_disk_without_a_size_is_refused(void **state)
{
    (void)state;
    check_end(&t);
    t = check_new(16 * MIB);
    with_mount(&t, "ramfs", "mode=0700", percent_of_nothing);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_disk_that_fails_to_write_is_left_alone_for_a_while),
        TEST(a_write_that_failed_leaves_no_space_behind),
        TEST(a_block_that_cannot_be_read_is_not_there),
        TEST(a_punch_that_fails_costs_nothing_but_the_blocks),
        TEST(a_wrong_block_that_cannot_be_cleared_costs_the_blob),
        TEST(being_out_of_descriptors_loses_nothing),
        TEST(a_blob_for_which_no_file_can_be_made_leaves_none),
        TEST(a_mark_that_cannot_be_written_counts_all_the_same),
        TEST(a_block_evicted_while_it_is_read_is_no_damage),
        TEST(a_block_that_came_again_while_it_was_read_is_read),
        TEST(a_blob_dropped_while_it_is_read_is_read),
        TEST(a_blob_dropped_while_it_is_written_is_gone),
        TEST(a_block_being_punched_is_not_there),
        TEST(a_block_about_to_be_punched_is_not_there),
        TEST(space_of_what_is_being_read_is_not_free_yet),
        TEST(a_block_being_punched_is_written_afterwards),
        TEST(a_full_disk_narrows_the_bound),
        TEST(a_disk_without_inodes_streams),
        TEST(a_disk_that_turns_read_only_goes_on_being_read),
        TEST(a_part_of_a_disk_without_a_size_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
