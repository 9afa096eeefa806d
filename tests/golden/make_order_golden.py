#!/usr/bin/env python3
"""The order of `group_by_length`, as transformers' own function gives it.

    pip install torch==2.11.0 transformers==5.23.0
    python tests/golden/make_order_golden.py

It writes tests/golden/data/length_groups.json. The generator is seeded as the order of an epoch is:
`seed + epoch`. Lengths are few-valued, so that many are equal.
"""

import json
import pathlib

import torch
import transformers
from transformers.trainer_pt_utils import get_length_grouped_indices

HERE = pathlib.Path(__file__).resolve().parent
CASES = [  # seed, epoch, samples, global batch, how many lengths there are
    (42, 0, 1, 4, 9), (42, 0, 7, 8, 5), (42, 1, 33, 8, 30), (7, 0, 64, 4, 3), (7, 2, 65, 4, 200),
    (0, 0, 100, 1, 40), (2**32 - 1, 3, 130, 16, 1), (1234, 0, 450, 2, 17),
]


def case(seed, epoch, samples, global_batch, values):
    lengths = [2 + (i * i * 7 + i * 11) % values for i in range(samples)]
    generator = torch.Generator().manual_seed(seed + epoch)
    order = get_length_grouped_indices(lengths, global_batch, generator=generator)
    return {"seed": seed, "epoch": epoch, "global_batch": global_batch, "lengths": lengths, "order": order}


def main():
    made_with = {m.__name__: m.__version__.split("+")[0] for m in (torch, transformers)}
    golden = {"made_with": made_with, "cases": [case(*given) for given in CASES]}
    path = HERE / "data" / "length_groups.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{len(CASES)} orders, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
