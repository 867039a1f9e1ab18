/* models.h: models.txt, the list of what the bucket has to hold.
 *
 * A line is `REPO[@REVISION] [kind=model|dataset] [allow=GLOB]... [ignore=GLOB]... [config-only]`.
 * '#' starts a comment anywhere, blanks around words don't count. Whatever is wrong is reported,
 * all of it, with line and column (in characters, from 1).
 *
 * Threads: no state.
 */
#ifndef REFRESH_MODELS_H
#define REFRESH_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"
#include "hash.h"

enum {
    MODELS_BYTES_MAX = 4 * 1024 * 1024, /* of models.txt */
    MODEL_REVISION_MAX = 255,
    MODEL_GLOBS_MAX = 256,  /* allow= and ignore= of one line, each */
    MODEL_GLOB_MAX = 1024,  /* bytes */
    MODEL_SEGMENT_MAX = 96, /* of a repository's name */
};

enum repo_kind { REPO_MODEL, REPO_DATASET };

struct model {
    enum repo_kind kind;
    char *repo;     /* "org/name" or "name" */
    char *revision; /* "main" if none was given */
    char **allow, **ignore;
    size_t nallow, nignore;
    bool config_only;
    unsigned line; /* in models.txt; 0: from the command line */
};

struct models {
    struct model *list;
    size_t n;
};

/* Something is wrong at this place. `hint` may be NULL. */
typedef void models_report(void *ctx, unsigned line, unsigned column, const char *message,
                           const char *hint);

/* Reads the list. -1: report() has been called at least once and *out is empty, or the file can't
 * be read (`err`). After -1 by findings `err` says how many there were. */
int models_read(const char *path, struct models *out, models_report *report, void *ctx,
                struct hfc_error *err);

/* The same on text. Returns how many findings there were; *out is empty unless that is 0. */
size_t models_parse(const char *text, size_t n, struct models *out, models_report *report,
                    void *ctx);

/* `REPO[@REVISION]` as on the command line, with nothing behind it. */
int model_parse_argument(const char *text, struct model *out, struct hfc_error *err);

void models_free(struct models *models);
void model_free(struct model *model);

/* Appends the cache's folder for it: "models--org--name" or "datasets--org--name". */
void model_folder(const struct model *model, struct hfc_buf *out);

/* A digest of which files are wanted: it changes when allow=, ignore= or config-only do. The order
 * of the globs and repeated ones make no difference. */
void model_filter(const struct model *model, uint8_t digest[HFC_SHA256_SIZE]);

/* NULL, or what is wrong with a repository's id by the Hub's rules: a text such as "has an empty
 * part". For ids that the Hub sends, too. */
const char *model_id_fault(const char *id);

#endif
