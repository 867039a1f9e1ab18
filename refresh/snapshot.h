/* snapshot.h: one revision of one repository on its way into the buckets of a run. */
#ifndef REFRESH_SNAPSHOT_H
#define REFRESH_SNAPSHOT_H

#include "budget.h"
#include "hub.h"
#include "report.h"
#include "target.h"

struct transfers;

/* What the parts of a run share. */
struct run {
    struct hfc_loop *loop;
    struct hub *hub;
    struct report *report;
    struct transfers *transfers;
    struct target *const *targets;
    size_t ntargets; /* at most TARGETS_MAX */
    struct budget budget;
    bool dry_run, prune;
};

/* A file of the commit. */
struct wanted {
    char *path;
    struct content_id id; /* git_sha1 is also there if lfs: git's name of the pointer */
    bool wanted;          /* by the model's patterns; the others only stand in the tree */
    uint32_t missing;     /* bit i: targets[i] is wanted to have it, and does not yet */
};

/* How a target stands with the snapshot. */
enum standing {
    STANDING_OPEN,      /* not looked at */
    STANDING_UNCHANGED, /* has everything, and the ref */
    STANDING_BEHIND,    /* something is to be brought or published */
    STANDING_PUBLISHED,
    STANDING_FAILED,
};

struct snapshot_target {
    enum standing standing;
    uint64_t files[FILE_OUTCOMES], bytes[FILE_OUTCOMES];
    struct hfc_error error; /* STANDING_FAILED */
};

struct snapshot {
    struct run *run;
    const struct model *model;
    char *name;   /* "org/name", a dataset with "datasets/" in front */
    char *folder; /* "models--org--name" */
    char *id;     /* the Hub's name for it now */
    char commit[HFC_COMMIT_SIZE];
    uint8_t filter[HFC_SHA256_SIZE];
    struct wanted *files; /* all of the commit, in the order of their paths */
    size_t nfiles;
    size_t memory; /* bytes that files take */
    struct snapshot_target in[TARGETS_MAX];
    size_t under_way;       /* files that transfers has and has not ended */
    struct hfc_error error; /* with the Hub: nothing can be published */
    int64_t began;          /* hfc_now_ms() */
};

struct snapshot *snapshot_new(struct run *run, const struct model *model);
void snapshot_free(struct snapshot *s);

/* Appends the key of a file, of the tree, of the ref. */
void snapshot_key(const struct snapshot *s, const char *path, struct hfc_buf *out);
void snapshot_tree_key(const struct snapshot *s, struct hfc_buf *out);
void snapshot_ref_key(const struct snapshot *s, struct hfc_buf *out);

/* What is known of a file once its bytes were checked. `sha256` NULL: only if the Hub told it. */
struct hfc_meta wanted_meta(const struct wanted *w, const uint8_t *sha256);

/* The snapshot can't be published in targets[i], because of `why`. The first reason counts. */
void snapshot_fail(struct snapshot *s, size_t i, const struct hfc_error *why);

/* Counts and reports the end of a file in targets[i]. */
void snapshot_file_ended(struct snapshot *s, struct wanted *w, size_t i, enum file_outcome outcome,
                         const struct hfc_error *why);

/* plan.c: asks the Hub what the revision is, compares with the targets, and, unless it is a dry
 * run, gives what is missing to transfers. -1: told to stop; everything else is noted in `s`. */
int snapshot_plan(struct snapshot *s, struct hfc_error *err);

/* publish.c: tree, index and ref, in that order, in each target that has all files. The same -1. */
int snapshot_publish(struct snapshot *s, struct hfc_error *err);

/* Tells the report how it ended, target by target. */
void snapshot_report(const struct snapshot *s);

#endif
