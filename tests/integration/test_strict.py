"""What is refused, and where the message points: code, file, line, column."""
import re

import pytest
from conftest import CLUSTER, DEFINITION, TEMPLATE, snapshot

CLUSTERS = "clusters.yaml"
DEF = "modules/arc-runners/defs/r1.yaml"
POOL = "modules/nodepools/defs/q7a.yaml"
TPL = "modules/arc-runners/templates/runner.yaml.tpl"

# file to change, text to replace, what with, code, the text that the place must point at
REFUSED = {
    "duplicate key": (DEF, "vcpu: 6", "vcpu: 6\n  vcpu: 7", 3, "vcpu: 7"),
    "duplicate cluster": (CLUSTERS, "    modules:", "    region: yy\n    modules:", 3, "region: yy"),
    "near key in a definition": (DEF, "vcpu:", "vpcu:", 7, "vpcu"),
    "near key in a cluster": (CLUSTERS, "modules:", "moduls:", 7, "moduls"),
    "near key in the block": (CLUSTERS, "runner_group:", "runner_goup:", 7, "runner_goup"),
    "near key in a node pool": (POOL, "instances:", "instancs:", 7, "instancs"),
    "near key at the top": (CLUSTERS, "clusters:", "default: {}\nclusters:", 7, "default"),
    "syntax": (DEF, "vcpu: 6", "vcpu: [6", 2, None),
    "tab": (DEF, "  vcpu", "\tvcpu", 2, "\tvcpu"),
    "null": (DEF, "vcpu: 6", "vcpu: null", 6, "null"),
    "type": (DEF, "memory: 3Gi", "memory: 3Gi\n  gpu: many", 4, "many"),
    "boolean": (DEF, "memory: 3Gi", "memory: 3Gi\n  gpu: yes", 4, "yes"),
    "modules as text": (CLUSTERS, "    modules:\n      - nodepools\n      - arc-runners",
                        "    modules: nodepools", 4, "nodepools"),
    "pause as text": (CLUSTERS, "    modules:", "    pause_runners: 'false'\n    modules:", 4,
                      "'false'"),
    "capacity cap": (CLUSTERS, "    modules:", "    proactive_capacity_max: -1\n    modules:", 8,
                     "-1"),
    "no url": (CLUSTERS, "github_config_url: https://github.com/org", "github_config_url: ''", 11,
               "''"),
    "order": (CLUSTERS, "      - arc-runners\n", "      - arc-runners\n      - hf-cache\n", 12,
              "hf-cache"),
    "no node pools": (CLUSTERS, "      - nodepools\n", "", 13, "- arc-runners"),
    "name with a slash": (DEF, "name: r.one", "name: ../one", 21, "../one"),
    "absolute name": (DEF, "name: r.one", "name: /one", 21, "/one"),
    "name with a line break": (DEF, "name: r.one", 'name: "r\\none"', 21, '"r\\none"'),
    "max runners": (DEF, "memory: 3Gi", "memory: 3Gi\n  max_runners: 0", 23, "0"),
    "max without default": (DEF, "memory: 3Gi", "memory: 3Gi\n  max_runners: {k1: 1}", 23, "{k1"),
    "burst": (DEF, "memory: 3Gi",
              "memory: 3Gi\n  proactive_capacity: 5\n  max_burst_capacity: 2", 24, "2"),
    "fleet name": (DEF, "memory: 3Gi", "memory: 3Gi\n  node_fleet: Q7", 25, "Q7"),
    "fleet with a line break": (DEF, "memory: 3Gi", 'memory: 3Gi\n  node_fleet: "q7a\\n"', 25,
                                '"q7a\\n"'),
    "reserved fleet": (DEF, "memory: 3Gi", "memory: 3Gi\n  node_fleet: c7i-runner", 25,
                       "c7i-runner"),
    "unknown fleet": (DEF, "instance_type: q7a", "instance_type: q8a", 26, "q8a.2xlarge"),
    "memory": (DEF, "memory: 3Gi", "memory: 3GiB", 27, "3GiB"),
    "multiplier": (DEF, "memory: 3Gi", "memory: 3Gi\n  fresh_multiplier: fast", 28, "fast"),
    "unclosed block": (TPL, "# END_HF_CACHE\n", "", 41, "# BEGIN_HF_CACHE"),
    "unopened block": (TPL, "# BEGIN_HF_CACHE\n", "", 41, "# END_HF_CACHE"),
    "nested block": (TPL, "offline:", "# BEGIN_HF_CACHE\noffline:", 41, None),
    "leftover": (TPL, "{{VCPU}}", "{{VCPUS}}", 42, "{{VCPUS}}"),
    "quote breaks out": (CLUSTERS, "runner_group: g", "runner_group: 'g\"'", 43, "'g\""),
    "injected key": (CLUSTERS, "runner_group: g", 'runner_group: "g\\"\\nevil: \\"x"', 43, '"g\\"'),
    "exclude_regions as text": (POOL, "  instances:", "  exclude_regions: xx-1\n  instances:", 4,
                                "xx-1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_at_the_right_place(tree, what):
    name, old, new, code, shown = REFUSED[what]
    assert tree.runners().rc == 0
    before = snapshot(tree.out)
    path = tree.edit(name, old, new)
    done = tree.runners()
    assert done.rc == 1
    found = re.findall(rf"^{re.escape(str(path))}:(\d+):(\d+): error\[HFG{code:03d}\]", done.err, re.M)
    assert found, done
    if shown is not None:
        lines = path.read_text().split("\n")
        rest = [lines[int(line) - 1][int(col) - 1:] for line, col in found]
        assert any(r.startswith(shown) for r in rest), (rest, done)
    assert f" | " in done.err and "^" in done.err, "the source line is shown"
    assert snapshot(tree.out) == before, "the old output stays as it was"


def test_all_errors_are_reported(tree):
    tree.definition(DEFINITION.replace("vcpu: 6", "vcpu: null").replace("3Gi", "3GiB"))
    tree.definition(DEFINITION.replace("name: r.one", "name: a/b"), "r2.yaml")
    tree.edit(CLUSTERS, "runner_group:", "runner_goup:")
    done = tree.runners()
    assert {c for c in re.findall(r"error\[(HFG\d+)\]", done.err)} == \
        {"HFG006", "HFG007", "HFG021", "HFG027"}
    assert "4 errors" in done.err


@pytest.mark.parametrize("other", ["r.one", "r_one", "r-one"])
def test_names_that_collide(tree, other):
    tree.definition(DEFINITION.replace("r.one", other), "r2.yaml")
    done = tree.runners()
    assert done.rc == 1 and "error[HFG022]" in done.err
    assert f"{DEF}:2" in done.err, "says where the other one is"


def test_same_name_in_two_modules(tree):
    tree.edit(CLUSTERS, "      - arc-runners\n", "      - arc-runners\n      - arc-runners-x\n")
    tree.write("modules/arc-runners-x/defs/a.yaml", DEFINITION)
    assert "error[HFG022]" in tree.gen("lint").err
    assert tree.runners().rc == 0, "one module alone has no collision"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_empty_definition(tree, text):
    tree.definition(text)
    done = tree.runners()
    assert done.rc == 1 and "error[HFG005]" in done.err


def test_no_definitions(tree):
    (tree.root / DEF).unlink()
    done = tree.runners()
    assert done.rc == 1 and "error[HFG020]" in done.err
    assert not tree.out.exists()


def test_hint_names_the_key(tree):
    tree.edit(DEF, "memory:", "memroy:")
    assert "did you mean 'memory'?" in tree.runners().err


def test_other_modules_keys_pass(tree):
    tree.edit(CLUSTERS, "    modules:", "    buildkit: {a: 1}\n    nodepools: {b: 2}\n    modules:")
    assert tree.runners().rc == 0


def test_block_of_an_unknown_tag_is_text(tree):
    tree.write(TPL, TEMPLATE + "# BEGIN_OTHER\nx: 1\n# END_OTHER\n")
    done = tree.runners()
    assert done.rc == 0 and "warning[HFG107]" in done.err
    assert b"# BEGIN_OTHER\nx: 1\n# END_OTHER\n" in (tree.out / "r.one.yaml").read_bytes()


def test_bad_utf8_in_an_excerpt_ends(tree):
    tree.definition(b"runner:\n  name: \xff\xfe\xc3\n")
    done = tree.runners()
    assert done.rc == 1 and "error[HFG002]" in done.err


def test_warnings_do_not_fail(tree):
    tree.edit(CLUSTERS, "    modules:", "    pause_runners: true\n    modules:")
    done = tree.runners()
    assert done.rc == 0 and "warning[HFG101]" in done.err
    assert b"maxRunners: 0" in (tree.out / "r.one.yaml").read_bytes()


def test_missing_image(tree):
    env = {"OSDC_ROOT": str(tree.root)}
    done = tree.gen("runners", "k1", **env)
    assert done.rc == 1 and "error[HFG014]" in done.err and not tree.out.exists()


def test_unknown_cluster_suggests(tree):
    done = tree.runners("k2")
    assert done.rc == 1 and "there is no cluster 'k2'" in done.err and "'k1'" in done.err


def test_cluster_block_is_the_tests_own(tree):
    """The base of these tests is valid and warns of nothing."""
    assert CLUSTER and tree.runners().err == ""
