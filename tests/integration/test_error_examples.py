"""docs/errors.md shows what the program prints: each of its examples is provoked again.

Line numbers are left out of the comparison: they change with the shipped fleet.
"""
import re
import shutil

import pytest
from conftest import REPO, run

CLUSTERS = "clusters/clusters.yaml"
T4 = "clusters/runners/gpu-t4.yaml"
TPL = "templates/runner.yaml.tpl"
GPU = "  gpu: 1\n"


def edit(name, old, new, count=1):
    def change(root):
        text = (root / name).read_text()
        assert old in text, f"{name} has no {old!r} any more"
        (root / name).write_text(text.replace(old, new, count))
    return change


def option(line):
    return edit(T4, GPU, f"{GPU}  {line}\n")


def create(name, text=""):
    def change(root):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return change


def remove(name):
    return lambda root: (root / name).unlink()


def broken_link(root):
    (root / T4).unlink()
    (root / T4).symlink_to("gone.yaml")


def no_own_runner_block(root):
    text = (root / CLUSTERS).read_text()
    start = text.index("    arc-runners:\n", text.index("\nclusters:"))
    (root / CLUSTERS).write_text(text[:start] + text[text.index("    modules:", start):])


PAUSED = edit(CLUSTERS, "pause_runners: false", "pause_runners: true")

# code: arguments, changes of the shipped inputs
EXAMPLES = {
    1: ("lint staging-use1", broken_link),
    2: ("lint staging-use1", edit(T4, "115Gi", '"115Gi')),
    3: ("lint staging-use1", option("vcpu: 30")),
    4: ("lint staging-use1", edit(T4, GPU, "  gpu: one\n")),
    5: ("lint staging-use1", edit(T4, "  memory: 115Gi\n", "")),
    6: ("lint staging-use1", edit(T4, "disk_size: 150", "disk_size:")),
    7: ("lint staging-use1", edit(T4, "hud_failure_base_capacity", "hud_failure_base_capacty")),
    8: ("lint", edit(CLUSTERS, "proactive_capacity_max: 0", "proactive_capacity_max: -1")),
    10: ("generate staging-usw2",),
    11: ("lint staging-usw1", edit(CLUSTERS, '      github_config_url: "https://github.com/example-org"\n'
                                   "      github_secret_name: staging-usw1-runners",
                                   "      github_secret_name: staging-usw1-runners")),
    12: ("lint demo", edit(CLUSTERS, "      - hf-cache\n      - nodepools\n",
                           "      - nodepools\n      - hf-cache\n")),
    13: ("lint staging-usw1", edit(CLUSTERS, "      - arc\n      - nodepools\n      - bin-pack",
                                   "      - arc\n      - bin-pack")),
    14: ("generate partner-use1", edit(CLUSTERS, '    runner_image_tag: "2.331.0"\n',
                                       '    runner_image_tag: ""\n')),
    15: ("enable hfcache demo",),
    20: ("lint staging-usw1", edit(CLUSTERS, "      - arc-runners\n      - monitoring",
                                   "      - arc-runners\n      - arc-runners-gb200\n      - monitoring")),
    21: ("lint staging-use1", edit(T4, "name: gpu-t4", "name: gpu/t4")),
    22: ("lint staging-use1", edit(T4, "name: gpu-t4", "name: gpu.l4")),
    23: ("lint staging-use1", option("max_runners: 0")),
    24: ("lint staging-use1", edit(T4, "max_burst_capacity: 200", "max_burst_capacity: 10")),
    25: ("lint staging-use1", option("node_fleet: G4dn")),
    26: ("lint staging-use1", edit(T4, "g4dn.8xlarge", "g4nd.8xlarge")),
    27: ("lint staging-use1", edit(T4, "115Gi", "115GB")),
    28: ("lint staging-use1", option("fresh_multiplier: often")),
    30: ("lint staging-use1", edit("clusters/nodepools/g5.yaml", "name: g5", "name: g4dn")),
    40: ("lint staging-use1", remove(TPL)),
    41: ("lint demo", edit(TPL, "# END_HF_CACHE\n", "# END-HF_CACHE\n")),
    42: ("lint demo", edit(TPL, "{{VCPU}}", "{{CPUS}}")),
    43: ("lint staging-use1", edit(T4, "disk_size: 150", "disk_size: '150\" #'")),
    50: ("generate", create("generated/notes.txt")),
    60: ("lint demo", edit(CLUSTERS, 'cache_size: "75%"', 'cache_size: "75 GB"')),
    61: ("lint demo", edit("clusters/models.txt", "tiny-random-bert", "tiny\x01random-bert")),
    101: ("lint staging-use2", PAUSED),
    102: ("lint demo",),
    103: ("lint staging-usw1",),
    104: ("lint demo",),
    105: ("lint demo", edit(T4, "disk_size: 150", "disk_size: 150.5")),
    106: ("lint staging-use1", edit(CLUSTERS, "scheduler_name: bin-pack-scheduler",
                                    "scheduler_name: bin-packer", 2)),
    107: ("lint demo", edit(TPL, "# END_HF_CACHE", "# some text {{ VCPU }}\n# END_HF_CACHE")),
    108: ("runners staging-usw1 --nodepools np --out o --image x",
          create("np/new.yaml", "fleet: [\n")),
    109: ("lint demo", edit(CLUSTERS, 'cache_size: "75%"', 'vfs_cache_max_size: "200G"')),
    110: ("lint staging-use2", PAUSED, option("proactive_capacity: 2"),
          edit(CLUSTERS, "proactive_capacity_max: 0", "proactive_capacity_max: 5", 3)),
    111: ("lint staging-usw1",
          edit(CLUSTERS, "    region: us-west-1\n    cluster_name: ci-staging-usw1\n",
               "    cluster_name: ci-staging-usw1\n"),
          edit(CLUSTERS, "defaults:\n", "defaults:\n  region: us-west-1\n")),
    112: ("lint staging-usw1", no_own_runner_block),
    113: ("lint demo", edit(T4, "name: gpu-t4", "name: GPU-t4")),
    114: ("lint demo", edit(CLUSTERS, '    aws_account_id: "456789012345"\n', "")),
    115: ("lint demo", remove("clusters/models.txt")),
    116: ("lint demo", create("clusters/runners/gpu-new.yml")),
    117: ("lint staging-use1", edit(CLUSTERS, "      - karpenter\n", "      - karpenter\n      - hf_cache\n", -1)),
}

SECTIONS = {int(code): body for code, body in
            re.findall(r"^## HFG(\d{3}): [^\n]*\n(.*?)(?=^<a id=|\Z)",
                       (REPO / "docs/errors.md").read_text(), re.M | re.S)}


def without_lines(text):
    """Positions and the numbers and bars beside excerpts, which depend on the fleet."""
    text = re.sub(r":\d+:\d+: ", ": ", text)
    text = re.sub(r"(\(line |\.yaml:|(?:at )?line )\d+", r"\1N", text)
    return re.sub(r"^ +\d* +([|=])", r"\1", text, flags=re.M).strip()


def test_every_section_has_an_example():
    assert sorted(SECTIONS) == sorted(EXAMPLES)


@pytest.mark.parametrize("code", EXAMPLES)
def test_example(code, tmp_path):
    args, *changes = EXAMPLES[code]
    for folder in ("clusters", "templates"):
        shutil.copytree(REPO / folder, tmp_path / folder)
    for change in changes:
        change(tmp_path)
    done = run(*args.split(), cwd=tmp_path)
    assert done.rc == (1 if code < 100 else 0), done
    shown = re.search(r"```text\n(.*?)```", SECTIONS[code], re.S)[1]
    assert f"[HFG{code:03d}]: " in shown
    assert without_lines(shown) in without_lines(done.err)


@pytest.mark.parametrize("code", EXAMPLES)
def test_section_says_why_and_what_to_do(code):
    assert f"\nWhy {'an error' if code < 100 else 'a warning'}: " in SECTIONS[code]
    assert "\nWhat to do: " in SECTIONS[code]


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_place_that_machines_are_told(code):
    """SARIF's help text gives docs/errors.md#hfgNNN; the heading's own anchor is longer."""
    assert f'<a id="hfg{code:03d}"></a>' in (REPO / "docs/errors.md").read_text()
