/* diag_format.c: findings as text for people and as GitHub workflow commands; the JSON formats are
 * in diag_json.c. Called through diags_print() only.
 *
 * Messages quote input files, and those may hold anything: every text goes through
 * hfc_glyph_next() on its way out, so no input can drive a terminal or end a line.
 */
#include "diag_format.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "glyph.h"
#include "utf8.h"
#include "visible.h"

/* Characters of an input line shown before and after a place. */
enum { EXCERPT_BEFORE = 60, EXCERPT_AFTER = 60, TAB_WIDTH = 8, GUTTER = 5 };

struct colors {
    const char *bold, *error, *warning, *gutter, *off;
};

static const struct colors sgr = {"\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[0m"};
static const struct colors plain = {"", "", "", "", ""};

const char *diag_severity_name(const struct diag *item)
{
    return diag_code_severity(item->code) == DIAG_ERROR ? "error" : "warning";
}

static void put_visible(const char *text, FILE *to)
{
    visible_print(text, strlen(text), to);
}

static void put_times(char c, unsigned n, FILE *to)
{
    while (n-- > 0)
        fputc(c, to);
}

/* An input line being shown: where the excerpt and the underlined part of it lie. */
struct excerpt {
    const char *text;
    size_t from, to;       /* the part that is shown */
    size_t mark, mark_end; /* the token at the place; both may be the end of the line */
    size_t len;
};

static size_t next_char(const char *text, size_t len, size_t i)
{
    uint32_t c;

    return i + utf8_next(text + i, len - i, &c);
}

/* Steps back over the bytes of one character; over one byte where that is no UTF-8. */
static size_t previous_char(const char *text, size_t i)
{
    size_t back = i < 4 ? i : 4;

    assert(i > 0);
    while (back > 1 && next_char(text, i, i - back) != i)
        back--;
    return i - back;
}

/* Up to white space, without the punctuation that YAML puts after a key or an item. */
static size_t token_end(const char *text, size_t len, size_t start)
{
    size_t i = start;

    while (i < len && text[i] != ' ' && text[i] != '\t')
        i++;
    if (i > start + 1 && (text[i - 1] == ':' || text[i - 1] == ','))
        i--;
    return i;
}

static struct excerpt excerpt_at(const struct srcpos *at)
{
    struct excerpt e = {0};

    e.text = source_line(at->src, at->line, &e.len);
    e.mark = source_offset(at->src, at->line, at->col) - source_line_start(at->src, at->line);
    if (at->line == 1 && e.len >= 3 && memcmp(e.text, "\xef\xbb\xbf", 3) == 0) {
        e.text += 3; /* a byte order mark is no part of the text */
        e.len -= 3;
        e.mark = e.mark > 3 ? e.mark - 3 : 0;
    }
    assert(e.mark <= e.len);
    e.mark_end = token_end(e.text, e.len, e.mark);
    e.from = e.to = e.mark;
    for (int i = 0; i < EXCERPT_BEFORE && e.from > 0; i++)
        e.from = previous_char(e.text, e.from);
    for (int i = 0; i < EXCERPT_AFTER && e.to < e.len; i++)
        e.to = next_char(e.text, e.len, e.to);
    if (e.mark_end > e.to)
        e.mark_end = e.to;
    return e;
}

/* Prints a part of the line, or nothing but counts, and returns its width in columns. `cells` is
 * the column where the part starts: that is what tabs depend on. */
static unsigned put_part(const struct excerpt *e, size_t from, size_t to, unsigned cells, FILE *out)
{
    unsigned start = cells;

    while (from < to) {
        struct hfc_glyph g = hfc_glyph_next(e->text + from, to - from);
        if (e->text[from] == '\t') {
            g.cells = (uint8_t)(TAB_WIDTH - cells % TAB_WIDTH);
            g.len = g.cells;
            memset(g.text, ' ', g.len);
        }
        if (out != NULL)
            fwrite(g.text, 1, g.len, out);
        cells += g.cells;
        from += g.taken;
    }
    return cells - start;
}

static void put_excerpt(const struct srcpos *at, const struct colors *c, const char *accent,
                        FILE *to)
{
    struct excerpt e = excerpt_at(at);
    const char *before = e.from > 0 ? "..." : "", *after = e.to < e.len ? "..." : "";
    unsigned start = (unsigned)strlen(before);

    fprintf(to, "%s%*u |%s", c->gutter, GUTTER, at->line, c->off);
    if (e.len > 0) {
        fprintf(to, " %s", before);
        (void)put_part(&e, e.from, e.to, start, to);
        fputs(after, to);
    }
    unsigned indent = start + put_part(&e, e.from, e.mark, start, NULL);
    unsigned width = put_part(&e, e.mark, e.mark_end, indent, NULL);
    fprintf(to, "\n%s%*s |%s ", c->gutter, GUTTER, "", c->off);
    put_times(' ', indent, to);
    fputs(accent, to);
    put_times('^', width > 0 ? width : 1, to);
    fprintf(to, "%s\n", c->off);
}

static void put_note(const char *label, const char *text, const struct colors *c, FILE *to)
{
    if (text == NULL)
        return;
    fprintf(to, "%s%*s =%s %s: ", c->gutter, GUTTER, "", c->off, label);
    put_visible(text, to);
    fputc('\n', to);
}

/* An encoding that the loader refuses (UTF-16) may have line breaks that the source did not see. */
static bool has_line(const struct srcpos *at)
{
    return at->src != NULL && at->line > 0 && at->col > 0 && at->line <= source_lines(at->src);
}

static void put_finding(const struct diag *item, const struct colors *c, FILE *to)
{
    const char *accent = diag_code_severity(item->code) == DIAG_ERROR ? c->error : c->warning;

    fputs(c->bold, to);
    put_visible(item->at.src != NULL ? item->at.src->path : "hfcache-gen", to);
    if (item->at.src != NULL && item->at.line > 0)
        fprintf(to, ":%u:%u", item->at.line, item->at.col);
    fprintf(to, ":%s %s%s[%s]%s: ", c->off, accent, diag_severity_name(item),
            diag_code_id(item->code), c->off);
    put_visible(item->message, to);
    fputc('\n', to);
    if (has_line(&item->at))
        put_excerpt(&item->at, c, accent, to);
    put_note("found", item->found, c, to);
    put_note("expected", item->expected, c, to);
    put_note("hint", item->hint, c, to);
}

static void put_count(size_t n, const char *what, FILE *to)
{
    fprintf(to, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

static void print_text(const struct diags *d, const struct diag_list *list, bool color, FILE *to)
{
    for (size_t i = 0; i < list->n; i++)
        put_finding(list->items[i], color ? &sgr : &plain, to);
    if (list->n == 0)
        return;
    put_count(diags_errors(d), "error", to);
    fputs(", ", to);
    put_count(diags_warnings(d), "warning", to);
    fputc('\n', to);
}

/* Escapes what a workflow command reads as syntax: `special`, and line breaks, which stay ones. */
static void put_command_text(const char *text, const char *special, FILE *to)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n;) {
        struct hfc_glyph g = hfc_glyph_next(text + i, n - i);
        i += g.taken;
        if (text[i - 1] == '\n' || text[i - 1] == '\r') {
            fputs(text[i - 1] == '\n' ? "%0A" : "%0D", to);
            continue;
        }
        for (unsigned j = 0; j < g.len; j++)
            if (strchr(special, g.text[j]) != NULL)
                fprintf(to, "%%%02X", (unsigned char)g.text[j]);
            else
                fputc(g.text[j], to);
    }
}

static void put_command_note(const char *label, const char *text, FILE *to)
{
    if (text == NULL)
        return;
    fprintf(to, "%%0A%s: ", label);
    put_command_text(text, "%", to);
}

static void put_command(const struct diag *item, FILE *to)
{
    fprintf(to, "::%s ", diag_severity_name(item));
    if (item->at.src != NULL) {
        fputs("file=", to);
        put_command_text(item->at.src->path, "%:,", to);
        fputc(',', to);
    }
    if (item->at.src != NULL && item->at.line > 0)
        fprintf(to, "line=%u,col=%u,", item->at.line, item->at.col);
    fprintf(to, "title=%s ", diag_code_id(item->code));
    put_command_text(diag_code_title(item->code), "%:,", to);
    fputs("::", to);
    put_command_text(item->message, "%", to);
    put_command_note("found", item->found, to);
    put_command_note("expected", item->expected, to);
    put_command_note("hint", item->hint, to);
    fputc('\n', to);
}

/* By file, line, column, then order of report: equal places compare by address, because the
 * pointers being sorted all lead into the array of reports. */
static int by_place(const void *a, const void *b)
{
    const struct diag *x = *(const struct diag *const *)a, *y = *(const struct diag *const *)b;
    int order =
        strcmp(x->at.src != NULL ? x->at.src->path : "", y->at.src != NULL ? y->at.src->path : "");

    if (order != 0)
        return order;
    if (x->at.line != y->at.line)
        return x->at.line < y->at.line ? -1 : 1;
    if (x->at.col != y->at.col)
        return x->at.col < y->at.col ? -1 : 1;
    return x < y ? -1 : 1;
}

static struct diag_list sorted(const struct diags *d, struct arena *a)
{
    size_t n = diags_count(d);
    const struct diag **items = arena_array_of(a, const struct diag *, n);

    for (size_t i = 0; i < n; i++)
        items[i] = diags_get(d, i);
    qsort(items, n, sizeof(const struct diag *), by_place);
    return (struct diag_list){items, n};
}

void diags_print(const struct diags *d, enum diag_format format, bool color, FILE *to)
{
    struct arena *a = arena_new();
    struct diag_list list = sorted(d, a);

    if (format == DIAG_TEXT)
        print_text(d, &list, color, to);
    else if (format == DIAG_JSON)
        diag_print_json(&list, to);
    else if (format == DIAG_SARIF)
        diag_print_sarif(&list, to);
    else
        for (size_t i = 0; i < list.n; i++)
            put_command(list.items[i], to);
    arena_free(a);
}

bool diag_format_parse(const char *name, enum diag_format *format)
{
    static const char *const names[] = {
        [DIAG_TEXT] = "text",
        [DIAG_JSON] = "json",
        [DIAG_SARIF] = "sarif",
        [DIAG_GITHUB] = "github",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            *format = (enum diag_format)i;
            return true;
        }
    return false;
}
