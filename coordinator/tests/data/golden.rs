//! Token ids and labels equal those of transformers, token by token.
//!
//! The numbers lie in tests/golden/data, made by make_data_golden.py for the shipped tokenizer with
//! its own chat template and with two of other families.

use std::fs;
use std::path::Path;

use crate::house::House;
use serde_json::{Value, json};
use shared::config::LossOn;
use shared::dataset::PreparedDataset;

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn golden() -> Value {
    let file = repository().join("tests/golden/data/tokens.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

type Rows = Vec<(Vec<u32>, String)>;

/// What our room makes of the conversations under one case's template and settings.
fn ours(case: &Value, file: &str, text: &str) -> Rows {
    let house = House::new("chatml").with(file, text).set(|config| {
        if case["train_on_inputs"].as_bool().unwrap() {
            config.loss_on = LossOn::All;
        }
        config.max_seq_length = u32::try_from(case["max_seq_length"].as_u64().unwrap()).unwrap();
    });
    let base = &house.config.base_model;
    fs::remove_dir_all(base).unwrap();
    fs::create_dir(base).unwrap();
    for entry in fs::read_dir(repository().join("models/tiny-law")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), base.join(entry.file_name())).unwrap();
    }
    if let Some(template) = case["jinja"].as_str() {
        fs::write(base.join("chat_template.jinja"), template).unwrap();
    }
    let folder = house.folder.path().join("rows");
    let path = house.prepare().unwrap().writer.publish(&folder).unwrap();
    let dataset = PreparedDataset::open(&path).unwrap();
    let row = |row| {
        let sample = dataset.sample(row).unwrap();
        let targets = sample.targets.iter().map(ToString::to_string).collect();
        (sample.ids.to_vec(), targets)
    };
    (0..dataset.len()).map(row).collect()
}

fn theirs(case: &Value) -> Rows {
    let row = |row: &Value| {
        let ids = row["ids"].as_array().unwrap().iter();
        let ids = ids
            .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
            .collect();
        (ids, row["targets"].as_str().unwrap().to_owned())
    };
    case["rows"].as_array().unwrap().iter().map(row).collect()
}

fn messages(golden: &Value) -> String {
    let conversations = golden["conversations"].as_array().unwrap().iter();
    conversations
        .map(|c| format!("{}\n", json!({ "messages": c })))
        .collect()
}

#[test]
fn ids_and_labels_equal_transformers_under_every_template() {
    let golden = golden();
    let text = messages(&golden);
    for case in golden["cases"].as_array().unwrap() {
        let (ours, theirs) = (ours(case, "a.jsonl", &text), theirs(case));
        assert_eq!(ours.len(), theirs.len());
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "{} row {number}", case["template"]);
        }
    }
}

#[test]
fn the_shipped_dialogue_file_gives_the_same_tokens_as_its_messages() {
    let golden = golden();
    let case = &golden["cases"][0];
    let text = fs::read_to_string(repository().join("data/law_train/train.txt")).unwrap();
    let ours = ours(case, "train.txt", &text);
    let theirs = theirs(case);
    assert_eq!(ours[..12], theirs[..12]);
}

#[test]
fn a_mask_moved_by_one_token_would_be_seen() {
    let golden = golden();
    for case in golden["cases"].as_array().unwrap() {
        if case["train_on_inputs"] == true {
            continue;
        }
        let ours = ours(case, "a.jsonl", &messages(&golden));
        for ((_, ours), (_, theirs)) in ours.iter().zip(theirs(case)) {
            let late = format!("0{}", &ours[..ours.len() - 1]);
            let early = format!("{}0", &ours[1..]);
            assert_ne!(late, theirs);
            assert_ne!(early, theirs);
        }
    }
}

/// What a change of the data room must not change: the rows of configs/quickstart.yaml. Made by the
/// program as it was before `loss_on` and tools; a change of data/ or models/ changes it too.
#[test]
fn the_shipped_questions_keep_the_bytes_of_their_prepared_rows() {
    let config = repository().join("configs/quickstart.yaml");
    let config = shared::config::load(&config, &[], repository())
        .unwrap()
        .config;
    let tokenizer = shared::text::TextTokenizer::load(&config.base_model).unwrap();
    let template = shared::text::ChatTemplate::find(&config.base_model).unwrap();
    let prepared =
        coordinator::data::prepare(&(&config).into(), &tokenizer, template.as_ref()).unwrap();
    assert_eq!(
        prepared.writer.digest().unwrap(),
        "efae5cfa976184a2e502cf3c1d35dcd69e2bf8fe2912867d58073f69434e7b1c"
    );
}
