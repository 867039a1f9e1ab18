"""Readers must not notice when the serving process dies, is killed, is replaced, or both halves are.

Readers are tests/tools/mount_readers.c: they check every byte, and hold files that were opened
before. What "nobody noticed" means: no error, no wrong byte, nobody stuck.
"""
import errno
import os
import random
import signal
import time

import pytest

from mount import (KIB, MIB, LocalBucket, Mount, Readers, is_gone, mounts_at,
                   needs_mount, pile_up, place_fixture, sizes, until, wait_gone)
from visitor import hold, read_cold, read_held, refusal, run, timed

__all__ = ["place_fixture"]
pytestmark = needs_mount
FILES = [("a.bin", 12 * MIB + 5), ("b.bin", 8 * MIB), ("c.bin", 900 * KIB), ("d.bin", 3 * MIB + 1),
         ("e.bin", 10 * KIB), ("f.bin", 6 * MIB)]
TOTAL = sum(size for _, size in FILES)
# So that there is always something to be fetched, and to be dropped.
SMALL_CACHE = "8Mi"
WORKERS = int(os.environ.get("HFCACHE_TEST_READERS", "100"))
DEATHS = int(os.environ.get("HFCACHE_TEST_DEATHS", "12"))


@pytest.fixture(name="bucket")
def bucket_fixture(place):
    return sizes(LocalBucket(place / "bucket"), *FILES)


def deaths(mount):
    return mount.status()["deaths"]


def generation(mount):
    return mount.status()["generation"]


@pytest.mark.parametrize("features", ["all", "old-kernel"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV], ids=["SIGKILL", "SIGSEGV"])
def test_deaths_at_random_moments(place, bucket, how, features):
    without = {"without": "passthrough"} if features == "old-kernel" else {}
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with Mount(place, bucket.url, cache_size=SMALL_CACHE, **without) as mount:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=WORKERS, largest=256 * KIB) as readers:
            readers.wait_for(WORKERS)
            for _ in range(DEATHS):
                pid = mount.kill_worker(how)
                mount.wait_successor(pid)
                readers.wait_for(dice.randrange(1, 50))
                time.sleep(dice.random() * 0.05)
            readers.wait_for(WORKERS)
            counts = readers.finish_clean()
        assert mount.metrics()["takeovers_total"] >= DEATHS
    print(f"{DEATHS} deaths: {counts}")


@pytest.mark.parametrize("point", ["request-taken", "request-parked", "before-reply", "after-reply",
                                   "mid-fill", "mid-write", "mid-evict", "take-over"])
@pytest.mark.parametrize("action", ["kill", "segv"])
def test_deaths_at_each_named_point(place, bucket, point, action):
    """Three of them, far enough from each other that it is not one request's fault."""
    # The first worker takes nothing over, but passes that point too.
    at = [2, 3, 4] if point == "take-over" else [20, 160, 300] if point != "mid-evict" else [3, 20, 40]
    fault = ",".join(f"{point}:{action}:{n}" for n in at)
    with Mount(place, bucket.url, cache_size=SMALL_CACHE, env={"HFCACHE_FAULT": fault}) as mount:
        mount.run(wait=False)
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=24, largest=256 * KIB) as readers:
            if point == "take-over":
                mount.kill_worker()
            until(lambda: readers.counts() and deaths(mount) >= 3 + (point == "take-over"),
                  lambda: f"three deaths: {mount.state()} {readers.counts()}", every=0.05)
            mount.wait_serving()
            readers.wait_for(200)
            readers.finish_clean()


def test_a_chain_of_five_deaths(place, bucket):
    """Each successor dies while it takes over."""
    fault = ",".join(f"take-over:kill:{n}" for n in range(2, 7))
    with Mount(place, bucket.url, cache_size=SMALL_CACHE, env={"HFCACHE_FAULT": fault}) as mount:
        mount.run(wait=False)
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=WORKERS, largest=256 * KIB) as readers:
            readers.wait_for(WORKERS)
            mount.kill_worker()
            until(lambda: deaths(mount) >= 6, lambda: f"six deaths: {mount.state()}", every=0.05)
            mount.wait_serving()
            readers.wait_for(WORKERS)
            readers.finish_clean()


def test_without_slots_readers_notice(place, bucket):
    """The negative control: these readers do see it when requests are lost. Keeper and worker die
    at once, so nobody is left who has the descriptor."""
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=24, largest=256 * KIB,
                     grace=20) as readers:
            readers.wait_for(50)
            mount.stop_hard()
            counts = readers.finish()
        assert counts["errors"] > 0 and counts["wrong"] == 0, counts


def test_a_new_serve_takes_over_from_the_old_one(place, bucket):
    """An upgrade: the old worker drains and leaves by itself, and nothing is redone."""
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        mount.keep()
        old = mount.serve()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=WORKERS, largest=256 * KIB) as readers:
            for _ in range(4):
                readers.wait_for(WORKERS)
                new = mount.serve()
                assert old.wait() == 0, old.text()
                assert mount.worker_pid == new.pid
                old = new
            readers.wait_for(WORKERS)
            readers.finish_clean()
        assert mount.status().get("deaths", 0) == 0


def test_a_standby_takes_over(place, bucket):
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        mount.keep()
        mount.serve()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=WORKERS, largest=256 * KIB) as readers:
            for _ in range(5):
                standby = mount.serve(standby=True)
                readers.wait_for(20)
                pid = mount.kill_worker()
                mount.wait_successor(pid)
                assert mount.worker_pid == standby.pid
            readers.wait_for(WORKERS)
            counts = readers.finish_clean()
        took = mount.metrics()
        print(f"takeover: {took['takeover_seconds_sum']} s in all; longest read {counts['longest_ms']} ms")


def test_a_standby_that_dies_is_missed_by_nobody(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.keep()
        mount.serve()
        mount.wait_for_names()
        standby = mount.serve(standby=True)
        os.kill(standby.pid, signal.SIGKILL)
        until(lambda: mount.state().get("standbys") == 0, "the standby is forgotten")
        standby = mount.serve(standby=True)
        mount.wait_successor(mount.kill_worker())
        assert mount.worker_pid == standby.pid
        assert mount.read("a.bin") == bucket.bytes("a.bin")


def test_sigterm_drains_and_leaves_the_mount_to_the_keeper(place, bucket):
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        mount.keep()
        worker = mount.serve()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=24, largest=256 * KIB) as readers:
            for _ in range(3):
                readers.wait_for(50)
                assert worker.end(signal.SIGTERM) == 0, worker.text()
                assert len(mounts_at(mount.root)) == 1
                until(lambda: mount.state().get("worker_pid") == 0, "no worker")
                worker = mount.serve()
            readers.wait_for(50)
            readers.finish_clean()


def test_a_new_keeper_takes_everything_over(place, bucket):
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        old = mount.keep()
        worker = mount.serve()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=WORKERS, largest=256 * KIB) as readers:
            for _ in range(3):
                readers.wait_for(50)
                new = mount.keep()
                assert old.wait() == 0, old.text()
                status = mount.status()
                assert (status["keeper_pid"], status["worker_pid"]) == (new.pid, worker.pid)
                old = new
            # The new one can do all that the first could.
            worker = mount.serve()
            readers.wait_for(50)
            pid = worker.pid
            worker = mount.serve(standby=True)
            assert mount.kill_worker() == pid
            mount.wait_successor(pid)
            readers.wait_for(WORKERS)
            readers.finish_clean()
        assert len(mounts_at(mount.root)) == 1


def test_a_keeper_that_was_killed_is_replaced(place, bucket):
    """The worker holds the connection, and hands it to the next keeper."""
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        keeper = mount.keep()
        worker = mount.serve()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=WORKERS, largest=256 * KIB) as readers:
            for _ in range(3):
                readers.wait_for(50)
                os.kill(keeper.pid, signal.SIGKILL)
                keeper.wait()
                readers.wait_for(50)
                keeper = mount.keep(wait=False)
                until(lambda: mount.state().get("worker_pid") == worker.pid,
                      lambda: f"the worker is adopted: {mount.state()}\n{mount.text()[-2000:]}")
            pid = mount.kill_worker()
            mount.serve()
            assert mount.worker_pid != pid
            readers.wait_for(WORKERS)
            readers.finish_clean()
        assert len(mounts_at(mount.root)) == 1


@pytest.mark.parametrize("start", ["run", "keep"])
def test_a_dead_mount_is_cleared_by_the_next_start(place, bucket, start):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        fd = mount.visitor.call(hold, mount.path("a.bin"))
        mount.stop_hard()
        assert len(mounts_at(mount.root)) == 1
        assert mount.visitor.call(refusal, os.listdir, str(mount.root)) == "ENOTCONN"
        if start == "run":
            mount.run()
        else:
            mount.keep()
            mount.serve()
        mount.wait_for_names()
        assert len(mounts_at(mount.root)) == 1
        assert mount.read("a.bin") == bucket.bytes("a.bin")
        with pytest.raises(OSError):
            mount.visitor.call(read_held, fd, 5 * MIB, 100)


def test_dead_mounts_on_top_of_each_other_are_cleared(place, bucket):
    """A second mount over a dead one, both by somebody who did not look."""
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        mount.stop_hard()
        pile_up(mount.root)
        pile_up(mount.root)
        assert len(mounts_at(mount.root)) == 3
        mount.run()
        mount.wait_for_names()
        assert len(mounts_at(mount.root)) == 1
        assert mount.read("b.bin") == bucket.bytes("b.bin")


def test_a_poisonous_name_is_given_up_and_others_go_on(place, bucket):
    name = "e.bin"
    env = {"HFCACHE_FAULT": "poison:segv:*", "HFCACHE_FAULT_NAME": name}
    with Mount(place, bucket.url, env=env) as mount:
        mount.run()
        mount.wait_for_names()
        first = generation(mount)
        targets = [t for t in mount.targets(bucket) if name not in t]
        with Readers(targets, place, processes=24, largest=256 * KIB) as readers:
            readers.wait_for(50)
            told = mount.visitor.call(refusal, os.stat, mount.path(name))
            assert told == "EIO"
            readers.wait_for(200)
            readers.finish_clean()
        assert generation(mount) == first + 3
        assert mount.metrics()["requests_poisoned_total"] == 1
        assert mount.status()["poisoned"] == 1
        assert any("EIO" in line or "poison" in line for line in mount.messages())


def test_a_poisonous_name_killed_from_within_by_sigkill(place, bucket):
    """No handler runs then: bystanders are told from the culprit by being executed alone."""
    env = {"HFCACHE_FAULT": "poison:kill:*", "HFCACHE_FAULT_NAME": "e.bin"}
    with Mount(place, bucket.url, env=env) as mount:
        mount.run()
        mount.wait_for_names()
        targets = [t for t in mount.targets(bucket) if "e.bin" not in t]
        with Readers(targets, place, processes=24, largest=256 * KIB) as readers:
            readers.wait_for(50)
            assert mount.visitor.call(refusal, os.stat, mount.path("e.bin")) == "EIO"
            readers.wait_for(200)
            readers.finish_clean()
        assert mount.metrics()["requests_poisoned_total"] == 1


def test_nobody_waits_for_ever_for_a_worker(place, bucket):
    with Mount(place, bucket.url, orphan_timeout=3) as mount:
        keeper = mount.keep()
        worker = mount.serve()
        mount.wait_for_names()
        assert mount.read("a.bin") == bucket.bytes("a.bin")
        worker.end(signal.SIGKILL)
        # A request that waits, and those that come later.
        mount.visitor.begin(timed, refusal, read_cold, mount.path("d.bin"))
        error, seconds = mount.visitor.end()
        assert error == "EIO" and seconds > 1, seconds
        until(lambda: mount.state()["state"] == "orphaned", "the keeper says so")
        for name in ("b.bin", "c.bin", "f.bin"):
            error, seconds = mount.visitor.call(timed, refusal, read_cold, mount.path(name))
            assert error == "EIO" and seconds < 3, (name, seconds)
        assert mount.status()["orphaned"] > 0
        assert "EIO" in keeper.text()
        mount.serve()
        for name in ("a.bin", "b.bin", "d.bin"):
            assert mount.read(name) == bucket.bytes(name)
        assert len(mounts_at(mount.root)) == 1
        assert mount.metrics()["requests_orphaned_total"] > 0


def test_an_open_file_outlives_everything(place, bucket):
    """Opened by the first worker and keeper, read after several of each."""
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        mount.keep()
        mount.serve()
        mount.wait_for_names()
        fd = mount.visitor.call(hold, mount.path("a.bin"))
        whole = bucket.bytes("a.bin")
        for offset in range(0, 12 * MIB, 2 * MIB):
            assert mount.visitor.call(read_held, fd, offset, MIB) == whole[offset:offset + MIB]
            mount.keep()
            pid = mount.kill_worker()
            mount.serve()
            assert mount.worker_pid != pid
        assert mount.visitor.call(read_held, fd) == whole


def test_unmounting_from_outside_ends_both(place, bucket):
    with Mount(place, bucket.url) as mount:
        keeper = mount.keep()
        worker = mount.serve()
        mount.wait_for_names()
        assert mount.visitor.call(run, "umount", "-l", str(mount.root)) == ""
        assert not mounts_at(mount.root)
        wait_gone(worker.pid)
        wait_gone(keeper.pid)
        assert keeper.wait() == 0 and worker.wait() == 0, mount.text()


def test_run_unmounts_at_sigterm(place, bucket):
    with Mount(place, bucket.url) as mount:
        process = mount.run()
        mount.wait_for_names()
        worker = mount.worker_pid
        assert process.end(signal.SIGTERM) == 0, process.text()
        assert not mounts_at(mount.root) and is_gone(worker)


def test_a_busy_mount_is_unmounted_all_the_same(place, bucket):
    """Files still open: the mount is detached, its readers get errors, nobody hangs."""
    with Mount(place, bucket.url) as mount:
        process = mount.run()
        mount.wait_for_names()
        fd = mount.visitor.call(hold, mount.path("a.bin"))
        assert process.end(signal.SIGTERM) == 0, process.text()
        assert not mounts_at(mount.root)
        with pytest.raises(OSError) as found:
            mount.visitor.call(read_held, fd)
        assert found.value.errno in (errno.ENOTCONN, errno.EIO, errno.ECONNABORTED)


def test_a_stopped_reader_delays_nobody(place, bucket):
    """A process that is stopped in the middle of a read, and one that is killed there."""
    with Mount(place, bucket.url, cache_size=SMALL_CACHE) as mount:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=10) as victims, \
                Readers(mount.targets(bucket), place, processes=10) as readers:
            victims.wait_for(10)
            children = [int(pid) for pid in
                        open(f"/proc/{victims.lines.child.pid}/task/{victims.lines.child.pid}/children",
                             encoding="ascii").read().split()]
            for index, pid in enumerate(children):
                os.kill(pid, signal.SIGSTOP if index % 2 else signal.SIGKILL)
            readers.wait_for(300)
            mount.wait_successor(mount.kill_worker())
            readers.wait_for(300)
            readers.finish_clean()


def test_the_cache_of_the_dead_is_used_by_the_next(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        for name, _ in FILES:
            mount.read(name)
        fetched = mount.metrics()["fetch_bytes_total"]
        assert fetched >= TOTAL
        mount.wait_successor(mount.kill_worker())
        for name, _ in FILES:
            assert mount.read(name) == bucket.bytes(name)
        assert mount.metrics()["fetch_bytes_total"] < TOTAL // 4
