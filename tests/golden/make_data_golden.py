#!/usr/bin/env python3
"""Token ids and labels as transformers gives them, for our data room to meet.

    make_data_golden.py          writes data/tokens.json beside this file

Needs pip package transformers 5.23.0. The dialogue reader and the mask here are written from the
rule in the docs, not from our code: all but the assistant turns is masked; a turn begins where the
rendering of the earlier messages with add_generation_prompt=True ends, and ends with its
end-of-turn token; white space after it is masked; a token belongs where it starts.
"""

import json
import pathlib

import transformers
from transformers import AutoTokenizer

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
    file = HERE / "data/tokens.json"
    file.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(file, file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
