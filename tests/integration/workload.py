"""A run of sync in which everything happens, from a state that can be had again and again.

    with Versitygw(tmp) as s3, Workload(s3, tmp) as work:
        place = work.place()          # a bucket as earlier runs have left it
        done = work.run(place)        # brings it up to date; endpoint= of a proxy, more options
        work.check(place)             # right in whatever state
        work.converged(place)         # as after an undisturbed run

Earlier runs have published a first revision of org/small and, by a filter, some files of
org/filter; org/big has stopped with all parts sent; somebody has left an upload of a name that
nobody wants, and the index lacks what it should say of org/filter. Since then main of org/small has
moved, the filter is gone, org/big and org/fresh (in parts) and org/twin (the same content as one of
org/small) are wanted, and old snapshots not any more.
"""
import hashlib
import itertools
import json
import random
import shutil

from refresh import Bucket, Result, check_bucket, environment, start, wait
from servers import HubServer, S3Proxy, lfs

MIB = 1 << 20
TOKEN = "hf_secretOfTheTests"
LOCK, INDEX = ".hfcache/lock", ".hfcache/index"
NUMBERS = itertools.count(1)


def noise(size, seed):
    return random.Random(seed).randbytes(size)


WEIGHTS = noise(90_000, 1)
FIRST = {"config.json": b'{"a": 1}', "same.txt": b"the same", "w.safetensors": WEIGHTS}
SMALL = {**FIRST, "config.json": b'{"a": 2}', "new.json": b"[]"}
FILTER = {"a.json": b"{}", "b.txt": b"text", "w.bin": noise(5_000, 2)}
BIG = {"big.safetensors": noise(5 * MIB + 100_000, 3)}
FRESH = {"fresh.safetensors": noise(5 * MIB + 50_000, 4), "config.json": b"{}"}
TWIN = {"other-name.safetensors": WEIGHTS}
AFTER = {"org/small": SMALL, "org/filter": FILTER, "org/big": BIG, "org/fresh": FRESH,
         "org/twin": TWIN}


class Killer:
    """Kills a process that may not have been started when it is told to."""

    def __init__(self):
        self.child, self.told = None, False

    def __call__(self):
        self.told = True
        if self.child is not None:
            self.child.kill()

    def watch(self, child):
        self.child = child
        if self.told:
            child.kill()
        return child


def forget(index, prefix):
    """The index without the lines that have this in them."""
    lines = [line for line in index.decode().splitlines(True)[:-1] if prefix not in line]
    text = "".join(lines)
    return f"{text}end {len(lines)} {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


class Workload:
    def __init__(self, s3, tmp_path):
        self.s3, self.tmp_path = s3, tmp_path
        self.hub = HubServer()
        self.hub.token(TOKEN)
        self.models = tmp_path / "models.txt"
        self.clean = None

    def __enter__(self):
        try:
            self.prepare()
        except BaseException:
            self.hub.close()
            raise
        return self

    def __exit__(self, *error):
        self.hub.__exit__(*error)

    def prepare(self):
        hub, s3 = self.hub, self.s3
        template = Bucket(s3.make_bucket("template"), s3)
        small = hub.model("org/small", FIRST)
        hub.model("org/filter", FILTER)
        self.models.write_text("org/small\norg/filter allow=*.json\n")
        assert self.run(template, prune=False).rc == 0
        hub.model("org/big", BIG)
        self.models.write_text("org/big\n")
        killer = Killer()
        with S3Proxy(s3.endpoint) as proxy:
            proxy.fail("call", call=killer, operation="CompleteMultipartUpload")
            done = self.run(template, endpoint=proxy.endpoint, killer=killer, prune=False)
        assert done.rc == -9, done
        self.stop_lock(template)
        s3.client.call("POST", template.name, f"hub/models--org--small/snapshots/{'0' * 40}/w",
                       {"uploads": ""})
        s3.put(template.name, INDEX, forget(s3.get(template.name, INDEX), "models--org--filter"))
        small.commit({path: data for path, data in SMALL.items() if FIRST.get(path) != data})
        hub.model("org/fresh", FRESH)
        hub.model("org/twin", {path: lfs(data) for path, data in TWIN.items()})
        self.models.write_text("".join(f"{name}\n" for name in AFTER))
        clean = self.place()
        done = self.run(clean)
        assert done.rc == 0, done
        self.clean = self.state(clean)
        self.check(clean)
        assert not clean.uploads()

    def stop_lock(self, bucket):
        self.s3.client.call("DELETE", bucket.name, LOCK)

    def place(self, template="template"):
        """A copy of the template, made on the server's disk."""
        name = f"place-{next(NUMBERS)}"
        for folder in ("data", "sidecar"):
            source = self.s3.folder / folder / template
            if source.exists():
                shutil.copytree(source, source.with_name(name))
        return Bucket(f"s3://{name}", self.s3)

    def empty(self):
        return Bucket(self.s3.make_bucket(f"place-{next(NUMBERS)}"), self.s3)

    def arguments(self, bucket, prune=True):
        return ["sync", "--models", self.models, "--to", bucket.url,
                *(["--prune"] if prune else [])]

    def environment(self, endpoint=None):
        return environment(self.hub, self.s3.env_for(endpoint or self.s3.endpoint),
                           HF_TOKEN=TOKEN)

    def run(self, bucket, *more, endpoint=None, killer=None, prune=True):
        child = start(*self.arguments(bucket, prune), *more, env=self.environment(endpoint))
        if killer is not None:
            killer.watch(child)
        return wait(child)

    def state(self, bucket):
        """What is there, read from the server's disk."""
        root = self.s3.folder / "data" / bucket.name
        found = {}
        for path in sorted(root.rglob("*")):
            key = str(path.relative_to(root))
            if path.is_file() and not key.startswith(".sgwtmp"):
                found[key] = path.read_bytes()
        return found

    def check(self, bucket):
        objects = self.state(bucket)
        check_bucket(objects)
        return objects

    def converged(self, bucket):
        objects = self.check(bucket)
        assert LOCK not in objects
        assert set(objects) == set(self.clean)
        for key, data in self.clean.items():
            assert objects[key] == data, key
        assert not bucket.uploads()


def outcomes(report):
    return {model["model"]: [target["outcome"] for target in model["targets"]]
            for model in json.loads(report.read_text())["models"]}


__all__ = ["AFTER", "INDEX", "Killer", "LOCK", "Result", "TOKEN", "Workload", "outcomes"]
