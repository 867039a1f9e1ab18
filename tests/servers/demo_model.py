#!/usr/bin/env python3
"""demo_model.py DIR: writes a Llama of a few thousand parameters, in the files that models come in.

For `make demo`, as what the demo Hub offers: DIR is the repository's folder below hub.py's --root.
The weights are noise, and the same each time.
"""
import json
import pathlib
import random
import struct
import sys

HIDDEN, INNER, LAYERS, WORDS = 16, 32, 2, 64
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
          "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
          "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": WORDS,
          "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "bos_token_id": 0,
          "eos_token_id": 1}
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
             "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None,
             "decoder": None,
             "model": {"type": "WordLevel", "unk_token": "<s>",
                       "vocab": {"<s>": 0, "</s>": 1, **{f"w{i}": i for i in range(2, WORDS)}}}}


def layer(i):
    """Names and shapes of a layer's tensors."""
    square, wide = [HIDDEN, HIDDEN], [INNER, HIDDEN]
    parts = {f"self_attn.{name}_proj": square for name in "qkvo"}
    parts |= {"mlp.gate_proj": wide, "mlp.up_proj": wide, "mlp.down_proj": wide[::-1],
              "input_layernorm": [HIDDEN], "post_attention_layernorm": [HIDDEN]}
    return {f"model.layers.{i}.{name}.weight": shape for name, shape in parts.items()}


def safetensors(tensors, noise):
    """A file's bytes: the length of a JSON header, the header, the numbers."""
    header, data = {}, b""
    for name, shape in sorted(tensors.items()):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f"<{count}f", *(noise.gauss(0, 0.02) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def main():
    folder, noise = pathlib.Path(sys.argv[1]), random.Random(1)
    folder.mkdir(parents=True)
    table = [WORDS, HIDDEN]
    shards = [{"model.embed_tokens.weight": table, **layer(0)},
              {**layer(1), "model.norm.weight": [HIDDEN], "lm_head.weight": table}]
    index = {"metadata": {"total_size": 0}, "weight_map": {}}
    for i, tensors in enumerate(shards, 1):
        name = f"model-{i:05}-of-{len(shards):05}.safetensors"
        (folder / name).write_bytes(safetensors(tensors, noise))
        index["metadata"]["total_size"] += (folder / name).stat().st_size
        index["weight_map"] |= dict.fromkeys(tensors, name)
    for name, value in (("model.safetensors.index.json", index), ("config.json", CONFIG),
                        ("tokenizer.json", TOKENIZER)):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
