/* test_aws_config.c: AWS's environment variables and files (lib/aws_config.c, lib/aws_ini.c). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws_config.h"
#include "buf.h"
#include "cleanup.h"
#include "file.h"

static char dir[64];
static struct hfc_error err;

/* What the machine has set must not matter. */
static void clear_environment(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[256];
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        if (strncmp(name, "AWS_", 4) == 0)
            (void)unsetenv(name);
        else
            i++;
    }
}

static int setup(void **state)
{
    (void)state;
    clear_environment();
    err = (struct hfc_error){0};
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-aws-config-XXXXXX");
    return mkdtemp(dir) != NULL && chdir(dir) == 0 && mkdir(".aws", 0700) == 0 &&
                   setenv("HOME", dir, 1) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    clear_environment();
    (void)unlink(".aws/config");
    (void)unlink(".aws/credentials");
    (void)unlink("own");
    (void)rmdir(".aws");
    return chdir("/") == 0 ? rmdir(dir) : -1;
}

static void put(const char *path, const char *text)
{
    (void)unlink(path);
    assert_int_equal(hfc_file_create(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
}

static struct hfc_aws_config *load(void)
{
    struct hfc_aws_config *c = hfc_aws_config_load(&err);

    if (c == NULL)
        fail_msg("%s", err.msg);
    return c;
}

/* NULL: nothing is set. */
static void is(const char *got, const char *want)
{
    if ((got == NULL) != (want == NULL) || (got != NULL && strcmp(got, want) != 0))
        fail_msg("%s instead of %s", got ? got : "nothing", want ? want : "nothing");
}

static void key_is(const char *key, const char *want)
{
    struct hfc_aws_config *c = load();

    is(hfc_aws_config_get(c, key), want);
    hfc_aws_config_free(c);
}

static void nothing_at_all_is_fine(void **state)
{
    struct hfc_aws_config *c = load();

    (void)state;
    is(hfc_aws_config_profile(c), "default");
    is(hfc_aws_config_get(c, "region"), NULL);
    is(hfc_aws_config_region(c), NULL);
    is(hfc_aws_config_endpoint(c, "s3"), NULL);
    is(hfc_aws_config_ca_bundle(c), NULL);
    is(hfc_aws_config_env(c, "AWS_REGION"), NULL);
    hfc_aws_config_free(c);
    hfc_aws_config_free(NULL);
    /* Not even a folder. */
    assert_int_equal(setenv("HOME", "/dev/null", 1), 0);
    key_is("region", NULL);
}

static void the_default_profile_is_read_from_both_files(void **state)
{
    (void)state;
    put(".aws/config", "[default]\nregion = eu-west-1\noutput=json\n[profile other]\nregion = x\n");
    put(".aws/credentials", "[default]\naws_access_key_id = AKID\nregion = eu-west-2\n"
                            "[other]\naws_access_key_id = NO\n");
    key_is("aws_access_key_id", "AKID");
    key_is("output", "json");
    key_is("region", "eu-west-2");
    put(".aws/config", "[profile default]\noutput = text\n[default]\noutput = json\n");
    key_is("output", "text");
    put(".aws/config", "[default]\noutput = json\n[profile default]\noutput = text\n");
    key_is("output", "text");
}

static void a_named_profile_is_read_from_its_sections(void **state)
{
    (void)state;
    put(".aws/config", "[default]\nregion = no\n[x]\nregion = no\n[profile x y]\nregion = no\n"
                       "[profilex]\nregion = no\n[profile  \t x]\nregion = eu-west-1\n"
                       "[profile \"a b\"]\nregion = quoted\n");
    put(".aws/credentials", "[default]\nkey = no\n[profile x]\nkey = no\n[x]\nkey = yes\n");
    assert_int_equal(setenv("AWS_PROFILE", "x", 1), 0);
    key_is("region", "eu-west-1");
    key_is("key", "yes");
    assert_int_equal(setenv("AWS_PROFILE", "a b", 1), 0);
    key_is("region", "quoted");
    assert_int_equal(setenv("AWS_PROFILE", "", 1), 0);
    key_is("region", "no");
}

static void a_profile_that_is_named_has_to_be_there(void **state)
{
    (void)state;
    put(".aws/config", "[profile empty]\n[default]\nregion = no\n");
    assert_int_equal(setenv("AWS_PROFILE", "empty", 1), 0);
    key_is("region", NULL);
    assert_int_equal(setenv("AWS_PROFILE", "lost", 1), 0);
    assert_null(hfc_aws_config_load(&err));
    assert_non_null(strstr(err.msg, "AWS_PROFILE: profile lost is neither in "));
    assert_non_null(strstr(err.msg, "/.aws/config nor in "));
    assert_null(hfc_aws_config_load(NULL));
}

static void the_files_may_be_elsewhere(void **state)
{
    (void)state;
    put("own", "[default]\nregion = own\n");
    assert_int_equal(setenv("AWS_CONFIG_FILE", "own", 1), 0);
    key_is("region", "own");
    assert_int_equal(setenv("AWS_CONFIG_FILE", "~/own", 1), 0);
    key_is("region", "own");
    assert_int_equal(setenv("AWS_CONFIG_FILE", "~/other", 1), 0);
    key_is("region", NULL);
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", "own", 1), 0);
    key_is("region", "own");
    /* Without HOME the system's user database is asked; what it says is not ours to know. */
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(setenv("AWS_CONFIG_FILE", "/dev/null", 1), 0);
    key_is("region", "own");
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    char path[5000];

    (void)state;
    assert_int_equal(setenv("AWS_CONFIG_FILE", "/", 1), 0);
    assert_null(hfc_aws_config_load(&err));
    assert_string_equal(err.msg, "/: Is a directory");
    assert_null(hfc_aws_config_load(NULL));
    assert_int_equal(setenv("AWS_CONFIG_FILE", "/dev/zero", 1), 0);
    assert_null(hfc_aws_config_load(&err));
    assert_int_equal(err.errnum, EFBIG);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(setenv("AWS_CONFIG_FILE", path, 1), 0);
    assert_null(hfc_aws_config_load(&err));
    assert_string_equal(err.msg, "AWS_CONFIG_FILE: File name too long");
    assert_int_equal(unsetenv("AWS_CONFIG_FILE"), 0);
    put(".aws/credentials", "[default]\nx = 1\noops\n");
    assert_null(hfc_aws_config_load(&err));
    assert_non_null(strstr(err.msg, "/.aws/credentials:3: this is neither [section] nor"));
    put(".aws/config", "\n[oops\n");
    assert_null(hfc_aws_config_load(&err));
    assert_non_null(strstr(err.msg, "/.aws/config:2: the section's ']' is missing"));
}

static void a_region_is_taken_from_the_nearest_place(void **state)
{
    struct hfc_aws_config *c;

    (void)state;
    put(".aws/config", "[default]\nregion = file\n");
    c = load();
    is(hfc_aws_config_region(c), "file");
    hfc_aws_config_free(c);
    assert_int_equal(setenv("AWS_DEFAULT_REGION", "second", 1), 0);
    c = load();
    is(hfc_aws_config_region(c), "second");
    assert_int_equal(setenv("AWS_REGION", "first", 1), 0);
    is(hfc_aws_config_region(c), "second");
    hfc_aws_config_free(c);
    c = load();
    is(hfc_aws_config_region(c), "first");
    hfc_aws_config_free(c);
    assert_int_equal(setenv("AWS_REGION", "", 1), 0);
    c = load();
    is(hfc_aws_config_region(c), "second");
    hfc_aws_config_free(c);
}

static void endpoint_is(const char *service, const char *want)
{
    struct hfc_aws_config *c = load();

    is(hfc_aws_config_endpoint(c, service), want);
    hfc_aws_config_free(c);
}

static void an_endpoint_is_the_services_or_one_for_all(void **state)
{
    (void)state;
    put(".aws/config", "[default]\nendpoint_url = http://file\nca_bundle = /file.pem\n");
    endpoint_is("s3", "http://file");
    assert_int_equal(setenv("AWS_ENDPOINT_URL", "http://all", 1), 0);
    endpoint_is("s3", "http://all");
    assert_int_equal(setenv("AWS_ENDPOINT_URL_STS", "http://sts", 1), 0);
    endpoint_is("s3", "http://all");
    endpoint_is("sts", "http://sts");
    assert_int_equal(setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false", 1), 0);
    endpoint_is("sts", "http://sts");
    assert_int_equal(setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True", 1), 0);
    endpoint_is("sts", NULL);

    struct hfc_aws_config *c = load();
    is(hfc_aws_config_ca_bundle(c), "/file.pem");
    hfc_aws_config_free(c);
    assert_int_equal(setenv("AWS_CA_BUNDLE", "/env.pem", 1), 0);
    c = load();
    is(hfc_aws_config_ca_bundle(c), "/env.pem");
    hfc_aws_config_free(c);
}

static void more_than_anybody_needs_is_an_error(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    char name[32];

    (void)state;
    hfc_buf_str(&text, "[default]\n");
    for (int i = 0; i < 256; i++)
        hfc_buf_printf(&text, "k%d = 1\n", i);
    put(".aws/config", text.data);
    put(".aws/credentials", "[default]\nk7 = 2\n");
    key_is("k255", "1");
    key_is("k7", "2");
    put(".aws/credentials", "[default]\none_more = 2\n");
    assert_null(hfc_aws_config_load(&err));
    assert_string_equal(err.msg, "more than 256 AWS settings");
    put(".aws/credentials", "");
    for (int i = 0; i < 257; i++) {
        (void)snprintf(name, sizeof(name), "AWS_X%d", i);
        assert_int_equal(setenv(name, "1", 1), 0);
    }
    assert_null(hfc_aws_config_load(&err));
    assert_string_equal(err.msg, "more than 256 AWS settings");
}

/* ---- the format ---- */

static void note(void *ctx, const char *section, const char *key, const char *value)
{
    if (key == NULL)
        hfc_buf_printf(ctx, "[%s]", section);
    else
        hfc_buf_printf(ctx, "%s.%s=<%s>", section, key, value);
    hfc_buf_char(ctx, ' ');
}

static void parses(const char *text, const char *want)
{
    hfc_autobuf struct hfc_buf got = HFC_BUF(4096);

    if (hfc_aws_ini_parse("f", text, strlen(text), note, &got, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_string_equal(got.data, want);
}

static void names_and_values_are_trimmed(void **state)
{
    (void)state;
    parses("[ a ]\n", "[a] ");
    parses("[a]\n  \nB = c d \t\ne=\nf==g=\n", "[a] a.b=<c d> a.e=<> a.f=<=g=> ");
    parses("\xef\xbb\xbf[a]\r\nb = c\r\n\r\n", "[a] a.b=<c> ");
    parses("[a]\nb = c", "[a] a.b=<c> ");
    parses("[a]\nb=1\n[c]\nb=2\n[a]\nb=3\n", "[a] a.b=<1> [c] c.b=<2> [a] a.b=<3> ");
    parses("", "");
}

static void comments_and_nested_settings_are_passed_over(void **state)
{
    (void)state;
    parses("# x\n;y\n[a] # z\nb = c # d\n[e];f\ng = h ; i\nj = k#l;m\nn = # o\np = q\t#r\n",
           "[a] a.b=<c> [e] e.g=<h> e.j=<k#l;m> e.n=<> e.p=<q> ");
    parses("[a]\ns3 =\n  max_concurrent_requests = 5\n\tnonsense\nb = c\n", "[a] a.s3=<> a.b=<c> ");
    parses(" nonsense\n[a]\n", "[a] ");
}

static void refuses(const char *text, size_t n, const char *want)
{
    hfc_autobuf struct hfc_buf got = HFC_BUF(100000);

    if (hfc_aws_ini_parse("f", text, n, note, &got, &err) == 0)
        fail_msg("read: %s", text);
    assert_string_equal(err.msg, want);
    assert_null(strstr(err.msg, "s3cr3t"));
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"[a]\n[s3cr3t\n", "f:2: the section's ']' is missing"},
        {"[a] s3cr3t\n", "f:1: there is something behind the section's ']'"},
        {"\n\n[ ]\n", "f:3: the section has no name"},
        {"[a]\ns3cr3t\n", "f:2: this is neither [section] nor key = value"},
        {"b = s3cr3t\n", "f:1: there is no [section] above this key"},
        {"[a]\nb=c\n= s3cr3t", "f:3: there is no key before '='"},
    };
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(cases); i++)
        refuses(cases[i].text, strlen(cases[i].text), cases[i].want);
    refuses("[a]\nb=s3\0cr3t\n", 14, "f:2: there is a NUL byte in this line");
    hfc_buf_char(&text, '[');
    while (text.len < 513)
        hfc_buf_char(&text, 'x');
    hfc_buf_str(&text, "]\n");
    refuses(text.data, text.len, "f:1: the section's name is too long");
    hfc_buf_reset(&text);
    hfc_buf_str(&text, "[a]\nb = ");
    while (text.len < 40000)
        hfc_buf_char(&text, 'x');
    refuses(text.data, text.len, "f:2: the line is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_at_all_is_fine, setup, teardown),
        cmocka_unit_test_setup_teardown(the_default_profile_is_read_from_both_files, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_named_profile_is_read_from_its_sections, setup, teardown),
        cmocka_unit_test_setup_teardown(a_profile_that_is_named_has_to_be_there, setup, teardown),
        cmocka_unit_test_setup_teardown(the_files_may_be_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_region_is_taken_from_the_nearest_place, setup, teardown),
        cmocka_unit_test_setup_teardown(an_endpoint_is_the_services_or_one_for_all, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_than_anybody_needs_is_an_error, setup, teardown),
        cmocka_unit_test(names_and_values_are_trimmed),
        cmocka_unit_test(comments_and_nested_settings_are_passed_over),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
