/* test_mount_memory_plan.c: the division of memory and cgroups' limits (mount/memory_plan.c). */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "memory_plan.h"

#define MIB ((size_t)1024 * 1024)
#define GIB (1024 * MIB)

static struct hfc_error err;

static struct memory_plan plan_of(size_t total, bool tls)
{
    struct memory_plan p;

    if (memory_plan_make(total, tls, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return p;
}

static size_t parts(const struct memory_plan *p)
{
    return p->fixed + p->connections * p->connection + (size_t)p->chunks * BLOCK_SIZE +
           2 * p->tree + p->blobs * p->blob;
}

/* What 300 readers of 1 MiB need at 64 MiB: see DESIGN 4.6. */
static void sixty_four_mib_are_enough_for_everything(void **state)
{
    (void)state;
    struct memory_plan p = plan_of(64 * MIB, true);
    assert_int_equal(p.total, 64 * MIB);
    assert_true(p.connections >= 24);
    assert_true(p.chunks * BLOCK_SIZE >= 16 * MIB);
    assert_true(p.tree >= 4 * MIB);
    assert_true(p.blobs >= 10000);
    assert_in_range(p.fixed, 18 * MIB, 26 * MIB);
}

static void the_sum_of_all_parts_is_never_more_than_was_given(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++)
        for (size_t total = memory_plan_smallest(tls); total < 64 * GIB; total += total / 7) {
            struct memory_plan p = plan_of(total, tls);
            assert_true(parts(&p) <= total);
            assert_int_equal(p.http.connections, p.connections);
            assert_int_equal(p.connection, hfc_http_connection_memory(&p.http));
            assert_true(p.http.receive_buffer > 0 && p.http.send_buffer > 0);
        }
}

static void nothing_of_use_is_left_over_below_the_caps(void **state)
{
    (void)state;
    for (size_t total = 64 * MIB; total <= 256 * MIB; total += 16 * MIB) {
        struct memory_plan p = plan_of(total, true);
        assert_true(total - parts(&p) < BLOCK_SIZE + p.connection);
    }
}

static void more_memory_is_never_less_of_anything(void **state)
{
    (void)state;
    struct memory_plan before = plan_of(64 * MIB, true);
    for (size_t total = 128 * MIB; total <= 16 * GIB; total *= 2) {
        struct memory_plan p = plan_of(total, true);
        assert_true(p.connections >= before.connections);
        assert_true(p.chunks >= before.chunks);
        assert_true(p.tree >= before.tree);
        assert_true(p.blobs >= before.blobs);
        assert_true(p.http.receive_buffer >= before.http.receive_buffer);
        before = p;
    }
}

static void parts_end_at_their_caps(void **state)
{
    (void)state;
    struct memory_plan p = plan_of(1024 * GIB, true);
    assert_int_equal(p.connections, 64);
    assert_int_equal(p.chunks * BLOCK_SIZE, 256 * MIB);
    assert_int_equal(p.tree, 256 * MIB);
    assert_int_equal(p.blobs, 1024 * 1024);
    assert_int_equal(p.http.receive_buffer, MIB);
}

/* Some 250 bytes a name. */
static void a_gib_has_room_for_a_million_names(void **state)
{
    (void)state;
    struct memory_plan p = plan_of(GIB, true);
    assert_true(p.tree >= 1000000 * (size_t)200);
    assert_int_equal(p.connections, 64);
    assert_int_equal(p.chunks * BLOCK_SIZE, 256 * MIB);
}

static void too_little_is_refused_with_what_would_do(void **state)
{
    struct memory_plan p;
    char text[100];

    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        size_t least = memory_plan_smallest(tls);
        assert_in_range(least, 32 * MIB, 48 * MIB);
        (void)snprintf(text, sizeof(text), "give at least %zu MiB", least / MIB);
        assert_int_equal(memory_plan_make(least, tls, &p, &err), 0);
        assert_int_equal(memory_plan_make(least - MIB, tls, &p, &err), -1);
        assert_non_null(strstr(err.msg, text));
        assert_int_equal(memory_plan_make(0, tls, &p, &err), -1);
        assert_non_null(strstr(err.msg, text));
    }
    assert_true(memory_plan_smallest(false) <= memory_plan_smallest(true));
}

/* One read may need READ_BLOCKS_MAX chunks at once, whatever else goes on. */
static void the_least_memory_still_serves_reads_past_the_cache(void **state)
{
    (void)state;
    struct memory_plan p = plan_of(memory_plan_smallest(true), true);
    assert_true(p.chunks >= READ_BLOCKS_MAX * FUSE_THREADS + IO_THREADS);
    assert_true(p.connections >= 4);
}

/* Cgroups. */

static char root[64];

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    (void)snprintf(root, sizeof(root), "/tmp/hfc-test-plan-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file below the root, with its folders. */
static void put(const char *name, const char *text)
{
    char path[4096];

    int n = snprintf(path, sizeof(path), "%s%s", root, name);
    assert_true(n > 0 && (size_t)n < sizeof(path));
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    assert_int_equal(hfc_file_create(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
}

static void a_limit_of_version_2_is_found(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "67108864\n");
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    assert_int_equal(memory_limit_of_cgroup(root), 64 * MIB);
}

static void the_least_of_all_groups_above_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.max", "134217728\n");
    put("/sys/fs/cgroup/a/memory.max", "67108864\n");
    put("/sys/fs/cgroup/memory.max", "268435456\n");
    assert_int_equal(memory_limit_of_cgroup(root), 64 * MIB);
}

static void a_container_sees_its_group_as_the_root(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "268435456\n");
    assert_int_equal(memory_limit_of_cgroup(root), 256 * MIB);
}

static void a_group_that_is_not_visible_is_passed_over(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/../../kubepods/x\n");
    put("/kubepods/x/memory.max", "1048576\n");
    put("/sys/fs/cgroup/memory.max", "268435456\n");
    assert_int_equal(memory_limit_of_cgroup(root), 256 * MIB);
}

static void a_limit_of_version_1_is_found(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "7:cpu,cpuacct:/x\n5:hugetlb,memory:/a/b\n1:name=systemd:/x\n0::/\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "67108864\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
    assert_int_equal(memory_limit_of_cgroup(root), 64 * MIB);
}

static void without_a_limit_there_is_none(void **state)
{
    (void)state;
    assert_int_equal(memory_limit_of_cgroup(root), 0);
    put("/proc/self/cgroup", "nonsense\n5:pids:/a\n4:memory:/\n0:\n");
    assert_int_equal(memory_limit_of_cgroup(root), 0);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(memory_limit_of_cgroup(root), 0);
}

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "\n");
    assert_int_equal(memory_limit_of_cgroup(root), 0);
}

static void the_real_machine_can_be_asked(void **state)
{
    (void)state;
    size_t limit = memory_limit_of_cgroup("/");
    assert_true(limit == 0 || limit >= MIB);
}

#define IN_ROOT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_four_mib_are_enough_for_everything),
        cmocka_unit_test(the_sum_of_all_parts_is_never_more_than_was_given),
        cmocka_unit_test(nothing_of_use_is_left_over_below_the_caps),
        cmocka_unit_test(more_memory_is_never_less_of_anything),
        cmocka_unit_test(parts_end_at_their_caps),
        cmocka_unit_test(a_gib_has_room_for_a_million_names),
        cmocka_unit_test(too_little_is_refused_with_what_would_do),
        cmocka_unit_test(the_least_memory_still_serves_reads_past_the_cache),
        IN_ROOT(a_limit_of_version_2_is_found),
        IN_ROOT(the_least_of_all_groups_above_counts),
        IN_ROOT(a_container_sees_its_group_as_the_root),
        IN_ROOT(a_group_that_is_not_visible_is_passed_over),
        IN_ROOT(a_limit_of_version_1_is_found),
        IN_ROOT(without_a_limit_there_is_none),
        IN_ROOT(nonsense_is_no_limit),
        IN_ROOT(the_real_machine_can_be_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
