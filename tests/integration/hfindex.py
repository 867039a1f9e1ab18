"""The bucket index (docs/index-format.md) and buckets in a folder, written and read independently of lib/.

    b = Bucket(tmp_path / "bucket")                       file:///... in b.url
    b.put(key, bytes)                                     an object without metadata
    b.repo("models--a--b").snapshot(commit, {path: bytes}, ref="main")    files, tree, ref
    b.publish()                                           an index of all that is there
    Index.parse(text) / index.text()                      refuse and write what the format says
"""
import hashlib
import json
import os
from pathlib import Path

KEY = ".hfcache/index"
MAGIC = b"hfcache-index 1\n"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def encode(text):
    return "".join(f"%{ord(c):02X}" if ord(c) < 0x21 or c in "\x7f%" else c for c in text)


def decode(text):
    out, at = "", 0
    while at < len(text):
        if text[at] == "%":
            c = chr(int(text[at + 1:at + 3], 16))
            if encode(c) != text[at:at + 3]:
                raise ValueError(f"needless escape in {text}")
            out, at = out + c, at + 3
        else:
            out, at = out + text[at], at + 1
    return out


def by_bytes(key):
    return key.encode()


class Index:
    """snapshots {(repo, commit): filter or None}, objects {key: (size, etag, sha256, git)}, refs {key: commit}"""

    def __init__(self):
        self.snapshots, self.objects, self.refs = {}, {}, {}

    def text(self):
        lines = [MAGIC]
        for (repo, commit), chosen in sorted(self.snapshots.items()):
            lines.append(f"snapshot {encode(repo)} {commit} {chosen or '-'}\n".encode())
        for key in sorted([*self.objects, *self.refs], key=by_bytes):
            if key in self.refs:
                lines.append(f"ref {self.refs[key]} {encode(key)}\n".encode())
            else:
                size, etag, digest, git = self.objects[key]
                lines.append(f"object {size} {encode(etag)} {digest or '-'} {git or '-'} {encode(key)}\n".encode())
        body = b"".join(lines)
        return body + f"end {len(lines)} {sha256(body)}\n".encode()

    @classmethod
    def parse(cls, text):
        index = cls()
        lines = text.split(b"\n")
        assert lines.pop() == b"" and lines[0] + b"\n" == MAGIC
        word, count, digest = lines.pop().decode().split(" ")
        body = b"".join(line + b"\n" for line in lines)
        assert (word, int(count), digest) == ("end", len(lines), sha256(body))
        seen = []
        for line in lines[1:]:
            word, *fields = line.decode().split(" ")
            if word == "snapshot":
                assert not seen
                index.snapshots[decode(fields[0]), fields[1]] = None if fields[2] == "-" else fields[2]
            elif word == "object":
                size, etag, digest, git, key = fields
                index.objects[decode(key)] = (int(size), decode(etag), None if digest == "-" else digest,
                                              None if git == "-" else git)
                seen.append(decode(key))
            elif word == "ref":
                index.refs[decode(fields[1])] = fields[0]
                seen.append(decode(fields[1]))
        assert seen == sorted(set(seen), key=by_bytes)
        assert list(index.snapshots) == sorted(set(index.snapshots))
        return index


class Repo:
    def __init__(self, bucket, folder):
        self.bucket, self.folder = bucket, f"hub/{folder}"
        self.name = folder

    def file(self, commit, path):
        return f"{self.folder}/snapshots/{commit}/{path}"

    def tree(self, commit):
        return f"{self.folder}/trees/{commit}.json"

    def snapshot(self, commit, files, ref=None, tree=True, complete=True):
        """`files` {path: bytes}; those named *.safetensors count as LFS."""
        for path, data in files.items():
            self.bucket.put(self.file(commit, path), data)
        if tree:
            self.put_tree(commit, files)
        if complete:
            self.bucket.snapshots.add((self.name, commit))
        if ref:
            self.ref(ref, commit)
        return self

    def put_tree(self, commit, files):
        self.bucket.put(self.tree(commit), json.dumps({"format_version": 1, "files": {
            path: self.tree_entry(path, data) for path, data in files.items()}}).encode())

    @staticmethod
    def tree_entry(path, data):
        entry = {"size": len(data), "blob_id": git_sha1(data)}
        if path.endswith(".safetensors"):
            entry |= {"blob_id": git_sha1(b"pointer"), "lfs_sha256": sha256(data), "lfs_size": len(data)}
        return entry

    def ref(self, name, commit):
        self.bucket.put(f"{self.folder}/refs/{name}", commit.encode())


class Bucket:
    """A folder as hfcache-refresh keeps it behind file://."""

    def __init__(self, root):
        self.root = Path(root)
        self.root.mkdir()
        self.snapshots = set()

    @property
    def url(self):
        return f"file://{self.root}"

    def repo(self, folder):
        return Repo(self, folder)

    def path(self, key):
        return self.root / key

    def put(self, key, data):
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def keys(self):
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*")
                      if p.is_file() and not str(p.relative_to(self.root)).startswith(".hfcache"))

    def etag(self, key):
        st = self.path(key).stat()
        return f"{st.st_ino:x}.{st.st_size:x}.{st.st_mtime_ns:x}"

    def spoil(self, key, data):
        """Other bytes of the same length, and the time that was: nothing but the content shows it."""
        path = self.path(key)
        st = path.stat()
        assert len(data) == st.st_size
        with open(path, "r+b") as stream:
            stream.write(data)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))

    def index(self):
        index = Index()
        index.snapshots = {pair: None for pair in self.snapshots}
        for key in self.keys():
            data = self.path(key).read_bytes()
            if "/refs/" in key and len(data) == 40:
                index.refs[key] = data.decode()
            else:
                index.objects[key] = (len(data), self.etag(key), sha256(data), git_sha1(data))
        return index

    def publish(self, index=None):
        self.put(KEY, (index or self.index()).text())

    def published(self):
        return Index.parse(self.path(KEY).read_bytes())
