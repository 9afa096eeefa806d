//! Chat templates in the style of several families: ids and labels equal those of transformers.
//!
//! The numbers lie in tests/golden/data/templates.json, made by make_data_golden.py from the styles
//! and conversations of chat_styles.py for the shipped tokenizer. Ids are those of transformers'
//! `apply_chat_template`; labels its `assistant_masks` where a template has `{% generation %}` blocks,
//! else what its renderings of the earlier messages leave.

use std::fs;
use std::path::Path;

use crate::house::House;
use serde_json::{Value, json};
use shared::config::LossOn;
use shared::dataset::PreparedDataset;

const SETTINGS: [(&str, LossOn); 3] = [
    ("response", LossOn::Response),
    ("all", LossOn::All),
    ("last", LossOn::Last),
];

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn golden() -> Value {
    let file = repository().join("tests/golden/data/templates.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

type Row = (Vec<u32>, String);

/// What our room makes of samples under a style's tokenizer and template.
fn ours(style: &Value, samples: &[&Value], loss_on: LossOn) -> Vec<Row> {
    let lines: String = samples.iter().map(|sample| format!("{sample}\n")).collect();
    let house = House::new("chatml").with("a.jsonl", lines).set(|config| {
        config.loss_on = loss_on;
        config.max_seq_length = 4096;
    });
    let base = &house.config.base_model;
    fs::remove_dir_all(base).unwrap();
    fs::create_dir(base).unwrap();
    let tokenizer = repository().join("models/tiny-law/tokenizer.json");
    fs::copy(tokenizer, base.join("tokenizer.json")).unwrap();
    let config = style["tokenizer_config"].to_string();
    fs::write(base.join("tokenizer_config.json"), config).unwrap();
    let folder = house.folder.path().join("rows");
    let prepared = house.prepare().map_err(|e| house.shown(&e)).unwrap();
    let path = prepared.writer.publish(&folder).unwrap();
    let dataset = PreparedDataset::open(&path).unwrap();
    let row = |row| {
        let sample = dataset.sample(row).unwrap();
        let targets = sample.targets.iter().map(ToString::to_string).collect();
        (sample.ids.to_vec(), targets)
    };
    (0..dataset.len()).map(row).collect()
}

/// The samples of a style that have something to learn under a setting, and transformers' rows.
fn theirs<'a>(golden: &'a Value, style: &'a Value, setting: &str) -> (Vec<&'a Value>, Vec<Row>) {
    let rows = style["rows"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row[setting].is_string());
    let one = |row: &'a Value| {
        let number = usize::try_from(row["sample"].as_u64().unwrap()).unwrap();
        let ids = row["ids"].as_array().unwrap().iter();
        let ids = ids.map(|id| u32::try_from(id.as_u64().unwrap()).unwrap());
        let labels = row[setting].as_str().unwrap().to_owned();
        (&golden["samples"][number], (ids.collect(), labels))
    };
    rows.map(one).unzip()
}

#[test]
fn every_style_gives_the_ids_and_labels_of_transformers() {
    let golden = golden();
    let mut table = format!(
        "{:<20}{:>10}{:>6}{:>6}{:>9}\n",
        "style", "response", "all", "last", "tokens"
    );
    let mut cases = 0;
    for style in golden["styles"].as_array().unwrap() {
        let name = style["style"].as_str().unwrap();
        let mut counts = Vec::new();
        let mut tokens = 0;
        for (setting, loss_on) in SETTINGS {
            let (samples, theirs) = theirs(&golden, style, setting);
            let ours = ours(style, &samples, loss_on);
            assert_eq!(ours.len(), theirs.len(), "{name}, {setting}");
            for ((ours, theirs), sample) in ours.iter().zip(&theirs).zip(&samples) {
                assert_eq!(
                    ours, theirs,
                    "{name}, {}, loss_on {setting}",
                    sample["name"]
                );
                tokens += ours.0.len();
            }
            counts.push(theirs.len());
        }
        cases += counts.iter().sum::<usize>();
        table.push_str(&format!(
            "{name:<20}{:>10}{:>6}{:>6}{tokens:>9}\n",
            counts[0], counts[1], counts[2]
        ));
    }
    println!("{table}{cases} cases");
    assert!(cases > 200, "{cases} cases");
}

#[test]
fn a_label_moved_by_one_token_would_be_seen() {
    let golden = golden();
    for style in golden["styles"].as_array().unwrap() {
        for (setting, loss_on) in [SETTINGS[0], SETTINGS[2]] {
            let (samples, theirs) = theirs(&golden, style, setting);
            for ((_, ours), (_, theirs)) in ours(style, &samples, loss_on).iter().zip(theirs) {
                assert_ne!(format!("0{}", &ours[..ours.len() - 1]), theirs);
                assert_ne!(format!("{}0", &ours[1..]), theirs);
            }
        }
    }
}

#[test]
fn the_settings_differ_where_they_should() {
    let golden = golden();
    let sample = golden["samples"].as_array().unwrap().iter();
    let three: Vec<&Value> = sample.filter(|s| s["name"] == "three turns").collect();
    for style in golden["styles"].as_array().unwrap() {
        let learned = |loss_on| {
            let rows = ours(style, &three, loss_on);
            rows[0].1.matches('1').count()
        };
        let (every, all, last) = (
            learned(LossOn::Response),
            learned(LossOn::All),
            learned(LossOn::Last),
        );
        assert!(last < every && every < all, "{last} {every} {all}");
    }
}

#[test]
fn a_last_answer_of_weight_0_leaves_nothing_to_learn_under_last() {
    let golden = golden();
    let sample = json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d", "weight": 0},
    ]});
    let rows = ours(&golden["styles"][0], &[&sample], LossOn::Response);
    assert!(rows[0].1.contains('1'));
    let house = House::new("chatml")
        .with("a.jsonl", sample.to_string())
        .set(|c| c.loss_on = LossOn::Last);
    insta::assert_snapshot!(house.error(), @r#"
    E0317 a row has no token to learn from
      at HOUSE/data
      a.jsonl:1 has 73 tokens
      all answers that would count have weight 0
      fix: give one of them weight 1, or take the sample out
    "#);
}
