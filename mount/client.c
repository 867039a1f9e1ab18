/* client.c: asks keeper and worker; see client.h. Owns the flag that a signal sets. */
#include "client.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "control.h"
#include "need.h"

enum { LINES_MAX = 4 * CONTROL_LINE_MAX };

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
}

void client_catch_signals(void)
{
    const struct sigaction a = {.sa_handler = on_signal};

    (void)sigaction(SIGINT, &a, NULL);
    (void)sigaction(SIGTERM, &a, NULL);
}

int client_find(const char *given, char path[CLIENT_PATH_MAX], struct hfc_error *err)
{
    if (given == NULL)
        return link_find(path, CLIENT_PATH_MAX, err);
    if (strlen(given) >= CLIENT_PATH_MAX)
        return hfc_error_set(err, ENAMETOOLONG, "--socket %.100s...", given);
    memcpy(path, given, strlen(given) + 1);
    return 0;
}

/* Sends a frame without content and waits for the one that answers it. */
static int exchange(const char *path, enum link_kind ask, enum link_kind answer,
                    struct link_frame *f, int *fds, struct hfc_error *err)
{
    hfc_autoclose int fd = link_connect(path, err);

    *f = (struct link_frame){0};
    if (fd < 0 && err->errnum != ENOENT && err->errnum != ECONNREFUSED)
        return -1;
    if (fd < 0)
        return hfc_error_set(err, 0, "no keeper listens at %s: is hfcache-mount running?", path);
    if (link_send(fd, ask, f, NULL, 0, err) < 0)
        return hfc_error_prefix(err, "the keeper at %s", path);
    int rc = link_wait(fd, f, fds, CLIENT_KEEPER_MS, err);
    if (rc < 0)
        return hfc_error_prefix(err, "the keeper at %s", path);
    if (rc == 1 && f->kind == (uint16_t)answer)
        return 0;
    for (unsigned i = 0; rc == 1 && i < LINK_FDS_MAX; i++)
        hfc_cleanup_close(&fds[i]);
    return hfc_error_set(err, 0,
                         "the keeper at %s has hung up: it lets only root, and its "
                         "worker's user, ask",
                         path);
}

int client_state(const char *path, struct link_state *state, struct hfc_error *err)
{
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];

    if (exchange(path, LINK_STATUS, LINK_STATE, &f, fds, err) < 0)
        return -1;
    *state = f.state;
    return 0;
}

int client_connect(const char *path, struct hfc_error *err)
{
    struct link_frame f = {0};
    int fds[LINK_FDS_MAX];

    if (exchange(path, LINK_CONTROL, LINK_CONNECTED, &f, fds, err) < 0)
        return -1;
    if (fds[0] >= 0)
        return fds[0];
    (void)hfc_error_set(err, 0, "no worker serves now");
    if (err != NULL)
        err->errnum = ENOTCONN;
    return -1;
}

/* 1: the descriptor is ready; 0: it isn't within `ms`. */
static int wait_for(int fd, short events, int ms, struct hfc_error *err)
{
    struct pollfd p = {.fd = fd, .events = events};

    while (signalled == 0) {
        int n = poll(&p, 1, ms);
        if (n > 0)
            return 0;
        if (n == 0)
            return hfc_error_set(err, ETIMEDOUT, "the worker does not answer");
        if (errno != EINTR)
            return hfc_error_set(err, errno, "waiting for the worker");
    }
    return hfc_error_set(err, EINTR, "ended by a signal");
}

static int send_all(int fd, const char *text, size_t n, int ms, struct hfc_error *err)
{
    for (size_t at = 0; at < n;) {
        if (wait_for(fd, POLLOUT, ms, err) < 0)
            return -1;
        ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (sent < 0)
            return hfc_error_set(err, errno, "sending the command");
        at += (size_t)sent;
    }
    return 0;
}

/* Until there is a whole line; returns its length without the newline. */
static ssize_t receive_line(int fd, struct hfc_buf *in, int ms, struct hfc_error *err)
{
    const char *newline;
    char bytes[4096];

    while ((newline = memchr(in->data, '\n', in->len)) == NULL) {
        if (hfc_buf_failed(in))
            return hfc_error_set(err, EMSGSIZE, "the worker's answer");
        if (wait_for(fd, POLLIN, ms, err) < 0)
            return -1;
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return hfc_error_set(err, n == 0 ? ECONNRESET : errno, "the worker has ended");
        hfc_buf_add(in, bytes, (size_t)n);
    }
    return newline - in->data;
}

static json_t *receive(int fd, struct hfc_buf *in, int ms, struct hfc_error *err)
{
    json_error_t fault;
    ssize_t n = receive_line(fd, in, ms, err);

    if (n < 0)
        return NULL;
    json_t *line = json_loadb(in->data, (size_t)n, 0, &fault);
    size_t rest = in->len - (size_t)n - 1;
    memmove(in->data, in->data + n + 1, rest);
    in->len = rest;
    if (!json_is_object(line)) {
        json_decref(line);
        (void)hfc_error_set(err, EPROTO, "the worker's answer");
        return NULL;
    }
    return line;
}

json_t *client_ask(int fd, const json_t *command, int ms, client_line *line, void *ctx,
                   struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf in = HFC_BUF(LINES_MAX);
    hfc_autobuf struct hfc_buf out = HFC_BUF(CONTROL_LINE_MAX);
    hfc_autofree char *text = need(json_dumps(command, JSON_COMPACT));

    hfc_buf_str(&out, text);
    hfc_buf_char(&out, '\n');
    if (hfc_buf_failed(&out)) {
        (void)hfc_error_set(err, EMSGSIZE, "the command");
        return NULL;
    }
    if (send_all(fd, out.data, out.len, ms, err) < 0)
        return NULL;
    for (;;) {
        json_t *got = receive(fd, &in, ms, err);
        if (got == NULL || json_is_true(json_object_get(got, "end")))
            return got;
        if (line != NULL)
            line(ctx, got);
        json_decref(got);
    }
}

void client_add_bytes(struct hfc_buf *out, uint64_t n)
{
    static const char units[] = "KMGTPE";
    double value = (double)n;
    int unit = -1;

    if (n < 1024) {
        hfc_buf_printf(out, "%u B", (unsigned)n);
        return;
    }
    while (value >= 1023.95 && units[unit + 1] != '\0') {
        value /= 1024;
        unit++;
    }
    assert(unit >= 0);
    hfc_buf_printf(out, "%.1f %ciB", value, units[unit]);
}

void client_add_duration(struct hfc_buf *out, double seconds)
{
    unsigned long s = seconds < 0 ? 0 : (unsigned long)seconds;

    if (seconds < 10)
        hfc_buf_printf(out, "%.1f s", seconds < 0 ? 0 : seconds);
    else if (s < 60)
        hfc_buf_printf(out, "%lu s", s);
    else if (s < 3600)
        hfc_buf_printf(out, "%lu min %lu s", s / 60, s % 60);
    else if (s < 24 * 3600)
        hfc_buf_printf(out, "%lu h %lu min", s / 3600, s / 60 % 60);
    else
        hfc_buf_printf(out, "%lu d %lu h", s / (24 * 3600), s / 3600 % 24);
}
