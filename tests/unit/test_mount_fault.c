/* test_mount_fault.c: named points at which tests let things fail (mount/fault.c). */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "logging.h"
#include "shared.h"

static struct shared *shared;
static char logged[4096];

void log_line(enum log_kind kind, enum log_level level, const char *fmt, ...)
{
    size_t used = strlen(logged);
    va_list args;

    (void)kind, (void)level;
    va_start(args, fmt);
    (void)vsnprintf(logged + used, sizeof(logged) - used, fmt, args);
    va_end(args);
}

static int setup(void **state)
{
    (void)state;
    logged[0] = '\0';
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    unsetenv("HFCACHE_FAULT");
    unsetenv("HFCACHE_FAULT_NAME");
    fault_setup(NULL);
    return munmap(shared, sizeof(*shared));
}

static void use(const char *rules)
{
    setenv("HFCACHE_FAULT", rules, 1);
    fault_setup(shared);
}

static void without_the_variable_nothing_is_counted(void **state)
{
    (void)state;
    fault_setup(shared);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    assert_int_equal(shared->fault_counts[FAULT_DISK_WRITE], 0);
    assert_false(fault_named("x"));
    assert_false(fault_named(""));
}

static void the_nth_passing_fails(void **state)
{
    (void)state;
    use("disk-write:ENOSPC:2,disk-read:EIO:1");
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), ENOSPC);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    assert_int_equal(fault_at(FAULT_DISK_READ), EIO);
    assert_int_equal(fault_at(FAULT_TAKEN), 0);
    assert_int_equal(shared->fault_counts[FAULT_DISK_WRITE], 3);
    assert_int_equal(shared->fault_counts[FAULT_TAKEN], 1);
    assert_string_equal(logged, "");
}

static void all_passings_from_the_nth_on_fail(void **state)
{
    (void)state;
    use("disk-write:EROFS:3+,disk-read:EIO:*");
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), EROFS);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), EROFS);
    assert_int_equal(fault_at(FAULT_DISK_READ), EIO);
    assert_int_equal(fault_at(FAULT_DISK_READ), EIO);
}

static void a_point_may_have_several_rules(void **state)
{
    (void)state;
    use("disk-write:EIO:1,disk-write:ENOSPC:2");
    assert_int_equal(fault_at(FAULT_DISK_WRITE), EIO);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), ENOSPC);
}

static void counting_goes_on_in_the_next_worker(void **state)
{
    (void)state;
    use("disk-write:EIO:2");
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    fault_setup(shared);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), EIO);
}

static void without_shared_memory_it_counts_on_its_own(void **state)
{
    (void)state;
    setenv("HFCACHE_FAULT", "disk-write:EIO:*", 1);
    fault_setup(NULL);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), EIO);
    assert_int_equal(shared->fault_counts[FAULT_DISK_WRITE], 0);
}

static void what_is_no_rule_is_left_out_and_logged(void **state)
{
    static const char *const wrong[] = {
        "nowhere:EIO:1",
        "disk-write:EWHAT:1",
        "disk-write:EIO:0",
        "disk-write:EIO:",
        "disk-write:EIO:-1",
        "disk-write:EIO:1x",
        "disk-write",
        "disk-write:EIO",
        "disk-write:EIO:+",
        ":",
        "disk-write:EIO: 1",
        "disk-write:EIO:1++",
        "disk-write:EIO:99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char expected[128];
        logged[0] = '\0';
        use(wrong[i]);
        (void)snprintf(expected, sizeof(expected), "\"%s\" is left out", wrong[i]);
        if (strstr(logged, expected) == NULL)
            fail_msg("%s: %s", wrong[i], logged);
        assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
    }
}

static void only_so_many_rules_are_taken(void **state)
{
    char rules[1024] = "";

    (void)state;
    for (unsigned i = 0; i < 17; i++)
        (void)snprintf(rules + strlen(rules), sizeof(rules) - strlen(rules), "disk-write:EIO:%u,",
                       i + 1);
    use(rules);
    assert_non_null(strstr(logged, "\"disk-write:EIO:17\" is left out"));
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(fault_at(FAULT_DISK_WRITE), EIO);
    assert_int_equal(fault_at(FAULT_DISK_WRITE), 0);
}

static void a_name_can_be_poisonous(void **state)
{
    (void)state;
    setenv("HFCACHE_FAULT_NAME", "bad.bin", 1);
    use("poison:EIO:1");
    assert_true(fault_named("bad.bin"));
    assert_false(fault_named("bad"));
    assert_int_equal(fault_at(FAULT_LOOKUP_POISON), EIO);
}

static void every_point_has_its_name(void **state)
{
    static const char *const names[] = {
        "request-taken", "request-parked", "before-reply", "after-reply", "mid-fill", "mid-write",
        "mid-evict",     "take-over",      "disk-write",   "disk-read",   "poison"};

    (void)state;
    for (unsigned i = 0; i < FAULT_POINTS; i++) {
        char rule[64];
        (void)snprintf(rule, sizeof(rule), "%s:EIO:*", names[i]);
        use(rule);
        for (unsigned k = 0; k < FAULT_POINTS; k++)
            assert_int_equal(fault_at(k), i == k ? EIO : 0);
    }
}

/* The signal by which a process ends that passes the point. */
static int end_at(const char *rules)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer's is in the way */
        use(rules);
        (void)fault_at(FAULT_TAKEN);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void the_worker_dies_as_told(void **state)
{
    (void)state;
    assert_int_equal(end_at("request-taken:kill:2"), 0);
    assert_int_equal(end_at("request-taken:kill:2"), SIGKILL);
    assert_int_equal(end_at("request-taken:segv:*"), SIGSEGV);
    assert_int_equal(shared->fault_counts[FAULT_TAKEN], 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_the_variable_nothing_is_counted),
        T(the_nth_passing_fails),
        T(all_passings_from_the_nth_on_fail),
        T(a_point_may_have_several_rules),
        T(counting_goes_on_in_the_next_worker),
        T(without_shared_memory_it_counts_on_its_own),
        T(what_is_no_rule_is_left_out_and_logged),
        T(only_so_many_rules_are_taken),
        T(a_name_can_be_poisonous),
        T(every_point_has_its_name),
        T(the_worker_dies_as_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
