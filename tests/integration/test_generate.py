"""generate and check, on the shipped fleet and on small trees."""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from conftest import CLEAN, CLUSTER, GEN, REPO, contents, run, snapshot

GOLDEN = REPO / "tests/golden"
HF_WORDS = (b"hf_cache", b"hf-cache", b"HF_H", b"hf_scratch", b"hf-scratch")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    out = tmp_path_factory.mktemp("fleet") / "generated"
    done = run("generate", "--out", out)
    assert done.rc == 0, done
    return out


def test_golden_sums(fleet):
    """Every file of the shipped fleet; `make golden` writes the list anew, for review as a diff."""
    lines = [f"{hashlib.sha256(body).hexdigest()}  {name}" for name, body in
             sorted(contents(fleet).items())]
    assert lines == (GOLDEN / "SHA256SUMS").read_text().splitlines()


def test_golden_files(fleet):
    samples = contents(GOLDEN / "files")
    assert len(samples) >= 15
    for name, body in samples.items():
        assert (fleet / name).read_bytes() == body, name


def test_twice_writes_nothing(fleet):
    before = snapshot(fleet)
    done = run("generate", "--out", fleet)
    assert done.rc == 0 and " 0 files written" in done.out
    assert snapshot(fleet) == before


def test_check_is_quiet_when_up_to_date(fleet):
    done = run("check", "--out", fleet)
    assert done.rc == 0 and done.out == ""


def clusters_with(module):
    done = run("config", "--list")
    return {c: run("config", c, "has-module", module).rc == 0 for c in done.out.split()}


def test_hf_cache_only_where_enabled(fleet):
    enabled = clusters_with("hf-cache")
    assert [c for c, on in enabled.items() if on] == ["demo"]
    for cluster, on in enabled.items():
        files = contents(fleet / cluster)
        assert files
        hits = [n for n, body in files.items() if any(w in body for w in HF_WORDS)]
        runners = [n for n in files if n.startswith("arc-runners")]
        assert (len(hits) == len(files)) if on else not hits
        assert runners and (fleet / cluster / "hf-cache").exists() == on


def job_pod(path):
    _, config_map = yaml.safe_load_all(path.read_text())
    return yaml.safe_load(config_map["data"]["job-pod.yaml"])


def env_of(pod):
    return {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}


def test_job_pods_of_the_demo_cluster(fleet):
    for path in (fleet / "demo").glob("arc-runners*/*.yaml"):
        pod = job_pod(path)
        env = env_of(pod)
        assert env["HF_HOME"] == "/mnt/hf_cache"
        assert env["HF_HUB_CACHE"] == "/mnt/hf_cache/hub"
        assert env["HF_HUB_OFFLINE"] == "1"
        mounts = {m["name"]: m for m in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["hf-cache"]["readOnly"] is True
        assert mounts["hf-cache"]["mountPropagation"] == "HostToContainer"
        volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
        assert volumes["hf-cache"]["hostPath"]["path"] == "/mnt/hf_cache"
        for name in ("HF_MODULES_CACHE", "HF_DATASETS_CACHE"):
            home = [m for m in mounts.values() if env[name].startswith(m["mountPath"] + "/")]
            assert home and "emptyDir" in volumes[home[0]["name"]] and not home[0].get("readOnly")


def manifests(folder):
    return [d for p in sorted(folder.glob("*.yaml")) for d in yaml.safe_load_all(p.read_text()) if d]


def test_manifests_of_the_demo_cluster(fleet):
    objects = manifests(fleet / "demo/hf-cache")
    kinds = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert ("DaemonSet", "hf-cache-mount") in kinds
    assert len([k for k in kinds if k[0] == "DaemonSet"]) == 2, "one mount for all sizes, one keeper"
    assert all(o["metadata"]["labels"]["osdc.io/module"] == "hf-cache" for o in objects
               if o["kind"] != "ClusterRoleBinding")
    by_name = {k: o for k, o in zip(kinds, objects)}
    space = by_name[("Namespace", "hf-cache")]
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    models = by_name[("ConfigMap", "hf-cache-models")]["data"]["models.txt"]
    assert models == (REPO / "clusters/models.txt").read_text()
    privileged = [o["metadata"]["name"] for o in objects if '"privileged": true' in
                  str(o).replace("'", '"').replace("True", "true")]
    assert privileged == ["hf-cache-keeper"]


def cluster_file(tree, extra="", modules=("hf-cache", "nodepools", "arc-runners")):
    text = CLUSTER[:CLUSTER.index("    modules:")] + extra + "    modules:\n"
    tree.write("clusters.yaml", text + "".join(f"      - {m}\n" for m in modules))


def test_offline_can_be_switched(tree):
    for extra, value in (("", "1"), ("    hf_cache: {offline: false}\n", "0")):
        cluster_file(tree, extra)
        assert tree.runners().rc == 0
        assert f'offline: "{value}"' in (tree.out / "r.one.yaml").read_text()


def test_monitoring_only_with_its_module(tree):
    cluster_file(tree)
    assert tree.gen("generate").rc == 0
    assert not (tree.root / "generated/k1/hf-cache/monitoring.yaml").exists()
    cluster_file(tree, modules=("hf-cache", "nodepools", "arc-runners", "monitoring"))
    assert tree.gen("generate").rc == 0
    assert (tree.root / "generated/k1/hf-cache/monitoring.yaml").exists()


HF_BAD = ["namespace: UPPER", "cache_size: 0%", "cache_size: 101%", "cache_size: '75'",
          "cache_size: 10", "memory: 64MB", "memory: 0Mi", "read_timeout: 5", "image: ''",
          "image: 'a b'", "refresh_schedule: '* * * *'", "refresh_schedule: \"0 7 * * '\"",
          "offline: 'yes'", "mount_role_arn: role", "vfs_cache_max_size: lots", "namspace: x"]


@pytest.mark.parametrize("setting", HF_BAD)
def test_hf_cache_settings_are_checked(tree, setting):
    cluster_file(tree, f"    hf_cache:\n      {setting}\n")
    done = tree.gen("lint")
    assert done.rc == 1 and ("clusters.yaml:13:" in done.err), done


def test_old_hf_cache_keys(tree):
    cluster_file(tree, "    hf_cache:\n      rclone_image: r\n      vfs_cache_max_size: 200G\n"
                       "      tcp_rmem_max: 1\n")
    done = tree.gen("lint")
    assert done.rc == 0 and done.err.count("warning[HFG109]") == 3
    done = tree.gen("generate")
    assert done.rc == 0 and done.err == "6 warnings: `hfcache-gen lint` shows them\n"
    text = (tree.root / "generated/k1/hf-cache/mount-daemonset.yaml").read_text()
    assert "--cache-size=200Gi" in text


def test_missing_models_is_a_warning(tree):
    cluster_file(tree)
    done = tree.gen("lint")
    assert done.rc == 0 and "warning[HFG115]" in done.err


@pytest.mark.parametrize("models", [b"a\x01b\n", b"\xff\n"])
def test_bad_models(tree, models):
    cluster_file(tree)
    tree.write("modules/hf-cache/models.txt", models)
    done = tree.gen("lint")
    assert done.rc == 1 and "error[HFG061]" in done.err


def test_own_templates_of_the_tree(tree):
    cluster_file(tree)
    tree.write("modules/hf-cache/templates/x.yaml.tpl", "a: {{CLUSTER_ID}}\nb: {{NOPE}}\n")
    done = tree.gen("lint")
    assert done.rc == 1 and "x.yaml.tpl:2:4: error[HFG042]" in done.err
    tree.write("modules/hf-cache/templates/x.yaml.tpl", b"\xff")
    assert "error[HFG040]" in tree.gen("lint").err
    (tree.root / "modules/hf-cache/templates/x.yaml.tpl").unlink()
    assert "no templates" in tree.gen("lint").err


def test_one_cluster_leaves_the_others(tree):
    tree.write("clusters.yaml", CLUSTER + CLUSTER.replace("clusters:\n", "").replace("k1", "k2"))
    assert tree.gen("generate").rc == 0
    out = tree.root / "generated"
    assert sorted(p.name for p in out.iterdir()) == [".hfcache-gen", "k1", "k2"]
    before = snapshot(out / "k2")
    tree.edit("modules/arc-runners/defs/r1.yaml", "vcpu: 6", "vcpu: 7")
    assert tree.gen("generate", "k1").rc == 0
    assert snapshot(out / "k2") == before
    assert b'vcpu: "7"' in (out / "k1/arc-runners/r.one.yaml").read_bytes()


def test_removed_cluster_goes(tree):
    tree.write("clusters.yaml", CLUSTER + CLUSTER.replace("clusters:\n", "").replace("k1", "k2"))
    assert tree.gen("generate").rc == 0
    tree.write("clusters.yaml", CLUSTER)
    done = tree.gen("check")
    assert done.rc == 1 and "+++ /dev/null" in done.out
    assert tree.gen("generate").rc == 0
    assert not (tree.root / "generated/k2").exists()


def test_foreign_folder_is_not_replaced(tree):
    tree.write("precious/file", "x")
    before = snapshot(tree.root / "precious")
    done = tree.gen("generate", "--out", "precious")
    assert done.rc == 1 and "will not be replaced" in done.err
    assert snapshot(tree.root / "precious") == before


def test_check_shows_a_diff_that_applies(tree):
    assert tree.gen("generate").rc == 0
    out = tree.root / "generated"
    old = contents(out)
    tree.edit("modules/arc-runners/defs/r1.yaml", "vcpu: 6", "vcpu: 66")
    tree.definition("runner: {name: new, instance_type: q7a.2xlarge, vcpu: 1, memory: 1Gi}\n", "n.yaml")
    tree.write("generated/k1/arc-runners/surplus.yaml", "x: 1\n")
    done = tree.gen("check")
    assert done.rc == 1 and "3 files" in done.err
    assert contents(out) == {**old, "k1/arc-runners/surplus.yaml": b"x: 1\n"}, "nothing is written"
    subprocess.run(["patch", "-p0", "-s", "-E"], input=done.out, text=True, cwd=tree.root, check=True)
    patched = contents(out)
    assert tree.gen("generate").rc == 0
    assert contents(out) == patched
    assert tree.gen("check").rc == 0


def test_check_quiet_and_one_cluster(tree):
    done = tree.gen("check", "k1", "--quiet")
    assert done.rc == 1 and done.out == "" and done.err == ""


def test_image_from_cluster_flag_and_nowhere(tree):
    tree.write("modules/arc-runners/templates/runner.yaml.tpl", "i: {{RUNNER_IMAGE}}\n")

    def image():
        return (tree.root / "generated/k1/arc-runners/r.one.yaml").read_text()

    assert tree.gen("generate").rc == 0 and image() == "i: ghcr.io/actions/actions-runner:1.0\n"
    assert tree.gen("generate", "--image", "x").rc == 0 and image() == "i: x\n"
    tree.edit("clusters.yaml", '      runner_image_tag: "1.0"\n', "      x: 1\n")
    done = tree.gen("generate")
    assert done.rc == 1 and "error[HFG014]" in done.err and image() == "i: x\n"
    assert tree.gen("lint").rc == 0, "lint needs no image"


def test_output_follows_no_symlink(tree):
    tree.write("elsewhere/x", "1")
    (tree.root / "generated").symlink_to("elsewhere")
    done = tree.gen("generate", "--out", "generated")
    assert done.rc == 1 and (tree.root / "elsewhere/x").exists()


def test_unwritable_output(tree):
    done = tree.gen("generate", "--out", "no/such/parent")
    assert done.rc == 1 and "error[HFG050]" in done.err
    done = tree.gen("generate", "--out", "clusters.yaml")
    assert done.rc == 1 and "Not a directory" in done.err


def big_tree(tree, vcpu):
    for i in range(120):
        tree.definition(f"runner: {{name: r{i}, instance_type: q7a.2xlarge, vcpu: {vcpu}, "
                        "memory: 1Gi}\n", f"r{i}.yaml")
    (tree.root / "modules/arc-runners/defs/r1.yaml").write_text(
        f"runner: {{name: r1, instance_type: q7a.2xlarge, vcpu: {vcpu}, memory: 1Gi}}\n")


def test_kill_leaves_old_or_new(tree):
    """SIGKILL at random moments of a run that changes every file."""
    seed = int(os.environ.get("SEED", time.time()))
    print("SEED", seed)
    rng = random.Random(seed)
    states = {}
    out = tree.root / "generated"
    for vcpu in (1, 2):
        big_tree(tree, vcpu)
        assert tree.gen("generate").rc == 0
        states[vcpu] = contents(out)
    start = time.monotonic()
    big_tree(tree, 1)
    assert tree.gen("generate").rc == 0
    took = time.monotonic() - start
    for i in range(60):
        big_tree(tree, i % 2 + 1)
        child = subprocess.Popen([GEN, "generate"], cwd=tree.root, env=CLEAN,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.random() * took)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert contents(out) in states.values()
    big_tree(tree, 2)
    assert tree.gen("generate").rc == 0
    assert contents(out) == states[2]
    assert not [p for p in tree.root.iterdir() if p.name.endswith(".hfcache-gen")], "no leftovers"


def test_two_at_once(tree):
    big_tree(tree, 1)
    children = [subprocess.Popen([GEN, "generate"], cwd=tree.root, env=CLEAN, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    ends = [(c.communicate(), c.returncode) for c in children]
    assert 0 in [rc for _, rc in ends]
    for (_, err), rc in ends:
        assert rc == 0 or "another hfcache-gen is writing" in err
    assert len(contents(tree.root / "generated")) == 121


def test_shipped_inputs_are_found_from_below(tmp_path):
    done = run("generate", "--out", tmp_path / "g", "demo", cwd=REPO / "clusters/runners")
    assert done.rc == 0 and (tmp_path / "g/demo/hf-cache").is_dir()


def test_default_output_is_beside_the_inputs(tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(REPO / "clusters", root / "clusters")
    shutil.copytree(REPO / "templates", root / "templates")
    done = run("generate", "demo", "--quiet", cwd=root)
    assert done.rc == 0 and done.out == "" and Path(root / "generated/demo").is_dir()
