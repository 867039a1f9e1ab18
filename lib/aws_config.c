/* aws_config.c: AWS's environment variables and files; see aws_config.h.
 *
 * All that was read lies in one piece of secret memory, sized by what there was to read: keys may
 * be among it. Of the files only the profile's settings are kept.
 */
#include "aws_config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "file.h"
#include "secret.h"

enum { VARIABLES_MAX = 256, SETTINGS_MAX = 256, FILE_MAX = 256 * 1024 };

/* Where a setting was found; of two the higher one counts. */
enum rank { CONFIG_DEFAULT, CONFIG_PROFILE, CREDENTIALS };

struct setting {
    const char *name, *value;
    enum rank rank;
};

struct hfc_aws_config {
    char *memory;
    size_t size, used;
    const char *profile;
    bool found; /* the profile, in either file */
    bool too_many;
    unsigned n_variables, n_settings;
    struct setting variables[VARIABLES_MAX];
    struct setting settings[SETTINGS_MAX];
};

/* One of the two files. */
struct source_file {
    char path[PATH_MAX];
    struct hfc_buf text;
};

static const char *find(const struct setting *list, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return list[i].value[0] != '\0' ? list[i].value : NULL;
    return NULL;
}

static char *keep(struct hfc_aws_config *c, const char *text)
{
    size_t n = strlen(text) + 1;

    assert(n <= c->size - c->used);
    char *copy = c->memory + c->used;
    memcpy(copy, text, n);
    c->used += n;
    return copy;
}

static bool is_ours(const char *variable)
{
    return strncmp(variable, "AWS_", 4) == 0 && strchr(variable, '=') != NULL;
}

static size_t environment_size(void)
{
    size_t n = 0;

    for (char **e = environ; *e != NULL; e++)
        if (is_ours(*e))
            n += strlen(*e) + 1;
    return n;
}

static void keep_environment(struct hfc_aws_config *c)
{
    for (char **e = environ; *e != NULL; e++) {
        if (!is_ours(*e))
            continue;
        if (c->n_variables == VARIABLES_MAX) {
            c->too_many = true;
            return;
        }
        char *name = keep(c, *e);
        char *equals = strchr(name, '=');
        *equals = '\0';
        c->variables[c->n_variables++] = (struct setting){.name = name, .value = equals + 1};
    }
}

static void keep_setting(struct hfc_aws_config *c, enum rank rank, const char *key,
                         const char *value)
{
    unsigned i = 0;

    c->found = true;
    if (key == NULL)
        return;
    while (i < c->n_settings && strcmp(c->settings[i].name, key) != 0)
        i++;
    if (i == SETTINGS_MAX) {
        c->too_many = true;
        return;
    }
    if (i == c->n_settings)
        c->settings[c->n_settings++] = (struct setting){.name = keep(c, key)};
    else if (rank < c->settings[i].rank)
        return;
    c->settings[i].value = keep(c, value);
    c->settings[i].rank = rank;
}

static void set_credentials(void *ctx, const char *section, const char *key, const char *value)
{
    struct hfc_aws_config *c = ctx;

    if (strcmp(section, c->profile) == 0)
        keep_setting(c, CREDENTIALS, key, value);
}

/* `[profile x]` or `[profile "x"]`. */
static bool names_profile(const char *section, const char *profile)
{
    const size_t word = strlen("profile");

    if (strncmp(section, "profile", word) != 0 || (section[word] != ' ' && section[word] != '\t'))
        return false;
    section += word + strspn(section + word, " \t");
    size_t n = strlen(section);
    if (n >= 2 && section[0] == '"' && section[n - 1] == '"') {
        section++;
        n -= 2;
    }
    return n == strlen(profile) && memcmp(section, profile, n) == 0;
}

static void set_config(void *ctx, const char *section, const char *key, const char *value)
{
    struct hfc_aws_config *c = ctx;

    if (names_profile(section, c->profile))
        keep_setting(c, CONFIG_PROFILE, key, value);
    else if (strcmp(section, "default") == 0 && strcmp(c->profile, "default") == 0)
        keep_setting(c, CONFIG_DEFAULT, key, value);
}

/* HOME, else what the system knows; NULL: there is none. */
static const char *home_folder(void)
{
    const char *home = getenv("HOME");

    if (home != NULL && home[0] != '\0')
        return home;
    const struct passwd *pw = getpwuid(getuid());
    return pw != NULL && pw->pw_dir != NULL && pw->pw_dir[0] != '\0' ? pw->pw_dir : NULL;
}

/* An empty path: there is no such file. */
static int find_file(struct source_file *f, const char *variable, const char *name,
                     struct hfc_error *err)
{
    const char *path = getenv(variable);
    const char *home = home_folder();
    int n = 0;

    if (path != NULL && path[0] != '\0' && (strncmp(path, "~/", 2) != 0 || home == NULL))
        n = snprintf(f->path, sizeof(f->path), "%s", path);
    else if (path != NULL && path[0] != '\0')
        n = snprintf(f->path, sizeof(f->path), "%s/%s", home, path + 2);
    else if (home != NULL)
        n = snprintf(f->path, sizeof(f->path), "%s/.aws/%s", home, name);
    if (n < 0 || (size_t)n >= sizeof(f->path))
        return hfc_error_set(err, ENAMETOOLONG, "%s", variable);
    return 0;
}

static int read_file(struct source_file *f, const char *variable, const char *name,
                     struct hfc_error *err)
{
    struct hfc_error why;

    if (find_file(f, variable, name, err) < 0)
        return -1;
    if (f->path[0] == '\0')
        return 0;
    hfc_secret_buf_reserve(&f->text);
    if (hfc_file_read(AT_FDCWD, f->path, &f->text, &why) == 0 || why.errnum == ENOENT ||
        why.errnum == ENOTDIR)
        return 0;
    if (err != NULL)
        *err = why;
    return -1;
}

static int read_profile(struct hfc_aws_config *c, const struct source_file *config,
                        const struct source_file *credentials, struct hfc_error *err)
{
    const char *named = find(c->variables, c->n_variables, "AWS_PROFILE");

    c->profile = named != NULL ? named : "default";
    if (hfc_aws_ini_parse(config->path, config->text.data, config->text.len, set_config, c, err) <
            0 ||
        hfc_aws_ini_parse(credentials->path, credentials->text.data, credentials->text.len,
                          set_credentials, c, err) < 0)
        return -1;
    if (c->too_many)
        return hfc_error_set(err, 0, "more than %d AWS settings", SETTINGS_MAX);
    if (named != NULL && !c->found)
        return hfc_error_set(err, 0, "AWS_PROFILE: profile %s is neither in %s nor in %s", named,
                             config->path, credentials->path);
    return 0;
}

/* A key and its value with their NULs are no longer than their line; a last line may lack its end.
 */
static struct hfc_aws_config *new_config(size_t files)
{
    struct hfc_aws_config *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->size = environment_size() + files + 2;
    c->memory = hfc_secret_new(c->size);
    if (c->memory == NULL) {
        free(c);
        return NULL;
    }
    keep_environment(c);
    return c;
}

static struct hfc_aws_config *load(struct source_file *config, struct source_file *credentials,
                                   struct hfc_error *err)
{
    if (read_file(config, "AWS_CONFIG_FILE", "config", err) < 0 ||
        read_file(credentials, "AWS_SHARED_CREDENTIALS_FILE", "credentials", err) < 0)
        return NULL;
    struct hfc_aws_config *c = new_config(config->text.len + credentials->text.len);
    if (c == NULL) {
        (void)hfc_error_set(err, ENOMEM, "AWS settings");
        return NULL;
    }
    if (read_profile(c, config, credentials, err) == 0)
        return c;
    hfc_aws_config_free(c);
    return NULL;
}

struct hfc_aws_config *hfc_aws_config_load(struct hfc_error *err)
{
    struct source_file config = {.text = HFC_BUF(FILE_MAX)};
    struct source_file credentials = {.text = HFC_BUF(FILE_MAX)};
    struct hfc_aws_config *c = load(&config, &credentials, err);

    hfc_secret_buf_free(&config.text);
    hfc_secret_buf_free(&credentials.text);
    return c;
}

void hfc_aws_config_free(struct hfc_aws_config *c)
{
    if (c == NULL)
        return;
    hfc_secret_free(c->memory);
    free(c);
}

const char *hfc_aws_config_profile(const struct hfc_aws_config *c)
{
    return c->profile;
}

const char *hfc_aws_config_get(const struct hfc_aws_config *c, const char *key)
{
    return find(c->settings, c->n_settings, key);
}

const char *hfc_aws_config_env(const struct hfc_aws_config *c, const char *name)
{
    assert(strncmp(name, "AWS_", 4) == 0);
    return find(c->variables, c->n_variables, name);
}

const char *hfc_aws_config_region(const struct hfc_aws_config *c)
{
    const char *region = hfc_aws_config_env(c, "AWS_REGION");

    if (region == NULL)
        region = hfc_aws_config_env(c, "AWS_DEFAULT_REGION");
    return region != NULL ? region : hfc_aws_config_get(c, "region");
}

const char *hfc_aws_config_endpoint(const struct hfc_aws_config *c, const char *service)
{
    const char *ignore = hfc_aws_config_env(c, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    char name[64];

    if (ignore != NULL && strcasecmp(ignore, "true") == 0)
        return NULL;
    (void)snprintf(name, sizeof(name), "AWS_ENDPOINT_URL_%s", service);
    for (char *p = name; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
    const char *url = hfc_aws_config_env(c, name);
    if (url == NULL)
        url = hfc_aws_config_env(c, "AWS_ENDPOINT_URL");
    return url != NULL ? url : hfc_aws_config_get(c, "endpoint_url");
}

const char *hfc_aws_config_ca_bundle(const struct hfc_aws_config *c)
{
    const char *path = hfc_aws_config_env(c, "AWS_CA_BUNDLE");

    return path != NULL ? path : hfc_aws_config_get(c, "ca_bundle");
}
