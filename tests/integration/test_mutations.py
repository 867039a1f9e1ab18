"""Each key of real inputs deleted, misspelt, retyped, doubled: refused at the right line, or a
result that follows from what is left; never a crash.

A mutant is judged by what the program reads: a key that it reads and that is misspelt or doubled
is always refused; a retyped one is refused, or printed with a warning, or equal in meaning.
"""
import re

import pytest
import yaml
from conftest import REPO, TEMPLATE, Tree, run

RUNNERS = ["x86-16-32", "gpu-a10g-4", "rel-x86-44-340", "arm-metal-62-230", "gpu-a100-8"]
POOLS = ["g5", "m7i", "r5a"]
VALUES = ["text", "7", "-1", "true", "null", "[1, a]", "{a: 1}", "''", "1.5", "2026-01-02"]
READ = {"name", "instance_type", "vcpu", "memory", "gpu", "disk_size", "runner_group",
        "runner_class", "max_runners", "node_fleet", "proactive_capacity", "max_burst_capacity",
        "imex_channels", "fresh_multiplier", "hud_failure_base_capacity", "scheduler_name",
        "github_config_url", "github_secret_name", "runner_name_prefix", "region", "modules",
        "proactive_capacity_max", "pause_runners", "exclude_regions", "instances", "runner",
        "fleet", "arc-runners"}
# Read in runner definitions; in node pools it is another program's.
RUNNERS_ONLY = {"gpu"}


def key_lines(text):
    """(index, indentation, key, rest) of lines of block mappings."""
    for i, line in enumerate(text.split("\n")):
        m = re.match(r"^( *(?:- )?)([\w-]+):(.*)$", line)
        if m and not line.lstrip().startswith("#"):
            yield i, m[1], m[2], m[3]


def children_end(lines, i):
    """Where the value below line i ends."""
    depth = len(lines[i]) - len(lines[i].lstrip())
    end = i + 1
    while end < len(lines) and lines[end].strip() and \
            len(lines[end]) - len(lines[end].lstrip()) > depth:
        end += 1
    return end


def misspelt(key):
    return key[:-2] + key[-1] + key[-2] if len(key) > 3 and key[-1] != key[-2] else key + "s"


def mutants(text):
    """(what was done, key, first line that may be named, mutated text)"""
    lines = text.split("\n")
    for i, indent, key, rest in key_lines(text):
        end = children_end(lines, i)
        yield "delete", key, i, "\n".join(lines[:i] + lines[end:])
        renamed = f"{indent}{misspelt(key)}:{rest}"
        yield "misspell", key, i, "\n".join([*lines[:i], renamed, *lines[i + 1:]])
        if not indent.endswith("- "):
            double = lines[i:end]
            yield "double", key, i, "\n".join(lines[:end] + double + lines[end:])
        for value in VALUES:
            retyped = f"{indent}{key}: {value}"
            yield f"retype {value}", key, i, "\n".join([*lines[:i], retyped, *lines[end:]])


@pytest.fixture
def small(tmp_path):
    """The shipped inputs in the fleet repository's layout, cut down to one cluster and a few runners."""
    tree = Tree(tmp_path)
    for path in tmp_path.rglob("*.yaml"):
        path.unlink()
    fleet = yaml.safe_load((REPO / "clusters/clusters.yaml").read_text())
    cluster = fleet["clusters"]["staging-usw1"]
    cluster["modules"] = ["nodepools", "bin-pack-scheduler", "arc-runners"]
    cluster["pause_runners"] = False
    tree.write("clusters.yaml", yaml.dump({"clusters": {"k1": cluster}}, sort_keys=False))
    for name in RUNNERS:
        tree.definition((REPO / f"clusters/runners/{name}.yaml").read_text(), f"{name}.yaml")
    for path in (REPO / "clusters/nodepools").glob("*.yaml"):
        tree.write(f"modules/nodepools/defs/{path.name}", path.read_text())
    tree.write("modules/arc-runners/templates/runner.yaml.tpl", TEMPLATE + 'disk: "{{DISK_SIZE}}"\n')
    assert tree.runners("k1").rc == 0
    return tree


def judge(tree, name, mutation, problems):
    """Runs a mutant and appends what is wrong with the answer."""
    what, key, line, text = mutation
    path = tree.write(name, text)
    done = tree.runners("k1")
    errors = re.findall(r"^(.+?)(?::(\d+):(\d+))?: error\[HFG\d+\]", done.err, re.M)
    here = [int(ln) for file, ln, _ in errors if file == str(path) and ln]
    label = f"{name}: {what} {key} (line {line + 1})"
    if done.rc not in (0, 1):
        problems.append(f"{label}: exit {done.rc}")
    if done.rc == 1 and not errors:
        problems.append(f"{label}: refused without a diagnostic: {done.err}")
    if key in READ and not (key in RUNNERS_ONLY and "nodepools" in name) and what in ("misspell", "double") and done.rc == 0:
        problems.append(f"{label}: accepted")
    if done.rc == 1 and here and what != "delete" and not any(abs(ln - 1 - line) <= 40 and ln > 0
                                                             for ln in here):
        problems.append(f"{label}: points at {here}")
    exact = what in ("misspell",) and key in READ
    if exact and done.rc == 1 and here and line + 1 not in here:
        problems.append(f"{label}: points at {here}, not at the misspelt key")


def test_mutants(small):
    problems, count = [], 0
    targets = ["clusters.yaml", *(f"modules/arc-runners/defs/{n}.yaml" for n in RUNNERS),
               *(f"modules/nodepools/defs/{n}.yaml" for n in POOLS)]
    for name in targets:
        original = (small.root / name).read_text()
        for mutation in mutants(original):
            judge(small, name, mutation, problems)
            count += 1
        small.write(name, original)
    assert small.runners("k1").rc == 0
    assert count >= 1000
    assert not problems, "\n".join(problems)


def test_deleted_options_take_their_defaults(small):
    """The rule for deletions: what is optional falls back, what is required is missed by name."""
    name = "modules/arc-runners/defs/x86-16-32.yaml"
    original = (small.root / name).read_text()
    for key, code in (("name", "HFG005"), ("instance_type", "HFG005"), ("memory", "HFG005")):
        small.write(name, re.sub(rf"^  {key}:.*\n", "", original, flags=re.M))
        assert f"error[{code}]" in small.runners("k1").err and key in small.runners("k1").err
    small.write(name, re.sub(r"^  disk_size:.*\n", "", original, flags=re.M))
    assert small.runners("k1").rc == 0
    assert 'disk: "100Gi"' in (small.out / "x86-16-32.yaml").read_text()


@pytest.mark.parametrize("body", [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"%", b"&a *a", b"? ", b"{" * 5000,
                                  b"- " * 5000, b"a: " + b"[" * 400, b"\t", b"!!python/object:x y",
                                  b"a: &a [*a]", b"---\n---\n", b"\x1b[31m", b"'", b'"\\x"'])
def test_bad_bytes_anywhere(small, body):
    """Each input replaced by, and continued with, something that is no YAML or no sensible one."""
    for name in ("clusters.yaml", "modules/arc-runners/defs/x86-16-32.yaml",
                 "modules/nodepools/defs/g5.yaml",
                 "modules/arc-runners/templates/runner.yaml.tpl"):
        path = small.root / name
        original = path.read_bytes()
        for text in (body, original + body):
            path.write_bytes(text)
            assert small.runners("k1").rc in (0, 1)
            assert run("config", "k1", "region", env={"CLUSTERS_YAML": str(path)}).rc in (0, 1)
        path.write_bytes(original)


def test_alias_bomb(small):
    bomb = "x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n"
    for i in range(1, 40):
        bomb += f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 10)}]\n"
    text = bomb + (small.root / "clusters.yaml").read_text() + "defaults: {bomb: *x39}\n"
    small.write("clusters.yaml", text)
    assert small.runners("k1").rc == 0, "harmless until it is printed"
    done = small.gen("config", "k1", "bomb")
    assert done.rc == 1 and "longer than" in done.err
