/* report.h: what a run tells: people, logs, a JSON file, Prometheus.
 *
 * The run reports events; this decides who hears of them. On a terminal a few lines at the bottom
 * show what is under way; elsewhere there is a plain line a file. Nothing here fails a run: a
 * report that can't be written is a warning, and exit code 1 at the end.
 *
 * Texts that came from outside (names, messages of servers) are printed with control characters
 * made visible, so that they cannot drive a terminal.
 */
#ifndef REFRESH_REPORT_H
#define REFRESH_REPORT_H

#include <stdarg.h>
#include <stdint.h>

#include "error.h"
#include "hub.h"
#include "store.h"

struct report;

struct report_options {
    bool quiet;   /* errors and the last line only */
    bool verbose; /* retries and waits too */
    bool dry_run;
    const char *const *files; /* --report, ended by NULL: NAME.prom is for Prometheus' textfile
                                 collector, others are JSON */
    const char *listen;       /* --listen ADDR:PORT: GET /metrics while it runs; NULL: no */
    const char *push;         /* --push URL of a Pushgateway (grouping key in the path); NULL: no */
};

/* -1 (NULL): the address is taken, a file's folder isn't there. */
struct report *report_new(struct hfc_loop *loop, const struct report_options *options,
                          struct hfc_error *err);
void report_free(struct report *r);

/* A line of its own: to stderr. Errors and warnings always, infos unless quiet, details if verbose.
 */
enum report_level { REPORT_ERROR, REPORT_WARNING, REPORT_INFO, REPORT_DETAIL };
void report_line(struct report *r, enum report_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Work that was found to do: files, and bytes to bring from the Hub. */
void report_planned(struct report *r, uint64_t files, uint64_t bytes);

/* A file is under way; `name` is "org/name path". The handle lives until report_file(). */
struct report_progress;
struct report_progress *report_begin(struct report *r, const char *name, uint64_t size);
/* So many of its bytes have come from the Hub by now (may fall back when it starts again). */
void report_moved(struct report_progress *p, uint64_t bytes);

enum file_outcome { FILE_PRESENT, FILE_COPIED, FILE_STORED, FILE_FAILED, FILE_OUTCOMES };

/* A file's end in one bucket. */
struct file_report {
    const char *model, *path, *target;
    uint64_t size;
    enum file_outcome outcome;
    const struct hfc_error *error; /* FILE_FAILED only */
};
void report_file(struct report *r, const struct file_report *f);
void report_end(struct report_progress *p); /* the file is done in all buckets */

enum model_outcome { MODEL_UNCHANGED, MODEL_PUBLISHED, MODEL_PLANNED /* dry run */, MODEL_FAILED };

/* A model's end in one bucket. commit "" if it was never resolved; target NULL: failed for all. */
struct model_report {
    const char *model, *revision, *commit, *target;
    enum model_outcome outcome;
    uint64_t files[FILE_OUTCOMES], bytes[FILE_OUTCOMES];
    int64_t milliseconds;
    const struct hfc_error *error;
};
void report_model(struct report *r, const struct model_report *m);

/* The end of a bucket, or its state so far. */
struct target_report {
    const char *url;
    const struct hfc_store_stats *stats;
    const struct hfc_error *error; /* NULL: well */
    uint64_t objects, bytes;       /* in it, by its index */
    uint64_t pruned;               /* objects deleted */
};
void report_target(struct report *r, const struct target_report *t);
void report_hub(struct report *r, const struct hub_stats *stats);

/* The last word: writes the files, pushes, prints the summary. `interrupted`: by a signal; says how
 * to go on. Returns the exit code: 0, or 1 if it was, or any model, file, bucket or report failed.
 * The JSON keys and the metrics are described in docs/report-format.md. Runs the loop for the last
 * push, also after a stop. */
int report_finish(struct report *r, bool interrupted);

#endif
