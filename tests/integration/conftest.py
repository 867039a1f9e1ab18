"""Fixtures: the program under test, and small trees of inputs to run it on."""
import os
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
GEN = os.path.abspath(os.environ.get("HFCACHE_GEN", REPO / "build/bin/hfcache-gen"))

# What the caller's environment must not decide.
CLEAN = {k: v for k, v in os.environ.items()
         if not k.startswith(("ARC_RUNNERS_", "OSDC_", "RUNNER_IMAGE", "CLUSTERS_", "NODEPOOLS_"))}

CLUSTER = """\
clusters:
  k1:
    region: xx-1
    cluster_name: k1
    arc:
      runner_image_tag: "1.0"
    arc-runners:
      github_config_url: https://github.com/org
      github_secret_name: sec
      runner_name_prefix: p-
      runner_group: g
    modules:
      - nodepools
      - arc-runners
"""
DEFINITION = """\
runner:
  name: r.one
  instance_type: q7a.2xlarge
  vcpu: 6
  memory: 3Gi
"""
POOL = """\
fleet:
  name: q7a
  instances:
    - type: q7a.2xlarge
"""
TEMPLATE = """\
name: "{{RUNNER_NAME_PREFIX}}{{RUNNER_NAME}}"
{{MAX_RUNNERS_LINE}}
vcpu: "{{VCPU}}"
group: "{{RUNNER_GROUP}}"
# BEGIN_HF_CACHE
offline: "{{HF_HUB_OFFLINE}}"
# END_HF_CACHE
---
name: hook-{{RUNNER_NAME_NORMALIZED}}
"""


# Several processes run the tests side by side (tools/run_tests.py). A module stays in one of them,
# for the sake of its fixtures, unless it is one of these, of which every function may go elsewhere.
SPREAD = {"test_mount_cache", "test_mount_handover", "test_mount_model", "test_mount_s3_faults",
          "test_mount_seen", "test_mount_start", "test_sync_kill"}
# What takes longest begins first, so that nothing long is left for the end.
LONGEST = ["test_mutations", "test_mount_s3_faults", "test_mount_handover", "test_mount_cache",
           "test_mount_memory", "test_mount_model", "test_sync_kill", "test_generate"]


# What takes minutes of 100 readers, kills and faults each; `make test` has 15 for everything.
MOUNT_HEAVY = {"test_mount_cache", "test_mount_handover", "test_mount_memory", "test_mount_model",
               "test_mount_s3_faults", "test_mount_seen"}


def pytest_collection_modifyitems(items):
    if "HFCACHE_TEST_MOUNT" not in os.environ:
        for item in items:
            if item.path.stem in MOUNT_HEAVY:
                item.add_marker(pytest.mark.skip(reason="HFCACHE_TEST_MOUNT=1: minutes"))
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    # pylint: disable=import-outside-toplevel
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            module = nodeid.partition("::")[0]
            return nodeid.partition("[")[0] if Path(module).stem in SPREAD else module

    return ByModule(config, log) if config.getoption("dist") == "loadscope" else None


class Result:
    def __init__(self, done):
        self.rc, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"exit {self.rc}\n{self.out[-2000:]}\n{self.err[-4000:]}"


def run(*args, env=None, cwd=REPO, text=True):
    done = subprocess.run([GEN, *map(str, args)], env={**CLEAN, **(env or {})}, cwd=cwd,
                          capture_output=True, text=text, stdin=subprocess.DEVNULL, timeout=300,
                          check=False)
    assert done.returncode >= 0, f"killed by signal {-done.returncode}: {done.stderr[-2000:]}"
    return Result(done)


class Tree:
    """A tree in the fleet repository's layout; files are given as path=text."""

    def __init__(self, root):
        self.root = root
        self.write("clusters.yaml", CLUSTER)
        self.write("modules/arc-runners/defs/r1.yaml", DEFINITION)
        self.write("modules/nodepools/defs/q7a.yaml", POOL)
        self.write("modules/arc-runners/templates/runner.yaml.tpl", TEMPLATE)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def edit(self, name, old, new):
        text = (self.root / name).read_text()
        assert old in text
        return self.write(name, text.replace(old, new))

    def definition(self, text, name="r1.yaml"):
        return self.write(f"modules/arc-runners/defs/{name}", text)

    @property
    def out(self):
        return self.root / "modules/arc-runners/generated"

    def runners(self, *args, **env):
        env = {"OSDC_ROOT": str(self.root), "RUNNER_IMAGE": "image:1", **env}
        return run("runners", *(args or ("k1",)), env=env)

    def gen(self, *args, **env):
        return run(*args, env=env, cwd=self.root)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.fixture
def gen():
    return run


def snapshot(path):
    """Every name below a folder with its kind, bytes and time: equal means untouched."""
    state = {}
    for entry in sorted(path.rglob("*")):
        st = entry.lstat()
        body = entry.read_bytes() if entry.is_file() and not entry.is_symlink() else None
        state[str(entry.relative_to(path))] = (st.st_mode, st.st_mtime_ns, body)
    return state


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
