"""transformers and torch load a published model, offline, with HF_HOME on the bucket's directory.

Run by `make test-clients`; takes the programs of the build, and a Hub server of the tests' own.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests/integration"))

# pylint: disable=wrong-import-position
from refresh import check_bucket, environment, refresh, Bucket  # noqa: E402
from servers import HubServer  # noqa: E402

torch = pytest.importorskip("torch", reason="no torch: make test-clients installs it")
transformers = pytest.importorskip("transformers",
                                   reason="no transformers: make test-clients installs it")

# In a process of its own, since HF_HOME is read when the library is imported.
LOAD = """
import json, sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM
name, ids = json.load(sys.stdin)
config = AutoConfig.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name).eval()
with torch.no_grad():
    logits = model(torch.tensor([ids])).logits
json.dump({"type": config.model_type, "logits": logits[0].double().tolist()}, sys.stdout)
"""
IDS = [1, 5, 3, 2, 8]


def tiny(kind):
    """A model of random numbers, small enough to be made here."""
    torch.manual_seed(7)
    if kind == "llama":
        config = transformers.LlamaConfig(
            vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
        return transformers.LlamaForCausalLM(config).eval()
    config = transformers.GPT2Config(vocab_size=64, n_positions=64, n_embd=64, n_layer=4, n_head=4)
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_sharded_model_is_loaded_from_the_bucket(kind, tmp_path):
    model = tiny(kind)
    with torch.no_grad():
        expected = model(torch.tensor([IDS])).logits[0]
    saved = tmp_path / "saved"
    model.save_pretrained(saved, max_shard_size="100KB", safe_serialization=True)
    files = {str(path.relative_to(saved)): path for path in saved.rglob("*") if path.is_file()}
    assert sum(name.endswith(".safetensors") for name in files) > 1
    bucket = Bucket(f"file://{tmp_path}/bucket")
    with HubServer() as hub:
        hub.model("org/tiny", files)
        done = refresh("sync", "org/tiny", "--to", bucket.url, env=environment(hub))
        assert done.rc == 0, done
    check_bucket(bucket.objects(), {"org/tiny": {n: p.read_bytes() for n, p in files.items()}})
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"),
           "HF_HOME": str(bucket.root), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", LOAD], input=json.dumps(["org/tiny", IDS]),
                          env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["type"] == kind
    assert torch.allclose(torch.tensor(told["logits"], dtype=torch.float64), expected.double(),
                          atol=1e-5)
