"""`make demo`: what its script shows, and that it leaves nothing behind but files."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from mount import MOUNT
from refresh import CLEAN, GEN, REFRESH, REPO, Bucket, check_bucket, refresh, environment

DEMO = REPO / "tools/demo.sh"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the inputs of the repository's, in which the demo has run."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("clusters", "templates"):
        (folder / name).symlink_to(REPO / name)
    return folder


def demo(place, **env):
    return subprocess.run([DEMO, GEN, REFRESH, MOUNT, "build/demo"], cwd=place, env={**CLEAN, **env},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)


@pytest.fixture(scope="module")
def done(place):
    return demo(place, HF_TOKEN="hf_of_somebody")


def hubs(place):
    """Servers of this demo that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"hub.py") for word in words) and \
                    (entry / "cwd").resolve() == place.resolve():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_it_publishes_a_complete_model_and_lists_it(place, done):
    assert done.returncode == 0, done
    line = next(line for line in done.stdout.splitlines()
                if re.match(r"demo-org/tiny-llama +[0-9a-f]{40} ", line))
    assert re.search(r" 5 +[\d.]+ KiB +complete +main$", line), line
    bucket = Bucket(f"file://{place}/build/demo/bucket")
    check_bucket(bucket.objects(), ["demo-org/tiny-llama"])
    verified = refresh("verify", "--in", bucket.url, env=environment())
    assert verified.rc == 0, verified


def test_it_shows_that_a_second_run_sends_nothing(done):
    said = done.stdout + done.stderr
    assert "1 model: 1 published" in said
    assert "1 model: 1 unchanged; nothing stored" in said


def test_it_generates_all_clusters_and_says_what_to_try(place, done):
    clusters = [path.name for path in (place / "generated").iterdir() if path.is_dir()]
    assert len(clusters) > 3
    for name in clusters:
        assert re.search(rf"generated/{name} +\d+ files", done.stdout), name
    assert "== Try next" in done.stdout


def test_the_model_is_one_that_safetensors_reads(place, done):
    assert done.returncode == 0
    safetensors = pytest.importorskip("safetensors.numpy")
    snapshot = next((place / "build/demo/bucket/hub/models--demo-org--tiny-llama/snapshots").iterdir())
    weights = json.loads((snapshot / "model.safetensors.index.json").read_text())["weight_map"]
    read = {name: shard for shard in set(weights.values())
            for name in safetensors.load_file(snapshot / shard)}
    assert read == weights


def test_it_can_run_again(place, done):
    assert done.returncode == 0
    again = demo(place)
    assert again.returncode == 0, again
    assert "1 model: 1 published" in again.stdout + again.stderr


def test_the_hub_ends_with_it(place, done):
    assert done.returncode == 0
    assert not hubs(place)


def test_the_hub_ends_as_well_if_a_step_fails(place, done):
    """A stand-in for the refresher that fails; the Hub is up by then."""
    assert done.returncode == 0
    broken = place / "broken"
    broken.write_text("#!/bin/sh\ntouch was-run\nexit 1\n")
    broken.chmod(0o755)
    failed = subprocess.run([DEMO, GEN, broken, MOUNT, "build/demo2"], cwd=place, env=dict(os.environ),
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                            check=False)
    assert failed.returncode == 1, failed
    assert (place / "was-run").exists()
    assert not hubs(place)
