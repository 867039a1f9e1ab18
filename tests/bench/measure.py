"""What a program costs: wall and CPU time, memory with its sockets, what it writes to disks.

    with Meter(folder) as meter:
        cost = meter.run(argv, env)         # Cost; sys.exit() if the program fails
        cost + other                        # one after the other: times add up, peaks don't

CPU time (user + system) is wait4(2)'s. The peak resident set is VmHWM, looked at while the program
runs: wait4(2)'s has that of Python's fork in it. Where a memory control group can
be made, which takes root, its peak is taken as well: `group` is what is charged to the process (what
it wrote into its memory, the kernel's tables on its behalf, files that it was the first to read),
sockets included, and `sockets` is what those held of it at most. Version 1 counts the two apart, and
as their peaks need not coincide, the sum is an upper bound; version 2 doesn't tell (None).
"""
import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

MIB = 1 << 20
LOOK_SECONDS = 0.005


@dataclasses.dataclass
class Cost:
    wall: float
    cpu: float
    rss: int
    group: int | None = None
    sockets: int | None = None
    written: int = 0  # bytes for block devices
    disk: int = 0     # bytes below the program's folder

    def __add__(self, other):
        def most(a, b):
            return None if a is None or b is None else max(a, b)

        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.rss, other.rss),
                    most(self.group, other.group), most(self.sockets, other.sockets),
                    self.written + other.written, max(self.disk, other.disk))


def used(folder):
    """Bytes that a folder takes up; what is linked twice counts once."""
    seen, total = set(), 0
    for top, _, names in os.walk(folder):
        for name in names:
            info = os.lstat(os.path.join(top, name))
            if (info.st_dev, info.st_ino) not in seen:
                seen.add((info.st_dev, info.st_ino))
                total += info.st_blocks * 512
    return total


class NoGroup:
    """Where no control group can be made."""

    kind = None

    def enter(self):
        pass

    def peaks(self):
        return None, None

    def remove(self):
        pass


class Group:
    """A control group for one process, below the one that we are in."""

    def __init__(self, parent, version):
        self.version = version
        self.folder = Path(parent) / f"hfcache-bench-{os.getpid()}"
        self.folder.mkdir()
        needed = "memory.max_usage_in_bytes" if version == 1 else "memory.peak"
        if not (self.folder / needed).exists():
            self.folder.rmdir()
            raise OSError(f"no {needed}")
        if version == 1:
            # Sockets are counted only where they are limited.
            (self.folder / "memory.kmem.tcp.limit_in_bytes").write_text(str(1 << 40))

    @property
    def kind(self):
        return f"version {self.version}"

    def enter(self):
        """In the child, between fork and exec."""
        (self.folder / "cgroup.procs").write_text("0")

    def number(self, name):
        return int((self.folder / name).read_text())

    def peaks(self):
        if self.version == 2:
            return self.number("memory.peak"), None
        sockets = self.number("memory.kmem.tcp.max_usage_in_bytes")
        return self.number("memory.max_usage_in_bytes") + sockets, sockets

    def remove(self):
        # What is charged to a group keeps it busy for a moment after its last process.
        for _ in range(100):
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.02)


def make_group():
    """A Group, or a NoGroup."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        version = 1 if "memory" in controllers.split(",") else 2 if not controllers else None
        for top in {1: ["/sys/fs/cgroup/memory"], 2: ["/sys/fs/cgroup"]}.get(version, []):
            try:
                return Group(top + path, version)
            except OSError:
                continue
    return NoGroup()


def wait(child):
    """(CPU seconds, peak resident bytes, bytes written) of a program, when it has ended.
    Peaks of its last 5 ms are missed."""
    ended, peak = threading.Event(), 0

    def look():
        nonlocal peak
        while not ended.wait(LOOK_SECONDS):
            with contextlib.suppress(OSError, StopIteration):
                text = Path(f"/proc/{child.pid}/status").read_text()
                line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
                peak = max(peak, int(line.split()[1]) * 1024)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:
        child.kill()
        raise
    finally:
        ended.set()
        looker.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, peak, usage.ru_oublock * 512


class Meter:
    def __init__(self, folder):
        self.folder = Path(folder)
        group = make_group()
        self.kind = group.kind
        group.remove()

    def run(self, argv, env, ok=(0,)):
        """Runs a program in the folder, which its disk use is measured of."""
        output = self.folder.parent / "output"
        group = make_group()
        try:
            with open(output, "wb") as out:
                began = time.perf_counter()
                child = subprocess.Popen([str(arg) for arg in argv], env=env, cwd=self.folder,
                                         stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                         preexec_fn=group.enter)
                cpu, rss, written = wait(child)
                wall = time.perf_counter() - began
            peaks = group.peaks()
        finally:
            group.remove()
        if child.returncode not in ok:
            sys.exit(f"{' '.join(map(str, argv))}: exit {child.returncode}\n"
                     f"{output.read_text(errors='replace')[-3000:]}")
        return Cost(wall, cpu, rss, *peaks, written=written, disk=used(self.folder))
