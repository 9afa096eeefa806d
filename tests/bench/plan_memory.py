#!/usr/bin/env python3
"""What `coordinator plan` says against what a run really does: memory, adapter bytes, steps.

    plan_memory.py --bin target/release [--set report|fit|kinds|NAME,NAME] [--steps 3] [--json FILE]

Each case makes a base model of 50M parameters or more (values from a hash, no training) and data of
its own, asks `coordinator plan --output json`, and then trains a few steps with real workers. Peak
memory is the larger of the largest RssAnon of /proc/PID/status, read every 2 ms, and of the kernel's own
peak of all resident memory without the most file pages that were resident (each page of the weights that is
read stays, or goes back before the peak), minus the RssAnon of a worker that waits for a coordinator: libtorch is
loaded there, and no model. Of several workers the one that needs most counts. The formula was fitted on `fit`; `report` was chosen before.
"""

import argparse
import array
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "models/tiny-law"

ATTENTION = "[q_proj, v_proj]"
MIB = 1 << 20


def model(vocab, hidden, inner, layers, heads, groups, tied, dtype):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": groups,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": tied,
        "torch_dtype": {"F32": "float32", "BF16": "bfloat16"}[dtype], "bos_token_id": 0,
        "eos_token_id": 2,
    }, dtype


def case(base, workers=1, uneven=False, rows=24, **keys):
    keys = {"lora_rank": 8, "target_modules": ATTENTION, "batch_size": 4, "micro_batch_size": 4,
            "max_seq_length": 128, **keys}
    return {"base": base, "workers": workers, "uneven": uneven, "rows": rows, "keys": keys}


REPORT = {
    # hidden, layers, vocabulary, MHA or GQA, batch x length, rank, targets, f32 or bf16, dropout,
    # tied, accumulation and workers differ from case to case.
    "mha_f32_qv": case(model(8000, 512, 1408, 16, 8, 8, False, "F32")),
    "gqa_f32_all": case(
        model(16000, 768, 2048, 8, 12, 4, True, "F32"), lora_rank=32, target_modules="all-linear",
        batch_size=2, micro_batch_size=2, max_seq_length=256),
    "wide_vocab_tied": case(
        model(48000, 512, 1536, 10, 8, 2, True, "F32"), lora_rank=16, batch_size=8,
        micro_batch_size=8, max_seq_length=96),
    "bf16_all_dropout": case(
        model(12000, 640, 1792, 12, 10, 5, False, "BF16"), bf16="true", lora_rank=16,
        target_modules="all-linear", lora_dropout=0.1, max_seq_length=160),
    "accumulate_uneven": case(
        model(8000, 1024, 2816, 5, 16, 16, False, "F32"), uneven=True, lora_rank=4,
        batch_size=4, micro_batch_size=4, gradient_accumulation_steps=4, lora_dropout=0.05,
        max_seq_length=200, rows=48),
    "two_workers_rank64": case(
        model(10000, 768, 2304, 8, 8, 8, True, "F32"), workers=2, lora_rank=64,
        target_modules="all-linear", batch_size=4, micro_batch_size=1, max_seq_length=192),
}

FIT = {
    "fit_small_batch": case(model(8000, 640, 1728, 10, 10, 10, False, "F32"),
                            batch_size=1, micro_batch_size=1, max_seq_length=32, lora_rank=2),
    "fit_qv": case(model(8000, 640, 1728, 10, 10, 10, False, "F32")),
    "fit_long": case(model(8000, 640, 1728, 10, 10, 2, True, "F32"), batch_size=2,
                     micro_batch_size=2, max_seq_length=320),
    "fit_all": case(model(8000, 640, 1728, 10, 10, 2, True, "F32"), target_modules="all-linear"),
    "fit_all_rank96": case(model(8000, 640, 1728, 10, 10, 10, False, "F32"), lora_rank=96,
                           batch_size=1, micro_batch_size=1, max_seq_length=64,
                           target_modules="all-linear"),
    "fit_rank96_two": case(model(8000, 640, 1728, 10, 10, 10, False, "F32"), lora_rank=96, workers=2,
                           batch_size=4, micro_batch_size=1, max_seq_length=64,
                           target_modules="all-linear"),
    "fit_vocab": case(model(64000, 384, 1024, 16, 6, 6, True, "F32"), max_seq_length=128),
    "fit_dropout": case(model(8000, 640, 1728, 10, 10, 2, True, "F32"), target_modules="all-linear",
                        lora_dropout=0.1),
    "fit_bf16": case(model(8000, 640, 1728, 10, 10, 2, False, "BF16"), bf16="true"),
    "fit_bf16_all": case(model(8000, 640, 1728, 10, 10, 2, False, "BF16"), bf16="true",
                         target_modules="all-linear", lora_dropout=0.1),
}

KINDS = {
    # Every kind of adapter and of weights that has a term of its own.
    "kinds_dora": case(model(8000, 640, 1728, 10, 10, 10, False, "F32"), use_dora="true",
                       target_modules="all-linear"),
    "kinds_dora_dropout": case(model(8000, 640, 1728, 10, 10, 2, True, "F32"), use_dora="true",
                               target_modules="all-linear", lora_dropout=0.1),
    "kinds_ia3": case(model(8000, 640, 1728, 10, 10, 2, False, "F32"), adapter_type="ia3",
                      target_modules="[k_proj, v_proj, down_proj]"),
    "kinds_ia3_bf16": case(model(8000, 640, 1728, 10, 10, 2, False, "BF16"), adapter_type="ia3",
                           target_modules="all-linear", bf16="true"),
    "kinds_whole_head": case(model(16000, 512, 1408, 10, 8, 8, False, "F32"),
                             modules_to_save="[lm_head]"),
    "kinds_whole_ends_bf16": case(model(16000, 512, 1408, 10, 8, 8, False, "BF16"), bf16="true",
                                  modules_to_save="[lm_head, model.embed_tokens]"),
    "kinds_embedding": case(model(16000, 512, 1408, 10, 8, 8, False, "F32"),
                            target_modules="[embed_tokens, v_proj, lm_head]"),
    "kinds_nf4": case(model(8000, 640, 1728, 10, 10, 2, True, "F32"), quantization="nf4",
                      target_modules="all-linear"),
    "kinds_nf4_bf16_again": case(model(8000, 640, 1728, 10, 10, 2, True, "BF16"), quantization="nf4",
                                 target_modules="all-linear", bf16="true", activation_checkpointing="on"),
    "kinds_int8": case(model(8000, 640, 1728, 10, 10, 2, True, "F32"), quantization="int8"),
}


def tensors(config):
    hidden, inner, vocab = (config[k] for k in ("hidden_size", "intermediate_size", "vocab_size"))
    keys = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", [vocab, hidden]
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        for part, shape in (
            ("self_attn.q_proj", [hidden, hidden]), ("self_attn.k_proj", [keys, hidden]),
            ("self_attn.v_proj", [keys, hidden]), ("self_attn.o_proj", [hidden, hidden]),
            ("mlp.gate_proj", [inner, hidden]), ("mlp.up_proj", [inner, hidden]),
            ("mlp.down_proj", [hidden, inner]), ("input_layernorm", [hidden]),
            ("post_attention_layernorm", [hidden]),
        ):
            yield f"{name}{part}.weight", shape
    yield "model.norm.weight", [hidden]
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", [vocab, hidden]


def as_bytes(values, dtype):
    """Little-endian; bf16 is the upper half of f32."""
    data = array.array("f", values).tobytes()
    if dtype == "F32":
        return data
    return b"".join(data[i + 2:i + 4] for i in range(0, len(data), 4))


def write_model(folder, config, dtype):
    """Values of a hash, in one file; returns the parameters."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(TINY / name, folder / name)
    width, offset, header = {"F32": 4, "BF16": 2}[dtype], 0, {}
    listed = sorted(tensors(config))
    for name, shape in listed:
        size = width
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    draw = random.Random(7)
    block = as_bytes([draw.uniform(-0.03, 0.03) for _ in range(1 << 17)], dtype)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in listed:
            begin, end = header[name]["data_offsets"]
            if len(shape) == 1:
                file.write(as_bytes([1.0] * shape[0], dtype))
                continue
            turn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "little") * width
            turned = block[turn:] + block[:turn]
            for at in range(begin, end, len(turned)):
                file.write(turned[:min(len(turned), end - at)])
    return offset // width


def write_data(folder, rows, length, uneven):
    """Rows that are longer than `length` tokens, or of all lengths up to it."""
    folder.mkdir(parents=True)
    draw = random.Random(11)
    words = ["合同", "公司", "工资", "赔偿", "仲裁", "法院", "证据", "期限", "律师", "劳动"]
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as file:
        for row in range(rows):
            size = draw.randint(length // 16, length // 3) if uneven else length
            say = lambda n: "".join(draw.choice(words) + str(draw.randint(0, 9)) for _ in range(n))
            record = {"instruction": f"{row} {say(1 + length // 64)}", "output": say(size)}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


class Watch(threading.Thread):
    """The largest anonymous memory of a process while it lives, in bytes."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.seen, self.kernels, self.files = f"/proc/{pid}/status", 0, 0, 0

    def run(self):
        while True:
            try:
                with open(self.path) as file:
                    text = file.read()
            except OSError:
                return
            if "RssAnon:" not in text:
                return
            self.seen = max(self.seen, field(text, "RssAnon"))
            # A process that ends gives its file pages back first.
            self.files = max(self.files, field(text, "RssFile") + field(text, "RssShmem"))
            self.kernels = field(text, "VmHWM") - self.files
            time.sleep(0.002)


def idle(worker):
    """RssAnon of a worker whose coordinator is not there, once it does not change any more."""
    process = subprocess.Popen([worker, "join", "127.0.0.1:9"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    seen, now = [], 0
    while len(seen) < 40 or max(seen[-40:]) - min(seen[-40:]) > MIB or now < 16 * MIB:
        now = anonymous(process.pid)
        seen.append(now)
        time.sleep(0.1)
    process.kill()
    process.wait()
    return now


def anonymous(pid):
    return field(pathlib.Path(f"/proc/{pid}/status").read_text(), "RssAnon")


def field(text, key):
    return int(text.split(f"{key}:")[1].split(None, 1)[0]) * 1024


def run(folder, programs, config, workers):
    """Trains; returns the peak of the worker that needs most, and the steps."""
    errors = open(folder / "errors.txt", "w")
    coordinator = subprocess.Popen(
        [programs / "coordinator", "up", "--config", config, "--listen", "127.0.0.1:0",
         "--wait-workers", str(workers), "--output", "json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)
    joined, watches, steps = [], [], 0
    for text in coordinator.stdout:
        event = json.loads(text)
        if event["event"] == "listening":
            for _ in range(workers):
                command = [programs / "worker", "join", event["address"]]
                joined.append(subprocess.Popen(command, stdout=errors, stderr=errors))
                watches.append(Watch(joined[-1].pid))
                watches[-1].start()
        steps += event["event"] == "step"
    code = coordinator.wait()
    for worker in joined:
        worker.wait()
    if code:
        sys.exit((folder / "errors.txt").read_text())
    for watch in watches:
        watch.join()
    return max(max(watch.seen, watch.kernels) for watch in watches), steps


def measure(name, given, folder, programs, steps, idle_bytes):
    config, dtype = given["base"]
    parameters = write_model(folder / "base", config, dtype)
    keys = {"train_data_dir": "data", "base_model": "base", "output_dir": "out", "device": "cpu",
            "epochs": 1, "max_steps": steps, "learning_rate": "1e-4", "save_steps": 2,
            **given["keys"]}
    write_data(folder / "data", given["rows"], keys["max_seq_length"], given["uneven"])
    path = folder / "run.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    weights = folder / "base/model.safetensors"
    aside = folder / "model.safetensors"
    weights.rename(aside)
    planned = subprocess.run(
        [programs / "coordinator", "plan", "--config", path, "--workers", str(given["workers"]),
         "--output", "json"], cwd=folder, capture_output=True, text=True)
    aside.rename(weights)
    plan = json.loads(planned.stdout) if planned.returncode == 0 else None
    if plan is None:
        print(planned.stderr, file=sys.stderr)
    peak, done = run(folder, programs, path, given["workers"])
    adapter = (folder / "out/adapter_model.safetensors").stat().st_size
    return {"case": name, "parameters": parameters, "measured": peak - idle_bytes,
            "adapter": adapter, "steps": done, "plan": plan}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--set", default="report")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", help="also write every number here, a line per case")
    given = parser.parse_args()
    cases = {"report": REPORT, "fit": FIT, "kinds": KINDS}.get(given.set)
    if cases is None:
        every = {**REPORT, **FIT, **KINDS}
        cases = {name: every[name] for name in given.set.split(",")}
    idle_bytes = idle(given.bin / "worker")
    print(f"a worker that waits: {idle_bytes / MIB:.1f} MiB anonymous")
    print(f"{'case':<20} {'params':>7} {'planned':>9} {'measured':>9} {'differ':>7}  "
          f"{'adapter bytes':>23}  steps", flush=True)
    worst, wrong = 0.0, []
    for name, one in cases.items():
        with tempfile.TemporaryDirectory(prefix="plan-") as folder:
            found = measure(name, one, pathlib.Path(folder), given.bin, given.steps, idle_bytes)
        plan = found["plan"] or {"memory": {"peak": 0}, "disk": {"adapter": 0}, "counts": {"steps": 0}}
        if given.json:
            with open(given.json, "a") as file:
                file.write(json.dumps(found) + "\n")
        peak = (plan.get("memory") or {"peak": 0})["peak"]
        differ = peak / found["measured"] - 1
        worst = max(worst, abs(differ))
        sizes, steps = (plan["disk"]["adapter"], found["adapter"]), (plan["counts"]["steps"], found["steps"])
        if sizes[0] != sizes[1] or steps[0] != steps[1]:
            wrong.append(name)
        print(f"{name:<20} {found['parameters'] / 1e6:>6.1f}M {peak / MIB:>8.1f}M "
              f"{found['measured'] / MIB:>8.1f}M {differ:>+7.1%}  {sizes[0]:>11}/{sizes[1]:<11}  "
              f"{steps[0]}/{steps[1]}", flush=True)
    print(f"memory differs by at most {worst:.1%}; bytes and steps "
          + (f"differ in {', '.join(wrong)}" if wrong else "are exact in all"))


if __name__ == "__main__":
    main()
