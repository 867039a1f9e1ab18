/* keeper_probe.h: a folder with a mount point, keepers and fake workers as child processes.
 *
 * A fake worker serves two files, "file" and "file2", of FILE_SIZE bytes 'x'. It reports what
 * happens to it on a socket and takes commands there, one byte each. Everything is killed and
 * unmounted at the end of a test. Waits end the test after LIMIT_MS.
 */
#ifndef KEEPER_PROBE_H
#define KEEPER_PROBE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#undef BLOCK_SIZE
#include "buf.h"
#include "file.h"
#include "keeper.h"
#include "link.h"
#include "logging.h"
#include "shared.h"

enum {
    LIMIT_MS = 60000,
    KEEPER_LIFE_S = 300,
    FILE_SIZE = 4096,
    ARENA = 65536,
    FILE_NODE = 2,
    CHILDREN_MAX = 64
};

static char probe_dir[64], probe_mount[128], probe_socket[128], probe_log[128];
static struct hfc_error err;
static pid_t children[CHILDREN_MAX];
static unsigned n_children;
static pid_t keepers[CHILDREN_MAX];
static unsigned n_keepers;
static struct keeper_config probe_config;
static void (*probe_child)(void); /* called in a keeper's process before it starts */

/* ---- what a test waits for ---- */

__attribute__((unused)) static uint64_t probe_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#define WAIT_UNTIL(condition)                                                                      \
    for (uint64_t end_ = probe_now() + LIMIT_MS; !(condition); (void)poll(NULL, 0, 5))             \
    assert_true(probe_now() < end_)

static pid_t remember(pid_t pid)
{
    assert_true(pid >= 0 && n_children < CHILDREN_MAX);
    if (pid > 0)
        children[n_children++] = pid;
    return pid;
}

/* Exit status of a child, or 1000 + its signal. */
__attribute__((unused)) static int ended(pid_t pid)
{
    int status = 0;

    WAIT_UNTIL(waitpid(pid, &status, WNOHANG) == pid);
    for (unsigned i = 0; i < n_children; i++)
        if (children[i] == pid)
            children[i] = children[--n_children];
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

__attribute__((unused)) static void kill_child(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(ended(pid), 1000 + SIGKILL);
}

static bool logged(const char *text)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(1 << 20);

    return hfc_file_read(AT_FDCWD, probe_log, &b, NULL) == 0 && strstr(b.data, text) != NULL;
}

/* ---- keepers ---- */

static pid_t start_keeper(const struct keeper_config *config)
{
    pid_t pid = remember(fork());

    if (pid > 0) {
        keepers[n_keepers++ % CHILDREN_MAX] = pid;
        return pid;
    }
    int fd = open(probe_log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    /* If the test is killed. A signal at the parent's death is forgotten with the capabilities. */
    (void)alarm(KEEPER_LIFE_S);
    (void)dup2(fd, 2);
    log_setup(FORMAT_TEXT, "keeper");
    if (probe_child != NULL)
        probe_child();
    exit(keeper_run(config));
}

static bool is_mounted(void)
{
    enum mount_found found;
    uint64_t device;

    assert_int_equal(mount_look(probe_mount, &found, &device, &err), 0);
    return found == MOUNT_OURS;
}

static bool asked(enum link_kind kind, struct link_frame *f, int *fds)
{
    int fd = link_connect(probe_socket, NULL);

    memset(f, 0, sizeof(*f));
    bool ok = fd >= 0 && link_send(fd, kind, f, NULL, 0, NULL) == 0 &&
              link_wait(fd, f, fds, LIMIT_MS, NULL) == 1;
    (void)close(fd);
    return ok;
}

static struct link_state status(void)
{
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];

    WAIT_UNTIL(asked(LINK_STATUS, &f, fds));
    assert_int_equal(f.kind, LINK_STATE);
    return f.state;
}

/* A keeper that is up, with a mount of its own. */
static pid_t start_mounted(void)
{
    pid_t pid = start_keeper(&probe_config);

    WAIT_UNTIL(waitpid(pid, NULL, WNOHANG) == 0 && is_mounted());
    assert_int_equal(status().keeper_pid, pid);
    return pid;
}

/* ---- fake workers ---- */

struct report {
    char what; /* see below */
    int64_t value;
};
enum {
    SAYS_ACTIVE = 'A',    /* generation */
    SAYS_ADOPTED = 'O',   /* the new keeper has said so */
    SAYS_LINKED = 'L',    /* it has (again) said who it is */
    SAYS_REFUSED = 'R',   /* hung up on before anything was said */
    SAYS_HOLDS = 'H',     /* a read is in its slot and stays there */
    SAYS_DRAIN = 'D',     /* it was asked to */
    SAYS_BACKED = 'B',    /* id, or -errno */
    SAYS_REDONE = 'E',    /* requests answered that a predecessor had */
    SAYS_CONNECTED = 'C', /* with a client */
    SAYS_ARENA = 'I',     /* inode number of the arena */
    DO_HOLD = 'h',        /* from now on, keep reads in an intake slot */
    DO_PARK = 'p',        /* the same in a parked one */
    DO_RELINK = 'l',      /* close the link, and connect again */
    DO_BACK = 'b',        /* register /proc/self/exe */
    DO_UNBACK = 'u',
    DO_LITTER = 'f', /* put requests into slots that nobody waits for, and exit */
    DO_EXIT = 'x',
    STUBBORN = 1 << 16,    /* flag: does not end when asked to */
    CANT_FIRST = 1 << 17,  /* exits with 1 when activated as the mount's first worker */
    CANT_SECOND = 1 << 18, /* ... as its second */
};

struct fake {
    pid_t pid;
    int control;
};

struct fake_state {
    int control, link, dev, memfd, arena, root;
    unsigned flags, held;
    bool hold, park, serving, said;
    struct shared *shared;
};

static void say(struct fake_state *w, char what, int64_t value)
{
    struct report r = {.what = what, .value = value};

    (void)!send(w->control, &r, sizeof(r), MSG_NOSIGNAL);
}

static void fuse_reply(struct fake_state *w, uint64_t unique, int error, const void *data, size_t n)
{
    struct {
        struct fuse_out_header out;
        uint8_t data[FILE_SIZE];
    } a = {.out = {.len = (uint32_t)(sizeof(a.out) + n), .error = error, .unique = unique}};

    if (n > 0)
        memcpy(a.data, data, n);
    (void)!write(w->dev, &a, a.out.len);
}

static void fill_attr(uint64_t node, struct fuse_attr *a)
{
    *a = (struct fuse_attr){.ino = node,
                            .size = node >= FILE_NODE ? FILE_SIZE : 0,
                            .mode = node >= FILE_NODE ? S_IFREG | 0444 : S_IFDIR | 0555,
                            .nlink = 1};
}

static void fake_execute(struct fake_state *w, const struct fuse_in_header *in, const void *arg)
{
    struct fuse_entry_out entry = {.nodeid = FILE_NODE};
    struct fuse_attr_out attr = {0};
    struct fuse_open_out opened = {0};
    char data[FILE_SIZE];

    switch (in->opcode) {
    case FUSE_LOOKUP:
        entry.nodeid += strcmp(arg, "file2") == 0;
        fill_attr(entry.nodeid, &entry.attr);
        if (strncmp(arg, "file", 4) == 0)
            fuse_reply(w, in->unique, 0, &entry, sizeof(entry));
        else
            fuse_reply(w, in->unique, -ENOENT, NULL, 0);
        break;
    case FUSE_GETATTR:
        fill_attr(in->nodeid, &attr.attr);
        fuse_reply(w, in->unique, 0, &attr, sizeof(attr));
        break;
    case FUSE_OPEN:
        fuse_reply(w, in->unique, 0, &opened, sizeof(opened));
        break;
    case FUSE_READ:
        memset(data, 'x', sizeof(data));
        fuse_reply(w, in->unique, 0, data,
                   ((const struct fuse_read_in *)arg)->offset == 0 ? FILE_SIZE : 0);
        break;
    case FUSE_RELEASE:
    case FUSE_FLUSH:
        fuse_reply(w, in->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
        break;
    default:
        fuse_reply(w, in->unique, -ENOSYS, NULL, 0);
    }
}

/* Takes one request; false: none, or the mount is gone. */
static bool fake_take(struct fake_state *w)
{
    struct intake *slot = &w->shared->intake[w->held % INTAKE_SLOTS];
    struct fuse_in_header *in = (void *)slot->bytes;

    in->len = 0;
    if (read(w->dev, slot->bytes, sizeof(slot->bytes)) <= 0)
        return errno != ENODEV;
    if (in->opcode == FUSE_READ && w->park) {
        struct parked *p = &w->shared->parked[w->held++];
        memcpy(&p->read, in + 1, sizeof(p->read));
        p->in = *in;
        in->len = 0;
        say(w, SAYS_HOLDS, 0);
    } else if (in->opcode == FUSE_READ && w->hold) {
        w->held++;
        say(w, SAYS_HOLDS, 0);
    } else {
        fake_execute(w, in, in + 1);
        in->len = 0;
    }
    return true;
}

static void fake_redo(struct fake_state *w)
{
    int64_t n = 0;

    for (unsigned i = 0; i < INTAKE_SLOTS; i++) {
        struct fuse_in_header *in = (void *)w->shared->intake[i].bytes;
        if (in->len < sizeof(*in))
            continue;
        fake_execute(w, in, in + 1);
        in->len = 0;
        n++;
    }
    for (unsigned i = 0; i < PARKED_SLOTS; i++) {
        struct parked *p = &w->shared->parked[i];
        if (p->in.len < sizeof(p->in))
            continue;
        fake_execute(w, &p->in, &p->read);
        p->in.len = 0;
        n++;
    }
    say(w, SAYS_REDONE, n);
}

static void fake_activate(struct fake_state *w, struct link_frame *f, const int *fds)
{
    struct stat st;

    if ((w->flags & (f->number == 1 ? CANT_FIRST : f->number == 2 ? CANT_SECOND : 0)) != 0)
        _exit(WORKER_CANT_SERVE);
    w->dev = fds[0];
    w->memfd = fds[1];
    w->arena = fds[2];
    w->root = fds[3];
    w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED, w->memfd, 0);
    if (w->shared == MAP_FAILED || w->shared->magic != SHARED_MAGIC || fstat(w->arena, &st) < 0)
        _exit(3);
    if (mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, w->arena,
             0) == MAP_FAILED)
        _exit(3);
    w->serving = true;
    say(w, SAYS_ARENA, (int64_t)st.st_ino);
    fake_redo(w);
    say(w, SAYS_ACTIVE, (int64_t)f->number);
    (void)link_send(w->link, LINK_SERVING, f, NULL, 0, NULL);
}

static bool fake_register(struct fake_state *w)
{
    struct link_frame f = {.flags = w->flags & LINK_STANDBY, .pid = getpid(), .bytes = ARENA};
    int pidfd = pidfd_open(getpid(), 0);
    int fds[] = {pidfd, w->dev, w->memfd, w->arena, w->root};

    w->link = link_connect(probe_socket, NULL);
    w->said = false;
    bool ok = w->link >= 0 && link_send(w->link, w->serving ? LINK_ADOPT : LINK_HELLO, &f, fds,
                                        w->serving ? 5 : 1, NULL) == 0;
    (void)close(pidfd);
    if (!ok && w->link >= 0) {
        (void)close(w->link);
        w->link = -1;
    }
    if (ok)
        say(w, SAYS_LINKED, 0);
    return ok;
}

static void fake_frame(struct fake_state *w)
{
    struct link_frame f;
    int fds[LINK_FDS_MAX];
    int n = link_receive(w->link, &f, fds, NULL);

    if (n <= 0) {
        (void)close(w->link);
        w->link = -1;
        if (!w->said)
            say(w, SAYS_REFUSED, 0);
        return;
    }
    w->said = true;
    switch (f.kind) {
    case LINK_ACTIVATE:
        fake_activate(w, &f, fds);
        break;
    case LINK_ADOPTED:
        say(w, SAYS_ADOPTED, 0);
        break;
    case LINK_DRAIN:
        say(w, SAYS_DRAIN, 0);
        if ((w->flags & STUBBORN) == 0)
            _exit(0);
        break;
    case LINK_BACKED:
        say(w, SAYS_BACKED, f.value);
        break;
    case LINK_CONNECTED:
        (void)!write(fds[0], "hello", 5);
        (void)close(fds[0]);
        say(w, SAYS_CONNECTED, 0);
        break;
    default:
        _exit(4);
    }
}

/* A FORGET, an INTERRUPT, one that is too short, one that the kernel does not know. */
static void fake_litter(struct fake_state *w)
{
    static const struct fuse_in_header bad[] = {
        {.len = sizeof(bad[0]), .opcode = FUSE_FORGET, .unique = 1000002},
        {.len = sizeof(bad[0]), .opcode = FUSE_INTERRUPT, .unique = 1000003},
        {.len = sizeof(bad[0]) - 1, .opcode = FUSE_READ, .unique = 1000004},
        {.len = UINT32_MAX, .opcode = FUSE_READ, .unique = 1000006},
    };

    for (unsigned i = 0; i < 4; i++)
        memcpy(w->shared->intake[INTAKE_SLOTS - 4 + i].bytes, &bad[i], sizeof(bad[i]));
    _exit(0);
}

static void fake_command(struct fake_state *w)
{
    struct link_frame f = {0};
    char c = 0;
    int fd;

    if (read(w->control, &c, 1) != 1)
        _exit(0);
    switch (c) {
    case DO_HOLD:
        w->hold = true;
        break;
    case DO_PARK:
        w->park = true;
        break;
    case DO_RELINK:
        (void)close(w->link);
        w->link = -1;
        break;
    case DO_BACK:
        fd = open("/proc/self/exe", O_RDONLY);
        (void)link_send(w->link, LINK_BACKING, &f, &fd, 1, NULL);
        (void)close(fd);
        break;
    case DO_UNBACK:
        f.number = 12345;
        (void)link_send(w->link, LINK_UNBACK, &f, NULL, 0, NULL);
        break;
    case DO_LITTER:
        fake_litter(w);
        break;
    default:
        _exit(0);
    }
}

static void fake_run(int control, unsigned flags)
{
    struct fake_state w = {.control = control, .flags = flags, .link = -1, .dev = -1};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == 1)
        _exit(0); /* it was too late for that */
    (void)signal(SIGTERM, (flags & STUBBORN) ? SIG_IGN : SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    for (;;) {
        if (w.link < 0)
            (void)fake_register(&w);
        struct pollfd p[] = {{.fd = w.link, .events = POLLIN},
                             {.fd = control, .events = POLLIN},
                             {.fd = w.dev, .events = POLLIN}};
        (void)poll(p, 3, w.link < 0 ? 10 : -1);
        if (w.link >= 0 && p[0].revents != 0)
            fake_frame(&w);
        if (p[1].revents != 0)
            fake_command(&w);
        if (w.serving && p[2].revents != 0 && !fake_take(&w))
            _exit(0);
    }
}

__attribute__((unused)) static struct fake start_fake(unsigned flags)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    struct fake w = {.pid = remember(fork()), .control = ends[0]};
    if (w.pid == 0) {
        (void)close(ends[0]);
        fake_run(ends[1], flags);
    }
    (void)close(ends[1]);
    return w;
}

/* The value of the next report of this kind; others are passed over. */
__attribute__((unused)) static int64_t told(struct fake w, char what)
{
    struct report r = {0};

    do {
        struct pollfd p = {.fd = w.control, .events = POLLIN};
        assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
        assert_int_equal(recv(w.control, &r, sizeof(r), 0), sizeof(r));
    } while (r.what != what);
    return r.value;
}

/* None of the reports that are here is of this kind. */
__attribute__((unused)) static void not_told(struct fake w, char what)
{
    struct report r;

    while (recv(w.control, &r, sizeof(r), MSG_DONTWAIT) == sizeof(r))
        assert_int_not_equal(r.what, what);
}

__attribute__((unused)) static void tell(struct fake w, char command)
{
    assert_int_equal(write(w.control, &command, 1), 1);
}

__attribute__((unused)) static void kill_fake(struct fake w)
{
    kill_child(w.pid);
    (void)close(w.control);
}

/* ---- readers ---- */

/* Reads the file in a child: exits with 0 if the bytes are right, else the errno. */
static pid_t start_reader_of(const char *name)
{
    char path[160], data[FILE_SIZE + 1], right[FILE_SIZE];
    pid_t pid = remember(fork());

    if (pid > 0)
        return pid;
    (void)snprintf(path, sizeof(path), "%s/%s", probe_mount, name);
    memset(right, 'x', sizeof(right));
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        _exit(errno);
    ssize_t n = read(fd, data, sizeof(data));
    _exit(n < 0 ? errno : n != FILE_SIZE || memcmp(data, right, FILE_SIZE) != 0 ? 255 : 0);
}

__attribute__((unused)) static pid_t start_reader(void)
{
    return start_reader_of("file");
}

/* ---- fixture ---- */

static bool fuse_is_here(void)
{
    if (geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0)
        return true;
    print_message("skipped: needs root and /dev/fuse\n");
    return false;
}

#define NEED_FUSE()                                                                                \
    if (!fuse_is_here())                                                                           \
    skip()

/* A mount namespace in which nothing that happens gets out. */
__attribute__((unused)) static void alone(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(99);
}

static int probe_setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    n_children = n_keepers = 0;
    probe_child = NULL;
    (void)snprintf(probe_dir, sizeof(probe_dir), "/tmp/hfc-test-keeper-XXXXXX");
    if (mkdtemp(probe_dir) == NULL)
        return -1;
    (void)snprintf(probe_mount, sizeof(probe_mount), "%s/mnt", probe_dir);
    (void)snprintf(probe_socket, sizeof(probe_socket), "%s/sock", probe_dir);
    (void)snprintf(probe_log, sizeof(probe_log), "%s/log", probe_dir);
    probe_config = (struct keeper_config){
        .mountpoint = probe_mount,
        .socket = probe_socket,
        .source = "hfcache",
        .uid = 65534,
        .gid = 65534,
        .read_ahead = 1 << 20,
        .unmount = true,
    };
    return mkdir(probe_mount, 0755) | chmod(probe_dir, 0755);
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

static bool is_keeper(pid_t pid)
{
    for (unsigned i = 0; i < n_keepers && i < CHILDREN_MAX; i++)
        if (keepers[i] == pid)
            return true;
    return false;
}

/* Keepers are given the time to end as they should. */
static int probe_teardown(void **state)
{
    uint64_t until = probe_now() + 10000;

    (void)state;
    for (unsigned i = 0; i < n_children; i++)
        (void)kill(children[i], is_keeper(children[i]) ? SIGTERM : SIGKILL);
    for (unsigned i = 0; i < n_children; i++)
        while (!has_ended(children[i])) {
            if (probe_now() > until)
                (void)kill(children[i], SIGKILL);
            (void)poll(NULL, 0, 1);
        }
    while (umount2(probe_mount, MNT_FORCE | MNT_DETACH) == 0) {
    }
    for (unsigned i = 0; i < n_children; i++)
        (void)waitpid(children[i], NULL, 0);
    char command[256];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", probe_dir);
    return system(command) == 0 ? 0 : -1;
}

#define PROBED(f) cmocka_unit_test_setup_teardown(f, probe_setup, probe_teardown)

#endif
