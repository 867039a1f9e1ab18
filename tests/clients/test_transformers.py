"""transformers and torch load a published model, offline, with HF_HOME on the bucket's directory.

Run by `make test-clients`; takes the programs of the build, and a Hub server of the tests' own.
"""
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests/integration"))

# pylint: disable=wrong-import-position
from refresh import check_bucket, environment, refresh, Bucket  # noqa: E402
from mount import Mount, needs_mount, place_fixture  # noqa: E402
from servers import HubServer  # noqa: E402

__all__ = ["place_fixture"]

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


def publish(model, saved, url):
    """The model in shards, in a bucket; how many files it has."""
    model.save_pretrained(saved, max_shard_size="100KB", safe_serialization=True)
    files = {str(path.relative_to(saved)): path for path in saved.rglob("*") if path.is_file()}
    assert sum(name.endswith(".safetensors") for name in files) > 1
    bucket = Bucket(url)
    with HubServer() as hub:
        hub.model("org/tiny", files)
        done = refresh("sync", "org/tiny", "--to", bucket.url, env=environment(hub))
        assert done.rc == 0, done
    check_bucket(bucket.objects(), {"org/tiny": {n: p.read_bytes() for n, p in files.items()}})


def load(home, hf_home, timeout=300):
    """Starts loading the model; finish() has what it says."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(hf_home),
           "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    child = subprocess.Popen([sys.executable, "-c", LOAD], env=env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish():
        out, err = child.communicate(json.dumps(["org/tiny", IDS]), timeout=timeout)
        assert child.returncode == 0, err
        return json.loads(out)
    return child, finish


def expected_of(model):
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].double()


def check_told(told, kind, expected):
    assert told["type"] == kind
    assert torch.allclose(torch.tensor(told["logits"], dtype=torch.float64), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_sharded_model_is_loaded_from_the_bucket(kind, tmp_path):
    model = tiny(kind)
    publish(model, tmp_path / "saved", f"file://{tmp_path}/bucket")
    _, finish = load(tmp_path / "home", tmp_path / "bucket")
    check_told(finish(), kind, expected_of(model))


@needs_mount
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_sharded_model_is_loaded_from_the_mount_while_the_worker_is_killed(kind, tmp_path, place):
    """As often as it can be while the client runs: mapped shards included."""
    model = tiny(kind)
    publish(model, tmp_path / "saved", f"file://{place}/bucket")
    with Mount(place, f"file://{place}/bucket", cache_size="1Mi") as mount:
        mount.run()
        mount.wait_for_names()
        child, finish = load(tmp_path / "home", mount.root)
        ended = threading.Event()
        kills = []

        def kill():
            while not ended.wait(0.3):
                kills.append(mount.kill_worker())
                mount.wait_successor(kills[-1])
        thread = threading.Thread(target=kill)
        thread.start()
        try:
            told = finish()
        finally:
            ended.set()
            thread.join()
            child.kill()
        check_told(told, kind, expected_of(model))
        assert len(kills) > 1
