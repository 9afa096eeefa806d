//! The golden dialogues, what is refused, and that no text makes the parser fall.

use std::path::Path;

use serde::Deserialize;
use shared::error::render;

use super::*;
use crate::data::files::decode;
use crate::data::forms::json;
use crate::data::forms::renaming::Renaming;

#[derive(Deserialize)]
struct Golden {
    name: String,
    mode: Dialogue,
    text: String,
    roles: Vec<(String, u64)>,
    as_text: Vec<(String, u64)>,
    notices: usize,
    conversations: Vec<Vec<serde_json::Value>>,
}

fn parsed(text: &str, mode: Dialogue) -> Result<Parsed> {
    parse(
        &SourceFile::single(Path::new("law.txt")),
        text,
        mode,
        &Default::default(),
    )
}

#[test]
fn the_twenty_golden_dialogues_are_read_as_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialogues.json");
    let all: Vec<Golden> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(all.len(), 20);
    let folder = tempfile::tempdir().unwrap();
    for golden in all {
        let path = folder.path().join("law.txt");
        std::fs::write(&path, &golden.text).unwrap();
        let read = decode::text(&path, Default::default(), &Default::default());
        let text = read.unwrap().text;
        let found = parse(
            &SourceFile::single(&path),
            &text,
            golden.mode,
            &Default::default(),
        )
        .unwrap();
        let row = |c: &Conversation| {
            let line = serde_json::Value::from(c.origin.line);
            let texts = c.messages.iter().map(|m| m.content.clone().into());
            std::iter::once(line)
                .chain(texts)
                .collect::<Vec<serde_json::Value>>()
        };
        let rows: Vec<_> = found.conversations.iter().map(row).collect();
        let name = &golden.name;
        assert_eq!(rows, golden.conversations, "{name}");
        let roles: Vec<_> = found
            .report
            .roles
            .iter()
            .map(|r| (r.name.clone(), r.turns))
            .collect();
        assert_eq!(roles, golden.roles, "{name}");
        assert_eq!(found.report.prefixes_read_as_text, golden.as_text, "{name}");
        assert_eq!(
            found.notices.len(),
            golden.notices,
            "{name}: {:?}",
            found.notices
        );
        assert_eq!(found.report.samples, rows.len() as u64, "{name}");
        for conversation in &found.conversations {
            let roles = conversation.messages.iter().map(|m| m.role.as_str());
            let expected = ["user", "assistant"].into_iter().cycle();
            assert!(roles.zip(expected).all(|(a, b)| a == b), "{name}");
        }
    }
}

#[test]
fn a_file_without_roles_is_refused_with_its_first_lines() {
    let error = |text: &str| render(&parsed(text, Dialogue::Turns).unwrap_err());
    insta::assert_snapshot!(error("\n借款合同\n\n第一条 利息\n第二条 期限\n第三条"), @r#"
    E0303 a dialogue file has no roles to tell who asks and who answers
      at law.txt
      no line begins with a short name and a colon
      its first lines:
        2 | 借款合同
        4 | 第一条 利息
        5 | 第二条 期限
      fix: begin each question and each answer with a name and a colon: `用户：...`, `律师：...`
      fix: or give the data as JSONL or CSV, which need no roles
    "#);
    insta::assert_snapshot!(error("案例一\n用户：甲\n律师：乙\n"), @r#"
    E0303 a dialogue file has no roles to tell who asks and who answers
      at law.txt:1
       1 | 案例一
      the file begins with text that belongs to no role
      its first lines:
        1 | 案例一
        2 | 用户：甲
        3 | 律师：乙
      fix: begin each question and each answer with a name and a colon: `用户：...`, `律师：...`
      fix: or give the data as JSONL or CSV, which need no roles
    "#);
    insta::assert_snapshot!(error("用户：甲\n乙\n"), @r#"
    E0303 a dialogue file has no roles to tell who asks and who answers
      at law.txt
      only one role was found: `用户`
      its first lines:
        1 | 用户：甲
        2 | 乙
      fix: begin each question and each answer with a name and a colon: `用户：...`, `律师：...`
      fix: or give the data as JSONL or CSV, which need no roles
    "#);
    insta::assert_snapshot!(error("主题：借款\n用户：甲\n律师：乙\n"), @r#"
    E0303 a dialogue file has no roles to tell who asks and who answers
      at law.txt:1
       1 | 主题：借款
      the file begins with `主题`, which is no role here
      its first lines:
        1 | 主题：借款
        2 | 用户：甲
        3 | 律师：乙
      fix: begin each question and each answer with a name and a colon: `用户：...`, `律师：...`
      fix: or give the data as JSONL or CSV, which need no roles
    "#);
}

#[test]
fn a_question_without_an_answer_is_refused_with_its_line() {
    let error = parsed(
        "用户：甲\n律师：乙\n用户：丙\n用户：丁\n律师：戊\n",
        Dialogue::Turns,
    )
    .unwrap_err();
    insta::assert_snapshot!(render(&error), @r#"
    E0317 a question has no answer
      at law.txt:3
      it reads: 丙
      1 in this file, lines 3
      fix: write the answer below it with the answering role's prefix, or take it out
      fix: or --set dialogue=blocks, where one speaker's lines are joined
    "#);
    let error = parsed("用户：甲\n律师：乙\n\n用户：丙\n", Dialogue::Blocks).unwrap_err();
    insta::assert_snapshot!(render(&error), @r#"
    E0317 a question has no answer
      at law.txt:4
      it reads: 丙
      1 in this file, lines 4
      fix: write the answer below it with the answering role's prefix, or take it out
    "#);
}

#[test]
fn a_turn_without_a_text_is_refused_with_its_line() {
    let error = parsed("用户：甲\n律师：乙\n用户：丙\n律师：\n", Dialogue::Turns).unwrap_err();
    insta::assert_snapshot!(render(&error), @r#"
    E0317 a role speaks without a text
      at law.txt:4
      it reads: 
      1 in this file, lines 4
      fix: write the text after the colon or on the lines below, or take it out
    "#);
}

#[test]
fn a_block_that_begins_with_an_answer_is_refused() {
    let error = parsed("用户：甲\n\n律师：乙\n", Dialogue::Blocks).unwrap_err();
    insta::assert_snapshot!(render(&error), @r#"
    E0303 a conversation begins with an answer
      at law.txt:3
      it reads: 乙
      1 in this file, lines 3
      under `dialogue: blocks` a blank line ends a conversation
      fix: take the blank line out, or --set dialogue=turns
    "#);
}

#[test]
fn a_file_of_blank_lines_has_no_samples() {
    assert!(
        parsed("\n \r\n\u{3000}\n", Dialogue::Turns)
            .unwrap()
            .conversations
            .is_empty()
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_fall_and_no_word_of_a_text_is_lost(
        lines in proptest::collection::vec(
            proptest::sample::select(vec!["用户：", "律师:", "法官：", "注意：", "", " ", "甲", "\u{3000}乙 ", "a:b", "://", "：", "\r", "Q: x"]),
            0..30,
        ),
        ends in proptest::collection::vec("[甲乙a: \u{3000}：]{0,4}", 30),
        blocks: bool,
    ) {
        let mode = if blocks { Dialogue::Blocks } else { Dialogue::Turns };
        let text: Vec<String> =
            lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
        if let Ok(found) = parsed(&text.join("\n"), mode) {
            let kept = |text: &str| text.matches(['甲', '乙']).count();
            let all: usize = found.conversations.iter().flat_map(|c| &c.messages).map(|m| kept(&m.content)).sum();
            let names: usize = found.report.roles.iter()
                .map(|r| kept(&r.name) * lines.len()).sum();
            let written: usize = text.iter().map(|line| kept(line)).sum();
            let left_out = found.notices.iter().any(|n| n.contains("left out"));
            proptest::prop_assert!(all <= written && (left_out || all + names >= written));
            for message in found.conversations.iter().flat_map(|c| &c.messages) {
                let lines: Vec<&str> = message.content.lines().collect();
                let ends = [lines.first(), lines.last()];
                proptest::prop_assert!(ends.iter().flatten().all(|line| !line.trim().is_empty()));
            }
        }
    }

    #[test]
    fn no_text_at_all_makes_any_parser_fall(text in "\\PC*|[\\[\\]{}\",:\\\\a\n\r ]*", name in "a\\.(json|jsonl|txt)") {
        let file = SourceFile::single(Path::new(&name));
        let renaming = Renaming {
            csv: None,
            formats: &Default::default(),
        };
        let _ = json::parse(&file, &text, renaming);
        let _ = parsed(&text, Dialogue::Turns);
        let _ = parsed(&text, Dialogue::Blocks);
    }
}
