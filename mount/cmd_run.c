/* cmd_run.c: `run`: keeper and workers on one machine, in the foreground.
 *
 * This process is the keeper; workers are this program again, with `serve`. Their arguments are
 * made once, before anything is mounted; credentials are in the environment that they inherit.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper.h"
#include "mount_commands.h"
#include "preflight.h"

struct workers {
    char **args, **standby_args;
};

/* In the child. Its own process group: what is typed at the terminal is for the keeper, which then
 * tells the worker. What the keeper does with signals is not inherited. */
static _Noreturn void become_worker(char **argv)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)setpgid(0, 0);
    for (int number = 1; number < SIGRTMAX; number++)
        (void)signal(number, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    (void)execv("/proc/self/exe", argv);
    log_line(LOG_START, LEVEL_ERROR, "a worker can't be started: /proc/self/exe: %s",
             strerror(errno));
    _exit(WORKER_CANT_SERVE);
}

/* The process's number. */
static int spawn(void *ctx, bool standby, struct hfc_error *err)
{
    struct workers *w = ctx;
    pid_t child = fork();

    if (child < 0)
        return hfc_error_set(err, errno, "starting a worker");
    if (child == 0)
        become_worker(standby ? w->standby_args : w->args);
    return child;
}

/* A worker that is not root stays who it is. */
static int prepare(struct settings *s, struct hfc_error *err)
{
    if (geteuid() != 0) {
        s->uid = geteuid();
        s->gid = getegid();
    }
    s->memory = settings_memory(s);
    preflight_home(s);
    if (settings_find_mountpoint(s, err) < 0 || preflight_cache(s, err) < 0)
        return -1;
    return preflight_worker(s, err);
}

static int start(struct settings *s)
{
    struct hfc_error err;

    if (prepare(s, &err) < 0)
        return command_error("%s", err.msg);
    struct workers w = {settings_worker_args(s, false), settings_worker_args(s, true)};
    int status = keep_with(s, spawn, &w);
    free(w.args);
    free(w.standby_args);
    return status;
}

static const char doc[] =
    "Shows the store at MOUNTPOINT until it is ended: a keeper, which holds the mount, and "
    "workers, "
    "which serve it and are replaced when they die.\v"
    "Runs in the foreground, as root; workers run as --user. Credentials come from the "
    "environment, "
    "as for the AWS SDKs. SIGINT and SIGTERM unmount.\n\n"
    "Exit status: 0 ended as asked, 1 it can't mount or serve, 2 wrong usage.";

static int run(int argc, char **argv)
{
    struct settings s;

    settings_read(&s, SETTINGS_RUN, "--store URL --cache DIR MOUNTPOINT", doc, argc, argv);
    log_setup(s.log, "keeper");
    int status = start(&s);
    settings_free(&s);
    return status;
}

const struct subcommand run_command = {"run", "mount and serve, on one machine", run};
