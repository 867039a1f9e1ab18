/* hub.c: the Hub's client itself, and how operations begin and end.
 *
 * An operation is on the client's list from its start until its done() was called. A cancelled one
 * is stopped at once and stays until the loop has delivered ECANCELED.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "cleanup.h"
#include "hub_internal.h"
#include "need.h"
#include "uri.h"

#define ENDPOINT_DEFAULT "https://huggingface.co"

enum { RATE_LIMIT_MS = 15 * 60 * 1000 };

void hub_say(struct hub *hub, const char *fmt, ...)
{
    char line[HFC_ERROR_MAX];
    va_list ap;

    if (hub->log == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    hub->log(hub->log_ctx, line);
}

/* Without a query, and without '/' at its end: paths are put behind it. */
static int set_endpoint(struct hub *hub, const char *endpoint, struct hfc_error *err)
{
    struct hfc_url url = {.scheme = NULL};

    if (endpoint == NULL)
        endpoint = getenv("HF_ENDPOINT");
    if (endpoint == NULL || endpoint[0] == '\0')
        endpoint = ENDPOINT_DEFAULT;
    if (hfc_url_parse(endpoint, &url, err) < 0)
        return hfc_error_prefix(err, "endpoint of the Hub");
    bool good = strcmp(url.scheme, "file") != 0 && url.query == NULL;
    hfc_url_free(&url);
    if (!good || strchr(endpoint, '#') != NULL)
        return hub_fail(err, EINVAL,
                        "endpoint of the Hub: expected http(s)://HOST without a query");
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/')
        n--;
    hub->endpoint = need_copy(endpoint, n);
    return 0;
}

static int set_up(struct hub *hub, const struct hub_config *config, struct hfc_error *err)
{
    struct hfc_http_config http = config->http;
    char agent[128];

    if (set_endpoint(hub, config->endpoint, err) < 0 ||
        (config->token != NULL && hub_token_copy(config->token, "token", &hub->token, err) < 0))
        return -1;
    (void)snprintf(agent, sizeof(agent), "hfcache-refresh/%s; libcurl/%s", HFC_VERSION,
                   curl_version_info(CURLVERSION_NOW)->version);
    http.user_agent = agent;
    hub->http = hfc_http_new(hub->loop, &http, err);
    return hub->http != NULL ? 0 : -1;
}

static void stop(void *ctx)
{
    struct hub *hub = ctx;

    for (struct hub_op *op = hub->ops; op != NULL; op = op->next)
        hub_cancel(op);
}

struct hub *hub_new(struct hfc_loop *loop, const struct hub_config *config, struct hfc_error *err)
{
    struct hub *hub = need(calloc(1, sizeof(*hub)));

    *hub = (struct hub){
        .loop = loop,
        .retry = config->retry,
        .budget = {HFC_RETRY_BUDGET, HFC_RETRY_BUDGET},
        .rate_limit_ms = config->rate_limit_ms > 0 ? config->rate_limit_ms : RATE_LIMIT_MS,
        .log = config->log,
        .log_ctx = config->log_ctx,
    };
    for (int i = 0; i < HUB_BUCKETS; i++)
        hub->quotas[i].remaining = -1;
    hfc_stop_hook_add(loop, &hub->hook, stop, hub);
    if (set_up(hub, config, err) == 0)
        return hub;
    hub_free(hub);
    return NULL;
}

static void unlink_op(struct hub_op *op)
{
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
}

static void destroy(struct hub_op *op)
{
    hfc_timer_stop(&op->timer);
    unlink_op(op);
    op->class->destroy(op);
}

void hub_free(struct hub *hub)
{
    if (hub == NULL)
        return;
    while (hub->ops != NULL) {
        struct hub_op *op = hub->ops;
        op->class->stop(op);
        destroy(op);
    }
    assert(hub->sources == 0);
    for (int i = 0; i < HUB_BUCKETS; i++) {
        assert(hub->quotas[i].active == 0 && hub->quotas[i].first == NULL);
        hfc_timer_stop(&hub->quotas[i].timer);
    }
    hfc_stop_hook_remove(&hub->hook);
    hfc_http_free(hub->http);
    hub_token_free(hub->token);
    free(hub->endpoint);
    free(hub);
}

const char *hub_endpoint(const struct hub *hub)
{
    return hub->endpoint;
}

void hub_op_start(struct hub_op *op, struct hub *hub, const struct hub_op_class *class)
{
    op->hub = hub;
    op->class = class;
    op->next = hub->ops;
    op->link = &hub->ops;
    if (op->next != NULL)
        op->next->link = &op->next;
    hub->ops = op;
}

/* `ended` keeps a hub_cancel() from within done() from doing anything. */
void hub_op_end(struct hub_op *op, const struct hfc_error *err)
{
    op->ended = true;
    op->class->stop(op);
    op->class->deliver(op, err);
    destroy(op);
}

static void deliver_cancelled(void *ctx)
{
    struct hub_op *op = ctx;
    struct hfc_error err;

    (void)hub_fail(&err, ECANCELED, "cancelled");
    op->class->deliver(op, &err);
    destroy(op);
}

void hub_cancel(struct hub_op *op)
{
    if (op->ended)
        return;
    op->ended = true;
    op->class->stop(op);
    hfc_timer_start(op->hub->loop, &op->timer, 0, deliver_cancelled, op);
}

/* Between attempts there is nothing to resume: what comes then is not paused. */
void hub_resume(struct hub_op *op)
{
    struct request *q = op->ended || op->class->request == NULL ? NULL : op->class->request(op);
    struct hfc_exchange *x = q != NULL && q->call != NULL ? hfc_call_exchange(q->call) : NULL;

    if (x != NULL)
        hfc_http_resume(x);
}

void hub_stats(const struct hub *hub, struct hub_stats *stats)
{
    *stats = hub->stats;
    hfc_http_stats(hub->http, &stats->http);
}
