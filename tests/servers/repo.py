"""Repositories of the Hub server: files, commits, branches and tags.

    repo = Repo("model", "org/name")
    first = repo.commit({"config.json": b"{}", "model.safetensors": lfs(Synthetic(1 << 30))})
    repo.commit({"README.md": "# more"}, remove=["config.json"])      # moves main
    repo.tag("v1", first)
    repo.move("main", first)                                         # back again

A commit never changes; a name that points to one is replaced in one step, so no lock is needed.
Names are not checked: a test may well want a file called "../x".
"""
import concurrent.futures
import functools
import hashlib
import itertools
import os
import pathlib

from content import content, digest

# As in the .gitattributes that the Hub gives to a new repository.
LFS_SUFFIXES = (".bin", ".safetensors", ".pt", ".pth", ".onnx", ".gguf", ".h5", ".msgpack",
                ".parquet", ".arrow", ".npz", ".npy", ".tar", ".gz", ".zip", ".model")
LFS_SIZE = 10 << 20
TEXT = {".json": "application/json", ".txt": "text/plain; charset=utf-8",
        ".md": "text/plain; charset=utf-8", ".py": "text/plain; charset=utf-8",
        ".jinja": "text/plain; charset=utf-8", ".yaml": "text/plain; charset=utf-8"}


class File:
    """One version of a file. `size`, `sha256` and `oid` are what the Hub says of it: the truth,
    unless they are given: for a lie, or the sha256 of a large synthetic file for speed."""

    numbers = itertools.count(1)

    def __init__(self, source, lfs=None, size=None, sha256=None, oid=None):
        self.content = content(source)
        self.lfs = lfs
        self.number = next(self.numbers)
        self.size = self.content.size if size is None else size
        self._sha256, self._oid = sha256, oid

    def placed_at(self, path):
        """Decides by the name, as the Hub's .gitattributes do, if nobody has decided yet."""
        if self.lfs is None:
            self.lfs = self.content.size > 0 and (
                path.endswith(LFS_SUFFIXES) or self.content.size >= LFS_SIZE)
        return self

    @functools.cached_property
    def sha256(self):
        return self._sha256 or digest(self.content, hashlib.sha256())

    @property
    def pointer(self):
        return (f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
                f"size {self.size}\n").encode()

    @functools.cached_property
    def oid(self):
        """git's name for the blob; of an LFS file that is its pointer."""
        if self._oid:
            return self._oid
        blob = content(self.pointer) if self.lfs else self.content
        return digest(blob, hashlib.sha1(b"blob %d\0" % blob.size))

    @property
    def etag(self):
        return self.sha256 if self.lfs else self.oid

    @functools.cached_property
    def xet(self):
        """Looks like a xet hash; nothing can be verified with the real ones either."""
        return hashlib.sha256(b"xet" + self.sha256.encode()).hexdigest()


def lfs(source, **says):
    return File(source, lfs=True, **says)


def plain(source, **says):
    return File(source, lfs=False, **says)


def text_type(path):
    """The content type of a text file, None of anything else."""
    return TEXT.get(os.path.splitext(path)[1])


def hash_all(files):
    """Ahead of the first request, so that no client waits for it; several at a time if large."""
    if sum(file.content.size for file in files) < 1 << 26:
        return
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda file: (file.etag, file.oid), files))


class Commit:
    def __init__(self, parent, files, title):
        self.parent, self.files, self.title = parent, files, title
        state = hashlib.sha1(f"{parent}\0{title}\0".encode())
        for path in sorted(files):
            state.update(f"{path!r} {files[path].oid}\n".encode())
        self.sha = state.hexdigest()
        self.date = "2025-01-02T03:04:05.000Z"

    @functools.cached_property
    def tree(self):
        """Files and the directories above them by name: [(path, File or None)]."""
        entries = dict(self.files)
        for path in self.files:
            above = path
            while "/" in above.strip("/"):
                above = above.rpartition("/")[0]
                entries.setdefault(above, None)
        return sorted(entries.items())

    def below(self, folder, recursive):
        """The tree's entries below a folder ("" is the top), None if there is no such folder."""
        if not folder:
            found = self.tree
        elif folder in self.files or not any(path == folder for path, _ in self.tree):
            return None
        else:
            found = [entry for entry in self.tree if entry[0].startswith(folder + "/")]
        if recursive:
            return found
        depth = len(folder) + 1 if folder else 0
        return [entry for entry in found if "/" not in entry[0][depth:]]


class Repo:
    def __init__(self, kind, name, private=False, gated=False, disabled=False):
        if kind not in ("model", "dataset", "space"):
            raise ValueError(f"no such kind of repository: {kind}")
        self.kind, self.id = kind, name
        self.private, self.disabled = private, disabled
        self.gated = "auto" if gated is True else gated
        self.commits = {}
        self.refs = {}

    def commit(self, files, branch="main", remove=(), title="Upload files"):
        """A commit on top of the branch, which it moves; returns its sha."""
        ref = self.ref(branch, "refs/heads/")
        parent = self.commits.get(self.refs.get(ref))
        kept = {} if parent is None else {path: file for path, file in parent.files.items()
                                          if path not in remove}
        for path, value in files.items():
            file = value if isinstance(value, File) else File(value)
            kept[path] = file.placed_at(path)
        hash_all(kept.values())
        made = Commit(parent and parent.sha, kept, title)
        self.commits = {**self.commits, made.sha: made}
        self.refs = {**self.refs, ref: made.sha}
        return made.sha

    @staticmethod
    def ref(name, where):
        return name if name.startswith("refs/") else where + name

    def move(self, branch, sha):
        """Makes a branch, or a full name like refs/pr/1, point to a commit."""
        if sha not in self.commits:
            raise KeyError(sha)
        self.refs = {**self.refs, self.ref(branch, "refs/heads/"): sha}

    def tag(self, name, sha=None):
        self.move("refs/tags/" + name, sha or self.head)

    @property
    def head(self):
        return self.refs.get("refs/heads/main")

    def find(self, revision):
        """The commit that a branch, tag, full reference or sha means, or None."""
        refs = self.refs
        for name in ("refs/heads/" + revision, "refs/tags/" + revision, revision):
            if name in refs:
                return self.commits[refs[name]]
        return self.commits.get(revision)

    def load(self, folder, branch="main"):
        """A commit of everything below a folder on disk."""
        files = {}
        for above, folders, names in os.walk(folder):
            folders.sort()
            for name in names:
                path = pathlib.Path(above, name)
                files[str(path.relative_to(folder))] = File(path)
        return self.commit(files, branch)
