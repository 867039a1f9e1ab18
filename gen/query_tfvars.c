/* query_tfvars.c: `tfvars`: a cluster's base infrastructure as -var arguments on one line. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "query.h"

/* What a key of the cluster's `base` block, laid over all defaults, is. */
struct overlay {
    const struct ynode *base, *defaults;
};

/* A null in `base` hides the default, unlike one in a dotted path. */
static const struct ynode *overlay_get(const struct overlay *o, const char *key)
{
    const struct ynode *own = ynode_get(o->base, key);

    return own != NULL ? own : ynode_get(o->defaults, key);
}

static enum query_result no(struct hfc_error *err, const char *why)
{
    (void)hfc_error_set(err, 0, "%s", why);
    return QUERY_NO;
}

/* The quotes are the shell's, for the script that evaluates the line; values are not escaped. */
static void var_begin(struct hfc_buf *out, const char *name)
{
    hfc_buf_printf(out, "%s-var=\"%s=", out->len > 0 ? " " : "", name);
}

/* A value, or the text that stands for it when it is not there. */
static void var(struct hfc_buf *out, const char *name, const struct ynode *n, const char *fallback)
{
    var_begin(out, name);
    if (n != NULL)
        ynode_str(n, out);
    else
        hfc_buf_str(out, fallback);
    hfc_buf_char(out, '"');
}

/* Lower case, so that YAML's booleans are Terraform's. */
static void var_lower(struct hfc_buf *out, const char *name, const struct ynode *n,
                      const char *fallback)
{
    /* The loop starts inside the prefix, which does not matter: there are no capitals in it. */
    size_t from = out->len;

    var(out, name, n, fallback);
    for (size_t i = from + strlen(name); i < out->len; i++)
        if ((unsigned char)out->data[i] < 0x80)
            out->data[i] = (char)tolower((unsigned char)out->data[i]);
}

struct roles {
    struct hfc_buf *out;
    bool first, ok;
};

/* An item that is not text spoils the whole line, so that printing it first does no harm. */
static void add_role(void *ctx, const struct ynode *item)
{
    struct roles *r = ctx;

    if (!r->first)
        hfc_buf_char(r->out, ',');
    r->first = false;
    r->ok &= item->type == Y_STR;
    ynode_str(item, r->out);
}

/* Nothing is printed for what is not set: an empty value would override Terraform's own default. */
static enum query_result access_vars(const struct ynode *access, struct hfc_buf *out,
                                     struct hfc_error *err)
{
    if (!ynode_truthy(access))
        return QUERY_OK;
    if (access->type != Y_MAP)
        return no(err, "'access_config' is not a mapping");
    const struct ynode *mode = ynode_get(access, "authentication_mode");
    if (mode != NULL)
        var(out, "authentication_mode", mode, "");
    const struct ynode *names = ynode_get(access, "cluster_admin_role_names");
    if (!ynode_truthy(names))
        return QUERY_OK;
    struct roles r = {out, true, true};
    var_begin(out, "cluster_admin_role_names");
    if (!query_each(names, add_role, &r) || !r.ok)
        return no(err, "'cluster_admin_role_names' is not a list of text");
    hfc_buf_char(out, '"');
    return QUERY_OK;
}

/* The order of the table is that of the line. */
static void base_vars(const struct overlay *o, struct hfc_buf *out)
{
    static const struct {
        const char *key, *fallback;
        bool lower;
    } vars[] = {
        {"vpc_cidr", "10.0.0.0/16", false},
        {"single_nat_gateway", "false", true},
        {"base_node_count", "3", false},
        {"base_node_instance_type", "m5.xlarge", false},
        {"base_node_max_unavailable_percentage", "33", false},
        {"base_node_ami_version", "v*", false},
        {"eks_version", "1.35", false},
    };

    for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
        (vars[i].lower ? var_lower : var)(out, vars[i].key, overlay_get(o, vars[i].key),
                                          vars[i].fallback);
}

/* Name and region are the cluster's own and have no fallback: two clusters must not share them. The
 * line is appended only when it is complete, because Terraform would take a part of it and use its
 * own defaults for the rest. */
enum query_result query_tfvars(const struct ynode *cluster, const struct ynode *defaults,
                               struct hfc_buf *out, struct hfc_error *err)
{
    assert(cluster->type == Y_MAP);
    const struct ynode *base = ynode_get(cluster, "base");
    const struct ynode *name = ynode_get(cluster, "cluster_name");
    const struct ynode *region = ynode_get(cluster, "region");
    const struct overlay o = {ynode_truthy(base) ? base : NULL, defaults};

    if (defaults != NULL && defaults->type != Y_MAP)
        return no(err, "'defaults' is not a mapping");
    if (o.base != NULL && o.base->type != Y_MAP)
        return no(err, "'base' is not a mapping");
    if (name == NULL || region == NULL)
        return no(err, "the cluster has no cluster_name or no region");
    hfc_autobuf struct hfc_buf line = HFC_BUF(out->max);
    var(&line, "cluster_name", name, "");
    var(&line, "aws_region", region, "");
    base_vars(&o, &line);
    const struct ynode *replicas = query_path(cluster, defaults, "coredns.replicas");
    var(&line, "coredns_replicas", ynode_is_null(replicas) ? NULL : replicas, "6");
    const struct ynode *access = ynode_get(cluster, "access_config");
    if (!ynode_truthy(access))
        access = overlay_get(&o, "access_config");
    if (access_vars(access, &line, err) != QUERY_OK)
        return QUERY_NO;
    hfc_buf_add(out, line.data, line.len);
    hfc_buf_char(out, '\n');
    return QUERY_OK;
}
