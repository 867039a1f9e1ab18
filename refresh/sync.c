/* sync.c: the main flow of a run; see sync.h.
 *
 * Models are planned one after the other, ahead of the transfers, which go on meanwhile; a model
 * whose files are all there is published. Few models are open at once, so that what is known of
 * their files stays small.
 */
#include "sync.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "need.h"
#include "prune.h"
#include "transfers.h"

enum { OPEN_MAX = 8 };

struct sync {
    struct run *run;
    const struct models *models;
    bool *failed; /* for each of them */
    struct snapshot *open[OPEN_MAX];
    size_t nopen;
};

static void say_line(void *ctx, const char *text)
{
    const struct sync *y = ctx;

    report_line(y->run->report, REPORT_INFO, "%s", text);
}

/* Only uploads below the folders of this run's models are looked at: other tools may use the bucket
 * as well, and the lock does not bind them. */
static bool is_ours(void *ctx, const char *key)
{
    const struct sync *y = ctx;
    const char *folder;
    size_t n = repo_folder(key, &folder);

    for (size_t i = 0; n > 0 && i < y->models->n; i++) {
        hfc_autobuf struct hfc_buf ours = HFC_BUF(HFC_KEY_MAX);
        model_folder(&y->models->list[i], &ours);
        if (ours.len == n && memcmp(ours.data, folder, n) == 0)
            return true;
    }
    return false;
}

/* Whether any revision of this repository failed: then its files may lie there without a ref, and
 * must not be taken for old ones. */
static bool any_failed(const struct sync *y, const char *folder)
{
    for (size_t i = 0; i < y->models->n; i++) {
        hfc_autobuf struct hfc_buf other = HFC_BUF(HFC_KEY_MAX);
        model_folder(&y->models->list[i], &other);
        if (y->failed[i] && strcmp(other.data, folder) == 0)
            return true;
    }
    return false;
}

static int prune_folder(struct sync *y, struct target *t, const char *folder, struct hfc_error *err)
{
    struct prune_plan *plan = NULL;
    struct hfc_error why = {0};
    int rc = prune_find(t, folder, false, &plan);

    if (rc == 0 && prune_count(plan) > 0)
        rc = prune_run(t, plan, say_line, y, &why);
    prune_free(plan);
    if (rc < 0 && hfc_loop_stopped(y->run->loop))
        return hfc_error_set(err, ECANCELED, "stopped");
    if (rc < 0)
        target_fail(t, &why);
    return 0;
}

/* When every model of the list is published: until then a snapshot without a ref may be one that is
 * on its way. */
static int prune_models(struct sync *y, struct hfc_error *err)
{
    for (size_t i = 0; i < y->models->n; i++) {
        hfc_autobuf struct hfc_buf folder = HFC_BUF(HFC_KEY_MAX);
        model_folder(&y->models->list[i], &folder);
        for (size_t k = 0; k < y->run->ntargets && !any_failed(y, folder.data); k++)
            if (!y->run->targets[k]->failed &&
                prune_folder(y, y->run->targets[k], folder.data, err) < 0)
                return -1;
    }
    return 0;
}

static bool has_failed(const struct snapshot *s)
{
    bool failed = s->error.msg[0] != '\0';

    for (size_t i = 0; i < s->run->ntargets; i++)
        failed |= s->in[i].standing == STANDING_FAILED;
    return failed;
}

/* Takes a finished snapshot out of the open ones. */
static int finish(struct sync *y, size_t at, struct hfc_error *err)
{
    struct snapshot *s = y->open[at];
    int rc = 0;

    y->open[at] = y->open[--y->nopen];
    if (!y->run->dry_run)
        rc = snapshot_publish(s, err);
    if (rc == 0)
        snapshot_report(s);
    y->failed[s->model - y->models->list] = rc < 0 || has_failed(s);
    snapshot_free(s);
    return rc;
}

/* Finishes what can be, until no more than `limit` are open, or they take too much memory. */
static int settle(struct sync *y, size_t limit, struct hfc_error *err)
{
    for (;;) {
        bool *news = transfers_news(y->run->transfers);
        size_t memory = 0;
        *news = false;
        for (size_t i = y->nopen; i-- > 0;)
            if (y->open[i]->under_way == 0 && finish(y, i, err) < 0)
                return -1;
        for (size_t i = 0; i < y->nopen; i++)
            memory += y->open[i]->memory;
        if (y->nopen <= limit && (y->nopen == 0 || memory <= y->run->budget.tables / 2))
            return 0;
        if (*news)
            continue;
        if (hfc_loop_run(y->run->loop, news, err) < 0)
            return -1;
        if (hfc_loop_stopped(y->run->loop))
            return hfc_error_set(err, ECANCELED, "stopped");
    }
}

static int bring_models(struct sync *y, struct hfc_error *err)
{
    for (size_t i = 0; i < y->models->n; i++) {
        struct snapshot *s = snapshot_new(y->run, &y->models->list[i]);
        y->open[y->nopen++] = s;
        if (snapshot_plan(s, err) < 0 || settle(y, OPEN_MAX - 1, err) < 0)
            return -1;
    }
    return settle(y, 0, err);
}

static void index_put(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct gather_target *g = ctx;

    (void)reply;
    if (err != NULL)
        target_fail(g->target, err);
    gather_end(g->gather);
}

/* What other tools have put into the bucket, or taken out of it, shows in the index as well. */
static int publish_indexes(struct run *run, struct hfc_error *err)
{
    struct gather g = GATHER;
    struct gather_target each[TARGETS_MAX];

    for (size_t i = 0; i < run->ntargets; i++) {
        if (run->targets[i]->failed || !run->targets[i]->dirty)
            continue;
        each[i] = (struct gather_target){&g, run->targets[i]};
        gather_begin(&g);
        target_publish_index(run->targets[i], index_put, &each[i]);
    }
    return gather_wait(run->loop, &g, err);
}

static void report_targets(const struct run *run)
{
    for (size_t i = 0; i < run->ntargets; i++) {
        const struct target *t = run->targets[i];
        struct hfc_store_stats stats;
        hfc_store_stats(t->store, &stats);
        struct target_report r = {.url = target_url(t), .stats = &stats, .pruned = t->pruned};
        r.error = t->failed ? &t->error : NULL;
        for (size_t e = 0; t->index != NULL && e < hfc_index_count(t->index); e++) {
            r.objects++;
            r.bytes += hfc_index_at(t->index, e)->size;
        }
        report_target(run->report, &r);
    }
}

static void report_all(const struct run *run)
{
    struct hub_stats stats;

    hub_stats(run->hub, &stats);
    report_hub(run->report, &stats);
    report_targets(run);
}

/* What a stop leaves: transfers end by themselves, and give back what they have in the buckets. */
static void drain(struct sync *y)
{
    transfers_stop(y->run->transfers);
    (void)hfc_loop_run(y->run->loop, transfers_idle(y->run->transfers), NULL);
    while (y->nopen > 0) {
        struct snapshot *s = y->open[--y->nopen];
        if (s->error.msg[0] == '\0')
            (void)hfc_error_set(&s->error, ECANCELED, "not finished");
        snapshot_report(s);
        snapshot_free(s);
    }
}

static bool any_usable(const struct run *run)
{
    for (size_t i = 0; i < run->ntargets; i++)
        if (!run->targets[i]->failed)
            return true;
    return false;
}

static int open_and_bring(struct sync *y, const struct sync_options *options, struct hfc_error *err)
{
    struct run *run = y->run;
    const struct target_open_options open = {.use = run->dry_run ? TARGET_READ : TARGET_WRITE,
                                             .tables = run->budget.tables,
                                             .lock_wait_ms = options->lock_wait_ms,
                                             .say = say_line,
                                             .ours = is_ours,
                                             .ctx = y};

    if (targets_open(run->targets, run->ntargets, &open, err) < 0)
        return -1;
    if (!any_usable(run))
        return 0;
    if (bring_models(y, err) < 0)
        return -1;
    if (run->dry_run)
        return 0;
    if (run->prune && prune_models(y, err) < 0)
        return -1;
    return publish_indexes(run, err);
}

bool sync_run(struct run *run, const struct sync_options *options)
{
    struct sync y = {.run = run, .models = options->models};
    struct hfc_error err = {0};

    run->transfers = transfers_new(run, &err);
    if (run->transfers == NULL) {
        report_line(run->report, REPORT_ERROR, "%s", err.msg);
        targets_close(run->targets, run->ntargets);
        return false;
    }
    y.failed = need(calloc(options->models->n, sizeof(*y.failed)));
    int rc = open_and_bring(&y, options, &err);
    if (rc < 0) {
        drain(&y);
        if (err.errnum != ECANCELED)
            report_line(run->report, REPORT_ERROR, "%s", err.msg);
    }
    report_all(run);
    transfers_free(run->transfers);
    targets_close(run->targets, run->ntargets);
    free(y.failed);
    return rc == 0;
}
