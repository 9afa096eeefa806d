//! Files of other tools with names of their own: the imported YAML reads the samples that the other tool reads.
//!
//! Each case is a folder with data, imported, loaded and read to its samples.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use coordinator::data::{self, DataConfig};
use coordinator::import::{Imported, Outcome, convert};
use shared::config;
use shared::error::{Code, Error, render};

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self { folder }
    }

    fn cwd(&self) -> &Path {
        self.folder.path()
    }

    fn import(&self, text: &str) -> Imported {
        convert("theirs.yaml", text, None, self.cwd())
            .unwrap_or_else(|error| panic!("{}", render(&error)))
    }

    fn refused(&self, text: &str) -> Error {
        convert("theirs.yaml", text, None, self.cwd()).unwrap_err()
    }

    /// The samples that the imported YAML reads, each as `role: text` turns.
    fn samples(&self, imported: &Imported) -> Vec<String> {
        let loaded = config::load_text("ours.yaml", &imported.yaml(), self.cwd())
            .unwrap_or_else(|error| panic!("{}\n{}", imported.yaml(), render(&error)));
        let mut found = Vec::new();
        data::masked(&DataConfig::from(&loaded.config), &mut |sample| {
            let turns = sample.messages.iter();
            let turns: Vec<String> = turns
                .map(|m| format!("{}: {}", m.role, m.content))
                .collect();
            found.push(turns.join(" | "));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{}\n{}", imported.yaml(), render(&error)));
        found
    }
}

/// A file of LLaMA-Factory that trains these data sets, then these lines.
fn factory(dataset: &str, lines: &str) -> String {
    format!("model_name_or_path: m\nstage: sft\nfinetuning_type: lora\ndataset: {dataset}\n{lines}")
}

/// A file of Axolotl with this block of `datasets`.
fn axolotl(datasets: &str) -> String {
    format!("base_model: m\nadapter: lora\nsequence_len: 512\ndatasets:\n{datasets}")
}

fn line(imported: &Imported, key: &str) -> Option<String> {
    let line = imported.lines.iter().find(|line| line.key == key);
    line.map(|line| line.value.clone())
}

/// What is said of a key or of a part of one.
fn said(imported: &Imported, key: &str) -> Vec<String> {
    let of = imported.remarks.iter().filter(|r| r.key == key);
    of.map(|r| format!("{:?}: {}; {}", r.outcome, r.why, r.instead))
        .collect()
}

const INFO: &str = r#"{
  "law": {"file_name": "law.json", "columns": {"prompt": "q", "response": "a"}},
  "plain": {"file_name": "plain.json"},
  "chat": {"file_name": "chat.json", "formatting": "sharegpt",
    "columns": {"messages": "dialog", "system": "sys"},
    "tags": {"role_tag": "who", "content_tag": "said", "user_tag": "甲", "assistant_tag": "乙"}},
  "openai": {"file_name": "openai.json", "formatting": "sharegpt", "columns": {"messages": "messages"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}},
  "pref": {"file_name": "law.json", "ranking": true, "columns": {"prompt": "q", "chosen": "a", "rejected": "bad"}},
  "kto": {"file_name": "law.json", "columns": {"prompt": "q", "response": "a", "kto_tag": "good"}},
  "more": {"file_name": "more.json", "columns": {"prompt": "q", "query": "ctx", "response": "a", "system": "sys", "history": "h"}},
  "extra": {"file_name": "extra.json", "columns": {"prompt": "question", "response": "answer", "images": "pics"}, "num_samples": 5}
}"#;

fn scene() -> Scene {
    Scene::new(&[
        ("data/dataset_info.json", INFO),
        (
            "data/law.json",
            r#"[{"q": "押金能退吗？", "a": "到期应当退还。", "bad": "不退", "good": true}]"#,
        ),
        (
            "data/plain.json",
            r#"[{"instruction": "i", "input": "x", "output": "o", "system": "not read", "history": [["h", "h"]]}]"#,
        ),
        (
            "data/chat.json",
            r#"[{"dialog": [{"who": "甲", "said": "能退吗？"}, {"who": "乙", "said": "应当退还。"}], "sys": "短答", "q": "no question"}]"#,
        ),
        (
            "data/openai.json",
            r#"[{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "b"}], "system": "not read"}]"#,
        ),
        (
            "data/more.json",
            r#"[{"q":"能退吗？","ctx":"租房押金","a":"应退。","sys":"短答","h":[["你好","您好，请说。"]]}]"#,
        ),
        (
            "data/extra.json",
            r#"[{"prompt": "not read", "question": "e", "answer": "f", "input": "not read", "system": "not read"}]"#,
        ),
    ])
}

#[test]
fn every_column_and_tag_of_dataset_info_is_read_and_no_other_field() {
    let scene = scene();
    for (name, expected) in [
        ("law", "user: 押金能退吗？ | assistant: 到期应当退还。"),
        ("plain", "user: i\nx | assistant: o"),
        (
            "chat",
            "system: 短答 | user: 能退吗？ | assistant: 应当退还。",
        ),
        ("openai", "user: u | assistant: b"),
        (
            "more",
            "system: 短答 | user: 你好 | assistant: 您好，请说。 | user: 能退吗？\n租房押金 | assistant: 应退。",
        ),
        ("extra", "user: e | assistant: f"),
    ] {
        let imported = scene.import(&factory(name, ""));
        assert_eq!(scene.samples(&imported), [expected], "{}", imported.yaml());
    }
}

#[test]
fn what_an_entry_says_and_nothing_here_does_is_listed() {
    let imported = scene().import(&factory("extra", ""));
    let said = said(&imported, "dataset").join("\n");
    assert!(said.contains("the column \"pics\" (`images`)"), "{said}");
    assert!(said.contains("`num_samples: 5`"), "{said}");
}

#[test]
fn several_data_sets_become_sources_that_are_read_whole() {
    let scene = scene();
    let imported = scene.import(&factory("law,chat", ""));
    assert_eq!(line(&imported, "train_data_dir").unwrap(), "data");
    assert_eq!(
        line(&imported, "data_sources").unwrap(),
        "[law.json, chat.json]"
    );
    assert_eq!(line(&imported, "data_mixing").unwrap(), "concatenate");
    // The dialogue has a field `q` too, and is a dialogue all the same: it has no answer `a`.
    assert_eq!(
        scene.samples(&imported),
        [
            "user: 押金能退吗？ | assistant: 到期应当退还。",
            "system: 短答 | user: 能退吗？ | assistant: 应当退还。",
        ]
    );
    let imported = scene.import(&factory("openai,more,plain", ""));
    assert_eq!(
        scene.samples(&imported),
        [
            "user: u | assistant: b",
            "system: 短答 | user: 你好 | assistant: 您好，请说。 | user: 能退吗？\n租房押金 | assistant: 应退。",
            "user: i\nx | assistant: o",
        ]
    );
}

#[test]
fn probabilities_become_weights() {
    let scene = scene();
    for (strategy, mixing) in [
        ("interleave_under", "subsample"),
        ("interleave_over", "repeat"),
        ("interleave_once", "concatenate"),
        ("concat", "concatenate"),
    ] {
        let lines = format!("mix_strategy: {strategy}\ninterleave_probs: 0.7,0.3\n");
        let imported = scene.import(&factory("law,more", &lines));
        assert_eq!(
            line(&imported, "data_mixing").unwrap(),
            mixing,
            "{strategy}"
        );
        let sources = line(&imported, "data_sources").unwrap();
        assert_eq!(sources, r#"["law.json=0.7", "more.json=0.3"]"#);
        assert_eq!(scene.samples(&imported).len(), 2, "{strategy}");
    }
    let lines = "mix_strategy: interleave_under\ninterleave_probs: 0.7\n";
    let error = scene.refused(&factory("law,more", lines));
    assert_eq!(
        (error.code, error.place.unwrap().line),
        (Code::OutOfRange, Some(6))
    );
    let alone = scene.import(&factory("law", lines));
    assert_eq!(line(&alone, "data_mixing"), None);
}

#[test]
fn preferences_and_pretraining_are_named_and_refused() {
    let scene = scene();
    let lines = |text: String| render(&scene.refused(&text));
    for (text, says) in [
        (factory("pref", ""), "`pref` is preference data"),
        (factory("law,pref", ""), "`pref` is preference data"),
        (factory("kto", ""), "a column `kto_tag`"),
        (factory("law", "").replace("sft", "dpo"), "preferences"),
        (factory("law", "").replace("sft", "rm"), "a reward model"),
        (factory("law", "").replace("sft", "ppo"), "rewards"),
        (
            factory("law", "").replace("sft", "pt"),
            "continued pretraining",
        ),
        (
            axolotl("  - {path: data/law.json, type: completion}\n"),
            "without question and answer",
        ),
        (
            axolotl("  - {path: data/law.json, type: input_output}\n"),
            "marked parts",
        ),
        (
            axolotl("  - {path: data/law.json, type: chatml.intel}\n"),
            "preference data",
        ),
        (
            axolotl("  - {path: data/law.json, type: chat_template.default}\n"),
            "preference data",
        ),
        (
            axolotl("  - {path: data/law.json, type: alpaca}\nrl: kto\n"),
            "`rl: kto`",
        ),
        (
            axolotl("  - {path: data/law.json, type: alpaca}\npretraining_dataset: c4\n"),
            "pretraining",
        ),
    ] {
        let shown = lines(text.clone());
        assert!(shown.starts_with("E0107"), "{text}\n{shown}");
        assert!(shown.contains(says), "{text}\n{shown}");
        assert!(shown.contains("fix: "), "{text}\n{shown}");
    }
}

#[test]
fn fields_and_roles_of_axolotl_are_read() {
    let scene = scene();
    for (block, expected) in [
        (
            "  - path: data/chat.json\n    type: chat_template\n    field_messages: dialog\n    message_property_mappings:\n      role: who\n      content: said\n    roles:\n      user: ['甲']\n      assistant: ['乙', '丙']\n    roles_to_train: ['assistant']\n    train_on_eos: turn\n",
            "user: 能退吗？ | assistant: 应当退还。",
        ),
        (
            "  - path: data/chat.json\n    type: chat_template\n    field_messages: dialog\n    message_field_role: who\n    message_field_content: said\n    roles: {user: 甲, assistant: 乙}\n",
            "user: 能退吗？ | assistant: 应当退还。",
        ),
        (
            "  - path: data/law.json\n    type:\n      field_instruction: q\n      field_output: a\n      format: '[INST] {instruction} [/INST]'\n",
            "user: 押金能退吗？ | assistant: 到期应当退还。",
        ),
        (
            "  - path: data/more.json\n    type: {field_instruction: q, field_input: ctx, field_output: a, field_system: sys}\n",
            "system: 短答 | user: 能退吗？\n租房押金 | assistant: 应退。",
        ),
        (
            "  - {path: data/plain.json, type: alpaca}\n",
            "user: i\nx | assistant: o",
        ),
        (
            "  - {path: data/openai.json, type: chat_template}\n",
            "user: u | assistant: b",
        ),
    ] {
        let imported = scene.import(&axolotl(block));
        assert_eq!(
            scene.samples(&imported),
            [expected],
            "{block}\n{}",
            imported.yaml()
        );
    }
}

#[test]
fn several_datasets_of_axolotl_are_all_read() {
    let scene = scene();
    let imported = scene.import(&axolotl(
        "  - {path: data/plain.json, type: alpaca}\n  - path: data/chat.json\n    type: chat_template\n    field_messages: dialog\n    message_property_mappings: {role: who, content: said}\n    roles: {user: [甲], assistant: [乙]}\n",
    ));
    assert_eq!(
        scene.samples(&imported),
        [
            "user: i\nx | assistant: o",
            "user: 能退吗？ | assistant: 应当退还。"
        ],
        "{}",
        imported.yaml()
    );
    assert_eq!(line(&imported, "data_mixing").unwrap(), "concatenate");
    assert_eq!(line(&imported, "overflow").unwrap(), "drop");
}

#[test]
fn every_key_of_a_block_is_listed_or_off() {
    let scene = scene();
    let imported = scene.import(&axolotl(
        "  - path: data/chat.json\n    type: chat_template\n    field_messages: dialog\n    message_property_mappings: {role: who, content: said, name: alias}\n    message_field_training: learn\n    roles: {user: [甲], assistant: [乙], judge: [丙]}\n    roles_to_train: [user]\n    train_on_eos: all\n    split: 'train[:5]'\n    shards: 4\n    drop_system_message: true\n    never_heard_of: 1\n",
    ));
    for key in [
        "datasets[0].message_property_mappings.name",
        "datasets[0].message_field_training",
        "datasets[0].roles.judge",
        "datasets[0].roles_to_train",
        "datasets[0].train_on_eos",
        "datasets[0].split",
        "datasets[0].shards",
        "datasets[0].drop_system_message",
        "datasets[0].never_heard_of",
    ] {
        let said = said(&imported, key);
        assert_eq!(said.len(), 1, "{key}");
        assert!(said[0].starts_with("NoCounterpart"), "{key}: {said:?}");
    }
    for key in [
        "field_messages",
        "message_property_mappings.role",
        "roles.user",
    ] {
        let key = format!("datasets[0].{key}");
        assert!(said(&imported, &key)[0].starts_with("Changed"), "{key}");
    }
    let lost =
        |r: &&coordinator::import::Remark| r.why.is_empty() && r.outcome != Outcome::NothingLost;
    assert_eq!(imported.remarks.iter().find(lost), None);
}

#[test]
fn data_sets_that_cannot_be_told_apart_by_names_are_refused() {
    let scene = Scene::new(&[
        (
            "data/dataset_info.json",
            r#"{"one": {"file_name": "one.json", "columns": {"prompt": "a", "response": "b"}},
                "two": {"file_name": "two.json", "columns": {"prompt": "b", "response": "a"}}}"#,
        ),
        ("data/one.json", "[]"),
        ("data/two.json", "[]"),
    ]);
    let error = scene.refused(&factory("one,two", ""));
    assert_eq!(error.code, Code::NotYet);
    assert!(render(&error).contains("contradicts"), "{}", render(&error));
}
