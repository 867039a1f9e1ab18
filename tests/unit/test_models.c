/* test_models.c: models.txt and what is derived from its lines (refresh/models.c, models_words.c,
 * model.c, unicode.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "file.h"
#include "models.h"
#include "unicode.h"

/* Findings as lines "LINE:COLUMN: MESSAGE[; HINT]". */
static char found[8192];

static void note(void *ctx, unsigned line, unsigned column, const char *message, const char *hint)
{
    size_t n = strlen(found);

    (*(unsigned *)ctx)++;
    snprintf(found + n, sizeof(found) - n, "%u:%u: %s%s%s\n", line, column, message,
             hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

static struct models parse_n(const char *text, size_t n, size_t expected)
{
    struct models models;
    unsigned count = 0;

    found[0] = '\0';
    size_t findings = models_parse(text, n, &models, note, &count);
    if (findings != expected)
        fail_msg("%zu findings:\n%s", findings, found);
    assert_int_equal(count, expected);
    if (expected > 0) {
        assert_int_equal(models.n, 0);
        assert_null(models.list);
    }
    return models;
}

static struct models parse(const char *text)
{
    return parse_n(text, strlen(text), 0);
}

/* The text has exactly these findings. */
static void check_findings(const char *text, const char *expected)
{
    size_t lines = 0;

    for (const char *p = expected; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    struct models models = parse_n(text, strlen(text), lines);
    assert_string_equal(found, expected);
    models_free(&models);
}

static void a_line_names_a_repository_and_main_is_its_revision(void **state)
{
    struct models m = parse("org/name\n");

    (void)state;
    assert_int_equal(m.n, 1);
    assert_string_equal(m.list[0].repo, "org/name");
    assert_string_equal(m.list[0].revision, "main");
    assert_int_equal(m.list[0].kind, REPO_MODEL);
    assert_int_equal(m.list[0].line, 1);
    assert_false(m.list[0].config_only);
    assert_int_equal(m.list[0].nallow + m.list[0].nignore, 0);
    models_free(&m);
}

static void options_are_read_in_any_order(void **state)
{
    struct models m =
        parse("a/b@v1.0 config-only ignore=*.bin allow=x/* kind=dataset allow=[a]?\n");
    const struct model *first = &m.list[0];

    (void)state;
    assert_string_equal(first->revision, "v1.0");
    assert_int_equal(first->kind, REPO_DATASET);
    assert_true(first->config_only);
    assert_int_equal(first->nallow, 2);
    assert_string_equal(first->allow[0], "x/*");
    assert_string_equal(first->allow[1], "[a]?");
    assert_int_equal(first->nignore, 1);
    assert_string_equal(first->ignore[0], "*.bin");
    models_free(&m);
}

static void a_value_may_contain_the_equals_sign(void **state)
{
    struct models m = parse("a/b allow=x=y kind=model");

    (void)state;
    assert_string_equal(m.list[0].allow[0], "x=y");
    models_free(&m);
}

static void blanks_comments_crlf_and_bom_do_not_matter(void **state)
{
    struct models m =
        parse("\xEF\xBB\xBF# head\r\n\r\n \t a/b \t allow=x#y\r\n#\n\t\nc@# none\r\nd/e");

    (void)state;
    assert_int_equal(m.n, 3);
    assert_string_equal(m.list[0].repo, "a/b");
    assert_string_equal(m.list[0].allow[0], "x");
    assert_int_equal(m.list[0].line, 3);
    assert_string_equal(m.list[1].repo, "c");
    assert_string_equal(m.list[1].revision, "main");
    assert_string_equal(m.list[2].repo, "d/e");
    assert_int_equal(m.list[2].line, 7);
    models_free(&m);
}

static void an_empty_list_is_fine(void **state)
{
    (void)state;
    const char *const texts[] = {"", "\n", "# nothing", "\xEF\xBB\xBF", " \t"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct models m = parse(texts[i]);
        assert_int_equal(m.n, 0);
        models_free(&m);
    }
}

static void the_revision_begins_at_the_first_at_sign(void **state)
{
    struct models m = parse("a/b@refs/pr/1@x\na/b@\n");

    (void)state;
    assert_string_equal(m.list[0].revision, "refs/pr/1@x");
    assert_string_equal(m.list[1].revision, "main");
    models_free(&m);
}

static void long_lists_are_read(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1 << 20);

    (void)state;
    for (int i = 0; i < 5000; i++)
        hfc_buf_printf(&text, "org/name-%d\n", i);
    struct models m = parse(text.data);
    assert_int_equal(m.n, 5000);
    assert_string_equal(m.list[4999].repo, "org/name-4999");
    models_free(&m);
}

static void everything_wrong_is_found_with_its_place(void **state)
{
    (void)state;
    check_findings("ok/ok\n"
                   "  bad--name allow= \xC3\xA4=1 nonsense\n"
                   "a/b@x..y kind=space\n",
                   "2:3: repository \"bad--name\" contains -- or ..; write ORG/NAME\n"
                   "2:13: allow= needs a value\n"
                   "2:20: unknown option \"\xC3\xA4\"; options are kind=, allow=, ignore= and "
                   "config-only\n"
                   "2:24: unknown option \"nonsense\"; options are kind=, allow=, ignore= and "
                   "config-only\n"
                   "3:5: the revision contains ..; write a branch, a tag or a commit\n"
                   "3:15: unknown kind \"space\"; kinds are model and dataset\n");
}

static void a_repository_listed_twice_names_the_first_line(void **state)
{
    (void)state;
    check_findings("a/b\n\na/b@v1\na/b kind=dataset\n a/b@main allow=*\n",
                   "5:2: a/b@main is in line 1 already; put all of its globs into one line\n");
}

static void bad_characters_are_found(void **state)
{
    (void)state;
    check_findings("a/b\x07\n"
                   "\xC3\xA4 \xFF x\n"
                   "a/b # \x1b[2J\n"
                   "a\rb\n"
                   "c/d \xC2\x85\n",
                   "1:4: control character U+0007\n"
                   "2:3: byte 0xFF is not UTF-8; save the file as UTF-8\n"
                   "3:7: control character U+001B\n"
                   "4:2: control character U+000D\n"
                   "5:5: control character U+0085\n");
    struct models m = parse_n("a/\0b\n", 5, 1);
    assert_string_equal(found, "1:3: control character U+0000\n");
    models_free(&m);
}

static void names_follow_the_rules_of_the_hub(void **state)
{
    static const struct {
        const char *id, *fault;
    } ids[] = {
        {"a", NULL},
        {"gpt2", NULL},
        {"Org-1/Name_2.x", NULL},
        {"_a/_b_", NULL},
        {"", "is empty"},
        {"a/b/c", "has more than two parts"},
        {"/a", "has an empty part"},
        {"a/", "has an empty part"},
        {"a b", "has a character other than A-Z a-z 0-9 . _ -"},
        {"a/b%", "has a character other than A-Z a-z 0-9 . _ -"},
        {"-a/b", "has a part that starts or ends with - or ."},
        {"a/b.", "has a part that starts or ends with - or ."},
        {".a", "has a part that starts or ends with - or ."},
        {"a-/b", "has a part that starts or ends with - or ."},
        {"a--b", "contains -- or .."},
        {"a/b..c", "contains -- or .."},
        {"..", "contains -- or .."},
        {"a/b.git", "ends in .git"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        if (ids[i].fault == NULL)
            assert_null(model_id_fault(ids[i].id));
        else
            assert_string_equal(model_id_fault(ids[i].id), ids[i].fault);
    char longest[98] = {0};
    memset(longest, 'x', 96);
    assert_null(model_id_fault(longest));
    memset(longest, 'x', 97);
    assert_string_equal(model_id_fault(longest), "has a part of more than 96 characters");
}

static void a_wrong_name_gets_a_hint_at_what_was_meant(void **state)
{
    (void)state;
    check_findings(
        "datasets/a/b\nmodels/a/b\nspaces/a\nhttps://huggingface.co/a/b\n@v1\n",
        "1:1: repository \"datasets/a/b\" is no repository's name; write ORG/NAME kind=dataset\n"
        "2:1: repository \"models/a/b\" is no repository's name; write ORG/NAME alone\n"
        "3:1: repository \"spaces/a\" is no repository's name; only models and datasets can be "
        "published\n"
        "4:1: repository \"https://huggingface.co/a/b\" has more than two parts; write ORG/NAME, "
        "not its address\n"
        "5:1: repository \"\" is empty; write ORG/NAME\n");
}

static void revisions_that_would_leave_their_folder_are_refused(void **state)
{
    (void)state;
    check_findings("a/b@/x\na/b@x/\na/b@x//y\na/b@./x\na/b@x/.\na/b@../x\na/b@x/./y\n",
                   "1:5: the revision has an empty part; write a branch, a tag or a commit\n"
                   "2:5: the revision has an empty part; write a branch, a tag or a commit\n"
                   "3:5: the revision has an empty part; write a branch, a tag or a commit\n"
                   "4:5: the revision has the part \".\"; write a branch, a tag or a commit\n"
                   "5:5: the revision has the part \".\"; write a branch, a tag or a commit\n"
                   "6:5: the revision contains ..; write a branch, a tag or a commit\n"
                   "7:5: the revision has the part \".\"; write a branch, a tag or a commit\n");
    char text[300] = "a/b@";
    memset(text + 4, 'x', 255);
    struct models m = parse(text);
    models_free(&m);
    memset(text + 4, 'x', 256);
    check_findings(text, "1:5: the revision is longer than 255 bytes; write a branch, a tag or a "
                         "commit\n");
}

static void options_are_given_once(void **state)
{
    (void)state;
    check_findings("a/b kind=model kind=model config-only config-only\n",
                   "1:21: kind= is given twice\n1:39: config-only is given twice\n");
}

static void mistyped_options_get_a_hint(void **state)
{
    (void)state;
    check_findings("a/b alow=x ignre=y kin=model config_only revision=x dataset exclude=* "
                   "include=* config-only=1 ignore kind\n",
                   "1:5: unknown option \"alow\"; did you mean allow=?\n"
                   "1:12: unknown option \"ignre\"; did you mean ignore=?\n"
                   "1:20: unknown option \"kin\"; did you mean kind=?\n"
                   "1:30: unknown option \"config_only\"; did you mean config-only?\n"
                   "1:42: unknown option \"revision\"; write REPO@REVISION\n"
                   "1:53: unknown option \"dataset\"; did you mean kind=dataset?\n"
                   "1:61: unknown option \"exclude\"; did you mean ignore=?\n"
                   "1:71: unknown option \"include\"; did you mean allow=?\n"
                   "1:81: config-only takes no value\n"
                   "1:95: ignore= needs a value\n"
                   "1:102: kind= needs a value\n");
}

static void globs_have_limits(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1 << 16);

    (void)state;
    hfc_buf_str(&text, "a/b");
    for (int i = 0; i < MODEL_GLOBS_MAX + 1; i++)
        hfc_buf_str(&text, " allow=x");
    check_findings(text.data, "1:2059: more than 256 globs\n");
    hfc_buf_reset(&text);
    hfc_buf_printf(&text, "a/b ignore=%01024d", 0);
    struct models m = parse(text.data);
    models_free(&m);
    hfc_buf_char(&text, '0');
    check_findings(text.data, "1:12: a glob of more than 1024 bytes\n");
}

static void a_long_word_is_cut_in_the_message(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(1 << 16);

    (void)state;
    for (int i = 0; i < 101; i++)
        hfc_buf_str(&text, "\xC3\xA4");
    struct models m = parse_n(text.data, text.len, 1);
    models_free(&m);
    assert_non_null(strstr(found, "\xC3\xA4...\" has a part of more than"));
}

static void the_file_is_read(void **state)
{
    struct models m;
    struct hfc_error err = {0};
    unsigned count = 0;
    char path[] = "/tmp/hfc-test-models-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a/b\n", 4), 4);
    assert_int_equal(models_read(path, &m, note, &count, &err), 0);
    assert_int_equal(m.n, 1);
    models_free(&m);
    assert_int_equal(write(fd, "a/b\n?\n", 6), 6);
    found[0] = '\0';
    assert_int_equal(models_read(path, &m, note, &count, &err), -1);
    assert_int_equal(count, 2);
    assert_non_null(strstr(err.msg, ": 2 errors"));
    assert_int_equal(m.n, 0);
    assert_int_equal(ftruncate(fd, (off_t)MODELS_BYTES_MAX + 1), 0);
    assert_int_equal(models_read(path, &m, note, &count, &err), -1);
    assert_int_equal(err.errnum, EFBIG);
    assert_int_equal(ftruncate(fd, 1), 0);
    assert_int_equal(pwrite(fd, "?", 1, 0), 1);
    assert_int_equal(models_read(path, &m, note, &count, &err), -1);
    assert_non_null(strstr(err.msg, ": 1 error"));
    assert_null(strstr(err.msg, "errors"));
    close(fd);
    unlink(path);
    assert_int_equal(models_read(path, &m, note, &count, &err), -1);
    assert_int_equal(err.errnum, ENOENT);
}

static void an_argument_is_a_repository_and_nothing_else(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "model \"\": the name is empty; write REPO or REPO@REVISION"},
        {"a/b kind=dataset", "model \"a/b kind=dataset\": blanks and # have no place in a name; "
                             "options can only be given in models.txt"},
        {"a/b#", "model \"a/b#\": blanks and # have no place in a name; options can only be given "
                 "in models.txt"},
        {"a--b@..", "model \"a--b@..\": repository \"a--b\" contains -- or ..; write ORG/NAME"},
        {"a\xFF", "model \"a\\xff\": control characters or broken UTF-8"},
        {"a\x1b", "model \"a\\x1b\": control characters or broken UTF-8"},
    };
    struct hfc_error err = {0};
    struct model m;

    (void)state;
    assert_int_equal(model_parse_argument("a/b@v2", &m, &err), 0);
    assert_string_equal(m.repo, "a/b");
    assert_string_equal(m.revision, "v2");
    assert_int_equal(m.line, 0);
    model_free(&m);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(model_parse_argument(bad[i].text, &m, &err), -1);
        assert_string_equal(err.msg, bad[i].message);
        assert_null(m.repo);
    }
}

static void check_folder(const char *line, const char *folder)
{
    struct models m = parse(line);
    hfc_autobuf struct hfc_buf out = HFC_BUF(1000);

    model_folder(&m.list[0], &out);
    assert_string_equal(out.data, folder);
    models_free(&m);
}

static void a_folder_is_named_as_the_cache_names_it(void **state)
{
    (void)state;
    check_folder("Org/Name.x@rev", "models--Org--Name.x");
    check_folder("gpt2", "models--gpt2");
    check_folder("a/b kind=dataset", "datasets--a--b");
}

static bool same_filter(const char *a, const char *b)
{
    struct models ma = parse(a), mb = parse(b);
    uint8_t da[HFC_SHA256_SIZE], db[HFC_SHA256_SIZE];

    model_filter(&ma.list[0], da);
    model_filter(&mb.list[0], db);
    models_free(&ma);
    models_free(&mb);
    return memcmp(da, db, sizeof(da)) == 0;
}

static void a_filter_changes_with_what_is_wanted(void **state)
{
    (void)state;
    assert_true(same_filter("a/b allow=x allow=y", "c/d@v1 allow=y allow=x allow=y"));
    assert_true(same_filter("a/b", "c/d"));
    assert_false(same_filter("a/b allow=x", "a/b"));
    assert_false(same_filter("a/b allow=x", "a/b ignore=x"));
    assert_false(same_filter("a/b allow=xy", "a/b allow=x allow=y"));
    assert_false(same_filter("a/b config-only", "a/b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_a_repository_and_main_is_its_revision),
        cmocka_unit_test(options_are_read_in_any_order),
        cmocka_unit_test(a_value_may_contain_the_equals_sign),
        cmocka_unit_test(blanks_comments_crlf_and_bom_do_not_matter),
        cmocka_unit_test(an_empty_list_is_fine),
        cmocka_unit_test(the_revision_begins_at_the_first_at_sign),
        cmocka_unit_test(long_lists_are_read),
        cmocka_unit_test(everything_wrong_is_found_with_its_place),
        cmocka_unit_test(a_repository_listed_twice_names_the_first_line),
        cmocka_unit_test(bad_characters_are_found),
        cmocka_unit_test(names_follow_the_rules_of_the_hub),
        cmocka_unit_test(a_wrong_name_gets_a_hint_at_what_was_meant),
        cmocka_unit_test(revisions_that_would_leave_their_folder_are_refused),
        cmocka_unit_test(options_are_given_once),
        cmocka_unit_test(mistyped_options_get_a_hint),
        cmocka_unit_test(globs_have_limits),
        cmocka_unit_test(a_long_word_is_cut_in_the_message),
        cmocka_unit_test(the_file_is_read),
        cmocka_unit_test(an_argument_is_a_repository_and_nothing_else),
        cmocka_unit_test(a_folder_is_named_as_the_cache_names_it),
        cmocka_unit_test(a_filter_changes_with_what_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
