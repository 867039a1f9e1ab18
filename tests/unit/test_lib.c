/* test_lib.c: buffers, errors and files (lib/buf.c, lib/error.c, lib/file.c). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "error.h"
#include "file.h"

/* A sanitizer's allocator ends the program where malloc() returns NULL, unless told so. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static char dir[64];
static struct hfc_error err;

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-lib-XXXXXX");
    return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

/* The tests put files into their folder only, and folders named `sub`. */
static int teardown(void **state)
{
    hfc_autoclosedir DIR *d = opendir(dir);
    struct dirent *e;

    (void)state;
    while (d != NULL && (e = readdir(d)) != NULL)
        (void)unlink(e->d_name);
    (void)rmdir("sub");
    return chdir("/") == 0 ? rmdir(dir) : -1;
}

static void an_empty_buffer_is_an_empty_string(void **state)
{
    struct hfc_buf b;

    (void)state;
    hfc_buf_init(&b, 10);
    assert_string_equal(b.data, "");
    hfc_buf_add(&b, NULL, 0);
    assert_string_equal(b.data, "");
    hfc_buf_free(&b);
    hfc_buf_free(&b);
    assert_string_equal(b.data, "");
}

static void a_buffer_grows_and_ends_with_a_nul(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    hfc_buf_init(&b, 10000);
    for (int i = 0; i < 1000; i++)
        hfc_buf_str(&b, "ab");
    hfc_buf_char(&b, 'c');
    hfc_buf_printf(&b, "%03d", 7);
    assert_int_equal(b.len, 2004);
    assert_string_equal(b.data + 1998, "abc007");
    assert_false(hfc_buf_failed(&b));
}

static void a_buffer_keeps_to_its_cap_and_says_so(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    hfc_buf_init(&b, 4);
    hfc_buf_str(&b, "abcd");
    assert_false(hfc_buf_failed(&b));
    hfc_buf_char(&b, 'e');
    assert_true(hfc_buf_failed(&b));
    assert_string_equal(b.data, "abcd");
    hfc_buf_reset(&b);
    hfc_buf_printf(&b, "%d", 12345);
    assert_true(hfc_buf_failed(&b));
    hfc_buf_char(&b, 'x');
    assert_string_equal(b.data, "");
    assert_null(hfc_buf_reserve(&b, 1));
}

static void a_buffer_ends_with_a_nul_also_if_what_was_reserved_is_not_used(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) { /* freed memory with something in it comes back soon */
        hfc_autobuf struct hfc_buf b;
        hfc_buf_init(&b, 4096);
        memset(hfc_buf_reserve(&b, 100), 'x', 100);
        hfc_buf_free(&b);
        hfc_buf_init(&b, 4096);
        assert_non_null(hfc_buf_reserve(&b, 100));
        assert_int_equal(b.data[0], '\0');
    }
}

static void a_reset_buffer_is_empty_and_well(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    hfc_buf_init(&b, 4);
    hfc_buf_reset(&b);
    hfc_buf_str(&b, "abcde");
    hfc_buf_reset(&b);
    assert_false(hfc_buf_failed(&b));
    hfc_buf_str(&b, "ab");
    hfc_buf_reset(&b);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
}

static void memory_that_cannot_be_had_is_a_failure(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    hfc_buf_init(&b, SIZE_MAX / 2);
    assert_null(hfc_buf_reserve(&b, SIZE_MAX / 4 + 1));
    assert_true(hfc_buf_failed(&b));
}

static void an_error_ends_with_its_errno_text(void **state)
{
    (void)state;
    assert_int_equal(hfc_error_set(&err, ENOSPC, "%s", "x"), -1);
    assert_string_equal(err.msg, "x: No space left on device");
    assert_int_equal(err.errnum, ENOSPC);
    assert_int_equal(hfc_error_set(&err, 0, "plain"), -1);
    assert_string_equal(err.msg, "plain");
    assert_int_equal(err.errnum, 0);
    (void)hfc_error_set(&err, 99999, "odd");
    assert_string_equal(err.msg, "odd: unknown error");
}

static void context_goes_in_front(void **state)
{
    (void)state;
    (void)hfc_error_set(&err, ENOENT, "file");
    assert_int_equal(hfc_error_prefix(&err, "step %d", 2), -1);
    assert_string_equal(err.msg, "step 2: file: No such file or directory");
    assert_int_equal(err.errnum, ENOENT);
}

static void long_messages_are_cut(void **state)
{
    char text[2 * HFC_ERROR_MAX];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    (void)hfc_error_set(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.msg), HFC_ERROR_MAX - 1);
    (void)hfc_error_prefix(&err, "a");
    assert_int_equal(strlen(err.msg), HFC_ERROR_MAX - 1);
    assert_memory_equal(err.msg, "a: xxx", 6);
    (void)hfc_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.msg), HFC_ERROR_MAX - 1);
}

static void nobody_needs_to_take_an_error(void **state)
{
    (void)state;
    assert_int_equal(hfc_error_set(NULL, EIO, "x"), -1);
    assert_int_equal(hfc_error_prefix(NULL, "x"), -1);
}

static void put(const char *path, const char *text)
{
    assert_int_equal(hfc_file_create(AT_FDCWD, path, text, strlen(text), 0644, &err), 0);
}

static void holds(const char *path, const char *text)
{
    hfc_autobuf struct hfc_buf b;

    hfc_buf_init(&b, 1 << 20);
    assert_int_equal(hfc_file_read(AT_FDCWD, path, &b, &err), 0);
    assert_string_equal(b.data, text);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static unsigned count_entries(void)
{
    hfc_autoclosedir DIR *d = opendir(".");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    return n - 2;
}

static int read_capped(const char *path, size_t max, struct hfc_buf *b)
{
    hfc_buf_init(b, max);
    return hfc_file_read(AT_FDCWD, path, b, &err);
}

static void a_file_is_read_whole_up_to_the_cap(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    put("f", "12345");
    assert_int_equal(read_capped("f", 5, &b), 0);
    assert_string_equal(b.data, "12345");
    hfc_buf_free(&b);
    assert_int_equal(read_capped("f", 4, &b), -1);
    assert_int_equal(err.errnum, EFBIG);
    assert_string_equal(err.msg, "f: File too large");
}

static void reading_appends(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    put("f", "2");
    hfc_buf_init(&b, 100);
    hfc_buf_str(&b, "1");
    assert_int_equal(hfc_file_read(AT_FDCWD, "f", &b, &err), 0);
    assert_string_equal(b.data, "12");
}

static void files_without_a_size_are_read_too(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    assert_int_equal(read_capped("/proc/self/status", 1 << 20, &b), 0);
    assert_true(b.len > 100);
    assert_int_equal(strlen(b.data), b.len);
}

static void what_cannot_be_read_is_named(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    assert_int_equal(read_capped("none", 10, &b), -1);
    assert_string_equal(err.msg, "none: No such file or directory");
    hfc_buf_free(&b);
    assert_int_equal(read_capped(".", 10, &b), -1);
    assert_int_equal(err.errnum, EISDIR);
    hfc_buf_free(&b);
    assert_int_equal(read_capped(".", 1 << 20, &b), -1);
    assert_int_equal(err.errnum, EISDIR);
}

static void a_buffer_that_failed_before_takes_no_file(void **state)
{
    hfc_autobuf struct hfc_buf b;

    (void)state;
    put("f", "1");
    hfc_buf_init(&b, 2);
    hfc_buf_str(&b, "abc");
    assert_int_equal(hfc_file_read(AT_FDCWD, "f", &b, &err), -1);
    assert_int_equal(err.errnum, ENOMEM);
}

static void creating_needs_a_new_name(void **state)
{
    (void)state;
    mode_t old = umask(027);
    assert_int_equal(hfc_file_create(AT_FDCWD, "f", "a", 1, 0666, &err), 0);
    (void)umask(old);
    assert_int_equal(mode_of("f"), 0640);
    assert_int_equal(hfc_file_create(AT_FDCWD, "f", "b", 1, 0666, &err), -1);
    assert_int_equal(err.errnum, EEXIST);
    holds("f", "a");
}

static void creating_in_no_folder_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(hfc_file_create(AT_FDCWD, "none/f", "b", 1, 0666, &err), -1);
    assert_string_equal(err.msg, "none/f: No such file or directory");
}

/* A limit on the size of files stands in for a full disk: some of the bytes go, then none. */
static void a_write_that_fails_is_an_error(void **state)
{
    struct rlimit old, low;

    (void)state;
    put("old", "kept");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    int created = hfc_file_create(AT_FDCWD, "f", "12345", 5, 0666, &err);
    int replaced = hfc_file_replace("old", "12345", 5, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(created, -1);
    assert_int_equal(replaced, -1);
    assert_int_equal(err.errnum, EFBIG);
    holds("f", "123");
    holds("old", "kept");
    assert_int_equal(count_entries(), 2);
}

static void replacing_keeps_the_mode(void **state)
{
    (void)state;
    put("f", "old");
    assert_int_equal(chmod("f", 0751), 0);
    assert_int_equal(hfc_file_replace("f", "new", 3, &err), 0);
    holds("f", "new");
    assert_int_equal(mode_of("f"), 0751);
    assert_int_equal(count_entries(), 1);
}

static void a_new_file_gets_the_usual_mode(void **state)
{
    (void)state;
    mode_t old = umask(022);
    assert_int_equal(hfc_file_replace("f", "new", 3, &err), 0);
    (void)umask(old);
    holds("f", "new");
    assert_int_equal(mode_of("f"), 0644);
}

static void replacing_follows_a_symlink(void **state)
{
    struct stat st;

    (void)state;
    put("target", "old");
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(hfc_file_replace("link", "new", 3, &err), 0);
    holds("target", "new");
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(count_entries(), 2);
}

static void a_failed_replacement_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_int_equal(hfc_file_replace("none/f", "new", 3, &err), -1);
    assert_string_equal(err.msg, "none/f: No such file or directory");
    assert_int_equal(mkdir("sub", 0755), 0);
    assert_int_equal(hfc_file_replace("sub", "new", 3, &err), -1);
    assert_int_equal(err.errnum, EISDIR);
    assert_int_equal(count_entries(), 1);
}

static void names_too_long_are_refused(void **state)
{
    char path[PATH_MAX];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(hfc_file_replace(path, "new", 3, &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
}

static void leftovers_of_killed_runs_do_not_stop_a_replacement(void **state)
{
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof(path), "f.%ld-0", (long)getpid());
    put(path, "leftover");
    assert_int_equal(hfc_file_replace("f", "new", 3, &err), 0);
    holds("f", "new");
    holds(path, "leftover");
    for (int i = 0; i < 100; i++) {
        (void)snprintf(path, sizeof(path), "f.%ld-%d", (long)getpid(), i);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    assert_int_equal(hfc_file_replace("f", "newer", 5, &err), -1);
    assert_int_equal(err.errnum, EEXIST);
    holds("f", "new");
}

#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_an_empty_string),
        cmocka_unit_test(a_buffer_grows_and_ends_with_a_nul),
        cmocka_unit_test(a_buffer_keeps_to_its_cap_and_says_so),
        cmocka_unit_test(a_buffer_ends_with_a_nul_also_if_what_was_reserved_is_not_used),
        cmocka_unit_test(a_reset_buffer_is_empty_and_well),
        cmocka_unit_test(memory_that_cannot_be_had_is_a_failure),
        cmocka_unit_test(an_error_ends_with_its_errno_text),
        cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(nobody_needs_to_take_an_error),
        WITH_FOLDER(a_file_is_read_whole_up_to_the_cap),
        WITH_FOLDER(reading_appends),
        WITH_FOLDER(files_without_a_size_are_read_too),
        WITH_FOLDER(what_cannot_be_read_is_named),
        WITH_FOLDER(a_buffer_that_failed_before_takes_no_file),
        WITH_FOLDER(creating_needs_a_new_name),
        WITH_FOLDER(creating_in_no_folder_is_an_error),
        WITH_FOLDER(a_write_that_fails_is_an_error),
        WITH_FOLDER(replacing_keeps_the_mode),
        WITH_FOLDER(a_new_file_gets_the_usual_mode),
        WITH_FOLDER(replacing_follows_a_symlink),
        WITH_FOLDER(a_failed_replacement_leaves_nothing_behind),
        WITH_FOLDER(names_too_long_are_refused),
        WITH_FOLDER(leftovers_of_killed_runs_do_not_stop_a_replacement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
