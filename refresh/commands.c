/* commands.c: values of options that several subcommands take; see commands.h. */
#include "commands.h"

#include <string.h>

#include "budget.h"

size_t command_memory(struct argp_state *state, const char *text)
{
    struct hfc_error err = {0};
    size_t bytes = 0;

    if (budget_parse(text, &bytes, &err) < 0)
        argp_error(state, "--memory: %s", err.msg);
    return bytes;
}

void command_bucket(struct argp_state *state, const char *option, char *text, const char **url)
{
    if (*url != NULL)
        argp_error(state, "--%s is given twice", option);
    if (strncmp(text, "s3://", 5) != 0 && strncmp(text, "file://", 7) != 0)
        argp_error(state, "--%s: '%s' is no bucket: expected s3://BUCKET[/PREFIX] or file:///DIR",
                   option, text);
    *url = text;
}
