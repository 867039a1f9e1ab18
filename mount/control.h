/* control.h: what `status`, `warm`, `drop` and `scrub` ask of the serving worker.
 *
 * The keeper connects a client with the worker by a stream socket (LINK_CONNECTED). The client
 * sends one line of JSON, {"command": NAME, ...}; the worker answers with lines of JSON, the last
 * of which has "end": true and, if it failed, "error". In between, {"progress": {...}}, and for
 * each model {"done": {...}}.
 *
 *   status                                one line: everything of `status --json` but the keeper's
 *   warm  {"models": ["org/name"]}        reads all files of these models into the cache; ends if
 *                                         the client leaves
 *   drop  {"models": [...]}               removes them from the cache
 *   scrub {}                              verifies the whole cache; goes on if the client leaves,
 *                                         as it may at once: {"detach": true}
 *
 * Of the status object control_status.c makes what can be read from metrics, cache, engine and
 * catalog; the worker's function adds, at the top: "store" (URL), "last_takeover_ms", "failures":
 * an array of {"age_s", "message"}, the newest first, and whatever else it knows.
 *
 * All clients are behind one epoll descriptor, which is the one watch that the loop has of them.
 * A client that sends nothing, or does not read, is hung up on.
 *
 * Threads: the loop's; warming reads complete on any.
 */
#ifndef MOUNT_CONTROL_H
#define MOUNT_CONTROL_H

#include "catalog.h"
#include "engine.h"

enum { CONTROL_CLIENTS_MAX = 4, CONTROL_LINE_MAX = 64 * 1024, WARM_READS = 8 };

struct control;

struct control_config {
    struct hfc_loop *loop;
    struct engine *engine;
    struct cache *cache;
    struct catalog *catalog;
    uint64_t scrub_rate;
    /* Adds what the worker knows to the status object (jansson). May be NULL. */
    void (*status)(void *ctx, void *json_object);
    void *ctx;
};
/* NULL: out of memory or descriptors. */
struct control *control_new(const struct control_config *config, struct hfc_error *err);
/* Hangs up on all clients, ends the scrub. After engine_abandon(), as reads of `warm` may be under
 * way, and before the cache is closed. */
void control_free(struct control *c);

/* A client; the descriptor is the control's. Refused (with a line) when there are too many. */
void control_connect(struct control *c, int fd);

#endif
