/* control.c: clients of the worker and their commands; see control.h.
 *
 * Owns the clients, their buffers, and the epoll descriptor. Lines are collected up to a cap, and
 * written when the socket takes them; nobody is waited for.
 */
#include "control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "control_internal.h"
#include "logging.h"
#include "metrics.h"
#include "model_walk.h"
#include "need.h"

enum {
    OUT_MAX = 4 * CONTROL_LINE_MAX,
    WAKE_EVENT = CONTROL_CLIENTS_MAX, /* beside the clients' numbers */
    EVENTS_MAX = CONTROL_CLIENTS_MAX + 1,
};

static unsigned number(const struct control *c, const struct control_client *client)
{
    assert(client >= c->clients && client < c->clients + CONTROL_CLIENTS_MAX);
    return (unsigned)(client - c->clients);
}

static void hang_up(struct control_client *client)
{
    if (client->fd < 0)
        return;
    if (client->warm != NULL)
        warm_leave(client->warm);
    drop_end(&client->drop);
    (void)close(client->fd);
    hfc_buf_free(&client->in);
    hfc_buf_free(&client->out);
    *client = (struct control_client){.fd = -1};
}

/* What is waited for: input until the command is here, room while there is output, and its end. */
static void listen_to(struct control *c, struct control_client *client)
{
    bool more = client->sent < client->out.len;
    struct epoll_event e = {.events = EPOLLRDHUP, .data.u32 = number(c, client)};

    e.events |= (client->commanded ? 0U : (uint32_t)EPOLLIN) | (more ? (uint32_t)EPOLLOUT : 0U);
    (void)epoll_ctl(c->epoll, EPOLL_CTL_MOD, client->fd, &e);
}

/* False: it was the last, or the client is gone. */
static bool flush(struct control *c, struct control_client *client)
{
    while (client->sent < client->out.len) {
        ssize_t n = send(client->fd, client->out.data + client->sent,
                         client->out.len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            hang_up(client);
            return false;
        }
        client->sent += (size_t)n;
        client->moved = hfc_now_ms();
    }
    if (client->sent == client->out.len) {
        hfc_buf_reset(&client->out);
        client->sent = 0;
        if (client->ending) {
            hang_up(client);
            return false;
        }
    }
    listen_to(c, client);
    return true;
}

void control_say(struct control *c, struct control_client *to, json_t *line)
{
    hfc_autofree char *text = json_dumps(need(line), JSON_COMPACT);

    json_decref(line);
    if (to->fd < 0)
        return;
    hfc_buf_str(&to->out, need(text));
    hfc_buf_char(&to->out, '\n');
    if (hfc_buf_failed(&to->out))
        hang_up(to);
    else
        (void)flush(c, to);
}

void control_end(struct control *c, struct control_client *to, json_t *line, const char *error)
{
    (void)json_object_set_new(line, "end", json_true());
    if (error != NULL)
        (void)json_object_set_new(line, "error", json_string(error));
    to->ending = true;
    control_say(c, to, line);
}

bool control_progress(struct control_client *to)
{
    int64_t now = hfc_now_ms();

    if (to->fd < 0 || to->out.len > 0 || now - to->progressed < CONTROL_PROGRESS_MS)
        return false;
    to->progressed = now;
    return true;
}

/* Commands. */

static void refuse(struct control *c, struct control_client *client, const char *why)
{
    control_end(c, client, json_object(), why);
}

/* One place is kept for `status`. */
static bool is_crowded(const struct control *c)
{
    unsigned jobs = 0;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct control_client *client = &c->clients[i];
        jobs += client->warm != NULL || client->scrubs || client->drop.models != NULL;
    }
    return jobs >= CONTROL_CLIENTS_MAX - 1;
}

/* NULL: the names are not what they should be, and the client knows. */
static json_t *models_of(struct control *c, struct control_client *client, json_t *command)
{
    json_t *models = json_object_get(command, "models");
    size_t n = json_array_size(models);
    char folder[MODEL_FOLDER_MAX];
    struct hfc_error err;

    if (n == 0 || n > CONTROL_MODELS_MAX) {
        refuse(c, client, "no models are named, or too many at once");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(models, i));
        if (name == NULL || walk_folder(name, folder, &err) < 0) {
            refuse(c, client, name == NULL ? "a model's name is a string" : err.msg);
            return NULL;
        }
    }
    return models;
}

static void do_status(struct control *c, struct control_client *client, json_t *command)
{
    (void)command;
    control_end(c, client, control_status(c), NULL);
}

static void do_warm(struct control *c, struct control_client *client, json_t *command)
{
    json_t *models = models_of(c, client, command);

    if (models == NULL)
        return;
    client->warm = warm_start(c, client, models);
    if (client->warm == NULL)
        refuse(c, client, "others are warming models: try again when they are done");
    else
        control_again(c);
}

static void do_drop(struct control *c, struct control_client *client, json_t *command)
{
    json_t *models = models_of(c, client, command);

    if (models == NULL)
        return;
    drop_start(&client->drop, models);
    control_again(c);
}

static void do_scrub(struct control *c, struct control_client *client, json_t *command)
{
    struct hfc_error err;

    if (scrub_start(c, &err) < 0)
        refuse(c, client, err.msg);
    else if (json_is_true(json_object_get(command, "detach")))
        control_end(c, client, json_object(), NULL);
    else
        client->scrubs = true;
}

static const struct {
    const char *name;
    void (*run)(struct control *c, struct control_client *client, json_t *command);
    bool job;
} commands[] = {{"status", do_status, false},
                {"warm", do_warm, true},
                {"drop", do_drop, true},
                {"scrub", do_scrub, true}};

static void obey(struct control *c, struct control_client *client, json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "command"));

    for (size_t i = 0; name != NULL && i < HFC_ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].job && is_crowded(c))
            refuse(c, client, "too many commands are running: try again when they are done");
        else
            commands[i].run(c, client, command);
        return;
    }
    refuse(c, client, "this version knows no such command");
}

/* With the first line; what comes behind it is not read. */
static void take_command(struct control *c, struct control_client *client, size_t n)
{
    json_error_t fault;
    json_t *command = json_loadb(client->in.data, n, JSON_REJECT_DUPLICATES, &fault);

    client->commanded = true;
    client->moved = hfc_now_ms();
    if (json_is_object(command))
        obey(c, client, command);
    else
        refuse(c, client, "a command is an object in JSON, on one line");
    json_decref(command);
    if (client->fd >= 0) {
        hfc_buf_free(&client->in);
        listen_to(c, client);
    }
}

static void take_input(struct control *c, struct control_client *client)
{
    char bytes[4096];
    ssize_t n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(client);
        return;
    }
    hfc_buf_add(&client->in, bytes, (size_t)n);
    const char *newline = memchr(client->in.data, '\n', client->in.len);
    if (newline != NULL) {
        take_command(c, client, (size_t)(newline - client->in.data));
    } else if (hfc_buf_failed(&client->in)) {
        client->commanded = true;
        refuse(c, client, "the command is too long");
    }
}

/* Events. */

static void schedule(struct control *c);

static void control_turn(struct control *c)
{
    for (unsigned i = 0; i < CONTROL_WARMS_MAX; i++)
        if (c->warms[i] != NULL)
            warm_turn(c->warms[i]);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].drop.models != NULL)
            drop_turn(c, &c->clients[i]);
    scrub_turn(c);
    schedule(c);
}

static void turned(void *ctx)
{
    control_turn(ctx);
}

void control_again(struct control *c)
{
    hfc_timer_start(c->config.loop, &c->again, 0, turned, c);
}

/* A client that is up to nothing, or does not take what it asked for. */
static bool is_stuck(const struct control_client *client, int64_t now)
{
    int64_t since = now - client->moved;

    return client->fd >= 0 && ((!client->commanded && since > CONTROL_COMMAND_MS) ||
                               (client->out.len > 0 && since > CONTROL_STUCK_MS));
}

static void ticked(void *ctx)
{
    struct control *c = ctx;
    int64_t now = hfc_now_ms();

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (is_stuck(&c->clients[i], now)) {
            log_line(LOG_CONTROL, LEVEL_WARNING,
                     "a client of the control socket is hung up on: "
                     "it neither sends a command nor reads the answer");
            hang_up(&c->clients[i]);
        }
    control_turn(c);
}

/* Ticks while there is somebody to look after, and never else. */
static void schedule(struct control *c)
{
    bool needed = c->scrub.running;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        needed |= c->clients[i].fd >= 0;
    for (unsigned i = 0; i < CONTROL_WARMS_MAX; i++)
        needed |= c->warms[i] != NULL;
    if (!needed)
        hfc_timer_stop(&c->tick);
    else if (c->tick.loop == NULL)
        hfc_timer_start(c->config.loop, &c->tick, CONTROL_TICK_MS, ticked, c);
}

static void take_event(struct control *c, const struct epoll_event *e)
{
    struct control_client *client = &c->clients[e->data.u32];

    if (e->data.u32 == WAKE_EVENT) {
        eventfd_t n;
        (void)eventfd_read(c->wake, &n);
        control_again(c);
        return;
    }
    if (client->fd < 0) /* by an event before this one */
        return;
    if ((e->events & EPOLLIN) != 0 && !client->commanded)
        take_input(c, client);
    else if ((e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        hang_up(client);
    else if ((e->events & EPOLLOUT) != 0)
        (void)flush(c, client);
}

static void happened(void *ctx)
{
    struct control *c = ctx;
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(c->epoll, events, EVENTS_MAX, 0);

    for (int i = 0; i < n; i++)
        take_event(c, &events[i]);
    schedule(c);
}

void control_connect(struct control *c, int fd)
{
    static const char full[] = "{\"end\":true,\"error\":\"too many clients are connected with the "
                               "worker: try again later\"}\n";
    unsigned i = 0;

    while (i < CONTROL_CLIENTS_MAX && c->clients[i].fd >= 0)
        i++;
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = i};
    if (i == CONTROL_CLIENTS_MAX || epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
        (void)send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)close(fd);
        return;
    }
    c->clients[i] = (struct control_client){
        .fd = fd, .in = HFC_BUF(CONTROL_LINE_MAX), .out = HFC_BUF(OUT_MAX), .moved = hfc_now_ms()};
    schedule(c);
}

struct control *control_new(const struct control_config *config, struct hfc_error *err)
{
    struct control *c = need(calloc(1, sizeof(*c)));
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = WAKE_EVENT};

    *c = (struct control){.config = *config, .lock = PTHREAD_MUTEX_INITIALIZER};
    c->began = clock_ns();
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        c->clients[i].fd = -1;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->epoll < 0 || c->wake < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wake, &e) < 0) {
        (void)hfc_error_set(err, errno, "the control socket's clients");
        control_free(c);
        return NULL;
    }
    hfc_watch_start(config->loop, &c->watch, c->epoll, happened, c);
    return c;
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    hfc_watch_stop(&c->watch);
    scrub_stop(c);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        hang_up(&c->clients[i]);
    for (unsigned i = 0; i < CONTROL_WARMS_MAX; i++)
        if (c->warms[i] != NULL)
            warm_free(c->warms[i]);
    hfc_timer_stop(&c->tick);
    hfc_timer_stop(&c->again);
    hfc_cleanup_close(&c->epoll);
    hfc_cleanup_close(&c->wake);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}
