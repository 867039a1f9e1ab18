/* test_mount_catalog.c: looking at the bucket, by index or listing (mount/catalog.c,
 * mount/catalog_look.c, mount/catalog_draft.c). The copy on disk has a file of its own. */
#include "catalog_bucket.h"

#include <pthread.h>

/* ---- Turns of the loop. ---- */

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

/* Lets the loop come round. */
static void turn(void)
{
    bool turned = false;
    struct hfc_timer timer = {0};

    hfc_timer_start(loop, &timer, 0, set_true, &turned);
    assert_int_equal(hfc_loop_run(loop, &turned, &err), 0);
}

/* A look that the bucket does not answer. */
static void hold_a_look(void)
{
    bucket.hold = true;
    catalog_use_store(catalog, &bucket.base);
    turn();
    assert_non_null(catalog->look);
    bucket.hold = false;
}

/* ---- The log; first, because only so many lines are written a minute. ---- */

static void what_happens_is_logged_with_its_cause_and_what_comes_next(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(1 << 16);

    (void)state;
    int saved = log_begin();
    bucket.fail_get = EACCES;
    look();
    bucket.fail_get = 0;
    set_index("e1", OBJECT("a/b") OBJECT("a/b/c") OBJECT("x"));
    look();
    bucket.fail_get = ENOTCONN;
    look();
    bucket.fail_get = 0;
    look();
    log_end(saved, &lines);
    assert_non_null(strstr(lines.data,
                           "error: the names of the bucket can't be read: mem://bucket: Permission "
                           "denied; there are no names to show yet, the next look is in 2"));
    assert_non_null(strstr(lines.data, "warning: 4 names are served, from the index; 1 objects are "
                                       "left out, whose keys can't be names of files"));
    assert_non_null(
        strstr(lines.data,
               "warning: the names of the bucket can't be read: mem://bucket: Transport endpoint "
               "is not connected; the 4 names that are known stay, the next look is in 2"));
    assert_non_null(strstr(lines.data, ": the names of the bucket can be read again"));
}

static void marks_of_folders_are_no_objects_that_are_left_out(void **state)
{
    static const struct bucket_object objects[] = {
        {".hfcache/lock", "e", 1}, {"a", "e", 1}, {"b/", "e", 0}};
    hfc_autobuf struct hfc_buf lines = HFC_BUF(1 << 16);

    (void)state;
    bucket.objects = objects;
    bucket.n = HFC_ARRAY_LEN(objects);
    int saved = log_begin();
    look();
    log_end(saved, &lines);
    assert_non_null(strstr(lines.data, ": 1 names are served, from a listing\n"));
}

/* ---- The index. ---- */

static void before_the_first_look_there_is_no_tree(void **state)
{
    struct node n;

    (void)state;
    assert_null(catalog_tree(catalog));
    assert_int_equal(catalog_age_ms(catalog), -1);
    assert_false(catalog_retired(catalog, 16, &n));
    catalog_look(catalog);
    assert_int_equal(bucket.gets, 0);
    catalog_free(NULL);
}

static void the_index_becomes_the_tree(void **state)
{
    uint64_t changed = metric_get(M_TREE_REFRESHES);

    (void)state;
    set_index("e1", "snapshot models--a " COMMIT_A " -\n" OBJECT("a/b") "ref " COMMIT_A
                                                                        " r\n" OBJECT("x"));
    look_well(true);
    assert_true(shows("a/b") && shows("r") && shows("x"));
    assert_int_equal(bucket.lists, 0);
    assert_string_equal(bucket.condition, "");
    assert_true(catalog_age_ms(catalog) >= 0);
    assert_int_equal(metric_get(M_TREE_REFRESHES), changed + 1);
    assert_int_equal(metric_get(M_TREE_NAMES), 4);
    assert_true(metric_get(M_MEMORY_TREE_USED) > 0);
    struct nametree *t = catalog_tree(catalog);
    assert_string_equal(nametree_version(t), "e1");
    nametree_unref(t);
}

static void an_unchanged_index_is_not_loaded_again(void **state)
{
    uint64_t unchanged = metric_get(M_TREE_UNCHANGED);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    struct nametree *before = catalog_tree(catalog);
    look_well(false);
    assert_string_equal(bucket.condition, "e1");
    assert_int_equal(metric_get(M_TREE_UNCHANGED), unchanged + 1);
    struct nametree *after = catalog_tree(catalog);
    assert_ptr_equal(before, after);
    nametree_unref(before);
    nametree_unref(after);
}

static void a_changed_index_is_a_new_tree_and_the_old_one_lives_while_it_is_held(void **state)
{
    struct node n;

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    struct nametree *old = catalog_tree(catalog);
    set_index("e2", OBJECT("b"));
    look_well(true);
    assert_true(shows("b") && !shows("a"));
    assert_true(nametree_path(old, "a", &n) && !nametree_path(old, "b", &n));
    nametree_unref(old);
    look_well(false);
    assert_string_equal(bucket.condition, "e2");
}

static void the_same_text_with_another_etag_changes_nothing(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    bucket.etag = "e2";
    look_well(false);
    assert_string_equal(bucket.condition, "e1");
    look_well(false);
    assert_string_equal(bucket.condition, "e2");
}

static void an_index_without_a_usable_etag_is_loaded_each_time(void **state)
{
    (void)state;
    set_index("", OBJECT("a"));
    look_well(true);
    look_well(false);
    assert_string_equal(bucket.condition, "");
    set_index("a b", OBJECT("b"));
    look_well(true);
    look_well(false);
    assert_string_equal(bucket.condition, "");
    /* There was one all the same. */
    bucket.with_index = false;
    look_fails(ENOENT, "had an index");
}

/* What the tree and its copy have to be after a look that failed. */
static void nothing_has_changed(void)
{
    assert_true(shows("a") && !shows("b"));
    assert_false(has_file("index.new"));
    struct catalog *other = NULL;
    const struct catalog_config config = {.loop = loop, .directory = dir_fd, .tree_max = ROOM};
    other = catalog_new(&config);
    struct nametree *t = catalog_tree(other);
    struct node n;
    assert_true(t != NULL && nametree_path(t, "a", &n) && !nametree_path(t, "b", &n));
    nametree_unref(t);
    catalog_free(other);
}

static void a_broken_index_changes_nothing(void **state)
{
    uint64_t failures = metric_get(M_TREE_FAILURES);

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    set_index("e2", OBJECT("a") OBJECT("b"));
    bucket.index.data[bucket.index.len - 2] ^= 1;
    look_fails(EBADMSG, "mem://bucket/.hfcache/index: line 4: the SHA-256 of the lines");
    nothing_has_changed();
    set_index("e2", OBJECT("b") OBJECT("a") OBJECT("c"));
    look_fails(EBADMSG, "line 3: the key is not above the one before it");
    nothing_has_changed();
    bucket.index.len = 30;
    look_fails(EBADMSG, "line 2: the text ends within the line");
    bucket.index.len = 0;
    look_fails(EBADMSG, "line 1: the text ends without its end line");
    nothing_has_changed();
    assert_int_equal(metric_get(M_TREE_FAILURES), failures + 4);
    assert_int_equal(bucket.lists, 0);
    set_index("e3", OBJECT("b"));
    look_well(true);
    assert_true(shows("b"));
}

static void a_transfer_that_breaks_off_changes_nothing(void **state)
{
    static const int errnums[] = {ENOTCONN, EAGAIN, EACCES, ESTALE, EBADMSG};

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    int64_t age = catalog_age_ms(catalog);
    set_index("e2", OBJECT("b"));
    for (size_t i = 0; i < HFC_ARRAY_LEN(errnums); i++) {
        bucket.fail_get = errnums[i];
        bucket.fail_after = i * 8;
        look_fails(errnums[i], "mem://bucket");
        nothing_has_changed();
    }
    assert_true(catalog_age_ms(catalog) >= age);
}

static void an_index_that_is_gone_changes_nothing(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    bucket.with_index = false;
    look_fails(
        ENOENT,
        "mem://bucket had an index (.hfcache/index) and has none any more; run hfcache-refresh");
    nothing_has_changed();
    assert_int_equal(bucket.lists, 0);
    restart();
    look_fails(ENOENT, "had an index");
    assert_int_equal(bucket.lists, 0);
    nothing_has_changed();
}

static void a_tree_that_does_not_fit_changes_nothing_and_is_not_loaded_again(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(ROOM);

    (void)state;
    stop_catalog();
    start_catalog(120000, dir_fd);
    set_index("e1", OBJECT("a"));
    look_well(true);
    for (unsigned i = 0; i < 5000; i++)
        hfc_buf_printf(&lines, "object 1 e - - name-%05u\n", i);
    set_index("e2", lines.data);
    look_fails(ENOMEM, "the names of 5000 objects take about");
    assert_non_null(strstr(seen.err.msg, "--memory"));
    nothing_has_changed();
    look_fails(ENOMEM, "the names of 5000 objects take about");
    assert_string_equal(bucket.condition, "e2");
    nothing_has_changed();
    set_index("e3", OBJECT("b"));
    look_well(true);
    assert_true(shows("b"));
    look_well(false);
    assert_string_equal(bucket.condition, "e3");
}

/* ---- Listings. ---- */

static void a_bucket_that_never_had_an_index_is_listed(void **state)
{
    static const struct bucket_object objects[] = {{".hfcache/lock", "e", 1},
                                                   {"/x", "e", 1},
                                                   {"a", "e", 1},
                                                   {"a/", "e", 0},
                                                   {"a/b", "e1", 7},
                                                   {"a//c", "e", 1},
                                                   {"bad-etag", "a b", 1},
                                                   {"hub/m/refs/main", "e", 40}};
    struct node n;

    (void)state;
    bucket.objects = objects;
    bucket.n = HFC_ARRAY_LEN(objects);
    look_well(true);
    assert_int_equal(bucket.lists, 1);
    struct nametree *t = catalog_tree(catalog);
    assert_int_equal(nametree_names(t), 6);
    assert_true(nametree_path(t, "a/b", &n) && n.size == 7);
    assert_true(nametree_path(t, "hub/m/refs/main", &n) && !n.is_ref && n.size == 40);
    nametree_unref(t);
    assert_false(shows(".hfcache"));
}

static void an_unchanged_listing_is_no_new_tree(void **state)
{
    struct bucket_object objects[] = {{"a", "e", 1}, {"b", "e", 1}};

    (void)state;
    bucket.objects = objects;
    bucket.n = 1;
    look_well(true);
    struct nametree *before = catalog_tree(catalog);
    look_well(false);
    assert_int_equal(bucket.lists, 2);
    struct nametree *after = catalog_tree(catalog);
    assert_ptr_equal(before, after);
    nametree_unref(before);
    nametree_unref(after);
    bucket.n = 2;
    look_well(true);
    objects[1].etag = "f";
    look_well(true);
    restart();
    assert_true(shows("a") && shows("b"));
    look_well(false);
    assert_int_equal(bucket.lists, 5);
}

static void an_index_that_appears_takes_the_place_of_the_listing(void **state)
{
    static const struct bucket_object objects[] = {{"a", "e", 1}};

    (void)state;
    bucket.objects = objects;
    bucket.n = 1;
    look_well(true);
    set_index("e1", OBJECT("b"));
    look_well(true);
    assert_true(shows("b") && !shows("a"));
    assert_string_equal(bucket.condition, "");
    assert_int_equal(bucket.lists, 1);
}

static void a_listing_that_fails_changes_nothing(void **state)
{
    static const struct bucket_object first[] = {{"a", "e", 1}};
    static const struct bucket_object second[] = {
        {"b", "e", 1}, {"c", "e", 1}, {"b", "e", 1}, {"d", "e", 1}};

    (void)state;
    bucket.objects = first;
    bucket.n = 1;
    look_well(true);
    bucket.objects = second;
    bucket.n = 2;
    bucket.fail_list = EAGAIN;
    look_fails(EAGAIN, "mem://bucket");
    nothing_has_changed();
    bucket.fail_list = 0;
    bucket.n = 4;
    look_fails(EBADMSG, "the key is not above the one before it");
    nothing_has_changed();
    stop_catalog();
    start_catalog(1000, dir_fd);
    bucket.n = 2;
    look_fails(ENOMEM, "the names of 2 objects take about");
    assert_null(catalog_tree(catalog));
    look_fails(ENOMEM, "the names of 2 objects take about");
    assert_int_equal(bucket.lists, 5);
}

static void without_any_tree_an_index_that_is_gone_is_no_reason_to_show_nothing(void **state)
{
    static const struct bucket_object objects[] = {{"a", "e", 1}};

    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    put_file("index", "spoilt", 6);
    bucket.with_index = false;
    bucket.objects = objects;
    bucket.n = 1;
    restart();
    assert_null(catalog_tree(catalog));
    look_well(true);
    assert_true(shows("a"));
    assert_false(has_file("index.etag"));
    look_well(false);
    assert_int_equal(bucket.lists, 2);
}

/* ---- When. ---- */

/* The interval is 1,000 s in these tests, so that a slow machine makes no difference. */
static void the_next_look_comes_after_the_interval_or_a_quarter_of_it(void **state)
{
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    set_index("e1", OBJECT("a"));
    for (unsigned i = 0; i < 100; i++) {
        look();
        int64_t left = catalog->timer.due - hfc_now_ms();
        assert_in_range(left, 850 * 1000, 1100 * 1000);
        least = left < least ? left : least;
        most = left > most ? left : most;
    }
    assert_true(most - least > 20 * 1000);
    bucket.fail_get = ENOTCONN;
    for (unsigned i = 0; i < 100; i++) {
        look();
        assert_in_range(catalog->timer.due - hfc_now_ms(), 200 * 1000, 275 * 1000);
    }
    catalog->config.interval = 1;
    look();
    assert_true(catalog->timer.due - hfc_now_ms() <= 1000);
}

static void a_look_is_made_again_by_itself(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    catalog->config.interval = 1;
    look_well(true);
    set_index("e2", OBJECT("b"));
    wait_for_look();
    assert_true(seen.changed && shows("b"));
}

static void who_asks_gets_a_look_soon_but_not_one_each(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    look_well(true);
    int64_t began = catalog->began;
    set_index("e2", OBJECT("b"));
    for (unsigned i = 0; i < 100; i++)
        catalog_look(catalog);
    wait_for_look();
    assert_int_equal(seen.looks, 2);
    assert_int_equal(bucket.gets, 2);
    assert_true(catalog->began - began >= 2000);
    assert_true(shows("b"));
    /* Long after the last one it is at once. */
    catalog->began -= 100000;
    catalog_look(catalog);
    assert_true(catalog->timer.due <= hfc_now_ms());
    wait_for_look();
    assert_int_equal(bucket.gets, 3);
}

static void who_asks_during_a_look_gets_another_one_after_it(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    hold_a_look();
    assert_int_equal(bucket.gets, 1);
    catalog_look(catalog);
    catalog_look(catalog);
    bucket_end(bucket.held, "", EALREADY);
    wait_for_look();
    assert_true(catalog->timer.due - hfc_now_ms() <= 2000);
    wait_for_look();
    assert_int_equal(bucket.gets, 2);
    assert_true(shows("a"));
    assert_true(catalog->timer.due - hfc_now_ms() > 100000);
}

/* ---- The store is taken away. ---- */

static void a_store_that_is_taken_away_ends_its_look_without_a_word(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    hold_a_look();
    catalog_use_store(catalog, NULL);
    assert_null(catalog->timer.loop);
    turn();
    assert_null(catalog->cancelled);
    assert_int_equal(seen.looks, 0);
    catalog_look(catalog);
    turn();
    assert_int_equal(bucket.gets, 1);
    look_well(true);
}

static void another_store_is_looked_at_at_once(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    hold_a_look();
    look_well(true);
    assert_int_equal(seen.looks, 1);
    assert_int_equal(bucket.gets, 2);
    assert_null(catalog->cancelled);
}

static void a_store_may_be_closed_as_soon_as_it_was_taken_away(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    hold_a_look();
    catalog_use_store(catalog, NULL);
    hfc_store_close(&bucket.base);
    bucket_open();
    assert_non_null(catalog->cancelled);
    look_well(true);
    assert_null(catalog->cancelled);
    hold_a_look(); /* for the end of the test */
}

static void half_an_index_is_dropped_with_its_store(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    hold_a_look();
    assert_int_equal(bucket.held->call.data(bucket.held->ctx, bucket.index.data, 20), HFC_FLOW_ON);
    assert_true(has_file("index.new"));
    catalog_use_store(catalog, NULL);
    assert_false(has_file("index.new"));
}

static void a_loop_that_is_stopped_ends_the_looks(void **state)
{
    (void)state;
    set_index("e1", OBJECT("a"));
    hold_a_look();
    hfc_loop_stop(loop);
    turn();
    turn();
    assert_null(catalog->look);
    assert_null(catalog->timer.loop);
    assert_int_equal(seen.looks, 0);
}

static void take_store_away(void *ctx, bool changed, const struct hfc_error *error)
{
    (void)ctx;
    looked(NULL, changed, error);
    catalog_use_store(catalog, NULL);
}

static void who_is_told_may_take_the_store_away(void **state)
{
    (void)state;
    catalog->config.looked = take_store_away;
    bucket.fail_get = EACCES;
    look_fails(EACCES, "mem://bucket");
    assert_null(catalog->timer.loop);
    bucket.fail_get = 0;
    set_index("e1", OBJECT("a"));
    look_well(true);
    assert_null(catalog->timer.loop);
    catalog->config.looked = NULL;
    catalog_use_store(catalog, &bucket.base);
    while (bucket.gets < 3)
        turn();
    turn();
    assert_int_equal(seen.looks, 2);
}

/* ---- Retired refs. ---- */

static uint64_t id_of(const char *path)
{
    struct nametree *t = catalog_tree(catalog);
    struct node n = {0};

    if (t == NULL || !nametree_path(t, path, &n))
        fail_msg("%s is not there", path);
    nametree_unref(t);
    return n.id;
}

static void a_ref_that_moved_can_still_be_read(void **state)
{
    struct node n = {0};

    (void)state;
    set_index("e1", "ref " COMMIT_A " hub/m/refs/main\nref " COMMIT_A " hub/m/refs/same\n");
    look_well(true);
    uint64_t main_a = id_of("hub/m/refs/main"), same = id_of("hub/m/refs/same");
    assert_false(catalog_retired(catalog, main_a, &n));
    set_index("e2", "ref " COMMIT_B " hub/m/refs/main\nref " COMMIT_A " hub/m/refs/same\n");
    look_well(true);
    assert_true(catalog_retired(catalog, main_a, &n));
    assert_true(n.id == main_a && n.is_ref && !n.is_directory);
    assert_string_equal(n.commit, COMMIT_A);
    assert_int_equal(n.size, 40);
    assert_int_equal(n.name_len, 0);
    assert_false(catalog_retired(catalog, same, &n));
    assert_false(catalog_retired(catalog, main_a + 2, &n));
    /* To and fro: it is kept once. */
    set_index("e3", "ref " COMMIT_A " hub/m/refs/main\n");
    look_well(true);
    set_index("e4", OBJECT("x"));
    look_well(true);
    assert_int_equal(catalog->n_retired, 3);
    assert_true(catalog_retired(catalog, same, &n) && catalog_retired(catalog, main_a, &n));
}

static void so_many_retired_refs_are_kept_and_no_more(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(ROOM);
    unsigned kept = 0;
    struct node n;

    (void)state;
    for (unsigned i = 0; i < RETIRED_MAX + 10; i++)
        hfc_buf_printf(&lines, "ref " COMMIT_A " refs/%05u\n", i);
    set_index("e1", lines.data);
    look_well(true);
    struct nametree *old = catalog_tree(catalog);
    set_index("e2", OBJECT("x"));
    look_well(true);
    for (uint32_t at = 0; nametree_next_ref(old, &at, &n);)
        kept += catalog_retired(catalog, n.id, &n);
    assert_int_equal(kept, RETIRED_MAX);
    assert_true(nametree_path(old, "refs/00009", &n) && !catalog_retired(catalog, n.id, &n));
    assert_true(nametree_path(old, "refs/00010", &n) && catalog_retired(catalog, n.id, &n));
    nametree_unref(old);
}

/* ---- Many. ---- */

enum { MANY = 100000 };

static void a_hundred_thousand_names_are_loaded_and_served_again_after_a_restart(void **state)
{
    hfc_autobuf struct hfc_buf lines = HFC_BUF(ROOM);

    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        hfc_buf_printf(&lines,
                       "object 1 %032x - - hub/models--org--name-%03u/snapshots/%040u/file-%05u\n",
                       i, i / 1000, i / 100, i);
    set_index("e1", lines.data);
    look_well(true);
    restart();
    struct nametree *t = catalog_tree(catalog);
    assert_non_null(t);
    assert_true(nametree_names(t) > MANY);
    nametree_unref(t);
    look_well(false);
    assert_string_equal(bucket.condition, "e1");
}

static void a_hundred_thousand_objects_are_listed(void **state)
{
    struct bucket_object *objects = calloc(MANY, sizeof(*objects));
    char(*keys)[32] = calloc(MANY, sizeof(*keys));

    (void)state;
    assert_true(objects != NULL && keys != NULL);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "hub/%03u/file-%05u", i / 1000, i);
        objects[i] = (struct bucket_object){keys[i], "e", i};
    }
    bucket.objects = objects;
    bucket.n = MANY;
    look_well(true);
    restart();
    assert_true(shows("hub/099/file-99999"));
    look_well(false);
    free(objects);
    free(keys);
}

/* ---- Threads. ---- */

static atomic_bool enough;

/* Of each tree that it sees, all is consistent. */
static void *read_names(void *arg)
{
    struct node n, same;

    while (!atomic_load(&enough)) {
        struct nametree *t = catalog_tree(catalog);
        if (t == NULL)
            continue;
        bool even = nametree_path(t, "even", &n), odd = nametree_path(t, "odd", &n);
        if (even == odd || !nametree_path(t, "d/ref", &n) || !nametree_by_id(t, n.id, &same))
            abort();
        uint64_t id = n.id;
        nametree_unref(t);
        /* A ref that was there a moment ago is in the tree or retired. */
        t = catalog_tree(catalog);
        if (!nametree_by_id(t, id, &n) && !catalog_retired(catalog, id, &n))
            abort();
        nametree_unref(t);
        if (catalog_age_ms(catalog) < 0 && arg != NULL)
            abort();
    }
    return NULL;
}

static void readers_see_whole_trees_while_they_are_swapped(void **state)
{
    pthread_t threads[3];

    (void)state;
    atomic_store(&enough, false);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_names, NULL), 0);
    for (unsigned i = 0; i < 300; i++) {
        char lines[200], etag[16];
        (void)snprintf(etag, sizeof(etag), "e%u", i);
        (void)snprintf(lines, sizeof(lines), "ref %040u d/ref\nobject 1 %s - - %s\n", i, etag,
                       i % 2 == 0 ? "even" : "odd");
        set_index(etag, lines);
        look_well(true);
    }
    atomic_store(&enough, true);
    for (size_t i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_happens_is_logged_with_its_cause_and_what_comes_next),
        T(marks_of_folders_are_no_objects_that_are_left_out),
        T(before_the_first_look_there_is_no_tree),
        T(the_index_becomes_the_tree),
        T(an_unchanged_index_is_not_loaded_again),
        T(a_changed_index_is_a_new_tree_and_the_old_one_lives_while_it_is_held),
        T(the_same_text_with_another_etag_changes_nothing),
        T(an_index_without_a_usable_etag_is_loaded_each_time),
        T(a_broken_index_changes_nothing),
        T(a_transfer_that_breaks_off_changes_nothing),
        T(an_index_that_is_gone_changes_nothing),
        T(a_tree_that_does_not_fit_changes_nothing_and_is_not_loaded_again),
        T(a_bucket_that_never_had_an_index_is_listed),
        T(an_unchanged_listing_is_no_new_tree),
        T(an_index_that_appears_takes_the_place_of_the_listing),
        T(a_listing_that_fails_changes_nothing),
        T(without_any_tree_an_index_that_is_gone_is_no_reason_to_show_nothing),
        T(the_next_look_comes_after_the_interval_or_a_quarter_of_it),
        T(a_look_is_made_again_by_itself),
        T(who_asks_gets_a_look_soon_but_not_one_each),
        T(who_asks_during_a_look_gets_another_one_after_it),
        T(a_store_that_is_taken_away_ends_its_look_without_a_word),
        T(another_store_is_looked_at_at_once),
        T(a_store_may_be_closed_as_soon_as_it_was_taken_away),
        T(half_an_index_is_dropped_with_its_store),
        T(a_loop_that_is_stopped_ends_the_looks),
        T(who_is_told_may_take_the_store_away),
        T(a_ref_that_moved_can_still_be_read),
        T(so_many_retired_refs_are_kept_and_no_more),
        T(a_hundred_thousand_names_are_loaded_and_served_again_after_a_restart),
        T(a_hundred_thousand_objects_are_listed),
        T(readers_see_whole_trees_while_they_are_swapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
