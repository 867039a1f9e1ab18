"""results.py: the figures of one test suite, kept in a file until `make test` sums them up."""
import json
import pathlib


class Suite:
    """Counts of one suite, and a line for each failure and skip."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failures = []
        self.skips = []
        self.unsteady = []  # failed beside others, passed alone

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        self.unsteady += other.unsteady

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(vars(self), indent=1) + "\n")

    @classmethod
    def load(cls, path):
        suite = cls("")
        vars(suite).update(json.loads(pathlib.Path(path).read_text()))
        return suite

    def line(self):
        return (f"{self.passed} passed, {len(self.failures)} failed, "
                f"{len(self.skips)} skipped")
