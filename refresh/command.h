/* command.h: what the subcommands share. main.c only dispatches; each cmd_*.c reads its arguments
 * with argp and puts the parts together.
 */
#ifndef REFRESH_COMMAND_H
#define REFRESH_COMMAND_H

#include <argp.h>

#include "models.h"
#include "report.h"
#include "target.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct subcommand {
    const char *name;
    const char *summary;               /* one line for the list of commands */
    int (*run)(int argc, char **argv); /* argv[0] is "hfcache-refresh NAME" */
};

extern const struct subcommand sync_command, verify_command, list_command, gc_command;

/* argp_parse() with this project's exit code for usage, and -h, --help, --usage, --version. Options
 * have to be written out: an abbreviation would break with the next option. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);

/* Values of options; what is wrong with one ends the program as wrong usage. */
unsigned long command_number(struct argp_state *state, const char *option, const char *text,
                             unsigned long low, unsigned long high);
size_t command_memory(struct argp_state *state, const char *text);
/* Takes the URL of a bucket, once. */
void command_bucket(struct argp_state *state, const char *option, char *text, const char **url);

/* Prints "hfcache-refresh: error: ..." to stderr, control characters made visible; returns
 * STATUS_FAILED. */
int command_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same with "warning: ". */
void command_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes sure that stdout got all that was printed: returns `status`, or STATUS_FAILED in place of
 * STATUS_OK. */
int command_finish(int status);

/* Prints text from outside to a stream, control characters and invalid UTF-8 made visible. */
void print_visible(FILE *to, const char *text);

/* Makes SIGINT, SIGTERM and SIGHUP stop the loop instead of ending the process. Call before threads
 * are made. A second SIGINT or SIGTERM ends the process at once. Ignored signals stay so. */
struct stopper;
struct stopper *stop_on_signals(struct hfc_loop *loop, struct hfc_error *err);
void stopper_free(struct stopper *s); /* NULL is fine */

/* The models whose names were given as arguments, datasets as "datasets/ORG/NAME"; a wrong name, or
 * one that comes twice, is an error (printed, -1). */
int inspection_models(char *const *words, size_t n, struct models *out);

/* The folder "models--org--name" of a key "hub/FOLDER/..."; its length, or 0 if it is no such key.
 * The name people use of a folder: "org/name", datasets with "datasets/" in front. */
size_t repo_folder(const char *key, const char **folder);
void repo_name(const char *folder, size_t n, struct hfc_buf *out);

#endif
