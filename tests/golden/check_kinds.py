#!/usr/bin/env python3
"""Trains every kind of adapter on the small model, and lets PEFT load each folder (check_peft.py).

    check_kinds.py [--build target/release] [NAME...]

Needs what check_peft.py needs with --text-only. Exit 1 when PEFT would miss a key, find one too many or write
another text than ours.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

KINDS = {
    "lora": {},
    "lora all-linear": {"target_modules": "all-linear"},
    "expression": {"target_modules": "re:.*[.]1[.].*(q|up)_proj"},
    "expression of layers": {"target_modules": "re:.*(q|up)_proj", "layers_to_transform": "[0,2]"},
    "layers": {"target_modules": "mlp", "layers_to_transform": "[1,2]"},
    "patterns": {"rank_pattern": "['v_proj=6']", "alpha_pattern": "['q_proj=3']"},
    "rslora": {"use_rslora": "true"},
    "dora": {"use_dora": "true", "target_modules": "attention"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa rslora": {"init_lora_weights": "pissa", "use_rslora": "true", "rank_pattern": "['v_proj=6']"},
    "loraplus": {"loraplus_lr_ratio": "16"},
    "embedding and head": {"target_modules": "[embed_tokens,v_proj,lm_head]"},
    "whole modules": {"modules_to_save": "[lm_head,model.norm]"},
    "ia3": {"adapter_type": "ia3", "learning_rate": "5e-3"},
    "ia3 of layers": {"adapter_type": "ia3", "layers_to_transform": "[1]", "learning_rate": "5e-3"},
    "fp16": {"fp16": "true"},
    "ia3 and whole modules": {"adapter_type": "ia3", "modules_to_save": "[lm_head]", "learning_rate": "5e-3"},
    "nf4": {"quantization": "nf4"},
    "nf4 and a whole linear": {"quantization": "nf4", "target_modules": "attention",
                               "modules_to_save": "[model.layers.1.mlp.down_proj]"},
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "target/release")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    wrong = []
    for name in given.names or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder) / "out"
            keys = {"max_steps": 6, "lora_rank": 4, "learning_rate": "2e-3", "device": "cpu", **KINDS[name]}
            command = [given.build / "coordinator", "up", "--config", ROOT / "configs/quickstart.yaml",
                       "--local-workers", "1", "--listen", "127.0.0.1:0", "--set", f"output_dir={output}"]
            for key, value in keys.items():
                command += ["--set", f"{key}={value}"]
            ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if ran.returncode != 0:
                wrong.append(name)
                print(f"{name}: the run ended with {ran.returncode}\n{ran.stderr}")
                continue
            vllm = [line for line in ran.stderr.splitlines() if "vLLM will not load" in line]
            check = [sys.executable, HERE / "check_peft.py", output, "--build", given.build, "--text-only"]
            found = subprocess.run(check, capture_output=True, text=True)
            lines = found.stdout.splitlines() or found.stderr.splitlines()[-1:]
            print(f"{name}: {lines[0]}; {lines[-1].split(', ')[-1]}; {vllm[0] if vllm else 'vLLM: nothing against it'}",
                  flush=True)
            if found.returncode != 0:
                wrong.append(name)
                print(found.stdout[-2000:], found.stderr[-2000:])
    print(f"{len(wrong)} of {len(given.names or KINDS)} wrong: {wrong}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
