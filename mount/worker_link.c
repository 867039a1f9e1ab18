/* worker_link.c: the worker's side of the link with the keeper; see link.h. Owns the descriptor of
 * the link, on the main thread.
 *
 * Before it serves, a worker waits for the keeper, registers and stands by, in a poll(2) without a
 * loop: a standby costs as little as possible. A worker that serves holds the mount together with
 * the keeper: if the link breaks it goes on serving, and asks every 100 ms, for ever, whether a
 * keeper is there to adopt it.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "logging.h"
#include "worker_internal.h"

enum {
    TELL_MS = 10000,
    REFUSED_MS = 1000, /* a link that ends sooner was refused; and how long to wait then */
    REFUSALS_MAX = 5,  /* in a row */
};

static void close_fds(int *fds)
{
    for (unsigned i = 0; i < LINK_FDS_MAX; i++)
        if (fds[i] >= 0)
            (void)close(hfc_steal_fd(&fds[i]));
}

static void hang_up(struct serving *w)
{
    if (w->link >= 0)
        (void)close(hfc_steal_fd(&w->link));
}

bool worker_told_to_end(int signals, bool *reload)
{
    struct signalfd_siginfo info;
    bool end = false;

    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        *reload |= info.ssi_signo == SIGHUP;
        end |= info.ssi_signo != SIGHUP;
    }
    return end;
}

/* Before it serves. */

/* Waits for a frame (if there is a link), a signal, or `ms`. False: told to end. */
static bool wait_for(struct serving *w, int ms)
{
    struct pollfd p[] = {{.fd = w->signals, .events = POLLIN}, {.fd = w->link, .events = POLLIN}};
    bool reload = false;

    (void)poll(p, HFC_ARRAY_LEN(p), ms);
    return p[0].revents == 0 || !worker_told_to_end(w->signals, &reload);
}

static int say_hello(struct serving *w, struct hfc_error *err)
{
    hfc_autoclose int self = pidfd_open(getpid(), 0);
    struct link_frame f = {
        .flags = w->settings->standby ? LINK_STANDBY : 0,
        .pid = getpid(),
        .bytes = (uint64_t)w->plan.chunks * BLOCK_SIZE,
    };
    pid_t keeper;
    uid_t uid;

    if (self < 0)
        return hfc_error_set(err, errno, "a descriptor of this process");
    (void)snprintf(f.text, sizeof(f.text), "%s", HFC_VERSION);
    if (link_peer(w->link, &keeper, &uid, err) < 0)
        return -1;
    w->keepers_own = keeper == getppid();
    return link_send(w->link, LINK_HELLO, &f, &self, 1, err);
}

static int register_once(struct serving *w, struct hfc_error *err)
{
    w->link = link_connect(w->settings->socket, err);
    if (w->link < 0)
        return -1;
    if (say_hello(w, err) == 0)
        return 0;
    hang_up(w);
    return -1;
}

static bool is_nobody_there(int errnum)
{
    return errnum == ENOENT || errnum == ECONNREFUSED || errnum == EAGAIN || errnum == ECONNRESET ||
           errnum == EPIPE;
}

/* 1: registered; 0: told to end; -1: it won't work later either. */
static int register_with_keeper(struct serving *w, struct hfc_error *err)
{
    int64_t told = hfc_now_ms() - TELL_MS + 1000; /* the first time after a second */

    while (register_once(w, err) < 0) {
        if (!is_nobody_there(err->errnum))
            return hfc_error_prefix(err, "the keeper at %s", w->settings->socket);
        if (hfc_now_ms() - told >= TELL_MS) {
            log_line(LOG_START, LEVEL_WARNING,
                     "no keeper listens at %s: waiting for `hfcache-mount keep'",
                     w->settings->socket);
            told = hfc_now_ms();
        }
        if (!wait_for(w, LINK_RETRY_MS))
            return 0;
    }
    return 1;
}

static void take_activation(struct serving *w, const struct link_frame *f, int *fds)
{
    w->generation = f->number;
    w->dev = hfc_steal_fd(&fds[0]);
    w->memfd = hfc_steal_fd(&fds[1]);
    w->arena_fd = hfc_steal_fd(&fds[2]);
    w->root = hfc_steal_fd(&fds[3]);
}

/* 1: activated; 0: told to end; -1: the link is lost, or nonsense came (`err`). */
static int next_frame(struct serving *w, struct hfc_error *err)
{
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];

    for (;;) {
        if (!wait_for(w, -1))
            return 0;
        int n = link_receive(w->link, &f, fds, err);
        if (n < 0 && err->errnum == EAGAIN)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : hfc_error_set(err, 0, "the keeper hung up");
        if (f.kind == LINK_ACTIVATE)
            take_activation(w, &f, fds);
        close_fds(fds);
        if (f.kind == LINK_ACTIVATE)
            return 1;
        if (f.kind == LINK_DRAIN)
            return 0;
    }
}

/* With `run`, the keeper's successor starts workers of its own. */
static bool is_left_behind(const struct serving *w, pid_t parent)
{
    return w->keepers_own && getppid() != parent;
}

/* A keeper that is there, and hangs up on this worker each time, will go on so. */
static bool is_refused(unsigned *refusals, int64_t since)
{
    *refusals = hfc_now_ms() - since < REFUSED_MS ? *refusals + 1 : 0;
    return *refusals >= REFUSALS_MAX;
}

int worker_stand_by(struct serving *w, struct hfc_error *err)
{
    pid_t parent = getppid();
    unsigned refusals = 0;

    for (;;) {
        int rc = register_with_keeper(w, err);
        int64_t since = hfc_now_ms();
        if (rc <= 0)
            return rc;
        rc = next_frame(w, err);
        if (rc >= 0)
            return rc;
        hang_up(w);
        if (is_refused(&refusals, since))
            return hfc_error_set(
                err, 0,
                "the keeper at %s refuses this worker, its log says why: it lets in "
                "the user of its --user only, and few standbys",
                w->settings->socket);
        log_line(LOG_CONTROL, LEVEL_WARNING, "%s; registering again", err->msg);
        if (!wait_for(w, REFUSED_MS) || is_left_behind(w, parent))
            return 0;
    }
}

/* While it serves. */

static void retry(void *ctx);

static void on_lost(struct serving *w, const char *why)
{
    hfc_watch_stop(&w->link_watch);
    hang_up(w);
    if (!w->link_told)
        log_line(LOG_START, LEVEL_WARNING, "%s; serving on until a keeper is there", why);
    w->link_told = true;
    hfc_timer_start(w->loop, &w->link_retry, LINK_RETRY_MS, retry, w);
}

static void on_frame(struct serving *w, const struct link_frame *f, int *fds)
{
    if (f->kind == LINK_DRAIN) {
        log_line(LOG_START, LEVEL_INFO, "asked to drain");
        worker_drain(w);
    } else if (f->kind == LINK_CONNECTED && fds[0] >= 0) {
        control_connect(w->control, hfc_steal_fd(&fds[0]));
    } else if (f->kind == LINK_ADOPTED) {
        log_line(LOG_START, LEVEL_INFO, "a keeper is there again");
        w->link_told = false;
    }
}

/* All that is there; a frame may end the link. */
static void on_link(void *ctx)
{
    struct serving *w = ctx;
    struct hfc_error err;
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX], n;

    while (w->link >= 0 && (n = link_receive(w->link, &f, fds, &err)) != 0) {
        if (n < 0 && err.errnum == EAGAIN)
            return;
        if (n < 0) {
            on_lost(w, err.msg);
            return;
        }
        on_frame(w, &f, fds);
        close_fds(fds);
    }
    if (w->link >= 0)
        on_lost(w, "the keeper hung up");
}

static int offer(struct serving *w, struct hfc_error *err)
{
    hfc_autoclose int self = pidfd_open(getpid(), 0);
    const int fds[] = {self, w->dev, w->memfd, w->arena_fd, w->root};
    struct link_frame f = {.pid = getpid(), .number = w->generation};

    if (self < 0)
        return hfc_error_set(err, errno, "a descriptor of this process");
    w->link = link_connect(w->settings->socket, err);
    if (w->link < 0)
        return -1;
    return link_send(w->link, LINK_ADOPT, &f, fds, HFC_ARRAY_LEN(fds), err);
}

static void retry(void *ctx)
{
    struct serving *w = ctx;

    assert(w->link < 0);
    if (offer(w, NULL) < 0) {
        hang_up(w);
        hfc_timer_start(w->loop, &w->link_retry, LINK_RETRY_MS, retry, w);
        return;
    }
    hfc_watch_start(w->loop, &w->link_watch, w->link, on_link, w);
}

void worker_link_begin(struct serving *w)
{
    assert(w->link >= 0);
    hfc_watch_start(w->loop, &w->link_watch, w->link, on_link, w);
}

void worker_link_end(struct serving *w)
{
    hfc_watch_stop(&w->link_watch);
    hfc_timer_stop(&w->link_retry);
    hang_up(w);
}
