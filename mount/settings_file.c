/* settings_file.c: the file of --config; see settings.h. Owns nothing.
 *
 * A line is NAME = VALUE. White space around either is cut off; '#' at the begin of a line or
 * behind white space begins a comment. Everything that is wrong is told in one go.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "file.h"
#include "glyph.h"
#include "need.h"
#include "settings_internal.h"

enum { SHOWN = 60 };

struct reader {
    struct settings *settings;
    struct settings others; /* takes what is not to count */
    bool *given;
    unsigned seen[SETTINGS_COUNT]; /* line in which an option stands; 0: in none */
    unsigned whom, line, faults;
    settings_fault *fault;
    void *ctx;
};

static void complain(struct reader *r, size_t column, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct reader *r, size_t column, const char *fmt, ...)
{
    char text[HFC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->faults++;
    r->fault(r->ctx, r->line, (unsigned)column + 1, text);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A piece of a line: its place and what it is without white space around it. */
struct piece {
    size_t at, n;
};

static struct piece trim(const char *line, size_t from, size_t to)
{
    while (from < to && is_space(line[from]))
        from++;
    while (to > from && is_space(line[to - 1]))
        to--;
    return (struct piece){from, to - from};
}

/* Where the line's comment begins, or its end. */
static size_t comment(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (line[i] == '#' && (i == 0 || is_space(line[i - 1])))
            return i;
    return n;
}

static const struct setting *find_option(struct reader *r, const char *line, struct piece name)
{
    int shown = name.n < SHOWN ? (int)name.n : SHOWN;
    const struct setting *row = setting_find(line + name.at, name.n);

    if (row != NULL && strcmp(row->name, "config") != 0)
        return row;
    if (row != NULL)
        complain(r, name.at, "config: a file can't name another one");
    else if (name.n > 2 && strncmp(line + name.at, "--", 2) == 0 &&
             setting_find(line + name.at + 2, name.n - 2) != NULL)
        complain(r, name.at, "%.*s: write it without dashes", shown, line + name.at);
    else
        complain(r, name.at, "'%.*s' is no option", shown, line + name.at);
    return NULL;
}

/* An option of another subcommand, or one that the command line has, still has to be right. */
static void set(struct reader *r, const struct setting *row, size_t column, const char *value)
{
    size_t i = (size_t)(row - settings_table);
    bool counts = (row->whom & r->whom) != 0 && !r->given[i];
    struct hfc_error err;

    assert(i < SETTINGS_COUNT);
    if (setting_set(counts ? r->settings : &r->others, row, value, &err) < 0)
        complain(r, column, "%s: %s", row->name, err.msg);
}

static void take_line(struct reader *r, const char *line, size_t n)
{
    n = comment(line, n);
    struct piece all = trim(line, 0, n);
    if (all.n == 0)
        return;
    const char *equals = memchr(line, '=', n);
    if (equals == NULL) {
        complain(r, all.at + all.n, "expected NAME = VALUE");
        return;
    }
    struct piece name = trim(line, 0, (size_t)(equals - line));
    struct piece value = trim(line, (size_t)(equals - line) + 1, n);
    if (value.n == 0)
        value.at = (size_t)(equals - line) + 1;
    const struct setting *row = find_option(r, line, name);
    if (row == NULL)
        return;
    unsigned *seen = &r->seen[row - settings_table];
    if (*seen != 0 && row->kind != SETTING_FEATURE) {
        complain(r, name.at, "%s: it stands in line %u already", row->name, *seen);
        return;
    }
    *seen = r->line;
    hfc_autofree char *text = need_copy(line + value.at, value.n);
    set(r, row, value.at, text);
}

unsigned settings_file_take(struct settings *s, bool *given, unsigned whom, const char *text,
                            size_t n, settings_fault *fault, void *ctx)
{
    struct reader r = {.settings = s, .given = given, .whom = whom, .fault = fault, .ctx = ctx};

    if (memchr(text, '\0', n) != NULL) {
        r.line = 1;
        complain(&r, 0, "this is no text: it has a byte 0");
        return r.faults;
    }
    for (const char *end = text + n; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t len = newline != NULL ? (size_t)(newline - text) : (size_t)(end - text);
        r.line++;
        take_line(&r, text, len);
        text += len + 1;
    }
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        given[i] |= r.seen[i] != 0;
    settings_free(&r.others);
    return r.faults;
}

static void print_fault(void *path, unsigned line, unsigned column, const char *message)
{
    fprintf(stderr, "%s: ", command_program);
    print_visible(stderr, path);
    fprintf(stderr, ":%u:%u: ", line, column);
    print_visible(stderr, message);
    fputc('\n', stderr);
}

int settings_file_read(struct settings *s, bool *given, unsigned whom, const char *path)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(SETTINGS_FILE_MAX);
    hfc_autofree char *name = need_copy(path, strlen(path));
    struct hfc_error err;

    if (hfc_file_read(AT_FDCWD, path, &text, &err) < 0) {
        (void)command_error("--config: %s", err.msg);
        return -1;
    }
    return settings_file_take(s, given, whom, text.data, text.len, print_fault, name) > 0 ? -1 : 0;
}
