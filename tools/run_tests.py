#!/usr/bin/env python3
"""run_tests.py --results DIR KIND ...: runs one suite, prints a line for it and keeps its figures.

  cmocka SUITE PROGRAM...             unit test programs, two at a time
  sanity SUITE PROGRAM                a program that the sanitizers must stop
  fuzz SUITE SECONDS WORKDIR PROGRAM...   all seeds, then SECONDS of fuzzing each
  pytest SUITE PYTHON PATH...         integration tests: folders or files; several at a time if
                                      that Python has xdist (PYTEST_JOBS=0: one after the other)
  broken TARGET                       make TARGET failed: a failure, if it left none behind
  summary                             all suites; the last line is `N passed, N failed, N skipped`

Exits 1 after a failure. Needs nothing but Python.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

from results import Suite

JOBS = os.cpu_count() or 1
# Integration tests mostly wait for others.
PYTEST_JOBS = int(os.environ.get("PYTEST_JOBS", 2 * JOBS))
# One hung test must not hang the run.
UNIT_TIMEOUT = 300
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
# What each target of `make test` leaves in the results folder.
SUITES = {"test-unit": ["unit"], "test-asan": ["sanitizers", "unit-asan"], "fuzz-smoke": ["fuzz"],
          "test-integration": ["integration"],
          "test-integration-asan": ["integration-asan"], "lint": ["lint"]}


def run(command, timeout):
    """Exit status (None after a time-out) and everything the command printed."""
    env = dict(os.environ)
    for key, value in SANITIZER_OPTIONS.items():
        env.setdefault(key, value)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, env=env, check=False)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode(errors="replace")
        return None, f"{text}\nno end after {timeout} s\n"


def concurrently(function, items):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        yield from pool.map(function, items)


def indented(text, lines=60):
    return "".join(f"    {line}\n" for line in text.splitlines()[-lines:])


def report(suite):
    state = "FAILED" if suite.failures else "ok"
    print(f"  {'TEST':7} {suite.name}: {state}, {suite.line()}", flush=True)


def cmocka_program(program):
    """Runs one program; cmocka prints its totals once for each group."""
    name = pathlib.Path(program).name
    status, output = run([program], UNIT_TIMEOUT)
    suite = Suite(name)

    def total(word):
        found = re.findall(rf"^\[ +{word} +\] (\d+) test\(s\)", output, re.M)
        return sum(int(n) for n in found)

    suite.passed = total("PASSED")
    failed = re.findall(r"^\[  FAILED  \] (\w+)$", output, re.M)
    suite.failures = [f"{name}: {test}" for test in dict.fromkeys(failed)]
    suite.skips = [f"{name}: {test}"
                   for test in dict.fromkeys(re.findall(r"^\[  SKIPPED \] (\w+)$", output, re.M))]
    if status != 0 and not suite.failures:
        running = re.findall(r"^\[ RUN      \] (\w+)", output, re.M)
        where = running[-1] if running else "before its first test"
        suite.passed = max(suite.passed, len(re.findall(r"^\[       OK \]", output, re.M)))
        suite.failures = [f"{name}: ended with status {status} in {where}"]
    elif not (suite.passed or suite.failures or suite.skips):
        suite.failures = [f"{name}: ran no test"]
    if suite.failures:
        print(f"  {'FAIL':7} {program}\n{indented(output)}", end="", flush=True)
    return suite


def run_cmocka(suite, programs):
    """A program that fails beside others gets a second run alone, as some look at time-outs and a
    busy machine is not their subject. Failing again is a failure; passing is told in the summary."""
    for program, part in list(zip(programs, concurrently(cmocka_program, programs))):
        if part.failures:
            alone = cmocka_program(program)
            alone.unsteady = [] if alone.failures else part.failures
            part = alone
        suite.add(part)


def run_sanity(suite, args):
    """The program has to live without a fault and to die of each sanitizer's own."""
    for fault, word in (("none", ""), ("heap", "heap-buffer-overflow"),
                        ("overflow", "signed integer overflow")):
        status, output = run([args[0], fault], 60)
        if (status == 0) == (fault == "none") and word in output:
            suite.passed += 1
        else:
            suite.failures.append(f"sanity {fault}: status {status}")
            print(indented(output), end="")


def fuzz_one(job):
    program, seconds, work = job
    name = pathlib.Path(program).name
    subject = name.removeprefix("fuzz_")
    seeds = pathlib.Path("tests/fuzz/corpus") / subject
    corpus = work / "corpus" / subject
    crashes = work / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    suite = Suite(name)
    if not seeds.is_dir() or not any(seeds.iterdir()):
        suite.failures.append(f"{name}: no seeds in {seeds}")
        return suite
    options = ["-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={crashes}/{subject}-"]
    dictionary = pathlib.Path("tests/fuzz") / f"{subject}.dict"
    if dictionary.is_file():
        options.append(f"-dict={dictionary}")
    for what, command in (
            ("seeds", [program, *options, "-runs=0", str(seeds)]),
            (f"{seconds} s", [program, *options, f"-max_total_time={seconds}", str(corpus), str(seeds)])):
        status, output = run(command, seconds + 300)
        if status != 0:
            suite.failures.append(f"{name}: {what}, status {status}")
            print(f"  {'FAIL':7} {name} ({what})\n{indented(output)}", end="", flush=True)
            break
        suite.passed += 1
    return suite


def run_fuzz(suite, args):
    seconds, work = int(args[0]), pathlib.Path(args[1])
    for part in concurrently(fuzz_one, [(program, seconds, work) for program in args[2:]]):
        suite.add(part)


def parallel(python):
    """Options for pytest: which tests go to one process says tests/integration/conftest.py."""
    probe = subprocess.run([python, "-c", "import xdist"], stderr=subprocess.DEVNULL, check=False)
    if PYTEST_JOBS == 0 or probe.returncode != 0:
        return []
    return ["-n", str(PYTEST_JOBS), "--dist", "loadscope", "--no-loadscope-reorder"]


def run_pytest(suite, args, results):
    python, paths = args[0], args[1:]
    report_file = results / f"{suite.name}.xml"
    report_file.parent.mkdir(parents=True, exist_ok=True)
    report_file.unlink(missing_ok=True)
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           f"--junitxml={report_file}", *parallel(python), *paths],
                          stdin=subprocess.DEVNULL, env=env, check=False)
    if not report_file.exists():
        suite.failures.append(f"pytest: status {done.returncode}, no report")
        return
    for case in xml.etree.ElementTree.parse(report_file).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            suite.failures.append(name)
        elif skip is not None:
            suite.skips.append(f"{name}: {skip.get('message')}")
        else:
            suite.passed += 1
    if done.returncode != 0 and not suite.failures:
        suite.failures.append(f"pytest: status {done.returncode}")


def broken(results, target):
    for name in SUITES.get(target, []):
        path = results / f"{name}.json"
        if path.exists() and Suite.load(path).failures:
            return
    suite = Suite(f"make-{target}")
    suite.failures.append("could not be built or run; its output is above")
    suite.save(results)


def summary(results):
    everything = Suite("everything")
    print()
    for path in sorted(results.glob("*.json")):
        suite = Suite.load(path)
        everything.add(suite)
        print(f"  {suite.name:20} {suite.line()}")
        for what, lines in (("FAILED", suite.failures), ("UNSTEADY", suite.unsteady),
                            ("SKIPPED", suite.skips)):
            for line in lines:
                print(f"    {what} {line}")
    if not everything.passed and not everything.failures:
        everything.failures.append("no test ran")
    print(f"\n{everything.line()}")
    return everything


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("kind")
    parser.add_argument("args", nargs="*")
    options = parser.parse_args()
    if options.kind == "broken":
        broken(options.results, options.args[0])
        return 0
    if options.kind == "summary":
        return 1 if summary(options.results).failures else 0
    suite = Suite(options.args[0])
    if options.kind == "pytest":
        run_pytest(suite, options.args[1:], options.results)
    else:
        {"cmocka": run_cmocka, "sanity": run_sanity, "fuzz": run_fuzz}[options.kind](
            suite, options.args[1:])
    suite.save(options.results)
    report(suite)
    return 1 if suite.failures else 0


if __name__ == "__main__":
    sys.exit(main())
