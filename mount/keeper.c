/* keeper.c: the loop of the privileged half, who may ask what, start and stop; see keeper.h.
 *
 * The struct keeper lives here; keeper_handover.c changes who serves, keeper_orphan.c answers for
 * those who don't. Signals only set a flag and wake the loop.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper_internal.h"
#include "logging.h"
#include "metrics.h"
#include "privileges.h"

static volatile sig_atomic_t told_to_stop, told_to_reload, child_ended;
static int wake_fd = -1;

uint64_t keeper_now(void)
{
    return clock_ns() / 1000000;
}

static void on_signal(int sig)
{
    uint64_t one = 1;
    int saved = errno;

    if (sig == SIGCHLD)
        child_ended = 1;
    else if (sig == SIGHUP)
        told_to_reload = 1;
    else
        told_to_stop = 1;
    (void)!write(wake_fd, &one, sizeof(one));
    errno = saved;
}

void keeper_end(struct keeper *k, int status)
{
    k->done = true;
    k->status = status;
}

/* ---- peers ---- */

void keeper_hang_up(struct keeper *k, struct peer *p)
{
    struct worker *w = p->worker;

    assert(p->fd >= 0);
    (void)close(p->fd);
    *p = (struct peer){.fd = -1};
    if (w != NULL) {
        w->peer = NULL;
        if (w->state == WORKER_STANDBY)
            keeper_forget(k, w); /* it will come again */
    }
    if (k->successor == p) {
        k->successor = NULL;
        log_line(LOG_START, LEVEL_WARNING, "the new keeper did not take over, this one goes on");
    }
}

void keeper_describe(struct keeper *k, struct link_state *s)
{
    const struct worker *w = keeper_active(k);
    const struct shared *sh = k->shared;

    *s = (struct link_state){
        .keeper_pid = getpid(),
        .worker_pid = w != NULL ? w->pid : 0,
        .state = k->orphaned ? KEEPER_ORPHANED : k->state,
        .standbys = keeper_standbys(k),
        .generation = sh != NULL ? atomic_load(&sh->generation) : 0,
        .since_ms = keeper_now() - k->state_since,
        .redone = sh != NULL ? atomic_load(&sh->redone) : 0,
        .poisoned = sh != NULL ? atomic_load(&sh->poisoned) : 0,
        .orphaned = sh != NULL ? atomic_load(&sh->orphaned) : 0,
        .deaths = k->deaths,
    };
    (void)snprintf(s->version, sizeof(s->version), "%s", HFC_VERSION);
    (void)snprintf(s->mountpoint, sizeof(s->mountpoint), "%s", k->config->mountpoint);
}

static bool on_status(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    (void)fds;
    keeper_describe(k, &f->state);
    return link_send(p->fd, LINK_STATE, f, NULL, 0, NULL) == 0;
}

/* Each side gets one end of a stream; what they say to each other is not the keeper's. */
static bool on_control(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    const struct worker *w = keeper_active(k);
    int ends[2];

    (void)fds;
    f->value = -ENOTCONN;
    if (w == NULL || w->state != WORKER_SERVING || w->peer == NULL ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return link_send(p->fd, LINK_CONNECTED, f, NULL, 0, NULL) == 0;
    bool ok = link_send(w->peer->fd, LINK_CONNECTED, f, &ends[0], 1, NULL) == 0;
    f->value = ok ? 0 : -EAGAIN;
    ok = link_send(p->fd, LINK_CONNECTED, f, &ends[1], ok, NULL) == 0;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return ok;
}

static bool on_unmount(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    (void)fds;
    if (k->successor != NULL)
        return false;
    log_line(LOG_START, LEVEL_INFO, "process %d asks to unmount", (int)p->pid);
    keeper_stop(k, true);
    return link_send(p->fd, LINK_ADOPTED, f, NULL, 0, NULL) == 0;
}

/* Who may send what. An owner is root, or whom the keeper runs as. */
static const struct {
    link_action *act;
    bool owner_only;
} actions[LINK_KINDS] = {
    [LINK_HELLO] = {keeper_hello, false},      [LINK_ADOPT] = {keeper_adopt, false},
    [LINK_SERVING] = {keeper_serving, false},  [LINK_BACKING] = {keeper_backing, false},
    [LINK_UNBACK] = {keeper_unback, false},    [LINK_STATUS] = {on_status, false},
    [LINK_CONTROL] = {on_control, false},      [LINK_SUCCEED] = {keeper_succeed, true},
    [LINK_ADOPTED] = {keeper_confirmed, true}, [LINK_UNMOUNT] = {on_unmount, true},
};

static void on_peer(struct keeper *k, struct peer *p)
{
    struct link_frame f = {0};
    struct hfc_error err;
    int fds[LINK_FDS_MAX];
    bool owner = p->uid == 0 || p->uid == geteuid();
    int n = link_receive(p->fd, &f, fds, &err);

    if (n < 0 && err.errnum == EAGAIN)
        return;
    if (n < 0)
        log_line(LOG_CONTROL, LEVEL_WARNING, "process %d: %s", (int)p->pid, err.msg);
    bool ok = n > 0 && actions[f.kind].act != NULL && (owner || !actions[f.kind].owner_only) &&
              actions[f.kind].act(k, p, &f, fds);
    if (n > 0 && !ok)
        log_line(LOG_CONTROL, LEVEL_WARNING, "process %d (user %u): frame %u is refused",
                 (int)p->pid, p->uid, f.kind);
    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    if (!ok && p->fd >= 0)
        keeper_hang_up(k, p);
}

/* Somebody has to go when the table is full: who is no worker, the oldest. */
static struct peer *free_peer(struct keeper *k)
{
    struct peer *oldest = NULL;

    for (struct peer *p = k->peers; p < k->peers + PEERS_MAX; p++) {
        if (p->fd < 0)
            return p;
        if (p->worker == NULL && p != k->successor && (oldest == NULL || p->since < oldest->since))
            oldest = p;
    }
    assert(oldest != NULL);
    keeper_hang_up(k, oldest);
    return oldest;
}

static void on_listener(struct keeper *k)
{
    /* cppcheck-suppress nullPointer */
    hfc_autoclose int fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct peer p = {.since = keeper_now()};

    if (fd < 0 || link_peer(fd, &p.pid, &p.uid, NULL) < 0)
        return;
    if (p.uid != 0 && p.uid != geteuid() && p.uid != k->config->uid) {
        log_line(LOG_CONTROL, LEVEL_WARNING, "user %u (process %d) may not connect", p.uid,
                 (int)p.pid);
        return;
    }
    p.fd = hfc_steal_fd(&fd);
    *free_peer(k) = p;
}

/* ---- `run`: workers are children ---- */

static void spawn(struct keeper *k)
{
    const struct keeper_config *c = k->config;
    bool active = keeper_active(k) != NULL;
    struct hfc_error err;

    if (c->spawn == NULL || k->spawning || k->stopping || k->dev < 0 || k->successor != NULL ||
        (active && keeper_standbys(k) > 0) || keeper_now() < k->spawn_at)
        return;
    int pid = c->spawn(c->ctx, active, &err);
    if (pid < 0) {
        log_line(LOG_START, LEVEL_ERROR, "no worker can be started: %s", err.msg);
        keeper_wait_longer(k, true);
        return;
    }
    k->spawning = true;
    k->spawned = pid;
}

/* Whether the very first worker of a fresh mount has said, by its exit status, that it can't serve:
 * nobody uses the mount yet, and the next one could not either. */
static bool is_false_start(const struct keeper *k, pid_t pid, int status)
{
    return pid == k->first && WIFEXITED(status) && WEXITSTATUS(status) == WORKER_CANT_SERVE &&
           atomic_load(&k->shared->generation) == 1;
}

static void reap(struct keeper *k)
{
    pid_t pid;
    int status;

    child_ended = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        keeper_child_ended(k, pid);
        if (!k->stopping && is_false_start(k, pid, status)) {
            k->status = 1;
            keeper_stop(k, true);
        }
    }
}

/* What it means is the worker's business. */
static void reload(struct keeper *k)
{
    const struct worker *w = keeper_active(k);

    told_to_reload = 0;
    if (w != NULL && k->config->spawn != NULL)
        (void)pidfd_send_signal(w->pidfd, SIGHUP, NULL, 0);
}

/* ---- stop ---- */

/* To all workers of `run`, also to one that was started and has not registered yet. */
static void signal_workers(const struct keeper *k, int sig)
{
    if (k->config->spawn == NULL)
        return;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (k->workers[i].state != WORKER_NONE)
            (void)pidfd_send_signal(k->workers[i].pidfd, sig, NULL, 0);
    if (k->spawning && k->spawned > 0)
        (void)kill(k->spawned, sig); /* not reaped: the number is its own */
}

void keeper_stop(struct keeper *k, bool unmount)
{
    struct link_frame f = {0};

    if (k->stopping)
        return;
    k->stopping = true;
    /* Without a worker nobody would be left to hold the mount. */
    k->unmount = unmount || k->config->spawn != NULL || keeper_active(k) == NULL;
    k->stop_until = keeper_now() + STOP_MS;
    log_line(LOG_START, LEVEL_INFO, "stopping; the mount is %s",
             k->unmount ? "removed" : "left to the worker");
    if (!k->unmount)
        return;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (k->workers[i].peer != NULL)
            (void)link_send(k->workers[i].peer->fd, LINK_DRAIN, &f, NULL, 0, NULL);
    signal_workers(k, SIGTERM);
}

static bool any_worker(const struct keeper *k)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (k->workers[i].state != WORKER_NONE)
            return true;
    return k->spawning && k->spawned > 0;
}

static void finish_stop(struct keeper *k)
{
    struct hfc_error err;

    if (k->unmount && any_worker(k) && keeper_now() < k->stop_until)
        return;
    keeper_end(k, k->status);
    if (!k->unmount)
        return;
    signal_workers(k, SIGKILL);
    if (k->dev >= 0 && mount_remove(k->config->mountpoint, &err) < 0) {
        log_line(LOG_START, LEVEL_ERROR, "%s", err.msg);
        k->status = 1;
    }
    (void)unlink(k->config->socket);
}

/* Somebody has aborted the connection: the mount would be in everybody's way. */
static void on_broken(struct keeper *k)
{
    bool there = mount_there(k->device);

    log_line(LOG_START, there ? LEVEL_ERROR : LEVEL_INFO, "%s: %s", k->config->mountpoint,
             there ? "the connection was aborted from outside, the mount is removed"
                   : "unmounted from outside");
    if (there)
        (void)mount_remove(k->config->mountpoint, NULL);
    (void)unlink(k->config->socket);
    keeper_end(k, there);
}

/* Unmounted from outside while we and workers hold its root: the connection lives until they end.
 */
static void on_mounts(struct keeper *k)
{
    if (k->dev >= 0 && !k->stopping && !mount_there(k->device)) {
        log_line(LOG_START, LEVEL_INFO, "%s: unmounted from outside", k->config->mountpoint);
        keeper_stop(k, true);
    }
}

/* ---- start ---- */

static int mount_fresh(struct keeper *k, struct hfc_error *err)
{
    k->adopt_until = 0;
    if (mount_clear(k->config->mountpoint, err) < 0 || keeper_shared_make(k, err) < 0 ||
        mount_make(k->config, k->shared, &k->dev, &k->root, err) < 0)
        return -1;
    k->device = mount_device(k->root);
    log_line(LOG_START, LEVEL_INFO, "mounted %s (FUSE 7.%u, read-ahead %u KiB, %s)",
             k->config->mountpoint, k->shared->connection.minor,
             k->shared->connection.read_ahead / 1024,
             k->shared->connection.max_stack_depth > 0 ? "passthrough" : "no passthrough");
    return 0;
}

/* Two keepers that start at once must not both find nobody there. What is locked is the folder
 * around the mount point; a lock that isn't to be had in 10 s is somebody else's. */
static int lock_place(const char *mountpoint)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(mountpoint, '/');
    int n = slash != NULL ? (int)(slash - mountpoint) : 0;

    (void)snprintf(parent, sizeof(parent), "%.*s", n > 0 ? n : 1, n > 0 ? mountpoint : "/");
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < 200 && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        (void)poll(NULL, 0, 50);
    return fd;
}

static int start(struct keeper *k, struct hfc_error *err)
{
    const struct keeper_config *c = k->config;
    hfc_autoclose int lock = lock_place(c->mountpoint);
    enum mount_found found;

    (void)lock; /* until the socket is there, or the start has failed */
    if (mount_look(c->mountpoint, &found, &k->device, err) < 0)
        return -1;
    hfc_autoclose int other = link_connect(c->socket, err);
    if (other < 0 && err->errnum != ENOENT && err->errnum != ECONNREFUSED)
        return -1;
    if (other >= 0 && keeper_take_over(k, other, err) < 0)
        return hfc_error_prefix(err, "the keeper that listens at %s does not hand over", c->socket);
    k->listener = link_listen(c->socket, c->gid, err);
    if (k->listener < 0)
        return -1;
    if (k->dev >= 0)
        return 0;
    if (found != MOUNT_OURS)
        return mount_fresh(k, err);
    k->adopt_until = keeper_now() + ADOPT_MS;
    log_line(LOG_START, LEVEL_INFO, "%s is mounted: waiting %d ms for the worker that serves it",
             c->mountpoint, ADOPT_MS);
    return 0;
}

/* From here on nothing is opened for writing, mounted or connected to. A filter would be the
 * workers' too if they are children, so `run` has none. */
static int give_up_calls(struct keeper *k, struct hfc_error *err)
{
    if (k->dev < 0 || k->confined || k->config->spawn != NULL)
        return 0;
    k->confined = true;
    return privileges_keeper_filter(err);
}

/* ---- the loop ---- */

/* No worker has come with the mount that was found. */
static bool adoption_is_over(const struct keeper *k)
{
    return k->dev < 0 && !k->stopping && keeper_now() >= k->adopt_until;
}

static bool is_orphan(struct keeper *k)
{
    return k->dev >= 0 && !k->stopping && k->successor == NULL && keeper_active(k) == NULL &&
           k->config->orphan_timeout > 0 &&
           keeper_now() - k->without_since >= k->config->orphan_timeout * 1000ULL;
}

/* What has come to an end, by a signal or by time. */
static void look_for_ends(struct keeper *k)
{
    if (child_ended)
        reap(k);
    if (told_to_reload)
        reload(k);
    if (k->successor != NULL && keeper_now() - k->handed_at >= HANDING_MS)
        keeper_hang_up(k, k->successor);
    if (told_to_stop && k->successor == NULL) /* it may be about to confirm */
        keeper_stop(k, k->config->unmount);
    if (k->dev >= 0 && mount_broken(k->dev))
        on_broken(k);
    else if (k->stopping)
        finish_stop(k);
}

static void advance(struct keeper *k)
{
    struct hfc_error err;

    look_for_ends(k);
    if (k->done)
        return;
    if ((adoption_is_over(k) && mount_fresh(k, &err) < 0) || give_up_calls(k, &err) < 0) {
        log_line(LOG_START, LEVEL_ERROR, "%s", err.msg);
        keeper_end(k, 1);
        return;
    }
    keeper_choose(k);
    spawn(k);
    if (!k->orphaned && is_orphan(k))
        keeper_orphan_begin(k);
}

static int timeout(const struct keeper *k)
{
    uint64_t now = keeper_now();

    if (k->config->spawn == NULL || k->spawn_at <= now || k->spawn_at - now > TICK_MS)
        return TICK_MS;
    return (int)(k->spawn_at - now);
}

enum {
    AT_WAKE,
    AT_LISTENER,
    AT_MOUNTS,
    AT_DEVICE,
    AT_PEERS,
    AT_WORKERS = AT_PEERS + PEERS_MAX,
    POLLED = AT_WORKERS + WORKERS_MAX
};

/* The device is looked at only by an orphan: each request of a reader would wake the keeper. */
static void wait_for_events(const struct keeper *k, struct pollfd *p)
{
    for (unsigned i = 0; i < POLLED; i++)
        p[i].events = POLLIN;
    p[AT_WAKE].fd = k->wake;
    p[AT_LISTENER].fd = k->listener;
    p[AT_MOUNTS].fd = k->mounts; /* POLLPRI: the table has changed */
    p[AT_MOUNTS].events = POLLPRI;
    p[AT_DEVICE].fd = k->orphaned ? k->dev : -1;
    for (unsigned i = 0; i < PEERS_MAX; i++)
        p[AT_PEERS + i].fd = k->peers[i].fd;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        p[AT_WORKERS + i].fd = k->workers[i].pidfd;
    if (poll(p, POLLED, timeout(k)) < 0)
        for (unsigned i = 0; i < POLLED; i++)
            p[i].revents = 0;
}

/* An event may concern what an earlier one has replaced: all that follow look again. */
static void loop(struct keeper *k)
{
    struct pollfd p[POLLED];
    uint64_t count;

    for (advance(k); !k->done; advance(k)) {
        wait_for_events(k, p);
        if (p[AT_WAKE].revents != 0)
            (void)!read(k->wake, &count, sizeof(count));
        for (unsigned i = 0; i < PEERS_MAX; i++)
            if (p[AT_PEERS + i].revents != 0 && k->peers[i].fd >= 0 && !k->done)
                on_peer(k, &k->peers[i]);
        for (unsigned i = 0; i < WORKERS_MAX; i++)
            if (p[AT_WORKERS + i].revents != 0) {
                keeper_worker_ended(k, &k->workers[i]);
                if (k->config->spawn != NULL)
                    child_ended = 1; /* how, is asked before there is another one */
            }
        if (p[AT_MOUNTS].revents != 0)
            on_mounts(k);
        if (p[AT_DEVICE].revents != 0 && k->orphaned)
            keeper_orphan_answer(k);
        if (p[AT_LISTENER].revents != 0)
            on_listener(k);
    }
}

static int catch_signals(struct keeper *k, struct hfc_error *err)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    k->wake = wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    k->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (k->wake < 0 || k->mounts < 0)
        return hfc_error_set(err, errno, "getting ready for signals and changes of mounts");
    told_to_stop = told_to_reload = child_ended = 0;
    for (unsigned i = 0; i < HFC_ARRAY_LEN(caught); i++)
        (void)sigaction(caught[i], &a, NULL);
    a.sa_handler = SIG_IGN; /* whoever reads the log may leave */
    (void)sigaction(SIGPIPE, &a, NULL);
    return 0;
}

int keeper_run(const struct keeper_config *config)
{
    struct keeper k = {.config = config,
                       .listener = -1,
                       .wake = -1,
                       .mounts = -1,
                       .dev = -1,
                       .memfd = -1,
                       .root = -1,
                       .arena = -1,
                       .state = KEEPER_WAITING};
    struct hfc_error err;

    for (unsigned i = 0; i < PEERS_MAX; i++)
        k.peers[i].fd = -1;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        k.workers[i].pidfd = -1;
    k.state_since = k.without_since = keeper_now();
    if (privileges_keeper(&err) < 0 || catch_signals(&k, &err) < 0 || start(&k, &err) < 0) {
        log_line(LOG_START, LEVEL_ERROR, "%s", err.msg);
        return 1;
    }
    loop(&k);
    return k.status;
}
