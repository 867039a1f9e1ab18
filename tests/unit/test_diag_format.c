/* test_diag_format.c: findings as text, JSON lines, SARIF and workflow commands
 * (gen/diag_format.c, gen/diag_json.c), and the escaping they share (lib/glyph.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "diag.h"
#include "glyph.h"
#include "utf8.h"
#include "visible.h"

static struct arena *arena;
static struct diags *diags;
static char *printed;
static size_t printed_len;

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    diags = diags_new();
    printed = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(printed);
    diags_free(diags);
    arena_free(arena);
    return 0;
}

static struct srcpos at(const char *text, uint32_t line, uint32_t col)
{
    return (struct srcpos){source_from_text(arena, "c/x.yaml", text, strlen(text)), line, col};
}

static void print(enum diag_format format, bool color)
{
    free(printed);
    FILE *to = open_memstream(&printed, &printed_len);
    assert_non_null(to);
    diags_print(diags, format, color, to);
    assert_int_equal(fclose(to), 0);
}

static void prints(enum diag_format format, const char *expected)
{
    print(format, false);
    assert_string_equal(printed, expected);
}

static void text_shows_place_line_token_and_advice(void **state)
{
    struct diag item = {.code = D_NEAR_KEY,
                        .at = at("a:\n    runner_goup: prod # x\n", 2, 5),
                        .message = "unknown key 'runner_goup'",
                        .found = "f",
                        .expected = "e",
                        .hint = "did you mean 'runner_group'?"};

    (void)state;
    diags_add(diags, &item);
    prints(DIAG_TEXT, "c/x.yaml:2:5: error[HFG007]: unknown key 'runner_goup'\n"
                      "    2 |     runner_goup: prod # x\n"
                      "      |     ^^^^^^^^^^^\n"
                      "      = found: f\n"
                      "      = expected: e\n"
                      "      = hint: did you mean 'runner_group'?\n"
                      "1 error, 0 warnings\n");
}

static void a_place_may_be_a_whole_file_or_none(void **state)
{
    (void)state;
    diags_addf(diags, W_PAUSED, at("", 0, 0), "m");
    diags_addf(diags, D_CLUSTER, (struct srcpos){0}, "n");
    prints(DIAG_TEXT, "hfcache-gen: error[HFG010]: n\n"
                      "c/x.yaml: warning[HFG101]: m\n"
                      "1 error, 1 warning\n");
}

static void nothing_found_prints_nothing(void **state)
{
    (void)state;
    prints(DIAG_TEXT, "");
    prints(DIAG_JSON, "");
    prints(DIAG_GITHUB, "");
}

static void findings_are_sorted_by_place_then_report(void **state)
{
    const struct source *a = source_from_text(arena, "a", "1\n2\n", 4);
    const struct source *b = source_from_text(arena, "B", "1\n2\n", 4);

    (void)state;
    diags_addf(diags, D_TYPE, (struct srcpos){a, 2, 1}, "6");
    diags_addf(diags, D_TYPE, (struct srcpos){a, 1, 2}, "5");
    diags_addf(diags, D_VALUE, (struct srcpos){a, 1, 1}, "3");
    diags_addf(diags, D_TYPE, (struct srcpos){a, 1, 1}, "4");
    diags_addf(diags, D_TYPE, (struct srcpos){b, 2, 1}, "2");
    diags_addf(diags, D_TYPE, (struct srcpos){0}, "1");
    print(DIAG_GITHUB, false);
    const char *p = printed;
    for (char c = '1'; c <= '6'; c++) {
        const char last[] = {':', ':', c, '\n', '\0'};
        p = strstr(p, last);
        assert_non_null(p);
    }
}

static void tabs_are_expanded_and_the_mark_follows(void **state)
{
    (void)state;
    diags_addf(diags, D_TYPE, at("\ta\tbc d", 1, 4), "m");
    prints(DIAG_TEXT, "c/x.yaml:1:4: error[HFG004]: m\n"
                      "    1 |         a       bc d\n"
                      "      |                 ^^\n"
                      "1 error, 0 warnings\n");
}

static void the_mark_covers_what_a_terminal_shows(void **state)
{
    (void)state;
    /* Two wide characters, an e with a combining accent, a control character. */
    diags_addf(diags, D_TYPE, at("\xe4\xbd\xa0\xe5\xa5\xbd e\xcc\x81\x01z", 1, 4), "m");
    prints(DIAG_TEXT, "c/x.yaml:1:4: error[HFG004]: m\n"
                      "    1 | \xe4\xbd\xa0\xe5\xa5\xbd e\xcc\x81\\x01z\n"
                      "      |      ^^^^^^\n"
                      "1 error, 0 warnings\n");
}

static void there_is_always_a_caret(void **state)
{
    (void)state;
    diags_addf(diags, D_TYPE, at("ab\n\n", 1, 9), "end of line");
    diags_addf(diags, D_TYPE, at("ab\n\n", 2, 1), "empty line");
    diags_addf(diags, D_TYPE, at("ab\n\n: x", 3, 1), "a colon alone");
    prints(DIAG_TEXT, "c/x.yaml:1:9: error[HFG004]: end of line\n"
                      "    1 | ab\n"
                      "      |   ^\n"
                      "c/x.yaml:2:1: error[HFG004]: empty line\n"
                      "    2 |\n"
                      "      | ^\n"
                      "c/x.yaml:3:1: error[HFG004]: a colon alone\n"
                      "    3 | : x\n"
                      "      | ^\n"
                      "3 errors, 0 warnings\n");
}

static void a_line_that_the_source_does_not_have_is_not_shown(void **state)
{
    (void)state;
    diags_addf(diags, D_SYNTAX, at("ab", 2, 1), "m");
    prints(DIAG_TEXT, "c/x.yaml:2:1: error[HFG002]: m\n1 error, 0 warnings\n");
}

static void a_byte_order_mark_is_not_shown(void **state)
{
    (void)state;
    diags_addf(diags, D_TYPE,
               at("\xef\xbb\xbf"
                  "ab c",
                  1, 2),
               "m");
    diags_addf(diags, D_TYPE, at("\xef\xbb\xbf", 1, 1), "n");
    prints(DIAG_TEXT, "c/x.yaml:1:1: error[HFG004]: n\n"
                      "    1 |\n"
                      "      | ^\n"
                      "c/x.yaml:1:2: error[HFG004]: m\n"
                      "    1 | ab c\n"
                      "      | ^^\n"
                      "2 errors, 0 warnings\n");
}

static void long_lines_are_cut_around_the_place(void **state)
{
    char line[400], expected[600];
    char *const e60 = arena_alloc(arena, 200);

    (void)state;
    for (size_t i = 0; i < 398; i += 2)
        memcpy(line + i, "\xc3\xa9", 2);
    line[398] = '\0';
    for (size_t i = 0; i < 120; i += 2)
        memcpy(e60 + i, "\xc3\xa9", 2);
    diags_addf(diags, D_TYPE, at(line, 1, 100), "m");
    char *dots = arena_alloc(arena, 64), *carets = arena_alloc(arena, 64);
    memset(dots, ' ', 63);
    memset(carets, '^', 60);
    (void)snprintf(expected, sizeof(expected),
                   "c/x.yaml:1:100: error[HFG004]: m\n    1 | ...%s%s...\n      | %s%s\n"
                   "1 error, 0 warnings\n",
                   e60, e60, dots, carets);
    prints(DIAG_TEXT, expected);
}

static void cutting_survives_bytes_that_are_no_text(void **state)
{
    char line[301];

    (void)state;
    memset(line, 0x80, 300);
    line[300] = '\0';
    diags_addf(diags, D_TYPE, at(line, 1, 2), "m");
    print(DIAG_TEXT, false);
    assert_non_null(strstr(printed, "...\\x80"));
    assert_null(strchr(printed, '\x80'));
}

static void colours_only_when_asked_for(void **state)
{
    (void)state;
    diags_addf(diags, D_TYPE, at("ab", 1, 1), "m");
    diags_add(diags, &(struct diag){.code = W_PAUSED, .message = "n", .hint = "h"});
    print(DIAG_TEXT, false);
    assert_null(strchr(printed, '\x1b'));
    print(DIAG_TEXT, true);
    assert_string_equal(
        printed, "\x1b[1mhfcache-gen:\x1b[0m \x1b[1;33mwarning[HFG101]\x1b[0m: n\n"
                 "\x1b[1;34m      =\x1b[0m hint: h\n"
                 "\x1b[1mc/x.yaml:1:1:\x1b[0m \x1b[1;31merror[HFG004]\x1b[0m: m\n"
                 "\x1b[1;34m    1 |\x1b[0m ab\n\x1b[1;34m      |\x1b[0m \x1b[1;31m^^\x1b[0m\n"
                 "1 error, 1 warning\n");
}

/* No byte of an input may reach a terminal as a control character, in any format. */
static void hostile_text_is_made_harmless(void **state)
{
    static const char hostile[] = "\x1b]0;x\x07\r\xc2\x9b\xe2\x80\xae\xff\t";
    const struct source *src = source_from_text(arena, hostile, hostile, strlen(hostile));
    struct diag item = {.code = D_TYPE,
                        .at = {src, 1, 1},
                        .message = hostile,
                        .found = hostile,
                        .expected = hostile,
                        .hint = hostile};

    (void)state;
    diags_add(diags, &item);
    for (int format = DIAG_TEXT; format <= DIAG_GITHUB; format++) {
        print((enum diag_format)format, false);
        for (const char *p = printed; *p != '\0'; p++)
            assert_true(*p == '\n' || (*p >= ' ' && *p < 0x7f));
    }
}

static void json_lines_leave_absent_fields_out(void **state)
{
    struct diag item = {.code = D_VALUE,
                        .at = at("ab", 1, 2),
                        .message = "m\xff\"",
                        .found = "f",
                        .expected = "e",
                        .hint = "h"};

    (void)state;
    diags_addf(diags, W_PAUSED, (struct srcpos){0}, "n");
    diags_add(diags, &item);
    prints(DIAG_JSON,
           "{\"code\":\"HFG101\",\"severity\":\"warning\",\"title\":\"cluster is paused\","
           "\"message\":\"n\"}\n"
           "{\"code\":\"HFG008\",\"severity\":\"error\","
           "\"title\":\"value is out of range or malformed\",\"message\":\"m\\uFFFD\\\"\","
           "\"file\":\"c/x.yaml\",\"line\":1,\"column\":2,"
           "\"found\":\"f\",\"expected\":\"e\",\"hint\":\"h\"}\n");
}

static json_t *sarif_run(void)
{
    json_error_t err;

    print(DIAG_SARIF, false);
    json_t *log = json_loads(printed, 0, &err);
    assert_non_null(log);
    assert_string_equal(json_string_value(json_object_get(log, "version")), "2.1.0");
    assert_int_equal(json_array_size(json_object_get(log, "runs")), 1);
    json_t *run = json_incref(json_array_get(json_object_get(log, "runs"), 0));
    json_decref(log);
    return run;
}

static void check_rule(const json_t *run, size_t i, const char *id, const char *level)
{
    const char *got_id, *title, *help, *got_level;
    const json_t *driver = json_object_get(json_object_get(run, "tool"), "driver");
    json_t *rule = json_array_get(json_object_get(driver, "rules"), i);

    assert_int_equal(json_unpack(rule, "{s:s, s:{s:s}, s:{s:s}, s:{s:s}}", "id", &got_id,
                                 "shortDescription", "text", &title, "help", "text", &help,
                                 "defaultConfiguration", "level", &got_level),
                     0);
    assert_string_equal(got_id, id);
    assert_string_equal(got_level, level);
    assert_string_not_equal(title, "");
    assert_memory_equal(help, "See docs/errors.md#hfg", 22);
    assert_string_equal(help + 22, id + 3);
}

static void sarif_lists_used_rules_once_and_places_results(void **state)
{
    const char *uri, *text, *level, *id;
    int line, column, rule;

    (void)state;
    diags_addf(diags, W_PAUSED, (struct srcpos){0}, "nowhere");
    diags_add(diags,
              &(struct diag){
                  .code = D_TYPE, .at = at("ab", 1, 2), .message = "m", .found = "f", .hint = "h"});
    diags_addf(diags, D_TYPE, at("ab", 0, 0), "file");
    json_t *run = sarif_run();
    json_t *results = json_object_get(run, "results");
    assert_int_equal(json_array_size(results), 3);
    check_rule(run, 0, "HFG101", "warning");
    check_rule(run, 1, "HFG004", "error");
    assert_null(json_object_get(json_array_get(results, 0), "locations"));
    assert_int_equal(json_unpack(json_array_get(results, 2),
                                 "{s:s, s:i, s:s, s:{s:s}, s:[{s:{s:{s:s}, s:{s:i, s:i}}}]}",
                                 "ruleId", &id, "ruleIndex", &rule, "level", &level, "message",
                                 "text", &text, "locations", "physicalLocation", "artifactLocation",
                                 "uri", &uri, "region", "startLine", &line, "startColumn", &column),
                     0);
    assert_string_equal(id, "HFG004");
    assert_string_equal(level, "error");
    assert_string_equal(text, "m\nfound: f\nhint: h");
    assert_string_equal(uri, "c/x.yaml");
    assert_int_equal(rule * 100 + line * 10 + column, 112);
    json_t *physical =
        json_object_get(json_array_get(json_object_get(json_array_get(results, 1), "locations"), 0),
                        "physicalLocation");
    assert_non_null(physical);
    assert_null(json_object_get(physical, "region"));
    json_decref(run);
}

static void check_uri(const char *path, const char *uri)
{
    char quoted[100];
    struct diags *own = diags, *one = diags_new();

    diags = one;
    diags_addf(one, D_TYPE, srcpos_file(source_from_text(arena, path, "", 0)), "m");
    print(DIAG_SARIF, false);
    (void)snprintf(quoted, sizeof(quoted), "\"uri\": \"%s\"", uri);
    assert_non_null(strstr(printed, quoted));
    diags = own;
    diags_free(one);
}

static void sarif_paths_are_uris(void **state)
{
    (void)state;
    check_uri("./a b/c:d.yaml", "a%20b/c%3Ad.yaml");
    check_uri("/tmp/\xc3\xa9#?", "file:///tmp/%C3%A9%23%3F");
    check_uri("../x-_.~", "../x-_.~");
    check_uri("%", "%25");
}

static void workflow_commands_escape_their_syntax(void **state)
{
    const struct source *src = source_from_text(arena, "a,b:c%.yaml", "xy", 2);
    struct diag item = {.code = D_VALUE,
                        .at = {src, 1, 2},
                        .message = "50%, a: b\r\nc",
                        .found = "f%",
                        .expected = "e",
                        .hint = "h\n"};

    (void)state;
    diags_addf(diags, W_PAUSED, (struct srcpos){0}, "n");
    diags_addf(diags, W_PAUSED, srcpos_file(src), "o");
    diags_add(diags, &item);
    prints(DIAG_GITHUB, "::warning title=HFG101 cluster is paused::n\n"
                        "::warning file=a%2Cb%3Ac%25.yaml,title=HFG101 cluster is paused::o\n"
                        "::error file=a%2Cb%3Ac%25.yaml,line=1,col=2,"
                        "title=HFG008 value is out of range or malformed::50%25, a: b%0D%0Ac"
                        "%0Afound: f%25%0Aexpected: e%0Ahint: h%0A\n");
}

static void formats_have_names(void **state)
{
    enum diag_format format = DIAG_TEXT;

    (void)state;
    assert_true(diag_format_parse("sarif", &format) && format == DIAG_SARIF);
    assert_true(diag_format_parse("json", &format) && format == DIAG_JSON);
    assert_true(diag_format_parse("github", &format) && format == DIAG_GITHUB);
    assert_true(diag_format_parse("text", &format) && format == DIAG_TEXT);
    assert_false(diag_format_parse("xml", &format));
    assert_false(diag_format_parse("", &format));
}

static void decodes(const char *bytes, uint32_t c, size_t taken)
{
    uint32_t got;

    assert_int_equal(utf8_next(bytes, strlen(bytes), &got), taken);
    assert_int_equal(got, c);
}

static void only_well_formed_utf8_is_decoded(void **state)
{
    (void)state;
    decodes("a", 'a', 1);
    decodes("\xc3\xa9", 0xe9, 2);
    decodes("\xe2\x82\xac", 0x20ac, 3);
    decodes("\xf0\x9f\x98\x80", 0x1f600, 4);
    decodes("\xc3", UTF8_BAD, 1);             /* cut off */
    decodes("\xc3x", UTF8_BAD, 1);            /* no continuation */
    decodes("\x80", UTF8_BAD, 1);             /* nothing to continue */
    decodes("\xc0\x80", UTF8_BAD, 1);         /* longer than needed */
    decodes("\xe0\x80\xa0", UTF8_BAD, 1);     /* the same */
    decodes("\xed\xa0\x80", UTF8_BAD, 1);     /* a surrogate */
    decodes("\xf4\x90\x80\x80", UTF8_BAD, 1); /* past the last character */
    decodes("\xf8\x88\x80\x80", UTF8_BAD, 1);
}

static void shows(const char *bytes, const char *text, unsigned cells)
{
    struct hfc_glyph g = hfc_glyph_next(bytes, strlen(bytes));

    assert_int_equal(g.taken, strlen(bytes));
    assert_int_equal(g.cells, cells);
    assert_int_equal(g.len, strlen(text));
    assert_memory_equal(g.text, text, g.len);
}

static void invisible_characters_get_a_shape(void **state)
{
    (void)state;
    shows("a", "a", 1);
    shows("\xe4\xbd\xa0", "\xe4\xbd\xa0", 2);
    shows("\xcc\x81", "\xcc\x81", 0);
    shows("\t", "\\t", 2);
    shows("\n", "\\n", 2);
    shows("\r", "\\r", 2);
    shows("\x1b", "\\x1b", 4);
    shows("\x7f", "\\x7f", 4);
    shows("\xff", "\\xff", 4);
    shows("\xc2\x85", "\\u0085", 6);
    shows("\xe2\x80\xae", "\\u202e", 6);
    shows("\xf3\xa0\x80\x81", "\\U000e0001", 10);
}

#define WITH_FINDINGS(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FINDINGS(text_shows_place_line_token_and_advice),
        WITH_FINDINGS(a_place_may_be_a_whole_file_or_none),
        WITH_FINDINGS(nothing_found_prints_nothing),
        WITH_FINDINGS(findings_are_sorted_by_place_then_report),
        WITH_FINDINGS(tabs_are_expanded_and_the_mark_follows),
        WITH_FINDINGS(the_mark_covers_what_a_terminal_shows),
        WITH_FINDINGS(there_is_always_a_caret),
        WITH_FINDINGS(a_line_that_the_source_does_not_have_is_not_shown),
        WITH_FINDINGS(a_byte_order_mark_is_not_shown),
        WITH_FINDINGS(long_lines_are_cut_around_the_place),
        WITH_FINDINGS(cutting_survives_bytes_that_are_no_text),
        WITH_FINDINGS(colours_only_when_asked_for),
        WITH_FINDINGS(hostile_text_is_made_harmless),
        WITH_FINDINGS(json_lines_leave_absent_fields_out),
        WITH_FINDINGS(sarif_lists_used_rules_once_and_places_results),
        WITH_FINDINGS(sarif_paths_are_uris),
        WITH_FINDINGS(workflow_commands_escape_their_syntax),
        cmocka_unit_test(formats_have_names),
        cmocka_unit_test(only_well_formed_utf8_is_decoded),
        cmocka_unit_test(invisible_characters_get_a_shape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
