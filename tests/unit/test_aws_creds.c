/* test_aws_creds.c: where credentials come from, and when they are renewed (lib/aws_creds*.c),
 * against scripted services. The clock is the test's own. Every secret has "s3cr3t" in it, and no
 * message may have it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws_creds_internal.h"
#include "cleanup.h"
#include "file.h"
#include "http_peer.h"

#define ROLE "arn:aws:iam::123456789012:role/reader"
#define LOOKED_AT_ENV "no AWS credentials: environment: AWS_ACCESS_KEY_ID is not set; "
#define LOOKED_AT_WEB LOOKED_AT_ENV "web identity: AWS_ROLE_ARN is not set; "
#define LOOKED_AT_PROFILE LOOKED_AT_WEB "profile default: it has no aws_access_key_id; "
#define LOOKED_AT_CONTAINER                                                                        \
    LOOKED_AT_PROFILE "container: AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; "

/* Seconds that the test's clock is ahead. The library's calls of time() end here, too. */
static time_t ahead;

time_t time(time_t *to)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (to != NULL)
        *to = t.tv_sec + ahead;
    return t.tv_sec + ahead;
}

/* Secret memory that is there: what was left out of core dumps and is still mapped. */
static void *secret[16];

int madvise(void *p, size_t n, int advice)
{
    for (size_t i = 0; advice == MADV_DONTDUMP && i < HFC_ARRAY_LEN(secret); i++) {
        if (secret[i] == NULL) {
            secret[i] = p;
            break;
        }
    }
    return (int)syscall(SYS_madvise, p, n, advice);
}

int munmap(void *p, size_t n)
{
    for (size_t i = 0; i < HFC_ARRAY_LEN(secret); i++) {
        if (secret[i] == p)
            secret[i] = NULL;
    }
    return (int)syscall(SYS_munmap, p, n);
}

static unsigned secrets(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < HFC_ARRAY_LEN(secret); i++)
        n += secret[i] != NULL;
    return n;
}

static char dir[64];
static struct peer peer;
static struct hfc_loop *loop;
static struct hfc_aws_config *config;
static struct hfc_aws_creds *creds;
static struct hfc_error err;

/* Somebody who asks for keys. */
struct asker {
    struct hfc_aws_creds_wait w;
    bool over;
    char keys[512]; /* "ACCESS SECRET TOKEN", "-" for no token; "": refused */
    char msg[HFC_ERROR_MAX];
    int errnum;
    int calls;
    void (*then)(struct asker *a);
};

static void on_keys(void *ctx, const struct hfc_aws_keys *keys, const struct hfc_error *error)
{
    struct asker *a = ctx;

    assert_int_equal(keys == NULL, error != NULL);
    a->keys[0] = a->msg[0] = '\0';
    if (keys != NULL)
        (void)snprintf(a->keys, sizeof(a->keys), "%s %s %s", keys->access_key, keys->secret_key,
                       keys->session_token != NULL ? keys->session_token : "-");
    else
        (void)snprintf(a->msg, sizeof(a->msg), "%s", error->msg);
    assert_null(strstr(a->msg, "s3cr3t"));
    assert_null(strchr(a->msg, '\n'));
    a->errnum = error != NULL ? error->errnum : 0;
    a->calls++;
    a->over = true;
    if (a->then != NULL)
        a->then(a);
}

static void run_until(const bool *until)
{
    if (hfc_loop_run(loop, until, &err) < 0)
        fail_msg("loop: %s", err.msg);
}

static void clear_environment(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[256];
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        if (strncmp(name, "AWS_", 4) == 0 || strcasestr(name, "_proxy") != NULL)
            (void)unsetenv(name);
        else
            i++;
    }
}

static void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)alarm(120);
    memset(secret, 0, sizeof(secret));
    ahead = 0;
    clear_environment();
    set("AWS_EC2_METADATA_DISABLED", "true");
    err = (struct hfc_error){0};
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-aws-creds-XXXXXX");
    if (mkdtemp(dir) == NULL || chdir(dir) != 0 || mkdir(".aws", 0700) != 0)
        return -1;
    set("HOME", dir);
    memset(&peer, 0, sizeof(peer));
    peer_start(&peer);
    loop = hfc_loop_new(&err);
    return loop != NULL ? 0 : -1;
}

static void drop(void)
{
    hfc_aws_creds_free(creds);
    hfc_aws_config_free(config);
    creds = NULL;
    config = NULL;
}

static int teardown(void **state)
{
    (void)state;
    drop();
    hfc_loop_free(loop);
    peer_stop(&peer);
    clear_environment();
    (void)unlink(".aws/config");
    (void)unlink(".aws/credentials");
    (void)unlink("token");
    (void)rmdir(".aws");
    return chdir("/") == 0 ? rmdir(dir) : -1;
}

static void put(const char *path, const char *text)
{
    (void)unlink(path);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
}

/* With the environment and the files as they are now. */
static void make(void)
{
    drop();
    config = hfc_aws_config_load(&err);
    if (config == NULL)
        fail_msg("%s", err.msg);
    creds = hfc_aws_creds_new(loop, config, &err);
    if (creds == NULL)
        fail_msg("%s", err.msg);
}

static void ask(struct asker *a)
{
    a->over = false;
    hfc_aws_creds_get(creds, &a->w, on_keys, a);
}

static void gives(const char *want)
{
    struct asker a = {0};

    ask(&a);
    run_until(&a.over);
    if (strcmp(a.keys, want) != 0)
        fail_msg("%s%s instead of %s", a.keys, a.msg, want);
    assert_null(a.w.creds);
}

static void refuses(const char *want)
{
    struct asker a = {0};

    ask(&a);
    assert_false(a.over);
    run_until(&a.over);
    if (strcmp(a.msg, want) != 0)
        fail_msg("%s%s\ninstead of\n%s", a.keys, a.msg, want);
    assert_int_equal(a.errnum, EACCES);
}

/* The message begins and ends like this; what curl says is in between. */
static void refuses_like(const char *begin, const char *end)
{
    struct asker a = {0};

    ask(&a);
    run_until(&a.over);
    size_t n = strlen(a.msg), m = strlen(end);
    if (strncmp(a.msg, begin, strlen(begin)) != 0 || n < m || strcmp(a.msg + n - m, end) != 0)
        fail_msg("%s%s\ninstead of\n%s ... %s", a.keys, a.msg, begin, end);
}

static void source_is(const char *want)
{
    assert_string_equal(hfc_aws_creds_source(creds), want);
}

/* As expired, and the server has said so. */
static void refuse(void)
{
    assert_true(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), true));
}

/* ---- environment and profile ---- */

static void keys_of_the_environment_are_there_at_once(void **state)
{
    struct asker a = {0};

    (void)state;
    set("AWS_ACCESS_KEY_ID", "AKID");
    set("AWS_SECRET_ACCESS_KEY", "s3cr3t");
    make();
    source_is("environment");
    ask(&a);
    assert_true(a.over);
    assert_string_equal(a.keys, "AKID s3cr3t -");
    assert_string_equal(hfc_aws_creds_now(creds)->access_key, "AKID");
    set("AWS_SESSION_TOKEN", "s3cr3t2");
    put(".aws/config", "[profile x]\n");
    put(".aws/credentials", "[x]\naws_access_key_id=NO\naws_secret_access_key=NO\n");
    set("AWS_PROFILE", "x");
    make();
    gives("AKID s3cr3t s3cr3t2");
}

static void half_a_pair_is_a_mistake(void **state)
{
    (void)state;
    set("AWS_ACCESS_KEY_ID", "AKID");
    set("AWS_SECRET_ACCESS_KEY", "");
    make();
    source_is("environment");
    refuses("no AWS credentials: environment: AWS_ACCESS_KEY_ID is set, but "
            "AWS_SECRET_ACCESS_KEY is not");
    assert_null(hfc_aws_creds_now(creds));
    set("AWS_ACCESS_KEY_ID", "");
    set("AWS_SECRET_ACCESS_KEY", "s3cr3t");
    make();
    refuses("no AWS credentials: environment: AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID "
            "is not");
    set("AWS_SECRET_ACCESS_KEY", "");
    put(".aws/credentials", "[default]\naws_access_key_id = AKID\n");
    make();
    refuses(LOOKED_AT_WEB "profile default: aws_access_key_id is set, but aws_secret_access_key is "
                          "not");
}

static void keys_that_could_not_be_sent_are_refused(void **state)
{
    char token[17000];

    (void)state;
    set("AWS_ACCESS_KEY_ID", "AKID\nX: y");
    set("AWS_SECRET_ACCESS_KEY", "s3cr3t");
    make();
    refuses("no AWS credentials: environment: the access key is empty, too long, or has a blank or "
            "control character in it");
    set("AWS_ACCESS_KEY_ID", "AKID");
    set("AWS_SECRET_ACCESS_KEY", "s3cr3t\n");
    make();
    refuses("no AWS credentials: environment: the secret key is empty, too long, or has a blank or "
            "control character in it");
    set("AWS_SECRET_ACCESS_KEY", "s3cr3t");
    set("AWS_SESSION_TOKEN", "s3cr3t\x7f");
    make();
    refuses("no AWS credentials: environment: the session token is too long, or has a blank or "
            "control character in it");
    memset(token, 'x', sizeof(token) - 1);
    token[sizeof(token) - 1] = '\0';
    set("AWS_SESSION_TOKEN", token);
    make();
    refuses("no AWS credentials: environment: the session token is too long");
    set("AWS_SESSION_TOKEN", "");
    set("AWS_ACCESS_KEY_ID", token);
    make();
    refuses("no AWS credentials: environment: the access key is empty, too long, or has a blank or "
            "control character in it");
}

static void a_profile_gives_its_keys(void **state)
{
    (void)state;
    put(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = s3cr3t\n"
                            "[x]\naws_access_key_id = B\naws_secret_access_key = s3cr3t2\n"
                            "aws_session_token = s3cr3t3\n");
    make();
    source_is("profile default");
    gives("A s3cr3t -");
    set("AWS_PROFILE", "x");
    make();
    source_is("profile x");
    gives("B s3cr3t2 s3cr3t3");
}

static void what_a_profile_wants_and_is_not_done_is_told(void **state)
{
#define INSTEAD                                                                                    \
    " is not supported; put the output of \"aws configure export-credentials --profile default "   \
    "--format env\" into the environment, or use keys, a web identity or a role of the machine"

    (void)state;
    put(".aws/config", "[default]\nrole_arn = " ROLE "\nsource_profile = other\n"
                       "aws_access_key_id = A\naws_secret_access_key = s3cr3t\n");
    make();
    source_is("profile default");
    refuses(LOOKED_AT_WEB "profile default: source_profile" INSTEAD);
    put(".aws/config", "[default]\ncredential_process = /bin/s3cr3t\n");
    make();
    refuses(LOOKED_AT_WEB "profile default: credential_process" INSTEAD);
    put(".aws/config", "[default]\nsso_session = s3cr3t\n");
    make();
    refuses(LOOKED_AT_WEB "profile default: sso_session" INSTEAD);
    put(".aws/config", "[default]\nrole_arn = " ROLE "\n");
    make();
    refuses(LOOKED_AT_WEB "profile default: role_arn is set, but web_identity_token_file is not");
    /* Keys are keys, whatever else there is. */
    put(".aws/config", "[default]\ncredential_process = x\n"
                       "aws_access_key_id = A\naws_secret_access_key = s3cr3t\n");
    make();
    gives("A s3cr3t -");
}

static void each_source_that_was_looked_at_is_named(void **state)
{
    (void)state;
    make();
    source_is("none");
    refuses(LOOKED_AT_CONTAINER "instance metadata: disabled by AWS_EC2_METADATA_DISABLED");
    set("AWS_EC2_METADATA_DISABLED", "false");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    set("AWS_ROLE_ARN", ROLE);
    make();
    source_is("instance metadata");
    refuses_like(LOOKED_AT_ENV
                 "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; "
                 "profile default: it has no aws_access_key_id; container: "
                 "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; instance metadata: tried 2 times: "
                 "no answer from 127.0.0.1:1: ",
                 "");
}

/* ---- web identity ---- */

static void iso(char text[32], int64_t seconds)
{
    time_t t = time(NULL) + seconds;
    struct tm tm;

    (void)strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

static void sts_reply(const char *name, int64_t seconds)
{
    char body[1024], when[32];

    iso(when, seconds);
    (void)snprintf(
        body, sizeof(body),
        "<?xml version=\"1.0\"?>\n<AssumeRoleWithWebIdentityResponse "
        "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>"
        "<Audience>sts.amazonaws.com</Audience><Credentials><AccessKeyId>%s</AccessKeyId>"
        "<SecretAccessKey>s3cr3t&amp;%s</SecretAccessKey><SessionToken>s3cr3t/%s==</SessionToken>"
        "<Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
        "</AssumeRoleWithWebIdentityResponse>",
        name, name, name, when);
    peer_reply(&peer, 200, "Content-Type: text/xml\r\n", body);
}

static void use_sts(void)
{
    put("token", "s3cr3t.jwt+1\n");
    set("AWS_ROLE_ARN", ROLE);
    set("AWS_WEB_IDENTITY_TOKEN_FILE", "token");
    set("AWS_ROLE_SESSION_NAME", "me");
    set("AWS_ENDPOINT_URL_STS", peer.base);
}

static void web_identity_asks_sts(void **state)
{
    char value[128];

    (void)state;
    use_sts();
    sts_reply("A", 3600);
    make();
    source_is("web identity " ROLE);
    assert_null(hfc_aws_creds_now(creds));
    gives("A s3cr3t&A s3cr3t/A==");
    const struct peer_request *r = peer_request(&peer, 0);
    assert_string_equal(r->method, "POST");
    assert_string_equal(r->target, "/");
    assert_string_equal(peer_header(r, "Content-Type", value, sizeof(value)),
                        "application/x-www-form-urlencoded");
    assert_null(peer_header(r, "Authorization", value, sizeof(value)));
    assert_string_equal(r->body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                                 "&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader"
                                 "&RoleSessionName=me&WebIdentityToken=s3cr3t.jwt%2B1");
    /* From now on they are there. */
    struct asker a = {0};
    ask(&a);
    assert_true(a.over);
    assert_int_equal(peer_count(&peer, &peer.n_requests), 1);
}

static void a_profile_may_have_a_web_identity(void **state)
{
    (void)state;
    put("token", "s3cr3t");
    set("AWS_ENDPOINT_URL_STS", peer.base);
    put(".aws/config", "[default]\nrole_arn = " ROLE "\nweb_identity_token_file = token\n"
                       "role_session_name = a b\naws_access_key_id = NO\n");
    sts_reply("A", 3600);
    make();
    source_is("web identity " ROLE);
    gives("A s3cr3t&A s3cr3t/A==");
    assert_non_null(strstr(peer_request(&peer, 0)->body, "&RoleSessionName=a-b&"));
}

static void web_identity_comes_before_the_default_profile_but_not_before_a_named_one(void **state)
{
    (void)state;
    use_sts();
    put(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = s3cr3t\n");
    make();
    source_is("web identity " ROLE);
    set("AWS_PROFILE", "default");
    make();
    source_is("profile default");
    put(".aws/credentials", "[default]\nregion = x\n");
    make();
    source_is("web identity " ROLE);
}

static void a_session_without_a_name_gets_one(void **state)
{
    (void)state;
    use_sts();
    set("AWS_ROLE_SESSION_NAME", "");
    sts_reply("A", 3600);
    make();
    gives("A s3cr3t&A s3cr3t/A==");
    assert_non_null(strstr(peer_request(&peer, 0)->body, "&RoleSessionName=hf-cache-"));
}

static void the_token_is_read_again_each_time(void **state)
{
    (void)state;
    use_sts();
    sts_reply("A", 3600);
    sts_reply("B", 3600);
    make();
    gives("A s3cr3t&A s3cr3t/A==");
    put("token", "s3cr3t-2");
    refuse();
    assert_null(hfc_aws_creds_now(creds));
    gives("B s3cr3t&B s3cr3t/B==");
    assert_non_null(strstr(peer_request(&peer, 1)->body, "&WebIdentityToken=s3cr3t-2"));
}

static void web_identity_is_checked_before_it_is_used(void **state)
{
    (void)state;
    use_sts();
    set("AWS_ROLE_ARN", "");
    make();
    source_is("web identity");
    refuses(LOOKED_AT_ENV
            "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    set("AWS_ROLE_ARN", ROLE);
    set("AWS_ENDPOINT_URL_STS", "");
    make();
    refuses(LOOKED_AT_ENV "web identity " ROLE
                          ": AWS_REGION is not set, and STS is asked in a region");
    set("AWS_REGION", "evil.example/");
    make();
    refuses(LOOKED_AT_ENV "web identity " ROLE ": AWS_REGION is no name of a region");
    set("AWS_ENDPOINT_URL_STS", "file:///x");
    make();
    refuses(LOOKED_AT_ENV "web identity " ROLE ": endpoint of STS: URL: it has to be http or "
                          "https, short, without a query");
    set("AWS_ENDPOINT_URL_STS", "nonsense");
    make();
    refuses(LOOKED_AT_ENV "web identity " ROLE ": endpoint of STS: URL: it has to begin with "
                          "http://, https:// or file://");
}

static void sts_is_asked_in_the_region(void **state)
{
    (void)state;
    use_sts();
    set("AWS_ENDPOINT_URL_STS", "");
    set("AWS_REGION", "eu-west-1");
    make();
    assert_string_equal(creds->url, "https://sts.eu-west-1.amazonaws.com");
    set("AWS_REGION", "cn-north-1");
    make();
    assert_string_equal(creds->url, "https://sts.cn-north-1.amazonaws.com.cn");
    set("AWS_ENDPOINT_URL_STS", "https://sts.example//");
    make();
    assert_string_equal(creds->url, "https://sts.example");
}

#define FROM_STS LOOKED_AT_ENV "web identity " ROLE ": "

static void a_token_file_that_is_wrong_is_named(void **state)
{
    char large[20002];

    (void)state;
    use_sts();
    put("token", " \n\n");
    make();
    refuses(FROM_STS "token: it is empty");
    put("token", "s3cr3t\ns3cr3t\n");
    refuses(FROM_STS "token: there is a blank or control character in the token");
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    put("token", large);
    refuses(FROM_STS "token: File too large");
    assert_int_equal(unlink("token"), 0);
    refuses(FROM_STS "token: No such file or directory");
    assert_int_equal(peer_count(&peer, &peer.n_requests), 0);
}

#define KEYS_XML                                                                                   \
    "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s3cr3t</SecretAccessKey>"        \
    "<SessionToken>s3cr3t</SessionToken>"

static void what_sts_refuses_is_told(void **state)
{
    static const struct {
        int status;
        const char *body, *want;
    } cases[] = {
        {403,
         "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not "
         "authorized "
         "to perform\nsts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>",
         "STS refused: AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"},
        {400, "<E><Code>ExpiredTokenException</Code></E>", "STS refused: ExpiredTokenException"},
        {400, "<E/>", "STS answered with status 400"},
        {404, "<html><p>no", "STS answered with status 404"},
        {200, "{}", "line 1 of its answer is no XML"},
        {200, "", "line 1 of its answer is no XML"},
        {200, "<R>\n<oops></R>", "line 2 of its answer is no XML"},
        {200, "<R/>", "its answer has no keys"},
        {200, "<R><AccessKeyId>A</AccessKeyId><SecretAccessKey>s3cr3t</SecretAccessKey></R>",
         "its answer has no keys"},
        {200, KEYS_XML "</Credentials></R>", "the Expiration in its answer is no time"},
        {200, KEYS_XML "<Expiration>soon</Expiration></Credentials></R>",
         "the Expiration in its answer is no time"},
        {200, KEYS_XML "<Expiration>2001-01-01T00:00:00Z</Expiration></Credentials></R>",
         "it gave unusable keys: they have expired already"},
        {200,
         "<R><AccessKeyId>A B</AccessKeyId><SecretAccessKey>s3cr3t</SecretAccessKey>"
         "<SessionToken>s3cr3t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></R>",
         "it gave unusable keys: the access key is empty, too long, or has a blank or control "
         "character in it"},
        {200, "<!DOCTYPE R [<!ENTITY e \"s3cr3t\">]><R>&e;</R>", "its answer has a DOCTYPE"},
        {200, "<R><AccessKeyId>&e;</AccessKeyId></R>", "line 1 of its answer is no XML"},
        {200,
         "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>"
         "</a></a></a></a></a></a></a></a>",
         "a text in its answer is too long"},
    };
    hfc_autobuf struct hfc_buf want = HFC_BUF(4096);

    (void)state;
    use_sts();
    make();
    for (size_t i = 0; i < HFC_ARRAY_LEN(cases); i++) {
        creds->not_before = 0;
        peer_reply(&peer, cases[i].status, "", cases[i].body);
        hfc_buf_reset(&want);
        hfc_buf_printf(&want, FROM_STS "%s", cases[i].want);
        refuses(want.data);
    }
}

static void a_long_word_of_a_server_is_not_shown(void **state)
{
    hfc_autobuf struct hfc_buf body = HFC_BUF(4096);

    (void)state;
    use_sts();
    make();
    hfc_buf_str(&body, "<E><Message>Bad token ");
    for (int i = 0; i < 20; i++)
        hfc_buf_str(&body, "s3cr3t");
    hfc_buf_str(&body, " it was\xc3\xa4 \n</Message></E>");
    peer_reply(&peer, 400, "", body.data);
    refuses(FROM_STS "STS refused: Bad token * it was??");
    hfc_buf_reset(&body);
    hfc_buf_str(&body, "<R><AccessKeyId>");
    for (int i = 0; i < 300; i++)
        hfc_buf_char(&body, 'A');
    hfc_buf_str(&body, "</AccessKeyId></R>");
    peer_reply(&peer, 200, "", body.data);
    refuses(FROM_STS "a text in its answer is too long");
}

static void a_request_has_its_limit(void **state)
{
    static char role[90000];

    (void)state;
    use_sts();
    memset(role, 'x', sizeof(role) - 1);
    set("AWS_ROLE_ARN", role);
    make();
    refuses_like(LOOKED_AT_ENV "web identity xxx", "x: the request gets too long");
}

static void passing_troubles_of_sts_are_tried_again(void **state)
{
    (void)state;
    use_sts();
    peer_reply(&peer, 503, "Retry-After: 0\r\n", "");
    peer_reply(&peer, 400, "Retry-After: 0\r\n", "<E><Code>Throttling</Code></E>");
    peer_reply(&peer, 400, "Retry-After: 0\r\n", "<E><Code>IDPCommunicationError</Code></E>");
    sts_reply("A", 3600);
    make();
    gives("A s3cr3t&A s3cr3t/A==");
    refuse();
    for (int i = 0; i < 4; i++)
        peer_reply(&peer, 500, "Retry-After: 0\r\n", "s3cr3t");
    refuses(FROM_STS "tried 4 times: it answered with status 500");
    assert_int_equal(peer_count(&peer, &peer.n_requests), 8);
}

/* ---- container ---- */

static void json_reply(const char *name, int64_t seconds)
{
    char body[512], when[32];

    iso(when, seconds);
    (void)snprintf(body, sizeof(body),
                   "{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"AccessKeyId\": \"%s\", "
                   "\"SecretAccessKey\": \"s3cr3t-%s\", \"Token\": \"s3cr3t+%s\", "
                   "\"Expiration\": \"%s\"}",
                   name, name, name, when);
    peer_reply(&peer, 200, "", body);
}

static void use_container(void)
{
    char url[64];

    (void)snprintf(url, sizeof(url), "%s/v1/credentials?x=1", peer.base);
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
}

static void the_agent_of_a_container_is_asked(void **state)
{
    char value[128];

    (void)state;
    use_container();
    json_reply("A", 3600);
    make();
    source_is("container");
    gives("A s3cr3t-A s3cr3t+A");
    const struct peer_request *r = peer_request(&peer, 0);
    assert_string_equal(r->method, "GET");
    assert_string_equal(r->target, "/v1/credentials?x=1");
    assert_null(peer_header(r, "Authorization", value, sizeof(value)));
}

static void the_agents_token_is_sent(void **state)
{
    char value[128];

    (void)state;
    use_container();
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic s3cr3t");
    json_reply("A", 3600);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    assert_string_equal(peer_header(peer_request(&peer, 0), "Authorization", value, sizeof(value)),
                        "Basic s3cr3t");
    put("token", "s3cr3t-1\n");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token");
    json_reply("B", 3600);
    json_reply("C", 3600);
    make();
    gives("B s3cr3t-B s3cr3t+B");
    put("token", "s3cr3t-2");
    refuse();
    gives("C s3cr3t-C s3cr3t+C");
    assert_string_equal(peer_header(peer_request(&peer, 1), "Authorization", value, sizeof(value)),
                        "s3cr3t-1");
    assert_string_equal(peer_header(peer_request(&peer, 2), "Authorization", value, sizeof(value)),
                        "s3cr3t-2");
}

#define FROM_CONTAINER LOOKED_AT_PROFILE "container: "

static void an_agents_token_is_one_line(void **state)
{
    (void)state;
    use_container();
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "s3cr3t\nX: y");
    make();
    refuses(FROM_CONTAINER "there is an end of line or another control character in "
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    put("token", "s3cr3t\r\nX: y");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token");
    make();
    refuses(FROM_CONTAINER "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token: there is a blank or "
                           "control character in the token");
}

static void a_token_goes_to_an_agent_only(void **state)
{
    static const char *const good[] = {
        "https://agent.example/x", "http://localhost/x",        "http://127.1.2.3:8080/x",
        "http://[::1]/x",          "http://169.254.170.23/v1/", "http://[fd00:ec2::23]/v1",
    };
    static const char *const bad[] = {
        "http://agent.example/x", "http://169.254.169.254/x",      "http://127.0.0.1.example/x",
        "http://10.0.0.1/x",      "http://localhost.evil.example", "file:///etc/passwd",
        "http://[::2]/",
    };

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(good); i++) {
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", good[i]);
        make();
        assert_string_equal(creds->broken, "");
        assert_string_equal(creds->url, good[i]);
    }
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", bad[i]);
        make();
        refuses(FROM_CONTAINER
                "AWS_CONTAINER_CREDENTIALS_FULL_URI: it has to be https, or an address of this "
                "machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]");
    }
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user:s3cr3t@localhost/");
    make();
    refuses(FROM_CONTAINER "AWS_CONTAINER_CREDENTIALS_FULL_URI: URL: it must not contain a user "
                           "name or password");
}

static void a_relative_uri_is_on_the_agents_address(void **state)
{
    (void)state;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/no");
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1");
    make();
    source_is("container");
    assert_string_equal(creds->url, "http://169.254.170.2/v2/credentials/1");
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/");
    make();
    refuses(FROM_CONTAINER "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI has to begin with '/'");
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/a b");
    make();
    refuses_like(FROM_CONTAINER "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: URL: ", "");
}

static void what_an_agent_says_wrong_is_told(void **state)
{
    static const struct {
        int status;
        const char *body, *want;
    } cases[] = {
        {400, "Unauthorized\nException!\n", "it answered with status 400: Unauthorized Exception!"},
        {200, "", "line 1 of its answer is no JSON"},
        {200, "{\"s3cr3t", "line 1 of its answer is no JSON"},
        {200, "{\n\"a\":\ns3cr3t}", "line 3 of its answer is no JSON"},
        {200, "[]", "its answer has no AccessKeyId"},
        {200, "{\"AccessKeyId\": 1}", "its answer has no AccessKeyId"},
        {200, "{\"AccessKeyId\": \"A\"}", "its answer has no SecretAccessKey"},
        {200, "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\"}",
         "its answer has no Token"},
        {200, "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", \"Token\": \"\"}",
         "its answer has no Token"},
        {200,
         "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", \"Token\": \"s3cr3t\", "
         "\"Expiration\": \"x\"}",
         "the Expiration in its answer is no time"},
        {200, "{\"AccessKeyId\": \"\", \"SecretAccessKey\": \"s3cr3t\", \"Token\": \"s3cr3t\"}",
         "it gave unusable keys: the access key is empty, too long, or has a blank or control "
         "character in it"},
        {200, "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3\\ncr3t\", \"Token\": \"s3cr3t\"}",
         "it gave unusable keys: the secret key is empty, too long, or has a blank or control "
         "character in it"},
    };
    hfc_autobuf struct hfc_buf want = HFC_BUF(4096);

    (void)state;
    use_container();
    make();
    for (size_t i = 0; i < HFC_ARRAY_LEN(cases); i++) {
        creds->not_before = 0;
        peer_reply(&peer, cases[i].status, "", cases[i].body);
        hfc_buf_reset(&want);
        hfc_buf_printf(&want, FROM_CONTAINER "%s", cases[i].want);
        refuses(want.data);
    }
}

static void keys_without_an_end_are_kept(void **state)
{
    (void)state;
    use_container();
    peer_reply(&peer, 200, "",
               "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", \"Token\": \"s3cr3t\"}");
    make();
    gives("A s3cr3t s3cr3t");
    ahead = 100000000;
    gives("A s3cr3t s3cr3t");
    assert_null(creds->timer.loop);
}

/* ---- instance metadata ---- */

static void use_imds(void)
{
    set("AWS_EC2_METADATA_DISABLED", "");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", peer.base);
}

static void the_instance_is_asked_for_its_role(void **state)
{
    char value[128];

    (void)state;
    use_imds();
    set("http_proxy", "http://127.0.0.1:1");
    peer_reply(&peer, 200, "", "s3cr3t==");
    peer_reply(&peer, 200, "", "my role\nother");
    json_reply("A", 3600);
    make();
    source_is("instance metadata");
    gives("A s3cr3t-A s3cr3t+A");
    const struct peer_request *r = peer_request(&peer, 0);
    assert_string_equal(r->method, "PUT");
    assert_string_equal(r->target, "/latest/api/token");
    assert_string_equal(
        peer_header(r, "x-aws-ec2-metadata-token-ttl-seconds", value, sizeof(value)), "21600");
    r = peer_request(&peer, 1);
    assert_string_equal(r->method, "GET");
    assert_string_equal(r->target, "/latest/meta-data/iam/security-credentials/");
    assert_string_equal(peer_header(r, "x-aws-ec2-metadata-token", value, sizeof(value)),
                        "s3cr3t==");
    r = peer_request(&peer, 2);
    assert_string_equal(r->target, "/latest/meta-data/iam/security-credentials/my%20role");
    assert_string_equal(peer_header(r, "x-aws-ec2-metadata-token", value, sizeof(value)),
                        "s3cr3t==");
}

#define FROM_IMDS LOOKED_AT_CONTAINER "instance metadata: "

/* The answers to the token's, the role's and the keys' requests; those before the last are good. */
static void imds_refuses(int step, int status, const char *body, const char *want)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(4096);

    creds->not_before = 0;
    if (step > 0)
        peer_reply(&peer, 200, "", "s3cr3t");
    if (step > 1)
        peer_reply(&peer, 200, "", "role");
    peer_reply(&peer, status, "", body);
    hfc_buf_printf(&text, FROM_IMDS "%s", want);
    refuses(text.data);
}

static void what_the_instance_says_wrong_is_told(void **state)
{
    hfc_autobuf struct hfc_buf longer = HFC_BUF(4096);

    (void)state;
    use_imds();
    make();
    imds_refuses(0, 403, "", "it answered with status 403 when asked for a token");
    imds_refuses(0, 200, "", "what it gave is no token");
    imds_refuses(0, 200, "s3cr3t\r\nX: y", "what it gave is no token");
    imds_refuses(1, 404, "<html>", "no role is attached to this instance");
    imds_refuses(1, 200, "", "no role is attached to this instance");
    imds_refuses(1, 401, "", "it answered with status 401 when asked for the role");
    imds_refuses(2, 404, "", "it answered with status 404 when asked for the role's keys");
    imds_refuses(2, 200, "{", "line 1 of its answer is no JSON");
    imds_refuses(2, 200, "{\"Code\": \"Failed\"}", "its answer's Code is Failed");
    imds_refuses(2, 200, "{\"Code\": \"a b\"}", "its answer's Code is unreadable");
    imds_refuses(2, 200, "{\"AccessKeyId\": \"A\"}", "its answer has no Code");
    imds_refuses(2, 200,
                 "{\"Code\": \"Success\", \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", "
                 "\"Token\": \"s3cr3t\"}",
                 "its answer has no Expiration");
    for (int i = 0; i < 2000; i++)
        hfc_buf_char(&longer, 'x');
    imds_refuses(0, 200, longer.data, "what it gave is no token");
    imds_refuses(1, 200, longer.data, "it answered with status 200 when asked for the role");
}

static void the_instance_is_tried_twice(void **state)
{
    (void)state;
    use_imds();
    peer_say(&peer, "", PEER_FIN);
    peer_reply(&peer, 200, "", "s3cr3t");
    peer_reply(&peer, 500, "Retry-After: 0\r\n", "");
    peer_reply(&peer, 200, "", "role");
    json_reply("A", 3600);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    refuse();
    peer_reply(&peer, 500, "Retry-After: 0\r\n", "");
    peer_reply(&peer, 500, "Retry-After: 0\r\n", "");
    refuses(FROM_IMDS "tried 2 times: it answered with status 500");
}

static void the_metadata_service_has_its_usual_addresses(void **state)
{
    (void)state;
    set("AWS_EC2_METADATA_DISABLED", "no");
    make();
    assert_string_equal(creds->url, "http://169.254.169.254");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
    make();
    assert_string_equal(creds->url, "http://[fd00:ec2::254]");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://h:1/x?y");
    make();
    refuses(FROM_IMDS "AWS_EC2_METADATA_SERVICE_ENDPOINT: URL: it has to be http or https, short, "
                      "without a query");
}

/* ---- times ---- */

static void times_are_read_as_services_write_them(void **state)
{
    static const char *const wrong[] = {
        "",
        "soon",
        "2026-11-24",
        "2026-11-24T15:00:00",
        "2026-11-24T15:00:00Zx",
        "2026-11-24T15:00:00.5",
        "2026-11-24T15:00:00*01:00",
        "2026-11-24T15:00:00+01:00x",
        "2026-13-24T15:00:00Z",
        "2026-11-24T15:00:00+0100",
        "2026-11-24T15:00:00+1x:00",
    };

    (void)state;
    assert_int_equal(hfc_creds_time("1970-01-02T00:00:01Z"), 86401);
    assert_int_equal(hfc_creds_time("2026-11-24T15:00:00Z"), 1795532400);
    assert_int_equal(hfc_creds_time("2026-11-24T15:00:00.123456Z"), 1795532400);
    assert_int_equal(hfc_creds_time("2026-11-24T17:30:00+02:30"), 1795532400);
    assert_int_equal(hfc_creds_time("2026-11-24T13:00:00.5-02:00"), 1795532400);
    for (size_t i = 0; i < HFC_ARRAY_LEN(wrong); i++)
        if (hfc_creds_time(wrong[i]) != -1)
            fail_msg("read as a time: %s", wrong[i]);
}

/* ---- renewal ---- */

/* Lets the loop turn until the peer has so many requests. */
static struct {
    unsigned value;
    bool reached;
} awaited;

static void on_peer_event(void *ctx)
{
    uint64_t n;

    (void)ctx;
    (void)!read(peer.events, &n, sizeof(n));
    awaited.reached = peer_count(&peer, &peer.n_requests) >= awaited.value;
}

static void run_until_requests(unsigned value)
{
    struct hfc_watch watch = {0};

    awaited.value = value;
    awaited.reached = peer_count(&peer, &peer.n_requests) >= value;
    hfc_watch_start(loop, &watch, peer.events, on_peer_event, NULL);
    run_until(&awaited.reached);
    hfc_watch_stop(&watch);
}

static void set_true(void *flag)
{
    *(bool *)flag = true;
}

/* Until the fetch that is under way has ended. */
static void run_until_fetched(void)
{
    while (creds->fetching || creds->call != NULL) {
        struct hfc_timer t = {0};
        bool over = false;
        hfc_timer_start(loop, &t, 1, set_true, &over);
        run_until(&over);
    }
}

/* The answer waits for peer_release(). */
static void held_reply(const char *name, int64_t seconds)
{
    json_reply(name, seconds);
    peer.answers[peer.n_answers - 1].wait = true;
}

static void renewal_begins_five_minutes_ahead_and_nobody_waits(void **state)
{
    (void)state;
    use_container();
    json_reply("A", 3600);
    held_reply("B", 7200);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    assert_in_range(creds->timer.due - hfc_now_ms(), 3200 * 1000, 3300 * 1000);
    ahead = 3600 - 310;
    gives("A s3cr3t-A s3cr3t+A");
    assert_false(creds->fetching);
    ahead = 3600 - 290;
    gives("A s3cr3t-A s3cr3t+A");
    run_until_requests(2);
    struct asker a = {0};
    ask(&a);
    assert_true(a.over);
    assert_string_equal(a.keys, "A s3cr3t-A s3cr3t+A");
    assert_string_equal(hfc_aws_creds_now(creds)->access_key, "A");
    peer_release(&peer);
    run_until_fetched();
    gives("B s3cr3t-B s3cr3t+B");
    assert_int_equal(peer_count(&peer, &peer.n_requests), 2);
}

static void the_timer_renews_without_anybody_asking(void **state)
{
    (void)state;
    use_container();
    json_reply("A", 2);
    json_reply("B", 3600);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    run_until_requests(2);
    run_until_fetched();
    assert_string_equal(hfc_aws_creds_now(creds)->access_key, "B");
}

static void everybody_waits_when_the_old_ones_have_expired(void **state)
{
    struct asker a = {0}, b = {0}, c = {0};

    (void)state;
    use_container();
    json_reply("A", 3600);
    held_reply("B", 7200);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    ahead = 3600;
    assert_null(hfc_aws_creds_now(creds));
    ask(&a);
    ask(&b);
    ask(&c);
    run_until_requests(2);
    assert_false(a.over || b.over || c.over);
    hfc_aws_creds_forget(&b.w);
    hfc_aws_creds_forget(&b.w);
    peer_release(&peer);
    run_until(&c.over);
    assert_true(a.over);
    assert_int_equal(b.calls, 0);
    assert_string_equal(a.keys, "B s3cr3t-B s3cr3t+B");
    assert_string_equal(c.keys, "B s3cr3t-B s3cr3t+B");
    assert_int_equal(peer_count(&peer, &peer.n_requests), 2);
}

static void a_renewal_that_fails_is_tried_again_with_the_old_ones_in_use(void **state)
{
    (void)state;
    use_container();
    json_reply("A", 3600);
    peer_reply(&peer, 400, "", "no");
    peer_reply(&peer, 400, "", "no");
    json_reply("B", 7200);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    ahead = 3400;
    gives("A s3cr3t-A s3cr3t+A");
    run_until_requests(2);
    run_until_fetched();
    assert_in_range(creds->timer.due - hfc_now_ms(), 1, 1000);
    gives("A s3cr3t-A s3cr3t+A");
    run_until_requests(3);
    run_until_fetched();
    assert_in_range(creds->timer.due - hfc_now_ms(), 1001, 2000);
    gives("A s3cr3t-A s3cr3t+A");
    run_until_requests(4);
    run_until_fetched();
    gives("B s3cr3t-B s3cr3t+B");
    assert_int_equal(creds->failures, 0);
}

static void keys_that_are_handed_out_again_are_not_asked_for_all_the_time(void **state)
{
    (void)state;
    use_container();
    json_reply("A", 200);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    assert_in_range(creds->timer.due - hfc_now_ms(), 90 * 1000, 100 * 1000);
    gives("A s3cr3t-A s3cr3t+A");
    assert_false(creds->fetching);
    assert_int_equal(peer_count(&peer, &peer.n_requests), 1);
}

static void refused_keys_are_not_given_again_but_fixed_ones_are(void **state)
{
    (void)state;
    use_container();
    json_reply("A", 3600);
    peer_reply(&peer, 404, "", "gone");
    json_reply("B", 3600);
    make();
    gives("A s3cr3t-A s3cr3t+A");
    refuse();
    refuses(FROM_CONTAINER "it answered with status 404: gone");
    assert_null(hfc_aws_creds_now(creds));
    gives("B s3cr3t-B s3cr3t+B");
    assert_string_equal(hfc_aws_creds_now(creds)->access_key, "B");
    set("AWS_ACCESS_KEY_ID", "A");
    set("AWS_SECRET_ACCESS_KEY", "s3cr3t");
    make();
    gives("A s3cr3t -");
    assert_false(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), true));
    assert_false(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), false));
    gives("A s3cr3t -");
}

static void a_refusal_counts_for_the_keys_it_was_about(void **state)
{
    (void)state;
    use_container();
    json_reply("A", 3600);
    json_reply("B", 3600);
    make();
    assert_false(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), true));
    gives("A s3cr3t-A s3cr3t+A");
    unsigned generation = hfc_aws_creds_generation(creds);
    refuse();
    gives("B s3cr3t-B s3cr3t+B");
    assert_true(hfc_aws_creds_refused(creds, generation, true));
    gives("B s3cr3t-B s3cr3t+B");
    assert_int_equal(peer_count(&peer, &peer.n_requests), 2);
}

static void a_refusal_without_a_word_counts_for_keys_that_expire(void **state)
{
    (void)state;
    use_container();
    peer_reply(&peer, 200, "",
               "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", \"Token\": \"s3cr3t\"}");
    make();
    gives("A s3cr3t s3cr3t");
    assert_false(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), false));
    gives("A s3cr3t s3cr3t");
    refuse();
    json_reply("B", 3600);
    gives("B s3cr3t-B s3cr3t+B");
    assert_true(hfc_aws_creds_refused(creds, hfc_aws_creds_generation(creds), false));
    assert_null(hfc_aws_creds_now(creds));
}

/* The service's clock is right, and this machine's is two hours ahead, then two hours behind. */
static void the_end_of_keys_is_a_time_of_the_services_clock(void **state)
{
    char text[1000], date[64], when[32];

    (void)state;
    use_container();
    for (int i = 0; i < 2; i++) {
        time_t t = time(NULL);
        struct tm tm;
        (void)strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n",
                       gmtime_r(&t, &tm));
        iso(when, 3600);
        (void)snprintf(text, sizeof(text),
                       "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", "
                       "\"Token\": \"s3cr3t\", \"Expiration\": \"%s\"}",
                       when);
        peer_reply(&peer, 200, date, text);
        ahead = i == 0 ? 7200 : -7200;
        make();
        gives("A s3cr3t s3cr3t");
        assert_in_range(creds->timer.due - hfc_now_ms(), 3200 * 1000, 3300 * 1000);
        ahead += 3700;
        assert_null(hfc_aws_creds_now(creds));
        ahead = 0;
    }
}

static void no_secret_stays_behind(void **state)
{
    (void)state;
    drop();
    use_container();
    for (int i = 0; i < 2; i++) {
        unsigned before = secrets();
        if (i == 1) {
            set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "");
            use_sts();
            sts_reply("A", 3600);
        } else {
            json_reply("A", 3600);
        }
        make();
        gives(i == 0 ? "A s3cr3t-A s3cr3t+A" : "A s3cr3t&A s3cr3t/A==");
        assert_true(secrets() > before);
        drop();
        assert_int_equal(secrets(), before);
    }
}

static void who_asks_again_and_again_gets_slower_answers(void **state)
{
    (void)state;
    make();
    for (int64_t i = 0, wait = 50; i < 3; i++, wait *= 2) {
        creds->not_before = 0;
        refuses(LOOKED_AT_CONTAINER "instance metadata: disabled by AWS_EC2_METADATA_DISABLED");
        assert_in_range(creds->not_before - hfc_now_ms(), wait / 2, wait);
    }
    creds->failures = 30;
    refuses(LOOKED_AT_CONTAINER "instance metadata: disabled by AWS_EC2_METADATA_DISABLED");
    assert_in_range(creds->not_before - hfc_now_ms(), 4000, 5000);
    creds->not_before = 0;
}

/* ---- who waits may do anything ---- */

static void free_all(struct asker *a)
{
    (void)a;
    hfc_aws_creds_free(creds);
    creds = NULL;
}

static struct asker again;

static void ask_again(struct asker *a)
{
    (void)a;
    ask(&again);
    /* What is told to those who waited is not for who comes now. */
    assert_false(again.over);
}

static void forget_the_next(struct asker *a)
{
    hfc_aws_creds_forget(&a[1].w);
}

static void it_may_be_freed_by_who_waited(void **state)
{
    struct asker a[2] = {{.then = free_all}, {.over = false}};

    (void)state;
    use_container();
    json_reply("A", 3600);
    make();
    ask(&a[0]);
    ask(&a[1]);
    run_until(&a[0].over);
    assert_string_equal(a[0].keys, "A s3cr3t-A s3cr3t+A");
    assert_int_equal(a[1].calls, 0);
    assert_null(a[1].w.creds);
    drop();
    peer_reply(&peer, 404, "", "");
    make();
    a[0].over = false;
    ask(&a[0]);
    run_until(&a[0].over);
    assert_string_equal(a[0].keys, "");
    assert_null(creds);
}

static void it_may_be_freed_while_it_fetches(void **state)
{
    struct asker a = {0};

    (void)state;
    use_container();
    held_reply("A", 3600);
    make();
    ask(&a);
    run_until_requests(1);
    drop();
    assert_null(a.w.creds);
    assert_int_equal(a.calls, 0);
    /* Before it has begun. */
    make();
    ask(&a);
    drop();
    assert_int_equal(a.calls, 0);
    hfc_aws_creds_free(NULL);
}

static void who_is_told_may_ask_again_or_make_others_go(void **state)
{
    struct asker a[2] = {{.then = forget_the_next}, {.over = false}};
    struct asker first = {.then = ask_again};

    (void)state;
    use_container();
    peer_reply(&peer, 404, "", "");
    json_reply("A", 3600);
    make();
    again = (struct asker){0};
    ask(&first);
    run_until(&first.over);
    assert_string_equal(first.keys, "");
    run_until(&again.over);
    assert_string_equal(again.keys, "A s3cr3t-A s3cr3t+A");
    refuse();
    json_reply("B", 3600);
    ask(&a[0]);
    ask(&a[1]);
    run_until(&a[0].over);
    assert_int_equal(a[0].calls, 1);
    assert_int_equal(a[1].calls, 0);
}

static void a_ca_bundle_that_is_not_there_is_told_at_once(void **state)
{
    (void)state;
    use_sts();
    set("AWS_CA_BUNDLE", "/nowhere.pem");
    config = hfc_aws_config_load(&err);
    assert_non_null(config);
    assert_null(hfc_aws_creds_new(loop, config, &err));
    assert_string_equal(err.msg, "CA bundle /nowhere.pem: No such file or directory");
}

/* Sanitizers can't do without memory themselves. */
static void memory_that_cannot_be_had_is_told(void **state)
{
    (void)state;
#ifndef HFC_SANITIZED
    struct rlimit old, none;

    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    none = old;
    none.rlim_cur = 1;
    config = hfc_aws_config_load(&err);
    assert_non_null(config);
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    creds = hfc_aws_creds_new(loop, config, &err);
    struct hfc_error why = {0};
    struct hfc_aws_config *other = hfc_aws_config_load(&why);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_null(creds);
    assert_string_equal(err.msg, "AWS credentials: Cannot allocate memory");
    assert_null(other);
    assert_string_equal(why.msg, "AWS settings: Cannot allocate memory");
#endif
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_of_the_environment_are_there_at_once),
        TEST(half_a_pair_is_a_mistake),
        TEST(keys_that_could_not_be_sent_are_refused),
        TEST(a_profile_gives_its_keys),
        TEST(what_a_profile_wants_and_is_not_done_is_told),
        TEST(each_source_that_was_looked_at_is_named),
        TEST(web_identity_asks_sts),
        TEST(a_profile_may_have_a_web_identity),
        TEST(web_identity_comes_before_the_default_profile_but_not_before_a_named_one),
        TEST(a_session_without_a_name_gets_one),
        TEST(the_token_is_read_again_each_time),
        TEST(web_identity_is_checked_before_it_is_used),
        TEST(sts_is_asked_in_the_region),
        TEST(a_token_file_that_is_wrong_is_named),
        TEST(what_sts_refuses_is_told),
        TEST(a_long_word_of_a_server_is_not_shown),
        TEST(a_request_has_its_limit),
        TEST(passing_troubles_of_sts_are_tried_again),
        TEST(the_agent_of_a_container_is_asked),
        TEST(the_agents_token_is_sent),
        TEST(an_agents_token_is_one_line),
        TEST(a_token_goes_to_an_agent_only),
        TEST(a_relative_uri_is_on_the_agents_address),
        TEST(what_an_agent_says_wrong_is_told),
        TEST(keys_without_an_end_are_kept),
        TEST(the_instance_is_asked_for_its_role),
        TEST(what_the_instance_says_wrong_is_told),
        TEST(the_instance_is_tried_twice),
        TEST(the_metadata_service_has_its_usual_addresses),
        TEST(times_are_read_as_services_write_them),
        TEST(renewal_begins_five_minutes_ahead_and_nobody_waits),
        TEST(the_timer_renews_without_anybody_asking),
        TEST(everybody_waits_when_the_old_ones_have_expired),
        TEST(a_renewal_that_fails_is_tried_again_with_the_old_ones_in_use),
        TEST(keys_that_are_handed_out_again_are_not_asked_for_all_the_time),
        TEST(refused_keys_are_not_given_again_but_fixed_ones_are),
        TEST(a_refusal_counts_for_the_keys_it_was_about),
        TEST(a_refusal_without_a_word_counts_for_keys_that_expire),
        TEST(the_end_of_keys_is_a_time_of_the_services_clock),
        TEST(no_secret_stays_behind),
        TEST(who_asks_again_and_again_gets_slower_answers),
        TEST(it_may_be_freed_by_who_waited),
        TEST(it_may_be_freed_while_it_fetches),
        TEST(who_is_told_may_ask_again_or_make_others_go),
        TEST(a_ca_bundle_that_is_not_there_is_told_at_once),
        TEST(memory_that_cannot_be_had_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
