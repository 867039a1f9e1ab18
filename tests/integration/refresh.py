"""Running hfcache-refresh in tests, and looking at what it has made."""
import hashlib
import json
import os
import re
import signal
import subprocess
import urllib.parse
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
REFRESH = os.path.abspath(os.environ.get("HFCACHE_REFRESH", REPO / "build/bin/hfcache-refresh"))
GEN = os.path.abspath(os.environ.get("HFCACHE_GEN", REPO / "build/bin/hfcache-gen"))

# What the caller's environment must not decide.
CLEAN = {k: v for k, v in os.environ.items()
         if not k.upper().startswith(("AWS_", "HF_", "HUGGING", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
                                      "CLUSTERS_", "OSDC_"))}
# Quick retries are not an option of the program, so tests keep the number of failures small.
TIMEOUT = int(os.environ.get("HFCACHE_TEST_TIMEOUT", "240"))


class Result:
    def __init__(self, status, out, err):
        self.rc, self.out, self.err = status, out, err

    def __repr__(self):
        return f"exit {self.rc}\n{self.out[-3000:]}\n{self.err[-6000:]}"


def environment(hub=None, s3=None, **more):
    env = {**CLEAN, "HOME": "/nonexistent", "HFCACHE_GEN": GEN, "AWS_EC2_METADATA_DISABLED": "true"}
    if hub is not None:
        env["HF_ENDPOINT"] = hub.url
    if s3 is not None:
        env.update(s3 if isinstance(s3, dict) else s3.env)
    env.update({key: str(value) for key, value in more.items()})
    return env


def start(*args, env):
    return subprocess.Popen([REFRESH, *map(str, args)], env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait(child, timeout=TIMEOUT):
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        out, err = child.communicate()
        raise AssertionError(f"hung: {err[-4000:]}") from None
    # A sanitizer's report, an assertion: never a way to end.
    assert child.returncode in (0, 1, 2, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT), \
        f"status {child.returncode}\n{err[-6000:]}"
    assert "Sanitizer" not in err, err[-6000:]
    return Result(child.returncode, out, err)


def refresh(*args, env):
    return wait(start(*args, env=env))


def folder(model):
    kind, name = ("datasets", model.removeprefix("datasets/")) if model.startswith("datasets/") \
        else ("models", model)
    return f"{kind}--{name.replace('/', '--')}"


class Bucket:
    """What is in a bucket of a server, or in a directory."""

    def __init__(self, url, server=None):
        self.url, self.server = url, server
        self.root = Path(url.removeprefix("file://")) if url.startswith("file://") else None
        self.name = url.removeprefix("s3://")

    def objects(self):
        if self.root is None:
            return self.server.objects(self.name)
        return {str(path.relative_to(self.root)): path.read_bytes()
                for path in sorted(self.root.rglob("*"))
                if path.is_file() and ".hfcache-uploads" not in path.parts}

    def keys(self):
        if self.root is None:
            return set(self.server.keys(self.name))
        return set(self.objects())

    def uploads(self):
        if self.root is None:
            return self.server.uploads(self.name)
        uploads = self.root / ".hfcache-uploads"
        return [path.name for path in uploads.iterdir() if path.is_dir()] if uploads.exists() else []


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def check_bucket(objects, whole=()):
    """No ref names anything incomplete, no name has other bytes than its tree or the index says.
    `whole`: models that must be there, as {name: {path: bytes}} or names."""
    refs = {key: data for key, data in objects.items() if "/refs/" in key}
    for key, data in refs.items():
        assert re.fullmatch(rb"[0-9a-f]{40}", data), (key, data)
        repo, commit = key.split("/refs/")[0], data.decode()
        tree = json.loads(objects[f"{repo}/trees/{commit}.json"])
        assert tree["format_version"] == 1 and tree["files"], key
        for path, told in tree["files"].items():
            body = objects.get(f"{repo}/snapshots/{commit}/{path}")
            assert body is not None, f"{key} names a snapshot without {path}"
            assert len(body) == told["size"], path
            if "lfs_sha256" in told:
                assert hashlib.sha256(body).hexdigest() == told["lfs_sha256"], path
            else:
                assert git_sha1(body) == told["blob_id"], path
    check_index(objects)
    for model in whole:
        check_model(objects, model, whole[model] if isinstance(whole, dict) else None)


def check_model(objects, model, files, ref="main"):
    repo = f"hub/{folder(model)}"
    commit = objects[f"{repo}/refs/{ref}"].decode()
    prefix = f"{repo}/snapshots/{commit}/"
    have = {key.removeprefix(prefix): data for key, data in objects.items()
            if key.startswith(prefix)}
    assert have
    if files is not None:
        assert have == {path: data if isinstance(data, bytes) else data.encode()
                        for path, data in files.items()}


def index_lines(objects):
    text = objects.get(".hfcache/index", b"").decode()
    if not text:
        return None
    lines = text.splitlines()
    assert lines[0] == "hfcache-index 1"
    body = text[:text.rindex("end ")]
    word, count, sha = lines[-1].split(" ")
    assert word == "end" and int(count) == len(lines) - 1
    assert sha == hashlib.sha256(body.encode()).hexdigest()
    return [[*line.split(" ")[:-1], urllib.parse.unquote(line.split(" ")[-1])]
            for line in lines[1:-1]]


def check_index(objects):
    """Whatever the index lists is there with these bytes."""
    for words in index_lines(objects) or []:
        if words[0] == "object":
            _, size, _, sha256, sha1, key = words
            body = objects.get(key)
            assert body is not None, f"the index lists {key}, which is not there"
            assert len(body) == int(size), key
            assert sha256 == "-" or hashlib.sha256(body).hexdigest() == sha256, key
            assert sha1 == "-" or git_sha1(body) == sha1, key
        elif words[0] == "ref":
            _, commit, key = words
            repo = key.split("/refs/")[0]
            assert any(k.startswith(f"{repo}/snapshots/{commit}/") for k in objects), key
