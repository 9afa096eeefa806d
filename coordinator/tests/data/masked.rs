//! Personal data on its way through the data room and out of `coordinator data mask`.

use std::fs;
use std::path::PathBuf;

use coordinator::cli::data::mask::{MaskArgs, run};
use coordinator::data::source_digest;
use shared::config::{LossOn, PrivacyKind, PrivacyMode, PrivacyRule};
use shared::error::Error;

use crate::house::{DIALOGUE, House};

/// Made-up numbers: the example of GB 11643, a scheme's test card.
const LAW: &str = "用户：我叫李秀英，电话13800138000，合同HT-202401。\n\
    律师：李秀英您好，请核对身份证11010519491231002X。\n\
    用户：卡号4111 1111 1111 1111，打138-0013-8000。\n\
    律师：合同款5000元，依据《民法典》第1042条。\n";

fn house(mode: PrivacyMode) -> House {
    House::new("chatml")
        .with("law.txt", LAW)
        .set(|c| c.privacy.mode = mode)
}

fn report(house: &House) -> String {
    house.prepare().unwrap().report.to_string()
}

fn mask(house: &House, out: &str, set: &[&str]) -> Result<String, Error> {
    let folder = house.folder.path();
    let yaml = "train_data_dir: data\nbase_model: none\noutput_dir: output\n";
    fs::write(folder.join("run.yaml"), yaml).unwrap();
    let args = MaskArgs {
        config: PathBuf::from("run.yaml"),
        set: set.iter().map(|text| (*text).to_owned()).collect(),
        out: PathBuf::from(out),
    };
    let cwd = folder.canonicalize().unwrap();
    run(&args, &cwd)
}

#[test]
fn the_report_counts_by_kind_and_never_says_a_value() {
    let scanned = report(&house(PrivacyMode::Scan));
    insta::assert_snapshot!(scanned, @r#"
    law.txt: dialogue, 2 samples
      roles: 用户 asks (2 turns), 律师 answers (2 turns)
    2 samples, 280 tokens, 93 of them learned
    longest: law.txt:1 with 148 of 512 tokens
    personal data: 1 ID number, 1 bank card, 2 phones, 2 names (law.txt:1, law.txt:3)
    "#);
    let masked = house(PrivacyMode::Mask);
    let masked = masked.set(|c| c.privacy.kinds = Some(vec![PrivacyKind::Amounts]));
    let last = report(&masked);
    insta::assert_snapshot!(last.lines().last().unwrap(), @"personal data, masked: 1 amount (law.txt:3)");
    let none = House::new("chatml").with("a.txt", DIALOGUE);
    let none = none.set(|c| c.privacy.mode = PrivacyMode::Scan);
    insta::assert_snapshot!(report(&none).lines().last().unwrap(), @"personal data: none found");
    for value in ["秀英", "1380", "4111", "0519"] {
        assert!(!scanned.contains(value));
    }
    let json = serde_json::to_string(&house(PrivacyMode::Scan).prepare().unwrap().report).unwrap();
    assert!(
        !json.contains("秀英") && json.contains(r#""kind":"PHONE","count":2"#),
        "{json}"
    );
    assert!(!report(&house(PrivacyMode::Off)).contains("personal"));
}

#[test]
fn what_is_learned_has_placeholders_numbered_in_the_order_of_the_samples() {
    let rows = house(PrivacyMode::Mask).rows();
    assert!(
        rows[0].0.contains("我叫[NAME_1]，电话[PHONE_1]，"),
        "{}",
        rows[0].0
    );
    assert!(rows[0].1.starts_with("[NAME_1]您好，请核对身份证[ID_1]。"));
    assert!(rows[1].0.contains("卡号[CARD_1]，打[PHONE_1]。"));
    assert!(
        rows[1]
            .1
            .starts_with("合同款5000元，依据《民法典》第1042条。")
    );
}

#[test]
fn masking_gives_another_dataset_and_scanning_the_same() {
    let dataset = |mode| house(mode).prepare().unwrap().writer.digest().unwrap();
    let off = dataset(PrivacyMode::Off);
    assert_eq!(dataset(PrivacyMode::Scan), off);
    assert_ne!(dataset(PrivacyMode::Mask), off);
    assert_eq!(dataset(PrivacyMode::Mask), dataset(PrivacyMode::Mask));
}

#[test]
fn kinds_and_rules_are_part_of_what_was_prepared_from() {
    let digest = |house: &House| source_digest(&house.config, house.tokenizer().digest()).unwrap();
    let off = house(PrivacyMode::Off);
    let rule = PrivacyRule {
        name: "CONTRACT".into(),
        pattern: "HT-[0-9]+".into(),
    };
    let first = digest(&off);
    let off = off.set(|c| c.privacy.rules = vec![rule.clone()]);
    assert_eq!(digest(&off), first, "nobody looks");
    let mut seen = vec![first];
    let mut other = |house: &House| {
        let digest = digest(house);
        assert!(!seen.contains(&digest));
        seen.push(digest);
    };
    let house = off.set(|c| c.privacy.mode = PrivacyMode::Scan);
    other(&house);
    let house = house.set(|c| c.privacy.mode = PrivacyMode::Mask);
    other(&house);
    let house = house.set(|c| c.privacy.rules.clear());
    other(&house);
    let house = house.set(|c| c.privacy.kinds = Some(vec![PrivacyKind::Names]));
    other(&house);
}

#[test]
fn the_clean_copy_teaches_the_same_as_masking_on_the_way() {
    let house = house(PrivacyMode::Mask);
    let said = mask(&house, "clean.jsonl", &[]).unwrap();
    insta::assert_snapshot!(said, @r#"
    personal data, masked: 1 ID number, 1 bank card, 2 phones, 2 names (law.txt:1, law.txt:3)
    2 samples written to clean.jsonl
    "#);
    let copy = fs::read_to_string(house.folder.path().join("clean.jsonl")).unwrap();
    assert_eq!(copy.lines().count(), 2);
    assert!(
        copy.starts_with(r#"{"messages":[{"role":"user","content":"我叫[NAME_1]"#),
        "{copy}"
    );
    let again = House::new("chatml").with("clean.jsonl", &copy);
    assert_eq!(again.rows(), house.rows());
    let rules = [
        "privacy_rules=['CONTRACT=HT-[0-9]+']",
        "privacy_kinds=[emails]",
    ];
    mask(&house, "other.jsonl", &rules).unwrap();
    let other = fs::read_to_string(house.folder.path().join("other.jsonl")).unwrap();
    assert!(other.contains("我叫李秀英，电话13800138000，合同[CONTRACT_1]。"));
}

#[test]
fn a_file_that_is_there_and_the_data_folder_are_left_alone() {
    let house = house(PrivacyMode::Off);
    let root = house
        .folder
        .path()
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
    let refused = |out: &str| {
        let error = mask(&house, out, &[]).unwrap_err();
        assert_eq!(error.exit_code() as u8, 2);
        shared::error::render(&error).replace(&root, "HOUSE")
    };
    fs::write(house.folder.path().join("clean.jsonl"), "mine").unwrap();
    insta::assert_snapshot!(refused("clean.jsonl"), @r#"
    E0109 the file for the copy is there already
      at HOUSE/clean.jsonl
      `data mask` never overwrites
      fix: --out with another name, or move the file away
    "#);
    insta::assert_snapshot!(refused("data/clean.jsonl"), @r#"
    E0109 the copy would lie in train_data_dir
      at HOUSE/data/clean.jsonl
      the next run would learn from the data and its copy
      fix: --out in another folder
    "#);
    assert_eq!(
        fs::read_to_string(house.folder.path().join("clean.jsonl")).unwrap(),
        "mine"
    );
    assert_eq!(
        fs::read_dir(&house.config.train_data_dir).unwrap().count(),
        1
    );
}

/// One conversation with tools: values in a call's arguments, in a result, in a description.
const TOOLS: &str = concat!(
    r#"{"tools": [{"type": "function", "function": {"name": "Find", "description": "owner: 李秀英, 13800138000"}}], "#,
    r#""messages": [{"role": "user", "content": "查一下我的合同", "name": "李秀英"}, "#,
    r#"{"role": "assistant", "content": null, "weight": 0, "tool_calls": [{"id": "c1", "type": "function", "function": "#,
    r#"{"name": "Find", "arguments": {"姓名": "李秀英", "phone": 13800138000, "n": 7}}}, {"id": "c2", "type": "function", "#,
    r#""function": {"name": "Find", "arguments": "{\"customer_name\": \"\\u674e\\u79c0\\u82f1\", \"card\": 4111111111111111}"}}]}, "#,
    r#"{"role": "tool", "tool_call_id": "c1", "name": "Find", "content": "{ \"户名\": \"\\u674e\\u79c0\\u82f1\", \"n\": 1.50 }"}, "#,
    r#"{"role": "assistant", "content": "找到了。"}]}"#,
    "\n"
);

fn with_tools(mode: PrivacyMode) -> House {
    House::new("chatml")
        .with("a.jsonl", TOOLS)
        .set(|c| c.privacy.mode = mode)
        .set(|c| c.max_seq_length = 4096)
}

/// A template that writes everything there is.
fn telling(house: House) -> House {
    let source = "{{ tools | tojson }}{% for m in messages %}<|im_start|>{{ m | tojson }}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}";
    let file = house.config.base_model.join("chat_template.jinja");
    fs::write(file, source).unwrap();
    house.set(|c| c.loss_on = LossOn::All)
}

#[test]
fn calls_results_names_and_tools_are_counted_and_masked() {
    let scanned = report(&telling(with_tools(PrivacyMode::Scan)));
    insta::assert_snapshot!(scanned.lines().find(|line| line.starts_with("personal data")).unwrap(), @r##"personal data: 1 bank card, 2 phones, 5 names (a.jsonl:1)"##);
    let text = telling(with_tools(PrivacyMode::Off)).rows()[0].0.clone();
    assert!(
        text.contains("李秀英") && text.contains("4111111111111111"),
        "{text}"
    );
    let masked = telling(with_tools(PrivacyMode::Mask)).rows()[0].0.clone();
    for value in ["李", "674e", "13800138000", "4111"] {
        assert!(!masked.contains(value), "{value} in {masked}");
    }
    for kept in [
        r#""name": "Find""#,
        r#""phone": "[PHONE_1]", "n": 7"#,
        r#"{ "户名": "[NAME_1]", "n": 1.50 }"#,
    ] {
        assert!(masked.contains(kept), "{kept} not in {masked}");
    }
}

#[test]
fn the_clean_copy_keeps_tools_calls_and_weights() {
    let house = with_tools(PrivacyMode::Mask);
    mask(&house, "clean.jsonl", &[]).unwrap();
    let copy = fs::read_to_string(house.folder.path().join("clean.jsonl")).unwrap();
    insta::assert_snapshot!(copy.trim_end(), @r##"{"messages":[{"role":"user","content":"查一下我的合同","name":"[NAME_1]"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"Find","arguments":{"姓名":"[NAME_1]","phone":"[PHONE_1]","n":7}}},{"id":"c2","type":"function","function":{"name":"Find","arguments":"{\"customer_name\": \"[NAME_1]\", \"card\": \"[CARD_1]\"}"}}],"weight":0},{"role":"tool","tool_call_id":"c1","name":"Find","content":"{ \"户名\": \"[NAME_1]\", \"n\": 1.50 }"},{"role":"assistant","content":"找到了。"}],"tools":[{"type":"function","function":{"name":"Find","description":"owner: [NAME_1], [PHONE_1]"}}]}"##);
    let again = House::new("chatml")
        .with("clean.jsonl", &copy)
        .set(|c| c.max_seq_length = 4096);
    assert_eq!(telling(again).rows(), telling(house).rows());
}
