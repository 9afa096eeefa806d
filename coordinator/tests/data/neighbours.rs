//! Example data in the forms of other tools: what is trained is what transformers renders and marks of it.
//!
//! The files, and the ids and masks of transformers, lie in tests/golden/data/neighbours.json, made by
//! make_neighbour_golden.py. What no run learns from (preference data, pretraining text) is refused.

use std::fs;
use std::path::Path;

use serde_json::Value;
use shared::dataset::PreparedDataset;

use crate::house::House;

fn golden() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/data/neighbours.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn house(golden: &Value, case: &Value) -> House {
    let text = case["text"].as_str().unwrap();
    let sets = case["settings"].as_array().unwrap().iter();
    let sets: Vec<&str> = sets.map(|set| set.as_str().unwrap()).collect();
    let house = House::new("chatml").with(case["file"].as_str().unwrap(), text);
    let base = &house.config.base_model;
    fs::remove_dir_all(base).unwrap();
    fs::create_dir(base).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-law");
    for name in ["tokenizer.json", "tokenizer_config.json", "config.json"] {
        fs::copy(model.join(name), base.join(name)).unwrap();
    }
    let template = golden["template"].as_str().unwrap();
    fs::write(base.join("chat_template.jinja"), template).unwrap();
    house.configured(&sets)
}

fn rows(house: &House) -> Vec<(Vec<u64>, String)> {
    let folder = house.folder.path().join("rows");
    let prepared = house
        .prepare()
        .map_err(|error| house.shown(&error))
        .unwrap();
    let path = prepared.writer.publish(&folder).unwrap();
    let dataset = PreparedDataset::open(&path).unwrap();
    let row = |row| {
        let sample = dataset.sample(row).unwrap();
        let targets = sample.targets.iter().map(ToString::to_string).collect();
        (
            sample.ids.iter().map(|id| u64::from(*id)).collect(),
            targets,
        )
    };
    (0..dataset.len()).map(row).collect()
}

#[test]
fn files_of_other_tools_are_trained_as_transformers_renders_and_marks_them() {
    let golden = golden();
    let mut trained = 0;
    for case in golden["cases"].as_array().unwrap() {
        let Some(theirs) = case["rows"].as_array() else {
            continue;
        };
        let ours = rows(&house(&golden, case));
        assert_eq!(ours.len(), theirs.len(), "{}", case["file"]);
        for (number, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let ids = theirs["ids"].as_array().unwrap().iter();
            let ids: Vec<u64> = ids.map(|id| id.as_u64().unwrap()).collect();
            let theirs = (ids, theirs["targets"].as_str().unwrap().to_owned());
            assert_eq!(*ours, theirs, "{} row {number}", case["file"]);
            assert!(ours.1.contains('1'), "{} row {number}", case["file"]);
            trained += 1;
        }
    }
    println!("{trained} rows equal those of transformers, token for token and mask for mask");
    assert_eq!(trained, 27);
}

#[test]
fn files_that_no_run_learns_from_are_refused_by_name() {
    let golden = golden();
    let mut refused = 0;
    for case in golden["cases"].as_array().unwrap() {
        if !case["rows"].is_null() {
            continue;
        }
        let name = case["file"].as_str().unwrap();
        let error = house(&golden, case).error();
        let (code, said) = match name.split(['_', '.']).next().unwrap() {
            "dpo" => ("E0319", "preference data: better and worse answers"),
            "kto" => ("E0319", "preference data: a label says whether"),
            _ => ("E0306", "plain text"),
        };
        assert!(
            error.starts_with(code) && error.contains(said),
            "{name}: {error}"
        );
        assert!(!error.contains("columns=["), "{name}: {error}");
        if code == "E0319" {
            let fix = "fix: --set preference=chosen ";
            assert!(error.contains(fix), "{name}: {error}");
        }
        refused += 1;
    }
    assert_eq!(refused, 12);
}
