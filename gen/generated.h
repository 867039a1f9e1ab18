/* generated.h: the folder of generated manifests: its flags, and the mark by which it is known. */
#ifndef GEN_GENERATED_H
#define GEN_GENERATED_H

#include <stdbool.h>

#include "cli.h"

/* A file in the folder that says whose it is: without it a folder with content is not replaced. */
#define GENERATED_MARK ".hfcache-gen"
#define GENERATED_MARK_TEXT                                                                        \
    "This folder is written by `hfcache-gen generate`; whatever else is put here is removed.\n"

/* What `generate` and `check` take. */
struct generated_flags {
    struct workspace_paths paths;
    const char *out;   /* NULL: the default */
    const char *image; /* NULL: not given */
    bool quiet;
    int argc; /* the clusters */
    char **argv;
};

/* EXIT_OK, EXIT_USAGE, or -1 after --help. */
int generated_parse(const struct command *self, int argc, char **argv, struct generated_flags *f);

/* 0 if the folder is missing, empty, or has the mark. */
int generated_guard(const char *dir, struct hfc_error *err);

#endif
