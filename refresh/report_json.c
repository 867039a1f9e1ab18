/* report_json.c: the JSON report; docs/report-format.md describes its keys.
 *
 * Members of the document, and elements of its lists, stand on a line each and are made one by one:
 * a list of thousands of models never exists as a tree.
 */
#include <assert.h>
#include <string.h>

#include <jansson.h>

#include "cleanup.h"
#include "need.h"
#include "report_parts.h"

enum { SCHEMA_VERSION = 1 };

struct writer {
    struct hfc_buf *out;
    bool comma; /* something stands before the next member or element */
};

/* The buffer remembers a failure; jansson need not stop. */
static int append(const char *bytes, size_t n, void *ctx)
{
    hfc_buf_add(ctx, bytes, n);
    return 0;
}

static void next(struct writer *w)
{
    hfc_buf_str(w->out, w->comma ? ",\n" : "\n");
    w->comma = true;
}

/* Takes the value over. */
static void value(struct writer *w, json_t *v)
{
    need(v);
    (void)json_dump_callback(v, append, w->out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(v);
}

static void member(struct writer *w, const char *name, json_t *v)
{
    next(w);
    hfc_buf_printf(w->out, "\"%s\": ", name);
    value(w, v);
}

/* The same in a list. */
static void element(struct writer *w, json_t *v)
{
    next(w);
    hfc_buf_str(w->out, "  ");
    value(w, v);
}

static void begin_list(struct writer *w, const char *name)
{
    next(w);
    hfc_buf_printf(w->out, "\"%s\": [", name);
    w->comma = false;
}

static void end_list(struct writer *w)
{
    hfc_buf_str(w->out, w->comma ? "\n]" : "]");
    w->comma = true;
}

/* A key of an object in memory; takes the value over. */
static void set(json_t *object, const char *key, json_t *v)
{
    if (json_object_set_new(object, key, v) < 0)
        abort();
}

static void set_count(json_t *object, const char *key, uint64_t n)
{
    set(object, key, need(json_integer((json_int_t)n)));
}

/* Texts of servers need not be UTF-8; each byte that is none becomes a question mark. */
static json_t *text_of(const char *text)
{
    json_t *v = text != NULL ? json_string(text) : json_null();

    if (v != NULL)
        return v;
    hfc_autofree char *copy = need_copy(text, strlen(text));
    for (char *c = copy; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    return need(json_string(copy));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    set(object, key, text_of(text));
}

static json_t *seconds_of(int64_t ms)
{
    return need(json_real((double)ms / 1000));
}

static json_t *utc_of(time_t t)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(64);

    report_add_utc(&text, t);
    return need(json_string(text.data));
}

/* NULL where it was about all buckets. */
static const char *url_of(const struct report *r, unsigned target)
{
    return target == REPORT_ALL_TARGETS ? NULL : r->buckets[target].url;
}

/* Files, or their bytes, by how they ended. */
static json_t *counts_of(const uint64_t *n)
{
    json_t *counts = need(json_object());

    set_count(counts, "present", n[FILE_PRESENT]);
    set_count(counts, "copied", n[FILE_COPIED]);
    set_count(counts, "stored", n[FILE_STORED]);
    set_count(counts, "failed", n[FILE_FAILED]);
    return counts;
}

/* A model in one bucket. */
static json_t *row_of(const struct report *r, const struct report_row *row)
{
    static const char *const outcomes[] = {"unchanged", "published", "planned", "failed"};
    json_t *o = need(json_object());

    assert(row->outcome <= MODEL_FAILED);
    set_text(o, "url", url_of(r, row->target));
    set_text(o, "outcome", outcomes[row->outcome]);
    set_text(o, "error", row->error);
    set(o, "files", counts_of(row->files));
    set(o, "bytes", counts_of(row->bytes));
    set(o, "duration_seconds", seconds_of(row->milliseconds));
    return o;
}

/* A failure before any bucket was looked at is the model's own. */
static json_t *entry_of(const struct report *r, const struct report_entry *e)
{
    json_t *o = need(json_object());
    json_t *rows = need(json_array());
    const char *error = NULL;

    for (const struct report_row *row = e->first; row != NULL; row = row->next) {
        if (row->target == REPORT_ALL_TARGETS)
            error = row->error;
        else if (json_array_append_new(rows, row_of(r, row)) < 0)
            abort();
    }
    set_text(o, "model", e->model);
    set_text(o, "revision", e->revision);
    set_text(o, "commit", *e->commit != '\0' ? e->commit : NULL);
    set_text(o, "error", error);
    set(o, "targets", rows);
    return o;
}

static json_t *failure_of(const struct report *r, const struct report_failure *f)
{
    json_t *o = need(json_object());

    set_text(o, "model", f->model);
    set_text(o, "path", f->path);
    set_text(o, "target", url_of(r, f->target));
    set_text(o, "error", f->error);
    return o;
}

static json_t *bucket_of(const struct report_bucket *b)
{
    json_t *o = need(json_object());

    set_text(o, "url", b->url);
    set_text(o, "error", b->error);
    set_count(o, "requests", b->stats.requests);
    set_count(o, "retries", b->stats.retries);
    set_count(o, "throttled", b->stats.throttled);
    set_count(o, "bytes_in", b->stats.bytes_in);
    set_count(o, "bytes_out", b->stats.bytes_out);
    set_count(o, "objects", b->objects);
    set_count(o, "bytes", b->bytes);
    set_count(o, "pruned", b->pruned);
    return o;
}

static json_t *hub_of(const struct hub_stats *hub)
{
    json_t *o = need(json_object());
    json_t *requests = need(json_object());

    set_count(requests, "api", hub->api);
    set_count(requests, "resolve", hub->resolvers);
    set_count(requests, "cdn", hub->cdn);
    set(o, "requests", requests);
    set_count(o, "retries", hub->retries);
    set(o, "waits_seconds", seconds_of((int64_t)hub->held_ms));
    set_count(o, "bytes", hub->http.bytes_in);
    return o;
}

static void put_lists(struct writer *w, const struct report *r)
{
    begin_list(w, "targets");
    for (unsigned i = 0; i < r->n_buckets; i++)
        element(w, bucket_of(&r->buckets[i]));
    end_list(w);
    begin_list(w, "models");
    for (const struct report_entry *e = r->entries; e != NULL; e = e->hh.next)
        element(w, entry_of(r, e));
    end_list(w);
    member(w, "models_omitted", json_integer((json_int_t)r->rows_omitted));
    begin_list(w, "failures");
    for (const struct report_failure *f = r->failures; f != NULL; f = f->next)
        element(w, failure_of(r, f));
    end_list(w);
    member(w, "failures_total", json_integer((json_int_t)r->failed_files));
}

/* An interruption is told even if something failed before: what is missing has that reason. */
void report_json_text(const struct report *r, struct hfc_buf *out)
{
    struct writer w = {.out = out};
    bool failed = r->failed || r->report_failed;
    const char *status = r->interrupted ? "interrupted" : failed ? "failed" : "ok";

    assert(!r->running);
    hfc_buf_char(out, '{');
    member(&w, "version", json_integer(SCHEMA_VERSION));
    member(&w, "program", json_string("hfcache-refresh " HFC_VERSION));
    member(&w, "started", utc_of(r->started));
    member(&w, "finished", utc_of(r->finished));
    member(&w, "duration_seconds", seconds_of(r->took_ms));
    member(&w, "status", json_string(status));
    member(&w, "interrupted", json_boolean(r->interrupted));
    member(&w, "dry_run", json_boolean(r->options.dry_run));
    member(&w, "hub", hub_of(&r->hub));
    put_lists(&w, r);
    hfc_buf_str(out, "\n}\n");
}
