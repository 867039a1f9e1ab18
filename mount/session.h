/* session.h: requests from the kernel: threads, slots, what a dead predecessor left, draining.
 *
 * A libfuse low-level session over the keeper's descriptor: the keeper has done the INIT handshake,
 * here it is fed to libfuse and the answer swallowed. FUSE_THREADS threads take requests into their
 * intake slot and have fs.h answer them. A read that has to wait is parked: copied to a parked
 * slot, its thread goes on. FORGET is ignored, INTERRUPT is ENOSYS.
 *
 * Order at a take-over: what the predecessor left in slots is executed first, suspects (strikes.h)
 * alone and one after the other; then new requests are taken.
 *
 * Threads: start, drain and free from the loop's thread.
 */
#ifndef MOUNT_SESSION_H
#define MOUNT_SESSION_H

#include <stdbool.h>

#include "engine.h"
#include "error.h"
#include "shared.h"

struct session;
struct fs;

struct session_config {
    int dev; /* /dev/fuse; stays the caller's */
    struct shared *shared;
    struct fs *fs;
    struct engine *engine;
    unsigned threads; /* at most INTAKE_SLOTS */
    /* From one of its threads, once: the mount is gone (unmounted), or broken beyond use. */
    void (*ended)(void *ctx);
    void *ctx;
};

struct session *session_start(const struct session_config *config, struct hfc_error *err);

/* Takes no more requests. Parked ones go on being answered: while they need the loop, its thread
 * has to run it. */
void session_stop(struct session *s);
/* The same; then waits, without the loop, up to `ms` for those that are parked, has the engine
 * abandon the rest and leaves them in their slots. */
void session_drain(struct session *s, int ms);
void session_free(struct session *s);

unsigned session_parked(struct session *s);
uint64_t session_generation(const struct session *s); /* for fs.c */

/* For fs.c: answers the read request `req` (a fuse_req_t) of a blob, now or when its bytes are
 * there. Ends the caller's use of the blob. */
struct fuse_req;
void session_read(struct session *s, struct fuse_req *req, struct blob *blob, uint64_t offset,
                  uint32_t size);

#endif
