"""What can be seen of hfcache-mount from outside, and what it can be told: metrics, health, status,
logs, warm, drop, scrub, signals."""
import http.client
import json
import os
import re
import signal
import socket
import threading

import pytest

from mount import (COMMIT, KIB, MIB, MODEL, SNAPSHOT, LocalBucket, Mount, module_place_fixture,
                   needs_mount, place_fixture, sizes, until, used)
from test_mount_cache import flip, settle
from visitor import read, xattrs

__all__ = ["module_place_fixture", "place_fixture"]
pytestmark = needs_mount
FILES = [("model.safetensors", 6 * MIB + 3), ("config.json", 700), ("tokenizer.json", 300 * KIB)]
OTHER = "hub/models--acme--other/snapshots/" + COMMIT


@pytest.fixture(name="bucket")
def bucket_fixture(place):
    bucket = LocalBucket(place / "bucket")
    bucket.add(f"{OTHER}/w.bin", 2 * MIB)
    bucket.ref("main", COMMIT, "hub/models--acme--other")
    return sizes(bucket, *FILES)


@pytest.fixture(name="mount")
def mount_fixture(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.run()
        yield mount.wait_for_names()


# Metrics.

SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{([^}]*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)')
LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def check_format(text):
    """What promtool checks, and the conventions of names."""
    assert text.endswith("\n")
    kinds, helps, seen, family = {}, set(), set(), None
    finished = set()
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            assert word in ("HELP", "TYPE") and rest, line
            if word == "TYPE":
                assert name not in kinds and rest in ("counter", "gauge"), line
                kinds[name] = rest
            else:
                assert name not in helps, line
                helps.add(name)
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        float(value)
        assert (name, labels) not in seen, f"twice: {line}"
        seen.add((name, labels))
        assert name.startswith("hfcache_") and name in kinds and name in helps, line
        if labels is not None:
            assert ",".join(m.group() for m in LABEL.finditer(labels)) == labels, line
        if kinds[name] == "counter":
            assert name.endswith(("_total", "_sum", "_count")) and float(value) >= 0, line
        if name != family:
            assert name not in finished, f"{name} does not stand together"
            finished.add(family)
            family = name
    return seen


def test_metrics_are_well_formed_and_say_what_happened(mount, bucket):
    first = check_format(mount.get("/metrics")[1])
    for key in bucket.numbers:
        mount.visitor.call(read, str(mount.root / key))
    settle(mount)
    mount.read("model.safetensors")
    assert check_format(mount.get("/metrics")[1]) == first, "all series are there from the begin"
    metrics = mount.metrics()
    total = sum(size for _, size in bucket.numbers.values())
    assert total <= metrics["fetch_bytes_total"] <= total * 1.2
    assert metrics['reads_total{source="store"}'] > 0
    assert metrics["read_seconds_count"] == sum(
        value for name, value in metrics.items() if name.startswith("reads_total"))
    assert metrics["cache_bytes"] > 0.9 * total
    assert metrics["takeovers_total"] in (0, 1) and metrics["ready"] == 1
    assert metrics["tree_names"] >= len(bucket.names())
    assert metrics['memory_budget_bytes{part="total"}'] == 96 * MIB
    parts = [value for name, value in metrics.items()
             if name.startswith("memory_budget_bytes") and "total" not in name]
    assert sum(parts) <= 96 * MIB
    assert any(name.startswith("mount_info{") for name in metrics)


def test_requests_in_flight_and_connections_come_down_again(mount, bucket):
    for key in bucket.numbers:
        mount.visitor.call(read, str(mount.root / key))
    until(lambda: mount.metrics()["requests_in_flight"] == 0 and
          mount.metrics()["fetches_active"] == 0, "all is quiet")


# Health, and a listener that can't be abused.

def test_health(mount):
    until(lambda: mount.get("/readyz")[0] == 200, "it is ready")
    assert mount.get("/livez")[0] == 200
    for path in ("/", "/metrics/", "/livez/x", "/../etc/passwd", "/status"):
        assert mount.get(path)[0] == 404, path


def test_nothing_but_get(mount):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "X"):
        connection = http.client.HTTPConnection("127.0.0.1", mount.port, timeout=10)
        connection.request(method, "/metrics", b"x" * 1000 if method == "POST" else None)
        assert connection.getresponse().status in (400, 405, 501), method
        connection.close()


def test_rude_clients_do_not_hurt(mount):
    """Half requests, endless heads, more connections than it takes."""
    sockets = []
    for text in [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 200_000, b"\0" * 5000] * 5:
        try:
            sock = socket.create_connection(("127.0.0.1", mount.port), 5)
            sockets.append(sock)
            sock.sendall(text)
        except OSError:
            pass
    assert mount.read("config.json")
    assert mount.state()["state"] == "serving"
    for sock in sockets:
        sock.close()
    until(lambda: mount.listens() == 200, "it answers again")


def test_not_ready_without_a_tree(place):
    """Nothing there yet: alive, but not ready; then ready without a restart."""
    root = place / "bucket"
    with Mount(place, f"file://{root}") as mount:
        process = mount.run(wait=False)
        until(lambda: process.child.poll() is not None or mount.listens(), "it starts, or says why not")
        if process.child.poll() is not None:
            assert str(root) in process.text()
            return
        assert mount.get("/livez")[0] == 200 and mount.get("/readyz")[0] == 503
        sizes(LocalBucket(root), *FILES)
        until(lambda: mount.get("/readyz")[0] == 200, "it is ready")


def test_not_alive_when_the_loop_hangs(mount):
    """A worker that is stopped answers nothing at all, and is alive again afterwards."""
    pid = mount.worker_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(OSError):
            mount.get("/livez", timeout=1)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: mount.listens() == 200, "it is alive again")


# Status.

def test_status_in_json(mount, bucket):
    mount.read("model.safetensors")
    status = mount.status()
    assert {"keeper_pid", "worker_pid", "state", "memory", "cache"} <= set(status)
    assert status["state"] == "serving" and status["mountpoint"] == str(mount.root)
    for pid in (status["keeper_pid"], status["worker_pid"]):
        assert b"hfcache-mount" in open(f"/proc/{pid}/cmdline", "rb").read()
    assert status["cache"]["limit"] > status["cache"]["used"] > 0
    assert bucket.url in json.dumps(status)


def test_status_for_humans(mount):
    done = mount.command("status", "--socket", mount.socket)
    assert done.rc == 0, done
    lines = done.out.splitlines()
    assert len(lines) <= 40 and all(len(line) <= 100 for line in lines), done
    for word in (str(mount.root), "serving", str(mount.worker_pid), str(mount.keeper_pid)):
        assert word in done.out, (word, done)


def test_status_finds_the_only_instance(place, bucket):
    with Mount(place, bucket.url, name="one") as mount:
        mount.socket = place / "one-run" / "one.sock"
        mount.run()
        done = mount.command("status", "--json")
        assert done.rc == 0 and json.loads(done.out)["mountpoint"] == str(mount.root), done
        second = Mount(place, bucket.url, name="two")
        second.env["HFCACHE_RUNTIME_DIR"] = mount.env["HFCACHE_RUNTIME_DIR"]
        with second:
            second.socket = place / "one-run" / "two.sock"
            second.run()
            done = mount.command("status", "--json")
            assert done.rc == 1 and "--socket" in done.err, done
            assert "one.sock" in done.err and "two.sock" in done.err, done


def test_status_of_nobody(place, bucket):
    with Mount(place, bucket.url) as mount:
        for argv in (["status"], ["status", "--json"], ["status", "--socket", place / "none"]):
            done = mount.command(*argv)
            assert done.rc == 1 and done.err.startswith("hfcache-mount: "), done


def test_status_without_a_worker(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.keep()
        done = mount.command("status", "--json", "--socket", mount.socket)
        told = json.loads(done.out)
        assert told["worker_pid"] == 0 and told["state"] == "waiting", done
        done = mount.command("status", "--socket", mount.socket)
        assert "waiting" in done.out or "no worker" in done.out, done


# warm, drop, scrub.

def cached(mount, name):
    return int(mount.visitor.call(xattrs, mount.path(name))["user.hfcache.cached"])


def test_warm_fills_and_drop_frees(mount, bucket):
    done = mount.command("warm", "t/m", "--socket", mount.socket)
    assert done.rc == 0, done
    for name, size in FILES:
        assert cached(mount, name) == size
    assert cached(mount, f"{OTHER}/w.bin") == 0
    before = mount.metrics()["fetch_bytes_total"]
    for name, _ in FILES:
        assert mount.read(name) == bucket.bytes(name)
    assert mount.metrics()["fetch_bytes_total"] == before
    full = used(mount.cache)
    done = mount.command("drop", "t/m", "--socket", mount.socket)
    assert done.rc == 0, done
    assert used(mount.cache) < full - 6 * MIB
    for name, _ in FILES:
        assert cached(mount, name) == 0
        assert mount.read(name) == bucket.bytes(name)


def test_warm_of_what_is_not_there(mount):
    done = mount.command("warm", "no/such", "--socket", mount.socket)
    assert done.rc == 1 and "no/such" in done.err, done
    done = mount.command("warm", "--socket", mount.socket)
    assert done.rc == 2, done


def test_warm_that_can_not_succeed(place, bucket):
    """An object is gone: the exit code says so, and names it."""
    (bucket.root / SNAPSHOT / "tokenizer.json").unlink()
    with Mount(place, bucket.url, read_timeout=3) as mount:
        mount.run()
        mount.wait_for_names()
        done = mount.command("warm", "t/m", "acme/other", "--socket", mount.socket)
        assert done.rc == 1 and "tokenizer.json" in done.err, done
        assert cached(mount, f"{OTHER}/w.bin") == 2 * MIB


def test_warm_survives_the_death_of_the_worker(mount):
    """Or says that it did not: never a success without the files."""
    results = []
    thread = threading.Thread(target=lambda: results.append(
        mount.command("warm", "t/m", "acme/other", "--socket", mount.socket)))
    thread.start()
    mount.wait_successor(mount.kill_worker())
    thread.join()
    assert results[0].rc in (0, 1)
    if results[0].rc == 0:
        assert all(cached(mount, name) == size for name, size in FILES)
    else:
        assert results[0].err


def test_scrub_finds_what_the_disk_has_spoiled(mount, bucket):
    for key in bucket.numbers:
        mount.visitor.call(read, str(mount.root / key))
    settle(mount)
    data = sorted((mount.cache / "blobs").glob("*.data"))
    for path in data[:2]:
        flip(path, path.stat().st_size // 2)
    before = mount.metrics()
    done = mount.command("scrub", "--socket", mount.socket)
    assert done.rc in (0, 1), done
    until(lambda: mount.metrics()["scrub_runs_total"] == before["scrub_runs_total"] + 1, "it ends")
    failures = sum(value for name, value in mount.metrics().items() if "verify_failures" in name)
    assert failures >= 2
    for key in bucket.numbers:
        assert mount.read(key) == bucket.bytes(key)


# Signals and the log.

def test_sighup_looks_at_the_bucket(place, bucket):
    with Mount(place, bucket.url, refresh_interval=3600) as mount:
        process = mount.run()
        mount.wait_for_names()
        bucket.add("later.bin", 1000)
        bucket.publish()
        assert not mount.visitor.call(os.path.exists, mount.path("later2.bin"))
        for pid in (mount.worker_pid, process.pid):
            os.kill(pid, signal.SIGHUP)
        until(lambda: "later.bin" in mount.visitor.call(os.listdir, str(mount.root / SNAPSHOT)),
              "the tree is read anew", 60)
        assert process.child.poll() is None


def test_the_log_is_json(mount, bucket):
    mount.read("config.json")
    (bucket.root / SNAPSHOT / "tokenizer.json").unlink()
    with pytest.raises(OSError):
        mount.read("tokenizer.json")
    lines = mount.text().splitlines()
    assert lines
    for line in lines:
        told = json.loads(line)
        assert set(told) == {"time", "level", "who", "kind", "message"}, line
        assert told["level"] in ("info", "warning", "error"), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"]), line
        assert told["message"] and told["message"][0] != " ", line
    assert any("tokenizer.json" in line for line in lines)
    assert {json.loads(line)["who"] for line in lines} >= {"keeper", "worker"}


def test_the_log_is_limited(place):
    """A thousand failing reads are no thousand lines."""
    bucket = sizes(LocalBucket(place / "bucket"), *((f"f{n:03}", 2 * MIB) for n in range(60)))
    for number in range(60):
        (bucket.root / SNAPSHOT / f"f{number:03}").unlink()
    with Mount(place, bucket.url, read_timeout=2) as mount:
        mount.run()
        mount.wait_for_names()
        for _ in range(3):
            for number in range(60):
                with pytest.raises(OSError):
                    mount.read(f"f{number:03}")
        assert len(mount.text().splitlines()) < 120
        assert mount.metrics()["log_lines_suppressed_total"] > 0


def test_the_log_as_text(place, bucket):
    with Mount(place, bucket.url, log="text") as mount:
        mount.run()
        mount.wait_for_names()
        assert all(line.startswith("hfcache-mount") for line in mount.text().splitlines())


def test_options_from_a_file(place, bucket):
    path = place / "mount.conf"
    path.write_text("# ours\nmemory = 80Mi\ncache-size = 10Mi\n")
    with Mount(place, bucket.url, memory=None, config=path) as mount:
        mount.run()
        mount.wait_for_names()
        metrics = mount.metrics()
        assert metrics['memory_budget_bytes{part="total"}'] == 80 * MIB
        assert metrics["cache_limit_bytes"] == 10 * MIB
        assert MODEL.startswith("hub/")
