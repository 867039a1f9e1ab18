/* diag_json.c: findings as JSON lines and as a SARIF 2.1.0 log, for programs. Called by
 * diag_format.c.
 *
 * Strings that are not UTF-8 would be refused by jansson: every text is copied with U+FFFD in the
 * place of what is malformed.
 */
#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "diag_format.h"
#include "utf8.h"
#include "visible.h"

enum { TEXT_MAX = 1024 * 1024 }; /* of one string; the rest is cut off */

/* A new reference, which the caller gives away with one of jansson's _new functions. */
static json_t *text_json(const char *text)
{
    hfc_autobuf struct hfc_buf clean;
    size_t n = strlen(text);
    uint32_t c;

    hfc_buf_init(&clean, TEXT_MAX);
    for (size_t i = 0, taken; i < n; i += taken) {
        taken = utf8_next(text + i, n - i, &c);
        if (c == UTF8_BAD)
            hfc_buf_str(&clean, "\xef\xbf\xbd");
        else
            hfc_buf_add(&clean, text + i, taken);
    }
    return json_stringn(clean.data, clean.len);
}

/* A key without a value is left out, not null: fewer cases for who reads it. */
static void set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL)
        (void)json_object_set_new(object, key, text_json(text));
}

static void set_number(json_t *object, const char *key, size_t n)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)n));
}

/* Takes the value over. ASCII only, so that nothing in an input can steer the terminal or turn the
 * direction of writing where the log is read. */
static void dump(json_t *value, size_t flags, FILE *to)
{
    (void)json_dumpf(value, to, flags | JSON_ENSURE_ASCII);
    fputc('\n', to);
    json_decref(value);
}

static json_t *finding_json(const struct diag *item)
{
    json_t *o = json_object();

    set_text(o, "code", diag_code_id(item->code));
    set_text(o, "severity", diag_severity_name(item));
    set_text(o, "title", diag_code_title(item->code));
    set_text(o, "message", item->message);
    if (item->at.src != NULL)
        set_text(o, "file", item->at.src->path);
    if (item->at.line > 0) {
        set_number(o, "line", item->at.line);
        set_number(o, "column", item->at.col);
    }
    set_text(o, "found", item->found);
    set_text(o, "expected", item->expected);
    set_text(o, "hint", item->hint);
    return o;
}

void diag_print_json(const struct diag_list *list, FILE *to)
{
    for (size_t i = 0; i < list->n; i++)
        dump(finding_json(list->items[i]), JSON_COMPACT, to);
}

/* {"text": ...}, as SARIF wraps every text. */
static json_t *message_json(const char *text)
{
    json_t *o = json_object();

    set_text(o, "text", text);
    return o;
}

/* Where the code is explained. SARIF wants `helpUri` absolute, which a path in the user's checkout
 * is not; so it is told in `help`. */
static json_t *help_json(const char *id)
{
    char text[64];

    assert(strlen(id) == 6);
    (void)snprintf(text, sizeof(text), "See docs/errors.md#hfg%s", id + 3);
    return message_json(text);
}

/* GitHub shows the rule's title with each alert, so a rule stands in the log for every code used.
 */
static json_t *rule_json(const struct diag *item)
{
    json_t *o = json_object(), *configuration = json_object();

    set_text(configuration, "level", diag_severity_name(item));
    set_text(o, "id", diag_code_id(item->code));
    (void)json_object_set_new(o, "shortDescription", message_json(diag_code_title(item->code)));
    (void)json_object_set_new(o, "help", help_json(diag_code_id(item->code)));
    (void)json_object_set_new(o, "defaultConfiguration", configuration);
    return o;
}

/* A path as a URI reference; a first segment with a colon must not look like a scheme. */
static json_t *uri_json(const char *path)
{
    hfc_autobuf struct hfc_buf uri;

    hfc_buf_init(&uri, TEXT_MAX);
    if (path[0] == '/')
        hfc_buf_str(&uri, "file://");
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    for (const char *p = path; *p != '\0'; p++)
        if (isascii(*p) && (isalnum(*p) || strchr("-._~/", *p) != NULL))
            hfc_buf_char(&uri, *p);
        else
            hfc_buf_printf(&uri, "%%%02X", (unsigned char)*p);
    return json_stringn(uri.data, uri.len);
}

static json_t *location_json(const struct srcpos *at)
{
    json_t *o = json_object(), *physical = json_object(), *artifact = json_object();

    (void)json_object_set_new(artifact, "uri", uri_json(at->src->path));
    (void)json_object_set_new(physical, "artifactLocation", artifact);
    if (at->line > 0) {
        json_t *region = json_object();
        set_number(region, "startLine", at->line);
        set_number(region, "startColumn", at->col);
        (void)json_object_set_new(physical, "region", region);
    }
    (void)json_object_set_new(o, "physicalLocation", physical);
    return o;
}

static void add_note(struct hfc_buf *text, const char *label, const char *note)
{
    if (note != NULL)
        hfc_buf_printf(text, "\n%s: %s", label, note);
}

/* SARIF has no place for found, expected and hint: they are lines of the message. */
static json_t *result_json(const struct diag *item, size_t rule)
{
    hfc_autobuf struct hfc_buf text;
    json_t *o = json_object();

    hfc_buf_init(&text, TEXT_MAX);
    hfc_buf_str(&text, item->message);
    add_note(&text, "found", item->found);
    add_note(&text, "expected", item->expected);
    add_note(&text, "hint", item->hint);
    set_text(o, "ruleId", diag_code_id(item->code));
    set_number(o, "ruleIndex", rule);
    set_text(o, "level", diag_severity_name(item));
    (void)json_object_set_new(o, "message", message_json(text.data));
    if (item->at.src != NULL) {
        json_t *locations = json_array();
        (void)json_array_append_new(locations, location_json(&item->at));
        (void)json_object_set_new(o, "locations", locations);
    }
    return o;
}

/* Fills both arrays; a rule is listed where it is first used. */
static void add_results(const struct diag_list *list, json_t *rules, json_t *results)
{
    size_t index[DIAG_CODES] = {0}; /* of the code's rule, plus one */

    for (size_t i = 0; i < list->n; i++) {
        const struct diag *item = list->items[i];
        if (index[item->code] == 0) {
            (void)json_array_append_new(rules, rule_json(item));
            index[item->code] = json_array_size(rules);
        }
        (void)json_array_append_new(results, result_json(item, index[item->code] - 1));
    }
    assert(json_array_size(results) == list->n);
    assert(json_array_size(rules) <= DIAG_CODES);
}

/* Also printed without a single finding: an upload with no results is what closes the alerts of the
 * one before. That columns count characters has to be said, as others count UTF-16 units. */
void diag_print_sarif(const struct diag_list *list, FILE *to)
{
    json_t *log = json_object(), *runs = json_array(), *run = json_object();
    json_t *tool = json_object(), *driver = json_object();
    json_t *rules = json_array(), *results = json_array();

    add_results(list, rules, results);
    set_text(driver, "name", "hfcache-gen");
    (void)json_object_set_new(driver, "rules", rules);
    (void)json_object_set_new(tool, "driver", driver);
    (void)json_object_set_new(run, "tool", tool);
    set_text(run, "columnKind", "unicodeCodePoints");
    (void)json_object_set_new(run, "results", results);
    (void)json_array_append_new(runs, run);
    set_text(log, "$schema",
             "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
             "sarif-schema-2.1.0.json");
    set_text(log, "version", "2.1.0");
    (void)json_object_set_new(log, "runs", runs);
    dump(log, JSON_INDENT(2), to);
}
