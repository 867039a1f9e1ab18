/* test_mount_prober.c: the process that reads through the mount (mount/prober.c). A directory
 * stands in for the mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "prober.h"
#include "prober_internal.h"

/* Long for a loaded machine: what is waited for comes within seconds. */
enum { PATIENCE_MS = 60000, TICK_MS = 20 };

static char dir[64];
static int root;
static struct hfc_error err;
static struct prober *prober;

static void put_alive(void)
{
    assert_int_equal(hfc_file_create(root, ".hfcache/alive", "1\n", 2, 0600, &err), 0);
}

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-prober-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || mkdirat(root, ".hfcache", 0700) < 0)
        return -1;
    put_alive();
    prober = prober_start(&err);
    return prober != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    prober_stop(prober);
    (void)unlinkat(root, ".hfcache/alive", 0);
    (void)unlinkat(root, ".hfcache", AT_REMOVEDIR);
    (void)close(root);
    return rmdir(dir);
}

/* Waits until prober_ready() is `wanted`. */
static void wait_for(bool wanted)
{
    for (int i = 0; i < PATIENCE_MS / TICK_MS; i++) {
        if (prober_ready(prober) == wanted)
            return;
        (void)poll(NULL, 0, TICK_MS);
    }
    fail_msg("still %sready", wanted ? "not " : "");
}

static void it_is_ready_once_a_read_has_worked(void **state)
{
    (void)state;
    assert_false(prober_ready(prober));
    assert_int_equal(prober_age_ms(prober), -1);
    assert_int_equal(prober_begin(prober, root, &err), 0);
    wait_for(true);
    assert_in_range(prober_age_ms(prober), 0, PROBE_DEADLINE_MS);
}

static void it_is_not_when_reads_fail_for_long(void **state)
{
    (void)state;
    assert_int_equal(prober_begin(prober, root, &err), 0);
    wait_for(true);
    assert_int_equal(unlinkat(root, ".hfcache/alive", 0), 0);
    wait_for(false);
    assert_true(prober_age_ms(prober) > PROBE_DEADLINE_MS);
    put_alive();
    wait_for(true);
}

static void an_empty_file_is_no_success(void **state)
{
    (void)state;
    int fd = openat(root, ".hfcache/alive", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(prober_begin(prober, root, &err), 0);
    (void)poll(NULL, 0, 2 * PROBE_INTERVAL_MS); /* two chances to be wrong */
    assert_false(prober_ready(prober));
    assert_int_equal(write(fd, "1", 1), 1);
    (void)close(fd);
    wait_for(true);
}

/* The only child; 0: there is none. */
static pid_t child(void)
{
    char path[100], text[200] = "";

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
        return -1;
    (void)close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static void one_that_was_killed_is_replaced(void **state)
{
    (void)state;
    pid_t first = child();
    if (first < 0)
        skip(); /* the kernel does not tell children */
    prober_tend(prober);
    assert_int_equal(child(), first);
    assert_int_equal(kill(first, SIGKILL), 0);
    while (child() == first) {
        prober_tend(prober);
        (void)poll(NULL, 0, TICK_MS);
    }
    assert_int_equal(prober_begin(prober, root, &err), 0);
    wait_for(true);
    (void)kill(child(), SIGKILL);
    wait_for(false);
    for (int i = 0; i < PATIENCE_MS / TICK_MS && !prober_ready(prober); i++) {
        prober_tend(prober);
        (void)poll(NULL, 0, TICK_MS);
    }
    assert_true(prober_ready(prober));
}

/* Nothing that the parent has open is kept open by the process. */
static void it_holds_no_descriptor_of_the_parent(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    struct prober *other = prober_start(&err);
    assert_non_null(other);
    (void)close(pair[1]);
    struct pollfd p = {.fd = pair[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    (void)close(pair[0]);
    prober_stop(other);
}

static void it_ends_with_its_parent(void **state)
{
    int pair[2];
    char byte;

    (void)state;
    assert_int_equal(pipe2(pair, 0), 0);
    pid_t middle = fork();
    if (middle == 0) {
        /* As stderr, which the process keeps, the pipe tells when that is gone. */
        (void)dup2(pair[1], STDERR_FILENO);
        struct prober *p = prober_start(NULL);
        if (p != NULL && prober_begin(p, root, NULL) == 0)
            (void)kill(getpid(), SIGKILL);
        _exit(1);
    }
    (void)close(pair[1]);
    struct pollfd p = {.fd = pair[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_int_equal(read(pair[0], &byte, 1), 0);
    (void)close(pair[0]);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
}

/* What the process does, on a thread. */

struct play {
    struct prober_board board;
    int pair[2];
};

static void *play_process(void *ctx)
{
    struct play *p = ctx;

    prober_serve(&p->board, p->pair[1]);
    return NULL;
}

static void it_reads_until_its_socket_ends(void **state)
{
    static struct play p;
    pthread_t thread;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p.pair), 0);
    assert_int_equal(pthread_create(&thread, NULL, play_process, &p), 0);
    assert_int_equal(unlinkat(root, ".hfcache/alive", 0), 0); /* the first read may fail */
    assert_int_equal(prober_send_root(p.pair[0], root, &err), 0);
    put_alive();
    for (int i = 0; i < PATIENCE_MS / TICK_MS && atomic_load(&p.board.worked) == 0; i++)
        (void)poll(NULL, 0, TICK_MS);
    assert_true(atomic_load(&p.board.worked) > 0);
    (void)close(p.pair[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(p.pair[1]);
}

static void without_a_root_it_ends(void **state)
{
    struct prober_board board = {0};
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    (void)close(pair[0]);
    prober_serve(&board, pair[1]);
    assert_int_equal(board.worked, 0);
    (void)close(pair[1]);
}

static void without_descriptors_it_does_not_start(void **state)
{
    struct rlimit old;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit none = {3, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct prober *p = prober_start(&err);
    int rc = prober_begin(prober, root, NULL);
    (void)setrlimit(RLIMIT_NOFILE, &old);
    assert_null(p);
    assert_int_equal(err.errnum, EMFILE);
    assert_int_equal(rc, -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_is_ready_once_a_read_has_worked),    T(it_is_not_when_reads_fail_for_long),
        T(an_empty_file_is_no_success),           T(one_that_was_killed_is_replaced),
        T(it_holds_no_descriptor_of_the_parent),  T(it_ends_with_its_parent),
        T(it_reads_until_its_socket_ends),        T(without_a_root_it_ends),
        T(without_descriptors_it_does_not_start),
    };

    prober_stop(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
