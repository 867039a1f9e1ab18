/* test_inspect.c: opening a bucket for a look, names, trees and the check of objects
 * (refresh/inspect.c, bucket_tree.c, verify.c, verify_object.c, command.c, stop.c).
 */
#include "fake_store.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bucket_tree.h"
#include "budget.h"
#include "cleanup.h"
#include "inventory.h"
#include "verify.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define M "hub/models--org--m/"

static struct inspection in;
static struct fake fake;
static struct target target;
static struct selection all;
static struct hfc_buf said;
static struct hfc_error err;

/* An inspection of a store in memory. */
static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    in = (struct inspection){.loop = hfc_loop_new(&err), .tables = 1 << 20, .tree_max = 1 << 16};
    fake_open(&fake, in.loop);
    target = (struct target){.loop = in.loop, .store = &fake.base, .index = hfc_index_new(1 << 20)};
    in.target = &target;
    all = (struct selection){0};
    hfc_buf_init(&said, 1 << 16);
    return in.loop != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    selection_free(&all);
    hfc_buf_free(&said);
    hfc_index_free(in.published);
    content_free(&target.content);
    hfc_index_free(target.index);
    hfc_store_close(&fake.base);
    fake_free(&fake);
    hfc_loop_free(in.loop);
    return 0;
}

/* What the function prints to stderr goes nowhere; -1, 0 or its status comes back. */
static int quietly(int (*fn)(void *ctx), void *ctx)
{
    hfc_autoclose int saved = dup(STDERR_FILENO);
    hfc_autoclose int null = open("/dev/null", O_WRONLY);

    (void)dup2(null, STDERR_FILENO);
    int rc = fn(ctx);
    (void)dup2(saved, STDERR_FILENO);
    return rc;
}

/* Names. */

static void folder_is(const char *key, const char *want)
{
    const char *folder = NULL;
    size_t n = repo_folder(key, &folder);

    assert_int_equal(n, strlen(want));
    if (n > 0)
        assert_memory_equal(folder, want, n);
}

static void the_folder_of_a_key_is_found(void **state)
{
    (void)state;
    folder_is("hub/models--org--name/refs/main", "models--org--name");
    folder_is("hub/datasets--d/x", "datasets--d");
    folder_is("hub/spaces--o--s/x", "spaces--o--s");
    folder_is("hub/models--org--name", "");
    folder_is("hub/models--/x", "");
    folder_is("hub/other--x/x", "");
    folder_is("hub/", "");
    folder_is("models--org--name/x", "");
}

static void name_is(const char *folder, const char *want)
{
    hfc_autobuf struct hfc_buf out = HFC_BUF(200);

    repo_name(folder, strlen(folder), &out);
    assert_string_equal(out.data, want);
}

static void the_name_of_a_folder_is_what_people_say(void **state)
{
    (void)state;
    name_is("models--org--name-x", "org/name-x");
    name_is("models--gpt2", "gpt2");
    name_is("datasets--org--d", "datasets/org/d");
    name_is("spaces--o--s", "spaces/o/s");
    name_is("models--a-", "a-");
}

static int parse_models(void *ctx)
{
    struct models models;
    char *const *words = ctx;
    size_t n = 0;

    while (words[n] != NULL)
        n++;
    int rc = inspection_models(words, n, &models);
    if (rc == 0)
        models_free(&models);
    else
        assert_int_equal(models.n, 0);
    return rc;
}

static int parse_selection(void *ctx)
{
    struct selection s;
    char *const *words = ctx;
    int rc = selection_of(words, words[1] != NULL ? 2 : 1, &s);

    if (rc == 0)
        selection_free(&s);
    return rc;
}

static void names_of_models_are_checked(void **state)
{
    char *const good[] = {strdup("org/m"), strdup("org/m@v1"), strdup("datasets/org/m"), NULL};
    char *const twice[] = {strdup("org/m"), strdup("org/m@main"), NULL};
    char *const wrong[] = {strdup("org/m"), strdup("a/b/c"), NULL};
    struct models models;

    (void)state;
    assert_int_equal(inspection_models(good, 3, &models), 0);
    assert_int_equal(models.n, 3);
    assert_string_equal(models.list[1].revision, "v1");
    assert_int_equal(models.list[2].kind, REPO_DATASET);
    assert_string_equal(models.list[2].repo, "org/m");
    models_free(&models);
    assert_int_equal(parse_models((void *)(uintptr_t)good), 0);
    assert_int_equal(quietly(parse_models, (void *)(uintptr_t)twice), -1);
    assert_int_equal(quietly(parse_models, (void *)(uintptr_t)wrong), -1);
    assert_int_equal(quietly(parse_selection, (void *)(uintptr_t)good), -1); /* a revision */
    assert_int_equal(quietly(parse_selection, (void *)(uintptr_t)wrong), -1);
    for (int i = 0; i < 3; i++)
        free(good[i]);
    for (int i = 0; i < 2; i++) {
        free(twice[i]);
        free(wrong[i]);
    }
}

static int missing(void *ctx)
{
    return selection_missing(ctx);
}

static void a_selection_knows_what_was_found(void **state)
{
    char *const words[] = {strdup("org/m"), strdup("datasets/d")};

    (void)state;
    assert_true(selection_has(&all, "models--x", 9));
    assert_int_equal(selection_missing(&all), STATUS_OK);
    assert_int_equal(selection_of(words, 2, &all), 0);
    assert_true(selection_has(&all, "models--org--m", 14));
    assert_false(selection_has(&all, "models--org--mm", 15));
    assert_int_equal(quietly(missing, &all), STATUS_FAILED);
    assert_true(selection_has(&all, "datasets--d/x", 11));
    assert_int_equal(selection_missing(&all), STATUS_OK);
    free(words[0]);
    free(words[1]);
}

/* The published index. */

static void the_published_index_is_read_once(void **state)
{
    static const char text[] = "hfcache-index 1\nref " A " " M "refs/main\n";
    char digest[HFC_HEX_MAX];
    uint8_t sha256[HFC_SHA256_SIZE];
    hfc_autobuf struct hfc_buf whole = HFC_BUF(1000);
    const struct hfc_index *x, *again;

    (void)state;
    hfc_hash_of(HFC_SHA256, text, strlen(text), sha256);
    hfc_hex(sha256, sizeof(sha256), digest);
    hfc_buf_printf(&whole, "%send 2 %s\n", text, digest);
    fake_set(&fake, HFC_INDEX_KEY, whole.data, NULL);
    assert_int_equal(inspection_published(&in, &x, &err), 0);
    assert_string_equal(hfc_index_find(x, M "refs/main")->commit, A);
    assert_int_equal(inspection_published(&in, &again, &err), 0);
    assert_ptr_equal(x, again);
    assert_string_equal(fake.log.data, "GET " HFC_INDEX_KEY "\n");
}

static void an_index_that_cannot_be_understood_counts_as_none(void **state)
{
    static const char *const texts[] = {NULL, "nonsense\n", "hfcache-index 1\n", ""};

    for (size_t i = 0; i < HFC_ARRAY_LEN(texts); i++) {
        const struct hfc_index *x;
        if (texts[i] != NULL)
            fake_set(&fake, HFC_INDEX_KEY, texts[i], NULL);
        assert_int_equal(inspection_published(&in, &x, &err), 0);
        assert_int_equal(hfc_index_count(x), 0);
        (void)teardown(state);
        (void)setup(state);
    }
}

static void an_index_that_cannot_be_read_is_an_error(void **state)
{
    const struct hfc_index *x;

    (void)state;
    fake.fail = "GET";
    assert_int_equal(inspection_published(&in, &x, &err), -1);
    assert_int_equal(err.errnum, EACCES);
    hfc_loop_stop(in.loop);
    hfc_index_free(in.published);
    in.published = NULL;
    assert_int_equal(inspection_published(&in, &x, &err), -1);
    assert_int_equal(err.errnum, ECANCELED);
}

/* Trees. */

#define TREE(files) "{\"format_version\":1,\"files\":{" files "}}"
#define SHA256 "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
#define GIT "19102815663d23f8b75a47e7a01965dcdc96468c"

static void a_tree_tells_its_files(void **state)
{
    struct bucket_tree tree;
    struct content_id id;
    bool has_hash;

    (void)state;
    fake_set(&fake, "t",
             TREE("\"a\":{\"size\":3,\"blob_id\":\"" GIT "\"},"
                  "\"b/c\":{\"size\":4,\"blob_id\":\"" GIT "\",\"lfs_sha256\":\"" SHA256
                  "\",\"lfs_size\":4,\"xet_hash\":\"x\"},"
                  "\"d\":{\"size\":5,\"blob_id\":null,\"lfs_sha256\":null,\"lfs_size\":null}"),
             NULL);
    assert_int_equal(bucket_tree_read(&in, "t", &tree, &err), 0);
    assert_int_equal(tree.size, fake_find(&fake, "t")->content.len);
    assert_true(bucket_tree_find(&tree, "a", &id, &has_hash));
    assert_true(has_hash && !id.lfs && id.size == 3);
    assert_int_equal(id.git_sha1[0], 0x19);
    assert_true(bucket_tree_find(&tree, "b/c", &id, &has_hash));
    assert_true(has_hash && id.lfs && id.size == 4);
    assert_int_equal(id.sha256[0], 0x2c);
    assert_true(bucket_tree_find(&tree, "d", &id, &has_hash));
    assert_false(has_hash);
    assert_false(bucket_tree_find(&tree, "e", &id, &has_hash));

    struct hfc_entry e = {.key = "p/a", .etag = "x", .size = 3};
    assert_int_equal(bucket_tree_missing(&tree, target.index, "p/"), 3);
    assert_int_equal(hfc_index_put(target.index, &e, &err), 0);
    assert_int_equal(bucket_tree_missing(&tree, target.index, "p/"), 2);
    e.key = "p/d";
    assert_int_equal(hfc_index_put(target.index, &e, &err), 0);
    assert_int_equal(bucket_tree_missing(&tree, target.index, "p/"), 2); /* another size */
    bucket_tree_free(&tree);
}

static void refuses_tree(const char *text, const char *why)
{
    struct bucket_tree tree;

    fake_set(&fake, "t", text, NULL);
    assert_int_equal(bucket_tree_read(&in, "t", &tree, &err), -1);
    assert_int_equal(err.errnum, EBADMSG);
    if (strstr(err.msg, why) == NULL)
        fail_msg("%s\nshould be refused with '%s', not '%s'", text, why, err.msg);
}

static void a_tree_that_is_none_is_refused(void **state)
{
    (void)state;
    refuses_tree("", "is no list of files");
    refuses_tree("{", "is no list of files");
    refuses_tree("[]", "not of format 1");
    refuses_tree("{\"format_version\":2,\"files\":{}}", "not of format 1");
    refuses_tree("{\"format_version\":1,\"files\":[]}", "not of format 1");
    refuses_tree("{\"format_version\":1}", "not of format 1");
    refuses_tree("{\"files\":{}}", "not of format 1");
    refuses_tree(TREE("\"a\":{\"size\":1},\"a\":{\"size\":1}"), "duplicate");
    refuses_tree(TREE("\"a\":3"), "the size of a");
    refuses_tree(TREE("\"a\":{\"size\":-1}"), "the size of a");
    refuses_tree(TREE("\"a\":{\"size\":1.5}"), "the size of a");
    refuses_tree(TREE("\"a\":{\"size\":1,\"blob_id\":3}"), "blob_id of a");
    refuses_tree(TREE("\"a\":{\"size\":1,\"blob_id\":\"12\"}"), "blob_id of a");
    refuses_tree(TREE("\"a\":{\"size\":1,\"lfs_sha256\":\"" GIT "\"}"), "lfs_sha256 of a");
    refuses_tree(TREE("\"a\":{\"size\":1,\"lfs_size\":2}"), "lfs_size of a");
}

static void a_tree_that_cannot_be_read_says_why(void **state)
{
    struct bucket_tree tree;

    (void)state;
    assert_int_equal(bucket_tree_read(&in, "none", &tree, &err), -1);
    assert_int_equal(err.errnum, ENOENT);
    fake_set(&fake, "t", TREE(""), NULL);
    in.tree_max = 10;
    assert_int_equal(bucket_tree_read(&in, "t", &tree, &err), -1);
    assert_int_equal(err.errnum, EFBIG);
    hfc_loop_stop(in.loop);
    assert_int_equal(bucket_tree_read(&in, "t", &tree, &err), -1);
    assert_int_equal(err.errnum, ECANCELED);
}

/* Verification. */

static void say(void *ctx, enum verify_finding finding, const char *key, const char *text)
{
    static const char *const names[] = {"BAD", "FAIL", "NOTE"};

    hfc_buf_printf(ctx, "%s %s: %s\n", names[finding], key, text);
}

/* In the store and the listing. */
static void listed(const char *key, const char *text, const struct hfc_meta *meta)
{
    const struct hfc_object o = fake_object(fake_set(&fake, key, text, meta));
    struct hfc_entry e = {.key = key, .etag = o.etag, .size = o.size};

    if (strstr(key, "/refs/") != NULL && strlen(text) == HFC_COMMIT_SIZE - 1)
        memcpy(e.commit, text, sizeof(e.commit));
    assert_int_equal(hfc_index_put(target.index, &e, &err), 0);
}

static struct hfc_meta meta_of(const char *text)
{
    struct hfc_meta meta = {.has_sha256 = true, .has_git_sha1 = true};
    hfc_autohash struct hfc_hash *git = hfc_hash_new(HFC_SHA1);

    hfc_hash_of(HFC_SHA256, text, strlen(text), meta.sha256);
    hfc_hash_git_header(git, strlen(text));
    hfc_hash_add(git, text, strlen(text));
    hfc_hash_finish(git, meta.git_sha1);
    return meta;
}

/* In the published index: an object with this content, or a ref. */
static void promised(const char *key, const char *text)
{
    struct hfc_entry e = {.key = key, .etag = "x", .size = strlen(text), .meta = meta_of(text)};

    if (in.published == NULL)
        in.published = hfc_index_new(1 << 20);
    if (strstr(key, "/refs/") != NULL)
        memcpy(e.commit, text, sizeof(e.commit));
    assert_int_equal(hfc_index_put(in.published, &e, &err), 0);
}

static struct verify_counts verify_ok(void)
{
    struct verify v = {.in = &in, .models = &all, .say = say, .ctx = &said};

    assert_int_equal(verify_run(&v, 2, &err), 0);
    return v.counts;
}

static void good_objects_are_verified_by_what_knows_them(void **state)
{
    const struct hfc_meta meta = meta_of("own");

    (void)state;
    promised(M "snapshots/" A "/index", "one");
    promised(M "snapshots/" A "/empty", "");
    promised(M "refs/main", A);
    listed(M "snapshots/" A "/index", "one", NULL);
    listed(M "snapshots/" A "/empty", "", NULL);
    listed(M "snapshots/" A "/tree", "foo", NULL);
    listed(M "snapshots/" A "/lfs", "foo", NULL);
    listed(M "snapshots/" A "/meta", "own", &meta);
    listed(M "snapshots/" A "/unknown", "x", NULL);
    listed(M "refs/main", A, NULL);
    listed("other", "x", NULL);
    listed(M "trees/" A ".json",
           TREE("\"tree\":{\"size\":3,\"blob_id\":\"" GIT "\"},\"lfs\":{\"size\":3,\"blob_id\":\"" A
                "\",\"lfs_sha256\":\"" SHA256 "\"}"),
           NULL);
    struct verify_counts c = verify_ok();
    assert_string_equal(said.data, "");
    assert_int_equal(c.objects, 9);
    assert_int_equal(c.verified, 6); /* not: the tree, unknown, other */
    assert_int_equal(c.unknown, 3);
    assert_int_equal(c.bad + c.failed, 0);
}

static void finds(const char *want, unsigned bad, unsigned failed)
{
    struct verify_counts c = verify_ok();

    if (strstr(said.data, want) == NULL)
        fail_msg("should find: %s\nfound: %s", want, said.data);
    assert_int_equal(c.bad, bad);
    assert_int_equal(c.failed, failed);
    (void)teardown(NULL);
    (void)setup(NULL);
}

static void what_is_wrong_with_an_object_is_told(void **state)
{
    const struct hfc_meta meta = meta_of("foo");

    (void)state;
    promised("k", "foo");
    listed("k", "bar", NULL);
    finds("BAD k: SHA-256 is "
          "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9, expected " SHA256
          " (by the index)",
          1, 0);
    promised("k", "foo");
    listed("k", "four", NULL);
    finds("BAD k: has 4 bytes, expected 3 (by the index)", 1, 0);
    listed("k", "bar", &meta);
    finds("(by its metadata)", 1, 0);
    listed(M "snapshots/" A "/f", "bar", NULL);
    listed(M "trees/" A ".json", TREE("\"f\":{\"size\":3,\"blob_id\":\"" GIT "\"}"), NULL);
    finds("BAD " M "snapshots/" A "/f: git's hash is", 1, 0);
    promised("k", "foo");
    finds("BAD k: is missing, though the index names it", 1, 0);
    listed(M "trees/" A ".json", TREE("\"f\":{\"size\":3}"), NULL);
    finds("BAD " M "snapshots/" A "/f: is missing, though " M "trees/" A ".json names it", 1, 0);
    listed(M "trees/" A ".json", "nonsense", NULL);
    finds("BAD " M "trees/" A ".json: is no list of files", 1, 0);
    promised(M "trees/" A ".json", TREE(""));
    listed(M "trees/" A ".json", TREE(" "), NULL);
    finds("BAD " M "trees/" A ".json: SHA-256 is", 1, 0);
}

static void index_and_tree_must_not_contradict_each_other(void **state)
{
    static const char *const files[] = {
        "\"f\":{\"size\":4}", "\"f\":{\"size\":3,\"blob_id\":\"" A "\"}",
        "\"f\":{\"size\":3,\"lfs_sha256\":\"" A "aaaaaaaaaaaaaaaaaaaaaaaa\"}"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(files); i++) {
        hfc_autobuf struct hfc_buf text = HFC_BUF(1000);
        hfc_buf_printf(&text, "{\"format_version\":1,\"files\":{%s}}", files[i]);
        promised(M "snapshots/" A "/f", "foo");
        listed(M "snapshots/" A "/f", "foo", NULL);
        listed(M "trees/" A ".json", text.data, NULL);
        finds("say different things of it", 1, 0);
    }
}

static void what_is_wrong_with_refs_is_told(void **state)
{
    (void)state;
    listed(M "refs/main", A "\n", NULL);
    finds("BAD " M "refs/main: is not the name of a commit: 41 bytes, expected 40", 1, 0);
    listed(M "refs/main", A, NULL);
    finds("BAD " M "refs/main: names " A ", of which there are no files", 1, 0);
    promised(M "refs/main", A);
    finds("BAD " M "refs/main: names " A ", of which there are no files\nNOTE " M
          "refs/main: is in the index only",
          1, 0);
    promised(M "refs/main", A);
    listed(M "refs/main", B, NULL);
    listed(M "snapshots/" A "/f", "1", NULL);
    listed(M "snapshots/" B "/f", "1", NULL);
    finds("NOTE " M "refs/main: names " B ", the index says " A, 0, 0);
    listed(M "refs/main", A, NULL);
    listed(M "snapshots/" A "/f", "1", NULL);
    fake_set(&fake, M "refs/main", B, NULL);
    finds("BAD " M "refs/main: SHA-256 is", 1, 0);
}

static void a_line_that_says_complete_has_to_be_true(void **state)
{
    struct hfc_snapshot s = {.repo = "models--org--m", .commit = A};

    (void)state;
    in.published = hfc_index_new(1 << 20);
    assert_int_equal(hfc_index_put_snapshot(in.published, &s, &err), 0);
    finds("BAD " M "snapshots/" A "/: is complete by the index, but there are no files\nBAD " M
          "trees/" A ".json: is missing, though the index calls its snapshot complete",
          2, 0);
}

static void what_cannot_be_looked_at_is_no_verdict(void **state)
{
    (void)state;
    promised("k", "foo");
    listed("k", "foo", NULL);
    fake.fail = "GET k";
    finds("FAIL k: can't be read: k: Permission denied", 0, 1);
    promised("k", "foo");
    listed("k", "foo", NULL);
    fake.fail = "GET k";
    fake.errnum = EBADMSG;
    finds("BAD k: can't be read", 1, 0);
    promised("k", "foo");
    listed("k", "foo", NULL);
    fake_set(&fake, "k", "other", NULL);
    finds("FAIL k: was changed or removed meanwhile", 0, 1);
    listed("k", "foo", NULL);
    fake_drop(&fake, "k");
    finds("FAIL k: was changed or removed meanwhile", 0, 1);
    listed(M "trees/" A ".json", TREE(""), NULL);
    in.tree_max = 5;
    finds("FAIL " M "trees/" A ".json: has more than", 0, 1);
    /* A ref's version is not in the index: it is shorter by now. */
    listed(M "refs/main", A, NULL);
    listed(M "snapshots/" A "/f", "1", NULL);
    fake_set(&fake, M "refs/main", "short", NULL);
    finds("BAD " M "refs/main: has 5 bytes, 40 were listed", 1, 0);
}

static void only_the_chosen_are_looked_at(void **state)
{
    char *const words[] = {strdup("org/m")};
    struct hfc_snapshot s = {.repo = "models--org--n", .commit = A};

    (void)state;
    assert_int_equal(selection_of(words, 1, &all), 0);
    promised("hub/models--org--n/snapshots/" A "/f", "foo");
    assert_int_equal(hfc_index_put_snapshot(in.published, &s, &err), 0);
    listed("k", "x", NULL);
    listed("hub/models--org--o/snapshots/" A "/f", "foo", NULL);
    listed(M "snapshots/" A "/f", "1", NULL);
    struct verify_counts c = verify_ok();
    assert_string_equal(said.data, "");
    assert_int_equal(c.objects, 1);
    free(words[0]);
}

static void stop(void *ctx)
{
    if (strstr(fake.log.data, ctx) != NULL)
        hfc_loop_stop(in.loop);
}

static void a_stop_ends_the_verification(void **state)
{
    static char object[] = "GET k", tree[] = "GET " M "trees", index[] = "GET .hf";
    char *const moments[] = {object, tree, index};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(moments); i++) {
        struct verify v = {.in = &in, .models = &all, .say = say, .ctx = &said};
        if (moments[i] != index)
            promised("k", "foo");
        listed("k", "foo", NULL);
        listed("z", "foo", NULL);
        listed(M "trees/" A ".json", TREE(""), NULL);
        fake.asked = stop;
        fake.ctx = moments[i];
        fake.hold = moments[i];
        assert_int_equal(verify_run(&v, 1, &err), -1);
        assert_int_equal(err.errnum, ECANCELED);
        assert_string_equal(said.data, "");
        (void)teardown(NULL);
        (void)setup(NULL);
    }
}

/* Opening. */

static int open_and_close(void *ctx)
{
    struct inspection own;
    int rc = inspection_open(&own, ctx);

    if (rc == 0)
        assert_true(own.tables > 0 && own.tree_max >= MEBIBYTE && own.target->index != NULL);
    inspection_close(&own);
    return rc;
}

static int remove_any(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void a_bucket_is_opened_within_its_memory(void **state)
{
    char dir[] = "/tmp/hfc-test-inspect-XXXXXX", url[100];
    struct inspection_options o = {
        .url = url, .use = TARGET_READ, .memory = BUDGET_DEFAULT, .jobs = INSPECTION_JOBS};

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(url, sizeof(url), "file://%s", dir);
    assert_int_equal(open_and_close(&o), 0);
    o.use = TARGET_WRITE;
    assert_int_equal(open_and_close(&o), 0);
    o.memory = (size_t)4096 * MEBIBYTE;
    o.jobs = INSPECTION_JOBS_MAX;
    assert_int_equal(open_and_close(&o), 0);
    o.memory = BUDGET_DEFAULT;
    assert_int_equal(quietly(open_and_close, &o), -1); /* 64 connections in 64 MiB */
    o.jobs = 1;
    o.memory = MEBIBYTE;
    assert_int_equal(quietly(open_and_close, &o), -1);
    o.memory = BUDGET_DEFAULT;
    o.url = "ftp://x";
    assert_int_equal(quietly(open_and_close, &o), -1);
    /* A folder in a folder that is not there. */
    o.url = url;
    (void)snprintf(url, sizeof(url), "file://%s/sub/none", dir);
    assert_int_equal(quietly(open_and_close, &o), -1);
    assert_int_equal(nftw(dir, remove_any, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Signals. */

static void set(void *ctx)
{
    *(bool *)ctx = true;
}

static bool any_blocked(void)
{
    sigset_t mask;

    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGINT) || sigismember(&mask, SIGTERM) || sigismember(&mask, SIGHUP);
}

/* In a process of its own: the signals are sent to it before the loop looks. Ends it with 3 if the
 * loop was stopped, else with 4; with 5 if a signal is still blocked. */
static void be_signalled(const int *signals)
{
    struct hfc_loop *loop = hfc_loop_new(NULL);
    struct hfc_stop_hook hook = {0};
    struct hfc_timer timer = {0};
    bool over = false;
    struct stopper *s = stop_on_signals(loop, NULL);
    hfc_stop_hook_add(loop, &hook, set, &over);
    for (; *signals > 0; signals++)
        (void)raise(*signals);
    if (*signals < 0) /* nothing will come */
        hfc_timer_start(loop, &timer, 0, set, &over);
    (void)hfc_loop_run(loop, &over, NULL);
    if (*signals == 0) {
        (void)raise(SIGINT); /* the impatient */
        _exit(6);
    }
    bool stopped = hfc_loop_stopped(loop);
    hfc_timer_stop(&timer);
    hfc_stop_hook_remove(&hook);
    stopper_free(s);
    hfc_loop_free(loop);
    _exit(any_blocked() ? 5 : stopped ? 3 : 4);
}

static int status_after(const int *signals, int ignored)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGINT, SIG_DFL);
        if (ignored > 0)
            (void)signal(ignored, SIG_IGN);
        be_signalled(signals);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_signal_stops_the_loop_and_the_next_one_the_process(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(signals); i++) {
        const int one[] = {signals[i], 0}, quiet[] = {signals[i], -1};
        int status = status_after(one, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
        status = status_after(quiet, signals[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
    }
}

static void without_descriptors_signals_cannot_be_watched(void **state)
{
    struct rlimit now, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    none = now;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct stopper *s = stop_on_signals(in.loop, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    assert_null(s);
    assert_int_equal(err.errnum, EMFILE);
    stopper_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_folder_of_a_key_is_found),
        TEST(the_name_of_a_folder_is_what_people_say),
        TEST(names_of_models_are_checked),
        TEST(a_selection_knows_what_was_found),
        TEST(the_published_index_is_read_once),
        TEST(an_index_that_cannot_be_understood_counts_as_none),
        TEST(an_index_that_cannot_be_read_is_an_error),
        TEST(a_tree_tells_its_files),
        TEST(a_tree_that_is_none_is_refused),
        TEST(a_tree_that_cannot_be_read_says_why),
        TEST(good_objects_are_verified_by_what_knows_them),
        TEST(what_is_wrong_with_an_object_is_told),
        TEST(index_and_tree_must_not_contradict_each_other),
        TEST(what_is_wrong_with_refs_is_told),
        TEST(a_line_that_says_complete_has_to_be_true),
        TEST(what_cannot_be_looked_at_is_no_verdict),
        TEST(only_the_chosen_are_looked_at),
        TEST(a_stop_ends_the_verification),
        TEST(a_bucket_is_opened_within_its_memory),
        TEST(a_signal_stops_the_loop_and_the_next_one_the_process),
        TEST(without_descriptors_signals_cannot_be_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
