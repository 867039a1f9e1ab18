/* test_clusters.c: buckets of clusters, by asking a generator (refresh/clusters.c): a script in its
 * place, which can say anything; the real one is asked in tests/integration/test_refresh_cli.py.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clusters.h"
#include "file.h"

static char dir[64], script[100];
static struct cluster_bucket *list;
static size_t n;
static struct hfc_error err;
static struct hfc_buf warnings;

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    list = NULL;
    n = 0;
    hfc_buf_init(&warnings, 4096);
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-clusters-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(script, sizeof(script), "%s/gen", dir);
    return setenv("HFCACHE_GEN", script, 1);
}

static int remove_any(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    clusters_free(list, n);
    hfc_buf_free(&warnings);
    (void)unsetenv("HFCACHE_GEN");
    return nftw(dir, remove_any, 16, FTW_DEPTH | FTW_PHYS);
}

/* The body of a script that is called as `config ...`. */
static void generator(const char *path, const char *body)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(65536);

    hfc_buf_printf(&text, "#!/bin/sh\n%s\n", body);
    (void)unlink(path);
    assert_int_equal(hfc_file_create(-1, path, text.data, text.len, 0755, NULL), 0);
}

/* Three clusters; beta lacks the module. */
#define USUAL                                                                                      \
    "case \"$*\" in\n"                                                                             \
    "'config --list') printf 'alpha\\nbeta\\ngamma\\n' ;;\n"                                       \
    "'config beta has-module hf-cache') exit 1 ;;\n"                                               \
    "config\\ *\\ has-module\\ hf-cache) ;;\n"                                                     \
    "config\\ *\\ region) echo us-\"$2\"-1 ;;\n"                                                   \
    "*) exit 9 ;;\nesac"

static void warn(void *ctx, const char *text)
{
    hfc_buf_printf(ctx, "%s\n", text);
}

static int resolve(const char *first, const char *second)
{
    char *ids[] = {first != NULL ? strdup(first) : NULL, second != NULL ? strdup(second) : NULL};
    size_t count = (first != NULL) + (second != NULL);

    clusters_free(list, n);
    int rc = clusters_resolve(ids, count, count == 0, &list, &n, warn, &warnings, &err);
    assert_true(rc == 0 || (list == NULL && n == 0));
    free(ids[0]);
    free(ids[1]);
    return rc;
}

static void fails(const char *body, const char *id, const char *why)
{
    generator(script, body);
    assert_int_equal(resolve(id, NULL), -1);
    if (strstr(err.msg, why) == NULL)
        fail_msg("should fail with '%s', not '%s'", why, err.msg);
}

static void named_clusters_have_a_bucket_and_a_region(void **state)
{
    (void)state;
    generator(script, USUAL);
    assert_int_equal(resolve("gamma", "alpha"), 0);
    assert_int_equal(n, 2);
    assert_string_equal(list[0].id, "gamma");
    assert_string_equal(list[0].url, "s3://pytorch-hf-model-cache-gamma");
    assert_string_equal(list[0].region, "us-gamma-1");
    assert_string_equal(list[1].url, "s3://pytorch-hf-model-cache-alpha");
    assert_string_equal(warnings.data, "");
    assert_int_equal(resolve("alpha", "alpha"), 0);
    assert_int_equal(n, 1);
}

static void all_are_those_with_the_module(void **state)
{
    (void)state;
    generator(script, USUAL);
    assert_int_equal(resolve(NULL, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(list[0].id, "alpha");
    assert_string_equal(list[1].id, "gamma");
    fails("[ \"$2\" = --list ] && echo alpha || exit 1", NULL,
          "no cluster lists the module hf-cache");
    fails("exit 0", NULL, "no cluster lists the module hf-cache");
}

static void a_named_cluster_without_the_module_is_warned_about(void **state)
{
    (void)state;
    generator(script, USUAL);
    assert_int_equal(resolve("beta", NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(warnings.data, "cluster beta does not list the module hf-cache\n");
}

static void an_unknown_cluster_is_an_error_that_names_the_known(void **state)
{
    (void)state;
    fails(USUAL, "delta", "cluster delta: there is no such cluster; known: alpha, beta, gamma");
    fails(USUAL, "alph", "no such cluster");
    fails(USUAL, "", "no such cluster");
    fails(USUAL, "alpha\nbeta", "no such cluster");
}

static void an_id_that_cannot_name_a_bucket_is_refused(void **state)
{
    static const char *const ids[] = {
        "--help", "Alpha", "a.b", "a-", "a/../b", "a1234567890123456789012345678901234567890"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(ids); i++) {
        hfc_autobuf struct hfc_buf body = HFC_BUF(1000);
        hfc_buf_printf(&body, "[ \"$2\" != --list ] || echo '%s'", ids[i]);
        fails(body.data, ids[i], "it can't name a bucket");
        fails(body.data, NULL, "it can't name a bucket");
    }
}

static void what_the_generator_complains_of_is_passed_on(void **state)
{
    (void)state;
    fails("echo 'hfcache-gen: error: no clusters.yaml here' >&2; exit 1", "alpha",
          "hfcache-gen, asked for the clusters: no clusters.yaml here");
    fails("exit 3", "alpha", "ended with exit status 3");
    fails("kill -9 $$", "alpha", "hfcache-gen was ended by signal 9");
    fails("[ $2 = --list ] && echo alpha || { echo 'error: nope' >&2; exit 1; }", "alpha",
          "cluster alpha: hfcache-gen, asked for the cluster's modules: error: nope");
    fails("[ $2 = --list ] && echo alpha || { echo 'error: nope' >&2; exit 1; }", NULL,
          "cluster alpha: hfcache-gen, asked for the cluster's modules: error: nope");
    fails("case $2$3 in --list) echo alpha;; *region) echo odd >&2; exit 1;; esac", "alpha",
          "asked for the cluster's region: odd");
    fails("case $2$3 in --list) echo alpha;; *region) echo 'a b';; esac", "alpha",
          "'a b' is no region");
    fails("case $2$3 in --list) echo alpha;; esac", "alpha", "'' is no region");
}

/* A warning of the generator's is no failure of it. */
static void a_warning_does_not_turn_a_no_into_a_failure(void **state)
{
    (void)state;
    generator(script, "case $2$3 in --list) echo alpha;; *module) echo 'warning: x' >&2; exit 1;; "
                      "*) echo r-1;; esac");
    assert_int_equal(resolve("alpha", NULL), 0);
}

static void much_output_is_cut_and_does_not_block(void **state)
{
    (void)state;
    fails("head -c 3000000 /dev/zero | tr '\\0' x", "alpha", "File too large");
    fails("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1", "alpha", "xxxx");
    fails("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo alpha; exit 1", "alpha", "xxxx");
}

static void the_token_is_kept_from_it(void **state)
{
    (void)state;
    (void)setenv("HF_TOKEN", "secret", 1);
    (void)setenv("HUGGING_FACE_HUB_TOKEN", "secret", 1);
    (void)setenv("CLUSTERS_YAML", "there", 1);
    generator(script, "case $2$3 in --list) echo alpha;; *module) ;; *) "
                      "echo \"x$HF_TOKEN$HUGGING_FACE_HUB_TOKEN$CLUSTERS_YAML\";; esac");
    assert_int_equal(resolve("alpha", NULL), 0);
    assert_string_equal(list[0].region, "xthere");
    (void)unsetenv("HF_TOKEN");
    (void)unsetenv("HUGGING_FACE_HUB_TOKEN");
    (void)unsetenv("CLUSTERS_YAML");
}

/* Beside the program itself, then on PATH; this program has no neighbour of that name. */
static void it_is_looked_for_on_the_path(void **state)
{
    const char *before = getenv("PATH");
    hfc_autobuf struct hfc_buf path = HFC_BUF(10000);
    char name[200];

    (void)state;
    (void)unsetenv("HFCACHE_GEN");
    (void)snprintf(name, sizeof(name), "%s/hfcache-gen", dir);
    generator(name, USUAL);
    hfc_buf_printf(&path, "%s:%s", dir, before);
    hfc_autofree char *saved = strdup(before);
    (void)setenv("PATH", path.data, 1);
    int rc = resolve("alpha", NULL);
    (void)setenv("PATH", saved, 1);
    assert_int_equal(rc, 0);
    assert_int_equal(resolve("alpha", NULL), -1);
    assert_int_equal(err.errnum, ENOENT);
    assert_non_null(strstr(err.msg, "hfcache-gen, which knows the clusters"));
}

static void without_descriptors_it_cannot_be_asked(void **state)
{
    struct rlimit now, few;

    (void)state;
    generator(script, USUAL);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    few = now;
    int next = dup(0);
    (void)close(next);
    for (rlim_t extra = 0; extra < 4; extra++) {
        few.rlim_cur = (rlim_t)next + extra;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int rc = resolve("alpha", NULL);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
        assert_int_equal(rc, -1);
        assert_int_equal(err.errnum, EMFILE);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(named_clusters_have_a_bucket_and_a_region),
        TEST(all_are_those_with_the_module),
        TEST(a_named_cluster_without_the_module_is_warned_about),
        TEST(an_unknown_cluster_is_an_error_that_names_the_known),
        TEST(an_id_that_cannot_name_a_bucket_is_refused),
        TEST(what_the_generator_complains_of_is_passed_on),
        TEST(a_warning_does_not_turn_a_no_into_a_failure),
        TEST(much_output_is_cut_and_does_not_block),
        TEST(the_token_is_kept_from_it),
        TEST(it_is_looked_for_on_the_path),
        TEST(without_descriptors_it_cannot_be_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
