/* test_output.c: proves output.h from outside, by what is on disk afterwards; also after a kill at
 * any moment and on file systems that cannot exchange or link.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "file.h"
#include "output.h"
#include "output_internal.h"

#define STAGING ".out.hfcache-gen"

static char folder[64];
static struct output_calls real_calls;
static struct hfc_error err;
static struct output_counts counts;

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_output.XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    real_calls = output_calls;
    memset(&err, 0, sizeof(err));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    output_calls = real_calls;
    assert_int_equal(chdir("/"), 0);
    return nftw(folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static struct stat stat_of(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void expect_text(const char *path, const char *want)
{
    char text[200] = {0};
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(n, strlen(want));
    assert_string_equal(text, want);
}

static struct output *begin(void)
{
    struct output *o = NULL;

    if (output_begin("out", &o, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static void add(struct output *o, const char *name, const char *text)
{
    if (output_file(o, name, text, strlen(text), &err) < 0)
        fail_msg("%s", err.msg);
}

static void commit(struct output *o)
{
    if (output_commit(o, &counts, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(exists(STAGING));
}

static void expect_counts(unsigned long written, unsigned long unchanged, unsigned long removed)
{
    assert_int_equal(counts.written, written);
    assert_int_equal(counts.unchanged, unchanged);
    assert_int_equal(counts.removed, removed);
}

/* A first state: a, d/b, d/e/c. */
static void make_first(void)
{
    struct output *o = begin();

    add(o, "a", "A");
    add(o, "d/b", "B");
    add(o, "d/e/c", "C");
    commit(o);
    expect_counts(3, 0, 0);
}

static void test_first_run_makes_the_target(void **state)
{
    (void)state;
    make_first();
    expect_text("out/a", "A");
    expect_text("out/d/b", "B");
    expect_text("out/d/e/c", "C");
}

static void test_nothing_is_visible_before_commit_or_after_abort(void **state)
{
    (void)state;
    struct output *o = begin();
    add(o, "a", "A");
    assert_false(exists("out"));
    output_abort(o);
    assert_false(exists("out"));
    assert_false(exists(STAGING));
    output_abort(NULL);
}

static void test_unchanged_files_keep_inode_and_mtime(void **state)
{
    (void)state;
    make_first();
    struct stat a = stat_of("out/a"), c = stat_of("out/d/e/c");
    struct output *o = begin();
    add(o, "a", "A");
    add(o, "d/b", "changed");
    add(o, "d/e/c", "c");
    add(o, "n", "");
    commit(o);
    expect_counts(3, 1, 0);
    assert_int_equal(stat_of("out/a").st_ino, a.st_ino);
    assert_int_equal(stat_of("out/a").st_mtim.tv_nsec, a.st_mtim.tv_nsec);
    assert_int_equal(stat_of("out/a").st_nlink, 1);
    assert_int_not_equal(stat_of("out/d/e/c").st_ino, c.st_ino);
    expect_text("out/d/b", "changed");
    expect_text("out/d/e/c", "c");
    expect_text("out/n", "");
}

static void test_the_same_state_leaves_the_target_untouched(void **state)
{
    (void)state;
    make_first();
    struct stat before = stat_of("out");
    struct output *o = begin();
    add(o, "a", "A");
    add(o, "d/e/c", "C");
    add(o, "d/b", "B");
    assert_int_equal(output_folder(o, "d", &err), 0);
    commit(o);
    expect_counts(0, 3, 0);
    assert_int_equal(stat_of("out").st_ino, before.st_ino);
    assert_int_equal(stat_of("out").st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    o = begin();
    assert_int_equal(output_keep(o, "d", &err), 0);
    add(o, "a", "A");
    commit(o);
    expect_counts(0, 1, 0);
    assert_int_equal(stat_of("out").st_ino, before.st_ino);
}

static void test_what_is_not_given_again_goes(void **state)
{
    (void)state;
    make_first();
    struct output *o = begin();
    add(o, "a", "A");
    commit(o);
    expect_counts(0, 1, 2);
    assert_false(exists("out/d"));
}

static void test_an_empty_folder_that_comes_or_goes_is_a_change(void **state)
{
    (void)state;
    struct output *o = begin();
    assert_int_equal(output_folder(o, "x/y", &err), 0);
    commit(o);
    assert_true(exists("out/x/y"));
    o = begin();
    assert_int_equal(output_folder(o, "x", &err), 0);
    commit(o);
    assert_true(exists("out/x") && !exists("out/x/y"));
    o = begin();
    assert_int_equal(output_folder(o, "x", &err), 0);
    assert_int_equal(output_folder(o, "z", &err), 0);
    commit(o);
    assert_true(exists("out/x") && exists("out/z"));
    expect_counts(0, 0, 0);
}

static void test_a_changed_target_keeps_its_mode(void **state)
{
    (void)state;
    make_first();
    assert_int_equal(chmod("out", 0750), 0);
    struct output *o = begin();
    add(o, "n", "N");
    commit(o);
    assert_int_equal(stat_of("out").st_mode & 07777, 0750);
}

static void test_foreign_things_go_and_symlinks_are_not_followed(void **state)
{
    (void)state;
    make_first();
    assert_int_equal(mkdir("precious", 0700), 0);
    write_file("precious/file", "P");
    assert_int_equal(symlink("../precious", "out/link"), 0);
    assert_int_equal(symlink("../../precious", "out/d/link"), 0);
    assert_int_equal(mkfifo("out/fifo", 0600), 0);
    assert_int_equal(mkdir("out/deep", 0700), 0);
    assert_int_equal(mkdir("out/deep/er", 0500), 0);
    struct output *o = begin();
    add(o, "fifo", "now a file");
    add(o, "link/file", "P");
    add(o, "a", "A");
    commit(o);
    expect_counts(2, 1, 2);
    expect_text("precious/file", "P");
    assert_true(S_ISDIR(stat_of("out/link").st_mode));
    assert_int_not_equal(stat_of("out/link/file").st_ino, stat_of("precious/file").st_ino);
    assert_false(exists("out/deep"));
    assert_int_equal(symlink("a", "out/only"), 0);
    o = begin();
    add(o, "fifo", "now a file");
    add(o, "link/file", "P");
    add(o, "a", "A");
    commit(o);
    assert_false(exists("out/only"));
}

/* Makes folders in folders below `top`, deeper than a path may be long. */
static void make_deep(const char *top, unsigned depth)
{
    int home = open(".", O_RDONLY | O_DIRECTORY);

    assert_int_equal(mkdir(top, 0700), 0);
    assert_int_equal(chdir(top), 0);
    for (unsigned i = 0; i < depth; i++) {
        assert_int_equal(mkdir("dddddddddd", 0700), 0);
        assert_int_equal(chdir("dddddddddd"), 0);
        write_file("f", "F");
    }
    assert_int_equal(fchdir(home), 0);
    close(home);
}

static void test_a_tree_of_any_depth_is_removed_but_not_kept(void **state)
{
    (void)state;
    make_first();
    make_deep("out/deep", 500);
    struct output *o = begin();
    assert_int_equal(output_keep(o, "deep", &err), -1);
    assert_int_equal(err.errnum, ELOOP);
    output_abort(o);
    assert_false(exists(STAGING));
    assert_true(exists("out/deep/dddddddddd/f"));
    o = begin();
    add(o, "a", "A");
    commit(o);
    assert_false(exists("out/deep"));
}

static void test_keep_carries_everything_over(void **state)
{
    (void)state;
    make_first();
    assert_int_equal(symlink("nowhere", "out/d/link"), 0);
    assert_int_equal(chmod("out/d/e", 0500), 0);
    struct stat b = stat_of("out/d/b"), e = stat_of("out/d/e"), a = stat_of("out/a");
    struct output *o = begin();
    assert_int_equal(output_keep(o, "d", &err), 0);
    assert_int_equal(output_keep(o, "a", &err), 0);
    assert_int_equal(output_keep(o, "none", &err), 0);
    add(o, "n", "N");
    commit(o);
    expect_counts(1, 0, 0);
    assert_int_equal(stat_of("out/a").st_ino, a.st_ino);
    assert_int_equal(stat_of("out/d/b").st_ino, b.st_ino);
    assert_int_equal(stat_of("out/d/e").st_mode, e.st_mode);
    assert_int_equal(stat_of("out/d/e").st_mtim.tv_nsec, e.st_mtim.tv_nsec);
    assert_true(S_ISLNK(stat_of("out/d/link").st_mode));
    expect_text("out/d/e/c", "C");
}

static void expect_refused(struct output *o, const char *name, int errnum)
{
    assert_int_equal(output_file(o, name, "x", 1, &err), -1);
    assert_int_equal(err.errnum, errnum);
}

static void test_names_given_twice_are_refused(void **state)
{
    (void)state;
    make_first();
    struct output *o = begin();
    add(o, "d/b", "B");
    assert_int_equal(output_file(o, "d/b", "B", 1, &err), -1);
    assert_int_equal(err.errnum, EEXIST);
    expect_refused(o, "d/b", EEXIST);
    expect_refused(o, "d", EEXIST);
    expect_refused(o, "d/b/x", ENOTDIR);
    assert_int_equal(output_keep(o, "d", &err), -1);
    assert_int_equal(err.errnum, EEXIST);
    assert_int_equal(output_keep(o, "a", &err), 0);
    assert_int_equal(output_keep(o, "a", &err), -1);
    expect_refused(o, "a", EEXIST);
    expect_refused(o, "a/x", EEXIST);
    output_abort(o);
}

static void test_names_that_leave_the_target_are_refused(void **state)
{
    static const char *const bad[] = {"",     "/a",   "a/",    "a//b",  ".",      "..",
                                      "../a", "a/..", "a/./b", "../..", "a/b/c/d"};
    char longer[300];

    (void)state;
    make_first();
    struct output *o = begin();
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        expect_refused(o, bad[i], EINVAL);
    memset(longer, 'n', sizeof(longer));
    longer[298] = '\0';
    expect_refused(o, longer, ENAMETOOLONG);
    assert_int_equal(output_keep(o, longer, &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
    strcpy(longer + 290, "/f");
    expect_refused(o, longer, ENAMETOOLONG);
    assert_int_equal(output_folder(o, "a/b/c", &err), -1);
    assert_int_equal(output_keep(o, "a/b", &err), -1);
    assert_int_equal(output_file(o, "...", "x", 1, &err), 0);
    output_abort(o);
}

static void expect_no_begin(const char *dir, int errnum)
{
    struct output *o = NULL;

    assert_int_equal(output_begin(dir, &o, &err), -1);
    assert_int_equal(err.errnum, errnum);
    assert_null(o);
    assert_int_equal(output_begin(dir, &o, NULL), -1);
}

static void test_targets_that_cannot_be(void **state)
{
    char longer[300];

    (void)state;
    write_file("file", "x");
    assert_int_equal(mkdir("real", 0700), 0);
    assert_int_equal(symlink("real", "link"), 0);
    expect_no_begin("file", ENOTDIR);
    expect_no_begin("link", ENOTDIR);
    assert_non_null(strstr(err.msg, "symbolic link"));
    expect_no_begin("missing/out", ENOENT);
    expect_no_begin("file/out", ENOTDIR);
    expect_no_begin(".", EINVAL);
    expect_no_begin("real/..", EINVAL);
    expect_no_begin("///", EINVAL);
    expect_no_begin("", EINVAL);
    memset(longer, 'n', sizeof(longer));
    longer[299] = '\0';
    expect_no_begin(longer, ENAMETOOLONG);
    longer[250] = '\0'; /* the staging folder's name is longer */
    expect_no_begin(longer, ENAMETOOLONG);
    assert_false(exists(".file.hfcache-gen") || exists(".link.hfcache-gen"));
    write_file(STAGING, "not ours");
    expect_no_begin("out", ENOTDIR);
    expect_text(STAGING, "not ours");
}

static void test_target_may_be_absolute_or_end_in_slashes(void **state)
{
    char path[100];
    struct output *o;

    (void)state;
    snprintf(path, sizeof(path), "%s/out//", folder);
    assert_int_equal(output_begin(path, &o, &err), 0);
    add(o, "a", "A");
    commit(o);
    expect_text("out/a", "A");
    if (geteuid() == 0) {
        assert_int_equal(output_begin("/.test_output_root", &o, &err), 0);
        output_abort(o);
    }
}

static void test_a_second_run_is_told_that_it_is_second(void **state)
{
    struct output *second;

    (void)state;
    struct output *o = begin();
    assert_int_equal(output_begin("out", &second, &err), -1);
    assert_int_equal(err.errnum, EBUSY);
    assert_string_equal(err.msg, "another hfcache-gen is writing out");
    assert_int_equal(output_begin("out", &second, NULL), -1);
    add(o, "a", "A");
    commit(o);
    output_abort(begin());
}

static void test_leftovers_of_a_killed_run_are_removed(void **state)
{
    (void)state;
    make_first();
    assert_int_equal(mkdir(STAGING, 0700), 0);
    assert_int_equal(mkdir(STAGING "/new", 0700), 0);
    write_file(STAGING "/new/stale", "S");
    assert_int_equal(mkdir(STAGING "/rubbish", 0700), 0);
    write_file(STAGING "/rubbish/a", "older");
    /* A kill in the middle of removing a deep tree leaves such names. */
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof(name), STAGING "/lifted-%d", i);
        make_deep(name, 3);
    }
    struct output *o = begin();
    add(o, "a", "A");
    commit(o);
    assert_false(exists("out/stale"));
    expect_text("out/a", "A");
}

/* Stand-ins for system calls. */

static int no_exchange(int dirfd, const char *a, int dirfd2, const char *b)
{
    (void)dirfd, (void)a, (void)dirfd2, (void)b;
    errno = ENOSYS;
    return -1;
}

static int broken_exchange(int dirfd, const char *a, int dirfd2, const char *b)
{
    (void)dirfd, (void)a, (void)dirfd2, (void)b;
    errno = EBUSY;
    return -1;
}

static int no_link(int dirfd, const char *old, int newdirfd, const char *new)
{
    (void)dirfd, (void)old, (void)newdirfd, (void)new;
    errno = EPERM;
    return -1;
}

static int broken_link(int dirfd, const char *old, int newdirfd, const char *new)
{
    (void)dirfd, (void)old, (void)newdirfd, (void)new;
    errno = EIO;
    return -1;
}

static unsigned renames_left;
static bool kill_at_rename;

static int counted_rename(int dirfd, const char *old, int newdirfd, const char *new)
{
    if (renames_left-- > 0)
        return renameat(dirfd, old, newdirfd, new);
    if (kill_at_rename)
        raise(SIGKILL);
    errno = EIO;
    return -1;
}

static void test_without_exchange_two_renames_do(void **state)
{
    (void)state;
    make_first();
    output_calls.exchange = no_exchange;
    struct output *o = begin();
    add(o, "a", "A2");
    commit(o);
    expect_counts(1, 0, 2);
    expect_text("out/a", "A2");
    assert_false(exists("out/d"));
}

static void test_a_failed_swap_leaves_the_old_state(void **state)
{
    (void)state;
    make_first();
    for (unsigned i = 0; i < 3; i++) {
        output_calls.exchange = i == 2 ? broken_exchange : no_exchange;
        output_calls.rename = counted_rename;
        renames_left = i;
        kill_at_rename = false;
        struct output *o = begin();
        add(o, "a", "A2");
        assert_int_equal(output_commit(o, NULL, &err), -1);
        assert_int_equal(err.errnum, i == 2 ? EBUSY : EIO);
        expect_text("out/a", "A");
        expect_text("out/d/e/c", "C");
        assert_false(exists(STAGING));
    }
}

/* Somebody makes the target between the two renames. */
static int obstructed_rename(int dirfd, const char *old, int newdirfd, const char *new)
{
    if (renames_left++ == 1) {
        assert_int_equal(mkdir("out", 0700), 0);
        write_file("out/foreign", "F");
    }
    return renameat(dirfd, old, newdirfd, new);
}

static void test_an_old_state_that_cannot_go_back_is_kept(void **state)
{
    struct output *o;

    (void)state;
    make_first();
    output_calls.exchange = no_exchange;
    output_calls.rename = obstructed_rename;
    renames_left = 0;
    o = begin();
    add(o, "a", "A2");
    assert_int_equal(output_commit(o, NULL, &err), -1);
    assert_non_null(strstr(err.msg, STAGING "/old"));
    expect_text(STAGING "/old/a", "A");
    /* Neither is anything done to it later, nor to what stands in its place. */
    assert_int_equal(output_begin("out", &o, &err), -1);
    assert_int_equal(err.errnum, EEXIST);
    expect_text(STAGING "/old/a", "A");
    expect_text("out/foreign", "F");
}

static void wait_for(pid_t pid, bool *killed)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    *killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    assert_true(*killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void test_a_kill_between_the_two_renames_is_put_right(void **state)
{
    bool killed;

    (void)state;
    make_first();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        output_calls.exchange = no_exchange;
        output_calls.rename = counted_rename;
        renames_left = 1;
        kill_at_rename = true;
        struct output *o = begin();
        add(o, "a", "A2");
        (void)output_commit(o, NULL, NULL);
        _exit(1);
    }
    wait_for(pid, &killed);
    assert_true(killed);
    assert_false(exists("out"));
    output_abort(begin());
    expect_text("out/a", "A");
    expect_text("out/d/e/c", "C");
    assert_false(exists(STAGING));
}

static void test_what_comes_back_is_checked_like_any_target(void **state)
{
    struct output *o;

    (void)state;
    assert_int_equal(mkdir(STAGING, 0700), 0);
    write_file(STAGING "/old", "no folder");
    assert_int_equal(output_begin("out", &o, &err), -1);
    assert_int_equal(err.errnum, ENOTDIR);
    assert_true(exists("out"));
    assert_false(exists(STAGING));
}

static void test_without_links_unchanged_files_keep_their_mtime(void **state)
{
    const struct timespec times[2] = {{1000, 5}, {2000, 7}};

    (void)state;
    make_first();
    assert_int_equal(symlink("nowhere", "out/d/link"), 0);
    assert_int_equal(utimensat(AT_FDCWD, "out/a", times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, "out/d/b", times, 0), 0);
    assert_int_equal(chmod("out/a", 0640), 0);
    output_calls.link = no_link;
    struct output *o = begin();
    add(o, "a", "A");
    assert_int_equal(output_keep(o, "d", &err), 0);
    add(o, "n", "N");
    commit(o);
    expect_counts(1, 1, 0);
    expect_text("out/a", "A");
    expect_text("out/d/b", "B");
    assert_int_equal(stat_of("out/a").st_mtim.tv_sec, 2000);
    assert_int_equal(stat_of("out/a").st_mtim.tv_nsec, 7);
    assert_int_equal(stat_of("out/a").st_mode & 07777, 0640);
    assert_int_equal(stat_of("out/d/b").st_mtim.tv_sec, 2000);
    assert_true(S_ISLNK(stat_of("out/d/link").st_mode));
}

static void test_what_can_be_neither_linked_nor_copied_is_an_error(void **state)
{
    (void)state;
    make_first();
    assert_int_equal(mkfifo("out/fifo", 0600), 0);
    output_calls.link = no_link;
    struct output *o = begin();
    assert_int_equal(output_keep(o, "fifo", &err), -1);
    assert_int_equal(err.errnum, EPERM);
    add(o, "a", "A");
    assert_int_equal(output_file(o, "a", "A", 1, &err), -1);
    assert_int_equal(err.errnum, EEXIST);
    output_calls.link = broken_link;
    assert_int_equal(output_keep(o, "d", &err), -1);
    assert_int_equal(err.errnum, EIO);
    output_abort(o);
    expect_text("out/d/b", "B");
}

/* One run that uses every kind of step. Returns whether it went through. */
static bool try_everything(void)
{
    struct output *o;

    if (output_begin("out", &o, &err) < 0)
        return false;
    if (output_keep(o, "d", &err) < 0 || output_file(o, "a", "A", 1, &err) < 0 ||
        output_file(o, "n/m/o", "O", 1, &err) < 0 || output_folder(o, "p", &err) < 0) {
        output_abort(o);
        return false;
    }
    return output_commit(o, &counts, &err) == 0;
}

static void reset_for_everything(void)
{
    struct output *o = begin();

    add(o, "a", "A");
    add(o, "d/b", "B");
    add(o, "d/e/c", "C");
    commit(o);
    make_deep("out/x", 3);
}

static void test_each_open_that_fails_leaves_the_old_or_the_new_state(void **state)
{
    struct rlimit all, few;
    int lowest = dup(0);
    unsigned failures = 0;
    bool through = false;

    (void)state;
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    for (unsigned i = 0; !through || i < 24; i++) {
        assert_true(i < 100);
        reset_for_everything();
        /* Leftovers make begin work, too. */
        if (i % 2 == 0) {
            assert_int_equal(mkdir(STAGING, 0700), 0);
            make_deep(STAGING "/new", 2);
        }
        for (int no_links = 0; no_links < 2; no_links++) {
            output_calls.link = no_links ? no_link : real_calls.link;
            few = (struct rlimit){(rlim_t)lowest + i / 2, all.rlim_max};
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
            through = try_everything();
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
            assert_true(through || err.errnum == EMFILE || err.errnum == EPERM);
            failures += !through;
            expect_text("out/a", "A");
            expect_text("out/d/e/c", "C");
            assert_int_equal(exists("out/n/m/o"), through);
            assert_int_equal(exists("out/x"), !through);
            if (through)
                break;
        }
        output_abort(begin());
        assert_false(exists(STAGING));
    }
    assert_true(failures >= 10);
}

static void test_too_large_a_file_leaves_the_old_state(void **state)
{
    struct rlimit all, few;
    struct output *o;
    char big[5000] = {0};

    (void)state;
    make_first();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    few = (struct rlimit){4096, all.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    o = begin();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    assert_int_equal(output_file(o, "big", big, sizeof(big), &err), -1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_int_equal(err.errnum, EFBIG);
    output_abort(o);
    signal(SIGXFSZ, SIG_DFL);
    expect_text("out/a", "A");
    assert_false(exists("out/big"));
}

/* The kill test: two states that share some files; a run goes from one to the other. */

enum { STATE_FILES = 24, KILLS = 200 };

static void state_text(int which, int i, char *text)
{
    sprintf(text, "file %d of state %d", i, i % 3 == 0 ? 0 : which);
}

static void write_state(int which)
{
    char name[32], text[64];
    struct output *o = begin();

    for (int i = 0; i < STATE_FILES; i++) {
        snprintf(name, sizeof(name), "d%d/%s%d", i / 8, i % 5 == 0 ? (which ? "x" : "y") : "f", i);
        state_text(which, i, text);
        add(o, name, text);
    }
    commit(o);
}

static void expect_state(int which)
{
    char name[40], text[64];

    for (int i = 0; i < STATE_FILES; i++) {
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof(name), "out/d%d/%s%d", i / 8, i % 5 == 0 ? (k ? "x" : "y") : "f",
                     i);
            assert_int_equal(exists(name), i % 5 != 0 || k == which);
        }
        snprintf(name, sizeof(name), "out/d%d/%s%d", i / 8, i % 5 == 0 ? (which ? "x" : "y") : "f",
                 i);
        state_text(which, i, text);
        expect_text(name, text);
    }
}

static long now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Kills a run from the state `which` to the other one after some time. Returns the state in which
 * the target is then. */
static int kill_a_run(int which, long delay, unsigned *kills)
{
    bool killed;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        write_state(!which);
        _exit(0);
    }
    usleep((useconds_t)delay);
    kill(pid, SIGKILL);
    wait_for(pid, &killed);
    *kills += killed;
    if (output_calls.exchange == no_exchange)
        output_abort(begin()); /* may have to put the old state back */
    int after = exists("out/d0/x0");
    expect_state(after);
    assert_true(killed || after == !which);
    return after;
}

static void check_kills(void)
{
    unsigned seed = (unsigned)getpid(), kills = 0, i = 0;
    int which = 0;

    print_message("seed %u\n", seed);
    write_state(1);
    long start = now_us();
    write_state(0);
    long whole = 2 * (now_us() - start) + 200;
    /* How long a run takes varies with the load, so what misses shortens the delay. */
    for (; kills < KILLS && i < 20 * KILLS; i++) {
        unsigned before = kills;
        which = kill_a_run(which, rand_r(&seed) % whole, &kills);
        whole = kills > before ? whole + whole / 50 : whole - whole / 10 + 10;
    }
    assert_int_equal(kills, KILLS);
    write_state(!which);
    expect_state(!which);
    assert_false(exists(STAGING));
}

static void test_a_kill_leaves_the_old_or_the_new_state(void **state)
{
    (void)state;
    check_kills();
}

static void test_a_kill_without_exchange_leaves_what_can_be_put_right(void **state)
{
    (void)state;
    output_calls.exchange = no_exchange;
    check_kills();
}

/* Several processes at once: each run succeeds or is told that it is busy. */
static void test_runs_at_the_same_time_keep_each_other_out(void **state)
{
    enum { PROCESSES = 4, RUNS = 1000 };
    pid_t pids[PROCESSES];
    bool killed;

    (void)state;
    make_first();
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = fork();
        assert_true(pids[p] >= 0);
        if (pids[p] > 0)
            continue;
        for (int i = 0; i < RUNS; i++) {
            char text[20];
            struct output *o = NULL;
            struct hfc_error e;
            if (output_begin("out", &o, &e) < 0) {
                if (e.errnum != EBUSY)
                    _exit(1);
                continue;
            }
            if (i % 20 != 0) { /* short runs take over from each other more often */
                output_abort(o);
                continue;
            }
            snprintf(text, sizeof(text), "%d", p);
            if (output_file(o, "a", text, 1, &e) < 0 || output_file(o, "d/b", text, 1, &e) < 0 ||
                output_commit(o, NULL, &e) < 0)
                _exit(2);
        }
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++)
        wait_for(pids[p], &killed);
    assert_false(exists(STAGING));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_run_makes_the_target),
        TEST(test_nothing_is_visible_before_commit_or_after_abort),
        TEST(test_unchanged_files_keep_inode_and_mtime),
        TEST(test_the_same_state_leaves_the_target_untouched),
        TEST(test_what_is_not_given_again_goes),
        TEST(test_an_empty_folder_that_comes_or_goes_is_a_change),
        TEST(test_a_changed_target_keeps_its_mode),
        TEST(test_foreign_things_go_and_symlinks_are_not_followed),
        TEST(test_a_tree_of_any_depth_is_removed_but_not_kept),
        TEST(test_keep_carries_everything_over),
        TEST(test_names_given_twice_are_refused),
        TEST(test_names_that_leave_the_target_are_refused),
        TEST(test_targets_that_cannot_be),
        TEST(test_target_may_be_absolute_or_end_in_slashes),
        TEST(test_a_second_run_is_told_that_it_is_second),
        TEST(test_leftovers_of_a_killed_run_are_removed),
        TEST(test_without_exchange_two_renames_do),
        TEST(test_a_failed_swap_leaves_the_old_state),
        TEST(test_an_old_state_that_cannot_go_back_is_kept),
        TEST(test_a_kill_between_the_two_renames_is_put_right),
        TEST(test_what_comes_back_is_checked_like_any_target),
        TEST(test_without_links_unchanged_files_keep_their_mtime),
        TEST(test_what_can_be_neither_linked_nor_copied_is_an_error),
        TEST(test_each_open_that_fails_leaves_the_old_or_the_new_state),
        TEST(test_too_large_a_file_leaves_the_old_state),
        TEST(test_a_kill_leaves_the_old_or_the_new_state),
        TEST(test_a_kill_without_exchange_leaves_what_can_be_put_right),
        TEST(test_runs_at_the_same_time_keep_each_other_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
