/* cli.h: what the subcommands share: exit codes, usage, and how a run ends. */
#ifndef GEN_CLI_H
#define GEN_CLI_H

#include <stdbool.h>

#include "workspace.h"

enum { EXIT_OK = 0, EXIT_FINDINGS = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    int (*run)(const struct command *self, int argc, char **argv);
    const char *summary;  /* one line for the list of commands */
    const char *synopsis; /* the arguments */
    const char *help;     /* the rest of --help, ends in a newline */
};

extern const struct command cmd_generate, cmd_check, cmd_runners, cmd_config, cmd_lint, cmd_enable,
    cmd_disable, cmd_explain;

/* Prints a command's help to stdout. */
void cli_help(const struct command *c);

/* Prints "hfcache-gen COMMAND: problem" and where to look to stderr; returns EXIT_USAGE. */
int cli_usage(const struct command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An option of a command: with a value, which goes to *text, or without one: then *flag is set. */
struct cli_option {
    const char *name;
    const char **text;
    bool *flag;
};

/* --root and --clusters, which every command takes. */
#define CLI_TREE_OPTIONS(paths)                                                                    \
    {"root", &(paths)->root, NULL},                                                                \
    {                                                                                              \
        "clusters", &(paths)->clusters_yaml, NULL                                                  \
    }

enum { CLI_OPTIONS_MAX = 12, CLI_HELP = -1 };

/* Parses a command's arguments; `options` is ended by a NULL name. The words that are no options
 * are moved to the front of argv and counted; they may stand before, between and behind the
 * options, unless `words_end` is set: then everything from the first word on, and everything
 * behind a flag, is one. Returns EXIT_OK, EXIT_USAGE (said), or CLI_HELP after --help (printed). */
int cli_parse(const struct command *c, int argc, char **argv, const struct cli_option *options,
              bool words_end, int *words);

/* An environment variable as a path: unset is NULL, empty is the current folder. */
const char *cli_env_path(const char *name);

/* The tree's paths from the environment, for what flags leave open. */
void cli_env_paths(struct workspace_paths *p);

/* Whether colours belong on this stream: a terminal, and no NO_COLOR. */
bool cli_color(int fd);

/* Reports a failure that is not about an input. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Opens the workspace; on failure prints why and returns false. Close it in any case. */
bool cli_open(struct workspace *ws, const struct workspace_paths *paths);

/* Prints the findings to stderr, closes the workspace; EXIT_OK or EXIT_FINDINGS. */
int cli_close(struct workspace *ws);

/* The same, but warnings are only counted, and without an error not even that if `quiet`: over a
 * whole fleet they would drown what matters. */
int cli_close_briefly(struct workspace *ws, bool quiet);

#endif
