//! What people type and cannot see: characters that look like others, `None`, paths of other systems.
//!
//! Each remedy that names a line is written into the file, which must then load.

use std::path::Path;

use super::super::{Loaded, check_paths, load_text};
use super::MINIMAL;
use crate::error::{Error, Result, render};

fn load(lines: &str) -> Result<Loaded> {
    load_text(
        "run.yaml",
        &format!("{MINIMAL}{lines}"),
        Path::new("/start"),
    )
}

fn all(error: &Error) -> Vec<&Error> {
    let mut found = vec![error];
    found.extend(error.also.iter().flat_map(all));
    found
}

/// The remedies of an error that are lines to write, each in place of the line that it is about.
fn remedied(lines: &str) -> (String, String) {
    let error = load(lines).unwrap_err();
    let shown = render(&error);
    let mut text: Vec<String> = format!("{MINIMAL}{lines}")
        .lines()
        .map(str::to_owned)
        .collect();
    for error in all(&error) {
        let line = error.place.as_ref().and_then(|place| place.line).unwrap();
        let fix = error.fix.iter().find_map(|fix| fix.strip_prefix("write `"));
        let fix = fix.unwrap_or_else(|| panic!("{shown}"));
        text[line as usize - 1] = fix.split_once('`').unwrap().0.to_owned();
    }
    (shown, text.join("\n"))
}

#[test]
fn each_line_is_told_with_what_is_to_be_seen_and_its_remedy_loads() {
    for (lines, says) in [
        (
            "lora_rank：16\nepochs：3\n",
            "`：` (U+FF1A) is not the colon",
        ),
        ("lora_rank:\u{a0}16\n", "U+00A0 behind the colon"),
        ("lora_rank:16\nepochs: 2\n", "a blank is missing"),
        ("\tlora_rank: 16\n", "a tab stands before the line"),
        (
            "target_modules:\n\t- q_proj\n",
            "a tab stands before the line",
        ),
        ("lora_rank\u{200b}：16\n", r"lora_rank\u{200b}"),
        ("init_adapter: \"D:\\law\"\n", r"`\l` in double quotes"),
        ("lora_rank: １６\n", "`１` (U+FF11), which is not `1`"),
        ("lora_rank: 16\u{200b}\n", r"`16\u{200b}`"),
        ("learning_rate: 1e−4\n", "`−` (U+2212), which is not `-`"),
        ("lora_dropout: 0．1\n", "`．` (U+FF0E), which is not `.`"),
        ("lr_scheduler_type: “cosine”\n", "`“` (U+201C)"),
        ("target_modules: [q_proj， v_proj]\n", "U+FF0C"),
        ("shuffle: true\u{200b}\n", "U+200B, which cannot be seen"),
        ("max_steps: None\n", "nothing is `null` in YAML"),
        ("max_steps: nil\n", "nothing is `null` in YAML"),
        (
            "validation_dir: None\ninit_adapter: none\n",
            "nothing is `null` in YAML",
        ),
        (
            "resume_from_checkpoint: None\n",
            "nothing is `null` in YAML",
        ),
        ("csv_columns: None\n", "nothing is `null` in YAML"),
    ] {
        let (shown, text) = remedied(lines);
        assert!(shown.contains(says), "{lines}\n{shown}");
        let again = load_text("run.yaml", &text, Path::new("/start"));
        assert!(
            again.is_ok(),
            "{shown}\n{text}\n{}",
            render(&again.unwrap_err())
        );
    }
}

#[test]
fn every_line_of_a_file_with_another_colon_is_told() {
    let shown = render(&load("lora_rank：16\nepochs：3\n").unwrap_err());
    insta::assert_snapshot!(shown, @r#"
    E0106 this line is no `key: value`: `：` (U+FF1A) is not the colon `:` behind a key
      at run.yaml:4:10
       4 | lora_rank：16
         |          ^^
      nothing was started
      fix: write `lora_rank: 16`

    E0106 this line is no `key: value`: `：` (U+FF1A) is not the colon `:` behind a key
      at run.yaml:5:7
       5 | epochs：3
         |       ^^
      fix: write `epochs: 3`
    "#);
}

#[test]
fn a_key_with_what_cannot_be_seen_is_shown_with_it() {
    let shown = render(&load("lora_rank\u{200b}: 16\n").unwrap_err());
    insta::assert_snapshot!(shown, @r#"
    E0102 unknown key `lora_rank\u{200b}`
      at run.yaml:4:1
       4 | lora_rank\u{200b}: 16
         | ^^^^^^^^^^^^^^^^^
      it holds U+200B, which cannot be seen
      without it `lora_rank` would be its default, 8
      nothing was started
      fix: write `lora_rank` anew, without that character
    "#);
}

#[test]
fn a_value_that_looks_right_and_is_wrong_otherwise_is_told_both() {
    let shown = render(&load("lora_rank: ９９９９９９\n").unwrap_err());
    assert!(shown.contains("which is not `9`"), "{shown}");
    assert!(!shown.contains("write `lora_rank: 999999`"), "{shown}");
}

#[test]
fn a_path_with_what_cannot_be_seen_is_shown_with_it() {
    let loaded = load("validation_dir: data\u{200b}\nmetadata_path: ‘m.csv’\n").unwrap();
    let shown = render(&check_paths(&loaded.config).unwrap_err());
    assert!(shown.contains(r"/start/data\u{200b}"), "{shown}");
    assert!(
        shown.contains("it holds U+200B, which cannot be seen"),
        "{shown}"
    );
    assert!(
        shown.contains("the quote `‘` (U+2018) is part of the path"),
        "{shown}"
    );
}

#[test]
fn an_output_folder_that_nobody_meant_is_refused() {
    for (written, says) in [
        ("out\u{200b}", "U+200B"),
        ("“out”", "the quote"),
        ("$HOME/out", "`$HOME` is not expanded"),
        ("~/out", "`~` is not expanded"),
        (r"D:\law\out", "a path of Windows"),
    ] {
        let text = format!("train_data_dir: /\nbase_model: /\noutput_dir: {written}\n");
        let loaded = load_text("run.yaml", &text, Path::new("/start")).unwrap();
        let shown = render(&check_paths(&loaded.config).unwrap_err());
        assert!(shown.starts_with("E0104 `output_dir` is hardly"), "{shown}");
        assert!(
            shown.contains(says) && shown.contains("fix: "),
            "{written}: {shown}"
        );
    }
    let text = "train_data_dir: /\nbase_model: /\noutput_dir: 输出/法律：一\n";
    let loaded = load_text("run.yaml", text, Path::new("/start")).unwrap();
    assert!(check_paths(&loaded.config).is_ok());
}

#[test]
fn remedies_for_set_are_settings() {
    for (set, fix) in [
        ("lora_rank=１６", "fix: --set lora_rank=16"),
        ("lora_rank：16", "fix: --set lora_rank=16"),
        ("lora_rank:16", "fix: --set lora_rank=16"),
        ("max_steps=None", "fix: --set max_steps=null"),
        ("lora_rank=None", "fix: leave it out, or --set lora_rank=16"),
    ] {
        let shown = super::said_of_set(&[set]);
        assert!(shown.contains(fix), "{shown}");
    }
}

#[test]
fn a_comma_that_may_stand_for_thousands_is_not_guessed() {
    for lines in [
        "batch_size: 1,000\n",
        "lora_alpha: 1,000\n",
        "lora_rank: 1,5\n",
    ] {
        let shown = render(&load(lines).unwrap_err());
        assert!(!shown.contains("sign of decimals"), "{shown}");
    }
    let shown = render(&load("warmup_ratio: 0,125\n").unwrap_err());
    assert!(shown.contains("write 0.125:"), "{shown}");
}
