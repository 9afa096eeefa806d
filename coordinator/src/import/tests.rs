//! Two real-world shaped files, every way of being no such file, and what is said of each key.

use std::collections::BTreeSet;
use std::path::Path;

use shared::error::{Code, Error, render};

use super::*;

const FACTORY: &str = include_str!("fixtures/llama_factory.yaml");
const AXOLOTL: &str = include_str!("fixtures/axolotl.yml");

/// A folder with the data that the fixtures name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(
        data.join("dataset_info.json"),
        include_str!("fixtures/dataset_info.json"),
    )
    .unwrap();
    for file in [
        "law_questions.json",
        "clauses.jsonl",
        "contracts.jsonl",
        "faq.csv",
    ] {
        std::fs::write(data.join(file), "").unwrap();
    }
    folder
}

fn import(name: &str, text: &str) -> Imported {
    let folder = folder();
    convert(name, text, None, folder.path()).unwrap_or_else(|error| panic!("{}", render(&error)))
}

fn refused(text: &str) -> Error {
    let folder = folder();
    convert("their.yaml", text, None, folder.path()).unwrap_err()
}

fn said(text: &str) -> String {
    let error = refused(text);
    assert_eq!(error.exit_code() as u8, 2, "{error}");
    render(&error)
}

/// The smallest file of LLaMA-Factory, then these lines.
fn factory(lines: &str) -> String {
    format!("model_name_or_path: m\nfinetuning_type: lora\ndataset: law_questions\n{lines}")
}

/// The smallest file of Axolotl, then these lines.
fn axolotl(lines: &str) -> String {
    format!(
        "base_model: m\nadapter: lora\ndatasets: [{{path: data/contracts.jsonl, type: alpaca}}]\n{lines}"
    )
}

fn value(imported: &Imported, key: &str) -> Option<String> {
    let line = imported.lines.iter().find(|line| line.key == key);
    line.map(|line| line.value.clone())
}

fn outcome_of(imported: &Imported, key: &str) -> Option<Outcome> {
    let remark = imported.remarks.iter().find(|remark| remark.key == key);
    remark.map(|remark| remark.outcome)
}

#[test]
fn a_llama_factory_file_becomes_ours() {
    let imported = import("qwen_law.yaml", FACTORY);
    insta::assert_snapshot!("llama_factory_yaml", imported.yaml());
    insta::assert_snapshot!("llama_factory_list", imported.to_text());
}

#[test]
fn an_axolotl_file_becomes_ours() {
    let imported = import("contracts.yml", AXOLOTL);
    insta::assert_snapshot!("axolotl_yaml", imported.yaml());
    insta::assert_snapshot!("axolotl_list", imported.to_text());
}

#[test]
fn every_key_of_a_file_is_in_a_line_or_in_a_remark() {
    for (name, text) in [("a.yaml", FACTORY), ("b.yml", AXOLOTL)] {
        let imported = import(name, text);
        let pairs = Source::new(name, text).pairs().unwrap();
        for (key, _) in pairs {
            let Node::Text(key_name) = &key.node else {
                panic!()
            };
            let line = key.mark.line;
            let start = format!("line {line}");
            let in_line = imported
                .lines
                .iter()
                .any(|l| l.from == start || l.from.starts_with(&format!("{start},")));
            let in_remark = imported
                .remarks
                .iter()
                .any(|r| r.line == Some(line) && r.key == *key_name);
            assert!(in_line || in_remark, "{name}: {key_name}");
        }
    }
}

#[test]
fn what_is_written_loads_to_the_values_that_are_said() {
    let folder = folder();
    let imported = convert("a.yml", AXOLOTL, None, folder.path()).unwrap();
    let loaded = config::load_text("ours.yaml", &imported.yaml(), folder.path()).unwrap();
    let config = loaded.config;
    assert_eq!(
        (config.batch_size, config.gradient_accumulation_steps),
        (2, 4)
    );
    assert_eq!(
        config.micro_batch_size, 1,
        "ours keeps its default, an eighth of 8"
    );
    assert_eq!(
        (config.lora_rank, config.epochs, config.max_seq_length),
        (32, 4, 4096)
    );
    assert_eq!(config.target_modules, config::TargetModules::AllLinear);
    assert!(
        loaded
            .notices
            .iter()
            .all(|notice| !notice.contains("is read as")),
        "{:?}",
        loaded.notices
    );
}

#[test]
fn what_a_file_leaves_out_is_what_the_other_tool_does() {
    let theirs = import("a.yaml", &factory(""));
    for (key, expected) in [
        ("batch_size", "8"),
        ("learning_rate", "5.0e-5"),
        ("target_modules", "all-linear"),
        ("output_dir", "trainer_output"),
    ] {
        assert_eq!(value(&theirs, key).as_deref(), Some(expected), "{key}");
    }
    let theirs = import("a.yaml", &axolotl(""));
    for (key, expected) in [
        ("batch_size", "1"),
        ("epochs", "1"),
        ("max_seq_length", "512"),
        ("lr_scheduler_type", "cosine"),
        ("warmup_ratio", "0.03"),
    ] {
        assert_eq!(value(&theirs, key).as_deref(), Some(expected), "{key}");
    }
}

#[test]
fn a_value_that_our_loader_refuses_is_said_and_no_default_of_theirs_takes_its_place() {
    let imported = import("a.yaml", &axolotl("num_epochs: 2.5\n"));
    assert_eq!(value(&imported, "epochs"), None);
    let remark = imported
        .remarks
        .iter()
        .find(|remark| remark.key == "num_epochs")
        .unwrap();
    assert_eq!(remark.outcome, Outcome::NoCounterpart);
    assert!(remark.why.contains("must be a whole number"), "{remark:?}");
}

#[test]
fn a_key_that_comes_later_is_a_remark_until_this_version_has_it() {
    for (text, theirs, ours) in [
        (factory("val_size: 0.1\n"), "val_size", "validation_split"),
        (
            factory("group_by_length: true\n"),
            "group_by_length",
            "group_by_length",
        ),
        (factory("packing: true\n"), "packing", "packing"),
        (factory("mask_history: true\n"), "mask_history", "loss_on"),
        (
            axolotl("early_stopping_patience: 3\n"),
            "early_stopping_patience",
            "early_stopping_patience",
        ),
        (axolotl("eval_steps: 50\n"), "eval_steps", "eval_steps"),
    ] {
        let imported = import("a.yaml", &text);
        if config::is_key(ours) {
            let said = imported
                .remarks
                .iter()
                .any(|remark| remark.key == theirs && remark.outcome != Outcome::Changed);
            assert!(value(&imported, ours).is_some() || said, "{ours}");
        } else {
            assert_eq!(value(&imported, ours), None);
            assert_eq!(
                outcome_of(&imported, theirs),
                Some(Outcome::NotYet),
                "{theirs}"
            );
        }
    }
}

#[test]
fn data_sets_are_looked_up() {
    let one = |name: &str| import("a.yaml", &factory("").replace("law_questions", name));
    let data = |name| value(&one(name), "train_data_dir").unwrap();
    assert_eq!(data("law_questions"), "data/law_questions.json");
    assert_eq!(data("from_hub"), "someone/clauses");
    let table = one("table");
    let named = value(&table, "csv_columns").or_else(|| value(&table, "columns"));
    assert!(named.unwrap().contains("frage"));
    insta::assert_snapshot!(said(&factory("").replace("law_questions", "statutes")), @r#"
    E0104 `statutes` is not in data/dataset_info.json
      at their.yaml:3:10
       3 | dataset: statutes
         |          ^^^^^^^^
      it lists `law_questions`, `clauses`, `from_hub`, `table`
      fix: write a name that is there
    "#);
}

#[test]
fn without_dataset_info_the_name_is_kept_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let imported = convert("a.yaml", &factory(""), None, folder.path()).unwrap();
    assert_eq!(
        value(&imported, "train_data_dir").unwrap(),
        "data/law_questions"
    );
    assert_eq!(outcome_of(&imported, "dataset"), Some(Outcome::Changed));
}

#[test]
fn a_dataset_info_that_is_no_json_is_refused_with_its_line() {
    let folder = folder();
    std::fs::write(
        folder.path().join("data/dataset_info.json"),
        "{\n\"a\": {,}\n}",
    )
    .unwrap();
    let error = convert("a.yaml", &factory(""), None, folder.path()).unwrap_err();
    assert_eq!(error.code, Code::MalformedJson);
    assert_eq!(error.place.unwrap().line, Some(2));
}

#[test]
fn a_total_batch_of_axolotl_is_divided() {
    let imported = import("a.yaml", &axolotl("micro_batch_size: 2\nbatch_size: 16\n"));
    assert_eq!(value(&imported, "batch_size").unwrap(), "2");
    assert_eq!(
        value(&imported, "gradient_accumulation_steps").unwrap(),
        "8"
    );
    let imported = import("a.yaml", &axolotl("micro_batch_size: 3\nbatch_size: 16\n"));
    assert_eq!(value(&imported, "gradient_accumulation_steps"), None);
    assert_eq!(
        outcome_of(&imported, "batch_size"),
        Some(Outcome::NoCounterpart)
    );
}

#[test]
fn from_says_whose_file_it_is() {
    let folder = folder();
    let text = "base_model: m\ndatasets: [{path: data/contracts.jsonl}]\nadapter: lora\n";
    let forced = convert("a.yaml", text, Some(Tool::LlamaFactory), folder.path()).unwrap_err();
    assert_eq!(forced.code, Code::MissingKey);
    let found = convert("a.yaml", text, Some(Tool::Axolotl), folder.path()).unwrap();
    assert!(found.decided.contains("--from"), "{}", found.decided);
}

#[test]
fn a_file_of_neither_tool_is_refused() {
    let codes = |text: &str| {
        (
            refused(text).code,
            refused(text).place.and_then(|place| place.line),
        )
    };
    assert_eq!(codes("- a\n- b\n"), (Code::BadYaml, Some(1)));
    assert_eq!(codes("a: [b\n"), (Code::BadYaml, Some(1)));
    assert_eq!(codes(""), (Code::Usage, None));
    assert_eq!(codes("# nothing\n"), (Code::Usage, None));
    assert_eq!(codes("colour: red\n"), (Code::Usage, None));
    assert_eq!(codes("lora_alpha: 4\nseed: 1\n"), (Code::Usage, None));
    assert_eq!(codes("5: x\n"), (Code::UnknownKey, Some(1)));
    assert_eq!(
        codes(&factory("seed: 1\nseed: 1\n")),
        (Code::Contradiction, Some(5))
    );
    assert_eq!(
        codes(&factory("").replace("lora", "full")),
        (Code::NotYet, Some(2))
    );
    assert_eq!(codes(&factory("stage: dpo\n")), (Code::NotYet, Some(4)));
    assert_eq!(
        codes(&axolotl("").replace("adapter: lora", "adapter:")),
        (Code::NotYet, Some(2))
    );
    assert_eq!(
        codes(&axolotl("").replace("adapter: lora\n", "")),
        (Code::NotYet, None)
    );
    assert_eq!(codes(&axolotl("rl: dpo\n")), (Code::NotYet, Some(4)));
    assert_eq!(
        codes("adapter: lora\nsequence_len: 4\nbase_model: m\n"),
        (Code::MissingKey, None)
    );
    assert_eq!(
        codes("adapter: lora\nbase_model: m\ndatasets: law\n"),
        (Code::WrongType, Some(3))
    );
    assert_eq!(
        codes("adapter: lora\nbase_model: m\ndatasets: [{type: alpaca}]\n"),
        (Code::MissingKey, Some(3))
    );
    assert_eq!(
        codes(&factory("").replace(": m\n", ": s3://b/m\n")),
        (Code::NotYet, Some(1))
    );
    insta::assert_snapshot!(said("train_data_dir: d\nbase_model: b\noutput_dir: o\n"), @r#"
    E0109 it cannot be told whether this is of LLaMA-Factory or of Axolotl
      at their.yaml
      0 of its keys are LLaMA-Factory's only, 0 Axolotl's only
      all of its keys are ours: it needs no import
      fix: coordinator check --config their.yaml
      fix: say it with --from llama-factory or --from axolotl
    "#);
}

#[test]
fn the_object_for_programs_has_yaml_lines_and_remarks() {
    let json = import("a.yaml", FACTORY).to_json();
    assert_eq!(json["event"], "import");
    assert_eq!(json["tool"], "llama-factory");
    assert!(json["yaml"].as_str().unwrap().contains("lora_rank: 16"));
    let outcomes: BTreeSet<&str> = json["remarks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["outcome"].as_str().unwrap())
        .collect();
    assert!(
        outcomes.contains("no_counterpart") && outcomes.contains("changed"),
        "{outcomes:?}"
    );
}

#[test]
fn a_file_that_is_there_stays_unless_forced() {
    use crate::cli::import::{ImportArgs, run};
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    write("their.yaml", FACTORY);
    write("ours.yaml", "kept");
    let mut args = ImportArgs {
        file: "their.yaml".into(),
        from: None,
        output_file: Some("ours.yaml".into()),
        force: false,
        output: crate::cli::Output::Text,
    };
    assert_eq!(run(&args, folder.path()).unwrap_err().code, Code::Usage);
    assert_eq!(read("ours.yaml"), "kept");
    args.force = true;
    let imported = run(&args, folder.path()).unwrap();
    assert_eq!(read("ours.yaml"), imported.yaml());
    config::load(Path::new("ours.yaml"), &[], folder.path()).unwrap();
    args.file = "none.yaml".into();
    assert_eq!(
        run(&args, folder.path()).unwrap_err().code,
        Code::MissingPath
    );
}
