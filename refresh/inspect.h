/* inspect.h: the one bucket that verify, list and gc look at, and which models of it. */
#ifndef REFRESH_INSPECT_H
#define REFRESH_INSPECT_H

#include "commands.h"

enum { INSPECTION_JOBS = 4, INSPECTION_JOBS_MAX = 64 };

struct inspection_options {
    const char *url;
    enum target_use use;
    size_t memory; /* for everything */
    unsigned jobs; /* connections */
    int64_t lock_wait_ms;
};

struct inspection {
    struct hfc_loop *loop;
    struct stopper *stopper;
    struct target *target;
    size_t tables;               /* bytes for the target's tables */
    size_t tree_max;             /* bytes of a trees/COMMIT.json that can be looked at */
    struct hfc_index *published; /* see inspection_published() */
};

/* Opens it; an error is printed and -1 returned. Close it in any case. */
int inspection_open(struct inspection *in, const struct inspection_options *options);
void inspection_close(struct inspection *in);

/* The index as it is in the bucket, empty if there is none that can be read: what it promises, as
 * opposed to target->index, which holds only what is really there. Read when first asked for. -1:
 * told to stop, or the bucket can't be read. */
int inspection_published(struct inspection *in, const struct hfc_index **out,
                         struct hfc_error *err);

/* Prints why the command fails; returns STATUS_FAILED. */
int inspection_failed(const struct inspection *in, const struct hfc_error *err);

/* A choice of repositories; none is all of them. */
struct selection {
    char **folders;
    bool *found;
    size_t n;
};

/* From the names of models. A wrong name is printed, -1. */
int selection_of(char *const *words, size_t n, struct selection *out);
void selection_free(struct selection *s);

/* Whether the folder, of n bytes, is chosen; it is then noted as found. */
bool selection_has(struct selection *s, const char *folder, size_t n);

/* Prints the names of those that were not found; returns STATUS_OK or STATUS_FAILED. */
int selection_missing(const struct selection *s);

#endif
