/* models_words.c: the words of a line of models.txt: repository, revision, options.
 *
 * The rules for names are the Hub's own, so that a mistake shows before anything is asked there.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "models_internal.h"
#include "need.h"
#include "unicode.h"

__attribute__((format(printf, 4, 5))) static void fault(const struct word_report *report,
                                                        const char *at, const char *hint,
                                                        const char *fmt, ...)
{
    char message[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    report->fault(report->ctx, at, message, hint);
}

/* A fault that names a word: `what "WORD" wrong`; `wrong` may be NULL. */
static void word_fault(const struct word_report *report, struct word w, const char *hint,
                       const char *what, const char *wrong)
{
    hfc_autobuf struct hfc_buf shown = HFC_BUF(HFC_ERROR_MAX);

    unicode_show(&shown, w.at, w.n);
    fault(report, w.at, hint, "%s \"%s\"%s%s", what, shown.data, wrong != NULL ? " " : "",
          wrong != NULL ? wrong : "");
}

static bool is_id_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static const char *segment_fault(const char *s, size_t n)
{
    if (n == 0)
        return "has an empty part";
    if (n > MODEL_SEGMENT_MAX)
        return "has a part of more than 96 characters";
    for (size_t i = 0; i < n; i++)
        if (!is_id_character(s[i]))
            return "has a character other than A-Z a-z 0-9 . _ -";
    for (size_t i = 1; i < n; i++)
        if ((s[i] == '-' || s[i] == '.') && s[i - 1] == s[i])
            return "contains -- or ..";
    if (s[0] == '-' || s[0] == '.' || s[n - 1] == '-' || s[n - 1] == '.')
        return "has a part that starts or ends with - or .";
    return NULL;
}

const char *model_id_fault(const char *id)
{
    const char *slash = strchr(id, '/');
    size_t n = strlen(id);

    if (n == 0)
        return "is empty";
    if (slash != NULL && strchr(slash + 1, '/') != NULL)
        return "has more than two parts";
    const char *wrong = segment_fault(id, slash != NULL ? (size_t)(slash - id) : n);
    if (wrong == NULL && slash != NULL)
        wrong = segment_fault(slash + 1, strlen(slash + 1));
    if (wrong == NULL && n >= 4 && strcmp(id + n - 4, ".git") == 0)
        wrong = "ends in .git";
    return wrong;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* What was probably meant by an id that is none. */
static const char *id_hint(const char *id)
{
    if (starts_with(id, "datasets/"))
        return "write ORG/NAME kind=dataset";
    if (starts_with(id, "models/"))
        return "write ORG/NAME alone";
    if (starts_with(id, "spaces/"))
        return "only models and datasets can be published";
    if (strstr(id, "://") != NULL)
        return "write ORG/NAME, not its address";
    return "write ORG/NAME";
}

/* The Hub's own prefixes of other kinds are no organisations. */
static bool is_prefixed(const char *id)
{
    return starts_with(id, "datasets/") || starts_with(id, "models/") || starts_with(id, "spaces/");
}

static const char *revision_fault(const char *revision)
{
    if (strlen(revision) > MODEL_REVISION_MAX)
        return "is longer than 255 bytes";
    if (strstr(revision, "..") != NULL)
        return "contains ..";
    size_t n = strlen(revision);
    if (revision[0] == '/' || (n > 0 && revision[n - 1] == '/') || strstr(revision, "//") != NULL)
        return "has an empty part";
    for (const char *p = revision; p != NULL; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && (p[1] == '/' || p[1] == '\0'))
            return "has the part \".\"";
    }
    return NULL;
}

void word_repo(struct word w, struct model *m, const struct word_report *report)
{
    assert(w.n > 0 && m->repo == NULL);
    const char *at = memchr(w.at, '@', w.n);
    size_t n = at != NULL ? (size_t)(at - w.at) : w.n;
    hfc_autofree char *repo = need_copy(w.at, n);
    hfc_autofree char *revision =
        at != NULL && n + 1 < w.n ? need_copy(at + 1, w.n - n - 1) : need_copy("main", 4);

    const char *wrong = is_prefixed(repo) ? "is no repository's name" : model_id_fault(repo);
    if (wrong != NULL)
        word_fault(report, (struct word){w.at, n}, id_hint(repo), "repository", wrong);
    const char *bad = revision_fault(revision);
    assert(bad == NULL || at != NULL);
    if (bad != NULL)
        fault(report, at + 1, "write a branch, a tag or a commit", "the revision %s", bad);
    if (wrong != NULL || bad != NULL)
        return;
    m->repo = hfc_steal_ptr(&repo);
    m->revision = hfc_steal_ptr(&revision);
}

/* Edits that turn `a` into `b`: letters added, left out, replaced. */
static size_t distance(const char *a, size_t na, const char *b)
{
    size_t row[16], nb = strlen(b);

    assert(nb < HFC_ARRAY_LEN(row));
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t other = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = replaced < other ? replaced : other;
        }
    }
    return row[nb];
}

static const char *option_hint(struct word key)
{
    static const struct {
        const char *name, *hint;
        size_t edits; /* how far off a word may be that meant this one */
    } options[] = {
        {"allow", "did you mean allow=?", 2},     {"ignore", "did you mean ignore=?", 2},
        {"kind", "did you mean kind=?", 1},       {"config-only", "did you mean config-only?", 3},
        {"revision", "write REPO@REVISION", 2},   {"dataset", "did you mean kind=dataset?", 1},
        {"model", "did you mean kind=model?", 1}, {"exclude", "did you mean ignore=?", 0},
        {"include", "did you mean allow=?", 0},
    };

    for (size_t i = 0; i < HFC_ARRAY_LEN(options); i++)
        if (distance(key.at, key.n, options[i].name) <= options[i].edits)
            return options[i].hint;
    return "options are kind=, allow=, ignore= and config-only";
}

static bool word_is(struct word w, const char *text)
{
    return w.n == strlen(text) && memcmp(w.at, text, w.n) == 0;
}

static void add_glob(struct word glob, char ***globs, size_t *n, const struct word_report *report)
{
    if (glob.n > MODEL_GLOB_MAX) {
        fault(report, glob.at, NULL, "a glob of more than %d bytes", MODEL_GLOB_MAX);
        return;
    }
    if (*n == MODEL_GLOBS_MAX) {
        fault(report, glob.at, NULL, "more than %d globs", MODEL_GLOBS_MAX);
        return;
    }
    *globs = need(reallocarray(*globs, *n + 1, sizeof(**globs)));
    (*globs)[(*n)++] = need_copy(glob.at, glob.n);
}

static void set_kind(struct word value, struct model *m, struct options_seen *seen,
                     const struct word_report *report)
{
    if (seen->kind)
        fault(report, value.at, NULL, "kind= is given twice");
    else if (word_is(value, "dataset"))
        m->kind = REPO_DATASET;
    else if (word_is(value, "model"))
        m->kind = REPO_MODEL;
    else
        word_fault(report, value, "kinds are model and dataset", "unknown kind", NULL);
    seen->kind = true;
}

static void set_config_only(struct word w, struct model *m, struct options_seen *seen,
                            const struct word_report *report)
{
    if (seen->config_only)
        fault(report, w.at, NULL, "config-only is given twice");
    seen->config_only = m->config_only = true;
}

/* One of the options that have a value, which is `value`, not empty. False: there is none such. */
static bool set_option(struct word key, struct word value, struct model *m,
                       struct options_seen *seen, const struct word_report *report)
{
    if (word_is(key, "allow"))
        add_glob(value, &m->allow, &m->nallow, report);
    else if (word_is(key, "ignore"))
        add_glob(value, &m->ignore, &m->nignore, report);
    else if (word_is(key, "kind"))
        set_kind(value, m, seen, report);
    else
        return false;
    return true;
}

void word_option(struct word w, struct model *m, struct options_seen *seen,
                 const struct word_report *report)
{
    assert(w.n > 0);
    const char *equals = memchr(w.at, '=', w.n);
    struct word key = {w.at, equals != NULL ? (size_t)(equals - w.at) : w.n};
    struct word value = {w.at + key.n + 1, equals != NULL ? w.n - key.n - 1 : 0};
    bool has_value = word_is(key, "allow") || word_is(key, "ignore") || word_is(key, "kind");

    if (word_is(w, "config-only"))
        set_config_only(w, m, seen, report);
    else if (word_is(key, "config-only"))
        fault(report, w.at, NULL, "config-only takes no value");
    else if (has_value && value.n == 0)
        fault(report, w.at, NULL, "%.*s= needs a value", (int)key.n, key.at);
    else if (!set_option(key, value, m, seen, report))
        word_fault(report, key, option_hint(key), "unknown option", NULL);
}
