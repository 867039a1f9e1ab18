/* ask.c: what the commands that ask a worker share; see ask.h. */
#include "ask.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "loop.h"
#include "model_walk.h"
#include "need.h"

enum { OPT_SOCKET = 1000, MODELS_MAX = 1000, LINE_EVERY_MS = 10000 };

static int fail(const struct ask *ask, const char *message)
{
    if (ask->progress != NULL)
        progress_clear(ask->progress);
    return command_error("%s", message);
}

int ask_worker(const struct ask *ask, const json_t *command, json_t **answer)
{
    char path[CLIENT_PATH_MAX];
    struct hfc_error err;

    *answer = NULL;
    client_catch_signals();
    if (client_find(ask->socket, path, &err) < 0)
        return fail(ask, err.msg);
    hfc_autoclose int fd = client_connect(path, &err);
    if (fd < 0)
        return fail(ask, err.msg);
    *answer = client_ask(fd, command, -1, ask->line, ask->ctx, &err);
    if (*answer == NULL)
        return fail(ask, err.errnum == EINTR ? ask->on_signal : err.msg);
    const char *error = json_string_value(json_object_get(*answer, "error"));
    if (error != NULL)
        return fail(ask, error);
    if (ask->progress != NULL)
        progress_clear(ask->progress);
    return STATUS_OK;
}

/* Arguments. */

struct reading {
    const char *socket;
    json_t *models;
};

static const struct argp_option options[] = {
    {"socket", OPT_SOCKET, "PATH", 0, "the keeper's; default: the only one below /run/hfcache", 1},
    {0},
};

/* What is no UTF-8 can't be put in JSON. */
static void take_model(struct reading *r, const char *name, struct argp_state *state)
{
    char folder[MODEL_FOLDER_MAX];
    struct hfc_error err;
    json_t *text = json_string(name);

    if (text == NULL)
        argp_error(state, "'%s' is no model: it is not in UTF-8", name);
    if (walk_folder(name, folder, &err) < 0)
        argp_error(state, "%s", err.msg);
    if (json_array_size(r->models) == MODELS_MAX)
        argp_error(state, "more than %d models", MODELS_MAX);
    (void)json_array_append_new(r->models, text);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reading *r = state->input;

    switch (key) {
    case OPT_SOCKET:
        r->socket = arg;
        return 0;
    case ARGP_KEY_ARG:
        take_model(r, arg, state);
        return 0;
    case ARGP_KEY_END:
        if (json_array_size(r->models) == 0)
            argp_error(state, "which models? ORG/NAME ...");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

json_t *ask_read_models(const char *command, const char *doc, int argc, char **argv,
                        const char **socket)
{
    const struct argp argp = {options, parse, "MODEL...", doc, NULL, NULL, NULL};
    struct reading r = {.models = need(json_array())};

    command_parse(&argp, argc, argv, &r);
    *socket = r.socket;
    return need(json_pack("{s:s,s:o}", "command", command, "models", r.models));
}

uint64_t ask_number(const json_t *of, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(of, name));

    return n > 0 ? (uint64_t)n : 0;
}

const char *ask_string(const json_t *of, const char *name)
{
    const char *s = json_string_value(json_object_get(of, name));

    return s != NULL ? s : "?";
}

/* Progress. */

void progress_begin(struct progress *p)
{
    const char *term = getenv("TERM");

    *p = (struct progress){.terminal = isatty(STDOUT_FILENO) == 1 && term != NULL &&
                                       strcmp(term, "dumb") != 0,
                           .last = hfc_now_ms()};
}

/* Blanks in place of an escape sequence: that works everywhere. */
void progress_clear(struct progress *p)
{
    if (p->shown > 0)
        printf("\r%*s\r", (int)p->shown, "");
    p->shown = 0;
    (void)fflush(stdout);
}

void progress_show(struct progress *p, const char *line)
{
    int64_t now = hfc_now_ms();

    assert(strchr(line, '\n') == NULL);
    if (p->terminal) {
        progress_clear(p);
        print_visible(stdout, line);
        p->shown = strlen(line);
    } else if (now - p->last >= LINE_EVERY_MS) {
        print_visible(stdout, line);
        putchar('\n');
        p->last = now;
    }
    (void)fflush(stdout);
}
