/* settings_table.c: the options of run, keep and serve: names, values, defaults; see settings.h.
 *
 * To add one: a member of struct settings, a row here, its default, man/hfcache-mount.1 and
 * completions/hfcache-mount.bash.
 */
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "need.h"
#include "settings_internal.h"
#include "shared.h"

enum {
    RUN = SETTINGS_RUN,
    KEEP = SETTINGS_KEEP,
    SERVE = SETTINGS_SERVE,
    DAY = 24 * 3600,
    PERCENT = 80,
    NOBODY = 65534,
};
#define MIB (1024 * 1024)
#define EXBIBYTE (1ULL << 60)

#define AT(member) offsetof(struct settings, member)

const struct setting settings_table[SETTINGS_COUNT] = {
    {"store", "URL", SETTING_STORE, RUN | SERVE, AT(store), 0, 0,
     "what is shown: s3://BUCKET[/PREFIX] or file:///DIR"},
    {"cache", "DIR", SETTING_TEXT, RUN | SERVE, AT(cache), 0, 0,
     "where blocks are kept, on a local disk"},
    {"cache-size", "N", SETTING_SHARE, RUN | SERVE, 0, MIB, EXBIBYTE,
     "the bound of it, such as 200Gi, or 80% of the file system; default 80%"},
    {"memory", "N", SETTING_BYTES, RUN | SERVE, AT(memory), MIB, EXBIBYTE,
     "for both processes with their sockets; default: the cgroup's limit, else 256Mi"},
    {"connections", "N", SETTING_NUMBER, RUN | SERVE, AT(connections), 1, 1024,
     "with the store, at most; default: what --memory allows"},
    {"read-timeout", "S", SETTING_NUMBER, RUN | SERVE, AT(read_timeout), 1, DAY,
     "seconds that a read waits for the store until it fails with EIO; default 300"},
    {"refresh-interval", "S", SETTING_NUMBER, RUN | SERVE, AT(refresh_interval), 1, DAY,
     "seconds between two looks at the store's names; default 60"},
    {"scrub-rate", "N", SETTING_BYTES, RUN | SERVE, AT(scrub_rate), MIB, EXBIBYTE,
     "bytes a second that `scrub' reads at most; default 64Mi"},
    {"listen", "ADDR:PORT", SETTING_ADDRESS, RUN | SERVE, AT(listen), 0, 0,
     "serve /metrics, /livez and /readyz"},
    {"socket", "PATH", SETTING_TEXT, RUN | KEEP | SERVE, AT(socket), 0, 0,
     "where the keeper listens; default: below /run/hfcache, named after the mount point"},
    {"user", "UID:GID", SETTING_USER, RUN | KEEP | SERVE, 0, 0, 0,
     "who the worker is, as numbers or names; default 65534:65534"},
    {"orphan-timeout", "S", SETTING_NUMBER, RUN | KEEP, AT(orphan_timeout), 0, DAY,
     "seconds without a worker until reads fail with EIO, 0: never; default 120"},
    {"without", "FEATURE", SETTING_FEATURE, RUN | KEEP, AT(mask), 0, 0,
     "do not use a feature of the kernel: passthrough or readdirplus; may be repeated"},
    {"unmount", NULL, SETTING_FLAG, KEEP, AT(unmount), 0, 0,
     "unmount when ended by a signal; else the mount is left to the next keeper"},
    {"standby", NULL, SETTING_FLAG, SERVE, AT(standby), 0, 0,
     "wait for the serving worker's end; else it is asked to leave"},
    {"log", "FORMAT", SETTING_FORMAT, RUN | KEEP | SERVE, AT(log), 0, 0,
     "text or json; default text"},
    {"config", "FILE", SETTING_TEXT, RUN | KEEP | SERVE, AT(config), 0, 0,
     "more options, a line each: NAME = VALUE"},
};

/* What --without names; READDIRPLUS comes with its flag for choosing. */
static const struct {
    const char *name;
    uint64_t flags;
} features[] = {{"passthrough", FUSE_PASSTHROUGH},
                {"readdirplus", FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO}};

static const char *const formats[] = {[FORMAT_TEXT] = "text", [FORMAT_JSON] = "json"};

void settings_defaults(struct settings *s)
{
    *s = (struct settings){.cache_percent = PERCENT,
                           .read_timeout = 300,
                           .refresh_interval = 60,
                           .orphan_timeout = 120,
                           .scrub_rate = 64ULL * MIB,
                           .uid = NOBODY,
                           .gid = NOBODY};
}

const struct setting *setting_find(const char *name, size_t n)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        if (strlen(settings_table[i].name) == n && memcmp(settings_table[i].name, name, n) == 0)
            return &settings_table[i];
    return NULL;
}

static void *member(struct settings *s, const struct setting *row)
{
    return (char *)s + row->at;
}

static const void *const_member(const struct settings *s, const struct setting *row)
{
    return (const char *)s + row->at;
}

/* Digits only: no sign, no spaces, nothing behind. */
static bool parse_number(const char *text, uint64_t *n)
{
    char *end;

    errno = 0;
    *n = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static int set_text(struct settings *s, const struct setting *row, const char *text,
                    struct hfc_error *err)
{
    char **to = member(s, row);

    if (*text == '\0')
        return hfc_error_set(err, 0, "must not be empty");
    free(*to);
    *to = need_copy(text, strlen(text));
    return 0;
}

static int set_store(struct settings *s, const struct setting *row, const char *text,
                     struct hfc_error *err)
{
    if (strncmp(text, "s3://", 5) != 0 && strncmp(text, "file://", 7) != 0)
        return hfc_error_set(err, 0,
                             "'%s' is no store: expected s3://BUCKET[/PREFIX] or "
                             "file:///DIR",
                             text);
    return set_text(s, row, text, err);
}

static int set_address(struct settings *s, const struct setting *row, const char *text,
                       struct hfc_error *err)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (colon == NULL || !parse_number(colon + 1, &port) || port > UINT16_MAX)
        return hfc_error_set(err, 0, "'%s' is no address: expected ADDR:PORT, [ADDR]:PORT or :PORT",
                             text);
    return set_text(s, row, text, err);
}

static int set_number(struct settings *s, const struct setting *row, const char *text,
                      struct hfc_error *err)
{
    uint64_t n;

    assert(row->high <= UINT32_MAX);
    if (!parse_number(text, &n) || n < row->low || n > row->high)
        return hfc_error_set(err, 0, "'%s' is not a number from %" PRIu64 " to %" PRIu64, text,
                             row->low, row->high);
    *(unsigned *)member(s, row) = (unsigned)n;
    return 0;
}

static int parse_bytes(const struct setting *row, const char *text, uint64_t *n,
                       struct hfc_error *err)
{
    if (command_bytes(text, n) && *n >= row->low && *n <= row->high)
        return 0;
    return hfc_error_set(err, 0,
                         "'%s' is no amount of bytes from %" PRIu64 "Mi on: expected "
                         "something like 64Mi or 20Gi",
                         text, row->low / MIB);
}

static int set_bytes(struct settings *s, const struct setting *row, const char *text,
                     struct hfc_error *err)
{
    _Static_assert(sizeof(size_t) == sizeof(uint64_t), "members of either type are set");
    uint64_t n;

    if (parse_bytes(row, text, &n, err) < 0)
        return -1;
    *(uint64_t *)member(s, row) = n;
    return 0;
}

static int set_share(struct settings *s, const struct setting *row, const char *text,
                     struct hfc_error *err)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t n = 0;

    if (strcmp(text + digits, "%") != 0) {
        if (parse_bytes(row, text, &n, err) < 0)
            return hfc_error_set(err, 0,
                                 "'%s' is no size of a cache: expected something like "
                                 "200Gi, at least 1Mi, or 80%%",
                                 text);
        s->cache_size = n;
        return 0;
    }
    char number[8] = "";
    if (digits < sizeof(number))
        memcpy(number, text, digits);
    if (!parse_number(number, &n) || n < 1 || n > 100)
        return hfc_error_set(err, 0, "'%s' is not a share from 1%% to 100%%", text);
    s->cache_percent = (unsigned)n;
    s->cache_size = 0;
    return 0;
}

/* Of a user by name the group is the one that goes with it. */
static bool find_user(const char *text, uid_t *uid, gid_t *gid, bool *has_group)
{
    uint64_t n;
    const struct passwd *user = parse_number(text, &n) ? NULL : getpwnam(text);

    *has_group = user != NULL;
    if (user != NULL) {
        *uid = user->pw_uid;
        *gid = user->pw_gid;
        return true;
    }
    *uid = (uid_t)n;
    return parse_number(text, &n) && n < UINT32_MAX;
}

static bool find_group(const char *text, gid_t *gid)
{
    uint64_t n;
    const struct group *group = parse_number(text, &n) ? NULL : getgrnam(text);

    *gid = group != NULL ? group->gr_gid : (gid_t)n;
    return group != NULL || (parse_number(text, &n) && n < UINT32_MAX);
}

static int set_user(struct settings *s, const char *text, struct hfc_error *err)
{
    const char *colon = strchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);
    hfc_autofree char *name = need_copy(text, n);
    uid_t uid;
    gid_t gid = 0;
    bool has_group;

    if (!find_user(name, &uid, &gid, &has_group))
        return hfc_error_set(err, 0, "there is no user '%s': expected UID:GID or names", name);
    if (colon == NULL && !has_group)
        return hfc_error_set(err, 0, "'%s' names no group: expected UID:GID", text);
    if (colon != NULL && !find_group(colon + 1, &gid))
        return hfc_error_set(err, 0, "there is no group '%s'", colon + 1);
    if (uid == 0)
        return hfc_error_set(err, 0, "the worker must not be root: it talks to the network");
    s->uid = uid;
    s->gid = gid;
    return 0;
}

static int set_feature(struct settings *s, const char *text, struct hfc_error *err)
{
    for (size_t i = 0; i < HFC_ARRAY_LEN(features); i++)
        if (strcmp(features[i].name, text) == 0) {
            s->mask |= features[i].flags;
            return 0;
        }
    return hfc_error_set(err, 0, "'%s' is no feature: expected passthrough or readdirplus", text);
}

static int set_flag(struct settings *s, const struct setting *row, const char *text,
                    struct hfc_error *err)
{
    bool on = strcmp(text, "true") == 0;

    if (!on && strcmp(text, "false") != 0)
        return hfc_error_set(err, 0, "'%s' is neither true nor false", text);
    *(bool *)member(s, row) = on;
    return 0;
}

static int set_format(struct settings *s, const char *text, struct hfc_error *err)
{
    for (size_t i = 0; i < HFC_ARRAY_LEN(formats); i++)
        if (strcmp(formats[i], text) == 0) {
            s->log = (enum log_format)i;
            return 0;
        }
    return hfc_error_set(err, 0, "'%s' is no format: expected text or json", text);
}

int setting_set(struct settings *s, const struct setting *row, const char *text,
                struct hfc_error *err)
{
    switch (row->kind) {
    case SETTING_TEXT:
        return set_text(s, row, text, err);
    case SETTING_STORE:
        return set_store(s, row, text, err);
    case SETTING_ADDRESS:
        return set_address(s, row, text, err);
    case SETTING_NUMBER:
        return set_number(s, row, text, err);
    case SETTING_BYTES:
        return set_bytes(s, row, text, err);
    case SETTING_SHARE:
        return set_share(s, row, text, err);
    case SETTING_USER:
        return set_user(s, text, err);
    case SETTING_FEATURE:
        return set_feature(s, text, err);
    case SETTING_FLAG:
        return set_flag(s, row, text, err);
    case SETTING_FORMAT:
    default:
        assert(row->kind == SETTING_FORMAT);
        return set_format(s, text, err);
    }
}

/* A mask is no one value, and no option of workers. */
void setting_print(const struct settings *s, const struct setting *row, struct hfc_buf *out)
{
    const void *at = const_member(s, row);

    switch (row->kind) {
    case SETTING_TEXT:
    case SETTING_STORE:
    case SETTING_ADDRESS:
        hfc_buf_str(out, *(char *const *)at != NULL ? *(char *const *)at : "");
        break;
    case SETTING_NUMBER:
        if (*(const unsigned *)at >= row->low)
            hfc_buf_printf(out, "%u", *(const unsigned *)at);
        break;
    case SETTING_BYTES:
        if (*(const uint64_t *)at >= row->low)
            hfc_buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case SETTING_SHARE:
        if (s->cache_size != 0)
            hfc_buf_printf(out, "%" PRIu64, s->cache_size);
        else
            hfc_buf_printf(out, "%u%%", s->cache_percent);
        break;
    case SETTING_USER:
        hfc_buf_printf(out, "%u:%u", s->uid, s->gid);
        break;
    case SETTING_FORMAT:
        hfc_buf_str(out, formats[s->log]);
        break;
    case SETTING_FEATURE:
    case SETTING_FLAG:
    default:
        assert(row->kind == SETTING_FEATURE || row->kind == SETTING_FLAG);
        break;
    }
}
