/* test_store_file_upload.c: uploads in parts to a store that is a directory
 * (lib/store_file_upload.c, store_file_part.c). */
#include "store_dir.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static char id[80];
static struct hfc_part parts[HFC_PARTS_MAX];

static bool create(const char *key)
{
    struct hfc_meta meta = {0};
    bool ok = wait_for(hfc_store_create_upload(store, key, &meta, on_done, NULL));

    memcpy(id, end.id, sizeof(id));
    return ok;
}

static struct hfc_store_op *start_part(const char *key, unsigned number, uint64_t offset,
                                       const void *bytes, size_t n)
{
    memory = (struct hfc_memory_body){bytes, n};
    struct hfc_body body = hfc_body_of(&memory, NULL);

    return hfc_store_put_part(store, key, id, number, offset, &body, on_done, NULL);
}

/* Uploads a part and keeps what completing wants to know of it. */
static bool put_part(unsigned number, uint64_t offset, const void *bytes, size_t n)
{
    if (!wait_for(start_part("a/k", number, offset, bytes, n)))
        return false;
    parts[number - 1] = (struct hfc_part){.size = n};
    memcpy(parts[number - 1].etag, end.object.etag, HFC_ETAG_MAX);
    return true;
}

static struct hfc_store_op *start_complete(const char *key, unsigned n)
{
    struct hfc_meta meta = {.has_sha256 = true, .sha256 = {1, 2, 3}};

    return hfc_store_complete(store, key, id, parts, n, &meta, on_done, NULL);
}

static struct hfc_store_op *start_abort(const char *key, const char *which)
{
    return hfc_store_abort(store, key, which, on_done, NULL);
}

static void on_part(void *ctx, unsigned number, const struct hfc_part *part)
{
    (void)ctx;
    assert_true(part->has_sha256);
    hfc_buf_printf(&got, "%u %ju\n", number, (uintmax_t)part->size);
}

static struct hfc_store_op *start_parts(const char *key)
{
    hfc_buf_reset(&got);
    return hfc_store_list_parts(store, key, id, on_part, on_done, NULL);
}

static void lists_parts(const char *expected)
{
    assert_ok(start_parts("a/k"));
    assert_string_equal(got.data, expected);
}

static void on_upload(void *ctx, const char *key, const char *which, int64_t initiated)
{
    (void)ctx;
    assert_true(llabs((long long)(initiated - time(NULL))) < 1000);
    hfc_buf_printf(&got, "%s %s\n", key, strncmp(which, "up-", 3) == 0 ? "id" : which);
}

static struct hfc_store_op *start_uploads(const char *prefix)
{
    hfc_buf_reset(&got);
    return hfc_store_list_uploads(store, prefix, on_upload, on_done, NULL);
}

static void lists_uploads(const char *prefix, const char *expected)
{
    assert_ok(start_uploads(prefix));
    assert_string_equal(got.data, expected);
}

static void in_upload(char path[300], const char *name)
{
    (void)snprintf(path, 300, "s/.hfcache-uploads/%s/%s", id, name);
}

/* ---- What is asked of the disk, in order. ---- */

static char steps[64]; /* D, F: a folder, a file is synced; U, R: a record removed, put there; B */

static void step(char c)
{
    size_t n = strlen(steps);

    if (n + 1 < sizeof(steps))
        steps[n] = c;
}

int fsync(int fd)
{
    struct stat st;

    step(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? 'D' : 'F');
    return (int)syscall(SYS_fsync, fd);
}

int unlinkat(int fd, const char *name, int flags)
{
    if (strncmp(name, "part-", 5) == 0)
        step('U');
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (strncmp(to, "part-", 5) == 0)
        step('R');
    return (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
}

/* ---- The way it should go. ---- */

static void parts_in_any_order_become_the_object(void **state)
{
    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(3, 10, "klm", 3));
    assert_true(put_part(1, 0, "abcde", 5));
    lists("", "");
    assert_fails(start_head("a/k"), ENOENT);
    assert_true(put_part(2, 5, "fghij", 5));
    lists_parts("1 5\n2 5\n3 3\n");
    assert_ok(start_complete("a/k", 3));
    assert_int_equal(end.object.size, 13);
    char etag[HFC_ETAG_MAX];
    memcpy(etag, end.object.etag, sizeof(etag));
    holds("a/k", "abcdefghijklm");
    assert_string_equal(end.object.etag, etag);
    no_leftovers();
    assert_fails(start_complete("a/k", 3), ENOENT);
    lists_uploads("", "");
}

static void a_completed_object_has_the_meta(void **state)
{
    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abcde", 5));
    assert_ok(start_complete("a/k", 1));
    if (!end.object.meta.has_sha256)
        skip();
    assert_ok(start_head("a/k"));
    assert_true(end.object.meta.has_sha256);
    assert_int_equal(end.object.meta.sha256[2], 3);
}

static void an_upload_replaces_an_object_at_its_end(void **state)
{
    (void)state;
    put_text("a/k", "old");
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "new", 3));
    holds("a/k", "old");
    assert_ok(start_complete("a/k", 1));
    holds("a/k", "new");
}

static void uploads_survive_the_process(void **state)
{
    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abc", 3));
    reopen_store();
    lists_uploads("", "a/k id\n");
    lists_parts("1 3\n");
    assert_true(put_part(2, 3, "def", 3));
    assert_ok(start_complete("a/k", 2));
    holds("a/k", "abcdef");
}

static void uploads_are_listed_by_key_and_prefix(void **state)
{
    (void)state;
    lists_uploads("", "");
    assert_true(create("b") && create("a/2") && create("a/1") && create("a/2"));
    lists_uploads("", "a/1 id\na/2 id\na/2 id\nb id\n");
    lists_uploads("a/", "a/1 id\na/2 id\na/2 id\n");
    lists_uploads("x", "");
    for (unsigned i = 0; i < 30; i++)
        assert_true(create("c"));
    assert_ok(start_uploads("c"));
    assert_int_equal(got.len, 30 * strlen("c id\n"));
}

static void many_parts_are_handled_in_slices(void **state)
{
    enum { N = 600 };
    hfc_autobuf struct hfc_buf expected = HFC_BUF(ROOM);
    char bytes[2];

    (void)state;
    assert_true(create("a/k"));
    for (unsigned i = 0; i < N; i++) {
        bytes[0] = (char)('a' + i % 26);
        assert_true(put_part(i + 1, i, bytes, 1));
        hfc_buf_printf(&expected, "%u 1\n", i + 1);
    }
    lists_parts(expected.data);
    assert_ok(start_complete("a/k", N));
    assert_ok(start_get("a/k"));
    assert_int_equal(got.len, N);
    assert_int_equal(got.data[N - 1], 'a' + (N - 1) % 26);
    no_leftovers();
}

static ssize_t read_zeros(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset;
    memset(to, 0, n);
    return (ssize_t)n;
}

static void sparse_files_cost_no_disk(void **state)
{
    enum { PART = 16 * 1024 * 1024 };
    struct hfc_body body = {.read = read_zeros, .size = PART};
    struct stat st;

    (void)state;
    assert_true(create("a/k"));
    for (unsigned i = 0; i < 4; i++) {
        assert_ok(
            hfc_store_put_part(store, "a/k", id, i + 1, (uint64_t)i * PART, &body, on_done, NULL));
        parts[i] = (struct hfc_part){.size = PART};
        memcpy(parts[i].etag, end.object.etag, HFC_ETAG_MAX);
    }
    assert_ok(start_complete("a/k", 4));
    assert_int_equal(stat("s/a/k", &st), 0);
    assert_int_equal(st.st_size, 4L * PART);
    assert_true(st.st_blocks <= 16);
}

static void parts_lie_where_a_terabyte_file_has_them(void **state)
{
    struct stat st;
    char path[300];

    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(10000, 1ULL << 42, "end", 3));
    in_upload(path, "data");
    if (stat(path, &st) < 0 || st.st_size != (1LL << 42) + 3)
        fail_msg("the part lies elsewhere");
    assert_fails(start_part("a/k", 1, INT64_MAX, "x", 1), EINVAL);
    assert_fails(start_part("a/k", 1, UINT64_MAX, "x", 1), EINVAL);
}

/* ---- Parts once more. ---- */

static void a_part_may_be_sent_again(void **state)
{
    char zeros[5] = {0};

    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abcde", 5));
    assert_true(put_part(2, 5, "fghij", 5));
    assert_true(put_part(1, 0, "ABCDE", 5));
    assert_true(put_part(2, 5, zeros, 5));
    lists_parts("1 5\n2 5\n");
    assert_ok(start_complete("a/k", 2));
    assert_ok(start_get("a/k"));
    assert_memory_equal(got.data, "ABCDE\0\0\0\0\0", 10);
}

static void without_holes(void)
{
    char zeros[5] = {0};

    CHECK_OR_SKIP(make_fail(SYS_fallocate, EOPNOTSUPP));
    CHECK(create("a/k") && put_part(1, 0, "abcde", 5) && put_part(1, 0, zeros, 5));
    CHECK(wait_for(start_complete("a/k", 1)) && wait_for(start_get("a/k")));
    CHECK(got.len == 5 && memcmp(got.data, zeros, 5) == 0);
}

static void zeros_are_written_where_holes_cannot_be_made(void **state)
{
    (void)state;
    in_child(without_holes);
}

static void with_holes_that_fail(void)
{
    CHECK(create("a/k") && put_part(1, 0, "abcde", 5));
    CHECK_OR_SKIP(make_fail(SYS_fallocate, EIO));
    CHECK(!put_part(1, 0, "x", 1) && end.err.errnum == EIO);
    CHECK(wait_for(start_parts("a/k")) && got.len == 0);
}

static void a_part_whose_place_cannot_be_cleared_is_an_error(void **state)
{
    (void)state;
    in_child(with_holes_that_fail);
}

static void a_shorter_last_part_leaves_nothing_behind_it(void **state)
{
    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abcde", 5));
    assert_true(put_part(1, 0, "xy", 2));
    assert_ok(start_complete("a/k", 1));
    holds("a/k", "xy");
}

static void a_part_with_wrong_bytes_is_none(void **state)
{
    uint8_t sha256[HFC_SHA256_SIZE] = {0};
    struct hfc_body body = {.read = read_zeros, .size = 5, .sha256 = sha256};

    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abcde", 5));
    assert_fails(hfc_store_put_part(store, "a/k", id, 1, 0, &body, on_done, NULL), EBADMSG);
    lists_parts("");
    hfc_hash_of(HFC_SHA256, "\0\0\0\0", 5, sha256);
    assert_ok(hfc_store_put_part(store, "a/k", id, 1, 0, &body, on_done, NULL));
    lists_parts("1 5\n");
}

static ssize_t read_never(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset, (void)to, (void)n;
    return HFC_READ_PAUSE;
}

static void on_nothing(void *ctx, const struct hfc_store_reply *reply, const struct hfc_error *why)
{
    (void)reply;
    *(bool *)ctx = why != NULL && why->errnum == ECANCELED;
}

static void a_part_is_written_once_at_a_time(void **state)
{
    struct hfc_body body = {.read = read_never, .size = 5};
    bool canceled = false;

    (void)state;
    assert_true(create("a/k"));
    struct hfc_store_op *first =
        hfc_store_put_part(store, "a/k", id, 1, 0, &body, on_nothing, &canceled);
    assert_true(put_part(2, 5, "x", 1));
    assert_fails(start_part("a/k", 1, 0, "abcde", 5), EBUSY);
    hfc_store_cancel(first);
    assert_true(put_part(1, 0, "abcde", 5));
    assert_true(canceled);
    lists_parts("1 5\n2 1\n");
    /* Of two that are started at once the first one is it. */
    struct hfc_body zeros = {.read = read_zeros, .size = 5};
    (void)hfc_store_put_part(store, "a/k", id, 3, 6, &zeros, on_nothing, &canceled);
    assert_fails(start_part("a/k", 3, 6, "abcde", 5), EBUSY);
    lists_parts("1 5\n2 1\n3 5\n");
}

static ssize_t read_and_die(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx;
    memset(to, 'x', n);
    if (offset > 100000)
        (void)kill(getpid(), SIGKILL);
    return (ssize_t)n;
}

static void a_killed_part_is_not_listed(void **state)
{
    struct hfc_body body = {.read = read_and_die, .size = 1000000};

    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abc", 3));
    assert_true(put_part(2, 3, "def", 3));
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)wait_for(hfc_store_put_part(store, "a/k", id, 2, 3, &body, on_done, NULL));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    lists_parts("1 3\n");
    assert_fails(start_complete("a/k", 2), EBADMSG);
    assert_true(put_part(2, 3, "ghi", 3));
    assert_ok(start_complete("a/k", 2));
    holds("a/k", "abcghi");
}

/* ---- What is refused. ---- */

static void only_what_was_uploaded_is_completed(void **state)
{
    struct hfc_part good;

    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abc", 3));
    assert_true(put_part(2, 4, "def", 3));
    assert_fails(start_complete("a/k", 2), EBADMSG);
    assert_string_equal(end.err.msg, "a/k: part 2 does not begin where the one before it ends");
    assert_true(put_part(2, 3, "def", 3));
    parts[2] = parts[1];
    assert_fails(start_complete("a/k", 3), EBADMSG);
    assert_string_equal(end.err.msg, "a/k: part 3 was not uploaded");
    good = parts[1];
    parts[1].size = 4;
    assert_fails(start_complete("a/k", 2), EBADMSG);
    assert_string_equal(end.err.msg, "a/k: part 2 is another one than was uploaded");
    parts[1] = good;
    parts[1].etag[0] ^= 1;
    assert_fails(start_complete("a/k", 2), EBADMSG);
    parts[1] = good;
    parts[1].has_sha256 = true;
    assert_fails(start_complete("a/k", 2), EBADMSG);
    parts[1] = good;
    assert_false(exists("s/a"));
    assert_ok(start_complete("a/k", 1));
    holds("a/k", "abc");
}

static void an_unknown_upload_is_no_upload(void **state)
{
    static const char *const ids[] = {"up-00112233445566778899aabbccddeeff",
                                      "x",
                                      "..",
                                      "lock",
                                      "up-00112233445566778899AABBCCDDEEFF",
                                      "../../s/.hfcache-uploads/x",
                                      "up-/../../../outside/xxxxxxxxxxx"};

    (void)state;
    assert_true(create("a/k"));
    assert_fails(start_part("other", 1, 0, "x", 1), ENOENT);
    assert_string_equal(end.err.msg, "other: there is no such upload");
    assert_fails(start_parts("other"), ENOENT);
    assert_fails(start_complete("other", 1), ENOENT);
    assert_ok(start_abort("other", id));
    lists_uploads("", "a/k id\n");
    for (size_t i = 0; i < HFC_ARRAY_LEN(ids); i++) {
        (void)snprintf(id, sizeof(id), "%s", ids[i]);
        assert_fails(start_part("a/k", 1, 0, "x", 1), ENOENT);
        assert_fails(start_parts("a/k"), ENOENT);
        assert_fails(start_complete("a/k", 1), ENOENT);
        assert_ok(start_abort("a/k", ids[i]));
    }
}

static void aborting_leaves_nothing(void **state)
{
    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abc", 3));
    assert_ok(start_abort("a/k", id));
    assert_int_equal(count_in("s/.hfcache-uploads"), 0);
    assert_ok(start_abort("a/k", id));
    assert_fails(start_part("a/k", 1, 0, "x", 1), ENOENT);
    assert_false(exists("s/a"));
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void damaged_records_count_as_none(void **state)
{
    static const char *const texts[] = {"",
                                        "x",
                                        "3 0 00\n",
                                        "3 0 " ABC,
                                        "3 0 " ABC "x",
                                        "3 0 " ABC "\n\n",
                                        "3  0 " ABC "\n",
                                        "3 0x " ABC "\n",
                                        "+3 0 " ABC "\n",
                                        "3 99999999999999999999 " ABC "\n",
                                        "3 0 xx7816bf8f01cfea414140de5dae2223"
                                        "b00361a396177a9cb410ff61f20015ad\n"};
    char path[300];

    (void)state;
    assert_true(create("a/k"));
    for (size_t i = 0; i < HFC_ARRAY_LEN(texts); i++) {
        assert_true(put_part(1, 0, "abc", 3));
        in_upload(path, "part-00001");
        write_file(path, texts[i]);
        lists_parts("");
        assert_fails(start_complete("a/k", 1), EBADMSG);
    }
    assert_int_equal(unlink(path) == 0 && mkdir(path, 0777) == 0, 1);
    lists_parts("");
    assert_int_equal(rmdir(path), 0);
    /* What stands beside the records is none of them. */
    in_upload(path, "part-1");
    write_file(path, "x");
    in_upload(path, "new-part-00001");
    write_file(path, "x");
    assert_true(put_part(1, 0, "abc", 3));
    lists_parts("1 3\n");
}

static void damaged_uploads_count_as_none(void **state)
{
    char path[300], longer[HFC_KEY_MAX + 2];

    (void)state;
    memset(longer, 'k', sizeof(longer));
    longer[HFC_KEY_MAX + 1] = '\0';
    assert_true(create("a/k"));
    in_upload(path, "key");
    write_file(path, "");
    lists_uploads("", "");
    write_file(path, "../x");
    lists_uploads("", "");
    write_file(path, longer);
    lists_uploads("", "");
    assert_int_equal(unlink(path), 0);
    lists_uploads("", "");
    write_file(path, "a/k");
    lists_uploads("", "a/k id\n");
    in_upload(path, "data");
    assert_int_equal(unlink(path), 0);
    lists_uploads("", "");
    assert_fails(start_part("a/k", 1, 0, "x", 1), ENOENT);
}

/* ---- Callers that cancel. ---- */

static struct hfc_store_op *running;

static void on_part_cancelling(void *ctx, unsigned number, const struct hfc_part *part)
{
    on_part(ctx, number, part);
    hfc_store_cancel(running);
}

static void on_upload_cancelling(void *ctx, const char *key, const char *which, int64_t initiated)
{
    on_upload(ctx, key, which, initiated);
    hfc_store_cancel(running);
}

static void lists_may_be_cancelled_from_within(void **state)
{
    (void)state;
    assert_true(create("b") && create("a/k"));
    assert_true(put_part(1, 0, "abc", 3) && put_part(2, 3, "def", 3));
    hfc_buf_reset(&got);
    running = hfc_store_list_parts(store, "a/k", id, on_part_cancelling, on_done, NULL);
    assert_fails(running, ECANCELED);
    assert_string_equal(got.data, "1 3\n");
    hfc_buf_reset(&got);
    running = hfc_store_list_uploads(store, "", on_upload_cancelling, on_done, NULL);
    assert_fails(running, ECANCELED);
    assert_string_equal(got.data, "a/k id\n");
    assert_true(wait_for(start_complete("a/k", 2)));
}

/* ---- System calls that fail. ---- */

static void with_sync_that_fails(void)
{
    CHECK(create("a/k") && put_part(1, 0, "abc", 3));
    CHECK_OR_SKIP(make_fail(SYS_fdatasync, EIO));
    CHECK(!put_part(2, 3, "def", 3) && end.err.errnum == EIO);
    CHECK(wait_for(start_parts("a/k")) && strcmp(got.data, "1 3\n") == 0);
    CHECK(make_fail(SYS_fsync, EIO));
    CHECK(!wait_for(start_complete("a/k", 1)) && end.err.errnum == EIO);
    CHECK(!exists("s/a/k"));
    CHECK(wait_for(start_parts("a/k")) && strcmp(got.data, "1 3\n") == 0);
    CHECK(!create("b") && end.err.errnum == EIO);
}

static void a_disk_that_fails_keeps_the_upload(void **state)
{
    (void)state;
    in_child(with_sync_that_fails);
}

static void with_renames_that_fail(void)
{
    CHECK(create("a/k"));
    CHECK_OR_SKIP(make_fail(SYS_renameat, EIO));
    CHECK(!put_part(1, 0, "abc", 3) && end.err.errnum == EIO);
    CHECK(wait_for(start_parts("a/k")) && got.len == 0);
    CHECK(!create("b") && end.err.errnum == EIO);
    CHECK(count_in("s/.hfcache-uploads") == 1);
}

static void a_record_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    in_child(with_renames_that_fail);
}

static void with_removals_that_fail(void)
{
    CHECK(create("a/k"));
    CHECK_OR_SKIP(make_fail(SYS_unlinkat, EIO));
    CHECK(!wait_for(start_abort("a/k", id)) && end.err.errnum == EIO);
    CHECK(!put_part(1, 0, "abc", 3) && end.err.errnum == EIO);
}

static void what_cannot_be_removed_is_an_error(void **state)
{
    (void)state;
    in_child(with_removals_that_fail);
}

static void with_folders_that_cannot_be_read(void)
{
    CHECK(create("a/k"));
    CHECK_OR_SKIP(make_fail(SYS_getdents64, EIO));
    CHECK(!wait_for(start_parts("a/k")) && end.err.errnum == EIO);
    CHECK(!wait_for(start_uploads("")) && end.err.errnum == EIO);
}

static void a_folder_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    in_child(with_folders_that_cannot_be_read);
}

static void with_a_limit_of(rlim_t bytes)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void without_room(void)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    rlim_t all = limit.rlim_cur;
    CHECK(create("a/k"));
    with_a_limit_of(1);
    CHECK(!put_part(1, 0, "x", 1) && end.err.errnum == EFBIG);
    CHECK(wait_for(start_parts("a/k")) && got.len == 0);
    with_a_limit_of(0);
    CHECK(!create("b") && end.err.errnum == EFBIG);
    with_a_limit_of(all);
    CHECK(wait_for(start_uploads("")) && strcmp(got.data, "a/k id\n") == 0);
    CHECK(count_in("s/.hfcache-uploads") == 1);
}

static void small_files_without_room_are_an_error(void **state)
{
    (void)state;
    in_child(without_room);
}

static void without_permission(void)
{
    char path[300];

    CHECK_OR_SKIP(geteuid() == 0);
    CHECK(create("a/k"));
    in_upload(path, "data");
    CHECK(chmod(dir, 0755) == 0 && chmod(path, 0) == 0 && seteuid(65534) == 0);
    CHECK(!put_part(1, 0, "abc", 3) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_complete("a/k", 1)) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_abort("a/k", id)) && end.err.errnum == EACCES);
    CHECK(!create("b") && end.err.errnum == EACCES);
    CHECK(seteuid(0) == 0);
    in_upload(path, "");
    CHECK(chmod(path, 0) == 0 && seteuid(65534) == 0);
    CHECK(!wait_for(start_parts("a/k")) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_abort("a/k", id)) && end.err.errnum == EACCES);
    CHECK(!wait_for(start_uploads("")) && end.err.errnum == EACCES);
    CHECK(seteuid(0) == 0 && chmod("s/.hfcache-uploads", 0) == 0 && seteuid(65534) == 0);
    CHECK(!wait_for(start_uploads("")) && end.err.errnum == EACCES);
    CHECK(seteuid(0) == 0);
}

static void missing_permission_is_an_error(void **state)
{
    (void)state;
    in_child(without_permission);
}

static ssize_t read_noted(void *ctx, uint64_t offset, void *to, size_t n)
{
    (void)ctx, (void)offset;
    step('B');
    memset(to, 'x', n);
    return (ssize_t)n;
}

/* The old record is off the disk before the first byte is replaced, and the new one is on it when
 * the caller hears of it. */
static void a_record_outlives_no_power_loss_wrongly(void **state)
{
    struct hfc_body body = {.read = read_noted, .size = 5};

    (void)state;
    assert_true(create("a/k"));
    assert_true(put_part(1, 0, "abcde", 5));
    memset(steps, 0, sizeof(steps));
    assert_ok(hfc_store_put_part(store, "a/k", id, 1, 0, &body, on_done, NULL));
    assert_string_equal(steps, "UDBFRD");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(parts_in_any_order_become_the_object),
        T(a_completed_object_has_the_meta),
        T(an_upload_replaces_an_object_at_its_end),
        T(uploads_survive_the_process),
        T(uploads_are_listed_by_key_and_prefix),
        T(many_parts_are_handled_in_slices),
        T(sparse_files_cost_no_disk),
        T(parts_lie_where_a_terabyte_file_has_them),
        T(a_part_may_be_sent_again),
        T(a_record_outlives_no_power_loss_wrongly),
        T(zeros_are_written_where_holes_cannot_be_made),
        T(a_part_whose_place_cannot_be_cleared_is_an_error),
        T(a_shorter_last_part_leaves_nothing_behind_it),
        T(a_part_with_wrong_bytes_is_none),
        T(a_part_is_written_once_at_a_time),
        T(a_killed_part_is_not_listed),
        T(only_what_was_uploaded_is_completed),
        T(an_unknown_upload_is_no_upload),
        T(aborting_leaves_nothing),
        T(damaged_records_count_as_none),
        T(damaged_uploads_count_as_none),
        T(lists_may_be_cancelled_from_within),
        T(a_disk_that_fails_keeps_the_upload),
        T(a_record_that_cannot_be_made_is_an_error),
        T(what_cannot_be_removed_is_an_error),
        T(a_folder_that_cannot_be_read_is_an_error),
        T(small_files_without_room_are_an_error),
        T(missing_permission_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
