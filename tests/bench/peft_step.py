#!/usr/bin/env python3
"""The same steps as worker/examples/step_speed.rs, by plain PEFT and torch.

    peft_step.py base DIR                 write the base model (32M parameters, random)
    peft_step.py run DIR ROWS LENGTH STEPS THREADS [bf16] [nf4] [again]      print one JSON object

`nf4` holds the base in bitsandbytes' NF4 with double quantization, `again` turns checkpointing on.
"""

import json
import os
import resource
import sys
import time

STARTED = time.perf_counter()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
MASK = (1 << 64) - 1
VOCABULARY = 8000


def write_base(folder):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=512, intermediate_size=1408, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=1024,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    print(sum(p.numel() for p in model.parameters()))


def tokens(rows, length, step):
    found = []
    for index in range(rows * length):
        x = ((step * 1_000_003 + index) * 0x9E3779B97F4A7C15) & MASK
        found.append((x >> 33) % VOCABULARY)
    return found


def run(folder, rows, length, steps, threads, words):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if "bf16" in words else torch.float32
    more = {}
    if "nf4" in words:
        from transformers import BitsAndBytesConfig

        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, **more)
    if "again" in words:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    torch.manual_seed(42)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01, fused=True)
    times, losses, first = [], [], None
    for step in range(1, steps + 1):
        ids = torch.tensor(tokens(rows, length, step)).view(rows, length)
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        times.append(time.perf_counter() - start)
        first = first or time.perf_counter() - STARTED
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"steps": times, "tokens": rows * length, "losses": losses, "first_step": first, "peak_mb": peak}))


if __name__ == "__main__":
    if sys.argv[1] == "base":
        write_base(sys.argv[2])
    else:
        run(sys.argv[2], *map(int, sys.argv[3:7]), sys.argv[7:])
