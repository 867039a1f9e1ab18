"""hfcache-mount on an S3 server that fails: right bytes, or the documented error within the deadline.

Every kind of failure at the head, in the middle and at the end of a body, with one reader and with
64; once, and for good. After it everything is served again.
"""
import os
import socket
import threading

import pytest

from mount import (COMMIT, KIB, MIB, MODEL, Mount, S3Bucket, needs_mount, place_fixture, sha256, sizes,
                   until)
from servers import S3Proxy, Versitygw
from visitor import read, read_by_many, refusal, timed

__all__ = ["place_fixture"]
pytestmark = needs_mount
BIG, SMALL = 2 * MIB + 1, 700 * KIB
COUNT = 14
DEADLINE = 3
# A loaded machine, and the last attempt.
SLACK = 30
MANY = 64
PLACES = ["head", "middle", "end"]
SLOW = "HFCACHE_TEST_SLOW" in os.environ
# Each of these is waited for, for a third of the deadline.
SILENT = ("stall", "one-byte-a-second")

# Before the body: what the server says in place of it.
STATUS = {"503": {"kind": "slowdown"}, "500": {"kind": "internal"},
          "429": {"kind": "status", "status": 429, "code": "TooManyRequests"},
          "408": {"kind": "timeout"}, "503-plain": {"kind": "unavailable"}}
REFUSED = {"403": {"kind": "forbidden"}, "expired": {"kind": "expired"}}
CHANGED = {"404": {"kind": "status", "status": 404, "code": "NoSuchKey"},
           "412": {"kind": "status", "status": 412, "code": "PreconditionFailed"},
           "416": {"kind": "status", "status": 416, "code": "InvalidRange"}}
# In the body.
BODY = {"reset": {"kind": "reset"}, "fin": {"kind": "fin"}, "stall": {"kind": "stall"},
        "one-byte-a-second": {"kind": "drip", "seconds": 1}, "short": {"kind": "short"},
        "long": {"kind": "long"}, "content-range": {"kind": "content_range"},
        "no-content-range": {"kind": "content_range", "shift": None}, "200-for-a-range": {"kind": "whole"}}


@pytest.fixture(scope="module", name="s3")
def s3_fixture(tmp_path_factory):
    with Versitygw(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module", name="bucket")
def bucket_fixture(s3):
    return sizes(S3Bucket(s3, "faults"), *((f"big-{n:02}", BIG) for n in range(COUNT)),
                 *((f"small-{n:02}", SMALL) for n in range(COUNT)))


@pytest.fixture(name="proxy")
def proxy_fixture(s3):
    with S3Proxy(s3.endpoint) as proxy:
        yield proxy


class Case:
    """Reads files, each once, while the proxy does what it was told."""

    def __init__(self, mount, bucket, proxy):
        self.mount, self.bucket, self.proxy = mount, bucket, proxy
        self.names = {kind: iter([f"{kind}-{n:02}" for n in range(COUNT)]) for kind in ("big", "small")}

    def read(self, kind, failure, readers=1, timeout=120):
        """(outcomes with "right" for the digest, seconds, the failure, the file)."""
        name = next(self.names[kind])
        failure = dict(failure)
        told = self.proxy.fail(failure.pop("kind"), key=f"*/{name}", operation="GetObject", **failure)
        right = sha256(self.bucket.bytes(name))
        outcomes, seconds = self.mount.visitor.call(read_by_many, self.mount.path(name), readers,
                                                    timeout=timeout)
        outcomes = {"right" if outcome == right else outcome for outcome in outcomes}
        return outcomes, seconds, told, name

    def heals(self, name):
        """Once the failure is over, the file is read as if nothing had been."""
        self.proxy.heal()
        right = sha256(self.bucket.bytes(name))
        # A file that was given up is so for a moment; one that was wrong twice, for a minute.
        until(lambda: set(self.mount.visitor.call(read_by_many, self.mount.path(name), 2,
                                                  timeout=120)[0]) == {right}, f"{name} heals", 120, 0.2)


def start(place, bucket, s3, proxy, **options):
    mount = Mount(place, bucket.url, env=s3.env_for(proxy.endpoint), **options)
    mount.run()
    mount.wait_for_names()
    return mount


def placed_failure(failure, where, content):
    return {"when": "answer", "at": where, "content": content,
            **({"seconds": 3600} if failure["kind"] == "stall" else {}), **failure}


@pytest.mark.parametrize("name", [*STATUS, *BODY])
def test_what_passes_is_not_seen(place, bucket, s3, proxy, name):
    """Twice, then the server is well again."""
    with start(place, bucket, s3, proxy, read_timeout=30 if name in SILENT else 110) as mount:
        case = Case(mount, bucket, proxy)
        for where in ["head"] if name in STATUS else PLACES if SLOW or name not in SILENT else ["middle"]:
            for readers in (1, MANY):
                failure = {**STATUS[name]} if name in STATUS else \
                    placed_failure(BODY[name], where, bucket.bytes)
                times = 1 if name in SILENT else 2
                for kind in ("big", "small") if SLOW or name not in SILENT else ("big",):
                    outcomes, seconds, told, _ = case.read(kind, {**failure, "times": times}, readers)
                    assert outcomes == {"right"}, (kind, where, readers, seconds)
                    assert told.hits, (kind, where)
        # What came of a body is gone on with; and a whole object has the bytes that were asked for.
        if name not in SILENT and name != "200-for-a-range":
            assert mount.metrics()["fetch_retries_total"] > 0


@pytest.mark.parametrize("name", [*STATUS, *BODY])
def test_what_does_not_pass_is_an_error_within_the_deadline(place, bucket, s3, proxy, name):
    with start(place, bucket, s3, proxy, read_timeout=DEADLINE) as mount:
        case = Case(mount, bucket, proxy)
        for where in PLACES if SLOW and name in BODY else ["head"]:
            for readers in (1, MANY):
                failure = {**STATUS[name]} if name in STATUS else \
                    placed_failure(BODY[name], where, bucket.bytes)
                outcomes, seconds, _, file = case.read("big", {**failure, "times": None}, readers)
                # A server that sends everything in place of a range can still be read from.
                allowed = {"EIO"} if name != "200-for-a-range" else {"EIO", "right"}
                assert outcomes <= allowed, (where, readers, seconds)
                assert seconds <= 2 * DEADLINE + SLACK, (where, readers, seconds)
                case.heals(file)
        if name != "200-for-a-range":
            assert mount.metrics()['read_errors_total{error="EIO"}'] >= 1 + MANY
            assert any(file in line for line in mount.messages()), mount.messages()


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused_credentials(place, bucket, s3, proxy, name):
    """EACCES at once, readiness gone; what is cached is served on."""
    with start(place, bucket, s3, proxy, read_timeout=60) as mount:
        case = Case(mount, bucket, proxy)
        cached = next(case.names["big"])
        assert mount.read(cached) == bucket.bytes(cached)
        until(lambda: mount.get("/readyz")[0] == 200, "it is ready")
        for readers in (1, MANY):
            outcomes, seconds, _, file = case.read("big", {**REFUSED[name], "times": None}, readers)
            assert outcomes == {"EACCES"} and seconds < 60, (readers, outcomes, seconds)
            until(lambda: mount.get("/readyz")[0] == 503, "it is not ready")
            assert mount.read(cached) == bucket.bytes(cached)
            case.heals(file)
            until(lambda: mount.get("/readyz")[0] == 200, "it is ready again")
        assert mount.metrics()['fetch_errors_total{cause="refused"}'] > 0


@pytest.mark.parametrize("name", list(CHANGED))
def test_objects_that_are_not_what_the_index_says(place, bucket, s3, proxy, name):
    with start(place, bucket, s3, proxy, read_timeout=DEADLINE if name == "416" else 60) as mount:
        case = Case(mount, bucket, proxy)
        for readers in (1, MANY):
            outcomes, seconds, _, file = case.read("big", {**CHANGED[name], "times": None}, readers)
            assert outcomes <= {"ESTALE", "EIO"} if name == "416" else outcomes == {"ESTALE"}, outcomes
            assert seconds < 60 + SLACK
            case.heals(file)


@pytest.mark.parametrize("where", PLACES)
def test_flipped_bytes_of_small_files_are_never_served(place, bucket, s3, proxy, where):
    flip = {"kind": "flip", "when": "answer", "at": where}
    with start(place, bucket, s3, proxy, read_timeout=20) as mount:
        case = Case(mount, bucket, proxy)
        for readers in (1, MANY):
            outcomes, _, told, _ = case.read("small", {**flip, "times": 1}, readers)
            assert outcomes == {"right"} and told.hits, outcomes
            outcomes, seconds, told, file = case.read("small", {**flip, "times": None}, readers)
            assert outcomes == {"EIO"} and seconds < 20 + SLACK, (outcomes, seconds)
            if readers == 1 and where == "middle":
                case.heals(file)
            proxy.heal()
        assert mount.metrics()['verify_failures_total{what="file"}'] >= 4


@pytest.mark.parametrize("where", PLACES)
def test_flipped_bytes_of_large_files_are_found_when_they_are_complete(place, bucket, s3, proxy, where):
    """Without TLS nothing tells earlier; but such a file never counts as complete."""
    with start(place, bucket, s3, proxy) as mount:
        case = Case(mount, bucket, proxy)
        flip = {"kind": "flip", "when": "answer", "at": where, "times": 1}
        _, _, told, name = case.read("big", flip)
        assert told.hits
        until(lambda: mount.metrics()['verify_failures_total{what="file"}'] >= 1, "it is found")
        until(lambda: mount.read(name) == bucket.bytes(name), "it is mended")
        until(lambda: mount.metrics()["verified_files_total"] >= 1, "it is verified")
        assert mount.read(name) == bucket.bytes(name)


def test_many_failures_at_once(place, bucket, s3, proxy):
    """Every third call fails, in one way after the other; nobody sees it."""
    kinds = [{"kind": "slowdown"}, {"kind": "reset", "when": "answer", "at": 100_000},
             {"kind": "fin", "when": "answer", "at": "head"}, {"kind": "internal"},
             {"kind": "short", "when": "answer", "at": "middle"}]
    with start(place, bucket, s3, proxy, read_timeout=110) as mount:
        for nth in range(1, 80, 3):
            failure = dict(kinds[nth % len(kinds)])
            proxy.fail(failure.pop("kind"), nth=nth, operation="GetObject", key="hub/*", **failure)
        for name in (f"{kind}-{n:02}" for n in range(COUNT) for kind in ("big", "small")):
            outcomes, _ = mount.visitor.call(read_by_many, mount.path(name), 8, timeout=150)
            assert set(outcomes) == {sha256(bucket.bytes(name))}, name


def test_the_index_can_not_be_read(place, bucket, s3, proxy):
    """Whatever the server says of it, the tree stays."""
    with start(place, bucket, s3, proxy) as mount:
        names = mount.visitor.call(os.listdir, mount.path("x").rpartition("/")[0])
        for failure in ({"kind": "internal"}, {"kind": "forbidden"}, CHANGED["404"],
                        {"kind": "fin", "when": "answer", "at": "middle"},
                        {"kind": "flip", "when": "answer", "at": "middle"}):
            failure = dict(failure)
            told = proxy.fail(failure.pop("kind"), key="*.hfcache/index", times=None, **failure)
            bucket.put(f"{MODEL}/refs/moved", b"0" * 40)
            bucket.publish()
            until(lambda: told.hits >= 2, "it was asked for", 60)  # pylint: disable=W0640
            assert mount.visitor.call(os.listdir, mount.path("x").rpartition("/")[0]) == names
            proxy.heal()
            until(lambda: mount.visitor.call(os.path.exists, str(mount.root / MODEL / "refs/moved")),
                  "it was read", 60)
            bucket.remove(f"{MODEL}/refs/moved")
            bucket.publish()
            until(lambda: not mount.visitor.call(os.path.exists, str(mount.root / MODEL / "refs/moved")),
                  "it was read again", 60)


def test_without_a_store(place, tmp_path):
    """A node that starts while S3 is away serves what it has, and says ENOENT at once."""
    with Versitygw(tmp_path) as s3:
        bucket = sizes(S3Bucket(s3), ("cached", BIG), ("not-cached", BIG))
        with Mount(place, bucket.url, env=s3.env, read_timeout=DEADLINE) as mount:
            mount.run()
            mount.wait_for_names()
            assert mount.read("cached") == bucket.bytes("cached")
            s3.stop()
            for restarted in (False, True):
                if restarted:
                    mount.stop_hard()
                    mount.run()
                    mount.wait_for_names()
                assert mount.visitor.call(read, mount.path("cached")) == bytes_of(bucket, "cached")
                assert mount.visitor.call(read, str(mount.root / MODEL / "refs/main")) == COMMIT.encode()
                error, seconds = mount.visitor.call(timed, refusal, os.stat, mount.path("absent"))
                assert error == "ENOENT" and seconds < DEADLINE
                error, seconds = mount.visitor.call(timed, refusal, read, mount.path("not-cached"))
                assert error == "EIO" and seconds < DEADLINE + SLACK
                until(lambda: mount.get("/readyz")[0] == 200, "ready all the same: there is a tree")
            s3.start()
            until(lambda: mount.visitor.call(refusal, read, mount.path("not-cached")) == "",
                  "the store is back")
            assert mount.read("not-cached") == bytes_of(bucket, "not-cached")


def bytes_of(bucket, name):
    """Without asking the server, which may be away."""
    return bucket.bytes(name)


def test_a_name_that_is_not_resolved(place, tmp_path):
    with Versitygw(tmp_path) as s3:
        bucket = sizes(S3Bucket(s3), ("cached", SMALL), ("not-cached", SMALL))
        with Mount(place, bucket.url, env=s3.env, read_timeout=DEADLINE) as mount:
            mount.run()
            mount.wait_for_names()
            assert mount.read("cached") == bucket.bytes("cached")
            mount.stop_hard()
            mount.run(env=s3.env_for(f"http://does-not-exist.invalid:{s3.port}"))
            mount.wait_for_names()
            assert mount.read("cached") == bucket.bytes("cached")
            error, seconds = mount.visitor.call(timed, refusal, read, mount.path("not-cached"),
                                                timeout=DEADLINE + 2 * SLACK)
            assert error == "EIO" and seconds < DEADLINE + SLACK
            assert any("does-not-exist.invalid" in line for line in mount.messages())


class Relay:
    """Passes TCP connections on, or answers them with what is no TLS."""

    def __init__(self, port):
        self.target, self.garbage = port, False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.drop()

    def drop(self):
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.garbage:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self.pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def pass_on(source, sink):
        try:
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_tls_that_breaks(place, tmp_path):
    with Versitygw(tmp_path, tls=True) as s3:
        bucket = sizes(S3Bucket(s3), *((f"f{n}", BIG) for n in range(4)))
        with Relay(s3.port) as relay, Mount(
                place, bucket.url, env=s3.env_for(f"https://127.0.0.1:{relay.port}"),
                read_timeout=DEADLINE) as mount:
            mount.run()
            mount.wait_for_names()
            assert mount.read("f0") == bucket.bytes("f0")
            relay.garbage = True
            relay.drop()
            error, seconds = mount.visitor.call(timed, refusal, read, mount.path("f1"))
            assert error == "EIO" and seconds < DEADLINE + SLACK
            assert mount.read("f0") == bucket.bytes("f0")
            relay.garbage = False
            until(lambda: mount.visitor.call(refusal, read, mount.path("f1")) == "", "it heals", 60, 0.2)
            assert mount.read("f1") == bucket.bytes("f1")
            assert mount.read("f2") == bucket.bytes("f2")


def test_a_certificate_that_nobody_trusts(place, tmp_path):
    with Versitygw(tmp_path, tls=True) as s3:
        bucket = sizes(S3Bucket(s3), ("cached", SMALL), ("not-cached", SMALL))
        with Mount(place, bucket.url, env=s3.env, read_timeout=DEADLINE) as mount:
            mount.run()
            mount.wait_for_names()
            assert mount.read("cached") == bucket.bytes("cached")
            mount.stop_hard()
            mount.run(env={"AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"})
            mount.wait_for_names()
            assert mount.read("cached") == bucket.bytes("cached")
            error, seconds = mount.visitor.call(timed, refusal, read, mount.path("not-cached"))
            assert error in ("EIO", "EACCES") and seconds < DEADLINE + SLACK
