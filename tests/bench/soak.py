"""An hour of hfcache-mount with kills and faults: nothing may grow, nobody may notice.

    soak.py [--minutes 60] [--readers 60] [--seed N] [--report FILE]

Runs below tests/integration's helpers, against versitygw behind a proxy that fails. Takes turns:
phases with kills of worker and keeper's standby, and quiet ones without, in which a worker's own
growth shows. Prints a line every ten seconds, the figures at the end; exits 1 if a reader saw
anything, or if memory, descriptors or threads of keeper or a long-lived worker grew.
"""
import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests/integration"))

# pylint: disable=wrong-import-position
from mount import KIB, MIB, Mount, Readers, S3Bucket, is_gone, placed, sizes, skip_reason  # noqa: E402
from servers import S3Proxy, Versitygw  # noqa: E402

SAMPLE_SECONDS = 10
PHASE_SECONDS = 300
# What a process may gain in a phase, once it has warmed up.
GROWTH = {"anonymous": 2 * MIB, "descriptors": 8, "threads": 0}
KINDS = [("slowdown", {}), ("internal", {}), ("reset", {"when": "answer", "at": "middle"}),
         ("fin", {"when": "answer", "at": "head"}), ("short", {"when": "answer", "at": "end"}),
         ("stall", {"when": "answer", "at": "middle", "seconds": 5})]


def figures(pid):
    """What a process holds; None if it is gone."""
    try:
        status = dict(line.split(":", 1) for line in
                      Path(f"/proc/{pid}/status").read_text().splitlines())
        return {"anonymous": int(status["RssAnon"].split()[0]) * KIB, "threads": int(status["Threads"]),
                "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}
    except (OSError, KeyError):
        return None


class Soak:
    def __init__(self, options):
        self.options = options
        self.dice = random.Random(options.seed)
        self.samples = {}  # pid: [figures]
        self.kills = 0
        self.complaints = []

    def run(self):
        with placed("soak") as place, Versitygw(place) as s3, S3Proxy(s3.endpoint) as proxy:
            bucket = sizes(S3Bucket(s3), *((f"f{n:02}.bin", (n + 1) * 700 * KIB) for n in range(24)))
            with Mount(place, bucket.url, env=s3.env_for(proxy.endpoint), memory="64Mi",
                       cache_size="64Mi", read_timeout=300, log="text") as mount:
                mount.run()
                mount.wait_for_names()
                with Readers(mount.targets(bucket), place, processes=self.options.readers,
                             grace=120) as readers:
                    self.turns(mount, bucket, proxy, readers)
                    counts = readers.finish()
                if counts["errors"] or counts["wrong"] or counts["stuck"]:
                    self.complaints.append(f"readers: {counts}")
                return counts

    def turns(self, mount, bucket, proxy, readers):
        end = time.monotonic() + self.options.minutes * 60
        phase, quiet = 0, False
        sampled = 0
        while (now := time.monotonic()) < end:
            if now > phase:
                phase, quiet = now + min(PHASE_SECONDS, self.options.minutes * 15), not quiet
                print("quiet" if quiet else "kills", flush=True)
            if now > sampled:
                sampled = now + SAMPLE_SECONDS
                self.sample(mount, readers)
            self.disturb(mount, bucket, proxy, quiet)
            time.sleep(self.dice.random())

    def disturb(self, mount, bucket, proxy, quiet):
        if self.dice.random() < 0.3:
            kind, how = self.dice.choice(KINDS)
            proxy.heal()
            proxy.clear()
            proxy.fail(kind, key="hub/*", operation="GetObject", times=self.dice.randrange(1, 10), **how)
        if self.dice.random() < 0.05:
            bucket.put("note.txt", str(time.time()).encode())
            bucket.publish()
        if not quiet and self.dice.random() < 0.2:
            pid = mount.state().get("worker_pid")
            if pid and not is_gone(pid):
                os.kill(pid, self.dice.choice([signal.SIGKILL, signal.SIGSEGV]))
                self.kills += 1

    def sample(self, mount, readers):
        state = mount.state()
        counts = readers.counts()
        for name in ("keeper_pid", "worker_pid"):
            pid = state.get(name)
            found = figures(pid) if pid else None
            if found:
                self.samples.setdefault((name, pid), []).append(found)
                print(f"{name} {pid} {found['anonymous'] // KIB} KiB {found['descriptors']} fds "
                      f"{found['threads']} threads; {counts['reads']} reads {counts['errors']} errors "
                      f"{self.kills} kills", flush=True)
        if counts["errors"] or counts["wrong"]:
            self.complaints.append(f"readers: {counts}")

    def growth(self):
        """Of processes that lived for a while: the last third against the second."""
        for (name, pid), samples in self.samples.items():
            if len(samples) < 9:
                continue
            third = len(samples) // 3
            for what, allowed in GROWTH.items():
                before = max(sample[what] for sample in samples[third:2 * third])
                after = max(sample[what] for sample in samples[2 * third:])
                if after - before > allowed:
                    self.complaints.append(f"{name} {pid}: {what} grew from {before} to {after}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--readers", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    if skip_reason():
        sys.exit(skip_reason())
    print(f"seed {options.seed}", flush=True)
    soak = Soak(options)
    counts = soak.run()
    soak.growth()
    result = {"minutes": options.minutes, "kills": soak.kills, "readers": counts,
              "complaints": soak.complaints}
    print(json.dumps(result, indent=1))
    if options.report:
        options.report.write_text(json.dumps(result))
    return 1 if soak.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
