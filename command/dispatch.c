/* dispatch.c: finds the subcommand and hands over; see command_main() in command.h.
 *
 * Nothing else happens here: arguments, signals and output are the subcommands' business, but for
 * the last look at whether the output got where it should.
 */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "command.h"

enum { NAME_MAX_SHOWN = 64 };

static const struct subcommand *find(const struct program *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->commands[i]->name, name) == 0)
            return p->commands[i];
    return NULL;
}

/* To stderr where it is part of a complaint. */
static void print_commands(const struct program *p, FILE *to)
{
    fprintf(to, "usage: %s COMMAND [ARGUMENTS]\n\n%s\n", p->name, p->about);
    for (size_t i = 0; i < p->n; i++)
        fprintf(to, "  %-7s %s\n", p->commands[i]->name, p->commands[i]->summary);
    fprintf(to,
            "\n'%s COMMAND --help' explains a command.\n"
            "Exit status: 0 all well, 1 something failed, 2 wrong usage.\n",
            p->name);
}

static int unknown(const struct program *p, const char *name)
{
    fprintf(stderr, "%s: there is no command '", p->name);
    print_visible(stderr, name);
    fputs("'\n", stderr);
    return STATUS_USAGE;
}

/* A command sees its own name as the program's, so that messages name it. */
static int call(const struct program *p, const struct subcommand *c, int argc, char **argv)
{
    char name[NAME_MAX_SHOWN];
    int n = snprintf(name, sizeof(name), "%s %s", p->name, c->name);

    assert(argc >= 1 && n > 0 && (size_t)n < sizeof(name));
    (void)n;
    argv[0] = name;
    return c->run(argc, argv);
}

/* `help NAME` is `NAME --help`. */
static int help(const struct program *p, int argc, char **argv)
{
    static char flag[] = "--help";
    char *args[] = {NULL, flag, NULL};
    const struct subcommand *c = argc > 2 ? find(p, argv[2]) : NULL;

    if (argc > 2 && c == NULL)
        return unknown(p, argv[2]);
    if (c != NULL)
        return call(p, c, 2, args);
    print_commands(p, stdout);
    return STATUS_OK;
}

static int dispatch(const struct program *p, int argc, char **argv)
{
    if (argc < 2) {
        print_commands(p, stderr);
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", p->name, HFC_VERSION);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(p, argc, argv);
    const struct subcommand *c = find(p, argv[1]);
    if (c != NULL)
        return call(p, c, argc - 1, argv + 1);
    (void)unknown(p, argv[1]);
    print_commands(p, stderr);
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

int command_main(const struct program *program, int argc, char **argv)
{
    assert(program->n > 0);
    command_program = program->name;
    forbid_core_dumps();
    /* A peer that hangs up, and a limit on file sizes, are errors of calls like any other. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    return command_finish(dispatch(program, argc, argv));
}
