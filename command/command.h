/* command.h: what the programs with subcommands share about arguments, output and signals.
 *
 * main.c says which subcommands there are, command_main() finds the one that is meant; each cmd_*.c
 * reads its arguments with argp. (hfcache-gen has its own: gen/cli.h.)
 *
 * Threads: the main thread's, but for print_visible() and the messages: any.
 */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"
#include "loop.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct subcommand {
    const char *name;
    const char *summary;               /* one line for the list of commands */
    int (*run)(int argc, char **argv); /* argv[0] is "PROGRAM NAME" */
};

struct program {
    const char *name;
    const char *about; /* a few lines for the list of commands, with the last newline */
    const struct subcommand *const *commands;
    size_t n;
};

/* All of main(): forbids core dumps, makes SIGPIPE and SIGXFSZ errors of calls, calls what argv[1]
 * asks for, and looks whether the output got where it should. Returns the exit status. */
int command_main(const struct program *program, int argc, char **argv);

/* The name in front of messages; command_main() sets it. */
extern const char *command_program;

/* argp_parse() with this project's exit code for usage, and -h, --help, --usage, --version. Options
 * have to be written out: an abbreviation would break with the next option. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);

/* The value of an option; what is wrong with it ends the program as wrong usage. */
unsigned long command_number(struct argp_state *state, const char *option, const char *text,
                             unsigned long low, unsigned long high);

/* "64Mi", "1G", "500000": bytes. False: it is nothing of that kind, or too much for 64 bits. */
bool command_bytes(const char *text, uint64_t *bytes);

/* Prints "PROGRAM: error: ..." to stderr, control characters made visible; returns STATUS_FAILED.
 */
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

#endif
