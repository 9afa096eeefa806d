"""Chat templates of our own, one for each thing that published ones do to answers."""

from conversations import ALL, TOOL, answer, call, conversation, result, user

CALLS = "{% for c in m.tool_calls %}<call>{{ c.function | tojson }}</call>{% endfor %}"
HEAD = "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

TEMPLATES = {
    "takes thoughts out of what was said before": HEAD
    + "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% set text = m.content %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% set thought = m.reasoning_content or '' %}"
    "{% if '</think>' in text %}{% set thought = text.split('</think>')[0].split('<think>')[-1].strip() %}"
    "{% set text = text.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "{% if loop.index0 > ns.last and (loop.last or thought) %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{% endif %}"
    "{{ text }}" + CALLS + "<|im_end|>\n{% endfor %}" + PROMPT,
    "opens a thought in the prompt": "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    "ignores add_generation_prompt": "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n",
    "has no prompt": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}</s>"
    "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}",
    "ends the last answer with another token": "{% for m in messages %}<|start|>{{ m.role }}<|message|>"
    "{% if m.role == 'assistant' and loop.last and m.thinking %}<think>{{ m.thinking }}</think>{% endif %}"
    "{{ m.content }}{% if loop.last and m.role == 'assistant' %}<|return|>{% else %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|message|>{% endif %}",
    "ends only the last answer": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    "{% if messages[-1].role == 'assistant' %}{{ eos_token }}{% endif %}" + PROMPT,
    "marks an answer in several blocks": "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% generation %}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>"
    "{% endif %}\n{% endfor %}" + PROMPT,
    "leaves calls out": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" + PROMPT,
    "takes thoughts out of every answer": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n"
    "{% endfor %}" + PROMPT,
    "writes the system prompt before a last question": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
    "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}",
    "prints numbers": HEAD
    + "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}{% for k, v in c.function.arguments.items() %}"
    "<{{ k }}>{{ v }} {{ v | tojson }} {{ v | string }}</{{ k }}>{% endfor %}{% endfor %}<|im_end|>\n{% endfor %}" + PROMPT,
}

NUMBERS = conversation(
    [
        user("Find it."),
        answer("", tool_calls=[call({"a": 25.0, "b": 1e-7, "c": 18446744073709551615, "d": 1e22, "e": [1.0, True], "f": "Jürgen"})]),
        result("ok"),
        answer("Done."),
    ],
    [TOOL],
)
CONVERSATIONS = {**ALL, "numbers": NUMBERS}
