/* inspect.c: opening one bucket for a look, and names of repositories; see inspect.h. */
#include "inspect.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "cleanup.h"
#include "need.h"
#include "pool.h"

enum {
    REST_MIN = 8 * MEBIBYTE,
    TREE_MIN = 1 * MEBIBYTE,
    TREE_MAX = 64 * MEBIBYTE,
    TREE_COST = 6, /* memory for a byte of JSON: the text, and what the parser makes of it */
    RECEIVE_BUFFER = 256 * 1024,
    SEND_BUFFER = 64 * 1024,
};

/* Names. */

static const struct {
    const char *folder, *name;
} kinds[] = {{"models--", ""}, {"datasets--", "datasets/"}, {"spaces--", "spaces/"}};

/* Which kind of repository the folder is for; HFC_ARRAY_LEN(kinds): none. */
static size_t kind_of(const char *folder, size_t n)
{
    size_t k = 0;

    for (; k < HFC_ARRAY_LEN(kinds); k++) {
        size_t len = strlen(kinds[k].folder);
        if (n > len && memcmp(folder, kinds[k].folder, len) == 0)
            break;
    }
    return k;
}

size_t repo_folder(const char *key, const char **folder)
{
    const char *at = key + strlen("hub/");

    if (strncmp(key, "hub/", 4) != 0)
        return 0;
    size_t n = strcspn(at, "/");
    if (at[n] == '\0' || kind_of(at, n) == HFC_ARRAY_LEN(kinds))
        return 0;
    *folder = at;
    return n;
}

/* Ids have no "--" of their own, so that this is the way back. */
void repo_name(const char *folder, size_t n, struct hfc_buf *out)
{
    size_t k = kind_of(folder, n);

    assert(k < HFC_ARRAY_LEN(kinds));
    hfc_buf_str(out, kinds[k].name);
    for (size_t i = strlen(kinds[k].folder); i < n; i++) {
        bool slash = folder[i] == '-' && i + 1 < n && folder[i + 1] == '-';
        hfc_buf_char(out, slash ? '/' : folder[i]);
        i += slash;
    }
}

/* The same revision of the same repository. */
static bool is_listed(const struct models *models, const struct model *m)
{
    for (size_t i = 0; i < models->n; i++)
        if (models->list[i].kind == m->kind && strcmp(models->list[i].repo, m->repo) == 0 &&
            strcmp(models->list[i].revision, m->revision) == 0)
            return true;
    return false;
}

int inspection_models(char *const *words, size_t n, struct models *out)
{
    static const char dataset[] = "datasets/";

    *out = (struct models){.list = need(calloc(n + 1, sizeof(*out->list)))};
    for (size_t i = 0; i < n; i++) {
        struct model *m = &out->list[out->n];
        struct hfc_error err = {0};
        bool is_dataset = strncmp(words[i], dataset, strlen(dataset)) == 0;
        int rc = model_parse_argument(words[i] + (is_dataset ? strlen(dataset) : 0), m, &err);
        if (rc == 0 && is_dataset)
            m->kind = REPO_DATASET;
        bool twice = rc == 0 && is_listed(out, m);
        if (rc == 0)
            out->n++;
        if (rc == 0 && !twice)
            continue;
        (void)command_error(twice ? "%s is named twice" : "%s", twice ? words[i] : err.msg);
        models_free(out);
        return -1;
    }
    return 0;
}

/* Selections. */

int selection_of(char *const *words, size_t n, struct selection *out)
{
    struct models models;

    assert(n == 0 || words != NULL);
    *out = (struct selection){0};
    for (size_t i = 0; i < n; i++)
        if (strchr(words[i], '@') != NULL) {
            (void)command_error(
                "'%s': a repository is looked at as a whole: leave out the revision", words[i]);
            return -1;
        }
    if (inspection_models(words, n, &models) < 0)
        return -1;
    out->folders = need(calloc(n + 1, sizeof(*out->folders)));
    out->found = need(calloc(n + 1, sizeof(*out->found)));
    for (size_t i = 0; i < models.n; i++) {
        hfc_autobuf struct hfc_buf folder = HFC_BUF(HFC_KEY_MAX);
        model_folder(&models.list[i], &folder);
        out->folders[out->n++] = need_copy(folder.data, folder.len);
    }
    models_free(&models);
    return 0;
}

void selection_free(struct selection *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->folders[i]);
    free(s->folders);
    free(s->found);
    *s = (struct selection){0};
}

bool selection_has(struct selection *s, const char *folder, size_t n)
{
    for (size_t i = 0; i < s->n; i++)
        if (strlen(s->folders[i]) == n && memcmp(s->folders[i], folder, n) == 0) {
            s->found[i] = true;
            return true;
        }
    return s->n == 0;
}

int selection_missing(const struct selection *s)
{
    int rc = STATUS_OK;

    for (size_t i = 0; i < s->n; i++) {
        hfc_autobuf struct hfc_buf name = HFC_BUF(HFC_KEY_MAX);
        if (s->found[i])
            continue;
        repo_name(s->folders[i], strlen(s->folders[i]), &name);
        rc = command_error("%s is not in the bucket", name.data);
    }
    return rc;
}

/* The bucket. */

/* There is no Hub here and there are no blocks: what is not the process and its connections is for
 * tables and trees, in equal parts. */
static int divide(struct inspection *in, const struct inspection_options *o,
                  struct hfc_http_config *http, struct hfc_error *err)
{
    struct budget b;

    assert(o->jobs >= 1 && o->jobs <= INSPECTION_JOBS_MAX);
    if (budget_divide(&b, o->memory, 1, 0, err) < 0)
        return -1;
    *http = b.store;
    http->connections = o->jobs;
    http->receive_buffer = RECEIVE_BUFFER;
    http->send_buffer = SEND_BUFFER;
    size_t taken = b.base + o->jobs * hfc_http_connection_memory(http);
    if (taken + REST_MIN > o->memory)
        return hfc_error_set(err, 0,
                             "%zu MiB of memory are not enough for %u connections: use --memory "
                             "%zuMi or more, or fewer --jobs",
                             o->memory / MEBIBYTE, o->jobs, (taken + REST_MIN) / MEBIBYTE + 1);
    in->tables = (o->memory - taken) / 2;
    in->tree_max = in->tables / TREE_COST;
    if (in->tree_max < TREE_MIN)
        in->tree_max = TREE_MIN;
    if (in->tree_max > TREE_MAX)
        in->tree_max = TREE_MAX;
    return 0;
}

static void say(void *ctx, const char *line)
{
    (void)ctx;
    command_warning("%s", line);
}

/* A single target that can't be opened is the end of the command. */
static int open_target(struct inspection *in, const struct inspection_options *o,
                       struct hfc_error *err)
{
    const struct target_open_options open = {
        .use = o->use, .tables = in->tables, .lock_wait_ms = o->lock_wait_ms, .say = say};

    if (targets_open(&in->target, 1, &open, err) < 0)
        return -1;
    if (!in->target->failed)
        return 0;
    *err = in->target->error;
    return -1;
}

/* Each step needs the one before; what was made until then is closed by the caller. */
int inspection_open(struct inspection *in, const struct inspection_options *o)
{
    struct hfc_store_config config = {.log = say};
    struct hfc_error err = {0};

    *in = (struct inspection){0};
    if (divide(in, o, &config.http, &err) == 0)
        in->loop = hfc_loop_new(&err);
    if (in->loop != NULL)
        in->stopper = stop_on_signals(in->loop, &err);
    if (in->stopper != NULL)
        in->target = target_new(in->loop, o->url, &config, &err);
    if (in->target != NULL && open_target(in, o, &err) == 0)
        return 0;
    (void)inspection_failed(in, &err);
    return -1;
}

void inspection_close(struct inspection *in)
{
    if (in->target != NULL)
        targets_close(&in->target, 1);
    hfc_index_free(in->published);
    stopper_free(in->stopper);
    hfc_loop_free(in->loop);
    *in = (struct inspection){0};
}

int inspection_failed(const struct inspection *in, const struct hfc_error *err)
{
    assert(err->msg[0] != '\0');
    if (in->loop != NULL && hfc_loop_stopped(in->loop))
        return command_error("stopped by a signal; run the command again to go on");
    return command_error("%s", err->msg);
}

/* The published index. */

struct reading {
    struct hfc_index_parser *parser;
    struct hfc_error parse_error, error;
};

/* Stops the transfer at the first line that is wrong: an index may be large. */
static enum hfc_flow published_bytes(void *ctx, const void *bytes, size_t n)
{
    struct pool_slot *slot = ctx;
    struct reading *r = slot->user;

    return hfc_index_parse(r->parser, bytes, n, &r->parse_error) < 0 ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

static void published_end(void *ctx, const struct hfc_store_reply *reply,
                          const struct hfc_error *err)
{
    struct pool_slot *slot = ctx;
    struct reading *r = slot->user;

    (void)reply;
    if (err != NULL)
        r->error = *err;
    else if (hfc_index_parser_finish(r->parser, &r->parse_error) < 0)
        r->error = r->parse_error;
    pool_give(slot);
}

/* One that can't be read counts as none: opening the target has told about it. */
int inspection_published(struct inspection *in, const struct hfc_index **out, struct hfc_error *err)
{
    const struct hfc_get get = {.key = HFC_INDEX_KEY};
    struct reading r = {0};
    struct pool pool;

    *out = in->published;
    if (in->published != NULL)
        return 0;
    pool_init(&pool, in->loop, 1);
    struct pool_slot *slot = pool_take(&pool, err);
    if (slot == NULL)
        return -1;
    in->published = hfc_index_new(in->tables / 2);
    r.parser = hfc_index_parser_new(in->published);
    slot->user = &r;
    (void)hfc_store_get(in->target->store, &get, published_bytes, published_end, slot);
    int rc = pool_drain(&pool, err);
    hfc_index_parser_free(r.parser);
    bool unreadable = r.error.msg[0] != '\0';
    if (unreadable) {
        hfc_index_free(in->published);
        in->published = hfc_index_new(in->tables / 2);
    }
    if (rc == 0 && unreadable && r.error.errnum != ENOENT && r.parse_error.msg[0] == '\0') {
        *err = r.error;
        rc = -1;
    }
    *out = in->published;
    return rc;
}
