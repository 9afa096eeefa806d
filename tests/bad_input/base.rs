//! Mistakes in the base model's folder.

use crate::scene::{Scene, refused};

const CONFIG: i32 = 2;

#[test]
fn an_unsupported_architecture_lists_the_supported_ones() {
    let scene = Scene::new();
    let file = scene.base().join("config.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("LlamaForCausalLM", "GPT2LMHeadModel")).unwrap();
    refused!(scene.up(&[("base_model", "base")], &[]), CONFIG);
}

#[test]
fn a_base_without_tokenizer_names_the_files_looked_for() {
    let scene = Scene::new();
    std::fs::remove_file(scene.base().join("tokenizer.json")).unwrap();
    refused!(scene.up(&[("base_model", "base")], &[]), CONFIG);
}

#[test]
fn a_broken_safetensors_header_is_refused() {
    let scene = Scene::new();
    std::fs::write(scene.base().join("model.safetensors"), [9u8; 64]).unwrap();
    refused!(scene.up(&[("base_model", "base")], &[]), CONFIG);
}

#[test]
fn a_missing_shard_is_named() {
    let scene = Scene::new();
    let base = scene.base();
    std::fs::remove_file(base.join("model.safetensors")).unwrap();
    let index = r#"{"metadata": {}, "weight_map": {
        "model.embed_tokens.weight": "model-00001-of-00002.safetensors",
        "model.norm.weight": "model-00002-of-00002.safetensors"}}"#;
    std::fs::write(base.join("model.safetensors.index.json"), index).unwrap();
    refused!(scene.up(&[("base_model", "base")], &[]), CONFIG);
}

#[test]
fn target_modules_that_match_nothing_show_what_exists() {
    refused!(
        Scene::new().up(&[("target_modules", "[query, value]")], &[]),
        CONFIG
    );
}

#[test]
fn a_rank_larger_than_the_matrix_is_refused() {
    refused!(Scene::new().up(&[("lora_rank", "300")], &[]), CONFIG);
}
