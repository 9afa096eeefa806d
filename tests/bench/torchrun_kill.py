#!/usr/bin/env python3
"""kill -9 of one of three torchrun workers: how long until the survivors work again?

    torchrun_kill.py [--python PYTHON] [--rounds 10]

The script torchrun runs is plain PEFT on the shipped small base model with
DistributedDataParallel over gloo, one thread per process, its adapter and optimizer saved after
every step, so that a restart loses as little as it can. torchrun has --max-restarts: its agent
ends all processes and starts them again. Printed: kill until some process has begun a step again,
and kill until the next step is done. `make measure WHAT=times` has the same for this project.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = Path(__file__).resolve().parents[2] / "models" / "tiny-law"


def say(line: str) -> None:
    """In one write: three processes share the pipe."""
    os.write(1, (line + "\n").encode())


def train() -> None:
    import torch
    import torch.distributed as dist
    from peft import LoraConfig, get_peft_model
    from torch.nn.parallel import DistributedDataParallel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    # Without a prefix of its own a restarted process finds the addresses of those before it and waits
    # for them (torch 2.11.0).
    rank, attempt = int(os.environ["RANK"]), os.environ["TORCHELASTIC_RESTART_COUNT"]
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    store = dist.PrefixStore(f"restart-{attempt}", store)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=int(os.environ["WORLD_SIZE"]))
    torch.manual_seed(42)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = DistributedDataParallel(get_peft_model(model, config))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    saved = Path(os.environ["SAVED"])
    step = 0
    if saved.exists():
        state = torch.load(saved)
        step = state["step"]
        optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for parameter, value in zip(parameters, state["parameters"]):
                parameter.copy_(value)
    say(f"pid {rank} {os.getpid()}")
    while True:
        step += 1
        say(f"begin {rank} {step}")
        tokens = torch.randint(4, 2560, (3, 100))
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if rank == 0:
            state = {"step": step, "optimizer": optimizer.state_dict(), "parameters": parameters}
            torch.save(state, str(saved) + ".part")
            os.replace(str(saved) + ".part", saved)
        say(f"done {rank} {step}")


def measure(python: str, rounds: int) -> None:
    folder = tempfile.mkdtemp()
    environment = {**os.environ, "SAVED": folder + "/state.pt", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONUNBUFFERED": "1"}
    command = [
        python, "-m", "torch.distributed.run", "--master-addr=127.0.0.1", "--master-port=29517",
        "--nnodes=1", "--nproc-per-node=3",
        "--max-restarts=1000", "--monitor-interval=0.1", __file__, "--train",
    ]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    pids: dict[int, int] = {}

    def line() -> list[str]:
        text = run.stdout.readline()
        if not text:
            sys.exit("torchrun ended")
        words = text.split()
        if words and words[0] == "pid":
            pids[int(words[1])] = int(words[2])
        return words

    def until(word: str) -> None:
        while line()[:1] != [word]:
            pass

    begun, done = [], []
    try:
        for number in range(rounds):
            for _ in range(30):
                until("done")
            victim = pids.pop(number % 3)
            start = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            # What the survivors wrote before they were ended is not the run going on: every process
            # names itself again first.
            fresh: set[int] = set()
            while len(fresh) < 3:
                words = line()
                if words[:1] == ["pid"]:
                    fresh.add(int(words[1]))
            until("begin")
            begun.append(time.monotonic() - start)
            until("done")
            done.append(time.monotonic() - start)
    finally:
        run.terminate()
        run.wait(timeout=60)
    for what, values in (("begun", begun), ("done", done)):
        middle = statistics.median(values) * 1000
        print(f"torchrun: kill -9 until a step is {what}, ms: median {middle:.0f} of {len(values)} "
              f"(least {min(values) * 1000:.0f}, most {max(values) * 1000:.0f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.train:
        train()
    else:
        measure(arguments.python, arguments.rounds)
