/* client.h: the other end of the control socket: what `status`, `warm`, `drop` and `scrub` use.
 *
 * Waits with poll(2); no loop, no network. SIGINT and SIGTERM end a wait (EINTR) once
 * client_catch_signals() has been called.
 *
 * Threads: the main thread's.
 */
#ifndef MOUNT_CLIENT_H
#define MOUNT_CLIENT_H

#include <jansson.h>

#include "buf.h"
#include "error.h"
#include "link.h"

enum { CLIENT_KEEPER_MS = 5000, CLIENT_STATUS_MS = 10000, CLIENT_PATH_MAX = 256 };

/* The socket to talk to: `given`, or the only one there is. */
int client_find(const char *given, char path[CLIENT_PATH_MAX], struct hfc_error *err);

/* What the keeper says of itself. */
int client_state(const char *path, struct link_state *state, struct hfc_error *err);

/* A connection with the worker. ENOTCONN: the keeper is there, and no worker serves. */
int client_connect(const char *path, struct hfc_error *err);

/* Sends the command and calls line() for each line of the answer but the last. Returns that, for
 * json_decref(); it may have an "error". NULL: the connection failed (ECONNRESET: the worker has
 * ended), a signal came (EINTR), or nothing came for `ms` (ETIMEDOUT; -1: wait for ever). */
typedef void client_line(void *ctx, json_t *line);
json_t *client_ask(int fd, const json_t *command, int ms, client_line *line, void *ctx,
                   struct hfc_error *err);

void client_catch_signals(void);

/* "12.3 GiB", "120 B". */
void client_add_bytes(struct hfc_buf *out, uint64_t n);
/* "3 d 4 h", "5 min 12 s", "0.3 s". */
void client_add_duration(struct hfc_buf *out, double seconds);

#endif
