/* main.c: finds the subcommand and hands over. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct command *const commands[] = {
    &cmd_generate, &cmd_check,  &cmd_runners, &cmd_config,
    &cmd_lint,     &cmd_enable, &cmd_disable, &cmd_explain,
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static void print_commands(FILE *to)
{
    fputs("usage: hfcache-gen COMMAND [ARGUMENTS]\n\n"
          "Generates the manifests of CI clusters from clusters.yaml, runner definitions and\n"
          "templates, checks them, and answers questions about the configuration.\n\n",
          to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n'hfcache-gen COMMAND --help' explains a command.\n"
          "Exit status: 0 all well, 1 something was found or failed, 2 wrong usage.\n",
          to);
}

static int help(int argc, char **argv)
{
    const struct command *c = argc > 2 ? find(argv[2]) : NULL;

    if (argc > 2 && c == NULL) {
        fprintf(stderr, "hfcache-gen: there is no command '%s'\n", argv[2]);
        return EXIT_USAGE;
    }
    if (c != NULL)
        cli_help(c);
    else
        print_commands(stdout);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("hfcache-gen " HFC_VERSION);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(argc, argv);
    const struct command *c = find(argv[1]);
    if (c == NULL) {
        fprintf(stderr, "hfcache-gen: there is no command '%s'\n", argv[1]);
        print_commands(stderr);
        return EXIT_USAGE;
    }
    int rc = c->run(c, argc - 1, argv + 1);
    /* What did not reach the reader of our output must not look like success. */
    if (ferror(stdout) == 0 && fflush(stdout) == 0)
        return rc;
    cli_error("cannot write the output: %s", strerror(errno));
    return rc == EXIT_OK ? EXIT_FINDINGS : rc;
}
