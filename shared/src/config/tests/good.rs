//! Files that load.

use std::path::{Path, PathBuf};

use super::super::key::Fallback;
use super::super::keys::keys;
use super::super::*;
use super::{MINIMAL, load_text, minimal, with};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_required_keys_alone_give_the_documented_defaults() {
    let defaults = minimal();
    for key in keys() {
        if let Fallback::Value(text) = key.default {
            let written = with(&format!("{}: {text}\n", key.name)).unwrap().config;
            assert_eq!(written, defaults, "{}: {text}", key.name);
        }
    }
    let places = [
        &defaults.train_data_dir,
        &defaults.base_model,
        &defaults.output_dir,
    ];
    assert_eq!(
        places.map(|path| path.display().to_string()),
        ["/start/data", "/start/base", "/start/out"]
    );
    let names = TargetModules::Names(vec!["q_proj".into(), "v_proj".into()]);
    assert_eq!(
        (&defaults.target_modules, defaults.lora_alpha),
        (&names, 16.0)
    );
    assert_eq!(
        (defaults.micro_batch_size, defaults.loss_on),
        (1, LossOn::Response)
    );
    assert_eq!(defaults.adapter, AdapterConfig::default());
    assert_eq!(defaults.stability, StabilityConfig::default());
    assert_eq!(defaults.quantization, QuantizationConfig::default());
    assert_eq!(defaults.privacy, PrivacyConfig::default());
    assert_eq!(defaults.formats, FormatConfig::default());
}

#[test]
fn train_on_inputs_and_loss_on_are_two_names_of_one_choice() {
    let read = |lines: &str| {
        let loaded = with(lines).unwrap();
        let origin = |key: &str| loaded.origins[key].clone();
        let origins = (origin("train_on_inputs"), origin("loss_on"));
        (
            loaded.config.train_on_inputs,
            loaded.config.loss_on,
            origins,
        )
    };
    let said = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let derived = ("derived from loss_on", "derived from train_on_inputs");
    let none = said("default", derived.1);
    assert_eq!(read(""), (false, LossOn::Response, none));
    let flag = said("run.yaml:4", derived.1);
    assert_eq!(read("train_on_inputs: true\n"), (true, LossOn::All, flag));
    let word = said(derived.0, "run.yaml:4");
    assert_eq!(read("loss_on: all\n"), (true, LossOn::All, word));
    let last = said("default", "run.yaml:4");
    assert_eq!(read("loss_on: last\n"), (false, LossOn::Last, last));
    let both = said("run.yaml:4", "run.yaml:5");
    assert_eq!(
        read("train_on_inputs: true\nloss_on: all\n"),
        (true, LossOn::All, both)
    );
}

#[test]
fn law_qa_is_accepted_as_it_stands() {
    let loaded = load(Path::new("configs/law_qa.yaml"), &[], root()).unwrap();
    let config = &loaded.config;
    assert_eq!(config.base_model, root().join("models/llama-2-7b-chat-hf"));
    assert_eq!(
        (config.lora_rank, config.lora_alpha, config.lora_dropout),
        (16, 32.0, 0.1)
    );
    assert_eq!(
        (config.batch_size, config.epochs, config.max_seq_length),
        (4, 15, 512)
    );
    assert_eq!((config.learning_rate, config.save_steps), (1.5e-4, 50));
    assert_eq!(
        (config.precision, config.device.as_str()),
        (Precision::Fp16, "cuda")
    );
    assert_eq!(
        (&config.metadata_path, &config.resume_from_checkpoint),
        (&None, &None)
    );
    assert_eq!(loaded.origins["lora_rank"], "configs/law_qa.yaml:12");
    assert_eq!(loaded.notices.len(), 0, "{:?}", loaded.notices);
}

#[test]
fn quickstart_loads_without_a_word_but_its_learning_rate() {
    let loaded = load(Path::new("configs/quickstart.yaml"), &[], root()).unwrap();
    for notice in &loaded.notices {
        assert!(notice.starts_with("learning_rate"), "{notice}");
    }
}

#[test]
fn every_shipped_configuration_starts_with_its_command() {
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(text.starts_with("# coordinator "), "{name}");
            assert!(
                text.lines()
                    .next()
                    .unwrap()
                    .contains(&format!("configs/{name}")),
                "{name}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

#[test]
fn numbers_may_be_written_as_text() {
    let config = with("learning_rate: \"1e-4\"\nlora_rank: '16'\nsave_steps: 1e3\nepochs: 4.0\n")
        .unwrap()
        .config;
    assert_eq!((config.learning_rate, config.lora_rank), (1e-4, 16));
    assert_eq!((config.save_steps, config.epochs), (1000, 4));
    for (written, seconds) in [("8", 8.0), ("0.5", 0.5), ("\"8\"", 8.0), ("' 2.5 '", 2.5)] {
        let config = with(&format!("failure_detection: {written}\n"))
            .unwrap()
            .config;
        assert_eq!(config.failure_detection, seconds, "{written}");
    }
}

#[test]
fn the_cluster_is_bounded_timed_and_audited_as_written() {
    let config = with("min_workers: 4\nmax_workers: '4'\nfailure_detection: 3600\nride_through: 3600\ndevice_class: strict\naudit_rate: 1\n")
        .unwrap()
        .config;
    assert_eq!((config.min_workers, config.max_workers), (4, Some(4)));
    assert_eq!(
        (config.failure_detection, config.ride_through),
        (3600.0, 3600.0)
    );
    assert_eq!(
        (config.device_class, config.audit_rate),
        (DeviceClassPolicy::Strict, 1.0)
    );
}

#[test]
fn an_optimizer_of_no_parent_is_mentioned_unless_the_parent_is_written_as_nothing() {
    let notices = |lines: &str| with(lines).unwrap().notices;
    assert_eq!(
        notices("parent_optimizer: false\n"),
        ["parent_optimizer false is not used: there is no `parent`"]
    );
    assert!(notices("parent_optimizer: false\nparent: p\n").is_empty());
    assert!(notices("parent_optimizer: true\nparent: null\n").is_empty());
}

#[test]
fn alpha_follows_the_rank_and_micro_batches_the_global_batch() {
    let loaded = with("lora_rank: 5\nbatch_size: 6\ngradient_accumulation_steps: 4\n").unwrap();
    assert_eq!(
        (loaded.config.lora_alpha, loaded.config.micro_batch_size),
        (10.0, 3)
    );
    assert_eq!(loaded.origins["lora_alpha"], "derived from lora_rank");
    for (batch, accumulation, micro) in [(1, 1, 1), (8, 1, 1), (17, 1, 2), (2, 64, 2), (16, 2, 4)] {
        let lines = format!("batch_size: {batch}\ngradient_accumulation_steps: {accumulation}\n");
        assert_eq!(
            with(&lines).unwrap().config.micro_batch_size,
            micro,
            "{batch}x{accumulation}"
        );
    }
}

#[test]
fn target_modules_are_a_list_a_name_or_all() {
    let names = |text: &str| with(&format!("target_modules: {text}\n")).unwrap();
    let list = |names: &[&str]| {
        TargetModules::Names(names.iter().map(|name| (*name).to_owned()).collect())
    };
    assert_eq!(
        names("[v_proj, q_proj, v_proj]").config.target_modules,
        list(&["q_proj", "v_proj"])
    );
    assert_eq!(names("o_proj").config.target_modules, list(&["o_proj"]));
    assert_eq!(
        names("all-linear").config.target_modules,
        TargetModules::AllLinear
    );
    assert_eq!(
        names("\n  - q_proj\n  - mlp.up_proj").config.target_modules,
        list(&["mlp.up_proj", "q_proj"])
    );
}

#[test]
fn nothing_is_written_empty_null_or_not_at_all() {
    for text in [
        "metadata_path:\n",
        "metadata_path: ''\n",
        "metadata_path: null\n",
        "metadata_path: ~\n",
    ] {
        assert_eq!(with(text).unwrap().config, minimal(), "{text}");
    }
    assert_eq!(
        with("max_steps: -1\nsave_total_limit:\n").unwrap().config,
        minimal()
    );
}

#[test]
fn relative_paths_start_from_the_folder_of_the_command_and_become_absolute() {
    let config = load_text(
        "train_data_dir: ./data/./law\nbase_model: /models/base\noutput_dir: ../out/\nparent: a\nresume_from_checkpoint: out/checkpoint-5\n",
        &[],
    )
    .unwrap()
    .config;
    assert_eq!(config.train_data_dir, PathBuf::from("/start/data/law"));
    assert_eq!(config.train_data_dir.to_str(), Some("/start/data/law"));
    assert_eq!(config.base_model.to_str(), Some("/models/base"));
    assert_eq!(config.output_dir.to_str(), Some("/start/../out"));
    assert_eq!(config.parent, Some("/start/a".into()));
    let first = with("init_adapter: ./b\n").unwrap().config;
    assert_eq!(first.init_adapter, Some("/start/b".into()));
    assert_eq!(
        config.resume_from_checkpoint.as_deref(),
        Some("/start/out/checkpoint-5")
    );
    let latest = with("resume_from_checkpoint: latest\n").unwrap().config;
    assert_eq!(latest.resume_from_checkpoint.as_deref(), Some("latest"));
}

#[test]
fn set_holds_over_the_file_and_the_last_set_over_the_first() {
    let text = format!("{MINIMAL}lora_rank: 4\nseed: 1\n");
    let set = [
        "lora_rank=32",
        "lora_rank=64",
        "target_modules=[q_proj,k_proj]",
        "metadata_path=",
    ];
    let loaded = load_text(&text, &set).unwrap();
    assert_eq!((loaded.config.lora_rank, loaded.config.seed), (64, 1));
    assert_eq!(loaded.origins["lora_rank"], "--set");
    assert_eq!(loaded.origins["seed"], "run.yaml:5");
    assert_eq!(loaded.origins["epochs"], "default");
    assert_eq!(loaded.origins.len(), super::super::keys::keys().count());
    let modules = TargetModules::Names(vec!["k_proj".into(), "q_proj".into()]);
    assert_eq!(loaded.config.target_modules, modules);
}

#[test]
fn set_can_supply_a_required_key_and_repair_a_bad_value() {
    let set = [
        "output_dir=o",
        "lora_rank=8",
        "device=cuda:1",
        "base_model=/a=b",
    ];
    let loaded = load_text("train_data_dir: d\nlora_rank: many\n", &set).unwrap();
    assert_eq!(loaded.config.base_model.to_str(), Some("/a=b"));
    assert_eq!(loaded.config.device, "cuda:1");
}

#[test]
fn byte_order_mark_carriage_returns_and_json_are_read() {
    let text = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
    assert_eq!(load_text(&text, &[]).unwrap().config, minimal());
    let json = r#"{"train_data_dir": "data", "base_model": "base", "output_dir": "out"}"#;
    assert_eq!(load_text(json, &[]).unwrap().config, minimal());
}

#[test]
fn unusual_values_are_mentioned_and_allowed() {
    let notices = with("learning_rate: 0.01\nlora_rank: 128\nmax_steps: 5\nepochs: 2\nwarmup_steps: 3\nwarmup_ratio: 0.1\nlr_scheduler_type: constant\nmin_workers: 9\npacking: true\n")
        .unwrap()
        .notices;
    insta::assert_snapshot!(notices.join("\n"), @r#"
        learning_rate 0.01 is outside 1e-5..3e-4, where most adapters are trained; small data and models can need more
        lora_rank 128 is outside 4..64, where most adapters lie
        max_steps 5 decides the length; epochs 2 is not used
        warmup_steps 3 decides the warm-up; warmup_ratio 0.1 is not used
        lr_scheduler_type constant has no warm-up; constant_with_warmup has
        min_workers 9 is more than the 4 micro-batches of a step: some will idle; a larger batch_size or a smaller micro_batch_size would use them
        packing changes nothing: micro_batch_size is 1, and one sample alone has no padding
        "#);
    assert!(with("max_steps: 5\n").unwrap().notices.is_empty());
}
