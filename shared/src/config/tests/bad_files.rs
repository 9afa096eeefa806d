//! Files that are not YAML, not there, or not text.

use std::path::Path;

use super::super::load;
use super::{bad, load_text, said, shown, with};
use crate::error::Code;

bad! {
    a_tab_is_no_indentation: said("target_modules:\n\t- q_proj\n") => @r#"
        E0106 this line is no `key: value`: a tab stands before the line; YAML is indented with blanks only
          at run.yaml:5:1
           5 |     - q_proj
             | ^^^^
          nothing was started
          fix: write `  - q_proj`
        "#;
    an_open_list: said("target_modules: [q_proj, v_proj\n") => @r#"
        E0106 this is not YAML: unclosed bracket '['
          at run.yaml:4:17
           4 | target_modules: [q_proj, v_proj
             |                 ^
          nothing was started
          fix: write one `key: value` per line; put text that holds `: ` or ` #` in quotes
        "#;
    a_colon_inside_a_value: said("base: a: b\n") => @r#"
        E0106 this is not YAML: mapping values are not allowed in this context
          at run.yaml:4:8
           4 | base: a: b
             |        ^
          nothing was started
          fix: write one `key: value` per line; put text that holds `: ` or ` #` in quotes
        "#;
    an_open_quote: said("device: \"cpu\nseed: 1\n") => @r#"
        E0106 this is not YAML: unclosed quote
          at run.yaml:4:9
           4 | device: "cpu
             |         ^
          nothing was started
          fix: write one `key: value` per line; put text that holds `: ` or ` #` in quotes
        "#;
    two_documents: said("---\nseed: 1\n") => @r#"
        E0106 more than one YAML document
          at run.yaml:5:1
           5 | seed: 1
             | ^
          nothing was started
          fix: keep one document: remove the `---` line and what follows it
        "#;
    a_file_without_keys: shown(load_text("lora_rank:16\n", &[]).unwrap_err()) => @r#"
        E0106 this line is no `key: value`: a blank is missing behind the colon of a key
          at run.yaml:1:10
           1 | lora_rank:16
             |          ^
          nothing was started
          fix: write `lora_rank: 16`
        "#;
    a_list_at_the_top: shown(load_text("- lora_rank\n", &[]).unwrap_err()) => @r#"
        E0106 expected lines of `key: value`, got a list of 1
          at run.yaml:1:1
           1 | - lora_rank
             | ^
          nothing was started
          fix: write one `key: value` per line, as in `lora_rank: 16`
        "#;
}

#[test]
fn a_missing_configuration_file() {
    let error = load(Path::new("no/such.yaml"), &[], Path::new("/start")).unwrap_err();
    insta::assert_snapshot!(shown(error), @r#"
        E0108 no such configuration file
          at no/such.yaml
          looked for it from /start
          fix: name an existing file, such as `--config configs/quickstart.yaml`
        "#);
}

#[test]
fn a_folder_instead_of_a_configuration_file() {
    let error = load(Path::new("/"), &[], Path::new("/start")).unwrap_err();
    insta::assert_snapshot!(shown(error), @r#"
        E0108 the configuration is a folder, not a file
          at /
          fix: name a file, such as `--config configs/quickstart.yaml`
        "#);
}

#[test]
fn a_configuration_that_is_not_utf8_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("run.yaml"),
        b"lora_rank: 8\nbase_model: \xff\n",
    )
    .unwrap();
    let error = load(Path::new("run.yaml"), &[], folder.path()).unwrap_err();
    insta::assert_snapshot!(shown(error), @r#"
        E0106 the configuration file is not UTF-8
          at run.yaml:2
          fix: save it as UTF-8
        "#);
}

#[test]
fn every_problem_has_a_place_and_a_remedy() {
    let error = with("batch_size: 0\nlora_rnak: 16\nbf16: yes\nfp16: maybe\n5: x\n").unwrap_err();
    assert_eq!(error.code, Code::OutOfRange);
    assert_eq!(error.also.len(), 4);
    for error in error.also.iter().chain([&error]) {
        assert!(
            error
                .place
                .as_ref()
                .is_some_and(|place| place.line.is_some()),
            "{error}"
        );
        assert!(!error.fix.is_empty(), "{error}");
    }
}
