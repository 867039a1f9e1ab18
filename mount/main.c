/* main.c: the subcommands of hfcache-mount; command_main() finds the one that is meant. */
#include "cleanup.h"
#include "mount_commands.h"

int main(int argc, char **argv)
{
    static const struct subcommand *const commands[] = {
        &run_command,  &keep_command, &serve_command, &status_command,
        &warm_command, &drop_command, &scrub_command};
    static const struct program program = {
        .name = "hfcache-mount",
        .about = "Shows a bucket of models as a read-only file system, cached on a local disk.\n",
        .commands = commands,
        .n = HFC_ARRAY_LEN(commands),
    };

    return command_main(&program, argc, argv);
}
