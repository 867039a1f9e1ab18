/* settings.h: options of run, keep and serve, from the command line and --config.
 *
 * The file has a line for each option, "name = value" without dashes; '#' begins a comment. The
 * command line wins. Errors carry FILE:LINE:COLUMN. One file may serve all three: an option that is
 * another's is checked and passed over. settings_table.c has the options, settings_file.c the file.
 *
 * Threads: plain data; read by the main thread.
 */
#ifndef MOUNT_SETTINGS_H
#define MOUNT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "logging.h"

struct settings {
    char *mountpoint, *store, *cache, *socket, *listen, *config;
    uint64_t cache_size;       /* bytes; 0: cache_percent */
    unsigned cache_percent;    /* default 80 */
    size_t memory;             /* 0: from the cgroup, else 256 MiB */
    unsigned read_timeout;     /* s, default 300 */
    unsigned refresh_interval; /* s, default 60 */
    unsigned orphan_timeout;   /* s, default 120 */
    unsigned connections;      /* 0: from memory */
    uint64_t scrub_rate;       /* bytes a second, default 64 MiB */
    uid_t uid;                 /* of the worker; default 65534 */
    gid_t gid;
    uint64_t mask; /* --without FEATURE: FUSE_* flags never asked for */
    bool standby;  /* serve --standby */
    bool unmount;  /* keep --unmount; run always unmounts */
    enum log_format log;
};

/* Whose options: bits. */
enum { SETTINGS_RUN = 1, SETTINGS_KEEP = 2, SETTINGS_SERVE = 4 };

/* Reads the arguments, then the file, and fills in defaults. What is wrong, with either, ends the
 * program as wrong usage; --help ends it as well. `args` and `doc` are for --help (argp). */
void settings_read(struct settings *s, unsigned whom, const char *args, const char *doc, int argc,
                   char **argv);
void settings_free(struct settings *s);

/* --memory, or the cgroup's limit, or 256 MiB. */
size_t settings_memory(const struct settings *s);

/* Makes the mount point absolute, and chooses the socket after it if none was given; asks nothing
 * of whoever serves what may be mounted there. */
int settings_find_mountpoint(struct settings *s, struct hfc_error *err);

/* The arguments of a worker that has these settings: argv[0] is "hfcache-mount", NULL ends it. One
 * piece of memory, for free(3). */
char **settings_worker_args(const struct settings *s, bool standby);

#endif
