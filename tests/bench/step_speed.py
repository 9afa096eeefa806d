#!/usr/bin/env python3
"""Tokens per second of one worker against plain PEFT and torch: the same model, data and threads.

    step_speed.py --worker PATH_OF_THE_EXAMPLE [--python PYTHON] [--rounds 5] [--steps 6] [bf16]

Both sides run in turn, the faster turn of each round is never compared with another machine's.
PYTHON needs torch 2.11.0, transformers 5.23.0 and peft 0.21.2.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    peft = [given.python, str(HERE / "peft_step.py")]

    def measure(command):
        size = map(str, (given.rows, given.length, given.steps, given.threads))
        done = subprocess.run([*command, base, *size, *given.words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    with tempfile.TemporaryDirectory() as base:
        subprocess.run([*peft, "base", base], check=True, capture_output=True)
        ours, theirs = [], []
        for number in range(given.rounds):
            for name, command, list_ in (("worker", [given.worker], ours), ("peft", [*peft, "run"], theirs)):
                found = measure(command)
                list_.append(found)
                print(f"round {number + 1} {name}: best step {min(found['steps'][1:]):.3f} s, "
                      f"median {statistics.median(found['steps'][1:]):.3f} s", flush=True)

    tokens = ours[0]["tokens"]
    best = lambda runs: tokens / min(min(r["steps"][1:]) for r in runs)
    middle = lambda runs: tokens / statistics.median(s for r in runs for s in r["steps"][1:])
    difference = max(abs(a - b) for a, b in zip(ours[0]["losses"], theirs[0]["losses"]))
    part = lambda key: statistics.median(v for r in ours for v in r[key][1:])
    print(f"losses differ by at most {difference:.1e}")
    print(f"anatomy of a step: forward and backward {part('forward_backward'):.4f} s, "
          f"integers {part('quantize'):.4f} s, clip and optimizer {part('apply'):.4f} s")
    for key, unit in (("first_step", "s to the end of the first step"), ("peak_mb", "MB at most")):
        print(f"worker {min(r[key] for r in ours):.1f} {unit}, peft {min(r[key] for r in theirs):.1f}")
    print(f"worker {best(ours):.0f} tokens/s best, {middle(ours):.0f} middle; "
          f"peft {best(theirs):.0f} best, {middle(theirs):.0f} middle")
    print(f"ratio {best(ours) / best(theirs):.3f} best, {middle(ours) / middle(theirs):.3f} middle")


if __name__ == "__main__":
    main()
