/* prober.c: the process that reads through the mount; see prober.h. Owns the process, a socket with
 * it and a page of memory shared with it, in which it notes, atomically, when a read last worked.
 *
 * The socket brings it the mount's root, and its end when the worker is gone; the kernel's signal
 * at the parent's death comes first, unless the process hangs in a read: then it can be killed only
 * when that has been answered, by whoever comes next. So nobody waits for its end for long.
 *
 * A process that takes a dead one's place is forked while there are threads. Therefore, and as it
 * must not keep the worker's descriptors open, it calls nothing but system calls.
 */
#include "prober.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fs.h"
#include "logging.h"
#include "metrics.h"
#include "prober_internal.h"

enum { NS_PER_MS = 1000000, FIRST_FD = 3, STOP_MS = 1000 };

struct prober {
    struct prober_board *board;
    pid_t pid;
    int socket; /* our end; -1: no process */
    int root;   /* for a successor; -1: not begun */
};

/* The child. */

static void probe(struct prober_board *board, int root)
{
    char byte;
    int fd = openat(root, FS_HIDDEN "/" FS_ALIVE, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (read(fd, &byte, 1) == 1)
        atomic_store(&board->worked, clock_ns());
    (void)close(fd);
}

/* The root that came; -1: the parent is gone. */
static int receive_root(int from)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    int root = -1;

    if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m) != NULL)
        memcpy(&root, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(root));
    return root;
}

void prober_serve(struct prober_board *board, int from)
{
    struct pollfd p = {.fd = from, .events = POLLIN};
    int root = receive_root(from);

    while (root >= 0) {
        probe(board, root);
        if (poll(&p, 1, PROBE_INTERVAL_MS) > 0)
            return;
    }
}

static void be_the_process(struct prober_board *board, int from, pid_t parent)
{
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NAME, "hfcache-prober");
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)dup2(from, FIRST_FD);
    (void)close_range(FIRST_FD + 1, ~0U, 0);
    if (getppid() == parent)
        prober_serve(board, FIRST_FD);
}

/* The parent. */

static int spawn(struct prober *p, struct hfc_error *err)
{
    int pair[2];
    pid_t parent = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return hfc_error_set(err, errno, "prober: socket");
    p->pid = fork();
    if (p->pid == 0) {
        be_the_process(p->board, pair[1], parent);
        _exit(0);
    }
    int rc = errno;
    (void)close(pair[1]);
    p->socket = pair[0];
    if (p->pid > 0)
        return 0;
    (void)close(hfc_steal_fd(&p->socket));
    return hfc_error_set(err, rc, "prober: process");
}

int prober_send_root(int to, int root, struct hfc_error *err)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char byte = 0;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &root, sizeof(int));
    return sendmsg(to, &m, MSG_NOSIGNAL) == 1 ? 0 : hfc_error_set(err, errno, "prober");
}

struct prober *prober_start(struct hfc_error *err)
{
    struct prober *p = calloc(1, sizeof(*p));
    void *page = mmap(NULL, sizeof(struct prober_board), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    /* The init of a PID namespace is not gone before all in it are: a prober that waits for an
     * answer of this worker would hold its death up, and with it the successor that answers. */
    bool is_init = getpid() == 1;
    if (p == NULL || page == MAP_FAILED || is_init) {
        (void)hfc_error_set(err, is_init ? EPERM : ENOMEM, "%s",
                            is_init ? "a worker can't be the first process of its PID namespace: "
                                      "start it with an init, or share the namespace (in a pod: "
                                      "shareProcessNamespace)"
                                    : "prober");
        if (page != MAP_FAILED)
            (void)munmap(page, sizeof(struct prober_board));
        free(p);
        return NULL;
    }
    *p = (struct prober){.board = page, .socket = -1, .root = -1};
    if (spawn(p, err) == 0)
        return p;
    prober_stop(p);
    return NULL;
}

int prober_begin(struct prober *p, int root, struct hfc_error *err)
{
    assert(p->root < 0);
    prober_tend(p);
    p->root = fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (p->root < 0)
        return hfc_error_set(err, errno, "prober");
    return prober_send_root(p->socket, p->root, err);
}

int64_t prober_age_ms(const struct prober *p)
{
    uint64_t worked = atomic_load(&p->board->worked);
    uint64_t now = clock_ns();

    if (worked == 0)
        return -1;
    return now > worked ? (int64_t)((now - worked) / NS_PER_MS) : 0;
}

bool prober_ready(const struct prober *p)
{
    int64_t age = prober_age_ms(p);

    return age >= 0 && age <= PROBE_DEADLINE_MS;
}

/* Whether there is no process any more; one that has ended is buried. */
static bool is_gone(struct prober *p)
{
    if (p->pid > 0 && waitpid(p->pid, NULL, WNOHANG) == 0)
        return false;
    if (p->socket >= 0)
        (void)close(hfc_steal_fd(&p->socket));
    p->pid = -1;
    return true;
}

void prober_tend(struct prober *p)
{
    struct hfc_error err = {0};

    if (!is_gone(p))
        return;
    if (spawn(p, &err) < 0 || (p->root >= 0 && prober_send_root(p->socket, p->root, &err) < 0))
        log_line(LOG_CONTROL, LEVEL_WARNING, "%s; trying again", err.msg);
}

void prober_stop(struct prober *p)
{
    if (p == NULL)
        return;
    if (p->socket >= 0) {
        hfc_autoclose int pidfd = pidfd_open(p->pid, 0);
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        (void)kill(p->pid, SIGKILL);
        (void)poll(&end, 1, STOP_MS);
        (void)waitpid(p->pid, NULL, WNOHANG);
        (void)close(p->socket);
    }
    if (p->root >= 0)
        (void)close(p->root);
    (void)munmap(p->board, sizeof(*p->board));
    free(p);
}
