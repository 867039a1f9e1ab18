/* runner_routing.c: which jobs reach a runner and who schedules them: the GitHub runner group, the
 * runner class and the scheduler. */
#include <string.h>

#include "check.h"
#include "runner_internal.h"

/* Groups exist for organisations only: a URL with a slash behind the host's first path component is
 * taken for a repository's. */
static bool is_repository_url(const char *url)
{
    static const char host[] = "github.com/";
    size_t n = strlen(url);

    if (strstr(url, host) == NULL)
        return false;
    /* A slash at the end is no path. If that was the host's own, the whole URL is searched, whose
     * scheme has a slash: taken for a repository's, like one of an enterprise, as it always has
     * been. */
    while (n > 0 && url[n - 1] == '/')
        n--;
    const char *path = memmem(url, n, host, sizeof(host) - 1);
    path = path != NULL ? path + sizeof(host) - 1 : url;
    return memchr(path, '/', (size_t)(url + n - path)) != NULL;
}

/* The group before the URL has its say; NULL if the definition's is not text (reported). */
static const char *wanted_group(const struct runner_context *ctx, const struct ynode *node,
                                bool release, const struct ynode **from, const char **rule)
{
    const struct ynode *cluster = ctx->settings->group;
    const struct ynode *own = ynode_get(node, "runner_group");

    *from = cluster;
    /* Refused on every cluster, although it would matter only on one without a group. */
    if (own != NULL && own->type == Y_NULL &&
        !check_type(ctx->ws->diags, own, "runner_group", Y_STR))
        return NULL;
    /* The definition's own group is not considered: without a group of the cluster's, release
     * runners go to the default one. */
    if (release) {
        *rule = cluster != NULL ? "release runners: the cluster's runner_group with "
                                  "-release-runners behind it"
                                : "release runners of a cluster without a runner_group";
        return cluster != NULL ? arena_printf(ctx->arena, "%s-release-runners", cluster->text)
                               : "default";
    }
    if (cluster != NULL) {
        *rule = "the cluster's runner_group";
        return cluster->text;
    }
    *from = own;
    *rule = own != NULL ? "the definition's runner_group" : "the default";
    if (own == NULL)
        return "default";
    return check_type(ctx->ws->diags, own, "runner_group", Y_STR) ? own->text : NULL;
}

/* The URL has the last word: GitHub has groups for organisations only. */
bool runner_group(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *url = ctx->settings->url, *from;
    bool release = ynode_is_text(ynode_get(r->node, "runner_class"), "release");
    const char *rule;
    const char *group = wanted_group(ctx, r->node, release, &from, &rule);

    if (group == NULL)
        return false;
    if (strcmp(group, "default") != 0 && is_repository_url(url->text)) {
        diags_addf(ctx->ws->diags, W_REPO_URL, ynode_pos(url),
                   "the URL is not an organisation's: runner group '%s' becomes 'default'", group);
        group = "default";
        from = url;
        rule = "default: runner groups exist for organisations only, and the URL is not one's";
    }
    runner_set(r, F_GROUP, group, from, rule);
    return true;
}

/* Without a class a runner is kept off the nodes that have one, so absent and empty are the same;
 * null would not be text. */
bool runner_class(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *n = ynode_get(r->node, "runner_class");

    if (n == NULL) {
        runner_set(r, F_CLASS, "", NULL, "not set");
        return true;
    }
    if (!check_type(ctx->ws->diags, n, "runner_class", Y_STR))
        return false;
    runner_set_node(ctx, r, F_CLASS, n, "the definition's runner_class");
    return true;
}

/* The definition's choice, or else the cluster's. A choice that has to be dropped is not replaced
 * by the cluster's: whoever made it wanted something else. */
bool runner_scheduler(const struct runner_context *ctx, struct runner *r)
{
    const struct ynode *n = ynode_get(r->node, "scheduler_name");
    const char *rule = "the definition's scheduler_name";

    if (!ynode_truthy(n)) {
        n = ctx->settings->scheduler;
        rule = "the cluster's scheduler_name";
    }
    if (n == NULL) {
        runner_set(r, F_SCHEDULER, "", NULL, "not set");
        return true;
    }
    if (!check_type(ctx->ws->diags, n, "scheduler_name", Y_STR))
        return false;
    if (cluster_has(ctx->cluster, n->text)) {
        runner_set_node(ctx, r, F_SCHEDULER, n, rule);
        return true;
    }
    /* A pod stamped with a scheduler that nobody runs would be pending for ever. */
    diags_addf(ctx->ws->diags, W_SCHEDULER, ynode_pos(n),
               "cluster %s has no module '%s': the default scheduler is used", ctx->cluster->id,
               n->text);
    runner_set(r, F_SCHEDULER, "", n, "dropped: the cluster has no module of that name");
    return true;
}
