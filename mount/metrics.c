/* metrics.c: the table of counts and gauges, and its text; see metrics.h. Owns the values: an array
 * of atomics, one for each row of metrics_table.h, written and read from any thread without a lock.
 */
#include "metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define PREFIX "hfcache_"

enum { NS_PER_S = 1000000000 };

enum kind { COUNTER, GAUGE, SECONDS };

static const struct row {
    const char *name, *labels;
    enum kind kind;
    const char *help;
} rows[METRICS_COUNT] = {
#define METRIC(id, name, labels, kind, help) [id] = {name, labels, kind, help},
#include "metrics_table.h"
#undef METRIC
};

static _Atomic uint64_t values[METRICS_COUNT];

void metric_add(enum metric m, uint64_t n)
{
    assert(m < METRICS_COUNT && rows[m].kind != GAUGE);
    (void)atomic_fetch_add_explicit(&values[m], n, memory_order_relaxed);
}

/* Counters are set where they are kept by others, in shared memory or by the store's client. */
void metric_set(enum metric m, uint64_t value)
{
    assert(m < METRICS_COUNT);
    atomic_store_explicit(&values[m], value, memory_order_relaxed);
}

uint64_t metric_get(enum metric m)
{
    assert(m < METRICS_COUNT);
    return atomic_load_explicit(&values[m], memory_order_relaxed);
}

void metric_time(enum metric m, uint64_t ns)
{
    assert(rows[m].kind == SECONDS && m + 1 < METRICS_COUNT);
    metric_add(m, ns);
    metric_add(m + 1, 1);
}

static bool begins_a_name(unsigned m)
{
    return m == 0 || strcmp(rows[m].name, rows[m - 1].name) != 0;
}

static void print_row(struct hfc_buf *to, unsigned m)
{
    const struct row *r = &rows[m];
    bool labelled = r->labels[0] != '\0';
    uint64_t v = metric_get(m);

    if (begins_a_name(m))
        hfc_buf_printf(to, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", r->name, r->help,
                       r->name, r->kind == GAUGE ? "gauge" : "counter");
    hfc_buf_printf(to, PREFIX "%s%s%s%s ", r->name, labelled ? "{" : "", r->labels,
                   labelled ? "}" : "");
    if (r->kind == SECONDS)
        hfc_buf_printf(to, "%" PRIu64 ".%09" PRIu64 "\n", v / NS_PER_S, v % NS_PER_S);
    else
        hfc_buf_printf(to, "%" PRIu64 "\n", v);
}

void metrics_print(struct hfc_buf *to)
{
    hfc_buf_str(to, "# HELP " PREFIX "mount_info The program's version.\n# TYPE " PREFIX
                    "mount_info gauge\n" PREFIX "mount_info{version=\"" HFC_VERSION "\"} 1\n");
    for (unsigned m = 0; m < METRICS_COUNT; m++)
        print_row(to, m);
}

uint64_t clock_ns(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(rc == 0);
    (void)rc;
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
