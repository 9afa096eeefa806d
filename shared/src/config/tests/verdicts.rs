//! What decides the adapter is in the identity, and nothing else: each key alone is turned.

use std::collections::{BTreeMap, BTreeSet};

use super::super::keys::keys;
use super::super::*;
use super::load_text;

/// A key, a value away from its default, another value, and what of the identity differs then.
type Turn = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// LoRA in fp16 that goes on from a parent and may stop early.
#[rustfmt::skip]
const LORA: &[Turn] = &[
    ("train_data_dir", "d", "e", &[]),
    ("base_model", "m", "n", &[]),
    ("task_type", "text-generation", "text-generation", &[]),
    ("output_dir", "o", "p", &[]),
    ("lora_rank", "16", "8", &["lora_rank"]),
    ("lora_alpha", "24", "48", &["lora_alpha"]),
    ("lora_dropout", "0.1", "0", &["lora_dropout"]),
    ("target_modules", "[o_proj]", "all-linear", &["target_modules"]),
    ("use_rslora", "true", "false", &["use_rslora"]),
    ("use_dora", "true", "false", &["use_dora"]),
    ("init_lora_weights", "gaussian", "default", &["init_lora_weights"]),
    ("rank_pattern", "['o_proj=4']", "[]", &["rank_pattern"]),
    ("alpha_pattern", "['o_proj=4']", "[]", &["alpha_pattern"]),
    ("layers_to_transform", "[0, 2]", "null", &["layers_to_transform"]),
    ("modules_to_save", "[lm_head]", "[]", &["modules_to_save"]),
    ("bias", "lora_only", "none", &["bias"]),
    ("loraplus_lr_ratio", "16", "1", &["loraplus_lr_embedding", "loraplus_lr_ratio"]),
    ("loraplus_lr_embedding", "1e-5", "1e-6", &["loraplus_lr_embedding"]),
    ("feedforward_modules", "[down_proj]", "null", &["feedforward_modules"]),
    ("parent", "r", "s", &[]),
    ("parent_optimizer", "false", "true", &["parent_optimizer"]),
    ("batch_size", "8", "4", &["batch_size"]),
    ("gradient_accumulation_steps", "2", "1", &["gradient_accumulation_steps"]),
    ("micro_batch_size", "2", "4", &["micro_batch_size"]),
    ("epochs", "5", "3", &["epochs"]),
    ("max_steps", "100", "null", &["max_steps"]),
    ("learning_rate", "1e-4", "2e-4", &["learning_rate"]),
    ("lr_scheduler_type", "cosine", "linear", &["lr_scheduler_type"]),
    ("warmup_steps", "10", "0", &["warmup_steps"]),
    ("warmup_ratio", "0.1", "0", &["warmup_ratio"]),
    ("weight_decay", "0.01", "0", &["weight_decay"]),
    ("max_grad_norm", "0.5", "1", &["max_grad_norm"]),
    ("seed", "7", "42", &["seed"]),
    ("fp16", "true", "false", &["fp16", "initial_loss_scale"]),
    ("quantization", "nf4", "int8", &["quantization", "quantization_double"]),
    ("quantization_double", "false", "true", &["quantization_double"]),
    ("activation_checkpointing", "'on'", "auto", &[]),
    ("on_non_finite", "fail", "skip", &[]),
    ("max_skipped_steps", "50", "10", &[]),
    ("initial_loss_scale", "1024", "65536", &["initial_loss_scale"]),
    ("max_seq_length", "512", "2048", &["max_seq_length"]),
    ("overflow", "drop", "truncate", &["overflow"]),
    ("device", "cpu", "auto", &[]),
    ("save_steps", "50", "500", &[]),
    ("save_total_limit", "3", "null", &[]),
    ("logging_steps", "10", "1", &[]),
    ("validation_dir", "v", "null", &[]),
    ("eval_steps", "50", "null", &["eval_steps"]),
    ("early_stopping_patience", "3", "null",
        &["early_stopping_patience", "early_stopping_threshold", "eval_steps"]),
    ("early_stopping_threshold", "0.01", "0", &["early_stopping_threshold"]),
    ("eval_prompts", "['a question']", "[]", &[]),
    ("eval_max_new_tokens", "64", "128", &[]),
    ("group_by_length", "true", "false", &["group_by_length"]),
    ("packing", "true", "false", &["packing"]),
    ("loss_on", "last", "response", &["loss_on"]),
    ("resume_from_checkpoint", "latest", "null", &[]),
    ("min_workers", "2", "1", &[]),
    ("max_workers", "16", "null", &[]),
    ("failure_detection", "2", "8", &[]),
    ("ride_through", "300", "60", &[]),
    ("device_class", "strict", "mixed", &[]),
    ("audit_rate", "0.01", "0", &[]),
    ("dialogue", "blocks", "turns", &[]),
    ("privacy", "mask", "'off'", &[]),
    ("privacy_kinds", "[ids]", "null", &[]),
    ("privacy_rules", "['A=x']", "[]", &[]),
    ("data_sources", "['a=3']", "[]", &[]),
    ("data_mixing", "subsample", "repeat", &[]),
    ("data_encoding", "gb18030", "utf-8", &[]),
    ("data_sheets", "[Questions]", "[]", &[]),
    ("columns", "['question=q']", "[]", &[]),
    ("special_tokens_in_text", "keep", "plain", &[]),
    ("roles", "['user=u']", "[]", &[]),
    ("preference", "chosen", "refuse", &[]),
    ("data_form", "text", "auto", &[]),
];

/// IA3 in bf16 with what does not go with the other one, and what decides only there.
#[rustfmt::skip]
const IA3: &[Turn] = &[
    ("train_data_dir", "d", "e", &[]),
    ("metadata_path", "t.csv", "null", &[]),
    ("base_model", "m", "n", &[]),
    ("output_dir", "o", "p", &[]),
    ("adapter_type", "ia3", "lora", &["adapter_type"]),
    ("target_modules", "[k_proj]", "[v_proj]", &["target_modules"]),
    ("loraplus_lr_embedding", "1e-5", "1e-6", &[]),
    ("init_adapter", "i", "null", &[]),
    ("parent_optimizer", "false", "true", &[]),
    ("bf16", "true", "false", &["bf16"]),
    ("quantization_double", "false", "true", &[]),
    ("initial_loss_scale", "1024", "65536", &[]),
    ("validation_split", "0.1", "0", &[]),
    ("eval_steps", "50", "null", &[]),
    ("early_stopping_threshold", "0.01", "0", &[]),
    ("shuffle", "false", "true", &["shuffle"]),
    ("train_on_inputs", "true", "false", &["train_on_inputs"]),
    ("csv_columns", "[q, a]", "null", &[]),
];

/// The configuration of these turns, with one of them turned.
fn turned(turns: &[Turn], which: Option<&str>) -> RunConfig {
    let line = |(key, value, other, _): &Turn| {
        let value = if which == Some(*key) { other } else { value };
        format!("{key}: {value}\n")
    };
    let text: String = turns.iter().map(line).collect();
    let loaded = load_text(&text, &[]);
    loaded
        .unwrap_or_else(|error| panic!("{which:?} {}", crate::error::render(&error)))
        .config
}

fn differing(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = |key: &&&String| old.get(**key) != new.get(**key);
    keys.iter()
        .filter(differ)
        .map(|key| (*key).clone())
        .collect()
}

#[test]
fn each_key_turned_alone_changes_of_the_identity_what_its_verdict_says() {
    for turns in [LORA, IA3] {
        let before = turned(turns, None);
        for (key, value, other, expected) in turns {
            let after = turned(turns, Some(key));
            let found = differing(&identity_fields(&before), &identity_fields(&after));
            assert_eq!(found, *expected, "{key}: {value}, then {other}");
        }
    }
}

#[test]
fn the_turns_have_every_key_away_from_its_default() {
    let defaults: BTreeMap<_, _> = values(&super::minimal()).into_iter().collect();
    let mut away = BTreeSet::from(["task_type"]);
    for turns in [LORA, IA3] {
        let values = values(&turned(turns, None)).into_iter();
        away.extend(
            values
                .filter(|(key, v)| defaults[key] != *v)
                .map(|(key, _)| key),
        );
    }
    let all: BTreeSet<_> = keys().map(|key| key.name).collect();
    assert_eq!(away, all);
}

fn identity(config: &RunConfig) -> String {
    serde_json::to_string_pretty(&identity_fields(config)).unwrap()
}

#[test]
fn the_identity_of_the_defaults_is_written_as_ever() {
    insta::assert_snapshot!(identity(&super::minimal()), @r#"
    {
      "batch_size": "4",
      "bf16": "false",
      "epochs": "3",
      "fp16": "false",
      "gradient_accumulation_steps": "1",
      "learning_rate": "0.0002",
      "lora_alpha": "16",
      "lora_dropout": "0",
      "lora_rank": "8",
      "lr_scheduler_type": "linear",
      "max_grad_norm": "1",
      "max_seq_length": "2048",
      "max_steps": "null",
      "micro_batch_size": "1",
      "overflow": "truncate",
      "seed": "42",
      "shuffle": "true",
      "target_modules": "[q_proj, v_proj]",
      "task_type": "text-generation",
      "train_on_inputs": "false",
      "use_rslora": "false",
      "warmup_ratio": "0",
      "warmup_steps": "0",
      "weight_decay": "0"
    }
    "#);
}

#[test]
fn the_identity_of_lora_is_written_as_ever() {
    insta::assert_snapshot!(identity(&turned(LORA, None)), @r#"
    {
      "alpha_pattern": "[\"o_proj=4\"]",
      "batch_size": "8",
      "bf16": "false",
      "bias": "lora_only",
      "early_stopping_patience": "3",
      "early_stopping_threshold": "0.01",
      "epochs": "5",
      "eval_steps": "50",
      "feedforward_modules": "[down_proj]",
      "fp16": "true",
      "gradient_accumulation_steps": "2",
      "group_by_length": "true",
      "init_lora_weights": "gaussian",
      "initial_loss_scale": "1024",
      "layers_to_transform": "[0, 2]",
      "learning_rate": "0.0001",
      "lora_alpha": "24",
      "lora_dropout": "0.1",
      "lora_rank": "16",
      "loraplus_lr_embedding": "1.0e-5",
      "loraplus_lr_ratio": "16",
      "loss_on": "last",
      "lr_scheduler_type": "cosine",
      "max_grad_norm": "0.5",
      "max_seq_length": "512",
      "max_steps": "100",
      "micro_batch_size": "2",
      "modules_to_save": "[lm_head]",
      "overflow": "drop",
      "packing": "true",
      "parent_optimizer": "false",
      "quantization": "nf4",
      "quantization_double": "false",
      "rank_pattern": "[\"o_proj=4\"]",
      "seed": "7",
      "shuffle": "true",
      "target_modules": "[o_proj]",
      "task_type": "text-generation",
      "train_on_inputs": "false",
      "use_dora": "true",
      "use_rslora": "true",
      "warmup_ratio": "0.1",
      "warmup_steps": "10",
      "weight_decay": "0.01"
    }
    "#);
}

#[test]
fn the_identity_of_ia3_is_written_as_ever() {
    insta::assert_snapshot!(identity(&turned(IA3, None)), @r#"
    {
      "adapter_type": "ia3",
      "batch_size": "4",
      "bf16": "true",
      "epochs": "3",
      "fp16": "false",
      "gradient_accumulation_steps": "1",
      "learning_rate": "0.0002",
      "lora_alpha": "16",
      "lora_dropout": "0",
      "lora_rank": "8",
      "lr_scheduler_type": "linear",
      "max_grad_norm": "1",
      "max_seq_length": "2048",
      "max_steps": "null",
      "micro_batch_size": "1",
      "overflow": "truncate",
      "seed": "42",
      "shuffle": "false",
      "target_modules": "[k_proj]",
      "task_type": "text-generation",
      "train_on_inputs": "true",
      "use_rslora": "false",
      "warmup_ratio": "0",
      "warmup_steps": "0",
      "weight_decay": "0"
    }
    "#);
}

/// Values away from their defaults that are not in the identity, as `resolved.yaml` has them.
#[test]
fn what_does_not_decide_is_written_as_ever() {
    let defaults: BTreeMap<_, _> = values(&super::minimal()).into_iter().collect();
    let beside = |turns| {
        let config = turned(turns, None);
        let identity = identity_fields(&config);
        let beside =
            |(key, value): &(&str, String)| !identity.contains_key(*key) && defaults[key] != *value;
        let lines = values(&config).into_iter().filter(beside);
        let lines: Vec<String> = lines
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(beside(LORA), @r#"
    train_data_dir: /start/d
    base_model: /start/m
    output_dir: /start/o
    parent: /start/r
    activation_checkpointing: "on"
    on_non_finite: fail
    max_skipped_steps: 50
    device: cpu
    save_steps: 50
    save_total_limit: 3
    logging_steps: 10
    validation_dir: /start/v
    eval_prompts: ["a question"]
    eval_max_new_tokens: 64
    resume_from_checkpoint: latest
    min_workers: 2
    max_workers: 16
    failure_detection: 2
    ride_through: 300
    device_class: strict
    audit_rate: 0.01
    dialogue: blocks
    privacy: mask
    privacy_kinds: [ids]
    privacy_rules: ["A=x"]
    data_sources: ["a=3"]
    data_mixing: subsample
    data_encoding: gb18030
    data_sheets: [Questions]
    columns: ["question=q"]
    special_tokens_in_text: keep
    roles: ["user=u"]
    preference: chosen
    data_form: text
    "#);
    insta::assert_snapshot!(beside(IA3), @"
    train_data_dir: /start/d
    metadata_path: /start/t.csv
    base_model: /start/m
    output_dir: /start/o
    loraplus_lr_embedding: 1.0e-5
    init_adapter: /start/i
    parent_optimizer: false
    quantization_double: false
    initial_loss_scale: 1024
    validation_split: 0.1
    eval_steps: 50
    early_stopping_threshold: 0.01
    loss_on: all
    csv_columns: [q, a]
    ");
}
