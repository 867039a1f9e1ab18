/* test_store_file.c: objects of a store that is a directory (lib/store_file*.c). Uploads in parts
 * are in test_store_file_upload.c. */
#include "store_dir.h"

#include "process.h"

#include <linux/openat2.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>

static const uint8_t SHA_ABC[HFC_SHA256_SIZE] = {
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};

/* n bytes that are not all alike. */
static char *pattern(size_t n)
{
    char *bytes = malloc(n + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 2654435761U >> 13);
    return bytes;
}

static struct hfc_meta some_meta(void)
{
    struct hfc_meta meta = {.has_sha256 = true, .has_git_sha1 = true};

    memset(meta.sha256, 0x5a, sizeof(meta.sha256));
    memset(meta.git_sha1, 0xa5, sizeof(meta.git_sha1));
    return meta;
}

static bool same_meta(const struct hfc_meta *a, const struct hfc_meta *b)
{
    return a->has_sha256 == b->has_sha256 && a->has_git_sha1 == b->has_git_sha1 &&
           memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0 &&
           memcmp(a->git_sha1, b->git_sha1, sizeof(a->git_sha1)) == 0;
}

/* Whether the file system keeps extended attributes. */
static bool has_xattrs(void)
{
    write_file("probe", "");
    return setxattr("probe", "user.x", "", 0, 0) == 0;
}

static void put_with_meta(const char *key, const char *text)
{
    struct hfc_put put = put_of(key, text, strlen(text));

    put.meta = some_meta();
    assert_ok(hfc_store_put(store, &put, on_done, NULL));
}

/* ---- Bytes. ---- */

static void what_is_put_is_there_with_its_meta(void **state)
{
    struct hfc_meta meta = some_meta();

    (void)state;
    put_with_meta("hub/a b/c", "text");
    struct hfc_object object = end.object;
    assert_int_equal(object.size, 4);
    assert_true(llabs((long long)(object.modified - time(NULL))) < 100);
    holds("hub/a b/c", "text");
    assert_string_equal(end.object.etag, object.etag);
    assert_int_equal(end.object.size, 4);
    assert_ok(start_head("hub/a b/c"));
    assert_string_equal(end.object.etag, object.etag);
    assert_int_equal(end.object.modified, object.modified);
    if (has_xattrs())
        assert_true(same_meta(&end.object.meta, &meta));
    assert_true(exists("s/hub/a b/c"));
    no_leftovers();
}

static void either_digest_may_be_unknown(void **state)
{
    (void)state;
    if (!has_xattrs())
        skip();
    for (unsigned i = 0; i < 4; i++) {
        struct hfc_put put = put_of("k", "abc", 3);
        put.meta = some_meta();
        put.meta.has_sha256 = (i & 1) != 0;
        put.meta.has_git_sha1 = (i & 2) != 0;
        assert_ok(hfc_store_put(store, &put, on_done, NULL));
        assert_ok(start_head("k"));
        assert_true(end.object.meta.has_sha256 == ((i & 1) != 0));
        assert_true(end.object.meta.has_git_sha1 == ((i & 2) != 0));
    }
}

static void every_size_comes_back_whole(void **state)
{
    static const size_t sizes[] = {0,     1,      4095,       65535,          65536,
                                   65537, 524287, 512 * 1024, 512 * 1024 + 1, 20 * 1024 * 1024 + 3};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(sizes); i++) {
        hfc_autofree char *bytes = pattern(sizes[i]);
        assert_ok(start_put("k", bytes, sizes[i]));
        assert_int_equal(end.object.size, sizes[i]);
        assert_ok(start_get("k"));
        assert_int_equal(got.len, sizes[i]);
        assert_memory_equal(got.data, bytes, sizes[i]);
    }
}

static void a_range_is_what_was_asked_for(void **state)
{
    static const struct {
        uint64_t offset, length;
        const char *text; /* NULL: there are not so many bytes */
    } ranges[] = {{0, 0, "0123456789"}, {3, 0, "3456789"},     {3, 4, "3456"}, {9, 1, "9"},
                  {10, 0, ""},          {0, 10, "0123456789"}, {0, 11, NULL},  {10, 1, NULL},
                  {11, 0, NULL},        {UINT64_MAX, 0, NULL}};

    (void)state;
    put_text("k", "0123456789");
    for (size_t i = 0; i < HFC_ARRAY_LEN(ranges); i++) {
        struct hfc_get get = {.key = "k", .offset = ranges[i].offset, .length = ranges[i].length};
        hfc_buf_reset(&got);
        struct hfc_store_op *op = hfc_store_get(store, &get, on_data, on_done, NULL);
        if (ranges[i].text == NULL) {
            assert_fails(op, EBADMSG);
            continue;
        }
        assert_ok(op);
        assert_string_equal(got.data, ranges[i].text);
        assert_int_equal(end.object.size, 10);
    }
}

static void zeros_take_no_space(void **state)
{
    enum { SIZE = 32 * 1024 * 1024 };
    hfc_autofree char *bytes = calloc(1, SIZE);
    struct stat st;

    (void)state;
    assert_non_null(bytes);
    bytes[SIZE / 2] = 1;
    assert_ok(start_put("k", bytes, SIZE));
    assert_int_equal(stat("s/k", &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_true(st.st_blocks <= 2 * 65536 / 512);
    assert_ok(start_get("k"));
    assert_memory_equal(got.data, bytes, SIZE);
}

static void announced_bytes_are_verified(void **state)
{
    uint8_t out[HFC_SHA256_SIZE] = {0};
    struct hfc_put put = put_of("k", "abc", 3);

    (void)state;
    put.body.sha256 = SHA_ABC;
    assert_ok(hfc_store_put(store, &put, on_done, NULL));
    put = put_of("k", "abd", 3);
    put.body.sha256 = SHA_ABC;
    assert_fails(hfc_store_put(store, &put, on_done, NULL), EBADMSG);
    assert_string_equal(end.err.msg, "k: the bytes have not the SHA-256 that was announced");
    holds("k", "abc");
    put = put_of("other", "abc", 3);
    put.body.sha256_out = out;
    assert_ok(hfc_store_put(store, &put, on_done, NULL));
    assert_memory_equal(out, SHA_ABC, sizeof(out));
    no_leftovers();
}

/* ---- Versions. ---- */

static void each_put_is_another_version(void **state)
{
    char etags[30][HFC_ETAG_MAX];

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        put_text("k", "same");
        memcpy(etags[i], end.object.etag, HFC_ETAG_MAX);
        for (unsigned before = 0; before < i; before++)
            assert_string_not_equal(etags[before], etags[i]);
    }
}

/* The kernel's own time of a file may be that of the last tick. */
static void the_time_of_a_version_is_exact(void **state)
{
    struct timespec before;
    struct stat st;

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &before), 0);
        put_text("k", "");
        assert_int_equal(stat("s/k", &st), 0);
        assert_true(st.st_mtim.tv_sec > before.tv_sec ||
                    (st.st_mtim.tv_sec == before.tv_sec && st.st_mtim.tv_nsec >= before.tv_nsec));
    }
}

static void what_is_not_content_does_not_change_the_version(void **state)
{
    char etag[HFC_ETAG_MAX];

    (void)state;
    put_with_meta("k", "text");
    memcpy(etag, end.object.etag, sizeof(etag));
    assert_int_equal(chmod("s/k", 0400), 0);
    assert_int_equal(link("s/k", "other"), 0);
    reopen_store();
    assert_ok(start_head("k"));
    assert_string_equal(end.object.etag, etag);
    assert_true(end.object.meta.has_sha256 == has_xattrs());
}

static void a_file_changed_by_others_is_another_version_without_meta(void **state)
{
    char etag[HFC_ETAG_MAX];

    (void)state;
    put_with_meta("k", "text");
    memcpy(etag, end.object.etag, sizeof(etag));
    write_file("s/k", "TEXT");
    assert_ok(start_head("k"));
    assert_string_not_equal(end.object.etag, etag);
    assert_false(end.object.meta.has_sha256);
    assert_false(end.object.meta.has_git_sha1);
}

static void damaged_meta_are_none(void **state)
{
    char text[300];
    static const char *const formats[] = {"",
                                          "etag=",
                                          "sha256=00 etag=%s",
                                          "sha256= etag=%s",
                                          "sha256=zz%062d etag=%s",
                                          "xsha256=%064d etag=%s"};

    (void)state;
    if (!has_xattrs())
        skip();
    put_text("k", "text");
    for (size_t i = 0; i < HFC_ARRAY_LEN(formats); i++) {
        if (strstr(formats[i], "%06") != NULL)
            (void)snprintf(text, sizeof(text),
                           i == 4 ? "sha256=zz%062d etag=%s" : "xsha256=%064d etag=%s", 0,
                           end.object.etag);
        else
            (void)snprintf(text, sizeof(text), "%.*s%s", (int)strcspn(formats[i], "%"), formats[i],
                           end.object.etag);
        assert_int_equal(setxattr("s/k", "user.hfcache.meta", text, strlen(text), 0), 0);
        assert_ok(start_head("k"));
        assert_false(end.object.meta.has_sha256);
    }
    memset(text, 'x', sizeof(text));
    assert_int_equal(setxattr("s/k", "user.hfcache.meta", text, sizeof(text), 0), 0);
    assert_ok(start_head("k"));
    assert_false(end.object.meta.has_sha256);
}

static void put_if_absent_takes_no_ones_place(void **state)
{
    struct hfc_put put = put_of("a/k", "one", 3);

    (void)state;
    put.condition = HFC_IF_ABSENT;
    assert_ok(hfc_store_put(store, &put, on_done, NULL));
    assert_fails(hfc_store_put(store, &put, on_done, NULL), EEXIST);
    assert_string_equal(end.err.msg, "a/k: there is an object already");
    holds("a/k", "one");
    no_leftovers();
}

/* It is no object, but the name is taken all the same. */
static void put_if_absent_does_not_replace_a_link_to_nowhere(void **state)
{
    struct hfc_put put = put_of("k", "one", 3);

    (void)state;
    assert_int_equal(symlink("nowhere", "s/k"), 0);
    put.condition = HFC_IF_ABSENT;
    assert_fails(hfc_store_put(store, &put, on_done, NULL), EEXIST);
    put_text("k", "two");
    holds("k", "two");
    no_leftovers();
}

static void put_if_match_replaces_that_version_only(void **state)
{
    char etag[HFC_ETAG_MAX];
    struct hfc_put put = put_of("k", "two", 3);

    (void)state;
    put.condition = HFC_IF_MATCH;
    put.if_match = "1.2.3";
    assert_fails(hfc_store_put(store, &put, on_done, NULL), ENOENT);
    put_text("k", "one");
    memcpy(etag, end.object.etag, sizeof(etag));
    put = put_of("k", "two", 3);
    put.condition = HFC_IF_MATCH;
    put.if_match = etag;
    assert_ok(hfc_store_put(store, &put, on_done, NULL));
    assert_fails(hfc_store_put(store, &put, on_done, NULL), ESTALE);
    assert_string_equal(end.err.msg, "k: another version than the one demanded");
    holds("k", "two");
    no_leftovers();
}

/* A source that changes something before it gives its bytes. */
static void (*before_bytes)(void);

static ssize_t read_late(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset;
    before_bytes();
    memset(to, 'x', n);
    return (ssize_t)n;
}

static void foreign_file(void)
{
    write_file("s/k", "foreign");
}

static void conditions_hold_at_the_end_as_well(void **state)
{
    struct hfc_put put = {.key = "k", .body = {.read = read_late, .size = 5}};
    char etag[HFC_ETAG_MAX];

    (void)state;
    before_bytes = foreign_file;
    put.condition = HFC_IF_ABSENT;
    assert_fails(hfc_store_put(store, &put, on_done, NULL), EEXIST);
    holds("k", "foreign");
    memcpy(etag, end.object.etag, sizeof(etag));
    assert_int_equal(unlink("s/k"), 0);
    put_text("k", "own");
    memcpy(etag, end.object.etag, sizeof(etag));
    put.condition = HFC_IF_MATCH;
    put.if_match = etag;
    assert_fails(hfc_store_put(store, &put, on_done, NULL), ESTALE);
    holds("k", "foreign");
    no_leftovers();
}

static void get_may_ask_for_or_against_a_version(void **state)
{
    struct hfc_get get = {.key = "k"};
    char etag[HFC_ETAG_MAX];

    (void)state;
    put_text("k", "text");
    memcpy(etag, end.object.etag, sizeof(etag));
    get.if_match = etag;
    hfc_buf_reset(&got);
    assert_ok(hfc_store_get(store, &get, on_data, on_done, NULL));
    assert_string_equal(got.data, "text");
    get.if_match = "1.2.3";
    assert_fails(hfc_store_get(store, &get, on_data, on_done, NULL), ESTALE);
    get.if_match = NULL;
    get.if_none_match = etag;
    assert_fails(hfc_store_get(store, &get, on_data, on_done, NULL), EALREADY);
    assert_string_equal(end.err.msg, "k: not modified");
    get.if_none_match = "1.2.3";
    assert_ok(hfc_store_get(store, &get, on_data, on_done, NULL));
}

/* ---- Slices. ---- */

static struct hfc_store_op *running;
static unsigned calls;
static struct hfc_timer later;

static void resume_running(void *ctx)
{
    (void)ctx;
    hfc_store_resume(running);
}

/* Takes each piece the second time it comes. */
static enum hfc_flow on_data_halting(void *ctx, const void *bytes, size_t n)
{
    if (calls++ % 2 == 1)
        return on_data(ctx, bytes, n);
    hfc_timer_start(loop, &later, 1, resume_running, NULL);
    return HFC_FLOW_PAUSE;
}

static void a_receiver_may_pause(void **state)
{
    enum { SIZE = 700000 };
    hfc_autofree char *bytes = pattern(SIZE);
    struct hfc_get get = {.key = "k"};

    (void)state;
    assert_ok(start_put("k", bytes, SIZE));
    calls = 0;
    running = hfc_store_get(store, &get, on_data_halting, on_done, NULL);
    assert_ok(running);
    assert_int_equal(got.len, SIZE);
    assert_memory_equal(got.data, bytes, SIZE);
    assert_int_equal(calls, 22);
}

static ssize_t read_halting(void *ctx, uint64_t offset, void *to, size_t n)
{
    const char *bytes = ctx;
    size_t some = n < 100000 ? n : 100000;

    if (calls++ % 2 == 0) {
        hfc_timer_start(loop, &later, 1, resume_running, NULL);
        return HFC_READ_PAUSE;
    }
    memcpy(to, bytes + offset, some);
    return (ssize_t)some;
}

static void a_source_may_pause(void **state)
{
    enum { SIZE = 700000 };
    hfc_autofree char *bytes = pattern(SIZE);
    struct hfc_put put = {.key = "k", .body = {.read = read_halting, .ctx = bytes, .size = SIZE}};

    (void)state;
    calls = 0;
    running = hfc_store_put(store, &put, on_done, NULL);
    assert_ok(running);
    assert_ok(start_get("k"));
    assert_memory_equal(got.data, bytes, SIZE);
}

static enum hfc_flow on_data_stop(void *ctx, const void *bytes, size_t n)
{
    (void)ctx, (void)bytes, (void)n;
    calls++;
    return HFC_FLOW_STOP;
}

static ssize_t read_stop(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset, (void)to, (void)n;
    return HFC_READ_STOP;
}

static void either_side_may_stop(void **state)
{
    struct hfc_get get = {.key = "k"};
    struct hfc_put put = {.key = "k", .body = {.read = read_stop, .size = 5}};

    (void)state;
    put_text("k", "text");
    calls = 0;
    assert_fails(hfc_store_get(store, &get, on_data_stop, on_done, NULL), ECANCELED);
    assert_int_equal(calls, 1);
    assert_fails(hfc_store_put(store, &put, on_done, NULL), ECANCELED);
    assert_string_equal(end.err.msg, "k: the source of the bytes has stopped");
    holds("k", "text");
    no_leftovers();
}

static void count_turn(void *ctx)
{
    unsigned *turns = ctx;

    ++*turns;
    hfc_timer_start(loop, &later, 0, count_turn, turns);
}

static void other_timers_go_on_meanwhile(void **state)
{
    enum { SIZE = 16 * 1024 * 1024 };
    hfc_autofree char *bytes = pattern(SIZE);
    unsigned turns = 0;

    (void)state;
    hfc_timer_start(loop, &later, 0, count_turn, &turns);
    assert_ok(start_put("k", bytes, SIZE));
    assert_true(turns >= 32);
    turns = 0;
    assert_ok(start_get("k"));
    assert_true(turns >= 32);
    hfc_timer_stop(&later);
}

static void needless_resumes_do_no_harm(void **state)
{
    hfc_autofree char *bytes = pattern(1000000);

    (void)state;
    running = start_put("k", bytes, 1000000);
    hfc_store_resume(running);
    assert_ok(running);
    running = start_get("k");
    hfc_store_resume(running);
    assert_ok(running);
    assert_memory_equal(got.data, bytes, 1000000);
    running = start_list("");
    hfc_store_resume(running);
    assert_ok(running);
    assert_string_equal(got.data, "k\n");
}

/* ---- Cancelling. ---- */

static void cancel_running(void *ctx)
{
    (void)ctx;
    hfc_store_cancel(running);
}

static ssize_t read_cancelling(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx;
    memset(to, 'x', n);
    if (offset > 100000)
        hfc_store_cancel(running);
    return (ssize_t)n;
}

static enum hfc_flow on_data_cancelling(void *ctx, const void *bytes, size_t n)
{
    (void)on_data(ctx, bytes, n);
    hfc_store_cancel(running);
    return HFC_FLOW_ON;
}

static void on_item_cancelling(void *ctx, const char *key, const struct hfc_object *object)
{
    on_item(ctx, key, object);
    hfc_store_cancel(running);
}

static void callers_may_cancel_from_within(void **state)
{
    struct hfc_put put = {.key = "k", .body = {.read = read_cancelling, .size = 1000000}};
    struct hfc_get get = {.key = "big"};
    hfc_autofree char *bytes = pattern(1000000);

    (void)state;
    assert_ok(start_put("big", bytes, 1000000));
    put_text("c", "text");
    running = hfc_store_put(store, &put, on_done, NULL);
    assert_fails(running, ECANCELED);
    assert_false(exists("s/k"));
    no_leftovers();
    hfc_buf_reset(&got);
    running = hfc_store_get(store, &get, on_data_cancelling, on_done, NULL);
    assert_fails(running, ECANCELED);
    assert_int_equal(got.len, 65536);
    hfc_buf_reset(&got);
    running = hfc_store_list(store, "", on_item_cancelling, on_done, NULL);
    assert_fails(running, ECANCELED);
    assert_string_equal(got.data, "big\n");
}

static ssize_t read_pause(void *ctx, uint64_t offset, void *to, size_t n)
{
    memset(to, 'x', n);
    if (offset > 0)
        hfc_timer_start(loop, &later, 0, cancel_running, ctx);
    return offset > 0 ? HFC_READ_PAUSE : (ssize_t)n;
}

static void a_put_cancelled_half_way_leaves_nothing(void **state)
{
    struct hfc_put put = {.key = "new/k", .body = {.read = read_pause, .size = 1000000}};

    (void)state;
    running = hfc_store_put(store, &put, on_done, NULL);
    assert_fails(running, ECANCELED);
    assert_false(exists("s/new"));
    no_leftovers();
    running = start_text("k", "text");
    hfc_store_cancel(running);
    assert_fails(running, ECANCELED);
    assert_false(exists("s/k"));
}

static void set(void *ctx)
{
    *(bool *)ctx = true;
}

/* Lets the loop run for some turns. */
static void run_for(int64_t ms)
{
    struct hfc_timer timer = {0};
    bool over = false;

    hfc_timer_start(loop, &timer, ms, set, &over);
    (void)hfc_loop_run(loop, &over, &err);
}

static void closing_the_store_drops_what_runs(void **state)
{
    struct hfc_put put = {.key = "k", .body = {.read = read_halting, .size = 1000000}};

    (void)state;
    hfc_autofree char *bytes = pattern(1000000);
    put.body.ctx = bytes;
    calls = 0;
    end.done = false;
    running = hfc_store_put(store, &put, on_done, NULL);
    run_for(0);
    assert_false(end.done);
    assert_int_equal(count_in("s/.hfcache-uploads"), 1);
    hfc_store_close(store);
    hfc_timer_stop(&later);
    open_store();
    assert_int_equal(count_in("s/.hfcache-uploads"), 0);
    assert_false(exists("s/k"));
}

/* ---- Files written to while they are read. ---- */

static const char *overwrite_with;

static enum hfc_flow on_data_overwriting(void *ctx, const void *bytes, size_t n)
{
    if (got.len == 0) {
        int fd = open("s/k", O_WRONLY);
        assert_true(fd >= 0);
        if (overwrite_with != NULL)
            assert_int_equal(pwrite(fd, overwrite_with, 1, 900000), 1);
        else
            assert_int_equal(ftruncate(fd, 70000), 0);
        assert_int_equal(futimens(fd, NULL), 0);
        (void)close(fd);
    }
    return on_data(ctx, bytes, n);
}

static void bytes_of_two_versions_are_never_mixed(void **state)
{
    hfc_autofree char *bytes = pattern(1000000);
    struct hfc_get get = {.key = "k"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        overwrite_with = i == 0 ? "y" : NULL;
        assert_ok(start_put("k", bytes, 1000000));
        hfc_buf_reset(&got);
        assert_fails(hfc_store_get(store, &get, on_data_overwriting, on_done, NULL), ESTALE);
        assert_string_equal(end.err.msg, "k: the file was written to while it was read");
        assert_int_equal(got.len, 65536);
    }
}

static enum hfc_flow on_data_touching(void *ctx, const void *bytes, size_t n)
{
    assert_int_equal(utimes("s/k", NULL), 0);
    return on_data(ctx, bytes, n);
}

static void the_last_slice_is_of_the_version_too(void **state)
{
    struct hfc_get get = {.key = "k"};

    (void)state;
    put_text("k", "text");
    assert_fails(hfc_store_get(store, &get, on_data_touching, on_done, NULL), ESTALE);
}

static enum hfc_flow on_data_replacing(void *ctx, const void *bytes, size_t n)
{
    if (got.len == 0) {
        write_file("other", "other");
        assert_int_equal(rename("other", "s/k"), 0);
    }
    return on_data(ctx, bytes, n);
}

static void a_replaced_object_is_read_to_its_end(void **state)
{
    hfc_autofree char *bytes = pattern(1000000);
    struct hfc_get get = {.key = "k"};

    (void)state;
    assert_ok(start_put("k", bytes, 1000000));
    hfc_buf_reset(&got);
    assert_ok(hfc_store_get(store, &get, on_data_replacing, on_done, NULL));
    assert_memory_equal(got.data, bytes, 1000000);
    holds("k", "other");
}

/* ---- Names. ---- */

static void keys_that_are_no_paths_are_refused(void **state)
{
    static const char *const bad[] = {"/a",
                                      "a/",
                                      "a//b",
                                      "..",
                                      "a/../b",
                                      ".",
                                      "./a",
                                      "a\xff",
                                      "",
                                      ".hfcache-uploads",
                                      ".hfcache-uploads/lock"};
    char key[300];
    struct hfc_copy copy = {.from = "a//b", .to = "k", .etag = "e"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++) {
        assert_fails(start_text(bad[i], "x"), EINVAL);
        assert_fails(start_get(bad[i]), EINVAL);
        assert_fails(start_head(bad[i]), EINVAL);
        assert_fails(start_delete(bad[i]), EINVAL);
    }
    assert_fails(hfc_store_copy(store, &copy, on_done, NULL), EINVAL);
    memset(key, 'k', sizeof(key));
    key[256] = '\0';
    assert_fails(start_text(key, "x"), EINVAL);
    assert_non_null(strstr(end.err.msg, "a name in the key has more than 255 bytes"));
    key[255] = '\0';
    put_text(key, "x");
    put_text(".hfcache-uploads-not", "x");
    put_text(".hfcache/index", "x");
}

static void long_and_odd_keys_are_kept(void **state)
{
    static const char *const odd[] = {
        "a b",       "a%20b", "a+b", "#", "a?b=c&d", "\xc3\xa4/\xf0\x9f\x98\x80",
        "new\nline", "..a",   "...", "-", "a\\b",    "\"'"};
    char key[HFC_KEY_MAX + 2];

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(odd); i++)
        put_text(odd[i], odd[i]);
    for (size_t i = 0; i < HFC_ARRAY_LEN(odd); i++)
        holds(odd[i], odd[i]);
    for (size_t i = 0; i < HFC_KEY_MAX; i++)
        key[i] = i % 200 == 199 ? '/' : (char)('a' + i / 200);
    key[HFC_KEY_MAX] = '\0';
    put_text(key, "long");
    holds(key, "long");
    assert_ok(start_list("a"));
    assert_non_null(strstr(got.data, key));
    assert_ok(start_list(key));
    assert_int_equal(got.len, HFC_KEY_MAX + 1);
    assert_ok(start_delete(key));
    key[HFC_KEY_MAX] = 'x';
    key[HFC_KEY_MAX + 1] = '\0';
    assert_fails(start_text(key, "x"), EINVAL);
}

static void folders_are_made_and_removed_as_needed(void **state)
{
    (void)state;
    put_text("a/b/c/d", "x");
    put_text("a/b/e", "x");
    assert_ok(start_delete("a/b/c/d"));
    assert_false(exists("s/a/b/c"));
    assert_true(exists("s/a/b/e"));
    assert_ok(start_delete("a/b/e"));
    assert_false(exists("s/a"));
    assert_true(exists("s"));
}

static void deleting_nothing_succeeds(void **state)
{
    (void)state;
    put_text("a/b", "x");
    assert_ok(start_delete("none"));
    assert_ok(start_delete("none/at/all"));
    assert_ok(start_delete("a/b/c"));
    assert_ok(start_delete("a"));
    holds("a/b", "x");
}

static void a_folder_is_no_object(void **state)
{
    (void)state;
    put_text("a/b", "x");
    assert_fails(start_head("a"), ENOENT);
    assert_fails(start_get("a"), ENOENT);
    assert_fails(start_get("a/b/c"), ENOENT);
    assert_fails(start_get("none"), ENOENT);
    assert_string_equal(end.err.msg, "none: get: No such file or directory");
    assert_int_equal(mkfifo("s/pipe", 0666), 0);
    assert_fails(start_get("pipe"), ENOENT);
    lists("", "a/b\n");
}

static void what_stands_in_the_way_is_an_error(void **state)
{
    struct hfc_put put = put_of("a", "x", 1);

    (void)state;
    put_text("a/b", "x");
    assert_fails(start_text("a", "x"), EISDIR);
    put.condition = HFC_IF_ABSENT;
    assert_fails(hfc_store_put(store, &put, on_done, NULL), EISDIR);
    assert_fails(start_text("a/b/c", "x"), ENOTDIR);
    assert_int_equal(mkdir("s/empty", 0777), 0);
    put_text("empty", "x");
    holds("empty", "x");
    no_leftovers();
}

/* ---- Lists. ---- */

static void a_list_is_in_byte_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"a/b",   "a.b",   "a-b",      "a0",  "A",
                                       "a/b.c", "a/a/z", "\xc3\xa4", "a/B", "b"};
    for (size_t i = 0; i < HFC_ARRAY_LEN(keys); i++)
        put_text(keys[i], "x");
    lists("", "A\na-b\na.b\na/B\na/a/z\na/b\na/b.c\na0\nb\n\xc3\xa4\n");
    lists("a", "a-b\na.b\na/B\na/a/z\na/b\na/b.c\na0\n");
    lists("a/", "a/B\na/a/z\na/b\na/b.c\n");
    lists("a/b", "a/b\na/b.c\n");
    lists("a/a", "a/a/z\n");
    lists("a/a/", "a/a/z\n");
    lists("b", "b\n");
}

static void a_prefix_that_nothing_has_is_an_empty_list(void **state)
{
    static const char *const prefixes[] = {"x",
                                           "x/",
                                           "a/c",
                                           "a/b/",
                                           "a/b/c",
                                           "/",
                                           "/a",
                                           "//",
                                           "..",
                                           "../",
                                           "./a",
                                           "a/../a",
                                           "a//",
                                           ".hfcache-uploads",
                                           ".hfcache-uploads/",
                                           ".hfcache-uploads/lo",
                                           ".hfcache-uploads/x/"};
    char longest[400];

    (void)state;
    put_text("a/b", "x");
    for (size_t i = 0; i < HFC_ARRAY_LEN(prefixes); i++)
        lists(prefixes[i], "");
    memset(longest, 'x', sizeof(longest));
    longest[398] = '/';
    longest[399] = '\0';
    lists(longest, "");
}

static void on_item_checking(void *ctx, const char *key, const struct hfc_object *object)
{
    char *etag = ctx;

    assert_string_equal(key, "a/b");
    assert_int_equal(object->size, 4);
    assert_string_equal(object->etag, etag);
    assert_false(object->meta.has_sha256);
    calls++;
}

static void a_list_tells_size_and_version(void **state)
{
    char etag[HFC_ETAG_MAX];

    (void)state;
    put_with_meta("a/b", "text");
    memcpy(etag, end.object.etag, sizeof(etag));
    calls = 0;
    assert_ok(hfc_store_list(store, "", on_item_checking, on_done, etag));
    assert_int_equal(calls, 1);
}

static void large_folders_are_listed_in_slices(void **state)
{
    hfc_autobuf struct hfc_buf expected = HFC_BUF(ROOM);
    char path[64];
    unsigned turns = 0;

    (void)state;
    for (unsigned folder = 0; folder < 3; folder++) {
        (void)snprintf(path, sizeof(path), "s/%u", folder);
        assert_int_equal(mkdir(path, 0777), 0);
        for (unsigned i = 0; i < 1000; i++) {
            (void)snprintf(path, sizeof(path), "s/%u/%03u", folder, i);
            write_file(path, "");
            hfc_buf_printf(&expected, "%s\n", path + 2);
        }
    }
    hfc_timer_start(loop, &later, 0, count_turn, &turns);
    assert_ok(start_list(""));
    hfc_timer_stop(&later);
    assert_string_equal(got.data, expected.data);
    assert_true(turns >= 3000 / 256);
}

static void files_between_folders_come_in_their_place(void **state)
{
    (void)state;
    put_text("a/1", "x");
    put_text("b", "x");
    put_text("c/1/2", "x");
    put_text("c/2", "x");
    put_text("d", "x");
    lists("", "a/1\nb\nc/1/2\nc/2\nd\n");
}

static void names_that_are_no_keys_are_passed_over(void **state)
{
    char path[2000] = "s";

    (void)state;
    put_text("k", "x");
    write_file("s/\xff", "x");
    assert_int_equal(mkdir("s/d\xff", 0777), 0);
    write_file("s/d\xff/f", "x");
    assert_int_equal(mkdir("s/nothing", 0777), 0);
    /* Deeper than a key can be long; made from the inside. */
    assert_int_equal(chdir("s"), 0);
    memset(path, 'p', 250);
    path[250] = '\0';
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(mkdir(path, 0777), 0);
        write_file("f", "x");
        assert_int_equal(chdir(path), 0);
    }
    assert_int_equal(chdir(dir), 0);
    assert_ok(start_list(""));
    unsigned lines = 0;
    for (size_t i = 0; i < got.len; i++)
        lines += got.data[i] == '\n';
    assert_int_equal(lines, 1 + 5);
}

static void on_item_removing(void *ctx, const char *key, const struct hfc_object *object)
{
    on_item(ctx, key, object);
    if (strcmp(key, "a/1") != 0)
        return;
    assert_int_equal(unlink("s/a/1"), 0);
    assert_int_equal(unlink("s/a/b/1"), 0);
    assert_int_equal(unlink("s/a/c"), 0);
    assert_int_equal(rmdir("s/a/b"), 0);
    if (calls > 0)
        assert_int_equal(rmdir("s/a"), 0);
}

static void what_vanishes_during_a_list_is_passed_over(void **state)
{
    (void)state;
    for (calls = 0; calls < 2; calls++) {
        put_text("a/1", "x");
        put_text("a/b/1", "x");
        put_text("a/c", "x");
        put_text("b", "x");
        hfc_buf_reset(&got);
        assert_ok(hfc_store_list(store, "", on_item_removing, on_done, NULL));
        assert_string_equal(got.data, "a/1\nb\n");
    }
}

static void on_item_removing_above(void *ctx, const char *key, const struct hfc_object *object)
{
    on_item(ctx, key, object);
    if (strcmp(key, "a/b/1") != 0)
        return;
    assert_int_equal(rename("s/a", "away"), 0);
}

static void a_folder_that_vanishes_behind_the_walk_is_passed_over(void **state)
{
    (void)state;
    put_text("a/b/1", "x");
    put_text("a/b/2", "x");
    put_text("a/c", "x");
    put_text("b", "x");
    assert_ok(hfc_store_list(store, "", on_item_removing_above, on_done, NULL));
    assert_string_equal(got.data, "a/b/1\na/b/2\nb\n");
}

/* ---- Symlinks. ---- */

static void make_links(void)
{
    write_file("outside", "secret");
    assert_int_equal(mkdir("folder", 0777), 0);
    write_file("folder/f", "secret");
    put_text("blobs/1", "inside");
    put_text("d/plain", "x");
    assert_int_equal(symlink("../blobs/1", "s/d/link"), 0);
    assert_int_equal(symlink("../../outside", "s/d/out"), 0);
    assert_int_equal(symlink("/etc/passwd", "s/d/absolute"), 0);
    assert_int_equal(symlink("../../folder", "s/d/way"), 0);
    assert_int_equal(symlink("../blobs", "s/d/blobs"), 0);
    assert_int_equal(symlink("nowhere", "s/d/dangling"), 0);
    assert_int_equal(symlink("loop", "s/d/loop"), 0);
}

static void links_inside_count_and_others_do_not(void **state)
{
    (void)state;
    make_links();
    lists("", "blobs/1\nd/link\nd/plain\n");
    holds("d/link", "inside");
    assert_fails(start_get("d/out"), ENOENT);
    assert_fails(start_head("d/absolute"), ENOENT);
    assert_fails(start_get("d/way/f"), ENOENT);
    assert_fails(start_get("d/dangling"), ENOENT);
    assert_fails(start_get("d/loop"), ENOENT);
    lists("d/way/", "");
}

static void nothing_is_written_outside(void **state)
{
    (void)state;
    make_links();
    assert_false(wait_for(start_text("d/way/new", "x")));
    assert_int_equal(end.err.errnum, EXDEV);
    assert_false(wait_for(start_delete("d/way/f")));
    assert_true(exists("folder/f"));
    assert_int_equal(count_in("folder"), 1);
    put_text("d/out", "new");
    assert_ok(start_delete("d/absolute"));
    assert_true(exists("/etc/passwd"));
    hfc_autobuf struct hfc_buf text = HFC_BUF(100);
    assert_int_equal(hfc_file_read(AT_FDCWD, "outside", &text, &err), 0);
    assert_string_equal(text.data, "secret");
    assert_fails(start_text("d/dangling/x", "x"), ENOENT);
    no_leftovers();
}

static void the_stores_own_folder_may_be_no_link(void **state)
{
    (void)state;
    assert_int_equal(mkdir("elsewhere", 0777), 0);
    assert_int_equal(symlink("../elsewhere", "s/.hfcache-uploads"), 0);
    assert_false(wait_for(start_text("k", "x")));
    assert_int_equal(count_in("elsewhere"), 0);
}

/* ---- Copies. ---- */

static struct hfc_store_op *start_copy(const char *from, const char *to, const char *etag,
                                       uint64_t size)
{
    struct hfc_copy copy = {.from = from, .to = to, .etag = etag, .size = size};

    copy.meta = some_meta();
    return hfc_store_copy(store, &copy, on_done, NULL);
}

static void a_copy_is_the_same_bytes_with_its_own_meta(void **state)
{
    enum { SIZE = 9 * 1024 * 1024 };
    hfc_autofree char *bytes = pattern(SIZE);
    struct hfc_meta meta = some_meta();
    char etag[HFC_ETAG_MAX];

    (void)state;
    assert_ok(start_put("a", bytes, SIZE));
    memcpy(etag, end.object.etag, sizeof(etag));
    assert_ok(start_copy("a", "x/y", etag, SIZE));
    assert_string_not_equal(end.object.etag, etag);
    assert_int_equal(end.object.size, SIZE);
    assert_true(!has_xattrs() || same_meta(&end.object.meta, &meta));
    assert_ok(start_get("x/y"));
    assert_memory_equal(got.data, bytes, SIZE);
    assert_ok(start_copy("a", "a", etag, SIZE));
    assert_ok(start_put("empty", "", 0));
    assert_ok(start_copy("empty", "e2", end.object.etag, 0));
    holds("e2", "");
    no_leftovers();
}

static void a_copy_is_of_the_version_that_was_named(void **state)
{
    char etag[HFC_ETAG_MAX];

    (void)state;
    assert_fails(start_copy("none", "k", "e", 4), ENOENT);
    put_text("a", "text");
    memcpy(etag, end.object.etag, sizeof(etag));
    assert_fails(start_copy("a", "b", "1.2.3", 4), ESTALE);
    assert_fails(start_copy("a", "b", etag, 5), ESTALE);
    assert_false(exists("s/b"));
    no_leftovers();
}

static void a_copy_keeps_holes(void **state)
{
    enum { SIZE = 32 * 1024 * 1024 };
    hfc_autofree char *bytes = calloc(1, SIZE);
    struct stat st;

    (void)state;
    assert_non_null(bytes);
    memset(bytes + SIZE / 2, 1, 1000);
    assert_ok(start_put("a", bytes, SIZE));
    assert_ok(start_copy("a", "b", end.object.etag, SIZE));
    assert_int_equal(stat("s/b", &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_true(st.st_blocks <= 2 * 65536 / 512);
    assert_ok(start_get("b"));
    assert_memory_equal(got.data, bytes, SIZE);
}

static void touch_source(void *ctx)
{
    (void)ctx;
    assert_int_equal(utimes("s/a", NULL), 0);
}

static void truncate_source(void *ctx)
{
    (void)ctx;
    assert_int_equal(truncate("s/a", 3000000), 0);
}

static void a_source_written_to_during_a_copy_is_an_error(void **state)
{
    hfc_autofree char *bytes = pattern(9000000);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(start_put("a", bytes, 9000000));
        struct hfc_store_op *op = start_copy("a", "b", end.object.etag, 9000000);
        hfc_timer_start(loop, &later, 0, i == 0 ? touch_source : truncate_source, NULL);
        assert_fails(op, ESTALE);
        assert_string_equal(end.err.msg, "b: the source was written to while it was copied");
        assert_false(exists("s/b"));
        no_leftovers();
    }
}

/* ---- The directory. ---- */

static struct hfc_store *open_url(const char *text)
{
    struct hfc_store_config config = {0};

    err = (struct hfc_error){0};
    return hfc_store_open(loop, text, &config, &err);
}

static void the_directory_may_come_with_the_first_put(void **state)
{
    (void)state;
    assert_int_equal(rmdir("s"), 0);
    (void)strcat(url, "//");
    reopen_store();
    lists("", "");
    assert_fails(start_head("k"), ENOENT);
    assert_ok(start_delete("k"));
    assert_false(exists("s"));
    put_text("a/k", "x");
    holds("a/k", "x");
    assert_true(exists("s/a/k"));
    lists("", "a/k\n");
}

static void a_directory_made_by_others_is_found(void **state)
{
    (void)state;
    assert_int_equal(rmdir("s"), 0);
    reopen_store();
    lists("", "");
    assert_int_equal(mkdir("s", 0777), 0);
    write_file("s/k", "x");
    lists("", "k\n");
}

static void wrong_urls_are_refused(void **state)
{
    char text[200];

    (void)state;
    assert_null(open_url("file://host/dir"));
    assert_non_null(strstr(err.msg, "a directory is given as file:///DIR"));
    assert_int_equal(err.errnum, EINVAL);
    assert_null(open_url("file://"));
    assert_null(open_url("file:///a%zz"));
    write_file("file", "x");
    (void)snprintf(text, sizeof(text), "file://%s/file", dir);
    assert_null(open_url(text));
    assert_int_equal(err.errnum, ENOTDIR);
    (void)snprintf(text, sizeof(text), "file://%s/none/none", dir);
    assert_null(open_url(text));
    assert_int_equal(err.errnum, ENOENT);
    assert_non_null(strstr(err.msg, "/none: No such file"));
}

static void a_url_is_percent_encoded(void **state)
{
    (void)state;
    assert_int_equal(mkdir("a b%", 0777), 0);
    (void)snprintf(url, sizeof(url), "file://%s/a%%20b%%25/", dir);
    reopen_store();
    put_text("k", "x");
    assert_true(exists("a b%/k"));
    assert_string_equal(hfc_store_url(store), url);
    struct hfc_store *root = open_url("file:///");
    assert_non_null(root);
    hfc_store_close(root);
}

static void operations_and_bytes_are_counted(void **state)
{
    struct hfc_store_stats stats;

    (void)state;
    put_text("k", "12345");
    holds("k", "12345");
    assert_ok(start_head("k"));
    lists("", "k\n");
    assert_fails(start_head("/"), EINVAL);
    hfc_store_stats(store, &stats);
    assert_int_equal(stats.requests, 5);
    assert_int_equal(stats.bytes_in, 5);
    assert_int_equal(stats.bytes_out, 5);
    assert_int_equal(stats.retries, 0);
}

/* ---- Leftovers. ---- */

enum { YOUNG, OLD, FOLDER = 2 };

/* Puts something into the store's own folder, as a killed process might have. */
static void leave(const char *name, unsigned how)
{
    char path[300], inside[320];
    struct timeval times[2] = {{.tv_sec = time(NULL) - 2 * 24 * 60 * 60}};

    times[1] = times[0];
    (void)snprintf(path, sizeof(path), "s/.hfcache-uploads/%s", name);
    (void)snprintf(inside, sizeof(inside), "%s/key", path);
    if ((how & FOLDER) != 0)
        assert_int_equal(mkdir(path, 0777), 0);
    write_file((how & FOLDER) != 0 ? inside : path, "x");
    if ((how & OLD) != 0)
        assert_int_equal(utimes(path, times), 0);
}

/* By a process as process.h names it. */
static void leave_temp(const char *process, unsigned number, unsigned how)
{
    char name[240];

    (void)snprintf(name, sizeof(name), "tmp-1%u-%s", number, process);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '/' ? ':' : *c;
    leave(name, how);
}

/* What a child that has ended was called. */
static void gone_process(char to[HFC_PROCESS_SIZE])
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        hfc_process_self(to);
        _exit(write(fds[1], to, HFC_PROCESS_SIZE) == HFC_PROCESS_SIZE ? 0 : 1);
    }
    assert_int_equal(read(fds[0], to, HFC_PROCESS_SIZE), HFC_PROCESS_SIZE);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* `text` with its first character, or its last, made another one. */
static const char *other(const char *text, bool last)
{
    static char to[HFC_PROCESS_SIZE];

    (void)snprintf(to, sizeof(to), "%s", text);
    char *c = last ? &to[strlen(to) - 1] : to;
    *c = *c == '1' ? '2' : '1';
    return to;
}

static void what_killed_processes_have_left_is_removed(void **state)
{
    char self[HFC_PROCESS_SIZE], gone[HFC_PROCESS_SIZE];

    (void)state;
    hfc_process_self(self);
    assert_true(self[0] != '\0');
    gone_process(gone);
    put_text("k", "text");
    leave_temp(gone, 1, YOUNG);
    leave_temp(gone, 2, YOUNG | FOLDER);
    leave_temp(self, 3, YOUNG); /* stays */
    leave_temp(self, 4, OLD);
    leave_temp(other(self, true), 5, YOUNG);  /* the number is used again */
    leave_temp(other(gone, false), 6, YOUNG); /* stays: of another boot, or machine */
    leave_temp(other(gone, false), 7, OLD);
    leave("tmp-1", OLD);
    leave("tmp-2", YOUNG); /* stays */
    leave("up-1", OLD | FOLDER);
    leave("up-2", YOUNG | FOLDER); /* stays */
    leave("other", OLD);           /* stays */
    reopen_store();
    put_text("k", "text");
    assert_int_equal(count_in("s/.hfcache-uploads"), 1 + 5);
    assert_non_null(strstr(logged.data, "left by a process that is gone"));
    lists("", "k\n");
}

static void readers_remove_nothing(void **state)
{
    (void)state;
    put_text("k", "text");
    leave("tmp-1", OLD);
    reopen_store();
    lists("", "k\n");
    holds("k", "text");
    assert_int_equal(count_in("s/.hfcache-uploads"), 2);
    assert_int_equal(logged.len, 0);
    put_text("k", "text");
    no_leftovers();
}

/* Nobody claims to have removed what is still there. */
static void what_cannot_be_removed_is_not_called_removed(void **state)
{
    (void)state;
    put_text("k", "text");
    leave("tmp-1", OLD | FOLDER);
    assert_int_equal(mkdir("s/.hfcache-uploads/tmp-1/folder", 0777), 0);
    assert_int_equal(utimes("s/.hfcache-uploads/tmp-1", (struct timeval[2]){{0}}), 0);
    reopen_store();
    put_text("k", "text");
    assert_true(exists("s/.hfcache-uploads/tmp-1"));
    assert_int_equal(logged.len, 0);
}

static void a_killed_put_leaves_the_old_object(void **state)
{
    (void)state;
    put_text("k", "old");
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct hfc_put put = {.key = "k", .body = {.read = read_halting, .size = 1000000}};
        hfc_autofree char *bytes = calloc(1, 1000000);
        put.body.ctx = bytes;
        (void)alarm(60);
        calls = 1;
        running = hfc_store_put(store, &put, on_done, NULL);
        run_for(0);
        run_for(0);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(count_in("s/.hfcache-uploads"), 2);
    holds("k", "old");
    reopen_store();
    put_text("k2", "new");
    no_leftovers();
    holds("k", "old");
}

/* ---- Errors of the file system. ---- */

static void a_limit_on_file_size_is_an_error(void **state)
{
    struct rlimit old, low;
    hfc_autofree char *bytes = pattern(1000000);

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 100000;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    bool ok = wait_for(start_put("a/k", bytes, 1000000));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_false(ok);
    assert_string_equal(end.err.msg, "a/k: put: File too large");
    assert_int_equal(end.err.errnum, EFBIG);
    assert_false(exists("s/a"));
    no_leftovers();
}

/* A file system of 1 MiB, mounted over the store's directory. */
static bool mount_small(unsigned long flags)
{
    if (geteuid() != 0 || mount("tmpfs", "s", "tmpfs", flags, "size=1m") < 0) {
        print_message("skipped: needs root and mount(2)\n");
        return false;
    }
    reopen_store();
    return true;
}

static void unmount(void)
{
    hfc_store_close(store);
    store = NULL;
    assert_int_equal(umount("s"), 0);
}

static void a_full_disk_is_an_error(void **state)
{
    hfc_autofree char *bytes = pattern(2000000);

    (void)state;
    if (!mount_small(0))
        skip();
    bool ok = wait_for(start_put("k", bytes, 2000000));
    int errnum = end.err.errnum;
    unsigned left = count_in("s/.hfcache-uploads");
    bool small = wait_for(start_put("k", bytes, 1000));
    unmount();
    assert_false(ok);
    assert_int_equal(errnum, ENOSPC);
    assert_int_equal(left, 0);
    assert_true(small);
}

static void a_read_only_file_system_can_be_read(void **state)
{
    (void)state;
    if (!mount_small(0))
        skip();
    bool put = wait_for(start_text("a/k", "x"));
    int rc = mount("tmpfs", "s", "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
    reopen_store();
    bool read_again = wait_for(start_get("a/k")), listed = wait_for(start_list(""));
    bool put_again = wait_for(start_text("a/k", "y"));
    int errnum = end.err.errnum;
    bool deleted = wait_for(start_delete("a/k"));
    int errnum_delete = end.err.errnum;
    unmount();
    assert_true(put && rc == 0 && read_again && listed);
    assert_false(put_again || deleted);
    assert_int_equal(errnum, EROFS);
    assert_int_equal(errnum_delete, EROFS);
}

static void a_directory_without_permission(void)
{
    CHECK_OR_SKIP(geteuid() == 0);
    CHECK(wait_for(start_text("a/k", "x")) && wait_for(start_text("b/k", "x")));
    CHECK(chmod(dir, 0755) == 0 && chmod("s/a", 0) == 0 && chmod("s/b/k", 0) == 0);
    CHECK(seteuid(65534) == 0);
    CHECK(!wait_for(start_text("c/k", "x")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_get("b/k")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_head("a/k")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_delete("a/k")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_list("a/")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_list("")) && end.err.errnum == EACCES);
    CHECK(strstr(end.err.msg, "/s/a: list: Permission denied") != NULL);
    CHECK(seteuid(0) == 0);
}

static void a_root_that_others_own(void)
{
    CHECK_OR_SKIP(geteuid() == 0);
    CHECK(wait_for(start_text("a/k", "x")) && chmod(dir, 0755) == 0);
    CHECK(chmod("s/.hfcache-uploads", 0777) == 0 && chmod("s/.hfcache-uploads/lock", 0666) == 0);
    CHECK(seteuid(65534) == 0);
    CHECK(!wait_for(start_text("b/c/k", "x")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_text("k", "x")) && end.err.errnum == EACCES);
    CHECK(count_in("s/.hfcache-uploads") == 1);
    CHECK(seteuid(0) == 0 && chmod("s/.hfcache-uploads/lock", 0) == 0 && seteuid(65534) == 0);
    CHECK(!wait_for(start_text("k", "x")) && end.err.errnum == EACCES);
    CHECK(seteuid(0) == 0);
}

static void a_directory_that_cannot_be_made(void)
{
    CHECK_OR_SKIP(geteuid() == 0);
    CHECK(chmod(dir, 0755) == 0 && rmdir("s") == 0);
    reopen_store();
    CHECK(seteuid(65534) == 0);
    CHECK(!wait_for(start_text("k", "x")) && end.err.errnum == EACCES);
    CHECK(seteuid(0) == 0);
    CHECK_OR_SKIP(make_fail(SYS_fsync, EIO));
    CHECK(!wait_for(start_text("k", "x")) && end.err.errnum == EIO);
}

static void on_item_locking(void *ctx, const char *key, const struct hfc_object *object)
{
    on_item(ctx, key, object);
    if (strcmp(key, "a/b/1") == 0)
        CHECK(chmod("s/a", 0) == 0);
}

static void a_folder_that_is_locked_behind_the_walk(void)
{
    CHECK_OR_SKIP(geteuid() == 0);
    CHECK(chmod(dir, 0755) == 0 && chmod("s", 0777) == 0 && seteuid(65534) == 0);
    CHECK(wait_for(start_text("a/b/1", "x")) && wait_for(start_text("a/c", "x")));
    hfc_buf_reset(&got);
    CHECK(!wait_for(hfc_store_list(store, "", on_item_locking, on_done, NULL)));
    CHECK(end.err.errnum == EACCES && strcmp(got.data, "a/b/1\n") == 0);
    CHECK(chmod("s/a", 0755) == 0 && seteuid(0) == 0);
}

static void missing_permission_is_an_error(void **state)
{
    (void)state;
    in_child(a_directory_without_permission);
    in_child(a_root_that_others_own);
}

static void a_directory_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    in_child(a_directory_that_cannot_be_made);
}

static void a_walk_that_cannot_go_on_is_an_error(void **state)
{
    (void)state;
    in_child(a_folder_that_is_locked_behind_the_walk);
}

/* ---- System calls that fail. ---- */

static void without_openat2(void)
{
    CHECK_OR_SKIP(make_fail(SYS_openat2, ENOSYS));
    CHECK(wait_for(start_text("x/y/z", "text")) && wait_for(start_get("x/y/z")));
    CHECK(strcmp(got.data, "text") == 0);
    CHECK(wait_for(start_list("")));
    CHECK(strcmp(got.data, "blobs/1\nd/plain\nx/y/z\n") == 0);
    CHECK(wait_for(start_list("x/y/")) && strcmp(got.data, "x/y/z\n") == 0);
    CHECK(!wait_for(start_get("d/out")) && end.err.errnum == ENOENT);
    CHECK(!wait_for(start_get("d/link")) && end.err.errnum == ENOENT);
    CHECK(!wait_for(start_get("d/way/f")) && end.err.errnum == ENOENT);
    CHECK(!wait_for(start_text("d/way/new", "x")));
    CHECK(!exists("folder/new"));
    CHECK(wait_for(start_delete("x/y/z")) && !exists("s/x"));
}

static void old_kernels_follow_no_links(void **state)
{
    (void)state;
    make_links();
    in_child(without_openat2);
}

static void with_openat2_refused(void)
{
    CHECK_OR_SKIP(make_fail(SYS_openat2, EPERM));
    CHECK(wait_for(start_text("x/y/z", "text")) && wait_for(start_get("x/y/z")));
    CHECK(!wait_for(start_get("d/way/f")) && end.err.errnum == ENOENT);
}

static void so_do_sandboxes_that_forbid_it(void **state)
{
    (void)state;
    make_links();
    in_child(with_openat2_refused);
}

static void without_renameat2(void)
{
    struct hfc_put put = put_of("k", "one", 3);

    put.condition = HFC_IF_ABSENT;
    CHECK_OR_SKIP(make_fail(SYS_renameat2, EINVAL));
    CHECK(wait_for(hfc_store_put(store, &put, on_done, NULL)));
    CHECK(wait_for(start_get("k")) && strcmp(got.data, "one") == 0);
    CHECK(count_in("s/.hfcache-uploads") == 1);
    put.key = "k2";
    put.body.read = read_late;
    before_bytes = foreign_file;
    CHECK(wait_for(hfc_store_put(store, &put, on_done, NULL)));
    put.key = "link";
    CHECK(symlink("nowhere", "s/link") == 0);
    CHECK(!wait_for(hfc_store_put(store, &put, on_done, NULL)) && end.err.errnum == EEXIST);
    put.key = "k";
    CHECK(unlink("s/k") == 0);
    CHECK(!wait_for(hfc_store_put(store, &put, on_done, NULL)) && end.err.errnum == EEXIST);
}

static void if_absent_needs_no_new_kernel(void **state)
{
    (void)state;
    in_child(without_renameat2);
}

static void without_xattrs(void)
{
    struct hfc_put put = put_of("k", "one", 3);

    put.meta = some_meta();
    CHECK_OR_SKIP(make_fail(SYS_fsetxattr, EOPNOTSUPP));
    CHECK(wait_for(hfc_store_put(store, &put, on_done, NULL)));
    CHECK(!end.object.meta.has_sha256);
    CHECK(wait_for(start_head("k")) && !end.object.meta.has_sha256);
}

static void a_file_system_without_attributes_keeps_no_meta(void **state)
{
    (void)state;
    in_child(without_xattrs);
}

static void with_xattrs_that_fail(void)
{
    struct hfc_put put = put_of("k", "one", 3);

    put.meta = some_meta();
    CHECK_OR_SKIP(make_fail(SYS_fsetxattr, ENOSPC));
    CHECK(!wait_for(hfc_store_put(store, &put, on_done, NULL)) && end.err.errnum == ENOSPC);
    CHECK(!exists("s/k"));
}

static void meta_that_find_no_room_are_an_error(void **state)
{
    (void)state;
    in_child(with_xattrs_that_fail);
}

static void with_fsync_that_fails(void)
{
    CHECK(wait_for(start_text("a", "old")) && wait_for(start_text("b", "text")));
    CHECK_OR_SKIP(make_fail(SYS_fsync, EIO));
    CHECK(!wait_for(start_text("a", "new")) && end.err.errnum == EIO);
    CHECK(wait_for(start_get("a")) && strcmp(got.data, "old") == 0);
    CHECK(count_in("s/.hfcache-uploads") == 1);
    CHECK(!wait_for(start_delete("b")) && end.err.errnum == EIO);
    CHECK(!wait_for(start_text("new/a", "new")) && end.err.errnum == EIO);
}

static void a_disk_that_fails_keeps_the_old_object(void **state)
{
    (void)state;
    in_child(with_fsync_that_fails);
}

static void with_reads_that_fail(void)
{
    CHECK(wait_for(start_text("a", "text")));
    struct hfc_object a = end.object;
    CHECK_OR_SKIP(make_fail(SYS_ioctl, EOPNOTSUPP) && make_fail(SYS_copy_file_range, EIO));
    CHECK(!wait_for(start_copy("a", "b", a.etag, 4)) && end.err.errnum == EIO);
    CHECK(make_fail(SYS_pread64, EIO));
    CHECK(!wait_for(start_get("a")) && end.err.errnum == EIO);
}

static void bytes_that_cannot_be_read_are_an_error(void **state)
{
    (void)state;
    in_child(with_reads_that_fail);
}

static char *zeros_around_data(void)
{
    char *bytes = calloc(1, 3000000);

    CHECK(bytes != NULL);
    memset(bytes + 1000000, 'x', 1000000);
    CHECK(wait_for(start_put("a", bytes, 3000000)));
    return bytes;
}

static void copies_to(const char *key, const char *bytes)
{
    CHECK(wait_for(start_head("a")));
    struct hfc_object a = end.object;
    CHECK(wait_for(start_copy("a", key, a.etag, 3000000)));
    CHECK(wait_for(start_get(key)) && memcmp(got.data, bytes, 3000000) == 0);
}

static void without_copy_file_range(void)
{
    hfc_autofree char *bytes = zeros_around_data();

    CHECK_OR_SKIP(make_fail(SYS_ioctl, EOPNOTSUPP) && make_fail(SYS_copy_file_range, ENOSYS));
    copies_to("b", bytes);
}

static void without_knowledge_of_holes(void)
{
    hfc_autofree char *bytes = zeros_around_data();

    CHECK_OR_SKIP(make_fail(SYS_ioctl, EOPNOTSUPP) && make_fail(SYS_lseek, EINVAL));
    copies_to("b", bytes);
}

static void with_a_copy_that_ends_early(void)
{
    CHECK(wait_for(start_text("a", "text")));
    struct hfc_object a = end.object;
    CHECK_OR_SKIP(make_fail(SYS_ioctl, EOPNOTSUPP) && make_fail(SYS_copy_file_range, 0));
    CHECK(!wait_for(start_copy("a", "c", a.etag, 4)) && end.err.errnum == ESTALE);
    CHECK(!exists("s/c"));
}

static void with_an_instant_copy(void)
{
    CHECK(wait_for(start_put("a", "\0\0\0\0", 4)));
    struct hfc_object a = end.object;
    CHECK_OR_SKIP(make_fail(SYS_ioctl, 0));
    CHECK(wait_for(start_copy("a", "d", a.etag, 4)));
    CHECK(wait_for(start_get("d")) && got.len == 4);
}

static void file_systems_without_offload_copy_too(void **state)
{
    (void)state;
    in_child(without_copy_file_range);
    in_child(without_knowledge_of_holes);
    in_child(with_a_copy_that_ends_early);
    in_child(with_an_instant_copy);
}

static void without_new_folders(void)
{
    CHECK(wait_for(start_text("a", "text")));
    struct hfc_object a = end.object;
    CHECK_OR_SKIP(make_fail(SYS_mkdirat, EACCES));
    CHECK(!wait_for(start_text("b", "x")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_copy("a", "b", a.etag, 4)) && end.err.errnum == EACCES);
    CHECK(rmdir("s/.hfcache-uploads") != 0 && !exists("s/b"));
}

static void temporary_files_that_cannot_be_made_are_an_error(void **state)
{
    (void)state;
    in_child(without_new_folders);
}

static void with_flock_that_fails(void)
{
    CHECK(wait_for(start_text("a", "text")));
    CHECK_OR_SKIP(make_fail(SYS_flock, ENOLCK));
    CHECK(!wait_for(start_text("b", "new")) && end.err.errnum == ENOLCK);
    CHECK(!wait_for(start_delete("a")) && end.err.errnum == ENOLCK);
    CHECK(exists("s/a") && !exists("s/b"));
}

static void without_the_lock_nothing_changes(void **state)
{
    (void)state;
    in_child(with_flock_that_fails);
}

static void with_folders_that_cannot_be_read(void)
{
    CHECK(wait_for(start_text("a", "text")));
    CHECK_OR_SKIP(make_fail(SYS_getdents64, EIO));
    CHECK(!wait_for(start_list("")) && end.err.errnum == EIO);
}

static void a_folder_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    in_child(with_folders_that_cannot_be_read);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_put_is_there_with_its_meta),
        T(either_digest_may_be_unknown),
        T(every_size_comes_back_whole),
        T(a_range_is_what_was_asked_for),
        T(zeros_take_no_space),
        T(announced_bytes_are_verified),
        T(each_put_is_another_version),
        T(the_time_of_a_version_is_exact),
        T(what_is_not_content_does_not_change_the_version),
        T(a_file_changed_by_others_is_another_version_without_meta),
        T(damaged_meta_are_none),
        T(put_if_absent_takes_no_ones_place),
        T(put_if_absent_does_not_replace_a_link_to_nowhere),
        T(put_if_match_replaces_that_version_only),
        T(conditions_hold_at_the_end_as_well),
        T(get_may_ask_for_or_against_a_version),
        T(a_receiver_may_pause),
        T(a_source_may_pause),
        T(either_side_may_stop),
        T(other_timers_go_on_meanwhile),
        T(needless_resumes_do_no_harm),
        T(callers_may_cancel_from_within),
        T(a_put_cancelled_half_way_leaves_nothing),
        T(closing_the_store_drops_what_runs),
        T(bytes_of_two_versions_are_never_mixed),
        T(the_last_slice_is_of_the_version_too),
        T(a_replaced_object_is_read_to_its_end),
        T(keys_that_are_no_paths_are_refused),
        T(long_and_odd_keys_are_kept),
        T(folders_are_made_and_removed_as_needed),
        T(deleting_nothing_succeeds),
        T(a_folder_is_no_object),
        T(what_stands_in_the_way_is_an_error),
        T(a_list_is_in_byte_order),
        T(a_prefix_that_nothing_has_is_an_empty_list),
        T(a_list_tells_size_and_version),
        T(large_folders_are_listed_in_slices),
        T(files_between_folders_come_in_their_place),
        T(names_that_are_no_keys_are_passed_over),
        T(what_vanishes_during_a_list_is_passed_over),
        T(a_folder_that_vanishes_behind_the_walk_is_passed_over),
        T(links_inside_count_and_others_do_not),
        T(nothing_is_written_outside),
        T(the_stores_own_folder_may_be_no_link),
        T(a_copy_is_the_same_bytes_with_its_own_meta),
        T(a_copy_is_of_the_version_that_was_named),
        T(a_copy_keeps_holes),
        T(a_source_written_to_during_a_copy_is_an_error),
        T(the_directory_may_come_with_the_first_put),
        T(a_directory_made_by_others_is_found),
        T(wrong_urls_are_refused),
        T(a_url_is_percent_encoded),
        T(operations_and_bytes_are_counted),
        T(what_killed_processes_have_left_is_removed),
        T(readers_remove_nothing),
        T(what_cannot_be_removed_is_not_called_removed),
        T(a_killed_put_leaves_the_old_object),
        T(a_limit_on_file_size_is_an_error),
        T(a_full_disk_is_an_error),
        T(a_read_only_file_system_can_be_read),
        T(missing_permission_is_an_error),
        T(a_directory_that_cannot_be_made_is_an_error),
        T(a_walk_that_cannot_go_on_is_an_error),
        T(old_kernels_follow_no_links),
        T(so_do_sandboxes_that_forbid_it),
        T(if_absent_needs_no_new_kernel),
        T(a_file_system_without_attributes_keeps_no_meta),
        T(meta_that_find_no_room_are_an_error),
        T(a_disk_that_fails_keeps_the_old_object),
        T(bytes_that_cannot_be_read_are_an_error),
        T(file_systems_without_offload_copy_too),
        T(temporary_files_that_cannot_be_made_are_an_error),
        T(without_the_lock_nothing_changes),
        T(a_folder_that_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
