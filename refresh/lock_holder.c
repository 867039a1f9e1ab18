/* lock_holder.c: who holds a lock, as JSON, and whether that process is still there; see
 * lock_internal.h.
 *
 * A process is known by the machine's boot, its PID namespace, its number and its start time, as
 * numbers are used again. A process in another namespace can't be seen from here.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "file.h"
#include "hash.h"
#include "lock_internal.h"
#include "need.h"

enum { STAT_MAX = 4096, TOKEN_BYTES = 16, START_FIELD = 22 };

#define YEAR_9999 253402300799

/* "BOOT/NAMESPACE/": what this process shares with those that it can see. Empty if it is unknown.
 */
static void add_place(struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf boot = HFC_BUF(STAT_MAX);
    struct stat ns;

    if (hfc_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot, NULL) < 0 ||
        stat("/proc/self/ns/pid", &ns) < 0)
        return;
    hfc_buf_printf(out, "%.*s/%llu/", (int)strcspn(boot.data, "\n"), boot.data,
                   (unsigned long long)ns.st_ino);
}

/* Clock ticks between boot and the process's start; 0: unknown. The name in parentheses, which may
 * hold anything, is passed over from its end. */
static unsigned long long start_of(long pid)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(STAT_MAX);
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    if (hfc_file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    const char *at = strrchr(text.data, ')');
    for (int field = 2; at != NULL && field < START_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

/* All or nothing: half of it would never be recognised as gone, or wrongly so. */
static void write_process(char *to)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(LOCK_PROCESS_SIZE - 1);
    long pid = (long)getpid();

    add_place(&text);
    if (text.len > 0)
        hfc_buf_printf(&text, "%ld/%llu", pid, start_of(pid));
    (void)snprintf(to, LOCK_PROCESS_SIZE, "%s", hfc_buf_failed(&text) ? "" : text.data);
}

void lock_holder_self(struct lock_holder *h)
{
    uint8_t random[TOKEN_BYTES];
    char host[65] = "unknown";

    *h = (struct lock_holder){0};
    (void)gethostname(host, sizeof(host) - 1);
    for (char *c = host; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            *c = '?';
    (void)snprintf(h->owner, sizeof(h->owner), "%s pid %ld", host, (long)getpid());
    write_process(h->process);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort(); /* can't be for so few bytes */
    hfc_hex(random, sizeof(random), h->token);
}

bool lock_process_gone(const char *process)
{
    hfc_autobuf struct hfc_buf place = HFC_BUF(LOCK_PROCESS_SIZE);
    char *end;

    add_place(&place);
    if (place.len == 0 || strncmp(process, place.data, place.len) != 0)
        return false;
    long pid = strtol(process + place.len, &end, 10);
    unsigned long long start = *end == '/' ? strtoull(end + 1, NULL, 10) : 0;
    if (pid <= 0 || start == 0)
        return false;
    if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        return true;
    unsigned long long now = start_of(pid);
    return now != 0 && now != start;
}

void lock_holder_write(const struct lock_holder *h, struct hfc_buf *out)
{
    json_t *o = need(json_pack("{s:i, s:s, s:s, s:s, s:I, s:I}", "version", 1, "owner", h->owner,
                               "process", h->process, "token", h->token, "since",
                               (json_int_t)h->since, "expires", (json_int_t)h->expires));
    char *text = need(json_dumps(o, JSON_PRESERVE_ORDER));

    json_decref(o);
    hfc_buf_str(out, text);
    hfc_buf_char(out, '\n');
    free(text);
    assert(!hfc_buf_failed(out));
}

/* Keys that are not known are passed over: a later version is a lock, too. */
bool lock_holder_read(const char *text, size_t n, struct lock_holder *h)
{
    json_t *o = json_loadb(text, n, 0, NULL);
    const char *owner, *token, *process = "";
    json_int_t since = 0, expires;

    bool good = json_unpack(o, "{s:s, s?s, s:s, s?I, s:I}", "owner", &owner, "process", &process,
                            "token", &token, "since", &since, "expires", &expires) == 0;
    good = good && since >= 0 && since <= YEAR_9999 && expires >= 0 && expires <= YEAR_9999;
    if (good) {
        *h = (struct lock_holder){.since = since, .expires = expires};
        (void)snprintf(h->owner, sizeof(h->owner), "%s", owner);
        (void)snprintf(h->process, sizeof(h->process), "%s", process);
        (void)snprintf(h->token, sizeof(h->token), "%s", token);
    }
    json_decref(o);
    return good;
}
