/* control_internal.h: what control*.c share; see control.h.
 *
 * A client has one command. Those that take their time (jobs) are moved on by control_turn(), a
 * piece at a time, so that the loop has its turns for the store: when something has happened that
 * they wait for (the eventfd `wake`), when they ask for another turn, and ten times a second.
 *
 * Threads: the loop's, but for what is said to be atomic or under the lock.
 */
#ifndef MOUNT_CONTROL_INTERNAL_H
#define MOUNT_CONTROL_INTERNAL_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "control.h"
#include "loop.h"

enum {
    CONTROL_WARMS_MAX = 2, /* also those whose client has left, until their reads are back */
    CONTROL_MODELS_MAX = 1000,
    CONTROL_TICK_MS = 100,
    CONTROL_PROGRESS_MS = 500,
    CONTROL_COMMAND_MS = 10000, /* until the command is here */
    CONTROL_STUCK_MS = 30000,   /* without reading its answer */
};

struct warm;

/* A walk over what is cached, for drop: control_drop.c. */
struct drop {
    json_t *models;            /* NULL: none runs */
    uint64_t after;            /* ids up to this are done */
    uint64_t *bytes, *objects; /* of each model */
};

struct control_client {
    int fd; /* -1: free */
    struct hfc_buf in, out;
    size_t sent;        /* of `out` */
    int64_t moved;      /* ms: when it came, or last took something */
    int64_t progressed; /* when it was last told of progress */
    bool commanded, ending, scrubs;
    struct warm *warm;
    struct drop drop;
};

/* The one scrub: a thread and what it tells; control_scrub.c. */
struct scrub {
    pthread_t thread;
    bool running;  /* there is a thread to be joined */
    bool stop;     /* by __atomic: blob_verify() looks at it */
    uint64_t rate; /* bytes a second; 0: no limit */
    struct cache *cache;
    struct engine *engine;
    void *buffer; /* BLOCK_SIZE */
    int wake;
    _Atomic uint64_t objects, done, bytes, verified, wrong;
    _Atomic bool ended;
};

struct control {
    struct control_config config;
    int epoll, wake;
    struct hfc_watch watch;
    struct hfc_timer tick, again;
    struct control_client clients[CONTROL_CLIENTS_MAX];
    struct warm *warms[CONTROL_WARMS_MAX];
    struct scrub scrub;
    pthread_mutex_t lock; /* what reads of warms tell when they are done */
    uint64_t began;       /* clock_ns() */
};

/* Queues a line; the object is taken over. A client that has too much queued is hung up on. */
void control_say(struct control *c, struct control_client *to, json_t *line);
/* The same, and it was the last: "end" is added, and "error" unless `error` is NULL. */
void control_end(struct control *c, struct control_client *to, json_t *line, const char *error);
/* Whether the client is to hear of progress now: it has read all, and the last one was long ago. */
bool control_progress(struct control_client *to);
/* Comes back to control_turn() when the loop has had its turn. */
void control_again(struct control *c);

/* control_status.c */
json_t *control_status(struct control *c);

/* control_warm.c. `models` is an array of names that are right, kept by reference. NULL: too many
 * are running. */
struct warm *warm_start(struct control *c, struct control_client *client, json_t *models);
void warm_leave(struct warm *w); /* the client is gone */
void warm_turn(struct warm *w);  /* may free it */
void warm_free(struct warm *w);  /* whatever is under way */

/* control_drop.c */
void drop_start(struct drop *d, json_t *models);
void drop_turn(struct control *c, struct control_client *client);
void drop_end(struct drop *d);

/* control_scrub.c. Starting one that runs is joining it. */
int scrub_start(struct control *c, struct hfc_error *err);
void scrub_turn(struct control *c);
void scrub_stop(struct control *c);

#endif
