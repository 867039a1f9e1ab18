/* models.c: reads models.txt; see models.h for the grammar.
 *
 * A line is first looked at as text (UTF-8, no controls), then cut into words; the first word is
 * the repository, each further one an option. A line with a fault is not taken, but what else is
 * wrong with it is still looked for.
 */
#include "models.h"

#include <assert.h>
#include <fcntl.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "file.h"
#include "glyph.h"
#include "models_internal.h"
#include "need.h"
#include "unicode.h"

/* A repository that was read, for finding it a second time. */
struct seen {
    const char *key; /* kind, repo and revision; follows the struct */
    unsigned line;
};

struct reader {
    struct models *out;
    size_t room; /* allocated in out->list */
    models_report *report;
    void *ctx;
    size_t findings;
    const char *line_start;
    unsigned line;
    void *seen; /* tsearch(3) */
};

/* Columns are counted in characters, as editors do. */
static unsigned column_of(const struct reader *r, const char *at)
{
    unsigned column = 1;
    uint32_t c;

    assert(at >= r->line_start);
    for (const char *p = r->line_start; p < at; column++)
        p += hfc_utf8_next(p, (size_t)(at - p), &c);
    return column;
}

__attribute__((format(printf, 4, 5))) static void fault(struct reader *r, const char *at,
                                                        const char *hint, const char *fmt, ...)
{
    struct hfc_error message;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(message.msg, sizeof(message.msg), fmt, ap);
    va_end(ap);
    r->findings++;
    r->report(r->ctx, r->line, column_of(r, at), message.msg, hint);
}

/* What a word's parser found (models_words.c), at its place. */
static void word_fault(void *ctx, const char *at, const char *message, const char *hint)
{
    fault(ctx, at, hint, "%s", message);
}

static int compare_seen(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->key, ((const struct seen *)b)->key);
}

/* A repository may be listed once: of two lines with different globs neither is the right one. */
static bool is_new(struct reader *r, const struct model *m, const char *at)
{
    size_t n = strlen(m->repo) + strlen(m->revision) + 4;
    struct seen *s = need(malloc(sizeof(*s) + n));
    char *key = (char *)(s + 1);
    (void)snprintf(key, n, "%d %s@%s", m->kind, m->repo, m->revision);
    *s = (struct seen){.key = key, .line = r->line};
    struct seen *first = *(struct seen **)need(tsearch(s, &r->seen, compare_seen));
    if (first == s)
        return true;
    fault(r, at, "put all of its globs into one line", "%s@%s is in line %u already", m->repo,
          m->revision, first->line);
    free(s);
    return false;
}

static void keep(struct reader *r, struct model *m)
{
    if (r->out->n == r->room) {
        r->room = r->room == 0 ? 16 : 2 * r->room;
        r->out->list = need(reallocarray(r->out->list, r->room, sizeof(*r->out->list)));
    }
    r->out->list[r->out->n++] = *m;
    *m = (struct model){0};
}

/* The first character that has no business in a text file, or NULL. */
static const char *bad_character(const char *p, const char *end, uint32_t *c)
{
    while (p < end) {
        size_t n = hfc_utf8_next(p, (size_t)(end - p), c);
        if (*c == HFC_UTF8_BAD || (*c != '\t' && unicode_is_control(*c)))
            return p;
        p += n;
    }
    return NULL;
}

static bool is_text(struct reader *r, const char *p, const char *end)
{
    uint32_t c;
    const char *bad = bad_character(p, end, &c);

    if (bad == NULL)
        return true;
    if (c == HFC_UTF8_BAD)
        fault(r, bad, "save the file as UTF-8", "byte 0x%02X is not UTF-8", (unsigned char)*bad);
    else
        fault(r, bad, NULL, "control character U+%04X", (unsigned)c);
    return false;
}

static bool next_word(struct word *w, const char *end)
{
    w->at += w->n;
    while (w->at < end && (*w->at == ' ' || *w->at == '\t'))
        w->at++;
    w->n = 0;
    while (w->at + w->n < end && w->at[w->n] != ' ' && w->at[w->n] != '\t')
        w->n++;
    return w->n > 0;
}

/* The kind decides what is a duplicate, so that is looked for last. */
static void read_words(struct reader *r, struct word w, const char *end)
{
    __attribute__((cleanup(model_free))) struct model m = {.line = r->line};
    struct word_report report = {word_fault, r};
    struct options_seen options = {false};
    const char *first = w.at;
    size_t before = r->findings;

    word_repo(w, &m, &report);
    while (next_word(&w, end))
        word_option(w, &m, &options, &report);
    if (r->findings == before && is_new(r, &m, first))
        keep(r, &m);
}

static void read_line(struct reader *r, const char *end)
{
    if (end > r->line_start && end[-1] == '\r')
        end--;
    if (!is_text(r, r->line_start, end))
        return;
    const char *comment = memchr(r->line_start, '#', (size_t)(end - r->line_start));
    if (comment != NULL)
        end = comment;
    struct word w = {r->line_start, 0};
    if (next_word(&w, end))
        read_words(r, w, end);
}

size_t models_parse(const char *text, size_t n, struct models *out, models_report *report,
                    void *ctx)
{
    struct reader r = {.out = out, .report = report, .ctx = ctx};
    const char *p = text, *end = text + n;

    *out = (struct models){0};
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        p += 3;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        r.line++;
        r.line_start = p;
        read_line(&r, newline != NULL ? newline : end);
        p = newline != NULL ? newline + 1 : end;
    }
    tdestroy(r.seen, free);
    if (r.findings > 0)
        models_free(out);
    return r.findings;
}

int models_read(const char *path, struct models *out, models_report *report, void *ctx,
                struct hfc_error *err)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(MODELS_BYTES_MAX);

    *out = (struct models){0};
    if (hfc_file_read(AT_FDCWD, path, &text, err) < 0)
        return -1;
    size_t findings = models_parse(text.data, text.len, out, report, ctx);
    if (findings == 0)
        return 0;
    return hfc_error_set(err, 0, "%s: %zu error%s", path, findings, findings == 1 ? "" : "s");
}

/* Keeps the first fault for the message: there is one word and no line to point to. */
struct argument {
    const char *text;
    struct hfc_error *err;
    bool failed;
};

static void argument_fault(void *ctx, const char *at, const char *message, const char *hint)
{
    struct argument *a = ctx;

    (void)at;
    if (a->failed)
        return;
    a->failed = true;
    hfc_autobuf struct hfc_buf shown = HFC_BUF(HFC_ERROR_MAX);
    unicode_show(&shown, a->text, strlen(a->text));
    (void)hfc_error_set(a->err, 0, "model \"%s\": %s%s%s", shown.data, message,
                        hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

int model_parse_argument(const char *text, struct model *out, struct hfc_error *err)
{
    struct argument a = {text, err, false};
    struct word_report report = {argument_fault, &a};
    struct word w = {text, strlen(text)};
    uint32_t c;

    *out = (struct model){0};
    if (w.n == 0)
        argument_fault(&a, text, "the name is empty", "write REPO or REPO@REVISION");
    else if (bad_character(text, text + w.n, &c) != NULL)
        argument_fault(&a, text, "control characters or broken UTF-8", NULL);
    else if (strpbrk(text, " \t#") != NULL)
        argument_fault(&a, text, "blanks and # have no place in a name",
                       "options can only be given in models.txt");
    else
        word_repo(w, out, &report);
    if (a.failed)
        model_free(out);
    return a.failed ? -1 : 0;
}
