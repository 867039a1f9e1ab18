/* catalog_bucket.h: a bucket in memory, a cache directory, and a catalog on them, for its tests.
 *
 * The bucket has an index (`bucket.index`) or objects; it fails, or does not answer, where it is
 * told to. A look is waited for by look(); what it told is in `seen`. Log lines go to `lines` where
 * a test asks for them.
 */
#ifndef TESTS_CATALOG_BUCKET_H
#define TESTS_CATALOG_BUCKET_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "catalog.h"
#include "catalog_internal.h"
#include "cleanup.h"
#include "file.h"
#include "metrics.h"
#include "store_internal.h"

#define COMMIT_A "0123456789abcdef0123456789abcdef01234567"
#define COMMIT_B "89abcdef0123456789abcdef0123456789abcdef"
#define OBJECT(key) "object 1 e - - " key "\n"

enum { ROOM = 64 * 1024 * 1024, PIECE = 7 };

struct bucket_object {
    const char *key, *etag;
    uint64_t size;
};

static struct bucket {
    struct hfc_store base;
    struct hfc_buf index; /* empty: there is none */
    const char *etag;
    const struct bucket_object *objects;
    size_t n;
    bool with_index;
    int fail_get, fail_list; /* errno */
    size_t fail_after;       /* bytes of the index that come before fail_get */
    bool hold;               /* no request ends */
    unsigned gets, lists;
    char condition[HFC_ETAG_MAX]; /* of the last GET */
    struct hfc_store_op *held;
} bucket;

static struct seen {
    bool done, changed, failed;
    unsigned looks;
    struct hfc_error err;
} seen;

static char dir[64];
static int dir_fd;
static struct hfc_loop *loop;
static struct catalog *catalog;
static struct hfc_error err;

/* ---- The bucket. ---- */

static inline void bucket_end(struct hfc_store_op *op, const char *etag, int errnum)
{
    struct hfc_store_reply reply = {0};
    struct hfc_error why;

    (void)snprintf(reply.object.etag, sizeof(reply.object.etag), "%s", etag);
    if (errnum != 0)
        (void)hfc_error_set(&why, errnum, "mem://bucket");
    hfc_store_op_end(op, &reply, errnum != 0 ? &why : NULL);
}

static inline void bucket_get(struct hfc_store_op *op)
{
    bucket.gets++;
    (void)snprintf(bucket.condition, sizeof(bucket.condition), "%s",
                   op->if_none_match != NULL ? op->if_none_match : "");
    assert_string_equal(op->key, HFC_INDEX_KEY);
    bucket.held = op;
    if (bucket.hold)
        return;
    size_t end = bucket.fail_get != 0 ? bucket.fail_after : bucket.index.len;
    int errnum = bucket.fail_get;
    if (errnum == 0 && !bucket.with_index)
        errnum = ENOENT;
    if (errnum == 0 && op->if_none_match != NULL && strcmp(op->if_none_match, bucket.etag) == 0)
        errnum = EALREADY;
    size_t step = end > 100000 ? 65536 : PIECE;
    for (size_t at = 0; at < end && (errnum == 0 || errnum == bucket.fail_get); at += step)
        if (op->call.data(op->ctx, bucket.index.data + at, end - at < step ? end - at : step) ==
            HFC_FLOW_STOP) {
            errnum = ECANCELED;
            break;
        }
    bucket_end(op, bucket.etag, errnum);
}

static inline void bucket_list(struct hfc_store_op *op)
{
    struct hfc_object object = {0};

    bucket.lists++;
    assert_string_equal(op->key, "");
    for (size_t i = 0; i < bucket.n; i++) {
        object.size = bucket.objects[i].size;
        (void)snprintf(object.etag, sizeof(object.etag), "%s", bucket.objects[i].etag);
        op->call.item(op->ctx, bucket.objects[i].key, &object);
    }
    bucket_end(op, "", bucket.fail_list);
}

static inline void bucket_nothing(struct hfc_store_op *op)
{
    (void)op;
}

static inline void bucket_closed(struct hfc_store *s)
{
    (void)s;
}

static inline void bucket_open(void)
{
    static const struct hfc_store_backend backend = {
        .op_size = sizeof(struct hfc_store_op),
        .start = {[HFC_OP_GET] = bucket_get, [HFC_OP_LIST] = bucket_list},
        .resume = bucket_nothing,
        .release = bucket_nothing,
        .close = bucket_closed};
    const struct hfc_store_config config = {0};

    hfc_store_init(&bucket.base, &backend, loop, "mem://bucket", "", &config);
}

/* Puts the lines that an index has around `lines`. */
static inline void index_text(struct hfc_buf *to, const char *lines)
{
    uint8_t digest[HFC_SHA256_SIZE];
    char hex[HFC_HEX_MAX];
    size_t n = 0;

    hfc_buf_reset(to);
    hfc_buf_printf(to, "hfcache-index 1\n%s", lines);
    for (size_t i = 0; i < to->len; i++)
        n += to->data[i] == '\n';
    hfc_hash_of(HFC_SHA256, to->data, to->len, digest);
    hfc_hex(digest, sizeof(digest), hex);
    hfc_buf_printf(to, "end %zu %s\n", n, hex);
    assert_false(hfc_buf_failed(to));
}

static inline void set_index(const char *etag, const char *lines)
{
    bucket.etag = etag;
    bucket.with_index = true;
    index_text(&bucket.index, lines);
}

/* ---- The catalog. ---- */

static inline void looked(void *ctx, bool changed, const struct hfc_error *error)
{
    (void)ctx;
    seen.done = true;
    seen.changed = changed;
    seen.failed = error != NULL;
    seen.looks++;
    if (error != NULL)
        seen.err = *error;
}

static inline void start_catalog(size_t tree_max, int directory)
{
    const struct catalog_config config = {.loop = loop,
                                          .directory = directory,
                                          .tree_max = tree_max,
                                          .interval = 1000,
                                          .looked = looked};

    catalog = catalog_new(&config);
}

static inline void stop_catalog(void)
{
    if (catalog != NULL)
        catalog_use_store(catalog, NULL);
    hfc_store_close(&bucket.base);
    catalog_free(hfc_steal_ptr(&catalog));
    bucket_open();
}

static inline void restart(void)
{
    stop_catalog();
    start_catalog(ROOM, dir_fd);
}

static inline void wait_for_look(void)
{
    seen.done = false;
    if (hfc_loop_run(loop, &seen.done, &err) < 0)
        fail_msg("%s", err.msg);
}

/* A store that is given anew is looked at at once. */
static inline void look(void)
{
    catalog_use_store(catalog, &bucket.base);
    wait_for_look();
}

static inline void look_well(bool changed)
{
    look();
    if (seen.failed)
        fail_msg("%s", seen.err.msg);
    assert_int_equal(seen.changed, changed);
}

static inline void look_fails(int errnum, const char *message)
{
    look();
    assert_true(seen.failed && !seen.changed);
    if (strstr(seen.err.msg, message) == NULL || seen.err.errnum != errnum)
        fail_msg("%s (%d)", seen.err.msg, seen.err.errnum);
}

static inline bool shows(const char *path)
{
    struct nametree *t = catalog_tree(catalog);
    struct node n;
    bool found = t != NULL && nametree_path(t, path, &n);

    nametree_unref(t);
    return found;
}

/* ---- The directory. ---- */

static inline void read_file(const char *name, struct hfc_buf *to)
{
    hfc_buf_reset(to);
    if (hfc_file_read(dir_fd, name, to, &err) < 0)
        fail_msg("%s", err.msg);
}

static inline bool has_file(const char *name)
{
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void put_file(const char *name, const char *bytes, size_t n)
{
    (void)unlinkat(dir_fd, name, 0);
    assert_int_equal(hfc_file_create(dir_fd, name, bytes, n, 0600, &err), 0);
}

/* ---- Around each test. ---- */

static inline int setup(void **state)
{
    (void)state;
    err = (struct hfc_error){0};
    memset(&bucket, 0, sizeof(bucket));
    memset(&seen, 0, sizeof(seen));
    bucket.etag = "";
    hfc_buf_init(&bucket.index, ROOM);
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-catalog-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    loop = hfc_loop_new(&err);
    bucket_open();
    start_catalog(ROOM, dir_fd);
    return dir_fd >= 0 && loop != NULL ? 0 : -1;
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline int teardown(void **state)
{
    (void)state;
    stop_catalog();
    hfc_store_close(&bucket.base);
    hfc_loop_free(loop);
    hfc_buf_free(&bucket.index);
    (void)close(dir_fd);
    (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* ---- The log. ---- */

/* Standard error goes to a file from log_begin() to log_end(), which adds what stands in it. */
static inline int log_begin(void)
{
    hfc_autoclose int file = openat(dir_fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int saved = dup(STDERR_FILENO);

    assert_true(file >= 0 && saved >= 0 && dup2(file, STDERR_FILENO) >= 0);
    return saved;
}

static inline void log_end(int saved, struct hfc_buf *lines)
{
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    read_file("log", lines);
}

#endif
