/* settings.c: from arguments to settings, and back for workers; see settings.h.
 *
 * The command line is read first, so that it wins over the file, which fills in what is left.
 */
#include "settings.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "link.h"
#include "memory_plan.h"
#include "need.h"
#include "settings_internal.h"

enum { KEY_BASE = 1000, ARGS_MAX = 64 * 1024, PATH_SIZE = 4096 };
#define MEMORY_DEFAULT ((size_t)256 * 1024 * 1024)

struct reading {
    struct settings *settings;
    unsigned whom;
    bool given[SETTINGS_COUNT];
};

static void take(struct reading *r, size_t i, const char *text, struct argp_state *state)
{
    const struct setting *row = &settings_table[i];
    struct hfc_error err;

    r->given[i] = true;
    if (setting_set(r->settings, row, row->value != NULL ? text : "true", &err) < 0)
        argp_error(state, "--%s: %s", row->name, err.msg);
}

static void take_mountpoint(struct reading *r, const char *text, struct argp_state *state)
{
    if (r->whom == SETTINGS_SERVE)
        argp_error(state, "'%s': the keeper has the mount point, `serve' needs none", text);
    if (r->settings->mountpoint != NULL)
        argp_error(state, "'%s': there is one mount point, and it is '%s'", text,
                   r->settings->mountpoint);
    if (*text == '\0')
        argp_error(state, "the mount point must not be empty");
    r->settings->mountpoint = need_copy(text, strlen(text));
}

/* The file may have the rest, so this comes after it. */
static void check(const struct reading *r, struct argp_state *state)
{
    const struct settings *s = r->settings;

    if ((r->whom & (SETTINGS_RUN | SETTINGS_KEEP)) != 0 && s->mountpoint == NULL)
        argp_error(state, "where to? MOUNTPOINT is missing");
    if ((r->whom & (SETTINGS_RUN | SETTINGS_SERVE)) != 0 && s->store == NULL)
        argp_error(state, "of what? --store URL is missing");
    if ((r->whom & (SETTINGS_RUN | SETTINGS_SERVE)) != 0 && s->cache == NULL)
        argp_error(state, "cached where? --cache DIR is missing");
    if (r->whom == SETTINGS_SERVE && s->socket == NULL)
        argp_error(state, "for which keeper? --socket PATH is missing");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct reading *r = state->input;

    if (key >= KEY_BASE && key < KEY_BASE + SETTINGS_COUNT) {
        take(r, (size_t)(key - KEY_BASE), arg, state);
        return 0;
    }
    switch (key) {
    case ARGP_KEY_ARG:
        take_mountpoint(r, arg, state);
        return 0;
    case ARGP_KEY_END:
        if (r->settings->config != NULL &&
            settings_file_read(r->settings, r->given, r->whom, r->settings->config) < 0)
            exit(STATUS_USAGE);
        check(r, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void settings_read(struct settings *s, unsigned whom, const char *args, const char *doc, int argc,
                   char **argv)
{
    struct argp_option options[SETTINGS_COUNT + 1] = {{0}};
    struct reading r = {.settings = s, .whom = whom};
    size_t n = 0;

    assert(whom == SETTINGS_RUN || whom == SETTINGS_KEEP || whom == SETTINGS_SERVE);
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *row = &settings_table[i];
        if ((row->whom & whom) != 0)
            options[n++] = (struct argp_option){.name = row->name,
                                                .key = KEY_BASE + (int)i,
                                                .arg = row->value,
                                                .doc = row->help,
                                                .group = 1};
    }
    settings_defaults(s);
    command_parse(&(struct argp){options, parse, args, doc, NULL, NULL, NULL}, argc, argv, &r);
}

void settings_free(struct settings *s)
{
    free(s->mountpoint);
    free(s->store);
    free(s->cache);
    free(s->socket);
    free(s->listen);
    free(s->config);
    *s = (struct settings){0};
}

size_t settings_memory(const struct settings *s)
{
    size_t limit = s->memory != 0 ? s->memory : memory_limit_of_cgroup("/");

    return limit != 0 ? limit : MEMORY_DEFAULT;
}

/* A descriptor that is only a path asks nothing of a file system, so that a dead mount, or one that
 * does not answer, holds up nobody; its name in /proc is absolute and without symlinks. */
static int resolve(const char *path, char *to, size_t size, struct hfc_error *err)
{
    hfc_autoclose int fd = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY);
    char name[64];

    if (fd < 0 && errno == ENOENT)
        return hfc_error_set(err, 0, "the mount point %s is not there: mkdir it first", path);
    if (fd < 0)
        return hfc_error_set(err, errno, "the mount point %s", path);
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, to, size - 1);
    if (n < 0 || (size_t)n == size - 1)
        return hfc_error_set(err, n < 0 ? errno : ENAMETOOLONG, "the mount point %s", path);
    to[n] = '\0';
    return 0;
}

int settings_find_mountpoint(struct settings *s, struct hfc_error *err)
{
    char path[PATH_SIZE];

    assert(s->mountpoint != NULL);
    if (resolve(s->mountpoint, path, sizeof(path), err) < 0)
        return -1;
    if (strcmp(path, "/") == 0)
        return hfc_error_set(err, 0, "the mount point can't be the root of all");
    free(s->mountpoint);
    s->mountpoint = need_copy(path, strlen(path));
    if (s->socket != NULL)
        return 0;
    if (link_default_path(s->mountpoint, path, sizeof(path), err) < 0)
        return -1;
    s->socket = need_copy(path, strlen(path));
    return 0;
}

/* Adds "--name=value" and its NUL for everything that a worker is told. */
static unsigned add_args(const struct settings *s, bool standby, struct hfc_buf *out)
{
    unsigned n = 2;

    hfc_buf_add(out, "hfcache-mount\0serve", sizeof("hfcache-mount\0serve"));
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *row = &settings_table[i];
        hfc_autobuf struct hfc_buf value = HFC_BUF(ARGS_MAX);
        setting_print(s, row, &value);
        if ((row->whom & SETTINGS_SERVE) == 0 || value.len == 0 || strcmp(row->name, "config") == 0)
            continue;
        hfc_buf_printf(out, "--%s=%s", row->name, value.data);
        hfc_buf_char(out, '\0');
        n++;
    }
    if (standby)
        hfc_buf_add(out, "--standby", sizeof("--standby"));
    return n + standby;
}

char **settings_worker_args(const struct settings *s, bool standby)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ARGS_MAX);
    unsigned n = add_args(s, standby, &text);

    assert(s->store != NULL && s->cache != NULL && s->socket != NULL);
    if (hfc_buf_failed(&text))
        abort();
    char **argv = need(calloc(1, (n + 1) * sizeof(*argv) + text.len));
    char *at = (char *)(argv + n + 1);
    memcpy(at, text.data, text.len);
    for (unsigned i = 0; i < n; i++) {
        argv[i] = at;
        at += strlen(at) + 1;
    }
    return argv;
}
