/* models_internal.h: the words of a line of models.txt (models_words.c), for models.c. */
#ifndef REFRESH_MODELS_INTERNAL_H
#define REFRESH_MODELS_INTERNAL_H

#include "models.h"

/* A word: not empty, no blanks, valid UTF-8 without controls, not ended by NUL. */
struct word {
    const char *at;
    size_t n;
};

/* Hears of each fault; `at` is where in the word it starts. */
struct word_report {
    void (*fault)(void *ctx, const char *at, const char *message, const char *hint);
    void *ctx;
};

/* Options that a line may have once. */
struct options_seen {
    bool kind, config_only;
};

/* REPO[@REVISION] -> m->repo, m->revision, unless there is a fault. */
void word_repo(struct word w, struct model *m, const struct word_report *report);

/* One option -> *m. */
void word_option(struct word w, struct model *m, struct options_seen *seen,
                 const struct word_report *report);

#endif
