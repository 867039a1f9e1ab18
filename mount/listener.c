/* listener.c: metrics and health over HTTP; see listener.h. Owns libmicrohttpd's daemon and its one
 * thread, on which all answers are made. Whoever asks can take CONNECTIONS_MAX connections,
 * CONNECTION_MEMORY for each and one text of TEXT_MAX, and nothing else, for CONNECTION_TIMEOUT_S.
 */
#include "listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "address.h"
#include "cleanup.h"

enum {
    CONNECTIONS_MAX = 4,
    CONNECTION_TIMEOUT_S = 10,
    CONNECTION_MEMORY = 16 * 1024,
    TEXT_MAX = 64 * 1024,
};

#define PLAIN "text/plain; charset=utf-8"

struct listener {
    struct listener_config config;
    struct MHD_Daemon *daemon;
    unsigned port;
};

static enum MHD_Result send_answer(struct MHD_Connection *c, unsigned status, struct hfc_buf *text,
                                   const char *type)
{
    if (hfc_buf_failed(text))
        return MHD_NO; /* hangs up */
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

static enum MHD_Result send_health(struct MHD_Connection *c, bool (*look)(void *, struct hfc_buf *),
                                   void *ctx)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(TEXT_MAX);
    bool well = look(ctx, &text);

    hfc_buf_char(&text, '\n');
    return send_answer(c, well ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, &text, PLAIN);
}

static enum MHD_Result send_metrics(const struct listener *l, struct MHD_Connection *c)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(TEXT_MAX);

    l->config.metrics(l->config.ctx, &text);
    return send_answer(c, MHD_HTTP_OK, &text, "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result send_refusal(struct MHD_Connection *c, unsigned status, const char *why)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(TEXT_MAX);

    hfc_buf_str(&text, why);
    return send_answer(c, status, &text, PLAIN);
}

/* Called when the head has been read. A body is of no interest: answering now ends the request. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    const struct listener *l = ctx;

    (void)version, (void)body, (void)body_size, (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_refusal(c, MHD_HTTP_METHOD_NOT_ALLOWED,
                            "only GET and HEAD are possible here\n");
    if (strcmp(url, "/metrics") == 0)
        return send_metrics(l, c);
    if (strcmp(url, "/livez") == 0)
        return send_health(c, l->config.live, l->config.ctx);
    if (strcmp(url, "/readyz") == 0)
        return send_health(c, l->config.ready, l->config.ctx);
    return send_refusal(c, MHD_HTTP_NOT_FOUND,
                        "there are only /metrics, /livez and /readyz here\n");
}

/* What to do about it stands in the message. */
static int listen_error(const char *address, struct hfc_error *err)
{
    if (err->errnum == EADDRINUSE)
        return hfc_error_set(err, EADDRINUSE,
                             "--listen %s: another program has the port: choose another one",
                             address);
    return hfc_error_prefix(err, "--listen %s", address);
}

struct listener *listener_start(const struct listener_config *config, struct hfc_error *err)
{
    hfc_autofree struct listener *l = calloc(1, sizeof(*l));
    struct hfc_error why = {0};

    if (l == NULL) {
        (void)hfc_error_set(err, ENOMEM, "--listen");
        return NULL;
    }
    hfc_autoclose int fd = hfc_listen(config->address, &l->port, &why);
    if (fd < 0) {
        (void)listen_error(config->address, &why);
        if (err != NULL)
            *err = why;
        return NULL;
    }
    l->config = *config;
    l->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, l,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (l->daemon == NULL) {
        (void)hfc_error_set(err, errno, "--listen %s: HTTP server", config->address);
        return NULL;
    }
    (void)hfc_steal_fd(&fd); /* closed with the daemon */
    return hfc_steal_ptr(&l);
}

unsigned listener_port(const struct listener *l)
{
    return l->port;
}

void listener_stop(struct listener *l)
{
    if (l == NULL)
        return;
    MHD_stop_daemon(l->daemon);
    free(l);
}
