#!/usr/bin/env python3
"""Measures hfcache-refresh, and the pair of programs that it replaces: huggingface_hub's
snapshot_download into a local cache, then `rclone copy -L` of that into the bucket.

    refresh.py BINARY [--runs N] [--size BYTES] [--small N] [--huge BYTES] [--write FILE]

Both work against the same Hub (tests/servers/hub.py, a process of its own) and the same S3 server
(versitygw), whose data are in memory, in turns, in the same run. Each round starts with an empty
bucket and an empty cache. Without rclone, or without room in memory, what can't be measured is
reported as skipped. Only the clients' CPU time counts. --huge publishes one synthetic file into a
server that keeps nothing (sinkserver.py), and one of zeros into a directory. --write puts the tables
between the marks in FILE.
"""
import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from measure import MIB, Meter, used

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests/integration"))
sys.path.insert(0, str(REPO / "tests/servers"))

# pylint: disable=wrong-import-position
from content import Synthetic, digest  # noqa: E402
from servers import Versitygw, program  # noqa: E402

BEGIN, END = "<!-- bench-refresh: begin -->", "<!-- bench-refresh: end -->"
GIB = 1 << 30
SHARDS = 20
UNITS = {"": 1, "Ki": 1 << 10, "Mi": MIB, "Gi": GIB, "Ti": 1 << 40}
DOWNLOAD = "import sys; from huggingface_hub import snapshot_download; " \
           "snapshot_download(sys.argv[1], cache_dir=sys.argv[2])"
CLEAN = {name: value for name, value in os.environ.items()
         if not name.upper().startswith(("AWS_", "HF_", "HUGGING", "RCLONE_", "HTTP_PROXY",
                                         "HTTPS_PROXY", "NO_PROXY"))}


def amount(text):
    number = text.rstrip("KMGTi")
    return int(number) * UNITS[text[len(number):]]


class Hub:
    """The Hub as a process."""

    def __init__(self, *args):
        self.process = subprocess.Popen([sys.executable, str(REPO / "tests/servers/hub.py"), *args],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            sys.exit("the Hub does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, path, method="GET"):
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method)) as answer:
            return json.load(answer)

    def clear(self):
        self.ask("/-/clear", "POST")

    def counts(self):
        """(requests of the Hub, requests of its CDN) since clear()."""
        origin = self.ask("/-/requests")["origin"]
        return origin.get("hub", 0), origin.get("cdn", 0)


# What is published.

def make_large(folder, size):
    folder.mkdir(parents=True)
    weights = {}
    for i in range(1, SHARDS + 1):
        name = f"model-{i:05}-of-{SHARDS:05}.safetensors"
        with open(folder / name, "wb") as f:
            for _ in range(0, size // SHARDS, MIB):
                f.write(os.urandom(MIB))
        weights[f"layer{i}"] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    (folder / "config.json").write_text("{}")


def make_small(folder, count):
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f"{i:04}.json").write_text(json.dumps({"number": i, "text": "x" * (1000 + 9 * i)}))


# The two sides. Each is a function: (bench, repository, bucket) -> Cost.

def ours(bench, repo, bucket):
    env = {**CLEAN, **bench.s3.env, "HOME": str(bench.folder), "TMPDIR": str(bench.folder),
           "HF_ENDPOINT": bench.hub.url, "AWS_EC2_METADATA_DISABLED": "true"}
    return bench.meter.run([bench.binary, "sync", repo, "--to", f"s3://{bucket}", "--quiet"], env)


def rival(bench, repo, bucket):
    env = {**CLEAN, **bench.s3.env, "HOME": str(bench.folder), "TMPDIR": str(bench.folder),
           "HF_ENDPOINT": bench.hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(bench.folder)}
    cache = bench.folder / "hub"
    down = bench.meter.run([sys.executable, "-c", DOWNLOAD, repo, cache], env)
    to = f":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='{bench.s3.endpoint}':"
    copy = bench.meter.run([bench.rclone, "copy", "-L", "--transfers", "8", "--checkers", "16",
                            "--fast-list", "--exclude", "blobs/**", cache, f"{to}{bucket}/hub"],
                           env)
    bench.halves.setdefault(repo, []).append((down.wall, copy.wall))
    return down + copy


class Sample:
    """One run: what it cost, and how many requests it took."""

    def __init__(self, cost, hub, cdn, s3):
        self.cost, self.hub, self.cdn, self.s3 = cost, hub, cdn, s3


class Bench:
    def __init__(self, binary, rclone, hub, s3, folder):
        self.binary, self.rclone, self.hub, self.s3 = binary, rclone, hub, s3
        self.folder = folder / "client"
        self.folder.mkdir()
        self.meter = Meter(self.folder)
        self.samples, self.halves, self.load = {}, {}, []

    def take(self, work, side, repo, bucket):
        self.hub.clear()
        seen = len(self.s3.requests())
        cost = side(self, repo, bucket)
        hub, cdn = self.hub.counts()
        sample = Sample(cost, hub, cdn, len(self.s3.requests()) - seen)
        self.samples.setdefault((work, side.__name__), []).append(sample)
        self.load.append(os.getloadavg()[0])
        print(f"{work:<28} {side.__name__:<6} {cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU "
              f"{cost.rss / MIB:6.0f} MiB {hub} + {cdn} + {sample.s3} requests",
              file=sys.stderr, flush=True)

    def forget_cache(self):
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def turn(self, name, repo, side):
        """Everything that one side does in a round, in a bucket of its own."""
        bucket = f"b{time.monotonic_ns()}"
        self.s3.make_bucket(bucket)
        self.take(name, side, repo, bucket)
        self.take(f"{name}, again", side, repo, bucket)
        self.forget_cache()
        if side is rival:
            self.take(f"{name}, again, no cache", side, repo, bucket)
            self.forget_cache()
        for path in (self.s3.folder / "data" / bucket, self.s3.folder / "sidecar" / bucket):
            shutil.rmtree(path, ignore_errors=True)

    def all(self, runs, works):
        sides = [ours, rival] if self.rclone else [ours]
        for i in range(runs):
            for name, repo in works:
                for side in sides if i % 2 == 0 else reversed(sides):
                    self.turn(name, repo, side)


# The tables.

def spread(values, form="{:.2f}"):
    low, middle, high = (form.format(v) for v in
                         (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def numbers(samples, what):
    return [what(sample) for sample in samples]


MEASURES = (("wall, s", lambda s: s.cost.wall, "{:.2f}"),
            ("CPU, s", lambda s: s.cost.cpu, "{:.2f}"),
            ("disk, MiB", lambda s: max(s.cost.disk, 0) / MIB, "{:.0f}"),
            ("resident, MiB", lambda s: s.cost.rss / MIB, "{:.1f}"),
            ("Hub requests", lambda s: s.hub, "{:.0f}"),
            ("CDN requests", lambda s: s.cdn, "{:.0f}"),
            ("S3 requests", lambda s: s.s3, "{:.0f}"))


def rows(bench, work, against):
    """One row for each measure of a work; `against`: the rival's work."""
    mine = bench.samples[work, "ours"]
    theirs = bench.samples.get((against, "rival"))
    found = []
    for name, what, form in MEASURES:
        a = numbers(mine, what)
        row = [against if against != work else work, name, spread(a, form)]
        if theirs:
            b = numbers(theirs, what)
            # Of each turn, as both have seen the same machine in it.
            parts = [x / y for x, y in zip(a, b) if y > 0]
            row += [spread(b, form), f"{statistics.median(parts):.2f}" if parts else "-"]
        else:
            row += ["-", "-"]
        found.append(tuple(row))
    return found


def table(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(r) + " |" for r in body]


def memory_text(bench, name):
    """The control group's view of our program."""
    costs = [sample.cost for sample in bench.samples[name, "ours"]]
    if costs[0].group is None:
        return "No control group could be made, so what sockets held is not known."
    text = f"{name}: {spread([c.group / MIB for c in costs], '{:.1f}')} MiB by the control group " \
           f"({bench.meter.kind}), sockets included"
    if costs[0].sockets is None:
        return text + "."
    return text + f"; those held {spread([c.sockets / MIB for c in costs], '{:.1f}')} MiB at most."


def halves_text(bench, repo):
    # The first of three runs in each round is the one with nothing there.
    first = bench.halves[repo][::3]
    down, copy = ([pair[i] for pair in first] for i in (0, 1))
    return f"{spread(down, '{:.1f}')} s to download and {spread(copy, '{:.1f}')} s to copy"


def report(bench, works):
    text = []
    body = []
    for name, _ in works:
        body += rows(bench, name, name)
        body += rows(bench, f"{name}, again", f"{name}, again")
        body += rows(bench, f"{name}, again", f"{name}, again, no cache") if bench.rclone else []
    text += table(("work", "", "hfcache-refresh", "download, then rclone", "ratio"), body)
    text += ["", *[f"* Memory, {memory_text(bench, name)}" for name, _ in works]]
    if bench.rclone:
        text += [f"* The rival's {name}: {halves_text(bench, repo)}." for name, repo in works]
    return text


# One file of any size, into a server that keeps nothing.

def synthetic(fill, size):
    """The Hub's argument for one file of that size; its hash is computed once."""
    path = "model.safetensors"
    cached = REPO / "build/bench" / f"{fill}-{size}.sha256"
    if not cached.exists():
        print(f"hashing {size} bytes", file=sys.stderr)
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(digest(Synthetic(size, seed=path, fill=fill), hashlib.sha256()))
    return ["--synthetic" if fill == "pattern" else "--zeros",
            f"bench/huge:{path}:{size}:{cached.read_text()}"]


@contextlib.contextmanager
def sink():
    server = subprocess.Popen([sys.executable, str(REPO / "tests/bench/sinkserver.py")],
                              stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


class Huge:
    """Publishes one file; memory and requests must not grow with it beyond the parts' number."""

    def __init__(self, binary, folder):
        self.binary, self.client, self.rows = binary, folder / "huge", []
        self.client.mkdir()
        self.meter = Meter(self.client)

    def sync(self, hub, to, **env):
        env = {**CLEAN, "HOME": str(self.client), "HF_ENDPOINT": hub.url, "AWS_REGION": "us-east-1",
               "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
               "AWS_EC2_METADATA_DISABLED": "true", **env}
        return self.meter.run([self.binary, "sync", "bench/huge", "--to", to, "--quiet"], env)

    def row(self, size, to, cost, hub, *last):
        api, cdn = hub.counts()
        self.rows.append((f"{size / GIB:g} GiB", to, f"{cost.wall:.0f} s", f"{cost.cpu:.0f} s",
                          f"{cost.rss / MIB:.1f} MiB", in_mib(cost.sockets),
                          f"{api}", f"{cdn}", *last))
        print(" ".join(self.rows[-1]), file=sys.stderr)

    def to_sink(self, size):
        with Hub(*synthetic("pattern", size)) as hub, sink() as endpoint:
            cost = self.sync(hub, "s3://sink", AWS_ENDPOINT_URL=endpoint)
            with urllib.request.urlopen(f"{endpoint}/-/stats") as answer:
                stats = json.load(answer)
            self.row(size, "S3", cost, hub, str(stats["requests"]),
                     str(stats["operations"].get("UploadPart", 0)), in_mib(cost.disk))
        if size not in stats["objects"]:
            sys.exit(f"the sink has no object of {size} bytes: {stats}")

    def to_directory(self, size):
        """Of zeros, which a directory keeps as holes."""
        with Hub(*synthetic("zeros", size)) as hub, tempfile.TemporaryDirectory() as bucket:
            cost = self.sync(hub, f"file://{bucket}")
            found = [path.stat().st_size for path in Path(bucket).rglob("*.safetensors")]
            self.row(size, "directory", cost, hub, "-", "-", in_mib(used(bucket)))
        if found != [size]:
            sys.exit(f"the directory has files of {found} bytes")

    def table(self):
        return ["One file: into an S3 server that keeps nothing but its size, and, of zeros, into a "
                "directory, where they are holes.", "", *table(
                    ("one file", "into", "wall", "CPU", "resident", "sockets", "Hub requests",
                     "CDN requests", "S3 requests", "parts", "disk"), self.rows)]


def in_mib(value):
    return "-" if value is None else f"{value / MIB:.1f} MiB"


def memory_folder(needed):
    """(a folder in memory with room for so many bytes, None), or (None, why there is none)."""
    try:
        program("versitygw")
    except pytest.skip.Exception as error:
        return None, str(error)
    shm = Path("/dev/shm")
    free = shutil.disk_usage(shm).free if shm.is_dir() else 0
    with open("/proc/meminfo") as f:
        available = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvail"))
    room = min(free, available)
    return (str(shm), None) if room > needed else (
        None, f"it needs {needed / GIB:.0f} GiB in memory, there are {room / GIB:.0f}")


def compare(a, tmp):
    """The tables of both sides, as lines."""
    works = [(f"{a.size / GIB:g} GiB in {SHARDS} shards", "bench/large"),
             (f"{a.small:,} small files", "bench/small")]
    rclone = REPO / "build/tools/rclone"
    make_large(tmp / "hub/models/bench/large", a.size)
    make_small(tmp / "hub/models/bench/small", a.small)
    with Hub("--root", str(tmp / "hub")) as hub, Versitygw(tmp) as s3:
        bench = Bench(a.binary, str(rclone) if rclone.exists() else None, hub, s3, tmp)
        bench.all(a.runs, works)
    low, high = min(bench.load), max(bench.load)
    text = [f"{a.runs} runs in turns; median (range); the ratio is the median of each turn's. "
            f"{platform.machine()}, {os.cpu_count()} cores, Linux "
            f"{platform.release().split('-')[0]}, load {low:.1f}-{high:.1f} with the servers.", ""]
    if bench.rclone is None:
        text += ["Skipped: the comparison (no build/tools/rclone: `tools/deps.sh bench`).", ""]
    return text + report(bench, works)


def write(page, lines):
    head, rest = page.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text("\n".join([head + BEGIN, "", *lines, "", END + tail]))


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("binary", nargs="?", default=str(REPO / "build/bin/hfcache-refresh"))
    args.add_argument("--runs", type=int, default=5)
    args.add_argument("--size", type=amount, default=4 * GIB)
    args.add_argument("--small", type=int, default=1000)
    args.add_argument("--huge", type=amount)
    args.add_argument("--only-huge", action="store_true", help="not the comparison")
    args.add_argument("--write", type=Path)
    a = args.parse_args()
    a.binary = str(Path(a.binary).resolve())
    # So that servers and gigabytes in memory go as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    text = []
    # The Hub's copy, the bucket's and, while it puts parts together, a shard more; the cache.
    where, why = memory_folder(3 * a.size + a.size // 4 + GIB)
    with tempfile.TemporaryDirectory(prefix="hfcache-bench-", dir=where) as tmp:
        if a.only_huge:
            pass
        elif why:
            text += [f"Skipped: the comparison ({why})."]
        else:
            text += compare(a, Path(tmp))
        if a.huge:
            one = Huge(a.binary, Path(tmp))
            for size in (a.huge // 100, a.huge // 10, a.huge):
                one.to_sink(size)
            one.to_directory(a.huge)
            text += ["", *one.table()]
    print("\n".join(text))
    if a.write:
        write(a.write, text)


if __name__ == "__main__":
    main()
