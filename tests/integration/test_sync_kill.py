"""hfcache-refresh sync that dies, is stopped, or meets another run; and a reader meanwhile.

Dies at every single call to the bucket, ahead of it and after it. What is there then is right: no
ref names anything incomplete, the index lists nothing that isn't so. The next run needs no help,
and ends where an undisturbed run ends.
"""
import base64
import hashlib
import itertools
import json
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from refresh import (check_bucket, check_index, check_model, environment, index_lines, refresh,
                     start, wait)
from servers import HubServer, S3Error, S3Proxy, Versitygw
from workload import AFTER, BIG, INDEX, LOCK, MIB, Killer, Workload

AT_ONCE = 6


def noise(size, seed):
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with Versitygw(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def work(s3, tmp_path_factory):
    with Workload(s3, tmp_path_factory.mktemp("work")) as workload:
        yield workload


@pytest.fixture(autouse=True)
def interruptible():
    """Who runs the tests in the background may have SIGINT ignored, which children inherit and the
    program respects."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Death.

def die(work, place, nth, when):
    """Dies at that call; false if the run has fewer."""
    killer = Killer()
    with S3Proxy(work.s3.endpoint) as proxy:
        failure = proxy.fail("call", call=killer, nth=nth, when=when)
        done = work.run(place, endpoint=proxy.endpoint, killer=killer)
        died = failure.hits > 0
    assert done.rc == (-signal.SIGKILL if died else 0), done
    work.check(place)
    return died


def die_and_go_on(work, make, nth, when, converged):
    place = make()
    died = die(work, place, nth, when)
    if died:
        done = work.run(place)
        assert done.rc == 0, done
    converged(place)
    return died


def at_every_call(work, make, converged, whens=("before", "after")):
    """All n, AT_ONCE at a time, until a run gets through; returns their number."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in itertools.count(1, AT_ONCE):
            jobs = [(nth, when, pool.submit(die_and_go_on, work, make, nth, when, converged))
                    for nth in range(first, first + AT_ONCE) for when in whens]
            wrong = [f"{when} call {nth}: {job.exception()!r}" for nth, when, job in jobs
                     if job.exception()]
            assert not wrong, "\n\n".join(wrong)
            # Calls go side by side, so their number may differ by a few.
            if not any(job.result() for _, _, job in jobs):
                return first


def test_dies_at_every_call_of_a_run_with_everything(work):
    assert at_every_call(work, work.place, work.converged) > 30


def test_dies_at_every_call_of_the_first_run(work):
    """Into an empty bucket."""
    def converged(place):
        check_bucket(work.state(place), AFTER)
        assert LOCK not in work.state(place) and not place.uploads()
    assert at_every_call(work, work.empty, converged, ["after"]) > 20


def test_dies_again_and_again(work):
    """Every run dies one call later than the one before: in the end nothing is left to do."""
    place = work.empty()
    for nth in itertools.count(4, 3):
        if not die(work, place, nth, "after"):
            break
    check_bucket(work.state(place), AFTER)
    assert not place.uploads()


def test_finished_parts_are_used_again(work, s3):
    """Also by a run that died in the middle; the bytes are fetched, compared, and not sent."""
    with HubServer() as hub:
        hub.model("org/big", {"w.safetensors": noise(28 * MIB, 9)})
        url = s3.make_bucket("parts")
        killer = Killer()
        args = ["sync", "org/big", "--to", url]
        with S3Proxy(s3.endpoint) as proxy:
            proxy.fail("call", call=killer, operation="UploadPart", nth=4, when="after")
            env = environment(hub, s3.env_for(proxy.endpoint))
            done = wait(killer.watch(start(*args, env=env)))
            assert done.rc == -signal.SIGKILL, done
            assert s3.uploads("parts")
        upload = s3.client.call("GET", "parts", query={"uploads": ""})[1].decode()
        key = upload.partition("<Key>")[2].partition("</Key>")[0]
        ident = upload.partition("<UploadId>")[2].partition("</UploadId>")[0]
        there = s3.client.call("GET", "parts", key, {"uploadId": ident})[1].count(b"<PartNumber>")
        assert there >= 3
        with S3Proxy(s3.endpoint) as proxy:
            done = refresh(*args, env=environment(hub, s3.env_for(proxy.endpoint)))
            assert done.rc == 0 and proxy.count("UploadPart") == 6 - there, (done, proxy.calls)
            assert proxy.count("CreateMultipartUpload") == 0
        check_bucket(s3.objects("parts"), {"org/big": {"w.safetensors": noise(28 * MIB, 9)}})
        assert not s3.uploads("parts")


def test_parts_of_other_bytes_are_not_used(work, s3):
    """The upload that is found has parts of the right sizes, and of something else."""
    with HubServer() as hub:
        repo = hub.model("org/big", BIG)
        url = s3.make_bucket("other-parts")
        key = f"hub/models--org--big/snapshots/{repo.head}/big.safetensors"
        body = s3.client.call("POST", "other-parts", key, {"uploads": ""},
                              headers={"x-amz-checksum-algorithm": "SHA256"})[1].decode()
        ident = body.partition("<UploadId>")[2].partition("</UploadId>")[0]
        size = len(BIG["big.safetensors"])
        for number, part in ((1, noise(5 * MIB, 77)), (2, noise(size - 5 * MIB, 78))):
            s3.client.call("PUT", "other-parts", key, {"partNumber": number, "uploadId": ident},
                           part, {"x-amz-checksum-sha256": base64.b64encode(
                               hashlib.sha256(part).digest()).decode()})
        done = refresh("sync", "org/big", "--to", url, env=environment(hub, s3))
        assert done.rc == 0, done
        check_bucket(s3.objects("other-parts"), {"org/big": BIG})
        assert not s3.uploads("other-parts")


# A stop.

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("operation,nth", [
    ("PutObject", 1), ("GetObject", 1), ("ListObjectsV2", 1), ("ListMultipartUploads", 1),
    ("HeadObject", 1), ("CreateMultipartUpload", 1), ("ListParts", 1), ("UploadPart", 1),
    ("CompleteMultipartUpload", 1), ("CompleteMultipartUpload", 2), ("CopyObject", 1),
    ("PutObject", 3), ("PutObject", 7), ("PutObject", 10), ("DeleteObject", 1)])
def test_a_stop_is_clean(work, operation, nth, number):
    """Wherever it is: nothing stays that would be in the way, and it says how to go on."""
    if number == signal.SIGINT and nth > 1:
        pytest.skip("both signals take the same way")
    place = work.place()
    report = work.tmp_path / "stop.json"
    for when in ("before", "after"):
        with S3Proxy(work.s3.endpoint) as proxy:
            ready = threading.Event()

            def stop():
                ready.wait(20)
                box[0].send_signal(number)
            box = []
            failure = proxy.fail("call", call=stop, operation=operation, nth=nth, when=when)
            box.append(start(*work.arguments(place), "--report", report,
                             env=work.environment(proxy.endpoint)))
            ready.set()
            done = wait(box[0])
            calls = proxy.calls
        objects = work.check(place)
        assert LOCK not in objects, calls
        told = json.loads(report.read_text())
        if failure.hits and told["interrupted"]:
            assert done.rc == 1, done
            assert "interrupted" in done.err and "goes on from there" in done.err, done
            assert told["status"] == "interrupted"
            strays = set(place.uploads())
            created = {call.key for call in calls if call.operation == "CreateMultipartUpload"}
            assert not strays & created, calls
        else:
            # The signal came when all was done but the lock's deletion.
            assert operation == "DeleteObject" or not failure.hits, done
    done = work.run(place)
    assert done.rc == 0, done
    work.converged(place)


def test_a_stop_while_the_hub_is_silent(work):
    place = work.empty()
    box, ready = [], threading.Event()

    def stop(_request, response):
        ready.wait(20)
        box[0].send_signal(signal.SIGTERM)
        return response
    for endpoint in ("info", "tree", "resolve", "cdn"):
        with HubServer() as hub:
            for name, files in AFTER.items():
                hub.model(name, files)
            # In this order: the signal first, then silence.
            hub.fault(stop, endpoint=endpoint)
            hub.fault("stall", endpoint=endpoint, at="before", times=None)
            box[:] = [start("sync", *AFTER, "--to", place.url, env=environment(hub, work.s3))]
            ready.set()
            done = wait(box[0])
        assert done.rc == 1 and "goes on from there" in done.err, done
        assert LOCK not in work.check(place) and not place.uploads()
    done = work.run(place)
    assert done.rc == 0, done
    check_bucket(work.state(place), AFTER)


# The lock.

def hold(work, place, operation="ListObjectsV2"):
    """A proxy, and a run that waits at that call until release() is called."""
    proxy = S3Proxy(work.s3.endpoint)
    there, free = threading.Event(), threading.Event()

    def stand():
        there.set()
        free.wait(60)
    proxy.fail("call", call=stand, operation=operation)
    child = start(*work.arguments(place), env=work.environment(proxy.endpoint))
    assert there.wait(20)
    return proxy, child, free


def test_two_runs_at_once(work):
    """One has the lock; another says so and goes, or waits for it and then finds all done."""
    place = work.place()
    proxy, child, free = hold(work, place)
    try:
        held = json.loads(work.state(place)[LOCK])
        done = work.run(place, "--lock-wait", 0)
        assert done.rc == 1 and f"pid {child.pid}" in done.err and place.url in done.err, done
        assert json.loads(work.state(place)[LOCK]) == held
        second = start(*work.arguments(place), env=work.environment())
        line = ""
        while "waiting for the lock" not in line:
            line = second.stderr.readline()
            assert line, "it does not wait"
        free.set()
        first = wait(child)
        assert first.rc == 0, first
        done = wait(second)
        assert done.rc == 0, done
    finally:
        free.set()
        proxy.close()
    work.converged(place)


def test_a_stop_while_waiting_for_the_lock(work):
    place = work.place()
    proxy, child, free = hold(work, place)
    try:
        second = start(*work.arguments(place), env=work.environment())
        line = ""
        while "waiting for the lock" not in line:
            line = second.stderr.readline()
            assert line
        second.send_signal(signal.SIGTERM)
        done = wait(second)
        assert done.rc == 1 and "goes on from there" in done.err, done
        assert LOCK in work.state(place), "the other one's"
    finally:
        free.set()
        assert wait(child).rc == 0
        proxy.close()
    work.converged(place)


def test_the_lock_of_a_dead_process_is_taken_at_once(work):
    place = work.place()
    proxy, child, free = hold(work, place)
    try:
        child.kill()
        wait(child)
        assert LOCK in work.state(place)
        done = work.run(place, "--lock-wait", 0)
        assert done.rc == 0 and "its process is gone" in done.err, done
    finally:
        free.set()
        proxy.close()
    work.converged(place)


def test_the_lock_of_another_machine_is_respected(work):
    place = work.place()
    proxy, child, free = hold(work, place)
    lock = json.loads(work.state(place)[LOCK])
    free.set()
    wait(child)
    proxy.close()
    lock.update(owner="elsewhere pid 7", process="other/1/7/1", token="0" * 32)
    text = json.dumps(lock).encode()
    work.s3.put(place.name, LOCK, text)
    before = work.state(place)
    done = work.run(place, "--lock-wait", 0)
    assert done.rc == 1 and "held by elsewhere pid 7" in done.err, done
    assert work.state(place) == before
    lock["expires"] = 1
    work.s3.put(place.name, LOCK, json.dumps(lock).encode())
    done = work.run(place, "--lock-wait", 0)
    assert done.rc == 0 and "it has expired" in done.err, done
    work.converged(place)


@pytest.mark.skipif(not os.environ.get("HFCACHE_TEST_SLOW"), reason="HFCACHE_TEST_SLOW=1: 30 s")
def test_a_run_whose_lock_is_taken_stops_writing(work):
    """It finds out when it renews the lock, and leaves the object alone, as it is not its own."""
    place = work.place()
    proxy, child, free = hold(work, place, "CopyObject")
    try:
        lock = json.loads(work.state(place)[LOCK])
        lock.update(owner="elsewhere pid 7", process="other/1/7/1", token="0" * 32)
        text = json.dumps(lock).encode()
        work.s3.put(place.name, LOCK, text)
        while not [call for call in proxy.calls[1:] if call.key == LOCK and call.status == 200]:
            assert child.poll() is None
            free.wait(0.1)
        free.set()
        done = wait(child)
    finally:
        free.set()
        proxy.close()
    assert done.rc == 1 and "taken by elsewhere pid 7" in done.err, done
    assert work.check(place)[LOCK] == text
    work.stop_lock(place)
    assert work.run(place).rc == 0
    work.converged(place)


# A reader.

class Reader(S3Proxy):
    """Between a run and its bucket; before each write it looks at all there is, as clients do: ref,
    tree, files; or the index, then files by their ETags. Never is a name without its bytes."""

    def __init__(self, s3, bucket):
        super().__init__(s3.endpoint)
        self.s3, self.bucket = s3, bucket
        self.turn = threading.Lock()
        self.wrong, self.looks, self.commits = [], 0, set()

    def begin(self, call):
        failure = super().begin(call)
        if call.method != "GET":
            with self.turn:
                self.look(call)
        return failure

    def look(self, call):
        self.looks += 1
        for part in (self.refs, self.index):
            try:
                part()
            except Exception as error:  # pylint: disable=broad-exception-caught
                self.wrong.append(f"before {call}: {error!r}")

    def get(self, key, etag=None):
        try:
            return self.s3.client.call("GET", self.bucket, key,
                                       headers={"if-match": f'"{etag}"'} if etag else None)[1]
        except S3Error as error:
            if error.status == 404:
                return None
            raise

    def refs(self):
        for key in self.s3.keys(self.bucket, "hub/"):
            if "/refs/" in key:
                objects = {key: self.get(key)}
                repo, commit = key.split("/refs/")[0], objects[key].decode()
                self.commits.add(commit)
                tree = f"{repo}/trees/{commit}.json"
                objects[tree] = self.get(tree)
                assert objects[tree], f"{key} without its tree"
                for path in json.loads(objects[tree])["files"]:
                    name = f"{repo}/snapshots/{commit}/{path}"
                    objects[name] = self.get(name)
                check_bucket({k: v for k, v in objects.items() if v is not None})

    def index(self):
        """What was read while the index was replaced may be newer than it: only an index that is
        still the same has to be right."""
        text = self.get(INDEX)
        if not text:
            return
        objects = {INDEX: text}
        try:
            for words in index_lines(objects):
                if words[0] == "object":
                    objects[words[-1]] = self.get(words[-1], words[2])
                elif words[0] == "ref":
                    repo = words[-1].split("/refs/")[0]
                    tree = json.loads(self.get(f"{repo}/trees/{words[1]}.json"))
                    listed = {w[-1] for w in index_lines({INDEX: text}) if w[0] == "object"}
                    assert {f"{repo}/snapshots/{words[1]}/{path}"
                            for path in tree["files"]} <= listed, words
            check_index({k: v for k, v in objects.items() if v is not None})
        except (AssertionError, S3Error, TypeError):
            if self.get(INDEX) == text:
                raise


def test_a_reader_never_sees_anything_incomplete(s3, tmp_path):
    """Main moves ten times, forwards and back, and a filter gets wider; nothing is pruned."""
    with HubServer() as hub:
        repo = hub.model("org/moving", {"config.json": b"0", "a.txt": b"0", "w.bin": b"0" * 999})
        hub.model("org/other", {"config.json": b"{}", "a.txt": b"a", "b.bin": b"b" * 5000})
        url, commits = s3.make_bucket("reader"), [repo.head]
        models = tmp_path / "models.txt"
        with Reader(s3, "reader") as reader:
            for i in range(1, 11):
                chosen = "allow=*.json" if i < 4 else "allow=*.json allow=*.txt" if i < 7 else ""
                models.write_text(f"org/moving\norg/other {chosen}\n")
                done = refresh("sync", "--models", models, "--to", url,
                               env=environment(hub, s3.env_for(reader.endpoint)))
                assert done.rc == 0 and not reader.wrong, (reader.wrong, done)
                if i % 4 == 3:
                    repo.move("main", commits[0])
                else:
                    commits.append(repo.commit({"config.json": b"%d" % i,
                                                "w.bin": b"%d" % i * 999}))
        assert reader.looks > 40 and len(reader.commits) >= 8
        check_model(s3.objects("reader"), "org/other",
                    {"config.json": b"{}", "a.txt": b"a", "b.bin": b"b" * 5000})
