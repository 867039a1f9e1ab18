/* test_prune.c: deleting what nobody needs: snapshots that no ref names, and uploads left behind
 * (refresh/prune.c, prune_newest.c, inventory.c, strays.c, pool.c).
 */
#include "fake_store.h"

#include "cleanup.h"
#include "inventory.h"
#include "prune.h"
#include "strays.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccc"
#define M "hub/models--org--m/"
#define N "hub/datasets--d/"

static struct hfc_loop *loop;
static struct fake fake;
static struct target target;
static struct prune_plan *plan;
static struct hfc_buf said;
static struct hfc_error err;

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    loop = hfc_loop_new(&err);
    fake_open(&fake, loop);
    target = (struct target){.loop = loop, .store = &fake.base, .index = hfc_index_new(1 << 20)};
    target.lock = lock_new(loop, &fake.base);
    hfc_buf_init(&said, 1 << 16);
    plan = NULL;
    return loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    prune_free(plan);
    hfc_buf_free(&said);
    content_free(&target.content);
    hfc_index_free(target.index);
    lock_free(target.lock);
    hfc_store_close(&fake.base);
    fake_free(&fake);
    hfc_loop_free(loop);
    return 0;
}

/* An object in the store and in the target's index. */
static void put(const char *key, const char *text)
{
    const struct fake_object *o = fake_set(&fake, key, text, NULL);
    struct hfc_object object = fake_object(o);
    bool ref = strstr(key, "/refs/") != NULL && strlen(text) == HFC_COMMIT_SIZE - 1;

    assert_int_equal(target_stored(&target, key, &object, ref ? text : NULL, &err), 0);
}

static void put_snapshot(const char *repo, const char *commit)
{
    struct hfc_snapshot s = {.repo = repo};

    memcpy(s.commit, commit, sizeof(s.commit));
    assert_int_equal(hfc_index_put_snapshot(target.index, &s, &err), 0);
}

static void say(void *ctx, const char *text)
{
    hfc_buf_printf(ctx, "%s\n", text);
}

static int run(void)
{
    return prune_run(&target, plan, say, &said, &err);
}

/* The plan in one line: "folder/COMMIT's first letter:objects:bytes[:why kept] ...". */
static void assert_plan(const char *want)
{
    hfc_autobuf struct hfc_buf text = HFC_BUF(4096);

    for (size_t i = 0; i < prune_snapshots(plan); i++) {
        const struct prune_snapshot *s = prune_snapshot_at(plan, i);
        hfc_buf_printf(&text, "%s%s/%c:%d:%d%s%s", i > 0 ? " " : "", s->folder, s->commit[0],
                       (int)s->objects, (int)s->bytes, s->kept != NULL ? ":" : "",
                       s->kept != NULL ? s->kept : "");
    }
    assert_string_equal(text.data, want);
}

static void find(const char *folder, bool unreferenced)
{
    prune_free(plan);
    assert_int_equal(prune_find(&target, folder, unreferenced, &plan), 0);
}

static void two_snapshots(void)
{
    put(M "refs/main", A);
    put(M "snapshots/" A "/config.json", "{}");
    put(M "snapshots/" B "/config.json", "{1}");
    put(M "snapshots/" B "/sub/w.bin", "1234");
    put(M "trees/" A ".json", "{}");
    put(M "trees/" B ".json", "{....}");
    put_snapshot("models--org--m", A);
    put_snapshot("models--org--m", B);
}

static void what_no_ref_names_is_found_with_its_tree(void **state)
{
    (void)state;
    two_snapshots();
    put(N "refs/v1", C);
    put(N "snapshots/" B "/x", "12");
    put(N "trees/" A ".json", "1");
    find(NULL, false);
    assert_plan("datasets--d/a:1:1 datasets--d/b:1:2 models--org--m/b:3:13");
    assert_int_equal(prune_count(plan), 5);
    assert_int_equal(prune_bytes(plan), 16);
    find("models--org--m", false);
    assert_plan("models--org--m/b:3:13");
    find("models--org", false);
    assert_plan("");
}

static void a_repository_without_refs_is_kept_unless_told_otherwise(void **state)
{
    (void)state;
    put(M "snapshots/" A "/x", "1");
    put("hub/elsewhere/snapshots/" A "/x", "1");
    find(NULL, false);
    assert_plan("models--org--m/a:1:1:no refs");
    assert_int_equal(prune_count(plan) + prune_bytes(plan), 0);
    find(NULL, true);
    assert_plan("models--org--m/a:1:1");
}

static void a_ref_that_is_no_commit_keeps_its_repository(void **state)
{
    (void)state;
    two_snapshots();
    put(M "refs/pr/1", A "\n");
    find(NULL, true);
    assert_plan("models--org--m/b:3:13:a ref is not the name of a commit");
}

/* Which of them a reader finds is not ours to guess. */
static void a_ref_protects_its_snapshot_whatever_the_case(void **state)
{
    (void)state;
    put(M "refs/main", A);
    put(M "snapshots/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/x", "1");
    find(NULL, true);
    assert_plan("");
}

static void only_files_trees_and_refs_belong_to_snapshots(void **state)
{
    (void)state;
    put(M "refs/main", A);
    put(M "blobs/123", "x");
    put(M "snapshots/file", "x");
    put(M "trees/x.txt", "x");
    put(M "trees/sub/" A ".json", "x");
    put("hub/models--/snapshots/" A "/x", "x");
    put("other/" M "snapshots/" A "/x", "x");
    find(NULL, true);
    assert_plan("");
}

static void what_is_to_be_kept_is_not_deleted(void **state)
{
    (void)state;
    two_snapshots();
    put(M "snapshots/" C "/x", "1");
    find(NULL, false);
    prune_keep(plan, "models--org--m", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", "dear to us");
    prune_keep(plan, "models--org--n", C, "another model's");
    assert_plan("models--org--m/b:3:13:dear to us models--org--m/c:1:1");
    assert_int_equal(run(), 0);
    assert_string_equal(fake.log.data, "HEAD .hfcache/index\nDELETE " M "snapshots/" C "/x\n");
    assert_non_null(fake_find(&fake, M "snapshots/" B "/config.json"));
}

static void the_index_goes_first_then_trees_then_files(void **state)
{
    (void)state;
    two_snapshots();
    fake_set(&fake, HFC_INDEX_KEY, "old", NULL);
    find(NULL, false);
    assert_int_equal(run(), 0);
    assert_string_equal(fake.log.data, "HEAD .hfcache/index\nPUT .hfcache/index\n"
                                       "DELETE " M "trees/" B ".json\n"
                                       "DELETE " M "snapshots/" B "/config.json\n"
                                       "DELETE " M "snapshots/" B "/sub/w.bin\n");
    const char *index = fake_find(&fake, HFC_INDEX_KEY)->content.data;
    assert_null(strstr(index, B));
    assert_non_null(strstr(index, "snapshot models--org--m " A));
    assert_non_null(strstr(index, M "snapshots/" A "/config.json"));
    assert_int_equal(target.pruned, 3);
    assert_int_equal(hfc_index_count(target.index), 3);
    assert_null(hfc_index_snapshot(target.index, "models--org--m", B));
    assert_string_equal(said.data, "deleting org/m " B ", which no ref names: 3 objects, 13 B\n");
}

static void a_bucket_without_an_index_gets_none(void **state)
{
    (void)state;
    two_snapshots();
    find(NULL, false);
    assert_int_equal(prune_run(&target, plan, NULL, NULL, &err), 0);
    assert_null(fake_find(&fake, HFC_INDEX_KEY));
    assert_int_equal(fake.n, 3);
}

static void without_the_index_published_nothing_is_deleted(void **state)
{
    static const char *const requests[] = {"HEAD", "PUT"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(requests); i++) {
        two_snapshots();
        fake_set(&fake, HFC_INDEX_KEY, "old", NULL);
        fake.fail = requests[i];
        find(NULL, false);
        assert_int_equal(run(), -1);
        assert_non_null(
            strstr(err.msg, "nothing was deleted, as the index could not be published"));
        assert_non_null(strstr(err.msg, "Permission denied"));
        assert_null(strstr(fake.log.data, "DELETE"));
    }
}

static void what_cannot_be_deleted_does_not_hold_up_the_rest(void **state)
{
    (void)state;
    two_snapshots();
    fake.fail = "DELETE " M "trees/";
    find(NULL, false);
    assert_int_equal(run(), -1);
    assert_non_null(strstr(err.msg, "1 of 3 objects could not be deleted: " M "trees/" B));
    assert_int_equal(err.errnum, EACCES);
    assert_int_equal(target.pruned, 2);
    assert_null(fake_find(&fake, M "snapshots/" B "/config.json"));
}

static void lose_lock(void *ctx)
{
    (void)ctx;
    if (strstr(fake.log.data, "snapshots/" B "/00") != NULL)
        target_fail(&target, &(struct hfc_error){EBUSY, "somebody else has the lock"});
}

/* What is under way by then can't be called back. */
static void who_loses_the_lock_deletes_no_further(void **state)
{
    (void)state;
    two_snapshots();
    for (int i = 0; i < 40; i++) {
        char key[200];
        (void)snprintf(key, sizeof(key), M "snapshots/" B "/%02d", i);
        put(key, "1");
    }
    fake.asked = lose_lock;
    find(NULL, false);
    assert_int_equal(run(), -1);
    assert_string_equal(err.msg, "somebody else has the lock");
    assert_int_equal(target.pruned, 2); /* the tree, and the file when it happened */
}

static void stop(void *ctx)
{
    const char *when = ctx;

    if (strstr(fake.log.data, when) != NULL)
        hfc_loop_stop(loop);
}

/* Whatever it waits for. */
static void a_stop_ends_it(void **state)
{
    static char head[] = "HEAD", put_index[] = "PUT", delete[] = "DELETE";
    char *const moments[] = {head, put_index, delete};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(moments); i++) {
        two_snapshots();
        fake_set(&fake, HFC_INDEX_KEY, "old", NULL);
        fake.asked = stop;
        fake.ctx = moments[i];
        fake.hold = moments[i];
        find(NULL, false);
        assert_int_equal(run(), -1);
        assert_int_equal(err.errnum, ECANCELED);
        assert_non_null(fake_find(&fake, M "snapshots/" B "/config.json"));
        (void)teardown(NULL);
        (void)setup(NULL);
    }
}

/* So many that there are more than slots. */
static void many_objects_are_deleted_a_few_at_a_time(void **state)
{
    (void)state;
    put(M "refs/main", A);
    for (int i = 0; i < 40; i++) {
        char key[200];
        (void)snprintf(key, sizeof(key), M "snapshots/" B "/%02d", i);
        put(key, "1");
    }
    find(NULL, false);
    assert_int_equal(run(), 0);
    assert_int_equal(target.pruned, 40);
    assert_int_equal(fake.n, 1);
}

static void snapshots_are_found_by_commit_whatever_their_order(void **state)
{
    struct inventory inv;

    (void)state;
    put(M "refs/a", C);
    put(M "refs/b", A);
    put(M "refs/c", A);
    put(M "refs/broken", "x");
    put(M "snapshots/" B "/1", "12");
    put(M "trees/" A ".json", "123");
    put("x", "1");
    inventory_take(target.index, NULL, NULL, &inv);
    assert_int_equal(inv.nrepos, 1);
    assert_int_equal(inv.other_objects + inv.other_bytes, 2);
    const struct inventory_repo *r = &inv.repos[0];
    assert_string_equal(r->broken_ref, "broken");
    assert_int_equal(r->nrefs, 4);
    assert_int_equal(r->nsnapshots, 3);
    assert_string_equal(r->snapshots[0].commit, A);
    assert_int_equal(r->snapshots[0].nrefs, 2);
    assert_string_equal(r->snapshots[0].refs[1], "c");
    assert_true(r->snapshots[0].has_tree && r->snapshots[0].tree_bytes == 3);
    assert_int_equal(r->snapshots[1].files, 1);
    assert_int_equal(r->snapshots[1].bytes, 2);
    assert_string_equal(r->snapshots[2].refs[0], "a");
    inventory_free(&inv);
}

/* The newest. */

static void made(const char *key, int64_t modified)
{
    put(key, "1");
    fake_find(&fake, key)->modified = modified;
}

static void the_newest_of_each_repository_can_be_kept(void **state)
{
    (void)state;
    put(M "refs/main", A);
    put(N "refs/main", A);
    made(M "snapshots/" B "/x", 1);
    made(M "trees/" B ".json", 9); /* counts, as it is put last */
    made(M "snapshots/" C "/x", 5);
    made(N "snapshots/" B "/x", 3);
    made(N "snapshots/" C "/x", 3);
    find(NULL, false);
    assert_int_equal(prune_keep_newest(&target, plan, 1, &err), 0);
    assert_plan("datasets--d/b:1:1:one of the newest datasets--d/c:1:1 "
                "models--org--m/b:2:2:one of the newest models--org--m/c:1:1");
    find(NULL, false);
    assert_int_equal(prune_keep_newest(&target, plan, 0, &err), 0);
    assert_int_equal(prune_count(plan), 5);
    assert_int_equal(prune_keep_newest(&target, plan, 2, &err), 0);
    assert_int_equal(prune_count(plan), 0);
    hfc_buf_reset(&fake.log);
    assert_int_equal(prune_keep_newest(&target, plan, 2, &err), 0);
    assert_string_equal(fake.log.data, ""); /* what is kept anyway needs no asking */
}

static void without_all_times_none_is_the_newest(void **state)
{
    (void)state;
    two_snapshots();
    put(M "snapshots/" C "/x", "1");
    fake.fail = "HEAD " M "snapshots/" C;
    find(NULL, false);
    assert_int_equal(prune_keep_newest(&target, plan, 1, &err), -1);
    assert_int_equal(err.errnum, EACCES);
    assert_int_equal(prune_count(plan), 4);
    hfc_loop_stop(loop);
    assert_int_equal(prune_keep_newest(&target, plan, 1, &err), -1);
    assert_int_equal(err.errnum, ECANCELED);
}

/* Uploads. */

static void two_uploads(void)
{
    fake.uploads[0] = "a=1";
    fake.uploads[1] = "b=2";
    fake.nuploads = 2;
}

static void uploads_are_found_with_their_sizes(void **state)
{
    char key[] = "mine", id[] = "7";
    struct leftover leftover = {.key = key, .upload_id = id};
    struct strays s;

    (void)state;
    two_uploads();
    target.leftovers = &leftover;
    target.nleftovers = 1;
    assert_int_equal(strays_find(&s, &target, true, &err), 0);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.list[1].key, "b");
    assert_string_equal(s.list[1].upload_id, "2");
    assert_int_equal(s.list[1].bytes, 10);
    strays_free(&s);
    assert_int_equal(strays_find(&s, &target, false, &err), 0);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.list[0].upload_id, "7");
    strays_free(&s);
    fake.fail = "PARTS"; /* only for the size */
    assert_int_equal(strays_find(&s, &target, true, &err), 0);
    assert_int_equal(s.list[0].bytes, 0);
    strays_free(&s);
    fake.fail = "UPLOADS";
    assert_int_equal(strays_find(&s, &target, true, &err), -1);
    assert_int_equal(err.errnum, EACCES);
    strays_free(&s);
    hfc_loop_stop(loop);
    assert_int_equal(strays_find(&s, &target, true, &err), -1);
    assert_int_equal(err.errnum, ECANCELED);
    strays_free(&s);
}

static void uploads_are_removed_as_far_as_they_can_be(void **state)
{
    struct strays s;

    (void)state;
    two_uploads();
    assert_int_equal(strays_find(&s, &target, true, &err), 0);
    fake.fail = "ABORT a";
    hfc_buf_reset(&fake.log);
    assert_int_equal(strays_abort(&s, &err), -1);
    assert_int_equal(err.errnum, EACCES);
    assert_int_equal(s.aborted, 1);
    assert_string_equal(fake.log.data, "ABORT a\nABORT b\n");
    strays_free(&s);
}

static void without_the_lock_no_upload_is_removed(void **state)
{
    struct strays s;

    (void)state;
    two_uploads();
    assert_int_equal(strays_find(&s, &target, true, &err), 0);
    target_fail(&target, &(struct hfc_error){EBUSY, "somebody else has the lock"});
    hfc_buf_reset(&fake.log);
    assert_int_equal(strays_abort(&s, &err), -1);
    assert_string_equal(err.msg, "somebody else has the lock");
    assert_string_equal(fake.log.data, "");
    strays_free(&s);
}

static void no_more_uploads_are_looked_at_than_can_be_kept(void **state)
{
    struct leftover *many = calloc(10001, sizeof(*many));
    struct strays s;
    char text[] = "x";

    (void)state;
    assert_non_null(many);
    for (size_t i = 0; i < 10001; i++)
        many[i] = (struct leftover){.key = text, .upload_id = text};
    target.leftovers = many;
    target.nleftovers = 10001;
    fake.log.max = 0;
    assert_int_equal(strays_find(&s, &target, false, &err), 0);
    assert_int_equal(s.n, 10000);
    strays_free(&s);
    free(many);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_no_ref_names_is_found_with_its_tree),
        TEST(a_repository_without_refs_is_kept_unless_told_otherwise),
        TEST(a_ref_that_is_no_commit_keeps_its_repository),
        TEST(a_ref_protects_its_snapshot_whatever_the_case),
        TEST(only_files_trees_and_refs_belong_to_snapshots),
        TEST(what_is_to_be_kept_is_not_deleted),
        TEST(the_index_goes_first_then_trees_then_files),
        TEST(a_bucket_without_an_index_gets_none),
        TEST(without_the_index_published_nothing_is_deleted),
        TEST(what_cannot_be_deleted_does_not_hold_up_the_rest),
        TEST(who_loses_the_lock_deletes_no_further),
        TEST(a_stop_ends_it),
        TEST(many_objects_are_deleted_a_few_at_a_time),
        TEST(snapshots_are_found_by_commit_whatever_their_order),
        TEST(the_newest_of_each_repository_can_be_kept),
        TEST(without_all_times_none_is_the_newest),
        TEST(uploads_are_found_with_their_sizes),
        TEST(uploads_are_removed_as_far_as_they_can_be),
        TEST(without_the_lock_no_upload_is_removed),
        TEST(no_more_uploads_are_looked_at_than_can_be_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
