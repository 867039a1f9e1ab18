/* session.c: the threads that take requests, and the end of a session; see session.h.
 *
 * Owns the struct, the threads and the descriptor by which they are stopped. Thread i is the only
 * one to touch intake slot i. New requests are read by all from one non-blocking descriptor: who
 * comes too late for one goes back to sleep.
 */
#include "session.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "logging.h"
#include "metrics.h"
#include "session_internal.h"
#include "strikes.h"

uint64_t session_generation(const struct session *s)
{
    return atomic_load(&s->config.shared->generation);
}

/* Unmounted, aborted, or worse. */
static void end(struct session *s, int errnum)
{
    if (atomic_exchange(&s->ended, true))
        return;
    if (errnum != ENODEV && errnum != ECONNABORTED)
        log_line(LOG_START, LEVEL_ERROR, "no more requests can be taken: reading failed (%d)",
                 errnum);
    s->config.ended(s->config.ctx);
}

static bool passes(int errnum)
{
    /* ENOENT: the request was given up while it was being handed out. */
    return errnum == EAGAIN || errnum == EINTR || errnum == ENOENT;
}

/* Reads a request into the slot. Its size; 0: the session ends. */
static size_t take(struct session *s, void *slot)
{
    struct pollfd fds[] = {{.fd = s->config.dev, .events = POLLIN},
                           {.fd = s->stop, .events = POLLIN}};

    for (;;) {
        if (poll(fds, HFC_ARRAY_LEN(fds), -1) < 0 && !passes(errno)) {
            end(s, errno);
            return 0;
        }
        if (fds[1].revents != 0)
            return 0;
        ssize_t n = read(s->config.dev, slot, INTAKE_SIZE);
        if (n > 0)
            return (size_t)n;
        if (n == 0 || !passes(errno)) {
            end(s, n == 0 ? ENODEV : errno);
            return 0;
        }
    }
}

/* False: it stays in its slot, and the session ends. */
static bool execute(struct session *s, struct request *q)
{
    metric_add(M_REQUESTS, 1);
    if (q->size < sizeof(*q->in)) {
        log_line(LOG_REQUEST, LEVEL_ERROR, "%zu bytes from the kernel are no request", q->size);
        return true;
    }
    while (!request_execute(s, q))
        if (!waiters_room(s))
            return false;
    return true;
}

static void *take_requests(void *arg)
{
    struct taker *t = arg;
    struct session *s = t->session;
    struct fuse_in_header *in = intake_header(s, t->index);
    struct request q = {.in = in, .state = &s->config.shared->intake_state[t->index]};

    redo_rest(t);
    while (!atomic_load(&s->stopping) && (q.size = take(s, in)) != 0) {
        if (!execute(s, &q))
            break;
        strikes_clear(q.state);
        slot_set(in, 0);
    }
    return NULL;
}

/* Signals are the main thread's, but for those that a thread brings upon itself. */
static void block_signals(sigset_t *before)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;

    (void)sigfillset(&set);
    for (size_t i = 0; i < HFC_ARRAY_LEN(own); i++)
        (void)sigdelset(&set, own[i]);
    (void)pthread_sigmask(SIG_SETMASK, &set, before);
}

static int start_threads(struct session *s, struct hfc_error *err)
{
    sigset_t before;
    int rc = 0;

    block_signals(&before);
    while (rc == 0 && s->started < s->config.threads) {
        struct taker *t = &s->takers[s->started];
        char name[16];
        *t = (struct taker){.session = s, .index = s->started};
        rc = pthread_create(&t->thread, NULL, take_requests, t);
        if (rc != 0)
            break;
        (void)snprintf(name, sizeof(name), "fuse-%u", t->index);
        (void)pthread_setname_np(t->thread, name);
        s->started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : hfc_error_set(err, rc, "a thread for requests");
}

static int begin(struct session *s, struct hfc_error *err)
{
    s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop < 0)
        return hfc_error_set(err, errno, "eventfd");
    if (libfuse_open(s, err) < 0)
        return -1;
    redo_suspects(s);
    return start_threads(s, err);
}

/* For deadlines that no change of the clock moves. */
static void init_lock(struct session *s)
{
    pthread_condattr_t attr;

    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
}

struct session *session_start(const struct session_config *config, struct hfc_error *err)
{
    hfc_autofree struct waiter *waiters = calloc(PARKED_SLOTS, sizeof(*waiters));
    struct session *s = calloc(1, sizeof(*s));

    assert(config->threads >= 1 && config->threads <= INTAKE_SLOTS);
    if (s == NULL || waiters == NULL) {
        free(s);
        (void)hfc_error_set(err, ENOMEM, "the session");
        return NULL;
    }
    s->config = *config;
    s->waiters = hfc_steal_ptr(&waiters);
    s->died_at = atomic_load(&config->shared->died_at);
    init_lock(s);
    waiters_open(s);
    fs_set_session(config->fs, s);
    if (begin(s, err) < 0) {
        session_free(s);
        return NULL;
    }
    return s;
}

void session_stop(struct session *s)
{
    (void)pthread_mutex_lock(&s->lock);
    atomic_store(&s->stopping, true);
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    if (s->stop >= 0)
        (void)eventfd_write(s->stop, 1);
    for (; s->started > 0; s->started--)
        (void)pthread_join(s->takers[s->started - 1].thread, NULL);
}

void session_drain(struct session *s, int ms)
{
    session_stop(s);
    waiters_drain(s, ms);
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    session_drain(s, 0);
    fs_set_session(s->config.fs, NULL);
    if (s->libfuse != NULL)
        fuse_session_destroy(s->libfuse);
    if (s->stop >= 0)
        (void)close(s->stop);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s->waiters);
    free(s);
}
