/* cmd_serve.c: `serve`: a worker: the unprivileged half. */
#include "mount_commands.h"
#include "preflight.h"
#include "worker.h"

static const char doc[] =
    "The unprivileged half: serves the mount of the keeper that listens at --socket, from the "
    "store and the cache. If another worker serves already it is asked to leave, unless this one "
    "is a --standby.\v"
    "Credentials come from the environment, as for the AWS SDKs. SIGTERM drains, SIGHUP looks at "
    "credentials and names again.\n\n"
    "Exit status: 0 drained or unmounted, 1 it can't serve, 2 wrong usage.";

static int run(int argc, char **argv)
{
    struct settings s;

    settings_read(&s, SETTINGS_SERVE, "--socket PATH --store URL --cache DIR", doc, argc, argv);
    log_setup(s.log, "worker");
    preflight_home(&s);
    int status = worker_run(&s);
    settings_free(&s);
    return status;
}

const struct subcommand serve_command = {"serve", "serve a keeper's mount: the unprivileged half",
                                         run};
