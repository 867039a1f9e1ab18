/* test_mount_settings.c: options of run, keep and serve (mount/settings*.c), and what `run` looks
 * at before it mounts (mount/preflight.c). */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "file.h"
#include "link.h"
#include "preflight.h"
#include "settings_internal.h"
#include "shared.h"

enum { NOBODY = 65534 };

static struct settings s;
static struct hfc_error err;
static bool given[SETTINGS_COUNT];
static char dir[64];
static char faults[4096];

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static int setup(void **state)
{
    (void)state;
    settings_defaults(&s);
    err = (struct hfc_error){0};
    memset(given, 0, sizeof(given));
    faults[0] = '\0';
    /* The one who runs the tests may have AWS settings, or be root. */
    (void)unsetenv("HOME");
    (void)setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    (void)unsetenv("AWS_PROFILE");
    (void)unsetenv("AWS_ENDPOINT_URL_S3");
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-settings-XXXXXX");
    return mkdtemp(dir) != NULL && chmod(dir, 0755) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    settings_free(&s);
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const struct setting *row(const char *name)
{
    const struct setting *r = setting_find(name, strlen(name));

    if (r == NULL)
        fail_msg("there is no option %s", name);
    return r;
}

static void set(const char *name, const char *text)
{
    if (setting_set(&s, row(name), text, &err) < 0)
        fail_msg("%s = %s: %s", name, text, err.msg);
}

static void refuse(const char *name, const char *text, const char *message)
{
    assert_int_equal(setting_set(&s, row(name), text, &err), -1);
    assert_has(err.msg, message);
}

/* Values. */

static void names_are_found_in_full_only(void **state)
{
    (void)state;
    assert_non_null(setting_find("cache-size", 10));
    assert_string_equal(setting_find("cache-size", 5)->name, "cache");
    assert_null(setting_find("cach", 4));
    assert_null(setting_find("", 0));
}

static void texts_are_copied_and_replaced(void **state)
{
    (void)state;
    set("cache", "/a");
    set("cache", "/b");
    assert_string_equal(s.cache, "/b");
    refuse("cache", "", "must not be empty");
}

static void a_store_is_a_bucket_or_a_directory(void **state)
{
    (void)state;
    set("store", "s3://bucket/prefix");
    set("store", "file:///dir");
    refuse("store", "https://bucket", "expected s3://BUCKET[/PREFIX] or file:///DIR");
    refuse("store", "", "no store");
}

static void an_address_ends_with_a_port(void **state)
{
    static const char *const good[] = {"127.0.0.1:9464", "[::1]:0", ":9464", "localhost:65535"};
    static const char *const bad[] = {"127.0.0.1", "9464", "a:", "a:65536", "a:-1", "a:80x"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(good); i++)
        set("listen", good[i]);
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++)
        refuse("listen", bad[i], "expected ADDR:PORT");
}

static void numbers_keep_to_their_range(void **state)
{
    (void)state;
    set("read-timeout", "1");
    set("read-timeout", "86400");
    assert_int_equal(s.read_timeout, 86400);
    refuse("read-timeout", "0", "'0' is not a number from 1 to 86400");
    refuse("read-timeout", "86401", "from 1 to 86400");
    refuse("read-timeout", "5s", "is not a number");
    refuse("read-timeout", "+5", "is not a number");
    refuse("read-timeout", "99999999999999999999", "is not a number");
    set("orphan-timeout", "0");
    assert_int_equal(s.orphan_timeout, 0);
    set("connections", "16");
    assert_int_equal(s.connections, 16);
}

static void sizes_have_units(void **state)
{
    (void)state;
    set("memory", "64Mi");
    assert_int_equal(s.memory, 64 << 20);
    set("scrub-rate", "2G");
    assert_int_equal(s.scrub_rate, 2000000000);
    refuse("memory", "64MB", "expected something like 64Mi");
    refuse("memory", "1000", "from 1Mi on");
    refuse("scrub-rate", "0", "from 1Mi on");
}

static void the_cache_has_a_size_or_a_share(void **state)
{
    (void)state;
    set("cache-size", "20Gi");
    assert_int_equal(s.cache_size, 20ULL << 30);
    set("cache-size", "2Ti");
    assert_int_equal(s.cache_size, 2ULL << 40);
    set("cache-size", "35%");
    assert_int_equal(s.cache_size, 0);
    assert_int_equal(s.cache_percent, 35);
    refuse("cache-size", "0%", "1% to 100%");
    refuse("cache-size", "101%", "1% to 100%");
    refuse("cache-size", "%", "1% to 100%");
    refuse("cache-size", "99999999999%", "1% to 100%");
    refuse("cache-size", "1K", "no size of a cache");
    refuse("cache-size", "50 %", "no size of a cache");
    assert_int_equal(s.cache_percent, 35);
}

static void a_user_is_a_pair_of_numbers_or_names(void **state)
{
    const struct passwd *nobody = getpwnam("nobody");

    (void)state;
    set("user", "1000:2000");
    assert_int_equal(s.uid, 1000);
    assert_int_equal(s.gid, 2000);
    if (nobody != NULL) {
        set("user", "nobody");
        assert_int_equal(s.uid, nobody->pw_uid);
        assert_int_equal(s.gid, nobody->pw_gid);
        set("user", "nobody:7");
        assert_int_equal(s.gid, 7);
    }
    set("user", "5:root");
    assert_int_equal(s.gid, 0);
    refuse("user", "5", "names no group");
    refuse("user", "no-such-user:5", "there is no user 'no-such-user'");
    refuse("user", "5:no-such-group", "there is no group 'no-such-group'");
    refuse("user", "5:", "there is no group ''");
    refuse("user", "4294967295:5", "there is no user");
    refuse("user", "5:4294967295", "there is no group");
    refuse("user", "0:0", "must not be root");
    refuse("user", "root", "must not be root");
    assert_int_equal(s.uid, 5);
}

static void features_add_up(void **state)
{
    (void)state;
    set("without", "passthrough");
    assert_true(s.mask == FUSE_PASSTHROUGH);
    set("without", "readdirplus");
    assert_true(s.mask == (FUSE_PASSTHROUGH | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO));
    refuse("without", "speed", "expected passthrough or readdirplus");
}

static void flags_and_formats_have_their_words(void **state)
{
    (void)state;
    set("unmount", "true");
    set("standby", "true");
    assert_true(s.unmount && s.standby);
    set("unmount", "false");
    assert_false(s.unmount);
    refuse("unmount", "yes", "neither true nor false");
    set("log", "json");
    assert_int_equal(s.log, FORMAT_JSON);
    set("log", "text");
    assert_int_equal(s.log, FORMAT_TEXT);
    refuse("log", "xml", "expected text or json");
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    assert_int_equal(s.cache_size, 0);
    assert_int_equal(s.cache_percent, 80);
    assert_int_equal(s.read_timeout, 300);
    assert_int_equal(s.refresh_interval, 60);
    assert_int_equal(s.orphan_timeout, 120);
    assert_int_equal(s.scrub_rate, 64 << 20);
    assert_int_equal(s.uid, NOBODY);
    assert_int_equal(s.gid, NOBODY);
    assert_int_equal(s.memory, 0);
    assert_true(settings_memory(&s) > 0);
    set("memory", "77Mi");
    assert_int_equal(settings_memory(&s), 77 << 20);
}

/* The file. */

static void note(void *ctx, unsigned line, unsigned column, const char *message)
{
    size_t n = strlen(faults);

    assert_ptr_equal(ctx, faults);
    (void)snprintf(faults + n, sizeof(faults) - n, "%u:%u %s\n", line, column, message);
}

static unsigned take(unsigned whom, const char *text)
{
    return settings_file_take(&s, given, whom, text, strlen(text), note, faults);
}

static void a_file_has_an_option_a_line(void **state)
{
    (void)state;
    assert_int_equal(take(SETTINGS_RUN, "# all of it\n"
                                        "store = s3://bucket#1   # which one\n"
                                        "\n"
                                        "  cache=/var/cache/hf cache\t\n"
                                        "read-timeout\t= 7\r\n"
                                        "without = passthrough\n"
                                        "without = readdirplus\n"
                                        "log=json"),
                     0);
    assert_string_equal(faults, "");
    assert_string_equal(s.store, "s3://bucket#1");
    assert_string_equal(s.cache, "/var/cache/hf cache");
    assert_int_equal(s.read_timeout, 7);
    assert_true((s.mask & FUSE_PASSTHROUGH) != 0 && (s.mask & FUSE_DO_READDIRPLUS) != 0);
    assert_int_equal(s.log, FORMAT_JSON);
    assert_true(given[row("store") - settings_table]);
    assert_false(given[row("memory") - settings_table]);
}

static void the_command_line_wins_over_the_file(void **state)
{
    (void)state;
    set("cache", "/mine");
    given[row("cache") - settings_table] = true;
    assert_int_equal(take(SETTINGS_RUN, "cache = /theirs\nstore = file:///x\n"), 0);
    assert_string_equal(s.cache, "/mine");
    assert_string_equal(s.store, "file:///x");
}

static void options_of_others_are_checked_and_passed_over(void **state)
{
    (void)state;
    assert_int_equal(take(SETTINGS_KEEP, "read-timeout = 5\norphan-timeout = 6\n"), 0);
    assert_int_equal(s.read_timeout, 300);
    assert_int_equal(s.orphan_timeout, 6);
    assert_int_equal(take(SETTINGS_KEEP, "read-timeout = never\n"), 1);
}

static void everything_wrong_in_a_file_is_told_at_once(void **state)
{
    (void)state;
    assert_int_equal(take(SETTINGS_RUN, "stoer = s3://b\n"
                                        "cache /x\n"
                                        "--cache = /x\n"
                                        "  log =   yes\n"
                                        "config = other\n"
                                        "cache = /a\n"
                                        "cache = /b\n"
                                        "socket =\n"
                                        "= 5\n"),
                     8);
    assert_string_equal(faults, "1:1 'stoer' is no option\n"
                                "2:9 expected NAME = VALUE\n"
                                "3:1 --cache: write it without dashes\n"
                                "4:11 log: 'yes' is no format: expected text or json\n"
                                "5:1 config: a file can't name another one\n"
                                "7:1 cache: it stands in line 6 already\n"
                                "8:9 socket: must not be empty\n"
                                "9:1 '' is no option\n");
}

static void a_file_without_text_is_refused(void **state)
{
    (void)state;
    assert_int_equal(
        settings_file_take(&s, given, SETTINGS_RUN, "log = \0json\n", 12, note, faults), 1);
    assert_has(faults, "1:1 this is no text");
    assert_int_equal(take(SETTINGS_RUN, ""), 0);
}

static int read_file(const char *text)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/config", dir);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
    return settings_file_read(&s, given, SETTINGS_RUN, path);
}

static void a_file_is_read_by_name(void **state)
{
    (void)state;
    assert_int_equal(read_file("memory = 80Mi\n"), 0);
    assert_int_equal(s.memory, 80 << 20);
    assert_int_equal(settings_file_read(&s, given, SETTINGS_RUN, "/does/not/exist"), -1);
}

static void a_wrong_file_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(read_file("memory = 80\n"), -1);
}

static void a_file_has_a_limit(void **state)
{
    hfc_autofree char *text = malloc(SETTINGS_FILE_MAX + 2);

    (void)state;
    memset(text, '#', SETTINGS_FILE_MAX + 1);
    text[SETTINGS_FILE_MAX + 1] = '\0';
    assert_int_equal(read_file(text), -1);
}

/* The command line: an exit is seen from outside. */

static int status_of(char **argv, unsigned whom)
{
    int argc = 0, status = -1;

    while (argv[argc] != NULL)
        argc++;
    pid_t child = fork();
    if (child == 0) {
        struct settings own;
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        settings_read(&own, whom, "ARGS", "doc", argc, argv);
        settings_free(&own);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define ARGS(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        (char[]){"hfcache-mount test"}, __VA_ARGS__, NULL                                          \
    }
#define A(text) ((char[]){text})

static void arguments_are_read(void **state)
{
    char **argv = ARGS(A("--store=s3://b"), A("--cache"), A("/c"), A("/mnt"), A("--log=json"));

    (void)state;
    settings_free(&s);
    settings_read(&s, SETTINGS_RUN, "ARGS", "doc", 6, argv);
    assert_string_equal(s.store, "s3://b");
    assert_string_equal(s.cache, "/c");
    assert_string_equal(s.mountpoint, "/mnt");
    assert_int_equal(s.log, FORMAT_JSON);
    assert_int_equal(s.read_timeout, 300);
}

static void what_is_missing_or_too_much_is_wrong_usage(void **state)
{
    (void)state;
    assert_int_equal(status_of(ARGS(A("--store=s3://b"), A("--cache=/c"), A("/m")), SETTINGS_RUN),
                     0);
    assert_int_equal(status_of(ARGS(A("--store=s3://b"), A("--cache=/c")), SETTINGS_RUN), 2);
    assert_int_equal(status_of(ARGS(A("--cache=/c"), A("/m")), SETTINGS_RUN), 2);
    assert_int_equal(status_of(ARGS(A("--store=s3://b"), A("/m")), SETTINGS_RUN), 2);
    assert_int_equal(status_of(ARGS(A("/m"), A("/n")), SETTINGS_KEEP), 2);
    assert_int_equal(status_of(ARGS(A("")), SETTINGS_KEEP), 2);
    assert_int_equal(status_of(ARGS(A("/m")), SETTINGS_KEEP), 0);
    assert_int_equal(status_of(ARGS(A("/m"), A("--unmount")), SETTINGS_KEEP), 0);
    assert_int_equal(status_of(ARGS(A("/m"), A("--log=xml")), SETTINGS_KEEP), 2);
    assert_int_equal(status_of(ARGS(A("/m"), A("--memory=64Mi")), SETTINGS_KEEP), 2);
    assert_int_equal(status_of(ARGS(A("/m"), A("--config=/does/not/exist")), SETTINGS_KEEP), 2);
    assert_int_equal(status_of(ARGS(A("--store=s3://b"), A("--cache=/c")), SETTINGS_SERVE), 2);
    assert_int_equal(
        status_of(ARGS(A("--store=s3://b"), A("--cache=/c"), A("--socket=/s")), SETTINGS_SERVE), 0);
    assert_int_equal(
        status_of(ARGS(A("--store=s3://b"), A("--cache=/c"), A("--socket=/s"), A("/m")),
                  SETTINGS_SERVE),
        2);
}

static void every_option_belongs_to_somebody(void **state)
{
    (void)state;
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *r = &settings_table[i];
        assert_non_null(r->help);
        assert_true(r->whom != 0);
        assert_ptr_equal(setting_find(r->name, strlen(r->name)), r);
        /* `run` is both. */
        assert_true((r->whom & SETTINGS_RUN) != 0 || r->kind == SETTING_FLAG);
    }
}

/* Arguments for workers. */

static bool has_arg(char **args, const char *text)
{
    for (; *args != NULL; args++)
        if (strcmp(*args, text) == 0)
            return true;
    return false;
}

static void a_worker_is_told_what_concerns_it(void **state)
{
    (void)state;
    set("store", "s3://b");
    set("cache", "/c");
    set("socket", "/s");
    set("memory", "64Mi");
    set("cache-size", "7Gi");
    set("log", "json");
    set("user", "5:6");
    set("without", "passthrough");
    set("config", "/etc/x");
    hfc_autofree char **args = settings_worker_args(&s, false);
    static const char *const expected[] = {"hfcache-mount",
                                           "serve",
                                           "--store=s3://b",
                                           "--cache=/c",
                                           "--socket=/s",
                                           "--log=json",
                                           "--cache-size=7516192768",
                                           "--memory=67108864",
                                           "--user=5:6",
                                           "--read-timeout=300",
                                           "--refresh-interval=60",
                                           "--scrub-rate=67108864"};
    for (size_t i = 0; i < HFC_ARRAY_LEN(expected); i++)
        if (!has_arg(args, expected[i]))
            fail_msg("%s is missing", expected[i]);
    for (char **a = args; *a != NULL; a++)
        if (strncmp(*a, "--config", 8) == 0 || strncmp(*a, "--without", 9) == 0 ||
            strncmp(*a, "--standby", 9) == 0 || strncmp(*a, "--connections", 13) == 0)
            fail_msg("%s is no argument of a worker", *a);
    hfc_autofree char **standby = settings_worker_args(&s, true);
    assert_true(has_arg(standby, "--standby"));
}

/* What is told is understood, and comes to the same. */
static void a_worker_understands_what_it_is_told(void **state)
{
    struct settings other;
    int argc = 0;

    (void)state;
    set("store", "file:///x y");
    set("cache", "/c");
    set("socket", "/s");
    set("listen", ":0");
    set("connections", "9");
    set("cache-size", "33%");
    hfc_autofree char **args = settings_worker_args(&s, true);
    while (args[argc] != NULL)
        argc++;
    settings_read(&other, SETTINGS_SERVE, "", "", argc - 1, args + 1);
    assert_string_equal(other.store, s.store);
    assert_string_equal(other.listen, ":0");
    assert_int_equal(other.connections, 9);
    assert_int_equal(other.cache_percent, 33);
    assert_int_equal(other.cache_size, 0);
    assert_true(other.standby);
    settings_free(&other);
}

/* The mount point. */

static void give_mountpoint(const char *path)
{
    free(s.mountpoint);
    s.mountpoint = strdup(path);
}

static void a_mount_point_becomes_absolute(void **state)
{
    char path[PATH_MAX + 8], real[PATH_MAX];

    (void)state;
    assert_non_null(realpath(dir, real));
    (void)snprintf(path, sizeof(path), "%s/sub", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/link", dir);
    assert_int_equal(symlink("sub", path), 0);
    give_mountpoint(path);
    assert_int_equal(settings_find_mountpoint(&s, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/sub", real);
    assert_string_equal(s.mountpoint, path);
    assert_non_null(s.socket);
    assert_has(s.socket, ".sock");
}

static void a_socket_that_is_given_is_kept(void **state)
{
    (void)state;
    give_mountpoint(dir);
    set("socket", "/run/x");
    assert_int_equal(settings_find_mountpoint(&s, &err), 0);
    assert_string_equal(s.socket, "/run/x");
}

static void a_mount_point_is_a_folder(void **state)
{
    char path[128];

    (void)state;
    give_mountpoint("/does/not/exist");
    assert_int_equal(settings_find_mountpoint(&s, &err), -1);
    assert_has(err.msg, "is not there: mkdir it first");
    (void)snprintf(path, sizeof(path), "%s/file", dir);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, "", 0, 0600, NULL), 0);
    give_mountpoint(path);
    assert_int_equal(settings_find_mountpoint(&s, &err), -1);
    assert_has(err.msg, strerror(ENOTDIR));
    give_mountpoint("/");
    assert_int_equal(settings_find_mountpoint(&s, &err), -1);
    assert_has(err.msg, "root of all");
}

/* Before the mount. */

static void prepare(void)
{
    char path[128];

    give_mountpoint("/nowhere/mnt");
    (void)snprintf(path, sizeof(path), "%s/cache", dir);
    set("cache", path);
    if (geteuid() != 0) {
        s.uid = geteuid();
        s.gid = getegid();
    }
    (void)snprintf(path, sizeof(path), "file://%s", dir);
    set("store", path);
    set("memory", "256Mi");
}

static void a_cache_is_made_for_the_worker(void **state)
{
    struct stat st;

    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    assert_int_equal(stat(s.cache, &st), 0);
    assert_int_equal(st.st_uid, s.uid);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(s.cache[0], '/');
    assert_int_equal(preflight_cache(&s, &err), 0); /* and again */
}

static void put(const char *name)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", s.cache, name);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, "", 0, 0600, NULL), 0);
}

static void a_cache_with_something_else_in_it_is_refused(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    put("photo.jpg");
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "it has something else in it");
    put("lock");
    assert_int_equal(preflight_cache(&s, &err), 0);
}

static uid_t owner_of(const char *name)
{
    char path[512];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/%s", s.cache, name);
    assert_int_equal(lstat(path, &st), 0);
    return st.st_uid;
}

static void a_cache_of_roots_is_given_to_the_worker(void **state)
{
    char path[512];

    (void)state;
    if (geteuid() != 0)
        skip();
    prepare();
    assert_int_equal(mkdir(s.cache, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/blobs", s.cache);
    assert_int_equal(mkdir(path, 0755), 0);
    put("lock");
    put("index");
    put("blobs/1.data");
    (void)snprintf(path, sizeof(path), "%s/blobs/link", s.cache);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(preflight_cache(&s, &err), 0);
    assert_int_equal(owner_of("."), NOBODY);
    assert_int_equal(owner_of("lock"), NOBODY);
    assert_int_equal(owner_of("index"), NOBODY);
    assert_int_equal(owner_of("blobs"), NOBODY);
    assert_int_equal(owner_of("blobs/1.data"), NOBODY);
    struct stat st;
    assert_int_equal(stat("/etc/passwd", &st), 0);
    assert_int_equal(st.st_uid, 0);
}

static void a_cache_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    prepare();
    assert_int_equal(mkdir(s.cache, 0755), 0);
    assert_int_equal(chown(s.cache, 12345, 12345), 0);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "not the worker's: `chown -R 65534:65534' it");
    /* Anybody may have put links into this one. */
    assert_int_equal(chown(s.cache, 0, 0), 0);
    assert_int_equal(chmod(s.cache, 01777), 0);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "not only root's");
}

static void a_cache_has_to_be_possible(void **state)
{
    char path[128];

    (void)state;
    prepare();
    (void)snprintf(path, sizeof(path), "%s/no/cache", dir);
    set("cache", path);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "the folder that it is to be in is not there");
    (void)snprintf(path, sizeof(path), "%s/file", dir);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, "", 0, 0600, NULL), 0);
    set("cache", path);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, strerror(ENOTDIR));
    (void)snprintf(path, sizeof(path), "%s/file/x", dir);
    set("cache", path);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "making it");
}

static void a_cache_below_the_mount_point_is_refused(void **state)
{
    char path[PATH_MAX + 8], real[PATH_MAX];

    (void)state;
    prepare();
    assert_non_null(realpath(dir, real));
    give_mountpoint(real);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "is below the mount point");
    /* Not seen in the path itself. */
    (void)snprintf(path, sizeof(path), "%s/in", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_true(chdir(path) == 0);
    set("cache", ".");
    (void)snprintf(path, sizeof(path), "%s/in", real);
    give_mountpoint(path);
    assert_int_equal(preflight_cache(&s, &err), -1);
    assert_has(err.msg, "is below the mount point");
    assert_true(chdir("/") == 0);
    /* A name that merely begins alike is another one. */
    (void)snprintf(path, sizeof(path), "%s/cache", dir);
    set("cache", path);
    (void)snprintf(path, sizeof(path), "%s/cac", real);
    give_mountpoint(path);
    assert_int_equal(preflight_cache(&s, &err), 0);
}

static void a_mount_is_called_after_its_keeper_s_socket(void **state)
{
    char expected[PATH_MAX], here[PATH_MAX - 20];

    (void)state;
    set("socket", "/run/x");
    hfc_autofree char *absolute = preflight_source(&s);
    assert_string_equal(absolute, "hfcache:/run/x");
    set("socket", "x");
    hfc_autofree char *relative = preflight_source(&s);
    assert_non_null(getcwd(here, sizeof(here)));
    (void)snprintf(expected, sizeof(expected), "hfcache:%s/x", here);
    assert_string_equal(relative, expected);
}

/* The list has one mount of each kind at /mnt/a b. */
static int others(const char *socket)
{
    char list[128], text[1024];

    (void)snprintf(list, sizeof(list), "%s/mountinfo", dir);
    (void)unlink(list);
    (void)snprintf(text, sizeof(text),
                   "1 2 0:3 / / rw - ext4 /dev/x rw\n"
                   "nonsense\n"
                   "x - y\n"
                   "1 2 0:3 / /mnt/a\\040b rw shared:1 - tmpfs hfcache:%s rw\n"
                   "1 2 0:3 / /mnt/a\\040b rw - fuse.hfcache hfcache:/does/not/exist rw\n"
                   "1 2 0:3 / /mnt/other rw - fuse.hfcache hfcache:%s rw\n"
                   "1 2 0:3 / /mnt/a\\040b rw shared:1 master:2 - fuse.hfcache hfcache:%s rw\n",
                   socket, socket, socket);
    assert_int_equal(hfc_file_create(AT_FDCWD, list, text, strlen(text), 0600, NULL), 0);
    return preflight_others(&s, list, &err);
}

static void a_mount_of_another_keeper_is_refused(void **state)
{
    char path[80];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/other.sock", dir);
    give_mountpoint("/mnt/a b");
    set("socket", "/run/mine");
    assert_int_equal(others(path), 0); /* dead: it is cleared */
    int fd = link_listen(path, (gid_t)-1, &err);
    assert_true(fd >= 0);
    assert_int_equal(others(path), -1);
    assert_has(err.msg, "/mnt/a b is mounted already, by the keeper at /tmp/");
    set("socket", path);
    assert_int_equal(others(path), 0); /* it is to be taken over */
    set("socket", "/run/mine");
    give_mountpoint("/mnt/a");
    assert_int_equal(others(path), 0);
    (void)close(fd);
    assert_int_equal(preflight_others(&s, "/does/not/exist", &err), -1);
}

static void a_home_that_the_worker_cannot_enter_is_forgotten(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(setenv("HOME", dir, 1), 0);
    preflight_home(&s);
    assert_string_equal(getenv("HOME"), dir); /* open to all */
    assert_int_equal(chmod(dir, 0700), 0);
    preflight_home(&s);
    if (geteuid() == 0)
        assert_null(getenv("HOME"));
    else
        assert_string_equal(getenv("HOME"), dir);
}

static void what_is_forgotten_with_the_home_is_told(void **state)
{
    char path[128];
    char text[512] = "";

    (void)state;
    if (geteuid() != 0)
        skip();
    prepare();
    (void)snprintf(path, sizeof(path), "%s/.aws", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/.aws/credentials", dir);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, "", 0, 0600, NULL), 0);
    assert_int_equal(chmod(dir, 0700), 0);
    assert_int_equal(setenv("HOME", dir, 1), 0);
    int saved = dup(STDERR_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    preflight_home(&s);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    assert_has(text, "/.aws/credentials is not read");
    assert_has(text, "AWS_SHARED_CREDENTIALS_FILE");
    (void)close(saved);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* In the process of its own, as the worker's user, and here, as the one who we are. */
static int look(void)
{
    struct settings own = s;
    struct hfc_error other;

    own.uid = geteuid();
    own.gid = getegid();
    int here = preflight_look(&own, &other);
    int there = preflight_worker(&s, &err);
    assert_int_equal(here, there);
    return there;
}

static void the_worker_s_side_is_looked_at(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    if (look() < 0)
        fail_msg("%s", err.msg);
}

static void a_store_that_cannot_be_is_refused(void **state)
{
    char path[128];

    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    set("store", "s3://UPPER_CASE!");
    assert_int_equal(look(), -1);
    assert_has(err.msg, "--store: ");
    set("store", "file://relative");
    assert_int_equal(look(), -1);
    assert_has(err.msg, "file:///DIR");
    set("store", "file:///does/not/exist");
    assert_int_equal(look(), -1);
    assert_has(err.msg, "--store: reading /does/not/exist as uid");
    (void)snprintf(path, sizeof(path), "file://%s", dir);
    set("store", path);
    give_mountpoint(dir);
    assert_int_equal(look(), -1);
    assert_has(err.msg, "is below the mount point");
}

static void settings_of_aws_are_read(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    set("store", "s3://bucket");
    assert_int_equal(setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1), 0);
    if (look() < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(setenv("AWS_PROFILE", "no-such-profile", 1), 0);
    assert_int_equal(look(), -1);
    assert_has(err.msg, "no-such-profile");
    assert_int_equal(unsetenv("AWS_PROFILE"), 0);
    assert_int_equal(unsetenv("AWS_ENDPOINT_URL"), 0);
}

static void memory_has_to_be_enough(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    set("memory", "2Mi");
    assert_int_equal(look(), -1);
    assert_has(err.msg, "--memory: 2 MiB of memory are too little");
}

static void the_worker_has_to_get_at_its_cache(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(preflight_cache(&s, &err), 0);
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(s.cache, 0500), 0);
    assert_int_equal(preflight_worker(&s, &err), -1);
    assert_has(err.msg, "as uid 65534: see to it");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_are_found_in_full_only),
        T(texts_are_copied_and_replaced),
        T(a_store_is_a_bucket_or_a_directory),
        T(an_address_ends_with_a_port),
        T(numbers_keep_to_their_range),
        T(sizes_have_units),
        T(the_cache_has_a_size_or_a_share),
        T(a_user_is_a_pair_of_numbers_or_names),
        T(features_add_up),
        T(flags_and_formats_have_their_words),
        T(defaults_are_the_documented_ones),
        T(a_file_has_an_option_a_line),
        T(the_command_line_wins_over_the_file),
        T(options_of_others_are_checked_and_passed_over),
        T(everything_wrong_in_a_file_is_told_at_once),
        T(a_file_without_text_is_refused),
        T(a_file_is_read_by_name),
        T(a_wrong_file_is_an_error),
        T(a_file_has_a_limit),
        T(arguments_are_read),
        T(what_is_missing_or_too_much_is_wrong_usage),
        T(every_option_belongs_to_somebody),
        T(a_worker_is_told_what_concerns_it),
        T(a_worker_understands_what_it_is_told),
        T(a_mount_point_becomes_absolute),
        T(a_socket_that_is_given_is_kept),
        T(a_mount_point_is_a_folder),
        T(a_cache_is_made_for_the_worker),
        T(a_cache_with_something_else_in_it_is_refused),
        T(a_cache_of_roots_is_given_to_the_worker),
        T(a_cache_of_somebody_else_is_refused),
        T(a_cache_has_to_be_possible),
        T(a_cache_below_the_mount_point_is_refused),
        T(a_mount_is_called_after_its_keeper_s_socket),
        T(a_mount_of_another_keeper_is_refused),
        T(a_home_that_the_worker_cannot_enter_is_forgotten),
        T(what_is_forgotten_with_the_home_is_told),
        T(the_worker_s_side_is_looked_at),
        T(a_store_that_cannot_be_is_refused),
        T(settings_of_aws_are_read),
        T(memory_has_to_be_enough),
        T(the_worker_has_to_get_at_its_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
