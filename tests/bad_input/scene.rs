//! A folder with a good run, into which each test puts one mistake.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cluster_tests::{Run, coordinator, output, repository};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Scene {
    folder: TempDir,
}

/// How a program ended.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) message: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of the shipped base model that a test may spoil.
    pub(crate) fn base(&self) -> PathBuf {
        let copy = self.path().join("base");
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(repository().join("models/tiny-law")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        copy
    }

    /// A data folder with one file.
    pub(crate) fn data(&self, name: &str, content: &[u8]) {
        std::fs::create_dir_all(self.path().join("data")).unwrap();
        std::fs::write(self.path().join("data").join(name), content).unwrap();
    }

    /// `coordinator up` with these lines; the output folder must not change.
    pub(crate) fn up(&self, lines: &[(&str, &str)], arguments: &[&str]) -> Outcome {
        let config = Run::config(self.path(), lines);
        self.up_file(&config, arguments)
    }

    pub(crate) fn up_file(&self, config: &Path, arguments: &[&str]) -> Outcome {
        let before = self.listing();
        let mut command = coordinator();
        command
            .current_dir(self.path())
            .arg("up")
            .arg("--config")
            .arg(config);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(arguments);
        let outcome = self.outcome(&output(command, DEADLINE));
        assert_eq!(self.listing(), before, "the output folder changed");
        outcome
    }

    pub(crate) fn outcome(&self, output: &Output) -> Outcome {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome {
            code: output.status.code(),
            stdout: text(&output.stdout),
            message: self.anonymous(&text(&output.stderr)),
        }
    }

    /// Without what differs from machine to machine.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        let here = self.path().canonicalize().unwrap();
        text.replace(&here.display().to_string(), "[folder]")
            .replace(&self.path().display().to_string(), "[folder]")
            .replace(&repository().display().to_string(), "[repository]")
    }

    /// Everything in the output folder, with sizes, but for text logs that a run may be writing;
    /// empty when it is not there.
    pub(crate) fn listing(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut waiting = vec![self.path().join("out")];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|e| e == "log") {
                    continue;
                }
                let size = entry.metadata().map_or(0, |m| m.len());
                found.push(format!("{} {size}", entry.path().display()));
                if entry.path().is_dir() {
                    waiting.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

/// Compares code and message with what is stored.
macro_rules! refused {
    ($outcome:expr, $code:expr) => {{
        let outcome = $outcome;
        assert_eq!(outcome.code, Some($code), "{}", outcome.message);
        assert_eq!(outcome.stdout, "", "stdout holds data only");
        insta::assert_snapshot!(outcome.message);
    }};
}
pub(crate) use refused;
