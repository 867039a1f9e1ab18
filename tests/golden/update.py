#!/usr/bin/env python3
"""Writes the golden outputs of the shipped fleet anew: SHA256SUMS of all files, and a sample of
them in files/. Run by `make golden`; what it changes is to be reviewed as a diff."""
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE = [
    "demo/hf-cache/*",
    "demo/arc-runners/x86-16-32.yaml",       # blocks kept
    "staging-usw1/arc-runners/x86-16-32.yaml",  # blocks stripped, capacity capped
    "demo/arc-runners/gpu-a10g-4.yaml",
    "prod-usw1/arc-runners/gpu-a10g-4.yaml",  # zeroed: excluded in this region
    "prod-use1/arc-runners/rel-x86-44-340.yaml",
    "prod-use1/arc-runners/arm-metal-62-230.yaml",
    "prod-use2/arc-runners-b200/*",
]

with tempfile.TemporaryDirectory() as tmp:
    out = Path(tmp) / "generated"
    gen = os.environ.get("HFCACHE_GEN", "build/bin/hfcache-gen")
    subprocess.run([gen, "generate", "--out", str(out), "--quiet"], check=True,
                   stderr=subprocess.DEVNULL)
    files = sorted(p for p in out.rglob("*") if p.is_file())
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(out)}\n" for p in files]
    (HERE / "SHA256SUMS").write_text("".join(sorted(sums, key=lambda s: s[66:])))
    shutil.rmtree(HERE / "files", ignore_errors=True)
    for pattern in SAMPLE:
        found = sorted(out.glob(pattern))
        assert found, pattern
        for path in found:
            target = HERE / "files" / path.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
