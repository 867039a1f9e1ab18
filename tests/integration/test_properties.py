"""What must hold for any fleet: random ones, with the seed printed (SEED repeats a run)."""
import os
import random
import re
import time

import pytest
import yaml
from conftest import REPO, Tree, contents, snapshot

SEED = int(os.environ.get("SEED", time.time()))
FAMILIES = ["q7a", "q8", "g5x", "m6-flex"]
TEMPLATE = (REPO / "templates/runner.yaml.tpl").read_text()


def definition(rng, name):
    family = rng.choice(FAMILIES)
    runner = {"name": name, "instance_type": f"{family}.{rng.choice(['large', 'metal', '4xlarge'])}",
              "vcpu": rng.choice([1, 7, 96, 0.5]), "memory": rng.choice(["3Gi", "512Mi", 1024, "2T"])}
    optional = {"gpu": lambda: rng.choice([0, 1, 8]), "disk_size": lambda: rng.randrange(1, 900),
                "runner_class": lambda: rng.choice(["", "release", "slow"]),
                "runner_group": lambda: rng.choice(["default", "g1"]),
                "max_runners": lambda: rng.choice([3, {"default": 2, "k1": 9}]),
                "proactive_capacity": lambda: rng.randrange(4),
                "max_burst_capacity": lambda: rng.choice([0, 50]),
                "hud_failure_base_capacity": lambda: rng.randrange(4),
                "imex_channels": lambda: rng.choice([0, 3]),
                "fresh_multiplier": lambda: rng.choice([1, 0.25, 2.5]),
                "node_fleet": lambda: rng.choice(FAMILIES)}
    for key, value in optional.items():
        if rng.random() < 0.4:
            runner[key] = value()
    return {"runner": runner}


def fleet(rng, root):
    """A valid tree with one to three clusters."""
    tree = Tree(root)
    (root / "modules/arc-runners/defs/r1.yaml").unlink()
    tree.write("modules/arc-runners/templates/runner.yaml.tpl", TEMPLATE)
    for family in FAMILIES:
        fleets = {"fleet": {"name": family, "instances": [{"type": f"{family}.metal"}]}}
        if rng.random() < 0.3:
            fleets["fleet"]["exclude_regions"] = ["never-1"]
        tree.write(f"modules/nodepools/defs/{family}.yaml", yaml.dump(fleets))
    for i in range(rng.randrange(1, 6)):
        tree.definition(yaml.dump(definition(rng, f"r{i}.x_{i}"), sort_keys=False), f"d{i}.yaml")
    clusters = {}
    for c in ["k1", "k2", "k3"][:rng.randrange(1, 4)]:
        block = {"github_config_url": rng.choice(["https://github.com/o", "https://github.com/o/r"]),
                 "github_secret_name": "s", "runner_name_prefix": rng.choice(["a-", "b-"])}
        if rng.random() < 0.5:
            block["runner_group"] = "grp"
        modules = ["nodepools", "arc-runners"]
        for extra in ("hf-cache", "pypi-cache"):
            if rng.random() < 0.5:
                modules.insert(0, extra)
        clusters[c] = {"region": "xx-1", "cluster_name": c, "arc": {"runner_image_tag": "1"},
                       "arc-runners": block, "modules": modules}
        if rng.random() < 0.3:
            clusters[c]["pause_runners"] = rng.random() < 0.5
        if rng.random() < 0.3:
            clusters[c]["proactive_capacity_max"] = rng.randrange(3)
    tree.write("clusters.yaml", yaml.dump({"clusters": clusters}, sort_keys=False))
    return tree


@pytest.fixture(params=range(25))
def random_fleet(request, tmp_path):
    print("SEED", SEED)
    return fleet(random.Random(SEED + request.param), tmp_path)


def test_generate_twice_is_equal(random_fleet):
    done = random_fleet.gen("generate")
    assert done.rc == 0, done
    before = snapshot(random_fleet.root / "generated")
    assert random_fleet.gen("generate").rc == 0
    assert snapshot(random_fleet.root / "generated") == before
    assert random_fleet.gen("check").rc == 0


def test_enable_then_disable_is_the_identity(random_fleet):
    path = random_fleet.root / "clusters.yaml"
    for cluster in yaml.safe_load(path.read_text())["clusters"]:
        before = path.read_bytes()
        verbs = ["enable", "disable"]
        if random_fleet.gen("config", cluster, "has-module", "hf-cache").rc == 0:
            verbs.reverse()
        for verb in verbs:
            assert random_fleet.gen(verb, "hf-cache", cluster).rc == 0
        assert path.read_bytes() == before


def hf_blocks_of(template):
    """The lines of the HF_CACHE blocks, markers left out."""
    blocks = re.findall(r"^ *# BEGIN_HF_CACHE\n(.*?)^ *# END_HF_CACHE\n", template, re.M | re.S)
    return {line for block in blocks for line in block.splitlines()}


def as_pattern(line):
    return re.compile(re.sub(r"\\{\\{\w+\\}\\}", ".*", re.escape(line)))


def test_stripped_and_kept_differ_only_inside_blocks(random_fleet):
    patterns = [as_pattern(line) for line in hf_blocks_of(TEMPLATE)]
    renders = {}
    for kept in (True, False):
        text = (random_fleet.root / "clusters.yaml").read_text().replace("    - hf-cache\n", "")
        if kept:
            text = text.replace("    modules:\n", "    modules:\n    - hf-cache\n")
        random_fleet.write("clusters.yaml", text)
        assert random_fleet.runners("k1").rc == 0
        renders[kept] = contents(random_fleet.out)
    assert renders[True].keys() == renders[False].keys()
    for name, body in renders[True].items():
        stripped = renders[False][name].decode().splitlines()
        extra = 0
        for line in body.decode().splitlines():
            if extra < len(stripped) and stripped[extra] == line:
                extra += 1
            else:
                assert any(p.fullmatch(line) for p in patterns), line
        assert extra == len(stripped), "nothing but the blocks is missing"


def test_names_of_definition_files_do_not_matter(random_fleet):
    assert random_fleet.runners("k1").rc == 0
    before = contents(random_fleet.out)
    defs = random_fleet.root / "modules/arc-runners/defs"
    for i, path in enumerate(sorted(defs.iterdir(), reverse=True)):
        path.rename(defs / f"z{i}.yaml")
    assert random_fleet.runners("k1").rc == 0
    assert contents(random_fleet.out) == before


def test_memory_does_not_grow_with_the_output(tmp_path):
    """Ten times the clusters, ten times the files: about the same memory."""
    import resource
    import subprocess
    from conftest import CLEAN, GEN
    peaks = []
    for n in (20, 200):
        tree = Tree(tmp_path / str(n))
        tree.write("modules/arc-runners/templates/runner.yaml.tpl", TEMPLATE)
        text = (tree.root / "clusters.yaml").read_text().split("\n", 1)[1]
        tree.write("clusters.yaml", "clusters:\n" + "".join(text.replace("k1", f"k{i}")
                                                           for i in range(n)))
        child = subprocess.Popen([GEN, "generate", "--quiet"], cwd=tree.root, env=CLEAN)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = 0
        assert status == 0
        peaks.append(usage.ru_maxrss)
    size = (tmp_path / "200/clusters.yaml").stat().st_size // 1024
    assert resource and peaks[1] - peaks[0] < 40 * size + 2048, peaks
