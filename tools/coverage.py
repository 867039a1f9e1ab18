#!/usr/bin/env python3
"""coverage.py BUILD MINIMUM: line coverage of gen/ and lib/ by what ran in the cov variant.

Prints a line a file; exits 1 if gen/ as a whole is below MINIMUM percent. Calls gcovr from
BUILD/venv; the lines that were never run are in BUILD/coverage/index.html.
"""
import json
import pathlib
import subprocess
import sys


def main(build, minimum):
    out = build / "coverage"
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([build / "venv/bin/gcovr", "--root", ".", "--object-directory", build / "obj/cov",
                    "--filter", "gen/", "--filter", "lib/", "--exclude-noncode-lines",
                    "--json-summary", out / "summary.json", "--html-details", out / "index.html",
                    build / "obj/cov"], check=True, stdout=subprocess.DEVNULL)
    files = json.loads((out / "summary.json").read_text())["files"]
    totals = {}
    for entry in sorted(files, key=lambda entry: entry["filename"]):
        name, covered, lines = entry["filename"], entry["line_covered"], entry["line_total"]
        folder = totals.setdefault(name.split("/")[0], [0, 0])
        folder[0] += covered
        folder[1] += lines
        if lines:
            print(f"    {name:32} {covered:5} of {lines:5}  {100 * covered / lines:6.2f} %")
    for folder, (covered, lines) in totals.items():
        print(f"  {folder + '/':34} {covered:5} of {lines:5}  {100 * covered / max(lines, 1):6.2f} %")
    covered, lines = totals.get("gen", (0, 0))
    print(f"  not covered, line by line: {out}/index.html")
    if 100 * covered < minimum * lines or not lines:
        print(f"coverage of gen/ is below {minimum:g} %")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), float(sys.argv[2])))
