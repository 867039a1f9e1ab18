/* test_mount_cache.c: taking a cache directory over, the table, restarts (mount/cache_open.c,
 * cache_table.c). */
#include "cache_check.h"

#include <dirent.h>
#include <sys/file.h>

static struct check t;

static int begin(void **state)
{
    (void)state;
    t = check_new(64 * MIB);
    return 0;
}

static int end(void **state)
{
    (void)state;
    check_end(&t);
    return 0;
}

static const char *path_in(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", t.path, name);
    return path;
}

static void write_file(const char *path, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char *bytes = calloc(1, n + 1);

    assert_true(fd >= 0 && bytes != NULL);
    assert_int_equal(write(fd, bytes, n), n);
    free(bytes);
    (void)close(fd);
}

static void assert_refused(const char *because)
{
    t.config.directory = t.path;
    t.cache = cache_open(&t.config, 0, &t.err);
    assert_null(t.cache);
    if (strstr(t.err.msg, because) == NULL)
        fail_msg("not \"%s\": %s", because, t.err.msg);
}

static unsigned names_in(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n - 2;
}

/* ---- The directory. ---- */

static void a_directory_is_made_for_the_user_alone(void **state)
{
    struct stat st;

    (void)state;
    check_open(&t);
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(path_in("blobs"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(names_in(path_in("blobs")), 0);
    assert_int_equal(stats_of(&t).blobs, 0);
    assert_used_is_true(&t);
    assert_int_equal(fstat(cache_directory(t.cache), &st), 0);
}

static void files_are_for_the_user_alone(void **state)
{
    struct stat st;

    (void)state;
    check_open(&t);
    fill(&t, 1, 10);
    assert_int_equal(stat(file_of(&t, 1, ".data"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(file_of(&t, 1, ".map"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_directory_without_a_parent_is_refused(void **state)
{
    (void)state;
    (void)snprintf(t.path, sizeof(t.path), "%s/a/b", t.root);
    assert_refused("the folder in which it is to be made does not exist");
}

static void a_file_is_no_directory(void **state)
{
    (void)state;
    write_file(t.path, 3);
    assert_refused("is not a directory; give one with --cache");
}

static void a_name_that_is_too_long_is_refused(void **state)
{
    char path[400];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    t.config.directory = path;
    t.cache = cache_open(&t.config, 0, &t.err);
    assert_null(t.cache);
    assert_non_null(strstr(t.err.msg, "File name too long"));
}

static void foreign_files_are_refused_and_not_touched(void **state)
{
    (void)state;
    assert_int_equal(mkdir(t.path, 0700), 0);
    write_file(path_in("thesis.tex"), 3);
    assert_refused("holds \"thesis.tex\", which is no part of a cache");
    assert_int_equal(names_in(t.path), 1);
}

static void foreign_files_among_the_blobs_are_refused(void **state)
{
    static const char *const names[] = {"blobs/notes", "blobs/0123456789ABCDEF.data",
                                        "blobs/0123456789abcde.map", "blobs/0123456789abcdef.dat",
                                        "blobs/0123456789abcdef.data.old"};

    (void)state;
    check_open(&t);
    check_close(&t);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        write_file(path_in(names[i]), 3);
        assert_refused("which is no file of a cache; move it elsewhere");
        assert_int_equal(unlink(path_in(names[i])), 0);
    }
    assert_int_equal(mkdir(path_in("blobs/0123456789abcdee.map"), 0700), 0);
    assert_refused("\"blobs/0123456789abcdee.map\"");
    assert_int_equal(rmdir(path_in("blobs/0123456789abcdee.map")), 0);
    check_open(&t);
}

static void what_belongs_to_the_file_system_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(mkdir(path_in("lost+found"), 0700), 0);
    check_open(&t);
    assert_used_is_true(&t);
}

static void blobs_that_is_a_link_or_a_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(symlink(t.root, path_in("blobs")), 0);
    assert_refused("/blobs: is not a directory; remove it");
    assert_int_equal(unlink(path_in("blobs")), 0);
    write_file(path_in("blobs"), 1);
    assert_refused("/blobs: is not a directory; remove it");
}

static void a_lock_that_is_a_link_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(symlink("/dev/null", path_in("lock")), 0);
    assert_refused("/lock: ");
}

static void others_may_not_write_among_the_blobs(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(mkdir(path_in("blobs"), 0700), 0);
    assert_int_equal(chmod(path_in("blobs"), 0777), 0);
    check_open(&t);
    assert_int_equal(stat(path_in("blobs"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void blobs_of_another_user_are_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give files away */
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(mkdir(path_in("blobs"), 0700), 0);
    assert_int_equal(chown(path_in("blobs"), 4711, 4711), 0);
    assert_refused("belongs to user 4711, this is user 0; \"chown -R 0 ");
}

/* Runs `body` as a user for whom permissions count. */
static void as_nobody(void (*body)(void))
{
    int status;

    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool root = geteuid() == 0;
        if (root && seteuid(65534) < 0)
            _exit(1);
        body();
        if (root && seteuid(0) < 0)
            _exit(1);
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void refused_for_writing(void)
{
    char because[200];

    (void)snprintf(because, sizeof(because), "user %u cannot write there; \"chown %u %s\"",
                   (unsigned)geteuid(), (unsigned)geteuid(), t.path);
    assert_refused(because);
}

static void refused_for_making(void)
{
    char because[200];

    (void)snprintf(because, sizeof(because), "cannot be made by user %u", (unsigned)geteuid());
    assert_refused(because);
}

static void refused_for_opening(void)
{
    char because[200];

    (void)snprintf(because, sizeof(because), "user %u cannot use it", (unsigned)geteuid());
    assert_refused(because);
}

static void a_user_who_may_not_write_is_told_what_to_do(void **state)
{
    (void)state;
    assert_int_equal(chmod(t.root, 0755), 0);
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(chmod(t.path, 0555), 0);
    as_nobody(refused_for_writing);
    assert_int_equal(chmod(t.path, 0), 0);
    as_nobody(refused_for_opening);
    assert_int_equal(rmdir(t.path), 0);
    assert_int_equal(chmod(t.root, 0555), 0);
    as_nobody(refused_for_making);
    assert_int_equal(chmod(t.root, 0700), 0);
}

static void one_process_at_a_time(void **state)
{
    struct cache_config config = {
        .directory = t.path, .limit = MIB, .blobs_max = 8, .files_max = 2};

    (void)state;
    check_open(&t);
    assert_null(cache_open(&config, 0, &t.err));
    assert_non_null(strstr(t.err.msg, "is in use by another process; stop that one"));
    assert_null(cache_open(&config, 50, &t.err));
    check_close(&t);
    t.cache = cache_open(&config, 0, &t.err);
    assert_non_null(t.cache);
}

/* The predecessor ends while we wait. */
static void a_lock_is_waited_for(void **state)
{
    int pipes[2];
    char byte;

    (void)state;
    check_open(&t);
    check_close(&t);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(path_in("lock"), O_RDWR);
        if (fd < 0 || flock(fd, LOCK_EX) < 0 || write(pipes[1], "x", 1) != 1)
            _exit(1);
        (void)usleep(100000);
        _exit(0);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    t.config.directory = t.path;
    t.cache = cache_open(&t.config, 60000, &t.err);
    assert_non_null(t.cache);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- Restarts. ---- */

static void blocks_are_there_after_a_restart(void **state)
{
    (void)state;
    check_open(&t);
    struct blob *b = use(&t, 1, 3 * BLOCK + 5);
    assert_int_equal(put(&t, b, 0), BLOB_OK);
    assert_int_equal(put(&t, b, 3), BLOB_OK);
    blob_done(b);
    check_reopen(&t);
    assert_int_equal(stats_of(&t).blobs, 1);
    assert_used_is_true(&t);
    b = use(&t, 1, 3 * BLOCK + 5);
    assert_int_equal(blob_present(b, 0, 64), 9);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    assert_int_equal(get(&t, b, 1), BLOB_ABSENT);
    assert_int_equal(get(&t, b, 3), BLOB_OK);
    blob_done(b);
}

static void leftovers_are_removed(void **state)
{
    (void)state;
    check_open(&t);
    fill(&t, 1, 10);
    fill(&t, 2, 10);
    fill(&t, 3, 10);
    fill(&t, 4, 10);
    check_close(&t);
    assert_int_equal(unlink(file_of(&t, 1, ".map")), 0);
    assert_int_equal(unlink(file_of(&t, 2, ".data")), 0);
    assert_int_equal(truncate(file_of(&t, 3, ".map"), MAP_HEADER), 0); /* was being made */
    write_file(path_in("blobs/probe.tmp"), 10000);
    write_file(path_in("blobs/other.tmp"), 10000);
    write_file(path_in("index.1234-0"), 10000);
    write_file(path_in("index"), 20000);
    write_file(path_in("index.etag"), 20);
    check_open(&t);
    assert_int_equal(stats_of(&t).blobs, 1);
    assert_true(has(&t, 4));
    assert_int_equal(names_in(path_in("blobs")), 2);
    assert_int_equal(names_in(t.path), 4);
    assert_used_is_true(&t);
}

static void files_of_odd_sizes_are_removed(void **state)
{
    static const struct {
        const char *suffix;
        off_t size;
    } odd[] = {{".map", 0},  {".map", MAP_HEADER + 1}, {".map", MAP_HEADER + 16},
               {".data", 0}, {".data", 4095},          {".data", 600 * 1024}};

    (void)state;
    check_open(&t);
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        fill(&t, i, 10);
        assert_int_equal(truncate(file_of(&t, i, odd[i].suffix), odd[i].size), 0);
    }
    check_reopen(&t);
    assert_int_equal(stats_of(&t).blobs, 0);
    assert_int_equal(names_in(path_in("blobs")), 0);
}

static void a_leftover_that_cannot_be_removed_is_left(void **state)
{
    (void)state;
    assert_int_equal(mkdir(t.path, 0700), 0);
    assert_int_equal(mkdir(path_in("index.old"), 0700), 0);
    check_open(&t);
    fill(&t, 1, 10);
    assert_int_equal(access(path_in("index.old"), F_OK), 0);
}

static void links_among_the_blobs_are_removed_and_not_followed(void **state)
{
    (void)state;
    check_open(&t);
    fill(&t, 1, 10);
    check_close(&t);
    write_file(path_in("index"), 100);
    assert_int_equal(unlink(file_of(&t, 1, ".data")), 0);
    assert_int_equal(symlink("../index", file_of(&t, 1, ".data")), 0);
    check_open(&t);
    assert_int_equal(stats_of(&t).blobs, 0);
    assert_int_equal(names_in(path_in("blobs")), 0);
    assert_int_equal(access(path_in("index"), F_OK), 0);
}

static void the_order_of_use_survives_a_restart(void **state)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 0}};

    (void)state;
    check_open(&t);
    for (unsigned i = 0; i < 4; i++)
        fill(&t, i, BLOCK);
    for (unsigned i = 0; i < 4; i++) {
        static const time_t at[] = {3000, 1000, 4000, 2000};
        times[1].tv_sec = at[i];
        assert_int_equal(utimensat(AT_FDCWD, file_of(&t, i, ".map"), times, 0), 0);
    }
    check_close(&t);
    t.config.limit = 3 * BLOCK;
    check_open(&t);
    assert_false(has(&t, 1));
    assert_false(has(&t, 3));
    assert_true(has(&t, 0));
    assert_true(has(&t, 2));
}

static void reading_is_noted_for_the_next_start(void **state)
{
    struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
    struct stat st;

    (void)state;
    check_open(&t);
    fill(&t, 1, BLOCK);
    assert_int_equal(utimensat(AT_FDCWD, file_of(&t, 1, ".map"), old, 0), 0);
    check_reopen(&t);
    struct blob *b = use(&t, 1, BLOCK);
    assert_int_equal(blob_present(b, 0, 1), 1);
    assert_int_equal(stat(file_of(&t, 1, ".map"), &st), 0);
    assert_true(st.st_mtim.tv_sec > 1000);
    /* Not with each read. */
    assert_int_equal(utimensat(AT_FDCWD, file_of(&t, 1, ".map"), old, 0), 0);
    assert_int_equal(get(&t, b, 0), BLOB_OK);
    assert_int_equal(stat(file_of(&t, 1, ".map"), &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 1000);
    blob_done(b);
}

static void a_smaller_bound_holds_at_once(void **state)
{
    (void)state;
    check_open(&t);
    for (unsigned i = 0; i < 20; i++)
        fill(&t, i, BLOCK);
    check_close(&t);
    t.config.limit = 2 * MIB;
    check_open(&t);
    assert_true(du(&t) <= 2 * MIB);
    assert_true(has(&t, 19));
    assert_false(has(&t, 0));
    assert_used_is_true(&t);
}

static void blobs_beyond_the_table_are_removed(void **state)
{
    (void)state;
    check_open(&t);
    for (unsigned i = 0; i < 20; i++)
        fill(&t, i, 10);
    check_close(&t);
    t.config.blobs_max = 5;
    check_open(&t);
    assert_true(stats_of(&t).blobs <= 5);
    assert_used_is_true(&t);
    check_reopen(&t);
    assert_int_equal(names_in(path_in("blobs")), 2 * stats_of(&t).blobs);
}

static void the_bound_may_be_a_part_of_the_disk(void **state)
{
    (void)state;
    t.config.limit = 0;
    t.config.percent = 50;
    check_open(&t);
    uint64_t half = t.config.limit = stats_of(&t).limit;
    assert_true(half > 0);
    check_close(&t);
    t.config.limit = 0;
    t.config.percent = 1;
    check_open(&t);
    assert_true(stats_of(&t).limit < half);
}

/* ---- The table. ---- */

static void ids_come_in_order(void **state)
{
    enum { N = 100 };
    uint64_t ids[7], last = 0;
    unsigned n, sum = 0;

    (void)state;
    check_open(&t);
    assert_int_equal(cache_ids(t.cache, 0, ids, 7), 0);
    for (unsigned i = 0; i < N; i++)
        fill(&t, i, 10);
    while ((n = cache_ids(t.cache, last, ids, 7)) > 0)
        for (unsigned i = 0; i < n; i++, sum++) {
            assert_true(ids[i] > last);
            last = ids[i];
        }
    assert_int_equal(sum, N);
    assert_int_equal(cache_ids(t.cache, 0, ids, 0), 0);
}

static void a_full_table_drops_what_was_not_used_for_longest(void **state)
{
    (void)state;
    t.config.blobs_max = 4;
    check_open(&t);
    for (unsigned i = 0; i < 4; i++)
        fill(&t, i, 10);
    struct blob *b = use(&t, 0, 10);
    assert_int_equal(blob_present(b, 0, 1), 1);
    blob_done(b);
    fill(&t, 4, 10);
    assert_false(has(&t, 1));
    assert_true(has(&t, 0));
    assert_true(has(&t, 4));
    assert_int_equal(stats_of(&t).blobs, 4);
    assert_used_is_true(&t);
}

static void a_table_full_of_held_blobs_stores_no_more(void **state)
{
    struct blob *b[3];

    (void)state;
    t.config.blobs_max = 2;
    check_open(&t);
    for (unsigned i = 0; i < 3; i++)
        b[i] = use(&t, i, 10);
    for (unsigned i = 0; i < 2; i++) {
        blob_hold(b[i], 0, 1);
        assert_int_equal(put(&t, b[i], 0), BLOB_OK);
    }
    assert_int_equal(put(&t, b[2], 0), BLOB_FULL);
    assert_false(cache_degraded(t.cache));
    for (unsigned i = 0; i < 2; i++)
        blob_release(b[i], 0, 1);
    blob_done(b[0]);
    assert_int_equal(put(&t, b[2], 0), BLOB_OK);
    assert_false(has(&t, 0));
    blob_done(b[1]);
    blob_done(b[2]);
}

static void dropping_frees_all_of_it_at_once(void **state)
{
    uint64_t bytes;

    (void)state;
    check_open(&t);
    uint64_t before = du(&t);
    fill(&t, 1, 4 * BLOCK);
    assert_true(cache_has(t.cache, id_of(1), &bytes));
    assert_true(bytes >= 4 * BLOCK);
    assert_true(cache_drop(t.cache, id_of(1)));
    assert_false(cache_drop(t.cache, id_of(1)));
    assert_false(cache_has(t.cache, id_of(1), &bytes));
    assert_int_equal(bytes, 0);
    assert_int_equal(du(&t), before);
    assert_used_is_true(&t);
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    cache_close(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_is_made_for_the_user_alone),
        TEST(files_are_for_the_user_alone),
        TEST(a_directory_without_a_parent_is_refused),
        TEST(a_file_is_no_directory),
        TEST(a_name_that_is_too_long_is_refused),
        TEST(foreign_files_are_refused_and_not_touched),
        TEST(foreign_files_among_the_blobs_are_refused),
        TEST(what_belongs_to_the_file_system_is_accepted),
        TEST(blobs_that_is_a_link_or_a_file_is_refused),
        TEST(a_lock_that_is_a_link_is_refused),
        TEST(others_may_not_write_among_the_blobs),
        TEST(blobs_of_another_user_are_refused),
        TEST(a_user_who_may_not_write_is_told_what_to_do),
        TEST(one_process_at_a_time),
        TEST(a_lock_is_waited_for),
        TEST(blocks_are_there_after_a_restart),
        TEST(leftovers_are_removed),
        TEST(a_leftover_that_cannot_be_removed_is_left),
        TEST(files_of_odd_sizes_are_removed),
        TEST(links_among_the_blobs_are_removed_and_not_followed),
        TEST(the_order_of_use_survives_a_restart),
        TEST(reading_is_noted_for_the_next_start),
        TEST(a_smaller_bound_holds_at_once),
        TEST(blobs_beyond_the_table_are_removed),
        TEST(the_bound_may_be_a_part_of_the_disk),
        TEST(ids_come_in_order),
        TEST(a_full_table_drops_what_was_not_used_for_longest),
        TEST(a_table_full_of_held_blobs_stores_no_more),
        TEST(dropping_frees_all_of_it_at_once),
        TEST(closing_nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
