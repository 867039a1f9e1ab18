"""runners as the deploy scripts call it: variables and flags, a worked example with its bytes
written down by hand, and what becomes of the output folder."""
import os

import pytest
from conftest import DEFINITION, POOL, TEMPLATE, contents, run, snapshot

EXCLUDED = POOL.replace("  instances", "  exclude_regions: [xx-1]\n  instances")
EXAMPLE_CLUSTER = """\
clusters:
  k1:
    region: xx-1
    arc-runners:
      github_config_url: https://github.com/org
      runner_name_prefix: p-
      runner_group: g
    modules: [hf-cache, nodepools, arc-runners]
"""
EXAMPLE_TEMPLATE = """\
url: "{{GITHUB_CONFIG_URL}}" secret "{{GITHUB_SECRET_NAME}}"
name: "{{RUNNER_NAME_PREFIX}}{{RUNNER_NAME}}" {{RUNNER_NAME_NORMALIZED}}
group: {{RUNNER_GROUP}}
{{MAX_RUNNERS_LINE}}

image: {{RUNNER_IMAGE}} module {{MODULE_NAME}}
shard: {{CAPACITY_AWARE_CLUSTER_INDEX}}/{{CAPACITY_AWARE_CLUSTER_COUNT}}
age: {{CAPACITY_AWARE_AGE_THRESHOLD_SECONDS}} fresh {{CAPACITY_AWARE_FRESH_MULTIPLIER}}
capacity: {{PROACTIVE_CAPACITY}} {{MAX_BURST_CAPACITY}} {{HUD_FAILURE_BASE_CAPACITY}}
affinity:
{{RUNNER_CLASS_JOB_AFFINITY}}          then: "{{NODE_FLEET}}"{{GPU_NODE_SELECTOR_AFFINITY}}
env:
    # BEGIN_PYPI_CACHE
    pip: 1
    # END_PYPI_CACHE
    # BEGIN_HF_CACHE
    bucket: {{HF_CACHE_BUCKET}} {{HF_CACHE_REGION}}
    # END_HF_CACHE
    bytes: {{MEMORY_BYTES}}{{IMEX_ENV}}
cpu: {{VCPU}} {{MEMORY}} {{DISK_SIZE}} {{GPU_COUNT}}{{GPU_REQUEST}}
type: {{INSTANCE_TYPE}} class "{{RUNNER_CLASS}}"
"""
EXAMPLE = """\
url: "https://github.com/org" secret ""
name: "p-r.one" r-one
group: g-release-runners

image: img@sha256:0 module arc-runners
shard: 0/1
age: 900 fresh 1.0
capacity: 0 0 0
affinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - key: osdc.io/runner-class
                    operator: In
                    values:
                      - "release"
          then: "q7a"
env:
    bucket: pytorch-hf-model-cache-k1 xx-1
    bytes: 3221225472
cpu: 6 3Gi 100Gi 0
type: q7a.2xlarge class "release"
"""
EXAMPLE_GPU = """\
affinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - key: osdc.io/runner-class
                    operator: DoesNotExist
          then: "q7a"
                  - key: nvidia.com/gpu
                    operator: In
                    values:
                      - "true"
env:
    bucket: pytorch-hf-model-cache-k1 xx-1
    bytes: 3221225472
            - name: NVIDIA_IMEX_CHANNELS
              value: "0"
cpu: 6 3Gi 100Gi 8
              nvidia.com/gpu: "8"
type: q7a.2xlarge class ""
"""


@pytest.fixture
def example(tree):
    tree.write("clusters.yaml", EXAMPLE_CLUSTER)
    tree.write("modules/arc-runners/templates/runner.yaml.tpl", EXAMPLE_TEMPLATE)
    return tree


def rendered(tree, definition):
    tree.definition(definition)
    done = tree.runners("k1", RUNNER_IMAGE="img@sha256:0")
    assert done.rc == 0, done
    files = contents(tree.out)
    assert list(files) == ["r.one.yaml"]
    return files["r.one.yaml"].decode()


def test_worked_example(example):
    assert rendered(example, DEFINITION + "  runner_class: release\n") == EXAMPLE


def test_worked_example_with_gpus(example):
    text = rendered(example, DEFINITION + "  gpu: 8\n  imex_channels: 0\n  max_runners: 7\n")
    assert text.endswith(EXAMPLE_GPU)
    assert "group: g\nmaxRunners: 7\n\nimage:" in text


def test_flags_beat_the_environment(tree, tmp_path_factory):
    """Each flag given, each variable pointing nowhere."""
    other = tmp_path_factory.mktemp("other")
    for name, text in (("defs/x.yaml", DEFINITION.replace("r.one", "flagged")),
                       ("pools/p.yaml", EXCLUDED)):
        (other / name).parent.mkdir()
        (other / name).write_text(text)
    (other / "t.tpl").write_text("{{MODULE_NAME}} {{RUNNER_IMAGE}} {{MAX_RUNNERS_LINE}}\n")
    (tree.root / "clusters.yaml").rename(other / "c.yaml")
    nowhere = {name: "/nonexistent/x" for name in (
        "OSDC_ROOT", "ARC_RUNNERS_DEFS_DIR", "ARC_RUNNERS_OUTPUT_DIR", "ARC_RUNNERS_TEMPLATE",
        "ARC_RUNNERS_MODULE_NAME", "NODEPOOLS_DEFS_DIR", "RUNNER_IMAGE", "CLUSTERS_YAML")}
    done = run("runners", "--root", tree.root, "--clusters", other / "c.yaml", "--defs",
               other / "defs", "k1", "--out", other / "out", "--template", other / "t.tpl",
               "--module=arc-runners-x", "--nodepools", other / "pools", "--image", "i:2",
               env=nowhere, cwd=other)
    assert done.rc == 0, done
    assert contents(other / "out") == {"flagged.yaml": b"arc-runners-x i:2 maxRunners: 0\n"}
    assert not tree.out.exists()


@pytest.mark.parametrize("name", ["ARC_RUNNERS_DEFS_DIR", "ARC_RUNNERS_OUTPUT_DIR",
                                  "ARC_RUNNERS_TEMPLATE", "NODEPOOLS_DEFS_DIR", "OSDC_ROOT"])
def test_each_variable_is_read(tree, name):
    """A folder that is not there shows in the result, whichever variable names it."""
    before = tree.runners()
    assert before.rc == 0
    tree.write("pools/p.yaml", EXCLUDED)
    value = tree.root / ("pools" if name == "NODEPOOLS_DEFS_DIR" else "no/such/place")
    done = tree.runners(**{name: str(value)})
    if name == "NODEPOOLS_DEFS_DIR":
        assert done.rc == 0 and "warning[HFG103]" in done.err
    else:
        assert done.rc == 1 and "no/such" in done.err


def test_clusters_yaml_variable_is_not_read(tree):
    """Only `config` reads it, as the scripts expect."""
    assert tree.runners(CLUSTERS_YAML="/nonexistent").rc == 0


def test_empty_variable_is_the_current_folder(tree):
    done = run("runners", "k1", env={"OSDC_ROOT": "", "RUNNER_IMAGE": ""}, cwd=tree.root)
    assert done.rc == 0 and (tree.out / "r.one.yaml").exists()


def inodes(path):
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in path.iterdir()}


def test_unchanged_files_are_the_same_files(tree):
    tree.definition(DEFINITION.replace("r.one", "stays"), "r2.yaml")
    assert tree.runners().rc == 0
    for path in tree.out.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    before = inodes(tree.out)
    tree.definition(DEFINITION.replace("vcpu: 6", "vcpu: 7"))
    (tree.out / "stale.yaml").write_text("old\n")
    done = tree.runners()
    after = inodes(tree.out)
    assert done.rc == 0 and "(1 written, 1 unchanged, 1 removed)" in done.out
    assert after["stays.yaml"] == before["stays.yaml"]
    assert after["r.one.yaml"] != before["r.one.yaml"] and "stale.yaml" not in after


def test_an_old_file_is_replaced_not_written_to(tree):
    """Who has the old file open goes on reading the old file."""
    assert tree.runners().rc == 0
    with open(tree.out / "r.one.yaml", encoding="utf-8") as old:
        tree.definition(DEFINITION.replace("vcpu: 6", "vcpu: 7"))
        assert tree.runners().rc == 0
        assert 'vcpu: "6"' in old.read()
    assert 'vcpu: "7"' in (tree.out / "r.one.yaml").read_text()


BREAK = {
    "definition": ("modules/arc-runners/defs/r1.yaml", "runner: [\n"),
    "second definition": ("modules/arc-runners/defs/r2.yaml", "runner: {name: x}\n"),
    "clusters": ("clusters.yaml", "clusters: {k1: 1}\n"),
    "node pool": ("modules/nodepools/defs/q7a.yaml", "fleet: {name: other}\n"),
    "template": ("modules/arc-runners/templates/runner.yaml.tpl", TEMPLATE + "{{NOPE}}\n"),
    "template's bytes": ("modules/arc-runners/templates/runner.yaml.tpl", b"\xff"),
}


@pytest.mark.parametrize("what", BREAK)
def test_old_output_stays_after_an_error(tree, what):
    tree.definition(DEFINITION.replace("r.one", "also"), "r2.yaml")
    assert tree.runners().rc == 0
    (tree.out / "surplus.yaml").write_text("even this\n")
    before = snapshot(tree.out)
    listing = sorted(p.name for p in tree.out.parent.iterdir())
    tree.write(*BREAK[what])
    # What could be rendered differs now, too.
    if what != "definition":
        tree.definition(DEFINITION.replace("vcpu: 6", "vcpu: 7"))
    done = tree.runners()
    assert done.rc == 1 and "error[HFG" in done.err
    assert snapshot(tree.out) == before
    assert sorted(p.name for p in tree.out.parent.iterdir()) == listing, "no staging folder left"


@pytest.mark.parametrize("odd", ["file", "link", "dangling"])
def test_odd_output_is_refused(tree, odd):
    (tree.root / "target").mkdir()
    (tree.root / "target/x").write_text("1")
    if odd == "file":
        tree.out.write_text("precious")
    else:
        tree.out.symlink_to(tree.root / ("target" if odd == "link" else "nowhere"))

    def state():
        """Everything but the time of the folder in which the staging folder came and went."""
        return {name: body for name, body in snapshot(tree.root).items()
                if name != "modules/arc-runners"}

    before = state()
    done = tree.runners()
    assert done.rc == 1 and "error[HFG050]" in done.err and str(tree.out) in done.err
    assert state() == before
