"""The documents say what the program does: codes, options, placeholders, tests, links."""
import re
import shutil
import subprocess

import pytest
from conftest import REPO, run

COMMANDS = ["generate", "check", "runners", "config", "lint", "enable", "disable", "explain"]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
CODES = re.findall(r'^DIAG\((\w+), (\d+), DIAG_(ERROR|WARNING), "(.*)"\)$',
                   (REPO / "gen/diag_codes.def").read_text(), re.M)


def read(name):
    return (REPO / name).read_text()


def test_every_code_has_a_section():
    titles = re.findall(r"^## (HFG\d{3}): (.*)$", read("docs/errors.md"), re.M)
    assert titles == [(f"HFG{int(n):03d}", title) for _, n, _, title in CODES]


@pytest.mark.parametrize("name", [c[0] for c in CODES])
def test_every_code_is_reported_somewhere(name):
    sources = "".join(p.read_text() for p in (REPO / "gen").glob("*.c"))
    assert re.search(rf"\b{name}\b", sources)


def test_every_placeholder_is_documented():
    page = read("docs/templates.md")
    names = re.findall(r"^    P\((\w+),", read("gen/placeholder.c"), re.M) + \
        re.findall(r'= "([A-Z_]+)",', read("gen/hfcache_settings.c"))
    assert len(names) == 35 + 16
    assert [n for n in names if f"`{n}`" not in page] == []


def test_every_setting_is_documented():
    page = read("docs/configuration.md")
    keys = re.search(r"hf_keys\[\] = {(.*?)NULL", read("gen/hfcache_settings.c"), re.S)[1]
    keys = re.findall(r'"(\w+)"', keys) + \
        re.findall(r'"(\w+)"', re.search(r"runner_keys\[\] = {(.*?)NULL", read("gen/runner.c"), re.S)[1])
    assert len(keys) > 25
    assert [k for k in keys if f"`{k}`" not in page] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_man_page_and_completion_know_every_option(command):
    man, completion = read("man/hfcache-gen.1"), read("completions/hfcache-gen.bash")
    for option in re.findall(r"^  --(\w[\w-]*)", run(command, "--help").out, re.M):
        assert f"-{option}" in man, option
        assert f"--{option}" in completion, option
    assert f"Cm {command}" in man or f"Ss enable, {command}" in man
    assert command in completion


def test_man_page_is_clean():
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run([mandoc, "-Tlint", "-Wwarning", REPO / "man/hfcache-gen.1"],
                          capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def shown_commands():
    """Command lines of hfcache-gen in code spans, code blocks and the manual page's examples."""
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"^\$ (hfcache-gen .*)$", text, re.M)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        lines += [" ".join(span.split()) for span in re.findall(r"`(hfcache-gen [^`]+)`", prose)]
        yield from ((page.name, line) for line in lines)
    for line in re.findall(r"^hfcache-gen .*$", read("man/hfcache-gen.1"), re.M):
        yield from (("man", part.strip()) for part in line.split("&&"))


@pytest.mark.parametrize("page, line", sorted(set(shown_commands())))
def test_shown_commands_are_understood(page, line):
    """--help behind the options is reached only if all before it are known."""
    command, *args = re.sub(r"\|[\w|]+", "", line).split()[1:]
    assert command in COMMANDS, (page, line)
    if command == "config":  # whatever follows the cluster is part of the query
        args = [a for a in args if a.startswith("--") and a != "--list"]
    done = run(command, *args, "--help")
    assert done.rc == 0 and done.out.startswith(f"usage: hfcache-gen {command} "), (page, done)


def test_commands_are_shown_somewhere():
    assert {line.split()[1] for _, line in shown_commands()} == set(COMMANDS) - {"disable"}


def test_guarantees_name_real_tests():
    named = re.findall(r"`(test_\w+\.\w+)(?:::(\w+))?`", read("docs/GUARANTEES.md"))
    assert len(named) > 20
    for name, test in named:
        path = REPO / "tests" / ("unit" if name.endswith(".c") else "integration") / name
        assert path.exists(), name
        assert not test or f"def {test}(" in path.read_text(), (name, test)


def test_the_tour_is_real():
    """Commands of the README that need no changed input print what it shows."""
    tour = read("README.md")
    for args in (["explain", "prod-usw1", "gpu-a10g-4", "MAX_RUNNERS_LINE"],
                 ["enable", "hf-cache", "prod-use1", "--dry-run"],
                 ["config", "prod-use1", "base.vpc_cidr"]):
        shown = tour.split(f"$ hfcache-gen {' '.join(args)}\n")[1].split("```")[0]
        assert run(*args).out == shown
