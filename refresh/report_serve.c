/* report_serve.c: GET /metrics while the run goes on (--listen).
 *
 * libmicrohttpd runs without a thread of its own: its epoll descriptor is watched by the loop, and
 * its timeouts are a timer of the loop. So an answer is made between two other callbacks and sees
 * everything as it is. Connections, their memory and their time are capped: nobody who asks can
 * take anything from the run.
 */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "cleanup.h"
#include "need.h"
#include "report_parts.h"

enum {
    CONNECTIONS_MAX = 4,
    CONNECTION_TIMEOUT_S = 10,
    CONNECTION_MEMORY = 16 * 1024,
    BACKLOG = 8,
    HOST_MAX = 256,
    PORT_MAX = 65535,
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

/* Takes "HOST:PORT", "[V6]:PORT" or ":PORT" apart. */
static int split(const char *address, char host[HOST_MAX], const char **port, struct hfc_error *err)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;

    if (colon == NULL || n >= HOST_MAX || colon[1] == '\0' || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > PORT_MAX)
        return hfc_error_set(err, 0, "expected ADDRESS:PORT, such as 127.0.0.1:9464");
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    } else if (memchr(address, ':', n) != NULL) {
        return hfc_error_set(err, 0, "an IPv6 address has to stand in brackets");
    }
    memcpy(host, address, n);
    host[n] = '\0';
    *port = colon + 1;
    return 0;
}

/* A listening socket, or -1 with errno. Both families where the address is that of all. */
static int listen_at(const struct addrinfo *a)
{
    hfc_autoclose int fd =
        socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    const int on = 1, off = 0;

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return hfc_steal_fd(&fd);
}

static int listen_on(const char *host, const char *port, struct hfc_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int fd = -1;

    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return hfc_error_set(err, 0, "%s", gai_strerror(rc));
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = listen_at(a);
    rc = errno;
    freeaddrinfo(list);
    return fd >= 0 ? fd : hfc_error_set(err, rc, "can't listen");
}

/* Without an address: all of both families, or all of IPv4's where there is no IPv6. */
static int open_socket(const char *address, struct hfc_error *err)
{
    char host[HOST_MAX];
    const char *port = NULL;

    if (split(address, host, &port, err) < 0)
        return -1;
    if (host[0] != '\0')
        return listen_on(host, port, err);
    int fd = listen_on("::", port, err);
    return fd >= 0 ? fd : listen_on("0.0.0.0", port, err);
}

/* Port 0 was the kernel's choice. */
static unsigned port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t n = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &n) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

struct report_server *report_serve(struct report *r, const char *address, struct hfc_error *err)
{
    hfc_autoclose int fd = open_socket(address, err);

    if (fd < 0)
        return NULL;
    hfc_autofree struct report_server *s = need(calloc(1, sizeof(*s)));
    s->report = r;
    s->port = port_of(fd);
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
