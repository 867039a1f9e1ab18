/* test_mount_engine.c: reads of blobs, what is fetched for them, and in which order
 * (mount/engine.c, engine_serve.c, engine_stream.c, engine_line.c, engine_fetch.c).
 */
#include "engine_rig.h"

#include <limits.h>
#include <sys/resource.h>

#include "engine_internal.h"
#include "fault.h"

enum { ROOM = 64 * 1024 * 1024, BLOCK = BLOCK_SIZE, SOME = 128 * KIB };

static int setup(void **state)
{
    (void)state;
    rig_open(ROOM, 32, 4, 60);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close();
    return 0;
}

/* ---- Where bytes come from. ---- */

static void a_read_is_fetched_once_and_then_there(void **state)
{
    struct blob *b = rig_blob("a", 10 * BLOCK);

    (void)state;
    uint64_t before = metric_get(M_READS_STORE);
    assert_int_equal(rig_read(b, 5, 1000), READ_STORE);
    assert_string_equal(rig.asked.data, "a 0-3\n");
    assert_int_equal(rig_read(b, 7, 100), READ_MEMORY);
    rig_until(rig_nothing_runs, NULL);
    assert_int_equal(rig.gets, 1);
    assert_int_equal(metric_get(M_READS_STORE), before + 1);
    blob_done(b);
}

static void a_read_over_block_borders_comes_in_pieces(void **state)
{
    struct blob *b = rig_blob("a", 10 * BLOCK + 77);
    struct rig_read x;

    (void)state;
    (void)rig_start(&x, b, BLOCK - 10, READ_MAX);
    rig_expect(&x, 0);
    assert_int_equal(x.pieces, 5);
    (void)rig_start(&x, b, 10 * BLOCK - 1, 1000); /* cut at the end */
    rig_expect(&x, 0);
    assert_int_equal(x.bytes, 78);
    blob_done(b);
}

static void what_left_the_memory_comes_from_disk(void **state)
{
    struct blob *b = rig_blob("a", 60 * BLOCK);

    (void)state;
    for (uint64_t at = 0; at < 60 * BLOCK; at += READ_MAX)
        (void)rig_read(b, at, READ_MAX);
    rig_until(rig_nothing_runs, NULL);
    unsigned gets = rig.gets;
    assert_int_equal(rig_read(b, 0, 2 * BLOCK), READ_DISK);
    assert_int_equal(rig_read(b, 0, 2 * BLOCK), READ_MEMORY);
    assert_int_equal(rig.gets, gets);
    blob_done(b);
}

static void readers_of_a_block_wait_for_one_fetch(void **state)
{
    struct blob *b = rig_blob("a", BLOCK);
    struct rig_read x[20];

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        assert_false(rig_start(&x[i], b, i * 1000, 5000));
    for (unsigned i = 0; i < 20; i++)
        rig_expect(&x[i], 0);
    assert_int_equal(rig.gets, 1);
    blob_done(b);
}

static void a_read_is_answered_when_its_bytes_are_here(void **state)
{
    struct blob *b = rig_blob("a", 4 * BLOCK);
    struct rig_read first, second, later;

    (void)state;
    rig.hold_at = BLOCK + 100 * KIB;
    (void)rig_start(&first, b, 0, BLOCK + 50 * KIB);
    (void)rig_start(&second, b, BLOCK + 60 * KIB, 40 * KIB);
    (void)rig_start(&later, b, BLOCK + 60 * KIB, 40 * KIB + 1);
    rig_expect(&first, 0);
    rig_expect(&second, 0);
    (void)rig_start(&second, b, BLOCK + 99 * KIB, KIB); /* came late, but its bytes are there */
    rig_expect(&second, 0);
    rig_turns(20);
    assert_false(rig_is_done(&later));
    rig_let_go();
    rig_expect(&later, 0);
    assert_int_equal(rig.gets, 1);
    blob_done(b);
}

static void a_read_that_must_not_wait_changes_nothing(void **state)
{
    struct blob *b = rig_blob("a", BLOCK);
    struct rig_read x = {.key = "a"};
    struct engine_stats stats;

    (void)state;
    x.read = (struct read){.blob = b, .size = 100, .done = rig_done, .ctx = &x};
    assert_false(engine_read(rig.engine, &x.read, false));
    rig_turns(10);
    engine_stats(rig.engine, &stats);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(rig.gets, 0);
    (void)rig_read(b, 0, 100);
    assert_true(engine_read(rig.engine, &x.read, false));
    assert_true(x.right);
    blob_done(b);
}

/* ---- What is fetched, and when. ---- */

static void a_reader_in_sequence_gets_larger_and_larger_ranges(void **state)
{
    struct blob *b = rig_blob("a", 200 * BLOCK);
    struct rig_read x;
    unsigned fetched = 0;

    (void)state;
    for (uint64_t at = 0; at < 200 * BLOCK; at += SOME) {
        (void)rig_start(&x, b, at, SOME);
        rig_expect(&x, 0);
    }
    rig_until(rig_nothing_runs, NULL);
    assert_true(strncmp(rig.asked.data, "a 0-3\na 4-11\n", 13) == 0);
    assert_true(rig.gets <= 10);
    for (const char *line = rig.asked.data; *line != '\0'; line = strchr(line, '\n') + 1) {
        unsigned first, last;
        assert_int_equal(sscanf(line, "a %u-%u", &first, &last), 2);
        assert_int_equal(first, fetched); /* each block once, in order */
        fetched = last + 1;
        assert_true(last - first < WINDOW_MAX);
    }
    assert_int_equal(fetched, 200);
    blob_done(b);
}

static void a_window_grows_also_for_a_reader_that_was_not_served_ahead(void **state)
{
    struct blob *b = rig_blob("a", 100 * BLOCK);

    (void)state;
    (void)rig_read(b, 0, BLOCK);
    rig_until(rig_nothing_runs, NULL);
    (void)rig_read(b, 4 * BLOCK, 10);
    assert_true(strncmp(rig.asked.data, "a 0-3\na 4-11\n", 13) == 0);
    blob_done(b);
}

static void a_reader_at_random_gets_his_block_first(void **state)
{
    struct blob *b = rig_blob("a", 1000 * BLOCK);

    (void)state;
    (void)rig_read(b, 700 * BLOCK + 5, 10);
    (void)rig_read(b, 300 * BLOCK + 5, 10);
    (void)rig_read(b, 999 * BLOCK + 5, 10);
    assert_string_equal(rig.asked.data, "a 700-703\na 300-303\na 999-999\n");
    blob_done(b);
}

static void a_range_ends_where_blocks_are_there_already(void **state)
{
    struct blob *b = rig_blob("a", 100 * BLOCK);

    (void)state;
    (void)rig_read(b, 50 * BLOCK, 10);
    rig_until(rig_nothing_runs, NULL);
    (void)rig_read(b, 10 * BLOCK, 10);
    (void)rig_read(b, 48 * BLOCK, 10);
    assert_string_equal(rig.asked.data, "a 50-53\na 10-13\na 48-49\n");
    blob_done(b);
}

static bool two_run(void *ctx)
{
    (void)ctx;
    return rig.running == 2 && rig.gets == 2;
}

static bool all_run(void *ctx)
{
    (void)ctx;
    return rig.running == rig.plan.connections;
}

static void a_block_that_is_far_in_a_range_gets_a_range_of_its_own(void **state)
{
    struct blob *b = rig_blob("a", 1000 * BLOCK);
    struct rig_read far;

    (void)state;
    rig.hold_at = 70 * BLOCK;
    for (uint64_t at = 0; at < 62 * BLOCK; at += BLOCK)
        (void)rig_read(b, at, BLOCK);
    assert_non_null(strstr(rig.asked.data, "\na 60-123\n")); /* stuck in block 70 */
    (void)rig_start(&far, b, 100 * BLOCK, BLOCK);
    rig_turns(10);
    assert_non_null(strstr(rig.asked.data, "\na 100-103\n"));
    rig_let_go();
    rig_expect(&far, 0);
    rig_until(rig_nothing_runs, NULL);
    assert_int_equal(rig.cancelled, 1); /* the first one, where the second one began */
    assert_int_equal(blob_missing(b, 0, 1000), 104);
    blob_done(b);
}

static void a_blob_has_no_more_than_two_fetches(void **state)
{
    struct blob *b = rig_blob("a", 1000 * BLOCK);
    struct rig_read x[6];

    (void)state;
    rig.hold_at = 0;
    for (unsigned i = 0; i < 6; i++)
        (void)rig_start(&x[i], b, (uint64_t)i * 100 * BLOCK, 10);
    rig_until(two_run, NULL);
    rig_turns(20);
    assert_int_equal(rig.gets, 2);
    rig_let_go();
    for (unsigned i = 0; i < 6; i++)
        rig_expect(&x[i], 0);
    assert_int_equal(rig.most_running, 2);
    assert_int_equal(rig.gets, 6);
    blob_done(b);
}

static void blobs_get_connections_in_turn(void **state)
{
    struct blob *b[3];
    struct rig_read x[6];

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 1, 60);
    b[0] = rig_blob("a", 1000 * BLOCK);
    b[1] = rig_blob("b", 1000 * BLOCK);
    b[2] = rig_blob("c", 1000 * BLOCK);
    for (unsigned i = 0; i < 6; i++) /* a a b b c c */
        (void)rig_start(&x[i], b[i / 2], (uint64_t)i * 100 * BLOCK, 10);
    for (unsigned i = 0; i < 6; i++)
        rig_expect(&x[i], 0);
    assert_string_equal(rig.asked.data,
                        "a 0-3\nb 200-203\nc 400-403\na 100-103\nb 300-303\nc 500-503\n");
    assert_int_equal(rig.most_running, 1);
    for (unsigned i = 0; i < 3; i++)
        blob_done(b[i]);
}

static void nothing_is_fetched_ahead_while_others_wait(void **state)
{
    struct blob *a, *b;
    struct rig_read x, y;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 1, 60);
    a = rig_blob("a", 100 * BLOCK);
    b = rig_blob("b", 100 * BLOCK);
    (void)rig_read(a, 0, BLOCK);
    rig.hold_at = 3 * BLOCK;
    (void)rig_start(&x, b, 50 * BLOCK, 10);   /* b waits for the only connection */
    (void)rig_start(&y, a, BLOCK, 2 * BLOCK); /* a would like to go on */
    rig_expect(&y, 0);
    rig_let_go();
    rig_expect(&x, 0);
    assert_true(strncmp(rig.asked.data, "a 0-3\nb 50-53\n", 14) == 0);
    rig_until(rig_nothing_runs, NULL);
    assert_true(strncmp(rig.asked.data, "a 0-3\nb 50-53\na 4-", 18) == 0); /* now it may */
    blob_done(a);
    blob_done(b);
}

static bool one_runs(void *ctx)
{
    (void)ctx;
    return rig.running == 1;
}

static bool one_is_stuck(void *ctx)
{
    const struct rig_op *o = (const struct rig_op *)rig.base.ops;

    (void)ctx;
    return rig.running == 1 && !o->op.ended && o->left > 0 && o->timer.loop == NULL;
}

static void a_fetch_that_nobody_needs_gives_way(void **state)
{
    struct blob *a, *b;
    struct rig_read x;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 1, 60);
    a = rig_blob("a", 1000 * BLOCK);
    b = rig_blob("b", BLOCK);
    for (uint64_t at = 0; at < 30 * BLOCK; at += BLOCK)
        (void)rig_read(a, at, BLOCK);
    rig.hold_at = 0; /* ahead of a's reader, who has enough */
    (void)rig_read(a, 29 * BLOCK, BLOCK);
    rig_until(one_is_stuck, NULL);
    (void)rig_start(&x, b, 0, 10);
    rig_turns(5);
    assert_int_equal(rig_object("b")->gets, 0); /* the reader of a may come back any moment */
    rig.hold_at = UINT64_MAX;                   /* for new ones: the old one is stuck */
    rig_expect(&x, 0);
    assert_int_equal(rig.cancelled, 1);
    blob_done(a);
    blob_done(b);
}

/* ---- Past the cache. ---- */

static void read_all(struct blob *b, uint64_t from, uint32_t step)
{
    for (uint64_t at = from; at < blob_info(b)->size; at += step)
        (void)rig_read(b, at, step);
}

static void without_a_cache_everything_is_readable(void **state)
{
    struct blob *b;

    (void)state;
    rig_close();
    rig_open(1, READ_BLOCKS_MAX + 2, 2, 60);
    b = rig_blob("a", 30 * BLOCK + 3);
    read_all(b, 0, READ_MAX);
    read_all(b, 100, READ_MAX);
    read_all(b, 0, 100 * KIB);
    (void)rig_read(b, 7 * BLOCK + 9, 3000);
    (void)rig_read(b, 3 * BLOCK - 9, 3000);
    rig_until(rig_nothing_runs, NULL);
    blob_done(b);
}

enum { CROWD = 60 };

static void many_readers_without_a_cache(void **state)
{
    static struct rig_read x[CROWD];
    struct blob *b[3];

    (void)state;
    rig_close();
    rig_open(1, READ_BLOCKS_MAX + 2, 2, 60);
    b[0] = rig_blob("a", 30 * BLOCK);
    b[1] = rig_blob("b", 20 * BLOCK + 1);
    b[2] = rig_blob("c", 3 * BLOCK);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CROWD; i++) {
            uint64_t size = blob_info(b[i % 3])->size;
            (void)rig_start(&x[i], b[i % 3], rig_word(round, i) % size,
                            1 + (uint32_t)(rig_word(i, round) % READ_MAX));
        }
        for (unsigned i = 0; i < CROWD; i++)
            rig_expect(&x[i], 0);
    }
    rig_until(rig_nothing_runs, NULL);
    for (unsigned i = 0; i < 3; i++)
        blob_done(b[i]);
}

static void readers_past_the_cache_share_a_fetch(void **state)
{
    struct rig_read x[10];
    struct blob *b;

    (void)state;
    rig_close();
    rig_open(1, 32, 4, 60);
    b = rig_blob("a", 10 * BLOCK);
    (void)rig_read(b, 0, 10); /* now it is known that nothing can be stored */
    rig_until(rig_nothing_runs, NULL);
    rig.gets = 0;
    for (unsigned i = 0; i < 10; i++)
        (void)rig_start(&x[i], b, 5 * BLOCK + i, 2 * BLOCK - 20);
    for (unsigned i = 0; i < 10; i++)
        rig_expect(&x[i], 0);
    assert_int_equal(rig.gets, 1);
    blob_done(b);
}

static void what_is_in_memory_already_does_not_answer_for_the_rest(void **state)
{
    struct rig_read x;
    struct blob *b;

    (void)state;
    rig_close();
    rig_open(1, 32, 4, 60);
    b = rig_blob("a", 20 * BLOCK);
    (void)rig_read(b, 0, 10);
    rig_until(rig_nothing_runs, NULL);
    (void)rig_read(b, 7 * BLOCK, BLOCK);
    rig_until(rig_nothing_runs, NULL);
    rig.hold_at = 5 * BLOCK + 10;
    (void)rig_start(&x, b, 5 * BLOCK, 3 * BLOCK);
    rig_until(one_runs, NULL);
    rig_turns(20);
    assert_false(rig_is_done(&x));
    rig_let_go();
    rig_expect(&x, 0);
    assert_non_null(strstr(rig.asked.data, "a 7-7\na 5-6\n"));
    blob_done(b);
}

/* However many fetches are stuck in the middle of a block. */
static void fetches_leave_memory_for_reads_from_disk(void **state)
{
    enum { STUCK = 10 };
    static const char *const keys[] = {"A", "E", "I", "M", "Q", "U", "Y", "a", "e", "i"};
    struct rig_read x[STUCK];
    struct blob *b[STUCK], *there;

    (void)state;
    rig_close();
    rig_open(ROOM, READ_BLOCKS_MAX + 2, STUCK, 60);
    there = rig_blob("there", 5 * BLOCK);
    read_all(there, 0, READ_MAX);
    rig_until(rig_nothing_runs, NULL);
    rig.hold_at = 100 * KIB;
    for (unsigned i = 0; i < STUCK; i++) {
        b[i] = rig_blob(keys[i], BLOCK);
        (void)rig_start(&x[i], b[i], BLOCK - 1, 1);
    }
    rig_until(all_run, NULL);
    rig_turns(20);
    for (unsigned i = 0; i < 3; i++)
        (void)rig_read(there, BLOCK - 1, READ_MAX);
    rig_let_go();
    for (unsigned i = 0; i < STUCK; i++) {
        rig_expect(&x[i], 0);
        blob_done(b[i]);
    }
    blob_done(there);
}

static unsigned taken(enum taker who, unsigned n, struct chunk **to)
{
    engine_lock(rig.engine);
    unsigned got = engine_grant(rig.engine, who, to, n) ? n : 0;
    engine_unlock(rig.engine);
    return got;
}

static void chunks_go_round(void **state)
{
    struct engine *e = rig.engine;
    struct chunk *k[32];
    unsigned n = 0;

    (void)state;
    while (taken(TAKE_FILL, 1, k + n) == 1)
        n++;
    assert_int_equal(n, 32 - READ_BLOCKS_MAX - 1);
    /* A fetch is hungry: the others have no more than one read may need. */
    assert_int_equal(taken(TAKE_DISK, 3, k + n), 3);
    assert_int_equal(taken(TAKE_PAST, 3, k + n + 3), 0);
    assert_int_equal(taken(TAKE_PAST, 2, k + n + 3), 2);
    engine_lock(e);
    for (unsigned i = 0; i < n + 5; i++)
        chunk_unpin(e->chunks, k[i]);
    e->filling = e->serving = 0;
    /* Disk and past take turns. */
    e->hungry[TAKE_FILL] = false;
    e->hungry[TAKE_DISK] = e->hungry[TAKE_PAST] = true;
    e->turn = TAKE_PAST;
    engine_unlock(e);
    assert_int_equal(taken(TAKE_DISK, 1, k), 0);
    assert_int_equal(taken(TAKE_PAST, 1, k), 1);
    engine_lock(e);
    e->hungry[TAKE_PAST] = true;
    engine_unlock(e);
    assert_int_equal(taken(TAKE_PAST, 1, k + 1), 0);
    assert_int_equal(taken(TAKE_DISK, 1, k + 1), 1);
    engine_lock(e);
    chunk_unpin(e->chunks, k[0]);
    chunk_unpin(e->chunks, k[1]);
    e->serving = 0;
    e->hungry[TAKE_PAST] = false;
    engine_unlock(e);
}

static void a_file_larger_than_the_cache_is_readable(void **state)
{
    struct blob *b;

    (void)state;
    rig_close();
    rig_open(6 * BLOCK, READ_BLOCKS_MAX + 2, 2, 60);
    b = rig_blob("a", 40 * BLOCK + 3);
    read_all(b, 0, SOME);
    read_all(b, 11, READ_MAX);
    for (unsigned i = 0; i < 50; i++)
        (void)rig_read(b, rig_word(1, i) % (40 * BLOCK), 1 + (uint32_t)(rig_word(2, i) % READ_MAX));
    rig_until(rig_nothing_runs, NULL);
    blob_done(b);
}

/* ---- Digests. ---- */

static struct hfc_meta meta_of(const char *key, uint64_t size, enum hfc_hash_kind kind)
{
    struct hfc_meta meta = {0};

    if (kind == HFC_SHA256) {
        meta.has_sha256 = true;
        rig_digest(key, size, kind, meta.sha256);
    } else {
        meta.has_git_sha1 = true;
        rig_digest(key, size, kind, meta.git_sha1);
    }
    return meta;
}

static void a_small_file_is_answered_when_it_is_right(void **state)
{
    struct rig_object *o = rig_add("a", 3 * BLOCK + 5);
    struct hfc_meta meta = meta_of("a", o->size, HFC_SHA256);
    struct blob *b = rig_use(o, &meta);
    struct rig_read x;

    (void)state;
    rig.hold_at = 3 * BLOCK;
    (void)rig_start(&x, b, 10, 20);
    rig_until(one_runs, NULL);
    rig_turns(20);
    assert_false(rig_is_done(&x)); /* its bytes are there, but not all of the file's */
    rig_let_go();
    rig_expect(&x, 0);
    assert_true(blob_verified(b));
    assert_int_equal(rig_read(b, BLOCK, 100), READ_DISK);
    assert_int_equal(o->gets, 1);
    blob_done(b);
}

static void a_small_file_that_is_wrong_is_fetched_again(void **state)
{
    struct rig_object *o = rig_add("a", 2 * BLOCK);
    struct hfc_meta meta = meta_of("a", o->size, HFC_SHA1);
    struct blob *b = rig_use(o, &meta);

    (void)state;
    uint64_t before = metric_get(M_VERIFY_FILE_FAILURES);
    o->wrong = 1;
    (void)rig_read(b, 0, 100);
    assert_int_equal(o->gets, 2);
    assert_int_equal(metric_get(M_VERIFY_FILE_FAILURES), before + 1);
    blob_done(b);
}

static void a_small_file_that_is_wrong_twice_is_an_error_for_a_while(void **state)
{
    struct rig_object *o = rig_add("a", 2 * BLOCK);
    struct hfc_meta meta = meta_of("a", o->size, HFC_SHA256);
    struct blob *b = rig_use(o, &meta);
    struct rig_read x, y;

    (void)state;
    o->wrong = 2;
    (void)rig_start(&x, b, 0, 100);
    (void)rig_start(&y, b, BLOCK, 100);
    rig_expect(&x, EIO);
    rig_expect(&y, EIO);
    (void)rig_start(&x, b, 0, 100);
    rig_expect(&x, EIO);
    assert_int_equal(o->gets, 2);
    blob_done(b);
}

static void an_etag_can_be_the_digest(void **state)
{
    struct rig_object *o = rig_add("a", BLOCK + 1);
    uint8_t md5[HFC_MD5_SIZE];

    (void)state;
    rig_digest("a", o->size, HFC_MD5, md5);
    hfc_hex(md5, sizeof(md5), o->etag);
    o->wrong = 1;
    struct blob *b = rig_use(o, NULL);
    (void)rig_read(b, 0, 100);
    assert_int_equal(o->gets, 2);
    assert_true(blob_verified(b));
    blob_done(b);
}

static void check_past_the_cache(enum hfc_hash_kind kind)
{
    struct rig_object *o;
    struct hfc_meta meta = {0};
    uint8_t md5[HFC_MD5_SIZE];
    struct rig_read x;

    rig_close();
    rig_open(1, READ_BLOCKS_MAX + 2, 2, 60);
    o = rig_add("a", 4 * BLOCK);
    if (kind == HFC_MD5) {
        rig_digest("a", o->size, HFC_MD5, md5);
        hfc_hex(md5, sizeof(md5), o->etag);
    } else {
        meta = meta_of("a", o->size, kind);
    }
    struct blob *b = rig_use(o, &meta);
    (void)rig_read(b, 0, 10);
    read_all(b, 100, 400 * KIB);
    struct blob *other = rig_blob("b", 30 * BLOCK);
    read_all(other, 0, READ_MAX); /* nothing of a is in memory any more */
    rig_until(rig_nothing_runs, NULL);
    o->wrong = 1;
    unsigned gets = o->gets;
    (void)rig_read(b, 0, 10);
    assert_int_equal(o->gets, gets + 2);
    read_all(other, 0, READ_MAX);
    rig_until(rig_nothing_runs, NULL);
    o->wrong = 2;
    (void)rig_start(&x, b, 0, 10);
    rig_expect(&x, EIO);
    rig_until(rig_nothing_runs, NULL);
    blob_done(b);
    blob_done(other);
}

static void small_files_past_the_cache_are_verified_too(void **state)
{
    (void)state;
    check_past_the_cache(HFC_SHA256);
    check_past_the_cache(HFC_SHA1);
    check_past_the_cache(HFC_MD5);
}

static bool is_verified(void *ctx)
{
    return blob_verified(ctx);
}

static void a_large_file_is_verified_when_it_is_complete(void **state)
{
    struct rig_object *o = rig_add("a", 20 * BLOCK + 100);
    struct hfc_meta meta = meta_of("a", o->size, HFC_SHA256);
    struct blob *b = rig_use(o, &meta);

    (void)state;
    read_all(b, 0, READ_MAX);
    rig_until(is_verified, b);
    blob_done(b);
}

static bool nothing_is_there(void *ctx)
{
    return blob_present(ctx, 0, 64) == 0 && rig_nothing_runs(NULL);
}

static void a_large_file_that_is_wrong_twice_is_an_error(void **state)
{
    struct rig_object *o = rig_add("a", 20 * BLOCK + 100);
    struct hfc_meta meta = meta_of("a", o->size, HFC_SHA256);
    struct blob *b = rig_use(o, &meta);
    struct rig_read x;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        o->wrong = 1;
        for (uint64_t at = 0; at < o->size; at += READ_MAX) {
            (void)rig_start(&x, b, at, READ_MAX);
            rig_until(rig_is_done, &x);
        }
        rig_until(nothing_is_there, b);
    }
    (void)rig_start(&x, b, 0, 10);
    rig_expect(&x, EIO);
    blob_done(b);
}

/* ---- Failures. ---- */

static void fails_with(int errnum, int expected, enum metric cause)
{
    struct blob *b = rig_blob(errnum == ENOENT ? "away" : "a", 10 * BLOCK);
    struct rig_read x, y;

    uint64_t before = metric_get(cause);
    rig.errnum = errnum;
    rig.failures = 1;
    (void)rig_start(&x, b, 0, 10);
    (void)rig_start(&y, b, BLOCK, 10);
    rig_expect(&x, expected);
    rig_expect(&y, expected);
    assert_int_equal(rig.troubles, 1);
    assert_int_equal(rig.trouble, expected);
    assert_int_equal(metric_get(cause), before + 1);
    (void)rig_read(b, 0, 10); /* the next one asks again */
    blob_done(b);
}

static void refused_credentials_end_all_readers(void **state)
{
    (void)state;
    fails_with(EACCES, EACCES, M_FETCH_ERROR_REFUSED);
}

static void an_object_that_has_changed_is_stale(void **state)
{
    (void)state;
    fails_with(ESTALE, ESTALE, M_FETCH_ERROR_CHANGED);
}

static void an_object_that_is_gone_is_stale(void **state)
{
    (void)state;
    fails_with(ENOENT, ESTALE, M_FETCH_ERROR_CHANGED);
}

static void passes(int errnum, enum metric cause, uint64_t after)
{
    struct blob *b;

    rig_close();
    rig_open(ROOM, 32, 4, 60);
    b = rig_blob("a", 10 * BLOCK);
    uint64_t failed = metric_get(cause), again = metric_get(M_FETCH_RETRIES);
    rig.errnum = errnum;
    rig.failures = 3;
    rig.fail_after = after;
    (void)rig_read(b, 10, 2 * BLOCK);
    assert_true(metric_get(cause) > failed);
    assert_int_equal(rig.troubles, 0);
    if (after < BLOCK)
        assert_int_equal(metric_get(cause), failed + 3);
    if (after < BLOCK)
        assert_int_equal(metric_get(M_FETCH_RETRIES), again + 3);
    blob_done(b);
}

static void what_passes_is_tried_again(void **state)
{
    (void)state;
    passes(EAGAIN, M_FETCH_ERROR_SERVER, 0);
    passes(ENOTCONN, M_FETCH_ERROR_UNREACHABLE, 1000);
    passes(EBADMSG, M_FETCH_ERROR_CORRUPT, BLOCK + 100);
    passes(EIO, M_FETCH_ERROR_OTHER, BLOCK);
}

static void a_read_that_waited_too_long_fails(void **state)
{
    struct blob *b;
    struct rig_read x, y;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 4, 1);
    b = rig_blob("a", 10 * BLOCK);
    rig.errnum = ENOTCONN;
    rig.failures = 1000000;
    (void)rig_start(&x, b, 0, 10);
    (void)rig_start(&y, b, 5 * BLOCK, 10);
    rig_expect(&x, EIO);
    rig_expect(&y, EIO);
    assert_true(rig.gets < 40); /* waits grew */
    unsigned gets = rig.gets;
    rig.failures = 0;
    (void)rig_start(&x, b, 2 * BLOCK, 10); /* whoever comes right after it need not wait as long */
    rig_expect(&x, EIO);
    assert_int_equal(rig.gets, gets);
    engine_use_store(rig.engine, &rig.base);
    (void)rig_read(b, 0, 10);
    rig.hold_at = 0; /* no answer at all */
    (void)rig_start(&x, b, 9 * BLOCK, 10);
    rig_expect(&x, EIO);
    blob_done(b);
}

static void a_read_past_the_cache_that_waited_too_long_fails(void **state)
{
    struct blob *b;
    struct rig_read x;

    (void)state;
    rig_close();
    rig_open(1, 32, 4, 1);
    b = rig_blob("a", 10 * BLOCK);
    (void)rig_read(b, 0, 10);
    rig_until(rig_nothing_runs, NULL); /* now it is known that nothing can be stored */
    rig.hold_at = 5 * BLOCK + 7;
    (void)rig_start(&x, b, 5 * BLOCK, 10);
    rig_expect(&x, EIO);
    rig_until(rig_nothing_runs, NULL);
    assert_int_equal(rig.cancelled, 1);
    rig.hold_at = UINT64_MAX;
    rig.errnum = EAGAIN;
    rig.failures = 2;
    (void)rig_read(b, 6 * BLOCK, 1000);
    blob_done(b);
}

static void without_a_store_reads_wait(void **state)
{
    struct blob *b;
    struct rig_read x;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 4, 1);
    b = rig_blob("a", 10 * BLOCK);
    engine_use_store(rig.engine, NULL);
    (void)rig_start(&x, b, 0, 10);
    rig_expect(&x, EIO);
    (void)rig_start(&x, b, 0, 10);
    rig_turns(3);
    engine_use_store(rig.engine, &rig.base);
    rig_expect(&x, 0);
    blob_done(b);
}

static void another_store_takes_over_what_is_under_way(void **state)
{
    struct blob *b = rig_blob("a", 10 * BLOCK);
    struct rig_read x, y;

    (void)state;
    rig.hold_at = 100;
    (void)rig_start(&x, b, 0, BLOCK);
    (void)rig_start(&y, b, 9 * BLOCK, 10);
    rig_until(two_run, NULL);
    engine_use_store(rig.engine, NULL);
    rig_close_store(); /* its operations end without a word */
    rig.hold_at = UINT64_MAX;
    rig_open_store();
    engine_use_store(rig.engine, &rig.base);
    rig_expect(&x, 0);
    rig_expect(&y, 0);
    rig.hold_at = 7 * BLOCK;
    (void)rig_start(&x, b, 7 * BLOCK, BLOCK);
    rig_turns(3);
    engine_use_store(rig.engine, &rig.base); /* and here they tell */
    rig_let_go();
    rig_expect(&x, 0);
    blob_done(b);
}

static void a_cancelled_loop_is_no_busy_loop(void **state)
{
    struct blob *b;
    struct rig_read x;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 4, 1);
    b = rig_blob("a", 10 * BLOCK);
    rig.hold_at = 0;
    (void)rig_start(&x, b, 0, 10);
    rig_until(one_runs, NULL);
    hfc_loop_stop(rig.loop);
    rig_expect(&x, EIO);
    blob_done(b);
}

/* ---- Start and end. ---- */

static void an_engine_ends_with_fetches_under_way(void **state)
{
    struct blob *b = rig_blob("a", 100 * BLOCK);

    (void)state;
    (void)rig_read(b, 0, BLOCK);
    rig.hold_at = 5 * BLOCK;
    (void)rig_read(b, BLOCK, 2 * BLOCK); /* more is fetched ahead */
    if (rig.running == 0)
        rig_until(one_runs, NULL);
    engine_free(rig.engine); /* the store was not taken away */
    rig_close_store();
    rig_open_store();
    rig_open_engine(60);
    blob_done(b);
}

static void abandoned_reads_are_forgotten(void **state)
{
    struct blob *b = rig_blob("a", 100 * BLOCK);
    struct rig_read x[4];
    struct engine_stats stats;

    (void)state;
    rig.hold_at = 0;
    (void)rig_start(&x[0], b, 0, 10);
    (void)rig_start(&x[1], b, 50 * BLOCK, 10);
    rig_until(two_run, NULL);
    (void)rig_start(&x[2], b, 60 * BLOCK, 10);
    engine_stats(rig.engine, &stats);
    assert_int_equal(stats.waiting, 3);
    assert_int_equal(stats.fetching, 2);
    engine_abandon(rig.engine);
    engine_stats(rig.engine, &stats);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(metric_get(M_REQUESTS_IN_FLIGHT), 0);
    rig_let_go();
    rig_until(rig_nothing_runs, NULL);
    for (unsigned i = 0; i < 3; i++)
        assert_false(rig_is_done(&x[i]));
    blob_done(b);
}

static void abandoned_reads_past_the_cache_are_forgotten(void **state)
{
    struct blob *b;
    struct rig_read x;

    (void)state;
    rig_close();
    rig_open(1, 32, 4, 60);
    b = rig_blob("a", 100 * BLOCK);
    (void)rig_read(b, 0, 10);
    rig_until(rig_nothing_runs, NULL);
    rig.hold_at = 0;
    (void)rig_start(&x, b, 50 * BLOCK, 10);
    rig_until(one_runs, NULL);
    engine_abandon(rig.engine);
    rig_let_go();
    rig_until(rig_nothing_runs, NULL);
    assert_false(rig_is_done(&x));
    blob_done(b);
}

static void too_little_memory_is_refused(void **state)
{
    const struct memory_plan plan = {.chunks = READ_BLOCKS_MAX + 1, .connections = 1};
    const struct engine_config config = {.loop = rig.loop, .plan = &plan};
    struct hfc_error err = {0};

    (void)state;
    assert_null(engine_new(&config, &err));
    assert_int_equal(err.errnum, EINVAL);
    engine_free(NULL);
}

static void what_is_seen_from_outside(void **state)
{
    struct blob *b = rig_blob("a", 100 * BLOCK);
    struct engine_stats stats;
    struct rig_read x;

    (void)state;
    rig.hold_at = 0;
    (void)rig_start(&x, b, 0, 10);
    assert_int_equal(metric_get(M_REQUESTS_IN_FLIGHT), 1);
    rig_until(one_runs, NULL);
    rig_turns(20);
    engine_stats(rig.engine, &stats);
    assert_int_equal(stats.waiting, 1);
    assert_int_equal(stats.fetching, 1);
    assert_int_equal(metric_get(M_FETCH_ACTIVE), 1);
    assert_int_equal(stats.chunks, 32);
    assert_true(stats.oldest_ms > 0);
    assert_true(stats.beat_ms < RIG_WAIT_S * 1000);
    rig_let_go();
    rig_expect(&x, 0);
    rig_until(rig_nothing_runs, NULL);
    assert_int_equal(metric_get(M_FETCH_ACTIVE), 0);
    assert_int_equal(metric_get(M_REQUESTS_IN_FLIGHT), 0);
    blob_done(b);
}

static void bytes_and_ranges_are_counted(void **state)
{
    struct blob *b = rig_blob("a", 10 * BLOCK);

    (void)state;
    uint64_t bytes = metric_get(M_FETCH_BYTES), fetches = metric_get(M_FETCHES),
             came = metric_get(M_FETCH_COUNT), reads = metric_get(M_READ_COUNT),
             read = metric_get(M_READ_BYTES_STORE);
    (void)rig_read(b, 0, 1000);
    rig_until(rig_nothing_runs, NULL);
    assert_int_equal(metric_get(M_FETCH_BYTES), bytes + 4 * BLOCK);
    assert_int_equal(metric_get(M_FETCHES), fetches + 1);
    assert_int_equal(metric_get(M_FETCH_COUNT), came + 1);
    assert_int_equal(metric_get(M_READ_COUNT), reads + 1);
    assert_int_equal(metric_get(M_READ_BYTES_STORE), read + 1000);
    blob_done(b);
}

/* A chain of reads, each begun when the last one is answered. */
struct chain {
    struct rig_read x;
    struct blob *blob;
    unsigned left;
    atomic_bool over;
};

static void next_of_chain(struct read *r, const struct iovec *pieces, unsigned n, int errnum)
{
    struct chain *c = r->ctx;

    assert_true(errnum == 0 && n == 1 && rig_is_right("a", r->offset, pieces->iov_base, 10));
    if (--c->left == 0) {
        atomic_store(&c->over, true);
        return;
    }
    r->offset = (r->offset + 100) % BLOCK;
    assert_false(engine_read(rig.engine, r, true));
}

static bool chain_is_over(void *ctx)
{
    struct chain *c = ctx;

    return atomic_load(&c->over);
}

static void a_read_can_begin_the_next_one(void **state)
{
    static struct chain c;

    (void)state;
    c = (struct chain){.blob = rig_blob("a", BLOCK), .left = 1000};
    c.x.read = (struct read){.blob = c.blob, .size = 10, .done = next_of_chain, .ctx = &c};
    (void)engine_read(rig.engine, &c.x.read, true);
    rig_until(chain_is_over, &c);
    blob_done(c.blob);
}

static void reads_wait_while_streams_are_short(void **state)
{
    struct blob *b = rig_blob("a", 10 * BLOCK), *c = rig_blob("c", 10 * BLOCK);
    struct engine *e = rig.engine;
    struct streams away = TAILQ_HEAD_INITIALIZER(away);
    struct rig_read x;

    (void)state;
    engine_lock(e);
    TAILQ_CONCAT(&away, &e->resting, rest);
    engine_unlock(e);
    (void)rig_start(&x, b, 0, 10);
    rig_turns(20);
    assert_int_equal(e->homeless.n, 1);
    engine_lock(e);
    TAILQ_CONCAT(&e->resting, &away, rest);
    engine_unlock(e);
    (void)rig_read(c, 0, 10);
    rig_expect(&x, 0);
    blob_done(b);
    blob_done(c);
}

static void waiting_for_a_stream_has_an_end_too(void **state)
{
    struct streams away = TAILQ_HEAD_INITIALIZER(away);
    struct rig_read x;
    struct blob *b;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 4, 1);
    b = rig_blob("a", BLOCK);
    engine_lock(rig.engine);
    TAILQ_CONCAT(&away, &rig.engine->resting, rest);
    engine_unlock(rig.engine);
    (void)rig_start(&x, b, 0, 10);
    rig_expect(&x, EIO);
    blob_done(b);
}

/* With two streams for four blobs whose ids meet in the table. */
static void streams_are_used_for_other_blobs(void **state)
{
    struct engine *e = rig.engine;
    struct streams away = TAILQ_HEAD_INITIALIZER(away);
    static const char *const keys[] = {"a", "b", "c", "d"};
    struct blob *b[4];

    (void)state;
    engine_lock(e);
    TAILQ_CONCAT(&away, &e->resting, rest);
    for (unsigned i = 0; i < 2; i++) {
        struct stream *s = TAILQ_FIRST(&away);
        TAILQ_REMOVE(&away, s, rest);
        TAILQ_INSERT_TAIL(&e->resting, s, rest);
    }
    e->n_buckets = 1;
    engine_unlock(e);
    for (unsigned i = 0; i < 4; i++)
        b[i] = rig_blob(keys[i], 2 * BLOCK);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 4; i++) {
            engine_forget(e, blob_info(b[i])->id);
            blob_drop(b[i]);
            (void)rig_read(b[i], 0, 10);
            (void)rig_read(b[round], BLOCK, 10);
            rig_until(rig_nothing_runs, NULL);
        }
    for (unsigned i = 0; i < 4; i++)
        blob_done(b[i]);
}

/* What stands in line to be fetched ahead gives its stream to a read that waits. */
static void waiting_reads_come_before_fetching_ahead(void **state)
{
    struct engine *e;
    struct streams away = TAILQ_HEAD_INITIALIZER(away);
    struct blob *a, *b, *c;
    struct rig_read x, y;

    (void)state;
    rig_close();
    rig_open(ROOM, 32, 1, 60);
    e = rig.engine;
    a = rig_blob("a", 100 * BLOCK);
    b = rig_blob("b", 100 * BLOCK);
    c = rig_blob("c", 100 * BLOCK);
    (void)rig_read(a, 0, BLOCK);
    rig_until(rig_nothing_runs, NULL);
    rig.hold_at = 0;
    (void)rig_start(&x, b, 0, BLOCK); /* takes the connection */
    rig_until(one_runs, NULL);
    (void)rig_read(a, BLOCK, 2 * BLOCK);
    rig_turns(5);
    assert_false(TAILQ_EMPTY(&e->ahead));
    engine_lock(e);
    TAILQ_CONCAT(&away, &e->resting, rest);
    engine_unlock(e);
    (void)rig_start(&y, c, 0, BLOCK);
    rig_turns(5);
    assert_true(TAILQ_EMPTY(&e->ahead));
    rig_let_go();
    rig_expect(&x, 0);
    rig_expect(&y, 0);
    blob_done(a);
    blob_done(b);
    blob_done(c);
}

/* Its turn comes when another reader has already brought all of it. */
static void a_read_past_the_cache_may_find_all_in_memory(void **state)
{
    struct blob *b;
    struct rig_read x, y;

    (void)state;
    rig_close();
    rig_open(1, 32, 1, 60);
    b = rig_blob("a", 20 * BLOCK);
    (void)rig_read(b, 0, 10);
    rig_until(rig_nothing_runs, NULL);
    rig.hold_at = 0;
    (void)rig_start(&x, b, 5 * BLOCK, BLOCK);
    rig_until(one_runs, NULL);
    (void)rig_start(&y, b, 5 * BLOCK, BLOCK);
    y.read.misses = MISSES_MAX + 1; /* shares nothing: it has been unlucky */
    rig_let_go();
    rig_expect(&x, 0);
    rig_expect(&y, 0);
    blob_done(b);
}

static bool waits_between_tries(void *ctx)
{
    (void)ctx;
    return rig.gets >= 3 && !TAILQ_EMPTY(&rig.engine->retries);
}

static void a_new_store_ends_the_waits_between_tries(void **state)
{
    struct blob *b = rig_blob("a", BLOCK);
    struct rig_read x;

    (void)state;
    rig.errnum = EAGAIN;
    rig.failures = UINT_MAX;
    (void)rig_start(&x, b, 0, 10);
    rig_until(waits_between_tries, NULL);
    rig.failures = 0;
    engine_use_store(rig.engine, &rig.base);
    rig_expect(&x, 0);
    blob_done(b);
}

static void a_disk_that_loses_blocks_is_no_trouble(void **state)
{
    struct blob *b = rig_blob("a", 60 * BLOCK);

    (void)state;
    read_all(b, 0, READ_MAX);
    rig_until(rig_nothing_runs, NULL);
    assert_int_equal(setenv("HFCACHE_FAULT", "disk-read:EIO:*", 1), 0);
    engine_free(rig.engine); /* the variable is read while there are no threads */
    fault_setup(NULL);
    rig_open_engine(60);
    for (unsigned i = 0; i < 5; i++)
        (void)rig_read(b, i * 3 * BLOCK, 2 * BLOCK);
    rig_until(rig_nothing_runs, NULL);
    engine_free(rig.engine);
    assert_int_equal(unsetenv("HFCACHE_FAULT"), 0);
    fault_setup(NULL);
    rig_open_engine(60);
    blob_done(b);
}

static void without_descriptors_there_is_no_engine(void **state)
{
    const struct engine_config config = {
        .loop = rig.loop, .cache = rig.cache, .plan = &rig.plan, .arena = rig.arena};
    struct hfc_error err = {0};
    struct rlimit all, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct engine *e = engine_new(&config, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_null(e);
    assert_int_equal(err.errnum, EMFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(a_read_is_fetched_once_and_then_there),
        T(a_read_over_block_borders_comes_in_pieces),
        T(what_left_the_memory_comes_from_disk),
        T(readers_of_a_block_wait_for_one_fetch),
        T(a_read_is_answered_when_its_bytes_are_here),
        T(a_read_that_must_not_wait_changes_nothing),
        T(a_reader_in_sequence_gets_larger_and_larger_ranges),
        T(a_window_grows_also_for_a_reader_that_was_not_served_ahead),
        T(a_reader_at_random_gets_his_block_first),
        T(a_range_ends_where_blocks_are_there_already),
        T(a_block_that_is_far_in_a_range_gets_a_range_of_its_own),
        T(a_blob_has_no_more_than_two_fetches),
        T(blobs_get_connections_in_turn),
        T(nothing_is_fetched_ahead_while_others_wait),
        T(a_fetch_that_nobody_needs_gives_way),
        T(without_a_cache_everything_is_readable),
        T(many_readers_without_a_cache),
        T(readers_past_the_cache_share_a_fetch),
        T(what_is_in_memory_already_does_not_answer_for_the_rest),
        T(fetches_leave_memory_for_reads_from_disk),
        T(chunks_go_round),
        T(a_file_larger_than_the_cache_is_readable),
        T(a_small_file_is_answered_when_it_is_right),
        T(a_small_file_that_is_wrong_is_fetched_again),
        T(a_small_file_that_is_wrong_twice_is_an_error_for_a_while),
        T(an_etag_can_be_the_digest),
        T(small_files_past_the_cache_are_verified_too),
        T(a_large_file_is_verified_when_it_is_complete),
        T(a_large_file_that_is_wrong_twice_is_an_error),
        T(refused_credentials_end_all_readers),
        T(an_object_that_has_changed_is_stale),
        T(an_object_that_is_gone_is_stale),
        T(what_passes_is_tried_again),
        T(a_read_that_waited_too_long_fails),
        T(a_read_past_the_cache_that_waited_too_long_fails),
        T(without_a_store_reads_wait),
        T(another_store_takes_over_what_is_under_way),
        T(a_cancelled_loop_is_no_busy_loop),
        T(an_engine_ends_with_fetches_under_way),
        T(abandoned_reads_are_forgotten),
        T(abandoned_reads_past_the_cache_are_forgotten),
        T(too_little_memory_is_refused),
        T(what_is_seen_from_outside),
        T(bytes_and_ranges_are_counted),
        T(a_read_can_begin_the_next_one),
        T(reads_wait_while_streams_are_short),
        T(waiting_for_a_stream_has_an_end_too),
        T(streams_are_used_for_other_blobs),
        T(waiting_reads_come_before_fetching_ahead),
        T(a_read_past_the_cache_may_find_all_in_memory),
        T(a_new_store_ends_the_waits_between_tries),
        T(a_disk_that_loses_blocks_is_no_trouble),
        T(without_descriptors_there_is_no_engine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
