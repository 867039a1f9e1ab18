/* cmd_status.c: `status`: what an on-call engineer needs, on one screen or as JSON.
 *
 * The keeper knows of processes and hand-overs, the worker of everything else; each is asked for
 * its part. Without a worker there is the keeper's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "mount_commands.h"
#include "need.h"

enum { OPT_JSON = 1000, OPT_SOCKET, SCREEN_MAX = 256 * 1024 };

struct status_arguments {
    const char *socket;
    bool json;
};

static const struct argp_option options[] = {
    {"json", OPT_JSON, NULL, 0, "print one object", 1},
    {"socket", OPT_SOCKET, "PATH", 0, "the keeper's; default: the only one below /run/hfcache", 1},
    {0},
};

static const char doc[] =
    "Shows how a mount is doing: its processes, memory, cache, connections, and what went wrong.\v"
    "Exit status: 0 it serves, 1 it does not, or can't be asked, 2 wrong usage.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct status_arguments *a = state->input;

    switch (key) {
    case OPT_JSON:
        a->json = true;
        return 0;
    case OPT_SOCKET:
        a->socket = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *state_name(uint32_t state)
{
    static const char *const names[] = {[KEEPER_SERVING] = "serving",
                                        [KEEPER_WAITING] = "waiting",
                                        [KEEPER_TAKEOVER] = "takeover",
                                        [KEEPER_ORPHANED] = "orphaned"};

    return state < HFC_ARRAY_LEN(names) ? names[state] : "unknown";
}

/* What comes from the keeper's frame is text without a check. */
static json_t *text(const char *bytes)
{
    json_t *t = json_string(bytes);

    return t != NULL ? t : json_null();
}

static json_t *keeper_part(const char *socket, const struct link_state *k)
{
    return need(json_pack(
        "{s:i,s:i,s:s,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "keeper_pid", k->keeper_pid,
        "worker_pid", k->worker_pid, "state", state_name(k->state), "state_s",
        (double)k->since_ms / 1000, "standbys", (json_int_t)k->standbys, "generation",
        (json_int_t)k->generation, "deaths", (json_int_t)k->deaths, "redone", (json_int_t)k->redone,
        "poisoned", (json_int_t)k->poisoned, "orphaned", (json_int_t)k->orphaned, "keeper_version",
        text(k->version), "mountpoint", text(k->mountpoint), "socket", text(socket)));
}

/* NULL: there is none, or it does not answer. */
static json_t *worker_part(const char *path, struct hfc_error *err)
{
    json_t *command = need(json_pack("{s:s}", "command", "status"));
    hfc_autoclose int fd = client_connect(path, err);
    json_t *answer = NULL;

    if (fd >= 0)
        answer = client_ask(fd, command, CLIENT_STATUS_MS, NULL, NULL, err);
    json_decref(command);
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (error == NULL)
        return answer;
    (void)hfc_error_set(err, 0, "%s", error);
    json_decref(answer);
    return NULL;
}

static void print(const json_t *status, bool json)
{
    hfc_autobuf struct hfc_buf screen = HFC_BUF(SCREEN_MAX);
    hfc_autofree char *dump = NULL;

    if (json) {
        dump = need(json_dumps(status, JSON_INDENT(2) | JSON_REAL_PRECISION(12)));
        puts(dump);
        return;
    }
    status_print(status, &screen);
    fputs(screen.data, stdout);
}

/* The worker's members first; of those that both have, the keeper's count. */
static int show(const char *path, const struct link_state *k, bool json)
{
    struct hfc_error err = {0};
    json_t *status = need(json_object());
    json_t *keeper = keeper_part(path, k);
    json_t *worker = worker_part(path, &err);

    if (worker != NULL) {
        (void)json_object_del(worker, "end");
        (void)json_object_update(status, worker);
    } else {
        (void)json_object_set_new(status, "error", text(err.msg));
    }
    (void)json_object_update(status, keeper);
    print(status, json);
    int rc = worker != NULL && k->state == KEEPER_SERVING ? STATUS_OK : STATUS_FAILED;
    json_decref(worker);
    json_decref(keeper);
    json_decref(status);
    return rc;
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct status_arguments a = {.json = false};
    char path[CLIENT_PATH_MAX];
    struct link_state k;
    struct hfc_error err;

    command_parse(&argp, argc, argv, &a);
    if (client_find(a.socket, path, &err) < 0 || client_state(path, &k, &err) < 0)
        return command_error("%s", err.msg);
    return show(path, &k, a.json);
}

const struct subcommand status_command = {"status", "show how a mount is doing", run};
