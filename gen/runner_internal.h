/* runner_internal.h: what the files that resolve a runner share. Each step fills some fields,
 * reports what is wrong and returns false if a field could not be filled. */
#ifndef GEN_RUNNER_INTERNAL_H
#define GEN_RUNNER_INTERNAL_H

#include "runner.h"

typedef bool runner_step(const struct runner_context *ctx, struct runner *r);

/* runner_capacity.c */
runner_step runner_capacity, runner_multiplier;

/* runner_routing.c */
runner_step runner_group, runner_class, runner_scheduler;

/* A field of text that the caller made or found. Empty text is not `present`. */
void runner_set(struct runner *r, enum field f, const char *text, const struct ynode *from,
                const char *rule);

/* A field that prints the node as Python would. */
void runner_set_node(const struct runner_context *ctx, struct runner *r, enum field f,
                     const struct ynode *n, const char *rule);

/* Warns of a value that is printed as it is, but cannot be what was meant. */
void runner_odd(const struct runner_context *ctx, const struct ynode *n, const char *what,
                const char *expected);

#endif
