/* fake_keeper.h: a keeper without privileges, for test_mount_worker*.c. A worker is a child of the
 * test; instead of /dev/fuse it gets one end of a socket, whose other end asks like the kernel, and
 * instead of the mount's root a directory, in which the prober finds what it looks for.
 */
#ifndef TESTS_FAKE_KEEPER_H
#define TESTS_FAKE_KEEPER_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "link.h"
#include "shared.h"
#include "worker.h"

/* Long for a loaded machine: what is waited for comes within a second or two. */
enum { PATIENCE = 60000, KINDNESS = 5000, LOOK_MS = 20, ANSWER_SIZE = 1024 * 1024 + 4096 };

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char stage[64];
static struct hfc_error err;
static struct settings settings;
static struct hfc_buf told = HFC_BUF(1024 * 1024);

/* Of the worker that is on stage. */
static pid_t worker_pid;
static int listener = -1, keeper = -1, pidfd = -1, device = -1, device_end = -1, memfd = -1,
           arena = -1, mount_root = -1;
static struct shared *shared;
static uint8_t answer[ANSWER_SIZE];

static char *path_of(const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", stage, name) > 0);
    return path;
}

static void put_file(const char *name, const char *text)
{
    char *path = path_of(name);

    for (char *p = path + strlen(stage) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    (void)unlink(path);
    if (hfc_file_create(AT_FDCWD, path, text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.msg);
    free(path);
}

static int set_stage(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    (void)snprintf(stage, sizeof(stage), "/tmp/hfc-test-worker-XXXXXX");
    if (mkdtemp(stage) == NULL)
        return -1;
    put_file("root/.hfcache/alive", "1\n");
    put_file("store/hub/models--org--name/refs/main", COMMIT);
    put_file("store/hub/models--org--name/snapshots/" COMMIT "/config.json", "{\"a\": 1}\n");
    put_file("cache/.keep", "");
    char *keep = path_of("cache/.keep"), *store = path_of("store");
    (void)unlink(keep);
    settings = (struct settings){.cache = path_of("cache"),
                                 .socket = path_of("keeper.sock"),
                                 .cache_size = 64 << 20,
                                 .memory = 64 << 20,
                                 .read_timeout = 30,
                                 .refresh_interval = 3600,
                                 .uid = geteuid(),
                                 .gid = getegid()};
    assert_true(asprintf(&settings.store, "file://%s", store) > 0);
    free(keep);
    free(store);
    listener = link_listen(settings.socket, -1, &err);
    return listener >= 0 ? 0 : -1;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void remove_mount(void)
{
    int *const all[] = {&device, &device_end, &memfd, &arena, &mount_root};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        close_one(all[i]);
    if (shared != NULL)
        (void)munmap(shared, sizeof(*shared));
    shared = NULL;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static const char *what_it_told(void);

/* In good order, if it can. */
static void end_worker(void)
{
    if (worker_pid <= 0)
        return;
    (void)kill(worker_pid, SIGTERM);
    for (int i = 0; i < KINDNESS / LOOK_MS; i++) {
        if (waitpid(worker_pid, NULL, WNOHANG) == worker_pid)
            worker_pid = 0;
        if (worker_pid == 0)
            return;
        (void)poll(NULL, 0, LOOK_MS);
    }
    (void)kill(worker_pid, SIGKILL);
    (void)waitpid(worker_pid, NULL, 0);
    worker_pid = 0;
}

/* What a sanitizer has found in the worker is a failure of the test. */
static int clear_stage(void **state)
{
    bool found = strstr(what_it_told(), "Sanitizer") != NULL;

    (void)state;
    if (found)
        (void)fputs(told.data, stderr);
    end_worker();
    close_one(&listener);
    close_one(&keeper);
    close_one(&pidfd);
    remove_mount();
    free(settings.store);
    free(settings.cache);
    free(settings.socket);
    return nftw(stage, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 && !found ? 0 : -1;
}

/* The worker. */

extern void __gcov_exit(void) __attribute__((weak));

/* Its stderr goes to the file "told". It does not outlive a test that fails. */
static void start_worker(void)
{
    char *path = path_of("told");

    (void)fflush(NULL);
    worker_pid = fork();
    if (worker_pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int to = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)dup2(to, STDERR_FILENO);
        (void)close_range(STDERR_FILENO + 1, ~0U, 0);
        int status = worker_run(&settings);
        if (__gcov_exit != NULL)
            __gcov_exit();
        _exit(status);
    }
    assert_true(worker_pid > 0);
    free(path);
}

static const char *what_it_told(void)
{
    char *path = path_of("told");

    hfc_buf_reset(&told);
    (void)hfc_file_read(AT_FDCWD, path, &told, NULL);
    free(path);
    return told.data;
}

static void wait_until_told(const char *text)
{
    for (int i = 0; i < PATIENCE / LOOK_MS; i++) {
        if (strstr(what_it_told(), text) != NULL)
            return;
        (void)poll(NULL, 0, LOOK_MS);
    }
    fail_msg("not told: %s\ntold: %s", text, told.data);
}

/* Its exit status. */
static int wait_for_end(void)
{
    int status;

    for (int i = 0; i < PATIENCE / LOOK_MS; i++) {
        if (waitpid(worker_pid, &status, WNOHANG) == worker_pid) {
            worker_pid = 0;
            if (!WIFEXITED(status))
                fail_msg("signal %d; told: %s", WTERMSIG(status), what_it_told());
            return WEXITSTATUS(status);
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
    fail_msg("it does not end; told: %s", what_it_told());
    return -1;
}

/* The keeper. */

static void expect_frame(enum link_kind kind, struct link_frame *f, int fds[LINK_FDS_MAX])
{
    int n = link_wait(keeper, f, fds, PATIENCE, &err);

    if (n != 1 || f->kind != kind)
        fail_msg("%d, kind %d instead of %d: %s; told: %s", n, n == 1 ? f->kind : 0, (int)kind,
                 n < 0 ? err.msg : "", what_it_told());
}

static void accept_worker(void)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};

    if (poll(&p, 1, PATIENCE) != 1)
        fail_msg("nobody connects; told: %s", what_it_told());
    close_one(&keeper);
    keeper = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(keeper >= 0);
}

static struct link_frame expect_hello(void)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    accept_worker();
    expect_frame(LINK_HELLO, &f, fds);
    close_one(&pidfd);
    pidfd = fds[0];
    return f;
}

static int make_memory(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

/* What the real one has agreed on with the kernel. */
static void fill_shared(void)
{
    struct {
        struct fuse_in_header in;
        struct fuse_init_in init;
    } request = {.in = {.len = sizeof(request), .opcode = FUSE_INIT, .unique = 2},
                 .init = {.major = 7, .minor = 36, .max_readahead = 1 << 20}};

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    assert_true(shared != MAP_FAILED);
    request.init.flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES | FUSE_DO_READDIRPLUS;
    shared->magic = SHARED_MAGIC;
    shared->version = SHARED_VERSION;
    shared->size = sizeof(*shared);
    shared->connection = (struct connection){
        .minor = 36, .max_read = 1 << 20, .read_ahead = 1 << 20, .flags = request.init.flags};
    memcpy(shared->init_request, &request, sizeof(request));
    shared->init_request_size = sizeof(request);
}

static void make_mount(size_t arena_size)
{
    int pair[2];
    char *path = path_of("root");

    remove_mount();
    memfd = make_memory("test-shared", sizeof(*shared));
    fill_shared();
    arena = make_memory("test-arena", arena_size);
    mount_root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(path);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    device = pair[0];
    device_end = pair[1];
}

static void activate(uint64_t generation)
{
    const int fds[] = {device_end, memfd, arena, mount_root};
    struct link_frame f = {.number = generation};

    atomic_store(&shared->generation, generation);
    if (link_send(keeper, LINK_ACTIVATE, &f, fds, 4, &err) < 0)
        fail_msg("%s", err.msg);
}

static void tell(enum link_kind kind)
{
    struct link_frame f = {0};

    if (link_send(keeper, kind, &f, NULL, 0, &err) < 0)
        fail_msg("%s", err.msg);
}

/* From the start to LINK_SERVING. */
static void let_serve(uint64_t generation)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];

    start_worker();
    f = expect_hello();
    make_mount(f.bytes);
    activate(generation);
    expect_frame(LINK_SERVING, &f, fds);
}

/* The kernel. */

static uint64_t unique = 100;

/* The next answer: its error; what follows its header is in `answer`. */
static int take_answer(uint64_t *to, size_t *size)
{
    struct fuse_out_header out;
    struct iovec v[] = {{&out, sizeof(out)}, {answer, sizeof(answer)}};
    struct pollfd p = {.fd = device, .events = POLLIN};

    if (poll(&p, 1, PATIENCE) != 1)
        fail_msg("no answer; told: %s", what_it_told());
    ssize_t got = readv(device, v, 2);
    assert_int_equal(got, out.len);
    *to = out.unique;
    if (size != NULL)
        *size = (size_t)got - sizeof(out);
    return -out.error;
}

static int ask(uint32_t opcode, uint64_t node, const void *body, size_t n, size_t *size)
{
    struct fuse_in_header in = {
        .len = (uint32_t)(sizeof(in) + n), .opcode = opcode, .unique = unique += 2, .nodeid = node};
    struct iovec v[] = {{&in, sizeof(in)}, {(void *)(uintptr_t)body, n}};
    uint64_t answered = 0;

    assert_int_equal(writev(device, v, 2), in.len);
    int rc = take_answer(&answered, size);
    assert_int_equal(answered, in.unique);
    return rc;
}

static int ask_lookup(uint64_t parent, const char *name, uint64_t *node)
{
    int rc = ask(FUSE_LOOKUP, parent, name, strlen(name) + 1, NULL);
    const struct fuse_entry_out *e = (const void *)answer;

    if (rc == 0)
        *node = e->nodeid;
    return rc == 0 && e->nodeid == 0 ? ENOENT : rc;
}

static int ask_path(const char *path, uint64_t *node)
{
    char name[256];
    int rc = 0;

    for (*node = 1; rc == 0 && *path != '\0'; path += strspn(path, "/")) {
        size_t n = strcspn(path, "/");
        (void)snprintf(name, sizeof(name), "%.*s", (int)n, path);
        rc = ask_lookup(*node, name, node);
        path += n;
    }
    return rc;
}

/* The content of a small file is `text`. */
static void assert_file(const char *path, const char *text)
{
    uint64_t node;
    size_t n;
    const struct fuse_open_in how = {.flags = O_RDONLY};

    assert_int_equal(ask_path(path, &node), 0);
    assert_int_equal(ask(FUSE_OPEN, node, &how, sizeof(how), NULL), 0);
    const struct fuse_open_out *open_out = (const void *)answer;
    const struct fuse_read_in read_in = {.fh = open_out->fh, .size = 4096};
    assert_int_equal(ask(FUSE_READ, node, &read_in, sizeof(read_in), &n), 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(answer, text, n);
}

#endif
