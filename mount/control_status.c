/* control_status.c: the status object; see control.h. Reads what others count; owns nothing. */
#include <assert.h>
#include <math.h>
#include <unistd.h>

#include "control_internal.h"
#include "metrics.h"
#include "need.h"

enum { NS_PER_S = 1000 * 1000 * 1000 };

static void add(json_t *to, const char *name, json_t *value)
{
    int rc = json_object_set_new(to, name, need(value));

    assert(rc == 0);
    (void)rc;
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *count(enum metric m)
{
    return number(metric_get(m));
}

/* Rounded to milliseconds: nobody wants to read more. */
static json_t *seconds(double s)
{
    return json_real(round(s * 1000) / 1000);
}

static void add_memory(json_t *to)
{
    add(to, "memory",
        json_pack("{s:{s:o,s:o,s:o,s:o,s:o,s:o},s:{s:o,s:o,s:o,s:o}}", "budget", "total",
                  count(M_MEMORY_LIMIT), "fixed", count(M_MEMORY_FIXED), "connections",
                  count(M_MEMORY_CONNECTIONS), "arena", count(M_MEMORY_ARENA), "tree",
                  count(M_MEMORY_TREE), "cache", count(M_MEMORY_CACHE), "used", "resident",
                  count(M_MEMORY_RESIDENT), "sockets", count(M_MEMORY_SOCKETS), "arena",
                  count(M_MEMORY_ARENA_USED), "tree", count(M_MEMORY_TREE_USED)));
}

static void add_cache(const struct control *c, json_t *to)
{
    struct cache_stats s;

    cache_stats(c->config.cache, &s);
    add(to, "cache",
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:b,s:b,s:b}", "used", number(s.used), "limit",
                  number(s.limit), "blobs", number(s.blobs), "evictions", number(s.evictions),
                  "disk_errors", count(M_DISK_ERRORS), "degraded", (int)s.degraded, "punches_holes",
                  (int)s.punches_holes, "direct", (int)s.direct));
}

static void add_tree(const struct control *c, json_t *to)
{
    struct nametree *t = catalog_tree(c->config.catalog);
    int64_t age = catalog_age_ms(c->config.catalog);

    add(to, "tree",
        json_pack("{s:o,s:o,s:o,s:o,s:o}", "names", number(t != NULL ? nametree_names(t) : 0),
                  "bytes", number(t != NULL ? nametree_bytes(t) : 0), "left_out",
                  number(t != NULL ? nametree_left_out(t) : 0), "age_s",
                  age < 0 ? json_null() : seconds((double)age / 1000), "failures",
                  count(M_TREE_FAILURES)));
    nametree_unref(t);
}

static void add_reads(const struct engine_stats *s, json_t *to)
{
    add(to, "reads",
        json_pack("{s:o,s:o,s:o,s:{s:o,s:o,s:o,s:o},s:{s:o,s:o,s:o}}", "waiting",
                  number(s->waiting), "oldest_s", seconds((double)s->oldest_ms / 1000), "answered",
                  count(M_READ_COUNT), "bytes", "memory", count(M_READ_BYTES_MEMORY), "disk",
                  count(M_READ_BYTES_DISK), "store", count(M_READ_BYTES_STORE), "index",
                  count(M_READ_BYTES_INDEX), "errors", "EIO", count(M_READ_ERROR_EIO), "EACCES",
                  count(M_READ_ERROR_EACCES), "ESTALE", count(M_READ_ERROR_ESTALE)));
}

static void add_fetches(const struct engine_stats *s, json_t *to)
{
    add(to, "fetches",
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:{s:o,s:o,s:o,s:o,s:o,s:o}}", "active",
                  number(s->fetching), "queued", number(s->queued), "asked", count(M_FETCHES),
                  "bytes", count(M_FETCH_BYTES), "retries", count(M_FETCH_RETRIES), "connections",
                  count(M_CONNECTIONS), "errors", "unreachable", count(M_FETCH_ERROR_UNREACHABLE),
                  "server", count(M_FETCH_ERROR_SERVER), "refused", count(M_FETCH_ERROR_REFUSED),
                  "changed", count(M_FETCH_ERROR_CHANGED), "corrupt", count(M_FETCH_ERROR_CORRUPT),
                  "other", count(M_FETCH_ERROR_OTHER)));
}

/* The last gap is in shared memory, which is the worker's. */
static void add_takeovers(json_t *to)
{
    add(to, "takeovers",
        json_pack("{s:o,s:o,s:o,s:o}", "count", count(M_TAKEOVERS), "redone", count(M_REDONE),
                  "poisoned", count(M_POISONED), "orphaned", count(M_ORPHANED)));
    add(to, "kernel",
        json_pack("{s:b,s:b}", "passthrough", (int)(metric_get(M_KERNEL_PASSTHROUGH) != 0),
                  "readdirplus", (int)(metric_get(M_KERNEL_READDIRPLUS) != 0)));
}

static void add_scrub(const struct control *c, json_t *to)
{
    add(to, "scrub",
        json_pack("{s:b,s:o,s:o,s:o,s:o}", "running", (int)c->scrub.running, "objects",
                  number(c->scrub.objects), "objects_done", number(c->scrub.done), "wrong",
                  number(c->scrub.wrong), "runs", count(M_SCRUB_RUNS)));
}

json_t *control_status(struct control *c)
{
    json_t *to = need(json_object());
    struct engine_stats s = {0};

    engine_stats(c->config.engine, &s);
    add(to, "worker_pid", json_integer(getpid()));
    add(to, "version", json_string(HFC_VERSION));
    add(to, "uptime_s", seconds((double)(clock_ns() - c->began) / NS_PER_S));
    add(to, "ready", json_boolean(metric_get(M_READY) != 0));
    add_memory(to);
    add_cache(c, to);
    add_tree(c, to);
    add_reads(&s, to);
    add_fetches(&s, to);
    add(to, "verify",
        json_pack("{s:o,s:o,s:o}", "files", count(M_VERIFIED_FILES), "wrong_blocks",
                  count(M_VERIFY_BLOCK_FAILURES), "wrong_files", count(M_VERIFY_FILE_FAILURES)));
    add_takeovers(to);
    add_scrub(c, to);
    if (c->config.status != NULL)
        c->config.status(c->config.ctx, to);
    return to;
}
