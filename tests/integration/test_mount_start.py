"""Starts that fail: each with its exit code, and a message that says what to do."""
import os
import socket
import subprocess

import pytest

from mount import (KIB, MOUNT, NOBODY, SANITIZED, LocalBucket, Mount, mounts_at, needs_mount, place_fixture, sizes, until)
from servers import free_port

__all__ = ["place_fixture"]
pytestmark = needs_mount


@pytest.fixture(name="bucket")
def bucket_fixture(place):
    return sizes(LocalBucket(place / "bucket"), ("a.bin", 300 * KIB))


def fails(mount, *words, status=1, **options):
    """It ends, nothing is left behind, and the message has all the words."""
    process = mount.run(wait=False, **options)
    assert process.wait() == status, process.text()
    text = process.text()
    for word in words:
        assert str(word) in text, text
    assert not mounts_at(mount.root)
    return text


def test_no_such_mount_point(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.root.rmdir()
        fails(mount, mount.root, "mkdir")


def test_a_mount_point_that_is_a_file(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.root.rmdir()
        mount.root.write_text("")
        fails(mount, mount.root, "director")


def test_something_else_is_mounted_there(place, bucket):
    with Mount(place, bucket.url) as mount:
        subprocess.run(["mount", "-t", "tmpfs", "none", mount.root], check=True)
        try:
            process = mount.run(wait=False)
            assert process.wait() == 1 and str(mount.root) in process.text(), process.text()
            assert len(mounts_at(mount.root)) == 1
        finally:
            subprocess.run(["umount", mount.root], check=True)


def test_a_second_instance_at_the_same_place(place, bucket):
    """It is told of the first, which goes on."""
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        pid = mount.keeper_pid
        process = mount.start("run", "--socket", place / "second.sock", "--store", bucket.url, "--cache",
                              place / "second-cache", mount.root)
        assert process.wait() == 1, process.text()
        assert str(mount.root) in process.text() and str(mount.socket) in process.text(), process.text()
        assert mount.keeper_pid == pid
        assert mount.read("a.bin") == bucket.bytes("a.bin")


def test_a_cache_that_can_not_be_written(place, bucket):
    with Mount(place, bucket.url) as mount:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"ro,mode=755,uid={NOBODY}", "none", mount.cache], check=True)
        try:
            fails(mount, mount.cache, "ead-only")
        finally:
            subprocess.run(["umount", mount.cache], check=True)


def test_a_cache_that_is_somebody_elses_folder(place, bucket):
    """What has other things in it is not taken, and nothing in it is touched."""
    with Mount(place, bucket.url) as mount:
        (mount.cache / "thesis.txt").write_text("42")
        fails(mount, mount.cache)
        assert (mount.cache / "thesis.txt").read_text() == "42"
        assert os.listdir(mount.cache) == ["thesis.txt"]


def test_a_cache_that_is_not_there(place, bucket):
    with Mount(place, bucket.url) as mount:
        mount.cache.rmdir()
        mount.cache = place / "no" / "where"
        fails(mount, mount.cache)


def test_a_cache_that_another_one_uses(place, bucket):
    with Mount(place, bucket.url, name="one") as one, Mount(place, bucket.url, name="two") as two:
        one.run()
        one.wait_for_names()
        two.cache.rmdir()
        two.cache = one.cache
        fails(two, one.cache, "another")
        assert one.read("a.bin") == bucket.bytes("a.bin")


def test_a_port_that_is_taken(place, bucket):
    with Mount(place, bucket.url) as mount, socket.create_server(("127.0.0.1", mount.port)):
        fails(mount, str(mount.port), "--listen")


def test_a_store_that_is_not_there(place):
    with Mount(place, f"file://{place}/nothing") as mount:
        fails(mount, f"{place}/nothing")


def test_a_store_that_nobody_answers_for(place):
    endpoint = f"http://127.0.0.1:{free_port()}"
    env = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "secret-b",
           "AWS_REGION": "r"}
    with Mount(place, "s3://bucket", env=env, read_timeout=3) as mount:
        text = fails(mount, endpoint.rpartition("/")[2])
        assert "secret-b" not in text


def test_no_credentials(place):
    env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_REGION": "r"}
    with Mount(place, "s3://bucket", env=env, read_timeout=3) as mount:
        fails(mount, "credentials")


def test_no_fuse(place, bucket):
    """As in a container that was not given the device."""
    with Mount(place, bucket.url) as mount:
        argv = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh", MOUNT, "run",
                "--socket", str(mount.socket), "--store", bucket.url, "--cache", str(mount.cache),
                str(mount.root)]
        done = subprocess.run(argv, env=mount.env, capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 1 and "/dev/fuse" in done.stderr, done
        assert not mounts_at(mount.root)


@pytest.mark.parametrize("argv", [
    [], ["run"], ["serve"], ["keep"], ["nonsense"], ["run", "--store", "x"], ["run", "--memory", "much"],
    ["run", "--nonsense"], ["run", "--store", "http://x/y", "--cache", "/tmp", "/mnt"],
    ["run", "--cache-size", "0"], ["run", "--listen", "nowhere"], ["status", "--nonsense"]])
def test_wrong_usage(argv):
    done = subprocess.run([MOUNT, *argv], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done
    assert done.stderr.startswith(("hfcache-mount", "usage", "Usage")), done.stderr


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["run", "--help"], ["keep", "--help"],
                                  ["serve", "--help"], ["status", "--help"], ["warm", "--help"]])
def test_help(argv):
    done = subprocess.run([MOUNT, *argv], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout and not done.stderr, done


def test_who_may_register(place, bucket):
    """Another user than the worker's is not let in."""
    with Mount(place, bucket.url) as mount:
        mount.keep()
        mount.serve()
        mount.wait_for_names()
        before = mount.status()
        os.chmod(mount.socket, 0o666)
        process = mount.start("serve", "--socket", mount.socket, "--store", bucket.url, "--cache",
                              mount.cache, preexec=lambda: (os.setgid(1234), os.setuid(1234)))
        until(lambda: "user 1234 " in mount.processes[0].text(), "the keeper says so")
        assert mount.status()["standbys"] == before["standbys"]
        # A keeper may come that lets it in.
        assert process.child.poll() is None
        assert mount.status()["worker_pid"] == before["worker_pid"]
        assert mount.read("a.bin") == bucket.bytes("a.bin")


def privileges(mount):
    """Checks the worker's; returns the keeper's."""
    worker, keeper = status_of(mount.worker_pid), status_of(mount.keeper_pid)
    assert set(worker["Uid"].split()) == {"65534"} and set(worker["Gid"].split()) == {"65534"}
    # Its bounding set is the keeper's, and of no use to who can gain nothing by exec.
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(worker[name], 16) == 0, name
    assert worker["NoNewPrivs"] == "1" and keeper["NoNewPrivs"] == "1"
    assert worker["Seccomp"] == "2" and not worker["Groups"].split()
    # CAP_KILL 5, CAP_SETGID 6, CAP_SETUID 7, CAP_IPC_LOCK 14, CAP_SYS_ADMIN 21
    allowed = sum(1 << bit for bit in (5, 6, 7, 14, 21))
    assert int(keeper["CapEff"], 16) & ~allowed == 0, keeper["CapEff"]
    return keeper


@pytest.mark.skipif(SANITIZED, reason="sanitized builds keep all system calls")
def test_the_privileges_that_are_left(place, bucket):
    """A filter of `run` would be its workers' too, so only a keeper of its own has one."""
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        privileges(mount)
        assert mount.read("a.bin") == bucket.bytes("a.bin")
    with Mount(place, bucket.url, name="two") as mount:
        mount.keep()
        mount.serve()
        mount.wait_for_names()
        keeper = privileges(mount)
        assert keeper["Seccomp"] == "2"
        assert mount.read("a.bin") == bucket.bytes("a.bin")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return {name: value.strip() for name, value in (line.split(":", 1) for line in file)}
