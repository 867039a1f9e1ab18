#!/usr/bin/env python3
"""coverage.py BUILD FOLDER=MINIMUM...: line coverage of the folders by what ran in the cov variant.

Prints a line a file; exits 1 if a folder as a whole is below its MINIMUM percent. Calls gcovr from
BUILD/venv; the lines that were never run are in BUILD/coverage/index.html.
"""
import json
import pathlib
import subprocess
import sys


def main(build, minimums):
    out = build / "coverage"
    out.mkdir(parents=True, exist_ok=True)
    filters = [word for folder in minimums for word in ("--filter", f"{folder}/")]
    subprocess.run([build / "venv/bin/gcovr", "--root", ".", "--object-directory", build / "obj/cov",
                    *filters, "--exclude-noncode-lines",
                    "--json-summary", out / "summary.json", "--html-details", out / "index.html",
                    build / "obj/cov"], check=True, stdout=subprocess.DEVNULL)
    files = json.loads((out / "summary.json").read_text())["files"]
    totals = {folder: [0, 0] for folder in minimums}
    for entry in sorted(files, key=lambda entry: entry["filename"]):
        name, covered, lines = entry["filename"], entry["line_covered"], entry["line_total"]
        folder = totals[name.split("/")[0]]
        folder[0] += covered
        folder[1] += lines
        if lines:
            print(f"    {name:32} {covered:5} of {lines:5}  {100 * covered / lines:6.2f} %")
    low = []
    for folder, (covered, lines) in totals.items():
        print(f"  {folder + '/':34} {covered:5} of {lines:5}  {100 * covered / max(lines, 1):6.2f} %")
        if 100 * covered < minimums[folder] * lines or not lines:
            low.append(f"coverage of {folder}/ is below {minimums[folder]:g} %")
    print(f"  not covered, line by line: {out}/index.html")
    print("".join(f"{line}\n" for line in low), end="")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]),
                  {name: float(least) for name, least in (word.split("=") for word in sys.argv[2:])}))
