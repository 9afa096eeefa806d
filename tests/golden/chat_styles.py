"""Chat templates in the style of several families, and conversations for them.

All of it is written for these tests. A style names the tokens that its family's tokenizer has beyond
the shipped one; they get the ids behind its vocabulary.
"""

CHATML = """\
{%- if tools %}
<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif -%}
You may call these functions:
{% for tool in tools %}
{{ tool | tojson }}
{% endfor %}
<|im_end|>
{% endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first and tools %}{% continue %}{% endif %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n<result>\\n' ~ message.content ~ '\\n</result><|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}{% BEGIN %}{{ message.content or '' }}
        {%- for call in message.tool_calls %}
            {{- '\\n<call>\\n' if message.content or not loop.first else '<call>\\n' }}
            {{- '{"name": "' ~ call.function.name ~ '", "arguments": ' }}
            {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
            {{- '}\\n</call>' }}
        {%- endfor %}
        {{- '<|im_end|>' }}{% END %}{{ '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

LLAMA2 = """\
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- set ns.system = '<<SYS>>\\n' ~ message['content'].strip() ~ '\\n<</SYS>>\\n\\n' -%}
    {%- elif message['role'] == 'user' -%}
        {{ bos_token ~ '[INST] ' ~ ns.system ~ message['content'].strip() ~ ' [/INST]' }}
        {%- set ns.system = '' -%}
    {%- elif message['role'] == 'assistant' -%}
        {{ ' ' ~ message['content'].strip() ~ ' ' ~ eos_token }}
    {%- else -%}
        {{ raise_exception('only system, user and assistant speak here') }}
    {%- endif -%}
{%- endfor -%}
"""

LLAMA3 = """\
{{- bos_token }}
{%- macro head(role) %}{{ '<|start_header_id|>' ~ role ~ '<|end_header_id|>\\n\\n' }}{% endmacro %}
{%- set system = messages[0].content | trim if messages[0].role == 'system' else '' %}
{%- set turns = messages[1:] if messages[0].role == 'system' else messages %}
{{- head('system') }}
{%- if tools is not none %}{{ 'Environment: functions\\n' }}{% endif %}
{{- 'Today is ' ~ date_string | default('26 Jul 2024') ~ '\\n\\n' ~ system ~ '<|eot_id|>' }}
{%- for message in turns %}
    {%- if 'tool_calls' in message and message['tool_calls'] %}
        {%- if message.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- head('assistant') }}{% BEGIN %}{{ '{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}{{ '}<|eot_id|>' }}{% END %}
    {%- elif message.role == 'tool' %}
        {{- head('ipython') ~ (message.content if message.content is string else message.content | tojson) ~ '<|eot_id|>' }}
    {%- elif message.role == 'assistant' %}
        {{- head('assistant') }}
        {%- BEGIN %}{{ message.content | trim ~ '<|eot_id|>' }}{% END %}
    {%- else %}
        {%- if message.role == 'user' and loop.first and tools is not none %}
            {{- head('user') ~ 'Functions, as JSON:\\n\\n' }}
            {%- for tool in tools %}{{ tool | tojson(indent=4) }}{{ '\\n\\n' }}{% endfor %}
            {{- message.content | trim ~ '<|eot_id|>' }}
        {%- else %}
            {{- head(message.role) ~ message.content | trim ~ '<|eot_id|>' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ head('assistant') }}{% endif %}
"""

MISTRAL = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system = messages[0]["content"] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message["role"] == "user" %}
        {%- if loop.first and tools is not none %}
            {{- "[AVAILABLE_TOOLS][" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.items() if key != "return" %}
                    {%- if value is string %}{{ '"' + key + '": "' + value + '"' }}
                    {%- else %}{{ '"' + key + '": ' + value | tojson }}{% endif %}
                    {{- ", " if not loop.last }}
                {%- endfor %}
                {{- "}}" }}{{ ", " if not loop.last else "]" }}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.first and system is defined %}
            {{- "[INST]" + system + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS][" }}
        {%- for call in message.tool_calls %}
            {%- set out = call.function | tojson %}
            {{- out[:-1] ~ ', "id": "' ~ call.id ~ '"}' }}{{ ", " if not loop.last else "]" ~ eos_token }}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS]{"content": ' ~ message.content | string | tojson ~ ', "call_id": "' ~ message.tool_call_id ~ '"}[/TOOL_RESULTS]' }}
    {%- endif %}
{%- endfor %}
"""

GEMMA = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('user and model take turns') }}{% endif %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{% if add_generation_prompt %}
{{ '<start_of_turn>model\\n' }}
{%- endif %}
"""

PHI3 = """\
{% for message in messages %}
{% if message['role'] == 'system' and message['content'] %}
{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}
{%- elif message['role'] == 'user' %}
{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}
{%- elif message['role'] == 'assistant' %}
{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}
"""

# Prints what is no text, as Python prints it, and writes white space inside its blocks.
PRINTED = """\
{% for message in messages %}
{% if message.role == 'assistant' %}
<|im_start|>assistant
{%- generation %}

{{ message.content }}{% if message.tool_calls %} {{ message.tool_calls }}{% endif %}<|im_end|>
{% endgeneration -%}
{% else %}
<|im_start|>{{ message.role }} {{ message.get('name') }} {{ loop.first }} {{ [loop.index, message.content] }}<|im_end|>
{% endif %}
{% endfor %}
{% if tools %}{{ tools }}{% endif %}
{% if add_generation_prompt %}
<|im_start|>assistant
{%- endif %}
"""


def generation(template, on):
    """The template with its answers marked, or not."""
    begin, end = ("generation", "endgeneration") if on else ("if true", "endif")
    return template.replace("BEGIN", begin).replace("END", end)


# name: template, tokens beyond the shipped ones, named tokens
STYLES = {
    "chatml": (generation(CHATML, False), [], {}),
    "chatml-generation": (generation(CHATML, True), [], {}),
    "llama-2": (LLAMA2, ["<s>", "</s>"], {"bos_token": "<s>", "eos_token": "</s>"}),
    "llama-3": (generation(LLAMA3, False),
                ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
                {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "llama-3-generation": (generation(LLAMA3, True),
                           ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
                           {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "mistral": (MISTRAL, ["<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
                          "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"],
                {"bos_token": "<s>", "eos_token": "</s>"}),
    "gemma": (GEMMA, ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
              {"bos_token": "<bos>", "eos_token": "<eos>"}),
    "phi-3": (PHI3, ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"], {"eos_token": "<|endoftext|>"}),
    "printed-generation": (PRINTED, [], {}),
}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, number):
    return {"id": f"call{number:05}", "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [
    {"type": "function", "function": {
        "name": "find_article", "description": "Finds an article of a law, <by> number & name.",
        "parameters": {"type": "object", "properties": {
            "law": {"type": "string", "description": "法律名称"},
            "number": {"type": "integer", "minimum": 1}}, "required": ["law", "number"]}}},
    {"type": "function", "function": {
        "name": "interest", "description": "Interest on a sum.", "parameters": {"type": "object", "properties": {
            "sum": {"type": "number"}, "rate": {"type": "number", "default": 0.05}, "simple": {"type": "boolean", "default": True}}}}},
]

ASKED = [turn("user", "押金不退怎么办"), turn("assistant", "先协商。"), turn("user", " Where do I sue?\n"),
         turn("assistant", "  In the court of the place where the flat is. \n"), turn("user", "需要什么证据？😀"),
         turn("assistant", "依据合同和付款记录。\n\n保留聊天记录👍")]
SYSTEM = turn("system", "你是律师。Answer briefly.")
CALLED = [turn("user", "试用期最长多久？"),
          turn("assistant", None, tool_calls=[call("find_article", {"law": "劳动合同法", "number": 19}, 1)]),
          turn("tool", "{\"text\": \"试用期不得超过六个月\"}", tool_call_id="call00001", name="find_article"),
          turn("assistant", "依据第十九条，最长六个月。")]
AGAIN = CALLED + [turn("user", "利息呢？"),
                  turn("assistant", "", tool_calls=[call("interest", {"sum": 1000.5, "simple": None, "parts": [1, "it's", True]}, 2)]),
                  turn("tool", "50.0", tool_call_id="call00002", name="interest"), turn("assistant", "五十元。")]
TWICE = [turn("user", "两件事"),
         turn("assistant", "先查。", tool_calls=[call("find_article", "{\"law\": \"民法典\", \"number\": 1}", 3),
                                               call("interest", {}, 4)]),
         turn("tool", "第一条", tool_call_id="call00003", name="find_article"),
         turn("tool", "0", tool_call_id="call00004", name="interest"), turn("assistant", "查到了。")]


def weighted(messages, *zeros):
    """The answers of these numbers get weight 0, the others weight 1."""
    answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    weight = lambda i: 0 if answers.index(i) in zeros else 1
    return [{**m, "weight": weight(i)} if i in answers else m for i, m in enumerate(messages)]


# name: sample
CONVERSATIONS = {
    "one turn": {"messages": ASKED[:2]},
    "three turns": {"messages": ASKED},
    "system, two turns": {"messages": [SYSTEM] + ASKED[2:]},
    "unanswered": {"messages": ASKED[:5]},
    "first of weight 0": {"messages": weighted(ASKED, 0)},
    "middle of weight 0": {"messages": [SYSTEM] + weighted(ASKED, 1)},
    "last of weight 0": {"messages": weighted(ASKED[:4], 1)},
    "tool call": {"messages": CALLED, "tools": TOOLS},
    "system, tools, two calls": {"messages": [SYSTEM] + AGAIN, "tools": TOOLS},
    "tools not called": {"messages": ASKED[:4], "tools": TOOLS},
    "call without tools": {"messages": CALLED},
    "call of weight 0": {"messages": weighted(CALLED, 0), "tools": TOOLS},
    "two calls at once": {"messages": TWICE, "tools": TOOLS},
}
NO_SYSTEM = {"gemma"}
NO_TOOLS = {"llama-2", "gemma", "phi-3"}
ONE_CALL = {"llama-3", "llama-3-generation"}


def suits(style, sample):
    """Whether the style has what the sample needs."""
    messages = sample["messages"]
    tools = "tools" in sample or any("tool_calls" in m for m in messages)
    at_once = max((len(m.get("tool_calls", ())) for m in messages), default=0)
    system = messages[0]["role"] == "system"
    return not (system and style in NO_SYSTEM or tools and style in NO_TOOLS or at_once > 1 and style in ONE_CALL)
