/* cmd_scrub.c: `scrub`: has the worker verify all that it has cached. */
#include <stdlib.h>

#include "ask.h"
#include "cleanup.h"
#include "mount_commands.h"
#include "need.h"

enum { OPT_SOCKET = 1000, OPT_DETACH, LINE_SIZE = 256 };

struct scrub_arguments {
    const char *socket;
    bool detach;
};

static const struct argp_option options[] = {
    {"socket", OPT_SOCKET, "PATH", 0, "the keeper's; default: the only one below /run/hfcache", 1},
    {"detach", OPT_DETACH, NULL, 0, "do not wait for the end", 1},
    {0},
};

static const char doc[] =
    "Verifies everything in the cache in the background, at the rate of --scrub-rate. What is "
    "wrong "
    "is dropped, and fetched again when it is asked for. Ctrl-C leaves it going; running the "
    "command again shows how far it is.\v"
    "Exit status: 0 all is right (with --detach: it has begun), 1 something was wrong or the "
    "worker "
    "can't be asked, 2 wrong usage.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct scrub_arguments *a = state->input;

    switch (key) {
    case OPT_SOCKET:
        a->socket = arg;
        return 0;
    case OPT_DETACH:
        a->detach = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void add_state(struct hfc_buf *line, const json_t *at)
{
    hfc_buf_printf(line, "%llu of %llu objects, ",
                   (unsigned long long)ask_number(at, "objects_done"),
                   (unsigned long long)ask_number(at, "objects"));
    client_add_bytes(line, ask_number(at, "bytes"));
    hfc_buf_printf(line, " read, %llu wrong", (unsigned long long)ask_number(at, "wrong"));
}

static void take_line(void *ctx, json_t *line)
{
    const json_t *at = json_object_get(line, "progress");
    hfc_autobuf struct hfc_buf text = HFC_BUF(LINE_SIZE);

    if (at == NULL)
        return;
    add_state(&text, at);
    progress_show(ctx, text.data);
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct scrub_arguments a = {.detach = false};
    struct progress progress;
    json_t *answer;

    command_parse(&argp, argc, argv, &a);
    json_t *command = need(json_pack("{s:s,s:b}", "command", "scrub", "detach", (int)a.detach));
    progress_begin(&progress);
    int status = ask_worker(&(struct ask){.socket = a.socket,
                                          .line = take_line,
                                          .ctx = &progress,
                                          .progress = &progress,
                                          .on_signal = "the scrub goes on; `status' shows it"},
                            command, &answer);
    if (answer != NULL && a.detach && status == STATUS_OK) {
        puts("the scrub goes on; `status' shows it");
    } else if (answer != NULL && !a.detach && json_object_get(answer, "objects") != NULL) {
        hfc_autobuf struct hfc_buf text = HFC_BUF(LINE_SIZE);
        add_state(&text, answer);
        puts(text.data);
    }
    json_decref(answer);
    json_decref(command);
    return status;
}

const struct subcommand scrub_command = {"scrub", "verify all that is cached", run};
