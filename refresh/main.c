/* main.c: the subcommands of hfcache-refresh; command_main() finds the one that is meant. */
#include "cleanup.h"
#include "commands.h"

int main(int argc, char **argv)
{
    static const struct subcommand *const commands[] = {&sync_command, &verify_command,
                                                        &list_command, &gc_command};
    static const struct program program = {
        .name = "hfcache-refresh",
        .about =
            "Brings buckets up to date with a list of models, straight from the Hugging Face Hub,\n"
            "and looks after what is in them.\n",
        .commands = commands,
        .n = HFC_ARRAY_LEN(commands),
    };

    return command_main(&program, argc, argv);
}
