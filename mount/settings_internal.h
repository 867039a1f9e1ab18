/* settings_internal.h: what settings.c, settings_table.c and settings_file.c share.
 *
 * Threads: the table is constant.
 */
#ifndef MOUNT_SETTINGS_INTERNAL_H
#define MOUNT_SETTINGS_INTERNAL_H

#include "buf.h"
#include "settings.h"

enum setting_kind {
    SETTING_TEXT,    /* char * */
    SETTING_STORE,   /* char *, the URL of a store */
    SETTING_ADDRESS, /* char *, ADDR:PORT */
    SETTING_NUMBER,  /* unsigned */
    SETTING_BYTES,   /* uint64_t or size_t */
    SETTING_SHARE,   /* cache_size and cache_percent */
    SETTING_USER,    /* uid and gid */
    SETTING_FEATURE, /* mask: may be given several times */
    SETTING_FLAG,    /* bool, without a value; "true" or "false" in the file */
    SETTING_FORMAT,  /* enum log_format */
};

struct setting {
    const char *name, *value; /* what --help calls its value; NULL: a flag */
    enum setting_kind kind;
    unsigned whom; /* SETTINGS_* */
    size_t at;     /* in struct settings */
    uint64_t low, high;
    const char *help;
};

enum { SETTINGS_COUNT = 17, SETTINGS_FILE_MAX = 64 * 1024 };
extern const struct setting settings_table[SETTINGS_COUNT];

/* The row with this name of n bytes; NULL. */
const struct setting *setting_find(const char *name, size_t n);

/* Sets the value from its text; -1: the message says what would be right, without the option's
 * name. */
int setting_set(struct settings *s, const struct setting *row, const char *text,
                struct hfc_error *err);

/* The value as setting_set() takes it; nothing if it is not set. */
void setting_print(const struct settings *s, const struct setting *row, struct hfc_buf *out);

void settings_defaults(struct settings *s);

/* Reads the text of a file. What `given` has already (an element for each row) keeps its value;
 * rows that were set are added to it. Calls fault() for everything that is wrong, in the order of
 * lines. Returns how much that was. */
typedef void settings_fault(void *ctx, unsigned line, unsigned column, const char *message);
unsigned settings_file_take(struct settings *s, bool *given, unsigned whom, const char *text,
                            size_t n, settings_fault *fault, void *ctx);

/* The file itself; prints "FILE:LINE:COLUMN: message" for each fault. -1: there were some, or it
 * can't be read. */
int settings_file_read(struct settings *s, bool *given, unsigned whom, const char *path);

#endif
