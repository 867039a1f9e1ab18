/* test_query.c: what scripts ask of clusters.yaml, answer by answer. */
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

static enum query_result ask(const char *yaml, const char *what, const char *extra)
{
    const struct query q = {"k", what, extra};

    hfc_buf_reset(&out);
    err = (struct hfc_error){0};
    return query_answer(tree_value(a, yaml), &q, &out, &err);
}

/* Queries of cluster k, given as its mapping, with what is printed; NULL: the answer is no. */
struct answer {
    const char *cluster, *what, *extra, *printed;
};

static void check_answers(const struct answer *list, size_t n)
{
    char yaml[512];

    for (size_t i = 0; i < n; i++) {
        const struct answer *q = &list[i];
        (void)snprintf(yaml, sizeof(yaml), "clusters:\n  k: %s\n", q->cluster);
        enum query_result result = ask(yaml, q->what, q->extra);
        const char *expected = q->printed != NULL ? q->printed : "";
        if (result != (q->printed != NULL ? QUERY_OK : QUERY_NO) || strcmp(out.data, expected) != 0)
            fail_msg("%s of %s\nprints    %s\nshould be %s", q->what != NULL ? q->what : "-",
                     q->cluster, out.data, expected);
    }
}

#define CHECK_ANSWERS(list) check_answers((list), sizeof(list) / sizeof(*(list)))

static void list_of_clusters(void **state)
{
    static const struct {
        const char *yaml, *printed;
    } cases[] = {
        {"clusters: {b: {}, a: null, 5: {}, yes: 1}", "b\na\n5\nTrue\n"}, /* in file order */
        {"clusters: {}", ""},
        {"{}", ""},
        {"clusters: [x, y]", "x\ny\n"},
        {"clusters: 5", NULL},
        {"clusters:", NULL},
        {"- clusters", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hfc_buf_reset(&out);
        err = (struct hfc_error){0};
        enum query_result r = query_list(tree_value(a, cases[i].yaml), &out, &err);
        assert_int_equal(r, cases[i].printed != NULL ? QUERY_OK : QUERY_NO);
        assert_string_equal(out.data, cases[i].printed != NULL ? cases[i].printed : "");
        assert_int_equal(err.msg[0] == '\0', cases[i].printed != NULL);
    }
}

static void unknown_clusters_name_the_known(void **state)
{
    (void)state;
    assert_int_equal(ask("clusters: {b: {}, a: {}}", "region", NULL), QUERY_NO);
    assert_string_equal(err.msg, "unknown cluster 'k'; known: b, a");
    assert_string_equal(out.data, "");
    assert_int_equal(ask("{}", "region", NULL), QUERY_NO);
    assert_string_equal(err.msg, "unknown cluster 'k'; known: ");
    assert_int_equal(ask("- x", "region", NULL), QUERY_NO);
    assert_string_equal(err.msg, "clusters.yaml is not a mapping");
}

static void keys_of_the_cluster_itself(void **state)
{
    static const struct answer list[] = {
        {"{cluster_name: n}", NULL, NULL, "n\n"},
        {"{cluster_name: n}", "cluster_name", NULL, "n\n"},
        {"{region: xx-1}", "region", NULL, "xx-1\n"},
        {"{region: no}", "region", NULL, "False\n"}, /* printed as Python prints it */
        {"{region: null}", "region", "x", "None\n"},
        {"{}", "region", "fallback", NULL}, /* the default argument is not used */
        {"{}", NULL, NULL, NULL},
        {"{state_bucket: b}", "state_bucket", NULL, "b\n"},
        {"{}", "state_bucket", NULL, "ciforge-tfstate-k\n"},
        {"{state_bucket: null}", "state_bucket", NULL, "None\n"},
        {"[region]", "region", NULL, NULL},
        {"text", "modules", NULL, NULL},
    };

    (void)state;
    CHECK_ANSWERS(list);
    assert_int_equal(ask("defaults: {region: d}\nclusters: {k: {}}", "region", NULL), QUERY_NO);
    assert_string_equal(err.msg, "the cluster has no key 'region'");
    assert_int_equal(ask("clusters: {k: 5}", "region", NULL), QUERY_NO);
    assert_string_equal(err.msg, "cluster 'k' is not a mapping");
}

static void lists_of_modules(void **state)
{
    static const struct answer list[] = {
        {"{modules: [b, a, b]}", "modules", NULL, "b\na\nb\n"},
        {"{modules: []}", "modules", NULL, ""},
        {"{}", "modules", NULL, ""},
        {"{modules: null}", "modules", NULL, NULL},
        {"{modules: 5}", "modules", NULL, NULL},
        {"{modules: [1, yes]}", "modules", NULL, "1\nTrue\n"},
        {"{modules: \"a\\xe4\\u20ac\"}", "modules", NULL, "a\n\xc3\xa4\n\xe2\x82\xac\n"},
        {"{modules: {x: 1, y: 2}}", "modules", NULL, "x\ny\n"},
        {"{modules: !!set {x, y}}", "modules", NULL, "x\ny\n"},
        {"{modules: [b, a]}", "enabled-modules", NULL, "b a\n"},
        {"{modules: []}", "enabled-modules", NULL, "\n"},
        {"{modules: null}", "enabled-modules", NULL, "\n"},
        {"{}", "enabled-modules", NULL, "\n"},
        {"{modules: abc}", "enabled-modules", NULL, "a b c\n"},
        {"{modules: [a, 1]}", "enabled-modules", NULL, NULL},
        {"{modules: 5}", "enabled-modules", NULL, NULL},
    };

    (void)state;
    CHECK_ANSWERS(list);
}

static void whether_a_module_is_listed(void **state)
{
    static const struct answer list[] = {
        {"{modules: [a, b]}", "has-module", "b", ""},
        {"{modules: [a, bc]}", "has-module", "b", NULL},
        {"{modules: [1]}", "has-module", "1", NULL},
        {"{modules: null}", "has-module", "b", NULL},
        {"{modules: 5}", "has-module", "b", NULL},
        {"{}", "has-module", "b", NULL},
        {"{modules: abc}", "has-module", "bc", ""}, /* part of a text */
        {"{modules: abc}", "has-module", "cb", NULL},
        {"{modules: {b: 1}}", "has-module", "b", ""},
        {"{modules: [a]}", "has-module", NULL, NULL}, /* looks for "" */
        {"{modules: ['']}", "has-module", NULL, ""},
        {"{modules: abc}", "has-module", NULL, ""},
    };

    (void)state;
    CHECK_ANSWERS(list);
    assert_int_equal(ask("clusters: {k: {modules: []}}", "has-module", "b"), QUERY_NO);
    assert_string_equal(err.msg, ""); /* a plain no */
    assert_int_equal(ask("clusters: {k: {modules: null}}", "has-module", "b"), QUERY_NO);
    assert_string_equal(err.msg, "'modules' is not a list");
}

static void values_of_every_type(void **state)
{
    static const struct answer list[] = {
        {"{a: true}", "a", NULL, "true\n"},
        {"{a: off}", "a", "x", "false\n"},
        {"{a: 0}", "a", "x", "0\n"},
        {"{a: ''}", "a", "x", "\n"},
        {"{a: 1.10}", "a", NULL, "1.1\n"},
        {"{a: 0x1F}", "a", NULL, "31\n"},
        {"{a: '1.10'}", "a", NULL, "1.10\n"},
        {"{a: \"x\\n\"}", "a", NULL, "x\n\n"},
        {"{a: 2026-08-21}", "a", NULL, "2026-08-21\n"},
        {"{a: [1, b, true, null, 'c d', [e]]}", "a", NULL, "1,b,True,None,c d,['e']\n"},
        {"{a: []}", "a", "x", "\n"},
        {"{a: {}}", "a", "x", "{}\n"},
        {"{a: {b: 1, c: [x]}}", "a", NULL, "{'b': 1, 'c': ['x']}\n"},
        {"{a: !!pairs [x: 1, y: z]}", "a", NULL, "('x', 1),('y', 'z')\n"},
        {"{a: null}", "a", NULL, NULL},
        {"{a: null}", "a", "", "\n"},
        {"{}", "a", "b c", "b c\n"},
    };

    (void)state;
    CHECK_ANSWERS(list);
    assert_int_equal(ask("clusters: {k: {}}", "a.b", NULL), QUERY_NO);
    assert_string_equal(err.msg, "field 'a.b' not found");
}

static void paths(void **state)
{
    static const struct answer list[] = {
        {"{a: {b: {c: 1}}}", "a.b.c", NULL, "1\n"},
        {"{a: {b: {c: 1}}}", "a.b", NULL, "{'c': 1}\n"},
        {"{a: {b: 1}}", "a.b.c", "x", "x\n"},
        {"{a: {b: 1}}", "a.", "x", "x\n"},
        {"{a: {'': 1}}", "a.", "x", "1\n"}, /* empty parts are keys */
        {"{'': 1}", "", "x", "1\n"},
        {"{'': {'': 2}}", ".", "x", "2\n"},
        {"{a: [5]}", "a.0", "x", "x\n"},
        {"{5: a, true: b}", "5", "x", "x\n"}, /* only text is a key */
        {"{a.b: 1}", "a.b", "x", "x\n"},
        {"{ab: 1}", "a", "x", "x\n"},
        {"[a]", "a", "x", "x\n"}, /* no mapping has no keys */
        {"{region: {x: 1}}", "region.x", NULL, "1\n"},
    };

    (void)state;
    CHECK_ANSWERS(list);
}

static void defaults_stand_in_for_null(void **state)
{
    static const char yaml[] = "defaults: {a: {x: 1, y: 2, z: 3}, s: d}\n"
                               "clusters: {k: {a: {x: 5, y: null, e: ''}, s: 0}}\n";

    (void)state;
    assert_int_equal(ask(yaml, "a.x", NULL), QUERY_OK);
    assert_string_equal(out.data, "5\n");
    assert_int_equal(ask(yaml, "a.y", NULL), QUERY_OK);
    assert_string_equal(out.data, "2\n");
    assert_int_equal(ask(yaml, "a.z", "x"), QUERY_OK); /* before the default argument */
    assert_string_equal(out.data, "3\n");
    assert_int_equal(ask(yaml, "s", NULL), QUERY_OK);
    assert_string_equal(out.data, "0\n");
    assert_int_equal(ask(yaml, "a", NULL), QUERY_OK); /* mappings are not merged */
    assert_string_equal(out.data, "{'x': 5, 'y': None, 'e': ''}\n");
    assert_int_equal(ask("defaults: null\nclusters: {k: {a: 1}}", "a", NULL), QUERY_OK);
    assert_int_equal(ask("defaults: [a]\nclusters: {k: {}}", "a", NULL), QUERY_NO);
}

#define QUERY_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUERY_TEST(list_of_clusters),
        QUERY_TEST(unknown_clusters_name_the_known),
        QUERY_TEST(keys_of_the_cluster_itself),
        QUERY_TEST(lists_of_modules),
        QUERY_TEST(whether_a_module_is_listed),
        QUERY_TEST(values_of_every_type),
        QUERY_TEST(paths),
        QUERY_TEST(defaults_stand_in_for_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
