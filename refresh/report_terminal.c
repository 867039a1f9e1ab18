/* report_terminal.c: the lines at the bottom of a terminal, and how fast things go; see
 * report_parts.h.
 *
 * The block is drawn from the timer, at most five times a second. Before a line is printed it is
 * erased, and comes back with the next tick. The cursor stays visible and at the start of the line
 * below, so that a run which is killed leaves a usable terminal.
 *
 * Where there is no terminal, the same timer says how far things are once a minute.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "glyph.h"
#include "report_parts.h"

enum {
    TICK_MS = 200,
    HEARTBEAT_MS = 60000,
    SMOOTHED_MS = 10000,
    FILE_LINES_MAX = 5,
    WIDTH_DEFAULT = 80,
    WIDTH_MIN = 20,
    WIDTH_MAX = 200,
    FIGURES = 32, /* columns of a file's figures */
    NAME_MIN = 8,
};

bool report_is_terminal(void)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && (no_color == NULL || *no_color == '\0') && term != NULL &&
           *term != '\0' && strcmp(term, "dumb") != 0;
}

/* A mean in which what is longer ago counts less: over ten seconds, or all the time there was. */
void report_rate_update(struct report_rate *rate, uint64_t value, int64_t now)
{
    int64_t passed = now - rate->at;
    int64_t since = now - rate->began;

    assert(rate->began <= rate->at);
    if (passed <= 0)
        return;
    double moved = value > rate->value ? (double)(value - rate->value) : 0;
    double weight = (double)passed / (double)(since < SMOOTHED_MS ? since : SMOOTHED_MS);
    double latest = moved * 1000 / (double)passed;
    rate->per_second += (latest - rate->per_second) * (weight < 1 ? weight : 1);
    rate->value = value;
    rate->at = now;
}

/* Also of files that were not planned; never more than all. */
static uint64_t bytes_done(const struct report *r)
{
    uint64_t done = r->ended_bytes;

    for (const struct report_progress *p = r->first; p != NULL; p = p->next)
        done += p->moved;
    return done < r->planned_bytes ? done : r->planned_bytes;
}

void report_add_totals(const struct report *r, struct hfc_buf *out)
{
    uint64_t done = bytes_done(r), left = r->planned_bytes - done;

    hfc_buf_printf(out, "%llu/%llu files  ", (unsigned long long)r->ended_files,
                   (unsigned long long)r->planned_files);
    report_add_size(out, done);
    hfc_buf_char(out, '/');
    report_add_size(out, r->planned_bytes);
    hfc_buf_str(out, "  ");
    report_add_rate(out, r->rate.per_second);
    if (left == 0 || r->rate.per_second < 1)
        return;
    double seconds = (double)left / r->rate.per_second;
    hfc_buf_str(out, "  ");
    report_add_time(out, seconds < 1e9 ? (int64_t)(seconds * 1000) : (int64_t)1000000000000);
    hfc_buf_str(out, " left");
}

/* Asked each time: it needs no signal, and a window changes seldom. */
static unsigned terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    if (size.ws_col < WIDTH_MIN)
        return WIDTH_MIN;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

static unsigned cells_of(const char *text, size_t n)
{
    unsigned cells = 0;

    for (size_t i = 0; i < n;) {
        struct hfc_glyph g = hfc_glyph_next(text + i, n - i);
        cells += g.cells;
        i += g.taken;
    }
    return cells;
}

/* The name in exactly so many columns; of one that is too long the end, which tells files of a
 * model apart. */
static void add_fitted(struct hfc_buf *out, const char *name, unsigned columns)
{
    size_t n = strlen(name), from = 0;
    unsigned cells = cells_of(name, n);

    assert(columns >= NAME_MIN);
    if (cells > columns) {
        hfc_buf_str(out, "...");
        columns -= 3;
        while (cells > columns) {
            struct hfc_glyph g = hfc_glyph_next(name + from, n - from);
            cells -= g.cells;
            from += g.taken;
        }
    }
    hfc_glyph_add(out, name + from, n - from);
    for (; cells < columns; cells++)
        hfc_buf_char(out, ' ');
}

/* Ends a line of the block; one that is wider than the terminal would count twice. What is cut off
 * at the right is ASCII. */
static void end_line(struct report *r, size_t begin, unsigned width)
{
    while (r->block.len > begin && cells_of(r->block.data + begin, r->block.len - begin) >= width)
        r->block.len--;
    hfc_buf_str(&r->block, "\x1b[K\n");
    r->block_lines++;
}

/* An empty file is done as soon as it is there. */
static void add_figures(const struct report_progress *p, struct hfc_buf *out)
{
    hfc_autobuf struct hfc_buf size = HFC_BUF(64);
    hfc_autobuf struct hfc_buf rate = HFC_BUF(64);
    double share = p->size > 0 ? 100 * (double)p->moved / (double)p->size : 100;

    report_add_size(&size, p->size);
    report_add_rate(&rate, p->rate.per_second);
    hfc_buf_printf(out, " %3.0f %% %11s %12s", share < 100 ? share : 100, size.data, rate.data);
}

/* The oldest first: a line keeps its place until its file has ended. */
static void add_files(struct report *r, unsigned width)
{
    unsigned columns = width > FIGURES + NAME_MIN ? width - FIGURES : NAME_MIN;
    unsigned lines = 0;
    struct report_progress *p = r->first;

    for (; p != NULL; p = p->next) {
        if (++lines == FILE_LINES_MAX && p->next != NULL)
            break;
        size_t begin = r->block.len;
        add_fitted(&r->block, p->name, columns);
        add_figures(p, &r->block);
        end_line(r, begin, width);
    }
    unsigned more = 0;
    for (; p != NULL; p = p->next)
        more++;
    if (more == 0)
        return;
    size_t begin = r->block.len;
    hfc_buf_printf(&r->block, "... and %u more", more);
    end_line(r, begin, width);
}

static void add_cursor_up(const struct report *r, struct hfc_buf *out)
{
    if (r->block_lines > 0)
        hfc_buf_printf(out, "\x1b[%uA\r", r->block_lines);
}

/* In one write and over the old lines, so that nothing flickers. */
void report_draw(struct report *r)
{
    unsigned width = terminal_width();
    int64_t now = hfc_now_ms();

    assert(r->terminal);
    report_rate_update(&r->rate, r->moved, now);
    for (struct report_progress *p = r->first; p != NULL; p = p->next)
        report_rate_update(&p->rate, p->moved, now);
    hfc_buf_reset(&r->block);
    add_cursor_up(r, &r->block);
    r->block_lines = 0;
    if (r->planned_files > 0) {
        add_files(r, width);
        size_t begin = r->block.len;
        report_add_totals(r, &r->block);
        end_line(r, begin, width);
    }
    hfc_buf_str(&r->block, "\x1b[J");
    (void)fwrite(r->block.data, 1, r->block.len, stderr);
}

void report_erase(struct report *r)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(64);

    if (r->block_lines == 0)
        return;
    add_cursor_up(r, &out);
    hfc_buf_str(&out, "\x1b[J");
    (void)fwrite(out.data, 1, out.len, stderr);
    r->block_lines = 0;
}

static void heartbeat(struct report *r)
{
    hfc_autobuf struct hfc_buf line = HFC_BUF(512);

    report_rate_update(&r->rate, r->moved, hfc_now_ms());
    if (r->ended_files >= r->planned_files)
        return;
    report_add_totals(r, &line);
    report_line(r, REPORT_INFO, "%s", line.data);
}

static void on_tick(void *ctx)
{
    struct report *r = ctx;

    if (r->terminal)
        report_draw(r);
    else
        heartbeat(r);
    report_start_ticking(r);
}

void report_start_ticking(struct report *r)
{
    hfc_timer_start(r->loop, &r->tick, r->terminal ? TICK_MS : HEARTBEAT_MS, on_tick, r);
}
