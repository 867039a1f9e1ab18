/* report_push.c: brings the metrics to a Pushgateway (--push), now and then and at the end.
 *
 * One connection of its own. A push that fails is warned about once; only the last one matters for
 * how the run ends.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "http.h"
#include "need.h"
#include "report_parts.h"
#include "uri.h"

enum { PUSH_EVERY_MS = 30000, PUSH_TIMEOUT_MS = 10000, URL_BYTES_MAX = 4096, PUSH_BUFFER = 32768 };

#define GROUP "/metrics/job/"

struct report_pusher {
    struct report *report;
    struct hfc_http *http;
    struct hfc_exchange *exchange; /* NULL: none under way */
    struct hfc_timer timer;
    struct hfc_buf text;
    char *url, *shown;
    bool idle, warned;
    struct hfc_error error; /* of the last push; msg empty: it was taken */
};

/* The text stays as it is while it is sent: the next one is made when this one has ended. */
static ssize_t read_text(void *ctx, uint64_t offset, void *to, size_t n)
{
    const struct report_pusher *p = ctx;
    size_t left = p->text.len - (size_t)offset;

    assert(offset < p->text.len);
    n = n < left ? n : left;
    memcpy(to, p->text.data + offset, n);
    return (ssize_t)n;
}

/* A Pushgateway says what it does not like in the body. */
static void pushed(void *ctx, const struct hfc_response *r, enum hfc_http_end end,
                   const struct hfc_error *err)
{
    struct report_pusher *p = ctx;
    int status = hfc_response_status(r);

    p->exchange = NULL;
    p->idle = true;
    p->error.msg[0] = '\0';
    if (end == HTTP_OK && status >= 200 && status < 300)
        return;
    if (end == HTTP_OK)
        (void)hfc_error_set(&p->error, 0, "HTTP %d: %.200s", status, hfc_response_body(r)->data);
    else
        p->error = *err;
    (void)hfc_error_prefix(&p->error, "metrics were not pushed to %s", p->shown);
    /* The last one is told by report_push_last(). */
    if (p->report->running && !p->warned)
        report_line(p->report, REPORT_WARNING, "%s", p->error.msg);
    p->warned = true;
}

static void push(struct report_pusher *p)
{
    const struct hfc_http_request request = {
        .method = "PUT",
        .url = p->url,
        .headers = "Content-Type: text/plain; version=0.0.4; charset=utf-8\n",
        .total_timeout = PUSH_TIMEOUT_MS,
        .read = read_text,
        .done = pushed,
        .ctx = p,
    };
    struct hfc_http_request sized = request;

    assert(p->exchange == NULL);
    hfc_buf_reset(&p->text);
    report_prom_text(p->report, "", &p->text);
    sized.body_size = p->text.len;
    p->idle = false;
    p->exchange = hfc_http_start(p->http, &sized);
}

/* One that is still under way after half a minute will time out by itself. */
static void on_timer(void *ctx)
{
    struct report_pusher *p = ctx;

    if (p->exchange == NULL)
        push(p);
    hfc_timer_start(p->report->loop, &p->timer, PUSH_EVERY_MS, on_timer, p);
}

/* A URL without a group gets ours, so that the address of the Pushgateway is enough. */
static int take_url(struct report_pusher *p, const char *text, struct hfc_error *err)
{
    struct hfc_url url;
    hfc_autobuf struct hfc_buf full = HFC_BUF(URL_BYTES_MAX);
    hfc_autobuf struct hfc_buf shown = HFC_BUF(URL_BYTES_MAX);

    if (hfc_url_parse(text, &url, err) < 0)
        return -1;
    bool http = strcmp(url.scheme, "file") != 0;
    if (http) {
        size_t n = strlen(url.path);
        bool grouped = strstr(url.path, GROUP) != NULL;
        while (!grouped && n > 0 && url.path[n - 1] == '/')
            n--;
        hfc_buf_printf(&full, "%s://%s:%s%.*s%s", url.scheme, url.host, url.port, (int)n, url.path,
                       grouped ? "" : GROUP "hfcache_refresh");
        hfc_url_show(&shown, full.data);
        if (url.query != NULL)
            hfc_buf_printf(&full, "?%s", url.query);
    }
    hfc_url_free(&url);
    if (!http)
        return hfc_error_set(err, 0, "expected the http:// or https:// address of a Pushgateway");
    if (hfc_buf_failed(&full))
        return hfc_error_set(err, EFBIG, "the URL");
    p->url = need_copy(full.data, full.len);
    p->shown = need_copy(shown.data, shown.len);
    return 0;
}

struct report_pusher *report_pusher_new(struct report *r, const char *url, struct hfc_error *err)
{
    struct report_pusher *p = need(calloc(1, sizeof(*p)));
    const struct hfc_http_config config = {.connections = 1,
                                           .receive_buffer = PUSH_BUFFER,
                                           .send_buffer = PUSH_BUFFER,
                                           .transfer_buffer = PUSH_BUFFER,
                                           .stall_timeout = PUSH_TIMEOUT_MS,
                                           .user_agent = "hfcache-refresh/" HFC_VERSION};

    p->report = r;
    p->idle = true;
    hfc_buf_init(&p->text, REPORT_TEXT_MAX);
    if (take_url(p, url, err) < 0 || (p->http = hfc_http_new(r->loop, &config, err)) == NULL) {
        report_pusher_free(p);
        return NULL;
    }
    hfc_timer_start(r->loop, &p->timer, 0, on_timer, p);
    return p;
}

/* Also after a stop: the loop goes on for this alone. */
int report_push_last(struct report_pusher *p, struct hfc_error *err)
{
    assert(!p->report->running);
    hfc_timer_stop(&p->timer);
    if (p->exchange != NULL)
        hfc_http_cancel(p->exchange);
    p->exchange = NULL;
    push(p);
    int rc = hfc_loop_run(p->report->loop, &p->idle, err);
    if (rc == 0 && p->error.msg[0] != '\0') {
        *err = p->error;
        rc = -1;
    }
    return rc;
}

void report_pusher_free(struct report_pusher *p)
{
    if (p == NULL)
        return;
    hfc_timer_stop(&p->timer);
    hfc_http_free(p->http);
    hfc_buf_free(&p->text);
    free(p->url);
    free(p->shown);
    free(p);
}
