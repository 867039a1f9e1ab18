/* report_say.c: what people and logs read, line by line; see report_parts.h.
 *
 * All to stderr, but for the plan of a dry run, which is what was asked for and goes to stdout.
 */
#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "glyph.h"
#include "report_parts.h"

enum { LINE_MAX_BYTES = 8192, SHOWN_MAX_BYTES = 10 * LINE_MAX_BYTES };

/* In one write, so that lines of several processes do not mix. */
void report_put(struct report *r, FILE *to, const char *text)
{
    hfc_autobuf struct hfc_buf line = HFC_BUF(SHOWN_MAX_BYTES + 1);

    hfc_glyph_add(&line, text, strlen(text));
    hfc_buf_char(&line, '\n');
    report_erase(r);
    (void)fwrite(line.data, 1, line.len, to);
    (void)fflush(to);
}

/* Longer lines are cut. */
void report_line(struct report *r, enum report_level level, const char *fmt, ...)
{
    static const char *const prefixes[] = {
        "hfcache-refresh: error: ", "hfcache-refresh: warning: ", "", ""};
    char line[LINE_MAX_BYTES];
    size_t n = strlen(prefixes[level]);
    va_list ap;

    if ((level == REPORT_INFO && r->options.quiet) ||
        (level == REPORT_DETAIL && !r->options.verbose))
        return;
    memcpy(line, prefixes[level], n);
    va_start(ap, fmt);
    (void)vsnprintf(line + n, sizeof(line) - n, fmt, ap);
    va_end(ap);
    report_put(r, stderr, line);
}

/* The file under way, to know how long it took. Its name is what report_begin() was told. */
static const struct report_progress *find_progress(const struct report *r,
                                                   const struct file_report *f)
{
    size_t n = strlen(f->model);

    for (const struct report_progress *p = r->first; p != NULL; p = p->next)
        if (strncmp(p->name, f->model, n) == 0 && p->name[n] == ' ' &&
            strcmp(p->name + n + 1, f->path) == 0)
            return p;
    return NULL;
}

/* "12 s (105 MB/s)"; no rate where it would mean nothing. */
static void add_amount_and_time(struct hfc_buf *out, uint64_t bytes, int64_t ms)
{
    report_add_time(out, ms);
    if (ms == 0 || bytes == 0)
        return;
    hfc_buf_str(out, " (");
    report_add_rate(out, (double)bytes * 1000 / (double)ms);
    hfc_buf_char(out, ')');
}

/* A copy inside the bucket takes no time worth telling. */
static void add_file_size(const struct report *r, const struct file_report *f, struct hfc_buf *out)
{
    const struct report_progress *p = find_progress(r, f);

    hfc_buf_char(out, ' ');
    report_add_size(out, f->size);
    if (f->outcome != FILE_STORED || p == NULL)
        return;
    hfc_buf_str(out, " in ");
    add_amount_and_time(out, f->size, hfc_now_ms() - p->rate.began);
}

/* On a terminal the block shows files; lines of them are for those who want all. */
void report_say_file(struct report *r, const struct file_report *f)
{
    static const char *const words[] = {"present", "copied", "stored", "failed"};
    static const char *const plans[] = {"present", "would copy", "would store", "failed"};
    hfc_autobuf struct hfc_buf line = HFC_BUF(LINE_MAX_BYTES);
    bool failed = f->outcome == FILE_FAILED, dry_run = r->options.dry_run;
    bool wanted = dry_run || (r->terminal ? r->options.verbose : !r->options.quiet);

    assert(f->outcome < FILE_OUTCOMES && failed == (f->error != NULL));
    if (f->outcome == FILE_PRESENT || (!failed && !wanted))
        return;
    hfc_buf_printf(&line, "%s  %s %s", (dry_run ? plans : words)[f->outcome], f->model, f->path);
    if (!failed)
        add_file_size(r, f, &line);
    hfc_buf_printf(&line, " -> %s", f->target);
    if (failed)
        hfc_buf_printf(&line, ": %s", f->error->msg);
    report_put(r, dry_run && !failed ? stdout : stderr, line.data);
}

static void add_count(struct hfc_buf *out, uint64_t n, const char *one)
{
    hfc_buf_printf(out, "%llu %s%s", (unsigned long long)n, one, n == 1 ? "" : "s");
}

/* "12 files, 3.4 GiB stored, 2 files copied". */
static void add_work(struct hfc_buf *out, const uint64_t *files, const uint64_t *bytes,
                     bool dry_run)
{
    if (files[FILE_STORED] > 0) {
        add_count(out, files[FILE_STORED], "file");
        hfc_buf_str(out, ", ");
        report_add_size(out, bytes[FILE_STORED]);
        hfc_buf_str(out, dry_run ? " to store" : " stored");
    }
    if (files[FILE_COPIED] > 0) {
        hfc_buf_str(out, files[FILE_STORED] > 0 ? ", " : "");
        add_count(out, files[FILE_COPIED], "file");
        hfc_buf_str(out, dry_run ? " to copy" : " copied");
    }
}

static void add_model_work(const struct report *r, const struct model_report *m,
                           struct hfc_buf *out)
{
    if (m->files[FILE_STORED] + m->files[FILE_COPIED] > 0) {
        hfc_buf_str(out, ": ");
        add_work(out, m->files, m->bytes, r->options.dry_run);
    }
    if (m->outcome == MODEL_PUBLISHED) {
        hfc_buf_str(out, " in ");
        report_add_time(out, m->milliseconds);
    }
}

/* One that failed for all buckets has no target. The commit is shown as git shortens it. */
void report_say_model(struct report *r, const struct model_report *m)
{
    static const char *const words[] = {"unchanged", "published", "would publish", "failed"};
    hfc_autobuf struct hfc_buf line = HFC_BUF(LINE_MAX_BYTES);
    bool failed = m->outcome == MODEL_FAILED, dry_run = r->options.dry_run;

    assert(m->outcome <= MODEL_FAILED);
    if (!failed && !dry_run && r->options.quiet)
        return;
    hfc_buf_printf(&line, "%s  %s@%s", words[m->outcome], m->model, m->revision);
    if (m->commit != NULL && *m->commit != '\0')
        hfc_buf_printf(&line, " %.12s", m->commit);
    if (m->target != NULL)
        hfc_buf_printf(&line, " -> %s", m->target);
    if (failed)
        hfc_buf_printf(&line, ": %s", m->error != NULL ? m->error->msg : "no reason was given");
    else
        add_model_work(r, m, &line);
    report_put(r, dry_run && !failed ? stdout : stderr, line.data);
}

/* Its end, or what is known of it if the run broke off. */
static void say_bucket(struct report *r, const struct report_bucket *b)
{
    hfc_autobuf struct hfc_buf line = HFC_BUF(LINE_MAX_BYTES);

    if (b->error != NULL) {
        hfc_buf_printf(&line, "failed  bucket %s: %s", b->url, b->error);
        report_put(r, stderr, line.data);
        return;
    }
    hfc_buf_printf(&line, "bucket  %s: ", b->url);
    add_count(&line, b->objects, "object");
    hfc_buf_str(&line, ", ");
    report_add_size(&line, b->bytes);
    hfc_buf_str(&line, "; ");
    add_count(&line, b->stats.requests, "request");
    if (b->stats.retries > 0)
        hfc_buf_printf(&line, ", %llu of them again", (unsigned long long)b->stats.retries);
    if (b->pruned > 0) {
        hfc_buf_str(&line, "; ");
        add_count(&line, b->pruned, "object");
        hfc_buf_str(&line, " pruned");
    }
    report_line(r, REPORT_INFO, "%s", line.data);
}

void report_say_buckets(struct report *r)
{
    for (unsigned i = 0; i < r->n_buckets; i++)
        say_bucket(r, &r->buckets[i]);
}

/* "3 models: 1 published, 2 unchanged". */
static void add_models(const struct report *r, struct hfc_buf *out)
{
    static const struct {
        enum model_outcome outcome;
        const char *word;
    } order[] = {{MODEL_PUBLISHED, "published"},
                 {MODEL_PLANNED, "to publish"},
                 {MODEL_UNCHANGED, "unchanged"},
                 {MODEL_FAILED, "failed"}};
    uint64_t all = 0;
    const char *before = ": ";

    for (size_t i = 0; i <= MODEL_FAILED; i++)
        all += r->models[i];
    add_count(out, all, "model");
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        uint64_t n = r->models[order[i].outcome];
        if (n == 0)
            continue;
        hfc_buf_printf(out, "%s%llu %s", before, (unsigned long long)n, order[i].word);
        before = ", ";
    }
}

/* Sums over all buckets: a file that is stored in two counts twice, as it was sent twice. */
static void add_all_work(const struct report *r, struct hfc_buf *out)
{
    uint64_t files[FILE_OUTCOMES], bytes[FILE_OUTCOMES];

    for (int i = 0; i < FILE_OUTCOMES; i++) {
        files[i] = report_sum(r, false, (enum file_outcome)i);
        bytes[i] = report_sum(r, true, (enum file_outcome)i);
    }
    if (files[FILE_STORED] + files[FILE_COPIED] == 0)
        hfc_buf_str(out, r->options.dry_run ? "nothing to store" : "nothing stored");
    add_work(out, files, bytes, r->options.dry_run);
    if (r->n_buckets > 1)
        hfc_buf_printf(out, " in %u buckets", r->n_buckets);
    if (r->failed_files > 0) {
        hfc_buf_str(out, ", ");
        add_count(out, r->failed_files, "file");
        hfc_buf_str(out, " failed");
    }
    hfc_buf_str(out, " in ");
    add_amount_and_time(out, r->options.dry_run ? 0 : bytes[FILE_STORED], report_elapsed_ms(r));
}

void report_say_summary(struct report *r)
{
    hfc_autobuf struct hfc_buf line = HFC_BUF(LINE_MAX_BYTES);

    add_models(r, &line);
    hfc_buf_str(&line, "; ");
    add_all_work(r, &line);
    hfc_buf_str(&line, "; hub ");
    add_count(&line, r->hub.api + r->hub.resolvers + r->hub.cdn, "request");
    hfc_buf_str(&line, ", s3 ");
    add_count(&line, report_s3_requests(r), "request");
    report_put(r, stderr, line.data);
    if (r->interrupted)
        report_put(r, stderr,
                   "interrupted: what is stored stays, and the same command goes on from there");
}
