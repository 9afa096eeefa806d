//! The forms of JSON objects, and what is refused.

use shared::error::render;

use super::*;

fn read(json: &str) -> Result<Object> {
    let value: Value = serde_json::from_str(json).unwrap();
    conversation(
        value.as_object().unwrap(),
        At {
            path: Path::new("law.jsonl"),
            line: 7,
        },
    )
}

fn turns(json: &str) -> (Form, Vec<(String, String)>) {
    let object = read(json).unwrap();
    let turns = object
        .messages
        .into_iter()
        .map(|m| (m.role, m.content))
        .collect();
    (object.form, turns)
}

fn expected(turns: &[(&str, &str)]) -> Vec<(String, String)> {
    turns
        .iter()
        .map(|(r, c)| ((*r).to_owned(), (*c).to_owned()))
        .collect()
}

#[test]
fn alpaca_joins_instruction_and_input_by_a_newline() {
    let (form, found) = turns(r#"{"instruction": " a", "input": "b\n", "output": " c "}"#);
    assert_eq!(
        (form, found),
        (
            Form::Alpaca,
            expected(&[("user", " a\nb\n"), ("assistant", " c ")])
        )
    );
    let (_, found) = turns(r#"{"instruction": "a", "input": "", "output": "c"}"#);
    assert_eq!(found, expected(&[("user", "a"), ("assistant", "c")]));
}

#[test]
fn alpaca_history_and_system_come_first() {
    let json = r#"{"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]}"#;
    let turns = turns(json).1;
    let roles = [
        ("system", "s"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
    ];
    assert_eq!(turns, expected(&roles));
}

#[test]
fn sharegpt_and_messages_are_known_by_their_keys() {
    let json = r#"{"id": 1, "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
    assert_eq!(
        turns(json),
        (
            Form::ShareGpt,
            expected(&[("user", "a"), ("assistant", "b")])
        )
    );
    assert_eq!(read(json).unwrap().unused, ["id"]);
    let json = r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    let roles = [("system", "s"), ("user", "a"), ("assistant", "b")];
    assert_eq!(turns(json), (Form::Messages, expected(&roles)));
}

#[test]
fn pairs_go_by_chinese_and_english_names() {
    for json in [
        r#"{"问题": "a", "回答": "b"}"#,
        r#"{"prompt": "a", "completion": "b"}"#,
    ] {
        assert_eq!(
            turns(json),
            (Form::Pairs, expected(&[("user", "a"), ("assistant", "b")]))
        );
    }
}

#[test]
fn forms_nobody_knows_are_refused_with_their_keys() {
    let error = |json| render(&read(json).unwrap_err());
    insta::assert_snapshot!(error(r#"{"id": 1, "content": "x"}"#), @r#"
    E0306 a JSON object in a form nobody knows
      at law.jsonl:7
      its keys: id, content (they fit no known form)
      Alpaca: instruction, output, and if there is more input, system, history
      ShareGPT: conversations, a list of {from, value}; OpenAI: messages, a list of {role, content}
      pairs, one of each: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
      fix: rename the keys to one of these forms
    "#);
    insta::assert_snapshot!(error(r#"{"question": "a", "answer": 5}"#), @r#"
    E0306 `answer` is no text
      at law.jsonl:7
      it is 5
      fix: write it as a string
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "tool", "content": "x"}]}"#), @r#"
    E0306 messages[1].role names a role nobody knows: "tool"
      at law.jsonl:7
      known: system; user, human; assistant, gpt, chatgpt, model, bot
      fix: rename the role or take the sample out
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "user"}]}"#), @r#"
    E0306 messages[1].content is missing
      at law.jsonl:7
      the turn has the keys: role
      fix: a turn has `role` and `content`, or `from` and `value`
    "#);
    insta::assert_snapshot!(error(r#"{"messages": []}"#), @r#"
    E0306 `messages` is no list of turns
      at law.jsonl:7
      it is []
      fix: it must be a list like [{"role": "user", "content": "..."}, {"role": "assistant", ...}]
    "#);
}
