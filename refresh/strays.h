/* strays.h: uploads in parts that were never completed: they can't be seen, and cost money. */
#ifndef REFRESH_STRAYS_H
#define REFRESH_STRAYS_H

#include "target.h"

struct stray {
    struct strays *all;
    char *key, *upload_id;
    uint64_t bytes; /* of its parts */
};

struct strays {
    struct target *target;
    struct stray *list;
    size_t n, aborted;
    struct hfc_error error; /* the first one */
};

/* Those that the target has found under its lock; or, with `look`, those that are there now, which
 * may be under way: then there need be no lock. Part of the main flow. -1: told to stop, or they
 * can't be listed. Free them in any case. */
int strays_find(struct strays *s, struct target *t, bool look, struct hfc_error *err);

/* Removes them all. -1: told to stop, the lock is lost, or some could not be removed. */
int strays_abort(struct strays *s, struct hfc_error *err);

void strays_free(struct strays *s); /* zeroed is fine */

#endif
