//! Metadata files, and what was prepared once being used again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use coordinator::data::{
    Conversation, Keep, Progress, Ready, Sources, ready, ready_of, source_digest,
};
use shared::config::LossOn;
use shared::dataset::PreparedDataset;
use shared::text::ChatTemplate;

use crate::house::{DIALOGUE, House};

#[test]
fn metadata_rows_are_the_samples_and_may_point_at_files() {
    let rows = "file,问题,输入,回答\n\
        a.txt,,,\n\
        sub/contract.md,总结合同,,\n\
        ,甲,乙,丙\n\
        sub/contract.md,审查合同,,有风险\n\
        sub/contract.md,,,一份合同\n";
    let house = House::new("chatml")
        .with("a.txt", DIALOGUE)
        .with("sub/contract.md", "\u{feff}第一条\r\n第二条\r\n\r\n")
        .with("b.txt", "not read")
        .metadata("meta.csv", rows);
    let shown: Vec<String> = house
        .rows()
        .into_iter()
        .map(|(text, _)| {
            let text = text.split("user\n").nth(1).unwrap().to_owned();
            text.replace("<|im_end|>\n<|im_start|>assistant\n", " => ")
                .replace("<|im_end|>\n", "")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "试用期多久？ => 最长六个月。",
            "押金退吗？ => 应当退还。",
            "总结合同 => 第一条\n第二条",
            "甲\n乙 => 丙",
            "审查合同\n第一条\n第二条 => 有风险",
            "第一条\n第二条 => 一份合同",
        ]
    );
    insta::assert_snapshot!(house.prepare().unwrap().report.to_string(), @r#"
    meta.csv: metadata, 4 samples
    a.txt: dialogue, 2 samples
      roles: 用户 asks (2 turns), 律师 answers (2 turns)
    6 samples, 445 tokens, 62 of them learned
    longest: meta.csv:5 with 86 of 512 tokens
    note: files in train_data_dir that no row of meta.csv names, not read: b.txt
    "#);
}

#[test]
fn metadata_as_jsonl_or_without_a_file_column_works_too() {
    let house = House::new("chatml").with("a.txt", DIALOGUE).metadata(
        "meta.jsonl",
        "{\"path\": \"./a.txt\", \"id\": 3}\n{\"question\": \"x\", \"answer\": \"y\"}\n",
    );
    assert_eq!(house.rows().len(), 3);
    let house = House::new("chatml").metadata("meta.csv", "问题,回答\na,b\n");
    assert_eq!(house.rows().len(), 1);
    let house = House::new("chatml").metadata(
        "meta.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}",
    );
    assert_eq!(house.rows()[0].1, "b<|im_end|>");
}

#[test]
fn metadata_that_points_nowhere_or_outside_is_refused_with_its_line() {
    let house = House::new("chatml").metadata("meta.csv", "file\ngone.txt\n");
    insta::assert_snapshot!(house.error(), @r#"
    E0108 a row names a file that cannot be read: gone.txt
      at HOUSE/meta.csv:2
      there is no such file: HOUSE/data/gone.txt
      fix: paths in the file column start from train_data_dir
    "#);
    let house = House::new("chatml").metadata("meta.csv", "file\n../meta.csv\n");
    insta::assert_snapshot!(house.error(), @r#"
    E0108 a row names a file that cannot be read: ../meta.csv
      at HOUSE/meta.csv:2
      the path leaves train_data_dir: HOUSE/data/../meta.csv
      fix: paths in the file column start from train_data_dir
    "#);
}

fn prepared(
    house: &House,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> shared::error::Result<Ready> {
    let template = ChatTemplate::find(&house.config.base_model)?;
    ready(
        &house.config,
        &house.tokenizer(),
        template.as_ref(),
        folder,
        progress,
    )
}

#[test]
fn a_second_start_reuses_what_was_prepared() {
    let house = House::new("llama3").with("a.txt", DIALOGUE);
    let folder = house.output_dir().join("prepared");
    let mut words = Vec::new();
    let first = prepared(&house, &folder, &mut |p| words.push((p.samples, p.done))).unwrap();
    assert_eq!(words.first(), Some(&(0, false)));
    assert_eq!(words.last(), Some(&(2, true)));
    assert!(!first.reused());
    assert!(
        !folder.exists(),
        "nothing is written before it is published"
    );
    let path = first.publish(&folder).unwrap();
    let dataset = PreparedDataset::open(&path).unwrap();
    assert_eq!(dataset.digest(), first.digest);
    let again = prepared(&house, &folder, &mut |_| panic!("prepared again")).unwrap();
    assert!(again.reused());
    assert_eq!(
        (&again.digest, &again.report),
        (&first.digest, &first.report)
    );
    assert_eq!(again.publish(&folder).unwrap(), path);
    fs::remove_file(&path).unwrap();
    assert!(!prepared(&house, &folder, &mut |_| {}).unwrap().reused());
}

#[test]
fn a_failed_preparation_leaves_no_folder() {
    let house = House::new("llama3").with("a.txt", "no roles\n");
    let folder = house.output_dir().join("prepared");
    prepared(&house, &folder, &mut |_| {}).unwrap_err();
    assert!(!house.output_dir().exists());
}

#[test]
fn other_sources_have_another_digest() {
    let house = House::new("llama3").with("a.txt", DIALOGUE);
    let digest = |house: &House| source_digest(&house.config, house.tokenizer().digest()).unwrap();
    let mut seen = vec![digest(&house)];
    let mut other = |house: &House| {
        let digest = digest(house);
        assert!(!seen.contains(&digest));
        seen.push(digest);
    };
    let house = house.with("a.txt", DIALOGUE.replace("六", "三"));
    other(&house);
    let house = house.with("b.pdf", "x");
    other(&house);
    let house = house.set(|c| c.max_seq_length = 100);
    other(&house);
    let mut house = house.set(|c| c.loss_on = LossOn::All);
    other(&house);
    let mut last = house.config.clone();
    last.loss_on = LossOn::Last;
    let whole = std::mem::replace(&mut house.config, last);
    other(&house);
    house.config = whole;
    let house = house.set(|c| c.csv_columns = Some(("a".into(), "b".into())));
    other(&house);
    let house = house.metadata("meta.csv", "问题,回答\na,b\n");
    other(&house);
    let house = house.metadata("meta.csv", "问题,回答\na,c\n");
    other(&house);
    fs::write(house.config.base_model.join("chat_template.jinja"), "x").unwrap();
    other(&house);
    let unchanged = digest(&house);
    let house = house.set(|c| c.validation_dir = Some("elsewhere".into()));
    assert_eq!(digest(&house), unchanged);
}

#[test]
fn sources_may_be_split_into_rows_that_are_kept_and_the_others() {
    let house = House::new("chatml").with("a.txt", DIALOGUE);
    let folder = house.output_dir().join("prepared");
    let template = ChatTemplate::find(&house.config.base_model).unwrap();
    let part = |name: &str, wanted: bool| {
        let row = move |c: &Conversation| c.messages[0].content.contains("试用期") == wanted;
        let sources = Sources {
            config: &house.config,
            keep: Some(Keep {
                name: name.into(),
                row: Arc::new(row),
            }),
        };
        let tokenizer = house.tokenizer();
        let ready = ready_of(
            &sources,
            &tokenizer,
            template.as_ref(),
            &folder,
            &mut |_| {},
        );
        let ready = ready.unwrap();
        ready.publish(&folder).unwrap();
        (ready.digest.clone(), ready.report.samples, ready.reused())
    };
    let (train, held) = (part("train", true), part("held", false));
    assert_eq!((train.1, held.1), (1, 1));
    assert_ne!(train.0, held.0);
    assert_eq!(part("train", true), (train.0, 1, true));
}
