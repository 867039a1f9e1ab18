/* settings.h: options of run, keep and serve, from the command line and --config.
 *
 * The file has a line for each option, "name = value" without dashes; '#' begins a comment. The
 * command line wins. Errors carry FILE:LINE:COLUMN.
 */
#ifndef MOUNT_SETTINGS_H
#define MOUNT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

#endif
