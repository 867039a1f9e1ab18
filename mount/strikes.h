/* strikes.h: which request a worker died of.
 *
 * A slot is EXECUTING while a thread works on its request (not while it waits parked). At a
 * take-over every EXECUTING or BLAMED slot gets a strike and is SUSPECT: the successor executes it
 * alone, before everything else, so that further deaths tell it from bystanders. A crash (SIGSEGV
 * and the like) blames exactly the slot, or the reads of the blob, that its thread was at work on:
 * the handler writes to shared memory and lets the signal have its way. With STRIKES_MAX strikes a
 * request is answered EIO.
 *
 * Threads: strikes_enter() and friends are of the calling thread.
 */
#ifndef MOUNT_STRIKES_H
#define MOUNT_STRIKES_H

#include <stdbool.h>

#include "shared.h"

/* Installs the handlers for SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT (not in sanitized builds). */
void strikes_setup(struct shared *shared);

void strikes_enter(struct slot_state *slot);
void strikes_leave(struct slot_state *slot);

/* This thread is at work for the readers of a blob (a fetch, say); 0: no more. */
void strikes_blob(uint64_t node_id);

/* At a take-over: gives strikes, clears EXECUTING and BLAMED. Returns how many are suspects. */
unsigned strikes_judge(struct shared *shared);
bool strikes_out(const struct slot_state *slot); /* STRIKES_MAX reached */
void strikes_clear(struct slot_state *slot);     /* the slot is free */

#endif
