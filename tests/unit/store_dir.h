/* store_dir.h: a store in a temporary directory, for tests of the directory backend. Calls of the
 * store as functions that return when they are done; a child process with a sandbox in which system
 * calls fail as told.
 */
#ifndef TESTS_STORE_DIR_H
#define TESTS_STORE_DIR_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "loop.h"
#include "store.h"
#include "upload.h"

enum { ROOM = 256 * 1024 * 1024 };

static char dir[64]; /* holds `s`, the store's directory, and what lies outside of it */
static char url[96];
static struct hfc_loop *loop;
static struct hfc_store *store;
static struct hfc_error err;

/* How the last operation ended. */
static struct {
    bool done, ok;
    struct hfc_object object;
    char id[80];
    struct hfc_error err;
} end;

static struct hfc_buf got;    /* by get: bytes; by lists: "KEY SIZE\n" and the like */
static struct hfc_buf logged; /* lines */

static void keep_line(void *ctx, const char *line)
{
    (void)ctx;
    hfc_buf_printf(&logged, "%s\n", line);
}

static void open_store(void)
{
    struct hfc_store_config config = {.log = keep_line};

    store = hfc_store_open(loop, url, &config, &err);
    if (store == NULL)
        fail_msg("%s", err.msg);
}

static void reopen_store(void)
{
    hfc_store_close(store);
    open_store();
}

static int setup(void **state)
{
    (void)state;
    memset(&end, 0, sizeof(end));
    hfc_buf_init(&got, ROOM);
    hfc_buf_init(&logged, ROOM);
    (void)snprintf(dir, sizeof(dir), "/tmp/hfc-test-store-XXXXXX");
    if (mkdtemp(dir) == NULL || chdir(dir) < 0 || mkdir("s", 0777) < 0)
        return -1;
    (void)snprintf(url, sizeof(url), "file://%s/s", dir);
    loop = hfc_loop_new(&err);
    open_store();
    return loop != NULL ? 0 : -1;
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    hfc_store_close(store);
    hfc_loop_free(loop);
    hfc_buf_free(&got);
    hfc_buf_free(&logged);
    return chdir("/") < 0 ? -1 : nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Operations. ---- */

static void on_done(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *error)
{
    (void)ctx;
    end.done = true;
    end.ok = error == NULL;
    end.object = reply->object;
    if (error != NULL)
        end.err = *error;
    if (reply->upload_id != NULL)
        (void)snprintf(end.id, sizeof(end.id), "%s", reply->upload_id);
}

/* Runs the loop to the end of the operation. True: success. */
static bool wait_for(struct hfc_store_op *op)
{
    (void)op;
    end.done = end.ok = false;
    end.err = (struct hfc_error){0};
    return hfc_loop_run(loop, &end.done, &err) == 0 && end.ok;
}

#define assert_ok(op)                                                                              \
    do {                                                                                           \
        if (!wait_for(op))                                                                         \
            fail_msg("%s", end.err.msg);                                                           \
    } while (0)

#define assert_fails(op, number)                                                                   \
    do {                                                                                           \
        assert_false(wait_for(op));                                                                \
        if (end.err.errnum != (number))                                                            \
            fail_msg("%s (%d, not %d)", end.err.msg, end.err.errnum, number);                      \
    } while (0)

/* One body at a time. */
static struct hfc_memory_body memory;

static struct hfc_put put_of(const char *key, const void *bytes, size_t n)
{
    memory = (struct hfc_memory_body){bytes, n};
    return (struct hfc_put){.key = key, .body = hfc_body_of(&memory, NULL)};
}

static inline struct hfc_store_op *start_put(const char *key, const void *bytes, size_t n)
{
    struct hfc_put put = put_of(key, bytes, n);

    return hfc_store_put(store, &put, on_done, NULL);
}

static inline struct hfc_store_op *start_text(const char *key, const char *text)
{
    return start_put(key, text, strlen(text));
}

static inline void put_text(const char *key, const char *text)
{
    assert_ok(start_text(key, text));
}

static inline enum hfc_flow on_data(void *ctx, const void *bytes, size_t n)
{
    (void)ctx;
    hfc_buf_add(&got, bytes, n);
    return HFC_FLOW_ON;
}

static inline struct hfc_store_op *start_get(const char *key)
{
    struct hfc_get get = {.key = key};

    hfc_buf_reset(&got);
    return hfc_store_get(store, &get, on_data, on_done, NULL);
}

static inline void holds(const char *key, const char *text)
{
    assert_ok(start_get(key));
    assert_string_equal(got.data, text);
}

static inline struct hfc_store_op *start_head(const char *key)
{
    return hfc_store_head(store, key, on_done, NULL);
}

static inline struct hfc_store_op *start_delete(const char *key)
{
    return hfc_store_delete(store, key, on_done, NULL);
}

static inline void on_item(void *ctx, const char *key, const struct hfc_object *object)
{
    (void)ctx, (void)object;
    hfc_buf_printf(&got, "%s\n", key);
}

static inline struct hfc_store_op *start_list(const char *prefix)
{
    hfc_buf_reset(&got);
    return hfc_store_list(store, prefix, on_item, on_done, NULL);
}

static inline void lists(const char *prefix, const char *keys)
{
    assert_ok(start_list(prefix));
    assert_string_equal(got.data, keys);
}

/* ---- Files. ---- */

static inline void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static inline bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* How many files and folders there are in a folder. */
static inline unsigned count_in(const char *path)
{
    hfc_autoclosedir DIR *d = opendir(path);
    unsigned n = 0;

    while (d != NULL && readdir(d) != NULL)
        n++;
    return n > 2 ? n - 2 : 0;
}

/* Nothing but the lock is in the store's own folder. */
static inline void no_leftovers(void)
{
    assert_int_equal(count_in("s/.hfcache-uploads"), exists("s/.hfcache-uploads/lock"));
}

/* ---- A sandbox. ---- */

/* From here on, each call of `number` fails with `errnum`. False: not possible here. */
static inline bool make_fail(long number, int errnum)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = HFC_ARRAY_LEN(code), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child there are no asserts: they would go on with the parent's other tests. */
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #what, end.err.msg);     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { CANNOT = 77 };

#define CHECK_OR_SKIP(what)                                                                        \
    do {                                                                                           \
        if (!(what))                                                                               \
            exit(CANNOT);                                                                          \
    } while (0)

/* Runs fn in a child. */
static inline void in_child(void (*fn)(void))
{
    int status;

    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fn();
        hfc_store_close(store);
        hfc_loop_free(loop);
        hfc_buf_free(&got);
        hfc_buf_free(&logged);
        exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT) {
        print_message("skipped: no seccomp filters, or not root\n");
        skip();
    }
    assert_int_equal(status, 0);
}

#endif
