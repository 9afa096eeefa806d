//! Tokenizer, template, weights and stop tokens that do not belong to one model are told before a run starts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use coordinator::cli::data::Source;
use coordinator::cli::data::prepare::run as prepare_data;
use coordinator::cli::{PlanArgs, check, plan};
use coordinator::start::{Request, prepare};
use serde_json::{Value, json};
use shared::error::{Code, Error, render};

/// A copy of the small base model, and data of a run on it.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new(data: &str) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        let base = scene.base();
        fs::create_dir(&base).unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-law");
        for entry in fs::read_dir(model).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), base.join(entry.file_name())).unwrap();
        }
        fs::create_dir(scene.0.path().join("data")).unwrap();
        fs::write(scene.0.path().join("data/a.jsonl"), data).unwrap();
        let run = "train_data_dir: data\nbase_model: base\noutput_dir: out\ndevice: cpu\n\
                   max_steps: 2\nmax_seq_length: 256\nlearning_rate: 0.0002\n";
        fs::write(scene.0.path().join("run.yaml"), run).unwrap();
        scene
    }

    fn base(&self) -> PathBuf {
        self.0.path().join("base")
    }

    /// Changes a JSON file of the base model.
    fn edit(self, file: &str, change: impl FnOnce(&mut Value)) -> Self {
        let path = self.base().join(file);
        let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
        self
    }

    fn warnings(&self) -> Vec<String> {
        let report = check::run(Path::new("run.yaml"), &[], self.0.path()).unwrap();
        report.warnings
    }

    fn refused(&self) -> Error {
        let request = Request {
            config: "run.yaml".into(),
            set: Vec::new(),
            cwd: self.0.path().into(),
            overwrite: false,
        };
        match prepare(&request) {
            Ok(_) => panic!("the start is not refused"),
            Err(error) => error,
        }
    }

    fn starts(&self) {
        let request = Request {
            config: "run.yaml".into(),
            set: Vec::new(),
            cwd: self.0.path().into(),
            overwrite: false,
        };
        if let Err(error) = prepare(&request) {
            panic!("{}", render(&error));
        }
    }
}

const PLAIN: &str = "{\"question\": \"q\", \"answer\": \"a\"}\n";

/// A token that the weights were never given a row for.
fn added(value: &mut Value) {
    value["added_tokens_decoder"]["2560"] = json!({
        "content": "<case>", "special": true, "lstrip": false, "rstrip": false,
        "single_word": false, "normalized": false,
    });
}

#[test]
fn a_model_whose_parts_belong_together_is_not_talked_of() {
    let scene = Scene::new(PLAIN);
    assert_eq!(scene.warnings(), [""; 0]);
    scene.starts();
}

#[test]
fn a_token_beyond_the_embedding_is_told_and_refused_where_the_data_has_it() {
    let unused = Scene::new(PLAIN).edit("tokenizer_config.json", added);
    let warnings = unused.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("\"<case>\" with id 2560"),
        "{warnings:?}"
    );
    unused.starts();
    let rows = format!("{PLAIN}{{\"input_ids\": [5, 2560, 2], \"labels\": [5, 2560, 2]}}\n");
    let scene = Scene::new(&rows).edit("tokenizer_config.json", added);
    let error = scene.refused();
    assert_eq!(error.code, Code::BadTokenizer);
    let place = error.place.clone().unwrap();
    assert!(place.file.ends_with("a.jsonl"), "{place:?}");
    assert_eq!(place.line, Some(2));
    let shown = render(&error);
    assert!(
        shown.contains("its id is 2560, and the embedding has 2560 rows"),
        "{shown}"
    );
    assert!(!scene.0.path().join("out").exists());
    let plan = plan::run(&plan_args(), scene.0.path(), &mut |_| {}).unwrap_err();
    assert_eq!((plan.code, plan.place), (Code::BadTokenizer, error.place));
}

#[test]
fn rows_that_were_prepared_before_are_held_against_the_embedding_too() {
    let row = "{\"input_ids\": [5, 2559, 2], \"labels\": [5, 2559, 2]}\n";
    let scene = Scene::new(row);
    let source = Source {
        config: "run.yaml".into(),
        set: Vec::new(),
    };
    prepare_data(&source, scene.0.path(), &mut |_| {}).unwrap();
    // The same rows, and a smaller embedding.
    let smaller = |value: &mut Value| value["vocab_size"] = json!(2559);
    let scene = scene.edit("config.json", smaller);
    let error = prepare_data(&source, scene.0.path(), &mut |_| {}).unwrap_err();
    assert_eq!(error.code, Code::BadTokenizer);
    assert_eq!(error.place.unwrap().line, Some(1));
}

fn plan_args() -> PlanArgs {
    PlanArgs {
        config: "run.yaml".into(),
        set: Vec::new(),
        workers: 1,
        rate: None,
        output: coordinator::cli::Output::Text,
    }
}

#[test]
fn an_end_at_which_generation_would_not_stop_is_told_with_the_remedy_that_helps() {
    let stops = |ids: Value| move |value: &mut Value| value["eos_token_id"] = ids;
    let scene = Scene::new(PLAIN).edit("generation_config.json", stops(json!(0)));
    let warnings = scene.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("an answer ends with \"<|im_end|>\" (2)"),
        "{warnings:?}"
    );
    assert!(
        warnings[0].contains("write \"eos_token_id\": [0, 2] into"),
        "{warnings:?}"
    );
    let estimate = plan::run(&plan_args(), scene.0.path(), &mut |_| {}).unwrap();
    assert!(
        estimate.to_string().contains("generation stops at"),
        "{estimate}"
    );
    let mended = scene.edit("generation_config.json", stops(json!([0, 2])));
    assert_eq!(mended.warnings(), [""; 0]);
}

#[test]
fn a_stop_that_is_no_token_is_told() {
    let far = |value: &mut Value| value["eos_token_id"] = json!([2, 151_643]);
    let warnings = Scene::new(PLAIN)
        .edit("generation_config.json", far)
        .warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("the id 151643, which is no token"),
        "{warnings:?}"
    );
}

#[test]
fn a_template_of_another_family_is_named_by_its_tokens() {
    for (template, token) in [
        (
            "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>{{ m.content }}<|eot_id|>{% endfor %}",
            "`<|start_header_id|>`",
        ),
        (
            "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>{% endfor %}",
            "`<start_of_turn>`",
        ),
        (
            "{% for m in messages %}<｜User｜>{{ m.content }}<｜end▁of▁sentence｜>{% endfor %}",
            "`<｜User｜>`",
        ),
    ] {
        let change = |value: &mut Value| value["chat_template"] = json!(template);
        let warnings = Scene::new(PLAIN)
            .edit("tokenizer_config.json", change)
            .warnings();
        let told = warnings
            .iter()
            .any(|w| w.contains(token) && w.contains("template of another model"));
        assert!(told, "{warnings:?}");
    }
}

#[test]
fn a_base_model_that_cannot_be_used_is_a_warning_of_check() {
    let scene = Scene::new(PLAIN);
    fs::remove_file(scene.base().join("tokenizer.json")).unwrap();
    let warnings = scene.warnings();
    assert!(warnings[0].starts_with("E0203"), "{warnings:?}");
}
