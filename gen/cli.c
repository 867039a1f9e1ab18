/* cli.c: shared by the subcommands; see cli.h. */
#include "cli.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "visible.h"

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

/* getopt's view of the options; their index is what it returns, from 1. */
static void list_options(const struct cli_option *options, struct option *out)
{
    size_t n = 0;

    for (; options[n].name != NULL; n++) {
        assert(n < CLI_OPTIONS_MAX && (options[n].text == NULL) != (options[n].flag == NULL));
        out[n] = (struct option){options[n].name,
                                 options[n].text != NULL ? required_argument : no_argument, NULL,
                                 (int)n + 1};
    }
    out[n] = (struct option){"help", no_argument, NULL, 'h'};
    out[n + 1] = (struct option){0};
}

/* getopt takes "--lis" for "--list"; a script that relied on it would break with the next option.
 */
static bool is_abbreviated(const char *word, const struct option *o)
{
    return word[1] == '-' && strncmp(word + 2, o->name, strlen(o->name)) != 0;
}

/* All options up to the next word. */
static int parse_options(const struct command *c, int argc, char **argv,
                         const struct cli_option *options, const struct option *list,
                         bool words_end)
{
    int opt, which = 0;

    for (;;) {
        const char *word = argv[optind];
        /* '+' stops at the first word, whose meaning is the caller's; ':' tells a value that is
         * missing from an option that is unknown. */
        if ((opt = getopt_long(argc, argv, "+:h", list, &which)) == -1)
            return EXIT_OK;
        if (opt != '?' && opt != ':' && is_abbreviated(word, &list[which]))
            return cli_usage(c, "unknown option '%s'", word);
        if (opt == 'h') {
            cli_help(c);
            return CLI_HELP;
        }
        if (opt == '?' || opt == ':')
            return cli_usage(c, opt == ':' ? "option '%s' needs a value" : "unknown option '%s'",
                             word);
        if (options[opt - 1].text != NULL) {
            *options[opt - 1].text = optarg;
            continue;
        }
        *options[opt - 1].flag = true;
        if (words_end)
            return EXIT_OK;
    }
}

/* Words are moved over what has been parsed already, never over what is still to come. */
int cli_parse(const struct command *c, int argc, char **argv, const struct cli_option *options,
              bool words_end, int *words)
{
    struct option list[CLI_OPTIONS_MAX + 2];
    int rc;

    *words = 0;
    opterr = 0;
    list_options(options, list);
    while ((rc = parse_options(c, argc, argv, options, list, words_end)) == EXIT_OK &&
           optind < argc) {
        do
            argv[(*words)++] = argv[optind++];
        while (words_end && optind < argc);
    }
    return rc;
}

const char *cli_env_path(const char *name)
{
    const char *value = getenv(name);

    return value == NULL || *value != '\0' ? value : ".";
}

/* Called behind the flags, which win. CLUSTERS_YAML is not among them: only `config` obeys it, as
 * it was with the predecessor. */
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

    char text[HFC_ERROR_MAX];

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fputs("hfcache-gen: error: ", stderr);
    visible_print(text, strlen(text), stderr); /* it may quote an input */
    fputc('\n', stderr);
}

/* No message here means that the reason is among the findings, and cli_close() prints those. */
bool cli_open(struct workspace *ws, const struct workspace_paths *paths)
{
    struct hfc_error err = {0};

    if (workspace_open(ws, paths, &err))
        return true;
    if (err.msg[0] != '\0')
        cli_error("%s", err.msg);
    return false;
}

/* Next to an error the warnings are shown all the same: they may explain it. */
int cli_close_briefly(struct workspace *ws, bool quiet)
{
    bool failed = ws->clusters_file == NULL || diags_errors(ws->diags) > 0;
    size_t warnings = diags_drop_warnings(ws->diags);

    diags_print(ws->diags, DIAG_TEXT, cli_color(STDERR_FILENO), stderr);
    if (warnings > 0 && (failed || !quiet))
        fprintf(stderr, "%zu warning%s: `hfcache-gen lint` shows %s\n", warnings,
                warnings == 1 ? "" : "s", warnings == 1 ? "it" : "them");
    workspace_close(ws);
    return failed ? EXIT_FINDINGS : EXIT_OK;
}

int cli_close(struct workspace *ws)
{
    bool failed = ws->clusters_file == NULL || diags_errors(ws->diags) > 0;

    diags_print(ws->diags, DIAG_TEXT, cli_color(STDERR_FILENO), stderr);
    workspace_close(ws);
    return failed ? EXIT_FINDINGS : EXIT_OK;
}
