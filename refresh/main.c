/* main.c: finds the subcommand and hands over.
 *
 * Nothing else happens here: arguments, signals and output are the subcommands' business, but for
 * the last look at whether the output got where it should.
 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cleanup.h"
#include "command.h"

enum { NAME_MAX_SHOWN = 64 };

static const struct subcommand *const commands[] = {&sync_command, &verify_command, &list_command,
                                                    &gc_command};

static const struct subcommand *find(const char *name)
{
    for (size_t i = 0; i < HFC_ARRAY_LEN(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* To stderr where it is part of a complaint. */
static void print_commands(FILE *to)
{
    fputs("usage: hfcache-refresh COMMAND [ARGUMENTS]\n\n"
          "Brings buckets up to date with a list of models, straight from the Hugging Face Hub,\n"
          "and looks after what is in them.\n\n",
          to);
    for (size_t i = 0; i < HFC_ARRAY_LEN(commands); i++)
        fprintf(to, "  %-7s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n'hfcache-refresh COMMAND --help' explains a command.\n"
          "Exit status: 0 all well, 1 something failed, 2 wrong usage.\n",
          to);
}

static int unknown(const char *name)
{
    fputs("hfcache-refresh: there is no command '", stderr);
    print_visible(stderr, name);
    fputs("'\n", stderr);
    return STATUS_USAGE;
}

/* A command sees its own name as the program's, so that messages name it. */
static int call(const struct subcommand *c, int argc, char **argv)
{
    char name[NAME_MAX_SHOWN];
    int n = snprintf(name, sizeof(name), "hfcache-refresh %s", c->name);

    assert(argc >= 1 && n > 0 && (size_t)n < sizeof(name));
    (void)n;
    argv[0] = name;
    return c->run(argc, argv);
}

/* `help NAME` is `NAME --help`. */
static int help(int argc, char **argv)
{
    static char flag[] = "--help";
    char *args[] = {NULL, flag, NULL};
    const struct subcommand *c = argc > 2 ? find(argv[2]) : NULL;

    if (argc > 2 && c == NULL)
        return unknown(argv[2]);
    if (c != NULL)
        return call(c, 2, args);
    print_commands(stdout);
    return STATUS_OK;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("hfcache-refresh " HFC_VERSION);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(argc, argv);
    const struct subcommand *c = find(argv[1]);
    if (c != NULL)
        return call(c, argc - 1, argv + 1);
    (void)unknown(argv[1]);
    print_commands(stderr);
    return STATUS_USAGE;
}

/* Tokens and keys pass through memory that is not ours, libcurl's for one; so nothing of it may end
 * in a core dump. The limit does not hold where cores go to a program, the flag does; but leak
 * detection needs to look at its own process. */
static void forbid_core_dumps(void)
{
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
#ifndef HFC_SANITIZED
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

int main(int argc, char **argv)
{
    forbid_core_dumps();
    /* A peer that hangs up, and a limit on file sizes, are errors of calls like any other. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    return command_finish(dispatch(argc, argv));
}
