//! Files that nobody can train on: each is refused with file, line, reason and remedy.
//!
//! One mistake per file, as people and tools make them. The messages are one snapshot, to be read by
//! a person; that each names a place and a remedy is asserted for every one.

use std::fmt::Write;

use crate::house::House;

/// File, content, and the line that must be named; none where the mistake is the whole file's.
type Mistake = (&'static str, &'static [u8], Option<u64>);

#[rustfmt::skip]
const JSONL: &[Mistake] = &[
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\"\n", Some(2)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"b\"}\n\n{'question': 'a'}\n", Some(3)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"b\",}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": NaN}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": None}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"b\"} {\"question\": \"c\", \"answer\": \"d\"}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"b\n\"}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"\\x41\"}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"\\ud800\"}\n", Some(1)),
    ("a.jsonl", b"[\"a\", \"b\"]\n", Some(1)),
    ("a.jsonl", b"\"a\"\n", Some(1)),
    ("a.jsonl", b"question: a\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": 7}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": null}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": [\"b\"]}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"prompt\": \"a\", \"answer\": \"b\"}\n", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"text\": \"b\"}\n", Some(1)),
    ("a.jsonl", b"{\"text\": \"a\"}\n", Some(1)),
    ("a.jsonl", b"{}\n", Some(1)),
    ("a.jsonl", b"{\"instruction\": \"a\", \"output\": \"b\", \"history\": \"c\"}\n", Some(1)),
    ("a.jsonl", b"{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"c\"]]}\n", Some(1)),
    ("a.jsonl", b"{\"instruction\": \"a\", \"output\": \"b\", \"system\": 3}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": []}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": \"a\"}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [\"a\"]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"user\"}]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"content\": \"a\"}]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"narrator\", \"content\": \"a\"}]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"user\", \"content\": 5}]}\n", Some(1)),
    ("a.jsonl", b"{\"conversations\": [{\"from\": \"human\"}]}\n", Some(1)),
    ("a.jsonl", b"{\"conversations\": [{\"from\": \"alien\", \"value\": \"a\"}]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [], \"conversations\": []}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", None),
    ("a.jsonl", b"{\"frage\": \"a\", \"antwort\": \"b\"}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}], \"input_ids\": [1]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", \"weight\": 2}]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"tool_calls\": [{}]}]}\n", Some(1)),
    ("a.jsonl", b"{\"messages\": [{\"role\": \"tool\", \"content\": {\"a\": 1}}]}\n", Some(1)),
    ("a.jsonl", b"{\"tools\": {}, \"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 2], \"labels\": [1, 2]}\n{\"input_ids\": [1, 2]}\n", Some(2)),
    ("a.jsonl", b"{\"input_ids\": [1, 2], \"labels\": [1]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 2, 3], \"labels\": [2, 3, -100]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 2, 3], \"labels\": [-100, 7, 3]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, -2], \"labels\": [1, -2]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 1.5], \"labels\": [1, 1]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, \"2\"], \"labels\": [1, 2]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": \"1 2\", \"labels\": [1, 2]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [], \"labels\": []}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": null}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 99999999], \"labels\": [1, 99999999]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 2, 3], \"labels\": [1, 2, 3], \"attention_mask\": [1, 0, 1]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 2, 3], \"labels\": [1, 2, 3], \"attention_mask\": [0, 1, 1]}\n", Some(1)),
    ("a.jsonl", b"{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, -100]}\n", None),
    ("a.jsonl", b"\xff\xfe{\x00", Some(1)),
    ("a.jsonl", b"{\"question\": \"a\", \"answer\": \"\xd3\xc3\"}\n", Some(1)),
];

#[rustfmt::skip]
const JSON: &[Mistake] = &[
    ("a.json", b"[{\"question\": \"a\", \"answer\": \"b\"}\n", Some(2)),
    ("a.json", b"[{\"question\": \"a\", \"answer\": \"b\"},\n]\n", Some(2)),
    ("a.json", b"[\n{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\", \"answer\": \"b\"}\n]", Some(3)),
    ("a.json", b"[\n{\"question\": \"a\", \"answer\": \"b\"}\n]]", Some(3)),
    ("a.json", b"[\n1, 2]", Some(2)),
    ("a.json", b"[\n{\"question\": \"a\",\n\"answer\": }\n]", Some(3)),
    ("a.json", b"{\"data\": [{\"question\": \"a\", \"answer\": \"b\"}]}", Some(1)),
    ("a.json", b"{\n\"question\": \"a\",\n\"answer\"\n}", Some(4)),
    ("a.json", b"7", Some(1)),
    ("a.json", b"[]", None),
    ("a.json", b"", None),
];

#[rustfmt::skip]
const TABLES: &[Mistake] = &[
    ("a.csv", b"question,answer\na,b,c\n", Some(2)),
    ("a.csv", b"question,answer\na,b\n\nc\n", Some(4)),
    ("a.csv", b"question,answer\na,\"b\nc,d\n", Some(2)),
    ("a.csv", b"question;answer\na;b\n", Some(1)),
    ("a.csv", b"question,prompt,answer\na,b,c\n", Some(1)),
    ("a.csv", b"id,text\n1,b\n", Some(1)),
    ("a.csv", b"question,reply,response,answer\n1,b,c,d\n", Some(1)),
    ("a.csv", b"question\na\n", Some(1)),
    ("a.csv", b"question,answer\n", None),
    ("a.csv", b"question,answer\na,\xd3\xc3\n", Some(2)),
    ("a.csv", b"PK\x03\x04\x14\x00\x06\x00", Some(1)),
    ("a.tsv", b"question,answer\na,b\n", Some(1)),
    ("a.tsv", b"question\tanswer\na\tb\tc\n", Some(2)),
    ("a.parquet", b"PAR1", None),
    ("a.parquet", b"", None),
    ("a.parquet", b"question,answer\na,b\n", None),
    ("a.jsonl.gz", b"{\"question\": \"a\", \"answer\": \"b\"}\n", None),
    ("a.csv.zst", b"\x28\xb5\x2f\xfd\x04", None),
];

const DIALOGUES: &[(&str, &str, Option<u64>)] = &[
    ("a.txt", "没有角色的一行\n又一行\n", None),
    ("a.txt", "用户：问题一\n用户：问题二\n", None),
    (
        "a.txt",
        "用户：问题\n\n用户：又一个问题\n律师：回答\n",
        Some(1),
    ),
    ("a.txt", "标题\n用户：问题\n律师：回答\n", Some(1)),
    (
        "a.txt",
        "用户：问题\n律师：\n用户：问题\n律师：回答\n",
        Some(2),
    ),
    (
        "a.txt",
        "用户：\n律师：回答\n用户：问题\n律师：回答\n",
        Some(1),
    ),
    (
        "a.txt",
        "用户：问题\n律师：回答\n用户：最后一个问题\n",
        Some(3),
    ),
    ("a.txt", "律师：您好\n法官：问题\n律师：回答\n", None),
    ("a.txt", "甲：问题\n乙：回答\n注意：期限\n", None),
    ("a.txt", "\n\n", None),
    ("a.docx", "PK", None),
];

#[test]
fn every_mistake_is_told_with_its_place_and_remedy() {
    let dialogues = DIALOGUES
        .iter()
        .map(|(f, t, line)| (*f, t.as_bytes(), *line));
    let bytes = [JSONL, JSON, TABLES].concat();
    let mistakes: Vec<_> = bytes.into_iter().chain(dialogues).collect();
    assert!(mistakes.len() >= 60, "{}", mistakes.len());
    let mut told = String::new();
    let mut wrong = Vec::new();
    for (file, content, line) in &mistakes {
        let shown = String::from_utf8_lossy(content).escape_debug().to_string();
        let house = House::new("chatml").with(file, content);
        let Err(error) = house.prepare() else {
            wrong.push(format!("{file} {shown}: accepted"));
            continue;
        };
        let text = house.shown(&error);
        let place = error.place.as_ref();
        let mut lack = Vec::new();
        if place.is_none_or(|p| line.is_some() && !p.file.ends_with(file)) {
            lack.push("its file");
        }
        if line.is_some() && place.and_then(|p| p.line) != *line {
            lack.push("its line");
        }
        if error.why.is_empty() && error.also.is_empty() {
            lack.push("a reason");
        }
        if error.fix.is_empty() {
            lack.push("a remedy");
        }
        if !lack.is_empty() {
            wrong.push(format!("{file} {shown} lacks {}:\n{text}", lack.join(", ")));
        }
        writeln!(told, "--- {file}: {shown}\n{text}").unwrap();
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        mistakes.len(),
        wrong.join("\n\n")
    );
    println!(
        "{} mistakes, each with place, reason and remedy",
        mistakes.len()
    );
    insta::assert_snapshot!(told);
}
