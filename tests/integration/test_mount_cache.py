"""The cache on disk: its bound as du(1) sees it, disks that fail, and bytes that somebody else changed.

Readers get right bytes throughout; what the disk can't hold or has spoiled comes from the store.
"""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

from mount import (BLOCK, KIB, MIB, NOBODY, SANITIZED, DiskWatch, LocalBucket, Mount, Readers, content,
                   needs_mount, place_fixture, sizes, until, used)
from visitor import digest_cold, hold, read_held

__all__ = ["place_fixture"]
pytestmark = needs_mount
FILES = [("big.bin", 20 * MIB + 11), ("mid.bin", 5 * MIB), ("one.bin", BLOCK), ("odd.bin", BLOCK + 1),
         ("small.bin", 5000), ("mib.bin", MIB)]
LIMIT = 8 * MIB
QUICK = {"largest": 256 * KIB}


@pytest.fixture(name="bucket")
def bucket_fixture(place):
    return sizes(LocalBucket(place / "bucket"), *FILES)


def many(place, count, size):
    bucket = LocalBucket(place / "bucket")
    return sizes(bucket, *((f"f{number:03}.bin", size + number) for number in range(count)))


def whole(mount, bucket):
    """Every file, once, right."""
    for key in bucket.numbers:
        assert mount.visitor.call(digest_cold, mount.path(key)) == bucket.index.objects[key][2], key


def blobs(mount, suffix):
    return sorted((mount.cache / "blobs").glob(f"*{suffix}"))


def filled(mount, bucket):
    """All files are in the cache, and nobody writes any more."""
    whole(mount, bucket)
    settle(mount)


def settle(mount):
    state = [None]

    def quiet():
        before, state[0] = state[0], used(mount.cache)
        return before == state[0]
    until(quiet, "the cache is quiet", every=0.2)


@contextlib.contextmanager
def disk(place, kind, size, options=""):
    """A small file system as the folder for a cache."""
    folder = place / "disk"
    folder.mkdir()
    if kind == "tmpfs":
        argv = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "none", folder]
    else:
        image = place / "image"
        with open(image, "wb") as file:
            file.truncate(size)
        done = subprocess.run([f"mkfs.{kind}", "-q", "-m", "0", image], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            pytest.skip(f"mkfs.{kind}: {done.stderr.strip()}")
        argv = ["mount", "-o", f"loop{options}", image, folder]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no {kind} here: {done.stderr.strip()}")
    os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def taken(folder):
    """Of the whole file system: deleted files that are open count too."""
    st = os.statvfs(folder)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


class Shelf(Mount):
    """A mount whose cache lies elsewhere."""

    def __init__(self, place, store, cache, **more):
        super().__init__(place, store, **more)
        self.cache.rmdir()
        self.cache = cache


# The bound.

def test_the_bound_with_hundreds_of_open_files(place):
    bucket = many(place, 300, 200 * KIB)
    with Mount(place, bucket.url, cache_size=str(LIMIT)) as mount, DiskWatch(mount.cache) as watch:
        mount.run()
        mount.wait_for_names()
        for key in bucket.numbers:
            fd = mount.visitor.call(hold, str(mount.root / key))
            assert mount.visitor.call(read_held, fd, 0, 64 * KIB) == bucket.bytes(key)[:64 * KIB]
        with Readers(mount.targets(bucket), place, processes=40, modes="random,mmap,reopen",
                     **QUICK) as readers:
            readers.wait_for(1500)
            mount.wait_successor(mount.kill_worker())
            readers.wait_for(500)
            readers.finish_clean()
        metrics = mount.metrics()
    assert watch.looks > 20
    assert watch.most <= LIMIT + BLOCK, f"{watch.most} bytes in {watch.looks} looks"
    assert metrics["cache_evictions_total"] > 0 and metrics["cache_limit_bytes"] == LIMIT
    assert watch.most > LIMIT // 2, "the test did not fill the cache"


def test_the_bound_counts_deleted_files_too(place, bucket):
    with disk(place, "tmpfs", 64 * MIB) as folder:
        cache = folder / "cache"
        cache.mkdir()
        os.chown(cache, NOBODY, NOBODY)
        before = taken(folder)
        with Shelf(place, bucket.url, cache, cache_size=str(LIMIT)) as mount, \
                DiskWatch(folder, taken) as watch:
            mount.run()
            mount.wait_for_names()
            with Readers(mount.targets(bucket), place, processes=20, **QUICK) as readers:
                for _ in range(3):
                    readers.wait_for(300)
                    mount.wait_successor(mount.kill_worker())
                readers.finish_clean()
        assert watch.most - before <= LIMIT + BLOCK, watch.most - before
        assert watch.most - before > LIMIT // 2


@pytest.mark.parametrize("limit", [2 * MIB, 5 * MIB])
def test_a_bound_smaller_than_one_file(place, bucket, limit):
    with Mount(place, bucket.url, cache_size=str(limit)) as mount, DiskWatch(mount.cache) as watch:
        mount.run()
        mount.wait_for_names()
        whole(mount, bucket)
        with Readers(mount.targets(bucket, "big.bin"), place, processes=12, **QUICK) as readers:
            readers.wait_for(300)
            readers.finish_clean()
    assert watch.most <= limit + BLOCK, watch.most


def test_a_smaller_bound_at_the_next_start(place, bucket):
    with Mount(place, bucket.url, cache_size="64Mi") as mount:
        mount.keep()
        mount.serve()
        mount.wait_for_names()
        filled(mount, bucket)
        assert used(mount.cache) > 25 * MIB
        mount.serve(cache_size="4Mi")
        until(lambda: used(mount.cache) <= 4 * MIB + BLOCK, lambda: f"{used(mount.cache)} is too much")
        with DiskWatch(mount.cache) as watch:
            whole(mount, bucket)
        assert watch.most <= 4 * MIB + BLOCK, watch.most


def test_the_metric_is_what_du_says(place, bucket):
    with Mount(place, bucket.url, cache_size="64Mi") as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        told, seen = mount.metrics()["cache_bytes"], used(mount.cache)
        assert abs(told - seen) <= BLOCK, (told, seen)
        assert mount.status()["cache"]["used"] == told


def test_percent_of_the_disk(place, bucket):
    with disk(place, "tmpfs", 40 * MIB) as folder:
        with Shelf(place, bucket.url, folder, cache_size="25%") as mount, \
                DiskWatch(folder, taken) as watch:
            mount.run()
            mount.wait_for_names()
            whole(mount, bucket)
            whole(mount, bucket)
            assert abs(mount.metrics()["cache_limit_bytes"] - 10 * MIB) < 4 * KIB
        assert 5 * MIB < watch.most <= 10 * MIB + BLOCK, watch.most


NO_PUNCH = """
#define _GNU_SOURCE
#include <errno.h>
int fallocate(int fd, int mode, long offset, long n) { errno = 95; return -1; }
int fallocate64(int fd, int mode, long offset, long n) { errno = 95; return -1; }
"""


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' own library has to come first")
def test_a_file_system_that_punches_no_holes(place, bucket):
    source, library = place / "nopunch.c", place / "nopunch.so"
    source.write_text(NO_PUNCH)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    with Mount(place, bucket.url, cache_size=str(LIMIT), env={"LD_PRELOAD": library}) as mount, \
            DiskWatch(mount.cache) as watch:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=20, **QUICK) as readers:
            readers.wait_for(500)
            readers.finish_clean()
        whole(mount, bucket)
        assert mount.status()["cache"]["punches_holes"] is False
    assert watch.most <= LIMIT + BLOCK, watch.most


# Disks that fail.

@pytest.mark.parametrize("kind, options", [("tmpfs", ""), ("tmpfs", ",nr_inodes=10"), ("ext4", "")],
                         ids=["tmpfs", "no-inodes", "ext4"])
def test_a_full_disk(place, bucket, kind, options):
    with disk(place, kind, 6 * MIB if kind == "tmpfs" else 16 * MIB, options) as folder:
        if kind == "ext4":
            shutil.rmtree(folder / "lost+found")
        with Shelf(place, bucket.url, folder, cache_size="64Mi") as mount:
            mount.run()
            mount.wait_for_names()
            whole(mount, bucket)
            with Readers(mount.targets(bucket), place, processes=20, **QUICK) as readers:
                readers.wait_for(300)
                mount.wait_successor(mount.kill_worker())
                readers.wait_for(300)
                readers.finish_clean()
            metrics = mount.metrics()
            assert metrics["cache_bypassed_total"] + metrics["cache_evictions_total"] > 0
            assert mount.visitor.call(os.listdir, str(mount.root))


def test_a_disk_that_turns_read_only(place, bucket):
    with disk(place, "ext4", 48 * MIB, ",errors=remount-ro") as folder:
        shutil.rmtree(folder / "lost+found")
        with Shelf(place, bucket.url, folder, cache_size="32Mi") as mount:
            mount.run()
            mount.wait_for_names()
            assert mount.read("mid.bin") == bucket.bytes("mid.bin")
            device = subprocess.run(["findmnt", "-no", "SOURCE", folder], capture_output=True, text=True,
                                    check=True).stdout.strip().rpartition("/")[2]
            trigger = f"/sys/fs/ext4/{device}/trigger_fs_error"
            if not os.path.exists(trigger):
                pytest.skip("this kernel can't be told that a disk fails")
            with open(trigger, "w", encoding="ascii") as file:
                file.write("1")
            with Readers(mount.targets(bucket), place, processes=20, **QUICK) as readers:
                readers.wait_for(300)
                readers.finish_clean()
            whole(mount, bucket)
            # Each try to write, ten seconds apart, finds it so again.
            until(lambda: mount.read("big.bin") and mount.metrics()["cache_degraded"] == 1,
                  "metrics tell", every=0.2)
            until(lambda: mount.read("big.bin") and mount.status()["cache"]["degraded"], "status tells",
                  every=0.2)


@pytest.mark.parametrize("fault", ["disk-write:EIO:*", "disk-write:ENOSPC:*", "disk-write:EROFS:*",
                                   "disk-read:EIO:*", "disk-read:EIO:2,disk-write:EIO:3",
                                   "disk-write:EIO:5+,disk-read:EIO:5+"])
def test_errors_of_the_disk(place, bucket, fault):
    with Mount(place, bucket.url, cache_size="64Mi", env={"HFCACHE_FAULT": fault}) as mount:
        mount.run()
        mount.wait_for_names()
        whole(mount, bucket)
        with Readers(mount.targets(bucket), place, processes=20, **QUICK) as readers:
            readers.wait_for(300)
            readers.finish_clean()
        whole(mount, bucket)
        metrics = mount.metrics()
        assert metrics["disk_errors_total"] > 0
        if fault.startswith("disk-write") and fault.endswith("*"):
            assert metrics["cache_bypassed_total"] > 0 and metrics["cache_degraded"] == 1
        assert any("cache" in line.lower() for line in mount.messages())


def test_a_disk_that_recovers_is_used_again(place, bucket):
    with Mount(place, bucket.url, env={"HFCACHE_FAULT": "disk-write:EIO:1"}) as mount:
        mount.run()
        mount.wait_for_names()
        assert mount.read("mib.bin") == bucket.bytes("mib.bin")
        assert mount.metrics()["disk_errors_total"] == 1
        # What is in memory, or was read meanwhile, need not be stored any more; this has not been read.
        until(lambda: mount.read("big.bin", 0, BLOCK) and mount.metrics()["cache_degraded"] == 0,
              "it is tried again", every=0.2)
        assert mount.read("mid.bin") == bucket.bytes("mid.bin")
        settle(mount)
        assert used(mount.cache) > 5 * MIB


# What others do to the files.

def dead_and_filled(mount, bucket):
    """A cache with everything in it, and no worker that uses it."""
    mount.keep()
    worker = mount.serve()
    mount.wait_for_names()
    filled(mount, bucket)
    worker.end(signal.SIGKILL)


def checked_after(mount, bucket, least_failures=1):
    mount.serve()
    with Readers(mount.targets(bucket), mount.place, processes=8, **QUICK) as readers:
        whole(mount, bucket)
        readers.finish_clean()
    failures = sum(value for name, value in mount.metrics().items()
                   if name.startswith("verify_failures_total"))
    assert failures >= least_failures, mount.metrics()
    # And everything is mended.
    settle(mount)
    before = mount.metrics()["fetch_bytes_total"]
    whole(mount, bucket)
    assert mount.metrics()["fetch_bytes_total"] == before


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1 << random.randrange(8)]))


def test_flipped_bits_in_data(place, bucket):
    with Mount(place, bucket.url) as mount:
        dead_and_filled(mount, bucket)
        for path in blobs(mount, ".data"):
            size = path.stat().st_size
            for at in {0, size - 1, size // 2, random.randrange(size)}:
                flip(path, at)
        checked_after(mount, bucket, len(FILES))


def test_flipped_bits_in_data_while_it_is_served(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        with Readers(mount.targets(bucket), place, processes=12, **QUICK) as readers:
            for _ in range(40):
                path = random.choice(blobs(mount, ".data"))
                flip(path, random.randrange(max(1, path.stat().st_size)))
                readers.wait_for(10)
            readers.finish_clean()
        whole(mount, bucket)


def test_flipped_bits_in_maps(place, bucket):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with Mount(place, bucket.url) as mount:
        dead_and_filled(mount, bucket)
        for path in blobs(mount, ".map"):
            size = path.stat().st_size
            for at in dice.sample(range(size), min(size, 24)):
                flip(path, at)
        checked_after(mount, bucket, 0)


def damage(mount, dice):
    """What a power cut may leave of writes that were never synced."""
    for path in blobs(mount, ".data") + blobs(mount, ".map"):
        size = path.stat().st_size
        what = dice.choice(["nothing", "zeros", "short", "empty", "gone", "garbage", "older"])
        if what == "short":
            os.truncate(path, dice.randrange(size) if size else 0)
        elif what == "empty":
            os.truncate(path, 0)
        elif what == "gone":
            path.unlink()
        elif what in ("zeros", "garbage", "older"):
            with open(path, "r+b") as file:
                for _ in range(dice.randrange(1, 6)):
                    at = dice.randrange(max(1, size)) // 4096 * 4096
                    n = min(size - at, 4096 * dice.randrange(1, 100))
                    file.seek(at)
                    file.write({"zeros": bytes(n), "garbage": dice.randbytes(n)}.get(
                        what, content(99, n, at)))
    for number in range(3):
        (mount.cache / "blobs" / f"{dice.randrange(1 << 64):016x}.{dice.choice(['data', 'map', 'tmp'])}"
         ).write_bytes(dice.randbytes(number * 5000))


@pytest.mark.parametrize("round_", range(4))
def test_a_power_cut(place, bucket, round_):
    seed = random.randrange(1 << 32)
    print(f"round {round_}, seed {seed}")
    dice = random.Random(seed)
    with Mount(place, bucket.url, cache_size=dice.choice(["12Mi", "64Mi"])) as mount:
        for _ in range(3):
            mount.keep()
            worker = mount.serve()
            mount.wait_for_names()
            with Readers(mount.targets(bucket), place, processes=8, **QUICK) as readers:
                readers.wait_for(150)
                worker.end(signal.SIGKILL)
                damage(mount, dice)
                mount.serve()
                readers.wait_for(150)
                readers.finish_clean()
            whole(mount, bucket)
            mount.stop_hard()
            damage(mount, dice)


def test_a_copy_taken_while_it_is_written(place, bucket):
    """The files as they were at different moments, as after a crash of the machine."""
    with Mount(place, bucket.url, cache_size="12Mi") as mount, \
            Mount(place, bucket.url, name="second", cache_size="12Mi") as second:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=12, **QUICK) as readers:
            readers.wait_for(200)
            for path in [*mount.cache.iterdir(), *blobs(mount, "")]:
                target = second.cache / path.relative_to(mount.cache)
                with contextlib.suppress(FileNotFoundError):
                    if path.is_dir():
                        target.mkdir()
                    else:
                        shutil.copy(path, target)
                readers.wait_for(5)
            readers.finish_clean()
        for path in [second.cache, *second.cache.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        second.run()
        second.wait_for_names()
        whole(second, bucket)
        whole(second, bucket)
        until(lambda: used(second.cache) <= 12 * MIB + BLOCK, "the bound holds")


def test_somebody_deletes_files_of_the_cache(place, bucket):
    with Mount(place, bucket.url, cache_size="24Mi") as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        ended = threading.Event()

        def delete():
            while not ended.wait(0.02):
                for path in random.sample(found := blobs(mount, ""), min(2, len(found))):
                    with contextlib.suppress(FileNotFoundError):
                        path.unlink()
        thread = threading.Thread(target=delete)
        thread.start()
        try:
            with Readers(mount.targets(bucket), place, processes=12, **QUICK) as readers:
                readers.wait_for(400)
                mount.wait_successor(mount.kill_worker())
                readers.wait_for(400)
                readers.finish_clean()
        finally:
            ended.set()
            thread.join()
        whole(mount, bucket)


def test_somebody_deletes_the_whole_cache(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        for path in mount.cache.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()  # pylint: disable=W0106
        whole(mount, bucket)
        mount.wait_successor(mount.kill_worker())
        mount.wait_for_names()
        whole(mount, bucket)


def test_files_of_the_cache_cut_short_while_it_is_served(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        with Readers(mount.targets(bucket), place, processes=12, **QUICK) as readers:
            for _ in range(20):
                path = random.choice(blobs(mount, ""))
                with contextlib.suppress(FileNotFoundError):
                    os.truncate(path, random.randrange(max(1, path.stat().st_size)))
                readers.wait_for(10)
            readers.finish_clean()
        whole(mount, bucket)


# Restarts.

def test_a_full_cache_serves_without_the_store(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        mount.stop_hard()
        for path in [*bucket.root.iterdir()]:
            path.rename(place / path.name)
        began = time.monotonic()
        mount.run()
        mount.wait_for_names()
        print(f"served after {time.monotonic() - began:.2f} s")
        for name, size in FILES:
            key = bucket.key(name)
            assert mount.read(name) == content(*bucket.numbers[key]), (key, size)
        assert mount.metrics()["fetch_bytes_total"] == 0


def test_a_cache_of_another_bucket_is_not_mistaken(place, bucket):
    other = LocalBucket(place / "other")
    for number, (name, size) in enumerate(FILES):
        other.add(name, size, number=100 + number)
    other.publish()
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        filled(mount, bucket)
        mount.stop_hard()
        mount.store = other.url
        mount.run()
        mount.wait_for_names()
        until(lambda: mount.read("small.bin") == other.bytes("small.bin"), "the other's tree", 30)
        whole(mount, other)


def test_one_fetch_for_all_readers_of_a_block(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket, "mid.bin"), place, processes=32, modes="sequential",
                     **QUICK) as readers:
            readers.wait_for(32 * 20)
            readers.finish_clean()
        assert mount.metrics()["fetch_bytes_total"] <= 5 * MIB
