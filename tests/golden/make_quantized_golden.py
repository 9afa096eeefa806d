#!/usr/bin/env python3
"""Codes and scales that bitsandbytes makes of hashed weights, and small checkpoints that transformers
writes with them, for worker/tests/quantized.rs.

    pip install torch==2.11.0 transformers==5.23.0 bitsandbytes==0.50.2
    OMP_NUM_THREADS=1 python tests/golden/make_quantized_golden.py
"""

import base64
import json
import os
import pathlib
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

import bitsandbytes
import bitsandbytes.functional as functional
import numpy as np
import torch
from transformers import AutoModelForCausalLM

from make_golden import CASES, weight, write_folder

HERE = pathlib.Path(__file__).parent
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}

# Whole blocks; a last block that is not full; an odd number of elements; blocks of scales that are not
# full and more than one of them; rows of zeros.
SHAPES = [(64, 64), (33, 7), (40, 24), (96, 200), (160, 128), (1, 64)]


def base64_of(tensor):
    return base64.b64encode(tensor.contiguous().cpu().numpy().tobytes()).decode()


def values(name, shape):
    found = weight(name, shape)
    if shape == (96, 200):
        found[3:12] = 0.0
    # Blocks of unlike size, so that scales are not all alike.
    row = torch.arange(shape[0], dtype=torch.float32)
    return found * (0.25 + (row % 7) / 8.0).unsqueeze(1)


def case(shape, dtype):
    name = f"quantized.{shape[0]}.{shape[1]}.weight"
    tensor = values(name, shape).to(DTYPES[dtype])
    found = {"name": name, "shape": list(shape), "dtype": dtype}
    packed, single = functional.quantize_4bit(tensor, quant_type="nf4", compress_statistics=False)
    found["packed"] = digest(packed)
    found["absmax"] = base64_of(single.absmax)
    again, double = functional.quantize_4bit(tensor, quant_type="nf4", compress_statistics=True)
    assert torch.equal(packed, again)
    found["absmax_codes"] = base64_of(double.absmax)
    found["nested_absmax"] = base64_of(double.state2.absmax)
    found["offset"] = base64_of(double.offset.reshape(1))
    for label, state in (("single", single), ("double", double)):
        bits = functional.dequantize_4bit(packed, state)
        found[f"{label}_values"] = digest(bits)
    codes, scales, _ = functional.int8_vectorwise_quant(tensor.to(torch.float16))
    found["int8"] = digest(codes)
    found["int8_scales"] = base64_of(scales)
    found["int8_values"] = digest(functional.int8_vectorwise_dequant(codes, scales))
    return found


def digest(tensor):
    """FNV-1a of the bytes, 64 bit."""
    state = 0xCBF29CE484222325
    for byte in tensor.contiguous().view(torch.uint8).numpy().reshape(-1).tolist():
        state = ((state ^ byte) * 0x100000001B3) & (2**64 - 1)
    return f"{state:016x}"


def checkpoint(name):
    """What save_pretrained writes of a case's base model once it is quantized."""
    with tempfile.TemporaryDirectory() as folder:
        write_folder(folder, CASES[name])
        load = CASES[name]["load"]
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **load)
        written = pathlib.Path(folder) / "quantized"
        model.save_pretrained(written)
        weights = (written / "model.safetensors").read_bytes()
        return {"config": json.loads((written / "config.json").read_text()),
                "safetensors": base64.b64encode(weights).decode()}


def main():
    torch.set_num_threads(1)
    golden = {
        "made_with": {m.__name__: m.__version__ for m in (torch, bitsandbytes)},
        "nested_quant_map": base64_of(functional.create_dynamic_map()),
        "quant_map": base64_of(functional.get_4bit_type("nf4", device="cpu")),
        "cases": [case(shape, dtype) for shape in SHAPES for dtype in DTYPES],
    }
    checkpoints = {name: checkpoint(f"quantized/{name}") for name in ("nf4", "int8")}
    folder = HERE / "quantized"
    folder.mkdir(exist_ok=True)
    for name, found in (("codes", golden), ("checkpoints", checkpoints)):
        path = folder / f"{name}.json"
        path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
