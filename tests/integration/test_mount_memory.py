"""--memory holds: keeper, worker, standby and prober in a control group of 64 MiB, with 300 streams.

Version 1 of control groups doesn't charge sockets to the same counter, so the sum of both peaks has
to fit; version 2 charges all to one.
"""
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mount import (KIB, MIB, SANITIZED, LocalBucket, Mount, Readers, S3Bucket, is_gone, marked, needs_mount,
                   place_fixture, sizes, until)
from servers import Versitygw

__all__ = ["place_fixture"]
pytestmark = [needs_mount, pytest.mark.xdist_group("memory"),
              pytest.mark.skipif(SANITIZED, reason="the sanitizers' own memory is not counted")]
LIMIT = 64 * MIB
STREAMS = 300
SIZE = 3 * MIB // 2


class Group:
    """A memory control group, limited."""

    def __init__(self, name, limit):
        self.parent, self.version = self.find()
        self.folder = self.parent / f"hfcache-test-{os.getpid()}-{name}"
        self.limit = limit

    @staticmethod
    def find():
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                return Path("/sys/fs/cgroup/memory" + path), 1
        root = Path("/sys/fs/cgroup")
        if (root / "cgroup.controllers").exists():
            return root, 2
        raise OSError("no memory control groups")

    def __enter__(self):
        try:
            self.folder.mkdir()
            if self.version == 1:
                self.write("memory.limit_in_bytes", self.limit)
                # Counted only if limited.
                self.write("memory.kmem.tcp.limit_in_bytes", self.limit)
            else:
                with contextlib.suppress(OSError):
                    (self.parent / "cgroup.subtree_control").write_text("+memory")
                self.write("memory.max", self.limit)
                with contextlib.suppress(OSError):
                    self.write("memory.swap.max", 0)
        except OSError as error:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            pytest.skip(f"no control group of memory can be made here: {error}")
        return self

    def __exit__(self, *_):
        for _ in range(100):
            try:
                self.folder.rmdir()
                return
            except OSError:
                for pid in (self.folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                time.sleep(0.05)

    def write(self, name, value):
        (self.folder / name).write_text(str(value))

    def number(self, name):
        return int((self.folder / name).read_text())

    def enter(self):
        """In the child, ahead of exec."""
        (self.folder / "cgroup.procs").write_text("0")

    def stat(self):
        return {name: int(value) for name, value in
                (line.split() for line in (self.folder / "memory.stat").read_text().splitlines())}

    def sockets(self):
        return self.number("memory.kmem.tcp.max_usage_in_bytes") if self.version == 1 else 0

    def peak(self):
        if self.version == 1:
            return self.number("memory.max_usage_in_bytes") + self.sockets()
        return self.number("memory.peak")

    def kills(self):
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        words = dict(line.split() for line in (self.folder / name).read_text().splitlines())
        return int(words.get("oom_kill", 0))

    def parts(self):
        """Anonymous, shared, page cache, kernel, sockets: what they are at this moment."""
        stat = self.stat()
        if self.version == 1:
            return {"anonymous": stat["rss"], "shared": stat.get("shmem", stat.get("mapped_file", 0)),
                    "file": stat["cache"], "kernel": self.number("memory.kmem.usage_in_bytes"),
                    "sockets": self.number("memory.kmem.tcp.usage_in_bytes")}
        return {"anonymous": stat["anon"], "shared": stat["shmem"], "file": stat["file"],
                "kernel": stat["kernel"], "sockets": stat["sock"]}


class Parts:
    """The most of each part while it looks."""

    def __init__(self, group):
        self.group, self.most = group, {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ended.wait(0.02):
            for name, value in self.group.parts().items():
                self.most[name] = max(value, self.most.get(name, 0))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def __str__(self):
        return ", ".join(f"{name} {value / MIB:.1f}" for name, value in self.most.items())


def stream_all(mount, bucket, place, streams, **how):
    targets = mount.targets(bucket)
    with Readers(targets, place, processes=streams, modes="stream", largest=MIB, **how) as readers:
        # Each reads its files once, then all end by themselves.
        until(lambda: readers.lines.child.poll() is not None, "all streams end", 240, 0.1)
        return readers.finish_clean()


@pytest.mark.parametrize("features", ["all", "old-kernel"])
def test_300_cold_streams_over_tls_in_64_mib(place, tmp_path, features):
    without = {"without": "passthrough"} if features == "old-kernel" else {}
    with Versitygw(tmp_path, tls=True) as s3:
        bucket = S3Bucket(s3)
        bucket = sizes(bucket, *((f"f{n:03}.bin", SIZE + n) for n in range(STREAMS)))
        with Group("streams", LIMIT) as group, Mount(
                place, bucket.url, env=s3.env, memory="64Mi", cache_size="1Gi", read_timeout=300,
                **without) as mount:
            mount.run(preexec=group.enter)
            mount.wait_for_names()
            idle = group.parts()
            with Parts(group) as parts:
                counts = stream_all(mount, bucket, place, STREAMS)
            metrics = mount.metrics()
            print(f"\npeak {group.peak() / MIB:.1f} MiB; most of each part in MiB: {parts}; "
                  f"idle: {idle}; longest read {counts['longest_ms']:.0f} ms")
            print({name: value / MIB for name, value in metrics.items() if "memory" in name})
            assert counts["bytes"] == sum(size for _, size in bucket.numbers.values())
            assert group.kills() == 0
            assert group.peak() <= LIMIT, parts
            assert metrics["takeovers_total"] <= 1, "a worker has died"
            assert not any("memory" in line and "kill" in line for line in mount.messages())
            # Whoever could be forgotten is inside.
            inside = set(map(int, (group.folder / "cgroup.procs").read_text().split()))
            assert {mount.keeper_pid, mount.worker_pid} <= inside
            assert {pid for pid in marked(place) if mount.belongs(pid)} - inside == set()


def test_the_limit_of_the_group_is_the_default(place):
    bucket = sizes(LocalBucket(place / "bucket"), ("a.bin", MIB))
    with Group("default", 100 * MIB) as group, Mount(place, bucket.url, memory=None) as mount:
        mount.run(preexec=group.enter)
        mount.wait_for_names()
        assert mount.metrics()['memory_budget_bytes{part="total"}'] == 100 * MIB
        assert mount.read("a.bin") == bucket.bytes("a.bin")
        assert group.kills() == 0


HOG = """
import time
held = []
while True:
    held.append(b"x" * (1 << 20))
    time.sleep(0.002)
"""


def test_an_oom_kill_is_not_seen_by_readers(place):
    """Worker and standby share a group with something that takes all of it. The kernel's first choice
    is the worker."""
    bucket = sizes(LocalBucket(place / "bucket"), *((f"f{n}.bin", 4 * MIB) for n in range(8)))

    def join(group, score):
        Path("/proc/self/oom_score_adj").write_text(str(score))
        group.enter()
    with Group("oom", 64 * MIB) as group, Mount(place, bucket.url, cache_size="8Mi") as mount:
        mount.keep()
        mount.serve(preexec=lambda: join(group, 1000))
        mount.serve(standby=True)
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=24, largest=256 * KIB) as readers:
            readers.wait_for(100)
            pid = mount.worker_pid
            hog = subprocess.Popen([sys.executable, "-c", HOG], preexec_fn=lambda: join(group, 0))
            try:
                until(lambda: is_gone(pid), "the kernel kills the worker")
                mount.wait_successor(pid)
            finally:
                hog.kill()
                hog.wait()
            readers.wait_for(300)
            readers.finish_clean()
        assert group.kills() > 0 and mount.status()["deaths"] == 1


def test_too_little_memory_is_refused_with_the_figure_that_works(place):
    bucket = sizes(LocalBucket(place / "bucket"), ("a.bin", MIB))
    with Mount(place, bucket.url) as mount:
        process = mount.run(wait=False, memory="2Mi")
        assert process.wait() not in (0, -11)
        found = re.findall(r"(\d+) ?Mi", process.text())
        assert found, process.text()
        mount.run(memory=f"{max(map(int, found))}Mi")
        mount.wait_for_names()
        assert mount.read("a.bin") == bucket.bytes("a.bin")


def test_nothing_grows_with_readers_or_open_files(place):
    """Ten times the readers and files, the same memory."""
    bucket = sizes(LocalBucket(place / "bucket"), *((f"f{n:03}.bin", 64 * KIB) for n in range(400)))
    with Mount(place, bucket.url, cache_size="8Mi", memory="64Mi") as mount:
        mount.run()
        mount.wait_for_names()
        sizes_seen = []
        for count in (10, 400):
            with Readers(mount.targets(bucket)[:count], place, processes=count // 4,
                         modes="random,reopen", largest=64 * KIB) as readers:
                readers.wait_for(1000)
                sizes_seen.append(resident(mount.worker_pid))
                readers.finish_clean()
        print(f"resident with 10 and 400 files: {sizes_seen}")
        assert sizes_seen[1] - sizes_seen[0] < 8 * MIB


def resident(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("RssAnon:")).split()[1]) * KIB
