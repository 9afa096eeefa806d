//! The forms of JSON objects, and what is refused.

use std::path::Path;

use shared::error::render;

use super::*;
use crate::data::file_report::Form;

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
    E0306 a sample is plain text, in `content`: it has no question and no answer
      at law.jsonl:7
      its keys: id, content
      such rows are for pretraining (`stage: pt`, `type: completion` of other tools); here answers to questions are learned
      fix: give each row a question and its answer, such as {"question": ..., "answer": ...}
      fix: or --set data_form=text, where all of it is to be learned
    "#);
    insta::assert_snapshot!(error(r#"{"question": "a", "answer": 5}"#), @r#"
    E0306 `answer` is no text
      at law.jsonl:7
      it is 5
      fix: write it as a string
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "judge", "content": "x"}]}"#), @r#"
    E0306 messages[1].role names a role nobody knows: "judge"
      at law.jsonl:7
      known: system, developer; user, human; assistant, gpt, chatgpt, model, bot; tool, observation, function; function_call, tool_call
      fix: --set 'roles=[user=judge]' when judge asks
      fix: --set 'roles=[assistant=judge]' when judge answers
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

#[test]
fn with_tools_a_message_keeps_its_fields_in_their_order() {
    let json = r#"{"tools": [{"type": "function"}], "system": "s", "messages": [
        {"content": "a", "role": "human"},
        {"role": "assistant", "content": null, "weight": 0, "tool_calls": [{"id": "1"}], "audio": 1},
        {"role": "tool", "tool_call_id": "1", "content": "c"},
        {"role": "assistant", "tool_calls": [], "content": "d"}]}"#;
    let object = read(json).unwrap();
    assert_eq!(
        object.tools,
        Some(serde_json::json!([{"type": "function"}]))
    );
    assert_eq!(object.unlearned, [2]);
    assert_eq!(object.unused, ["messages[].audio"]);
    let fields = object.messages.iter().map(|m| {
        let fields = serde_json::to_string(m.fields.as_ref().unwrap()).unwrap();
        format!("{} {:?} {fields}", m.role, m.content)
    });
    let fields: Vec<String> = fields.collect();
    assert_eq!(
        fields,
        [
            r#"system "s" {"role":null,"content":null}"#,
            r#"user "a" {"content":null,"role":null}"#,
            r#"assistant "" {"role":null,"tool_calls":[{"id":"1"}]}"#,
            r#"tool "c" {"role":null,"tool_call_id":"1","content":null}"#,
            r#"assistant "d" {"role":null,"tool_calls":[],"content":null}"#,
        ]
    );
}

#[test]
fn without_tools_a_message_is_its_role_and_its_text() {
    let json = r#"{"tools": null, "messages": [{"role": "user", "content": "a", "name": null},
        {"role": "assistant", "content": "b", "tool_calls": null, "weight": 1}]}"#;
    let object = read(json).unwrap();
    assert!(object.messages.iter().all(|m| m.fields.is_none()));
    assert!(object.tools.is_none() && object.unlearned.is_empty());
    assert!(object.unused.is_empty(), "what is null says nothing");
}

#[test]
fn weights_other_than_0_and_1_are_refused() {
    let error = |json| render(&read(json).unwrap_err());
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.5}]}"#), @r#"
    E0312 messages[2].weight is neither 0 nor 1
      at law.jsonl:7
      it is 0.5
      0 or false leaves the answer out of what is learned, 1 or true learns it (`masked`, `ignore` and their kin the other way round); parts are not built
      fix: write 0 or 1
      fix: or give the field another name where it says something else
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "user", "content": "a", "weight": 1}]}"#), @r#"
    E0312 messages[1].weight stands in a message of user
      at law.jsonl:7
      only answers are learned one by one; which other tokens count, `loss_on` says
      fix: take the mark out of this message
    "#);
}

#[test]
fn tools_in_a_form_nobody_knows_are_refused() {
    let error = |json| render(&read(json).unwrap_err());
    insta::assert_snapshot!(error(r#"{"tools": "{}", "messages": [{"role": "user", "content": "a"}]}"#), @r#"
    E0306 `tools` is no list of objects
      at law.jsonl:7
      it is "{}"
      fix: write the tools as a list of JSON objects, or as a text of one
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "assistant", "tool_calls": "x"}]}"#), @r#"
    E0306 messages[1].tool_calls is no list of objects
      at law.jsonl:7
      it is "x"
      fix: write each call as {"type": "function", "function": {"name": ..., "arguments": ...}}
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]}"#), @r#"
    E0306 messages[1].tool_calls stands in a message of user
      at law.jsonl:7
      only an answer calls tools; what a tool gives back has the role `tool`
      fix: give the message the role `assistant`, or take `tool_calls` out
    "#);
    insta::assert_snapshot!(error(r#"{"messages": [{"role": "tool", "content": {"a": 1}}]}"#), @r#"
    E0306 messages[1].content is no text
      at law.jsonl:7
      it is {"a":1}
      fix: write it as a string
    "#);
}
