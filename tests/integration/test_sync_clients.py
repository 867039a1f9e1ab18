"""The published bucket as the cache of real clients: huggingface_hub, current and 0.26, and
safetensors, offline, with HF_HOME on a directory that can't be written.

The directory is a file:// bucket, or what a bucket of S3 holds, copied out object by object.
"""
import json
import os
import struct
import subprocess
import sys

import pytest

from refresh import Bucket, environment, refresh
from servers import REPO, TOOLS, HubServer, Versitygw, lfs

OLD = REPO / "build/venv-hub026/bin/python"
CLIENT = """
import json, os, pathlib, sys
import huggingface_hub
from huggingface_hub import *
def tree(folder):
    return {os.path.relpath(os.path.join(d, f), folder):
            pathlib.Path(d, f).read_bytes().hex() for d, _, names in os.walk(folder) for f in names}
def text(path):
    return pathlib.Path(path).read_text()
def scan():
    info = scan_cache_dir()
    return {"warnings": [str(w) for w in info.warnings],
            "repos": sorted((r.repo_type, r.repo_id, r.size_on_disk,
                             sorted((v.commit_hash, sorted(v.refs), len(v.files))
                                    for v in r.revisions)) for r in info.repos)}
def tensors(path):
    from safetensors import safe_open
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name).tolist() for name in file.keys()}
results = []
for expression in json.load(sys.stdin):
    try:
        results.append({"value": eval(expression)})
    except Exception as error:
        results.append({"error": type(error).__name__, "text": str(error)})
json.dump(results, sys.stdout)
"""
# A read-only bind mount stops root as well.
SEALED = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def safetensors_file(tensors):
    """The format by hand: a length, a header of JSON, the values."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": [len(values)],
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


TENSORS = [{"a.weight": [1.0, 2.5, -3.0], "b": [0.5] * 1000}, {"c": [float(i) for i in range(7)]}]
FIRST = {"config.json": b'{"model_type": "none", "v": 1}', "sub/dir/vocab +%.txt": b"a\nb\n",
         "empty.txt": b"", "model-00001-of-00002.safetensors": safetensors_file(TENSORS[0]),
         "model-00002-of-00002.safetensors": safetensors_file(TENSORS[1])}
SECOND = {**FIRST, "config.json": b'{"model_type": "none", "v": 2}'}
DATA = {"data/train.parquet": lfs(b"PAR1" + bytes(1000)), "README.md": b"# data"}


class Cache:
    def __init__(self, folder, commits):
        self.folder, self.commits = folder, commits

    def ask(self, python, *expressions, offline="1"):
        env = {"PATH": os.environ["PATH"], "HF_HOME": str(self.folder), "HF_HUB_OFFLINE": offline,
               "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
               "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1",
               # Nothing listens there: who asks the network all the same, fails.
               "HF_ENDPOINT": "http://127.0.0.1:9"}
        argv = self.argv(python, CLIENT)
        done = subprocess.run([str(arg) for arg in argv], input=json.dumps(expressions), env=env,
                              capture_output=True, text=True, timeout=120, check=False)
        if os.geteuid() == 0 and "mount" in done.stderr and not done.stdout:
            pytest.skip(f"no read-only mount here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr, done.stderr
        return json.loads(done.stdout)

    def argv(self, python, client):
        argv = [python, "-c", client]
        return ["unshare", "-m", "sh", "-c", SEALED, self.folder, *argv] if os.geteuid() == 0 else argv

    def values(self, python, *expressions):
        answers = self.ask(python, *expressions)
        for expression, answer in zip(expressions, answers):
            assert "value" in answer, (expression, answer)
        return [answer["value"] for answer in answers]


def publish(hub, url, env):
    """Two revisions of a model with a tag and a branch, part of another one, and a dataset."""
    repo = hub.model("org/name", FIRST)
    repo.tag("v1.0")
    first = repo.head
    done = refresh("sync", "org/name", "--to", url, env=env)
    assert done.rc == 0, done
    second = repo.commit({"config.json": SECOND["config.json"]})
    repo.move("feature/x", first)
    part = hub.model("org/part", {"config.json": b"{}", "w.bin": b"not wanted", "a.txt": b"a"})
    hub.dataset("org/data", DATA)
    done = refresh("sync", "org/name", "org/name@v1.0", "org/name@feature/x", "--to", url, env=env)
    assert done.rc == 0, done
    models = hub_list(env, "org/part ignore=*.bin\norg/data kind=dataset\n")
    done = refresh("sync", "--models", models, "--to", url, env=env)
    assert done.rc == 0, done
    return {"first": first, "second": second, "part": part.head}


def hub_list(env, text):
    path = env["MODELS_TXT"]
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.fixture(scope="module", params=["file", "s3"])
def cache(request, tmp_path_factory):
    tmp = tmp_path_factory.mktemp("cache")
    folder = tmp / "bucket"
    with HubServer() as hub:
        if request.param == "file":
            commits = publish(hub, f"file://{folder}", environment(hub, MODELS_TXT=tmp / "m.txt"))
        else:
            with Versitygw(tmp) as s3:
                bucket = Bucket(s3.make_bucket("clients"), s3)
                commits = publish(hub, bucket.url, environment(hub, s3, MODELS_TXT=tmp / "m.txt"))
                for key, data in bucket.objects().items():
                    (folder / key).parent.mkdir(parents=True, exist_ok=True)
                    (folder / key).write_bytes(data)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    yield Cache(folder, commits)
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(0o755)


@pytest.fixture(params=["current", "0.26"])
def python(request):
    if request.param == "current":
        return sys.executable
    if not OLD.exists():
        reason = TOOLS / "venv-hub026.reason"
        pytest.skip(reason.read_text().strip() if reason.exists() else "no build/venv-hub026")
    return OLD


def hexed(files):
    return {path: data.hex() for path, data in files.items()}


def test_snapshots(cache, python):
    """By branch, tag, commit, and with patterns."""
    first, second = cache.commits["first"], cache.commits["second"]
    names = ["", ", revision='main'", f", revision='{second}'", f", revision='{first}'",
             ", revision='v1.0'", ", revision='feature/x'"]
    got = cache.values(python, *(f"tree(snapshot_download('org/name'{name}))" for name in names))
    assert got == [hexed(SECOND)] * 3 + [hexed(FIRST)] * 3
    folder, same = cache.values(python, "snapshot_download('org/name')",
                                "snapshot_download('org/name', allow_patterns=['*.json'])")
    assert folder == same == f"{cache.folder}/hub/models--org--name/snapshots/{second}"
    part, data = cache.values(
        python, "tree(snapshot_download('org/part', ignore_patterns=['*.bin']))",
        "sorted(tree(snapshot_download('org/data', repo_type='dataset')))")
    assert part == hexed({"config.json": b"{}", "a.txt": b"a"})
    assert data == ["README.md", "data/train.parquet"]


def test_single_files(cache, python):
    first = cache.commits["first"]
    config, old, vocab, sub, empty, data = cache.values(
        python, "text(hf_hub_download('org/name', 'config.json'))",
        f"text(hf_hub_download('org/name', 'config.json', revision='{first}'))",
        "text(hf_hub_download('org/name', 'sub/dir/vocab +%.txt'))",
        "text(hf_hub_download('org/name', 'vocab +%.txt', subfolder='sub/dir'))",
        "text(hf_hub_download('org/name', 'empty.txt'))",
        "text(hf_hub_download('org/data', 'README.md', repo_type='dataset'))")
    assert config.encode() == SECOND["config.json"] and old.encode() == FIRST["config.json"]
    assert vocab == sub == "a\nb\n" and empty == "" and data == "# data"


def test_what_is_there_and_what_is_not(cache, python):
    second = cache.commits["second"]
    there, part, missing = cache.values(
        python, "try_to_load_from_cache('org/name', 'config.json')",
        "try_to_load_from_cache('org/part', 'w.bin')",
        "try_to_load_from_cache('org/nothing', 'config.json')")
    assert there == f"{cache.folder}/hub/models--org--name/snapshots/{second}/config.json"
    assert part is None and missing is None
    absent, nothing = cache.ask(python, "hf_hub_download('org/name', 'absent.json')",
                                "snapshot_download('org/nothing')")
    assert absent["error"] == "LocalEntryNotFoundError" and nothing["error"] == absent["error"]


def test_the_scan_finds_nothing_wrong(cache, python):
    commits = cache.commits
    scan = cache.values(python, "scan()")[0]
    assert scan["warnings"] == []
    repos = {(kind, name): revisions for kind, name, _, revisions in scan["repos"]}
    assert repos["model", "org/name"] == sorted(
        [[commits["first"], ["feature/x", "v1.0"], len(FIRST)],
         [commits["second"], ["main"], len(SECOND)]])
    assert repos["model", "org/part"] == [[commits["part"], ["main"], 2]]
    assert len(repos["dataset", "org/data"]) == 1 and len(repos) == 3


def test_safetensors(cache):
    """Mapped from where it lies."""
    names = [path for path in FIRST if path.endswith(".safetensors")]
    got = cache.values(sys.executable, *(
        f"tensors(os.path.join(snapshot_download('org/name'), '{name}'))" for name in names))
    assert got == TENSORS


def test_nothing_was_written(cache, python):
    """Neither locks nor marks: after all of the above the folder has what the bucket had."""
    names = {str(path.relative_to(cache.folder)) for path in cache.folder.rglob("*")
             if path.is_file()}
    cache.values(python, "tree(snapshot_download('org/name'))", "scan()")
    after = {str(path.relative_to(cache.folder)) for path in cache.folder.rglob("*")
             if path.is_file()}
    assert after == names
    assert not any("/blobs/" in name or ".lock" in name for name in names - {".hfcache/lock"})
