"""What is rendered, but mentioned: the code, at the place of the value, and exit status 0."""
import re

import pytest
from conftest import run

CLUSTERS = "clusters.yaml"
DEF = "modules/arc-runners/defs/r1.yaml"
POOL = "modules/nodepools/defs/q7a.yaml"
TPL = "modules/arc-runners/templates/runner.yaml.tpl"

# file to change, text to replace, what with, code, the text that the place must point at
MENTIONED = {
    "paused": (CLUSTERS, "    modules:", "    pause_runners: true\n    modules:", 101, "true"),
    "capped": (CLUSTERS, "    modules:", "    proactive_capacity_max: 2\n    modules:", 102, "2"),
    "excluded": (POOL, "  instances:", "  exclude_regions: [xx-1]\n  instances:", 103, None),
    "repository": (CLUSTERS, "https://github.com/org", "https://github.com/org/repo", 104,
                   "https://github.com/org/repo"),
    "fractional vcpu": (DEF, "vcpu: 6", "vcpu: 0.5", 105, "0.5"),
    "boolean disk": (DEF, "vcpu: 6", "vcpu: 6\n  disk_size: yes", 105, "yes"),
    "no vcpu": (DEF, "  vcpu: 6\n", "", 105, "name: r.one"),
    "negative memory": (DEF, "3Gi", "-3Gi", 105, "-3Gi"),
    "underscore in memory": (DEF, "3Gi", "3_0Gi", 105, "3_0Gi"),
    "fractional capacity": (DEF, "vcpu: 6", "vcpu: 6\n  proactive_capacity: 1.5", 105, "1.5"),
    "negative base": (DEF, "vcpu: 6", "vcpu: 6\n  hud_failure_base_capacity: -1", 105, "-1"),
    "multiplier as text": (DEF, "vcpu: 6", "vcpu: 6\n  fresh_multiplier: '2'", 105, "'2'"),
    "scheduler": (DEF, "vcpu: 6", "vcpu: 6\n  scheduler_name: packer", 106, "packer"),
    "near marker": (TPL, "# BEGIN_HF_CACHE", "#BEGIN_HF_CACHE\n# BEGIN_HF_CACHE", 107,
                    "#BEGIN_HF_CACHE"),
    "upper case": (DEF, "r.one", "R.one", 113, "R.one"),
    "hyphen last": (DEF, "r.one", "r.one-", 113, "r.one-"),
    "50 characters": (DEF, "r.one", "r" * 50, 113, "r" * 50),
}


@pytest.mark.parametrize("what", MENTIONED)
def test_mentioned_at_the_right_place(tree, what):
    name, old, new, code, shown = MENTIONED[what]
    assert tree.runners().err == ""
    path = tree.edit(name, old, new)
    done = tree.runners()
    assert done.rc == 0 and "error[" not in done.err, done
    found = re.findall(r"^(\S+):(\d+):(\d+): warning\[HFG(\d+)\]", done.err, re.M)
    assert {c for *_, c in found} == {f"{code:03d}"}, done
    lines = path.read_text().split("\n")
    if shown is not None:
        assert [lines[int(ln) - 1][int(col) - 1:] for f, ln, col, _ in found
                if f == str(path)] in ([shown], [shown + "'"]), done


@pytest.mark.parametrize("name", ["r" * 49, "0", "a.b_c-d"])
def test_usable_names_are_not_mentioned(tree, name):
    tree.edit(DEF, "r.one", f"'{name}'")
    assert tree.runners().err == ""


def test_paused_with_capacity(tree):
    tree.edit(CLUSTERS, "    modules:", "    pause_runners: true\n    modules:")
    tree.edit(DEF, "vcpu: 6", "vcpu: 6\n  proactive_capacity: 2")
    assert re.findall(r"warning\[HFG(\d+)\]", tree.runners().err) == ["101", "110"]


def test_broken_node_pool_of_another_folder(tree):
    """The zeroing rule skips it; the cluster's own node pools must all be readable."""
    tree.write("pools/x.yaml", "fleet: [\n")
    done = tree.runners(NODEPOOLS_DEFS_DIR=str(tree.root / "pools"))
    assert done.rc == 0 and re.findall(r"warning\[HFG(\d+)\]", done.err) == ["108"]
    tree.write("modules/nodepools/defs/x.yaml", "fleet: [\n")
    assert tree.runners().rc == 1


def test_region_and_prefix_of_the_defaults(tree):
    tree.edit(CLUSTERS, "    region: xx-1\n", "")
    block = (tree.root / CLUSTERS).read_text()
    start, end = block.index("    arc-runners:"), block.index("    modules:")
    tree.write(CLUSTERS, block[:start] + block[end:] + "defaults:\n  region: xx-1\n" +
               re.sub("^  ", "", block[start:end], flags=re.M))
    done = tree.runners()
    assert done.rc == 0
    assert sorted(re.findall(r"warning\[HFG(\d+)\]", done.err)) == ["111", "112"]


@pytest.mark.parametrize("argv", [["k9"], ["k1", "no.such"], ["k1", "has-module", "x"]])
def test_a_query_that_fails_says_it_once(tree, argv):
    done = run("config", *argv, cwd=tree.root)
    assert done.rc == 1 and done.out == ""
    assert len(done.err.splitlines()) == (0 if "has-module" in argv else 1), done


def test_an_unreadable_file_is_one_finding(tree):
    tree.write(CLUSTERS, "a: [\n")
    done = run("config", "k1", cwd=tree.root)
    assert done.rc == 1 and done.err.count("error") == 2, "the finding and the sum"
