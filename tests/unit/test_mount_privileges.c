/* test_mount_privileges.c: what keeper and worker can't do any more (mount/privileges*.c).
 *
 * Each test runs in a child, as nothing that was given up comes back. A call that the list has not
 * fails with ENOSYS; without the list it would succeed, or fail otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <cap-ng.h>
#include <curl/curl.h>
#include <microhttpd.h>

#include "privileges.h"

static struct hfc_error err;

/* Says where a child's check failed, by its exit status. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)dprintf(2, "%s:%d: %s (errno %d) %s\n", __func__, __LINE__, #condition, errno,   \
                          err.msg);                                                                \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

#define FORBIDDEN(call) CHECK((call) == -1 && errno == ENOSYS)

static void in_child(int (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        exit(fn());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
}

static void need_filter(void)
{
#ifdef HFC_SANITIZED
    print_message("skipped: sanitized builds keep all system calls\n");
    skip();
#endif
}

/* ---- the first step ---- */

static int keeper_caps(void)
{
    static const unsigned kept[] = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_IPC_LOCK};

    CHECK(privileges_keeper(&err) == 0);
    CHECK(privileges_keeper(&err) == 0); /* once more does no harm */
    CHECK(capng_get_caps_process() == 0);
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
        int keep = 0;
        for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
            keep |= cap == kept[i];
        CHECK(capng_have_capability(CAPNG_EFFECTIVE, cap) == keep);
        CHECK(capng_have_capability(CAPNG_PERMITTED, cap) == keep);
        CHECK(capng_have_capability(CAPNG_BOUNDING_SET, cap) == keep);
        CHECK(capng_have_capability(CAPNG_INHERITABLE, cap) == 0);
    }
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    return 0;
}

static void a_keeper_keeps_five_capabilities(void **state)
{
    (void)state;
    need_root();
    in_child(keeper_caps);
}

static int keeper_refused(void)
{
    capng_clear(CAPNG_SELECT_CAPS);
    CHECK(capng_apply(CAPNG_SELECT_CAPS) == 0);
    CHECK(privileges_keeper(&err) == -1 && err.errnum == EPERM);
    CHECK(strstr(err.msg, "CAP_SYS_ADMIN: start this as root") != NULL);
    return 0;
}

static void a_keeper_without_privileges_is_told_so(void **state)
{
    (void)state;
    in_child(keeper_refused);
}

static int nothing_is_left(void)
{
    CHECK(capng_get_caps_process() == 0);
    CHECK(capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
#ifndef HFC_SANITIZED /* leak detection has to look into it */
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
#endif
    return 0;
}

static int worker_user(void)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;

    CHECK(privileges_worker(12345, 23456, &err) == 0);
    CHECK(getresuid(&r, &e, &s) == 0 && r == 12345 && e == 12345 && s == 12345);
    CHECK(getresgid(&rg, &eg, &sg) == 0 && rg == 23456 && eg == 23456 && sg == 23456);
    CHECK(getgroups(0, NULL) == 0);
    CHECK(setuid(0) == -1 && errno == EPERM);
    CHECK(mount("t", "/tmp", "tmpfs", 0, NULL) == -1 && errno == EPERM);
    CHECK(capng_have_capabilities(CAPNG_SELECT_BOUNDS) == CAPNG_NONE);
    return nothing_is_left();
}

static void a_worker_becomes_its_user(void **state)
{
    (void)state;
    need_root();
    in_child(worker_user);
}

static int worker_root(void)
{
    CHECK(privileges_worker(0, 0, &err) == 0);
    CHECK(geteuid() == 0);
    CHECK(mount("t", "/tmp", "tmpfs", 0, NULL) == -1 && errno == EPERM);
    CHECK(chown("/", 0, 0) == -1 || geteuid() == 0);
    return nothing_is_left();
}

static void a_worker_that_stays_root_has_no_capability(void **state)
{
    (void)state;
    need_root();
    in_child(worker_root);
}

static int worker_of_keeper(void)
{
    CHECK(privileges_keeper(&err) == 0);
    CHECK(privileges_worker(12345, 23456, &err) == 0);
    CHECK(getuid() == 12345 && getgid() == 23456);
    return nothing_is_left();
}

static void a_keeper_can_start_a_worker(void **state)
{
    (void)state;
    need_root();
    in_child(worker_of_keeper);
}

static int worker_stays(void)
{
    uid_t before;

    CHECK(geteuid() != 0 || (setgid(777) == 0 && setuid(777) == 0));
    before = getuid();
    CHECK(privileges_worker(12345, 23456, &err) == 0);
    CHECK(getuid() == before);
    return nothing_is_left();
}

static void a_worker_of_another_user_stays_that_one(void **state)
{
    (void)state;
    in_child(worker_stays);
}

static int worker_cannot_become(void)
{
    capng_clear(CAPNG_SELECT_CAPS);
    CHECK(capng_apply(CAPNG_SELECT_CAPS) == 0);
    CHECK(privileges_worker(12345, 23456, &err) == -1 && err.errnum == EPERM);
    CHECK(strstr(err.msg, "becoming user 12345, group 23456") != NULL);
    return 0;
}

static void a_worker_that_cannot_change_its_user_says_so(void **state)
{
    (void)state;
    need_root();
#ifdef __SANITIZE_THREAD__
    print_message("skipped: the sanitizer's thread keeps what this one gives up\n");
    skip();
#endif
    in_child(worker_cannot_become);
}

/* ---- the keeper's list ---- */

static int keeper_forbidden(void)
{
    char *const argv[] = {(char *)(uintptr_t) "x", NULL};
    int fuse_clone = 0;

    CHECK(privileges_keeper(&err) == 0 && privileges_keeper_filter(&err) == 0);
    FORBIDDEN(mount("t", "/tmp", "tmpfs", 0, NULL));
    FORBIDDEN(socket(AF_INET, SOCK_STREAM, 0));
    FORBIDDEN(socket(AF_UNIX, SOCK_STREAM, 0));
    FORBIDDEN(connect(0, NULL, 0));
    FORBIDDEN(bind(0, NULL, 0));
    FORBIDDEN(socketpair(AF_TIPC, SOCK_STREAM, 0, (int[2]){0}));
    FORBIDDEN(execve("/nowhere", argv, argv));
    FORBIDDEN(fork());
    FORBIDDEN(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    FORBIDDEN(setuid(0));
    FORBIDDEN(chmod("/nowhere", 0));
    FORBIDDEN(rename("/nowhere", "/nowhere2"));
    FORBIDDEN(mkdir("/tmp", 0));
    FORBIDDEN(unshare(0));
    FORBIDDEN(ioctl(0, FIONBIO, &fuse_clone));
    FORBIDDEN(syscall(SYS_bpf, 0, NULL, 0));
    FORBIDDEN(syscall(SYS_init_module, NULL, 0, NULL));
    FORBIDDEN(syscall(SYS_open_by_handle_at, 0, NULL, 0));
    CHECK(mprotect(&fuse_clone, 1, PROT_READ) == -1 && errno == ENOSYS);
    return 0;
}

static void a_keeper_can_not_mount_or_connect_or_start_anything(void **state)
{
    (void)state;
    need_root();
    need_filter();
    in_child(keeper_forbidden);
}

static int keeper_files(void)
{
    extern void __gcov_exit(void) __attribute__((weak));

    CHECK(privileges_keeper(&err) == 0 && privileges_keeper_filter(&err) == 0);
    CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
    if (__gcov_exit != NULL)
        return 0; /* this build writes figures when it ends */
    FORBIDDEN(open("/dev/null", O_WRONLY));
    FORBIDDEN(open("/dev/null", O_RDWR));
    FORBIDDEN(open("/tmp/hfc-never", O_RDONLY | O_CREAT, 0600));
    FORBIDDEN(open("/dev/null", O_RDONLY | O_TRUNC));
    return 0;
}

static void a_keeper_opens_files_for_reading_only(void **state)
{
    (void)state;
    need_root();
    need_filter();
    in_child(keeper_files);
}

/* ---- the worker's list ---- */

static int worker_forbidden(void)
{
    char *const argv[] = {(char *)(uintptr_t) "x", NULL};

    CHECK(privileges_worker(65534, 65534, &err) == 0 && privileges_worker_filter(&err) == 0);
    FORBIDDEN(execve("/nowhere", argv, argv));
    FORBIDDEN(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    FORBIDDEN(mount("t", "/tmp", "tmpfs", 0, NULL));
    FORBIDDEN(umount2("/nowhere", 0));
    FORBIDDEN(memfd_create("x", 0));
    FORBIDDEN(unshare(CLONE_NEWUSER));
    FORBIDDEN(setns(0, 0));
    FORBIDDEN(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
    FORBIDDEN(syscall(SYS_clone3, NULL, 0));
    FORBIDDEN(socket(AF_PACKET, SOCK_RAW, 0));
    FORBIDDEN(socket(AF_ALG, SOCK_SEQPACKET, 0));
    FORBIDDEN(setuid(0));
    FORBIDDEN(chown("/nowhere", 0, 0));
    FORBIDDEN(symlink("a", "/nowhere/b"));
    FORBIDDEN(mknod("/nowhere", S_IFIFO, 0));
    FORBIDDEN(ioctl(0, TIOCSTI, "x"));
    FORBIDDEN(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    FORBIDDEN(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
    FORBIDDEN(syscall(SYS_bpf, 0, NULL, 0));
    FORBIDDEN(syscall(SYS_keyctl, 0, 0));
    FORBIDDEN(syscall(SYS_io_uring_setup, 1, NULL));
    FORBIDDEN(syscall(SYS_userfaultfd, 0));
    struct rlimit limit = {1, 1};
    FORBIDDEN(setrlimit(RLIMIT_NOFILE, &limit));
    return 0;
}

static void a_worker_can_not_start_trace_or_mount_anything(void **state)
{
    (void)state;
    need_filter();
    in_child(worker_forbidden);
}

static char folder[64];

static int worker_files(void)
{
    char data[4096] = "x", path[100];
    struct iovec v = {data, sizeof(data)};
    struct stat st;

    CHECK(chdir(folder) == 0 && chmod(folder, 0777) == 0);
    CHECK(privileges_worker(65534, 65534, &err) == 0 && privileges_worker_filter(&err) == 0);
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0 && mkdirat(dir, "blobs", 0700) == 0);
    struct open_how beneath = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    CHECK(syscall(SYS_openat2, dir, "blobs", &beneath, sizeof(beneath)) >= 0);
    int fd = openat(dir, "blobs/a", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 1 << 20) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    CHECK(fallocate(fd, 0, 0, 4096) == 0);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 ||
          errno == EOPNOTSUPP);
    CHECK(pwrite(fd, data, sizeof(data), 0) == sizeof(data));
    CHECK(pwritev(fd, &v, 1, 0) == sizeof(data) && preadv(fd, &v, 1, 0) == sizeof(data));
    CHECK(pread(fd, data, sizeof(data), 0) == sizeof(data) && data[0] == 'x');
    CHECK(fdatasync(fd) == 0 && fsync(fd) == 0 && fstat(fd, &st) == 0);
    CHECK(renameat(dir, "blobs/a", dir, "blobs/b") == 0 && unlinkat(dir, "blobs/b", 0) == 0);
    CHECK(unlinkat(dir, "blobs", AT_REMOVEDIR) == 0);
    FILE *f = fopen("/etc/passwd", "re");
    CHECK(f != NULL && fgets(path, sizeof(path), f) != NULL && fclose(f) == 0);
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && madvise(p, 1 << 20, MADV_DONTNEED) == 0);
    CHECK((mlock(p, 4096) == 0 || errno == ENOMEM || errno == EPERM) && munmap(p, 1 << 20) == 0);
    return 0;
}

static void a_worker_can_keep_a_cache(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/hfc-test-privileges-XXXXXX");
    assert_non_null(mkdtemp(folder));
    in_child(worker_files);
    assert_int_equal(rmdir(folder), 0);
}

static void *thread(void *arg)
{
    uint64_t one = 1;

    (void)!write(*(int *)arg, &one, sizeof(one));
    return NULL;
}

static int worker_waits(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
    pthread_t t;
    sigset_t set;

    CHECK(privileges_worker(65534, 65534, &err) == 0 && privileges_worker_filter(&err) == 0);
    int event = eventfd(0, EFD_CLOEXEC), epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(event >= 0 && epoll >= 0 && timer >= 0);
    CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGTERM) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && signalfd(-1, &set, SFD_CLOEXEC) >= 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e) == 0);
    CHECK(pthread_create(&t, NULL, thread, &event) == 0 && pthread_join(t, NULL) == 0);
    CHECK(epoll_wait(epoll, &e, 1, 60000) == 1);
    CHECK(timerfd_settime(timer, 0, &soon, NULL) == 0);
    CHECK(pidfd_open(getpid(), 0) >= 0);
    return 0;
}

static void a_worker_can_have_threads_and_wait(void **state)
{
    (void)state;
    in_child(worker_waits);
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **request)
{
    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    (void)size;
    if (*request == NULL) {
        *request = c;
        return MHD_YES;
    }
    struct MHD_Response *r =
        MHD_create_response_from_buffer(5, (void *)(uintptr_t) "hello", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result ok = MHD_queue_response(c, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return ok;
}

static size_t sink(char *data, size_t size, size_t n, void *to)
{
    memcpy(to, data, n < 5 ? n : 5);
    return size * n;
}

/* A server and a client, with a name that has to be looked up, in one process. */
static int worker_network(void)
{
    char url[64], body[6] = "";
    struct addrinfo *found = NULL;

    CHECK(privileges_worker(65534, 65534, &err) == 0 && privileges_worker_filter(&err) == 0);
    CHECK(getaddrinfo("localhost", "80", NULL, &found) == 0);
    freeaddrinfo(found);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, answer,
                         NULL, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);
    CHECK(d != NULL);
    unsigned port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
    CURL *c = curl_easy_init();
    CURLM *m = curl_multi_init();
    int running = 1;
    (void)snprintf(url, sizeof(url), "http://localhost:%u/", port);
    CHECK(c != NULL && m != NULL && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK);
    (void)curl_easy_setopt(c, CURLOPT_IPRESOLVE, CURL_IPRESOLVE_V4);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, sink);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    CHECK(curl_multi_add_handle(m, c) == CURLM_OK);
    while (running > 0) {
        CHECK(curl_multi_perform(m, &running) == CURLM_OK);
        CHECK(curl_multi_poll(m, NULL, 0, 1000, NULL) == CURLM_OK);
    }
    CHECK(strcmp(body, "hello") == 0);
    curl_multi_remove_handle(m, c);
    curl_easy_cleanup(c);
    curl_multi_cleanup(m);
    MHD_stop_daemon(d);
    curl_global_cleanup();
    return 0;
}

static void a_worker_can_use_the_network(void **state)
{
    (void)state;
    in_child(worker_network);
}

static int list_upon_list(void)
{
    CHECK(privileges_worker_filter(&err) == 0);
    CHECK(privileges_worker_filter(&err) == -1); /* a list is not on the list */
    CHECK(strstr(err.msg, "giving up system calls (seccomp)") != NULL);
    return 0;
}

static void a_list_that_is_refused_is_an_error(void **state)
{
    (void)state;
    need_filter();
    in_child(list_upon_list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keeper_keeps_five_capabilities),
        cmocka_unit_test(a_keeper_without_privileges_is_told_so),
        cmocka_unit_test(a_worker_becomes_its_user),
        cmocka_unit_test(a_worker_that_stays_root_has_no_capability),
        cmocka_unit_test(a_keeper_can_start_a_worker),
        cmocka_unit_test(a_worker_of_another_user_stays_that_one),
        cmocka_unit_test(a_worker_that_cannot_change_its_user_says_so),
        cmocka_unit_test(a_keeper_can_not_mount_or_connect_or_start_anything),
        cmocka_unit_test(a_keeper_opens_files_for_reading_only),
        cmocka_unit_test(a_worker_can_not_start_trace_or_mount_anything),
        cmocka_unit_test(a_worker_can_keep_a_cache),
        cmocka_unit_test(a_worker_can_have_threads_and_wait),
        cmocka_unit_test(a_worker_can_use_the_network),
        cmocka_unit_test(a_list_that_is_refused_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
