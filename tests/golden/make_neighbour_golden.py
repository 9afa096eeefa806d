#!/usr/bin/env python3
"""Example data in the forms of other tools, and the token ids and masks that transformers gives for it.

    make_neighbour_golden.py     writes data/neighbours.json beside this file

Needs pip package transformers 4.56.2. The files are written for this test in the forms that LLaMA-Factory,
ms-swift, Axolotl, TRL and OpenAI document. Beside each stands what it means as transformers' own messages and
tools; the template below renders that, and marks what is learned by {% generation %} blocks, so ids and masks are
those of apply_chat_template. Files without conversations are such that a run must refuse.
"""

import json
import pathlib
import shutil
import tempfile

from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

ANSWER = (
    "{% if message.reasoning_content %}{{ '<think>\\n' + message.reasoning_content + '\\n</think>\\n' }}{% endif %}"
    "{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}{{ '<call>' }}{{ call.function | tojson }}{{ '</call>' }}{% endfor %}"
    "{{ '<|im_end|>' }}"
)
FRAME = (
    "{% if tools %}{{ '<|im_start|>system\\n' }}{% for tool in tools %}{{ tool | tojson }}{{ '\\n' }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{% if message.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}ANSWER{{ '\\n' }}"
    "{% else %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
OURS = FRAME.replace("ANSWER", "{% generation %}" + ANSWER + "{% endgeneration %}")
# What is not learned is not marked; transformers' masks are then those of a run.
THEIRS = FRAME.replace(
    "ANSWER",
    "{% if message.learned is defined and not message.learned %}" + ANSWER
    + "{% else %}{% generation %}" + ANSWER + "{% endgeneration %}{% endif %}",
)


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def answer(text, learned=True, **more):
    return {"role": "assistant", "content": text, "learned": learned, **more}


def call(name, arguments, learned=True, **more):
    return answer("", learned, tool_calls=[{"type": "function", "function": {"name": name, "arguments": arguments}}], **more)


def tool(text):
    return {"role": "tool", "content": text}


FIND = {"name": "find_case", "description": "查案件", "parameters": {"type": "object", "properties": {"no": {"type": "string"}}}}
WRAPPED = {"type": "function", "function": FIND}
FOUND = '{"state": "在审"}'
TURNS = [user("查案号十二"), call("find_case", {"no": "12"}), tool(FOUND), answer("案件在审。")]


def text(value):
    return json.dumps(value, ensure_ascii=False)


def part(kind, value):
    return {"type": kind, "value": value}


def says(who, value):
    return {"from": who, "value": value}


CASES = [
    ("alpaca.json", [], [
        {"instruction": "翻译成法律用语", "input": "他欠我钱", "output": "债务人未履行还款义务。", "system": "你是律师。",
         "history": [["你好", "您好，请说。"]]},
        {"instruction": "押金能退吗？", "input": "", "output": "应当退还。"},
    ], [
        ([system("你是律师。"), user("你好"), answer("您好，请说。"), user("翻译成法律用语\n他欠我钱"), answer("债务人未履行还款义务。")], None),
        ([user("押金能退吗？"), answer("应当退还。")], None),
    ]),
    ("sharegpt_tools.json", [], [
        {"conversations": [says("human", "查案号十二"), says("function_call", text({"name": "find_case", "arguments": {"no": "12"}})),
                           says("observation", FOUND), says("gpt", "案件在审。")],
         "tools": text([FIND])},
        {"conversations": [says("human", "你好"), says("gpt", "您好，请说。")], "system": "你是律师。", "tools": text([FIND])},
    ], [
        (TURNS, [WRAPPED]),
        ([system("你是律师。"), user("你好"), answer("您好，请说。")], [WRAPPED]),
    ]),
    ("openai_parts.jsonl", [], [
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "你是律师。"}]},
                      {"role": "user", "content": [{"type": "text", "text": "定金和"}, {"type": "text", "text": "订金有什么区别？"}]},
                      {"role": "assistant", "content": [{"type": "text", "text": "WRONG"}], "weight": 0},
                      {"role": "user", "content": "再想想"},
                      {"role": "assistant", "content": [{"type": "text", "text": "定金双倍返还，订金只是预付款。"}], "weight": 1}],
         "parallel_tool_calls": False},
        {"messages": [user("查案号十二"),
                      {"role": "assistant", "content": None, "tool_calls": [
                          {"id": "c1", "type": "function", "function": {"name": "find_case", "arguments": "{\"no\": \"12\"}"}}]},
                      {"role": "tool", "tool_call_id": "c1", "content": FOUND}, {"role": "assistant", "content": "案件在审。"}],
         "tools": [WRAPPED]},
        {"messages": [user("查案号十二"), {"role": "assistant", "content": None, "function_call": {"name": "find_case", "arguments": "{\"no\": \"12\"}"}},
                      {"role": "function", "name": "find_case", "content": FOUND}, {"role": "assistant", "content": "案件在审。"}],
         "functions": [FIND]},
    ], [
        ([system("你是律师。"), user("定金和订金有什么区别？"), answer("WRONG", False), user("再想想"), answer("定金双倍返还，订金只是预付款。")], None),
        ([user("查案号十二"), call("find_case", "{\"no\": \"12\"}"), tool(FOUND), answer("案件在审。")], [WRAPPED]),
        ([user("查案号十二"), call("find_case", "{\"no\": \"12\"}"), tool(FOUND), answer("案件在审。")], [WRAPPED]),
    ]),
    ("llama_factory_parts.jsonl", [], [
        {"messages": [{"role": "system", "content": [part("text", "你是律师。")], "loss_weight": 0.0},
                      {"role": "user", "content": [part("text", "查案号十二")], "loss_weight": 0.0},
                      {"role": "assistant", "content": [part("reasoning", "先查。"), part("tool_call", text({"name": "find_case", "arguments": {"no": "12"}}))],
                       "loss_weight": 1.0},
                      {"role": "tool", "content": [part("text", FOUND)], "loss_weight": 0.0},
                      {"role": "assistant", "content": [part("text", "案件"), part("text", "在审。")], "loss_weight": 0.0},
                      {"role": "user", "content": [part("text", "何时开庭？")], "loss_weight": 0.0},
                      {"role": "assistant", "content": [part("text", "下月初三。")], "loss_weight": 1.0}],
         "tools": text([WRAPPED])},
    ], [
        ([system("你是律师。"), user("查案号十二"), call("find_case", {"no": "12"}, reasoning_content="先查。"), tool(FOUND),
          answer("案件在审。", False), user("何时开庭？"), answer("下月初三。")], [WRAPPED]),
    ]),
    ("swift.jsonl", [], [
        {"messages": [user("二审多久？"), {"role": "assistant", "content": "WRONG", "loss": False}, user("再想想"),
                      {"role": "assistant", "content": "三个月。", "loss": True}]},
        {"messages": [user("查案号十二"), {"role": "tool_call", "content": text({"name": "find_case", "arguments": {"no": "12"}})},
                      {"role": "tool_response", "content": FOUND}, {"role": "assistant", "content": "案件在审。"}],
         "tools": text([WRAPPED])},
        {"query": "押金能退吗？", "response": "应当退还。", "history": [["你好", "您好，请说。"]], "system": "你是律师。"},
    ], [
        ([user("二审多久？"), answer("WRONG", False), user("再想想"), answer("三个月。")], None),
        (TURNS, [WRAPPED]),
        ([system("你是律师。"), user("你好"), answer("您好，请说。"), user("押金能退吗？"), answer("应当退还。")], None),
    ]),
    ("axolotl.jsonl", [], [
        {"messages": [{"role": "user", "content": "一审多久？", "train": False}, {"role": "assistant", "content": "WRONG", "train": False},
                      user("再想想"), {"role": "assistant", "content": "普通程序六个月。", "train": True}]},
        {"conversations": [says("human", "再审多久？"), {**says("gpt", "WRONG"), "weight": 0}, says("human", "再想想"),
                           {**says("gpt", "三个月审查。"), "weight": 1}]},
    ], [
        ([user("一审多久？"), answer("WRONG", False), user("再想想"), answer("普通程序六个月。")], None),
        ([user("再审多久？"), answer("WRONG", False), user("再想想"), answer("三个月审查。")], None),
    ]),
    ("thoughts.jsonl", [], [
        {"messages": [user("利息多少？"), {"role": "assistant", "reasoning_content": "三万乘六厘乘三。", "content": "五千四百元。"}]},
        {"conversations": [says("human", "利息多少？"), {**says("gpt", "五千四百元。"), "reasoning_content": "三万乘六厘乘三。"}]},
        {"question": "利息多少？", "answer": "五千四百元。", "reasoning_content": "三万乘六厘乘三。"},
    ], [([user("利息多少？"), answer("五千四百元。", reasoning_content="三万乘六厘乘三。")], None)] * 3),
    ("prompt_completion.jsonl", [], [
        {"prompt": [user("你好"), {"role": "assistant", "content": "您好，请说。"}, user("押金能退吗？")],
         "completion": [{"role": "assistant", "content": "应当退还。"}]},
        {"prompt": "押金能退吗？", "completion": "应当退还。"},
    ], [
        ([user("你好"), answer("您好，请说。", False), user("押金能退吗？"), answer("应当退还。")], None),
        ([user("押金能退吗？"), answer("应当退还。")], None),
    ]),
    ("dpo.jsonl", ["preference=chosen"], [
        {"prompt": "能私了吗？", "chosen": "可以协商。", "rejected": "随便。"},
        {"conversations": [says("human", "能私了吗？"), says("gpt", "可以协商。"), says("human", "怎么写协议？")],
         "chosen": says("gpt", "写明金额和期限。"), "rejected": says("gpt", "随便写。")},
        {"prompt": [user("能私了吗？")], "chosen": [{"role": "assistant", "content": "可以协商。"}], "rejected": [{"role": "assistant", "content": "随便。"}]},
        {"chosen": [user("能私了吗？"), {"role": "assistant", "content": "可以协商。"}], "rejected": [user("能私了吗？"), {"role": "assistant", "content": "随便。"}]},
        {"instruction": "能私了吗？", "input": "", "chosen": "可以协商。", "rejected": "随便。"},
        {"messages": [user("能私了吗？"), {"role": "assistant", "content": "可以协商。"}], "rejected_response": "随便。"},
        {"input": {"messages": [user("能私了吗？")], "tools": []}, "preferred_output": [{"role": "assistant", "content": "可以协商。"}],
         "non_preferred_output": [{"role": "assistant", "content": "随便。"}]},
    ], [
        ([user("能私了吗？"), answer("可以协商。")], None),
        ([user("能私了吗？"), answer("可以协商。", False), user("怎么写协议？"), answer("写明金额和期限。")], None),
    ] + [([user("能私了吗？"), answer("可以协商。")], None)] * 5),
    ("kto.jsonl", ["preference=chosen"], [
        {"prompt": "能私了吗？", "completion": "随便。", "label": False},
        {"prompt": "能私了吗？", "completion": "可以协商。", "label": True},
        {"messages": [user("押金能退吗？"), {"role": "assistant", "content": "应当退还。"}], "kto_tag": True},
        {"messages": [user("押金能退吗？"), {"role": "assistant", "content": "不退。"}], "kto_tag": False},
    ], [
        ([user("能私了吗？"), answer("可以协商。")], None),
        ([user("押金能退吗？"), answer("应当退还。")], None),
    ]),
    ("pretraining.jsonl", [], [{"text": "第一条 为了保护民事主体的合法权益。"}, {"text": "第二条 民法调整平等主体之间的关系。"}], None),
]
# Without the setting every one of these rows is refused, alone in its file.
CASES += [
    (f"{name}_{number}.jsonl", [], [row], None)
    for name in ("dpo", "kto")
    for number, row in enumerate(next(c[2] for c in CASES if c[0] == f"{name}.jsonl"), 1)
]


def rows(tokenizer, conversations):
    for messages, tools in conversations:
        encoded = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        yield {"ids": list(encoded["input_ids"]), "targets": "".join(map(str, encoded["assistant_masks"]))}


def main():
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "base"
        shutil.copytree(ROOT / "models/tiny-law", base, ignore=shutil.ignore_patterns("*.safetensors"))
        tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = THEIRS
    cases = []
    for name, settings, samples, conversations in CASES:
        whole = name.endswith(".json")
        content = text(samples) if whole else "".join(text(sample) + "\n" for sample in samples)
        cases.append({
            "file": name, "settings": settings, "text": content,
            "rows": None if conversations is None else list(rows(tokenizer, conversations)),
        })
    golden = {"template": OURS, "cases": cases}
    (HERE / "data/neighbours.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
