//! Whatever happens to a checkpoint on storage: it is named, and the one before is used.
//!
//! A real run leaves two checkpoints. Then every file of the newer one is cut, emptied, removed, and
//! has bits flipped; and the folder is left as a writer would leave it that died between two files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use cluster_tests::Finished;
use shared::ids::Step;
use shared::manifest::{MANIFEST, newest};

const LINES: &[(&str, &str)] = &[("max_steps", "4"), ("save_steps", "2")];

/// Two checkpoints of a real run.
struct Checkpoints {
    _folder: tempfile::TempDir,
    output: PathBuf,
    newer: PathBuf,
}

impl Checkpoints {
    fn of_a_run() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::local(folder.path(), LINES, 1);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let output = finished.output.clone();
        let newer = output.join("checkpoint-4");
        Self {
            _folder: folder,
            output,
            newer,
        }
    }

    /// The files a checkpoint has, the manifest last, as they are written.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.newer).unwrap();
        let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
        files.sort_by_key(|path| (path.ends_with(MANIFEST), path.clone()));
        files
    }

    /// Which checkpoint is used, and what is said of the others.
    fn used(&self) -> (Step, String) {
        let found = newest(&self.output).unwrap().unwrap();
        let said = found.skipped.iter().map(shared::error::render);
        (found.manifest.step, said.collect())
    }

    fn must_be_passed_over(&self, file: &Path, damage: &str) {
        let (step, said) = self.used();
        assert_eq!(step, Step(2), "{damage} {} went unseen", file.display());
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(name), "{damage} {name}: {said}");
    }
}

#[test]
fn damage_to_any_file_of_a_checkpoint_is_found_and_named() {
    let run = Checkpoints::of_a_run();
    assert_eq!(run.used(), (Step(4), String::new()));
    let files = run.files();
    println!("{} files: {files:?}", files.len());
    assert!(files.len() >= 5);
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        run.must_be_passed_over(file, "removing");
        for length in [0, 1, whole.len() / 2, whole.len() - 2] {
            std::fs::write(file, &whole[..length]).unwrap();
            run.must_be_passed_over(file, &format!("cutting to {length} bytes"));
        }
        // One more byte than there was.
        std::fs::write(file, [&whole[..], b"x"].concat()).unwrap();
        run.must_be_passed_over(file, "adding to");
        for place in (0..whole.len()).step_by((whole.len() / 32).max(1)) {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            // Between two words of the manifest a blank may be another one.
            if file.ends_with(MANIFEST) && whole[place].is_ascii_whitespace() {
                continue;
            }
            std::fs::write(file, &flipped).unwrap();
            run.must_be_passed_over(file, &format!("flipping a bit of byte {place} of"));
        }
        std::fs::write(file, &whole).unwrap();
        assert_eq!(run.used().0, Step(4));
    }
}

#[test]
fn every_bit_of_a_manifest_counts() {
    let run = Checkpoints::of_a_run();
    let file = run.newer.join(MANIFEST);
    let whole = std::fs::read(&file).unwrap();
    let mut places = 0;
    for place in (0..whole.len()).filter(|p| !whole[*p].is_ascii_whitespace()) {
        for bit in [0, 3, 6] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << bit;
            std::fs::write(&file, &flipped).unwrap();
            run.must_be_passed_over(&file, &format!("flipping bit {bit} of byte {place} of"));
        }
        places += 1;
    }
    println!("{places} bytes of the manifest, three bits each");
    assert!(places > 500);
}

#[test]
fn a_writer_that_died_between_two_files_leaves_no_checkpoint() {
    let run = Checkpoints::of_a_run();
    let files = run.files();
    let whole: Vec<_> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    for written in 0..files.len() {
        for file in &files {
            std::fs::remove_file(file).unwrap();
        }
        for (file, bytes) in files.iter().zip(&whole).take(written) {
            std::fs::write(file, bytes).unwrap();
        }
        run.must_be_passed_over(&run.newer.join(MANIFEST), &format!("{written} files of"));
        for (file, bytes) in files.iter().zip(&whole) {
            std::fs::write(file, bytes).unwrap();
        }
    }
    assert_eq!(run.used().0, Step(4));
}
