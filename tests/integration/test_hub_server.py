"""The tests' own Hub server: real clients use it like the Hub, and each fault is what it says.

First half: huggingface_hub, current and 0.26, including what each is known to do after a fault.
Second half: the protocol, byte by byte, through a plain socket.
"""
import gzip
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest
from servers import REPO, TOOLS, HubServer, Synthetic, certificate, lfs, plain

WEIGHTS = hashlib.shake_128(b"weights").digest(300_000)
FILES = {"config.json": b'{"a": 1}', "dir/model.safetensors": WEIGHTS, "empty.txt": b"",
         "vocab.txt": b"word\n" * 400, "sub/deeper/odd name %#?+\"'\u00fc.txt": b"odd",
         **{f"many/{i:02}.json": b"x" * i for i in range(30)}}
CLIENT = """
import hashlib, json, os, sys
import huggingface_hub
from huggingface_hub import *
from huggingface_hub import hf_hub_url, get_hf_file_metadata
def tree(folder):
    return {os.path.relpath(os.path.join(d, f), folder): open(os.path.join(d, f), "rb").read().hex()
            for d, _, names in os.walk(folder) for f in names}
def read(path):
    return open(path, "rb").read().hex()
def digest(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()
results = []
for expression in json.load(sys.stdin):
    try:
        results.append({"value": eval(expression), "error": []})
    except Exception as error:
        results.append({"value": str(error), "error": [c.__name__ for c in type(error).__mro__]})
json.dump(results, sys.stdout)
"""


class Client:
    """A huggingface_hub of some version, in processes with a cache of their own."""

    def __init__(self, python, home):
        self.python, self.home = python, home
        self.old = python != sys.executable

    def run(self, hub, *expressions, token=None):
        env = {"PATH": os.environ["PATH"], "HF_HOME": str(self.home), "HF_ENDPOINT": hub.url,
               "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
               "HF_HUB_DISABLE_TELEMETRY": "1", **({"HF_TOKEN": token} if token else {})}
        done = subprocess.run([self.python, "-c", CLIENT], input=json.dumps(expressions), env=env,
                              capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def one(self, hub, expression, token=None):
        return self.run(hub, expression, token=token)[0]


@pytest.fixture(params=["current", "0.26"])
def client(request, tmp_path):
    python = sys.executable
    if request.param == "0.26":
        python = str(REPO / "build/venv-hub026/bin/python")
        if not os.path.exists(python):
            reason = TOOLS / "venv-hub026.reason"
            pytest.skip(reason.read_text().strip() if reason.exists() else "no build/venv-hub026")
    return Client(python, tmp_path)


@pytest.fixture
def hub():
    with HubServer(page_size=10) as server:
        repo = server.model("org/m", FILES)
        repo.tag("v1")
        repo.move("refs/pr/1", repo.head)
        yield server


def value(result):
    assert not result["error"], result
    return result["value"]


# Real clients.

def test_snapshot_download(hub, client):
    got = value(client.one(hub, "tree(snapshot_download('org/m'))"))
    assert {path: bytes.fromhex(text) for path, text in got.items()} == FILES
    assert hub.count(origin="cdn") == 1
    assert hub.count(endpoint="resolve-cache", method="GET") == sum(map(bool, FILES.values())) - 1


def test_the_token_stays_at_the_hub(hub, client):
    hub.token("hf_reader")
    value(client.one(hub, "read(hf_hub_download('org/m', 'dir/model.safetensors'))",
                     token="hf_reader"))
    assert {r.header("authorization") for r in hub.select(repo="org/m", origin="hub")} == \
        {"Bearer hf_reader"}
    assert {r.header("authorization") for r in hub.select(origin="cdn")} == {None}


def test_revisions_and_subfolders(hub, client):
    repo = hub.repos["model", "org/m"]
    first = repo.head
    repo.commit({"config.json": b"new"}, remove=["vocab.txt"])
    got = client.run(hub, *(f"read(hf_hub_download('org/m', 'config.json', revision={rev!r}))"
                            for rev in ("main", "v1", first, "refs/pr/1")),
                     "read(hf_hub_download('org/m', '07.json', subfolder='many'))",
                     f"HfApi().model_info('org/m', revision='v1').sha == {first!r}",
                     "os.path.basename(snapshot_download('org/m', allow_patterns=['*.txt']))")
    assert [value(r) for r in got] == [b"new".hex()] + [FILES["config.json"].hex()] * 3 + [
        (b"x" * 7).hex(), True, repo.head]


def test_datasets(hub, client):
    hub.dataset("org/d", {"a/b.csv": b"1,2"})
    got = client.run(hub, "read(hf_hub_download('org/d', 'a/b.csv', repo_type='dataset'))",
                     "tree(snapshot_download('org/d', repo_type='dataset'))",
                     "HfApi().dataset_info('org/d').id")
    assert [value(r) for r in got] == [b"1,2".hex(), {"a/b.csv": b"1,2".hex()}, "org/d"]


def test_listings(hub, client):
    got = client.run(
        hub, "sorted(f.path for f in HfApi().list_repo_tree('org/m', recursive=True))",
        "sorted(f.path for f in HfApi().list_repo_tree('org/m', expand=True, recursive=True))",
        "sorted(f.path for f in HfApi().list_repo_tree('org/m', 'sub'))",
        "[t.name for t in HfApi().list_repo_refs('org/m').tags]",
        "[(f.path, f.size, f.lfs and f.lfs.sha256) for f in "
        "HfApi().get_paths_info('org/m', ['config.json', 'dir/model.safetensors', 'none'])]",
        "[(s.rfilename, s.size, s.blob_id) for s in "
        "HfApi().model_info('org/m', files_metadata=True).siblings "
        "if s.rfilename == 'config.json']")
    everything = sorted([*FILES, "dir", "many", "sub", "sub/deeper"])
    oid = hashlib.sha1(b"blob 8\0" + FILES["config.json"]).hexdigest()
    assert [value(r) for r in got] == [
        everything, everything, ["sub/deeper"], ["v1"],
        [["config.json", 8, None],
         ["dir/model.safetensors", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest()]],
        [["config.json", 8, oid]]]


def test_metadata(hub, client):
    ask = ("[(m.commit_hash, m.etag, m.size) for m in "
           "[get_hf_file_metadata(hf_hub_url('org/m', {!r}))]]")
    got = client.run(hub, ask.format("config.json"), ask.format("dir/model.safetensors"),
                     ask.format("empty.txt"))
    sha = hub.repos["model", "org/m"].head
    assert [value(r)[0] for r in got] == [
        [sha, hashlib.sha1(b"blob 8\0" + FILES["config.json"]).hexdigest(), 8],
        [sha, hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS)],
        [sha, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", 0]]


def test_who_may_read_what(hub, client):
    files = {"config.json": b"secret", "w.safetensors": WEIGHTS}
    hub.model("org/private", files, private=True)
    hub.model("org/gated", files, gated=True)
    hub.token("hf_reader", read=["org/private", "org/gated"])
    hub.token("hf_other")
    ask = [f"read(hf_hub_download('org/{name}', {file!r}, force_download=True))"
           for name in ("private", "gated") for file in files]
    for token, private, gated in ((None, "RepositoryNotFoundError", "GatedRepoError"),
                                  ("hf_other", "RepositoryNotFoundError", "GatedRepoError")):
        ask_quiet = [text.replace(", force_download=True", "") for text in ask]
        errors = [r["error"][0] for r in client.run(hub, *ask_quiet, token=token)]
        assert errors == [private] * 2 + [gated] * 2
    assert [bytes.fromhex(value(r)) for r in client.run(hub, *ask, token="hf_reader")] == \
        list(files.values()) * 2
    assert value(client.one(hub, "HfApi().model_info('org/gated').gated")) == "auto"


def test_what_is_not_there(hub, client):
    hub.model("org/disabled", {"a": b"1"}, disabled=True)
    got = client.run(hub, "hf_hub_download('org/none', 'config.json')",
                     "hf_hub_download('org/m', 'config.json', revision='none')",
                     "hf_hub_download('org/m', 'none.json')",
                     "HfApi().model_info('org/none')", "HfApi().model_info('org/disabled')")
    for result, name in zip(got, ("RepositoryNotFoundError", "RevisionNotFoundError",
                                  "EntryNotFoundError", "RepositoryNotFoundError",
                                  "DisabledRepoError"), strict=True):
        assert name in result["error"], result
    stale = client.one(hub, "HfApi().model_info('org/m')", token="hf_revoked")
    assert "HfHubHTTPError" in stale["error"] and "RepositoryNotFoundError" not in stale["error"]
    assert "Invalid credentials" in stale["value"]


def test_renamed(hub, client):
    hub.rename("bert", "google/bert")
    hub.rename("google/bert", "org/m")
    got = client.run(hub, "read(hf_hub_download('bert', 'config.json'))",
                     "HfApi().model_info('bert').id", "len(tree(snapshot_download('google/bert')))")
    assert [value(r) for r in got] == [FILES["config.json"].hex(), "org/m", len(FILES)]


# What each client does after a fault: (fault, outcome of the current one, of 0.26).
KNOWN = {
    "cut, FIN": ({"kind": "fin", "at": "middle"}, "ok", "error"),
    "cut, RST": ({"kind": "rst", "at": "middle"}, "error", "error"),
    "429": ({"kind": "429"}, "ok", "error"),
    "503 once": ({"kind": "status", "status": 503}, "error", "error"),
    "expired": ({"kind": "expired"}, "error", "error"),
    "wrong byte": ({"kind": "flip", "at": "end"}, "wrong", "wrong"),
    "short": ({"kind": "short", "at": "end"}, "OSError", "OSError"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_reactions(hub, client, name):
    fault, current, old = KNOWN[name]
    seen = hub.fault(match="*.safetensors", origin="cdn", **fault)
    result = client.one(hub, "read(hf_hub_download('org/m', 'dir/model.safetensors'))")
    assert seen.hits == 1
    expected = old if client.old else current
    if expected == "ok":
        assert bytes.fromhex(value(result)) == WEIGHTS
    elif expected == "wrong":
        assert bytes.fromhex(value(result)) == WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1])
    else:
        assert expected == "error" and result["error"] or expected in result["error"], result


def test_resume_after_a_cut(hub, tmp_path):
    """The current client goes on where its last piece of 10 MiB ended."""
    source = Synthetic(24 << 20, seed="resume")
    hub.model("org/big", {"w.safetensors": source})
    hub.fault("fin", match="w.safetensors", origin="cdn", at=15 << 20)
    got = Client(sys.executable, tmp_path).one(
        hub, "digest(hf_hub_download('org/big', 'w.safetensors'))")
    assert value(got) == hashlib.sha256(source.read(0, source.size)).hexdigest()
    assert hub.requests[-1].header("range") == f"bytes={10 << 20}-"
    assert hub.requests[-1].status == 206


def test_quotas(hub, tmp_path):
    hub.limits(resolvers=60, window=1)
    got = Client(sys.executable, tmp_path).one(hub, "len(tree(snapshot_download('org/m')))")
    assert value(got) == len(FILES)
    assert hub.count(status=429) > 0


# The protocol.

class Peer:
    """A client of plain sockets; sees how a connection ends."""

    def __init__(self, url, timeout=10, tls=None):
        parts = urllib.parse.urlsplit(url)
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=parts.hostname)
        self.buffer = b""
        # How the last body ended, and in how many pieces it came.
        self.ending, self.pieces = None, 0

    def more(self):
        try:
            piece = self.sock.recv(1 << 20)
        except ConnectionResetError:
            self.ending = "rst"
            return False
        except TimeoutError:
            self.ending = "stall"
            return False
        if not piece:
            self.ending = "fin"
        self.buffer += piece
        self.pieces += bool(piece)
        return bool(piece)

    def ask(self, target, method="GET", body=b"", **headers):
        """(status, headers, body); status None if there was no head."""
        target = target.partition("://")[2].partition("/")[2] if "://" in target else target
        lines = [f"{method} /{target.lstrip('/')} HTTP/1.1", "Host: hub"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        self.ending, self.pieces = "complete", 0
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None, {}, self.buffer
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        status = int(lines[0].split()[1])
        return status, headers, self.body(method, status, headers)

    def body(self, method, status, headers):
        if method == "HEAD" or status == 304:
            return b""
        if headers.get("Transfer-Encoding") == "chunked":
            while not self.buffer.endswith(b"0\r\n\r\n") and self.more():
                pass
            size, _, rest = self.buffer.partition(b"\r\n")
            self.buffer = b""
            return rest[:int(size, 16)]
        length = int(headers["Content-Length"])
        self.pieces = 0
        while len(self.buffer) < length and self.more():
            pass
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body


@pytest.fixture
def peer(hub):
    return Peer(hub.url)


def cdn_url(peer, path="dir/model.safetensors", repo="org/m"):
    status, headers, _ = peer.ask(f"/{repo}/resolve/main/{path}")
    assert status == 302
    return headers["Location"]


def test_resolve_of_an_lfs_file(hub, peer):
    status, headers, _ = peer.ask("/org/m/resolve/main/dir/model.safetensors", "HEAD")
    assert status == 302 and headers["Location"].startswith(hub.cdn_url + "/")
    assert headers["X-Repo-Commit"] == hub.repos["model", "org/m"].head
    assert headers["X-Linked-ETag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'
    assert headers["X-Linked-Size"] == str(len(WEIGHTS))
    assert headers["X-Xet-Hash"] and 'rel="xet-auth"' in headers["Link"]
    status, headers, body = Peer(hub.cdn_url).ask(headers["Location"])
    assert status == 200 and body == WEIGHTS
    assert hashlib.sha256(WEIGHTS).hexdigest() not in headers["ETag"]


def test_resolve_of_a_plain_file(hub, peer):
    status, headers, _ = peer.ask("/org/m/resolve/main/config.json")
    sha = hub.repos["model", "org/m"].head
    assert status == 307
    assert headers["Location"].startswith(f"/api/resolve-cache/models/org/m/{sha}/config.json?")
    assert "X-Linked-ETag" not in headers
    status, headers, body = peer.ask(headers["Location"])
    oid = hashlib.sha1(b"blob 8\0" + body).hexdigest()
    assert (status, body, headers["ETag"], headers["X-Repo-Commit"]) == (
        200, FILES["config.json"], f'"{oid}"', sha)
    status, headers, _ = peer.ask("/org/m/resolve/main/vocab.txt", If_None_Match='"x"')
    assert status == 307


def test_resolve_that_answers_at_once(hub, peer):
    hub.model("org/gated", {"a.json": b"{}"}, gated=True)
    hub.token("hf_reader", read=["org/gated"])
    status, headers, body = peer.ask("/org/m/resolve/main/empty.txt")
    assert (status, body) == (200, b"")
    assert headers["ETag"] == '"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"'
    status, headers, body = peer.ask("/org/gated/resolve/main/a.json",
                                     Authorization="Bearer hf_reader")
    assert (status, body) == (200, b"{}")
    status, _, body = peer.ask("/org/gated/resolve/main/a.json", Authorization="Bearer hf_reader",
                               If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")


def test_renames_keep_path_and_query(hub, peer):
    hub.rename("old", "org/m")
    hub.rename("a/b", "org/d", kind="dataset")
    for target, location in (
            ("/old/resolve/main/a%20b?x=%2F", "/org/m/resolve/main/a%20b?x=%2F"),
            ("/datasets/a/b/resolve/main/c", "/datasets/org/d/resolve/main/c"),
            ("/api/models/old", "/api/models/org/m"),
            ("/api/models/old/tree/refs%2Fpr%2F1?recursive=true",
             "/api/models/org/m/tree/refs%2Fpr%2F1?recursive=true")):
        status, headers, _ = peer.ask(target)
        assert (status, headers["Location"]) == (307, location)


@pytest.mark.parametrize("asked, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=299990-", 299990, 299999),
    ("bytes=-10", 299990, 299999), ("bytes=299990-999999", 299990, 299999)])
def test_ranges(hub, peer, asked, first, last):
    status, headers, body = Peer(hub.cdn_url).ask(cdn_url(peer), Range=asked)
    assert (status, body) == (206, WEIGHTS[first:last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/300000"


def test_range_beyond_the_end(hub, peer):
    status, headers, _ = Peer(hub.cdn_url).ask(cdn_url(peer), Range="bytes=300000-")
    assert (status, headers["Content-Range"]) == (416, "bytes */300000")


def test_gzip_for_who_accepts_it(hub, peer):
    _, headers, _ = peer.ask("/org/m/resolve/main/vocab.txt")
    where = headers["Location"]
    status, headers, body = peer.ask(where, Accept_Encoding="gzip, deflate")
    assert status == 200 and "Content-Length" not in headers
    assert headers["ETag"].startswith('W/"') and headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == FILES["vocab.txt"]
    _, headers, body = peer.ask(where, Accept_Encoding="identity")
    assert body == FILES["vocab.txt"] and headers["ETag"].startswith('"')
    status, _, body = peer.ask(where, Accept_Encoding="gzip", Range="bytes=0-3")
    assert (status, body) == (206, b"word")


def test_what_signed_urls_refuse(hub, peer):
    url, cdn = cdn_url(peer), Peer(hub.cdn_url)
    assert cdn.ask(url, Authorization="Bearer x")[0] == 400
    assert cdn.ask(url, "HEAD")[0] == 403
    assert cdn.ask(url.replace("Expires=", "Expires=9"))[0] == 403
    assert cdn.ask(url, Range="bytes=0-9")[0] == 206
    hub.expire_urls()
    status, headers, body = cdn.ask(url, Range="bytes=0-9")
    assert status == 403 and headers["Content-Type"] == "application/xml" and b"expired" in body
    assert cdn.ask(cdn_url(peer), Range="bytes=0-9")[0] == 206
    hub.signed_ttl = -10
    assert cdn.ask(cdn_url(peer), Range="bytes=0-9")[0] == 403


def test_files_beyond_the_limit_of_the_cdn(hub, peer):
    huge = Synthetic(300 << 30, seed="huge")
    hub.model("org/huge", {"w.safetensors": lfs(huge, sha256="ab" * 32)})
    url, cdn = cdn_url(peer, "w.safetensors", "org/huge"), Peer(hub.cdn_url)
    status, headers, body = cdn.ask(url)
    assert (status, headers["Content-Type"]) == (400, "text/html") and b"<html>" in body
    for start, length in ((0, 100), (1048583 * 16 - 5, 100_000), ((300 << 30) - 50_000, 50_000)):
        status, headers, body = cdn.ask(url, Range=f"bytes={start}-{start + length - 1}")
        assert status == 206 and body == huge.read(start, start + length) and len(set(body)) > 20
        assert headers["Content-Range"].endswith(f"/{300 << 30}")


def test_synthetic_files_agree_with_their_hash(hub, peer):
    hub.model("org/s", {"w.bin": lfs(Synthetic(20 << 20, seed="s")),
                        "z.bin": lfs(Synthetic(1 << 20, fill="zeros"))})
    for name, size in (("w.bin", 20 << 20), ("z.bin", 1 << 20)):
        _, headers, _ = peer.ask(f"/org/s/resolve/main/{name}")
        body = Peer(hub.cdn_url).ask(headers["Location"])[2]
        assert len(body) == size
        assert headers["X-Linked-ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'


ERRORS = [
    ("/org/none/resolve/main/a", None, 401, "RepoNotFound", None),
    ("/org/none/resolve/main/a", "hf_other", 404, "RepoNotFound", None),
    ("/org/private/resolve/main/a", None, 401, "RepoNotFound", None),
    ("/org/private/resolve/main/a", "hf_other", 404, "RepoNotFound", None),
    ("/org/private/resolve/main/a", "hf_reader", 200, None, None),
    ("/api/models/org/private", None, 401, "RepoNotFound", "Invalid username or password."),
    ("/org/m/resolve/main/config.json", "hf_bad", 401, None,
     "Invalid credentials in Authorization header"),
    ("/api/models/org/m", "hf_bad", 401, None, "Invalid credentials in Authorization header"),
    ("/org/gated/resolve/main/a", None, 401, "GatedRepo", None),
    ("/org/gated/resolve/main/a", "hf_other", 403, "GatedRepo", None),
    ("/org/gated/resolve/main/a", "hf_reader", 200, None, None),
    ("/api/models/org/gated/tree/main", None, 200, None, None),
    ("/org/m/resolve/none/config.json", None, 404, "RevisionNotFound", None),
    ("/api/models/org/m/revision/none", None, 404, "RevisionNotFound", None),
    ("/org/m/resolve/main/none", None, 404, "EntryNotFound", None),
    ("/api/models/org/m/tree/main/none", None, 404, "EntryNotFound", None),
    ("/org/disabled/resolve/main/a", None, 403, None, "Access to this resource is disabled."),
    ("/api/nothing", None, 404, None, None),
]


@pytest.mark.parametrize("target, token, status, code, message", ERRORS)
def test_errors(hub, peer, target, token, status, code, message):
    for name in ("private", "gated", "disabled"):
        hub.model(f"org/{name}", {"a": b"1"}, **{name: True})
    hub.token("hf_reader", read=["org/private", "org/gated"])
    hub.token("hf_other")
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    got, headers, _ = peer.ask(target, **sent)
    assert (got, headers.get("X-Error-Code")) == (status, code)
    assert message is None or headers["X-Error-Message"] == message
    if code == "EntryNotFound":
        assert headers["X-Repo-Commit"] == hub.repos["model", "org/m"].head


def test_pages_of_a_tree(hub, peer):
    target, seen = "/api/models/org/m/tree/main?recursive=true&expand=false", []
    while target:
        status, headers, body = peer.ask(target)
        page = json.loads(body)
        assert status == 200 and len(page) <= 10
        seen += page
        target = headers.get("Link")
        if target:
            url, rel = target.split("; ")
            assert rel == 'rel="next"' and url.startswith(f"<{hub.url}/api/models/org/m/tree/main?")
            target = url.strip("<>")
    assert [e["path"] for e in seen if e["type"] == "file"] == sorted(FILES)
    weights = next(e for e in seen if e["path"] == "dir/model.safetensors")
    pointer = (f"version https://git-lfs.github.com/spec/v1\noid sha256:"
               f"{hashlib.sha256(WEIGHTS).hexdigest()}\nsize {len(WEIGHTS)}\n").encode()
    assert weights["lfs"] == {"oid": hashlib.sha256(WEIGHTS).hexdigest(), "size": len(WEIGHTS),
                              "pointerSize": len(pointer)}
    assert weights["oid"] == hashlib.sha1(b"blob %d\0%s" % (len(pointer), pointer)).hexdigest()
    assert peer.ask("/api/models/org/m/tree/main?cursor=AAAA")[0] == 400


def test_expanded_pages_have_at_most_50_entries(hub, peer):
    hub.page_size = 1000
    hub.model("org/wide", {f"{i}.json": b"" for i in range(60)})
    assert len(json.loads(peer.ask("/api/models/org/wide/tree/main?expand=True")[2])) == 50
    assert len(json.loads(peer.ask("/api/models/org/wide/tree/main")[2])) == 60


def test_limits_are_counted_by_caller_and_bucket(hub, peer):
    hub.token("hf_user")
    hub.limits(api=2, resolvers=1, window=300)
    answers = [peer.ask("/api/models/org/m")[:2] for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert [headers["RateLimit"].rpartition(";")[0] for _, headers in answers] == \
        ['"api";r=1', '"api";r=0', '"api";r=0']
    assert answers[2][1]["RateLimit-Policy"] == '"fixed window";"api";q=2;w=300'
    assert 290 < int(answers[2][1]["RateLimit"].rpartition("t=")[2]) <= 300
    assert peer.ask("/org/m/resolve/main/empty.txt")[0] == 200
    assert peer.ask("/org/m/resolve/main/empty.txt", "HEAD")[0] == 429
    assert peer.ask("/api/models/org/m", Authorization="Bearer hf_user")[0] == 200
    assert Peer(hub.cdn_url).ask("/x")[0] == 404
    hub.limits()
    assert "RateLimit" not in peer.ask("/api/models/org/m")[1]


def test_what_is_recorded(hub, peer):
    hub.clear()
    Peer(hub.cdn_url).ask(cdn_url(peer), Range="bytes=5-9")
    peer.ask("/api/models/org/m", X_Mine="1")
    first, second, third = hub.requests
    assert (first.origin, first.endpoint, first.status, first.repo, first.file, first.bucket) == (
        "hub", "resolve", 302, "org/m", "dir/model.safetensors", "resolvers")
    assert (second.origin, second.file, second.status, second.sent, second.header("Range")) == (
        "cdn", "dir/model.safetensors", 206, 5, "bytes=5-9")
    assert (third.endpoint, third.headers["x-mine"], third.connection) == (
        "info", "1", first.connection)
    assert hub.accepted("hub") == 1 and hub.peak("cdn") == 1


# Faults.

PLACES = {"head": 0, "middle": len(WEIGHTS) // 2, "end": len(WEIGHTS) - 1}


def fetch(hub, timeout=10, ask=None, **headers):
    """What the CDN sends: (status, headers, body, how it ended), and the connection."""
    url = cdn_url(Peer(hub.url))
    peer = Peer(hub.cdn_url, timeout)
    return *peer.ask(ask or url, **headers), peer


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["fin", "rst"])
def test_cut(hub, kind, place):
    hub.fault(kind, origin="cdn", at=place)
    status, headers, body, peer = fetch(hub)
    assert (status, headers["Content-Length"]) == (200, str(len(WEIGHTS)))
    assert body == WEIGHTS[:PLACES[place]]
    assert peer.ending == kind
    assert fetch(hub)[2] == WEIGHTS


@pytest.mark.parametrize("kind", ["fin", "rst", "stall"])
def test_cut_ahead_of_the_answer(hub, kind):
    hub.fault(kind, origin="cdn", at="before")
    status, _, body, peer = fetch(hub, timeout=0.3)
    assert (status, body, peer.ending) == (None, b"", kind)


@pytest.mark.parametrize("place", PLACES)
def test_stall(hub, place):
    hub.fault("stall", origin="cdn", at=place)
    status, _, body, peer = fetch(hub, timeout=0.3)
    assert (status, body, peer.ending) == (200, WEIGHTS[:PLACES[place]], "stall")


def test_stall_that_ends(hub):
    hub.fault("stall", origin="cdn", at="middle", seconds=0.05)
    assert fetch(hub)[2] == WEIGHTS


@pytest.mark.parametrize("place", [0, len(WEIGHTS) // 2, -20])
def test_drip(hub, place):
    hub.fault("drip", origin="cdn", at=place, seconds=0.02)
    end = (place + len(WEIGHTS)) % len(WEIGHTS) + 19
    status, _, body, peer = fetch(hub, Range=f"bytes=0-{end}")
    assert (status, body) == (206, WEIGHTS[:end + 1])
    assert peer.pieces > 3


@pytest.mark.parametrize("place", PLACES)
def test_flip(hub, place):
    hub.fault("flip", origin="cdn", at=place)
    at = PLACES[place]
    body = fetch(hub)[2]
    assert body == WEIGHTS[:at] + bytes([WEIGHTS[at] ^ 1]) + WEIGHTS[at + 1:]


@pytest.mark.parametrize("place", PLACES)
def test_short_and_long(hub, place):
    at = PLACES[place]
    hub.fault("short", origin="cdn", at=place)
    hub.fault("long", origin="cdn", at=place, nth=2, count=3)
    _, headers, body, peer = fetch(hub)
    assert body == WEIGHTS[:at] + WEIGHTS[at + 1:] and peer.ending == "complete"
    assert headers["Content-Length"] == str(len(WEIGHTS) - 1)
    _, headers, body, _ = fetch(hub)
    assert body == WEIGHTS[:at] + b"\xa5" * 3 + WEIGHTS[at:]
    assert headers["Content-Length"] == str(len(WEIGHTS) + 3)


def test_a_place_in_the_file_hits_the_range_with_it(hub):
    fault = hub.fault("flip", origin="cdn", at="middle")
    assert fetch(hub, Range="bytes=0-9")[2] == WEIGHTS[:10]
    assert fault.seen == 0
    at = len(WEIGHTS) // 2
    body = fetch(hub, Range=f"bytes={at - 1}-{at + 1}")[2]
    assert body == bytes([WEIGHTS[at - 1], WEIGHTS[at] ^ 1, WEIGHTS[at + 1]])
    hub.fault("flip", origin="cdn", at="middle", of="body")
    body = fetch(hub, Range="bytes=10-12")[2]
    assert body == bytes([WEIGHTS[10], WEIGHTS[11] ^ 1, WEIGHTS[12]])


def test_nth_and_times(hub):
    hub.fault("status", origin="cdn", nth=2, times=2)
    hub.fault("status", origin="cdn", nth=5, times=None, status=500)
    assert [fetch(hub)[0] for _ in range(6)] == [200, 503, 503, 200, 500, 500]
    hub.heal()
    assert fetch(hub)[0] == 200


def test_ranges_gone_wrong(hub):
    hub.fault("content_range", origin="cdn")
    hub.fault("content_range", origin="cdn", nth=2, value=None)
    hub.fault("ignore_range", origin="cdn", nth=3)
    status, headers, body, _ = fetch(hub, Range="bytes=10-19")
    assert (status, headers["Content-Range"], body) == (206, "bytes 11-20/300000", WEIGHTS[10:20])
    status, headers, body, _ = fetch(hub, Range="bytes=10-19")
    assert (status, body) == (206, WEIGHTS[10:20]) and "Content-Range" not in headers
    status, headers, body, _ = fetch(hub, Range="bytes=10-19")
    assert (status, body) == (200, WEIGHTS) and "Content-Range" not in headers


def test_statuses(hub, peer):
    hub.fault("429", endpoint="info", wait="ratelimit", seconds=7)
    hub.fault("429", endpoint="info", nth=2, wait="retry-after", seconds=8)
    hub.fault("429", endpoint="info", nth=3, wait="date", seconds=9)
    hub.fault("429", endpoint="info", nth=4, wait=None)
    hub.fault("status", endpoint="info", nth=5, status=502, headers={"Retry-After": "3"},
              body=b"<h1>")
    hub.fault("expired", endpoint="info", nth=6)
    hub.fault("html", endpoint="info", nth=7)
    got = [peer.ask("/api/models/org/m") for _ in range(8)]
    assert [status for status, _, _ in got] == [429] * 4 + [502, 403, 200, 200]
    assert got[0][1]["RateLimit"].endswith("r=0;t=7") and "Retry-After" not in got[0][1]
    assert got[1][1]["Retry-After"] == "8" and "RateLimit" not in got[1][1]
    assert got[2][1]["Retry-After"].endswith(" GMT")
    assert not {"RateLimit", "Retry-After"} & got[3][1].keys()
    assert (got[4][1]["Retry-After"], got[4][2]) == ("3", b"<h1>")
    assert b"Request has expired" in got[5][2]
    assert got[6][1]["Content-Type"].startswith("text/html") and b"<html>" in got[6][2]


def test_redirects_gone_wrong(hub, peer):
    hub.fault("redirect_loop", endpoint="resolve")
    hub.fault("redirect_loop", endpoint="resolve", nth=2, grow=True)
    hub.fault("redirect", endpoint="resolve", nth=3, location="http://other.example/x", status=301)
    target = "/org/m/resolve/main/config.json"
    got = [peer.ask(target)[:2] for _ in range(3)]
    assert [status for status, _ in got] == [302, 302, 301]
    assert got[0][1]["Location"] == target
    assert got[1][1]["Location"].startswith(target + "?hop=")
    assert got[2][1]["Location"] == "http://other.example/x"


def tree_page(peer, query="recursive=true"):
    status, headers, body = peer.ask(f"/api/models/org/m/tree/main?{query}")
    assert status == 200
    return headers, json.loads(body)


def test_trees_gone_wrong(hub, peer):
    right = tree_page(peer)[1]
    hub.fault("tree_loop", endpoint="tree")
    hub.fault("tree_elsewhere", endpoint="tree", nth=2)
    hub.fault("tree_elsewhere", endpoint="tree", nth=3, url="https://other.example/tree")
    hub.fault("tree_twice", endpoint="tree", nth=4, path="config.json")
    hub.fault("tree_size", endpoint="tree", nth=5, path="config.json", value=9)
    hub.fault("tree_oid", endpoint="tree", nth=6, path="config.json")
    hub.fault("tree_sha256", endpoint="tree", nth=7)
    hub.fault("edit", endpoint="tree", nth=8, edit=lambda page: {"error": "not a list"})
    hub.fault("edit", endpoint="tree", nth=9, edit=lambda page: page.clear())
    assert tree_page(peer)[0]["Link"] == \
        f'<{hub.url}/api/models/org/m/tree/main?recursive=true>; rel="next"'
    assert tree_page(peer)[0]["Link"].startswith(f"<{hub.cdn_url}/")
    assert tree_page(peer)[0]["Link"] == '<https://other.example/tree>; rel="next"'
    page = tree_page(peer)[1]
    assert page[:-1] == right and page[-1]["path"] == "config.json"
    assert next(e for e in tree_page(peer)[1] if e["path"] == "config.json")["size"] == 9
    assert next(e for e in tree_page(peer)[1] if e["path"] == "config.json")["oid"] == "0" * 40
    assert next(e for e in tree_page(peer)[1] if "lfs" in e)["lfs"]["oid"] == "0" * 64
    assert tree_page(peer)[1] == {"error": "not a list"}
    assert tree_page(peer)[1] == []
    assert tree_page(peer)[1] == right


def test_json_gone_wrong(hub, peer):
    hub.fault("no_sha", endpoint="info")
    hub.fault("garbage", endpoint="info", nth=2)
    hub.fault("no_commit", endpoint="resolve")
    hub.fault("headers", endpoint="resolve", nth=2, set={"X-Linked-Size": "1", "Location": None})
    info = json.loads(peer.ask("/api/models/org/m")[2])
    assert "sha" not in info and info["id"] == "org/m"
    status, headers, body = peer.ask("/api/models/org/m")
    assert status == 200 and int(headers["Content-Length"]) == len(body) > 10
    with pytest.raises(ValueError):
        json.loads(body)
    assert "X-Repo-Commit" not in peer.ask("/org/m/resolve/main/empty.txt")[1]
    headers = peer.ask("/org/m/resolve/main/dir/model.safetensors")[1]
    assert headers["X-Linked-Size"] == "1" and "Location" not in headers


def test_main_moves_between_two_requests(hub, peer):
    repo = hub.repos["model", "org/m"]
    first = repo.head
    hub.after(1, lambda: repo.commit({"config.json": b"moved"}))
    assert json.loads(peer.ask("/api/models/org/m")[2])["sha"] == first
    assert json.loads(peer.ask("/api/models/org/m")[2])["sha"] == repo.head != first
    assert peer.ask(f"/org/m/resolve/{first}/config.json")[1]["Location"].startswith(
        f"/api/resolve-cache/models/org/m/{first}/")


def test_lies_and_hostile_names(hub, peer):
    names = ["../up", "/etc/passwd", "a/../b", "a//b", "nul\0name", "x" * 2000, "a\\b", "."]
    hub.model("org/bad", {**{name: b"1" for name in names},
                          "wrong.bin": lfs(b"content", sha256="12" * 32),
                          "size.txt": plain(b"content", size=9, oid="34" * 20)})
    hub.page_size = 1000
    entries = {e["path"]: e for e in
               json.loads(peer.ask("/api/models/org/bad/tree/main?recursive=true")[2])}
    assert set(names) <= entries.keys()
    assert entries["wrong.bin"]["lfs"]["oid"] == "12" * 32
    assert (entries["size.txt"]["size"], entries["size.txt"]["oid"]) == (9, "34" * 20)
    _, headers, _ = peer.ask("/org/bad/resolve/main/wrong.bin")
    assert headers["X-Linked-ETag"] == f'"{"12" * 32}"'
    assert Peer(hub.cdn_url).ask(headers["Location"])[2] == b"content"
    assert peer.ask("/org/bad/resolve/main/%2e%2e/up")[0] == 307


def test_answers_that_come_late(hub):
    hub.fault("delay", origin="cdn", seconds=0.01)
    hub.fault("delay", origin="cdn", nth=2, seconds=3600)
    assert fetch(hub)[0] == 200
    status, _, _, peer = fetch(hub, timeout=0.3)
    assert (status, peer.ending) == (None, "stall")


def test_what_the_live_hub_may_do_either_way(hub, peer):
    hub.redirect_metadata = hub.cdn_head = True
    hub.repo_code = hub.xet = False
    _, headers, _ = peer.ask("/org/m/resolve/main/config.json")
    assert headers["X-Linked-Size"] == "8" and headers["X-Repo-Commit"]
    status, headers, _ = peer.ask("/org/none/resolve/main/a")
    assert status == 401 and "X-Error-Code" not in headers
    url = cdn_url(peer)
    assert Peer(hub.cdn_url).ask(url, "HEAD")[0] == 200
    _, headers, body = peer.ask("/org/m/resolve/main/dir/model.safetensors")
    assert "X-Xet-Hash" not in headers and "Link" not in headers
    assert b"xetHash" not in peer.ask("/api/models/org/m/tree/main/dir")[2]


def test_the_end_waits_for_nobody():
    with HubServer() as hub:
        hub.model("org/m", FILES)
        hub.fault("stall", origin="cdn", times=None)
        peers = [fetch(hub, timeout=0.1)[3] for _ in range(3)]
        assert [peer.ending for peer in peers] == ["stall"] * 3
    for peer in peers:
        peer.sock.settimeout(10)
        assert not peer.more() and peer.ending in ("fin", "rst")


def test_a_fault_of_ones_own(hub, peer):
    def teapot(request, response):
        response.status = 418
        return response
    hub.fault(teapot, match=lambda request: request.header("user-agent") == "x", times=None)
    assert peer.ask("/api/models/org/m")[0] == 200
    assert peer.ask("/api/models/org/m", User_Agent="x")[0] == 418
    with pytest.raises(ValueError, match="no such kind"):
        hub.fault("flop")


def test_a_mistake_in_the_server_is_not_hidden():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        with HubServer() as hub:
            hub.after(1, lambda: 1 / 0)
            assert Peer(hub.url).ask("/")[0] is None


def test_https(tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    with HubServer(tls=context) as hub:
        hub.model("org/m", FILES)
        peer = Peer(hub.url, tls=ssl.create_default_context(cafile=cert))
        assert hub.url.startswith("https://") and hub.cdn_url.startswith("http://")
        url = cdn_url(peer)
        assert Peer(hub.cdn_url).ask(url)[2] == WEIGHTS


def post(url, value=None):
    data = json.dumps(value or {}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as answer:
        return json.load(answer)


def test_as_a_program(tmp_path):
    for name, data in (("models/org/m/config.json", b"{}"), ("datasets/org/d/a.csv", b"1"),
                       ("models/org/m/d/w.safetensors", WEIGHTS)):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with subprocess.Popen([sys.executable, REPO / "tests/servers/hub.py",
                           "--root", tmp_path / "root",
                           "--synthetic", f"org/huge:w.bin:{1 << 40}:{'ab' * 32}",
                           "--limit", "pages=1", "--log", tmp_path / "log"],
                          stdout=subprocess.PIPE, text=True) as child:
        try:
            url = child.stdout.readline().strip()
            peer = Peer(url)
            post(url + "/-/fault", {"kind": "flip", "at": "head", "origin": "cdn"})
            where = cdn_url(peer, "d/w.safetensors")
            assert Peer(where).ask(where)[2] == bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
            assert Peer(where).ask(where)[2] == WEIGHTS
            assert json.loads(peer.ask("/api/datasets/org/d")[2])["id"] == "org/d"
            assert json.loads(peer.ask("/api/models/org/huge/tree/main")[2])[0]["size"] == 1 << 40
            assert [peer.ask("/")[0], peer.ask("/")[0]] == [200, 429]
            assert post(url + "/-/requests")["origin"] == {"hub": 5, "cdn": 2}
            assert post(url + "/-/clear")["requests"] == 0
        finally:
            child.terminate()
        assert child.wait(10) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["origin"] for line in lines].count("cdn") == 2
