#!/usr/bin/env python3
"""demo_load.py MODEL: finds a model with huggingface_hub, offline, and loads its weights mapped."""
import glob
import sys

from huggingface_hub import snapshot_download
from safetensors import safe_open

folder = snapshot_download(sys.argv[1])
print(f"  snapshot_download: {folder}")
for path in sorted(glob.glob(f"{folder}/*.safetensors")):
    with safe_open(path, "numpy") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}
    count = sum(tensor.size for tensor in tensors.values())
    print(f"  safetensors: {len(tensors)} tensors, {count} parameters")
