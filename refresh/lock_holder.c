/* lock_holder.c: who holds a lock, as JSON, and whether that process is still there; see
 * lock_internal.h.
 * Processes are told apart as in process.h.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <jansson.h>

#include "hash.h"
#include "lock_internal.h"
#include "need.h"
#include "process.h"

enum { TOKEN_BYTES = 16 };

_Static_assert((int)LOCK_PROCESS_SIZE == (int)HFC_PROCESS_SIZE, "a process as lib/ names it");

#define YEAR_9999 253402300799

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
    hfc_process_self(h->process);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        abort(); /* can't be for so few bytes */
    hfc_hex(random, sizeof(random), h->token);
}

bool lock_process_gone(const char *process)
{
    return hfc_process_gone(process);
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
