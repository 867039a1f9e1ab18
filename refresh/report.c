/* report.c: takes a run's events and keeps what the reports at its end need; see report.h.
 *
 * What is kept has caps: so many ends of models and failed files one by one, the rest as counts.
 * Who is told what is the business of the other report_*.c, see report_parts.h.
 */
#include "report.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "need.h"
#include "report_parts.h"

enum { KEY_MAX = 1024, BLOCK_MAX = 64 * 1024 };

static bool is_prom(const char *name)
{
    size_t n = strlen(name);

    return n >= 5 && strcmp(name + n - 5, ".prom") == 0;
}

/* Told at the start, not after hours of work. */
static int check_file(const char *path, struct hfc_error *err)
{
    const char *slash = strrchr(path, '/');
    hfc_autofree char *folder = slash == NULL   ? need_copy(".", 1)
                                : slash == path ? need_copy("/", 1)
                                                : need_copy(path, (size_t)(slash - path));
    struct stat st;

    if (stat(folder, &st) < 0)
        return hfc_error_set(err, errno, "report %s", path);
    if (!S_ISDIR(st.st_mode))
        return hfc_error_set(err, ENOTDIR, "report %s", path);
    if (access(folder, W_OK) < 0)
        return hfc_error_set(err, errno, "report %s", path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return hfc_error_set(err, EISDIR, "report %s", path);
    return 0;
}

/* What others are told by; the files are written at the end. */
static int open_outlets(struct report *r, struct hfc_error *err)
{
    const struct report_options *o = &r->options;

    for (size_t i = 0; o->files != NULL && o->files[i] != NULL; i++)
        if (check_file(o->files[i], err) < 0)
            return -1;
    if (o->listen != NULL && (r->server = report_serve(r, o->listen, err)) == NULL)
        return hfc_error_prefix(err, "--listen %s", o->listen);
    if (o->push != NULL && (r->pusher = report_pusher_new(r, o->push, err)) == NULL)
        return hfc_error_prefix(err, "--push");
    return 0;
}

struct report *report_new(struct hfc_loop *loop, const struct report_options *options,
                          struct hfc_error *err)
{
    struct report *r = need(calloc(1, sizeof(*r)));

    r->loop = loop;
    r->options = *options;
    r->started = time(NULL);
    r->began = hfc_now_ms();
    r->rate.began = r->rate.at = r->began;
    r->running = true;
    r->last = &r->first;
    r->failures_end = &r->failures;
    hfc_buf_init(&r->block, BLOCK_MAX);
    /* Who asked for quiet gets no block either, and so no timer. */
    r->terminal = !options->quiet && report_is_terminal();
    if (open_outlets(r, err) < 0) {
        report_free(r);
        return NULL;
    }
    if (!options->quiet)
        report_start_ticking(r);
    return r;
}

/* Frees a model and its ends. */
static void free_entry(struct report_entry *e)
{
    while (e->first != NULL) {
        struct report_row *row = e->first;
        e->first = row->next;
        free(row->error);
        free(row);
    }
    free(e->key);
    free(e->model);
    free(e->revision);
    free(e->commit);
    free(e);
}

static void free_failures(struct report_failure *f)
{
    while (f != NULL) {
        struct report_failure *next = f->next;
        free(f->model);
        free(f->path);
        free(f->error);
        free(f);
        f = next;
    }
}

void report_free(struct report *r)
{
    struct report_entry *e, *next;

    if (r == NULL)
        return;
    hfc_timer_stop(&r->tick);
    report_erase(r); /* after an error there was no report_finish() */
    report_server_free(r->server);
    report_pusher_free(r->pusher);
    while (r->first != NULL)
        report_end(r->first);
    HASH_ITER(hh, r->entries, e, next)
    {
        HASH_DEL(r->entries, e);
        free_entry(e);
    }
    free_failures(r->failures);
    for (unsigned i = 0; i < r->n_buckets; i++) {
        free(r->buckets[i].url);
        free(r->buckets[i].error);
    }
    hfc_buf_free(&r->block);
    free(r);
}

/* Files under way. */

void report_planned(struct report *r, uint64_t files, uint64_t bytes)
{
    r->planned_files += files;
    r->planned_bytes += bytes;
}

struct report_progress *report_begin(struct report *r, const char *name, uint64_t size)
{
    struct report_progress *p = need(calloc(1, sizeof(*p)));
    int64_t now = hfc_now_ms();

    *p = (struct report_progress){.report = r, .link = r->last, .size = size};
    p->name = need_copy(name, strlen(name));
    p->rate.began = p->rate.at = now;
    *r->last = p;
    r->last = &p->next;
    return p;
}

/* The total never falls: bytes that have to come again have moved as well. */
void report_moved(struct report_progress *p, uint64_t bytes)
{
    if (bytes > p->moved)
        p->report->moved += bytes - p->moved;
    p->moved = bytes;
}

/* A file that failed is done with, too, or the total would never be reached. */
void report_end(struct report_progress *p)
{
    struct report *r = p->report;

    r->ended_files++;
    r->ended_bytes += p->size;
    *p->link = p->next;
    if (p->next != NULL)
        p->next->link = p->link;
    else
        r->last = p->link;
    free(p->name);
    free(p);
}

/* What is kept. */

static char *copy_or_null(const char *text)
{
    return text != NULL ? need_copy(text, strlen(text)) : NULL;
}

static char *copy_error(const struct hfc_error *err)
{
    return err != NULL ? need_copy(err->msg, sizeof(err->msg)) : NULL;
}

/* Its place in the list; one that was not heard of before gets the next. There are few: the list is
 * searched. */
static unsigned bucket_index(struct report *r, const char *url)
{
    unsigned i = 0;

    if (url == NULL)
        return REPORT_ALL_TARGETS;
    while (i < r->n_buckets && strcmp(r->buckets[i].url, url) != 0)
        i++;
    assert(i < TARGETS_MAX);
    if (i == r->n_buckets) {
        r->buckets[i].url = copy_or_null(url);
        r->n_buckets++;
    }
    return i;
}

static void keep_failure(struct report *r, const struct file_report *f, unsigned target)
{
    if (r->failed_files++ >= REPORT_FAILURES_MAX)
        return;
    struct report_failure *kept = need(calloc(1, sizeof(*kept)));
    kept->model = copy_or_null(f->model);
    kept->path = copy_or_null(f->path);
    kept->error = copy_error(f->error);
    kept->target = target;
    *r->failures_end = kept;
    r->failures_end = &kept->next;
}

/* Files that were present are counted at the end of their model: most of them are never looked at
 * one by one. */
void report_file(struct report *r, const struct file_report *f)
{
    unsigned target = bucket_index(r, f->target);

    assert(target < TARGETS_MAX && f->outcome < FILE_OUTCOMES);
    if (f->outcome != FILE_PRESENT) {
        r->buckets[target].file_count[f->outcome]++;
        r->buckets[target].byte_count[f->outcome] += f->size;
    }
    if (f->outcome == FILE_FAILED) {
        r->failed = true;
        keep_failure(r, f, target);
    }
    report_say_file(r, f);
}

/* The model at this revision; NULL if it is a new one and there is no room. */
static struct report_entry *find_entry(struct report *r, const struct model_report *m)
{
    hfc_autobuf struct hfc_buf key = HFC_BUF(KEY_MAX);
    struct report_entry *e;

    hfc_buf_str(&key, m->model);
    if (strcmp(m->revision, "main") != 0)
        hfc_buf_printf(&key, "@%s", m->revision);
    HASH_FIND_STR(r->entries, key.data, e);
    if (e != NULL || r->rows >= REPORT_ROWS_MAX)
        return e;
    e = need(calloc(1, sizeof(*e)));
    e->key = copy_or_null(key.data);
    e->model = copy_or_null(m->model);
    e->revision = copy_or_null(m->revision);
    e->commit = copy_or_null(m->commit != NULL ? m->commit : "");
    e->last = &e->first;
    HASH_ADD_KEYPTR(hh, r->entries, e->key, strlen(e->key), e);
    return e;
}

/* Of a model that ended differently from bucket to bucket the gravest end counts. */
static void count_model(struct report *r, struct report_entry *e, enum model_outcome outcome)
{
    static_assert(MODEL_UNCHANGED < MODEL_PUBLISHED && MODEL_PUBLISHED < MODEL_PLANNED &&
                      MODEL_PLANNED < MODEL_FAILED,
                  "in the order of gravity");
    if (e == NULL || e->first == NULL) {
        r->models[outcome]++;
    } else if (outcome > e->outcome) {
        r->models[e->outcome]--;
        r->models[outcome]++;
    } else {
        return;
    }
    if (e != NULL)
        e->outcome = outcome;
}

/* Beyond the cap it is only counted. */
static void keep_row(struct report *r, struct report_entry *e, const struct model_report *m,
                     unsigned target)
{
    if (e == NULL || r->rows >= REPORT_ROWS_MAX) {
        r->rows_omitted++;
        return;
    }
    struct report_row *row = need(calloc(1, sizeof(*row)));
    *row = (struct report_row){.target = target,
                               .outcome = m->outcome,
                               .milliseconds = m->milliseconds,
                               .ended = time(NULL)};
    memcpy(row->files, m->files, sizeof(row->files));
    memcpy(row->bytes, m->bytes, sizeof(row->bytes));
    row->error = copy_error(m->error);
    *e->last = row;
    e->last = &row->next;
    r->rows++;
}

/* What is stored and copied has been counted file by file already. */
void report_model(struct report *r, const struct model_report *m)
{
    unsigned target = bucket_index(r, m->target);
    struct report_entry *e = find_entry(r, m);

    count_model(r, e, m->outcome);
    keep_row(r, e, m, target);
    if (m->outcome == MODEL_FAILED)
        r->failed = true;
    if (target != REPORT_ALL_TARGETS) {
        r->buckets[target].file_count[FILE_PRESENT] += m->files[FILE_PRESENT];
        r->buckets[target].byte_count[FILE_PRESENT] += m->bytes[FILE_PRESENT];
    }
    report_say_model(r, m);
}

/* May come several times: the last one counts, and is what /metrics shows meanwhile. */
void report_target(struct report *r, const struct target_report *t)
{
    struct report_bucket *b = &r->buckets[bucket_index(r, t->url)];

    if (t->stats != NULL)
        b->stats = *t->stats;
    free(b->error);
    b->error = copy_error(t->error);
    b->objects = t->objects;
    b->bytes = t->bytes;
    b->pruned = t->pruned;
    if (t->error != NULL)
        r->failed = true;
}

void report_hub(struct report *r, const struct hub_stats *stats)
{
    r->hub = *stats;
}

uint64_t report_sum(const struct report *r, bool bytes, enum file_outcome outcome)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < r->n_buckets; i++)
        sum += (bytes ? r->buckets[i].byte_count : r->buckets[i].file_count)[outcome];
    return sum;
}

uint64_t report_s3_requests(const struct report *r)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < r->n_buckets; i++)
        sum += r->buckets[i].stats.requests;
    return sum;
}

/* Whatever would make somebody look: a number for alerts. */
uint64_t report_failure_count(const struct report *r)
{
    uint64_t sum = r->failed_files + r->models[MODEL_FAILED];

    for (unsigned i = 0; i < r->n_buckets; i++)
        sum += r->buckets[i].error != NULL;
    return sum;
}

int64_t report_elapsed_ms(const struct report *r)
{
    return r->running ? hfc_now_ms() - r->began : r->took_ms;
}

/* The end. */

/* A report is not the work: the run goes on, and only its exit code tells. */
static void warn(struct report *r, const struct hfc_error *err)
{
    report_line(r, REPORT_WARNING, "%s", err->msg);
    r->report_failed = true;
}

/* A file that can't be read is replaced as if it had not been there. */
static void write_file(struct report *r, const char *path)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(REPORT_TEXT_MAX);
    hfc_autobuf struct hfc_buf old = HFC_BUF(REPORT_TEXT_MAX);
    struct hfc_error err;

    if (is_prom(path)) {
        (void)hfc_file_read(AT_FDCWD, path, &old, NULL);
        report_prom_text(r, old.data, &text);
    } else {
        report_json_text(r, &text);
    }
    int rc = hfc_buf_failed(&text) ? hfc_error_set(&err, EFBIG, "%s", path)
                                   : hfc_file_replace(path, text.data, text.len, &err);
    if (rc < 0) {
        (void)hfc_error_prefix(&err, "the report was not written");
        warn(r, &err);
    }
}

/* JSON comes last: it says how all went. */
static void write_files(struct report *r, bool prom)
{
    for (size_t i = 0; r->options.files != NULL && r->options.files[i] != NULL; i++)
        if (is_prom(r->options.files[i]) == prom)
            write_file(r, r->options.files[i]);
}

/* Standard output is looked at as well: a plan that was cut off by a full disk is no plan. */
static void write_reports(struct report *r)
{
    struct hfc_error err;

    if (r->options.dry_run && (fflush(stdout) != 0 || ferror(stdout))) {
        (void)hfc_error_set(&err, errno, "the plan was not printed");
        warn(r, &err);
    }
    write_files(r, true);
    if (r->pusher != NULL && report_push_last(r->pusher, &err) < 0)
        warn(r, &err);
    write_files(r, false);
}

/* The summary is the very last line, below all warnings. */
int report_finish(struct report *r, bool interrupted)
{
    assert(r->running);
    r->finished = time(NULL);
    r->took_ms = hfc_now_ms() - r->began;
    r->running = false;
    r->interrupted = interrupted;
    hfc_timer_stop(&r->tick);
    report_erase(r);
    report_say_buckets(r);
    write_reports(r);
    report_say_summary(r);
    return r->failed || r->report_failed || interrupted;
}
