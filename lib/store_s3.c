/* store_s3.c: the S3 backend: opening, the table of its functions, the end; see store_s3.h.
 *
 * Settings of the environment, beside those of aws_config.h and aws_creds.h:
 *
 *   HFCACHE_S3_ADDRESSING   path or virtual: how buckets are addressed (store_s3_region.c)
 *
 * Called through store.c only.
 */
#include "store_s3.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_s3_steps.h"

enum { BUCKET_MAX = 255 };

static void close_store(struct hfc_store *base)
{
    struct hfc_s3 *s = (struct hfc_s3 *)base;

    hfc_http_free(s->http);
    hfc_aws_creds_free(s->creds);
    hfc_aws_config_free(s->config);
    hfc_url_free(&s->endpoint);
    free(s->bucket);
    free(s);
}

/* What the client counts: connections and bytes on the wire. */
static void add_stats(const struct hfc_store *base, struct hfc_store_stats *stats)
{
    hfc_http_stats(((const struct hfc_s3 *)base)->http, &stats->http);
}

/* Between two tries there is nothing to resume. */
static void resume(struct hfc_store_op *base)
{
    struct hfc_s3_op *op = (struct hfc_s3_op *)base;
    struct hfc_exchange *x = op->call != NULL ? hfc_call_exchange(op->call) : NULL;

    if (x != NULL)
        hfc_http_resume(x);
}

static void nobody_waits(void *ctx, const struct hfc_store_reply *reply,
                         const struct hfc_error *err)
{
    (void)ctx;
    (void)reply;
    (void)err;
}

static void release(struct hfc_store_op *base)
{
    struct hfc_s3_op *op = (struct hfc_s3_op *)base;

    if (op->call != NULL)
        hfc_call_cancel(op->call);
    hfc_aws_creds_forget(&op->keys);
    hfc_aws_chunked_free(&op->chunked);
    hfc_s3_xml_free(op->xml);
    if (op->document.data != NULL)
        hfc_buf_free(&op->document);
    free(op->list.after);
    free(op->list.after_id);
    free(op->list.last_key);
    free(op->copied);
    /* A copy that was cancelled half-way: nobody else knows of its upload. */
    if (base->kind == HFC_OP_COPY && base->upload_id != NULL && base->ended &&
        base->err.errnum == ECANCELED)
        (void)hfc_store_abort(base->store, hfc_store_short_key(base->store, base->key),
                              base->upload_id, nobody_waits, NULL);
}

static const struct hfc_store_backend backend = {
    .op_size = sizeof(struct hfc_s3_op),
    .start =
        {
            [HFC_OP_LIST] = hfc_s3_start_list,
            [HFC_OP_HEAD] = hfc_s3_start_head,
            [HFC_OP_GET] = hfc_s3_start_get,
            [HFC_OP_PUT] = hfc_s3_start_put,
            [HFC_OP_COPY] = hfc_s3_start_copy,
            [HFC_OP_DELETE] = hfc_s3_start_delete,
            [HFC_OP_CREATE] = hfc_s3_start_create,
            [HFC_OP_PUT_PART] = hfc_s3_start_put_part,
            [HFC_OP_LIST_PARTS] = hfc_s3_start_list_parts,
            [HFC_OP_COMPLETE] = hfc_s3_start_complete,
            [HFC_OP_ABORT] = hfc_s3_start_abort,
            [HFC_OP_LIST_UPLOADS] = hfc_s3_start_list_uploads,
        },
    .resume = resume,
    .release = release,
    .stats = add_stats,
    .close = close_store,
};

static int refuse(struct hfc_error *err, const char *url, const char *why)
{
    (void)hfc_error_set(err, 0, "%.300s: %s", url, why);
    if (err != NULL)
        err->errnum = EINVAL;
    return -1;
}

/* It becomes part of a host's name or a path. */
static bool is_bucket(const char *name, size_t n)
{
    return n >= 3 && n <= BUCKET_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") >= n;
}

/* us-east-1 answers for all buckets: with a redirect that names the right one. */
static int take_region(struct hfc_s3 *s, const char *given, const char *url, struct hfc_error *err)
{
    const char *region = given != NULL ? given : hfc_aws_config_region(s->config);

    if (region == NULL)
        region = "us-east-1";
    if (!hfc_s3_region_is_valid(region))
        return refuse(err, url, "the region is no name of one");
    (void)memcpy(s->region, region, strlen(region) + 1);
    return 0;
}

/* Everything that may fail for what the environment says. On failure the caller closes. */
static int set_up(struct hfc_s3 *s, const struct hfc_store_config *config, struct hfc_error *err)
{
    struct hfc_http_config http = config->http;

    s->config = hfc_aws_config_load(err);
    if (s->config == NULL || take_region(s, config->region, s->base.url, err) < 0 ||
        hfc_s3_set_endpoint(s, err) < 0)
        return -1;
    if (http.ca_bundle == NULL)
        http.ca_bundle = hfc_aws_config_ca_bundle(s->config);
    s->creds = hfc_aws_creds_new(s->base.loop, s->config, err);
    s->http = s->creds != NULL ? hfc_http_new(s->base.loop, &http, err) : NULL;
    s->retry = config->retry.tries > 0 ? config->retry : HFC_RETRY_DEFAULT;
    s->budget = (struct hfc_retry_budget){.left = HFC_RETRY_BUDGET, .full = HFC_RETRY_BUDGET};
    return s->http != NULL ? 0 : -1;
}

struct hfc_store *hfc_store_s3_open(struct hfc_loop *loop, const char *url, const char *rest,
                                    const struct hfc_store_config *config, struct hfc_error *err)
{
    size_t n = strcspn(rest, "/");
    const char *prefix = rest + n + strspn(rest + n, "/");

    if (!is_bucket(rest, n)) {
        (void)refuse(err, url, "not the name of a bucket");
        return NULL;
    }
    if (strlen(prefix) > HFC_KEY_MAX / 2) {
        (void)refuse(err, url, "the prefix has more than 512 bytes");
        return NULL;
    }
    struct hfc_s3 *s = calloc(1, sizeof(*s));
    if (s == NULL)
        abort();
    hfc_store_init(&s->base, &backend, loop, url, prefix, config);
    s->bucket = strndup(rest, n);
    if (s->bucket == NULL)
        abort();
    if (set_up(s, config, err) < 0) {
        hfc_store_close(&s->base);
        return NULL;
    }
    return &s->base;
}
