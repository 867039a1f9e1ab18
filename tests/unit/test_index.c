/* test_index.c: the bucket's index (lib/index.c, index_read.c, index_write.c). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "http.h"
#include "index.h"

#define COMMIT_A "0123456789abcdef0123456789abcdef01234567"
#define COMMIT_B "89abcdef0123456789abcdef0123456789abcdef"
#define SHA256_A "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA1_A "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
#define HEAD "hfcache-index 1\n"
#define SNAPSHOT "snapshot models--a--b " COMMIT_A " -\n"
#define OBJECT(key) "object 1 e - - " key "\n"

enum { ROOM = 64 * 1024 * 1024 };

const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static struct hfc_error err;
static struct hfc_index *x;

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    x = hfc_index_new(ROOM);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hfc_index_free(x);
    return 0;
}

static void empty_again(size_t max)
{
    hfc_index_free(x);
    x = hfc_index_new(max);
}

static struct hfc_entry object(const char *key, const char *etag, uint64_t size)
{
    return (struct hfc_entry){.key = key, .etag = etag, .size = size};
}

static int put_in(struct hfc_index *to, const char *key)
{
    struct hfc_entry e = object(key, "e", 1);

    return hfc_index_put(to, &e, &err);
}

static void put(const char *key)
{
    if (put_in(x, key) < 0)
        fail_msg("%s: %s", key, err.msg);
}

static int put_ref(const char *key, const char *commit)
{
    struct hfc_entry e = object(key, "ignored", 7);

    (void)snprintf(e.commit, sizeof(e.commit), "%s", commit);
    return hfc_index_put(x, &e, &err);
}

static int put_snapshot(const char *repo, const char *commit, int filter)
{
    struct hfc_snapshot s = {.repo = repo, .has_filter = filter >= 0};

    memset(s.filter, filter, sizeof(s.filter));
    (void)snprintf(s.commit, sizeof(s.commit), "%s", commit);
    return hfc_index_put_snapshot(x, &s, &err);
}

/* The whole text of an index, read `step` bytes at a time. */
static void write_text(const struct hfc_index *from, size_t step, struct hfc_buf *out)
{
    struct hfc_index_writer *w = hfc_index_writer_new(from);
    struct hfc_body body = hfc_index_body(w);
    uint8_t is[HFC_SHA256_SIZE];
    ssize_t n;

    hfc_buf_init(out, ROOM);
    do {
        char *at = hfc_buf_reserve(out, step);
        assert_non_null(at);
        n = body.read(body.ctx, out->len, at, step);
        assert_in_range(n, 0, step);
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    } while (n > 0);
    assert_int_equal(out->len, body.size);
    hfc_hash_of(HFC_SHA256, out->data, out->len, is);
    assert_memory_equal(is, body.sha256, sizeof(is));
    hfc_index_writer_free(w);
}

/* Parses `n` bytes in pieces of `step`. */
static int parse(const char *text, size_t n, size_t step)
{
    struct hfc_index_parser *p = hfc_index_parser_new(x);
    int rc = 0;

    for (size_t at = 0; at < n && rc == 0; at += step)
        rc = hfc_index_parse(p, text + at, n - at < step ? n - at : step, &err);
    if (rc == 0)
        rc = hfc_index_parser_finish(p, &err);
    hfc_index_parser_free(p);
    return rc;
}

/* Puts the end line that `text` ought to have behind it. */
static void add_end(struct hfc_buf *text)
{
    uint8_t digest[HFC_SHA256_SIZE];
    char hex[HFC_HEX_MAX];
    size_t lines = 0;

    for (size_t i = 0; i < text->len; i++)
        lines += text->data[i] == '\n';
    hfc_hash_of(HFC_SHA256, text->data, text->len, digest);
    hfc_hex(digest, sizeof(digest), hex);
    hfc_buf_printf(text, "end %zu %s\n", lines, hex);
}

static int parse_with_end(const char *lines)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM);

    hfc_buf_str(&text, lines);
    add_end(&text);
    return parse(text.data, text.len, text.len);
}

/* ---- The table. ---- */

static void entries_are_kept_in_byte_order(void **state)
{
    static const char *const given[] = {"b", "a/b", "a.b", "a", "\xc3\xa4", "B", "a-", "a/b/c"};
    static const char *const sorted[] = {"B", "a", "a-", "a.b", "a/b", "a/b/c", "b", "\xc3\xa4"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(given); i++)
        put(given[i]);
    assert_int_equal(hfc_index_count(x), HFC_ARRAY_LEN(sorted));
    for (size_t i = 0; i < HFC_ARRAY_LEN(sorted); i++) {
        assert_string_equal(hfc_index_at(x, i)->key, sorted[i]);
        assert_int_equal(hfc_index_seek(x, sorted[i]), i);
    }
    assert_int_equal(hfc_index_seek(x, ""), 0);
    assert_int_equal(hfc_index_seek(x, "a/"), 4);
    assert_int_equal(hfc_index_seek(x, "\xff"), 8);
    assert_null(hfc_index_find(x, "a/"));
    assert_null(hfc_index_find(x, "z"));
}

static void a_known_key_gets_a_new_entry(void **state)
{
    struct hfc_entry e = object("k", "one", 1);

    (void)state;
    e.meta.has_sha256 = true;
    memset(e.meta.sha256, 7, sizeof(e.meta.sha256));
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    e = object("k", "a-longer-one", INT64_MAX);
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    assert_int_equal(hfc_index_count(x), 1);
    const struct hfc_entry *found = hfc_index_find(x, "k");
    assert_string_equal(found->etag, "a-longer-one");
    assert_true(found->size == INT64_MAX);
    assert_false(found->meta.has_sha256);
}

static void an_entry_of_the_index_itself_can_be_put(void **state)
{
    (void)state;
    put("k");
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(hfc_index_put(x, hfc_index_find(x, "k"), &err), 0);
    struct hfc_entry e = *hfc_index_find(x, "k");
    e.etag = "other";
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    assert_string_equal(hfc_index_find(x, "k")->etag, "other");
}

static void of_a_ref_only_key_and_commit_count(void **state)
{
    (void)state;
    assert_int_equal(put_ref("hub/m/refs/main", COMMIT_A), 0);
    const struct hfc_entry *e = hfc_index_find(x, "hub/m/refs/main");
    assert_string_equal(e->commit, COMMIT_A);
    assert_string_equal(e->etag, "");
    assert_int_equal(e->size, 40);
    assert_int_equal(put_ref("r", "0123"), -1);
    assert_string_equal(err.msg, "the commit is not 40 hex digits");
    assert_int_equal(err.errnum, EINVAL);
}

static void snapshots_are_kept_in_order(void **state)
{
    (void)state;
    assert_int_equal(put_snapshot("m--b", COMMIT_A, -1), 0);
    assert_int_equal(put_snapshot("m--a", COMMIT_B, 1), 0);
    assert_int_equal(put_snapshot("m--a", COMMIT_A, 2), 0);
    assert_int_equal(put_snapshot("m--a", COMMIT_B, 3), 0);
    assert_int_equal(hfc_index_snapshots(x), 3);
    assert_string_equal(hfc_index_snapshot_at(x, 0)->commit, COMMIT_A);
    assert_string_equal(hfc_index_snapshot_at(x, 1)->commit, COMMIT_B);
    assert_string_equal(hfc_index_snapshot_at(x, 2)->repo, "m--b");
    const struct hfc_snapshot *s = hfc_index_snapshot(x, "m--a", COMMIT_B);
    assert_true(s->has_filter);
    assert_int_equal(s->filter[31], 3);
    assert_false(hfc_index_snapshot_at(x, 2)->has_filter);
    assert_null(hfc_index_snapshot(x, "m--b", COMMIT_B));
    assert_true(hfc_index_remove_snapshot(x, "m--a", COMMIT_A));
    assert_false(hfc_index_remove_snapshot(x, "m--a", COMMIT_A));
    assert_int_equal(hfc_index_snapshots(x), 2);
}

static void unusable_keys_are_refused(void **state)
{
    char key[HFC_KEY_MAX + 2];
    static const char *const bad[][2] = {
        {"", "the key has not 1 to 1024 bytes"},
        {"/a", "the key has an empty segment"},
        {"a//b", "the key has an empty segment"},
        {"a/", "the key has an empty segment"},
        {".", "the key has a segment '.' or '..'"},
        {"a/./b", "the key has a segment '.' or '..'"},
        {"a/..", "the key has a segment '.' or '..'"},
        {"../a", "the key has a segment '.' or '..'"},
        {".hfcache/index", "the key is below .hfcache/"},
        {"a\xff", "the key is not UTF-8"},
        {"\xc3", "the key is not UTF-8"},
        {"\xc0\xaf", "the key is not UTF-8"},
        {"\xe0\x80\xaf", "the key is not UTF-8"},
        {"\xed\xa0\x80", "the key is not UTF-8"},
        {"\xf4\x90\x80\x80", "the key is not UTF-8"},
        {"\xf5\x80\x80\x80", "the key is not UTF-8"},
        {"\x80", "the key is not UTF-8"},
    };
    static const char *const good[] = {".a",
                                       "..a",
                                       "a..",
                                       "...",
                                       "a/.b/c",
                                       ".hfcache",
                                       ".hfcacher/a",
                                       "\xf0\x9f\x98\x80",
                                       "\xe2\x82\xac",
                                       "a b",
                                       "%",
                                       "\x7f",
                                       "\r"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        assert_int_equal(put_in(x, bad[i][0]), -1);
        assert_string_equal(err.msg, bad[i][1]);
        assert_int_equal(err.errnum, EINVAL);
    }
    for (size_t i = 0; i < HFC_ARRAY_LEN(good); i++)
        put(good[i]);
    memset(key, 'k', sizeof(key));
    key[HFC_KEY_MAX + 1] = '\0';
    assert_int_equal(put_in(x, key), -1);
    key[HFC_KEY_MAX] = '\0';
    put(key);
}

static void other_members_are_looked_at_too(void **state)
{
    static const char *const etags[] = {"", "a b", "a\"", "\x7f", "\xc3\xa4", "a\n"};
    char etag[HFC_ETAG_MAX + 1];
    char repo[257];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(etags); i++) {
        struct hfc_entry e = object("k", etags[i], 1);
        assert_int_equal(hfc_index_put(x, &e, &err), -1);
        assert_string_equal(err.msg, "the ETag is empty, too long or not printable");
    }
    memset(etag, 'e', sizeof(etag));
    etag[HFC_ETAG_MAX] = '\0';
    struct hfc_entry e = object("k", etag, 1);
    assert_int_equal(hfc_index_put(x, &e, NULL), -1);
    etag[HFC_ETAG_MAX - 1] = '\0';
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    e.size = (uint64_t)INT64_MAX + 1;
    assert_int_equal(hfc_index_put(x, &e, &err), -1);
    assert_string_equal(err.msg, "the size is beyond 2^63-1");
    memset(repo, 'r', sizeof(repo));
    repo[256] = '\0';
    assert_int_equal(put_snapshot(repo, COMMIT_A, 0), -1);
    repo[255] = '\0';
    assert_int_equal(put_snapshot(repo, COMMIT_A, 0), 0);
    assert_int_equal(put_snapshot("", COMMIT_A, 0), -1);
    assert_int_equal(put_snapshot("..", COMMIT_A, 0), -1);
    assert_int_equal(put_snapshot("a/b", COMMIT_A, 0), -1);
    assert_int_equal(put_snapshot("\xff", COMMIT_A, 0), -1);
    assert_string_equal(err.msg, "the repository is not the name of a folder");
    assert_int_equal(put_snapshot("a", "0123456789ABCDEF0123456789abcdef01234567", 0), -1);
    assert_string_equal(err.msg, "the commit is not 40 hex digits");
}

static void the_cap_on_memory_holds(void **state)
{
    char key[32];
    unsigned n = 0;

    (void)state;
    for (size_t max = 4000; max < 200000; max += 3001) {
        empty_again(max);
        for (n = 0; snprintf(key, sizeof(key), "%08u", n) > 0 && put_in(x, key) == 0; n++)
            assert_true(hfc_index_memory(x) <= max);
        assert_int_equal(err.errnum, ENOMEM);
        assert_int_equal(hfc_index_count(x), n);
        assert_true(hfc_index_memory(x) <= max);
        /* Nearly all of the cap is of use: an entry with its pointer takes less than 160 bytes. */
        assert_true(max < 20000 || n > max / 10 * 8 / 160);
        /* What is freed can be used again. */
        assert_true(hfc_index_remove(x, "00000000"));
        assert_int_equal(put_in(x, "0000000z"), 0);
    }
    assert_string_equal(strchr(err.msg, 'b'), "bytes of memory");
    while (put_snapshot(key, COMMIT_A, 0) == 0)
        (void)snprintf(key, sizeof(key), "%08u", n++);
    assert_int_equal(err.errnum, ENOMEM);
    empty_again(1);
    assert_int_equal(put_in(x, "k"), -1);
    assert_memory_equal(err.msg, "the index takes more than 1", 27);
    assert_int_equal(put_snapshot("k", COMMIT_A, 0), -1);
}

static void replacing_for_ever_takes_no_more_memory(void **state)
{
    static const char *const etags[] = {"1", "1234567890", "12345678901234567890"};
    char key[32];

    (void)state;
    empty_again(64 * 1024);
    for (unsigned i = 0; i < 200000; i++) {
        (void)snprintf(key, sizeof(key), "key-%u", i * 7919 % 100);
        struct hfc_entry e = object(key, etags[i % 3], i);
        assert_int_equal(hfc_index_put(x, &e, &err), 0);
    }
    assert_int_equal(hfc_index_count(x), 100);
}

static void remove_all(void)
{
    while (hfc_index_count(x) > 0)
        assert_true(hfc_index_remove(x, hfc_index_at(x, 0)->key));
}

static void freed_memory_is_of_use_for_shorter_keys(void **state)
{
    char key[HFC_KEY_MAX + 1];
    unsigned n = 0;

    (void)state;
    empty_again(64 * 1024);
    /* So that the table of pointers is large enough from here on. */
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        put(key);
    }
    remove_all();
    memset(key, 'k', sizeof(key));
    key[HFC_KEY_MAX] = '\0';
    do
        (void)snprintf(key, 5, "%04u", n++), key[4] = 'k';
    while (put_in(x, key) == 0);
    remove_all();
    for (unsigned i = 0; i < 4 * n; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        put(key);
    }
}

/* ---- Against a model that can't be wrong. ---- */

enum { MODEL_KEYS = 200 };

static struct {
    bool there;
    char etag[8];
    uint64_t size;
} model[MODEL_KEYS];

static void model_key(unsigned i, char key[16])
{
    (void)snprintf(key, 16, "%c/%03u", 'a' + (char)(i % 5), i);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void same_as_model(void)
{
    char keys[MODEL_KEYS][16], key[16];
    size_t n = 0;

    for (unsigned i = 0; i < MODEL_KEYS; i++)
        if (model[i].there)
            model_key(i, keys[n++]);
    qsort(keys, n, sizeof(keys[0]), by_text);
    assert_int_equal(hfc_index_count(x), n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(hfc_index_at(x, i)->key, keys[i]);
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        model_key(i, key);
        const struct hfc_entry *e = hfc_index_find(x, key);
        assert_true((e != NULL) == model[i].there);
        if (e != NULL) {
            assert_string_equal(e->etag, model[i].etag);
            assert_int_equal(e->size, model[i].size);
        }
    }
}

static void any_sequence_of_changes_gives_what_a_model_has(void **state)
{
    unsigned seed = (unsigned)time(NULL);
    char key[16];

    (void)state;
    print_message("seed %u\n", seed);
    memset(model, 0, sizeof(model));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % MODEL_KEYS;
        model_key(i, key);
        if (rand_r(&seed) % 3 == 0) {
            assert_true(hfc_index_remove(x, key) == model[i].there);
            model[i].there = false;
        } else {
            model[i].there = true;
            model[i].size = step;
            (void)snprintf(model[i].etag, sizeof(model[i].etag), "%.*s", 1 + rand_r(&seed) % 6,
                           "abcdefg");
            struct hfc_entry e = object(key, model[i].etag, step);
            assert_int_equal(hfc_index_put(x, &e, &err), 0);
        }
        if (step % 100 == 0)
            same_as_model();
    }
    same_as_model();
}

/* ---- Text. ---- */

/* An index with everything that there can be. */
static void fill_all(void)
{
    struct hfc_entry e = object("hub/a b%\x7f\n\xc3\xa4", "\x25-3", 12345);

    memset(e.meta.sha256, 0xab, sizeof(e.meta.sha256));
    memset(e.meta.git_sha1, 0xcd, sizeof(e.meta.git_sha1));
    e.meta.has_sha256 = true;
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    e.key = "hub/b";
    e.meta.has_git_sha1 = true;
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    e = object("hub/c", "x", INT64_MAX);
    assert_int_equal(hfc_index_put(x, &e, &err), 0);
    assert_int_equal(put_ref("hub/m/refs/main", COMMIT_A), 0);
    assert_int_equal(put_snapshot("models--a--b", COMMIT_A, 0x1f), 0);
    assert_int_equal(put_snapshot("models--a--b", COMMIT_B, -1), 0);
    assert_int_equal(put_snapshot("models--a b", COMMIT_B, -1), 0);
}

static void the_text_is_as_specified(void **state)
{
    hfc_autobuf struct hfc_buf text, expected = HFC_BUF(ROOM);

    (void)state;
    fill_all();
    write_text(x, 4096, &text);
    hfc_buf_str(
        &expected,
        HEAD "snapshot models--a%20b " COMMIT_B " -\n"
             "snapshot models--a--b " COMMIT_A
             " 1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f\n"
             "snapshot models--a--b " COMMIT_B " -\n"
             "object 12345 %25-3 abababababababababababababababababababababababababababababababab"
             " - hub/a%20b%25%7F%0A\xc3\xa4\n"
             "object 12345 %25-3 abababababababababababababababababababababababababababababababab"
             " cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd hub/b\n"
             "object 9223372036854775807 x - - hub/c\n"
             "ref " COMMIT_A " hub/m/refs/main\n");
    add_end(&expected);
    assert_string_equal(text.data, expected.data);
}

static void an_empty_index_is_two_lines(void **state)
{
    hfc_autobuf struct hfc_buf text;

    (void)state;
    write_text(x, 1, &text);
    assert_string_equal(text.data, HEAD
                        "end 1 4966659ec02ba5a143ef1d59f45447484fd1d059734eb726b1d487355e4b6a86\n");
}

static void what_is_read_in_any_pieces_is_written_the_same(void **state)
{
    hfc_autobuf struct hfc_buf text;

    (void)state;
    fill_all();
    write_text(x, 1000, &text);
    for (size_t step = 1; step <= text.len; step++) {
        hfc_autobuf struct hfc_buf again;
        empty_again(ROOM);
        assert_int_equal(parse(text.data, text.len, step), 0);
        assert_int_equal(hfc_index_count(x), 4);
        assert_int_equal(hfc_index_snapshots(x), 3);
        write_text(x, step, &again);
        assert_string_equal(again.data, text.data);
    }
}

static void a_text_cut_anywhere_is_refused(void **state)
{
    hfc_autobuf struct hfc_buf text;

    (void)state;
    fill_all();
    write_text(x, 1000, &text);
    for (size_t n = 0; n < text.len; n++) {
        empty_again(ROOM);
        assert_int_equal(parse(text.data, n, 100), -1);
        assert_int_equal(err.errnum, EBADMSG);
        assert_memory_equal(err.msg, "line ", 5);
    }
}

static void any_changed_bit_is_refused(void **state)
{
    hfc_autobuf struct hfc_buf text;

    (void)state;
    fill_all();
    write_text(x, 1000, &text);
    for (size_t i = 0; i < text.len * 8; i++) {
        text.data[i / 8] ^= (char)(1 << i % 8);
        empty_again(ROOM);
        assert_int_equal(parse(text.data, text.len, 1 << 20), -1);
        text.data[i / 8] ^= (char)(1 << i % 8);
    }
}

static void the_writer_begins_anew_at_offset_0_and_nowhere_else(void **state)
{
    char first[100], again[100];

    (void)state;
    fill_all();
    struct hfc_index_writer *w = hfc_index_writer_new(x);
    struct hfc_body body = hfc_index_body(w);
    assert_int_equal(body.read(body.ctx, 0, first, 100), 100);
    assert_int_equal(body.read(body.ctx, 99, again, 100), HFC_READ_STOP);
    assert_int_equal(body.read(body.ctx, 100, again, 100), 100);
    assert_int_equal(body.read(body.ctx, 0, again, 100), 100);
    assert_memory_equal(first, again, 100);
    assert_int_equal(body.read(body.ctx, body.size, again, 100), HFC_READ_STOP);
    hfc_index_writer_free(w);
    hfc_index_writer_free(NULL);
}

static void unknown_lines_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(parse_with_end(HEAD "future\n"
                                         "x-2 any thing  at \xff all \n" SNAPSHOT
                                         "objects 1\n" OBJECT("a") "snap models\n" OBJECT("b")),
                     0);
    assert_int_equal(hfc_index_count(x), 2);
    assert_int_equal(hfc_index_snapshots(x), 1);
}

#define THREE "a snapshot line has three fields: REPO COMMIT FILTER"
#define FIVE "an object line has five fields: SIZE ETAG SHA256 GITSHA1 KEY"
#define TWO "a ref line has two fields: COMMIT KEY"
#define NO_INDEX "this is no index: it does not begin with 'hfcache-index 1'"
#define BAD_KEY "the key is too long or not encoded as it should be"
#define BAD_ETAG "the ETag is too long or not encoded as it should be"
#define BAD_SIZE "the size is not a decimal number up to 2^63-1"
#define BAD_SHA256 "the SHA-256 is neither 64 lower-case hex digits nor '-'"
#define BAD_SHA1 "the git SHA-1 is neither 40 lower-case hex digits nor '-'"
#define BAD_FILTER "the filter is neither a SHA-256 in lower-case hex nor '-'"
#define BAD_COMMIT "the commit is not 40 hex digits"
#define NO_WORD "the line does not begin with a word"
#define ORDER "the key is not above the one before it"
#define S_ORDER "the snapshot is not above the one before it"
#define UPPER "0123456789ABCDEF0123456789abcdef01234567"

/* Lines behind the header; the last one is what is wrong. */
static const char *const refused[][2] = {
    {"\n", NO_WORD},
    {" object 1 e - - a\n", NO_WORD},
    {"Object 1 e - - a\n", NO_WORD},
    {"1object 1 e - - a\n", NO_WORD},
    {"fut_ure\n", NO_WORD},
    {"# comment\n", NO_WORD},
    {"object 1 e - - a\r\n", "a control character"},
    {"future\ta\n", "a control character"},
    {"future \x7f\n", "a control character"},
    {"object\n", FIVE},
    {"object 1\n", FIVE},
    {"object 1 e\n", FIVE},
    {"object 1 e -\n", FIVE},
    {"object 1 e - -\n", FIVE},
    {"object 1 e - - \n", FIVE},
    {"object  1 e - - a\n", FIVE},
    {"object 1 e - - a \n", FIVE},
    {"object 1 e - - a b\n", FIVE},
    {"object -1 e - - a\n", BAD_SIZE},
    {"object +1 e - - a\n", BAD_SIZE},
    {"object 01 e - - a\n", BAD_SIZE},
    {"object 1k e - - a\n", BAD_SIZE},
    {"object 9223372036854775808 e - - a\n", BAD_SIZE},
    {"object 99999999999999999999999 e - - a\n", BAD_SIZE},
    {"object 1 % - - a\n", BAD_ETAG},
    {"object 1 a%20b - - a\n", "the ETag is empty, too long or not printable"},
    {"object 1 \" - - a\n", "the ETag is empty, too long or not printable"},
    {"object 1 0123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789 - - a\n",
     BAD_ETAG},
    {"object 1 e 00 - a\n", BAD_SHA256},
    {"object 1 e " SHA256_A "0 - a\n", BAD_SHA256},
    {"object 1 e E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 - a\n",
     BAD_SHA256},
    {"object 1 e - " SHA256_A " a\n", BAD_SHA1},
    {"object 1 e - " UPPER " a\n", BAD_SHA1},
    {"object 1 e - -- a\n", BAD_SHA1},
    {OBJECT("/a"), "the key has an empty segment"},
    {OBJECT("a//b"), "the key has an empty segment"},
    {OBJECT("a/"), "the key has an empty segment"},
    {OBJECT("a/../b"), "the key has a segment '.' or '..'"},
    {OBJECT("."), "the key has a segment '.' or '..'"},
    {OBJECT(".hfcache/lock"), "the key is below .hfcache/"},
    {OBJECT("%FF"), BAD_KEY},
    {OBJECT("\xff"), "the key is not UTF-8"},
    {OBJECT("a%00b"), BAD_KEY},
    {OBJECT("%7f"), BAD_KEY},
    {OBJECT("%0a"), BAD_KEY},
    {OBJECT("%41"), BAD_KEY},
    {OBJECT("%2F"), BAD_KEY},
    {OBJECT("%"), BAD_KEY},
    {OBJECT("%2"), BAD_KEY},
    {OBJECT("%G0"), BAD_KEY},
    {OBJECT("%0G"), BAD_KEY},
    {OBJECT("a") OBJECT("a"), ORDER},
    {OBJECT("b") OBJECT("a"), ORDER},
    {OBJECT("!") OBJECT("%20"), ORDER},
    {OBJECT("a") "ref " COMMIT_A " a\n", ORDER},
    {"ref " COMMIT_A " b\n" OBJECT("a"), ORDER},
    {"ref\n", TWO},
    {"ref " COMMIT_A "\n", TWO},
    {"ref " COMMIT_A " a b\n", TWO},
    {"ref " COMMIT_A "0 a\n", BAD_COMMIT},
    {"ref " UPPER " a\n", BAD_COMMIT},
    {"ref - a\n", BAD_COMMIT},
    {"ref " COMMIT_A " ..\n", "the key has a segment '.' or '..'"},
    {"snapshot a " COMMIT_A "\n", THREE},
    {"snapshot a\n", THREE},
    {"snapshot\n", THREE},
    {"snapshot a " COMMIT_A " - -\n", THREE},
    {"snapshot a 0 -\n", BAD_COMMIT},
    {"snapshot a " UPPER " -\n", BAD_COMMIT},
    {"snapshot a " COMMIT_A " 00\n", BAD_FILTER},
    {"snapshot %41 " COMMIT_A " -\n", "the repository is too long or not encoded as it should be"},
    {"snapshot a/b " COMMIT_A " -\n", "the repository is not the name of a folder"},
    {SNAPSHOT SNAPSHOT, S_ORDER},
    {"snapshot b " COMMIT_A " -\nsnapshot a " COMMIT_B " -\n", S_ORDER},
    {"snapshot a " COMMIT_B " -\nsnapshot a " COMMIT_A " -\n", S_ORDER},
    {OBJECT("a") SNAPSHOT, "a snapshot line stands behind an object or a ref"},
    {"end\n", "the end line has two fields: LINES SHA256"},
    {"end 1\n", "the end line has two fields: LINES SHA256"},
    {"end x " SHA256_A "\n", "the end line has two fields: LINES SHA256"},
    {"end 1 -\n", "the end line has two fields: LINES SHA256"},
    {"end 1 " SHA256_A " -\n", "the end line has two fields: LINES SHA256"},
    {"end 2 " SHA256_A "\n", "the end line counts other lines than there are"},
    {"end 1 " SHA256_A "\n", "the SHA-256 of the lines is not what the end line says"},
};

static void every_deviation_is_refused_with_its_line(void **state)
{
    char text[1024], expected[256];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(refused); i++) {
        unsigned line = 1;
        for (const char *c = refused[i][0]; *c != '\0'; c++)
            line += *c == '\n';
        (void)snprintf(text, sizeof(text), HEAD "%s", refused[i][0]);
        (void)snprintf(expected, sizeof(expected), "line %u: %s", line, refused[i][1]);
        empty_again(ROOM);
        assert_int_equal(parse_with_end(text), -1);
        assert_string_equal(err.msg, expected);
        assert_int_equal(err.errnum, EBADMSG);
    }
}

static void other_headers_are_refused(void **state)
{
    static const char *const heads[][2] = {
        {"hfcache-index 2\n", "line 1: the index has a version that this program does not know"},
        {"hfcache-index 10\n", "line 1: the index has a version that this program does not know"},
        {"hfcache-index 01\n", "line 1: " NO_INDEX},
        {"hfcache-index \n", "line 1: " NO_INDEX},
        {"hfcache-index 1 \n", "line 1: " NO_INDEX},
        {"\xef\xbb\xbfhfcache-index 1\n", "line 1: " NO_INDEX},
        {"<?xml version='1.0'?>\n", "line 1: " NO_INDEX},
        {"\n", "line 1: " NO_INDEX},
        {"", "line 1: " NO_INDEX},
    };

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(heads); i++) {
        assert_int_equal(parse_with_end(heads[i][0]), -1);
        assert_string_equal(err.msg, heads[i][1]);
    }
    assert_int_equal(parse("", 0, 1), -1);
    assert_string_equal(err.msg, "line 1: the text ends without its end line");
}

static void nothing_stands_behind_the_end(void **state)
{
    static const char *const behind[] = {"\n", "x", OBJECT("a"), HEAD};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(behind); i++) {
        hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM);
        hfc_buf_str(&text, HEAD);
        add_end(&text);
        hfc_buf_str(&text, behind[i]);
        for (size_t step = 1; step <= text.len; step++) {
            empty_again(ROOM);
            assert_int_equal(parse(text.data, text.len, step), -1);
            assert_string_equal(err.msg, "line 3: something stands behind the end line");
        }
    }
    hfc_autobuf struct hfc_buf nul = HFC_BUF(ROOM);
    hfc_buf_str(&nul, HEAD);
    add_end(&nul);
    assert_int_equal(parse(nul.data, nul.len + 1, 1000), -1);
}

static void lines_have_a_cap(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM);
    hfc_autofree char *long_line = malloc(4096);

    (void)state;
    assert_non_null(long_line);
    memset(long_line, 'x', 4096);
    for (unsigned over = 0; over < 2; over++)
        for (size_t step = 1; step < 9000; step += 4093) {
            hfc_buf_reset(&text);
            hfc_buf_str(&text, HEAD);
            hfc_buf_add(&text, long_line, 4095 + over);
            hfc_buf_char(&text, '\n');
            add_end(&text);
            empty_again(ROOM);
            assert_int_equal(parse(text.data, text.len, step), -(int)over);
        }
    assert_string_equal(err.msg, "line 2: the line is longer than 4096 bytes");
    assert_int_equal(parse(long_line, 4096, 4096), -1);
    assert_string_equal(err.msg, "line 1: the text ends within the line");
}

static void a_failed_parser_stays_failed(void **state)
{
    struct hfc_index_parser *p = hfc_index_parser_new(x);
    struct hfc_error again = {0};

    (void)state;
    assert_int_equal(hfc_index_parse(p, "bad\n", 4, &err), -1);
    assert_int_equal(hfc_index_parse(p, HEAD, strlen(HEAD), &again), -1);
    assert_string_equal(again.msg, err.msg);
    assert_int_equal(hfc_index_parse(p, HEAD, strlen(HEAD), NULL), -1);
    assert_int_equal(hfc_index_parser_finish(p, &again), -1);
    assert_string_equal(again.msg, err.msg);
    hfc_index_parser_free(p);
    p = hfc_index_parser_new(x);
    assert_int_equal(hfc_index_parse(p, "bad\n", 4, NULL), -1);
    hfc_index_parser_free(p);
    hfc_index_parser_free(NULL);
    hfc_index_free(NULL);
}

static void a_text_larger_than_the_cap_is_no_memory(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM);

    (void)state;
    hfc_buf_str(&text, HEAD);
    for (unsigned i = 0; i < 1000; i++)
        hfc_buf_printf(&text, "object 1 e - - %06u\n", i);
    add_end(&text);
    empty_again(20000);
    assert_int_equal(parse(text.data, text.len, 5000), -1);
    assert_int_equal(err.errnum, ENOMEM);
    assert_memory_equal(err.msg, "line ", 5);
    assert_non_null(strstr(err.msg, ": the index takes more than 20000 bytes of memory"));
}

/* ---- Without a table. ---- */

/* What a sink was given, as lines. */
static struct hfc_buf given;
static const char *stop_at; /* a key at which the sink refuses */

static int take_snapshot(void *ctx, const struct hfc_snapshot *s, struct hfc_error *error)
{
    (void)error;
    assert_ptr_equal(ctx, &given);
    hfc_buf_printf(&given, "%s %s %d\n", s->repo, s->commit, s->has_filter);
    return 0;
}

static int take_entry(void *ctx, const struct hfc_entry *e, struct hfc_error *error)
{
    assert_ptr_equal(ctx, &given);
    if (stop_at != NULL && strcmp(e->key, stop_at) == 0) {
        (void)hfc_error_set(error, 0, "no more");
        error->errnum = ENOMEM;
        return -1;
    }
    hfc_buf_printf(&given, "%s %s %u %s %d%d\n", e->key, e->etag, (unsigned)e->size, e->commit,
                   e->meta.has_sha256, e->meta.has_git_sha1);
    return 0;
}

static int parse_to_sink(const char *lines, size_t step, bool with_snapshots)
{
    const struct hfc_index_sink sink = {with_snapshots ? take_snapshot : NULL, take_entry};
    hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM);
    struct hfc_index_parser *p = hfc_index_parser_new_sink(&sink, &given);
    int rc = 0;

    hfc_buf_init(&given, ROOM);
    hfc_buf_str(&text, lines);
    add_end(&text);
    for (size_t at = 0; at < text.len && rc == 0; at += step)
        rc = hfc_index_parse(p, text.data + at, text.len - at < step ? text.len - at : step, &err);
    if (rc == 0)
        rc = hfc_index_parser_finish(p, &err);
    hfc_index_parser_free(p);
    return rc;
}

static void lines_reach_a_sink_in_their_order(void **state)
{
    static const char lines[] = HEAD SNAPSHOT "snapshot models--b " COMMIT_B " " SHA256_A "\n"
                                              "object 7 e1 " SHA256_A " - a%20b\n"
                                              "future 1\n"
                                              "ref " COMMIT_A " r\n"
                                              "object 0 e2 - " SHA1_A " z\n";

    (void)state;
    for (size_t step = 1; step < sizeof(lines); step += 5) {
        assert_int_equal(parse_to_sink(lines, step, true), 0);
        assert_string_equal(given.data, "models--a--b " COMMIT_A " 0\n"
                                        "models--b " COMMIT_B " 1\n"
                                        "a b e1 7  10\n"
                                        "r  40 " COMMIT_A " 00\n"
                                        "z e2 0  01\n");
        hfc_buf_free(&given);
    }
    assert_int_equal(parse_to_sink(lines, 10, false), 0);
    assert_memory_equal(given.data, "a b", 3);
    hfc_buf_free(&given);
}

static void a_sink_can_end_the_reading(void **state)
{
    (void)state;
    stop_at = "b";
    assert_int_equal(parse_to_sink(HEAD OBJECT("a") OBJECT("b") OBJECT("c"), 1000, true), -1);
    stop_at = NULL;
    assert_string_equal(err.msg, "line 3: no more");
    assert_int_equal(err.errnum, ENOMEM);
    assert_string_equal(given.data, "a e 1  00\n");
    hfc_buf_free(&given);
}

static void a_sink_is_given_nothing_that_a_table_would_refuse(void **state)
{
    char text[1024], expected[256];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(refused); i++) {
        unsigned line = 1;
        for (const char *c = refused[i][0]; *c != '\0'; c++)
            line += *c == '\n';
        (void)snprintf(text, sizeof(text), HEAD "%s", refused[i][0]);
        (void)snprintf(expected, sizeof(expected), "line %u: %s", line, refused[i][1]);
        assert_int_equal(parse_to_sink(text, 1000, i % 2 == 0), -1);
        assert_string_equal(err.msg, expected);
        assert_int_equal(err.errnum, EBADMSG);
        hfc_buf_free(&given);
    }
}

static void lines_without_a_table_are_the_text_of_one(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM), whole = HFC_BUF(ROOM), expected;
    struct hfc_index_lines *l;

    (void)state;
    fill_all();
    while (hfc_index_snapshots(x) > 0) {
        const struct hfc_snapshot *s = hfc_index_snapshot_at(x, 0);
        assert_true(hfc_index_remove_snapshot(x, s->repo, s->commit));
    }
    write_text(x, 1000, &expected);
    l = hfc_index_lines_new(&text);
    for (size_t i = 0; i < hfc_index_count(x); i++) {
        assert_int_equal(hfc_index_lines_add(l, hfc_index_at(x, i), &err), 0);
        hfc_buf_add(&whole, text.data, text.len);
        hfc_buf_reset(&text);
    }
    hfc_index_lines_end(l);
    hfc_buf_add(&whole, text.data, text.len);
    assert_string_equal(whole.data, expected.data);
    hfc_index_lines_free(l);
    hfc_index_lines_free(NULL);
}

static void lines_take_what_an_index_takes_and_in_order(void **state)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(ROOM), expected = HFC_BUF(ROOM);
    struct hfc_index_lines *l = hfc_index_lines_new(&text);
    static const struct {
        const char *key, *etag;
        int errnum;
    } rows[] = {{"b", "e", 0},         {"b", "e", EBADMSG},   {"a", "e", EBADMSG},
                {"c//d", "e", EINVAL}, {"\xff", "e", EINVAL}, {"c", "", EINVAL},
                {"c", "e", 0},         {"", "e", EINVAL}};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(rows); i++) {
        struct hfc_entry e = object(rows[i].key, rows[i].etag, 1);
        assert_int_equal(hfc_index_lines_add(l, &e, &err), rows[i].errnum != 0 ? -1 : 0);
        assert_int_equal(rows[i].errnum != 0 ? err.errnum : 0, rows[i].errnum);
    }
    hfc_index_lines_end(l);
    hfc_index_lines_free(l);
    hfc_buf_str(&expected, HEAD OBJECT("b") OBJECT("c"));
    add_end(&expected);
    assert_string_equal(text.data, expected.data);
}

/* ---- Many. ---- */

enum { MANY = 100000 };

static void key_of_many(unsigned i, char key[64])
{
    (void)snprintf(key, 64, "hub/models--org--name/snapshots/%08x/file-%05u", i / 1000, i);
}

static void a_hundred_thousand_entries_are_written_and_read(void **state)
{
    hfc_autobuf struct hfc_buf text;
    size_t strings = 0;
    char key[64];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        key_of_many(i, key);
        put(key);
        strings += strlen(key) + 1;
    }
    write_text(x, 65536, &text);
    empty_again(ROOM);
    assert_int_equal(parse(text.data, text.len, 65536), 0);
    assert_int_equal(hfc_index_count(x), MANY);
    assert_true(hfc_index_memory(x) < strings + MANY * 140UL);
    for (unsigned i = 0; i < MANY; i += 997) {
        key_of_many(i, key);
        assert_non_null(hfc_index_find(x, key));
    }
}

static void a_hundred_thousand_entries_in_any_order_are_sorted(void **state)
{
    char key[64];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        key_of_many((unsigned)(i * 7919UL % MANY), key);
        put(key);
    }
    for (unsigned i = 0; i < MANY; i++) {
        key_of_many(i, key);
        assert_string_equal(hfc_index_at(x, i)->key, key);
    }
}

/* ---- The specification's example. ---- */

static void the_example_of_the_specification_is_an_index(void **state)
{
    hfc_autobuf struct hfc_buf doc = HFC_BUF(1 << 20), text;

    (void)state;
    if (hfc_file_read(AT_FDCWD, "docs/index-format.md", &doc, &err) < 0)
        fail_msg("%s (unit tests run in the root of the repository)", err.msg);
    const char *begin = strstr(doc.data, "```\n" HEAD);
    assert_non_null(begin);
    begin += 4;
    const char *end = strstr(begin, "```");
    assert_non_null(end);
    if (parse(begin, (size_t)(end - begin), 1000) < 0)
        fail_msg("%s", err.msg);
    assert_true(hfc_index_count(x) > 3);
    assert_true(hfc_index_snapshots(x) > 1);
    write_text(x, 1000, &text);
    assert_int_equal(text.len, end - begin);
    assert_memory_equal(text.data, begin, text.len);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(entries_are_kept_in_byte_order),
        T(a_known_key_gets_a_new_entry),
        T(an_entry_of_the_index_itself_can_be_put),
        T(of_a_ref_only_key_and_commit_count),
        T(snapshots_are_kept_in_order),
        T(unusable_keys_are_refused),
        T(other_members_are_looked_at_too),
        T(the_cap_on_memory_holds),
        T(replacing_for_ever_takes_no_more_memory),
        T(freed_memory_is_of_use_for_shorter_keys),
        T(any_sequence_of_changes_gives_what_a_model_has),
        T(the_text_is_as_specified),
        T(an_empty_index_is_two_lines),
        T(what_is_read_in_any_pieces_is_written_the_same),
        T(a_text_cut_anywhere_is_refused),
        T(any_changed_bit_is_refused),
        T(the_writer_begins_anew_at_offset_0_and_nowhere_else),
        T(unknown_lines_are_passed_over),
        T(every_deviation_is_refused_with_its_line),
        T(other_headers_are_refused),
        T(nothing_stands_behind_the_end),
        T(lines_have_a_cap),
        T(a_failed_parser_stays_failed),
        T(a_text_larger_than_the_cap_is_no_memory),
        T(lines_reach_a_sink_in_their_order),
        T(a_sink_can_end_the_reading),
        T(a_sink_is_given_nothing_that_a_table_would_refuse),
        T(lines_without_a_table_are_the_text_of_one),
        T(lines_take_what_an_index_takes_and_in_order),
        T(a_hundred_thousand_entries_are_written_and_read),
        T(a_hundred_thousand_entries_in_any_order_are_sorted),
        T(the_example_of_the_specification_is_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
