/* test_report_terminal.c: the block at the bottom of a terminal (refresh/report_terminal.c), looked
 * at from a pseudo-terminal's other side.
 */
#include <pty.h>
#include <sys/wait.h>

#include "report_check.h"

/* With exit(), so that coverage is counted; but not where that looks for leaks, as what the parent
 * holds would be some. */
static void leave(void)
{
#ifdef HFC_SANITIZED
    _Exit(0);
#else
    exit(0);
#endif
}

/* Runs `work` in a child whose stderr is a terminal of that width; -> all that it wrote. */
static void on_terminal(unsigned short width, void (*work)(void), struct hfc_buf *out)
{
    const struct winsize size = {.ws_row = 24, .ws_col = width};
    int master, slave, status;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(slave, STDERR_FILENO);
        (void)setenv("TERM", "xterm", 1);
        (void)unsetenv("NO_COLOR");
        loop = hfc_loop_new(NULL);
        work();
        report_free(report);
        hfc_loop_free(loop);
        leave();
    }
    (void)close(slave);
    char bytes[4096];
    ssize_t n;
    while ((n = read(master, bytes, sizeof(bytes))) > 0)
        hfc_buf_add(out, bytes, (size_t)n);
    (void)close(master);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What a terminal shows after these bytes: it knows what the block uses. -1 for rows: all. */
struct screen {
    char rows[100][256];
    int row, col, most;
};

static void feed(struct screen *s, const char *bytes)
{
    for (const char *c = bytes; *c != '\0'; c++) {
        int n;
        if (*c == '\r') {
            s->col = 0;
        } else if (*c == '\n') {
            s->row++;
            assert_true(s->row < 100);
        } else if (*c != '\x1b') {
            assert_in_range(*c, ' ', '~');
            s->rows[s->row][s->col++] = *c;
            s->most = s->col > s->most ? s->col : s->most;
        } else if (sscanf(c, "\x1b[%dA", &n) == 1 && c[2 + (n > 9) + 1] == 'A') {
            s->row -= n;
            assert_true(s->row >= 0);
            c += 3 + (n > 9);
        } else if (strncmp(c, "\x1b[K", 3) == 0) {
            memset(s->rows[s->row] + s->col, 0, 256 - (size_t)s->col);
            c += 2;
        } else if (strncmp(c, "\x1b[J", 3) == 0) {
            memset(s->rows[s->row] + s->col, 0, 256 - (size_t)s->col);
            for (int i = s->row + 1; i < 100; i++)
                memset(s->rows[i], 0, 256);
            c += 2;
        } else {
            fail_msg("the terminal got %.20s", c + 1);
        }
    }
}

static void draw_a_file(void)
{
    options.verbose = false;
    report = report_new(loop, &options, NULL);
    report_planned(report, 2, 4 << 20);
    struct report_progress *p = report_begin(report, "org/one weights.bin", 2 << 20);
    report_moved(p, 1 << 20);
    report_draw(report);
    report_draw(report);
    report_line(report, REPORT_INFO, "a line of the log");
    report_draw(report);
}

static void the_terminal_shows_a_block_below_the_log(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    struct screen s = {0};

    (void)state;
    on_terminal(80, draw_a_file, &text);
    /* Up to the last block, which report_free() erases. */
    char *last = text.data + text.len - strlen("\x1b[2A\r\x1b[J");
    assert_string_equal(last, "\x1b[2A\r\x1b[J");
    *last = '\0';
    feed(&s, text.data);
    assert_string_equal(s.rows[0], "a line of the log");
    assert_has(s.rows[1], "org/one weights.bin ");
    assert_has(s.rows[1], "  50 %     2.0 MiB ");
    assert_has(s.rows[2], "0/2 files  1.0 MiB/4.0 MiB  ");
    assert_string_equal(s.rows[3], "");
    assert_true(s.most < 80);
    assert_has_not(text.data, "?25"); /* the cursor is never hidden */
    *last = '\x1b';
    s = (struct screen){0};
    feed(&s, text.data);
    assert_string_equal(s.rows[0], "a line of the log");
    assert_string_equal(s.rows[1], "");
    assert_int_equal(s.row, 1);
    assert_int_equal(s.col, 0);
}

static void draw_many(void)
{
    char name[200];

    report = report_new(loop, &options, NULL);
    report_planned(report, 10, 10);
    for (int i = 0; i < 7; i++) {
        (void)snprintf(name, sizeof(name), "org/a-model-with-quite-a-long-name folder/part-%d.bin",
                       i);
        (void)report_begin(report, name, 1);
    }
    report_draw(report);
}

static void the_block_has_a_limit_and_fits_the_width(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    static const unsigned short widths[] = {10, 20, 39, 41, 60, 0, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        struct screen s = {0};
        unsigned fit = widths[i] == 0 ? 80 : widths[i] < 20 ? 20 : widths[i];
        hfc_buf_reset(&text);
        on_terminal(widths[i], draw_many, &text);
        text.data[text.len - strlen("\x1b[6A\r\x1b[J")] = '\0';
        feed(&s, text.data);
        assert_int_equal(s.row, 6);
        assert_true(s.most < (int)fit && s.most <= 200);
        assert_has(s.rows[0], fit < 60 ? "..." : "part-0.bin");
        assert_string_equal(s.rows[4], "... and 3 more");
        assert_has(s.rows[5], "0/10 files");
    }
}

static void draw_hostile(void)
{
    report = report_new(loop, &options, NULL);
    report_planned(report, 1, 1);
    (void)report_begin(report,
                       "org/\x1b]0;title\x07\x1b[31m\r\n\t\x7f \xc2\x9b"
                       "2J\xff",
                       0);
    report_draw(report);
    report_line(report, REPORT_WARNING, "%s", "\x1b[2J\x9b\b");
    file_ended("org/\x1b[1m", "\x1b[A\n", "s3://\x1b", 1, FILE_FAILED);
    report_draw(report);
    (void)report_finish(report, false);
}

static void no_control_character_of_a_name_reaches_the_terminal(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    struct screen s = {0};

    (void)state;
    on_terminal(120, draw_hostile, &text);
    feed(&s, text.data); /* fails on what the block doesn't use */
    assert_has(text.data, "org/\\x1b]0;title\\x07\\x1b[31m\\r\\n\\t\\x7f \\u009b2J\\xff");
    assert_has(s.rows[0], "warning: \\x1b[2J\\x9b\\x08");
    assert_has(s.rows[1], "failed  org/\\x1b[1m \\x1b[A\\n -> s3://\\x1b: the disk\\x1b[2J");
}

static void draw_wide(void)
{
    report = report_new(loop, &options, NULL);
    report_planned(report, 1, 1);
    (void)report_begin(report,
                       "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0"
                       "\xe5\xa5\xbd/e\xcc\x81nd",
                       1);
    report_draw(report);
}

static void wide_characters_take_two_columns(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    on_terminal(42, draw_wide, &text); /* ten columns for the name */
    assert_has(text.data, "...\xe5\xa5\xbd/e\xcc\x81nd    0 %");
}

static void draw_by_timer(void)
{
    bool over = false;
    struct hfc_timer end = {0};

    report = report_new(loop, &options, NULL);
    hfc_timer_start(loop, &end, 700, set_true, &over);
    report_planned(report, 1, 1);
    (void)report_begin(report, "org/one f", 1);
    (void)hfc_loop_run(loop, &over, NULL);
}

static void the_block_is_drawn_at_most_five_times_a_second(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    int64_t began = hfc_now_ms();
    on_terminal(80, draw_by_timer, &text);
    unsigned drawn = times(text.data, "0/1 files");
    assert_true(drawn >= 1 && drawn <= (hfc_now_ms() - began) / 200);
}

static void files_on_terminal(void)
{
    report = report_new(loop, &options, NULL);
    good_events();
    (void)report_finish(report, false);
}

static void a_terminal_gets_lines_of_files_only_if_verbose(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    on_terminal(80, files_on_terminal, &text);
    assert_has_not(text.data, "stored  org/one");
    assert_has(text.data, "published  org/one@main");
    hfc_buf_reset(&text);
    options.verbose = true;
    on_terminal(80, files_on_terminal, &text);
    assert_has(text.data, "stored  org/one big.bin 3.0 MiB -> s3://a");
}

static const char *hostile_env[2];

static void is_plain(void)
{
    (void)setenv(hostile_env[0], hostile_env[1], 1);
    report = report_new(loop, &options, NULL);
    if (report->terminal)
        _Exit(1);
}

static void is_plain_without_term(void)
{
    (void)unsetenv("TERM");
    report = report_new(loop, &options, NULL);
    if (report->terminal)
        _Exit(1);
}

static void is_block(void)
{
    (void)setenv("NO_COLOR", "", 1);
    report = report_new(loop, &options, NULL);
    if (!report->terminal)
        _Exit(1);
}

static void no_color_and_dumb_terminals_get_plain_lines(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1000);

    (void)state;
    hostile_env[0] = "NO_COLOR";
    hostile_env[1] = "1";
    on_terminal(80, is_plain, &text);
    hostile_env[0] = "TERM";
    hostile_env[1] = "dumb";
    on_terminal(80, is_plain, &text);
    hostile_env[1] = "";
    on_terminal(80, is_plain, &text);
    on_terminal(80, is_plain_without_term, &text);
    on_terminal(80, is_block, &text);
    options.quiet = true;
    hostile_env[1] = "xterm";
    on_terminal(80, is_plain, &text);
    assert_string_equal(text.data, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_terminal_shows_a_block_below_the_log),
        T(the_block_has_a_limit_and_fits_the_width),
        T(no_control_character_of_a_name_reaches_the_terminal),
        T(wide_characters_take_two_columns),
        T(the_block_is_drawn_at_most_five_times_a_second),
        T(a_terminal_gets_lines_of_files_only_if_verbose),
        T(no_color_and_dumb_terminals_get_plain_lines),
    };

    return cmocka_run_group_tests(tests, remember_home, NULL);
}
