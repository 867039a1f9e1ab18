"""Real clients on the mount: huggingface_hub (current and 0.26) offline, safetensors, and what a shell has.

The bucket is what hfcache-refresh has published; all are compared with the bytes in it.
"""
import filecmp
import os
import shutil
import sys

import pytest

from mount import (MIB, LocalBucket, Mount, Readers, module_place_fixture, needs_mount,
                   outside, place_fixture, sizes)
from refresh import environment
from servers import TOOLS, HubServer
from test_sync_clients import DATA, FIRST, OLD, SECOND, TENSORS, Cache, hexed, publish

__all__ = ["module_place_fixture", "place_fixture"]
pytestmark = needs_mount
SECONDS = 120


class OnMount(Cache):
    """The client as it is: nothing has to keep it from writing."""

    def argv(self, python, client):
        return [python, "-c", client]


@pytest.fixture(scope="module", name="mount")
def mount_fixture(module_place):
    with HubServer() as hub:
        url = f"file://{module_place}/bucket"
        commits = publish(hub, url, environment(hub, MODELS_TXT=module_place / "m.txt"))
    with Mount(module_place, url) as mount:
        mount.run()
        mount.wait_for_names()
        mount.commits = commits
        yield mount


@pytest.fixture(name="cache")
def cache_fixture(mount):
    return OnMount(mount.root, mount.commits)


@pytest.fixture(name="python", params=["current", "0.26"])
def python_fixture(request):
    if request.param == "current":
        return sys.executable
    if not OLD.exists():
        reason = TOOLS / "venv-hub026.reason"
        pytest.skip(reason.read_text().strip() if reason.exists() else "no build/venv-hub026")
    return OLD


def test_snapshots_offline(cache, python):
    first = cache.commits["first"]
    names = ["", ", revision='main'", f", revision='{first}'", ", revision='v1.0'",
             ", revision='feature/x'"]
    got = cache.values(python, *(f"tree(snapshot_download('org/name'{name}))" for name in names))
    assert got == [hexed(SECOND)] * 2 + [hexed(FIRST)] * 3
    part, data = cache.values(
        python, "tree(snapshot_download('org/part', ignore_patterns=['*.bin']))",
        "sorted(tree(snapshot_download('org/data', repo_type='dataset')))")
    assert part == hexed({"config.json": b"{}", "a.txt": b"a"})
    assert data == sorted(DATA)


def test_single_files_and_what_is_not_there(cache, python):
    config, vocab, empty, absent, scan = cache.values(
        python, "text(hf_hub_download('org/name', 'config.json'))",
        "text(hf_hub_download('org/name', 'sub/dir/vocab +%.txt'))",
        "text(hf_hub_download('org/name', 'empty.txt'))",
        "try_to_load_from_cache('org/part', 'w.bin')", "scan()")
    assert config.encode() == SECOND["config.json"] and vocab == "a\nb\n" and empty == ""
    assert absent is None and scan["warnings"] == []
    errors = cache.ask(python, "hf_hub_download('org/name', 'absent.json')",
                       "snapshot_download('org/nothing')")
    assert [error["error"] for error in errors] == ["LocalEntryNotFoundError"] * 2


def test_safetensors_maps_the_files(cache):
    names = [path for path in FIRST if path.endswith(".safetensors")]
    got = cache.values(sys.executable, *(
        f"tensors(os.path.join(snapshot_download('org/name'), '{name}'))" for name in names))
    assert got == TENSORS


def shell(*argv):
    done = outside(*argv, timeout=SECONDS)
    assert done.rc == 0, (argv, done)
    return done.out


def differences(one, two, ignore=(".hfcache", ".hfcache-uploads")):
    found = []
    walk = [filecmp.dircmp(one, two, ignore=list(ignore))]
    while walk:
        here = walk.pop()
        found += here.left_only + here.right_only + here.common_funny
        _, different, errors = filecmp.cmpfiles(here.left, here.right, here.common_files, shallow=False)
        found += different + errors
        walk += here.subdirs.values()
    return found


def test_cp_copies_all(mount, place):
    shell("cp", "-r", mount.root, place / "copy")
    assert differences(place / "copy", mount.place / "bucket") == []


def test_rsync_copies_all(mount, place):
    if not shutil.which("rsync"):
        pytest.skip("no rsync here")
    shell("rsync", "-a", "--checksum", f"{mount.root}/", place / "copy")
    assert differences(place / "copy", mount.place / "bucket") == []
    # The second time there is nothing to do: sizes and times are stable.
    assert shell("rsync", "-a", "--itemize-changes", f"{mount.root}/", place / "copy") == ""


def test_tar_reads_all(mount, place):
    (place / "out").mkdir()
    shell("sh", "-c", f"tar -C {mount.root} -cf - . | tar -C {place}/out -xf -")
    assert differences(place / "out", mount.place / "bucket") == []


def test_sha256sum_of_everything(mount):
    there = shell("sh", "-c", f"cd {mount.root} && find hub -type f -print0 | sort -z | xargs -0 sha256sum")
    here = shell("sh", "-c", f"cd {mount.place}/bucket && find hub -type f -print0 | sort -z | "
                 "xargs -0 sha256sum")
    assert there == here and there.count("\n") > 10


def test_32_processes_of_parallel_mmap(place):
    bucket = sizes(LocalBucket(place / "bucket"),
                   *((f"model-{n}-of-4.safetensors", 9 * MIB + n) for n in range(4)))
    with Mount(place, bucket.url, cache_size="16Mi") as mount:
        mount.run()
        mount.wait_for_names()
        with Readers(mount.targets(bucket), place, processes=32, modes="mmap") as readers:
            readers.wait_for(6000)
            mount.wait_successor(mount.kill_worker())
            readers.wait_for(3000)
            readers.finish_clean()


def test_direct_io_and_sendfile(place):
    """Other ways to read: O_DIRECT (dd), sendfile(2), splice(2) by way of cat into a pipe."""
    bucket = sizes(LocalBucket(place / "bucket"), ("a.bin", 3 * MIB + 4096))
    with Mount(place, bucket.url) as mount:
        mount.run()
        mount.wait_for_names()
        whole = bucket.bytes("a.bin")
        path, copy = mount.path("a.bin"), place / "copy"
        shell("dd", f"if={path}", f"of={copy}", "bs=1M", "iflag=direct")
        assert copy.read_bytes() == whole
        shell(sys.executable, "-c", "import os, sys\nsource = os.open(sys.argv[1], os.O_RDONLY)\n"
              "sink = os.open(sys.argv[2], os.O_WRONLY | os.O_TRUNC)\n"
              "while os.sendfile(sink, source, None, 1 << 20): pass", path, copy)
        assert copy.read_bytes() == whole
        shell("sh", "-c", f"cat {path} | cat > {copy}")
        assert copy.read_bytes() == whole
        assert os.stat(copy).st_size == len(whole)
