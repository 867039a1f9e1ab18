/* hub_repo.c: what the Hub's API tells of a repository: its revision, its files.
 *
 * An answer about a revision is skimmed while it comes, as it lists every file. A listing is read
 * page by page; a page is only looked at when all of it is there, so a page that breaks off is
 * asked for again and no entry is handed out twice.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "hub_headers.h"
#include "hub_internal.h"
#include "hub_json.h"
#include "need.h"
#include "uri.h"

enum {
    URL_MAX = 8192,
    INFO_KEPT_MAX = 256 * 1024,             /* of the skimmed answer */
    INFO_BYTES_MAX = 256 * 1024 * 1024,     /* of the answer: a million names */
    PAGES_MAX = HUB_ENTRIES_MAX / 50 + 1000 /* the Hub's smallest page has 50 entries */
};

static void start_url(struct hfc_buf *url, const struct hub *hub, enum repo_kind kind,
                      const char *id)
{
    hfc_buf_str(url, hub->endpoint);
    hfc_buf_str(url, kind == REPO_DATASET ? "/api/datasets/" : "/api/models/");
    hfc_uri_encode(url, id, strlen(id), "/");
}

struct info {
    struct hub_op op;
    struct request request;
    char *asked; /* the id */
    hub_info_done *done;
    void *ctx;
    struct hub_info result;
    char *id; /* what result.id points to */
    struct json_skim skim;
    struct hfc_buf text;
    uint64_t bytes;
};

static struct info *info_of(struct hub_op *op)
{
    return (struct info *)(void *)op;
}

static void info_stop(struct hub_op *op)
{
    request_stop(&info_of(op)->request);
}

static void info_deliver(struct hub_op *op, const struct hfc_error *err)
{
    struct info *i = info_of(op);

    i->done(i->ctx, err == NULL ? &i->result : NULL, err);
}

static void info_destroy(struct hub_op *op)
{
    struct info *i = info_of(op);

    hfc_buf_free(&i->text);
    free(i->asked);
    free(i->id);
    free(i);
}

static bool info_head(void *owner, const struct hfc_response *r)
{
    struct info *i = owner;

    hfc_buf_reset(&i->text);
    i->skim = (struct json_skim){0};
    i->bytes = 0;
    return hfc_response_status(r) == 200;
}

static bool info_is_too_large(const struct info *i)
{
    return hfc_buf_failed(&i->text) || i->bytes > INFO_BYTES_MAX;
}

static enum hfc_flow info_data(void *owner, const void *bytes, size_t n)
{
    struct info *i = owner;

    json_skim(&i->skim, bytes, n, &i->text);
    i->bytes += n;
    return info_is_too_large(i) ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

/* Any answer that succeeds has to be a description. */
static bool info_judge(void *owner, const struct hfc_response *r, enum hfc_http_end end,
                       enum hfc_verdict *verdict, struct hfc_error *err)
{
    struct info *i = owner;
    struct json_info parsed;

    if (hfc_response_status(r) != 200 || (end != HTTP_OK && end != HTTP_STOPPED))
        return false;
    *verdict = HFC_FAILED;
    if (info_is_too_large(i)) {
        (void)hub_fail(err, EFBIG, "the description of the repository is too large");
        return true;
    }
    if (json_info_parse(i->text.data, i->text.len, &parsed, err) < 0)
        return true;
    i->id = parsed.id != NULL ? parsed.id : need_copy(i->asked, strlen(i->asked));
    i->result = (struct hub_info){
        .id = i->id,
        .private = parsed.private,
        .gated = parsed.gated,
        .disabled = parsed.disabled,
    };
    memcpy(i->result.commit, parsed.commit, sizeof(parsed.commit));
    *verdict = HFC_SUCCEEDED;
    return true;
}

/* A 2xx other than 200 is nothing that the Hub would say. */
static void info_done(void *owner, const struct hfc_response *r, const struct hfc_error *err)
{
    struct info *i = owner;
    struct hfc_error odd;

    if (err == NULL && i->id == NULL) {
        (void)hub_fail(&odd, EPROTO, "status %d without a description: is it the Hub?",
                       hfc_response_status(r));
        err = &odd;
    }
    hub_op_end(&i->op, err);
}

struct hub_op *hub_info(struct hub *hub, const struct model *model, hub_info_done *done, void *ctx)
{
    static const struct hub_op_class op_class = {info_stop, info_deliver, info_destroy, NULL};
    static const struct request_class request_class = {
        .head = info_head, .data = info_data, .judge = info_judge, .done = info_done};
    struct info *i = need(calloc(1, sizeof(*i)));
    hfc_autobuf struct hfc_buf url = HFC_BUF(URL_MAX);

    i->done = done;
    i->ctx = ctx;
    i->asked = need_copy(model->repo, strlen(model->repo));
    hfc_buf_init(&i->text, INFO_KEPT_MAX);
    i->request =
        (struct request){.hub = hub, .class = &request_class, .owner = i, .bucket = HUB_API};
    hub_op_start(&i->op, hub, &op_class);
    start_url(&url, hub, model->kind, model->repo);
    hfc_buf_str(&url, "/revision/");
    hfc_uri_encode(&url, model->revision, strlen(model->revision), "");
    request_start(&i->request, url.data);
    return &i->op;
}

struct tree {
    struct hub_op op;
    struct request request;
    hub_entry *entry;
    hub_done *done;
    void *ctx;
    struct hfc_buf page;
    struct hub_paths paths, urls;  /* seen so far */
    size_t entries, before, pages; /* `before`: entries ahead of this page */
    struct hfc_error error;        /* of an entry, while a page is read */
    bool failed;
};

static struct tree *tree_of(struct hub_op *op)
{
    return (struct tree *)(void *)op;
}

static void tree_stop(struct hub_op *op)
{
    request_stop(&tree_of(op)->request);
}

static void tree_deliver(struct hub_op *op, const struct hfc_error *err)
{
    struct tree *t = tree_of(op);

    t->done(t->ctx, err);
}

static void tree_destroy(struct hub_op *op)
{
    struct tree *t = tree_of(op);

    hfc_buf_free(&t->page);
    hub_paths_free(&t->paths);
    hub_paths_free(&t->urls);
    free(t);
}

static bool tree_head(void *owner, const struct hfc_response *r)
{
    struct tree *t = owner;

    hfc_buf_reset(&t->page);
    return hfc_response_status(r) == 200;
}

static enum hfc_flow tree_data(void *owner, const void *bytes, size_t n)
{
    struct tree *t = owner;

    hfc_buf_add(&t->page, bytes, n);
    return hfc_buf_failed(&t->page) ? HFC_FLOW_STOP : HFC_FLOW_ON;
}

static bool tree_judge(void *owner, const struct hfc_response *r, enum hfc_http_end end,
                       enum hfc_verdict *verdict, struct hfc_error *err)
{
    struct tree *t = owner;

    (void)r;
    if (end != HTTP_STOPPED || !hfc_buf_failed(&t->page))
        return false;
    (void)hub_fail(err, EFBIG, "a page of the listing has more than %d MiB",
                   HUB_PAGE_MAX / (1024 * 1024));
    *verdict = HFC_FAILED;
    return true;
}

static bool entry_failed(struct tree *t, int errnum, const char *path, const char *what)
{
    hub_path_error(&t->error, errnum, path, strlen(path), what);
    t->failed = true;
    return false;
}

/* The user may cancel from within its entry(). */
static bool tree_entry(void *ctx, const struct json_entry *e)
{
    struct tree *t = ctx;

    if (++t->entries > HUB_ENTRIES_MAX)
        return entry_failed(t, EFBIG, e->file.path, "is one of more than a million");
    const char *wrong = hub_paths_add(&t->paths, e->file.path, e->directory);
    if (wrong != NULL)
        return entry_failed(t, EBADMSG, e->file.path, wrong);
    if (!e->directory)
        t->entry(t->ctx, &e->file);
    return !t->op.ended;
}

/* Where the next page is: its address is taken as it stands, if it is the Hub's and a new one. */
static int next_page(struct tree *t, const char *link, char **next, struct hfc_error *err)
{
    hfc_autofree char *target = header_link_next(link);

    *next = target != NULL ? hfc_url_resolve(t->request.url, target) : NULL;
    if (target == NULL)
        return 0;
    if (*next == NULL || !hfc_url_same_origin(*next, t->op.hub->endpoint))
        return hub_fail(err, EPROTO,
                        "the next page of the listing is said to be on another "
                        "server: refused");
    if (t->entries == t->before)
        return hub_fail(err, ELOOP, "a page of the listing is empty but names another one");
    if (++t->pages > PAGES_MAX)
        return hub_fail(err, EFBIG, "the listing has too many pages");
    if (hub_paths_add_text(&t->urls, *next) != NULL)
        return hub_fail(err, ELOOP, "the pages of the listing go round in circles");
    return 0;
}

static int read_page(struct tree *t, const struct hfc_response *r, char **next,
                     struct hfc_error *err)
{
    const char *link = hfc_response_header(r, "link");

    if (hfc_response_status(r) != 200)
        return hub_fail(err, EPROTO, "status %d without a listing: is it the Hub?",
                        hfc_response_status(r));
    t->before = t->entries;
    if (json_tree_parse(t->page.data, t->page.len, tree_entry, t, err) < 0)
        return -1;
    if (t->failed) {
        *err = t->error;
        return -1;
    }
    return link != NULL && !t->op.ended ? next_page(t, link, next, err) : 0;
}

static void tree_done(void *owner, const struct hfc_response *r, const struct hfc_error *err)
{
    struct tree *t = owner;
    hfc_autofree char *next = NULL;
    struct hfc_error bad;

    if (err == NULL && read_page(t, r, &next, &bad) < 0)
        err = &bad;
    if (t->op.ended)
        return;
    if (err == NULL && next != NULL)
        request_start(&t->request, next);
    else
        hub_op_end(&t->op, err);
}

struct hub_op *hub_tree(struct hub *hub, enum repo_kind kind, const char *id, const char *commit,
                        hub_entry *entry, hub_done *done, void *ctx)
{
    static const struct hub_op_class op_class = {tree_stop, tree_deliver, tree_destroy, NULL};
    static const struct request_class request_class = {
        .head = tree_head, .data = tree_data, .judge = tree_judge, .done = tree_done};
    struct tree *t = need(calloc(1, sizeof(*t)));
    hfc_autobuf struct hfc_buf url = HFC_BUF(URL_MAX);

    t->entry = entry;
    t->done = done;
    t->ctx = ctx;
    hfc_buf_init(&t->page, HUB_PAGE_MAX);
    t->request =
        (struct request){.hub = hub, .class = &request_class, .owner = t, .bucket = HUB_API};
    hub_op_start(&t->op, hub, &op_class);
    start_url(&url, hub, kind, id);
    hfc_buf_printf(&url, "/tree/%s?recursive=true&expand=false", commit);
    (void)hub_paths_add_text(&t->urls, url.data);
    request_start(&t->request, url.data);
    return &t->op;
}
