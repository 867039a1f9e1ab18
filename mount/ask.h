/* ask.h: what the commands that ask a worker share: `warm`, `drop`, `scrub`.
 *
 * Threads: the main thread's.
 */
#ifndef MOUNT_ASK_H
#define MOUNT_ASK_H

#include "client.h"

/* A line that says how far something is: drawn again and again on a terminal, else written now and
 * then. */
struct progress {
    bool terminal;
    size_t shown; /* bytes of the line that is on the terminal */
    int64_t last; /* ms; of the last line that was written */
};
void progress_begin(struct progress *p);
void progress_show(struct progress *p, const char *line);
void progress_clear(struct progress *p);

struct ask {
    const char *socket; /* NULL: the only one */
    client_line *line;
    void *ctx;
    struct progress *progress; /* cleared before anything else is printed; may be NULL */
    const char *on_signal;     /* what a signal means for what was asked for */
};

/* Asks the worker. Prints what goes wrong, with "error" in the answer. Returns the exit status;
 * `answer` is the last line, or NULL. */
int ask_worker(const struct ask *ask, const json_t *command, json_t **answer);

/* Reads the arguments of a command on models: --socket PATH MODEL... Makes the command, for
 * json_decref(). What is wrong with them ends the program as wrong usage. */
json_t *ask_read_models(const char *command, const char *doc, int argc, char **argv,
                        const char **socket);

/* Members of what a worker says; 0 and "?" if there is no such thing. */
uint64_t ask_number(const json_t *of, const char *name);
const char *ask_string(const json_t *of, const char *name);

#endif
