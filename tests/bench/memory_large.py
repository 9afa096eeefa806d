#!/usr/bin/env python3
"""Peak resident memory of a step on a bf16 model of about 1B random parameters with 150,000 words, ours and PEFT's.

    memory_large.py --worker PATH_OF_THE_EXAMPLE_step_speed [--python PYTHON] [--length 1024] [--steps 1]
                    [--patience MINUTES] [CASE...]

Cases: kept again nf4 nf4-again. Each side is a process of its own, one after the other; the figure is the
kernel's own peak of all resident memory (VmHWM), mapped files counted. On a processor without instructions for
bf16 torch takes hours for PEFT's backward pass: after MINUTES it is ended, and its peak so far counts, as
'at least'. PYTHON needs torch 2.11.0, transformers 5.23.0, peft 0.21.2 and bitsandbytes 0.50.2.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import plan_memory  # noqa: E402

CASES = {"kept": ["bf16"], "again": ["bf16", "again"], "nf4": ["bf16", "nf4"], "nf4-again": ["bf16", "nf4", "again"]}


def peak_of(pid):
    """MiB, or 0 of a process that is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def measure(command, patience):
    """What it printed, or its peak when it was ended."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until, peak = time.monotonic() + patience * 60, 0.0
    while process.poll() is None and time.monotonic() < until:
        peak = max(peak, peak_of(process.pid))
        time.sleep(0.2)
    if process.poll() is None:
        process.kill()
        process.communicate()
        return {"peak_mb": peak, "ended": True, "steps": [float("nan")], "losses": [float("nan")]}
    out, err = process.communicate()
    if process.returncode:
        sys.exit(f"{command}: {err[-3000:]}")
    return json.loads(out.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--patience", type=float, default=240)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    given = parser.parse_args()
    # Hidden 2048, inner 5632, 16 layers, 16 heads over 8, the head tied.
    shape, dtype = plan_memory.model(150_000, 2048, 5632, 16, 16, 8, True, "BF16")
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "base"
        parameters = plan_memory.write_model(base, shape, dtype)
        print(f"{parameters / 1e9:.3f}B parameters, {given.length} tokens, {given.threads} threads", flush=True)
        size = ["1", str(given.length), str(given.steps), str(given.threads)]
        for case in given.cases or CASES:
            found = {}
            for side, command in (("ours", [given.worker]), ("peft", [given.python, str(HERE / "peft_step.py"), "run"])):
                found[side] = measure([*command, str(base), *size, *CASES[case]], given.patience)
            ours, peft = found["ours"], found["peft"]
            least = f" at least, ended after {given.patience:.0f} min" if peft.get("ended") else ""
            print(f"{case}: ours {ours['peak_mb']:.0f} MiB, PEFT {peft['peak_mb']:.0f} MiB{least}, "
                  f"ratio {ours['peak_mb'] / peft['peak_mb']:.3f}; a step {min(ours['steps']):.1f} s and "
                  f"{min(peft['steps']):.1f} s; first losses {ours['losses'][0]:.5f} and {peft['losses'][0]:.5f}", flush=True)


if __name__ == "__main__":
    main()
