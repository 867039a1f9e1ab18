"""Running hfcache-mount in tests, on buckets whose content can be computed.

    place                               fixture: a folder that the unprivileged worker can reach
    bucket = LocalBucket(place / "bucket")      or S3Bucket(versitygw, "name")
    bucket.add("f.bin", 5 << 20)        computed content; put(key, bytes) for any other
    bucket.publish()                    the index; without it the mount lists the bucket
    with Mount(place, bucket.url) as mount:
        mount.run()                     or mount.keep(), mount.serve(), mount.serve(standby=True)
        mount.wait_for_names()
        mount.visitor.call(...)         what touches the mount: see visitor.py
        mount.kill_worker(); mount.status(); mount.metrics(); mount.log()
    with Readers(mount.targets(bucket), processes=100) as readers: ...

Whatever happens, Mount's end kills what was started here (found by a mark in its environment) and
detaches the mount, without ever waiting for the mount itself.
"""
import contextlib
import ctypes
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy
import pytest

import hfindex
from refresh import CLEAN
from servers import free_port
from visitor import Hung, Lines, Visitor

REPO = Path(__file__).resolve().parents[2]
MOUNT = os.path.abspath(os.environ.get("HFCACHE_MOUNT", REPO / "build/bin/hfcache-mount"))
READERS = os.path.abspath(os.environ.get("HFCACHE_MOUNT_READERS",
                                         REPO / "build/release/tests-tools/mount_readers"))
SANITIZED = "HFCACHE_SANITIZED" in os.environ
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BLOCK = 256 * KIB
NOBODY = 65534
# Generous: these tests run side by side on small machines.
PATIENCE = int(os.environ.get("HFCACHE_TEST_TIMEOUT", "90"))
COMMIT = "5ca1ab1e" * 5
MODEL = "hub/models--t--m"
SNAPSHOT = f"{MODEL}/snapshots/{COMMIT}"
MARK = "HFCACHE_TEST_PLACE"
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
libc = ctypes.CDLL(None, use_errno=True)


def skip_reason():
    if os.geteuid() != 0:
        return "mounting takes root"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    return None


needs_mount = pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason()))


# Computed content; tests/tools/mount_readers.c has the same.

def words(number, first, count):
    with numpy.errstate(over="ignore"):
        x = numpy.arange(first + 1, first + count + 1, dtype=numpy.uint64)
        x *= numpy.uint64(0x8F3A5C71D2E94B67)
        x += numpy.uint64((number + 1) * 0xC5B1E0A98D67F243 % (1 << 64))
        x ^= x >> numpy.uint64(31)
        x *= numpy.uint64(0xB4D82F6197CA35ED)
        x ^= x >> numpy.uint64(29)
        x *= numpy.uint64(0x93E7A14D5CB86F2B)
        x ^= x >> numpy.uint64(32)
    return x


def content(number, size, offset=0):
    first = offset // 8
    count = (offset + size + 7) // 8 - first
    skip = offset - first * 8
    return words(number, first, count).tobytes()[skip:skip + size]


class Bucket:
    """Objects, and the index that tells of them."""

    def __init__(self, url):
        self.url = url
        self.index = hfindex.Index()
        self.numbers = {}  # key: (number, size) of computed content
        self.next_number = 1

    @staticmethod
    def key(name):
        """A plain name is one of the model's files."""
        return name if name.startswith(("hub/", "other/")) else f"{SNAPSHOT}/{name}"

    def add(self, name, size, number=None):
        if number is None:
            number, self.next_number = self.next_number, self.next_number + 1
        key = self.key(name)
        self.put(key, content(number, size))
        self.numbers[key] = number, size
        return key

    def put(self, name, data):
        key = self.key(name)
        self.numbers.pop(key, None)
        etag = self.store(key, data)
        if "/refs/" in key and len(data) == 40:
            self.index.refs[key] = data.decode()
        else:
            self.index.objects[key] = (len(data), etag, hfindex.sha256(data), hfindex.git_sha1(data))
        return key

    def ref(self, name, commit, model=MODEL):
        return self.put(f"{model}/refs/{name}", commit.encode())

    def remove(self, name):
        key = self.key(name)
        self.forget(key)
        self.delete(key)

    def forget(self, key):
        for table in (self.index.refs, self.index.objects, self.numbers):
            table.pop(key, None)

    def bytes(self, name):
        key = self.key(name)
        if key in self.numbers:
            return content(*self.numbers[key])
        return self.load(key)

    def publish(self):
        self.store(hfindex.KEY, self.index.text())

    def names(self):
        """All paths that the mount has to show, folders too."""
        found = set()
        for key in [*self.index.objects, *self.index.refs]:
            while key:
                found.add(key)
                key = key.rpartition("/")[0]
        return found

    def store(self, key, data):
        """Returns the ETag."""
        raise NotImplementedError

    def load(self, key):
        raise NotImplementedError

    def delete(self, key):
        raise NotImplementedError


class LocalBucket(Bucket):
    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir()
        super().__init__(f"file://{self.root}")

    def store(self, key, data):
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(".new")
        temporary.write_bytes(data)
        temporary.rename(path)
        return self.etag(key)

    def etag(self, key):
        st = (self.root / key).stat()
        return f"{st.st_ino:x}.{st.st_size:x}.{st.st_mtime_ns:x}"

    def load(self, key):
        return (self.root / key).read_bytes()

    def delete(self, key):
        (self.root / key).unlink()

    def spoil(self, name, data):
        """Other bytes below the same ETag: nothing but the digest shows it."""
        path = self.root / self.key(name)
        st = path.stat()
        assert len(data) == st.st_size
        path.write_bytes(data)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


class S3Bucket(Bucket):
    def __init__(self, server, name="bucket"):
        self.server, self.name = server, name
        super().__init__(server.make_bucket(name))

    def store(self, key, data):
        headers, _ = self.server.client.call("PUT", self.name, key, body=data)
        return headers["etag"].strip('"')

    def load(self, key):
        return self.server.get(self.name, key)

    def delete(self, key):
        self.server.client.call("DELETE", self.name, key)


def sizes(bucket, *pairs):
    for name, size in pairs:
        bucket.add(name, size)
    bucket.ref("main", COMMIT)
    bucket.publish()
    return bucket


# Disk use and processes.

def used(folder):
    """Bytes that a folder takes on its disk, as du(1) counts."""
    total, folders = 0, [folder]
    while folders:
        top = folders.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            total += os.lstat(top).st_blocks * 512
            for entry in os.scandir(top):
                with contextlib.suppress(FileNotFoundError):
                    st = os.lstat(entry.path)
                    if stat.S_ISDIR(st.st_mode):
                        folders.append(entry.path)
                    else:
                        total += st.st_blocks * 512
    return total


class DiskWatch:
    """The most that a folder takes while it is watched."""

    def __init__(self, folder, look=used, every=0.01):
        self.folder, self.look, self.every = folder, look, every
        self.most = self.looks = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ended.wait(self.every):
            self.most = max(self.most, self.look(self.folder))
            self.looks += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.most = max(self.most, self.look(self.folder))


def until(condition, what, timeout=PATIENCE, every=0.01):
    """Waits for condition() to be true, and returns what it is."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise Hung(f"not in {timeout} s: {what() if callable(what) else what}")
        time.sleep(every)
    return value


def is_gone(pid):
    """Ended with all its threads, reaped or not."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        os.close(fd)


def wait_gone(pid, timeout=PATIENCE):
    until(lambda: is_gone(pid), f"process {pid} ends", timeout, 0.002)


def marked(place):
    """Processes started for this place: {pid}."""
    mark = f"{MARK}={place}".encode()
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.add(int(name))
    return found


def mounts_at(path):
    """Device numbers of what is mounted there, from mountinfo: the mount is not touched."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[4] == str(path):
            found.append(fields[2])
    return found


def detach(path):
    while mounts_at(path):
        if libc.umount2(os.fsencode(str(path)), MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
            break


def pile_up(path):
    """One more dead mount of the same kind on top of the one that is there."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        fields = [line.split() for line in file if line.split()[4] == str(path)][-1]
    kind, source = fields[fields.index("-") + 1:][:2]
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(source.encode(), os.fsencode(str(path)), kind.encode(), 1, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    os.close(fd)


def kill_all(place):
    for pid in marked(place):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(Hung):
                wait_gone(pid, 20)


def make_place(name="t"):
    top = Path(tempfile.mkdtemp(prefix=f"hfcache-mount-{name}-"))
    top.chmod(0o755)
    return top


@contextlib.contextmanager
def placed(name="t"):
    top = make_place(name)
    try:
        yield top
    finally:
        kill_all(top)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split(" ")[4].startswith(f"{top}/"):
                detach(line.split(" ")[4])
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(name="place")
def place_fixture():
    with placed() as top:
        yield top


@pytest.fixture(scope="module", name="module_place")
def module_place_fixture():
    with placed("m") as top:
        yield top


class Process:
    """One of the programs, its output in a file."""

    def __init__(self, argv, env, output, preexec=None):
        self.argv, self.output = [str(arg) for arg in argv], Path(output)
        with open(self.output, "ab") as file:
            self.child = subprocess.Popen(self.argv, env=env, stdin=subprocess.DEVNULL, stdout=file,
                                          stderr=file, preexec_fn=preexec, start_new_session=True)

    @property
    def pid(self):
        return self.child.pid

    def text(self):
        return self.output.read_text(errors="replace")

    def wait(self, timeout=PATIENCE):
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Hung(f"{' '.join(self.argv)}: no end in {timeout} s\n{self.text()[-4000:]}") from None

    def end(self, number=signal.SIGTERM, timeout=PATIENCE):
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)
        return self.wait(timeout)


def outside(*argv, timeout=PATIENCE, env=None):
    """Runs a program that touches a mount; one that hangs is left behind."""
    child = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL, env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        raise Hung(f"{argv[:4]}: no end in {timeout} s") from None
    return Done(child.returncode, out, err)


class Done:
    def __init__(self, rc, out, err):
        self.rc, self.out, self.err = rc, out, err

    def __repr__(self):
        return f"exit {self.rc}\n{self.out[-3000:]}\n{self.err[-5000:]}"


class Mount:
    """Options are those of run and serve, as keywords: cache_size="64Mi", without="passthrough"."""

    KEEP = ("orphan_timeout", "without", "log")

    def __init__(self, place, store, env=None, name="mnt", **options):
        self.place, self.store = Path(place), store
        self.root, self.cache = self.place / name, self.place / f"{name}-cache"
        self.socket = self.place / f"{name}.sock"
        self.port = free_port()
        self.options = {"memory": "96Mi", "read_timeout": 60, "refresh_interval": 1,
                        "listen": f"127.0.0.1:{self.port}", "log": "json", **options}
        self.env = {**CLEAN, "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
                    MARK: str(place), "HFCACHE_RUNTIME_DIR": str(self.place / f"{name}-run"),
                    **{key: str(value) for key, value in (env or {}).items()}}
        self.visitor = Visitor()
        self.processes = []
        for folder in (self.root, self.cache, self.place / f"{name}-run"):
            folder.mkdir(exist_ok=True)
        os.chown(self.cache, NOBODY, NOBODY)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.visitor.__exit__()
        self.stop_all()
        detach(self.root)
        if kind is None:
            self.check_logs()
        else:
            print(f"log of {self.root}:\n{self.text()[-6000:]}")

    def stop_all(self):
        for process in reversed(self.processes):
            if process.child.poll() is None:
                with contextlib.suppress(Hung):
                    process.end(timeout=15)
        for pid in marked(self.place):
            with contextlib.suppress(OSError):
                if self.belongs(pid):
                    os.kill(pid, signal.SIGKILL)
                    with contextlib.suppress(Hung):
                        wait_gone(pid, 20)

    def stop_hard(self):
        """Kills keeper and workers, all at once."""
        pids = [pid for pid in marked(self.place) if self.belongs(pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        for pid in pids:
            wait_gone(pid)
        for process in self.processes:
            if process.pid in pids:
                process.wait()

    def belongs(self, pid):
        """Of the processes of this place, one of this mount."""
        runtime = f"HFCACHE_RUNTIME_DIR={self.env['HFCACHE_RUNTIME_DIR']}".encode()
        return runtime in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")

    def check_logs(self):
        text = self.text()
        for word in ("Sanitizer", "runtime error:", "Assertion"):
            assert word not in text, text[text.index(word):][:4000]

    # Starting.

    def arguments(self, which=None, **changes):
        options = {**self.options, **changes}
        argv = []
        for name, value in options.items():
            if value is None or (which == "keep" and name not in self.KEEP) or \
                    (which == "serve" and name in ("orphan_timeout", "without", "user")):
                continue
            flag = f"--{name.replace('_', '-')}"
            argv += [flag] if value is True else [flag, str(value)]
        return argv

    def start(self, *argv, env=None, preexec=None):
        process = Process([MOUNT, *argv], {**self.env, **(env or {})},
                          self.place / f"{self.root.name}-log-{len(self.processes)}", preexec)
        self.processes.append(process)
        return process

    def run(self, wait=True, env=None, preexec=None, **options):
        process = self.start("run", "--socket", self.socket, "--store", self.store, "--cache",
                             self.cache, *self.arguments(**options), self.root, env=env,
                             preexec=preexec)
        if wait:
            self.wait_serving(process)
        return process

    def keep(self, wait=True, env=None, preexec=None, **options):
        process = self.start("keep", "--socket", self.socket, *self.arguments("keep", **options),
                             self.root, env=env, preexec=preexec)
        if wait:
            until(lambda: process.child.poll() is not None or self.state().get("keeper_pid") ==
                  process.pid, "the keeper answers")
            assert process.child.poll() is None, process.text()
        return process

    def serve(self, wait=True, standby=False, env=None, preexec=None, **options):
        process = self.start("serve", "--socket", self.socket, "--store", self.store, "--cache",
                             self.cache, *self.arguments("serve", **options),
                             *(["--standby"] if standby else []), env=env, preexec=preexec)
        if wait and standby:
            self.wait_standby(process)
        elif wait:
            until(lambda: process.child.poll() is not None or
                  self.state().get("worker_pid") == process.pid and self.is_serving(),
                  lambda: f"the new worker serves: {self.state()}")
            assert process.child.poll() is None, process.text()
        return process

    def wait_serving(self, process=None):
        until(lambda: process is not None and process.child.poll() is not None or self.is_serving(),
              lambda: f"a worker serves: {self.state()}\n{self.text()[-3000:]}", every=0.03)
        assert process is None or process.child.poll() is None, process.text()

    def wait_standby(self, process=None):
        until(lambda: process is not None and process.child.poll() is not None or
              self.state().get("standbys", 0) > 0, lambda: f"a standby: {self.state()}")
        assert process is None or process.child.poll() is None, process.text()

    def wait_for_names(self, name="hub"):
        """Until the tree has come."""
        until(lambda: self.visitor.call(os.path.lexists, str(self.root / name)),
              lambda: f"{name} is seen\n{self.text()[-3000:]}", every=0.02)
        return self

    # Asking.

    def command(self, *argv, timeout=PATIENCE, env=None):
        """status, warm, drop, scrub ..."""
        return outside(MOUNT, *argv, timeout=timeout, env={**self.env, **(env or {})})

    def status(self):
        """It exits with 1 while no worker serves, and tells what it knows all the same."""
        done = self.command("status", "--json", "--socket", self.socket)
        assert done.rc in (0, 1) and done.out, done
        return json.loads(done.out)

    def state(self):
        """The same, {} if nobody answers."""
        done = self.command("status", "--json", "--socket", self.socket)
        try:
            return json.loads(done.out)
        except ValueError:
            return {}

    def is_serving(self):
        state = self.state()
        return state.get("state") == "serving" and bool(state.get("worker_pid"))

    @property
    def worker_pid(self):
        return self.status()["worker_pid"]

    @property
    def keeper_pid(self):
        return self.status()["keeper_pid"]

    def get(self, path, timeout=10):
        """(status, text) of the listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}",
                                        timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{'name{labels}': value}, without hfcache_ in front."""
        until(self.listens, "the listener answers")
        found = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name.removeprefix("hfcache_")] = float(value)
        return found

    def listens(self):
        try:
            return self.get("/livez")[0]
        except OSError:
            return 0

    def text(self):
        return "".join(process.text() for process in self.processes)

    def log(self):
        """The log's lines: time, level, who, kind, message; what is no JSON has only a message."""
        lines = []
        for line in self.text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"message": line})
        return lines

    def messages(self):
        return [line["message"] for line in self.log()]

    # Acting.

    def kill_worker(self, number=signal.SIGKILL):
        """Returns the pid of the dead one."""
        pid = until(lambda: self.state().get("worker_pid"), "there is a worker")
        os.kill(pid, number)
        wait_gone(pid)
        return pid

    def wait_successor(self, of):
        until(lambda: self.state().get("worker_pid") not in (None, 0, of) and self.is_serving(),
              lambda: f"a successor serves: {self.state()}\n{self.text()[-3000:]}", every=0.03)

    def path(self, name):
        return str(self.root / Bucket.key(name))

    def read(self, name, offset=0, size=None, timeout=PATIENCE):
        from visitor import read_cold  # pylint: disable=import-outside-toplevel
        return self.visitor.call(read_cold, self.path(name), offset, size, timeout=timeout)

    def targets(self, bucket, pattern=""):
        """What mount_readers wants to know of the files that have computed content."""
        return [f"{self.root / key}:{number}:{size}"
                for key, (number, size) in sorted(bucket.numbers.items()) if pattern in key]


class Readers:
    """tests/tools/mount_readers.c. Many readers pause, or they would leave the programs no processor."""

    def __init__(self, targets, place=None, **options):
        argv = [READERS, "read"]
        options.setdefault("pause", options.get("processes", 1) // 4)
        for name, value in options.items():
            argv += [f"--{name}", str(value)]
        env = {**os.environ, **({MARK: str(place)} if place else {})}
        self.lines = Lines([*argv, *targets], env=env)

    def __enter__(self):
        try:
            assert self.lines.line(PATIENCE) == b'{"ready":true}', "the readers can't begin"
        except BaseException:
            self.lines.give_up()
            raise
        return self

    def __exit__(self, *_):
        self.lines.give_up()

    def counts(self):
        self.lines.say()
        return json.loads(self.lines.line(PATIENCE))

    def wait_for(self, more):
        """Until there are so many reads more than now."""
        goal = self.counts()["reads"] + more
        last = {}

        def reached():
            last.update(self.counts())
            return last["reads"] >= goal
        until(reached, lambda: f"{goal} reads: {last}", every=0.02)
        return last

    def finish(self):
        self.lines.child.stdin.close()
        return json.loads(self.lines.line(PATIENCE + 30))

    def finish_clean(self):
        counts = self.finish()
        assert (counts["errors"], counts["wrong"], counts["stuck"]) == (0, 0, 0), counts
        return counts


def sha256(data):
    return hashlib.sha256(data).hexdigest()
