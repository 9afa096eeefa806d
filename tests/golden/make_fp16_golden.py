#!/usr/bin/env python3
"""Golden curves in float16: a plain loop with torch's GradScaler over transformers and PEFT.

The base model is loaded in float16, the adapter stays float32. What overflows is skipped: the scale is
halved, optimizer and schedule stand still, the step counts. As Trainer has it, without a GPU: on CPU
Trainer refuses fp16. Models, rows and pinned versions are those of make_golden.py.

    OMP_NUM_THREADS=1 python tests/golden/make_fp16_golden.py
"""

import hashlib
import json
import sys
import tempfile

import torch
from make_golden import (DEFAULTS, DTYPES, GQA, HERE, LLAMA3, PINNED, adapter_tensors, base64_of, collate, flat,
                         logits_at, make_rows, peft_config, write_folder)
import accelerate
import numpy as np
import peft
import transformers
from peft import get_peft_model
from transformers import AutoModelForCausalLM, get_scheduler

CASES = {
    "fp16/fits": dict(model=GQA, rows=(12, 8, 20), labels="all", scale=2**10, config=dict(epochs=2)),
    # The first steps overflow until the scale fits; the schedule does not count them.
    "fp16/overflows": dict(model=GQA, rows=(16, 8, 20), labels="response", scale=2**24,
                           config=dict(epochs=3, warmup_steps=2)),
    "fp16/tied_all_linear": dict(
        model=LLAMA3, rows=(12, 6, 24), labels="all", scale=2**22,
        config=dict(target_modules="all-linear", batch_size=3, micro_batch_size=3, epochs=3, learning_rate=2e-3)),
}


def run_case(name, case):
    config = {**DEFAULTS, **case["config"]}
    case = {**case, "precision": "fp16"}
    with tempfile.TemporaryDirectory() as folder:
        disk = write_folder(folder, case)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES["fp16"])
    rows = make_rows(name, *case["rows"], disk["model"]["vocab_size"], case["labels"])
    torch.manual_seed(config["seed"])
    model = get_peft_model(model, peft_config(config, case))
    first = adapter_tensors(model)
    initial = flat(first)
    places = [0, len(rows[0]["ids"]) - 1]
    golden = {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft, accelerate)},
        **disk,
        "precision": "fp16",
        "config": config,
        "rows": rows,
        "adapter_keys": {key: list(tensor.shape) for key, tensor in first},
        "initial_adapter_sha256": hashlib.sha256(initial.tobytes()).hexdigest(),
        "first_logits": logits_at(model, rows[0], places),
        "initial_loss_scale": case["scale"],
    }
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 for p in trained)
    batches = -(-len(rows) // config["batch_size"])
    total = batches * config["epochs"]
    optimizer = torch.optim.AdamW(trained, lr=config["learning_rate"], weight_decay=config["weight_decay"])
    schedule = get_scheduler(config["lr_scheduler_type"], optimizer, config["warmup_steps"], total)
    scaler = torch.amp.GradScaler("cpu", init_scale=float(case["scale"]))
    log = []
    model.train()
    for epoch in range(config["epochs"]):
        generator = torch.Generator().manual_seed(config["seed"] + epoch)
        order = torch.randperm(len(rows), generator=generator).tolist()
        for start in range(0, len(rows), config["batch_size"]):
            chosen = [rows[i] for i in order[start:start + config["batch_size"]]]
            batch = collate([
                {"input_ids": r["ids"], "labels": [i if m else -100 for i, m in zip(r["ids"], r["learned"])]}
                for r in chosen])
            labels = batch.pop("labels")
            logits = model(**batch).logits.float()
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), ignore_index=-100)
            rate, scale = optimizer.param_groups[0]["lr"], scaler.get_scale()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            norm = float(torch.nn.utils.clip_grad_norm_(trained, config["max_grad_norm"]))
            scaler.step(optimizer)
            scaler.update()
            skipped = scaler.get_scale() < scale
            if not skipped:
                schedule.step()
            optimizer.zero_grad()
            step = len(log) + 1
            log.append({"step": step, "epoch": epoch + (start // config["batch_size"] + 1) / batches,
                        "loss": float(loss.detach()), "grad_norm": 0.0 if skipped else norm,
                        "learning_rate": rate, "loss_scale": int(scale), "skipped": skipped})
    golden["total_steps"] = total
    golden["log_history"] = log
    final = flat(adapter_tensors(model))
    golden["final_adapter"] = base64_of(final)
    golden["update_norm"] = float(np.linalg.norm((final - initial).astype(np.float64)))
    golden["final_logits"] = logits_at(model, rows[0], places)
    golden["greedy"] = {"prompt": rows[1]["ids"][:5], "continuation": []}
    return golden


def main():
    for module in (torch, transformers, peft, accelerate):
        found = module.__version__.split("+")[0]
        if found != PINNED[module.__name__]:
            sys.exit(f"{module.__name__} is {found}, the goldens are made with {PINNED[module.__name__]}")
    torch.set_num_threads(1)
    for name, case in CASES.items():
        golden = run_case(name, case)
        path = HERE / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
        log = golden["log_history"]
        skipped = [e["step"] for e in log if e["skipped"]]
        print(f"{name}: {len(log)} steps, loss {log[0]['loss']:.6f} -> {log[-1]['loss']:.6f}, skipped {skipped}, "
              f"scale {log[-1]['loss_scale']}, {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
