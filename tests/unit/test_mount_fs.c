/* test_mount_fs.c: the file system's answers (mount/fs*.c), to a stand-in for the kernel and, as
 * root, to the real one. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "mount_peer.h"

#include "fault.h"
#include "metrics.h"
#include "session_internal.h"

#include <sys/mount.h> /* last: it has a BLOCK_SIZE of its own */

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define LONG_50 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define LONG_255 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50 "12345"

static const struct hfc_entry entries[] = {
    {.key = "dir/empty", .etag = "e0", .size = 0},
    {.key = "dir/file", .etag = "e1", .size = 123456, .meta = {.has_sha256 = true}},
    {.key = "dir/sub/deep", .etag = "e2", .size = 7},
    {.key = "huge", .etag = "e3", .size = 100ULL << 30},
    {.key = LONG_255, .etag = "long", .size = 1},
    {.key = "ref", .commit = COMMIT, .size = 40},
};
enum { ENTRIES = sizeof(entries) / sizeof(entries[0]), HIDDEN = 2, ALIVE = 4, DAY = 86400 };

static int setup(void **state)
{
    (void)state;
    peer_open(entries, ENTRIES);
    peer_start(2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_close();
    return 0;
}

static const struct fuse_entry_out *entry_out(void)
{
    assert_int_equal(peer.size, sizeof(struct fuse_entry_out));
    return (const void *)peer.packet.body;
}

static const struct fuse_attr_out *attr_out(void)
{
    assert_int_equal(peer.size, sizeof(struct fuse_attr_out));
    return (const void *)peer.packet.body;
}

static const struct fuse_open_out *open_out(void)
{
    assert_int_equal(peer.size, sizeof(struct fuse_open_out));
    return (const void *)peer.packet.body;
}

static int ask_open(uint64_t node, uint32_t flags)
{
    struct fuse_open_in in = {.flags = flags};

    return peer_ask(FUSE_OPEN, node, &in, sizeof(in));
}

static int ask_read(uint64_t node, uint64_t offset, uint32_t size)
{
    return peer_answer(peer_send_read(node, offset, size));
}

static int ask_access(uint64_t node, uint32_t mask)
{
    struct fuse_access_in in = {.mask = mask};

    return peer_ask(FUSE_ACCESS, node, &in, sizeof(in));
}

static int ask_lseek(uint64_t node, int64_t offset, uint32_t whence)
{
    struct fuse_lseek_in in = {.offset = (uint64_t)offset, .whence = whence};

    return peer_ask(FUSE_LSEEK, node, &in, sizeof(in));
}

/* ---- names and attributes */

static void a_file_is_found_by_its_name(void **state)
{
    (void)state;
    assert_int_equal(peer_lookup(peer_id("dir"), "file"), 0);
    const struct fuse_entry_out *e = entry_out();
    assert_int_equal(e->nodeid, peer_id("dir/file"));
    assert_int_equal(e->attr.ino, e->nodeid);
    assert_int_equal(e->attr.mode, S_IFREG | 0444);
    assert_int_equal(e->attr.size, 123456);
    assert_int_equal(e->attr.blocks, 242);
    assert_int_equal(e->attr.nlink, 1);
    assert_int_equal(e->attr.uid, 0);
    assert_int_equal(e->attr.gid, 0);
    assert_int_equal(e->entry_valid, 60);
    assert_int_equal(e->attr_valid, DAY);
}

static void a_directory_is_found_and_remembered_for_as_long_as_a_name(void **state)
{
    (void)state;
    assert_int_equal(peer_lookup(1, "dir"), 0);
    const struct fuse_entry_out *e = entry_out();
    assert_int_equal(e->attr.mode, S_IFDIR | 0555);
    assert_int_equal(e->attr.nlink, 3);
    assert_int_equal(e->entry_valid, 60);
    assert_int_equal(e->attr_valid, 60);
}

static void the_name_of_a_ref_is_remembered_for_a_second(void **state)
{
    (void)state;
    assert_int_equal(peer_lookup(1, "ref"), 0);
    const struct fuse_entry_out *e = entry_out();
    assert_int_equal(e->attr.size, 40);
    assert_int_equal(e->entry_valid, 1);
    assert_int_equal(e->attr_valid, DAY);
}

static void names_that_are_not_there(void **state)
{
    (void)state;
    assert_int_equal(peer_lookup(1, "nothing"), ENOENT);
    assert_int_equal(peer_lookup(peer_id("dir"), "fil"), ENOENT);
    assert_int_equal(peer_lookup(peer_id("dir/file"), "x"), ENOTDIR);
    assert_int_equal(peer_lookup(987654320, "x"), ESTALE);
    assert_int_equal(peer_lookup(1, LONG_255), 0);
    assert_int_equal(peer_lookup(1, LONG_255 "6"), ENAMETOOLONG);
}

static void attributes_are_those_of_the_name(void **state)
{
    (void)state;
    assert_int_equal(peer_getattr(peer_id("huge")), 0);
    assert_int_equal(attr_out()->attr.size, 100ULL << 30);
    assert_int_equal(attr_out()->attr.blocks, (100ULL << 30) / 512);
    assert_int_equal(attr_out()->attr_valid, DAY);
    assert_int_equal(peer_getattr(1), 0);
    assert_int_equal(attr_out()->attr.mode, S_IFDIR | 0555);
    assert_int_equal(attr_out()->attr_valid, 60);
    assert_int_equal(peer_getattr(987654320), ESTALE);
}

static void another_version_has_another_time_and_the_same_one_always_the_same(void **state)
{
    const struct hfc_entry newer[] = {{.key = "huge", .etag = "e4", .size = 5}};
    uint64_t old = peer_id("huge");

    (void)state;
    assert_int_equal(peer_getattr(old), 0);
    struct fuse_attr before = attr_out()->attr;
    assert_int_equal(peer_getattr(old), 0);
    assert_int_equal(attr_out()->attr.mtime, before.mtime);
    assert_true(before.mtime >= 1577836800 && before.mtime < 1672531200);
    assert_int_equal(before.ctime, before.mtime);
    fake_catalog_set(peer_tree(newer, 1));
    assert_int_not_equal(peer_id("huge"), old);
    assert_int_equal(peer_getattr(peer_id("huge")), 0);
    assert_int_not_equal(attr_out()->attr.mtime, before.mtime);
}

static void an_id_with_bit_0_is_the_same_file(void **state)
{
    uint64_t warm = peer_id("dir/file") | 1;

    (void)state;
    assert_int_equal(peer_getattr(warm), 0);
    assert_int_equal(attr_out()->attr.ino, peer_id("dir/file"));
    assert_int_equal(ask_read(warm, 3, 10), 0);
    peer_is_content(3, 10);
}

static void nothing_may_be_written(void **state)
{
    uint64_t file = peer_id("dir/file");

    (void)state;
    assert_int_equal(ask_access(file, R_OK), 0);
    assert_int_equal(ask_access(file, W_OK), EROFS);
    assert_int_equal(ask_access(file, X_OK), EACCES);
    assert_int_equal(ask_access(1, R_OK | X_OK), 0);
    assert_int_equal(ask_access(1, W_OK), EROFS);
    assert_int_equal(ask_access(987654320, F_OK), ESTALE);
    assert_int_equal(ask_open(file, O_WRONLY), EROFS);
    assert_int_equal(ask_open(file, O_RDWR), EROFS);
    assert_int_equal(ask_open(file, O_RDONLY | O_TRUNC), EROFS);
}

/* ---- content */

static void what_the_kernel_has_of_a_file_it_keeps(void **state)
{
    (void)state;
    assert_int_equal(ask_open(peer_id("dir/file"), O_RDONLY), 0);
    assert_int_equal(open_out()->open_flags, FOPEN_KEEP_CACHE);
    assert_int_equal(ask_open(peer_id("dir"), O_RDONLY), EISDIR);
    assert_int_equal(ask_open(987654320, O_RDONLY), ESTALE);
}

static void a_file_is_read(void **state)
{
    uint64_t file = peer_id("dir/file");

    (void)state;
    assert_int_equal(ask_read(file, 0, 65536), 0);
    peer_is_content(0, 65536);
    assert_int_equal(ask_read(file, 123000, 65536), 0);
    peer_is_content(123000, 456);
    assert_int_equal(ask_read(file, 123456, 4096), 0);
    assert_int_equal(peer.size, 0);
    assert_int_equal(ask_read(file, UINT64_MAX / 4, 4096), 0);
    assert_int_equal(peer.size, 0);
    assert_int_equal(ask_read(peer_id("dir/empty"), 0, 4096), 0);
    assert_int_equal(peer.size, 0);
    assert_int_equal(ask_read(peer_id("huge"), (100ULL << 30) - 5, 4096), 0);
    peer_is_content((100ULL << 30) - 5, 5);
}

static void reads_that_make_no_sense_are_refused(void **state)
{
    uint64_t file = peer_id("dir/file");

    (void)state;
    assert_int_equal(ask_read(1, 0, 4096), EISDIR);
    assert_int_equal(ask_read(file, UINT64_MAX, 4096), EINVAL);
    assert_int_equal(ask_read(file, 0, READ_MAX + 1), EINVAL);
    assert_int_equal(ask_read(file, 0, 0), 0);
    assert_int_equal(peer.size, 0);
}

static void the_content_of_a_ref_is_its_commit(void **state)
{
    uint64_t reads = metric_get(M_READS_INDEX), bytes = metric_get(M_READ_BYTES_INDEX);

    (void)state;
    assert_int_equal(ask_read(peer_id("ref"), 0, 4096), 0);
    assert_int_equal(peer.size, 40);
    assert_memory_equal(peer.packet.body, COMMIT, 40);
    assert_int_equal(ask_read(peer_id("ref"), 38, 4096), 0);
    assert_int_equal(peer.size, 2);
    assert_memory_equal(peer.packet.body, "67", 2);
    assert_int_equal(ask_read(peer_id("ref"), 40, 4096), 0);
    assert_int_equal(peer.size, 0);
    assert_int_equal(metric_get(M_READS_INDEX), reads + 3);
    assert_int_equal(metric_get(M_READ_BYTES_INDEX), bytes + 42);
}

static void a_ref_that_has_moved_is_read_on(void **state)
{
    const struct hfc_entry moved[] = {
        {.key = "ref", .commit = "ffffffffffffffffffffffffffffffffffffffff", .size = 40}};
    struct node old;

    (void)state;
    assert_true(nametree_path(fake_catalog.tree, "ref", &old));
    fake_catalog.retired = old;
    fake_catalog_set(peer_tree(moved, 1));
    assert_int_not_equal(peer_id("ref"), old.id);
    assert_int_equal(ask_read(old.id, 0, 4096), 0);
    assert_memory_equal(peer.packet.body, COMMIT, 40);
    assert_int_equal(peer_getattr(old.id), 0);
    assert_int_equal(attr_out()->attr.size, 40);
}

static void a_version_that_only_the_cache_knows_is_read_on(void **state)
{
    const struct blob_info info = {.id = 0x5550, .size = 1000, .key = "old/key", .etag = "old"};

    (void)state;
    fake_blob(&fake_cache, &info)->known_to_cache = true;
    assert_int_equal(peer_getattr(0x5550), 0);
    assert_int_equal(attr_out()->attr.size, 1000);
    assert_int_equal(ask_open(0x5550, O_RDONLY), 0);
    assert_int_equal(ask_read(0x5550, 990, 4096), 0);
    peer_is_content(990, 10);
}

static void a_version_that_nobody_knows_is_stale(void **state)
{
    uint64_t before = metric_get(M_READ_ERROR_ESTALE);

    (void)state;
    assert_int_equal(ask_read(0x5550, 0, 4096), ESTALE);
    assert_int_equal(metric_get(M_READ_ERROR_ESTALE), before + 1);
    assert_true(was_logged("a read of node 5550 fails with ESTALE"));
}

static void a_blob_is_never_read_beyond_its_own_end(void **state)
{
    const struct blob_info info = {
        .id = peer_id("dir/file"), .size = 100, .key = "dir/file", .etag = "e1"};

    (void)state;
    (void)fake_blob(&fake_cache, &info);
    assert_int_equal(ask_read(info.id, 90, 4096), 0);
    peer_is_content(90, 10);
    assert_int_equal(ask_read(info.id, 100, 4096), 0);
    assert_int_equal(peer.size, 0);
}

static void too_many_objects_in_use_is_an_error(void **state)
{
    (void)state;
    fake_cache.full = true;
    assert_int_equal(ask_read(peer_id("dir/file"), 0, 4096), ENFILE);
    assert_true(was_logged("too many objects are in use"));
}

static void a_file_has_no_holes(void **state)
{
    uint64_t file = peer_id("dir/file");
    const struct fuse_lseek_out *out = (const void *)peer.packet.body;

    (void)state;
    assert_int_equal(ask_lseek(file, 100, SEEK_DATA), 0);
    assert_int_equal(out->offset, 100);
    assert_int_equal(ask_lseek(file, 100, SEEK_HOLE), 0);
    assert_int_equal(out->offset, 123456);
    assert_int_equal(ask_lseek(file, 123455, SEEK_HOLE), 0);
    assert_int_equal(ask_lseek(file, 123456, SEEK_HOLE), ENXIO);
    assert_int_equal(ask_lseek(file, 123456, SEEK_DATA), ENXIO);
    assert_int_equal(ask_lseek(file, -1, SEEK_DATA), ENXIO);
    assert_int_equal(ask_lseek(file, 0, SEEK_END), EINVAL);
    assert_int_equal(ask_lseek(0x5550, 0, SEEK_DATA), ESTALE);
}

static void the_size_of_the_file_system_is_that_of_its_files(void **state)
{
    const struct fuse_statfs_out *out = (const void *)peer.packet.body;
    uint64_t bytes = 1 + 123456 + 7 + (100ULL << 30) + 40;

    (void)state;
    assert_int_equal(peer_ask(FUSE_STATFS, 1, NULL, 0), 0);
    assert_int_equal(out->st.bsize, 4096);
    assert_int_equal(out->st.frsize, 4096);
    assert_int_equal(out->st.blocks, (bytes + 4095) / 4096);
    assert_int_equal(out->st.bfree, 0);
    assert_int_equal(out->st.bavail, 0);
    assert_int_equal(out->st.files, nametree_names(fake_catalog.tree));
    assert_int_equal(out->st.ffree, 0);
    assert_int_equal(out->st.namelen, 255);
}

static void releasing_and_opening_directories_need_nothing(void **state)
{
    struct fuse_release_in release = {0};
    struct fuse_open_in in = {0};

    (void)state;
    assert_int_equal(peer_ask(FUSE_RELEASE, peer_id("dir/file"), &release, sizeof(release)), 0);
    assert_int_equal(peer_ask(FUSE_OPENDIR, 1, &in, sizeof(in)), 0);
    assert_int_equal(open_out()->open_flags, 0);
    assert_int_equal(peer_ask(FUSE_RELEASEDIR, 1, &release, sizeof(release)), 0);
}

/* ---- directories */

/* Reads a directory to its end, `size` bytes at a time: "name:ino " for each, in `to`. */
static void list(uint64_t node, uint32_t size, bool plus, char *to, size_t max)
{
    struct fuse_read_in in = {.size = size};

    to[0] = '\0';
    for (;;) {
        assert_int_equal(peer_ask(plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, &in, sizeof(in)),
                         0);
        assert_true(peer.size <= size);
        if (peer.size == 0)
            return;
        for (size_t at = 0; at < peer.size;) {
            const struct fuse_entry_out *e = (const void *)(peer.packet.body + at);
            const struct fuse_dirent *d = plus ? (const void *)(e + 1) : (const void *)e;
            size_t used = strlen(to);
            (void)snprintf(to + used, max - used, "%.*s:%llu ", (int)d->namelen, d->name,
                           (unsigned long long)d->ino);
            if (plus && d->name[0] == '.')
                assert_int_equal(e->nodeid, 0);
            else if (plus)
                assert_int_equal(e->nodeid, d->ino);
            in.offset = d->off;
            at += (plus ? sizeof(*e) : 0) + FUSE_DIRENT_SIZE(d);
        }
    }
}

static void expect_list(uint64_t node, const char *expected)
{
    static const uint32_t sizes[] = {512, 4096, 1 << 20};
    char text[8192];

    for (unsigned i = 0; i < 6; i++) {
        list(node, sizes[i / 2], i % 2, text, sizeof(text));
        assert_string_equal(text, expected);
    }
}

static void directories_list_their_names_in_order(void **state)
{
    char expected[1024];

    (void)state;
    (void)snprintf(expected, sizeof(expected), ".:%llu ..:1 empty:%llu file:%llu sub:%llu ",
                   (unsigned long long)peer_id("dir"), (unsigned long long)peer_id("dir/empty"),
                   (unsigned long long)peer_id("dir/file"), (unsigned long long)peer_id("dir/sub"));
    expect_list(peer_id("dir"), expected);
    (void)snprintf(expected, sizeof(expected), ".:%llu ..:%llu deep:%llu ",
                   (unsigned long long)peer_id("dir/sub"), (unsigned long long)peer_id("dir"),
                   (unsigned long long)peer_id("dir/sub/deep"));
    expect_list(peer_id("dir/sub"), expected);
}

static void the_root_does_not_list_the_hidden_directory(void **state)
{
    char expected[1024];

    (void)state;
    (void)snprintf(expected, sizeof(expected), ".:1 ..:1 dir:%llu huge:%llu %s:%llu ref:%llu ",
                   (unsigned long long)peer_id("dir"), (unsigned long long)peer_id("huge"),
                   LONG_255, (unsigned long long)peer_id(LONG_255),
                   (unsigned long long)peer_id("ref"));
    expect_list(1, expected);
}

static void a_buffer_without_room_for_one_name_gets_none(void **state)
{
    struct fuse_read_in in = {.size = 8};

    (void)state;
    assert_int_equal(peer_ask(FUSE_READDIR, 1, &in, sizeof(in)), 0);
    assert_int_equal(peer.size, 0);
}

static void offsets_from_nowhere_are_harmless(void **state)
{
    static const uint64_t offsets[] = {6,
                                       7,
                                       100,
                                       UINT32_MAX,
                                       1ULL << 32,
                                       (1ULL << 32) + 2,
                                       (1ULL << 32) + 1,
                                       UINT64_MAX,
                                       UINT64_MAX / 2};

    (void)state;
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct fuse_read_in in = {.offset = offsets[i], .size = 4096};
        assert_int_equal(peer_ask(FUSE_READDIR, 1, &in, sizeof(in)), 0);
        assert_int_equal(peer.size, 0);
    }
}

static void files_and_strangers_are_no_directories(void **state)
{
    struct fuse_read_in in = {.size = 4096};

    (void)state;
    assert_int_equal(peer_ask(FUSE_READDIR, peer_id("huge"), &in, sizeof(in)), ENOTDIR);
    assert_int_equal(peer_ask(FUSE_READDIRPLUS, 0x5550, &in, sizeof(in)), ESTALE);
}

static void a_large_directory_is_listed_in_parts(void **state)
{
    enum { MANY = 3000 };
    static struct hfc_entry many[MANY];
    static char keys[MANY][16], text[256 * 1024];
    size_t n = 0;

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "f%05u", i);
        many[i] = (struct hfc_entry){.key = keys[i], .etag = "e", .size = i};
    }
    fake_catalog_set(peer_tree(many, MANY));
    for (unsigned plus = 0; plus < 2; plus++) {
        list(1, 1 << 20, plus, text, sizeof(text));
        n = 0;
        for (const char *p = text; *p != '\0'; p++)
            n += *p == ' ';
        assert_int_equal(n, MANY + 2);
    }
}

/* ---- our own */

static void the_hidden_directory_has_the_file_alive(void **state)
{
    (void)state;
    assert_int_equal(peer_lookup(1, FS_HIDDEN), 0);
    assert_int_equal(entry_out()->nodeid, HIDDEN);
    assert_int_equal(entry_out()->attr.mode, S_IFDIR | 0555);
    assert_int_equal(entry_out()->entry_valid, 0);
    assert_int_equal(entry_out()->attr_valid, 0);
    assert_int_equal(peer_lookup(HIDDEN, FS_ALIVE), 0);
    assert_int_equal(entry_out()->nodeid, ALIVE);
    assert_int_equal(entry_out()->attr.size, 64);
    assert_int_equal(entry_out()->entry_valid, 0);
    assert_int_equal(entry_out()->attr_valid, 0);
    assert_int_equal(peer_lookup(HIDDEN, "other"), ENOENT);
    assert_int_equal(peer_lookup(ALIVE, "other"), ENOTDIR);
    expect_list(HIDDEN, ".:2 ..:1 alive:4 ");
}

static void alive_is_read_anew_each_time(void **state)
{
    (void)state;
    assert_int_equal(ask_open(ALIVE, O_RDONLY), 0);
    assert_int_equal(open_out()->open_flags, FOPEN_DIRECT_IO);
    assert_int_equal(ask_read(ALIVE, 0, 4096), 0);
    assert_int_equal(peer.size, 64);
    assert_memory_equal(peer.packet.body, "alive 7\n\n", 9);
    peer.shared->generation = UINT64_MAX;
    assert_int_equal(ask_read(ALIVE, 0, 4096), 0);
    assert_memory_equal(peer.packet.body, "alive 18446744073709551615\n", 27);
    assert_int_equal(ask_read(ALIVE, 60, 4096), 0);
    assert_int_equal(peer.size, 4);
    assert_int_equal(peer_getattr(ALIVE), 0);
    assert_int_equal(attr_out()->attr_valid, 0);
}

/* ---- extended attributes */

static int ask_xattr(uint64_t node, const char *name, uint32_t size)
{
    struct {
        struct fuse_getxattr_in in;
        char name[256];
    } args = {.in = {.size = size}};

    (void)snprintf(args.name, sizeof(args.name), "%s", name);
    return peer_ask(FUSE_GETXATTR, node, &args, sizeof(args.in) + strlen(name) + 1);
}

static void expect_xattr(uint64_t node, const char *name, const char *value)
{
    const struct fuse_getxattr_out *out = (const void *)peer.packet.body;

    assert_int_equal(ask_xattr(node, name, 0), 0);
    assert_int_equal(out->size, strlen(value));
    assert_int_equal(ask_xattr(node, name, 512), 0);
    assert_int_equal(peer.size, strlen(value));
    assert_memory_equal(peer.packet.body, value, peer.size);
}

static int ask_list(uint64_t node, uint32_t size)
{
    struct fuse_getxattr_in in = {.size = size};

    return peer_ask(FUSE_LISTXATTR, node, &in, sizeof(in));
}

#define ETAG "user.hfcache.etag"
#define SHA256 "user.hfcache.sha256"
#define SOURCE "user.hfcache.source"
#define CACHED "user.hfcache.cached"

static void a_file_tells_what_it_is_in_bucket_and_cache(void **state)
{
    uint64_t file = peer_id("dir/file");
    const struct blob_info info = {.id = file, .size = 123456, .key = "dir/file", .etag = "e1"};

    (void)state;
    expect_xattr(file, ETAG, "e1");
    expect_xattr(file, SHA256, "0000000000000000000000000000000000000000000000000000000000000000");
    expect_xattr(file, SOURCE, "s3://bucket/dir/file");
    expect_xattr(file, CACHED, "0");
    fake_blob(&fake_cache, &info)->there = 1;
    expect_xattr(file, CACHED, "123456");
    assert_int_equal(ask_list(file, 512), 0);
    static const char all[] = ETAG "\0" SHA256 "\0" SOURCE "\0" CACHED;
    assert_int_equal(peer.size, sizeof(all));
    assert_memory_equal(peer.packet.body, all, sizeof(all));
    assert_int_equal(ask_list(file, 0), 0);
    assert_int_equal(((const struct fuse_getxattr_out *)(const void *)peer.packet.body)->size,
                     sizeof(all));
}

static void a_digest_that_is_not_known_is_not_listed(void **state)
{
    static const char some[] = ETAG "\0" SOURCE "\0" CACHED;

    (void)state;
    assert_int_equal(ask_xattr(peer_id("huge"), SHA256, 512), ENODATA);
    assert_int_equal(ask_list(peer_id("huge"), 512), 0);
    assert_int_equal(peer.size, sizeof(some));
    assert_memory_equal(peer.packet.body, some, sizeof(some));
}

static void what_has_no_attributes(void **state)
{
    uint64_t file = peer_id("dir/file");

    (void)state;
    assert_int_equal(ask_xattr(file, "security.capability", 512), ENODATA);
    assert_int_equal(ask_xattr(file, "user.hfcache.", 512), ENODATA);
    assert_int_equal(ask_xattr(1, ETAG, 512), ENODATA);
    assert_int_equal(ask_xattr(ALIVE, ETAG, 512), ENODATA);
    assert_int_equal(ask_xattr(0x5550, ETAG, 512), ESTALE);
    assert_int_equal(ask_list(1, 512), 0);
    assert_int_equal(peer.size, 0);
    assert_int_equal(ask_list(0x5550, 512), ESTALE);
}

static void a_buffer_too_small_for_a_value_is_erange(void **state)
{
    uint64_t file = peer_id("dir/file");

    (void)state;
    assert_int_equal(ask_xattr(file, SOURCE, 5), ERANGE);
    assert_int_equal(ask_list(file, 5), ERANGE);
    assert_int_equal(ask_xattr(file, ETAG, 2), 0);
}

static void attributes_of_refs_and_of_versions_of_the_cache(void **state)
{
    const struct blob_info info = {.id = 0x5550, .size = 1000, .key = "old/key", .etag = "old"};
    struct node old;

    (void)state;
    expect_xattr(peer_id("ref"), SOURCE, "s3://bucket/ref");
    fake_blob(&fake_cache, &info)->known_to_cache = true;
    expect_xattr(0x5550, SOURCE, "s3://bucket/old/key");
    expect_xattr(0x5550, ETAG, "old");
    assert_true(nametree_path(fake_catalog.tree, "ref", &old));
    fake_catalog.retired = old;
    fake_catalog_set(peer_tree(entries, 1));
    assert_int_equal(ask_xattr(old.id, ETAG, 512), ENODATA);
}

static void an_attribute_without_end_is_e2big(void **state)
{
    static char url[5000];
    const struct fs_config config = {
        .catalog = &fake_catalog, .cache = &fake_cache, .url = url, .name_timeout = 60};

    (void)state;
    memset(url, 'u', sizeof(url) - 1);
    url[10] = '/';
    peer_stop();
    fs_free(peer.fs);
    peer.fs = fs_new(&config);
    peer_start(1);
    assert_int_equal(ask_xattr(peer_id("dir/file"), SOURCE, 8192), E2BIG);
    url[11] = '\0';
    expect_xattr(peer_id("dir/file"), SOURCE, "uuuuuuuuuu/dir/file");
}

/* ---- without a tree, and poison */

static void before_there_is_a_tree_the_root_is_empty(void **state)
{
    uint64_t file = peer_id("dir/file");
    const struct blob_info info = {.id = 0x5550, .size = 1000, .key = "old/key", .etag = "old"};

    (void)state;
    fake_catalog_set(NULL);
    assert_int_equal(peer_getattr(1), 0);
    assert_int_equal(attr_out()->attr.mode, S_IFDIR | 0555);
    expect_list(1, ".:1 ..:1 ");
    assert_int_equal(peer_lookup(1, "dir"), EIO);
    assert_true(was_logged("no tree is known yet"));
    assert_int_equal(ask_read(file, 0, 10), EIO);
    assert_int_equal(peer_lookup(1, FS_HIDDEN), 0);
    assert_int_equal(ask_read(ALIVE, 0, 10), 0);
    assert_int_equal(peer_ask(FUSE_STATFS, 1, NULL, 0), 0);
    fake_blob(&fake_cache, &info)->known_to_cache = true;
    assert_int_equal(ask_read(0x5550, 0, 10), 0); /* the cache needs none */
}

static void the_poisonous_name_fails_as_told(void **state)
{
    (void)state;
    peer_stop();
    setenv("HFCACHE_FAULT", "poison:EIO:2", 1);
    setenv("HFCACHE_FAULT_NAME", "file", 1);
    fault_setup(NULL);
    peer_start(1);
    assert_int_equal(peer_lookup(peer_id("dir"), "file"), 0);
    assert_int_equal(peer_lookup(peer_id("dir"), "empty"), 0);
    assert_int_equal(peer_lookup(peer_id("dir"), "file"), EIO);
    peer_stop();
    unsetenv("HFCACHE_FAULT");
    unsetenv("HFCACHE_FAULT_NAME");
    fault_setup(NULL);
}

/* ---- the real kernel: a worker in a process of its own, killed while its files are read */

static char mountpoint[64];

static void real_init(int dev)
{
    static uint8_t request[FUSE_MIN_READ_BUFFER];
    struct pollfd p = {.fd = dev, .events = POLLIN};
    struct {
        struct fuse_out_header out;
        struct fuse_init_out init;
    } answer = {.out = {.len = sizeof(answer)},
                .init = {.major = 7,
                         .minor = 38,
                         .max_readahead = 1 << 20,
                         .max_write = 4096,
                         .max_background = 64,
                         .congestion_threshold = 48,
                         .time_gran = 1,
                         .max_pages = 256}};

    assert_int_equal(poll(&p, 1, ANSWER_MS), 1);
    ssize_t n = read(dev, request, sizeof(request));
    assert_true(n > 0 && n <= INIT_REQUEST_MAX);
    const struct fuse_in_header *in = (const void *)request;
    const struct fuse_init_in *init = (const void *)(in + 1);
    assert_int_equal(in->opcode, FUSE_INIT);
    answer.out.unique = in->unique;
    answer.init.flags = init->flags & PEER_FLAGS;
    peer.shared->connection.flags = answer.init.flags;
    peer.shared->init_request_size = (uint32_t)n;
    memcpy(peer.shared->init_request, request, (size_t)n);
    assert_int_equal(write(dev, &answer, sizeof(answer)), sizeof(answer));
}

/* False: this machine does not let us. */
static bool real_mount(void)
{
    char options[128];
    int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (dev < 0)
        return false;
    (void)snprintf(mountpoint, sizeof(mountpoint), "/tmp/hfc-test-mount-XXXXXX");
    assert_non_null(mkdtemp(mountpoint));
    (void)snprintf(options, sizeof(options),
                   "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
                   dev);
    if (mount("hfcache-test", mountpoint, "fuse.hfcache", MS_RDONLY | MS_NODEV | MS_NOSUID,
              options) < 0) {
        (void)close(dev);
        (void)rmdir(mountpoint);
        mountpoint[0] = '\0';
        return false;
    }
    (void)close(peer.dev);
    peer.dev = dev;
    real_init(dev);
    return true;
}

static struct {
    pid_t pid;
    int go; /* written to: serve */
} workers[2];

/* They stand by from the begin, so that they inherit no file of the mount. */
static void standby(unsigned i)
{
    int fds[2];
    char byte;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    workers[i].go = fds[1];
    workers[i].pid = fork();
    if (workers[i].pid == 0) {
        (void)close(fds[1]);
        if (read(fds[0], &byte, 1) == 1)
            peer_start(3);
        for (;;)
            (void)pause();
    }
    assert_true(workers[i].pid > 0);
    (void)close(fds[0]);
}

static void serve(unsigned i)
{
    assert_int_equal(write(workers[i].go, "g", 1), 1);
}

static void end_worker(unsigned i)
{
    int status;

    if (workers[i].pid <= 0)
        return;
    (void)kill(workers[i].pid, SIGKILL);
    (void)waitpid(workers[i].pid, &status, 0);
    (void)close(workers[i].go);
    workers[i].pid = 0;
}

/* Nobody is left hanging, however the test ends. */
static int end_mount(void **state)
{
    (void)alarm(0);
    end_worker(0);
    end_worker(1);
    if (mountpoint[0] != '\0') {
        (void)umount2(mountpoint, MNT_DETACH);
        (void)rmdir(mountpoint);
    }
    return teardown(state);
}

static void real_path(char *to, const char *name)
{
    (void)snprintf(to, 512, "%s/%s", mountpoint, name);
}

static void check_names(void)
{
    char path[512], value[128];
    struct stat st;
    struct statvfs vfs;
    unsigned n = 0;

    real_path(path, "dir/file");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 123456);
    assert_int_equal(st.st_mode, S_IFREG | 0444);
    ssize_t got = getxattr(path, SOURCE, value, sizeof(value));
    assert_int_equal(got, strlen("s3://bucket/dir/file"));
    assert_true(listxattr(path, value, sizeof(value)) > 0);
    assert_int_equal(open(path, O_WRONLY), -1);
    assert_int_equal(errno, EROFS);
    DIR *d = opendir(mountpoint);
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    assert_int_equal(n, 6);
    assert_int_equal(statvfs(mountpoint, &vfs), 0);
    assert_true(vfs.f_blocks > 26214400);
    real_path(path, "nowhere");
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(errno, ENOENT);
}

static void check_file(void)
{
    static uint8_t bytes[123456];
    char path[512], text[128] = "";

    real_path(path, "ref");
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof(text)), 40);
    assert_memory_equal(text, COMMIT, 40);
    (void)close(fd);
    real_path(path, ".hfcache/alive");
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof(text)), 64);
    assert_memory_equal(text, "alive 7\n", 8);
    (void)close(fd);
    real_path(path, "dir/file");
    fd = open(path, O_RDONLY);
    assert_int_equal(lseek(fd, 5, SEEK_HOLE), 123456);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], fake_byte(i));
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    (void)close(fd);
}

/* The file stays open, and is read while nobody serves: the successor answers. */
static void check_takeover(void)
{
    char path[512], text[16];
    int status;

    real_path(path, "dir/file");
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    end_worker(0);
    pid_t reader = fork();
    if (reader == 0)
        _exit(pread(fd, text, 10, 251) == 10 && (uint8_t)text[9] == fake_byte(9) ? 0 : 1);
    serve(1);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    (void)close(fd);
}

/* A mount that hangs must not hang the test: with the workers its connection ends. */
static void give_up(int signal_number)
{
    (void)signal_number;
    for (unsigned i = 0; i < 2; i++)
        if (workers[i].pid > 0)
            (void)kill(workers[i].pid, SIGKILL);
    (void)umount2(mountpoint, MNT_DETACH);
    _exit(1);
}

static void the_kernel_gets_along_with_it(void **state)
{
    (void)state;
    peer_stop();
    if (geteuid() != 0 || !real_mount())
        skip(); /* needs to mount */
    (void)signal(SIGALRM, give_up);
    (void)alarm(120);
    standby(0);
    standby(1);
    serve(0);
    check_names();
    check_file();
    check_takeover();
    check_names();
    check_file();
    assert_int_equal(umount2(mountpoint, 0), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_file_is_found_by_its_name),
        T(a_directory_is_found_and_remembered_for_as_long_as_a_name),
        T(the_name_of_a_ref_is_remembered_for_a_second),
        T(names_that_are_not_there),
        T(attributes_are_those_of_the_name),
        T(another_version_has_another_time_and_the_same_one_always_the_same),
        T(an_id_with_bit_0_is_the_same_file),
        T(nothing_may_be_written),
        T(what_the_kernel_has_of_a_file_it_keeps),
        T(a_file_is_read),
        T(reads_that_make_no_sense_are_refused),
        T(the_content_of_a_ref_is_its_commit),
        T(a_ref_that_has_moved_is_read_on),
        T(a_version_that_only_the_cache_knows_is_read_on),
        T(a_version_that_nobody_knows_is_stale),
        T(a_blob_is_never_read_beyond_its_own_end),
        T(too_many_objects_in_use_is_an_error),
        T(a_file_has_no_holes),
        T(the_size_of_the_file_system_is_that_of_its_files),
        T(releasing_and_opening_directories_need_nothing),
        T(directories_list_their_names_in_order),
        T(the_root_does_not_list_the_hidden_directory),
        T(a_buffer_without_room_for_one_name_gets_none),
        T(offsets_from_nowhere_are_harmless),
        T(files_and_strangers_are_no_directories),
        T(a_large_directory_is_listed_in_parts),
        T(the_hidden_directory_has_the_file_alive),
        T(alive_is_read_anew_each_time),
        T(a_file_tells_what_it_is_in_bucket_and_cache),
        T(a_digest_that_is_not_known_is_not_listed),
        T(what_has_no_attributes),
        T(a_buffer_too_small_for_a_value_is_erange),
        T(attributes_of_refs_and_of_versions_of_the_cache),
        T(an_attribute_without_end_is_e2big),
        T(before_there_is_a_tree_the_root_is_empty),
        T(the_poisonous_name_fails_as_told),
        cmocka_unit_test_setup_teardown(the_kernel_gets_along_with_it, setup, end_mount),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
