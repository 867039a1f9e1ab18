/* aws_creds.c: who waits for keys, which are valid, when new ones are fetched; see aws_creds.h.
 *
 * One timer stands for "the next fetch": at once when somebody waits, otherwise when the keys are
 * to be renewed. A suspended machine makes it late, so each request looks at the clock as well.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws_creds_internal.h"
#include "secret.h"

enum {
    RENEW_AHEAD = 300,          /* seconds */
    OFFSET_IGNORED = 60,        /* seconds between two clocks */
    RENEW_RETRY_MS = 1000,      /* doubles with each failure ... */
    RENEW_RETRY_MAX_MS = 60000, /* ... up to here */
    WAITED_RETRY_MS = 50,       /* the same while somebody waits */
    WAITED_RETRY_MAX_MS = 5000,
};

static int64_t now(void)
{
    return (int64_t)time(NULL);
}

static int64_t doubled(int64_t first, int64_t most, unsigned times)
{
    while (times-- > 0 && first < most)
        first *= 2;
    return first < most ? first : most;
}

static bool usable(const struct hfc_aws_creds *c)
{
    return c->current != NULL && !c->refused &&
           (c->current->expires == 0 || now() < c->current->expires);
}

static bool is_due(const struct hfc_aws_creds *c)
{
    return c->renew_at != 0 && now() >= c->renew_at;
}

static void fetch(void *ctx)
{
    struct hfc_aws_creds *c = ctx;

    /* Fixed keys are always usable, so nobody waits for others. */
    assert(!c->fetching && (c->source == NULL || c->source->fetch != NULL));
    c->fetching = true;
    if (c->broken[0] != '\0')
        hfc_creds_failed(c, "%s", c->broken);
    else if (c->source == NULL)
        hfc_creds_failed(c, "none");
    else
        c->source->fetch(c);
}

/* Somebody waits. */
static void fetch_soon(struct hfc_aws_creds *c)
{
    int64_t wait = c->not_before - hfc_now_ms();

    if (!c->fetching)
        hfc_timer_start(c->loop, &c->timer, wait > 0 ? wait : 0, fetch, c);
}

static void renew_in(struct hfc_aws_creds *c, int64_t ms)
{
    c->renew_at = now() + (ms + 999) / 1000;
    hfc_timer_start(c->loop, &c->timer, ms, fetch, c);
}

/* Five minutes ahead; keys that live shorter, or that the service hands out again until they are
 * nearly over, are asked for at half of what is left to them. */
static void plan_renewal(struct hfc_aws_creds *c)
{
    int64_t left = c->current->expires - now();
    int64_t wait = left > RENEW_AHEAD ? left - RENEW_AHEAD : left / 2;

    c->renew_at = 0;
    if (c->current->expires != 0)
        renew_in(c, (wait > 1 ? wait : 1) * 1000);
}

static void destroy(struct hfc_aws_creds *c)
{
    hfc_secret_buf_free(&c->request.headers);
    hfc_secret_buf_free(&c->request.body);
    hfc_buf_free(&c->request.url);
    hfc_buf_free(&c->looked_at);
    hfc_secret_free(c->current);
    hfc_secret_free(c->next);
    free(c);
}

/* Those who wait now are told, not those who come meanwhile. Any of them may free it all. */
static void tell(struct hfc_aws_creds *c, const struct hfc_aws_keys *keys,
                 const struct hfc_error *err)
{
    struct hfc_aws_creds_wait *w;

    assert(c->told == NULL && !c->telling);
    c->told = c->waiting;
    c->waiting = NULL;
    c->telling = true;
    while ((w = c->told) != NULL) {
        hfc_aws_creds_fn *fn = w->fn;
        void *ctx = w->ctx;
        c->told = w->next;
        *w = (struct hfc_aws_creds_wait){0};
        fn(ctx, keys, err);
    }
    c->telling = false;
    if (c->dying)
        destroy(c);
}

static void end_fetch(struct hfc_aws_creds *c)
{
    assert(c->fetching && c->call == NULL);
    c->fetching = false;
    hfc_secret_buf_free(&c->request.headers);
    hfc_secret_buf_free(&c->request.body);
    hfc_buf_free(&c->request.url);
}

/* The end is a time of the service's clock. Where ours is off, it is kept as a time of ours: a Date
 * that is a little late changes nothing. */
static void correct_end(struct hfc_aws_creds *c)
{
    if (c->next->expires != 0 && llabs((long long)c->clock_offset) > OFFSET_IGNORED)
        c->next->expires -= c->clock_offset;
}

void hfc_creds_got(struct hfc_aws_creds *c)
{
    const char *wrong = hfc_creds_seal(c->next);

    correct_end(c);
    if (wrong == NULL && c->next->expires != 0 && c->next->expires <= now())
        wrong = "they have expired already";
    if (wrong != NULL) {
        hfc_creds_failed(c, "it gave unusable keys: %s", wrong);
        return;
    }
    end_fetch(c);
    hfc_secret_free(c->current);
    c->current = c->next;
    c->next = NULL;
    c->generation++;
    c->refused = false;
    c->failures = 0;
    c->not_before = 0;
    plan_renewal(c);
    tell(c, &c->current->keys, NULL);
}

void hfc_creds_failed(struct hfc_aws_creds *c, const char *fmt, ...)
{
    struct hfc_error err;
    char why[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    /* Without a source the list is all there is to say, less its last "; ". */
    if (c->name[0] == '\0')
        (void)hfc_error_set(&err, 0, "no AWS credentials: %.*s", (int)c->looked_at.len - 2,
                            c->looked_at.data);
    else
        (void)hfc_error_set(&err, 0, "no AWS credentials: %s%s: %s", c->looked_at.data, c->name,
                            why);
    err.errnum = EACCES;
    end_fetch(c);
    hfc_secret_free(c->next);
    c->next = NULL;
    if (usable(c))
        renew_in(c, doubled(RENEW_RETRY_MS, RENEW_RETRY_MAX_MS, c->failures));
    c->not_before = hfc_now_ms() + doubled(WAITED_RETRY_MS, WAITED_RETRY_MAX_MS, c->failures);
    c->failures++;
    tell(c, NULL, &err);
}

/* Printable, so that they can be headers; the secret is only hashed, but an end of line in it comes
 * from how it was written down. */
const char *hfc_creds_seal(struct hfc_creds_set *set)
{
    set->keys = (struct hfc_aws_keys){.access_key = set->access_key, .secret_key = set->secret_key};
    if (set->session_token[0] != '\0')
        set->keys.session_token = set->session_token;
    if (!hfc_creds_is_plain(set->access_key))
        return "the access key is empty, too long, or has a blank or control character in it";
    if (!hfc_creds_is_plain(set->secret_key))
        return "the secret key is empty, too long, or has a blank or control character in it";
    if (set->keys.session_token != NULL && !hfc_creds_is_plain(set->session_token))
        return "the session token is too long, or has a blank or control character in it";
    return NULL;
}

/* A client of its own: its few requests must not wait behind transfers, and metadata services are
 * asked without a proxy. */
static int open_client(struct hfc_aws_creds *c, struct hfc_error *err)
{
    if (c->source == NULL || c->source->fetch == NULL || c->broken[0] != '\0')
        return 0;
    const struct hfc_http_config config = {
        .connections = 1,
        .transfer_buffer = 16384,
        .connect_timeout = c->source->connect_timeout,
        .ca_bundle = hfc_aws_config_ca_bundle(c->config),
        .no_proxy = c->source->no_proxy,
    };
    c->http = hfc_http_new(c->loop, &config, err);
    return c->http != NULL ? 0 : -1;
}

struct hfc_aws_creds *hfc_aws_creds_new(struct hfc_loop *loop, const struct hfc_aws_config *config,
                                        struct hfc_error *err)
{
    struct hfc_aws_creds *c = calloc(1, sizeof(*c));
    struct hfc_creds_set *set = hfc_secret_new(sizeof(*set));

    if (c == NULL || set == NULL) {
        hfc_secret_free(set);
        free(c);
        (void)hfc_error_set(err, ENOMEM, "AWS credentials");
        return NULL;
    }
    c->loop = loop;
    c->config = config;
    c->next = set;
    hfc_buf_init(&c->looked_at, 4096);
    hfc_buf_init(&c->request.url, CREDS_URL_MAX + 1024);
    hfc_buf_init(&c->request.headers, 2L * CREDS_TOKEN_MAX);
    hfc_buf_init(&c->request.body, 4L * CREDS_TOKEN_MAX);
    hfc_creds_choose(c);
    if (open_client(c, err) == 0)
        return c;
    hfc_aws_creds_free(c);
    return NULL;
}

static void drop(struct hfc_aws_creds_wait *list)
{
    while (list != NULL) {
        struct hfc_aws_creds_wait *next = list->next;
        *list = (struct hfc_aws_creds_wait){0};
        list = next;
    }
}

void hfc_aws_creds_free(struct hfc_aws_creds *c)
{
    if (c == NULL)
        return;
    drop(c->waiting);
    drop(c->told);
    c->waiting = c->told = NULL;
    hfc_timer_stop(&c->timer);
    if (c->call != NULL)
        hfc_call_cancel(c->call);
    hfc_http_free(c->http);
    c->dying = true;
    if (!c->telling)
        destroy(c);
}

void hfc_aws_creds_get(struct hfc_aws_creds *c, struct hfc_aws_creds_wait *w, hfc_aws_creds_fn *fn,
                       void *ctx)
{
    const struct hfc_aws_keys *keys = hfc_aws_creds_now(c);
    struct hfc_aws_creds_wait **end = &c->waiting;

    assert(w->creds == NULL);
    if (keys != NULL) {
        fn(ctx, keys, NULL);
        return;
    }
    *w = (struct hfc_aws_creds_wait){.creds = c, .fn = fn, .ctx = ctx};
    while (*end != NULL)
        end = &(*end)->next;
    *end = w;
    fetch_soon(c);
}

static bool take_out(struct hfc_aws_creds_wait **list, struct hfc_aws_creds_wait *w)
{
    while (*list != NULL && *list != w)
        list = &(*list)->next;
    if (*list == NULL)
        return false;
    *list = w->next;
    return true;
}

void hfc_aws_creds_forget(struct hfc_aws_creds_wait *w)
{
    if (w->creds == NULL)
        return;
    bool found = take_out(&w->creds->waiting, w) || take_out(&w->creds->told, w);
    assert(found);
    (void)found;
    *w = (struct hfc_aws_creds_wait){0};
}

const struct hfc_aws_keys *hfc_aws_creds_now(struct hfc_aws_creds *c)
{
    if (!usable(c))
        return NULL;
    if (is_due(c))
        fetch_soon(c);
    return &c->current->keys;
}

unsigned hfc_aws_creds_generation(const struct hfc_aws_creds *c)
{
    return c->generation;
}

bool hfc_aws_creds_refused(struct hfc_aws_creds *c, unsigned generation, bool told)
{
    /* Those keys were replaced while the request was under way. */
    if (generation != c->generation)
        return true;
    if (c->current == NULL || c->source->fetch == NULL || (!told && c->current->expires == 0))
        return false;
    c->refused = true;
    return true;
}

const char *hfc_aws_creds_source(const struct hfc_aws_creds *c)
{
    return c->name[0] != '\0' ? c->name : "none";
}
