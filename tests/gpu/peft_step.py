#!/usr/bin/env python3
"""Steps of plain transformers and PEFT on the folder of random_model.py: 4 rows of 512 tokens, bf16, LoRA of rank 16
on all linears, activations computed again. Prints tokens per second and the peak of the allocator.

    python3 tests/gpu/peft_step.py FOLDER [STEPS]
"""

import json
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

ROWS, LENGTH = 4, 512


def main():
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16, device_map="cuda")
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, fused=True)
    times = []
    for step in range(steps):
        ids = torch.randint(0, 32000, (ROWS, LENGTH), device="cuda", generator=torch.Generator("cuda").manual_seed(step))
        torch.cuda.synchronize()
        start = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    print(json.dumps({
        "versions": [torch.__version__, __import__("transformers").__version__, __import__("peft").__version__],
        "tokens_per_second": ROWS * LENGTH / statistics.median(times[4:]),
        "peak_allocated_mib": torch.cuda.max_memory_allocated() / 2**20,
        "peak_reserved_mib": torch.cuda.max_memory_reserved() / 2**20}))


if __name__ == "__main__":
    main()
