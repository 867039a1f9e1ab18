/* aws_creds_source.c: which source of credentials is configured; see aws_creds_internal.h.
 *
 * Asked in the order of aws_creds.h. Each answers NO and leaves a note for the message that
 * somebody may get in the end, or it is the one, even if its configuration turns out to be wrong:
 * then that is what is told, as the SDKs do.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "aws_creds_internal.h"
#include "cleanup.h"
#include "uri.h"

static const struct hfc_creds_source fixed = {.name = "keys that do not change"};

static const char *env(const struct hfc_aws_creds *c, const char *name)
{
    return hfc_aws_config_env(c->config, name);
}

static const char *setting(const struct hfc_aws_creds *c, const char *key)
{
    return hfc_aws_config_get(c->config, key);
}

/* The source is not configured, and why. */
static bool no(struct hfc_aws_creds *c, const char *name, const char *why)
{
    hfc_buf_printf(&c->looked_at, "%s: %s; ", name, why);
    return false;
}

static bool yes(struct hfc_aws_creds *c, const char *name, const struct hfc_creds_source *source)
{
    (void)snprintf(c->name, sizeof(c->name), "%s", name);
    c->source = source;
    return true;
}

/* It is the one, but it can't work. */
static __attribute__((format(printf, 3, 4))) bool broken(struct hfc_aws_creds *c, const char *name,
                                                         const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(c->broken, sizeof(c->broken), fmt, ap);
    va_end(ap);
    return yes(c, name, NULL);
}

static void copy(char *to, size_t size, const char *text)
{
    if (text != NULL)
        hfc_creds_copy(to, size, text, strlen(text));
}

/* Keys that are simply there: both, or it is a mistake. */
static bool take_fixed(struct hfc_aws_creds *c, const char *name, const char *const names[2],
                       const char *access_key, const char *secret_key, const char *token)
{
    if (access_key == NULL || secret_key == NULL)
        return broken(c, name, "%s is set, but %s is not", names[access_key == NULL],
                      names[access_key != NULL]);
    copy(c->next->access_key, sizeof(c->next->access_key), access_key);
    copy(c->next->secret_key, sizeof(c->next->secret_key), secret_key);
    copy(c->next->session_token, sizeof(c->next->session_token), token);
    const char *wrong = hfc_creds_seal(c->next);
    if (wrong == NULL && token != NULL && c->next->keys.session_token == NULL)
        wrong = "the session token is too long";
    if (wrong != NULL)
        return broken(c, name, "%s", wrong);
    c->current = hfc_steal_ptr(&c->next);
    return yes(c, name, &fixed);
}

static bool from_environment(struct hfc_aws_creds *c)
{
    static const char *const names[2] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"};
    const char *access_key = env(c, names[0]), *secret_key = env(c, names[1]);

    if (access_key == NULL && secret_key == NULL)
        return no(c, "environment", "AWS_ACCESS_KEY_ID is not set");
    return take_fixed(c, "environment", names, access_key, secret_key, env(c, "AWS_SESSION_TOKEN"));
}

/* STS takes letters, digits and "+=,.@-_", 2 to 64 of them. */
static void name_session(struct hfc_aws_creds *c, const char *name)
{
    char host[56] = "";

    if (name == NULL) {
        (void)gethostname(host, sizeof(host) - 1);
        if (host[0] == '\0')
            (void)snprintf(host, sizeof(host), "%lld", (long long)time(NULL));
    }
    (void)snprintf(c->session_name, sizeof(c->session_name), "%s%s",
                   name != NULL ? name : "hf-cache-", host);
    for (char *p = c->session_name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("+=,.@-_", *p) == NULL)
            *p = '-';
}

/* Writes the URL of a service without '/' at its end. -1: it is none that could be asked. */
static int take_url(struct hfc_aws_creds *c, const char *text, struct hfc_url *url,
                    struct hfc_error *err)
{
    if (hfc_url_parse(text, url, err) < 0)
        return -1;
    if (url->port == NULL || url->query != NULL || strlen(text) >= sizeof(c->url)) {
        hfc_url_free(url);
        return hfc_error_set(err, 0, "URL: it has to be http or https, short, without a query");
    }
    int n = snprintf(c->url, sizeof(c->url), "%s", text);
    while (n > 0 && c->url[n - 1] == '/')
        c->url[--n] = '\0';
    return 0;
}

static bool is_region(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* STS in the region: the global one can't be reached from everywhere. */
static int find_sts(struct hfc_aws_creds *c, struct hfc_error *err)
{
    const char *endpoint = hfc_aws_config_endpoint(c->config, "sts");
    const char *region = hfc_aws_config_region(c->config);
    struct hfc_url url;

    if (endpoint != NULL) {
        if (take_url(c, endpoint, &url, err) < 0)
            return hfc_error_prefix(err, "endpoint of STS");
        hfc_url_free(&url);
        return 0;
    }
    if (region == NULL)
        return hfc_error_set(err, 0, "AWS_REGION is not set, and STS is asked in a region");
    if (!is_region(region))
        return hfc_error_set(err, 0, "AWS_REGION is no name of a region");
    (void)snprintf(c->url, sizeof(c->url), "https://sts.%s.amazonaws.com%s", region,
                   strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return 0;
}

static bool take_role(struct hfc_aws_creds *c, const char *role_arn, const char *token_file,
                      const char *session_name)
{
    struct hfc_error err;
    char name[sizeof(c->name)];

    (void)snprintf(name, sizeof(name), "web identity %s", role_arn);
    c->role_arn = role_arn;
    c->token_file = token_file;
    name_session(c, session_name);
    if (find_sts(c, &err) < 0)
        return broken(c, name, "%s", err.msg);
    return yes(c, name, &hfc_creds_sts);
}

/* What a profile may ask for that is not done here; NULL: nothing. */
static const char *unsupported(const struct hfc_aws_creds *c)
{
    static const char *const keys[] = {"source_profile", "credential_source", "credential_process",
                                       "sso_session", "sso_start_url"};

    for (size_t i = 0; i < HFC_ARRAY_LEN(keys); i++)
        if (setting(c, keys[i]) != NULL)
            return keys[i];
    return NULL;
}

static bool from_profile(struct hfc_aws_creds *c)
{
    static const char *const names[2] = {"aws_access_key_id", "aws_secret_access_key"};
    const char *role_arn = setting(c, "role_arn"), *file = setting(c, "web_identity_token_file");
    const char *access_key = setting(c, names[0]), *secret_key = setting(c, names[1]);
    const char *other = unsupported(c);
    char name[sizeof(c->name)];

    (void)snprintf(name, sizeof(name), "profile %s", hfc_aws_config_profile(c->config));
    if (role_arn != NULL && file != NULL)
        return take_role(c, role_arn, file, setting(c, "role_session_name"));
    if (role_arn == NULL && (access_key != NULL || secret_key != NULL))
        return take_fixed(c, name, names, access_key, secret_key, setting(c, "aws_session_token"));
    if (other != NULL)
        return broken(c, name,
                      "%s is not supported; put the output of \"aws configure "
                      "export-credentials --profile %s --format env\" into the environment, or use "
                      "keys, a web identity or a role of the machine",
                      other, hfc_aws_config_profile(c->config));
    if (role_arn != NULL)
        return broken(c, name, "role_arn is set, but web_identity_token_file is not");
    return no(c, name, "it has no aws_access_key_id");
}

static bool from_web_identity(struct hfc_aws_creds *c)
{
    const char *role_arn = env(c, "AWS_ROLE_ARN");
    const char *token_file = env(c, "AWS_WEB_IDENTITY_TOKEN_FILE");

    if (token_file == NULL)
        return no(c, "web identity",
                  role_arn == NULL ? "AWS_ROLE_ARN is not set"
                                   : "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    if (role_arn == NULL)
        return broken(c, "web identity",
                      "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    return take_role(c, role_arn, token_file, env(c, "AWS_ROLE_SESSION_NAME"));
}

/* The token goes unencrypted only to this machine, or to the agents' own addresses. */
static bool is_agent(const struct hfc_url *url)
{
    static const char *const agents[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23",
                                         "[fd00:ec2::23]"};
    struct in_addr v4;

    for (size_t i = 0; i < HFC_ARRAY_LEN(agents); i++)
        if (strcmp(url->host, agents[i]) == 0)
            return true;
    return inet_pton(AF_INET, url->host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

/* The URL is used as it is, so its query and its last '/' stay. */
static bool take_container(struct hfc_aws_creds *c, const char *variable, const char *text)
{
    struct hfc_error err;
    struct hfc_url url;

    if (hfc_url_parse(text, &url, &err) < 0)
        return broken(c, "container", "%s: %s", variable, err.msg);
    bool good =
        strlen(text) < sizeof(c->url) &&
        (strcmp(url.scheme, "https") == 0 || (strcmp(url.scheme, "http") == 0 && is_agent(&url)));
    hfc_url_free(&url);
    if (!good)
        return broken(c, "container",
                      "%s: it has to be https, or an address of this machine, 169.254.170.2, "
                      "169.254.170.23 or [fd00:ec2::23]",
                      variable);
    (void)snprintf(c->url, sizeof(c->url), "%s", text);
    return yes(c, "container", &hfc_creds_container);
}

static bool from_container(struct hfc_aws_creds *c)
{
    const char *relative = env(c, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = env(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char url[CREDS_URL_MAX];

    if (relative != NULL && relative[0] != '/')
        return broken(c, "container",
                      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI has to begin with '/'");
    if (relative != NULL) {
        (void)snprintf(url, sizeof(url), "http://169.254.170.2%s", relative);
        return take_container(c, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", url);
    }
    if (full != NULL)
        return take_container(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI", full);
    return no(c, "container", "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
}

static bool from_instance(struct hfc_aws_creds *c)
{
    const char *disabled = env(c, "AWS_EC2_METADATA_DISABLED");
    const char *endpoint = env(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = env(c, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    struct hfc_error err;
    struct hfc_url url;

    if (disabled != NULL && strcasecmp(disabled, "true") == 0)
        return no(c, "instance metadata", "disabled by AWS_EC2_METADATA_DISABLED");
    if (endpoint == NULL)
        endpoint = mode != NULL && strcasecmp(mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
                                                                 : "http://169.254.169.254";
    if (take_url(c, endpoint, &url, &err) < 0)
        return broken(c, "instance metadata", "AWS_EC2_METADATA_SERVICE_ENDPOINT: %s", err.msg);
    hfc_url_free(&url);
    return yes(c, "instance metadata", &hfc_creds_imds);
}

void hfc_creds_choose(struct hfc_aws_creds *c)
{
    /* A profile that somebody has named is meant; the default one is what happens to be there. */
    bool named = env(c, "AWS_PROFILE") != NULL;
    bool (*const sources[])(struct hfc_aws_creds * c) = {
        from_environment, named ? from_profile : from_web_identity,
        named ? from_web_identity : from_profile, from_container, from_instance};

    assert(c->source == NULL && c->next != NULL);
    for (size_t i = 0; i < HFC_ARRAY_LEN(sources); i++)
        if (sources[i](c))
            return;
}
