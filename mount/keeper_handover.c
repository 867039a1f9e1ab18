/* keeper_handover.c: who serves: workers' registration, activation and death, keepers' succession.
 *
 * A worker's end is its pidfd's becoming readable: all its threads are gone then, and its slots
 * stand still. A broken link means nothing but that it will connect again. What is received is
 * checked before it is used; what a worker says of itself is compared with what the kernel says.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper_internal.h"
#include "logging.h"
#include "metrics.h"

#define ARENA_MAX (64ULL << 30)
#define ARENA_UNIT 4096
#define ORDER_MIDDLE (1ULL << 62)

enum { FUSE_DEVICE_MAJOR = 10, FUSE_DEVICE_MINOR = 229 };

/* Of a memfd that others map, so that it can't be cut off under them. */
static const int seals = F_SEAL_SHRINK | F_SEAL_GROW;

struct worker *keeper_active(struct keeper *k)
{
    for (struct worker *w = k->workers; w < k->workers + WORKERS_MAX; w++)
        if (w->state >= WORKER_TAKING)
            return w;
    return NULL;
}

unsigned keeper_standbys(const struct keeper *k)
{
    unsigned n = 0;

    for (unsigned i = 0; i < WORKERS_MAX; i++)
        n += k->workers[i].state == WORKER_STANDBY;
    return n;
}

static int sealed_memory(const char *name, size_t size, struct hfc_error *err)
{
    hfc_autoclose int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, seals | F_SEAL_SEAL) < 0)
        return hfc_error_set(err, errno, "making shared memory of %zu bytes", size);
    return hfc_steal_fd(&fd);
}

/* Its size; 0: it is none of ours. */
static size_t sealed_size(int fd)
{
    struct stat st;
    int has = fcntl(fd, F_GET_SEALS);

    return has >= 0 && (has & seals) == seals && fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
}

static int map_shared(struct keeper *k, int memfd, struct hfc_error *err)
{
    void *p =
        mmap(NULL, sizeof(*k->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd, 0);

    if (p == MAP_FAILED)
        return hfc_error_set(err, errno, "mapping the shared memory");
    if (mlock(p, sizeof(*k->shared)) < 0)
        log_line(LOG_START, LEVEL_WARNING, "the shared memory is not locked: %s",
                 strerrordesc_np(errno));
    k->shared = p;
    return 0;
}

int keeper_shared_make(struct keeper *k, struct hfc_error *err)
{
    assert(k->memfd < 0 && k->shared == NULL);
    k->memfd = sealed_memory("hfcache-shared", sizeof(*k->shared), err);
    if (k->memfd < 0 || map_shared(k, k->memfd, err) < 0)
        return -1;
    k->shared->magic = SHARED_MAGIC;
    k->shared->version = SHARED_VERSION;
    k->shared->size = sizeof(*k->shared);
    return 0;
}

/* A worker that wants the same size gets the same memory. */
static int arena_for(struct keeper *k, const struct worker *w, struct hfc_error *err)
{
    if (k->arena >= 0 && k->arena_size == w->arena)
        return 0;
    int fd = sealed_memory("hfcache-arena", w->arena, err);
    if (fd < 0)
        return -1;
    if (k->arena_locked != NULL)
        (void)munmap(k->arena_locked, k->arena_size);
    if (k->arena >= 0)
        (void)close(k->arena);
    k->arena_locked = NULL;
    k->arena = fd;
    k->arena_size = w->arena;
    return 0;
}

/* Only once a worker has populated it: whoever touches a page first is charged for it, and locking
 * touches. */
static void lock_arena(struct keeper *k)
{
    struct stat st;

    if (k->arena_locked != NULL)
        return;
    /* Locking what is not there would make the keeper pay for it. */
    if (fstat(k->arena, &st) < 0 || (uint64_t)st.st_blocks * 512 < k->arena_size) {
        log_line(LOG_START, LEVEL_WARNING, "the arena is not locked: its worker has not filled it");
        return;
    }
    void *p = mmap(NULL, k->arena_size, PROT_READ, MAP_SHARED, k->arena, 0);
    if (p == MAP_FAILED || mlock(p, k->arena_size) < 0)
        log_line(LOG_START, LEVEL_WARNING, "the arena is not locked, it may be swapped: %s",
                 strerrordesc_np(errno));
    k->arena_locked = p != MAP_FAILED ? p : NULL;
}

static void set_state(struct keeper *k, enum keeper_state state)
{
    k->state = state;
    k->state_since = keeper_now();
    k->orphaned = false;
}

/* Whether the descriptors are those of the mount at our place; takes them over if so. `arena` may
 * be -1. */
static int take_mount(struct keeper *k, int *dev, int *memfd, int *root, int *arena,
                      struct hfc_error *err)
{
    struct stat st;
    long connection = mount_fdinfo(*dev, "fuse_connection:");

    assert(k->dev < 0 && k->shared == NULL);
    if (k->device == 0 || mount_device(*root) != k->device)
        return hfc_error_set(err, EPROTO, "the root is not that of the mount at %s",
                             k->config->mountpoint);
    if (fstat(*dev, &st) < 0 || !S_ISCHR(st.st_mode) ||
        st.st_rdev != makedev(FUSE_DEVICE_MAJOR, FUSE_DEVICE_MINOR) || mount_broken(*dev) ||
        (connection >= 0 && connection != (long)minor(k->device)))
        return hfc_error_set(err, EPROTO, "the device is not that of the mount");
    if (sealed_size(*memfd) != sizeof(*k->shared))
        return hfc_error_set(err, EPROTO, "the shared memory is that of another version");
    if (*arena >= 0 && ((k->arena_size = sealed_size(*arena)) == 0 || k->arena_size > ARENA_MAX))
        return hfc_error_set(err, EPROTO,
                             "the arena is not sealed memory of a size that is possible");
    if (map_shared(k, *memfd, err) < 0)
        return -1;
    if (k->shared->magic != SHARED_MAGIC || k->shared->version != SHARED_VERSION) {
        (void)munmap(k->shared, sizeof(*k->shared));
        k->shared = NULL;
        return hfc_error_set(err, EPROTO, "the shared memory is that of another version");
    }
    k->dev = hfc_steal_fd(dev);
    k->memfd = hfc_steal_fd(memfd);
    k->root = hfc_steal_fd(root);
    k->arena = hfc_steal_fd(arena);
    return 0;
}

/* ---- workers ---- */

/* The process behind a pidfd has to be the peer, or a worker could stand for somebody else. Both
 * are 0 where a process of another PID namespace can't be seen. */
static bool is_peers(const struct peer *p, int pidfd)
{
    return mount_fdinfo(pidfd, "Pid:") == (long)p->pid;
}

/* There is always a place: fewer may register than there are. */
static struct worker *add_worker(struct keeper *k, int *pidfd, pid_t pid, uint64_t arena)
{
    struct worker *w = k->workers;

    while (w->state != WORKER_NONE) {
        w++;
        assert(w < k->workers + WORKERS_MAX);
    }
    *w = (struct worker){
        .state = WORKER_STANDBY,
        .pidfd = hfc_steal_fd(pidfd),
        .pid = pid,
        .arena = arena,
        .since = keeper_now(),
        .order = ORDER_MIDDLE + k->registered++,
    };
    return w;
}

static void join(struct worker *w, struct peer *p)
{
    assert(p->worker == NULL);
    w->peer = p;
    p->worker = w;
}

bool keeper_hello(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    bool standby = (f->flags & LINK_STANDBY) != 0;

    if (p->worker != NULL || k->stopping || !is_peers(p, fds[0]) || f->bytes == 0 ||
        f->bytes > ARENA_MAX || f->bytes % ARENA_UNIT != 0 ||
        keeper_standbys(k) >= (standby ? STANDBYS_MAX : STANDBYS_MAX + 1U))
        return false;
    struct worker *w = add_worker(k, &fds[0], p->pid, f->bytes);
    w->replaces = !standby;
    if (w->replaces)
        w->order = ORDER_MIDDLE - k->registered; /* before all standbys, the latest first */
    join(w, p);
    if (k->spawned <= 0 || k->spawned == p->pid)
        k->spawning = false;
    log_line(LOG_START, LEVEL_INFO, "worker %d (version %s) registers%s", (int)w->pid, f->text,
             standby ? " as standby" : "");
    return true;
}

static void begin_serving(struct keeper *k, struct worker *w)
{
    w->state = WORKER_SERVING;
    set_state(k, KEEPER_SERVING);
    lock_arena(k);
    log_line(LOG_START, LEVEL_INFO, "worker %d serves", (int)w->pid);
}

/* A worker that serves already: it lost its link, or its keeper. */
bool keeper_adopt(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    struct worker *w = keeper_active(k);
    struct hfc_error err;

    if (p->worker != NULL || !is_peers(p, fds[0]))
        return false;
    if (w != NULL && w->pid == p->pid) {
        if (w->peer != NULL)
            keeper_hang_up(k, w->peer);
    } else {
        if (w != NULL || k->dev >= 0 || k->adopt_until == 0)
            return false;
        if (take_mount(k, &fds[1], &fds[2], &fds[4], &fds[3], &err) < 0) {
            log_line(LOG_START, LEVEL_ERROR, "worker %d is not taken over: %s", (int)p->pid,
                     err.msg);
            return false;
        }
        w = add_worker(k, &fds[0], p->pid, k->arena_size);
        log_line(LOG_START, LEVEL_INFO, "took the mount over from worker %d", (int)p->pid);
    }
    join(w, p);
    begin_serving(k, w);
    return link_send(p->fd, LINK_ADOPTED, f, NULL, 0, NULL) == 0;
}

bool keeper_serving(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    (void)f;
    (void)fds;
    if (p->worker == NULL || p->worker->state != WORKER_TAKING)
        return false;
    begin_serving(k, p->worker);
    return true;
}

static bool is_active(const struct peer *p)
{
    return p->worker != NULL && p->worker->state >= WORKER_TAKING;
}

/* The kernel will open the file with our rights: only what the worker may read itself. */
bool keeper_backing(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    struct fuse_backing_map map = {.fd = fds[0]};
    struct stat st;
    int flags = fcntl(fds[0], F_GETFL);

    if (!is_active(p))
        return false;
    if (flags < 0 || (flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY ||
        fstat(fds[0], &st) < 0 || !S_ISREG(st.st_mode)) {
        f->value = -EINVAL;
    } else {
        f->value = ioctl(k->dev, FUSE_DEV_IOC_BACKING_OPEN, &map);
        if (f->value < 0)
            f->value = -errno;
    }
    return link_send(p->fd, LINK_BACKED, f, NULL, 0, NULL) == 0;
}

/* Ids of a dead worker stay: files that are open read through them. */
bool keeper_unback(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    uint32_t id = (uint32_t)f->number;

    (void)fds;
    if (!is_active(p))
        return false;
    if (ioctl(k->dev, FUSE_DEV_IOC_BACKING_CLOSE, &id) < 0)
        log_line(LOG_START, LEVEL_WARNING, "forgetting a backing file: %s", strerrordesc_np(errno));
    return true;
}

void keeper_forget(struct keeper *k, struct worker *w)
{
    struct peer *p = w->peer;

    (void)close(w->pidfd);
    *w = (struct worker){.pidfd = -1};
    if (p != NULL) {
        p->worker = NULL;
        keeper_hang_up(k, p);
    }
}

/* One that ends soon after its start would do so again: each time it is given longer. */
void keeper_wait_longer(struct keeper *k, bool young)
{
    uint64_t longer = k->spawn_delay == 0 ? DELAY_MIN_MS : 2 * k->spawn_delay;

    k->spawn_delay = !young ? 0 : longer < DELAY_MAX_MS ? longer : DELAY_MAX_MS;
    k->spawn_at = keeper_now() + k->spawn_delay;
}

void keeper_child_ended(struct keeper *k, pid_t pid)
{
    if (!k->spawning || (k->spawned > 0 && pid != k->spawned))
        return;
    k->spawning = false;
    keeper_wait_longer(k, true);
    log_line(LOG_START, LEVEL_ERROR,
             "a worker ended before it registered; the next starts in %llu ms",
             (unsigned long long)k->spawn_delay);
}

void keeper_worker_ended(struct keeper *k, struct worker *w)
{
    struct pollfd gone = {.fd = w->pidfd, .events = POLLIN};

    if (w->state == WORKER_NONE || poll(&gone, 1, 0) <= 0)
        return;
    keeper_wait_longer(k, keeper_now() - w->since < YOUNG_MS);
    log_line(LOG_START, w->drained_at != 0 || k->stopping ? LEVEL_INFO : LEVEL_WARNING,
             "worker %d is gone%s", (int)w->pid,
             w->state == WORKER_STANDBY ? ", it was a standby"
             : w->drained_at != 0       ? ", drained"
                                        : "; requests wait for its successor");
    if (w->state >= WORKER_TAKING) {
        atomic_store(&k->shared->died_at, clock_ns());
        k->deaths += w->drained_at == 0;
        if (w->state == WORKER_SERVING)
            k->without_since = keeper_now();
        set_state(k, KEEPER_WAITING);
    }
    keeper_forget(k, w);
}

static struct worker *next_worker(struct keeper *k)
{
    struct worker *best = NULL;

    for (struct worker *w = k->workers; w < k->workers + WORKERS_MAX; w++)
        if (w->state == WORKER_STANDBY && w->peer != NULL &&
            (best == NULL || w->order < best->order))
            best = w;
    return best;
}

static void activate(struct keeper *k, struct worker *w)
{
    struct link_frame f = {0};
    struct hfc_error err;

    assert(w->peer != NULL && k->dev >= 0);
    f.number = atomic_fetch_add(&k->shared->generation, 1) + 1;
    if (arena_for(k, w, &err) == 0) {
        int fds[] = {k->dev, k->memfd, k->arena, k->root};
        if (link_send(w->peer->fd, LINK_ACTIVATE, &f, fds, 4, &err) == 0) {
            w->state = WORKER_TAKING;
            if (f.number == 1)
                k->first = w->pid;
            set_state(k, KEEPER_TAKEOVER);
            return;
        }
    }
    atomic_fetch_sub(&k->shared->generation, 1);
    log_line(LOG_START, LEVEL_ERROR, "worker %d can't be activated: %s", (int)w->pid, err.msg);
    keeper_forget(k, w);
}

static void drain(struct keeper *k, struct worker *w)
{
    struct link_frame f = {0};

    if (w->drained_at == 0 && w->peer != NULL &&
        link_send(w->peer->fd, LINK_DRAIN, &f, NULL, 0, NULL) == 0) {
        w->drained_at = keeper_now();
        log_line(LOG_START, LEVEL_INFO, "worker %d is asked to drain", (int)w->pid);
    } else if (w->drained_at != 0 && !w->late && keeper_now() - w->drained_at >= DRAIN_MS) {
        w->late = true;
        log_line(LOG_START, LEVEL_WARNING, "worker %d drains for more than %d s%s", (int)w->pid,
                 DRAIN_MS / 1000, k->config->spawn != NULL ? ", it is killed" : ", waiting on");
        if (k->config->spawn != NULL)
            (void)pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
    }
}

void keeper_choose(struct keeper *k)
{
    struct worker *next;

    if (k->dev < 0 || k->successor != NULL || k->stopping)
        return;
    while (keeper_active(k) == NULL && (next = next_worker(k)) != NULL)
        activate(k, next);
    struct worker *w = keeper_active(k);
    if (w != NULL && (w->drained_at != 0 || ((next = next_worker(k)) != NULL && next->replaces)))
        drain(k, w);
}

/* ---- keepers ---- */

/* Until the successor has confirmed, or its link breaks, nothing is decided here any more. */
bool keeper_succeed(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    struct worker *w = keeper_active(k);
    int all[] = {k->dev, k->memfd, k->root, k->arena, w != NULL ? w->pidfd : -1};
    unsigned n = k->arena < 0 ? 3 : w == NULL ? 4 : 5;

    (void)fds;
    if (k->successor != NULL || k->dev < 0 || k->stopping || p->worker != NULL)
        return false;
    keeper_describe(k, &f->state);
    f->bytes = keeper_now() - k->without_since;
    if (link_send(p->fd, LINK_HANDED, f, all, n, NULL) < 0)
        return false;
    k->successor = p;
    k->handed_at = keeper_now();
    k->orphaned = false;
    return true;
}

bool keeper_confirmed(struct keeper *k, struct peer *p, struct link_frame *f, int *fds)
{
    (void)fds;
    if (p != k->successor || link_send(p->fd, LINK_ADOPTED, f, NULL, 0, NULL) < 0)
        return false;
    log_line(LOG_START, LEVEL_INFO, "keeper %d has taken over, this one ends", (int)p->pid);
    keeper_end(k, 0);
    return true;
}

static int take_handed(struct keeper *k, const struct link_frame *f, int *fds,
                       struct hfc_error *err)
{
    if (take_mount(k, &fds[0], &fds[1], &fds[2], &fds[3], err) < 0)
        return -1;
    k->deaths = f->state.deaths;
    k->without_since = keeper_now() - f->bytes;
    set_state(k, KEEPER_WAITING);
    if (fds[4] < 0)
        return 0;
    pid_t pid = (pid_t)mount_fdinfo(fds[4], "Pid:");
    struct worker *w = add_worker(k, &fds[4], pid, k->arena_size);
    w->state = f->state.state == KEEPER_SERVING ? WORKER_SERVING : WORKER_TAKING;
    set_state(k, (enum keeper_state)f->state.state);
    return 0;
}

/* The other one ends only after its last frame: until that is here, it is the keeper. */
static int confirm(int fd, struct hfc_error *err)
{
    struct link_frame f = {0};
    int none[LINK_FDS_MAX];

    if (link_send(fd, LINK_ADOPTED, &f, NULL, 0, err) < 0)
        return -1;
    int n = link_wait(fd, &f, none, ANSWER_MS, err);
    return n > 0 && f.kind == LINK_ADOPTED ? 0
           : n < 0                         ? -1
                                           : hfc_error_set(err, EPROTO, "it hung up");
}

int keeper_take_over(struct keeper *k, int fd, struct hfc_error *err)
{
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];
    uid_t uid;
    pid_t pid;

    if (link_peer(fd, &pid, &uid, err) < 0)
        return -1;
    if (uid != 0 && uid != geteuid())
        return hfc_error_set(err, EPERM, "who listens there is not root but user %u", uid);
    if (link_send(fd, LINK_SUCCEED, &f, NULL, 0, err) < 0)
        return -1;
    int n = link_wait(fd, &f, fds, ANSWER_MS, err);
    if (n == 0 || (n > 0 && f.kind != LINK_HANDED))
        (void)hfc_error_set(err, EPROTO, "it hung up: it is stopping, or handing over already");
    int rc =
        n > 0 && f.kind == LINK_HANDED && take_handed(k, &f, fds, err) == 0 ? confirm(fd, err) : -1;
    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    if (rc == 0)
        log_line(LOG_START, LEVEL_INFO, "took the mount over from keeper %d", (int)pid);
    return rc;
}
