//! `validation_split`: rows that are kept out, and mixing of the others.

use std::collections::BTreeSet;
use std::path::Path;

use coordinator::cli::data::{Source, prepare::run};
use coordinator::data::{Prepared, dataset_path, diagnose, ready};
use shared::config::DataSource;
use shared::dataset::{DatasetWriter, PreparedDataset};
use shared::error::Code;
use shared::objective::{NextToken, Objective};

use crate::house::House;

fn pairs(count: usize, word: &str) -> String {
    let line = |i| format!("{{\"question\": \"{word}{i}\", \"answer\": \"答{i}\"}}\n");
    (0..count).map(line).collect()
}

fn house(share: f64) -> House {
    House::new("chatml")
        .with("a.jsonl", pairs(60, "甲"))
        .with("b.jsonl", pairs(40, "乙"))
        .set(|c| c.validation_split = share)
}

/// Ids of all rows, in order.
fn ids(writer: &DatasetWriter) -> Vec<Vec<u32>> {
    (0..writer.rows())
        .map(|row| writer.row(row).unwrap().0)
        .collect()
}

fn prepared(house: &House) -> (Vec<Vec<u32>>, Vec<Vec<u32>>, Vec<String>) {
    let Prepared {
        writer,
        validation,
        report,
    } = house.prepare().unwrap();
    let validation = validation.as_ref().map(ids).unwrap_or_default();
    (ids(&writer), validation, report.notices)
}

#[test]
fn the_share_is_kept_out_and_both_parts_are_all_rows_in_their_order() {
    let (all, none, _) = prepared(&house(0.0));
    assert_eq!((all.len(), none.len()), (100, 0));
    let (training, validation, notices) = prepared(&house(0.2));
    assert_eq!((training.len(), validation.len()), (80, 20));
    assert_eq!(
        notices.last().unwrap(),
        "validation_split 0.2: 20 rows are kept out and evaluated, 80 are trained on"
    );
    let of_all = |part: &[Vec<u32>]| {
        let place = |row: &Vec<u32>| all.iter().position(|other| other == row).unwrap();
        part.iter().map(place).collect::<Vec<_>>()
    };
    let (first, second) = (of_all(&training), of_all(&validation));
    assert!(first.is_sorted() && second.is_sorted());
    let places: BTreeSet<usize> = first.into_iter().chain(second).collect();
    assert_eq!(places.len(), 100);
    let again = prepared(&house(0.2));
    assert_eq!((again.0, again.1), (training, validation.clone()));
    let other = prepared(&house(0.2).set(|c| c.seed = c.seed.wrapping_add(1)));
    assert_ne!(other.1, validation);
}

#[test]
fn equal_rows_stay_on_one_side_and_one_kind_of_row_cannot_be_split() {
    let house = House::new("chatml")
        .with("a.jsonl", [pairs(10, "甲"), pairs(10, "甲")].concat())
        .set(|c| c.validation_split = 0.5);
    let (training, validation, _) = prepared(&house);
    assert_eq!((training.len(), validation.len()), (10, 10));
    assert!(training.iter().all(|row| !validation.contains(row)));
    let same = House::new("chatml")
        .with("a.jsonl", pairs(1, "甲").repeat(3))
        .set(|c| c.validation_split = 0.1);
    let error = same.prepare().unwrap_err();
    assert_eq!(error.code, Code::EmptyData);
    assert_eq!(error.why, ["there are 3 rows, 1 of them different"]);
}

#[test]
fn only_what_is_trained_on_is_mixed_and_the_doctor_says_the_same() {
    let source = |path: &str, weight| DataSource {
        path: path.into(),
        weight,
    };
    let house = house(0.2).set(|c| {
        c.formats.sources = vec![source("a.jsonl", 1_000_000), source("b.jsonl", 3_000_000)];
    });
    let Prepared {
        writer,
        validation,
        report,
    } = house.prepare().unwrap();
    let validation = ids(&validation.unwrap());
    assert_eq!(validation.len(), 20);
    let training = ids(&writer);
    assert!(training.iter().all(|row| !validation.contains(row)));
    let [a, b] = &report.sources[..] else {
        panic!("{report}")
    };
    assert_eq!((a.samples + b.samples, a.rows * 3), (80, b.rows));
    assert_eq!(report.samples, training.len() as u64);
    let tokens = training.iter().map(|row| row.len() as u64).sum::<u64>();
    assert_eq!(report.tokens, tokens);
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let told = diagnose(&house.config, &tokenizer, template.as_ref(), &mut |_| {}).unwrap();
    assert_eq!(told.report, report);
    assert!(told.refused.is_none());
}

#[test]
fn both_parts_are_published_and_used_again() {
    let house = house(0.2);
    let folder = house.output_dir().join("prepared");
    let (tokenizer, template) = (house.tokenizer(), house.template());
    let prepare = |folder: &Path| {
        ready(
            &house.config,
            &tokenizer,
            template.as_ref(),
            folder,
            &mut |_| {},
        )
        .unwrap()
    };
    let first = prepare(&folder);
    let training = PreparedDataset::open(&first.publish(&folder).unwrap()).unwrap();
    let held = first.validation.clone().unwrap();
    let validation = PreparedDataset::open(&dataset_path(&folder, &held)).unwrap();
    assert_eq!((training.len(), validation.len()), (80, 20));
    let sizes = (training.lengths(), NextToken.units_of(&training));
    assert_eq!(first.sizes(&folder).unwrap(), sizes);
    let again = prepare(&folder);
    assert!(again.reused());
    assert_eq!(again.validation.as_deref(), Some(held.as_str()));
    assert_eq!(again.sizes(&folder).unwrap(), sizes);
    std::fs::remove_file(dataset_path(&folder, &held)).unwrap();
    assert!(!prepare(&folder).reused());
}

#[test]
fn the_command_prepares_the_validation_folder_too() {
    let house = House::new("chatml").with("a.jsonl", pairs(6, "甲"));
    let held = house.folder.path().join("held");
    std::fs::create_dir(&held).unwrap();
    std::fs::write(held.join("b.jsonl"), pairs(2, "乙")).unwrap();
    let yaml = format!(
        "train_data_dir: {}\nvalidation_dir: {}\nbase_model: {}\noutput_dir: {}\n",
        house.config.train_data_dir.display(),
        held.display(),
        house.config.base_model.display(),
        house.output_dir().display(),
    );
    let config = house.folder.path().join("run.yaml");
    std::fs::write(&config, yaml).unwrap();
    let set = vec!["max_seq_length=512".to_owned()];
    let args = Source { config, set };
    let prepare = || run(&args, house.folder.path(), &mut |_| {}).unwrap();
    let text = prepare();
    assert!(
        text.contains("a.jsonl: question and answer, 6 samples"),
        "{text}"
    );
    let held = "\nvalidation: b.jsonl: question and answer, 2 samples\n";
    assert!(text.contains(held), "{text}");
    assert_eq!(prepare().matches("prepared before: ").count(), 2);
}
