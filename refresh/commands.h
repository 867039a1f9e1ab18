/* commands.h: what the subcommands of hfcache-refresh share, beside command.h. Each cmd_*.c reads
 * its arguments with argp and puts the parts together.
 *
 * Threads: the main thread's.
 */
#ifndef REFRESH_COMMANDS_H
#define REFRESH_COMMANDS_H

#include "command.h"
#include "models.h"
#include "report.h"
#include "target.h"

extern const struct subcommand sync_command, verify_command, list_command, gc_command;

/* The value of --memory; what is wrong with it ends the program as wrong usage. */
size_t command_memory(struct argp_state *state, const char *text);
/* Takes the URL of a bucket, once. */
void command_bucket(struct argp_state *state, const char *option, char *text, const char **url);

/* The models whose names were given as arguments, datasets as "datasets/ORG/NAME"; a wrong name, or
 * one that comes twice, is an error (printed, -1). */
int inspection_models(char *const *words, size_t n, struct models *out);

/* The folder "models--org--name" of a key "hub/FOLDER/..."; its length, or 0 if it is no such key.
 * The name people use of a folder: "org/name", datasets with "datasets/" in front. */
size_t repo_folder(const char *key, const char **folder);
void repo_name(const char *folder, size_t n, struct hfc_buf *out);

#endif
