/* control.h: what `status`, `warm`, `drop` and `scrub` ask of the serving worker.
 *
 * The keeper connects a client with the worker by a stream socket (LINK_CONNECTED). The client
 * sends one line of JSON, {"command": NAME, ...}; the worker answers with lines of JSON, the last
 * of which has "end": true and, if it failed, "error". In between, {"progress": {...}}.
 *
 *   status                                one line: everything of `status --json` but the keeper's
 *   warm  {"models": ["org/name"]}        reads all files of these models into the cache
 *   drop  {"models": [...]}               removes them from the cache
 *   scrub {}                              verifies the whole cache; goes on if the client leaves
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
    /* Adds what the worker knows to the status object (jansson). */
    void (*status)(void *ctx, void *json_object);
    void *ctx;
};
struct control *control_new(const struct control_config *config);
void control_free(struct control *c);

/* A client; the descriptor is the control's. Refused (with a line) when there are too many. */
void control_connect(struct control *c, int fd);

#endif
