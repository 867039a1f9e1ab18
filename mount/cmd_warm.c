/* cmd_warm.c: `warm`: reads models into the cache, before anybody asks for them. */
#include <stdlib.h>

#include "ask.h"
#include "cleanup.h"
#include "mount_commands.h"

enum { LINE_SIZE = 256 };

static const char doc[] =
    "Reads all files of the models (ORG/NAME, datasets/ORG/NAME) into the cache. What is there "
    "already is left out. Ends with this command: Ctrl-C stops it, and what was read stays.\v"
    "Exit status: 0 all of it is in the cache, 1 something is not, 2 wrong usage.";

static void show_progress(struct progress *p, const json_t *at)
{
    hfc_autobuf struct hfc_buf line = HFC_BUF(LINE_SIZE);
    uint64_t bytes = ask_number(at, "bytes"), done = ask_number(at, "bytes_done");

    hfc_buf_printf(&line, "%.150s: ", ask_string(at, "model"));
    client_add_bytes(&line, done);
    hfc_buf_str(&line, " of ");
    client_add_bytes(&line, bytes);
    hfc_buf_printf(&line, ", %u %%",
                   bytes > 0 ? (unsigned)((double)done * 100 / (double)bytes) : 0);
    progress_show(p, line.data);
}

static void show_model(struct progress *p, const json_t *done)
{
    hfc_autobuf struct hfc_buf size = HFC_BUF(LINE_SIZE);
    const char *error = json_string_value(json_object_get(done, "error"));

    progress_clear(p);
    if (error != NULL) {
        (void)command_error("%s: %s", ask_string(done, "model"), error);
        return;
    }
    client_add_bytes(&size, ask_number(done, "bytes"));
    print_visible(stdout, ask_string(done, "model"));
    printf(": %llu files, %s\n", (unsigned long long)ask_number(done, "files"), size.data);
}

static void take_line(void *ctx, json_t *line)
{
    const json_t *at = json_object_get(line, "progress"), *done = json_object_get(line, "done");

    if (at != NULL)
        show_progress(ctx, at);
    if (done != NULL)
        show_model(ctx, done);
}

static int run(int argc, char **argv)
{
    struct progress progress;
    const char *socket;
    json_t *answer;

    json_t *command = ask_read_models("warm", doc, argc, argv, &socket);
    progress_begin(&progress);
    int status = ask_worker(&(struct ask){.socket = socket,
                                          .line = take_line,
                                          .ctx = &progress,
                                          .progress = &progress,
                                          .on_signal = "stopped; what was read stays in the cache"},
                            command, &answer);
    json_decref(answer);
    json_decref(command);
    return status;
}

const struct subcommand warm_command = {"warm", "read models into the cache", run};
