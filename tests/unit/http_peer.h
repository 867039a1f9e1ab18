/* http_peer.h: a scripted HTTP server for tests: threads on a loopback port that do as they are
 * told and remember what they were sent. It knows just enough of HTTP to find the end of a request.
 *
 *     struct peer p = {0};
 *     peer_start(&p);                                      p.base is "http://127.0.0.1:PORT"
 *     peer_reply(&p, 200, "ETag: \"x\"\r\n", "hello");     the first request's answer, complete
 *     peer_say(&p, "HTTP/1.1 200 OK\r\n\r\ncut", PEER_RST);  the second's: raw bytes, and what then
 *     peer_script(&p, (struct peer_answer){...});          the third's: see the struct
 *     ... let the client work ...
 *     const struct peer_request *r = peer_request(&p, 0);  waits until it has come
 *     assert_string_equal(r->target, "/a?b");
 *     peer_stop(&p);
 *
 * Answers are given to requests in the order in which the requests' heads arrive, over all
 * connections. When the script is at its end, p.handler is asked if there is one (after the body
 * has been read), else the answer is 200 with an empty body. An answer that waits (`wait`,
 * `pause_at`, PEER_HANG) does so until the test calls peer_release(), which lets one of them go on;
 * or for ever, if the client gives up.
 *
 * p.events is an eventfd, readable whenever a request has come (head, then body) or a connection
 * was closed: for hfc_watch_start(), so that the client's loop runs until something has arrived.
 *
 * Threads: everything here may be called from the test's thread only; the handler is called from a
 * thread of the peer, one call at a time, and must call nothing here.
 */
#ifndef HTTP_PEER_H
#define HTTP_PEER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PEER_REQUESTS = 4096, PEER_ANSWERS = 1024, PEER_CONNECTIONS = 1024, PEER_HEAD = 65536 };

enum peer_then {
    PEER_KEEP, /* waits for the next request on the connection */
    PEER_FIN,  /* closes the connection properly */
    PEER_RST,  /* resets it */
    PEER_HANG, /* keeps it open and silent until released; then closes it */
};

struct peer_answer {
    const char *bytes; /* head and body as sent; copied by the functions below */
    size_t size;       /* 0: strlen(bytes) */
    enum peer_then then;
    bool wait;       /* sends nothing before it is released */
    size_t pause_at; /* if not 0: sends that much, waits to be released, sends the rest */
    size_t piece;    /* if not 0: one send() for so many bytes each */
    bool step;       /* waits to be released before each piece */
    bool early;      /* answers without having read the request's body */
    size_t take;     /* with early: reads so much of the body before */
    bool owned;      /* set by a handler whose bytes are to be freed */
};

struct peer_request {
    char *head;            /* with the request line, without the empty line */
    char *method, *target; /* of the request line */
    char *body;            /* with a NUL behind it; NULL until it has been read */
    size_t body_size;
    unsigned connection; /* 0 is the first that was accepted */
    bool complete;       /* the body was read to its end */
};

struct peer {
    /* Set before peer_start(), if wanted. */
    void (*handler)(void *ctx, const struct peer_request *r, struct peer_answer *answer);
    void *handler_ctx;
    size_t body_step;   /* waits to be released before each so many bytes of a body */
    int receive_buffer; /* SO_RCVBUF of the connections */
    bool refuse;        /* does `refuse_then` with a connection once its first bytes are there */
    enum peer_then refuse_then; /* FIN or RST */
    /* To be read. */
    int port, events;
    char base[32]; /* "http://127.0.0.1:PORT" */
    /* Of the threads, behind the lock; see peer_count(). */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t acceptor, threads[PEER_CONNECTIONS];
    int listener, fds[PEER_CONNECTIONS];
    struct peer_answer answers[PEER_ANSWERS];
    struct peer_request requests[PEER_REQUESTS];
    unsigned n_answers, n_requests, n_connections, open, most_open, released, waiting;
    bool stopping;
};

struct peer_thread {
    struct peer *p;
    unsigned number;
    int fd;
};

static inline void peer_fail(const char *what)
{
    fprintf(stderr, "http_peer.h: %s\n", what);
    abort();
}

/* With the lock held. */
static inline void peer_changed(struct peer *p)
{
    uint64_t one = 1;

    pthread_cond_broadcast(&p->changed);
    if (write(p->events, &one, sizeof(one)) < 0)
        peer_fail("eventfd");
}

/* One of the peer's counters: peer_count(&p, &p.most_open). */
static inline unsigned peer_count(struct peer *p, const unsigned *counter)
{
    pthread_mutex_lock(&p->lock);
    unsigned value = *counter;
    pthread_mutex_unlock(&p->lock);
    return value;
}

static inline void peer_await_release(struct peer *p)
{
    pthread_mutex_lock(&p->lock);
    p->waiting++;
    peer_changed(p);
    while (p->released == 0 && !p->stopping)
        pthread_cond_wait(&p->changed, &p->lock);
    p->waiting--;
    if (p->released > 0)
        p->released--;
    pthread_mutex_unlock(&p->lock);
}

static inline bool peer_send(struct peer *p, int fd, const struct peer_answer *a, size_t from,
                             size_t n)
{
    const char *bytes = a->bytes + from;

    while (n > 0) {
        if (a->step)
            peer_await_release(p);
        ssize_t sent = send(fd, bytes, a->piece > 0 && a->piece < n ? a->piece : n, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* The value of a header of the request, copied to `to`; NULL: it has none. */
static inline const char *peer_header(const struct peer_request *r, const char *name, char *to,
                                      size_t size)
{
    size_t n = strlen(name);

    for (const char *at = strchr(r->head, '\n'); at != NULL; at = strchr(at, '\n')) {
        at++;
        if (strncasecmp(at, name, n) == 0 && at[n] == ':') {
            at += n + 1 + strspn(at + n + 1, " ");
            snprintf(to, size, "%.*s", (int)strcspn(at, "\r\n"), at);
            return to;
        }
    }
    return NULL;
}

static inline char *peer_copy(const char *bytes, size_t n)
{
    char *copy = malloc(n + 1);

    if (copy == NULL)
        peer_fail("memory");
    if (n > 0)
        memcpy(copy, bytes, n);
    copy[n] = '\0';
    return copy;
}

/* Reads until the empty line; what came behind it is the beginning of the body. Returns the size of
 * head and empty line, 0: the connection ended. */
static inline size_t peer_read_head(int fd, char *buffer, size_t *have)
{
    for (;;) {
        buffer[*have] = '\0';
        const char *end = strstr(buffer, "\r\n\r\n");
        if (end != NULL)
            return (size_t)(end - buffer) + 4;
        if (*have == PEER_HEAD)
            peer_fail("request head too long");
        ssize_t n = recv(fd, buffer + *have, PEER_HEAD - *have, 0);
        if (n <= 0)
            return 0;
        *have += (size_t)n;
    }
}

static inline unsigned peer_record(struct peer *p, unsigned connection, const char *head, size_t n)
{
    const char *target = strchr(head, ' '), *end = target ? strchr(target + 1, ' ') : NULL;

    if (end == NULL)
        peer_fail("malformed request");
    pthread_mutex_lock(&p->lock);
    if (p->n_requests == PEER_REQUESTS)
        peer_fail("too many requests");
    unsigned number = p->n_requests++;
    struct peer_request *r = &p->requests[number];
    *r = (struct peer_request){.head = peer_copy(head, n - 4),
                               .method = peer_copy(head, (size_t)(target - head)),
                               .target = peer_copy(target + 1, (size_t)(end - target) - 1),
                               .connection = connection};
    peer_changed(p);
    pthread_mutex_unlock(&p->lock);
    return number;
}

/* Takes up to `want` bytes of the body, of which `have` are in the buffer already; the buffer keeps
 * what is behind. */
static inline void peer_read_body(struct peer *p, int fd, unsigned number, size_t want,
                                  char *buffer, size_t *have)
{
    char *body = malloc(want + 1);
    size_t got = *have < want ? *have : want;
    ssize_t n = 1;

    if (body == NULL)
        peer_fail("memory");
    memcpy(body, buffer, got);
    memmove(buffer, buffer + got, *have - got);
    *have -= got;
    while (got < want && n > 0) {
        size_t part = p->body_step > 0 && p->body_step < want - got ? p->body_step : want - got;
        if (p->body_step > 0)
            peer_await_release(p);
        n = recv(fd, body + got, part, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    body[got] = '\0';
    pthread_mutex_lock(&p->lock);
    p->requests[number].body = body;
    p->requests[number].body_size = got;
    p->requests[number].complete = got == want;
    peer_changed(p);
    pthread_mutex_unlock(&p->lock);
}

static inline struct peer_answer peer_choose(struct peer *p, unsigned number)
{
    struct peer_answer a = {.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};

    pthread_mutex_lock(&p->lock);
    if (number < p->n_answers)
        a = p->answers[number];
    else if (p->handler != NULL)
        p->handler(p->handler_ctx, &p->requests[number], &a);
    pthread_mutex_unlock(&p->lock);
    if (a.size == 0)
        a.size = strlen(a.bytes);
    return a;
}

static inline bool peer_give(struct peer *p, int fd, const struct peer_answer *a)
{
    size_t first = a->pause_at < a->size ? a->pause_at : a->size;

    if (a->wait)
        peer_await_release(p);
    if (a->pause_at == 0)
        return peer_send(p, fd, a, 0, a->size);
    if (!peer_send(p, fd, a, 0, first))
        return false;
    peer_await_release(p);
    return peer_send(p, fd, a, first, a->size - first);
}

/* One request and its answer. False: the connection is over. */
static inline bool peer_serve(struct peer_thread *t, char *buffer, size_t *have,
                              enum peer_then *then)
{
    struct peer *p = t->p;
    size_t head = peer_read_head(t->fd, buffer, have);
    char value[32];

    if (head == 0)
        return false;
    unsigned number = peer_record(p, t->number, buffer, head);
    memmove(buffer, buffer + head, *have - head);
    *have -= head;
    const char *length = peer_header(&p->requests[number], "Content-Length", value, sizeof(value));
    size_t want = length != NULL ? (size_t)strtoull(length, NULL, 10) : 0;
    struct peer_answer a = {0};
    bool with_body = p->handler != NULL && number >= peer_count(p, &p->n_answers);
    if (!with_body)
        a = peer_choose(p, number);
    peer_read_body(p, t->fd, number, a.early && a.take < want ? a.take : want, buffer, have);
    if (with_body)
        a = peer_choose(p, number);
    bool given = peer_give(p, t->fd, &a);
    *then = a.then;
    if (a.owned)
        free((void *)(uintptr_t)a.bytes);
    if (a.then == PEER_HANG)
        peer_await_release(p);
    return given && a.then == PEER_KEEP;
}

static inline void *peer_connection(void *arg)
{
    struct peer_thread *t = arg;
    struct peer *p = t->p;
    char *buffer = malloc(PEER_HEAD + 1);
    size_t have = 0;
    enum peer_then then = p->refuse ? p->refuse_then : PEER_FIN;

    if (buffer == NULL)
        peer_fail("memory");
    if (p->refuse) /* a close with bytes unread would be a reset */
        (void)!recv(t->fd, buffer, PEER_HEAD, 0);
    while (!p->refuse && peer_serve(t, buffer, &have, &then))
        ;
    pthread_mutex_lock(&p->lock);
    if (then == PEER_RST) {
        struct linger l = {.l_onoff = 1};
        setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    }
    close(t->fd);
    p->fds[t->number] = -1;
    p->open--;
    peer_changed(p);
    pthread_mutex_unlock(&p->lock);
    free(buffer);
    free(t);
    return NULL;
}

static inline void *peer_accept(void *arg)
{
    struct peer *p = arg;
    int fd, one = 1;

    while ((fd = accept(p->listener, NULL, NULL)) >= 0) {
        struct peer_thread *t = malloc(sizeof(*t));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        pthread_mutex_lock(&p->lock);
        if (t == NULL || p->n_connections == PEER_CONNECTIONS)
            peer_fail("too many connections");
        *t = (struct peer_thread){.p = p, .number = p->n_connections++, .fd = fd};
        p->fds[t->number] = fd;
        p->open++;
        p->most_open = p->open > p->most_open ? p->open : p->most_open;
        if (p->stopping)
            shutdown(fd, SHUT_RDWR);
        if (pthread_create(&p->threads[t->number], NULL, peer_connection, t) != 0)
            peer_fail("pthread_create");
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

static inline void peer_start(struct peer *p)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->receive_buffer > 0)
        setsockopt(p->listener, SOL_SOCKET, SO_RCVBUF, &p->receive_buffer, sizeof(int));
    if (p->events < 0 || bind(p->listener, (struct sockaddr *)&a, n) != 0 ||
        listen(p->listener, 128) != 0 || getsockname(p->listener, (struct sockaddr *)&a, &n) != 0)
        peer_fail("socket");
    p->port = ntohs(a.sin_port);
    snprintf(p->base, sizeof(p->base), "http://127.0.0.1:%d", p->port);
    if (pthread_create(&p->acceptor, NULL, peer_accept, p) != 0)
        peer_fail("pthread_create");
}

/* Closes everything and forgets the requests. */
static inline void peer_stop(struct peer *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    shutdown(p->listener, SHUT_RDWR);
    for (unsigned i = 0; i < p->n_connections; i++)
        if (p->fds[i] >= 0)
            shutdown(p->fds[i], SHUT_RDWR);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->acceptor, NULL);
    for (unsigned i = 0; i < p->n_connections; i++)
        pthread_join(p->threads[i], NULL);
    for (unsigned i = 0; i < p->n_requests; i++) {
        free(p->requests[i].head);
        free(p->requests[i].method);
        free(p->requests[i].target);
        free(p->requests[i].body);
    }
    for (unsigned i = 0; i < p->n_answers; i++)
        free((void *)(uintptr_t)p->answers[i].bytes);
    close(p->listener);
    close(p->events);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
}

/* Appends to the script. */
static inline void peer_script(struct peer *p, struct peer_answer a)
{
    if (a.bytes == NULL)
        a.bytes = "";
    a.size = a.size > 0 ? a.size : strlen(a.bytes);
    a.bytes = peer_copy(a.bytes, a.size);
    pthread_mutex_lock(&p->lock);
    if (p->n_answers == PEER_ANSWERS)
        peer_fail("script too long");
    p->answers[p->n_answers++] = a;
    pthread_mutex_unlock(&p->lock);
}

static inline void peer_say(struct peer *p, const char *bytes, enum peer_then then)
{
    peer_script(p, (struct peer_answer){.bytes = bytes, .then = then});
}

/* A complete answer of this form, free(3) it: for handlers. `headers` are lines with "\r\n". */
static inline char *peer_format(int status, const char *headers, const char *body)
{
    char *text = NULL;

    if (asprintf(&text, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                 strlen(body), headers, body) < 0)
        peer_fail("memory");
    return text;
}

static inline void peer_reply(struct peer *p, int status, const char *headers, const char *body)
{
    char *text = peer_format(status, headers, body);

    peer_say(p, text, PEER_KEEP);
    free(text);
}

/* Lets one answer that waits, now or later, go on. */
static inline void peer_release(struct peer *p)
{
    pthread_mutex_lock(&p->lock);
    p->released++;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* Waits until the counter has at least that value; a test that waits for ten seconds has failed. */
static inline void peer_await(struct peer *p, const unsigned *counter, unsigned value)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&p->lock);
    while (*counter < value)
        if (pthread_cond_timedwait(&p->changed, &p->lock, &until) != 0)
            peer_fail("waited for ten seconds");
    pthread_mutex_unlock(&p->lock);
}

/* The n-th request, read to the end of its body or as far as it came. Valid until peer_stop(). */
static inline const struct peer_request *peer_request(struct peer *p, unsigned n)
{
    peer_await(p, &p->n_requests, n + 1);
    pthread_mutex_lock(&p->lock);
    while (p->requests[n].body == NULL)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return &p->requests[n];
}

#endif
