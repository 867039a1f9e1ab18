"""A misspelt key in any mapping that is read: refused at the very column, with the right one named.

A key that is merely unknown is another program's and passes.
"""
import json
import re

import pytest
import yaml
from conftest import Tree

DEFINITION = "modules/arc-runners/defs/r1.yaml"
POOL = "modules/nodepools/defs/q7a.yaml"

RUNNER_KEYS = {"name": "r", "instance_type": "q7a.2xlarge", "vcpu": 1, "memory": "1Gi", "gpu": 1,
               "disk_size": 5, "runner_group": "g", "runner_class": "slow", "max_runners": 3,
               "node_fleet": "q7a", "proactive_capacity": 1, "max_burst_capacity": 9,
               "imex_channels": 0, "fresh_multiplier": 1, "hud_failure_base_capacity": 1,
               "scheduler_name": "packer"}
BLOCK = {"github_config_url": "https://github.com/org", "github_secret_name": "s",
         "runner_name_prefix": "p-", "runner_group": "g", "scheduler_name": "packer",
         "capacity_aware_fresh_multiplier": 1.0}
HF = {"namespace": "hf", "image": "i:1", "refresh_image": "i:1", "cache_size": "5%",
      "memory": "64Mi", "keeper_memory": "32Mi", "read_timeout": "5m", "refresh_interval": "60s",
      "refresh_schedule": "0 7 * * *", "offline": True,
      "mount_role_arn": "arn:aws:iam::1:role/x", "refresh_role_arn": "arn:aws:iam::1:role/x"}
CLUSTER = {"region": "xx-1", "cluster_name": "k1", "aws_account_id": "123456789012",
           "state_bucket": "b", "pause_runners": False, "proactive_capacity_max": 3,
           "capacity_aware_age_threshold_seconds": 60, "access_config": {},
           "arc": {"runner_image_tag": "1"}, "arc-runners": BLOCK,
           "arc-runners-x": {"capacity_aware_fresh_multiplier": 2.0}, "hf_cache": HF,
           "modules": ["hf-cache", "nodepools", "packer", "arc-runners", "arc-runners-x"]}
CLUSTERS = {"defaults": {"region": "xx-1", "arc": {"runner_image_tag": "1"}, "arc-runners": BLOCK,
                         "hf_cache": HF, "aws_account_id": "123456789012"},
            "clusters": {"k1": CLUSTER}}
POOLS = {"fleet": {"name": "q7a", "exclude_regions": [], "instances": [{"type": "q7a.2xlarge"}]},
         "fleets": [{"name": "q8", "exclude_regions": [], "instances": [{"type": "q8.large"}]}],
         "nodepool": {"instance_type": "q9.large", "exclude_regions": []}}
# Through JSON, so that no mapping is shared: YAML would write an alias for it.
FILES = json.loads(json.dumps({"clusters.yaml": CLUSTERS, DEFINITION: {"runner": RUNNER_KEYS},
                               POOL: POOLS}))
# The defaults' block is looked at only where a cluster has none of its own; no key stands in place
# of an id or a module of the list.
ELSEWHERE = {("clusters.yaml", "defaults", "arc-runners", key) for key in BLOCK} | \
    {("clusters.yaml", "clusters", "k1"), ("clusters.yaml", "clusters", "k1", "arc-runners-x")}


@pytest.fixture
def full(tmp_path):
    """A valid tree in which every key that is read stands."""
    tree = Tree(tmp_path)
    for name, content in FILES.items():
        tree.write(name, yaml.dump(content, sort_keys=False))
    tree.write("modules/arc-runners-x/defs/x.yaml",
               yaml.dump({"runner": {**RUNNER_KEYS, "name": "other"}}))
    tree.write("modules/hf-cache/templates/x.yaml.tpl", "a: {{CLUSTER_ID}}\n")
    tree.write("modules/hf-cache/models.txt", "a/b\n")
    done = tree.gen("lint")
    assert done.rc == 0, done
    return tree


def keys(node, path):
    """(path, key, line, column) of every key of a YAML node, counting from 1."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = key.start_mark
            yield (*path, key.value), key.value, at.line + 1, at.column + 1
            yield from keys(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys(item, path)


def misspellings(key):
    """One letter swapped, lost or doubled; the other separator."""
    yield key[:-2] + key[-1] + key[-2]
    yield key + key[-1]
    if len(key) > 4:
        yield key[:2] + key[3:]
    if "_" in key or "-" in key:
        yield key.translate(str.maketrans("_-", "-_"))


def test_every_key_that_is_read(full):
    known = {key for name in FILES for _, key, _, _ in
             keys(yaml.compose((full.root / name).read_text()), ())}
    count = 0
    for name in FILES:
        text = (full.root / name).read_text()
        for path, key, line, column in keys(yaml.compose(text), ()):
            if (name, *path) in ELSEWHERE:
                continue
            for wrong in misspellings(key):
                if wrong in known or wrong == key:
                    continue
                lines = text.split("\n")
                old = lines[line - 1]
                lines[line - 1] = old[:column - 1] + wrong + old[column - 1 + len(key):]
                full.write(name, "\n".join(lines))
                done = full.gen("lint")
                place = f"{name}:{line}:{column}: error[HFG007]: unknown key '{wrong}'\n"
                assert done.rc == 1 and place in done.err, (path, wrong, done)
                found = done.err[done.err.index(place):]
                # Source line, carets under the whole key, hint.
                excerpt = re.match(r".*\n +\d+ \| (.*)\n +\| ( *)(\^+)\n +(.*)\n", found)
                assert excerpt, found
                assert excerpt[1] == lines[line - 1]
                assert (len(excerpt[2]), len(excerpt[3])) == (column - 1, len(wrong))
                # What is one letter from `fleets` may be one from `fleet`.
                assert excerpt[4] in [f"= hint: did you mean '{k}'?" for k in
                                      (key, key.removesuffix("s"))]
                count += 1
        full.write(name, text)
    assert count >= 200


def test_unknown_keys_pass(full):
    """At the end of every mapping, a key like no other."""
    def extend(node):
        if isinstance(node, dict):
            return {**{k: extend(v) for k, v in node.items()}, "zzzzzzzzzzzz": 1}
        return [extend(v) for v in node] if isinstance(node, list) else node

    for name, content in FILES.items():
        extended = extend(content)
        if name == "clusters.yaml":  # every key of `clusters` is a cluster
            del extended["clusters"]["zzzzzzzzzzzz"]
        full.write(name, yaml.dump(extended, sort_keys=False))
    done = full.gen("lint")
    assert done.rc == 0 and "HFG007" not in done.err, done
