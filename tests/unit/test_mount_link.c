/* test_mount_link.c: frames and their descriptors, sockets and their names (mount/link.c). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "link.h"

static char dir[64], path[128];
static struct hfc_error err;
static int ends[2];
static struct link_frame f;
static int fds[LINK_FDS_MAX];

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    memset(&f, 0, sizeof(f));
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-link-XXXXXX");
    if (mkdtemp(dir) == NULL || setenv("HFCACHE_RUNTIME_DIR", dir, 1) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/a.sock", dir);
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static unsigned open_fds(void)
{
    hfc_autoclosedir DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    return n;
}

static void a_frame_arrives_as_it_was_sent(void **state)
{
    struct link_frame got;

    (void)state;
    f.number = 7;
    f.value = -5;
    (void)snprintf(f.text, sizeof(f.text), "1.2.3");
    assert_int_equal(link_send(ends[0], LINK_BACKED, &f, NULL, 0, &err), 0);
    assert_int_equal(link_receive(ends[1], &got, fds, &err), 1);
    assert_int_equal(got.kind, LINK_BACKED);
    assert_int_equal(got.number, 7);
    assert_int_equal(got.value, -5);
    assert_string_equal(got.text, "1.2.3");
    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        assert_int_equal(fds[i], -1);
}

static void descriptors_arrive_in_order_and_close_on_exec(void **state)
{
    int sent[LINK_FDS_MAX];
    struct stat a, b;

    (void)state;
    for (unsigned i = 0; i < LINK_FDS_MAX; i++) {
        char name[160];
        (void)snprintf(name, sizeof(name), "%s/%u", dir, i);
        sent[i] = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(sent[i] >= 0);
    }
    assert_int_equal(link_send(ends[0], LINK_ADOPT, &f, sent, 5, &err), 0);
    assert_int_equal(link_receive(ends[1], &f, fds, &err), 1);
    for (unsigned i = 0; i < LINK_FDS_MAX; i++) {
        assert_int_equal(fstat(sent[i], &a) | fstat(fds[i], &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        (void)close(sent[i]);
        (void)close(fds[i]);
    }
}

/* Sends bytes and copies of a descriptor as they are. */
static void send_raw(const void *bytes, size_t n, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)bytes, n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        control.align = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN(sizeof(int) * n_fds)};
        for (unsigned i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &ends[0], sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &msg, 0), n);
}

/* What comes is refused, and no descriptor stays. */
static void check_refused(const void *bytes, size_t n, unsigned n_fds)
{
    unsigned before = open_fds();

    send_raw(bytes, n, n_fds);
    err.errnum = 0;
    assert_int_equal(link_receive(ends[1], &f, fds, &err), -1);
    assert_int_equal(err.errnum, EPROTO);
    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        assert_int_equal(fds[i], -1);
    assert_int_equal(open_fds(), before);
}

/* A right frame of this kind. */
static struct link_frame right_frame(enum link_kind kind)
{
    struct link_frame g = {0};

    assert_int_equal(link_send(ends[0], LINK_STATUS, &g, NULL, 0, &err), 0);
    assert_int_equal(link_receive(ends[1], &g, fds, &err), 1);
    g.kind = (uint16_t)kind;
    return g;
}

static void what_is_no_frame_is_refused(void **state)
{
    struct link_frame g = right_frame(LINK_STATUS);
    uint8_t larger[sizeof(g) + 1] = {0};

    (void)state;
    memcpy(larger, &g, sizeof(g));
    check_refused(larger, sizeof(larger), 0);
    check_refused(&g, sizeof(g) - 1, 0);
    check_refused(&g, 1, 3);
    g.magic++;
    check_refused(&g, sizeof(g), 0);
    g = right_frame(LINK_STATUS);
    g.version++;
    check_refused(&g, sizeof(g), 0);
    g = right_frame((enum link_kind)0);
    check_refused(&g, sizeof(g), 0);
    g = right_frame(LINK_KINDS);
    check_refused(&g, sizeof(g), 0);
    g = right_frame((enum link_kind)0xffff);
    check_refused(&g, sizeof(g), 0);
}

static void each_kind_brings_its_number_of_descriptors(void **state)
{
    static const unsigned least[LINK_KINDS] = {
        [LINK_HELLO] = 1, [LINK_ACTIVATE] = 4, [LINK_BACKING] = 1,
        [LINK_ADOPT] = 5, [LINK_HANDED] = 3,
    };
    static const unsigned most[LINK_KINDS] = {
        [LINK_HELLO] = 1, [LINK_ACTIVATE] = 4, [LINK_BACKING] = 1,
        [LINK_ADOPT] = 5, [LINK_HANDED] = 5,   [LINK_CONNECTED] = 1,
    };

    (void)state;
    for (unsigned kind = 1; kind < LINK_KINDS; kind++) {
        struct link_frame g = right_frame((enum link_kind)kind);
        for (unsigned n = 0; n <= 8; n++) {
            if (n < least[kind] || n > most[kind]) {
                check_refused(&g, sizeof(g), n);
                continue;
            }
            send_raw(&g, sizeof(g), n);
            assert_int_equal(link_receive(ends[1], &f, fds, &err), 1);
            for (unsigned i = 0; i < LINK_FDS_MAX; i++) {
                assert_int_equal(fds[i] >= 0, i < n);
                if (fds[i] >= 0)
                    (void)close(fds[i]);
            }
        }
    }
}

static void texts_of_a_frame_end_with_a_nul(void **state)
{
    struct link_frame g = right_frame(LINK_STATE);

    (void)state;
    memset(g.text, 'a', sizeof(g.text));
    memset(g.state.version, 'a', sizeof(g.state.version));
    memset(g.state.mountpoint, 'a', sizeof(g.state.mountpoint));
    send_raw(&g, sizeof(g), 0);
    assert_int_equal(link_receive(ends[1], &f, fds, &err), 1);
    assert_int_equal(strlen(f.text), sizeof(f.text) - 1);
    assert_int_equal(strlen(f.state.version), sizeof(f.state.version) - 1);
    assert_int_equal(strlen(f.state.mountpoint), sizeof(f.state.mountpoint) - 1);
}

static void the_peers_end_and_nothing_there_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(link_receive(ends[1], &f, fds, &err), -1);
    assert_int_equal(err.errnum, EAGAIN);
    assert_int_equal(link_wait(ends[1], &f, fds, 1, &err), -1);
    assert_int_equal(err.errnum, ETIMEDOUT);
    assert_string_equal(err.msg, "no answer within 1 ms: Connection timed out");
    assert_int_equal(link_send(ends[0], LINK_STATUS, &f, NULL, 0, &err), 0);
    assert_int_equal(link_wait(ends[1], &f, fds, 60000, &err), 1);
    (void)shutdown(ends[0], SHUT_RDWR);
    assert_int_equal(link_receive(ends[1], &f, fds, &err), 0);
    assert_int_equal(link_wait(ends[1], &f, fds, 60000, &err), 0);
    assert_int_equal(link_receive(-1, &f, fds, &err), -1);
    assert_int_equal(err.errnum, EBADF);
}

static void sending_never_waits_and_never_kills(void **state)
{
    int rc = 0;

    (void)state;
    for (unsigned i = 0; i < 100000 && rc == 0; i++)
        rc = link_send(ends[0], LINK_STATUS, &f, NULL, 0, &err);
    assert_int_equal(rc, -1);
    assert_int_equal(err.errnum, EAGAIN);
    (void)shutdown(ends[1], SHUT_RDWR);
    assert_int_equal(link_send(ends[0], LINK_STATUS, &f, NULL, 0, &err), -1);
    assert_int_equal(err.errnum, EPIPE);
}

static void a_listener_is_found_by_its_path(void **state)
{
    struct stat st;
    pid_t pid;
    uid_t uid;

    (void)state;
    assert_int_equal(link_connect(path, &err), -1);
    assert_int_equal(err.errnum, ENOENT);
    hfc_autoclose int listener = link_listen(path, (gid_t)-1, &err);
    assert_true(listener >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    hfc_autoclose int client = link_connect(path, &err);
    assert_true(client >= 0);
    hfc_autoclose int peer = accept(listener, NULL, NULL);
    assert_int_equal(link_peer(peer, &pid, &uid, &err), 0);
    assert_int_equal(pid, getpid());
    assert_int_equal(uid, getuid());
    assert_int_equal(link_peer(-1, &pid, &uid, &err), -1);
    assert_int_equal(err.errnum, EBADF);
    (void)close(hfc_steal_fd(&listener));
    assert_int_equal(link_connect(path, &err), -1);
    assert_int_equal(err.errnum, ECONNREFUSED);
}

static void a_path_that_is_listened_on_is_taken_over(void **state)
{
    (void)state;
    hfc_autoclose int first = link_listen(path, (gid_t)-1, &err);
    hfc_autoclose int second = link_listen(path, (gid_t)-1, &err);
    assert_true(first >= 0 && second >= 0);
    hfc_autoclose int client = link_connect(path, &err);
    hfc_autoclose int peer = accept(second, NULL, NULL);
    assert_true(client >= 0 && peer >= 0);
    assert_int_equal(accept(first, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
}

static void a_group_gets_its_access(void **state)
{
    struct stat st;
    gid_t gid = geteuid() == 0 ? 12345 : getegid();

    (void)state;
    hfc_autoclose int listener = link_listen(path, gid, &err);
    assert_true(listener >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_gid, gid);
    assert_int_equal(st.st_mode & 07777, 0660);
}

static void a_group_that_one_may_not_give_is_an_error(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(chmod(dir, 0777) < 0 || setgid(65534) < 0 || setuid(65534) < 0 ||
                  link_listen(path, 0, &err) >= 0 || err.errnum != EPERM);
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    } else {
        assert_int_equal(link_listen(path, 0, &err), -1);
        assert_int_equal(err.errnum, EPERM);
    }
    assert_int_equal(access(path, F_OK), -1);
}

static void the_folder_of_a_socket_is_made(void **state)
{
    char deep[160];

    (void)state;
    (void)snprintf(deep, sizeof(deep), "%s/new/s.sock", dir);
    hfc_autoclose int listener = link_listen(deep, (gid_t)-1, &err);
    assert_true(listener >= 0);
    assert_true(listener >= 0);
    (void)snprintf(deep, sizeof(deep), "%s/no/where/s.sock", dir);
    assert_int_equal(link_listen(deep, (gid_t)-1, &err), -1);
    assert_int_equal(err.errnum, ENOENT);
    (void)snprintf(deep, sizeof(deep), "%s/new", dir);
    assert_int_equal(link_listen(deep, (gid_t)-1, &err), -1);
    assert_int_equal(err.errnum, EISDIR);
}

static void a_path_that_is_too_long_is_an_error(void **state)
{
    char longer[200];

    (void)state;
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(link_listen(longer, (gid_t)-1, &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
    assert_int_equal(link_connect(longer, &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
}

static void the_only_keeper_is_found(void **state)
{
    char found[128], other[128];

    (void)state;
    assert_int_equal(link_find(found, sizeof(found), &err), -1);
    assert_non_null(strstr(err.msg, "is hfcache-mount running"));
    hfc_autoclose int listener = link_listen(path, (gid_t)-1, &err);
    assert_true(listener >= 0);
    assert_int_equal(link_find(found, sizeof(found), &err), 0);
    assert_string_equal(found, path);
    (void)snprintf(other, sizeof(other), "%s/b.sock", dir);
    hfc_autoclose int second = link_listen(other, (gid_t)-1, &err);
    assert_int_equal(link_find(found, sizeof(found), &err), -1);
    assert_non_null(strstr(err.msg, "2 keepers are running; choose one with --socket"));
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, other));
    (void)close(hfc_steal_fd(&second)); /* nobody listens there any more */
    assert_int_equal(link_find(found, sizeof(found), &err), 0);
    assert_string_equal(found, path);
    assert_int_equal(link_find(found, 5, &err), -1);
    assert_int_equal(setenv("HFCACHE_RUNTIME_DIR", "/nowhere", 1), 0);
    assert_int_equal(link_find(found, sizeof(found), &err), -1);
    assert_non_null(strstr(err.msg, "/nowhere"));
}

static void a_mount_point_has_a_socket_of_its_own(void **state)
{
    char name[128], longer[200];

    (void)state;
    assert_int_equal(setenv("HFCACHE_RUNTIME_DIR", "", 1), 0);
    assert_int_equal(link_default_path("/mnt/hf_cache", name, sizeof(name), &err), 0);
    assert_string_equal(name, "/run/hfcache/mnt-hf_cache.sock");
    assert_int_equal(link_default_path("//mnt//hf_cache/", name, sizeof(name), &err), 0);
    assert_string_equal(name, "/run/hfcache/mnt-hf_cache.sock");
    assert_int_equal(link_default_path("/mnt-hf\\cache", name, sizeof(name), &err), 0);
    assert_string_equal(name, "/run/hfcache/mnt\\x2dhf\\x5ccache.sock");
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(link_default_path(longer, name, sizeof(name), &err), -1);
    assert_int_equal(err.errnum, ENAMETOOLONG);
    assert_int_equal(link_default_path("/mnt", name, 5, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_frame_arrives_as_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_arrive_in_order_and_close_on_exec, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_no_frame_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(each_kind_brings_its_number_of_descriptors, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(texts_of_a_frame_end_with_a_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(the_peers_end_and_nothing_there_are_told_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sending_never_waits_and_never_kills, setup, teardown),
        cmocka_unit_test_setup_teardown(a_listener_is_found_by_its_path, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_that_is_listened_on_is_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_gets_its_access, setup, teardown),
        cmocka_unit_test_setup_teardown(a_group_that_one_may_not_give_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(the_folder_of_a_socket_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(the_only_keeper_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mount_point_has_a_socket_of_its_own, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
