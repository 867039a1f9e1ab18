/* test_layout.c: where the inputs lie, and in which order a folder's definitions are read. */
#include "tree.h"

#include <fcntl.h>

#include "layout.h"

static struct tree t;
static struct arena *a;
static int home;

static int set_up(void **state)
{
    (void)state;
    a = arena_new();
    t = tree_new("{}");
    home = open(".", O_RDONLY | O_DIRECTORY);
    return home < 0;
}

static int tear_down(void **state)
{
    (void)state;
    int rc = fchdir(home);
    (void)close(home);
    tree_free(&t);
    arena_free(a);
    return rc;
}

static const char *in_tree(const char *name)
{
    return arena_printf(a, "%s/%s", t.root, name);
}

static struct layout find(const char *root, const char *clusters_yaml, const char *hint)
{
    struct layout l = {0};
    struct hfc_error err = {0};

    if (layout_find(a, root, clusters_yaml, hint, &l, &err) < 0)
        fail_msg("%s", err.msg);
    return l;
}

/* Turns the tree into one like this repository's. */
static void own_tree(void)
{
    tree_write(&t, "clusters/clusters.yaml", "{}");
    assert_int_equal(unlink(in_tree("clusters.yaml")), 0);
}

static void paths_of_the_tree_with_modules(void **state)
{
    (void)state;
    struct layout l = find(t.root, NULL, NULL);
    assert_true(l.modules);
    assert_string_equal(l.root, t.root);
    assert_string_equal(l.clusters_yaml, in_tree("clusters.yaml"));
    assert_string_equal(layout_defs(a, &l, "arc-runners"), in_tree("modules/arc-runners/defs"));
    assert_string_equal(layout_defs(a, &l, "nodepools-b"), in_tree("modules/nodepools-b/defs"));
    assert_string_equal(layout_runner_template(a, &l),
                        in_tree("modules/arc-runners/templates/runner.yaml.tpl"));
    assert_string_equal(layout_runner_output(a, &l), in_tree("modules/arc-runners/generated"));
    assert_string_equal(layout_generated(a, &l), in_tree("generated"));
    assert_string_equal(layout_models(a, &l), in_tree("modules/hf-cache/models.txt"));
    tree_write(&t, "modules/hf-cache/templates/x.yaml.tpl", "");
    assert_string_equal(layout_hf_templates(a, &l), in_tree("modules/hf-cache/templates"));
}

static void paths_of_the_own_tree(void **state)
{
    (void)state;
    own_tree();
    struct layout l = find(t.root, NULL, NULL);
    assert_false(l.modules);
    assert_string_equal(l.clusters_yaml, in_tree("clusters/clusters.yaml"));
    assert_string_equal(layout_defs(a, &l, "arc-runners"), in_tree("clusters/runners"));
    assert_string_equal(layout_defs(a, &l, "arc-runners-b"), in_tree("clusters/runners-b"));
    assert_string_equal(layout_defs(a, &l, "nodepools-b"), in_tree("clusters/nodepools-b"));
    assert_string_equal(layout_runner_template(a, &l), in_tree("templates/runner.yaml.tpl"));
    assert_string_equal(layout_runner_output(a, &l), in_tree("generated/arc-runners"));
    assert_string_equal(layout_models(a, &l), in_tree("clusters/models.txt"));
    tree_write(&t, "templates/hf-cache/x.yaml.tpl", "");
    assert_string_equal(layout_hf_templates(a, &l), in_tree("templates/hf-cache"));
}

static void a_tree_right_here_has_short_paths(void **state)
{
    (void)state;
    assert_int_equal(chdir(t.root), 0);
    assert_string_equal(find(NULL, NULL, NULL).root, t.root);
    tree_write(&t, "modules/x/defs/a.yaml", "{}");
    struct layout l = find(NULL, NULL, "/");
    assert_string_equal(l.root, ".");
    assert_string_equal(l.clusters_yaml, "clusters.yaml");
    assert_string_equal(layout_defs(a, &l, "nodepools"), "modules/nodepools/defs");
    own_tree();
    l = find(NULL, NULL, NULL);
    assert_string_equal(l.root, ".");
    assert_string_equal(l.clusters_yaml, "clusters/clusters.yaml");
    assert_false(l.modules);
}

static void a_tree_is_found_upwards(void **state)
{
    (void)state;
    tree_write(&t, "modules/x/defs/a.yaml", "{}");
    assert_int_equal(chdir(in_tree("modules/x/defs")), 0);
    assert_string_equal(find(NULL, NULL, NULL).root, t.root);
    assert_string_equal(find(NULL, NULL, "/").root, t.root); /* before the hint */
    own_tree();
    assert_string_equal(find(NULL, NULL, NULL).clusters_yaml, in_tree("clusters/clusters.yaml"));
}

static void the_folder_clusters_is_part_of_a_tree(void **state)
{
    (void)state;
    own_tree();
    tree_write(&t, "clusters/runners/a.yaml", "{}");
    for (const char *const *at = (const char *const[]){"clusters", "clusters/runners", NULL};
         *at != NULL; at++) {
        assert_int_equal(chdir(in_tree(*at)), 0);
        struct layout l = find(NULL, NULL, NULL);
        assert_string_equal(l.root, t.root);
        assert_false(l.modules);
    }
    tree_write(&t, "clusters/modules/x/a.yaml", "{}"); /* a fleet repository of that name */
    assert_int_equal(chdir(in_tree("clusters/modules")), 0);
    assert_string_equal(find(NULL, NULL, NULL).root, in_tree("clusters"));
}

static void a_tree_is_found_by_the_hint(void **state)
{
    (void)state;
    tree_write(&t, "modules/x/a.yaml", "{}");
    assert_int_equal(chdir("/"), 0);
    assert_string_equal(find(NULL, NULL, in_tree("modules/x/a.yaml")).root, t.root);
    assert_string_equal(find(NULL, NULL, in_tree("modules/x")).root, t.root);
}

static void no_tree_at_all(void **state)
{
    struct layout l;
    struct hfc_error err = {0};

    (void)state;
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(layout_find(a, NULL, NULL, NULL, &l, &err), -1);
    assert_non_null(strstr(err.msg, "no clusters.yaml here"));
    assert_int_equal(layout_find(a, NULL, NULL, "/no/such/place", &l, &err), -1);
    assert_string_equal(find(NULL, "/x/c.yaml", NULL).clusters_yaml, "/x/c.yaml");
    assert_string_equal(find(NULL, "/x/c.yaml", NULL).root, ".");
    assert_string_equal(find("/r", "./c.yaml", NULL).clusters_yaml, "c.yaml");
    assert_string_equal(find("/r", NULL, NULL).clusters_yaml, "/r/clusters.yaml");
}

static void kinds_of_modules(void **state)
{
    (void)state;
    assert_true(module_is_runners("arc-runners") && module_is_runners("arc-runners-h100"));
    assert_true(module_is_runners("arc-runners-"));
    assert_false(module_is_runners("arc-runner") || module_is_runners("arc-runnersx"));
    assert_false(module_is_runners("my-arc-runners") || module_is_runners("nodepools"));
    assert_true(module_is_nodepools("nodepools") && module_is_nodepools("nodepools-b"));
    assert_false(module_is_nodepools("nodepool") || module_is_nodepools("nodepools_b"));
    assert_false(module_is_nodepools("arc-runners"));
}

static const struct input_dir *listing(const char *folder)
{
    if (!t.open)
        assert_true(tree_open(&t));
    return inputs_dir(t.ws.inputs, in_tree(folder));
}

static void definitions_are_sorted_by_bytes(void **state)
{
    static const char *const sorted[] = {".h.yaml", ".yaml",    "A.yaml",       "a-b.yaml",
                                         "a.yaml",  "a_b.yaml", "\xc3\xa4.yaml"};

    (void)state;
    for (size_t i = sizeof(sorted) / sizeof(sorted[0]); i-- > 0;)
        tree_write(&t, arena_printf(a, "d/%s", sorted[i]), "{}");
    tree_write(&t, "d/a.yml", "{}");
    tree_write(&t, "d/a.YAML", "{}");
    tree_write(&t, "d/a.yaml.bak", "{}");
    tree_write(&t, "d/deeper/z.yaml", "{}");
    const struct input_dir *dir = listing("d");
    assert_int_equal(dir->nignored, 2); /* not "a.yaml.bak" */
    assert_string_equal(dir->ignored[0], "a.YAML");
    assert_string_equal(dir->ignored[1], "a.yml");
    assert_true(inputs_dir_report(dir, t.ws.diags));
    assert_int_equal(tree_found(&t, W_IGNORED_FILE, 0), 2);
    assert_int_equal(dir->n, sizeof(sorted) / sizeof(sorted[0]));
    for (size_t i = 0; i < dir->n; i++) {
        assert_string_equal(dir->files[i]->name, sorted[i]);
        assert_int_equal(dir->files[i]->state, INPUT_OK);
    }
    assert_ptr_equal(listing("d"), dir); /* read once */
    assert_ptr_equal(inputs_file(t.ws.inputs, in_tree("d/a.yaml")), dir->files[4]);
    assert_int_equal(listing("none")->n, 0);
    assert_true(inputs_dir_report(listing("none"), t.ws.diags));
    assert_int_equal(diags_errors(t.ws.diags), 0);
    assert_false(inputs_dir_report(listing("d/a.yaml"), t.ws.diags)); /* no folder */
    assert_int_equal(tree_found(&t, D_UNREADABLE, 0), 1);
}

static void unreadable_definitions_are_listed_and_reported(void **state)
{
    (void)state;
    tree_write(&t, "d/b.yaml", "{}");
    tree_write(&t, "d/f.yaml/x", "a folder");
    assert_int_equal(symlink("nowhere", in_tree("d/a.yaml")), 0);
    assert_int_equal(symlink("b.yaml", in_tree("d/c.yaml")), 0);
    const struct input_dir *dir = listing("d");
    assert_int_equal(dir->n, 4);
    assert_false(input_report(dir->files[0], D_SYNTAX, t.ws.diags));
    tree_only(&t, D_UNREADABLE, 0, 0, "a dangling link");
    assert_string_equal(tree_diag(&t, D_UNREADABLE)->message,
                        "cannot read the file: No such file or directory");
    assert_true(input_report(dir->files[2], D_SYNTAX, t.ws.diags)); /* a link is followed */
    assert_false(input_report(dir->files[3], D_SYNTAX, t.ws.diags));
    assert_int_equal(tree_found(&t, D_UNREADABLE, 0), 2);
}

static void syntax_errors_and_duplicates(void **state)
{
    (void)state;
    tree_write(&t, "d/a.yaml", "a: 1\nb: [1,\n  2\nc: 3\n");
    tree_write(&t, "d/b.yaml", "a: 1\na: 2\n5: 1\n5: 2\n");
    const struct input_dir *dir = listing("d");
    assert_false(input_report(dir->files[0], D_SYNTAX, t.ws.diags));
    const struct diag *d = tree_diag(&t, D_SYNTAX);
    assert_int_equal(d->at.line, 4);
    assert_non_null(strstr(d->hint, "which began at line 2, column 4"));
    assert_false(input_report(dir->files[0], W_NODEPOOL_SKIPPED, t.ws.diags));
    assert_int_equal(tree_found(&t, W_NODEPOOL_SKIPPED, 4), 1);
    assert_true(input_report(dir->files[1], D_SYNTAX, t.ws.diags));
    assert_int_equal(tree_found_at(&t, D_DUPLICATE_KEY, 2, 1), 1);
    assert_int_equal(tree_found_at(&t, D_DUPLICATE_KEY, 4, 1), 1);
    assert_string_equal(tree_diag(&t, D_DUPLICATE_KEY)->message,
                        "key 'a' stands here again; the first is at line 1");
}

static void the_first_look_is_remembered(void **state)
{
    (void)state;
    tree_write(&t, "d/a.yaml", "{}");
    tree_write(&t, "d/b.yaml", "{}");
    const struct input_dir *dir = listing("d");
    assert_true(inputs_first_look(t.ws.inputs, dir->files[0]));
    assert_false(inputs_first_look(t.ws.inputs, dir->files[0]));
    assert_true(inputs_first_look(t.ws.inputs, dir->files[1]));
}

#define LAYOUT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAYOUT_TEST(paths_of_the_tree_with_modules),
        LAYOUT_TEST(paths_of_the_own_tree),
        LAYOUT_TEST(a_tree_right_here_has_short_paths),
        LAYOUT_TEST(a_tree_is_found_upwards),
        LAYOUT_TEST(the_folder_clusters_is_part_of_a_tree),
        LAYOUT_TEST(a_tree_is_found_by_the_hint),
        LAYOUT_TEST(no_tree_at_all),
        LAYOUT_TEST(kinds_of_modules),
        LAYOUT_TEST(definitions_are_sorted_by_bytes),
        LAYOUT_TEST(unreadable_definitions_are_listed_and_reported),
        LAYOUT_TEST(syntax_errors_and_duplicates),
        LAYOUT_TEST(the_first_look_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
