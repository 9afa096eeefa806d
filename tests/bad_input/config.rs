//! Mistakes in the configuration and on the command line.

use crate::scene::{Scene, refused};

const CONFIG: i32 = 2;

#[test]
fn a_missing_key_is_named() {
    let scene = Scene::new();
    let file = scene.path().join("run.yaml");
    std::fs::write(&file, "lora_rank: 8\noutput_dir: out\n").unwrap();
    refused!(scene.up_file(&file, &[]), CONFIG);
}

#[test]
fn a_misspelt_key_is_shown_with_the_nearest_one() {
    refused!(Scene::new().up(&[("lora_rnak", "16")], &[]), CONFIG);
}

#[test]
fn a_wrong_type_is_shown_where_it_stands() {
    refused!(Scene::new().up(&[("epochs", "many")], &[]), CONFIG);
}

#[test]
fn a_missing_data_folder_is_named() {
    refused!(
        Scene::new().up(&[("train_data_dir", "nowhere")], &[]),
        CONFIG
    );
}

#[test]
fn a_missing_base_model_is_named() {
    refused!(Scene::new().up(&[("base_model", "nowhere")], &[]), CONFIG);
}

#[test]
fn fp16_and_bf16_contradict_each_other() {
    refused!(
        Scene::new().up(&[("fp16", "true"), ("bf16", "true")], &[]),
        CONFIG
    );
}

#[test]
fn an_override_with_an_unknown_key_is_refused() {
    refused!(
        Scene::new().up(&[], &["--set", "learning_rat=1e-3"]),
        CONFIG
    );
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let scene = Scene::new();
    std::fs::write(scene.path().join("file"), "").unwrap();
    refused!(scene.up(&[("output_dir", "file/out")], &[]), CONFIG);
}

#[test]
fn a_listener_beyond_this_machine_is_refused() {
    refused!(Scene::new().up(&[], &["--listen", "0.0.0.0:0"]), CONFIG);
}
