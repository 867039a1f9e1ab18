#!/usr/bin/env python3
"""Measures hfcache-gen, and the generator it replaces where a copy of that is at hand.

    run.py BINARY [--runs N] [--rival DIR] [--write FILE]

--rival (or RIVAL_TREE): a checkout of the fleet repository, the folder that holds clusters.yaml and
modules/. Both programs then work on its inputs, in turns, in the same run. Without it those rows
are reported as skipped. CPU time is user + system of the process and what it started, from
wait4(2); memory is its peak resident set. --write puts the table between the marks in FILE.
"""
import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench-gen: begin -->", "<!-- bench-gen: end -->"


def run(argv, env=None, cwd=None, ok=(0,)):
    """Runs a program to its end; (CPU seconds, peak RSS in KiB)."""
    with open(os.devnull, "w") as null:
        child = subprocess.Popen(argv, env=env, cwd=cwd, stdout=null, stderr=subprocess.PIPE)
        err = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in ok:
        sys.exit(f"{' '.join(map(str, argv))}: exit {child.returncode}\n{err.decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def spread(values):
    """Median and range of a list, as text in milliseconds."""
    ms = [1000 * v for v in values]
    return f"{statistics.median(ms):.1f} ms ({min(ms):.1f}-{max(ms):.1f})"


def work_folder():
    """Where outputs go: memory if it has room, so that no disk and no journal is measured."""
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free > 3 << 30:
        return str(shm)
    return None


def modules_of(gen, root, cluster):
    env = {**os.environ, "CLUSTERS_YAML": str(root / "clusters.yaml")}
    out = subprocess.run([gen, "config", cluster, "modules"], env=env, capture_output=True,
                         text=True, check=True).stdout
    return [m for m in out.split() if m == "arc-runners" or m.startswith("arc-runners-")]


def fleet_jobs(gen, root):
    """(cluster, runner module) of a fleet: what its deployment generates one by one."""
    env = {**os.environ, "CLUSTERS_YAML": str(root / "clusters.yaml")}
    ids = subprocess.run([gen, "config", "--list"], env=env, capture_output=True, text=True,
                         check=True).stdout.split()
    return [(c, m) for c in ids for m in modules_of(gen, root, c)]


def job_env(root, out, module):
    return {**os.environ, "OSDC_ROOT": str(root), "RUNNER_IMAGE": "runner:1",
            "ARC_RUNNERS_DEFS_DIR": str(root / "modules" / module / "defs"),
            "ARC_RUNNERS_TEMPLATE": str(root / "modules/arc-runners/templates/runner.yaml.tpl"),
            "ARC_RUNNERS_OUTPUT_DIR": str(out), "ARC_RUNNERS_MODULE_NAME": module}


def whole_fleet(argv, root, jobs, out):
    """CPU seconds for all jobs, each into an output folder that does not exist yet."""
    total = 0.0
    for cluster, module in jobs:
        shutil.rmtree(out, ignore_errors=True)
        total += run([*argv, cluster], job_env(root, out, module))[0]
    return total


def bench_fleet(gen, rival, runs, tmp):
    """Rows for the fleet and the query, against the rival."""
    python = [sys.executable, str(rival / "modules/arc-runners/scripts/python/generate_runners.py")]
    config = [sys.executable, str(rival / "scripts/cluster-config.py")]
    jobs = fleet_jobs(gen, rival)
    cluster = jobs[0][0]
    env = {**os.environ, "CLUSTERS_YAML": str(rival / "clusters.yaml")}
    query = [cluster, "hf_cache.namespace", "none"]
    at_once = [gen, "generate", "--root", str(rival), "--image", "runner:1", "--out",
               str(tmp / "all"), "--quiet"]
    ours, once, theirs, our_query, their_query = [], [], [], [], []
    for _ in range(runs):
        shutil.rmtree(tmp / "all", ignore_errors=True)
        once.append(run(at_once)[0])
        ours.append(whole_fleet([gen, "runners"], rival, jobs, tmp / "ours"))
        theirs.append(whole_fleet(python, rival, jobs, tmp / "theirs"))
        our_query.append(statistics.mean(run([gen, "config", *query], env)[0] for _ in range(20)))
        their_query.append(run([*config, *query], env)[0])
    files = sum(len(list((rival / "modules" / m / "defs").glob("*.yaml"))) for _, m in jobs)
    return [(f"{files} runner files of {len(jobs)} modules by one `generate`, CPU", spread(once),
             spread(theirs), ratio(once, theirs)),
            (f"the same by {len(jobs)} runs of `runners`, CPU", spread(ours), spread(theirs),
             ratio(ours, theirs)),
            ("one `config` query, CPU", spread(our_query), spread(their_query),
             ratio(our_query, their_query))]


def ratio(ours, theirs):
    """The median of the ratios of each turn: both programs saw the same machine in it."""
    return f"1/{statistics.median(t / max(o, 1e-6) for o, t in zip(ours, theirs)):.0f}"


def big_tree(root, clusters, runners):
    """A tree of many clusters with the shipped template, one cluster's settings for all."""
    defs = root / "modules/arc-runners/defs"
    pools = root / "modules/nodepools/defs"
    templates = root / "modules/arc-runners/templates"
    for folder in (defs, pools, templates):
        folder.mkdir(parents=True)
    shutil.copy(REPO / "templates/runner.yaml.tpl", templates)
    (pools / "c7a.yaml").write_text("fleet:\n  name: c7a\n  instances:\n    - type: c7a.8xlarge\n")
    for i in range(runners):
        (defs / f"r{i}.yaml").write_text(
            f"runner:\n  name: r{i}\n  instance_type: c7a.8xlarge\n  vcpu: {i + 1}\n"
            f"  memory: {i + 2}Gi\n  disk_size: 100\n")
    with open(root / "clusters.yaml", "w") as f:
        f.write("clusters:\n")
        for i in range(clusters):
            f.write(f"  c{i}:\n    region: us-east-1\n    cluster_name: c{i}\n"
                    "    arc:\n      runner_image_tag: '1'\n"
                    "    arc-runners:\n      github_config_url: https://github.com/example-org\n"
                    f"      github_secret_name: s{i}\n      runner_name_prefix: 'x-'\n"
                    f"      runner_group: g{i}\n"
                    "    modules:\n      - nodepools\n      - arc-runners\n")


def bench_big(gen, runs, tmp):
    """CPU and memory for fleets of growing size: memory must not grow with the output."""
    rows = []
    for clusters in (10, 100, 1000):
        root = tmp / f"big{clusters}"
        big_tree(root, clusters, 50)
        cpu, rss = [], []
        for _ in range(runs):
            out = root / "generated"
            shutil.rmtree(out, ignore_errors=True)
            c, r = run([gen, "generate", "--root", str(root), "--out", str(out), "--quiet"])
            cpu.append(c)
            rss.append(r)
        again, _ = run([gen, "generate", "--root", str(root), "--out", str(out), "--quiet"])
        size = (root / "clusters.yaml").stat().st_size
        rows.append((f"`generate`, {clusters:,} clusters x 50 runners, {clusters * 50:,} files, CPU",
                     spread(cpu), f"{statistics.median(rss) / 1024:.1f} MiB", f"{size // 1024} KiB",
                     f"{1000 * again:.0f} ms"))
        shutil.rmtree(root)
    return rows


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(r) + " |" for r in rows]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("binary", nargs="?", default=str(REPO / "build/bin/hfcache-gen"))
    args.add_argument("--runs", type=int, default=5)
    args.add_argument("--rival", default=os.environ.get("RIVAL_TREE"))
    args.add_argument("--write")
    a = args.parse_args()
    gen = str(Path(a.binary).resolve())
    text = [f"{a.runs} runs in turns; median (range). {platform.machine()}, {os.cpu_count()} cores, "
            f"Linux {platform.release().split('-')[0]}.", ""]
    with tempfile.TemporaryDirectory(dir=work_folder()) as tmp:
        tmp = Path(tmp)
        if a.rival:
            text += table(("work", "hfcache-gen", "its predecessor", "ratio"),
                          bench_fleet(gen, Path(a.rival).resolve(), a.runs, tmp))
        else:
            text += ["Skipped: the comparison with the predecessor (no --rival, no RIVAL_TREE)."]
        text += [""] + table(("work", "CPU", "peak memory", "clusters.yaml", "again, unchanged"),
                             bench_big(gen, a.runs, tmp))
    print("\n".join(text))
    if a.write:
        page = Path(a.write).read_text()
        head, rest = page.split(BEGIN)
        tail = rest.split(END)[1]
        Path(a.write).write_text("\n".join([head + BEGIN, "", *text, "", END + tail]))


if __name__ == "__main__":
    main()
