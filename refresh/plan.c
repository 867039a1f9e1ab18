/* plan.c: what a snapshot needs in each bucket; see snapshot_plan() in snapshot.h.
 *
 *   revision -> commit     one request to the Hub; enough if every bucket has this commit complete
 *   commit -> files        the tree
 *   files -> what is missing, by the hashes that the bucket's index knows, or its objects' metadata
 *
 * An object whose bytes are to be replaced is taken out of the published index before anything is
 * sent: a reader of the index never meets a name whose bytes are other ones than it says.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "pattern.h"
#include "snapshot.h"
#include "transfers.h"

enum { HEADS_AT_ONCE = 64 };

/* The revision. */

struct asking {
    struct gather gather;
    struct snapshot *s;
};

static void plan_info(void *ctx, const struct hub_info *info, const struct hfc_error *err)
{
    struct asking *a = ctx;

    if (err != NULL) {
        a->s->error = *err;
    } else {
        memcpy(a->s->commit, info->commit, sizeof(a->s->commit));
        a->s->id = need_copy(info->id, strlen(info->id));
        if (strcmp(info->id, a->s->model->repo) != 0)
            report_line(a->s->run->report, REPORT_WARNING, "%s is now called %s", a->s->name,
                        info->id);
    }
    gather_end(&a->gather);
}

/* Complete by this filter, with its tree, and named by the ref. */
static bool is_unchanged(const struct snapshot *s, const struct target *t)
{
    const struct hfc_snapshot *have = hfc_index_snapshot(t->index, s->folder, s->commit);
    hfc_autobuf struct hfc_buf key = HFC_BUF(2 * HFC_KEY_MAX);

    if (have == NULL || !have->has_filter ||
        memcmp(have->filter, s->filter, sizeof(s->filter)) != 0)
        return false;
    snapshot_tree_key(s, &key);
    if (hfc_index_find(t->index, key.data) == NULL)
        return false;
    hfc_buf_reset(&key);
    snapshot_ref_key(s, &key);
    const struct hfc_entry *ref = hfc_index_find(t->index, key.data);
    return ref != NULL && strcmp(ref->commit, s->commit) == 0;
}

/* Whether any target is behind. */
static bool compare_commits(struct snapshot *s)
{
    bool behind = false;

    for (size_t i = 0; i < s->run->ntargets; i++) {
        const struct target *t = s->run->targets[i];
        if (t->failed)
            snapshot_fail(s, i, &t->error);
        else
            s->in[i].standing = is_unchanged(s, t) ? STANDING_UNCHANGED : STANDING_BEHIND;
        behind |= s->in[i].standing == STANDING_BEHIND;
    }
    return behind;
}

/* The files. */

static void plan_file(void *ctx, const struct hub_file *file)
{
    struct asking *a = ctx;
    struct snapshot *s = a->s;
    size_t n = strlen(file->path);

    s->memory += sizeof(struct wanted) + n + 1;
    if (s->error.msg[0] != '\0')
        return;
    if (s->memory > s->run->budget.tables) {
        (void)hfc_error_set(&s->error, ENOMEM,
                            "more files than %zu MiB of tables can describe; use a larger --memory",
                            s->run->budget.tables / MEBIBYTE);
        return;
    }
    if ((s->nfiles & (s->nfiles - 1)) == 0)
        s->files =
            need(reallocarray(s->files, s->nfiles > 0 ? 2 * s->nfiles : 1, sizeof(*s->files)));
    struct wanted *w = &s->files[s->nfiles++];
    *w = (struct wanted){.path = need_copy(file->path, n),
                         .id = {.lfs = file->lfs, .size = file->size},
                         .wanted = model_wants(s->model, file->path)};
    memcpy(w->id.sha256, file->sha256, sizeof(w->id.sha256));
    memcpy(w->id.git_sha1, file->git_sha1, sizeof(w->id.git_sha1));
}

static void plan_listed(void *ctx, const struct hfc_error *err)
{
    struct asking *a = ctx;

    if (err != NULL)
        a->s->error = *err;
    gather_end(&a->gather);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct wanted *)a)->path, ((const struct wanted *)b)->path);
}

/* A model without files would be a ref to nothing. */
static void check_files(struct snapshot *s)
{
    size_t wanted = 0;

    if (s->nfiles > 1)
        qsort(s->files, s->nfiles, sizeof(*s->files), by_path);
    for (size_t i = 0; i < s->nfiles; i++)
        wanted += s->files[i].wanted;
    if (wanted == 0 && s->error.msg[0] == '\0')
        (void)hfc_error_set(&s->error, ENOENT,
                            s->nfiles == 0 ? "it has no files"
                                           : "none of its %zu files is wanted by allow=, ignore= "
                                             "and config-only",
                            s->nfiles);
}

/* What is missing. */

struct head {
    struct comparing *all;
    struct wanted *w;
};

struct comparing {
    struct gather gather;
    struct snapshot *s;
    size_t i; /* the target */
    bool withdrawn;
    struct head heads[HEADS_AT_ONCE];
    size_t nheads;
};

static void is_missing(struct comparing *c, struct wanted *w, const char *key)
{
    struct target *t = c->s->run->targets[c->i];

    w->missing |= 1U << c->i;
    if (hfc_index_find(t->index, key) == NULL)
        return;
    target_removed(t, key);
    c->withdrawn = true;
}

static void is_present(struct comparing *c, struct wanted *w)
{
    snapshot_file_ended(c->s, w, c->i, FILE_PRESENT, NULL);
}

static void plan_head(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *err)
{
    struct head *h = ctx;
    struct comparing *c = h->all;
    struct target *t = c->s->run->targets[c->i];
    hfc_autobuf struct hfc_buf key = HFC_BUF(2 * HFC_KEY_MAX);
    struct hfc_error full = {0};

    snapshot_key(c->s, h->w->path, &key);
    if (err != NULL && err->errnum != ENOENT)
        target_fail(t, err);
    else if (err != NULL || !content_matches(&h->w->id, reply->object.size, &reply->object.meta))
        is_missing(c, h->w, key.data);
    else if (target_stored(t, key.data, &reply->object, NULL, &full) < 0)
        target_fail(t, &full);
    else
        is_present(c, h->w);
    gather_end(&c->gather);
}

/* An object of the right size and unknown content may tell its hashes itself. */
static int compare_file(struct comparing *c, struct wanted *w, struct hfc_error *err)
{
    struct target *t = c->s->run->targets[c->i];
    hfc_autobuf struct hfc_buf key = HFC_BUF(2 * HFC_KEY_MAX);

    snapshot_key(c->s, w->path, &key);
    const struct hfc_entry *e = hfc_index_find(t->index, key.data);
    if (e != NULL && content_matches(&w->id, e->size, &e->meta)) {
        is_present(c, w);
        return 0;
    }
    if (e == NULL || e->size != w->id.size || e->meta.has_sha256) {
        is_missing(c, w, key.data);
        return 0;
    }
    if (c->nheads == HEADS_AT_ONCE) {
        if (gather_wait(t->loop, &c->gather, err) < 0)
            return -1;
        c->nheads = 0;
    }
    struct head *h = &c->heads[c->nheads++];
    *h = (struct head){c, w};
    gather_begin(&c->gather);
    (void)hfc_store_head(t->store, key.data, plan_head, h);
    return 0;
}

static void plan_withdrawn(void *ctx, const struct hfc_store_reply *reply,
                           const struct hfc_error *err)
{
    struct gather_target *w = ctx;

    (void)reply;
    if (err != NULL)
        target_fail(w->target, err);
    gather_end(w->gather);
}

static int withdraw(struct target *t, struct hfc_error *err)
{
    struct gather g = GATHER;
    struct gather_target w = {&g, t};

    gather_begin(&g);
    target_publish_index(t, plan_withdrawn, &w);
    return gather_wait(t->loop, &g, err);
}

static int compare_target(struct snapshot *s, size_t i, struct hfc_error *err)
{
    struct target *t = s->run->targets[i];
    struct comparing c = {.gather = GATHER, .s = s, .i = i};
    int rc = 0;

    for (size_t f = 0; f < s->nfiles && rc == 0 && !t->failed; f++)
        if (s->files[f].wanted)
            rc = compare_file(&c, &s->files[f], err);
    /* Waited for after a stop, too: what is under way points to here. */
    if (gather_wait(t->loop, &c.gather, err) < 0 || rc < 0)
        return -1;
    if (c.withdrawn && hfc_index_remove_snapshot(t->index, s->folder, s->commit))
        t->dirty = true;
    if (c.withdrawn && !t->failed && !s->run->dry_run && withdraw(t, err) < 0)
        return -1;
    if (t->failed)
        snapshot_fail(s, i, &t->error);
    return 0;
}

/* A dry run says what each target would get. */
static void say_plan(struct snapshot *s, struct wanted *w)
{
    for (size_t i = 0; i < s->run->ntargets; i++) {
        if ((w->missing & (1U << i)) == 0)
            continue;
        bool copy = content_find(&s->run->targets[i]->content, &w->id) != NULL;
        snapshot_file_ended(s, w, i, copy ? FILE_COPIED : FILE_STORED, NULL);
    }
}

static void start_transfers(struct snapshot *s)
{
    uint64_t files = 0, bytes = 0;

    for (size_t f = 0; f < s->nfiles; f++) {
        files += s->files[f].missing != 0;
        bytes += s->files[f].missing != 0 ? s->files[f].id.size : 0;
    }
    report_planned(s->run->report, files, bytes);
    for (size_t f = 0; f < s->nfiles; f++) {
        if (s->files[f].missing == 0)
            continue;
        if (s->run->dry_run)
            say_plan(s, &s->files[f]);
        else
            transfers_add(s->run->transfers, s, &s->files[f]);
    }
}

int snapshot_plan(struct snapshot *s, struct hfc_error *err)
{
    struct asking a = {.gather = GATHER, .s = s};

    gather_begin(&a.gather);
    (void)hub_info(s->run->hub, s->model, plan_info, &a);
    if (gather_wait(s->run->loop, &a.gather, err) < 0)
        return -1;
    if (s->error.msg[0] != '\0' || !compare_commits(s))
        return 0;
    gather_begin(&a.gather);
    (void)hub_tree(s->run->hub, s->model->kind, s->id, s->commit, plan_file, plan_listed, &a);
    if (gather_wait(s->run->loop, &a.gather, err) < 0)
        return -1;
    check_files(s);
    for (size_t i = 0; i < s->run->ntargets && s->error.msg[0] == '\0'; i++)
        if (s->in[i].standing == STANDING_BEHIND && compare_target(s, i, err) < 0)
            return -1;
    if (s->error.msg[0] == '\0')
        start_transfers(s);
    return 0;
}
