/* catalog_look.c: looks at the bucket: when, and how one goes; see catalog.h.
 *
 * A look is one GET of the index, and, where there has never been one, a listing. There is one at a
 * time. It ends with one call of end_look() or fail(), or by being cancelled; then the timer is set
 * for the next. All of it is the loop's thread's.
 *
 * A store calls done() for a cancelled operation too, but later, or never if it is closed before.
 * So what is given to it is a struct of its own, which outlives its look by a turn of the loop.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "catalog_internal.h"
#include "cleanup.h"
#include "logging.h"
#include "metrics.h"

enum { MIN_GAP_MS = 2000, MIN_RETRY_MS = 1000, SECOND_MS = 1000 };

struct look {
    struct catalog *catalog;
    struct look *next; /* of those that were cancelled */
    bool cancelled;
};

static void begin_look(void *ctx);

/* ---- When. ---- */

static int64_t spread(int64_t ms)
{
    uint64_t random = 0;

    (void)!getrandom(&random, sizeof(random), 0);
    return ms - ms / 10 + (int64_t)(random % ((uint64_t)ms / 5 + 1));
}

/* Until a look that somebody asked for. */
static int64_t gap_left(const struct catalog *c)
{
    int64_t gone = hfc_now_ms() - c->began;

    return gone >= MIN_GAP_MS ? 0 : MIN_GAP_MS - gone;
}

/* Sets the timer after a look. Returns the wait. */
static int64_t set_timer(struct catalog *c, bool failed)
{
    int64_t interval = (int64_t)c->config.interval * SECOND_MS;
    int64_t wait = spread(failed ? interval / 4 : interval);

    if (wait < MIN_RETRY_MS)
        wait = MIN_RETRY_MS;
    if (c->again && gap_left(c) < wait)
        wait = gap_left(c);
    c->again = false;
    hfc_timer_start(c->config.loop, &c->timer, wait, begin_look, c);
    return wait;
}

void catalog_look(struct catalog *c)
{
    if (c->store == NULL)
        return; /* the first look at a new one is at once */
    if (c->look != NULL) {
        c->again = true;
        return;
    }
    int64_t wait = gap_left(c);
    if (c->timer.loop == NULL || c->timer.due > hfc_now_ms() + wait)
        hfc_timer_start(c->config.loop, &c->timer, wait, begin_look, c);
}

/* ---- Ends. ---- */

/* The look is over; whatever is left of it goes. */
static void clean_up(struct catalog *c)
{
    catalog_draft_free(hfc_steal_ptr(&c->draft));
    free(hfc_steal_ptr(&c->look));
    c->op = NULL;
}

static void tell(struct catalog *c, bool changed, const struct hfc_error *err)
{
    if (c->config.looked != NULL)
        c->config.looked(c->config.ctx, changed, err);
}

static void fail(struct catalog *c, const struct hfc_error *why)
{
    struct hfc_error err = *why; /* it may be the draft's */
    char rest[100] = "there are no names to show yet";

    clean_up(c);
    c->failing = true;
    metric_add(M_TREE_FAILURES, 1);
    int64_t wait = set_timer(c, true);
    if (c->tree != NULL)
        (void)snprintf(rest, sizeof(rest), "the %zu names that are known stay",
                       nametree_names(c->tree));
    log_line(LOG_TREE, err.errnum == EACCES ? LEVEL_ERROR : LEVEL_WARNING,
             "the names of the bucket can't be read: %s; %s, the next look is in %lld s", err.msg,
             rest, (long long)(wait + SECOND_MS - 1) / SECOND_MS);
    tell(c, false, &err);
}

static void end_look(struct catalog *c, bool changed)
{
    clean_up(c);
    atomic_store(&c->current, hfc_now_ms());
    metric_add(changed ? M_TREE_REFRESHES : M_TREE_UNCHANGED, 1);
    if (c->failing && !changed)
        log_line(LOG_TREE, LEVEL_INFO, "the names of the bucket can be read again");
    c->failing = false;
    (void)set_timer(c, false);
    tell(c, changed, NULL);
}

static void say_changed(const struct catalog *c, const struct draft *d)
{
    size_t left_out = d->left_out + nametree_left_out(c->tree);
    char rest[100] = "";

    if (left_out > 0)
        (void)snprintf(rest, sizeof(rest),
                       "; %zu objects are left out, whose keys can't be names of files", left_out);
    log_line(LOG_TREE, left_out > 0 ? LEVEL_WARNING : LEVEL_INFO, "%zu names are served, from %s%s",
             nametree_names(c->tree), d->parser != NULL ? "the index" : "a listing", rest);
}

/* The draft is whole: shows its tree, if it is another one. */
static void take_draft(struct catalog *c, const char *etag)
{
    struct hfc_error err = {0};
    struct draft *d = c->draft;
    struct nametree *tree = catalog_draft_finish(d, etag, &err);

    if (tree == NULL) {
        if (err.errnum == ENOMEM) {
            (void)snprintf(c->refused, sizeof(c->refused), "%s", etag);
            c->refusal = err;
        }
        fail(c, &err);
        return;
    }
    bool changed = c->tree == NULL || memcmp(c->sha256, d->copy.sha256, HFC_SHA256_SIZE) != 0;
    (void)snprintf(c->etag, sizeof(c->etag), "%s", etag);
    c->had_index = d->parser != NULL;
    catalog_copy_keep(&d->copy, etag);
    if (changed) {
        catalog_install(c, tree, d->copy.sha256);
        say_changed(c, d);
    } else {
        nametree_unref(tree);
    }
    end_look(c, changed);
}

/* ---- A listing. ---- */

/* True: nobody waits for it any more, and it is gone now. A loop that was stopped has cancelled
 * everything, and looks at nothing again. */
static bool was_cancelled(struct look *l)
{
    struct catalog *c = l->catalog;
    struct look **at = &c->cancelled;

    if (!l->cancelled && hfc_loop_stopped(c->config.loop)) {
        clean_up(c);
        return true;
    }
    if (!l->cancelled)
        return false;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l);
    return true;
}

static void list_item(void *ctx, const char *key, const struct hfc_object *object)
{
    struct look *l = ctx;

    catalog_draft_object(l->catalog->draft, key, object);
}

static void list_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct look *l = ctx;
    struct catalog *c = l->catalog;

    (void)reply;
    if (was_cancelled(l))
        return;
    if (err != NULL)
        fail(c, err);
    else
        take_draft(c, "");
}

static void list_bucket(struct catalog *c)
{
    catalog_draft_free(hfc_steal_ptr(&c->draft));
    c->draft = catalog_draft_new(c->config.tree_max, c->config.directory, true);
    c->op = hfc_store_list(c->store, "", list_item, list_done, c->look);
}

/* ---- The index. ---- */

static enum hfc_flow index_data(void *ctx, const void *bytes, size_t n)
{
    struct look *l = ctx;
    struct catalog *c = l->catalog;

    if (c->draft == NULL)
        c->draft = catalog_draft_new(c->config.tree_max, c->config.directory, false);
    return catalog_draft_text(c->draft, bytes, n) ? HFC_FLOW_ON : HFC_FLOW_STOP;
}

/* The index is the one that is known; or the one that was too large, and so it is still. */
static void not_modified(struct catalog *c)
{
    if (c->refused[0] == '\0') {
        end_look(c, false);
        return;
    }
    const struct hfc_error err = c->refusal;
    fail(c, &err);
}

static void no_index(struct catalog *c)
{
    struct hfc_error err = {0};

    if (!c->had_index || c->tree == NULL) {
        list_bucket(c);
        return;
    }
    (void)hfc_error_set(&err, 0,
                        "%s had an index (" HFC_INDEX_KEY ") and has none any more; run "
                        "hfcache-refresh to make it anew",
                        hfc_store_url(c->store));
    err.errnum = ENOENT;
    fail(c, &err);
}

static void index_failed(struct catalog *c, const struct hfc_error *err)
{
    struct hfc_error why;

    if (err->errnum == EALREADY) {
        not_modified(c);
        return;
    }
    if (err->errnum == ENOENT) {
        no_index(c);
        return;
    }
    if (c->draft == NULL || !c->draft->failed) {
        fail(c, err);
        return;
    }
    why = c->draft->why;
    (void)hfc_error_prefix(&why, "%s/" HFC_INDEX_KEY, hfc_store_url(c->store));
    fail(c, &why);
}

static void index_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct look *l = ctx;
    struct catalog *c = l->catalog;

    if (was_cancelled(l))
        return;
    if (err != NULL) {
        index_failed(c, err);
        return;
    }
    c->had_index = true; /* even if it is of no use */
    c->refused[0] = '\0';
    if (c->draft == NULL) /* not a byte has come */
        (void)index_data(l, "", 0);
    take_draft(c, catalog_is_etag(reply->object.etag) ? reply->object.etag : "");
}

/* ---- Begin and cancel. ---- */

/* When a timer calls, the loop has come round since whatever was cancelled, and their done() was
 * called or will never be. */
void catalog_forget_looks(struct catalog *c)
{
    while (c->cancelled != NULL) {
        struct look *l = c->cancelled;
        c->cancelled = l->next;
        free(l);
    }
}

static void begin_look(void *ctx)
{
    struct catalog *c = ctx;
    const char *known = c->refused[0] != '\0' ? c->refused : c->etag;
    const struct hfc_get get = {.key = HFC_INDEX_KEY,
                                .if_none_match = *known != '\0' ? known : NULL};

    assert(c->store != NULL && c->look == NULL && c->draft == NULL);
    catalog_forget_looks(c);
    c->look = calloc(1, sizeof(*c->look));
    if (c->look == NULL)
        abort();
    c->look->catalog = c;
    c->began = hfc_now_ms();
    c->op = hfc_store_get(c->store, &get, index_data, index_done, c->look);
}

static void cancel_look(struct catalog *c)
{
    struct look *l = hfc_steal_ptr(&c->look);

    if (l == NULL)
        return;
    l->cancelled = true;
    l->next = c->cancelled;
    c->cancelled = l;
    hfc_store_cancel(hfc_steal_ptr(&c->op));
    catalog_draft_free(hfc_steal_ptr(&c->draft));
}

void catalog_use_store(struct catalog *c, struct hfc_store *store)
{
    cancel_look(c);
    hfc_timer_stop(&c->timer);
    c->again = false;
    c->store = store;
    if (store != NULL)
        hfc_timer_start(c->config.loop, &c->timer, 0, begin_look, c);
}
