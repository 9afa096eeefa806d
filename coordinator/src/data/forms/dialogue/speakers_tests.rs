//! The table's page, and names that are known or not.

use std::path::Path;

use super::*;
use crate::data::forms::dialogue::names::key;

fn side(name: &str) -> Option<Side> {
    known(&key(name)).map(|(_, known)| known.side)
}

/// The table as a page of the documentation.
fn page() -> String {
    let mut page = String::from(include_str!("speakers_page.md"));
    let sides = [
        (Side::Asks, "Those who ask", "`user`"),
        (
            Side::Answers,
            "Those who answer: their words are learned",
            "`assistant`",
        ),
        (
            Side::System,
            "Instructions before a conversation",
            "`system`",
        ),
        (
            Side::Unclear,
            "Those whose side the name does not tell: the file is refused until `roles` says it",
            "none",
        ),
        (
            Side::Party,
            "Parties: text, unless an answer goes on behind them; then the file is refused until `roles` says it",
            "none",
        ),
    ];
    for (side, title, part) in sides {
        page +=
            &format!("\n## {title}\n\nPart of `roles`: {part}.\n\n| Field | Names |\n|---|---|\n");
        for (_, field, names) in TABLE.iter().filter(|(of, ..)| *of == side) {
            let names: Vec<&str> = names_of(names).collect();
            page += &format!("| {} | {} |\n", field.name(), names.join(", "));
        }
        let of_side = |titles: &'static [(Side, Field, &'static str)]| -> Vec<&str> {
            let rows = titles.iter().filter(|(of, ..)| *of == side);
            rows.flat_map(|row| names_of(row.2)).collect()
        };
        let (behind, before) = (of_side(TITLES), of_side(ENGLISH_TITLES));
        if !behind.is_empty() {
            page += &format!("| titles behind a family name | {} |\n", behind.join(", "));
        }
        if !before.is_empty() {
            page += &format!("| titles before a name | {} |\n", before.join(", "));
        }
    }
    page += &format!(
        "\n## Headings\n\nNobody speaks under these names; they are text wherever they stand.\n\n{}\n",
        names_of(HEADINGS).collect::<Vec<_>>().join(", ")
    );
    page
}

#[test]
fn the_page_of_speakers_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/speakers.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page(),
        "UPDATE=1 cargo test -p coordinator speakers writes {}",
        path.display()
    );
}

#[test]
fn no_name_stands_in_the_table_twice() {
    let mut all: Vec<&str> = TABLE.iter().flat_map(|row| names_of(row.2)).collect();
    all.extend(names_of(HEADINGS));
    assert!(
        all.iter().all(|name| *name == key(name)),
        "a name in another spelling than its key's"
    );
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn titles_with_a_name_and_numbered_names_are_known() {
    for name in [
        "王医生",
        "王小明律师",
        "欧阳大夫",
        "李主任",
        "Dr. Lee",
        "A1",
        "客服(小李)",
        "客服 2",
        "ＡＩ",
        "Attorney O'Neil",
    ] {
        assert_eq!(side(name), Some(Side::Answers), "{name}");
    }
    for name in [
        "Q12",
        "问题一",
        "用户A",
        "患者（男，40岁）",
        "Patient 2",
        "Client Smith",
        "第3问",
    ] {
        assert_eq!(side(name), Some(Side::Asks), "{name}");
    }
    for name in ["张法官", "Judge Judy", "证人"] {
        assert_eq!(side(name), Some(Side::Unclear), "{name}");
    }
    for name in [
        "对方律师",
        "你的医生",
        "王五",
        "甲方",
        "主诉",
        "李 14",
        "Sarah",
        "小李",
        "会见律师",
    ] {
        assert_eq!(side(name), None, "{name}");
    }
}

#[test]
fn people_and_headings_are_told_apart() {
    for name in [
        "小李",
        "王女士",
        "张三",
        "王小明",
        "Ms. Wang",
        "John Smith",
        "欧阳娜娜",
    ] {
        assert!(is_person(name, &key(name)), "{name}");
    }
    for name in [
        "方案",
        "金额",
        "注意",
        "第十条",
        "主诉",
        "甲方",
        "Step 1",
        "Please Note That",
        "温馨提示",
    ] {
        assert!(!is_person(name, &key(name)), "{name}");
    }
}
