#!/usr/bin/env python3
"""Writes a Hugging Face folder of random bf16 weights in the shape of Llama-2-7B, and rows of text.

    python3 tests/gpu/random_model.py FOLDER TOKENIZER_FOLDER [LAYERS]

Weights are drawn on the GPU, one file per eight layers. The tokenizer is copied; rows are long enough that
512 tokens are cut from each.
"""

import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file

HIDDEN, INNER, HEADS, VOCABULARY = 4096, 11008, 32, 32000


def main():
    folder, tokenizer = map(pathlib.Path, sys.argv[1:3])
    layers = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": layers, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
    }))
    for file in tokenizer.iterdir():
        if file.name != "config.json" and file.suffix in (".json", ".model", ".jinja") and "index" not in file.name:
            shutil.copy(file, model / file.name)
    generator = torch.Generator(device="cuda").manual_seed(7)

    def draw(*shape):
        return (torch.randn(shape, generator=generator, device="cuda") * 0.02).bfloat16().cpu()

    places = {}

    def save(tensors, name):
        save_file(tensors, model / name, metadata={"format": "pt"})
        places.update({key: name for key in tensors})

    for first in range(0, layers, 8):
        tensors = {}
        for layer in range(first, min(first + 8, layers)):
            path = f"model.layers.{layer}"
            for part in "qkvo":
                tensors[f"{path}.self_attn.{part}_proj.weight"] = draw(HIDDEN, HIDDEN)
            for part in ("gate", "up"):
                tensors[f"{path}.mlp.{part}_proj.weight"] = draw(INNER, HIDDEN)
            tensors[f"{path}.mlp.down_proj.weight"] = draw(HIDDEN, INNER)
            for norm in ("input", "post_attention"):
                tensors[f"{path}.{norm}_layernorm.weight"] = torch.ones(HIDDEN, dtype=torch.bfloat16)
        save(tensors, f"model-{first:02}.safetensors")
    save({"model.embed_tokens.weight": draw(VOCABULARY, HIDDEN), "lm_head.weight": draw(VOCABULARY, HIDDEN),
          "model.norm.weight": torch.ones(HIDDEN, dtype=torch.bfloat16)}, "model-ends.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    with open(folder / "rows.jsonl", "w") as rows:
        for row in range(64):
            words = " ".join(f"clause {row * 997 + n * 31} of the contract" for n in range(300))
            rows.write(json.dumps({"instruction": f"Question {row}?", "output": words}) + "\n")


if __name__ == "__main__":
    main()
