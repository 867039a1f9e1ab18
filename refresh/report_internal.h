/* report_internal.h: what a report knows. For report*.c and their tests only; the functions that
 * they share are in report_parts.h.
 */
#ifndef REFRESH_REPORT_INTERNAL_H
#define REFRESH_REPORT_INTERNAL_H

#include <stdio.h>
#include <time.h>

#include <uthash.h>

#include "budget.h"
#include "report.h"

enum {
    REPORT_ROWS_MAX = 10000,    /* ends of models that are kept one by one */
    REPORT_FAILURES_MAX = 1000, /* the same of failed files */
    REPORT_TEXT_MAX = 16 * 1024 * 1024,
    REPORT_ALL_TARGETS = TARGETS_MAX, /* a model that failed before any bucket was looked at */
};

struct report_rate {
    double per_second;
    uint64_t value; /* when it was looked at last */
    int64_t at, began;
};

struct report_progress {
    struct report *report;
    struct report_progress *next, **link;
    char *name;
    uint64_t size, moved;
    struct report_rate rate;
};

/* A model's end in one bucket. */
struct report_row {
    struct report_row *next;
    unsigned target; /* its index, or REPORT_ALL_TARGETS */
    enum model_outcome outcome;
    uint64_t files[FILE_OUTCOMES], bytes[FILE_OUTCOMES];
    int64_t milliseconds;
    time_t ended;
    char *error;
};

struct report_entry {
    char *key; /* how Prometheus knows it: "org/name", with "@revision" unless that is "main" */
    char *model, *revision, *commit;
    struct report_row *first, **last;
    enum model_outcome outcome; /* the gravest of all buckets */
    UT_hash_handle hh;
};

struct report_failure {
    struct report_failure *next;
    char *model, *path, *error;
    unsigned target;
};

struct report_bucket {
    char *url, *error;
    struct hfc_store_stats stats;
    uint64_t objects, bytes, pruned;
    uint64_t file_count[FILE_OUTCOMES], byte_count[FILE_OUTCOMES];
};

struct report_server;
struct report_pusher;

struct report {
    struct hfc_loop *loop;
    struct report_options options;
    time_t started, finished;
    int64_t began, took_ms; /* took_ms: once it is over */
    bool running, interrupted, failed, report_failed;

    uint64_t planned_files, planned_bytes, ended_files, ended_bytes, moved;
    struct report_progress *first, **last;
    struct report_rate rate;

    struct report_entry *entries; /* by key */
    unsigned rows;
    uint64_t rows_omitted, models[MODEL_FAILED + 1];
    struct report_failure *failures, **failures_end;
    uint64_t failed_files;
    struct report_bucket buckets[TARGETS_MAX];
    unsigned n_buckets;
    struct hub_stats hub;

    bool terminal;
    struct hfc_timer tick; /* redraws the block, or the next plain line of totals */
    struct hfc_buf block;
    unsigned block_lines; /* on the screen */
    struct report_server *server;
    struct report_pusher *pusher;
};

#endif
