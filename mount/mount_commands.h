/* mount_commands.h: the subcommands of hfcache-mount. Each cmd_*.c reads its arguments with argp
 * and puts the parts together.
 *
 * Threads: the main thread's.
 */
#ifndef MOUNT_MOUNT_COMMANDS_H
#define MOUNT_MOUNT_COMMANDS_H

#include <jansson.h>

#include "buf.h"
#include "command.h"
#include "settings.h"

extern const struct subcommand run_command, keep_command, serve_command, status_command,
    warm_command, drop_command, scrub_command;

/* cmd_keep.c: what `run` and `keep` have in common: a keeper with these settings. `spawn` and `ctx`
 * as in struct keeper_config. Returns the exit status. */
int keep_with(const struct settings *s,
              int (*spawn)(void *ctx, bool standby, struct hfc_error *err), void *ctx);

/* status_text.c: the screen. */
void status_print(const json_t *status, struct hfc_buf *out);

#endif
