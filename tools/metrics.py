#!/usr/bin/env python3
"""metrics.py FOLDER...: length and complexity of the functions, comments and asserts, with limits.

Prints a table; exits 1 if a limit is exceeded. Measured with lizard (from build/venv); a test may be
longer than the code that it tests, so only the programs' folders are given.
"""
import pathlib
import re
import statistics
import sys

import lizard

FUNCTION_LINES, FUNCTION_CCN = 100, 20
P95_LINES, P95_CCN, MEDIAN_LINES = 60, 12, 15
FILE_LINES, HEADER_LINES, COLUMNS = 600, 120, 100
ASSERTS_PER_KSLOC, COMMENT_SHARE = 8, (10, 25)
TOKENS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)


def p95(values):
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def code_and_comments(text):
    """Lines with code and lines with comments; a line may be both."""
    comments = set()

    def blank(match):
        token = match.group()
        if token[0] != "/":
            return token
        first = text.count("\n", 0, match.start())
        comments.update(range(first, first + token.count("\n") + 1))
        return re.sub(r"[^\n]", " ", token)

    code = TOKENS.sub(blank, text)
    return sum(1 for line in code.splitlines() if line.strip()), len(comments)


class Report:
    """The table, and whether any row is beyond its limit."""

    def __init__(self):
        self.rows = []
        self.faults = []

    def row(self, what, value, limit, good):
        self.rows.append(f"    {what:28} {value:>8} {limit:>10}  {'ok' if good else 'BEYOND THE LIMIT'}")
        if not good:
            self.faults.append(what)


def measure_files(paths, faults):
    """Sums over all files: lines of code, of comments, asserts."""
    code = comments = asserts = 0
    for path in paths:
        text = path.read_text()
        lines = text.splitlines()
        limit = HEADER_LINES if path.suffix == ".h" else FILE_LINES
        if len(lines) > limit:
            faults.append(f"{path}: {len(lines)} lines, at most {limit}")
        faults += [f"{path}:{number}: {len(line)} columns, at most {COLUMNS}"
                   for number, line in enumerate(lines, 1) if len(line) > COLUMNS]
        file_code, file_comments = code_and_comments(text)
        code += file_code
        comments += file_comments
        asserts += len(re.findall(r"\b(?:static_)?assert\s*\(|\b_Static_assert\s*\(", text))
    return code, comments, asserts


def main(folders):
    paths = sorted(p for folder in folders for p in pathlib.Path(folder).glob("*.[ch]"))
    functions = [(path, f) for path in paths
                 for f in lizard.analyze_file(str(path)).function_list]
    if not functions:
        print("    no functions in", *folders)
        return 1
    faults = [f"{path}:{f.start_line}: {f.name} has {f.length} lines and complexity "
              f"{f.cyclomatic_complexity}, at most {FUNCTION_LINES} and {FUNCTION_CCN}"
              for path, f in functions
              if f.length > FUNCTION_LINES or f.cyclomatic_complexity > FUNCTION_CCN]
    code, comments, asserts = measure_files(paths, faults)
    lengths = [f.length for _, f in functions]
    ccn = [f.cyclomatic_complexity for _, f in functions]
    share = 100 * comments / (code + comments)
    density = 1000 * asserts / code
    report = Report()
    report.row("function length, median", f"{statistics.median(lengths):g}", f"<= {MEDIAN_LINES}",
               statistics.median(lengths) <= MEDIAN_LINES)
    report.row("function length, p95", p95(lengths), f"<= {P95_LINES}", p95(lengths) <= P95_LINES)
    report.row("function length, longest", max(lengths), f"<= {FUNCTION_LINES}",
               max(lengths) <= FUNCTION_LINES)
    report.row("complexity, p95", p95(ccn), f"<= {P95_CCN}", p95(ccn) <= P95_CCN)
    report.row("complexity, highest", max(ccn), f"<= {FUNCTION_CCN}", max(ccn) <= FUNCTION_CCN)
    report.row("comment share, %", f"{share:.1f}", f"{COMMENT_SHARE[0]}-{COMMENT_SHARE[1]}",
               COMMENT_SHARE[0] <= share <= COMMENT_SHARE[1])
    report.row("asserts per KSLOC", f"{density:.1f}", f">= {ASSERTS_PER_KSLOC}",
               density >= ASSERTS_PER_KSLOC)
    print(f"    {len(paths)} files, {code} lines of code, {len(functions)} functions")
    print("\n".join(report.rows))
    for fault in faults:
        print(f"    {fault}")
    return 1 if faults or report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
