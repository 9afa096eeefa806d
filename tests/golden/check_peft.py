#!/usr/bin/env python3
"""Does PEFT load the folder that a run wrote, and does it answer as we do?

    check_peft.py OUTPUT_DIR [--build target/release] [--text-only]

Needs pip packages torch 2.11.0, transformers 5.23.0 and peft 0.21.2, and
`cargo build --release -p worker --examples`, which --text-only does without. Exit 1 when a key is missing or unexpected, when a
logit differs by more than 1e-4, or when the greedy text differs.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

QUESTIONS = ["公司一直拖欠工资，我该怎么办？", "房东不退押金怎么办？", "Hello, who are you?"]
LIMIT = 1e-4


def difference(given, ids, theirs):
    """The largest difference of our logits."""
    listed = ",".join(str(i) for i in ids[0].tolist())
    assert theirs.isfinite().all() and theirs.abs().max() > 0
    command = [given.build / "examples/logits", given.output / "resolved.yaml", given.output, listed]
    ours = torch.tensor(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    assert ours.isfinite().all() and ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


def widened(base, model, folder):
    """A copy of the base model in f32, in which near ties are decided alike: products of bf16 are rounded at
    other places here than in torch."""
    copy = pathlib.Path(folder) / "base"
    shutil.copytree(base, copy, ignore=shutil.ignore_patterns("*.safetensors*"))
    model.save_pretrained(copy)
    return copy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--text-only", action="store_true")
    given = parser.parse_args()
    given.output, given.build = given.output.resolve(), given.build.resolve()
    resolved = (given.output / "resolved.yaml").read_text()
    base = re.search(r"^base_model: *\"?([^\"#\n]+?)\"? *(#|$)", resolved, re.M).group(1)

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(missing|unexpected).*")
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        folder = tempfile.TemporaryDirectory()
        copy = widened(base, model, folder.name)
        model = PeftModel.from_pretrained(model, given.output).eval()
    written = load_file(given.output / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(model, save_embedding_layers=False)
    missing, unexpected = sorted(loaded.keys() - written.keys()), sorted(written.keys() - loaded.keys())
    same = all(torch.equal(written[key], loaded[key]) for key in written.keys() & loaded.keys())
    print(f"{len(written)} tensors, missing {missing}, unexpected {unexpected}, values equal {same}")

    tokenizer = AutoTokenizer.from_pretrained(given.output)
    worst, texts = 0.0, True
    for question in QUESTIONS:
        chat = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            theirs = model(ids).logits.flatten()
        if not given.text_only:
            worst = max(worst, difference(given, ids, theirs))
        with torch.no_grad():
            answer = model.generate(ids, max_new_tokens=60, do_sample=False)
        answer = tokenizer.decode(answer[0, ids.shape[1]:], skip_special_tokens=True)
        command = [given.build / "worker", "generate", "--base", copy, "--adapter", given.output,
                   "--prompt", question, "--max-new-tokens", "60"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")
        texts &= said == answer.rstrip("\n")
        print(f"{question} -> {said}" + ("" if said == answer else f"   PEFT: {answer}"))
    logits = "" if given.text_only else f"logits differ by at most {worst:.1e}, "
    print(f"{logits}greedy text equal {texts}")
    sys.exit(0 if not missing and not unexpected and same and worst <= LIMIT and texts else 1)


if __name__ == "__main__":
    main()
