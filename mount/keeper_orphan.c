/* keeper_orphan.c: EIO for every request while no worker comes back, so that nobody waits for
 * hours. Of a request only the header is looked at. Used only while no worker is active, so that
 * the device and the slots are the keeper's alone.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "keeper_internal.h"
#include "logging.h"

enum { BATCH = 64 /* requests answered before the loop looks at other things */ };

static void refuse(struct keeper *k, const struct fuse_in_header *in)
{
    struct fuse_out_header out = {.len = sizeof(out), .error = -EIO, .unique = in->unique};

    if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET)
        return; /* nobody waits for an answer */
    if (in->opcode == FUSE_INTERRUPT)
        out.error = -ENOSYS;
    else
        atomic_fetch_add(&k->shared->orphaned, 1);
    /* ENOENT: the request has been interrupted, or answered before its worker died. */
    if (write(k->dev, &out, sizeof(out)) < 0 && errno != ENOENT)
        log_line(LOG_REQUEST, LEVEL_WARNING, "answering a request: %s", strerrordesc_np(errno));
}

/* The header is copied first: a worker has had these bytes in its hands. */
static void refuse_slot(struct keeper *k, struct fuse_in_header *slot, struct slot_state *state)
{
    struct fuse_in_header in = *slot;

    if (in.len >= sizeof(in))
        refuse(k, &in);
    slot->len = 0;
    atomic_store(&state->flags, 0);
    atomic_store(&state->strikes, 0);
}

void keeper_orphan_begin(struct keeper *k)
{
    struct shared *s = k->shared;

    assert(keeper_active(k) == NULL);
    k->orphaned = true;
    log_line(LOG_START, LEVEL_ERROR,
             "no worker for %u s: every request is answered EIO until one registers",
             k->config->orphan_timeout);
    for (unsigned i = 0; i < INTAKE_SLOTS; i++)
        refuse_slot(k, (struct fuse_in_header *)(void *)s->intake[i].bytes, &s->intake_state[i]);
    for (unsigned i = 0; i < PARKED_SLOTS; i++)
        refuse_slot(k, &s->parked[i].in, &s->parked[i].state);
}

void keeper_orphan_answer(struct keeper *k)
{
    static union {
        struct fuse_in_header in;
        uint8_t bytes[INTAKE_SIZE];
    } request;

    assert(k->orphaned && keeper_active(k) == NULL);
    for (unsigned i = 0; i < BATCH; i++) {
        ssize_t n = read(k->dev, &request, sizeof(request));
        if (n >= (ssize_t)sizeof(request.in))
            refuse(k, &request.in);
        else if (n >= 0 || (errno != EINTR && errno != ENOENT))
            return; /* EAGAIN: no more; ENODEV is seen by the loop */
    }
}
