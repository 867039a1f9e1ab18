/* stop.c: signals as an event of the loop; see stop_on_signals() in command.h.
 *
 * A signal is blocked and read from a descriptor, so that it is dealt with between two callbacks
 * and never inside of one. Stopping the loop makes what is under way come to an orderly end: parts
 * are aborted, locks given back. That may take a while, with a server that does not answer.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#include "cleanup.h"
#include "command.h"
#include "need.h"

struct stopper {
    struct hfc_loop *loop;
    struct hfc_watch watch;
    int fd;
    sigset_t before; /* the thread's mask */
};

/* From here on the impatient have their way, whatever the program is waiting for. */
static void end_at_once_from_now(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* The first one. */
static void signalled(void *ctx)
{
    struct stopper *s = ctx;
    struct signalfd_siginfo info;

    if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    hfc_loop_stop(s->loop);
    end_at_once_from_now();
}

/* What is ignored, as SIGHUP under nohup(1), is to have no effect; a blocked signal would. */
static void collect(sigset_t *set)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    (void)sigemptyset(set);
    for (size_t i = 0; i < HFC_ARRAY_LEN(signals); i++) {
        struct sigaction now;
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            (void)sigaddset(set, signals[i]);
    }
}

struct stopper *stop_on_signals(struct hfc_loop *loop, struct hfc_error *err)
{
    sigset_t set;

    assert(loop != NULL);
    collect(&set);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        (void)hfc_error_set(err, errno, "signals");
        return NULL;
    }
    struct stopper *s = need(calloc(1, sizeof(*s)));
    s->loop = loop;
    s->fd = fd;
    /* Threads that are made from now on inherit it: only the descriptor hears of them. */
    (void)pthread_sigmask(SIG_BLOCK, &set, &s->before);
    hfc_watch_start(loop, &s->watch, fd, signalled, s);
    return s;
}

void stopper_free(struct stopper *s)
{
    if (s == NULL)
        return;
    assert(s->fd >= 0);
    hfc_watch_stop(&s->watch);
    (void)close(s->fd);
    (void)pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    free(s);
}
