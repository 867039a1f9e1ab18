"""The file system that hfcache-mount shows: names, attributes, bytes, and that nothing can be changed."""
import errno
import os
import stat

import pytest

from mount import (COMMIT, GIB, KIB, MIB, MODEL, SNAPSHOT, LocalBucket, Mount, Readers, content,
                   module_place_fixture, mounts_at, needs_mount, place_fixture, sha256, until)
from visitor import (as_user, digest, digest_or_error, hold, inode, let_go, mapped, open_to_write, parts_of_sparse,
                     read, read_cold, read_held, refusal, run, space, walk, xattrs)

__all__ = ["module_place_fixture", "place_fixture"]
pytestmark = needs_mount
LONG = "n" * 251 + ".bin"
FILES = [("a.bin", 5 * MIB + 1), ("one-byte", 1), ("block", 256 * KIB), ("block-and-one", 256 * KIB + 1),
         ("mib", MIB), ("mib-and-one", MIB + 1), ("empty", 0), (LONG, 3000), ("ö ü %41\t+.txt", 77),
         ("sub/deeper/still.bin", 300 * KIB), ("other/place/top.bin", 10_000)]


@pytest.fixture(scope="module", name="bucket")
def bucket_fixture(module_place):
    bucket = LocalBucket(module_place / "bucket")
    for name, size in FILES:
        bucket.add(name, size)
    bucket.ref("main", COMMIT)
    bucket.publish()
    return bucket


@pytest.fixture(scope="module", name="mount", params=["all-features", "old-kernel"])
def mount_fixture(request, module_place, bucket):
    """With what this kernel has, and with what production's has not."""
    without = {"without": "passthrough"} if request.param == "old-kernel" else {}
    with Mount(module_place, bucket.url, name=request.param, **without) as mount:
        mount.run()
        yield mount.wait_for_names()


def test_every_name_is_there_and_nothing_else(mount, bucket):
    # Links of the root are counted anew a moment after the names have come.
    seen = until(lambda: (all_ := mount.visitor.call(walk, str(mount.root)))["."][4] > 2 and all_,
                 "the root is known")
    assert set(seen) == bucket.names() | {"."}
    for name, (mode, uid, gid, size, links) in seen.items():
        assert (uid, gid) == (0, 0), name
        if name in bucket.numbers or name in bucket.index.refs:
            assert mode == stat.S_IFREG | 0o444, name
            assert links == 1, name
            assert size == bucket.numbers.get(name, (0, 40))[1], name
        else:
            assert mode == stat.S_IFDIR | 0o555, name
            below = sum(other != "." and os.path.dirname(other) == ("" if name == "." else name)
                        and stat.S_ISDIR(seen[other][0]) for other in seen)
            assert links == 2 + below, name


def test_every_file_has_its_bytes(mount, bucket):
    for key in bucket.numbers:
        path = str(mount.root / key)
        assert mount.visitor.call(read, path) == bucket.bytes(key), key
        assert mount.visitor.call(read_cold, path) == bucket.bytes(key), key
        if bucket.numbers[key][1]:
            assert mount.visitor.call(mapped, path) == bucket.bytes(key), key
    assert mount.visitor.call(read, str(mount.root / MODEL / "refs/main")) == COMMIT.encode()


@pytest.mark.parametrize("offset, size", [
    (0, 1), (1, 1), (256 * KIB - 1, 2), (MIB - 1, 2), (5 * MIB, 1), (5 * MIB, 100), (5 * MIB + 1, 1),
    (9 * MIB, 10), (4095, 256 * KIB + 2), (3 * MIB + 7, 2 * MIB)])
def test_pieces(mount, bucket, offset, size):
    whole = bucket.bytes("a.bin")
    assert mount.read("a.bin", offset, size) == whole[offset:offset + size]


def test_the_root_may_be_listed_and_hides_what_is_ours(mount):
    assert sorted(mount.visitor.call(os.listdir, str(mount.root))) == ["hub", "other"]
    hidden = str(mount.root / ".hfcache")
    assert mount.visitor.call(refusal, os.stat, hidden + "/index") == "ENOENT"
    assert mount.visitor.call(refusal, os.stat, hidden + "/lock") == "ENOENT"


def test_what_is_not_there(mount):
    absent = [SNAPSHOT + "/absent", "absent", MODEL + "/refs/absent", SNAPSHOT + "/A.BIN",
              SNAPSHOT + "/absent/further/down"]
    for name in absent:
        assert mount.visitor.call(refusal, os.stat, str(mount.root / name)) == "ENOENT", name
    below_file = mount.path("a.bin") + "/x"
    assert mount.visitor.call(refusal, os.stat, below_file) == "ENOTDIR"
    assert mount.visitor.call(refusal, os.listdir, mount.path("a.bin")) == "ENOTDIR"
    assert mount.visitor.call(refusal, read, str(mount.root / "hub")) == "EISDIR"
    too_long = str(mount.root / ("x" * 256))
    assert mount.visitor.call(refusal, os.stat, too_long) in ("ENOENT", "ENAMETOOLONG")


WRITES = [
    ("open to write", lambda p: (open_to_write, p, os.O_WRONLY)),
    ("open for both", lambda p: (open_to_write, p, os.O_RDWR)),
    ("open to append", lambda p: (open_to_write, p, os.O_WRONLY | os.O_APPEND)),
    ("open and empty", lambda p: (open_to_write, p, os.O_WRONLY | os.O_TRUNC)),
    ("create", lambda p: (open_to_write, p + ".new", os.O_WRONLY | os.O_CREAT)),
    ("temporary", lambda p: (open_to_write, os.path.dirname(p), os.O_RDWR | os.O_TMPFILE)),
    ("truncate", lambda p: (os.truncate, p, 1)), ("chmod", lambda p: (os.chmod, p, 0o600)),
    ("chown", lambda p: (os.chown, p, 1, 1)), ("utime", lambda p: (os.utime, p)),
    ("unlink", lambda p: (os.unlink, p)), ("rmdir", lambda p: (os.rmdir, os.path.dirname(p))),
    ("mkdir", lambda p: (os.mkdir, p + ".d")), ("rename", lambda p: (os.rename, p, p + "2")),
    ("link", lambda p: (os.link, p, p + "3")), ("symlink", lambda p: (os.symlink, p, p + "4")),
    ("mkfifo", lambda p: (os.mkfifo, p + "5")),
    ("setxattr", lambda p: (os.setxattr, p, "user.a", b"1")),
    ("removexattr", lambda p: (os.removexattr, p, "user.hfcache.etag"))]


@pytest.mark.parametrize("how", [how for _, how in WRITES], ids=[name for name, _ in WRITES])
def test_nothing_can_be_changed(mount, bucket, how):
    function, *args = how(mount.path("a.bin"))
    assert mount.visitor.call(refusal, function, *args) == "EROFS"
    assert not mount.visitor.call(os.access, mount.path("a.bin"), os.W_OK)
    assert mount.read("a.bin") == bucket.bytes("a.bin")


def test_other_users_read_too(mount, bucket):
    path = mount.path("mib")
    assert mount.visitor.call(as_user, 12345, read, path) == bucket.bytes("mib")
    assert SNAPSHOT.split("/")[-1] in mount.visitor.call(
        as_user, 12345, os.listdir, str(mount.root / MODEL / "snapshots"))


def test_the_mount_is_as_promised(mount):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        fields = next(line.split() for line in file if line.split()[4] == str(mount.root))
    options, (kind, source, more) = fields[5].split(","), fields[fields.index("-") + 1:]
    assert kind.startswith("fuse") and {"ro", "nosuid", "nodev"} <= set(options)
    # transformers gives up mmap below a source of this name.
    assert not source.startswith("hf-mount")
    assert {"allow_other", "default_permissions", "user_id=0", "group_id=0"} <= set(more.split(","))
    assert len(mounts_at(mount.root)) == 1


def test_extended_attributes(mount, bucket):
    mount.read("a.bin")
    key = bucket.key("a.bin")

    def all_cached():
        found = mount.visitor.call(xattrs, mount.path("a.bin"))
        return found if int(found["user.hfcache.cached"]) > 5 * MIB else None
    found = until(all_cached, "all of it is cached")
    assert found["user.hfcache.etag"] == bucket.index.objects[key][1].encode()
    assert found["user.hfcache.sha256"] == sha256(bucket.bytes("a.bin")).encode()
    source = found["user.hfcache.source"].decode()
    assert source.startswith("file://") and source.endswith("/a.bin")
    assert set(found) == {f"user.hfcache.{name}" for name in ("etag", "sha256", "source", "cached")}
    assert mount.visitor.call(refusal, os.getxattr, mount.path("a.bin"), "user.x") == "ENODATA"
    assert mount.visitor.call(os.listxattr, str(mount.root / "hub")) == []


def test_space_and_holes(mount):
    told = mount.visitor.call(space, str(mount.root))
    assert told["f_namemax"] == 255 and told["f_bavail"] == 0 and told["f_bsize"] >= 512
    size = 5 * MIB + 1
    assert mount.visitor.call(parts_of_sparse, mount.path("a.bin")) == (0, size, size, "ENXIO")


def test_times_are_the_objects(mount, bucket):
    st = mount.visitor.call(os.stat, mount.path("a.bin"))
    assert 0 <= st.st_mtime <= os.stat(bucket.root / bucket.key("a.bin")).st_mtime + 5
    assert st.st_mtime == mount.visitor.call(os.stat, mount.path("a.bin")).st_mtime


def test_inodes_are_stable_and_unlike(mount, bucket):
    numbers = {key: mount.visitor.call(inode, str(mount.root / key)) for key in bucket.names()}
    assert len(set(numbers.values())) == len(numbers)
    for key in bucket.numbers:
        mount.visitor.call(read, str(mount.root / key))
    assert numbers == {key: mount.visitor.call(inode, str(mount.root / key)) for key in numbers}


def test_everything_at_once_on_one_file(mount, bucket):
    with Readers(mount.targets(bucket, "a.bin"), mount.place, processes=6, threads=4) as readers:
        readers.wait_for(500)
        readers.finish_clean()


def test_names_of_many_kinds_through_the_shell(mount, bucket):
    """No library of ours in between."""
    done = mount.visitor.call(run, "sha256sum", mount.path(LONG), mount.path("ö ü %41\t+.txt"))
    assert [line.split()[0].lstrip("\\") for line in done.splitlines()] == [
        sha256(bucket.bytes(LONG)), sha256(bucket.bytes("ö ü %41\t+.txt"))]


# On mounts of their own.

@pytest.fixture(name="fresh")
def fresh_fixture(place):
    """(bucket, mount) that a test may change."""
    bucket = LocalBucket(place / "bucket")
    bucket.add("w.bin", 3 * MIB)
    bucket.ref("main", COMMIT)
    bucket.publish()
    with Mount(place, bucket.url) as mount:
        mount.run()
        yield bucket, mount.wait_for_names()


def test_a_ref_moves_within_the_interval(fresh):
    bucket, mount = fresh
    path = str(mount.root / MODEL / "refs/main")
    assert mount.visitor.call(read, path) == COMMIT.encode()
    other = "0123456789" * 4
    bucket.put(f"{MODEL}/snapshots/{other}/new.txt", b"new")
    bucket.ref("main", other)
    bucket.publish()
    until(lambda: mount.visitor.call(read, path) == other.encode(), "the ref has moved", 30)
    assert mount.visitor.call(read, str(mount.root / f"{MODEL}/snapshots/{other}/new.txt")) == b"new"


def test_names_come_and_go(fresh):
    bucket, mount = fresh
    folder = str(mount.root / SNAPSHOT)
    bucket.add("later.bin", 100_000)
    bucket.publish()
    until(lambda: "later.bin" in mount.visitor.call(os.listdir, folder), "it has come", 30)
    assert mount.read("later.bin") == bucket.bytes("later.bin")
    bucket.remove("later.bin")
    bucket.publish()
    until(lambda: mount.visitor.call(refusal, os.stat, f"{folder}/later.bin") == "ENOENT",
          "it has gone", 30)
    assert mount.visitor.call(os.listdir, folder) == ["w.bin"]


@pytest.mark.parametrize("seen", ["nothing", "a part", "everything"])
def test_an_open_file_stays_with_its_version(fresh, seen):
    """Reads of a replaced object are right or ESTALE, never mixed."""
    bucket, mount = fresh
    old = bucket.bytes("w.bin")
    fd = mount.visitor.call(hold, mount.path("w.bin"))
    if seen != "nothing":
        size = 1000 if seen == "a part" else len(old)
        assert mount.visitor.call(read_held, fd, 0, size) == old[:size]
    bucket.add("w.bin", 3 * MIB)
    new = bucket.bytes("w.bin")
    assert old != new
    results = set()
    for offset in range(0, 3 * MIB, 128 * KIB):
        try:
            piece = mount.visitor.call(read_held, fd, offset, 128 * KIB)
            results.add("old")
            assert piece == old[offset:offset + 128 * KIB], offset
        except OSError as error:
            assert error.errno == errno.ESTALE
            results.add("stale")
    assert results <= {"nothing": {"stale"}, "a part": {"old", "stale"}, "everything": {"old"}}[seen]
    bucket.publish()
    # The kernel knows the old name for a moment.
    until(lambda: mount.visitor.call(digest_or_error, mount.path("w.bin")) == sha256(new),
          "the new bytes", 30)
    if seen == "everything":
        assert mount.visitor.call(read_held, fd) == old
    mount.visitor.call(let_go, fd)


def test_a_bucket_without_an_index_is_listed(place):
    bucket = LocalBucket(place / "bucket")
    bucket.add("w.bin", 700_000)
    bucket.ref("main", COMMIT)
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        assert set(mount.visitor.call(walk, str(mount.root))) == bucket.names() | {"."}
        assert mount.read("w.bin") == bucket.bytes("w.bin")
        assert mount.visitor.call(read, str(mount.root / MODEL / "refs/main")) == COMMIT.encode()
        bucket.add("more.bin", 10)
        until(lambda: mount.visitor.call(os.path.exists, mount.path("more.bin")), "it is seen", 30)
        bucket.publish()
        assert mount.read("more.bin") == bucket.bytes("more.bin")


def test_an_index_that_breaks_changes_nothing(fresh):
    bucket, mount = fresh
    path = bucket.root / ".hfcache/index"
    # Links of the root are counted anew a moment after the names have come.
    before = until(lambda: (seen := mount.visitor.call(walk, str(mount.root)))["."][4] == 3 and seen,
                   "the root is known")
    failed = 'tree_refreshes_total{result="failed"}'
    for text in (path.read_bytes()[:-10], b"", b"hfcache-index 9\n", None):
        seen = mount.metrics()[failed]
        path.unlink()
        if text is not None:
            path.write_bytes(text)
        until(lambda: mount.metrics()[failed] > seen, "it has looked", 30)  # pylint: disable=W0640
        assert mount.visitor.call(walk, str(mount.root)) == before
    bucket.add("later.bin", 10)
    bucket.publish()
    until(lambda: mount.visitor.call(os.path.exists, mount.path("later.bin")), "it recovers", 30)


def test_a_file_of_100_gib(place):
    bucket = LocalBucket(place / "bucket")
    bucket.add("small", 10)
    path, size = bucket.root / bucket.key("huge.bin"), 100 * GIB
    with open(path, "wb") as file:
        try:
            file.truncate(size)
        except OSError as error:
            pytest.skip(f"no sparse file of 100 GiB here: {error.strerror}")
        file.write(b"first")
        file.seek(size - 4)
        file.write(b"last")
    bucket.index.objects[bucket.key("huge.bin")] = (size, bucket.etag(bucket.key("huge.bin")), None,
                                                    None)
    bucket.publish()
    with Mount(place, bucket.url, cache_size="64Mi") as mount:
        mount.run()
        mount.wait_for_names()
        assert mount.visitor.call(os.stat, mount.path("huge.bin")).st_size == size
        assert mount.read("huge.bin", 0, 10) == b"first" + bytes(5)
        assert mount.read("huge.bin", size - 10, 100) == bytes(6) + b"last"
        assert mount.read("huge.bin", size // 2, 3 * MIB) == bytes(3 * MIB)
        assert mount.visitor.call(parts_of_sparse, mount.path("huge.bin"))[2] == size


def test_100_000_names(place):
    bucket = LocalBucket(place / "bucket")
    last = bucket.add("f099/file-000999.bin", 5)
    size, etag, *digests = bucket.index.objects[last]
    for folder in range(100):
        for number in range(1000):
            key = f"{SNAPSHOT}/f{folder:03}/file-{number:06}.bin"
            bucket.index.objects.setdefault(key, (folder * 1000 + number, "e" * 32, *digests))
    assert (size, etag) == bucket.index.objects[last][:2]
    bucket.publish()
    with Mount(place, bucket.url, memory="256Mi") as mount:
        mount.run()
        mount.wait_for_names()
        names = mount.visitor.call(os.listdir, str(mount.root / SNAPSHOT / "f042"), timeout=120)
        assert sorted(names) == [f"file-{number:06}.bin" for number in range(1000)]
        assert mount.visitor.call(os.stat, mount.path("f042/file-000007.bin")).st_size == 42_007
        # One stat each.
        found = mount.visitor.call(run, "find", str(mount.root), "-type", "f", "-size", "-1000000",
                                   timeout=300)
        assert found.count("\n") == 100_000
        assert mount.visitor.call(read, str(mount.root / last)) == bucket.bytes(last)
        assert mount.metrics()["tree_names"] >= 100_000


def test_two_mounts_side_by_side(place):
    first, second = LocalBucket(place / "one"), LocalBucket(place / "two")
    first.add("x.bin", MIB, number=1)
    second.add("x.bin", MIB, number=2)
    for bucket in (first, second):
        bucket.publish()
    with Mount(place, first.url, name="m1") as one, Mount(place, second.url, name="m2") as two:
        one.run()
        two.run()
        one.wait_for_names()
        two.wait_for_names()
        assert one.read("x.bin") == content(1, MIB)
        assert two.visitor.call(digest, two.path("x.bin")) == sha256(content(2, MIB))
