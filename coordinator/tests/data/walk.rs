//! The whole walk of the data room on small tokenizers: forms, rows and masks.

use coordinator::data::{DataReport, Prepared};
use shared::config::{Dialogue, LossOn, Overflow};
use shared::dataset::PreparedDataset;
use shared::text::{ChatTemplate, Encoded};

use crate::house::{DIALOGUE, House};

#[test]
fn an_answer_is_learned_up_to_its_end_token_and_nothing_else() {
    let chatml = House::new("chatml").with("a.txt", DIALOGUE);
    assert_eq!(
        chatml.rows()[1],
        (
            "<|im_start|>system\nYou answer legal questions.<|im_end|>\n<|im_start|>user\n押金退吗？<|im_end|>\n<|im_start|>assistant\n应当退还。<|im_end|>\n".into(),
            "应当退还。<|im_end|>".into()
        )
    );
    let llama3 = House::new("llama3").with("a.txt", DIALOGUE);
    assert_eq!(llama3.rows()[0].1, "最长六个月。<|eot_id|>");
    let llama2 = House::new("llama2").with("a.txt", DIALOGUE);
    assert_eq!(llama2.rows()[0].1, "最长六个月。 </s>");
    assert!(llama2.prepare().unwrap().report.notices.is_empty());
}

#[test]
fn every_answer_of_a_conversation_is_learned() {
    let house = House::new("llama2")
        .with("a.txt", DIALOGUE)
        .set(|c| c.dialogue = Dialogue::Blocks);
    let rows = house.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].1, "最长六个月。 </s> 应当退还。 </s>");
}

#[test]
fn the_full_sequence_is_learned_where_all_of_it_counts() {
    let house = House::new("llama3")
        .with("a.txt", DIALOGUE)
        .set(|c| c.loss_on = LossOn::All);
    for (text, learned) in house.rows() {
        assert_eq!(text, learned);
    }
    let report = house.prepare().unwrap().report;
    assert_eq!(report.target_tokens, report.tokens - report.samples);
}

#[test]
fn targets_are_those_of_an_independent_reading_of_the_rule() {
    for family in ["chatml", "llama2", "llama3"] {
        let house = House::new(family).with("a.txt", DIALOGUE);
        let (tokenizer, template) = (
            house.tokenizer(),
            ChatTemplate::load(&house.config.base_model).unwrap(),
        );
        let messages = |texts: &[&str]| {
            let role = |i: usize| {
                if i.is_multiple_of(2) {
                    "user"
                } else {
                    "assistant"
                }
            };
            let message = |(i, text): (usize, &&str)| shared::text::Message::new(role(i), *text);
            texts.iter().enumerate().map(message).collect::<Vec<_>>()
        };
        let before = template.render(&messages(&["试用期多久？"]), true).unwrap();
        let whole = template
            .render(&messages(&["试用期多久？", "最长六个月。"]), false)
            .unwrap();
        let Encoded { ids, offsets } = tokenizer.encode(&whole).unwrap();
        let expected: Vec<u8> = offsets
            .iter()
            .map(|(start, _)| u8::from((before.len()..whole.trim_end().len()).contains(start)))
            .collect();
        let path = house
            .prepare()
            .unwrap()
            .writer
            .publish(&house.folder.path().join("p"))
            .unwrap();
        let dataset = PreparedDataset::open(&path).unwrap();
        let sample = dataset.sample(0).unwrap();
        assert_eq!(
            (sample.ids, sample.targets),
            (&ids[..], &expected[..]),
            "{family}"
        );
    }
}

#[test]
fn every_form_gives_the_same_rows() {
    let rows = House::new("llama3").with("a.txt", DIALOGUE).rows();
    let pair = |form: &dyn Fn(&str, &str) -> String| {
        [
            ("试用期多久？", "最长六个月。"),
            ("押金退吗？", "应当退还。"),
        ]
        .map(|(q, a)| form(q, a))
        .join("\n")
    };
    let alpaca = |q: &str, a: &str| format!(r#"{{"instruction":"{q}","input":"","output":"{a}"}}"#);
    let sharegpt = |q: &str, a: &str| {
        format!(
            r#"{{"conversations":[{{"from":"human","value":"{q}"}},{{"from":"gpt","value":"{a}"}}]}}"#
        )
    };
    let messages = |q: &str, a: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"{q}"}},{{"role":"assistant","content":"{a}"}}]}}"#
        )
    };
    let csv = |q: &str, a: &str| format!("{q},{a}");
    let files = [
        ("a.jsonl", pair(&alpaca)),
        (
            "a.json",
            format!("[{}]", pair(&alpaca).replace('\n', ",\n")),
        ),
        ("b.jsonl", pair(&sharegpt)),
        ("c.jsonl", pair(&messages)),
        ("d.csv", format!("\u{feff}问题,回答\r\n{}", pair(&csv))),
    ];
    for (name, text) in files {
        assert_eq!(House::new("llama3").with(name, text).rows(), rows, "{name}");
    }
}

#[test]
fn files_come_in_name_order_and_the_report_says_what_was_found() {
    let house = House::new("llama3")
        .with(
            "b.jsonl",
            "{\"question\": \"a\", \"answer\": \"b\", \"id\": 1}\n",
        )
        .with("a.txt", format!("{DIALOGUE}注意：\n1. 保留证据\n"))
        .with("c.docx", "x")
        .with("sub/d.csv", "prompt,response\nc,d\n");
    let report = house.prepare().unwrap().report;
    insta::assert_snapshot!(report.to_string(), @r#"
    a.txt: dialogue, 2 samples
      roles: 用户 asks (2 turns), 律师 answers (2 turns)
      read as text, not as roles: 注意 (1)
    b.jsonl: question and answer, 1 samples
      not used: id
    sub/d.csv: CSV, 1 samples
    4 samples, 301 tokens, 50 of them learned
    longest: a.txt:3 with 102 of 512 tokens
    note: files of a kind nobody knows, not read: c.docx
    note: c.docx: save them as plain text (.txt, UTF-8), with who speaks before each line
    note: the chat template (tokenizer_config.json) writes today's date; it is told a fixed one, 2024-07-26, so that the same data gives the same tokens
    "#);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<DataReport>(&json).unwrap(), report);
}

#[test]
fn dropping_leaves_out_only_the_long_rows() {
    let long = format!("{DIALOGUE}用户：长\n律师：{}\n", "法".repeat(100));
    let house = House::new("llama3").with("a.txt", long).set(|c| {
        c.max_seq_length = 100;
        c.overflow = Overflow::Drop;
    });
    let Prepared { writer, report, .. } = house.prepare().unwrap();
    assert_eq!(
        (
            writer.rows(),
            report.long_rows.len(),
            report.long_rows[0].row.line
        ),
        (2, 1, 5)
    );
}

#[test]
fn a_conversation_the_template_refuses_is_named_with_file_and_line() {
    let two = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"user\", \"content\": \"b\"}]}";
    insta::assert_snapshot!(House::new("llama2").with("a.jsonl", two).error(), @r#"
    E0307 the chat template refuses a conversation
      at HOUSE/data/a.jsonl:1
      it says: roles must alternate user and assistant (template line 1)
      the conversation's roles: user, user
      template: HOUSE/base/tokenizer_config.json
      fix: make the conversation what the base model's template expects
    "#);
}

#[test]
fn the_rows_do_not_depend_on_how_many_threads_prepare_them() {
    let many: String = (0..1200)
        .map(|i| format!("用户：问{i}\n律师：答{i}\n"))
        .collect();
    let house = House::new("chatml").with("a.txt", many);
    let rows = house.rows();
    assert_eq!(rows.len(), 1200);
    for (i, (_, learned)) in rows.iter().enumerate() {
        assert_eq!(*learned, format!("答{i}<|im_end|>"));
    }
}
