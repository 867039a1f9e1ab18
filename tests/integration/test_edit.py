"""enable and disable, through the command line."""
import random
import subprocess

import pytest
import yaml
from conftest import CLUSTER, run

TWO = CLUSTER + CLUSTER.replace("clusters:\n", "").replace("k1", "k2")


def clusters(tree):
    return (tree.root / "clusters.yaml").read_bytes()


def test_enable_puts_it_before_nodepools(tree):
    done = tree.gen("enable", "hf-cache", "k1")
    assert done.rc == 0 and "+      - hf-cache" in done.out
    assert yaml.safe_load(clusters(tree))["clusters"]["k1"]["modules"] == \
        ["hf-cache", "nodepools", "arc-runners"]
    assert tree.gen("lint", "k1").rc == 0
    assert "nothing to do" in tree.gen("enable", "hf-cache", "k1").out


def test_disable_is_the_inverse(tree):
    before = clusters(tree)
    assert tree.gen("enable", "hf-cache", "k1").rc == 0
    assert clusters(tree) != before
    assert tree.gen("disable", "hf-cache", "k1").rc == 0
    assert clusters(tree) == before


def test_a_commented_item_comes_back(tree):
    tree.edit("clusters.yaml", "      - nodepools\n", "      - 'hf-cache'   # first\n      - nodepools\n")
    before = clusters(tree)
    assert tree.gen("disable", "hf-cache", "k1").rc == 0
    assert run("config", "k1", "has-module", "hf-cache", cwd=tree.root).rc == 1
    assert tree.gen("enable", "hf-cache", "k1").rc == 0
    assert clusters(tree) == before


def test_dry_run_writes_nothing(tree):
    before = clusters(tree)
    done = tree.gen("enable", "hf-cache", "k1", "--dry-run")
    assert done.rc == 0 and done.out.startswith("--- clusters.yaml\n+++ clusters.yaml\n@@ ")
    assert clusters(tree) == before
    subprocess.run(["patch", "-p0", "-s"], input=done.out, text=True, cwd=tree.root, check=True)
    after = clusters(tree)
    tree.write("clusters.yaml", before)
    assert tree.gen("enable", "hf-cache", "k1").rc == 0 and clusters(tree) == after


def test_all_clusters_or_none(tree):
    tree.write("clusters.yaml", TWO)
    before = clusters(tree)
    done = tree.gen("enable", "hf-cache", "k1", "nope", "k2")
    assert done.rc == 1 and "there is no cluster 'nope'" in done.err and clusters(tree) == before
    assert tree.gen("enable", "hf-cache", "k1", "k2").rc == 0
    assert clusters(tree).count(b"- hf-cache\n") == 2


def test_unknown_module(tree):
    done = tree.gen("enable", "hf-cahce", "k1")
    assert done.rc == 1 and "error[HFG015]" in done.err and "did you mean 'hf-cache'?" in done.err


def test_shared_list_is_refused(tree):
    tree.edit("clusters.yaml", "    modules:\n", "    modules: &m\n")
    tree.write("clusters.yaml", clusters(tree) + b"  k2:\n    region: x\n    modules: *m\n")
    before = clusters(tree)
    done = tree.gen("enable", "hf-cache", "k2")
    assert done.rc == 1 and "clusters.yaml:" in done.err and clusters(tree) == before


@pytest.mark.parametrize("eol", ["\r\n", "\n"])
def test_line_ends_and_mode_stay(tree, eol):
    path = tree.write("clusters.yaml", CLUSTER.replace("\n", eol))
    path.chmod(0o640)
    assert tree.gen("enable", "hf-cache", "k1").rc == 0
    assert clusters(tree).count(b"\r\n") == (clusters(tree).count(b"\n") if eol == "\r\n" else 0)
    assert path.stat().st_mode & 0o777 == 0o640


def test_every_cluster_of_the_shipped_fleet(tmp_path):
    """Also with random comments and blank lines between the items."""
    rng = random.Random(7)
    from conftest import REPO
    text = (REPO / "clusters/clusters.yaml").read_text()
    path = tmp_path / "clusters.yaml"
    ids = list(yaml.safe_load(text)["clusters"])
    for i in range(30):
        lines = [ln + rng.choice(["", "", "\n", "\n      # a remark\n", "\n\n"]).rstrip("\n")
                 if ln.startswith("      - ") and i else ln for ln in text.split("\n")]
        path.write_text("\n".join(lines))
        before = path.read_bytes()
        module, verb = rng.choice([("hf-cache", "enable"), ("monitoring", "disable"),
                                   ("pypi-cache", "enable"), ("nodepools", "disable")])
        back = {"enable": "disable", "disable": "enable"}[verb]
        cluster = rng.choice([c for c in ids if c != "demo"])
        done = run(verb, module, cluster, "--clusters", path)
        if "nothing to do" in done.out:
            continue
        assert done.rc == 0, done
        assert path.read_bytes() != before
        assert run(back, module, cluster, "--clusters", path).rc == 0
        assert path.read_bytes() == before, (module, verb, cluster)
