/* hfcache_settings.c: reads and checks the hf_cache settings; see hfcache_settings.h.
 *
 * Each key is looked up in the cluster's hf_cache block, then in the defaults'. The checks are
 * strict enough that no value can break the YAML it is put into.
 */
#include "hfcache_settings.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "check.h"
#include "names.h"
#include "quantity.h"
#include "shape.h"

const char *const hfcache_names[HFCACHE_VALUES + 1] = {
    [HV_CLUSTER_ID] = "CLUSTER_ID",
    [HV_CLUSTER_NAME] = "CLUSTER_NAME",
    [HV_REGION] = "REGION",
    [HV_BUCKET] = "BUCKET",
    [HV_NAMESPACE] = "NAMESPACE",
    [HV_MOUNT_IMAGE] = "MOUNT_IMAGE",
    [HV_REFRESH_IMAGE] = "REFRESH_IMAGE",
    [HV_CACHE_SIZE] = "CACHE_SIZE",
    [HV_MEMORY] = "MEMORY",
    [HV_KEEPER_MEMORY] = "KEEPER_MEMORY",
    [HV_READ_TIMEOUT] = "READ_TIMEOUT",
    [HV_REFRESH_INTERVAL] = "REFRESH_INTERVAL",
    [HV_REFRESH_SCHEDULE] = "REFRESH_SCHEDULE",
    [HV_MOUNT_ROLE_ANNOTATION] = "MOUNT_ROLE_ANNOTATION",
    [HV_REFRESH_ROLE_ANNOTATION] = "REFRESH_ROLE_ANNOTATION",
    [HV_MODELS_TXT] = "MODELS_TXT",
};

/* Retired keys are listed too: they are known, and reported as what they are. */
static const char *const hf_keys[] = {
    "namespace",
    "image",
    "refresh_image",
    "cache_size",
    "memory",
    "keeper_memory",
    "read_timeout",
    "refresh_interval",
    "refresh_schedule",
    "offline",
    "mount_role_arn",
    "refresh_role_arn",
    "rclone_image",
    "vfs_cache_max_size",
    "tcp_rmem_max",
    "taint_remover_image",
    NULL,
};

typedef bool value_check(const char *text);

static bool all_of(const char *text, const char *chars)
{
    return text[strspn(text, chars)] == '\0';
}

#define DIGITS "0123456789"

static bool is_label(const char *text)
{
    return is_dns_label(text, strlen(text));
}

/* Ports and digests pass: a colon or an at sign between other characters does no harm. */
static bool is_image(const char *text)
{
    return *text != '\0' && shape_is_harmless((struct text){text, strlen(text)});
}

/* A whole positive number, then one of the units (given with a space behind each). */
static bool is_amount(const char *text, const char *units)
{
    size_t digits = strspn(text, DIGITS), n = strlen(text + digits);

    if (digits == 0 || digits > 15 || text[0] == '0' || n == 0)
        return false;
    for (const char *unit = units; *unit != '\0'; unit += strcspn(unit, " ") + 1)
        if (strcspn(unit, " ") == n && memcmp(unit, text + digits, n) == 0)
            return true;
    return false;
}

static bool is_memory(const char *text)
{
    return is_amount(text, "Ki Mi Gi ");
}

/* A percentage is of the disk that the cache lies on, so there is nothing above 100. */
static bool is_cache_size(const char *text)
{
    size_t n = strlen(text);

    if (n > 0 && text[n - 1] == '%')
        return n <= 4 && is_amount(text, "% ") && (n < 4 || strcmp(text, "100%") == 0);
    return is_amount(text, "Mi Gi Ti M G T ");
}

static bool is_duration(const char *text)
{
    return is_amount(text, "s m h ");
}

/* Five fields; their ranges are the API server's business. */
static bool is_schedule(const char *text)
{
    int fields = 0;

    if (!all_of(text, DIGITS "*/,- ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        return false;
    for (size_t n; *text != '\0'; text += n) {
        text += strspn(text, " ");
        n = strcspn(text, " ");
        fields += n > 0;
    }
    return fields == 5;
}

/* The partition is left open: there are aws-cn and aws-us-gov. */
static bool is_role_arn(const char *text)
{
    return strncmp(text, "arn:", 4) == 0 && strstr(text, ":role/") != NULL &&
           shape_is_harmless((struct text){text, strlen(text)});
}

/* The settings that go into the templates as they are. */
static const struct setting {
    enum hfcache_value value;
    const char *path;
    const char *fallback;
    value_check *check;
    const char *expected;
} settings[] = {
    {HV_NAMESPACE, "hf_cache.namespace", "hf-cache", is_label, "a DNS label"},
    {HV_MOUNT_IMAGE, "hf_cache.image", "hfcache-mount:" HFC_VERSION, is_image,
     "an image reference"},
    {HV_REFRESH_IMAGE, "hf_cache.refresh_image", "hfcache-refresh:" HFC_VERSION, is_image,
     "an image reference"},
    {HV_CACHE_SIZE, "hf_cache.cache_size", "75%", is_cache_size,
     "1% to 100%, or an amount such as 200Gi"},
    {HV_MEMORY, "hf_cache.memory", "64Mi", is_memory, "an amount such as 64Mi"},
    {HV_KEEPER_MEMORY, "hf_cache.keeper_memory", "32Mi", is_memory, "an amount such as 32Mi"},
    {HV_READ_TIMEOUT, "hf_cache.read_timeout", "5m", is_duration, "a duration such as 30s or 5m"},
    {HV_REFRESH_INTERVAL, "hf_cache.refresh_interval", "60s", is_duration,
     "a duration such as 30s or 5m"},
    {HV_REFRESH_SCHEDULE, "hf_cache.refresh_schedule", "0 7 * * *", is_schedule,
     "five cron fields"},
};

static bool refuse(struct workspace *ws, const struct ynode *n, const char *path,
                   const char *expected)
{
    struct diag item = {.code = D_HF_VALUE,
                        .at = ynode_pos(n),
                        .message = arena_printf(diags_arena(ws->diags), "%s is not usable", path),
                        .found = arena_printf(diags_arena(ws->diags), "%s: %s", type_noun(n),
                                              repr_of(ws->diags, n)),
                        .expected = expected};

    diags_add(ws->diags, &item);
    return false;
}

/* Text without NULs that passes the check; anything else is reported. */
static bool is_usable(const struct ynode *n, value_check *check)
{
    return n->type == Y_STR && strlen(n->text) == n->n && check(n->text);
}

static bool read_setting(struct workspace *ws, const struct cluster *c, const struct setting *s,
                         struct text *values)
{
    const struct ynode *n = cluster_lookup(ws, c->node, s->path);

    assert(s->check(s->fallback));
    values[s->value] = text_of(s->fallback);
    if (ynode_is_null(n))
        return true;
    if (!is_usable(n, s->check))
        return refuse(ws, n, s->path, s->expected);
    values[s->value] = text_of(n->text);
    return true;
}

static void retired(struct workspace *ws, const struct cluster *c, const char *path,
                    const char *instead)
{
    const struct ynode *n = cluster_lookup(ws, c->node, path);

    if (n != NULL)
        diags_addf(ws->diags, W_RETIRED_KEY, ynode_pos(n), "%s has no effect: %s", path, instead);
}

/* The old name of cache_size; its G is what everybody else calls Gi. */
static bool read_old_cache_size(struct workspace *ws, const struct cluster *c, struct text *values)
{
    static const char path[] = "hf_cache.vfs_cache_max_size";
    const struct ynode *n = cluster_lookup(ws, c->node, path);
    const struct ynode *new = cluster_lookup(ws, c->node, "hf_cache.cache_size");

    if (ynode_is_null(n))
        return true;
    if (!ynode_is_null(new)) {
        retired(ws, c, path, "hf_cache.cache_size is set");
        return true;
    }
    if (n->type != Y_STR || strlen(n->text) != n->n)
        return refuse(ws, n, path, "1% to 100%, or an amount such as 200G");
    const char *last = n->n > 0 ? &n->text[n->n - 1] : n->text;
    const char *size = n->text;
    if (*last != '\0' && strchr("MGT", *last) != NULL)
        size = arena_printf(ws->scratch, "%si", n->text);
    if (!is_cache_size(size))
        return refuse(ws, n, path, "1% to 100%, or an amount such as 200G");
    values[HV_CACHE_SIZE] = text_of(size);
    diags_addf(ws->diags, W_RETIRED_KEY, ynode_pos(n),
               "%s is now called hf_cache.cache_size; its value is used", path);
    return true;
}

/* The account in a role's name; "" if the cluster names none. NULL if unusable (reported). */
static const char *account_of(struct workspace *ws, const struct cluster *c)
{
    const struct ynode *n = cluster_lookup(ws, c->node, "aws_account_id");

    if (ynode_is_null(n))
        return "";
    if (n->type == Y_STR && n->n == 12 && all_of(n->text, DIGITS))
        return n->text;
    (void)refuse(ws, n, "aws_account_id", "12 digits in quotes");
    return NULL;
}

/* The annotation that gives a service account its role: from the setting, or else from account and
 * cluster name. Without either it is left to whoever deploys. */
static bool read_role(struct workspace *ws, const struct cluster *c, const char *path,
                      const char *suffix, struct text *name, struct text *annotation)
{
    const struct ynode *n = cluster_lookup(ws, c->node, path);
    const char *account = account_of(ws, c);
    const char *arn;

    *annotation = text_of("");
    if (account == NULL)
        return false;
    if (!ynode_is_null(n)) {
        if (!is_usable(n, is_role_arn))
            return refuse(ws, n, path, "arn:aws:iam::ACCOUNT:role/NAME");
        arn = n->text;
    } else if (*account != '\0') {
        arn = arena_printf(ws->scratch, "arn:aws:iam::%s:role/%.*s-hf-cache-%s", account,
                           (int)name->n, name->p, suffix);
    } else {
        diags_addf(
            ws->diags, W_ROLE, ynode_pos(c->key),
            "cluster %s has neither %s nor aws_account_id: the service account gets its role "
            "when it is deployed",
            c->id, path);
        return true;
    }
    *annotation = text_of(
        arena_printf(ws->scratch, "\n  annotations:\n    eks.amazonaws.com/role-arn: \"%s\"", arn));
    return true;
}

/* What identifies the cluster: its id is part of the bucket's name, so it must be fit for one. */
static bool read_identity(struct workspace *ws, const struct cluster *c, struct text *values)
{
    const struct ynode *name = ynode_get(c->node, "cluster_name");

    values[HV_CLUSTER_ID] = text_of(c->id);
    values[HV_BUCKET] = text_of(arena_printf(ws->scratch, HFC_BUCKET_PREFIX "%s", c->id));
    values[HV_REGION] = text_of(c->region);
    values[HV_CLUSTER_NAME] = text_of(c->id);
    if (!is_label(c->id) || values[HV_BUCKET].n > 63)
        return refuse(ws, c->key, "the cluster's id",
                      "lower-case letters, digits and '-', at most 40, as it names a bucket");
    if (c->region_node == NULL || !is_usable(c->region_node, is_label))
        return refuse(ws, c->region_node != NULL ? c->region_node : c->key, "region",
                      "the region of the cluster's bucket");
    if (ynode_is_null(name))
        return true;
    if (!is_usable(name, is_label))
        return refuse(ws, name, "cluster_name", "a DNS label");
    values[HV_CLUSTER_NAME] = text_of(name->text);
    return true;
}

/* Only checked: it goes into the runners' template, not into the module's. */
static bool read_offline(struct workspace *ws, const struct cluster *c)
{
    const struct ynode *n = cluster_lookup(ws, c->node, "hf_cache.offline");

    return ynode_is_null(n) || n->type == Y_BOOL ||
           refuse(ws, n, "hf_cache.offline", "true or false");
}

/* Dotted look-ups pass over a block that is not a mapping as if it were not there; so that is told
 * here. */
static bool check_block(struct workspace *ws, const struct ynode *owner)
{
    const struct ynode *block = ynode_get(owner, "hf_cache");

    if (ynode_is_null(block))
        return true;
    if (!check_type(ws->diags, block, "hf_cache", Y_MAP))
        return false;
    check_keys(ws->diags, block, hf_keys, NULL);
    return true;
}

/* The order counts in two places: the roles are named after the cluster, so its identity comes
 * first; and the old name of the cache's size overwrites the default that the table has put there.
 */
bool hfcache_settings(struct workspace *ws, const struct cluster *c, struct text *values)
{
    bool ok = check_block(ws, c->node);

    ok &= check_block(ws, ws->defaults);
    ok &= read_identity(ws, c, values);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        ok &= read_setting(ws, c, &settings[i], values);
    ok &= read_old_cache_size(ws, c, values);
    ok &= read_offline(ws, c);
    ok &= read_role(ws, c, "hf_cache.mount_role_arn", "role", &values[HV_CLUSTER_NAME],
                    &values[HV_MOUNT_ROLE_ANNOTATION]);
    ok &= read_role(ws, c, "hf_cache.refresh_role_arn", "refresh-role", &values[HV_CLUSTER_NAME],
                    &values[HV_REFRESH_ROLE_ANNOTATION]);
    retired(ws, c, "hf_cache.rclone_image", "hf_cache.image names the mount's image");
    retired(ws, c, "hf_cache.taint_remover_image", "hf_cache.image watches the taint as well");
    retired(ws, c, "hf_cache.tcp_rmem_max", "sockets are part of hf_cache.memory");
    return ok;
}
