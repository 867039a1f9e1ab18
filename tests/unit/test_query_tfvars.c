/* test_query_tfvars.c: the -var arguments of a cluster's base infrastructure. */
#include "tree.h"

#include "query.h"

static struct arena *a;
static struct hfc_buf out;
static struct hfc_error err;

static int set_up(void **state)
{
    (void)state;
    a = arena_new();
    hfc_buf_init(&out, 1 << 16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hfc_buf_free(&out);
    arena_free(a);
    return 0;
}

/* clusters.yaml's `defaults`, or "" for none, and what stands in cluster k beside its name. */
static enum query_result ask(const char *defaults, const char *more)
{
    const struct query q = {"k", "tfvars", NULL};
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml), "%s\nclusters:\n  k: {cluster_name: n, region: xx-1%s }\n",
                   defaults, more);
    hfc_buf_reset(&out);
    err = (struct hfc_error){0};
    return query_answer(tree_value(a, yaml), &q, &out, &err);
}

static void has(const char *defaults, const char *more, const char *item)
{
    assert_int_equal(ask(defaults, more), QUERY_OK);
    if (strstr(out.data, item) == NULL)
        fail_msg("%s is not in %s", item, out.data);
}

static void refused(const char *defaults, const char *more, const char *why)
{
    assert_int_equal(ask(defaults, more), QUERY_NO);
    assert_string_equal(err.msg, why);
    assert_string_equal(out.data, ""); /* all or nothing */
}

#define BEGIN "-var=\"cluster_name=n\" -var=\"aws_region=xx-1\" "

static void everything_has_a_fallback(void **state)
{
    (void)state;
    assert_int_equal(ask("", ""), QUERY_OK);
    assert_string_equal(out.data, BEGIN
                        "-var=\"vpc_cidr=10.0.0.0/16\" -var=\"single_nat_gateway=false\" "
                        "-var=\"base_node_count=3\" -var=\"base_node_instance_type=m5.xlarge\" "
                        "-var=\"base_node_max_unavailable_percentage=33\" "
                        "-var=\"base_node_ami_version=v*\" -var=\"eks_version=1.35\" "
                        "-var=\"coredns_replicas=6\"\n");
}

static void everything_can_be_set(void **state)
{
    (void)state;
    assert_int_equal(
        ask("", ", base: {vpc_cidr: c, single_nat_gateway: true, base_node_count: 5, "
                "base_node_instance_type: t, base_node_max_unavailable_percentage: 10, "
                "base_node_ami_version: a, eks_version: '1.30'}, coredns: {replicas: 2}, "
                "access_config: {authentication_mode: M, cluster_admin_role_names: [x, y]}"),
        QUERY_OK);
    assert_string_equal(
        out.data, BEGIN
        "-var=\"vpc_cidr=c\" -var=\"single_nat_gateway=true\" -var=\"base_node_count=5\" "
        "-var=\"base_node_instance_type=t\" -var=\"base_node_max_unavailable_percentage=10\" "
        "-var=\"base_node_ami_version=a\" -var=\"eks_version=1.30\" -var=\"coredns_replicas=2\" "
        "-var=\"authentication_mode=M\" -var=\"cluster_admin_role_names=x,y\"\n");
}

static void base_lies_over_all_defaults(void **state)
{
    static const char defaults[] =
        "defaults: {vpc_cidr: d, eks_version: 1.30, base: {vpc_cidr: b}, "
        "access_config: {authentication_mode: D}}";

    (void)state;
    has(defaults, "", "\"vpc_cidr=d\"");
    has(defaults, "", "\"eks_version=1.3\"");
    has(defaults, ", base: {vpc_cidr: own}", "\"vpc_cidr=own\"");
    has(defaults, ", base: {vpc_cidr: null}", "\"vpc_cidr=None\""); /* hides the default */
    has(defaults, ", base: null", "\"vpc_cidr=d\"");
    has(defaults, ", vpc_cidr: own", "\"vpc_cidr=d\""); /* not looked for there */
    has(defaults, "", "\"authentication_mode=D\"");
    has(defaults, ", access_config: {}", "\"authentication_mode=D\"");
    has(defaults, ", base: {access_config: {authentication_mode: B}}", "\"authentication_mode=B\"");
    has(defaults, ", access_config: {authentication_mode: O}", "\"authentication_mode=O\"");
}

static void the_gateway_is_in_lower_case(void **state)
{
    (void)state;
    has("", ", base: {single_nat_gateway: 'No'}", "\"single_nat_gateway=no\"");
    has("", ", base: {single_nat_gateway: yes}", "\"single_nat_gateway=true\"");
    has("", ", base: {single_nat_gateway: \"\\xc4Z\"}", "\"single_nat_gateway=\xc3\x84z\"");
    has("", ", base: {eks_version: 'V1'}", "\"eks_version=V1\"");
}

static void replicas_are_a_path(void **state)
{
    (void)state;
    has("", ", coredns: {replicas: 0}", "\"coredns_replicas=0\"");
    has("", ", coredns: {replicas: null}", "\"coredns_replicas=6\"");
    has("defaults: {coredns: {replicas: 4}}", ", coredns: {replicas: null}",
        "\"coredns_replicas=4\"");
}

static void access_settings(void **state)
{
    (void)state;
    has("", ", access_config: {authentication_mode: null}", "\"authentication_mode=None\"");
    has("", ", access_config: {cluster_admin_role_names: xy}", "\"cluster_admin_role_names=x,y\"");
    assert_int_equal(ask("", ", access_config: {cluster_admin_role_names: []}"), QUERY_OK);
    assert_null(strstr(out.data, "cluster_admin"));
    assert_null(strstr(out.data, "authentication_mode"));
    refused("", ", access_config: {cluster_admin_role_names: [x, 1]}",
            "'cluster_admin_role_names' is not a list of text");
    refused("", ", access_config: {cluster_admin_role_names: 5}",
            "'cluster_admin_role_names' is not a list of text");
    refused("", ", access_config: [a]", "'access_config' is not a mapping");
}

static void what_cannot_be_answered(void **state)
{
    const struct query q = {"k", "tfvars", NULL};

    (void)state;
    refused("defaults: null", "", "'defaults' is not a mapping");
    refused("defaults: [a]", "", "'defaults' is not a mapping");
    refused("", ", base: [a]", "'base' is not a mapping");
    assert_int_equal(query_answer(tree_value(a, "clusters: {k: {region: r}}"), &q, &out, &err),
                     QUERY_NO);
    assert_string_equal(err.msg, "the cluster has no cluster_name or no region");
    err.msg[0] = '\0';
    assert_int_equal(
        query_answer(tree_value(a, "clusters: {k: {cluster_name: n}}"), &q, &out, &err), QUERY_NO);
    assert_string_equal(err.msg, "the cluster has no cluster_name or no region");
}

#define QUERY_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUERY_TEST(everything_has_a_fallback),   QUERY_TEST(everything_can_be_set),
        QUERY_TEST(base_lies_over_all_defaults), QUERY_TEST(the_gateway_is_in_lower_case),
        QUERY_TEST(replicas_are_a_path),         QUERY_TEST(access_settings),
        QUERY_TEST(what_cannot_be_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
