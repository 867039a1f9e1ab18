"""The command line of hfcache-refresh, but for what sync does with the Hub: help, usage, list, verify, gc."""
import hashlib
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess

import pytest
from hfindex import KEY, Bucket, Index, git_sha1, sha256
from refresh import CLEAN, GEN, REFRESH, REPO, environment
from servers import S3Proxy, Versitygw

COMMANDS = ["sync", "verify", "list", "gc"]
A, B, C, D = (c * 40 for c in "abcd")
WAIT = 60


def run(*args, env=None, cwd=None):
    done = subprocess.run([REFRESH, *map(str, args)], env={**CLEAN, **(env or {})}, cwd=cwd, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=WAIT, check=False)
    assert done.returncode >= 0, f"killed by signal {-done.returncode}: {done.stderr[-2000:]}"
    return done


class Terminal:
    """The program on a terminal: says what it sees, types what it is told."""

    def __init__(self, *args):
        self.ours, theirs = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen([REFRESH, *map(str, args)], env=CLEAN, stdin=theirs, stdout=theirs,
                                        stderr=theirs, start_new_session=True)
        os.close(theirs)

    def read(self):
        """What there is; False at the end."""
        ready, _, _ = select.select([self.ours], [], [], WAIT)
        assert ready, f"nothing comes after: {self.text}"
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # EIO: the other side is closed
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def until(self, pattern):
        while not re.search(pattern, self.text):
            assert self.read(), f"no {pattern} in: {self.text}"

    def type(self, text):
        os.write(self.ours, text.encode())

    def end(self):
        while self.read():
            pass
        os.close(self.ours)
        return self.process.wait(WAIT)


@pytest.fixture
def bucket(tmp_path):
    return Bucket(tmp_path / "bucket")


@pytest.fixture
def filled(bucket):
    """A model with two snapshots, one of them named, and a dataset; all of it in the index."""
    bucket.repo("models--org--one").snapshot(A, {"config.json": b"{}", "sub/w.safetensors": b"w" * 5000}, ref="main")
    bucket.repo("models--org--one").snapshot(B, {"config.json": b"{1}"})
    bucket.repo("datasets--org--data").snapshot(C, {"a b%.txt": b"text"}, ref="v1")
    bucket.publish()
    return bucket


# Help and usage.

@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    by_flag, by_word, short = run(command, "--help"), run("help", command), run(command, "-h")
    assert by_flag.returncode == by_word.returncode == 0 and by_flag.stderr == ""
    assert by_flag.stdout == by_word.stdout == short.stdout
    assert by_flag.stdout.startswith(f"Usage: hfcache-refresh {command} ")
    assert max(map(len, by_flag.stdout.splitlines())) <= 100
    assert "--memory" in by_flag.stdout and "Exit status" in by_flag.stdout


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_list_of_commands(args):
    done = run(*args)
    assert done.returncode == 0
    assert re.findall(r"^  (\w+) ", done.stdout, re.M) == COMMANDS


@pytest.mark.parametrize("args", [["--version"], ["list", "--version"]])
def test_version(args):
    done = run(*args)
    assert done.returncode == 0
    assert done.stdout == f"hfcache-refresh {(REPO / 'VERSION').read_text().strip()}\n"


def test_usage_of_a_command():
    done = run("gc", "--usage")
    assert done.returncode == 0 and done.stdout.startswith("Usage: hfcache-refresh gc ")


@pytest.mark.parametrize("args", [
    [], ["frobnicate"], ["help", "frobnicate"], *([c, "--nope"] for c in COMMANDS), *([c] for c in COMMANDS),
    ["list", "--in"], ["list", "--in", "x"], ["list", "--in", "http://x"], ["list", "--in=s3://a", "--in=s3://b"],
    ["list", "--js", "--in=s3://a"], ["list", "--hel"], ["list", "--in=s3://a", "--memory", "much"],
    ["list", "--in=s3://a", *map(str, range(1001))],
    ["verify", "--in=s3://a", "--jobs", "0"], ["verify", "--in=s3://a", "--jobs", "65"],
    ["verify", "--in=s3://a", "--jobs", "1x"], ["verify", "--in=s3://a", "--memory="],
    ["verify", "--in=s3://a", *map(str, range(1001))],
    ["gc", "--in=s3://a", "org/m"], ["gc", "--in=s3://a", "--yes", "--dry-run"], ["gc", "--in=s3://a", "--keep=-1"],
    ["gc", "--in=s3://a", "--lock-wait", "x"],
    ["list", "--in=s3://a", "a/b/c"], ["list", "--in=s3://a", "org/m@v1"], ["list", "--in=s3://a", "org/m", "org/m"],
    ["verify", "--in=s3://a", "datasets/"]])
def test_usage_errors(args):
    done = run(*args)
    assert done.returncode == 2 and done.stdout == "" and done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_may_stand_behind_the_models(filled):
    done = run("list", "org/one", "--in", filled.url)
    assert done.returncode == 0 and "org/one" in done.stdout


@pytest.mark.parametrize("args", [["list", "--help"], ["--help"], ["list", "--version"], ["list"], ["verify"]])
def test_output_that_cannot_be_written(args, filled):
    args = args if "-" in args[-1] else [*args, "--in", filled.url]
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([REFRESH, *args], stdout=full, stderr=subprocess.PIPE, env=CLEAN, check=False)
    assert done.returncode == 1 and b"cannot write the output" in done.stderr


# list

def rows(bucket, *args):
    done = run("list", "--in", bucket.url, "--json", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(bucket):
    return {(r["model"], r["commit"][0]): r["state"] for r in rows(bucket)}


def test_list(filled):
    filled.put("other/x", b"123")
    done = run("list", "--in", filled.url)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["MODEL", "COMMIT", "FILES", "SIZE", "STATE", "REFS"]
    assert [re.split(r"  +", line) for line in lines[1:4]] == [
        ["datasets/org/data", C, "1", "4 B", "complete", "v1"],
        ["org/one", A, "2", "4.9 KiB", "complete", "main"],
        ["org/one", B, "1", "3 B", "complete", "-"]]
    assert len({line.index(word) for line, word in zip(lines, ["COMMIT", C, A, B])}) == 1
    assert lines[4] == "3 snapshots of 2 models: 4 files, 4.9 KiB"
    assert lines[5:] == ["other: 1 object of no model, 3 B"]


def test_list_as_json(filled):
    filled.put("other/x", b"123")
    filled.repo("models--org--one").ref("v 1", A)
    assert "main,v 1" in run("list", "--in", filled.url).stdout
    assert rows(filled)[1:] == [
        {"model": "org/one", "folder": "models--org--one", "commit": A, "files": 2, "bytes": 5002,
         "state": "complete", "refs": ["main", "v 1"]},
        {"model": "org/one", "folder": "models--org--one", "commit": B, "files": 1, "bytes": 3,
         "state": "complete", "refs": []},
        {"model": None, "files": 1, "bytes": 3, "state": "other"}]


def test_list_of_some_models(filled):
    filled.put("other/x", b"123")
    assert [r["commit"] for r in rows(filled, "datasets/org/data")] == [C]
    done = run("list", "--in", filled.url, "org/one", "org/none")
    assert done.returncode == 1 and "org/none is not in the bucket" in done.stderr
    assert "org/one" in done.stdout and "other" not in done.stdout


def test_list_of_nothing(bucket):
    done = run("list", "--in", bucket.url)
    assert done.returncode == 0 and done.stdout == "0 snapshots of 0 models: 0 files, 0 B\n"
    assert rows(bucket) == []


def test_list_of_a_bucket_that_is_not_there(tmp_path):
    done = run("list", "--in", f"file://{tmp_path}/sub/none")
    assert done.returncode == 1 and done.stdout == "" and "No such file" in done.stderr


def test_too_little_memory_says_how_much_would_do(filled):
    done = run("list", "--in", filled.url, "--memory", "1Mi")
    assert done.returncode == 1
    enough = re.search(r"--memory (\d+Mi)", done.stderr).group(1)
    assert run("list", "--in", filled.url, "--memory", enough).returncode == 0


def test_what_another_tool_has_put_there_is_unverified(bucket):
    repo = bucket.repo("models--org--one")
    repo.snapshot(A, {"x": b"1"}, ref="main", tree=False)
    repo.snapshot(B, {"x": b"1"})
    assert states(bucket) == {("org/one", "a"): "unverified", ("org/one", "b"): "unverified"}


def test_what_lacks_something_is_incomplete(filled):
    one, data = filled.repo("models--org--one"), filled.repo("datasets--org--data")
    filled.path(one.tree(A)).unlink()                     # the index has changed its mind about it
    filled.put(one.file(B, "config.json"), b"{2}")        # another version than the index knows
    one.ref("gone", D)
    data.put_tree(D, {"x": b"1"})
    assert states(filled) == {("org/one", "a"): "incomplete", ("org/one", "b"): "incomplete",
                              ("org/one", "d"): "incomplete", ("datasets/org/data", "c"): "complete",
                              ("datasets/org/data", "d"): "incomplete"}


def test_a_tree_whose_files_are_not_there_makes_a_snapshot_incomplete(bucket):
    repo = bucket.repo("models--org--one")
    repo.snapshot(A, {"x": b"1"}, ref="main")
    repo.put_tree(A, {"x": b"1", "y": b"2"})
    assert states(bucket) == {("org/one", "a"): "incomplete"}


def test_a_line_without_a_tree_is_no_proof(bucket):
    bucket.repo("models--org--one").snapshot(A, {"x": b"1"}, ref="main", tree=False)
    bucket.publish()
    assert states(bucket) == {("org/one", "a"): "incomplete"}


def test_a_broken_tree_or_index_is_told(bucket):
    repo = bucket.repo("models--org--one")
    repo.snapshot(A, {"x": b"1"}, ref="main")
    bucket.put(repo.tree(A), b"{")
    bucket.put(KEY, b"nonsense")
    done = run("list", "--in", bucket.url)
    assert done.returncode == 0 and "unverified" in done.stdout
    assert "the index" in done.stderr and "is no list of files" in done.stderr


def test_nothing_printed_drives_the_terminal(bucket):
    bucket.repo("models--org--one").snapshot(A, {"x": b"1"}, ref="\x1b[31mred", tree=False)
    bucket.repo("models--org--\x1b[2J").snapshot("\x07commit", {"x": b"1"}, tree=False)
    bucket.put("hub/models--org--one/refs/\x1bbad", b"no commit")
    done = run("list", "--in", bucket.url)
    assert done.returncode == 0 and "\\x1b[31mred" in done.stdout and "\\x07commit" in done.stdout
    checked = run("verify", "--in", bucket.url)
    collected = run("gc", "--in", bucket.url, "--dry-run", "--unreferenced")
    for text in (done.stdout, done.stderr, checked.stdout, checked.stderr, collected.stdout, collected.stderr):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert "\x1b" not in run("list", "--in", bucket.url, "--json").stdout


# verify

def verify(bucket, *args):
    done = run("verify", "--in", bucket.url, *args)
    assert done.stderr == "", done.stderr
    return done.returncode, done.stdout


def test_verify_when_all_is_well(filled):
    rc, out = verify(filled)
    assert rc == 0 and re.fullmatch(r"9 objects: 9 verified \([\d.]+ KiB read\), 0 bad, 0 unknown\n", out)


def test_verify_finds_a_flipped_byte_in_each_object(filled):
    for key in filled.keys():
        good = filled.path(key).read_bytes()
        bad = bytes([good[0] ^ 1]) + good[1:]
        filled.spoil(key, bad)
        rc, out = verify(filled, "--jobs", "1")
        assert rc == 1 and re.search(f"^BAD {re.escape(key)}: ", out, re.M), (key, out)
        if "/refs/" not in key and "/trees/" not in key:
            assert f"SHA-256 is {sha256(bad)}, expected {sha256(good)} (by the index)" in out
        filled.spoil(key, good)
    assert verify(filled)[0] == 0


def test_verify_finds_what_is_missing_or_longer(filled):
    one = filled.repo("models--org--one")
    filled.path(one.file(A, "config.json")).unlink()
    filled.put(one.file(B, "config.json"), b"{12}")
    rc, out = verify(filled, "org/one")
    assert rc == 1
    assert f"BAD {one.file(A, 'config.json')}: is missing, though the index names it\n" in out
    assert f"BAD {one.file(B, 'config.json')}: has 4 bytes, expected 3 (by the index)\n" in out
    assert out.count("BAD") == 2
    assert verify(filled, "datasets/org/data")[0] == 0


def test_verify_without_an_index_goes_by_the_trees(bucket):
    repo = bucket.repo("models--org--one")
    repo.snapshot(A, {"small": b"12", "big.safetensors": b"1" * 100}, ref="main")
    bucket.put(repo.file(A, "more"), b"?")
    rc, out = verify(bucket)
    assert rc == 0 and out.startswith("5 objects: 3 verified") and out.endswith("0 bad, 2 unknown\n")
    bucket.put(repo.file(A, "small"), b"13")
    bucket.put(repo.file(A, "big.safetensors"), b"2" * 100)
    rc, out = verify(bucket)
    assert rc == 1 and f"git's hash is {git_sha1(b'13')}, expected {git_sha1(b'12')}" in out
    assert f"SHA-256 is {sha256(b'2' * 100)}, expected" in out


def test_verify_by_the_metadata_of_an_object(bucket):
    path = bucket.put("x", b"other")
    try:
        os.setxattr(path, "user.hfcache.meta", f"sha256={sha256(b'right')} etag={bucket.etag('x')}".encode())
    except OSError:
        pytest.skip("the file system has no extended attributes")
    rc, out = verify(bucket)
    assert rc == 1 and f"BAD x: SHA-256 is {sha256(b'other')}, expected {sha256(b'right')} (by its metadata)" in out


def test_verify_looks_at_refs(bucket):
    repo = bucket.repo("models--org--one")
    repo.snapshot(A, {"x": b"1"}, ref="main")
    repo.ref("newline", A + "\n")
    repo.ref("nothing", B)
    rc, out = verify(bucket)
    assert rc == 1 and out.count("BAD") == 2
    assert f"BAD hub/models--org--one/refs/newline: is not the name of a commit: 41 bytes" in out
    assert f"BAD hub/models--org--one/refs/nothing: names {B}, of which there are no files" in out


def test_a_ref_behind_the_index_is_worth_a_note_only(filled):
    filled.repo("models--org--one").ref("main", B)
    rc, out = verify(filled)
    assert rc == 0 and f"NOTE hub/models--org--one/refs/main: names {B}, the index says {A}" in out


def test_verify_as_json(filled):
    filled.spoil("hub/models--org--one/refs/main", b"x" * 40)
    filled.put("stray", b"")
    done = run("verify", "--in", filled.url, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert {f["finding"] for f in report["findings"]} == {"BAD"}
    assert report["findings"][0]["key"] == "hub/models--org--one/refs/main"
    assert report["summary"]["objects"] == 10 and report["summary"]["unknown"] == 1
    assert report["summary"]["whole"] is True


def test_verify_of_a_model_that_is_not_there(filled):
    done = run("verify", "--in", filled.url, "org/none")
    assert done.returncode == 1 and "org/none is not in the bucket" in done.stderr


def test_verify_writes_nothing(filled):
    before = {p: p.stat().st_mtime_ns for p in filled.root.rglob("*")}
    assert verify(filled)[0] == 0
    assert {p: p.stat().st_mtime_ns for p in filled.root.rglob("*")} == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_verify_with_a_message(bucket, name):
    repo = bucket.repo("models--org--one")
    path = bucket.put(repo.file(A, "big.safetensors"), b"")
    os.truncate(path, 1 << 40)
    entry = {"size": 1 << 40, "blob_id": A, "lfs_sha256": "0" * 64}
    bucket.put(repo.tree(A), json.dumps({"format_version": 1, "files": {"big.safetensors": entry}}).encode())
    terminal = Terminal("verify", "--in", bucket.url)
    terminal.until(r"[1-9][\d.]* [KMG]iB read of 1.0 TiB, 0 bad")
    terminal.process.send_signal(getattr(signal, name))
    assert terminal.end() == 1
    assert "error: stopped by a signal" in terminal.text and "BAD" not in terminal.text


# gc

UPLOAD = "up-" + "0" * 32


def leave_upload(bucket, key, data):
    folder = f".hfcache-uploads/{UPLOAD}"
    bucket.put(f"{folder}/key", key.encode())
    return bucket.put(f"{folder}/data", data).parent


def test_gc_deletes_what_no_ref_names(filled):
    one = filled.repo("models--org--one")
    doomed = {one.file(B, "config.json"), one.tree(B)}
    before = set(filled.keys())
    done = run("gc", "--in", filled.url, "--yes")
    assert done.returncode == 0, done.stderr
    assert f"delete  org/one {B}  2 objects" in done.stdout and "deleted 2 objects" in done.stdout
    assert set(filled.keys()) == before - doomed
    index = filled.published()
    assert index.snapshots.keys() == {("models--org--one", A), ("datasets--org--data", C)}
    assert set(index.objects) | set(index.refs) == set(filled.keys())
    assert not filled.path(".hfcache/lock").exists()
    again = run("gc", "--in", filled.url, "--yes")
    assert again.returncode == 0 and again.stdout == "nothing to delete\n"


def test_gc_dry_run_changes_nothing(filled):
    folder = leave_upload(filled, "x", b"")
    before = {p: p.stat().st_mtime_ns for p in filled.root.rglob("*")}
    done = run("gc", "--in", filled.url, "--dry-run", "--memory", "128Mi")
    assert done.returncode == 0 and f"delete  org/one {B}" in done.stdout
    assert "abort   upload of x" in done.stdout
    assert re.search(r"^would delete 2 objects and 1 upload, \d+ B$", done.stdout, re.M)
    assert {p: p.stat().st_mtime_ns for p in filled.root.rglob("*")} == before and folder.exists()


def test_gc_needs_a_yes(filled):
    folder = leave_upload(filled, "x", b"")
    before = filled.keys()
    done = run("gc", "--in", filled.url)
    assert done.returncode == 1 and "use --yes" in done.stderr
    assert filled.keys() == before and (folder / "key").exists()


@pytest.mark.parametrize("answer", ["n\n", "\n", "no\n", "\x04", "x\n", "yikes\n"])
def test_gc_takes_no_for_an_answer(filled, answer):
    folder = leave_upload(filled, "x", b"")
    before = filled.keys()
    terminal = Terminal("gc", "--in", filled.url)
    terminal.until(r"delete 2 objects and 1 upload, [\d.]+ K?i?B\? \[y/N\] ")
    terminal.type(answer)
    assert terminal.end() == 0 and "nothing was deleted" in terminal.text
    assert filled.keys() == before and (folder / "key").exists()
    assert not filled.path(".hfcache/lock").exists()


@pytest.mark.parametrize("answer", ["y\n", "Y\n", "yes\n"])
def test_gc_deletes_after_a_yes(filled, answer):
    folder = leave_upload(filled, "x", b"")
    terminal = Terminal("gc", "--in", filled.url)
    terminal.until(r"\[y/N\] ")
    assert filled.path(".hfcache/lock").exists()
    terminal.type(answer)
    assert terminal.end() == 0 and "deleted 2 objects, aborted 1 upload" in terminal.text
    assert not any(B in key for key in filled.keys()) and not folder.exists()


def test_a_signal_is_no_answer(filled):
    before = filled.keys()
    terminal = Terminal("gc", "--in", filled.url)
    terminal.until(r"\[y/N\] ")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 1 and "stopped by a signal" in terminal.text
    assert filled.keys() == before and not filled.path(".hfcache/lock").exists()


def test_gc_keeps_a_repository_without_refs(bucket):
    bucket.repo("models--org--new").snapshot(A, {"x": b"1"}, tree=False)
    done = run("gc", "--in", bucket.url, "--yes")
    assert done.returncode == 0 and f"kept    org/new {A}  1 object, 1 B: no refs" in done.stdout
    assert "nothing to delete" in done.stdout and bucket.keys()
    done = run("gc", "--in", bucket.url, "--yes", "--unreferenced")
    assert done.returncode == 0 and bucket.keys() == []
    assert not bucket.path(KEY).exists()  # where there was none


def test_gc_keeps_what_the_index_says_a_ref_names(filled):
    """A run that died before it put the ref's object."""
    index = filled.index()
    index.refs["hub/models--org--one/refs/main"] = B
    filled.publish(index)
    done = run("gc", "--in", filled.url, "--yes")
    assert done.returncode == 0 and f"kept    org/one {B}" in done.stdout
    assert any(B in key for key in filled.keys())


def test_gc_keeps_what_an_unreadable_ref_may_name(filled):
    filled.repo("models--org--one").ref("v1", B + "\n")
    done = run("gc", "--in", filled.url, "--yes")
    assert done.returncode == 0 and "a ref is not the name of a commit" in done.stdout
    assert any(B in key for key in filled.keys())


def test_gc_keeps_the_newest(filled):
    one = filled.repo("models--org--one")
    one.snapshot(C, {"x": b"1"}, tree=False)
    one.snapshot(D, {"x": b"1"})
    for commit, age in ((B, 30), (C, 10), (D, 20)):
        for key in filled.keys():
            if f"/{commit}" in key:
                os.utime(filled.path(key), (10 ** 9 - age, 10 ** 9 - age))
    filled.publish()
    done = run("gc", "--in", filled.url, "--yes", "--keep", "1")
    assert done.returncode == 0 and f"kept    org/one {C}  1 object, 1 B: one of the newest" in done.stdout
    left = "".join(key for key in filled.keys() if "org--one" in key)
    assert (A in left, B in left, C in left, D in left) == (True, False, True, False)


def test_two_do_not_collect_at_once(filled):
    first = Terminal("gc", "--in", filled.url)
    first.until(r"\[y/N\] ")
    second = run("gc", "--in", filled.url, "--yes", "--lock-wait", "0")
    assert second.returncode == 1 and second.stdout == "" and "lock" in second.stderr
    first.type("y\n")
    assert first.end() == 0 and "deleted 2 objects" in first.text


def test_gc_when_the_index_cannot_be_put(filled):
    """Readers of the index must not see names that are gone."""
    before = filled.keys()
    # Python ignores SIGXFSZ, and so does its child: writing fails instead.
    limited = ["prlimit", "--fsize=800", REFRESH, "gc", "--in", filled.url, "--yes"]
    done = subprocess.run(limited, env=CLEAN, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=WAIT, check=False, restore_signals=False)
    assert done.returncode == 1 and "nothing was deleted" in done.stderr
    assert filled.keys() == before


# A real S3 server, with faults in front of it.

NAME = "cache"


@pytest.fixture(scope="module", name="server")
def s3_server(tmp_path_factory):
    with Versitygw(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket(NAME)
        yield server


class Remote:
    """The filled bucket on a server behind a proxy."""

    def __init__(self, server, proxy, filled):
        self.server, self.proxy, self.url = server, proxy, f"s3://{NAME}"
        for key in [*self.keys(), *(KEY, ".hfcache/lock")]:
            server.client.call("DELETE", NAME, key)
        index = filled.index()
        for key in filled.keys():
            data = filled.path(key).read_bytes()
            server.put(NAME, key, data)
            if key in index.objects:
                size, _, digest, git = index.objects[key]
                index.objects[key] = (size, hashlib.md5(data).hexdigest(), digest, git)
        server.put(NAME, KEY, index.text())

    def run(self, command, *args):
        return run(command, "--in", self.url, *args, env=environment(s3=self.server.env_for(self.proxy.endpoint)))

    def keys(self):
        return [key for key in self.server.keys(NAME) if not key.startswith(".hfcache/")]


@pytest.fixture
def remote(server, filled):
    with S3Proxy(server.endpoint) as proxy:
        yield Remote(server, proxy, filled)


def test_list_verify_and_gc_of_s3(remote):
    done = remote.run("list", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["state"] for row in json.loads(done.stdout)] == ["complete"] * 3
    assert remote.proxy.count("GetObject") == 1  # the index; ETags tell the refs
    done = remote.run("verify")
    assert done.returncode == 0 and done.stdout.startswith("9 objects: 9 verified"), done.stdout + done.stderr
    created = remote.server.client.call("POST", NAME, "left/behind", query={"uploads": ""})[1].decode()
    upload = re.search("<UploadId>(.*?)</UploadId>", created).group(1)
    remote.server.client.call("PUT", NAME, "left/behind", query={"partNumber": 1, "uploadId": upload}, body=b"12345")
    done = remote.run("gc", "--dry-run")
    assert done.returncode == 0 and "abort   upload of left/behind  5 B" in done.stdout, done.stderr
    done = remote.run("gc", "--yes", "--keep", "0")
    assert done.returncode == 0 and "deleted 2 objects, aborted 1 upload" in done.stdout, done.stderr
    assert not any(B in key for key in remote.keys()) and not remote.server.uploads(NAME)
    assert set(Index.parse(remote.server.get(NAME, KEY)).objects) < set(remote.keys())
    assert [call.operation for call in remote.proxy.calls if call.operation in ("DeleteObject", "PutObject")
            and "lock" not in call.target][:2] == ["PutObject", "DeleteObject"]


def test_flipped_bytes_on_the_way_are_seen(remote):
    remote.proxy.fail("flip", operation="GetObject", key="*w.safetensors", when="answer", at=2500)
    done = remote.run("verify", "--jobs", "1")
    assert done.returncode == 1 and done.stdout.count("BAD") == 1
    assert f"BAD hub/models--org--one/snapshots/{A}/sub/w.safetensors: SHA-256 is" in done.stdout


@pytest.mark.parametrize("command", ["list", "verify", "gc"])
@pytest.mark.parametrize("operation", ["GetObject", "ListObjectsV2"])
def test_a_bucket_that_refuses(remote, command, operation):
    remote.proxy.fail("forbidden", operation=operation, times=None)
    before = remote.keys()
    done = remote.run(command)
    assert done.returncode == 1 and "AccessDenied" in done.stderr and done.stdout == ""
    assert remote.keys() == before


@pytest.mark.parametrize("command", [["list"], ["verify"], ["gc", "--yes"]])
def test_an_index_that_is_refused_later(remote, command):
    """What the index promised is asked for again where it matters."""
    remote.server.put(NAME, f"hub/models--org--one/snapshots/{A}/config.json", b"[]")
    remote.proxy.fail("forbidden", operation="GetObject", key="*.hfcache/index", nth=2, times=None)
    before = remote.keys()
    done = remote.run(*command)
    assert done.returncode == 1 and "AccessDenied" in done.stderr and remote.keys() == before


def test_a_tree_that_is_refused(remote):
    remote.server.client.call("DELETE", NAME, KEY)
    remote.proxy.fail("forbidden", operation="GetObject", key="*/trees/*", times=None)
    done = remote.run("list")
    assert done.returncode == 1 and "AccessDenied" in done.stderr
    done = remote.run("verify")
    assert done.returncode == 1 and done.stdout.count("FAILED") == 3 and "3 not looked at" in done.stdout


def test_objects_that_cannot_be_read(remote):
    remote.proxy.fail("forbidden", operation="GetObject", key="*/snapshots/*", times=None)
    done = remote.run("verify", "org/one")
    assert done.returncode == 1 and done.stdout.count("FAILED") == 3 and "BAD" not in done.stdout


@pytest.mark.parametrize("operation,key,message", [
    ("DeleteObject", "*/snapshots/*", "1 of 2 objects could not be deleted"),
    ("PutObject", "*.hfcache/index", "nothing was deleted, as the index could not be published"),
    ("HeadObject", "*.hfcache/index", "403 forbidden"),
    ("ListMultipartUploads", "*", "AccessDenied"), ("PutObject", "*.hfcache/lock", "AccessDenied")])
def test_gc_that_is_refused(remote, operation, key, message):
    remote.proxy.fail("forbidden", operation=operation, key=key, times=None)
    done = remote.run("gc", "--yes")
    assert done.returncode == 1 and message in done.stderr, done.stderr
    refs = [name for name in remote.keys() if "/refs/" in name]
    assert len(refs) == 2 and sum(A in name for name in remote.keys()) == 3


def test_ages_that_cannot_be_asked(remote):
    remote.proxy.fail("forbidden", operation="HeadObject", key="*/trees/*", times=None)
    before = remote.keys()
    done = remote.run("gc", "--yes", "--keep", "1")
    assert done.returncode == 1 and "403 forbidden" in done.stderr and remote.keys() == before


def test_credentials_are_never_shown(remote):
    remote.proxy.fail("forbidden", times=None)
    done = remote.run("list")
    assert done.returncode == 1 and remote.server.secret_key not in done.stdout + done.stderr


# Clusters: sync asks hfcache-gen before anything else.

CLUSTERS = """\
clusters:
  k1: {region: xx-1, cluster_name: k1, modules: [hf-cache]}
  k2: {region: xx-2, cluster_name: k2, modules: []}
"""


def sync(tmp_path, text, *args):
    path = tmp_path / "clusters.yaml"
    path.write_text(text)
    return run("sync", "org/m", *args, env={"CLUSTERS_YAML": str(path), "HFCACHE_GEN": GEN}, cwd=tmp_path)


def test_an_unknown_cluster(tmp_path):
    done = sync(tmp_path, CLUSTERS, "--cluster", "k3")
    assert done.returncode == 1 and "cluster k3: there is no such cluster; known: k1, k2" in done.stderr


def test_no_cluster_with_the_module(tmp_path):
    done = sync(tmp_path, CLUSTERS.replace("hf-cache", "pypi-cache"), "--all-clusters")
    assert done.returncode == 1 and "no cluster lists the module hf-cache" in done.stderr


def test_clusters_that_cannot_be_read(tmp_path):
    done = sync(tmp_path, "clusters: [", "--all-clusters")
    assert done.returncode == 1 and "hfcache-gen, asked for the clusters" in done.stderr


def test_a_cluster_without_the_module_is_only_warned_about(tmp_path):
    """The bucket is tried: here the memory is too small for it, which shows without a network."""
    done = sync(tmp_path, CLUSTERS, "--cluster", "k2", "--memory", "1Mi")
    assert done.returncode == 1 and "cluster k2 does not list the module hf-cache" in done.stderr
    assert "not enough for 1 bucket" in done.stderr


# The other side of the format.

def test_the_index_of_the_tests_is_the_one_of_the_document():
    text = (REPO / "docs/index-format.md").read_text()
    example = text.split("## Example\n\n```\n")[1].split("```")[0].encode()
    index = Index.parse(example)
    assert index.text() == example


def test_the_manual_and_the_completions_know_every_option():
    manual = (REPO / "man/hfcache-refresh.1").read_text()
    completions = (REPO / "completions/hfcache-refresh.bash").read_text()
    for command in COMMANDS:
        options = set(re.findall(r"^ .*?--([\w-]+)", run(command, "--help").stdout, re.M))
        assert options
        section = re.split(r"\n\.S[sh] ", manual.split(f".Ss {command}\n")[1])[0]
        line = re.search(rf"^ +{command}\) echo (.*) ;;$", completions, re.M).group(1)
        assert set(re.findall(r"--([\w-]+)", line)) == options - {"usage", "version"}
        for option in options - {"help", "usage", "version"}:
            assert re.search(rf"^\.It Fl .*-{option}\b", section, re.M), (command, option)


def test_the_program_is_installed_executable():
    assert os.stat(REFRESH).st_mode & stat.S_IXUSR
