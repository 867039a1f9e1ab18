"""hfcache-mount and a model of it: random sequences of calls, of which the model knows every answer.

Sequences of lookups, listings, reads, mappings and held files run from three processes at once
against one mount with a cache too small for the bucket, while between them the bucket changes, the
worker is killed, blocks are dropped, the store fails, and files of the cache are spoiled or deleted.

What is right: bytes are those of one version, whole; the version is one that an index named lately;
ESTALE only if that version is no longer in the bucket; ENOENT only if an index lately had no such
name. Nothing else ever.

HFCACHE_TEST_MODEL_SEQUENCES (2000) how many; HFCACHE_TEST_MODEL_SEED repeats the choices of a run.
A failure is kept in build/model-failures/.
"""
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from mount import (KIB, MIB, MODEL, REPO, SANITIZED, LocalBucket, Mount, S3Bucket, content, needs_mount,
                   place_fixture)
from servers import S3Proxy, Versitygw
from visitor import (Visitor, hold, let_go, mapped, perform, read, read_cold, read_held, size_of,
                     text_of)

__all__ = ["place_fixture"]
pytestmark = needs_mount
SEQUENCES = int(os.environ.get("HFCACHE_TEST_MODEL_SEQUENCES", "150" if SANITIZED else "2000"))
SIZES = [0, 1, 40, 5000, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 700 * KIB, MIB, MIB + 1, 3 * MIB]
NAMES = [f"{folder}f{number}" for folder in ("", "sub/", "sub/deep/") for number in range(4)]
VISITORS = 3
# How long a name may be old after the mount has shown that it knows the newest index: its own
# timeouts (an interval, and a second for refs), and a slow machine.
LAG = 4
MARK = f"{MODEL}/refs/epoch"


class Version:
    """One content of one name."""

    def __init__(self, number, size):
        self.number, self.size = number, size
        self.current = True  # what the bucket has

    def bytes(self, offset, size):
        return content(self.number, max(0, min(size, self.size - offset)), offset)

    def __repr__(self):
        return f"<{self.number}, {self.size} bytes{'' if self.current else ', replaced'}>"


class World:
    """The bucket, and all trees that the mount may show now."""

    def __init__(self, bucket, dice):
        self.bucket, self.dice = bucket, dice
        self.next_number = 1
        self.trees = [{}]  # the newest is last
        self.seen = None
        for name in NAMES:
            self.change(name, self.trees[0])
        self.publish()

    def change(self, name, tree):
        """New bytes for a name, or none."""
        if name in tree:
            tree[name].current = False
        if self.dice.random() < 0.2:
            if name in tree:
                self.bucket.remove(name)
                del tree[name]
            return
        tree[name] = Version(self.next_number, self.dice.choice(SIZES))
        self.next_number += 1
        self.bucket.add(name, tree[name].size, tree[name].number)

    def publish(self):
        self.bucket.put(MARK, f"{len(self.trees):040x}".encode())
        self.bucket.publish()
        self.epoch = f"{len(self.trees):040x}"

    def move(self):
        """The bucket goes on."""
        tree = dict(self.trees[-1])
        for name in self.dice.sample(NAMES, self.dice.randrange(1, 4)):
            self.change(name, tree)
        self.trees.append(tree)
        self.seen = None
        self.publish()

    def settle(self, mark):
        """Forgets the trees that can't be shown any more."""
        if len(self.trees) > 1 and mark == self.epoch:
            self.seen = self.seen or time.monotonic()
            if time.monotonic() - self.seen > LAG:
                # Numbers go on, so that no epoch comes twice.
                self.trees = [None] * (len(self.trees) - 1) + [self.trees[-1]]

    def shown(self):
        return [tree for tree in self.trees if tree is not None]

    def versions(self, name):
        return [tree.get(name) for tree in self.shown()]


class Actor:
    """Sequences of one process, and what is right in them."""

    def __init__(self, mount, world):
        self.mount, self.world = mount, world
        self.visitor = Visitor()
        self.held = {}  # descriptor: (name, the versions that it may have)
        self.steps, self.wants = [], []

    def path(self, name):
        return self.mount.path(name)

    def begin(self, dice):
        self.steps, self.wants = [], []
        for _ in range(dice.randrange(2, 8)):
            self.add(dice, dice.choice(NAMES))
        self.visitor.begin(perform, self.steps)

    def add(self, dice, name):
        what = dice.choice(["read", "read", "cold", "cold", "map", "stat", "list", "absent", "hold",
                            "held", "held", "close"])
        size = max([v.size for v in self.world.versions(name) if v] or [100])
        offset = dice.choice([0, dice.randrange(size + 2), max(0, size - 10)])
        length = dice.choice([1, 100, 4096, 70_000, MIB])
        if what in ("held", "close") and not self.held:
            what = "cold"
        if what in ("held", "close"):
            fd = dice.choice(list(self.held))
            if what == "close":
                self.held.pop(fd)
                self.steps.append((let_go, fd))
                self.wants.append(("closed",))
            else:
                self.steps.append((read_held, fd, offset, length))
                # It may be closed, and its number another file's, before this is checked.
                self.wants.append(("held", *self.held[fd], offset, length))
            return
        step = {"read": (read, self.path(name), offset, length),
                "cold": (read_cold, self.path(name), offset, length),
                "map": (mapped, self.path(name), offset, length), "stat": (size_of, self.path(name)),
                "list": (os.listdir, self.path("sub")), "hold": (hold, self.path(name)),
                "absent": (size_of, self.path(name) + ".none")}[what]
        self.steps.append(step)
        self.wants.append((what, name, offset, length))

    def end(self):
        """The mark of the tree that was seen last; an AssertionError for what is wrong."""
        results = self.visitor.end(120)
        for want, (value, error) in zip(self.wants, results):
            wrong = self.check(want, value, error)
            assert not wrong, f"{want}: {wrong}"
        return self.visitor.call(text_of, str(self.mount.root / MARK), timeout=120)

    def check(self, want, value, error):
        what, *args = want
        if what == "closed":
            return error
        if what == "absent":
            return "" if error == "ENOENT" else f"{error or value} in place of ENOENT"
        if what == "list":
            return self.check_list(value, error)
        if what == "held":
            name, versions, offset, length = args
            return self.check_bytes(name, versions, offset, length, value, error)
        name, offset, length = args
        versions = self.world.versions(name)
        if error == "ENOENT":
            return "" if None in versions else f"ENOENT, but all indexes have it: {versions}"
        versions = [version for version in versions if version is not None]
        if what == "hold":
            if not error:
                self.held[value] = name, versions
            return error
        if what == "stat":
            return "" if not error and value in {version.size for version in versions} else \
                f"{error or value}: {versions}"
        if what == "map" and error == "EFAULT":
            error = "ESTALE"
        return self.check_bytes(name, versions, offset, length, value, error)

    @staticmethod
    def check_bytes(name, versions, offset, length, value, error):
        if error:
            if error == "ESTALE" and not all(version.current for version in versions):
                return ""
            return f"{error} for {name}: {versions}"
        if any(value == version.bytes(offset, length) for version in versions):
            return ""
        return f"wrong bytes of {name}: {len(value)} at {offset}, {versions}"

    def check_list(self, value, error):
        """Names of a listing may be of two trees only if it fell between them."""
        trees = self.world.shown()
        if error:
            return "" if error == "ENOENT" and any(not in_sub(tree) for tree in trees) else error
        allowed = set().union(*map(in_sub, trees))
        needed = set.intersection(*map(in_sub, trees))
        return "" if needed <= set(value) <= allowed else f"{sorted(value)}: {trees}"


def in_sub(tree):
    """What the folder sub has in it."""
    return {name.split("/")[1] for name in tree if name.startswith("sub/")}


class Trouble:
    """What happens between the sequences."""

    def __init__(self, mount, world, proxy, dice):
        self.mount, self.world, self.proxy, self.dice = mount, world, proxy, dice
        self.happened = []

    def maybe(self):
        for what, often in ((self.move, 1 / 60), (self.kill, 1 / 40), (self.flip, 1 / 25),
                            (self.delete, 1 / 50), (self.drop, 1 / 120), (self.fail, 1 / 15)):
            if self.dice.random() < often:
                self.happened.append(what.__name__)
                what()

    def move(self):
        self.world.move()
        self.signal(signal.SIGHUP)

    def kill(self):
        self.signal(self.dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV]))

    def signal(self, number):
        pid = self.mount.state().get("worker_pid")
        if pid:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def files(self):
        return sorted((self.mount.cache / "blobs").glob("*"))

    def flip(self):
        for path in self.dice.sample(found := self.files(), min(2, len(found))):
            try:
                with open(path, "r+b") as file:
                    size = os.fstat(file.fileno()).st_size
                    file.seek(at := self.dice.randrange(max(1, size)))
                    byte = file.read(1) or b"\0"
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 1 << self.dice.randrange(8)]))
            except FileNotFoundError:
                pass

    def delete(self):
        if found := self.files():
            self.dice.choice(found).unlink(missing_ok=True)

    def drop(self):
        done = self.mount.command("drop", "t/m", "--socket", self.mount.socket)
        assert done.rc in (0, 1), done

    def fail(self):
        if self.proxy is not None:
            kind = self.dice.choice(["slowdown", "internal", "reset", "fin", "short"])
            where = {"when": "answer", "at": self.dice.choice(["head", "middle", "end"])} \
                if kind in ("reset", "fin", "short") else {}
            self.proxy.heal()
            self.proxy.fail(kind, key="hub/*", operation="GetObject", times=self.dice.randrange(1, 4),
                            **where)


def keep(place, seed, number, actors, trouble, error):
    """What is needed to understand a failure."""
    folder = REPO / "build/model-failures"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{seed}-{number}.json"
    path.write_text(json.dumps({
        "seed": seed, "sequence": number, "error": str(error), "trouble": trouble.happened[-20:],
        "trees": [repr(tree) for tree in trouble.world.shown()],
        "steps": [[repr(step) for step in actor.steps] for actor in actors]}, indent=1))
    log = Path(place) / "mnt-log-0"
    if log.exists():
        path.with_suffix(".log").write_bytes(log.read_bytes()[-200_000:])
    return path


def play(place, bucket, env, proxy):
    seed = int(os.environ.get("HFCACHE_TEST_MODEL_SEED", random.randrange(1 << 32)))
    print(f"HFCACHE_TEST_MODEL_SEED={seed}")
    dice = random.Random(seed)
    world = World(bucket, dice)
    with Mount(place, bucket.url, env=env, cache_size="4Mi", read_timeout=100) as mount:
        mount.run()
        mount.wait_for_names()
        actors = [Actor(mount, world) for _ in range(VISITORS)]
        trouble = Trouble(mount, world, proxy, dice)
        try:
            for number in range(0, SEQUENCES, VISITORS):
                trouble.maybe()
                try:
                    for actor in actors:
                        actor.begin(dice)
                    for actor in actors:
                        world.settle(actor.end())
                except AssertionError as error:
                    path = keep(place, seed, number, actors, trouble, error)
                    raise AssertionError(f"sequence {number} of seed {seed}, kept in {path}: {error}") \
                        from error
        finally:
            for actor in actors:
                actor.visitor.__exit__()
        print({what: trouble.happened.count(what) for what in set(trouble.happened)}, mount.metrics())


def test_a_directory_and_its_model(place):
    play(place, LocalBucket(place / "bucket"), {}, None)


def test_a_bucket_and_its_model(place, tmp_path):
    with Versitygw(tmp_path) as s3, S3Proxy(s3.endpoint) as proxy:
        play(place, S3Bucket(s3), s3.env_for(proxy.endpoint), proxy)


def test_the_model_finds_wrong_bytes(place):
    """A negative control: a bucket with one wrong byte, which no index knows of."""
    bucket = LocalBucket(place / "bucket")
    world = World(bucket, random.Random(1))
    name = max(world.trees[0], key=lambda n: world.trees[0][n].size)
    version = world.trees[0][name]
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        actor = Actor(mount, world)
        with actor.visitor:
            actor.steps = [(read_cold, mount.path(name), 0, 1000)]
            actor.wants = [("cold", name, 0, 1000)]
            actor.visitor.begin(perform, actor.steps)
            actor.end()
            version.number += 1
            actor.visitor.begin(perform, actor.steps)
            with pytest.raises(AssertionError, match="wrong bytes"):
                actor.end()
