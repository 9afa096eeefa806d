#!/usr/bin/env python3
"""Golden curves: what transformers' Trainer and PEFT compute, stored as numbers.

Weights of the golden models come from an integer hash of (tensor name, index), computed here and
in worker/tests/golden, so only numbers are stored. Each model is written to disk under the names its
checkpoints have, and read by from_pretrained: what is compared is the format on disk. The cases of
the model families are in family_cases.py. Run it with the versions in PINNED:

    pip install torch==2.11.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 \\
        bitsandbytes==0.50.2
    OMP_NUM_THREADS=1 python tests/golden/make_golden.py

It writes tests/golden/<case>.json for every case, or only for those named on the command line; a name
that ends with / stands for all cases that begin with it.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import accelerate
import numpy as np
import peft
import torch
import transformers
from peft import PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import SequentialSampler
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

from adapter_cases import ADAPTER_CASES
from family_cases import FAMILY_CASES
from quantized_cases import QUANTIZED_CASES

PINNED = {"torch": "2.11.0", "transformers": "5.23.0", "peft": "0.21.2", "accelerate": "1.15.0"}
HERE = pathlib.Path(__file__).resolve().parent
MASK = (1 << 64) - 1
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# --- The integer hash, the same in worker/tests/golden/weights.rs -------------------------------


def name_hash(name):
    """FNV-1a, 64 bit."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def hashed(name, count):
    """Whole numbers -2^23..2^23 that depend on the name and the index only."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(name_hash(name))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.int64) - (1 << 23)


def norm_center(model_type):
    """What weights of norms lie around: families that compute with 1 + w store w."""
    return 0.0 if model_type.startswith("gemma") else 1.0


def weight(name, shape, center=1.0):
    """Exact in f32: a whole number times a power of two, norms around their center."""
    values = hashed(name, int(np.prod(shape))).astype(np.float64) * 2.0**-23
    if name.endswith("norm.weight"):
        values = center + values * 2.0**-3
    elif "embed_tokens" in name:
        values = values * 1.0
    elif "lora_" in name:
        values = values * 2.0**-3
    else:
        values = values * 2.0**-2
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


# --- Models, rows, cases -----------------------------------------------------------------------

GQA = dict(
    vocab_size=96, hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False,
    bos_token_id=1, eos_token_id=2,
)
LLAMA3 = dict(
    vocab_size=80, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3,
    num_key_value_heads=1, head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-5,
    tie_word_embeddings=True, bos_token_id=1, eos_token_id=[2, 3],
    rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                         high_freq_factor=4.0, original_max_position_embeddings=64),
)
LINEAR_ROPE = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
    max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=False, attention_bias=True,
    mlp_bias=True, bos_token_id=1, eos_token_id=2,
    rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0),
)

# Keys and values of the run's configuration, as the product spells them.
DEFAULTS = dict(
    lora_rank=4, lora_alpha=8.0, target_modules=["q_proj", "v_proj"], use_rslora=False,
    batch_size=2, gradient_accumulation_steps=1, micro_batch_size=1, epochs=1, max_steps=None,
    learning_rate=1e-2, lr_scheduler_type="linear", warmup_steps=0, warmup_ratio=0.0,
    weight_decay=0.0, max_grad_norm=1.0, seed=42, shuffle=True, init_adapter=False,
)

# A case: `model_type` and `model` (arguments of its config class), `written` (keys of config.json that
# are changed on disk, None: removed), `layout` (renames the checkpoint's tensors), `stored` (type of the
# file), `shards`; `precision` (type of compute), `attention`, `load` (more for from_pretrained);
# `peft_class` and `peft` (its arguments beyond those of `config`); `rows` (count, shortest, longest),
# `lengths` (in place of hashed ones), `rows_of` (another case's rows), `labels`, `config` (keys of a
# run's configuration).
CASES = {
    "gqa_qv": dict(model=GQA, rows=(12, 8, 20), labels="all", config=dict(epochs=2)),
    "llama3_tied_all_linear": dict(
        model=LLAMA3, rows=(9, 6, 40), labels="all",
        config=dict(target_modules="all-linear", batch_size=3, micro_batch_size=2, epochs=2,
                    learning_rate=5e-3, seed=7)),
    "accumulation_uneven_tail": dict(
        model=GQA, rows=(21, 3, 30), labels="all",
        config=dict(gradient_accumulation_steps=4, micro_batch_size=2, epochs=3, seed=1234)),
    "warmup_cosine_decay_clip": dict(
        model=GQA, rows=(16, 8, 24), labels="all",
        config=dict(epochs=3, lr_scheduler_type="cosine", warmup_steps=5, weight_decay=1.0,
                    max_grad_norm=0.6, learning_rate=2e-2, target_modules=["k_proj", "o_proj", "down_proj"])),
    "response_only_sequential": dict(
        model=LLAMA3, rows=(10, 10, 28), labels="response",
        config=dict(shuffle=False, gradient_accumulation_steps=2, epochs=2,
                    lr_scheduler_type="constant_with_warmup", warmup_ratio=0.25)),
    "init_adapter_rslora": dict(
        model=GQA, rows=(8, 8, 16), labels="all",
        config=dict(init_adapter=True, use_rslora=True, lora_alpha=4.0, max_grad_norm=0.0,
                    target_modules=["q_proj", "k_proj", "v_proj", "gate_proj"], epochs=2,
                    lr_scheduler_type="constant", learning_rate=3e-3)),
    "linear_rope_biases_max_steps": dict(
        model=LINEAR_ROPE, rows=(7, 5, 33), labels="scattered",
        config=dict(target_modules=["up_proj", "v_proj"], max_steps=9, seed=2**32 + 5)),
    **FAMILY_CASES,
    **QUANTIZED_CASES,
    **ADAPTER_CASES,
}


# --- The folder on disk ------------------------------------------------------------------------


def checkpoint_tensors(model_config):
    """Names and shapes as save_pretrained writes them."""
    model = AutoModelForCausalLM.from_config(model_config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safe_open(f"{folder}/model.safetensors", "pt") as file:
            found = [(name, list(file.get_slice(name).get_shape())) for name in file.keys()]
    return found, type(model).__name__


def write_folder(folder, case):
    """Writes config.json and hashed weights; returns what the other side needs to write the same."""
    model_type = case.get("model_type", "llama")
    model_config = AutoConfig.for_model(model_type, **case["model"])
    tensors, architecture = checkpoint_tensors(model_config)
    if "layout" in case:
        tensors = case["layout"](tensors)
    written = {**json.loads(model_config.to_json_string()), "architectures": [architecture]}
    for key, value in case.get("written", {}).items():
        written[key] = value
        if value is None:
            del written[key]
    stored = case.get("stored", case.get("precision", "f32"))
    shards = case.get("shards", 1)
    folder = pathlib.Path(folder)
    (folder / "config.json").write_text(json.dumps(written))
    center = norm_center(model_type)
    places = {}
    for shard in range(shards):
        name = "model.safetensors" if shards == 1 else f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = tensors[shard::shards]
        values = {n: weight(n, s, center).to(DTYPES[stored]) for n, s in part}
        save_file(values, folder / name, metadata={"format": "pt"})
        places.update({n: name for n, _ in part})
    if shards > 1:
        index = {"metadata": {}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return {"model": written, "tensors": tensors, "stored": stored, "shards": shards}


def make_rows(case, count, shortest, longest, vocab, labels, lengths=None):
    """Token ids from a quarter of the vocabulary, so that there is something to learn."""
    if lengths is None:
        lengths = hashed(f"{case}.lengths", count) % (longest - shortest + 1) + shortest
        lengths[0] = longest
    rows = []
    for index, length in enumerate(lengths):
        ids = (hashed(f"{case}.{index}.ids", int(length)) % (vocab // 4) + vocab // 4).tolist()
        chance = hashed(f"{case}.{index}.labels", int(length))
        if labels == "all":
            learned = [1] * len(ids)
        elif labels == "response":
            prompt = int(chance[0] % (len(ids) - 2)) + 1
            learned = [int(i >= prompt) for i in range(len(ids))]
        else:
            learned = [int(c % 3 != 0) for c in chance]
            learned[-1] = 1
        rows.append({"ids": ids, "learned": learned})
    return rows


def collate(features):
    longest = max(len(f["input_ids"]) for f in features)
    pad = lambda key, value: torch.tensor([f[key] + [value] * (longest - len(f[key])) for f in features])
    ones = [{"m": [1] * len(f["input_ids"])} for f in features]
    mask = torch.tensor([o["m"] + [0] * (longest - len(o["m"])) for o in ones])
    return {"input_ids": pad("input_ids", 0), "labels": pad("labels", -100), "attention_mask": mask}


class OrderedTrainer(Trainer):
    """Trainer with `shuffle: false` and the clipping of `max_grad_norm: 0` still measured."""

    sequential = False

    def _get_train_sampler(self, *args, **kwargs):
        if self.sequential:
            return SequentialSampler(self.train_dataset)
        return super()._get_train_sampler(*args, **kwargs)


def saved_name(name):
    """The name of a trainable parameter as PEFT saves it."""
    name = name.replace(".modules_to_save.default", "").replace(".default", "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def adapter_tensors(model):
    """Canonical order: embedding, layers, head; in each what is laid over modules in the model's own
    order, then biases, then whole modules by name."""
    def place(name):
        layer = re.search(r"\.layers\.(\d+)\.", name)
        part = int(layer[1]) if layer else (-1 if "embed_tokens" in name else 10**6)
        if "modules_to_save" in name:
            path, _, end = saved_name(name).rpartition(".")
            return part, 2, path, end == "bias"
        return part, int(name.endswith("bias")), "", False

    found = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [(saved_name(n), p.detach()) for n, p in sorted(found, key=lambda pair: place(pair[0]))]


def peft_config(config, case):
    kind = case.get("peft_class", "LoraConfig")
    arguments = dict(target_modules=config["target_modules"], task_type="CAUSAL_LM")
    if kind == "LoraConfig":
        arguments.update(r=config["lora_rank"], lora_alpha=config["lora_alpha"], lora_dropout=0.0,
                         use_rslora=config["use_rslora"], bias="none")
    return getattr(peft, kind)(**{**arguments, **case.get("peft", {})})


def flat(tensors):
    return np.concatenate([t.float().numpy().astype("<f4").reshape(-1) for _, t in tensors])


def base64_of(array):
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def logits_at(model, row, positions):
    model.eval()
    with torch.no_grad():
        found = model(input_ids=torch.tensor([row["ids"]])).logits[0]
    return {str(p): [float(v) for v in found[p].float()] for p in positions}


def greedy(model, prompt, count):
    model.eval()
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt):]


def run_case(name, case):
    config = {**DEFAULTS, **case["config"]}
    precision = case.get("precision", "f32")
    with tempfile.TemporaryDirectory() as folder:
        disk = write_folder(folder, case)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[precision], attn_implementation=case.get("attention", "sdpa"),
            **case.get("load", {}))
    rows = make_rows(case.get("rows_of", name), *case["rows"], disk["model"]["vocab_size"],
                     case["labels"], case.get("lengths"))
    lora = peft_config(config, case)
    torch.manual_seed(config["seed"])
    model = get_peft_model(model, lora)
    if config["init_adapter"]:
        # A folder as a user would have it, loaded the way PEFT loads it.
        with torch.no_grad():
            for key, tensor in adapter_tensors(model):
                tensor.copy_(weight(key, tensor.shape))
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            model = PeftModel.from_pretrained(model.unload(), folder, is_trainable=True)
    first = adapter_tensors(model)
    initial = flat(first)
    places = [0, len(rows[0]["ids"]) // 2, len(rows[0]["ids"]) - 1]
    golden = {
        "made_with": {m.__name__: m.__version__ for m in (torch, transformers, peft, accelerate)},
        **disk,
        "precision": precision,
        "quantization": case.get("quantization", "none"),
        "quantization_double": case.get("quantization_double", True),
        "peft_class": case.get("peft_class", "LoraConfig"),
        "peft": case.get("peft", {}),
        "config": config,
        "rows": rows,
        "adapter_keys": {key: list(tensor.shape) for key, tensor in first},
        "initial_adapter_sha256": hashlib.sha256(initial.tobytes()).hexdigest(),
        "first_logits": logits_at(model, rows[0], places),
    }

    dataset = [
        {"input_ids": r["ids"], "labels": [i if m else -100 for i, m in zip(r["ids"], r["learned"])]}
        for r in rows
    ]
    with tempfile.TemporaryDirectory() as output:
        warmup = config["warmup_steps"] or config["warmup_ratio"]
        arguments = TrainingArguments(
            output_dir=output, per_device_train_batch_size=config["batch_size"],
            gradient_accumulation_steps=config["gradient_accumulation_steps"],
            num_train_epochs=config["epochs"], max_steps=config["max_steps"] or -1,
            learning_rate=config["learning_rate"], lr_scheduler_type=config["lr_scheduler_type"],
            warmup_steps=warmup, weight_decay=config["weight_decay"],
            max_grad_norm=config["max_grad_norm"], seed=config["seed"] % 2**32, data_seed=config["seed"],
            logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True,
            remove_unused_columns=False, optim="adamw_torch",
        )
        optimizer = None
        if "loraplus_lr_ratio" in config:
            optimizer = create_loraplus_optimizer(
                model, torch.optim.AdamW, lr=config["learning_rate"],
                loraplus_lr_ratio=config["loraplus_lr_ratio"],
                loraplus_lr_embedding=config.get("loraplus_lr_embedding", 1e-6),
                loraplus_weight_decay=config["weight_decay"])
        trainer = OrderedTrainer(model=model, args=arguments, train_dataset=dataset, data_collator=collate,
                                 optimizers=(optimizer, None))
        trainer.sequential = not config["shuffle"]
        trainer.train()
    log = [e for e in trainer.state.log_history if "loss" in e]
    golden["total_steps"] = trainer.state.max_steps
    golden["log_history"] = [
        {"step": e["step"], **{k: float(e[k]) for k in ("epoch", "loss", "grad_norm", "learning_rate")}}
        for e in log
    ]
    if case.get("peft", {}).get("init_lora_weights") == "pissa":
        # A decomposition: its last digits are the processor's.
        golden["initial_adapter"] = base64_of(initial)
    final = flat(adapter_tensors(model))
    golden["final_adapter"] = base64_of(final)
    golden["update_norm"] = float(np.linalg.norm((final - initial).astype(np.float64)))
    golden["final_logits"] = logits_at(model, rows[0], places)
    prompt = rows[1]["ids"][:5]
    golden["greedy"] = {"prompt": prompt, "continuation": greedy(model, prompt, 24)}
    return golden


def main():
    for module in (torch, transformers, peft, accelerate):
        found = module.__version__.split("+")[0]
        if found != PINNED[module.__name__]:
            sys.exit(f"{module.__name__} is {found}, the goldens are made with {PINNED[module.__name__]}")
    torch.set_num_threads(1)
    asked = sys.argv[1:] or list(CASES)
    names = [n for a in asked for n in CASES if n == a or (a.endswith("/") and n.startswith(a))]
    for name in names:
        golden = run_case(name, CASES[name])
        path = HERE / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
        log = golden["log_history"]
        print(f"{name}: {golden['total_steps']} steps, loss {log[0]['loss']:.6f} -> {log[-1]['loss']:.6f}, "
              f"update {golden['update_norm']:.4f}, {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
