/* test_mount_nametree.c: the tree of names (mount/nametree*.c) and its hash (mount/siphash.c). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "cache.h"
#include "cleanup.h"
#include "nametree.h"
#include "nametree_internal.h"
#include "siphash.h"

#define COMMIT_A "0123456789abcdef0123456789abcdef01234567"
#define COMMIT_B "89abcdef0123456789abcdef0123456789abcdef"
#define MD5 "5f3a9c0d1e2b4a69788796a5b4c3d2e1"

enum { ROOM = 64 * 1024 * 1024 };

const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static struct hfc_error err;
static struct nametree_builder *builder;
static struct nametree *tree;

static int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    builder = nametree_builder_new(ROOM);
    tree = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nametree_builder_free(builder);
    nametree_unref(tree);
    return 0;
}

static struct hfc_entry object(const char *key, const char *etag, uint64_t size)
{
    return (struct hfc_entry){.key = key, .etag = etag, .size = size};
}

static void add_entry(const struct hfc_entry *e)
{
    if (nametree_add(builder, e, &err) < 0)
        fail_msg("%s: %s", e->key, err.msg);
}

static void add(const char *key)
{
    struct hfc_entry e = object(key, "e", 1);

    add_entry(&e);
}

static void add_ref(const char *key, const char *commit)
{
    struct hfc_entry e = {.key = key, .etag = ""};

    (void)snprintf(e.commit, sizeof(e.commit), "%s", commit);
    add_entry(&e);
}

static void finish(void)
{
    tree = nametree_finish(hfc_steal_ptr(&builder), "v", &err);
    if (tree == NULL)
        fail_msg("%s", err.msg);
}

static struct node node_at(const char *path)
{
    struct node n = {0};

    if (!nametree_path(tree, path, &n))
        fail_msg("%s is not there", path);
    return n;
}

static bool is_there(const char *path)
{
    struct node n;

    return nametree_path(tree, path, &n);
}

/* The names in a folder: "a,b/,". */
static void holds(const char *path, const char *names)
{
    hfc_autobuf struct hfc_buf is = HFC_BUF(1 << 16);
    struct node dir = node_at(path), n;

    for (uint32_t i = 0; nametree_child(tree, &dir, i, &n); i++)
        hfc_buf_printf(&is, "%.*s%s,", (int)n.name_len, n.name, n.is_directory ? "/" : "");
    assert_string_equal(is.data, names);
}

/* ---- SipHash. ---- */

static uint64_t hash_of_openssl(EVP_MAC_CTX *ctx, const uint8_t key[16], const void *bytes,
                                size_t n)
{
    uint64_t h = 0;
    size_t len;

    assert_int_equal(EVP_MAC_init(ctx, key, 16, NULL), 1);
    assert_int_equal(EVP_MAC_update(ctx, bytes, n), 1);
    assert_int_equal(EVP_MAC_final(ctx, (uint8_t *)&h, &len, sizeof(h)), 1);
    assert_int_equal(len, 8);
    return le64toh(h);
}

static void the_hash_has_the_values_of_its_reference(void **state)
{
    /* From the authors' vectors: of 00, 01 ... with the key 00 01 ... 0f. */
    static const struct {
        size_t n;
        uint64_t hash;
    } known[] = {{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd}, {2, 0x0d6c8009d9a94f5a},
                 {7, 0xab0200f58b01d137}, {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5}};
    uint8_t bytes[300], key[16];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    memcpy(key, bytes, sizeof(key));
    for (size_t i = 0; i < HFC_ARRAY_LEN(known); i++)
        assert_true(siphash24(key, bytes, known[i].n) == known[i].hash);
}

static void the_hash_agrees_with_that_of_openssl(void **state)
{
    unsigned size = 8;
    OSSL_PARAM params[] = {OSSL_PARAM_uint("size", &size), OSSL_PARAM_END};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    uint8_t bytes[300], key[16];

    (void)state;
    if (mac == NULL) {
        print_message("skipped: OpenSSL has no SipHash here\n");
        skip();
    }
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    assert_int_equal(EVP_MAC_CTX_set_params(ctx, params), 1);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 151 + 7);
    for (size_t n = 0; n < sizeof(bytes) - 16; n++) {
        memcpy(key, bytes + n, sizeof(key));
        assert_true(siphash24(key, bytes, n) == hash_of_openssl(ctx, key, bytes, n));
    }
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

/* ---- Building. ---- */

static void an_empty_tree_is_a_root(void **state)
{
    struct node n, other;

    (void)state;
    finish();
    assert_true(nametree_root(tree, &n));
    assert_int_equal(n.id, NAMETREE_ROOT);
    assert_true(n.is_directory && !n.is_ref);
    assert_int_equal(n.links, 2);
    assert_int_equal(n.name_len, 0);
    assert_true(nametree_path(tree, "", &other) && other.id == NAMETREE_ROOT);
    assert_true(nametree_by_id(tree, NAMETREE_ROOT, &other) && other.at == n.at);
    assert_false(nametree_by_id(tree, 0, &other));
    assert_false(nametree_by_id(tree, 2, &other));
    assert_false(nametree_parent(tree, &n, &other));
    assert_false(nametree_child(tree, &n, 0, &other));
    assert_false(nametree_lookup(tree, &n, "a", &other));
    assert_int_equal(nametree_names(tree), 0);
    assert_int_equal(nametree_bytes(tree), 0);
    assert_int_equal(nametree_left_out(tree), 0);
    assert_string_equal(nametree_version(tree), "v");
    nametree_builder_free(NULL);
    nametree_unref(NULL);
}

static void folders_are_made_on_the_way(void **state)
{
    struct node dir, n, up;

    (void)state;
    add("a");
    add("b/c/d");
    add("b/c/e");
    add("b/f");
    add("g/h/i/j");
    finish();
    holds("", "a,b/,g/,");
    holds("b", "c/,f,");
    holds("b/c", "d,e,");
    holds("g/h/i", "j,");
    assert_int_equal(nametree_names(tree), 10);
    assert_int_equal(nametree_bytes(tree), 5);
    assert_int_equal(node_at("").links, 4);
    assert_int_equal(node_at("b").links, 3);
    assert_int_equal(node_at("b/c").links, 2);
    assert_int_equal(node_at("a").links, 1);
    dir = node_at("b/c");
    assert_true(nametree_lookup(tree, &dir, "e", &n));
    assert_int_equal(n.id, node_at("b/c/e").id);
    assert_false(nametree_lookup(tree, &dir, "f", &n));
    assert_false(nametree_lookup(tree, &dir, "", &n));
    assert_true(nametree_parent(tree, &dir, &up) && up.id == node_at("b").id);
    assert_true(nametree_parent(tree, &up, &up) && up.id == NAMETREE_ROOT);
}

static void paths_lead_only_to_what_is_there(void **state)
{
    static const char *const nowhere[] = {"/",    "a",     "x/",  "x//y", "/x",
                                          "x/y/", "x/y/z", "x/z", ".",    ".."};

    (void)state;
    add("x/y");
    finish();
    for (size_t i = 0; i < HFC_ARRAY_LEN(nowhere); i++)
        assert_false(is_there(nowhere[i]));
    assert_true(is_there("x/y"));
}

static void a_file_is_no_folder(void **state)
{
    struct node file, n;

    (void)state;
    add("a");
    finish();
    file = node_at("a");
    assert_false(nametree_lookup(tree, &file, "b", &n));
    assert_false(nametree_child(tree, &file, 0, &n));
}

static void a_node_of_another_tree_finds_nothing(void **state)
{
    struct node n, child;

    (void)state;
    add("a/b");
    finish();
    n = node_at("a");
    n.id += 2;
    assert_false(nametree_lookup(tree, &n, "b", &child));
    assert_false(nametree_child(tree, &n, 0, &child));
    assert_false(nametree_parent(tree, &n, &child));
    n = node_at("a");
    n.at = 1000000;
    assert_false(nametree_child(tree, &n, 0, &child));
}

static void names_come_in_byte_order_though_keys_do_not(void **state)
{
    (void)state;
    add("d/a!b");
    add("d/a-");
    add("d/a-b/c");
    add("d/a.txt/x");
    add("d/a/b");
    add("d/a/c");
    add("d/a0");
    add("d/\xc3\xa4");
    finish();
    holds("d", "a/,a!b,a-,a-b/,a.txt/,a0,\xc3\xa4,");
    assert_true(is_there("d/a/b") && is_there("d/a-b/c") && is_there("d/a!b"));
}

static void many_begins_of_a_name_are_sorted(void **state)
{
    char key[HFC_KEY_MAX + 1];

    (void)state;
    /* Folders "-", "--", "---" ... each come behind the files that begin with them. */
    for (unsigned n = 250; n > 0; n--) {
        memset(key, '-', n);
        memcpy(key + n, "/x", 3);
        add(key);
    }
    finish();
    struct node root = node_at(""), child;
    for (uint32_t i = 0; i < 250; i++) {
        assert_true(nametree_child(tree, &root, i, &child));
        assert_int_equal(child.name_len, i + 1);
    }
    assert_int_equal(node_at("").links, 252);
}

static void a_key_that_is_also_a_folder_is_left_out(void **state)
{
    (void)state;
    add("a");
    add("a!");
    add("a-b");
    add("a/b");
    add("c");
    add("d/e");
    add("d/e-");
    add("d/e/f");
    finish();
    holds("", "a/,a!,a-b,c,d/,");
    holds("d", "e/,e-,");
    assert_true(node_at("a").is_directory);
    assert_int_equal(nametree_left_out(tree), 2);
    assert_int_equal(nametree_names(tree), 9);
    assert_int_equal(nametree_bytes(tree), 6);
}

static void what_no_file_system_takes_is_left_out(void **state)
{
    char name[HFC_KEY_MAX + 1];
    static const char *const bad[] = {".hfcache", ".hfcache/index", "a//b", "a/../b", "/x",
                                      "x/",       "\xff",           ""};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(bad); i++)
        add(bad[i]);
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    add(name);
    name[255] = 'n', name[256] = '\0';
    add(name);
    memcpy(name + 256, "/a", 3);
    add(name);
    memset(name, 'n', sizeof(name));
    memcpy(name, "o/", 2);
    memcpy(name + 258, "/b", 3);
    add(name);
    struct hfc_entry e = object("z", "", 1);
    add_entry(&e);
    finish();
    assert_int_equal(nametree_names(tree), 1);
    assert_int_equal(nametree_left_out(tree), HFC_ARRAY_LEN(bad) + 4);
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_true(is_there(name));
    assert_false(is_there("o"));
}

static void names_of_255_bytes_and_keys_of_1024_have_room(void **state)
{
    char key[HFC_KEY_MAX + 1], deep[HFC_KEY_MAX + 1];
    struct nametree_strings strings;
    struct blob_info info;
    struct node n;

    (void)state;
    for (size_t i = 0; i < HFC_KEY_MAX; i++)
        deep[i] = i % 2 == 0 ? 'd' : '/';
    memcpy(deep + HFC_KEY_MAX - 2, "dd", 3);
    memset(key, 'k', sizeof(key));
    key[255] = key[511] = key[767] = '/';
    key[1023] = '\0';
    add(deep);
    add(key);
    finish();
    n = node_at(key);
    assert_int_equal(n.name_len, 255);
    nametree_info(tree, &n, &strings, &info);
    assert_string_equal(info.key, key);
    n = node_at(deep);
    nametree_info(tree, &n, &strings, &info);
    assert_string_equal(info.key, deep);
    assert_int_equal(nametree_names(tree), 512 + 4);
}

static void keys_out_of_order_are_refused(void **state)
{
    static const char *const second[] = {"b", "a", "b"};

    (void)state;
    for (size_t i = 0; i < HFC_ARRAY_LEN(second); i++) {
        struct hfc_entry e = object(second[i], "e", 1);
        nametree_builder_free(builder);
        builder = nametree_builder_new(ROOM);
        add("b");
        assert_int_equal(nametree_add(builder, &e, i < 2 ? &err : NULL), -1);
        assert_int_equal(err.errnum, EBADMSG);
        assert_string_equal(err.msg, "the keys are not in the order of their bytes");
    }
}

/* ---- Ids. ---- */

/* These two paths of folders have the same hash. */
#define TWIN_A "3c93cdec83466908"
#define TWIN_B "3ea4fee8ff3fa5a0"

static void ids_never_change(void **state)
{
    static const struct {
        const char *path;
        uint64_t id;
    } known[] = {{"", 0x0000000000000001},
                 {"hub", 0x42a505e2cbbc4f7c},
                 {"hub/models--a--b", 0x63f9fd44efc85264},
                 {"hub/models--a--b/refs/main", 0xb5161eb6f204e164},
                 {"hub/models--a--b/snapshots/" COMMIT_A "/config.json", 0x65f0e9f8a4682c2a}};

    (void)state;
    struct hfc_entry e = object("hub/models--a--b/snapshots/" COMMIT_A "/config.json", MD5, 7);
    add_ref("hub/models--a--b/refs/main", COMMIT_A);
    add_entry(&e);
    finish();
    for (size_t i = 0; i < HFC_ARRAY_LEN(known); i++) {
        struct node n = node_at(known[i].path);
        if (n.id != known[i].id)
            fail_msg("%s: 0x%016llx", known[i].path, (unsigned long long)n.id);
    }
}

static uint64_t id_with(const char *etag, const char *commit)
{
    struct hfc_entry e = object("k", etag, 1);
    struct node n;

    (void)snprintf(e.commit, sizeof(e.commit), "%s", commit);
    builder = nametree_builder_new(ROOM);
    add_entry(&e);
    struct nametree *t = nametree_finish(hfc_steal_ptr(&builder), "", NULL);
    assert_true(nametree_path(t, "k", &n));
    nametree_unref(t);
    return n.id;
}

static void an_id_is_of_path_and_version(void **state)
{
    (void)state;
    nametree_builder_free(hfc_steal_ptr(&builder));
    assert_true(id_with("a", "") == id_with("a", ""));
    assert_true(id_with("a", "") != id_with("b", ""));
    assert_true(id_with("", COMMIT_A) != id_with("", COMMIT_B));
    assert_true(id_with("ignored", COMMIT_A) == id_with("", COMMIT_A));
}

static void ids_have_bit_0_clear_and_are_not_small(void **state)
{
    char key[32];
    struct node n, root;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "%04u", i);
        add(key);
    }
    finish();
    (void)nametree_root(tree, &root);
    for (uint32_t i = 0; nametree_child(tree, &root, i, &n); i++) {
        struct node same;
        assert_true((n.id & 1) == 0 && n.id >= 16);
        assert_true(nametree_by_id(tree, n.id, &same));
        assert_int_equal(same.at, n.at);
        assert_false(nametree_by_id(tree, n.id | 1, &same));
    }
}

static void of_two_names_with_one_id_the_second_is_left_out(void **state)
{
    struct node n, child;

    (void)state;
    add(TWIN_A "/x");
    add(TWIN_B "/a/b");
    add(TWIN_B "/y");
    add("z");
    finish();
    assert_true(is_there(TWIN_A "/x") && is_there("z"));
    assert_false(is_there(TWIN_B) || is_there(TWIN_B "/y") || is_there(TWIN_B "/a/b"));
    holds("", TWIN_A "/,z,");
    assert_int_equal(nametree_left_out(tree), 4);
    assert_int_equal(nametree_names(tree), 3);
    assert_int_equal(nametree_bytes(tree), 2);
    assert_int_equal(node_at("").links, 3);
    n = node_at(TWIN_A);
    assert_true(nametree_by_id(tree, n.id, &child));
    assert_int_equal(child.at, n.at);
}

/* ---- What is known of files. ---- */

static void check_etag(const char *etag, size_t record)
{
    struct hfc_entry e = object("k", etag, INT64_MAX);
    struct nametree_strings strings;
    struct blob_info info;
    size_t len;

    builder = nametree_builder_new(ROOM);
    add_entry(&e);
    finish();
    struct node n = node_at("k");
    nametree_info(tree, &n, &strings, &info);
    assert_string_equal(info.etag, etag);
    assert_string_equal(info.key, "k");
    assert_true(info.size == INT64_MAX && info.id == n.id);
    assert_false(info.meta.has_sha256 || info.meta.has_git_sha1);
    (void)tree_record(tree, tree_node_at(tree, n.at)->record, &len);
    assert_int_equal(len, record);
    nametree_unref(hfc_steal_ptr(&tree));
}

static void etags_are_kept_exactly_and_those_of_s3_in_short(void **state)
{
    char longest[HFC_ETAG_MAX];

    (void)state;
    nametree_builder_free(hfc_steal_ptr(&builder));
    memset(longest, 'e', sizeof(longest));
    longest[HFC_ETAG_MAX - 1] = '\0';
    check_etag(MD5, 17);
    check_etag(MD5 "-1", 21);
    check_etag(MD5 "-10000", 21);
    check_etag(MD5 "-4294967295", 21);
    check_etag(MD5 "-0", 21);
    check_etag("x", 2);
    check_etag(longest, 80);
    /* These only look like one. */
    check_etag(MD5 "-4294967296", 44);
    check_etag(MD5 "-99999999999999999999999", 57);
    check_etag(MD5 "-01", 36);
    check_etag(MD5 "-", 34);
    check_etag(MD5 "-1x", 36);
    check_etag(MD5 "-+1", 36);
    check_etag(MD5 "x1", 35);
    check_etag(MD5 "1", 34);
    check_etag("5F3A9C0D1E2B4A69788796A5B4C3D2E1", 33);
    check_etag("5f3a9c0d1e2b4a69788796a5b4c3d2e", 32);
}

static void of_two_digests_sha256_is_kept(void **state)
{
    struct hfc_entry e = object("a", MD5 "-2", 5);
    struct nametree_strings strings;
    struct blob_info info;

    (void)state;
    memset(e.meta.sha256, 0xaa, sizeof(e.meta.sha256));
    memset(e.meta.git_sha1, 0xbb, sizeof(e.meta.git_sha1));
    e.meta.has_sha256 = e.meta.has_git_sha1 = true;
    add_entry(&e);
    e.key = "b", e.etag = "text";
    e.meta.has_sha256 = false;
    add_entry(&e);
    e.key = "c";
    e.meta.has_sha256 = true, e.meta.has_git_sha1 = false;
    add_entry(&e);
    finish();
    struct node n = node_at("a");
    nametree_info(tree, &n, &strings, &info);
    assert_true(info.meta.has_sha256 && !info.meta.has_git_sha1);
    assert_memory_equal(info.meta.sha256, e.meta.sha256, HFC_SHA256_SIZE);
    assert_string_equal(info.etag, MD5 "-2");
    n = node_at("b");
    nametree_info(tree, &n, &strings, &info);
    assert_true(!info.meta.has_sha256 && info.meta.has_git_sha1);
    assert_memory_equal(info.meta.git_sha1, e.meta.git_sha1, HFC_SHA1_SIZE);
    assert_string_equal(info.etag, "text");
    n = node_at("c");
    nametree_info(tree, &n, &strings, &info);
    assert_true(info.meta.has_sha256 && !info.meta.has_git_sha1);
}

static void a_ref_is_its_commit(void **state)
{
    struct nametree_strings strings;
    struct blob_info info;
    struct node n;

    (void)state;
    add("hub/m/refs/a");
    add_ref("hub/m/refs/main", COMMIT_A);
    add_ref("hub/m/refs/pr/1", COMMIT_B);
    add("hub/x");
    finish();
    n = node_at("hub/m/refs/main");
    assert_true(n.is_ref && !n.is_directory);
    assert_string_equal(n.commit, COMMIT_A);
    assert_int_equal(n.size, 40);
    assert_int_equal(n.links, 1);
    nametree_info(tree, &n, &strings, &info);
    assert_string_equal(info.key, "hub/m/refs/main");
    assert_string_equal(info.etag, COMMIT_A);
    n = node_at("hub/m/refs/pr");
    nametree_info(tree, &n, &strings, &info);
    assert_string_equal(info.key, "hub/m/refs/pr");
    assert_string_equal(info.etag, "");
    assert_int_equal(nametree_bytes(tree), 82);
    uint32_t at = 0;
    assert_true(nametree_next_ref(tree, &at, &n) && n.id == node_at("hub/m/refs/main").id);
    assert_true(nametree_next_ref(tree, &at, &n) && n.id == node_at("hub/m/refs/pr/1").id);
    assert_string_equal(n.commit, COMMIT_B);
    assert_false(nametree_next_ref(tree, &at, &n));
}

static void a_ref_that_is_left_out_is_no_ref(void **state)
{
    struct node n;
    uint32_t at = 0;

    (void)state;
    add_ref("a", COMMIT_A);
    add("a/b");
    finish();
    assert_false(nametree_next_ref(tree, &at, &n));
}

static void a_sum_of_sizes_beyond_64_bits_stays_the_largest(void **state)
{
    struct hfc_entry e = object("a", "e", INT64_MAX);

    (void)state;
    add_entry(&e);
    e.key = "b";
    add_entry(&e);
    e.key = "c";
    add_entry(&e);
    finish();
    assert_true(nametree_bytes(tree) == UINT64_MAX);
}

/* ---- Memory. ---- */

enum { MANY = 100000, FILES = 25 };

static unsigned mixed(unsigned i)
{
    return i * 2654435761U >> 7;
}

/* The i-th of a bucket with two snapshots a model, as the Hub's names are. */
static void add_of_many(unsigned i)
{
    char key[HFC_KEY_MAX + 1], etag[HFC_ETAG_MAX];
    unsigned snapshot = i / FILES, file = i % FILES, content = snapshot / 2 * FILES + file;
    struct hfc_entry e = {.key = key, .etag = etag, .size = content};
    uint8_t digest[HFC_SHA256_SIZE];

    (void)snprintf(key, sizeof(key),
                   "hub/models--org-%03u--name-%05u/snapshots/%02u%08x%08x%08x%08xabcdef/"
                   "%s%05u-of-%05u.safetensors",
                   snapshot / 200, snapshot / 2, snapshot % 2, mixed(snapshot), mixed(snapshot + 1),
                   mixed(snapshot + 2), mixed(snapshot + 3),
                   file >= 20 ? "original/consolidated-" : "model-", file, FILES);
    hfc_hash_of(HFC_SHA256, &content, sizeof(content), digest);
    hfc_hex(digest, HFC_MD5_SIZE, etag);
    if (file % 2 == 0)
        (void)snprintf(etag + 32, 10, "-%u", 1 + file);
    memcpy(e.meta.sha256, digest, sizeof(digest));
    e.meta.has_sha256 = true;
    add_entry(&e);
}

static void a_hundred_thousand_names_take_less_than_10_mib(void **state)
{
    (void)state;
    nametree_builder_free(builder);
    builder = nametree_builder_new(10 * 1024 * 1024);
    for (unsigned i = 0; i < MANY; i++)
        add_of_many(i);
    finish();
    assert_int_equal(nametree_left_out(tree), 0);
    assert_true(nametree_names(tree) > MANY);
    print_message("%zu names: %zu bytes\n", nametree_names(tree), nametree_memory(tree));
    assert_true(nametree_memory(tree) < 10 * 1024 * 1024);
    /* What the header says. */
    size_t rest = ((size_t)NAMETREE_NAME + 1) * nametree_names(tree) + 64 * 1024;
    assert_true(nametree_memory(tree) <= rest + tree->pool.size);
}

/* A string of its own for each name, so that nothing is shared. */
static int add_alone(unsigned i)
{
    char key[64] = "", etag[64] = "";
    struct hfc_entry e = object(key, etag, 1);

    (void)snprintf(key, sizeof(key), "%06u-a-name-of-some-length", i);
    (void)snprintf(etag, sizeof(etag), "etag-%06u", i);
    return nametree_add(builder, &e, &err);
}

static void the_cap_holds_and_is_nearly_all_of_use(void **state)
{
    nametree_builder_free(hfc_steal_ptr(&builder));
    (void)state;
    for (size_t max = 100000; max < 1000000; max += 100001) {
        unsigned n = 0;
        builder = nametree_builder_new(max);
        while (add_alone(n) == 0)
            n++;
        assert_int_equal(err.errnum, ENOMEM);
        assert_non_null(strstr(err.msg, "--memory"));
        assert_true(n * (NAMETREE_NAME + 31 + 12UL) > (max - 70000) / 10 * 9);
        nametree_builder_free(builder);
        builder = nametree_builder_new(max);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(add_alone(i), 0);
        finish();
        assert_true(nametree_memory(tree) <= max);
        assert_int_equal(nametree_names(tree), n);
        nametree_unref(hfc_steal_ptr(&tree));
    }
}

static void whoever_goes_on_learns_how_much_is_needed(void **state)
{
    size_t needed = 0, objects = 0;
    unsigned i = 0;

    (void)state;
    nametree_builder_free(builder);
    builder = nametree_builder_new(200000);
    for (; i < 20000; i++)
        (void)add_alone(i);
    assert_null(nametree_finish(hfc_steal_ptr(&builder), "", &err));
    assert_int_equal(err.errnum, ENOMEM);
    assert_int_equal(
        sscanf(err.msg, "the names of %zu objects take about %zu bytes", &objects, &needed), 2);
    assert_int_equal(objects, 20000);
    builder = nametree_builder_new(needed);
    for (i = 0; i < 20000; i++)
        assert_int_equal(add_alone(i), 0);
    finish();
    assert_true(nametree_memory(tree) > needed / 10 * 8);
    builder = nametree_builder_new(1);
    assert_int_equal(add_alone(0), -1);
    assert_null(nametree_finish(hfc_steal_ptr(&builder), "", NULL));
    builder = nametree_builder_new(1);
    struct hfc_entry e = object("k", "e", 1);
    assert_int_equal(nametree_add(builder, &e, NULL), -1);
}

static void memory_that_the_system_refuses_is_no_memory(void **state)
{
    struct rlimit old, none;
    unsigned i = 0;

    (void)state;
#ifdef HFC_SANITIZED
    print_message("skipped: sanitizers need their own memory\n");
    skip();
#endif
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    none = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    while (add_alone(i) == 0)
        i++;
    nametree_builder_free(hfc_steal_ptr(&builder));
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_int_equal(err.errnum, ENOMEM);
    builder = nametree_builder_new(ROOM);
    for (unsigned n = 0; n < i; n++)
        assert_int_equal(add_alone(n), 0);
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    tree = nametree_finish(hfc_steal_ptr(&builder), "", &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_null(tree);
    assert_string_equal(err.msg, "the tables of the tree: Cannot allocate memory");
}

/* ---- Against a model that can't be wrong. ---- */

enum { MODEL_KEYS = 400 };

static char model[MODEL_KEYS][64];

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static size_t make_model(unsigned *seed)
{
    static const char letters[] = "a-.b0";
    size_t n = 0;

    for (size_t i = 0; i < MODEL_KEYS; i++) {
        size_t len = 0;
        unsigned depth = 1 + (unsigned)rand_r(seed) % 4;
        for (unsigned d = 0; d < depth; d++) {
            model[i][len++] = d == 0 ? 'x' : '/';
            model[i][len++] = 'a';
            for (unsigned k = (unsigned)rand_r(seed) % 3; k > 0; k--)
                model[i][len++] = letters[(unsigned)rand_r(seed) % 5];
        }
        model[i][len] = '\0';
    }
    qsort(model, MODEL_KEYS, sizeof(model[0]), by_text);
    for (size_t i = 0; i < MODEL_KEYS; i++)
        if (n == 0 || strcmp(model[n - 1], model[i]) != 0)
            memmove(model[n++], model[i], sizeof(model[i]));
    return n;
}

static bool is_model_folder(const char *path, size_t n)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < n; i++)
        if (strncmp(model[i], path, len) == 0 && model[i][len] == '/')
            return true;
    return false;
}

/* Everything below a folder is what a walk finds; returns how many files. */
static size_t walk(const struct node *dir, const char *path, size_t n)
{
    struct node child, same, last = {0};
    size_t files = 0;

    for (uint32_t i = 0; nametree_child(tree, dir, i, &child); i++) {
        char at[128];
        (void)snprintf(at, sizeof(at), "%s%s%.*s", path, *path != '\0' ? "/" : "",
                       (int)child.name_len, child.name);
        assert_true(child.is_directory == is_model_folder(at, n));
        assert_true(child.is_directory || bsearch(at, model, n, sizeof(model[0]), by_text) != NULL);
        assert_true(i == 0 ||
                    tree_compare_names(last.name, last.name_len, child.name, child.name_len) < 0);
        assert_true(nametree_path(tree, at, &same) && same.at == child.at);
        assert_true(nametree_by_id(tree, child.id, &same) && same.at == child.at);
        assert_true(nametree_parent(tree, &child, &same) && same.at == dir->at);
        files += child.is_directory ? walk(&child, at, n) : 1;
        last = child;
    }
    return files;
}

static void any_set_of_keys_gives_what_a_model_has(void **state)
{
    unsigned seed = (unsigned)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    nametree_builder_free(hfc_steal_ptr(&builder));
    for (unsigned round = 0; round < 200; round++) {
        size_t n = make_model(&seed), files = n;
        struct node root;
        builder = nametree_builder_new(ROOM);
        for (size_t i = 0; i < n; i++) {
            add(model[i]);
            files -= is_model_folder(model[i], n);
        }
        finish();
        (void)nametree_root(tree, &root);
        assert_int_equal(walk(&root, "", n), files);
        assert_int_equal(nametree_left_out(tree), n - files);
        nametree_unref(hfc_steal_ptr(&tree));
    }
}

/* ---- Threads. ---- */

static void *hold(void *arg)
{
    struct nametree *t = arg;
    struct node n;

    for (unsigned i = 0; i < 10000; i++) {
        struct nametree *mine = nametree_ref(t);
        if (!nametree_path(mine, "a/b", &n))
            abort();
        nametree_unref(mine);
    }
    nametree_unref(t);
    return NULL;
}

static void the_last_of_many_threads_frees_it(void **state)
{
    pthread_t threads[4];

    (void)state;
    add("a/b");
    finish();
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold, nametree_ref(tree)), 0);
    nametree_unref(hfc_steal_ptr(&tree));
    for (size_t i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_hash_has_the_values_of_its_reference),
        T(the_hash_agrees_with_that_of_openssl),
        T(an_empty_tree_is_a_root),
        T(folders_are_made_on_the_way),
        T(paths_lead_only_to_what_is_there),
        T(a_file_is_no_folder),
        T(a_node_of_another_tree_finds_nothing),
        T(names_come_in_byte_order_though_keys_do_not),
        T(many_begins_of_a_name_are_sorted),
        T(a_key_that_is_also_a_folder_is_left_out),
        T(what_no_file_system_takes_is_left_out),
        T(names_of_255_bytes_and_keys_of_1024_have_room),
        T(keys_out_of_order_are_refused),
        T(ids_never_change),
        T(an_id_is_of_path_and_version),
        T(ids_have_bit_0_clear_and_are_not_small),
        T(of_two_names_with_one_id_the_second_is_left_out),
        T(etags_are_kept_exactly_and_those_of_s3_in_short),
        T(of_two_digests_sha256_is_kept),
        T(a_ref_is_its_commit),
        T(a_ref_that_is_left_out_is_no_ref),
        T(a_sum_of_sizes_beyond_64_bits_stays_the_largest),
        T(a_hundred_thousand_names_take_less_than_10_mib),
        T(the_cap_holds_and_is_nearly_all_of_use),
        T(whoever_goes_on_learns_how_much_is_needed),
        T(memory_that_the_system_refuses_is_no_memory),
        T(any_set_of_keys_gives_what_a_model_has),
        T(the_last_of_many_threads_frees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
