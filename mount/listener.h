/* listener.h: GET /metrics, /livez and /readyz, and nothing else (libmicrohttpd, a thread of its
 * own). Connections, their memory and their time are capped.
 */
#ifndef MOUNT_LISTENER_H
#define MOUNT_LISTENER_H

#include <stdbool.h>

#include "buf.h"
#include "error.h"

struct listener;

struct listener_config {
    const char *address; /* ADDR:PORT, [ADDR]:PORT or :PORT; port 0: any */
    /* Called on the listener's thread. */
    void (*metrics)(void *ctx, struct hfc_buf *to);
    /* Whether it is alive, or ready; `why` gets a line in either case. */
    bool (*live)(void *ctx, struct hfc_buf *why);
    bool (*ready)(void *ctx, struct hfc_buf *why);
    void *ctx;
};
/* The message says which address, and what to do when it is taken. */
struct listener *listener_start(const struct listener_config *config, struct hfc_error *err);
unsigned listener_port(const struct listener *l);
void listener_stop(struct listener *l); /* NULL is fine */

#endif
