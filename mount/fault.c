/* fault.c: named points at which tests let the worker die or the disk fail; see fault.h.
 *
 * Owns the rules of HFCACHE_FAULT. They are read once, before there are threads, and only looked at
 * from then on; the counts are atomic, in memory that outlives the worker.
 */
#include "fault.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "logging.h"
#include "shared.h"

enum { RULES_MAX = 16, TEXT_MAX = 1024 };

/* Beside these, an action is an errno. */
enum { ACTION_KILL = -1, ACTION_SEGV = -2 };

static const char *const points[FAULT_POINTS] = {
    [FAULT_TAKEN] = "request-taken",   [FAULT_PARKED] = "request-parked",
    [FAULT_REPLY] = "before-reply",    [FAULT_REPLIED] = "after-reply",
    [FAULT_FILL] = "mid-fill",         [FAULT_BLOCK] = "mid-write",
    [FAULT_EVICT] = "mid-evict",       [FAULT_TAKEOVER] = "take-over",
    [FAULT_DISK_WRITE] = "disk-write", [FAULT_DISK_READ] = "disk-read",
    [FAULT_LOOKUP_POISON] = "poison",
};

static const struct action {
    const char *name;
    int action;
} actions[] = {
    {"kill", ACTION_KILL}, {"segv", ACTION_SEGV}, {"EIO", EIO},
    {"ENOSPC", ENOSPC},    {"EROFS", EROFS},
};

static struct rule {
    enum fault_point point;
    int action;
    uint64_t first, last; /* passings, from 1 */
} rules[RULES_MAX];

static unsigned n_rules;
static char poison[256];
static _Atomic uint64_t own_counts[FAULT_POINTS];
static _Atomic uint64_t *counts = own_counts;

_Static_assert(FAULT_POINTS <= sizeof(((struct shared *)NULL)->fault_counts) / sizeof(uint64_t),
               "a count for each point");

/* The index of a name; n: there is none such. */
static unsigned point_of(const char *name)
{
    unsigned i = 0;

    while (i < FAULT_POINTS && strcmp(points[i], name) != 0)
        i++;
    return i;
}

static const struct action *action_of(const char *name)
{
    for (size_t i = 0; i < HFC_ARRAY_LEN(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

/* "N", "N+" or "*". */
static bool passings(const char *text, struct rule *r)
{
    char *end = NULL;

    if (strcmp(text, "*") == 0) {
        r->first = 1;
        r->last = UINT64_MAX;
        return true;
    }
    errno = 0;
    r->first = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (r->first == 0 || errno != 0)
        return false;
    r->last = strcmp(end, "+") == 0 ? UINT64_MAX : r->first;
    return *end == '\0' || r->last == UINT64_MAX;
}

/* `text` is taken apart. */
static bool parse(char *text, struct rule *r)
{
    char *rest = NULL;
    const char *point = strtok_r(text, ":", &rest);
    const char *action = strtok_r(NULL, ":", &rest);
    const char *n = strtok_r(NULL, "", &rest);

    if (point == NULL || action == NULL || n == NULL)
        return false;
    r->point = point_of(point);
    const struct action *a = action_of(action);
    if (r->point == FAULT_POINTS || a == NULL)
        return false;
    r->action = a->action;
    return passings(n, r);
}

static void add(char *text)
{
    char shown[64] = "";

    (void)strncpy(shown, text, sizeof(shown) - 1);
    if (n_rules == RULES_MAX || !parse(text, &rules[n_rules]))
        log_line(LOG_START, LEVEL_ERROR, "HFCACHE_FAULT: \"%s\" is left out: it is no rule", shown);
    else
        n_rules++;
}

void fault_setup(struct shared *shared)
{
    const char *variable = getenv("HFCACHE_FAULT"), *name = getenv("HFCACHE_FAULT_NAME");
    char text[TEXT_MAX] = "", *rest = NULL;

    n_rules = 0;
    counts = shared != NULL ? shared->fault_counts : own_counts;
    poison[0] = '\0';
    if (name != NULL)
        (void)strncpy(poison, name, sizeof(poison) - 1);
    if (variable != NULL)
        (void)strncpy(text, variable, sizeof(text) - 1);
    for (char *one = strtok_r(text, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest))
        add(one);
}

/* Death is on the way. */
static void die(int signal_number)
{
    if (signal_number == SIGKILL)
        (void)kill(getpid(), signal_number);
    else
        (void)raise(signal_number); /* of this very thread */
    for (;;)
        (void)pause();
}

static int act(int action)
{
    if (action < 0)
        die(action == ACTION_KILL ? SIGKILL : SIGSEGV);
    return action;
}

int fault_at(enum fault_point point)
{
    if (n_rules == 0)
        return 0;
    assert(point < FAULT_POINTS);
    uint64_t n = atomic_fetch_add(&counts[point], 1) + 1;
    for (unsigned i = 0; i < n_rules; i++)
        if (rules[i].point == point && n >= rules[i].first && n <= rules[i].last)
            return act(rules[i].action);
    return 0;
}

bool fault_named(const char *name)
{
    return poison[0] != '\0' && strcmp(poison, name) == 0;
}
