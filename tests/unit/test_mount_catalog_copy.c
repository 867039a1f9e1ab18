/* test_mount_catalog_copy.c: the copy of the tree in the cache directory (mount/catalog_copy.c,
 * mount/catalog.c), and the whole way from a directory as a bucket. */
#include "catalog_bucket.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- The log; first, because only so many lines are written a minute. ---- */

static void a_copy_of_no_use_is_logged(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(1 << 16);

    (void)state;
    put_file("index", "spoilt\n", 7);
    int saved = log_begin();
    restart();
    log_end(saved, &lines);
    assert_non_null(strstr(lines.data, "the copy of the tree in the cache directory is of no use: "
                                       "index: line 1: this is no index"));
    assert_null(catalog_tree(catalog));
}

static void a_copy_that_is_served_is_logged(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(1 << 16);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    int saved = log_begin();
    restart();
    log_end(saved, &lines);
    assert_non_null(strstr(lines.data, "the 1 names that were known last are served"));
}

static void a_copy_that_can_not_be_written_is_logged(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(1 << 16);

    (void)state;
    assert_int_equal(mkdirat(dir_fd, "index.new", 0700), 0);
    set_index("e1", OBJECT("a"));
    int saved = log_begin();
    look_well(true);
    log_end(saved, &lines);
    assert_non_null(strstr(lines.data,
                           "the copy of the tree was not written: index.new in the cache "
                           "directory: Is a directory; the one before stays for the next start"));
}

/* ---- What is there at start. ---- */

static void without_a_copy_there_is_no_tree(void **state)
{
    (void)state;
    restart();
    assert_null(catalog_tree(catalog));
    assert_int_equal(bucket.gets, 0);
}

static void the_copy_is_served_at_once_and_asked_about_by_its_etag(void **state)
{
    hfc_autobuf struct hfc_buf copy = HFC_BUF(ROOM);

    (void)state;
    set_index("e1", OBJECT("a") "future 1\n");
    look_well(true);
    read_file("index", &copy);
    assert_string_equal(copy.data, bucket.index.data);
    assert_false(has_file("index.new") || has_file("index.etag.new"));
    restart();
    assert_true(shows("a"));
    assert_int_equal(catalog_age_ms(catalog), -1);
    look_well(false);
    assert_string_equal(bucket.condition, "e1");
    assert_true(catalog_age_ms(catalog) >= 0);
}

static void the_copy_of_a_listing_is_an_index_without_an_etag(void **state)
{
    static const struct bucket_object objects[] = {
        {".hfcache/lock", "l", 1}, {"a b", "e", 1}, {"c/", "m", 0}};
    hfc_autobuf struct hfc_buf copy = HFC_BUF(ROOM), expected = HFC_BUF(ROOM);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    assert_true(has_file("index.etag"));
    assert_int_equal(unlinkat(dir_fd, "index.etag", 0), 0);
    bucket.with_index = false;
    bucket.objects = objects;
    bucket.n = 3;
    restart();
    look_well(true);
    read_file("index", &copy);
    index_text(&expected, OBJECT("a%20b"));
    assert_string_equal(copy.data, expected.data);
    assert_false(has_file("index.etag"));
    restart();
    assert_true(shows("a b"));
    look_well(false);
    assert_string_equal(bucket.condition, "");
}

static void a_spoilt_copy_is_not_served_and_loaded_anew(void **state)
{
    hfc_autobuf struct hfc_buf copy = HFC_BUF(ROOM);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    read_file("index", &copy);
    for (size_t n = 0; n < copy.len; n += 5) {
        put_file("index", copy.data, n);
        restart();
        assert_null(catalog_tree(catalog));
    }
    copy.data[20] ^= 1;
    put_file("index", copy.data, copy.len);
    restart();
    assert_null(catalog_tree(catalog));
    look_well(true);
    assert_string_equal(bucket.condition, "");
    restart();
    assert_true(shows("a"));
}

/* As a crash between the two files leaves it. */
static void an_etag_of_another_copy_does_not_count(void **state)
{
    hfc_autobuf struct hfc_buf etag = HFC_BUF(ROOM);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    read_file("index.etag", &etag);
    set_index("e2", OBJECT("b"));
    look_well(true);
    put_file("index.etag", etag.data, etag.len);
    restart();
    assert_true(shows("b"));
    look_well(false);
    assert_string_equal(bucket.condition, "");
    bucket.with_index = false;
    look_fails(ENOENT, "had an index");
}

static void a_spoilt_etag_is_none(void **state)
{
    hfc_autobuf struct hfc_buf etag = HFC_BUF(ROOM);
    static const char *const spoilt[] = {"", "e1", "e1 ", "e1\n", " ", "e1 00\n"};
    char text[300];

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    read_file("index.etag", &etag);
    assert_int_equal(etag.len, 68);
    for (size_t i = 0; i < HFC_ARRAY_LEN(spoilt) + 5; i++) {
        (void)snprintf(text, sizeof(text), "%s", i < HFC_ARRAY_LEN(spoilt) ? spoilt[i] : etag.data);
        size_t n = strlen(text);
        switch (i - HFC_ARRAY_LEN(spoilt)) {
        case 0:
            text[0] = '"';
            break;
        case 1:
            text[0] = '\n';
            break;
        case 2:
            text[n - 2] = 'g';
            break;
        case 3:
            text[n - 1] = ' ';
            break;
        case 4:
            memset(text, 'e', 200);
            n = 200;
            break;
        default:
            break;
        }
        put_file("index.etag", text, n);
        restart();
        assert_true(shows("a"));
        assert_string_equal(catalog->etag, "");
        assert_false(catalog->had_index);
    }
    put_file("index.etag", etag.data, etag.len);
    restart();
    assert_string_equal(catalog->etag, "e1");
}

static void a_copy_that_does_not_fit_is_not_served(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    stop_catalog();
    start_catalog(1000, dir_fd);
    assert_null(catalog_tree(catalog));
    restart();
    assert_true(shows("a"));
}

static void what_is_no_file_is_no_copy(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "index", 0700), 0);
    restart();
    assert_null(catalog_tree(catalog));
    assert_int_equal(unlinkat(dir_fd, "index", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("elsewhere", dir_fd, "index"), 0);
    restart();
    assert_null(catalog_tree(catalog));
    assert_int_equal(unlinkat(dir_fd, "index", 0), 0);
    assert_int_equal(mkfifoat(dir_fd, "index", 0700), 0);
    restart();
    assert_null(catalog_tree(catalog));
}

static void without_a_directory_all_works_from_memory(void **state)
{
    static const struct bucket_object objects[] = {{"c", "e", 1}};

    (void)state;
    stop_catalog();
    start_catalog(ROOM, -1);
    set_index("e1", OBJECT("a"));
    look_well(true);
    look_well(false);
    set_index("e2", OBJECT("b"));
    look_well(true);
    assert_true(shows("b"));
    assert_false(has_file("index") || has_file("index.etag"));
    stop_catalog();
    start_catalog(ROOM, -1);
    bucket.with_index = false;
    bucket.objects = objects;
    bucket.n = 1;
    look_well(true);
    look_well(false);
    assert_true(shows("c"));
}

/* ---- A disk that fails. ---- */

static void a_disk_that_fails_keeps_no_tree_from_being_served(void **state)
{
    uint64_t errors = metric_get(M_DISK_ERRORS);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    assert_int_equal(mkdirat(dir_fd, "index.new", 0700), 0);
    set_index("e2", OBJECT("b"));
    look_well(true);
    assert_true(shows("b"));
    assert_int_equal(metric_get(M_DISK_ERRORS), errors + 1);
    assert_int_equal(unlinkat(dir_fd, "index.new", AT_REMOVEDIR), 0);
    restart();
    assert_true(shows("a"));
    assert_string_equal(catalog->etag, "e1");
    look_well(true);
    restart();
    assert_true(shows("b"));
}

static void a_copy_that_can_not_be_renamed_is_dropped(void **state)
{
    uint64_t errors = metric_get(M_DISK_ERRORS);

    (void)state;
    assert_int_equal(mkdirat(dir_fd, "index", 0700), 0);
    set_index("e1", OBJECT("a"));
    look_well(true);
    assert_true(shows("a"));
    assert_false(has_file("index.new") || has_file("index.etag"));
    assert_int_equal(unlinkat(dir_fd, "index", AT_REMOVEDIR), 0);
    assert_int_equal(mkdirat(dir_fd, "index.etag", 0700), 0);
    set_index("e2", OBJECT("b"));
    look_well(true);
    assert_int_equal(metric_get(M_DISK_ERRORS), errors + 2);
    assert_false(has_file("index.etag.new"));
    restart();
    assert_true(shows("b"));
    assert_string_equal(catalog->etag, "");
    assert_int_equal(unlinkat(dir_fd, "index.etag", AT_REMOVEDIR), 0);
    assert_int_equal(mkdirat(dir_fd, "index.etag.new", 0700), 0);
    look_well(false);
    assert_int_equal(metric_get(M_DISK_ERRORS), errors + 3);
    assert_int_equal(unlinkat(dir_fd, "index.etag.new", AT_REMOVEDIR), 0);
}

/* Limits the size of files, as a full disk does. */
static void a_full_disk_leaves_the_copy_before(void **state)
{
    struct rlimit old, small = {0};
    hfc_autobuf struct hfc_buf lines = HFC_BUF(ROOM);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    for (unsigned i = 0; i < 1000; i++)
        hfc_buf_printf(&lines, OBJECT("b%05u"), i);
    set_index("e2", lines.data);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){4096, old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    look();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, handler);
    assert_true(seen.changed && !seen.failed);
    assert_true(shows("b00999"));
    assert_false(has_file("index.new"));
    restart();
    assert_true(shows("a"));
}

/* ---- A directory as a bucket. ---- */

static struct hfc_store *real;

static void put_object(const char *name, const char *text)
{
    char at[200], *slash;

    (void)snprintf(at, sizeof(at), "store/%s", name);
    for (slash = strchr(at, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdirat(dir_fd, at, 0700);
        *slash = '/';
    }
    put_file(at, text, strlen(text));
}

static void look_at_real(bool changed)
{
    catalog_use_store(catalog, real);
    wait_for_look();
    if (seen.failed)
        fail_msg("%s", seen.err.msg);
    assert_int_equal(seen.changed, changed);
}

static void a_directory_is_a_bucket_like_others(void **state)
{
    const struct hfc_store_config config = {0};
    char url[100];

    (void)state;
    put_object("hub/a", "text");
    put_object("hub/a-b", "text");
    put_object("hub/c/d", "text");
    (void)snprintf(url, sizeof(url), "file://%s/store", dir);
    real = hfc_store_open(loop, url, &config, &err);
    if (real == NULL)
        fail_msg("%s", err.msg);
    look_at_real(true);
    assert_true(shows("hub/a") && shows("hub/a-b") && shows("hub/c/d"));
    look_at_real(false);
    put_object("hub/c/e", "text");
    look_at_real(true);
    index_text(&bucket.index, "ref " COMMIT_A " r\n");
    put_object(HFC_INDEX_KEY, bucket.index.data);
    look_at_real(true);
    assert_true(shows("r") && !shows("hub"));
    look_at_real(false);
    assert_string_not_equal(catalog->etag, "");
    assert_int_equal(unlinkat(dir_fd, "store/" HFC_INDEX_KEY, 0), 0);
    catalog_use_store(catalog, real);
    wait_for_look();
    assert_true(seen.failed && seen.err.errnum == ENOENT && shows("r"));
    put_object(HFC_INDEX_KEY, "no index\n");
    catalog_use_store(catalog, real);
    wait_for_look();
    assert_true(seen.failed && seen.err.errnum == EBADMSG && shows("r"));
    catalog_use_store(catalog, NULL);
    hfc_store_close(real);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_copy_of_no_use_is_logged),
        T(a_copy_that_is_served_is_logged),
        T(a_copy_that_can_not_be_written_is_logged),
        T(without_a_copy_there_is_no_tree),
        T(the_copy_is_served_at_once_and_asked_about_by_its_etag),
        T(the_copy_of_a_listing_is_an_index_without_an_etag),
        T(a_spoilt_copy_is_not_served_and_loaded_anew),
        T(an_etag_of_another_copy_does_not_count),
        T(a_spoilt_etag_is_none),
        T(a_copy_that_does_not_fit_is_not_served),
        T(what_is_no_file_is_no_copy),
        T(without_a_directory_all_works_from_memory),
        T(a_disk_that_fails_keeps_no_tree_from_being_served),
        T(a_copy_that_can_not_be_renamed_is_dropped),
        T(a_full_disk_leaves_the_copy_before),
        T(a_directory_is_a_bucket_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
