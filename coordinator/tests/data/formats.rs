//! Every form the data room reads: what it is taken for, how sure that is, how many samples it has.
//!
//! A fixture each under `data/formats` (made by its `make.py`); the table is that of docs/reference/data.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::house::House;
use coordinator::data::diagnose;
use shared::config::PrivacyMode;
use shared::dataset::PreparedDataset;
use shared::error::Code;
use shared::plan::permutation;

/// Fixture, settings, what it is.
const FORMS: &[(&str, &[&str], &str)] = &[
    ("dialogue.txt", &[], "lines with role prefixes"),
    (
        "windows.txt",
        &[],
        "the same with a byte order mark, ASCII colons and Windows line ends",
    ),
    (
        "unknown_names.txt",
        &["roles=[user=甲,assistant=乙]"],
        "roles nobody knows, named by `roles`",
    ),
    (
        "chat_export.txt",
        &[],
        "a chat of two with time stamps above the texts",
    ),
    (
        "decorated.txt",
        &[],
        "names in brackets, in Markdown, with numbers",
    ),
    (
        "named_roles.txt",
        &["roles=[user=丙,assistant=丁]"],
        "roles named by `roles`, another name before a colon",
    ),
    (
        "blocks.txt",
        &["dialogue=blocks"],
        "blocks between blank lines",
    ),
    ("dialogue.txt.gz", &[], "gzip"),
    ("alpaca.jsonl", &[], "`instruction`, `input`, `output`"),
    ("alpaca_more.jsonl", &[], "with `system` and `history`"),
    ("parts.jsonl", &[], "content as lists of parts"),
    (
        "preference.jsonl",
        &["preference=chosen"],
        "`chosen` and `rejected`",
    ),
    (
        "labels.jsonl",
        &["preference=chosen"],
        "labels that call an answer good or bad",
    ),
    ("sharegpt.json", &[], "an array of `conversations`"),
    ("messages.jsonl", &[], "several turns, a system prompt"),
    ("tools.jsonl", &[], "`tools`, `tool_calls`, role `tool`"),
    ("weights.jsonl", &[], "`weight` of an answer"),
    ("pairs.jsonl", &[], "Chinese keys"),
    ("pairs_more.jsonl", &[], "a key nobody needs"),
    ("one_object.json", &[], "one object over several lines"),
    (
        "lines.json",
        &[],
        "an object per line under the wrong ending",
    ),
    ("mixed.jsonl", &[], "two forms in one file"),
    ("table.csv", &[], "a header, quoted cells"),
    ("table.tsv", &[], "tabs"),
    ("table.csv.zst", &[], "zstd"),
    (
        "named_columns.csv",
        &["columns=[question=frage,answer=antwort]"],
        "columns named by `columns`",
    ),
    (
        "named_columns.jsonl",
        &["columns=[question=frage,answer=antwort]"],
        "keys named by `columns`, beside a known one",
    ),
    (
        "named_turns.jsonl",
        &[
            "columns=[messages=dialog,role=who,content=said]",
            "roles=[user=丙,assistant=丁]",
        ],
        "list, fields and roles named",
    ),
    ("pairs.parquet", &[], "columns of texts"),
    ("messages.parquet", &[], "a column of lists of turns"),
    ("tools.parquet", &[], "tools and calls"),
    (
        "named_columns.parquet",
        &["columns=[question=frage,answer=antwort]"],
        "columns named by `columns`",
    ),
    ("separated.csv", &[], "`sep=;` as its first line"),
    ("gbk.csv", &["data_encoding=gb18030"], "GB18030"),
    ("sheet.xlsx", &[], "the only sheet with cells"),
    (
        "sheets.xlsx",
        &["data_sheets=['2026']"],
        "a sheet by its name, a title before the header, merged cells",
    ),
    ("sheet.ods", &[], "OpenDocument"),
    ("pairs.arrow", &[], "shards of `save_to_disk`"),
    ("messages.arrow", &[], "the same with lists of turns"),
    ("tokens.jsonl", &[], "`input_ids` and `labels`"),
    ("tokens_padded.jsonl", &[], "`attention_mask` with padding"),
    ("tokens_all.jsonl", &["loss_on=all"], "`input_ids` alone"),
    ("tokens.parquet", &[], "the same in Parquet"),
];

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/formats"))
}

fn fixture(name: &str) -> House {
    House::new("chatml").with(name, fs::read(fixtures().join(name)).unwrap())
}

fn set(house: House, sets: &[&str]) -> House {
    house.configured(sets)
}

fn diagnosis(house: &House) -> coordinator::data::Diagnosis {
    let template = house.template();
    let found = diagnose(
        &house.config,
        &house.tokenizer(),
        template.as_ref(),
        &mut |_| {},
    );
    found.map_err(|e| house.shown(&e)).unwrap()
}

#[test]
fn every_form_is_read_for_what_it_is() {
    let mut table = "| File | What it is | Settings | Detected as | Sure | Samples |\n|---|---|---|---|---|---|\n".to_owned();
    for (file, sets, about) in FORMS {
        let house = set(fixture(file), sets);
        let found = diagnosis(&house);
        assert!(found.refused.is_none(), "{file}: {found}");
        let [one] = &found.detected[..] else {
            unreachable!("{file} is one file")
        };
        assert_eq!(one.previews.len() as u64, one.samples.min(3), "{file}");
        assert_eq!(found.report.samples, one.samples);
        let settings: Vec<String> = sets.iter().map(|set| format!("`{set}`")).collect();
        writeln!(
            table,
            "| `{file}` | {about} | {} | {} | {} % | {} |",
            settings.join(", "),
            one.form,
            one.sure,
            one.samples
        )
        .unwrap();
    }
    println!("{table}");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/data.md");
    let docs = fs::read_to_string(docs).unwrap();
    assert!(
        docs.contains(&table),
        "docs/reference/data.md has another table than:\n{table}"
    );
    let mut files: Vec<String> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != "make.py")
        .collect();
    files.sort();
    let mut shown: Vec<&str> = FORMS.iter().map(|(file, ..)| *file).collect();
    shown.sort_unstable();
    assert_eq!(files, shown, "every fixture is in the table");
}

#[test]
fn detection_says_what_it_decided_how_sure_it_is_and_shows_three_samples() {
    let house = fixture("pairs_more.jsonl")
        .with("甲.txt", "客户：问一\n客服：答一\n客户：问二\n客服：答二\n");
    let text = diagnosis(&house).to_string();
    let told: Vec<&str> = text.lines().take(7).collect();
    insta::assert_snapshot!(told.join("\n"), @r##"
    pairs_more.jsonl: question and answer, 90 % sure: the names of its fields are known
      1: assistant: 依据《劳动法》。 | behind user: 加班费怎么算？
      2: assistant: 最长六个月。 | behind user: 试用期多久？
      3: assistant: 应当退还。 | behind user: 押金退吗？
    甲.txt: dialogue, 95 % sure: 客户 and 客服 are known names
      1: assistant: 答一 | behind user: 问一
      3: assistant: 答二 | behind user: 问二
    "##);
    let secret = "{\"question\": \"我叫李秀英，电话13800138000\", \"answer\": \"好的。\"}\n";
    let scan = House::new("chatml").with("a.jsonl", secret);
    let scan = scan.set(|c| c.privacy.mode = PrivacyMode::Scan);
    let text = diagnosis(&scan).to_string();
    assert!(
        text.contains("behind user: 我叫[NAME_1]，电话[PHONE_1]"),
        "{text}"
    );
}

#[test]
fn a_file_that_can_be_read_in_two_ways_is_refused_until_it_is_told() {
    let told = set(
        House::new("chatml").with("a.txt", "甲：一\n乙：二\n注意：三\n"),
        &["roles=[user=甲,assistant=乙]"],
    );
    assert_eq!(told.rows().len(), 1);
    let keys = "{\"prompt\": \"一\", \"question\": \"二\", \"answer\": \"三\"}\n";
    let house = House::new("chatml").with("a.jsonl", keys);
    insta::assert_snapshot!(house.error(), @r##"
    E0310 a sample can be read in two ways
      at HOUSE/data/a.jsonl:1
      its keys: prompt, question, answer (both `prompt` and `question` could be meant)
      fix: --set 'columns=[question=prompt,answer=answer]'
      fix: --set 'columns=[question=question,answer=answer]'
    "##);
    let told = set(house, &["columns=[question=question,answer=answer]"]);
    let rows = told.rows();
    assert!(
        rows[0].0.contains("二") && !rows[0].0.contains("一"),
        "{rows:?}"
    );
    let unknown = House::new("chatml").with("a.csv", "甲,\"乙, 丙\"\n一,二\n");
    insta::assert_snapshot!(unknown.error(), @r##"
    E0306 the table's columns are not known
      at HOUSE/data/a.csv:1
      its columns: 甲, 乙, 丙 (no question and answer among them)
      known: question: prompt, question, instruction, query, 问题, 提问, 咨询, 用户, 客户, 问, 指令; answer: response, answer, output, completion, 回答, 答案, 解答, 回复, 律师, 答, 输出
      fix: --set csv_columns=[QUESTION_COLUMN,ANSWER_COLUMN] names them
      fix: --set 'columns=[question=甲,"answer=乙, 丙"]'
      fix: --set 'columns=["question=乙, 丙",answer=甲]'
    "##);
    let told = set(unknown, &["columns=[question=甲,\"answer=乙, 丙\"]"]);
    assert_eq!(told.rows().len(), 1);
}

#[test]
fn tokens_are_taken_as_they_come() {
    let rows = |house: &House| {
        let folder = house.folder.path().join("rows");
        let path = house.prepare().unwrap().writer.publish(&folder).unwrap();
        let data = PreparedDataset::open(&path).unwrap();
        let row = |row| {
            let sample = data.sample(row).unwrap();
            (sample.ids.to_vec(), sample.targets.to_vec())
        };
        (0..data.len()).map(row).collect::<Vec<_>>()
    };
    let expected = [
        (vec![5, 6, 7, 8], vec![0, 0, 1, 1]),
        (vec![9, 10], vec![0, 1]),
    ];
    for file in ["tokens.jsonl", "tokens.parquet"] {
        let house = fixture(file);
        // No template is needed where nothing is rendered.
        let none = house.config.base_model.join("chat_template.jinja");
        if none.exists() {
            fs::remove_file(none).unwrap();
        }
        assert_eq!(rows(&house), expected, "{file}");
    }
    let padded = fixture("tokens_padded.jsonl");
    assert_eq!(rows(&padded), [(vec![5, 6, 7], vec![0, 1, 1])]);
    let notices = padded.prepare().unwrap().report.notices;
    assert_eq!(
        notices,
        ["padding was taken off 1 samples: tokens_padded.jsonl:1"]
    );
    let all = set(fixture("tokens_all.jsonl"), &["loss_on=all"]);
    assert_eq!(rows(&all), [(vec![5, 6, 7], vec![1, 1, 1])]);
}

#[test]
fn tokens_that_cannot_be_trained_on_are_refused() {
    insta::assert_snapshot!(fixture("tokens_all.jsonl").error(), @r##"
    E0314 `input_ids` without `labels`
      at HOUSE/data/tokens_all.jsonl:1
      which tokens are the answer cannot be told
      fix: add `labels`, -100 where nothing is learned
      fix: or --set loss_on=all learns every token
    "##);
    let far = "{\"input_ids\": [5, 6], \"labels\": [5, 6]}\n{\"input_ids\": [5, 4000000], \"labels\": [5, -100]}\n";
    insta::assert_snapshot!(House::new("chatml").with("a.jsonl", far).error(), @r##"
    E0314 the tokenizer has no token 4000000
      at HOUSE/data/a.jsonl:2
      the sample was tokenized with another tokenizer, or the id is a mistake
      fix: tokenize with the base model's tokenizer, or give texts
    "##);
    let mask = fixture("tokens.jsonl").set(|c| c.privacy.mode = PrivacyMode::Mask);
    insta::assert_snapshot!(mask.error(), @r##"
    E0315 2 samples come as tokens, which `privacy: mask` cannot look into
      at HOUSE/data
      samples: tokens.jsonl:1, tokens.jsonl:2
      fix: give them as texts, or take them out
      fix: or --set privacy=off when they hold nothing personal
    "##);
    let scan = fixture("tokens.jsonl").set(|c| c.privacy.mode = PrivacyMode::Scan);
    let notices = scan.prepare().unwrap().report.notices;
    assert_eq!(
        notices,
        [
            "2 samples come as tokens; nobody looked for personal data in them: tokens.jsonl:1, tokens.jsonl:2"
        ]
    );
}

fn pairs(count: usize, word: &str) -> String {
    let line = |i| format!("{{\"question\": \"{word}{i}\", \"answer\": \"答{i}\"}}\n");
    (0..count).map(line).collect()
}

/// Files of the rows in the order of the first epoch.
fn planned(house: &House, shuffle: bool) -> Vec<String> {
    let writer = house.prepare().unwrap().writer;
    let order = permutation(house.config.seed, 0, writer.rows(), shuffle);
    let file = |row: u32| writer.row(row as usize).unwrap().2.file;
    order.into_iter().map(file).collect()
}

#[test]
fn two_files_mixed_three_to_one_are() {
    let house = || {
        House::new("chatml")
            .with("law/a.jsonl", pairs(60, "法"))
            .with("law/b.jsonl", pairs(40, "律"))
            .with("chat.jsonl", pairs(100, "聊"))
    };
    for (sets, law, chat) in [
        (&["data_sources=['law=3','chat.jsonl=1']"][..], 300, 100),
        (
            &[
                "data_sources=['law=3','chat.jsonl=1']",
                "data_mixing=subsample",
            ],
            100,
            33,
        ),
        (&["data_sources=['law=1','chat.jsonl=3']"], 100, 300),
        (&["data_sources=['law','chat.jsonl']"], 100, 100),
    ] {
        let house = set(house(), sets);
        let order = planned(&house, true);
        let from_law = order.iter().filter(|file| file.starts_with("law/")).count();
        println!(
            "{}: {from_law} of law, {} of chat in the planned order of epoch 0",
            sets.join(" "),
            order.len() - from_law
        );
        assert_eq!((from_law, order.len() - from_law), (law, chat), "{sets:?}");
        let digest = |house: &House| house.prepare().unwrap().writer.digest().unwrap();
        assert_eq!(digest(&house), digest(&house));
    }
    let unshuffled = set(house(), &["data_sources=['law=3','chat.jsonl=1']"]);
    for four in planned(&unshuffled, false).chunks(4) {
        assert_eq!(
            four.iter().filter(|file| file.starts_with("law/")).count(),
            3,
            "{four:?}"
        );
    }
    let report = unshuffled.prepare().unwrap().report.to_string();
    let told: Vec<&str> = report
        .lines()
        .filter(|line| line.starts_with("source"))
        .collect();
    assert_eq!(
        told,
        [
            "source law, weight 3: 100 samples, 300 rows",
            "source chat.jsonl, weight 1: 100 samples, 100 rows"
        ]
    );
    // Without weights nothing changes: all of the folder, each row once.
    assert_eq!(house().prepare().unwrap().writer.rows(), 200);
}

#[test]
fn the_seed_draws_which_rows_come_again_and_only_then_the_rows_depend_on_it() {
    let house = |sets: &[&str]| {
        let house = House::new("chatml")
            .with("a.jsonl", pairs(10, "甲"))
            .with("b.jsonl", pairs(7, "乙"));
        set(house, sets)
    };
    let digest = |sets: &[&str]| house(sets).prepare().unwrap().writer.digest().unwrap();
    let sources = "data_sources=['a.jsonl=1','b.jsonl=1']";
    assert_eq!(digest(&[sources]), digest(&[sources]));
    assert_ne!(digest(&[sources, "seed=1"]), digest(&[sources, "seed=2"]));
    assert_eq!(digest(&["seed=1"]), digest(&["seed=2"]));
    let source = |sets: &[&str]| {
        let house = house(sets);
        coordinator::data::source_digest(&house.config, house.tokenizer().digest()).unwrap()
    };
    assert_ne!(source(&[sources, "seed=1"]), source(&[sources, "seed=2"]));
    assert_eq!(source(&["seed=1"]), source(&["seed=2"]));
    assert_ne!(source(&[]), source(&["columns=[question=question]"]));
}

#[test]
fn sources_that_cannot_be_mixed_are_refused() {
    let house = |sets: &[&str]| {
        let house = House::new("chatml")
            .with("a/a.jsonl", pairs(2, "甲"))
            .with("b/b.jsonl", pairs(2, "乙"))
            .with("c/c.jsonl", "");
        set(house, sets)
    };
    let mut told = String::new();
    for (sets, code) in [
        ("data_sources=['a','d=2']", Code::MissingPath),
        ("data_sources=['a','a/a.jsonl']", Code::Contradiction),
        ("data_sources=['a','c']", Code::EmptyData),
        ("data_sources=['a=100000','b=1']", Code::OutOfRange),
    ] {
        let house = house(&[sets]);
        let error = house.prepare().unwrap_err();
        assert_eq!(error.code, code, "{sets}");
        writeln!(told, "{}", house.shown(&error)).unwrap();
    }
    insta::assert_snapshot!(told, @r##"
    E0108 `data_sources` names d, which is not there
      at HOUSE/data/d
      its paths start from train_data_dir
      fix: --set data_sources=[PATH=WEIGHT,...] with files and folders below train_data_dir
    E0105 two of `data_sources` hold one file
      at HOUSE/data/a/a.jsonl
      it belongs to a and to a/a.jsonl
      fix: name folders that do not lie in one another
    E0301 c of `data_sources` has no sample
      at HOUSE/data/c
      nothing can be mixed in from it, whatever its weight
      fix: take it out of data_sources, or put samples there
    E0104 the weights of `data_sources` would make 200002 rows of 4
      at HOUSE/data
      every row is to be there at least once, so scarce sources would come many times
      fix: --set data_mixing=subsample, or weights closer to the sizes of the sources
    "##);
}
