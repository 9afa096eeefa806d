#!/usr/bin/env python3
"""Rows per second and memory of `coordinator data prepare` against datasets + tokenizers.

    prepare_speed.py --coordinator PATH --folder FOLDER [--megabytes 2048] [--rounds 1]
                     [--flat 512,1024] [--processes CORES]

Writes a seeded JSONL of chats (Chinese and English, uneven lengths) into FOLDER, prepares it with
both in turn and prints one JSON object. Both sides render the chat template, tokenize, mask
everything but the answers, cut to max_seq_length and write the result to disk; the counts of rows,
tokens and learned tokens must agree. Memory is that of the whole process tree, sampled: `peak_mb`
sums resident sets, `anonymous_mb` leaves mapped files out. Needs datasets and transformers.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tiny-law"
LENGTH = 1024

CHINESE = ("劳动合同 试用期 工资 加班 押金 房东 租客 应当 可以 不得 法律 规定 人民法院 起诉 证据 赔偿 责任 "
           "用人单位 解除 通知 书面 期限 三十日 违约金 继承 遗嘱 离婚 抚养 交通事故 保险 公司 股东 债务").split()
ENGLISH = ("the contract party shall notice within thirty days court evidence claim damages tenant landlord "
           "deposit employer employee wages overtime termination written consent liability insurance").split()


def said(draw, words):
    if draw.random() < 0.6:
        text = "".join(draw.choices(CHINESE, k=words))
        return "，".join(text[i:i + 17] for i in range(0, len(text), 17)) + "。"
    return " ".join(draw.choices(ENGLISH, k=words)) + "."


def write(path, megabytes):
    draw = random.Random(20260101)
    rows, size = 0, megabytes * 1_000_000
    with open(path, "w", encoding="utf-8") as file:
        written = 0
        while written < size:
            messages = []
            for _ in range(1 if draw.random() < 0.7 else draw.randint(2, 4)):
                asked, answered = draw.randint(4, 40), int(draw.lognormvariate(4, 0.7)) + 1
                messages.append({"role": "user", "content": f"{rows}: " + said(draw, asked)})
                messages.append({"role": "assistant", "content": said(draw, min(answered, 900))})
            line = json.dumps({"messages": messages}, ensure_ascii=False) + "\n"
            file.write(line)
            written += len(line.encode())
            rows += 1
    return rows


class Peak:
    """Highest memory of a process and its children."""

    def __init__(self, pid):
        self.pid, self.resident, self.anonymous, self.ended = pid, 0, 0, False
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.ended:
            resident = anonymous = 0
            for pid in tree(self.pid):
                try:
                    status = pathlib.Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                fields = dict(re.findall(r"^(VmRSS|RssAnon):\s+(\d+)", status, re.M))
                resident += int(fields.get("VmRSS", 0))
                anonymous += int(fields.get("RssAnon", 0))
            self.resident = max(self.resident, resident)
            self.anonymous = max(self.anonymous, anonymous)
            time.sleep(0.05)

    def end(self):
        self.ended = True
        self.thread.join()
        return {"peak_mb": self.resident * 1024 // 1_000_000,
                "anonymous_mb": self.anonymous * 1024 // 1_000_000}


def tree(pid):
    found, left = [], [pid]
    while left:
        pid = left.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                left += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            pass
    return found


def timed(command, **options):
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    peak = Peak(process.pid)
    output, _ = process.communicate()
    seconds = time.monotonic() - began
    memory = peak.end()
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}\n{output}")
    return output, {"seconds": round(seconds, 2), **memory}


def ours(coordinator, data, folder):
    output = folder / "ours"
    shutil.rmtree(output, ignore_errors=True)
    settings = {"train_data_dir": data, "base_model": MODEL, "output_dir": output,
                "max_seq_length": LENGTH, "overflow": "truncate"}
    command = [coordinator, "data", "prepare", "--config", str(ROOT / "configs" / "quickstart.yaml")]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    text, result = timed(command, cwd=ROOT)
    counts = re.search(r"(\d+) samples, (\d+) tokens, (\d+) of them learned", text)
    rows, tokens, learned = map(int, counts.groups())
    shutil.rmtree(output)
    return finish(result, rows, tokens, learned)


def theirs(data, folder, processes):
    cache = folder / "theirs"
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, __file__, "--python-side", str(data), "--folder", str(cache),
               "--processes", str(processes)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(cache),
                   "TOKENIZERS_PARALLELISM": "false"}
    text, result = timed(command, env=environment)
    counts = json.loads(text.strip().splitlines()[-1])
    shutil.rmtree(cache)
    return finish(result, counts["rows"], counts["tokens"], counts["learned"])


def finish(result, rows, tokens, learned):
    return {"rows_per_second": round(rows / result["seconds"]), **result,
            "rows": rows, "tokens": tokens, "learned": learned}


def python_side(data, folder, processes):
    from datasets import load_dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    files = load_dataset("json", data_files=str(data), split="train", cache_dir=str(folder))

    def render(messages, prompt):
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)

    def prepare(batch):
        texts, spans = [], []
        for messages in batch["messages"]:
            texts.append(render(messages, False))
            here = []
            for at, message in enumerate(messages):
                if message["role"] == "assistant":
                    start = len(render(messages[:at], True))
                    here.append((start, len(render(messages[:at + 1], False).rstrip())))
            spans.append(here)
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        ids, labels, learned = [], [], []
        for row, offsets, here in zip(encoded["input_ids"], encoded["offset_mapping"], spans):
            mask, at = [0] * len(row), 0
            for start, end in here:
                while at < len(row) and offsets[at][0] < start:
                    at += 1
                while at < len(row) and offsets[at][0] < end:
                    mask[at] = 1
                    at += 1
            ids.append(row[:LENGTH])
            labels.append(mask[:LENGTH])
            learned.append(sum(mask[1:LENGTH]))
        return {"input_ids": ids, "mask": labels, "tokens": [len(row) for row in ids],
                "learned": learned}

    made = files.map(prepare, batched=True, num_proc=processes, remove_columns=files.column_names)
    print(json.dumps({"rows": len(made), "tokens": sum(made["tokens"]),
                      "learned": sum(made["learned"])}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--coordinator")
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--flat", default="", help="further sizes in MB, ours alone")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--python-side", type=pathlib.Path)
    given = parser.parse_args()
    if given.python_side:
        python_side(given.python_side, given.folder, given.processes)
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    coordinator = str(pathlib.Path(given.coordinator).resolve())
    data = given.folder / "chats.jsonl"
    result = {"flat": {}, "rounds": []}
    for size in [int(size) for size in given.flat.split(",") if size]:
        write(data, size)
        result["flat"][size] = ours(coordinator, data, given.folder)
        print(json.dumps({size: result["flat"][size]}), file=sys.stderr)
    write(data, given.megabytes)
    result["megabytes"] = given.megabytes
    for _ in range(given.rounds):
        a, b = ours(coordinator, data, given.folder), theirs(data, given.folder, given.processes)
        for key in ("rows", "tokens", "learned"):
            if a[key] != b[key]:
                sys.exit(f"{key} differ: {a[key]} ours, {b[key]} theirs")
        ratio = round(a["rows_per_second"] / b["rows_per_second"], 2)
        result["rounds"].append({"ours": a, "python": b, "ratio": ratio})
    data.unlink()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
