/* cache_check.h: a cache in a temporary directory, blobs with known content, and faults.
 *
 * The program's fault points come here instead: a test says what happens at one. Content is made
 * from id and block, so that it need not be kept to be checked.
 */
#ifndef TESTS_CACHE_CHECK_H
#define TESTS_CACHE_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#undef BLOCK_SIZE /* of <sys/mount.h> */

#include "blob_map.h"
#include "cache.h"
#include "fault.h"
#include "memory_plan.h"
#include "metrics.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define BLOCK ((uint64_t)BLOCK_SIZE)

enum { CHECK_BLOBS = 4096, CHECK_FILES = 8 };

/* What is to happen at a point; NULL: nothing. Returns an errno value. Set before threads start. */
static int (*fault_hook)(enum fault_point point);

int fault_at(enum fault_point point)
{
    return fault_hook != NULL ? fault_hook(point) : 0;
}

void fault_setup(struct shared *shared)
{
    (void)shared;
}

struct check {
    char root[64], path[80];
    struct cache_config config;
    struct cache *cache;
    uint8_t *block;
    struct hfc_error err;
};

static inline void check_open(struct check *t)
{
    t->config.directory = t->path;
    t->cache = cache_open(&t->config, 0, &t->err);
    if (t->cache == NULL)
        fail_msg("%s", t->err.msg);
}

static inline void check_close(struct check *t)
{
    cache_close(t->cache);
    t->cache = NULL;
}

static inline void check_reopen(struct check *t)
{
    check_close(t);
    check_open(t);
}

/* A directory in which "cache" is yet to be made. */
static inline struct check check_new(uint64_t limit)
{
    struct check t = {
        .root = "/tmp/hfcache-test-XXXXXX",
        .config = {.limit = limit, .blobs_max = CHECK_BLOBS, .files_max = CHECK_FILES}};

    fault_hook = NULL;
    assert_non_null(mkdtemp(t.root));
    (void)snprintf(t.path, sizeof(t.path), "%s/cache", t.root);
    t.block = aligned_alloc(4096, BLOCK_SIZE);
    assert_non_null(t.block);
    return t;
}

static inline struct check check_begin(uint64_t limit)
{
    struct check t = check_new(limit);

    check_open(&t);
    return t;
}

static inline int check_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline void check_end(struct check *t)
{
    fault_hook = NULL;
    check_close(t);
    free(t->block);
    assert_int_equal(nftw(t->root, check_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* What du(1) says. */
static uint64_t du_sum;

static inline int du_add(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)path, (void)kind, (void)at;
    du_sum += (uint64_t)st->st_blocks * 512;
    return 0;
}

static inline uint64_t du(const struct check *t)
{
    du_sum = 0;
    assert_int_equal(nftw(t->path, du_add, 16, FTW_PHYS), 0);
    return du_sum;
}

static inline struct cache_stats stats_of(const struct check *t)
{
    struct cache_stats s;

    cache_stats(t->cache, &s);
    return s;
}

static inline void assert_used_is_true(const struct check *t)
{
    uint64_t used = stats_of(t).used; /* makes room, so it comes first */

    assert_int_equal(used, du(t));
}

/* The ids of tests look like real ones in that they are spread, and even. */
static inline uint64_t id_of(unsigned n)
{
    return (n + 1) * 0x123456789abcdefULL << 1;
}

/* With a key of its own: ids are computed from keys. */
static inline struct blob *use(const struct check *t, unsigned n, uint64_t size)
{
    char key[64];
    struct blob_info info = {
        .id = id_of(n), .size = size, .key = key, .etag = "0123456789abcdef-2"};

    (void)snprintf(key, sizeof(key), "hub/models--a--b/snapshots/c/file-%u", n);
    struct blob *b = blob_use(t->cache, &info);
    assert_non_null(b);
    return b;
}

/* The bytes of a block; beyond `size` nothing is touched. */
static inline void content(uint64_t id, uint32_t block, uint8_t *to, uint32_t size)
{
    uint64_t x = (id ^ (uint64_t)block << 32) * 0x9e3779b97f4a7c15ULL | 1;

    for (uint32_t i = 0; i < size; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(to + i, &x, size - i < 8 ? size - i : 8);
    }
}

static inline enum blob_result put_from(struct blob *b, uint32_t block, uint8_t *buffer)
{
    content(blob_info(b)->id, block, buffer, blob_block_size(b, block));
    return blob_write(b, block, buffer);
}

static inline enum blob_result put(const struct check *t, struct blob *b, uint32_t block)
{
    return put_from(b, block, t->block);
}

static inline bool is_right(const struct blob *b, uint32_t block, const uint8_t *bytes)
{
    uint32_t size = blob_block_size(b, block);
    uint8_t *right = malloc(BLOCK_SIZE);

    assert_non_null(right);
    content(blob_info(b)->id, block, right, size);
    bool same = memcmp(bytes, right, size) == 0;
    free(right);
    return same;
}

/* Reads a block, and fails if what comes is wrong. */
static inline enum blob_result get(const struct check *t, struct blob *b, uint32_t block)
{
    memset(t->block, 0xa5, BLOCK_SIZE);
    enum blob_result r = blob_read(b, block, t->block);
    if (r == BLOB_OK)
        assert_true(is_right(b, block, t->block));
    return r;
}

/* A blob with all its blocks; not used any more. */
static inline void fill(const struct check *t, unsigned n, uint64_t size)
{
    struct blob *b = use(t, n, size);

    for (uint32_t i = 0; i < blob_blocks(b); i++)
        assert_int_equal(put(t, b, i), BLOB_OK);
    blob_done(b);
}

static inline bool has(const struct check *t, unsigned n)
{
    uint64_t bytes;

    return cache_has(t->cache, id_of(n), &bytes);
}

static inline const char *file_of(const struct check *t, unsigned n, const char *suffix)
{
    static char path[160];

    (void)snprintf(path, sizeof(path), "%s/blobs/%016llx%s", t->path, (unsigned long long)id_of(n),
                   suffix);
    return path;
}

/* Flips bits of a file behind the cache's back. */
static inline void damage(const char *path, off_t at, uint8_t bits)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

/* Runs `body` in a process of its own, in whose mount namespace a file system is mounted at the
 * cache's directory; skips where that is not allowed. */
static inline void with_mount(struct check *t, const char *type, const char *options,
                              void (*body)(struct check *t))
{
    enum { NOT_ALLOWED = 77 };

    assert_int_equal(mkdir(t->path, 0700), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int flags = CLONE_NEWNS | (geteuid() != 0 ? CLONE_NEWUSER : 0);
        if (unshare(flags) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", t->path, type, 0, options) < 0)
            _exit(NOT_ALLOWED);
        body(t);
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED) {
        print_message("skipped: no mount of a %s is allowed here\n", type);
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#endif
