"""The command line itself: help, usage errors, explain."""
import re

import pytest
from conftest import GEN, REPO, run

COMMANDS = ["generate", "check", "runners", "config", "lint", "enable", "disable", "explain"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    by_flag, by_word = run(command, "--help"), run("help", command)
    assert by_flag.rc == by_word.rc == 0 and by_flag.err == ""
    assert by_flag.out == by_word.out
    assert by_flag.out.startswith(f"usage: hfcache-gen {command} ")
    assert max(map(len, by_flag.out.splitlines())) <= 100


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_list_of_commands(args):
    done = run(*args)
    assert done.rc == 0
    assert re.findall(r"^  (\w+) ", done.out, re.M) == COMMANDS


def test_version():
    done = run("--version")
    assert done.rc == 0 and done.out == f"hfcache-gen {(REPO / 'VERSION').read_text().strip()}\n"


@pytest.mark.parametrize("args", [[], ["frobnicate"], ["help", "frobnicate"], ["generate", "--nope"],
                                  ["check", "--out"], ["lint", "--nope"], ["explain"],
                                  ["explain", "a", "b", "c", "d"], ["enable", "hf-cache"],
                                  ["enable", "--nope"], ["runners", "--nope"],
                                  ["explain", "demo", "x86-2-4", "VCPUS"], ["explain", "--nope"],
                                  ["generate", "--qui"], ["lint", "--stri"]])
def test_usage_errors(args):
    done = run(*args)
    assert done.rc == 2 and done.out == ""
    assert "usage" in done.err or "there is no" in done.err


def test_drop_ins_keep_their_exit_status():
    for args in (["runners"], ["config"], ["config", "--nope", "x"]):
        done = run(*args)
        assert done.rc == 1 and done.out == "" and done.err


def test_no_tree(tmp_path):
    for args in (["lint"], ["config", "--list"]):
        done = run(*args, cwd=tmp_path)
        assert done.rc == 1 and "no clusters.yaml here" in done.err


def test_more_arguments_of_runners_are_ignored(tree):
    done = tree.runners("k1", "more")
    assert done.rc == 0 and "'more' is ignored" in done.err


def test_root_is_found_from_the_definitions(tree, tmp_path_factory):
    done = run("runners", "k1", "--image", "i", "--defs", tree.root / "modules/arc-runners/defs",
               cwd=tmp_path_factory.mktemp("elsewhere"))
    assert done.rc == 0 and (tree.out / "r.one.yaml").exists()


def test_output_that_cannot_be_written(tree):
    import subprocess
    with open("/dev/full", "w") as full:
        done = subprocess.run([GEN, "config", "--list"], cwd=tree.root, stdout=full, check=False)
    assert done.returncode == 1


def test_explain_a_cluster():
    done = run("explain", "demo")
    assert done.rc == 0
    assert "block HF_CACHE: kept" in done.out and "block PYPI_CACHE" in done.out
    assert re.search(r"^region: us-west-2\n    clusters/clusters.yaml:\d+:\d+: region: us-west-2$",
                     done.out, re.M)
    assert "github_config_url" in done.out


def test_explain_every_placeholder():
    done = run("explain", "prod-usw1", "gpu-a10g-4", "--image", "i:1")
    names = re.findall(r"^(\w+) = ", done.out, re.M)
    assert done.rc == 0 and len(names) == 35
    template = (REPO / "templates/runner.yaml.tpl").read_text()
    assert set(re.findall(r"{{(\w+)}}", template)) == set(names)


def test_explain_one_placeholder():
    done = run("explain", "prod-usw1", "gpu-a10g-4", "MAX_RUNNERS_LINE")
    assert done.rc == 0
    assert done.out.startswith("MAX_RUNNERS_LINE = 'maxRunners: 0'\n    0: this region excludes")
    assert "clusters/runners/gpu-a10g-4.yaml:" in done.out


def test_explain_points_at_the_line_that_decides(tree):
    tree.edit("clusters.yaml", "    modules:", "    proactive_capacity_max: 2\n    modules:")
    tree.definition("runner:\n  name: r\n  instance_type: q7a.2xlarge\n  vcpu: 1\n  memory: 1Gi\n"
                    "  proactive_capacity: 9\n  max_runners: {default: 4, k1: 5}\n")

    def explain(name):
        return tree.gen("explain", "k1", "r", name).out

    assert "clusters.yaml:12:29: proactive_capacity_max: 2" in explain("PROACTIVE_CAPACITY")
    assert "r1.yaml:7:33: max_runners: {default: 4, k1: 5}" in explain("MAX_RUNNERS_LINE")
    assert "the default" in explain("DISK_SIZE")
    assert "family" in explain("NODE_FLEET")


def test_explain_unknown(tree):
    assert "error[HFG005]" in tree.gen("explain", "k1", "nope").err
    assert "error[HFG010]" in tree.gen("explain", "k9").err
    done = tree.gen("explain", "k1", "r.one", "VCPUU")
    assert done.rc == 2 and "did you mean 'VCPU'" in done.err


def test_explain_broken_settings(tree):
    tree.edit("clusters.yaml", "github_config_url: https://github.com/org", "x: 1")
    for args in (["explain", "k1"], ["explain", "k1", "r.one"]):
        done = tree.gen(*args)
        assert done.rc == 1 and "error[HFG011]" in done.err
