/* command.c: arguments and messages; see command.h. */
#include "command.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_USAGE = 900, OPT_VERSION, CHILDREN = 2 };

const char *command_program = "hfcache";

static const struct argp_option common_options[] = {
    {"help", 'h', NULL, 0, "print this", -1},
    {"usage", OPT_USAGE, NULL, 0, "print the options only", 0},
    {"version", OPT_VERSION, NULL, 0, "print the version", 0},
    {0},
};

/* What did not reach the reader of our output must not look like success. */
int command_finish(int status)
{
    if (ferror(stdout) == 0 && fflush(stdout) == 0)
        return status;
    (void)command_error("cannot write the output: %s", strerror(errno));
    return status == STATUS_OK ? STATUS_FAILED : status;
}

/* Help that did not reach its reader is a failure, too. */
static _Noreturn void print_help(const struct argp_state *state, unsigned flags)
{
    argp_state_help(state, stdout, flags);
    exit(command_finish(STATUS_OK));
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    switch (key) {
    case 'h':
        print_help(state, ARGP_HELP_LONG | ARGP_HELP_DOC | ARGP_HELP_USAGE);
    case OPT_USAGE:
        print_help(state, ARGP_HELP_USAGE);
    case OPT_VERSION:
        printf("%s %s\n", command_program, HFC_VERSION);
        exit(command_finish(STATUS_OK));
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Whether `n` bytes are the start of an option's name; *whole: the name of one. */
static bool starts_option(const struct argp_option *o, const char *word, size_t n, bool *whole)
{
    bool starts = false;

    for (; o->name != NULL || o->key != 0 || o->doc != NULL; o++) {
        if (o->name == NULL || strncmp(o->name, word, n) != 0)
            continue;
        starts = true;
        *whole |= o->name[n] == '\0';
    }
    return starts;
}

/* getopt takes "--mod" for "--models". */
static void refuse_abbreviations(const struct argp *argp, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *word = argv[i];
        size_t n = strncmp(word, "--", 2) == 0 ? strcspn(word + 2, "=") : 0;
        bool whole = false;
        if (n == 0)
            continue;
        bool starts = starts_option(argp->options, word + 2, n, &whole);
        starts |= starts_option(common_options, word + 2, n, &whole);
        if (!starts || whole)
            continue;
        fprintf(stderr, "%s: unrecognized option '", argv[0]);
        print_visible(stderr, word);
        fprintf(stderr, "'\nTry `%s --help' for more information.\n", argv[0]);
        exit(STATUS_USAGE);
    }
}

void command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    static const struct argp common = {common_options, parse_common, NULL, NULL, NULL, NULL, NULL};
    const struct argp_child children[CHILDREN] = {{&common, 0, NULL, -1}, {0}};
    struct argp all = *argp;

    assert(argp->children == NULL && argc >= 1);
    all.children = children;
    argp_err_exit_status = STATUS_USAGE;
    refuse_abbreviations(argp, argc, argv);
    error_t rc = argp_parse(&all, argc, argv, ARGP_NO_HELP, NULL, input);
    if (rc == 0)
        return;
    exit(command_error("%s", strerror(rc)));
}

unsigned long command_number(struct argp_state *state, const char *option, const char *text,
                             unsigned long low, unsigned long high)
{
    char *end;

    assert(low <= high);
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n < low || n > high)
        argp_error(state, "--%s: '%s' is not a number from %lu to %lu", option, text, low, high);
    return n;
}

/* A message is one line, and may quote what came from outside. */
static void say(const char *what, const char *fmt, va_list ap)
{
    char text[HFC_ERROR_MAX];

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    fprintf(stderr, "%s: %s: ", command_program, what);
    print_visible(stderr, text);
    fputc('\n', stderr);
}

int command_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("error", fmt, ap);
    va_end(ap);
    return STATUS_FAILED;
}

void command_warning(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("warning", fmt, ap);
    va_end(ap);
}
