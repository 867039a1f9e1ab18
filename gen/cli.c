/* cli.c: shared by the subcommands; see cli.h. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_help(const struct command *c)
{
    printf("usage: hfcache-gen %s %s\n\n%s.\n\n%s", c->name, c->synopsis, c->summary, c->help);
}

int cli_usage(const struct command *c, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "hfcache-gen %s: ", c->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: hfcache-gen %s %s\n'hfcache-gen %s --help' explains the arguments.\n",
            c->name, c->synopsis, c->name);
    return EXIT_USAGE;
}

int cli_next(const struct command *c, int argc, char **argv, const struct option *options)
{
    opterr = 0;
    int opt = getopt_long(argc, argv, "+:h", options, NULL);

    if (opt == '?')
        (void)cli_usage(c, "unknown option '%s'", argv[optind - 1]);
    if (opt == ':') {
        (void)cli_usage(c, "option '%s' needs a value", argv[optind - 1]);
        return '?';
    }
    if (opt == 'h')
        cli_help(c);
    return opt;
}

const char *cli_env_path(const char *name)
{
    const char *value = getenv(name);

    return value == NULL || *value != '\0' ? value : ".";
}

void cli_env_paths(struct workspace_paths *p)
{
    if (p->root == NULL)
        p->root = cli_env_path("OSDC_ROOT");
}

bool cli_color(int fd)
{
    const char *off = getenv("NO_COLOR");

    return isatty(fd) && (off == NULL || *off == '\0');
}

void cli_error(const char *fmt, ...)
{
    va_list ap;

    fputs("hfcache-gen: error: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool cli_open(struct workspace *ws, const struct workspace_paths *paths)
{
    struct hfc_error err = {0};

    if (workspace_open(ws, paths, &err))
        return true;
    if (err.msg[0] != '\0')
        cli_error("%s", err.msg);
    return false;
}

int cli_close_briefly(struct workspace *ws, bool quiet)
{
    size_t warnings = diags_warnings(ws->diags);

    if (ws->clusters_file == NULL || diags_errors(ws->diags) > 0 || warnings == 0)
        return cli_close(ws);
    if (!quiet)
        fprintf(stderr, "%zu warning%s: `hfcache-gen lint` shows %s\n", warnings,
                warnings == 1 ? "" : "s", warnings == 1 ? "it" : "them");
    workspace_close(ws);
    return EXIT_OK;
}

int cli_close(struct workspace *ws)
{
    bool failed = ws->clusters_file == NULL || diags_errors(ws->diags) > 0;

    diags_print(ws->diags, DIAG_TEXT, cli_color(STDERR_FILENO), stderr);
    workspace_close(ws);
    return failed ? EXIT_FINDINGS : EXIT_OK;
}
