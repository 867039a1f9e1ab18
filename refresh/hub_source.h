/* hub_source.h: where a file's bytes are (hub_source.c), for those who fetch them (hub_fetch.c). */
#ifndef REFRESH_HUB_SOURCE_H
#define REFRESH_HUB_SOURCE_H

#include "hub_internal.h"

/* Someone who waits for an address: a member of its owner's struct; zeroed is idle. */
struct source_wait {
    void (*ready)(void *ctx, const struct hfc_error *err); /* err NULL: there is an address */
    void *ctx;
    struct source_wait *next, **link; /* link NULL: idle */
};

struct hub_source {
    struct hub *hub;
    struct hub_file file; /* path is NULL: it is in resolve_url */
    char commit[HUB_COMMIT + 1];
    char *resolve_url;
    char *address;       /* of the bytes, if lfs; a signed URL. NULL: not known */
    unsigned generation; /* of the address */
    struct request resolver;
    bool resolving, commit_seen;
    struct source_wait *waiting;
    unsigned fetches; /* under way */
};

/* Asks the Hub for the address; ready() is called from the loop, for all that wait. */
void source_wait(struct hub_source *s, struct source_wait *w);
void source_forget(struct source_wait *w);

/* The address of this generation was refused. */
void source_expired(struct hub_source *s, unsigned generation);

/* Checks what an answer of the Hub says of the file, as far as it says something: commit, hash,
 * size. *commit_seen becomes true if the commit was told. */
int source_check(const struct hub_source *s, const struct hfc_response *r, bool *commit_seen,
                 struct hfc_error *err);

#endif
