/* http_curl.c: one exchange in curl's terms; see http_internal.h. What curl is told (options), what
 * it asks for and brings (the functions it calls), and what its results mean here.
 *
 * curl's functions only note what they see and call the caller's functions; they never start, end
 * or free anything.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "http_internal.h"

enum {
    REFUSE = 0, /* from a function that is given bytes: they are not taken, which is an error */
    CA_CACHE_SECONDS = 24 * 3600,
    SOCKETS_MAX = 4096, /* descriptors above are not looked at */
};

/* Ends the exchange for a reason of our own. */
static size_t refuse(struct hfc_exchange *x, const char *why)
{
    if (x->why == NULL)
        x->why = why;
    return REFUSE;
}

/* The test for slowness starts from here: with no byte moved (`known`), or nobody knows how many.
 */
static void begin_window(struct hfc_exchange *x, bool known)
{
    memset(&x->window, 0, sizeof(x->window));
    x->window.from = x->paused_at = x->progress;
    x->window.known = known;
}

static void pause_it(struct hfc_exchange *x)
{
    x->paused = true;
    x->paused_at = x->progress;
}

/* ---- what curl brings and asks for ---- */

static void trim(const char **text, size_t *n)
{
    while (*n > 0 && strchr(" \t\r\n", **text) != NULL) {
        (*text)++;
        (*n)--;
    }
    while (*n > 0 && strchr(" \t\r\n", (*text)[*n - 1]) != NULL)
        (*n)--;
}

static void add_text(struct hfc_buf *head, const char *text, size_t n)
{
    trim(&text, &n);
    hfc_buf_add(head, text, n);
    hfc_buf_char(head, '\0');
}

/* A line that begins with a blank goes on with the value before it (RFC 9112, 5.2). Lines without a
 * colon are ignored, and a NUL would break the list: curl has refused it already. */
static void add_header(struct hfc_buf *head, const char *line, size_t n)
{
    if ((line[0] == ' ' || line[0] == '\t') && head->len > 0) {
        head->len--;
        hfc_buf_char(head, ' ');
        add_text(head, line, n);
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (colon == NULL || memchr(line, '\0', n) != NULL)
        return;
    size_t name = head->len, length = (size_t)(colon - line);
    add_text(head, line, length);
    for (size_t i = name; i < head->len; i++)
        head->data[i] = (char)tolower((unsigned char)head->data[i]);
    add_text(head, colon + 1, n - length - 1);
}

/* "HTTP/1.1 200 OK"; curl lets nothing else pass as a first line. */
static void begin_head(struct hfc_response *r, const char *line, size_t n)
{
    hfc_buf_reset(&r->head);
    r->status = 0;
    const char *at = memchr(line, ' ', n);
    for (size_t i = at != NULL ? (size_t)(at - line) + 1 : n; i < n && isdigit(line[i]); i++)
        r->status = r->status < 1000 ? r->status * 10 + (line[i] - '0') : r->status;
}

/* An upload may be paused when the server has already refused it. curl then stops sending, but does
 * not end before it has been resumed. */
static void end_head(struct hfc_exchange *x)
{
    x->head_done = true;
    if (x->paused)
        hfc_http_resume(x);
    x->to_data = x->req.head != NULL && x->req.head(x->req.ctx, &x->r);
}

/* Of heads before the real one nothing is kept but their size: an endless row of them ends too.
 * Trailers come here as well, and are ignored. */
static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    struct hfc_exchange *x = ctx;
    size_t blank = strspn(line, "\r\n");

    n *= size;
    x->progress = hfc_now_ms();
    if (x->cancelled)
        return REFUSE;
    if (x->head_done)
        return n;
    if (x->head_bytes == 0)
        begin_window(x, true);
    x->head_bytes += n;
    if (x->head_bytes > HTTP_HEAD_MAX)
        return refuse(x, "the head of the answer is longer than 32 KiB");
    if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
        begin_head(&x->r, line, n);
    else if (blank < n)
        add_header(&x->r.head, line, n);
    else if (x->r.status == 101)
        return refuse(x, "the server changes the protocol");
    else if (x->r.status >= 200)
        end_head(x);
    return x->cancelled ? REFUSE : n;
}

static size_t collect(struct hfc_exchange *x, const char *bytes, size_t n)
{
    hfc_buf_add(&x->r.body, bytes, n);
    return hfc_buf_failed(&x->r.body) ? refuse(x, "the body of the answer is too long") : n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct hfc_exchange *x = ctx;
    enum hfc_flow flow = HFC_FLOW_ON;

    n *= size;
    x->progress = hfc_now_ms();
    if (x->cancelled || !x->head_done)
        return REFUSE;
    if (!x->to_data && collect(x, bytes, n) != n)
        return REFUSE;
    if (x->to_data)
        flow = x->req.data(x->req.ctx, bytes, n);
    if (x->cancelled)
        return REFUSE;
    if (flow == HFC_FLOW_ON) {
        x->r.bytes += n;
        x->http->stats.bytes_in += n;
        return n;
    }
    if (flow == HFC_FLOW_PAUSE)
        pause_it(x);
    x->stopped = flow == HFC_FLOW_STOP;
    return x->paused ? CURL_WRITEFUNC_PAUSE : REFUSE;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
    struct hfc_exchange *x = ctx;
    uint64_t left = x->req.body_size - x->read_offset;

    n = left < size * n ? (size_t)left : size * n;
    x->progress = hfc_now_ms();
    if (n == 0)
        return 0;
    if (x->cancelled)
        return CURL_READFUNC_ABORT;
    ssize_t got = x->req.read(x->req.ctx, x->read_offset, to, n);
    if (x->cancelled)
        return CURL_READFUNC_ABORT;
    if (got > 0) {
        assert((size_t)got <= n);
        x->read_offset += (uint64_t)got;
        x->http->stats.bytes_out += (uint64_t)got;
        return (size_t)got;
    }
    assert(got == HFC_READ_PAUSE || got == HFC_READ_STOP);
    if (got == HFC_READ_PAUSE)
        pause_it(x);
    x->stopped = got == HFC_READ_STOP;
    return x->paused ? CURL_READFUNC_PAUSE : CURL_READFUNC_ABORT;
}

/* curl goes back to the start only: a connection that had been idle was dead. */
static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct hfc_exchange *x = ctx;

    if (offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    x->read_offset = 0;
    return CURL_SEEKFUNC_OK;
}

/* The connection is there, TLS included; the request is about to be sent: for the second time if
 * the connection before had been idle and died. */
static int on_connected(void *ctx, char *ip, char *own_ip, int port, int own_port)
{
    struct hfc_exchange *x = ctx;

    (void)ip, (void)own_ip, (void)port;
    x->r.resent = x->sent;
    x->sent = true;
    x->own_port = own_port;
    x->progress = hfc_now_ms();
    begin_window(x, false);
    return CURL_PREREQFUNC_OK;
}

static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    const struct hfc_http_config *c = ctx;
    int receive = (int)c->receive_buffer, send = (int)c->send_buffer;

    (void)purpose;
    if (receive > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive));
    if (send > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof(send));
    return CURL_SOCKOPT_OK;
}

/* ---- what curl is told ---- */

size_t http_curl_headers_size(const char *lines)
{
    size_t n = 2; /* the last line may have no '\n', and there is one of ours */

    for (const char *at = lines; *at != '\0'; at++)
        n += *at == '\n';
    return n * sizeof(struct curl_slist) + strlen(lines) + 1;
}

/* curl takes "Name:" as a wish to send no such header; "Name;" is one without a value. */
static bool prepare_header(char *line)
{
    char *colon = strchr(line, ':');

    if (colon == NULL || colon == line || strpbrk(line, "\r") != NULL)
        return false;
    if (colon[1 + strspn(colon + 1, " \t")] == '\0')
        memcpy(colon, ";", 2);
    return true;
}

void http_curl_headers(struct hfc_exchange *x, const char *lines)
{
    size_t size = http_curl_headers_size(lines), text = strlen(lines) + 1;
    struct curl_slist *node = (struct curl_slist *)(void *)x->strings;
    char *rest = memcpy(x->strings + size - text, lines, text), *line;
    static char no_expect[] = "Expect:";

    x->headers = node;
    node->data = no_expect;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (line[0] == '\0')
            continue;
        if (!prepare_header(line))
            (void)refuse(x, "a header of the request is malformed");
        node->next = node + 1;
        node++;
        node->data = line;
    }
}

/* curl parses a bundle anew for each connection unless it is a single file: so the system's folder
 * of certificates is only used if there is no file. With a bundle of the caller's nothing but that
 * counts. */
static CURLcode set_trust(CURL *e, const struct hfc_http_config *c)
{
    const char *bundle = c->ca_bundle;
    CURLcode rc = CURLE_OK;

    if (bundle == NULL)
        bundle = curl_version_info(CURLVERSION_NOW)->cainfo;
    if (bundle != NULL && (c->ca_bundle != NULL || access(bundle, R_OK) == 0)) {
        rc = curl_easy_setopt(e, CURLOPT_CAINFO, bundle);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, bundle);
        (void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
        (void)curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, NULL);
    }
    (void)curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_SECONDS);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    return rc;
}

/* Options that are numbers or pointers cannot fail: the library is of a version that knows them. */
static void set_behaviour(CURL *e, const struct hfc_http_config *c)
{
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)c->transfer_buffer);
    (void)curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)c->transfer_buffer);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout);
    /* "a/../b" may be the name of an object; it is not to become "b". */
    (void)curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    /* To end an exchange must not wait for the thread that looks up its host. */
    (void)curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
}

static void set_functions(CURL *e, struct hfc_exchange *x)
{
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->error);
    (void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    (void)curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(e, CURLOPT_READDATA, x);
    (void)curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    (void)curl_easy_setopt(e, CURLOPT_SEEKDATA, x);
    (void)curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
    (void)curl_easy_setopt(e, CURLOPT_PREREQDATA, x);
    (void)curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
    (void)curl_easy_setopt(e, CURLOPT_SOCKOPTDATA, &x->http->config);
}

/* An upload of no bytes is how curl is made to send "Content-Length: 0". */
static CURLcode set_method(CURL *e, const struct hfc_http_request *req)
{
    bool sends = strcmp(req->method, "PUT") == 0 || strcmp(req->method, "POST") == 0;

    if (strcmp(req->method, "HEAD") == 0)
        return curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (req->read != NULL || sends) {
        (void)curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_off_t size = req->read != NULL ? (curl_off_t)req->body_size : 0;
        (void)curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, size);
    }
    return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
}

static CURLcode set_proxy(CURL *e, bool none)
{
    if (!none)
        return CURLE_OK;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    return rc != CURLE_OK ? rc : curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
}

CURLcode http_curl_setup(struct hfc_exchange *x)
{
    const struct hfc_http_config *c = &x->http->config;
    CURL *e = x->transfer.easy;

    if (x->why != NULL)
        return CURLE_BAD_FUNCTION_ARGUMENT;
    set_behaviour(e, c);
    set_functions(e, x);
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->headers);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)x->req.total_timeout);
    CURLcode rc = set_trust(e, c);
    if (rc == CURLE_OK)
        rc = set_proxy(e, c->no_proxy);
    if (rc == CURLE_OK)
        rc = set_method(e, &x->req);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(e, CURLOPT_USERAGENT, c->user_agent);
    return rc != CURLE_OK ? rc : curl_easy_setopt(e, CURLOPT_URL, x->req.url);
}

/* ---- what curl's results mean ---- */

/* OpenSSL's words for what will be the same next time: the server does not speak TLS, or not a
 * version or cipher of ours, or wants a certificate. A server in trouble has many other alerts. */
static bool is_lasting(const char *message)
{
    static const char *const lasting[] = {
        "wrong version number",
        "unsupported protocol",
        "alert protocol version",
        "no protocols",
        "no shared cipher",
        "no ciphers available",
        "wrong cipher",
        "unknown cipher",
        "alert handshake failure",
        "insufficient security",
        "too small",
        "certificate",
        "unknown ca",
        "access denied",
        "http request",
    };

    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++)
        if (strstr(message, lasting[i]) != NULL)
            return true;
    return false;
}

/* A handshake that was cut short is a broken connection; one that was refused stays refused. */
static bool is_refusal(const struct hfc_exchange *x, CURLcode rc)
{
    switch (rc) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return true;
    case CURLE_SSL_CONNECT_ERROR:
        return strstr(x->error, "SSL routines") != NULL && is_lasting(x->error);
    default:
        return false;
    }
}

/* The URL's path and query are not for messages. */
static void show_origin(const char *url, char *to, size_t size)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL;

    if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        (void)snprintf(to, size, "%s:%s", host, port);
    else
        (void)snprintf(to, size, "URL");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

static int errnum_of(const struct hfc_exchange *x, CURLcode rc)
{
    long number = 0;

    if (rc == CURLE_OPERATION_TIMEDOUT)
        return ETIMEDOUT;
    if (rc == CURLE_OUT_OF_MEMORY)
        return ENOMEM;
    if (x->transfer.easy != NULL)
        (void)curl_easy_getinfo(x->transfer.easy, CURLINFO_OS_ERRNO, &number);
    return (int)number;
}

enum hfc_http_end http_curl_end(struct hfc_exchange *x, CURLcode rc, struct hfc_error *err)
{
    char origin[300];

    if (rc == CURLE_OK && x->head_done)
        return HTTP_OK;
    if (!x->head_done) {
        x->r.status = 0;
        hfc_buf_reset(&x->r.head);
    }
    const char *why = x->error[0] != '\0' ? x->error : curl_easy_strerror(rc);
    if (x->stopped)
        why = "stopped by the caller";
    else if (x->why != NULL)
        why = x->why;
    show_origin(x->req.url, origin, sizeof(origin));
    (void)hfc_error_set(err, 0, "%s: %s", origin, why);
    err->errnum = x->stopped ? ECANCELED : errnum_of(x, rc);
    if (x->stopped)
        return HTTP_STOPPED;
    if (x->why == NULL && is_refusal(x, rc))
        return HTTP_TLS;
    return x->sent ? HTTP_BROKEN : HTTP_NOT_SENT;
}

/* curl tells the socket of an exchange only when that is over. It is the one with the local port
 * that curl has told; who is about to give up an upload can afford to look through all. */
static int find_socket(int own_port)
{
    for (int fd = 0; fd < SOCKETS_MAX; fd++) {
        struct sockaddr_in6 own = {0}; /* the port is at the same place as of IPv4 */
        socklen_t n = sizeof(own);
        if (getsockname(fd, (struct sockaddr *)&own, &n) == 0 &&
            (own.sin6_family == AF_INET || own.sin6_family == AF_INET6) &&
            ntohs(own.sin6_port) == own_port)
            return fd;
    }
    return -1;
}

/* Asked of the kernel; curl itself knows only what it has handed over. */
bool http_curl_wire(const struct hfc_exchange *x, struct http_wire *wire)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof(info);
    int fd = find_socket(x->own_port), queued = 0;

    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 ||
        ioctl(fd, SIOCOUTQ, &queued) < 0)
        return false;
    wire->acked = info.tcpi_bytes_acked;
    wire->received = info.tcpi_bytes_received;
    wire->sending = queued > 0 || x->read_offset < x->req.body_size;
    return true;
}
