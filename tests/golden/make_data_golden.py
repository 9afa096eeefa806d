#!/usr/bin/env python3
"""Token ids and labels as transformers gives them, for our data room to meet.

    make_data_golden.py          writes data/tokens.json and data/templates.json beside this file

Needs pip package transformers 5.23.0. The dialogue reader and the mask here are written from the
rule in the docs, not from our code: all but the assistant turns is masked; a turn begins where the
rendering of the earlier messages with add_generation_prompt=True ends, and ends with its
end-of-turn token; white space after it is masked; a token belongs where it starts. Where a template
has {% generation %} blocks, the mask is transformers' own assistant_masks.
"""

import itertools
import json
import pathlib
import shutil
import tempfile

import transformers
from transformers import AutoTokenizer

import chat_styles

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROWS = 12

TEMPLATES = {
    "shipped": None,
    "llama2": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
              "{% elif m['role'] == 'assistant' %} {{ m['content'] }} {{ eos_token }}"
              "{% else %}<<SYS>>{{ m['content'] }}<</SYS>>\n{% endif %}{% endfor %}",
    "llama3": "{{ bos_token }}{% for m in messages %}## {{ m['role'] }}\n\n{{ m['content'] | trim }}{{ eos_token }}\n"
              "{% endfor %}{% if add_generation_prompt %}## assistant\n\n{% endif %}",
}


def dialogue(path):
    """Question and answer pairs of a role-prefixed file."""
    rows = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        line = line.strip()
        if line.startswith("用户："):
            rows.append([{"role": "user", "content": line[3:].strip()}])
        elif line.startswith("律师："):
            rows[-1].append({"role": "assistant", "content": line[3:].strip()})
        elif line:
            rows[-1][-1]["content"] += "\n" + line
    return rows


def conversations():
    turn = lambda role, content: {"role": role, "content": content}
    return dialogue(ROOT / "data/law_train/train.txt")[:ROWS] + [
        [turn("user", "押金不退怎么办"), turn("assistant", "先协商。"), turn("user", "协商不成呢"),
         turn("assistant", "依据合同起诉。\n保留证据。")],
        [turn("system", "你是律师。"), turn("user", "试用期多久"), turn("assistant", "最长六个月。")],
        [turn("user", "  How long is the notice period? "), turn("assistant", "Thirty days, in writing.")],
    ]


def prepare(tokenizer, messages, train_on_inputs, limit):
    render = lambda part, prompt: tokenizer.apply_chat_template(
        part, tokenize=False, add_generation_prompt=prompt)
    text = render(messages, False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded.input_ids, encoded.offset_mapping
    special = set(tokenizer.all_special_ids)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = len(render(messages[:number], True))
        assert text.startswith(render(messages[:number], True))
        after = start + len(message["content"].rstrip())
        end = next(e for i, (s, e) in zip(ids, offsets) if i in special and s >= after)
        spans.append((start, end))
    learned = [int(train_on_inputs or any(s <= a < e for s, e in spans)) for a, _ in offsets]
    return ids[:limit], learned[:limit]


def styled(name, folder):
    """The shipped tokenizer with a style's template and tokens, and its tokenizer_config.json."""
    template, tokens, named = chat_styles.STYLES[name]
    shutil.copytree(ROOT / "models/tiny-law", folder, dirs_exist_ok=True)
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    flags = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    config = json.loads((folder / "tokenizer_config.json").read_text()) | named | {
        "chat_template": template,
        "added_tokens_decoder": {str(vocabulary + i): {"content": t, **flags} for i, t in enumerate(tokens)}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for number, token in enumerate(tokens):
        assert tokenizer.convert_tokens_to_ids(token) == vocabulary + number, token
    return tokenizer, config


def answers(tokenizer, messages, tools):
    """Ids, and for each answer the places of its tokens."""
    render = lambda part, prompt: tokenizer.apply_chat_template(
        part, tools=tools, tokenize=False, add_generation_prompt=prompt)
    marked = "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template
    whole = tokenizer.apply_chat_template(
        messages, tools=tools, return_dict=True, return_assistant_tokens_mask=marked)
    speaking = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    if marked:
        mask = whole["assistant_masks"]
        runs = itertools.groupby(range(len(mask)), key=lambda i: mask[i])
        found = [list(run) for learned, run in runs if learned]
    else:
        text = render(messages, False)
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        found = []
        for number in speaking:
            before, through = render(messages[:number], True), render(messages[:number + 1], False)
            assert through.startswith(before), (before, through)
            if not text.startswith(through):
                # What a template writes behind the very last turn is no part of an earlier answer.
                assert through.endswith(tokenizer.eos_token)
                through = through.removesuffix(tokenizer.eos_token)
            assert text.startswith(through), (through, text)
            span = range(len(before), len(through.rstrip()))
            found.append([i for i, (start, _) in enumerate(offsets) if start in span])
    assert len(found) == len(speaking) and all(found), (len(found), len(speaking))
    return whole["input_ids"], dict(zip(speaking, found))


def labels(size, places, messages):
    """Targets by `loss_on`; none where nothing is left to learn."""
    unlearned = {i for i in places if messages[i].get("weight") == 0}
    last = max(places)
    kept = {
        "response": {t for i in places if i not in unlearned for t in places[i]},
        "all": set(range(size)) - {t for i in unlearned for t in places[i]},
        "last": set(places[last]) if last not in unlearned else set(),
    }
    return {k: "".join("01"[t in tokens] for t in range(size)) for k, tokens in kept.items() if tokens}


def templates():
    samples = list(chat_styles.CONVERSATIONS.items())
    styles = []
    for name in chat_styles.STYLES:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer, config = styled(name, pathlib.Path(folder))
            rows = []
            for number, (_, sample) in enumerate(samples):
                if not chat_styles.suits(name, sample):
                    continue
                messages = [{k: v for k, v in m.items() if k != "weight"} for m in sample["messages"]]
                ids, places = answers(tokenizer, messages, sample.get("tools"))
                rows.append({"sample": number, "ids": ids, **labels(len(ids), places, sample["messages"])})
            styles.append({"style": name, "tokenizer_config": config, "rows": rows})
    return {"transformers": transformers.__version__,
            "samples": [{"name": name, **sample} for name, sample in samples], "styles": styles}


def write(name, golden):
    file = HERE / "data" / name
    file.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(file, file.stat().st_size, "bytes")


def main():
    cases = []
    for name, template in TEMPLATES.items():
        tokenizer = AutoTokenizer.from_pretrained(ROOT / "models/tiny-law")
        if template:
            tokenizer.chat_template = template
        for train_on_inputs, limit in ((False, 512), (True, 512), (False, 64)):
            rows = []
            for messages in conversations():
                ids, learned = prepare(tokenizer, messages, train_on_inputs, limit)
                assert sum(learned[1:]) > 0, messages
                rows.append({"ids": ids, "targets": "".join(map(str, learned))})
            cases.append({"template": name, "jinja": template, "train_on_inputs": train_on_inputs,
                          "max_seq_length": limit, "rows": rows})
    golden = {"transformers": transformers.__version__, "conversations": conversations(), "cases": cases}
    write("tokens.json", golden)
    write("templates.json", templates())


if __name__ == "__main__":
    main()
