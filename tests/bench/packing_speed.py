#!/usr/bin/env python3
"""Target tokens per second with and without `packing`, on one worker and rows of uneven length.

    packing_speed.py --worker PATH_OF_THE_EXAMPLE [--python PYTHON] [--rounds 7] [--threads 2]

The base model is step_speed.py's; PYTHON needs torch and transformers to write it.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("lengths", nargs="*", help="median and sigma of the log-normal lengths")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        subprocess.run([given.python, str(HERE / "peft_step.py"), "base", base], check=True, capture_output=True)
        command = [given.worker, base, str(given.rounds), str(given.threads), *given.lengths]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout)
    lengths, padding, rates = (found[key] for key in ("lengths", "padding_share", "target_tokens_per_s"))
    print(f"lengths log-normal, median {lengths['median']:.0f}, sigma {lengths['sigma']}, cut to "
          f"{lengths['cut'][0]:.0f}..{lengths['cut'][1]:.0f}, mean {lengths['mean']:.1f} tokens")
    print(f"{found['rounds']} steps of {found['global_batch']} samples in micro-batches of "
          f"{found['micro_batch_size']}: padding {padding['unpacked']:.1%} unpacked, {padding['packed']:.1%} packed")
    print(f"losses differ by at most {found['losses_differ_by']:.1e} of themselves")
    print(f"target tokens/s {rates['unpacked']:.0f} unpacked, {rates['packed']:.0f} packed")
    print("ratios " + " ".join(f"{ratio:.3f}" for ratio in found["ratios"]) + f", middle {found['ratio']:.3f}")
    print(f"the same of processor seconds, which other programs on the machine do not change: {found['cpu_ratio']:.3f}")


if __name__ == "__main__":
    main()
