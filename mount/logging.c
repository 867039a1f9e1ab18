/* logging.c: log lines; see logging.h. Owns the format, the name in front, and the times of each
 * kind's last lines, guarded by one lock, which is held while a line is put together and written.
 * That is done in one static buffer and with one write(2): nothing is allocated, stacks stay small,
 * and lines of keeper and worker on one stderr don't mix.
 */
#include "logging.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "glyph.h"
#include "metrics.h"

enum {
    MESSAGE_MAX = 2048, /* the rest is cut off */
    MESSAGE_SIZE = MESSAGE_MAX + 100,
    ESCAPED_MAX = 5, /* bytes of JSON for one of a message: "\\x1b" */
    LINE_SIZE = ESCAPED_MAX * MESSAGE_SIZE + 512,
    WHO_MAX = 32,
};

static const uint64_t PERIOD_NS = (uint64_t)LOG_PERIOD_S * 1000000000;

/* The last LOG_BURST lines of a kind. */
struct history {
    uint64_t at[LOG_BURST]; /* clock_ns(); 0: not used yet */
    unsigned oldest;
    uint64_t left_out; /* since the last line that was written */
};

struct line {
    size_t n;
    char text[LINE_SIZE];
};

static struct {
    pthread_mutex_t lock;
    enum log_format format;
    char who[WHO_MAX];
    struct history kinds[LOG_KINDS];
    struct line line;
} log_state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const kind_names[LOG_KINDS] = {
    [LOG_START] = "start",    [LOG_FETCH] = "fetch", [LOG_CACHE] = "cache",
    [LOG_VERIFY] = "verify",  [LOG_TREE] = "tree",   [LOG_REQUEST] = "request",
    [LOG_CONTROL] = "control"};
static const char *const level_names[] = {
    [LEVEL_INFO] = "info", [LEVEL_WARNING] = "warning", [LEVEL_ERROR] = "error"};

static void put(struct line *l, const char *bytes, size_t n)
{
    assert(l->n + n <= sizeof(l->text));
    memcpy(l->text + l->n, bytes, n);
    l->n += n;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* Made visible; in JSON with quotes and backslashes escaped as well. */
static void put_message(struct line *l, const char *text, bool json)
{
    for (size_t left = strlen(text); left > 0;) {
        struct hfc_glyph g = hfc_glyph_next(text, left);
        for (unsigned i = 0; i < g.len; i++) {
            if (json && (g.text[i] == '"' || g.text[i] == '\\'))
                put_text(l, "\\");
            put(l, g.text + i, 1);
        }
        text += g.taken;
        left -= g.taken;
    }
}

static void put_time(struct line *l)
{
    struct timespec now = {0};
    struct tm tm = {0};
    char text[64];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof(text) - n, ".%03ldZ", now.tv_nsec / 1000000);
    put_text(l, text);
}

static void make_json(struct line *l, enum log_kind kind, enum log_level level, const char *message)
{
    put_text(l, "{\"time\": \"");
    put_time(l);
    put_text(l, "\", \"level\": \"");
    put_text(l, level_names[level]);
    put_text(l, "\", \"who\": \"");
    put_text(l, log_state.who);
    put_text(l, "\", \"kind\": \"");
    put_text(l, kind_names[kind]);
    put_text(l, "\", \"message\": \"");
    put_message(l, message, true);
    put_text(l, "\"}");
}

static void make_text(struct line *l, enum log_level level, const char *message)
{
    put_text(l, "hfcache-mount");
    if (log_state.who[0] != '\0') {
        put_text(l, " ");
        put_text(l, log_state.who);
    }
    put_text(l, ": ");
    if (level != LEVEL_INFO) {
        put_text(l, level_names[level]);
        put_text(l, ": ");
    }
    put_message(l, message, false);
}

/* A stderr that takes nothing (closed, full and non-blocking) loses the line; nobody else does. */
static void write_line(struct line *l)
{
    put_text(l, "\n");
    for (size_t at = 0; at < l->n;) {
        ssize_t n = write(STDERR_FILENO, l->text + at, l->n - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

/* Whether a line may be written now: the LOG_BURST-th last one was long ago. */
static bool may_write(struct history *h, uint64_t now)
{
    uint64_t *oldest = &h->at[h->oldest];

    if (*oldest != 0 && now - *oldest < PERIOD_NS) {
        h->left_out++;
        metric_add(M_LOG_SUPPRESSED, 1);
        return false;
    }
    *oldest = now;
    h->oldest = (h->oldest + 1) % LOG_BURST;
    return true;
}

void log_setup(enum log_format format, const char *who)
{
    assert(strlen(who) < WHO_MAX);
    tzset(); /* reads its files now: later they may be out of reach */
    (void)pthread_mutex_lock(&log_state.lock);
    log_state.format = format;
    (void)snprintf(log_state.who, sizeof(log_state.who), "%s", who);
    (void)pthread_mutex_unlock(&log_state.lock);
}

/* With the lock held. */
static void log_message(enum log_kind kind, enum log_level level, char *message)
{
    struct history *h = &log_state.kinds[kind];
    struct line *l = &log_state.line;
    size_t n = strlen(message);

    if (h->left_out > 0)
        (void)snprintf(message + n, MESSAGE_SIZE - n,
                       " (%llu more lines of this kind were left out before)",
                       (unsigned long long)h->left_out);
    h->left_out = 0;
    l->n = 0;
    if (log_state.format == FORMAT_JSON)
        make_json(l, kind, level, message);
    else
        make_text(l, level, message);
    write_line(l);
}

void log_line(enum log_kind kind, enum log_level level, const char *fmt, ...)
{
    char message[MESSAGE_SIZE];
    int saved = errno;
    va_list args;

    assert(kind < LOG_KINDS && level <= LEVEL_ERROR);
    va_start(args, fmt);
    (void)vsnprintf(message, MESSAGE_MAX, fmt, args);
    va_end(args);
    (void)pthread_mutex_lock(&log_state.lock);
    if (kind == LOG_START || may_write(&log_state.kinds[kind], clock_ns()))
        log_message(kind, level, message);
    (void)pthread_mutex_unlock(&log_state.lock);
    errno = saved;
}
