/* worker.c: the unprivileged half from its start to its end; see worker.h. Owns all parts, in
 * struct serving, and puts them together and takes them apart in order; worker_link.c and the other
 * worker_*.c deal with what happens meanwhile.
 *
 * A worker that is told to end takes no more requests, answers for up to DRAIN_MS those that wait,
 * and leaves the rest in their slots: its successor executes them.
 */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "keeper.h"
#include "logging.h"
#include "metrics.h"
#include "privileges.h"
#include "strikes.h"
#include "worker_internal.h"

enum {
    ARENAS = 2, /* of malloc: more would only be more that lies about */
    MMAP_FROM = 128 * 1024,
    LOCK_WAIT_MS = 10000,
    TICK_MS = 1000,
    LISTEN_RETRY_MS = 200,
    DRAIN_MS = 2000,
    DRAIN_LOOK_MS = 10,
};

/* The end. */

void worker_fail(struct serving *w, int status, const struct hfc_error *err)
{
    assert(status != 0);
    log_line(LOG_START, LEVEL_ERROR, "%s", err->msg);
    w->status = status;
    w->done = true;
}

static void look_whether_drained(void *ctx)
{
    struct serving *w = ctx;

    if (session_parked(w->session) == 0 || hfc_now_ms() >= w->drain_until)
        w->done = true;
    else
        hfc_timer_start(w->loop, &w->drain_look, DRAIN_LOOK_MS, look_whether_drained, w);
}

static void stop_listening(struct serving *w)
{
    hfc_timer_stop(&w->listen_retry);
    listener_stop(w->listener);
    w->listener = NULL;
}

/* The listener first: the successor wants the port, and its thread looks at all the rest. Then the
 * prober: its read is answered still, so that it is not stuck in it. */
void worker_drain(struct serving *w)
{
    if (atomic_exchange(&w->draining, true))
        return;
    stop_listening(w);
    prober_stop(w->prober);
    w->prober = NULL;
    session_stop(w->session);
    w->drain_until = hfc_now_ms() + DRAIN_MS;
    look_whether_drained(w);
}

/* Signals. */

static void collect(sigset_t *set)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};

    (void)sigemptyset(set);
    for (size_t i = 0; i < HFC_ARRAY_LEN(wanted); i++)
        (void)sigaddset(set, wanted[i]);
}

/* Blocked for all threads to come. */
static int block_signals(struct serving *w, struct hfc_error *err)
{
    sigset_t set;

    collect(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    w->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return w->signals >= 0 ? 0 : hfc_error_set(err, errno, "signals");
}

static void on_signal(void *ctx)
{
    struct serving *w = ctx;
    bool reload = false;

    if (worker_told_to_end(w->signals, &reload)) {
        log_line(LOG_START, LEVEL_INFO, w->signalled ? "ending at once" : "ending");
        w->done |= w->signalled; /* the impatient have their way */
        w->signalled = true;
        worker_drain(w);
    } else if (reload && !w->draining) {
        worker_store_again(w);
    }
}

/* Events of the loop. */

static void on_tick(void *ctx)
{
    struct serving *w = ctx;

    atomic_store(&w->beat, clock_ns());
    if (!w->draining) {
        prober_tend(w->prober);
        worker_gauges(w);
    }
    hfc_timer_start(w->loop, &w->tick, TICK_MS, on_tick, w);
}

/* On a thread of the session. */
static void session_ended(void *ctx)
{
    const struct serving *w = ctx;

    (void)eventfd_write(w->ended, 1);
}

static void on_ended(void *ctx)
{
    struct serving *w = ctx;

    log_line(LOG_START, LEVEL_INFO, "the mount is gone");
    w->done = true;
}

static void give_metrics(void *ctx, struct hfc_buf *to)
{
    (void)ctx;
    metrics_print(to);
}

static int listen_now(struct serving *w, struct hfc_error *err)
{
    const struct listener_config config = {.address = w->settings->listen,
                                           .metrics = give_metrics,
                                           .live = worker_live,
                                           .ready = worker_ready,
                                           .ctx = w};

    w->listener = listener_start(&config, err);
    if (w->listener == NULL)
        return -1;
    log_line(LOG_START, LEVEL_INFO, "metrics and health at port %u", listener_port(w->listener));
    return 0;
}

/* A predecessor may still hold the port; readers are not to suffer from it. */
static void listen_again(void *ctx)
{
    struct serving *w = ctx;
    struct hfc_error err;

    if (listen_now(w, &err) == 0)
        return;
    if (!w->listen_told)
        log_line(LOG_START, LEVEL_WARNING, "%s; trying again meanwhile", err.msg);
    w->listen_told = true;
    hfc_timer_start(w->loop, &w->listen_retry, LISTEN_RETRY_MS, listen_again, w);
}

static int begin_listening(struct serving *w, struct hfc_error *err)
{
    if (w->settings->listen == NULL)
        return 0;
    if (w->generation == 1)
        return listen_now(w, err);
    listen_again(w);
    return 0;
}

/* Activation. */

static void *map(int fd, size_t size, struct hfc_error *err)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

    if (p != MAP_FAILED)
        return p;
    (void)hfc_error_set(err, errno, "mapping the keeper's memory");
    return NULL;
}

static int check_size(int fd, size_t size, struct hfc_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return hfc_error_set(err, errno, "the keeper's memory");
    if ((size_t)st.st_size == size)
        return 0;
    return hfc_error_set(
        err, EPROTO,
        "the keeper is of another version (%lld bytes of shared memory, here %zu): "
        "start keeper and worker of one version",
        (long long)st.st_size, size);
}

static int map_memory(struct serving *w, struct hfc_error *err)
{
    size_t arena = (size_t)w->plan.chunks * BLOCK_SIZE;

    if (check_size(w->memfd, sizeof(*w->shared), err) < 0)
        return -1;
    w->shared = map(w->memfd, sizeof(*w->shared), err);
    if (w->shared == NULL)
        return -1;
    if (w->shared->magic != SHARED_MAGIC || w->shared->version != SHARED_VERSION)
        return hfc_error_set(err, EPROTO,
                             "the keeper is of another version (%u, here %u): start keeper and "
                             "worker of one version",
                             w->shared->version, (unsigned)SHARED_VERSION);
    if (check_size(w->arena_fd, arena, err) < 0)
        return -1;
    w->arena = map(w->arena_fd, arena, err);
    return w->arena != NULL ? 0 : -1;
}

static int open_cache(struct serving *w, struct hfc_error *err)
{
    const struct settings *s = w->settings;
    const struct cache_config config = {.directory = s->cache,
                                        .limit = s->cache_size,
                                        .percent = s->cache_percent,
                                        .blobs_max = w->plan.blobs,
                                        .files_max = OPEN_FILES_MAX};

    w->cache = cache_open(&config, LOCK_WAIT_MS, err);
    return w->cache != NULL ? 0 : -1;
}

static int open_catalog(struct serving *w, struct hfc_error *err)
{
    const struct catalog_config config = {.loop = w->loop,
                                          .directory = cache_directory(w->cache),
                                          .tree_max = w->plan.tree,
                                          .interval = w->settings->refresh_interval,
                                          .looked = worker_looked,
                                          .ctx = w};

    w->catalog = catalog_new(&config);
    return w->catalog != NULL ? 0 : hfc_error_set(err, ENOMEM, "the names");
}

static int open_engine(struct serving *w, struct hfc_error *err)
{
    const struct engine_config config = {.loop = w->loop,
                                         .cache = w->cache,
                                         .plan = &w->plan,
                                         .arena = w->arena,
                                         .read_timeout = w->settings->read_timeout,
                                         .trouble = worker_trouble,
                                         .ctx = w};

    w->engine = engine_new(&config, err);
    return w->engine != NULL ? 0 : -1;
}

static int open_control(struct serving *w, struct hfc_error *err)
{
    const struct control_config config = {.loop = w->loop,
                                          .engine = w->engine,
                                          .cache = w->cache,
                                          .catalog = w->catalog,
                                          .scrub_rate = w->settings->scrub_rate,
                                          .status = worker_status,
                                          .ctx = w};

    w->control = control_new(&config, err);
    return w->control != NULL ? 0 : -1;
}

static int open_session(struct serving *w, struct hfc_error *err)
{
    const struct fs_config files = {.catalog = w->catalog,
                                    .cache = w->cache,
                                    .url = w->settings->store,
                                    .name_timeout = w->settings->refresh_interval};

    w->fs = fs_new(&files);
    if (w->fs == NULL)
        return hfc_error_set(err, ENOMEM, "the file system");
    const struct session_config config = {.dev = w->dev,
                                          .shared = w->shared,
                                          .fs = w->fs,
                                          .engine = w->engine,
                                          .threads = FUSE_THREADS,
                                          .ended = session_ended,
                                          .ctx = w};
    w->session = session_start(&config, err);
    return w->session != NULL ? 0 : -1;
}

static int open_loop(struct serving *w, struct hfc_error *err)
{
    w->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->ended < 0)
        return hfc_error_set(err, errno, "eventfd");
    w->loop = hfc_loop_new(err);
    return w->loop != NULL ? 0 : -1;
}

/* What readers wait for comes first; the store is spoken to last. */
static int take_over(struct serving *w, struct hfc_error *err)
{
    struct link_frame f = {0};

    if (map_memory(w, err) < 0)
        return -1;
    strikes_setup(w->shared);
    fault_setup(w->shared);
    if (open_loop(w, err) < 0 || open_cache(w, err) < 0 || open_catalog(w, err) < 0 ||
        open_engine(w, err) < 0 || open_control(w, err) < 0 || open_session(w, err) < 0 ||
        privileges_worker_filter(err) < 0)
        return -1;
    atomic_store(&w->beat, clock_ns());
    atomic_store(&w->began, clock_ns());
    atomic_store(&w->serving, true);
    /* A link that is broken now is mended as later. */
    (void)link_send(w->link, LINK_SERVING, &f, NULL, 0, NULL);
    log_line(LOG_START, LEVEL_INFO, "serving %s (worker %llu of this mount)", w->settings->store,
             (unsigned long long)w->generation);
    return 0;
}

static int begin_rest(struct serving *w, struct hfc_error *err)
{
    hfc_watch_start(w->loop, &w->signal_watch, w->signals, on_signal, w);
    hfc_watch_start(w->loop, &w->ended_watch, w->ended, on_ended, w);
    worker_link_begin(w);
    worker_gauges_begin(w);
    if (prober_begin(w->prober, w->root, err) < 0 || begin_listening(w, err) < 0 ||
        worker_store_begin(w, err) < 0)
        return -1;
    on_tick(w);
    return 0;
}

static void serve(struct serving *w)
{
    struct hfc_error err;

    if (take_over(w, &err) < 0 || begin_rest(w, &err) < 0)
        worker_fail(w, WORKER_CANT_SERVE, &err);
    else if (hfc_loop_run(w->loop, &w->done, &err) < 0)
        worker_fail(w, WORKER_BROKE, &err);
}

/* The end, continued. */

static void stop_events(struct serving *w)
{
    stop_listening(w);
    hfc_timer_stop(&w->tick);
    hfc_timer_stop(&w->drain_look);
    hfc_watch_stop(&w->signal_watch);
    hfc_watch_stop(&w->ended_watch);
    worker_link_end(w);
}

/* Whatever of it is there. */
static void take_apart(struct serving *w)
{
    stop_events(w);
    prober_stop(w->prober);
    if (w->session != NULL)
        session_drain(w->session, 0);
    if (w->engine != NULL)
        engine_abandon(w->engine);
    control_free(w->control);
    worker_store_end(w);
    session_free(w->session);
    fs_free(w->fs);
    engine_free(w->engine);
    catalog_free(w->catalog);
    cache_close(w->cache);
    hfc_loop_free(w->loop);
    if (w->arena != NULL)
        (void)munmap(w->arena, (size_t)w->plan.chunks * BLOCK_SIZE);
    if (w->shared != NULL)
        (void)munmap(w->shared, sizeof(*w->shared));
    const int fds[] = {w->signals, w->dev, w->memfd, w->arena_fd, w->root, w->ended};
    for (size_t i = 0; i < HFC_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
}

/* The start. */

static int make_plan(struct serving *w, struct hfc_error *err)
{
    unsigned wanted = w->settings->connections;
    struct memory_plan *p = &w->plan;
    bool tls;

    if (worker_uses_tls(w->settings->store, &tls, err) < 0)
        return hfc_error_prefix(err, "--store");
    if (memory_plan_make(settings_memory(w->settings), tls, p, err) < 0)
        return hfc_error_prefix(err, "--memory");
    if (wanted > p->connections)
        log_line(LOG_START, LEVEL_WARNING, "--connections %u: there is memory for %u", wanted,
                 p->connections);
    if (wanted > 0 && wanted < p->connections)
        p->connections = p->http.connections = wanted;
    return 0;
}

static int start(struct serving *w, struct hfc_error *err)
{
    const struct settings *s = w->settings;

    (void)prctl(PR_SET_NAME, "hfcache-worker"); /* exec of /proc/self/exe leaves "exe" */
    (void)mallopt(M_ARENA_MAX, ARENAS);
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
    if (block_signals(w, err) < 0 || privileges_worker(s->uid, s->gid, err) < 0 ||
        make_plan(w, err) < 0)
        return -1;
    w->prober = prober_start(err);
    return w->prober != NULL ? 0 : -1;
}

int worker_run(const struct settings *settings)
{
    struct serving *w = calloc(1, sizeof(*w));
    struct hfc_error err;

    if (w == NULL)
        return WORKER_BROKE;
    log_setup(settings->log, "worker");
    *w = (struct serving){.settings = settings,
                          .signals = -1,
                          .link = -1,
                          .dev = -1,
                          .memfd = -1,
                          .arena_fd = -1,
                          .root = -1,
                          .ended = -1};
    int rc = start(w, &err) < 0 ? -1 : worker_stand_by(w, &err);
    if (rc < 0)
        worker_fail(w, WORKER_CANT_SERVE, &err);
    else if (rc > 0)
        serve(w);
    take_apart(w);
    int status = w->status;
    free(w);
    return status;
}
