//! Mistakes in the data.

use crate::scene::{Scene, refused};

const DATA: i32 = 3;

const HERE: &[(&str, &str)] = &[("train_data_dir", "data")];

#[test]
fn empty_data_is_refused() {
    let scene = Scene::new();
    scene.data("train.txt", b"\n\n");
    refused!(scene.up(HERE, &[]), DATA);
}

#[test]
fn text_that_is_not_utf8_is_shown_where_it_breaks() {
    let scene = Scene::new();
    scene.data(
        "train.txt",
        "用户：你好\n律师：\u{0}".as_bytes().split_last().unwrap().1,
    );
    scene.data(
        "train.txt",
        b"\xe7\x94\xa8\xe6\x88\xb7: hi\nlawyer: \xff\xfe\n",
    );
    refused!(scene.up(HERE, &[]), DATA);
}

#[test]
fn a_dialogue_without_roles_shows_its_first_lines() {
    let scene = Scene::new();
    scene.data(
        "train.txt",
        "合同需要书面形式吗\n依据民法典，可以口头订立。\n".as_bytes(),
    );
    refused!(scene.up(HERE, &[]), DATA);
}

#[test]
fn a_malformed_json_line_is_shown_with_line_and_column() {
    let scene = Scene::new();
    let good = r#"{"instruction": "a", "input": "", "output": "b"}"#;
    let bad = r#"{"instruction": "a", "output" "b"}"#;
    scene.data("train.jsonl", format!("{good}\n{bad}\n").as_bytes());
    refused!(scene.up(HERE, &[]), DATA);
}

#[test]
fn rows_without_a_target_are_listed() {
    let scene = Scene::new();
    let long = "很长的问题".repeat(80);
    scene.data(
        "train.txt",
        format!("用户：{long}\n律师：好。\n用户：短\n律师：好。\n").as_bytes(),
    );
    refused!(
        scene.up(&[("train_data_dir", "data"), ("max_seq_length", "64")], &[]),
        DATA
    );
}
