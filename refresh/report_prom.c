/* report_prom.c: the run in Prometheus' text format 0.0.4; see report_parts.h.
 *
 * The same text is the textfile, the answer to GET /metrics and what is pushed. Times of success
 * outlive a run that fails: they are taken over from the textfile that is about to be replaced.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "need.h"
#include "report_parts.h"

#define PREFIX "hfcache_refresh_"
#define LAST_SUCCESS PREFIX "last_success_timestamp_seconds"
#define MODEL_SUCCESS PREFIX "model_last_success_timestamp_seconds"

/* The metric that is being written; two labels are enough for all. */
struct metric {
    struct hfc_buf *out;
    const char *name, *labels[2];
};

/* Names are ours, so a wrong one is a bug. */
static bool is_name(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    while (isalnum((unsigned char)*name) || *name == '_')
        name++;
    return *name == '\0';
}

/* All series of a metric have to stand together, behind these two lines. */
static struct metric begin(struct hfc_buf *out, const char *type, const char *name,
                           const char *label1, const char *label2, const char *help)
{
    assert(is_name(name) && strncmp(name, PREFIX, strlen(PREFIX)) == 0);
    assert(label1 == NULL || is_name(label1));
    assert(label2 == NULL || (label1 != NULL && is_name(label2)));
    hfc_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    return (struct metric){out, name, {label1, label2}};
}

static void add_escaped(struct hfc_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            hfc_buf_str(out, "\\n");
        else if (*text == '"' || *text == '\\')
            hfc_buf_printf(out, "\\%c", *text);
        else
            hfc_buf_char(out, *text);
    }
}

/* `{model="a",target="b"}` */
static void add_labels(const struct metric *m, struct hfc_buf *out, const char *value1,
                       const char *value2)
{
    const char *values[] = {value1, value2};

    for (int i = 0; i < 2; i++) {
        assert((m->labels[i] != NULL) == (values[i] != NULL));
        if (values[i] == NULL)
            break;
        hfc_buf_printf(out, "%c%s=\"", i == 0 ? '{' : ',', m->labels[i]);
        add_escaped(out, values[i]);
        hfc_buf_char(out, '"');
    }
    if (value1 != NULL)
        hfc_buf_char(out, '}');
}

static void series(const struct metric *m, const char *value1, const char *value2)
{
    hfc_buf_str(m->out, m->name);
    add_labels(m, m->out, value1, value2);
    hfc_buf_char(m->out, ' ');
}

/* Whole numbers are exact, however large. */
static void count(const struct metric *m, const char *value1, const char *value2, uint64_t n)
{
    series(m, value1, value2);
    hfc_buf_printf(m->out, "%" PRIu64 "\n", n);
}

/* A metric without labels. */
static void single(struct hfc_buf *out, const char *type, const char *name, uint64_t n,
                   const char *help)
{
    const struct metric m = begin(out, type, name, NULL, NULL, help);

    count(&m, NULL, NULL, n);
}

/* Times of success. */

/* A series of this run: written, or its old value to be kept. */
struct known {
    char *labels;
    bool written;
    UT_hash_handle hh;
};

struct success {
    struct metric metric;
    const struct report *r;
    struct known *known;
};

/* False: it is known already. */
static bool note(struct success *s, const char *labels, bool written)
{
    struct known *k;

    HASH_FIND_STR(s->known, labels, k);
    if (k != NULL)
        return false;
    k = need(calloc(1, sizeof(*k)));
    k->labels = need_copy(labels, strlen(labels));
    k->written = written;
    HASH_ADD_KEYPTR(hh, s->known, k->labels, strlen(k->labels), k);
    return true;
}

static void forget(struct success *s)
{
    struct known *k, *next;

    HASH_ITER(hh, s->known, k, next)
    {
        HASH_DEL(s->known, k);
        free(k->labels);
        free(k);
    }
}

/* One series; a second one of the same labels would make the whole text invalid. */
static void model_in_bucket(struct success *s, const struct report_entry *e, unsigned target,
                            bool well, time_t ended)
{
    hfc_autobuf struct hfc_buf labels = HFC_BUF(REPORT_TEXT_MAX);
    const char *url = s->r->buckets[target].url;

    add_labels(&s->metric, &labels, e->key, url);
    if (!note(s, labels.data, well) || !well)
        return;
    hfc_buf_printf(s->metric.out, "%s%s %lld\n", s->metric.name, labels.data, (long long)ended);
}

/* A dry run publishes nothing; what is unchanged is up to date all the same. */
static void model(struct success *s, const struct report_entry *e)
{
    for (const struct report_row *row = e->first; row != NULL; row = row->next) {
        bool well = row->outcome == MODEL_PUBLISHED || row->outcome == MODEL_UNCHANGED;
        unsigned first = row->target == REPORT_ALL_TARGETS ? 0 : row->target;
        unsigned end = row->target == REPORT_ALL_TARGETS ? s->r->n_buckets : first + 1;
        for (unsigned t = first; t < end; t++)
            model_in_bucket(s, e, t, well, row->ended);
    }
}

/* The rest of a line behind `name` if it is a series of that name with a number as its value: what
 * stands there was written by anybody. */
static const char *series_rest(const char *line, size_t n, const char *name)
{
    size_t len = strlen(name);
    char number[40], *end;
    const char *space = memrchr(line, ' ', n);

    if (space == NULL || n < len || memcmp(line, name, len) != 0 ||
        (size_t)(line + n - space) > sizeof(number))
        return NULL;
    size_t digits = (size_t)(line + n - space - 1);
    memcpy(number, space + 1, digits);
    number[digits] = '\0';
    (void)strtod(number, &end);
    return digits > 0 && *end == '\0' ? line + len : NULL;
}

/* An old series stays if its model failed this time, or was perhaps never looked at. */
static void keep_old_series(struct success *s, const char *line, size_t n)
{
    const char *rest = series_rest(line, n, MODEL_SUCCESS "{");
    struct known *k;

    if (rest == NULL)
        return;
    const char *labels = rest - 1;
    const char *end = memrchr(labels, ' ', (size_t)(line + n - labels));
    HASH_FIND(hh, s->known, labels, (size_t)(end - labels), k);
    if (k != NULL ? !k->written : s->r->interrupted)
        hfc_buf_printf(s->metric.out, "%.*s\n", (int)n, line);
}

/* First what this run knows, then what is kept of the old text. */
static void models_success(const struct report *r, const char *old, struct hfc_buf *out)
{
    struct success s = {.r = r};

    s.metric = begin(out, "gauge", MODEL_SUCCESS, "model", "target",
                     "When the model was last found to be, or brought, up to date in the bucket.");
    for (const struct report_entry *e = r->entries; e != NULL; e = e->hh.next)
        model(&s, e);
    while (*old != '\0') {
        size_t n = strcspn(old, "\n");
        keep_old_series(&s, old, n);
        old += n + (old[n] != '\0');
    }
    forget(&s);
}

/* Without any success the metric is left out: 0 would be a time long ago. */
static void run_success(const struct report *r, const char *old, struct hfc_buf *out)
{
    bool well = !r->running && !r->failed && !r->interrupted && !r->options.dry_run;
    const char *line = strstr(old, "\n" LAST_SUCCESS " ");
    size_t n = line != NULL ? strcspn(line + 1, "\n") : 0;

    if (!well && (n == 0 || series_rest(line + 1, n, LAST_SUCCESS " ") == NULL))
        return;
    const struct metric m =
        begin(out, "gauge", LAST_SUCCESS, NULL, NULL, "End of the last run that had no failure.");
    if (well)
        count(&m, NULL, NULL, (uint64_t)r->finished);
    else
        hfc_buf_printf(out, "%.*s\n", (int)n, line + 1);
}

/* Counts. */

/* All outcomes, also those that are 0: a series that comes and goes is hard to ask for. */
static void files(const struct report *r, struct hfc_buf *out, bool bytes)
{
    static const char *const outcomes[] = {"present", "copied", "stored", "failed"};
    const struct metric m = bytes ? begin(out, "counter", PREFIX "bytes_total", "target", "outcome",
                                          "Bytes of those files.")
                                  : begin(out, "counter", PREFIX "files_total", "target", "outcome",
                                          "Files of this run, by how they ended in the bucket.");

    for (unsigned i = 0; i < r->n_buckets; i++)
        for (int o = 0; o < FILE_OUTCOMES; o++)
            count(&m, r->buckets[i].url, outcomes[o],
                  (bytes ? r->buckets[i].byte_count : r->buckets[i].file_count)[o]);
}

static void hub(const struct report *r, struct hfc_buf *out)
{
    const struct metric m = begin(out, "counter", PREFIX "hub_requests_total", "kind", NULL,
                                  "Requests to the Hub and its content delivery network.");

    count(&m, "api", NULL, r->hub.api);
    count(&m, "resolve", NULL, r->hub.resolvers);
    count(&m, "cdn", NULL, r->hub.cdn);
    single(out, "counter", PREFIX "hub_retries_total", r->hub.retries,
           "Requests to the Hub that were made again.");
}

static void buckets(const struct report *r, struct hfc_buf *out)
{
    const struct metric requests = begin(out, "counter", PREFIX "s3_requests_total", "target", NULL,
                                         "Requests to the bucket.");
    for (unsigned i = 0; i < r->n_buckets; i++)
        count(&requests, r->buckets[i].url, NULL, r->buckets[i].stats.requests);

    const struct metric retries = begin(out, "counter", PREFIX "s3_retries_total", "target", NULL,
                                        "Requests to the bucket that were made again.");
    for (unsigned i = 0; i < r->n_buckets; i++)
        count(&retries, r->buckets[i].url, NULL, r->buckets[i].stats.retries);
}

static void models(const struct report *r, struct hfc_buf *out)
{
    static const char *const outcomes[] = {"unchanged", "published", "planned", "failed"};
    const struct metric m = begin(out, "gauge", PREFIX "models", "outcome", NULL,
                                  "Models of this run, by their gravest end in any bucket.");

    for (size_t i = 0; i <= MODEL_FAILED; i++)
        count(&m, outcomes[i], NULL, r->models[i]);
}

void report_prom_text(const struct report *r, const char *old, struct hfc_buf *out)
{
    const struct metric info =
        begin(out, "gauge", PREFIX "build_info", "version", NULL, "The program's version.");
    count(&info, HFC_VERSION, NULL, 1);
    single(out, "gauge", PREFIX "running", r->running, "1 while the run goes on.");
    single(out, "gauge", PREFIX "last_run_timestamp_seconds",
           (uint64_t)(r->running ? r->started : r->finished),
           "End of the last run; its start while it goes on.");
    run_success(r, old, out);
    const struct metric duration = begin(out, "gauge", PREFIX "duration_seconds", NULL, NULL,
                                         "How long the run took, or has taken so far.");
    series(&duration, NULL, NULL);
    hfc_buf_printf(out, "%.3f\n", (double)report_elapsed_ms(r) / 1000);
    models(r, out);
    single(out, "gauge", PREFIX "failures", report_failure_count(r),
           "Models, files and buckets that failed.");
    files(r, out, false);
    files(r, out, true);
    hub(r, out);
    buckets(r, out);
    models_success(r, old, out);
}
