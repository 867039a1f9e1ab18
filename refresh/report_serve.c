/* report_serve.c: GET /metrics while the run goes on (--listen).
 *
 * libmicrohttpd runs without a thread of its own: its epoll descriptor is watched by the loop, and
 * its timeouts are a timer of the loop. So an answer is made between two other callbacks and sees
 * everything as it is. Connections, their memory and their time are capped: nobody who asks can
 * take anything from the run.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <microhttpd.h>

#include "address.h"
#include "cleanup.h"
#include "need.h"
#include "report_parts.h"

enum {
    CONNECTIONS_MAX = 4,
    CONNECTION_TIMEOUT_S = 10,
    CONNECTION_MEMORY = 16 * 1024,
};

struct report_server {
    struct report *report;
    struct MHD_Daemon *daemon;
    struct hfc_watch watch;
    struct hfc_timer timeout;
    unsigned port;
};

/* A full copy for each: the metrics change while an answer is on its way. */
static enum MHD_Result send_answer(struct MHD_Connection *c, unsigned status, struct hfc_buf *text,
                                   const char *type)
{
    struct MHD_Response *answer =
        MHD_create_response_from_buffer(text->len, text->data, MHD_RESPMEM_MUST_COPY);

    if (answer == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(answer, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(answer, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result rc = MHD_queue_response(c, status, answer);
    MHD_destroy_response(answer);
    return rc;
}

/* Called when the head has been read. A body is of no interest: answering now ends the request. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    const struct report_server *s = ctx;
    hfc_autobuf struct hfc_buf text = HFC_BUF(REPORT_TEXT_MAX);
    const char *plain = "text/plain; charset=utf-8";

    (void)version, (void)body, (void)body_size, (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        hfc_buf_str(&text, "only GET and HEAD are possible here\n");
        return send_answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, &text, plain);
    }
    if (strcmp(url, "/metrics") != 0) {
        hfc_buf_str(&text, "there is only /metrics here\n");
        return send_answer(c, MHD_HTTP_NOT_FOUND, &text, plain);
    }
    report_prom_text(s->report, "", &text);
    if (hfc_buf_failed(&text))
        return MHD_NO;
    return send_answer(c, MHD_HTTP_OK, &text, "text/plain; version=0.0.4; charset=utf-8");
}

/* Something is to be read, or a connection has been silent for long. */
static void run(void *ctx)
{
    struct report_server *s = ctx;
    MHD_UNSIGNED_LONG_LONG ms;

    (void)MHD_run(s->daemon);
    hfc_timer_stop(&s->timeout);
    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
        hfc_timer_start(s->report->loop, &s->timeout, (int64_t)ms, run, s);
}

struct report_server *report_serve(struct report *r, const char *address, struct hfc_error *err)
{
    unsigned port = 0;
    hfc_autoclose int fd = hfc_listen(address, &port, err);

    if (fd < 0)
        return NULL;
    hfc_autofree struct report_server *s = need(calloc(1, sizeof(*s)));
    s->report = r;
    s->port = port;
    s->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, s,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (s->daemon == NULL) {
        (void)hfc_error_set(err, errno, "HTTP server");
        return NULL;
    }
    (void)hfc_steal_fd(&fd); /* closed with the daemon */
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    assert(info != NULL && info->epoll_fd >= 0);
    hfc_watch_start(r->loop, &s->watch, info->epoll_fd, run, s);
    return hfc_steal_ptr(&s);
}

unsigned report_server_port(const struct report_server *s)
{
    return s->port;
}

void report_server_free(struct report_server *s)
{
    if (s == NULL)
        return;
    hfc_watch_stop(&s->watch);
    hfc_timer_stop(&s->timeout);
    MHD_stop_daemon(s->daemon);
    free(s);
}
