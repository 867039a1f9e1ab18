/* cmd_drop.c: `drop`: takes models out of the cache. */
#include <stdlib.h>

#include "ask.h"
#include "cleanup.h"
#include "mount_commands.h"

enum { LINE_SIZE = 256 };

static const char doc[] =
    "Removes the models (ORG/NAME, datasets/ORG/NAME) from the cache, in every version that it has "
    "of them. They stay in the mount: who reads them fetches them again.\v"
    "Exit status: 0 all well, 1 a model is not known or the worker can't be asked, 2 wrong usage.";

static void take_line(void *ctx, json_t *line)
{
    const json_t *done = json_object_get(line, "done");
    const char *model = ask_string(done, "model");
    const char *error = json_string_value(json_object_get(done, "error"));
    hfc_autobuf struct hfc_buf size = HFC_BUF(LINE_SIZE);

    (void)ctx;
    if (done == NULL)
        return;
    if (error != NULL) {
        (void)command_error("%s: %s", model, error);
        return;
    }
    client_add_bytes(&size, ask_number(done, "bytes"));
    print_visible(stdout, model);
    printf(": %llu objects, %s\n", (unsigned long long)ask_number(done, "objects"), size.data);
}

static int run(int argc, char **argv)
{
    const char *socket;
    json_t *answer;

    json_t *command = ask_read_models("drop", doc, argc, argv, &socket);
    int status = ask_worker(&(struct ask){.socket = socket,
                                          .line = take_line,
                                          .on_signal = "stopped; some of it may be gone"},
                            command, &answer);
    json_decref(answer);
    json_decref(command);
    return status;
}

const struct subcommand drop_command = {"drop", "take models out of the cache", run};
