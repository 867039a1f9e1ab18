/* control_warm.c: fills the cache with models; see control.h.
 *
 * A model is gone through three times: its files are counted, then read, WARM_READS reads at once,
 * blocks that are there already left out; then it is looked whether they are all there, since what
 * was read may not have been kept. Writing comes after reading, so that may take a moment.
 *
 * Threads: the loop's, but for read_ended(), which marks a read under the control's lock and wakes
 * the loop.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "control_internal.h"
#include "model_walk.h"
#include "need.h"

enum {
    FILES_A_TURN = 64,
    LOOK_BLOCKS = 256,              /* looked at in one go for one that is missing */
    GIVE_UP_READS = 2 * WARM_READS, /* of a model, that failed */
    SETTLE_MS = 10 * 1000,          /* for what was read to get to the disk, once for a model */
};

enum phase { COUNTING, READING, CHECKING };

struct warm_read {
    struct read read;
    struct warm *warm;
    bool busy, ended; /* `ended` under the lock */
    int errnum;
};

struct warm {
    struct control *control;
    struct control_client *client; /* NULL: it has left, and reads are waited for */
    json_t *models;
    size_t model;
    unsigned incomplete; /* models that are not there in full */

    /* Of the current model: */
    enum phase phase;
    char folder[MODEL_FOLDER_MAX], path[HFC_KEY_MAX + 1];
    uint64_t files, files_done, bytes, bytes_done;
    unsigned failed_reads;
    int64_t settle_until; /* 0: nothing was waited for yet */
    char why[HFC_ERROR_MAX];

    struct blob *blob; /* being read */
    uint32_t block;    /* from which on nothing was asked for yet */
    bool fetched;      /* something of it was asked for */
    unsigned reading;
    struct warm_read reads[WARM_READS];
};

static void begin_phase(struct warm *w, enum phase phase)
{
    w->phase = phase;
    w->path[0] = '\0';
}

static void begin_model(struct warm *w)
{
    const char *name = json_string_value(json_array_get(w->models, w->model));
    int rc = walk_folder(name, w->folder, NULL);

    assert(rc == 0);
    (void)rc;
    w->files = w->files_done = w->bytes = w->bytes_done = 0;
    w->failed_reads = 0;
    w->settle_until = 0;
    w->why[0] = '\0';
    begin_phase(w, COUNTING);
}

struct warm *warm_start(struct control *c, struct control_client *client, json_t *models)
{
    unsigned i = 0;

    while (i < CONTROL_WARMS_MAX && c->warms[i] != NULL)
        i++;
    if (i == CONTROL_WARMS_MAX)
        return NULL;
    struct warm *w = need(calloc(1, sizeof(*w)));
    w->control = c;
    w->client = client;
    w->models = json_incref(models);
    begin_model(w);
    c->warms[i] = w;
    return w;
}

void warm_leave(struct warm *w)
{
    w->client = NULL;
}

void warm_free(struct warm *w)
{
    struct control *c = w->control;

    for (unsigned i = 0; i < WARM_READS; i++)
        if (w->reads[i].busy)
            blob_done(w->reads[i].read.blob);
    blob_done(w->blob);
    json_decref(w->models);
    for (unsigned i = 0; i < CONTROL_WARMS_MAX; i++)
        if (c->warms[i] == w)
            c->warms[i] = NULL;
    free(w);
}

/* Reads. */

/* Any thread. Once the lock is released the warm may be gone. */
static void read_ended(struct read *r, const struct iovec *pieces, unsigned n, int errnum)
{
    struct warm_read *mine = r->ctx;
    struct control *c = mine->warm->control;

    (void)pieces;
    (void)n;
    (void)pthread_mutex_lock(&c->lock);
    mine->ended = true;
    mine->errnum = errnum;
    (void)eventfd_write(c->wake, 1);
    (void)pthread_mutex_unlock(&c->lock);
}

/* The first reason is told; it names the file. */
static void note_failure(struct warm *w, const char *key, const char *why)
{
    if (w->why[0] == '\0')
        (void)snprintf(w->why, sizeof(w->why), "%.700s: %.200s", key, why);
}

static void end_read(struct warm *w, struct warm_read *r, int errnum)
{
    struct blob *blob = r->read.blob;

    w->reading--;
    r->busy = false;
    if (errnum == 0) {
        w->bytes_done += r->read.size;
    } else {
        note_failure(w, blob_info(blob)->key, strerror(errnum));
        w->failed_reads++;
        if (blob == w->blob) {
            /* The rest of it would fare no better. */
            blob_done(w->blob);
            w->blob = NULL;
        }
    }
    blob_done(blob);
}

static void collect_reads(struct warm *w)
{
    for (unsigned i = 0; i < WARM_READS; i++) {
        struct warm_read *r = &w->reads[i];
        (void)pthread_mutex_lock(&w->control->lock);
        bool ended = r->busy && r->ended;
        int errnum = r->errnum;
        (void)pthread_mutex_unlock(&w->control->lock);
        if (ended)
            end_read(w, r, errnum);
    }
}

static void start_read(struct warm *w, uint64_t offset, uint64_t size)
{
    struct warm_read *r = w->reads;

    while (r->busy)
        r++;
    assert(r < w->reads + WARM_READS && size > 0 && size <= READ_MAX);
    *r = (struct warm_read){.warm = w, .busy = true};
    r->read = (struct read){.blob = blob_again(w->blob),
                            .offset = offset,
                            .size = (uint32_t)size,
                            .done = read_ended,
                            .ctx = r};
    w->reading++;
    (void)engine_read(w->control->config.engine, &r->read, true);
}

/* Asks for the next blocks that are missing, as many as one read takes; ends the blob when there
 * are none. What is there counts as done. */
static void read_on(struct warm *w)
{
    uint32_t blocks = blob_blocks(w->blob), from = w->block;
    uint64_t size = blob_info(w->blob)->size;
    uint32_t at = blob_missing(w->blob, from, LOOK_BLOCKS);

    for (uint32_t i = from; i < at && i < blocks; i++)
        w->bytes_done += blob_block_size(w->blob, i);
    w->block = at;
    if (at < blocks && at - from < LOOK_BLOCKS) {
        /* What is in memory only would be answered from there, and not stored. */
        if (!w->fetched)
            engine_forget(w->control->config.engine, blob_info(w->blob)->id);
        w->fetched = true;
        uint64_t offset = (uint64_t)at * BLOCK_SIZE;
        uint64_t left = size - offset;
        w->block = at + READ_MAX / BLOCK_SIZE;
        start_read(w, offset, left < READ_MAX ? left : READ_MAX);
    }
    if (w->block >= blocks) {
        blob_done(w->blob);
        w->blob = NULL;
    }
}

/* Phases: each function does a little and answers whether there is more to do at once. */

/* The next file, in use. False: there is none. */
static bool next_file(struct warm *w, struct node *n, struct blob **blob)
{
    struct nametree *t = catalog_tree(w->control->config.catalog);
    struct nametree_strings strings;
    struct blob_info info;
    bool found;

    do
        found = model_next(t, w->folder, w->path, n);
    while (found && n->size == 0);
    if (found && blob != NULL) {
        nametree_info(t, n, &strings, &info);
        *blob = blob_use(w->control->config.cache, &info);
    }
    nametree_unref(t);
    return found;
}

static bool count_on(struct warm *w)
{
    struct node n;

    for (unsigned i = 0; i < FILES_A_TURN; i++) {
        if (!next_file(w, &n, NULL)) {
            begin_phase(w, READING);
            return true;
        }
        w->files++;
        w->bytes += n.size;
    }
    return true;
}

static bool take_file(struct warm *w)
{
    struct node n;

    if (w->failed_reads >= GIVE_UP_READS || !next_file(w, &n, &w->blob)) {
        if (w->reading > 0)
            return false;
        begin_phase(w, CHECKING);
        return true;
    }
    w->block = 0;
    w->fetched = false;
    if (w->blob == NULL)
        note_failure(w, w->path, "too many objects are in use");
    return true;
}

static bool read_phase(struct warm *w)
{
    for (unsigned i = 0; i < FILES_A_TURN; i++) {
        if (w->reading == WARM_READS)
            return false;
        if (w->blob != NULL)
            read_on(w);
        else if (!take_file(w) || w->phase != READING)
            return w->phase != READING;
        collect_reads(w);
    }
    return true;
}

static void end_model(struct warm *w);

/* False: it is not there in full yet. */
static bool is_settled(struct warm *w, struct blob *blob)
{
    int64_t now = hfc_now_ms();

    if (blob != NULL && blob_complete(blob)) {
        w->files_done++;
        return true;
    }
    if (blob == NULL) {
        note_failure(w, w->path, "too many objects are in use");
        return true;
    }
    if (w->settle_until == 0)
        w->settle_until = now + SETTLE_MS;
    if (now < w->settle_until && w->why[0] == '\0')
        return false;
    note_failure(w, blob_info(blob)->key,
                 "it did not stay in the cache: --cache-size may be too small");
    return true;
}

static bool check_on(struct warm *w)
{
    char before[HFC_KEY_MAX + 1];
    struct blob *blob = NULL;
    struct node n;

    for (unsigned i = 0; i < FILES_A_TURN; i++) {
        memcpy(before, w->path, sizeof(before));
        if (!next_file(w, &n, &blob)) {
            end_model(w);
            return true;
        }
        bool settled = is_settled(w, blob);
        blob_done(blob);
        if (!settled) {
            memcpy(w->path, before, sizeof(before));
            return false;
        }
    }
    return true;
}

/* Telling. */

static json_t *describe(const struct warm *w)
{
    return json_pack("{s:O,s:I,s:I,s:I,s:I}", "model", json_array_get(w->models, w->model), "files",
                     (json_int_t)w->files, "files_done", (json_int_t)w->files_done, "bytes",
                     (json_int_t)w->bytes, "bytes_done", (json_int_t)w->bytes_done);
}

static void end_model(struct warm *w)
{
    json_t *done = need(describe(w));

    if (w->files == 0)
        (void)snprintf(w->why, sizeof(w->why), "there is no such model in the store");
    else if (w->files_done >= w->files)
        w->why[0] = '\0';
    if (w->why[0] != '\0') {
        w->incomplete++;
        (void)json_object_set_new(done, "error", json_string(w->why));
    }
    control_say(w->control, w->client, json_pack("{s:o}", "done", done));
    w->model++;
    if (w->model < json_array_size(w->models))
        begin_model(w);
}

static void end_all(struct warm *w)
{
    struct control_client *client = w->client;
    char text[100];

    client->warm = NULL;
    (void)snprintf(text, sizeof(text), "%u of %zu models are not in the cache in full",
                   w->incomplete, json_array_size(w->models));
    control_end(w->control, client, json_object(), w->incomplete > 0 ? text : NULL);
}

/* Whether another turn is wanted. */
static bool go_on(struct warm *w)
{
    switch (w->phase) {
    case COUNTING:
        return count_on(w);
    case READING:
        return read_phase(w);
    case CHECKING:
    default:
        assert(w->phase == CHECKING);
        return check_on(w);
    }
}

void warm_turn(struct warm *w)
{
    struct control *c = w->control;

    collect_reads(w);
    bool again = w->client != NULL && go_on(w);
    if (w->client != NULL && w->model == json_array_size(w->models)) {
        end_all(w);
        warm_free(w);
        return;
    }
    if (w->client == NULL) {
        if (w->reading == 0)
            warm_free(w);
        return;
    }
    if (w->phase != COUNTING && control_progress(w->client))
        control_say(c, w->client, json_pack("{s:o}", "progress", describe(w)));
    if (again)
        control_again(c);
}
