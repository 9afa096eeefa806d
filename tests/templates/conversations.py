"""22 conversations of every kind that data holds, written for these tests."""

TOOL = {
    "type": "function",
    "function": {
        "name": "find_contract",
        "description": "Finds a contract.",
        "parameters": {
            "type": "object",
            "properties": {
                "number": {"type": "string", "description": "its number"},
                "share": {"type": "number", "default": 1.0, "description": "a share"},
                "kind": {"type": "string", "enum": ["lease", "sale"]},
            },
            "required": ["number"],
        },
    },
}


def user(text):
    return {"role": "user", "content": text}


def answer(text, **fields):
    return {"role": "assistant", "content": text, **fields}


def system(text):
    return {"role": "system", "content": text}


def call(arguments, name="find_contract", number="callabc01"):
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text, number="callabc01"):
    return {"role": "tool", "tool_call_id": number, "name": "find_contract", "content": text}


def conversation(messages, tools=None):
    return {"messages": messages} if tools is None else {"messages": messages, "tools": tools}


ALL = {
    "one turn": conversation([user("How long is the notice?"), answer("Three months.")]),
    "chinese": conversation([user("押金能退吗？"), answer("到期应当退还。")]),
    "two turns": conversation([user("one?"), answer("1"), user("two?"), answer("2")]),
    "three turns": conversation(
        [user("a"), answer("A"), user("b"), answer("B"), user("c"), answer("C")]
    ),
    "system": conversation([system("Be brief."), user("Hi"), answer("Hello!")]),
    "system, two turns": conversation(
        [system("Be brief."), user("Hi"), answer("Hello!"), user("Bye"), answer("Goodbye.")]
    ),
    "ends with a question": conversation([user("one?"), answer("1"), user("two?")]),
    "thought in the text": conversation([user("2+3?"), answer("<think>\n2 and 3.\n</think>\n\n5")]),
    "thoughts in two texts": conversation(
        [
            user("2+3?"),
            answer("<think>\n2 and 3.\n</think>\n\n5"),
            user("4+4?"),
            answer("<think>\n4 and 4.\n</think>\n\n8"),
        ]
    ),
    "reasoning_content": conversation([user("2+3?"), answer("5", reasoning_content="2 and 3.")]),
    "two with reasoning_content": conversation(
        [
            user("2+3?"),
            answer("5", reasoning_content="2 and 3."),
            user("4+4?"),
            answer("8", reasoning_content="4 and 4."),
        ]
    ),
    "thinking": conversation([user("2+3?"), answer("5", thinking="2 and 3.")]),
    "tools, no call": conversation([user("Hi"), answer("Hello!")], [TOOL]),
    "a call": conversation(
        [
            user("Find contract 7."),
            answer("", tool_calls=[call({"number": "7", "share": 25.0})]),
            result('{"state": "open", "sum": 12.50}'),
            answer("It is open."),
        ],
        [TOOL],
    ),
    "a call with a word": conversation(
        [
            user("Find it."),
            answer("Let me look.", tool_calls=[call({"number": "Jürgen", "share": 1e-7})]),
            result("nothing"),
            answer("Nothing found."),
        ],
        [TOOL],
    ),
    "arguments as text": conversation(
        [
            user("Find it."),
            answer("", tool_calls=[call('{"number": "7"}')]),
            result("ok"),
            answer("Done."),
        ],
        [TOOL],
    ),
    "two calls": conversation(
        [
            user("Find 7 and 8."),
            answer("", tool_calls=[call({"number": "7"}), call({"number": "8"}, number="callabc02")]),
            result("open"),
            result("closed", "callabc02"),
            answer("One is open."),
        ],
        [TOOL],
    ),
    "calls in two turns": conversation(
        [
            system("Be brief."),
            user("Find 7."),
            answer("", tool_calls=[call({"number": "7"})]),
            result("open"),
            answer("Open."),
            user("And 8?"),
            answer("", tool_calls=[call({"number": "8"}, number="callabc02")]),
            result("closed", "callabc02"),
            answer("Closed."),
        ],
        [TOOL],
    ),
    "white space": conversation([user("  a \n\n b\t"), answer("\n  x  \n\ny \n")]),
    "nasty": conversation([user("👩‍👩‍👧 e\u0301 \u202eabc 𠮷 <b>&'\""), answer("{{ x }} {% if %} \\n \r\n ½")]),
    "numbers and nulls": conversation(
        [
            user("Find it."),
            answer("", tool_calls=[call({"a": 18446744073709551615, "b": None, "c": [1.5, True], "d": {}})]),
            result("ok"),
            answer("Done."),
        ],
        [TOOL],
    ),
    "begins with an answer": conversation([answer("Hello!"), user("Hi"), answer("What is it?")]),
}
assert len(ALL) == 22
