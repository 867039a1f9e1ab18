/* test_hfcache_settings.c: the hf_cache settings of a cluster, key by key. */
#include "tree.h"

#include "hfcache_settings.h"

static struct tree t;
static struct text values[HFCACHE_VALUES];

/* Settings of cluster `id` with these lines under its hf_cache block, which begin at line 4. */
static bool read_on(const char *id, const char *cluster, const char *hf)
{
    char text[2048];
    struct cluster c;

    (void)snprintf(text, sizeof(text), "clusters:\n  %s:\n    hf_cache:\n%s%s", id, hf, cluster);
    tree_write(&t, "clusters.yaml", text);
    assert_true(tree_open(&t));
    assert_true(cluster_resolve(&t.ws, id, &c));
    return hfcache_settings(&t.ws, &c, values);
}

static bool read_settings(const char *hf)
{
    return read_on("k1", "    region: xx-1\n    cluster_name: one\n", hf);
}

static void is(enum hfcache_value v, const char *expected)
{
    assert_int_equal(values[v].n, strlen(expected));
    assert_memory_equal(values[v].p, expected, values[v].n);
}

static void every_key_has_a_default(void **state)
{
    (void)state;
    assert_true(read_settings(""));
    is(HV_CLUSTER_ID, "k1");
    is(HV_CLUSTER_NAME, "one");
    is(HV_REGION, "xx-1");
    is(HV_BUCKET, "pytorch-hf-model-cache-k1");
    is(HV_NAMESPACE, "hf-cache");
    is(HV_CACHE_SIZE, "75%");
    is(HV_MEMORY, "64Mi");
    is(HV_KEEPER_MEMORY, "32Mi");
    is(HV_READ_TIMEOUT, "5m");
    is(HV_REFRESH_INTERVAL, "60s");
    is(HV_REFRESH_SCHEDULE, "0 7 * * *");
    is(HV_MOUNT_ROLE_ANNOTATION, "");
    assert_int_equal(tree_found(&t, W_ROLE, 0), 2);
}

static void good_values(void **state)
{
    (void)state;
    assert_true(
        read_settings("      namespace: cache-2\n      image: r.example/a/b:1@sha256:0f\n"
                      "      cache_size: 100%\n      memory: 1Gi\n      read_timeout: 90s\n"
                      "      refresh_schedule: '*/5 1-3 * JAN MON'\n      offline: false\n"));
    is(HV_NAMESPACE, "cache-2");
    is(HV_MOUNT_IMAGE, "r.example/a/b:1@sha256:0f");
    is(HV_CACHE_SIZE, "100%");
    is(HV_MEMORY, "1Gi");
    is(HV_READ_TIMEOUT, "90s");
    is(HV_REFRESH_SCHEDULE, "*/5 1-3 * JAN MON");
    assert_true(read_settings("      namespace: n\n"));
    assert_true(read_settings("      namespace: "
                              "a23456789-123456789-123456789-123456789-123456789-123456789-123\n"));
    assert_false(
        read_settings("      namespace: "
                      "a23456789-123456789-123456789-123456789-123456789-123456789-1234\n"));
    assert_true(read_settings("      refresh_schedule: '  0  7 * *  * '\n"));
    is(HV_REFRESH_SCHEDULE, "  0  7 * *  * ");
    for (const char *const *size = (const char *const[]){"1%", "9%", "200Gi", "2T", "500M", NULL};
         *size != NULL; size++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "      cache_size: %s\n", *size);
        assert_true(read_settings(line));
        is(HV_CACHE_SIZE, *size);
    }
}

static void bad_values(void **state)
{
    static const char *const bad[] = {
        "namespace: -a",
        "namespace: A",
        "namespace: ''",
        "namespace: 5",
        "image: ''",
        "image: 'a b'",
        "cache_size: 0%",
        "cache_size: 101%",
        "cache_size: 75",
        "cache_size: '75'",
        "cache_size: 1.5Gi",
        "cache_size: 07%",
        "cache_size: '%'",
        "cache_size: 5Pi",
        "memory: 64",
        "memory: 64M",
        "memory: 0Mi",
        "read_timeout: 5",
        "read_timeout: 5d",
        "read_timeout: -5s",
        "refresh_schedule: '* * * *'",
        "refresh_schedule: '* * * * * *'",
        "refresh_schedule: \"0 0 * * '\"",
        "offline: 1",
        "mount_role_arn: role/x",
        "refresh_role_arn: 'arn:x:role/a b'",
        "memory: \"64Mi\\0\"",
        "cache_size: 64i",
        "read_timeout: '5s m'",
        "memory: '64Mi '",
        "vfs_cache_max_size: 5",
        "vfs_cache_max_size: 0%",
    };
    char line[128];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(line, sizeof(line), "      %s\n", bad[i]);
        assert_false(read_settings(line));
        assert_int_equal(tree_found(&t, D_HF_VALUE, 4), 1);
    }
}

static void misspelt_keys_and_other_shapes(void **state)
{
    (void)state;
    (void)read_settings("      cachesize: 5%\n");
    assert_int_equal(tree_found(&t, D_NEAR_KEY, 4), 1);
    assert_false(read_settings("      - a\n"));
    assert_int_equal(tree_found(&t, D_TYPE, 4), 1);
}

static void old_keys(void **state)
{
    (void)state;
    assert_true(read_settings("      vfs_cache_max_size: 200G\n"));
    is(HV_CACHE_SIZE, "200Gi");
    assert_int_equal(tree_found(&t, W_RETIRED_KEY, 4), 1);
    assert_true(read_settings("      vfs_cache_max_size: 60%\n"));
    is(HV_CACHE_SIZE, "60%");
    assert_true(read_settings("      vfs_cache_max_size: 60%\n      cache_size: 50%\n"));
    is(HV_CACHE_SIZE, "50%");
    assert_true(read_settings("      rclone_image: a\n      tcp_rmem_max: 1\n"));
    assert_int_equal(tree_found(&t, W_RETIRED_KEY, 0), 2);
}

static void roles(void **state)
{
    static const char account[] = "    region: xx-1\n    cluster_name: one\n"
                                  "    aws_account_id: '123456789012'\n";

    (void)state;
    assert_true(read_on("k1", account, ""));
    is(HV_MOUNT_ROLE_ANNOTATION, "\n  annotations:\n    eks.amazonaws.com/role-arn: "
                                 "\"arn:aws:iam::123456789012:role/one-hf-cache-role\"");
    is(HV_REFRESH_ROLE_ANNOTATION, "\n  annotations:\n    eks.amazonaws.com/role-arn: "
                                   "\"arn:aws:iam::123456789012:role/one-hf-cache-refresh-role\"");
    assert_true(read_on("k1", account, "      mount_role_arn: arn:aws:iam::1:role/own\n"));
    is(HV_MOUNT_ROLE_ANNOTATION,
       "\n  annotations:\n    eks.amazonaws.com/role-arn: \"arn:aws:iam::1:role/own\"");
    assert_false(read_on("k1", "    region: xx-1\n    aws_account_id: 123456789012\n", ""));
    assert_int_equal(tree_found(&t, D_HF_VALUE, 5), 1); /* a number: leading zeros would be lost */
}

static void a_cluster_must_be_fit_for_a_bucket(void **state)
{
    (void)state;
    assert_true(read_on("k2", "    region: xx-1\n", ""));
    is(HV_CLUSTER_NAME, "k2");
    assert_false(read_on("K_1", "    region: xx-1\n", ""));
    assert_int_equal(tree_found(&t, D_HF_VALUE, 2), 1);
    assert_false(read_on("a23456789-123456789-123456789-123456789-1", "    region: xx-1\n", ""));
    assert_false(read_on("k1", "    cluster_name: one\n", "")); /* no region */
    assert_int_equal(tree_found(&t, D_HF_VALUE, 2), 1);
    assert_false(read_on("k1", "    region: 'a b'\n", ""));
    assert_false(read_on("k1", "    region: xx-1\n    cluster_name: 5\n", ""));
}

static int set_up(void **state)
{
    (void)state;
    t = tree_new("{}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_free(&t);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_a_default),
        cmocka_unit_test(good_values),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(misspelt_keys_and_other_shapes),
        cmocka_unit_test(old_keys),
        cmocka_unit_test(roles),
        cmocka_unit_test(a_cluster_must_be_fit_for_a_bucket),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
