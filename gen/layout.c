/* layout.c: the two known trees of inputs; see layout.h. */
#include "layout.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The two places of clusters.yaml below a root, in the order in which they are tried. */
static const char *clusters_below(struct arena *a, const char *root)
{
    const char *own = arena_printf(a, "%s/clusters/clusters.yaml", root);

    return exists(own) ? own : arena_printf(a, "%s/clusters.yaml", root);
}

/* A folder with clusters.yaml in it is a root; but clusters/ of this repository's tree is not. */
static bool is_root(struct arena *a, const char *dir)
{
    const char *slash = strrchr(dir, '/');
    bool inside = strcmp(slash != NULL ? slash + 1 : dir, "clusters") == 0 &&
                  !exists(arena_printf(a, "%s/modules", dir));

    return exists(arena_printf(a, "%s/clusters/clusters.yaml", dir)) ||
           (!inside && exists(arena_printf(a, "%s/clusters.yaml", dir)));
}

/* The nearest root at or above `path`, or NULL. */
static const char *search_upwards(struct arena *a, const char *path)
{
    hfc_autofree char *real = realpath(path, NULL);

    if (real == NULL)
        return NULL;
    char *dir = arena_strdup(a, real);
    for (;;) {
        if (is_root(a, dir))
            return *dir != '\0' ? dir : "/";
        char *slash = strrchr(dir, '/');
        if (slash == NULL)
            return NULL;
        *slash = '\0';
    }
}

/* "." rather than an absolute path when the tree is found right here: messages stay short. */
static const char *find_root(struct arena *a, const char *hint)
{
    if (exists("clusters/clusters.yaml") || (exists("clusters.yaml") && exists("modules")))
        return ".";
    const char *root = search_upwards(a, ".");
    if (root == NULL && hint != NULL)
        root = search_upwards(a, hint);
    return root;
}

/* "./x" -> "x": for paths that are shown. */
static const char *tidy(const char *path)
{
    return strncmp(path, "./", 2) == 0 && path[2] != '\0' ? path + 2 : path;
}

/* A clusters.yaml that is given may lie anywhere, so it says nothing about the tree; without a tree
 * the definitions are looked for in the current folder. Which tree it is, is told by the file that
 * only this repository's has. */
int layout_find(struct arena *a, const char *root, const char *clusters_yaml, const char *hint,
                struct layout *out, struct hfc_error *err)
{
    if (root == NULL)
        root = find_root(a, hint);
    if (root == NULL && clusters_yaml == NULL)
        return hfc_error_set(err, 0,
                             "no clusters.yaml here or in a folder above; name the tree with "
                             "--root or OSDC_ROOT");
    out->root = root != NULL ? arena_strdup(a, root) : ".";
    out->clusters_yaml =
        tidy(clusters_yaml != NULL ? arena_strdup(a, clusters_yaml) : clusters_below(a, out->root));
    out->modules = !exists(arena_printf(a, "%s/clusters/clusters.yaml", out->root));
    return 0;
}

/* A variant has a dash behind the name: `arc-runnersx` is some other module. */
bool module_is_runners(const char *module)
{
    return strcmp(module, "arc-runners") == 0 || strncmp(module, "arc-runners-", 12) == 0;
}

bool module_is_nodepools(const char *module)
{
    return strcmp(module, "nodepools") == 0 || strncmp(module, "nodepools-", 10) == 0;
}

const char *layout_defs(struct arena *a, const struct layout *l, const char *module)
{
    assert(module[0] != '\0');
    if (l->modules)
        return tidy(arena_printf(a, "%s/modules/%s/defs", l->root, module));
    const char *folder = module_is_runners(module) ? module + strlen("arc-") : module;
    return tidy(arena_printf(a, "%s/clusters/%s", l->root, folder));
}

/* One of the two paths below the root, by the kind of tree. */
static const char *below(struct arena *a, const struct layout *l, const char *in_modules,
                         const char *own)
{
    return tidy(arena_printf(a, "%s/%s", l->root, l->modules ? in_modules : own));
}

const char *layout_runner_template(struct arena *a, const struct layout *l)
{
    return below(a, l, "modules/arc-runners/templates/runner.yaml.tpl",
                 "templates/runner.yaml.tpl");
}

const char *layout_runner_output(struct arena *a, const struct layout *l)
{
    return below(a, l, "modules/arc-runners/generated", "generated/arc-runners");
}

const char *layout_generated(struct arena *a, const struct layout *l)
{
    return below(a, l, "generated", "generated");
}

/* What is installed with the program, or lies in the tree that it was built in; NULL if neither. */
static const char *shipped(struct arena *a, const char *name)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe));
    const char *slash = n > 0 ? memrchr(exe, '/', (size_t)n) : NULL;

    if (slash == NULL)
        return NULL;
    /* PREFIX/bin, build/bin, build/VARIANT/bin. */
    static const char *const places[] = {"../share/hf-cache", "../..", "../../.."};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const char *path = arena_printf(a, "%.*s/%s/%s", (int)(slash - exe), exe, places[i], name);
        if (exists(path))
            return path;
    }
    return NULL;
}

/* If neither exists it is the tree's own path that is reported, as that is the one to create. */
const char *layout_hf_templates(struct arena *a, const struct layout *l)
{
    const char *own = below(a, l, "modules/hf-cache/templates", "templates/hf-cache");
    const char *fallback = exists(own) ? NULL : shipped(a, "templates/hf-cache");

    return fallback != NULL ? fallback : own;
}

const char *layout_models(struct arena *a, const struct layout *l)
{
    return below(a, l, "modules/hf-cache/models.txt", "clusters/models.txt");
}
