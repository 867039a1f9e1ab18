/* worker_internal.h: what worker*.c share; see worker.h.
 *
 *   worker.c         start, stand-by, activation, the end
 *   worker_link.c    the link with the keeper, before and while it serves
 *   worker_store.c   the store: opened, opened again; what goes wrong with it
 *   worker_status.c  gauges, and the worker's part of the status object
 *   worker_health.c  alive? ready?
 *
 * Threads: everything in struct serving is the main thread's, which runs the loop, but for what is
 * atomic, and what is constant while there is a listener: its thread reads both.
 */
#ifndef MOUNT_WORKER_INTERNAL_H
#define MOUNT_WORKER_INTERNAL_H

#include <stdatomic.h>

#include "control.h"
#include "fs.h"
#include "link.h"
#include "listener.h"
#include "loop.h"
#include "prober.h"
#include "session.h"
#include "settings.h"
#include "shared.h"

enum {
    LINK_RETRY_MS = 100,
    BEAT_MAX_MS = 30000,
    FAILURES_MAX = 8,
    FAILURE_TEXT = 256,
};

struct failure {
    uint64_t at; /* clock_ns(); 0: none */
    char text[FAILURE_TEXT];
};

struct serving {
    const struct settings *settings;
    struct memory_plan plan;
    struct prober *prober;
    int signals;      /* signalfd */
    int link;         /* to the keeper; -1: lost */
    bool keepers_own; /* a child of the keeper, as with `run` */
    bool link_told;   /* its loss has been logged */

    /* What LINK_ACTIVATE brought: */
    int dev, memfd, arena_fd, root;
    uint64_t generation;
    struct shared *shared;
    void *arena;

    struct hfc_loop *loop;
    struct cache *cache;
    struct catalog *catalog;
    struct engine *engine;
    struct control *control;
    struct fs *fs;
    struct session *session;
    struct listener *listener;
    struct hfc_store *store;
    int ended; /* eventfd: the session has ended */
    struct hfc_watch link_watch, signal_watch, ended_watch;
    struct hfc_timer tick, link_retry, listen_retry, store_retry, drain_look;
    int64_t store_wait;       /* ms until the next try */
    bool listen_told, looked; /* looked: at the bucket, once without failure */
    bool signalled, done;
    int64_t drain_until;
    int status;
    struct failure failures[FAILURES_MAX]; /* a ring */
    unsigned next_failure;
    unsigned ticks;
    uint64_t fetched; /* ranges that had come when the store refused one */

    _Atomic bool draining;
    _Atomic bool serving;                     /* requests are being taken */
    _Atomic uint64_t beat;                    /* clock_ns() of the last tick */
    _Atomic uint64_t began;                   /* of serving */
    _Atomic bool refused_look, refused_fetch; /* credentials, and not accepted since */
};

/* worker.c: the end, in order, or with an exit status other than 0. */
void worker_drain(struct serving *w);
void worker_fail(struct serving *w, int status, const struct hfc_error *err);

/* worker_link.c. Waits for LINK_ACTIVATE: 1: it is here; 0: told to end; -1. */
int worker_stand_by(struct serving *w, struct hfc_error *err);
/* Watches the link from now on; whatever happens to it, it is there again some time. */
void worker_link_begin(struct serving *w);
void worker_link_end(struct serving *w);
bool worker_told_to_end(int signals, bool *reload); /* what signals say */

/* worker_store.c */
int worker_uses_tls(const char *url, bool *tls, struct hfc_error *err);
/* At the begin: -1 only if there is nothing to serve without a store. */
int worker_store_begin(struct serving *w, struct hfc_error *err);
void worker_store_again(struct serving *w); /* SIGHUP */
void worker_store_end(struct serving *w);
void worker_looked(void *serving, bool changed, const struct hfc_error *err);
void worker_trouble(void *serving, int errnum);
void worker_failure(struct serving *w, const char *text);

/* worker_status.c */
void worker_gauges_begin(const struct serving *w); /* those that do not change */
void worker_gauges(struct serving *w);
void worker_status(void *serving, void *json_object);

/* worker_health.c */
struct health {
    bool serving, draining, has_tree, probed, full, refused;
    int64_t beat_ms;  /* since the loop last came round */
    int64_t probe_ms; /* since a read through the mount last worked, or since the begin */
};
bool health_live(const struct health *h, struct hfc_buf *why);
bool health_ready(const struct health *h, struct hfc_buf *why);
bool worker_live(void *serving, struct hfc_buf *why);
bool worker_ready(void *serving, struct hfc_buf *why);

#endif
