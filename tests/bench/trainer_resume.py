#!/usr/bin/env python3
"""Stop HF Trainer at a checkpoint and go on with two processes: is it the same adapter?

    trainer_resume.py [--python PYTHON] [--dropout 0.1]

The shipped legal questions, the shipped small base model, PEFT, `Trainer` with its own
`resume_from_checkpoint`; 4 rows a step always: 1 process accumulates 4 times, 2 processes 2 times.
Printed: for every way from a first number of processes to a second, the sha256 of the adapter, its
distance from the uninterrupted run's (relative to the size of the update), and the rows of the
last steps that were not the uninterrupted run's. `tests/process/resume.rs` asserts the same for
this project: one sha256.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tiny-law"
DATA = ROOT / "data" / "law_train" / "train.txt"
STEPS, STOP, ROWS = 24, 12, 4


def train(folder: str, steps: int, resume: bool) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

    torch.set_num_threads(1)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    texts = [t for t in DATA.read_text(encoding="utf-8").split("\n\n") if t.strip()]
    rows = []
    for number, text in enumerate(texts):
        ids = tokenizer(text)["input_ids"][:128]
        rows.append({"input_ids": ids, "labels": list(ids), "number": number})
    seen = open(f"{folder}/rows.{rank}.jsonl", "a")

    def collate(batch: list[dict]) -> dict:
        print(json.dumps([row["number"] for row in batch]), file=seen, flush=True)
        width = max(len(row["input_ids"]) for row in batch)
        pad = lambda row, key, value: row[key] + [value] * (width - len(row[key]))
        return {
            "input_ids": torch.tensor([pad(r, "input_ids", 0) for r in batch]),
            "labels": torch.tensor([pad(r, "labels", -100) for r in batch]),
            "attention_mask": torch.tensor([[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in batch]),
        }

    set_seed(42)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=float(os.environ["DROPOUT"]), target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    arguments = TrainingArguments(
        output_dir=folder, per_device_train_batch_size=1, gradient_accumulation_steps=ROWS // processes,
        max_steps=STEPS, learning_rate=1e-3, save_steps=STOP, seed=42, data_seed=42, use_cpu=True, report_to=[],
        disable_tqdm=True, logging_steps=STEPS, remove_unused_columns=False, ddp_backend="gloo" if processes > 1 else None,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
    if steps < STEPS:
        from transformers import TrainerCallback

        class Stop(TrainerCallback):
            def on_step_end(self, args, state, control, **_):
                control.should_training_stop = state.global_step >= steps
                control.should_save = control.should_training_stop

        trainer.add_callback(Stop())
    trainer.train(resume_from_checkpoint=resume or None)
    if rank == 0:
        model.save_pretrained(f"{folder}/adapter")


def launch(python: str, processes: int, folder: str, steps: int, resume: bool) -> None:
    command = [python]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [__file__, "--train", folder, "--steps", str(steps)] + (["--resume"] if resume else [])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    if done.returncode:
        sys.exit(done.stderr[-3000:])


def rows_of(folder: str) -> list[int]:
    """Rows in the order of the steps, sorted within a step: which process had which does not matter.

    A loader reads one batch ahead and a stopped run may have read more than it used: cut by steps.
    """
    ranks = sorted(Path(folder).glob("rows.*.jsonl"))
    lists = [[n for line in p.read_text().splitlines() for n in json.loads(line)] for p in ranks]
    share = ROWS // len(lists)
    steps = min(len(one) // share for one in lists)
    return [sorted(n for one in lists for n in one[s * share:(s + 1) * share]) for s in range(steps)]


def measure(python: str) -> None:
    from safetensors.torch import load_file

    def adapter(folder: str):
        path = f"{folder}/adapter/adapter_model.safetensors"
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12], load_file(path)

    whole = tempfile.mkdtemp()
    launch(python, 1, whole, STEPS, False)
    expected, values = adapter(whole)
    norm = sum(float((v**2).sum()) for k, v in values.items() if "lora_B" in k) ** 0.5
    print(f"Trainer, uninterrupted, 1 process: {expected}")
    for before in (1, 2):
        for after in (1, 2):
            folder = tempfile.mkdtemp()
            launch(python, before, folder, STOP, False)
            for path in Path(folder).glob("rows.*"):
                path.unlink()
            launch(python, after, folder, STEPS, True)
            found, other = adapter(folder)
            distance = sum(float(((other[k] - values[k]) ** 2).sum()) for k in values if "lora_B" in k) ** 0.5 / norm
            wanted = rows_of(whole)[STOP:STEPS]
            got = rows_of(folder)[:len(wanted)]
            other_rows = sum(a != b for a, b in zip(wanted, got))
            print(
                f"Trainer, {before} to {after} process(es): {found}, "
                f"{'the same bytes' if found == expected else 'other bytes'}, "
                f"distance {distance:.1e} of the update, {other_rows} of {len(wanted)} steps saw other rows"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--dropout", default="0")
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train, arguments.steps, arguments.resume)
    else:
        os.environ["DROPOUT"] = arguments.dropout
        measure(arguments.python)
