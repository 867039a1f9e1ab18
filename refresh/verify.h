/* verify.h: reads again what a bucket holds, and compares it with what is known of it.
 *
 *   verify.c         which objects there should be: the index, trees, refs
 *   verify_object.c  one object: reading, hashing, comparing
 *
 * Part of the main flow, which waits; several objects are read side by side. Nothing is written.
 */
#ifndef REFRESH_VERIFY_H
#define REFRESH_VERIFY_H

#include "inspect.h"
#include "pool.h"

enum verify_finding {
    VERIFY_BAD,  /* the object is not what it should be */
    VERIFY_FAIL, /* it could not be looked at */
    VERIFY_NOTE, /* worth knowing */
};

/* `key` without control characters is not promised. */
typedef void verify_say(void *ctx, enum verify_finding finding, const char *key, const char *text);

struct verify_counts {
    uint64_t objects, bytes; /* of all that was looked at */
    uint64_t verified;       /* objects whose hash is right */
    uint64_t unknown;        /* objects of which no hash is known */
    uint64_t read;           /* bytes that were read */
    uint64_t bad, failed;
};

struct verify {
    struct inspection *in;
    struct selection *models;
    const struct hfc_index *published;
    verify_say *say;
    void *ctx;
    struct pool pool;
    uint64_t total; /* bytes of the objects to look at */
    struct verify_counts counts;
};

/* Verifies the models, or everything. -1: told to stop, or the loop or the index's object failed;
 * findings are no failure. `v` has in, models, say, ctx. */
int verify_run(struct verify *v, unsigned jobs, struct hfc_error *err);

/* What an object should be. */
struct expected {
    bool has_size;
    uint64_t size;
    struct hfc_meta meta;
    const char *by; /* who says so, for the message */
};

/* For verify*.c: looks at the entry of in->target->index; the end comes later. -1: told to stop. */
int verify_object(struct verify *v, const struct hfc_entry *e, const struct expected *expected,
                  struct hfc_error *err);

__attribute__((format(printf, 4, 5))) void verify_found(struct verify *v,
                                                        enum verify_finding finding,
                                                        const char *key, const char *fmt, ...);

#endif
