"""A second, independent statement of the arithmetic: what each placeholder becomes, in Python.

Random definitions and clusters, odd values among them, are rendered through a template that holds
every placeholder. The program must accept exactly what the model accepts, and then write exactly
its bytes. SEED repeats a run.
"""
import os
import random
import re
import time

import pytest
import yaml
from conftest import Tree, contents

SEED = int(os.environ.get("SEED", time.time()))
UNITS = {unit + i: base ** power for base, i in ((1024, "i"), (1000, ""))
         for power, unit in enumerate("KMGT", 1)}
INLINE = ["GITHUB_CONFIG_URL", "GITHUB_SECRET_NAME", "RUNNER_NAME_PREFIX", "RUNNER_NAME",
          "RUNNER_NAME_NORMALIZED", "INSTANCE_TYPE", "NODE_FLEET", "VCPU", "MEMORY", "MEMORY_BYTES",
          "DISK_SIZE", "MODULE_NAME", "RUNNER_IMAGE", "HF_CACHE_BUCKET", "HF_CACHE_REGION",
          "RUNNER_GROUP", "GPU_COUNT", "RUNNER_CLASS", "PROACTIVE_CAPACITY", "MAX_BURST_CAPACITY",
          "HUD_FAILURE_BASE_CAPACITY", "SCHEDULER_NAME", "CAPACITY_AWARE_CLUSTER_INDEX",
          "CAPACITY_AWARE_CLUSTER_COUNT", "CAPACITY_AWARE_AGE_THRESHOLD_SECONDS",
          "CAPACITY_AWARE_FRESH_MULTIPLIER"]
SNIPPETS = ["GPU_JOB_TOLERATIONS", "GPU_NODE_SELECTOR_AFFINITY", "GPU_REQUEST", "GPU_LIMIT",
            "IMEX_ENV", "RUNNER_CLASS_JOB_AFFINITY", "MAX_RUNNERS_LINE", "SCHEDULER_NAME_LINE"]
# No YAML on purpose (the snippets have indents of their own): this is about bytes.
TEMPLATE = "".join(f'{n}: "{{{{{n}}}}}"\n' for n in INLINE) + \
    "".join(f"<{n}>{{{{{n}}}}}\n" for n in SNIPPETS) + "\n\n\n\nend\n"


class Refused(Exception):
    """The inputs are to be refused."""


def need(condition):
    if not condition:
        raise Refused


def is_int(value, least=None):
    return isinstance(value, int) and not isinstance(value, bool) and \
        (least is None or value >= least)


def is_number(value):
    return is_int(value) or isinstance(value, float)


def memory_bytes(text):
    for unit, factor in sorted(UNITS.items(), key=lambda u: -len(u[0])):
        if text.endswith(unit) and len(text) > len(unit):
            number = text[:-len(unit)]
            break
    else:
        number, factor = text, 1
    need(re.fullmatch(r"\s*[-+]?[0-9]+(_[0-9]+)*\s*", number))
    return int(number) * factor


def maximum(runner, cluster_id):
    value = runner.get("max_runners")
    if isinstance(value, dict):
        need("default" in value and all(is_int(v, 1) for v in value.values()))
        return value.get(cluster_id, value["default"])
    need(value is None or is_int(value, 1))
    return value


def capacities(runner, cluster, cluster_id, excluded):
    """(maximum, proactive, burst, base without demand)"""
    proactive = runner.get("proactive_capacity", 0)
    burst = runner.get("max_burst_capacity", 0)
    base = runner.get("hud_failure_base_capacity", 0)
    top = maximum(runner, cluster_id)
    need(is_number(proactive) and is_int(burst, 0) and is_number(base))
    cap = cluster.get("proactive_capacity_max")
    if cap is not None:
        proactive = min(proactive, cap)
    if cluster.get("pause_runners"):
        top, base = 0, 0
    if runner["instance_type"] in excluded:
        top, proactive, base = 0, 0, 0
    need(not (burst > 0 and proactive > burst) and not (burst > 0 and base > burst))
    return top, proactive, burst, base


def group(runner, block):
    own = block.get("runner_group")
    value = runner.get("runner_group", "default")
    need(value is not None)
    if runner.get("runner_class", "") == "release":
        value = f"{own}-release-runners" if own else "default"
    elif own:
        value = own
    need(isinstance(value, str))
    _, found, path = block["github_config_url"].rstrip("/").partition("github.com/")
    return "default" if found and "/" in path else value


def fleet(runner):
    override = runner.get("node_fleet")
    if override is None:
        return runner["instance_type"].split(".")[0]
    need(isinstance(override, str) and override != "c7i-runner")
    need(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", override))
    return override


def scheduler(runner, cluster):
    value = runner.get("scheduler_name") or cluster["arc-runners"].get("scheduler_name", "")
    need(isinstance(value, str))
    return value if value in cluster["modules"] else ""


def multiplier(runner, cluster, module):
    value = runner.get("fresh_multiplier")
    if value is None:
        value = cluster.get(module, {}).get("capacity_aware_fresh_multiplier", 1.0)
    try:
        return float(value)
    except (TypeError, ValueError) as wrong:
        raise Refused from wrong


def peers(clusters, cluster_id, module):
    def base(name):
        return name.removesuffix("-opt")

    def prefix(cluster):
        return cluster["arc-runners"].get("runner_name_prefix", "")

    same = sorted(k for k, c in clusters.items() if prefix(c) == prefix(clusters[cluster_id]) and
                  base(module) in map(base, c["modules"]))
    return (same.index(cluster_id), len(same)) if cluster_id in same else (0, 1)


def snippets(runner, values, top, sched):
    gpu = runner.get("gpu", 0) > 0
    label, request = "- key: nvidia.com/gpu", f'\n{" " * 14}nvidia.com/gpu: "{values["GPU_COUNT"]}"'
    kind, imex = values["RUNNER_CLASS"], runner.get("imex_channels")
    lines = [(10, "requiredDuringSchedulingIgnoredDuringExecution:"), (12, "nodeSelectorTerms:"),
             (14, "- matchExpressions:"), (18, "- key: osdc.io/runner-class"),
             (20, f"operator: {'In' if kind else 'DoesNotExist'}")]
    lines += [(20, "values:"), (22, f'- "{kind}"')] if kind else []
    return {
        "GPU_JOB_TOLERATIONS": f"\n{' ' * 8}{label}\n{' ' * 10}operator: Equal\n{' ' * 10}"
                               f'value: "true"\n{" " * 10}effect: NoSchedule' if gpu else "",
        "GPU_NODE_SELECTOR_AFFINITY": f"\n{' ' * 18}{label}\n{' ' * 20}operator: In\n{' ' * 20}"
                                      f'values:\n{" " * 22}- "true"' if gpu else "",
        "GPU_REQUEST": request if gpu else "",
        "GPU_LIMIT": request if gpu else "",
        "IMEX_ENV": "" if imex is None else
                    f'\n{" " * 12}- name: NVIDIA_IMEX_CHANNELS\n{" " * 14}value: "{imex}"',
        "RUNNER_CLASS_JOB_AFFINITY": "".join(f"{' ' * n}{text}\n" for n, text in lines),
        "MAX_RUNNERS_LINE": "" if top is None else f"maxRunners: {top}",
        "SCHEDULER_NAME_LINE": f"{' ' * 6}schedulerName: {sched}" if sched else "",
    }


def model(clusters, cluster_id, module, runner, excluded):
    """The output's name and text, or Refused."""
    cluster = clusters[cluster_id]
    block = cluster["arc-runners"]
    for key in ("name", "instance_type"):
        need(isinstance(runner.get(key), str) and runner[key])
    need(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}", runner["name"]))
    need(isinstance(runner.get("runner_class", ""), str) and is_number(runner.get("gpu", 0)))
    need(runner.get("vcpu", 0) is not None and runner.get("disk_size", 0) is not None)
    need(runner.get("memory") is not None)
    top, proactive, burst, base = capacities(runner, cluster, cluster_id, excluded)
    index, count = peers(clusters, cluster_id, module)
    sched = scheduler(runner, cluster)
    values = {
        "GITHUB_CONFIG_URL": block["github_config_url"],
        "GITHUB_SECRET_NAME": block.get("github_secret_name", ""),
        "RUNNER_NAME_PREFIX": block.get("runner_name_prefix", ""),
        "RUNNER_NAME": runner["name"],
        "RUNNER_NAME_NORMALIZED": re.sub("[._]", "-", runner["name"]),
        "INSTANCE_TYPE": runner["instance_type"], "NODE_FLEET": fleet(runner),
        "VCPU": runner.get("vcpu"), "MEMORY": runner["memory"],
        "MEMORY_BYTES": memory_bytes(str(runner["memory"])),
        "DISK_SIZE": f"{runner.get('disk_size', 100)}Gi", "MODULE_NAME": module,
        "RUNNER_IMAGE": "image:1", "HF_CACHE_BUCKET": f"pytorch-hf-model-cache-{cluster_id}",
        "HF_CACHE_REGION": cluster["region"], "RUNNER_GROUP": group(runner, block),
        "GPU_COUNT": runner.get("gpu", 0), "RUNNER_CLASS": runner.get("runner_class", ""),
        "PROACTIVE_CAPACITY": proactive, "MAX_BURST_CAPACITY": burst,
        "HUD_FAILURE_BASE_CAPACITY": base, "SCHEDULER_NAME": sched,
        "CAPACITY_AWARE_CLUSTER_INDEX": index, "CAPACITY_AWARE_CLUSTER_COUNT": count,
        "CAPACITY_AWARE_AGE_THRESHOLD_SECONDS":
            cluster.get("capacity_aware_age_threshold_seconds", 900),
        "CAPACITY_AWARE_FRESH_MULTIPLIER": multiplier(runner, cluster, module),
    }
    values.update(snippets(runner, values, top, sched))
    text = re.sub(r"\{\{(\w+)\}\}", lambda m: str(values[m[1]]), TEMPLATE)
    return runner["name"] + ".yaml", re.sub("\n{3,}", "\n\n", text)


USUAL = {
    "instance_type": ["q7a.2xlarge", "q8.metal", "q9.large", "q8"],
    "vcpu": [1, 96, "7", 0.5], "memory": ["3Gi", "170Gi", "1Ti", "7K", "12M", "5G", "2T", "64Ki",
                                          4096, "99999999999999999999Ti", "1_000Mi", " 5 ", "+5Gi"],
    "gpu": [0, 1, 8, 0.5], "disk_size": [1, 900, "50"], "runner_group": ["default", "g2"],
    "runner_class": ["", "release", "slow"],
    "max_runners": [1, 64, {"default": 4}, {"default": 4, "k1": 9, "k2": 3}],
    "node_fleet": ["q7a", "q8", "q9"], "proactive_capacity": [0, 1, 7],
    "max_burst_capacity": [0, 50, 200], "imex_channels": [0, 3, "0-3"],
    "fresh_multiplier": [0, 2, 0.5, 1e16, 0.00001, 1.5e300, "0.25", "inf", "1e400"],
    "hud_failure_base_capacity": [0, 2, 40], "scheduler_name": ["", "packer", "nobody"],
}
# Any of these in place of any value.
ODD = [None, True, False, "text", "", 0, -1, 1.5, [1, 2], [], {"a": 1}, "3Pi", "1.5Gi", "0x10",
       "5k", "1__0Mi", "-3Gi", "c7i-runner", "-q7a", "UPPER", 10 ** 30]


def definition(rng, name):
    runner = {"name": name}
    for key, values in USUAL.items():
        if key in ("instance_type", "vcpu", "memory") or rng.random() < 0.45:
            runner[key] = rng.choice(values)
    return runner


def fleet_of_clusters(rng):
    clusters = {}
    for name in rng.sample(["k1", "k2", "b", "a"], rng.randrange(1, 5)) or ["k1"]:
        block = {"github_config_url": rng.choice([
            "https://github.com/org", "https://github.com/org/", "https://github.com/org/repo",
            "https://ghe.example.com/a/b", "https://github.com/enterprises/e//"])}
        for key, values in (("github_secret_name", ["s"]), ("runner_name_prefix", ["p-", "q-"]),
                            ("runner_group", ["g", ""]),
                            ("scheduler_name", ["packer", "nobody", ""]),
                            ("capacity_aware_fresh_multiplier", [2, 0.5])):
            if rng.random() < 0.5:
                block[key] = rng.choice(values)
        modules = ["nodepools", rng.choice(["arc-runners", "arc-runners", "arc-runners-opt"])]
        cluster = {"region": rng.choice(["xx-1", "yy-2"]), "arc-runners": block,
                   "modules": modules + rng.sample(["packer", "other"], rng.randrange(3))}
        for key, values in (("proactive_capacity_max", [0, 3, None]),
                            ("pause_runners", [True, False]),
                            ("capacity_aware_age_threshold_seconds", [60, "5"])):
            if rng.random() < 0.3:
                cluster[key] = rng.choice(values)
        clusters[name] = cluster
    return clusters


@pytest.fixture
def pools(tmp_path):
    """Three fleets; the third is not for the region xx-1."""
    tree = Tree(tmp_path)
    for name in ("q7a", "q8", "q9"):
        pool = {"fleet": {"name": name, "instances": [{"type": f"{name}.large"}]}}
        if name == "q9":
            pool["fleet"]["exclude_regions"] = ["xx-1"]
        tree.write(f"modules/nodepools/defs/{name}.yaml", yaml.dump(pool))
    tree.write("modules/arc-runners/templates/runner.yaml.tpl", TEMPLATE)
    return tree


def available(clusters, cluster_id):
    return {"q7a", "q8"} if clusters[cluster_id]["region"] == "xx-1" else {"q7a", "q8", "q9"}


def expected(clusters, cluster_id, runner):
    """What the program must write; None: refuse."""
    excluded = {"q9.large"} if clusters[cluster_id]["region"] == "xx-1" else set()
    try:
        name, text = model(clusters, cluster_id, "arc-runners", runner, excluded)
        # Fleets are checked for the definitions of the modules in the list; arc-runners-opt, as a
        # folder, has none.
        need("arc-runners" not in clusters[cluster_id]["modules"] or
             runner["instance_type"] in excluded or
             fleet(runner) in available(clusters, cluster_id))
    except Refused:
        return None
    return {name: text.encode()}


@pytest.mark.parametrize("odd", [False, True], ids=["usual", "odd"])
def test_program_and_model_agree(pools, odd):
    print("SEED", SEED)
    rng = random.Random(SEED + odd)
    accepted = 0
    for i in range(300):
        clusters = fleet_of_clusters(rng)
        cluster_id = rng.choice(list(clusters))
        runner = definition(rng, rng.choice(["r1", "a.b_c-d", "x_86.64"]))
        if odd:
            runner[rng.choice(list(runner))] = rng.choice(ODD)
        clusters_text = yaml.dump({"clusters": clusters}, sort_keys=False)
        runner_text = yaml.dump({"runner": runner}, sort_keys=False)
        pools.write("clusters.yaml", clusters_text)
        pools.definition(runner_text)
        done = pools.runners(cluster_id)
        want = expected(clusters, cluster_id, runner)
        where = f"{i}: {cluster_id}\n{clusters_text}{runner_text}{done}"
        assert done.rc == (0 if want is not None else 1), where
        if want is not None:
            accepted += 1
            assert contents(pools.out) == want, where
    assert accepted >= (90 if odd else 150), "most random inputs should be valid"
