/* worker_status.c: gauges, once a second, and the worker's part of the status object; see
 * worker_internal.h. Owns nothing. On the loop's thread.
 */
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "cleanup.h"
#include "file.h"
#include "metrics.h"
#include "store.h"
#include "worker_internal.h"

enum {
    NS_PER_MS = 1000000,
    MS_PER_S = 1000,
    SOCKETS_TICKS = 5, /* seconds between two looks at the sockets */
    SOCKETS_FDS = 1024,
};

void worker_gauges_begin(const struct serving *w)
{
    const struct memory_plan *p = &w->plan;
    const struct connection *c = &w->shared->connection;

    metric_set(M_MEMORY_LIMIT, p->total);
    metric_set(M_MEMORY_FIXED, p->fixed);
    metric_set(M_MEMORY_CONNECTIONS, p->connections * p->connection);
    metric_set(M_MEMORY_ARENA, (uint64_t)p->chunks * BLOCK_SIZE);
    metric_set(M_MEMORY_TREE, 2 * p->tree);
    metric_set(M_MEMORY_CACHE, p->blobs * p->blob);
    metric_set(M_TAKEOVERS, w->generation > 0 ? w->generation - 1 : 0);
    metric_set(M_KERNEL_PASSTHROUGH, (c->flags & FUSE_PASSTHROUGH) != 0 && c->max_stack_depth > 0);
    metric_set(M_KERNEL_READDIRPLUS, (c->flags & FUSE_DO_READDIRPLUS) != 0);
    metric_set(M_KERNEL_MAX_PAGES, (c->flags & FUSE_MAX_PAGES) != 0);
}

/* The second number of /proc/self/statm, in pages. */
static uint64_t resident(void)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(256);

    if (hfc_file_read(AT_FDCWD, "/proc/self/statm", &text, NULL) < 0)
        return 0;
    const char *second = text.data + strcspn(text.data, " ");
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What the buffers of the TCP sockets take now. Which descriptors those are is not asked of /proc,
 * which shows them to root only. */
static uint64_t socket_memory(void)
{
    uint64_t sum = 0;

    for (int fd = 0; fd < SOCKETS_FDS; fd++) {
        uint32_t info[SK_MEMINFO_VARS] = {0};
        int protocol = 0;
        socklen_t n = sizeof(protocol);
        if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) < 0 || protocol != IPPROTO_TCP)
            continue;
        n = sizeof(info);
        if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &n) == 0)
            sum += (uint64_t)info[SK_MEMINFO_RMEM_ALLOC] + info[SK_MEMINFO_WMEM_QUEUED] +
                   info[SK_MEMINFO_FWD_ALLOC];
    }
    return sum;
}

static void connections(const struct serving *w)
{
    struct hfc_store_stats s = {0};

    if (w->store != NULL)
        hfc_store_stats(w->store, &s);
    metric_set(M_CONNECTIONS, s.http.active);
    if (s.http.connects > metric_get(M_CONNECTS)) /* a store that is opened anew begins at 0 */
        metric_set(M_CONNECTS, s.http.connects);
}

void worker_gauges(struct serving *w)
{
    hfc_autobuf struct hfc_buf why = HFC_BUF(1024);
    struct engine_stats e = {0};
    int64_t age = catalog_age_ms(w->catalog);

    engine_stats(w->engine, &e);
    connections(w);
    metric_set(M_MEMORY_RESIDENT, resident());
    if (w->ticks++ % SOCKETS_TICKS == 0)
        metric_set(M_MEMORY_SOCKETS, socket_memory());
    metric_set(M_MEMORY_ARENA_USED, (uint64_t)e.chunks_used * BLOCK_SIZE);
    metric_set(M_TREE_AGE, age > 0 ? (uint64_t)age / MS_PER_S : 0);
    metric_set(M_ORPHANED, atomic_load(&w->shared->orphaned));
    if (atomic_load(&w->refused_fetch) && metric_get(M_FETCH_COUNT) > w->fetched)
        atomic_store(&w->refused_fetch, false);
    metric_set(M_READY, worker_ready(w, &why));
}

/* Status. */

static void add(json_t *to, const char *name, json_t *value)
{
    int rc = value != NULL ? json_object_set_new(to, name, value) : -1;

    if (rc < 0)
        abort(); /* out of memory for some bytes */
}

/* Store and messages come from outside: what is no UTF-8 has no place in JSON. */
static json_t *text_of(const char *text)
{
    json_t *s = json_string(text);

    return s != NULL ? s : json_string("(not UTF-8)");
}

static json_t *failures(const struct serving *w)
{
    json_t *list = json_array();
    uint64_t now = clock_ns();

    for (unsigned i = 1; list != NULL && i <= FAILURES_MAX; i++) {
        const struct failure *f = &w->failures[(w->next_failure + FAILURES_MAX - i) % FAILURES_MAX];
        if (f->at == 0)
            break;
        double age = (double)(now - f->at) / (NS_PER_MS * (double)MS_PER_S);
        (void)json_array_append_new(
            list, json_pack("{s:f,s:o}", "age_s", age, "message", text_of(f->text)));
    }
    return list;
}

void worker_status(void *serving, void *json_object)
{
    struct serving *w = serving;
    hfc_autobuf struct hfc_buf why = HFC_BUF(1024);
    uint64_t takeover = atomic_load(&w->shared->takeover_last_ns);

    /* The gauge may be a second old; what is told here has to fit its reason. */
    add(json_object, "ready", json_boolean(worker_ready(w, &why)));
    add(json_object_get(json_object, "kernel"), "max_pages",
        json_integer(w->shared->connection.max_read / sysconf(_SC_PAGESIZE)));
    add(json_object, "store", text_of(w->settings->store));
    add(json_object, "cache_directory", text_of(w->settings->cache));
    add(json_object, "ready_why", json_string(why.data));
    add(json_object, "generation", json_integer((json_int_t)w->generation));
    add(json_object, "last_takeover_ms",
        takeover > 0 ? json_real((double)takeover / NS_PER_MS) : json_null());
    add(json_object, "parked", json_integer(session_parked(w->session)));
    add(json_object, "listen_port",
        w->listener != NULL ? json_integer(listener_port(w->listener)) : json_null());
    add(json_object, "failures", failures(w));
}
