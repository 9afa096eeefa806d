#!/usr/bin/env python3
"""The table of docs/reports/goldens.md from what the golden test prints.

    cargo test --release -p worker --test golden -- --nocapture > cpu.txt
    table.py cpu.txt [cuda.txt] > docs/reports/goldens.md
"""

import re
import sys

LINE = re.compile(r"\| (\S+) \| (\S+) \| (\S+) \| (\S+) \| logits (\S+) (\S+), loss (\S+) then (\S+), "
                  r"grad norm (\S+), adapter (\S+) \|")
SCALED = re.compile(r"(fp16/\S+): (\d+) steps, skipped (\[.*?\]) as torch does, worst loss (\S+), grad norm (\S+)")

HEAD = """# Goldens: the differences to transformers and PEFT

Made by `tests/golden/table.py` from what `worker/tests/golden.rs` prints. Each case trains a tiny model of hashed
weights for some steps; the reference is transformers 5.23.0 with PEFT 0.21.2 on torch 2.11.0 (NF4 and int8:
bitsandbytes 0.50.2), on a CPU. First adapters are equal byte for byte (of PiSSA on the same processor; elsewhere within 1e-5). Shown are the largest differences: of the logits before
and after training, of any step's loss, of the gradient's norm (relative), and of the last adapter (relative to its
update). Limits in f32: loss 1e-5 in the first step and 2e-5 in any, gradient's norm 1e-5, adapter 1e-4, logits 1e-4; in bf16 and
fp16: loss 2e-2. In bf16 PEFT's whole modules and biases learn in bf16, ours in f32.
"""


def table(text):
    rows = sorted(set(LINE.findall(text)), key=lambda row: (row[1].split("/")[0], row[1]))
    print("| family | case | kind | precision | logits | loss | gradient's norm | adapter |")
    print("|---|---|---|---|---|---|---|---|")
    for family, case, kind, precision, first, last, loss, later, norm, adapter in rows:
        worst = max(float(loss), float(later))
        print(f"| {family} | {case} | {kind.removesuffix('Config')} | {precision} | {first}, {last} | {worst:.1e} | {norm} | {adapter} |")
    print()
    for case, steps, skipped, loss, norm in sorted(set(SCALED.findall(text))):
        print(f"- {case}: {steps} steps against torch's GradScaler, the same steps skipped {skipped}; loss {loss}, gradient's norm {norm}.")


def main():
    print(HEAD)
    for title, path in zip(("On the CPU", "On CUDA"), sys.argv[1:]):
        print(f"## {title}\n")
        with open(path) as file:
            table(file.read())
        print()


if __name__ == "__main__":
    main()
