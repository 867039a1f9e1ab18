"""Recorded behaviour of the tool that `runners` and `config` replace, on inputs made for it.

cases/runners.json: a base tree, and cases that change it. Class `same`: the same files and exit
status; `fix`: what it accepted, or lost data on, and this program refuses without touching the old
output; `either`: the same files, or refused in that way. Files of the output are kept as differences
from one of them. cases/queries.json: files, queries, answers, exit status.
"""
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import contents, run, snapshot

CASES = Path(__file__).parent / "cases"
RECORDED = json.loads((CASES / "runners.json").read_text())
BASE = RECORDED["base"]
QUERIES = json.loads((CASES / "queries.json").read_text())
POSITION = re.compile(r"[^\s:]+:\d+:\d+: error\[HFG\d{3}\]")
OLD = 1_000_000_000


def place(path, content):
    """Puts a recorded file, link or folder in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_bytes(content.encode())
    elif "latin1" in content:
        path.write_bytes(content["latin1"].encode("latin-1"))
    elif "link" in content:
        path.symlink_to(content["link"])
    else:
        path.mkdir()


def build_tree(case, root):
    files = {**BASE["files"], **case.get("files", {})}
    for name, content in files.items():
        if content is not None:
            place(root / name, content)
    prep = case.get("prep")
    if prep == "rm-clusters":
        (root / "clusters.yaml").unlink(missing_ok=True)
    if prep == "rm-npdir":
        shutil.rmtree(root / "modules/nodepools", ignore_errors=True)


def build_output(case, run_dir):
    """The output folder as it was before: with old files in it, or in one of the odd states."""
    out, prep = run_dir / "out", case.get("prep")
    if prep == "out-missing":
        return out
    if prep == "out-noparent":
        return run_dir / "no/such/out"
    if prep == "out-file":
        out.write_text("x")
        return out
    target = out
    if prep == "out-symlink":
        target = run_dir / "elsewhere"
        out.symlink_to("elsewhere")
    target.mkdir()
    for name in ("stale.yaml", "r1.yaml"):
        (target / name).write_text("old\n")
        os.utime(target / name, (OLD, OLD))
    if prep == "out-tree":
        (target / "sub/deep").mkdir(parents=True)
    os.utime(target, (OLD, OLD))
    return out


def expected_files(case):
    base = BASE["out"].splitlines(True)
    files = {}
    for name, delta in case["out"].items():
        if isinstance(delta, str):
            files[name] = delta.encode()
            continue
        lines = list(base)
        for start, end, text in reversed(delta):
            lines[start:end] = [text]
        files[name] = "".join(lines).encode()
    return files


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda c: c["id"])
def test_runners(case, tmp_path):
    root, run_dir = tmp_path / "root", tmp_path / "run"
    root.mkdir()
    run_dir.mkdir()
    build_tree(case, root)
    out = build_output(case, run_dir)
    before = snapshot(run_dir)

    def fill(text):
        return text.replace("@ROOT@", str(root)).replace("@OUT@", str(out))

    env = {k: fill(v) for k, v in case.get("env", BASE["env"]).items()}
    done = run("runners", *map(fill, case.get("argv", BASE["argv"])), env=env, cwd=root)
    assert done.rc in (0, 1), done
    if done.rc == 0:
        assert case["class"] != "fix" and case["rc"] == 0, done
        assert contents(out) == expected_files(case)
        return
    assert case["class"] != "same" or case["rc"] == 1, done
    assert snapshot(run_dir) == before, "refused, but the old output was touched"
    assert "error" in done.err or "usage" in done.err
    if case["class"] == "fix" and case.get("pos"):
        assert POSITION.search(done.err), done


@pytest.mark.parametrize("recorded", QUERIES, ids=lambda r: r["name"])
def test_config(recorded, tmp_path):
    path = tmp_path / "clusters.yaml"
    if recorded["file"] is not None:
        place(path, recorded["file"])
    for argv, rc, out in recorded["queries"]:
        done = run("config", *argv, env={"CLUSTERS_YAML": str(path)}, cwd=tmp_path, text=False)
        assert (argv, done.out, done.rc) == (argv, out.encode("latin-1"), rc), done
