//! Which of the parent's rows are looked at, and why sometimes none.

use std::fs;

use shared::evaluation::{PARENT, TRAIN_SAMPLE, VALIDATION};

use super::*;
use crate::start::evaluation_sets::sets;

/// A parent of 1000 rows of 2 to 11 tokens, and the folders of a run.
struct Houses {
    folder: tempfile::TempDir,
    config: RunConfig,
    tokenizer: TextTokenizer,
}

fn dataset(folder: &Path, rows: u32) -> PathBuf {
    let mut writer = DatasetWriter::new();
    for row in 0..rows {
        let ids: Vec<u32> = (row..row + 2 + row % 10).collect();
        let origin = RowOrigin {
            file: "a.jsonl".into(),
            line: u64::from(row) + 1,
        };
        writer.push(&ids, &vec![1; ids.len()], &origin);
    }
    writer.publish(folder).unwrap()
}

impl Houses {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/text/fixtures/chatml");
        let tokenizer = TextTokenizer::load(&base).unwrap();
        let home = folder.path().join("old");
        let checkpoint = home.join("checkpoint-6");
        fs::create_dir_all(&checkpoint).unwrap();
        let path = dataset(&RunPaths::new(&home).prepared(), 1000);
        let digest = PreparedDataset::open(&path).unwrap().digest();
        for file in tokenizer.files() {
            fs::copy(file, home.join(file.file_name().unwrap())).unwrap();
        }
        let manifest = Manifest {
            format: shared::manifest::FORMAT,
            identity: [("dataset".to_owned(), digest)].into(),
            state_digest: "0a".into(),
            ..Manifest::default()
        };
        manifest.write(&Folder::new(&checkpoint)).unwrap();
        let file = folder.path().join("run.yaml");
        let lines = [
            ("train_data_dir", "new"),
            ("base_model", "base"),
            ("output_dir", "out"),
            ("task_type", "text-generation"),
            ("validation_split", "0.1"),
            ("parent", "old/checkpoint-6"),
        ];
        let text: String = lines.map(|(k, v)| format!("{k}: {v}\n")).concat();
        fs::write(&file, text).unwrap();
        let config = shared::config::load(&file, &[], folder.path());
        Self {
            config: config.unwrap().config,
            folder,
            tokenizer,
        }
    }

    fn prepared(&self) -> PathBuf {
        RunPaths::new(self.folder.path().join("out")).prepared()
    }

    fn rows(&self, begins: bool) -> (Option<PathBuf>, Vec<String>) {
        let mut notices = Vec::new();
        let prepared = self.prepared();
        let found = rows(
            &self.config,
            &self.tokenizer,
            &prepared,
            begins,
            &mut notices,
        );
        (found.unwrap(), notices)
    }

    fn why_none(&self) -> String {
        let (found, notices) = self.rows(true);
        assert_eq!((found, notices.len()), (None, 1));
        let root = self.folder.path().display().to_string();
        notices[0].replace(&root, "ROOT")
    }
}

#[test]
fn rows_spread_over_the_parents_data_are_the_third_set() {
    let mut houses = Houses::new();
    houses.config.max_seq_length = 9;
    let (found, notices) = houses.rows(true);
    let found = found.unwrap();
    assert!(notices.is_empty(), "{notices:?}");
    let sampled = PreparedDataset::open(&found).unwrap();
    let first = |row| sampled.sample(row).unwrap().ids[0];
    assert_eq!(
        (sampled.len(), first(0), first(1), first(63)),
        (64, 0, 14, 983)
    );
    assert!(sampled.lengths().iter().all(|length| *length <= 9));

    let new = houses.folder.path().join("new");
    let (trained, validation) = (dataset(&new, 70), dataset(&new, 7));
    let opened = PreparedDataset::open(&trained).unwrap();
    let all = |old| {
        let sets = sets((&trained, &opened), Some(&validation), old).unwrap();
        let name = |set: shared::evaluation::EvaluationSet| (set.name, set.rows.len());
        sets.into_iter().map(name).collect::<Vec<_>>()
    };
    let (one, two) = ((VALIDATION.to_owned(), 0), (TRAIN_SAMPLE.to_owned(), 64));
    assert_eq!(all(None), [one.clone(), two.clone()]);
    assert_eq!(all(Some(&found)), [one, two, (PARENT.to_owned(), 0)]);
}

#[test]
fn a_run_that_goes_on_has_what_it_began_with() {
    let houses = Houses::new();
    let (none, notices) = houses.rows(false);
    assert_eq!(none, None);
    assert_eq!(
        notices,
        ["the loss on the parent's training data is not reported: the run began without it"]
    );
    let (begun, _) = houses.rows(true);
    assert!(begun.is_some());
    fs::remove_dir_all(RunPaths::new(houses.folder.path().join("old")).prepared()).unwrap();
    assert_eq!(houses.rows(false), (begun, Vec::new()));
}

#[test]
fn a_run_that_does_not_evaluate_or_has_no_parent_looks_at_nothing() {
    let mut houses = Houses::new();
    let parent = houses.config.parent.take();
    assert_eq!(houses.rows(true), (None, Vec::new()));
    houses.config.parent = parent;
    houses.config.evaluation.split = 0.0;
    assert_eq!(houses.rows(true), (None, Vec::new()));
    assert!(!houses.prepared().exists());
}

#[test]
fn why_there_are_none_is_said() {
    let mut houses = Houses::new();
    houses.config.max_seq_length = 1;
    insta::assert_snapshot!(houses.why_none(), @"the loss on the parent's training data is not reported: every row of it is longer than max_seq_length=1");
    let old = houses.folder.path().join("old");
    fs::write(old.join("tokenizer.json"), "{}").unwrap();
    insta::assert_snapshot!(houses.why_none(), @"the loss on the parent's training data is not reported: its tokenizer or chat template was another one, see ROOT/old/tokenizer.json");
    fs::remove_file(old.join("tokenizer.json")).unwrap();
    insta::assert_snapshot!(houses.why_none(), @"the loss on the parent's training data is not reported: ROOT/old/tokenizer.json is not there, so it is not known whether its tokenizer was this one");
    fs::remove_dir_all(RunPaths::new(&old).prepared()).unwrap();
    insta::assert_snapshot!(houses.why_none(), @"the loss on the parent's training data is not reported: ROOT/old/prepared is not there");
}
