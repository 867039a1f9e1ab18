/* metrics.h: everything that is counted, in one table of one process.
 *
 * metrics_table.h lists each metric with its name, labels, kind and help; enum metric follows it. A
 * gauge is set, a counter added to; both are 64 bits and atomic (relaxed): any thread, no lock.
 */
#ifndef MOUNT_METRICS_H
#define MOUNT_METRICS_H

#include <stdint.h>

#include "buf.h"

enum metric {
#define METRIC(id, name, labels, kind, help) id,
#include "metrics_table.h"
#undef METRIC
    METRICS_COUNT
};

void metric_add(enum metric m, uint64_t n);
void metric_set(enum metric m, uint64_t value);
uint64_t metric_get(enum metric m);

/* Adds a duration to a pair of metrics: `m` is the sum in ns, m + 1 the count. */
void metric_time(enum metric m, uint64_t ns);

/* Prometheus text format, with hfcache_mount_info{version=...}. Sums in ns are shown in seconds. */
void metrics_print(struct hfc_buf *to);

uint64_t clock_ns(void); /* CLOCK_MONOTONIC */

#endif
