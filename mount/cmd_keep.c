/* cmd_keep.c: `keep`: a keeper: the privileged half. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "keeper.h"
#include "memory_plan.h"
#include "mount_commands.h"
#include "need.h"
#include "preflight.h"

/* Where the socket is to be. It is made here, as the mode that others need should not depend on the
 * umask; only the last folder of the path. */
static void make_folder(const char *socket)
{
    const char *slash = strrchr(socket, '/');

    if (slash == NULL || slash == socket)
        return;
    hfc_autofree char *folder = need_copy(socket, (size_t)(slash - socket));
    if (mkdir(folder, 0755) == 0)
        (void)chmod(folder, 0755);
}

int keep_with(const struct settings *s,
              int (*spawn)(void *ctx, bool standby, struct hfc_error *err), void *ctx)
{
    hfc_autofree char *source = preflight_source(s);
    const struct keeper_config config = {.mountpoint = s->mountpoint,
                                         .socket = s->socket,
                                         .source = source,
                                         .uid = s->uid,
                                         .gid = s->gid,
                                         .orphan_timeout = s->orphan_timeout,
                                         .read_ahead = READ_MAX,
                                         .mask = s->mask,
                                         .unmount = s->unmount || spawn != NULL,
                                         .spawn = spawn,
                                         .ctx = ctx};

    struct hfc_error err;

    if (preflight_others(s, "/proc/self/mountinfo", &err) < 0)
        return command_error("%s", err.msg);
    make_folder(s->socket);
    return keeper_run(&config);
}

static const char doc[] =
    "The privileged half: mounts, and holds the mount for workers (`serve'), which may die and be "
    "replaced without a reader noticing. Takes over from a keeper that is there already.\v"
    "Without --unmount the mount stays when this process is ended by a signal: the worker holds it "
    "until the next keeper comes.\n\n"
    "Exit status: 0 ended as asked, 1 it can't mount, 2 wrong usage.";

static int run(int argc, char **argv)
{
    struct settings s;
    struct hfc_error err;

    settings_read(&s, SETTINGS_KEEP, "MOUNTPOINT", doc, argc, argv);
    log_setup(s.log, "keeper");
    int status = settings_find_mountpoint(&s, &err) < 0 ? command_error("%s", err.msg)
                                                        : keep_with(&s, NULL, NULL);
    settings_free(&s);
    return status;
}

const struct subcommand keep_command = {"keep", "hold a mount for workers: the privileged half",
                                        run};
