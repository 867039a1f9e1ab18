/* loop.c: the event loop; see loop.h. Owns the curl multi handle, and with it all connections.
 *
 * A turn is: wait, call watches, let curl work, report transfers that ended, call timers. Timers
 * come last, so that what a function called by curl has put off until "as soon as the callers have
 * returned" is done within the same turn, before anybody outside sees the loop again.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup.h"
#include "loop_internal.h"

/* Nobody waits longer in one system call: curl takes an int, and a lost wake-up would heal. */
enum { WAIT_MAX_MS = 60000 };

struct hfc_loop {
    CURLM *multi;
    struct hfc_timer *timers; /* by due time; equals in the order they were started */
    struct hfc_timer *firing; /* those of this turn that were not yet called */
    struct hfc_watch *watches;
    struct hfc_stop_hook *hooks, *told; /* those that hfc_loop_stop() has called */
    unsigned n_watches, n_transfers, connections;
    bool running, stopped, in_curl;
    bool new_limit; /* of connections, that curl has not been told yet */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void start_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int64_t hfc_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Connections are curl's, not a client's: those that wait idle are shared by all. Never more are
 * open than all clients together may use: curl closes the one idle longest to open another. As no
 * client has more exchanges than places, none ever waits for that. */
static void set_limit(struct hfc_loop *loop)
{
    long max = loop->connections > 0 ? (long)loop->connections : 1;

    assert(!loop->in_curl);
    loop->new_limit = false;
    CURLMcode rc = curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, max);
    if (rc == CURLM_OK)
        rc = curl_multi_setopt(loop->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max);
    assert(rc == CURLM_OK);
    (void)rc;
}

struct hfc_loop *hfc_loop_new(struct hfc_error *err)
{
    hfc_autofree struct hfc_loop *loop = calloc(1, sizeof(*loop));

    (void)pthread_once(&curl_once, start_curl);
    if (curl_ready == CURLE_OK && loop != NULL)
        loop->multi = curl_multi_init();
    if (loop == NULL || loop->multi == NULL) {
        (void)hfc_error_set(err, ENOMEM, "event loop");
        return NULL;
    }
    /* Without descriptors to wake it curl makes a handle all the same. */
    if (curl_multi_wakeup(loop->multi) != CURLM_OK) {
        (void)hfc_error_set(err, EMFILE, "event loop");
        (void)curl_multi_cleanup(loop->multi);
        return NULL;
    }
    /* HTTP/1.1 only: a connection carries one exchange at a time. */
    (void)curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    hfc_loop_connections(loop, 0, 0);
    return hfc_steal_ptr(&loop);
}

void hfc_loop_free(struct hfc_loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->running);
    assert(loop->timers == NULL && loop->watches == NULL);
    assert(loop->hooks == NULL && loop->told == NULL);
    assert(loop->n_transfers == 0 && loop->connections == 0);
    (void)curl_multi_cleanup(loop->multi);
    free(loop);
}

void hfc_stop_hook_add(struct hfc_loop *loop, struct hfc_stop_hook *h, hfc_loop_fn *fn, void *ctx)
{
    assert(h->loop == NULL);
    *h = (struct hfc_stop_hook){.loop = loop, .next = loop->hooks, .fn = fn, .ctx = ctx};
    loop->hooks = h;
}

static bool unlink_hook(struct hfc_stop_hook **list, struct hfc_stop_hook *h)
{
    for (; *list != NULL; list = &(*list)->next)
        if (*list == h) {
            *list = h->next;
            return true;
        }
    return false;
}

void hfc_stop_hook_remove(struct hfc_stop_hook *h)
{
    if (h->loop == NULL)
        return;
    bool found = unlink_hook(&h->loop->hooks, h) || unlink_hook(&h->loop->told, h);
    assert(found);
    (void)found;
    h->loop = NULL;
    h->next = NULL;
}

/* A hook may remove any hook: what it cancels may be the end of others. */
void hfc_loop_stop(struct hfc_loop *loop)
{
    if (loop->stopped)
        return;
    loop->stopped = true;
    while (loop->hooks != NULL) {
        struct hfc_stop_hook *h = loop->hooks;
        loop->hooks = h->next;
        h->next = loop->told;
        loop->told = h;
        h->fn(h->ctx);
    }
    hfc_loop_wake(loop);
}

bool hfc_loop_stopped(const struct hfc_loop *loop)
{
    return loop->stopped;
}

void hfc_loop_wake(struct hfc_loop *loop)
{
    (void)curl_multi_wakeup(loop->multi);
}

static bool unlink_timer(struct hfc_timer **list, struct hfc_timer *t)
{
    for (; *list != NULL; list = &(*list)->next)
        if (*list == t) {
            *list = t->next;
            return true;
        }
    return false;
}

void hfc_timer_stop(struct hfc_timer *t)
{
    if (t->loop == NULL)
        return;
    bool found = unlink_timer(&t->loop->timers, t) || unlink_timer(&t->loop->firing, t);
    assert(found);
    (void)found;
    t->loop = NULL;
    t->next = NULL;
}

void hfc_timer_start(struct hfc_loop *loop, struct hfc_timer *t, int64_t ms, hfc_loop_fn *fn,
                     void *ctx)
{
    assert(ms >= 0);
    hfc_timer_stop(t);
    *t = (struct hfc_timer){.loop = loop, .due = hfc_now_ms() + ms, .fn = fn, .ctx = ctx};
    struct hfc_timer **at = &loop->timers;
    while (*at != NULL && (*at)->due <= t->due)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
}

/* The due ones are set apart first: a timer that is started meanwhile waits for the next turn, so
 * that one which always starts itself anew holds up nothing else. */
static void call_timers(struct hfc_loop *loop)
{
    int64_t now = hfc_now_ms();
    struct hfc_timer **end = &loop->timers;

    assert(loop->firing == NULL);
    while (*end != NULL && (*end)->due <= now)
        end = &(*end)->next;
    struct hfc_timer *later = *end;
    *end = NULL;
    loop->firing = loop->timers;
    loop->timers = later;
    while (loop->firing != NULL) {
        struct hfc_timer *t = loop->firing;
        loop->firing = t->next;
        t->loop = NULL;
        t->next = NULL;
        t->fn(t->ctx);
    }
}

void hfc_watch_start(struct hfc_loop *loop, struct hfc_watch *w, int fd, hfc_loop_fn *fn, void *ctx)
{
    hfc_watch_stop(w);
    assert(fd >= 0 && loop->n_watches < HFC_WATCHES_MAX);
    *w = (struct hfc_watch){.loop = loop, .next = loop->watches, .fd = fd, .fn = fn, .ctx = ctx};
    loop->watches = w;
    loop->n_watches++;
}

void hfc_watch_stop(struct hfc_watch *w)
{
    if (w->loop == NULL)
        return;
    struct hfc_watch **at = &w->loop->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->loop->n_watches--;
    w->loop = NULL;
    w->next = NULL;
}

/* Looks for the pointer only: the watch may be gone, and its memory with it. */
static bool is_watched(const struct hfc_loop *loop, const struct hfc_watch *w, int fd)
{
    for (const struct hfc_watch *at = loop->watches; at != NULL; at = at->next)
        if (at == w)
            return at->fd == fd;
    return false;
}

/* Asks again what curl has waited for already: curl keeps a hang-up to itself, and the loop would
 * turn for ever without calling anybody. */
static void call_watches(struct hfc_loop *loop)
{
    struct hfc_watch *watches[HFC_WATCHES_MAX];
    struct pollfd fds[HFC_WATCHES_MAX];
    unsigned n = 0;

    for (struct hfc_watch *w = loop->watches; w != NULL; w = w->next) {
        watches[n] = w;
        fds[n++] = (struct pollfd){.fd = w->fd, .events = POLLIN};
    }
    if (n == 0 || poll(fds, n, 0) <= 0)
        return;
    for (unsigned i = 0; i < n; i++)
        if (fds[i].revents != 0 && is_watched(loop, watches[i], fds[i].fd))
            watches[i]->fn(watches[i]->ctx);
}

static CURLMcode wait_for_something(struct hfc_loop *loop)
{
    struct curl_waitfd fds[HFC_WATCHES_MAX];
    unsigned n = 0;
    int64_t ms = WAIT_MAX_MS;

    for (struct hfc_watch *w = loop->watches; w != NULL; w = w->next)
        fds[n++] = (struct curl_waitfd){.fd = w->fd, .events = CURL_WAIT_POLLIN};
    if (loop->timers != NULL) {
        int64_t left = loop->timers->due - hfc_now_ms();
        ms = left < 0 ? 0 : left < ms ? left : ms;
    }
    return curl_multi_poll(loop->multi, fds, n, (int)ms, NULL);
}

static CURLMcode run_curl(struct hfc_loop *loop)
{
    int running;

    loop->in_curl = true;
    CURLMcode rc = curl_multi_perform(loop->multi, &running);
    loop->in_curl = false;
    return rc;
}

/* Whoever is told may remove this or any other transfer; curl forgets the messages of those. */
static void report_ended(struct hfc_loop *loop)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(loop->multi, &left)) != NULL) {
        struct hfc_transfer *t = NULL;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        assert(m->msg == CURLMSG_DONE && t != NULL);
        t->done(t, m->data.result);
    }
}

static CURLMcode turn(struct hfc_loop *loop)
{
    CURLMcode rc = wait_for_something(loop);

    if (rc != CURLM_OK)
        return rc;
    call_watches(loop);
    rc = run_curl(loop);
    if (loop->new_limit)
        set_limit(loop);
    report_ended(loop);
    call_timers(loop);
    return rc;
}

int hfc_loop_run(struct hfc_loop *loop, const bool *until, struct hfc_error *err)
{
    CURLMcode rc = CURLM_OK;

    assert(!loop->running);
    loop->running = true;
    while (rc == CURLM_OK && !*until)
        rc = turn(loop);
    loop->running = false;
    if (rc != CURLM_OK)
        return hfc_error_set(err, rc == CURLM_OUT_OF_MEMORY ? ENOMEM : EIO, "event loop: %s",
                             curl_multi_strerror(rc));
    return 0;
}

CURLMcode hfc_loop_add(struct hfc_loop *loop, struct hfc_transfer *t)
{
    assert(!loop->in_curl && !t->added);
    (void)curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    CURLMcode rc = curl_multi_add_handle(loop->multi, t->easy);
    if (rc == CURLM_OK) {
        t->added = true;
        loop->n_transfers++;
    }
    return rc;
}

void hfc_loop_remove(struct hfc_loop *loop, struct hfc_transfer *t)
{
    assert(!loop->in_curl);
    if (!t->added)
        return;
    loop->in_curl = true;
    (void)curl_multi_remove_handle(loop->multi, t->easy);
    loop->in_curl = false;
    t->added = false;
    loop->n_transfers--;
}

CURLcode hfc_loop_unpause(struct hfc_loop *loop, struct hfc_transfer *t)
{
    assert(!loop->in_curl && t->added);
    loop->in_curl = true;
    CURLcode rc = curl_easy_pause(t->easy, CURLPAUSE_CONT);
    loop->in_curl = false;
    return rc;
}

bool hfc_loop_in_curl(const struct hfc_loop *loop)
{
    return loop->in_curl;
}

/* Not from within curl: it would refuse. */
void hfc_loop_connections(struct hfc_loop *loop, unsigned more, unsigned less)
{
    assert(less <= loop->connections + more);
    loop->connections += more;
    loop->connections -= less;
    loop->new_limit = true;
    if (!loop->in_curl)
        set_limit(loop);
}
