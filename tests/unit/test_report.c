/* test_report.c: what a run tells: lines, JSON, Prometheus' text (refresh/report*.c), and text made
 * visible (refresh/visible_text.c, lib/glyph.c).
 */
#include <jansson.h>

#include "command.h"
#include "glyph.h"
#include "report_check.h"

/* Texts. */

static void shows_size(uint64_t bytes, const char *text)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(100);

    report_add_size(&b, bytes);
    assert_string_equal(b.data, text);
}

static void shows_time(int64_t ms, const char *text)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(100);

    report_add_time(&b, ms);
    assert_string_equal(b.data, text);
}

static void shows_rate(double rate, const char *text)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(100);

    report_add_rate(&b, rate);
    assert_string_equal(b.data, text);
}

static void sizes_rates_and_times_read_well(void **state)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(100);

    (void)state;
    shows_size(0, "0 B");
    shows_size(1023, "1023 B");
    shows_size(1024, "1.0 KiB");
    shows_size(1024 * 1024 - 1, "1.0 MiB");
    shows_size(1288490189, "1.2 GiB");
    shows_size(105ULL << 40, "105 TiB");
    shows_size(UINT64_MAX, "16.0 EiB");
    shows_rate(0, "0.00 MB/s");
    shows_rate(949999, "0.95 MB/s");
    shows_rate(1e6, "1.0 MB/s");
    shows_rate(105.4e6, "105 MB/s");
    shows_time(0, "0.0 s");
    shows_time(9949, "9.9 s");
    shows_time(9950, "10 s");
    shows_time(59499, "59 s");
    shows_time(59500, "1 min 0 s");
    shows_time(200000, "3 min 20 s");
    shows_time(3600000, "1 h 0 min");
    shows_time(360000000, "100 h 0 min");
    report_add_utc(&b, 1714564800);
    assert_string_equal(b.data, "2024-05-01T12:00:00Z");
    hfc_buf_reset(&b);
    report_add_utc(&b, INT64_MAX);
    assert_string_equal(b.data, "1970-01-01T00:00:00Z");
}

static void text_from_outside_is_made_visible(void **state)
{
    hfc_autobuf struct hfc_buf b = HFC_BUF(1000);
    FILE *f = fopen("out", "w");

    (void)state;
    print_visible(f, "a\x1b[2J\n\xe2\x80\xae\xc3\xa9\xff\xf0\x9f\x98\x80");
    (void)fclose(f);
    contents("out", &b);
    assert_string_equal(b.data, "a\\x1b[2J\\n\\u202e\xc3\xa9\\xff\xf0\x9f\x98\x80");
    hfc_buf_reset(&b);
    hfc_glyph_add(&b, "x\r\xc2\x85", 4);
    assert_string_equal(b.data, "x\\r\\u0085");
}

static void a_rate_is_smoothed_and_never_negative(void **state)
{
    struct report_rate rate = {.at = 1000, .began = 1000};

    (void)state;
    report_rate_update(&rate, 500, 1000);
    assert_true(rate.per_second == 0); /* no time has passed */
    report_rate_update(&rate, 1000, 2000);
    assert_true(rate.per_second == 1000);
    report_rate_update(&rate, 4000, 3000);
    assert_true(rate.per_second == 2000); /* the mean since it began */
    report_rate_update(&rate, 24000, 23000);
    assert_true(rate.per_second == 1000); /* what was ten seconds ago is forgotten */
    report_rate_update(&rate, 0, 28000);
    assert_true(rate.per_second == 500);
}

/* JSON. */

static json_t *read_json(const char *name)
{
    json_error_t e;
    json_t *o = json_load_file(name, JSON_REJECT_DUPLICATES, &e);

    if (o == NULL)
        fail_msg("%s:%d: %s", name, e.line, e.text);
    return o;
}

static void the_json_report_has_everything(void **state)
{
    const char *const files[] = {"r.json", NULL};
    const char *status, *url, *outcome, *error, *commit, *path;
    json_int_t api, cdn, retries, stored, bytes, pruned, throttled, total, omitted;
    double waits, duration;
    int interrupted;

    (void)state;
    options.files = files;
    options.quiet = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    all_events();
    end_catch();
    assert_int_equal(finish(false), 1);
    json_t *o = read_json("r.json");
    assert_int_equal(json_unpack(o, "{s:s, s:b, s:{s:{s:I, s:I}, s:I, s:F}}", "status", &status,
                                 "interrupted", &interrupted, "hub", "requests", "api", &api, "cdn",
                                 &cdn, "retries", &retries, "waits_seconds", &waits),
                     0);
    assert_string_equal(status, "failed");
    assert_int_equal(interrupted, 0);
    assert_true(api == 4 && cdn == 6 && retries == 2 && waits == 1.5);
    json_t *models = json_object_get(o, "models");
    assert_int_equal(json_array_size(models), 3);
    json_t *one = json_array_get(models, 0);
    assert_int_equal(json_array_size(json_object_get(one, "targets")), 2);
    assert_int_equal(json_unpack(json_array_get(json_object_get(one, "targets"), 0),
                                 "{s:s, s:s, s:{s:I}, s:{s:I}, s:F, s:n}", "url", &url, "outcome",
                                 &outcome, "files", "stored", &stored, "bytes", "stored", &bytes,
                                 "duration_seconds", &duration, "error"),
                     0);
    assert_string_equal(url, A);
    assert_string_equal(outcome, "published");
    assert_true(stored == 2 && bytes == 3 * 1024 * 1024 && duration == 41);
    assert_int_equal(json_unpack(one, "{s:s, s:n, s:[{}, {s:s, s:s}]}", "commit", &commit, "error",
                                 "targets", "outcome", &outcome, "error", &error),
                     0);
    assert_string_equal(outcome, "failed");
    assert_string_equal(error, why.msg);
    assert_int_equal(strlen(commit), 40);
    assert_int_equal(json_unpack(json_array_get(models, 2), "{s:n, s:s, s:[]!}", "commit", "error",
                                 &error, "targets"),
                     -1); /* has more keys */
    assert_true(json_is_null(json_object_get(json_array_get(models, 2), "commit")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(models, 2), "error")),
                        why.msg);
    assert_int_equal(json_array_size(json_object_get(json_array_get(models, 2), "targets")), 0);
    assert_int_equal(json_unpack(o, "{s:[{s:s, s:s, s:s}], s:I, s:I, s:[{s:I, s:I, s:I}]}",
                                 "failures", "path", &path, "target", &url, "error", &error,
                                 "failures_total", &total, "models_omitted", &omitted, "targets",
                                 "pruned", &pruned, "throttled", &throttled, "bytes", &bytes),
                     0);
    assert_string_equal(path, "big.bin");
    assert_string_equal(url, B);
    assert_true(total == 1 && omitted == 0 && pruned == 5 && throttled == 1);
    json_decref(o);
}

static void the_json_report_says_how_it_went(void **state)
{
    const char *const files[] = {"r.json", NULL};
    static const struct {
        bool interrupted, fail_bucket;
        const char *status;
        int rc;
    } cases[] = {
        {false, false, "ok", 0}, {true, false, "interrupted", 1}, {false, true, "failed", 1}};

    (void)state;
    options.files = files;
    options.quiet = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_report();
        bucket_ended(A, cases[i].fail_bucket ? &why : NULL, 0);
        assert_int_equal(finish(cases[i].interrupted), cases[i].rc);
        json_t *o = read_json("r.json");
        assert_string_equal(json_string_value(json_object_get(o, "status")), cases[i].status);
        assert_int_equal(json_is_true(json_object_get(o, "interrupted")), cases[i].interrupted);
        assert_int_equal(json_array_size(json_object_get(o, "models")), 0);
        json_decref(o);
        report_free(report);
        report = NULL;
    }
}

static void text_that_is_not_utf8_does_not_break_the_json_report(void **state)
{
    const char *const files[] = {"r.json", NULL};
    const struct hfc_error odd = {0, "caf\xe9 \xff"};

    (void)state;
    options.files = files;
    make_report();
    bucket_ended(A, &odd, 0);
    assert_int_equal(finish(false), 1);
    json_t *o = read_json("r.json");
    json_t *bucket = json_array_get(json_object_get(o, "targets"), 0);
    assert_string_equal(json_string_value(json_object_get(bucket, "error")), "caf? ?");
    json_decref(o);
}

static void failures_and_models_have_caps_and_are_counted_beyond(void **state)
{
    const char *const files[] = {"r.json", "r.prom", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(16 * 1024 * 1024);
    char name[64];

    (void)state;
    options.files = files;
    options.quiet = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    for (int i = 0; i < REPORT_FAILURES_MAX + 7; i++)
        file_ended("org/one", "f", A, 1, FILE_FAILED);
    for (int i = 0; i < REPORT_ROWS_MAX + 3; i++) {
        (void)snprintf(name, sizeof(name), "org/n%d", i);
        model_ended(name, A, MODEL_UNCHANGED);
    }
    model_ended("org/n5", B, MODEL_PUBLISHED); /* known, but there is no row for it */
    end_catch();
    assert_int_equal(finish(false), 1);
    json_t *o = read_json("r.json");
    assert_int_equal(json_array_size(json_object_get(o, "failures")), REPORT_FAILURES_MAX);
    assert_int_equal(json_integer_value(json_object_get(o, "failures_total")),
                     REPORT_FAILURES_MAX + 7);
    assert_int_equal(json_array_size(json_object_get(o, "models")), REPORT_ROWS_MAX);
    assert_int_equal(json_integer_value(json_object_get(o, "models_omitted")), 4);
    json_decref(o);
    contents("r.prom", &text);
    assert_has(text.data, "hfcache_refresh_models{outcome=\"unchanged\"} 10002\n");
    assert_has(text.data, "hfcache_refresh_models{outcome=\"published\"} 1\n");
}

/* All keys of a document, each "a.b[].c" on a line of its own. */
static void collect_keys(const json_t *v, const char *path, struct hfc_buf *out)
{
    const char *key;
    const json_t *member;
    hfc_autobuf struct hfc_buf line = HFC_BUF(300);

    if (json_is_array(v)) {
        hfc_buf_printf(&line, "%s[]", path);
        for (size_t i = 0; i < json_array_size(v); i++)
            collect_keys(json_array_get(v, i), line.data, out);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        hfc_buf_reset(&line);
        hfc_buf_printf(&line, "%s%s%s", path, *path != '\0' ? "." : "", key);
        if (strstr(out->data, line.data) == NULL ||
            !(json_is_object(member) || json_is_array(member)))
            hfc_buf_printf(out, "`%s%s`\n", line.data, json_is_array(member) ? "[]" : "");
        collect_keys(member, line.data, out);
    }
}

/* Names in the first column of the tables between two headings. */
static void documented(const char *doc, const char *from, const char *to, struct hfc_buf *out)
{
    const char *at = strstr(doc, from), *end = to != NULL ? strstr(doc, to) : doc + strlen(doc);

    assert_true(at != NULL && end != NULL);
    for (; at < end; at = strchr(at, '\n') + 1) {
        if (strncmp(at, "| `", 3) != 0)
            continue;
        const char *cell = strchr(at + 1, '|');
        for (const char *name = at; (name = strchr(name, '`')) < cell && name != NULL;) {
            const char *close = strchr(name + 1, '`');
            hfc_buf_printf(out, "`%.*s`\n", (int)(close - name - 1), name + 1);
            name = close + 1;
        }
    }
}

static void assert_lines_in(const char *lines, const char *text)
{
    char line[300];

    for (; *lines != '\0'; lines += strlen(line)) {
        (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(lines, "\n") + 1, lines);
        assert_has(text, line);
    }
}

static void the_document_names_the_keys_that_are_written(void **state)
{
    const char *const files[] = {"r.json", NULL};
    hfc_autobuf struct hfc_buf doc = HFC_BUF(100000);
    hfc_autobuf struct hfc_buf written = HFC_BUF(100000);
    hfc_autobuf struct hfc_buf named = HFC_BUF(100000);
    char path[sizeof(home) + 40];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/docs/report-format.md", home);
    contents(path, &doc);
    documented(doc.data, "## JSON", "## Prometheus", &named);
    options.files = files;
    options.quiet = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    all_events();
    end_catch();
    (void)finish(false);
    json_t *o = read_json("r.json");
    collect_keys(o, "", &written);
    json_decref(o);
    assert_lines_in(named.data, written.data);
    /* An object that only holds members needs no line of its own. */
    hfc_buf_str(&named, "`hub.requests`\n");
    assert_lines_in(written.data, named.data);
}

/* Prometheus. */

static void finish_prom(struct hfc_buf *text, bool interrupted)
{
    (void)finish(interrupted);
    contents("r.prom", text);
    assert_well_formed(text->data);
    report_free(report);
    report = NULL;
}

static void the_textfile_has_all_metrics(void **state)
{
    const char *const files[] = {"r.prom", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    hfc_autobuf struct hfc_buf doc = HFC_BUF(100000);
    hfc_autobuf struct hfc_buf named = HFC_BUF(10000);
    char path[sizeof(home) + 40], *name;

    (void)state;
    options.files = files;
    options.quiet = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    all_events();
    end_catch();
    finish_prom(&text, false);
    assert_true(sample(text.data, "hfcache_refresh_running") == 0);
    assert_true(sample(text.data, "hfcache_refresh_build_info{version=\"" HFC_VERSION "\"}") < 0 ||
                true); /* first line */
    assert_has(text.data, "hfcache_refresh_build_info{version=\"" HFC_VERSION "\"} 1\n");
    assert_true(sample(text.data, "hfcache_refresh_last_run_timestamp_seconds") > 1.7e9);
    assert_true(sample(text.data, RUN_TIME) < 0); /* it failed, and there was no file before */
    assert_true(sample(text.data, "hfcache_refresh_duration_seconds") >= 0);
    assert_true(sample(text.data, "hfcache_refresh_failures") == 3);
    assert_true(sample(text.data, "hfcache_refresh_models{outcome=\"failed\"}") == 2);
    assert_true(sample(text.data, "hfcache_refresh_models{outcome=\"unchanged\"}") == 1);
    assert_true(sample(text.data, "hfcache_refresh_models{outcome=\"published\"}") == 0);
    assert_true(sample(text.data,
                       "hfcache_refresh_files_total{target=\"" A "\",outcome=\"present\"}") == 3);
    assert_true(
        sample(text.data, "hfcache_refresh_files_total{target=\"" B "\",outcome=\"failed\"}") == 1);
    assert_true(sample(text.data, "hfcache_refresh_bytes_total{target=\"" A
                                  "\",outcome=\"stored\"}") == 3 * 1024 * 1024);
    assert_true(sample(text.data, "hfcache_refresh_hub_requests_total{kind=\"cdn\"}") == 6);
    assert_true(sample(text.data, "hfcache_refresh_hub_retries_total") == 2);
    assert_true(sample(text.data, "hfcache_refresh_s3_requests_total{target=\"" A "\"}") == 52);
    assert_true(sample(text.data, "hfcache_refresh_s3_retries_total{target=\"" B "\"}") == 3);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/one\",target=\"" A "\"}") > 1.7e9);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/one\",target=\"" B "\"}") < 0);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/two@v1.0\",target=\"" B "\"}") > 1.7e9);
    assert_has_not(text.data, "org/three");
    (void)snprintf(path, sizeof(path), "%s/docs/report-format.md", home);
    contents(path, &doc);
    documented(doc.data, "## Prometheus", NULL, &named);
    assert_int_equal(times(text.data, "# TYPE "), times(named.data, "\n") - 1);
    for (name = strtok(named.data, "`\n"); name != NULL; name = strtok(NULL, "`\n"))
        if (strcmp(name, RUN_TIME) != 0)
            assert_has(text.data, name);
}

static void a_good_run_sets_the_time_of_success(void **state)
{
    const char *const files[] = {"r.prom", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    options.files = files;
    options.quiet = true;
    make_report();
    good_events();
    finish_prom(&text, false);
    assert_true(sample(text.data, RUN_TIME) > 1.7e9);
    options.dry_run = true; /* nothing was done */
    (void)unlink("r.prom");
    make_report();
    bucket_ended(A, NULL, 0);
    finish_prom(&text, false);
    assert_has_not(text.data, RUN_TIME);
}

static const char old_text[] =
    "# HELP " RUN_TIME " x\n" RUN_TIME " 1234\n"
    "# HELP " MODEL_TIME " x\n" MODEL_TIME "{model=\"org/one\",target=\"" A "\"} 11\n" MODEL_TIME
    "{model=\"org/one\",target=\"" B "\"} 12\n" MODEL_TIME "{model=\"org/three\",target=\"" A
    "\"} 13\n" MODEL_TIME "{model=\"org/gone\",target=\"" A "\"} 14\n" MODEL_TIME
    "{model=\"org/odd\",target=\"" A "\"} broken\n" MODEL_TIME "\n" MODEL_TIME
    "{model=\"org/cut\",target=\"" A "\"} 15";

static void times_of_success_outlive_runs_that_fail(void **state)
{
    const char *const files[] = {"r.prom", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    assert_int_equal(hfc_file_replace("r.prom", old_text, strlen(old_text), &err), 0);
    options.files = files;
    options.quiet = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    all_events();
    end_catch();
    finish_prom(&text, false);
    assert_true(sample(text.data, RUN_TIME) == 1234);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/one\",target=\"" A "\"}") > 1.7e9);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/one\",target=\"" B "\"}") == 12);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/three\",target=\"" A "\"}") == 13);
    assert_has_not(text.data, "org/gone");
    assert_has_not(text.data, "org/odd");
    assert_int_equal(times(text.data, "org/one\""), 2);
}

static void an_interrupted_run_keeps_all_times_of_success(void **state)
{
    const char *const files[] = {"r.prom", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    assert_int_equal(hfc_file_replace("r.prom", old_text, strlen(old_text), &err), 0);
    options.files = files;
    options.quiet = true;
    make_report();
    good_events();
    finish_prom(&text, true);
    assert_true(sample(text.data, RUN_TIME) == 1234);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/gone\",target=\"" A "\"}") == 14);
    assert_true(sample(text.data, MODEL_TIME "{model=\"org/cut\",target=\"" A "\"}") == 15);
    assert_has_not(text.data, "org/odd");
}

static void labels_are_escaped(void **state)
{
    const char *const files[] = {"r.prom", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    options.files = files;
    options.quiet = true;
    make_report();
    bucket_ended("s3://a\"\\\n", NULL, 0);
    finish_prom(&text, false);
    assert_has(text.data, "s3_requests_total{target=\"s3://a\\\"\\\\\\n\"} 52\n");
}

/* Lines. */

static void plain_lines_tell_what_happens(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    make_report();
    assert_false(report->terminal);
    begin_catch(STDERR_FILENO, "err");
    all_events();
    report_line(report, REPORT_INFO, "info %d", 1);
    report_line(report, REPORT_DETAIL, "detail");
    report_line(report, REPORT_WARNING, "warning\x07");
    report_line(report, REPORT_ERROR, "error");
    assert_int_equal(report_finish(report, false), 1);
    end_catch();
    contents("err", &text);
    assert_has(text.data, "stored  org/one big.bin 3.0 MiB in 0.");
    assert_has(text.data, " -> s3://a\n");
    assert_has(text.data, "copied  org/one small.json 100 B -> s3://a\n");
    assert_has(text.data, "failed  org/one big.bin -> file:///b: the disk\\x1b[2J burns\\nall "
                          "over\n");
    assert_has_not(text.data, "there.json");
    assert_has(text.data, "published  org/one@main 0123456789ab -> s3://a: 2 files, 3.0 MiB "
                          "stored, 1 file copied in 41 s\n");
    assert_has(text.data, "failed  org/one@main 0123456789ab -> file:///b: the disk");
    assert_has(text.data, "unchanged  org/two@v1.0 0123456789ab -> s3://a\n");
    assert_has(text.data, "failed  org/three@main: the disk");
    assert_has(text.data, "\ninfo 1\nhfcache-refresh: warning: warning\\x07\nhfcache-refresh: "
                          "error: error\n");
    assert_has_not(text.data, "detail");
    assert_has(text.data, "bucket  s3://a: 17 objects, 5.0 MiB; 52 requests, 3 of them again; 5 "
                          "objects pruned\n");
    assert_has(text.data, "\n3 models: 1 unchanged, 2 failed; 1 file, 3.0 MiB stored, 1 file "
                          "copied in 2 buckets, 1 file failed in 0.");
    assert_has(text.data, "; hub 15 requests, s3 104 requests\n");
    assert_int_equal(times(text.data, "\x1b"), 0);
}

static void the_summary_of_a_good_run_is_short(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    good_events();
    model_ended("org/two", A, MODEL_UNCHANGED);
    report->began -= 41000;
    assert_int_equal(report_finish(report, false), 0);
    end_catch();
    contents("err", &text);
    assert_has(text.data, "\n2 models: 1 published, 1 unchanged; 1 file, 3.0 MiB stored in 41 s "
                          "(0.08 MB/s); hub 0 requests, s3 52 requests\n");
}

static void a_quiet_run_prints_failures_and_the_last_line(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    options.quiet = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    all_events();
    report_line(report, REPORT_INFO, "info");
    bucket_ended(B, &why, 0);
    (void)report_finish(report, false);
    end_catch();
    contents("err", &text);
    assert_int_equal(times(text.data, "\n"), 5);
    assert_has(text.data, "failed  org/one big.bin");
    assert_has(text.data, "failed  org/three@main");
    assert_has(text.data, "failed  bucket file:///b: the disk");
    assert_has(text.data, "3 models: ");
}

static void a_verbose_run_prints_details(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    options.verbose = true;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    report_line(report, REPORT_DETAIL, "detail");
    end_catch();
    contents("err", &text);
    assert_string_equal(text.data, "detail\n");
}

static void an_interrupted_run_says_how_to_go_on(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    make_report();
    assert_int_equal(finish(true), 1);
    contents("err", &text);
    assert_has(text.data, "0 models; nothing stored in 0.");
    assert_has(text.data, "\ninterrupted: what is stored stays, and the same command goes on from "
                          "there\n");
}

static void a_dry_run_prints_its_plan_to_stdout(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    options.dry_run = options.quiet = true;
    make_report();
    begin_catch(STDOUT_FILENO, "out");
    file_ended("org/one", "big.bin", A, 3 * 1024 * 1024, FILE_STORED);
    file_ended("org/one", "small.json", A, 100, FILE_COPIED);
    model_ended("org/one", A, MODEL_PLANNED);
    model_ended("org/two", A, MODEL_UNCHANGED);
    end_catch();
    contents("out", &text);
    assert_string_equal(text.data, "would store  org/one big.bin 3.0 MiB -> s3://a\n"
                                   "would copy  org/one small.json 100 B -> s3://a\n"
                                   "would publish  org/one@main 0123456789ab -> s3://a: 2 files, "
                                   "3.0 MiB to store, 1 file to copy\n"
                                   "unchanged  org/two@main 0123456789ab -> s3://a\n");
    assert_int_equal(finish(false), 0);
    contents("err", &text);
    assert_has(text.data, "2 models: 1 to publish, 1 unchanged; 1 file, 3.0 MiB to store, 1 file "
                          "to copy in 0.");
}

static void a_dry_run_with_nothing_to_do_says_so(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    options.dry_run = true;
    make_report();
    assert_int_equal(finish(false), 0);
    contents("err", &text);
    assert_has(text.data, "0 models; nothing to store in 0.");
}

static void a_plan_that_can_not_be_printed_fails_the_run(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), saved = dup(STDOUT_FILENO);

    (void)state;
    options.dry_run = true;
    make_report();
    (void)fflush(stdout);
    (void)dup2(full, STDOUT_FILENO);
    file_ended("org/one", "big.bin", A, 1, FILE_STORED);
    int rc = finish(false);
    (void)dup2(saved, STDOUT_FILENO);
    clearerr(stdout);
    (void)close(full);
    (void)close(saved);
    assert_int_equal(rc, 1);
    contents("err", &text);
    assert_has(text.data, "warning: the plan was not printed");
}

static void tick_now(void)
{
    report->tick.fn(report->tick.ctx);
}

static void long_work_has_a_heartbeat(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    make_report();
    begin_catch(STDERR_FILENO, "err");
    tick_now(); /* nothing is planned */
    report_planned(report, 2, 4096);
    struct report_progress *p = report_begin(report, "org/one f", 2048);
    report_moved(p, 1024);
    report->rate.at -= 60000;
    report->rate.began -= 60000;
    tick_now();
    assert_non_null(report->tick.loop);
    report_end(p);
    report_end(report_begin(report, "org/one g", 2048));
    tick_now(); /* all is done */
    end_catch();
    contents("err", &text);
    assert_string_equal(text.data, "0/2 files  1.0 KiB/4.0 KiB  0.00 MB/s  3 min 0 s left\n");
}

static void bytes_that_come_again_count_once_for_the_total(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1000);

    (void)state;
    make_report();
    report_planned(report, 1, 1000);
    struct report_progress *p = report_begin(report, "org/one f", 1000);
    report_moved(p, 600);
    report_moved(p, 0); /* starts again */
    report_moved(p, 300);
    report_add_totals(report, &text);
    assert_has(text.data, "0/1 files  300 B/1000 B");
    assert_int_equal(report->moved, 900); /* the line was as busy as that */
    report_end(report_begin(report, "not planned", 5000));
    hfc_buf_reset(&text);
    report_add_totals(report, &text);
    assert_has(text.data, "1/1 files  1000 B/1000 B");
}

static void the_time_left_has_an_end(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1000);

    (void)state;
    make_report();
    report_planned(report, 1, UINT64_MAX / 2);
    report->rate.per_second = 1;
    report_add_totals(report, &text);
    assert_has(text.data, "277777 h 46 min left");
}

/* Files that can't be. */

static void refuses(const char *file, const char *message)
{
    const char *const files[] = {file, NULL};

    options.files = files;
    assert_null(report_new(loop, &options, &err));
    assert_has(err.msg, message);
}

static void a_report_without_a_folder_is_refused_at_once(void **state)
{
    (void)state;
    refuses("no/such/r.json", "report no/such/r.json: No such file");
    assert_int_equal(hfc_file_create(-1, dir, "", 0, 0600, NULL), -1);
    assert_int_equal(hfc_file_create(AT_FDCWD, "file", "", 0, 0600, NULL), 0);
    refuses("file/r.json", "report file/r.json: Not a directory");
    assert_int_equal(mkdir("sub", 0700), 0);
    refuses("sub", "report sub: Is a directory");
    refuses("/proc/self/nothing/r.json", "No such file");
    refuses("/", "Is a directory");
    if (geteuid() != 0) {
        assert_int_equal(chmod("sub", 0500), 0);
        refuses("sub/r.json", "Permission denied");
    }
}

static void a_report_that_can_not_be_written_is_a_warning_and_fails(void **state)
{
    const char *const files[] = {"sub/r.prom", "r.json", "sub/r.json", NULL};
    hfc_autobuf struct hfc_buf text = HFC_BUF(100000);

    (void)state;
    assert_int_equal(mkdir("sub", 0700), 0);
    options.files = files;
    make_report();
    assert_int_equal(rmdir("sub"), 0);
    assert_int_equal(finish(false), 1);
    contents("err", &text);
    assert_has(text.data, "warning: the report was not written: sub/r.prom: No such file");
    assert_has(text.data, "warning: the report was not written: sub/r.json: No such file");
    json_t *o = read_json("r.json");
    assert_string_equal(json_string_value(json_object_get(o, "status")), "failed");
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(sizes_rates_and_times_read_well),
        T(text_from_outside_is_made_visible),
        T(a_rate_is_smoothed_and_never_negative),
        T(the_json_report_has_everything),
        T(the_json_report_says_how_it_went),
        T(text_that_is_not_utf8_does_not_break_the_json_report),
        T(failures_and_models_have_caps_and_are_counted_beyond),
        T(the_document_names_the_keys_that_are_written),
        T(the_textfile_has_all_metrics),
        T(a_good_run_sets_the_time_of_success),
        T(times_of_success_outlive_runs_that_fail),
        T(an_interrupted_run_keeps_all_times_of_success),
        T(labels_are_escaped),
        T(plain_lines_tell_what_happens),
        T(the_summary_of_a_good_run_is_short),
        T(a_quiet_run_prints_failures_and_the_last_line),
        T(a_verbose_run_prints_details),
        T(an_interrupted_run_says_how_to_go_on),
        T(a_dry_run_prints_its_plan_to_stdout),
        T(a_dry_run_with_nothing_to_do_says_so),
        T(a_plan_that_can_not_be_printed_fails_the_run),
        T(long_work_has_a_heartbeat),
        T(bytes_that_come_again_count_once_for_the_total),
        T(the_time_left_has_an_end),
        T(a_report_without_a_folder_is_refused_at_once),
        T(a_report_that_can_not_be_written_is_a_warning_and_fails),
    };

    return cmocka_run_group_tests(tests, remember_home, NULL);
}
