/* logging.h: lines on stderr, as text or JSON, each kind at a bounded rate.
 *
 * A line names the object, the cause and what happens next. Of each kind at most LOG_BURST lines in
 * LOG_PERIOD_S seconds are written; the next one after that says how many were left out. No secret
 * and no signed URL may be given to it. Control characters are made visible.
 *
 * Threads: any; one lock inside, held while a line is written.
 */
#ifndef MOUNT_LOGGING_H
#define MOUNT_LOGGING_H

#include <stdbool.h>

enum log_level { LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR };
enum log_format { FORMAT_TEXT, FORMAT_JSON };
enum { LOG_BURST = 20, LOG_PERIOD_S = 60 };

/* Kinds are limited apart from each other. */
enum log_kind {
    LOG_START,   /* start, stop, hand-over: never limited */
    LOG_FETCH,   /* the store */
    LOG_CACHE,   /* the disk */
    LOG_VERIFY,  /* wrong bytes */
    LOG_TREE,    /* index and listing */
    LOG_REQUEST, /* a reader's request that failed */
    LOG_CONTROL, /* commands, listener */
    LOG_KINDS,
};

/* `who` stands in front: "keeper", "worker" ... */
void log_setup(enum log_format format, const char *who);

void log_line(enum log_kind kind, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
