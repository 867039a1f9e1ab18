"""lint's formats: the same findings for people, for programs and for GitHub."""
import json
import os
import pty
import re
import subprocess

import pytest
from conftest import CLEAN, DEFINITION, GEN


@pytest.fixture
def bad(tree):
    """A tree with three errors and a warning."""
    tree.definition(DEFINITION.replace("vcpu: 6", "vcpu: null").replace("3Gi", "3GiB"))
    tree.definition(DEFINITION.replace("r.one", "R2").replace("q7a", "q7b"), "r2.yaml")
    return tree


def findings(text):
    return sorted(re.findall(r"^(.+?):(\d+):(\d+): (error|warning)\[(HFG\d+)\]: (.*)$", text, re.M))


def test_text(bad):
    done = bad.gen("lint")
    assert done.rc == 1 and done.out == "" and "3 errors, 1 warning\n" in done.err
    assert sorted(f[4] for f in findings(done.err)) == ["HFG006", "HFG026", "HFG027", "HFG113"]
    assert "\x1b" not in done.err, "no colours without a terminal"


def test_json_has_the_same_findings(bad):
    text = findings(bad.gen("lint").err)
    done = bad.gen("lint", "--format", "json")
    items = [json.loads(line) for line in done.out.splitlines()]
    assert done.rc == 1 and done.err == ""
    assert sorted((i["file"], str(i["line"]), str(i["column"]), i["severity"], i["code"],
                   i["message"]) for i in items) == text


def test_github_has_the_same_findings(bad):
    text = findings(bad.gen("lint").err)
    done = bad.gen("lint", "--format=github")
    lines = re.findall(r"^::(error|warning) file=([^,]+),line=(\d+),col=(\d+),title=(HFG\d+)[^:]*::",
                       done.out, re.M)
    assert done.rc == 1
    assert sorted((f, ln, col, sev, code) for sev, f, ln, col, code in lines) == \
        [t[:5] for t in text]


def test_sarif_has_the_same_findings(bad):
    text = findings(bad.gen("lint").err)
    done = bad.gen("lint", "--format=sarif")
    log = json.loads(done.out)
    assert done.rc == 1 and log["version"] == "2.1.0"
    (one,) = log["runs"]
    driver = one["tool"]["driver"]
    assert driver["name"] == "hfcache-gen" and driver["rules"]
    rules = {r["id"] for r in driver["rules"]}
    got = []
    for r in one["results"]:
        assert r["ruleId"] in rules
        place = r["locations"][0]["physicalLocation"]
        got.append((place["artifactLocation"]["uri"], str(place["region"]["startLine"]),
                    str(place["region"]["startColumn"]), r["level"], r["ruleId"]))
    assert sorted(got) == [t[:5] for t in text]


@pytest.mark.parametrize("fmt", ["json", "sarif", "github", "text"])
def test_nothing_found(tree, fmt):
    done = tree.gen("lint", "--format", fmt)
    assert done.rc == 0 and done.err == ""
    if fmt == "sarif":
        assert json.loads(done.out)["runs"][0]["results"] == []
    else:
        assert done.out == ""


def test_strict_fails_on_warnings(tree):
    tree.definition(DEFINITION.replace("r.one", "R.one"))
    assert tree.gen("lint").rc == 0
    assert tree.gen("lint", "--strict").rc == 1
    assert tree.gen("lint", "--strict", "--format", "json").rc == 1


def test_unknown_format(tree):
    done = tree.gen("lint", "--format", "xml")
    assert done.rc == 2 and "unknown format 'xml'" in done.err


def on_a_terminal(tree, **env):
    """What lint prints on a terminal."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([GEN, "lint"], cwd=tree.root, env={**CLEAN, **env}, stderr=theirs,
                             stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            part = b""
        if not part:
            break
        text += part
    child.wait()
    os.close(ours)
    return text


def test_colours_on_a_terminal_only(bad):
    assert b"\x1b[" in on_a_terminal(bad, NO_COLOR="")
    assert b"\x1b" not in on_a_terminal(bad, NO_COLOR="1")


def test_hostile_text_cannot_drive_a_terminal(tree):
    tree.definition(DEFINITION.replace("vcpu: 6", 'vcpu: null # \u202e \u200b\n  x: "\\e[31m"')
                    .replace("r.one", '"a\\e[2J"'))
    done = tree.gen("lint")
    assert done.rc == 1 and "\x1b" not in done.err and "\u202e" not in done.err
