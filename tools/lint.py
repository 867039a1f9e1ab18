#!/usr/bin/env python3
"""lint.py --results DIR --build DIR [CHECK...]: everything that can be judged without running tests.

Prints one line for each check, with the findings if there are any. A check whose tool is missing is
reported as skipped, with the reason, and counted as such: it is not a pass. Names of checks as
arguments run only those.
"""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

from results import Suite

C_FOLDERS = ("lib", "command", "gen", "mount", "refresh")
INCLUDES = [f"-I{folder}" for folder in C_FOLDERS]
SHELL_FOLDERS = (".ci", "completions", "deploy", "tools", "tests")
# Of clang's analyzer only what holds without seeing other files: it does not know our cleanup
# attributes or what a callee guarantees. Leaks and bad pointers are the sanitizers' task.
TIDY_CHECKS = ",".join((
    "-*", "bugprone-*", "cert-err34-c", "cert-flp30-c", "misc-redundant-expression",
    "misc-unused-parameters", "performance-*", "readability-misleading-indentation",
    "readability-redundant-declaration", "clang-analyzer-core.DivideZero",
    "clang-analyzer-core.StackAddressEscape", "clang-analyzer-core.VLASize",
    "clang-analyzer-deadcode.*", "clang-analyzer-security.*", "clang-analyzer-unix.BadSizeArg",
    "clang-analyzer-unix.MallocSizeof", "clang-analyzer-unix.cstring.*",
    # Matters of taste, or wrong about our C.
    "-bugprone-easily-swappable-parameters", "-bugprone-reserved-identifier",
    "-bugprone-narrowing-conversions", "-bugprone-assignment-in-if-condition",
    "-bugprone-implicit-widening-of-multiplication-result", "-bugprone-sizeof-expression",
    "-performance-no-int-to-ptr",
    "-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"))
FINDING_LINES = 80


class Skip(Exception):
    """The check can't be made here; the text says why."""


class Fault(Exception):
    """The check failed; the text is what the tool found."""


def tool(name):
    found = shutil.which(name)
    if not found:
        raise Skip(f"{name} is not installed (make deps)")
    return found


def call(command):
    """What the command printed; a Fault if it exits with anything but 0."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Fault(output or f"{command[0]} exited with {done.returncode}")
    return output


def c_files(folders, suffixes=(".c",)):
    return sorted(path for folder in folders for path in pathlib.Path(folder).glob("*")
                  if path.suffix in suffixes)


def shell_scripts():
    """Files of the repository that a shell runs, by name or first line."""
    for folder in SHELL_FOLDERS:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file() and "corpus" not in path.parts:
                with path.open("rb") as stream:
                    first = stream.readline(80)
                if path.suffix in (".sh", ".bash") or (first.startswith(b"#!") and b"sh" in first.split(b"/")[-1]):
                    yield path


class Checks:
    """One method a check: returns what it looked at; raises Skip or Fault."""

    def __init__(self, build):
        self.build = build
        self.generator = build / "bin/hfcache-gen"
        self.generated = build / "lint/generated"
        self.yamllint = [build / "venv/bin/yamllint", "--strict", "-c", ".yamllint.yaml"]

    def format(self):
        files = c_files(C_FOLDERS + ("tests/unit", "tests/fuzz", "tests/sanity"), (".c", ".h"))
        call([tool("clang-format"), "--dry-run", "-Werror", *files])
        return f"{len(files)} files"

    def metrics(self):
        python = self.build / "venv/bin/python"
        if not python.exists():
            raise Skip("no build/venv (make deps)")
        return "\n" + call([python, "tools/metrics.py", *C_FOLDERS]).rstrip()

    def cppcheck(self):
        """Without its search for leaks: it does not know cleanup attributes."""
        files = c_files(C_FOLDERS)
        call([tool("cppcheck"), "--quiet", "--std=c11", "--enable=warning,performance",
              "--suppress=resourceLeak", "--suppress=memleak", "--inline-suppr", "--error-exitcode=1", "--suppress=missingIncludeSystem",
              "--library=posix,gnu", "-D_GNU_SOURCE", '-DHFC_VERSION="x"', *INCLUDES, *files])
        return f"{len(files)} files"

    def tidy(self):
        files = c_files(C_FOLDERS)
        command = [tool("clang-tidy"), "--quiet", f"--checks={TIDY_CHECKS}", "--warnings-as-errors=*"]
        flags = ["--", "-std=gnu17", "-D_GNU_SOURCE", '-DHFC_VERSION="x"', *INCLUDES]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(call, [*command, path, *flags]) for path in files]
        faults = [str(job.exception()) for job in jobs if job.exception()]
        if faults:
            raise Fault("".join(faults))
        return f"{len(files)} files"

    def shellcheck(self):
        files = list(shell_scripts())
        call([tool("shellcheck"), *files])
        return f"{len(files)} scripts"

    def inputs_yaml(self):
        return self.yaml_of("clusters")

    def inputs(self):
        self.need_generator()
        output = call([self.generator, "lint"])
        return output.strip().splitlines()[-1] if output.strip() else "no findings"

    def generate(self):
        """Everything from the inputs, into build/lint/generated, for the checks that follow."""
        self.need_generator()
        shutil.rmtree(self.generated, ignore_errors=True)
        self.generated.parent.mkdir(parents=True, exist_ok=True)
        call([self.generator, "generate", "--quiet", "--out", self.generated])
        return f"{len(list(self.generated.rglob('*.yaml')))} files"

    def generated_yaml(self):
        return self.yaml_of(self.generated)

    def kubernetes(self):
        """Every generated object against the schema of its kind."""
        kubeconform = self.build / "tools/kubeconform"
        if not kubeconform.exists() or not (self.build / "schemas").is_dir():
            reason = self.build / "tools/kubeconform.reason"
            raise Skip(reason.read_text().strip() if reason.exists() else "no kubeconform (make deps)")
        objects = self.build / "lint/objects"
        shutil.rmtree(objects, ignore_errors=True)
        count = sum(self.split(path, objects) for path in sorted(self.generated.rglob("*.yaml")))
        if not count:
            raise Fault("no generated objects\n")
        call([kubeconform, "-strict", "-summary", "-schema-location",
              str(self.build / "schemas/{{.ResourceKind}}{{.KindSuffix}}.json"), objects])
        return f"{count} objects"

    def split(self, path, objects):
        """Writes each object of a file as one of its own. What is none are Helm values: the first
        document of a runner's file, and only there."""
        documents = path.read_text().split("\n---\n")
        count = 0
        for number, text in enumerate(documents):
            if "\napiVersion:" in "\n" + text and "\nkind:" in "\n" + text:
                target = objects / path.relative_to(self.generated).with_suffix(f".{number}.yaml")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
                count += 1
            elif number or len(documents) == 1:
                raise Fault(f"{path}: document {number + 1} is no Kubernetes object\n")
        return count

    def yaml_of(self, folder):
        if not self.yamllint[0].exists():
            raise Skip("no build/venv (make deps)")
        files = sorted(pathlib.Path(folder).rglob("*.yaml"))
        if not files:
            raise Fault(f"no YAML files in {folder}\n")
        call([*self.yamllint, folder])
        return f"{len(files)} files"

    def need_generator(self):
        if not self.generator.exists():
            raise Fault(f"{self.generator} is not built\n")


# In this order; those of one row need nothing of each other.
ORDER = (("format", "metrics", "cppcheck", "shellcheck", "inputs_yaml", "inputs", "generate"),
         ("tidy",), ("generated_yaml", "kubernetes"))


def run(check, name, suite):
    label = f"  {'LINT':7} {name.replace('_', '-')}:"
    try:
        seen = check()
        suite.passed += 1
        print(f"{label} ok, {seen}" if not seen.startswith("\n") else f"{label} ok{seen}", flush=True)
    except Skip as why:
        suite.skips.append(f"{name}: {why}")
        print(f"{label} SKIPPED, {why}", flush=True)
    except Fault as found:
        suite.failures.append(name)
        lines = str(found).splitlines()
        more = len(lines) - FINDING_LINES
        lines[FINDING_LINES:] = [f"... and {more} more lines"] if more > 0 else []
        print(f"{label} FAILED\n" + "\n".join(f"    {line}" for line in lines), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("checks", nargs="*")
    options = parser.parse_args()
    suite = Suite("lint")
    checks = Checks(options.build)
    for row in ORDER:
        names = [name for name in row if not options.checks or name in options.checks]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for name in names:
                pool.submit(run, getattr(checks, name), name, suite)
    suite.save(options.results)
    print(f"  {'LINT':7} {suite.line()}")
    return 1 if suite.failures else 0


if __name__ == "__main__":
    sys.exit(main())
