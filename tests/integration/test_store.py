"""The object store of lib/ on real servers and on a directory: one set of cases for all of them.

tests/tools/store_tool.c does one operation a run and prints JSON.
"""
import base64
import hashlib
import json
import os
import subprocess
import urllib.parse
from pathlib import Path

import pytest

import servers

REPO = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("HFCACHE_STORE_TOOL", REPO / "build/tests-tools/store_tool"))
MIB = 1 << 20
SHA1 = "0123456789abcdef0123456789abcdef01234567"
KEYS = [
    "plain", "a/b/c.json", "with space", "per%cent", "per%20cent", "pl+us", "ha#sh", "q?a=b&c", "am&p;<x>",
    "quo\"te'", "back\\slash", "ünïcödé/日本語/🤗", "~tilde-._", "semi;colon=equals", "(paren)[br]{ace}", "*star!", "@at:colon,",
    "refs/main", ".hidden/.file", "/".join(["é" * 100] * 5 + ["x" * 19]),
]


class Store:
    """A bucket or folder, and the tool on it."""

    def __init__(self, url, env, folder, server=None):
        self.url, self.env, self.folder, self.server = url, env, folder, server

    def run(self, *args, env=None):
        """(lines, error or None)"""
        clean = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY") and not k.startswith("AWS_")}
        done = subprocess.run([TOOL, self.url, *map(str, args)], env={**clean, **self.env, **(env or {})},
                              capture_output=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode in (0, 1), done.stderr.decode(errors="replace")[-3000:]
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode == 0:
            return lines, None
        return lines[:-1], lines[-1]

    def ok(self, *args):
        lines, error = self.run(*args)
        assert error is None, error
        return lines

    def fails(self, *args, env=None):
        lines, error = self.run(*args, env=env)
        assert error is not None, lines
        return error

    def put(self, key, content, *options):
        path = self.folder / "source"
        path.write_bytes(content)
        return self.ok("put", key, path, *options)[-1]

    def get(self, key, *options):
        path = self.folder / "result"
        self.reply = self.ok("get", key, path, *options)[-1]
        content = path.read_bytes()
        assert self.reply["got_sha256"] == hashlib.sha256(content).hexdigest()
        return content

    def keys(self, prefix=""):
        return [line["key"] for line in self.ok("list", prefix) if "key" in line]


@pytest.fixture(scope="module")
def versitygw(tmp_path_factory):
    with servers.Versitygw(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="module")
def minio(tmp_path_factory):
    with servers.Minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(params=["versitygw", "minio", "file"])
def store(request, tmp_path):
    assert TOOL.exists(), f"{TOOL} is not built"
    tools = tmp_path / "tool"
    tools.mkdir()
    if request.param == "file":
        folder = tmp_path / "store"
        folder.mkdir()
        return Store(f"file://{folder}", {}, tools)
    server = request.getfixturevalue(request.param)
    server.count = getattr(server, "count", 0) + 1
    url = server.make_bucket(f"bucket-{server.count}")
    return Store(url, server.env, tools, server)


@pytest.fixture(params=["versitygw", "minio"])
def bucket(request, tmp_path):
    server = request.getfixturevalue(request.param)
    server.count = getattr(server, "count", 0) + 1
    return Store(server.make_bucket(f"bucket-{server.count}"), server.env, tmp_path, server)


def test_every_key_is_stored_read_listed_copied_and_deleted(store):
    for number, key in enumerate(KEYS):
        content = f"content {number}".encode()
        store.put(key, content)
        assert store.get(key) == content
        assert store.ok("head", key)[-1]["size"] == len(content)
        store.ok("copy", key, f"copy/{number}")
        assert store.get(f"copy/{number}") == content
    expected = KEYS + [f"copy/{n}" for n in range(len(KEYS))]
    assert store.keys() == sorted(expected, key=str.encode)
    for key in KEYS:
        assert store.keys(key)[0] == key
        store.ok("delete", key)
        assert store.fails("head", key)["errno"] == "ENOENT"
        store.ok("delete", key)


def test_a_key_of_1024_bytes_is_taken_and_of_1025_refused(store):
    key = "/".join(["k" * 203] * 5) + "/abcd"
    assert len(key) == 1024
    store.put(key, b"long")
    assert store.get(key) == b"long"
    assert store.keys() == [key]
    assert store.fails("head", key + "x")["errno"] == "EINVAL"


def test_metadata_is_kept_and_told(store):
    content = b"some bytes"
    sha256 = hashlib.sha256(content).hexdigest()
    put = store.put("file", content, "--sha256", sha256, "--git-sha1", SHA1)
    head = store.ok("head", "file")[-1]
    assert (head["sha256"], head["git_sha1"], head["size"]) == (sha256, SHA1, 10)
    assert head["etag"] == put["etag"] and head["modified"] > 1_600_000_000
    store.get("file")
    assert store.reply["sha256"] == sha256
    listed = store.ok("list")[0]
    assert (listed["etag"], listed["size"]) == (put["etag"], 10)
    store.put("bare", content)
    assert "sha256" not in store.ok("head", "bare")[-1]


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3 * MIB + 17])
@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["signed", "trailer"])
def test_any_size_is_stored_with_its_hash_in_front_or_behind(store, size, options):
    content = (hashlib.sha256(b"seed").digest() * (size // 32 + 1))[:size]
    store.put("object", content, *options)
    assert store.get("object") == content
    if store.server:
        head = store.server.head(urllib.parse.urlsplit(store.url).netloc, "object")
        assert base64.b64decode(head["x-amz-checksum-sha256"]) == hashlib.sha256(content).digest()


def test_ranges_are_exact(store):
    content = bytes(range(256)) * 40
    store.put("object", content)
    for offset, length in ((0, 1), (0, 10240), (10239, 1), (5, 17), (100, 0), (10239, 0)):
        got = store.get("object", "--offset", offset, "--length", length)
        assert got == content[offset:offset + length if length else None]
        assert store.reply["size"] == len(content)
    for offset, length in ((10240, 1), (10239, 2), (0, 10241), (20000, 5)):
        error = store.fails("get", "object", store.folder / "x", "--offset", offset, "--length", length)
        assert error["errno"] == "EBADMSG"


def test_conditions(store):
    first = store.put("object", b"one", "--if-absent")
    (store.folder / "two").write_bytes(b"two")
    put = ("put", "object", store.folder / "two")
    assert store.fails(*put, "--if-absent")["errno"] == "EEXIST"
    assert store.fails(*put, "--if-match", "0" * 32)["errno"] == "ESTALE"
    assert store.get("object", "--if-match", first["etag"]) == b"one"
    get = ("get", "object", store.folder / "x")
    assert store.fails(*get, "--if-match", "0" * 32)["errno"] == "ESTALE"
    assert store.fails(*get, "--if-none-match", first["etag"])["errno"] == "EALREADY"
    assert store.get("object", "--if-none-match", "0" * 32) == b"one"
    second = store.ok(*put, "--if-match", first["etag"])[-1]
    assert second["etag"] != first["etag"]
    assert store.get("object") == b"two"
    assert store.fails("put", "none", store.folder / "two", "--if-match", first["etag"])["errno"] == "ENOENT"


def test_what_is_not_there(store):
    assert store.fails("head", "no/thing")["errno"] == "ENOENT"
    assert store.fails("get", "no/thing", store.folder / "x")["errno"] == "ENOENT"
    assert store.fails("copy", "no/thing", "other")["errno"] == "ENOENT"
    store.ok("delete", "no/thing")
    assert store.keys() == [] and store.ok("uploads")[:-1] == []


def test_a_copy_is_of_the_version_that_was_named(store):
    sha256 = hashlib.sha256(b"one").hexdigest()
    first = store.put("from", b"one", "--sha256", sha256)
    copied = store.ok("copy", "from", "to", "--sha256", sha256, "--git-sha1", SHA1)[-1]
    head = store.ok("head", "to")[-1]
    assert (head["sha256"], head["git_sha1"], head["etag"]) == (sha256, SHA1, copied["etag"])
    store.put("from", b"other")
    assert store.fails("copy", "from", "to", "--if-match", first["etag"])["errno"] == "ESTALE"
    assert store.get("to") == b"one"


@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["signed", "trailer"])
def test_an_upload_in_parts(store, options):
    pieces = [b"a" * (5 * MIB), b"b" * (5 * MIB), b"c" * 1234]
    whole = b"".join(pieces)
    meta = ["--sha256", hashlib.sha256(whole).hexdigest(), "--git-sha1", SHA1]
    upload = store.ok("create", "big file", *meta)[-1]["upload_id"]
    for number, piece in ((2, pieces[1]), (1, pieces[0]), (3, pieces[2])):
        (store.folder / "piece").write_bytes(piece)
        store.ok("part", "big file", upload, number, store.folder / "piece", "--offset",
                 (number - 1) * 5 * MIB, *options)
    parts = store.ok("parts", "big file", upload)[:-1]
    assert [(p["number"], p["size"]) for p in parts] == [(n + 1, len(p)) for n, p in enumerate(pieces)]
    assert [p["sha256"] for p in parts] == [hashlib.sha256(p).hexdigest() for p in pieces]
    assert [(u["key"], u["upload_id"]) for u in store.ok("uploads", "big file")[:-1]] == [("big file", upload)]
    assert store.fails("head", "big file")["errno"] == "ENOENT"
    assert store.keys() == []
    done = store.ok("complete", "big file", upload, *meta)[-1]
    assert store.get("big file") == whole
    head = store.ok("head", "big file")[-1]
    assert (head["etag"], head["sha256"], head["git_sha1"]) == (done["etag"], meta[1], SHA1)
    assert store.ok("uploads")[:-1] == []


def test_an_aborted_upload_is_gone(store):
    upload = store.ok("create", "file")[-1]["upload_id"]
    (store.folder / "piece").write_bytes(b"piece")
    store.ok("part", "file", upload, 1, store.folder / "piece")
    store.ok("abort", "file", upload)
    store.ok("abort", "file", upload)
    assert store.ok("uploads")[:-1] == []
    assert store.fails("parts", "file", upload)["errno"] == "ENOENT"
    assert store.fails("part", "file", upload, 2, store.folder / "piece")["errno"] == "ENOENT"
    assert store.keys() == []


def test_a_list_of_more_than_one_page(store):
    store.ok("many", "n/", 1100)
    store.ok("many", "n-", 3)
    store.ok("many", "n.x/", 3)
    keys = store.keys()
    assert keys == sorted([f"n/{n:04}" for n in range(1100)] + [f"n-{n:04}" for n in range(3)] +
                          [f"n.x/{n:04}" for n in range(3)])
    assert store.keys("n/") == [f"n/{n:04}" for n in range(1100)]
    assert store.keys("n/10") == [f"n/{n:04}" for n in range(1000, 1100)]


def test_a_prefix_is_put_in_front_and_taken_off(bucket):
    within = Store(bucket.url + "/some/pre fix+", bucket.env, bucket.folder, bucket.server)
    within.put("key", b"x")
    bucket.put("some/other", b"y")
    assert within.keys() == ["key"]
    assert bucket.keys() == ["some/other", "some/pre fix+/key"]
    assert within.get("key") == b"x"
    within.ok("copy", "key", "copy")
    assert within.keys("c") == ["copy"]
    assert within.fails("head", "k" * 1020)["errno"] == "EINVAL"


def test_a_wrong_secret_is_refused_and_the_source_named(bucket):
    error = bucket.fails("list", env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert error["errno"] == "EACCES"
    assert "SignatureDoesNotMatch" in error["error"] and "environment" in error["error"]
    assert "wrong" not in error["error"]


def test_a_bucket_that_is_not_there_is_named(bucket):
    error = Store("s3://no-such-bucket", bucket.env, bucket.folder).fails("list")
    assert error["errno"] == "ENOENT"
    assert "s3://no-such-bucket/" in error["error"] and "the bucket doesn't exist" in error["error"]


def test_a_region_that_is_wrong_is_corrected(bucket):
    lines, error = bucket.run("list", env={"AWS_REGION": "eu-west-9"})
    assert error is None and len(lines) == 1


def test_nobody_listens(store):
    if store.server is None:
        pytest.skip("a directory has no address")
    port = servers.free_port()
    error = store.fails("head", "x", env={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    assert error["errno"] == "ENOTCONN"
